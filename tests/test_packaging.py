"""What is published: the wheel, built from the sdist, holds all it needs and runs from where it is installed."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import srcli
from srcli import zoo
from tests.conftest import photograph

ROOT = Path(srcli.__file__).parent.parent


def test_the_changelog_tells_of_this_version():
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert srcli.__version__ in headings or headings[0] == "Unreleased"


def test_no_image_is_called_built_that_was_not():
    for name in ("Dockerfile", "Dockerfile.cuda"):
        assert (ROOT / name).read_text().startswith("# Unbuilt: ")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the sdist, and the wheel from it, as publishing does; without the network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder], cwd=ROOT, check=True)
    (sdist,) = folder.glob("*.tar.gz")
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "-w", folder]
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", *flags, sdist], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_weights_hashes_and_types(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        points = next(archive.read(n).decode() for n in names if n.endswith("entry_points.txt"))
    expected = {f"srcli/weights/{file.path.name}" for file in zoo.shipped()}
    assert len(expected) >= 2
    assert expected | {"srcli/weights/SHA256SUMS", "srcli/py.typed", "srcli/cli.py"} <= names
    assert not {n for n in names if n.startswith("tests/") or "__pycache__" in n}
    assert "srcli = srcli.cli:main" in points  # what `pipx run` looks for


@pytest.mark.slow
def test_the_wheel_upscales_from_where_it_is_installed(wheel, tmp_path):
    where = tmp_path / "in stalled"
    flags = ["--no-deps", "--no-index", "--target", where]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *flags, wheel], check=True)
    Image.fromarray(photograph()).save(tmp_path / "p.png")
    environment = {**os.environ, "PYTHONPATH": str(where)}
    program = [sys.executable, where / "bin" / "srcli"]

    def run(*arguments: str) -> str:
        done = subprocess.run([*program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("upscale", "p.png", "-o", "out.png").strip() == "out.png  212x148"
    assert str(where / "srcli" / "weights") in run("doctor")  # these weights, not the checkout's
    assert run("--version").strip() == f"srcli {srcli.__version__}"

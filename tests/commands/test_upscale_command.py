"""What srcli upscale does with its flags, beyond what test_cli.py holds for every command."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from srcli.cli import app


def upscale(*arguments: object, **more: object) -> Result:
    """Run srcli upscale with the bicubic network, which needs no weights."""
    return CliRunner().invoke(app, ["upscale", *(str(a) for a in arguments), "-m", "bicubic"], **more)


def size(path: Path) -> tuple[int, int]:
    """Return width and height."""
    with Image.open(path) as image:
        return image.size


# Sizes; p0.png is 53 x 37


def test_a_fractional_factor_is_named_and_said_once(folder, tmp_path):
    result = upscale(folder, "-s", 2.5)
    assert result.exit_code == 0, result.output
    assert size(tmp_path / "my pictures_x2.5" / "p0.png") == (133, 93)
    assert [line for line in result.stderr.splitlines() if "resampled" in line] == ["x2.5: x3 by the network, then resampled"]


def test_the_shipped_scale_gives_the_others(folder, tmp_path):
    run = CliRunner().invoke(app, ["upscale", str(folder / "p2.png"), "-s", "3", "-m", "rfdn", "--tile", "32"])
    assert run.exit_code == 0, run.output
    assert "x3: x4 by the network, then resampled" in run.stderr
    assert size(folder / "p2_x3.png") == (270, 63)


@pytest.mark.parametrize(
    ("flags", "name", "wanted"),
    [
        (["--width", 106], "w106", (106, 74)),
        (["--height", 100], "h100", (143, 100)),
        (["--width", 100, "--height", 100], "100x100", (100, 70)),
        (["--width", 100, "--height", 100, "--fit", "cover"], "100x100", (143, 100)),
        (["--long-side", 99], "long99", (99, 69)),
        (["--min-side", 50], "min50", (72, 50)),
        (["--min-side", 20], "min20", (53, 37)),
        (["--width", 20], "w20", (20, 14)),
    ],
)
def test_sizes_in_px_keep_the_proportions(folder, flags, name, wanted):
    result = upscale(folder / "p0.png", *flags)
    assert result.exit_code == 0, result.output
    assert size(folder / f"p0_{name}.png") == wanted


def test_a_picture_that_has_the_size_is_kept_and_said(folder):
    result = upscale(folder / "p0.png", "--min-side", 20)
    assert "53 x 37 px is its size already, kept" in result.stderr
    with Image.open(folder / "p0.png") as source, Image.open(folder / "p0_min20.png") as target:
        np.testing.assert_array_equal(source, target)


@pytest.mark.parametrize(
    ("flags", "code", "text"),
    [
        (["-s", 2, "--width", 100], 2, "--scale and --width or --height exclude each other"),
        (["--long-side", 9, "--min-side", 9], 2, "--long-side and --min-side exclude each other"),
        (["--width", 100, "--fit", "cover"], 2, "give both"),
        (["--width", 100, "--height", 50, "--fit", "crop"], 2, "--fit is one of contain, cover, not 'crop'"),
        (["--width", 8000], 1, "more than 16 times its size"),
        (["-s", 17], 2, "less than or equal to 16"),
    ],
)
def test_sizes_that_contradict_are_refused(folder, flags, code, text):
    result = upscale(folder / "p0.png", *flags)
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert len(list(folder.iterdir())) == 3

"""srcli compare as a user meets it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli import checkpoint
from srcli.models import create
from tests.clips import make_clip
from tests.conftest import photograph, small_files
from tests.program import srcli


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    (tmp_path / "my pictures").mkdir()
    path = tmp_path / "my pictures" / "p 1.png"
    Image.fromarray(photograph(80, 96)).save(path)
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    checkpoint.save(path, create("fsrcnn", 2), checkpoint.Card(arch="fsrcnn", scale=2))
    return path


def test_the_page_lies_beside_the_picture_unless_it_is_named(picture, weights, tmp_path):
    result = srcli("compare", picture, "-m", "bicubic", "-s", 2)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{picture.with_name('p 1_compare.html')}\n"
    named = srcli("compare", picture, "-m", weights, "-o", tmp_path / "page.html")
    assert named.exit_code == 0, named.output
    assert 'data-name="small"' in (tmp_path / "page.html").read_text()


def test_a_page_of_the_users_own_is_not_replaced(picture):
    page = picture.with_name("p 1_compare.html")
    page.write_text("<html>mine</html>")
    flags = "compare", picture, "-m", "bicubic", "-s", 2
    refused = srcli(*flags)
    assert (refused.exit_code, "would be lost; name another file" in refused.stderr) == (1, True)
    assert page.read_text() == "<html>mine</html>"


def test_records_tell_times_and_scores(picture, weights, tmp_path):
    result = srcli("compare", picture, "--hr", picture, "-m", weights, "-o", tmp_path / "a.html", "--json")
    assert result.exit_code == 0, result.output
    bicubic, model, hr = result.records
    assert (bicubic["version"], model["version"], hr["version"]) == ("bicubic", "small", "HR")
    assert (model["height"], model["width"]) == (80, 96)
    assert bicubic["psnr"] > 20 and bicubic["seconds"] > 0 and hr["psnr"] is None


def test_weights_called_bicubic_or_hr_are_told_apart_from_the_real_ones(picture, weights, tmp_path):
    (tmp_path / "w").mkdir()
    for name in ("bicubic", "HR"):
        (tmp_path / "w" / f"{name}.safetensors").write_bytes(weights.read_bytes())
    models = ("-m", tmp_path / "w" / "HR.safetensors", "-m", tmp_path / "w" / "bicubic.safetensors")
    result = srcli("compare", picture, "--hr", picture, *models, "-o", tmp_path / "page.html", "--json")
    assert result.exit_code == 0, result.output
    names = [record["version"] for record in result.records]
    assert names == ["bicubic", "w/HR", "w/bicubic", "HR"]
    assert "<title>p 1.png x2: w/HR, w/bicubic</title>" in (tmp_path / "page.html").read_text()


def test_a_page_that_cannot_be_written_is_said_after_the_records(picture):
    with small_files(64):
        result = srcli("compare", picture, "-m", "bicubic", "-s", 2, "--json")
    assert (result.exit_code, json.loads(result.stdout)["version"]) == (1, "bicubic")
    assert result.stderr.splitlines()[-1].endswith("p 1_compare.html': File too large")


def test_the_frame_of_a_video_is_compared(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4")
    result = srcli("compare", clip, "--at", "0:00:00.2", "-m", "bicubic", "-s", 2, "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "clip.mp4 at 0:00:00.200" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--at", "3"], "--at is of videos"),
        (["--crop", "1,2,3"], "--crop is X,Y,WIDTH,HEIGHT"),
        (["--crop", "90,0,20,20"], "reaches out of the 96x80 picture"),
        (["-o", "page.png"], "a page is a .html file"),
        (["-o", "nowhere/page.html"], "no folder 'nowhere'"),
        (["--hr", "nothing.png"], "no file 'nothing.png'"),
        (["-m", "nosuch"], "'nosuch'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(picture, arguments, reason):
    result = srcli("compare", picture, *arguments)
    assert result.exit_code in (1, 2)
    assert reason in result.output and len(result.output.splitlines()) == 1
    assert list(picture.parent.iterdir()) == [picture]


def test_a_folder_is_no_picture(picture):
    assert "is a folder" in srcli("compare", picture.parent).output


def test_a_name_that_is_not_utf8_is_spelt_out_on_the_page(tmp_path):
    path = tmp_path / "caf\udce9.png"
    try:
        Image.fromarray(photograph()).save(path)
    except OSError:
        pytest.skip("this file system takes no such name")
    result = srcli("compare", path, "-m", "bicubic", "-s", 2, "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert r"caf\udce9.png" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_without_a_name_the_weights_are_those_that_upscale_takes(picture):
    with Image.open(picture) as image:
        image.crop((0, 0, 48, 40)).save(picture.with_suffix(".jpg"), quality=50)
    Image.fromarray(photograph(96, 128)).save(picture.with_name("was.jpg"), quality=60)
    with Image.open(picture.with_name("was.jpg")) as image:
        image.save(picture.with_name("was.png"))
        image.save(picture.with_name("moves.webp"), lossless=True, save_all=True, append_images=[image.rotate(180)])
        Image.fromarray(np.array(image.convert("L")).astype(np.uint16) * 257).save(picture.with_name("deep.png"))
    crop = ["--crop", "0,0,32,32"]
    for source, flags, name in (
        (picture.with_suffix(".jpg"), [], "rfdn-photo"),
        (picture.with_name("was.png"), crop, "rfdn-photo"),
        (picture, crop, "rfdn"),
        (picture.with_name("moves.webp"), crop, "rfdn"),  # which upscale judges by its header
        (picture.with_name("deep.png"), crop, "rfdn"),  # whose pixels are shown in 8 bits, but upscaled in 16
    ):
        result = srcli("compare", source, "-s", 2, "--json", *flags)
        assert [record["version"] for record in result.records] == ["bicubic", name]
        assert result.stderr == ""


def test_a_scale_at_which_those_weights_do_not_ship_is_told(picture):
    with Image.open(picture) as image:
        image.crop((0, 0, 48, 40)).save(picture.with_suffix(".jpg"), quality=50)
    result = srcli("compare", picture.with_suffix(".jpg"), "-s", 3, "--json")
    assert [record["version"] for record in result.records] == ["bicubic", "rfdn"]
    assert result.stderr == "srcli upscale takes rfdn-photo, which is not there at x3: rfdn is compared\n"

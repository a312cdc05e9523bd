"""srcli upscale --show: before and after, where somebody looks."""

import base64
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.commands.show import way_to_show
from tests.conftest import photograph
from tests.program import Result, srcli

SCALE = 2
TERMINAL = {"COLORTERM": "truecolor", "COLUMNS": "42", "LINES": "30"}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "my picture.png"
    Image.fromarray(photograph(60, 80)).save(path)
    return path


def _upscale(picture: Path, *arguments: str) -> Result:
    result = srcli("upscale", picture, "-m", "bicubic", "-s", SCALE, *arguments, env=TERMINAL)
    assert result.exit_code == 0, result.output
    return result


def test_a_crop_of_the_source_and_the_same_of_the_result_are_drawn(picture):
    text = _upscale(picture, "--show=kitty").stderr
    png = base64.b64decode("".join(re.findall(r"\x1b_G[^;]*;([^\x1b]*)", text)))
    drawn = np.asarray(Image.open(io.BytesIO(png)))
    with Image.open(picture.with_name("my picture_x2.png")) as image:
        result = np.asarray(image)
    side = (drawn.shape[1] - 8) // 2
    windows = np.lib.stride_tricks.sliding_window_view(result, (drawn.shape[0], side, 3))[:, :, 0]
    ((top, left),) = np.argwhere((windows == drawn[:, side + 8 :]).all((-3, -2, -1)))
    squares = photograph(60, 80).repeat(SCALE, 0).repeat(SCALE, 1)
    assert np.array_equal(drawn[:, :side], squares[top : top + drawn.shape[0], left : left + side])
    assert (drawn[:, side : side + 8] == 0).all()


def test_blocks_fit_the_terminal(picture):
    lines = [line for line in _upscale(picture, "--show=blocks").stderr.splitlines() if "▀" in line]
    assert {line.count("▀") for line in lines} == {42}
    assert len(lines) == 10  # 20 px a side, two a line


def test_nothing_is_drawn_where_nobody_looks_or_asked(picture):
    for arguments in (["--show"], []):
        result = _upscale(picture, *arguments, "--exists", "overwrite")
        assert "\x1b" not in result.output and "before and after" not in result.output


def test_results_on_stdout_stay_as_they_are(picture):
    assert _upscale(picture, "--show=sixel").stdout == f"{picture.with_name('my picture_x2.png')}  160x120\n"


def test_the_flag_may_stand_alone_before_a_picture(picture):
    assert srcli("upscale", "--show", picture, "-m", "bicubic", "-s", SCALE, env=TERMINAL).exit_code == 0


def test_other_ways_are_refused(picture):
    result = srcli("upscale", picture, "--show=print", env=TERMINAL)
    assert result.exit_code == 2
    assert "--show is one of auto, kitty, iterm, sixel, blocks, not 'print'" in result.output


def test_on_a_terminal_the_environment_decides(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "foot")
    for name in ("TMUX", "KITTY_WINDOW_ID", "TERM_PROGRAM", "LC_TERMINAL"):
        monkeypatch.delenv(name, raising=False)
    assert way_to_show("auto") == "sixel"
    assert way_to_show("kitty") == "kitty"
    assert way_to_show(None) is None


def test_a_picture_that_fails_is_not_shown_and_the_others_are(picture, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = srcli("upscale", tmp_path, "-m", "bicubic", "-s", SCALE, "--show=blocks", env=TERMINAL)
    assert result.exit_code == 1
    assert result.stderr.count("before and after") == 1

"""What is printed is decoded again, as a terminal would."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from srcli.preview import PROTOCOLS, detect, draw, true_color
from tests.conftest import photograph

FLAT = photograph(13, 17) // 64 * 64  # at most 64 colours, which sixels keep to 1 %


def _decode_blocks(text: str) -> np.ndarray:
    """Return (H, W, 3) of half blocks in 24-bit colour."""
    rows: list[list[list[int]]] = []
    for line in text.splitlines():
        upper, lower = [], []
        colors: list[int] = []
        for codes, _ in re.findall(r"(?:\x1b\[([\d;]+)m)?(▀)", line):
            colors = [int(code) for code in codes.split(";")] if codes else colors
            assert colors[:2] == [38, 2] and colors[5:7] == [48, 2]
            upper.append(colors[2:5])
            lower.append(colors[7:10])
        assert line.endswith("\x1b[0m")
        rows += [upper, lower]
    return np.array(rows, np.uint8)


def _decode_sixel(text: str) -> np.ndarray:
    """Return (H, W, 3) by the rules of DEC's terminals: bands of 6 rows, $ back to the left, - to the next band."""
    header = re.match(r'\x1bP0;1;0q"1;1;(\d+);(\d+)', text)
    width, height = int(header[1]), int(header[2])
    pixels = np.full((-(-height // 6) * 6, width, 3), 255, np.uint8)
    palette: dict[int, list[int]] = {}
    x = top = color = 0
    body = text[header.end() : text.index("\x1b\\")]
    for define, r, g, b, choose, count, sixel, move in re.findall(
        r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|(?:!(\d+))?([?-~])|([$-])", body
    ):
        if define:
            palette[int(define)] = [round(int(v) * 255 / 100) for v in (r, g, b)]
        elif choose:
            color = int(choose)
        elif move:
            x, top = 0, top + 6 * (move == "-")
        else:
            for bit in range(6):
                if ord(sixel) - 63 >> bit & 1:
                    pixels[top + bit, x : x + int(count or 1)] = palette[color]
            x += int(count or 1)
    return pixels[:height]


def test_kitty_gets_a_png_in_chunks():
    pixels = np.random.default_rng(0).integers(0, 256, (80, 90, 3), np.uint8)
    text = draw(pixels, "kitty")
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert chunks[0][0] == "a=T,f=100,q=2,m=1" and [c for c, _ in chunks[1:]] == ["m=1"] * (len(chunks) - 2) + ["m=0"]
    assert all(len(payload) <= 4096 for _, payload in chunks)
    png = base64.b64decode("".join(payload for _, payload in chunks))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), pixels)
    assert re.sub(r"\x1b_G[^\x1b]*\x1b\\", "", text) == "\n"


def test_iterm_gets_a_png_and_its_size():
    facts, encoded = re.fullmatch(r"\x1b]1337;File=([^:]*):([^\x07]*)\x07\n", draw(FLAT, "iterm")).groups()
    png = base64.b64decode(encoded)
    assert facts == f"inline=1;size={len(png)};width=17px;height=13px"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), FLAT)


def test_sixels_draw_the_picture():
    decoded = _decode_sixel(draw(FLAT, "sixel"))
    assert decoded.shape == FLAT.shape
    assert np.abs(decoded.astype(int) - FLAT).max() <= 2  # colours are percentages


def test_sixels_of_many_colours_are_near():
    pixels = photograph(60, 80)
    assert np.abs(_decode_sixel(draw(pixels, "sixel")).astype(int) - pixels).mean() < 8


def test_blocks_draw_two_rows_a_line():
    pixels = photograph(12, 17)
    assert np.array_equal(_decode_blocks(draw(pixels, "blocks")), pixels)
    odd = _decode_blocks(draw(FLAT, "blocks"))
    assert np.array_equal(odd[:13], FLAT) and np.array_equal(odd[13], FLAT[12])


@pytest.mark.parametrize(
    ("color", "code"),
    [
        ((0, 0, 0), 16),
        ((255, 255, 255), 231),
        ((255, 0, 0), 196),
        ((95, 135, 175), 67),
        ((128, 128, 128), 244),
        ((8, 8, 8), 232),
    ],
)
def test_256_colours_are_the_nearest_of_the_palette(color, code):
    text = draw(np.full((2, 1, 3), color, np.uint8), "blocks", true_color=False)
    assert text == f"\x1b[38;5;{code};48;5;{code}m▀\x1b[0m\n"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "mlterm-256color"}, "sixel"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"}, "blocks"),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, "blocks"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, "blocks"),
        ({"TERM": "dumb"}, None),
        ({}, "blocks"),
    ],
)
def test_what_a_terminal_can_is_told_by_its_environment(environment, expected):
    assert detect(environment) == expected


def test_24_bit_colour_is_taken_where_it_is_promised():
    assert true_color({"COLORTERM": "truecolor"}) and true_color({"COLORTERM": "24bit"})
    assert not true_color({}) and not true_color({"COLORTERM": "yes"})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_px_is_drawn(protocol):
    assert draw(np.zeros((1, 1, 3), np.uint8), protocol).endswith("\n")

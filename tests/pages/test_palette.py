"""The colours can be read on their grounds, and are the only ones."""

import re

import pytest

from srcli.pages import own_file, page
from srcli.pages.palette import DARK, LIGHT, Theme


def _luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(a: str, b: str) -> float:
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_series_stand_out_from_their_grounds(theme: Theme):
    for ground in (theme.paper, theme.panel):
        assert _contrast(theme.ink, ground) >= 7
        assert _contrast(theme.faint, ground) >= 4.5
        assert all(_contrast(color, ground) >= 3 for color in theme.series)
    assert _contrast(theme.ink, theme.mark) >= 7


def test_a_page_has_both_themes():
    text = page("x")
    assert all(color in text for theme in (LIGHT, DARK) for color in (theme.paper, theme.ink, *theme.series))


@pytest.mark.parametrize("name", ["page.html", "viewer.css", "viewer.js"])
def test_no_other_file_names_colours_but_black_and_white(name):
    assert set(re.findall(r"#[0-9a-f]{6}(?:[0-9a-f]{2})?\b", own_file(name))) <= {"#000000", "#ffffff", "#000000b8"}

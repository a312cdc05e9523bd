"""Plots have the colours of the pages, light and dark."""

from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageColor

from srcli.engine.curves import style
from srcli.engine.drawing import drawn
from srcli.errors import UsageError, UserError
from srcli.pages.palette import DARK, LIGHT, Theme

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_a_plot_has_the_ground_and_the_ink_of_the_pages(tmp_path: Path, theme: Theme):
    with drawn(tmp_path / "a.png", (2, 1), theme) as figure:
        figure.text(0.2, 0.2, "█████", fontsize=40)
    with Image.open(tmp_path / "a.png") as image:
        colors = {color for _, color in image.convert("RGB").getcolors(100_000)}
        assert image.convert("RGB").getpixel((0, 0)) == ImageColor.getrgb(theme.paper)
    assert ImageColor.getrgb(theme.ink) in colors


def test_equal_figures_give_equal_files(tmp_path: Path):
    for name in ("a.svg", "b.svg"):
        with drawn(tmp_path / name, (2, 1), LIGHT) as figure:
            figure.add_subplot().plot([1, 2])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_figure_that_fails_leaves_no_file(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), drawn(tmp_path / "a.png", (2, 1), LIGHT):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_other_formats_and_missing_folders_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"\.png or \.svg"), drawn(tmp_path / "a.pdf", (2, 1), LIGHT):
        pass
    with pytest.raises(UserError, match="cannot write"), drawn(tmp_path / "none" / "a.png", (2, 1), LIGHT):
        pass


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_18_runs_look_different_and_neighbours_differ_in_colour_and_dashes(theme):
    styles = [style(i, theme) for i in range(18)]
    assert len(set(styles)) == 18
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in pairwise(styles))

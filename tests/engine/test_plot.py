"""Plots are written, name every network, and their labels do not overlap."""

import sys
from pathlib import Path

import pytest

from srcli.checkpoint import read_card
from srcli.engine.plot import Point, plot_tradeoff, tradeoff
from srcli.engine.profile import compare, profile
from srcli.engine.published import ROWS
from srcli.errors import UsageError, UserError
from srcli.models import create
from srcli.zoo import find_weights

POINTS = [
    Point(row.label, row.parameters, row.scores["Set5"].psnr, ours=row.ours)
    for row in ROWS
    if row.scale == 4 and row.parameters and "Set5" in row.scores
]
FEW = [Point("one", 10.0, 30.0, ours=True), Point("two", 1000.0, 32.0)]


def test_png_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_tradeoff(POINTS, tmp_path / "plot.png", title="Set5, x4")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_svg_is_the_same_each_time_and_names_every_network(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        plot_tradeoff(FEW, tmp_path / name, axis="milliseconds")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert all(f"<!-- {p.label} -->" in text for p in FEW)


def test_points_without_a_cost_are_left_out(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_tradeoff([*FEW, Point("bicubic", 0.0, 28.4)], tmp_path / "plot.svg")
    assert "bicubic" not in (tmp_path / "plot.svg").read_text()


def test_nothing_to_plot_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to plot"):
        plot_tradeoff([Point("bicubic", 0.0, 28.4)], tmp_path / "plot.png")


def test_another_format_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a plot is a .png or .svg file, not 'plot.gif'"):
        plot_tradeoff(FEW, tmp_path / "plot.gif")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(UserError, match="cannot write"):
        plot_tradeoff(FEW, tmp_path / "missing" / "plot.png")


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"pip install 'srcli\[plot\]'"):
        plot_tradeoff(FEW, tmp_path / "plot.png")


def test_the_points_are_the_weights_made_for_the_papers_lr_and_the_papers_rows():
    rfdn = create("rfdn", 4)
    points = tradeoff([(profile(rfdn, 256, 256), compare(rfdn))], 4, "Set5", "macs")
    (ours,) = (p for p in points if p.ours)  # without the photo weights
    assert ours.label == "E-RFDN (AIM 2020)"
    assert ours.cost == pytest.approx(23.8, abs=0.1)
    plain, photo = (
        next(s["psnr"] for s in read_card(find_weights(name, 4)).scores if s["dataset"] == "Set5")
        for name in ("rfdn", "rfdn-photo")
    )
    assert 32.5 > ours.psnr == plain > photo + 0.5
    assert {"IMDN", "RDN"} - {p.label for p in points} == {"IMDN"}  # no cost where srcli has the network and did not count it

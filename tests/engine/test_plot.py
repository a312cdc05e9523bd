"""Plots are written, name every network, and their labels do not overlap."""

import sys
from pathlib import Path

import pytest

from srcli.checkpoint import read_card
from srcli.engine.plot import Box, Point, nearest, overlaps, place_labels, plot_tradeoff, tradeoff
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
PAGE = Box(0, 0, 648, 432)


def test_labels_of_a_crowd_do_not_overlap_each_other_or_the_points() -> None:
    centres = [(300 + 13 * (i % 5) + 3 * (i // 5), 200 + 9 * (i // 5)) for i in range(25)]
    boxes = place_labels(centres, [(60, 10)] * 25, PAGE)
    assert overlaps(boxes) == 0
    assert not any(box.overlap(Box(x, y, x + 1, y + 1)) for box in boxes for x, y in centres)


def test_labels_stay_on_the_page() -> None:
    boxes = place_labels([(2, 2), (646, 2), (2, 430), (646, 430)], [(90, 10)] * 4, PAGE)
    assert all(box.overlap(PAGE) == pytest.approx(900) for box in boxes)


def test_labels_avoid_what_is_taken() -> None:
    legend = Box(105, 90, 250, 110)
    (box,) = place_labels([(100, 100)], [(40, 10)], PAGE, [legend])
    assert box.overlap(legend) == 0


def test_a_lonely_label_stands_right_beside_its_point() -> None:
    (box,) = place_labels([(100, 100)], [(40, 10)], PAGE)
    assert box == pytest.approx((107, 95, 147, 105))


def test_the_same_points_give_the_same_places() -> None:
    centres = [(100 + 7 * i, 100 + (i * i) % 11) for i in range(12)]
    sizes = [(30 + i, 10) for i in range(12)]
    assert place_labels(centres, sizes, PAGE) == place_labels(centres, sizes, PAGE)


def test_the_nearest_place_of_a_box_is_on_its_edge() -> None:
    assert nearest(Box(10, 20, 30, 40), (0, 25)) == (10, 25)


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
    assert 32.5 > ours.psnr == plain > photo + 1
    assert {"IMDN", "RDN"} - {p.label for p in points} == {"IMDN"}  # no cost where srcli has the network and did not count it

"""The papers' rows are whole, and srcli's counts stand beside them as the notes say."""

import pytest

from srcli.engine.profile import input_for_output, profile
from srcli.engine.published import (
    ABLATIONS,
    CHALLENGE,
    DATASETS,
    ROWS,
    Challenge,
    Published,
    challenge_for,
    deviation,
    published_for,
)
from srcli.models import ARCHS, create
from tests.counts import PARAMETERS, at_720p

COUNTED = [row for row in ROWS if row.ours and row.multi_adds is not None]
EXPLAINED = {"fsrcnn", "rfdn-c48", "fdiwn", "fdiwn-m"}  # counted otherwise, each with a note


@pytest.mark.parametrize("name", ARCHS)
def test_every_network_of_a_paper_has_a_published_row(name: str) -> None:
    assert any(row.name == name for row in ROWS) != ARCHS[name].path.startswith("plain.")  # srcli's own are in no paper


def test_no_row_is_there_twice() -> None:
    keys = [(row.name, row.scale) for row in ROWS]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("row", [*ROWS, *ABLATIONS], ids=lambda row: f"{row.name}-{row.scale}")
def test_scores_are_plausible_and_sourced(row: Published) -> None:
    assert row.source
    assert set(row.scores) <= set(DATASETS)
    assert all(20 < score.psnr < 40 for score in row.scores.values())
    assert all(score.ssim is None or 0.6 < score.ssim < 1 for score in row.scores.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.scale}")
def test_no_network_scores_below_bicubic(row: Published) -> None:
    bicubic = published_for("bicubic", row.scale)
    assert bicubic is not None
    assert all(score.psnr >= bicubic.scores[dataset].psnr for dataset, score in row.scores.items())


@pytest.mark.parametrize("row", [r for r in ROWS if r.ours and r.parameters], ids=lambda row: f"{row.name}-{row.scale}")
def test_our_parameters_are_within_a_percent_of_the_published(row: Published) -> None:
    difference = deviation(PARAMETERS[row.name][row.scale - 2] / 1e3, row.parameters)
    assert difference is not None
    # FSRCNN is 12.8 K, printed as 12
    assert abs(difference) < (0.07 if row.name == "fsrcnn" else 0.01)


@pytest.mark.parametrize("row", [r for r in COUNTED if r.name not in EXPLAINED], ids=lambda row: f"{row.name}-{row.scale}")
def test_our_multi_adds_are_within_half_a_percent_of_the_published(row: Published) -> None:
    difference = deviation(at_720p(row.name, row.scale).macs / 1e9, row.multi_adds)
    assert difference is not None and abs(difference) < 0.005


@pytest.mark.parametrize("row", [r for r in COUNTED if r.name in EXPLAINED], ids=lambda row: f"{row.name}-{row.scale}")
def test_multi_adds_that_are_counted_otherwise_say_so(row: Published) -> None:
    assert "count" in row.note or "leave out" in row.note


@pytest.mark.parametrize("entry", CHALLENGE, ids=lambda entry: entry.name)
def test_our_challenge_counts_are_the_published_ones(entry: Challenge) -> None:
    counted = profile(create(entry.name, 4), 256, 256)
    ours = (
        round(counted.parameters / 1e6, 3),
        round(counted.ntire_flops / 1e9, 2),
        round(counted.activations / 1e6, 2),
        counted.convolutions,
    )
    assert ours == (entry.parameters, entry.flops, entry.activations, entry.convolutions)


@pytest.mark.parametrize("row", ABLATIONS, ids=lambda row: str(row.config))
def test_our_counts_of_ablations_are_the_published_ones(row: Published) -> None:
    counted = profile(create(row.name, row.scale, **row.config), *input_for_output(row.scale, 720, 1280))
    assert deviation(counted.parameters / 1e3, row.parameters) == pytest.approx(0, abs=0.01)
    expected = 309.8 if row.config.get("recursions") == 9 else row.multi_adds  # the paper prints those of 6
    assert deviation(counted.macs / 1e9, expected) == pytest.approx(0, abs=0.01)


def test_rows_are_found_by_name_in_any_case() -> None:
    row = published_for("edsr-BASELINE", 4)
    assert row is not None
    assert (row.label, row.ours, row.parameters, row.scores["Set5"].psnr) == ("EDSR-baseline", False, 1518, 32.09)


def test_rows_are_found_by_alias() -> None:
    assert challenge_for("E-RFDN") is CHALLENGE[0]


def test_what_no_table_has_is_none() -> None:
    assert (published_for("rfdn", 3), challenge_for("vdsr")) == (None, None)


def test_deviation_is_a_fraction_of_the_published_figure() -> None:
    assert deviation(71.34, 71.5) == pytest.approx(-0.002238, abs=1e-6)


@pytest.mark.parametrize("published", [None, 0.0])
def test_there_is_no_deviation_from_nothing(published: float | None) -> None:
    assert deviation(71.34, published) is None

from pathlib import Path

import pytest

from srcli.engine.against import Row, check_comparable, differing, ranking, shown
from srcli.engine.evaluate import Dataset, Entry, Protocol, Score, conclude
from srcli.engine.published import ROWS, published_for
from srcli.engine.published import Score as PublishedScore
from srcli.errors import UsageError


def _dataset(name: str) -> Dataset:
    return Dataset(name, Path(name), [Path("a.png"), Path("b.png")])


def _result(model: str, dataset: str, psnr: float, scale: int = 4):
    scores = [Score("a.png", psnr - 1, 0.8, 0.1), Score("b.png", psnr + 1, 0.9, 0.1)]
    return conclude(Entry(model, model, Path(model)), _dataset(dataset), Protocol(scale), scores)


def test_ours_stand_among_the_papers_rows_by_psnr():
    rows = ranking([_result("mine", "Set5", 32.0), _result("other", "Set5", 40.0)])
    psnrs = [row.scores["Set5"].psnr for row in rows]
    assert psnrs == sorted(psnrs)
    assert rows[-1].name == "other"
    assert [row.name for row in rows if row.ours] == ["mine", "other"]


def test_every_row_of_the_scale_is_there_with_its_own_figures():
    rows = {row.name: row for row in ranking([_result("mine", "Set14", 30.0, 3)])}
    expected = [row for row in ROWS if row.scale == 3 and "Set14" in row.scores]
    assert len(rows) == len(expected) + 1
    carn = published_for("carn", 3)
    assert rows[carn.label].scores["Set14"] == carn.scores["Set14"] == PublishedScore(30.29, 0.8407)


@pytest.mark.parametrize(("folder", "column"), [("Urban100", "U100"), ("BSD100", "B100"), ("manga109", "M109")])
def test_folders_under_their_usual_names_are_known(folder, column):
    rows = {row.name: row for row in ranking([_result("mine", folder, 30.0)])}
    assert rows["EDSR"].scores[folder] == published_for("EDSR", 4).scores[column]


def test_figures_that_nobody_checked_say_so():
    rows = {row.name: row for row in ranking([_result("mine", "Set5", 30.0)])}
    assert "not checked" in rows["ECBSR"].source
    assert "not checked" not in rows["IMDN"].source


def test_a_data_set_that_no_table_has_is_left_out():
    rows = ranking([_result("mine", "my photos", 35.0), _result("mine", "Set5", 32.0)])
    assert next(row for row in rows if row.ours) == Row("mine", {"Set5": PublishedScore(32.0, pytest.approx(0.85))})


@pytest.mark.parametrize(
    ("protocol", "name", "text"),
    [
        (Protocol(4, "rgb"), "Set5", "--channel"),
        (Protocol(4, border=6), "Set5", "--shave"),
        (Protocol(4), "my photos", "Set5, Set14"),
        (Protocol(6), "Set5", "x6"),
    ],
)
def test_what_cannot_be_compared_is_refused(protocol, name, text):
    with pytest.raises(UsageError, match=text):
        check_comparable([_dataset(name)], protocol)


def test_scores_are_printed_as_the_tables_do():
    assert (shown(PublishedScore(32.2, 0.895)), shown(PublishedScore(32.2, None)), shown(None)) == (
        "32.20 / 0.8950",
        "32.20",
        "-",
    )


def test_sets_that_the_papers_do_not_have_are_ranked_with_nothing_and_others_told_by_their_counts():
    assert ranking([_result("mine", "my photos", 35.0)]) == []
    told = differing([_result("mine", "my photos", 35.0), _result("mine", "Set14", 32.0)])
    assert told == ["'Set14' has 2 pictures here, 14 in the papers: their means are not of the same"]

import os
import shutil
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from srcli.engine import watch
from srcli.engine.watch import arrivals, plan_arrivals
from srcli.errors import BadFolder
from srcli.media.planning import plan_jobs


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    return Path("in")


@pytest.fixture
def looks(monkeypatch):
    """Do something between two looks: a list of functions, one for each pause."""
    steps = []
    monkeypatch.setattr(watch.time, "sleep", lambda seconds: steps.pop(0)() if steps else None)
    return steps


def picture(name, width=5):
    Image.new("RGB", (width, 3)).save(name)


def test_a_file_comes_once_and_only_when_it_rests(folder, looks):
    picture("in/a.png")
    looks += [lambda: None, lambda: picture("in/b.png"), lambda: picture("in/b.png", 50), lambda: None]
    assert list(arrivals(folder, recursive=False, output=None, idle=0)) == [[Path("in/a.png")], [Path("in/b.png")]]


def test_a_failed_file_comes_again_when_it_has_changed(folder, looks):
    picture("in/a.png")
    again = set()
    found = arrivals(folder, recursive=False, output=None, again=again, idle=0)
    assert next(found) == [Path("in/a.png")]
    again.add(Path("in/a.png"))
    looks += [lambda: os.utime("in/a.png", (1, 1))]
    assert list(found) == [[Path("in/a.png")]]


def test_results_inside_the_folder_and_hidden_files_do_not_come(folder, looks):
    Path("in/out").mkdir()
    for name in ("in/out/a.png", "in/.part.png", "in/sub.png"):
        picture(name)
    assert list(arrivals(folder, recursive=True, output=Path("in/out"), idle=0)) == [[Path("in/sub.png")]]


def test_a_file_that_vanishes_is_passed_over_and_a_folder_that_vanishes_is_said(folder, looks):
    picture("in/a.png")
    found = arrivals(folder, recursive=False, output=None, idle=None)
    assert next(found) == [Path("in/a.png")]
    picture("in/b.png")
    looks += [lambda: Path("in/b.png").unlink(), lambda: None, lambda: shutil.rmtree("in")]
    with pytest.raises(BadFolder):
        next(found)


def test_a_link_to_nothing_hides_no_other(folder, looks):
    for name in ("in/a.png", "in/c.png"):
        picture(name)
    Path("in/b.png").symlink_to("nowhere.png")
    assert list(arrivals(folder, recursive=False, output=None, idle=0)) == [[Path("in/a.png"), Path("in/c.png")]]


def test_one_refusal_does_not_refuse_the_others(folder):
    picture("in/a.png")
    picture("in/b.png")
    Path("out").mkdir()
    picture("out/b.png")
    plan = partial(plan_jobs, ["in"], Path("out"), scale=2)
    jobs, refused = plan_arrivals(sorted(folder.iterdir()), plan, {})
    assert [job.source.name for job in jobs] == ["a.png"]
    assert "already there: 'out/b.png'" in refused[0].error


def test_what_an_earlier_file_made_is_no_others(folder):
    picture("in/a.png")
    jobs, refused = plan_arrivals(
        [Path("in/a.png")], partial(plan_jobs, ["in"], Path("out"), scale=2), {Path("out/a.png"): Path("in/a.jpg")}
    )
    assert jobs == []
    assert refused[0].error == "its output 'out/a.png' is that of 'in/a.jpg'; choose another --name"


def test_of_two_that_collide_the_first_is_made(folder):
    picture("in/a.png")
    picture("in/a.jpg")
    picture("in/b.png")
    plan = partial(plan_jobs, ["in"], Path("out"), scale=2, format="webp")
    jobs, refused = plan_arrivals(sorted(folder.iterdir()), plan, {})
    assert [(job.source.name, bool(job.refused)) for job in jobs] == [("a.png", True), ("a.jpg", False), ("b.png", False)]
    assert refused == []

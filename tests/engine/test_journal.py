import errno
import json
from pathlib import Path

import pytest
import torch

from srcli.engine.distributed import Team
from srcli.engine.journal import Account, Journal, keeping, machine, model_facts
from srcli.engine.pipeline import Done
from srcli.engine.resizer import open_networks
from srcli.engine.runner import Work
from srcli.errors import BadFolder, BadPicture, OutputExists, UsageError
from srcli.zoo import hash_of, weights_folder

ALONE = Team(0, 1, torch.device("cpu"))


def done(name: str, **facts) -> Done:
    return Done(Path(name), Path(f"out/{name}"), facts.pop("status", "done"), **facts)


def test_the_ranks_files_become_one_document(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("report.json")
    leader, other = Journal(path, 0, 2), Journal(path, 1, 2)
    other.add(done("a.png"), Account("abc", (Work(4, 1, 9, 9),)))
    leader.add(done("b.png", status="failed", error="no"))
    other.close("finished")
    leader.head(command="srcli upscale")
    leader.close("finished")
    document = json.loads(path.read_text())
    assert [(f["input"]["path"], f["rank"], f["status"]) for f in document["files"]] == [
        ("a.png", 1, "done"),
        ("b.png", 0, "failed"),
    ]
    assert document["files"][0]["passes"][0]["tiles"] == 1
    assert (document["status"], document["command"]) == ("finished", "srcli upscale")
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_what_is_skipped_keeps_what_an_earlier_report_says_of_it_unless_it_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    for name in ("a.png", "b.png"):
        Path("out", name).write_bytes(b"made")
    for model, status in (("rfdn", "done"), (None, "skipped")):
        journal = Journal(Path("report.json"), 0, 1)
        journal.head(models=[{"name": model}, {"name": "not used"}] if model else [])
        for name in ("a.png", "b.png"):
            journal.add(done(name, status=status, model=model))
        journal.close("finished")
        Path("out/b.png").write_bytes(b"changed")
    document = json.loads(Path("report.json").read_text())
    assert [(f["status"], f["model"]) for f in document["files"]] == [("skipped", "rfdn"), ("skipped", None)]
    assert document["models"] == [{"name": "rfdn"}]


@pytest.mark.parametrize("changed", [{"files": None}, {"files": [{"output": None}]}, {"models": None}, {"models": [{}]}])
def test_a_report_that_somebody_changed_is_replaced(tmp_path, changed):
    for before in (False, True):
        journal = Journal(tmp_path / "report.json", 0, 1)
        journal.head(models=[{"name": "rfdn"}])
        journal.add(done("a.png", status="skipped" if before else "done"))
        journal.close("finished")
        document = json.loads((tmp_path / "report.json").read_text())
        if not before:
            (tmp_path / "report.json").write_text(json.dumps(document | changed))
    assert [f["status"] for f in document["files"]] == ["skipped"]


def test_a_killed_ranks_whole_lines_count_and_the_next_run_takes_them_away(tmp_path, monkeypatch):
    monkeypatch.setattr("srcli.engine.journal._LINGER", 0.0)
    path = tmp_path / "report.json"
    leader, other = Journal(path, 0, 2), Journal(path, 1, 2)
    other.add(done("a.png"))
    part = tmp_path / ".report.json.rank1"
    part.write_text(part.read_text() + '{"input": {"pa')
    leader.close("stopped")
    assert [f["input"]["path"] for f in json.loads(path.read_text())["files"]] == ["a.png"]
    part.write_text("left")
    Journal(path, 0, 1).close("finished")
    assert json.loads(path.read_text())["files"] == []
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize(("error", "status"), [(BadPicture("gone"), "stopped"), (KeyboardInterrupt(), "interrupted")])
def test_a_run_that_ends_early_is_written_too(tmp_path, error, status):
    path = tmp_path / "report.json"
    with pytest.raises(type(error)), keeping(path, ALONE) as journal:
        journal.add(done("a.png"))
        raise error
    document = json.loads(path.read_text())
    assert (document["status"], document["error"], len(document["files"])) == (status, str(error) or None, 1)


def test_a_report_replaces_reports_only(tmp_path):
    path = tmp_path / "report.json"
    for _ in range(2):
        with keeping(path, ALONE):
            pass
    path.write_text('{"mine": 1}')
    with pytest.raises(OutputExists), keeping(path, ALONE):
        pass
    assert path.read_text() == '{"mine": 1}'
    with pytest.raises(UsageError), keeping(tmp_path / "photo.png", ALONE):
        pass
    with pytest.raises(BadFolder), keeping(tmp_path / "no" / "report.json", ALONE):
        pass


def test_models_are_named_with_their_files_hash_and_licence():
    [facts] = model_facts("rfdn", open_networks("rfdn", 4))
    assert (facts["arch"], facts["scale"], facts["licence"]) == ("rfdn", 4, "MIT")
    assert facts["sha256"] == hash_of(weights_folder() / "rfdn_x4.safetensors")
    [facts] = model_facts("bicubic", open_networks("bicubic", 2))
    assert (facts["scale"], facts["file"]) == (2, None)


def test_the_machine_is_described():
    facts = machine(torch.device("cpu"))
    assert (facts["device"], facts["gpu"], facts["threads"]) == ("cpu", None, torch.get_num_threads())
    assert facts["packages"]["torch"] == torch.__version__
    assert facts["processor"]


def test_a_report_that_cannot_be_written_is_said_once_and_lets_the_rest_go_on(tmp_path, monkeypatch):
    said = []
    path = tmp_path / "report.json"
    with keeping(path, ALONE, said.append) as journal:
        journal.add(done("a.png"))
        honest = Path.open

        def full(self, mode="r", *arguments, **more):
            if "r" not in mode:
                raise OSError(errno.ENOSPC, "No space left on device")
            return honest(self, mode, *arguments, **more)

        monkeypatch.setattr(Path, "open", full)
        journal.add(done("b.png"))
        journal.add(done("c.png"))
        monkeypatch.undo()
    assert said == [f"cannot write '{path}': No space left on device; there is no report of this run"]
    assert journal.lost
    assert list(tmp_path.iterdir()) == []


def test_a_document_that_cannot_be_written_is_said_too(tmp_path):
    said = []
    with keeping(tmp_path / "r.json", ALONE, said.append):
        (tmp_path / "r.json").mkdir()
    assert said == [f"cannot write '{tmp_path / 'r.json'}': Is a directory; there is no report of this run"]
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_a_name_that_leaves_no_room_for_the_lines_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is 3 bytes too long"), keeping(tmp_path / f"{'n' * 246}.json", ALONE):
        pass


def test_the_report_of_a_run_at_work_is_no_others(tmp_path):
    pytest.importorskip("fcntl")
    path = tmp_path / "report.json"
    with keeping(path, ALONE) as journal:
        journal.add(done("a.png"))
        with pytest.raises(UsageError, match="another run is writing the report"), keeping(path, ALONE):
            pass
    assert len(json.loads(path.read_text())["files"]) == 1


def test_the_lines_of_a_killed_run_go_whatever_the_report_is_called(tmp_path):
    old = tmp_path / ".run[1].json.rank0"
    old.write_text('{"input": {"path": "old"}, "output": {"path": "old"}, "status": "done"}\n')
    Journal(tmp_path / "run[1].json", 0, 1).close("finished")
    assert json.loads((tmp_path / "run[1].json").read_text())["files"] == []

import copy
import errno
import io
import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from srcli import checkpoint, zoo
from srcli.engine import loop
from srcli.engine.data import Batch, Patches, Stream
from srcli.engine.distributed import Team
from srcli.engine.evaluate import Score
from srcli.engine.events import Noted, Saved, Started, Step, Validated
from srcli.engine.folders import degrade_folder
from srcli.engine.losses import make_loss
from srcli.engine.run import Run
from srcli.engine.settings import PARTNERS, Stage, TrainConfig, flag, settled
from srcli.engine.train import train
from srcli.errors import BadFolder, DeviceUnavailable, OutOfMemory, TrainingFailed, UsageError, WeightsNotFound
from srcli.models import create
from srcli.models.base import SRModel, Tiling
from srcli.models.blocks import bicubic
from srcli.ops.color import luma
from tests.conftest import small_files


@pytest.fixture
def config(pictures):
    return TrainConfig("fast", 2, str(pictures), steps=10, batch=2, patch=16, precision="fp32", warmup=2)


def _weights(path):
    return torch.load(path / "last.pt", weights_only=True)


def _log(path):
    return [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]


def test_stopping_and_resuming_equals_one_run_bit_for_bit(config, tmp_path):
    list(train(config, tmp_path / "a", device="cpu"))
    list(train(config, tmp_path / "b", device="cpu", stop_after=5))
    assert _weights(tmp_path / "b")["step"] == 5
    list(train(config, tmp_path / "b", device="cpu", resume=True))
    a, b = _weights(tmp_path / "a"), _weights(tmp_path / "b")
    assert a["step"] == b["step"] == 10
    for part in ("model", "averaged"):
        assert all(torch.equal(a[part][k], b[part][k]) for k in a[part])


def test_training_lowers_the_loss(config, tmp_path):
    longer = replace(config, steps=40, batch=4)
    losses = [e.loss for e in train(longer, tmp_path / "run", device="cpu") if isinstance(e, Step)]
    start = next(e for e in train(replace(longer, steps=1), tmp_path / "one", device="cpu") if isinstance(e, Step))
    assert losses[-1] < start.loss


def test_a_run_tells_what_it_trains_on_and_writes_its_files(config, pictures, tmp_path):
    out = tmp_path / "run"
    events = list(train(replace(config, val=str(pictures), steps=2), out, device="cpu"))
    assert isinstance(events[0], Started)
    assert (events[0].pictures, events[0].parameters, events[0].step) == (3, 30_300, 0)
    assert any(isinstance(e, Validated) for e in events)
    assert isinstance(events[-1], Saved)
    assert sorted(p.name for p in out.iterdir()) == ["best.safetensors", "last.pt", "log.jsonl"]
    kinds = [json.loads(line)["event"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert kinds[0] == "started"
    assert "validated" in kinds
    model, card = checkpoint.load(out / "best.safetensors")
    assert (model.arch, model.scale, card.training["steps_done"]) == ("fast", 2, 2)


def test_a_folder_that_holds_a_run_is_refused_without_resume(config, tmp_path):
    list(train(replace(config, steps=1), tmp_path / "run", device="cpu"))
    with pytest.raises(TrainingFailed, match="--resume"):
        next(train(config, tmp_path / "run", device="cpu"))


def test_a_folder_in_which_another_process_trains_is_refused(config, tmp_path):
    run = train(config, tmp_path / "run", device="cpu")
    next(run)
    with pytest.raises(TrainingFailed, match=f"another process trains in '{tmp_path / 'run'}'"):
        next(train(config, tmp_path / "run", device="cpu", resume=True))
    run.close()
    assert isinstance(next(train(config, tmp_path / "run", device="cpu", resume=True)), Started)


def test_weights_without_a_checkpoint_are_not_replaced(config, tmp_path):
    list(train(replace(config, steps=1), tmp_path / "run", device="cpu"))
    (tmp_path / "run" / "last.pt").unlink()
    for resume in (False, True):
        with pytest.raises(TrainingFailed, match=r"holds weights, but no last\.pt"):
            next(train(config, tmp_path / "run", device="cpu", resume=resume))


def test_a_checkpoint_that_lacks_something_is_damaged(config, tmp_path):
    list(train(replace(config, steps=1), tmp_path / "run", device="cpu"))
    state = _weights(tmp_path / "run")
    for lacking in ({k: v for k, v in state.items() if k != "optimizers"}, {**state, "config": {}}):
        torch.save(lacking, tmp_path / "run" / "last.pt")
        with pytest.raises(TrainingFailed, match=r"is damaged \(KeyError\); --init '.*best\.safetensors' and another"):
            next(train(config, tmp_path / "run", device="cpu", resume=True))
    (tmp_path / "run" / "best.safetensors").unlink()
    with pytest.raises(TrainingFailed, match="name another --out"):
        next(train(config, tmp_path / "run", device="cpu", resume=True))


def test_resuming_tells_of_other_folders_and_makes_up_for_lost_weights(config, pictures, tmp_path):
    other = shutil.copytree(pictures, tmp_path / "other")
    config = replace(config, val=str(pictures), steps=1)
    list(train(config, tmp_path / "run", device="cpu"))
    (tmp_path / "run" / "best.safetensors").unlink()
    events = list(train(replace(config, data=str(other), steps=2, lr=None), tmp_path / "run", device="cpu", resume=True))
    assert f"--data was {pictures}" in events[0].notes
    assert (tmp_path / "run" / "best.safetensors").exists()
    events = list(train(replace(config, data=str(other), steps=2), tmp_path / "run", device="cpu", resume=True))
    assert any("at its end" in note for note in events[0].notes)


def test_weights_of_a_run_that_is_done_are_made_again_where_they_are_lost(config, pictures, tmp_path):
    config = replace(config, arch="mfdn", steps=2)  # has statistics to be measured
    for name, settings, does in (
        ("plain", config, [Started, Saved]),
        ("scored", replace(config, val=str(pictures)), [Started, Validated, Saved]),
    ):
        best = tmp_path / name / "best.safetensors"
        list(train(settings, tmp_path / name, device="cpu"))
        before = checkpoint.load(best)[0].state_dict()
        best.unlink()
        assert [type(e) for e in train({}, tmp_path / name, device="cpu", resume=True)] == does
        after = checkpoint.load(best)[0].state_dict()
        assert all(torch.equal(value, after[k]) for k, value in before.items())
        assert [type(e) for e in train({}, tmp_path / name, device="cpu", resume=True)] == [Started]


def test_a_longer_run_whose_rate_goes_up_says_so(config, tmp_path):
    list(train(replace(config, lr=4e-3, steps=4), tmp_path / "run", device="cpu"))
    (note,) = (note for note in next(train({"steps": 8}, tmp_path / "run", device="cpu", resume=True)).notes if "rate" in note)
    assert note == "the rate goes up, from 5.9e-04 to 2.0e-03: schedule cosine is of the new length"
    started = next(train({"steps": 4, "compile": "off"}, tmp_path / "run", device="cpu", resume=True))
    assert not any("rate" in note for note in started.notes)


def test_a_card_tells_the_parts_of_a_run_that_was_resumed_with_other_settings(config, tmp_path):
    list(train(replace(config, steps=1), tmp_path / "run", device="cpu"))
    for steps in (1, 2, 2):  # as it was; another; at its end
        list(train({"steps": steps}, tmp_path / "run", device="cpu", resume=True))
    list(train({"steps": 3, "precision": "bf16"}, tmp_path / "run", device="cpu", resume=True))
    training = checkpoint.read_card(tmp_path / "run" / "best.safetensors").training
    told = [(part["steps_done"], part["steps"], part["precision"]) for part in [*training["parts"], training]]
    assert told == [(1, 1, "fp32"), (2, 2, "fp32"), (3, 3, "bf16")]


def test_resuming_with_other_settings_names_them(config, tmp_path):
    list(train(replace(config, steps=1), tmp_path / "run", device="cpu"))
    with pytest.raises(
        TrainingFailed, match=r"batch was 2, is 3; a run that begins with its weights: --init .*run --out ANOTHER"
    ):
        next(train(replace(config, batch=3), tmp_path / "run", device="cpu", resume=True))
    with pytest.raises(TrainingFailed, match=r"arch was 'fast', is 'rfdn'$"):
        next(train(replace(config, arch="rfdn"), tmp_path / "run", device="cpu", resume=True))
    anew = replace(config, batch=3, steps=1, init=str(tmp_path / "run"))
    assert f"started from '{tmp_path / 'run'}' (x2)" in next(train(anew, tmp_path / "another", device="cpu")).notes


def test_resuming_without_settings_takes_those_of_the_run(config, pictures, tmp_path):
    last = Stage(0.5, patch=18, loss="mse")
    config = replace(config, stage=(last,), milestones=(4,), schedule="step", network={"channels": 48}, lr=3e-3, steps=6)
    list(train(config, tmp_path / "a", device="cpu"))
    list(train(config, tmp_path / "b", device="cpu", stop_after=3))
    started, *_ = train({"compile": "off"}, tmp_path / "b", device="cpu", resume=True)
    assert (started.arch, started.scale, started.step) == ("fast", 2, 3)
    a, b = _weights(tmp_path / "a"), _weights(tmp_path / "b")
    assert b["config"] == {**a["config"], "compile": "off"}
    assert all(torch.equal(a["model"][k], b["model"][k]) for k in a["model"])
    list(train({"minutes": 1e-9}, tmp_path / "b", device="cpu", resume=True))  # replaces the steps
    with pytest.raises(TrainingFailed, match=r"lr was 0\.003, is 0\.1"):
        next(train({"lr": 0.1}, tmp_path / "b", device="cpu", resume=True))
    moved = pictures.rename(tmp_path / "moved")
    with pytest.raises(BadFolder, match=f"--data of the run is '{pictures}', and there is no such folder;"):
        next(train({}, tmp_path / "b", device="cpu", resume=True))
    assert f"--data was {pictures}" in next(train({"data": str(moved)}, tmp_path / "b", device="cpu", resume=True)).notes
    with pytest.raises(UsageError, match=f"--arch is missing, and '{tmp_path / 'c'}' holds no run"):
        next(train({}, tmp_path / "c", device="cpu", resume=True))


def test_a_run_goes_on_from_any_working_folder(config, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    list(train(replace(config, data=pictures.name, steps=1), Path("teaching"), device="cpu"))
    taught = replace(config, data=pictures.name, init="teaching", teacher="teaching", steps=2)
    list(train(taught, Path("taught"), device="cpu", stop_after=1))
    kept = _weights(tmp_path / "taught")["config"]
    assert [kept[name] for name in ("data", "init", "teacher")] == [str(pictures), *[str(tmp_path / "teaching")] * 2]
    _, card = zoo.open_model("taught")
    assert (card.training["data"], card.training["init"], card.training["teacher"]) == ("hr", "teaching", "teaching")
    monkeypatch.chdir("/")
    started, *_ = train({}, tmp_path / "taught", device="cpu", resume=True)
    assert started.step == 1
    monkeypatch.chdir(tmp_path)
    started, *_ = train(taught, tmp_path / "taught", device="cpu", resume=True)  # the same names, from the first folder
    assert not any("--data was" in note for note in started.notes)


def test_a_teacher_that_moved_is_named_anew_and_told(config, tmp_path):
    list(train(replace(config, steps=1), tmp_path / "old", device="cpu"))
    taught = replace(config, teacher=str(tmp_path / "old"), init=str(tmp_path / "old"), steps=4)
    list(train(taught, tmp_path / "taught", device="cpu", stop_after=1))
    moved = (tmp_path / "old").rename(tmp_path / "new")
    with pytest.raises(WeightsNotFound, match=r"--teacher: no weights file '.*old'"):
        next(train({}, tmp_path / "taught", device="cpu", resume=True))
    started, *_ = train({"teacher": str(moved)}, tmp_path / "taught", device="cpu", resume=True, stop_after=2)
    assert f"--teacher was {tmp_path / 'old'}" in started.notes
    _, card = zoo.open_model(str(tmp_path / "taught"))
    assert (card.training["init"], card.training["teacher"]) == ("old", "new")  # no place of this machine
    with pytest.raises(TrainingFailed, match=r"teacher was '.*new', is None"):
        next(train(replace(taught, teacher=None), tmp_path / "taught", device="cpu", resume=True))


def test_a_run_does_not_teach_itself(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    list(train(replace(config, teacher="rfdn", steps=1), Path("rfdn"), device="cpu"))  # the shipped one
    with pytest.raises(UsageError, match=r"--teacher '.*rfdn.*' is the run's own folder here"):
        next(train({"teacher": "rfdn/best.safetensors"}, Path("rfdn"), device="cpu", resume=True))
    for place in (tmp_path, Path("/")):  # the shipped teacher goes before a folder of its name
        monkeypatch.chdir(place)
        assert "taught by 'rfdn' (rfdn x2)" in next(train({}, tmp_path / "rfdn", device="cpu", resume=True)).notes


def test_what_is_given_on_resuming_takes_the_place_of_what_hangs_on_it(config, pictures, tmp_path):
    lr = tmp_path / "lr"
    degrade_folder(pictures, lr, 2, "photo", seed=0)
    folders = {"lr_dir": str(lr), "val": str(pictures), "val_lr_dir": str(lr)}
    list(train(replace(config, **folders, steps=1, validate_steps=1), tmp_path / "run", device="cpu"))
    kept = _weights(tmp_path / "run")["config"]
    assert {name: kept[name] for name in folders} == folders
    now = settled({"data": str(pictures), "lr": 5e-3, "validate_every": 3.0, "minutes": 1.0}, kept, tmp_path)
    assert (now.lr_dir, now.val_lr_dir, now.validate_steps, now.steps) == (str(lr), str(lr), None, None)
    for of, made in (("data", "--lr-dir"), ("val", "--val-lr-dir")):
        with pytest.raises(UsageError, match=f"has {made} '{lr}'; with another --{of} name {made} too"):
            settled({of: "moved"}, kept, tmp_path)
    for partnerless, partners in PARTNERS.items():
        without = {**kept, "val": None, "val_lr_dir": None}
        with pytest.raises(UsageError, match=f"{flag(partnerless)} needs {' or '.join(map(flag, partners))}"):
            settled({partnerless: 1}, without, tmp_path)
    with pytest.raises(UsageError, match="either --validate-every or --validate-steps"):
        settled({"validate_every": 3.0, "validate_steps": 2}, kept, tmp_path)


def test_resuming_nothing_starts_at_step_0_and_says_so(config, tmp_path):
    started = next(train(config, tmp_path / "run", device="cpu", resume=True))
    assert isinstance(started, Started)
    assert started.step == 0
    assert any("nothing to resume" in line for line in started.notes)


def test_a_run_that_is_asked_to_stop_saves_and_ends(config, tmp_path):
    events = list(train(config, tmp_path / "run", device="cpu", stopping=lambda: True))
    assert isinstance(events[-1], Saved)
    assert events[-1].step == 1


def test_a_run_that_is_asked_to_stop_does_not_validate_first(config, pictures, tmp_path):
    validated = replace(config, val=str(pictures))
    events = list(train(validated, tmp_path / "run", device="cpu", stopping=lambda: True))
    assert [type(e) for e in events] == [Started, Step, Saved]
    assert checkpoint.read_card(tmp_path / "run" / "best.safetensors").training["steps_done"] == 1


def test_validation_comes_at_the_same_steps_on_any_machine_where_it_goes_by_steps(config, pictures, tmp_path):
    config = replace(config, val=str(pictures), validate_steps=2, steps=5)
    list(train(config, tmp_path / "run", device="cpu", stop_after=3))
    list(train(config, tmp_path / "run", device="cpu", resume=True))
    log = _log(tmp_path / "run")
    assert [e["step"] for e in log if e["event"] == "validated"] == [2, 4, 5]  # at a run's end too, but where it is stopped
    stopped = tmp_path / "stopped"
    asked = iter([False, True])
    list(train(config, stopped, device="cpu", stopping=lambda: next(asked)))  # after step 2, without a validation
    list(train(config, stopped, device="cpu", resume=True))
    log = _log(stopped)
    assert [e["step"] for e in log if e["event"] == "validated"] == [2, 4, 5]


def test_validation_by_the_minute_comes_where_each_process_trains_for_less(config, pictures, tmp_path):
    config = replace(config, val=str(pictures), steps=None, minutes=60.0, validate_every=10.0)
    list(train(config, tmp_path / "run", device="cpu", stop_after=1))
    state = _weights(tmp_path / "run") | {"elapsed": 19.9999 * 60}
    torch.save(state, tmp_path / "run" / "last.pt")
    events = list(train(config, tmp_path / "run", device="cpu", resume=True, stop_after=4))
    assert len([e for e in events if isinstance(e, Validated)]) == 1  # at 20 minutes, and not where it is stopped


def test_wherever_a_run_is_stopped_it_is_the_same_run_once_resumed(config, pictures, tmp_path):
    config = replace(config, val=str(pictures), validate_steps=2, steps=3)
    list(train(config, tmp_path / "start", device="cpu"))
    config = replace(config, init=str(tmp_path / "start" / "best.safetensors"))
    asked = []
    events = list(train(config, tmp_path / "whole", device="cpu", stopping=lambda: bool(asked.append(1))))
    whole = [(e.step, e.psnr, e.best) for e in events if isinstance(e, Validated)]
    assert [step for step, *_ in whole] == [0, 2, 3]
    assert len(asked) == 3 + len(whole) * (3 + 1)  # steps, and validations of three pictures, after which it is asked again
    for n in range(len(asked)):
        out, answers = tmp_path / str(n), iter([False] * n)
        stopped = list(train(config, out, device="cpu", stopping=lambda answers=answers: next(answers, True)))
        assert isinstance(stopped[-1], Saved)
        events = stopped + list(train(config, out, device="cpu", resume=True))
        assert [(e.step, e.psnr, e.best) for e in events if isinstance(e, Validated)] == whole, f"asked for the {n + 1}th time"
        best, expected = (checkpoint.load(run / "best.safetensors")[0].state_dict() for run in (out, tmp_path / "whole"))
        assert all(torch.equal(best[k], expected[k]) for k in expected)


def test_the_last_steps_are_saved_before_they_are_validated(config, pictures, tmp_path):
    events = list(train(replace(config, val=str(pictures), steps=2), tmp_path / "run", device="cpu"))
    kinds = [type(e) for e in events if not isinstance(e, Step)]
    assert kinds == [Started, Saved, Validated, Saved]
    assert _weights(tmp_path / "run")["best"] == next(e.psnr for e in events if isinstance(e, Validated))


def test_a_run_that_was_killed_in_its_last_validation_makes_up_for_it(config, pictures, tmp_path):
    config = replace(config, val=str(pictures), steps=2)
    run = train(config, tmp_path / "run", device="cpu")
    next(e for e in run if isinstance(e, Saved))
    run.close()
    assert not (tmp_path / "run" / "best.safetensors").exists()
    events = list(train(config, tmp_path / "run", device="cpu", resume=True))
    assert [type(e) for e in events] == [Started, Validated, Saved]
    assert checkpoint.read_card(tmp_path / "run" / "best.safetensors").training["steps_done"] == 2
    assert [type(e) for e in train(config, tmp_path / "run", device="cpu", resume=True)] == [Started]


def test_the_best_on_other_pictures_does_not_count(config, pictures, tmp_path):
    easy = tmp_path / "easy"
    easy.mkdir()
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(easy / "flat.png")
    list(train(replace(config, val=str(easy), steps=1), tmp_path / "run", device="cpu"))
    resumed = train(replace(config, val=str(pictures), steps=2), tmp_path / "run", device="cpu", resume=True)
    start, end = [e for e in resumed if isinstance(e, Validated)]  # the start is what the rest has to better
    assert (start.step, start.best, end.step) == (1, True, 2)
    assert end.best == (end.psnr > start.psnr)
    assert checkpoint.read_card(tmp_path / "run" / "best.safetensors").training["val"] == pictures.name


def test_the_best_on_the_same_pictures_counts_wherever_they_lie(config, pictures, tmp_path):
    config = replace(config, val=str(pictures))
    list(train(replace(config, steps=1), tmp_path / "run", device="cpu"))
    best = _weights(tmp_path / "run")["best"]
    folder = str(pictures.rename(tmp_path / "moved"))
    moved = {"data": folder, "val": folder, "steps": 2}
    (validated,) = [e for e in train(moved, tmp_path / "run", device="cpu", resume=True) if isinstance(e, Validated)]
    assert validated.best == (validated.psnr > best)
    assert _weights(tmp_path / "run")["best"] == max(best, validated.psnr)


def test_time_that_the_device_took_counts_where_the_host_ran_ahead(config, tmp_path, monkeypatch):
    now = [0.0]

    class Lazy:
        """A loss that is computed when it is asked for, 3 s later."""

        def item(self):
            now[0] += 3.0
            return 0.5

    def monotonic():
        now[0] += 0.01
        return now[0]

    monkeypatch.setattr("srcli.engine.loop.time.monotonic", monotonic)
    monkeypatch.setattr(Team, "mean", lambda self, x: Lazy())
    monkeypatch.setattr("srcli.engine.loop.TELL_EVERY", 0.0)
    steps = [e for e in train(replace(config, steps=5), tmp_path / "run", device="cpu") if isinstance(e, Step)]
    assert [e.elapsed for e in steps] == pytest.approx([0.03, 3.06, 6.1, 9.1, 12.1], abs=0.2)
    assert all(e.steps_per_s == pytest.approx(1 / 3.02, rel=0.01) for e in steps)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_memory_that_does_not_hold_a_step_or_the_pictures_is_told_in_a_line(config, tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    with (
        monkeypatch.context() as failing,
        pytest.raises(OutOfMemory, match=r"memory does not hold a step; .* --batch .*; nothing was saved yet"),
    ):
        failing.setattr("srcli.engine.loop._backward", fail)
        list(train(config, tmp_path / "run", device="cpu"))
    monkeypatch.setattr(Patches, "read", fail)
    with pytest.raises(OutOfMemory, match="cpu does not hold the pictures; --cache-mib N"):
        list(train(config, tmp_path / "run", device="cpu"))


def test_weights_that_are_not_finite_are_never_saved(config, pictures, tmp_path, monkeypatch):
    config = replace(config, val=str(pictures), validate_steps=1, clip=0.0)
    list(train(config, tmp_path / "run", device="cpu", stop_after=2))
    before = (tmp_path / "run" / "last.pt").read_bytes()
    plain = Run.update

    def update(run):
        plain(run)
        if run.step == 3:
            next(run.model.parameters()).data.fill_(math.nan)

    monkeypatch.setattr(Run, "update", update)
    for stop_after in (None, 3):  # the loss of step 4 tells it; the last update is told by no loss
        with pytest.raises(TrainingFailed, match="not finite"):
            list(train(config, tmp_path / "run", device="cpu", resume=True, stop_after=stop_after))
        assert (tmp_path / "run" / "last.pt").read_bytes() == before


@pytest.mark.parametrize("scored", [False, True])
def test_averages_that_are_not_finite_replace_no_weights(config, pictures, tmp_path, monkeypatch, scored):
    if scored:
        config = replace(config, val=str(pictures), validate_steps=3)
    list(train(config, tmp_path / "run", device="cpu", stop_after=2))
    before = {name: (tmp_path / "run" / name).read_bytes() for name in ("last.pt", "best.safetensors")}
    plain = Run.update

    def update(run):
        plain(run)
        next(run.model.parameters()).data.fill_(math.nan)
        next(run.averaged.parameters()).data.fill_(math.nan)

    monkeypatch.setattr(Run, "update", update)
    with pytest.raises(TrainingFailed, match="not finite"):
        list(train(config, tmp_path / "run", device="cpu", resume=True, stop_after=3))
    assert {name: (tmp_path / "run" / name).read_bytes() for name in before} == before


def test_a_run_that_is_killed_after_a_validation_knows_its_score(config, pictures, tmp_path):
    events = train(replace(config, val=str(pictures), validate_steps=2), tmp_path / "run", device="cpu")
    validated = next(e for e in events if isinstance(e, Validated))
    assert isinstance(next(events), Saved)
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert (state["step"], state["best"], state["best_step"]) == (2, validated.psnr, 2)
    events.close()


def test_a_best_validation_is_saved_once(config, pictures, tmp_path, monkeypatch):
    saves, save_last = [], loop.save_last
    monkeypatch.setattr(loop, "save_last", lambda run, out: saves.append(run.step) or save_last(run, out))
    events = list(train(replace(config, val=str(pictures), validate_steps=1, steps=3), tmp_path / "run", device="cpu"))
    assert any(e.best and e.step < 3 for e in events if isinstance(e, Validated))
    assert saves == [e.step for e in events if isinstance(e, Saved)]


def test_what_a_killed_run_was_writing_is_swept(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".0123456789ab.tmp.pt").write_bytes(b"half")
    list(train(config, tmp_path / "run", device="cpu", stop_after=1))
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["best.safetensors", "last.pt", "log.jsonl"]


def test_what_cannot_be_read_any_more_ends_the_run_in_a_line(config, tmp_path, monkeypatch):
    def gone(*args, **kwargs):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "p.png")

    monkeypatch.setattr(Run, "draw", gone)
    with pytest.raises(TrainingFailed, match=r"cannot go on: Input/output error 'p\.png'; nothing was saved yet"):
        list(train(config, tmp_path / "run", device="cpu"))


def test_every_validation_follows_a_record_of_its_steps(config, pictures, tmp_path):
    list(train(replace(config, val=str(pictures), validate_steps=2, steps=5), tmp_path / "run", device="cpu"))
    log = _log(tmp_path / "run")
    kinds = [(e["event"], e["step"]) for e in log[1:]]
    assert [kinds[kinds.index(("validated", n)) - 1] for n in (2, 4, 5)] == [("step", n) for n in (2, 4, 5)]


def test_a_stop_that_is_passed_already_is_told(config, tmp_path):
    list(train(config, tmp_path / "run", device="cpu", stop_after=2))
    (started,) = train({}, tmp_path / "run", device="cpu", resume=True, stop_after=1)
    assert started.notes == ("nothing is done: the run is at step 2, --stop-after 1",)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(config, tmp_path):
    list(train(config, tmp_path / "run", device="cpu", stop_after=2))
    state = _weights(tmp_path / "run")
    state["model"]["head.weight"][:] = float("nan")
    torch.save(state, tmp_path / "run" / "last.pt")
    before = (tmp_path / "run" / "last.pt").read_bytes()
    with pytest.raises(TrainingFailed, match="not finite"):
        list(train(config, tmp_path / "run", device="cpu", resume=True))
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(config, tmp_path, monkeypatch):
    out = tmp_path / "run"
    list(train(config, out, device="cpu", stop_after=2))
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.suffix != ".jsonl"}

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("srcli.files.os.fsync", full)
    with pytest.raises(TrainingFailed, match=r"No space left on device; the last checkpoint, '.*', is kept"):
        list(train(config, out, device="cpu", resume=True))
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.suffix != ".jsonl"} == before


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_run_whose_first_writes_fail_can_be_begun_again(config, pictures, tmp_path, monkeypatch, scored, writes):
    config, fsync, done = replace(config, steps=2), os.fsync, []
    if scored:  # weights that are scored before the first step
        list(train(config, tmp_path / "start", device="cpu"))
        config = replace(config, val=str(pictures), init=str(tmp_path / "start" / "best.safetensors"))

    def full(file):
        done.append(file)
        if len(done) > writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    with monkeypatch.context() as patched:
        patched.setattr("srcli.files.os.fsync", full)
        with pytest.raises(TrainingFailed, match="No space left on device"):
            list(train(config, tmp_path / "run", device="cpu"))
    events = list(train(config, tmp_path / "run", device="cpu", resume=True))
    assert [e.step for e in events if isinstance(e, Validated)] == [0, 2] * scored
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_a_disk_without_room_for_the_log_ends_the_run_in_a_line(config, tmp_path):
    run = train(config, tmp_path / "run", device="cpu")
    next(run)
    log = tmp_path / "run" / "log.jsonl"
    with (
        small_files(log.stat().st_size + 10),
        pytest.raises(TrainingFailed, match=r"cannot write to '.*': File too large; nothing was saved yet"),
    ):
        list(run)


def test_a_run_streams_from_disk_and_resumes_bit_for_bit(config, tmp_path, monkeypatch):
    monkeypatch.setattr(Stream, "uses", 1)  # a chapter of 4 steps
    config = replace(config, cache_mib=1, patch=15, batch=4, steps=6)
    list(train(config, tmp_path / "a", device="cpu"))
    list(train(config, tmp_path / "b", device="cpu", stop_after=5))
    list(train(config, tmp_path / "b", device="cpu", resume=True))
    a, b = _weights(tmp_path / "a"), _weights(tmp_path / "b")
    assert all(torch.equal(a["model"][k], b["model"][k]) for k in a["model"])


def _kept(tmp_path, arch, scale, **arguments):
    """Keep fresh weights of a network at a scale; return the file, and how to start a run at another one from it."""
    torch.manual_seed(0)
    source = create(arch, scale, **arguments)
    source.start_as_upsampler()
    checkpoint.save(tmp_path / "start.safetensors", source, checkpoint.card_of(source))
    return {"arch": arch, "network": arguments or None, "init": str(tmp_path / "start.safetensors"), "steps": 1}


@pytest.mark.parametrize("before", [2, 4])
def test_another_scale_starts_from_a_trained_body_and_an_upsampler_made_of_its_own(config, tmp_path, before):
    source = zoo.weights_folder() / f"standard_x{before}.safetensors"
    config = replace(config, arch="standard", scale=3, val=config.data, lr=0.0, adam_lr=0.0, steps=1)
    bilinear = next(e for e in train(config, tmp_path / "bilinear", device="cpu") if isinstance(e, Validated))
    events = list(train(replace(config, init=str(source)), tmp_path / "run", device="cpu"))
    assert events[0].notes[0].endswith(f"(x{before}); upsampler made from that of x{before}")
    start = next(e for e in events if isinstance(e, Validated))
    assert start.step == 0 and start.psnr > bilinear.psnr + 1
    model, given = (checkpoint.load(path)[0] for path in (tmp_path / "run" / "best.safetensors", source))
    assert torch.equal(model.state_dict()["body.weight"], given.state_dict()["body.weight"])


def test_an_upsampler_of_several_stages_is_new_at_another_scale(config, tmp_path):
    start = _kept(tmp_path, "drn", 2, channels=8, groups=1, blocks=1, distilled=2)
    started = next(train(replace(config, scale=3, **start), tmp_path / "run", device="cpu"))
    assert started.notes[0].endswith("(x2); new: upsample.0.weight, upsample.0.bias")


def test_layers_that_all_fit_another_scale_are_told_and_not_scored(config, tmp_path):
    start = _kept(tmp_path, "pan", 4, channels=8, blocks=1, width=8)
    events = list(train(replace(config, val=config.data, **start), tmp_path / "run", device="cpu"))
    assert events[0].notes[0].endswith("(x4); every layer fits, but was trained at x4")
    assert [e.step for e in events if isinstance(e, Validated)] == [1]


@pytest.mark.parametrize(("scale", "told"), [(2, "started from 'mfdn' (x2)"), (4, "started from 'mfdn' (x4)")])
def test_weights_that_ship_are_a_start_by_their_name(config, tmp_path, scale, told):
    events = list(train(replace(config, arch="mfdn", scale=scale, init="mfdn", steps=1), tmp_path / "run", device="cpu"))
    assert events[0].notes == (told,)
    assert checkpoint.read_card(tmp_path / "run" / "best.safetensors").training["init"] == "mfdn"


def test_weights_of_another_scale_than_ship_are_a_start(config, tmp_path, monkeypatch):
    all_files, folder = zoo.weights_folder(), tmp_path / "weights"
    folder.mkdir()
    for name in ("standard_x4.safetensors", "SHA256SUMS"):
        shutil.copy(all_files / name, folder)
    monkeypatch.setattr(zoo, "weights_folder", lambda: folder)
    events = train(replace(config, arch="standard", init="standard", steps=1), tmp_path / "run", device="cpu")
    assert next(events).notes[0] == "started from 'standard' (x4); upsampler made from that of x4"


def test_weights_to_start_from_are_scored_first_and_kept_where_no_step_betters_them(config, pictures, tmp_path):
    config = replace(config, val=str(pictures), steps=2)
    scored = [e.psnr for e in train(config, tmp_path / "start", device="cpu") if isinstance(e, Validated)]
    start = tmp_path / "start" / "best.safetensors"
    worse = replace(config, init=str(start), lr=0.3, ema=0.0)
    events = list(train(worse, tmp_path / "worse", device="cpu"))
    first, last = [e for e in events if isinstance(e, Validated)]
    assert events[1] == first == Validated(0, scored[-1], first.ssim, True, 0.0)
    assert last.psnr < first.psnr and not last.best
    assert [e.text for e in events if isinstance(e, Noted)][-1].startswith("no validation passed the start")
    kept = checkpoint.load(tmp_path / "worse" / "best.safetensors")[0].state_dict()
    assert all(torch.equal(value, kept[k]) for k, value in checkpoint.load(start)[0].state_dict().items())

    better = replace(worse, data=str(pictures), lr=1e-4, steps=6, batch=4)
    events = list(train(better, tmp_path / "better", device="cpu"))
    assert [e.best for e in events if isinstance(e, Validated)] == [True, True]
    assert not any(isinstance(e, Noted) for e in events)
    assert checkpoint.read_card(tmp_path / "better" / "best.safetensors").training["steps_done"] == 6


def test_a_start_that_is_not_all_trained_is_not_scored(config, pictures, tmp_path):
    start = _kept(tmp_path, "drn", 2, channels=8, groups=1, blocks=1, distilled=2)
    config = replace(config, scale=3, val=str(pictures), **start)
    assert [e.step for e in train(config, tmp_path / "run", device="cpu") if isinstance(e, Validated)] == [1]


def test_a_picture_that_comes_out_exactly_does_not_stop_the_choice(config, pictures, tmp_path, monkeypatch):
    scores = iter([30.0, 30.0, math.inf, 32.0, 31.0, math.inf, 30.0, 30.0, math.inf])
    monkeypatch.setattr("srcli.engine.validate.score", lambda *a: Score(a[2].name, next(scores), 0.9, 0.0))
    config = replace(config, val=str(pictures), steps=3, validate_steps=1)
    events = list(train(config, tmp_path / "run", device="cpu"))
    validated = [e for e in events if isinstance(e, Validated)]
    assert [(e.best, e.psnr) for e in validated] == [(True, 160 / 3), (True, 163 / 3), (False, 160 / 3)]
    assert [e.text for e in events if isinstance(e, Noted)] == ["'2.png' of --val comes out exactly, and counts as 100 dB"]
    assert checkpoint.read_card(tmp_path / "run" / "best.safetensors").training["val_psnr"] == 54.333


def test_a_best_that_no_score_betters_is_measured_anew(config, pictures, tmp_path):
    config = replace(config, val=str(pictures), validate_steps=2)
    list(train(config, tmp_path / "run", device="cpu", stop_after=4))
    torch.save(_weights(tmp_path / "run") | {"best": math.inf}, tmp_path / "run" / "last.pt")  # as it once was
    first = next(e for e in train({}, tmp_path / "run", device="cpu", resume=True) if isinstance(e, Validated))
    assert (first.step, first.best) == (4, True)


def test_a_run_goes_on_after_its_start_is_gone(config, tmp_path):
    list(train(replace(config, steps=1), tmp_path / "start", device="cpu"))
    start = tmp_path / "start" / "best.safetensors"
    config = replace(config, init=str(start), steps=3)
    list(train(config, tmp_path / "whole", device="cpu"))
    list(train(config, tmp_path / "run", device="cpu", stop_after=1))
    start.unlink()
    list(train(config, tmp_path / "run", device="cpu", resume=True))
    whole, resumed = (_weights(tmp_path / name)["model"] for name in ("whole", "run"))
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_another_start_on_resuming_is_told_and_not_taken(config, tmp_path):
    start = tmp_path / "start" / "best.safetensors"
    list(train(config, start.parent, device="cpu", stop_after=1))
    list(train(replace(config, init=str(start)), tmp_path / "run", device="cpu", stop_after=1))
    started = next(train({"init": str(start)}, tmp_path / "run", device="cpu", resume=True))
    assert started.notes == ()
    started, *_ = train({"init": "rfdn"}, tmp_path / "run", device="cpu", resume=True)
    assert started.notes == (f"--init is of a run's start alone; that of this one was {start}",)
    assert _weights(tmp_path / "run")["config"]["init"] == str(start)
    assert checkpoint.read_card(tmp_path / "run" / "best.safetensors").training["init"] == start.name


def test_a_start_that_does_not_exist_is_refused(config, tmp_path):
    with pytest.raises(WeightsNotFound, match="did you mean 'rfdn'"):
        next(train(replace(config, init="rdfn"), tmp_path / "run", device="cpu"))


def test_a_network_of_other_arguments_is_trained_and_rebuilt(config, tmp_path):
    other = replace(config, arch="fast", network={"channels": 32, "gate": "channel"}, steps=1)
    list(train(other, tmp_path / "run", device="cpu"))
    model, card = checkpoint.load(tmp_path / "run" / "best.safetensors")
    assert (card.arch, card.config) == ("fast", {"channels": 32, "gate": "channel"})
    assert model.head.out_channels == 32
    with pytest.raises(TrainingFailed, match=r"network was .*'channels': 32.*, is None"):
        next(train(replace(other, network=None), tmp_path / "run", device="cpu", resume=True))


def test_weights_of_other_arguments_are_no_start(config, tmp_path):
    source = create("fast", 2, channels=32)
    checkpoint.save(tmp_path / "w.safetensors", source, checkpoint.card_of(source))
    narrow = replace(config, arch="fast", init=str(tmp_path / "w.safetensors"))
    with pytest.raises(TrainingFailed, match="holds 'fast' with channels=32, the run's has the table's arguments"):
        next(train(narrow, tmp_path / "run", device="cpu"))
    with pytest.raises(TrainingFailed, match="holds a network 'fast', but --arch is 'standard'"):
        next(train(replace(narrow, arch="standard"), tmp_path / "run", device="cpu"))


def test_a_scale_with_fewer_stages_starts_from_one_with_more(config, tmp_path):
    torch.manual_seed(0)
    source = create("mfdn", 4)
    checkpoint.save(tmp_path / "x4.safetensors", source, checkpoint.card_of(source))
    other = replace(config, arch="mfdn", init=str(tmp_path / "x4.safetensors"), lr=0.0, adam_lr=0.0, steps=1)
    list(train(other, tmp_path / "x2", device="cpu"))
    model, _ = checkpoint.load(tmp_path / "x2" / "best.safetensors")
    assert torch.equal(model.state_dict()["fuse.weight"], source.state_dict()["fuse.weight"])


def _gradients(path):
    """Take the first step's gradients out of Adam's first moment, (1 - 0.9) of them."""
    return [s["exp_avg"] / 0.1 for s in _weights(path)["optimizers"][0]["state"].values()]


def test_accumulated_batches_have_the_gradients_of_one_large_batch(config, tmp_path):
    config = replace(config, steps=1, optimizer="adam", clip=0.0)
    list(train(replace(config, batch=2, accumulate=3), tmp_path / "three", device="cpu"))
    list(train(replace(config, batch=6), tmp_path / "one", device="cpu"))
    for ours, theirs in zip(_gradients(tmp_path / "three"), _gradients(tmp_path / "one"), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_the_last_stage_has_its_own_patch_loss_and_rate(config, tmp_path, monkeypatch):
    drawn, losses = [], []
    draw, make = Patches.draw, make_loss

    def spy_draw(self, *args, **kwargs):
        drawn.append(kwargs["patch"])
        return draw(self, *args, **kwargs)

    def spy_loss(name, **kwargs):
        losses.append(name)
        return make(name, **kwargs)

    monkeypatch.setattr(Patches, "draw", spy_draw)
    monkeypatch.setattr("srcli.engine.run.make_loss", spy_loss)
    config = replace(config, steps=5, warmup=0, finish=0.4, finish_patch=24, finish_rate=0.2, lr=1.0, adam_lr=0.0)
    rates = []
    for steps in range(1, 6):
        events = list(train(config, tmp_path / "run", device="cpu", resume=True, stop_after=steps))
        rates += [e.lr for e in events if isinstance(e, Step)]
    assert drawn == [16, 16, 16, 24, 24]
    assert losses == ["l1", "l1", "l1", "mse", "mse"]
    assert rates == pytest.approx([1.0, 0.75, 0.25, 0.2, 0.1])


def _losses(config, out):
    return [e.loss for e in train(config, out, device="cpu") if isinstance(e, Step)]


@pytest.mark.parametrize("arch", ["srcnn", "fsrcnn", "vdsr", "idn"])
def test_networks_of_luma_are_trained_on_luma(config, pictures, tmp_path, arch):
    config = replace(config, arch=arch, steps=3, val=str(pictures))
    events = list(train(config, tmp_path / "run", device="cpu"))
    assert [e for e in events if isinstance(e, Validated)]
    taught = replace(config, teacher="rfdn", teacher_weight=1.0, val=None, steps=1)
    assert all(math.isfinite(loss) for loss in _losses(taught, tmp_path / "taught"))


def test_the_loss_of_a_luma_network_is_that_of_y(config, tmp_path):
    config = replace(config, arch="vdsr", steps=1)
    run = Run(config, create("vdsr", 2), Team(0, 1, torch.device("cpu")), "fp32")
    run.model.start_as_upsampler()  # bicubic
    hr = torch.rand(2, 3, 16, 16)
    lr = torch.rand(2, 3, 8, 8)
    expected = (luma(bicubic(lr, 2)) - luma(hr)).abs().mean()
    torch.testing.assert_close(run.loss(run.model, Batch(lr, hr)), expected, atol=1e-6, rtol=0)


def test_a_network_without_kernels_for_muon_is_trained_by_adam(config, tmp_path):
    config = replace(config, arch="rdsrn", steps=1, patch=8, adam_lr=2e-3, warmup=0)
    told = next(train(replace(config, lr=5e-3), tmp_path / "other", device="cpu"))
    assert "no dense hidden kernels for Muon, whose rate is --lr" in told.notes[-1]
    told = next(train(replace(config, weight_decay=0.1), tmp_path / "other", device="cpu"))
    assert "for Muon, and --weight-decay is of those alone (--optimizer adamw decays all)" in told.notes[-1]
    events = list(train(config, tmp_path / "run", device="cpu"))
    assert "Adam trains all of 'rdsrn', at --adam-lr" in events[0].notes[-1]
    assert next(e.lr for e in events if isinstance(e, Step)) == 2e-3
    assert checkpoint.read_card(tmp_path / "run" / "best.safetensors").training["lr"] is None


def test_a_run_that_nothing_teaches_says_so(config, tmp_path):
    def told(**change):
        return next(train(replace(config, arch="fast", **change), tmp_path / "run", device="cpu")).notes

    silent = "the teacher teaches nothing: its --teacher-weight is 0 in all of the run"
    later = (Stage(0.5, teacher_weight=0.5),)
    assert told(teacher="standard", teacher_weight=0.0) == (silent,)
    assert told(teacher="standard", teacher_weight=0.0, stage=later) == ("taught by 'standard' (standard x2)",)
    assert told(lr=0.0, adam_lr=0.0) == ("nothing is trained: the rates are 0",)
    assert told(lr=0.0) == told(adam_lr=0.0) == ()


def test_a_teacher_takes_its_share_of_the_loss(config, tmp_path):
    start = replace(config, arch="rfdn", init="rfdn", steps=1)
    (hr,) = _losses(start, tmp_path / "hr")
    (itself,) = _losses(replace(start, teacher="rfdn", teacher_weight=1.0), tmp_path / "itself")
    (share,) = _losses(replace(start, teacher="rfdn", teacher_weight=0.75), tmp_path / "share")
    assert itself < 1e-6 < 1e-3 < hr
    assert share == pytest.approx(hr / 4, rel=1e-4)


def test_ready_sr_takes_a_teachers_share_of_the_loss(config, pictures, tmp_path):
    ready = tmp_path / "rfdn" / "hr"
    ready.mkdir(parents=True)
    for path in pictures.iterdir():
        with Image.open(path) as hr:
            Image.new("RGB", (hr.width // 2 * 2, hr.height // 2 * 2)).save(ready / f"{path.stem}_x2.png")
    start = replace(config, arch="rfdn", init="rfdn", steps=1)
    (hr,) = _losses(start, tmp_path / "hr")
    (black,) = _losses(replace(start, teacher_dir=str(ready), teacher_weight=1.0), tmp_path / "black")
    (share,) = _losses(replace(start, teacher_dir=str(ready), teacher_weight=0.25), tmp_path / "share")
    assert black > 2 * hr
    assert share == pytest.approx(0.75 * hr + 0.25 * black, rel=1e-5)
    assert checkpoint.read_card(tmp_path / "share" / "best.safetensors").training["teacher_dir"] == "rfdn/hr"
    with pytest.raises(TrainingFailed, match=r"teacher_dir was '.*hr', is None"):
        next(train(replace(start, steps=2), tmp_path / "share", device="cpu", resume=True))


@pytest.mark.parametrize("cache_mib", [None, 4])
def test_a_run_on_reduced_pictures_draws_others(config, tmp_path, cache_mib):
    config = replace(config, steps=1, cache_mib=cache_mib)
    whole, reduced = (_losses(replace(config, shrink=factor), tmp_path / f"{factor}") for factor in (1.0, 0.5))
    assert whole != reduced


def test_the_hr_is_not_taken_for_a_teachers_sr(config, pictures, tmp_path):
    with pytest.raises(UsageError, match=r"--teacher-dir '.*' is --data itself"):
        next(train(replace(config, teacher_dir=str(pictures)), tmp_path / "run", device="cpu"))


def test_ready_sr_of_another_size_or_missing_is_told(config, pictures, tmp_path):
    ready = tmp_path / "sr"
    ready.mkdir()
    for path in pictures.iterdir():
        with Image.open(path) as hr:
            hr.resize((40, 40) if path.stem == "2" else hr.size).save(ready / path.name)
    taught = replace(config, teacher_dir=str(ready))
    started = next(train(taught, tmp_path / "run", device="cpu"))
    assert started.notes == ("pictures skipped, their SR is not of their size: 1 (2.png)", f"taught by the SR in '{ready}'")
    (ready / "2.png").unlink()
    with pytest.raises(BadFolder, match=r"no partner of '2.png' in '.*sr'"):
        next(train(taught, tmp_path / "other", device="cpu"))


def test_the_teacher_is_silent_in_the_last_stage(config, tmp_path):
    config = replace(config, arch="rfdn", init="rfdn", steps=2, lr=0.0, adam_lr=0.0)
    config = replace(config, finish=0.5, finish_loss="l1", finish_patch=16)
    taught = replace(config, teacher="rfdn", teacher_weight=1.0)
    events = [*train(taught, tmp_path / "taught", device="cpu", stop_after=1)]
    assert "taught by 'rfdn' (rfdn x2)" in events[0].notes
    assert next(e.loss for e in events if isinstance(e, Step)) < 1e-6
    events = [*train(taught, tmp_path / "taught", device="cpu", resume=True)]
    assert next(e.loss for e in events if isinstance(e, Step)) > 1e-3
    assert checkpoint.read_card(tmp_path / "taught" / "best.safetensors").training["teacher"] == "rfdn"


def test_a_teacher_of_another_scale_is_refused(config, tmp_path):
    model = create("fsrcnn", 3)
    checkpoint.save(tmp_path / "x3.safetensors", model, checkpoint.card_of(model))
    with pytest.raises(UsageError, match=r"^--teacher: .*x3, not x2"):
        next(train(replace(config, teacher=str(tmp_path / "x3.safetensors")), tmp_path / "run", device="cpu"))


def test_stages_change_patch_batch_and_loss_under_one_schedule(config, tmp_path, monkeypatch):
    drawn = []
    draw = Patches.draw

    def spy_draw(self, seed, step, batch, **kwargs):
        drawn.append((kwargs["patch"], batch))
        return draw(self, seed, step, batch, **kwargs)

    monkeypatch.setattr(Patches, "draw", spy_draw)
    config = replace(config, steps=4, warmup=0, stage=(Stage(0.25, patch=20), Stage(0.25, patch=24, batch=1)), lr=1.0)
    rates = []
    for steps in range(1, 5):
        events = list(train(config, tmp_path / "run", device="cpu", resume=True, stop_after=steps))
        rates += [e.lr for e in events if isinstance(e, Step)]
    assert drawn == [(16, 2), (16, 2), (20, 2), (24, 1)]
    assert rates == pytest.approx([0.5 + 0.5 * math.cos(math.pi * n / 4) for n in range(4)])


def test_a_record_of_steps_is_of_one_stage_and_names_its_loss(config, tmp_path):
    steps = [e for e in train(replace(config, finish=0.5), tmp_path / "run", device="cpu") if isinstance(e, Step)]
    assert {(e.stage, e.loss_name) for e in steps} == {(0, "l1"), (1, "mse")}
    assert max(e.step for e in steps if e.stage == 0) == 5


@pytest.mark.parametrize(("warmup", "rates"), [(100, [0.01, 0.5, 1.0, 1.0]), (1, [1.0] * 4), (0, [1.0] * 4)])
def test_the_warm_up_is_at_most_a_tenth_of_the_run(config, tmp_path, warmup, rates):
    config = replace(config, steps=20, schedule="constant", warmup=warmup, lr=1.0)
    run = Run(config, create("fast", 2), Team(0, 1, torch.device("cpu")), "fp32")
    told = []
    for run.step in range(4):
        told.append(run.set_rates())
    assert told == pytest.approx(rates)


def test_the_rate_halves_at_milestones(config, tmp_path):
    config = replace(config, steps=5, warmup=0, schedule="step", milestones=(2, 3), lr=1.0, adam_lr=0.0)
    rates = []
    for steps in range(1, 6):
        events = list(train(config, tmp_path / "run", device="cpu", resume=True, stop_after=steps))
        rates += [e.lr for e in events if isinstance(e, Step)]
    assert rates == [1.0, 1.0, 0.5, 0.25, 0.25]


def test_a_run_that_an_older_srcli_began_with_a_slip_goes_on(config, tmp_path):
    config = replace(config, steps=2, schedule="step", milestones=(1, 2))
    list(train(config, tmp_path / "run", device="cpu", stop_after=1))
    state = _weights(tmp_path / "run")
    state["config"]["milestones"] = (2, 1)
    torch.save(state, tmp_path / "run" / "last.pt")
    assert list(train({}, tmp_path / "run", device="cpu", resume=True))[-1].step == 2


@pytest.mark.parametrize(
    ("halving", "rates"),
    [
        ({"halve_every": 2}, [1.0, 1.0, 0.5, 0.5, 0.25, 0.2, 0.2, 0.1, 0.1, 0.05]),
        ({"milestones": (1, 5, 6, 9)}, [1.0, 0.5, 0.5, 0.5, 0.5, 0.2, 0.1, 0.1, 0.1, 0.05]),
    ],
)
def test_the_steps_of_the_rate_begin_anew_in_a_stage_that_has_one(config, tmp_path, halving, rates):
    config = replace(config, steps=10, warmup=0, schedule="step", stage=(Stage(0.3, rate=0.2), Stage(0.2)), lr=1.0, **halving)
    told = []
    for steps in (5, 6, 7, 10):  # by a process each
        events = list(train(config, tmp_path / "run", device="cpu", resume=True, stop_after=steps))
        told.append([e.lr for e in events if isinstance(e, Step)][-1])
    assert told == pytest.approx([rates[n - 1] for n in (5, 6, 7, 10)])
    run = Run(config, create("fast", 2), Team(0, 1, torch.device("cpu")), "fp32")
    told = []
    for run.step in range(10):
        told.append(run.set_rates())
    assert told == pytest.approx(rates)


def test_the_next_rate_is_told_without_being_set(config):
    config = replace(config, schedule="step", milestones=(1, 8), stage=(Stage(0.3, rate=0.2),))
    run = Run(config, create("fast", 2), Team(0, 1, torch.device("cpu")), "fp32")
    for run.step in range(10):
        before = run.rate, run.scheduled
        told = run.next_rate()
        assert (run.rate, run.scheduled) == before
        assert run.set_rates() == told


def _half_precision_run(config):
    run = Run(config, create("fast", 2), Team(0, 1, torch.device("cpu")), "fp32")
    run.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    run.scaler.scale(torch.zeros(()))  # makes the scale
    for p in run.model.parameters():
        p.grad = torch.ones_like(p) * 4
    return run


def test_a_gradient_that_overflows_lets_no_optimiser_step(config):
    run = _half_precision_run(config)
    run.optimizers[0].param_groups[0]["params"][0].grad[0] = math.inf
    before = copy.deepcopy(run.model.state_dict())
    run.update()
    assert all(torch.equal(v, before[k]) for k, v in run.model.state_dict().items())
    assert run.scaler.get_scale() == 2.0


def test_gradients_are_unscaled_and_the_scaler_resumes(config):
    run, plain = (
        _half_precision_run(replace(config, clip=0.0)),
        Run(replace(config, clip=0.0), create("fast", 2), Team(0, 1, torch.device("cpu")), "fp32"),
    )
    plain.model.load_state_dict(run.model.state_dict())
    for p in plain.model.parameters():
        p.grad = torch.ones_like(p)
    run.update()
    plain.update()
    assert all(torch.equal(v, run.model.state_dict()[k]) for k, v in plain.model.state_dict().items())
    run.scaler.update(8.0)
    resumed = _half_precision_run(replace(config, clip=0.0))
    resumed.restore(run.state())
    assert resumed.scaler.get_scale() == 8.0


def test_a_validation_picture_that_cannot_be_scored_is_named_before_the_run(config, pictures, tmp_path):
    val = tmp_path / "val"
    val.mkdir()
    (val / "broken.png").write_bytes(b"x")
    with pytest.raises(TrainingFailed, match=r"--val: '.*broken\.png' .*; a score is over all"):
        next(train(replace(config, val=str(val)), tmp_path / "run", device="cpu"))
    Image.fromarray(np.zeros((5, 40, 3), np.uint8)).save(val / "broken.png")
    with pytest.raises(TrainingFailed, match=r"broken\.png' of --val is smaller than 6 px"):
        next(train(replace(config, val=str(val)), tmp_path / "run", device="cpu"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("degradation", ["bicubic", "photo", "video"])
def test_a_run_is_drawn_for_tensorboard(config, pictures, tmp_path, degradation):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = replace(config, steps=1, val=str(pictures), degradation=degradation)
    list(train(config, tmp_path / "run", device="cpu", tensorboard=True))
    read = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert {"loss/l1", "validation/psnr"} <= set(read.Tags()["scalars"])
    assert len(read.Tags()["images"]) == 3
    assert read.Images(read.Tags()["images"][0])[0].width == 3 * 76


def test_a_machine_without_a_compiler_trains_uncompiled_and_says_so(config, tmp_path, monkeypatch):
    def no_compiler(function):
        raise RuntimeError("InvalidCxxCompiler: no C++ compiler\nmore")

    monkeypatch.setattr("srcli.engine.compiler.torch.compile", no_compiler)
    events = list(train(replace(config, steps=1, compile="on"), tmp_path / "run", device="cpu"))
    assert events[0].notes == ("not compiled: InvalidCxxCompiler: no C++ compiler",)
    assert isinstance(events[-1], Saved)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_run_is_the_same_run_and_goes_on_uncompiled(config, tmp_path):
    config = replace(config, steps=3, optimizer="adam")
    compiled = replace(config, compile="on")
    started, *_ = list(train(compiled, tmp_path / "a", device="cpu", stop_after=2))
    assert not any("not compiled" in line for line in started.notes)
    list(train(replace(config, compile="off"), tmp_path / "a", device="cpu", resume=True))
    list(train(config, tmp_path / "b", device="cpu"))
    a, b = _weights(tmp_path / "a"), _weights(tmp_path / "b")
    for name, weight in b["model"].items():  # the compiler adds up in another order
        torch.testing.assert_close(a["model"][name], weight, atol=1e-4, rtol=1e-3)


gpu = pytest.mark.gpu


@gpu
@pytest.mark.parametrize(
    ("precision", "degradation"), [("fp32", "bicubic"), ("bf16", "bicubic"), ("fp16", "bicubic"), ("bf16", "photo")]
)
def test_training_on_cuda_lowers_the_loss_and_resumes(config, pictures, tmp_path, precision, degradation):
    config = replace(config, precision=precision, degradation=degradation)
    config = replace(config, steps=60, batch=4, compile="off", val=str(pictures), finish=0.2)
    start = next(e for e in train(replace(config, steps=1), tmp_path / "one", device="cuda") if isinstance(e, Step))
    list(train(config, tmp_path / "run", device="cuda", stop_after=40))
    events = list(train(config, tmp_path / "run", device="cuda", resume=True, stop_after=48))
    assert events[0].device.startswith("cuda")
    assert [e for e in events if isinstance(e, Step)][-1].loss < start.loss
    list(train(config, tmp_path / "run", device="cuda", resume=True))
    assert _weights(tmp_path / "run")["step"] == 60
    checkpoint.load(tmp_path / "run" / "best.safetensors")


@gpu
def test_float32_gradients_on_cuda_are_those_of_the_cpu(config, tmp_path):
    config = replace(config, steps=1, optimizer="adam", clip=0.0, compile="off")
    list(train(config, tmp_path / "cuda", device="cuda"))
    list(train(config, tmp_path / "cpu", device="cpu"))
    for ours, theirs in zip(_gradients(tmp_path / "cuda"), _gradients(tmp_path / "cpu"), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)  # TF32 in cuDNN's convolutions


@gpu
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_compiled_run_on_cuda_lowers_the_loss(config, tmp_path, precision):
    config = replace(config, steps=60, batch=4, precision=precision, compile="on")
    start = next(e for e in train(replace(config, steps=1), tmp_path / "one", device="cuda") if isinstance(e, Step))
    events = list(train(config, tmp_path / "run", device="cuda"))
    assert not any("not compiled" in line for line in events[0].notes)
    assert [e for e in events if isinstance(e, Step)][-1].loss < start.loss


def test_minutes_bound_the_run(config, tmp_path):
    events = list(train(replace(config, steps=None, minutes=0.02), tmp_path / "run", device="cpu"))
    last = [e for e in events if isinstance(e, Step)][-1]
    assert last.fraction == 1
    assert last.elapsed >= 1.2


def test_pictures_that_cannot_be_used_are_counted(config, pictures, tmp_path):
    (pictures / "broken.png").write_bytes(b"x")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(pictures / "small.png")
    started = next(train(config, tmp_path / "run", device="cpu"))
    assert started.pictures == 3
    assert started.notes == (
        "pictures skipped as unreadable: 1 (broken.png)",
        "pictures skipped as smaller than a patch: 1 (small.png)",
    )


def test_lr_pictures_that_are_given_are_trained_on(config, pictures, tmp_path):
    lr = tmp_path / "lr" / "X2"
    lr.mkdir(parents=True)
    for path in pictures.iterdir():
        with Image.open(path) as hr:
            hr.resize((38, 45) if path.stem != "2" else (30, 30)).save(lr / f"{path.stem}x2.png")
    started = next(train(replace(config, lr_dir=str(tmp_path / "lr")), tmp_path / "run", device="cpu"))
    assert started.pictures == 2
    assert started.notes == ("pictures skipped, their LR is not 1/2 of their size: 1 (2.png)",)
    list(train(replace(config, lr_dir=str(tmp_path / "lr"), steps=1), tmp_path / "other", device="cpu"))


@pytest.mark.parametrize("cache_mib", [None, 4])
def test_several_folders_are_pooled_with_their_lr_and_told(config, pictures, tmp_path, cache_mib):
    more = tmp_path / "more"
    more.mkdir()
    (pictures / "0.png").rename(more / "0.png")
    folders = str(pictures), str(more)
    lr = [str(tmp_path / name) for name in ("lr", "lr of more")]
    for hr, made in zip((pictures, more), lr, strict=True):
        degrade_folder(hr, Path(made), 2, "photo", seed=0)
    config = replace(config, data=folders, lr_dir=tuple(lr), cache_mib=cache_mib)
    started, *_ = train(replace(config, steps=1), tmp_path / "run", device="cpu")
    assert (started.pictures, started.notes) == (3, ())
    training = checkpoint.read_card(tmp_path / "run" / "best.safetensors").training
    assert (training["data"], training["lr_dir"]) == (["hr", "more"], ["lr", "lr of more"])
    alone = {"data": str(pictures), "lr_dir": lr[0], "steps": 2}
    started, *_ = train(alone, tmp_path / "run", device="cpu", resume=True)
    assert (started.pictures, started.notes[0]) == (2, f"--data was {', '.join(folders)}")


@pytest.mark.parametrize(
    ("data", "lr_dir", "text"),
    [
        (("hr", "."), "hr", "2 folders of --data need as many --lr-dir, in their order, not 1"),
        (("hr", "./hr"), None, "the same --data is given twice"),
    ],
)
def test_folders_that_do_not_go_together_are_refused(config, tmp_path, monkeypatch, data, lr_dir, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=text):
        next(train(replace(config, data=data, lr_dir=lr_dir), tmp_path / "run", device="cpu"))


def test_a_run_on_degraded_pictures_is_validated_on_degraded_pictures(config, pictures, tmp_path):
    plain, photo = (
        [e.psnr for e in train(c, tmp_path / c.degradation, device="cpu") if isinstance(e, Validated)]
        for c in (replace(config, steps=1, val=str(pictures), degradation=d, lr=0.0, adam_lr=0.0) for d in ("bicubic", "photo"))
    )
    assert photo[0] < plain[0]


@pytest.mark.parametrize("degradation", ["photo", "video"])
def test_validation_on_given_lr_equals_that_on_the_lr_it_was_made_as(config, pictures, tmp_path, degradation):
    config = replace(config, steps=1, val=str(pictures), lr=0.0, adam_lr=0.0)
    lr = tmp_path / "lr"
    degrade_folder(pictures, lr / "X2", 2, degradation, seed=0)
    made, given = (
        [e.psnr for e in train(c, tmp_path / name, device="cpu") if isinstance(e, Validated)]
        for name, c in {"made": replace(config, degradation=degradation), "given": replace(config, val_lr_dir=str(lr))}.items()
    )
    assert made == given
    next(lr.rglob("*.png")).unlink()
    with pytest.raises(TrainingFailed, match=r"--val-lr-dir: no partner of '.*' in '.*lr'"):
        next(train(replace(config, val_lr_dir=str(lr)), tmp_path / "c", device="cpu"))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"val_lr_dir": "lr"}, UsageError, "--val-lr-dir is the LR of --val"),
        ({"steps": None}, UsageError, "--steps or --minutes"),
        ({"minutes": 1.0}, UsageError, "--steps or --minutes"),
        ({"arch": "bicubic"}, TrainingFailed, "nothing to train"),
        ({"patch": 400}, TrainingFailed, "--patch 38"),
        ({"finish": 0.1, "finish_patch": 400}, TrainingFailed, "patch of 400 px .* --finish-patch 38"),
        ({"finish": 0.1, "patch": 25}, TrainingFailed, "patch of 50 px .* --finish-patch 38"),
        ({"finish": 0.1, "patch": 39}, TrainingFailed, "patch of 39 px .* --patch 38"),
        ({"finish": 0.1, "patch": 30, "cache_mib": 1}, TrainingFailed, "patch of 60 px .* --finish-patch 38"),
        ({"stage": (Stage(0.1, patch=50),)}, TrainingFailed, r"patch of 50 px .* \[\[stage\]\] patch = 38"),
        ({"lr_dir": "lr", "degradation": "photo"}, UsageError, "--lr-dir"),
        ({"teacher": "rfdn", "teacher_dir": "sr"}, UsageError, "either --teacher or --teacher-dir"),
        ({"shrink": 0.0}, UsageError, "--shrink is a factor from 0.1 to 1"),
        ({"shrink": 1.5}, UsageError, "--shrink is a factor from 0.1 to 1"),
        ({"shrink": 0.5, "lr_dir": "lr"}, UsageError, "--lr-dir has nothing of reduced ones"),
        ({"shrink": 0.5, "teacher_dir": "sr"}, UsageError, "--teacher-dir has nothing of reduced ones"),
        ({"drawings": 1.5}, UsageError, "--drawings is a share of the pairs, from 0 to 1, not 1.5"),
        ({"drawings": 0.1, "lr_dir": "lr"}, UsageError, "--lr-dir has nothing of them"),
        ({"drawings": 0.1, "teacher_dir": "sr"}, UsageError, "--teacher-dir has nothing of them"),
        ({"clean": 1.5, "degradation": "photo"}, UsageError, "--clean is a share of the pairs, from 0 to 1, not 1.5"),
        ({"clean": 0.1, "degradation": "video"}, UsageError, "--clean is a share of what --degradation photo makes"),
        ({"teacher_dir": "sr", "degradation": "photo"}, UsageError, "--teacher-dir"),
        ({"finish": 1.0}, UsageError, "--finish"),
        ({"accumulate": 0}, UsageError, "--accumulate"),
        ({"scale": 0}, UsageError, "--scale is 2, 3 or 4"),
        ({"steps": None, "minutes": math.nan}, UsageError, "--minutes is a number"),
        ({"betas": (0.9, 1.5)}, UsageError, "betas are from 0"),
        ({"ema": 1.5}, UsageError, "--ema is from 0 to 1"),
        ({"lr": math.inf}, UsageError, "--lr is a number"),
        ({"adam_lr": -1.0}, UsageError, "--adam-lr must not be below 0"),
        ({"optimizer": "adam", "weight_decay": 0.1}, UsageError, "--weight-decay is of adamw and muon"),
        ({"arch": "rfdn", "network": {"channels": -2}}, UsageError, "no 'rfdn' can be built with channels=-2"),
        ({"precision": "fp16"}, DeviceUnavailable, "fp16"),
    ],
)
def test_a_run_that_cannot_start_writes_nothing(config, tmp_path, change, error, text):
    with pytest.raises(error, match=text):
        next(train(replace(config, **change), tmp_path / "run", device="cpu"))
    assert not (tmp_path / "run").exists()


def test_averaged_weights_get_batch_norm_statistics_of_their_own(config, tmp_path):
    with_norms = replace(config, arch="mfdn", steps=6, batch=2, lr=0.02)
    list(train(with_norms, tmp_path / "run", device="cpu"))
    state = _weights(tmp_path / "run")
    name = "blocks.0.refine.0.norm2.running_var"
    assert not torch.allclose(state["averaged"][name], state["model"][name], rtol=0.05)
    model, _ = checkpoint.load(tmp_path / "run" / "best.safetensors")
    assert torch.equal(model.state_dict()[name], state["averaged"][name])


def test_compiling_is_not_training(config, tmp_path, monkeypatch):
    monkeypatch.setattr("srcli.engine.begin.compile_network", lambda network, device: None)
    honest, calls, now = loop._backward, [], [0.0]

    def backward(*arguments):
        calls.append(1)
        now[0] += 100.0 if len(calls) in (1, 6) else 1.0  # as the first step of each size takes
        return honest(*arguments)

    monkeypatch.setattr(loop, "_backward", backward)
    monkeypatch.setattr("srcli.engine.loop.time.monotonic", lambda: now[0])
    staged = replace(config, compile="on", stage=(Stage(0.5, patch=20),))
    elapsed = [e.elapsed for e in train(staged, tmp_path / "run", device="cpu") if isinstance(e, Step)]
    assert (len(calls), elapsed[-1]) == (10, 8.0)


def test_other_pictures_to_validate_on_are_scored_before_best_is_replaced(config, pictures, tmp_path, monkeypatch):
    out, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(pictures, other)
    next(other.iterdir()).unlink()
    scored = replace(config, val=str(pictures), steps=4)
    list(train(scored, out, device="cpu"))
    before = (out / "best.safetensors").read_bytes()
    monkeypatch.setattr("srcli.engine.loop.FIRST_SAVE", 0)
    given = {"steps": 8, "val": str(other)}
    events = list(train(given, out, device="cpu", resume=True, stopping=lambda: True))  # before they are scored
    assert not any(isinstance(e, Validated) for e in events)
    assert (out / "best.safetensors").read_bytes() == before
    assert isinstance(
        next(e for e in train(given, out, device="cpu", resume=True) if not isinstance(e, Started | Noted)), Validated
    )
    assert checkpoint.read_card(out / "best.safetensors").training["val"] == "other"


@pytest.mark.parametrize("before", [{"best_step": 1}, {"best": -math.inf, "best_step": None}])  # None: not validated yet
def test_best_weights_that_a_kill_left_newer_than_the_checkpoint_stay(config, pictures, tmp_path, monkeypatch, before):
    out, scored = tmp_path / "run", replace(config, val=str(pictures), validate_steps=4)
    list(train(scored, out, device="cpu", stop_after=2))
    older = (out / "last.pt").read_bytes()
    list(train({}, out, device="cpu", resume=True, stop_after=4))
    psnr, best = _weights(out)["best"], (out / "best.safetensors").read_bytes()
    state = torch.load(io.BytesIO(older), weights_only=True) | {"best": psnr - 9} | before
    torch.save(state, out / "last.pt")  # as of a kill between the two files
    list(train({}, out, device="cpu", resume=True, stop_after=3))
    assert (out / "best.safetensors").read_bytes() == best
    monkeypatch.setattr("srcli.engine.validate.summarize", lambda *a: SimpleNamespace(psnr=psnr - 1, ssim=0.5))
    (validated,) = [e for e in train({}, out, device="cpu", resume=True, stop_after=4) if isinstance(e, Validated)]
    assert not validated.best
    assert (out / "best.safetensors").read_bytes() == best


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize(
    ("arch", "network"),
    [("pan", {"channels": 41}), ("rfdn", {"blocks": 0}), ("mfdn", {"channels": 3}), ("imdn", {"channels": 10})],
)
def test_arguments_of_a_network_that_cannot_run_are_refused_in_a_line(config, tmp_path, arch, network):
    with pytest.raises(UsageError, match=f"no '{arch}' (runs|can be built) with "):
        list(train(replace(config, arch=arch, network=network), tmp_path / "run", device="cpu"))
    assert not (tmp_path / "run" / "last.pt").exists()


class Own(SRModel):
    """A network of one's own that keeps the contract, but for what a test has it do."""

    def __init__(self, scale, **_):
        super().__init__(scale)
        self.conv = torch.nn.Conv2d(3, 3 * scale**2, 3, padding=1)
        self.tiling = Tiling("local", overlap=1)

    def forward(self, x, window=None):
        return torch.nn.functional.pixel_shuffle(self.conv(x), self.scale)


class Untold(Own):
    def __init__(self, scale, **_):
        super().__init__(scale)
        del self.tiling


class Even(Own):
    def forward(self, x, window=None):
        return super().forward(torch.nn.functional.pixel_shuffle(torch.nn.functional.pixel_unshuffle(x, 2), 2))


class Small(Own):
    def forward(self, x, window=None):
        return self.conv(x)[:, :3]


class Untiled(Own):
    def forward(self, x):
        return super().forward(x)


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (Untold, "'fast' does not say how it may be cut into tiles: its class has to set tiling"),
        (Even, r"no 'fast' runs with the table's arguments on 1x2 px \(its min_side is 1\): .*divisible by"),
        (Small, r"'fast' makes \(1, 3, 1, 2\) of 1x2 px, and has to make \(1, 3, 2, 4\)"),
        (Untiled, "no 'fast' runs with .* takes 2 positional arguments"),
    ],
)
def test_a_network_of_ones_own_is_tried_before_the_first_step(config, tmp_path, monkeypatch, network, text):
    monkeypatch.setattr("srcli.models.plain.Plain", Own)
    assert isinstance(next(train(config, tmp_path / "own", device="cpu")), Started)
    monkeypatch.setattr("srcli.models.plain.Plain", network)
    with pytest.raises(UsageError, match=text):
        next(train(config, tmp_path / "run", device="cpu"))


@pytest.mark.parametrize(
    "odd",
    [{"clip": math.nan}, {"weight_decay": math.inf}, {"stage": (Stage(math.nan),)}, {"stage": (Stage(0.3, rate=math.inf),)}],
)
def test_numbers_that_are_none_are_refused(config, tmp_path, odd):
    with pytest.raises(UsageError, match=r"is a number, not|has numbers, not nan"):
        list(train(replace(config, **odd), tmp_path / "run", device="cpu"))


def test_a_checkpoint_taken_for_weights_gives_the_averaged_ones(config, tmp_path):
    list(train(config, tmp_path / "run", device="cpu"))
    model, _ = zoo.open_model(str(tmp_path / "run" / "last.pt"), 2)
    averaged = _weights(tmp_path / "run")["averaged"]
    assert all(torch.equal(value, averaged[name]) for name, value in model.state_dict().items())


def test_a_picture_that_is_damaged_inside_is_told_once(config, pictures, tmp_path):
    path = min(pictures.iterdir())
    path.write_bytes(path.read_bytes()[:-200])
    events = list(train(replace(config, cache_mib=1, steps=40), tmp_path / "run", device="cpu"))
    told = [e.text for e in events if isinstance(e, Noted)] + list(events[0].notes)
    assert len([line for line in told if path.name in line]) == 1

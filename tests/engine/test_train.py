import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from srcli import checkpoint
from srcli.engine.data import Patches, Stream
from srcli.engine.events import Saved, Started, Step, Validated
from srcli.engine.losses import make_loss
from srcli.engine.settings import TrainConfig
from srcli.engine.train import train
from srcli.errors import DeviceUnavailable, TrainingFailed, UsageError
from srcli.models import create


@pytest.fixture
def config(pictures):
    return TrainConfig("rfdn", 2, str(pictures), steps=10, batch=2, patch=16, precision="fp32", warmup=2)


def _weights(path):
    return torch.load(path / "last.pt", weights_only=True)


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
    assert (events[0].pictures, events[0].parameters, events[0].step) == (3, 417_212, 0)
    assert any(isinstance(e, Validated) for e in events)
    assert isinstance(events[-1], Saved)
    assert sorted(p.name for p in out.iterdir()) == ["best.safetensors", "last.pt", "log.jsonl"]
    kinds = [json.loads(line)["event"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert kinds[0] == "started"
    assert "validated" in kinds
    model, card = checkpoint.load(out / "best.safetensors")
    assert (model.arch, model.scale, card.training["steps_done"]) == ("rfdn", 2, 2)


def test_a_folder_that_holds_a_run_is_refused_without_resume(config, tmp_path):
    list(train(replace(config, steps=1), tmp_path / "run", device="cpu"))
    with pytest.raises(TrainingFailed, match="--resume"):
        next(train(config, tmp_path / "run", device="cpu"))


def test_resuming_with_other_settings_names_them(config, tmp_path):
    list(train(replace(config, steps=1), tmp_path / "run", device="cpu"))
    with pytest.raises(TrainingFailed, match="batch was 2, is 3"):
        next(train(replace(config, batch=3), tmp_path / "run", device="cpu", resume=True))


def test_resuming_nothing_starts_at_step_0_and_says_so(config, tmp_path):
    started = next(train(config, tmp_path / "run", device="cpu", resume=True))
    assert isinstance(started, Started)
    assert started.step == 0
    assert any("nothing to resume" in line for line in started.notes)


def test_a_run_that_is_asked_to_stop_saves_and_ends(config, tmp_path):
    events = list(train(config, tmp_path / "run", device="cpu", stopping=lambda: True))
    assert isinstance(events[-1], Saved)
    assert events[-1].step == 1


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


def test_a_run_streams_from_disk_and_resumes_bit_for_bit(config, tmp_path, monkeypatch):
    monkeypatch.setattr(Stream, "uses", 1)  # a chapter of 4 steps
    config = replace(config, cache_mib=1, patch=15, batch=4, steps=6)
    list(train(config, tmp_path / "a", device="cpu"))
    list(train(config, tmp_path / "b", device="cpu", stop_after=5))
    list(train(config, tmp_path / "b", device="cpu", resume=True))
    a, b = _weights(tmp_path / "a"), _weights(tmp_path / "b")
    assert all(torch.equal(a["model"][k], b["model"][k]) for k in a["model"])


def test_another_scale_starts_from_a_trained_body(config, tmp_path):
    list(train(replace(config, steps=2), tmp_path / "x2", device="cpu"))
    source, _ = checkpoint.load(tmp_path / "x2" / "best.safetensors")
    other = replace(config, scale=3, init=str(tmp_path / "x2" / "best.safetensors"), lr=0.0, adam_lr=0.0, steps=1)
    events = list(train(other, tmp_path / "x3", device="cpu"))
    model, _ = checkpoint.load(tmp_path / "x3" / "best.safetensors")
    assert "new: upsample.weight, upsample.bias" in events[0].notes[0]
    assert torch.equal(model.state_dict()["body.weight"], source.state_dict()["body.weight"])


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
    monkeypatch.setattr("srcli.engine.train.make_loss", spy_loss)
    config = replace(config, steps=5, warmup=0, finish=0.4, finish_patch=24, finish_rate=0.2, lr=1.0, adam_lr=0.0)
    rates = []
    for steps in range(1, 6):
        events = list(train(config, tmp_path / "run", device="cpu", resume=True, stop_after=steps))
        rates += [e.lr for e in events if isinstance(e, Step)]
    assert drawn == [16, 16, 16, 24, 24]
    assert losses == ["l1", "l1", "l1", "mse", "mse"]
    assert rates == pytest.approx([1.0, 0.75, 0.25, 0.2, 0.1])


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
    assert [line.split(" pictures")[0] for line in started.notes] == ["1 unreadable", "1"]


def test_lr_pictures_that_are_given_are_trained_on(config, pictures, tmp_path):
    lr = tmp_path / "lr" / "X2"
    lr.mkdir(parents=True)
    for path in pictures.iterdir():
        with Image.open(path) as hr:
            hr.resize((38, 45) if path.stem != "2" else (30, 30)).save(lr / f"{path.stem}x2.png")
    started = next(train(replace(config, lr_dir=str(tmp_path / "lr")), tmp_path / "run", device="cpu"))
    assert started.pictures == 2
    assert started.notes == ("1 pictures skipped, their LR is not 1/2 of their size: 2.png",)
    list(train(replace(config, lr_dir=str(tmp_path / "lr"), steps=1), tmp_path / "other", device="cpu"))


def test_a_run_on_degraded_pictures_is_validated_on_degraded_pictures(config, pictures, tmp_path):
    plain, photo = (
        [e.psnr for e in train(c, tmp_path / c.degradation, device="cpu") if isinstance(e, Validated)]
        for c in (replace(config, steps=1, val=str(pictures), degradation=d, lr=0.0, adam_lr=0.0) for d in ("bicubic", "photo"))
    )
    assert photo[0] < plain[0]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"steps": None}, UsageError, "--steps or --minutes"),
        ({"minutes": 1.0}, UsageError, "--steps or --minutes"),
        ({"arch": "bicubic"}, TrainingFailed, "nothing to train"),
        ({"patch": 400}, TrainingFailed, "--patch 38"),
        ({"finish": 0.1, "finish_patch": 400}, TrainingFailed, "patch of 400 px"),
        ({"lr_dir": "lr", "degradation": "photo"}, UsageError, "--lr-dir"),
        ({"finish": 1.0}, UsageError, "--finish"),
        ({"accumulate": 0}, UsageError, "--accumulate"),
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

"""The command that a weights file's card prints repeats the training."""

import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from srcli.checkpoint import Card
from srcli.engine.settings import Stage, TrainConfig, settled
from srcli.modelcard import Entry, page, parts, train_command
from tests.program import srcli

PLAIN = TrainConfig("rfdn", 2, "photos", steps=4, lr=0.005)


def card_of(config: TrainConfig) -> Card:
    """Make the card as it comes out of a file."""
    training = {k: v for k, v in asdict(config).items() if k not in ("arch", "scale", "network")}
    return Card(config.arch, config.scale, config.network or {}, training=json.loads(json.dumps(training)))


def test_what_a_card_says_is_no_command():
    card = Card("fsrcnn; touch a", 2, training={"data": ["x;touch b"], "val": "$(touch c)", "init": "`touch d`"})
    words = shlex.split(train_command(card), comments=False, posix=True)
    assert words[words.index("--arch") + 1] == "fsrcnn; touch a"
    assert [words[words.index(f"--{name}") + 1] for name in ("data", "val", "init")] == ["x;touch b", "$(touch c)", "`touch d`"]


@pytest.mark.parametrize(
    "config",
    [
        PLAIN,
        replace(PLAIN, network={"channels": 32, "attention": "cca"}, accumulate=3, weight_decay=0.01, cache_mib=64, seed=7),
        replace(PLAIN, loss="smooth-l1", beta=0.1, schedule="step", milestones=(2, 3), optimizer="adam", betas=(0.9, 0.999)),
        replace(PLAIN, loss="frequency", frequency=0.1, schedule="step", halve_every=2, lr_dir="photos", val="photos"),
        replace(PLAIN, finish=0.25, finish_patch=20, finish_loss="smooth-l1", beta=0.1, schedule="step", halve_every=2),
        replace(PLAIN, stage=(Stage(0.5, loss="frequency"),), frequency=0.1),
        replace(PLAIN, steps=None, minutes=0.5, degradation="photo", clean=0.2, finish=0.25, finish_patch=20, finish_loss="l1"),
        replace(PLAIN, stage=(Stage(0.5, patch=20, batch=2), Stage(0.25, loss="mse", teacher_weight=0.0, rate=0.1))),
        replace(PLAIN, val="photos", val_lr_dir="photos"),
        replace(PLAIN, teacher_dir="rfdn/photos", teacher_weight=0.25),
        replace(PLAIN, shrink=0.6, drawings=0.05),
        replace(PLAIN, data=("photos", "rfdn/photos"), lr_dir=("rfdn/photos", "photos")),
        replace(PLAIN, teacher="my rfdn.safetensors", teacher_weight=0.5, init="random"),
    ],
)
def test_the_command_repeats_the_training(config, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "rfdn" / "photos").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    command, *file = train_command(card_of(config)).splitlines()
    (tmp_path / "run.toml").write_text("\n".join(file))
    asked = []
    monkeypatch.setattr("srcli.engine.train.train", lambda given, *_, **__: asked.append(TrainConfig(**given)) or iter(()))
    result = srcli(*shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    assert asked == [config]


def test_validation_by_the_minute_is_not_told_of_a_run_that_went_on_by_steps():
    begun = asdict(replace(PLAIN, val="photos", validate_every=5.0))
    command = train_command(card_of(settled({"validate_steps": 3}, begun, Path("run"))))
    assert "--validate-steps 3" in command and "--validate-every" not in command


def test_a_run_of_parts_is_told_with_a_command_for_each():
    card = card_of(replace(PLAIN, steps=9))
    before = {**card_of(PLAIN).training, "steps_done": 4, "ranks": 2}
    card = replace(card, licence="mit", training={**card.training, "steps_done": 9, "parts": [before]})
    (first, begun), (then, resumed) = parts(card)
    assert (first, then) == ("up to step 4", "from there on")
    assert begun == train_command(replace(card, training=before), "--stop-after 4")
    assert resumed == train_command(replace(card, training={**card.training, "parts": None}), "--resume")
    written = page("me/it", [Entry("a.safetensors", card, 1, 1, "00", "mit")])
    assert f"Trained for 9 steps, up to step 4 with\n\n```sh\n{begun}\n```" in written
    assert f"Resumed with other settings, from there on with\n\n```sh\n{resumed}\n```" in written


def test_the_command_leaves_out_what_the_training_did_not_use():
    config = replace(PLAIN, optimizer="adam", adam_lr=1e-4, beta=0.1, frequency=0.1, halve_every=2)
    assert train_command(card_of(config)) == train_command(card_of(replace(PLAIN, optimizer="adam")))

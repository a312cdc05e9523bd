import math
from dataclasses import replace

import pytest

from srcli.engine.settings import Stage, TrainConfig, check_settings, check_start, never_halved
from srcli.errors import UsageError

CONFIG = TrainConfig("rfdn", 2, "photos", steps=100)


def test_finish_is_short_for_one_stage():
    short = replace(CONFIG, finish=0.2, finish_rate=0.3)
    assert short.legs() == replace(CONFIG, stage=(Stage(0.2, patch=96, loss="mse", teacher_weight=0.0, rate=0.3),)).legs()


def test_a_stage_takes_from_the_one_before_what_it_does_not_say():
    legs = replace(CONFIG, stage=(Stage(0.25, patch=64, batch=8), Stage(0.25, loss="mse"))).legs()
    assert [(leg.begin, leg.patch, leg.batch, leg.loss) for leg in legs] == [
        (0.0, 48, 16, "l1"),
        (0.5, 64, 8, "l1"),
        (0.75, 64, 8, "mse"),
    ]


def test_the_schedule_goes_on_through_stages_and_begins_anew_with_a_rate():
    legs = replace(CONFIG, stage=(Stage(0.25), Stage(0.125, rate=0.1), Stage(0.125))).legs()
    assert [(leg.since, leg.length, leg.rate) for leg in legs] == [
        (0.0, 0.75, 1.0),
        (0.0, 0.75, 1.0),
        (0.75, 0.25, 0.1),
        (0.75, 0.25, 0.1),
    ]


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"halve_every": 100}, "100"),
        ({"halve_every": 99}, None),
        ({"milestones": (100, 1000)}, "100"),
        ({"milestones": (99, 1000)}, None),
        ({"halve_every": 50, "finish": 0.5}, "50"),  # counted from the last stage anew
        ({"halve_every": 49, "finish": 0.5}, None),
        ({"milestones": (50,), "finish": 0.5}, "50"),
        ({"milestones": (60,), "finish": 0.5}, None),
        ({"halve_every": 200_000, "steps": None, "minutes": 1.0}, None),
    ],
)
def test_a_rate_that_no_step_halves_is_told(change, first):
    told = never_halved(replace(CONFIG, schedule="step", **change))
    assert told == (first and f"the rate is never halved: schedule step does so at {first} steps first, and the run has 100")
    assert never_halved(replace(CONFIG, **change)) is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"stage": (Stage(0.5), Stage(0.5))}, "leave nothing"),
        ({"stage": (Stage(0.5, patch=0),)}, "above 0"),
        ({"validate_every": 0.0}, "--validate-every must be above 0"),
        ({"validate_every": math.nan}, "--validate-every is a number"),
        ({"stage": (Stage(0.5),), "finish": 0.1}, "--finish is short"),
        ({"stage": (Stage(0.5, teacher_weight=0.5),)}, "no --teacher"),
        ({"teacher_weight": 1.1}, "--teacher-weight"),
        ({"stage": (Stage(0.5, teacher_weight=-0.1),)}, "--teacher-weight"),
        ({"milestones": (5,)}, "--schedule step"),
        ({"milestones": (5, 0), "schedule": "step"}, "--milestones are steps from 1 on, not 0"),
        ({"halve_every": 0}, "--halve-every"),
        ({"seed": 2**64}, r"--seed is below 2\*\*64"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(change, text):
    with pytest.raises(UsageError, match=text):
        check_settings(replace(CONFIG, **change))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"milestones": (5, 3), "schedule": "step"}, "--milestones are rising steps, each once, not 5,3"),
        ({"milestones": (3, 3), "schedule": "step"}, "--milestones are rising steps, each once, not 3,3"),
        ({"loss": "frequency", "frequency": 0.0}, "--frequency 0 leaves nothing .* choose --loss l1"),
        ({"finish": 0.5, "finish_loss": "frequency", "frequency": 0.0}, "--frequency 0 leaves nothing"),
    ],
)
def test_slips_are_refused_where_a_run_begins(change, text):
    slipped = replace(CONFIG, **change)
    check_settings(slipped)  # a run that an older srcli began so goes on
    with pytest.raises(UsageError, match=text):
        check_start(slipped)


@pytest.mark.parametrize("change", [{"milestones": (3, 5), "schedule": "step"}, {"frequency": 0.0}, {"loss": "frequency"}])
def test_what_looks_like_a_slip_is_none(change):
    check_start(replace(CONFIG, **change))

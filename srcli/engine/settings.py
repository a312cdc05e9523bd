"""The settings of a training run: everything that decides what it computes, and the stages they make."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from PIL import features

from srcli.engine.data import Degradation
from srcli.errors import TrainingFailed, UsageError
from srcli.models import SCALES, arch_name
from srcli.zoo import on_disk

Folders = str | tuple[str, ...]  # one, or several that are pooled
LossName = Literal["l1", "smooth-l1", "mse", "charbonnier", "frequency"]

NEEDED = {"arch", "scale", "data"}  # by every run
FOLDERS = ("data", "lr_dir", "teacher_dir", "val", "val_lr_dir")  # among the settings
_TEACHERS = ("teacher", "teacher_dir")  # of which a run has one or none
PARTNERS = {  # settings that say nothing without another
    "teacher_weight": _TEACHERS,
    "finish_patch": ("finish",),
    "finish_loss": ("finish",),
    "finish_rate": ("finish",),
    "validate_steps": ("val",),
}
_FREE = {  # settings that may be others when a run is resumed
    *(name for name in FOLDERS if name not in _TEACHERS),
    *("steps", "minutes", "validate_every", "validate_steps", "precision", "compile"),
}
PARTS = ("data", "lr_dir", *_TEACHERS, "steps", "minutes", "precision")  # other ones on resuming make a run of parts
_REPLACED = {  # settings of a run that do not hold where one of these is given
    "steps": {"minutes"},
    "minutes": {"steps"},
    "validate_steps": {"validate_every"},
    "validate_every": {"validate_steps"},
}
STARTS = ("auto", "upsampler", "random")  # --init without weights
RATES = {"adam": 1e-3, "adamw": 1e-3, "muon": 5e-3}  # --lr where none is given


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a run, `share` of it; what is None is as in the stage before."""

    share: float
    patch: int | None = None  # LR px
    batch: int | None = None
    loss: LossName | None = None
    teacher_weight: float | None = None
    rate: float | None = None  # its first, as a share of the peak rates, with a schedule of its own; None: the schedule goes on


@dataclass(frozen=True, slots=True)
class Leg:
    """A stage with all it takes from those before. Its schedule began at `since` and lasts for `length` of the run."""

    begin: float
    patch: int
    batch: int
    loss: LossName
    teacher_weight: float
    rate: float
    since: float
    length: float


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides what a run computes; saved with it, and compared when it resumes."""

    arch: str
    scale: int
    data: Folders
    network: dict[str, Any] | None = None  # arguments of the network's that are not the table's
    lr_dir: Folders | None = None  # with the LR of `data`, one for each; None: made from it
    degradation: Degradation = "bicubic"  # how LR is made, for validation too
    shrink: float = 1.0  # pictures are reduced by random factors from this to 1
    drawings: float = 0.0  # share of the pairs that text, lines and shapes are drawn over
    clean: float = 0.0  # share of the pairs that `photo` makes bicubic, with JPEG at the end or not
    cache_mib: int | None = None  # of decoded crops; None: all pictures stay in memory
    val: str | None = None
    val_lr_dir: str | None = None  # folder with the LR of `val`; None: made from it
    steps: int | None = None  # exactly one of steps and minutes bounds the run and its schedule
    minutes: float | None = None
    batch: int = 16
    patch: int = 48  # LR px
    accumulate: int = 1  # batches whose gradients make one step
    loss: LossName = "l1"
    beta: float = 0.5  # knee of smooth-l1
    frequency: float = 0.05  # weight of the spectra in the frequency loss
    teacher: str | None = None  # what `open_model` takes: weights whose SR is learnt besides HR
    teacher_dir: Folders | None = None  # with a teacher's SR of `data`, one for each, made before, in a teacher's place
    teacher_weight: float = 0.9  # its share of the loss
    optimizer: Literal["adam", "adamw", "muon"] = "muon"
    lr: float | None = None  # of the optimiser named; None: RATES
    adam_lr: float = 1e-3  # with muon: for the first and last convolution, biases and whatever else Muon leaves
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    halve_every: int = 200_000  # steps, with schedule "step"
    milestones: tuple[int, ...] = ()  # steps at which schedule "step" halves instead
    warmup: int = 100  # steps; at most a tenth of the run
    stage: tuple[Stage, ...] = ()  # the parts of the run that follow its first
    finish: float = 0.0  # short for one such stage, without the teacher: its share, patch, loss and rate
    finish_patch: int | None = None  # LR px; None: twice `patch`
    finish_loss: LossName = "mse"
    finish_rate: float = 0.1
    clip: float = 1.0  # gradient norm; 0: off
    ema: float = 0.999  # largest decay of the weights' moving average; 0: off
    init: str = "auto"  # upsampler where the network knows such a start, else random; or what `open_model` takes
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"  # auto: on CUDA
    seed: int = 0
    validate_every: float = 10.0  # minutes
    validate_steps: int | None = None  # steps between validations instead

    @property
    def rate(self) -> float:
        """The optimiser's peak learning rate."""
        return RATES[self.optimizer] if self.lr is None else self.lr

    @property
    def taught(self) -> bool:
        """Whether a teacher, where there is one, has a part in the loss of some stage."""
        return any(leg.teacher_weight for leg in self.legs())

    def legs(self) -> list[Leg]:
        """Return the run's stages in order, the first one being what the others leave.

        The rate follows `schedule` from one stage into the next, and anew from a stage that has a rate.
        """
        later = self.stage
        if self.finish:
            patch = self.finish_patch or 2 * self.patch
            later = (Stage(self.finish, patch, None, self.finish_loss, 0.0, self.finish_rate),)
        left = list(accumulate((s.share for s in reversed(later)), initial=0.0))[::-1]  # of the run, from each stage on
        legs = [Leg(0.0, self.patch, self.batch, self.loss, self.teacher_weight, 1.0, 0.0, 1 - left[0])]
        for stage, remaining in zip(later, left, strict=False):
            before, begin = legs[-1], 1 - remaining
            taught = before.teacher_weight if stage.teacher_weight is None else stage.teacher_weight
            patch, batch, loss = stage.patch or before.patch, stage.batch or before.batch, stage.loss or before.loss
            leg = Leg(begin, patch, batch, loss, taught, 0, 0, 0)
            if stage.rate is not None:
                legs.append(replace(leg, rate=stage.rate, since=begin, length=stage.share))
                continue
            length = before.length + stage.share
            legs = [replace(e, length=length) if e.since == before.since else e for e in legs]
            legs.append(replace(leg, rate=before.rate, since=before.since, length=length))
        return legs


def flag(name: str) -> str:
    """Return a setting as the command line has it."""
    return f"--{name.replace('_', '-')}"


def listed(folders: Folders | None) -> tuple[str, ...]:
    """Return the folders that a setting names, in order."""
    return (folders,) if isinstance(folders, str) else tuple(folders or ())


def in_quotes(folders: Folders | None) -> str:
    """Return the folders that a setting names as a message has them."""
    return ", ".join(f"'{folder}'" for folder in listed(folders))


def each(folders: Folders | None, change: Callable[[str], str]) -> Folders | None:
    """Change every folder that a setting names; one stays one, none None."""
    changed = tuple(map(change, listed(folders)))
    return changed if len(changed) > 1 else next(iter(changed), None)


def placed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings that name folders, or weights by a path, by a path that holds in any working folder."""
    paths = [name for name in FOLDERS if values.get(name)]
    paths += [name for name in ("init", "teacher") if values.get(name) not in {None, *STARTS} and on_disk(values[name])]
    return {name: each(values[name], lambda path: str(Path(path).absolute())) for name in paths}


def settled(
    given: TrainConfig | Mapping[str, Any],
    saved: Mapping[str, Any] | None,
    out: Path,
    *,
    length: int | None = None,
    meant: Collection[str] | None = None,
) -> TrainConfig:
    """Return a run's settings: those given, of a run that is resumed its own where a mapping leaves them open.

    `saved`: those that the run in `out` was begun with; None for a fresh one, which has `length` steps where a mapping does
    not bound it. It keeps its `init`. `meant`: those of a mapping that have to change something, None: all; others may be for
    other runs. Raises UsageError where one is missing, TrainingFailed where the run had another.
    """
    # a setting that the run's srcli did not have was at what is now its default
    before = {f.name: saved.get(f.name, f.default) for f in fields(TrainConfig)} | placed(saved) if saved else {}
    if isinstance(given, TrainConfig):
        config = replace(given, **placed(asdict(given)))
    else:
        given = {**given, **placed(given)}
        if saved is None and not {"steps", "minutes"} & given.keys():
            given["steps"] = length
        _check_moved(given, saved or {})
        open_ = {name: value for name, value in before.items() if not _REPLACED.get(name, set()) & given.keys()}
        values = open_ | given
        _check_given(given, values, before, out, meant=given.keys() if meant is None else meant)
        stages = tuple(Stage(**stage) if isinstance(stage, dict) else stage for stage in values.get("stage", ()))
        config = TrainConfig(**values | {"stage": stages})
    config = replace(config, arch=arch_name(config.arch), init=before.get("init", config.init))  # a start is made once
    _check_same(config, before, out)
    return config


def _check_moved(given: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Raise UsageError where the run's teacher is a name that is a file's in this working folder."""
    teacher = saved.get("teacher")
    if teacher and "teacher" not in given and not Path(teacher).is_absolute() and (file := on_disk(teacher)):
        raise UsageError(f"the run's --teacher is '{teacher}', and '{file}' is another; give --teacher, or work elsewhere")


def _check_given(
    given: Mapping[str, Any], values: Mapping[str, Any], before: Mapping[str, Any], out: Path, *, meant: Collection[str]
) -> None:
    """Raise UsageError where what is given lacks something, or is nothing beside all the `values` of the run."""
    if missing := sorted(NEEDED - values.keys()):
        raise UsageError(f"--{missing[0]} is missing, and '{out}' holds no run that has it")
    for made, of in {"lr_dir": "data", "teacher_dir": "data", "val_lr_dir": "val"}.items():
        if before.get(made) and given.get(of, before[of]) != before[of] and made not in given:
            had = in_quotes(before[made])
            raise UsageError(f"the run in '{out}' has {flag(made)} {had}; with another {flag(of)} name {flag(made)} too")
    for name in PARTNERS.keys() & meant:
        if not any(values.get(partner) for partner in PARTNERS[name]):
            raise UsageError(f"{flag(name)} needs {' or '.join(flag(partner) for partner in PARTNERS[name])}")
    if {"validate_every", "validate_steps"} <= given.keys():
        raise UsageError("give either --validate-every or --validate-steps")


def _check_same(config: TrainConfig, before: Mapping[str, Any], out: Path) -> None:
    """Raise TrainingFailed where a run that began with the settings `before` had others that a run keeps."""
    if not before:
        return
    before = {**before, "lr": RATES[before["optimizer"]] if before["lr"] is None else before["lr"]}
    now = asdict(config) | {"lr": config.rate}
    differing = {
        name: f"{name} was {was!r}, is {now[name]!r}"
        for name, was in before.items()
        if name not in _FREE and _plain(was) != _plain(now[name])
        if name not in _TEACHERS or None in (was, now[name])  # may have moved, but not come or gone
    }
    if differing:
        anew = f"; a run that begins with its weights: --init {out} --out ANOTHER"
        hint = "" if {"arch", "network", "scale"} & set(differing) else anew
        raise TrainingFailed(f"the run in '{out}' had other settings: {'; '.join(differing.values())}{hint}")


def idle(training: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that change nothing beside the others of a training, each with what makes it so."""
    losses = [training.get("loss"), *(stage.get("loss") for stage in training.get("stage") or ())]
    if training.get("finish"):
        losses.append(training.get("finish_loss"))
    said = {}
    if training.get("optimizer") in ("adam", "adamw"):
        said["adam_lr"] = f"is of muon; the rate of {training['optimizer']} is --lr"
    if "smooth-l1" not in losses:
        said["beta"] = "needs --loss smooth-l1"
    if "frequency" not in losses:
        said["frequency"] = "needs --loss frequency"
    if not training.get("val"):
        said["validate_every"] = "needs --val"
    if training.get("schedule") != "step":
        said["halve_every"] = "needs --schedule step"
    elif training.get("milestones"):
        said["halve_every"] = "is replaced by --milestones; give one of them"
    return said


def never_halved(config: TrainConfig) -> str | None:
    """Say so where schedule "step" halves nothing in the steps of a run; those of minutes are not known."""
    if config.schedule != "step" or config.steps is None:
        return None
    for leg in config.legs():
        first, last = leg.since * config.steps, (leg.since + leg.length) * config.steps
        if any(first < step < last for step in config.milestones or (first + config.halve_every,)):
            return None
    at = min(config.milestones, default=config.halve_every)
    return f"the rate is never halved: schedule step does so at {at:,} steps first, and the run has {config.steps:,}"


def check_settings(config: TrainConfig) -> None:
    """Raise UsageError where settings are out of range or contradict each other."""
    if (config.steps is None) == (config.minutes is None):
        raise UsageError("give either --steps or --minutes")
    check_numbers(config)
    if config.weight_decay and config.optimizer == "adam":
        raise UsageError("--weight-decay is of adamw and muon; choose --optimizer adamw")
    check_source(config)
    if config.val_lr_dir is not None and config.val is None:
        raise UsageError("--val-lr-dir is the LR of --val, which is missing")
    if config.teacher is not None and config.teacher_dir is not None:
        raise UsageError("give either --teacher or --teacher-dir")
    if config.teacher is config.teacher_dir is None and any(stage.teacher_weight for stage in config.stage):
        raise UsageError("a [[stage]] has a teacher_weight, but there is no --teacher or --teacher-dir")
    if config.milestones and config.schedule != "step":
        raise UsageError("--milestones are those of --schedule step")
    if config.finish and config.stage:
        raise UsageError("--finish is short for one [[stage]]; give it as the last of them")


def check_start(config: TrainConfig) -> None:
    """Raise UsageError where a run that begins has a setting that is a slip; one of an older srcli may have begun with it."""
    if list(config.milestones) != sorted(set(config.milestones)):
        raise UsageError(f"--milestones are rising steps, each once, not {','.join(map(str, config.milestones))}")
    if not config.frequency and any(leg.loss == "frequency" for leg in config.legs()):
        raise UsageError("--frequency 0 leaves nothing of the frequency loss but l1; choose --loss l1")


def check_numbers(config: TrainConfig) -> None:
    """Raise UsageError where a number, of a stage too, is out of range."""
    if not all(0 <= beta < 1 for beta in config.betas):
        raise UsageError(f"betas are from 0 to below 1, not {', '.join(map(str, config.betas))}")
    lengths = ("steps", "minutes", "validate_every", "validate_steps", "halve_every")
    for name in (*lengths, "batch", "patch", "accumulate", "finish_patch", "cache_mib"):
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise UsageError(f"{flag(name)} must be above 0, not {value}")
    for name in ("lr", "adam_lr", "weight_decay", "beta", "frequency", "clip", "warmup", "finish_rate", "seed"):
        if (getattr(config, name) or 0) < 0:
            raise UsageError(f"{flag(name)} must not be below 0, as is {getattr(config, name)}")
    if config.seed >= 2**64:
        raise UsageError(f"--seed is below 2**64, not {config.seed}")
    if not 0 <= config.ema <= 1:
        raise UsageError(f"--ema is from 0 to 1, not {config.ema}")
    for name, value in asdict(config).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{flag(name)} is a number, not {value}")
    for stage in config.stage:
        if any(isinstance(value, float) and not math.isfinite(value) for value in asdict(stage).values()):
            raise UsageError("a [[stage]] has numbers, not nan or inf")
    for weight in (config.teacher_weight, *(stage.teacher_weight or 0.0 for stage in config.stage)):
        if not 0 <= weight <= 1:
            raise UsageError(f"--teacher-weight is a share of the loss, from 0 to 1, not {weight}")
    if not 0 <= config.finish < 1:
        raise UsageError(f"--finish is a part of the run, from 0 to below 1, not {config.finish}")
    if config.milestones and min(config.milestones) < 1:
        raise UsageError(f"--milestones are steps from 1 on, not {min(config.milestones)}")
    for stage in config.stage:
        given = [value for value in (stage.share, stage.patch, stage.batch) if value is not None]
        if min(given) <= 0 or (stage.rate or 0) < 0:
            raise UsageError("a [[stage]] has a share, patch and batch above 0 and no rate below 0")
    if (sum_of := sum(stage.share for stage in config.stage)) >= 1:
        raise UsageError(f"the shares of [[stage]] leave nothing for the first: they sum up to {sum_of:g}")


def check_source(config: TrainConfig) -> None:
    """Raise UsageError where there is no such scale, or what is given beside the HR does not go with what is made of it."""
    if config.scale not in SCALES:
        raise UsageError(f"--scale is 2, 3 or 4, not {config.scale}")
    for name in ("lr_dir", "teacher_dir"):
        if (given := len(listed(getattr(config, name)))) not in (0, folders := len(listed(config.data))):
            raise UsageError(f"{folders} folders of --data need as many {flag(name)}, in their order, not {given}")
    if config.lr_dir is not None and config.degradation != "bicubic":
        raise UsageError(f"--degradation {config.degradation} makes LR; with --lr-dir it is given")
    if not 0.1 <= config.shrink <= 1:
        raise UsageError(f"--shrink is a factor from 0.1 to 1, not {config.shrink:g}")
    if ready := next((flag(name) for name in ("lr_dir", "teacher_dir") if getattr(config, name)), None):
        if config.shrink < 1:
            raise UsageError(f"--shrink reduces the pictures, and {ready} has nothing of reduced ones; leave one of them out")
        if config.drawings:
            raise UsageError(f"--drawings are new in every step, and {ready} has nothing of them; leave one of them out")
    if not 0 <= config.drawings <= 1:
        raise UsageError(f"--drawings is a share of the pairs, from 0 to 1, not {config.drawings:g}")
    if not 0 <= config.clean <= 1:
        raise UsageError(f"--clean is a share of the pairs, from 0 to 1, not {config.clean:g}")
    if config.clean and config.degradation != "photo":
        raise UsageError("--clean is a share of what --degradation photo makes")
    if config.drawings and not features.check("freetype2"):
        raise UsageError("--drawings are partly text, and this Pillow cannot write it: it was built without FreeType")
    if config.teacher_dir is not None and config.degradation != "bicubic":
        raise UsageError(
            f"--degradation {config.degradation} makes LR anew in every step, and --teacher-dir has no SR of it; use --teacher"
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

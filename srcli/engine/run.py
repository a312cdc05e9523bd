"""A training run's state: its networks, optimisers and counters, and the files that keep them."""

import copy
import io
import math
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srcli import __version__, checkpoint
from srcli.engine.ahead import Ahead
from srcli.engine.data import Batch, Patches, Stream
from srcli.engine.device import DTYPES, Precision
from srcli.engine.distributed import Team
from srcli.engine.events import Saved
from srcli.engine.losses import make_loss
from srcli.engine.optim import Muon, hidden_kernels
from srcli.engine.runner import in_color
from srcli.engine.settings import FOLDERS, NEEDED, PARTS, Folders, Leg, TrainConfig, each, listed
from srcli.errors import TrainingFailed, UserError, counted
from srcli.files import atomic, is_held
from srcli.models.base import SRModel
from srcli.ops.color import luma
from srcli.zoo import on_disk

Source = Patches | Stream | Ahead
LOG = "log.jsonl"  # in a run's folder, held by the process that trains there
WARMUP_SHARE = 0.1  # of a run at most: a short one is over before the steps of a long one's warm-up


@dataclass(slots=True)
class Scores:
    """What validations have told of a run's weights."""

    scored_on: str | None  # the fingerprint of what is validated on, None where nothing is
    best: float = -math.inf  # PSNR
    best_step: int | None = None  # 0: the weights that the run started from
    validated: int = 0  # the step of the newest one
    stale: bool = False  # best.safetensors was chosen by other pictures than those of --val now
    exact: str | None = None  # a picture of one that came out exactly

    def restore(self, state: dict[str, Any], best: Path | None) -> None:
        """Go on from those of `state`, which older runs lack in part, or of the file `best` where a kill left that newer."""
        step, before = state["step"], state.get("scored_on")
        self.validated = state.get("validated", step)
        if before != self.scored_on or state["best"] == math.inf:  # what else was measured is none for these
            self.stale = None not in (self.scored_on, before)
            return
        self.best, self.best_step, self.stale = state["best"], state.get("best_step", step), state.get("stale", False)
        if best and self.scored_on and (newer := _scored_later(best, step)):
            self.best, self.best_step = newer

    def add(self, step: int, psnr: float) -> bool:
        """Add a validation; return whether it is the best so far."""
        self.validated, self.stale = step, False
        if not psnr > self.best:
            return False
        self.best, self.best_step = psnr, step
        return True


class Run:
    """What outlives a step: the networks, optimisers and counters."""

    def __init__(
        self,
        config: TrainConfig,
        model: SRModel,
        ranks: Team,
        precision: Precision,
        teacher: SRModel | None = None,
        scored_on: str | None = None,
        *,
        trained: bool = False,
    ) -> None:
        self.config, self.ranks, self.precision = config, ranks, precision
        self.teacher = teacher
        self.compiled = False
        self.trained = trained  # the start is weights that are worth a score
        self.model = model.to(ranks.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.averaged: SRModel = copy.deepcopy(self.model).eval().requires_grad_(False)
        if ranks.world > 1 and ranks.device.type == "cuda":
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # type: ignore[no-untyped-call]
        if teacher is not None:
            teacher.to(ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizers = _optimizers(config, self.model)
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=precision == "fp16")
        self.step = 0
        self.elapsed = 0.0
        self.scores = Scores(scored_on)
        self.scheduled = (0.0, 0)  # the part of the run, and the step, at which its stage's schedule began
        self.parts: list[dict[str, Any]] = []  # what a card says of those before a resume with other settings
        self._legs = config.legs()

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on."""
        return {
            "config": asdict(self.config),
            "step": self.step,
            "world": self.ranks.world,
            "elapsed": self.elapsed,
            "scheduled": self.scheduled,
            **asdict(self.scores),
            "trained": self.trained,
            "parts": self.parts,
            "card": self.card(),  # of the averaged weights
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any], best: Path | None = None) -> None:
        """Go on where `state` was taken; `best`: the file of the best weights, which a kill may have left newer."""
        self.step, self.elapsed = state["step"], state["elapsed"]
        self.scheduled = tuple(state.get("scheduled", self.scheduled))
        self.trained = state.get("trained", False)
        self.scores.restore(state, best)
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.scaler.is_enabled() and state.get("scaler"):  # empty where the run was in another precision
            self.scaler.load_state_dict(state["scaler"])
        self.parts = state.get("parts", [])
        before = replace(self.config, **{name: state["config"][name] for name in PARTS if name in state["config"]})
        part, now = self._described(before, state.get("world", self.ranks.world)), self._described(self.config)
        if part != now and self.step > max((done["steps_done"] for done in self.parts), default=0):
            self.parts = [*self.parts, part | self._done()]

    def card(self) -> dict[str, Any]:
        """Return what a card says of how the weights came about."""
        parts = {"parts": self.parts} if self.parts else {}
        return {**self._described(self.config), **self._done(), "machine": _machine(self.ranks.world), **parts}

    def _described(self, config: TrainConfig, ranks: int | None = None) -> dict[str, Any]:
        """Return settings as a card tells them, without places of this machine."""
        return {
            **{k: v for k, v in asdict(config).items() if k not in ("arch", "scale", "network")},
            **{name: _ends(getattr(config, name)) for name in FOLDERS},
            # 'srcli eval --save' calls its folder as that of the HR; the one above it tells the teacher
            "teacher_dir": each(config.teacher_dir, lambda folder: Path(*Path(folder).parts[-2:]).as_posix()),
            "init": _name(config.init),
            "teacher": _name(config.teacher) if config.teacher else None,
            "lr": None if config.optimizer == "muon" and not hidden_kernels(self.model) else config.rate,
            "ranks": ranks or self.ranks.world,
        }

    def _done(self) -> dict[str, Any]:
        return {"steps_done": self.step, "minutes_done": round(self.elapsed / 60, 1)}

    def autocast(self) -> torch.autocast:
        """Compute in the run's precision inside this block."""
        return torch.autocast(self.ranks.device.type, DTYPES[self.precision], enabled=self.precision != "fp32")

    def fraction(self) -> float:
        """How much of the run is done, 0 to 1."""
        if self.config.minutes is not None:
            return min(1.0, self.elapsed / (self.config.minutes * 60))
        return min(1.0, self.step / (self.config.steps or 1))

    def leg(self) -> Leg:
        """Return the stage the run is in."""
        done = self.fraction()
        return next(leg for leg in reversed(self._legs) if done >= leg.begin)

    def draw(self, patches: Source, step: int, turn: int) -> Batch:
        """Draw this rank's batch number `turn` of `step`, as the stage has it."""
        config, ranks, leg = self.config, self.ranks, self.leg()
        part, parts = turn * ranks.world + ranks.rank, config.accumulate * ranks.world
        return patches.draw(config.seed, step, leg.batch, part=part, parts=parts, patch=leg.patch)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return what the stage's loss says of `network` on a batch, the teacher's SR taking its share of HR's place."""
        config, leg = self.config, self.leg()
        loss_of = make_loss(leg.loss, beta=config.beta, weight=config.frequency)
        lr = batch.lr.contiguous(memory_format=torch.channels_last)
        of_luma = self.model.channels == 1  # as in their papers; colour is not theirs to learn
        with self.autocast():
            sr = network(luma(lr) if of_luma else lr)
        loss = loss_of(sr.float(), luma(batch.hr) if of_luma else batch.hr)
        taught = self._taught(batch, lr) if leg.teacher_weight else None
        if taught is None:
            return loss
        return torch.lerp(loss, loss_of(sr.float(), luma(taught) if of_luma else taught), leg.teacher_weight)

    def _taught(self, batch: Batch, lr: Tensor) -> Tensor | None:
        """Return a teacher's SR of the batch, ready or computed; None without a teacher."""
        if batch.taught is not None or self.teacher is None:
            return batch.taught
        with torch.no_grad(), self.autocast():
            return in_color(self.teacher, lr).float()

    def set_rates(self) -> float:
        """Set this step's learning rates; return the main one."""
        self.scheduled, factor = self._schedule()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
        return self.rate

    def next_rate(self) -> float:
        """Return the main learning rate that `set_rates` would set."""
        peak: float = self.optimizers[0].param_groups[0]["peak"]
        return peak * self._schedule()[1]

    def _schedule(self) -> tuple[tuple[float, int], float]:
        """Return where the schedule of this step began, as `scheduled` has it, and its rates as a share of the peak ones."""
        config, leg = self.config, self.leg()
        progress, factor = (self.fraction() - leg.since) / leg.length, leg.rate
        if not leg.since:
            factor = min(1.0, max((self.step + 1) / max(config.warmup, 1), self.fraction() / WARMUP_SHARE))
        scheduled = self.scheduled
        if leg.since != scheduled[0]:
            scheduled = leg.since, self.step if leg.since else 0
        if config.schedule == "cosine":
            factor *= 0.5 * (1 + math.cos(math.pi * progress))
        elif config.schedule == "step":
            begun = scheduled[1]
            passed = sum(begun < m <= self.step for m in config.milestones)
            halvings = passed if config.milestones else (self.step - begun) // config.halve_every
            factor *= 0.5**halvings
        return scheduled, factor

    @property
    def rate(self) -> float:
        """The main learning rate of the latest step: Muon's where it trains something."""
        rate: float = self.optimizers[0].param_groups[0]["lr"]
        return rate

    def update(self) -> None:
        """Turn the gradients into the next weights, and move the average towards them."""
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        whole = True
        if self.config.clip or self.scaler.is_enabled():
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip or math.inf)
            # each optimiser's own gradients may be finite where another's are not, but were clipped by the norm of all
            whole = not self.scaler.is_enabled() or math.isfinite(norm)
        for optimizer in self.optimizers:
            if whole:
                self.scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        self._average()
        self.step += 1

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights towards the newest; batch norm's statistics are copied."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step)) if self.config.ema else 0.0
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.model.parameters()), 1 - decay)
        for statistic, measured in zip(self.averaged.buffers(), self.model.buffers(), strict=True):
            statistic.copy_(measured)


def _optimizers(config: TrainConfig, model: SRModel) -> list[torch.optim.Optimizer]:
    if config.optimizer == "muon":
        kernels = hidden_kernels(model)
        taken = {id(p) for p in kernels}
        rest = [p for p in model.parameters() if id(p) not in taken]
        optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(rest, lr=config.adam_lr, betas=config.betas)]
        if kernels:
            optimizers.insert(0, Muon(kernels, lr=config.rate, weight_decay=config.weight_decay))
    else:
        kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        optimizers = [kind(model.parameters(), lr=config.rate, betas=config.betas, weight_decay=config.weight_decay)]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def save_last(run: Run, out: Path) -> Saved:
    """Write what the run goes on from to `last.pt`; raise TrainingFailed where nothing can go on from it."""
    _check_finite(run.model, run, out)
    buffer = io.BytesIO()  # torch's own writer hides why it cannot write
    torch.save(run.state(), buffer)
    with writing(out), atomic(out / "last.pt") as temporary:
        temporary.write_bytes(buffer.getbuffer())
    return Saved(run.step, out / "last.pt")


def save_first(run: Run, out: Path) -> None:
    """Write `last.pt` where there is none: weights without it can neither be gone on from nor replaced."""
    if not (out / "last.pt").exists():
        save_last(run, out)


def save_best(run: Run, out: Path, *, scores: dict[str, float] | None = None) -> None:
    """Write the averaged weights to `best.safetensors`, with how they came about."""
    _check_finite(run.averaged, run, out)
    training = run.card() | (scores or {})
    with writing(out):
        checkpoint.save(out / "best.safetensors", run.averaged, checkpoint.card_of(run.averaged, training=training))


def _check_finite(model: nn.Module, run: Run, out: Path) -> None:
    """Raise TrainingFailed where weights are not: those of the newest update, which no loss has shown yet."""
    if not all(p.isfinite().all() for p in model.parameters()):
        raise TrainingFailed(diverged(run, out))


def _machine(ranks: int) -> str:
    each = f"{f'{ranks} ranks of ' if ranks > 1 else ''}{counted(torch.get_num_threads(), 'thread')}"
    return f"{platform.machine()}, {each}, torch {torch.__version__}, srcli {__version__}"


def saved_state(out: Path, *, resume: bool) -> dict[str, Any] | None:
    """Return the state to resume; None for a fresh run; raise where the folder does not allow either."""
    if out.exists() and not out.is_dir():
        raise TrainingFailed(f"'{out}' is a file; --out names a folder")
    if is_held(out / LOG):
        raise TrainingFailed(busy(out))
    last, best = out / "last.pt", out / "best.safetensors"
    if not last.exists():
        if best.exists():
            raise TrainingFailed(
                f"'{out}' holds weights, but no last.pt to resume: --init '{best}' and another --out go on from them"
            )
        return None
    if not resume:
        raise TrainingFailed(f"'{last.parent}' holds a run; add --resume to continue it, or name another --out")
    try:
        state: dict[str, Any] = torch.load(last, map_location="cpu", weights_only=True)
        if missing := checkpoint.RUN - state.keys() or NEEDED - state["config"].keys():
            raise KeyError(*sorted(missing))
    except Exception as error:
        instead = f"--init '{best}' and another --out go on from its weights" if best.exists() else "name another --out"
        raise TrainingFailed(f"'{last}' is damaged ({type(error).__name__}); {instead}") from error
    return state


def busy(out: Path) -> str:
    return f"another process trains in '{out}'; stop it, or name another --out"


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Raise TrainingFailed where the disk is full or gone; files are replaced whole, so the last ones stand."""
    try:
        yield
    except OSError as error:
        raise TrainingFailed(f"cannot write to '{out}': {error.strerror}; {kept(out)}") from error


def diverged(run: Run, out: Path) -> str:
    return f"the loss is not finite any more near step {run.step}; {kept(out)}; try a lower --lr or --precision fp32"


def kept(out: Path) -> str:
    """Say whether the run can go on from a checkpoint."""
    return f"the last checkpoint, '{out / 'last.pt'}', is kept" if (out / "last.pt").exists() else "nothing was saved yet"


def _scored_later(best: Path, step: int) -> tuple[float, int] | None:
    """Return PSNR and step of the best weights where they were written behind `step`; None where they were not."""
    with suppress(UserError):
        training = checkpoint.read_card(best).training
        psnr, done = training.get("val_psnr"), training.get("steps_done")
        if isinstance(psnr, float) and math.isfinite(psnr) and isinstance(done, int) and done > step:
            return psnr, done
    return None


def _ends(folders: Folders | None) -> Folders | None:
    """Return what tells folders on another machine: their names, and those of the ones above where names are the same."""
    names = [Path(folder).name for folder in listed(folders)]
    parts = 1 if len(set(names)) == len(names) else 2
    return each(folders, lambda folder: Path(*Path(folder).parts[-parts:]).as_posix())


def _name(reference: str) -> str:
    """Return what a card says of weights: the name of a file or of a run's folder, without what it lies in."""
    return Path(reference).name if on_disk(reference) or Path(reference).is_absolute() else reference

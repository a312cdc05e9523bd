"""Training: one configuration, one loop, readable as the recipe. Long calls yield records; the command draws them."""

import copy
import io
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from srcli import __version__, checkpoint
from srcli.engine.data import Batch, Degradation, Patches, Stream, degrade_folder, list_pictures, partner
from srcli.engine.device import DTYPES, Precision, check_precision, fast_precision
from srcli.engine.distributed import RankLost, Team, noticing_loss, team
from srcli.engine.evaluate import Protocol, evaluate, summarize
from srcli.engine.losses import make_loss
from srcli.engine.optim import Muon, hidden_kernels
from srcli.engine.upscale import Upscaler
from srcli.errors import TrainingFailed, UsageError
from srcli.files import atomic, make_folder
from srcli.models import arch_name, create
from srcli.models.base import SRModel
from srcli.ops.pixels import to_array

Source = Patches | Stream
LossName = Literal["l1", "smooth-l1", "mse", "charbonnier", "frequency"]

RATES = {"adam": 1e-3, "adamw": 1e-3, "muon": 5e-3}  # --lr where none is given
_SAMPLES, _ACROSS = 24, 4  # pairs of --samples, pairs side by side
NORM_BATCHES = 24  # over which the averaged weights' batch-norm statistics are measured
FIRST_SAVE, SAVE_EVERY = 20.0, 180.0  # seconds of training


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides what a run computes; saved with it, and compared when it resumes."""

    arch: str
    scale: int
    data: str
    lr_dir: str | None = None  # folder with the LR of `data`; None: made from it
    degradation: Degradation = "bicubic"  # how LR is made, for validation too
    cache_mib: int | None = None  # of decoded crops; None: all pictures stay in memory
    val: str | None = None
    steps: int | None = None  # exactly one of steps and minutes bounds the run and its schedule
    minutes: float | None = None
    batch: int = 16
    patch: int = 48  # LR px
    accumulate: int = 1  # batches whose gradients make one step
    loss: LossName = "l1"
    beta: float = 0.5  # knee of smooth-l1
    frequency: float = 0.05  # weight of the spectra in the frequency loss
    optimizer: Literal["adam", "adamw", "muon"] = "muon"
    lr: float | None = None  # of the optimiser named; None: RATES
    adam_lr: float = 1e-3  # with muon: for the first and last convolution, biases and whatever else Muon leaves
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    halve_every: int = 200_000  # steps, with schedule "step"
    warmup: int = 100  # steps
    finish: float = 0.0  # last part of the run that is a stage of its own, after the schedule's end: its patch, loss and rate
    finish_patch: int | None = None  # LR px; None: twice `patch`
    finish_loss: LossName = "mse"
    finish_rate: float = 0.1  # of the peak rates; falls as `schedule` says, but does not step
    clip: float = 1.0  # gradient norm; 0: off
    ema: float = 0.999  # largest decay of the weights' moving average; 0: off
    init: str = "auto"  # upsampler where the network knows such a start, else random; or a weights file
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    seed: int = 0
    validate_every: float = 10.0  # minutes

    @property
    def rate(self) -> float:
        """The optimiser's peak learning rate."""
        return RATES[self.optimizer] if self.lr is None else self.lr

    @property
    def largest_patch(self) -> int:
        """LR px a side of the largest patch of any stage."""
        return max(self.patch, self.finish_patch or 2 * self.patch) if self.finish else self.patch


@dataclass(frozen=True, slots=True)
class Started:
    """The run is set up: what it trains on, from where, and what the user should know."""

    step: int
    pictures: int
    megapixels: float
    parameters: int
    device: str
    precision: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Progress: `loss` is the mean since the last record, `fraction` of the run done, `elapsed` s of training so far."""

    step: int
    loss: float
    lr: float
    steps_per_s: float
    elapsed: float
    fraction: float


@dataclass(frozen=True, slots=True)
class Validated:
    """Scores of the averaged weights on the validation folder: Y, shave = scale, LR rounded to 8 bit."""

    step: int
    psnr: float
    ssim: float
    best: bool
    elapsed: float


@dataclass(frozen=True, slots=True)
class Noted:
    """Something the user should know came up on the way."""

    text: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The run can be resumed from `path` at `step`."""

    step: int
    path: Path


Event = Started | Step | Validated | Noted | Saved


class _Run:
    """What outlives a step: the networks, optimisers and counters, and their file form."""

    def __init__(self, config: TrainConfig, model: SRModel, ranks: Team) -> None:
        self.config, self.ranks = config, ranks
        self.model = model.to(ranks.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.averaged: SRModel = copy.deepcopy(self.model).eval().requires_grad_(False)
        if ranks.world > 1 and ranks.device.type == "cuda":
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # type: ignore[no-untyped-call]
        self.optimizers = _optimizers(config, self.model)
        self.step = 0
        self.elapsed = 0.0
        self.best = -math.inf

    def state(self) -> dict[str, Any]:
        return {
            "config": asdict(self.config),
            "step": self.step,
            "world": self.ranks.world,
            "elapsed": self.elapsed,
            "best": self.best,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step, self.elapsed, self.best = state["step"], state["elapsed"], state["best"]
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def fraction(self) -> float:
        """How much of the run is done, 0 to 1."""
        if self.config.minutes is not None:
            return min(1.0, self.elapsed / (self.config.minutes * 60))
        return min(1.0, self.step / (self.config.steps or 1))

    def finishing(self) -> bool:
        """Whether the last stage has begun."""
        return self.config.finish > 0 and self.fraction() >= 1 - self.config.finish

    def draw(self, patches: Source, step: int, turn: int) -> Batch:
        """Draw this rank's batch number `turn` of `step`, with the patch of the stage."""
        config, ranks = self.config, self.ranks
        part, parts = turn * ranks.world + ranks.rank, config.accumulate * ranks.world
        patch = (config.finish_patch or 2 * config.patch) if self.finishing() else config.patch
        return patches.draw(config.seed, step, config.batch, part=part, parts=parts, patch=patch)


def train(
    config: TrainConfig,
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    stop_after: int | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Train as `config` says, keeping `last.pt`, `best.safetensors` and `log.jsonl` in `out`.

    `stop_after`: save and stop after that many steps in all. `stopping`: asked after each step; True saves and stops.
    Raises TrainingFailed before anything is written where the run cannot start.
    """
    config = replace(config, arch=arch_name(config.arch))
    with noticing_loss(), team(device) as ranks:
        with ranks.together():
            precision = fast_precision(ranks.device) if config.precision == "auto" else config.precision
            check_precision(precision, ranks.device)
            _check(config)
            state = _saved_state(config, out, resume) if ranks.leads else None
        state = ranks.given(state)
        with ranks.together():
            torch.manual_seed(config.seed)
            model, notes = _fresh_model(config)
            for flag, side in (("--patch", config.patch), ("--finish-patch", config.finish_patch)):
                if side is not None and side < model.min_side:
                    raise UsageError(f"'{config.arch}' needs at least {flag} {model.min_side}, not {side}")
            patches, skipped = _load(config, ranks.device)
            if config.val is not None:
                list_pictures(Path(config.val))  # raises before the run starts
            run = _Run(config, model, ranks)
            if state is not None:
                run.restore(state)
        notes += skipped + _notes_on_ranks(run, state)
        if resume and state is None:
            notes.append(f"nothing to resume in '{out}': starting at step 0")
        loop = _loop(run, patches, out, precision, stop_after, stopping)
        if not ranks.leads:
            yield from loop  # nothing: rank 0 talks
            return
        make_folder(out)
        started = Started(
            run.step,
            len(patches),
            patches.pixels / 1e6,
            _size(model),
            str(ranks.device) + (f" ({ranks.world} ranks)" if ranks.world > 1 else ""),
            precision,
            tuple(notes),
        )
        with _writing(out), (out / "log.jsonl").open("a") as log:
            for event in chain([started], loop):
                if not isinstance(event, Saved):
                    log.write(json.dumps({"event": type(event).__name__.lower(), **asdict(event)}) + "\n")
                    log.flush()
                yield event


def draw_samples(config: TrainConfig, path: Path) -> None:
    """Write a grid of pairs that training would draw to a picture file: LR, enlarged without smoothing, left of its HR."""
    _check_data(config)
    with closing(_load(config, torch.device("cpu"))[0]) as source:
        lr, hr = source.draw(config.seed, 0, _SAMPLES)
    large = nn.functional.interpolate(lr, scale_factor=config.scale, mode="nearest")
    pairs = nn.functional.pad(torch.cat([large, hr], -1), [4] * 4, value=1.0)  # (N, 3, s*P + 8, 2*s*P + 8)
    rows = [torch.cat(list(pairs[i : i + _ACROSS]), -1) for i in range(0, _SAMPLES, _ACROSS)]
    try:
        with atomic(path) as temporary:
            Image.fromarray(to_array(torch.cat(rows, -2)[None])).save(temporary)
    except (OSError, ValueError) as error:
        raise TrainingFailed(f"cannot write '{path}': {error}") from error


def _loop(
    run: _Run,
    patches: Source,
    out: Path,
    precision: Precision,
    stop_after: int | None,
    stopping: Callable[[], bool],
) -> Iterator[Event]:
    """Train, and yield what rank 0 has to tell; where another rank is lost, rank 0 saves what was done before."""
    try:
        with noticing_loss():
            yield from _steps(run, patches, out, precision, stop_after, stopping)
    except RankLost as error:
        if run.ranks.leads:  # nothing is half-done: the ranks talk before a step's update and after it
            _save(run, out)
        raise RankLost(f"{error}; step {run.step} is saved in '{out / 'last.pt'}', continue with --resume") from error
    finally:
        patches.close()


def _steps(
    run: _Run,
    patches: Source,
    out: Path,
    precision: Precision,
    stop_after: int | None,
    stopping: Callable[[], bool],
) -> Iterator[Event]:
    config, ranks = run.config, run.ranks
    device = ranks.device
    network = ranks.network(run.model, whole=run.model.single_scale_parameters() == _size(run.model))
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    total = torch.zeros((), device=device)
    counted, lr = 0, 0.0
    clock = told = time.monotonic()
    last_save = run.elapsed - (SAVE_EVERY - FIRST_SAVE)
    next_validation = run.elapsed + config.validate_every * 60
    at_end = False
    while not at_end:
        if run.fraction() >= 1 or (stop_after is not None and run.step >= stop_after):
            break
        lr = _set_rates(run)
        total += _backward(run, network, patches, scaler, precision)
        for optimizer in run.optimizers:
            scaler.unscale_(optimizer)
        if config.clip:
            nn.utils.clip_grad_norm_(run.model.parameters(), config.clip)
        for optimizer in run.optimizers:
            scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        scaler.update()
        _average(run)
        counted += 1
        run.step += 1
        now = time.monotonic()
        # rank 0's clock and signals hold for all
        run.elapsed, stop, tell = ranks.told(run.elapsed + now - clock, stopping(), now - told >= 1.0)
        clock = now
        at_end = run.fraction() >= 1 or bool(stop) or (stop_after is not None and run.step >= stop_after)
        if at_end or tell:
            mean = ranks.mean(total / counted).item()
            if not math.isfinite(mean):
                raise TrainingFailed(
                    f"the loss is not finite any more near step {run.step}; {_kept(out)}; try a lower --lr or --precision fp32"
                )
            if ranks.leads:
                yield Step(run.step, mean, lr, counted / (now - told), run.elapsed, run.fraction())
            total.zero_()
            counted, told = 0, time.monotonic()
            clock = told  # drawing and saving are not training
        if not ranks.leads:
            continue
        yield from (Noted(line) for line in patches.news())
        if config.val and (at_end or run.elapsed >= next_validation):
            next_validation = run.elapsed + config.validate_every * 60
            _measure_norms(run, patches, precision)
            yield _validate(run, out, precision)
            clock = told = time.monotonic()
        if at_end or run.elapsed - last_save >= SAVE_EVERY:
            last_save = run.elapsed
            if not config.val:
                _measure_norms(run, patches, precision)
                _save_best(run, out, None)
            yield _save(run, out)
            clock = told = time.monotonic()
    with suppress(RuntimeError):  # the work is done: a rank that has left already is no loss
        ranks.told(0.0)  # the others stay until rank 0 has written


def _backward(run: _Run, network: nn.Module, patches: Source, scaler: torch.amp.GradScaler, precision: Precision) -> Tensor:
    """Leave this step's gradients in the parameters; return its loss."""
    config, ranks = run.config, run.ranks
    loss_of = make_loss(config.finish_loss if run.finishing() else config.loss, beta=config.beta, weight=config.frequency)
    total = torch.zeros((), device=ranks.device)
    for turn in range(config.accumulate):
        batch = run.draw(patches, run.step, turn)
        with ranks.alone(network) if turn < config.accumulate - 1 else nullcontext():
            with torch.autocast(ranks.device.type, DTYPES[precision], enabled=precision != "fp32"):
                sr = network(batch.lr.contiguous(memory_format=torch.channels_last))
            loss = loss_of(sr.float(), batch.hr) / config.accumulate
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total


def _save(run: _Run, out: Path) -> Saved:
    buffer = io.BytesIO()  # torch's own writer hides why it cannot write
    torch.save(run.state(), buffer)
    with _writing(out), atomic(out / "last.pt") as temporary:
        temporary.write_bytes(buffer.getbuffer())
    return Saved(run.step, out / "last.pt")


def _set_rates(run: _Run) -> float:
    """Set this step's learning rates; return the main one."""
    config, main = run.config, 1 - run.config.finish
    if run.finishing():
        progress, factor = (run.fraction() - main) / config.finish, config.finish_rate
    else:
        progress, factor = run.fraction() / main, min(1.0, (run.step + 1) / max(config.warmup, 1))
    if config.schedule == "cosine":
        factor *= 0.5 * (1 + math.cos(math.pi * progress))
    elif config.schedule == "step" and not run.finishing():
        factor *= 0.5 ** (run.step // config.halve_every)
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor
    return config.rate * factor


def _optimizers(config: TrainConfig, model: SRModel) -> list[torch.optim.Optimizer]:
    if config.optimizer == "muon":
        kernels = hidden_kernels(model)
        taken = {id(p) for p in kernels}
        rest = [p for p in model.parameters() if id(p) not in taken]
        optimizers: list[torch.optim.Optimizer] = [
            Muon(kernels, lr=config.rate, weight_decay=config.weight_decay),
            torch.optim.Adam(rest, lr=config.adam_lr, betas=config.betas),
        ]
    else:
        kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        optimizers = [kind(model.parameters(), lr=config.rate, betas=config.betas, weight_decay=config.weight_decay)]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


@torch.no_grad()
def _average(run: _Run) -> None:
    """Move the averaged weights towards the newest; batch norm's statistics are copied."""
    decay = min(run.config.ema, (1 + run.step) / (10 + run.step)) if run.config.ema else 0.0
    for averaged, newest in zip(run.averaged.parameters(), run.model.parameters(), strict=True):
        averaged.lerp_(newest, 1 - decay)
    for statistic, measured in zip(run.averaged.buffers(), run.model.buffers(), strict=True):
        statistic.copy_(measured)


@torch.no_grad()
def _measure_norms(run: _Run, patches: Source, precision: Precision) -> None:
    """Give the averaged weights batch-norm statistics of their own, over the newest patches.

    Those of the newest weights, copied with every step, do not fit the average while the rate is high: MFDN x4 scored
    0.34 dB more with its own after 3,098 steps at a rate of 1e-3.
    """
    norms = [m for m in run.averaged.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches
        norm.train()
    for step in range(max(run.step - NORM_BATCHES, 0), run.step):
        lr = run.draw(patches, step, 0).lr.contiguous(memory_format=torch.channels_last)
        with torch.autocast(run.ranks.device.type, DTYPES[precision], enabled=precision != "fp32"):
            run.averaged(lr)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _validate(run: _Run, out: Path, precision: Precision) -> Validated:
    """Score the averaged weights as `srcli eval` does, in the precision of training."""
    assert run.config.val is not None
    upscaler, protocol = Upscaler(run.averaged, device=run.ranks.device, precision=precision), Protocol(run.config.scale)
    folder = Path(run.config.val)
    with TemporaryDirectory() as temporary:
        lr_folder = None
        if run.config.degradation == "photo":
            lr_folder = Path(temporary)
            degrade_folder(folder, lr_folder, run.config.scale, seed=0)
        summary = summarize("", folder, protocol, list(evaluate(upscaler, folder, protocol, lr_folder=lr_folder)))
    mean_psnr, mean_ssim = summary.psnr, summary.ssim
    best = mean_psnr > run.best
    result = Validated(run.step, mean_psnr, mean_ssim, best, run.elapsed)
    if best:
        run.best = mean_psnr
        _save_best(run, out, result)
    return result


def _save_best(run: _Run, out: Path, score: Validated | None) -> None:
    training = {
        **{k: v for k, v in asdict(run.config).items() if k not in ("arch", "scale")},
        "data": Path(run.config.data).name,
        "lr_dir": Path(run.config.lr_dir).name if run.config.lr_dir else None,
        "val": Path(run.config.val).name if run.config.val else None,
        "init": run.config.init if run.config.init in ("auto", "upsampler", "random") else Path(run.config.init).name,
        "lr": run.config.rate,
        "steps_done": run.step,
        "minutes_done": round(run.elapsed / 60, 1),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, srcli {__version__}",
    }
    if score:
        training |= {"val_psnr": round(score.psnr, 3), "val_ssim": round(score.ssim, 4)}
    with _writing(out):
        checkpoint.save(out / "best.safetensors", run.averaged, checkpoint.card_of(run.averaged, training=training))


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Raise TrainingFailed where the disk is full or gone; files are replaced whole, so the last ones stand."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TrainingFailed(f"cannot write to '{out}': {reason}; {_kept(out)}") from error


def _check(config: TrainConfig) -> None:
    if (config.steps is None) == (config.minutes is None):
        raise UsageError("give either --steps or --minutes")
    for name in ("steps", "minutes", "batch", "patch", "accumulate", "finish_patch", "cache_mib"):
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise UsageError(f"--{name.replace('_', '-')} must be above 0, not {value}")
    _check_data(config)
    if not 0 <= config.finish < 1:
        raise UsageError(f"--finish is a part of the run, from 0 to below 1, not {config.finish}")


def _check_data(config: TrainConfig) -> None:
    if config.lr_dir is not None and config.degradation != "bicubic":
        raise UsageError(f"--degradation {config.degradation} makes LR; with --lr-dir it is given")


def _saved_state(config: TrainConfig, out: Path, resume: bool) -> dict[str, Any] | None:
    """Return the state to resume; None for a fresh run; raise where the folder and the flags do not agree."""
    if out.exists() and not out.is_dir():
        raise TrainingFailed(f"'{out}' is a file; --out names a folder")
    last = out / "last.pt"
    if not last.exists():
        return None
    if not resume:
        raise TrainingFailed(f"'{last.parent}' holds a run; add --resume to continue it, or name another --out")
    try:
        state: dict[str, Any] = torch.load(last, map_location="cpu", weights_only=True)
        before = state["config"]
    except Exception as error:
        raise TrainingFailed(f"'{last}' is damaged ({type(error).__name__}); name another --out") from error
    free = {"steps", "minutes", "data", "lr_dir", "val", "validate_every", "precision", "init"}
    now = asdict(config)
    # a setting that the run's srcli did not have was at what is now its default
    before = {f.name: before.get(f.name, f.default) for f in fields(config)}
    differing = [
        f"{name} was {was!r}, is {now[name]!r}"
        for name, was in before.items()
        if name not in free and _plain(was) != _plain(now[name])
    ]
    if differing:
        raise TrainingFailed(f"the run in '{last.parent}' had other settings: {'; '.join(differing)}")
    return state


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _fresh_model(config: TrainConfig) -> tuple[SRModel, list[str]]:
    model = create(config.arch, config.scale)
    if not model.learnt:
        raise TrainingFailed(f"'{config.arch}' has nothing to train")
    if config.init == "random":
        return model, []
    if config.init in ("auto", "upsampler"):
        if model.start_as_upsampler():
            return model, []
        if config.init == "upsampler":
            raise UsageError(f"no start as an upsampler is known for '{config.arch}'; use --init random")
        return model, [f"'{config.arch}' starts from random weights: no start as an upsampler is known for it"]
    source, card = checkpoint.load(Path(config.init))
    if card.arch != config.arch:
        raise TrainingFailed(f"'{config.init}' holds '{card.arch}', not '{config.arch}'")
    model.start_as_upsampler()
    own = model.state_dict()
    fitting = (
        {k: v for k, v in source.state_dict().items() if k in own and own[k].shape == v.shape}
        if card.scale != config.scale
        else source.state_dict()
    )
    model.load_state_dict(fitting, strict=card.scale == config.scale)
    fresh = [k for k in own if k not in fitting]
    return model, [f"started from '{config.init}' (x{card.scale})" + (f"; new: {', '.join(fresh)}" if fresh else "")]


def _load(config: TrainConfig, device: torch.device) -> tuple[Source, list[str]]:
    s, hr = config.scale, list_pictures(Path(config.data))
    files = [(path, partner(path, Path(config.lr_dir), s) if config.lr_dir else None) for path in hr]
    source: Source
    if config.cache_mib is None:
        source = Patches(s, config.patch, device, degradation=config.degradation)
        source.read(files)
    else:
        source = Stream(files, s, config.patch, device, mebibytes=config.cache_mib, degradation=config.degradation)
    notes = []
    if source.unreadable:
        notes.append(f"{len(source.unreadable)} unreadable pictures skipped: {', '.join(source.unreadable[:5])}")
    if source.unlike:
        notes.append(
            f"{len(source.unlike)} pictures skipped, their LR is not 1/{s} of their size: {', '.join(source.unlike[:5])}"
        )
    if source.small:
        notes.append(f"{source.small} pictures smaller than a patch skipped")
    if source.unlike and not len(source):
        raise TrainingFailed(f"no LR in '{config.lr_dir}' is 1/{s} of the size of its HR")
    source.check(config.largest_patch)
    return source, notes


def _notes_on_ranks(run: _Run, state: dict[str, Any] | None) -> list[str]:
    config, ranks = run.config, run.ranks
    notes = []
    if ranks.world > 1:
        patches = ranks.world * config.batch * config.accumulate
        notes.append(f"{ranks.world} ranks of {config.batch * config.accumulate} patches: {patches} a step")
        if ranks.device.type != "cuda" and any(isinstance(m, nn.BatchNorm2d) for m in run.model.modules()):
            notes.append("batch norm measures each rank's own patches (SyncBatchNorm needs CUDA); rank 0's statistics are kept")
    if state is not None and (before := state.get("world", 1)) != ranks.world:
        notes.append(f"the run had {before} ranks and now has {ranks.world}: it sees other patches than it would have")
    return notes


def _size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _kept(out: Path) -> str:
    return f"the last checkpoint, '{out / 'last.pt'}', is kept" if (out / "last.pt").exists() else "nothing was saved yet"

"""Training: one configuration, one loop, readable as the recipe. Long calls yield records; the command draws them."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext, suppress
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from srcli import checkpoint
from srcli.engine.ahead import Ahead
from srcli.engine.board import Board
from srcli.engine.compiler import compile_network
from srcli.engine.data import Patches, Stream, hr_folder, list_pictures, partner
from srcli.engine.device import check_precision, fast_precision, single_threads
from srcli.engine.distributed import RankLost, noticing_loss, team
from srcli.engine.events import Event, Noted, Saved, Started, Step, Validated
from srcli.engine.optim import hidden_kernels
from srcli.engine.run import LOG, Run, Source, busy, diverged, save_best, save_last, saved_state, writing
from srcli.engine.settings import TrainConfig, check_settings, check_source, flag, settled
from srcli.engine.validate import check_validation, crops, measure_norms, validate
from srcli.errors import BadFolder, TrainingFailed, UsageError, UserError, WeightsNotFound
from srcli.files import atomic, hold, make_folder
from srcli.models import create
from srcli.models.base import SRModel
from srcli.ops.pixels import to_array
from srcli.zoo import open_model

_FOLDERS = ("data", "lr_dir", "val", "val_lr_dir")  # among the settings
_SAMPLES, _ACROSS = 24, 4  # pairs of --samples, pairs side by side
FIRST_SAVE, SAVE_EVERY = 20.0, 180.0  # seconds of training
TELL_EVERY = 1.0  # second between the records of steps


def train(
    settings: TrainConfig | Mapping[str, Any],
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    stop_after: int | None = None,
    stopping: Callable[[], bool] = lambda: False,
    tensorboard: bool = False,
) -> Iterator[Event]:
    """Train as `settings` say, keeping `last.pt`, `best.safetensors` and `log.jsonl` in `out`.

    With `resume` a mapping of some settings does, or an empty one: the others are those of the run in `out`.
    `stop_after`: save and stop after that many steps in all. `stopping`: asked after each step; True saves and stops.
    `tensorboard`: draw curves and validation crops there too. Raises TrainingFailed before anything is written where the run
    cannot start.
    """
    with noticing_loss(), team(device) as ranks:
        with ranks.together():
            state = saved_state(out, resume=resume) if ranks.leads else None
        state = ranks.given(state)
        with ranks.together():
            config = settled(settings, state and state["config"], out)
            if state is not None and ranks.leads:
                _check_folders(config)
            check_settings(config)
            precision = fast_precision(ranks.device) if config.precision == "auto" else config.precision
            check_precision(precision, ranks.device)
            torch.manual_seed(config.seed)
            model, notes = _fresh_model(config if state is None else replace(config, init="random"))  # a start may be gone
            teacher = _teacher(config, notes)
            for network in (model, teacher):
                if network is not None and (side := min(leg.patch for leg in config.legs())) < network.min_side:
                    raise UsageError(f"'{network.arch}' needs patches of at least {network.min_side} px, not {side}")
            patches, skipped = _load(config, ranks.device)
            scored_on = check_validation(config) if config.val is not None and ranks.leads else None
            run = Run(config, model, ranks, precision, teacher, scored_on)
            if state is not None:
                run.restore(state)
                notes += [
                    f"{flag(name)} was {before or 'not given'}"
                    for name in _FOLDERS
                    if (before := state["config"].get(name)) != getattr(config, name)
                ]
                if ranks.leads and not (out / "best.safetensors").exists():
                    run.best = -math.inf
            board = Board(out / "tensorboard") if tensorboard else None
        notes += skipped + _notes_on_ranks(run, state)
        if config.lr_dir and config.val and not config.val_lr_dir:
            notes.append("validation makes its LR by bicubic; --val-lr-dir gives it")
        if config.optimizer == "muon" and not hidden_kernels(model):
            notes.append(f"Adam trains all of '{config.arch}', at --adam-lr: it has no dense hidden kernels for Muon")
        if state is not None and run.fraction() >= 1:
            notes.append("the run is at its end; a larger --steps or --minutes lengthens it")
        if resume and state is None:
            notes.append(f"nothing to resume in '{out}': starting at step 0")
        if stop_after is not None and run.step >= stop_after:
            notes.append(f"nothing is done: the run is at step {run.step}, --stop-after {stop_after}")
        wanted = config.compile == "on" or (config.compile == "auto" and ranks.device.type == "cuda")
        if wanted and (reason := compile_network(run.model, ranks.device)):
            notes.append(f"not compiled: {reason}")
        loop = _guarded(_steps(run, patches, out, stop_after, stopping), run, patches, out)
        if not ranks.leads:
            yield from loop  # nothing: rank 0 talks
            return
        make_folder(out)
        started = Started(
            config.arch,
            config.scale,
            run.step,
            len(patches),
            patches.pixels / 1e6,
            _size(model),
            str(ranks.device) + (f" ({ranks.world} ranks)" if ranks.world > 1 else ""),
            precision,
            tuple(notes),
        )
        with writing(out), (out / LOG).open("a") as log, closing(board) if board else nullcontext():
            if not hold(log):  # begun while this one was loading
                raise TrainingFailed(busy(out))
            for event in chain([started], loop):
                if not isinstance(event, Saved):
                    log.write(json.dumps({"event": type(event).__name__.lower(), **asdict(event)}) + "\n")
                    log.flush()
                if board:
                    board.add(event)
                    if isinstance(event, Validated):
                        board.show(crops(run), event.step)
                yield event


def draw_samples(config: TrainConfig, path: Path) -> None:
    """Write a grid of pairs that training would draw to a picture file: LR, enlarged without smoothing, left of its HR."""
    check_source(config)
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


def _guarded(steps: Iterator[Event], run: Run, patches: Source, out: Path) -> Iterator[Event]:
    """Yield what rank 0 has to tell; where another rank is lost, rank 0 saves what was done before."""
    try:
        with noticing_loss():
            yield from steps
    except RankLost as error:
        if run.ranks.leads:  # nothing is half-done: the ranks talk before a step's update and after it
            save_last(run, out)
        raise RankLost(f"{error}; step {run.step} is saved in '{out / 'last.pt'}', continue with --resume") from error
    finally:
        patches.close()


def _steps(run: Run, patches: Source, out: Path, stop_after: int | None, stopping: Callable[[], bool]) -> Iterator[Event]:
    config, ranks = run.config, run.ranks
    network = ranks.network(run.model, whole=run.model.single_scale_parameters() == _size(run.model))
    total = torch.zeros((), device=ranks.device)
    counted, lr = 0, 0.0
    clock = told = time.monotonic()
    last_save = run.elapsed - (SAVE_EVERY - FIRST_SAVE)
    next_validation = run.elapsed + config.validate_every * 60
    at_end = False
    due = run.fraction() >= 1 or (config.validate_steps is not None and not run.step % config.validate_steps)
    if ranks.leads and config.val is not None and due and run.validated < run.step:
        yield _scored(run, patches, out)  # what ended the run before came before this validation
        yield save_last(run, out)
    while not at_end:
        if run.fraction() >= 1 or (stop_after is not None and run.step >= stop_after):
            break
        lr = run.set_rates()
        total += _backward(run, network, patches)
        run.update()
        counted += 1
        now = time.monotonic()
        elapsed = run.elapsed + now - clock
        due = config.val is not None and (
            not run.step % config.validate_steps if config.validate_steps else elapsed >= next_validation
        )
        # rank 0's clock and signals hold for all; what is validated or saved is told, and found finite, before
        wanted = now - told >= TELL_EVERY or due or elapsed - last_save >= SAVE_EVERY
        run.elapsed, stop, tell = ranks.told(elapsed, stopping(), wanted)
        clock = now
        at_end = run.fraction() >= 1 or bool(stop) or (stop_after is not None and run.step >= stop_after)
        if at_end or tell:
            mean = ranks.mean(total / counted).item()
            if not math.isfinite(mean):
                raise TrainingFailed(diverged(run, out))
            if ranks.leads:
                yield Step(run.step, mean, lr, counted / (now - told), run.elapsed, run.fraction())
            total.zero_()
            counted, told = 0, time.monotonic()
            clock = told  # drawing and saving are not training
        if not ranks.leads:
            continue
        yield from (Noted(line) for line in patches.news())
        if config.val and not stop and (at_end or due):
            if at_end:
                yield save_last(run, out)  # a validation can take minutes, in which the run may be killed
            next_validation = run.elapsed + config.validate_every * 60
            yield _scored(run, patches, out)
            clock = told = time.monotonic()
        if at_end or run.elapsed - last_save >= SAVE_EVERY:
            last_save = run.elapsed
            if run.best == -math.inf:  # not validated, or not yet
                measure_norms(run, patches)
                save_best(run, out)
            yield save_last(run, out)
            clock = told = time.monotonic()
    with suppress(RuntimeError):  # the work is done: a rank that has left already is no loss
        ranks.told(0.0)  # the others stay until rank 0 has written


def _scored(run: Run, patches: Source, out: Path) -> Validated:
    measure_norms(run, patches)
    run.validated = run.step
    return validate(run, out)


def _backward(run: Run, network: nn.Module, patches: Source) -> Tensor:
    """Leave this step's gradients in the parameters; return its loss."""
    config, ranks = run.config, run.ranks
    total = torch.zeros((), device=ranks.device)
    for turn in range(config.accumulate):
        batch = run.draw(patches, run.step, turn)
        with ranks.alone(network) if turn < config.accumulate - 1 else nullcontext():
            loss = run.loss(network, batch) / config.accumulate
            run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total


def _check_folders(config: TrainConfig) -> None:
    """Raise BadFolder where a folder that a run was begun with is not there: moved, or named from another folder."""
    for name in _FOLDERS:
        folder = getattr(config, name)
        if folder and not Path(folder).is_dir():
            raise BadFolder(
                f"{flag(name)} of the run is '{folder}', and there is no such folder here; name it anew with {flag(name)}"
            )


def _fresh_model(config: TrainConfig) -> tuple[SRModel, list[str]]:
    try:
        model = create(config.arch, config.scale, **(config.network or {}))
    except (ArithmeticError, IndexError, RuntimeError, ValueError) as error:
        if not config.network:
            raise
        raise UsageError(f"no '{config.arch}' can be built with {_told(config.network)}: {error}") from error
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
    notes: list[str] = []
    source, card = _opened(config.init, config.scale, notes.append)
    if card.arch != config.arch:
        raise TrainingFailed(f"'{config.init}' holds '{card.arch}', not '{config.arch}'")
    if card.config != json.loads(json.dumps(model.config)):
        raise TrainingFailed(
            f"'{config.init}' holds '{card.arch}' with {_told(card.config)}, "
            f"the run's has {_told(model.config)}; give the same with --set"
        )
    if not source.state_dict():
        raise TrainingFailed(f"'{config.init}' cannot be trained: start from the weights that it was made of")
    model.start_as_upsampler()
    own = model.state_dict()
    fitting = (
        {k: v for k, v in source.state_dict().items() if k in own and own[k].shape == v.shape}
        if card.scale != config.scale
        else source.state_dict()
    )
    model.load_state_dict(fitting, strict=card.scale == config.scale)
    fresh = [k for k in own if k not in fitting]
    return model, [*notes, f"started from '{config.init}' (x{card.scale})" + (f"; new: {', '.join(fresh)}" if fresh else "")]


def _opened(reference: str, scale: int, say: Callable[[str], None]) -> tuple[SRModel, checkpoint.Card]:
    """Open the weights to start from: of this scale where they are to be had, else as they are."""
    try:
        return open_model(reference, scale, say=say)
    except (UsageError, WeightsNotFound):
        return open_model(reference, say=say)


def _teacher(config: TrainConfig, notes: list[str]) -> SRModel | None:
    """Open the weights that teach, as they are used for inference."""
    if config.teacher is None:
        return None
    try:
        teacher, card = open_model(config.teacher, config.scale, say=notes.append)
    except UserError as error:
        raise type(error)(f"--teacher: {error}") from error
    notes.append(f"taught by '{config.teacher}' ({card.arch} x{card.scale})")
    return teacher.fold().eval().requires_grad_(False)


def _told(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in arguments.items()) or "the table's arguments"


def _load(config: TrainConfig, device: torch.device) -> tuple[Source, list[str]]:
    s, root = config.scale, hr_folder(Path(config.data))
    lr_dir = Path(config.lr_dir) if config.lr_dir else None
    files = [(path, partner(path, lr_dir, s, root) if lr_dir else None) for path in list_pictures(root)]
    where, threads = device, 1
    if config.degradation == "photo":  # JPEG is encoded on the host
        where, threads = torch.device("cpu"), min(torch.get_num_threads(), max(leg.batch for leg in config.legs()))
    pool = single_threads(threads) if threads > 1 else None
    source: Patches | Stream
    if config.cache_mib is None:
        source = Patches(s, config.patch, where, degradation=config.degradation, pool=pool)
        source.read(files)
    else:
        source = Stream(files, s, config.patch, where, mebibytes=config.cache_mib, degradation=config.degradation, pool=pool)
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
    source.check(max(leg.patch for leg in config.legs()))
    return source if where == device else Ahead(source, device, turns=config.accumulate), notes


def _notes_on_ranks(run: Run, state: dict[str, Any] | None) -> list[str]:
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

"""What a training run begins with: settings, network, teacher and pictures, and what is to be told of them."""

import json
import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srcli import checkpoint
from srcli.engine.ahead import Ahead
from srcli.engine.compiler import compile_network
from srcli.engine.data import Files, Making, Patches, Stream
from srcli.engine.device import check_precision, fast_precision, single_threads
from srcli.engine.distributed import Team
from srcli.engine.folders import hr_folder, list_pictures, partners
from srcli.engine.memory import keep_freed_memory
from srcli.engine.optim import hidden_kernels
from srcli.engine.run import Run, Source, saved_state
from srcli.engine.settings import (
    FOLDERS,
    TrainConfig,
    check_settings,
    check_start,
    flag,
    in_quotes,
    listed,
    never_halved,
    placed,
    settled,
)
from srcli.engine.validate import check_validation
from srcli.errors import (
    BadFolder,
    OutOfMemory,
    TrainingFailed,
    UsageError,
    UserError,
    WeightsNotFound,
    counted,
    first_line,
    out_of_memory,
    quoted,
)
from srcli.models import create
from srcli.models.base import SRModel, Tiling, Window, between_phases
from srcli.zoo import on_disk, open_model


def begin(
    settings: TrainConfig | Mapping[str, Any],
    out: Path,
    ranks: Team,
    *,
    resume: bool,
    length: int | None = None,
    meant: Collection[str] | None = None,
) -> tuple[Run, Source, list[str]]:
    """Return the run, fresh or as `last.pt` in `out` left it, what it draws from, and what is to be told of both.

    `length`: steps of a fresh one that `settings` do not bound. `meant`: as in `settled`. Writes nothing. Raises UserError,
    in every rank, where one of them cannot begin.
    """
    with ranks.together():
        state = saved_state(out, resume=resume) if ranks.leads else None
    state = ranks.given(state)
    with ranks.together():
        config = settled(settings, state and state["config"], out, length=length, meant=meant)
        if state is not None and ranks.leads:
            _check_folders(config)
        check_settings(config)
        if state is None:
            check_start(config)
        precision = fast_precision(ranks.device) if config.precision == "auto" else config.precision
        check_precision(precision, ranks.device)
        torch.manual_seed(config.seed)
        model, trained, notes = _network(config if state is None else replace(config, init="random"))  # a start may be gone
        teacher = _teacher(config, out, notes)
        for network in (model, teacher):
            if network is not None and (side := min(leg.patch for leg in config.legs())) < network.min_side:
                raise UsageError(f"'{network.arch}' needs patches of at least {network.min_side} px, not {side}")
        scored_on = check_validation(config) if config.val is not None and ranks.leads else None
        run = Run(config, model, ranks, precision, teacher, scored_on, trained=trained)
        if state is not None:
            run.restore(state, out / "best.safetensors")
            if ranks.leads and not (out / "best.safetensors").exists():
                run.scores.best = -math.inf
        patches, skipped = load(config, ranks.device)
    if ranks.device.type == "cpu":
        keep_freed_memory()  # every step takes the same again
    notes += [*skipped, *_notes(run, state, settings)]
    if resume and state is None:
        notes.append(f"nothing to resume in '{out}': starting at step 0")
    synced = any(isinstance(module, nn.SyncBatchNorm) for module in run.model.modules())  # not tried when compiled
    if config.compile == "on" or (config.compile == "auto" and ranks.device.type == "cuda" and not synced):
        reason = compile_network(run.model, ranks.device)
        run.compiled = reason is None
        notes += [f"not compiled: {reason}"] if reason else []
    return run, patches, notes


def _host_threads(device: torch.device) -> int:
    """Return how many threads of the host work for a rank: torchrun leaves torch one, of which a GPU does not compute."""
    if device.type != "cuda":
        return torch.get_num_threads()
    return max(torch.get_num_threads(), (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def load(config: TrainConfig, device: torch.device) -> tuple[Source, list[str]]:
    """Return what batches on `device` are drawn from, and what is to be told of it; raise where it is too little."""
    s, files = config.scale, _files(config)
    where, threads = device, 1
    if config.degradation != "bicubic":  # JPEG and H.264 are encoded on the host
        where, threads = torch.device("cpu"), min(_host_threads(device), max(leg.batch for leg in config.legs()))
    pool = single_threads(threads) if threads > 1 else None
    making = Making(config.degradation, config.shrink, config.drawings, config.clean, pool)
    source: Patches | Stream
    if config.cache_mib is None:
        source = Patches(s, config.patch, where, making)
        try:
            source.read(files)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            less = "--cache-mib N keeps only so much"
            raise OutOfMemory(f"the memory of {where} does not hold the pictures; {less}{quoted(error)}") from error
    else:
        source = Stream(files, s, config.patch, where, making, mebibytes=config.cache_mib)
    notes = [
        f"pictures skipped{why}: {len(names)} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
        for names, why in (
            (source.unreadable, " as unreadable"),
            (source.unlike, f", {_unlike(config)}"),
            (source.small, " as smaller than a patch"),
        )
        if names
    ]
    if source.unlike and not len(source):
        raise TrainingFailed(f"no picture in {in_quotes(config.data)} has what it is trained with: {_unlike(config)}")
    patch = max(leg.patch for leg in config.legs())
    if patch == config.patch or source.largest < config.patch:
        source.check(config.patch)
    else:
        source.check(patch, "--finish-patch" if config.finish else "[[stage]] patch =")
    return source if where == device else Ahead(source, device, turns=config.accumulate), notes


def _files(config: TrainConfig) -> list[Files]:
    """List the pictures of all --data with their LR and SR; raise UsageError, BadFolder."""
    folders = [Path(folder) for folder in listed(config.data)]
    roots = [hr_folder(folder, training=True) for folder in folders]
    places = {root.resolve() for root in roots}
    if len(places) < len(roots):
        raise UsageError("the same --data is given twice")
    if own := [sr for sr in listed(config.teacher_dir) if Path(sr).resolve() in places | {f.resolve() for f in folders}]:
        raise UsageError(f"--teacher-dir '{own[0]}' is --data itself; it takes a teacher's SR of that")
    given = [listed(made) or (None,) * len(roots) for made in (config.lr_dir, config.teacher_dir)]
    files = []
    for root, *beside in zip(roots, *given, strict=True):
        pictures = list_pictures(root)
        found = [partners(pictures, Path(f), config.scale, root) if f else [None] * len(pictures) for f in beside]
        files += [Files(*picture) for picture in zip(pictures, *found, strict=True)]
    return files


def _unlike(config: TrainConfig) -> str:
    """Say of pictures whose LR or SR does not fit their HR what it is not."""
    lr, sr = f"LR is not 1/{config.scale} of their size", "SR is not of their size"
    return f"their {' or '.join([lr] * bool(config.lr_dir) + [sr] * bool(config.teacher_dir))}"


def _check_folders(config: TrainConfig) -> None:
    """Raise BadFolder where a folder that a run was begun with is not there: moved, or named from another folder."""
    for name in FOLDERS:
        for folder in listed(getattr(config, name)):
            if not Path(folder).is_dir():
                raise BadFolder(
                    f"{flag(name)} of the run is '{folder}', and there is no such folder; name it anew with {flag(name)}"
                )


def _network(config: TrainConfig) -> tuple[SRModel, bool, list[str]]:
    """Return the network at its start, whether that is worth a score already, and what is to be told."""
    model = built(config.arch, config.scale, config.network or {})
    if not model.learnt:
        raise TrainingFailed(f"'{config.arch}' has nothing to train")
    check_runs(model, config.arch, config.network or {})
    if config.init == "random":
        return model, False, []
    if config.init in ("auto", "upsampler"):
        if model.start_as_upsampler():
            return model, False, []
        if config.init == "upsampler":
            raise UsageError(f"no start as an upsampler is known for '{config.arch}'; use --init random")
        return model, False, [f"'{config.arch}' starts from random weights: no start as an upsampler is known for it"]
    notes: list[str] = []
    source, card = _opened(config.init, config.scale, notes.append)
    if card.arch != config.arch:
        raise TrainingFailed(f"'{config.init}' holds a network '{card.arch}', but --arch is '{config.arch}'")
    if card.config != json.loads(json.dumps(model.config)):
        raise TrainingFailed(
            f"'{config.init}' holds '{card.arch}' with {_told(card.config)}, "
            f"the run's has {_told(model.config)}; give the same with --set"
        )
    if not source.state_dict():
        raise TrainingFailed(f"'{config.init}' cannot be trained: start from the weights that it was made of")
    model.start_as_upsampler()
    own, given = model.state_dict(), source.state_dict()
    fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}  # at this scale all do
    fresh = [k for k in own if k not in fitting]
    made = _upsampler_of(given, card.scale, own, fresh, config.scale)
    model.load_state_dict(fitting | made, strict=False)
    if made:
        how = f"; upsampler made from that of x{card.scale}"
    elif fresh:
        how = f"; new: {', '.join(fresh)}"
    else:
        how = "" if card.scale == config.scale else f"; every layer fits, but was trained at x{card.scale}"
    notes.append(f"started from '{config.init}' (x{card.scale}){how}")
    return model, bool(made) or (not fresh and card.scale == config.scale), notes


def _upsampler_of(
    given: Mapping[str, Tensor], before: int, own: Mapping[str, Tensor], fresh: list[str], scale: int
) -> dict[str, Tensor]:
    """Make from weights of another scale the one convolution before a pixel shuffle to RGB, where it alone is `fresh`."""
    one = len({k.rpartition(".")[0] for k in fresh}) == 1
    shapes = [(own[k].shape, given[k].shape if k in given else ()) for k in fresh]
    if one and all(a == (3 * scale**2, *b[1:]) and b[:1] == (3 * before**2,) for a, b in shapes):
        return {k: between_phases(given[k], before, scale) for k in fresh}
    return {}


def _opened(reference: str, scale: int, say: Callable[[str], None]) -> tuple[SRModel, checkpoint.Card]:
    """Open the weights to start from: of this scale where they are to be had, else as they are."""
    try:
        return open_model(reference, scale, say=say)
    except (UsageError, WeightsNotFound):
        return open_model(reference, say=say)


def _teacher(config: TrainConfig, out: Path, notes: list[str]) -> SRModel | None:
    """Open the weights that teach, as they are used for inference."""
    if config.teacher is None:
        return None
    if (file := on_disk(config.teacher)) and file.resolve().parent == out.resolve():
        raise UsageError(
            f"--teacher '{config.teacher}' is the run's own folder here; name the teacher's file, or work elsewhere"
        )
    try:
        teacher, card = open_model(config.teacher, config.scale, say=notes.append)
    except UserError as error:
        raise type(error)(f"--teacher: {error}") from error
    if config.taught:
        notes.append(f"taught by '{config.teacher}' ({card.arch} x{card.scale})")
    return teacher.fold().eval().requires_grad_(False)


def built(arch: str, scale: int, arguments: Mapping[str, Any]) -> SRModel:
    """Build a network; raise UsageError where there is none with other arguments than the table's."""
    try:
        return create(arch, scale, **arguments)
    except (ArithmeticError, IndexError, RuntimeError, ValueError) as error:
        if not arguments:
            raise
        raise UsageError(f"no '{arch}' can be built with {_told(arguments)}: {error}") from error


@torch.no_grad()
def check_runs(model: SRModel, arch: str, arguments: Mapping[str, Any]) -> None:
    """Raise UsageError where a network, of other arguments or of one's own, does not keep the contract of SRModel."""
    if not isinstance(getattr(model, "tiling", None), Tiling):
        raise UsageError(f"'{arch}' does not say how it may be cut into tiles: its class has to set tiling")
    s, least = model.scale, model.min_side
    for height, width in ((least, least + 1), (least + 5, least + 4)):  # odd and even
        whole, wanted = Window(0, 0, height, width, (0, height, 0, width)), (1, model.channels, s * height, s * width)
        try:
            given = tuple(model.eval()(torch.zeros(1, model.channels, height, width), whole).shape)
        except Exception as error:  # whatever a layer says of what it is given
            where = f"on {height}x{width} px (its min_side is {least})"
            raise UsageError(f"no '{arch}' runs with {_told(arguments)} {where}: {first_line(error)}") from error
        if given != wanted:
            raise UsageError(f"'{arch}' makes {given} of {height}x{width} px, and has to make {wanted}")


def _said(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value or "not given")


def _told(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in arguments.items()) or "the table's arguments"


def _notes(run: Run, state: dict[str, Any] | None, settings: TrainConfig | Mapping[str, Any]) -> list[str]:
    """Say what a user who gave `settings` may not expect of a run, fresh or gone on with from `state`."""
    if state is None:
        return _of_settings(run) + _of_halving(run) + _of_ranks(run, run.ranks.world)
    given = asdict(settings) if isinstance(settings, TrainConfig) else settings
    told = _of_changes(run, state["config"], given) + _of_settings(run) + _of_length(run, state["config"]) + _of_halving(run)
    if run.fraction() >= 1:
        told.append("the run is at its end; a larger --steps or --minutes lengthens it")
    return told + _of_ranks(run, state.get("world", 1))


def _of_changes(run: Run, saved: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Say which settings are others than a run's `saved` ones, and which of those `given` come too late."""
    config, before = run.config, {**saved, **placed(saved)}
    notes = [
        f"{flag(name)} was {_said(saved.get(name))}"
        for name in (*FOLDERS, "teacher", "steps", "minutes")
        if before.get(name) != getattr(config, name)
    ]
    if "init" in given and {**given, **placed(given)}["init"] != config.init:
        notes.append(f"--init is of a run's start alone; that of this one was {config.init}")
    return notes


def _of_settings(run: Run) -> list[str]:
    """Say what the settings of a run make of each other and of its network."""
    config, notes = run.config, []
    if config.teacher_dir and config.taught:
        notes.append(f"taught by the SR in {in_quotes(config.teacher_dir)}")
    if (config.teacher or config.teacher_dir) and not config.taught:
        notes.append("the teacher teaches nothing: its --teacher-weight is 0 in all of the run")
    if not any(group["peak"] for optimizer in run.optimizers for group in optimizer.param_groups):
        notes.append("nothing is trained: the rates are 0")
    if config.lr_dir and config.val and not config.val_lr_dir:
        notes.append("validation makes its LR by bicubic; --val-lr-dir gives it")
    if config.optimizer == "muon" and not hidden_kernels(run.model):
        unused = ", whose rate is --lr" if config.lr is not None else ""
        unused += ", and --weight-decay is of those alone (--optimizer adamw decays all)" if config.weight_decay else ""
        notes.append(f"Adam trains all of '{config.arch}', at --adam-lr: it has no dense hidden kernels for Muon{unused}")
    return notes


def _of_length(run: Run, saved: Mapping[str, Any]) -> list[str]:
    """Say where another length than that of a run's `saved` settings lifts its rate."""
    config = run.config
    rising = config.schedule == "constant" or run.step < config.warmup  # whatever the length
    if rising or all(saved.get(name) == getattr(config, name) for name in ("steps", "minutes")):
        return []
    was, goes_on = run.rate, run.next_rate()
    if goes_on <= was:
        return []
    return [f"the rate goes up, from {was:.1e} to {goes_on:.1e}: schedule {config.schedule} is of the new length"]


def _of_halving(run: Run) -> list[str]:
    never = never_halved(run.config)
    return [never] if never else []


def _of_ranks(run: Run, before: int) -> list[str]:
    """Say what several ranks are to a run that had `before`."""
    config, ranks, notes = run.config, run.ranks, []
    if ranks.world > 1:
        patches = ranks.world * config.batch * config.accumulate
        notes.append(f"{ranks.world} ranks of {config.batch * config.accumulate} patches: {patches} a step")
        if ranks.device.type != "cuda" and any(isinstance(m, nn.BatchNorm2d) for m in run.model.modules()):
            notes.append("batch norm measures each rank's own patches (SyncBatchNorm needs CUDA); rank 0's statistics are kept")
    if before != ranks.world:
        notes.append(
            f"the run had {counted(before, 'rank')} and now has {ranks.world}: it sees other patches than it would have"
        )
    return notes

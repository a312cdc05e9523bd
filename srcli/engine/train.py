"""Training: one configuration, its run in a folder, its log. Long calls yield records; the command draws them."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import torch
from PIL import Image
from torch import nn

from srcli.engine.begin import begin, load
from srcli.engine.board import Board
from srcli.engine.distributed import RankLost, noticing_loss, team
from srcli.engine.drawing import signature
from srcli.engine.events import Event, Saved, Started, Validated
from srcli.engine.loop import Loop
from srcli.engine.run import LOG, Run, Source, busy, kept, save_last, writing
from srcli.engine.settings import TrainConfig, check_numbers, check_source
from srcli.engine.validate import crops
from srcli.errors import OutOfMemory, TrainingFailed, out_of_memory, quoted
from srcli.files import atomic, hold, make_folder, sweep, writing_to
from srcli.ops.pixels import to_array
from srcli.records import jsonable

_SAMPLES, _ACROSS = 24, 4  # pairs of --samples, pairs side by side


def train(
    settings: TrainConfig | Mapping[str, Any],
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    length: int | None = None,
    meant: Collection[str] | None = None,
    stop_after: int | None = None,
    stopping: Callable[[], bool] = lambda: False,
    tensorboard: bool = False,
) -> Iterator[Event]:
    """Train as `settings` say, keeping `last.pt`, `best.safetensors` and `log.jsonl` in `out`.

    With `resume` a mapping of some settings does, or an empty one: the others are those of the run in `out`. `length`: steps
    of a run that begins, where a mapping does not bound it. `meant`: those of a mapping that are refused where they change
    nothing, None: all. `stop_after`: save and stop after that many steps in all. `stopping`: asked after each step, and each
    picture of a validation; True saves and stops. `tensorboard`: draw curves and validation crops there too. Raises
    TrainingFailed before anything is written where the run cannot start.
    """
    with noticing_loss(), team(device) as ranks:
        with ranks.together():
            board = Board(out / "tensorboard") if tensorboard else None
        run, patches, notes = begin(settings, out, ranks, resume=resume, length=length, meant=meant)
        if stop_after is not None and run.step >= stop_after:
            notes.append(f"nothing is done: the run is at step {run.step}, --stop-after {stop_after}")
        steps = Loop(run, patches, out, stop_after=stop_after, stopping=stopping).events()
        loop = _guarded(steps, run, patches, out)
        if not ranks.leads:
            yield from loop  # nothing: rank 0 talks
            return
        make_folder(out)
        started = Started(
            run.config.arch,
            run.config.scale,
            run.step,
            len(patches),
            patches.pixels / 1e6,
            _size(run.model),
            str(ranks.device) + (f" ({ranks.world} ranks)" if ranks.world > 1 else ""),
            run.precision,
            tuple(notes),
        )
        if board:
            board.step = run.step
        with writing(out):
            log = (out / LOG).open("a")
        with _closed(log, out), _closed(board, out):  # the log writes again what found no room
            if not hold(log):  # begun while this one was loading
                raise TrainingFailed(busy(out))
            sweep([out])  # what a killed run was writing
            for event in chain([started], loop):
                shown = list(crops(run)) if board and isinstance(event, Validated) else []
                with writing(out):
                    if not isinstance(event, Saved):
                        log.write(json.dumps({"event": type(event).__name__.lower(), **jsonable(event)}) + "\n")
                        log.flush()
                    if board:
                        board.add(event)
                        if isinstance(event, Validated):
                            board.show(shown, event.step)
                yield event


@contextmanager
def _closed(file: TextIO | Board | None, out: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with writing(out):
            if file:
                file.close()


def draw_samples(config: TrainConfig, path: Path) -> list[str]:
    """Write a grid of pairs that training would draw to a picture file: LR, enlarged without smoothing, left of its HR.

    Returns what is to be told of the pictures.
    """
    check_numbers(config)
    check_source(config)
    source, notes = load(config, torch.device("cpu"))
    with closing(source):
        lr, hr, _ = source.draw(config.seed, 0, _SAMPLES)
    large = nn.functional.interpolate(lr, scale_factor=config.scale, mode="nearest")
    pairs = nn.functional.pad(torch.cat([large, hr], -1), [4] * 4, value=1.0)  # (N, 3, s*P + 8, 2*s*P + 8)
    rows = [torch.cat(list(pairs[i : i + _ACROSS]), -1) for i in range(0, _SAMPLES, _ACROSS)]
    with writing_to(path), atomic(path) as temporary:
        Image.fromarray(to_array(torch.cat(rows, -2)[None])).save(temporary, pnginfo=signature())
    return notes


def _guarded(steps: Iterator[Event], run: Run, patches: Source, out: Path) -> Iterator[Event]:
    """Yield what rank 0 has to tell; where another rank is lost, rank 0 saves what was done before."""
    try:
        with noticing_loss():
            yield from steps
    except RankLost as error:
        if run.ranks.device.type == "cuda":  # whose queue may wait for the lost rank's part of a step, for ever
            raise RankLost(f"{error}; {kept(out)}, continue with --resume") from error
        if run.ranks.leads:  # nothing is half-done: the ranks talk before a step's update and after it
            save_last(run, out)
        raise RankLost(f"{error}; step {run.step} is saved in '{out / 'last.pt'}', continue with --resume") from error
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        smaller = "a run of smaller --batch (with --accumulate for as many patches a step) or --patch needs less"
        raise OutOfMemory(f"memory does not hold a step; {smaller}; {kept(out)}{quoted(error)}") from error
    except OSError as error:  # of what is read; what is written says so itself
        where = f" '{error.filename}'" if error.filename else ""
        raise TrainingFailed(f"the run cannot go on: {error.strerror or error}{where}; {kept(out)}") from error
    finally:
        patches.close()


def _size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())

"""Training: one configuration, one loop, readable as the recipe. Long calls yield records; the command draws them."""

import json
import math
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import torch
from PIL import Image
from torch import Tensor, nn

from srcli.engine.begin import begin, load
from srcli.engine.board import Board
from srcli.engine.distributed import RankLost, noticing_loss, team
from srcli.engine.drawing import signature
from srcli.engine.events import Event, Noted, Saved, Started, Step, Validated
from srcli.engine.run import LOG, Run, Source, busy, diverged, kept, save_best, save_first, save_last, writing
from srcli.engine.settings import TrainConfig, check_numbers, check_source
from srcli.engine.validate import MOST, crops, measure_norms, validate
from srcli.errors import OutOfMemory, TrainingFailed, out_of_memory, quoted
from srcli.files import atomic, hold, make_folder, sweep, writing_to
from srcli.ops.pixels import to_array
from srcli.records import jsonable

_SAMPLES, _ACROSS = 24, 4  # pairs of --samples, pairs side by side
FIRST_SAVE, SAVE_EVERY = 20.0, 180.0  # seconds of training
TELL_EVERY = 1.0  # second between the records of steps
_GENTLER = "a lower --lr (and --adam-lr) or a longer run keeps more of it"


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
        loop = _guarded(_steps(run, patches, out=out, stop_after=stop_after, stopping=stopping), run, patches, out)
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


def _steps(run: Run, patches: Source, *, out: Path, stop_after: int | None, stopping: Callable[[], bool]) -> Iterator[Event]:
    config, ranks = run.config, run.ranks
    network = ranks.network(run.model, whole=run.model.single_scale_parameters() == _size(run.model))
    total, counted = torch.zeros((), device=ranks.device), 0
    compiled_for = set[tuple[int, int]]()  # sizes of batches and patches
    last_save = run.elapsed - (SAVE_EVERY - FIRST_SAVE)
    at_end = yield from _made_up(run, patches, out, stopping)
    at_end = at_end or _over(run, stop_after)
    clock, validated_at = _Clock(), run.elapsed
    while not at_end:
        lr, leg, began = run.set_rates(), run.leg(), time.monotonic()
        total += _backward(run, network, patches)
        run.update()
        counted += 1
        if run.compiled and (leg.batch, leg.patch) not in compiled_for:
            compiled_for.add((leg.batch, leg.patch))
            if ranks.device.type == "cuda":
                torch.cuda.synchronize(ranks.device)
            clock.leave_out(began)  # compiling is not training
        elapsed = run.elapsed + clock.lap()
        due = _due(run, elapsed, validated_at)
        # rank 0's clock and signals hold for all; what is validated or saved is told, and found finite, before
        wanted = due or clock.untold >= TELL_EVERY or elapsed - last_save >= SAVE_EVERY
        run.elapsed, stop, tell, validating = ranks.told(elapsed, stopping(), wanted, due)
        at_end = bool(stop) or _over(run, stop_after)
        if at_end or tell or run.leg() != leg:  # no mean is of two stages
            mean = ranks.mean(total / counted).item()  # waits for the device
            clock.wait()
            if not math.isfinite(mean):
                failed = TrainingFailed(diverged(run, out))
                failed.told = not ranks.leads
                raise failed
            if ranks.leads:
                speed = counted / clock.untold
                yield Step(run.step, mean, lr, speed, run.elapsed, run.fraction(), config.legs().index(leg), leg.loss)
            total.zero_()
            counted = 0
            clock.restart()
        if ranks.leads:
            yield from (Noted(line) for line in patches.news())
        saved = False
        if config.val is not None and not stop and (run.fraction() >= 1 or validating):
            if ranks.leads:
                if at_end:
                    yield save_last(run, out)  # a validation can take minutes, in which the run may be killed
                validated_at = run.elapsed
                saved = yield from _scored(run, patches, out, stopping)
                if at_end and run.scores.best_step == 0 and run.scores.validated == run.step:
                    yield Noted(f"no validation passed the start, which best.safetensors holds; {_GENTLER}")
            at_end = ranks.told(stopping())[0] > 0 or at_end
            clock.restart()
        if ranks.leads and not saved and (at_end or run.elapsed - last_save >= SAVE_EVERY):
            if run.scores.best == -math.inf and not run.scores.stale:  # not validated, or not yet
                _save_unscored(run, patches, out)
            yield save_last(run, out)
            saved = True
            clock.restart()
        last_save = run.elapsed if saved else last_save
    with suppress(RuntimeError):  # the work is done: a rank that has left already is no loss
        ranks.told(0.0)  # the others stay until rank 0 has written


class _Clock:
    """Seconds of training: what comes between a lap and a restart, such as drawing, validating and saving, is none."""

    def __init__(self) -> None:
        self._owed = 0.0  # seconds that no lap has had yet
        self.restart()

    def restart(self) -> None:
        """Begin a lap here, of which nothing is told yet."""
        self._lap = self._told = time.monotonic()

    def lap(self) -> float:
        """End a lap, and return its seconds."""
        now = time.monotonic()
        seconds, self._lap, self._owed = self._owed + now - self._lap, now, 0.0
        return seconds

    def wait(self) -> None:
        """Add to the next lap what has passed since this one ended: the device was behind the host."""
        self._owed = time.monotonic() - self._lap

    def leave_out(self, began: float) -> None:
        """Take out of this lap what has passed since `began`."""
        passed = time.monotonic() - began
        self._lap, self._told = self._lap + passed, self._told + passed

    @property
    def untold(self) -> float:
        """Seconds of the laps since the restart, and of waiting."""
        return self._lap + self._owed - self._told


def _over(run: Run, stop_after: int | None) -> bool:
    return run.fraction() >= 1 or (stop_after is not None and run.step >= stop_after)


def _due(run: Run, elapsed: float, validated_at: float) -> bool:
    """Whether to validate now, after `elapsed` seconds of training, as it was done last after `validated_at`."""
    if run.config.val is None:
        return False
    if run.config.validate_steps:
        return run.step % run.config.validate_steps == 0
    period = run.config.validate_every * 60  # in whole ones of the run: each process may live for less
    return elapsed // period > validated_at // period


def _made_up(run: Run, patches: Source, out: Path, stopping: Callable[[], bool]) -> Generator[Event, None, bool]:
    """Score and save what has to be before the next step of a run that begins or goes on; return whether it is to stop."""
    ranks = run.ranks
    lost = ranks.leads and run.step > 0 and run.fraction() >= 1 and not (out / "best.safetensors").exists()
    scoring = run.config.val is not None and _to_score(run, lost=lost)
    if not ranks.told(scoring or lost)[0]:
        return False
    if ranks.leads:
        saved = False
        if scoring:
            saved = yield from _scored(run, patches, out, stopping)
        else:
            _save_unscored(run, patches, out)
        if not saved:
            yield save_last(run, out)
    return ranks.told(stopping())[0] > 0


def _to_score(run: Run, *, lost: bool) -> bool:
    """Whether a run that begins, or goes on, has to be validated first; `lost`: it is at its end without its weights."""
    if run.scores.stale:
        return True
    if not run.step:
        return run.trained and run.scores.best_step is None  # what training has to better
    every = run.config.validate_steps
    due = run.fraction() >= 1 or (every is not None and not run.step % every)
    return lost or (due and run.scores.validated < run.step)  # what ended the run before came before this validation, or in it


def _save_unscored(run: Run, patches: Source, out: Path) -> None:
    save_first(run, out)
    measure_norms(run, patches)
    save_best(run, out)


def _scored(run: Run, patches: Source, out: Path, stopping: Callable[[], bool]) -> Generator[Event, None, bool]:
    """Yield what a validation gave, nothing where the run is to stop before its end; return whether that is in `last.pt`."""
    save_first(run, out)  # without the score, so that what is killed before its weights are written is made up for
    if run.step:  # weights that the run starts from have their batch norm with them
        measure_norms(run, patches)
    told = run.scores.exact
    result = validate(run, out, stopping)
    if result is None:
        return False
    # at once: what is killed in between goes on with another measure than its file's
    saved = save_last(run, out) if result.best else None
    yield result
    if saved:
        yield saved
    if run.scores.exact and not told:
        yield Noted(f"'{run.scores.exact}' of --val comes out exactly, and counts as {MOST:g} dB")
    return result.best


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


def _size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())

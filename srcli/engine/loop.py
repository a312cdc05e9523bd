"""The loop of training: steps, and what is told, scored and saved between them."""

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from srcli.engine.events import Event, Noted, Saved, Step
from srcli.engine.run import Run, Source, diverged, save_best, save_first, save_last
from srcli.engine.validate import MOST, measure_norms, validate
from srcli.errors import TrainingFailed

FIRST_SAVE, SAVE_EVERY = 20.0, 180.0  # seconds of training
TELL_EVERY = 1.0  # second between the records of steps
_GENTLER = "a lower --lr (and --adam-lr) or a longer run keeps more of it"


class Loop:
    """The steps of a run, and what is told, scored and saved between them."""

    def __init__(self, run: Run, patches: Source, out: Path, *, stop_after: int | None, stopping: Callable[[], bool]) -> None:
        self._run, self._patches, self._out = run, patches, out
        self._stop_after, self._stopping = stop_after, stopping
        whole = run.model.single_scale_parameters() == sum(p.numel() for p in run.model.parameters())
        self._network = run.ranks.network(run.model, whole=whole)
        self._clock = _Clock()
        self._loss, self._untold = torch.zeros((), device=run.ranks.device), 0  # the sum of so many steps
        self._compiled_for = set[tuple[int, int]]()  # sizes of batches and patches
        self._saved_at = run.elapsed - (SAVE_EVERY - FIRST_SAVE)  # seconds of training
        self._scored_at = run.elapsed

    def events(self) -> Iterator[Event]:
        """Train to the end, or until it is to stop; only rank 0 has something to tell."""
        run, ranks = self._run, self._run.ranks
        at_end = yield from self._made_up()
        at_end = at_end or self._over()
        self._scored_at = run.elapsed
        self._clock.restart()
        while not at_end:
            leg = run.leg()
            lr = self._step()
            stop, tell, due = self._agreed()
            at_end = stop or self._over()
            if at_end or tell or run.leg() != leg:  # no mean is of two stages
                mean = self._mean()
                if ranks.leads:
                    speed = self._untold / self._clock.untold
                    place = run.config.legs().index(leg)
                    yield Step(run.step, mean, lr, speed, run.elapsed, run.fraction(), place, leg.loss)
                self._restart()
            if ranks.leads:
                yield from (Noted(line) for line in self._patches.news())
            saved = False
            if run.config.val is not None and not stop and (due or run.fraction() >= 1):
                if ranks.leads:
                    saved = yield from self._validated(at_end=at_end)
                at_end = ranks.told(self._stopping())[0] > 0 or at_end
                self._clock.restart()
            if ranks.leads and not saved and (at_end or run.elapsed - self._saved_at >= SAVE_EVERY):
                yield self._saved()
                saved = True
                self._clock.restart()
            self._saved_at = run.elapsed if saved else self._saved_at
        with suppress(RuntimeError):  # the work is done: a rank that has left already is no loss
            ranks.told(0.0)  # the others stay until rank 0 has written

    def _step(self) -> float:
        """Do one step, and return its learning rate."""
        run, device = self._run, self._run.ranks.device
        lr, leg, began = run.set_rates(), run.leg(), time.monotonic()
        self._loss += _backward(run, self._network, self._patches)
        run.update()
        self._untold += 1
        if run.compiled and (leg.batch, leg.patch) not in self._compiled_for:
            self._compiled_for.add((leg.batch, leg.patch))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            self._clock.leave_out(began)  # compiling is not training
        return lr

    def _agreed(self) -> tuple[bool, bool, bool]:
        """Return whether to stop, whether to tell of the steps, and whether to validate: as rank 0's clock and signals say."""
        run = self._run
        elapsed = run.elapsed + self._clock.lap()
        due = _due(run, elapsed, self._scored_at)
        # what is validated or saved is told, and found finite, before
        tell = due or self._clock.untold >= TELL_EVERY or elapsed - self._saved_at >= SAVE_EVERY
        run.elapsed, *agreed = run.ranks.told(elapsed, self._stopping(), tell, due)
        stop, tell, due = map(bool, agreed)
        return stop, tell, due

    def _mean(self) -> float:
        """Return the mean loss of the steps that are not told yet; raise TrainingFailed where it is not finite."""
        run = self._run
        mean = run.ranks.mean(self._loss / self._untold).item()  # waits for the device
        self._clock.wait()
        if not math.isfinite(mean):
            failed = TrainingFailed(diverged(run, self._out))
            failed.told = not run.ranks.leads
            raise failed
        return float(mean)

    def _restart(self) -> None:
        self._loss.zero_()
        self._untold = 0
        self._clock.restart()

    def _over(self) -> bool:
        return self._run.fraction() >= 1 or (self._stop_after is not None and self._run.step >= self._stop_after)

    def _made_up(self) -> Generator[Event, None, bool]:
        """Score and save what has to be before the next step of a run that begins or goes on; return whether it is to stop."""
        run, ranks = self._run, self._run.ranks
        lost = ranks.leads and run.step > 0 and run.fraction() >= 1 and not (self._out / "best.safetensors").exists()
        scoring = run.config.val is not None and _to_score(run, lost=lost)
        if not ranks.told(scoring or lost)[0]:
            return False
        if ranks.leads:
            saved = False
            if scoring:
                saved = yield from self._scored()
            else:
                self._save_unscored()
            if not saved:
                yield save_last(run, self._out)
        return ranks.told(self._stopping())[0] > 0

    def _validated(self, *, at_end: bool) -> Generator[Event, None, bool]:
        """Yield what a validation between steps gave; return whether that is in `last.pt`."""
        run = self._run
        if at_end:
            yield save_last(run, self._out)  # a validation can take minutes, in which the run may be killed
        self._scored_at = run.elapsed
        saved = yield from self._scored()
        if at_end and run.scores.best_step == 0 and run.scores.validated == run.step:
            yield Noted(f"no validation passed the start, which best.safetensors holds; {_GENTLER}")
        return saved

    def _scored(self) -> Generator[Event, None, bool]:
        """Yield what a validation gave, nothing where the run stops before its end; return whether that is in `last.pt`."""
        run, out = self._run, self._out
        save_first(run, out)  # without the score, so that what is killed before its weights are written is made up for
        if run.step:  # weights that the run starts from have their batch norm with them
            measure_norms(run, self._patches)
        told = run.scores.exact
        result = validate(run, out, self._stopping)
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

    def _saved(self) -> Saved:
        """Save, with weights beside it where no validation has written any."""
        run = self._run
        if run.scores.best == -math.inf and not run.scores.stale:  # not validated, or not yet
            self._save_unscored()
        return save_last(run, self._out)

    def _save_unscored(self) -> None:
        save_first(self._run, self._out)
        measure_norms(self._run, self._patches)
        save_best(self._run, self._out)


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


def _due(run: Run, elapsed: float, validated_at: float) -> bool:
    """Whether to validate now, after `elapsed` seconds of training, as it was done last after `validated_at`."""
    if run.config.val is None:
        return False
    if run.config.validate_steps:
        return run.step % run.config.validate_steps == 0
    period = run.config.validate_every * 60  # in whole ones of the run: each process may live for less
    return elapsed // period > validated_at // period


def _to_score(run: Run, *, lost: bool) -> bool:
    """Whether a run that begins, or goes on, has to be validated first; `lost`: it is at its end without its weights."""
    if run.scores.stale:
        return True
    if not run.step:
        return run.trained and run.scores.best_step is None  # what training has to better
    every = run.config.validate_steps
    due = run.fraction() >= 1 or (every is not None and not run.step % every)
    return lost or (due and run.scores.validated < run.step)  # what ended the run before came before this validation, or in it


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

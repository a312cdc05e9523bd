"""Files through the Upscaler: read ahead, computed, written behind, each in its own thread; the largest in strips.

Nothing here knows what a network is made of, and nothing holds more pictures than the three stages need.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, ParamSpec, TypeVar

import numpy as np
import torch

from srcli.engine.device import Precision
from srcli.engine.edges import edges
from srcli.engine.journal import Account, Journal, digest
from srcli.engine.likeness import likeness, nearness
from srcli.engine.resizer import Resizer, resampled
from srcli.engine.runner import Work
from srcli.engine.suit import Choice, middle
from srcli.engine.upscale import PROBE, Upscaler
from srcli.errors import BadPicture, DiskFull, OutOfMemory, UserError, out_of_memory
from srcli.media.ahead import read_ahead, write_behind
from srcli.media.animation import Animation, read_animation, write_animation
from srcli.media.color import to_srgb
from srcli.media.conflicts import is_result, renamed
from srcli.media.jobs import Job, result_size
from srcli.media.picture import COMPRESSED, Picture
from srcli.media.png import PNG_LEVEL
from srcli.media.read import read_image
from srcli.media.strips import STREAMED, HeldRows, StripReader, StripWriter, open_strips
from srcli.media.write import write_image

P = ParamSpec("P")
R = TypeVar("R")
Icc = Literal["keep", "convert-srgb"]

AHEAD = 2  # pictures read before, and written behind, the one in the network
UNWRITTEN = 256 * 2**20  # bytes of results that wait to be written before the network waits for them
STREAM_FROM = 100_000_000  # px of a result that is computed and written in strips where its formats allow it
_COMPILE_FROM = 500_000_000  # px of input that repay compiling on CUDA; an estimate, not run on hardware
ASTRAY = 34.0  # dB below which the steepest cell of what is drawn went wrong; how it was chosen: docs/upscale.md
_AS_NEAR = 3.0  # dB by which a result may be farther from a cell of its input than bicubic is
_SMALL = 128 * 128  # px of input up to which pictures of one size share a pass
_SHARED = 256 * 256  # px of a pass that they share


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one file; `error` is its one-line reason where `status` is failed. The three times overlap in a folder."""

    input: Path
    output: Path
    status: Literal["done", "skipped", "planned", "failed"]
    width: int | None = None  # of the output
    height: int | None = None
    seconds: float = 0.0  # in the network
    decode: float = 0.0  # seconds of reading
    encode: float = 0.0  # seconds of writing
    error: str | None = None
    precision: Precision | None = None  # what the network computed in
    agreement: float | None = None  # dB between that and float32 on the latest probe, rounded to 8 bit
    notes: tuple[str, ...] = ()
    model: str | None = None  # the weights that it went through, as they are called


def upscale_files(
    choice: Choice | Upscaler,
    jobs: Sequence[Job],
    *,
    quality: int | None = None,
    png_level: int = PNG_LEVEL,
    icc: Icc = "keep",
    fail_fast: bool = False,
    until_full: bool = False,
    journal: Journal | None = None,
    advice: str = "",
    tick: Callable[[Job, float], None] = lambda job, fraction: None,
) -> Iterator[Done]:
    """Upscale every job and yield what became of it, in order; a broken file does not stop the rest.

    One thread reads ahead and one writes behind while the network works. `icc`: whether colours are converted by the
    pictures' profiles before. `fail_fast` ends after the first failure, `until_full` where the disk has had no room for two
    pictures in a row. `journal` is told of each as it is written.
    `advice`: what to do where the network, of photographs alone, has made nonsense of text, drawings or pixel art.
    """
    choice = Choice(Resizer({choice.scale: choice})) if isinstance(choice, Upscaler) else choice
    read = partial(_read, icc=icc, choice=choice, traced=journal is not None)
    small = all(job.probe and job.probe.height * job.probe.width <= _SMALL for job in jobs)

    def upscaled() -> Iterator[_Upscaled]:
        reading = read_ahead(jobs, read, depth=2 * _SHARED // _SMALL if small else AHEAD)
        for group in _groups(
            (job, _Decoded(outcome, choice.of(job)) if isinstance(outcome, UserError) else outcome) for job, outcome in reading
        ):
            yield from _through(group, tick, png_level)

    def write(item: _Upscaled) -> tuple[Done, bool]:
        """Return what became of a result, and whether the disk had no room for it."""
        full = False
        try:
            done = _write(item, quality=quality, png_level=png_level)
        except UserError as error:
            done, full = _failed(item.job, error), isinstance(error, DiskFull)
        if done.status == "done":
            done = replace(done, model=item.decoded.resizer.name, notes=(*item.decoded.notes, *done.notes))
        return _checked(item, done, journal, advice), full

    before = False
    # closed by hand: what was handed over is written before a stop is told, whoever holds the exception
    with closing(write_behind(upscaled(), write, depth=AHEAD, weigh=_Upscaled.size, most=UNWRITTEN)) as written:
        for _, (done, full) in written:
            yield done
            if (fail_fast and done.error) or (until_full and full and before):  # of two in a row, their size is not the reason
                return
            before = full


class _Decoded(NamedTuple):
    picture: Picture | Animation | StripReader | UserError
    resizer: Resizer  # that it goes through
    notes: tuple[str, ...] = ()  # of why
    seconds: float = 0.0
    sha256: str | None = None  # of the file, where the run is traced


class _Upscaled(NamedTuple):
    job: Job
    result: Picture | Animation | UserError | Done
    precision: Precision | None
    agreement: float | None
    seconds: float
    decoded: _Decoded
    passes: tuple[Work, ...]
    shared: int

    def size(self) -> int:
        """Return the bytes of the results that wait to be written."""
        pictures = self.result.frames if isinstance(self.result, Animation) else [self.result]
        kept = [picture for picture in pictures if not isinstance(picture, UserError | Done)]
        return sum(p.pixels.nbytes + (0 if p.alpha is None else p.alpha.nbytes) for p in kept)


def _groups(decoded: Iterable[tuple[Job, _Decoded]]) -> Iterator[list[tuple[Job, _Decoded]]]:
    """Put small pictures of one shape that follow each other and take one pass of a network together; others stay alone."""
    group: list[tuple[Job, _Decoded]] = []
    kind: tuple[tuple[int, ...], np.dtype, Upscaler] | None = None  # shape and dtype of the group's, and their network
    for job, outcome in decoded:
        picture, own, size = outcome.picture, None, 0
        if isinstance(picture, Picture) and picture.alpha is None:
            sides = picture.pixels.shape[:2]
            size = math.prod(sides)
            if size <= _SMALL and (run := outcome.resizer.one_pass(sides, _size(picture, job))):
                own = picture.pixels.shape, picture.pixels.dtype, run
        if group and (own is None or own != kind or (len(group) + 1) * size > _SHARED):
            yield group
            group = []
        group, kind = [*group, (job, outcome)], own
        if own is None:
            yield group
            group = []
    if group:
        yield group


def _through(group: list[tuple[Job, _Decoded]], tick: Callable[[Job, float], None], png_level: int) -> Iterator[_Upscaled]:
    """Upscale one picture of whatever kind, or several of one size, which go through the same."""
    job, first, resizer = group[0][0], group[0][1].picture, group[0][1].resizer
    resizer.taken()  # what was done for forecasts is not this picture's
    started = time.monotonic()
    precision: Precision | None = None
    told = partial(tick, job)
    results: Sequence[Picture | Animation | UserError | Done]
    try:
        if isinstance(first, UserError):
            results = [first]
        elif strips := _strips(first, streaming(resizer, job)):
            done = _stream(resizer, job, strips, tick=told, png_level=png_level)
            results, precision = [done], done.precision
        elif isinstance(first, Animation):
            size = _size(first.still, job)
            moved, precision = resizer.animation(first, size, told)
            results = [moved]
        else:
            pictures = [decoded.picture for _, decoded in group if isinstance(decoded.picture, Picture)]
            results, precision = resizer.several(pictures, _size(pictures[0], job), told)
    except UserError as error:
        results = [error] * len(group)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        results = [too_large(job) for job, _ in group]
    seconds = (time.monotonic() - started) / len(group)
    agreement, passes = resizer.agreement, tuple(resizer.taken())
    for (job, decoded), result in zip(group, results, strict=True):
        yield _Upscaled(job, result, precision, agreement, seconds, decoded, passes, len(group))


def too_large(job: Job) -> OutOfMemory:
    """Return what says of a picture or video that it failed for want of memory."""
    return OutOfMemory(f"'{job.source}' needs more memory than there is")


def _size(picture: Picture, job: Job) -> tuple[int, int]:
    height, width = picture.pixels.shape[:2]
    return result_size(height, width, job.scale)


def streaming(resizer: Resizer, job: Job) -> Upscaler | None:
    """Return the Upscaler that computes a job in strips; None where one pass of tiles is not all it takes."""
    if job.probe is None or job.size is None or job.frames > 1 or job.video or job.format not in STREAMED:
        return None
    sides = job.probe.height, job.probe.width
    if job.pixels < STREAM_FROM or (upscaler := resizer.one_pass(sides, job.size)) is None:
        return None
    pooled = upscaler.model.tiling.kind == "statistics"
    small = min(sides) < upscaler.model.min_side
    return None if upscaler.ensemble or small or (pooled and job.probe.alpha) else upscaler


def _read(job: Job, *, icc: Icc, choice: Choice, traced: bool) -> _Decoded:
    sha256 = digest(job.source) if traced else None
    started = time.monotonic()
    opened = _opened(job, icc, choice)
    resizer, notes = _suited(opened, job, choice)
    if isinstance(opened, Picture) and icc != "keep":
        opened = to_srgb(opened)
    return _Decoded(opened, resizer, notes, time.monotonic() - started, sha256)


def _suited(opened: Picture | Animation | StripReader, job: Job, choice: Choice) -> tuple[Resizer, tuple[str, ...]]:
    """Return what a file goes through, and what to say of that."""
    if isinstance(opened, Picture):
        return choice.of_pixels(job, opened.pixels)
    if isinstance(opened, StripReader):
        suited = choice.of_pixels(job, middle(opened))
        if streaming(suited[0], job):
            return suited
    return choice.of(job), ()


def _opened(job: Job, icc: Icc, choice: Choice) -> Picture | Animation | StripReader:
    if job.refused:
        raise BadPicture(job.refused)
    if job.frames > 1:
        animation = read_animation(job.source)
        if icc == "keep" or animation.still.icc is None:
            return animation
        note = "the colours of animations are not converted: the profile is kept"
        return replace(animation, still=replace(animation.still, notes=(*animation.still.notes, note)))
    if icc == "keep" and streaming(choice.of(job), job) and (strips := open_strips(job.source)):
        return strips
    return read_image(job.source)


def _strips(source: Picture | Animation | StripReader, upscaler: Upscaler | None) -> StripReader | HeldRows | None:
    """Return what gives the rows of a picture whose result is written in strips; None where it is held whole."""
    if isinstance(source, StripReader):
        return source
    if upscaler is None or not isinstance(source, Picture):
        return None
    constant = source.alpha is not None and source.alpha.min() == source.alpha.max()  # which takes no pass of its own
    return None if constant else HeldRows(source)


def _stream(
    resizer: Resizer, job: Job, strips: StripReader | HeldRows, *, tick: Callable[[float], None], png_level: int
) -> Done:
    """Upscale a picture whose result no memory holds: rows are read, computed and written in bands."""
    upscaler = streaming(resizer, job)
    assert upscaler is not None
    height, width, s = strips.height, strips.width, upscaler.scale
    reading, computing, writing = Stopwatch(), Stopwatch(), Stopwatch()
    with strips:
        middle = max((height - PROBE) // 2, 0)
        precision = upscaler.choose(strips.rows(middle, min(middle + PROBE, height))[..., : strips.channels])
        with StripWriter(
            job.target,
            height * s,
            width * s,
            strips.carried,
            alpha=strips.alpha,
            format=job.format,
            png_level=png_level,
            fresh=job.fresh,
        ) as writer:
            shape = height, width, strips.channels + strips.alpha
            promised = strips.kept_bytes + writer.peak_bytes
            bands = upscaler.bands(reading.timed(strips.rows), shape, strips.dtype, precision, tick, promised=promised)
            for band, _ in write_behind(computing.each(bands), writing.timed(writer.write), depth=1):
                del band  # it is large, and written
    return Done(
        job.source,
        job.target,
        "done",
        width * s,
        height * s,
        seconds=round(computing.seconds - reading.seconds, 3),
        decode=round(reading.seconds, 3),
        encode=round(writing.seconds, 3),
        precision=precision,
        notes=job.notes + strips.carried.notes + writer.notes,
    )


class Stopwatch:
    """Adds up the seconds of what it is put around."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[P, R]) -> Callable[P, R]:
        def run(*args: P.args, **more: P.kwargs) -> R:
            started = time.monotonic()
            try:
                return function(*args, **more)
            finally:
                self.seconds += time.monotonic() - started

        return run

    def each(self, items: Iterator[R]) -> Iterator[R]:
        """Yield the items; what is done with them in between is not counted."""
        following = self.timed(partial(next, items))
        with suppress(StopIteration):
            while True:
                yield following()


def _write(upscaled: _Upscaled, *, quality: int | None, png_level: int) -> Done:
    """Write a result; raise UserError where there is none, or it cannot be written."""
    job, result, precision, agreement, seconds, decoded, *_ = upscaled
    decode = decoded.seconds
    if isinstance(result, UserError):
        raise result
    if isinstance(result, Done):
        return replace(result, decode=round(result.decode + decode, 3), agreement=agreement)
    started = time.monotonic()
    still, shown = (result.still, result.frames[0]) if isinstance(result, Animation) else (result, result)
    height, width = shown.pixels.shape[:2]
    try:
        if isinstance(result, Animation):
            notes = write_animation(result, job.target, format=job.format, quality=quality, fresh=job.fresh)
        else:
            notes = write_image(result, job.target, format=job.format, quality=quality, png_level=png_level, fresh=job.fresh)
    except UserError:
        if job.exists == "rename" and job.target.exists():
            return _write(upscaled._replace(job=renamed(job)), quality=quality, png_level=png_level)
        raise
    return Done(
        job.source,
        job.target,
        "done",
        width,
        height,
        seconds=round(seconds, 3),
        decode=round(decode, 3),
        encode=round(time.monotonic() - started, 3),
        precision=precision,
        agreement=agreement,
        notes=job.notes + still.notes + notes,
    )


def _failed(job: Job, error: UserError) -> Done:
    if job.fresh and job.exists == "skip" and is_result(job):
        return Done(job.source, job.target, "skipped")
    return Done(job.source, job.target, "failed", error=str(error))


def _checked(upscaled: _Upscaled, done: Done, journal: Journal | None, advice: str) -> Done:
    """Point out a result that hardly resembles its input, and note the picture; without a journal only what is drawn."""
    source, result, alike = upscaled.decoded.picture, upscaled.result, None
    if isinstance(source, Animation) and isinstance(result, Animation):
        source, result = (Picture(moved.frames[0].pixels, moved.frames[0].alpha) for moved in (source, result))
    if done.status == "done" and isinstance(source, Picture) and isinstance(result, Picture):
        alike = likeness(result, source) if journal else None
        top, left, drawn = edges(source.pixels, PROBE) if advice or (alike and alike.far) else (0, 0, False)
        coded = source.quality.jpeg if source.quality else None  # blocks and ringing have edges as drawings do
        near = (
            nearness(result, source, top=top, left=left, side=PROBE)
            if drawn and advice and (coded or 100) > COMPRESSED.jpeg
            else None
        )
        if near is not None and near < ASTRAY:
            done = replace(
                done, notes=(*done.notes, f"made small again, a part is only {near:.1f} dB from the input: {advice}")
            )
        elif alike and alike.far and not _hard(source, result, top, left):
            told = f"made small again, it is only {alike.psnr:.1f} dB from the input: look at it"
            done = replace(done, notes=(*done.notes, told))
    if journal:
        journal.add(done, Account(upscaled.decoded.sha256, upscaled.passes, upscaled.shared, alike))
    return done


def _hard(source: Picture, result: Picture, top: int, left: int) -> bool:
    """Whether bicubic comes no nearer to a cell of the input than the result does, as to noise and aliased drawings."""
    rows, columns = slice(top, top + PROBE), slice(left, left + PROBE)
    cell = Picture(source.pixels[rows, columns], None if source.alpha is None else source.alpha[rows, columns])
    (height, width), s = cell.pixels.shape[:2], result.pixels.shape[0] // source.pixels.shape[0]
    near, plain = (
        nearness(result, source, top=top, left=left, side=PROBE),
        likeness(resampled(cell, height * s, width * s), cell),
    )
    return near is not None and plain is not None and near >= plain.psnr - _AS_NEAR


def repays_compiling(jobs: Sequence[Job], device: torch.device) -> bool:
    """Tell whether a compiled network saves more than its compiling takes: not on CPUs, where kernels are all the time."""
    if device.type != "cuda":
        return False
    return sum(job.probe.height * job.probe.width for job in jobs if job.probe) >= _COMPILE_FROM

"""Videos through a network: frames are decoded, upscaled and encoded side by side, and kept in closed segments.

A run that was killed goes on at the first segment that is missing; the segments are then joined without encoding again and
the result is checked against the source.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch

from srcli import __version__, checkpoint
from srcli.engine.device import Precision
from srcli.engine.distributed import Team
from srcli.engine.pipeline import Stopwatch, too_large
from srcli.engine.resizer import Resizer, same
from srcli.engine.video_plan import VideoDone, VideoPlan, expected, left, planned, size_of
from srcli.errors import BadVideo, UserError, counted, out_of_memory
from srcli.files import taken, writing_to
from srcli.media import sequences
from srcli.media.ahead import read_ahead, write_behind
from srcli.media.containers import join
from srcli.media.encoding import Encoder
from srcli.media.jobs import Box, Job
from srcli.media.numbered import is_sequence, numbered, numbered_path, numbered_there
from srcli.media.picture import Picture
from srcli.media.png import PNG_LEVEL
from srcli.media.segments import Parts, SegmentWriter, UpscaledTrack, begun, published
from srcli.media.streams import Kind, RgbReader, StreamWriter, Y4mReader
from srcli.media.video import Clip, Timed, Track, decoding, upright
from srcli.media.video_reader import Known, VideoReader, checksum

AHEAD = 3  # frames decoded before, and encoded behind, the one in the network
# Of unfinished runs: where chroma lies, how long frames last, what they are compared by, the colours of pictures; those of
# another are not gone on with
_FORM = 5


class Progress(NamedTuple):
    """How far a video is."""

    done: int
    per_second: float  # frames, of this run
    realtime: float  # 1 is as fast as it plays


def upscale_video(
    resizer: Resizer,
    plan: VideoPlan,
    *,
    team: Team | None = None,
    quality: int | None = None,
    png_level: int = PNG_LEVEL,
    tick: Callable[[Progress], None] = lambda progress: None,
) -> VideoDone:
    """Upscale one video and verify the result; raise UserError, after which what is done is kept for the next run.

    The ranks of a `team` divide the segments; rank 0 joins them. `quality` and `png_level` are those of numbered pictures.
    """
    job = plan.job
    team = team or Team(0, 1, torch.device("cpu"))
    started = time.monotonic()
    with team.together():
        parts = Parts(job.target, _work(resizer, plan, quality) if team.leads else {}, taken=("precision",))
    # not those of a run before; as rank 0 sees it, which is the one to make the folder
    fresh = team.given(job.fresh and not (is_sequence(job.target) and parts.folder.is_dir()))
    write = partial(
        sequences.write_numbered,
        job.target,
        format=job.format,
        colors=plan.colors,
        quality=quality,
        png_level=png_level,
        fresh=fresh,
    )
    with closing(parts):
        done = _Run(resizer, plan, parts, team, write, tick).made()
    return replace(done, seconds=round(time.monotonic() - started, 3), model=resizer.name)


def _appeared(job: Job) -> bool:
    """Tell whether a result is there that was not when it was planned."""
    return job.fresh and os.path.lexists(job.target)


def _refuse_taken(job: Job, parts: Parts) -> None:
    """Raise BadFolder where another file has the name of the result by now, and that is not to be kept as one."""
    if _appeared(job) and job.exists != "skip" and not published(job.target):
        if not begun(job.target):
            parts.remove()
        with writing_to(job.target):
            raise taken(job.target)


@contextmanager
def _memory_for(job: Job) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise too_large(job) from error


class Clocks:
    """How long each stage was at work."""

    def __init__(self) -> None:
        self.decode, self.network, self.encode = Stopwatch(), Stopwatch(), Stopwatch()


@dataclass(eq=False)
class _Run:
    """One video being upscaled: what its tracks have in common."""

    resizer: Resizer
    plan: VideoPlan
    parts: Parts
    team: Team
    write: Callable[[int, Timed], None]
    tick: Callable[[Progress], None]
    precision: Precision | None = None
    started: float = field(default_factory=time.monotonic)
    done: int = 0  # frames, with those that were there
    computed: int = 0
    kept: int = 0
    repeated: int = 0
    clocks: Clocks = field(default_factory=Clocks)
    ends: list[dict[str, Any]] = field(default_factory=list)  # of each track: its frames, and what is to be said of them

    def made(self) -> VideoDone:
        """Do what is missing of the video, and join it."""
        job, plan, parts, team = self.plan.job, self.plan, self.parts, self.team
        with team.together():
            if team.leads:
                parts.begin(afresh=not (plan.choices.resume and left(job.target)))
                _refuse_taken(job, parts)
        self.precision = team.given(parts.work.get("precision"))  # where the run goes on, that of its start
        if team.given(published(job.target) or _appeared(job)):
            if team.leads:
                parts.remove()
            return VideoDone(job.source, job.target, "done", notes=("another run had finished it",))
        spared = self.resizer.spared
        with team.together(), _memory_for(job):
            for track in plan.tracks:
                self._compute(track)
        lost: tuple[str, ...] = ()
        with team.together(), _memory_for(job):
            if team.leads:
                lost = self._finish()
        damage = tuple(line for end in self.ends for line in end["damage"])
        return replace(
            planned(plan, self.kept),
            status="done",
            frames=sum(end["frames"] for end in self.ends),
            repeated=self.repeated,
            spared=self.resizer.spared - spared,
            decode=round(self.clocks.decode.seconds, 3),
            network=round(self.clocks.network.seconds, 3),
            encode=round(self.clocks.encode.seconds, 3),
            error="; ".join((*damage, "what decodes is upscaled")) if damage else None,
            precision=self.precision,
            notes=(*plan.notes, *lost, *(line for end in self.ends for line in end["notes"])),
        )

    def _compute(self, track: UpscaledTrack) -> None:
        """Do what is missing of a track, or this rank's share of it."""
        index = track.source.index
        sink = self._sink(track)
        self.kept += sink.kept
        self.done += sink.kept
        self._report(track)
        end = self.parts.end(index)
        if end is None or sink.kept != end["frames"]:
            end = self._through(track, sink)
            self.parts.note_end(index, end)
        self.ends.append(end)

    def _finish(self) -> tuple[str, ...]:
        """Join the segments, verify the result and give it its name; say what could not be kept."""
        job, choices = self.plan.job, self.plan.choices
        if not any(end["frames"] for end in self.ends):
            self.parts.remove()  # which would stand in the way of the command put right
            raise BadVideo(f"'{job.source}': {choices.clip.empty}")
        if is_sequence(job.target):
            self.parts.remove()
            return _others(job.target, self.ends[0]["frames"])
        tracks = []
        for track, end in zip(self.plan.tracks, self.ends, strict=True):
            there = self.parts.closed(track.source.index, choices.segment)
            segments = tuple(there[number] for number in sorted(there))
            if sum(segment.frames for segment in segments) != end["frames"]:
                raise BadVideo(f"the segments in '{self.parts.folder}' are not all there: repeat the command")
            self.repeated += int(sum(segment.tally.get("repeated", 0) for segment in segments))
            anew = tuple(Fraction(later) for later in end["anew"])
            tracks += [replace(track, segments=segments, anew=anew)] if segments else []
        source = None if sequences.of_pictures(job.source) else job.source
        lost = join(source, self.parts.joined, job.format, tracks, choices.clip)
        self.parts.publish(fresh=job.fresh)
        return lost

    def _sink(self, track: UpscaledTrack) -> "_Segments | _Numbered":
        if is_sequence(self.plan.job.target):
            return _Numbered(track.source, self.parts, self.write)
        return _Segments(track, self.parts, self.plan.choices.segment)

    def _through(self, track: UpscaledTrack, sink: "_Segments | _Numbered") -> dict[str, Any]:
        """Decode, upscale and store the frames that are this rank's and not there yet."""
        choices = self.plan.choices
        reader = _reader(self.plan, track.source, choices.clip, deinterlace=choices.deinterlace)
        team = self.team

        def wanted(number: int) -> bool:
            return number // choices.segment % team.world == team.rank and sink.wants(number)

        size = (track.encoding.height, track.encoding.width)
        frames = reader.frames(wanted, sink.known) if isinstance(reader, VideoReader) else reader.frames(wanted)
        results = upscaled(self.resizer, frames, size, self.precision, self.clocks)
        add = self.clocks.encode.timed(sink.add)
        with sink.writer, closing(write_behind(results, add, depth=AHEAD)) as stored:
            for result, _ in stored:
                self.done += 1
                self.computed += 1
                self.repeated += result.repeated and isinstance(sink, _Numbered)
                self._report(track)
        notes = reader.notes
        if not reader.count:
            notes = (f"video {track.source.index}: {choices.clip.empty}; it is left out",)
        anew = [str(later) for later in reader.anew]
        return {"frames": reader.count, "damage": list(reader.damage), "notes": list(notes), "anew": anew}

    def _report(self, track: UpscaledTrack) -> None:
        pace = self.computed * self.team.world / max(time.monotonic() - self.started, 1e-9)
        self.tick(Progress(self.done, pace, pace / float(track.source.rate)))


class Result(NamedTuple):
    """A frame upscaled, with its number; `repeated` tells that it equals the one before and was not computed."""

    number: int
    source: Timed
    frame: Timed
    repeated: bool


class _Segments:
    """Results into segments, but for those that are closed already."""

    def __init__(self, track: UpscaledTrack, parts: Parts, length: int) -> None:
        self._there = parts.closed(track.source.index, length)
        self._length = length
        self.kept = sum(segment.frames for segment in self._there.values())
        self.writer = SegmentWriter(parts, track.source.index, partial(Encoder, track.encoding), length)

    @property
    def known(self) -> Known | None:
        """Tell of the frames before the first that is missing, up to where a fault of the source was met."""
        stamps: list[int] = []
        checksum = 0
        for number in range(len(self._there)):
            segment = self._there.get(number)
            if segment is None or segment.tally["faults"]:
                break
            stamps += sorted(segment.shown)
            checksum = int(segment.tally["checksum"])
        return Known(stamps, checksum) if checksum else None

    def wants(self, number: int) -> bool:
        return number // self._length not in self._there

    def add(self, result: Result) -> None:
        last = result.number % self._length == self._length - 1
        tally = {
            "repeated": float(result.repeated),
            "faults": float(result.source.faults),
            "checksum": float(checksum(result.source)) if last else 0.0,
        }
        self.writer.add(result.number, result.frame, tally)


class _Numbered:
    """Results into numbered pictures, but for those that this run, or the one that it goes on with, has written."""

    known: Known | None = None  # pictures have no time stamps
    writer = nullcontext()  # which are whole one by one

    def __init__(self, track: Track, parts: Parts, write: Callable[[int, Timed], None]) -> None:
        self._track, self._target, self._write = track, parts.target, write
        began = parts.began
        self._there = {path for path in numbered_there(parts.target) if path.stat().st_mtime_ns >= began}
        self.kept = len(self._there)

    def wants(self, number: int) -> bool:
        return numbered_path(self._target, number + 1) not in self._there

    def add(self, result: Result) -> None:
        self._write(result.number, upright(result.frame, self._track))


def upscaled(
    resizer: Resizer, frames: Iterator[tuple[int, Timed]], size: tuple[int, int], precision: Precision | None, clocks: Clocks
) -> Iterator[Result]:
    """Upscale frames, which a thread decodes ahead, all in one precision; one equal to the frame before takes its result.

    So does a tile that reads the same px as in the frame before.
    """
    compute = clocks.network.timed(resizer)
    with resizer.remembering():
        before: Timed | None = None
        result: Timed | None = None
        for _, item in read_ahead(repeat(None), clocks.decode.timed(lambda _: next(frames, None)), depth=AHEAD):
            if isinstance(item, UserError):
                raise item
            if item is None:
                return
            number, frame = item
            repeated = before is not None and same(frame[:2], before[:2])
            if not repeated or result is None:
                picture, precision = compute(Picture(frame.pixels, frame.alpha), size, precision=precision)
                result = Timed(picture.pixels, picture.alpha, frame.pts, frame.duration)
            before = frame
            yield Result(number, frame, result._replace(pts=frame.pts, duration=frame.duration), repeated)


def upscale_stream(
    resizer: Resizer,
    reader: VideoReader | Y4mReader | RgbReader,
    scale: float | Box,
    file: BinaryIO,
    kind: Kind,
    *,
    source: Path = Path("-"),
    tick: Callable[[Progress], None] = lambda progress: None,
) -> VideoDone:
    """Upscale frames from one pipe, or a file, into another as they come; `source` is what the reader reads."""
    track = reader.track
    size = size_of(track, scale)
    shown = replace(track, aspect=1 / track.aspect) if track.turned and track.aspect else track
    writer = StreamWriter(file, kind, shown, size[::-1] if track.turned else size)
    started, done, repeated = time.monotonic(), 0, 0
    results = upscaled(resizer, iter(reader.frames()), size, None, Clocks())
    for result, _ in write_behind(results, lambda result: writer.write(upright(result.frame, track)), depth=AHEAD):
        done, repeated = done + 1, repeated + result.repeated
        pace = done / max(time.monotonic() - started, 1e-9)
        tick(Progress(done, pace, pace / float(reader.track.rate)))
    seconds, error = round(time.monotonic() - started, 3), "; ".join(reader.damage) or None
    return VideoDone(
        source, Path("-"), "done", frames=done, repeated=repeated, seconds=seconds, error=error, model=resizer.name
    )


def _reader(
    plan: VideoPlan, track: Track, clip: Clip, *, deinterlace: bool = False
) -> VideoReader | sequences.SequenceReader | sequences.AnimationReader:
    source = plan.job.source
    if sequences.of_pictures(source):
        return sequences.read_pictures(source, track, clip, srgb=plan.colors is None)
    return VideoReader(source, track, clip, deinterlace=deinterlace)


def _precision(resizer: Resizer, plan: VideoPlan) -> Precision | None:
    """Choose by the first frame of the first track, also where a run goes on in its middle."""
    track = plan.tracks[0]
    frame = next(_reader(plan, track.source, Clip(frames=1)).frames(), None)
    chain = resizer.chain((track.source.height, track.source.width), (track.encoding.height, track.encoding.width))
    return resizer.upscalers[chain[0]].choose(frame[1].pixels) if frame and chain else None


def _work(resizer: Resizer, plan: VideoPlan, quality: int | None) -> dict[str, Any]:
    """Put down what decides the result, so that only a run of the same continues it."""
    files = numbered(plan.job.source) if is_sequence(plan.job.source) else [plan.job.source]
    with decoding(plan.job.source):
        states = [path.stat() for path in files]
    choices = plan.choices
    upscalers = [resizer.upscalers[scale] for scale in sorted(resizer.upscalers)]
    return {
        "version": f"{__version__}, {_FORM}",
        "source": [str(plan.job.source.resolve()), sum(s.st_size for s in states), sum(s.st_mtime_ns for s in states)],
        "model": [f"{type(m).__name__} x{m.scale} {checkpoint.checksum(m):08x}" for m in (u.model for u in upscalers)],
        "precision asked for": [upscaler.asked for upscaler in upscalers],
        "precision": _precision(resizer, plan),
        "device": sorted({upscaler.device.type for upscaler in upscalers}),
        "tile": [upscaler.runner.tile for upscaler in upscalers],
        "ensemble": [upscaler.ensemble for upscaler in upscalers],
        "separate-alpha": [upscaler.separate for upscaler in upscalers],
        "edge": resizer.edge,
        "size": [[track.encoding.width, track.encoding.height] for track in plan.tracks],
        "codec": [track.encoding.codec for track in plan.tracks],
        "encoder": [track.encoding.options for track in plan.tracks],
        "pix-fmt": [track.encoding.pix_fmt for track in plan.tracks],
        "srgb": plan.colors is None,
        "quality": quality if is_sequence(plan.job.target) else None,
        "clip": [str(choices.clip.start), str(choices.clip.end), choices.clip.frames],
        "deinterlace": choices.deinterlace,
        "fps": str(choices.rate) if is_sequence(plan.job.source) else "",
        "segment": choices.segment,
    }


def earlier(resizer: Resizer, plan: VideoPlan, quality: int | None = None) -> Parts | None:
    """Return what an earlier run left for this one, None where nothing; raise UsageError where that was another."""
    if not plan.goes_on:
        return None
    parts = Parts(plan.job.target, _work(resizer, plan, quality), taken=("precision",))
    parts.before()
    return parts


def kept(resizer: Resizer, plan: VideoPlan, quality: int | None = None) -> list[int]:
    """Count the frames of each track that an earlier run left for this one; raise UsageError where that was another."""
    target = plan.job.target
    parts = earlier(resizer, plan, quality)
    if parts is None:
        return [0] * len(plan.tracks)
    if published(target):
        return [expected(track.source, plan.choices.clip, plan.video.seconds) for track in plan.tracks]
    if is_sequence(target):
        return [_Numbered(plan.tracks[0].source, parts, lambda number, frame: None).kept]
    return [_Segments(track, parts, plan.choices.segment).kept for track in plan.tracks]


def _others(pattern: Path, frames: int) -> tuple[str, ...]:
    """Say which pictures of a pattern are none of this video's frames, but of a longer run before."""
    ours = {numbered_path(pattern, number + 1) for number in range(frames)}
    others = [path for path in numbered_there(pattern) if path not in ours]
    what = counted(len(others), "picture")
    first = f"'{others[0]}'" if others else ""
    return (f"{what} of before named alike, from {first} on, stay beside the {frames} made: remove them",) * bool(others)

"""Videos through a network: frames are decoded, upscaled and encoded side by side, and kept in closed segments.

A run that was killed goes on at the first segment that is missing; the segments are then joined without encoding again and
the result is checked against the source.
"""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from srcli import __version__
from srcli.engine.device import Precision
from srcli.engine.upscale import Resizer, passes
from srcli.errors import BadVideo, UserError
from srcli.media.ahead import read_ahead, write_behind
from srcli.media.containers import Done as Track
from srcli.media.containers import join, rehearse
from srcli.media.encoding import Encoder, Encoding, Wishes, plan_encoding
from srcli.media.image import Picture, Probe
from srcli.media.jobs import Box, Job, result_size
from srcli.media.segments import Parts, SegmentWriter, published
from srcli.media.video import Clip, Timed, Video, VideoReader, probe_video
from srcli.media.video import Track as Source
from srcli.models.base import SRModel

AHEAD = 3  # frames decoded before, and encoded behind, the one in the network
SEGMENT = 120  # frames; each begins with a key frame


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user asked of the videos."""

    wishes: Wishes = field(default_factory=Wishes)
    clip: Clip = field(default_factory=Clip)
    deinterlace: bool = False
    resume: bool = True  # False starts anew
    segment: int = SEGMENT


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """One video, all settled and nothing done: what is read, how it is encoded, and what will be lost."""

    job: Job
    video: Video
    tracks: tuple[Track, ...]
    choices: Choices
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """How many frames there are to do, as far as the headers say; 0 where they do not."""
        return sum(_expected(track.track, self.choices.clip) for track in self.tracks)


class Progress(NamedTuple):
    """How far a video is; `total` is 0 where nobody knows."""

    done: int
    total: int
    per_second: float  # frames, of this run
    realtime: float  # 1 is as fast as it plays


@dataclass(frozen=True, slots=True)
class VideoDone:
    """What became of one video. With `status` done and an `error` the result is there, but not all of the source."""

    input: Path
    output: Path
    status: Literal["done", "planned", "failed"]
    width: int | None = None
    height: int | None = None
    frames: int = 0
    kept: int = 0  # of them in segments of an earlier run
    repeated: int = 0  # of them equal to the frame before, and not computed
    seconds: float = 0.0
    error: str | None = None
    precision: Precision | None = None
    notes: tuple[str, ...] = ()


def plan_video(job: Job, choices: Choices) -> VideoPlan:
    """Read the headers, settle the encoders and try them and the container; raise UserError before any work."""
    video = probe_video(job.source)
    notes: list[str] = []
    tracks = []
    for source in video.tracks:
        size = _size(source, job)
        encoding = plan_encoding(source, size, job.format, choices.wishes)
        if max(encoding.coded) > 16384:
            raise BadVideo(f"the result of '{job.source}' would be {size[1]} x {size[0]} px, 16384 a side is the most")
        Encoder(encoding)
        label = f"video {source.index}: " if len(video.tracks) > 1 else ""
        notes += [label + note for note in encoding.notes]
        if source.interlaced:
            what = "deinterlaced, one frame for each" if choices.deinterlace else "upscaled as it is; --deinterlace mends it"
            notes.append(f"{label}interlaced: {what}")
        tracks.append(Track(source, encoding))
    notes += rehearse(job.source, job.format, tracks)
    return VideoPlan(job, video, tuple(tracks), choices, (*job.notes, *notes))


def upscale_video(
    resizer: Resizer,
    plan: VideoPlan,
    *,
    tick: Callable[[Progress], None] = lambda progress: None,
) -> VideoDone:
    """Upscale one video and verify the result; raise UserError, after which what is done is kept for the next run."""
    job, choices = plan.job, plan.choices
    started = time.monotonic()
    parts = Parts(job.target, _work(resizer, plan))
    parts.begin(afresh=not choices.resume)
    if published(job.target):
        parts.remove()
        return VideoDone(job.source, job.target, "done", notes=("an earlier run had finished it",))
    run = _Run(resizer, plan, parts, tick)
    tracks = tuple(run.track(track) for track in plan.tracks)
    lost = join(job.source, parts.joined, job.format, tracks, choices.clip)
    parts.publish()
    height, width = tracks[0].encoding.coded
    damage = tuple(line for end in run.ends for line in end["damage"])
    return VideoDone(
        job.source,
        job.target,
        "done",
        width,
        height,
        frames=sum(track.frames for track in tracks),
        kept=run.kept,
        repeated=int(sum(segment.saved.get("repeated", 0) for track in tracks for segment in track.segments)),
        seconds=round(time.monotonic() - started, 3),
        error="; ".join(damage) or None,
        precision=run.precision,
        notes=(*plan.notes, *lost, *(line for end in run.ends for line in end["notes"])),
    )


class _Run:
    """One video being upscaled: what its tracks have in common."""

    def __init__(self, resizer: Resizer, plan: VideoPlan, parts: Parts, tick: Callable[[Progress], None]) -> None:
        self._resizer, self._plan, self._parts, self._tick = resizer, plan, parts, tick
        self._started = time.monotonic()
        self._done = self._computed = 0
        self.kept = 0
        self.precision: Precision | None = None
        self.ends: list[dict[str, Any]] = []

    def track(self, track: Track) -> Track:
        """Do the segments that are missing, and return the track with all of them."""
        index, length = track.track.index, self._plan.choices.segment
        there = self._parts.closed(index, length)
        kept = sum(segment.frames for segment in there.values())
        self.kept += kept
        self._done += kept
        self._report(track)
        end = self._parts.end(index)
        if end is None or kept != end["frames"]:
            end = self._compute(track, lambda number: number // length not in there)
            there = self._parts.closed(index, length)
        if sum(segment.frames for segment in there.values()) != end["frames"] or not there:
            raise BadVideo(
                f"'{self._plan.job.source}' has {end['frames']} frames, but other segments: start anew with --no-resume"
            )
        self.ends.append(end)
        return replace(track, segments=tuple(there[number] for number in sorted(there)))

    def _compute(self, track: Track, wanted: Callable[[int], bool]) -> dict[str, Any]:
        choices = self._plan.choices
        reader = VideoReader(self._plan.job.source, track.track, choices.clip, deinterlace=choices.deinterlace)
        writer = SegmentWriter(self._parts, track.track.index, partial(Encoder, track.encoding), choices.segment)

        def write(result: _Result) -> None:
            writer.add(result.number, result.frame, {"repeated": float(result.repeated)})

        for _, error in write_behind(self._upscaled(reader, track.encoding, wanted), write, depth=AHEAD):
            if error:
                raise error
            self._done += 1
            self._computed += 1
            self._report(track)
        writer.close()
        if not reader.count:
            raise BadVideo(f"'{self._plan.job.source}': no frame lies between --start and --end")
        end = {"frames": reader.count, "damage": list(reader.damage), "notes": list(reader.notes)}
        self._parts.note_end(track.track.index, end)
        return end

    def _upscaled(self, reader: VideoReader, encoding: Encoding, wanted: Callable[[int], bool]) -> Iterator["_Result"]:
        """Upscale the frames, which a thread decodes ahead; one equal to the frame before takes its result."""
        frames = reader.frames(wanted)
        before: Timed | None = None
        result: Timed | None = None
        for _, item in read_ahead(repeat(None), lambda _: next(frames, None), depth=AHEAD):
            if isinstance(item, UserError):
                raise item
            if item is None:
                return
            number, frame = item
            repeated = before is not None and result is not None and _same(frame, before)
            if not repeated:
                result = self._upscale(frame, encoding)
            assert result is not None
            before = frame
            yield _Result(number, result._replace(pts=frame.pts, duration=frame.duration), repeated)

    def _upscale(self, frame: Timed, encoding: Encoding) -> Timed:
        """Upscale one frame; all of a video are computed in the precision that its first was found to bear."""
        size = (encoding.height, encoding.width)
        if self.precision is None:
            self.precision = _precision(self._resizer, self._plan)
        picture, _ = self._resizer(Picture(frame.pixels, frame.alpha), size, precision=self.precision)
        return frame._replace(pixels=picture.pixels, alpha=picture.alpha)

    def _report(self, track: Track) -> None:
        pace = self._computed / max(time.monotonic() - self._started, 1e-9)
        self._tick(Progress(self._done, max(self._plan.frames, self._done), pace, pace / float(track.track.rate)))


class _Result(NamedTuple):
    number: int
    frame: Timed
    repeated: bool


def _precision(resizer: Resizer, plan: VideoPlan) -> Precision | None:
    """Choose by the first frame of the first track, also where a run goes on in its middle."""
    track = plan.tracks[0]
    reader = VideoReader(plan.job.source, track.track, Clip(frames=1))
    frame = next(iter(reader.frames()), None)
    factor = max(track.encoding.height / track.track.height, track.encoding.width / track.track.width)
    chain = passes(factor, resizer.upscalers)
    return resizer.upscalers[chain[0]].choose(frame[1].pixels) if frame and chain else None


def _same(frame: Timed, other: Timed) -> bool:
    if frame.alpha is not None and not np.array_equal(frame.alpha, other.alpha):  # type: ignore[arg-type]
        return False
    return np.array_equal(frame.pixels, other.pixels)


def _size(source: Source, job: Job) -> tuple[int, int]:
    """Return the size that a track gets; a size in px is meant as it is shown, so a turned one has its sides swapped."""
    turned = source.matrix is not None and source.matrix[0] == 0
    if not turned or not isinstance(job.scale, Box):
        return result_size(source.height, source.width, job.scale)
    width, height = result_size(source.width, source.height, job.scale)
    return height, width


def _expected(source: Source, clip: Clip) -> int:
    whole = source.frames or round((source.seconds or 0) * source.rate)
    if clip.start or clip.end is not None:
        seconds = (clip.end if clip.end is not None else Fraction(source.seconds or 0)) - clip.start
        whole = min(whole, max(round(seconds * source.rate), 0)) if whole else round(seconds * source.rate)
    return min(whole, clip.frames) if clip.frames is not None and whole else clip.frames or whole


def _work(resizer: Resizer, plan: VideoPlan) -> dict[str, Any]:
    """Put down what decides the result, so that only a run of the same continues it."""
    state = plan.job.source.stat()
    choices = plan.choices
    upscalers = [resizer.upscalers[scale] for scale in sorted(resizer.upscalers)]
    return {
        "version": __version__,
        "source": [str(plan.job.source.resolve()), state.st_size, state.st_mtime_ns],
        "model": [_checksum(upscaler.model) for upscaler in upscalers],
        "precision": [upscaler.precision for upscaler in upscalers],
        "device": sorted({upscaler.device.type for upscaler in upscalers}),
        "tile": [upscaler.tile for upscaler in upscalers],
        "ensemble": [upscaler.ensemble for upscaler in upscalers],
        "edge": resizer.edge,
        "size": [[track.encoding.width, track.encoding.height] for track in plan.tracks],
        "codec": [track.encoding.codec for track in plan.tracks],
        "encoder": [track.encoding.options for track in plan.tracks],
        "pix-fmt": [track.encoding.pix_fmt for track in plan.tracks],
        "clip": [str(choices.clip.start), str(choices.clip.end), choices.clip.frames],
        "deinterlace": choices.deinterlace,
        "segment": choices.segment,
    }


def _checksum(model: SRModel) -> str:
    checksum = 0
    for name, tensor in sorted(model.state_dict().items()):
        content = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        checksum = zlib.crc32(content, zlib.crc32(name.encode(), checksum))
    return f"{type(model).__name__} x{model.scale} {checksum:08x}"


def failed(job: Job, error: Exception) -> VideoDone:
    """Record what stopped a video."""
    return VideoDone(job.source, job.target, "failed", error=str(error))


def planned(plan: VideoPlan) -> VideoDone:
    """Record what would be made."""
    height, width = plan.tracks[0].encoding.coded
    return VideoDone(plan.job.source, plan.job.target, "planned", width, height, plan.frames, notes=plan.notes)


def measured(plan: VideoPlan) -> list[Job]:
    """Return each track as a job of as many pictures, from which time and disk are estimated."""
    jobs = []
    for track in plan.tracks:
        source, encoding = track.track, track.encoding
        depth = 8 if source.depth <= 8 else 16
        facts = Probe(source.height, source.width, 3, source.alpha, depth, plan.job.format)
        size = (encoding.height, encoding.width)
        jobs.append(replace(plan.job, probe=facts, size=size, frames=_expected(source, plan.choices.clip)))
    return jobs


def plan_videos(jobs: Sequence[Job], choices: Choices) -> list[VideoPlan | VideoDone]:
    """Plan every video; one that cannot be done is a record of why, and does not stop the others."""
    plans: list[VideoPlan | VideoDone] = []
    for job in jobs:
        try:
            plans.append(plan_video(job, choices))
        except BadVideo as error:
            plans.append(failed(job, error))
    return plans

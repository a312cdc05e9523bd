"""Videos before any work: what is read and how it is encoded, and every refusal; and the record of what became of one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from srcli.engine.device import Precision
from srcli.errors import BadVideo, UserError
from srcli.media import sequences
from srcli.media.color import hdr
from srcli.media.containers import rehearse
from srcli.media.encoding import Encoder, Encoding, Wishes, plan_encoding
from srcli.media.formats import SEGMENT
from srcli.media.jobs import Box, Job, result_size
from srcli.media.numbered import is_sequence
from srcli.media.picture import Picture
from srcli.media.probe import Probe
from srcli.media.segments import Parts, UpscaledTrack, begun, published
from srcli.media.video import Clip, Track, Video, probe_video

LARGEST = 16384  # px a side; H.264 and HEVC end below, and say so when they are opened


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user asked of the videos."""

    wishes: Wishes = field(default_factory=Wishes)
    clip: Clip = field(default_factory=Clip)
    deinterlace: bool = False
    resume: bool = True  # False starts anew
    segment: int = SEGMENT
    rate: Fraction = Fraction(25)  # frames a second of numbered pictures
    srgb: bool = False  # colours are converted also where the frames of an animation could keep the profile


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """One video, all settled and nothing done: what is read, how it is encoded, and what will be lost."""

    job: Job
    video: Video
    tracks: tuple[UpscaledTrack, ...]
    choices: Choices
    notes: tuple[str, ...] = ()
    goes_on: bool = False  # with an earlier run, or is refused because that was another
    colors: Picture | None = None  # the profile and the tags of an animation, which its frames keep

    @property
    def frames(self) -> int:
        """How many frames there are to do, as far as the headers say; 0 where they do not."""
        return sum(expected(track.source, self.choices.clip, self.video.seconds) for track in self.tracks)


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
    spared: int = 0  # tiles taken over from the frame before, because what they read is the same
    seconds: float = 0.0
    decode: float = 0.0  # seconds of this rank's; the three stages run side by side
    network: float = 0.0
    encode: float = 0.0
    error: str | None = None
    precision: Precision | None = None
    notes: tuple[str, ...] = ()
    model: str | None = None  # the weights that it went through, where they were chosen for it


def plan_videos(jobs: Sequence[Job], choices: Choices, *, refuse: bool = True) -> list[VideoPlan | VideoDone]:
    """Plan every video; one that cannot be done is a record of why, and does not stop the others.

    Choices that do not fit one raise UsageError or, unless these `refuse` all, are such a record too.
    """
    recorded = BadVideo if refuse else UserError
    plans: list[VideoPlan | VideoDone] = []
    for job in jobs:
        try:
            plans.append(plan_video(job, choices))
        except recorded as error:
            plans.append(failed(job, error))
    return plans


def plan_video(job: Job, choices: Choices) -> VideoPlan:
    """Read the headers, settle the encoders and try them and the container; raise UserError before any work."""
    pictures = sequences.of_pictures(job.source)
    video = sequences.probe_pictures(job.source, choices.rate) if pictures else probe_video(job.source)
    notes: list[str] = []
    tracks = []
    for source in video.tracks:
        size = size_of(source, job.scale)
        label = f"video {source.index}: " if len(video.tracks) > 1 else ""
        if is_sequence(job.target):
            encoding = Encoding("", source.pix_fmt, *size, source.time_base, source.rate, source.colors)
        else:
            encoding = plan_encoding(source, size, job.format, choices.wishes)
            _try(encoding, job)
        tracks.append(UpscaledTrack(source, encoding))
        notes += [label + note for note in (*_unenlarged(source, size, job), *encoding.notes, *hdr(source.colors.transfer))]
        if source.interlaced:
            what = "deinterlaced, one frame for each" if choices.deinterlace else "upscaled as it is; --deinterlace mends it"
            notes.append(f"{label}interlaced: {what}")
    if is_sequence(job.target):
        notes.append(
            "pictures carry neither time stamps nor sound" + (f": only video {tracks[0].source.index}" if tracks[1:] else "")
        )
        tracks = tracks[:1]
        notes += sequences.lost_in_pictures(tracks[0].source, job.format)
    else:
        notes += rehearse(None if pictures else job.source, job.format, tracks)
    goes_on = choices.resume and left(job.target) and Parts(job.target, {}).before() is not None
    told = is_sequence(job.target) and not choices.srgb
    colors = sequences.colors_kept(job.source, job.format) if told else None
    return VideoPlan(job, video, tuple(tracks), choices, (*job.notes, *notes), goes_on, colors)


def _unenlarged(source: Track, size: tuple[int, int], job: Job) -> list[str]:
    """Say of a track that it is no larger afterwards."""
    height, width = size[::-1] if source.turned else size
    if size == (source.height, source.width):
        done = "written" if is_sequence(job.target) else "encoded"
        return [f"{width} x {height} px is its size already: {done} anew all the same, without the network"]
    if size[0] <= source.height:
        return [f"{width} x {height} px is smaller than it is: resampled, without the network"]
    return []


def _try(encoding: Encoding, job: Job) -> None:
    if max(encoding.coded) > LARGEST:
        size = f"{encoding.width} x {encoding.height} px"
        raise BadVideo(f"the result of '{job.source}' would be {size}, but {LARGEST} a side is the most that codecs take")
    Encoder(encoding)


def size_of(source: Track, scale: float | Box) -> tuple[int, int]:
    """Return the size that a track gets; a size in px is meant as it is shown, so a turned one has its sides swapped."""
    if not source.turned or not isinstance(scale, Box):
        return result_size(source.height, source.width, scale)
    width, height = result_size(source.width, source.height, scale)
    return height, width


def _shown(plan: VideoPlan) -> tuple[int, int]:
    """Return height and width of the result; pictures are written upright."""
    track = plan.tracks[0]
    height, width = track.encoding.coded
    return (width, height) if track.source.turned and is_sequence(plan.job.target) else (height, width)


def expected(source: Track, clip: Clip, seconds_of_file: float | None) -> int:
    length = source.seconds or seconds_of_file or 0
    whole = source.frames or round(length * source.rate)
    if clip.start or clip.end is not None:
        seconds = max((clip.end if clip.end is not None else Fraction(length)) - clip.start, Fraction(0))
        whole = min(whole, round(seconds * source.rate)) if whole else round(seconds * source.rate)
    return min(whole, clip.frames) if clip.frames is not None and whole else clip.frames or whole


def left(target: Path) -> bool:
    """Tell whether there may be something that an earlier run did."""
    return is_sequence(target) or begun(target) or published(target)


def failed(job: Job, error: Exception) -> VideoDone:
    """Record what stopped a video."""
    return VideoDone(job.source, job.target, "failed", error=str(error))


def planned(plan: VideoPlan, kept: int = 0) -> VideoDone:
    """Record what would be made, `kept` frames of it by an earlier run."""
    height, width = _shown(plan)
    return VideoDone(plan.job.source, plan.job.target, "planned", width, height, plan.frames, kept, notes=plan.notes)


def measured(plan: VideoPlan) -> list[Job]:
    """Return each track as a job of as many pictures, from which time and disk are estimated."""
    jobs = []
    for track in plan.tracks:
        source, encoding = track.source, track.encoding
        depth = 8 if source.depth <= 8 else 16
        format = encoding.codec or plan.job.format
        facts = Probe(source.height, source.width, 3, source.alpha, depth, format)
        size = (encoding.height, encoding.width)
        frames = expected(source, plan.choices.clip, plan.video.seconds)
        jobs.append(replace(plan.job, format=format, probe=facts, size=size, frames=frames))
    return jobs

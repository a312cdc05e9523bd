"""The options of srcli upscale that are for videos, and what it says of them."""

import re
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from srcli import console
from srcli.errors import BadPicture, BadVideo, DiskFull, UsageError, UserError, counted
from srcli.media.formats import SEGMENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.engine.distributed import Team
    from srcli.engine.suit import Choice
    from srcli.engine.video import Progress
    from srcli.engine.video_plan import VideoDone, VideoPlan
    from srcli.media.jobs import Box, Job
    from srcli.media.streams import Kind

STAGES = ("decode", "network", "encode")  # whose work overlaps

Codec = Annotated[
    str | None,
    typer.Option(
        help="libx264, libx265, libsvtav1, libvpx-vp9, ffv1, prores_ks, h264_nvenc, hevc_nvenc; by default the container's."
    ),
]
Crf = Annotated[
    int | None, typer.Option(help="Quality: lower is better and makes larger files; by default the codec's (docs/video.md).")
]
Preset = Annotated[str | None, typer.Option(help="Speed, as the codec names it.")]
PixFmt = Annotated[str | None, typer.Option(help="Pixel format, by FFmpeg's name; by default the source's.")]
Start = Annotated[str | None, typer.Option(help="Seconds, or H:MM:SS, from the beginning.")]
End = Annotated[str | None, typer.Option(help="Where to stop, as --start.")]
Frames = Annotated[int | None, typer.Option(min=1, help="Only this many frames, as a trial.")]
Deinterlace = Annotated[bool, typer.Option("--deinterlace", help="Make whole pictures of interlaced frames first.")]
Resume = Annotated[bool, typer.Option("--resume/--no-resume", help="Continue a run that was stopped, or start over.")]
Segment = Annotated[int, typer.Option(min=1, help="Frames that a stop may cost, and between key frames.")]
Fps = Annotated[str | None, typer.Option(help="Frame rate of numbered pictures and --raw: 29.97 or 30000/1001.  [default: 25]")]
Raw = Annotated[str | None, typer.Option(help="stdin is bare RGB of WIDTHxHEIGHT px.")]


class Stream(NamedTuple):
    """What goes through a pipe: a file, or stdin where there is none, `size` (height, width) where that is bare RGB."""

    path: Path | None
    kind: "Kind"
    size: tuple[int, int] | None
    rate: Fraction


class Flags(NamedTuple):
    """The flags of srcli upscale that are for videos, and for nothing else."""

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    start: str | None = None
    end: str | None = None
    frames: int | None = None
    deinterlace: bool = False
    resume: bool = True
    segment: int = SEGMENT
    fps: str | None = None

    def span(self) -> tuple[Fraction, Fraction | None]:
        """Read --start and --end in seconds; raise UsageError."""
        first, last = parse_time("--start", self.start) or Fraction(0), parse_time("--end", self.end)
        if last is not None and last <= first:
            raise UsageError(f"--end {self.end} is not after --start {self.start or 0}")
        return first, last


def parse_time(flag: str, value: str | None) -> Fraction | None:
    """Read seconds, M:SS or H:MM:SS, with decimals; raise UsageError."""
    if value is None:
        return None
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)", value)
    if not match:
        raise UsageError(f"{flag} is seconds or H:MM:SS, such as 90, 1:30 or 0:01:30.5, not '{value}'")
    hours, minutes, seconds = match.groups("0")
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)


def parse_rate(value: str | None) -> Fraction:
    """Read frames a second, 25 where nothing is said; raise UsageError."""
    try:
        rate = Fraction(value or "25")
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"--fps is a number or a fraction, such as 25 or 30000/1001, not '{value}'") from error
    if not 0 < rate <= 1000:
        raise UsageError(f"--fps is above 0 and at most 1000, not {value}")
    return rate


def stream_of(sources: list[str], raw: str | None, format: str, fps: str | None) -> Stream | None:
    """Tell whether frames are to go to stdout, rather than a picture; raise UsageError."""
    from srcli.media import pipes, sniff

    kind: Kind | None = format if format in ("y4m", "rgb") else None  # type: ignore[assignment]
    if len(sources) != 1:
        return None
    if sources == ["-"] and sys.stdin is None:
        raise BadPicture("stdin is closed")
    if raw is not None:
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", raw)
        if not match or sources != ["-"]:
            raise UsageError(f"--raw is WIDTHxHEIGHT in px, such as 640x480, of stdin, not '{raw}'")
        if sys.stdin.isatty():
            raise UsageError("--raw reads frames from stdin, which is the terminal: pipe them in")
        return Stream(None, kind or "rgb", (int(match[2]), int(match[1])), parse_rate(fps))
    if sources == ["-"]:
        if sys.stdin.isatty() or not pipes.peek().startswith(b"YUV4MPEG2"):
            return None
        return Stream(None, kind or "y4m", None, parse_rate(fps))
    path = Path(sources[0])
    return Stream(path, kind or "y4m", None, parse_rate(fps)) if sniff.is_video(path) else None


def refuse_of_files(stream: Stream, format: str, flags: Flags) -> None:
    """Refuse what changes nothing where frames go to stdout; raise UsageError."""
    given = {"--codec": flags.codec, "--crf": flags.crf, "--preset": flags.preset, "--pix-fmt": flags.pix_fmt}
    for flag, value in given.items():
        if value is not None:
            raise UsageError(f"{flag} is of files: -o - gets frames as y4m or rgb, which are not encoded")
    if format not in ("keep", "y4m", "rgb"):
        raise UsageError(f"-o - gets a video's frames as --format y4m or rgb, not as {format}; name a file for {format}")
    if flags.fps is not None and stream.size is None:
        raise UsageError("--fps is of numbered pictures and --raw: a video keeps the rate it has")
    if flags.deinterlace and stream.path is None:
        raise UsageError("--deinterlace is of files, not of stdin")


def upscale_stream(
    choice: "Choice", stream: Stream, scale: "float | Box", *, flags: Flags, hint: str, voice: console.Voice
) -> "VideoDone":
    """Upscale frames into stdout; what was lost of the source is the result's `error`.

    `hint`: what is to be said where the weights for compressed videos are taken.
    """
    from srcli.engine import video as engine
    from srcli.media.color import hdr
    from srcli.media.streams import Raw, RgbReader, Y4mReader, lost_in_stream
    from srcli.media.video import Clip, probe_video
    from srcli.media.video_reader import VideoReader

    first, last = flags.span()
    if stream.path is None and (first or last is not None):
        raise UsageError("--start and --end are of files; of stdin --frames takes the first")
    clip = Clip(first, last, flags.frames)
    resizer = choice.of_video(stream.path)
    if resizer is not choice.plain:
        voice.note(f"{stream.path} was compressed a lot: {hint}")
    reader: VideoReader | Y4mReader | RgbReader
    if stream.path:
        reader = VideoReader(stream.path, probe_video(stream.path).tracks[0], clip, deinterlace=flags.deinterlace)
        voice.note("a pipe carries one video, at an even rate and without sound")
    elif stream.size:
        reader = RgbReader(sys.stdin.buffer, Raw(*stream.size, stream.rate), clip)
    else:
        reader = Y4mReader(sys.stdin.buffer, clip)
    if reader.track.interlaced and not flags.deinterlace:
        voice.note("interlaced: upscaled as it is" + ("; --deinterlace mends it" if stream.path else ""))
    seen = replace(reader.track, interlaced=reader.track.interlaced and not flags.deinterlace)
    for line in (*lost_in_stream(seen, stream.kind), *hdr(seen.colors.transfer)):
        voice.note(line)
    with voice.bar(1, counted=False) as bar:
        done = engine.upscale_stream(
            resizer,
            reader,
            scale,
            sys.stdout.buffer,
            stream.kind,
            source=stream.path or Path("-"),
            tick=lambda progress: bar.update(0, _pace(progress)),
        )
    voice.note(f"{counted(done.frames, 'frame')} in {done.seconds:.1f} s")
    if not done.frames:
        raise BadVideo(done.error or (f"'{stream.path}': {clip.empty}" if stream.path else "stdin holds no frame"))
    return done


def plan(jobs: "Sequence[Job]", flags: Flags, *, srgb: bool = False, refuse: bool = True) -> "list[VideoPlan | VideoDone]":
    """Plan the videos as the flags say; flags that do not fit one raise UsageError or, unless they `refuse` all, fail it.

    `srgb`: the frames of animations are converted even where they could keep the profile.
    """
    from srcli.engine.video_plan import Choices, plan_videos
    from srcli.media.encoding import Wishes
    from srcli.media.numbered import is_sequence
    from srcli.media.video import Clip

    rate = parse_rate(flags.fps)
    if flags.fps is not None and not any(is_sequence(job.source) for job in jobs):
        raise UsageError("--fps is of numbered pictures and --raw: a video keeps the rate it has")
    wishes = Wishes(flags.codec, flags.crf, flags.preset, flags.pix_fmt)
    clip = Clip(*flags.span(), flags.frames)
    choices = Choices(wishes, clip, flags.deinterlace, flags.resume, flags.segment, rate, srgb)
    return plan_videos(jobs, choices, refuse=refuse)


def agreed(plans: "Sequence[VideoPlan | VideoDone]", ranks: "Team") -> "list[VideoPlan | VideoDone]":
    """Let a video fail on every rank where one could not plan it: they upscale each together."""
    from srcli.engine.video_plan import VideoDone, VideoPlan, failed

    errors = ranks.gathered([item.error if isinstance(item, VideoDone) else None for item in plans])
    together: list[VideoPlan | VideoDone] = []
    for item, of_ranks in zip(plans, zip(*errors, strict=True), strict=True):
        told = [f"rank {rank}: {error}" if rank else error for rank, error in enumerate(of_ranks) if error]
        if told:
            item = failed(item.job, UserError(told[0])) if isinstance(item, VideoPlan) else replace(item, error=told[0])
        together.append(item)
    return together


def refuse_others(choice: "Choice", plans: "Sequence[VideoPlan | VideoDone]", quality: int | None) -> None:
    """Raise UsageError where an unfinished run of other flags stands in the way of one."""
    from srcli.engine.video import earlier
    from srcli.engine.video_plan import VideoPlan

    for item in plans:
        if isinstance(item, VideoPlan):
            try:
                earlier(choice.of(item.job), item, quality)
            except UsageError:
                raise
            except UserError:  # what is wrong with this video alone is told at its turn
                continue


def show_plans(
    choice: "Choice", plans: "Sequence[VideoPlan | VideoDone]", voice: console.Voice, *, quality: int | None
) -> "tuple[list[Job], list[VideoDone]]":
    """Print what would be made; return the tracks as jobs of so many pictures as no earlier run has made, and the failures.

    Raises UsageError where that run was another.
    """
    from srcli.engine.video import kept
    from srcli.engine.video_plan import VideoDone, VideoPlan, failed, measured, planned

    left, failures = list["Job"](), list[VideoDone]()
    for item in plans:
        done = list[int]()
        if isinstance(item, VideoPlan):
            try:
                done = kept(choice.of(item.job), item, quality)
            except UsageError:
                raise
            except UserError as error:
                item = failed(item.job, error)
        if isinstance(item, VideoDone):
            show(item, voice)
            failures.append(item)
            continue
        show(planned(item, sum(done)), voice)
        if any(done):
            voice.note(f"{item.job.source}: {sum(done)} kept from an earlier run")
        left += [replace(job, frames=max(job.frames - n, 0)) for job, n in zip(measured(item), done, strict=True)]
    return left, failures


def tracks(plans: "Sequence[VideoPlan | VideoDone]", *, anew: bool = False) -> "list[Job]":
    """Return the tracks as jobs of so many pictures; `anew`: of videos that no earlier run has begun."""
    from srcli.engine.video_plan import VideoPlan, measured

    ours = [item for item in plans if isinstance(item, VideoPlan)]
    return [job for item in ours if not (anew and item.goes_on) for job in measured(item)]


def upscale_one(
    choice: "Choice",
    plan: "VideoPlan | VideoDone",
    *,
    ranks: "Team",
    voice: console.Voice,
    quality: int | None,
    png_level: int,
) -> "tuple[VideoDone, bool]":
    """Upscale one video, which the ranks divide between them, with a bar; print what became of it.

    Return that, and whether the disk is full.
    """
    from srcli.engine.video import upscale_video
    from srcli.engine.video_plan import VideoDone, failed

    if isinstance(plan, VideoDone):  # planning it failed
        show(plan, voice)
        return plan, False
    full, name = False, console.short(plan.job.source)
    with voice.bar(max(plan.frames, 1)) as bar:

        def tick(progress: "Progress") -> None:
            bar.update(progress.done, f"{name} {_pace(progress)}")

        try:
            with ranks.together():
                resizer = choice.of(plan.job)
            done = upscale_video(resizer, plan, team=ranks, quality=quality, png_level=png_level, tick=tick)
        except UserError as error:
            done, full = failed(plan.job, error), isinstance(error, DiskFull)
    show(done, voice)
    return done, any(ranks.gathered(full))


def show(done: "VideoDone", voice: console.Voice) -> None:
    """Print a video's result, and on stderr what is to be known of it."""
    for line in done.notes:
        voice.note(f"{done.input}: {line}")
    stages = (done.decode, done.network, done.encode)
    size = f"  {done.width}x{done.height}" if done.width else ""
    line = f"{console.one_line(done.output)}{size}" + (f"  {counted(done.frames, 'frame')}" if done.frames else "")
    bottleneck = slowest(stages) if any(stages) else None
    voice.outcome(done, "" if done.status == "failed" else line, bottleneck=bottleneck)
    if voice.json or done.status != "done" or not done.frames:
        return
    computed = done.frames - done.kept
    at_work = busy(stages, done.seconds)
    parts = [f"{counted(computed, 'frame')} in {done.seconds:.1f} s ({at_work})"] if computed else []
    if done.kept:
        parts.append(f"{done.kept} kept from an earlier run")
    if done.repeated:
        parts.append(
            f"{done.repeated} equal to the frame before them and not computed: {done.repeated / done.frames:.0%} saved"
        )
    if done.spared:
        parts.append(f"{counted(done.spared, 'tile')} taken over from the frame before")
    voice.note(f"{done.input}: " + ", ".join(parts))


def busy(seconds: "Sequence[float]", elapsed: float) -> str:
    """Say for how much of the time each of the STAGES was at work; they overlap."""
    shares = (100 * at_work / max(elapsed, 1e-9) for at_work in seconds)
    return ", ".join(f"{name} {share:.0f} %" for name, share in zip(STAGES, shares, strict=True))


def slowest(seconds: "Sequence[float]") -> str:
    """Name the stage that was at work the longest, for which the others wait."""
    return max(zip(seconds, STAGES, strict=True))[1]


def _pace(progress: "Progress") -> str:
    return f"{progress.per_second:.2f} frames/s, {progress.realtime:.2f} x real time" if progress.per_second else ""

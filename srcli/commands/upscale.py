"""srcli upscale: pictures and folders of them through a network."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srcli import console
from srcli.commands import options, video
from srcli.commands.computing import Computing
from srcli.commands.forecast import Forecast
from srcli.commands.show import Show, show_results, way_to_show
from srcli.commands.weights import Weights
from srcli.commands.work import Tally, Writing, list_failures, show_plan, stills, sum_up, upscale_all, upscale_arrivals
from srcli.errors import INTERRUPTED, BadVideo, UsageError
from srcli.media.formats import SEGMENT
from srcli.media.sniff import CONTAINERS, is_video
from srcli.zoo import VIDEO

if TYPE_CHECKING:
    from srcli.engine.distributed import Team
    from srcli.engine.journal import Journal
    from srcli.engine.pipeline import Icc
    from srcli.engine.video_plan import VideoDone
    from srcli.media.jobs import Box, Exists, Fit, Job

FORMATS = ("keep", "png", "jpg", "webp", "tiff", "avif", "bmp", "ppm", "tga", "mp4", "mkv", "mov", "webm", "y4m", "rgb")
EXISTS: "tuple[Exists, ...]" = ("error", "skip", "overwrite", "rename")
ICC: "tuple[Icc, ...]" = ("keep", "convert-srgb")
FITS: "tuple[Fit, ...]" = ("contain", "cover")


def upscale(
    context: typer.Context,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT", help="Files, folders, globs, @list.txt, - for stdin.")
    ] = None,
    more: Annotated[list[str] | None, typer.Option("-i", "--input", metavar="INPUT", help="A further input.")] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="A picture's name, a folder (as with / behind it), or - for stdout; by default beside the input.",
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            "-n",
            metavar="NAME",
            help="auto (by a file's compression), rfdn, standard (quick), rfdn-photo, bicubic, a file.  [default: auto]",
        ),
    ] = None,
    scale: options.AnyScale = None,
    width: Annotated[int | None, typer.Option(min=1, help="Px of the result instead of a factor.")] = None,
    height: Annotated[int | None, typer.Option(min=1, help="Px; with --width as --fit says.")] = None,
    long_side: Annotated[int | None, typer.Option(min=1, help="Px of the longer side.")] = None,
    min_side: Annotated[
        int | None, typer.Option(min=1, help="Px that the shorter side has at least; what has them keeps its size.")
    ] = None,
    fit: Annotated[
        str | None, typer.Option(help="Width x height: contain (default) stays within it, cover fills it; never crops.")
    ] = None,
    tile: options.Tile = "auto",
    precision: options.Precision = "auto",
    device: options.Device = "auto",
    max_memory: options.MaxMemory = None,
    threads: options.Threads = None,
    compile: options.Compile = "auto",
    ensemble: options.Ensemble = False,
    separate_alpha: Annotated[
        bool, typer.Option("--separate-alpha", help="Textures: alpha is a channel of its own, colour under it stays.")
    ] = False,
    wrap: Annotated[bool, typer.Option("--wrap", help="Seamless textures: each edge continues at the other side.")] = False,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Include sub-folders.")] = False,
    format: Annotated[
        str, typer.Option(help="keep, png, jpg, webp, tiff, avif, bmp, ppm, tga; mp4, mkv, mov, webm; y4m, rgb.")
    ] = "keep",
    quality: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Quality of JPEG, WebP and AVIF.  [default: a JPEG's own, or 92, else 95; AVIF 90]",
        ),
    ] = None,
    png_level: Annotated[
        int | None, typer.Option(min=0, max=9, help="Compression of PNG: 0 none, 9 most; by default 1.")
    ] = None,
    icc: Annotated[
        str, typer.Option(help="keep the profile and the values, or convert-srgb (8 bits) and leave it out.")
    ] = "keep",
    suffix: Annotated[str | None, typer.Option(help="Text behind the name, instead of _x4.")] = None,
    name: Annotated[str | None, typer.Option(help="Pattern of {stem}, {model}, {scale}, {width}, {height} and {ext}.")] = None,
    exists: Annotated[
        str | None, typer.Option(help="Outputs that exist: error (default), skip (default with --watch), overwrite, rename.")
    ] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first picture that fails.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written and what it takes; write nothing.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Upscale what arrives in the one folder named, until Ctrl-C.")] = False,
    watch_idle: Annotated[
        float | None, typer.Option(min=0, help="As --watch, until nothing has arrived for this many seconds.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write what was done, and all it takes to do it again, to a .json file.")
    ] = None,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    show: Show = None,
    codec: video.Codec = None,
    crf: video.Crf = None,
    preset: video.Preset = None,
    pix_fmt: video.PixFmt = None,
    start: video.Start = None,
    end: video.End = None,
    frames: video.Frames = None,
    deinterlace: video.Deinterlace = False,
    resume: video.Resume = True,
    segment: video.Segment = SEGMENT,
    fps: video.Fps = None,
    raw: video.Raw = None,
) -> None:
    """Upscale pictures and videos.

    Examples: srcli upscale photo.jpg; srcli upscale holiday -o large -m mfdn; srcli upscale '*.png' --format webp;
    srcli upscale - -o - < in.png > out.png; srcli upscale @list.txt --name '{stem}_{model}_x{scale}{ext}'
    """
    sources = [*(inputs or []), *(more or [])]
    if not sources:
        raise UsageError("nothing to upscale: name a file or a folder")
    if models and len(models) > 1:
        raise UsageError("one picture goes through one network: srcli compare shows several beside each other")
    model = models[0] if models else None
    format = _format(format)
    watch = watch or watch_idle is not None
    exists = options.one_of("--exists", exists or ("skip" if watch else "error"), EXISTS)
    icc = options.one_of("--icc", icc, ICC)
    computing = Computing.read(
        tile=tile,
        max_memory=max_memory,
        precision=precision,
        compile=compile,
        ensemble=ensemble,
        separate_alpha=separate_alpha,
        wrap=wrap,
    )
    shown = way_to_show(show)
    size = _size(width, height, long_side, min_side, fit=fit, scale=scale)
    flags = video.Flags(codec, crf, preset, pix_fmt, start, end, frames, deinterlace, resume, segment, fps)
    target = Path(output) if output is not None else None
    within = output is not None and output.endswith(("/", os.sep))
    piped = output == "-"
    received = "-" in sources
    if piped and (json or dry_run):
        raise UsageError(f"{'--json' if json else '--dry-run'} and -o - both write to stdout: choose one")
    if watch:
        _refuse_watch(sources, target, piped=piped, dry_run=dry_run, show=show is not None, fps=fps)
    stream = _stream(sources, raw=raw, format=format, flags=flags, piped=piped)
    if not stream:
        sources, target = _through_pipes(context, sources, target, piped=piped)

    from srcli.media.jobs import Naming
    from srcli.media.planning import plan_jobs, refuse_unreadable

    if not report and not json:  # which would hold a record of it
        refuse_unreadable(sources)

    from srcli.engine.device import use_threads
    from srcli.engine.distributed import ENDLESS, rank_and_world, team
    from srcli.engine.journal import command, keeping, machine
    from srcli.engine.watch import arrivals
    from srcli.media.png import PNG_LEVEL

    if stream and rank_and_world()[1] > 1:
        raise UsageError("frames go to stdout from one process, not from torchrun: name a file with -o")
    if watch and rank_and_world()[1] > 1:
        raise UsageError("--watch is of one process, not of torchrun")
    if threads:
        use_threads(threads)
    jobs: list[Job] = []  # to do; of a watched folder and of a pipe none is known beforehand
    how_on = partial(_goes_on, jobs, started=time.time(), exists=exists, resume=resume)
    with (
        team(device, ENDLESS) as ranks,  # several under torchrun, which share pictures and videos
        _stoppable(ranks, None if dry_run or stream else how_on, keeps=stream is None),
        keeping(None if dry_run else report, ranks, console.error, output=target) as journal,
    ):
        with ranks.together():
            weights = Weights(model, scale, several=size is not None, offline=offline)
        if journal and ranks.leads:
            journal.head(**command(), machine=machine(ranks.device), models=weights.facts())
            journal.head(options=_given(context, model))
        level = PNG_LEVEL if png_level is None else png_level
        goal = size or scale or weights.scale
        voice = console.Voice(notes=ranks.leads and not quiet, results=not quiet, json=json)
        writing = Writing(quality, level, icc, fail_fast, voice, piped, journal, weights.advice)
        plan = partial(
            plan_jobs,
            output=target,
            within=within,
            scale=goal,
            recursive=recursive,
            format=format,
            suffix=suffix,
            name=Naming(name, Path(weights.named).stem) if name is not None else None,
            exists=exists,
            say=cache(voice.note),  # once: --watch plans at every arrival
            warn=console.note,
        )
        planned: list[Job] = []
        with ranks.together():  # one plan for all: a rank that came later would find the others' results
            if ranks.leads and not stream and not watch:
                planned = plan(sources)
                _refuse_jobs(planned, format, piped=piped, received=received)
        jobs += ranks.given(planned)
        if ranks.leads:
            _tell_idle(jobs, writing, format=format, png_level=png_level, flags=flags, stream=stream is not None)
        compiled = computing.compiles(stills(jobs), ranks.device)
        ready = partial(computing.ready, goal=goal, device=ranks.device, compiled=compiled)
        with ranks.together():
            choice = weights.choice(ready, voice.note)
        if stream:
            _finish_stream(
                video.upscale_stream(choice, stream, goal, flags=flags, hint=weights.hints.get(VIDEO, ""), voice=voice), journal
            )
            return
        swift = () if compiled else weights.swift(ready)
        timed = ranks.world == 1 and not compiled
        forecast = Forecast(choice, swift, weights.hints, timed)
        if dry_run:
            if ranks.leads:
                show_plan(jobs, flags, forecast=forecast, how=writing)
            return
        if watch:
            watched = partial(arrivals, Path(sources[0]), recursive=recursive, output=target, idle=watch_idle)
            tally = upscale_arrivals(choice, watched, plan=partial(plan, sources), flags=flags, ranks=ranks, how=writing)
        else:
            tally = upscale_all(choice, jobs, flags=flags, ranks=ranks, how=writing, forecast=forecast if voice.notes else None)
            if ranks.leads:
                list_failures(tally)
            if shown and ranks.leads and not piped:
                show_results(_made(jobs, tally), shown)
    sum_up(tally, choice, ranks=ranks, how=writing)


def _format(named: str) -> str:
    """Return the format that is meant by a name or suffix; raise UsageError."""
    name = named.lower().lstrip(".")
    return options.one_of("--format", {"jpeg": "jpg", "tif": "tiff"}.get(name, name), FORMATS)


def _size(
    width: int | None, height: int | None, long_side: int | None, min_side: int | None, *, fit: str | None, scale: float | None
) -> "Box | None":
    """Return the size in px that results get, None where a factor says it; raise UsageError where two things say it."""
    from srcli.media.jobs import Box

    sides = {"--width or --height": width or height, "--long-side": long_side, "--min-side": min_side}
    named = [flag for flag, value in {"--scale": scale, **sides}.items() if value]
    filling = options.one_of("--fit", fit or "contain", FITS)
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} exclude each other: say the size in one way")
    if fit and not (width and height):
        raise UsageError("--fit says how a picture fills --width and --height: give both")
    return Box(width, height, long_side, min_side, filling) if named and not scale else None


def _tell_idle(
    jobs: "list[Job]", how: Writing, *, format: str, png_level: int | None, flags: video.Flags, stream: bool
) -> None:
    """Say which flags change nothing, as no result is of the format or kind that they are of."""
    work = [job for job in jobs if not job.skip]
    written = {job.format for job in work}
    say = how.voice.note
    if written and written <= set(CONTAINERS.values()) and format not in ("keep", *CONTAINERS.values()):
        say(f"--format {format} changes nothing: a video stays one; its frames are written with -o 'NAME_%05d.{format}'")
    if how.quality is not None and written and not written & {"jpeg", "webp", "avif"}:
        say("--quality changes nothing: no result is JPEG, WebP or AVIF")
    if png_level is not None and written and "png" not in written:
        say("--png-level changes nothing: no result is PNG")
    if how.icc != "keep" and (stream or (work and all(job.video and is_video(job.source) for job in work))):
        say(f"--icc {how.icc} changes nothing: videos have no colour profile")
    if jobs and not any(job.video for job in jobs) and flags != video.Flags():
        say("there is no video: the flags for videos change nothing")


def _finish_stream(done: "VideoDone", journal: "Journal | None") -> None:
    """Note what became of frames that went to stdout; raise where some of them, or of the report, are missing."""
    if journal:
        journal.add(done)
    if done.error:
        raise BadVideo(done.error)
    if journal and journal.lost:
        raise typer.Exit(1)


def _made(jobs: "list[Job]", tally: Tally) -> list[tuple[Path, Path]]:
    """Return the pictures of this run, source and result, that came to be."""
    failed = {done.input for done in tally.failures}
    pairs = [(job.source, job.target) for job in jobs if not (job.skip or job.video or job.source in failed)]
    return [pair for pair in pairs if pair[1].is_file()]


def _given(context: typer.Context, model: str | None) -> dict[str, Any]:
    """Return the options and what they were set to, by hand or by default."""
    given = {name: value for name, value in context.params.items() if value is not None and name != "models"}
    return given | ({"model": model} if model else {})


def _goes_on(jobs: "list[Job]", *, started: float, exists: str, resume: bool) -> str:
    """Say how much of the work was done when it was stopped, where that is known, and how it goes on."""
    work = [job for job in jobs if not (job.skip or job.refused)]
    done = sum(job.target.is_file() and (job.fresh or job.target.stat().st_mtime >= started) for job in work)
    share = f"{done} of {len(work)} done; " if work else ""
    changes = " and".join([" with --exists skip"] * (exists != "skip") + [" without --no-resume"] * (not resume))
    return f"{share}what is done stays; the same command{changes} goes on from there"


@contextmanager
def _stoppable(ranks: "Team", advice: Callable[[], str] | None, *, keeps: bool) -> Iterator[None]:
    """End on Ctrl-C, and on SIGTERM, with what is done in place, and the advice how to go on; a second one changes nothing.

    Where nothing is to be put in place, it ends the process at once: reading a pipe that stalls cannot be stopped otherwise.
    """

    def stop(number: int, frame: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN if keeps else signal.SIG_DFL)
        raise KeyboardInterrupt

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each, handler in before.items():
        if each == signal.SIGTERM or handler is not signal.SIG_IGN:  # as it is behind nohup and `&`
            signal.signal(each, stop)
    try:
        yield
    except KeyboardInterrupt:
        if ranks.leads:
            console.note(f"interrupted: {advice()}" if advice else "interrupted")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler or signal.SIG_DFL)  # None: of what is not Python's


def _stream(sources: list[str], *, raw: str | None, format: str, flags: video.Flags, piped: bool) -> video.Stream | None:
    """Tell whether frames are to go to stdout, and refuse what is of those alone, or not for them."""
    stream = video.stream_of(sources, raw, format, flags.fps) if piped else None
    if raw and not stream:
        raise UsageError("--raw is of bare RGB from stdin to stdout: srcli upscale - -o - --raw 640x480")
    if format in ("y4m", "rgb") and not stream:
        raise UsageError(f"--format {format} is for -o -, and one video")
    if stream:
        from srcli.media import pipes

        video.refuse_of_files(stream, format, flags)
        pipes.refuse_terminal()
    return stream


def _through_pipes(
    context: typer.Context, sources: list[str], output: Path | None, *, piped: bool
) -> tuple[list[str], Path | None]:
    """Put files in the place of stdin and stdout, where they are named; the files vanish with the command."""
    if "-" not in sources and not piped:
        return sources, output
    from srcli.media import pipes

    scratch = Path(context.with_resource(TemporaryDirectory(prefix="srcli-")))
    for pipe in ("stdin", "stdout"):
        console.call(scratch / pipe, pipe)
    if piped:
        pipes.refuse_terminal()
        output = scratch / "stdout"
    if "-" in sources:
        if output is None:
            raise UsageError("a picture from stdin has no name: give -o FILE, or -o - for stdout")
        sources = [str(pipes.receive(scratch)) if source == "-" else source for source in dict.fromkeys(sources)]
    return sources, output


def _refuse_watch(sources: list[str], output: Path | None, *, piped: bool, dry_run: bool, show: bool, fps: str | None) -> None:
    if fps:
        raise UsageError("--fps is of numbered pictures and --raw, and --watch is of single files: choose one")
    if dry_run:
        raise UsageError("--watch goes on for ever and --dry-run does nothing: choose one")
    if show:
        raise UsageError("--watch goes on for ever and --show is for its end: choose one")
    if piped:
        raise UsageError("-o - takes one picture, --watch gives many: name a folder with -o")
    if len(sources) != 1:
        raise UsageError("--watch takes one folder")
    options.need_folder(Path(sources[0]))
    if output and output.resolve() == Path(sources[0]).resolve():
        raise UsageError(f"'{output}' is the folder that is watched: results in it would be pictures that came")


def _refuse_jobs(jobs: "list[Job]", format: str, *, piped: bool, received: bool) -> None:
    """Refuse what cannot go to stdout, be it `received` from stdin, and a container without a video."""
    films = any(job.video for job in jobs)
    if piped and films and received:
        raise UsageError("stdin is a video in a file's form: name the file, or pipe it in as YUV4MPEG2 (docs/video.md)")
    if piped and films:
        raise UsageError("-o - takes the frames of one video, named by itself; give a folder as output")
    if format in CONTAINERS.values() and jobs and not films:
        raise UsageError(f"--format {format} is of videos, and there is none")
    if piped and len(jobs) > 1:
        raise UsageError(f"-o - takes one picture, there are {len(jobs)}; give a folder as output")

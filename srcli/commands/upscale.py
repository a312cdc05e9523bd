"""srcli upscale: pictures and folders of them through a network."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srcli import console
from srcli.commands import video
from srcli.commands.options import (
    AnyScale,
    Compile,
    Device,
    Ensemble,
    Json,
    MaxMemory,
    Offline,
    Precision,
    Threads,
    Tile,
    one_of,
    parse_bytes,
    parse_tile,
)
from srcli.commands.show import Show, show_results, way_to_show
from srcli.errors import BadFolder, BadVideo, UsageError, UserError
from srcli.files import sweep

if TYPE_CHECKING:
    from srcli.engine.distributed import Team
    from srcli.engine.journal import Journal
    from srcli.engine.upscale import Resizer
    from srcli.engine.video import VideoDone, VideoPlan
    from srcli.media.jobs import Box, Job
    from srcli.models.base import SRModel

FORMATS = ("keep", "png", "jpg", "webp", "tiff", "avif", "bmp", "ppm", "mp4", "mkv", "mov", "webm", "y4m", "rgb")
MUCH = 0.6  # of the time is much less
COMPRESSED = 85  # quality of JPEG from which on `rfdn-photo` is ahead on every picture: benchmarks/compressed.py
DRAWN = "these weights know photographs alone; for text, drawings and pixel art: -m "
EXISTS = ("error", "skip", "overwrite", "rename")


def upscale(
    context: typer.Context,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT...", help="Files, folders, globs, @list.txt, - for stdin.")
    ] = None,
    more: Annotated[list[str] | None, typer.Option("-i", "--input", help="A further input.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A picture's name, a folder, or - for stdout; by default beside the input."),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            "-n",
            help="rfdn, standard (quick), rfdn-photo, mfdn, drn, bicubic, or a weights file.  [default: rfdn]",
        ),
    ] = None,
    scale: AnyScale = None,
    width: Annotated[int | None, typer.Option("--width", min=1, help="Px of the result instead of a factor.")] = None,
    height: Annotated[int | None, typer.Option("--height", min=1, help="Px; with --width as --fit says.")] = None,
    long_side: Annotated[int | None, typer.Option("--long-side", min=1, help="Px of the longer side.")] = None,
    min_side: Annotated[
        int | None,
        typer.Option("--min-side", min=1, help="Px that the shorter side has at least; what has them keeps its size."),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option("--fit", help="Width x height: contain (default) stays within it, cover fills it; never crops."),
    ] = None,
    tile: Tile = "auto",
    precision: Precision = "auto",
    device: Device = "auto",
    max_memory: MaxMemory = None,
    threads: Threads = None,
    compile: Compile = "auto",
    ensemble: Ensemble = False,
    wrap: Annotated[bool, typer.Option("--wrap", help="Seamless textures: each edge continues at the other side.")] = False,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Folders with their sub-folders.")] = False,
    format: Annotated[
        str, typer.Option("--format", help="keep, png, jpg, webp, tiff, avif, bmp, ppm; mp4, mkv, mov, webm; y4m, rgb.")
    ] = "keep",
    quality: Annotated[
        int | None,
        typer.Option("--quality", min=1, max=100, help="Of JPEG, WebP and AVIF.  [default: a JPEG's own, else 95; AVIF 90]"),
    ] = None,
    png_level: Annotated[
        int | None,
        typer.Option("--png-level", min=0, max=9, help="How hard PNG is packed: 0 not at all, 9 most; by default 1."),
    ] = None,
    icc: Annotated[
        str, typer.Option("--icc", help="keep the profile and the values, or convert-srgb (8 bits) and leave it out.")
    ] = "keep",
    suffix: Annotated[str | None, typer.Option("--suffix", help="Text behind the name, instead of _x4.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Pattern of {stem}, {model}, {scale}, {width}, {height} and {ext}.")
    ] = None,
    exists: Annotated[
        str | None,
        typer.Option("--exists", help="Outputs that are there: error (default), skip (with --watch), overwrite or rename."),
    ] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first picture that fails.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written and what it takes; write nothing.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with what comes into the one folder named, until Ctrl-C.")
    ] = False,
    watch_idle: Annotated[
        float | None, typer.Option("--watch-idle", min=0, help="--watch, until nothing came for so many seconds.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write what was done, and all it takes to do it again, to a .json file.")
    ] = None,
    offline: Offline = False,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no summary.")] = False,
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
    segment: video.Segment = 120,
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
    format = {"jpeg": "jpg", "tif": "tiff"}.get(format, format)
    one_of("--format", format, FORMATS)
    watch = watch or watch_idle is not None
    exists = one_of("--exists", exists or ("skip" if watch else "error"), EXISTS)
    one_of("--icc", icc, ("keep", "convert-srgb"))
    one_of("--precision", precision, ("auto", "fp32", "bf16", "fp16"))
    one_of("--fit", fit or "contain", ("contain", "cover"))
    one_of("--compile", compile, ("auto", "on", "off"))
    shown = way_to_show(show)
    _refuse_sizes(scale, width, height, long_side, min_side, fit)
    computing = _Computing(precision, parse_tile(tile), parse_bytes("--max-memory", max_memory), ensemble, compile, wrap)
    flags = video.Flags(codec, crf, preset, pix_fmt, start, end, frames, deinterlace, resume, segment, fps)
    piped = str(output) == "-"
    if piped and (json or dry_run):
        raise UsageError(f"{'--json' if json else '--dry-run'} and -o - both write to stdout: choose one")

    from srcli.media import pipes
    from srcli.media.jobs import refuse_unreadable

    stream = video.stream_of(sources, raw, format, fps) if piped else None
    if raw and not stream:
        raise UsageError("--raw is of bare RGB from stdin to stdout: srcli upscale - -o - --raw 640x480")
    if format in ("y4m", "rgb") and not stream:
        raise UsageError(f"--format {format} is for -o -, and one video")
    if watch:
        _refuse_watch(sources, output, dry_run=dry_run, show=show is not None, fps=fps)
    if stream:
        video.refuse_of_files(stream, format, flags)
        pipes.refuse_terminal()
    else:
        sources, output = _through_pipes(context, sources, output)
    if not report and not json:  # which would hold a record of it
        refuse_unreadable(sources)

    from srcli.engine.device import use_threads
    from srcli.engine.distributed import team
    from srcli.engine.journal import command, keeping, machine, model_facts
    from srcli.engine.upscale import open_networks
    from srcli.engine.watch import arrivals
    from srcli.media.jobs import Box, Job, Naming, plan_jobs
    from srcli.media.png import PNG_LEVEL
    from srcli.zoo import DEFAULT, for_compressed

    if threads:
        use_threads(threads)
    ranks = context.with_resource(team(device))  # several under torchrun, which share pictures and videos
    box = Box(width, height, long_side, min_side, fit or "contain") if width or height or long_side or min_side else None  # type: ignore[arg-type]
    with _stoppable(ranks, exists), keeping(None if dry_run else report, ranks, console.error) as journal:
        networks = open_networks(model or DEFAULT, scale, several=box is not None, offline=offline, say=console.note)
        if journal and ranks.leads:
            journal.head(**command(), machine=machine(ranks.device), models=model_facts(model or DEFAULT, networks))
            journal.head(options=_given(context, model))
        level = PNG_LEVEL if png_level is None else png_level
        scales = {network.scale for network in networks}
        advice, compressed = _advice(model or DEFAULT, scales), for_compressed(model or DEFAULT, scales)
        writing = _Writing(quality, level, icc, fail_fast, json, quiet, piped, journal, advice, compressed)
        goal = box or scale or networks[0].scale
        plan = partial(
            plan_jobs,
            output=output,
            scale=goal,
            recursive=recursive,
            format=format,
            suffix=suffix,
            name=Naming(name, Path(model or DEFAULT).stem) if name is not None else None,
            exists=exists,  # type: ignore[arg-type]
            say=(lambda line: None) if quiet else console.note,
        )
        planned: list[Job] = []
        with ranks.together():  # one plan for all: a rank that came later would find the others' results
            if ranks.leads and not stream and not watch:
                planned = plan(sources)
        jobs: list[Job] = ranks.given(planned)
        if piped and len(jobs) > 1:
            raise UsageError(f"-o - takes one picture, there are {len(jobs)}; give a folder as output")
        resizer = _resizer(networks, computing, goal, jobs, ranks, quiet=quiet)
        if stream:
            done = video.upscale_stream(resizer, stream, goal, flags, quiet=quiet)
            if journal and ranks.leads:
                journal.add(done)
            if done.error:
                raise BadVideo(done.error)
            if journal and journal.lost:
                raise typer.Exit(1)
            return
        swift = _swift(model or DEFAULT, computing, goal, resizer, ranks)
        if watch and ranks.world > 1:
            raise UsageError("--watch is of one process, not of torchrun")
        if watch:
            again: set[Path] = set()
            watched = arrivals(Path(sources[0]), recursive=recursive, output=output, again=again, idle=watch_idle)
            tally = _upscale_arrivals(resizer, watched, again, partial(plan, sources), flags, ranks, writing)
        elif dry_run:
            if ranks.leads:
                _rehearse(resizer, jobs, flags, swift, json=json, quiet=quiet)
            return
        else:
            tally = _upscale_all(resizer, jobs, flags, ranks, writing, swift)
            if not any(job.video for job in jobs) and flags != video.Flags() and ranks.leads and not quiet:
                console.note("there is no video: the flags for videos change nothing")
            _list_failures(tally)
            if shown and ranks.leads and not piped:
                failed = {done.input for done in tally.failures}
                pairs = [(j.source, j.target) for j in jobs if not (j.skip or j.video or j.source in failed)]
                show_results([pair for pair in pairs if pair[1].is_file()], shown)
    _close(tally, resizer, ranks, writing)


def _given(context: typer.Context, model: str | None) -> dict[str, Any]:
    """Return the options and what they were set to, by hand or by default."""
    options = {name: value for name, value in context.params.items() if value is not None and name != "models"}
    return options | ({"model": model} if model else {})


@contextmanager
def _stoppable(ranks: "Team", exists: str) -> Iterator[None]:
    """End on Ctrl-C, and on SIGTERM, with what is done in place, and say how to go on; a second one changes nothing."""

    def stop(number: int, frame: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each, handler in before.items():
        if each == signal.SIGTERM or handler is not signal.SIG_IGN:  # as it is behind nohup and `&`
            signal.signal(each, stop)
    try:
        yield
    except KeyboardInterrupt:
        if ranks.leads:
            how = "" if exists == "skip" else " with --exists skip"
            console.note(f"interrupted: what is done stays; the same command{how} goes on from there")
        raise typer.Exit(130) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler or signal.SIG_DFL)  # None: of what is not Python's


@dataclass(frozen=True, slots=True)
class _Computing:
    """How the networks compute."""

    precision: str
    tile: int | None
    memory: int | None
    ensemble: bool
    compile: str
    wrap: bool


def _advice(model: str, scales: set[int]) -> str:
    """Say which weights to take for drawings, where `model` does not know them at `scales`."""
    from srcli.zoo import DEFAULT, knows_photographs_alone

    if not knows_photographs_alone(model, scales):
        return ""
    return DRAWN + (f"{DEFAULT}-photo" if knows_photographs_alone(DEFAULT, scales) else DEFAULT)


@dataclass(frozen=True, slots=True)
class _Writing:
    """How results are written and told."""

    quality: int | None
    png_level: int
    icc: str
    fail_fast: bool
    json: bool
    quiet: bool
    piped: bool
    journal: "Journal | None"
    advice: str  # of what is drawn and went wrong
    compressed: str | None  # the weights for compressed pictures, where they are others


@dataclass
class _Tally:
    """What became of the files so far, by this rank or, for the one that leads, by all."""

    planned: int = 0
    tried: int = 0  # of them, those that were not to be skipped
    late: int = 0  # of those tried, skipped in the end: another run was quicker
    finished: int = 0
    exact: int = 0  # computed in float32
    jpegs: list[int] = field(default_factory=list)  # the qualities of those that were compressed so much that it shows
    films: int = 0  # videos, whose time is told by each
    failures: list[Any] = field(default_factory=list)
    busy: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # seconds of reading, computing, writing
    elapsed: float = 0.0
    stopped: bool = False  # by --fail-fast; the same on every rank

    def __iadd__(self, other: "_Tally") -> "_Tally":
        for name in ("planned", "tried", "late", "finished", "exact", "jpegs", "films", "failures", "elapsed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.busy = [a + b for a, b in zip(self.busy, other.busy, strict=True)]
        return self


def _through_pipes(context: typer.Context, sources: list[str], output: Path | None) -> tuple[list[str], Path | None]:
    """Put files in the place of stdin and stdout, where they are named; the files vanish with the command."""
    piped = str(output) == "-"
    if "-" not in sources and not piped:
        return sources, output
    from srcli.media import pipes

    scratch = Path(context.with_resource(TemporaryDirectory(prefix="srcli-")))
    if piped:
        pipes.refuse_terminal()
        output = scratch / "stdout"
    if "-" in sources:
        if output is None:
            raise UsageError("a picture from stdin has no name: give -o FILE, or -o - for stdout")
        sources = [str(pipes.receive(scratch)) if source == "-" else source for source in dict.fromkeys(sources)]
    return sources, output


def _resizer(
    networks: "list[SRModel]", how: _Computing, goal: "float | Box", jobs: "list[Job]", ranks: "Team", *, quiet: bool
) -> "Resizer":
    """Make the networks ready on the rank's device; say what is not as asked."""
    from srcli.engine.memory import held_bytes
    from srcli.engine.pipeline import repays_compiling
    from srcli.engine.upscale import Resizer, Upscaler, passes

    stills = [job for job in jobs if not job.skip and not job.video]
    compiled = how.compile == "on" or (how.compile == "auto" and repays_compiling(stills, ranks.device))
    upscalers = {
        network.scale: Upscaler(
            network,
            device=ranks.device,
            precision=how.precision,  # type: ignore[arg-type]
            tile=how.tile,
            memory=how.memory,
            ensemble=how.ensemble,
            compile=compiled,
        )
        for network in networks
    }
    for reason in {u.runner.not_compiled for u in upscalers.values() if u.runner.not_compiled}:
        console.note(f"not compiled: {reason}")
    if isinstance(goal, float) and math.prod(chain := passes(goal, upscalers)) != goal and ranks.leads and not quiet:
        console.note(f"x{goal:g}: x{', then x'.join(map(str, chain))} by the network, then resampled")
    if how.memory and ranks.leads and not quiet and ranks.device.type == "cpu" and how.memory < held_bytes():
        console.note(
            f"--max-memory is less than the {_mib(held_bytes())} that the program takes itself: the smallest tiles are taken"
        )
    return Resizer(upscalers, edge="wrap" if how.wrap else "mirror")


@dataclass(frozen=True, slots=True)
class _Swift:
    """Weights that ship for speed, in the place of those that were chosen."""

    name: str
    resizer: "Callable[[], Resizer]"


def _swift(model: str, computing: _Computing, goal: "float | Box", resizer: "Resizer", ranks: "Team") -> _Swift | None:
    from srcli.zoo import open_model, quicker

    if ranks.world > 1 or not (name := quicker(model, set(resizer.upscalers))):
        return None

    def make() -> "Resizer":
        return _resizer([open_model(name, scale)[0] for scale in resizer.upscalers], computing, goal, [], ranks, quiet=True)

    return _Swift(name, make)


def _rehearse(
    resizer: "Resizer", jobs: "list[Job]", flags: video.Flags, swift: _Swift | None, *, json: bool, quiet: bool
) -> None:
    """Say what would be written, and what it takes."""
    for job in jobs:
        if not job.video:
            _show(_planned(job), json)
    work = [job for job in jobs if not job.skip and not job.video]
    work += video.show_plans(_film_plans(jobs, flags), json=json, quiet=quiet)
    _forecast(work, resizer, swift, quiet=quiet)


def _film_plans(jobs: "list[Job]", flags: video.Flags) -> "list[VideoPlan | VideoDone]":
    films = [job for job in jobs if not job.skip and job.video]
    return video.plan(films, flags) if films else []


def _upscale_all(
    resizer: "Resizer", jobs: "list[Job]", flags: video.Flags, ranks: "Team", how: _Writing, swift: _Swift | None = None
) -> _Tally:
    """Upscale the pictures, then the videos; where that will take long, say so first."""
    from srcli.engine.forecast import is_long

    if ranks.leads:
        sweep({job.target.parent for job in jobs})
    plans = _film_plans(jobs, flags)
    work = [job for job in jobs if not job.skip and not job.video] + video.tracks(plans)
    if ranks.world == 1 and not how.quiet and is_long(work):
        console.note(_expected(resizer, swift, work))
    tally = _upscale_stills(resizer, jobs, ranks, how)
    tally.planned, tally.tried = len(jobs), sum(not job.skip for job in jobs) - tally.late
    tally.finished -= tally.late
    if not tally.stopped:
        _upscale_films(resizer, plans, ranks, how, tally)
    return tally


def _upscale_arrivals(
    resizer: "Resizer",
    watched: "Iterator[list[Path]]",
    again: set[Path],
    plan: "Callable[..., list[Job]]",
    flags: video.Flags,
    ranks: "Team",
    how: _Writing,
) -> _Tally:
    """Upscale what comes, in the groups that it comes in; a failure is told at once, and tried `again` when it changes."""
    from srcli.engine.watch import plan_arrivals

    total, made = _Tally(), dict[Path, Path]()
    if not how.quiet:
        console.note("watching: Ctrl-C ends")
    for paths in watched:
        jobs, refused = plan_arrivals(paths, plan, made)
        made |= {job.target: job.source for job in jobs}
        tally = _upscale_all(resizer, jobs, flags, ranks, how)
        for done in refused:
            _show(done, how.json)
            if how.journal:
                how.journal.add(done)
        tally += _Tally(len(refused), len(refused), len(refused), failures=list(refused))
        _list_failures(tally)
        again -= set(paths)
        again |= {done.input for done in tally.failures}
        total += tally
        if how.fail_fast and total.failures:
            break
    return total


def _upscale_stills(resizer: "Resizer", jobs: "list[Job]", ranks: "Team", how: _Writing) -> _Tally:
    """Upscale this rank's share of the pictures, with a bar; return what became of all."""
    from srcli.engine.pipeline import Done, upscale_files
    from srcli.engine.share import share_of
    from srcli.media import pipes

    work = share_of([job for job in jobs if not job.skip and not job.video], ranks.rank, ranks.world)
    tally, quiet = _Tally(), how.quiet or not ranks.leads  # every rank names its results, one talks
    started = time.monotonic()
    for job in jobs:
        if job.skip and ranks.leads:
            skipped = Done(job.source, job.target, "skipped", notes=job.notes)
            _show(skipped, how.json, quiet=True)
            if how.journal:
                how.journal.add(skipped)
    with console.bar(len(work), quiet=quiet or how.json) as bar:

        def tick(job: "Job", fraction: float) -> None:
            bar.update(tally.finished + fraction, console.short(job.source))

        for done in upscale_files(
            resizer,
            work,
            quality=how.quality,
            png_level=how.png_level,
            icc=how.icc,  # type: ignore[arg-type]
            fail_fast=how.fail_fast,
            journal=how.journal,
            advice=how.advice,
            tick=tick,
        ):
            tally.finished += 1
            tally.busy = [a + b for a, b in zip(tally.busy, (done.decode, done.seconds, done.encode), strict=True)]
            bar.update(tally.finished, console.short(done.input))
            tally.exact += done.precision == "fp32"
            tally.jpegs += [done.jpeg] if done.jpeg and done.jpeg <= COMPRESSED and not done.error else []
            tally.late += done.status == "skipped"
            if done.error:
                tally.failures.append(done)
            if not quiet:
                for line in done.notes:
                    bar.message(f"{done.input}: {line}")
            if how.piped and not done.error:
                pipes.send(done.output)
            else:
                _show(done, how.json, quiet=how.quiet or done.status == "skipped")
    tally.elapsed = time.monotonic() - started
    told = ranks.gathered((tally.finished, tally.exact, tally.late, tally.failures, tally.jpegs))  # the ranks' shares
    tally.finished, tally.exact, tally.late = (sum(share[i] for share in told) for i in (0, 1, 2))
    tally.stopped = how.fail_fast and any(share[3] for share in told)
    tally.failures = [failed for share in told for failed in share[3]] if ranks.leads else []
    tally.jpegs = [jpeg for share in told for jpeg in share[4]]
    return tally


def _upscale_films(
    resizer: "Resizer", plans: "list[VideoPlan | VideoDone]", ranks: "Team", how: _Writing, tally: _Tally
) -> None:
    """Upscale the videos, each divided between the ranks, and count them too."""
    json, quiet = how.json and ranks.leads, how.quiet or not ranks.leads
    for plan in plans:
        done = video.upscale_one(resizer, plan, ranks, quality=how.quality, png_level=how.png_level, json=json, quiet=quiet)
        tally.finished += 1
        tally.films += 1
        tally.failures += [done] if done.error else []
        if how.journal and ranks.leads:
            how.journal.add(done)
        if done.error and how.fail_fast:
            return


def _list_failures(tally: _Tally) -> None:
    for failed in tally.failures:
        reason = failed.error or ""
        console.error(reason if str(failed.input) in reason else f"{failed.input}: {reason}")


def _close(tally: _Tally, resizer: "Resizer", ranks: "Team", how: _Writing) -> None:
    """Sum up, and exit 1 where something failed."""
    if ranks.leads and not how.quiet and not how.json:
        _summarize(tally.planned, tally.tried, tally.finished, len(tally.failures))
        if tally.busy[1] and ranks.world == 1:
            pictures = "pictures: " if tally.films else ""
            console.note(pictures + _bottleneck(tally.busy, tally.elapsed))
        fast = next(iter(resizer.upscalers.values())).precision
        if tally.exact and fast != "fp32":
            console.note(f"{tally.exact} of them computed in float32: a probe in {fast} was too far from it")
        if tally.jpegs and how.compressed:
            console.note(f"{_jpegs(tally)}; -m {how.compressed} takes blocks and ringing away")
    if tally.failures or (how.journal and how.journal.lost):
        raise typer.Exit(1)


def _jpegs(tally: _Tally) -> str:
    """Say how many were compressed so much that it shows, and how much."""
    low, high = min(tally.jpegs), max(tally.jpegs)
    quality = f"{low}" if low == high else f"{low} to {high}"
    return f"{len(tally.jpegs)} of {tally.finished} came from JPEG of quality {quality} or so"


def _refuse_watch(sources: list[str], output: Path | None, *, dry_run: bool, show: bool, fps: str | None) -> None:
    if fps:
        raise UsageError("--fps is of numbered pictures and --raw, and --watch is of single files: choose one")
    if dry_run:
        raise UsageError("--watch goes on for ever and --dry-run does nothing: choose one")
    if show:
        raise UsageError("--watch goes on for ever and --show is for its end: choose one")
    if str(output) == "-":
        raise UsageError("-o - takes one picture, --watch gives many: name a folder with -o")
    if len(sources) != 1 or not Path(sources[0]).is_dir():
        raise UsageError("--watch takes one folder")
    if output and output.resolve() == Path(sources[0]).resolve():
        raise UsageError(f"'{output}' is the folder that is watched: results in it would be pictures that came")


def _refuse_sizes(
    scale: float | None, width: int | None, height: int | None, long_side: int | None, min_side: int | None, fit: str | None
) -> None:
    """Refuse sizes that say two things; width with height is one."""
    given = {"--scale": scale, "--width or --height": width or height, "--long-side": long_side, "--min-side": min_side}
    named = [flag for flag, value in given.items() if value]
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} exclude each other: say the size in one way")
    if fit and not (width and height):
        raise UsageError("--fit says how a picture fills --width and --height: give both")


def _show(done: Any, json: bool, *, quiet: bool = False) -> None:
    if json:
        console.record(
            done, bottleneck=video.slowest([done.decode, done.seconds, done.encode]) if done.status == "done" else None
        )
    elif not quiet and not done.error:
        size = f"  {done.width}x{done.height}" if done.width else ""
        console.result(f"{console.one_line(done.output)}{size}")


def _planned(job: Any) -> Any:
    from srcli.engine.pipeline import Done

    height, width = job.size or (None, None)
    return Done(job.source, job.target, "skipped" if job.skip else "planned", width, height, notes=job.notes)


def _expected(resizer: "Resizer", swift: _Swift | None, jobs: "list[Job]") -> str:
    """Say how long the work takes, and how long with the weights that ship for speed where that is much less."""
    from srcli.engine.forecast import expected_seconds, is_long

    seconds = expected_seconds(resizer, jobs)
    quicker = ""
    if swift and is_long(jobs) and (less := expected_seconds(swift.resizer(), jobs)) < MUCH * seconds:
        quicker = f" ({timedelta(seconds=round(less))} with -m {swift.name})"
    return f"about {timedelta(seconds=round(seconds))} in the network{quicker}, by one timed tile"


def _forecast(jobs: "list[Job]", resizer: "Resizer", swift: _Swift | None, *, quiet: bool) -> None:
    """Say what the jobs take; raise UserError where a disk or the memory cannot hold them."""
    from srcli.engine.forecast import expected_memory
    from srcli.media.jobs import disks, pixels_of

    places, memories = disks(jobs), expected_memory(resizer, jobs)
    if not quiet:
        console.note(f"{len(jobs)} to upscale, {sum(map(pixels_of, jobs)):,} px in all")
        console.note(_expected(resizer, swift, jobs))
        for folder, needed, free in places:
            console.note(f"about {_mib(needed)} needed, {_mib(free)} free in '{folder}' (a cautious estimate)")
        for place, needed, free in memories:
            console.note(f"at least {_mib(needed)} of {place} needed, {_mib(free)} free (a cautious estimate)")
    for folder, needed, free in places:
        if needed > free:
            raise BadFolder(f"'{folder}' has {_mib(free)} free, but the results take about {_mib(needed)}")
    for place, needed, free in memories:
        if needed > free:
            raise UserError(f"{_mib(free)} of {place} are free, but the work takes about {_mib(needed)}")


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _bottleneck(busy: list[float], elapsed: float) -> str:
    """Say how long each stage was at work, and so what the others waited for."""
    return f"{elapsed:.1f} s, busy {video.busy(busy, elapsed)}: the rest waits for {video.slowest(busy)}"


def _summarize(planned: int, tried: int, finished: int, failed: int) -> None:
    parts = [f"{finished - failed} upscaled"]
    if planned > tried:
        parts.append(f"{planned - tried} skipped")
    if failed:
        parts.append(f"{failed} failed")
    if finished < tried:
        parts.append(f"{tried - finished} not tried")
    console.note(", ".join(parts))

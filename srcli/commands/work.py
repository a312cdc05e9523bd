"""What srcli upscale does and tells: pictures, then videos, or files as they come, with bars and a summary."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from srcli import console
from srcli.commands import video
from srcli.commands.forecast import Forecast, warn_of_disks
from srcli.errors import UserError
from srcli.files import sweep

if TYPE_CHECKING:
    from srcli.engine.distributed import Team
    from srcli.engine.journal import Journal
    from srcli.engine.pipeline import Done, Icc
    from srcli.engine.suit import Choice
    from srcli.engine.video_plan import VideoDone, VideoPlan
    from srcli.media.jobs import Job


@dataclass(frozen=True, slots=True)
class Writing:
    """How results are written and told."""

    quality: int | None
    png_level: int
    icc: "Icc"
    fail_fast: bool
    voice: console.Voice  # of this rank: one talks, and every rank names its results
    piped: bool
    journal: "Journal | None"
    advice: str  # of what is drawn and went wrong


@dataclass(kw_only=True)
class Tally:
    """What became of the files so far, by this rank or, for the one that leads, by all."""

    planned: int = 0
    tried: int = 0  # of them, those that were not skipped
    finished: int = 0
    late: int = 0  # of them, skipped in the end: another run was quicker
    exact: int = 0  # computed in float32
    films: int = 0  # videos, whose time is told by each
    failures: "list[Done | VideoDone]" = field(default_factory=list)
    busy: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # seconds of reading, computing, writing
    elapsed: float = 0.0
    stopped: bool = False  # by --fail-fast or a full disk; in the end the same on every rank

    def count(self, done: "Done") -> None:
        """Add a picture that is finished."""
        self.finished += 1
        self.late += done.status == "skipped"
        self.exact += done.precision == "fp32"
        self.failures += [done] if done.error else []
        self.busy = [a + b for a, b in zip(self.busy, (done.decode, done.seconds, done.encode), strict=True)]

    def __iadd__(self, other: "Tally") -> "Tally":
        for name in ("planned", "tried", "finished", "exact", "films", "failures", "elapsed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.busy = [a + b for a, b in zip(self.busy, other.busy, strict=True)]
        return self


def show_plan(jobs: "list[Job]", flags: video.Flags, *, forecast: Forecast, how: Writing) -> None:
    """Say what would be written, and what it takes; exit 1 where some of it cannot be."""
    pictures = [job for job in jobs if not job.video]
    shown = [_planned(job) for job in pictures]
    for done in shown:
        _tell(done, how.voice)
    plans = _film_plans(jobs, flags, how)
    left, lost = video.show_plans(forecast.choice, plans, how.voice, quality=how.quality)
    failures: list[Done | VideoDone] = [*(done for done in shown if done.error), *lost]
    list_failures(Tally(failures=failures))
    tracks = video.tracks(plans)
    if len(tracks) > len(video.tracks(plans, anew=True)):  # what is begun goes on with its own weights
        forecast = replace(forecast, swift=())
    sound = [job for job, done in zip(pictures, shown, strict=True) if done.status == "planned"]
    forecast.weigh([*sound, *tracks], [*sound, *left], how.voice)
    if failures:
        raise typer.Exit(1)


def upscale_all(
    choice: "Choice",
    jobs: "list[Job]",
    *,
    flags: video.Flags,
    ranks: "Team",
    how: Writing,
    forecast: Forecast | None = None,
    watching: bool = False,
) -> Tally:
    """Upscale the pictures, then the videos; with a `forecast` long work begins with its time.

    Flags that do not fit a video, or what an earlier run left of it, raise UsageError before any work; `watching`, they are
    a failure of that video.
    """
    if ranks.leads:
        sweep({job.target.parent for job in jobs})
    with ranks.together():
        plans = _film_plans(jobs, flags, how, refuse=not watching)
    plans = video.agreed(plans, ranks)
    if not watching:
        with ranks.together():
            if ranks.leads:
                video.refuse_others(choice, plans, how.quality)
                warn_of_disks([*stills(jobs), *video.tracks(plans, anew=True)], how.voice)
    if forecast:
        forecast.announce([*stills(jobs), *video.tracks(plans, anew=True)])
    tally = _upscale_stills(choice, jobs, ranks=ranks, how=how, watching=watching)
    if not tally.stopped:
        _upscale_films(choice, plans, ranks=ranks, how=how, tally=tally, watching=watching)
    return tally


def upscale_arrivals(
    choice: "Choice",
    watched: "Callable[..., Iterator[list[Path]]]",
    *,
    plan: "Callable[..., list[Job]]",
    flags: video.Flags,
    ranks: "Team",
    how: Writing,
) -> Tally:
    """Upscale what comes, in the groups that it comes in; a failure is told at once, and tried `again` when it changes.

    `watched` is `arrivals` of a folder, but for `again`; `plan` plans its pictures, or those `only` that are named.
    """
    from srcli.engine.watch import plan_arrivals

    total, made = Tally(), dict[Path, Path]()
    again, flawed = set[Path](), set[Path]()

    def plan_again(only: set[Path]) -> "list[Job]":
        """Plan what made a result of what broke off so that it is made anew."""
        rest, anew = only - flawed, only & flawed
        return [*(plan(only=rest) if rest else []), *(plan(only=anew, exists="overwrite") if anew else [])]

    how.voice.note("watching: Ctrl-C ends")
    for paths in watched(again=again):
        jobs, refused = plan_arrivals(paths, plan_again, made)
        made |= {job.target: job.source for job in jobs if not job.refused}
        tally = upscale_all(choice, jobs, flags=flags, ranks=ranks, how=how, watching=True)
        for done in refused:
            _tell(done, how.voice)
            if how.journal:
                how.journal.add(done)
        tally += Tally(planned=len(refused), tried=len(refused), finished=len(refused), failures=list(refused))
        list_failures(tally)
        again -= set(paths)
        again |= {done.input for done in tally.failures}
        flawed = flawed - set(paths) | {done.input for done in tally.failures if done.status == "done"}
        total += tally
        if how.fail_fast and total.failures:
            break
    return total


def _upscale_stills(choice: "Choice", jobs: "list[Job]", *, ranks: "Team", how: Writing, watching: bool) -> Tally:
    """Upscale this rank's share of the pictures, with a bar; return what became of all, and how many files are tried.

    `watching`, a full disk stops none: they come only once.
    """
    from srcli.engine.pipeline import upscale_files
    from srcli.engine.share import share_of
    from srcli.media import pipes

    work = share_of(stills(jobs), ranks.rank, ranks.world)
    tally = Tally(planned=len(jobs))
    started = time.monotonic()
    if ranks.leads:
        _note_skipped(jobs, how)
    with how.voice.bar(len(work)) as bar:

        def tick(job: "Job", fraction: float) -> None:
            bar.update(tally.finished + fraction, console.short(job.source))

        for done in upscale_files(
            choice,
            work,
            quality=how.quality,
            png_level=how.png_level,
            icc=how.icc,
            fail_fast=how.fail_fast,
            until_full=not watching,
            journal=how.journal,
            advice=how.advice,
            tick=tick,
        ):
            tally.count(done)
            bar.update(tally.finished, console.short(done.input))
            for line in done.notes:
                how.voice.note(f"{done.input}: {line}")
            if how.piped and not done.error:
                pipes.send(done.output)
            elif done.status == "skipped":
                how.voice.outcome(done, "", bottleneck=None)  # in words, their number is told in the end
            else:
                _tell(done, how.voice)
    tally.elapsed = time.monotonic() - started
    tally.stopped = tally.finished < len(work) or bool(how.fail_fast and tally.failures)
    told: list[Tally] = ranks.gathered(tally)  # the ranks' shares, one summary
    tally.late, tally.exact = sum(share.late for share in told), sum(share.exact for share in told)
    tally.finished = sum(share.finished for share in told) - tally.late
    tally.tried = sum(not job.skip for job in jobs) - tally.late
    tally.stopped = any(share.stopped for share in told)
    if tally.stopped and ranks.leads and not how.fail_fast:
        console.error("no room on the disk: no other picture was tried; with --exists skip the same command goes on")
    tally.failures = [failed for share in told for failed in share.failures] if ranks.leads else []
    return tally


def _note_skipped(jobs: "list[Job]", how: Writing) -> None:
    """Put down what there was before."""
    from srcli.engine.pipeline import Done

    for job in jobs:
        if job.skip:
            skipped = Done(job.source, job.target, "skipped", notes=job.notes)
            how.voice.outcome(skipped, "", bottleneck=None)
            if how.journal:
                how.journal.add(skipped)


def _upscale_films(
    choice: "Choice", plans: "list[VideoPlan | VideoDone]", *, ranks: "Team", how: Writing, tally: Tally, watching: bool
) -> None:
    """Upscale the videos, each divided between the ranks, and count them too; on a full disk no other is tried.

    `watching`, those behind are tried all the same: they come only once.
    """
    voice = how.voice if ranks.leads else console.SILENT
    for plan in plans:
        done, full = video.upscale_one(choice, plan, ranks=ranks, voice=voice, quality=how.quality, png_level=how.png_level)
        tally.finished += 1
        tally.films += 1
        tally.failures += [done] if done.error else []
        if how.journal and ranks.leads:
            how.journal.add(done)
        if (done.error and how.fail_fast) or (full and not watching):
            return


def list_failures(tally: Tally) -> None:
    for failed in tally.failures:
        reason = failed.error or ""
        console.error(reason if str(failed.input) in reason else f"{failed.input}: {reason}")


def sum_up(tally: Tally, choice: "Choice", *, ranks: "Team", how: Writing) -> None:
    """Sum up, and exit 1 where something failed."""
    if how.voice.notes and not how.voice.json:
        console.note(_counted(tally))
        if tally.busy[1] and ranks.world == 1:
            pictures = "pictures: " if tally.films else ""
            busy, slowest = video.busy(tally.busy, tally.elapsed), video.slowest(tally.busy)
            console.note(f"{pictures}{tally.elapsed:.1f} s, busy {busy}: the rest waits for {slowest}")
        fast = next(iter(choice.plain.upscalers.values())).precision
        if tally.exact and fast != "fp32":
            console.note(f"{tally.exact} of them computed in float32: a probe in {fast} was too far from it")
    if tally.failures or (how.journal and how.journal.lost):
        raise typer.Exit(1)


def _counted(tally: Tally) -> str:
    """Say what became of how many files."""
    failed = len(tally.failures)
    others = {"skipped": tally.planned - tally.tried, "failed": failed, "not tried": tally.tried - tally.finished}
    return ", ".join([f"{tally.finished - failed} upscaled", *(f"{n} {what}" for what, n in others.items() if n > 0)])


def stills(jobs: "list[Job]") -> "list[Job]":
    """Return the jobs to do that are no videos."""
    return [job for job in jobs if not job.skip and not job.video]


def _film_plans(jobs: "list[Job]", flags: video.Flags, how: Writing, *, refuse: bool = True) -> "list[VideoPlan | VideoDone]":
    films = [job for job in jobs if not job.skip and job.video]
    return video.plan(films, flags, srgb=how.icc == "convert-srgb", refuse=refuse) if films else []


def _planned(job: "Job") -> "Done":
    from srcli.engine.pipeline import Done
    from srcli.media.probe import probe

    height, width = job.size or (None, None)
    done = Done(job.source, job.target, "skipped" if job.skip else "planned", width, height, notes=job.notes)
    if job.refused:
        return replace(done, status="failed", error=job.refused)
    if job.probe is None and not job.skip:
        try:
            probe(job.source)
        except UserError as error:
            return replace(done, status="failed", error=str(error))
    return done


def _tell(done: "Done", voice: console.Voice) -> None:
    """Print what became of a picture."""
    size = f"  {done.width}x{done.height}" if done.width else ""
    line = "" if done.error else f"{console.one_line(done.output)}{size}"
    bottleneck = video.slowest([done.decode, done.seconds, done.encode]) if done.status == "done" else None
    voice.outcome(done, line, bottleneck=bottleneck)

"""What the work of srcli upscale will take, beforehand: for dry runs, and where it takes long."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from srcli import console
from srcli.errors import BadFolder, UserError

if TYPE_CHECKING:
    from srcli.engine.suit import Choice, Compression
    from srcli.media.jobs import Job

LONG = 60.0  # seconds
MUCH = 0.6  # of the time is much less


@dataclass(frozen=True, slots=True)
class Swift:
    """Weights that ship for speed, in the place of those that were asked for."""

    flags: str  # that take them
    choice: "Callable[[], Choice]"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What work takes: how long the networks, and those for speed where that is much less; memory and disk."""

    choice: "Choice"
    swift: Sequence[Swift]
    hints: Mapping[str, str]  # what to say of files whose compression tells that weights of a kind, PHOTO or VIDEO, suit them
    timed: bool  # whether a tile is timed before work that may be long

    def warn(self, jobs: "list[Job]") -> None:
        """Say which weights suit, or are taken, where pictures or videos were compressed."""
        from srcli.engine.forecast import enlarged
        from srcli.engine.suit import compression
        from srcli.media.picture import COMPRESSED, LOSSY

        limits = LOSSY if self.choice.kinds else COMPRESSED
        found = {job.source: its for job in enlarged(self.choice, jobs) if (its := compression(job, self.hints, limits))}
        for kind, hint in self.hints.items():
            if of_kind := [its for its in found.values() if its.kind == kind]:
                console.note(f"{_shares(of_kind, len({job.source for job in jobs}))}: {hint}")

    def announce(self, jobs: "list[Job]") -> None:
        """Say which weights suit compressed pictures and videos, and how long the work takes, where that is long."""
        from srcli.engine.forecast import expected_seconds, worth_timing

        self.warn(jobs)
        if self.timed and worth_timing(self.choice, jobs) and (seconds := expected_seconds(self.choice, jobs)) >= LONG:
            console.note(self.told(seconds, jobs))

    def told(self, seconds: float, jobs: "list[Job]") -> str:
        """Put the estimate into words."""
        quicker = ""
        for swift in self.swift if seconds >= LONG else ():
            if (less := self._less(swift, jobs)) < MUCH * seconds:
                quicker = f" ({timedelta(seconds=round(less))} with {swift.flags})"
                break
        time = f"about {timedelta(seconds=round(seconds))}" if seconds >= 1 else "less than a second"
        return f"{time} in the network{quicker}, by one timed tile"

    def weigh(self, jobs: "list[Job]", left: "list[Job]", voice: console.Voice) -> None:
        """Say what the jobs take, of whose frames those `left` are to be made.

        Raises UserError where a disk or the memory cannot hold them.
        """
        from srcli.engine.forecast import expected_memory, expected_seconds
        from srcli.media.footprint import disks

        places, memories = disks(jobs), expected_memory(self.choice, jobs)
        if voice.notes:  # a tile is timed for them
            self.warn(jobs)
            console.note(f"{len(jobs)} to upscale, {sum(job.pixels for job in left):,} px in all")
            console.note(self.told(expected_seconds(self.choice, left), left))
            for disk in places:
                console.note(f"about {mib(disk.needed)} needed, {mib(disk.free)} free in '{disk.folder}' (a cautious estimate)")
            for place, needed, free in memories:
                console.note(f"at least {mib(needed)} of {place} needed, {mib(free)} free (a cautious estimate)")
        for disk in places:
            if disk.needed > disk.free:
                raise BadFolder(f"'{disk.folder}' has {mib(disk.free)} free, but the results take about {mib(disk.needed)}")
        for place, needed, free in memories:
            if needed > free:
                raise UserError(f"{mib(free)} of {place} are free, but the work takes about {mib(needed)}")

    def _less(self, swift: Swift, jobs: "list[Job]") -> float:
        from srcli.engine.forecast import expected_seconds

        with suppress(UserError):  # of weights that nobody asked for
            return expected_seconds(swift.choice(), jobs)
        return float("inf")


def warn_of_disks(jobs: "list[Job]", voice: console.Voice) -> None:
    """Say where a disk may not hold all results; plain pictures take much less than the estimate."""
    from srcli.media.footprint import disks

    for folder, needed, free in disks(jobs):
        if needed > free:
            voice.note(f"'{folder}' has {mib(free)} free, and the results may take {mib(needed)} (a cautious estimate)")


def _shares(found: "Sequence[Compression]", files: int) -> str:
    """Say what some of the files tell: "3 of 5 are JPEG of quality 60 to 85 or so, 1 AVIF"; of a single file without counts."""
    told = []
    for what in dict.fromkeys(its.what for its in found):
        levels = sorted({its.level for its in found if its.what == what and its.level is not None})
        span = f" {levels[0]} to {levels[-1]} or so" if levels[1:] else f" {levels[0]} or so" if levels else ""
        told.append((sum(its.what == what for its in found), f"{what}{span}"))
    if files == 1:
        return told[0][1]
    (count, first), *others = told
    return ", ".join([f"{count} of {files} {'is' if count == 1 else 'are'} {first}", *(f"{n} {what}" for n, what in others)])


def mib(size: int) -> str:
    """Write bytes as MiB."""
    return f"{size / 2**20:,.1f} MiB"

"""What the work of srcli upscale will take, beforehand: for dry runs, and where it takes long."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from srcli import console
from srcli.errors import BadFolder, UserError
from srcli.zoo import PHOTO, VIDEO

if TYPE_CHECKING:
    from srcli.engine.suit import Choice
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
    for_photo: str  # what to say of lossy pictures or, where -m named weights, of those that show it; "" is nothing
    for_video: str  # and of videos that were compressed so much that it shows
    timed: bool  # whether a tile is timed before work that may be long

    def warn(self, jobs: "list[Job]") -> None:
        """Say which weights suit, or are taken, where pictures or videos were compressed."""
        from srcli.engine.forecast import enlarged
        from srcli.engine.suit import compression
        from srcli.media.picture import COMPRESSED, LOSSY

        said = {kind: line for kind, line in ((PHOTO, self.for_photo), (VIDEO, self.for_video)) if line}
        limits = LOSSY if self.choice.kinds else COMPRESSED
        files = {job.source for job in jobs}
        found = {job.source: its for job in enlarged(self.choice, jobs) if (its := compression(job, said, limits))}
        for kind in said:
            parts: list[str] = []
            for what in dict.fromkeys(its.what for its in found.values() if its.kind == kind):
                levels = [its.level for its in found.values() if its.what == what]
                known = [level for level in levels if level is not None]
                span = f" {' to '.join(map(str, dict.fromkeys((min(known), max(known)))))} or so" if known else ""
                parts.append(f"{len(levels) if parts else _share(len(levels), len(files))} {what}{span}".lstrip())
            if parts:
                console.note(f"{', '.join(parts)}: {said[kind]}")

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


def _share(count: int, files: int) -> str:
    """Begin what is said of some files; nothing where there is one."""
    return "" if files == 1 else f"{count} of {files} {'is' if count == 1 else 'are'}"


def mib(size: int) -> str:
    """Write bytes as MiB."""
    return f"{size / 2**20:,.1f} MiB"

"""What the work of srcli upscale will take, beforehand: for dry runs, and where it takes long."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from srcli import console
from srcli.errors import BadFolder, UserError

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
    swift: Swift | None
    for_photo: str  # what to say of pictures that were compressed so much that it shows; "" is nothing
    for_video: str  # and of such videos
    timed: bool  # whether a tile is timed before work that may be long

    def warn(self, jobs: "list[Job]") -> None:
        """Say which weights suit, or are taken, where pictures or videos were compressed so much that it shows."""
        from srcli.engine.forecast import enlarged
        from srcli.engine.suit import coarse, compressed, quantized

        read = enlarged(self.choice, jobs)
        videos = dict.fromkeys(job.source for job in read if job.video)  # not one for each track
        files = len({job.source for job in jobs})
        for said, what, found in (
            (self.for_photo, "JPEG of quality", compressed(read) if self.for_photo else []),
            (self.for_photo, "lossy WebP of quantizer", quantized(read) if self.for_photo else []),
            (self.for_video, "H.264 of quantizer", coarse(videos) if self.for_video else []),
        ):
            if found:
                low, high = min(found), max(found)
                span = f"{low}" if low == high else f"{low} to {high}"
                console.note(f"{len(found)} of {files} {'is' if len(found) == 1 else 'are'} {what} {span} or so: {said}")

    def announce(self, jobs: "list[Job]") -> None:
        """Say which weights suit compressed pictures and videos, and how long the work takes, where that is long."""
        from srcli.engine.forecast import expected_seconds, worth_timing

        self.warn(jobs)
        if self.timed and worth_timing(self.choice, jobs) and (seconds := expected_seconds(self.choice, jobs)) >= LONG:
            console.note(self.told(seconds, jobs))

    def told(self, seconds: float, jobs: "list[Job]") -> str:
        """Put the estimate into words."""
        quicker = ""
        if self.swift and seconds >= LONG and (less := self._less(self.swift, jobs)) < MUCH * seconds:
            quicker = f" ({timedelta(seconds=round(less))} with {self.swift.flags})"
        time = f"about {timedelta(seconds=round(seconds))}" if seconds >= 1 else "less than a second"
        return f"{time} in the network{quicker}, by one timed tile"

    def weigh(self, jobs: "list[Job]", left: "list[Job]", *, quiet: bool) -> None:
        """Say what the jobs take, of whose frames those `left` are to be made.

        Raises UserError where a disk or the memory cannot hold them.
        """
        from srcli.engine.forecast import expected_memory, expected_seconds
        from srcli.media.jobs import disks, pixels_of

        places, memories = disks(jobs), expected_memory(self.choice, jobs)
        if not quiet:
            self.warn(jobs)
            console.note(f"{len(jobs)} to upscale, {sum(map(pixels_of, left)):,} px in all")
            console.note(self.told(expected_seconds(self.choice, left), left))
            for folder, needed, free in places:
                console.note(f"about {mib(needed)} needed, {mib(free)} free in '{folder}' (a cautious estimate)")
            for place, needed, free in memories:
                console.note(f"at least {mib(needed)} of {place} needed, {mib(free)} free (a cautious estimate)")
        for folder, needed, free in places:
            if needed > free:
                raise BadFolder(f"'{folder}' has {mib(free)} free, but the results take about {mib(needed)}")
        for place, needed, free in memories:
            if needed > free:
                raise UserError(f"{mib(free)} of {place} are free, but the work takes about {mib(needed)}")

    def _less(self, swift: Swift, jobs: "list[Job]") -> float:
        from srcli.engine.forecast import expected_seconds

        with suppress(UserError):  # of weights that nobody asked for
            return expected_seconds(swift.choice(), jobs)
        return float("inf")


def mib(size: int) -> str:
    """Write bytes as MiB."""
    return f"{size / 2**20:,.1f} MiB"

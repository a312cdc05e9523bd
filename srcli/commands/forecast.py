"""What the work of srcli upscale will take, beforehand: dry runs, and the time of long work."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from srcli import console
from srcli.errors import BadFolder, UserError

if TYPE_CHECKING:
    from srcli.engine.upscale import Resizer
    from srcli.media.jobs import Job

MUCH = 0.6  # of the time is much less


@dataclass(frozen=True, slots=True)
class Swift:
    """Weights that ship for speed, in the place of those that were chosen."""

    name: str
    resizer: "Callable[[], Resizer]"


def expected(resizer: "Resizer", swift: Swift | None, jobs: "list[Job]") -> str:
    """Say how long the work takes, and how long with the weights that ship for speed where that is much less."""
    from srcli.engine.forecast import expected_seconds, is_long

    seconds = expected_seconds(resizer, jobs)
    quicker = ""
    if swift and is_long(jobs) and (less := expected_seconds(swift.resizer(), jobs)) < MUCH * seconds:
        quicker = f" ({timedelta(seconds=round(less))} with -m {swift.name})"
    return f"about {timedelta(seconds=round(seconds))} in the network{quicker}, by one timed tile"


def forecast(jobs: "list[Job]", resizer: "Resizer", swift: Swift | None, *, quiet: bool) -> None:
    """Say what the jobs take; raise UserError where a disk or the memory cannot hold them."""
    from srcli.engine.forecast import expected_memory
    from srcli.media.jobs import disks, pixels_of

    places, memories = disks(jobs), expected_memory(resizer, jobs)
    if not quiet:
        console.note(f"{len(jobs)} to upscale, {sum(map(pixels_of, jobs)):,} px in all")
        console.note(expected(resizer, swift, jobs))
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


def mib(size: int) -> str:
    """Write bytes as MiB."""
    return f"{size / 2**20:,.1f} MiB"

"""A folder shared by the ranks of a torchrun: every picture by one of them, balanced by px."""

import heapq
from collections.abc import Sequence

from srcli.media.jobs import Job


def share_of(jobs: Sequence[Job], rank: int, world: int) -> list[Job]:
    """Return the jobs of one rank, in their order: the largest are dealt first, each to who has least so far."""
    loads = [(0, r) for r in range(world)]
    owner: dict[int, int] = {}
    for i in sorted(range(len(jobs)), key=lambda i: (-jobs[i].pixels, i)):
        load, least = heapq.heappop(loads)
        owner[i] = least
        heapq.heappush(loads, (load + max(jobs[i].pixels, 1), least))
    return [job for i, job in enumerate(jobs) if owner[i] == rank]

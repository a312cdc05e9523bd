"""What jobs will take: time in the networks, from one timed tile, and memory at the least."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from srcli.engine.memory import free_bytes
from srcli.engine.pipeline import AHEAD, UNWRITTEN, streaming
from srcli.engine.suit import Choice
from srcli.engine.upscale import Upscaler
from srcli.media.footprint import footprint
from srcli.media.jobs import Job

_TIMED, _TIMED_ON_GPU = 192, 512  # px a side of the timed tile: small ones take more for each px, there by their launches
_FRAMES = 8  # of a video that are held at once, cautiously: decoded ahead, in the network, waiting to be encoded
_WORTH = 2**22  # px that the networks read, below which none of them takes long


class Memory(NamedTuple):
    """Bytes that the work takes of one memory, in the smallest tiles, and those that are free there."""

    place: str  # memory, or the device's name
    needed: int
    free: int


def expected_seconds(choice: Choice, jobs: Sequence[Job]) -> float:
    """Estimate the time in the networks from one timed tile of each; reading and writing run beside them."""
    paces: dict[int, float] = {}  # seconds an input px, by the id of what computes it
    total = 0.0
    for job in jobs:
        if job.probe is None:
            continue
        for s, height, width in _inputs(choice, job):
            upscaler = choice.of(job).upscalers[s]
            if id(upscaler) not in paces:
                paces[id(upscaler)] = _pace(upscaler, _TIMED if upscaler.device.type == "cpu" else _TIMED_ON_GPU)
            total += height * width * paces[id(upscaler)] * job.frames * (1 + job.probe.alpha)
    return total


def enlarged(choice: Choice, jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs that a network reads."""
    return [job for job in jobs if any(_inputs(choice, job))]


def worth_timing(choice: Choice, jobs: Sequence[Job]) -> bool:
    """Whether the work may take so long that a tile should be timed: a few tiles are a small part of it."""
    read = (job.frames * height * width for job in jobs for _, height, width in _inputs(choice, job))
    return sum(read) >= _WORTH


def _pace(upscaler: Upscaler, side: int) -> float:
    """Return the seconds that an input px takes, in a tile of that side: the median of three."""
    # which differ: of a frame that equals the one before nothing is computed
    tiles = np.random.default_rng(0).integers(0, 255, (4, side, side, 3), np.uint8)
    seconds = []
    for tile in tiles:
        started = time.perf_counter()
        upscaler.pixels(tile, precision=upscaler.precision)
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:]) / side**2  # the first makes ready, for this size


def expected_memory(choice: Choice, jobs: Sequence[Job]) -> list[Memory]:
    """Estimate the memory that the largest job takes beside those that are read ahead and written behind.

    The networks are counted with the smallest tiles that they can work in, or with those that were asked for; where more
    is free they take more. What the program holds already is not counted.
    """
    first = next(iter(choice.plain.upscalers.values()))
    known = [job for job in jobs if job.probe and job.size]
    network = max((_network(choice, job) for job in known), default=0.0)
    sizes = sorted((_result(job) for job in known if not streaming(choice.of(job), job)), reverse=True)
    waiting = min(sum(sizes[1 : 1 + AHEAD]), UNWRITTEN) if sizes else 0
    reading = sum(sorted((_source(job) for job in known if not _in_strips(choice, job)), reverse=True)[1 : 1 + AHEAD])
    pictures = max((_pictures(choice, job) for job in known), default=0.0) + waiting + reading
    host = torch.device("cpu")
    if first.device.type == "cpu":
        return [Memory("memory", int(pictures + network), free_bytes(host))]
    device = Memory(str(first.device), int(network), free_bytes(first.device))
    return [Memory("memory", int(pictures), free_bytes(host)), device]


def _inputs(choice: Choice, job: Job) -> Iterator[tuple[int, int, int]]:
    """Yield the scale of each pass, and the height and width that it reads."""
    if job.probe is None or job.size is None:
        return
    height, width = job.probe.height, job.probe.width
    for s in choice.of(job).chain((height, width), job.size):
        yield s, height, width
        height, width = height * s, width * s


def _network(choice: Choice, job: Job) -> float:
    upscalers = choice.of(job).upscalers
    needs = [
        upscalers[s].runner.least_bytes(height, width, upscalers[s].precision) for s, height, width in _inputs(choice, job)
    ]
    return max(needs, default=0.0)


def _pictures(choice: Choice, job: Job) -> float:
    """Count the host's bytes of one job at its peak, without the network."""
    if upscaler := streaming(choice.of(job), job):
        assert job.probe
        row = job.probe.width * _bytes_per_px(job)
        rows = upscaler.runner.least_side + 2 * upscaler.model.tiling.overlap
        source = 0 if _in_strips(choice, job) else footprint(replace(job, size=(0, 0)))
        return source + float(row * rows * (1 + 2 * upscaler.scale**2))  # a band in the network, one being written
    if job.video:
        return footprint(replace(job, frames=min(job.frames, _FRAMES)))
    between = [height * s * width * s for s, height, width in _inputs(choice, job)]  # px that the passes give
    spare = sum(between) * _bytes_per_px(job) - (_result(job) if between else 0)  # beside the result
    sums = 2 * _result(job) if any(upscaler.ensemble for upscaler in choice.plain.upscalers.values()) else 0
    return footprint(job) + max(spare, 0) + sums


def _in_strips(choice: Choice, job: Job) -> bool:
    """Tell whether a picture is read in strips too."""
    return streaming(choice.of(job), job) is not None and job.probe is not None and job.probe.format == "tiff"


def _source(job: Job) -> int:
    assert job.probe
    return job.probe.height * job.probe.width * _bytes_per_px(job) * (1 if job.video else job.frames)


def _result(job: Job) -> int:
    assert job.size
    return math.prod(job.size) * _bytes_per_px(job) * (1 if job.video else job.frames)


def _bytes_per_px(job: Job) -> int:
    assert job.probe
    return (job.probe.channels + job.probe.alpha) * (job.probe.depth // 8)

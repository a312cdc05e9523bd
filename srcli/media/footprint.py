"""How much memory a picture takes from file to file, besides the network, and how much of a disk its result."""

import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from srcli.media.jobs import Job

# Peaks in times the bytes of the pixels, measured at 2000 x 3000 px, rounded up; beyond the array itself for writing
_READING = {"webp": 5.5, "heic": 4.0, "tga": 5.5}
_USUAL = 3.0
_WRITING = {"png": 0.8, "tiff": 1.0, "jpeg": 1.4, "bmp": 1.4, "ppm": 1.0, "webp": 4.2, "avif": 12.0, "gif": 1.4, "tga": 1.4}
_GRAY = {"webp": 15.6, "avif": 18.4}  # which are coded as colours, or with planes for them
# Bytes written for each byte of pixels, about twice what two photographs of Kodak take after bicubic x4 (PNG 0.38,
# TIFF 0.42, JPEG 0.09, WebP 0.05, AVIF 0.04), because drawings and noise take more; WebP may be lossless
_PACKED = {"png": 0.8, "tiff": 0.85, "jpeg": 0.2, "webp": 0.35, "avif": 0.1, "gif": 0.35}
_PACKED |= dict.fromkeys(("bmp", "ppm", "tga"), 1.0)
# Videos, with the segments that they are joined from: twice what clips of few frames take, small and noisy ones the most
# (ffv1 0.16, prores_ks 0.21, the others 0.013 as they are, 0.009 after bicubic x2)
_PACKED |= {"ffv1": 0.5, "prores_ks": 0.45}
_VIDEO = 0.03


def footprint(job: Job) -> int:
    """Estimate the bytes at the peak of one job, cautiously: as its input is read, or as its result is written.

    0 where the header could not be read. All frames of an animation are held, before and after.
    """
    if job.probe is None or job.size is None:
        return 0
    facts, depth = job.probe, job.probe.depth // 8
    channels = facts.channels + facts.alpha
    source = facts.height * facts.width * channels * depth * job.frames
    result = job.pixels * channels * depth
    encoder = _WRITING.get(job.format, _USUAL)
    if channels == 1:
        encoder = _GRAY.get(job.format, encoder)
    return int(max(source * _READING.get(facts.format, _USUAL), source + result * (1 + encoder)))


class Disk(NamedTuple):
    """What results take, by a cautious estimate, and what is free where they go; in bytes."""

    folder: Path
    needed: int
    free: int


def disks(jobs: Iterable[Job]) -> list[Disk]:
    """Sum up what the jobs write, for each file system; what they replace makes room."""
    needed = defaultdict[int, int](int)
    folders: dict[int, Path] = {}
    devices: dict[Path, int] = {}  # of the folders that results go to, of which many go to one
    for job in jobs:
        place = job.target.parent
        if place not in devices:
            there = next(above for above in (place, *place.absolute().parents) if above.exists())
            devices[place] = there.stat().st_dev
            folders.setdefault(devices[place], there)
        size, replaced = _bytes(job), job.target.stat().st_size if job.exists == "overwrite" and job.target.is_file() else 0
        needed[devices[place]] += max(size - replaced, 0)
    return [Disk(folder, needed[device], shutil.disk_usage(folder).free) for device, folder in folders.items()]


def _bytes(job: Job) -> int:
    if job.probe is None:
        return 0
    values = job.pixels * (job.probe.channels + job.probe.alpha)
    return int(values * (job.probe.depth // 8) * _PACKED.get(job.format, _VIDEO))

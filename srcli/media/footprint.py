"""How much memory a picture takes from file to file, besides the network."""

import math

from srcli.media.jobs import Job

# Peaks in times the bytes of the pixels, measured at 2000 x 3000 px, rounded up; beyond the array itself for writing
_READING = {"webp": 5.5, "heic": 4.0, "tga": 5.5}
_USUAL = 3.0
_WRITING = {"png": 0.8, "tiff": 1.0, "jpeg": 1.4, "bmp": 1.4, "ppm": 1.0, "webp": 4.2, "avif": 12.0, "gif": 1.4, "tga": 1.4}
_GRAY = {"webp": 15.6, "avif": 18.4}  # which are coded as colours, or with planes for them


def footprint(job: Job) -> int:
    """Estimate the bytes at the peak of one job, cautiously: as its input is read, or as its result is written.

    0 where the header could not be read. All frames of an animation are held, before and after.
    """
    if job.probe is None or job.size is None:
        return 0
    facts, depth = job.probe, job.probe.depth // 8
    channels = facts.channels + facts.alpha
    source = facts.height * facts.width * channels * depth * job.frames
    result = math.prod(job.size) * channels * depth * job.frames
    encoder = _WRITING.get(job.format, _USUAL)
    if channels == 1:
        encoder = _GRAY.get(job.format, encoder)
    return int(max(source * _READING.get(facts.format, _USUAL), source + result * (1 + encoder)))

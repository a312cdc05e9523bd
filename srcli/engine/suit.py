"""Which networks a file goes through: one set for all, or those that suit what compressed it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from srcli.engine.upscale import Resizer
from srcli.errors import UserError
from srcli.media.jobs import Job
from srcli.media.jpeg_past import past_quality
from srcli.media.numbered import is_sequence, numbered
from srcli.media.picture import COARSE, LOSSY, Array, Limits
from srcli.media.probe import probe
from srcli.zoo import PHOTO, VIDEO


@dataclass(frozen=True, slots=True)
class Choice:
    """The networks for all files, or for all but those of the kinds that have their own, by PHOTO and VIDEO."""

    plain: Resizer
    kinds: Mapping[str, Resizer] = field(default_factory=dict)
    photo: str = ""  # what to say of a picture that its pixels alone tell to be of kind PHOTO

    def of(self, job: Job) -> Resizer:
        """Return what a file goes through, by its header."""
        return self.kinds.get(kind_of(job), self.plain) if self.kinds else self.plain

    def of_pixels(self, job: Job, pixels: Array) -> tuple[Resizer, tuple[str, ...]]:
        """Return what a still goes through, by its pixels too where the header tells nothing, and what to say of these."""
        header = self.of(job)
        if PHOTO not in self.kinds or header is not self.plain:
            return header, ()
        if (quality := coded_before(pixels)) is None:
            return header, ()
        return self.kinds[PHOTO], (f"its pixels tell of a JPEG of quality {quality} or so: {self.photo}",)

    def of_video(self, path: Path | None) -> Resizer:
        """Return what the frames of a video go through; of none, which cannot be looked at beforehand, as of others."""
        return self.kinds[VIDEO] if path and VIDEO in self.kinds and coarse([path]) else self.plain


def kind_of(job: Job) -> str:
    """Return the kind of weights for what comes as cameras, the web or the codecs of videos give it, "" for other files."""
    if compressed([job]) or quantized([job]) or untold([job]):
        return PHOTO
    return VIDEO if job.video and coarse([job.source]) else ""


def coded_before(pixels: Array) -> int | None:
    """Return the quality of a JPEG that pixels were before, where that was compressed so much that PHOTO suits them."""
    quality = past_quality(pixels)
    return quality if quality and quality <= LOSSY.jpeg else None


def compressed(jobs: Sequence[Job], limits: Limits = LOSSY) -> list[int]:
    """Return the qualities of those JPEGs, numbered ones by the first of them, that were compressed that much."""
    read = (_quality(job) for job in jobs)
    return [quality for quality in read if quality and quality <= limits.jpeg]


def quantized(jobs: Sequence[Job], limits: Limits = LOSSY) -> list[int]:
    """Return the quantizers of those lossy WebPs that were compressed that much."""
    read = (job.probe.webp for job in jobs if job.probe and not job.video)
    return [quantizer for quantizer in read if quantizer is not None and quantizer >= limits.webp]


def untold(jobs: Sequence[Job]) -> list[str]:
    """Return the formats, in capitals, of those lossy files that do not tell how much they were compressed.

    HEIC is of phones, neither sharp nor free of noise; AVIF is of the web, where it is to be small.
    """
    read = [job.probe for job in jobs if job.probe and not job.video]
    return [facts.format.upper() for facts in read if facts.format in ("heic", "avif") and not facts.lossless]


def _quality(job: Job) -> int | None:
    if not job.video:
        return job.probe.jpeg if job.probe else None
    if is_sequence(job.source):
        with suppress(UserError):
            return probe(numbered(job.source)[0]).jpeg
    return None


def coarse(videos: Iterable[Path]) -> list[int]:
    """Return the quantizers of those H.264 videos that were compressed so much that it shows."""
    read = (_quantizer(path, path.stat().st_mtime_ns if path.is_file() else 0) for path in videos)
    return [round(found) for found in read if found and found >= COARSE]


@cache
def _quantizer(path: Path, changed: int) -> float | None:
    """Decode some frames of a video once, as long as it does not change: numbered pictures are no file, and no H.264."""
    from srcli.media.h264 import quantizer  # loads PyAV

    return quantizer(path)

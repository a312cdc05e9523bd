"""Which networks a file goes through: one set for all, or those that suit what compressed it."""

from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from srcli.engine.resizer import Resizer
from srcli.errors import UserError
from srcli.media.jobs import Job
from srcli.media.jpeg_past import SIDE, past_quality
from srcli.media.picture import COARSE, LOSSY, Array, Limits
from srcli.media.probe import Probe, probe
from srcli.media.read import read_image
from srcli.media.strips import StripReader, open_strips
from srcli.zoo import PHOTO, VIDEO


@dataclass(frozen=True, slots=True)
class Choice:
    """The networks for all files, or for all but those of the kinds that have their own, by PHOTO and VIDEO."""

    plain: Resizer
    kinds: Mapping[str, Resizer] = field(default_factory=dict)
    photo: str = ""  # what to say of a picture that its pixels alone tell to be of kind PHOTO

    def of(self, job: Job) -> Resizer:
        """Return what a file goes through, as far as `compression` tells."""
        found = compression(job, self.kinds)
        return self.kinds[found.kind] if found else self.plain

    def of_pixels(self, job: Job, pixels: Array) -> tuple[Resizer, tuple[str, ...]]:
        """Return what a still goes through, by its pixels too where nothing else tells, and what to say of these."""
        known = self.of(job)
        if job.first or known is not self.plain or PHOTO not in self.kinds or (quality := _coded_before(pixels)) is None:
            return known, ()
        return self.kinds[PHOTO], (f"its pixels tell of a JPEG of quality {quality} or so: {self.photo}",)

    def of_video(self, path: Path | None) -> Resizer:
        """Return what the frames of a video go through; of none, which cannot be looked at beforehand, as of others."""
        return self.kinds[VIDEO] if path and VIDEO in self.kinds and _coarse(path) else self.plain


class Compression(NamedTuple):
    """What a file tells of how it was compressed, and the kind of weights that suit it, PHOTO or VIDEO."""

    kind: str
    what: str  # such as "JPEG of quality"
    level: int | None = None  # its quality or quantizer


def compression(job: Job, kinds: Container[str] = (PHOTO, VIDEO), limits: Limits = LOSSY) -> Compression | None:
    """Return what tells that weights of one of `kinds` suit what is upscaled; None where nothing does.

    By the header; of numbered pictures by the first one's, and by its pixels; of videos by some frames.
    """
    found = _of_picture(job, limits) if PHOTO in kinds else None
    if not found and VIDEO in kinds and job.video and (quantizer := _coarse(job.source)):
        return Compression(VIDEO, "H.264 of quantizer", quantizer)
    return found


def _of_picture(job: Job, limits: Limits) -> Compression | None:
    facts = _facts(job)
    if facts and facts.jpeg and facts.jpeg <= limits.jpeg:
        return Compression(PHOTO, "JPEG of quality", facts.jpeg)
    if facts and facts.webp is not None and facts.webp >= limits.webp:
        return Compression(PHOTO, "lossy WebP of quantizer", facts.webp)
    # HEIC is of phones, neither sharp nor free of noise; AVIF is of the web, where it is to be small
    if facts and limits.guess and facts.format in ("heic", "avif") and not facts.lossless:
        return Compression(PHOTO, facts.format.upper())
    if limits.guess and job.first and (quality := _file_coded_before(job.first, _changed(job.first))):
        return Compression(PHOTO, "by their pixels JPEG of quality", quality)
    return None


def _facts(job: Job) -> Probe | None:
    """Return what the header says by which a file is judged; None of a video that is no numbered pictures."""
    if job.first:
        return _first_facts(job.first, _changed(job.first))
    return None if job.video else job.probe


@cache
def _first_facts(path: Path, changed: int) -> Probe | None:
    with suppress(UserError):
        return probe(path)
    return None


def _coded_before(pixels: Array) -> int | None:
    """Return the quality of a JPEG that pixels were before, where that was compressed so much that PHOTO suits them."""
    quality = past_quality(pixels)
    return quality if quality and quality <= LOSSY.jpeg else None


@cache
def _file_coded_before(path: Path, changed: int) -> int | None:
    """Read a picture once, as long as it does not change."""
    with suppress(UserError):
        if strips := open_strips(path):
            with strips:
                return _coded_before(middle(strips))
        return _coded_before(read_image(path).pixels)
    return None


def middle(strips: StripReader) -> Array:
    """Return the rows of a picture by which it is judged."""
    top = max(0, (strips.height - SIDE) // 2)
    return strips.rows(top, min(top + SIDE, strips.height))[..., : strips.channels]


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


def _coarse(path: Path) -> int | None:
    """Return the quantizer of an H.264 video that was compressed so much that it shows."""
    found = _quantizer(path, _changed(path))
    return round(found) if found and found >= COARSE else None


@cache
def _quantizer(path: Path, changed: int) -> float | None:
    """Decode some frames of a video once, as long as it does not change: numbered pictures are no file, and no H.264."""
    from srcli.media.h264 import quantizer  # loads PyAV

    return quantizer(path)

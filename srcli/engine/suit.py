"""Which networks a file goes through: one set for all, or those that suit what compressed it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from srcli.engine.upscale import Resizer
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
        """Return what a file goes through, by its header, and numbered pictures by the first of them."""
        return self.kinds.get(kind_of(job), self.plain) if self.kinds else self.plain

    def of_pixels(self, job: Job, pixels: Array) -> tuple[Resizer, tuple[str, ...]]:
        """Return what a still goes through, by its pixels too where nothing else tells, and what to say of these."""
        known = self.of(job)
        if job.first or known is not self.plain or PHOTO not in self.kinds or (quality := coded_before(pixels)) is None:
            return known, ()
        return self.kinds[PHOTO], (f"its pixels tell of a JPEG of quality {quality} or so: {self.photo}",)

    def of_video(self, path: Path | None) -> Resizer:
        """Return what the frames of a video go through; of none, which cannot be looked at beforehand, as of others."""
        return self.kinds[VIDEO] if path and VIDEO in self.kinds and coarse([path]) else self.plain


def kind_of(job: Job) -> str:
    """Return the kind of weights for what comes as cameras, the web or the codecs of videos give it, "" for other files.

    By the header; of numbered pictures by the first one's, and by its pixels.
    """
    if _lossy(job) or _past(job):
        return PHOTO
    return VIDEO if job.video and coarse([job.source]) else ""


def _lossy(job: Job) -> bool:
    return bool(compressed([job]) or quantized([job]) or untold([job]))


def coded_before(pixels: Array) -> int | None:
    """Return the quality of a JPEG that pixels were before, where that was compressed so much that PHOTO suits them."""
    quality = past_quality(pixels)
    return quality if quality and quality <= LOSSY.jpeg else None


def compressed(jobs: Sequence[Job], limits: Limits = LOSSY) -> list[int]:
    """Return the qualities of those JPEGs, numbered ones by the first of them, that were compressed that much."""
    return [facts.jpeg for facts in map(_facts, jobs) if facts and facts.jpeg and facts.jpeg <= limits.jpeg]


def quantized(jobs: Sequence[Job], limits: Limits = LOSSY) -> list[int]:
    """Return the quantizers of those lossy WebPs, numbered ones by the first of them, that were compressed that much."""
    read = (facts.webp for facts in map(_facts, jobs) if facts)
    return [quantizer for quantizer in read if quantizer is not None and quantizer >= limits.webp]


def untold(jobs: Sequence[Job]) -> list[str]:
    """Return the formats, in capitals, of those lossy files that do not tell how much they were compressed.

    HEIC is of phones, neither sharp nor free of noise; AVIF is of the web, where it is to be small.
    """
    read = [facts for facts in map(_facts, jobs) if facts]
    return [facts.format.upper() for facts in read if facts.format in ("heic", "avif") and not facts.lossless]


def past_qualities(jobs: Sequence[Job]) -> list[int]:
    """Return the qualities of the JPEGs that numbered pictures were before, where the pixels of the first alone tell."""
    return [quality for job in jobs if not _lossy(job) and (quality := _past(job))]


def _past(job: Job) -> int | None:
    return file_coded_before(job.first) if job.first else None


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


def file_coded_before(path: Path) -> int | None:
    """Return what `coded_before` says of a picture's file, which is read once as long as it does not change."""
    return _coded_before(path, _changed(path))


@cache
def _coded_before(path: Path, changed: int) -> int | None:
    with suppress(UserError):
        if strips := open_strips(path):
            with strips:
                return coded_before(middle(strips))
        return coded_before(read_image(path).pixels)
    return None


def middle(strips: StripReader) -> Array:
    """Return the rows of a picture by which `coded_before` judges it."""
    top = max(0, (strips.height - SIDE) // 2)
    return strips.rows(top, min(top + SIDE, strips.height))[..., : strips.channels]


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


def coarse(videos: Iterable[Path]) -> list[int]:
    """Return the quantizers of those H.264 videos that were compressed so much that it shows."""
    read = (_quantizer(path, _changed(path)) for path in videos)
    return [round(found) for found in read if found and found >= COARSE]


@cache
def _quantizer(path: Path, changed: int) -> float | None:
    """Decode some frames of a video once, as long as it does not change: numbered pictures are no file, and no H.264."""
    from srcli.media.h264 import quantizer  # loads PyAV

    return quantizer(path)

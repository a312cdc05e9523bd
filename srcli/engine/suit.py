"""Which networks a file goes through: one set for all, or those that suit what compressed it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from srcli.engine.upscale import Resizer
from srcli.media.h264 import COARSE, quantizer
from srcli.media.jobs import Job
from srcli.media.picture import COMPRESSED
from srcli.zoo import PHOTO, VIDEO


@dataclass(frozen=True, slots=True)
class Choice:
    """The networks for all files, or for all but those of the kinds that have their own, by PHOTO and VIDEO."""

    plain: Resizer
    kinds: Mapping[str, Resizer] = field(default_factory=dict)

    def of(self, job: Job) -> Resizer:
        """Return what a file goes through."""
        return self.kinds.get(kind_of(job), self.plain) if self.kinds else self.plain


def kind_of(job: Job) -> str:
    """Return the kind of weights for what was compressed so much that it shows, "" for other files."""
    if job.video:
        return VIDEO if coarse([job]) else ""
    return PHOTO if compressed([job]) else ""


def compressed(jobs: Sequence[Job]) -> list[int]:
    """Return the qualities of those JPEGs that were compressed so much that it shows."""
    read = (job.probe.jpeg for job in jobs if job.probe and not job.video)
    return [quality for quality in read if quality and quality <= COMPRESSED]


def coarse(jobs: Sequence[Job]) -> list[int]:
    """Return the quantizers of those H.264 videos that were compressed so much that it shows."""
    read = (_quantizer(path, _changed(path)) for path in dict.fromkeys(job.source for job in jobs if job.video))
    return [round(found) for found in read if found and found >= COARSE]


@cache
def _quantizer(path: Path, changed: int) -> float | None:
    """Decode the first frames of a video once, as long as it does not change."""
    return quantizer(path)


def _changed(path: Path) -> int:
    """Return when a file was changed last; 0 of what is no file, such as a pattern of numbered pictures."""
    return path.stat().st_mtime_ns if path.is_file() else 0

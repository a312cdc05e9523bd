"""What is to be upscaled, to which size and under which name; `media/planning.py` makes these of what a user names."""

import math
import string
import sys
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Literal, NamedTuple

from srcli.errors import UsageError
from srcli.media.probe import Probe

Exists = Literal["error", "skip", "overwrite", "rename"]
Fit = Literal["contain", "cover"]

PARTS = ".parts"  # behind the name of a video: the folder of its segments, whose name begins with a dot while it is made


@dataclass(frozen=True, slots=True)
class Box:
    """A size in px that results get instead of a factor; the proportions of a picture are kept.

    `fit`: with width and height both given, contain stays within them and cover fills them.
    `min_side`: at least this for the shorter side; a picture that has it keeps its size.
    """

    width: int | None = None
    height: int | None = None
    long_side: int | None = None
    min_side: int | None = None
    fit: Fit = "contain"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the result."""
        wanted = ((self.width, width), (self.height, height), (self.long_side, max(height, width)))
        factors = [px / side for px, side in wanted if px]
        if self.min_side:
            factors.append(max(self.min_side / min(height, width), 1.0))
        factor = max(factors) if self.fit == "cover" else min(factors)
        # half up: 53 px at 100 / 37 is 143.24
        return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)

    def __str__(self) -> str:
        """Name the size as results are named: _x4 becomes _1920x1080, _w1920, _long1920."""
        if self.width and self.height:
            return f"{self.width}x{self.height}"
        named = {"w": self.width, "h": self.height, "long": self.long_side, "min": self.min_side}
        return next(f"{letter}{px}" for letter, px in named.items() if px)


@dataclass(frozen=True, slots=True)
class Job:
    """One picture or video to upscale; `probe` is None where the header cannot be read, which reading will report."""

    source: Path
    target: Path
    format: str
    probe: Probe | None
    scale: float | Box
    size: tuple[int, int] | None = None  # height, width of the result
    skip: bool = False  # the target is there and is to stay
    fresh: bool = False  # the target is not there, and what appears before it is written is to stay
    exists: Exists = "error"  # where something appears, rename takes another name, and skip yields to what is the same
    notes: tuple[str, ...] = ()
    frames: int = 1  # of the result
    video: bool = False  # `format` is then a container, and `probe` None
    refused: str = ""  # why nothing can come of it, told when its turn comes
    first: Path | None = None  # of a pattern of numbered pictures, whose compression counts for all

    @property
    def pixels(self) -> int:
        """Px of the result, all frames; 0 where its size is not known."""
        return math.prod(self.size) * self.frames if self.size else 0


class Naming(NamedTuple):
    """A pattern for the names of results, such as "{stem}_{model}_x{scale}{ext}"; `ext` is appended where it is missing."""

    pattern: str
    model: str

    def name(self, stem: str, ext: str, scale: float | Box, facts: Probe | None) -> str:
        """Fill the fields in; raise UsageError for unknown ones, and for names that are none."""
        height, width = result_size(facts.height, facts.width, scale) if facts else (0, 0)
        if isinstance(scale, Box):
            scale = round(height / facts.height, 2) if facts else 0
        fields = {"stem": stem, "model": self.model, "scale": f"{scale:g}", "ext": ext, "width": width, "height": height}
        try:
            used = {field for _, field, _, _ in string.Formatter().parse(self.pattern) if field is not None}
            if unknown := sorted(used - set(fields)):
                known = ", ".join(f"{{{field}}}" for field in fields)
                raise UsageError(f"--name knows {known}, not {{{unknown[0]}}}")
            name = self.pattern.format(**fields)
        except (ValueError, IndexError, KeyError) as error:
            raise UsageError(f"--name '{self.pattern}' is no pattern: {error}") from error
        if not name or leads_elsewhere(name) or name.startswith("."):
            raise UsageError(f"--name '{self.pattern}' gives '{name}', which is no name of a file; folders go to -o")
        return name if name.lower().endswith(ext.lower()) else name + ext


def leads_elsewhere(name: str) -> bool:
    r"""Tell whether what is to be a name is none: it has folders or, as in a\b and a:b on Windows, a disk or a stream."""
    on_windows = sys.platform == "win32" and (PureWindowsPath(name).name != name or ":" in name)
    return "/" in name or "\0" in name or on_windows


def result_size(height: int, width: int, scale: float | Box) -> tuple[int, int]:
    """Return the height and width that a picture gets; a factor rounds up, as MATLAB's imresize does."""
    if isinstance(scale, Box):
        return scale.size(height, width)
    return math.ceil(height * scale - 1e-9), math.ceil(width * scale - 1e-9)

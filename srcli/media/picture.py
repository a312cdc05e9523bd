"""A picture in memory: pixels and everything a file carries besides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

Array = np.ndarray


COARSE = 28  # mean quantizer of H.264 from which what the codec left shows in results of clean weights (docs/video.md)
_STEPS = 3688  # the sum of libjpeg's 64 luminance steps at quality 50 (ITU-T T.81, table K.1)


class Limits(NamedTuple):
    """How much a still is compressed at least."""

    jpeg: int  # the quality, at most
    webp: int  # the quantizer, at least
    guess: bool  # whether formats whose headers tell nothing of it count too, and pixels that were a JPEG


# A file tells its last coding alone. From LOSSY on `rfdn-photo` is the better guess: what was soft, noisy or coded before
# gains more there than other pictures lose; from COMPRESSED on it is ahead whatever was before (benchmarks/compressed.py).
LOSSY, COMPRESSED = Limits(95, 12, guess=True), Limits(88, 32, guess=False)


class Quality(NamedTuple):
    """How a lossy file was coded, so that the result is coded no worse."""

    tables: tuple[list[int], ...] = ()  # JPEG quantisation, 64 steps each
    subsampling: int = 0  # JPEG: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0
    lossless: bool = False  # WebP and AVIF
    quantizer: int | None = None  # of lossy WebP, 0 to 127

    @property
    def jpeg(self) -> int | None:
        """The quality, 1 to 100, at which libjpeg's luminance steps are as large on average; None where it is no JPEG.

        Files that libjpeg wrote with less than 25 seem better than they are: no step is above 255.
        """
        if not self.tables:
            return None
        percent = 100 * sum(self.tables[0]) / _STEPS
        return max(1, round(100 - percent / 2 if percent <= 100 else 5000 / percent))


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One still: pixels upright, metadata as bytes, and what reading could not keep."""

    pixels: Array  # (H, W, 1 or 3) uint8, uint16, or float32 in [0, 1]
    alpha: Array | None = None  # (H, W), same dtype
    icc: bytes | None = None
    exif: bytes | None = None  # from the TIFF header on, orientation 1
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    iptc: bytes | None = None  # of a JPEG or PNG without the rest of Photoshop's block
    text: Mapping[str, str] = field(default_factory=dict)  # PNG text chunks, JPEG and GIF comment
    chunks: Mapping[bytes, bytes] = field(default_factory=dict)  # PNG colour chunks besides the profile
    format: str = ""  # told by content: "png", "jpeg", "webp", "tiff", "avif", "bmp", "ppm", "tga", "gif", "dds", "heic"
    quality: Quality | None = None
    notes: tuple[str, ...] = ()

    @property
    def gray_profile(self) -> bool:
        """Tell whether the profile is one of gray, which says nothing of colours."""
        return self.icc is not None and self.icc[16:20] == b"GRAY"

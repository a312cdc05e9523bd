"""Numbered pictures, such as frame_%05d.png, as the frames of a video, and frames as numbered pictures."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from srcli.errors import BadPicture, BadVideo
from srcli.media.image import Picture, read_image, write_image
from srcli.media.jobs import numbered, numbered_path, numbers_missing
from srcli.media.pixels import reduced
from srcli.media.video import BT709, LIMITED, UNSPECIFIED, Clip, Colors, Timed, Track, Video
from srcli.media.write import fitted

# Code points of H.273 with which values look wrong where sRGB is taken for granted
_PRIMARIES, _TRANSFERS = {9: "BT.2020"}, {16: "PQ", 18: "HLG"}
_TICKS = 1000  # of one frame's time, so that a rate such as 30000/1001 has whole ticks


def probe_sequence(pattern: Path, rate: Fraction) -> Video:
    """Describe the pictures of a pattern as a video at `rate` frames a second; the first says size, depth and alpha."""
    files = numbered(pattern)
    first = read_image(files[0])
    deep = first.pixels.dtype != np.uint8
    alpha = first.alpha is not None
    # 4:2:0 is what players play; what has alpha is for editing
    pix_fmt = ("yuva444p" if alpha else "yuv420p") + ("10le" if deep else "")
    track = Track(
        index=0,
        height=first.pixels.shape[0],
        width=first.pixels.shape[1],
        pix_fmt=pix_fmt,
        codec=first.format,
        time_base=1 / (rate * _TICKS),
        rate=rate,
        colors=Colors(BT709, UNSPECIFIED, UNSPECIFIED, LIMITED),
        frames=len(files),
        seconds=float(len(files) / rate),
    )
    return Video(pattern, "pictures", (track,), Fraction(0), track.seconds)


class SequenceReader:
    """The pictures of a pattern in the order of their numbers, as VideoReader gives frames."""

    damage: tuple[str, ...] = ()
    anew: tuple[Fraction, ...] = ()

    def __init__(self, pattern: Path, track: Track, clip: Clip) -> None:
        self.track, self._pattern = track, pattern
        files = numbered(pattern)
        first = math.ceil(clip.start * track.rate)
        last = len(files) if clip.end is None else math.ceil(clip.end * track.rate)
        self._files = files[first:last][: clip.frames]
        self._first = first
        self.count = len(self._files)
        self._flattened = 0  # pictures

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was lost of the pictures that were read."""
        lines = [f"{self._flattened} pictures have alpha, which the first has not: theirs is lost"] * (self._flattened > 0)
        if missing := numbers_missing(self._pattern, self._files):
            lines.append(
                f"{missing} numbers are missing between the first picture and the last: the frames follow without a pause"
            )
        return tuple(lines)

    def frames(self, wanted: Callable[[int], bool] = lambda number: True) -> Iterator[tuple[int, Timed]]:
        """Yield the pictures that are wanted; raise BadVideo for one that is not like the first."""
        for number, path in enumerate(self._files):
            if wanted(number):
                yield number, self._frame(path, number)

    def _frame(self, path: Path, number: int) -> Timed:
        try:
            picture = read_image(path)
        except BadPicture as error:
            raise BadVideo(str(error)) from error
        height, width, channels = picture.pixels.shape
        if (height, width) != (self.track.height, self.track.width):
            raise BadVideo(f"'{path}' has {width} x {height} px, the first picture {self.track.width} x {self.track.height}")
        self._flattened += picture.alpha is not None and not self.track.alpha
        pixels, alpha = picture.pixels, picture.alpha
        if pixels.dtype == np.float32:
            pixels, alpha = reduced(pixels, 16), None if alpha is None else reduced(alpha, 16)
        pixels = np.repeat(pixels, 3, axis=2) if channels == 1 else pixels
        return Timed(pixels, alpha, (self._first + number) * _TICKS, _TICKS)


def lost_in_pictures(track: Track, format: str) -> tuple[str, ...]:
    """Say what of a track's frames a picture's format cannot carry."""
    pixels = np.zeros((1, 1, 3), np.uint8 if track.depth <= 8 else np.uint16)
    lost = fitted(Picture(pixels, pixels[..., 0] if track.alpha else None), format, (1, 1))[1]
    if wide := [name for name in (_PRIMARIES.get(track.colors.primaries), _TRANSFERS.get(track.colors.transfer)) if name]:
        lost = (*lost, f"pictures are taken for sRGB, but hold the values of the frames, which are {', '.join(wide)}")
    if track.side:
        lost = (*lost, f"pictures are not given what the frames carry: {', '.join(track.side)}")
    return lost


def write_numbered(
    pattern: Path, number: int, frame: Timed, format: str, *, quality: int | None, png_level: int, fresh: bool
) -> None:
    """Write one frame; numbers begin at 1, as FFmpeg's do."""
    path = numbered_path(pattern, number + 1)
    write_image(Picture(frame.pixels, frame.alpha), path, format=format, quality=quality, png_level=png_level, fresh=fresh)

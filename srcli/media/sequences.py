"""Numbered pictures, such as frame_%05d.png, and animations as the frames of a video, and frames as numbered pictures."""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from srcli.errors import BadPicture, BadVideo, counted
from srcli.media.animation import ANIMATED, Animation, read_animation
from srcli.media.color import TRANSFERS, to_srgb
from srcli.media.formats import FORMATS, kind_of
from srcli.media.numbered import is_sequence, numbered, numbered_path, numbers_missing
from srcli.media.picture import Array, Picture
from srcli.media.pixels import reduced
from srcli.media.read import read_image
from srcli.media.video import BT709, LIMITED, UNSPECIFIED, Clip, Colors, Timed, Track, Video
from srcli.media.write import fitted, named, uncarried, write_image

_PRIMARIES = {9: "BT.2020"}  # code points of H.273 with which values look wrong where sRGB is taken for granted
_BESIDES = ("exif", "xmp", "dpi", "iptc", "text")  # what a picture carries that no colour depends on
_TICKS = 1000  # of one frame's time, so that a rate such as 30000/1001 has whole ticks
_SHORTEST, _USUAL = 10, 100  # ms: frames of no more than the first are shown by browsers for the second


def of_pictures(source: Path) -> bool:
    """Tell whether a video is made of pictures: of numbered ones, or of an animation."""
    if is_sequence(source):
        return True
    with suppress(BadPicture, OSError), source.open("rb") as file:
        return kind_of(file.read(400), source) in ANIMATED
    return False


def probe_pictures(source: Path, rate: Fraction) -> Video:
    """Describe pictures as a video, numbered ones at `rate` frames a second; the first says size, depth and alpha."""
    if is_sequence(source):
        files = numbered(source)
        first = read_image(files[0])
        return _video(first, alpha=first.alpha is not None, time_base=1 / (rate * _TICKS), rate=rate, frames=len(files))
    frames = _timed(_animation(source))
    alpha = any(frame.alpha is not None and frame.alpha.min() < 255 for frame in frames)
    rate = (1000 * Fraction(len(frames), frames[-1].pts + frames[-1].duration)).limit_denominator(1000)
    return _video(
        Picture(frames[0].pixels, frames[0].alpha), alpha=alpha, time_base=Fraction(1, 1000), rate=rate, frames=len(frames)
    )


def _video(first: Picture, *, alpha: bool, time_base: Fraction, rate: Fraction, frames: int) -> Video:
    # 4:2:0 is what players play
    pix_fmt = ("yuva420p" if alpha else "yuv420p") + ("10le" if first.pixels.dtype != np.uint8 else "")
    track = Track(
        index=0,
        height=first.pixels.shape[0],
        width=first.pixels.shape[1],
        pix_fmt=pix_fmt,
        codec=first.format,
        time_base=time_base,
        rate=rate,
        colors=Colors(BT709, UNSPECIFIED, UNSPECIFIED, LIMITED),
        frames=frames,
        seconds=float(frames / rate),
    )
    return Video((track,), Fraction(0), track.seconds)


def _animation(path: Path) -> Animation:
    try:
        return read_animation(path)
    except BadPicture as error:
        raise BadVideo(str(error)) from error


def _timed(animation: Animation) -> list[Timed]:
    """Put the frames into ms from the beginning, one play of them."""
    frames, begin = [], 0.0
    for frame in animation.frames:
        end = begin + (frame.duration if frame.duration > _SHORTEST else _USUAL)
        frames.append(Timed(frame.pixels, frame.alpha, round(begin), round(end) - round(begin)))
        begin = end
    return frames


def read_pictures(source: Path, track: Track, clip: Clip, *, srgb: bool = True) -> "SequenceReader | AnimationReader":
    """Open what `probe_pictures` described; `srgb`: its colours are converted to sRGB, which frames are taken for."""
    return (SequenceReader if is_sequence(source) else AnimationReader)(source, track, clip, srgb=srgb)


class AnimationReader:
    """The frames of an animation, all of which are held, as VideoReader gives them."""

    damage: tuple[str, ...] = ()
    anew: tuple[Fraction, ...] = ()

    def __init__(self, path: Path, track: Track, clip: Clip, *, srgb: bool) -> None:
        animation = _animation(path)
        self._still, self._srgb = animation.still, srgb
        self._told = dict.fromkeys(animation.still.notes)
        first, last = (None if time is None else time * 1000 for time in (clip.start, clip.end))
        frames = [frame for frame in _timed(animation) if frame.pts >= (first or 0) and (last is None or frame.pts < last)]
        self._frames = frames[: clip.frames]
        self._alpha = track.alpha
        self.count = len(self._frames)

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was lost of the frames that were read."""
        return tuple(self._told)

    def frames(self, wanted: Callable[[int], bool] = lambda number: True) -> Iterator[tuple[int, Timed]]:
        """Yield the frames that are wanted."""
        for number, frame in enumerate(self._frames):
            if wanted(number):
                shown = self._shown(frame.pixels) if self._srgb else frame.pixels
                yield number, frame._replace(pixels=shown, alpha=frame.alpha if self._alpha else None)

    def _shown(self, pixels: Array) -> Array:
        gray = self._still.gray_profile  # of frames that are colour
        given = Picture(pixels[..., :1] if gray else pixels, icc=self._still.icc, chunks=self._still.chunks)
        picture, said = _as_srgb(given)
        self._told |= dict.fromkeys(said)
        return np.repeat(picture.pixels, 3, axis=2) if gray else picture.pixels


class SequenceReader:
    """The pictures of a pattern in the order of their numbers, as VideoReader gives frames."""

    damage: tuple[str, ...] = ()
    anew: tuple[Fraction, ...] = ()

    def __init__(self, pattern: Path, track: Track, clip: Clip, *, srgb: bool) -> None:
        self.track, self._pattern, self._srgb = track, pattern, srgb
        self._told = dict[str, None]()
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
        lines = list(self._told)
        lines += [f"alpha is lost of {counted(self._flattened, 'picture')}: the first has none"] * (self._flattened > 0)
        if missing := numbers_missing(self._pattern, self._files):
            lines.append(
                f"{counted(missing, 'number')} missing between the first and the last: the frames follow without a pause"
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
        self._told |= dict.fromkeys(picture.notes)
        if self._srgb:
            picture, said = _as_srgb(picture)
            self._told |= dict.fromkeys(said)
        self._flattened += picture.alpha is not None and not self.track.alpha
        pixels, alpha = picture.pixels, picture.alpha
        if pixels.dtype == np.float32:
            pixels, alpha = reduced(pixels, 16), None if alpha is None else reduced(alpha, 16)
        pixels = np.repeat(pixels, 3, axis=2) if channels == 1 else pixels
        return Timed(pixels, alpha, (self._first + number) * _TICKS, _TICKS)


def _as_srgb(picture: Picture) -> tuple[Picture, list[str]]:
    """Convert the colours of a picture to sRGB; say what became of them, unless they were sRGB."""
    eight = picture if picture.pixels.dtype == np.uint8 else replace(picture, pixels=reduced(picture.pixels, 8))
    shown = to_srgb(eight)
    changed = not np.array_equal(shown.pixels, eight.pixels)
    if changed and eight is picture:
        return shown, ["colours converted to sRGB through the profile, which is not kept"]
    lost = uncarried(picture if changed else shown, _BESIDES)
    line = f"not kept, nor the colours converted: {named(lost, picture)}; convert the pictures to sRGB before"
    return picture, [line] * bool(lost)


def colors_kept(source: Path, format: str) -> Picture | None:
    """Return the profile and the tags that tell the colours of an animation, where its frames keep them all as pictures."""
    if not of_pictures(source):
        return None
    still = _animation(source).still
    colors = Picture(np.empty((0, 0, 3), np.uint8), icc=still.icc, chunks=still.chunks)
    lost = still.gray_profile or uncarried(colors, FORMATS[format].carries.split())  # the frames are colour
    return None if lost else colors


def lost_in_pictures(track: Track, format: str) -> tuple[str, ...]:
    """Say what of a track's frames a picture's format cannot carry."""
    pixels = np.zeros((1, 1, 3), np.uint8 if track.depth <= 8 else np.uint16)
    lost = fitted(Picture(pixels, pixels[..., 0] if track.alpha else None), format, (1, 1))[1]
    if wide := [name for name in (_PRIMARIES.get(track.colors.primaries), TRANSFERS.get(track.colors.transfer)) if name]:
        lost = (*lost, f"pictures are taken for sRGB, but hold the values of the frames, which are {', '.join(wide)}")
    if track.side:
        lost = (*lost, f"pictures are not given what the frames carry: {', '.join(track.side)}")
    return lost


def write_numbered(
    pattern: Path,
    number: int,
    frame: Timed,
    format: str,
    *,
    colors: Picture | None,
    quality: int | None,
    png_level: int,
    fresh: bool,
) -> None:
    """Write one frame, in the `colors` of a source that tells them; numbers begin at 1, as FFmpeg's do."""
    path = numbered_path(pattern, number + 1)
    picture = replace(colors or Picture(frame.pixels), pixels=frame.pixels, alpha=frame.alpha)
    write_image(picture, path, format=format, quality=quality, png_level=png_level, fresh=fresh)

"""Animated GIF, WebP and PNG: whole frames with their durations, and how often they play; bounded in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngInfo

from srcli.errors import BadPicture
from srcli.files import atomic, make_folder
from srcli.media.metadata import encoded
from srcli.media.picture import Array, Picture
from srcli.media.pixels import stacked
from srcli.media.png import png_chunks
from srcli.media.probe import MAX_PIXELS, open_frames, opened, probe, quiet, reading
from srcli.media.read import read_image
from srcli.media.write import named, save, uncarried, writing

ANIMATED = ("gif", "webp", "png")
MAX_RESULT = 2**29  # px of all frames together: the encoders hold them, 2 GiB as RGBA
_CLEAR = 255  # the index in a palette that is seen through
_STEP = {"gif": 10, "webp": 1, "png": 1}  # ms
_SHORTEST = 20  # ms of a GIF's frame; browsers show 10 and less for 100
_LONGEST = {"gif": 655_350, "webp": 2**24 - 1, "png": 65_535}  # ms a frame
_MOST_PLAYS = 65_535
_CARRIED = {"gif": "comment", "webp": "icc exif xmp", "png": "icc exif xmp dpi text chunks"}


class Frame(NamedTuple):
    """One frame, composed: what is seen while it is shown."""

    pixels: Array  # (H, W, 1 or 3) uint8
    alpha: Array | None
    duration: float  # ms


@dataclass(frozen=True, slots=True, eq=False)
class Animation:
    """All frames, and the first as a picture with what the file carries besides."""

    still: Picture
    frames: Sequence[Frame]
    plays: int  # 0 is for ever


def frame_count(path: Path) -> int:
    """Count the frames that a file shows one after the other; 1 for a still and for what cannot be read."""
    try:
        with reading(path), opened(path) as file:
            image, _ = open_frames(file, path, MAX_PIXELS)
            return max(getattr(image, "n_frames", 1) - int(image.info.get("default_image", False)), 1)
    except BadPicture:
        return 1


def is_animated(path: Path) -> bool:
    """Tell whether a file is a picture that moves, and not merely one of several pages."""
    try:
        return probe(path).format in ANIMATED and frame_count(path) > 1
    except BadPicture:
        return False


def read_animation(path: Path, *, max_pixels: int = MAX_PIXELS) -> Animation:
    """Read every frame, upright and composed; raise BadPicture, also where they are more than `max_pixels` together."""
    still = read_image(path, max_pixels=max_pixels)
    notes = tuple(note for note in still.notes if not note.startswith("only the first of"))
    frames: list[Frame] = []
    with reading(path), opened(path) as file:
        image, upright = open_frames(file, path, max_pixels)
        total = getattr(image, "n_frames", 1)
        if total * image.width * image.height > max_pixels:
            pixels = f"{total} frames of {image.width} x {image.height} px"
            raise BadPicture(f"'{path}' has {pixels}, together more than the limit of {max_pixels:,}")
        first = int(image.info.get("default_image", False))
        loop = image.info.get("loop")
        # the loop count of GIF says how often it is played again, and its absence once; the others count what is played
        plays = (1 if loop is None else loop and loop + 1) if still.format == "gif" else (loop or 0)
        for index in range(first, total):
            image.seek(index)
            image.load()
            array = _pixels_of(image)
            alpha = upright(array[..., 3]) if array.shape[2] == 4 else None
            frames.append(Frame(upright(array[..., :3]), alpha, float(image.info.get("duration") or 0)))
    if first:
        notes = (*notes, "the picture for programs without animation is not kept")
    if still.pixels.dtype != np.uint8:
        notes = (*notes, "16 bits reduced to 8: the frames of an animation have no more here")
    return Animation(replace(still, notes=notes), frames, plays)


def _pixels_of(image: Image.Image) -> Array:
    """(H, W, 3 or 4) of the frame that an image shows."""
    if image.mode == "I;16":  # which Pillow would clip to 8 bits
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    return np.array(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def write_animation(
    animation: Animation, path: Path, *, format: str, quality: int | None = None, fresh: bool = False
) -> tuple[str, ...]:
    """Write all frames as `write_image` does one picture."""
    still, frames = animation.still, animation.frames
    longest, plays = _LONGEST[format], min(animation.plays, _MOST_PLAYS)
    notes: list[str] = []
    if plays < animation.plays:
        notes.append(f"played {plays:,} times instead of {animation.plays:,}")
    shortened = any(frame.duration > longest for frame in frames)
    durations = _in_steps([min(frame.duration, longest) for frame in frames], format)
    lasts, meant = sum(durations), sum(min(frame.duration, longest) for frame in frames)
    if abs(lasts - meant) > max(0.01 * meant, _STEP[format]):
        notes.append(f"GIF shows a frame for 20 ms at least: it lasts {lasts / 1000:.2f} s instead of {meant / 1000:.2f} s")
    lost = uncarried(still, _CARRIED[format].split())
    if still.gray_profile:  # the frames are colour
        still = replace(still, icc=None)
        lost |= {"icc"}
    if format == "gif":
        images, durations = _joined(_with_palettes(frames), durations)
        shortened = shortened or sum(durations) < lasts
        options = _gif_options(still, plays, transparent=any(image.info for image in images))
        notes.append("GIF has 256 colours: each frame has its own palette, without dithering")
        if any(frame.alpha is not None and ((frame.alpha > 0) & (frame.alpha < 255)).any() for frame in frames):
            notes.append("GIF has no partial transparency: cut at half")
    else:
        images = [Image.fromarray(stacked(Picture(frame.pixels, frame.alpha))) for frame in frames]
        options = {"loop": plays, "icc_profile": still.icc, "exif": still.exif}
        options |= _webp_options(still, quality) if format == "webp" else _png_options(still)
    if shortened:
        notes.append(f"{format.upper()} shows a frame for {longest / 1000:.0f} s at most: longer ones are shortened")
    if lost:
        notes.append(f"animated {format.upper()} cannot carry {named(lost, still)}")
    given = {key: value for key, value in options.items() if value is not None}
    make_folder(path.parent)
    with writing(path), quiet(), atomic(path, fresh=fresh) as temporary:
        save(images[0], temporary, format, save_all=True, append_images=images[1:], duration=durations, **given)
    return tuple(notes)


def _joined(images: list[Image.Image], durations: list[int]) -> tuple[list[Image.Image], list[int]]:
    """Join frames that are equal, as Pillow does, but never to more than a GIF's frame can last."""
    longest = _LONGEST["gif"]
    if sum(durations) <= longest:
        return images, durations
    kept, lasting = [images[0]], [durations[0]]
    for image, duration in zip(images[1:], durations[1:], strict=True):
        if ImageChops.difference(image.convert("RGBA"), kept[-1].convert("RGBA")).getbbox(alpha_only=False):
            kept.append(image)
            lasting.append(duration)
        else:
            lasting[-1] = min(lasting[-1] + duration, longest)
    return kept, lasting


def _in_steps(durations: Sequence[float], format: str) -> list[int]:
    """Round durations to the steps of a format, where the next gets what one loses; what is too short in GIF stays so."""
    step, rounded, rest = _STEP[format], list[int](), 0.0
    for duration in durations:
        least = _SHORTEST if format == "gif" and duration > _SHORTEST - step else 0
        rounded.append(max(int((duration + rest) / step + 0.5) * step, least))
        rest = max(duration + rest - rounded[-1], -step / 2)  # what is added for `least` is no debt of the others
    return rounded


def _gif_options(still: Picture, plays: int, *, transparent: bool) -> dict[str, Any]:
    comment = still.text.get("Comment")
    return {
        "disposal": 2 if transparent else 1,
        "optimize": False,
        "loop": None if plays == 1 else max(plays - 1, 0),
        "comment": None if comment is None else encoded(comment),
    }


def _webp_options(still: Picture, quality: int | None) -> dict[str, Any]:
    lossless = (still.format != "webp" or bool(still.quality and still.quality.lossless)) and quality is None
    return {"lossless": lossless, "quality": 75 if lossless else quality or 95, "exact": True, "xmp": still.xmp}


def _png_options(still: Picture) -> dict[str, Any]:
    info = PngInfo()
    for name, data in png_chunks(still):
        if name not in (b"iCCP", b"pHYs", b"eXIf"):  # which Pillow writes
            info.add(name, data)
    return {"disposal": 0, "blend": 0, "pnginfo": info, "dpi": still.dpi}


def _with_palettes(frames: Sequence[Frame]) -> list[Image.Image]:
    """Reduce frames to a palette each: that of the whole film would be coarser, and Pillow's own choice is no better."""
    images = [_with_palette(frame) for frame in frames]
    for image in images if any(image.info for image in images) else ():
        image.info["transparency"] = _CLEAR  # of opaque frames too, or what they cleared would be seen as black
    return images


def _with_palette(frame: Frame) -> Image.Image:
    """Reduce to 255 colours; index _CLEAR is what is seen through."""
    image = Image.fromarray(frame.pixels).quantize(255, Image.Quantize.MEDIANCUT)
    if frame.alpha is None or frame.alpha.min() >= 128:
        return image
    index = np.where(frame.alpha >= 128, np.asarray(image), _CLEAR).astype(np.uint8)
    reduced = Image.fromarray(index, "L")
    palette = image.getpalette() or []
    reduced.putpalette(palette[:765] + [0] * (768 - len(palette[:765])))
    reduced.info["transparency"] = _CLEAR
    return reduced

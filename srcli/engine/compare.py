"""One picture, or a frame of a video, through several networks: results, times and scores on one page."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from srcli.engine.bootstrap import rounded
from srcli.engine.crops import CROP, Box, busiest, spread
from srcli.engine.evaluate import BASELINE, Protocol, shrink
from srcli.engine.evaluate import compare as scores_of
from srcli.engine.upscale import Upscaler
from srcli.errors import BadPicture, BadVideo, UsageError
from srcli.media.color import to_srgb
from srcli.media.picture import Picture
from srcli.media.pixels import flattened, reduced
from srcli.media.read import read_image
from srcli.media.sniff import is_video
from srcli.media.video import Clip, probe_video, upright
from srcli.media.video_reader import VideoReader
from srcli.ops.pixels import UINT8
from srcli.pages import Html, crop, element, large_uri, look, looks, overview, page, section, table
from srcli.pages.viewer import SCRIPT, STYLE, Layer, go, viewer

SHOWN = 4_000_000  # px of a result that a page shows; with more, a part of the input is compared
PLACES = 4  # where the versions differ most
_WARM = 64  # px a side upscaled first, so that no network pays for what all of them use


@dataclass(frozen=True, slots=True)
class Still:
    """A picture as a page shows it, (H, W, 3) uint8 in sRGB, and what was left out to get there."""

    name: str
    pixels: np.ndarray
    notes: tuple[str, ...] = ()


class Entrant(NamedTuple):
    """What takes part: a network under a short name, and how many parameters it was counted with before it was folded."""

    name: str
    upscaler: Upscaler
    parameters: int | None


@dataclass(frozen=True, slots=True)
class Version:
    """One result; what is not known of it is None. `ssim` is nan where less than 11 px are left."""

    name: str
    pixels: np.ndarray  # (s*H, s*W, 3) uint8
    precision: str | None = None
    parameters: int | None = None
    seconds: float | None = None
    psnr: float | None = None
    ssim: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The versions of one picture, bicubic first and the HR, where there is one, last."""

    still: Still
    scale: int
    part: Box  # of the still, in its px: what is compared
    versions: tuple[Version, ...]
    boxes: tuple[Box, ...]  # of the versions, where they differ most

    @property
    def whole(self) -> bool:
        return (self.part.height, self.part.width) == self.still.pixels.shape[:2]


def read_still(path: Path, at: Fraction | None = None) -> Still:
    """Read a picture, or the frame of a video at `at` seconds, else its first; raise BadPicture or BadVideo."""
    if is_video(path):
        return _frame(path, at or Fraction(0))
    picture = read_image(path)
    return Still(path.name, *_displayed(picture))


def fit_hr(hr: Still, lr: Still, scale: int) -> np.ndarray:
    """Return the HR of `lr`, cut at the right and below where it is not a multiple of `scale`; raise BadPicture."""
    height, width = (n * scale for n in lr.pixels.shape[:2])
    beyond = hr.pixels.shape[0] - height, hr.pixels.shape[1] - width
    if not all(0 <= n < scale for n in beyond):
        raise BadPicture(
            f"'{hr.name}' is {hr.pixels.shape[1]}x{hr.pixels.shape[0]}; x{scale} of '{lr.name}' is {width}x{height}; "
            "to make the LR from the HR, name the HR as INPUT too"
        )
    return hr.pixels[:height, :width]


def shrunk(hr: Still, scale: int) -> Still:
    """Return the LR of an HR picture as the papers make it; raise BadPicture where it is too small."""
    height, width = (n // scale * scale for n in hr.pixels.shape[:2])
    if not height or not width:
        raise BadPicture(f"'{hr.name}' is smaller than {scale} px")
    note = f"it was made from the HR by MATLAB's bicubic at 1/{scale}"
    return replace(hr, pixels=shrink(hr.pixels[:height, :width], scale), notes=(*hr.notes, note))


def choose_part(still: Still, scale: int, crop: Box | None = None) -> Box:
    """Return what of a picture is compared: `crop`, else all of it, or of a large one the part with the finest detail.

    Raises UsageError where `crop` reaches out of it, or is more than a page shows.
    """
    height, width = still.pixels.shape[:2]
    if crop is None:
        if height * width * scale**2 <= SHOWN:
            return Box(0, 0, width, height)
        gray = Image.fromarray(still.pixels).convert("L")
        coarse = gray.reduce(2).resize(gray.size, Image.Resampling.BICUBIC)
        detail = spread([np.asarray(image)[..., None] for image in (gray, coarse)])
        return busiest(detail, math.isqrt(SHOWN) // scale)
    if crop.left + crop.width > width or crop.top + crop.height > height:
        raise UsageError(f"--crop {','.join(map(str, crop))} reaches out of the {width}x{height} picture")
    if crop.width * crop.height * scale**2 > SHOWN:
        side = math.isqrt(SHOWN) // scale
        raise UsageError(f"--crop is too large for a page at x{scale}: {side}x{side} px at most, or as many in another shape")
    return crop


def compare_models(
    still: Still,
    entrants: Sequence[Entrant],
    *,
    hr: np.ndarray | None = None,
    part: Box | None = None,
    tick: Callable[[int, str], None] = lambda done, name: None,
) -> Comparison:
    """Upscale a part of a picture by each network, and time it; score it where the HR is given, shaved by the scale.

    `entrants`: bicubic first. `hr` is of the whole picture. `tick` is told how many are done, and which is next.
    """
    scale = entrants[0].upscaler.scale
    height, width = still.pixels.shape[:2]
    part = part or Box(0, 0, width, height)
    enlarged = Box(*(n * scale for n in part))
    target = None if hr is None else enlarged.cut(hr)
    versions = []
    for done, (name, upscaler, parameters) in enumerate(entrants):
        tick(done, name)
        precision = upscaler.choose(part.cut(still.pixels))
        upscaler.pixels(still.pixels[:_WARM, :_WARM], precision=precision)
        started = time.monotonic()
        pixels = _upscaled(upscaler, still.pixels, part=part, precision=precision)
        seconds = time.monotonic() - started
        psnr, ssim = (
            (None, None) if target is None else scores_of(pixels, target, Protocol(scale, border=_shave(target, scale)))
        )
        versions.append(Version(name, pixels, precision, parameters, seconds, psnr, ssim))
    models = [v.pixels for v in versions[1:]]
    boxes = _differing(models if len(models) > 1 else [v.pixels for v in versions], scale)
    if target is not None:
        versions.append(Version("HR", np.ascontiguousarray(target)))
    return Comparison(still, scale, part, tuple(versions), tuple(boxes))


def render(comparison: Comparison, *, device: str) -> str:
    """Return the page as HTML."""
    c = comparison
    names = [v.name for v in c.versions if v.name not in (BASELINE, "HR")] or [BASELINE]
    height, width = c.still.pixels.shape[:2]
    said = [f"{c.still.name}, {width}x{height} px, upscaled x{c.scale} on {device}."]
    said += [f"{note[0].upper()}{note[1:]}." for note in c.still.notes]
    if not c.whole:
        p = c.part
        said.append(
            f"Only a part of it is compared, and timed: {p.width}x{p.height} px from {p.left}, {p.top}; "
            "--crop X,Y,WIDTH,HEIGHT chooses another."
        )
    addresses = [large_uri(v.pixels) for v in c.versions]
    layers = [Layer(v.name, address) for v, address in zip(c.versions, addresses, strict=True)]
    shown = viewer(layers, c.versions[0].pixels.shape[:2])
    lead = element("p", " ".join(said), class_="faint")
    parts = [shown, section("Results", _results(c, addresses))]
    if c.boxes:
        parts.append(section(_where(c), _places(c)))
    return page(f"{c.still.name} x{c.scale}: {', '.join(names)}", *parts, lead=lead, style=STYLE, script=SCRIPT)


def _where(c: Comparison) -> str:
    others = [v.name for v in c.versions if v.name != "HR"]
    if len(others) > 2:
        return "Where the models differ most"
    return f"Where {others[-1]} differs most from {others[0]}" if len(others) == 2 else "Where to look"


def _results(c: Comparison, addresses: Sequence[str]) -> Html:
    columns = ["Version", "Size (px)", "Parameters", "Precision", "Seconds", "File (kB)"]
    scored = any(v.psnr is not None for v in c.versions)
    rows = []
    for v, address in zip(c.versions, addresses, strict=True):
        row = [v.name, f"{v.pixels.shape[1]}x{v.pixels.shape[0]}", f"{v.parameters:,}" if v.parameters else "-"]
        kilobytes = len(address.partition(",")[2]) * 3 / 4 / 1000
        row += [v.precision or "-", rounded(v.seconds, 2), f"{kilobytes:,.0f}"]
        rows.append([*row, rounded(v.psnr, 2), rounded(v.ssim, 4)] if scored else row)
    caption = (
        f"Seconds: one pass over {c.part.width}x{c.part.height} px, after a warm-up. File: lossless, as this page holds it."
    )
    if scored:
        columns += ["PSNR (dB)", "SSIM"]
        last = c.versions[-1].pixels
        caption += f" PSNR and SSIM on Y, {_shave(last, c.scale)} px shaved."
    return table(caption, columns, rows)


def _places(c: Comparison) -> Html:
    lr, versions = c.part.cut(c.still.pixels), c.versions
    places = []
    for number, box in enumerate(c.boxes, 1):
        crops = [crop(box.cut(lr, c.scale), f"input, crop {number}", element("b", "Input"))]
        for v in versions:
            pixels = box.cut(v.pixels)
            caption: list[object] = [element("b", v.name)]
            if v.psnr is not None:
                here = scores_of(pixels, box.cut(versions[-1].pixels), Protocol(c.scale, border=0))[0]
                caption.append(f"{rounded(here, 2)} dB here")
            crops.append(crop(pixels, f"{v.name}, crop {number}", *caption))
        places.append(look(element("span", f"Crop {number} ", go(number, box)), crops))
    corners = " and ".join(f"{b.left}, {b.top}" for b in c.boxes)
    base = versions[-1].pixels if versions[-1].name == "HR" else versions[0].pixels
    return looks(overview(base, c.boxes, f"the picture with the places of its crops, at {corners} px"), places)


def _upscaled(upscaler: Upscaler, pixels: np.ndarray, *, part: Box, precision: object) -> np.ndarray:
    """Upscale a part of a picture with as much of its surroundings as the network looks at."""
    tiling, s = upscaler.model.tiling, upscaler.scale
    top, left = (max(start - tiling.overlap, 0) // tiling.phase * tiling.phase for start in (part.top, part.left))
    bottom, right = part.top + part.height + tiling.overlap, part.left + part.width + tiling.overlap
    sr = upscaler.pixels(pixels[top:bottom, left:right], precision=precision)  # type: ignore[arg-type]
    inner = Box((part.left - left) * s, (part.top - top) * s, part.width * s, part.height * s)
    return np.ascontiguousarray(inner.cut(sr))


def _differing(versions: Sequence[np.ndarray], scale: int) -> list[Box]:
    """Return places apart from each other, the one where the versions differ most first; none where they are equal."""
    weight = spread(versions)
    wanted = min(max(CROP, min(weight.shape) // 16), 3 * CROP // 2)  # more of a large picture
    side = math.ceil(wanted / scale) * scale
    found: list[Box] = []
    for _ in range(PLACES):
        box = busiest(weight, side, step=scale, border=scale, avoid=found)
        if box.cut(weight).max() == 0 or any(_overlap(box, other) for other in found):
            break
        found.append(box)
    return found


def _overlap(a: Box, b: Box) -> bool:
    across = a.left < b.left + b.width and b.left < a.left + a.width
    return across and a.top < b.top + b.height and b.top < a.top + a.height


def _shave(pixels: np.ndarray, scale: int) -> int:
    """Return the px shaved off each side before scores are counted: the scale, where that leaves something."""
    return scale if min(pixels.shape[:2]) > 2 * scale else 0


def _displayed(picture: Picture) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return pixels as a screen shows them, (H, W, 3) uint8 in sRGB, and what that changed."""
    notes = list(picture.notes)
    eight = picture.pixels
    if eight.dtype != UINT8:
        eight = reduced(eight, 8)
        notes.append("shown in 8 bits")
    colored = to_srgb(replace(picture, pixels=eight, notes=()))
    if picture.icc is not None and colored.icc is None:
        notes.append("colours converted to sRGB")
    notes += colored.notes
    pixels = colored.pixels.repeat(3, -1) if colored.pixels.shape[2] == 1 else colored.pixels
    if picture.alpha is not None:
        notes.append("transparency shown on white")
        pixels = flattened(pixels, reduced(picture.alpha, 8))
    return np.ascontiguousarray(pixels), tuple(notes)


def _frame(path: Path, at: Fraction) -> Still:
    """Return the frame that is shown at `at` seconds, upright."""
    video = probe_video(path)
    track = video.tracks[0]
    reader = VideoReader(path, track, Clip(start=at, frames=1))
    shown = next((timed for _, timed in reader.frames()), None)
    if shown is None:
        length = f"; it is {video.seconds:.1f} s long" if video.seconds else ""
        raise BadVideo(f"'{path}' has no frame at {float(at):g} s{length}")
    shown = upright(shown, track)
    pixels, notes = _displayed(Picture(pixels=shown.pixels, alpha=shown.alpha))
    seconds = float(shown.pts * track.time_base - video.start)
    minutes, rest = divmod(max(seconds, 0.0), 60)
    name = f"{path.name} at {int(minutes) // 60}:{int(minutes) % 60:02}:{rest:06.3f}"
    return Still(name, pixels, notes)

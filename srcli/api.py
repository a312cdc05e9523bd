"""srcli from Python: a picture of any common kind in, the same kind out, `scale` times larger."""

import logging
import threading
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import ExifTags, Image
from torch import Tensor

from srcli.checkpoint import Card
from srcli.engine import upscale
from srcli.engine.device import Precision, pick_device
from srcli.errors import UsageError
from srcli.media.exif import orientation_of, patched, size_tags
from srcli.media.metadata import resized
from srcli.media.picture import Picture
from srcli.media.pixels import stacked, upright
from srcli.models.base import SRModel
from srcli.zoo import DEFAULT, open_model

Level = TypeVar("Level", bound=np.generic)
MODES = ("1", "L", "LA", "RGB", "RGBA", "P", "PA", "I;16", "I;16B", "I;16L", "F")
_INSTEAD = {  # of other modes, where the conversion to RGB would lose something
    "I": "give its values as an array, scaled to uint16 or to floats in [0, 1]",
    "La": "use image.convert('LA')",
    "RGBa": "use image.convert('RGBA')",
}


def load(
    model: str | Path = DEFAULT,
    scale: int | None = None,
    *,
    device: torch.device | str = "auto",
    precision: Literal["auto"] | Precision = "auto",
    tile: int | None = None,
    ensemble: bool = False,
    separate_alpha: bool = False,
    offline: bool = False,
) -> "Upscaler":
    """Open what `srcli upscale -m` takes: a shipped name, a weights file of whatever kind, a folder or hf:owner/repo.

    `device`: auto, cpu, cuda, cuda:N or mps. `precision`: auto takes the device's fast format where a probe proves it.
    `tile`: px a side of a tile; 0 takes pictures whole, None as much as the memory holds. `ensemble`: average over the
    8 flips and rotations. `separate_alpha`: alpha is a channel of its own, colour under it stays. `offline`: of the Hub
    only what is cached; of what is not, the licence is logged as a warning before the first use. Raises a
    `srcli.errors.UserError` that says in one line what is missing.
    """
    where = pick_device(str(device))
    if tile is not None and (type(tile) is not int or tile < 0 or 0 < tile < 16):
        raise UsageError(f"tile is at least 16 px, 0 for the whole picture or None, not {tile!r}")
    if scale is not None and scale not in range(1, 17):
        raise UsageError(f"scale is a whole number from 1 to 16, not {scale!r}")
    with torch.random.fork_rng(devices=[]):  # fresh weights are drawn before those of the file take their place
        network, card = open_model(str(model), scale and int(scale), offline=offline, say=logging.getLogger("srcli").warning)
    return Upscaler(
        network, card, device=where, precision=precision, tile=tile, ensemble=ensemble, separate_alpha=separate_alpha
    )


class Upscaler:
    """A network ready for pictures; made by `load`. Threads that share one take turns."""

    def __init__(
        self,
        model: SRModel,
        card: Card,
        *,
        device: torch.device,
        precision: Literal["auto"] | Precision = "auto",
        tile: int | None = None,
        ensemble: bool = False,
        separate_alpha: bool = False,
    ) -> None:
        self._engine = upscale.Upscaler(
            model, device=device, precision=precision, tile=tile, ensemble=ensemble, separate=separate_alpha
        )
        self.model = self._engine.model
        self.card = card  # arch, scale, licence, source, scores
        self.scale = model.scale
        self.device = device
        self._turn = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _turn=threading.Lock())

    def __repr__(self) -> str:
        return f"<srcli.Upscaler {self.card.arch} x{self.scale} on {self.device}>"

    @overload
    def __call__(self, image: Image.Image) -> Image.Image: ...
    @overload
    def __call__(self, image: Tensor) -> Tensor: ...
    @overload
    def __call__(self, image: npt.NDArray[Level]) -> npt.NDArray[Level]: ...
    def __call__(self, image: Image.Image | Tensor | npt.NDArray[Any]) -> Image.Image | Tensor | npt.NDArray[Any]:
        """Upscale one picture, or a batch of tensors; what is passed in is not changed.

        PIL image: L, LA, RGB, RGBA, I;16 or F in [0, 1] gives the same mode, 1 gives L, a palette RGB or RGBA, a transparent
        level alpha; a photograph is turned upright as its EXIF data say; `info` (profile, dpi, EXIF) is kept.
        Array: (H, W) or (H, W, C), uint8, uint16, or floats in [0, 1] computed in float32.
        Tensor: (C, H, W) or (N, C, H, W), floats in [0, 1] on any device; no gradient flows back. C is 1 gray, 2 gray
        and alpha, 3 RGB or 4 RGBA. The result is clamped, of the same shape times the scale, dtype and device.
        Raises TypeError for other kinds and dtypes, ValueError for other shapes and for floats outside [0, 1].
        """
        if isinstance(image, Image.Image):
            return self._image(image)
        if isinstance(image, Tensor):
            return self._tensor(image)
        if isinstance(image, np.ndarray):
            return self._array(image)
        hint = "; open the file first: PIL.Image.open" if isinstance(image, str | PathLike) else ""
        raise TypeError(f"a picture is a PIL image, a numpy array or a torch tensor, not {type(image).__name__}{hint}")

    def _image(self, image: Image.Image) -> Image.Image:
        if image.mode not in MODES:
            advice = _INSTEAD.get(image.mode, "use image.convert('RGB')")
            raise ValueError(f"pictures of mode '{image.mode}' are not supported; {advice}")
        if image.mode.startswith("I;16") and image.has_transparency_data:
            raise ValueError("16-bit gray with a transparent level has no mode with alpha; give its pixels as (H, W, 2) uint16")
        exif = image.info.get("exif")
        bare = exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else None
        pixels = upright(_pixels(image), orientation_of(bare))
        out = Image.fromarray(self._array(pixels))
        out.info = {key: value for key, value in image.info.items() if key != "transparency"}  # it is in the alpha now
        if bare:
            out.info["exif"] = b"Exif\0\0" + patched(bare, {ExifTags.Base.Orientation: 1, **size_tags(out.height, out.width)})
        if isinstance(xmp := out.info.get("xmp"), bytes):
            out.info["xmp"] = resized(xmp, out.height, out.width)
        return out

    def _tensor(self, x: Tensor) -> Tensor:
        if not x.is_floating_point():
            raise TypeError(f"a tensor holds floats in [0, 1], not {x.dtype}; divide by the largest level first")
        if x.ndim not in (3, 4) or 0 in x.shape:
            raise ValueError(f"a tensor is (C, H, W) or (N, C, H, W) and not empty, not {tuple(x.shape)}")
        if not 1 <= x.shape[-3] <= 4:
            hint = "; move the channels: x.movedim(-1, -3)" if 1 <= x.shape[-1] <= 4 else ""
            raise ValueError(f"a tensor is (C, H, W) or (N, C, H, W), C 1 to 4, not {tuple(x.shape)}{hint}")
        if x.ndim == 3:
            return self._tensor(x[None])[0]
        pictures = x.detach().permute(0, 2, 3, 1).float().cpu().numpy()  # (N, H, W, C)
        out = np.stack([self._array(picture) for picture in pictures])
        return torch.from_numpy(out).permute(0, 3, 1, 2).contiguous().to(x)

    def _array(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if array.ndim == 2:
            return self._array(array[..., None])[..., 0]
        if array.ndim != 3 or not 1 <= array.shape[2] <= 4 or 0 in array.shape:
            first = array.ndim == 3 and 1 <= array.shape[0] <= 4 and 0 not in array.shape
            hint = "; move the channels: numpy.moveaxis(a, 0, -1)" if first else ""
            raise ValueError(f"a picture is (H, W) or (H, W, C), C 1 to 4, and not empty, not {array.shape}{hint}")
        levels = _levels(array)
        channels = 3 if array.shape[2] > 2 else 1
        alpha = levels[..., -1] if array.shape[2] in (2, 4) else None
        with self._turn:
            self._engine.runner.look_at_memory()
            out = self._engine(Picture(levels[..., :channels], alpha))
        return stacked(out).astype(array.dtype, copy=False)


def _pixels(image: Image.Image) -> npt.NDArray[Any]:
    """Return (H, W) or (H, W, C) pixels of a PIL image, transparency of whatever kind as the last channel."""
    if image.mode not in ("LA", "RGBA") and image.has_transparency_data:
        rgba = np.array(image.convert("RGBA"))
        return rgba[..., 2:] if image.mode in ("1", "L") else rgba
    if image.mode == "1":
        return np.array(image.convert("L"))
    return np.array(image.convert("RGB") if image.mode in ("P", "PA") else image)


def _levels(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return uint8 and uint16 as they are and floats as float32, writable and in the machine's byte order."""
    kind = array.dtype.newbyteorder("=")
    if kind in (np.uint8, np.uint16):
        return np.require(array.astype(kind, copy=False), requirements="W")  # torch warns of what it could not write to
    if not np.issubdtype(kind, np.floating):
        raise TypeError(f"an array holds uint8, uint16 or floats in [0, 1], not {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if np.isnan(low):
        raise ValueError("floats are in [0, 1], and these hold nan")
    if not 0 <= low <= high <= 1:
        raise ValueError(f"floats are in [0, 1], these from {low:g} to {high:g}; scale or clip them first")
    return np.require(array.astype(np.float32, copy=False), requirements="W")

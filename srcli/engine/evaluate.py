"""PSNR and SSIM of models, or of ready pictures, against HR folders, as the papers count them."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from srcli.engine.data import list_pictures, partner, read_rgb
from srcli.engine.upscale import Upscaler
from srcli.errors import BadPicture, UsageError
from srcli.media.image import Picture, write_image
from srcli.ops.color import luma
from srcli.ops.metrics import psnr, shave, ssim
from srcli.ops.pixels import UINT8, quantize, to_array, to_tensor
from srcli.ops.resize import resize

Channel = Literal["y", "rgb"]


@dataclass(frozen=True, slots=True)
class Score:
    """One picture's scores; `ssim` is nan where less than 11 px are left. `gray`: read as three equal channels."""

    picture: str
    psnr: float
    ssim: float
    seconds: float
    gray: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """The means over a folder, and how they were counted."""

    model: str
    dataset: str
    scale: int
    pictures: int
    psnr: float
    ssim: float
    protocol: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Protocol:
    """How scores are counted: on Y or RGB, `border` px shaved off, LR made by bicubic or given."""

    scale: int
    channel: Channel = "y"
    border: int | None = None  # None: the scale
    lr_given: bool = False
    sr_given: bool = False

    @property
    def shave(self) -> int:
        return self.scale if self.border is None else self.border

    def __str__(self) -> str:
        channel = "Y (BT.601)" if self.channel == "y" else "RGB"
        source = "SR given" if self.sr_given else "LR given" if self.lr_given else "LR MATLAB bicubic, 8 bit"
        return f"{channel}, shave {self.shave}, modcrop {self.scale}, {source}, SR 8 bit RGB"


def evaluate(
    upscaler: Upscaler, folder: Path, protocol: Protocol, *, lr_folder: Path | None = None, save: Path | None = None
) -> Iterator[Score]:
    """Upscale the LR of every HR picture in `folder` and score it; LR is made by bicubic where no folder has it.

    `save`: a folder that takes the SR pictures as PNG. Raises BadFolder, BadPicture.
    """
    for path in list_pictures(folder):
        hr, gray = _read_hr(path, protocol.scale)
        lr = _read(partner(path, lr_folder, protocol.scale)) if lr_folder else shrink(hr, protocol.scale)
        started = time.monotonic()
        sr = upscaler.pixels(lr)
        seconds = time.monotonic() - started
        if sr.shape != hr.shape:
            raise BadPicture(
                f"the LR of '{path.name}' is {lr.shape[1]}x{lr.shape[0]}; x{protocol.scale} of it is not "
                f"the HR's {hr.shape[1]}x{hr.shape[0]}"
            )
        if save:
            write_image(Picture(pixels=sr, alpha=None), save / f"{path.stem}.png", format="png")
        yield Score(path.name, *compare(sr, hr, protocol), seconds, gray)


def evaluate_pictures(sr_folder: Path, folder: Path, protocol: Protocol) -> Iterator[Score]:
    """Score ready SR pictures, of any tool, that carry the names of the HR pictures in `folder`."""
    for path in list_pictures(folder):
        hr, gray = _read_hr(path, protocol.scale)
        ready = partner(path, sr_folder, protocol.scale)
        sr = _read(ready)
        if sr.shape[0] < hr.shape[0] or sr.shape[1] < hr.shape[1]:
            raise BadPicture(f"'{ready}' is {sr.shape[1]}x{sr.shape[0]}, smaller than its HR {hr.shape[1]}x{hr.shape[0]}")
        yield Score(path.name, *compare(sr[: hr.shape[0], : hr.shape[1]], hr, protocol), 0.0, gray)


def compare(sr: np.ndarray, hr: np.ndarray, protocol: Protocol) -> tuple[float, float]:
    """Return (PSNR in dB, SSIM) of two (H, W, 3) uint8 pictures."""
    a, b = (shave(_channel(to_tensor(x).double(), protocol.channel), protocol.shave) for x in (sr, hr))
    if min(a.shape[-2:]) < 1:
        raise UsageError(f"--shave {protocol.shave} leaves nothing of a {hr.shape[1]}x{hr.shape[0]} picture")
    return psnr(a, b), ssim(a, b) if min(a.shape[-2:]) >= 11 else math.nan


def shrink(hr: np.ndarray, scale: int) -> np.ndarray:
    """Make the LR of (s*H, s*W, 3) uint8: MATLAB bicubic in double precision, rounded to 8 bit."""
    lr = resize(to_tensor(hr).double(), hr.shape[0] // scale, hr.shape[1] // scale)
    return to_array(quantize(lr), UINT8)


def summarize(model: str, folder: Path, protocol: Protocol, scores: list[Score]) -> Summary:
    """Return the means of `scores`; pictures too small for SSIM do not count in its mean."""
    ssims = [s.ssim for s in scores if not math.isnan(s.ssim)]
    return Summary(
        model,
        folder.name,
        protocol.scale,
        len(scores),
        sum(s.psnr for s in scores) / len(scores),
        sum(ssims) / len(ssims) if ssims else math.nan,
        str(protocol) + (", gray as 3 equal channels" if any(s.gray for s in scores) else ""),
        sum(s.seconds for s in scores),
    )


def _channel(x: Tensor, channel: Channel) -> Tensor:
    return luma(x) if channel == "y" else x


def _read_hr(path: Path, scale: int) -> tuple[np.ndarray, bool]:
    """Return the picture cropped to a multiple of `scale`, and whether it is gray."""
    pixels = _read(path)
    height, width = (n // scale * scale for n in pixels.shape[:2])
    if not height or not width:
        raise BadPicture(f"'{path}' is smaller than {scale} px")
    gray = bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())
    return pixels[:height, :width], gray


def _read(path: Path) -> np.ndarray:
    try:
        return read_rgb(path)
    except (OSError, ValueError, SyntaxError) as error:
        raise BadPicture(f"'{path}' cannot be read: {error}") from error

"""Degradations: what cameras and web pages do to pictures (`photo`), and the codecs of videos to frames (`video`).

`photo` is random blur, resizing, noise and JPEG, the practical pipelines of Zhang et al. (BSRGAN, ICCV 2021) and Wang et al.
(Real-ESRGAN, ICCVW 2021) in random order, at strengths met in photographs and web pictures rather than at their worst. `video`
is resizing and H.264: the LR is a frame of a short clip in which the picture moves. Every picture's choices are a function of
the key given for it. JPEG and H.264 are encoded on the host by Pillow and x264, as the pictures and videos met are, so the
trainer keeps the rest there too.
"""

import io
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from srcli.ops.pixels import UINT8, quantize, to_array, to_tensor
from srcli.ops.resize import resize

BLURRED, NOISY, COMPRESSED_BEFORE, COMPRESSED_LAST = 0.5, 0.6, 0.3, 0.8  # how often each happens
BLUR = (0.1, 0.6)  # standard deviations in LR px: from the sharp lens to the missed focus of a shrunken photo
NOISE = 10.0  # largest Gaussian standard deviation in levels; small ones are as much likelier as they are smaller
PHOTONS = (200.0, 4000.0)  # at white: ISO 3200 to base ISO, shrunken
QUALITY_BEFORE, QUALITY_LAST = (75, 97), (50, 96)

CRF = (16, 36)  # of x264: from what looks like the source to what blocks show in
CLIP = 4  # frames at most
MOVING, SPEED = 0.6, 3.0  # how often a clip's picture moves, and its largest step between frames in LR px
BLOCK = 16  # px a side of the macroblocks that H.264 cuts a frame into

Kind = Literal["photo", "video"]


def degrade(
    hr: Tensor,
    scale: int,
    keys: Sequence[Sequence[int]],
    kind: Kind = "photo",
    *,
    clean: float = 0.0,
    pool: Executor | None = None,
) -> Tensor:
    """Make LR (N, 3, H, W) from (N, 3, s*H, s*W) in [0, 1], rounded to 8 bit; picture n by the choices of keys[n].

    `clean`: the share of those that `photo` makes bicubic, with JPEG at the end or not, as of all.
    `pool`: its threads take a picture each.
    """

    def one(pair: tuple[Tensor, Sequence[int]]) -> Tensor:
        x, rng = pair[0][None], np.random.default_rng(pair[1])
        return _photo(x, scale, rng, clean) if kind == "photo" else _frame(x, scale, rng)

    return torch.cat(list((pool.map if pool else map)(one, zip(hr, keys, strict=True))))


def degrade_picture(hr: np.ndarray, scale: int, key: Sequence[int], kind: Kind = "photo") -> np.ndarray:
    """Make the LR of (s*H, s*W, 3) uint8 pixels."""
    return to_array(degrade(to_tensor(hr), scale, [key], kind), UINT8)


def _photo(x: Tensor, scale: int, rng: np.random.Generator, clean: float) -> Tensor:
    height, width = (n // scale for n in x.shape[-2:])
    bicubic = clean and rng.random() < clean
    x = resize(x, height, width).clamp(0, 1) if bicubic else _worn(x, height, width, rng)
    return _jpeg(x, QUALITY_LAST, rng) if rng.random() < COMPRESSED_LAST else quantize(x)


def _worn(x: Tensor, height: int, width: int, rng: np.random.Generator) -> Tensor:
    for name in rng.permutation(["blur", "shrink", "noise", "jpeg"]):
        left = x.shape[-1] / width  # px for one of the LR
        if name == "blur" and rng.random() < BLURRED:
            x = _blur(x, left, rng)
        elif name == "shrink":
            x = _shrink(x, height, width, rng)
        elif name == "noise" and rng.random() < NOISY:
            x = _noise(x, left, rng)
        elif name == "jpeg" and rng.random() < COMPRESSED_BEFORE:
            x = _jpeg(x, QUALITY_BEFORE, rng)
    return x


def _frame(x: Tensor, scale: int, rng: np.random.Generator) -> Tensor:
    """Make the LR a frame of a clip: any of its frames, so that it may be coded whole or from those around it."""
    from srcli.media.h264 import coded  # loads PyAV

    height, width = (n // scale for n in x.shape[-2:])
    frames = int(rng.integers(1, CLIP + 1))
    this = int(rng.integers(frames))
    top, left = (int(n) for n in rng.integers(BLOCK, size=2))  # a patch's macroblocks begin anywhere
    step = rng.uniform(-SPEED, SPEED, size=2) * scale if rng.random() < MOVING else np.zeros(2)
    clip = _resize(torch.cat([_moved(x, step * (n - this)) for n in range(frames)]), height, width, rng)
    around = ((0, 0), (top, (top + height) % 2), (left, (left + width) % 2), (0, 0))  # 4:2:0 has even sides
    pixels = list(np.pad([to_array(frame[None], UINT8) for frame in clip], around, mode="symmetric"))
    found = coded(pixels, int(rng.integers(CRF[0], CRF[1] + 1)))[this]
    return to_tensor(np.ascontiguousarray(found[top : top + height, left : left + width]), x.device)


def _moved(x: Tensor, by: np.ndarray) -> Tensor:
    """Move a picture by (down, right) px, rounded; mirrored beyond its edges."""
    for axis, shift in ((-2, by[0]), (-1, by[1])):
        last = max(1, x.shape[axis] - 1)
        places = torch.arange(x.shape[axis]).sub(round(shift)).remainder(2 * last)
        x = x.index_select(axis, torch.minimum(places, 2 * last - places).to(x.device))
    return x


def _blur(x: Tensor, unit: float, rng: np.random.Generator) -> Tensor:
    """Blur by a Gaussian, round or stretched in any direction; edges mirrored."""
    first, second = rng.uniform(*BLUR, size=2) * unit
    if rng.random() < 0.5:
        second = first
    angle = rng.uniform(0, np.pi)
    radius = min(int(np.ceil(3 * max(first, second))), min(x.shape[-2:]) - 1)
    v, u = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along, across = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    kernel = np.exp(-0.5 * ((along / first) ** 2 + (across / second) ** 2))
    weight = torch.from_numpy(kernel / kernel.sum()).to(x)
    x = F.pad(x, [radius] * 4, mode="reflect")
    return F.conv2d(x, weight.expand(3, 1, -1, -1), groups=3)


def _shrink(x: Tensor, height: int, width: int, rng: np.random.Generator) -> Tensor:
    """Come to the LR's size, in one step or by way of another size, each with a kernel of its own."""
    if rng.random() < 0.3:
        way = rng.uniform(1.2, max(1.3, x.shape[-1] / width))
        x = _resize(x, round(height * way), round(width * way), rng)
    return _resize(x, height, width, rng).clamp(0, 1)


def _resize(x: Tensor, height: int, width: int, rng: np.random.Generator) -> Tensor:
    kind = rng.choice(["bicubic", "bilinear", "area"], p=[0.6, 0.2, 0.2])
    if kind == "bicubic":
        return resize(x, height, width)
    if kind == "bilinear":
        return F.interpolate(x, (height, width), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(x, (height, width), mode="area")


def _noise(x: Tensor, unit: float, rng: np.random.Generator) -> Tensor:
    """Add Gaussian noise, on every colour or on all alike, or a sensor's Poisson noise.

    On a picture that is still to be shrunken `unit` times it is as much stronger as that averages away.
    """
    shape = (1, 1 if rng.random() < 0.4 else 3, *x.shape[-2:])
    normal = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(x) * unit
    if rng.random() < 0.4:
        photons = float(np.exp(rng.uniform(*np.log(PHOTONS))))
        return (x + normal * (x.clamp(0, 1) / photons).sqrt()).clamp(0, 1)  # near enough to Poisson's at these counts
    return (x + normal * (NOISE / 255 * rng.random() ** 2)).clamp(0, 1)


def _jpeg(x: Tensor, qualities: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Encode and decode; the 8x8 grid starts anywhere, as it does in a patch of a larger picture."""
    top, left = (int(n) for n in rng.integers(8, size=2))
    picture = np.pad(to_array(quantize(x), UINT8), ((top, 0), (left, 0), (0, 0)), mode="symmetric")
    file = io.BytesIO()
    quality, subsampling = int(rng.integers(qualities[0], qualities[1] + 1)), 0 if rng.random() < 0.4 else 2  # 4:4:4, 4:2:0
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as image:
        return to_tensor(np.array(image)[top:, left:], x.device)

"""How far tiles are from the whole picture, measured through the Upscaler as it runs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from srcli.engine.upscale import Upscaler
from srcli.media.read import read_image
from srcli.models import label_of
from srcli.models.base import Kind, SRModel, Tiling
from srcli.ops.pixels import UINT8, to_array, to_tensor
from srcli.ops.tiles import plan_tiles
from srcli.zoo import Say, names_network, open_model, open_network, shipped

Weights = Literal["trained", "fresh", "random", "none"]
UNTRAINED: dict[Weights, str] = {
    "fresh": "no weights ship, the network starts as interpolation",
    "random": "no weights ship, and no start as interpolation is known",
}
_UNSEEN = 64  # px of the default picture that no tile of the first row and column reads


@dataclass(frozen=True, slots=True)
class Deviation:
    """A network's tiled output beside its whole output, in levels of 8 bit."""

    model: str
    label: str
    scale: int
    weights: Weights
    kind: Kind
    overlap: int
    phase: int
    picture: tuple[int, int]  # height, width
    tile: int  # px a side that one tile gives
    tiles: int
    largest: int
    share: float  # of the values that differ at all


def measure_tiling(
    networks: Iterable[tuple[SRModel, Weights]], pixels: np.ndarray | None = None, *, device: torch.device | str = "cpu"
) -> Iterator[Deviation]:
    """Upscale (H, W, 1 or 3) uint8 `pixels` whole and in at least 2x2 tiles, in float32, with each network.

    Without `pixels` each network gets a made picture so large that no tile reads all of it.
    """
    for model, weights in networks:
        picture = made_picture(*_enough(model.tiling)) if pixels is None else pixels
        height, width = picture.shape[:2]
        side = half_of(height, width, model.tiling.phase)
        whole, tiled = (
            Upscaler(model, device=device, precision="fp32", tile=tile).pixels(picture).astype(int) for tile in (0, side)
        )
        error = np.abs(tiled - whole)
        yield Deviation(
            model=model.arch,
            label=label_of(model.arch),
            scale=model.scale,
            weights=weights,
            **model.tiling._asdict(),
            picture=(height, width),
            tile=side,
            tiles=len(plan_tiles(height, width, side, model.tiling.overlap, model.tiling.phase)),
            largest=int(error.max()),
            share=float((error > 0).mean()),
        )


def network_with_weights(
    reference: str, scale: int | None = None, *, offline: bool = False, say: Say = lambda line: None
) -> tuple[SRModel, Weights]:
    """Return the network with its file's or its shipped weights; where there are none, fresh ones that interpolate, or random.

    `offline`, `say`: as zoo.open_model has them.
    """
    torch.manual_seed(0)
    model = open_network(reference, scale, offline=offline, say=say)
    if not model.learnt:
        return model, "none"
    if not names_network(reference, scale):
        return model, "trained"
    if (model.arch, model.scale) in {(file.name, file.scale) for file in shipped()}:
        return open_model(model.arch, model.scale)[0], "trained"
    return model, "fresh" if model.start_as_upsampler() else "random"


def read_levels(path: Path) -> np.ndarray:
    """Read a picture as (H, W, 1 or 3) uint8 without its alpha."""
    return to_array(to_tensor(read_image(path).pixels), UINT8)


def half_of(height: int, width: int, phase: int = 1) -> int:
    """Return a tile side, a multiple of `phase`, of about half the shorter side of a picture, so that it cuts both."""
    shorter = min(height, width)
    half = -(-shorter // (2 * phase)) * phase
    return max(half if half < shorter else half - phase, phase)


def made_picture(height: int, width: int) -> np.ndarray:
    """Make (height, width, 3) uint8 with slopes, edges and a little noise, the same each time."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    slopes = np.stack([128 + 60 * np.sin(x / (5 + c)) * np.cos(y / (7 - c)) for c in range(3)], -1)
    edges = 50 * ((x // 13 + y // 9) % 2) - 25
    picture: np.ndarray = slopes + edges[..., None] + rng.normal(0, 3, (height, width, 3))
    return picture.clip(0, 255).astype(np.uint8)


def _enough(tiling: Tiling) -> tuple[int, int]:
    """Return (height, width) of a picture of which a tile does not see the far side."""
    side = 2 * tiling.overlap + _UNSEEN
    return side, side + 10

"""Training patches: pictures held decoded as uint8 on the training device, cropped, turned and downsampled there.

Every draw is a function of (seed, step), so a resumed run sees the same patches.
"""

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from srcli.engine.degrade import degrade, degrade_picture
from srcli.errors import BadFolder, BadPicture, TrainingFailed
from srcli.ops.pixels import quantize
from srcli.ops.resize import resize

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm", ".pgm"}


Degradation = Literal["bicubic", "photo"]


class Batch(NamedTuple):
    """A batch of pairs in [0, 1]: `lr` (N, 3, P, P), `hr` (N, 3, s*P, s*P)."""

    lr: Tensor
    hr: Tensor


def list_pictures(folder: Path) -> list[Path]:
    """List the pictures below `folder` in order; raise BadFolder where there are none."""
    if not folder.is_dir():
        raise BadFolder(f"no folder '{folder}'")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise BadFolder(f"no pictures in '{folder}'")
    return files


def read_rgb(path: Path) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8; gray becomes three equal channels. Raises what Pillow raises."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def partner(path: Path, folder: Path, scale: int) -> Path:
    """Find the LR or SR picture of an HR picture in `folder`; raise BadFolder where there is none.

    It has the same name, or x4, _x4 or the like behind it. It lies in `folder`, or where DIV2K and EDSR (X4), BasicSR
    (X4_sub, LRbicx4) and benchmark folders (LR_bicubic/X4) keep that scale.
    """
    stems = [path.stem + ending for ending in ("", f"x{scale}", f"_x{scale}", f"x{scale}m", "_LR", "_lr", "_SR", "_sr")]
    places = ("", f"X{scale}", f"x{scale}", f"X{scale}_sub", f"x{scale}_sub", f"LRbicx{scale}", f"LR_bicubic/X{scale}")
    for place in places:
        if not (folder / place).is_dir():
            continue
        for stem in stems:
            for suffix in (path.suffix, ".png", ".jpg", ".bmp", ".tif", ".webp"):
                if (candidate := folder / place / f"{stem}{suffix}").is_file():
                    return candidate
    raise BadFolder(f"no partner of '{path.name}' in '{folder}' (tried {', '.join(stems[:3])} ...)")


def read_pictures(files: list[Path], *, threads: int = 4) -> Iterator[tuple[Path, np.ndarray | str]]:
    """Yield (path, pixels or the reason it cannot be read), in order, decoded ahead in threads."""

    def read(path: Path) -> np.ndarray | str:
        try:
            return read_rgb(path)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return f"{error}"

    with ThreadPoolExecutor(threads) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield from zip(files, pool.map(read, files), strict=True)


def degrade_folder(folder: Path, lr_folder: Path, scale: int, *, seed: int) -> None:
    """Write the `photo` LR of every picture in `folder` as PNG to `lr_folder`; picture n's choices depend on (seed, n)."""
    for n, (path, pixels) in enumerate(read_pictures(list_pictures(folder))):
        if isinstance(pixels, str):
            raise BadPicture(f"'{path}' cannot be read: {pixels}")
        height, width = (size // scale * scale for size in pixels.shape[:2])
        lr = degrade_picture(pixels[:height, :width], scale, (seed, n + 1))
        Image.fromarray(lr).save(lr_folder / f"{path.stem}.png")


class Patches:
    """Random pairs from pictures in memory.

    Bicubic LR patches of `patch` px equal the crops of the whole picture's LR; a photo's are degraded one by one.
    """

    def __init__(self, scale: int, patch: int, device: torch.device, *, degradation: Degradation = "bicubic") -> None:
        self.scale, self.patch, self.device, self.degradation = scale, patch, device, degradation
        self._given: list[Tensor | None] = []  # the LR, (3, H, W) uint8, where it is not to be made
        self._pictures: list[Tensor] = []  # (3, H, W) uint8, mirrored by 2*scale px on each side
        self._weights: list[int] = []
        self._sides: list[int] = []  # the shorter side in LR px
        self.largest = 0  # the largest LR patch that some picture gave holds

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def pixels(self) -> int:
        """HR pixels held, without the mirrored borders."""
        margin = 4 * self.scale
        return sum((p.shape[1] - margin) * (p.shape[2] - margin) for p in self._pictures)

    def add(self, pixels: np.ndarray, lr: np.ndarray | None = None) -> bool:
        """Take a (H, W, 3) uint8 picture, and its LR where that is given; False where it is smaller than a patch."""
        s = self.scale
        height, width = pixels.shape[0] // s, pixels.shape[1] // s  # LR size
        self.largest = max(self.largest, min(height, width))
        if min(height, width) < self.patch:
            return False
        # the context that the kernel reaches beyond a patch; at the picture's edge, the mirror MATLAB's imresize uses
        padded = np.pad(pixels[: height * s, : width * s], ((2 * s, 2 * s), (2 * s, 2 * s), (0, 0)), mode="symmetric")
        self._given.append(None if lr is None else torch.from_numpy(lr).permute(2, 0, 1).contiguous().to(self.device))
        self._pictures.append(torch.from_numpy(padded).permute(2, 0, 1).contiguous().to(self.device))
        self._weights.append(height * width)
        self._sides.append(min(height, width))
        return True

    def check(self, patch: int) -> None:
        """Raise TrainingFailed, with the largest patch that fits, where no picture holds one."""
        if self.largest < patch:
            raise TrainingFailed(
                f"no picture holds a patch of {patch} px ({patch * self.scale} px of HR); "
                f"the largest that fits is --patch {self.largest}"
                if self.largest
                else "no readable pictures to train on"
            )

    def draw(self, seed: int, step: int, batch: int, *, part: int = 0, parts: int = 1, patch: int | None = None) -> Batch:
        """Draw `batch` pairs for `step`: pictures by area, positions on the LR grid, one of 8 flips and rotations each.

        They are part number `part` of one draw of `parts * batch` pairs; only they are cut out. `patch`: LR px, where
        not the patch that all pictures hold.
        """
        rng = np.random.default_rng([seed, step])
        s, patch = self.scale, patch or self.patch
        side = (patch + 4) * s
        chances = np.asarray(self._weights, dtype=np.float64) * (np.asarray(self._sides) >= patch)
        pictures = rng.choice(len(chances), size=parts * batch, p=chances / chances.sum())
        turns = rng.integers(8, size=parts * batch)
        crops, given = [], []
        for i, (picture, turn) in enumerate(zip(pictures, turns, strict=True)):
            source, ready = self._pictures[picture], self._given[picture]
            rows, columns = ((n - 4 * s) // s - patch + 1 for n in source.shape[1:])
            row, column = int(rng.integers(rows)), int(rng.integers(columns))  # on the LR grid
            if i // batch != part:
                continue
            crops.append(_turn(source[:, row * s : row * s + side, column * s : column * s + side], turn))
            if ready is not None:
                given.append(_turn(ready[:, row : row + patch, column : column + patch], turn))
        context = torch.stack(crops).float() / 255  # (N, 3, side, side)
        hr = F.pad(context, [-2 * s] * 4)
        if given:
            return Batch(torch.stack(given).float() / 255, hr)
        if self.degradation == "photo":
            keys = [(seed, step, part * batch + i + 1) for i in range(batch)]  # + 1: numpy takes a last 0 for none
            return Batch(degrade(context, s, keys)[..., 2:-2, 2:-2].contiguous(), hr)
        return Batch(quantize(resize(context, patch + 4, patch + 4)[..., 2:-2, 2:-2]), hr)


def _turn(x: Tensor, turn: int) -> Tensor:
    """Turn (C, H, W) in one of 8 ways."""
    if turn & 1:
        x = x.flip(1)
    if turn & 2:
        x = x.flip(2)
    return x.mT if turn & 4 else x

"""Training patches: pictures, or crops of them, held decoded as uint8 on the device that they are cut and degraded on.

Every draw is a function of (seed, step), so a resumed run sees the same patches.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srcli.engine.degrade import Kind, degrade
from srcli.engine.folders import read_pictures, read_rgb
from srcli.engine.scenes import draw_scene
from srcli.errors import BadPicture, TrainingFailed, UsageError
from srcli.media.probe import probe
from srcli.ops.pixels import quantize, to_levels
from srcli.ops.resize import resize

Degradation = Literal["bicubic"] | Kind


class Files(NamedTuple):
    """A picture to train on: its HR and, where they are given, its LR and a teacher's SR."""

    hr: Path
    lr: Path | None = None
    taught: Path | None = None


class Batch(NamedTuple):
    """A batch in [0, 1]: `lr` (N, 3, P, P), `hr` (N, 3, s*P, s*P), `taught` as `hr`: a teacher's SR where it is at hand."""

    lr: Tensor
    hr: Tensor
    taught: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with every tensor changed."""
        return Batch(change(self.lr), change(self.hr), None if self.taught is None else change(self.taught))


@dataclass(frozen=True, slots=True)
class Making:
    """How pairs are made of HR where no LR or SR is given."""

    degradation: Degradation = "bicubic"
    shrink: float = 1.0  # pictures are reduced by random factors from this to 1 first
    drawings: float = 0.0  # share of the pairs that a scene is drawn over
    clean: float = 0.0  # share of the pairs that `photo` makes bicubic, with JPEG at the end or not
    pool: Executor | None = None  # degrades; ends with the source's `close`


BICUBIC = Making()


class _Pairs:
    """What pairs are drawn from: how they are made, and the names of pictures that cannot be used."""

    def __init__(self, scale: int, patch: int, device: torch.device, making: Making) -> None:
        self.scale, self.patch, self.device, self.making = scale, patch, device, making
        self.largest = 0  # the largest LR patch that some picture given holds
        self.unreadable: list[str] = []
        self.unlike: list[str] = []  # HR whose LR or SR has another size
        self.small: list[str] = []

    def check(self, patch: int, setting: str = "--patch") -> None:
        """Raise TrainingFailed, with the largest patch that fits, where no picture holds one. `setting`: what it comes from."""
        if not self.largest:
            small = f"all pictures are smaller than {self.scale} px a side, one px of LR; train on larger ones"
            raise TrainingFailed(small if self.small else "no readable pictures to train on")
        if self.largest < patch:
            largest = f"({patch * self.scale} px of HR); the largest that fits is {setting} {self.largest}"
            raise TrainingFailed(f"no picture holds a patch of {patch} px {largest}")

    def news(self) -> list[str]:
        """Return, once, what went wrong while reading."""
        return []

    def close(self) -> None:
        """Let the threads end that degrade."""
        if self.making.pool:
            self.making.pool.shutdown(cancel_futures=True)


class _Picture(NamedTuple):
    """A picture in memory, uint8, with its height and width in LR px."""

    hr: Tensor  # (3, H, W), mirrored by 2*scale px on each side
    lr: Tensor | None  # where it is not to be made
    taught: Tensor | None  # a teacher's SR, (3, s*H, s*W), where it is at hand
    height: int
    width: int


class Patches(_Pairs):
    """Random pairs from pictures in memory.

    Bicubic LR patches of `patch` px equal crops of the LR of the whole picture begun at some px of HR, but for those drawn
    over; those of photos and videos are degraded one by one.
    """

    def __init__(self, scale: int, patch: int, device: torch.device, making: Making = BICUBIC) -> None:
        super().__init__(scale, patch, device, making)
        self._pictures: list[_Picture] = []
        self._known: dict[tuple[int, int], np.ndarray] = {}  # the chances of so many pictures, for a patch

    def read(self, files: Sequence[Files]) -> None:
        """Add all pictures; count and name those that cannot be used."""
        pictures = read_pictures([path for picture in files for path in picture if path is not None])
        for picture in files:
            hr, lr, taught = read = [next(pictures)[1] if path is not None else None for path in picture]
            if hr is None or isinstance(hr, str) or isinstance(lr, str) or isinstance(taught, str):
                self.unreadable += [
                    path.name for path, each in zip(picture, read, strict=True) if path and isinstance(each, str)
                ]
            elif not _fit(self.scale, hr.shape[:2], *(None if pixels is None else pixels.shape[:2] for pixels in (lr, taught))):
                self.unlike.append(picture.hr.name)
            elif not self.add(hr, lr, taught):
                self.small.append(picture.hr.name)

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def pixels(self) -> int:
        """HR pixels held, without the mirrored borders."""
        return sum(p.height * p.width for p in self._pictures) * self.scale**2

    def add(self, pixels: np.ndarray, lr: np.ndarray | None = None, taught: np.ndarray | None = None) -> bool:
        """Take a (H, W, 3) uint8 picture, and its LR and SR where they are given; False where it is smaller than a patch."""
        s = self.scale
        height, width = pixels.shape[0] // s, pixels.shape[1] // s  # LR size
        self.largest = max(self.largest, min(height, width))
        if min(height, width) < self.patch:
            return False
        self._take(_window(pixels[: height * s, : width * s], 0, 0, height, width, s), lr, taught)
        return True

    def _take(self, padded: np.ndarray, lr: np.ndarray | None, taught: np.ndarray | None) -> None:
        """Take pixels that carry the context their patches need."""
        height, width = (n // self.scale - 4 for n in padded.shape[:2])
        given = None if lr is None else self._held(lr)
        sr = None if taught is None else self._held(taught)
        self._pictures.append(_Picture(self._held(padded), given, sr, height, width))

    def _held(self, pixels: np.ndarray) -> Tensor:
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous().to(self.device)

    def draw(self, seed: int, step: int, batch: int, *, part: int = 0, parts: int = 1, patch: int | None = None) -> Batch:
        """Draw `batch` pairs for `step`: pictures by area, one of 8 flips and rotations each.

        Positions are any px of HR, so that a place gives many LR; where LR or SR is given, those on the grid of LR. The
        pairs are part number `part` of one draw of `parts * batch` pairs; only they are cut out. `patch`: LR px, where
        not the patch that all pictures hold.
        """
        rng = np.random.default_rng([seed, step])
        s, patch = self.scale, patch or self.patch
        side = (patch + 4) * s
        pictures = rng.choice(len(self._pictures), size=parts * batch, p=self._chances(patch))
        turns = rng.integers(8, size=parts * batch)
        crops, given, taught = [], [], []
        for i, (picture, turn) in enumerate(zip(pictures, turns, strict=True)):
            source, ready, sr, *_ = self._pictures[picture]
            of_grid = s if ready is not None or sr is not None else 1  # px of HR between positions
            size = self._size(rng, side, source) if of_grid == 1 and self.making.shrink < 1 else side
            row, column = (of_grid * int(rng.integers((n - size) // of_grid + 1)) for n in source.shape[1:])
            if i // batch != part:
                continue
            crop = source[:, row : row + size, column : column + size]
            crops.append(_turn(crop if size == side else _reduced(crop, side), turn))
            if ready is not None:
                given.append(_turn(ready[:, row // s : row // s + patch, column // s : column // s + patch], turn))
            if sr is not None:
                taught.append(_turn(sr[:, row : row + patch * s, column : column + patch * s], turn))
        context = torch.stack(crops).float() / 255  # (N, 3, side, side)
        keys = [(seed, step, part * batch + i + 1) for i in range(batch)]  # + 1: numpy takes a last 0 for none
        drawn = self._draw_over(context, keys) if self.making.drawings and not (given or taught) else {}
        if given:
            lr = torch.stack(given).float() / 255
        elif self.making.degradation != "bicubic":
            made = degrade(context, s, keys, self.making.degradation, clean=self.making.clean, pool=self.making.pool)
            lr = made[..., 2:-2, 2:-2].contiguous()
        else:
            lr = quantize(resize(context, patch + 4, patch + 4))
            for i, picture in drawn.items():
                lr[i] = picture
            lr = lr[..., 2:-2, 2:-2].contiguous()
        return Batch(lr, F.pad(context, [-2 * s] * 4), torch.stack(taught).float() / 255 if taught else None)

    def _chances(self, patch: int) -> np.ndarray:
        """Return how likely each picture is: by its area, 0 where it holds no such patch."""
        key = len(self._pictures), patch
        if key not in self._known:
            areas = np.asarray([p.height * p.width * (min(p.height, p.width) >= patch) for p in self._pictures], np.float64)
            self._known[key] = areas / areas.sum()
        return self._known[key]

    def _draw_over(self, context: Tensor, keys: Sequence[tuple[int, ...]]) -> dict[int, Tensor]:
        """Draw scenes over some pictures of (N, 3, side, side), and return the LR of those that are drawn at that size too."""
        drawn = {}
        for i, key in enumerate(keys):
            rng = np.random.default_rng([*key, 1])
            if rng.random() >= self.making.drawings:
                continue
            scene = draw_scene(context.shape[-1] // self.scale, self.scale, rng)
            if scene.lr is not None and self.making.degradation == "bicubic":
                below = resize(context[i : i + 1], *scene.lr.cover.shape[-2:])[0]
                drawn[i] = quantize(scene.lr.over(below))
            context[i] = quantize(scene.hr.over(context[i]))
        return drawn

    def _size(self, rng: np.random.Generator, side: int, source: Tensor) -> int:
        """Choose the px a side that a patch with its context is reduced from: of about 17, each of which has its matrix."""
        most = int(side / self.making.shrink)
        step = max(1, (most - side) // 16)
        return side + step * int(rng.integers((min(most, *source.shape[1:]) - side) // step + 1))


class Crop(NamedTuple):
    """A part of picture number `picture`, in LR px."""

    picture: int
    row: int
    column: int
    height: int
    width: int


class _Shares(NamedTuple):
    sizes: np.ndarray  # (pictures, 2) LR height and width of a crop of each
    chances: np.ndarray
    crops: int  # about as many as half the cache holds


def _at_least(path: Path, height: int, width: int) -> np.ndarray:
    """Read so many px of a picture, which may be another by now; raise BadPicture."""
    pixels = read_rgb(path)[:height, :width]
    if pixels.shape[:2] != (height, width):
        raise BadPicture(f"'{path}' is smaller than when the run began")
    return pixels


class Stream(_Pairs):
    """Random pairs from folders that memory does not hold: a chapter of crops at a time, the next one read meanwhile.

    A chapter's crops are a function of (seed, chapter) and serve for about 8 patches each; two chapters take `mebibytes`.
    """

    uses = 8  # patches a crop gives before it is read anew

    def __init__(
        self,
        files: Sequence[Files],
        scale: int,
        patch: int,
        device: torch.device,
        making: Making = BICUBIC,
        *,
        mebibytes: int,
    ) -> None:
        super().__init__(scale, patch, device, making)
        self._bytes = mebibytes * 2**20 // 2
        self._files: list[Files] = []
        self._sizes: list[tuple[int, int]] = []  # LR height, width
        self._bytes_per_px = 3 * (1 + scale**2 * (files[0].taught is not None))  # of LR: LR and SR
        self._news: list[str] = []
        self._told = set[str]()  # each once, however often its picture is drawn
        self._known: dict[int, _Shares] = {}
        self._chapter: tuple[tuple[int, ...], Patches] | None = None
        self._next: tuple[tuple[int, ...], Future[Patches]] | None = None
        self._reader = ThreadPoolExecutor(1)
        self._closed = False
        with ThreadPoolExecutor(4) as pool:
            for picture, sizes in zip(files, pool.map(_sizes, files), strict=True):
                if isinstance(sizes, Path):
                    self.unreadable.append(sizes.name)
                else:
                    self._survey(picture, sizes)

    def __len__(self) -> int:
        return len(self._files)

    @property
    def pixels(self) -> int:
        """HR pixels in the folder."""
        return sum(height * width for height, width in self._sizes) * self.scale**2

    def check(self, patch: int, setting: str = "--patch") -> None:
        """Raise where no picture holds a patch, which `setting` gives, or the cache holds too few crops of them."""
        super().check(patch, setting)
        least = 4 * self._cost(self._side(patch), self._side(patch))
        if least > self._bytes:
            raise UsageError(f"--cache-mib must be at least {-(-2 * least // 2**20)} for patches of {patch} px")

    def draw(self, seed: int, step: int, batch: int, *, part: int = 0, parts: int = 1, patch: int | None = None) -> Batch:
        """Draw as Patches.draw does, from the crops of the step's chapter."""
        patch = patch or self.patch
        key = (seed, step // max(1, self._shares(patch).crops * self.uses // (parts * batch)), patch)
        if self._chapter is None or self._chapter[0] != key:
            self._chapter = None  # frees the old one before the new one's successor is read
            ready = self._next[1].result() if self._next and self._next[0] == key else self._read(*key)
            self._chapter = key, ready
            following = (seed, key[1] + 1, patch)
            self._next = following, self._reader.submit(self._read, *following)
        return self._chapter[1].draw(seed, step, batch, part=part, parts=parts, patch=patch)

    def news(self) -> list[str]:
        """Return, once, what went wrong while reading."""
        news, self._news = self._news, []
        return news

    def close(self) -> None:
        """Stop reading ahead, too."""
        self._closed = True
        self._reader.shutdown(cancel_futures=True)
        super().close()

    def plan(self, seed: int, chapter: int, patch: int) -> list[Crop]:
        """List a chapter's crops: pictures by area, positions on the LR grid, as many as half the cache holds."""
        rng = np.random.default_rng([seed, chapter, patch, 1])
        shares = self._shares(patch)
        plan: list[Crop] = []
        free = self._bytes
        while True:
            picture = int(rng.choice(len(shares.chances), p=shares.chances))
            (height, width), (h, w) = self._sizes[picture], shares.sizes[picture].tolist()
            free -= int(self._cost(h, w))
            if free < 0:
                return plan
            plan.append(Crop(picture, int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w))

    def _shares(self, patch: int) -> "_Shares":
        """Return what a chapter takes of each picture."""
        if patch not in self._known:
            whole = np.asarray(self._sizes)
            sizes = np.minimum(whole, self._side(patch))
            # a crop is drawn from by its area, so a picture is chosen by how many of its crops it holds
            chances = (whole.prod(1) / sizes.prod(1)) * (whole.min(1) >= patch)
            chances /= chances.sum()
            cost = (self._cost(sizes[:, 0], sizes[:, 1]) * chances).sum()
            self._known[patch] = _Shares(sizes, chances, int(self._bytes / cost))
        return self._known[patch]

    def _side(self, patch: int) -> int:
        """LR px a side of the largest crop: four patches, of the size that they are reduced from."""
        return int(4 * patch / self.making.shrink)

    def _cost(self, height: Any, width: Any) -> Any:
        """Bytes of a crop of that LR size with its context, its LR and, where there is one, its SR."""
        return 3 * (height + 4) * (width + 4) * self.scale**2 + self._bytes_per_px * height * width

    def _read(self, seed: int, chapter: int, patch: int) -> Patches:
        patches = Patches(self.scale, self.patch, self.device, self.making)
        plan = self.plan(seed, chapter, patch)
        with ThreadPoolExecutor(4) as pool:
            for cut in pool.map(self._cut, plan):
                if isinstance(cut, str):
                    if cut not in self._told:
                        self._news.append(f"skipped: {cut}")
                        self._told.add(cut)
                elif cut is not None:
                    patches._take(*cut)
        if not len(patches) and not self._closed:
            raise TrainingFailed(f"none of the pictures chosen can be read; {'; '.join(sorted(self._told)[:3])}")
        return patches

    def _cut(self, crop: Crop) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None] | str | None:
        """Return the crop with its context, its LR and SR; why it cannot be read; None where nobody needs it any more."""
        if self._closed:
            return None
        picture = self._files[crop.picture]
        try:
            s, (height, width) = self.scale, self._sizes[crop.picture]
            hr = _window(_at_least(picture.hr, height * s, width * s), *crop[1:], s)
            lr = None if picture.lr is None else _crop(_at_least(picture.lr, height, width), crop, 1)
            return hr, lr, None if picture.taught is None else _crop(_at_least(picture.taught, height * s, width * s), crop, s)
        except BadPicture as error:
            return str(error)

    def _survey(self, picture: Files, sizes: "_Sizes") -> None:
        if not _fit(self.scale, *sizes):
            self.unlike.append(picture.hr.name)
            return
        height, width = (n // self.scale for n in sizes.hr)
        self.largest = max(self.largest, min(height, width))
        if min(height, width) < self.patch:
            self.small.append(picture.hr.name)
            return
        self._files.append(picture)
        self._sizes.append((height, width))


class _Sizes(NamedTuple):
    """(height, width) of a picture's files."""

    hr: tuple[int, ...]
    lr: tuple[int, ...] | None
    taught: tuple[int, ...] | None


def _sizes(picture: Files) -> _Sizes | Path:
    """Read the sizes from the files' headers; return the first file whose size cannot be read."""
    sizes: list[tuple[int, int] | None] = []
    for path in picture:
        if path is None:
            sizes.append(None)
            continue
        try:
            facts = probe(path)
        except BadPicture:
            return path
        sizes.append((facts.height, facts.width))
    hr, lr, taught = sizes
    assert hr is not None
    return _Sizes(hr, lr, taught)


def _fit(s: int, hr: tuple[int, ...], lr: tuple[int, ...] | None, taught: tuple[int, ...] | None) -> bool:
    """Say whether LR is 1/s of HR in size, and SR as large as HR, or as HR cut to whole px of LR."""
    height, width = (n // s for n in hr)
    return lr in (None, (height, width)) and taught in (None, hr, (height * s, width * s))


def _crop(pixels: np.ndarray, crop: Crop, s: int) -> np.ndarray:
    """Cut the crop out of (H, W, 3) pixels that are `s` times as large as LR."""
    rows, columns = slice(crop.row * s, (crop.row + crop.height) * s), slice(crop.column * s, (crop.column + crop.width) * s)
    return np.ascontiguousarray(pixels[rows, columns])


def _window(pixels: np.ndarray, row: int, column: int, height: int, width: int, s: int) -> np.ndarray:
    """Cut (height, width) LR px and the context that the kernel reaches beyond them: 2 LR px on each side.

    At the picture's edge it is the mirror MATLAB's imresize uses.
    """
    picked = []
    for first, size, n in ((row, height, pixels.shape[0]), (column, width, pixels.shape[1])):
        index = np.arange((first - 2) * s, (first + size + 2) * s) % (2 * n)
        picked.append(np.where(index < n, index, 2 * n - 1 - index))
    return np.asarray(pixels[picked[0][:, None], picked[1]])


def _reduced(pixels: Tensor, side: int) -> Tensor:
    """Reduce (3, H, H) uint8 pixels to `side`, as a picture that is reduced and stored."""
    return to_levels(resize(pixels[None].float() / 255, side, side))[0].permute(2, 0, 1)


def _turn(x: Tensor, turn: int) -> Tensor:
    """Turn (C, H, W) in one of 8 ways."""
    if turn & 1:
        x = x.flip(1)
    if turn & 2:
        x = x.flip(2)
    return x.mT if turn & 4 else x

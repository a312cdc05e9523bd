"""Pictures through a network: colour, alpha and precision.

Input and output stay on the host as integers; only tiles travel to the device and become floats.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srcli.engine.device import Precision
from srcli.engine.edges import edges
from srcli.engine.memory import off_heap
from srcli.engine.runner import Runner
from srcli.media.picture import Picture
from srcli.models.base import SRModel
from srcli.ops.alpha import REACH, Blend, blend, bounds, unblend
from srcli.ops.metrics import decibels
from srcli.ops.pixels import MAXIMA, to_array, to_levels, to_tensor
from srcli.ops.tiles import Tile

Rows = Callable[[int, int], np.ndarray]  # from the first row to before the last, (n, W, C)
Tick = Callable[[float], None]  # told how much of the picture is done, 0 to 1

HIDDEN = "colour under fully transparent px is made up from what is around; --separate-alpha keeps it"

_COMPARED = 64  # rows of which the channels are compared at once
PROBE = 96  # px a side of the tile that proves the precision
_SUMS = {  # of the self-ensemble: the level that stands for 1 in each of 8 summands, and a type that holds their sum
    np.dtype(np.uint8): (2**13 - 1, np.dtype(np.uint16)),
    np.dtype(np.uint16): (2**24 - 1, np.dtype(np.uint32)),
    np.dtype(np.float32): (None, np.dtype(np.float32)),
}


class Agreement(NamedTuple):
    """How near a fast precision comes to float32 on a probe tile, after rounding to 8 bit."""

    psnr: float
    within_two: float  # share of values at most 2 levels off

    @property
    def good(self) -> bool:
        return self.psnr >= 50 and self.within_two >= 0.999

    @property
    def ample(self) -> bool:
        return self.psnr >= 55 and self.within_two >= 0.9999


class Cover(NamedTuple):
    """Alpha of a picture (H, W) and of its result (scale*H, scale*W)."""

    alpha: np.ndarray
    result: np.ndarray


class Upscaler:
    """A network made ready for pictures on one device.

    `precision`: auto takes the fast format of the device only for pictures of which a probe tile agrees with float32.
    `tile`: px a side that one tile gives; 0 takes the picture whole, None as much as `memory` bytes hold.
    `ensemble`: average over the 8 flips and rotations (the papers' "+", Timofte et al. 2016).
    `separate`: alpha is a channel of its own, such as a texture's gloss; colour is upscaled as if there were none.
    """

    def __init__(
        self,
        model: SRModel,
        *,
        device: torch.device | str = "cpu",
        precision: Literal["auto"] | Precision = "auto",
        tile: int | None = None,
        memory: int | None = None,
        ensemble: bool = False,
        separate: bool = False,
        compile: bool = False,
    ) -> None:
        self.runner = Runner(model, device=torch.device(device), precision=precision, tile=tile, memory=memory, compile=compile)
        self.device, self.model, self.scale = self.runner.device, self.runner.model, model.scale
        self.asked = precision
        self.precision: Precision = self.runner.precision
        self.ensemble, self.separate = ensemble, separate
        self.agreement: Agreement | None = None  # of the latest probe
        self.remembers = False  # the picture before, of which tiles that read the same px are taken over
        self._before: dict[tuple[object, ...], tuple[np.ndarray, np.ndarray]] = {}
        self._ample = False  # a photograph agreed with room to spare
        self._prove = precision == "auto" and self.precision != "fp32" and model.learnt and self.runner.casts

    def forget(self) -> None:
        """Take nothing over from what was upscaled so far, nor from what will be."""
        self.remembers = False
        self._before.clear()

    def __call__(self, picture: Picture, tick: Tick = lambda fraction: None, precision: Precision | None = None) -> Picture:
        """Upscale colour and alpha; what else the picture carries is kept. `precision`: as `choose` says."""
        color, alpha = picture.pixels, picture.alpha
        precision = precision or self.choose(color)
        if alpha is None:
            return replace(picture, pixels=self.pixels(color, tick, precision))
        if alpha.min() == alpha.max():
            shape = tuple(n * self.scale for n in alpha.shape)
            constant = np.full(shape, alpha.flat[0], alpha.dtype)
            return replace(picture, pixels=self.pixels(color, tick, precision), alpha=constant)
        coverage = self.pixels(alpha[..., None], lambda fraction: tick(fraction / 2), precision)[..., 0]
        cover, notes = None, picture.notes
        if not self.separate:
            coverage = _bounded(coverage, alpha)
            cover = Cover(alpha, coverage)
            if HIDDEN not in notes and _hides(color, alpha):
                notes = (*notes, HIDDEN)
        pixels = self.pixels(color, lambda fraction: tick(0.5 + fraction / 2), precision, cover=cover)
        return replace(picture, pixels=pixels, alpha=coverage, notes=notes)

    def choose(self, *pictures: np.ndarray) -> Precision:
        """Return the precision for pictures of one pass: the fast one where it was asked for, or a probe of each proves it.

        The probe is where a picture's edges are steepest. A photograph that agrees with room to spare proves the
        photographs that follow; what is drawn, of which the one tells nothing of the other, is always probed.
        """
        if not self._prove:
            return self.precision
        for pixels in pictures:
            top, left, drawn = edges(pixels, PROBE)
            if self._ample and not drawn:
                continue
            self.agreement = self.probe(pixels[top : top + PROBE, left : left + PROBE])
            if not self.agreement.good:
                return "fp32"
            self._ample = self._ample or (self.agreement.ample and not drawn)
        return self.precision

    def probe(self, pixels: np.ndarray) -> Agreement:
        """Compare the fast precision with float32 on a tile."""
        x = to_tensor(_at_least(pixels, self.model.min_side), self.device)
        fast, exact = (to_array(self.runner.whole(x, p)).astype(int) for p in (self.precision, "fp32"))
        error = np.abs(fast - exact)
        return Agreement(decibels(float(((error / 255) ** 2).mean())), float((error <= 2).mean()))

    def pixels(
        self,
        pixels: np.ndarray,
        tick: Tick = lambda fraction: None,
        precision: Precision | None = None,
        *,
        cover: Cover | None = None,
    ) -> np.ndarray:
        """Upscale (H, W, 1 or 3) pixels to (scale*H, scale*W, the same channels) of the same dtype; gray in 3 stays gray.

        `cover`: their alpha; where it is 0, colour is taken from the visible px around.
        """
        return self.several([pixels], tick, precision, cover=cover)[0]

    def several(
        self,
        pictures: Sequence[np.ndarray],
        tick: Tick = lambda fraction: None,
        precision: Precision | None = None,
        *,
        cover: Cover | None = None,
    ) -> list[np.ndarray]:
        """Upscale pictures of one shape and dtype at once, as `pixels` does each."""
        precision = precision or self.choose(*pictures)
        (height, width, _), s, least = pictures[0].shape, self.scale, self.model.min_side
        pictures = [_at_least(pixels, least) for pixels in pictures]
        cover = cover and Cover(_at_least(cover.alpha, least), _at_least(cover.result, least * s))
        gray = [_is_gray(partial(_rows, pixels), len(pixels)) for pixels in pictures]
        results = self._mean_of_turns(pictures, gray, cover, precision, tick) if self.ensemble else None
        if results is None:
            kind = (pictures[0].shape, pictures[0].dtype, precision, gray[-1])  # of the last, which is kept
            before = self._before.get(kind) if cover is None and len(pictures) == 1 else None
            results = [np.empty((p.shape[0] * s, p.shape[1] * s, p.shape[2]), p.dtype) for p in pictures]
            if before:
                results[0][:] = before[1]
            for (rows, columns), values in self._tiles(pictures, gray, cover, precision, tick, before=before and before[0]):
                for out, part in zip(results, values, strict=True):
                    out[rows, columns] = part
            if self.remembers and cover is None:
                self._before[kind] = pictures[-1], results[-1]
        return [out[: height * s, : width * s] for out in results]

    def bands(
        self,
        rows: Rows,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        precision: Precision,
        tick: Tick = lambda fraction: None,
        *,
        promised: int = 0,
    ) -> Iterator[np.ndarray]:
        """Upscale a picture of `shape` (height, width, 1 to 4) that is read by rows; yield its rows in bands of tiles.

        An even number of channels ends with alpha. One band is computed while the caller holds the one before; `promised`:
        the bytes that reading and writing take beside these two and the rows that a tile reads.
        """
        (height, width, channels), s = shape, self.scale
        alpha = channels % 2 == 0
        reach = REACH if alpha and not self.separate else 0
        gray = _is_gray(rows, height)
        held: tuple[slice, np.ndarray] | None = None
        blended: _Blended | None = None

        def read(tile: Tile) -> Tensor:
            nonlocal held, blended
            where, columns = _around(tile, reach, height, width)
            if held is None or not held[0].start <= where.start < where.stop <= held[0].stop:
                held = None  # before the next are there
                held = where, rows(where.start, where.stop)
            x = to_tensor(held[1][where.start - held[0].start : where.stop - held[0].start, columns], self.device)
            if not alpha:
                return x
            cover = x[:, -1:]
            if self.separate:
                return torch.cat([x[:, :-1], cover.expand(-1, x.shape[1] - 1, -1, -1)])  # a picture of its own
            blended = _Blended(blend(x[:, :-1], cover), where, columns)
            colors = blended.read(tile)
            return torch.cat([colors, _cut(cover, tile, where, columns).expand_as(colors)])

        def finish(out: Tensor, tile: Tile) -> Tensor:
            if gray:
                out = torch.stack([_in_gray(x) for x in out])
            if not alpha:
                return to_levels(out, dtype)
            cover, colors = out[1:].mean(1, keepdim=True).float(), out[:1].float()
            levels = to_levels(blended.bounded(cover, tile, s) if blended else cover, dtype)
            if blended:
                colors = blended.off(colors, levels.permute(0, 3, 1, 2) / MAXIMA[dtype], tile, s)
            return torch.cat([to_levels(colors, dtype), levels], -1)

        row = width * channels * dtype.itemsize  # bytes
        around = 2 * (self.model.tiling.overlap + reach) * row
        band: tuple[slice, np.ndarray] | None = None
        for tile, values in self.runner.run(
            read,
            height,
            width,
            precision,
            finish,
            count=1 + alpha,
            promised=promised + around,
            band=row * (1 + 2 * s * s),
        ):
            where, columns = _output(tile, s)
            if band is None:
                band = where, off_heap((where.stop - where.start, width * s, channels), dtype)
            band[1][where.start - band[0].start : where.stop - band[0].start, columns] = values[0].numpy()
            if where.stop == band[0].stop and columns.stop == width * s:
                yield band[1]
                band = None
                tick(where.stop / (height * s))

    def _tiles(
        self,
        pictures: Sequence[np.ndarray],
        gray: Sequence[bool],
        cover: Cover | None,
        precision: Precision,
        tick: Tick,
        *,
        maximum: int | None = None,
        before: np.ndarray | None = None,
    ) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
        """Yield where in the output (rows, columns) lie (N, h, w, C) levels of `maximum`, by default those of the dtype.

        `gray`: which of them are. Tiles that read the same px in `before` are left out.
        """
        (height, width, _), dtype, s = pictures[0].shape, pictures[0].dtype, self.scale
        blended: _Blended | None = None

        def read(tile: Tile) -> Tensor:
            nonlocal blended
            rows, columns = _around(tile, REACH if cover else 0, height, width)
            x = torch.cat([to_tensor(p[rows, columns], self.device) for p in pictures])
            if not cover:
                return x
            blended = _Blended(blend(x, to_tensor(cover.alpha[rows, columns, None], self.device)), rows, columns)
            return blended.read(tile)

        def finish(out: Tensor, tile: Tile) -> Tensor:
            if any(gray):
                out = torch.stack([_in_gray(x) if plain else x for x, plain in zip(out, gray, strict=True)])
            if cover and blended:
                coverage = to_tensor(cover.result[*_output(tile, s), None], self.device)
                out = blended.off(out.float(), coverage, tile, s)
            return to_levels(out, dtype, maximum=maximum)

        def unchanged(tile: Tile) -> bool:
            where = slice(tile.rows.first, tile.rows.last), slice(tile.columns.first, tile.columns.last)
            return before is not None and np.array_equal(pictures[0][where], before[where])

        promised = len(pictures) * pictures[0].nbytes * s**2
        area = height * width
        done = 0
        for tile, values in self.runner.run(
            read,
            height,
            width,
            precision,
            finish,
            count=len(pictures),
            promised=promised,
            known=None if before is None else unchanged,
        ):
            yield _output(tile, s), values.numpy()
            done += (tile.rows.stop - tile.rows.start) * (tile.columns.stop - tile.columns.start)
            tick(done / area)
        if before is not None:
            tick(1.0)

    def _mean_of_turns(
        self, pictures: Sequence[np.ndarray], gray: Sequence[bool], cover: Cover | None, precision: Precision, tick: Tick
    ) -> list[np.ndarray]:
        """Average what the 8 turned pictures give, each turned back; summed in integers of twice the depth."""
        dtype, s = pictures[0].dtype, self.scale
        finest, wide = _SUMS[dtype]
        sums = [np.zeros((p.shape[0] * s, p.shape[1] * s, p.shape[2]), wide) for p in pictures]
        for i in range(8):
            turned = [_turn(p, i) for p in pictures]
            covered = cover and Cover(_turn(cover.alpha, i), _turn(cover.result, i))
            part = partial(within, tick, i, 8)
            for (rows, columns), values in self._tiles(turned, gray, covered, precision, part, maximum=finest):
                for total, levels in zip(sums, values, strict=True):
                    _turn(total, i)[rows, columns] += levels.astype(wide, copy=False)
        return [_mean(total, dtype, 8 * (finest or 1)) for total in sums]


def _bounded(result: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Keep upscaled alpha between its bounds, in place."""
    height, width = alpha.shape
    s = result.shape[0] // height
    cells = np.ascontiguousarray(result).reshape(height, s, width, s)
    for bound, pick in zip(bounds(to_tensor(alpha[..., None])), (np.maximum, np.minimum), strict=True):
        pick(cells, to_array(bound, alpha.dtype)[:, None], out=cells)
    return cells.reshape(result.shape)


def _hides(color: np.ndarray, alpha: np.ndarray) -> bool:
    """Tell whether more than one colour lies under fully transparent px."""
    hidden = color[alpha == 0]
    return bool(len(hidden) and (hidden != hidden[0]).any())


def within(tick: Tick, done: int, total: int, fraction: float, *, share: int = 1) -> None:
    """Tell how much of `total` is done: `done` before, and a fraction of `share`."""
    tick((done + share * fraction) / total)


def _is_gray(rows: Rows, height: int) -> bool:
    """Tell whether three channels are equal all over; nothing is read below the first colour."""
    strips = (rows(top, min(top + _COMPARED, height)) for top in range(0, height, _COMPARED))
    return all(strip.shape[2] > 2 and bool((strip[..., :1] == strip[..., 1:3]).all()) for strip in strips)


def _rows(pixels: np.ndarray, first: int, last: int) -> np.ndarray:
    return pixels[first:last]


def _in_gray(x: Tensor) -> Tensor:
    """Give (3, H, W) three channels that are equal."""
    return x.mean(0, keepdim=True).expand_as(x)


def _output(tile: Tile, scale: int) -> tuple[slice, slice]:
    """Return the rows and columns of the output that a tile gives."""
    return (
        slice(tile.rows.start * scale, tile.rows.stop * scale),
        slice(tile.columns.start * scale, tile.columns.stop * scale),
    )


def _around(tile: Tile, reach: int, height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of a (height, width) picture that lie up to `reach` px around what a tile reads."""
    rows, columns = (
        slice(max(span.first - reach, 0), min(span.last + reach, size))
        for span, size in zip(tile, (height, width), strict=True)
    )
    return rows, columns


class _Blended(NamedTuple):
    """Colour over its surroundings in what lies at some rows and columns of a picture."""

    blend: Blend
    rows: slice
    columns: slice

    def read(self, tile: Tile) -> Tensor:
        """Return what a tile reads of it."""
        return _cut(self.blend.color, tile, self.rows, self.columns)

    def off(self, color: Tensor, alpha: Tensor, tile: Tile, scale: int) -> Tensor:
        """Take the surroundings off what the tile gives; `alpha` is that of the result."""
        blend, enlarge = self.blend, partial(self._enlarged, tile=tile, scale=scale)
        around, level = (enlarge(x, mode="bilinear") for x in (blend.around, blend.level))
        low, high = map(enlarge, blend.colors)
        return unblend(color, alpha, around, level, (low, high))

    def bounded(self, alpha: Tensor, tile: Tile, scale: int) -> Tensor:
        """Keep upscaled alpha what it is where all is empty, or opaque."""
        low, high = (self._enlarged(x, tile, scale) for x in self.blend.alphas)
        return alpha.clamp(low, high)

    def _enlarged(self, x: Tensor, tile: Tile, scale: int, mode: str = "nearest") -> Tensor:
        """Enlarge what the tile gives."""
        where = self.rows, self.columns
        near = [  # a px more on each side, for the interpolation
            slice(max(span.start - at.start - 1, 0), span.stop - at.start + 1) for span, at in zip(tile, where, strict=True)
        ]
        rows, columns = (
            slice((span.start - at.start - cut.start) * scale, (span.stop - at.start - cut.start) * scale)
            for span, at, cut in zip(tile, where, near, strict=True)
        )
        return F.interpolate(x[..., near[0], near[1]], scale_factor=scale, mode=mode)[..., rows, columns]


def _cut(x: Tensor, tile: Tile, *where: slice) -> Tensor:
    """Cut what a tile reads out of what lies at `where`, rows and columns."""
    rows, columns = (slice(span.first - at.start, span.last - at.start) for span, at in zip(tile, where, strict=True))
    return x[..., rows, columns]


def _turn(x: np.ndarray, index: int) -> np.ndarray:
    """View (H, W, ...) by the `index`-th of the 8 flips and rotations; the view of a sum's array turns back what is added."""
    x = x[:: -1 if index & 2 else 1, :: -1 if index & 1 else 1]
    return x.swapaxes(0, 1) if index & 4 else x


def _mean(total: np.ndarray, dtype: np.dtype, count: int) -> np.ndarray:
    """Turn sums of levels with `count` for 1 into `dtype`, some rows at a time."""
    out = np.empty(total.shape, dtype)
    for top in range(0, len(total), 256):
        mean = total[top : top + 256] / count
        out[top : top + 256] = mean if dtype == np.float32 else np.floor(mean * MAXIMA[dtype] + 0.5)
    return out


def _at_least(pixels: np.ndarray, side: int) -> np.ndarray:
    """Extend (H, W, ...) by its bottom and right edge to `side` px."""
    below, right = (max(side - n, 0) for n in pixels.shape[:2])
    around = [(0, below), (0, right), (0, 0)][: pixels.ndim]
    return np.pad(pixels, around, mode="edge") if below or right else pixels

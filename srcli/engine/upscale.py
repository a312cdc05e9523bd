"""Pictures through a network: colour, tiles, precision and memory; one picture at a time, or files in a pipeline.

Input and output stay on the host as integers; only tiles travel to the device and become floats.
"""

import copy
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srcli import hub, zoo
from srcli.engine.device import DTYPES, Precision, check_precision, fast_precision
from srcli.engine.memory import largest_side
from srcli.errors import BadCheckpoint, OutOfMemory, UsageError, UserError, WeightsNotFound
from srcli.media.ahead import read_ahead, write_behind
from srcli.media.animation import Animation, Frame, read_animation, write_animation
from srcli.media.image import Picture, read_image, to_srgb, write_image
from srcli.media.jobs import Job, result_size
from srcli.models.base import SRModel, Window
from srcli.models.statistics import measured_over
from srcli.ops.alpha import bleed
from srcli.ops.color import rgb_to_ycbcr, ycbcr_to_rgb
from srcli.ops.pixels import to_array, to_tensor
from srcli.ops.resize import Edge, resize, resize_strips
from srcli.ops.tiles import Tile, plan_tiles

Read = Callable[[Tile], Tensor]  # what a tile reads, (1, C, h, w) in [0, 1] on the device
Icc = Literal["keep", "convert-srgb"]
Tick = Callable[[float], None]  # told how much of the picture is done, 0 to 1

SMALLEST_TILE = 32  # px that a tile gives; below it memory is not what is missing
AHEAD = 2  # pictures read before, and written behind, the one in the network
PROBE = 96  # px a side of the tile that proves the precision


class Agreement(NamedTuple):
    """How near a fast precision comes to float32 on a probe tile, after rounding to 8 bit."""

    psnr: float
    within_two: float  # share of values at most 2 levels off

    @property
    def good(self) -> bool:
        return self.psnr >= 50 and self.within_two >= 0.999


class Upscaler:
    """A network made ready for pictures on one device.

    `precision`: auto takes the fast format of the device only for pictures of which a probe tile agrees with float32.
    `tile`: px a side that one tile gives; 0 takes the picture whole, None as much as the memory holds.
    `ensemble`: average over the 8 flips and rotations (the papers' "+", Timofte et al. 2016).
    """

    def __init__(
        self,
        model: SRModel,
        *,
        device: torch.device | str = "cpu",
        precision: Literal["auto"] | Precision = "auto",
        tile: int | None = None,
        ensemble: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self.model = copy.deepcopy(model).eval().fold().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.scale = model.scale
        if model.precision:
            if precision not in ("auto", model.precision):
                raise UsageError(f"'{model.arch}' comes in a file that computes in {model.precision}; leave --precision at auto")
            self.precision: Precision = model.precision
        else:
            self.precision = fast_precision(self.device) if precision == "auto" else precision
            check_precision(self.precision, self.device)
        self.tile = tile
        self.ensemble = ensemble
        self._cast = model.precision is None
        self._prove = precision == "auto" and self.precision != "fp32" and model.learnt and self._cast

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
        visible = to_array(bleed(to_tensor(color), to_tensor(alpha[..., None])), color.dtype)
        pixels = self.pixels(visible, lambda fraction: tick(fraction / 2), precision)
        coverage = self.pixels(alpha[..., None], lambda fraction: tick(0.5 + fraction / 2), precision)
        return replace(picture, pixels=pixels, alpha=coverage[..., 0])

    def choose(self, pixels: np.ndarray) -> Precision:
        """Return the precision for a picture: the fast one where a probe from its middle proves it, or was not asked to."""
        return self.precision if not self._prove or self.probe(pixels).good else "fp32"

    def probe(self, pixels: np.ndarray) -> Agreement:
        """Compare the fast precision with float32 on a tile from the picture's middle."""
        top, left = (max((n - PROBE) // 2, 0) for n in pixels.shape[:2])
        x = to_tensor(_at_least(pixels[top : top + PROBE, left : left + PROBE], self.model.min_side), self.device)
        height, width = x.shape[-2:]
        whole = plan_tiles(height, width, max(height, width), 0)[0]
        fast, exact = (to_array(self._tile(x, whole, height, width, p)).astype(int) for p in (self.precision, "fp32"))
        error = np.abs(fast - exact)
        mean = float((error**2).mean())
        psnr = 10 * math.log10(255**2 / mean) if mean else math.inf
        return Agreement(psnr, float((error <= 2).mean()))

    def pixels(self, pixels: np.ndarray, tick: Tick = lambda fraction: None, precision: Precision | None = None) -> np.ndarray:
        """Upscale (H, W, 1 or 3) pixels to (scale*H, scale*W, the same channels) of the same dtype."""
        precision = precision or self.choose(pixels)
        height, width, channels = pixels.shape
        s = self.scale
        pixels = _at_least(pixels, self.model.min_side)
        out = np.empty((pixels.shape[0] * s, pixels.shape[1] * s, channels), pixels.dtype)
        if self.ensemble:
            source, total = to_tensor(pixels), torch.zeros(1, channels, *out.shape[:2])
            for i in range(8):
                total += _turn(self.tensor(_turn(source, i), precision), i, back=True)
                tick((i + 1) / 8)
            out[:] = to_array(total / 8, pixels.dtype)
        else:

            def read(tile: Tile) -> Tensor:
                part = pixels[tile.rows.first : tile.rows.last, tile.columns.first : tile.columns.last]
                return to_tensor(part, self.device)

            for rows, columns, result in self._tiles(read, pixels.shape[0], pixels.shape[1], precision, tick):
                out[rows, columns] = to_array(result, pixels.dtype)
        return out[: height * s, : width * s]

    def tensor(self, x: Tensor, precision: Precision | None = None) -> Tensor:
        """Upscale (1, C, H, W) in [0, 1] to float32 on the host, neither clamped nor rounded; no precision is proven."""
        height, width, least = x.shape[-2], x.shape[-1], self.model.min_side
        x = F.pad(x, (0, max(least - width, 0), 0, max(least - height, 0)), mode="replicate")
        s = self.scale
        out = torch.empty(1, x.shape[1], x.shape[-2] * s, x.shape[-1] * s)

        def read(tile: Tile) -> Tensor:
            return x[..., tile.rows.first : tile.rows.last, tile.columns.first : tile.columns.last].to(self.device)

        for rows, columns, result in self._tiles(read, x.shape[-2], x.shape[-1], precision or self.precision):
            out[..., rows, columns] = result.float().cpu()
        return out[..., : height * s, : width * s]

    def _tiles(
        self, read: Read, height: int, width: int, precision: Precision, tick: Tick = lambda fraction: None
    ) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield (rows, columns, what belongs there) of the output; when memory runs out, again with half the tile."""
        tiling, side = self.model.tiling, self.tile
        if side is None:
            whole = largest_side(self.model, self.device, 4 if precision == "fp32" else 2)
            side = 0 if height * width <= whole * whole else max(whole - 2 * tiling.overlap, SMALLEST_TILE)
        side = side or max(height, width)
        while True:
            plan = plan_tiles(height, width, side, tiling.overlap, tiling.phase)
            try:
                yield from self._planned(read, plan, height, width, precision, tick)
                return
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                side = min(side, max(height, width)) // 2
                if side < SMALLEST_TILE:
                    raise OutOfMemory(f"a tile of {2 * side} px does not fit into the memory; use --device cpu") from error
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _planned(
        self, read: Read, plan: list[Tile], height: int, width: int, precision: Precision, tick: Tick
    ) -> Iterator[tuple[slice, slice, Tensor]]:
        def sweep() -> None:
            for tile in plan:
                self._tile(read(tile), tile, height, width, precision)

        s = self.scale
        with measured_over(self.model, sweep) if len(plan) > 1 else nullcontext():
            for done, tile in enumerate(plan, 1):
                result = self._tile(read(tile), tile, height, width, precision)
                if precision != "fp32" and not torch.isfinite(result).all():
                    precision = "fp32"  # and stay there
                    result = self._tile(read(tile), tile, height, width, precision)
                rows = slice(tile.rows.start * s, tile.rows.stop * s)
                columns = slice(tile.columns.start * s, tile.columns.stop * s)
                yield rows, columns, result
                tick(done / len(plan))

    @torch.inference_mode()
    def _tile(self, x: Tensor, tile: Tile, height: int, width: int, precision: Precision) -> Tensor:
        """Run the network on what one tile reads; return what it gives, (1, C, s*h, s*w)."""
        rows, columns = tile.rows, tile.columns
        inner = (rows.start - rows.first, rows.stop - rows.first, columns.start - columns.first, columns.stop - columns.first)
        whole = x.shape[-2:] == (height, width)
        window = None if whole else Window(rows.first, columns.first, height, width, inner)
        with torch.autocast(self.device.type, DTYPES[precision], enabled=self._cast and precision != "fp32"):
            out = in_color(self.model, x.contiguous(memory_format=torch.channels_last), window)
        top, bottom, left, right = (n * self.scale for n in inner)
        return out[..., top:bottom, left:right]


def in_color(model: SRModel, x: Tensor, window: Window | None = None) -> Tensor:
    """Run a network on (1, 1 or 3, H, W) pictures whatever channels it was trained on.

    Gray goes through RGB networks as three equal channels; luma-only networks get studio-swing Y, and colour follows
    by bicubic interpolation, as in their papers.
    """
    s = model.scale
    if model.channels == x.shape[1] == 3:
        return model(x, window)
    if model.channels == 3:
        return model(x.expand(-1, 3, -1, -1), window).mean(1, keepdim=True)
    if x.shape[1] == 1:
        luma = x * (219 / 255) + 16 / 255
        return (model(luma, window).float() - 16 / 255) * (255 / 219)
    ycbcr = rgb_to_ycbcr(x.float())
    chroma = resize(ycbcr[:, 1:], x.shape[-2] * s, x.shape[-1] * s)
    return ycbcr_to_rgb(torch.cat([model(ycbcr[:, :1], window).float(), chroma], 1))


class Resizer:
    """Pictures to any size: the networks that reach it, then MATLAB's bicubic down to it.

    `edge`: with wrap a picture goes on at its other side, so that the result of a seamless texture is one.
    """

    def __init__(self, upscalers: Mapping[int, Upscaler], *, edge: Edge = "mirror") -> None:
        self.upscalers = upscalers
        self.edge: Edge = edge

    def __call__(
        self,
        picture: Picture,
        size: tuple[int, int],
        tick: Tick = lambda fraction: None,
        precision: Precision | None = None,
    ) -> tuple[Picture, Precision | None]:
        """Return the picture at `size` (height, width) and what the network computed in, None where none was needed."""
        sides = picture.pixels.shape[:2]
        chain = passes(max(out / side for out, side in zip(size, sides, strict=True)), self.upscalers)
        shares = [math.prod(chain[:i]) ** 2 for i in range(len(chain))]  # a pass costs what it reads
        for i, s in enumerate(chain):
            precision = precision or self.upscalers[s].choose(picture.pixels)
            before, share, total = sum(shares[:i]), shares[i], sum(shares)

            def part(fraction: float, before: int = before, share: int = share, total: int = total) -> None:
                tick((before + share * fraction) / total)

            run = self.upscalers[s]
            picture = run(picture, part, precision) if self.edge == "mirror" else _seamless(run, picture, part, precision)
        return resampled(picture, *size, edge=self.edge), precision

    def animation(
        self, animation: Animation, size: tuple[int, int], tick: Tick = lambda fraction: None
    ) -> tuple[Animation, Precision | None]:
        """Return all frames at `size`, in one precision; a frame equal to the one before takes its result."""
        frames: list[Frame] = []
        precision, before = None, None
        count = len(animation.frames)
        for i, frame in enumerate(animation.frames):
            if before is None or not _same(frame, before):
                part = partial(_within, tick, i, count)
                result, precision = self(Picture(frame.pixels, frame.alpha), size, part, precision)
            frames.append(Frame(result.pixels, result.alpha, frame.duration))
            before = frame
            tick((i + 1) / count)
        return replace(animation, frames=frames), precision


def expected_seconds(resizer: Resizer, jobs: Sequence[Job]) -> float:
    """Estimate the time in the networks from one timed tile of each; reading and writing run beside them."""
    tile = np.random.default_rng(0).integers(0, 255, (PROBE, PROBE, 3), np.uint8)
    paces: dict[int, float] = {}  # seconds an input px
    total = 0.0
    for job in jobs:
        if job.probe is None or job.size is None:
            continue
        area, height = job.probe.height * job.probe.width, job.probe.height
        for s in passes(max(job.size[0] / height, job.size[1] / job.probe.width), resizer.upscalers):
            if s not in paces:
                upscaler = resizer.upscalers[s]
                upscaler.pixels(tile[:32, :32], precision=upscaler.precision)  # the first run makes ready
                started = time.perf_counter()
                upscaler.pixels(tile, precision=upscaler.precision)
                paces[s] = (time.perf_counter() - started) / PROBE**2
            total += area * paces[s] * job.frames * (1 + job.probe.alpha)
            area *= s * s
    return total


def _seamless(upscaler: Upscaler, picture: Picture, tick: Tick, precision: Precision | None) -> Picture:
    """Upscale with the other side of the picture around it, as far as the network looks."""
    tiling, s = upscaler.model.tiling, upscaler.scale
    reach = -(-tiling.overlap // tiling.phase) * tiling.phase
    height, width = (n * s for n in picture.pixels.shape[:2])
    around = [(reach, reach), (reach, reach)]
    alpha = None if picture.alpha is None else np.pad(picture.alpha, around, mode="wrap")
    wide = upscaler(
        replace(picture, pixels=np.pad(picture.pixels, [*around, (0, 0)], mode="wrap"), alpha=alpha), tick, precision
    )
    rows, columns = (slice(reach * s, reach * s + n) for n in (height, width))
    alpha = None if wide.alpha is None else wide.alpha[rows, columns].copy()
    return replace(wide, pixels=wide.pixels[rows, columns].copy(), alpha=alpha)


def _within(tick: Tick, index: int, count: int, fraction: float) -> None:
    tick((index + fraction) / count)


def _same(frame: Frame, other: Frame) -> bool:
    return np.array_equal(frame.pixels, other.pixels) and (
        frame.alpha is other.alpha is None
        or (frame.alpha is not None and other.alpha is not None and np.array_equal(frame.alpha, other.alpha))
    )


def passes(factor: float, scales: Collection[int]) -> tuple[int, ...]:
    """Choose the networks to run in turn to reach `factor`: as few as can, then as small as can; none up to x1."""
    if factor <= 1:
        return ()
    for count in range(1, 5):  # 2^4 = 16
        chains = [chain for chain in combinations_with_replacement(sorted(scales), count) if math.prod(chain) >= factor]
        if chains:
            return min(chains, key=math.prod)[::-1]
    raise UsageError(f"x{factor:g} cannot be reached with x{', x'.join(map(str, sorted(scales)))}")


def resampled(picture: Picture, height: int, width: int, *, edge: Edge = "mirror") -> Picture:
    """Resample colour and alpha to a size; strips of rows become floats, never the whole picture."""
    color, alpha = picture.pixels, picture.alpha
    if color.shape[:2] == (height, width):
        return picture
    if alpha is None:
        return replace(picture, pixels=_resampled(color, height, width, edge))
    if alpha.min() < alpha.max():
        color = to_array(bleed(to_tensor(color), to_tensor(alpha[..., None])), color.dtype)
    coverage = _resampled(alpha[..., None], height, width, edge)[..., 0]
    return replace(picture, pixels=_resampled(color, height, width, edge), alpha=coverage)


def _resampled(pixels: np.ndarray, height: int, width: int, edge: Edge) -> np.ndarray:
    out = np.empty((height, width, pixels.shape[2]), pixels.dtype)
    for top, rows in resize_strips(lambda a, b: to_tensor(pixels[a:b]), pixels.shape[:2], height, width, edge=edge):
        out[top : top + rows.shape[-2]] = to_array(rows, pixels.dtype)
    return out


def open_networks(
    reference: str,
    scale: float | None,
    *,
    several: bool = False,
    offline: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> list[SRModel]:
    """Open the networks that `scale` needs of those `reference` stands for; its default one without a scale.

    `several`: all that ship under the name, because the factor differs from picture to picture.

    A weights file, or one of the Hub, stands for itself, whatever its scale. `offline`, `say` and what is raised: as
    zoo.open_model has them.
    """
    open_model = partial(zoo.open_model, offline=offline, say=say)
    whole = int(scale) if scale and scale == int(scale) else None
    if Path(reference).is_file() or reference.startswith(hub.PREFIX):
        try:
            return [open_model(reference, whole)[0]]
        except (UsageError, BadCheckpoint):  # of another scale, or no network at all: the second try says which
            return [open_model(reference)[0]]
    scales = [
        factor for factor in sorted({weights.scale for weights in zoo.shipped()}) if _ships(reference, factor, offline, say)
    ]
    if not scales or (scale is None and not several):
        return [open_model(reference, max(math.ceil(scale), 2) if scale else None)[0]]
    needed = scales if scale is None else set(passes(scale, scales)) or scales[:1]
    return [open_model(reference, factor)[0] for factor in sorted(needed)]


def _ships(reference: str, scale: int, offline: bool, say: Callable[[str], None]) -> bool:
    try:
        zoo.find_weights(reference, scale, offline=offline, say=say)
    except WeightsNotFound:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one file; `error` is its one-line reason where `status` is failed."""

    input: Path
    output: Path
    status: Literal["done", "skipped", "planned", "failed"]
    width: int | None = None  # of the output
    height: int | None = None
    seconds: float = 0.0
    error: str | None = None
    precision: Precision | None = None  # what the network computed in
    notes: tuple[str, ...] = ()


def upscale_files(
    upscaler: Upscaler | Resizer,
    jobs: Sequence[Job],
    *,
    quality: int | None = None,
    icc: Icc = "keep",
    fail_fast: bool = False,
    tick: Callable[[Job, float], None] = lambda job, fraction: None,
) -> Iterator[Done]:
    """Upscale every job and yield what became of it, in order; a broken file does not stop the rest.

    One thread reads ahead and one writes behind while the network works. `icc`: whether colours are converted by the
    pictures' profiles before. `fail_fast` ends after the first failure.
    """

    resizer = upscaler if isinstance(upscaler, Resizer) else Resizer({upscaler.scale: upscaler})

    def upscaled() -> Iterator[_Upscaled]:
        started = time.monotonic()
        for job, picture in read_ahead(jobs, partial(_read, icc=icc), depth=AHEAD):
            result, precision = picture, None
            if not isinstance(picture, UserError):
                still = picture.still if isinstance(picture, Animation) else picture
                height, width = still.pixels.shape[:2]
                size, told = result_size(height, width, job.scale), partial(tick, job)
                try:
                    if isinstance(picture, Animation):
                        result, precision = resizer.animation(picture, size, told)
                    else:
                        result, precision = resizer(picture, size, told)
                except UserError as error:
                    result = error
            yield _Upscaled(job, result, precision, time.monotonic() - started)
            started = time.monotonic()

    for _, done in write_behind(upscaled(), partial(_write, quality=quality), depth=AHEAD):
        assert isinstance(done, Done)  # _write turns its errors into records
        yield done
        if fail_fast and done.error:
            return


class _Upscaled(NamedTuple):
    job: Job
    picture: Picture | Animation | UserError
    precision: Precision | None
    seconds: float


def _read(job: Job, *, icc: Icc) -> Picture | Animation:
    if job.frames > 1:
        animation = read_animation(job.source)
        if icc == "keep" or animation.still.icc is None:
            return animation
        note = "the colours of animations are not converted: the profile is kept"
        return replace(animation, still=replace(animation.still, notes=(*animation.still.notes, note)))
    picture = read_image(job.source)
    return picture if icc == "keep" else to_srgb(picture)


def _write(upscaled: _Upscaled, *, quality: int | None) -> Done:
    job, picture, precision, seconds = upscaled
    if isinstance(picture, UserError):
        return _failed(job, picture)
    still = picture.still if isinstance(picture, Animation) else picture
    height, width = (picture.frames[0] if isinstance(picture, Animation) else picture).pixels.shape[:2]
    try:
        if isinstance(picture, Animation):
            notes = write_animation(picture, job.target, format=job.format, quality=quality)
        else:
            notes = write_image(picture, job.target, format=job.format, quality=quality)
    except UserError as error:
        return _failed(job, error)
    notes = job.notes + still.notes + notes
    return Done(job.source, job.target, "done", width, height, round(seconds, 3), None, precision, notes)


def _failed(job: Job, error: Exception) -> Done:
    return Done(job.source, job.target, "failed", error=str(error))


def _turn(x: Tensor, index: int, *, back: bool = False) -> Tensor:
    """Apply the `index`-th of the 8 flips and rotations to (N, C, H, W), or undo it."""
    flips = [d for d, bit in ((-1, 1), (-2, 2)) if index & bit]
    if back:
        return (x.mT if index & 4 else x).flip(flips)
    x = x.flip(flips)
    return x.mT if index & 4 else x


def _at_least(pixels: np.ndarray, side: int) -> np.ndarray:
    """Extend (H, W, C) by its bottom and right edge to `side` px."""
    below, right = (max(side - n, 0) for n in pixels.shape[:2])
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge") if below or right else pixels


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)

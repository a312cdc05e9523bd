"""Pictures to any size: which networks reach it, in which order, and bicubic down to it."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import combinations_with_replacement

import numpy as np
from torch import Tensor

from srcli import hub, zoo
from srcli.engine.device import Precision
from srcli.engine.runner import Work
from srcli.engine.upscale import Tick, Upscaler, within
from srcli.errors import BadCheckpoint, UsageError
from srcli.media.animation import Animation, Frame
from srcli.media.picture import Array, Picture
from srcli.models.base import SRModel
from srcli.ops.alpha import REACH, unweigh, weigh
from srcli.ops.pixels import to_array, to_tensor
from srcli.ops.resize import Edge, resize_strips


class Resizer:
    """Pictures to any size: the networks that reach it, then MATLAB's bicubic down to it.

    `edge`: with wrap a picture goes on at its other side, so that the result of a seamless texture is one. `name`: what the
    networks are called where several are chosen from.
    """

    def __init__(self, upscalers: Mapping[int, Upscaler], *, edge: Edge = "mirror", name: str | None = None) -> None:
        self.upscalers = upscalers
        self._separate = any(upscaler.separate for upscaler in upscalers.values())
        self.name = name
        self.edge: Edge = edge

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Take tiles over from the picture before wherever they read the same px: for frames of a video."""
        try:
            for upscaler in self.upscalers.values():
                upscaler.remembers = True
            yield
        finally:
            for upscaler in self.upscalers.values():
                upscaler.forget()

    @property
    def spared(self) -> int:
        """How many tiles were taken over so far."""
        return sum(upscaler.runner.spared for upscaler in self.upscalers.values())

    @property
    def agreement(self) -> float | None:
        """The least PSNR (dB) that the latest probes of the networks' fast formats had to float32; None without probes."""
        probes = [upscaler.agreement.psnr for upscaler in self.upscalers.values() if upscaler.agreement]
        return min(probes, default=None)

    def taken(self) -> list[Work]:
        """Return what the networks did on tiles since this was last asked, without those that did nothing."""
        done = [upscaler.runner.taken() for upscaler in self.upscalers.values()]
        return [work for work in done if work.tiles or work.smaller]

    def chain(self, sides: Sequence[int], size: tuple[int, int]) -> tuple[int, ...]:
        """Return the factors of the networks that bring a picture of `sides` (height, width) to `size` or beyond, in turn."""
        return passes(max(out / side for out, side in zip(size, sides, strict=True)), self.upscalers)

    def one_pass(self, sides: Sequence[int], size: tuple[int, int]) -> Upscaler | None:
        """Return the network of which one pass gives `size` from `sides`; None where that is not all it takes."""
        chain = self.chain(sides, size)
        exact = len(chain) == 1 and self.edge == "mirror" and size == tuple(side * chain[0] for side in sides)
        return self.upscalers[chain[0]] if exact else None

    def several(
        self, pictures: Sequence[Picture], size: tuple[int, int], tick: Tick = lambda fraction: None
    ) -> tuple[list[Picture], Precision | None]:
        """Upscale a picture, or at once several of one shape and dtype without alpha, which `one_pass` brings to `size`."""
        if len(pictures) == 1:
            result, precision = self(pictures[0], size, tick)
            return [result], precision
        run = self.one_pass(pictures[0].pixels.shape[:2], size)
        assert run
        arrays = [picture.pixels for picture in pictures]
        precision = run.choose(*arrays)
        results = run.several(arrays, tick, precision)
        return [replace(p, pixels=pixels) for p, pixels in zip(pictures, results, strict=True)], precision

    def __call__(
        self,
        picture: Picture,
        size: tuple[int, int],
        tick: Tick = lambda fraction: None,
        precision: Precision | None = None,
    ) -> tuple[Picture, Precision | None]:
        """Return the picture at `size` (height, width) and what the network computed in, None where none was needed."""
        chain = self.chain(picture.pixels.shape[:2], size)
        shares = [math.prod(chain[:i]) ** 2 for i in range(len(chain))]  # a pass costs what it reads
        for i, s in enumerate(chain):
            precision = precision or self.upscalers[s].choose(picture.pixels)
            part = partial(within, tick, sum(shares[:i]), sum(shares), share=shares[i])
            run = self.upscalers[s]
            picture = run(picture, part, precision) if self.edge == "mirror" else _seamless(run, picture, part, precision)
        return resampled(picture, *size, edge=self.edge, separate=self._separate), precision

    def animation(
        self, animation: Animation, size: tuple[int, int], tick: Tick = lambda fraction: None
    ) -> tuple[Animation, Precision | None]:
        """Return all frames at `size`, in one precision; a frame equal to the one before takes its result."""
        frames: list[Frame] = []
        precision, before = None, None
        count = len(animation.frames)
        for i, frame in enumerate(animation.frames):
            if before is None or not same(frame[:2], before[:2]):
                part = partial(within, tick, i, count)
                result, precision = self(Picture(frame.pixels, frame.alpha), size, part, precision)
            frames.append(Frame(result.pixels, result.alpha, frame.duration))
            before = frame
            tick((i + 1) / count)
        return replace(animation, frames=frames), precision


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


def same(frame: tuple[Array, Array | None], other: tuple[Array, Array | None]) -> bool:
    """Tell whether frames have the same pixels and alpha."""
    return all(np.array_equal(a, b) for a, b in zip(frame, other, strict=True))  # type: ignore[arg-type]  # None is itself


def passes(factor: float, scales: Collection[int]) -> tuple[int, ...]:
    """Choose the networks to run in turn to reach `factor`: as few as can, then as small as can; none up to x1."""
    if factor <= 1:
        return ()
    for count in range(1, 5):  # 2^4 = 16
        chains = [chain for chain in combinations_with_replacement(sorted(scales), count) if math.prod(chain) >= factor]
        if chains:
            return min(chains, key=math.prod)[::-1]
    raise UsageError(f"x{factor:g} cannot be reached with x{', x'.join(map(str, sorted(scales)))}")


def way(factor: float, scales: Collection[int]) -> str:
    """Say how networks reach a factor that is none of theirs; "" of one that they reach by themselves."""
    chain = passes(factor, scales)
    return "" if math.prod(chain) == factor else f"x{', then x'.join(map(str, chain))} by the network, then resampled"


def resampled(picture: Picture, height: int, width: int, *, edge: Edge = "mirror", separate: bool = False) -> Picture:
    """Resample colour and alpha to a size; strips of rows become floats, never the whole picture."""
    color, alpha = picture.pixels, picture.alpha
    if color.shape[:2] == (height, width):
        return picture
    if alpha is None:
        return replace(picture, pixels=_resampled(color, height, width, edge))
    coverage = _resampled(alpha[..., None], height, width, edge)[..., 0]
    return replace(picture, pixels=_resampled(color, height, width, edge, None if separate else alpha), alpha=coverage)


def _resampled(pixels: np.ndarray, height: int, width: int, edge: Edge, alpha: np.ndarray | None = None) -> np.ndarray:
    weighed = alpha is not None and alpha.min() < alpha.max()

    def read(first: int, last: int) -> Tensor:
        if alpha is None or not weighed:
            return to_tensor(pixels[first:last])
        top, bottom = max(first - REACH, 0), last + REACH
        return weigh(to_tensor(pixels[top:bottom]), to_tensor(alpha[top:bottom, :, None]))[..., first - top : last - top, :]

    out = np.empty((height, width, pixels.shape[2]), pixels.dtype)
    for top, rows in resize_strips(read, pixels.shape[:2], height, width, edge=edge):
        out[top : top + rows.shape[-2]] = to_array(unweigh(rows) if weighed else rows, pixels.dtype)
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
    if zoo.on_disk(reference) or reference.startswith(hub.PREFIX):
        path = zoo.find_weights(reference, whole, offline=offline, say=say)
        try:
            return [zoo.open_file(path, whole, called=reference, say=say)[0]]
        except (UsageError, BadCheckpoint):  # of another scale, or no network at all: the second try says which
            return [zoo.open_file(path, called=reference, say=say)[0]]
    scales = zoo.scales_of(reference, offline=offline, say=say) if scale or several else []
    if not scales:
        return [open_model(reference, max(math.ceil(scale), 2) if scale else None)[0]]
    needed = scales if scale is None else set(passes(scale, scales)) or scales[:1]
    return [open_model(reference, factor)[0] for factor in sorted(needed)]

"""A network at work on tiles: precision, memory and the way to the device and back; pictures are `upscale.py`'s."""

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from srcli.engine.compiler import compile_network
from srcli.engine.device import DTYPES, Precision, check_precision, exact, fast_precision
from srcli.engine.memory import budget, bytes_per_px, hand_back, keep_freed_memory, resident_limit, trim
from srcli.errors import OutOfMemory, UsageError, out_of_memory, quoted
from srcli.models import ARCHS
from srcli.models.base import SRModel, Window
from srcli.models.statistics import are_finite, measured_over
from srcli.ops.color import rgb_to_ycbcr, ycbcr_to_rgb
from srcli.ops.resize import resize
from srcli.ops.tiles import Tile, fewest_reads, plan_tiles, split

Read = Callable[[Tile], Tensor]  # what a tile reads, (N, 1 or 3, h, w) in [0, 1] on the device
Finish = Callable[[Tensor, Tile], Tensor]  # the network's (N, 1 or 3, s*h, s*w) -> the result; called after the tile's `Read`

_Frame = tuple[int, int, Precision, int, int]  # height, width, precision, count, band

SMALLEST_TILE = 32  # px that a tile gives; below it memory is not what is missing
_STAYS_SHRUNK = 100  # pictures or frames of a size, then the memory is tried again: what took it may be gone
_EDGE = 6  # px along the edge of a picture where zeros around it show in what a network gives of a flat colour
_SQUARE = 32  # px a side of flat colours on trial
_TRIED = 16  # of them in a pass, which have less px than what is taken without a look at the memory
_KEPT = 4096  # of them whose results are kept
_FLAT = 4  # px around that are of one colour where it is flat
_AT_ONCE = 192 * 192  # px that are taken whole without a look at the memory


class _Shrunk(NamedTuple):
    """What fitted when memory had run out: the height and width that tiles gave, and for how many more pictures they will."""

    side: tuple[int, int]
    pictures: int


@dataclass(slots=True)
class Work:
    """What a network did on tiles, counted up."""

    scale: int
    tiles: int = 0
    height: int = 0  # px of input that the largest tile gave
    width: int = 0
    overlap: int = 0  # px read around each
    smaller: int = 0  # times that memory ran out, and what was left went on in smaller tiles
    redone: int = 0  # tiles repeated in float32, for a value that was not finite

    def add(self, tile: Tile) -> None:
        """Count a tile that is done."""
        self.tiles += 1
        self.height = max(self.height, tile.rows.stop - tile.rows.start)
        self.width = max(self.width, tile.columns.stop - tile.columns.start)


class Runner:
    """A network made ready for tiles of pictures on one device.

    `precision`: auto is the fast format of the device. `tile`: px a side that one tile gives; 0 takes the picture whole,
    None as much as fits into `memory` bytes (None: what memory.budget says). `compile`: through torch.compile.
    """

    def __init__(
        self,
        model: SRModel,
        *,
        device: torch.device,
        precision: Literal["auto"] | Precision = "auto",
        tile: int | None = None,
        memory: int | None = None,
        compile: bool = False,
    ) -> None:
        self.device = device
        self.model = copy.deepcopy(model).eval().fold().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.scale = model.scale
        self.precision, self.casts = _precision(model, precision, device), model.precision is None
        self.tile, self.memory, self._unlimited = tile, memory, memory is None
        self.look_at_memory()
        self.not_compiled: str | None = None  # the reason, where it was asked for
        if compile:
            pooled = model.tiling.kind == "statistics"  # sweeps change what its layers do
            self.not_compiled = "it pools over the picture" if pooled else compile_network(self.model, device, dynamic=None)
        self.spared = 0  # tiles whose result was known
        self._sides: dict[_Frame, tuple[int, int]] = {}
        self._shrunk: dict[_Frame, _Shrunk] = {}
        self._bytes_per_px: dict[Precision, float] = {}
        self._known: dict[tuple[float, ...], Tensor] = {}  # what the network gives of flat colours
        self._work = self._none()
        if device.type == "cpu":
            keep_freed_memory()

    def look_at_memory(self) -> None:
        """Let the network have its own share, where no limit was set, beside what the program holds by now."""
        if self._unlimited and self.device.type == "cpu":
            self.memory = resident_limit()

    def _none(self) -> Work:
        return Work(self.scale, overlap=self.model.tiling.overlap)

    def taken(self) -> Work:
        """Return what was done on tiles since this was last asked."""
        work, self._work = self._work, self._none()
        return work

    def run(
        self,
        read: Read,
        height: int,
        width: int,
        precision: Precision,
        finish: Finish = lambda out, tile: out,
        *,
        count: int = 1,
        promised: int = 0,
        band: int = 0,
        known: Callable[[Tile], bool] | None = None,
    ) -> Iterator[tuple[Tile, Tensor]]:
        """Yield each tile of a (height, width) picture in order with what it gives, `finish`ed on the device, on the host.

        When memory runs out, what is left goes on in smaller tiles. A tile with a value that is not finite is redone in
        float32, and the rest stays there. `count` pictures of one size may come at once; `promised`: bytes they will take
        on the host, `band`: those that come to it with each row a tile gives. Tiles whose result is `known` are left out,
        where no other tile decides it.
        """
        tiling = self.model.tiling
        frame = height, width, precision, count, band
        side = self._side(frame, promised)
        todo = deque(plan_tiles(height, width, side, tiling.overlap, tiling.phase))
        whole = todo.copy()
        if known and tiling.kind in ("local", "strided"):
            todo = deque(tile for tile in todo if not known(tile))
            self.spared += len(whole) - len(todo)
        while True:
            try:
                with self._statistics_of(whole, read, (height, width), precision):
                    if precision != "fp32" and not are_finite(self.model):
                        self._work.redone += len(whole)
                        precision = "fp32"
                        continue
                    for done in self._flights(todo, read, (height, width), precision, finish=finish):
                        yield done
                        self._work.add(todo.popleft())
                        del done
                        if self.device.type == "cpu" and len(whole) > 1:
                            trim(self.memory)
                return
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                half = max(span.stop - span.start for tile in todo for span in tile) // 2
                if half < SMALLEST_TILE:
                    advice = "close other programs" if self.device.type == "cpu" else "use --device cpu"
                    raise OutOfMemory(
                        f"a tile of {2 * half} px does not fit into the memory; {advice}{quoted(error)}"
                    ) from error
            self._work.smaller += 1
            todo, whole = (  # by rows, as before
                deque(sorted(part for tile in tiles for part in split(tile, height, width, half, tiling.overlap, tiling.phase)))
                for tiles in (todo, whole)
            )
            down, across = (max(span.stop - span.start for span in spans) for spans in zip(*whole, strict=True))
            self._shrunk[frame] = _Shrunk((down, across), _STAYS_SHRUNK)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            else:
                hand_back()

    @torch.inference_mode()
    def whole(self, x: Tensor, precision: Precision) -> Tensor:
        """Run the network on (N, 1 or 3, H, W) taken as a whole picture."""
        return self._give(x, None, precision)

    def _side(self, frame: _Frame, promised: int) -> tuple[int, int] | int:
        height, width, precision, count, band = frame
        if shrunk := self._shrunk.pop(frame, None):
            if shrunk.pictures > 1:
                self._shrunk[frame] = shrunk._replace(pictures=shrunk.pictures - 1)
            return shrunk.side
        if self.tile is not None:
            return self.tile or max(height, width)
        if height * width * count <= _AT_ONCE:
            return max(height, width)
        if frame not in self._sides:  # the same for every frame of a video, whatever else the process holds by then
            per_px = count * self._per_px(precision)
            area, beside = budget(self.device, self.memory, promised) / per_px, band / per_px
            least, tiling = self._read_by(SMALLEST_TILE) + SMALLEST_TILE * beside, self.model.tiling
            self._sides[frame] = fewest_reads(height, width, max(area, least), tiling.overlap, tiling.phase, beside=beside)
        return self._sides[frame]

    @property
    def least_side(self) -> int:
        """Px a side that a tile gives at the least; SMALLEST_TILE where none was asked for and memory is short."""
        return SMALLEST_TILE if self.tile is None else self.tile

    def least_bytes(self, height: int, width: int, precision: Precision) -> float:
        """Estimate the memory that a (height, width) picture takes in the smallest tiles, or in those asked for."""
        area = height * width
        if self.tile != 0 and area > _AT_ONCE:
            area = min(area, self._read_by(self.least_side))
        return area * self._per_px(precision)

    def _read_by(self, side: int) -> int:
        """Count the px that a tile reads which gives `side` px a side."""
        around = self.model.tiling.overlap + self.model.tiling.phase
        read: int = side + 2 * around
        return read * read

    def _per_px(self, precision: Precision) -> float:
        if precision not in self._bytes_per_px:
            value = 4 if precision == "fp32" else 2
            self._bytes_per_px[precision] = bytes_per_px(self.model, lambda x: self.whole(x, precision), self.device, value)
        return self._bytes_per_px[precision]

    def _statistics_of(
        self, plan: Sequence[Tile], read: Read, size: tuple[int, int], precision: Precision
    ) -> AbstractContextManager[None]:
        def sweep() -> None:
            for tile in plan:
                self._tile(read(tile), tile, size, precision)

        return measured_over(self.model, sweep) if len(plan) > 1 else nullcontext()

    def _flights(
        self, todo: deque[Tile], read: Read, size: tuple[int, int], precision: Precision, *, finish: Finish
    ) -> Iterator[tuple[Tile, Tensor]]:
        """Run tiles in order; on CUDA one is computed while the one before is copied to the host."""
        ahead = 1 if self.device.type == "cuda" else 0
        flying: deque[_Flight] = deque()

        def start(tile: Tile) -> _Flight:
            out = self._tile(read(tile), tile, size, precision)
            # a sum is not finite where a value is not, and costs less than asking every value
            finite = None if precision == "fp32" else out.sum(dtype=torch.float32).isfinite()
            return _Flight.of(tile, finish(out, tile), finite)

        def land(flight: _Flight) -> tuple[Tile, Tensor]:
            nonlocal precision
            if not flight.landed():
                precision = "fp32"  # and stay there
                self._work.redone += 1
                flight = start(flight.tile)
                flight.landed()
            return flight.tile, flight.values

        for tile in list(todo):
            flying.append(start(tile))
            if len(flying) > ahead:
                yield land(flying.popleft())
        while flying:
            yield land(flying.popleft())

    @torch.inference_mode()
    def _tile(self, x: Tensor, tile: Tile, size: tuple[int, int], precision: Precision) -> Tensor:
        """Run the network on what one tile of a picture of `size` reads; return what it gives, (N, C, s*h, s*w)."""
        rows, columns = tile.rows, tile.columns
        inner = (rows.start - rows.first, rows.stop - rows.first, columns.start - columns.first, columns.stop - columns.first)
        whole = inner == (0, size[0], 0, size[1])  # not where all is read but a part is given: figures are gathered of that
        out = self._give(x, None if whole else Window(rows.first, columns.first, *size, inner), precision)
        top, bottom, left, right = (n * self.scale for n in inner)
        out = out[..., top:bottom, left:right]
        if self.model.arch in ARCHS and self.model.tiling.kind in ("local", "strided") and self.model.tiling.overlap >= _FLAT:
            _keep_flat_edges(out, x, tile=tile, size=size, plain=self._plain)
        return out

    def _plain(self, colors: Tensor) -> Tensor:
        """Return what the network gives in the middle of each of (K, C) flat colours."""
        keys = [tuple(color) for color in colors.tolist()]
        if len(self._known.keys() | keys) > _KEPT:
            self._known.clear()
        middle = _SQUARE * self.scale // 2
        new = [color for color in dict.fromkeys(keys) if color not in self._known]
        for some in (new[n : n + _TRIED] for n in range(0, len(new), _TRIED)):
            squares = torch.tensor(some, device=self.device)[..., None, None].expand(-1, -1, _SQUARE, _SQUARE)
            given = self._give(squares, None, "fp32")[..., middle, middle].clone()  # not a view of all that is given
            self._known |= zip(some, given, strict=True)
        return torch.stack([self._known[key] for key in keys])

    def _give(self, x: Tensor, window: Window | None, precision: Precision) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        casts = torch.autocast(self.device.type, DTYPES[precision], enabled=self.casts and precision != "fp32")
        with casts, exact(self.device) if precision == "fp32" else nullcontext():
            return in_color(self.model, x, window)


def _keep_flat_edges(out: Tensor, x: Tensor, *, tile: Tile, size: tuple[int, int], plain: Callable[[Tensor], Tensor]) -> None:
    """Give px beside the edge of a picture of `size`, where one colour is all around, what `plain` says of (K, C) colours.

    Networks pad with zeros, which shows there. `x` is what `tile` reads; `out`, what it gives, is changed.
    """
    s = out.shape[-1] // (tile.columns.stop - tile.columns.start)
    for axis in (0, 1):
        for first, last in ((0, _EDGE), (size[axis] - _EDGE, size[axis])):
            given = [range(span.start, span.stop) for span in tile]
            given[axis] = range(max(tile[axis].start, first), min(tile[axis].stop, last))
            if not all(given):
                continue
            read = [
                range(max(px.start - _FLAT, span.first), min(px.stop + _FLAT, span.last))
                for px, span in zip(given, tile, strict=True)
            ]
            around = x[..., *_from([span.first for span in tile], read)]
            within = _from([px.start for px in read], given)
            flat = (_highest(around) == -_highest(-around)).all(1)[..., *within]
            if not flat.any():
                continue
            wanted = around[..., *within].movedim(1, -1).clone()
            colors, which = wanted[flat].unique(dim=0, return_inverse=True)  # type: ignore[no-untyped-call]
            wanted[flat] = plain(colors)[which].to(wanted.dtype)
            flat, wanted = (y.repeat_interleave(s, -2).repeat_interleave(s, -1) for y in (flat[:, None], wanted.movedim(-1, 1)))
            part = out[..., *_from([span.start for span in tile], given, s)]
            part.copy_(torch.where(flat, wanted, part))


def _from(starts: Sequence[int], given: Sequence[range], s: int = 1) -> tuple[slice, slice]:
    """Return where rows and columns lie in what begins at `starts`, enlarged by `s`."""
    rows, columns = (slice((px.start - n) * s, (px.stop - n) * s) for n, px in zip(starts, given, strict=True))
    return rows, columns


def _highest(x: Tensor) -> Tensor:
    """Return the highest value of what counts as around each px."""
    for side, padding in (((2 * _FLAT + 1, 1), (_FLAT, 0)), ((1, 2 * _FLAT + 1), (0, _FLAT))):
        x = F.max_pool2d(x, side, stride=1, padding=padding)
    return x


class _Flight(NamedTuple):
    """A tile's result on its way to the host."""

    tile: Tile
    values: Tensor  # on the host, once landed
    finite: Tensor | None
    event: torch.cuda.Event | None

    @classmethod
    def of(cls, tile: Tile, values: Tensor, finite: Tensor | None) -> "_Flight":
        if values.device.type != "cuda":
            return cls(tile, values.cpu(), finite, None)
        event, device = torch.cuda.Event(), values.device  # type: ignore[no-untyped-call]
        host, checked = _pinned(values), None if finite is None else _pinned(finite)
        event.record(torch.cuda.current_stream(device))
        return cls(tile, host, checked, event)

    def landed(self) -> bool:
        """Wait until the values are there; tell whether all are finite."""
        if self.event is not None:
            self.event.synchronize()
        return self.finite is None or bool(self.finite)


def _pinned(x: Tensor) -> Tensor:
    """Start a copy to page-locked memory on the host, which the device makes beside its work."""
    host = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
    return host.copy_(x, non_blocking=True)


def _precision(model: SRModel, wanted: Literal["auto"] | Precision, device: torch.device) -> Precision:
    if model.precision:
        if wanted not in ("auto", model.precision):
            raise UsageError(f"'{model.arch}' comes in a file that computes in {model.precision}; leave --precision at auto")
        return model.precision
    chosen: Precision = fast_precision(device) if wanted == "auto" else wanted
    check_precision(chosen, device)
    return chosen if model.learnt else "fp32"  # interpolation is in float32 also under autocast


def in_color(model: SRModel, x: Tensor, window: Window | None = None) -> Tensor:
    """Run a network on (N, 1 or 3, H, W) pictures whatever channels it was trained on.

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
    in_float32 = torch.autocast(x.device.type, enabled=False)  # only the network may be in another format
    with in_float32:
        ycbcr = rgb_to_ycbcr(x.float())
        chroma = resize(ycbcr[:, 1:], x.shape[-2] * s, x.shape[-1] * s)
    y = model(ycbcr[:, :1], window).float()
    with in_float32:
        return ycbcr_to_rgb(torch.cat([y, chroma], 1))

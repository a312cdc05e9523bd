"""Batches drawn while the network works on the one before; knows the order a run asks in, not what a draw does."""

from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from srcli.engine.data import Batch, Patches, Stream

_Draw = tuple[int, int, int, int, int, int | None]  # seed, step, batch, part, parts, patch


class Ahead:
    """A source for a device that does not draw: what the host has drawn comes to it, one batch ahead.

    A draw is a function of its arguments, so what is drawn is what the source itself would draw.
    """

    def __init__(self, source: Patches | Stream, device: torch.device, *, turns: int = 1) -> None:
        """`turns`: batches of a step that this rank draws."""
        self._source, self._device, self._turns = source, device, turns
        self._thread = ThreadPoolExecutor(1, "draw")  # one: a source is not for two threads
        self._next: tuple[_Draw, Future[Batch]] | None = None

    def __len__(self) -> int:
        return len(self._source)

    @property
    def pixels(self) -> int:
        """HR pixels of the source."""
        return self._source.pixels

    def draw(self, seed: int, step: int, batch: int, *, part: int = 0, parts: int = 1, patch: int | None = None) -> Batch:
        """Draw as the source does, to the device, and begin with what comes after it."""
        wanted = (seed, step, batch, part, parts, patch)
        drawing = self._next[1] if self._next and self._next[0] == wanted else self._thread.submit(self._drawn, *wanted)
        drawn = drawing.result().each(lambda x: x.to(self._device, non_blocking=x.is_pinned()))  # this thread computes there
        turn, part = divmod(part, ranks := parts // self._turns)
        step, turn = step + (turn + 1) // self._turns, (turn + 1) % self._turns
        following = (seed, step, batch, turn * ranks + part, parts, patch)
        self._next = following, self._thread.submit(self._drawn, *following)
        return drawn

    def news(self) -> list[str]:
        """Return what the source has to tell."""
        return self._source.news()

    def close(self) -> None:
        """Stop drawing."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._source.close()  # ends a draw that reads, too
        self._thread.shutdown()

    def _drawn(self, seed: int, step: int, batch: int, part: int, parts: int, patch: int | None) -> Batch:
        drawn = self._source.draw(seed, step, batch, part=part, parts=parts, patch=patch)
        if self._device.type != "cuda":
            return drawn
        return drawn.each(Tensor.pin_memory)  # so that the copy does not wait for the step before

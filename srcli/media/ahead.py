"""Reading ahead of the network and writing behind it, in order and bounded."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from srcli.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


def read_ahead(
    items: Iterable[T], function: Callable[[T], R], *, depth: int, threads: int = 1
) -> Iterator[tuple[T, R | UserError]]:
    """Yield each item with `function(item)`, computed in `threads` that are at most `depth` items ahead.

    A UserError is yielded as the result of its item, anything else rises. Closing early drops what is queued.
    """

    def outcome(item: T) -> R | UserError:
        try:
            return function(item)
        except UserError as error:
            return error

    pool = ThreadPoolExecutor(threads, "read-ahead")
    try:
        yield from _in_order(pool, items, outcome, depth=depth)
    finally:
        pool.shutdown(cancel_futures=True)


def write_behind(
    items: Iterable[T],
    function: Callable[[T], R],
    *,
    depth: int,
    weigh: Callable[[T], int] = lambda item: 0,
    most: int = 0,
) -> Generator[tuple[T, R], None, None]:
    """Yield each item with `function(item)`, computed in a thread that is at most `depth` items behind.

    What is done is yielded before the next item is asked for. Errors rise; what was handed over is finished even then, when
    the caller closes early and when `items` raises. Items that wait together `weigh` at most `most`, or are one.
    """
    with ThreadPoolExecutor(1, "write-behind") as pool:
        yield from _in_order(pool, items, function, depth=depth, weigh=weigh, most=most, due=Future.done)


def _in_order(
    pool: ThreadPoolExecutor,
    items: Iterable[T],
    function: Callable[[T], R],
    *,
    depth: int,
    weigh: Callable[[T], int] = lambda item: 0,
    most: int = 0,
    due: Callable[[Future[tuple[T, R]]], bool] = lambda future: False,
) -> Iterator[tuple[T, R]]:
    def submit(item: T) -> Future[tuple[T, R]]:
        try:
            return pool.submit(lambda: (item, function(item)))
        except RuntimeError as error:
            if "start new thread" not in str(error):
                raise
            raise MemoryError(str(error)) from error  # for its stack

    pending: deque[tuple[Future[tuple[T, R]], int]] = deque()
    for item in items:
        pending.append((submit(item), weigh(item)))
        del item  # it may be large, and its turn in the caller is over
        while pending and (
            due(pending[0][0])
            or len(pending) > depth
            or (most and len(pending) > 1 and sum(weight for _, weight in pending) > most)
        ):
            yield pending.popleft()[0].result()
    while pending:
        yield pending.popleft()[0].result()

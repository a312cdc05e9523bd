"""Batches that are drawn ahead are those that the source draws."""

import threading

import pytest
import torch

from srcli.engine.ahead import Ahead
from srcli.engine.data import Patches
from srcli.engine.degrade import degrade
from srcli.engine.device import single_threads
from tests.conftest import photograph

CPU = torch.device("cpu")


class Counted(Patches):
    """Remembers what was drawn, and in which thread."""

    def __init__(self) -> None:
        super().__init__(2, 8, CPU)
        self.add(photograph(64, 72))
        self.drawn: list[tuple[int, int]] = []
        self.threads: set[int] = set()
        self.more = threading.Condition()

    def wait(self, draws: int) -> bool:
        with self.more:
            return self.more.wait_for(lambda: len(self.drawn) >= draws, timeout=60)

    def draw(self, seed, step, batch, *, part=0, parts=1, patch=None):
        with self.more:
            self.drawn.append((step, part))
            self.threads.add(threading.get_ident())
            self.more.notify_all()
        return super().draw(seed, step, batch, part=part, parts=parts, patch=patch)


@pytest.fixture
def source():
    return Counted()


def _asked(turns, ranks, rank, steps):
    return [(step, turn * ranks + rank) for step in range(steps) for turn in range(turns)]


@pytest.mark.parametrize(("turns", "ranks", "rank"), [(1, 1, 0), (3, 1, 0), (1, 2, 1), (2, 3, 2)])
def test_what_is_drawn_ahead_is_what_is_asked_for_next(source, turns, ranks, rank):
    ahead, parts = Ahead(source, CPU, turns=turns), turns * ranks
    asked = _asked(turns, ranks, rank, 4)
    for step, part in asked:
        pair = ahead.draw(7, step, 2, part=part, parts=parts)
        same = Patches.draw(source, 7, step, 2, part=part, parts=parts)
        assert torch.equal(pair.lr, same.lr) and torch.equal(pair.hr, same.hr)
    assert source.wait(len(asked) + 1)  # the one after the last begins unasked
    ahead.close()
    assert source.drawn == [*asked, (4, rank)]
    assert threading.get_ident() not in source.threads and len(source.threads) == 1


def test_another_patch_or_an_earlier_step_is_drawn_as_it_is_asked_for(source):
    ahead = Ahead(source, CPU)
    for step, patch in ((5, None), (6, 12), (2, 12), (3, 12)):
        assert torch.equal(ahead.draw(1, step, 2, patch=patch).lr, Patches.draw(source, 1, step, 2, patch=patch).lr)
    ahead.close()


def test_an_error_of_the_source_reaches_who_asked(source):
    ahead = Ahead(source, CPU)
    with pytest.raises(ValueError):
        ahead.draw(1, -1, 2)
    assert len(ahead.draw(1, 1, 2).lr) == 2
    ahead.close()


@pytest.fixture
def two_threads():
    own = torch.get_num_threads()
    torch.set_num_threads(2)
    yield 2
    torch.set_num_threads(own)


def test_a_pool_degrades_as_one_thread_does_and_leaves_torch_its_threads(two_threads):
    hr, keys = torch.rand(5, 3, 64, 48), [(3, n) for n in range(1, 6)]
    with single_threads(3) as pool:
        assert torch.equal(degrade(hr, 4, keys, pool=pool), degrade(hr, 4, keys))
        assert set(pool.map(lambda _: torch.get_num_threads(), range(20))) == {1}
        assert torch.get_num_threads() == two_threads
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [two_threads]


def test_a_pool_that_cannot_start_its_threads_ends(two_threads, monkeypatch):
    started = []

    def start(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        plain(thread)

    plain = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"):
        single_threads(3)
    for thread in started:
        thread.join(60)
        assert not thread.is_alive()
    assert torch.get_num_threads() == two_threads

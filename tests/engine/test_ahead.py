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
        self.drawn: list[tuple[int, int, int | None]] = []
        self.threads: set[int] = set()

    def draw(self, seed, step, batch, *, part=0, parts=1, patch=None):
        self.drawn.append((step, part, patch))
        self.threads.add(threading.get_ident())
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
    ahead.close()
    assert [(step, part) for step, part, _ in source.drawn][: len(asked)] == asked
    assert len(source.drawn) <= len(asked) + 1
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


def test_a_pool_degrades_as_one_thread_does_and_leaves_torch_its_threads():
    hr, keys, own = torch.rand(5, 3, 64, 48), [(3, n) for n in range(1, 6)], torch.get_num_threads()
    with single_threads(3) as pool:
        assert torch.equal(degrade(hr, 4, keys, pool=pool), degrade(hr, 4, keys))
        assert set(pool.map(lambda _: torch.get_num_threads(), range(20))) == {1}
        assert torch.get_num_threads() == own
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [own]

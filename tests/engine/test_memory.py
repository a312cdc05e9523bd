import sys

import pytest
import torch

from srcli.engine import memory
from srcli.engine.runner import Runner
from srcli.models import create
from tests.conftest import photograph

CPU = torch.device("cpu")


def test_what_is_promised_and_what_is_held_leaves_the_budget(monkeypatch):
    monkeypatch.setattr(memory, "_held", lambda: 300 * 2**20)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**40)
    whole = memory.budget(CPU, 2**30)
    assert 0 < whole < 2**30 - 300 * 2**20
    assert memory.budget(CPU, 2**30, 200 * 2**20) == pytest.approx(whole - memory._ROOM * 200 * 2**20)
    assert memory.budget(CPU, 100 * 2**20) == 0
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**20)
    assert memory.budget(CPU, 2**40) <= 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's record of the peak is Linux'")
def test_the_peak_of_a_pass_is_what_it_takes():
    held = []
    taken = memory.peak_bytes(lambda: held.append(torch.ones(64, 2**20)), CPU)
    assert taken == pytest.approx(256 * 2**20, rel=0.2)


def test_a_wider_network_takes_more_for_a_px():
    def measured(channels):
        model = create("rfdn", 4, channels=channels).eval()
        return memory.bytes_per_px(model, lambda x: model(x), CPU, 4)

    with torch.inference_mode():
        assert measured(50) > 1.3 * measured(16) > 0


def test_the_limit_decides_the_tiles():
    runner = Runner(create("rfdn", 2), device=CPU, precision="fp32", memory=None)
    runner._bytes_per_px["fp32"] = 1000.0
    sides = []
    for limit in (2**30, 2**33):
        runner.memory = limit
        runner._sides.clear()
        sides.append(runner._side(2000, 2000, "fp32", 1, 0))
    assert sides[0][0] < 2000
    assert sides[1] == (2000, 2000)


def test_small_pictures_are_not_measured():
    runner = Runner(create("rfdn", 2), device=CPU, precision="fp32")
    pixels = photograph(40, 50)
    assert runner._side(*pixels.shape[:2], "fp32", 1, 0) == 50
    assert not runner._bytes_per_px

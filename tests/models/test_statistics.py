from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from srcli.engine.upscale import Upscaler
from srcli.models import create
from srcli.models.base import SRModel, Window
from srcli.models.blocks import CCA
from srcli.models.statistics import PictureStatistics, measured_over
from srcli.ops.pixels import to_tensor
from tests.models.test_networks import fresh, levels, picture, started, tiled, whole

POOLING = ["imdn", "rfdn-c48", "rfdn-c52", "rdsrn", "fdiwn", "fdiwn-m"]


def test_tiles_together_have_the_statistics_of_the_whole():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 37, 53) * 7 + 100
    pool = PictureStatistics()
    pool.gather()
    for top, bottom in ((0, 20), (20, 37)):
        for left, right in ((0, 9), (9, 53)):
            pool.rewind()
            pool(x[..., top:bottom, left:right], Window(top, left, 37, 53, (0, bottom - top, 0, right - left)))
    pool.settle()
    pool.rewind()
    torch.testing.assert_close(pool(x[..., :4, :4]), PictureStatistics()(x))


def test_what_a_tile_reads_but_does_not_give_is_not_counted():
    x = torch.rand(1, 2, 9, 9)
    pool = PictureStatistics()
    pool.gather()
    pool(x, Window(0, 0, 20, 20, (0, 5, 2, 9)))
    pool.settle()
    pool.rewind()
    torch.testing.assert_close(pool(x), PictureStatistics()(x[..., 0:5, 2:9]))


def test_a_constant_channel_has_a_finite_slope():
    x = torch.ones(1, 2, 5, 5, requires_grad=True)
    PictureStatistics()(x).std.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("arch", POOLING)
def test_tiles_with_measured_statistics_nearly_equal_the_whole(arch):
    model = started(arch)
    x = picture(model, 44, 16)
    difference = (levels(tiled(model, x, 24)) - levels(whole(model, x))).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() <= 0.01


def _contrasting(arch: str) -> tuple[SRModel, Tensor]:
    """Make a network whose attention depends much on what it pools, and a picture whose ends differ in it."""
    model = fresh(arch)
    with torch.no_grad():
        for attention in (m for m in model.modules() if isinstance(m, CCA)):
            attention.reduce.weight *= 6
            attention.expand.weight *= 30
    return model, picture(model, 100, 12) * torch.linspace(0.1, 1, 100)[:, None]


@pytest.mark.parametrize("arch", ["imdn", "rfdn-c48", "rdsrn"])
def test_tiles_equal_the_whole_by_its_statistics_alone(arch, monkeypatch):
    model, x = _contrasting(arch)
    expected = whole(model, x)
    assert (tiled(model, x, 24) - expected).abs().max() < 1e-4 * expected.std()
    monkeypatch.setattr("tests.models.test_networks.measured_over", lambda model, sweep: nullcontext())
    assert (tiled(model, x, 24) - expected).abs().max() > 1e-3 * expected.std()


def test_the_engine_gathers_of_each_tile_what_it_gives():
    model, x = _contrasting("imdn")
    x = x[..., :72, :]  # all of which the middle tile reads
    expected = whole(model, x).clamp(0, 1)
    out = to_tensor(Upscaler(model, precision="fp32", tile=24).pixels(x[0].permute(1, 2, 0).numpy()))
    assert (out - expected).abs().max() < 1e-4 * expected.std()


def test_the_network_is_as_before_afterwards():
    model = fresh("imdn")
    x = picture(model, 37, 53)
    before = whole(model, x)
    tiled(model, x, 16)
    assert torch.equal(whole(model, x), before)


def test_a_network_that_pools_nothing_is_not_swept():
    with measured_over(create("imdn-baseline", 2), pytest.fail):
        pass


def test_a_failing_sweep_leaves_the_network_as_it_was():
    model = fresh("imdn")

    def broken() -> None:
        raise MemoryError

    with pytest.raises(MemoryError), measured_over(model, broken):
        pass
    assert {m.mode for m in model.modules() if isinstance(m, PictureStatistics)} == {"own"}

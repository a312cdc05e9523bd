"""Claims about srcli's own family that the table's tests do not make: its counts, its start and its configurations."""

import pytest
import torch

from srcli.engine.profile import profile
from srcli.models import create
from srcli.ops.metrics import psnr
from tests.models.test_networks import fresh, picture, whole


@pytest.mark.parametrize(
    ("arch", "config", "counts"),
    [
        ("fast", {}, (35_520, 2_310_012_928, 17_825_792, 15, 14)),
        ("standard", {}, (163_792, 10_693_378_048, 40_894_464, 19, 18)),
        ("quality", {}, (357_024, 23_338_156_032, 59_768_832, 19, 18)),
        ("quality", {"blocks": 3, "convs": 3}, (211_536, 13_825_474_560, 37_748_736, 12, 11)),
    ],
)
def test_a_size_costs_what_is_documented(arch, config, counts):
    model = create(arch, 4, **config)
    cost = profile(model, 256, 256)
    assert (cost.parameters, cost.macs, cost.activations, cost.convolutions, model.tiling.overlap) == counts


@pytest.mark.parametrize("config", [{}, {"activation": "relu"}, {"gate": "channel"}, {"gate": "full"}])
def test_it_starts_as_bilinear_interpolation(config):
    model = fresh("standard", 3, **config)
    assert model.start_as_upsampler()
    with torch.no_grad():  # what the other channels add, random at first
        model.upsample.weight[:, 3:] = 0
    x = picture(model, 21, 33)
    bilinear = torch.nn.functional.interpolate(x, scale_factor=3, mode="bilinear")
    inside = (..., slice(3, -3), slice(3, -3))  # zero padding darkens the border
    torch.testing.assert_close(whole(model, x)[inside], bilinear[inside], atol=1e-6, rtol=0)


@pytest.mark.parametrize("gate", ["channel", "full"])
def test_a_gate_starts_open_and_then_scales_with_what_the_block_adds(gate):
    gated, block = (fresh("fast", 2, gate=g).blocks[0] for g in (gate, None))
    block.load_state_dict({name: x for name, x in gated.state_dict().items() if name != "gate.weight"})
    x = torch.rand(1, 16, 7, 9)
    with torch.no_grad():
        torch.testing.assert_close(gated(x), block(x), rtol=0, atol=0)
        gated.gate.weight[:] = 0.5 if gate == "channel" else 0.5 * torch.eye(16)[..., None, None]
        torch.testing.assert_close(gated(x), block(x) * (1 + 0.5 * (block(x) - x)))


def test_a_block_is_convolutions_with_activations_between_them():
    block = fresh("standard", 2, convs=3, activation="relu").blocks[0]
    x = torch.randn(1, 32, 7, 9)
    first, second, third = block.convs
    with torch.no_grad():
        torch.testing.assert_close(block(x), x + third(second(first(x).relu()).relu()))


@pytest.mark.parametrize(
    "config", [{"channels": 48, "blocks": 3, "convs": 3}, {"blocks": 1, "convs": 1}, {"activation": "relu", "gate": "full"}]
)
def test_a_configuration_has_its_exact_radius(config):
    model = fresh("standard", 4, **config).double()
    radius = model.tiling.overlap
    x = torch.rand(1, 3, 2 * radius + 7, 5, dtype=torch.float64, requires_grad=True)
    (model(x)[..., (radius + 3) * 4 : (radius + 4) * 4, :] ** 2).sum().backward()
    touched = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert (touched.min(), touched.max()) == (3, 2 * radius + 3)


@pytest.mark.parametrize("arch", ["fast", "standard", "quality"])
def test_the_picture_itself_does_not_pass_through_bfloat16(arch):
    model = fresh(arch, 4)
    model.start_as_upsampler()
    x = picture(model, 37, 53)
    with torch.autocast("cpu", torch.bfloat16):
        half = whole(model, x)
    assert half.dtype == torch.float32
    assert psnr(half, whole(model, x)) > 66  # 56 where it does

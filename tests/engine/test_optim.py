import pytest
import torch

from srcli.engine.losses import make_loss
from srcli.engine.optim import Muon, hidden_kernels, orthogonalize
from srcli.models import create


@pytest.mark.parametrize("shape", [(2, 8, 30), (1, 30, 8)])
def test_orthogonalize_brings_the_singular_values_near_one(shape):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(x))
    assert 0.6 < values.min() <= values.max() < 1.3


def test_muon_finds_the_least_squares_solution():
    torch.manual_seed(0)
    target, weight = torch.randn(6, 4, 3, 3), torch.nn.Parameter(torch.zeros(6, 4, 3, 3))
    optimizer = Muon([weight], lr=0.3)
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.3 * (1 - step / 200)
        optimizer.zero_grad()
        (weight - target).square().sum().backward()
        optimizer.step()
    assert (weight - target).abs().max() < 0.1


def test_muon_takes_the_trunks_dense_kernels_alone():
    model = create("mfdn", 4)
    taken = {id(p) for p in hidden_kernels(model)}
    names = {name for name, p in model.named_parameters() if id(p) in taken}
    assert "head.weight" not in names
    assert "last.weight" not in names
    assert "blocks.0.distil.0.pointwise.weight" in names
    assert "upsample.0.conv1.weight" not in names
    assert "blocks.0.distil.0.depthwise.0.weight" not in names
    assert not any(name.endswith("bias") for name in names)


@pytest.mark.parametrize(
    ("name", "expected"), [("l1", 0.2), ("mse", 0.04), ("smooth-l1", 0.5 * 0.04 / 0.5), ("charbonnier", 0.2)]
)
def test_losses_have_their_textbook_values(name, expected):
    sr, hr = torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.3)
    assert make_loss(name, beta=0.5)(sr, hr).item() == pytest.approx(expected, abs=1e-5)

"""Layers that are computed another way than their definition says, beside the definition."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.models import create
from srcli.models.blocks import NearestConv
from srcli.models.depthwise import Depthwise


def gradients(layer: nn.Module, function, x: Tensor) -> list[Tensor]:
    """Return what `function` gives for `x` and the gradients, of `x` and of the parameters, of a loss that sees every px."""
    x = x.clone().requires_grad_()
    out = function(x)
    torch.manual_seed(1)
    (out * torch.rand(out.shape, dtype=x.dtype)).sum().backward()
    found = [out.detach(), x.grad, *(p.grad for p in layer.parameters())]
    layer.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("size", [1, 3, 5, 7, 9])
@pytest.mark.parametrize("side", [(9, 14), (2, 1)])
def test_a_depthwise_layer_learns_what_a_convolution_learns(size, side):
    torch.manual_seed(0)
    layer = Depthwise(6, size).double()
    x = torch.rand(2, 6, *side, dtype=torch.float64)
    plain = gradients(layer, lambda x: F.conv2d(x, layer.weight, layer.bias, padding=size // 2, groups=6), x)
    torch.testing.assert_close(gradients(layer, layer, x), plain, rtol=1e-12, atol=1e-12)


def test_a_depthwise_layer_learns_in_the_format_of_autocast():
    torch.manual_seed(0)
    layer = Depthwise(8, 5)
    x = torch.rand(2, 8, 12, 10)
    exact = gradients(layer, layer, x)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
        fast = gradients(layer, layer, x)
    assert [g.dtype for g in fast[1:]] == [torch.float32] * 3
    for one, other in zip(fast, exact, strict=True):
        assert (one - other).norm() < 0.02 * other.norm()


def test_large_kernels_learn_by_windows():
    x = torch.rand(1, 4, 8, 8)
    for size, quick in ((3, False), (5, True)):
        layer = Depthwise(4, size)
        assert ("_ByWindows" in layer(x).grad_fn.name()) is quick
        assert "_ByWindows" not in layer.eval()(x).grad_fn.name()


def test_what_does_not_learn_has_no_gradient():
    layer = Depthwise(4, 5)
    layer.weight.requires_grad_(False)
    x = torch.rand(1, 4, 8, 8)
    layer(x).sum().backward()
    assert (layer.weight.grad, x.grad) == (None, None)
    assert layer.bias.grad.tolist() == [64] * 4


def test_a_frozen_depthwise_layer_passes_the_gradient_on():
    layer = Depthwise(4, 5).requires_grad_(False)
    x = torch.rand(1, 4, 8, 8, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert layer.weight.grad is None


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("side", [(5, 8), (1, 1)])
def test_a_convolution_of_the_nearest_enlargement_is_the_same_on_the_smaller_grid(factor, side, monkeypatch):
    torch.manual_seed(0)
    layer = NearestConv(5, 4, factor).double()
    x = torch.rand(2, 5, *side, dtype=torch.float64)

    def defined(x: Tensor) -> Tensor:
        return F.conv2d(F.interpolate(x, scale_factor=factor, mode="nearest"), layer.weight, layer.bias, padding=1)

    plain = gradients(layer, defined, x)
    interpolated = []
    with monkeypatch.context() as patch:
        patch.setattr(F, "interpolate", lambda *args, **more: interpolated.append(args))
        torch.testing.assert_close(gradients(layer, layer, x), plain, rtol=1e-12, atol=1e-12)
    assert interpolated == []
    layer.bias.requires_grad_(False)
    folded = deepcopy(layer)
    folded.fold()
    folded.fold()  # nothing more
    assert folded.weight.shape == (4 * factor**2, 5, 2, 2)
    assert (folded.weight.requires_grad, folded.bias.requires_grad) == (True, False)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), plain[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(layer(x), plain[0], rtol=0, atol=0)  # as papers count it


@pytest.mark.parametrize(("arch", "scale"), [("mfdn", 2), ("mfdn", 3), ("pan", 3), ("pan", 4)])
def test_folded_networks_answer_as_before(arch, scale):
    torch.manual_seed(0)
    model = create(arch, scale).eval()
    x = torch.rand(1, 3, 20, 23)
    with torch.no_grad():
        for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.running_mean.normal_(0, 0.2)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.2)
        torch.testing.assert_close(deepcopy(model).fold()(x), model(x), rtol=1e-5, atol=1e-5)

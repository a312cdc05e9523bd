"""Depthwise convolution that trains quickly on a CPU with kernels of 5 px and more."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.grad import conv2d_input, conv2d_weight

from srcli.models.base import as_autocast

WINDOW = 3  # px of the widest kernel whose weights' gradient oneDNN is quick to compute


class Depthwise(nn.Conv2d):
    """nn.Conv2d of `channels` kernels of `size` (odd) px, one a channel, whose output is as large as its input.

    oneDNN takes thirty times as long for the gradient of 5x5 kernels as for that of 3x3 ones. Here it is put together from
    3x3 windows of the kernel, to the same numbers but for rounding.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__(channels, channels, size, padding=size // 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel_size[0] <= WINDOW or x.device.type != "cpu" or not (self.training and torch.is_grad_enabled()):
            return super().forward(x)
        assert self.bias is not None
        return _ByWindows.apply(as_autocast(x), as_autocast(self.weight), as_autocast(self.bias))  # type: ignore[no-untyped-call]


class _ByWindows(torch.autograd.Function):
    """Depthwise convolution of (N, C, H, W) with (C, 1, K, K) and (C,), K odd; the weights' gradient 3x3 taps at a time.

    To be differentiated once, by autograd alone.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        x_learns, weight_learns, bias_learns = ctx.needs_input_grad  # type: ignore[attr-defined]
        margin, groups = weight.shape[-1] // 2, len(weight)
        return (
            conv2d_input(x.shape, weight, grad, padding=margin, groups=groups) if x_learns else None,  # type: ignore[no-untyped-call]
            _gradient_of_taps(x, weight, grad) if weight_learns else None,
            grad.sum((0, 2, 3)) if bias_learns else None,
        )


def _gradient_of_taps(x: Tensor, weight: Tensor, grad: Tensor) -> Tensor:
    channels, size = len(weight), weight.shape[-1]
    padded = F.pad(x, [size // 2] * 4)
    height, width = x.shape[-2] + WINDOW - 1, x.shape[-1] + WINDOW - 1
    taps = torch.empty_like(weight)
    starts = [*range(0, size - WINDOW, WINDOW), size - WINDOW]  # the last may overlap the one before, in the same numbers
    for top in starts:
        for left in starts:
            seen = padded[:, :, top : top + height, left : left + width].contiguous(memory_format=torch.channels_last)
            window = conv2d_weight(seen, (channels, 1, WINDOW, WINDOW), grad, groups=channels)  # type: ignore[no-untyped-call]
            taps[:, :, top : top + WINDOW, left : left + WINDOW] = window
    return taps

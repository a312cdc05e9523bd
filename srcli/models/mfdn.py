"""MFDN: multi-feature distillation network, entrant "Multicog" of the NTIRE 2022 challenge on efficient super-resolution.

RFDN's block with every convolution decoupled ("multiception"): parallel depthwise kernels, batch norm, a 1x1,
batch norm, no activation inside. The reading is exact at x4: it reproduces 0.312 M parameters, 37.67 G NTIRE FLOPs,
430.23 M activations and 130 convolutions, and the released weights load. x2 and x3 are undefined in the paper; here
they have one upsampling stage, as PAN does (300,559 parameters). The paper's ablation upsamples by pixel shuffle
(`upsampler="shuffle"`). Its equation 7 counts 3C(sum K^2 + N); the depthwise part is C*sum K^2.
"""

from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.models.base import FACTORS, SRModel, Tiling, Window, as_autocast, pass_rgb_through, silence_rgb, start_bilinear
from srcli.models.blocks import ESA, NearestConv
from srcli.models.depthwise import Depthwise

SLOPE = 0.05
UPSAMPLER_SLOPE = 0.2


class MFDN(SRModel):
    """Multi-feature distillation network; `channels` wide, `blocks` deep, `width` channels while upsampling."""

    min_side = 15
    tiling = Tiling("strided", overlap=60, phase=6)

    def __init__(
        self,
        scale: int,
        *,
        channels: int = 52,
        blocks: int = 4,
        width: int = 24,
        upsampler: Literal["attention", "shuffle"] = "attention",
    ) -> None:
        super().__init__(scale)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(MFDB(channels) for _ in range(blocks))
        self.fuse = nn.Conv2d(channels * blocks, channels, 1)
        self.body = nn.Conv2d(channels, channels, 3, padding=1)
        self.shuffle = nn.Conv2d(channels, 3 * scale * scale, 3, padding=1) if upsampler == "shuffle" else None
        if self.shuffle is not None:
            return
        self.upsample = nn.ModuleList(
            AttentiveUpsample(channels if i == 0 else width, width, factor) for i, factor in enumerate(FACTORS[scale])
        )
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        # the long skip and the upsampler carry the picture itself: in float32 bf16 comes within 60 dB of float32, else within
        # 48, at two fifths of float32's time; training can do without
        with self._carrying(x):
            head = self.head(x)  # (N, C, H, W)
        outputs, feature = [], as_autocast(head)
        for block in self.blocks:
            feature = block(feature, window)
            outputs.append(feature)
        body = self.body(F.leaky_relu(self.fuse(torch.cat(outputs, 1)), SLOPE))
        with self._carrying(x):
            out: Tensor = body.to(head.dtype) + head
            if self.shuffle is not None:
                return F.pixel_shuffle(self.shuffle(out), self.scale)
            for stage in self.upsample:
                out = stage(out)
            out = self.last(out)
        return out

    def _carrying(self, x: Tensor) -> torch.autocast:
        device = x.device.type
        return torch.autocast(
            device, torch.get_autocast_dtype(device), enabled=self.training and torch.is_autocast_enabled(device)
        )

    def fold(self) -> Self:
        for module in self.modules():
            if isinstance(module, Multiception | NearestConv):
                module.fold()
        return super().fold()

    def start_as_upsampler(self) -> bool:
        pass_rgb_through(self.head)
        silence_rgb(self.body)
        if self.shuffle is not None:
            start_bilinear(self.shuffle, self.scale)
            return True
        for stage in self.upsample:
            assert isinstance(stage, AttentiveUpsample)
            stage.start_as_upsampler()
        with torch.no_grad():
            self.last.weight *= 0.1
        pass_rgb_through(self.last)
        return True


class MFDB(nn.Module):
    """Multi-feature distillation block: RFDN's block out of multiceptions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.distil = nn.ModuleList(Multiception(channels, half, [1]) for _ in range(3))
        self.refine = nn.ModuleList(Multiception(channels, channels, [1, 3, 5]) for _ in range(3))
        self.last = Multiception(channels, half, [1, 3, 5])
        self.fuse = nn.Conv2d(4 * half, channels, 1)
        self.attention = ESA(channels, channels // 4)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        kept = []
        for distil, refine in zip(self.distil, self.refine, strict=True):
            kept.append(distil(x))
            x = F.leaky_relu_(refine(x).add_(x), SLOPE)
        kept.append(self.last(x))
        return self.attention(self.fuse(F.leaky_relu_(torch.cat(kept, 1), SLOPE)), window)  # as in RFDB


class Multiception(nn.Module):
    """Parallel depthwise convolutions of several sizes, mixed by a 1x1; batch norm after each of the two steps."""

    def __init__(self, inputs: int, outputs: int, kernels: list[int]) -> None:
        super().__init__()
        self.depthwise = nn.ModuleList(Depthwise(inputs, k) for k in kernels)
        self.norm1: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(inputs * len(kernels))
        self.pointwise = nn.Conv2d(inputs * len(kernels), outputs, 1)
        self.norm2: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        parts = [conv(x) for conv in self.depthwise]
        mixed = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        return self.norm2(self.pointwise(self.norm1(mixed)))

    @torch.no_grad()
    def fold(self) -> None:
        """Take both batch norms, and a depthwise kernel of one px, into the 1x1: with fixed statistics all are linear."""
        if isinstance(self.norm1, nn.Identity) or isinstance(self.norm2, nn.Identity):
            return  # done before
        (gain1, shift1), (gain2, shift2) = _affine(self.norm1), _affine(self.norm2)
        mix = self.pointwise.weight[:, :, 0, 0]  # (out, in)
        assert self.pointwise.bias is not None
        bias = self.pointwise.bias + mix @ shift1
        mix = mix * gain1
        start = 0
        for i, conv in enumerate(self.depthwise):
            assert isinstance(conv, nn.Conv2d) and conv.bias is not None
            if conv.kernel_size == (1, 1):
                part = slice(start, start + conv.out_channels)
                bias = bias + mix[:, part] @ conv.bias
                mix[:, part] = mix[:, part] * conv.weight.flatten()
                self.depthwise[i] = nn.Identity()
            start += conv.out_channels
        self.pointwise.weight.copy_((mix * gain2[:, None])[:, :, None, None])
        self.pointwise.bias.copy_(bias * gain2 + shift2)
        self.norm1 = self.norm2 = nn.Identity()


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the gain and shift a channel that `norm` applies once its statistics are fixed."""
    assert norm.running_var is not None and norm.running_mean is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return gain, norm.bias - norm.running_mean * gain


class AttentiveUpsample(nn.Module):
    """Nearest-neighbour upsampling, 3x3, pixel attention, 3x3 (the reconstruction block of PAN)."""

    def __init__(self, inputs: int, outputs: int, factor: int) -> None:
        super().__init__()
        self.conv1 = NearestConv(inputs, inputs, factor)
        self.gate = nn.Conv2d(inputs, inputs, 1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = F.leaky_relu(x * torch.sigmoid(self.gate(x)), UPSAMPLER_SLOPE)
        return F.leaky_relu(self.conv2(x), UPSAMPLER_SLOPE)

    @torch.no_grad()
    def start_as_upsampler(self) -> None:
        """Interpolate the first three channels: nearest x2 then [1 2 1]/4 both ways is bilinear; the gate starts at 0.5.

        At x3 the kernel is [1 1 1]/3 both ways, which is bilinear too.
        """
        line = torch.tensor([1.0, 2.0, 1.0]) / 4 if self.conv1.factor == 2 else torch.ones(3) / 3
        self.gate.weight.zero_()
        self.gate.bias.zero_()  # type: ignore[union-attr]
        pass_rgb_through(self.conv1)
        for c in range(3):
            self.conv1.weight[c, c] = 2 * torch.outer(line, line)
        pass_rgb_through(self.conv2)

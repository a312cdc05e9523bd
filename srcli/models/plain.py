"""Plain: srcli's own family, from what the winners of the NTIRE challenges since 2022 left out.

3x3 convolutions, additions and a cheap activation, no attention, all layers of one width: local, so tiles are exact, and quick
on every back end. Widths are multiples of 16, for which oneDNN's bf16 kernels run at full speed. At x4 and 256x256 the table's
sizes have 35,520 / 163,792 / 357,024 parameters and 2.31 / 10.69 / 23.34 G multiply-adds (fast / standard / quality).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.errors import UsageError
from srcli.models.base import SRModel, Tiling, Window, as_autocast, pass_rgb_through, silence, silence_rgb, start_bilinear

Activation = Literal["silu", "relu"]
Gate = Literal["channel", "full"]

ACTIVATIONS = {"silu": F.silu, "relu": F.relu}


class Plain(SRModel):
    """A chain of `blocks` residual blocks of `convs` 3x3 convolutions, `channels` wide, at LR size."""

    def __init__(
        self,
        scale: int,
        *,
        channels: int = 32,
        blocks: int = 4,
        convs: int = 4,
        activation: Activation = "silu",
        gate: Gate | None = None,
    ) -> None:
        super().__init__(scale)
        if channels < 3 or blocks < 1 or convs < 1:
            raise UsageError(
                f"a network needs 3 channels, 1 block and 1 convolution in it, not {channels}, {blocks} and {convs}"
            )
        self.tiling = Tiling("local", blocks * convs + 2)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(Block(channels, convs, activation, gate) for _ in range(blocks))
        self.body = nn.Conv2d(channels, channels, 1)
        self.upsample = nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        # the long skip carries the picture itself: with it and the last convolution in float32, bf16 came within 70 dB of
        # float32 after little training, with the skip alone within 60, with neither within 54
        with torch.autocast(x.device.type, enabled=False):
            head = self.head(x)  # (N, C, H, W)
        feature = as_autocast(head)
        for block in self.blocks:
            feature = block(feature)
        body = self.body(feature)
        with torch.autocast(x.device.type, enabled=False):
            return F.pixel_shuffle(self.upsample(body.to(head.dtype) + head), self.scale)

    def start_as_upsampler(self) -> bool:
        pass_rgb_through(self.head)
        for block in self.blocks:
            silence(block.convs[-1])  # type: ignore[arg-type, index]
        silence_rgb(self.body)
        start_bilinear(self.upsample, self.scale)
        return True


class Block(nn.Module):
    """Give x + f, f being `convs` convolutions with activations between them; with a gate (x + f)(1 + G f).

    G starts at zero: a number for each channel, or a full 1x1 convolution.
    """

    def __init__(self, channels: int, convs: int, activation: Activation, gate: Gate | None) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(convs))
        self.gate: nn.Conv2d | None = None
        if gate:
            self.gate = nn.Conv2d(channels, channels, 1, groups=channels if gate == "channel" else 1, bias=False)
            silence(self.gate)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        f = self.convs[0](x)
        for conv in self.convs[1:]:
            f = conv(self.activation(f))
        out: Tensor = x + f
        return out if self.gate is None else out * (1 + self.gate(f))

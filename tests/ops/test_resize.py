from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from srcli.ops.color import luma
from srcli.ops.metrics import psnr, shave, ssim
from srcli.ops.pixels import quantize, to_tensor
from srcli.ops.resize import _large, enlarge, resize

# PROTOCOL.md section 3, Set5: double precision on the rounded Y, the result rounded once
ON_LUMA = {2: (33.66, 0.9299), 3: (30.39, 0.8682), 4: (28.42, 0.8104)}
# LR and result rounded to 8-bit RGB, Y rounded on both sides as IMDN's script does
ON_RGB = {2: (33.65, 0.9295), 3: (30.39, 0.8679), 4: (28.42, 0.8102)}
# srcli's own protocol, Y not rounded, gray as three channels: DATA.md, Set14
SET14 = {2: (30.33, 0.8700), 3: (27.63, 0.7760), 4: (26.09, 0.7050)}


def _pictures(folder: Path, scale: int) -> list[Tensor]:
    pictures = []
    for path in sorted(folder.glob("*.png")):
        pixels = np.array(Image.open(path).convert("RGB"))
        height, width = (n // scale * scale for n in pixels.shape[:2])
        pictures.append(to_tensor(pixels[:height, :width]).double())
    return pictures


def _down_up(x: Tensor, scale: int, round_lr: bool) -> Tensor:
    lr = resize(x, x.shape[-2] // scale, x.shape[-1] // scale)
    return quantize(resize(quantize(lr) if round_lr else lr, *x.shape[-2:]))


def _means(pairs: list[tuple[Tensor, Tensor]], scale: int) -> tuple[float, float]:
    shaved = [(shave(a, scale), shave(b, scale)) for a, b in pairs]
    return float(np.mean([psnr(*p) for p in shaved])), float(np.mean([ssim(*p) for p in shaved]))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_on_luma_scores_as_in_the_papers(data, scale):
    lumas = [quantize(luma(x)) for x in _pictures(data / "eval" / "Set5", scale)]
    score = _means([(_down_up(y, scale, round_lr=False), y) for y in lumas], scale)
    assert score == (pytest.approx(ON_LUMA[scale][0], abs=0.01), pytest.approx(ON_LUMA[scale][1], abs=0.0005))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_in_8_bit_rgb_scores_as_measured(data, scale):
    pictures = _pictures(data / "eval" / "Set5", scale)
    pairs = [(quantize(luma(_down_up(x, scale, round_lr=True))), quantize(luma(x))) for x in pictures]
    score = _means(pairs, scale)
    assert score == (pytest.approx(ON_RGB[scale][0], abs=0.01), pytest.approx(ON_RGB[scale][1], abs=0.0005))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_scores_on_set14_as_measured(data, scale):
    pictures = _pictures(data / "eval" / "Set14", scale)
    score = _means([(luma(_down_up(x, scale, round_lr=True)), luma(x)) for x in pictures], scale)
    assert score == (pytest.approx(SET14[scale][0], abs=0.01), pytest.approx(SET14[scale][1], abs=0.0005))


@pytest.mark.parametrize("size", [(5, 7), (8, 11), (10, 13), (23, 31), (40, 53), (92, 124)])
def test_a_constant_stays_constant(size):
    x = torch.full((1, 1, 23, 31), 0.3, dtype=torch.float64)
    torch.testing.assert_close(resize(x, *size), torch.full((1, 1, *size), 0.3, dtype=torch.float64))


def test_upscaling_by_two_has_the_published_weights():
    # Keys' kernel with a = -0.5 at distances 0.25, 0.75, 1.25 and 1.75
    x = torch.zeros(1, 1, 1, 9, dtype=torch.float64)
    x[..., 4] = 1
    row = resize(x, 1, 18)[0, 0, 0]
    expected = [-0.0234375, -0.0703125, 0.2265625, 0.8671875, 0.8671875, 0.2265625, -0.0703125, -0.0234375]
    torch.testing.assert_close(row[5:13], torch.tensor(expected, dtype=torch.float64))


def test_a_ramp_stays_a_ramp_inside():
    ramp = torch.arange(40, dtype=torch.float64).view(1, 1, 1, 40).expand(1, 1, 4, 40)
    out = resize(ramp, 16, 160)[0, 0, 8]
    torch.testing.assert_close(out[16:-16], (torch.arange(160, dtype=torch.float64)[16:-16] + 0.5) / 4 - 0.5)


def test_large_pictures_are_resampled_block_by_block_like_small_ones():
    x = torch.rand(1, 1, 7, 600, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole, part = resize(x, 7, 2400), resize(x[..., :100], 7, 400)
    torch.testing.assert_close(whole[..., :380], part[..., :380])


def test_one_pixel_becomes_a_constant():
    torch.testing.assert_close(resize(torch.full((1, 3, 1, 1), 0.7), 4, 4), torch.full((1, 3, 4, 4), 0.7))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(2, 2), (37, 53), (300, 5)])
def test_a_fixed_kernel_enlarges_as_the_matrices_do(scale, size):
    torch.manual_seed(0)
    x = torch.rand(2, 3, *size)
    expected = resize(x, size[0] * scale, size[1] * scale)
    torch.testing.assert_close(enlarge(x, scale), expected, atol=1e-6, rtol=0)  # float32 rounding


def test_the_matrices_of_large_pictures_are_not_all_kept():
    for size in range(2000, 2010):
        resize(torch.zeros(1, 1, size, 3), 700, 3)
    assert _large.cache_info().currsize <= 4

import numpy as np
import pytest
import torch

from srcli.ops.alpha import bleed
from srcli.ops.color import luma, rgb_to_ycbcr, ycbcr_to_rgb
from srcli.ops.pixels import quantize, to_array, to_tensor


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_survives_the_way_to_floats_and_back(dtype):
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1, 1)
    np.testing.assert_array_equal(to_array(to_tensor(levels), np.dtype(dtype)), levels)


def test_floats_are_clamped_not_rounded():
    x = torch.tensor([-0.5, 0.1234567, 1.5]).view(1, 1, 1, 3)
    np.testing.assert_array_equal(to_array(x, np.dtype(np.float32)).ravel(), np.float32([0, 0.1234567, 1]))


def test_halves_are_rounded_up():
    assert (quantize(torch.tensor([0.5 / 255, 1.5 / 255, 2.5 / 255], dtype=torch.float64)) * 255).round().tolist() == [1, 2, 3]


def test_luma_is_matlabs_rgb2ycbcr():
    # MATLAB: rgb2ycbcr of white, black, red, green, blue; Y in 16..235
    colors = torch.eye(3).repeat(1, 1).reshape(3, 3, 1, 1)
    white, black = torch.ones(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    y = [luma(c).item() * 255 for c in (white, black, *colors.split(1))]
    assert y == pytest.approx([235, 16, 16 + 65.481, 16 + 128.553, 16 + 24.966], abs=1e-3)


def test_ycbcr_goes_there_and_back():
    x = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(x)), x)
    torch.testing.assert_close(rgb_to_ycbcr(x)[:, :1], luma(x))


def test_colour_spreads_under_transparency_and_visible_colour_stays():
    color, alpha = torch.zeros(1, 3, 1, 7), torch.zeros(1, 1, 1, 7)
    color[..., 0], alpha[..., 0] = 0.8, 1
    out = bleed(color, alpha, reach=4)
    torch.testing.assert_close(out[0, 0, 0], torch.tensor([0.8, 0.8, 0.8, 0.8, 0.8, 0, 0]))

import math

import numpy as np
import pytest
import torch

from srcli.ops.metrics import psnr, shave, ssim


def _noise(seed):
    return torch.rand(1, 1, 19, 23, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_psnr_of_one_level_everywhere_is_48_13_db():
    x = torch.full((1, 1, 8, 8), 0.5)
    assert psnr(x, x + 1 / 255) == pytest.approx(20 * math.log10(255), abs=1e-3)


def test_equal_pictures_score_infinite_psnr_and_ssim_of_one():
    x = _noise(0)
    assert psnr(x, x) == math.inf
    assert ssim(x, x) == pytest.approx(1)


def test_ssim_equals_the_definition_written_out():
    a, b = _noise(1).numpy()[0, 0], (0.7 * _noise(1) + 0.3 * _noise(2)).numpy()[0, 0]
    g = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(g, g) / g.sum() ** 2
    values = []
    for i in range(a.shape[0] - 10):
        for j in range(a.shape[1] - 10):
            p, q = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2
            cov = (window * p * q).sum() - mp * mq
            values.append((2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    assert ssim(torch.tensor(a)[None, None], torch.tensor(b)[None, None]) == pytest.approx(np.mean(values), abs=1e-12)


def test_shaving_cuts_each_side():
    x = torch.arange(35.0).view(1, 1, 5, 7)
    assert shave(x, 2).flatten().tolist() == [16, 17, 18]
    assert shave(x, 0) is x

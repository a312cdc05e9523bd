import numpy as np
import pytest
import torch
from PIL import Image

from srcli.engine.data import Making, Patches
from srcli.engine.degrade import degrade, degrade_picture
from srcli.engine.evaluate import shrink
from srcli.engine.folders import degrade_folder
from srcli.ops.pixels import quantize, to_tensor
from srcli.ops.resize import resize
from tests.conftest import photograph

KINDS = pytest.mark.parametrize("kind", ["photo", "video"])


@KINDS
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_degraded_picture_has_the_lrs_size_and_8_bit_values(scale, kind):
    hr = torch.rand(2, 3, 13 * scale, 17 * scale)
    lr = degrade(hr, scale, [(0, 1), (0, 2)], kind)
    assert lr.shape == (2, 3, 13, 17)
    torch.testing.assert_close(lr * 255, (lr * 255).round(), atol=1e-4, rtol=0)


@KINDS
def test_the_key_decides_and_nothing_else(kind):
    hr = torch.rand(1, 3, 64, 48)
    first = degrade(hr, 4, [(7, 3, 1)], kind)
    assert torch.equal(first, degrade(torch.cat([hr, hr]), 4, [(1,), (7, 3, 1)], kind)[1:])
    assert not torch.equal(first, degrade(hr, 4, [(7, 3, 2)], kind))


def test_a_share_of_photos_is_bicubic_with_jpeg_at_the_end_or_not():
    hr = to_tensor(photograph(64, 96))
    plain = quantize(resize(hr, 16, 24))
    keys = [(n,) for n in range(1, 41)]

    def off(clean):
        return (degrade(hr.expand(40, -1, -1, -1), 4, keys, clean=clean) - plain).abs().amax((1, 2, 3))

    untouched = (off(1.0) == 0).sum()
    assert 2 <= untouched <= 16  # one in five has no JPEG
    assert (off(0.0) == 0).sum() == 0
    assert 0 < (off(0.5) == 0).sum() < untouched
    assert off(1.0).max() < off(0.0).max()


@KINDS
def test_degraded_pictures_stay_in_place(kind):
    hr = photograph(160, 200)
    plain = shrink(hr, 4).astype(float)
    for n in range(40):
        lr = degrade_picture(hr, 4, (0, n + 1), kind).astype(float)
        here = np.abs(lr - plain)[1:-1, 1:-1].mean()
        shifted = [np.abs(np.roll(lr, shift, axis) - plain)[1:-1, 1:-1].mean() for shift in (1, -1) for axis in (0, 1)]
        assert 0 < here < min(shifted)


@KINDS
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 5)])
def test_the_smallest_pictures_are_degraded_too(kind, size):
    for n in range(12):
        assert degrade_picture(photograph(2 * size[0], 2 * size[1]), 2, (0, n + 1), kind).shape == (*size, 3)


@KINDS
def test_the_parts_of_a_degraded_draw_are_the_whole_draw(kind):
    patches = Patches(2, 8, torch.device("cpu"), Making(degradation=kind))
    patches.add(photograph(64, 64))
    parts = [patches.draw(1, 5, 2, part=i, parts=3).lr for i in range(3)]
    assert torch.equal(torch.cat(parts), patches.draw(1, 5, 6).lr)


def test_a_folder_is_degraded_under_its_names(folder, tmp_path):
    degrade_folder(folder, tmp_path, 3, "photo", seed=0)
    with Image.open(tmp_path / "p2.png") as lr:
        assert lr.size == (30, 7)

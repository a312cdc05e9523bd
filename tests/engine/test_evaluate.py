import math

import numpy as np
import pytest
from PIL import Image

from srcli.engine.evaluate import Protocol, compare, evaluate, evaluate_pictures, shrink, summarize
from srcli.engine.upscale import Upscaler
from srcli.errors import BadFolder, BadPicture
from srcli.models import create
from tests.conftest import photograph


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler(create("bicubic", 2), precision="fp32")


def test_bicubic_on_set14_scores_as_the_protocol_says(data):
    upscaler = Upscaler(create("bicubic", 4), precision="fp32")
    scores = list(evaluate(upscaler, data / "eval" / "Set14", Protocol(4)))
    summary = summarize("bicubic", data / "eval" / "Set14", Protocol(4), scores)
    assert (summary.pictures, summary.dataset) == (14, "Set14")
    assert summary.psnr == pytest.approx(26.09, abs=0.01)
    assert summary.ssim == pytest.approx(0.7050, abs=0.0005)
    assert "gray as 3 equal channels" in summary.protocol


def test_lr_that_is_given_scores_like_lr_that_is_made(upscaler, folder, tmp_path):
    lr = tmp_path / "lr" / "X2"
    lr.mkdir(parents=True)
    for path in folder.iterdir():
        pixels = np.array(Image.open(path))
        height, width = (n // 2 * 2 for n in pixels.shape[:2])
        Image.fromarray(shrink(pixels[:height, :width], 2)).save(lr / f"{path.stem}x2.png")
    made = [s.psnr for s in evaluate(upscaler, folder, Protocol(2))]
    given = [s.psnr for s in evaluate(upscaler, folder, Protocol(2, lr_given=True), lr_folder=tmp_path / "lr")]
    assert made == given


def test_saved_pictures_score_like_the_model_that_made_them(upscaler, folder, tmp_path):
    of_model = list(evaluate(upscaler, folder, Protocol(2), save=tmp_path))
    of_files = list(evaluate_pictures(tmp_path, folder, Protocol(2, sr_given=True)))
    assert [(s.picture, s.psnr, s.ssim) for s in of_model] == [(s.picture, s.psnr, s.ssim) for s in of_files]


def test_shave_and_channel_change_what_is_counted():
    hr = photograph(40, 40)
    sr = hr.copy()
    sr[:2] = 0
    assert compare(sr, hr, Protocol(2))[0] == math.inf
    assert compare(sr, hr, Protocol(2, border=0))[0] < 30
    blue = hr.copy()
    blue[..., 2] ^= 8
    assert compare(blue, hr, Protocol(2))[0] > compare(blue, hr, Protocol(2, channel="rgb"))[0]


def test_a_picture_too_small_for_ssim_counts_for_psnr_alone(upscaler, tmp_path):
    Image.fromarray(photograph(12, 12)).save(tmp_path / "small.png")
    Image.fromarray(photograph(40, 40)).save(tmp_path / "z.png")
    scores = list(evaluate(upscaler, tmp_path, Protocol(2)))
    summary = summarize("bicubic", tmp_path, Protocol(2), scores)
    assert math.isnan(scores[0].ssim)
    assert summary.ssim == scores[1].ssim


def test_a_missing_partner_and_a_wrong_size_are_named(upscaler, folder, tmp_path):
    with pytest.raises(BadFolder, match=r"p0\.png"):
        list(evaluate(upscaler, folder, Protocol(2), lr_folder=tmp_path))
    Image.fromarray(photograph(9, 9)).save(tmp_path / "p0.png")
    with pytest.raises(BadPicture, match=r"52x36"):
        list(evaluate(upscaler, folder, Protocol(2), lr_folder=tmp_path))


def test_the_protocol_says_how_it_counts():
    assert str(Protocol(4)) == "Y (BT.601), shave 4, modcrop 4, LR MATLAB bicubic, 8 bit, SR 8 bit RGB"
    assert str(Protocol(2, "rgb", 6, sr_given=True)) == "RGB, shave 6, modcrop 2, SR given, SR 8 bit RGB"

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.engine.evaluate import (
    Dataset,
    Entry,
    Protocol,
    Result,
    Score,
    check_pictures,
    compare,
    conclude,
    duels,
    evaluate,
    open_datasets,
    read_pair,
    restore,
    shrink,
    summarize,
    versus,
)
from srcli.engine.labels import short_names
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
    summary = summarize("bicubic", "Set14", Protocol(4), scores)
    assert summary.pictures == 14
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
    of_model = list(evaluate(upscaler, folder, Protocol(2), save=tmp_path / "sr"))
    of_files = list(evaluate(tmp_path / "sr", folder, Protocol(2, sr_given=True)))
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


def test_both_channels_are_scored_as_each_alone(upscaler, folder):
    def means(channel):
        protocol = Protocol(2, channel)
        return summarize("bicubic", "a", protocol, list(evaluate(upscaler, folder, protocol)))

    y, rgb, both = means("y"), means("rgb"), means("both")
    assert (both.psnr, both.ssim, both.psnr_interval) == (y.psnr, y.ssim, y.psnr_interval)
    assert (both.rgb_psnr, both.rgb_ssim) == (rgb.psnr, rgb.ssim)
    assert rgb.psnr != y.psnr
    assert (y.rgb_psnr, y.rgb_ssim) == (None, None)
    assert both.protocol.startswith("Y (BT.601) and RGB, ")


def test_a_picture_too_small_for_ssim_counts_for_psnr_alone(upscaler, tmp_path):
    Image.fromarray(photograph(12, 12)).save(tmp_path / "small.png")
    Image.fromarray(photograph(40, 40)).save(tmp_path / "z.png")
    scores = list(evaluate(upscaler, tmp_path, Protocol(2)))
    summary = summarize("bicubic", "a", Protocol(2), scores)
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


def _result(name: str, psnrs: list[float]) -> Result:
    dataset = Dataset("set", Path("set"), [Path(f"{i}.png") for i in range(len(psnrs))])
    scores = [Score(path.name, psnr, psnr / 40, 0.0) for path, psnr in zip(dataset.pictures, psnrs, strict=True)]
    return conclude(Entry(name, name, Path(name)), dataset, Protocol(2), scores)


def test_a_comparison_counts_pictures_and_measures_their_mean_difference():
    base = [28.0 + i / 10 for i in range(100)]
    contest = versus(_result("A", [p + (0.07 if i < 87 else -0.01) for i, p in enumerate(base)]), _result("B", base))
    assert (contest.wins, contest.losses, contest.pictures) == (87, 13, 100)
    assert contest.psnr == pytest.approx(0.87 * 0.07 - 0.13 * 0.01)
    assert contest.clear
    assert str(contest) == "A > B on 87 of 100, +0.06 dB, 0.05..0.06"


def test_a_difference_whose_interval_holds_0_is_not_clear():
    contest = versus(_result("A", [30.0, 31.0, 32.0, 33.0]), _result("B", [30.5, 30.0, 32.5, 32.9]))
    assert not contest.clear
    assert str(contest).endswith("no clear difference")


def test_equal_scores_are_equal_even_where_they_are_infinite():
    contest = versus(_result("A", [30.0, math.inf]), _result("B", [30.0, math.inf]))
    assert (contest.wins, contest.losses, contest.psnr) == (0, 0, 0.0)
    assert str(contest).startswith("A = B on 2 of 2, +0.00 dB")


def test_the_better_comes_first_and_bicubic_only_meets_a_single_model():
    results = [_result("bicubic", [27.0, 28.0]), _result("A", [30.0, 31.0]), _result("B", [31.0, 32.0])]
    assert [(v.model, v.other) for v in duels(results)] == [("B", "A")]
    assert [(v.model, v.other) for v in duels(results[:2])] == [("A", "bicubic")]
    assert len(duels(results, baseline=True)) == 3


def test_pictures_restored_exactly_do_not_decide_who_is_better():
    better, worse = _result("better", [math.inf, 31.0, 32.0]), _result("worse", [math.inf, 30.0, 31.5])
    (contest,) = duels([worse, better])
    assert str(contest).startswith("better > worse on 2 of 3, +0.50 dB")
    assert str(versus(worse, better)).startswith("worse > better on 0 of 3, -0.50 dB")
    (contest,) = duels([_result("A", [math.inf, 30.0, 30.0]), _result("B", [40.0, math.inf, 31.0])])
    assert (contest.model, contest.wins) == ("B", 2)


def test_models_of_which_nothing_puts_one_first_have_no_winner():
    (contest,) = duels([_result("A", [math.inf, 30.0, 30.0]), _result("B", [40.0, math.inf, 30.0])])
    assert (contest.wins, contest.losses) == (1, 1)
    assert str(contest) == "A ~ B on 1 of 3 each, no mean difference, no interval"


def test_the_interval_of_a_summary_is_around_its_mean():
    summary = _result("A", [28.0, 30.0, 31.0, 35.0]).summary
    assert summary.psnr_interval.low < summary.psnr == 31.0 < summary.psnr_interval.high


def test_data_sets_get_names_of_their_own(tmp_path):
    for place in ("a/Set5", "b/Set5", "Set14/HR"):
        (tmp_path / place).mkdir(parents=True)
        Image.fromarray(photograph(9, 9)).save(tmp_path / place / "p.png")
    datasets = open_datasets([tmp_path / "a" / "Set5", tmp_path / "b" / "Set5", tmp_path / "Set14"])
    assert [d.name for d in datasets] == ["a Set5", "b Set5", "Set14"]
    assert datasets[2].folder == tmp_path / "Set14" / "HR"


def test_names_of_data_sets_differ_as_far_up_as_it_takes_and_are_those_of_the_folders_given(tmp_path):
    for place in ("a/Set5/HR", "b/Set5/HR", "c/Set5", "DIV2K/DIV2K_valid_HR"):
        (tmp_path / place).mkdir(parents=True)
        Image.fromarray(photograph(9, 9)).save(tmp_path / place / "p.png")
    names = [d.name for d in open_datasets([tmp_path / "a" / "Set5", tmp_path / "b" / "Set5", tmp_path / "c" / "Set5"])]
    assert names == ["a Set5 HR", "b Set5 HR", f"{tmp_path.name} c Set5"]
    (dataset,) = open_datasets([tmp_path / "DIV2K"])
    assert (dataset.name, dataset.folder.name) == ("DIV2K", "DIV2K_valid_HR")


def test_the_labels_of_folders_are_their_names(tmp_path, monkeypatch):
    (tmp_path / "run" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run" / "below")
    assert short_names(["rfdn", ".", ".."]) == ["rfdn", "below", "run"]


def test_sr_of_another_scale_is_refused(folder, tmp_path):
    (tmp_path / "sr").mkdir()
    for path in folder.iterdir():
        with Image.open(path) as hr:
            hr.resize((hr.width * 2, hr.height * 2)).save(tmp_path / "sr" / path.name)
    with pytest.raises(BadPicture, match=r"no SR at x2 of its HR"):
        list(evaluate(tmp_path / "sr", folder, Protocol(2)))


def test_sr_of_lr_that_was_rounded_up_is_cut(tmp_path):
    hr, sr = tmp_path / "hr", tmp_path / "sr"
    hr.mkdir()
    sr.mkdir()
    pixels = photograph(33, 33)
    Image.fromarray(pixels).save(hr / "p.png")
    Image.fromarray(np.pad(pixels, ((0, 3), (0, 3), (0, 0)))).save(sr / "p.png")
    (score,) = evaluate(sr, hr, Protocol(4))
    assert score.psnr == math.inf


def test_one_file_is_no_partner_of_two_pictures(tmp_path):
    for place in ("hr/a", "hr/b", "sr"):
        (tmp_path / place).mkdir(parents=True)
        Image.fromarray(photograph(40, 40)).save(tmp_path / place / "p.png")
    (dataset,) = open_datasets([tmp_path / "hr"])
    with pytest.raises(BadFolder, match=r"partner of both .*a/p\.png' and .*b/p\.png"):
        check_pictures([dataset], [Entry("sr", "sr", tmp_path / "sr")], Protocol(2))
    (tmp_path / "sr" / "b").mkdir()
    (tmp_path / "sr" / "p.png").rename(tmp_path / "sr" / "b" / "p.png")
    with pytest.raises(BadFolder, match=r"no partner of 'p\.png'"):
        check_pictures([dataset], [Entry("sr", "sr", tmp_path / "sr")], Protocol(2))


def test_a_picture_smaller_than_its_border_is_named_beforehand(tmp_path):
    Image.fromarray(photograph(40, 40)).save(tmp_path / "a.png")
    Image.fromarray(photograph(11, 40)).save(tmp_path / "b.png")
    with pytest.raises(BadPicture, match=r"b\.png' is 40x11: x4 and a border of 4 px leave nothing"):
        check_pictures(open_datasets([tmp_path]), [], Protocol(4))
    check_pictures(open_datasets([tmp_path]), [], Protocol(4, border=3))


def test_what_is_shown_is_computed_as_what_was_scored(tmp_path):
    Image.fromarray(photograph(40, 40)).save(tmp_path / "a.png")
    (dataset,) = open_datasets([tmp_path])
    upscaler = Upscaler(create("rfdn", 2), precision="bf16")
    pair = read_pair(dataset, dataset.pictures[0], Protocol(2))
    shown = restore(
        Entry("rfdn", "rfdn", upscaler), dataset, dataset.pictures[0], pair, scored=Score("a", 0, 0, 0, precision="fp32")
    )
    np.testing.assert_array_equal(shown, upscaler.pixels(pair.lr, precision="fp32"))
    assert not np.array_equal(shown, upscaler.pixels(pair.lr))


@pytest.mark.parametrize(
    ("references", "labels"),
    [
        (["rfdn", "hf:owner/repo"], ["rfdn", "repo"]),
        (["runs/a/best.safetensors"], ["a/best"]),
        (["runs/a/best.safetensors", "runs/b/best.safetensors"], ["a/best", "b/best"]),
        (["a/x.pth", "b/x.pth", "rfdn"], ["a/x", "b/x", "rfdn"]),
        (["x.pth", "x.pt"], ["x.pth", "x.pt"]),
    ],
)
def test_labels_are_short_and_differ(references, labels):
    assert short_names(references) == labels

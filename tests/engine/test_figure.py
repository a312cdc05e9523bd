from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from srcli.engine.crops import Box
from srcli.engine.evaluate import Dataset, Entry, Protocol, conclude, score, shrink
from srcli.engine.figure import MARK, check_figure, draw_figure, parse_box
from srcli.engine.upscale import Upscaler
from srcli.errors import UsageError
from srcli.models import create
from tests.conftest import photograph

PROTOCOL = Protocol(2)


def _scored(entry, dataset):
    return conclude(entry, dataset, PROTOCOL, [score(entry.source, dataset, path, PROTOCOL) for path in dataset.pictures])


@pytest.fixture
def results(tmp_path):
    """Score bicubic and two folders on one picture; of the two, `patched` is wrong at 60, 20 alone."""
    hr = photograph(80, 120)
    for name in ("hr", "good", "patched"):
        (tmp_path / name).mkdir()
        Image.fromarray(hr).save(tmp_path / name / "a picture.png")
    wrong = hr.copy()
    wrong[20:40, 60:80] = 0
    Image.fromarray(wrong).save(tmp_path / "patched" / "a picture.png")
    dataset = Dataset("hr", tmp_path / "hr", [tmp_path / "hr" / "a picture.png"])
    entries = [Entry("bicubic", "bicubic", Upscaler(create("bicubic", 2), precision="fp32"))]
    entries += [Entry(name, name, tmp_path / name) for name in ("good", "patched")]
    return [_scored(entry, dataset) for entry in entries]


def test_the_box_is_where_the_models_differ(results):
    _, box = draw_figure(results, PROTOCOL)
    assert box.left <= 60 and box.left + box.width >= 80
    assert box.top <= 20 and box.top + box.height >= 40


def test_crops_are_the_pictures_own_pixels(results):
    figure = np.array(draw_figure(results, PROTOCOL, box=Box(60, 20, 24, 20))[0])
    crop = Box(60, 20, 24, 20).cut(photograph(80, 120)).repeat(10, 0).repeat(10, 1)
    places = [
        (y, x)
        for y in range(figure.shape[0] - 200)
        for x in np.flatnonzero((figure[y] == crop[0, 0]).all(-1))
        if figure[y : y + 200, x : x + 240].shape == crop.shape and (figure[y : y + 200, x : x + 240] == crop).all()
    ]
    assert len(places) == 2  # the HR and `good`


def test_the_box_is_marked_in_the_whole_picture(results):
    figure = np.array(draw_figure(results, PROTOCOL, box=Box(60, 20, 24, 20))[0])
    assert (figure == MARK).all(-1).sum() > 100


def test_an_odd_number_of_crops_gets_the_lr_too(results):
    drawings = [draw_figure(chosen, PROTOCOL, box=Box(60, 20, 24, 20))[0] for chosen in (results, results[:2])]
    assert drawings[0].size == drawings[1].size
    lr = Box(60, 20, 24, 20).cut(shrink(photograph(80, 120), 2), 2)
    enlarged = np.asarray(Image.fromarray(np.ascontiguousarray(lr)).resize((240, 200), Image.Resampling.NEAREST))
    figure = np.array(drawings[1])
    assert any((figure[12:212, x : x + 240] == enlarged).all() for x in range(figure.shape[1] - 240))


def test_a_narrow_crop_has_room_for_its_scores(results):
    font = ImageFont.load_default(size=17)
    wide, narrow = (draw_figure(results, PROTOCOL, box=box)[0] for box in (Box(60, 0, 60, 80), Box(60, 0, 4, 80)))
    whole = 120 / 80 * (narrow.height - 2 * 12 - 22)  # its height is that of the figure but for its title
    assert wide.height == narrow.height
    assert narrow.width >= whole + 2 * font.getlength("PSNR / SSIM") + 4 * 12


def _alone(folder, height, width):
    """Draw the figure of bicubic on one picture."""
    Image.fromarray(photograph(height, width)).save(folder / "a picture.png")
    dataset = Dataset("set", folder, [folder / "a picture.png"])
    entry = Entry("bicubic", "bicubic", Upscaler(create("bicubic", 2), precision="fp32"))
    return draw_figure([_scored(entry, dataset)], PROTOCOL)


def test_a_panorama_is_bounded_so_that_its_crops_can_be_seen(tmp_path):
    figure, _ = _alone(tmp_path, 24, 500)
    assert figure.width < 5 * figure.height


def test_a_tall_picture_has_room_for_its_title(tmp_path):
    figure, box = _alone(tmp_path, 500, 24)
    crop = box.width * (240 // max(box.width, box.height))
    title = ImageFont.load_default(size=17).getlength("a picture (set), x2")
    assert figure.width >= title + crop + 3 * 12


@pytest.mark.parametrize("box", [Box(100, 0, 24, 20), Box(0, 70, 10, 20), Box(0, 0, 121, 10)])
def test_a_box_that_reaches_out_is_refused(results, box):
    with pytest.raises(UsageError, match="reaches out of the 120x80 picture"):
        draw_figure(results, PROTOCOL, box=box)


def test_only_png_is_drawn():
    with pytest.raises(UsageError, match=r"\.png"):
        check_figure(Path("figure.pdf"))


def test_a_box_is_read():
    assert parse_box("12, 8,64,48") == Box(12, 8, 64, 48)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "-1,2,3,4", "1,2,0,4", "a,b,c,d", "1.5,2,3,4"])
def test_what_is_no_box_is_refused(text):
    with pytest.raises(UsageError, match="X,Y,WIDTH,HEIGHT"):
        parse_box(text)

"""Pictures and frames are read as they look, and what is compared is what the networks and the metrics give."""

import base64
import io
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from srcli.engine.compare import SHOWN, Entrant, Still, choose_part, compare_models, fit_hr, read_still, render, shrunk
from srcli.engine.crops import Box
from srcli.engine.evaluate import Protocol, shrink
from srcli.engine.evaluate import compare as scores_of
from srcli.engine.upscale import Upscaler
from srcli.errors import BadPicture, BadVideo, UsageError
from srcli.media.picture import Picture
from srcli.media.write import write_image
from srcli.models import create
from tests.clips import make_clip
from tests.conftest import HEIGHT, WIDTH, photograph


def _entrants(scale: int = 2, *names: str) -> list[Entrant]:
    networks = {name: create(name, scale) for name in ("bicubic", *names)}
    return [Entrant(name, Upscaler(n, precision="fp32"), 7) for name, n in networks.items()]


def _overlap(a: Box, b: Box) -> bool:
    across = a.left < b.left + b.width and b.left < a.left + a.width
    return across and a.top < b.top + b.height and b.top < a.top + a.height


def test_gray_deep_and_transparent_pictures_are_shown_as_a_screen_shows_them(tmp_path):
    deep = (photograph()[..., :1].astype(np.uint16)) * 257
    alpha = np.zeros((HEIGHT, WIDTH), np.uint16)
    alpha[:, 20:] = 65535
    write_image(Picture(pixels=deep, alpha=alpha), tmp_path / "deep.png")
    still = read_still(tmp_path / "deep.png")
    assert still.pixels.dtype == np.uint8 and still.pixels.shape == (HEIGHT, WIDTH, 3)
    assert (still.pixels[:, :20] == 255).all()
    assert (still.pixels[:, 20:] == photograph()[:, 20:, :1]).all()
    assert still.notes == ("shown in 8 bits", "transparency shown on white")


def test_a_frame_is_that_of_its_time_and_stands_upright(tmp_path):
    clip = make_clip(tmp_path / "my clip.mp4", frames=12, options={"crf": "4"})
    first, later = read_still(clip), read_still(clip, Fraction(1, 5))
    assert later.name == "my clip.mp4 at 0:00:00.200"
    assert not np.array_equal(first.pixels, later.pixels)
    with pytest.raises(BadVideo, match=r"no frame at 9 s; it is 0\.5 s long"):
        read_still(clip, Fraction(9))


@pytest.mark.parametrize("name", ["rot90_tiny.mov", "rot180_tiny.mov", "rot270_tiny.mov", "nasa_rot90.mp4"])
def test_turned_videos_are_turned_as_players_do(data, name):
    import av

    from srcli.media.video import probe_video, rgb

    with av.open(str(data / "video" / name)) as container:
        frame = next(container.decode(video=0))
        turns = frame.rotation // 90  # counter-clockwise, by FFmpeg's own reading of the matrix
    pixels, _ = rgb(frame, probe_video(data / "video" / name).tracks[0])
    assert np.array_equal(read_still(data / "video" / name).pixels, np.rot90(pixels, turns))


def test_a_small_picture_is_compared_whole_and_a_large_one_where_it_is_finest():
    assert choose_part(Still("small", photograph()), 4) == (0, 0, WIDTH, HEIGHT)
    large = np.full((900, 1400, 3), 128, np.uint8)
    large[300:500, 800:1000] = photograph(200, 200)
    part = choose_part(Still("large", large), 4)
    assert part.width * part.height * 16 <= SHOWN
    assert part.left <= 800 and part.left + part.width >= 1000 and part.top <= 300 and part.top + part.height >= 500


@pytest.mark.parametrize(("box", "reason"), [(Box(40, 0, 20, 20), "reaches out"), (Box(0, 0, 700, 700), "too large")])
def test_parts_that_cannot_be_shown_are_refused(box, reason):
    still = Still("x", photograph() if box.left else np.zeros((900, 900, 3), np.uint8))
    with pytest.raises(UsageError, match=reason):
        choose_part(still, 4, box)


def test_an_hr_may_have_a_few_px_more_and_not_another_size():
    lr = Still("lr", photograph(20, 30))
    assert fit_hr(Still("hr", photograph(41, 61)), lr, 2).shape == (40, 60, 3)
    for height, width in ((42, 60), (39, 60), (40, 80)):
        with pytest.raises(BadPicture, match="x2 of 'lr' is 60x40"):
            fit_hr(Still("hr", photograph(height, width)), lr, 2)


def test_an_lr_is_made_from_the_hr_as_the_papers_do():
    made = shrunk(Still("hr", photograph(41, 61)), 2)
    assert np.array_equal(made.pixels, shrink(photograph(40, 60) * 0 + photograph(41, 61)[:40, :60], 2))
    assert "made from the HR" in made.notes[0]
    with pytest.raises(BadPicture, match="smaller than 4 px"):
        shrunk(Still("hr", photograph(3, 3)), 4)


def test_scores_are_those_of_eval_and_the_hr_is_last():
    hr = photograph(80, 120)
    still = shrunk(Still("hr", hr), 2)
    entrants = _entrants(2, "fsrcnn")
    compared = compare_models(still, entrants, hr=hr)
    assert [v.name for v in compared.versions] == ["bicubic", "fsrcnn", "HR"]
    for version, entrant in zip(compared.versions, entrants, strict=False):
        sr = entrant.upscaler.pixels(still.pixels)
        assert np.array_equal(version.pixels, sr)
        assert (version.psnr, version.ssim) == scores_of(sr, hr, Protocol(2))
        assert version.seconds > 0 and version.precision == "fp32" and version.parameters == 7
    assert np.array_equal(compared.versions[-1].pixels, hr) and compared.versions[-1].psnr is None


def test_a_part_is_what_it_is_in_the_whole():
    still = Still("x", photograph(70, 90))
    entrants = _entrants(2, "fsrcnn")
    part = Box(33, 21, 30, 24)
    whole = compare_models(still, entrants).versions[1].pixels
    cut = compare_models(still, entrants, part=part).versions[1].pixels
    assert np.array_equal(cut, whole[42:90, 66:126])


def test_places_are_apart_and_the_first_is_where_the_models_differ_most():
    still = Still("x", photograph(160, 200))
    compared = compare_models(still, _entrants(2, "fsrcnn"))
    boxes = compared.boxes
    assert len(boxes) == 4
    assert not any(_overlap(a, b) for i, a in enumerate(boxes) for b in boxes[:i])
    a, b = (v.pixels.astype(float) for v in compared.versions)
    apart = [((box.cut(a) - box.cut(b)) ** 2).sum() for box in boxes]
    assert apart == sorted(apart, reverse=True)


def test_equal_versions_differ_nowhere():
    assert compare_models(Still("x", photograph()), [*_entrants(), Entrant("same", _entrants()[0].upscaler, 0)]).boxes == ()


def test_the_page_holds_every_version_losslessly_and_needs_nothing_else():
    hr = photograph(80, 120)
    compared = compare_models(shrunk(Still("<a>.png", hr), 2), _entrants(2, "fsrcnn"), hr=hr)
    page = render(compared, device="cpu")
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"[^>]*data-name="([^"]+)"', page)
    assert [name for _, name in found] == ["bicubic", "fsrcnn", "HR"]
    for (encoded, _), version in zip(found, compared.versions, strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))), version.pixels)
    assert "<a>" not in page and "&lt;a&gt;.png" in page
    assert not re.search(r"https?://|@import|url\(|<link", re.sub(r"base64,[^\"]+", "", page))
    assert f"{compared.versions[1].psnr:.2f}" in page and "Only a part" not in page
    assert re.findall(r'data-box="([\d,]+)"', page) == [",".join(map(str, box)) for box in compared.boxes]


def test_the_page_says_that_it_shows_a_part_and_has_no_scores_without_an_hr():
    compared = compare_models(Still("x", photograph(60, 60)), _entrants(), part=Box(10, 20, 30, 31))
    page = render(compared, device="cpu")
    assert "30x31 px from 10, 20" in page
    assert "PSNR" not in page


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 3)])
def test_the_smallest_pictures_make_a_page(shape):
    hr = photograph(shape[0] * 2, shape[1] * 2)
    compared = compare_models(Still("x", photograph(*shape)), _entrants(2, "fsrcnn"), hr=hr)
    assert "nan" not in re.sub(r"base64,[^\"]+", "", render(replace(compared), device="cpu"))

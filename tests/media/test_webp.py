import io

import pytest
from PIL import Image

from srcli.media.webp import coding
from tests.conftest import photograph


def written(**how: object) -> io.BytesIO:
    """Write a photograph as WebP."""
    file = io.BytesIO()
    Image.fromarray(photograph(64, 80)).save(file, "WEBP", **how)
    return file


def test_the_quantizer_falls_as_the_quality_rises():
    found = [coding(written(quality=quality)) for quality in (10, 30, 50, 75, 80, 90, 95)]
    quantizers = [quantizer for _, quantizer in found]
    assert [lossless for lossless, _ in found] == [False] * 7
    assert quantizers == sorted(quantizers, reverse=True)
    assert quantizers[0] > 60 > 10 > quantizers[-1]


def test_lossless_pictures_have_none():
    assert coding(written(lossless=True)) == (True, None)


@pytest.mark.parametrize("how", [{"quality": 50}, {"lossless": True}])
def test_of_an_animation_the_first_frame_tells(how):
    file, frame = io.BytesIO(), Image.fromarray(photograph(64, 80))
    frame.save(file, "WEBP", save_all=True, append_images=[Image.fromarray(photograph(64, 80, 1))], **how)
    lossless, quantizer = coding(file)
    assert (lossless, quantizer is None) == (bool(how.get("lossless")), bool(how.get("lossless")))


def test_transparency_before_the_frame_is_passed_over():
    file, picture = io.BytesIO(), Image.fromarray(photograph(64, 80)).convert("RGBA")
    picture.putalpha(100)
    picture.save(file, "WEBP", quality=75)
    assert coding(file) == (False, coding(written(quality=75))[1])


@pytest.mark.parametrize("length", [0, 11, 19, 20, 30, 31, 33, 40])
def test_what_breaks_off_is_no_traceback(length):
    lossless, quantizer = coding(io.BytesIO(written(quality=50).getvalue()[:length]))
    assert not lossless
    assert quantizer is None or 0 <= quantizer <= 127

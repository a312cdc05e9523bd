import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.media.jpeg_past import past_quality
from tests.conftest import photograph

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("*.png"))


def as_jpeg(pixels: np.ndarray, quality: int, subsampling: int = 2) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.array(Image.open(file)).reshape(pixels.shape)


@pytest.mark.parametrize("quality", [92, 85, 75, 50, 25])
@pytest.mark.parametrize(("top", "left", "channels", "subsampling"), [(0, 0, 3, 2), (3, 6, 3, 0), (7, 0, 1, 0)])
def test_pixels_tell_the_quality_of_the_jpeg_that_they_were(quality, top, left, channels, subsampling):
    pixels = as_jpeg(photograph(160, 200)[..., :channels], quality, subsampling)[top:, left:]
    assert past_quality(pixels) == pytest.approx(quality, abs=3)


def test_pixels_tell_it_behind_a_finer_jpeg_too():
    assert past_quality(as_jpeg(as_jpeg(photograph(160, 200), 80), 97)) == pytest.approx(80, abs=2)


def test_most_pixels_tell_of_quality_95_and_none_of_98():
    assert past_quality(as_jpeg(photograph(320, 400), 95)) == pytest.approx(95, abs=2)
    assert past_quality(as_jpeg(photograph(320, 400), 98)) is None


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_pictures_that_were_none_tell_of_none(path):
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    assert past_quality(pixels) is None
    assert past_quality(pixels.repeat(2, 0).repeat(2, 1)) is None  # as pixel art is enlarged
    assert past_quality(as_jpeg(pixels, 75)) == pytest.approx(75, abs=2)
    smaller = Image.fromarray(as_jpeg(pixels, 75)).resize((pixels.shape[1] * 3 // 4, pixels.shape[0] * 3 // 4))
    assert past_quality(np.array(smaller)) is None


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("colors", [2, 4, 8])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_pixel_art_of_few_colours_tells_of_none(path, colors, factor):
    with Image.open(path) as image:
        few = image.convert("RGB").resize((80, 72)).quantize(colors, dither=Image.Dither.NONE)
    assert past_quality(np.array(few.convert("RGB")).repeat(factor, 0).repeat(factor, 1)) is None


@pytest.mark.parametrize("seed", range(8))
def test_maps_of_few_tiles_tell_of_none(seed):
    rng = np.random.default_rng(seed)
    tiles = rng.integers(2, 254, (6, 8, 8, 3), dtype=np.uint8)
    assert past_quality(tiles[rng.integers(0, 6, (40, 40))].swapaxes(1, 2).reshape(320, 320, 3)) is None


def test_what_has_no_blocks_to_tell_by_tells_of_none():
    x, y = np.meshgrid(np.arange(128), np.arange(128))
    for pixels in (
        np.zeros((128, 128, 3), np.uint8),
        ((x + y) % 2 * 255).astype(np.uint8)[..., None],
        (x // 8 % 2 * 200 + y // 8 % 2 * 40).astype(np.uint8)[..., None],
        np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8),
        as_jpeg(photograph(160, 200), 50)[:31],
        as_jpeg(photograph(160, 200), 50).astype(np.uint16) * 257,
        as_jpeg(photograph(160, 200), 50)[:1, :1],
    ):
        assert past_quality(pixels) is None

import numpy as np
import pytest
from PIL import Image, ImageDraw

from srcli.engine.edges import edges
from tests.conftest import photograph


def words(height: int = 64, width: int = 128) -> np.ndarray:
    """Black text on white, without gray around the letters."""
    image = Image.new("1", (width, height), 1)
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1"
    for y in range(4, height - 10, 12):
        draw.text((4, y), "Total: 1,284.50 EUR", fill=0)
    return np.array(image.convert("RGB"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_text_and_dither_are_drawn_and_photographs_are_not(dtype):
    dither = np.array(Image.fromarray(photograph(64, 96)).convert("1").convert("L"))[..., None]
    factor = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255}[dtype]
    pictures = (words(), dither, np.zeros((9, 9, 1), np.uint8), photograph(64, 96))
    found = [edges((picture.astype(np.float64) * factor).astype(dtype), 96).drawn for picture in pictures]
    assert found == [True, True, True, False]


def test_the_cell_is_the_one_with_the_steepest_edges_and_lies_within():
    picture = photograph(300, 410)
    picture[210:, 300:] = words(90, 110)
    top, left, drawn = edges(picture, 96)
    assert (top, left, drawn) == (204, 288, True)
    assert edges(photograph(20, 30), 96)[:2] == (0, 0)


def test_a_picture_of_one_column_has_no_edges():
    assert edges(photograph(300, 1), 96) == (102, 0, False)


def test_a_real_photograph_is_none_of_these(data):
    for n in (1, 8, 20):
        with Image.open(data / "val" / "kodak24" / f"{n}.png") as image:
            small = image.resize((image.width // 4, image.height // 4), Image.Resampling.BICUBIC)
        assert not edges(np.array(small), 96).drawn

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from srcli.media.picture import Picture
from srcli.media.probe import probe
from srcli.media.read import read_image
from srcli.media.write import write_image

HEIGHT, WIDTH = 64, 512


def ten_bits(path: Path) -> np.ndarray:
    """Write a slope of 10 bits, gray in YCbCr; return its luma (H, W)."""
    luma = np.broadcast_to(np.linspace(64, 940, WIDTH).round().astype(np.uint16), (HEIGHT, WIDTH))  # limited range
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p10le")
    for plane, values in zip(frame.planes, (luma, *[np.full((HEIGHT // 2, WIDTH // 2), 512, np.uint16)] * 2), strict=True):
        rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        rows[:, : plane.width] = values
        plane.update(rows.tobytes())
    with av.open(path, "w", format="avif") as container:
        stream = container.add_stream("libsvtav1", options={"crf": "1", "preset": "10", "svtav1-params": "avif=1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p10le"
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return luma


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Return an AVIF file of 10 bits and what it shows, 0 to 1."""
    path = tmp_path_factory.mktemp("avif") / "a.avif"
    return path, (ten_bits(path) - 64.0) / 876


def test_ten_bits_are_read_as_sixteen(deep):
    path, shown = deep
    assert probe(path)[:6] == (HEIGHT, WIDTH, 3, False, 16, "avif")
    picture = read_image(path)
    assert picture.notes == () and picture.pixels.dtype == np.uint16
    assert len(np.unique(picture.pixels[..., 1])) > 300  # 8 bits have 256
    # crf 1 is not lossless: 3 levels of 10 bits
    assert np.abs(picture.pixels / 65535 - shown[..., None]).max() < 3 / 1023


def test_ten_bits_stay_deep_in_png_and_are_said_in_avif(deep, tmp_path):
    picture = read_image(deep[0])
    assert write_image(picture, tmp_path / "a.png") == ()
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, picture.pixels, strict=True)
    assert write_image(picture, tmp_path / "a.avif") == ("AVIF has 8 bits: reduced from 16",)


def test_what_has_parts_is_reduced_and_said(deep, tmp_path):
    data = deep[0].read_bytes()
    (tmp_path / "a.avif").write_bytes(data.replace(b"Color", b"grid\0"))  # the item's name, which tells nothing
    picture = read_image(tmp_path / "a.avif")
    assert (picture.pixels.dtype, picture.notes) == (np.uint8, ("10 bits reduced to 8",))


def test_the_bits_of_an_hdr_photograph_are_those_of_pillow_and_more(data):
    path = data / "nasty" / "avif_10bit_hdr_p3.avif"
    box = (slice(1000, 1200), slice(1000, 1200))
    deep = read_image(path).pixels[box]
    with Image.open(path) as image:
        flat = np.asarray(image)[box].astype(float)
    assert np.abs(deep / 257 - flat).max() < 3  # libyuv's own rounding
    assert len(np.unique(deep)) > len(np.unique(flat))


def test_eight_bits_stay_eight(tmp_path):
    write_image(Picture(np.zeros((9, 11, 3), np.uint8)), tmp_path / "a.avif")
    assert probe(tmp_path / "a.avif").depth == 8

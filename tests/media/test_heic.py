"""HEIC, through the extra srcli[heic]."""

import numpy as np
import pytest
from PIL import Image

from srcli.errors import BadPicture
from srcli.media import formats
from srcli.media.probe import probe
from srcli.media.read import read_image
from tests.conftest import photograph
from tests.program import srcli, upscale

pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra srcli[heic]")

PIXELS = photograph(64, 80)
EXIF = b"Exif\0\0II*\0\x08\0\0\0\1\0\x0f\1\2\0\4\0\0\0Ltd\0\0\0\0\0"  # who made the camera


def save(path, pixels, **more):
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[pixels.shape[2]] + (";16" if pixels.dtype == np.uint16 else "")
    stored = pillow_heif.from_bytes(mode, pixels.shape[1::-1], pixels.tobytes())
    stored.save(path, quality=-1, chroma=444, matrix_coefficients=0, **more)  # lossless


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_level_is_read(tmp_path, channels):
    pixels = np.dstack([PIXELS, PIXELS[..., 0]])[..., :channels]
    save(tmp_path / "a.heic", pixels)
    facts, picture = probe(tmp_path / "a.heic"), read_image(tmp_path / "a.heic")
    assert facts[:6] == (64, 80, min(channels, 3), channels == 4, 8, "heic")
    read = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    np.testing.assert_array_equal(read, pixels)
    assert picture.notes == ()


@pytest.mark.parametrize("channels", [3, 4])
def test_10_bits_become_16_up_to_white(tmp_path, channels):
    levels = np.linspace(0, 1023, 64 * 80 * channels).astype(np.uint16).reshape(64, 80, channels)
    save(tmp_path / "a.heic", levels << 6)
    facts, picture = probe(tmp_path / "a.heic"), read_image(tmp_path / "a.heic")
    assert (facts.depth, facts.alpha) == (16, channels == 4)
    read = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    np.testing.assert_array_equal(read, np.round(levels * (65535 / 1023)))
    assert read.max() == 65535


def test_the_result_is_png_with_all_that_the_photograph_carried(tmp_path):
    save(tmp_path / "a.heic", PIXELS, exif=EXIF, xmp=b"<x:xmpmeta/>")
    result = upscale(tmp_path / "a.heic", "-o", tmp_path / "out")
    assert result.stderr.splitlines()[0] == f"{tmp_path / 'a.heic'}: HEIC cannot be written: stored as PNG"
    picture = read_image(tmp_path / "out" / "a.png")
    assert picture.pixels.shape == (256, 320, 3)
    assert b"Ltd" in picture.exif
    assert picture.xmp == b"<x:xmpmeta/>"


@pytest.mark.parametrize(("flags", "said"), [([], True), (["-m", "rfdn"], False)])
def test_photographs_of_phones_go_through_the_weights_for_them(tmp_path, flags, said):
    save(tmp_path / "a.heic", PIXELS)
    result = srcli("upscale", tmp_path / "a.heic", "--dry-run", *flags)
    assert ("HEIC: taken through rfdn-photo, which removes blur" in result.stderr) == said


def test_further_pictures_are_said(tmp_path):
    pillow_heif.register_heif_opener()
    image = Image.fromarray(PIXELS)
    image.save(tmp_path / "a.heic", save_all=True, append_images=[image])
    assert read_image(tmp_path / "a.heic").notes == ("only the main one of 2 pictures is read",)


def test_further_pictures_are_said_of_10_bits(tmp_path):
    several = pillow_heif.HeifFile()
    for _ in range(2):
        several.add_frombytes("RGB;16", (80, 64), (PIXELS.astype(np.uint16) << 8).tobytes())
    several.save(tmp_path / "a.heic")
    assert read_image(tmp_path / "a.heic").notes == ("only the main one of 2 pictures is read",)


def test_a_cut_file_is_truncated_though_its_library_reads_the_rest(tmp_path):
    save(tmp_path / "a.heic", PIXELS)
    for cut in (1, 200):
        (tmp_path / "b.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:-cut])
        with pytest.raises(BadPicture, match="is truncated"):
            probe(tmp_path / "b.heic")


def test_a_header_of_another_size_is_damage(tmp_path):
    save(tmp_path / "a.heic", PIXELS[:17, :29])
    before, clap, after = (tmp_path / "a.heic").read_bytes().partition(b"clap\0\0\0")  # the width to show follows
    (tmp_path / "a.heic").write_bytes(before + clap + bytes([40]) + after[1:])
    with pytest.raises(BadPicture, match="is damaged: 35 x 17 px where the header says 40 x 17"):
        read_image(tmp_path / "a.heic")


def test_alpha_that_is_multiplied_in_is_taken_out_of_10_bits(tmp_path):
    levels = np.full((64, 80, 4), 16384, np.uint16)
    levels[..., 3] = 32768
    stored = pillow_heif.from_bytes("RGBa;16", (80, 64), levels.tobytes())
    stored.save(tmp_path / "a.heic", quality=-1, chroma=444)
    picture = read_image(tmp_path / "a.heic")
    assert np.abs(picture.pixels / 65535 - 0.5).max() < 0.01
    assert np.abs(picture.alpha / 65535 - 0.5).max() < 0.01


def test_colours_of_hdr_are_tagged_as_png_has_them(tmp_path):
    save(tmp_path / "a.heic", PIXELS, color_primaries=9, transfer_characteristics=16)
    assert read_image(tmp_path / "a.heic").chunks == {b"cICP": bytes([9, 16, 0, 1])}


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(BadPicture, match=r"is HEIC: pip install 'srcli\[heic\]' reads it, or convert it to PNG or JPEG first"):
        probe(tmp_path / "a.heic")

import errno
import io
import os
import struct
import sys
import zlib
from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from srcli.errors import BadPicture
from srcli.media import read
from srcli.media.color import to_srgb
from srcli.media.exif import Field, fields_of, laid
from srcli.media.formats import FORMATS, size_limit, suffix_of
from srcli.media.picture import Picture, Quality
from srcli.media.probe import probe
from srcli.media.read import read_image
from srcli.media.write import write_image
from tests.conftest import photograph, png_chunk

HEIGHT, WIDTH = 37, 53
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(channels: int, dtype: str = "uint8") -> np.ndarray:
    random = np.random.default_rng(0)
    if dtype == "float32":
        return random.random((HEIGHT, WIDTH, channels), dtype=np.float32)
    return random.integers(0, np.iinfo(dtype).max, (HEIGHT, WIDTH, channels), dtype=dtype, endpoint=True)


def smooth(channels: int = 3) -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([2 * x + 40, 3 * y + 30, x + y + 20], axis=2)[..., :channels].astype(np.uint8)


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x0112] = orientation
    data[0x010F] = "maker"
    data.get_ifd(0x8769)[0x829A] = 0.01  # exposure time
    data.get_ifd(0x8769)[0xA002] = WIDTH
    return data.tobytes()


# Pixels


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("suffix", "dtype"), [("png", "uint8"), ("png", "uint16"), ("tif", "uint8"), ("tif", "uint16"), ("tif", "float32")]
)
def test_what_is_written_is_read(tmp_path, suffix, dtype, channels, alpha):
    picture = Picture(noise(channels, dtype), noise(1, dtype)[..., 0] if alpha else None)
    path = tmp_path / f"a.{suffix}"
    assert write_image(picture, path) == ()
    again = read_image(path)
    np.testing.assert_array_equal(again.pixels, picture.pixels, strict=True)
    assert (again.alpha is None) == (picture.alpha is None)
    if alpha:
        np.testing.assert_array_equal(again.alpha, picture.alpha, strict=True)
    assert probe(path)[:6] == (HEIGHT, WIDTH, channels, alpha, picture.pixels.itemsize * 8, again.format)


@pytest.mark.parametrize(("suffix", "dtype"), [("ppm", "uint8"), ("ppm", "uint16"), ("bmp", "uint8"), ("webp", "uint8")])
def test_colour_survives_where_there_is_no_alpha(tmp_path, suffix, dtype):
    picture = Picture(noise(3, dtype), quality=Quality(lossless=True))
    write_image(picture, tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}").pixels, picture.pixels, strict=True)


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif"])
def test_lossy_formats_come_close(tmp_path, format):
    path = tmp_path / "a"
    write_image(Picture(smooth()), path, format=format)
    assert np.abs(read_image(path).pixels.astype(int) - smooth()).mean() < 2


@pytest.mark.parametrize("format", ["jpeg", "avif", "bmp", "ppm"])
def test_gray_stays_gray(tmp_path, format):
    write_image(Picture(smooth(1)), tmp_path / "a", format=format)
    assert read_image(tmp_path / "a").pixels.shape == (HEIGHT, WIDTH, 1)


def test_a_16_bit_png_of_another_writer_is_exact(tmp_path):
    pixels = noise(3, "uint16")
    iio.imwrite(
        tmp_path / "a.png", pixels[None], plugin="pyav", codec="png", in_pixel_format="rgb48le", out_pixel_format="rgb48be"
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, pixels, strict=True)


@pytest.mark.parametrize("predictor", [False, True])
def test_lzw_tiff_of_16_bits_is_exact(tmp_path, predictor):
    pixels = noise(1, "uint16")
    info = {317: 2} if predictor else {}
    Image.fromarray(pixels[..., 0]).save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo=info)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, pixels, strict=True)


def test_a_planar_tiff_is_read(tmp_path):
    pixels = noise(3, "uint16")
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(pixels, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, pixels, strict=True)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("photometric", [0, 1])
def test_a_tiff_of_less_than_16_bits_fills_the_range(tmp_path, monkeypatch, bits, photometric):
    # the decoder of such bits is in a package more, imagecodecs
    fields = {256: 3, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1, 279: 6}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I6xH", 14, len(fields)) + entries + bytes(4))
    levels = np.array([[0, 2 ** (bits - 1), 2**bits - 1]], np.uint16)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda page: levels)
    expected = {10: 32800, 12: 32776, 14: 32770}[bits]
    white_is_zero = [65535, 65535 - expected, 0]
    assert read_image(tmp_path / "a.tif").pixels.ravel().tolist() == ([0, expected, 65535] if photometric else white_is_zero)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_signed_pixels_are_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", noise(1)[..., 0].astype(dtype))
    with pytest.raises(BadPicture) as caught:
        probe(tmp_path / "a.tif")
    reason = f"pixels of type {dtype}; srcli reads 8 and 16 bits and floating point"
    assert str(caught.value) == f"'{tmp_path / 'a.tif'}' has {reason}"


@pytest.mark.skipif(sys.platform == "win32", reason="libtiff is a part of Pillow's own library")
def test_libtiff_prints_nothing_of_a_damaged_file(tmp_path, capfd):
    Image.fromarray(noise(3)).save(tmp_path / "a.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[200:260] = 60 * b"\xff"
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(BadPicture, match="is damaged"):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


def test_white_is_zero_is_turned(tmp_path):
    pixels = noise(1, "uint16")
    tifffile.imwrite(tmp_path / "a.tif", pixels[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, 65535 - pixels, strict=True)


def test_multiplied_alpha_is_divided_out(tmp_path):
    pixels, alpha = noise(3, "float32"), 0.1 + 0.9 * noise(1, "float32")
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([pixels * alpha, alpha]), photometric="rgb", extrasamples=["assocalpha"])
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").pixels, pixels, atol=1e-6)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_float_outside_its_range_is_refused(tmp_path, value):
    tifffile.imwrite(tmp_path / "a.tif", np.full((HEIGHT, WIDTH), value, np.float32))
    with pytest.raises(BadPicture) as caught:
        read_image(tmp_path / "a.tif")
    assert str(caught.value) == f"'{tmp_path / 'a.tif'}' has floating point pixels outside [0, 1]; scale them to it first"


def test_a_ppm_of_10_bits_fills_the_range(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P5\n# comment\n3 1\n1023\n" + struct.pack(">3H", 0, 512, 1023))
    assert read_image(tmp_path / "a.ppm").pixels.ravel().tolist() == [0, 32800, 65535]


def test_one_bit_becomes_gray(tmp_path):
    Image.new("1", (WIDTH, HEIGHT), 1).save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    assert picture.pixels.shape == (HEIGHT, WIDTH, 1) and picture.pixels.min() == 255


def test_a_palette_with_transparency_becomes_colour_with_alpha(tmp_path):
    image = Image.fromarray(smooth()).quantize(16)
    image.save(tmp_path / "a.png", transparency=bytes(range(0, 160, 10)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").alpha, np.asarray(image) * 10)


@pytest.mark.parametrize(("mode", "clear"), [("L", 50), ("RGB", (50, 50, 50)), ("1", 1)])
def test_a_transparent_level_becomes_alpha(tmp_path, mode, clear):
    Image.new(mode, (WIDTH, HEIGHT), clear).save(tmp_path / "a.png", transparency=clear)
    picture = read_image(tmp_path / "a.png")
    assert picture.pixels.shape[2] == (3 if mode == "RGB" else 1)
    assert picture.alpha.max() == 0


@pytest.mark.parametrize("bits", [2, 4])
def test_a_transparent_level_of_2_or_4_bits_becomes_alpha(tmp_path, bits):
    levels = np.arange(2**bits, dtype=np.uint8)
    packed = np.packbits(np.unpackbits(levels[:, None], axis=1)[:, 8 - bits :])
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", len(levels), 1, bits, 0, 0, 0, 0),
        b"tRNS": struct.pack(">H", 3),
        b"IDAT": zlib.compress(b"\0" + packed.tobytes()),
        b"IEND": b"",
    }
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks.items()))
    picture = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels.ravel(), levels * (255 // levels.max()))
    np.testing.assert_array_equal(picture.alpha[0] == 0, levels == 3)


def test_a_transparent_level_of_16_bits_becomes_alpha(tmp_path):
    pixels = noise(1, "uint16")
    pixels[0, 0] = 0x1234
    path = tmp_path / "a.png"
    write_image(Picture(pixels), path)
    data = path.read_bytes()
    path.write_bytes(data[:33] + png_chunk(b"tRNS", b"\x12\x34") + data[33:])
    picture = read_image(path)
    np.testing.assert_array_equal(picture.pixels, pixels, strict=True)
    np.testing.assert_array_equal(picture.alpha == 0, pixels[..., 0] == 0x1234)


def test_cmyk_becomes_rgb_and_is_said(tmp_path):
    Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    picture = read_image(tmp_path / "a.tif")
    assert (picture.pixels[0, 0].tolist(), picture.notes) == ([255, 0, 0], ("CMYK converted to RGB",))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_and_reset(tmp_path, format, orientation):
    # a red corner: top left of the stored picture, wherever the upright one has it
    stored = np.full((40, 64, 3), 255, np.uint8)
    stored[:16, :16, 1:] = 0
    path = tmp_path / "a"
    Image.fromarray(stored).save(path, format, exif=exif(orientation), quality=100)
    picture = read_image(path)
    corners = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}
    red = picture.pixels[..., 1] < 128
    rows, columns = np.nonzero(red)
    found = ("t" if rows.mean() < red.shape[0] / 2 else "b") + ("l" if columns.mean() < red.shape[1] / 2 else "r")
    assert (found, red.shape) == (corners[orientation], (40, 64) if orientation < 5 else (64, 40))
    assert probe(path)[:2] == red.shape
    kept = Image.Exif()
    kept.load(picture.exif)
    assert (kept.get(0x0112, 1), kept[0x010F]) == (1, "maker")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_exif_of_a_tiff_is_kept_byte_for_byte(tmp_path, dtype, order):
    below = [Field(0x9286, 7, 10, b"UNICODE\0\xf6\0"), Field(0xA005, 4, 1, [Field(1, 2, 4, b"R98\0")])]
    fields = [Field(0x8298, 2, 12, "© 24 Jörg".encode() + b"\0"), Field(0x8769, 4, 1, below)]
    write_image(Picture(noise(3, dtype), exif=laid(fields, order)), tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif").exif == laid(fields, order)


def test_exif_behind_the_pixels_of_a_png_counts(tmp_path):
    write_image(Picture(smooth()), tmp_path / "a.png")
    data, kept = (tmp_path / "a.png").read_bytes(), exif(6).removeprefix(b"Exif\0\0")
    (tmp_path / "a.png").write_bytes(data[:-12] + png_chunk(b"eXIf", kept) + data[-12:])
    assert probe(tmp_path / "a.png")[:2] == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, np.rot90(smooth(), -1), strict=True)


def test_the_orientation_of_a_16_bit_tiff_is_applied(tmp_path):
    pixels = noise(3, "uint16")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    assert probe(tmp_path / "a.tif")[:2] == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, np.rot90(pixels, -1), strict=True)


# Metadata

FULL = Picture(
    smooth(),
    icc=SRGB,
    exif=exif(1).removeprefix(b"Exif\0\0"),
    xmp=b"<x:xmpmeta/>",
    dpi=(300.0, 300.0),
    text={"Title": "gr\u00fcn", "Note": "\u65e5\u672c"},
    chunks={b"gAMA": struct.pack(">I", 100000)},
)
LOST = {
    "png": (),
    "jpeg": ("JPEG cannot carry the text, the colour tags",),
    "webp": ("WebP cannot carry the resolution in dpi, the text, the colour tags",),
    "avif": ("AVIF cannot carry the resolution in dpi, the text, the colour tags",),
    "tiff": ("TIFF cannot carry the text, the colour tags",),
    "bmp": ("BMP cannot carry the colour profile, the EXIF data, the XMP data, the text, the colour tags",),
    "ppm": (
        "PPM cannot carry the colour profile, the EXIF data, the XMP data, the resolution in dpi, the text, the colour tags",
    ),
    "tga": (
        "TGA cannot carry the colour profile, the EXIF data, the XMP data, the resolution in dpi, the text, the colour tags",
    ),
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("format", FORMATS)
def test_metadata_are_kept_or_said(tmp_path, format, dtype):
    picture = replace(FULL, pixels=noise(3, dtype))
    notes = write_image(picture, path := tmp_path / f"a{suffix_of(format)}")
    again = read_image(path)
    assert tuple(note for note in notes if "reduced" not in note) == LOST[format]
    words = {"icc": "profile", "xmp": "XMP", "dpi": "dpi", "text": "the text", "chunks": "tags"}
    for key, word in words.items():
        kept = getattr(again, key)
        expected = getattr(Picture(smooth()) if word in " ".join(notes) else picture, key)
        assert kept == (pytest.approx(expected, abs=0.02) if key == "dpi" and expected else expected), key
    assert (again.exif is None) == ("EXIF" in " ".join(notes))


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif", "tiff"])
def test_exif_keeps_its_directories_and_learns_the_new_size(tmp_path, format):
    write_image(replace(FULL, pixels=np.repeat(smooth(), 2, axis=1)), tmp_path / "a", format=format)
    kept = Image.Exif()
    kept.load(read_image(tmp_path / "a").exif)
    directory = kept.get_ifd(0x8769)
    assert (kept[0x010F], float(directory[0x829A]), directory[0xA002]) == ("maker", 0.01, 2 * WIDTH)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif", "tiff"])
def test_exif_cut_anywhere_does_not_cost_the_result(tmp_path, format):
    for length in range(8, len(FULL.exif), 7):
        write_image(replace(FULL, pixels=smooth()[:2, :2], exif=FULL.exif[:length]), tmp_path / "a", format=format)
        assert read_image(tmp_path / "a").pixels.shape == (2, 2, 3)


def test_damaged_exif_does_not_cost_the_picture(tmp_path):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", exif=b"Exif\0\0nonsense")
    picture = read_image(tmp_path / "a.jpg")
    assert (picture.exif, picture.notes) == (None, ("damaged EXIF data are not kept",))


@pytest.mark.parametrize(("format", "word"), [("GIF", "frames"), ("PNG", "frames"), ("WEBP", "frames"), ("TIFF", "pages")])
def test_an_animation_gives_its_first_frame_and_a_note(tmp_path, format, word):
    frames = [Image.new("RGB", (WIDTH, HEIGHT), color) for color in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a", format, save_all=True, append_images=frames[1:], lossless=True)
    picture = read_image(tmp_path / "a")
    assert picture.notes == (f"only the first of 3 {word} is read",)
    assert picture.pixels[0, 0].tolist() == [255, 0, 0]


# Writing


def test_transparency_is_flattened_on_white_and_said(tmp_path):
    picture = Picture(np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH), 51, np.uint8))
    assert write_image(picture, tmp_path / "a.bmp") == ("BMP has no transparency: flattened on white",)
    assert read_image(tmp_path / "a.bmp").pixels.ravel().tolist() == [204] * (HEIGHT * WIDTH * 3)


def test_16_bits_are_reduced_and_said(tmp_path):
    picture = Picture(np.full((HEIGHT, WIDTH, 1), 257 * 200, np.uint16))
    assert write_image(picture, tmp_path / "a.bmp") == ("BMP has 8 bits: reduced from 16",)
    assert read_image(tmp_path / "a.bmp").pixels.max() == 200


def test_a_jpeg_is_coded_no_coarser_than_its_source(tmp_path):
    for quality in (30, 98):
        Image.fromarray(smooth()).save(tmp_path / "a.jpg", quality=quality, subsampling=1)
        source = read_image(tmp_path / "a.jpg")
        write_image(source, tmp_path / "b.jpg")
        result = read_image(tmp_path / "b.jpg")
        assert all(
            (np.array(b) <= np.array(a)).all() for a, b in zip(source.quality.tables, result.quality.tables, strict=True)
        )
        assert result.quality.subsampling == 1


@pytest.mark.parametrize("quality", [30, 40, 50, 75, 85, 99])
def test_the_quality_of_a_jpeg_is_read_off_its_steps(tmp_path, quality):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", quality=quality)
    assert read_image(tmp_path / "a.jpg").quality.jpeg == pytest.approx(quality, abs=1)
    Image.fromarray(smooth()).save(tmp_path / "a.webp", quality=quality)
    assert read_image(tmp_path / "a.webp").quality.jpeg is None


def test_other_sources_give_a_jpeg_without_subsampling(tmp_path):
    write_image(Picture(smooth()), tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").quality.subsampling == 0


def test_a_lossless_webp_stays_lossless(tmp_path):
    Image.fromarray(noise(3)).save(tmp_path / "a.webp", lossless=True)
    source = read_image(tmp_path / "a.webp")
    write_image(source, tmp_path / "b.webp")
    np.testing.assert_array_equal(read_image(tmp_path / "b.webp").pixels, source.pixels)


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif"])
def test_the_size_limit_is_what_can_be_written(tmp_path, format):
    limit = size_limit(format)
    write_image(Picture(np.zeros((1, limit, 3), np.uint8)), tmp_path / "a", format=format)
    assert read_image(tmp_path / "a").pixels.shape == (1, limit, 3)
    with pytest.raises(BadPicture):
        write_image(Picture(np.zeros((1, limit + 1, 3), np.uint8)), tmp_path / "b", format=format)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.avif"
    path.write_bytes(b"old")
    with pytest.raises(BadPicture):
        write_image(Picture(smooth()), path, quality=1000)
    assert [(child.name, child.read_bytes()) for child in tmp_path.iterdir()] == [("a.avif", b"old")]


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(BadPicture):
        write_image(Picture(smooth()), tmp_path / "a.gif")


@pytest.mark.parametrize("name", ["a b.png", "\u00e9\u540d\U0001f600.png", "%03d.png", "n" * 251 + ".png"])
def test_any_name_works_for_16_bits_too(tmp_path, name):
    write_image(Picture(noise(3, "uint16")), tmp_path / name)
    assert read_image(tmp_path / name).pixels.dtype == np.uint16


# Refusals


def packed(format: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(3)).save(buffer, format, **options)
    return buffer.getvalue()


REFUSED = {
    "empty": (b"", "is empty"),
    "text": (
        b"hello",
        "is no picture that srcli knows; it reads PNG, JPEG, WebP, TIFF, AVIF, BMP, PPM, GIF, DDS, or .tga, and videos",
    ),
    "svg": (b'<?xml version="1.0"?>\n<svg/>', "is SVG, which srcli cannot read; convert it to PNG or JPEG first"),
    "hevc in mp4": (
        b"\0\0\0\x1cftypisom\0\0\0\0isomhev1mp41",
        "is a video, which srcli cannot read; convert it to PNG or JPEG first",
    ),
    "matroska": (b"\x1aE\xdf\xa3" + bytes(20), "is a video, which srcli cannot read; convert it to PNG or JPEG first"),
    "cr3": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "is camera raw, which srcli cannot read; convert it to PNG or JPEG first"),
    "jxl": (b"\xff\x0a" + bytes(9), "is JPEG XL, which srcli cannot read; convert it to PNG or JPEG first"),
    "exr": (b"v/1\x01" + bytes(9), "is OpenEXR, which srcli cannot read; convert it to PNG or JPEG first"),
    "ico": (b"\0\0\1\0" + bytes(9), "is ICO, which srcli cannot read; convert it to PNG or JPEG first"),
    "half a png": (packed("PNG")[:3000], "is truncated"),
    "the beginning of a jpeg": (packed("JPEG")[:100], "is truncated"),
    "the beginning of a tiff": (b"II*\0", "is truncated"),
    "a png that ends in the length of its first chunk": (packed("PNG")[:10], "is truncated"),
    "a png that ends in the name of its first chunk": (packed("PNG")[:14], "is truncated"),
    "a png that ends in the checksum of its first chunk": (packed("PNG")[:30], "is truncated"),
    "a png without end": (packed("PNG")[:-12], "is truncated"),
    "half a jpeg": (packed("JPEG")[:1500], "is truncated"),
    "half a bmp": (packed("BMP")[:1500], "is truncated"),
    "half a jpeg with a preview": (packed("JPEG", exif=b"Exif\0\0" + packed("JPEG"))[:3500], "is truncated"),
    "a tiff whose pixels lie behind its end": (packed("TIFF")[:-9], "is truncated"),
    "a small bmp of a gigapixel": (
        packed("BMP")[:18] + struct.pack("<ii", 30000, 30000) + packed("BMP")[26:],
        "is truncated",
    ),
    "half a ppm": (packed("PPM")[:1500], "is truncated"),
    "a ppm with a comment in a number": (b"P2 2 2 102# comment\n2 3\n0 1 512 1023\n", "is damaged: its header cannot be read"),
}


@pytest.mark.parametrize("look", [probe, read_image])
@pytest.mark.parametrize("case", REFUSED)
def test_refused_from_the_header_in_one_line(tmp_path, case, look):
    data, line = REFUSED[case]
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(BadPicture) as caught:
        look(tmp_path / "a.png")
    assert str(caught.value) == f"'{tmp_path / 'a.png'}' {line}"


def test_a_tiff_named_as_camera_raw_is_taken_for_its_preview_alone_and_refused(tmp_path):
    (tmp_path / "a.NEF").write_bytes(packed("TIFF"))
    with pytest.raises(BadPicture, match="is camera raw, which srcli cannot read"):
        read_image(tmp_path / "a.NEF")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_truncated_16_bit_file_is_refused(tmp_path, suffix):
    write_image(Picture(noise(3, "uint16")), tmp_path / f"a.{suffix}")
    data = (tmp_path / f"a.{suffix}").read_bytes()
    (tmp_path / f"b.{suffix}").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadPicture):
        read_image(tmp_path / f"b.{suffix}")


def test_a_bomb_is_refused_by_its_header(tmp_path):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 1, 0, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT"))
    with pytest.raises(BadPicture) as caught:
        probe(tmp_path / "a.png")
    assert str(caught.value).endswith("has 60000 x 60000 = 3,600,000,000 pixels, the limit is 1,000,000,000")


def test_missing_files_and_folders_are_refused(tmp_path):
    for path, line in (
        (tmp_path / "no", "cannot read '{}': No such file or directory"),
        (tmp_path, "cannot read '{}': Is a directory"),
    ):
        with pytest.raises(BadPicture) as caught:
            read_image(path)
        assert str(caught.value) == line.format(path)


# Conversion to sRGB


def test_colours_of_another_profile_become_srgb(data):
    wide = read_image(data / "nasty" / "png_displayp3_icc.png")
    converted = to_srgb(wide)
    assert converted.icc is None
    with Image.open(data / "nasty" / "png_displayp3_icc.png") as image:
        own = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        srgb = ImageCms.profileToProfile(image.convert("RGB"), own, ImageCms.createProfile("sRGB"), 1, "RGB", flags=0x2000)
    np.testing.assert_array_equal(converted.pixels, np.asarray(srgb))


def test_srgb_stays_what_it_is():
    converted = to_srgb(Picture(smooth(), icc=SRGB))
    assert converted.icc is None
    assert np.abs(converted.pixels.astype(int) - smooth()).max() <= 1


def test_gray_stays_one_channel_in_srgb():
    assert to_srgb(Picture(smooth(1), icc=SRGB)).pixels.shape == (HEIGHT, WIDTH, 1)


@pytest.mark.parametrize(("dtype", "icc", "word"), [("uint16", SRGB, "more than 8 bits"), ("uint8", b"no profile", "damaged")])
def test_what_cannot_be_converted_keeps_its_profile_and_says_so(dtype, icc, word):
    kept = to_srgb(Picture(noise(3, dtype), icc=icc))
    assert kept.icc == icc
    assert word in kept.notes[0]


def test_iptc_goes_from_jpeg_to_jpeg_and_is_said_elsewhere(tmp_path):
    picture = Picture(smooth(), iptc=b"\x1c\x02\x78\x00\x07caption")
    assert write_image(picture, tmp_path / "a.jpg") == ()
    assert read_image(tmp_path / "a.jpg").iptc == picture.iptc
    assert write_image(picture, tmp_path / "a.png") == ("PNG cannot carry the IPTC data",)


IPTC = b"\x1c\x02\x78\x00\x07caption"


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_iptc_of_a_tiff_is_read(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", noise(3, dtype), photometric="rgb", extratags=[(33723, 7, len(IPTC), IPTC, True)])
    assert read_image(tmp_path / "a.tif").iptc == IPTC


def test_iptc_that_a_png_hides_in_text_is_read_and_other_profiles_stay_text(tmp_path):
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type iptc", f"\niptc\n{len(block):8}\n{block.hex()}\n")
    text.add_text("Raw profile type 8bim", "\n8bim\n       1\n00\n")
    Image.fromarray(smooth()).save(tmp_path / "a.png", pnginfo=text)
    picture = read_image(tmp_path / "a.png")
    assert (picture.iptc, list(picture.text)) == (IPTC, ["Raw profile type 8bim"])


def test_tags_of_the_main_directory_become_those_of_a_tiff_or_are_said(tmp_path):
    kept = [Field(316, 2, 4, b"Mac\0"), Field(18246, 3, 1, b"\5\0"), Field(40091, 1, 6, b"T\0i\0\0\0")]
    picture = Picture(smooth(), exif=laid([*kept, Field(769, 5, 1, bytes(8)), Field(50000, 3, 1, b"\1\0")], "<"))
    assert write_image(picture, tmp_path / "a.tif") == ("tags not kept: 769, 50000",)
    again = read_image(tmp_path / "a.tif")
    assert (fields_of(again.exif), again.notes) == (kept, ())


def test_tags_of_a_tiff_that_are_not_kept_are_said(tmp_path):
    extratags = [(tag, 3, 1, 7, True) for tag in range(50000, 50010)]
    tifffile.imwrite(tmp_path / "a.tif", noise(3), photometric="rgb", extratags=extratags, metadata=None)
    listed = ", ".join(map(str, range(50000, 50009)))
    assert read_image(tmp_path / "a.tif").notes == (f"tags not kept: {listed} and more",)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_channel_that_is_not_alpha_is_left_out_and_said(tmp_path, dtype):
    pixels = noise(4, dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unspecified"])
    picture = read_image(tmp_path / "a.tif")
    assert (picture.alpha, picture.notes) == (None, ("an extra channel that is not alpha is left out",))
    np.testing.assert_array_equal(picture.pixels, pixels[..., :3])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_channel_beside_alpha_is_left_out_and_said(tmp_path, dtype):
    pixels = np.concatenate([noise(4, dtype), noise(1, dtype)], axis=2)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha", "unspecified"])
    picture = read_image(tmp_path / "a.tif")
    assert picture.notes == ("an extra channel that is not alpha is left out",)
    np.testing.assert_array_equal(np.dstack([picture.pixels, picture.alpha]), pixels[..., :4])


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x30jumb\0\0\0\x20jumdc2pa"), "content credentials (C2PA)"),
        (segment(0xED, b"Photoshop 3.0\x008BIM\x03\xf3\0\0\0\0\0\2\0\0"), "Photoshop's own data (8BIM)"),
        (segment(0xE1, b"FLIR\0\1\0\0") + segment(0xE5, b"what"), "thermal data (FLIR), the segment APP5"),
    ],
)
def test_segments_that_a_jpeg_loses_are_said_in_one_note(tmp_path, extra, said):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", extra=extra)
    assert read_image(tmp_path / "a.jpg").notes == (f"not kept: {said}",)


def test_the_video_of_a_motion_photo_is_said_and_the_xmp_names_it_no_more(tmp_path):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", xmp=b'<rdf:Description GCamera:MotionPhoto="1"/>')
    with (tmp_path / "a.jpg").open("ab") as file:
        file.write(b"\0\0\0\x18ftypmp42" + bytes(99))
    picture = read_image(tmp_path / "a.jpg")
    assert picture.notes == ("not kept: the video of a motion photo",)
    assert picture.xmp == b'<rdf:Description GCamera:MotionPhoto="0"/>'


def test_a_comment_of_a_jpeg_is_called_so_where_it_is_lost(tmp_path):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", comment=b"of a phone")
    assert write_image(read_image(tmp_path / "a.jpg"), tmp_path / "a.tif") == ("TIFF cannot carry the comment",)


def test_xmp_has_the_new_size(tmp_path):
    xmp = (
        b'<x><a exif:PixelXDimension="64" exif:PixelYDimension=\'48\' tiff:ImageWidth="64"/>'
        b"<tiff:ImageLength>48</tiff:ImageLength><exif:PixelXDimensions>64<"
    )
    write_image(Picture(smooth(), xmp=xmp), tmp_path / "a.png")
    height, width = smooth().shape[:2]
    expected = xmp.replace(b"64", b"%d" % width, 2).replace(b"48", b"%d" % height)
    assert read_image(tmp_path / "a.png").xmp == expected


@pytest.fixture
def failures(monkeypatch):
    """Errors that opening a file fails with, one each time, before it is well."""
    errors, honest = [], read.opened

    def opened(path):
        if errors:
            raise OSError(errors[0], os.strerror(errors.pop(0)))
        return honest(path)

    monkeypatch.setattr(read, "opened", opened)
    monkeypatch.setattr(read, "_MOMENT", 0)
    return errors


@pytest.mark.parametrize("away", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_drive_that_was_away_is_asked_once_more(tmp_path, failures, away):
    write_image(Picture(np.full((4, 5, 3), 99, np.uint8)), tmp_path / "a.png")
    failures.append(away)
    assert read_image(tmp_path / "a.png").pixels.shape == (4, 5, 3)
    failures += [away, away, away]
    with pytest.raises(BadPicture, match=f"cannot read .*a.png': {os.strerror(away)}"):
        read_image(tmp_path / "a.png")
    assert len(failures) == 1


def test_what_may_not_be_read_is_not_asked_again(tmp_path, failures):
    failures += [errno.EACCES, errno.EACCES]
    with pytest.raises(BadPicture, match="Permission denied"):
        read_image(tmp_path / "a.png")
    assert len(failures) == 1


@pytest.mark.parametrize(
    ("transfer", "notes"),
    [
        (16, ("HDR (PQ): upscaled as it is coded; the weights know SDR",)),
        (18, ("HDR (HLG): upscaled as it is coded; the weights know SDR",)),
        (13, ()),
    ],
)
def test_values_coded_for_hdr_are_said(tmp_path, transfer, notes):
    picture = Picture(np.full((4, 5, 3), 99, np.uint8), chunks={b"cICP": bytes([9, transfer, 0, 1])})
    write_image(picture, tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").notes == notes


def test_chunks_that_a_png_loses_are_said_in_one_note(tmp_path):
    info = PngImagePlugin.PngInfo()
    for name in (b"tIME", b"bKGD", b"caBX"):
        info.add(name, bytes(7))
    Image.fromarray(smooth()).save(tmp_path / "a.png", pnginfo=info)
    assert read_image(tmp_path / "a.png").notes == ("not kept: content credentials (C2PA), the PNG chunks bKGD",)


@pytest.mark.parametrize(("height", "notes"), [(3, ("not kept: the shape of the px (pHYs)",)), (2, ())])
def test_px_of_a_png_that_are_not_square_are_said(tmp_path, height, notes):
    content, chunk = packed("PNG"), png_chunk(b"pHYs", struct.pack(">IIB", 2, height, 0))
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])  # behind the header
    assert read_image(tmp_path / "a.png").notes == notes


@pytest.mark.parametrize(
    ("format", "extra", "said"),
    [
        ("webp", b"C2PA" + struct.pack("<I", 5) + b"jumb\0\0", ("not kept: content credentials (C2PA)",)),
        ("webp", b"none" + struct.pack("<I", 2) + b"ab", ("not kept: the WebP chunks none",)),
        (
            "avif",
            bytes.fromhex("0000001c 75756964 d8fec3d61b0e483c92975828877ec481") + b"jumb",
            ("not kept: content credentials (C2PA)",),
        ),
        ("avif", struct.pack(">I4s8x", 16, b"free"), ()),
    ],
)
def test_content_credentials_and_chunks_that_are_not_known_are_said(tmp_path, format, extra, said):
    Image.fromarray(smooth()).save(tmp_path / "a", format)
    content = (tmp_path / "a").read_bytes() + extra
    if format == "webp":
        content = content[:4] + struct.pack("<I", len(content) - 8) + content[8:]
    (tmp_path / "a").write_bytes(content)
    assert read_image(tmp_path / "a").notes == said


@pytest.mark.parametrize(("last", "notes"), [(7, ("not kept: the fourth byte of each px",)), (0, ())])
def test_the_fourth_byte_of_a_bmp_is_said_where_it_tells_something(tmp_path, last, notes):
    rows = np.dstack([smooth(), np.zeros((HEIGHT, WIDTH), np.uint8)])
    rows[-1, -1, 3] = last
    head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + rows.nbytes, 0, 0, 54, 40, WIDTH, HEIGHT, 1, 32, 0, 0, 0, 0, 0, 0)
    (tmp_path / "a.bmp").write_bytes(head + rows.tobytes())
    assert read_image(tmp_path / "a.bmp").notes == notes


@pytest.mark.parametrize("comment", ["gr\u00fcn", "\u65e5\u672c\u8a9e prompt"])
def test_a_comment_comes_back_from_jpeg_as_it_was(tmp_path, comment):
    assert write_image(Picture(smooth(), text={"Comment": comment}), tmp_path / "a.jpg") == ()
    assert read_image(tmp_path / "a.jpg").text == {"Comment": comment}


def test_the_bytes_of_a_comment_stay_from_jpeg_to_jpeg(tmp_path):
    for comment in ("gr\u00fcn".encode(), "gr\u00fcn".encode("latin-1"), "\u65e5\u672c".encode()):
        Image.fromarray(smooth()).save(tmp_path / "a.jpg", comment=comment)
        write_image(read_image(tmp_path / "a.jpg"), tmp_path / "b.jpg")
        with Image.open(tmp_path / "b.jpg") as image:
            assert image.info["comment"] == comment


def test_a_comment_too_long_for_jpeg_is_said(tmp_path):
    picture = Picture(smooth(), text={"Comment": "long " * 14_000})
    assert write_image(picture, tmp_path / "a.jpg") == ("JPEG cannot carry the comment",)
    assert read_image(tmp_path / "a.jpg").text == {}


def test_a_raw_file_that_begins_with_its_preview_is_refused(tmp_path):
    path = tmp_path / "raw.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((20, 30, 3), np.uint8), photometric="rgb", subfiletype=1, subifds=1)
        file.write(np.zeros((200, 300), np.uint16), photometric="minisblack", subfiletype=0)
    with pytest.raises(BadPicture, match="begins with a preview, as camera raw files do; develop it first"):
        probe(path)


@pytest.mark.parametrize(("orientation", "kept"), [(1, True), (3, False), (6, False)])
def test_a_preview_of_a_picture_that_is_turned_is_left_out(tmp_path, orientation, kept):
    data = exif(orientation)
    behind = len(data) - len(data) % 2  # "Exif\0\0" stands before the offsets' origin
    data = data[:behind] + struct.pack("<HHHII", 1, 0x0103, 3, 1, 6) + bytes(4)
    order = "<" if data[6:8] == b"II" else ">"
    start = 6 + struct.unpack_from(order + "I", data, 10)[0]
    at = start + 2 + 12 * struct.unpack_from(order + "H", data, start)[0]
    data = data[:at] + struct.pack(order + "I", behind - 6) + data[at + 4 :]
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", exif=data)
    picture = read_image(tmp_path / "a.jpg")
    assert picture.notes == ()
    assert (struct.unpack_from(order + "I", picture.exif, at - 6)[0] > 0) == kept
    fields = [field for field in fields_of(data[6:]) if field.tag != 0x0112]
    assert [field for field in fields_of(picture.exif) if field.tag != 0x0112] == fields


@pytest.mark.parametrize("deep", [False, True])
def test_the_resolution_of_a_tiff_turns_with_it(tmp_path, deep):
    pixels = smooth().astype(np.uint16) * 257 if deep else smooth()
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, resolution=(72, 300), resolutionunit=2, extratags=[(274, 3, 1, 6, True)], photometric="rgb"
    )
    picture = read_image(tmp_path / "a.tif")
    assert (picture.pixels.shape, picture.dpi) == ((pixels.shape[1], pixels.shape[0], 3), (300, 72))


def test_the_resolution_turns_with_the_picture(tmp_path):
    data = Image.Exif()
    data[0x0112], data[282], data[283], data[296] = 6, 300.0, 150.0, 2
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", exif=data.tobytes(), dpi=(300, 150))
    picture = read_image(tmp_path / "a.jpg")
    assert picture.dpi == (150, 300)
    turned = Image.Exif()
    turned.load(picture.exif)
    assert (turned[282], turned[283]) == (150, 300)


def test_a_profile_or_text_of_two_megabytes_is_read_back(tmp_path):
    picture = Picture(
        np.zeros((3, 4, 3), np.uint8), icc=bytes(16) + b"RGB " + os.urandom(2 * 2**20), text={"Comment": "a" * 3 * 2**20}
    )
    assert write_image(picture, tmp_path / "a.png", format="png") == ()
    again = read_image(tmp_path / "a.png")
    assert (again.icc, again.text) == (picture.icc, picture.text)
    assert probe(tmp_path / "a.png").width == 4


def test_exif_of_an_avif_is_that_of_its_source_but_for_the_orientation(tmp_path):
    camera, note = b"Camera\0\0", bytes(range(40))
    below = laid([Field(0x927C, 7, 40, note)], "<")
    exif = laid([Field(0x010F, 2, 8, camera), Field(0x0112, 3, 1, b"\1\0"), Field(0x9999, 7, 9, b"unknown, ")], "<") + below
    write_image(Picture(np.zeros((8, 8, 3), np.uint8), exif=exif), tmp_path / "a.avif", format="avif")
    kept = read_image(tmp_path / "a.avif").exif
    assert kept is not None
    assert kept.endswith(below)
    assert {field.tag: field.data for field in fields_of(kept)} == {0x010F: camera, 0x9999: b"unknown, "}


def test_a_profile_that_is_none_costs_a_cmyk_picture_nothing(tmp_path):
    Image.new("CMYK", (4, 4), (0, 99, 0, 0)).save(tmp_path / "a.jpg", icc_profile=b"no profile " * 20)
    picture = read_image(tmp_path / "a.jpg")
    assert "CMYK converted to RGB without its profile, which is damaged" in picture.notes


@pytest.mark.parametrize("mark", [b'"', b"'"])
def test_an_orientation_that_only_xmp_tells_stays_there(tmp_path, mark):
    xmp = b"<x:xmpmeta><rdf:Description tiff:Orientation=" + mark + b"6" + mark + b"/></x:xmpmeta>"
    for exif, told in ((None, b"6"), (laid([Field(0x0112, 3, 1, b"\6\0")], "<"), b"1")):
        image = Image.new("RGB", (5, 4))
        image.save(tmp_path / "a.jpg", xmp=xmp, **({"exif": b"Exif\0\0" + exif} if exif else {}))
        picture = read_image(tmp_path / "a.jpg")
        assert mark + told + mark in picture.xmp
        assert picture.pixels.shape == ((5, 4, 3) if exif else (4, 5, 3))


def test_the_tables_of_a_jpeg_are_told_apart_by_their_numbers(tmp_path):
    Image.fromarray(photograph(32, 32)).save(tmp_path / "a.jpg", quality=70)
    plain = read_image(tmp_path / "a.jpg").quality
    data = (tmp_path / "a.jpg").read_bytes()
    first = data.index(b"\xff\xdb")
    second = data.index(b"\xff\xdb", first + 4)
    one, other = data[first : first + 69], data[second : second + 69]
    assert (one[4], other[4], second) == (0, 1, first + 69)
    (tmp_path / "b.jpg").write_bytes(data[:first] + other + one + data[second + 69 :])
    assert read_image(tmp_path / "b.jpg").quality == plain


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("meaning", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("colours", [1, 3])
def test_a_tiff_of_8_bits_has_its_alpha_however_it_is_stored(tmp_path, colours, meaning, planar):
    picture = np.random.default_rng(0).integers(128, 255, (5, 7, colours + 1)).astype(np.uint8)
    stored = picture.copy()
    if meaning == "assocalpha":
        stored[..., :-1] = np.round(picture[..., :-1].astype(float) * picture[..., -1:] / 255)
    photometric = "rgb" if colours == 3 else "minisblack"
    array = np.moveaxis(stored, 2, 0) if planar == "separate" else stored
    tifffile.imwrite(
        tmp_path / "a.tif", np.ascontiguousarray(array), photometric=photometric, planarconfig=planar, extrasamples=[meaning]
    )
    assert probe(tmp_path / "a.tif")[:5] == (5, 7, colours, True, 8)
    read = read_image(tmp_path / "a.tif")
    assert (read.pixels.dtype, read.pixels.shape) == (np.uint8, (5, 7, colours))
    np.testing.assert_array_equal(read.alpha, picture[..., -1])
    assert np.abs(read.pixels.astype(int) - picture[..., :-1]).max() <= (2 if meaning == "assocalpha" else 0)


def test_what_a_tiff_has_that_is_not_read_is_named(tmp_path):
    four = np.full((5, 7, 4), 40000, np.uint16)
    tifffile.imwrite(tmp_path / "b.tif", four, photometric="separated", planarconfig="contig")
    assert read_image(tmp_path / "b.tif").notes == ("CMYK converted to RGB", "16 bits reduced to 8")
    five = np.zeros((5, 7, 5), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", five, photometric="separated", planarconfig="contig", extrasamples=["unassalpha"])
    with pytest.raises(BadPicture, match=r"a\.tif' has CMYK with a further channel"):
        read_image(tmp_path / "a.tif")


def test_a_tiff_that_names_an_alpha_it_does_not_have_has_none(tmp_path):
    pixels = np.arange(35, dtype=np.uint8).reshape(5, 7)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", extratags=[(340, 3, 1, 1, True)])
    data = (tmp_path / "a.tif").read_bytes()
    named, extra = struct.pack("<HHI", 340, 3, 1), struct.pack("<HHI", 338, 3, 1)
    assert data.count(named) == 1
    (tmp_path / "a.tif").write_bytes(data.replace(named, extra))
    assert not probe(tmp_path / "a.tif").alpha
    picture = read_image(tmp_path / "a.tif")
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.pixels[..., 0], pixels)


@pytest.mark.parametrize("comment", [b"\r# made by x\r", b"\n#" + b"c" * 5000 + b"\n"])
def test_a_comment_in_a_ppm_is_passed_over(tmp_path, comment):
    (tmp_path / "a.ppm").write_bytes(b"P6" + comment + b"1 1\n255\n" + bytes([1, 2, 3]))
    assert read_image(tmp_path / "a.ppm").pixels.tolist() == [[[1, 2, 3]]]


def test_what_is_made_to_take_long_does_not(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6" + b" " * 200 + b"+1 1 255\n" + bytes(3))
    with pytest.raises(BadPicture, match="its header cannot be read"):  # took minutes, and longer by the byte
        probe(tmp_path / "a.ppm")
    (tmp_path / "a.png").write_bytes(b"<?xml?>" + b"<!---->" * 70 + b"<html>")
    with pytest.raises(BadPicture, match="is no picture"):  # so did this
        probe(tmp_path / "a.png")

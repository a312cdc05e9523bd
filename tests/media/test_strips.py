import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from srcli.errors import BadPicture, DiskFull
from srcli.media.bigtiff import TILE
from srcli.media.picture import Picture
from srcli.media.read import read_image
from srcli.media.strips import StripReader, StripWriter, open_strips
from srcli.media.write import write_image

HEIGHT, WIDTH = 153, 97


def noise(height: int, width: int, channels: int, dtype: str = "uint8") -> np.ndarray:
    random = np.random.default_rng(0)
    if dtype == "float32":
        return random.random((height, width, channels), dtype=np.float32)
    return random.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype, endpoint=True)


def exif(order: str) -> bytes:
    data = Image.Exif()
    data.endian = order
    data[0x010F] = "maker"
    data.get_ifd(0x8769)[0x829A] = 0.01  # exposure time
    data.get_ifd(0x8769)[0xA002] = WIDTH
    data.get_ifd(0x8825)[1] = "N"
    return data.tobytes().removeprefix(b"Exif\0\0")


def opened(path: Path) -> StripReader:
    reader = open_strips(path)
    assert reader is not None
    return reader


# Reading

LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 10},
    "deflate": {"rowsperstrip": 10, "compression": "zlib"},
    "deflate, predicted": {"rowsperstrip": 10, "compression": "zlib", "predictor": True},
    "tiles": {"tile": (32, 48)},
    "packed tiles": {"tile": (32, 48), "compression": "zlib", "predictor": True},
    "big endian": {"tile": (32, 48), "compression": "zlib", "predictor": True, "byteorder": ">"},
    "big": {"tile": (32, 48), "bigtiff": True},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_rows_of_every_layout_are_exact(tmp_path, layout, channels, dtype):
    pixels = noise(HEIGHT, WIDTH, channels, dtype)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels if channels > 1 else pixels[..., 0],
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels % 2 == 0 else None,
        **LAYOUTS[layout],
    )
    with opened(tmp_path / "a.tif") as reader:
        assert (reader.height, reader.width, reader.channels, reader.alpha, reader.dtype) == (
            HEIGHT,
            WIDTH,
            3 if channels > 2 else 1,
            channels % 2 == 0,
            np.dtype(dtype),
        )
        for start, stop in ((0, 1), (0, 40), (30, 70), (100, HEIGHT), (3, 4)):  # on, back, and on again
            np.testing.assert_array_equal(reader.rows(start, stop), pixels[start:stop], strict=True)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_rows_of_what_libtiff_packs_are_exact(tmp_path, compression, dtype):
    pixels = noise(HEIGHT, WIDTH, 1, dtype) // 16
    Image.fromarray(pixels[..., 0]).save(tmp_path / "a.tif", compression=compression)
    with opened(tmp_path / "a.tif") as reader:
        np.testing.assert_array_equal(reader.rows(20, 90), pixels[20:90], strict=True)


def test_tiles_in_lzw_of_16_bits_are_read_whole_too(tmp_path):
    """What no decoder of tifffile's own opens: written by hand, from LZW strips of libtiff."""
    pixels = noise(64, 64, 1, "uint16") // 64
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(buffer, "TIFF", compression="tiff_lzw", tiffinfo={278: 64})
    buffer.seek(0)
    with tifffile.TiffFile(buffer) as tiff:
        page = tiff.pages.first
        start, count = page.dataoffsets[0], page.databytecounts[0]
    tifffile.imwrite(tmp_path / "a.tif", pixels[..., 0], tile=(64, 64))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tags = tiff.pages.first.tags
        end = tiff.filehandle.size
        for name, value in (("Compression", 5), ("TileOffsets", end), ("TileByteCounts", count)):
            tags[name].overwrite(value)
    with (tmp_path / "a.tif").open("ab") as file:
        file.write(buffer.getvalue()[start : start + count])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, pixels, strict=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_multiplied_alpha_is_divided_out(tmp_path, dtype):
    most = np.iinfo(dtype).max
    pixels, alpha = noise(HEIGHT, WIDTH, 3, dtype), noise(HEIGHT, WIDTH, 1, dtype) // 2 + most // 2
    stored = (pixels.astype(np.float64) * alpha / most + 0.5).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([stored, alpha]), photometric="rgb", extrasamples=["assocalpha"])
    with opened(tmp_path / "a.tif") as reader:
        rows = reader.rows(0, HEIGHT)
    assert np.abs(rows[..., :3].astype(int) - pixels).max() <= 2
    np.testing.assert_array_equal(rows[..., 3:], alpha, strict=True)


def written(path: Path, pixels: np.ndarray, **options: object) -> Path:
    tifffile.imwrite(path, pixels, **options)
    return path


WHOLE = {
    "planes": lambda path: written(path, noise(3, HEIGHT, WIDTH), photometric="rgb", planarconfig="separate"),
    "float": lambda path: written(path, noise(HEIGHT, WIDTH, 3, "float32"), photometric="rgb"),
    "white is zero": lambda path: written(path, noise(HEIGHT, WIDTH, 1)[..., 0], photometric="miniswhite"),
    "turned": lambda path: written(path, noise(HEIGHT, WIDTH, 3), photometric="rgb", extratags=[(274, "H", 1, 6, True)]),
    "palette": lambda path: Image.fromarray(noise(HEIGHT, WIDTH, 3)).quantize(16).save(path, "TIFF"),
    "1 bit": lambda path: Image.new("1", (WIDTH, HEIGHT)).save(path, "TIFF"),
    "CMYK": lambda path: Image.new("CMYK", (WIDTH, HEIGHT)).save(path, "TIFF"),
    "JPEG inside": lambda path: Image.fromarray(noise(HEIGHT, WIDTH, 3)).save(path, "TIFF", compression="jpeg"),
    "PNG": lambda path: Image.fromarray(noise(HEIGHT, WIDTH, 3)).save(path, "PNG"),
    "unknown channel": lambda path: written(path, noise(HEIGHT, WIDTH, 4), photometric="rgb", extrasamples=["unspecified"]),
}


@pytest.mark.parametrize("case", WHOLE)
def test_what_has_no_strips_is_left_to_be_read_whole(tmp_path, case):
    WHOLE[case](tmp_path / "a.tif")
    assert open_strips(tmp_path / "a.tif") is None


@pytest.mark.parametrize("layout", ["one strip", "strips", "packed tiles"])
def test_a_truncated_file_is_refused_when_opened(tmp_path, layout):
    tifffile.imwrite(tmp_path / "a.tif", noise(HEIGHT, WIDTH, 3), photometric="rgb", **LAYOUTS[layout])
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(BadPicture) as caught:
        open_strips(tmp_path / "a.tif")
    assert str(caught.value) == f"'{tmp_path / 'a.tif'}' is truncated"


def test_a_damaged_strip_is_told_in_one_line(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(HEIGHT, WIDTH, 3), photometric="rgb", compression="zlib", rowsperstrip=10)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        start = tiff.pages.first.dataoffsets[5]
    with (tmp_path / "a.tif").open("r+b") as file:
        file.seek(start + 100)
        file.write(b"\xff" * 100)
    with opened(tmp_path / "a.tif") as reader:
        reader.rows(0, 50)
        with pytest.raises(BadPicture, match=r"is damaged|is truncated"):
            reader.rows(50, 60)


def test_the_limit_of_pixels_holds(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(HEIGHT, WIDTH, 3), photometric="rgb")
    with pytest.raises(BadPicture):
        open_strips(tmp_path / "a.tif", max_pixels=HEIGHT * WIDTH - 1)


def test_pages_behind_the_first_are_said(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, HEIGHT, WIDTH), np.uint8), photometric="minisblack")
    with opened(tmp_path / "a.tif") as reader:
        assert reader.carried.notes == ("only the first of 3 pages is read",)


# Writing


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("suffix", "dtype", "level"),
    [
        *(("png", "uint8", 0), ("png", "uint8", 1), ("png", "uint16", 0), ("png", "uint16", 1)),
        *(("tif", "uint8", 1), ("tif", "uint16", 1), ("tif", "float32", 1)),
    ],
)
def test_rows_written_are_read(tmp_path, suffix, dtype, channels, level):
    height, width = TILE + 53, TILE + 1
    pixels = noise(height, width, channels, dtype)
    colours, alpha = (3 if channels > 2 else 1), channels % 2 == 0
    path = tmp_path / f"a.{suffix}"
    carried = Picture(np.empty((0, 1, colours), dtype))
    with StripWriter(path, height, width, carried, alpha=alpha, png_level=level) as writer:
        for start, stop in ((0, 1), (1, 300), (300, height)):
            writer.write(pixels[start:stop])
    assert writer.notes == ()
    again = read_image(path)
    np.testing.assert_array_equal(again.pixels, pixels[..., :colours], strict=True)
    assert (again.alpha is not None) == alpha
    if alpha:
        np.testing.assert_array_equal(again.alpha, pixels[..., -1], strict=True)


def test_other_programs_read_the_tiles(tmp_path):
    pixels = noise(TILE + 53, TILE + 1, 3)
    with StripWriter(tmp_path / "a.tif", *pixels.shape[:2], Picture(pixels)) as writer:
        writer.write(pixels)
    with Image.open(tmp_path / "a.tif") as image:  # libtiff
        np.testing.assert_array_equal(np.asarray(image), pixels)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_bigtiff and tiff.pages.first.tile == (TILE, TILE)
        np.testing.assert_array_equal(tiff.asarray(), pixels)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_metadata_are_kept_as_the_whole_writer_keeps_them(tmp_path, suffix, order):
    data = exif(order)
    assert data.startswith({"<": b"II", ">": b"MM"}[order])
    pixels = noise(HEIGHT, WIDTH, 3, "uint16")
    picture = Picture(pixels, exif=data, xmp=b"<x:xmpmeta/>", dpi=(300.0, 72.5), icc=b"\0" * 16 + b"RGB " + bytes(200))
    with StripWriter(tmp_path / f"a.{suffix}", HEIGHT, WIDTH, picture) as writer:
        writer.write(pixels)
    write_image(picture, tmp_path / f"b.{suffix}")
    strips, whole = (read_image(tmp_path / f"{name}.{suffix}") for name in "ab")
    assert (strips.icc, strips.xmp, strips.dpi) == (whole.icc, whole.xmp, whole.dpi)
    np.testing.assert_array_equal(strips.pixels, pixels, strict=True)
    for picture in (strips, whole):
        kept = Image.Exif()
        kept.load(picture.exif)
        directory = kept.get_ifd(0x8769)
        assert (kept[0x010F], float(directory[0x829A]), directory[0xA002]) == ("maker", 0.01, WIDTH)
        assert kept.get_ifd(0x8825)[1] == "N"


def test_what_a_format_cannot_carry_is_said(tmp_path):
    carried = Picture(np.empty((0, 1, 3), np.float32), iptc=b"caption")
    with StripWriter(tmp_path / "a.png", 1, 2, carried) as writer:
        writer.write(np.full((1, 2, 3), 0.5, np.float32))
    assert writer.notes == ("PNG has 16 bits: reduced from float", "PNG cannot carry the IPTC data")
    assert read_image(tmp_path / "a.png").pixels.ravel().tolist() == [32768] * 6


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_failure_leaves_what_was_there(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")
    rows = noise(HEIGHT, WIDTH, 3)
    with pytest.raises(KeyboardInterrupt), StripWriter(path, HEIGHT, WIDTH, Picture(rows)) as writer:
        writer.write(rows[:20])
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="20 rows of 153"), StripWriter(path, HEIGHT, WIDTH, Picture(rows)) as writer:
        writer.write(rows[:20])
    assert [(child.name, child.read_bytes()) for child in tmp_path.iterdir()] == [(path.name, b"old")]


def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch):
    rows = noise(HEIGHT, WIDTH, 3)

    def full(self: object, rows: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("srcli.media.bigtiff.TileWriter.write", full)
    with (
        pytest.raises(DiskFull, match="No space left"),
        StripWriter(tmp_path / "a.tif", HEIGHT, WIDTH, Picture(rows)) as writer,
    ):
        writer.write(rows)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a"])
def test_other_formats_are_refused(tmp_path, name):
    with pytest.raises(BadPicture, match="the formats are png, tiff"):
        StripWriter(tmp_path / name, 1, 1, Picture(np.zeros((1, 1, 3), np.uint8)))


# Memory

COPY = """
import json, resource, sys
from pathlib import Path
from srcli.media.strips import StripWriter, open_strips

base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_strips(Path(sys.argv[1])) as reader:
    with StripWriter(Path(sys.argv[2]), reader.height, reader.width, reader.carried) as writer:
        for start in range(0, reader.height, 64):
            writer.write(reader.rows(start, min(start + 64, reader.height)))
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base))
"""


@pytest.mark.parametrize(("layout", "suffix"), [("one strip", "png"), ("packed tiles", "tif")])
def test_memory_does_not_grow_with_the_height(tmp_path, layout, suffix):
    """20,000 rows of 1,024 px are 59 MiB; copied they take less than 30, tifffile's import included."""
    row = np.arange(1024 * 3, dtype=np.uint8).reshape(1, 1024, 3)
    pixels = np.broadcast_to(row, (20_000, 1024, 3))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **LAYOUTS[layout])
    code = [sys.executable, "-c", COPY, tmp_path / "a.tif", tmp_path / f"b.{suffix}"]
    run = subprocess.run(code, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) < 30 * 1024, run.stdout
    with Image.open(tmp_path / f"b.{suffix}") as copy:
        assert copy.size == (1024, 20_000)
        assert (np.asarray(copy.crop((0, 19_990, 1024, 20_000))) == row).all()

"""The tables of docs/fidelity.md, cell by cell: kept means read back equal and without a note, said means a note."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from srcli.media.animation import Animation, Frame, read_animation, write_animation
from srcli.media.exif import Field, fields_of, laid
from srcli.media.formats import FORMATS, suffix_of
from srcli.media.picture import Picture
from srcli.media.read import read_image
from srcli.media.write import write_image

DOCUMENT = Path(__file__).parents[2] / "docs" / "fidelity.md"
ROWS, COLUMNS = np.mgrid[0:37, 0:53]
PIXELS = np.stack([2 * COLUMNS + 40, 3 * ROWS + 30, COLUMNS + ROWS + 20], axis=2).astype(np.uint8)
ALPHA = (2 * COLUMNS + 60).astype(np.uint8)


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x010F], data[0x0112] = "maker", orientation
    return data.tobytes()


# what Pillow's own EXIF does not keep: text that is not ASCII, values of no type, the directory of interoperability
FIELDS = [
    Field(0x010F, 2, 6, b"maker\0"),
    Field(0x8298, 2, 15, "© 2024 Jörg".encode() + b"\0\0"),
    Field(
        0x8769,
        4,
        1,
        [
            Field(0x829A, 5, 1, b"\1\0\0\0\x64\0\0\0"),
            Field(0x9101, 7, 4, b"\1\2\3\0"),
            Field(0x9286, 7, 13, b"UNICODE\0J\0\xf6\0r"),
            Field(0xA005, 4, 1, [Field(0x0001, 2, 4, b"R98\0")]),
        ],
    ),
    Field(0x8825, 4, 1, [Field(0x0001, 2, 2, b"N\0")]),
]
METADATA = {
    "ICC profile": {"icc": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()},
    "EXIF": {"exif": laid(FIELDS, "<")},
    "XMP": {"xmp": b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'},
    "dpi": {"dpi": (300.0, 300.0)},
    "IPTC": {"iptc": b"\x1c\x02\x78\x00\x07caption"},
    "text": {"text": {"Title": "a picture"}},
    "comment": {"text": {"Comment": "a comment"}},
    "colour tag (cICP)": {"chunks": {b"cICP": bytes([9, 16, 0, 1])}},
}
PROPERTIES = {
    "8 bit": {"pixels": PIXELS},
    "16 bit": {"pixels": PIXELS.astype(np.uint16) * 257},
    "float": {"pixels": (PIXELS / 255).astype(np.float32)},
    "gray": {"pixels": PIXELS[..., :1].copy()},
    "alpha": {"alpha": ALPHA},
    "gray + alpha": {"pixels": PIXELS[..., :1].copy(), "alpha": ALPHA},
    **METADATA,
}


def cells(section: str, name: str) -> list[str]:
    """Return the cells of one row below a heading."""
    text = DOCUMENT.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def _is_kept(value: object, again: object) -> bool:
    if isinstance(value, np.ndarray):  # the values are lossy for JPEG, WebP and AVIF
        return isinstance(again, np.ndarray) and (again.shape, again.dtype) == (value.shape, value.dtype)
    if isinstance(value, tuple):
        return again == pytest.approx(value, abs=0.02)  # PNG has whole px a metre
    if value == METADATA["EXIF"]["exif"] and isinstance(again, bytes):
        return fields_of(again) == FIELDS
    return again == value


def _outcome(given: Mapping[str, Any], again: Picture, notes: tuple[str, ...]) -> str:
    kept = all(_is_kept(value, getattr(again, key)) for key, value in given.items())
    return "said" if notes else "kept" if kept else "lost"


@pytest.mark.parametrize("name", PROPERTIES)
def test_the_document_says_what_each_format_keeps(tmp_path, name):
    given, outcomes = PROPERTIES[name], []
    for format in FORMATS:
        notes = write_image(Picture(**{"pixels": PIXELS, **given}), path := tmp_path / f"a{suffix_of(format)}")
        outcomes.append(_outcome(given, read_image(path), notes))
    assert cells("Written", name) == outcomes


@pytest.mark.parametrize("name", METADATA)
def test_the_document_says_what_animations_keep(tmp_path, name):
    given, outcomes = METADATA[name], []
    frames = [Frame(np.roll(PIXELS // 128 * 128, 9 * i, axis=1), None, 40) for i in range(3)]  # 8 colours
    for format in ("gif", "webp", "png"):
        notes = write_animation(Animation(Picture(PIXELS, **given), frames, 0), tmp_path / "a", format=format)
        again = read_animation(tmp_path / "a").still
        outcomes.append(_outcome(given, again, tuple(note for note in notes if "colours" not in note)))
    assert cells("Animations", name) == outcomes


# Reading: what a property looks like in a file, and as what it is read

COLOUR = Image.fromarray(PIXELS)
PALETTE = COLOUR.quantize(16)

READ = {
    "palette": (PALETTE, {}, ("png", "tiff", "bmp", "tga", "gif"), PALETTE.convert("RGB")),
    "palette with transparency": (PALETTE, {"transparency": 0}, ("png", "gif"), None),
    "1 bit": (COLOUR.convert("1"), {}, ("png", "tiff", "bmp", "ppm", "gif"), COLOUR.convert("1").convert("L")),
    "gray": (COLOUR.convert("L"), {}, ("png", "jpeg", "avif", "tiff", "bmp", "ppm", "tga", "dds"), COLOUR.convert("L")),
    "gray + alpha": (Image.fromarray(np.dstack([PIXELS[..., 0], ALPHA])), {}, ("png", "tiff", "tga", "dds"), None),
    "CMYK": (COLOUR.convert("CMYK"), {}, ("jpeg", "tiff"), None),
    "Lab": (COLOUR.convert("LAB"), {}, ("tiff",), None),
    "EXIF orientation": (COLOUR, {"exif": exif(6)}, ("png", "jpeg", "webp", "avif", "tiff"), COLOUR.rotate(-90, expand=True)),
    "several pages or frames": (
        PALETTE,
        {"save_all": True, "append_images": [PALETTE.rotate(180)]},
        ("png", "webp", "tiff", "gif"),
        None,
    ),
}
LOSSY = ("jpeg", "webp", "avif")


@pytest.mark.parametrize("name", READ)
def test_the_document_says_what_is_read(tmp_path, name):
    image, options, found_in, expected = READ[name]
    outcomes = []
    for format in (*FORMATS, "gif", "dds"):
        if format not in found_in:
            outcomes.append("")
            continue
        image.save(path := tmp_path / f"a{suffix_of(format)}", format.upper(), **options)
        picture = read_image(path)
        if expected is not None:
            wanted = np.asarray(expected).reshape(expected.height, expected.width, -1).astype(int)
            assert picture.pixels.shape == wanted.shape
            assert np.abs(picture.pixels - wanted).max() <= (40 if format in LOSSY else 0)
        outcomes.append("said" if picture.notes else "kept")
    assert cells("Read", name)[:-1] == outcomes


def test_the_transparency_of_a_palette_is_kept(tmp_path):
    for format in ("png", "gif"):
        PALETTE.save(tmp_path / "a", format.upper(), transparency=0)
        np.testing.assert_array_equal(read_image(tmp_path / "a").alpha == 0, np.asarray(PALETTE) == 0)

"""The table of docs/fidelity.md, property by property: kept means read back equal and without a note, said means a note."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from srcli.media.image import Picture, formats, read_image, write_image

DOCUMENT = Path(__file__).parents[2] / "docs" / "fidelity.md"
ROWS, COLUMNS = np.mgrid[0:37, 0:53]
PIXELS = np.stack([2 * COLUMNS + 40, 3 * ROWS + 30, COLUMNS + ROWS + 20], axis=2).astype(np.uint8)
ALPHA = (2 * COLUMNS + 60).astype(np.uint8)


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    return exif.tobytes().removeprefix(b"Exif\0\0")


PROPERTIES = {
    "8 bit": {"pixels": PIXELS},
    "16 bit": {"pixels": PIXELS.astype(np.uint16) * 257},
    "float": {"pixels": (PIXELS / 255).astype(np.float32)},
    "gray": {"pixels": PIXELS[..., :1].copy()},
    "alpha": {"alpha": ALPHA},
    "gray + alpha": {"pixels": PIXELS[..., :1].copy(), "alpha": ALPHA},
    "ICC profile": {"icc": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()},
    "EXIF": {"exif": _exif()},
    "XMP": {"xmp": b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'},
    "dpi": {"dpi": (300.0, 300.0)},
    "IPTC": {"iptc": b"\x1c\x02\x78\x00\x07caption"},
    "text": {"text": {"Title": "a picture"}},
    "comment": {"text": {"Comment": "a comment"}},
    "colour tag (cICP)": {"chunks": {b"cICP": bytes([9, 16, 0, 1])}},
}


def _is_kept(value: object, again: object) -> bool:
    if isinstance(value, np.ndarray):  # the values are lossy for JPEG, WebP and AVIF
        return isinstance(again, np.ndarray) and (again.shape, again.dtype) == (value.shape, value.dtype)
    if isinstance(value, tuple):
        return again == pytest.approx(value, abs=0.02)  # PNG has whole px a metre
    return b"maker" in again if value == PROPERTIES["EXIF"]["exif"] and isinstance(again, bytes) else again == value


@pytest.mark.parametrize("name", PROPERTIES)
def test_the_document_says_what_each_format_keeps(tmp_path, name):
    (line,) = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| {name} |")]
    outcome = []
    for format in formats():
        given = PROPERTIES[name]
        notes = write_image(Picture(**{"pixels": PIXELS, **given}), tmp_path / "a", format=format)
        again = read_image(tmp_path / "a")
        kept = all(_is_kept(value, getattr(again, key)) for key, value in given.items())
        outcome.append("said" if notes else "kept" if kept else "lost")
    assert [cell.strip() for cell in line.strip("|").split("|")][1:] == outcome

"""The formats: their names, suffixes and limits, and what tells one by its first bytes."""

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from srcli.errors import BadPicture, DamagedPicture
from srcli.media.sniff import looks_like_video

SEGMENT = 120  # frames of a video that are encoded together; the first of them is a key frame

# The first suffix of each format is the one it is given by name.
SUFFIXES = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".avif": "avif",
    ".bmp": "bmp",
    ".ppm": "ppm",
    ".pgm": "ppm",
    ".pbm": "ppm",
    ".pnm": "ppm",
    ".tga": "tga",
    ".gif": "gif",
    ".dds": "dds",
}

HEIC = (".heic", ".heif", ".hif")  # which the extra srcli[heic] reads

# Taken from folders so that a refusal is seen (HEIC needs an extra): a photo that is passed over in silence is a photo lost.
UNREADABLE = {*HEIC, ".heics", ".heifs", ".jxl", ".jp2"}
PICTURES = frozenset((*SUFFIXES, *UNREADABLE))

# Suffixes of what cameras write beside JPEG: TIFF in form, for the most part, with a preview as its first picture
CAMERA_RAW = (".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw", ".3fr", ".iiq", ".x3f")


class Format(NamedTuple):
    name: str
    largest: int  # px a side
    depth: int
    carries: str


FORMATS = {  # that can be written
    "png": Format("PNG", 2**31 - 1, 16, "gray alpha icc exif xmp dpi text chunks"),
    "jpeg": Format("JPEG", 65500, 8, "gray icc exif xmp dpi iptc comment"),  # libjpeg's most; the format has 65535
    "webp": Format("WebP", 16383, 8, "alpha icc exif xmp"),
    "avif": Format("AVIF", 32768, 8, "gray alpha icc exif xmp"),  # libavif writes 65536 but reads no more than this
    "tiff": Format("TIFF", 2**31 - 1, 32, "gray alpha icc exif xmp dpi iptc"),
    "bmp": Format("BMP", 2**31 - 1, 8, "gray dpi"),
    "ppm": Format("PPM", 2**31 - 1, 16, "gray"),
    "tga": Format("TGA", 65535, 8, "gray alpha"),
}


def suffix_of(format: str, channels: int = 3) -> str:
    """Give the usual suffix of a format, which PPM has for gray, too."""
    return ".pgm" if format == "ppm" and channels == 1 else next(key for key, name in SUFFIXES.items() if name == format)


def fits(suffix: str, format: str, channels: int) -> bool:
    """Tell whether a suffix, in small letters, is one of a format, and not that of PPM's other kinds: of 1 bit, or of gray."""
    return SUFFIXES.get(suffix) == format and suffix != ".pbm" and not (suffix == ".pgm" and channels > 1)


def size_limit(format: str) -> int:
    """Give the largest side in px that a format can be written with; GIF only as an animation."""
    return 65535 if format == "gif" else FORMATS[format].largest


_SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (8, b"WEBP", "webp"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "big-endian BigTIFF"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (0, b"BM", "bmp"),
    (0, b"DDS ", "dds"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL \r\n\x87\n", "JPEG XL"),
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"\0\0\1\0", "ICO"),
)


def kind_of(head: bytes, path: Path) -> str:
    """Tell the format by the first bytes."""
    if not head:
        raise DamagedPicture(f"'{path}' is empty")
    kind = next((name for offset, magic, name in _SIGNATURES if head[offset:].startswith(magic)), "")
    if head[4:8] == b"ftyp":
        brands = head[8 : int.from_bytes(head[:4], "big")]
        if b"avi" in brands[:4] or (b"avi" in brands and not looks_like_video(head)):
            kind = "avif"
        else:
            kind = "a video" if looks_like_video(head) else "camera raw" if brands.startswith(b"crx ") else "HEIC"
    elif looks_like_video(head):
        kind = "a video"
    elif re.match(rb"P[1-7fF]\s", head):
        kind = "ppm"
    elif re.match(rb"\s*(\xef\xbb\xbf)?<(svg|\?xml[^>]*>\s*(<!--((?!-->).)*-->\s*)*(<!DOCTYPE svg|<svg))", head, re.DOTALL):
        kind = "SVG"
    elif not kind and _begins_as_tga(head) and (path.suffix.lower() == ".tga" or _ends_as_tga(path)):
        kind = "tga"
    elif kind in ("", "tiff") and path.suffix.lower() in CAMERA_RAW:
        kind = "camera raw"
    if kind in SUFFIXES.values():
        return kind
    if kind == "HEIC":
        if find_spec("pillow_heif"):
            return "heic"
        raise BadPicture(f"'{path}' is HEIC: pip install 'srcli[heic]' reads it, or convert it to PNG or JPEG first")
    known = "PNG, JPEG, WebP, TIFF, AVIF, BMP, PPM, GIF, DDS, or .tga, and videos"
    if kind:
        raise BadPicture(f"'{path}' is {kind}, which srcli cannot read; convert it to PNG or JPEG first")
    raise BadPicture(f"'{path}' is no picture that srcli knows; it reads {known}")


def _begins_as_tga(head: bytes) -> bool:
    """Tell whether a header, which has no signature, can be that of a TGA: its kinds of palette, of coding, and bits a px."""
    return len(head) >= 18 and head[1] in (0, 1) and head[2] in (1, 2, 3, 9, 10, 11) and head[16] in (1, 8, 15, 16, 24, 32)


def _ends_as_tga(path: Path) -> bool:
    """Tell whether a file has the signature of a TGA of the second version."""
    with path.open("rb") as file:
        file.seek(-18, os.SEEK_END)
        return file.read() == b"TRUEVISION-XFILE.\0"

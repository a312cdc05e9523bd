"""What everyday files carry besides pixels, taken from Pillow as bytes."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from srcli.media.avif import is_lossless_avif
from srcli.media.picture import Quality
from srcli.media.webp import coding


class Metadata(NamedTuple):
    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None
    dpi: tuple[float, float] | None
    iptc: bytes | None


def metadata_of(image: ImageFile.ImageFile | None) -> Metadata:
    """Take everything as bytes, as the file has it: Pillow's EXIF parser raises on damage and drops what it does not know."""
    info = image.info if image else {}
    exif = info.get("exif") or _raw_profile(info, "exif") or b""
    xmp = info.get("xmp") or _raw_profile(info, "xmp")
    dpi = resolution(*info.get("dpi", ()))
    iptc = _iptc_of(image)
    return Metadata(info.get("icc_profile") or None, exif.removeprefix(b"Exif\0\0") or None, xmp or None, dpi, iptc or None)


def _raw_profile(info: Mapping[Any, Any], name: str) -> bytes | None:
    """Decode what ImageMagick hides in a PNG text chunk: name, length and hexadecimal digits."""
    match = re.match(r"\s*\S+\s+(\d+)\s+([0-9a-fA-F\s]*)", str(info.get(f"Raw profile type {name}", "")))
    if match is None:
        return None
    digits = "".join(match[2].split())[: 2 * int(match[1])]
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def resolution(*dpi: Any) -> tuple[float, float] | None:
    """Keep a resolution that makes sense; damaged headers hold fractions of zero and what not."""
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None  # nan fails both


def text_of(image: ImageFile.ImageFile | None) -> dict[str, str]:
    if isinstance(image, PngImageFile):
        info = image.info
        profiles = {"exif": _raw_profile(info, "exif"), "xmp": _raw_profile(info, "xmp"), "iptc": _iptc_of(image)}
        read = {"XML:com.adobe.xmp", *(f"Raw profile type {name}" for name, data in profiles.items() if data)}
        return {key: str(value) for key, value in image.text.items() if key not in read}
    comment = image.info.get("comment") if image else None
    if not comment:
        return {}
    return {"Comment": _decoded(comment) if isinstance(comment, bytes) else str(comment)}


def _decoded(comment: bytes) -> str:
    """Read a comment of JPEG or GIF, which do not say its encoding: UTF-8 only where it has letters beyond Latin-1."""
    with suppress(UnicodeDecodeError):
        if max(text := comment.decode()) > "\xff":
            return text
    return comment.decode("latin-1")


def encoded(comment: str) -> bytes:
    """Encode a comment for JPEG or GIF: Latin-1, or UTF-8 where that lacks a letter."""
    try:
        return comment.encode("latin-1")
    except UnicodeEncodeError:
        return comment.encode()


def _iptc_of(image: ImageFile.ImageFile | None) -> bytes | None:
    if isinstance(image, PngImageFile):
        profile = _raw_profile(image.info, "iptc") or b""
        match = re.match(rb"8BIM\x04\x04\0\0(.{4})", profile, re.DOTALL)
        return profile[12 : 12 + int.from_bytes(match[1], "big")] if match else None
    block = image.info.get("photoshop") if isinstance(image, JpegImageFile) else None
    data = block.get(0x0404) if isinstance(block, dict) else None  # 0x0404: IPTC-NAA record
    return data if isinstance(data, bytes) else None


_MOTION = re.compile(rb'((?:MotionPhoto|MicroVideo)(?:="|>))1')


def without_motion(xmp: bytes) -> bytes:
    """Say no more that a video follows."""
    return _MOTION.sub(rb"\g<1>0", xmp)


_SIDES = re.compile(rb"((?:exif:Pixel([XY])Dimension|tiff:Image(Width|Length))(?:=[\"']|>))\d+")


def resized(xmp: bytes, height: int, width: int) -> bytes:
    """Say how many px a picture has now."""
    return _SIDES.sub(lambda m: m[1] + b"%d" % (width if m[2] == b"X" or m[3] == b"Width" else height), xmp)


def quality_of(file: BinaryIO, image: ImageFile.ImageFile | None) -> Quality | None:
    if isinstance(image, JpegImageFile):
        return Quality(tuple(steps for _, steps in sorted(image.quantization.items())), max(get_sampling(image), 0))
    if image is not None and image.format == "AVIF":
        return Quality(lossless=is_lossless_avif(file))
    if isinstance(image, WebPImageFile):
        lossless, quantizer = coding(file)
        return Quality(lossless=lossless, quantizer=quantizer)
    return None

"""What everyday files carry besides pixels, taken from Pillow as bytes."""

import mmap
import os
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from itertools import takewhile
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.DdsImagePlugin import DdsImageFile
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile
from PIL.TgaImagePlugin import TgaImageFile
from PIL.WebPImagePlugin import WebPImageFile

from srcli.media.heic import losses_of_heic
from srcli.media.hollow import bmp_bits
from srcli.media.picture import Quality
from srcli.media.png import png_walk
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


# What segments of a JPEG begin with, and what is said of those that are not read; a checksum of the IPTC data has no use alone
_SEGMENTS = {
    b"JFIF\0": "",
    b"JFXX\0": "",
    b"Exif\0": "",
    b"http://ns.adobe.com/xap/1.0/\0": "",
    b"http://ns.adobe.com/xmp/ext": "extended XMP data",
    b"ICC_PROFILE\0": "",
    b"Adobe": "",  # how colours are coded
    b"Ducky": "",  # the quality
    b"MPF\0": "further pictures in the file (preview, gain map)",
    b"FLIR\0": "thermal data (FLIR)",
    b"Photoshop 3.0\0": "",
}
_CREDENTIALS = "content credentials (C2PA)"  # which are signed, with a checksum of the picture as it was
_NAMED = 9  # chunks at the most
_IPTC = {0x0404, 0x0425}
_MOTION = re.compile(rb'((?:MotionPhoto|MicroVideo)(?:="|>))1')
# iDOT: where the pixels may be decoded from; tIME: when they changed, which is now; the others are read, or told where
# a picture is animated
_CHUNKS = b"IHDR PLTE IDAT tRNS iCCP cHRM gAMA sRGB cICP pHYs eXIf tEXt zTXt iTXt acTL fcTL fdAT iDOT tIME".split()


def losses_of(file: BinaryIO, image: ImageFile.ImageFile | None) -> list[str]:
    """Name in one note what a JPEG, PNG, BMP, TGA or DDS holds that is not read."""
    left: list[str] = []
    if isinstance(image, JpegImageFile):
        left = [_segment(name, data) for name, data in image.applist if name != "COM"]
        left += ["Photoshop's own data (8BIM)"] * (not _IPTC.issuperset(image.info.get("photoshop", ())))
        left += ["the video of a motion photo"] * _has_video(file)
    elif isinstance(image, PngImageFile):
        chunks = takewhile(lambda chunk: chunk[0] != b"IEND", png_walk(file))
        names = dict.fromkeys(name.decode() for name, _ in chunks if name not in _CHUNKS and name.isalpha())
        left = [_CREDENTIALS] * ("caBX" in names)
        if others := [name for name in names if name != "caBX"][:_NAMED]:
            left.append(f"the PNG chunks {' '.join(others)}")
    elif isinstance(image, BmpImageFile) and image.mode == "RGB" and bmp_bits(file) == 32:
        left = ["the fourth byte of each px"] * _uses_fourth(file, image)
    elif isinstance(image, TgaImageFile):
        left = ["the image ID"] * ("id_section" in image.info) + ["the extension area"] * _has_extension(file)
    elif isinstance(image, DdsImageFile):
        left = _losses_of_dds(file)
    elif image and image.format == "HEIF":
        left = losses_of_heic(image)
    named = list(dict.fromkeys(filter(None, left)))
    return [f"not kept: {', '.join(named)}"] if named else []


def _segment(name: str, data: bytes) -> str:
    if name == "APP11" and b"jumb" in data[:32]:
        return _CREDENTIALS
    return next((said for start, said in _SEGMENTS.items() if data.startswith(start)), f"the segment {name}")


def _has_video(file: BinaryIO) -> bool:
    """Tell whether an MP4 or MOV stands behind the picture."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.rfind(b"ftyp")
        return at > 4 and data[at - 4 : at - 1] == bytes(3)


def _uses_fourth(file: BinaryIO, image: ImageFile.ImageFile) -> bool:
    """Tell whether the bytes that a BMP of 32 bits has besides its colours are not all the same."""
    file.seek(10)
    rest = np.memmap(file, np.uint8, "r", int.from_bytes(file.read(4), "little"))[3 : 4 * image.width * image.height : 4]
    return bool(rest.min() < rest.max())


def _has_extension(file: BinaryIO) -> bool:
    """Tell whether a TGA of the second version has more to say: author, software, gamma, a thumbnail, and so on."""
    file.seek(-26, os.SEEK_END)
    footer = file.read()
    return footer[8:24] == b"TRUEVISION-XFILE" and any(footer[:8])


def _losses_of_dds(file: BinaryIO) -> list[str]:
    file.seek(8)
    flags, *_, mipmaps = struct.unpack("<6I", file.read(24))
    file.seek(112)
    (further,) = struct.unpack("<I", file.read(4))
    names = {0x200: "further sides of the cube", 0x200000: "further slices of the volume"}
    return ["the smaller copies (mipmaps)"] * (bool(flags & 0x20000) and mipmaps > 1) + [
        name for bit, name in names.items() if further & bit
    ]


def without_motion(xmp: bytes) -> bytes:
    """Say no more that a video follows."""
    return _MOTION.sub(rb"\g<1>0", xmp)


def quality_of(file: BinaryIO, image: ImageFile.ImageFile | None) -> Quality | None:
    if isinstance(image, JpegImageFile):
        return Quality(tuple(steps for _, steps in sorted(image.quantization.items())), max(get_sampling(image), 0))
    return _quality_of_webp(file) if isinstance(image, WebPImageFile) else None


def _quality_of_webp(file: BinaryIO) -> Quality:
    lossless, quantizer = coding(file)
    return Quality(lossless=lossless, quantizer=quantizer)

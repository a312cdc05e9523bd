"""What everyday files hold that is not read, named in a note."""

import mmap
import os
from collections.abc import Collection, Iterator
from itertools import takewhile
from typing import BinaryIO

import numpy as np
from PIL import ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.DdsImagePlugin import DdsImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TgaImagePlugin import TgaImageFile

from srcli.media.avif import outer_boxes
from srcli.media.dds import losses_of_dds
from srcli.media.hollow import bmp_bits
from srcli.media.png import png_walk
from srcli.media.webp import chunks

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
_SIGNED = {"caBX", "C2PA"}  # chunks of them, of PNG and WebP
_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # of their box in AVIF and HEIC
_NAMED = 9  # chunks at the most
_IPTC = {0x0404, 0x0425}
# iDOT: where the pixels may be decoded from; tIME: when they changed, which is now; the others are read, or told where
# a picture is animated
_CHUNKS = b"IHDR PLTE IDAT tRNS iCCP cHRM gAMA sRGB cICP pHYs eXIf tEXt zTXt iTXt acTL fcTL fdAT iDOT tIME".split()
_RIFF = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "}


def losses_of(file: BinaryIO, image: ImageFile.ImageFile | None) -> list[str]:
    """Name in one note what a file holds that is not read; of a TIFF and a PPM nothing."""
    named = list(dict.fromkeys(filter(None, _losses(file, image)))) if image else []
    return [f"not kept: {', '.join(named)}"] if named else []


def _losses(file: BinaryIO, image: ImageFile.ImageFile) -> list[str]:
    if isinstance(image, JpegImageFile):
        return [
            *[_segment(name, data) for name, data in image.applist if name != "COM"],
            *["Photoshop's own data (8BIM)"] * (not _IPTC.issuperset(image.info.get("photoshop", ()))),
            *["the video of a motion photo"] * _has_video(file),
        ]
    if isinstance(image, PngImageFile):
        width, height = image.info.get("aspect", (1, 1))
        return [*_others(_of_png(file), _CHUNKS, "PNG"), *["the shape of the px (pHYs)"] * (width != height)]
    if isinstance(image, BmpImageFile) and image.mode == "RGB" and bmp_bits(file) == 32:
        return ["the fourth byte of each px"] * _uses_fourth(file, image)
    if isinstance(image, TgaImageFile):
        return ["the image ID"] * ("id_section" in image.info) + ["the extension area"] * _has_extension(file)
    if isinstance(image, DdsImageFile):
        return losses_of_dds(file, image)
    if image.format == "WEBP":
        return _others((name for name, _ in chunks(file)), _RIFF, "WebP")
    if image.format == "AVIF":
        return [_CREDENTIALS] * _has_credentials(file)
    if image.format == "HEIF":
        info = image.info
        light = {"content_light_level", "mastering_display_colour_volume", "ambient_viewing_environment"} & set(info)
        return [
            *["further pictures in the file (depth, gain map)"] * bool(info["depth_images"] or info["aux"]),
            *["further metadata"] * bool(info["metadata"]),
            *["the shape of the px"] * (len(set(info.get("pixel_aspect_ratio", ()))) > 1),
            *["how bright the picture is meant to be shown (HDR)"] * bool(light),
            *[_CREDENTIALS] * _has_credentials(file),
        ]
    return []


def _others(found: Iterator[bytes], known: Collection[bytes], format: str) -> list[str]:
    """Name chunks that are not among the known ones."""
    names = dict.fromkeys(name.decode().strip() for name in found if name not in known and name.strip().isalnum())
    others = [name for name in names if name not in _SIGNED][:_NAMED]
    return [_CREDENTIALS] * any(name in _SIGNED for name in names) + [f"the {format} chunks {' '.join(others)}"] * bool(others)


def _of_png(file: BinaryIO) -> Iterator[bytes]:
    return takewhile(b"IEND".__ne__, (name for name, _ in png_walk(file)))


def _has_credentials(file: BinaryIO) -> bool:
    """Tell whether a box of an AVIF or HEIC, at the outmost level, holds content credentials."""
    for name, start, _ in list(outer_boxes(file)):
        file.seek(start + 8)
        if name == b"uuid" and file.read(16) == _C2PA:
            return True
    return False


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
    file.seek(max(file.seek(0, os.SEEK_END) - 26, 0))
    footer = file.read()
    return footer[8:24] == b"TRUEVISION-XFILE" and any(footer[:8])

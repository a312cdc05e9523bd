"""Opening files: kind, size and depth from the header, errors in one line; Pillow opens everyday files."""

import ctypes
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageFile, PngImagePlugin, _imaging
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TgaImagePlugin import MODES, TgaImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from srcli.errors import BadPicture, DamagedPicture, first_line
from srcli.media.avif import is_deep_avif
from srcli.media.dds import open_dds
from srcli.media.exif import orientation_of
from srcli.media.formats import kind_of
from srcli.media.heic import heic_depth, open_heic
from srcli.media.hollow import refuse_hollow, refuse_hollow_tiff
from srcli.media.metadata import metadata_of, quality_of
from srcli.media.picture import Array, Quality
from srcli.media.pixels import upright
from srcli.media.png import png_exif, png_type
from srcli.media.ppm import ppm_header
from srcli.media.tiff import PIXELS_READ, tiff_tags

MAX_PIXELS = 10**9  # Pillow's own limit is a global that raises at 0.18 gigapixels and warns at half of that
# Pillow takes a PNG whose profile or text has more than a MiB for an attack; profiles of printers have two
PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, 2**26)
PngImagePlugin.MAX_TEXT_MEMORY = max(PngImagePlugin.MAX_TEXT_MEMORY, 2**28)
GRAY = ("1", "L", "LA", "La", "I;16", "F")  # modes of Pillow without colour


_CUT = r"truncated|end of file|\(chunk b'\w{0,3}'\)"  # what reasons say of data that end early; a PNG's chunks have 4 letters


class Probe(NamedTuple):
    """What the header of a picture says; the size is that of the upright picture."""

    height: int
    width: int
    channels: int  # 1 or 3, without alpha
    alpha: bool
    depth: int  # bits a channel: 8, 16 or 32
    format: str
    jpeg: int | None = None  # the quality of a JPEG, as `Quality` has it
    webp: int | None = None  # the quantizer of a lossy WebP
    lossless: bool = False  # a WebP or AVIF


class Header(NamedTuple):
    """An opened file, its pixels not yet decoded."""

    image: ImageFile.ImageFile | None  # None for a TIFF that is not for Pillow, such as one of more than 8 bits
    facts: Probe
    orientation: int  # still to be applied


def probe(path: Path) -> Probe:
    """Read size and kind from the header, decoding no pixels; raise BadPicture."""
    with reading(path), opened(path) as file:
        return open_header(file, path, MAX_PIXELS).facts


def opened(path: Path) -> BinaryIO:
    """Open a file to be read; raise BadPicture for a FIFO, where that would be to wait for its writer."""
    if path.is_fifo():
        raise BadPicture(f"'{path}' is not a regular file")
    return path.open("rb")


def open_frames(file: BinaryIO, path: Path, max_pixels: int) -> tuple[ImageFile.ImageFile, Callable[[Array], Array]]:
    """Open what may be animated, to seek in, with what turns an array of it upright; call it within `reading`."""
    header = open_header(file, path, max_pixels)
    if header.image is None:
        raise BadPicture(f"'{path}' is not animated")
    return header.image, partial(upright, orientation=header.orientation)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a library raises or warns of into one line."""
    try:
        with quiet():
            yield
    except BadPicture as error:
        text = str(error)
        raise error if str(path) in text else BadPicture(f"'{path}' has {text}") from error
    except MemoryError as error:
        raise BadPicture(f"'{path}' needs more memory than there is") from error
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise BadPicture(f"cannot read '{path}': {error.strerror}") from error
        reason = first_line(error)
        if isinstance(error, NotImplementedError) or reason.startswith("Unsupported "):  # of Pillow, of a DDS or BMP
            raise BadPicture(f"'{path}' is of a kind that srcli cannot read; convert it to PNG first: {reason}") from error
        causes = (error, error.__cause__)  # Pillow puts some into errors of its own
        short = any(isinstance(each, EOFError | struct.error) for each in causes)
        truncated = short or re.search(_CUT, reason, re.IGNORECASE)
        raise DamagedPicture(f"'{path}' is truncated" if truncated else f"'{path}' is damaged: {reason}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings of odd metadata from the user; two threads at once may at worst silence Pillow for longer."""
    _silence_libtiff()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


@cache
def _silence_libtiff() -> None:
    """Keep libtiff, which Pillow brings along, from printing what it also reports: lines of a "tempfile.tif"."""
    with suppress(OSError, AttributeError):  # a Pillow without it, or that has it built in, as on Windows
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def open_header(file: BinaryIO, path: Path, max_pixels: int) -> Header:
    """Open by content; Pillow's class is called directly because Image.open applies a global limit of pixels."""
    if not path.is_file():
        raise BadPicture(f"'{path}' is not a regular file")
    format = kind_of(file.read(512), path)
    file.seek(0)
    try:
        header = _open_tiff(file) if format == "tiff" else _open_everyday(file, format)
    except Image.DecompressionBombError as error:
        raise BadPicture(f"'{path}' is damaged: a frame is larger than the picture") from error
    height, width = header.facts.height, header.facts.width
    if height * width > max_pixels:
        raise BadPicture(f"'{path}' has {width} x {height} = {width * height:,} pixels, the limit is {max_pixels:,}")
    if height < 1 or width < 1:
        raise BadPicture(f"'{path}' is damaged: it has no pixels")
    if format == "tiff":
        tags = tiff_tags(file)
        if tags.get(254, 0) & 1 and 330 in tags:  # a reduced picture, and directories that only it knows
            raise BadPicture(f"'{path}' begins with a preview, as camera raw files do; develop it first")
        refuse_hollow_tiff(file, tags)
    elif header.image:
        refuse_hollow(file, header.image, format)
    return header


def _open_tga(file: BinaryIO) -> ImageFile.ImageFile:
    """Open a TGA; raise NotImplementedError for one of those that Pillow opens, but cannot load, or not right."""
    head = file.read(18)
    file.seek(0)
    palette, kind, palette_bits, bits = head[1], head[2] & 7, head[7], head[16]
    if head[17] >> 6:  # Pillow would take the rows as they come
        raise NotImplementedError("TGA with interleaved rows")
    if (kind, bits) not in MODES or palette != (kind == 1) or (palette and palette_bits not in (16, 24, 32)):
        colours = f", a palette of {palette_bits}" if palette else ""
        raise NotImplementedError(f"TGA of type {head[2]}, {bits} bits a px{colours}")
    return TgaImageFile(file)


_OPENERS: dict[str, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    "png": PngImageFile,
    "jpeg": JpegImageFile,
    "webp": WebPImageFile,
    "avif": AvifImageFile,
    "bmp": BmpImageFile,
    "ppm": PpmImageFile,
    "gif": GifImageFile,
    "tga": _open_tga,
    "dds": open_dds,
    "heic": open_heic,
}


def _open_everyday(file: BinaryIO, format: str) -> Header:
    image = _OPENERS[format](file)
    depth, channels = 8, 1 if image.mode in GRAY else 3
    if format == "png":
        bits, colour = png_type(file)
        if "exif" not in image.info and (exif := png_exif(file)):
            image.info["exif"] = exif
        depth, channels = max(bits, 8), 1 if colour in (0, 4) else 3
        if colour == 0 and bits in (2, 4) and "transparency" in image.info:  # Pillow makes 8 bits of the samples only
            image.info["transparency"] *= 255 // (2**bits - 1)
    elif format == "avif":
        depth = 16 if is_deep_avif(file, image) else 8
    elif format == "heic":
        depth = 16 if heic_depth(image) > 8 else 8
    elif format == "ppm":
        magic, _, _, most, _ = ppm_header(file)
        depth = 32 if image.mode == "F" else 16 if most > 255 else 8
        channels = 1 if magic in (b"P2", b"P5") else channels
    orientation = orientation_of(metadata_of(image).exif)
    height, width = (image.width, image.height) if orientation >= 5 else (image.height, image.width)
    quality = quality_of(file, image) or Quality()
    alpha, coded = image.has_transparency_data, (quality.jpeg, quality.quantizer, quality.lossless)
    facts = Probe(height, width, channels, alpha, depth, format, *coded)
    return Header(image, facts, orientation)


def _open_tiff(file: BinaryIO) -> Header:
    tags = tiff_tags(file)
    bits, kinds = np.max(tags.get(258, 1)), np.atleast_1d(tags.get(339, 1))
    photometric, orientation = tags.get(262, 1), tags.get(ExifTags.Base.Orientation, 1)
    if photometric == 5 and tags.get(277, 1) > 4:
        raise BadPicture("CMYK with a further channel; srcli reads CMYK alone")
    meaning, in_planes = np.atleast_1d(tags.get(338, 0))[0], tags.get(284, 1) == 2
    unknown = meaning in (1, 2) and (in_planes or (meaning == 1 and photometric != 2))  # to Pillow, in 8 bits
    if 2 in kinds and bits >= 8:  # which Pillow would take for unsigned
        raise BadPicture(f"pixels of type int{bits}; {PIXELS_READ}")
    deep = photometric in (0, 1, 2) and (bits > 8 or 3 in kinds or (bits == 8 and unknown))
    if not deep:
        file.seek(0)
        image = TiffImageFile(file)  # has already turned the size, and will turn the pixels
        channels = 1 if image.mode in GRAY else 3
        return Header(image, Probe(image.height, image.width, channels, image.has_transparency_data, 8, "tiff"), 1)
    height, width = int(tags.get(257, 0)), int(tags.get(256, 0))
    if orientation in (5, 6, 7, 8):
        height, width = width, height
    depth = 32 if 3 in kinds or bits > 16 else 16 if bits > 8 else 8
    colours = 3 if photometric == 2 else 1
    alpha = meaning in (1, 2) and tags.get(277, 1) > colours  # there are files that name a sample they do not have
    facts = Probe(height, width, colours, alpha, depth, "tiff")
    return Header(None, facts, orientation)

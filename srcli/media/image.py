"""Picture files to pixel arrays and back, with everything they carry; knows no tensors.

The kind of a file is told by its first bytes. Pillow reads everyday stills and all metadata; imageio (pyav) and
tifffile read what has more than 8 bits, which Pillow would silently reduce. A picture is read whole or refused: one
whose data end early is "truncated", even where most of it would decode. Animations give their first frame and a note.
"""

import io
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from srcli.errors import BadPicture
from srcli.files import atomic, make_folder

MAX_PIXELS = 10**9  # Pillow's own limit is a global that raises at 0.18 gigapixels and warns at half of that
PNG_LEVEL = 1  # with the Up filter a 4K picture takes 0.2 s; level 6 takes 5 times as long and saves a tenth

Array = np.ndarray

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
    ".gif": "gif",
}


class Quality(NamedTuple):
    """How a lossy file was coded, so that the result is coded no worse."""

    tables: tuple[list[int], ...] = ()  # JPEG quantisation, 64 steps each
    subsampling: int = 0  # JPEG: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0
    lossless: bool = False  # WebP


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One still: pixels upright, metadata as bytes, and what reading could not keep."""

    pixels: Array  # (H, W, 1 or 3) uint8, uint16, or float32 in [0, 1]
    alpha: Array | None = None  # (H, W), same dtype
    icc: bytes | None = None
    exif: bytes | None = None  # from the TIFF header on, orientation 1
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    iptc: bytes | None = None  # of a JPEG, without the rest of Photoshop's block
    text: Mapping[str, str] = field(default_factory=dict)  # PNG text chunks, JPEG and GIF comment
    chunks: Mapping[bytes, bytes] = field(default_factory=dict)  # PNG colour chunks besides the profile
    format: str = ""  # told by content: "png", "jpeg", "webp", "tiff", "avif", "bmp", "ppm", "gif"
    quality: Quality | None = None
    notes: tuple[str, ...] = ()


class Probe(NamedTuple):
    """What the header of a picture says; the size is that of the upright picture."""

    height: int
    width: int
    channels: int  # 1 or 3, without alpha
    alpha: bool
    depth: int  # bits a channel: 8, 16 or 32
    format: str


class _Format(NamedTuple):
    name: str
    largest: int  # px a side
    depth: int
    carries: str


_FORMATS = {
    "png": _Format("PNG", 2**31 - 1, 16, "gray alpha icc exif xmp dpi text chunks"),
    "jpeg": _Format(
        "JPEG", 65500, 8, "gray icc exif xmp dpi iptc comment"
    ),  # libjpeg's JPEG_MAX_DIMENSION; the format has 65535
    "webp": _Format("WebP", 16383, 8, "alpha icc exif xmp"),
    "avif": _Format("AVIF", 32768, 8, "gray alpha icc exif xmp"),  # libavif writes 65536 but reads no more than this
    "tiff": _Format("TIFF", 2**31 - 1, 32, "gray alpha icc exif xmp dpi"),
    "bmp": _Format("BMP", 2**31 - 1, 8, "gray dpi"),
    "ppm": _Format("PPM", 2**31 - 1, 16, "gray"),
}

_METADATA = {
    "icc": "the colour profile",
    "exif": "the EXIF data",
    "xmp": "the XMP data",
    "dpi": "the resolution in dpi",
    "iptc": "the IPTC data",
    "text": "the text",
    "chunks": "the colour tags",
}


def formats() -> tuple[str, ...]:
    """List the formats that can be written."""
    return tuple(_FORMATS)


def suffix_of(format: str) -> str:
    """Give the usual suffix of a format."""
    return next(suffix for suffix, name in SUFFIXES.items() if name == format)


def size_limit(format: str) -> int:
    """Give the largest side in px that a format can be written with; GIF only as an animation."""
    return 65535 if format == "gif" else _FORMATS[format].largest


def probe(path: Path, *, max_pixels: int = MAX_PIXELS) -> Probe:
    """Read size and kind from the header, decoding no pixels; raise BadPicture."""
    with reading(path), path.open("rb") as file:
        return _open(file, path, max_pixels).facts


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture with all it carries, turned upright; raise BadPicture in one line."""
    with reading(path), path.open("rb") as file:
        header = _open(file, path, max_pixels)
        image, facts = header.image, header.facts
        chunks = _png_chunks(file) if facts.format == "png" else _avif_chunks(file) if facts.format == "avif" else {}
        if image is None:
            pixels, alpha, notes = _read_deep_tiff(file)
        elif facts.format == "png" and facts.depth == 16:
            pixels, alpha, notes = _read_png16(file, image)
        elif facts.format == "ppm" and facts.depth == 16:
            pixels, alpha, notes = _read_ppm16(file), None, []
        else:
            pixels, alpha, notes = _read_everyday(image)
        icc, exif, xmp, dpi = _tiff_metadata(file) if facts.format == "tiff" else _metadata(image)
        if exif is not None and not any(True for _ in _entries(exif)):
            exif = None
            notes.append("damaged EXIF data are not kept")
        if icc is not None and icc[16:20] not in (b"RGB ", b"GRAY"):
            icc = None  # of CMYK or Lab, which the pixels no longer are
        if facts.format == "avif" and (bits := _avif_depth(file)) > 8:
            notes.append(f"{bits} bits reduced to 8")
        return Picture(
            pixels=_upright(pixels, header.orientation),
            alpha=None if alpha is None else _upright(alpha, header.orientation),
            icc=icc,
            exif=exif and _patched(exif, {ExifTags.Base.Orientation: 1}),
            xmp=xmp and re.sub(rb'(tiff:Orientation(?:="|>))\d', rb"\g<1>1", xmp),
            dpi=dpi,
            iptc=_iptc(image),
            text=_text(image),
            chunks=chunks,
            format=facts.format,
            quality=_quality(file, image),
            notes=(*notes, *_losses(image)),
        )


def to_srgb(picture: Picture) -> Picture:
    """Convert the colours from the picture's profile to sRGB, which needs none; what cannot be keeps it and a note."""
    if picture.icc is None:
        return picture
    if picture.pixels.dtype != np.uint8:
        return replace(picture, notes=(*picture.notes, "colours of more than 8 bits are not converted: the profile is kept"))
    gray = picture.pixels.shape[2] == 1
    image = Image.fromarray(picture.pixels[..., 0] if gray else picture.pixels)
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(picture.icc))
        intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
        if gray and picture.icc[16:20] != b"GRAY":
            image = image.convert("RGB")
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), intent, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError):
        converted = None
    if converted is None:
        return replace(picture, notes=(*picture.notes, "the colour profile is damaged: not converted, but kept"))
    pixels = np.array(converted)[..., : 1 if gray else 3]
    return replace(picture, pixels=np.ascontiguousarray(pixels), icc=None, chunks={})


def write_image(
    picture: Picture,
    path: Path,
    *,
    format: str | None = None,
    quality: int | None = None,
    png_level: int = PNG_LEVEL,
) -> tuple[str, ...]:
    """Write a picture whole or not at all and say in one line each what the format could not carry.

    Without `quality` a JPEG is coded no coarser than the JPEG it came from and no coarser than quality 92 (others: 95,
    4:4:4), WebP at 95 (lossless if the source was) and AVIF at 90. Raises BadPicture, and BadFolder for the folder.
    """
    format = format or SUFFIXES.get(path.suffix.lower(), "")
    if format not in _FORMATS:
        raise BadPicture(f"cannot write '{path}': the formats are {', '.join(_FORMATS)}")
    height, width = picture.pixels.shape[:2]
    if max(height, width) > size_limit(format):
        raise BadPicture(
            f"cannot write '{path}': {width} x {height} px is more than the {size_limit(format)} of {format.upper()}"
        )
    picture, notes = _fitted(picture, format)
    make_folder(path.parent)
    try:
        with quiet(), atomic(path) as temporary:
            if format == "png":
                _write_png(picture, temporary, png_level)
            elif format == "tiff":
                _write_tiff(picture, temporary)
            elif format == "ppm" and picture.pixels.dtype == np.uint16:
                _write_ppm16(picture, temporary)
            else:
                _write_everyday(picture, temporary, format, quality)
    except OSError as error:
        raise BadPicture(f"cannot write '{path}': {error.strerror or error}") from error
    except Exception as error:
        raise BadPicture(f"cannot write '{path}': {_one_line(error)}") from error
    return notes


# Opening


def open_frames(file: BinaryIO, path: Path, max_pixels: int) -> tuple[ImageFile.ImageFile, Callable[[Array], Array]]:
    """Open what may be animated, to seek in, with what turns an array of it upright; call it within `reading`."""
    header = _open(file, path, max_pixels)
    if header.image is None:
        raise BadPicture(f"'{path}' is not animated")
    return header.image, partial(_upright, orientation=header.orientation)


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
        reason = _one_line(error)
        truncated = "truncated" in reason or isinstance(error, EOFError)
        raise BadPicture(f"'{path}' is truncated" if truncated else f"'{path}' is damaged: {reason}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings of odd metadata from the user; two threads at once may at worst silence Pillow for longer."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


_OPENERS: dict[str, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    "png": PngImageFile,
    "jpeg": JpegImageFile,
    "webp": WebPImageFile,
    "bmp": BmpImageFile,
    "ppm": PpmImageFile,
    "gif": GifImageFile,
}


class _Header(NamedTuple):
    """An opened file, its pixels not yet decoded."""

    image: ImageFile.ImageFile | None  # None for a TIFF of more than 8 bits: Pillow does not know them all
    facts: Probe
    orientation: int  # still to be applied


def _open(file: BinaryIO, path: Path, max_pixels: int) -> _Header:
    """Open by content; Pillow's class is called directly because Image.open applies a global limit of pixels."""
    if not path.is_file():
        raise BadPicture(f"'{path}' is not a regular file")
    format = _kind(file.read(512), path)
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
    return header


def _open_everyday(file: BinaryIO, format: str) -> _Header:
    if format == "avif":
        from PIL.AvifImagePlugin import AvifImageFile

        image: ImageFile.ImageFile = AvifImageFile(file)
    else:
        image = _OPENERS[format](file)
    depth, channels = 8, 1 if image.mode in _GRAY else 3
    if format == "png":
        bits, colour = _png_type(file)
        depth, channels = max(bits, 8), 1 if colour in (0, 4) else 3
    elif format == "ppm":
        depth = 32 if image.mode == "F" else 16 if _ppm_header(file)[3] > 255 else 8
    orientation = _orientation(_metadata(image).exif)
    height, width = (image.width, image.height) if orientation >= 5 else (image.height, image.width)
    facts = Probe(height, width, channels, image.has_transparency_data, depth, format)
    return _Header(image, facts, orientation)


def _open_tiff(file: BinaryIO) -> _Header:
    tags = _tiff_tags(file)
    bits, kinds = np.max(tags.get(258, 1)), np.atleast_1d(tags.get(339, 1))
    photometric, orientation = tags.get(262, 1), tags.get(ExifTags.Base.Orientation, 1)
    deep = photometric in (0, 1, 2) and (bits > 8 or 3 in kinds)
    if not deep:
        file.seek(0)
        image = TiffImageFile(file)  # has already turned the size, and will turn the pixels
        channels = 1 if image.mode in _GRAY else 3
        return _Header(image, Probe(image.height, image.width, channels, image.has_transparency_data, 8, "tiff"), 1)
    height, width = int(tags.get(257, 0)), int(tags.get(256, 0))
    if orientation in (5, 6, 7, 8):
        height, width = width, height
    alpha = np.atleast_1d(tags.get(338, 0))[0] in (1, 2)
    depth = 32 if 3 in kinds or bits > 16 else 16
    return _Header(None, Probe(height, width, 3 if photometric == 2 else 1, alpha, depth, "tiff"), orientation)


def _tiff_tags(file: BinaryIO) -> ImageFileDirectory_v2:
    file.seek(0)
    head = file.read(8)
    tags = ImageFileDirectory_v2(head + file.read(8) if 43 in head[2:4] else head)
    file.seek(tags.next)
    tags.load(file)
    return tags


_SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (8, b"WEBP", "webp"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (0, b"BM", "bmp"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL \r\n\x87\n", "JPEG XL"),
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
)


def _kind(head: bytes, path: Path) -> str:
    """Tell the format by the first bytes."""
    if not head:
        raise BadPicture(f"'{path}' is empty")
    kind = next((name for offset, magic, name in _SIGNATURES if head[offset:].startswith(magic)), "")
    if head[4:8] == b"ftyp":
        brands = head[8 : int.from_bytes(head[:4], "big")]
        kind = "avif" if b"avi" in brands else "HEIC" if re.search(rb"hei|hev|mif1|msf1", brands) else "a video"
    elif re.match(rb"P[1-7fF]\s", head):
        kind = "ppm"
    elif re.match(rb"\s*(\xef\xbb\xbf)?<(svg|\?xml[^>]*>\s*(<!--.*?-->\s*)*(<!DOCTYPE svg|<svg))", head, re.DOTALL):
        kind = "SVG"
    if kind in SUFFIXES.values():
        return kind
    known = "PNG, JPEG, WebP, TIFF, AVIF, BMP, PPM or GIF"
    if kind:
        raise BadPicture(f"'{path}' is {kind}, which srcli cannot read; convert it to PNG or JPEG first")
    raise BadPicture(f"'{path}' is no picture that srcli knows; it reads {known}")


def _png_type(file: BinaryIO) -> tuple[int, int]:
    """Bits a channel and colour type: 0 gray, 2 RGB, 3 palette, 4 gray + alpha, 6 RGBA."""
    file.seek(24)
    bits, colour = file.read(2)
    return bits, colour


def _png_chunks(file: BinaryIO) -> dict[bytes, bytes]:
    """Collect the colour chunks that Pillow does not hand over, and make sure that the file is complete."""
    chunks: dict[bytes, bytes] = {}
    file.seek(8)
    while len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        if name == b"IEND":
            return chunks
        if name in (b"cHRM", b"gAMA", b"sRGB", b"cICP") and size <= 32:
            chunks[name] = file.read(size)
            size = 0
        file.seek(size + 4, io.SEEK_CUR)
    raise EOFError("no IEND chunk")


def _avif_chunks(file: BinaryIO) -> dict[bytes, bytes]:
    """Give the colour box that Pillow drops (BT.2020, PQ, HLG) as PNG has it; the matrix belongs to YCbCr and goes."""
    file.seek(0)
    head = file.read(65536)
    start = head.find(b"colrnclx")  # ISO/IEC 14496-12, 12.1.5: primaries, transfer, matrix, range
    primaries, transfer = struct.unpack_from(">HH", head, start + 8) if 0 <= start < len(head) - 12 else (2, 2)
    # 2 is unspecified; 1 with 1, 6 or 13 is what everyone takes for sRGB
    plain = primaries in (1, 2) and transfer in (1, 2, 6, 13)
    return {} if plain or max(primaries, transfer) > 255 else {b"cICP": bytes([primaries, transfer, 0, 1])}


def _avif_depth(file: BinaryIO) -> int:
    file.seek(0)
    head = file.read(65536)
    start = head.find(b"av1C")  # AV1 in ISOBMFF, 2.3.3: the third byte holds high_bitdepth and twelve_bit
    flags = head[start + 6] if 0 <= start < len(head) - 6 else 0
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _quality(file: BinaryIO, image: ImageFile.ImageFile | None) -> Quality | None:
    if isinstance(image, JpegImageFile):
        return Quality(tuple(image.quantization.values()), max(get_sampling(image), 0))
    return Quality(lossless=_webp_lossless(file)) if isinstance(image, WebPImageFile) else None


def _webp_lossless(file: BinaryIO) -> bool:
    file.seek(12)
    while len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name in (b"VP8 ", b"VP8L", b"ANMF"):
            return bool(name == b"VP8L")
        file.seek(size + size % 2, io.SEEK_CUR)
    return False


# Pixels

_GRAY = ("1", "L", "LA", "La", "I;16", "F")


def _read_everyday(image: ImageFile.ImageFile) -> tuple[Array, Array | None, list[str]]:
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"only the first of {frames} {'pages' if isinstance(image, TiffImageFile) else 'frames'} is read")
    image.load()
    still: Image.Image = image
    if image.mode == "CMYK":
        still, note = _from_cmyk(image)
        notes.append(note)
    elif image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        still = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
        notes.append("Lab converted to sRGB")
    if still.mode == "F":
        return _in_range(np.asarray(still)[..., None]), None, notes
    gray = still.mode in _GRAY
    if still.has_transparency_data:
        array = np.asarray(still.convert("RGBA"))
        # gray + transparency goes through RGBA: Pillow's direct way to LA forgets the transparent level of some modes
        return array[..., : 1 if gray else 3].copy(), array[..., 3].copy(), notes
    array = np.array(still.convert("L" if gray else "RGB"))
    return (array[..., None] if gray else array), None, notes


def _in_range(array: Array) -> Array:
    array = array.astype(np.float32)
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise BadPicture("floating point pixels outside [0, 1]; scale them to it first")
    return array


def _from_cmyk(image: Image.Image) -> tuple[Image.Image, str]:
    """Convert to sRGB through the picture's own profile, or plainly where it has none that works."""
    if icc := image.info.get("icc_profile"):
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, own, srgb, intent, "RGB", flags=flags)
        except ImageCms.PyCMSError:
            return image.convert("RGB"), "CMYK converted to RGB without its profile, which is damaged"
        if converted is not None:
            return converted, "CMYK converted to sRGB through its profile, which is not kept"
    return image.convert("RGB"), "CMYK converted to RGB"


def _read_png16(file: BinaryIO, image: ImageFile.ImageFile) -> tuple[Array, Array | None, list[str]]:
    import imageio.v3 as iio

    _, _, notes = _read_everyday(image)  # 8 bits, thrown away: ffmpeg takes a damaged stream for a whole one
    _, colour = _png_type(file)
    gray, alpha = colour in (0, 4), image.has_transparency_data
    # read as rgba64: the default of 16-bit gray + alpha is 8-bit RGB
    format = "rgba64le" if alpha else "gray16le" if gray else "rgb48le"
    file.seek(0)
    array = iio.imread(file, plugin="pyav", extension=".png", index=0, format=format)
    array = array.reshape(*array.shape[:2], -1)  # (H, W, 1, 3 or 4)
    return array[..., : 1 if gray else 3].copy(), array[..., 3].copy() if alpha else None, notes


def _read_deep_tiff(file: BinaryIO) -> tuple[Array, Array | None, list[str]]:
    """Read the first page, of 16 bits or of floating point in [0, 1]."""
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it logs of damage is not for stderr
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page, pages = tiff.pages.first, len(tiff.pages)
        kind = page.dtype.kind if page.dtype else "?"
        if kind not in "uf" or page.dtype in (np.uint8, np.uint32, np.uint64):
            raise BadPicture(f"pixels of type {page.dtype}; srcli reads 8 and 16 bits and floating point")
        ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
        # tifffile fills what is missing with zeros; deflate and LZW pack no more than 1032 to 1
        if not ends or max(ends) > tiff.filehandle.size or page.nbytes > 1100 * sum(page.databytecounts):
            raise EOFError("pixels are missing")
        array = _tiff_pixels(file, page)
    notes = [f"only the first of {pages} pages is read"] if pages > 1 else []
    if kind == "f":
        array = _in_range(array)
    colours = 3 if page.photometric == 2 else 1
    pixels, alpha = array[..., :colours], None
    if page.photometric == 0:
        pixels = (1 if kind == "f" else 65535) - pixels
    if array.shape[-1] > colours:
        meaning = int(page.extrasamples[0]) if page.extrasamples else 0
        if meaning in (1, 2):
            alpha = np.ascontiguousarray(array[..., colours])
        else:
            notes.append("an extra channel that is not alpha is left out")
        if alpha is not None and meaning == 1:
            pixels = _unmultiplied(pixels, alpha)
    return np.ascontiguousarray(pixels), alpha, notes


def _tiff_pixels(file: BinaryIO, page: Any) -> Array:
    """(H, W, C) of a page; what tifffile has no decoder for, such as LZW, by ffmpeg where it can."""
    try:
        array: Array = page.asarray()
    except ValueError as error:
        if page.dtype.kind != "u" or page.is_tiled or page.planarconfig != 1:
            raise BadPicture(f"no decoder for {page.compression.name} compression; save it with deflate or none") from error
        import imageio.v3 as iio

        file.seek(0)
        format = {1: "gray16le", 3: "rgb48le"}.get(page.samplesperpixel, "rgba64le")
        array = iio.imread(file, plugin="pyav", extension=".tif", index=0, format=format)
        return array[..., [0, 3]] if page.samplesperpixel == 2 else array.reshape(*array.shape[:2], -1)
    if page.planarconfig == 2 and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)
    return array.reshape(*array.shape[:2], -1)


def _unmultiplied(pixels: Array, alpha: Array) -> Array:
    """Divide by alpha what a file stores multiplied by it."""
    maximum = 1.0 if alpha.dtype == np.float32 else 65535.0
    plain = pixels / np.maximum(alpha[..., None] / maximum, 1e-9)
    half = 0.0 if alpha.dtype == np.float32 else 0.5
    return np.minimum(plain + half, maximum).astype(pixels.dtype)


def _ppm_header(file: BinaryIO) -> tuple[bytes, int, int, int, int]:
    """Magic, width, height, maximum and where the samples start; comments skipped."""
    file.seek(0)
    head = file.read(4096)
    match = re.match(rb"(P[2356])(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)\s", head)
    if match is None:
        return head[:2], 0, 0, 0, 0
    magic, width, height, maximum = match.groups()
    return magic, int(width), int(height), int(maximum), match.end()


def _read_ppm16(file: BinaryIO) -> Array:
    magic, width, height, maximum, start = _ppm_header(file)
    channels = 1 if magic in (b"P2", b"P5") else 3
    count = width * height * channels
    file.seek(start)
    if magic in (b"P2", b"P3"):
        samples = np.array(file.read().split()[:count], dtype=np.float64)
    else:
        samples = np.frombuffer(file.read(2 * count), dtype=">u2")
    if len(samples) < count:
        raise EOFError("pixels are missing")
    array = samples.reshape(height, width, channels)
    if maximum == 65535:
        return array.astype(np.uint16)
    return (np.minimum(array, maximum) * (65535 / maximum) + 0.5).astype(np.uint16)


def _upright(array: Array, orientation: int) -> Array:
    """Apply EXIF orientation 1..8 to (H, W[, C]); anything else is taken as 1."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


# Metadata


class _Metadata(NamedTuple):
    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None
    dpi: tuple[float, float] | None


def _metadata(image: ImageFile.ImageFile | None) -> _Metadata:
    """Take everything as bytes, as the file has it: Pillow's EXIF parser raises on damage and drops what it does not know."""
    info = image.info if image else {}
    exif = info.get("exif") or _raw_profile(info, "exif") or b""
    xmp = info.get("xmp") or _raw_profile(info, "xmp")
    dpi = _resolution(*info.get("dpi", ()))
    return _Metadata(info.get("icc_profile") or None, exif.removeprefix(b"Exif\0\0") or None, xmp or None, dpi)


def _raw_profile(info: Mapping[Any, Any], name: str) -> bytes | None:
    """Decode what ImageMagick hides in a PNG text chunk: name, length and hexadecimal digits."""
    match = re.match(r"\s*\S+\s+(\d+)\s+([0-9a-fA-F\s]*)", str(info.get(f"Raw profile type {name}", "")))
    if match is None:
        return None
    digits = "".join(match[2].split())[: 2 * int(match[1])]
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


# What a TIFF tells besides its layout: description, make, model, software, date, artist, copyright
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432)


def _tiff_metadata(file: BinaryIO) -> _Metadata:
    tags, exif = _tiff_tags(file), Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in tags:
            exif[tag] = tags[tag]
    for pointer in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if pointer in tags:
            directory = ImageFileDirectory_v2(prefix=tags.prefix, group=pointer)
            file.seek(tags[pointer])
            directory.load(file)
            exif.get_ifd(pointer).update(directory)
            exif[pointer] = dict(directory)
    icc, xmp = tags.get(34675), tags.get(700)
    inches = {2: 1.0, 3: 2.54}.get(tags.get(296, 2))
    dpi = _resolution(*(tags[tag] * inches for tag in (282, 283))) if inches and 282 in tags and 283 in tags else None
    return _Metadata(
        icc if isinstance(icc, bytes) else None,
        exif.tobytes().removeprefix(b"Exif\0\0") if len(exif) else None,
        xmp if isinstance(xmp, bytes) else None,
        dpi,
    )


def _resolution(*dpi: Any) -> tuple[float, float] | None:
    """Keep a resolution that makes sense; damaged headers hold fractions of zero and what not."""
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None  # nan fails both


class _Entry(NamedTuple):
    """One entry of an EXIF directory."""

    at: int
    tag: int
    kind: int
    number: int
    order: Literal["<", ">"]  # of bytes


_POINTERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}


def _entries(exif: bytes) -> Iterator[_Entry]:
    """Walk the main directory and those that it points to, as far as they are whole."""
    if not exif.startswith((b"II*\0", b"MM\0*")) or len(exif) < 8:
        return
    order: Literal["<", ">"] = "<" if exif.startswith(b"II") else ">"
    queue = [struct.unpack_from(order + "I", exif, 4)[0]]
    for start in queue:
        try:
            (count,) = struct.unpack_from(order + "H", exif, start)
            for at in range(start + 2, start + 2 + 12 * count, 12):
                tag, kind, number = struct.unpack_from(order + "HHI4x", exif, at)
                entry = _Entry(at, tag, kind, number, order)
                yield entry
                if entry.tag in _POINTERS and (target := _value(exif, entry)) not in queue:
                    queue.append(target)
        except struct.error:
            continue


def _value(exif: bytes, entry: _Entry) -> int:
    """Read a single SHORT or LONG; 0 for anything else."""
    code = {3: "H", 4: "I"}.get(entry.kind)
    if code is None or entry.number != 1:
        return 0
    return int(struct.unpack_from(entry.order + code, exif, entry.at + 8)[0])


def _orientation(exif: bytes | None) -> int:
    values = (_value(exif, entry) for entry in _entries(exif or b"") if exif and entry.tag == ExifTags.Base.Orientation)
    value = next(values, 1)
    return value if 1 <= value <= 8 else 1


def _patched(exif: bytes, values: Mapping[int, int]) -> bytes:
    """Overwrite single SHORT or LONG values in place, so that nothing else moves."""
    patched = bytearray(exif)
    for at, tag, kind, number, order in _entries(exif):
        if tag in values and number == 1 and (kind == 4 or (kind == 3 and values[tag] < 2**16)):
            struct.pack_into(order + ("H" if kind == 3 else "I"), patched, at + 8, values[tag])
    return bytes(patched)


def _moved(exif: bytes, by: int) -> bytes:
    """Shift all offsets, so that the directories can live at another place of a TIFF."""
    moved = bytearray(exif)
    for at, tag, kind, number, order in _entries(exif):
        if tag in _POINTERS or _SIZES.get(kind, 0) * number > 4:
            (offset,) = struct.unpack_from(order + "I", exif, at + 8)
            struct.pack_into(order + "I", moved, at + 8, (offset + by) % 2**32)
    return bytes(moved)


def _text(image: ImageFile.ImageFile | None) -> dict[str, str]:
    if isinstance(image, PngImageFile):
        dropped = ("XML:com.adobe.xmp", "Raw profile type ")
        return {key: str(value) for key, value in image.text.items() if not key.startswith(dropped)}
    comment = image.info.get("comment") if image else None
    if not comment:
        return {}
    return {"Comment": comment.decode("latin-1") if isinstance(comment, bytes) else str(comment)}


def _iptc(image: ImageFile.ImageFile | None) -> bytes | None:
    block = image.info.get("photoshop") if isinstance(image, JpegImageFile) else None
    data = block.get(0x0404) if isinstance(block, dict) else None  # 0x0404: IPTC-NAA record
    return data if isinstance(data, bytes) and data else None


def _losses(image: ImageFile.ImageFile | None) -> list[str]:
    """What JPEG files hold that is not read."""
    if not isinstance(image, JpegImageFile):
        return []
    losses = {
        "extended XMP data are not kept": any(data.startswith(b"http://ns.adobe.com/xmp/ext") for _, data in image.applist),
        "further pictures in the file (preview, gain map) are not kept": "mp" in image.info,
    }
    return [note for note, lost in losses.items() if lost]


# Writing


def _fitted(picture: Picture, format: str) -> tuple[Picture, tuple[str, ...]]:
    """Reduce a picture to what a format carries and list what that took away."""
    name, _, depth, carried = _FORMATS[format]
    carries, notes = carried.split(), []
    pixels, alpha = picture.pixels, picture.alpha
    if alpha is not None and "alpha" not in carries:
        pixels, alpha = _flattened(pixels, alpha), None
        notes.append(f"{name} has no transparency: flattened on white")
    bits = 8 * pixels.dtype.itemsize
    if bits > depth:
        pixels, alpha = _reduced(pixels, depth), None if alpha is None else _reduced(alpha, depth)
        notes.append(f"{name} has {depth} bits: reduced from {'float' if bits == 32 else bits}")
    gray = "gray" in carries and (alpha is None or format != "avif")  # Pillow turns LA into RGBA for AVIF
    lost = set()
    if pixels.shape[2] == 1 and not gray:
        pixels = np.repeat(pixels, 3, axis=2)
        notes.append(f"{name} has no gray{'' if alpha is None else ' with transparency'}: stored as colour")
        if picture.icc and picture.icc[16:20] == b"GRAY":
            lost.add("icc")
    for key in _METADATA:
        value = getattr(picture, key)
        comment = key == "text" and "comment" in carries and set(value) == {"Comment"}
        too_long = format == "jpeg" and key in ("exif", "xmp", "iptc") and len(value or b"") > 65500
        if value and not comment and (key not in carries or too_long):
            lost.add(key)
    if format == "tiff" and pixels.nbytes > 2**31:
        lost.add("exif")  # of BigTIFF, whose directories are laid out otherwise
    told = [words for key, words in _METADATA.items() if key in lost and not (key == "chunks" and _is_srgb(picture.chunks))]
    if told:
        notes.append(f"{name} cannot carry {', '.join(told)}")
    height, width = pixels.shape[:2]
    fitted = replace(
        picture,
        pixels=pixels,
        alpha=alpha,
        icc=None if "icc" in lost else picture.icc,
        exif=_patched(picture.exif, {0xA002: width, 0xA003: height}) if picture.exif and "exif" not in lost else None,
        xmp=None if "xmp" in lost else picture.xmp,
        dpi=None if "dpi" in lost else picture.dpi,
        iptc=None if "iptc" in lost else picture.iptc,
        text={} if "text" in lost else picture.text,
        chunks={} if "chunks" in lost else picture.chunks,
    )
    return fitted, tuple(notes)


def _is_srgb(chunks: Mapping[bytes, bytes]) -> bool:
    """Tell whether colour chunks say no more than what is taken for granted without them."""
    primaries = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    usual = {b"sRGB": chunks.get(b"sRGB"), b"gAMA": struct.pack(">I", 45455), b"cHRM": primaries}
    return all(usual.get(name) == data for name, data in chunks.items())


def _flattened(pixels: Array, alpha: Array) -> Array:
    white = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
    weight = (alpha / np.float32(white))[..., None].astype(np.float32)
    mixed: Array = pixels * weight + white * (1 - weight)
    rounded: Array = (mixed if pixels.dtype == np.float32 else mixed + 0.5).astype(pixels.dtype)
    return rounded


def _reduced(array: Array, depth: int) -> Array:
    """Round to 16 or 8 bits."""
    maximum = 1 if array.dtype == np.float32 else np.iinfo(array.dtype).max
    levels, kind = (255, np.uint8) if depth == 8 else (65535, np.uint16)
    reduced: Array = (np.clip(array, 0, maximum) * (levels / maximum) + 0.5).astype(kind)
    return reduced


def _stacked(picture: Picture) -> Array:
    """(H, W, 1 to 4): colours, then alpha."""
    if picture.alpha is None:
        return picture.pixels
    return np.concatenate([picture.pixels, picture.alpha[..., None]], axis=2)


def _write_png(picture: Picture, path: Path, level: int) -> None:
    """Write 8 or 16 bits a channel, every row by the Up filter.

    Pillow's writer has 8 bits only and tries five filters on every row: on upscaled pictures twice the time for 1 % less.
    """
    (height, width), channels = picture.pixels.shape[:2], _channels(picture)
    size = picture.pixels.dtype.itemsize
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
        _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * size, colour, 0, 0, 0))
        for name, data in _png_metadata(picture):
            _chunk(file, name, data)
        packer = zlib.compressobj(level)
        above = np.zeros((1, width * channels * size), np.uint8)
        step = max(2**24 // above.size, 1)
        for top in range(0, height, step):
            strip = replace(
                picture,
                pixels=picture.pixels[top : top + step],
                alpha=None if picture.alpha is None else picture.alpha[top : top + step],
            )
            rows = np.ascontiguousarray(_stacked(strip))
            if size == 2:
                rows = rows.astype(">u2")
            rows = rows.view(np.uint8).reshape(len(rows), -1)
            filtered = np.full((len(rows), 1 + rows.shape[1]), 2, np.uint8)
            np.subtract(rows, np.concatenate([above, rows[:-1]]), out=filtered[:, 1:])
            above = rows[-1:]
            if packed := packer.compress(filtered.data):
                _chunk(file, b"IDAT", packed)
        _chunk(file, b"IDAT", packer.flush())
        _chunk(file, b"IEND", b"")


def _channels(picture: Picture) -> int:
    return int(picture.pixels.shape[2]) + (picture.alpha is not None)


def _chunk(file: BinaryIO, name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + name)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


def _png_metadata(picture: Picture) -> Iterator[tuple[bytes, bytes]]:
    if picture.icc:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc)
    for name, data in picture.chunks.items():
        if name != b"sRGB" or not picture.icc:  # the two exclude each other
            yield name, data
    if picture.dpi:
        yield b"pHYs", struct.pack(">IIB", *(round(dpi / 0.0254) for dpi in picture.dpi), 1)
    if picture.exif:
        yield b"eXIf", picture.exif
    if picture.xmp:
        yield b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + picture.xmp
    for key, text in picture.text.items():
        keyword = key.encode("latin-1", "replace")[:79] + b"\0"
        try:
            yield b"tEXt", keyword + text.replace("\0", " ").encode("latin-1")
        except UnicodeEncodeError:
            yield b"iTXt", keyword + b"\0\0\0\0" + text.replace("\0", " ").encode()


def _write_tiff(picture: Picture, path: Path) -> None:
    import tifffile

    extra: list[tuple[int, str, int, bytes | str | int, bool]] = []
    for tag, data in ((34675, picture.icc), (700, picture.xmp)):
        if data:
            extra.append((tag, "B", len(data), data, True))
    pointers = {}
    order: Literal["<", ">"] = "<"
    for entry in _entries(picture.exif or b""):
        assert picture.exif
        order = entry.order
        if entry.tag in _DESCRIPTIVE and entry.kind == 2:
            offset = struct.unpack_from(order + "I", picture.exif, entry.at + 8)[0] if entry.number > 4 else entry.at + 8
            extra.append((entry.tag, "s", 0, picture.exif[offset : offset + entry.number].rstrip(b"\0"), True))
        elif entry.tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            pointers[entry.tag - 1] = _value(picture.exif, entry)
            extra.append((entry.tag - 1, "I", 1, 0, True))  # tifffile refuses to write the tag itself; put right below
    array = _stacked(picture)
    tifffile.imwrite(
        path,
        array if array.shape[2] > 1 else array[..., 0],
        byteorder=order,
        photometric="rgb" if picture.pixels.shape[2] == 3 else "minisblack",
        planarconfig="contig" if array.shape[2] > 1 else None,
        extrasamples=["unassalpha"] if picture.alpha is not None else None,
        compression="zlib",
        compressionargs={"level": 1},
        predictor=array.dtype != np.float32,  # that of floating point needs a package more
        resolution=picture.dpi,
        resolutionunit="inch" if picture.dpi else None,
        metadata=None,
        software=False,
        extratags=extra,
    )
    if picture.exif and pointers:
        with tifffile.TiffFile(path) as tiff:
            entries = {code: tiff.pages.first.tags[code] for code in pointers}
        with path.open("r+b") as file:
            start = file.seek(0, io.SEEK_END)
            start += file.write(bytes(start % 2))  # directories begin at even offsets
            file.write(_moved(picture.exif, start))
            for code, place in entries.items():
                file.seek(place.offset)
                file.write(struct.pack(order + "H", code + 1))
                file.seek(place.valueoffset)
                file.write(struct.pack(order + "I", start + pointers[code]))


def _write_ppm16(picture: Picture, path: Path) -> None:
    height, width, channels = picture.pixels.shape
    head = f"P{5 if channels == 1 else 6}\n{width} {height}\n65535\n"
    with path.open("wb") as file:
        file.write(head.encode())
        picture.pixels.astype(">u2").tofile(file)


def _write_everyday(picture: Picture, path: Path, format: str, quality: int | None) -> None:
    array = _stacked(picture)
    image = Image.fromarray(array if array.shape[2] > 1 else array[..., 0])
    source = picture.quality or Quality()
    options: dict[str, Any] = {}
    for key, value in (("icc_profile", picture.icc), ("exif", picture.exif), ("xmp", picture.xmp), ("dpi", picture.dpi)):
        if value:
            options[key] = value
    if format == "jpeg":
        if picture.exif:
            options["exif"] = b"Exif\0\0" + picture.exif
        if picture.iptc:
            resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(picture.iptc)) + picture.iptc
            block = b"Photoshop 3.0\0" + resource + bytes(len(picture.iptc) % 2)
            options["extra"] = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block
        if "Comment" in picture.text:
            options["comment"] = picture.text["Comment"].encode("latin-1", "replace")
        options["subsampling"] = source.subsampling
        if quality is None and source.tables:
            options["qtables"] = _finer(source.tables, 92)
        else:
            options["quality"] = quality or 95
    elif format == "webp":
        lossless = source.lossless and quality is None
        options |= {"lossless": lossless, "quality": 75 if lossless else quality or 95, "exact": True}
    elif format == "avif":
        options |= {"quality": quality or 90, "subsampling": "4:0:0" if array.shape[2] == 1 else "4:4:4"}
    image.save(path, format.upper(), **options)


def _finer(tables: tuple[list[int], ...], quality: int) -> list[list[int]]:
    """Take the smaller step, entry by entry, of the source's tables and of libjpeg's at `quality`."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    standard = list(JpegImageFile(buffer).quantization.values())
    return [[min(pair) for pair in zip(table, standard[min(i, 1)], strict=True)] for i, table in enumerate(tables)]

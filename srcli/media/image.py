"""Picture files to pixel arrays and back, with everything they carry; knows no tensors.

The kind of a file is told by its first bytes. Pillow reads everyday stills and all metadata; imageio (pyav) and
tifffile read what has more than 8 bits, which Pillow would silently reduce. A picture is read whole or refused: one
whose data end early is "truncated", even where most of it would decode. Animations give their first frame and a note.
"""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
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
    largest: int  # px a side
    depth: int
    carries: str


_FORMATS = {
    "png": _Format(2**31 - 1, 16, "gray alpha icc exif xmp dpi text chunks"),
    "jpeg": _Format(65500, 8, "gray icc exif xmp dpi comment"),  # libjpeg's JPEG_MAX_DIMENSION, not the 65535 of the format
    "webp": _Format(16383, 8, "alpha icc exif xmp"),
    "avif": _Format(32768, 8, "gray alpha icc exif xmp"),  # libavif writes 65536 but reads no more than this
    "tiff": _Format(2**31 - 1, 32, "gray alpha icc xmp dpi"),
    "bmp": _Format(2**31 - 1, 8, "gray dpi"),
    "ppm": _Format(2**31 - 1, 16, "gray"),
}

_METADATA = {
    "icc": "the colour profile",
    "exif": "the EXIF data",
    "xmp": "the XMP data",
    "dpi": "the resolution in dpi",
    "text": "the text",
    "chunks": "the PNG colour chunks",
}


def formats() -> tuple[str, ...]:
    """List the formats that can be written."""
    return tuple(_FORMATS)


def suffix_of(format: str) -> str:
    """Give the usual suffix of a format."""
    return next(suffix for suffix, name in SUFFIXES.items() if name == format)


def size_limit(format: str) -> int:
    """Give the largest side in px that a format can be written with."""
    return _FORMATS[format].largest


def probe(path: Path, *, max_pixels: int = MAX_PIXELS) -> Probe:
    """Read size and kind from the header, decoding no pixels; raise BadPicture."""
    with _reading(path), path.open("rb") as file:
        image, format = _open(file, path, max_pixels)
        depth = _depth(file, image, format)
        height, width = image.height, image.width
        # Pillow has already turned the size of a TIFF
        if format != "tiff" and _orientation(_raw_exif(image)) >= 5:
            height, width = width, height
        channels = 1 if image.mode in _GRAY else 3
        if format == "png" and depth == 16:
            channels = 1 if _png_colour(file) in (0, 4) else 3
        return Probe(height, width, channels, image.has_transparency_data, depth, format)


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture with all it carries, turned upright; raise BadPicture in one line."""
    with _reading(path), path.open("rb") as file:
        image, format = _open(file, path, max_pixels)
        frames = getattr(image, "n_frames", 1)
        notes = [f"only the first of {frames} {'pages' if format == 'tiff' else 'frames'} is read"] if frames > 1 else []
        # asked before the pixels are decoded: Pillow turns a TIFF then and forgets
        orientation = _orientation(_raw_exif(image)) if format != "tiff" else image.getexif().get(ExifTags.Base.Orientation, 1)
        exif = _tiff_exif(image) if format == "tiff" else None
        chunks = _png_chunks(file) if format == "png" else {}
        depth = _depth(file, image, format)
        if format == "png" and depth == 16:
            pixels, alpha = _read_png16(file, image)
        elif format == "tiff" and depth > 8:
            pixels, alpha, more = _read_deep_tiff(file, image)
            notes += more
        elif format == "ppm" and depth == 16:
            pixels, alpha = _read_ppm16(file, image), None
        else:
            pixels, alpha, more = _read_everyday(image)
            notes += more
            if format == "tiff":
                orientation = 1
        if format == "avif" and (bits := _avif_depth(file)) > 8:
            notes.append(f"{bits} bits reduced to 8")
        exif = exif or _raw_exif(image)
        if exif is not None and not _is_exif(exif):
            exif = None
            notes.append("damaged EXIF data are not kept")
        icc = image.info.get("icc_profile") or None
        if icc is not None and image.mode not in _GRAY and icc[16:20] not in (b"RGB ", b"GRAY"):
            icc = None  # of CMYK or Lab, which the pixels no longer are
        quality = None
        if isinstance(image, JpegImageFile):
            quality = Quality(tuple(image.quantization.values()), max(get_sampling(image), 0))
            notes += _jpeg_losses(image)
        elif format == "webp":
            quality = Quality(lossless=_webp_lossless(file))
        xmp = _raw_xmp(image)
        return Picture(
            pixels=_upright(pixels, orientation),
            alpha=None if alpha is None else _upright(alpha, orientation),
            icc=icc,
            exif=exif and _patched(exif, {ExifTags.Base.Orientation: 1}),
            xmp=xmp and re.sub(rb'(tiff:Orientation(?:="|>))\d', rb"\g<1>1", xmp),
            dpi=_dpi(image),
            text=_text(image),
            chunks=chunks,
            format=format,
            quality=quality,
            notes=tuple(notes),
        )


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
        with atomic(path) as temporary:
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


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever a library raises or warns of into one line."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")
            yield
    except BadPicture:
        raise
    except MemoryError as error:
        raise BadPicture(f"'{path}' needs more memory than there is") from error
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise BadPicture(f"cannot read '{path}': {error.strerror}") from error
        reason = _one_line(error)
        truncated = "truncated" in reason or isinstance(error, EOFError)
        raise BadPicture(f"'{path}' is truncated" if truncated else f"'{path}' is damaged: {reason}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


_OPENERS: dict[str, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    "png": PngImageFile,
    "jpeg": JpegImageFile,
    "webp": WebPImageFile,
    "tiff": TiffImageFile,
    "bmp": BmpImageFile,
    "ppm": PpmImageFile,
    "gif": GifImageFile,
}


def _open(file: BinaryIO, path: Path, max_pixels: int) -> tuple[ImageFile.ImageFile, str]:
    """Open by content; the class is called directly because Image.open applies Pillow's global limit of pixels."""
    if not path.is_file():
        raise BadPicture(f"'{path}' is not a regular file")
    head = file.read(512)
    format = _kind(head, path)
    file.seek(0)
    try:
        if format == "avif":
            from PIL.AvifImagePlugin import AvifImageFile

            image: ImageFile.ImageFile = AvifImageFile(file)
        else:
            image = _OPENERS[format](file)
    except Image.DecompressionBombError as error:
        raise BadPicture(f"'{path}' is damaged: a frame is larger than the picture") from error
    if image.width * image.height > max_pixels:
        size = f"{image.width} x {image.height} = {image.width * image.height:,} pixels"
        raise BadPicture(f"'{path}' has {size}, the limit is {max_pixels:,}")
    return image, format


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
        kind = "avif" if b"avi" in brands else "HEIC" if re.search(rb"hei|hev|mif1|msf1", brands) else "video"
    elif re.match(rb"P[1-7fF]\s", head):
        kind = "ppm"
    elif re.match(rb"\s*(\xef\xbb\xbf)?<(svg|\?xml[^>]*>\s*(<!--.*?-->\s*)*(<!DOCTYPE svg|<svg))", head, re.DOTALL):
        kind = "SVG"
    if kind in _OPENERS or kind == "avif":
        return kind
    known = "PNG, JPEG, WebP, TIFF, AVIF, BMP, PPM or GIF"
    if kind:
        raise BadPicture(f"'{path}' is a {kind} file, which srcli cannot read; convert it to PNG or JPEG first")
    raise BadPicture(f"'{path}' is no picture that srcli knows; it reads {known}")


def _depth(file: BinaryIO, image: ImageFile.ImageFile, format: str) -> int:
    """Bits a channel, from the header: 8, 16, or 32 for floating point."""
    if format == "png":
        file.seek(24)
        depth = 16 if file.read(1) == b"\x10" else 8
    elif isinstance(image, TiffImageFile):
        bits = max(np.atleast_1d(image.tag_v2.get(258, 1)))
        kinds = np.atleast_1d(image.tag_v2.get(339, 1))
        depth = 32 if 3 in kinds or bits > 16 else 16 if bits > 8 else 8
    elif format == "ppm":
        depth = 16 if _ppm_header(file)[3] > 255 else 8
    else:
        depth = 8
    return depth


def _png_colour(file: BinaryIO) -> int:
    file.seek(25)
    return file.read(1)[0]  # 0 gray, 2 RGB, 3 palette, 4 gray + alpha, 6 RGBA


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


def _avif_depth(file: BinaryIO) -> int:
    file.seek(0)
    head = file.read(65536)
    start = head.find(b"av1C")  # AV1 codec configuration, section 2.3.3: the third byte holds high_bitdepth, twelve_bit
    flags = head[start + 6] if 0 <= start < len(head) - 6 else 0
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _webp_lossless(file: BinaryIO) -> bool:
    file.seek(12)
    while len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name in (b"VP8 ", b"VP8L", b"ANMF"):
            return bool(name == b"VP8L")
        file.seek(size + size % 2, io.SEEK_CUR)
    return False


# Pixels

_GRAY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def _read_everyday(image: ImageFile.ImageFile) -> tuple[Array, Array | None, list[str]]:
    notes = []
    image.load()
    still: Image.Image = image
    if image.mode == "CMYK":
        still, note = _from_cmyk(image)
        notes.append(note)
    elif image.mode == "LAB":
        still = (
            ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB")
            or image
        )
        notes.append("Lab converted to sRGB")
    if still.mode == "F":
        return *_split(np.asarray(still)[..., None]), notes
    if still.mode.startswith("I"):
        return np.asarray(still).astype(np.uint16)[..., None], None, notes
    gray = still.mode in _GRAY
    if still.has_transparency_data:
        array = np.asarray(still.convert("RGBA"))
        # gray + transparency goes through RGBA: Pillow's direct way to LA forgets the transparent level of some modes
        return (array[..., :1] if gray else array[..., :3]).copy(), array[..., 3].copy(), notes
    array = np.array(still.convert("L" if gray else "RGB"))
    return (array[..., None] if gray else array), None, notes


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


def _read_png16(file: BinaryIO, image: ImageFile.ImageFile) -> tuple[Array, Array | None]:
    import imageio.v3 as iio

    image.load()  # reduces to 8 bits; done because ffmpeg takes a damaged stream for a whole one
    colour = _png_colour(file)
    gray, alpha = colour in (0, 4), colour in (4, 6) or "transparency" in image.info
    file.seek(0)
    # read as rgba64: the default of 16-bit gray + alpha is 8-bit RGB
    format = "rgba64le" if alpha else "gray16le" if gray else "rgb48le"
    array = iio.imread(file, plugin="pyav", extension=".png", index=0, format=format)
    if array.ndim == 2:
        array = array[..., None]
    if not alpha:
        return array, None
    return array[..., : 1 if gray else 3].copy(), array[..., 3].copy()


def _read_deep_tiff(file: BinaryIO, image: ImageFile.ImageFile) -> tuple[Array, Array | None, list[str]]:
    """Read the first page of 16 bits, or of floating point in [0, 1]."""
    import tifffile

    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        photometric, extra, kind = int(page.photometric), page.extrasamples, page.dtype
        if photometric not in (0, 1, 2):
            pixels, alpha, notes = _read_everyday(image)
            return pixels, alpha, [*notes, f"{page.bitspersample} bits reduced to 8"]
        if kind is None or kind.kind not in "uf" or (kind.kind == "u" and kind.itemsize > 2):
            raise BadPicture(f"'{file.name}' has pixels of type {kind}; srcli reads 8, 16 bit and float")
        array = page.asarray()
        if page.planarconfig == 2 and array.ndim == 3:
            array = np.moveaxis(array, 0, -1)
    if array.ndim == 2:
        array = array[..., None]
    notes = []
    if kind.kind == "f":
        array = array.astype(np.float32)
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise BadPicture(f"'{file.name}' has floating point pixels outside [0, 1]; scale them to it first")
    colours = 3 if photometric == 2 else 1
    pixels, alpha = array[..., :colours], None
    if photometric == 0:
        pixels = (1 if kind.kind == "f" else 65535) - pixels
    if array.shape[-1] > colours:
        if extra and int(extra[0]) in (1, 2):
            alpha = np.ascontiguousarray(array[..., colours])
        else:
            notes.append("an extra channel that is not alpha is left out")
        if extra and int(extra[0]) == 1:
            pixels = _unmultiplied(pixels, alpha)
    return np.ascontiguousarray(pixels), alpha, notes


def _unmultiplied(pixels: Array, alpha: Array | None) -> Array:
    """Divide by alpha what a file stores multiplied by it."""
    if alpha is None:
        return pixels
    maximum = 1.0 if alpha.dtype == np.float32 else 65535.0
    plain = pixels / np.maximum(alpha[..., None] / maximum, 1e-9)
    plain = np.minimum(plain, maximum) if alpha.dtype == np.float32 else np.minimum(plain + 0.5, maximum)
    return plain.astype(pixels.dtype)


def _split(array: Array) -> tuple[Array, None]:
    array = array.astype(np.float32)
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise BadPicture("floating point pixels outside [0, 1]")
    return array, None


def _ppm_header(file: BinaryIO) -> tuple[bytes, int, int, int, int]:
    """Magic, width, height, maximum and where the samples start; comments skipped."""
    file.seek(0)
    head = file.read(4096)
    match = re.match(rb"(P[2356])(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)\s", head)
    if match is None:
        return head[:2], 0, 0, 0, 0
    magic, width, height, maximum = match.groups()
    return magic, int(width), int(height), int(maximum), match.end()


def _read_ppm16(file: BinaryIO, image: ImageFile.ImageFile) -> Array:
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


def _raw_exif(image: ImageFile.ImageFile) -> bytes | None:
    """EXIF from its TIFF header on, as the file has it: Pillow's parser raises on damage and drops what it does not know."""
    exif = image.info.get("exif") or _raw_profile(image, "exif")
    return exif.removeprefix(b"Exif\0\0") if exif else None


def _raw_xmp(image: ImageFile.ImageFile) -> bytes | None:
    if isinstance(image, TiffImageFile):
        xmp = image.tag_v2.get(700)
        return bytes(xmp) if isinstance(xmp, bytes | tuple) else None
    return image.info.get("xmp") or _raw_profile(image, "xmp")


def _raw_profile(image: ImageFile.ImageFile, name: str) -> bytes | None:
    """Decode what ImageMagick hides in a PNG text chunk: name, length and hexadecimal digits."""
    raw = image.info.get(f"Raw profile type {name}") or image.info.get("Raw profile type APP1", b"" if name != "exif" else None)
    if not raw:
        return None
    digits = (raw if isinstance(raw, str) else raw.decode("latin-1")).split()[2:]
    try:
        return bytes.fromhex("".join(digits)) or None
    except ValueError:
        return None


def _entries(exif: bytes) -> Iterator[tuple[int, int, int, int, str]]:
    """Walk the first directory and the Exif one: offset of the value, tag, type, count, byte order."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return
    queue = [struct.unpack_from(order + "I", exif, 4)[0]]
    for start in queue:
        for index in range(struct.unpack_from(order + "H", exif, start)[0]):
            at = start + 2 + 12 * index
            tag, kind, count = struct.unpack_from(order + "HHI", exif, at)
            yield at + 8, tag, kind, count, order
            if tag == ExifTags.IFD.Exif and len(queue) == 1:
                queue.append(struct.unpack_from(order + "I", exif, at + 8)[0])


def _is_exif(exif: bytes) -> bool:
    try:
        return any(True for _ in _entries(exif))
    except struct.error:
        return False


def _orientation(exif: bytes | None) -> int:
    try:
        for at, tag, kind, count, order in _entries(exif or b""):
            if tag == ExifTags.Base.Orientation and kind == 3 and count == 1:
                value = int(struct.unpack_from(order + "H", exif or b"", at)[0])
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _patched(exif: bytes, values: Mapping[int, int]) -> bytes:
    """Overwrite single SHORT or LONG values in place, so that nothing else moves."""
    patched = bytearray(exif)
    try:
        for at, tag, kind, count, order in _entries(exif):
            if tag in values and count == 1 and kind in (3, 4):
                struct.pack_into(order + ("H" if kind == 3 else "I"), patched, at, values[tag])
    except struct.error:
        pass  # damaged further on, or a size that a SHORT cannot hold
    return bytes(patched)


# What describes a TIFF rather than lays it out: description, make, model, software, date, artist, copyright, Exif, GPS
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432)


def _tiff_exif(image: ImageFile.ImageFile) -> bytes | None:
    source, exif = image.getexif(), Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in source:
            exif[tag] = source[tag]
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if entries := source.get_ifd(ifd):
            exif.get_ifd(ifd).update(entries)
    return exif.tobytes().removeprefix(b"Exif\0\0") if len(exif) else None


def _dpi(image: ImageFile.ImageFile) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in image.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None  # nan fails both


def _text(image: ImageFile.ImageFile) -> dict[str, str]:
    if isinstance(image, PngImageFile):
        dropped = ("XML:com.adobe.xmp", "Raw profile type ")
        return {key: str(value) for key, value in image.text.items() if not key.startswith(dropped)}
    comment = image.info.get("comment")
    if not comment:
        return {}
    return {"Comment": comment.decode("latin-1") if isinstance(comment, bytes) else str(comment)}


def _jpeg_losses(image: JpegImageFile) -> list[str]:
    losses = {
        "IPTC data are not kept": "photoshop" in image.info,
        "extended XMP data are not kept": any(data.startswith(b"http://ns.adobe.com/xmp/ext") for _, data in image.applist),
        "further pictures in the file (preview, gain map) are not kept": "mp" in image.info,
    }
    return [note for note, lost in losses.items() if lost]


# Writing


def _fitted(picture: Picture, format: str) -> tuple[Picture, tuple[str, ...]]:
    """Reduce a picture to what a format carries and list what that took away."""
    facts, name, notes = _FORMATS[format], format.upper(), []
    carries = facts.carries.split()
    if picture.alpha is not None and "alpha" not in carries:
        picture = replace(picture, pixels=_flattened(picture.pixels, picture.alpha), alpha=None)
        notes.append(f"{name} has no transparency: flattened on white")
    bits = 8 * picture.pixels.dtype.itemsize
    if bits > facts.depth:
        alpha = None if picture.alpha is None else _reduced(picture.alpha, facts.depth)
        picture = replace(picture, pixels=_reduced(picture.pixels, facts.depth), alpha=alpha)
        notes.append(f"{name} has {facts.depth} bits: reduced from {'float' if bits == 32 else bits}")
    if picture.pixels.shape[2] == 1 and "gray" not in carries:
        picture = replace(picture, pixels=np.repeat(picture.pixels, 3, axis=2))
        notes.append(f"{name} has no gray: stored as colour")
        if picture.icc and picture.icc[16:20] == b"GRAY":
            picture = replace(picture, icc=None)
            notes.append(f"{name} cannot carry the colour profile of gray")
    height, width = picture.pixels.shape[:2]
    if picture.exif:
        picture = replace(picture, exif=_patched(picture.exif, {0xA002: width, 0xA003: height}))
    lost = set()
    for key, words in _METADATA.items():
        value = getattr(picture, key)
        comment_only = key == "text" and set(value) == {"Comment"} and "comment" in carries
        too_long = format == "jpeg" and key in ("exif", "xmp") and len(value or b"") > 65500
        if value and (too_long or (key not in carries and not comment_only)):
            lost.add(key)
            notes.append(f"{name} cannot carry {words}{' of this length' if too_long else ''}")
    picture = replace(
        picture,
        icc=None if "icc" in lost else picture.icc,
        exif=None if "exif" in lost else picture.exif,
        xmp=None if "xmp" in lost else picture.xmp,
        dpi=None if "dpi" in lost else picture.dpi,
        text={} if "text" in lost else picture.text,
        chunks={} if "chunks" in lost else picture.chunks,
    )
    return picture, tuple(notes)


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

    extra: list[tuple[int, str, int, bytes, bool]] = []
    if picture.icc:
        extra.append((34675, "B", len(picture.icc), picture.icc, True))
    if picture.xmp:
        extra.append((700, "B", len(picture.xmp), picture.xmp, True))
    array = _stacked(picture)
    tifffile.imwrite(
        path,
        array if array.shape[2] > 1 else array[..., 0],
        photometric="rgb" if picture.pixels.shape[2] == 3 else "minisblack",
        planarconfig="contig" if array.shape[2] > 1 else None,
        extrasamples=["unassalpha"] if picture.alpha is not None else None,
        compression="zlib",
        resolution=picture.dpi,
        resolutionunit="inch" if picture.dpi else None,
        metadata=None,
        software=False,
        extratags=extra,
    )


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

"""Pictures larger than the memory, in strips of rows from the top: TIFF read, TIFF and PNG written.

Rows are (n, W, C) arrays, with alpha as the last channel where there is one.
"""

from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from PIL import ExifTags

from srcli.errors import BadPicture
from srcli.files import atomic, make_folder
from srcli.media.formats import SUFFIXES
from srcli.media.picture import Array, Picture
from srcli.media.pixels import reduced, stacked, unmultiplied
from srcli.media.png import PNG_LEVEL
from srcli.media.probe import MAX_PIXELS, open_header, opened, reading
from srcli.media.read import carried
from srcli.media.tiff import tiff_tags
from srcli.media.tiff_rows import TiffRows, is_streamable
from srcli.media.write import encoder, fitted, refuse_size, writing

_REDUCED = 64  # rows that are made floats together, to be rounded to fewer bits
STREAMED = ("png", "tiff")  # what StripWriter writes


class StripReader(AbstractContextManager["StripReader"]):
    """An open TIFF whose rows are decoded as they are asked for, best from the top down; to be used by one thread.

    `carried` is the picture without rows: its dtype, colours, metadata and notes.
    """

    def __init__(self, path: Path, file: BinaryIO, rows: TiffRows, carried: Picture, height: int, extra: int | None) -> None:
        """`extra`: what TIFF says of the channel behind the colours; 1 is alpha that colours are multiplied by, 2 alpha."""
        self.path, self.carried = path, carried
        self.height, self.width = height, carried.pixels.shape[1]
        self.channels, self.alpha = carried.pixels.shape[2], extra is not None
        self.dtype = carried.pixels.dtype
        self._file, self._rows, self._multiplied = file, rows, extra == 1

    def rows(self, start: int, stop: int) -> Array:
        """Return rows as (stop - start, W, colours and alpha); raise BadPicture where they are damaged."""
        with reading(self.path):
            rows = self._rows.rows(start, stop)
            if self._multiplied:
                for row in rows:  # one at a time: they become floats
                    row[..., :-1] = unmultiplied(row[..., :-1], row[..., -1])
            return rows

    @property
    def kept_bytes(self) -> int:
        """Bytes of decoded rows that stay from one call to the next, at the most."""
        return self._rows.kept_bytes

    def __exit__(self, *_: object) -> None:
        self._file.close()


class HeldRows(AbstractContextManager["HeldRows"]):
    """A picture in memory that gives its rows as a StripReader does."""

    kept_bytes = 0  # beyond what is there already

    def __init__(self, picture: Picture) -> None:
        self.carried = picture
        self.height, self.width, self.channels = picture.pixels.shape
        self.alpha, self.dtype = picture.alpha is not None, picture.pixels.dtype

    def rows(self, start: int, stop: int) -> Array:
        """Return rows as (stop - start, W, colours and alpha)."""
        return stacked(self.carried, slice(start, stop))

    def __exit__(self, *_: object) -> None:
        """Hold nothing open."""


def open_strips(path: Path, *, max_pixels: int = MAX_PIXELS) -> StripReader | None:
    """Open a TIFF to be read in strips; None for what must be read whole, such as planes, palettes and other formats.

    Raises BadPicture as `read_image`, for missing data before anything is decoded.
    """
    with reading(path), ExitStack() as stack:
        file = stack.enter_context(opened(path))
        header = open_header(file, path, max_pixels)
        if header.facts.format != "tiff" or tiff_tags(file).get(ExifTags.Base.Orientation, 1) not in (0, 1):
            return None
        import tifffile

        file.seek(0)
        tiff = tifffile.TiffFile(file)
        page, pages = tiff.pages.first, len(tiff.pages)
        colours = {1: 1, 2: 3}.get(page.photometric, 0)
        extra = tuple(map(int, page.extrasamples))
        known = page.samplesperpixel == colours + len(extra) and extra in ((), (1,), (2,))
        if not colours or not known or not is_streamable(page):
            return None
        rest = carried(file, header)
        if pages > 1:
            rest = replace(rest, notes=(f"only the first of {pages} pages is read", *rest.notes))
        reader = StripReader(path, file, TiffRows(file, page), rest, page.imagelength, extra[0] if extra else None)
        stack.pop_all()
        return reader


class StripWriter:
    """A PNG or a tiled BigTIFF that takes its rows in order; it appears under its name when all are there.

    Used in a `with` block: an exception within it, or a row too few, leaves what was there before.
    `notes` says in one line each what the format could not carry.
    """

    def __init__(
        self,
        path: Path,
        height: int,
        width: int,
        carried: Picture,
        *,
        alpha: bool = False,
        format: str | None = None,
        png_level: int = PNG_LEVEL,
        fresh: bool = False,
    ) -> None:
        """Take colours, dtype and metadata from `carried`, whose rows are not looked at; `png_level` 0 does not pack.

        `fresh`: what is there is not replaced. Raises BadPicture, and BadFolder for the folder.
        """
        self.path, self._height, self._written, self._fresh = path, height, 0, fresh
        self._format = format or SUFFIXES.get(path.suffix.lower(), "")
        if self._format not in STREAMED:
            raise BadPicture(f"cannot write '{path}' in strips: the formats are {', '.join(STREAMED)}")
        refuse_size(height, width, self._format, path)
        empty = carried.pixels[:0]
        self._carried, self.notes = fitted(
            replace(carried, pixels=empty, alpha=empty[..., 0] if alpha else None), self._format, (height, width)
        )
        self._shape = (height, width, empty.shape[2] + alpha)
        self._level = png_level
        make_folder(path.parent)

    @property
    def peak_bytes(self) -> int:
        """Bytes that writing takes at the most, beside the rows given."""
        return self._encoder.peak_bytes

    def write(self, rows: Array) -> None:
        """Append (n, W, C) rows; raise BadPicture where they cannot be written."""
        dtype = self._carried.pixels.dtype
        with writing(self.path):
            if rows.dtype == dtype:
                self._encoder.write(rows)
            else:
                for top in range(0, len(rows), _REDUCED):
                    self._encoder.write(reduced(rows[top : top + _REDUCED], 8 * dtype.itemsize))
        self._written += len(rows)

    def __enter__(self) -> "StripWriter":
        with writing(self.path), ExitStack() as stack:
            file = stack.enter_context(stack.enter_context(atomic(self.path, fresh=self._fresh)).open("wb"))
            self._encoder = encoder(file, self._shape, self._carried, self._format, png_level=self._level)
            self._files = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None and self._written != self._height:
            error = ValueError(f"{self._written} rows of {self._height} were written")
            self._files.__exit__(ValueError, error, None)
            raise error
        if error is not None:
            self._files.__exit__(kind, error, trace)
            return
        with writing(self.path), self._files:
            self._encoder.finish()

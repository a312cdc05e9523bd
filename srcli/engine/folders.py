"""The pictures of a data set: where they lie in the usual downloads, their partners, read and degraded."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from srcli.engine.degrade import Kind, degrade_picture
from srcli.errors import BadFolder, BadPicture, UserError
from srcli.files import files_in, make_folder
from srcli.media import formats
from srcli.media.ahead import read_ahead
from srcli.media.pixels import reduced
from srcli.media.read import read_image

SUFFIXES = {*formats.SUFFIXES, *formats.HEIC} - {".gif"}  # which is an animation

# what a data set's folder of HR pictures is called in the usual downloads, the best first; the folder above has its name
HR_FOLDERS = ("hr", "gtmod12", "gt", "original", "originals")

_HR_ENDINGS = ("_hr", "_hr_sub")  # of those that have the data set's name before it, the best first
_LR = re.compile(r"(^|_)lr(bic|x\d|[^a-z]|$)")  # LR, LRx4, LRbicx4, DIV2K_train_LR_bicubic
_NO_RESULT = re.compile("_(masks?|alpha|depth|flow|normals?|edges?|labels?|seg|trimap|thumb|preview|gt|hr)$", re.IGNORECASE)
_PART = re.compile("_(train|valid|test)_hr$")


def list_pictures(folder: Path) -> list[Path]:
    """List the pictures below `folder` in order; raise BadFolder where there are none, or some lie in HR and some in LR."""
    if not folder.is_dir():
        raise BadFolder(f"no folder '{folder}'")
    named = (p for p in files_in(folder, whole=False) if p.suffix.lower() in SUFFIXES)
    files = sorted(p for p in named if p.is_file() or not p.exists())  # a link to what is gone is an unreadable picture
    if not files:
        raise BadFolder(f"no pictures in '{folder}'")
    one_each = {file.parent: file for file in files}.values()
    below = sorted({place for file in one_each for place in file.relative_to(folder).parents})
    hr = [place for place in below if (name := place.name.lower()) in HR_FOLDERS or name.endswith(_HR_ENDINGS)]
    lr = [place for place in below if _LR.search(place.name.lower())]
    if {place.parent for place in hr} & {place.parent for place in lr}:
        raise BadFolder(f"'{folder}' holds LR beside HR; name the HR alone: {', '.join(str(folder / place) for place in hr)}")
    return files


def hr_folder(folder: Path, *, training: bool = False) -> Path:
    """Return the folder of the HR pictures in a download that has LR beside them, else `folder`.

    It is called HR, GT, DIV2K_train_HR, DIV2K_train_HR_sub or the like. Of DIV2K_train_HR and DIV2K_valid_HR the second,
    `training` the first. Where it cannot be told it is `folder`, and `list_pictures` refuses that.
    """
    if not folder.is_dir():
        return folder
    there = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    if any(path.suffix.lower() in SUFFIXES for path in there):
        return folder
    inside = {path.name.lower(): path for path in there if path.is_dir()}
    called = [inside[name] for name in HR_FOLDERS if name in inside]
    by_ending = ([path for name, path in inside.items() if name.endswith(end)] for end in _HR_ENDINGS)
    ending = next(filter(None, by_ending), [])
    if len({_PART.sub("_hr", path.name.lower()) for path in ending}) == 1:  # parts of one data set
        ending = [path for path in ending if path.name.lower().endswith("_train_hr" if training else "_valid_hr")] or ending
    return (called or ending)[0] if called or len(ending) == 1 else folder


def read_rgb(path: Path) -> np.ndarray:
    """Read a picture as `srcli upscale` does, upright; gray becomes three equal channels, alpha is left out. Raises BadPicture.

    Returns (H, W, 3) uint8; what has more bits is rounded.
    """
    pixels = read_image(path).pixels
    eight = pixels if pixels.dtype == np.uint8 else reduced(pixels, 8)
    return np.repeat(eight, 3, 2) if eight.shape[2] == 1 else eight


_SUFFIXES = [case for suffix in (".png", *sorted(SUFFIXES)) for case in (suffix, suffix.upper())]


def partner(path: Path, folder: Path, scale: int, root: Path | None = None) -> Path:
    """Find the LR or SR picture of an HR picture in `folder`; raise BadFolder where there is none.

    It has the same name, or x4, _x4, _x4_SR (EDSR), _out (Real-ESRGAN) or the like behind it, or alone begins with the name
    and "_" (BasicSR puts the network's name behind it), but for masks and the like. It lies in `folder`, or where
    DIV2K and EDSR (X4), BasicSR (X4_sub, LRbicx4) and benchmark folders (LR_bicubic/X4) keep that scale; first in the
    sub-folder that the HR has below `root`.
    """
    within = path.relative_to(root).parent if root and path.is_relative_to(root) else Path()
    of_scale = (f"x{scale}", f"_x{scale}", f"x{scale}m", f"_x{scale}_LR", f"_x{scale}_SR")
    stems = [path.name] + [path.stem + ending for ending in ("", *of_scale, "_LR", "_lr", "_SR", "_sr", "_out")]
    places = ("", f"X{scale}", f"x{scale}", f"X{scale}_sub", f"x{scale}_sub", f"LRbicx{scale}", f"LR_bicubic/X{scale}")
    wheres = [folder / place / below for below in dict.fromkeys((within, Path())) for place in places]
    wheres = [where for where in wheres if where.is_dir()]
    for where in wheres:
        for stem in stems:
            for suffix in dict.fromkeys((path.suffix, *_SUFFIXES)):
                if (candidate := where / f"{stem}{suffix}").is_file():
                    return candidate
    going_on = f"{path.stem}_"
    others = [other.stem for other in _beginning(going_on, path.parent)]  # HR pictures too
    for where in wheres:
        longer = [
            file
            for file in _beginning(going_on, where)
            if not _NO_RESULT.search(file.stem[len(path.stem) :])
            and not any(f"{file.stem}_".startswith(f"{other}_") for other in others)
            and set(re.findall(r"x(\d+)", file.stem[len(path.stem) :], re.IGNORECASE)) <= {str(scale)}
        ]
        if len(longer) == 1:
            return longer[0]
    raise BadFolder(f"no partner of '{path.name}' in '{folder}' (tried {', '.join(stems[1:4])} ...)")


def partners(pictures: Sequence[Path], folder: Path, scale: int, root: Path | None = None) -> list[Path]:
    """Find the LR or SR of every picture, as `partner`; raise BadFolder also where one would be that of two."""
    found: dict[Path, Path] = {}
    for path in pictures:
        file = partner(path, folder, scale, root)
        if (other := found.setdefault(file, path)) != path:
            apart = "keep those of sub-folders in sub-folders of the same names"
            raise BadFolder(f"'{file}' would be the partner of both '{other}' and '{path}'; {apart}")
    return list(found)


def counterpart(path: Path, root: Path, folder: Path) -> Path:
    """Return where in `folder` what is made of a picture below `root` goes: a PNG that `partner` finds, and no other's."""
    twins = [other for other in _beginning(f"{path.stem}.", path.parent) if other != path]
    target = folder / path.relative_to(root).parent / f"{path.name if twins else path.stem}.png"
    make_folder(target.parent)
    return target


def _beginning(start: str, folder: Path) -> list[Path]:
    """List the pictures in a folder whose names begin so; none where there is no folder that can be read."""
    try:
        names = _names(folder, folder.stat().st_mtime_ns)
    except OSError:
        return []
    first, last = bisect_left(names, start), bisect_right(names, start, key=lambda name: name[: len(start)])
    return [folder / name for name in names[first:last]]


@lru_cache
def _names(folder: Path, changed: int) -> list[str]:
    """List the names of the pictures in a folder in order: once each time that it was `changed`, not for every picture."""
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def read_pictures(files: list[Path], *, threads: int = 4) -> Iterator[tuple[Path, np.ndarray | str]]:
    """Yield (path, pixels or the reason it cannot be read), in order, decoded in threads, two ahead for each."""
    for path, read in read_ahead(files, read_rgb, depth=2 * threads, threads=threads):
        yield path, str(read) if isinstance(read, UserError) else read


def degrade_folder(folder: Path, lr_folder: Path, scale: int, kind: Kind, *, seed: int) -> None:
    """Write the `kind` LR of every picture in `folder` as PNG to `lr_folder`; picture n's choices depend on (seed, n)."""
    for n, (path, pixels) in enumerate(read_pictures(list_pictures(folder))):
        if isinstance(pixels, str):
            raise BadPicture(pixels)
        height, width = (size // scale * scale for size in pixels.shape[:2])
        lr = degrade_picture(pixels[:height, :width], scale, (seed, n + 1), kind)
        Image.fromarray(lr).save(counterpart(path, folder, lr_folder))

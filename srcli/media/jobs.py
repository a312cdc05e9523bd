"""Planning: which picture or video goes where, every refusal before any work; reads headers, writes nothing."""

import glob
import math
import os
import re
import string
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Literal, NamedTuple

from srcli.errors import BadFolder, BadPicture, BadVideo, DamagedPicture, OutputExists, UsageError
from srcli.files import LONGEST, files_in
from srcli.media import sniff
from srcli.media.animation import ANIMATED, MAX_RESULT, frame_count, is_animated
from srcli.media.formats import FORMATS, PICTURES, SUFFIXES, UNREADABLE, fits, size_limit, suffix_of
from srcli.media.numbered import is_sequence, number_of, numbered, numbered_path, numbered_there
from srcli.media.probe import Probe, probe

if TYPE_CHECKING:
    from srcli.media.video import Track

Exists = Literal["error", "skip", "overwrite", "rename"]
Fit = Literal["contain", "cover"]

LARGEST = 16  # times the input's side; more is a slip of the hand, and a network has nothing left to add

# Left out of folders with a line: of cameras, which lie beside the JPEG of the same photo, and of programs
_RAW = (".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw", ".3fr", ".iiq", ".x3f")
_FOREIGN = frozenset((*_RAW, ".psd", ".psb", ".exr", ".hdr"))
# Never taken from folders, but no names of folders either
_NO_FOLDERS = frozenset((".pdf", ".ps", ".eps", ".svg", ".ico", ".icns", ".pcx", ".xcf", ".j2k", ".txt", ".html", ".json"))

_RESULT = re.compile(r"(.+)_x(\d{1,2}(?:\.\d+)?)")  # the stem of a picture's result

PARTS = ".parts"  # behind the name of a video: the folder of its segments, whose name begins with a dot while it is made


@dataclass(frozen=True, slots=True)
class Box:
    """A size in px that results get instead of a factor; the proportions of a picture are kept.

    `fit`: with width and height both given, contain stays within them and cover fills them.
    `min_side`: at least this for the shorter side; a picture that has it keeps its size.
    """

    width: int | None = None
    height: int | None = None
    long_side: int | None = None
    min_side: int | None = None
    fit: Fit = "contain"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the result."""
        wanted = ((self.width, width), (self.height, height), (self.long_side, max(height, width)))
        factors = [px / side for px, side in wanted if px]
        if self.min_side:
            factors.append(max(self.min_side / min(height, width), 1.0))
        factor = max(factors) if self.fit == "cover" else min(factors)
        # half up: 53 px at 100 / 37 is 143.24
        return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)

    def __str__(self) -> str:
        """Name the size as results are named: _x4 becomes _1920x1080, _w1920, _long1920."""
        if self.width and self.height:
            return f"{self.width}x{self.height}"
        named = {"w": self.width, "h": self.height, "long": self.long_side, "min": self.min_side}
        return next(f"{letter}{px}" for letter, px in named.items() if px)


@dataclass(frozen=True, slots=True)
class Job:
    """One picture or video to upscale; `probe` is None where the header cannot be read, which reading will report."""

    source: Path
    target: Path
    format: str
    probe: Probe | None
    scale: float | Box
    size: tuple[int, int] | None = None  # height, width of the result
    skip: bool = False  # the target is there and is to stay
    fresh: bool = False  # the target is not there, and what appears before it is written is to stay
    exists: Exists = "error"  # where something appears, rename takes another name, and skip yields to what is the same
    notes: tuple[str, ...] = ()
    frames: int = 1  # of the result
    video: bool = False  # `format` is then a container, and `probe` None
    refused: str = ""  # why nothing can come of it, told when its turn comes
    first: Path | None = None  # of a pattern of numbered pictures, whose compression counts for all

    @property
    def pixels(self) -> int:
        """Px of the result, all frames; 0 where its size is not known."""
        return math.prod(self.size) * self.frames if self.size else 0


class Naming(NamedTuple):
    """A pattern for the names of results, such as "{stem}_{model}_x{scale}{ext}"; `ext` is appended where it is missing."""

    pattern: str
    model: str

    def name(self, stem: str, ext: str, scale: float | Box, facts: Probe | None) -> str:
        """Fill the fields in; raise UsageError for unknown ones, and for names that are none."""
        height, width = result_size(facts.height, facts.width, scale) if facts else (0, 0)
        if isinstance(scale, Box):
            scale = round(height / facts.height, 2) if facts else 0
        fields = {"stem": stem, "model": self.model, "scale": f"{scale:g}", "ext": ext, "width": width, "height": height}
        try:
            used = {field for _, field, _, _ in string.Formatter().parse(self.pattern) if field is not None}
            if unknown := sorted(used - set(fields)):
                known = ", ".join(f"{{{field}}}" for field in fields)
                raise UsageError(f"--name knows {known}, not {{{unknown[0]}}}")
            name = self.pattern.format(**fields)
        except (ValueError, IndexError, KeyError) as error:
            raise UsageError(f"--name '{self.pattern}' is no pattern: {error}") from error
        if not name or _leads_elsewhere(name) or name.startswith("."):
            raise UsageError(f"--name '{self.pattern}' gives '{name}', which is no name of a file; folders go to -o")
        return name if name.lower().endswith(ext.lower()) else name + ext


def _leads_elsewhere(name: str) -> bool:
    r"""Tell whether what is to be a name is none: it has folders or, as in a\b and a:b on Windows, a disk or a stream."""
    on_windows = sys.platform == "win32" and (PureWindowsPath(name).name != name or ":" in name)
    return "/" in name or "\0" in name or on_windows


@dataclass(frozen=True, slots=True)
class _Found:
    """A picture, and the folder it was found through or its number in a pattern, if any; `first`: as Job has it."""

    path: Path
    folder: Path | None = None
    number: int | None = None
    named: bool = False  # by itself
    first: Path | None = None


@contextmanager
def _in_reach() -> Iterator[None]:
    """Say in one line which path cannot be looked at: no permission on the way, or a name that is too long."""
    try:
        yield
    except OSError as error:
        raise BadFolder(f"cannot reach '{error.filename}': {error.strerror}") from error


@_in_reach()
def plan_jobs(
    sources: Sequence[str | Path],
    output: Path | None,
    *,
    scale: float | Box,
    recursive: bool = False,
    format: str = "keep",
    suffix: str | None = None,
    name: Naming | None = None,
    exists: Exists = "error",
    only: Collection[Path] | None = None,
    within: bool = False,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] | None = None,
) -> list[Job]:
    """Map files, folders and patterns to outputs; refuse collisions, existing outputs and sizes no file can have.

    `scale` is a factor, or the size in px that every picture gets. `only`: of the pictures found none but these.
    `within`: `output` is a folder, whatever its name. `say` is told what is left out: results of before that lie among the
    inputs; with skip, what is there and is not what would be written. `warn`, or else `say`, is told which of the folders
    named have no picture.
    Raises UsageError, BadPicture, BadFolder or OutputExists, in one line. A picture that cannot be read stays a job, and so
    does, among others, one of which nothing can come: those are `refused`, and the first.
    """
    if not sources:
        raise UsageError("no input given")
    wanted = _format(format)
    file = output if output is not None and not within and _is_file(output) else None
    naming = {"--name": name is not None, "--suffix": suffix is not None, "-o": file is not None}
    if len(given := [flag for flag, there in naming.items() if there]) > 1:
        raise UsageError(f"{given[0]} names the results, and so does {given[1]}: choose one")
    if suffix and _leads_elsewhere(suffix):
        raise UsageError(f"--suffix is a part of names, not '{suffix}'; folders go to -o")
    found = [
        entry
        for entry in _find([*_listed_too(sources)], output, recursive=recursive, within=within, say=say, warn=warn or say)
        if only is None or entry.path in only
    ]
    if not found and only is None:
        raise BadFolder(f"no pictures in any of the {len(sources)} folders")
    text = (f"_{scale}" if isinstance(scale, Box) else f"_x{scale:g}") if suffix is None else suffix
    if file is not None:
        jobs = _single(found, file, wanted=wanted, scale=scale)
    else:
        if output is not None and not within and [entry.folder for entry in found] == [None]:
            _refuse_misspelt(output)
        folders = {entry.folder for entry in found if entry.folder}
        jobs = []
        for entry in found:
            folder, below = _place(entry, output, text, several=len(folders) > 1)
            if suffix is not None and (output or entry.folder):
                below = below.with_name(f"{below.stem}{suffix}{below.suffix}")
            jobs.append(_job(entry.path, folder / below, wanted=wanted, scale=scale, name=name))
    jobs = [replace(job, first=entry.first) for job, entry in zip(jobs, found, strict=True)]
    if file is None:
        jobs = _without_results(jobs, exists, {entry.path for entry in found if not entry.named}, say)
    jobs, refused = _sound(jobs, exists)
    if exists == "skip":
        jobs = [_kept(job) for job in jobs]
        if other := [job.target for job in jobs if job.skip and job.notes]:
            say(f"kept, though of another size or no picture: {_listed(other)}; --exists overwrite does it again")
    elif exists == "rename":
        meant, taken = {_key(job.target) for job in jobs}, set[str]()
        jobs = [replace(job, target=_free(job, meant, taken)) for job in jobs]
    jobs, nameless = _of_fitting_names(jobs)
    refused += nameless
    _refuse_inputs(jobs, refused)
    _refuse_existing(jobs, exists)
    _refuse_unwritable(jobs)
    fresh = [exists != "overwrite" and not os.path.lexists(job.target) for job in jobs]
    return refused + [replace(job, fresh=new, exists=exists) for job, new in zip(jobs, fresh, strict=True)]


def _format(name: str) -> str | None:
    if name == "keep":
        return None
    if name in sniff.CONTAINERS.values():
        return name
    format = SUFFIXES.get(f".{name.lower().lstrip('.')}", "")
    if format not in FORMATS:
        raise UsageError(f"no format '{name}'; there are keep, {', '.join(FORMATS)}")
    return format


# Inputs


def _listed_too(sources: Sequence[str | Path]) -> Iterator[str | Path]:
    """Put the lines of a list in the place of @list.txt: paths, folders and patterns; empty lines and # comments are none.

    A file named as such a list or such a comment wins.
    """
    for source in sources:
        if not str(source).startswith("@") or os.path.lexists(source):
            yield source
            continue
        path = Path(str(source)[1:])
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        except OSError as error:
            raise BadFolder(f"cannot read the list '{path}': {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise BadFolder(f"the list '{path}' is not UTF-8 text") from error
        named = [line for line in lines if line and (not line.startswith("#") or os.path.lexists(line))]
        if not named:
            raise BadFolder(f"the list '{path}' names no picture")
        yield from named


def _find(
    sources: Sequence[str | Path],
    output: Path | None,
    *,
    recursive: bool,
    within: bool,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> Iterator[_Found]:
    for source in sources:
        path = Path(source)
        if is_sequence(path):
            pictures = numbered(path)
            if output and output.suffix.lower() in sniff.CONTAINERS and not (within or output.is_dir()):
                yield _Found(path, named=True, first=pictures[0])
            else:
                yield from (_Found(picture, number=number_of(path, picture), first=pictures[0]) for picture in pictures)
        elif path.is_dir():
            pictures = sorted(_known(files_in(path, recursive=recursive, besides=output), say))
            if not pictures:
                below = not recursive and any(child.is_dir() for child in path.iterdir())
                none = f"no pictures in '{path}'" + ("; -r takes those of its sub-folders" if below else "")
                if len(sources) == 1:
                    raise BadFolder(none)
                warn(none)
                continue
            if deeper := [] if recursive else _deeper(path, output):
                say(f"left out: sub-folders of '{path}' with pictures ({_listed(deeper)}); -r takes them")
            yield from (_Found(picture, path) for picture in pictures)
        elif path.exists():
            yield _Found(path, named=True)
        elif glob.has_magic(str(source)):
            matches = (Path(match) for match in sorted(glob.glob(str(source), recursive=True)))  # noqa: PTH207 Path.glob refuses absolute patterns
            pictures = _known((match for match in matches if match.is_file()), say)
            if not pictures:
                raise BadPicture(f"no picture matches '{source}'")
            yield from (_Found(picture) for picture in pictures)
        else:
            raise BadPicture(f"'{source}' is a link to nothing" if path.is_symlink() else _missing(source, sources))


def _deeper(folder: Path, output: Path | None) -> list[Path]:
    """Return the sub-folders in which pictures lie, those of results aside."""
    done = None if output is None else os.path.realpath(output)
    below = (child for child in sorted(folder.iterdir()) if child.is_dir() and not child.name.startswith("."))
    others = (child for child in below if os.path.realpath(child) != done)
    return [
        child
        for child in others
        if os.access(child, os.R_OK | os.X_OK) and any(pictures_in(child, recursive=False, output=output))
    ]


def _missing(source: str | Path, sources: Sequence[str | Path]) -> str:
    """Say that `source` is not there, and whether it may be an output, or a part of a name that a shell has split."""
    at = sources.index(source)
    for end in range(at + 2, len(sources) + 1):
        name = " ".join(map(str, sources[at:end]))
        if Path(name).exists():
            return f"there is no '{source}'; put quotes around a name with spaces: \"{name}\""
    if at == 1 and len(sources) == 2 and Path(source).suffix:  # as other programs take their output
        return f"there is no '{source}'; if it is to be written: -o '{source}'"
    return f"there is no '{source}'"


def pictures_in(folder: Path, *, recursive: bool, output: Path | None) -> Iterator[Path]:
    """List pictures by suffix, passing over hidden names, the output folder and folders already seen through a link."""
    return filter(_is_picture, files_in(folder, recursive=recursive, besides=output))


def _known(paths: Iterable[Path], say: Callable[[str], None]) -> list[Path]:
    """Take the pictures by suffix; tell of those of formats that srcli does not know."""
    files = list(paths)
    if foreign := sorted(path for path in files if path.suffix.lower() in _FOREIGN):
        say(f"left out, as srcli cannot read it: {_listed(foreign)}")
    return [path for path in files if _is_picture(path)]


def _is_picture(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in sniff.DOUBTFUL:
        return sniff.is_video(path)
    return suffix in PICTURES or suffix in sniff.SUFFIXES


# Outputs


def _is_file(output: Path) -> bool:
    """Tell by the suffix; a folder that is there stays a folder, whatever its name."""
    return (_is_picture(output) or output.suffix.lower() in _FOREIGN | _NO_FOLDERS) and not output.is_dir()


def _single(found: list[_Found], output: Path, *, wanted: str | None, scale: float | Box) -> list[Job]:
    if is_sequence(output) and all(not entry.folder for entry in found):
        return _numbered_jobs(found, output, wanted=wanted, scale=scale)
    if len(found) > 1 or found[0].folder:
        if all(entry.number is not None for entry in found):
            others = f"give a folder, a pattern such as '{output.stem}_%05d.png', or a video such as '{output.stem}.mp4'"
            raise UsageError(f"'{output}' is one file, but there are {len(found)} numbered pictures; {others}")
        inputs = f"'{found[0].folder}' is a folder" if found[0].folder else f"there are {len(found)} inputs"
        raise UsageError(f"'{output}' is one file, but {inputs}; give a folder as output")
    if sniff.is_video(found[0].path) or output.suffix.lower() in sniff.SUFFIXES:
        return [_single_video(found[0].path, output, wanted=wanted, scale=scale)]
    format = SUFFIXES.get(output.suffix.lower(), "")
    if format not in FORMATS and not (format == "gif" and frame_count(found[0].path) > 1):
        raise UsageError(f"cannot write '{output}': the formats are {', '.join(FORMATS)}")
    _refuse_other(output, format, wanted)
    job = _job(found[0].path, output, wanted=format, scale=scale)
    _refuse_misnamed(output, [job])
    return [job]


def _refuse_other(output: Path, format: str, wanted: str | None) -> None:
    """Raise UsageError where the user named a result as another format than they asked for."""
    if wanted not in (None, format):
        raise UsageError(f"'{output}' is {format}, but the format asked for is {wanted}")


def _refuse_misnamed(output: Path, jobs: list[Job]) -> None:
    """Raise UsageError where the user named a result as another kind of PPM than it will be."""
    for job in jobs:
        channels = job.probe.channels if job.probe else 3
        if job.format == SUFFIXES.get(output.suffix.lower()) and not fits(output.suffix.lower(), job.format, channels):
            what = "gray of 8 or 16 bits" if channels == 1 else "colour"
            raise UsageError(f"'{output}' would hold {what}: name it {suffix_of(job.format, channels)}")


def _numbered_jobs(found: list[_Found], pattern: Path, *, wanted: str | None, scale: float | Box) -> list[Job]:
    """Number the results: pictures each on its own, those of one pattern as they are, a video's frames as one job."""
    format = SUFFIXES.get(pattern.suffix.lower(), "")
    if format not in FORMATS:
        raise UsageError(f"cannot write '{pattern}': the formats are {', '.join(FORMATS)}")
    _refuse_other(pattern, format, wanted)
    if len(found) == 1 and (sniff.is_video(found[0].path) or (found[0].number is None and is_animated(found[0].path))):
        film = Job(found[0].path, pattern, format, None, scale, video=True)
        _refuse_misnamed(pattern, [film])
        return [film]
    own = [entry.number for entry in found if entry.number is not None]
    numbers = own if len(set(own)) == len(found) else range(1, len(found) + 1)
    jobs = [
        _job(entry.path, numbered_path(pattern, n), wanted=format, scale=scale) for n, entry in zip(numbers, found, strict=True)
    ]
    _refuse_misnamed(pattern, jobs)
    return jobs


def _single_video(source: Path, output: Path, *, wanted: str | None, scale: float | Box) -> Job:
    format = sniff.CONTAINERS.get(output.suffix.lower())
    film = sniff.is_video(source) or is_sequence(source) or source.suffix.lower() in sniff.SUFFIXES
    if not film and frame_count(source) == 1:
        raise UsageError(f"'{source}' is no video and no animation, but '{output}' would be a video")
    if format is None:
        still = SUFFIXES.get(output.suffix.lower()) in FORMATS
        numbered = f"; numbered pictures: '{output.with_name(f'{output.stem}_%05d{output.suffix}')}'" if still else ""
        containers = ", ".join(dict.fromkeys(sniff.CONTAINERS.values()))
        raise UsageError(f"cannot write '{output}': a video becomes {containers}{numbered}")
    _refuse_other(output, format, wanted)
    return Job(source, output, format, None, scale, video=True)


def _video_job(source: Path, target: Path, *, wanted: str | None, scale: float | Box, name: Naming | None) -> Job:
    own = sniff.container_of(source)
    container = wanted if wanted and wanted in sniff.CONTAINERS.values() else own
    notes: tuple[str, ...] = ()
    if container == own and source.suffix.lower() not in sniff.CONTAINERS:
        notes = (f"{source.suffix.lower().lstrip('.').upper() or 'this container'} cannot be written: stored as {container}",)
    if sniff.CONTAINERS.get(target.suffix.lower()) != container:
        target = _with_suffix(target, source, sniff.suffix_of(container))
    if name:
        target = target.with_name(name.name(source.stem, target.suffix, scale, _film_facts(source)))
    return Job(source, target, container, None, scale, notes=notes, video=True)


def _place(entry: _Found, output: Path | None, text: str, *, several: bool) -> tuple[Path, Path]:
    """Give the output folder and the name below it, not yet with the suffix of its format."""
    if entry.folder is None:
        if output is None:
            return entry.path.parent, Path(f"{entry.path.stem}{text}{entry.path.suffix}")
        return output, Path(entry.path.name)
    name = entry.path.relative_to(entry.folder)
    folder = entry.folder if entry.folder.name not in ("", "..") else entry.folder.resolve()
    if output is None:
        return folder.parent / f"{folder.name}{text}", name
    return (output / folder.name if several else output), name


def _job(source: Path, target: Path, *, wanted: str | None, scale: float | Box, name: Naming | None = None) -> Job:
    if sniff.is_video(source):
        return _video_job(source, target, wanted=wanted, scale=scale, name=name)
    if wanted in sniff.CONTAINERS.values():
        wanted = None  # which is what the videos beside it become
    try:
        facts = probe(source)
    except BadPicture:
        if source.suffix.lower() in sniff.SUFFIXES:
            return _video_job(source, target, wanted=wanted, scale=scale, name=name)  # which will say what is wrong with it
        facts = None
    format = wanted or (facts.format if facts else SUFFIXES.get(source.suffix.lower(), "png"))
    notes: tuple[str, ...] = ()
    frames = frame_count(source) if facts and facts.format in ANIMATED and format in ANIMATED else 1
    if format not in FORMATS and frames == 1:
        notes = (f"{format.upper()} cannot be written: stored as PNG",)
        format = "png"
    # what will never be read does not claim the name of the PNG that it was converted to
    channels = facts.channels if facts else 1
    if not fits(target.suffix.lower(), format, channels) and (facts or target.suffix.lower() not in UNREADABLE):
        target = _with_suffix(target, source, suffix_of(format, channels))
    if name:
        target = target.with_name(name.name(source.stem, target.suffix, scale, facts))
    size = result_size(facts.height, facts.width, scale) if facts else None
    if facts and size and size[0] <= facts.height:
        kept = size == (facts.height, facts.width)
        what = "is its size already, kept" if kept else "is smaller than it is: resampled, without the network"
        notes = (*notes, f"{size[1]} x {size[0]} px {what}")
    return Job(source, target, format, facts, scale, size, notes=notes, frames=frames)


def _with_suffix(target: Path, source: Path, suffix: str) -> Path:
    """Put a suffix in the place of the source's own; ".5" of "photo_x2.5" is none."""
    return target.with_name((target.stem if target.suffix == source.suffix else target.name) + suffix)


def result_size(height: int, width: int, scale: float | Box) -> tuple[int, int]:
    """Return the height and width that a picture gets; a factor rounds up, as MATLAB's imresize does."""
    if isinstance(scale, Box):
        return scale.size(height, width)
    return math.ceil(height * scale - 1e-9), math.ceil(width * scale - 1e-9)


# Refusals


@_in_reach()
def refuse_unreadable(sources: Sequence[str | Path]) -> None:
    """Raise BadPicture where the one input is a file whose header refuses it: at once, before a network is opened."""
    path = Path(sources[0])
    film = path.suffix.lower() in sniff.SUFFIXES or (path.is_file() and sniff.is_video(path))
    if len(sources) == 1 and path.is_file() and not film:
        probe(path)


def _sound(jobs: list[Job], exists: Exists) -> tuple[list[Job], list[Job]]:
    """Drop files named twice; part jobs from those `refused`: of a size that no file has, or with the target of another.

    Targets are one also where case is all that differs: other disks ignore it. Raises BadPicture where no job is left,
    UsageError where all would have one target.
    """
    sources: dict[str, Job] = {}
    for job in jobs:
        sources.setdefault(f"{_key(job.target)}\0{os.path.realpath(job.source)}", job)
    targets: dict[str, Job] = {}
    sound, refused, collision = list[Job](), list[Job](), ""
    for job in sources.values():
        reason = _oversize(job)
        if not reason and (other := targets.setdefault(_key(job.target), job)) is not job and exists != "rename":
            how = "are the same file" if other.target.name == job.target.name else "differ only by case"
            outputs = f"their outputs '{other.target}' and '{job.target}' {how}"
            if other.target == job.target:
                outputs = f"both would be '{job.target}'"
            reason = f"'{other.source}' and '{job.source}' collide: {outputs}; choose --exists rename or a --name"
            collision = collision or reason
        if reason:
            refused.append(_refused(job, reason))
        else:
            sound.append(job)
    if refused and not sound:
        raise BadPicture(refused[0].refused)
    if collision and len(sound) == 1:
        raise UsageError(collision)
    return sound, refused


def _without_results(jobs: list[Job], exists: Exists, sought: Collection[Path], say: Callable[[str], None]) -> list[Job]:
    """Leave out what is the result of another job, or of those `sought` was at whatever scale: '*.png' finds results, too."""
    found = [(job, _resolved(job.source), _resolved(job.target)) for job in jobs]
    made = {target for _, source, target in found if target != source} if exists in ("skip", "rename") else set()
    called: dict[tuple[Path, str, bool], list[Job]] = {}
    for job in jobs:
        called.setdefault((job.source.parent, job.source.stem, job.video), []).append(job)
    results = dict.fromkeys(
        job.source for job, source, _ in found if source in made or (job.source in sought and _was_made(job, called))
    )
    if results:
        say(f"no inputs, as they are results of others: {_listed(results)}")
    return [job for job in jobs if job.source not in results]


def _was_made(job: Job, called: Mapping[tuple[Path, str, bool], Collection[Job]]) -> bool:
    """Tell by name and size, as of a_x2.png beside a.png, whether a source is the result of another job.

    `called`: the jobs by the folders and stems of their sources, videos apart.
    """
    match = _RESULT.fullmatch(job.source.stem)
    if not match or (factor := float(match[2])) <= 1 or (own := _sides(job)) is None:
        return False
    sizes = map(_sides, called.get((job.source.parent, match[1], job.video), ()))
    more = range(1 + job.video)  # px: a row or a column of a video is repeated where a codec needs even sides
    return any(all(a - b in more for a, b in zip(own, result_size(*size, factor), strict=True)) for size in sizes if size)


def _sides(job: Job) -> tuple[int, int] | None:
    """Return the height and width of a source, of a video those of its first track; None where it cannot be read."""
    if not job.video:
        return (job.probe.height, job.probe.width) if job.probe else None
    track = _first_track(job.source)
    return (track.height, track.width) if track else None


def _first_track(film: Path) -> "Track | None":
    from srcli.media.video import probe_video  # PyAV, for videos only

    with suppress(BadVideo):
        return probe_video(film).tracks[0]
    return None


def _film_facts(film: Path) -> Probe | None:
    """Return what a film's header tells for the name of its result: the size as it is shown."""
    track = _first_track(film)
    if track is None:
        return None
    height, width = (track.width, track.height) if track.turned else (track.height, track.width)
    return Probe(height, width, 3, track.alpha, track.depth, track.codec)


def _resolved(path: Path) -> str:
    """Name a file itself, be it a link; realpath, unlike Path.resolve, takes links that form a loop."""
    return os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118


def _key(target: Path) -> str:
    return _resolved(target).casefold()


def _of_fitting_names(jobs: list[Job]) -> tuple[list[Job], list[Job]]:
    """Part jobs from those whose results would have longer names than there can be; raise UsageError where no job is left."""
    fitting, refused = list[Job](), list[Job]()
    for job in jobs:
        length, most = len(os.fsencode(job.target.name)), LONGEST - len("." + PARTS) * job.video
        if length <= most:
            fitting.append(job)
        else:
            reason = f"the output of '{job.source}' would have a name of {length} bytes, {most} is the most; use --name"
            refused.append(_refused(job, reason))
    if refused and not fitting:
        raise UsageError(refused[0].refused)
    return fitting, refused


def _refused(job: Job, reason: str) -> Job:
    return replace(job, refused=reason, probe=None, size=None, frames=1, video=False)


def _refuse_misspelt(output: Path) -> None:
    """Refuse to make a folder, for one result, of what was meant as a file."""
    known = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".bmp", *sniff.CONTAINERS]
    if not output.exists() and (meant := get_close_matches(output.suffix.lower(), known, 1, cutoff=0.75)):
        raise UsageError(
            f"no format has the suffix {output.suffix}; did you mean {meant[0]}? A folder of that name: make it first"
        )


def _oversize(job: Job) -> str:
    """Say why no file has the size of a result; "" where one has."""
    if not job.size:
        return ""
    height, width = job.size
    would = f"the result of '{job.source}' would be"
    if job.probe and max(job.size) > LARGEST * max(job.probe.height, job.probe.width):
        return f"{would} {width} x {height} px, more than {LARGEST} times its size"
    if job.frames > 1 and job.frames * math.prod(job.size) > MAX_RESULT:
        return f"{would} {job.frames} frames of {width} x {height} px, more than {MAX_RESULT:,} px; choose less, or -o NAME.mp4"
    if max(job.size) > size_limit(job.format):
        limit = f"{job.format.upper()} ends at {size_limit(job.format):,}"
        return f"{would} {width} x {height} px, but {limit}; choose --format png"
    return ""


def _refuse_inputs(jobs: list[Job], others: list[Job]) -> None:
    """Raise UsageError where one of `jobs` would be written over the source of any job."""
    every = [*jobs, *others]
    inputs = {path: job for job in every for path in (os.path.realpath(job.source), _resolved(job.source))}
    files = {mark: job for job in every if (mark := _inode(job.source))}
    for job in jobs:
        mark = _inode(job.target)
        input = inputs.get(_resolved(job.target)) or (files.get(mark) if mark else None)
        if input and not (job.skip and input.probe and job.size == (input.probe.height, input.probe.width)):
            what = "itself" if input is job else f"the input '{input.source}'"
            raise UsageError(f"the output of '{job.source}' would be {what}; choose another folder with -o or a --suffix")


def _inode(path: Path) -> tuple[int, int] | None:
    """Tell which file a name is of that no other name is of: on some disks a name is the same in other case."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_nlink == 1 and status.st_ino else None


def _refuse_existing(jobs: list[Job], exists: Exists) -> None:
    there = [job.target for job in jobs if os.path.lexists(job.target) and not (job.video and _published(job.target))]
    there += [job.target for job in jobs if _has_numbered(job)]
    if folders := [target for target in there if target.is_dir()]:
        raise OutputExists(f"{_listed(folders)} should be written, but is a folder")
    if exists == "error" and there:
        raise OutputExists(f"already there: {_listed(there)}; choose --exists skip, overwrite or rename")


def _has_numbered(job: Job) -> bool:
    """Tell whether a video's numbered pictures are there, and no unfinished run made them."""
    if not (job.video and is_sequence(job.target)):
        return False
    return bool(numbered_there(job.target)) and not job.target.with_name(job.target.name + PARTS).is_dir()


def _published(target: Path) -> bool:
    from srcli.media.segments import published  # PyAV, for videos only

    return published(target)


def is_result(job: Job) -> bool:
    """Tell whether what is there is a picture of the size that would be written."""
    kept = _kept(job)
    return kept.skip and not kept.notes


def _kept(job: Job) -> Job:
    """Skip what is there, with a note where it is something else; but a picture that breaks off is done again.

    A video has its name only when it is whole.
    """
    if job.video:
        return replace(job, skip=job.target.is_file() or _has_numbered(job))
    if not os.path.lexists(job.target):
        return job
    try:
        there = probe(job.target)
        other = "" if job.size in (None, (there.height, there.width)) else f"{there.width} x {there.height} px"
    except DamagedPicture:
        return job
    except BadPicture:
        other = "no picture that can be read"
    notes = (f"kept, though it is {other}; --exists overwrite does it again",) if other else ()
    return replace(job, skip=True, notes=notes)


def _free(job: Job, meant: Collection[str], taken: set[str]) -> Path:
    """Number a target that is there, or has been `taken`; what is `meant` by others stays theirs."""
    target = free = job.target
    number = 2
    while (
        os.path.lexists(free)
        or _has_numbered(replace(job, target=free))
        or _key(free) in taken
        or (_key(free) in meant and free != target)
    ):
        free, number = target.with_name(f"{target.stem}_{number}{target.suffix}"), number + 1
    taken.add(_key(free))
    return free


def renamed(job: Job) -> Job:
    """Give the result a name that is free by now."""
    return replace(job, target=_free(job, (), set()))


def _refuse_unwritable(jobs: list[Job]) -> None:
    for folder in dict.fromkeys(job.target.parent for job in jobs if not job.skip):
        there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
        if not there.is_dir():
            raise BadFolder(f"cannot write to '{folder}': '{there}' is not a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise BadFolder(f"cannot write to '{folder}': '{there}' is read-only, at least for this user")


def _listed(paths: Iterable[Path]) -> str:
    names = [f"'{path}'" for path in paths]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more

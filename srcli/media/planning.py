"""Planning: which picture or video goes where, every refusal before any work; reads headers, writes nothing."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from srcli.errors import BadFolder, BadPicture, UsageError
from srcli.media import sniff
from srcli.media.animation import ANIMATED, frame_count, is_animated
from srcli.media.conflicts import settle, without_results
from srcli.media.formats import FORMATS, SUFFIXES, UNREADABLE, fits, suffix_of
from srcli.media.inputs import FOREIGN, Found, find_inputs, first_track, is_picture, listed_too
from srcli.media.jobs import Box, Exists, Job, Naming, leads_elsewhere, result_size
from srcli.media.numbered import is_sequence, numbered_path
from srcli.media.probe import Probe, probe

# Never taken from folders, but no names of folders either
_NO_FOLDERS = frozenset((".pdf", ".ps", ".eps", ".svg", ".ico", ".icns", ".pcx", ".xcf", ".j2k", ".txt", ".html", ".json"))


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
    if suffix and leads_elsewhere(suffix):
        raise UsageError(f"--suffix is a part of names, not '{suffix}'; folders go to -o")
    found = [
        entry
        for entry in find_inputs([*listed_too(sources)], output, recursive=recursive, within=within, say=say, warn=warn or say)
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
        jobs = without_results(jobs, exists, {entry.path for entry in found if not entry.named}, say)
    return settle(jobs, exists, say)


def _format(name: str) -> str | None:
    if name == "keep":
        return None
    if name in sniff.CONTAINERS.values():
        return name
    format = SUFFIXES.get(f".{name.lower().lstrip('.')}", "")
    if format not in FORMATS:
        raise UsageError(f"no format '{name}'; there are keep, {', '.join(FORMATS)}")
    return format


@_in_reach()
def refuse_unreadable(sources: Sequence[str | Path]) -> None:
    """Raise BadPicture where the one input is a file whose header refuses it: at once, before a network is opened."""
    path = Path(sources[0])
    film = path.suffix.lower() in sniff.SUFFIXES or (path.is_file() and sniff.is_video(path))
    if len(sources) == 1 and path.is_file() and not film:
        probe(path)


def _is_file(output: Path) -> bool:
    """Tell by the suffix; a folder that is there stays a folder, whatever its name."""
    return (is_picture(output) or output.suffix.lower() in FOREIGN | _NO_FOLDERS) and not output.is_dir()


def _single(found: list[Found], output: Path, *, wanted: str | None, scale: float | Box) -> list[Job]:
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


def _refuse_misspelt(output: Path) -> None:
    """Refuse to make a folder, for one result, of what was meant as a file."""
    known = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".bmp", *sniff.CONTAINERS]
    if not output.exists() and (meant := get_close_matches(output.suffix.lower(), known, 1, cutoff=0.75)):
        raise UsageError(
            f"no format has the suffix {output.suffix}; did you mean {meant[0]}? A folder of that name: make it first"
        )


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


def _numbered_jobs(found: list[Found], pattern: Path, *, wanted: str | None, scale: float | Box) -> list[Job]:
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


def _place(entry: Found, output: Path | None, text: str, *, several: bool) -> tuple[Path, Path]:
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


def _film_facts(film: Path) -> Probe | None:
    """Return what a film's header tells for the name of its result: the size as it is shown."""
    track = first_track(film)
    if track is None:
        return None
    height, width = (track.width, track.height) if track.turned else (track.height, track.width)
    return Probe(height, width, 3, track.alpha, track.depth, track.codec)

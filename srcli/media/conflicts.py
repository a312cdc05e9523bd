"""What stands in the way of jobs: each other, what is there already, sizes and names that no file can have."""

import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

from srcli.errors import BadFolder, BadPicture, DamagedPicture, OutputExists, UsageError, listed
from srcli.files import LONGEST
from srcli.media.animation import MAX_RESULT
from srcli.media.formats import size_limit
from srcli.media.inputs import first_track
from srcli.media.jobs import PARTS, Exists, Job, result_size
from srcli.media.numbered import is_sequence, numbered_there
from srcli.media.probe import probe

LARGEST = 16  # times the input's side; more is a slip of the hand, and a network has nothing left to add

_RESULT = re.compile(r"(.+)_x(\d{1,2}(?:\.\d+)?)")  # the stem of a picture's result


def settle(jobs: list[Job], exists: Exists, say: Callable[[str], None]) -> list[Job]:
    """Do with targets that are there as `exists` says; raise UsageError, BadPicture, BadFolder or OutputExists.

    Of several jobs, those of which nothing can come are `refused`, and the first. `say`: with skip, what is kept though it is
    something else.
    """
    jobs, refused = _without_collisions(jobs, exists)
    if exists == "skip":
        jobs = [_kept(job) for job in jobs]
        if other := [job.target for job in jobs if job.skip and job.notes]:
            say(f"kept, though of another size or no picture: {listed(other)}; --exists overwrite does it again")
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


def _without_collisions(jobs: list[Job], exists: Exists) -> tuple[list[Job], list[Job]]:
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


def without_results(jobs: list[Job], exists: Exists, sought: Collection[Path], say: Callable[[str], None]) -> list[Job]:
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
        say(f"no inputs, as they are results of others: {listed(results)}")
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
    track = first_track(job.source)
    return (track.height, track.width) if track else None


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
        raise OutputExists(f"{listed(folders)} should be written, but is a folder")
    if exists == "error" and there:
        raise OutputExists(f"already there: {listed(there)}; choose --exists skip, overwrite or rename")


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

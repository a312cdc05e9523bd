"""A folder that fills: files as they come to rest, and where each goes."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from srcli.engine.pipeline import Done
from srcli.errors import BadFolder, UserError
from srcli.media.inputs import pictures_in
from srcli.media.jobs import Job

REST = 1.0  # seconds between two looks; a file is whole when size and time are the same in both


def arrivals(
    folder: Path, *, recursive: bool, output: Path | None, again: Collection[Path] = (), idle: float | None = None
) -> Iterator[list[Path]]:
    """Yield the pictures and videos of `folder` as they come, those that are there first, each once.

    What lies in `output` is none of them. A file in `again` comes once more when it has changed. Ends after `idle` seconds
    without any change, or never. Raises BadFolder when the folder is gone.
    """
    seen: dict[Path, tuple[int, int]] = {}
    taken: dict[Path, tuple[int, int]] = {}
    latest = time.monotonic()
    while True:
        now = _marks(folder, recursive=recursive, output=output)
        ready = [
            path
            for path, mark in now.items()
            if seen.get(path) == mark and (path not in taken or (path in again and taken[path] != mark))
        ]
        taken |= {path: now[path] for path in ready}
        if ready:
            yield ready
        if ready or now != seen:
            latest = time.monotonic()
        elif idle is not None and time.monotonic() - latest >= idle:
            return
        seen = now
        time.sleep(REST)


def plan_arrivals(
    paths: Collection[Path], plan: Callable[..., list[Job]], made: Mapping[Path, Path]
) -> tuple[list[Job], list[Done]]:
    """Plan files together, or one by one where one is refused; return the jobs and the refusals.

    `plan(only=paths)` is plan_jobs of their folder. `made`: the inputs of this run by their outputs, which no other may have.
    """
    jobs: list[Job] = []
    refused: list[Done] = []
    try:
        jobs = plan(only=set(paths))
    except UserError:
        for path in paths:
            try:
                jobs += plan(only={path})
            except UserError as error:
                refused.append(Done(path, path, "failed", error=str(error)))
    owners, kept = dict(made), []
    for job in jobs:
        owner = job.source if job.refused else owners.setdefault(job.target, job.source)
        if owner == job.source:
            kept.append(job)
        else:
            reason = f"its output '{job.target}' is that of '{owner}'; choose another --name"
            refused.append(Done(job.source, job.target, "failed", error=reason))
    return kept, refused


def _marks(folder: Path, *, recursive: bool, output: Path | None) -> dict[Path, tuple[int, int]]:
    """Take down size and time of every file."""
    marks = {}
    try:
        for path in pictures_in(folder, recursive=recursive, output=output):
            with suppress(OSError):  # vanished since it was listed, or a link to nothing
                status = path.stat()
                marks[path] = (status.st_size, status.st_mtime_ns)
    except BadFolder:
        if not folder.is_dir():
            raise
    return marks

"""What a run of srcli upscale did, as one JSON document: enough to do it again, and to see what went wrong.

Every rank notes what it did in a hidden file of lines beside the report; rank 0 makes one document of them at the end, also
where that comes early. A process that is killed leaves its lines; the next run with the same report takes them away.
"""

import json
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import escape
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from srcli import __version__, checkpoint, hub, zoo
from srcli.engine.distributed import Team
from srcli.engine.likeness import Likeness
from srcli.engine.runner import Work
from srcli.errors import BadFolder, OutputExists, UsageError, UserError
from srcli.files import LONGEST, hold, is_held, make_folder, write_text, writing_to
from srcli.media.probe import probe
from srcli.models.base import SRModel
from srcli.records import jsonable

VERSION = 1  # of the document's form
_KIND = "srcli upscale"  # what tells a report from other JSON
_LINGER = 5.0  # seconds that rank 0 waits for the others' last lines where the run did not come to its end


@dataclass(frozen=True, slots=True)
class Account:
    """What a report says of one picture beyond Done."""

    sha256: str | None = None  # of the input as it was read
    passes: tuple[Work, ...] = ()  # of the networks; of all pictures that shared them
    shared: int = 1  # pictures that went through the network together
    likeness: Likeness | None = None


class Journal:
    """The report of one run, at `path`; `rank` is this process' among those of a torchrun.

    A report that cannot be written stops no picture: `say` is told once, and `lost` is true from then on.
    """

    def __init__(self, path: Path, rank: int, world: int, say: Callable[[str], None] = lambda line: None) -> None:
        self._path, self._rank, self._world, self._say = path, rank, world, say
        self.lost = False
        self._started, self._began = datetime.now(UTC), time.monotonic()
        self._head: dict[str, Any] = {}
        if rank == 0:
            for old in path.parent.glob(f".{escape(path.name)}.rank*"):
                if re.fullmatch(re.escape(f".{path.name}.rank") + r"\d+", old.name):
                    old.unlink(missing_ok=True)
            with writing_to(path):
                self._mark = _part(path, 0).open("a")  # held as long as the run: another must not take its lines away
            hold(self._mark)

    def head(self, **facts: object) -> None:
        """Take facts of the whole run, such as its machine and models."""
        self._head |= facts

    def add(self, done: Any, account: Account | None = None) -> None:
        """Note what became of a file: a record with its `input` and `output`; safe from any one thread."""
        record = jsonable(done)
        there = done.status in ("done", "skipped")
        record["input"] = facts_of(done.input)
        record["output"] = facts_of(done.output) if there else {"path": str(done.output)}
        if account:
            record |= jsonable(account)
            record["input"]["sha256"] = record.pop("sha256") or digest(done.input)
        if self._world > 1:
            record["rank"] = self._rank
        self._append(json.dumps(record))

    def close(self, status: str, error: str | None = None) -> None:
        """Write the document, whole or not at all; ranks other than 0 say that their lines are complete."""
        if self._rank:
            self._append("end")
            return
        with self._noticing_loss():
            if not self.lost:
                self._write(status, error)
        self._mark.close()
        for rank in range(self._world):
            _part(self._path, rank).unlink(missing_ok=True)

    def _write(self, status: str, error: str | None) -> None:
        files = [record for rank in range(self._world) for record in self._read(rank, wait=status != "finished")]
        with suppress(LookupError, TypeError, AttributeError):  # of a report that somebody changed
            self._take_over(files, _document(self._path))
        document = {
            "kind": _KIND,
            "version": VERSION,
            "status": status,
            "error": error,
            "started": self._started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._began, 3),
            **jsonable(self._head),
            "files": sorted(files, key=lambda record: (record["input"]["path"], record["output"]["path"])),
        }
        write_text(self._path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")  # backslashes: JSON's escapes

    def _take_over(self, files: list[dict[str, Any]], before: Mapping[str, Any]) -> None:
        """Let the records of what was skipped say what the report before says of how it was made, and name the networks."""
        made = {record["output"]["path"]: record for record in before.get("files", ())}
        through = set()  # the networks, by name
        for at, record in enumerate(files):
            old = made.get(record["output"]["path"])
            if record["status"] == "skipped" and old and old["output"] == record["output"]:
                files[at] = record | old | {"status": "skipped", "input": record["input"] | old["input"]}
                through.add(old.get("model"))
        models = self._head.get("models", [])
        self.head(models=models + [model for model in before["models"] if model["name"] in through and model not in models])

    def _append(self, line: str) -> None:
        with self._noticing_loss():
            if not self.lost:
                with _part(self._path, self._rank).open("a") as file:
                    file.write(line + "\n")

    @contextmanager
    def _noticing_loss(self) -> Iterator[None]:
        try:
            with writing_to(self._path):
                yield
        except BadFolder as error:
            self.lost = True
            self._say(f"{error}; there is no report of this run")

    def _read(self, rank: int, *, wait: bool) -> list[dict[str, Any]]:
        part, patience = _part(self._path, rank), time.monotonic() + (_LINGER if wait and rank else 0)
        while True:
            lines = part.read_text().splitlines() if part.exists() else []
            if lines[-1:] == ["end"] or time.monotonic() >= patience:
                break
            time.sleep(0.1)
        records = []
        for line in lines:
            with suppress(ValueError):  # "end", and what a kill cut off
                records.append(json.loads(line))
        return records


@contextmanager
def keeping(
    path: Path | None, team: Team, say: Callable[[str], None] = lambda line: None, *, output: Path | None = None
) -> Iterator[Journal | None]:
    """Keep a report at `path` for the run in this block, and write it however the block ends; None without a path.

    Its folder is made where it is `output`, which the run makes, or lies below. Raises UsageError, BadFolder and OutputExists
    for a path that is no place for a report; what goes wrong with it later is for `say`.
    """
    if path is None:
        yield None
        return
    with team.together():
        if team.leads:
            _refuse(path, team.world, output)
        journal = Journal(path, team.rank, team.world, say)
    status, reason = "stopped", None
    try:
        yield journal
        status = "finished"
    except UserError as error:
        reason = str(error)
        raise
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        journal.close(status, reason)


def machine(device: torch.device) -> dict[str, Any]:
    """Say what computes, and with which versions of what it computes with."""
    packages = {name: metadata.version(name) for name in ("torch", "numpy", "pillow", "av", "tifffile")}
    return {
        "srcli": __version__,
        "python": platform.python_version(),
        "packages": packages,
        "system": platform.platform(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def command() -> dict[str, str]:
    """Say what was typed, and where."""
    return {"command": shlex.join(["srcli", *sys.argv[1:]]), "folder": str(Path.cwd())}


def model_facts(reference: str, networks: Sequence[SRModel]) -> list[dict[str, Any]]:
    """Say of every network which it is and which file it came from."""
    return [
        {"name": reference, "arch": network.arch, "scale": network.scale, "config": network.config, **_file(reference, network)}
        for network in networks
    ]


def facts_of(path: Path) -> dict[str, Any]:
    """Say what a file is: its path, size, time and, of a picture, what its header says."""
    facts: dict[str, Any] = {"path": str(path)}
    with suppress(OSError):
        status = path.stat()
        facts |= {"bytes": status.st_size, "modified": datetime.fromtimestamp(status.st_mtime, UTC).isoformat()}
        with suppress(UserError):
            facts |= probe(path)._asdict()
    return facts


def _part(path: Path, rank: int) -> Path:
    """Name the hidden file of a rank's lines."""
    return path.parent / f".{path.name}.rank{rank}"


def _refuse(path: Path, world: int, output: Path | None) -> None:
    if path.suffix != ".json":
        raise UsageError(f"--report is a name that ends in .json, not '{path}'")
    if output and path.parent.resolve().is_relative_to(output.resolve()):
        make_folder(path.parent)
    if not os.access(path.parent, os.W_OK | os.X_OK):  # false for what is not there, too
        raise BadFolder(f"the report '{path}' cannot be written: no folder '{path.parent}', or it is read-only")
    if (length := len(os.fsencode(_part(path, world - 1).name))) > LONGEST:
        raise UsageError(f"the name of the report '{path}' is {length - LONGEST} bytes too long")
    if is_held(_part(path, 0)):
        raise UsageError(f"another run is writing the report '{path}'; choose another name for --report")
    if path.exists() and not _document(path):
        raise OutputExists(f"'{path}' is there and is no report of srcli; choose another name for --report")


def _document(path: Path) -> dict[str, Any]:
    """Return the report that an earlier run wrote; {} of what is none."""
    with suppress(OSError, ValueError, AttributeError):
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document.get("kind") == _KIND:
            return document
    return {}


def _file(reference: str, network: SRModel) -> dict[str, Any]:
    if not network.learnt:
        return {"file": None}
    for scale in (network.scale, None):
        with suppress(UserError):
            path = zoo.find_weights(reference, scale, offline=True)
            licence = hub.licence_of(path)
            with suppress(UserError):  # of a file that is not srcli's own
                licence = checkpoint.read_card(path).licence or licence
            return {"file": str(path), "sha256": zoo.hash_of(path), "licence": licence or None}
    return {"file": None}


def digest(path: Path) -> str | None:
    """Return a file's SHA-256 as hex; None of what is no file, or cannot be read."""
    try:
        return zoo.hash_of(path) if path.is_file() else None
    except OSError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

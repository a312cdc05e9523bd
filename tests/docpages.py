"""The documentation as something to run: the blocks of a page and their marks, stand-ins for its files, how a command is run.

A block in `sh` or `python` is run unless a comment before it says why not; one in `text` is what the block before it prints.
"""

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PIL import Image

from tests.clips import make_clip
from tests.program import srcli

ROOT = Path(__file__).parent.parent
REASONS = {"it installs packages", "it needs the network", "it needs ffmpeg", "it needs the authors' files"}
LANGUAGES = {"sh", "python", "text", "toml", ""}

# what would take too long, or fits the stand-ins no better, and what is run instead
SHORTER = {
    r"--(steps|minutes) \d+": "--steps 2 --batch 2 --patch 16",
    r"--time\b": "--time --input 24x24",
    r"--watch-idle \d+": "--watch-idle 1",
    r"--at 0:01:23": "--at 0.08",
    r"--start 1:30 --end 1:45": "--start 0.04 --end 0.12",
    r"--raw 640x480": "--raw 32x24",
    r"--nproc-per-node 4": "--nproc-per-node 2",
}
_BLOCK = re.compile(r"^(?:<!-- (?P<mark>.+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"(?P<kind>not run|slow): (?P<reason>.+)")
_WRITES = {"-o", "--output", "--out", "--report", "--csv", "--save", "--figure", "--samples"}
_FILE = re.compile(r"[\w/.-]+\.(?:png|jpg|webp|mp4|mkv|html|onnx|safetensors)\b")
_NUMBER = re.compile(r"\b(?:bf16|fp16|fp32)\b|[+-]?\d[\d.,]*(?:e-?\d+)?")
PARTS = {"astronaut": (60, 10), "cat": (112, 64), "coffee": (280, 128), "rocket": (392, 128)}  # left and top of what is cut out


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `mark` is "" (run), "slow" (run by `pytest -m slow`) or "not run"; `reason` says why."""

    page: Path
    line: int
    language: str
    text: str
    mark: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, text: str | None = None) -> list[Block]:
    """Read a page's blocks in order; raise ValueError for a mark or a language that there is not."""
    text = page.read_text() if text is None else text
    found = []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text"))
        mark = _MARK.fullmatch(match["mark"] or "")
        block = Block(
            page, line, match["language"], match["text"], mark["kind"] if mark else "", mark["reason"] if mark else ""
        )
        if block.mark == "not run" and block.reason not in REASONS:
            raise ValueError(f"{block}: '{block.reason}' is no reason; there are: {', '.join(sorted(REASONS))}")
        if block.language not in LANGUAGES or (not block.language and re.search(r"^(srcli|pip) ", block.text, re.MULTILINE)):
            raise ValueError(f"{block}: a block of commands is sh, one of output text, not '{block.language}'")
        found.append(block)
    return found


def commands(text: str) -> list[str]:
    """Split a block in sh into commands, one on several lines where a quote or a backslash goes over the line's end."""
    found, open_lines = [], ""
    for line in text.splitlines():
        open_lines += line + "\n"
        try:
            words = shlex.split(open_lines, comments=True)
        except ValueError:
            continue
        if line.endswith("\\"):
            continue
        if words:
            found.append(open_lines.rstrip())
        open_lines = ""
    if open_lines:
        raise ValueError(f"a quote is left open in: {open_lines}")
    return found


def words(command: str) -> list[str]:
    """Split as the shell does, operators being words of their own."""
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def run(command: str, folder: Path) -> str:
    """Run a command in the working folder and return what it printed; raise AssertionError where it fails or leaves no file.

    One of srcli alone, between files too, runs in this process, which spares an import of torch; the rest in bash.
    """
    for long, short in SHORTER.items():
        command = re.sub(long, short, command)
    parts = words(command)
    files = {}
    for way in {"<", ">"} & {*parts}:
        at = parts.index(way)
        files[way] = folder / parts[at + 1]
        del parts[at : at + 2]
    joined = any(set(word) <= set("|&;<>()") for word in parts)
    if parts[0] == "srcli" and not joined and files.get("<", folder).exists():
        result = srcli(*parts[1:], input=files["<"].read_bytes() if "<" in files else None)
        if ">" in files:
            files[">"].write_bytes(result.stdout_bytes)
        code, printed = result.exit_code, result.output
    else:
        ran = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", command], cwd=folder, env=_environment(folder), capture_output=True
        )
        code, printed = ran.returncode, (ran.stdout + ran.stderr).decode(errors="replace")
    assert code == 0, f"{command}\nends with {code}:\n{printed}"
    for path in promised(command):
        assert (folder / path).exists(), f"{command}\nwrites no {path}:\n{printed}"
    return printed


def promised(command: str) -> Iterator[str]:
    """Yield the files that a command says it writes: by a flag, behind `>`, or by name in the comment."""
    parts = words(command)
    if "--dry-run" not in parts:
        for flag, value in pairwise(parts):
            if flag in _WRITES | {">"} and value != "-":
                yield value.replace("%05d", "00001")
    for comment in re.findall(r" # (.*)", command):
        yield from (name for name in _FILE.findall(comment) if not name.startswith("docs/"))


def run_python(block: Block, names: dict[str, object]) -> str:
    """Run a block in python with the names that those before it left; return what it printed."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        exec(compile(block.text, str(block), "exec"), names)
    return printed.getvalue()


def shapes(text: str) -> list[str]:
    """Return the lines of an output without what differs from run to run: numbers, number formats, runs of blanks, waits."""
    plain = (re.sub(r"waits for \w+", "waits", _NUMBER.sub("0", line)) for line in text.splitlines())
    return [" ".join(line.split()) for line in plain if line.strip()]


def prepare(folder: Path) -> None:
    """Make the files that the pages speak of: small parts of the photographs in `examples`, clips, raw frames."""
    photographs = [
        Image.open(ROOT / "examples" / "originals" / f"{name}.avif").convert("RGB").crop((x, y, x + 112, y + 96))
        for name, (x, y) in PARTS.items()
    ]
    small = [picture.resize((40, 30)) for picture in photographs]
    _save(photographs[2], folder / "photo.jpg")  # large enough for the network to be what the rest waits for
    for name in ("phone.jpg", "old.png", "holiday/1.jpg", "holiday/2.jpg", "scans/1.tiff"):
        _save(small[2], folder / name)
    _save(small[3], folder / "holiday/0.jpg")
    for name, part in zip(PARTS, small, strict=True):
        _save(part, folder / "examples" / f"{name}.png")
    for i, picture in enumerate(photographs):
        for name in ("photo.png", f"photos/{i}.png", f"kodak24/{i}.png", f"Set5/{i}.png", f"Set14/{i}.png"):
            _save(picture, folder / name)
        _save(picture, folder / "examples" / "originals" / f"{i}.png")
    _save(photographs[0], folder / "Set14" / "barbara.png")
    _save(photographs[1].convert("L"), folder / "Set14" / "bridge.png")
    make_clip(folder / "clip.mp4", frames=5, height=24, width=32, tone=True)
    make_clip(folder / "holiday" / "3.mp4", frames=2, height=24, width=32)
    make_clip(folder / "long.mp4", frames=4, height=24, width=32)
    for i in range(1, 4):
        _save(small[i], folder / f"frames/f_{i:05d}.png")
    (folder / "in.rgb").write_bytes(small[0].resize((32, 24)).tobytes() * 2)
    bin = folder / ".bin"
    bin.mkdir()
    for name, module in {"srcli": "-m srcli", "python": "", "torchrun": "-m torch.distributed.run"}.items():
        (bin / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        (bin / name).chmod(0o755)


def _save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{folder / '.bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(folder)}

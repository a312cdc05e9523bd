"""Kill srcli upscale in the middle of a folder, again and again, and compare what comes out with a run that nobody stopped.

python benchmarks/kill_pictures.py [--kills 100] [--seed 0] [--models bicubic rfdn] [--ranks 2 3] [--rank-kills 4]

Processes are forked from one that has torch loaded, so that the kills (SIGKILL) fall into the work: each comes at a random
moment of the time that a whole run takes. After each: what lies under a final name is a whole result, byte for byte, and the
inputs are untouched. A run with --exists skip that comes to its end must have given the whole run's files and nothing else;
then all begins anew. With --ranks the same under torchrun, where one rank is killed; what was there is not done again.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

import srcli.engine.pipeline  # noqa: F401 (loaded before the forks)
from srcli.cli import app

FORMATS = ("png", "jpg", "tiff", "webp")


def main() -> None:
    """Kill, compare, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of each model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", nargs="*", default=["bicubic", "rfdn"])
    parser.add_argument("--ranks", nargs="*", type=int, default=[2, 3])
    parser.add_argument("--rank-kills", type=int, default=4, help="of each number of ranks")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="kill pictures ") as name:
        for model, count, side in (("bicubic", 40, 180), ("rfdn", 24, 20)):
            if model in arguments.models:
                scene = Scene(Path(name) / model, model, count, side)
                scene.kill(arguments.kills)
        for world in arguments.ranks:
            scene = Scene(Path(name) / f"ranks{world}", "bicubic", 60, 300)
            scene.kill_ranks(world, arguments.rank_kills)


class Scene:
    """A folder of pictures, and what a whole run makes of it."""

    def __init__(self, folder: Path, model: str, count: int, side: int) -> None:
        self.model, self.inputs, self.target = model, folder / "in", folder / "out"
        self.inputs.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for i in range(count):
            y, x = np.mgrid[: side + 3 * i, : side + 20]
            waves = np.stack([128 + 90 * np.sin(x / (3 + c + i % 5)) * np.cos(y / 7) for c in range(3)], -1)
            pixels = (waves + rng.normal(0, 6, waves.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(self.inputs / f"{i:02}.{FORMATS[i % len(FORMATS)]}")
        self.sources = hashes(self.inputs)
        whole = folder / "whole"
        started = time.monotonic()
        if code := self.finish(self.start(whole)):
            sys.exit(f"a whole run failed with {code}")
        self.took, self.wanted = time.monotonic() - started, hashes(whole)
        print(f"{model}: a whole run of {count} pictures takes {self.took:.1f} s")

    def flags(self, target: Path) -> list[str]:
        """Name the flags of a run."""
        flags = ["upscale", str(self.inputs), "-o", str(target), "-m", self.model, "-s", "4", "--exists", "skip"]
        return [*flags, "--precision", "fp32", "--threads", "1", "-q"]

    def start(self, target: Path) -> int:
        """Fork a run."""
        pid = os.fork()
        if pid:
            return pid
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        try:
            app(self.flags(target))
        except SystemExit as end:
            os._exit(int(end.code or 0))
        os._exit(99)

    def finish(self, pid: int) -> int:
        """Wait for a run, and return its exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def check(self, kills: int) -> int:
        """Look at what a kill left; return how many results are there."""
        if hashes(self.inputs) != self.sources:
            sys.exit(f"after {kills} kills the inputs have changed")
        there = hashes(self.target) if self.target.is_dir() else {}
        for name, digest in there.items():
            if self.wanted.get(name) != digest:
                sys.exit(f"after {kills} kills '{name}' is not what a whole run gives")
        return len(there)

    def kill(self, wanted: int) -> None:
        """Kill runs until there were as many kills as wanted, and the last is finished."""
        kills = ended = partial = left = since = 0
        while kills < wanted or since:
            pid, before = self.start(self.target), times(self.target)
            if kills < wanted:
                time.sleep(random.uniform(0, self.took / 3))
                os.kill(pid, signal.SIGKILL)
            code = self.finish(pid)
            if any(times(self.target).get(name) != moment for name, moment in before.items()):
                sys.exit(f"after {kills} kills a result that was there was done again")
            there = self.check(kills)
            if code == -signal.SIGKILL:
                kills, since = kills + 1, since + 1
                partial += 0 < there < len(self.wanted)
                left += any(self.target.glob(".*.tmp*")) if self.target.is_dir() else 0
                continue
            if code or there != len(self.wanted) or any(self.target.glob(".*")):
                sys.exit(f"after {since} kills a run ended with {code} and {there} results; {list(self.target.glob('.*'))}")
            for path in self.target.iterdir():
                path.unlink()
            ended, since = ended + 1, 0
        print(
            f"{self.model}: {kills} kills, {partial} of them with some results there, {left} left a hidden temporary file; "
            f"{ended} runs came to their end, all equal to the whole run; nothing half-written, no input touched"
        )

    def kill_ranks(self, world: int, wanted: int) -> None:
        """Kill one rank of a torchrun, then let another finish what is left."""
        some = 0
        for i in range(wanted):
            run = self.torchrun(world)
            deadline = time.monotonic() + 120
            enough = random.randrange(1, len(self.wanted) // 2)
            while run.poll() is None and len(times(self.target)) < enough and time.monotonic() < deadline:
                time.sleep(0.002)
            victims = ranks_of(run.pid)
            if victims:
                os.kill(random.choice(victims), signal.SIGKILL)
            if run.wait() == 0:
                sys.exit("a torchrun whose rank was killed ended well")
            there, before = self.check(i + 1), times(self.target)
            some += 0 < there < len(self.wanted)
            if code := self.torchrun(world).wait():
                sys.exit(f"the run that goes on ended with {code}")
            if self.check(i + 1) != len(self.wanted) or any(self.target.glob(".*")):
                sys.exit("the run that goes on did not finish")
            after = times(self.target)
            if any(after[name] != moment for name, moment in before.items()):
                sys.exit("a result that was there was done again")
            for path in self.target.iterdir():
                path.unlink()
        print(
            f"torchrun of {world}: {wanted} times one rank was killed, {some} times with some results there; "
            "each next run did the rest alone, equal to the whole run"
        )

    def torchrun(self, world: int) -> subprocess.Popen[bytes]:
        """Start the ranks."""
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}", "-m", "srcli"]
        return subprocess.Popen([*command, *self.flags(self.target)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def hashes(folder: Path) -> dict[str, str]:
    """Hash what is in a folder under names that are not hidden."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.name[0] != "."}


def times(folder: Path) -> dict[str, int]:
    """Tell when every result was written."""
    return {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.name[0] != "."} if folder.is_dir() else {}


def ranks_of(launcher: int) -> list[int]:
    """List the processes that a torchrun started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            if f"\nPPid:\t{launcher}\n" in status.read_text() and b"srcli" in (status.parent / "cmdline").read_bytes():
                found.append(int(status.parent.name))
    return found


if __name__ == "__main__":
    main()

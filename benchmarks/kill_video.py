"""Kill srcli upscale in the middle of a video, again and again, and compare what comes out with a run that nobody stopped.

python benchmarks/kill_video.py [--kills 50] [--seed 0] [--codec libx264]

The same command is started over and over. A kill (SIGKILL) comes at a random moment: of the whole time that a run takes,
imports included, in one run of four, and else of the time from its first frame to the removal of the segments. One that comes
when all is done does not count, and later ones come sooner. When a run comes to its end before its kill, the decoded frames
and time stamps of its result, picture and sound, are compared with those of the whole run, and all begins anew.
"""

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH, FRAMES = 96, 128, 150
SOONER = 0.8  # of the time that kills come in, after one that came too late


def main() -> None:
    """Kill, compare, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--codec", default="libx264")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="kill video ") as name:
        folder = Path(name)
        clip, whole, target = folder / "clip.mp4", folder / "whole.mkv", folder / "killed.mkv"
        make_clip(clip)
        flags = ["-m", "bicubic", "-s", "2", "--segment", "10", "--codec", arguments.codec]
        command = [sys.executable, "-m", "srcli", "upscale", str(clip), *flags, "-o"]
        started = time.monotonic()
        run = subprocess.Popen([*command, str(whole)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for(parts_of(whole), run)
        ready = time.monotonic()
        run.communicate()
        took, work = time.monotonic() - started, time.monotonic() - ready
        wanted = content(whole)
        print(f"a whole run takes {took:.1f} s, {work:.1f} s of them for {len(wanted)} frames of picture and sound")
        kills = compared = resumed = since = late = 0
        while kills < arguments.kills or since:
            parts = parts_of(target)
            segments = len(list(parts.glob("*.seg")))
            if target.exists() and not (parts / "manifest.json").exists():
                check(target, wanted, since - 1)  # the kill came when all was done
                kills, compared, late, since = kills - 1, compared + 1, late + 1, 0
                took, work = took * SOONER, work * SOONER
                continue
            run = subprocess.Popen([*command, str(target)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            moment = random.uniform(0, took)
            if random.random() < 0.75:
                wait_for(parts, run)
                moment = random.uniform(0, work * 0.7)
            try:
                _, said = run.communicate(timeout=moment if kills < arguments.kills else None)
            except subprocess.TimeoutExpired:
                run.kill()
                run.communicate()
                kills, since = kills + 1, since + 1
                resumed += segments > 0
                continue
            if run.returncode:
                sys.exit(f"after {since} kills the command failed: {said.decode()}")
            left = [path.name for path in folder.iterdir() if path not in (clip, whole, target)]
            if left:
                sys.exit(f"after {since} kills these are left: {left}")
            check(target, wanted, since)
            compared += 1
            resumed += segments > 0
            print(f"equal after {since} kills ({kills} in all)")
            since = 0
        print(
            f"{kills} kills at work (and {late} when all was done), {resumed} runs went on from segments, "
            f"{compared} results compared: all equal"
        )


def parts_of(target: Path) -> Path:
    """Name the folder of segments."""
    return target.with_name(target.name + ".parts")


def wait_for(parts: Path, run: subprocess.Popen[bytes]) -> None:
    """Wait until a run opens a segment, or ends."""
    before = {path: path.stat().st_mtime_ns for path in parts.glob("*.open")}
    while run.poll() is None:
        with suppress(OSError):
            if any(path.stat().st_mtime_ns != before.get(path) for path in parts.glob("*.open")):
                return
        time.sleep(0.005)


def check(target: Path, wanted: list[tuple[str, int, str]], kills: int) -> None:
    """Compare a result with the whole run's and remove it."""
    if content(target) != wanted:
        sys.exit(f"after {kills} kills the result differs from the whole run's")
    target.unlink()


def make_clip(path: Path) -> None:
    """Write a small clip with an uneven frame rate and a tone."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "18", "g": "24"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = Fraction(1, 12800)
        tone = container.add_stream("aac", rate=16000, layout="mono")
        for i in range(FRAMES):
            picture = np.stack([x * 2 + i * 3, y * 3 + i, x + y + i * 5], -1) % 256
            frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), "rgb24")
            frame.pts, frame.time_base = i * 512 + i % 3 * 100, Fraction(1, 12800)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, FRAMES * 640, 1024):
            samples = np.sin(np.arange(start, start + 1024) * 0.1).astype(np.float32)[None]
            sound = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            sound.sample_rate, sound.pts = 16000, start
            container.mux(tone.encode(sound))
        container.mux(tone.encode(None))


def content(path: Path) -> list[tuple[str, int, str]]:
    """List every decoded frame: its kind, time stamp and checksum."""
    with av.open(str(path)) as container:
        frames = [
            (type(frame).__name__, frame.pts or 0, hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest())
            for frame in container.decode()
        ]
    return sorted(frames)


if __name__ == "__main__":
    main()

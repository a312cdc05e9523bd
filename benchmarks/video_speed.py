"""srcli upscale of a video beside the usual loop: python benchmarks/video_speed.py CLIP [--frames 60] [--rounds 3] [-m rfdn]

The loop reads a frame with imageio, computes it with plain torch (the same weights, float32, NCHW, whole frames) and writes
it with imageio, one after the other, as most scripts do. Both get the same codec with the same settings. They take turns, each
round in a process of its own, and the medians are printed: frames a second of the whole process, imports and weights included,
and of the work alone; and for how much of the work each stage was busy, which overlap in srcli. Run it on an idle machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import NamedTuple

CODEC = "libx264"


class Run(NamedTuple):
    """One run: its frames, seconds of the process and of the work in it, and seconds for which each stage was busy."""

    frames: int
    process: float
    work: float
    stages: dict[str, float]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-m", "--model", default="rfdn")
    parser.add_argument("-s", "--scale", type=int, default=2)
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--loop", help=argparse.SUPPRESS)  # this process is to be the loop
    given = parser.parse_args()
    if given.loop:
        print(json.dumps(loop(given.clip, Path(given.loop), given.frames, given.model, given.scale, given.preset)))
        return
    runs: dict[str, list[Run]] = {"srcli": [], "loop": []}
    with tempfile.TemporaryDirectory(prefix="video speed ") as scratch:
        for number in range(given.rounds):
            for way, done in runs.items():
                done.append(once(way, given, Path(scratch) / f"{way} {number}.mp4"))
                print(f"{way} {number + 1}/{given.rounds}: {done[-1].process:.1f} s", file=sys.stderr)
    settings = f"{given.model} x{given.scale}, {CODEC} {given.preset}, {os.cpu_count()} cores"
    print(f"{date.today()}, {given.clip.name}, {given.frames} frames, {settings}, median of {given.rounds}\n")
    print("\n".join(table(runs)))


def once(way: str, given: argparse.Namespace, target: Path) -> Run:
    """Upscale the clip in a process of its own."""
    flags = [
        str(given.clip),
        "--frames",
        str(given.frames),
        "-m",
        given.model,
        "-s",
        str(given.scale),
        "--preset",
        given.preset,
    ]
    command = ["-m", "srcli", "upscale", *flags, "--codec", CODEC, "-o", str(target), "--json"]
    if way == "loop":
        command = [__file__, *flags, "--loop", str(target)]
    started = time.perf_counter()
    said = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True).stdout
    process = time.perf_counter() - started
    record = json.loads(said)
    return Run(
        record["frames"], process, record["seconds"], {stage: record[stage] for stage in ("decode", "network", "encode")}
    )


def table(runs: dict[str, list[Run]]) -> list[str]:
    """Make the lines of a Markdown table: frames a second, how many times the loop's, and the stages' shares of the work."""
    lines = ["| | frames/s, process | | frames/s, work | | decode | network | encode |", "|---|---|---|---|---|---|---|---|"]
    process = {way: median(run.frames / run.process for run in done) for way, done in runs.items()}
    work = {way: median(run.frames / run.work for run in done) for way, done in runs.items()}
    for way, done in runs.items():
        shares = (median(run.stages[stage] / run.work for run in done) for stage in ("decode", "network", "encode"))
        cells = [
            way,
            f"{process[way]:.2f}",
            f"{process[way] / process['loop']:.2f} x",
            f"{work[way]:.2f}",
            f"{work[way] / work['loop']:.2f} x",
            *(f"{share:.0%}" for share in shares),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def loop(clip: Path, target: Path, frames: int, model: str, scale: int, preset: str) -> dict[str, float]:
    """Upscale the usual way; return the seconds in all and of each stage."""
    import imageio.v3 as iio
    import numpy as np
    import torch

    from srcli.media.encoding import Wishes, plan_encoding
    from srcli.media.formats import SEGMENT
    from srcli.media.video import probe_video
    from srcli.zoo import open_model

    network = open_model(model, scale)[0].eval()
    track = probe_video(clip).tracks[0]
    encoding = plan_encoding(track, (track.height * scale, track.width * scale), "mp4", Wishes(CODEC, preset=preset))
    seconds = {"decode": 0.0, "network": 0.0, "encode": 0.0}
    began = time.perf_counter()
    with iio.imopen(clip, "r", plugin="pyav") as source, iio.imopen(target, "w", plugin="pyav") as result:
        result.init_video_stream(CODEC, fps=float(track.rate), pixel_format=encoding.pix_fmt, max_keyframe_interval=SEGMENT)
        result._video_stream.options = dict(encoding.options)  # which imageio has no other way to set
        given, count = source.iter(format="rgb24"), 0
        while count < frames:
            started = time.perf_counter()
            frame = next(given, None)
            decoded = time.perf_counter()
            seconds["decode"] += decoded - started
            if frame is None:
                break
            with torch.no_grad():
                x = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
                y = (network(x)[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
            computed = time.perf_counter()
            result.write_frame(y)
            count += 1
            seconds["network"] += computed - decoded
            seconds["encode"] += time.perf_counter() - computed
        started = time.perf_counter()
    ended = time.perf_counter()  # closing flushes the encoder
    seconds["encode"] += ended - started
    return {**seconds, "seconds": ended - began, "frames": count}


if __name__ == "__main__":
    main()

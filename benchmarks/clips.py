"""What goes into srcli upscale and what comes out, clip by clip: python benchmarks/clips.py FOLDER [--frames 48] [--scale 1]

Every file of FOLDER but subtitles is upscaled by a process of its own with the bicubic network, which costs next to nothing,
into the container that it gets by default. Then PyAV alone decodes the source and the result, and a line of a Markdown
table says of both: their streams (V video, A audio, S subtitles, D data, T attachments), the frames of each video track, the
seconds from the first frame to the end of the last, and the time stamps of the first and the last frame. `off` is by how much
the worst time stamp differs. Below stands what the command said, and its exit code where that is not 0.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.stream import Disposition

from srcli.errors import UserError
from srcli.media.encoding import default_codec
from srcli.media.sniff import container_of
from srcli.media.video import probe_video

LETTERS = {"video": "V", "audio": "A", "subtitle": "S", "data": "D", "attachment": "T"}
# The quickest of each codec: the table is about what is kept
PRESETS = {"libx264": "ultrafast", "libx265": "ultrafast", "libsvtav1": "12", "libvpx-vp9": "8"}


class Held(NamedTuple):
    """What a file holds; each video track has the (time stamp, duration) of its frames in seconds."""

    streams: str
    tracks: list[list[tuple[Fraction, Fraction]]]

    @property
    def frames(self) -> str:
        return " + ".join(str(len(track)) for track in self.tracks)

    @property
    def seconds(self) -> float:
        ends = [track[-1][0] + track[-1][1] for track in self.tracks if track]
        return float(max(ends) - min(track[0][0] for track in self.tracks if track)) if ends else 0.0

    @property
    def stamps(self) -> str:
        return " + ".join(f"{float(track[0][0]):.3f} .. {float(track[-1][0]):.3f}" for track in self.tracks if track)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, help="only the first so many of each clip")
    parser.add_argument("--scale", type=float, default=1)
    given = parser.parse_args()
    said: list[str] = []
    print("| clip | result | streams | frames | seconds | time stamps | off, ms |\n|---|---|---|---|---|---|---|")
    for path in sorted(given.folder.iterdir()):
        if path.suffix not in (".srt", ".vtt", ".txt"):
            line, told = row(path, given.frames, given.scale)
            print(line, flush=True)
            said += [f"- {path.name}: {text}" for text in told]
    print("\n" + "\n".join(said))


def row(path: Path, frames: int | None, scale: float) -> tuple[str, list[str]]:
    """Upscale one file; return its line of the table, and what the command said."""
    with tempfile.TemporaryDirectory(prefix="clips ") as scratch:
        flags = ["-m", "bicubic", "-s", f"{scale:g}", "-o", scratch, "--json"]
        flags += ["--frames", str(frames)] if frames else []
        command = [sys.executable, "-m", "srcli", "upscale", str(path), *flags, *_quickest(path)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        record = json.loads(run.stdout) if run.stdout else {"notes": [], "error": run.stderr.strip(), "repeated": 0}
        told = [*record["notes"], *([record["error"]] if record["error"] else [])]
        told += [f"{record['repeated']} frames equal the one before"] * (record["repeated"] > 0)
        told += [f"exit code {run.returncode}"] * (run.returncode != 0)
        target = next(Path(scratch).glob("*.*"), None)
        if target is None:
            return f"| {path.name} | none | | | | | |", told
        before, after = held(path, frames), held(target, None)
        off = _off(before, after)
        facts = (f"{a} → {b}" if a != b else a for a, b in _pairs(before, after))
        return f"| {path.name} | {target.suffix[1:]} | {' | '.join(facts)} | {'-' if off is None else f'{off:.2f}'} |", told


def held(path: Path, frames: int | None) -> Held:
    """Decode every video track, at most so many frames of each."""
    with av.open(str(path)) as container:
        streams = "".join(LETTERS[stream.type] for stream in container.streams)
        films = [stream.index for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    return Held(streams, [list(_times(path, index, frames)) for index in films])


def _times(path: Path, index: int, frames: int | None) -> Iterator[tuple[Fraction, Fraction]]:
    with av.open(str(path)) as container:
        stream = container.streams[index]
        assert isinstance(stream, av.VideoStream)
        stream.thread_type = "AUTO"
        count = 0
        try:
            for frame in container.decode(stream):
                if frame.pts is None or count == frames:
                    break
                count += 1
                base = frame.time_base or Fraction(1)
                yield frame.pts * base, frame.duration * base
        except av.FFmpegError:
            return


def _quickest(path: Path) -> list[str]:
    """Return the flags for the quickest preset of the codec that the file will get."""
    try:
        codec = default_codec(container_of(path), probe_video(path).tracks[0])
    except UserError:
        return []
    return ["--preset", PRESETS[codec]] if codec in PRESETS else []


def _pairs(before: Held, after: Held) -> Iterator[tuple[str, str]]:
    yield before.streams, after.streams
    yield before.frames, after.frames
    yield f"{before.seconds:.3f}", f"{after.seconds:.3f}"
    yield before.stamps, after.stamps


def _off(before: Held, after: Held) -> float | None:
    """Return the largest difference of a time stamp in ms, None where the frames are not as many."""
    if [len(track) for track in before.tracks] != [len(track) for track in after.tracks]:
        return None
    pairs = [pair for old, new in zip(before.tracks, after.tracks, strict=True) for pair in zip(old, new, strict=True)]
    return max((float(abs(old[0] - new[0])) * 1e3 for old, new in pairs), default=0.0)


if __name__ == "__main__":
    main()

"""The comparison of video loops in benchmarks/: both ways make every frame with the same settings, and the table is right."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.video_speed import Run, table
from tests.clips import decoded, make_clip

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "video_speed.py"


def test_the_table_has_medians_beside_the_loop():
    stages = {"decode": 0.5, "network": 4.0, "encode": 1.0}
    runs = {
        "srcli": [Run(10, 10.0, 5.0, stages), Run(10, 9.0, 5.0, stages), Run(10, 20.0, 2.0, stages)],
        "loop": [Run(10, 20.0, 10.0, stages)] * 3,
    }
    assert table(runs)[2:] == [
        "| srcli | 1.00 | 2.00 x | 2.00 | 2.00 x | 10% | 80% | 20% |",
        "| loop | 0.50 | 1.00 x | 1.00 | 1.00 x | 5% | 40% | 10% |",
    ]


def test_the_loop_writes_every_frame_with_the_settings_of_srcli(tmp_path):
    clip, target = make_clip(tmp_path / "clip.mp4", frames=5), tmp_path / "out.mp4"
    command = [sys.executable, str(SCRIPT), str(clip), "--loop", str(target), "-m", "bicubic"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["frames"] == 5
    assert [frame.shape for frame in decoded(target)] == [(96, 128, 3)] * 5
    assert b"crf=18.0" in target.read_bytes()  # x264 writes its settings into the file
    assert b"keyint=120" in target.read_bytes()

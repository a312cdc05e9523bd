import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from srcli.engine.share import share_of
from srcli.media.jobs import Job
from tests.clips import make_clip
from tests.conftest import photograph

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def job(name: str, side: int) -> Job:
    return Job(Path(name), Path(f"{name}_x4"), "png", None, 4, (side, side))


def test_every_job_has_one_rank_and_the_px_are_balanced():
    jobs = [job(str(i), side) for i, side in enumerate([100, 900, 500, 480, 700, 690, 10, 10, 10, 300])]
    shares = [share_of(jobs, rank, 3) for rank in range(3)]
    assert sorted(j.source.name for share in shares for j in share) == sorted(j.source.name for j in jobs)
    loads = [sum(j.size[0] * j.size[1] for j in share) for share in shares]
    assert max(loads) <= 1.2 * sum(loads) / 3
    for share in shares:
        assert [jobs.index(j) for j in share] == sorted(jobs.index(j) for j in share)


def test_alone_takes_all_and_jobs_of_unknown_size_are_dealt_too():
    jobs = [Job(Path(str(i)), Path("out"), "png", None, 4) for i in range(4)]
    assert share_of(jobs, 0, 1) == jobs
    assert [len(share_of(jobs, rank, 2)) for rank in range(2)] == [2, 2]


@pytest.mark.slow
def test_ranks_share_a_folder_and_write_one_report(folder, tmp_path):
    run = [*TORCHRUN, "--nproc-per-node=2", "-m", "srcli", "upscale", folder]
    report, flags = tmp_path / "r.json", ["-m", "bicubic", "-s", "2", "--report", tmp_path / "r.json", "--exists", "skip"]
    (folder / "p1.png").write_bytes(b"no picture")
    result = subprocess.run([*run, *flags], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert result.returncode != 0
    assert "2 upscaled, 1 failed" in result.stderr
    files = json.loads(report.read_text())["files"]
    assert [(Path(f["input"]["path"]).name, f["status"]) for f in files] == [
        ("p0.png", "done"),
        ("p1.png", "failed"),
        ("p2.png", "done"),
    ]
    assert {f["rank"] for f in files} == {0, 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my pictures", "my pictures_x2", "r.json"]


@pytest.mark.slow
def test_no_rank_begins_a_video_when_a_picture_stopped_the_run(folder, tmp_path):
    (folder / "p1.png").write_bytes(b"no picture")
    make_clip(folder / "clip.mp4")
    flags = ["-m", "bicubic", "-s", "2", "--fail-fast", "-o", tmp_path / "out"]
    run = [*TORCHRUN, "--nproc-per-node=2", "-m", "srcli", "upscale", folder, *flags]
    result = subprocess.run(run, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert "not tried" in result.stderr
    assert "rank of the run died" not in result.stderr and "gloo" not in result.stderr
    assert not list((tmp_path / "out").glob("clip*"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the ranks in /proc")
@pytest.mark.parametrize("ranks", [2, 3])
def test_a_run_whose_rank_was_killed_goes_on_where_it_was(tmp_path, ranks):
    pictures, out, report = tmp_path / "in", tmp_path / "out", tmp_path / "report.json"
    pictures.mkdir()
    for i in range(48):
        Image.fromarray(photograph(120 + i, 150, seed=i)).save(pictures / f"{i:02}.png")
    command = [*TORCHRUN, f"--nproc-per-node={ranks}", "-m", "srcli", "upscale", pictures, "-o", out, "-m", "rfdn", "-s", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        while run.poll() is None and not list(out.glob("[0-9]*.png")):
            time.sleep(0.02)
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        [last] = [c for c in children if b"\0RANK=%d\0" % (ranks - 1) in b"\0" + Path(f"/proc/{c}/environ").read_bytes()]
        os.kill(int(last), signal.SIGKILL)
        run.communicate(timeout=300)
    assert run.returncode != 0
    before = {path: path.stat().st_mtime_ns for path in out.glob("[0-9]*.png")}
    assert 0 < len(before) < 48
    for path in before:
        with Image.open(path) as image:
            image.load()  # whole

    again = [*command, "--exists", "skip", "--report", report]
    run = subprocess.run(again, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    summary = f"{48 - len(before)} upscaled, {len(before)} skipped"
    assert run.stderr.count("upscaled") == run.stderr.count(summary) == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(path.name for path in out.iterdir()) == [f"{i:02}.png" for i in range(48)]  # and nothing temporary
    files = json.loads(report.read_text())["files"]
    assert len({f["input"]["path"] for f in files}) == len(files) == 48
    done = {Path(f["output"]["path"]) for f in files if f["status"] == "done"}
    assert done == set(out.iterdir()) - set(before)
    for i in range(48):
        with Image.open(out / f"{i:02}.png") as image:
            image.load()
            assert image.size == (300, 240 + 2 * i)

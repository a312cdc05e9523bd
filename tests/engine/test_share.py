import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from srcli.engine.share import share_of
from srcli.media.jobs import Job


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
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "srcli",
        "upscale",
        folder,
    ]
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

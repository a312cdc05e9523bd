from pathlib import Path

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

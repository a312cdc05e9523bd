"""torchrun on this machine: the ranks compute what one process would, and a rank that is lost loses nothing."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
import torch
import torch.distributed as dist

from srcli.checkpoint import read_card
from srcli.engine import train as training
from srcli.engine.begin import _host_threads
from srcli.engine.distributed import RankLost, Team, team
from srcli.engine.settings import TrainConfig
from srcli.engine.train import train
from srcli.errors import DeviceUnavailable, OutOfMemory
from srcli.modelcard import train_command
from tests.program import srcli, upscale

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TRAIN = [*TORCHRUN, "-m", "srcli", "train"]


RANK_1 = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
RANKS = """
import os
from pathlib import Path
import torch
import torch._dynamo  # DistributedDataParallel would import it, in each rank anew
import srcli.engine.train
from srcli.cli import main
from srcli.engine.distributed import team

for rank in "01":
    if not os.fork():  # two ranks of one import
        os.environ.update(RANK=rank, LOCAL_RANK=rank)
        break
else:
    raise SystemExit(any(os.wait()[1] for _ in "01"))
"""
PARTING = """
with team("cpu") as ranks:
    network = ranks.network(torch.nn.Linear(2, 2), whole=True)
    network(torch.ones(1, 2)).sum().backward()
    del network
print([name for task in Path("/proc/self/task").iterdir() if "gloo" in (name := (task / "comm").read_text())], flush=True)
"""


def two_ranks(code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run code in two ranks, which takes one import of torch where torchrun takes three."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", RANKS + code, *arguments]
    return subprocess.run(command, env={**os.environ, **ranks}, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="counts threads in /proc")
def test_no_thread_of_the_ranks_outlives_the_team(tmp_path):
    # a thread of gloo that still holds a tensor when the interpreter ends aborts the process
    run = two_ranks(PARTING)
    assert run.returncode == 0, run.stderr
    assert run.stdout.replace("\n", "") == "[][]"  # the ranks may write into each other's lines


def _flags(pictures: Path, out: Path, steps: int) -> list[str]:
    flags = (
        f"--arch rfdn --scale 2 --patch 16 --batch 2 --optimizer adam --clip 0 --precision fp32 --device cpu --steps {steps}"
    )
    return ["--data", str(pictures), "--out", str(out), *flags.split()]


def _gradients(out: Path) -> list[torch.Tensor]:
    """Take the first step's gradients out of Adam's first moment, (1 - 0.9) of them."""
    adam = torch.load(out / "last.pt", weights_only=True)["optimizers"][0]["state"]
    return [state["exp_avg"] / 0.1 for state in adam.values()]


def test_two_ranks_have_the_gradients_of_one_with_twice_the_batch(pictures, tmp_path):
    run = two_ranks("main()", "train", *_flags(pictures, tmp_path / "two", 1))
    assert run.returncode == 0, run.stderr
    assert "2 ranks of 2 patches: 4 a step" in run.stderr
    assert run.stderr.count("done: weights") == 1
    command = train_command(read_card(tmp_path / "two" / "best.safetensors"))
    assert command.startswith("torchrun --standalone --nproc-per-node 2 -m srcli train --arch rfdn ")
    one = TrainConfig("rfdn", 2, str(pictures), steps=1, batch=4, patch=16, optimizer="adam", clip=0.0, precision="fp32")
    list(train(one, tmp_path / "one", device="cpu"))
    for ours, theirs in zip(_gradients(tmp_path / "two"), _gradients(tmp_path / "one"), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_two_machines_train_as_two_ranks(pictures, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"--nnodes 2 --nproc-per-node 1 --master-addr 127.0.0.1 --master-port {port}".split()
    nodes = []
    for rank in range(2):
        node = [sys.executable, "-m", "torch.distributed.run", *address, "--node-rank", str(rank), "-m", "srcli", "train"]
        flags = _flags(pictures, tmp_path / str(rank), 1)
        nodes.append(subprocess.Popen([*node, *flags], stderr=subprocess.PIPE, text=True))
    errors = [node.communicate(timeout=300)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], errors
    assert "2 ranks of 2 patches: 4 a step" in errors[0]
    assert not (tmp_path / "1").exists()
    one = TrainConfig("rfdn", 2, str(pictures), steps=1, batch=4, patch=16, optimizer="adam", clip=0.0, precision="fp32")
    list(train(one, tmp_path / "one", device="cpu"))
    for ours, theirs in zip(_gradients(tmp_path / "0"), _gradients(tmp_path / "one"), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("there", "told"), [("cuda", True), ("", False)])
def test_a_rank_tells_what_befell_it_alone(pictures, tmp_path, monkeypatch, there, told):
    def pick_device(name: str) -> torch.device:
        if name != there:
            raise DeviceUnavailable(f"'{name}' is not on this machine")
        return torch.device(name)

    monkeypatch.setattr("srcli.engine.distributed.pick_device", pick_device)
    for name, value in RANK_1.items():
        monkeypatch.setenv(name, value)
    flags = _flags(pictures, tmp_path / "run", 1)
    flags[flags.index("cpu")] = "cuda"
    result = srcli("train", *flags)
    assert result.exit_code == 1
    assert ("rank 1: 'cuda:1' is not on this machine" in result.stderr) == told  # a machine without CUDA: rank 0 says so
    assert bool(result.stderr) == told


@pytest.fixture
def second(monkeypatch):
    """Make this process the second rank of two, of which the first does as this one."""
    for name, value in RANK_1.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("srcli.engine.distributed._met", dist.HashStore)
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    monkeypatch.setattr(dist, "all_gather_object", lambda items, item: items.__setitem__(slice(None), [item, item]))
    monkeypatch.setattr(dist, "broadcast_object_list", lambda box, rank, device: None)


def _fail(error: Exception) -> NoReturn:
    raise error


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0"}, "WORLD_SIZE=2 is set, but MASTER_ADDR is not"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1"}, "WORLD_SIZE=2 is set, but MASTER_PORT is not"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2 is set, but RANK is not"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK=2 and WORLD_SIZE=2 are set, and ranks count from 0"),
        ({"RANK": "x"}, "RANK=x is set, which is no number"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE=two is set, which is no number"),
    ],
)
def test_what_torchrun_would_not_set_is_refused(pictures, monkeypatch, variables, told):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = upscale(pictures)
    line = f"error: {told}; torchrun sets it right, and for one process: unset RANK and WORLD_SIZE\n"
    assert (result.exit_code, result.stderr) == (2, line)


@pytest.mark.parametrize(
    ("rank", "port", "told"),
    [
        (0, "taken", "address already in use"),
        (0, "free", "Timed out after"),  # rank 1 does not come
        (1, "free", "The client socket has timed out"),
        (0, "99999", "port must have value from 0 to 65535"),
        (1, "99999", "port must have value from 0 to 65535"),
    ],
)
def test_ranks_that_cannot_meet_say_where_in_one_line(pictures, monkeypatch, rank, port, told):
    monkeypatch.setattr("srcli.engine.distributed._MEETING", timedelta(milliseconds=100))
    with socket.socket() as own:
        own.bind(("0.0.0.0", 0))  # as the rank would
        if port == "taken":
            own.listen()
        number = own.getsockname()[1]
        if port == "free":
            own.close()
        for name, value in (RANK_1 | {"RANK": rank, "MASTER_PORT": port if port.isdecimal() else number}).items():
            monkeypatch.setenv(name, str(value))
        where = f"MASTER_ADDR=127.0.0.1 and MASTER_PORT={os.environ['MASTER_PORT']}"
        result = upscale(pictures)
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, line.removeprefix("error: rank 1: ").startswith("error: ")) == (1, rank == 0)
    assert f"the ranks do not meet at {where}; start them all, with the address of rank 0 and a port that is free there" in line
    assert told in line


def test_ranks_that_met_wait_for_each_other_as_long_as_is_asked(monkeypatch):
    store = dist.HashStore()
    monkeypatch.setattr("srcli.engine.distributed._met", lambda: store)
    for name, value in {**RANK_1, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    given = {}
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **more: given.update(more))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    with team("cpu", timedelta(days=9)):
        pass
    assert given == {"store": store, "rank": 0, "world_size": 2, "timeout": timedelta(days=9)}
    assert store.timeout == timedelta(days=9)


def test_a_rank_of_a_job_without_others_works_alone(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with team("cpu") as ranks:
        assert ranks == Team(0, 1, torch.device("cpu"))


def test_what_rank_0_tells_is_told_once(pictures, second, monkeypatch):
    monkeypatch.setattr(dist, "all_gather_object", lambda items, item: items.__setitem__(slice(None), ["already there", item]))
    result = upscale(pictures)
    assert (result.exit_code, result.stderr) == (1, "")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RankLost("another rank of the run died"), ""),
        (OutOfMemory("memory does not hold a step"), "error: rank 1: memory does not hold a step\n"),
    ],
)
def test_what_befell_this_rank_alone_is_told_by_it(pictures, second, monkeypatch, error, told):
    monkeypatch.setattr("srcli.commands.upscale.upscale_all", lambda *_, **__: _fail(error))
    result = upscale(pictures)
    assert (result.exit_code, result.stderr) == (error.exit_code, told)


@pytest.mark.parametrize("arguments", [["-m", "no such network"], ["-m", "bicubic", "--tile", "huge"]])
def test_what_is_the_same_on_every_rank_is_told_once(pictures, second, arguments):
    result = srcli("upscale", pictures, *arguments)
    assert (result.exit_code > 0, result.stderr) == (True, "")


@pytest.mark.parametrize(("device", "ends"), [("cuda", "aborted"), ("cpu", "destroyed")])
def test_a_rank_that_fails_on_a_gpu_does_not_wait_for_the_others(monkeypatch, device, ends):
    done = []
    monkeypatch.setattr("srcli.engine.distributed.pick_device", torch.device)
    monkeypatch.setattr("srcli.engine.distributed._abort_process_group", lambda: done.append("aborted"))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: done.append("destroyed"))
    monkeypatch.setattr("srcli.engine.distributed._met", dist.HashStore)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    for name, value in RANK_1.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ZeroDivisionError), team(device) as ranks:
        assert ranks.device == torch.device("cuda:1" if device == "cuda" else "cpu")
        raise ZeroDivisionError
    with team(device):
        pass
    assert done == [ends, "destroyed"]


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize("arch", ["rfdn", "mfdn"])
def test_two_cuda_devices_have_the_gradients_of_one_with_twice_the_batch(pictures, tmp_path, arch):
    # mfdn's batch norm is SyncBatchNorm here, so its gradients are those of the whole batch too
    flags = f"--arch {arch} --device cuda --compile off".split()
    run = subprocess.run([*TRAIN, *_flags(pictures, tmp_path / "two", 1), *flags], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    one = TrainConfig(arch, 2, str(pictures), steps=1, batch=4, patch=16, optimizer="adam", clip=0.0, precision="fp32")
    list(train(replace(one, compile="off"), tmp_path / "one", device="cuda"))
    for ours, theirs in zip(_gradients(tmp_path / "two"), _gradients(tmp_path / "one"), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)  # TF32 in cuDNN's convolutions


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the ranks in /proc")
def test_a_rank_that_dies_ends_the_run_with_a_checkpoint(pictures, tmp_path):
    out = tmp_path / "run"
    command = [*TRAIN, *_flags(pictures, out, 100_000)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        for _ in range(2400):  # of a busy machine; torchrun imports torch three times
            if (out / "log.jsonl").exists() and '"step", "step"' in (out / "log.jsonl").read_text():
                break
            time.sleep(0.1)
        ranks = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        (second,) = [r for r in ranks if b"\0RANK=1\0" in b"\0" + Path(f"/proc/{r}/environ").read_bytes()]
        os.kill(int(second), signal.SIGKILL)
        _, stderr = run.communicate(timeout=120)
    assert run.returncode != 0
    saved = torch.load(out / "last.pt", weights_only=True)["step"]
    assert saved > 0
    assert f"another rank of the run died; step {saved} is saved in '{out / 'last.pt'}', continue with --resume" in stderr


def test_a_rank_that_is_gone_is_said_wherever_the_others_speak_to_it(monkeypatch):
    def gone(*arguments, **more):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1")

    monkeypatch.setattr(dist, "broadcast_object_list", gone)
    monkeypatch.setattr(dist, "all_gather_object", gone)
    ranks = Team(0, 2, torch.device("cpu"))
    with pytest.raises(RankLost, match="another rank of the run died"):
        ranks.given("a plan")
    with pytest.raises(RankLost, match="another rank of the run died"), ranks.together():
        pass


def test_nothing_is_saved_of_a_gpu_whose_queue_waits_for_a_lost_rank(tmp_path, monkeypatch):
    def steps():
        yield from ()
        raise RankLost("another rank of the run died")

    monkeypatch.setattr(training, "save_last", lambda run, out: pytest.fail("waits for ever"))
    run = SimpleNamespace(ranks=Team(0, 2, torch.device("cuda:0")), step=3)
    (tmp_path / "last.pt").touch()
    with pytest.raises(RankLost, match=r"died; the last checkpoint, '.*last.pt', is kept, continue with --resume"):
        list(training._guarded(steps(), run, SimpleNamespace(close=lambda: None), tmp_path))


def test_the_host_of_a_gpu_works_in_all_threads_that_are_the_ranks(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert _host_threads(torch.device("cuda:1")) == max(8, torch.get_num_threads())
    assert _host_threads(torch.device("cpu")) == torch.get_num_threads()

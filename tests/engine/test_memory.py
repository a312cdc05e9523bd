import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from srcli.engine import memory
from srcli.engine.runner import Runner
from srcli.engine.upscale import Upscaler
from srcli.models import create
from srcli.zoo import open_model
from tests.conftest import photograph

CPU = torch.device("cpu")


def test_what_is_promised_and_what_is_held_leaves_the_budget(monkeypatch):
    monkeypatch.setattr(memory, "held_bytes", lambda: 300 * 2**20)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**40)
    whole = memory.budget(CPU, 2**30)
    assert 0 < whole < 2**30 - 300 * 2**20
    assert memory.budget(CPU, 2**30, 200 * 2**20) == pytest.approx(whole - memory._ROOM * 200 * 2**20)
    assert memory.budget(CPU, 100 * 2**20) == 0
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**20)
    assert memory.budget(CPU, 2**40) <= 2**20


def test_what_torch_keeps_on_a_gpu_is_free(monkeypatch):
    for name, value in {"mem_get_info": (2**20, 2**34), "memory_reserved": 2**33, "memory_allocated": 2**30}.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert memory.free_bytes(torch.device("cuda")) == 2**20 + 2**33 - 2**30


def test_on_windows_nothing_is_handed_back(monkeypatch):
    def windows(name):
        if "/" in name:  # None is no container, as ctypes has it there
            raise OSError

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(memory.ctypes, "CDLL", windows)
    memory.hand_back()


def test_a_libc_that_keeps_nothing_is_asked_in_vain(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())  # musl has no malloc_trim
    memory.hand_back()


def test_arrays_off_the_heap_are_arrays():
    for side in (3, 3000):
        values = memory.off_heap((side, side, 3), np.dtype(np.uint16))
        assert (values.shape, values.dtype, values.flags.writeable) == ((side, side, 3), np.uint16, True)
        values[:] = 7
        assert values.sum(dtype=np.int64) == 7 * 3 * side**2
    with pytest.raises(MemoryError):
        memory.off_heap((2**30, 2**30), np.dtype(np.uint8))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the heap is glibc's")
def test_a_large_array_takes_its_memory_with_it():
    """On a heap that keeps what is freed it stays, and beneath what came after it for good."""
    words = f"""
import numpy as np
from srcli.engine import memory
memory.keep_freed_memory()
taken = memory.off_heap(({100 * 2**20},), np.dtype(np.uint8))
taken[:] = 1
after = np.ones(2**20)
before = memory.held_bytes()
del taken
print(before - memory.held_bytes())
"""
    run = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert float(run.stdout) > 99 * 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's record of the peak is Linux'")
def test_the_peak_of_a_pass_is_what_it_takes():
    held = []
    taken = memory.peak_bytes(lambda: held.append(torch.ones(64, 2**20)), CPU)
    assert taken == pytest.approx(256 * 2**20, rel=0.2)


def test_a_wider_network_takes_more_for_a_px():
    def measured(channels):
        model = create("rfdn", 4, channels=channels).eval()
        return memory.bytes_per_px(model, lambda x: model(x), CPU, 4)

    with torch.inference_mode():
        assert measured(50) > 1.3 * measured(16) > 0


def test_the_limit_decides_the_tiles():
    runner = Runner(create("rfdn", 2), device=CPU, precision="fp32", memory=None)
    runner._bytes_per_px["fp32"] = 1000.0
    sides = []
    for limit in (2**30, 2**33):
        runner.memory = limit
        runner._sides.clear()
        sides.append(runner._side((2000, 2000, "fp32", 1, 0), 0))
    assert sides[0][0] < 2000
    assert sides[1] == (2000, 2000)


def test_what_a_process_holds_before_makes_no_tile_smaller(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**40)
    sides = []
    for held in (400 * 2**20, 5 * 2**30):
        monkeypatch.setattr(memory, "held_bytes", lambda held=held: held)
        runner = Runner(create("rfdn", 2), device=CPU, precision="fp32")
        runner._bytes_per_px["fp32"] = 8000.0
        sides.append(runner._side((300, 400, "fp32", 1, 0), 0))
    assert memory.held_bytes() > memory.RESIDENT
    assert sides[0][0] * sides[0][1] <= sides[1][0] * sides[1][1]
    assert Runner(create("rfdn", 2), device=CPU, memory=2**30).memory == 2**30  # what is asked for is kept to


def test_small_pictures_are_not_measured():
    runner = Runner(create("rfdn", 2), device=CPU, precision="fp32")
    pixels = photograph(40, 50)
    assert runner._side((*pixels.shape[:2], "fp32", 1, 0), 0) == 50
    assert not runner._bytes_per_px


def test_what_a_control_group_leaves_is_all_that_is_free(tmp_path):
    (tmp_path / "membership").write_text("4:memory:/old\n0::/user/session\n")
    (tmp_path / "user" / "session").mkdir(parents=True)
    for group, limit in ((tmp_path, None), (tmp_path / "user", "5000"), (tmp_path / "user" / "session", "max")):
        for name, text in (("memory.max", limit), ("memory.current", "4000"), ("memory.stat", "anon 100\ninactive_file 300")):
            if limit:
                (group / name).write_text(text)
    assert list(memory._free_in_groups(tmp_path / "membership", tmp_path)) == [5000 - 4000 + 300]
    assert list(memory._free_in_groups(tmp_path / "none", tmp_path)) == []


BOUNDED = """
import resource, sys
import torch
from srcli.cli import app
from srcli.engine import memory

resource.setrlimit(resource.RLIMIT_AS, (int(memory._status("VmSize")) + int(sys.argv[1]) * 2**20,) * 2)
app(["upscale", *sys.argv[2:]])
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux keeps to RLIMIT_AS")
def test_where_memory_runs_out_for_real_the_tiles_become_smaller(tmp_path):
    Image.fromarray(photograph(400, 500)).save(tmp_path / "in.png")

    def run(mib: int) -> subprocess.CompletedProcess:
        flags = f"{mib} {tmp_path}/in.png -o {tmp_path}/out.png -m rfdn -s 4 --precision fp32 --tile 0 --threads 1"
        command = [
            sys.executable,
            "-c",
            BOUNDED,
            *flags.split(),
            "--report",
            str(tmp_path / "report.json"),
            "--exists",
            "overwrite",
        ]
        return subprocess.run(command, capture_output=True, text=True)

    done = run(700)  # the picture whole takes 700 MiB itself, beside libraries and threads
    assert done.returncode == 0, done.stderr
    [file] = json.loads((tmp_path / "report.json").read_text())["files"]
    assert file["passes"][0]["smaller"] >= 1
    whole = Upscaler(open_model("rfdn", 4)[0], precision="fp32").pixels(photograph(400, 500)).astype(int)
    assert np.abs(np.asarray(Image.open(tmp_path / "out.png")).astype(int) - whole).max() <= 1
    (tmp_path / "out.png").unlink()
    failed = run(120)
    assert failed.returncode not in (0, 2)
    assert "Traceback" not in failed.stderr
    assert "memory" in failed.stderr
    assert not list(tmp_path.glob("*out*"))

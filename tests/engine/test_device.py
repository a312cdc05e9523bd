import pytest
import torch

from srcli.engine.device import check_precision, exact, fast_precision, pick_device
from srcli.errors import DeviceUnavailable

CPU = torch.device("cpu")


def test_auto_takes_the_cpu_where_nothing_better_is():
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("there is something better")
    assert pick_device("auto") == CPU


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "xpu", ""])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(DeviceUnavailable):
        pick_device(name)


@pytest.mark.parametrize(
    ("capabilities", "expected"), [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx2": True}, "fp32")]
)
def test_bf16_is_fast_on_cpus_that_compute_in_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert fast_precision(CPU) == expected


def test_a_torch_that_cannot_tell_computes_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert fast_precision(CPU) == "fp32"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((12, 0), "bf16")])
def test_bf16_is_for_gpus_that_compute_in_it(monkeypatch, capability, expected):
    asked = []
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: asked.append(device) or capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    second = torch.device("cuda:1")
    assert fast_precision(second) == expected
    assert asked == [second]  # not the card that is first
    if expected == "fp16":
        with pytest.raises(DeviceUnavailable, match="Tesla T4 has no bf16; use --precision fp16 or fp32"):
            check_precision("bf16", second)
    else:
        check_precision("bf16", second)


@pytest.mark.parametrize(
    ("built", "capability", "expected"),
    [
        (["sm_75", "sm_80", "sm_86", "sm_90"], (8, 6), True),
        (["sm_75", "sm_80", "sm_90"], (8, 9), True),  # the same generation
        (["sm_75", "sm_80", "sm_90"], (6, 1), False),
        (["sm_75", "sm_80", "sm_90a"], (12, 0), False),
        (["sm_75", "sm_80", "compute_80"], (12, 0), True),  # by the driver
        (["sm_75", "compute_90a"], (10, 0), False),  # for that one generation
        (["gfx1100"], (11, 0), True),
    ],
)
def test_a_gpu_that_torch_was_not_built_for_is_passed_over(monkeypatch, built, capability, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GTX 1080")
    assert (pick_device("auto").type == "cuda") is expected
    if expected:
        assert pick_device("cuda").type == "cuda"
    else:
        with pytest.raises(DeviceUnavailable, match="this torch has no kernels for GTX 1080"):
            pick_device("cuda")


def test_half_precision_on_the_cpu_is_refused():
    with pytest.raises(DeviceUnavailable, match="bf16"):
        check_precision("fp16", CPU)


@pytest.mark.parametrize(("device", "rounds"), [("cuda", False), ("cpu", True)])
def test_float32_is_not_rounded_to_tf32(device, rounds):
    assert torch.backends.cudnn.allow_tf32  # as torch has it
    with exact(torch.device(device)):
        assert torch.backends.cudnn.allow_tf32 is rounds
    one, other = exact(torch.device(device)), exact(torch.device(device))  # as of two threads
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert torch.backends.cudnn.allow_tf32 is rounds
    other.__exit__(None, None, None)
    assert torch.backends.cudnn.allow_tf32

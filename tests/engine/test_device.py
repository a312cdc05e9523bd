import pytest
import torch

from srcli.engine.device import check_precision, fast_precision, pick_device
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


def test_half_precision_on_the_cpu_is_refused():
    with pytest.raises(DeviceUnavailable, match="bf16"):
        check_precision("fp16", CPU)

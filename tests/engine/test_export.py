"""Exported files compute what torch computes, at sizes that were not traced, and say what they are."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from srcli.checkpoint import card_of
from srcli.engine import export as exporting
from srcli.engine.export import LIMITS, export, format_of, need, parts_of
from srcli.engine.tiling import made_picture
from srcli.errors import ExportFailed, MissingExtra, UsageError
from srcli.exported import KEY, Facts
from srcli.models import ARCHS, create
from srcli.models.base import SRModel
from srcli.ops.pixels import to_tensor

needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")), reason="needs the extra srcli[onnx]"
)

# statistics of the whole picture, MATLAB's bicubic, a transposed convolution; RFDN's attention is in test_exported.py
QUICK = {
    "rfdn-c48": {"channels": 8, "blocks": 1},
    "srcnn": {"widths": (4, 2)},
    "fsrcnn": {"width": 4, "shrunk": 2, "maps": 1},
}
SMALL = {"drn-plus": {"channels": 32}}


def fresh(arch: str, scale: int = 2, **config) -> SRModel:
    torch.manual_seed(0)
    return create(arch, scale, **config).eval()


def other_size(model: SRModel, run: exporting.Run) -> float:
    """Return the largest deviation on a batch of a size that neither the trace nor the check had."""
    x = to_tensor(made_picture(29, 71))[:, : model.channels].repeat(3, 1, 1, 1)
    with torch.no_grad():
        return float(np.abs(run(x.numpy()) - model(x).numpy()).max())


@needs_onnx
@pytest.mark.parametrize("arch", QUICK)
def test_onnx_computes_what_torch_does_at_any_size(arch, tmp_path):
    model = fresh(arch, **QUICK[arch])
    done = export(model, card_of(model), tmp_path / "x.onnx")
    assert done.deviation < 1e-5
    assert other_size(model, exporting.FORMATS["onnx"].open(done.output)) < 1e-5
    assert list(tmp_path.iterdir()) == [done.output]


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHS)
def test_every_network_can_be_exported(arch, tmp_path):
    model = fresh(arch, **SMALL.get(arch, {}))
    model.start_as_upsampler()
    done = export(model, card_of(model), tmp_path / "x.onnx")
    assert other_size(model, exporting.FORMATS["onnx"].open(done.output)) < LIMITS["fp32"]


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["rfdn", "imdn", "bicubic"])
@pytest.mark.parametrize("name", ["x.pt2", "x.xml"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_other_formats_compute_it_too(arch, name, precision, tmp_path):
    if name == "x.xml":
        pytest.importorskip("openvino")
    model = fresh(arch)
    done = export(model, card_of(model), tmp_path / name, precision=precision)
    assert other_size(model, exporting.FORMATS[done.format].open(done.output)) < LIMITS[precision]
    assert sorted(tmp_path.iterdir()) == sorted(parts_of(done.output))


def test_pt2_computes_what_torch_does_at_any_size(tmp_path):
    model = fresh("rfdn-c48", **QUICK["rfdn-c48"])
    done = export(model, card_of(model), tmp_path / "x.pt2")
    run, found = exporting.FORMATS["pt2"].open(done.output), {KEY: ""}
    assert other_size(model, run) < 1e-5
    torch.export.load(done.output, extra_files=found)
    least = Facts.from_json(found[KEY]).min_side
    assert model.min_side <= least < 40
    for side in range(least, least + 9):
        x = torch.rand(1, 3, side, 50)
        with torch.no_grad():
            np.testing.assert_allclose(run(x.numpy()), model(x).numpy(), atol=1e-5)
    assert list(tmp_path.iterdir()) == [done.output]


def test_pt2_carries_the_facts(tmp_path):
    model = fresh("fsrcnn", **QUICK["fsrcnn"])
    done = export(model, card_of(model, licence="MIT"), tmp_path / "x.pt2", precision="fp16", sha256="abc")
    found = {KEY: ""}
    torch.export.load(done.output, extra_files=found)
    facts = Facts.from_json(found[KEY])
    assert (facts.card.arch, facts.card.scale, facts.card.licence, facts.sha256) == ("fsrcnn", 2, "MIT", "abc")
    assert facts.precision == "fp16"
    assert facts.deviation == done.deviation
    assert 1e-6 < facts.deviation <= LIMITS["fp16"]  # float16 was really computed
    assert facts.tiling == model.tiling
    assert json.loads(found[KEY])["checked"] == [[1, 37, 53], [1, 64, 48], [2, 41, 40]]


@pytest.mark.parametrize("step", ["convert", "write", "open"])
def test_whatever_a_converter_raises_is_a_line(tmp_path, monkeypatch, step):
    def fails(*arguments):
        raise AssertionError("of the code it met\nin many lines")

    model = fresh("bicubic")
    monkeypatch.setitem(exporting.FORMATS, "pt2", exporting.FORMATS["pt2"]._replace(**{step: fails}))
    with pytest.raises(ExportFailed, match=r"^'bicubic' cannot be exported as \.pt2: of the code it met$"):
        export(model, card_of(model), tmp_path / "x.pt2")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setitem(LIMITS, "fp32", -1.0)
    model = fresh("fsrcnn", **QUICK["fsrcnn"])
    with pytest.raises(ExportFailed, match="nothing was written"):
        export(model, card_of(model), tmp_path / "x.pt2")
    assert list(tmp_path.iterdir()) == []


class Branching(SRModel):
    """Python decides by the values, which no tracer can follow."""

    arch, config = "branching", {}

    def forward(self, x, window=None):
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2) if x.mean() > 0 else x


def test_what_cannot_be_traced_is_refused_in_one_line(tmp_path):
    with pytest.raises(ExportFailed, match="'branching' cannot be exported as ") as caught:
        export(Branching(2), card_of(fresh("fsrcnn")), tmp_path / "x.pt2")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"\.onnx, \.pt2, \.xml"):
        format_of(tmp_path / "x.tflite")


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_missing_package_names_its_extra(format, monkeypatch):
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=rf"pip install 'srcli\[{format}\]'"):
        need(format)

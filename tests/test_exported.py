"""ONNX files as models: ours by what they say, others' by a test run."""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from srcli import checkpoint, zoo
from srcli.checkpoint import Card
from srcli.engine.upscale import Upscaler
from srcli.errors import BadCheckpoint, MissingExtra, UsageError
from srcli.exported import FOREIGN_OVERLAP, Facts, open_onnx
from srcli.models import create
from srcli.models.base import Tiling
from tests.conftest import photograph
from tests.program import srcli

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def rfdn(tmp_path_factory) -> Path:
    """Make a small RFDN's weights, and its ONNX file through the command, in a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("my models")
    torch.manual_seed(0)
    model = create("rfdn", 2, channels=8, blocks=1)
    model.start_as_upsampler()
    checkpoint.save(folder / "w.safetensors", model, checkpoint.card_of(model, licence="MIT"))
    result = srcli("export", folder / "w.safetensors", folder / "a b.onnx")
    assert result.exit_code == 0, result.output
    assert "a b.onnx  rfdn x2" in result.stdout
    return folder / "a b.onnx"


def foreign(
    path: Path, height: int | str, width: int | str, *, channels: int = 3, factor: float = 2, kind: int = 1, batch: int = 1
) -> Path:
    """Write an ONNX file without srcli's metadata that repeats every px; `kind` is the element type, 1 being float32."""
    sizes = [batch, channels, height, width]
    x, y = (onnx.helper.make_tensor_value_info(name, kind, shape) for name, shape in (("in", sizes), ("out", [None] * 4)))
    scales = onnx.helper.make_tensor("scales", 1, [4], [1, 1, factor, factor])
    node = onnx.helper.make_node(
        "Resize",
        ["in", "", "scales"],
        ["out"],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    graph = onnx.helper.make_graph([node], "g", [x], [y], [scales])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_an_exported_file_upscales_as_its_weights_do(rfdn, folder, tmp_path):
    for name, model in (("torch", rfdn.with_name("w.safetensors")), ("onnx", rfdn)):
        flags = ["--precision", "fp32", "-o", tmp_path / name]
        assert srcli("upscale", folder, "-m", model, *flags).exit_code == 0
    for path in sorted((tmp_path / "torch").iterdir()):
        ours, theirs = (np.array(Image.open(f / path.name)).astype(int) for f in (tmp_path / "torch", tmp_path / "onnx"))
        assert np.abs(ours - theirs).max() <= 1  # a tie between two levels


def test_an_exported_file_is_evaluated(rfdn, folder):
    result = srcli("eval", folder, "-m", rfdn)
    assert result.exit_code == 0, result.output
    assert "fp32" in result.stdout


def test_an_exported_file_says_where_it_is_from(rfdn):
    model, card = open_onnx(rfdn)
    assert model.facts is not None
    assert (card.arch, card.scale, card.licence) == ("rfdn", 2, "MIT")
    assert card.config == {"channels": 8, "blocks": 1}
    assert model.facts.sha256 == zoo.hash_of(rfdn.with_name("w.safetensors"))
    assert (model.tiling.kind, model.min_side) == ("strided", 15)
    assert model.facts.deviation < 1e-5
    torch.manual_seed(0)
    x = torch.rand(3, 3, 29, 71)  # a batch of a size that neither the trace nor the check had
    with torch.no_grad():
        torch.testing.assert_close(model(x), zoo.open_model(str(rfdn.with_name("w.safetensors")))[0](x), atol=1e-5, rtol=0)
    assert [d.dim_param for d in onnx.load(rfdn).graph.input[0].type.tensor_type.shape.dim] == ["batch", "", "height", "width"]


def test_pictures_smaller_than_the_network_takes_are_extended(rfdn):
    out = Upscaler(open_onnx(rfdn)[0]).pixels(photograph(3, 5))
    assert out.shape == (6, 10, 3)


def test_the_number_format_is_the_files_own(rfdn):
    assert Upscaler(open_onnx(rfdn)[0]).precision == "fp32"
    with pytest.raises(UsageError, match="computes in fp32"):
        Upscaler(open_onnx(rfdn)[0], precision="bf16")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["export", "{weights}", "{onnx}"], 1, "--overwrite"),
        (["export", "{onnx}", "other.onnx"], 2, "exported already"),
        (["export", "{weights}", "x.pt2", "--format", "onnx"], 2, "ends in .onnx"),
        (["export", "{weights}", "x.tflite"], 2, ".onnx, .pt2, .xml"),
        (["export", "{weights}", "nowhere/x.onnx"], 1, "no folder 'nowhere'"),
        (["export", "{weights}", "--format", "tflite"], 2, "not 'tflite'"),
        (["upscale", "p.png", "-m", "gone.onnx"], 1, "no weights file 'gone.onnx'"),
        (["upscale", "p.png", "-m", "{onnx}", "-s", "2", "--precision", "bf16"], 2, "computes in fp32"),
        (["profile", "{onnx}"], 2, "cannot be counted"),
    ],
)
def test_mistakes_are_one_line(rfdn, tmp_path, monkeypatch, arguments, code, text):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photograph()).save("p.png")
    names = {"{onnx}": str(rfdn), "{weights}": str(rfdn.with_name("w.safetensors"))}
    result = srcli(*(names.get(a, a) for a in arguments))
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert "Traceback" not in result.output
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]


@pytest.mark.parametrize(("height", "width"), [("h", "w"), (16, 24), (40, 20)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_foreign_file_runs_at_its_sizes(tmp_path, height, width, channels):
    said = []
    model, card = open_onnx(foreign(tmp_path / "theirs.onnx", height, width, channels=channels), said.append)
    assert (model.scale, model.channels, card.arch, card.licence) == (2, channels, "theirs", "")
    assert len(said) == 1
    assert "not exported by srcli" in said[0]
    picture = photograph()[..., :channels]
    expected = picture.repeat(2, 0).repeat(2, 1)
    for tile in (0, 16):
        np.testing.assert_array_equal(Upscaler(model, tile=tile).pixels(picture), expected)


@pytest.mark.parametrize(("height", "width"), [("h", 24), (24, "w")])
def test_a_foreign_file_with_one_fixed_side_runs(tmp_path, height, width):
    model, _ = open_onnx(foreign(tmp_path / "theirs.onnx", height, width))
    picture = photograph()
    np.testing.assert_array_equal(Upscaler(model).pixels(picture), picture.repeat(2, 0).repeat(2, 1))


def test_a_file_of_a_fixed_batch_runs_on_any_number_of_pictures(tmp_path):
    model, _ = open_onnx(foreign(tmp_path / "theirs.onnx", "h", "w", batch=2))
    torch.manual_seed(0)
    for count in (1, 2, 3):
        x = torch.rand(count, 3, 17, 23)
        torch.testing.assert_close(model(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3), rtol=0, atol=0)


def described(path: Path, *, card: dict[str, object] | None = None, **facts: object) -> Path:
    """Write an ONNX file that enlarges x2 and says the usual of itself, but for `card` and `facts`."""
    foreign(path, "h", "w")
    usual = Facts(Card("bicubic", 2), "", 3, 2, Tiling("local", 2), 10.0, "fp32", 0.0, ((1, 2, 2),), "9")
    content = json.loads(usual.to_json())
    content["card"] |= card or {}
    content |= facts
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"srcli": json.dumps(content)})
    onnx.save(model, path)
    return path


def test_metadata_of_a_later_srcli_are_understood(tmp_path):
    model, card = open_onnx(described(tmp_path / "x.onnx", card={"more": 1}, further=2))
    assert (model.scale, card) == (2, Card("bicubic", 2))


@pytest.mark.parametrize(
    "odd",
    [
        {"card": {"arch": 5}},
        {"card": {"scale": None}},
        {"tiling": ["local", 2, 0]},
        {"tiling": ["far", 2, 1]},
        {"tiling": None},
    ],
)
def test_metadata_of_other_kinds_of_values_are_refused(tmp_path, odd):
    with pytest.raises(BadCheckpoint, match=r"the metadata of '.*x\.onnx' is damaged"):
        open_onnx(described(tmp_path / "x.onnx", **odd))


def test_a_file_that_enlarges_otherwise_than_it_says_is_refused(tmp_path):
    model, _ = open_onnx(described(tmp_path / "x.onnx", card={"scale": 3}))
    with pytest.raises(BadCheckpoint, match=r"does not enlarge x3, as its metadata say"):
        Upscaler(model).pixels(photograph())


def test_float16_inputs_are_fed(tmp_path):
    model, _ = open_onnx(foreign(tmp_path / "half.onnx", "h", "w", kind=onnx.TensorProto.FLOAT16))
    assert model.precision == "fp16"
    picture = photograph()
    np.testing.assert_array_equal(Upscaler(model).pixels(picture), picture.repeat(2, 0).repeat(2, 1))


def test_a_file_in_float16_is_scored_in_float16_and_named(tmp_path, folder):
    path = foreign(tmp_path / "half.onnx", "h", "w", kind=onnx.TensorProto.FLOAT16)
    result = srcli("eval", folder, "-m", path)
    assert result.exit_code == 0, result.output
    assert result.stdout.rstrip().endswith("fp32, cpu; half.onnx in fp16")
    assert "leave --precision at auto" in srcli("eval", folder, "-m", path, "--precision", "bf16").stderr


def test_an_onnx_file_is_no_start_of_a_training(rfdn, folder, tmp_path):
    flags = ("--arch", "rfdn", "--set", "channels=8", "--set", "blocks=1", "-s", 2, "--steps", 1, "--patch", 16)
    result = srcli("train", *flags, "--data", folder, "--out", tmp_path / "run", "--init", rfdn)
    assert result.exit_code == 1
    assert "cannot be trained: start from the weights that it was made of" in result.stderr


def test_a_file_is_called_what_the_model_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert srcli("export", "rfdn-photo", "-s", 2).stdout.startswith("rfdn-photo_x2.onnx  rfdn x2")
    checkpoint.save(tmp_path / "my own_x2.safetensors", create("fsrcnn", 2), Card(arch="fsrcnn", scale=2))
    assert srcli("export", "my own_x2.safetensors").stdout.startswith("my own_x2.onnx  fsrcnn x2")


@pytest.mark.parametrize(
    ("made", "text"),
    [
        ({"channels": 4}, "takes 4 channels"),
        ({"factor": 1.5}, "whole factor"),
        ({"factor": 1}, "networks that enlarge"),
        ({"kind": 3}, "takes"),  # int8
    ],
)
def test_what_is_no_upscaler_is_refused(tmp_path, made, text):
    path = foreign(tmp_path / "x.onnx", "h", "w", **made)
    with pytest.raises(BadCheckpoint, match=text):
        open_onnx(path)


def test_a_foreign_file_of_open_size_gets_the_overlap_that_is_promised(tmp_path):
    assert open_onnx(foreign(tmp_path / "x.onnx", "h", "w"))[0].tiling.overlap == FOREIGN_OVERLAP == 32
    assert open_onnx(foreign(tmp_path / "y.onnx", 64, 64))[0].tiling.overlap == 16


def test_an_exported_network_goes_to_another_process(rfdn):
    model, x = open_onnx(rfdn)[0], torch.rand(1, 3, 20, 21)
    again = pickle.loads(pickle.dumps(model))
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=0)


def test_a_file_that_is_no_onnx_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no protobuf at all")
    with pytest.raises(BadCheckpoint, match="not an ONNX file"):
        open_onnx(tmp_path / "x.onnx")


def test_without_onnxruntime_the_extra_is_named(rfdn, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"pip install 'srcli\[onnx\]'"):
        open_onnx(rfdn)

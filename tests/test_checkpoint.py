import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from srcli import checkpoint, zoo
from srcli.errors import BadCheckpoint, WeightsNotFound
from srcli.models import create
from tests.conftest import small_files


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create("rfdn", 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_file_rebuilds_its_model_by_itself(model, tmp_path, dtype):
    scores = [{"dataset": "Set5", "psnr": 30.0, "ssim": 0.9, "protocol": "Y", "pictures": 5}]
    card = checkpoint.card_of(model, licence="MIT", training={"steps": 7}, scores=scores)
    checkpoint.save(tmp_path / "w.safetensors", model, card, dtype)
    again, read = checkpoint.load(tmp_path / "w.safetensors")
    assert read == card
    assert not again.training
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor.to(dtype).float())


def test_arguments_that_make_the_size_are_kept(tmp_path):
    small = create("rfdn", 2, channels=20, blocks=2)
    checkpoint.save(tmp_path / "w.safetensors", small, checkpoint.card_of(small))
    assert len(checkpoint.load(tmp_path / "w.safetensors")[0].blocks) == 2


@pytest.mark.parametrize("content", [b"", b"not a weights file", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(BadCheckpoint, match=r"w\.safetensors"):
        checkpoint.load(tmp_path / "w.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsNotFound, match=r"none\.safetensors"):
        checkpoint.load(tmp_path / "none.safetensors")


def test_a_truncated_file_is_refused(model, tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoint.save(path, model, checkpoint.card_of(model))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BadCheckpoint, match=r"w\.safetensors"):
        checkpoint.load(path)


def test_tensors_that_do_not_fit_the_card_are_refused(model, tmp_path):
    card = {"arch": "rfdn", "scale": 3}
    save_file({"head.weight": torch.zeros(3)}, tmp_path / "w.safetensors", metadata={"srcli.card": json.dumps(card)})
    with pytest.raises(BadCheckpoint, match="does not fit 'rfdn' x3"):
        checkpoint.load(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("card", "text"),
    [
        ({"arch": "hat", "scale": 4}, "'hat'"),
        ({"arch": 5, "scale": 2}, "its arch is 5"),
        ({"scale": 2}, "arch"),
        ({"arch": "rfdn", "scale": 2.0}, "its scale is 2.0"),
        ({"arch": "rfdn", "scale": 2, "config": {"channels": -4}}, "a network this srcli does not have"),
        ({"arch": "carn", "scale": 2, "config": {"groups": 3}}, "a network this srcli does not have"),
        ({"arch": "carn", "scale": 2, "config": {"groups": 0}}, "a network this srcli does not have"),
        ({"arch": "rfdn", "scale": 2, "config": None}, "its config is None"),
        ({"arch": "rfdn", "scale": 2, "training": [1]}, r"its training is \[1\]"),
        ({"arch": "rfdn", "scale": 2, "training": {"parts": [{"steps": 4}]}}, "its training is"),
        ({"arch": "rfdn", "scale": 2, "training": {"parts": [{"steps_done": 4, "stage": [5]}]}}, "its training is"),
        (["rfdn", 2], "is damaged"),
    ],
)
def test_a_card_of_no_network_or_of_other_kinds_of_values_is_refused(tmp_path, card, text):
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"srcli.card": json.dumps(card)})
    with pytest.raises(BadCheckpoint, match=text):
        checkpoint.load(tmp_path / "w.safetensors")


def test_scores_that_are_none_are_left_out(model, tmp_path):
    good = {"dataset": "Set5", "psnr": 30, "ssim": 0.9}
    scores = [{"dataset": "Set5"}, good, {"dataset": "Set5", "psnr": None, "ssim": 1}, 7]
    checkpoint.save(tmp_path / "w.safetensors", model, checkpoint.card_of(model, scores=scores))
    assert checkpoint.load(tmp_path / "w.safetensors")[1].scores == [good]


@pytest.mark.parametrize("way", ["card", "bare", "config.json"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused_wherever_they_lie(model, tmp_path, way, value):
    with torch.no_grad():
        model.body.weight[3, 2, 1, 0] = value
    path = tmp_path / "w.safetensors"
    if way == "card":
        checkpoint.save(path, model, checkpoint.card_of(model))
    else:
        save_file(model.state_dict(), path)
    if way == "config.json":
        (tmp_path / "config.json").write_text('{"arch": "rfdn", "scale": 3}')
    with pytest.raises(BadCheckpoint, match=r"w\.safetensors' holds values that are not finite, in 'body\.weight'"):
        zoo.open_model(str(path))


def test_quantised_weights_are_refused(model, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({name: (x * 127).to(torch.int8) for name, x in model.state_dict().items()}, path)
    with pytest.raises(BadCheckpoint, match=r"is quantised: '.*' is torch\.int8"):
        zoo.open_model(str(path))


def test_a_failed_save_leaves_the_old_file(model, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")
    with small_files(), pytest.raises(OSError, match="File too large"):
        checkpoint.save(path, model, checkpoint.card_of(model))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_weights_are_as_readable_as_any_other_file(model, tmp_path):
    checkpoint.save(tmp_path / "w.safetensors", model, checkpoint.card_of(model))
    (tmp_path / "other").touch()
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("averaged", [None, [], {"a": [1]}, 3])
def test_a_state_of_a_run_without_weights_is_refused(averaged):
    state = {"config": {"arch": "fast", "scale": 2}, "step": 3, "elapsed": 60.0, "averaged": averaged}
    with pytest.raises(BadCheckpoint, match=r"^'last.pt' "):
        checkpoint.of_run(Path("last.pt"), state)


def test_a_card_is_json_whatever_was_measured(model, tmp_path):
    card = checkpoint.card_of(model, training={"val_psnr": math.inf, "val_ssim": math.nan, "data": ("a", "b"), "steps": 7})
    checkpoint.save(tmp_path / "w.safetensors", model, card)
    read = checkpoint.read_card(tmp_path / "w.safetensors").training
    assert read == {"val_psnr": None, "val_ssim": None, "data": ["a", "b"], "steps": 7}

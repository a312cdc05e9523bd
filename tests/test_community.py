"""Networks of the community: real spandrel architectures, small and random, in the files people share."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

pytest.importorskip("einops", reason="the extra srcli[community] is not installed")
from srcli import community, zoo
from srcli.engine.upscale import Upscaler
from srcli.errors import BadCheckpoint
from srcli.ops.pixels import to_tensor
from tests.conftest import photograph
from tests.models.test_networks import tiled, whole
from tests.program import srcli

WINDOWED: dict[str, Any] = {"depths": [2, 2], "num_heads": [2, 2], "window_size": 8, "mlp_ratio": 2, "upscale": 2}


@dataclass(frozen=True)
class Case:
    """An architecture, its arguments, what srcli should say of it, and how far tiles may be off in 255ths of the range."""

    module: str
    name: str
    scale: int
    arguments: dict[str, Any]
    off: float = 0.001


CASES = {
    "esrgan": Case("ESRGAN", "ESRGAN", 4, {"num_filters": 8, "num_blocks": 1, "scale": 4}),
    "compact": Case("Compact", "Compact", 2, {"num_feat": 16, "num_conv": 4, "upscale": 2}),
    "span": Case("SPAN", "SPAN", 2, {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 16, "upscale": 2}),
    "mosr": Case("MoSR", "MoSR", 2, {"upscale": 2, "n_block": 2, "dim": 16}),
    "plksr": Case("PLKSR", "PLKSR", 2, {"dim": 16, "n_blocks": 2, "upscaling_factor": 2}),
    "swinir": Case("SwinIR", "SwinIR", 2, {**WINDOWED, "embed_dim": 12, "upsampler": "pixelshuffle"}),
    "swin2sr": Case("Swin2SR", "Swin2SR", 2, {**WINDOWED, "embed_dim": 12, "upsampler": "pixelshuffle"}),
    "hat": Case("HAT", "HAT", 2, {**WINDOWED, "embed_dim": 12, "squeeze_factor": 4}, 0.01),
    "dat": Case(
        "DAT",
        "DAT",
        2,
        {"embed_dim": 32, "depth": [2], "num_heads": [2], "split_size": [8, 8], "expansion_factor": 2, "upscale": 2},
        0.02,
    ),
    "rgt": Case(
        "RGT",
        "RGT",
        2,
        {"embed_dim": 32, "depth": [2], "num_heads": [2], "mlp_ratio": 2, "split_size": [8, 8], "upscale": 2},
        10.0,
    ),
    "omnisr": Case("OmniSR", "OmniSR", 2, {"num_feat": 16, "up_scale": 2}, 4.0),
    "rcan": Case("RCAN", "RCAN", 2, {"scale": 2, "n_resgroups": 2, "n_resblocks": 2, "n_feats": 16, "reduction": 4}, 0.2),
}


def network(module: str, name: str, arguments: dict[str, Any]) -> nn.Module:
    """Build a random network of spandrel."""
    community._import_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        torch.manual_seed(0)
        built: Callable[..., nn.Module] = getattr(import_module(f"spandrel.architectures.{module}"), name)
        return built(**arguments).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Callable[..., Path]:
    """Save a case's network as the community does: params_ema in a .pth, or bare safetensors in half precision."""
    folder = tmp_path_factory.mktemp("community models")

    def save(key: str, suffix: str = ".pth") -> Path:
        path = folder / f"{key}{suffix}"
        if not path.exists():
            state = network(CASES[key].module, CASES[key].name, CASES[key].arguments).state_dict()
            if suffix == ".pth":
                torch.save({"params_ema": state}, path)
            else:
                from safetensors.torch import save_file

                save_file({name: x.clone().contiguous() for name, x in state.items()}, path)
        return path

    return save


@pytest.mark.parametrize("key", CASES)
def test_it_upscales_as_spandrel_itself_does(key, saved):
    model, card = zoo.open_model(str(saved(key)))
    from spandrel import ModelLoader

    assert (model.scale, card.scale, card.source) == (CASES[key].scale, CASES[key].scale, f"{key}.pth")
    x = torch.rand(1, 3, 37, 53, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # theirs
        theirs = ModelLoader().load_from_file(saved(key))
        torch.testing.assert_close(model(x).clamp(0, 1), theirs(x.clone()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("key", CASES)
def test_tiles_are_as_near_the_whole_as_the_tiling_says(key, saved):
    """What pools over the whole picture is off, by what these random weights make of it: the bounds are twice what it was."""
    model, _ = zoo.open_model(str(saved(key)))
    assert (model.tiling.kind == "local") == (key in ("esrgan", "compact", "span", "mosr", "plksr"))
    x = to_tensor(photograph(model.tiling.overlap + 61, 29))
    expected = whole(model, x)
    spread = float(expected.max() - expected.min())  # that of random weights is anything
    assert spread > 0.1
    assert float((tiled(model, x, 48) - expected).abs().max()) * 255 / spread <= CASES[key].off


@pytest.mark.parametrize("key", ["esrgan", "hat", "rcan"])
def test_safetensors_are_opened_too(key, saved):
    x = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        a, b = (zoo.open_model(str(saved(key, suffix)))[0](x) for suffix in (".pth", ".safetensors"))
    torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("key", ["span", "hat"])
def test_the_commands_take_it(key, saved, tmp_path):
    Image.fromarray(photograph(21, 34)).save(tmp_path / "small.png")
    result = srcli("upscale", tmp_path / "small.png", "-m", saved(key), "-o", tmp_path / "large.png", "--precision", "bf16")
    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "large.png") as image:
        assert image.size == (68, 42)
    (tmp_path / "hr").mkdir()
    Image.fromarray(photograph(48, 40)).save(tmp_path / "hr" / "a.png")
    scored = srcli("eval", tmp_path / "hr", "-m", saved(key))
    assert (scored.exit_code, f"{key}.pth" in scored.stdout) == (0, True), scored.stderr
    counted = srcli("profile", saved(key), "--input", "64x64")
    assert (counted.exit_code, CASES[key].name in counted.stdout) == (0, True), counted.stderr
    told = srcli("models", "info", saved(key)).stdout
    assert told.startswith("licence:     not stated, ask its author\n")
    assert "tiles:" in told


def test_a_small_picture_is_extended_to_what_the_network_takes(saved):
    model, _ = zoo.open_model(str(saved("omnisr")))
    assert model.min_side == 16
    assert Upscaler(model, precision="fp32").pixels(photograph(5, 3)).shape == (10, 6, 3)


def test_sizes_become_multiples_inside_the_network():
    model = community.build(network("SAFMN", "SAFMN", {"dim": 16, "n_blocks": 1, "upscaling_factor": 2}).state_dict())
    assert (model.multiple, model.tiling.phase) == (8, 8)
    assert model(torch.rand(1, 3, 13, 21)).shape == (1, 3, 26, 42)


def test_networks_of_gray_get_full_range():
    net = network("Compact", "Compact", {"num_in_ch": 1, "num_out_ch": 1, "num_feat": 16, "num_conv": 2, "upscale": 2})
    model = community.build(net.state_dict())
    gray = photograph(20, 30)[..., :1]
    ours = Upscaler(model, precision="fp32").pixels(gray).astype(int)
    with torch.no_grad():
        theirs = net(torch.from_numpy(gray).permute(2, 0, 1)[None] / 255).clamp(0, 1)[0, 0].mul(255).round().numpy()
    assert abs(ours[..., 0] - theirs).max() <= 1
    assert Upscaler(model, precision="fp32").pixels(photograph(20, 30)).shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("module", "name", "arguments", "text"),
    [
        ("Compact", "Compact", {"num_feat": 8, "num_conv": 2, "upscale": 1}, "a network for restoration at x1; srcli upscales"),
        ("ESRGAN", "ESRGAN", {"in_nc": 4, "out_nc": 4, "num_filters": 16, "num_blocks": 1}, "4 to 4 channels"),
        ("DnCNN", "DnCNN", {"nc": 8, "nb": 17}, "a network for restoration at x1"),
    ],
)
def test_what_does_not_upscale_pictures_is_refused(tmp_path, module, name, arguments, text):
    torch.save(network(module, name, arguments).state_dict(), tmp_path / "other.pth")
    result = srcli("upscale", tmp_path / "none.png", "-m", tmp_path / "other.pth")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1), result.output
    assert text in result.stderr


def test_tensors_that_nobody_knows_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(BadCheckpoint, match="fits no network of srcli and none that spandrel knows"):
        zoo.open_model(str(tmp_path / "other.pth"))


def test_tensors_that_do_not_fit_are_refused_in_one_line(tmp_path):
    state = network("SPAN", "SPAN", CASES["span"].arguments).state_dict()
    state["block_1.c1_r.sk.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "broken.pth")
    with pytest.raises(BadCheckpoint, match="have the names of SPAN, but spandrel cannot load them") as caught:
        zoo.open_model(str(tmp_path / "broken.pth"))
    assert "\n" not in str(caught.value)


def test_without_the_extra_one_line_names_it(saved, monkeypatch):
    monkeypatch.setattr(community, "installed", lambda: False)
    result = srcli("models", "info", saved("span"))
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert result.stderr.endswith("for those of the community: pip install 'srcli[community]'\n")


def test_code_in_a_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"params_ema": {"weight": Evil()}}, tmp_path / "evil.pth")
    with pytest.raises(BadCheckpoint, match="is not a readable weights file"):
        zoo.open_model(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()

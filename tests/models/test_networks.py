"""Claims about every network of the table; a new row is tested at once."""

import hashlib
import json
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srcli import checkpoint, zoo
from srcli.models import ARCHS, SCALES, create
from srcli.models.base import SRModel, Window, between_phases
from srcli.models.statistics import measured_over
from srcli.ops.metrics import psnr, shave
from srcli.ops.pixels import to_tensor
from srcli.ops.resize import resize
from srcli.ops.tiles import plan_tiles
from tests.conftest import photograph
from tests.counts import PARAMETERS, skeleton

GOLDEN = Path(__file__).parents[1] / "golden"
EVERY = [(arch, scale) for arch in ARCHS for scale in SCALES]
LEARNT = [arch for arch in ARCHS if arch != "bicubic"]
KINDS = list({ARCHS[arch].path: arch for arch in reversed(LEARNT)}.values())  # one of each class, where its size tells nothing
SMALL = {"drn-plus": {"channels": 32}}  # 20 M parameters tell nothing that fewer would not


def fresh(arch: str, scale: int = 2, **config) -> SRModel:
    torch.manual_seed(0)
    return create(arch, scale, **{**SMALL.get(arch, {}), **config}).eval()


def started(arch: str, scale: int = 2) -> SRModel:
    """Build a network whose output looks like a picture where that can be had without training."""
    model = fresh(arch, scale)
    model.start_as_upsampler()
    return model


def picture(model: SRModel, height: int, width: int) -> Tensor:
    return to_tensor(photograph(height, width))[:, : model.channels]


def whole(model: SRModel, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x)


def tiled(model: SRModel, x: Tensor, side: int) -> Tensor:
    """Run `model` tile by tile, with the statistics of the whole picture."""
    height, width = x.shape[-2:]
    s = model.scale
    plan = plan_tiles(height, width, side, model.tiling.overlap, model.tiling.phase)
    out = torch.zeros(1, x.shape[1], height * s, width * s)

    def sweep() -> None:
        for r, c in plan:
            inner = (r.start - r.first, r.stop - r.first, c.start - c.first, c.stop - c.first)
            window = Window(r.first, c.first, height, width, inner)
            sr = model(x[..., r.first : r.last, c.first : c.last], window)
            top, bottom, left, right = (n * s for n in inner)
            out[..., r.start * s : r.stop * s, c.start * s : c.stop * s] = sr[..., top:bottom, left:right]

    with torch.no_grad(), measured_over(model, sweep):
        sweep()
    return out


def levels(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255 + 0.5).floor()


def fingerprint(model: SRModel) -> str:
    """Return the number of tensors and a hash over names and shapes, in order."""
    state = model.state_dict()
    lines = "".join(f"{name} {list(value.shape)}\n" for name, value in state.items())
    return f"{len(state)} {hashlib.sha256(lines.encode()).hexdigest()[:16]}"


@pytest.mark.parametrize(("arch", "scale"), EVERY)
def test_output_is_scale_times_as_large(arch, scale):
    model = fresh(arch, scale)
    for height, width in ((21, 31), (1, 23), (5, 5)):
        height, width = max(height, model.min_side), max(width, model.min_side)
        assert whole(model, picture(model, height, width)).shape == (1, model.channels, height * scale, width * scale)


@pytest.mark.parametrize(
    ("arch", "config"),
    [
        ("mfdn", {"upsampler": "shuffle"}),
        ("drn", {"distilling": False}),
        ("rdsrn", {"recursions": 1, "wider": False}),
        ("rdsrn", {"recursions": 9, "split": 0.25, "refinement": False}),
        ("fdiwn", {"order": [0], "channels": 48}),
        ("fdiwn", {"order": [0], "interaction": False, "wide": False}),
        ("fdiwn", {"order": [0], "distilling": False, "calibrated": False}),
        ("vdsr", {"bias": False}),
        ("srcnn", {"kernels": [9, 1, 5]}),
    ],
)
def test_ablations_are_configurations(arch, config):
    model = fresh(arch, 3, **config)
    assert whole(model, picture(model, 15, 17)).shape == (1, model.channels, 45, 51)


@pytest.mark.parametrize(
    ("arch", "scale"),
    [
        pytest.param(arch, scale, marks=[pytest.mark.slow] if arch.startswith("fdiwn") and scale < 4 else [])
        for arch, scale in EVERY
        if arch not in ("rfdn", "mfdn")
    ],
)
def test_overlap_is_the_receptive_radius(arch, scale):
    model = fresh(arch, scale).double()
    if arch.startswith("fdiwn"):
        model.subtract = torch.nn.Identity()  # in float32, where the furthest influence, about 1e-50, is nothing
    radius = model.tiling.overlap
    centre = radius + 3
    x = torch.rand(1, model.channels, 2 * centre + 1, 5, dtype=torch.float64, requires_grad=True)
    with measured_over(model, partial(whole, model, x), sweeps=1):
        rows = model(x)[..., centre * scale : (centre + 1) * scale, 2 * scale : 3 * scale]
        (rows * torch.rand_like(rows)).sum().backward()
    touched = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert max(centre - touched.min(), touched.max() - centre) == radius


@pytest.mark.parametrize("arch", [a for a in ARCHS if skeleton(a, 2).tiling.kind == "local"])
def test_tiles_of_a_local_network_equal_the_whole(arch):
    model = started(arch)
    x = picture(model, 2 * model.tiling.overlap + 21, 19)
    torch.testing.assert_close(tiled(model, x, 16), whole(model, x), rtol=0, atol=2e-5)


@pytest.mark.parametrize("arch", ["rfdn", "mfdn"])
def test_tiles_of_a_strided_network_that_know_their_place_nearly_equal_the_whole(arch):
    model = zoo.open_model(arch, 2)[0]  # fresh attention does next to nothing
    x = picture(model, 161, 17)
    expected = levels(whole(model, x))
    difference = (levels(tiled(model, x, 48)) - expected).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() <= 0.0002
    model.forward = lambda x, window=None, forward=model.forward: forward(x)  # tiles that do not know their place
    assert (levels(tiled(model, x, 48)) != expected).float().mean() > 0.002


@pytest.mark.parametrize("arch", LEARNT)
def test_bfloat16_is_close_to_float32(arch):
    model = started(arch)
    x = picture(model, 21, 31)
    with torch.autocast("cpu", torch.bfloat16):
        half = whole(model, x)
    assert psnr(half.float(), whole(model, x)) > 40


@pytest.mark.parametrize("arch", KINDS)
def test_a_saved_network_is_rebuilt_by_its_file(arch, tmp_path):
    model = fresh(arch, 3)
    checkpoint.save(tmp_path / "w.safetensors", model, checkpoint.card_of(model))
    loaded, _ = checkpoint.load(tmp_path / "w.safetensors")
    x = picture(model, 15, 17)
    torch.testing.assert_close(whole(loaded, x), whole(model, x))


@pytest.mark.parametrize("arch", LEARNT)
def test_parameters_are_those_of_the_paper_and_names_and_shapes_the_file_format(arch):
    networks = {f"x{s}": skeleton(arch, s) for s in SCALES}
    assert tuple(sum(p.numel() for p in network.parameters()) for network in networks.values()) == PARAMETERS[arch]
    golden = json.loads((GOLDEN / "keys.json").read_text())
    assert {scale: fingerprint(network) for scale, network in networks.items()} == golden[arch]


def test_a_start_as_an_upsampler_leaves_no_channel_that_never_learns():
    model = started("srcnn").train()
    before = deepcopy(model.state_dict())
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    x, hr = torch.rand(2, 1, 24, 24), torch.rand(2, 1, 48, 48)
    for _ in range(3):
        optimizer.zero_grad()
        F.l1_loss(model(x), hr).backward()
        optimizer.step()
    for n in (0, 1):
        moved = (model.layers[n].weight - before[f"layers.{n}.weight"]).abs().sum((1, 2, 3)) > 0
        assert moved[:3].all()


@pytest.mark.parametrize("arch", KINDS)
def test_a_training_step_lowers_the_loss(arch):
    model = fresh(arch).train()
    hr = to_tensor(photograph(32, 32))[:, : model.channels]
    lr = resize(hr, 16, 16)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = F.l1_loss(model(lr), hr)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]


@pytest.mark.parametrize(("arch", "scale"), [e for e in EVERY if e[0] not in ("bicubic", "fsrcnn")])
def test_it_starts_as_an_upsampler(arch, scale):
    model = fresh(arch, scale)
    assert model.start_as_upsampler()
    y, x = torch.meshgrid(torch.arange(30.0), torch.arange(34.0), indexing="ij")
    lr = torch.stack([0.5 + 0.3 * torch.sin(x / (4 + c)) * torch.cos(y / 5) for c in range(3)])[None, : model.channels]
    border = 4 * scale  # the zero padding of several layers darkens it
    assert psnr(shave(whole(model, lr), border), shave(resize(lr, 30 * scale, 34 * scale), border)) > 30


@pytest.mark.parametrize("arch", ["fdiwn", "fdiwn-m", "rdsrn"])
def test_folding_changes_the_tensors_but_not_the_function(arch):
    model = fresh(arch)
    x = picture(model, 15, 17)
    before = whole(model, x)
    names = [name for name, _ in model.fold().named_parameters()]
    assert not [name for name in names if "parametrizations" in name]
    torch.testing.assert_close(whole(model, x), before, rtol=0, atol=1e-5)


def test_folding_a_copy_leaves_the_original_whole():
    model = fresh("fdiwn")
    x = picture(model, 24, 31)
    before = whole(model, x)
    folded = deepcopy(model).fold()
    torch.testing.assert_close(whole(folded, x), before, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole(model, x), before, atol=0, rtol=0)
    assert "parametrizations" not in str(list(folded.state_dict()))


@pytest.mark.parametrize(("before", "scale"), [(4, 2), (4, 3), (3, 2), (3, 4), (2, 3), (2, 4)])
def test_an_upsampler_of_another_scale_keeps_what_is_linear_between_the_phases(before, scale):
    def bias(s):  # colour by place in the px of LR
        at = (torch.arange(s) + 0.5) / s
        return torch.stack([at[:, None] + 2 * at, 3 - at[:, None] * at, 0 * at[:, None] + 5 * at]).flatten()

    torch.testing.assert_close(between_phases(bias(before), before, scale), bias(scale))
    kernels = bias(before)[:, None, None, None].expand(-1, 4, 3, 3)
    torch.testing.assert_close(between_phases(kernels, before, scale)[:, 2, 1, 1], bias(scale))

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from srcli.errors import BadCheckpoint
from srcli.foreign import load, read, recognise, tensors_in
from srcli.models import create
from srcli.ops.color import luma
from srcli.ops.metrics import psnr, shave, ssim
from srcli.ops.pixels import quantize, to_tensor
from srcli.ops.resize import resize
from srcli.zoo import open_file

NAMES = json.loads((Path(__file__).parent / "golden" / "releases.json").read_text())
RELEASED = {
    "carn_m.pth": ("carn-m", None),
    "FDIWNx2.pt": ("fdiwn", 2),
    "FDIWNx3.pt": ("fdiwn", 3),
    "FDIWNx4.pt": ("fdiwn", 4),
    "IMDN_x2.pth": ("imdn", 2),
    "IMDN_x3.pth": ("imdn", 3),
    "IMDN_x4.pth": ("imdn", 4),
    "imdn_baseline.pth": ("imdn-baseline", 4),
    "MFDN_ntire2022.pth": ("mfdn", 4),
    "PANx2_DF2K.pth": ("pan", None),
    "PANx3_DF2K.pth": ("pan", None),
    "PANx4_DF2K.pth": ("pan", 4),
    "RDSRN_x2.pth": ("rdsrn", 2),
    "RDSRN_x3.pth": ("rdsrn", 3),
    "RDSRN_x4.pth": ("rdsrn", 4),
    "RFDN_AIM.pth": ("rfdn", 4),
}
# ARCHITECTURES.md section 11: Y PSNR and SSIM on Set5 and on Set14, None where it has no figure
SCORES = [
    ("RFDN_AIM.pth", "rfdn", 4, (32.16, 0.8946), (28.65, 0.7825)),
    ("MFDN_ntire2022.pth", "mfdn", 4, (31.41, 0.8816), (28.10, 0.7677)),
    ("IMDN_x2.pth", "imdn", 2, (38.00, 0.9605), (33.63, 0.9177)),
    ("IMDN_x4.pth", "imdn", 4, (32.21, 0.8948), (28.58, 0.7811)),
    ("RDSRN_x4.pth", "rdsrn", 4, (32.28, 0.8958), None),
    ("carn_m.pth", "carn-m", 2, (37.68, 0.9595), None),
    ("carn_m.pth", "carn-m", 3, (34.06, 0.9248), None),
    ("carn_m.pth", "carn-m", 4, (31.88, 0.8910), None),
]


def names_of(file: str) -> dict[str, list[int]]:
    """Expand the names of a release, of which repeated parts are written as {1,2,3}."""
    content = dict(NAMES[file])
    like = content.pop("like", None)
    found = names_of(like) if like else {}
    for pattern, shape in content.items():
        parts = re.split(r"\{([\d,]+)\}", pattern)
        choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
        found |= {"".join(choice): shape for choice in itertools.product(*choices)}
    return found


def imitation(file: str) -> dict[str, Tensor]:
    """Make random tensors with the names and shapes of a release."""
    torch.manual_seed(0)
    return {name: torch.rand(shape) for name, shape in names_of(file).items()}


@pytest.fixture
def save(tmp_path):
    def write(content: object) -> Path:
        torch.save(content, tmp_path / "weights.pth")
        return tmp_path / "weights.pth"

    return write


def shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(x.shape) for name, x in state.items()}


def read_state(path: Path) -> dict[str, Tensor]:
    return tensors_in(path, read(path))


def opened(path: Path, scale: int | None = None):
    """Load a file of theirs as its names and shapes tell it."""
    state = read_state(path)
    found = recognise(shapes(state))
    assert found, f"'{path}' is not recognised"
    return load(path, state, found, scale)


@pytest.mark.parametrize("file", [file for file, (_, scale) in RELEASED.items() if scale])
def test_the_authors_names_fit_and_tell_the_scale(file, save):
    arch, scale = RELEASED[file]
    model = opened(save(imitation(file)))
    assert (model.arch, model.scale) == (arch, scale)


@pytest.mark.parametrize("file", ["PANx2_DF2K.pth", "PANx3_DF2K.pth"])
def test_tensors_that_are_the_same_at_several_scales_ask_for_one_unless_the_name_states_it(file, save):
    path = save(imitation(file))
    with pytest.raises(BadCheckpoint) as error:
        open_file(path)
    assert str(error.value) == f"'{path}' fits 'pan' at x2 and x3; say which with -s"
    assert open_file(path, 3)[0].scale == 3
    assert open_file(path.rename(path.with_name(f"3x-{path.name}")))[0].scale == 3


def test_a_file_that_holds_several_scales_is_taken_at_x4_unless_another_is_named(save):
    path = save(imitation("carn_m.pth"))
    assert [open_file(path, scale)[0].scale for scale in (None, 2, 3)] == [4, 2, 3]
    assert open_file(path.rename(path.with_name("carn_m_x2.pth")))[0].scale == 2


@pytest.mark.parametrize("file", ["imdn_baseline.pth", "PANx4_DF2K.pth", "IMDN_x3.pth", "FDIWNx4.pt"])
def test_every_tensor_arrives_unchanged(file, save):
    theirs = imitation(file)
    ours = opened(save(theirs)).state_dict()
    assert sorted(float(v.sum()) for v in ours.values()) == sorted(float(v.sum()) for v in theirs.values())


def test_fdiwn_tensors_arrive_where_the_code_uses_them(save):
    theirs = imitation("FDIWNx2.pt")
    ours = opened(save(theirs)).state_dict()
    pairs = {
        "Li2.MY3.conv_distilled1.weight": "groups.1.blocks.2.gate_b.weight",
        "Li2.MY3.A2_coffconv.upper_branch.3.bias": "groups.1.blocks.2.weigh.m2.mean2.bias",
        "Li2.MY3.srb4.res_scale.scale": "groups.1.blocks.2.leave_b.gain",
        "Li2.MY3.rb1.x_scale.scale": "groups.1.blocks.2.widen_a.gain_skip",
        "Li2.MY3.fuse1.conv.weight": "groups.1.blocks.2.calibrate.skip.weight",
        "Li3.scale_res.scale": "groups.2.gain_beside",
        "conv2.weight": "skip.weight",
    }
    assert all(torch.equal(theirs[name], ours[own]) for name, own in pairs.items())


def test_rdsrn_keeps_the_learned_gains(save):
    theirs = imitation("RDSRN_x4.pth")
    ours = opened(save(theirs)).state_dict()
    assert torch.equal(ours["block.second.refine1.gain"], theirs["rbs.0.rdbs.x_scale_5.scale"])


@pytest.mark.parametrize("prefix", ["module.", "netG.", "module.netG."])
@pytest.mark.parametrize("wrapper", ["params_ema", "params-ema", "params", "model_state_dict", "state_dict", "net", "model"])
def test_wrappers_and_prefixes_are_taken_off(wrapper, prefix, save):
    state = {f"{prefix}{name}": value for name, value in imitation("PANx4_DF2K.pth").items()}
    assert opened(save({wrapper: state, "epoch": 7})).arch == "pan"


def test_folded_weights_compute_the_same(save):
    theirs = imitation("RDSRN_x3.pth")
    x = torch.rand(1, 3, 15, 17)
    normalised = opened(save(theirs))
    folded = {name: value for name, value in theirs.items() if not name.endswith(("_g", "_v"))}
    for name in [name.removesuffix("_g") for name in theirs if name.endswith("_g")]:
        gain, direction = theirs[f"{name}_g"], theirs[f"{name}_v"]
        folded[name] = gain * direction / direction.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(opened(save(folded))(x), normalised(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_releases_in_half_precision_are_rescaled_in_float32(save, dtype):
    """RFDN's authors feed [0, 255]: 255 is multiplied into the weights, and must not be rounded to the file's format."""
    half = {name: value.to(dtype) for name, value in imitation("RFDN_AIM.pth").items()}
    stored = opened(save(half)).state_dict()
    cast_first = opened(save({name: value.float() for name, value in half.items()})).state_dict()
    torch.testing.assert_close(stored, cast_first, rtol=0, atol=0)


def test_a_gain_of_another_shape_is_named(save):
    state = imitation("RDSRN_x3.pth")
    gain = next(name for name in state if name.endswith("_g"))
    path = save(state | {gain: torch.rand(3)})
    with pytest.raises(BadCheckpoint, match=r"does not fit 'rdsrn' x3: size mismatch for .*original0"):
        opened(path)


def test_tensors_too_few_too_many_or_of_another_shape_are_no_network(save):
    state = imitation("IMDN_x4.pth")
    name = "module.IMDB3.c2.bias"
    for other in ({n: x for n, x in state.items() if n != name}, state | {"more": state[name]}, state | {name: torch.rand(7)}):
        assert recognise(shapes(read_state(save(other)))) is None


@pytest.mark.parametrize("seed", range(12))
def test_files_of_any_other_content_are_refused(tmp_path, seed):
    """Short files of random opcodes and text: torch's unpickler fails in a dozen ways."""
    path, rng = tmp_path / "weights.pth", np.random.default_rng(seed)
    for content in (b"junk", b"", b"(lp0", *(rng.bytes(rng.integers(1, 40)) for _ in range(60))):
        path.write_bytes(content)
        with pytest.raises(BadCheckpoint, match=r"is not a readable weights file|holds no table of tensors|is empty$"):
            read_state(path)


@pytest.mark.parametrize("content", ["#!/bin/sh\nset -e\n", "Read me first\n", "srcli\n", "network: rfdn\n", "h\1"])
def test_text_for_weights_is_refused_in_our_own_words(tmp_path, content):
    (tmp_path / "x.pt").write_text(content)
    with pytest.raises(BadCheckpoint, match=r"neither safetensors nor a torch file of tensors alone|holds no table of tensors"):
        read_state(tmp_path / "x.pt")


@pytest.mark.parametrize("content", [{0: torch.zeros(3)}, torch.zeros(3), {}, []])
def test_what_is_no_table_of_names_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(BadCheckpoint, match="holds no table of tensors"):
        read_state(tmp_path / "x.pt")


def test_code_in_a_file_is_not_run(save, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    with pytest.raises(BadCheckpoint, match="is not a readable weights file"):
        read_state(save({"weight": Evil()}))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("file", "arch", "scale"), [row[:3] for row in SCORES])
def test_released_weights_beat_bicubic(data, file, arch, scale):
    model = opened(released(data, file), scale).fold()
    assert model.arch == arch
    hr = to_tensor(np.array(Image.open(data / "eval" / "Set5" / "butterfly.png"))[:120, :120])
    baseline, _ = score(create("bicubic", scale), hr)
    assert score(model, hr)[0] > baseline + 2


@pytest.mark.slow
@pytest.mark.parametrize(("file", "arch", "scale", "set5", "set14"), SCORES)
def test_released_weights_reach_their_scores(data, file, arch, scale, set5, set14):
    model = opened(released(data, file), scale).fold()
    assert model.arch == arch
    for folder, expected in (("Set5", set5), ("Set14", set14 or (None, None))):
        pictures = [np.array(Image.open(p).convert("RGB")) for p in sorted((data / "eval" / folder).glob("*.png"))]
        scores = np.mean([score(model, to_tensor(p)) for p in pictures], axis=0) if expected[0] else expected
        assert scores[0] == pytest.approx(expected[0], abs=0.02)
        assert scores[1] == pytest.approx(expected[1], abs=0.001)


def released(data: Path, file: str) -> Path:
    path = data / "checkpoints" / file
    if not path.exists():
        pytest.skip(f"'{file}' is not in the data folder")
    return path


def score(model, hr: Tensor) -> tuple[float, float]:
    """Return PSNR and SSIM on Y, shaved by the scale, LR and result rounded to 8 bit."""
    s = model.scale
    height, width = (n // s for n in hr.shape[-2:])
    hr = hr[..., : height * s, : width * s]
    lr = quantize(resize(hr.double(), height, width)).float()
    with torch.no_grad():
        sr = quantize(model(lr))
    y = [shave(luma(x.double()), s) for x in (sr, hr)]
    return psnr(y[0], y[1]), ssim(y[0], y[1])

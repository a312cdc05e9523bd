"""Files without a card: the papers' own releases and bare tensors, told by names and shapes, read into our networks."""

import pickle
import re
import struct
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from srcli import checkpoint
from srcli.errors import BadCheckpoint, SeveralScales, first_line
from srcli.models import create
from srcli.models.base import SRModel
from srcli.models.signatures import Match, match

# what torch's restricted unpickler raises, depending on where a file that is none goes wrong
_UNREADABLE = (
    *(pickle.UnpicklingError, struct.error, EOFError, OSError, RuntimeError, ValueError, TypeError),
    *(LookupError, AttributeError, ArithmeticError, AssertionError),
)
_WRAPPERS = ("averaged", "params_ema", "params-ema", "params", "model_state_dict", "state_dict", "net", "model")

# A regular expression over their names and what it becomes in ours; applied in order.
Rule = tuple[str, str | Callable[[re.Match[str]], str]]

_TRUNK: list[Rule] = [  # of RFDN and IMDN
    (r"^fea_conv\.", "head."),
    (r"^c\.0\.", "fuse."),
    (r"^LR_conv\.", "body."),
    (r"^upsampler\.0\.", "upsample."),
    (r"^(?:IMD)?B(\d)\.c4\.", lambda m: f"blocks.{int(m[1]) - 1}.last."),
    (r"^(?:IMD)?B(\d)\.c5\.", lambda m: f"blocks.{int(m[1]) - 1}.fuse."),
]
_RFDB: list[Rule] = [
    *_TRUNK,
    (r"^B(\d)\.c([123])_d\.", lambda m: f"blocks.{int(m[1]) - 1}.distil.{int(m[2]) - 1}."),
    (r"^B(\d)\.c([123])_r\.", lambda m: f"blocks.{int(m[1]) - 1}.refine.{int(m[2]) - 1}."),
    (r"^B(\d)\.esa\.", lambda m: f"blocks.{int(m[1]) - 1}.attention."),
]
_ESA: list[Rule] = [
    (r"attention\.conv1\.", "attention.reduce."),
    (r"attention\.conv2\.", "attention.stride."),
    (r"attention\.conv_max\.", "attention.grid1."),
    (r"attention\.conv3\.", "attention.grid2."),
    (r"attention\.conv3_\.", "attention.grid3."),
    (r"attention\.conv_f\.", "attention.local."),
    (r"attention\.conv4\.", "attention.expand."),
]
_IMDN: list[Rule] = [
    *_TRUNK,
    (r"^IMDB(\d)\.c([123])\.", lambda m: f"blocks.{int(m[1]) - 1}.refine.{int(m[2]) - 1}."),
    (r"^IMDB(\d)\.cca\.conv_du\.0\.", lambda m: f"blocks.{int(m[1]) - 1}.attention.reduce."),
    (r"^IMDB(\d)\.cca\.conv_du\.2\.", lambda m: f"blocks.{int(m[1]) - 1}.attention.expand."),
]
_IMDN_BASELINE: list[Rule] = [
    (r"^model\.0\.", "head."),
    (r"^model\.2\.", "upsample."),
    (r"^model\.1\.sub\.8\.", "body."),
    (r"^model\.1\.sub\.(\d)\.conv([123])\.0\.", lambda m: f"blocks.{m[1]}.refine.{int(m[2]) - 1}."),
    (r"^model\.1\.sub\.(\d)\.conv4\.", r"blocks.\1.last."),
    (r"^model\.1\.sub\.(\d)\.conv1x1\.", r"blocks.\1.fuse."),
]
_PAN: list[Rule] = [
    (r"^conv_first\.", "head."),
    (r"^SCPA_trunk\.", "blocks."),
    (r"\.conv1_([ab])\.", r".reduce_\1."),
    (r"\.k1\.0\.", ".conv_a."),
    (r"\.PAConv\.k2\.", ".gate."),
    (r"\.PAConv\.k3\.", ".conv_b1."),
    (r"\.PAConv\.k4\.", ".conv_b2."),
    (r"\.conv3\.", ".fuse."),
    (r"^trunk_conv\.", "body."),
]
_PIXEL_ATTENTION: list[Rule] = [
    (r"^upconv([12])\.", lambda m: f"upsample.{int(m[1]) - 1}.conv1."),
    (r"^att([12])\.conv\.", lambda m: f"upsample.{int(m[1]) - 1}.gate."),
    (r"^HRconv([12])\.", lambda m: f"upsample.{int(m[1]) - 1}.conv2."),
    (r"^conv_last\.", "last."),
]
_CARN: list[Rule] = [
    (r"^entry\.", "head."),
    (r"^exit\.", "last."),
    (r"^c(\d)\.body\.0\.", lambda m: f"fuse.{int(m[1]) - 1}."),
    (r"^b(\d)\.c(\d)\.body\.0\.", lambda m: f"blocks.{int(m[1]) - 1}.fuse.{int(m[2]) - 1}."),
    (r"^b(\d)\.b(\d)\.body\.", lambda m: f"blocks.{int(m[1]) - 1}.units.{int(m[2]) - 1}."),
    (r"(\.units\.\d)\.0\.", r"\1.conv1."),
    (r"(\.units\.\d)\.2\.", r"\1.conv2."),
    (r"(\.units\.\d)\.4\.", r"\1.mix."),
    (r"^upsample\.up(\d)\.body\.(\d)\.", lambda m: f"upsample.{m[1]}.{int(m[2]) // 3}."),
]
_RDSRN: list[Rule] = [
    (r"^sfe([12])\.", r"head\1."),
    (r"^gff\.", "fuse."),
    (r"^gff_2\.", "body."),
    (r"^upscale\.(\d)\.", lambda m: f"upsample.{int(m[1]) // 2}."),
    (r"^conv17_(\d)\.0\.", lambda m: f"refine.{int(m[1]) - 1}."),
    (r"^conv18\.0\.", "last."),
    (r"^rbs\.0\.rdbs\.", "block."),
    (r"\.(layer|idle_layer|x_scale_)([12])\.", r".first.\1\2."),
    (r"\.(layer|idle_layer|x_scale_)([56])\.", lambda m: f".second.{m[1]}{int(m[2]) - 4}."),
    (r"\.layer(\d)\.0\.", r".conv\1."),
    (r"\.idle_layer(\d)\.0\.", r".refine\1.widen."),
    (r"\.idle_layer(\d)\.2\.", r".refine\1.narrow."),
    (r"\.x_scale_(\d)\.scale$", r".refine\1.gain"),
    (r"\.CONCAT_FF_(\d)\.", r".fuse\1."),
    (r"\.conv_du\.0\.", ".attention.reduce."),
    (r"\.conv_du\.2\.", ".attention.expand."),
]
_FDIWN: list[Rule] = [
    (r"^Sub_mean\.", "subtract."),
    (r"^Add_mean\.", "add."),
    (r"^conv1\.", "tail."),
    (r"^conv2\.", "skip."),
    (r"^UP1\.0\.", "upsample."),
    (r"^UP2\.0\.", "skip_upsample."),
    (r"^Li(\d)\.", lambda m: f"groups.{int(m[1]) - 1}."),
    (r"^(groups\.\d)\.conv\.", r"\1.bridge."),
    (r"^(groups\.\d)\.conv([12])\.", r"\1.fuse\2."),
    (r"^(groups\.\d)\.rb1\.", r"\1.beside."),
    (r"^(groups\.\d)\.scale_x\.scale$", r"\1.gain"),
    (r"^(groups\.\d)\.scale_res\.scale$", r"\1.gain_beside"),
    (r"\.MY(\d)\.", lambda m: f".blocks.{int(m[1]) - 1}."),
    (r"\.srb1\.", ".enter_a."),
    (r"\.srb2\.", ".enter_b."),
    (r"\.srb3\.", ".leave_a."),
    (r"\.srb4\.", ".leave_b."),
    (r"\.rb1\.", ".widen_a."),
    (r"\.rb2\.", ".widen_b."),
    (r"\.A([12])_coffconv\.", r".weigh.m\1."),
    (r"\.B([12])_coffconv\.", r".weigh.n\1."),
    (r"\.upper_branch\.1\.", ".mean1."),
    (r"\.upper_branch\.3\.", ".mean2."),
    (r"\.lower_branch\.0\.", ".std1."),
    (r"\.lower_branch\.2\.", ".std2."),
    (r"\.conv_distilled1\.", ".gate_b."),
    (r"\.conv_distilled2\.", ".gate_a."),
    (r"\.scale_x1\.scale$", ".gain_a"),
    (r"\.scale_x2\.scale$", ".gain_b"),
    (r"(\.blocks\.\d)\.fuse2\.", r"\1.fuse."),
    (r"(\.blocks\.\d)\.fuse1\.", r"\1.calibrate."),
    (r"(widen_[ab]|calibrate)\.conv\.(weight|bias)$", r"\1.skip.\2"),  # before the body has one of this name
    (r"\.body\.0\.", ".widen."),
    (r"\.body\.2\.", ".squeeze."),
    (r"\.body\.3\.", ".conv."),
    (r"\.res_scale\.scale$", ".gain"),
    (r"\.x_scale\.scale$", ".gain_skip"),
    (r"\.SAlayer\.", ".attention."),
    (r"\.attention\.c(weight|bias)$", r".attention.channel_\1"),
    (r"\.attention\.s(weight|bias)$", r".attention.space_\1"),
    (r"\.attention\.gn\.", ".attention.norm_"),
]
_WEIGHT_NORM: list[Rule] = [
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
]


class Release(NamedTuple):
    """How the authors' files of one network read: their names as rules for ours, and the range of their input."""

    rules: list[Rule]
    constants: str = r"(?!)"  # their names of what is no tensor of ours: fixed or unused values
    input_range: float = 1.0
    head: str = "head"  # the first and the last convolution absorb the input range, which leaves the function the same
    tail: str = "last"


OURS = Release([])
RELEASES = {
    "carn": Release(_CARN, constants=r"^(sub|add)_mean\."),
    "carn-m": Release(_CARN, constants=r"^(sub|add)_mean\."),
    "imdn": Release(_IMDN),
    "imdn-baseline": Release(_IMDN_BASELINE),
    "pan": Release([*_PAN, *_PIXEL_ATTENTION]),
    "rfdn": Release([*_RFDB, *_ESA], input_range=255.0, tail="upsample"),
    "mfdn": Release([*_RFDB, *_ESA, *_PIXEL_ATTENTION, (r"\.seps\.", ".depthwise."), (r"\.bn([12])\.", r".norm\1.")]),
    "fdiwn": Release([*_FDIWN, *_WEIGHT_NORM]),
    "rdsrn": Release([*_RDSRN, *_WEIGHT_NORM], constants=r"\.res_scale_\d\.scale$"),
}


def read(path: Path) -> Any:
    """Read what a file of safetensors or of torch holds, without running any code in it; raise BadCheckpoint."""
    if path.suffix.lower() == ".safetensors":
        return checkpoint.read_tensors(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it guesses of a file that is none
            return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        if not path.stat().st_size:
            raise BadCheckpoint(f"'{path}' is empty") from error
        raise BadCheckpoint(f"'{path}' is not a readable weights file ({_first_line(error)})") from error


def tensors_in(path: Path, content: Any) -> dict[str, Tensor]:
    """Unwrap the tensors in what was read of `path` from the usual layouts; raise BadCheckpoint where there are none."""
    for _ in range(2):
        for key in _WRAPPERS:
            if isinstance(content, dict) and isinstance(content.get(key), dict):
                content = content[key]
                break
    named = isinstance(content, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    if not named or not content:
        raise BadCheckpoint(f"'{path}' holds no table of tensors; is it a training state of another program?")
    return {key.removeprefix("module.").removeprefix("netG."): value for key, value in content.items()}


class Recognised(NamedTuple):
    """What network tensors are of, and how their names and values become ours."""

    arch: str
    scales: tuple[int, ...]  # several where the tensors of these scales do not differ
    release: Release


def recognise(shapes: Mapping[str, Sequence[int]]) -> Recognised | None:
    """Return the network of the table that has these tensors, by our names or the authors'; None where none has."""
    if own := match(shapes):
        return Recognised(*own, OURS)
    for arch, release in RELEASES.items():
        renamed = {_our_name(name, release.rules): shapes[name] for name in shapes if not re.search(release.constants, name)}
        found: Match | None = match(renamed)
        if found and found.arch == arch:
            return Recognised(*found, release)
    return None


def load(path: Path, state: dict[str, Tensor], found: Recognised, scale: int | None = None) -> SRModel:
    """Build the network that the tensors of `path` were recognised as; raise SeveralScales where the scale stays open."""
    arch, scales, release = found
    wanted = tuple(s for s in scales if scale in (None, s)) or scales[:1]  # of another scale: the caller says so
    if len(wanted) > 1:
        fitting = " and ".join(f"x{s}" for s in wanted)
        raise SeveralScales(f"'{path}' fits '{arch}' at {fitting}; say which with -s", wanted)
    model = create(arch, wanted[0])
    theirs = {_our_name(key, release.rules): value for key, value in state.items() if not re.search(release.constants, key)}
    ours = _normalised(checkpoint.in_float32(theirs), model.state_dict())
    if release.input_range != 1:
        ours[f"{release.head}.weight"] = ours[f"{release.head}.weight"] * release.input_range
        for name in ("weight", "bias"):
            ours[f"{release.tail}.{name}"] = ours[f"{release.tail}.{name}"] / release.input_range
    return checkpoint.fill(model, path, ours)  # the signature does not read gains of weight norm


def holds_several(found: Recognised) -> bool:
    """Tell whether files of a network have upsamplers for several scales, rather than tensors that are the same at all."""
    model = create(found.arch, found.scales[0])
    return model.single_scale_parameters() < sum(p.numel() for p in model.parameters())


def _our_name(key: str, rules: list[Rule]) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def _normalised(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Split weights that come folded into the gain and direction our weight-normalised convolutions have."""
    out = {}
    for name, value in state.items():
        parts = [f"{name.removesuffix('weight')}parametrizations.weight.original{i}" for i in (0, 1)]
        if name.endswith(".weight") and parts[0] in own:
            out[parts[0]], out[parts[1]] = value.float().flatten(1).norm(dim=1).view(-1, 1, 1, 1), value
        else:
            out[name] = value
    return out


def _first_line(error: Exception) -> str:
    # an unpickler tells a bare number, nothing, or where it broke down; torch's own words advise to run the code in the file
    if not isinstance(error, (RuntimeError, OSError)):
        return "neither safetensors nor a torch file of tensors alone"
    return first_line(error, 120).partition(". ")[0]

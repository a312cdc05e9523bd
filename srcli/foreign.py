"""The papers' own releases: their file layouts and tensor names, read into our networks."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from srcli.errors import BadCheckpoint
from srcli.models import ARCHS, create
from srcli.models.base import SRModel

_WRAPPERS = ("params_ema", "params", "state_dict", "net", "model")

# A regular expression over their names and what it becomes in ours; applied in order.
Rule = tuple[str, str | Callable[[re.Match[str]], str]]

_RFDB: list[Rule] = [
    (r"^fea_conv\.", "head."),
    (r"^c\.0\.", "fuse."),
    (r"^LR_conv\.", "body."),
    (r"^B(\d)\.c([123])_d\.", lambda m: f"blocks.{int(m[1]) - 1}.distil.{int(m[2]) - 1}."),
    (r"^B(\d)\.c([123])_r\.", lambda m: f"blocks.{int(m[1]) - 1}.refine.{int(m[2]) - 1}."),
    (r"^B(\d)\.c4\.", lambda m: f"blocks.{int(m[1]) - 1}.last."),
    (r"^B(\d)\.c5\.", lambda m: f"blocks.{int(m[1]) - 1}.fuse."),
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


class Release(NamedTuple):
    """How the authors' files of one network read: their names as rules for ours, and the range of their input."""

    rules: list[Rule]
    head: str  # the first and the last convolution absorb the input range, which leaves the function the same
    tail: str
    input_range: float = 1.0


RELEASES = {
    "rfdn": Release([*_RFDB, *_ESA, (r"^upsampler\.0\.", "upsample.")], "head", "upsample", 255.0),
    "mfdn": Release(
        [
            *_RFDB,
            *_ESA,
            (r"\.seps\.", ".depthwise."),
            (r"\.bn([12])\.", r".norm\1."),
            (r"^upconv([12])\.", lambda m: f"upsample.{int(m[1]) - 1}.conv1."),
            (r"^att([12])\.conv\.", lambda m: f"upsample.{int(m[1]) - 1}.gate."),
            (r"^HRconv([12])\.", lambda m: f"upsample.{int(m[1]) - 1}.conv2."),
            (r"^conv_last\.", "last."),
        ],
        "head",
        "last",
    ),
}


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a .pth's tensors without running any code in it, unwrapped from the usual layouts; raise BadCheckpoint."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise BadCheckpoint(f"'{path}' is not a readable weights file ({_first_line(error)})") from error
    for _ in range(2):
        for key in _WRAPPERS:
            if isinstance(content, dict) and isinstance(content.get(key), dict):
                content = content[key]
                break
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise BadCheckpoint(f"'{path}' holds no table of tensors; is it a training state of another program?")
    return {key.removeprefix("module."): value for key, value in content.items()}


def convert(path: Path, arch: str, scale: int) -> SRModel:
    """Load the authors' checkpoint of `arch` into our network; raise BadCheckpoint naming the first key that differs."""
    release = RELEASES.get(arch)
    if release is None:
        raise BadCheckpoint(f"no released weights of '{ARCHS[arch].label}' are known; there are {', '.join(RELEASES)}")
    model = create(arch, scale)
    state: dict[str, Tensor] = {}
    for key, value in read_state(path).items():
        name = key
        for pattern, replacement in release.rules:
            name = re.sub(pattern, replacement, name)
        state[name] = value
    own = model.state_dict()
    for name in [*own, *state]:
        if name not in state:
            raise BadCheckpoint(f"'{path}' does not fit '{arch}' x{scale}: '{name}' is missing")
        if name not in own:
            raise BadCheckpoint(f"'{path}' does not fit '{arch}' x{scale}: '{name}' is not part of it")
        if own[name].shape != state[name].shape:
            raise BadCheckpoint(
                f"'{path}' does not fit '{arch}' x{scale}: '{name}' has shape {list(state[name].shape)}, "
                f"not {list(own[name].shape)}"
            )
    state[f"{release.head}.weight"] = state[f"{release.head}.weight"] * release.input_range
    for name in ("weight", "bias"):
        state[f"{release.tail}.{name}"] = state[f"{release.tail}.{name}"] / release.input_range
    model.load_state_dict(state)
    return model.eval()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__

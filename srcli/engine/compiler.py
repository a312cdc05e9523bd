"""Compiling a network, where this machine can."""

import os
from pathlib import Path

import torch

from srcli.errors import first_line
from srcli.models.base import SRModel

_SHAPES = 64  # that are compiled before new ones run as they are: sizes, whole pictures and tiles, formats; of all scales


def compile_network(model: SRModel, device: torch.device, *, dynamic: bool | None = False) -> str | None:
    """Compile `model` in place, its parameters keeping their names; return why it cannot be done.

    Every size is compiled by itself when it is first met, or with `dynamic` None the second for all that follow. What was
    compiled stays in the user's cache for the next run.
    """
    cache = os.environ.get("XDG_CACHE_HOME")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(cache or Path.home() / ".cache", "srcli", "compiled")))
    if reason := _lacks(device):
        return reason
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _SHAPES)
    model.compile(dynamic=dynamic)
    return None


def _lacks(device: torch.device) -> str | None:
    """Return what the compiler lacks to compile a little function for `device`."""
    try:
        torch.compile(lambda x: (x.sin() + 1).sum())(torch.ones(64, device=device))
    except (RuntimeError, OSError) as error:  # torch's own are all RuntimeErrors
        return first_line(error)
    return None

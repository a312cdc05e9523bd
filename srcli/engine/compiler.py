"""Compiling a network for training, where this machine can."""

import torch

from srcli.models.base import SRModel


def compile_network(model: SRModel, device: torch.device) -> str | None:
    """Compile `model` in place, its parameters keeping their names; return why it cannot be done.

    Every size of patch is compiled by itself, when it is first met.
    """
    if reason := _lacks(device):
        return reason
    model.compile(dynamic=False)
    return None


def _lacks(device: torch.device) -> str | None:
    """Return what the compiler lacks to compile a little function for `device`."""
    try:
        torch.compile(lambda x: (x.sin() + 1).sum())(torch.ones(64, device=device))
    except (RuntimeError, OSError) as error:  # torch's own are all RuntimeErrors
        return str(error).strip().splitlines()[0]
    return None

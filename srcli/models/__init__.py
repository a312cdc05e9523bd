"""The table of networks, readable without torch, and the one way to build them."""

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from srcli.errors import UnknownArchitecture

if TYPE_CHECKING:
    from srcli.models.base import SRModel


class Arch(NamedTuple):
    """A named network: the class in this package, the arguments that make it this size, and what papers call it."""

    path: str
    label: str
    config: dict[str, Any] = {}
    scales: tuple[int, ...] = (2, 3, 4)


ARCHS = {
    "bicubic": Arch("bicubic.Bicubic", "Bicubic (MATLAB)"),
    "rfdn": Arch("rfdn.RFDN", "E-RFDN (AIM 2020)"),
    "mfdn": Arch("mfdn.MFDN", "MFDN (NTIRE 2022)"),
}
ALIASES = {"e-rfdn": "rfdn"}


def arch_name(name: str) -> str:
    """Return the table's name for `name` (aliases, any case); raise UnknownArchitecture with the closest one."""
    key = ALIASES.get(name.lower(), name.lower())
    if key not in ARCHS:
        close = get_close_matches(key, [*ARCHS, *ALIASES], n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(ARCHS)}"
        raise UnknownArchitecture(f"no network is called '{name}'; {hint}")
    return key


def create(name: str, scale: int, **config: Any) -> "SRModel":
    """Build the network `name` at `scale` with fresh weights; `config` overrides the table's arguments."""
    key = arch_name(name)
    arch = ARCHS[key]
    if scale not in arch.scales:
        raise UnknownArchitecture(f"'{key}' has no x{scale}; there are x{', x'.join(map(str, arch.scales))}")
    module, _, cls = arch.path.partition(".")
    model: SRModel = getattr(import_module(f"srcli.models.{module}"), cls)(scale, **{**arch.config, **config})
    model.arch, model.config = key, dict(config)
    return model

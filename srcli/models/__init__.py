"""The table of networks, readable without torch, and the one way to build them."""

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

from srcli.errors import UnknownArchitecture

if TYPE_CHECKING:
    from srcli.models.base import SRModel


class Arch(NamedTuple):
    """A named network: the class in this package, the arguments that make it this size, and what papers call it."""

    path: str
    label: str
    config: dict[str, Any] = {}


SCALES = (2, 3, 4)  # of every network
ARCHS = {
    "bicubic": Arch("bicubic.Bicubic", "Bicubic (MATLAB)"),
    "srcnn": Arch("srcnn.SRCNN", "SRCNN (9-5-5)"),
    "fsrcnn": Arch("fsrcnn.FSRCNN", "FSRCNN (56, 12, 4)"),
    "vdsr": Arch("vdsr.VDSR", "VDSR"),
    "carn": Arch("carn.CARN", "CARN"),
    "carn-m": Arch("carn.CARN", "CARN-M", {"groups": 4, "shared": True}),
    "idn": Arch("idn.IDN", "IDN"),
    "imdn": Arch("imdn.IMDN", "IMDN"),
    "imdn-baseline": Arch("imdn.IMDN", "IMDN (NTIRE 2022 baseline)", {"blocks": 8, "attention": False, "fused": False}),
    "pan": Arch("pan.PAN", "PAN"),
    "rfdn": Arch("rfdn.RFDN", "E-RFDN (AIM 2020)"),
    "rfdn-c48": Arch("rfdn.RFDN", "RFDN (paper, C48)", {"channels": 48, "blocks": 6, "attention": "cca", "residual": True}),
    "rfdn-c52": Arch("rfdn.RFDN", "RFDN-L (C52)", {"channels": 52, "blocks": 6, "attention": "cca", "residual": True}),
    "mfdn": Arch("mfdn.MFDN", "MFDN (NTIRE 2022)"),
    "drn": Arch("drn.DRN", "DRN"),
    "drn-plus": Arch("drn.DRN", "DRN+", {"channels": 256}),
    "fdiwn": Arch("fdiwn.FDIWN", "FDIWN"),
    "fdiwn-m": Arch("fdiwn.FDIWN", "FDIWN-M (inferred)", {"order": (0, 0, 1, 1), "lean": (2, 4)}),
    "rdsrn": Arch("rdsrn.RDSRN", "RDSRN (3 recursions)"),
    "fast": Arch("plain.Plain", "srcli fast", {"channels": 16, "blocks": 4, "convs": 3}),
    "standard": Arch("plain.Plain", "srcli standard", {"channels": 32, "blocks": 4, "convs": 4}),
    "quality": Arch("plain.Plain", "srcli quality", {"channels": 48, "blocks": 4, "convs": 4}),
}
ALIASES = {"e-rfdn": "rfdn", "rfdn-l": "rfdn-c52", "drn+": "drn-plus"}


def arch_name(name: str) -> str:
    """Return the table's name for `name` (aliases, any case); raise UnknownArchitecture with the closest one."""
    key = ALIASES.get(name.lower(), name.lower())
    if key not in ARCHS:
        close = get_close_matches(key, [*ARCHS, *ALIASES], n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(ARCHS)}"
        raise UnknownArchitecture(f"no network is called '{name}'; {hint}")
    return key


def label_of(name: str) -> str:
    """Return what papers call a network; another program's name for one as it is."""
    return ARCHS[name].label if name in ARCHS else name


def create(name: str, scale: int, **config: Any) -> "SRModel":
    """Build the network `name` at `scale` with fresh weights; `config` overrides the table's arguments."""
    key = arch_name(name)
    if scale not in SCALES:
        raise UnknownArchitecture(f"'{key}' has no x{scale}; there are x{', x'.join(map(str, SCALES))}")
    model = _class(key)(scale, **{**ARCHS[key].config, **config}).float()  # whatever torch makes by default
    model.arch, model.config = key, dict(config)
    return model


def arguments(name: str) -> dict[str, Any]:
    """Return what `create` takes as the `config` of network `name`: the types by name."""
    hints = get_type_hints(_class(arch_name(name)).__init__)
    return {key: kind for key, kind in hints.items() if key not in ("scale", "return")}


def _class(key: str) -> "type[SRModel]":
    module, _, name = ARCHS[key].path.partition(".")
    return getattr(import_module(f"srcli.models.{module}"), name)

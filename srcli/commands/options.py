"""The options that several commands share, each declared once."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar, get_args

import typer

from srcli.errors import BadFolder, UsageError

if TYPE_CHECKING:
    from srcli.models.base import SRModel

Choice = TypeVar("Choice", bound=str)

Scale = Annotated[
    int | None,
    typer.Option("-s", "--scale", min=1, max=16, help="Factor; by default the weights' own, x4 if there are several."),
]
AnyScale = Annotated[
    float | None,
    typer.Option(
        "-s",
        "--scale",
        min=1,
        max=16,
        help="Factor, also 2.5 (the rest is resampled); by default the weights' own, x4 if there are several.",
    ),
]
Tile = Annotated[str, typer.Option("-t", "--tile", help="Side of a tile in px: auto, 0 for the whole picture, or a number.")]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")]
AnyPrecision = Literal["auto", "fp32", "bf16", "fp16"]
PRECISIONS: tuple[AnyPrecision, ...] = get_args(AnyPrecision)
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Offline = Annotated[bool, typer.Option("--offline", help="Download nothing: use only the hf: weights in the cache.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line on stdout.")]
Ensemble = Annotated[bool, typer.Option("--ensemble", "--tta", help="Average 8 flips and rotations (the papers' '+').")]


MaxMemory = Annotated[str | None, typer.Option(help="Most memory for the process, such as 800M or 4G (with CUDA: of the GPU).")]
Threads = Annotated[int | None, typer.Option(min=1, max=1024, help="Threads to compute with; by default all cores.")]
Compile = Annotated[str, typer.Option(help="Use torch.compile: on, off, or auto (on CUDA, where the work repays it).")]


def one_of(flag: str, value: str, choices: Sequence[Choice]) -> Choice:
    """Return the one of `choices` that `value` is; raise UsageError with all of them."""
    if value not in choices:
        raise UsageError(f"{flag} is one of {', '.join(choices)}, not '{value}'")
    return choices[choices.index(value)]


def parse_tile(value: str) -> int | None:
    """Return px, 0 for whole, None for auto; raise UsageError."""
    if value == "auto":
        return None
    if not value.isdecimal() or 0 < int(value) < 16:
        raise UsageError(f"--tile is auto, 0 or at least 16 px, not '{value}'")
    return int(value)


def parse_bytes(flag: str, value: str | None) -> int | None:
    """Read bytes with K, M or G behind (powers of 1024); raise UsageError."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG])(?:i?B)?", value.strip(), re.IGNORECASE)
    if not match:
        raise UsageError(f"{flag} is a size such as 800M or 4G, not '{value}'")
    return int(float(match[1]) * 1024 ** ("KMG".index(match[2].upper()) + 1))


def parse_size(flag: str, value: str) -> tuple[int, int]:
    """Read HxW as (height, width); raise UsageError."""
    match = re.fullmatch(r"(\d+)x(\d+)", value.lower())
    if not match or 0 in (int(match[1]), int(match[2])):
        raise UsageError(f"{flag} is HEIGHTxWIDTH in px, such as 720x1280, not '{value}'")
    return int(match[1]), int(match[2])


def common_scale(networks: "Mapping[str, SRModel]") -> int:
    """Return the factor that networks share; raise UsageError."""
    scales = sorted({network.scale for network in networks.values()})
    if len(scales) > 1:
        raise UsageError(f"the models upscale x{' and x'.join(map(str, scales))}; choose one with -s")
    return scales[0]


def need_folder(path: Path) -> None:
    """Raise BadFolder where nothing is there, or what may not be read; UsageError where it is no folder."""
    if not path.exists():
        raise BadFolder(f"no folder '{path}'")
    if not path.is_dir():
        raise UsageError(f"'{path}' is not a folder")
    if not os.access(path, os.R_OK | os.X_OK):
        raise BadFolder(f"cannot read the folder '{path}': Permission denied")

"""Weights files that rebuild their model by themselves: safetensors with a card in the header."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from srcli.errors import BadCheckpoint, UserError, WeightsNotFound, last_line
from srcli.files import atomic
from srcli.models import create
from srcli.models.base import SRModel

_KEY = "srcli.card"


@dataclass(frozen=True, slots=True)
class Card:
    """What a weights file says of itself; stored as JSON in its header."""

    arch: str
    scale: int
    config: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    source: str = ""  # for converted weights: whose they are
    training: dict[str, Any] = field(default_factory=dict)  # the TrainConfig, steps, minutes, ranks, machine
    scores: list[dict[str, Any]] = field(default_factory=list)  # records as `srcli eval --json` prints them


def card_of(model: SRModel, **facts: Any) -> Card:
    """Return the card of `model` with further `facts`."""
    return Card(arch=model.arch, scale=model.scale, config=model.config, **facts)


def save(path: Path, model: SRModel, card: Card, dtype: torch.dtype = torch.float32) -> None:
    """Write the model's weights and card to `path`, whole or not at all; floats are stored as `dtype`."""
    state = {k: _stored(v, dtype) for k, v in model.state_dict().items()}
    with atomic(path) as temporary:
        save_file(state, temporary, metadata={"format": "pt", _KEY: json.dumps(asdict(card))})


def load(path: Path) -> tuple[SRModel, Card]:
    """Rebuild the model that `path` describes, in evaluation mode; raise BadCheckpoint where it is not whole."""
    card = read_card(path)
    try:
        model = create(card.arch, card.scale, **card.config)
    except (UserError, TypeError) as error:
        raise BadCheckpoint(f"'{path}' needs a network this srcli does not have: {error}") from error
    state = read_tensors(path)
    try:
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    except RuntimeError as error:
        raise BadCheckpoint(f"'{path}' does not fit '{card.arch}' x{card.scale}: {last_line(error, 300)}") from error
    return model.eval(), card


def has_card(path: Path) -> bool:
    """Tell whether safetensors say of themselves what they are; raise BadCheckpoint where they are none."""
    return _KEY in _metadata(path)


def read_card(path: Path) -> Card:
    """Read the card from the header alone; raise BadCheckpoint where there is none."""
    metadata = _metadata(path)
    if _KEY not in metadata:
        raise BadCheckpoint(f"'{path}' carries no srcli card; it is not a weights file of srcli")
    try:
        content = json.loads(metadata[_KEY])
        known = {f.name for f in fields(Card)}
        return Card(**{k: v for k, v in content.items() if k in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise BadCheckpoint(f"the card of '{path}' is damaged ({error})") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file, as stored."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (a file handle, not a dict)
    except (SafetensorError, OSError) as error:
        raise BadCheckpoint(f"'{path}' is damaged ({error})") from error


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except FileNotFoundError as error:
        raise WeightsNotFound(f"no weights file '{path}'") from error
    except (SafetensorError, OSError) as error:
        raise BadCheckpoint(f"'{path}' is not a safetensors file ({error})") from error


def _stored(x: Tensor, dtype: torch.dtype) -> Tensor:
    x = x.detach().cpu().contiguous()
    return x.to(dtype) if x.is_floating_point() else x

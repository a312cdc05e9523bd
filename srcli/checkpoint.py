"""Weights files that rebuild their model by themselves: safetensors with a card in the header."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import Tensor, nn

from srcli.errors import BadCheckpoint, UserError, WeightsNotFound, last_line, quoted
from srcli.files import atomic
from srcli.models import create
from srcli.models.base import SRModel
from srcli.records import jsonable

_KEY = "srcli.card"
RUN = {"config", "step", "elapsed", "best", "model", "averaged", "optimizers"}  # what the last.pt of every training run has
# what building a network of arguments that nobody checked raises
UNBUILDABLE = (UserError, TypeError, AttributeError, ValueError, LookupError, ArithmeticError, AssertionError, RuntimeError)
_SCORE: dict[str, type | tuple[type, ...]] = {"dataset": str, "psnr": (int, float), "ssim": (int, float)}


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
    """Write the model's weights and card to `path`, whole or not at all; floats are stored as `dtype`. Raises OSError."""
    state = {k: _stored(v, dtype) for k, v in model.state_dict().items()}
    with atomic(path) as temporary:
        # save_file hides why it cannot write
        temporary.write_bytes(serialised(state, metadata={"format": "pt", _KEY: json.dumps(jsonable(card), allow_nan=False)}))


def checksum(network: nn.Module) -> int:
    """Return a checksum of the names and values of a network's tensors, in whatever format they are."""
    found = 0
    for name, tensor in sorted(network.state_dict().items()):
        content = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        found = zlib.crc32(content, zlib.crc32(name.encode(), found))
    return found


def load(path: Path) -> tuple[SRModel, Card]:
    """Rebuild the model that `path` describes, in evaluation mode; raise BadCheckpoint where it is not whole."""
    card = read_card(path)
    return fill(_built(path, card), path, read_tensors(path)), card


def is_run(content: Any) -> bool:
    """Tell whether what a torch file holds is the state of a training run."""
    return isinstance(content, dict) and content.keys() >= RUN


def of_run(path: Path, state: Mapping[str, Any]) -> tuple[SRModel, Card]:
    """Rebuild the averaged network of a run whose state was read of `path`, with how it came about; raise BadCheckpoint."""
    try:
        config = state["config"]
        done = {"steps_done": state["step"], "minutes_done": round(state["elapsed"] / 60, 1)}  # all that older ones tell
        facts = {"arch": config["arch"], "scale": config["scale"], "config": config.get("network") or {}}
        card = card_from(json.loads(json.dumps({**facts, "source": path.name, "training": state.get("card", done)})))
        averaged = dict(state["averaged"])
        if not all(isinstance(value, Tensor) for value in averaged.values()):
            raise TypeError("not all of its weights are tensors")
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise BadCheckpoint(f"'{path}' is a damaged state of a training run ({error})") from error
    return fill(_built(path, card), path, averaged), card


def _built(path: Path, card: Card) -> SRModel:
    try:
        return create(card.arch, card.scale, **card.config)
    except UNBUILDABLE as error:
        raise BadCheckpoint(f"'{path}' needs a network this srcli does not have{quoted(error)}") from error


def fill(model: SRModel, path: Path, state: dict[str, Tensor]) -> SRModel:
    """Load the tensors of `path`, floats of any format, into `model`, in evaluation mode; raise BadCheckpoint.

    Where a name or a shape differs, where a weight is no float, or where a value is not finite: such a network gives black.
    """
    own = model.state_dict()
    whole = [k for k, v in state.items() if k in own and own[k].is_floating_point() and not v.is_floating_point()]
    if whole:
        raise BadCheckpoint(
            f"'{path}' is quantised: '{whole[0]}' is {state[whole[0]].dtype}; srcli takes weights that are floats"
        )
    try:
        model.load_state_dict(in_float32(state))
    except RuntimeError as error:
        raise BadCheckpoint(f"'{path}' does not fit '{model.arch}' x{model.scale}: {last_line(error, 300)}") from error
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise BadCheckpoint(f"'{path}' holds values that are not finite, in '{name}'")
    return model.eval()


def in_float32(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with floats in float32, others as they are."""
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def has_card(path: Path) -> bool:
    """Tell whether safetensors say of themselves what they are; raise BadCheckpoint where they are none."""
    return _KEY in _metadata(path)


def read_card(path: Path) -> Card:
    """Read the card from the header alone; raise BadCheckpoint where there is none."""
    metadata = _metadata(path)
    if _KEY not in metadata:
        raise BadCheckpoint(f"'{path}' carries no srcli card; it is not a weights file of srcli")
    try:
        return card_from(json.loads(metadata[_KEY]))
    except (ValueError, TypeError, AttributeError) as error:
        raise BadCheckpoint(f"the card of '{path}' is damaged ({error})") from error


def card_from(content: dict[str, Any]) -> Card:
    """Make a card of what JSON holds, without what a later srcli adds, nor scores that are none.

    Raises TypeError where a value is of another kind.
    """
    card = Card(**{f.name: content[f.name] for f in fields(Card) if f.name in content})
    for name, kind in get_type_hints(Card).items():
        if not isinstance(getattr(card, name), get_origin(kind) or kind):
            raise TypeError(f"its {name} is {getattr(card, name)!r}")
    parts = card.training.get("parts") or []
    if not (_all_are(dict, parts) and all(isinstance(part.get("steps_done"), int) for part in parts)):
        raise TypeError(f"its training is {card.training!r}")
    for training in (card.training, *parts):
        if not (isinstance(training.get("ranks", 1), int) and _all_are(dict, training.get("stage") or [])):
            raise TypeError(f"its training is {training!r}")
    return replace(card, scores=[score for score in card.scores if _is_score(score)])


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
    except FileNotFoundError as error:  # also of a file that may not be read
        raise WeightsNotFound(f"{'no permission to read' if path.exists() else 'no'} weights file '{path}'") from error
    except (SafetensorError, OSError) as error:
        raise BadCheckpoint(f"'{path}' is not a safetensors file ({error})") from error


def _all_are(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _is_score(score: Any) -> bool:
    return isinstance(score, dict) and all(isinstance(score.get(name), kind) for name, kind in _SCORE.items())


def _stored(x: Tensor, dtype: torch.dtype) -> Tensor:
    x = x.detach().cpu().contiguous()
    return x.to(dtype) if x.is_floating_point() else x

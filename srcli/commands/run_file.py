"""The settings of `srcli train` from a TOML file, a recipe and flags."""

import json
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, fields
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from srcli.errors import TrainingFailed, UsageError


def merge(flags: dict[str, Any], file: dict[str, Any], recipe_name: str | None) -> dict[str, Any]:
    """Put flags over the file's values over the recipe's, but for its steps; raise UsageError for keys that do not exist."""
    from srcli.engine.recipes import recipe
    from srcli.engine.settings import Stage, TrainConfig
    from srcli.models import arch_name

    file = _checked(file, get_type_hints(TrainConfig), "the config")
    if "stage" in file:
        file["stage"] = tuple(
            Stage(**_checked(table, get_type_hints(Stage), "a [[stage]]", {"share"})) for table in file["stage"]
        )
    chosen = {**file, **flags}
    network = {**file.get("network", {}), **flags.get("network", {})}
    if "arch" in chosen:
        chosen["arch"] = arch_name(str(chosen["arch"]))
        if network:
            chosen["network"] = arguments_of(chosen["arch"], network)
    if recipe_name and "arch" not in chosen:
        raise UsageError("--recipe needs --arch")
    base = recipe(recipe_name, chosen["arch"], chosen.get("scale")) if recipe_name else {}
    base.pop("steps", None)
    for pair in ({"steps", "minutes"}, {"validate_steps", "validate_every"}):  # one replaces the other
        if pair & flags.keys():
            for name in pair - flags.keys():
                chosen.pop(name, None)
    return {**base, **chosen}


def arguments_of(arch: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return what is `given` as arguments of a network; raise UsageError for what it does not take."""
    from srcli.models import arguments

    return _checked(given, arguments(arch), f"'{arch}'")


def setting_names() -> list[str]:
    """List what a run can be set to."""
    from srcli.engine.settings import TrainConfig

    return [field.name for field in fields(TrainConfig)]


def check_used(flags: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Raise UsageError where a flag changes nothing beside the merged `values`; a file's and a recipe's may be for others."""
    from srcli.engine.settings import TrainConfig, flag, idle

    for name, why in idle(asdict(TrainConfig(**values))).items():
        if name in flags:
            raise UsageError(f"{flag(name)} {why}")


def length(recipe_name: str | None, values: Mapping[str, Any]) -> int | None:
    """Return the steps that the recipe of merged `values` gives to a run which nothing else bounds."""
    from srcli.engine.recipes import recipe

    return recipe(recipe_name, values["arch"]).get("steps") if recipe_name else None


def read(path: Path | None) -> dict[str, Any]:
    """Read a TOML file; nothing where none is named. Raises TrainingFailed where it cannot be read, UsageError."""
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingFailed(f"cannot read '{path}': {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"'{path}' is not TOML: {error}") from error


def assignments(texts: Iterable[str], flag: str) -> dict[str, Any]:
    """Read KEY=VALUE, the values being JSON or plain words; raise UsageError."""
    values = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals or not value:
            raise UsageError(f"{flag} takes KEY=VALUE such as channels=48, not '{text}'")
        try:
            values[key] = json.loads(value)
        except ValueError:
            values[key] = value
    return values


def _checked(table: Mapping[str, Any], hints: Mapping[str, Any], what: str, needed: Collection[str] = ()) -> dict[str, Any]:
    """Return a table as arguments of the types in `hints`; raise UsageError for a key or a value that they do not take."""
    values = {key.replace("-", "_"): tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    for key, value in values.items():
        if key not in hints:
            close = get_close_matches(key, hints, n=1)
            there = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(hints) or 'none'}"
            raise UsageError(f"{what} has an unknown key '{key}'; {there}")
        if not _fits(value, hints[key]):
            choices = ", ".join(choices_of(hints[key]))
            raise UsageError(f"{what} has {key} = {value!r}, " + (f"not one of {choices}" if choices else "of the wrong type"))
    for key in needed:
        if key not in values:
            raise UsageError(f"{what} needs '{key}'")
    return values


def choices_of(hint: Any) -> tuple[str, ...]:
    """List the words that a type allows; none of a type of another kind."""
    parts = (hint, *get_args(hint))
    return tuple(choice for part in parts if get_origin(part) is Literal for choice in get_args(part))


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of TOML is of the type that `hint` tells; the tables in it are checked by themselves."""
    kind, of = get_origin(hint), get_args(hint)
    if kind is Literal:
        return value in of
    if kind in (Union, UnionType):
        return any(_fits(value, option) for option in of)
    if kind is dict:
        return isinstance(value, dict)
    if kind is tuple:
        whole = isinstance(value, tuple) and (of[-1] is ... or len(value) == len(of))
        return whole and all(isinstance(v, dict) or _fits(v, of[0]) for v in value)
    return isinstance(value, (int, float) if hint is float else hint) and (hint is bool or not isinstance(value, bool))

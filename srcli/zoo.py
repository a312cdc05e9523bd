"""A reference to weights becomes a file, and a file a model: paths and the names that ship with srcli."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from srcli.errors import BadCheckpoint, UsageError, WeightsNotFound
from srcli.models import ALIASES, ARCHS

if TYPE_CHECKING:
    from srcli.checkpoint import Card
    from srcli.models.base import SRModel

DEFAULT = "rfdn"
SUMS = "SHA256SUMS"
DEFAULT_SCALE = 4  # of a name that ships at several scales, and of networks without weights
_NAME = re.compile(r"(?P<arch>.+)_x(?P<scale>\d)(?:-(?P<kind>\w+))?$")


class Shipped(NamedTuple):
    """A weights file that comes with srcli; `name` is what -m takes."""

    name: str
    scale: int
    path: Path


def weights_folder() -> Path:
    """Return where the shipped weights lie: in the wheel beside this file, in a checkout one level up."""
    inside = Path(__file__).parent / "weights"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "weights"


def shipped() -> list[Shipped]:
    """List the shipped weights; `rfdn_x4-photo.safetensors` is `rfdn-photo` at x4."""
    found = []
    for path in sorted(weights_folder().glob("*.safetensors")):
        match = _NAME.match(path.stem)
        if match:
            name = match["arch"] + (f"-{match['kind']}" if match["kind"] else "")
            found.append(Shipped(name, int(match["scale"]), path))
    return found


def find_weights(reference: str, scale: int | None = None) -> Path:
    """Return the file `reference` stands for: an existing path, or a shipped name whose hash is checked."""
    path = Path(reference)
    if path.is_file():
        return path
    if path.suffix in (".safetensors", ".pth", ".pt") or "/" in reference:
        raise WeightsNotFound(f"no weights file '{reference}'")
    files = shipped()
    name, wanted = _split(reference, scale)
    same = {f.scale: f.path for f in files if f.name == name}
    if not same:
        raise WeightsNotFound(_unknown(reference, name, files, wanted or DEFAULT_SCALE))
    if wanted is None:
        wanted = DEFAULT_SCALE if DEFAULT_SCALE in same else min(same)
    if wanted not in same:
        scales = ", ".join(f"x{s}" for s in sorted(same))
        raise WeightsNotFound(
            f"no weights for '{name}' at x{wanted}; there is {scales}, "
            f"or train with: srcli train --arch {name} --scale {wanted}"
        )
    _verify(same[wanted])
    return same[wanted]


def open_model(reference: str, scale: int | None = None) -> tuple["SRModel", "Card"]:
    """Return the model `reference` stands for, with its card, ready for inference.

    Safetensors of srcli, the authors' own .pth files, or the name of a network that has no weights.
    Raises UsageError where the file's scale is not the one asked for.
    """
    from srcli import checkpoint
    from srcli.models import create

    name, wanted = _split(reference, scale)
    if name == "bicubic" and not Path(reference).is_file():
        model = create("bicubic", wanted or DEFAULT_SCALE)
        return model.eval(), checkpoint.card_of(model)
    path = find_weights(reference, scale)
    if path.suffix == ".safetensors":
        model, card = checkpoint.load(path)
    else:
        model = _recognise(path, scale)
        card = checkpoint.card_of(model, source=path.name)
    if scale is not None and model.scale != scale:
        raise UsageError(f"'{reference}' upscales x{model.scale}, not x{scale}")
    return model, card


def open_network(reference: str, scale: int | None = None) -> "SRModel":
    """Return the network alone, for counting: fresh weights where `reference` names an architecture, else as open_model."""
    from srcli.models import create

    name, wanted = _split(reference, scale)
    if name in ARCHS and not Path(reference).is_file():
        return create(name, wanted or DEFAULT_SCALE).eval()
    return open_model(reference, scale)[0]


def verify() -> Iterator[tuple[str, str | None]]:
    """Yield every shipped file's name and what is wrong with it, None where nothing is; files that are gone included."""
    sums = _sums(weights_folder())
    for name in sorted({f.path.name for f in shipped()} | set(sums)):
        try:
            _check(weights_folder() / name)
        except BadCheckpoint as error:
            yield name, str(error)
        else:
            yield name, None


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recognise(path: Path, scale: int | None) -> "SRModel":
    """Load the authors' file into the first network it fits; raise BadCheckpoint where it fits none."""
    from srcli import foreign

    foreign.read_state(path)  # says what is wrong with a file that is none of theirs
    for arch in foreign.RELEASES:
        fitting = {}
        for factor in (scale,) if scale else ARCHS[arch].scales:
            with suppress(BadCheckpoint):
                fitting[factor] = foreign.convert(path, arch, factor)
        if len(fitting) > 1:
            raise BadCheckpoint(f"'{path}' fits '{arch}' at x{' and x'.join(map(str, fitting))}; say which with -s")
        if fitting:
            return fitting.popitem()[1]
    raise BadCheckpoint(f"'{path}' fits no network of srcli{f' at x{scale}' if scale else ''}")


def _split(reference: str, scale: int | None) -> tuple[str, int | None]:
    """Read `rfdn`, `rfdn-photo` and `rfdn_x4-photo` alike: (name, scale)."""
    match = _NAME.match(reference)
    if match and scale in (None, int(match["scale"])):
        reference = match["arch"] + (f"-{match['kind']}" if match["kind"] else "")
        scale = int(match["scale"])
    name = reference.lower()
    return ALIASES.get(name, name), scale


@lru_cache
def _verify(path: Path) -> None:
    """Check a shipped file once in a program's life."""
    _check(path)


def _check(path: Path) -> None:
    """Compare a shipped file with SHA256SUMS; raise BadCheckpoint where they differ."""
    expected = _sums(path.parent).get(path.name)
    if expected is None:
        raise BadCheckpoint(
            f"'{path.name}' is not listed in '{path.parent / SUMS}'; the installation is damaged, reinstall srcli"
        )
    if not path.is_file():
        raise BadCheckpoint(f"'{path}' is missing; the installation is damaged, reinstall srcli")
    if hash_of(path) != expected:
        raise BadCheckpoint(f"'{path}' is damaged: its hash is not the one in {SUMS}; reinstall srcli")


def _sums(folder: Path) -> dict[str, str]:
    """Read the hash of each file name."""
    sums = folder / SUMS
    lines = sums.read_text().splitlines() if sums.is_file() else []
    return {name.lstrip("*"): digest for digest, _, name in (line.partition("  ") for line in lines)}


def _unknown(reference: str, name: str, files: list[Shipped], scale: int) -> str:
    names = sorted({f.name for f in files} | {"bicubic"})
    if name in ARCHS:
        return (
            f"no weights for '{name}' ship with srcli; there are {', '.join(names)}, "
            f"or train with: srcli train --arch {name} --scale {scale}"
        )
    close = get_close_matches(name, [*names, *ARCHS], n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(names)}"
    return f"no weights file or shipped model is called '{reference}'; {hint}"

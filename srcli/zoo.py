"""A reference to weights becomes a file, and a file a model: paths, the names that ship with srcli, and the Hub's."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from srcli import hub
from srcli.errors import BadCheckpoint, SeveralScales, UsageError, UserError, WeightsNotFound
from srcli.models import ALIASES, ARCHS, SCALES

if TYPE_CHECKING:
    from torch import Tensor

    from srcli import foreign
    from srcli.checkpoint import Card
    from srcli.models.base import SRModel

DEFAULT = "rfdn"
QUICK = "standard"  # what ships for speed
PHOTO, VIDEO = "-photo", "-video"  # how the names of those for compressed and noisy pictures, and for compressed videos, end
AUTO = "auto"  # what stands for weights that are chosen for each file; behind a name and a hyphen, beginning with that
SUMS = "SHA256SUMS"
LARGEST = 2**30  # bytes; of upscalers no weights are near it
SAVED = "model.safetensors"  # what save_pretrained calls the weights in its folder
TRAINED = "best.safetensors"  # what `srcli train` calls those of a run
FOREIGN = (".pt2", ".xml")  # what `srcli export` writes and srcli does not run
DEFAULT_SCALE = 4  # of a name that ships at several scales, and of networks without weights
ELSEWHERE = "SRCLI_HUB"  # environment variable: the Hub repository that has the short names which do not ship
Say = Callable[[str], None]  # told in one line what the user should know before the weights are used
_NAME = re.compile(r"(?P<arch>.+)_x(?P<scale>\d)(?:-(?P<kind>\w+))?$", re.IGNORECASE)


class Shipped(NamedTuple):
    """A weights file that comes with srcli; `name` is what -m takes."""

    name: str
    scale: int
    path: Path


def weights_folder() -> Path:
    """Return where the shipped weights lie: in the wheel beside this file, in a checkout one level up."""
    inside = Path(__file__).parent / "weights"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "weights"


def shipped() -> tuple[Shipped, ...]:
    """List the shipped weights by name and scale; `rfdn_x4-photo.safetensors` is `rfdn-photo` at x4."""
    return _within(weights_folder())


@cache
def _within(folder: Path) -> tuple[Shipped, ...]:
    """List the weights in a folder once in a program's life, which asks for them dozens of times a command."""
    paths = folder.glob("*.safetensors")
    return tuple(sorted(Shipped(*named, path) for path in paths if (named := _named(path.name))))


def on_disk(reference: str) -> Path | None:
    """Return the weights file that `reference` leads to as a path: of a file, or a folder of save_pretrained or a run.

    What ships goes before: `rfdn` is no folder of that name, which is `./rfdn`.
    """
    return None if _ships(reference) else _leads_to(reference)


def _leads_to(reference: str) -> Path | None:
    path = Path(reference)
    with suppress(OSError):  # too long for a name
        return next((file for file in (path, path / SAVED, path / TRAINED) if file.is_file()), None)
    return None


def find_weights(reference: str, scale: int | None = None, *, offline: bool = False, say: Say = lambda line: None) -> Path:
    """Return the file `reference` stands for: a path, a folder of save_pretrained or a run, hf:owner/repo, or a shipped name.

    The hash of shipped and downloaded files is checked.

    A name that does not ship is looked up in the repository SRCLI_HUB. `offline`: of the Hub only what is cached.
    """
    if local := on_disk(reference):
        return local
    if _leads_to(reference):
        say(f"'{reference}' is what ships with srcli; what is called so here is './{reference}'")
    if reference.startswith(hub.PREFIX):
        source, file = hub.parse(reference)
        if file:
            return _fetched(source, hub.pick_file(source, file), offline=offline, say=say).path
        return _picked(source, hub.pick_scale(source, scale, DEFAULT_SCALE), offline=offline, say=say)
    if _like_path(reference):
        raise WeightsNotFound(_without_weights(reference) or f"no weights file '{reference}'{_hub_hint(reference)}")
    files = shipped()
    name, wanted = _split(reference, scale)
    same = {f.scale: f.path for f in files if f.name == name}
    if computed(reference, scale):
        raise WeightsNotFound("'bicubic' is computed, and has no weights")
    if wanted not in same and (wanted or not same) and (elsewhere := _elsewhere()):
        return _picked(elsewhere, _pick_name(elsewhere, name, wanted), offline=offline, say=say)
    if not same:
        raise WeightsNotFound(_unknown(reference, name, files, wanted or DEFAULT_SCALE))
    if wanted is None:
        wanted = DEFAULT_SCALE if DEFAULT_SCALE in same else min(same)
    if wanted not in same:
        scales = ", ".join(f"x{s}" for s in sorted(same))
        trained = name in ARCHS and wanted in SCALES
        hint = f", or train with: srcli train --arch {name} --scale {wanted}" if trained else ""
        raise WeightsNotFound(f"no weights for '{name}' at x{wanted}; there {'are' if len(same) > 1 else 'is'} {scales}{hint}")
    _verify(same[wanted])
    return same[wanted]


def scales_of(reference: str, *, offline: bool = False, say: Say = lambda line: None) -> list[int]:
    """List the scales at which a name has weights, shipped or in the repository SRCLI_HUB; none of another reference."""
    if computed(reference):
        return list(SCALES)
    if _like_path(reference):
        return []
    files = shipped()
    there = {(file.name, file.scale) for file in files}
    ours = [scale for name, scale in there if _split(reference, scale) == (name, scale)]
    if set(ours) != {file.scale for file in files} and (source := _elsewhere()):
        try:
            there |= {named for file in hub.names_known(source, offline=offline) if (named := _named(file))}
        except WeightsNotFound as error:
            if not ours:
                raise
            say(f"{error}; of '{reference}' only what ships is used")
    return sorted(scale for name, scale in there if _split(reference, scale) == (name, scale))


def open_model(
    reference: str, scale: int | None = None, *, offline: bool = False, say: Say = lambda line: None
) -> tuple["SRModel", "Card"]:
    """Return the model `reference` stands for, with its card, ready for inference.

    Safetensors of srcli, a network's bare tensors, the authors' own files, those of community networks, or the name of a
    network that has no weights. `offline` and `say`: as `find_weights` has them. Raises UsageError where the file's scale
    is not the one asked for.
    """
    from srcli import checkpoint
    from srcli.models import create

    if computed(reference, scale):
        model = create("bicubic", _split(reference, scale)[1] or DEFAULT_SCALE)
        return model.eval(), checkpoint.card_of(model)
    return open_file(find_weights(reference, scale, offline=offline, say=say), scale, called=reference, say=say)


def open_models(
    references: Iterable[str], scale: int | None = None, *, offline: bool = False, say: Say = lambda line: None
) -> dict[str, "SRModel"]:
    """Open what each reference stands for, as `open_model` does; what is a file of one before counts once, which is said."""
    models: dict[str, SRModel] = {}
    opened: dict[Path, str] = {}
    for reference in dict.fromkeys(references):
        if computed(reference, scale):
            models[reference] = open_model(reference, scale)[0]
            continue
        path = find_weights(reference, scale, offline=offline, say=say)
        if (first := opened.setdefault(path.resolve(), reference)) != reference:
            say(f"'{reference}' is the same file as '{first}', and counts once")
            continue
        models[reference] = open_file(path, scale, called=reference, say=say)[0]
    return models


def open_file(
    path: Path, scale: int | None = None, *, called: str = "", say: Say = lambda line: None
) -> tuple["SRModel", "Card"]:
    """Return the model of a weights file, or of an ONNX file, with its card; errors call it `called`."""
    from srcli import checkpoint, exported

    model: SRModel
    if path.suffix.lower() in FOREIGN or (path.suffix == ".bin" and path.with_suffix(".xml").is_file()):
        raise BadCheckpoint(f"'{path}' is exported for other programs; srcli runs .onnx, or the weights that it was made of")
    if path.suffix.lower() == exported.SUFFIX:
        model, card = exported.open_onnx(path, say)
    elif path.suffix.lower() == ".safetensors" and checkpoint.has_card(path):
        model, card = checkpoint.load(path)
    else:
        model, card = _described(path) or _recognise(path, scale)
    card = replace(card, licence=card.licence or hub.licence_of(path))
    if scale is not None and model.scale != scale:
        raise UsageError(f"'{called or path}' upscales x{model.scale}, not x{scale}")
    return model, card


def cached() -> Iterator[tuple[str, Path, "Card"]]:
    """Yield of every downloaded weights file that srcli can run what -m takes, where it lies, and its card.

    The cache is all programs': files of other kinds, and those above LARGEST bytes, are passed over.
    """
    for item in hub.cached():
        if item.path.stat().st_size > LARGEST:
            continue
        with suppress(UserError):
            try:
                card = open_file(item.path)[1]
            except SeveralScales as error:  # it has to be asked for one: that in its name, else the largest
                stated = [scale for scale in error.scales if hub.states(item.file, scale)]
                card = open_file(item.path, [*stated, error.scales[-1]][0])[1]
            yield str(item), item.path, card


def open_network(reference: str, scale: int | None = None, *, offline: bool = False, say: Say = lambda line: None) -> "SRModel":
    """Return the network alone, for counting: fresh weights where `reference` names an architecture, else as open_model."""
    from srcli.models import create

    if names_network(reference, scale):
        name, wanted = _split(reference, scale)
        return create(name, wanted or DEFAULT_SCALE).eval()
    return open_model(reference, scale, offline=offline, say=say)[0]


def knows_photographs_alone(reference: str, scales: Collection[int]) -> bool:
    """Whether what ships as `reference` at one of `scales` has learnt from nothing but photographs that bicubic reduced."""
    from srcli import checkpoint

    if on_disk(reference):
        return False
    name = _split(reference, None)[0]
    files = [file.path for file in shipped() if file.name == name and file.scale in scales]
    trained = [checkpoint.read_card(path).training for path in files]
    return not all(t.get("drawings") or t.get("degradation", "bicubic") != "bicubic" for t in trained)


def automatic(reference: str) -> str | None:
    """Return what `auto` or `standard-auto` takes for clean pictures; None where the reference names weights."""
    name, _, last = reference.rpartition("-")
    return None if last.lower() != AUTO or _like_path(reference) or on_disk(reference) else name or DEFAULT


def automatic_name(reference: str) -> str:
    """Return the name that has weights chosen for each file and those of `reference` for clean pictures."""
    return AUTO if reference.lower() == DEFAULT else f"{reference}-{AUTO}"


def name_of(reference: str) -> str:
    """Return `rfdn-photo` of `rfdn_x4-photo`, and other names as they are."""
    return _split(reference, None)[0]


def quicker(reference: str) -> str | None:
    """Name the shipped weights for speed of the kind of `reference`, where that is others that ship."""
    name = _shipped_name(reference)
    quick = QUICK + _kind(name or "")
    return quick if name not in (None, quick) and _shipped_name(quick) else None


def suited(reference: str, kind: str) -> str | None:
    """Name the shipped weights of a kind, PHOTO or VIDEO, where `reference` is shipped ones for clean pictures."""
    name = _shipped_name(reference)
    if name is None or _kind(name):
        return None
    return next((known for known in (name + kind, DEFAULT + kind, QUICK + kind) if _shipped_name(known)), None)


def names_network(reference: str, scale: int | None = None) -> bool:
    """Whether `reference` is the name of a network, its scale behind it or not, and of no weights in particular."""
    return _split(reference, scale)[0] in ARCHS and not on_disk(reference)


def computed(reference: str, scale: int | None = None) -> bool:
    """Whether `reference` is bicubic, its scale behind it or not: it has no weights."""
    return _split(reference, scale)[0] == "bicubic" and not on_disk(reference)


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


def _kind(name: str) -> str:
    """Return how a name ends that is of weights for pictures of a kind."""
    return next((kind for kind in (PHOTO, VIDEO) if name.endswith(kind)), "")


def _shipped_name(reference: str) -> str | None:
    """Return what `reference` is called among the shipped weights, None where it is something else."""
    name = _split(reference, None)[0]
    return name if not on_disk(reference) and name in {file.name for file in shipped()} else None


def _elsewhere() -> hub.Source | None:
    """Return the repository that SRCLI_HUB names, None where it is not set; raise UsageError."""
    named = os.environ.get(ELSEWHERE, "")
    try:
        return hub.parse(hub.PREFIX + named.removeprefix(hub.PREFIX))[0] if named else None
    except UsageError as error:
        raise UsageError(f"{ELSEWHERE} takes owner/repo[@revision], not '{named}'") from error


def _fetched(source: hub.Source, pick: Callable[[list[str]], str], *, offline: bool, say: Say) -> hub.Fetched:
    """Fetch from the Hub and say, the first time, under which licence, or that the Hub is out of reach."""
    found = hub.fetch(source, pick, offline=offline)
    path, licence = found.path, found.licence
    if found.fresh:
        from srcli import checkpoint  # imports torch, which takes longer than a Hub that cannot be reached

        if path.suffix == ".safetensors" and checkpoint.has_card(path):
            licence = licence or checkpoint.read_card(path).licence
        say(f"{path.name} of {source}: licence {licence or 'not stated, ask its author'}")
    if found.in_vain:
        say(f"{path.name} of {source} is taken from the cache: {found.in_vain}")
    return found


def _picked(source: hub.Source, pick: Callable[[list[str]], str], *, offline: bool, say: Say) -> Path:
    """Fetch what is not named but chosen; say so where there may be more to choose from."""
    found = _fetched(source, pick, offline=offline, say=say)
    if not found.listed:
        say(f"{found.path.name} is chosen of what is in the cache; what else {source} holds is not known")
    return found.path


def _pick_name(source: hub.Source, name: str, scale: int | None) -> Callable[[list[str]], str]:
    """Choose the file that is called as a shipped one would be; raise WeightsNotFound listing the scales there are."""

    def pick(names: list[str]) -> str:
        there = {named[1]: file for file in names if (named := _named(file)) and named[0] == name}
        wanted = scale or (DEFAULT_SCALE if DEFAULT_SCALE in there or not there else min(there))
        if wanted not in there:
            scales = f"; it has x{', x'.join(map(str, sorted(there)))}" if there else ""
            raise WeightsNotFound(f"no weights for '{name}' at x{wanted} ship with srcli or are in '{source}'{scales}")
        return there[wanted]

    return pick


def _like_path(reference: str) -> bool:
    return _like_file(reference) or bool({"/", os.sep} & set(reference))


def _like_file(reference: str) -> bool:
    return Path(reference).suffix.lower() in (".safetensors", ".pth", ".pt", ".onnx", *FOREIGN)


def _hub_hint(reference: str) -> str:
    """Say how owner/repo is written; nothing of what is a path here, or names a file."""
    owner = None if _like_file(reference) else re.fullmatch(r"(\w[\w.-]*)/\w[\w.-]*", reference)
    return f"; if the Hub has it: {hub.PREFIX}{reference}" if owner and not Path(owner[1]).exists() else ""


def _ships(reference: str) -> bool:
    """Whether weights that ship are called so, or bicubic, or what chooses among them."""
    name, _, last = reference.rpartition("-")
    named = (name or DEFAULT) if last.lower() == AUTO else reference
    return not _like_path(reference) and _split(named, None)[0] in {"bicubic", *(file.name for file in shipped())}


def _named(file: str) -> tuple[str, int] | None:
    """Read the name and scale off safetensors that are called as shipped ones: `rfdn_x4-photo` is (rfdn-photo, 4)."""
    return _parts(Path(file).stem) if file.endswith(".safetensors") else None


def _described(path: Path) -> "tuple[SRModel, Card] | None":
    """Build the network that a config.json beside safetensors names (`arch`, `scale`, its arguments); None without one."""
    from srcli import checkpoint
    from srcli.models import create

    beside = path.with_name(hub.CONFIG)
    if path.suffix.lower() != ".safetensors" or not beside.is_file():
        return None
    try:
        config = json.loads(beside.read_text())
        arch, scale = config.pop("arch"), config.pop("scale")
    except (ValueError, KeyError, AttributeError, TypeError):
        return None  # of another program
    try:
        model = create(arch, scale, **config)
    except checkpoint.UNBUILDABLE:
        return None  # of another program that has such keys as well
    try:
        checkpoint.fill(model, path, checkpoint.read_tensors(path))
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{error}; the {hub.CONFIG} beside it names the network") from error
    return model, checkpoint.card_of(model, source=path.name)


def _recognise(path: Path, scale: int | None) -> "tuple[SRModel, Card]":
    """Load a file without a card into its network: of a run, ours by our names or the authors', or one of the community."""
    from srcli import checkpoint, foreign

    content = foreign.read(path)
    if checkpoint.is_run(content):
        return checkpoint.of_run(path, content)
    state = foreign.tensors_in(path, content)
    if found := foreign.recognise({name: tuple(x.shape) for name, x in state.items()}):
        model = foreign.load(path, state, found, scale or _stated(path, found))
    else:
        model = _of_community(path, state)
    return model, checkpoint.card_of(model, source=path.name)


def _of_community(path: Path, state: "dict[str, Tensor]") -> "SRModel":
    from srcli import community

    if not community.installed():
        raise BadCheckpoint(f"'{path}' fits no network of srcli; for those of the community: {community.EXTRA}")
    try:
        model = community.build(state)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"'{path}': {error}") from error
    if model is None:
        raise BadCheckpoint(f"'{path}' fits no network of srcli and none that spandrel knows")
    return model


def _stated(path: Path, found: "foreign.Recognised") -> int | None:
    """Return the scale of a file that fits several: the one in its name, else DEFAULT_SCALE where it holds them all."""
    from srcli import foreign

    if len(found.scales) == 1:  # no network is built to ask
        return None
    stated = [scale for scale in found.scales if hub.states(path.name, scale)]
    if len(stated) == 1 and not re.search(r"x\d+x\d", path.name, re.IGNORECASE):  # x2x3x4 states no one
        return stated[0]
    return DEFAULT_SCALE if DEFAULT_SCALE in found.scales and foreign.holds_several(found) else None


def _split(reference: str, scale: int | None) -> tuple[str, int | None]:
    """Read `rfdn`, `rfdn-photo` and `rfdn_x4-photo` alike: (name, scale)."""
    parts = _parts(reference)
    if parts and scale in (None, parts[1]):
        reference, scale = parts
    name = reference.lower()
    return ALIASES.get(name, name), scale


def _parts(name: str) -> tuple[str, int] | None:
    match = _NAME.match(name)
    return (match["arch"] + (f"-{match['kind']}" if match["kind"] else ""), int(match["scale"])) if match else None


@cache
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


def _without_weights(reference: str) -> str:
    """Say of a folder what it would have to hold; nothing of what is none."""
    if not os.path.isdir(reference):  # noqa: PTH112 - False of a name that is too long
        return ""
    return f"the folder '{reference}' holds no {SAVED} and no {TRAINED}; name the file of weights"


def _unknown(reference: str, name: str, files: Sequence[Shipped], scale: int) -> str:
    names = sorted({f.name for f in files} | {"bicubic"})
    if automatic(reference):
        return f"'{reference}' is for srcli upscale, which chooses weights for each file; here name one of {', '.join(names)}"
    if name in ARCHS:
        return (
            f"no weights for '{name}' ship with srcli, and {ELSEWHERE} names no repository; there are {', '.join(names)}, "
            f"or train with: srcli train --arch {name} --scale {scale}"
        )
    if hint := _without_weights(reference):
        return hint
    # it is there, and was not found because another scale is asked for
    if (parts := _parts(reference)) and any((f.name, f.scale) == parts for f in files):
        return f"'{reference}' is of x{parts[1]}, not x{scale}: '{parts[0]}' names the weights of every scale"
    close = get_close_matches(name, names, n=1) or get_close_matches(name, ARCHS, n=1)
    unknown = f"no weights file or shipped model is called '{reference}'"
    if close:
        return f"{unknown}; did you mean '{close[0]}'?"
    return f"{unknown}; there are {', '.join(names)}; others are a file, the folder of a run, or hf:owner/repo"

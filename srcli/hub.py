"""Files of Hugging Face Hub repositories: chosen, fetched, checked, listed, sent; not what is in them."""

import hashlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from srcli.errors import BadCheckpoint, UsageError, WeightsNotFound, first_line, quoted
from srcli.files import atomic

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

PREFIX = "hf:"
SUFFIXES = (".safetensors", ".pth", ".pt")
CONFIG = "config.json"  # lies beside the weights in the layout of PyTorchModelHubMixin
CARD = "README.md"  # the repository's page; its head states the licence
TIMEOUT = 10  # seconds until the Hub counts as out of reach
_LISTINGS = ".srcli"  # folder in a repository's cache: what a commit holds, a file for each that was asked for
_BUSY = (407, 408, 429)  # answers of a proxy that wants a login, and of a Hub that has no time now
_LOGIN = "log in with: hf auth login, or set HF_TOKEN"
_REFERENCE = re.compile(r"hf:(?P<repo>[^/@]+/[^/@]+)(?:/(?P<file>[^@]+))?(?:@(?P<revision>.+))?")


class Source(NamedTuple):
    """A repository at a revision, None being its main branch."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return PREFIX + self.repo + (f"@{self.revision}" if self.revision else "")


class Fetched(NamedTuple):
    """A file in the cache; `fresh`: it was not there before."""

    path: Path
    fresh: bool
    licence: str = ""  # as the repository states it
    in_vain: str = ""  # why the Hub, which was asked, did not answer
    listed: bool = True  # False: what the repository holds beside is not known


class _Known(NamedTuple):
    """What to choose from in a repository: all of it, of which some is `cached`; `info` of the Hub, or `why` there is none."""

    names: list[str]
    cached: list[str]
    info: "ModelInfo | None" = None
    why: str = ""
    in_vain: bool = False
    listed: bool = True


class Cached(NamedTuple):
    """A weights file that was downloaded before."""

    source: Source
    file: str
    path: Path

    def __str__(self) -> str:
        revision = f"@{self.source.revision}" if self.source.revision else ""
        return f"{PREFIX}{self.source.repo}/{self.file}{revision}"


def parse(reference: str) -> tuple[Source, str | None]:
    """Read hf:owner/repo[/file][@revision] as the source and the file; raise UsageError."""
    match = _REFERENCE.fullmatch(reference)
    if not match:
        raise UsageError(f"the Hub takes hf:owner/repo[/file][@revision], not '{reference}'")
    return Source(match["repo"], match["revision"]), match["file"]


def fetch(source: Source, pick: Callable[[list[str]], str], *, offline: bool = False) -> Fetched:
    """Return the file that `pick` chooses from the repository's names, downloaded where it is not in the cache.

    `offline`, or without a network, the choice is the same, of what the repository held when it was asked last; of one that
    was never asked, it is among what is cached. A config.json beside the file comes with it, and README.md the first time.
    Raises WeightsNotFound where the Hub refuses or cannot be reached, BadCheckpoint where a hash differs.
    """
    with _translated(source):
        known = _look(source, offline=offline)
        name = _chosen(source, known, pick)
        path = _download(source, name, offline=known.info is None)
        config = PurePosixPath(name).with_name(CONFIG).as_posix()
        if config in known.names:
            _download(source, config, offline=known.info is None)
        if known.info and CARD in known.names and CARD not in known.cached:
            _download(source, CARD, offline=False)
    if known.info:
        _remember(source, known)
    tags = known.info.tags if known.info else None
    stated = next((tag.removeprefix("license:") for tag in tags or [] if tag.startswith("license:")), "")
    return Fetched(path, name not in known.cached, stated or licence_of(path), known.why if known.in_vain else "", known.listed)


def cached() -> Iterator[Cached]:
    """Yield every weights file of every model repository in the cache, whatever program fetched it, newest commit first."""
    seen = set()
    for folder in sorted(_cache().glob("models--*--*")):
        repo = folder.name.removeprefix("models--").replace("--", "/", 1)
        main = _cached_commit(Source(repo))
        snapshots = sorted((folder / "snapshots").glob("*"), key=lambda p: (p.name != main, -p.stat().st_mtime))
        for snapshot in snapshots:
            source = Source(repo, None if snapshot.name == main else snapshot.name)
            for name in _cached_names(source, snapshot.name):
                path = snapshot / name
                if name.endswith(SUFFIXES) and path.resolve() not in seen:
                    seen.add(path.resolve())
                    yield Cached(source, name, path)


def licence_of(path: Path) -> str:
    """Return the licence that the README.md of a cached file's repository states; empty where there is none."""
    root = next((parent for parent in path.parents if parent.parent.name == "snapshots"), None)
    page = root / CARD if root else None
    if page is None or not page.is_file():
        return ""
    head = re.match(r"---\n(.*?)\n---", page.read_text(errors="replace"), re.DOTALL)
    found = re.search(r"^license: *[\"']?([^\s\"']+)", head[1], re.MULTILINE) if head else None
    return found[1] if found else ""


def names_in(source: Source) -> list[str]:
    """List the files of a repository; none where it does not exist yet. Raises WeightsNotFound where that cannot be asked."""
    with _translated(source):
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            info = _ask(source)
        except RepositoryNotFoundError:
            return []
        if isinstance(info, str):
            raise WeightsNotFound(f"'{source}' does not tell what it holds: {info}; try again")
        return [s.rfilename for s in info.siblings or []]


def names_known(source: Source, *, offline: bool = False) -> list[str]:
    """List what `fetch` picks from. Raises WeightsNotFound."""
    with _translated(source):
        return _look(source, offline=offline).names


def push(repo: str, files: Mapping[str, Path | bytes], message: str, *, private: bool = False) -> str:
    """Send files (name in the repository -> file or content) as one commit, and return its address.

    The repository is made where it is missing; `private` decides only then. Raises WeightsNotFound where the Hub refuses
    or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    if not sys.stderr.isatty():
        disable_progress_bars()  # the client draws that of an upload into files too
    client = _client()
    with _translated(Source(repo)):
        try:
            client.create_repo(repo, private=private, exist_ok=True)
            sent = [
                CommitOperationAdd(path_in_repo=name, path_or_fileobj=content if isinstance(content, bytes) else str(content))
                for name, content in files.items()
            ]
            return str(client.create_commit(repo, sent, commit_message=message).commit_url)
        except HfHubHTTPError as error:
            if error.response.status_code not in (401, 403):
                raise
            reason = f"{_endpoint()} does not let you write to '{repo}': {_LOGIN}, with a token that may write"
            raise WeightsNotFound(reason) from error
        except RuntimeError as error:  # what the client makes of a failed upload of one file
            reason = _reason(error.__cause__ or error)
            raise WeightsNotFound(f"the upload to '{repo}' failed ({reason}); try again") from error


def pick_file(source: Source, file: str) -> Callable[[list[str]], str]:
    """Choose the one file that was named; raise WeightsNotFound listing what else there is."""

    def pick(names: list[str]) -> str:
        if file not in names:
            raise WeightsNotFound(f"'{source}' has no file '{file}'; it has {_listed(_weights(names))}")
        return file

    return pick


def pick_scale(source: Source, scale: int | None, default: int) -> Callable[[list[str]], str]:
    """Choose the only weights, or the only ones whose name states the scale; raise WeightsNotFound listing them."""

    def pick(names: list[str]) -> str:
        files = _weights(names)
        if not files:
            raise WeightsNotFound(f"'{source}' holds no .safetensors, .pth or .pt file")
        of_scale = [name for name in files if states(name, scale or default)]
        for choice in (files, of_scale):
            if len(choice) == 1:
                return choice[0]
        advice = f"name one: {PREFIX}{source.repo}/FILE" if of_scale or scale else "choose with -s, or name one"
        raise WeightsNotFound(f"'{source}' holds several weights files, {_listed(files)}; {advice}")

    return pick


def _weights(names: list[str]) -> list[str]:
    """Return the weights among the names: safetensors, and only where there are none the pickled ones."""
    for suffixes in (SUFFIXES[:1], SUFFIXES[1:]):
        found = sorted(name for name in names if name.endswith(suffixes))
        if found:
            return found
    return []


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "no weights"


def states(name: str, scale: int) -> bool:
    """Tell whether a name such as rfdn_x4.safetensors or 4xNet.pth states this scale."""
    return bool(re.search(rf"(?<![a-z0-9])(?:x{scale}(?!\d)|{scale}x)", name, re.IGNORECASE))


def _client() -> "HfApi":
    with _address_read():
        from huggingface_hub.hf_api import HfApi  # from its module: what cannot be imported, the package prints
    return HfApi(library_name="srcli")


@contextmanager
def _address_read() -> Iterator[None]:
    """Say what the client, which reads the Hub's address as it is imported, cannot read."""
    try:
        yield
    except ValueError as error:
        raise UsageError(f"HF_ENDPOINT is not the address of a Hub{quoted(error)}") from error


def _endpoint() -> str:
    return _without_login(_client().endpoint)


def _look(source: Source, *, offline: bool) -> _Known:
    """Tell what a repository holds: as the Hub says now or as far as the cache knows; raise WeightsNotFound of an empty one."""
    from huggingface_hub import constants

    wish = "--offline is given" if offline else "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else ""
    answer = wish or _ask(source)
    if not isinstance(answer, str):
        return _Known([s.rfilename for s in answer.siblings or []], _cached_names(source, answer.sha), answer)
    commit = _cached_commit(source)
    cached = _cached_names(source, commit)
    if not cached:
        raise WeightsNotFound(f"'{source}' is not in the cache, and {answer}; {_how_to_get(source)}")
    listing = _cache_of(source) / _LISTINGS / (commit or "none")
    listed = listing.is_file()
    names = listing.read_text(encoding="utf-8").splitlines() if listed else cached
    return _Known(names, cached, why=answer, in_vain=not wish, listed=listed)


def _remember(source: Source, known: _Known) -> None:
    """Write down what a commit holds, so that without the Hub the same is chosen as with it."""
    assert known.info
    listing = _cache_of(source) / _LISTINGS / str(known.info.sha)
    with suppress(OSError):  # a cache that may only be read
        if not listing.exists():
            listing.parent.mkdir(exist_ok=True)
            with atomic(listing) as temporary:
                temporary.write_text("\n".join(known.names), encoding="utf-8")


def _chosen(source: Source, known: _Known, pick: Callable[[list[str]], str]) -> str:
    """Return the name that `pick` chooses; raise WeightsNotFound where it is not to be had now."""
    try:
        name = pick(known.names)
    except WeightsNotFound as error:
        raise WeightsNotFound(f"{error} (as far as the cache knows: {known.why})" if known.why else str(error)) from error
    if known.info is None and name not in known.cached:
        raise WeightsNotFound(f"'{name}' of '{source}' is not in the cache, and {known.why}; {_how_to_get(source, name)}")
    return name


def _how_to_get(source: Source, file: str = "") -> str:
    """Say what puts weights into the cache, and which folder that is."""
    where = f"/{file}" if file else ""
    revision = f"@{source.revision}" if source.revision else ""
    return f"with the Hub in reach, srcli models pull {PREFIX}{source.repo}{where}{revision} puts it into '{_cache()}'"


def _ask(source: Source) -> "ModelInfo | str":
    """Return what the Hub says of the repository, or why it does not."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return _client().model_info(source.repo, revision=source.revision, timeout=TIMEOUT)
    except HFValidationError:
        raise
    except HfHubHTTPError as error:
        if error.response.status_code < 500 and error.response.status_code not in _BUSY:
            raise
        reason = _reason(error)
    except _transport() as error:
        reason = _reason(error)
    # an answer that is no JSON, or not of the Hub; a proxy that httpx does not know
    except (ValueError, ImportError, LookupError, TypeError, AttributeError) as error:
        reason = _reason(error)
    return f"{_endpoint()} cannot be reached ({reason})"


def _download(source: Source, name: str, *, offline: bool) -> Path:
    """Return a file's place in the cache, its bytes checked against the hash that the Hub stated for them."""
    path = Path(_client().hf_hub_download(source.repo, name, revision=source.revision, local_files_only=offline))
    blob = path.resolve()  # named by its hash; a copy under its own name where there are no symbolic links
    content = blob.read_bytes()
    actual = {64: hashlib.sha256(content).hexdigest(), 40: hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob.name) and actual[len(blob.name)] != blob.name:
        damaged = f"'{source.repo}/{name}' is damaged: its hash is not the one the Hub states"
        if offline:
            raise BadCheckpoint(f"{damaged}; it is loaded anew where the Hub can be reached")
        blob.unlink()
        path.unlink(missing_ok=True)
        raise BadCheckpoint(f"{damaged}; it is deleted, try again")
    return path


def _cached_commit(source: Source) -> str | None:
    ref = _cache_of(source) / "refs" / (source.revision or "main")
    return ref.read_text() if ref.is_file() else source.revision


def _cached_names(source: Source, commit: str | None) -> list[str]:
    """List the files of a commit that are in the cache."""
    snapshot = _cache_of(source) / "snapshots" / (commit or "none")
    return sorted(p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*") if p.is_file())


def _cache_of(source: Source) -> Path:
    return _cache() / f"models--{source.repo.replace('/', '--')}"


def _cache() -> Path:
    with _address_read():
        from huggingface_hub.constants import HF_HUB_CACHE
    return Path(HF_HUB_CACHE)


@contextmanager
def _translated(source: Source) -> Iterator[None]:
    """Turn what the client raises into one line."""
    endpoint = _endpoint()
    from huggingface_hub import errors, get_token

    try:
        yield
    except errors.HFValidationError as error:
        raise UsageError(f"'{source.repo}' cannot be a repository: {_reason(error)}") from error
    except errors.GatedRepoError as error:
        raise WeightsNotFound(f"'{source}' is gated: accept its terms at {endpoint}/{source.repo}; {_LOGIN}") from error
    except errors.RepositoryNotFoundError as error:
        advice = "your token may not read it" if get_token() else _LOGIN
        raise WeightsNotFound(f"no repository '{source.repo}' at {endpoint}; if it is private: {advice}") from error
    except errors.RevisionNotFoundError as error:
        raise WeightsNotFound(f"'{source.repo}' has no revision '{source.revision}'") from error
    except errors.LocalEntryNotFoundError as error:
        raise WeightsNotFound(f"'{source}' is not whole in the cache, and {endpoint} cannot be reached") from error
    except errors.HfHubHTTPError as error:
        cached = "; --offline takes what is in the cache" if _cached_names(source, _cached_commit(source)) else ""
        raise WeightsNotFound(f"{endpoint} refused '{source}' ({_reason(error)}){cached}") from error
    except _transport() as error:
        raise WeightsNotFound(f"the transfer of '{source}' failed ({_reason(error)}); try again") from error
    except ValueError as error:
        raise WeightsNotFound(f"{endpoint} does not answer as a Hub ({_reason(error)})") from error


def _transport() -> tuple[type[Exception], ...]:
    """Return what a broken connection raises: the base of the HTTP client's errors, which differs between versions."""
    from huggingface_hub.errors import HfHubHTTPError

    client = HfHubHTTPError.__bases__[0]
    return (client, OSError) if issubclass(client, Exception) else (OSError,)


def _without_login(text: str) -> str:
    """Return `text` without the user and password of an address in it."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def _reason(error: BaseException) -> str:
    return _without_login(first_line(error, 160))

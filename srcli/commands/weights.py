"""The weights that srcli upscale takes: those that suit what compressed each file or, with -m NAME, the same for all."""

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from srcli import console, zoo
from srcli.commands.forecast import Swift
from srcli.errors import UsageError

if TYPE_CHECKING:
    from srcli.engine.resizer import Resizer
    from srcli.engine.suit import Choice
    from srcli.models.base import SRModel


class Ready(Protocol):
    """Makes networks ready to compute."""

    def __call__(self, networks: "list[SRModel]", *, name: str | None, say: zoo.Say) -> "Resizer": ...


class Weights:
    """What -m and the size name: `networks` of `plain`, the weights for clean files.

    `kinds` names those that ship for compressed files, by PHOTO and VIDEO; `others` are their networks where each file goes
    through what suits it, and none where all go through `plain`.
    """

    def __init__(self, reference: str | None, scale: float | None, *, several: bool, offline: bool) -> None:
        """Open what `reference` stands for; `several` at every scale that there is. Raises UserError."""
        self.named = reference or zoo.AUTO
        self._unless = "" if reference else f" (-m {zoo.DEFAULT} turns that off)"
        clean = zoo.automatic(reference) if reference else zoo.DEFAULT
        self.plain = clean or self.named
        self._scale, self._several, self._offline = scale, several, offline
        self.networks = self._open(self.plain, scale)
        self.kinds = {kind: name for kind in (zoo.PHOTO, zoo.VIDEO) if (name := zoo.suited(self.plain, kind))}
        self.others = {kind: self._open(name, self._factor) for kind, name in self.kinds.items()} if clean else {}
        if clean and not self.others:
            raise UsageError(f"'{self.named}': no others ship that suit compressed files better; -m {self.plain} says the same")

    @property
    def scale(self) -> int:
        """The scale of the first network, which is that of the result where no other size is asked for."""
        return self.networks[0].scale

    @property
    def advice(self) -> str:
        """What to say of drawings that went wrong; "" where these weights know them."""
        alone = zoo.knows_photographs_alone(self.plain, {network.scale for network in self.networks})
        others = f"-m {zoo.DEFAULT}{self._sized()}"
        return f"these weights know photographs alone; for text, drawings and pixel art: {others}" if alone else ""

    def facts(self) -> list[dict[str, Any]]:
        """Describe every network for a report."""
        from srcli.engine.journal import model_facts

        used = [(self.plain, self.networks), *((self.kinds[kind], each) for kind, each in self.others.items())]
        return [fact for name, each in used for fact in model_facts(name, each)]

    def choice(self, ready: Ready, say: zoo.Say = console.SILENT.note) -> "Choice":
        """Make the networks ready; `say` is told what is not as asked of those for clean files."""
        from srcli.engine.suit import Choice

        others = {kind: ready(each, name=self.kinds[kind], say=console.SILENT.note) for kind, each in self.others.items()}
        return Choice(ready(self.networks, name=self.plain, say=say), others, self._taken(zoo.PHOTO) + self._unless)

    @property
    def hints(self) -> dict[str, str]:
        """What takes, or would take, away what compression left in files of the kinds that weights ship for."""
        return {kind: self._hint(kind) for kind in self.kinds}

    def _hint(self, kind: str) -> str:
        if not self.others:
            return f"-m {zoo.automatic_name(self.plain)} takes blocks and ringing away"
        removed = "blocks and ringing" if kind == zoo.VIDEO else "blur, noise, blocks and ringing"
        return f"{self._taken(kind)}, which removes {removed}{self._unless}"

    def swift(self, ready: Ready) -> tuple[Swift, ...]:
        """Return the weights for speed of the same kind, and those for all files alike; none where these are they.

        They are opened where they are asked for.
        """
        quick = zoo.quicker(self.plain)
        if quick is None:
            return ()

        def choice(reference: str) -> "Choice":
            return Weights(reference, self._factor, several=self._several, offline=self._offline).choice(ready)

        references = (zoo.automatic_name(quick), quick) if self.others else (quick,)
        return tuple(Swift(f"-m {reference}{self._sized()}", partial(choice, reference)) for reference in references)

    @property
    def _factor(self) -> float | None:
        """By how much other weights have to enlarge for results of the same size."""
        return None if self._several else float(self._scale or self.scale)

    def _taken(self, kind: str) -> str:
        """Say what files of a kind go through; "" where they go through what all do."""
        return f"taken through {self.kinds[kind]}{self._way(kind)}" if kind in self.others else ""

    def _way(self, kind: str) -> str:
        """Say how the networks of a kind reach the scale, where that is otherwise than for clean files."""
        from srcli.engine.resizer import way

        if not self._scale:
            return ""
        own, clean = (way(self._scale, {network.scale for network in each}) for each in (self.others[kind], self.networks))
        return f" ({own})" if own not in ("", clean) else ""

    def _open(self, name: str, scale: float | None) -> "list[SRModel]":
        from srcli.engine.resizer import open_networks

        return open_networks(name, scale, several=self._several, offline=self._offline, say=console.note)

    def _sized(self) -> str:
        """Write the flag that gives other weights the size that a name such as mfdn_x2 gives these."""
        own = self._scale is None and not self._several and self.scale != zoo.DEFAULT_SCALE
        return f" -s {self.scale}" if own else ""

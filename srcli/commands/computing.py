"""How srcli upscale computes: the flags for the work of the networks, and the networks that are made ready by them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from srcli.commands import options
from srcli.commands.forecast import mib
from srcli.zoo import Say

if TYPE_CHECKING:
    import torch

    from srcli.engine.resizer import Resizer
    from srcli.engine.upscale import Upscaler
    from srcli.media.jobs import Box, Job
    from srcli.models.base import SRModel

COMPILE = ("auto", "on", "off")


@dataclass(frozen=True, slots=True)
class Computing:
    """How networks compute; `tile` is None for auto, `memory` in bytes and None for no limit."""

    tile: int | None
    memory: int | None
    precision: options.AnyPrecision
    compile: str
    ensemble: bool
    separate: bool
    wrap: bool

    @classmethod
    def read(
        cls,
        *,
        tile: str,
        max_memory: str | None,
        precision: str,
        compile: str,
        ensemble: bool,
        separate_alpha: bool,
        wrap: bool,
    ) -> "Computing":
        """Read the flags; raise UsageError."""
        return cls(
            options.parse_tile(tile),
            options.parse_bytes("--max-memory", max_memory),
            options.one_of("--precision", precision, options.PRECISIONS),
            options.one_of("--compile", compile, COMPILE),
            ensemble,
            separate_alpha,
            wrap,
        )

    def compiles(self, stills: "list[Job]", device: "torch.device") -> bool:
        """Tell whether the networks are compiled, which takes a while, for so many pictures."""
        from srcli.engine.pipeline import repays_compiling

        return self.compile == "on" or (self.compile == "auto" and repays_compiling(stills, device))

    def ready(
        self,
        networks: "list[SRModel]",
        *,
        goal: "float | Box",
        device: "torch.device",
        compiled: bool,
        name: str | None,
        say: Say,
    ) -> "Resizer":
        """Make networks ready to bring pictures to `goal`; say what is not as asked."""
        from srcli.engine.resizer import Resizer
        from srcli.engine.upscale import Upscaler

        upscalers = {
            network.scale: Upscaler(
                network,
                device=device,
                precision=self.precision,
                tile=self.tile,
                memory=self.memory,
                ensemble=self.ensemble,
                separate=self.separate,
                compile=compiled,
            )
            for network in networks
        }
        self._tell(upscalers, goal, say)
        return Resizer(upscalers, edge="wrap" if self.wrap else "mirror", name=name)

    def _tell(self, upscalers: "dict[int, Upscaler]", goal: "float | Box", say: Say) -> None:
        from srcli.engine.memory import held_bytes
        from srcli.engine.resizer import way

        for reason in {u.runner.not_compiled for u in upscalers.values() if u.runner.not_compiled}:
            say(f"not compiled: {reason}")
        tile, overlap = max((u.runner.tile or 0, u.model.tiling.overlap) for u in upscalers.values())
        if 0 < tile < 2 * overlap:
            side = tile + 2 * overlap
            times = round(side**2 / tile**2)
            say(f"--tile {tile}: each reads up to {side}x{side} px, {times} times what it gives; larger ones take less time")
        if isinstance(goal, float) and (said := way(goal, upscalers)):
            say(f"x{goal:g}: {said}")
        held = held_bytes()
        if self.memory and self.memory < held and all(u.device.type == "cpu" for u in upscalers.values()):
            say(f"--max-memory is less than the {mib(held)} that the program takes itself: the smallest tiles are taken")

"""ONNX files as models: what they say of themselves, and running them through onnxruntime.

Needs the extra `srcli[onnx]`, imported only where a file is opened. Files of `srcli export` carry `Facts` in their metadata;
of others the scale is found in a test run, and what they say nothing of is assumed.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from srcli.checkpoint import Card, card_from
from srcli.errors import BadCheckpoint, MissingExtra, UsageError, first_line
from srcli.models.base import Kind, SRModel, Tiling, Window
from srcli.ops.tiles import plan_tiles

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SUFFIX = ".onnx"
KEY = "srcli"  # of the metadata that holds the Facts
FOREIGN_OVERLAP = 32  # px; of files that do not say how they may be cut
FOREIGN_VALUES = 600.0  # activations alive at the peak for each input px; RFDN's are 450
_TRIAL = (48, 64)  # height, width in px of the test run; its gray is _GRAY
_GRAY = 0.5
_TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}


@dataclass(frozen=True, slots=True)
class Facts:
    """What an exported file says of itself: enough to run it without the network it was made from."""

    card: Card
    sha256: str  # of the weights file it was made from, "" where there is none
    channels: int
    min_side: int
    tiling: Tiling
    values_per_px: float  # activations alive at the peak for each input px
    precision: Literal["fp32", "fp16"]  # of weights and activations; input and output are float32
    deviation: float  # largest from torch in float32, in values of which white is 1
    checked: tuple[tuple[int, int, int], ...]  # batch, height, width of the inputs that were compared
    version: str  # of the srcli that wrote it

    def to_json(self) -> str:
        """Return what the metadata holds."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what the metadata holds, without what a later srcli adds; raise ValueError, TypeError or KeyError."""
        content = json.loads(text)
        known = {f.name: content[f.name] for f in fields(cls)}
        tiling = Tiling(*known["tiling"])
        if tiling.kind not in get_args(Kind) or tiling.overlap < 0 or tiling.phase < 1:
            raise ValueError(f"its tiling is {known['tiling']}")
        return cls(**{**known, "card": card_from(known["card"]), "tiling": tiling})


class ExportedModel(SRModel):
    """A network in an ONNX file, run on the CPU, or on the GPU where the picture lies there and onnxruntime can.

    The file cannot be told where in the picture a tile lies, so in tiles only local networks are exact. A file of fixed
    size is given pieces of that size, extended by their edge where they are smaller.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(0)
        self.path = path
        self._sessions: dict[torch.device, InferenceSession] = {}
        session = self._session(torch.device("cpu"))
        if len(session.get_inputs()) != 1 or len(session.get_inputs()[0].shape) != 4:
            raise BadCheckpoint(f"'{path}' does not take one (N, C, H, W) input: it is no network that srcli can run")
        inside = session.get_inputs()[0]
        if inside.type not in _TYPES:
            raise BadCheckpoint(
                f"'{path}' takes {inside.type.removeprefix('tensor')}; srcli runs files that take floats in [0, 1]"
            )
        self._input, self._dtype = inside.name, _TYPES[inside.type]
        batch, channels, height, width = inside.shape
        self.channels = channels if isinstance(channels, int) else 3  # type: ignore[misc]
        if self.channels not in (1, 3):
            raise BadCheckpoint(f"'{path}' takes {channels} channels; srcli runs networks of 1 or 3")
        self._batch = batch if isinstance(batch, int) else None
        sides = [n if isinstance(n, int) else 0 for n in (height, width)]
        self._fixed = (sides[0] or sides[1], sides[1] or sides[0]) if any(sides) else None  # an open side is as the fixed one
        text = session.get_modelmeta().custom_metadata_map.get(KEY)
        self.facts = self._read_facts(text) if text else None
        if self.facts:
            card = self.facts.card
            self.arch, self.config, self.scale = card.arch, card.config, card.scale
            self.tiling, self.min_side = self.facts.tiling, self.facts.min_side
            self.precision, self.values_per_px = self.facts.precision, self.facts.values_per_px
        else:
            self.arch, self.config = path.stem, {}
            self.tiling = Tiling("approximate", min(FOREIGN_OVERLAP, min(self._fixed) // 4 if self._fixed else FOREIGN_OVERLAP))
            self.precision, self.values_per_px = "fp32" if self._dtype == torch.float32 else "fp16", FOREIGN_VALUES
            self.scale, self.gray = self._try()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sessions": {}}  # which are opened again where they are needed

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return copy.copy(self)  # nothing in it changes, and a session cannot be copied

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        if x.is_meta:
            raise UsageError(f"what '{self.path}' costs cannot be counted; profile the weights it was made from")
        foreign_luma = self.channels == 1 and self.facts is None
        if foreign_luma:  # of full range, where the contract has BT.601's
            x = (x - 16 / 255) * (255 / 219)
        out = self._pieced(x) if self._fixed else self._run(x)
        return out * (219 / 255) + 16 / 255 if foreign_luma else out

    def _pieced(self, x: Tensor) -> Tensor:
        """Run (N, C, H, W) in overlapping pieces of the fixed size."""
        assert self._fixed is not None
        (height, width), s = self._fixed, self.scale
        out = x.new_zeros(x.shape[0], x.shape[1], x.shape[-2] * s, x.shape[-1] * s)
        overlap = min(self.tiling.overlap, min(self._fixed) // 4)
        for r, c in plan_tiles(x.shape[-2], x.shape[-1], min(self._fixed) - 2 * overlap, overlap):
            piece = x[..., r.first : r.last, c.first : c.last]
            piece = F.pad(piece, (0, width - piece.shape[-1], 0, height - piece.shape[-2]), mode="replicate")
            inner = self._run(piece)[..., (r.start - r.first) * s :, (c.start - c.first) * s :]
            rows, columns = (r.stop - r.start) * s, (c.stop - c.start) * s
            out[..., r.start * s : r.stop * s, c.start * s : c.stop * s] = inner[..., :rows, :columns]
        return out

    def _run(self, x: Tensor) -> Tensor:
        """Run the file on (N, C, H, W); raise MemoryError where there is too little, BadCheckpoint where it fails."""
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

        session = self._session(x.device)
        missing = -len(x) % self._batch if self._batch else 0
        filled = torch.cat([x, x[-1:].expand(missing, -1, -1, -1)]) if missing else x
        parts = torch.split(filled, self._batch) if self._batch else (x,)
        try:
            found = [session.run(None, {self._input: part.to("cpu", self._dtype).numpy()})[0] for part in parts]
        except (Fail, InvalidArgument, RuntimeException) as error:
            if "alloc" in str(error):
                raise MemoryError(str(error)) from error
            size = f"{x.shape[-1]}x{x.shape[-2]}"
            raise BadCheckpoint(f"'{self.path}' fails on a picture of {size}: {first_line(error)}") from error
        out = torch.cat([torch.from_numpy(part).float() for part in found])[: len(x)].to(x.device)
        if self.scale and out.shape[-2:] != tuple(n * self.scale for n in x.shape[-2:]):
            raise BadCheckpoint(f"'{self.path}' does not enlarge x{self.scale}, as its metadata say")
        return out

    def _session(self, device: torch.device) -> "InferenceSession":
        """Open the file for `device`, once; raise MissingExtra, or BadCheckpoint where it is no ONNX file."""
        if device not in self._sessions:
            ort = import_onnxruntime()
            from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf
            from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as Unknown

            options = ort.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            options.log_severity_level = 3  # errors only; they are raised as well
            on_gpu = device.type == "cuda" and "CUDAExecutionProvider" in ort.get_available_providers()
            cuda = [("CUDAExecutionProvider", {"device_id": device.index or 0})] if on_gpu else []
            providers = [*cuda, "CPUExecutionProvider"]
            try:
                self._sessions[device] = ort.InferenceSession(str(self.path), options, providers=providers)
            except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, Unknown) as error:
                raise BadCheckpoint(f"'{self.path}' is not an ONNX file that onnxruntime opens: {first_line(error)}") from error
        return self._sessions[device]

    def _read_facts(self, text: str) -> Facts:
        try:
            return Facts.from_json(text)
        except (ValueError, TypeError, KeyError) as error:
            raise BadCheckpoint(f"the metadata of '{self.path}' is damaged ({error})") from error

    def _try(self) -> tuple[int, float]:
        """Run an even gray of 0.5; return by which factor the file enlarges, and which gray comes out."""
        height, width = self._fixed or _TRIAL
        out = self._run(torch.full((1, self.channels, height, width), _GRAY))
        factor = out.shape[-1] // width if out.ndim == 4 else 0
        if factor < 2 or out.shape[1:] != (self.channels, factor * height, factor * width):
            given, found = f"{self.channels}x{height}x{width}", "x".join(map(str, out.shape[1:]))
            raise BadCheckpoint(f"'{self.path}' makes {found} of {given}; srcli runs networks that enlarge by a whole factor")
        return factor, float(out.mean())


def open_onnx(path: Path, say: Callable[[str], None] = lambda line: None) -> tuple[ExportedModel, Card]:
    """Return the model of an ONNX file, with its card; `say` is told what the user should know of it.

    Raises MissingExtra without onnxruntime, BadCheckpoint where the file is none or no upscaler.
    """
    model = ExportedModel(path)
    facts, name = model.facts, path.name
    if facts is None:
        assumed = f"values in [0, 1] and {model.tiling.overlap} px of overlap between tiles are assumed"
        say(f"{name}: not exported by srcli; x{model.scale} by a test run, {assumed}")
        if abs(model.gray - _GRAY) > _GRAY / 2:
            say(f"{name}: an even gray of {_GRAY} comes out as {model.gray:.3g}; the file may want other values than [0, 1]")
    elif model.tiling.kind != "local":
        say(f"{name}: looks at the whole picture; one too large for the memory is cut, and its tiles differ (docs/export.md)")
    if torch.cuda.is_available() and "CUDAExecutionProvider" not in import_onnxruntime().get_available_providers():
        say(f"{name}: this onnxruntime has no CUDA, it runs on the CPU; pip install onnxruntime-gpu")
    return model.eval(), facts.card if facts else Card(arch=model.arch, scale=model.scale, source=name)


def import_onnxruntime() -> Any:
    """Return the module onnxruntime; raise MissingExtra where it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("ONNX files need onnxruntime: pip install 'srcli[onnx]'") from error
    return onnxruntime

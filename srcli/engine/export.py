"""Networks for other programs, as ONNX, torch.export's pt2 or OpenVINO, compared with torch before they are kept."""

import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from srcli import __version__
from srcli.checkpoint import Card
from srcli.engine.memory import values_per_px
from srcli.engine.tiling import made_picture
from srcli.errors import ExportFailed, MissingExtra, UsageError, UserError, first_line
from srcli.exported import KEY, ExportedModel, Facts, import_onnxruntime
from srcli.files import atomic, writing_to
from srcli.models.base import SRModel
from srcli.ops.pixels import to_tensor

Format = Literal["onnx", "pt2", "openvino"]
Run = Callable[[np.ndarray], np.ndarray]  # (N, C, H, W) float32 in [0, 1] -> (N, C, scale*H, scale*W) float32
CHECKED = ((1, 37, 53), (1, 64, 48), (2, 41, 40))  # batch, height, width; no side is the one that was traced
LIMITS = {"fp32": 1e-3, "fp16": 2 / 255}  # the largest deviation from torch of a file that is kept
_TRACED = (2, 48, 44)


class _Kind(NamedTuple):
    """How one format is made, written with its metadata, and opened again as a function."""

    suffix: str
    packages: tuple[str, ...]
    convert: Callable[[ExportedProgram, SRModel], Any]
    write: Callable[[Any, Path, str], None]
    open: Callable[[Path], Run]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how far it is from torch in float32; the deviation is in values of which white is 1."""

    output: Path
    format: Format
    arch: str
    scale: int
    precision: Literal["fp32", "fp16"]
    bytes: int
    deviation: float
    checked: tuple[tuple[int, int, int], ...]


def format_of(path: Path) -> Format:
    """Return the format that a file's suffix names; raise UsageError where it names none."""
    for name, kind in FORMATS.items():
        if path.suffix == kind.suffix:
            return name
    raise UsageError(f"the output ends in {', '.join(kind.suffix for kind in FORMATS.values())}, not '{path.name}'")


def parts_of(path: Path) -> list[Path]:
    """List the files that are written for `path`: OpenVINO keeps the weights beside it."""
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def need(format: Format) -> None:
    """Raise MissingExtra, with what installs it, where a package that writes or checks `format` is missing."""
    missing = [name for name in FORMATS[format].packages if find_spec(name) is None]
    if missing:
        raise MissingExtra(f"--format {format} needs {' and '.join(missing)}: pip install 'srcli[{format}]'")


def export(
    model: SRModel, card: Card, target: Path, *, precision: Literal["fp32", "fp16"] = "fp32", sha256: str = ""
) -> Exported:
    """Write `model` to `target` in the format of its suffix with all sizes left open, once it computes what torch does.

    Input and output are float32 in [0, 1], (N, C, H, W), with fp16 too. `sha256`: of the weights file, for the metadata.
    Raises ExportFailed, in one line, where the network cannot be traced or its file deviates by more than LIMITS, and
    MissingExtra.
    """
    if isinstance(model, ExportedModel):
        raise UsageError(f"'{model.path}' is exported already; name the weights it was made from")
    format = format_of(target)
    need(format)
    kind = FORMATS[format]
    network = copy.deepcopy(model).cpu().float().eval().fold()
    with _quietly():
        converted = _converted(kind, network, half=precision == "fp16")
        with writing_to(target), atomic(target) as temporary:
            try:
                with _refusing(network, kind):
                    kind.write(converted, temporary, "")
                    runs = [kind.open(temporary)]
                    least = _least_side(runs[0], network)
                    shapes = tuple((n, max(h, least), max(w, least)) for n, h, w in CHECKED)
                    if precision == "fp16":  # onnxruntime and OpenVINO compute it in float32 on most CPUs
                        half = _Half(network)
                        runs.append(lambda x: half(torch.from_numpy(x)).numpy())
                    deviation = _deviation(runs, network, shapes)
                if not deviation <= LIMITS[precision]:  # nan too
                    raise ExportFailed(
                        f"'{model.arch}' deviates by {deviation:.2g} from torch as {format} in {precision}; nothing was written"
                    )
                facts = Facts(
                    card=card,
                    sha256=sha256,
                    channels=network.channels,
                    min_side=least,
                    tiling=network.tiling,
                    values_per_px=values_per_px(network),
                    precision=precision,
                    deviation=deviation,
                    checked=shapes,
                    version=__version__,
                )
                with _refusing(network, kind):
                    kind.write(converted, temporary, facts.to_json())
                for part, final in zip(parts_of(temporary)[1:], parts_of(target)[1:], strict=True):
                    part.replace(final)
            finally:
                for part in parts_of(temporary)[1:]:
                    part.unlink(missing_ok=True)
    size = sum(part.stat().st_size for part in parts_of(target))
    return Exported(target, format, model.arch, model.scale, precision, size, deviation, shapes)


class _Half(nn.Module):
    """A network in float16 between a float32 input and output."""

    def __init__(self, network: SRModel) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.half()).float()


class _Plain(nn.Module):
    """A network without the window that only torch can pass."""

    def __init__(self, network: SRModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


def _converted(kind: _Kind, network: SRModel, *, half: bool) -> Any:
    """Trace with batch, height and width open and convert; raise ExportFailed where the network or the format refuses."""
    batch, height, width = _TRACED
    x = torch.zeros(batch, network.channels, max(height, network.min_side), max(width, network.min_side))
    sizes = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    with _refusing(network, kind), torch.no_grad():
        program = torch.export.export((_Half if half else _Plain)(network), (x,), dynamic_shapes=(sizes,))
        return kind.convert(program, network)


@contextmanager
def _refusing(network: SRModel, kind: _Kind) -> Iterator[None]:
    """Raise ExportFailed in the place of what tracers and converters raise, which is whatever the code they meet leads to."""
    try:
        yield
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:
        raise ExportFailed(f"'{network.arch}' cannot be exported as {kind.suffix}: {first_line(error)}") from error


@torch.inference_mode()
def _least_side(run: Run, network: SRModel) -> int:
    """Find the side from which on a file takes all: what was traced may take fewer small ones than the network."""
    own = max(network.min_side, 2)  # bicubic mirrors 2 px
    least = own
    for side in range(own, max(own, _TRACED[1])):
        try:
            run(np.zeros((1, network.channels, side, side), np.float32))
        except Exception:  # noqa: BLE001 - a guard of any kind
            least = side + 1
    return least


@torch.inference_mode()
def _deviation(runs: list[Run], network: SRModel, shapes: tuple[tuple[int, int, int], ...]) -> float:
    """Return the largest difference of any run from torch in float32 on made pictures; nan where there is one."""
    largest = 0.0
    for count, height, width in shapes:
        x = to_tensor(made_picture(height, width))[:, : network.channels].repeat(count, 1, 1, 1)
        expected = network(x).numpy()
        for run in runs:
            largest = float(np.maximum(largest, np.abs(run(x.numpy()) - expected).max()))  # keeps nan, as max does not
    return largest


def _to_onnx(program: ExportedProgram, network: SRModel) -> Any:
    written = torch.onnx.export(program, dynamo=True, verbose=False, input_names=["lr"], output_names=["sr"])
    assert written is not None
    proto = written.model_proto
    for value, factor in ((proto.graph.input[0], ""), (proto.graph.output[0], f"{network.scale}*")):
        for index, name in ((0, "batch"), (2, f"{factor}height"), (3, f"{factor}width")):
            value.type.tensor_type.shape.dim[index].dim_param = name
    del proto.graph.value_info[:]  # sizes in between are called otherwise
    return proto


def _write_onnx(proto: Any, path: Path, metadata: str) -> None:
    import onnx

    onnx.helper.set_model_props(proto, {KEY: metadata} if metadata else {})
    onnx.save(proto, path)


def _open_onnx(path: Path) -> Run:
    session = import_onnxruntime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"lr": x})[0]


def _write_pt2(program: ExportedProgram, path: Path, metadata: str) -> None:
    content = io.BytesIO()  # torch's own writer aborts the process where the disk is full
    torch.export.save(program, content, extra_files={KEY: metadata})
    path.write_bytes(content.getvalue())


def _open_pt2(path: Path) -> Run:
    module = torch.export.load(path).module()
    return lambda x: module(torch.from_numpy(x)).numpy()


def _to_openvino(program: ExportedProgram, network: SRModel) -> Any:
    import openvino

    return openvino.convert_model(program)


def _write_openvino(converted: Any, path: Path, metadata: str) -> None:
    import openvino

    converted.set_rt_info(metadata, [KEY])
    openvino.save_model(converted, path, compress_to_fp16=False)  # it is float16 already where that was asked for


def _open_openvino(path: Path) -> Run:
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: compiled(x)[0]


FORMATS: dict[Format, _Kind] = {
    "onnx": _Kind(".onnx", ("onnx", "onnxscript", "onnxruntime"), _to_onnx, _write_onnx, _open_onnx),
    "pt2": _Kind(".pt2", (), lambda program, network: program, _write_pt2, _open_pt2),
    "openvino": _Kind(".xml", ("openvino",), _to_openvino, _write_openvino, _open_openvino),
}


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what the exporters log and warn of their own insides from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

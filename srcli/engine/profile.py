"""What a network costs: parameters and operations counted without computing, milliseconds and memory measured.

Counts run on the meta device, which knows shapes and no values, so a 300 GMAC network at 1280x720 is counted at once.
"""

import statistics
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from srcli.engine.device import DTYPES, Precision, check_precision, exact
from srcli.engine.memory import keep_freed_memory, peak_bytes
from srcli.engine.published import Challenge, challenge_for, counting_of, deviation, published_for
from srcli.errors import UsageError
from srcli.models import label_of
from srcli.models.base import SRModel

_BUDGET = 2.0  # seconds of measured passes
_FEWEST, _MOST = 3, 200  # measured passes
_MIB = 2**20
_DEVICE = Tensor.device.__get__
_PAPERS = (720, 1280)  # the output for which papers print multi-adds


@dataclass(frozen=True, slots=True)
class Profile:
    """The cost of one pass over an LR picture of `input` (height, width); counts as in the papers, see `count`.

    `parameters`: the network as trained. `single_scale_parameters`: those that this scale uses; they
    differ for networks that carry the upsamplers of all scales (CARN). Times and memory are None where not measured.
    """

    model: str
    label: str
    scale: int
    input: tuple[int, int]
    parameters: int
    single_scale_parameters: int
    macs: int
    macs_without_weight_norm: int  # what FDIWN's tables print
    macs_on_output_grid: int  # what FSRCNN's row in CARN's table prints
    flops: int
    ntire_flops: int
    activations: int
    convolutions: int
    milliseconds: float | None = None  # median
    spread: tuple[float, float] | None = None  # first and third quartile
    peak_mib: float | None = None
    device: str | None = None
    precision: Precision | None = None


@dataclass(slots=True)
class Counts:
    """Operations of one pass, in the papers' currencies."""

    macs: int = 0  # convolutions and linear layers, no bias; a transposed convolution on its input grid
    macs_without_weight_norm: int = 0  # those whose weight is a parameter itself, not made from several
    macs_on_output_grid: int = 0  # macs, but a transposed convolution on its output grid
    ntire_flops: int = 0  # NTIRE's script: macs, transposed on the output grid, + activations and batch norms
    activations: int = 0  # elements of all convolutions' outputs
    convolutions: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A network's counts beside the papers'; deviations are fractions of the published figure, None where there is none."""

    published_parameters: float | None  # K
    parameters_deviation: float | None
    multi_adds: int  # ours, for a 1280x720 output
    published_multi_adds: float | None  # G
    multi_adds_deviation: float | None
    multi_adds_as_published: int  # ours, counted as the published figure is
    deviation_as_published: float | None
    challenge: Challenge | None  # x4 only
    source: str
    note: str  # why the published figures are wrong or counted otherwise


def profile(
    model: SRModel,
    height: int,
    width: int,
    *,
    time: bool = False,
    device: torch.device | str = "cpu",
    precision: Precision = "fp32",
) -> Profile:
    """Count one pass over a height x width LR picture and, with `time`, measure it on `device`; `model` stays as it is.

    Raises UsageError for an input the network cannot take, DeviceUnavailable for a precision the device has not.
    """
    if min(height, width) < model.min_side:
        raise UsageError(f"an input of {height}x{width} is too small for '{model.arch}'; it needs {model.min_side} px a side")
    counts = count(model, height, width)
    counted = Profile(
        model=model.arch,
        label=label_of(model.arch),
        scale=model.scale,
        input=(height, width),
        parameters=sum(p.numel() for p in model.parameters()),
        single_scale_parameters=model.single_scale_parameters(),
        flops=2 * counts.macs,
        **asdict(counts),
    )
    return _measured(counted, model, torch.device(device), precision) if time else counted


def compare(model: SRModel) -> Comparison:
    """Count a network for a 1280x720 output and set it beside what the papers print of it, its config included."""
    row = published_for(model.arch, model.scale, model.config)
    counts = count(model, *input_for_output(model.scale, *_PAPERS))
    as_published = getattr(counts, counting_of(model.arch))
    parameters, multi_adds = (row.parameters, row.multi_adds) if row else (None, None)
    return Comparison(
        published_parameters=parameters,
        parameters_deviation=deviation(sum(p.numel() for p in model.parameters()) / 1e3, parameters),
        multi_adds=counts.macs,
        published_multi_adds=multi_adds,
        multi_adds_deviation=deviation(counts.macs / 1e9, multi_adds),
        multi_adds_as_published=as_published,
        deviation_as_published=deviation(as_published / 1e9, multi_adds),
        challenge=challenge_for(model.arch) if model.scale == 4 and not model.config else None,
        source=row.source if row else "",
        note=row.note if row else "",
    )


def input_for_output(scale: int, height: int, width: int) -> tuple[int, int]:
    """Return the LR (height, width) of an output size, rounded down as FDIWN's tables do: 1280x720 at x3 is 426x240.

    CARN and IMDN count x3 on the exact area instead, 102,400 px for 102,240.
    """
    if min(height, width) < scale:
        raise UsageError(f"an output of {height}x{width} has no input at x{scale}")
    return height // scale, width // scale


def count(model: SRModel, height: int, width: int) -> Counts:
    """Count the operations of one pass over (1, C, height, width), as the network runs in eval mode."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    meta = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    counter = _Counter([meta[name] for name, _ in model.named_parameters()])
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad(), counter:
            functional_call(model, meta, (torch.empty(1, model.channels, height, width, device="meta"),))
    finally:
        for module in training:
            module.training = True
    return counter.counts


class _Counter(TorchFunctionMode):
    """Sees every call of a torch function with its arguments, whether a module or a functional made it."""

    def __init__(self, parameters: list[Tensor]) -> None:
        super().__init__()
        self.counts = Counts()
        self.parameters = {id(p): p for p in parameters}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func == _DEVICE:
            return torch.device("cpu")  # networks hand it to torch.autocast, which has no meta device
        if any(isinstance(x, Tensor) and x.is_meta for x in tree_leaves((args, kwargs))):
            # or make masks on it as they run, or send what they compute there
            args, kwargs = tree_map_only((Tensor, torch.device), _as_meta, (args, kwargs))
        out = func(*args, **kwargs)
        name = getattr(func, "__name__", "").removesuffix("_")  # relu_ is relu
        if name in ("conv1d", "conv2d", "conv3d"):
            weight = _argument(args, kwargs, 1, "weight")
            self._convolution(out, weight, out.numel() * weight[0].numel())
        elif name in ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"):
            weight = _argument(args, kwargs, 1, "weight")  # (inputs, outputs/groups, k, k)
            macs = _argument(args, kwargs, 0, "input").numel() * weight[0].numel()
            inputs = weight.shape[0] // (_argument(args, kwargs, 6, "groups") or 1)
            self._convolution(out, weight, macs, out.numel() * inputs * weight[0, 0].numel())
        elif name == "linear":
            weight = _argument(args, kwargs, 1, "weight")
            self._multiply(weight, out.numel() * weight.shape[-1])
        elif name in ("relu", "leaky_relu", "prelu", "elu"):
            self.counts.ntire_flops += out.numel()
        elif func is F.batch_norm and _argument(args, kwargs, 3, "weight") is not None:
            self.counts.ntire_flops += 2 * out.numel()
        return out

    def _convolution(self, out: Tensor, weight: Tensor, macs: int, ntire_macs: int | None = None) -> None:
        self.counts.activations += out.numel()
        self.counts.convolutions += 1
        self._multiply(weight, macs, ntire_macs)

    def _multiply(self, weight: Tensor, macs: int, ntire_macs: int | None = None) -> None:
        self.counts.macs += macs
        on_output_grid = macs if ntire_macs is None else ntire_macs
        self.counts.macs_on_output_grid += on_output_grid
        self.counts.ntire_flops += on_output_grid
        if id(weight) in self.parameters:
            self.counts.macs_without_weight_norm += macs


def _as_meta(x: Tensor | torch.device) -> Tensor | torch.device:
    return x.to("meta") if isinstance(x, Tensor) else torch.device("meta")


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str) -> Any:
    return args[position] if len(args) > position else kwargs.get(name)


@torch.inference_mode()
def _measured(counted: Profile, model: SRModel, device: torch.device, precision: Precision) -> Profile:
    """Add median, quartiles and peak memory of passes as the Upscaler makes them: folded, channels_last, autocast."""
    check_precision(precision, device)
    network = deepcopy(model).eval().fold().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(0)
    x = torch.rand(1, model.channels, *counted.input).to(device, memory_format=torch.channels_last)

    def once() -> None:
        casts = torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")
        with casts, exact(device) if precision == "fp32" else nullcontext():
            network(x)

    held = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0  # NTIRE counts weights and input too
    peak = peak_bytes(once, device)  # the first pass: it also makes kernels and buffers ready
    once()
    runs: list[float] = []
    while len(runs) < _FEWEST or (sum(runs) < _BUDGET * 1e3 and len(runs) < _MOST):
        runs.append(_milliseconds(once, device))
    first, median, third = statistics.quantiles(runs, n=4, method="inclusive")
    peak_mib = None if peak is None else (held + peak) / _MIB
    return replace(
        counted, milliseconds=median, spread=(first, third), peak_mib=peak_mib, device=str(device), precision=precision
    )


def _milliseconds(once: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        with torch.cuda.device(device):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            start.record()
            once()
            end.record()
            end.synchronize()
        return float(start.elapsed_time(end))
    started = perf_counter()
    once()
    if device.type == "mps":
        torch.mps.synchronize()
    return (perf_counter() - started) * 1e3

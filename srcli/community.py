"""Community networks through spandrel (github.com/chaiNNer-org/spandrel): recognised by content, run as an SRModel.

Needs the extra `srcli[community]`; knows tensors, not files.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.errors import BadCheckpoint, last_line
from srcli.models.base import SRModel, Tiling, Window

if TYPE_CHECKING:
    from spandrel import ArchSupport, ImageModelDescriptor

EXTRA = "pip install 'srcli[community]'"
LARGEST_OVERLAP = 64  # px; deep networks reach further, but what is beyond hardly counts (docs/hub.md has figures)
# Those made of convolutions alone: what a tile needs is their receptive radius.
CONVOLUTIONAL = ("ESRGAN", "Compact", "SPAN", "SwiftSRGAN", "MoSR", "PLKSR")
_OPERATORS = ("torchvision::nms", "torchvision::qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class CommunityModel(SRModel):
    """A network as spandrel describes it: padded to the sizes it takes, in the precision it can compute in.

    Networks of one channel are trained on full-range gray, where the contract hands them studio-swing luma: both ways are
    converted.
    """

    def __init__(self, described: "ImageModelDescriptor[nn.Module]") -> None:
        super().__init__(described.scale)
        self.arch = described.architecture.name
        self.config = {"size": " ".join(described.tags)} if described.tags else {}
        self.channels = described.input_channels  # type: ignore[misc]
        sizes = described.size_requirements
        self.min_side, self.multiple, self.square = max(sizes.minimum, 1), sizes.multiple_of, sizes.square
        self.network = described.model
        self.tiling = tiling_of(described)
        self.takes_fp16 = described.supports_half
        self._run: Callable[[nn.Module, Tensor], Tensor] = described._call_fn

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        s, (height, width) = self.scale, x.shape[-2:]
        if self.channels == 1:
            x = (x - 16 / 255) * (255 / 219)
        x = self._padded(x)
        device = x.device.type
        fp16 = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
        with torch.autocast(device, enabled=torch.is_autocast_enabled(device) and (self.takes_fp16 or not fp16)):
            # RCAN, for one, scales its input in place
            out = self._run(self.network, x.clone())[..., : s * height, : s * width]
        return out * (219 / 255) + 16 / 255 if self.channels == 1 else out

    def _padded(self, x: Tensor) -> Tensor:
        """Extend (N, C, H, W) at the bottom and right to sizes the network takes: mirrored where there is enough to mirror."""
        sides = [-(-max(n, self.min_side) // self.multiple) * self.multiple for n in x.shape[-2:]]
        if self.square:
            sides = [max(sides)] * 2
        below, right = (side - n for side, n in zip(sides, x.shape[-2:], strict=True))
        if not (below or right):
            return x
        mirrored = below < x.shape[-2] and right < x.shape[-1]
        return F.pad(x, (0, right, 0, below), "reflect" if mirrored else "replicate")


def installed() -> bool:
    """Tell whether the extra is there, without importing it."""
    return find_spec("spandrel") is not None


def build(state: Mapping[str, Tensor]) -> SRModel | None:
    """Build the network these tensors are of, in evaluation mode; None where spandrel knows none.

    Raises BadCheckpoint where it is none that upscales pictures, or its tensors do not fit.
    """
    tensors = dict(state)
    support = _detected(tensors)
    if support is None:
        return None
    name = support.architecture.name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch has to say of their code is nothing the user could mend
            described: Any = support.architecture.load(tensors)
    except (RuntimeError, KeyError, ValueError, TypeError, AssertionError, IndexError, NotImplementedError) as error:
        reason = last_line(error, 120)
        raise BadCheckpoint(f"its tensors have the names of {name}, but spandrel cannot load them ({reason})") from error
    if described.purpose != "SR" or described.scale < 2:
        raise BadCheckpoint(f"it is {name}, a network for {described.purpose.lower()} at x{described.scale}; srcli upscales")
    if described.input_channels != described.output_channels or described.input_channels not in (1, 3):
        channels = f"{described.input_channels} to {described.output_channels}"
        raise BadCheckpoint(f"it is {name} from {channels} channels; srcli runs networks of 1 or 3")
    return CommunityModel(described).eval()


def tiling_of(described: "ImageModelDescriptor[nn.Module]") -> Tiling:
    """Choose how a network is cut: by its receptive radius where it is local and near, else by its windows.

    Windows keep their places, because tile origins are multiples of them. Attention lets every value depend on far ones
    a little; the overlap is 4 windows within 32 and LARGEST_OVERLAP px, the most where spandrel discourages tiles.
    """
    network, multiple = described.model, described.size_requirements.multiple_of
    normalised = any(isinstance(m, nn.GroupNorm) for m in network.modules())  # over the whole picture
    if described.architecture.id in CONVOLUTIONAL and not normalised:
        radius = receptive_radius(network) * multiple
        if radius <= LARGEST_OVERLAP:
            return Tiling("local", radius, multiple)
        return Tiling("approximate", LARGEST_OVERLAP, multiple)
    window = math.lcm(multiple, *_windows(network))
    from spandrel import ModelTiling

    wanted = 4 * window if described.tiling == ModelTiling.SUPPORTED else LARGEST_OVERLAP
    return Tiling("approximate", max(min(wanted, LARGEST_OVERLAP), 32, window), window)


def receptive_radius(network: nn.Module) -> int:
    """Return a bound on the receptive radius, in px of the grid the convolutions run on: as if all ran in a row.

    2 px more for the interpolation of nearest or bicubic upsampling beside them.
    """
    sizes = [(m.kernel_size, m.dilation) for m in network.modules() if isinstance(m, nn.Conv2d)]
    return 2 + sum(max((k - 1) * d // 2 for k, d in zip(*size, strict=True)) for size in sizes)


def _windows(network: nn.Module) -> list[int]:
    """Return the sides of the windows that attention is computed in, wherever the network keeps them."""
    found: set[int] = set()
    for module in network.modules():
        for name in ("window_size", "split_size", "pad_size"):
            value = getattr(module, name, None)
            values = value if isinstance(value, list | tuple) else [value]
            found |= {v for v in values if isinstance(v, int) and v > 1}
    return sorted(found)


def _detected(state: dict[str, Tensor]) -> "ArchSupport | None":
    _import_torchvision()
    from spandrel import MAIN_REGISTRY

    for support in MAIN_REGISTRY.architectures("detection"):
        if support.detect(state):
            return support
    return None


def _import_torchvision() -> None:
    """Import torchvision, which spandrel needs for two functions that no upscaler calls.

    PyPI's wheel fits the CUDA torch of the same release only. Beside another torch its operators are missing, and the
    import ends where it looks up their names: these are then declared without a body.
    """
    for attempt in range(2):
        try:
            import torchvision  # noqa: F401
        except ImportError as error:
            raise BadCheckpoint(f"networks of the community need {error.name}: {EXTRA}") from error
        except RuntimeError:
            if attempt:
                raise
            for operator in _OPERATORS:
                torch.library.define(operator, _SCHEMA)
        else:
            return

"""What `profile` counts is what ARCHITECTURES.md computed, for every network and scale."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.engine.profile import Profile, count, input_for_output, profile
from srcli.errors import UsageError
from srcli.models import ARCHS, SCALES, create
from srcli.models.base import SRModel, Tiling, Window
from tests.counts import PARAMETERS, at_720p

NETWORKS = [  # FDIWN takes seconds to count, whatever its scale and size
    pytest.param(name, scale, marks=[pytest.mark.slow] if name.startswith("fdiwn") and (name, scale) != ("fdiwn", 4) else [])
    for name in ARCHS
    for scale in SCALES
]

SINGLE_SCALE_PARAMETERS = PARAMETERS | {"carn": (964_163, 1_148_803, 1_111_875), "carn-m": (257_027, 303_427, 294_147)}

GIGAMACS = {  # for a 1280x720 output, x2, x3, x4, to the digits that are printed; x3 from 426x240
    "bicubic": ("0.0", "0.0", "0.0"),
    "srcnn": ("52.7", "52.6", "52.7"),
    "fsrcnn": ("2.87", "1.27", "0.72"),
    "vdsr": ("612.6", "611.6", "612.6"),
    "carn": ("222.8", "118.6", "90.9"),
    "carn-m": ("91.2", "46.1", "32.5"),
    "idn": ("127.0", "56.3", "31.7"),
    "imdn": ("158.8", "71.3", "40.9"),
    "imdn-baseline": ("200.6", "89.9", "51.4"),
    "pan": ("70.5", "39.0", "28.2"),
    "rfdn": ("91.3", "41.2", "23.8"),
    "rfdn-c48": ("120.9", "54.3", "31.1"),
    "rfdn-c52": ("141.8", "63.6", "36.4"),
    "mfdn": ("87.89", "58.90", "32.50"),
    "drn": ("442.7", "216.2", "145.8"),
    "drn-plus": ("4053.1", "2103.6", "1561.6"),
    "fdiwn": ("270.9", "122.0", "71.2"),
    "fdiwn-m": ("187.9", "82.9", "48.2"),
    "rdsrn": ("404.6", "203.6", "135.7"),
    "fast": ("6.93", "3.29", "2.03"),
    "standard": ("35.2", "16.1", "9.40"),
    "quality": ("78.5", "35.5", "20.5"),
}
GIGAMACS_WITHOUT_WEIGHT_NORM = {"fdiwn": ("112.03", "51.49", "28.36"), "fdiwn-m": ("73.61", "35.94", "19.60")}


@pytest.mark.parametrize("name", ARCHS)
def test_every_network_has_its_expected_counts(name: str) -> None:
    assert name in PARAMETERS
    assert name in GIGAMACS


@pytest.mark.parametrize(("name", "scale"), NETWORKS)
def test_parameters_and_multiply_accumulates_at_720p_are_the_computed_ones(name: str, scale: int) -> None:
    counted, at = at_720p(name, scale), SCALES.index(scale)
    parameters, single, macs = (table[name][at] for table in (PARAMETERS, SINGLE_SCALE_PARAMETERS, GIGAMACS))
    assert (counted.parameters, counted.single_scale_parameters) == (parameters, single)
    assert _printed(counted.macs, like=macs) == macs


@pytest.mark.parametrize(("name", "scale"), [row for row in NETWORKS if row.values[0] in GIGAMACS_WITHOUT_WEIGHT_NORM])
def test_without_weight_normalised_convolutions_fdiwn_has_the_published_multi_adds(name: str, scale: int) -> None:
    counts = at_720p(name, scale)
    expected = GIGAMACS_WITHOUT_WEIGHT_NORM[name][SCALES.index(scale)]
    assert _printed(counts.macs_without_weight_norm, like=expected) == expected


@pytest.mark.parametrize(
    ("name", "macs", "flops", "activations", "convolutions"),
    [
        ("rfdn", "27.03", "27.10", "112.03", 64),
        ("mfdn", "36.98", "37.671", "430.23", 130),
        ("imdn-baseline", "58.43", "58.53", "154.14", 43),
    ],
)
def test_challenge_counts_are_those_of_the_ntire_tables(
    name: str, macs: str, flops: str, activations: str, convolutions: int
) -> None:
    counted = profile(create(name, 4), 256, 256)
    assert _printed(counted.macs, like=macs) == macs
    assert _printed(counted.ntire_flops, like=flops) == flops
    assert _printed(counted.activations * 1000, like=activations) == activations
    assert counted.convolutions == convolutions


@pytest.mark.parametrize(
    ("recursions", "split", "parameters", "gigamacs"),
    [
        (1, 0.5, 675_944, "77.7"),
        (3, 0.5, 684_136, "135.7"),
        (6, 0.5, 696_424, "222.8"),
        (9, 0.5, 708_712, "309.8"),
        (3, 0.25, 1_007_272, "191.5"),
        (3, 0.75, 490_024, "102.3"),
    ],
)
def test_rdsrn_variants_have_the_computed_counts(recursions: int, split: float, parameters: int, gigamacs: str) -> None:
    counted = profile(create("rdsrn", 4, recursions=recursions, split=split), 180, 320)
    assert (counted.parameters, _printed(counted.macs, like=gigamacs)) == (parameters, gigamacs)


class Sampler(SRModel):
    """One of everything that is counted, and of what is not."""

    tiling = Tiling("local", overlap=8)
    min_side = 4

    def __init__(self) -> None:
        super().__init__(2)
        self.arch, self.config = "sampler", {}
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3, padding=1))
        self.grouped = nn.Conv2d(8, 4, 3, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(4)
        self.plain_norm = nn.BatchNorm2d(4, affine=False)
        self.prelu = nn.PReLU(4)
        self.linear = nn.Linear(4, 4)
        self.up = nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1, groups=2)
        self.last = nn.ConvTranspose2d(2, 3, 3, padding=1)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        x = F.relu(self.conv(x))  # (N, 8, H, W)
        x = F.leaky_relu(self.grouped(x), 0.1, inplace=True)
        x = self.prelu(self.plain_norm(self.norm(x)))
        x = F.elu_(x) * torch.sigmoid(x)
        x = self.linear(x.mean((2, 3))[..., None, None].transpose(1, 3)).transpose(1, 3) + x
        x = torch.eye(x.shape[-2]).to(x) @ x  # a matrix product that is not a layer
        out: Tensor = self.last(self.up(x).relu())
        return F.interpolate(out, scale_factor=1.0, mode="nearest")


def test_each_kind_of_layer_is_counted_as_the_protocol_says() -> None:
    model, h, w = Sampler(), 5, 7
    counted = profile(model, h, w)
    area = h * w
    plain = area * 4 * 4 * 9 + 4 * 4 + area * 4 * 1 * 16 + 4 * area * 2 * 3 * 9
    macs = plain + area * 3 * 8 * 9
    transposed_extra = 3 * area * 4 * 1 * 16  # on the output grid there are four times as many positions
    activations = area * 8 + area * 4 + 4 * area * 2 + 4 * area * 3
    rectified = area * 8 + 3 * area * 4 + 4 * area * 2
    assert counted == Profile(
        model="sampler",
        label="sampler",
        scale=2,
        input=(h, w),
        parameters=sum(p.numel() for p in model.parameters()),
        single_scale_parameters=sum(p.numel() for p in model.parameters()),
        macs=macs,
        macs_without_weight_norm=plain,
        macs_on_output_grid=macs + transposed_extra,
        flops=2 * macs,
        ntire_flops=macs + transposed_extra + rectified + 2 * area * 4,
        activations=activations,
        convolutions=4,
    )


def test_counting_leaves_the_model_as_it_was() -> None:
    model = Sampler()
    model.norm.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count(model, 5, 7)
    assert model.training and not model.norm.training
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_an_input_smaller_than_the_network_takes_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="an input of 14x256 is too small for 'rfdn'; it needs 15 px a side"):
        profile(create("rfdn", 4), 14, 256)


@pytest.mark.parametrize(("scale", "size"), [(2, (360, 640)), (3, (240, 426)), (4, (180, 320))])
def test_720p_output_comes_from_the_papers_input(scale: int, size: tuple[int, int]) -> None:
    assert input_for_output(scale, 720, 1280) == size


def test_an_output_smaller_than_the_scale_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="an output of 3x9 has no input at x4"):
        input_for_output(4, 3, 9)


def test_without_timing_there_are_no_times() -> None:
    counted = profile(Sampler(), 5, 7)
    assert (counted.milliseconds, counted.spread, counted.peak_mib, counted.device) == (None, None, None, None)


def test_timing_gives_the_median_between_the_quartiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srcli.engine.profile._BUDGET", 0.05)
    timed = profile(Sampler(), 17, 19, time=True)
    assert timed.milliseconds is not None and timed.spread is not None
    assert 0 < timed.spread[0] <= timed.milliseconds <= timed.spread[1]
    assert (timed.device, timed.precision) == ("cpu", "fp32")


def test_timing_leaves_the_model_unfolded_and_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srcli.engine.profile._BUDGET", 0.0)
    model = Sampler()
    keys = list(model.state_dict())
    profile(model, 5, 7, time=True)
    assert (model.training, list(model.state_dict())) == (True, keys)


def _printed(value: int, *, like: str) -> str:
    """Write `value` in G with as many digits behind the point as `like` has."""
    return f"{value / 1e9:.{len(like.partition('.')[2])}f}"

"""What every network has and costs, for the tests of several modules.

`PARAMETERS` are those at x2, x3 and x4: as ARCHITECTURES.md computed them, srcli's own as summed by hand.
"""

from functools import cache

import torch

from srcli.engine.profile import Profile, input_for_output, profile
from srcli.models import create
from srcli.models.base import SRModel

PARAMETERS = {
    "bicubic": (0, 0, 0),
    "srcnn": (57_281, 57_281, 57_281),
    "fsrcnn": (12_809, 12_809, 12_809),
    "vdsr": (665_921, 665_921, 665_921),
    "carn": (1_591_939, 1_591_939, 1_591_939),
    "carn-m": (414_787, 414_787, 414_787),
    "idn": (552_769, 552_769, 552_769),
    "imdn": (694_404, 703_059, 715_176),
    "imdn-baseline": (873_164, 881_819, 893_936),
    "pan": (261_403, 261_403, 272_419),
    "rfdn": (417_212, 423_977, 433_448),
    "rfdn-c48": (534_036, 540_531, 549_624),
    "rfdn-c52": (625_962, 632_997, 642_846),
    "mfdn": (300_559, 300_559, 311_575),
    "drn": (1_927_667, 2_112_307, 2_075_379),
    "drn-plus": (17_605_043, 20_555_443, 19_965_363),
    "fdiwn": (629_176, 646_486, 663_848),
    "fdiwn-m": (433_840, 446_814, 454_648),
    "rdsrn": (647_016, 693_416, 684_136),
    "fast": (30_300, 32_475, 35_520),
    "standard": (153_388, 157_723, 163_792),
    "quality": (341_436, 347_931, 357_024),
}


@cache
def skeleton(arch: str, scale: int) -> SRModel:
    """Build a network on the meta device: its names and shapes, without values. Not to be changed."""
    with torch.device("meta"):
        return create(arch, scale).eval()


@cache
def at_720p(arch: str, scale: int) -> Profile:
    """Count a network for an output of 1280x720."""
    return profile(skeleton(arch, scale), *input_for_output(scale, 720, 1280))

"""What a training run tells: small records, in the order they happen."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Started:
    """The run is set up: what it trains on, from where, and what the user should know."""

    arch: str
    scale: int
    step: int
    pictures: int
    megapixels: float
    parameters: int
    device: str
    precision: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Progress: `loss` is the mean since the last record, `fraction` of the run done, `elapsed` s of training so far.

    `loss_name`: what the loss of this `stage` is called.
    """

    step: int
    loss: float
    lr: float
    steps_per_s: float
    elapsed: float
    fraction: float
    stage: int = 0
    loss_name: str = "l1"


@dataclass(frozen=True, slots=True)
class Validated:
    """Scores of the averaged weights on the validation folder: Y, shave = scale, LR rounded to 8 bit."""

    step: int
    psnr: float
    ssim: float
    best: bool
    elapsed: float


@dataclass(frozen=True, slots=True)
class Noted:
    """Something the user should know came up on the way."""

    text: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The run can be resumed from `path` at `step`."""

    step: int
    path: Path


Event = Started | Step | Validated | Noted | Saved

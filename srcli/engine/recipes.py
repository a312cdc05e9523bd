"""The papers' own training values (`--recipe paper`), where the papers print them."""

from typing import Any

from srcli.errors import UsageError

_EPOCH = 1000  # steps, where the paper does not say otherwise

# DIV2K, LR patches 48, batch 16, L1: what the light networks have in common
_LIGHT: dict[str, Any] = {"patch": 48, "batch": 16, "optimizer": "adam", "schedule": "step", "loss": "l1"}
# IMDN: HR patches 192 (_HR_PATCHES), Adam 2e-4 halved every 2e5 of 1e6 steps
_IMDN: dict[str, Any] = {**_LIGHT, "lr": 2e-4, "halve_every": 200_000, "steps": 1_000_000}
# DRN: Adam 1e-4 halved every 200 epochs, about 800 epochs
_DRN: dict[str, Any] = {**_LIGHT, "lr": 1e-4, "halve_every": 200 * _EPOCH, "steps": 800 * _EPOCH}
# FDIWN: Adam 2e-4 halved every 200 of 1000 epochs
_FDIWN: dict[str, Any] = {**_LIGHT, "lr": 2e-4, "halve_every": 200 * _EPOCH, "steps": 1000 * _EPOCH}
# RFDN: DIV2K, LR patches 64, batch 64 (as E-RFDN's code has it), Adam 5e-4 halved every 2e5 of 1e6 steps, L1
_RFDN: dict[str, Any] = {**_IMDN, "patch": 64, "batch": 64, "lr": 5e-4}

_PAPER: dict[str, dict[str, Any]] = {
    # NTIRE 2022 report: DIV2K, LR patches 256, batch 64, Adam 5e-4 halved every 200 epochs of 1000, smooth L1
    "mfdn": {**_FDIWN, "patch": 256, "batch": 64, "lr": 5e-4, "loss": "smooth-l1", "beta": 0.5},
    "rfdn": _RFDN,
    "rfdn-c48": _RFDN,
    "rfdn-c52": _RFDN,
    "imdn": _IMDN,
    "rdsrn": _IMDN,  # the paper says DIV2K, Adam and L1, no more
    "drn": _DRN,
    "drn-plus": {**_DRN, "steps": 300 * _EPOCH},
    "fdiwn": _FDIWN,
    "fdiwn-m": _FDIWN,
}
_HR_PATCHES = {"imdn": 192}  # px of HR, where the authors' code fixes that side and not LR's
# what the papers do not use
_PLAIN: dict[str, Any] = {
    "betas": (0.9, 0.999),
    "warmup": 0,
    "clip": 0.0,
    "ema": 0.0,
    "init": "random",
    "precision": "fp32",
}


def recipe(name: str, arch: str, scale: int | None = None) -> dict[str, Any]:
    """Return the TrainConfig values of recipe `name` for `arch`; raise UsageError where there is none.

    Without a `scale` those that hold at every scale.
    """
    if name != "paper":
        raise UsageError(f"--recipe is paper, not '{name}'")
    if arch not in _PAPER:
        raise UsageError(f"no paper's recipe is known for '{arch}'; there are {', '.join(_PAPER)}")
    values = {**_PLAIN, **_PAPER[arch]}
    if arch in _HR_PATCHES:
        del values["patch"]
        values |= {"patch": _HR_PATCHES[arch] // scale} if scale else {}
    return values

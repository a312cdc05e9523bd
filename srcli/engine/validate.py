"""How good a run's averaged weights are: their batch norm, their scores and crops to look at."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from srcli.engine.evaluate import Dataset, Protocol, read_pair, score, summarize, within
from srcli.engine.events import Validated
from srcli.engine.folders import hr_folder, list_pictures, partners, read_pictures
from srcli.engine.run import Run, Source, save_best
from srcli.engine.settings import TrainConfig
from srcli.engine.upscale import Upscaler
from srcli.errors import TrainingFailed, UserError

NORM_BATCHES = 24  # over which the averaged weights' batch-norm statistics are measured
MOST = 100.0  # dB that a picture counts at most: one restored exactly would outweigh all others
_CROPS, _CROP = 4, 48  # pictures to look at, and LR px of a side


@torch.no_grad()
def measure_norms(run: Run, patches: Source) -> None:
    """Give the averaged weights batch-norm statistics of their own, over the newest patches.

    Those of the newest weights, copied with every step, do not fit the average while the rate is high: MFDN x4 scored
    0.34 dB more with its own after 3,098 steps at a rate of 1e-3.
    """
    norms = [m for m in run.averaged.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches
        norm.train()
    turns = run.config.accumulate
    for n in range(max(run.step * turns - NORM_BATCHES, 0), run.step * turns):
        lr = run.draw(patches, *divmod(n, turns)).lr.contiguous(memory_format=torch.channels_last)
        with run.autocast():
            run.averaged(lr)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def check_validation(config: TrainConfig) -> str:
    """Raise TrainingFailed, before the run starts, where a picture cannot be scored.

    Returns a fingerprint of the pictures, the same wherever their folder lies and however it is named.
    """
    dataset, scale = _dataset(config), config.scale
    for path, pixels in read_pictures(dataset.pictures):
        if isinstance(pixels, str):
            raise TrainingFailed(f"--val: {pixels}; a score is over all pictures: mend or remove it")
        if min(pixels.shape[:2]) < 3 * scale:
            raise TrainingFailed(f"'{path}' of --val is smaller than {3 * scale} px; a score is over all pictures: remove it")
    facts = [f"{within(path, dataset.folder)} {path.stat().st_size}" for path in dataset.pictures]
    if dataset.lr_folder:
        try:
            found = partners(dataset.pictures, dataset.lr_folder, scale, dataset.folder)
            facts += [str(file.stat().st_size) for file in found]
            for path in dataset.pictures:
                read_pair(dataset, path, Protocol(scale))
        except UserError as error:
            raise TrainingFailed(f"--val-lr-dir: {error}; a score is over all pictures") from error
    return hashlib.sha256("\n".join([config.degradation, *facts]).encode()).hexdigest()


def validate(run: Run, out: Path, stopping: Callable[[], bool] = lambda: False) -> Validated | None:
    """Score the averaged weights as `srcli eval` does, in the precision of training; keep the best.

    `stopping`: asked after each picture; True gives it up, and None is returned.
    """
    protocol, dataset, upscaler, scores = Protocol(run.config.scale), _dataset(run.config), _upscaler(run), []
    for path in dataset.pictures:
        scored = score(upscaler, dataset, path, protocol)
        run.scores.exact = run.scores.exact or (scored.picture if scored.psnr > MOST else None)
        scores.append(replace(scored, psnr=min(scored.psnr, MOST)))
        if stopping():
            return None
    summary = summarize("", "", protocol, scores)
    best = run.scores.add(run.step, summary.psnr)
    result = Validated(run.step, summary.psnr, summary.ssim, best, run.elapsed)
    if best:
        save_best(run, out, scores={"val_psnr": round(result.psnr, 3), "val_ssim": round(result.ssim, 4)})
    return result


def crops(run: Run) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the names of some validation pictures with (H, W, 3) uint8 from their middle: LR enlarged, SR and HR."""
    s, dataset, upscaler = run.config.scale, _dataset(run.config), _upscaler(run)
    for path in dataset.pictures[:_CROPS]:
        lr, hr, _ = read_pair(dataset, path, Protocol(s))
        height, width = lr.shape[:2]
        top, left = (max(size - _CROP, 0) // 2 for size in (height, width))
        lr = lr[top : top + _CROP, left : left + _CROP]
        hr = hr[top * s : (top + _CROP) * s, left * s : (left + _CROP) * s]
        yield path.name, np.concatenate([lr.repeat(s, 0).repeat(s, 1), upscaler.pixels(lr), hr], 1)


def _dataset(config: TrainConfig) -> Dataset:
    """List the pictures of --val, with the folder of the LR where --val-lr-dir gives it, or how it is made."""
    assert config.val is not None
    folder, kind = hr_folder(Path(config.val)), None if config.degradation == "bicubic" else config.degradation
    return Dataset("", folder, list_pictures(folder), Path(config.val_lr_dir) if config.val_lr_dir else None, kind)


def _upscaler(run: Run) -> Upscaler:
    return Upscaler(run.averaged, device=run.ranks.device, precision=run.precision)

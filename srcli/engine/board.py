"""A training run for TensorBoard: its curves and some validation pictures. The package is an extra."""

from collections.abc import Iterable
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from srcli.engine.events import Event, Step, Validated
from srcli.errors import UserError


class Board:
    """Writes event files to a folder, from the first event on; a run that is resumed adds one.

    `step`: where the run goes on; what files of a process that was killed hold of later steps is no longer shown.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._open = import_module("torch.utils.tensorboard").SummaryWriter
        except ImportError as error:
            raise UserError("--tensorboard needs tensorboard: pip install 'srcli[tensorboard]'") from error
        self._folder = folder
        self.step = 0

    @cached_property
    def _writer(self) -> Any:
        return self._open(str(self._folder), purge_step=self.step + 1 if self.step else 0)

    def add(self, event: Event) -> None:
        """Add the point of each curve that `event` gives."""
        match event:
            case Step():
                values = {f"loss/{event.loss_name}": event.loss, "train/rate": event.lr, "train/steps_per_s": event.steps_per_s}
            case Validated():
                values = {"validation/psnr": event.psnr, "validation/ssim": event.ssim}
            case _:
                return
        for name, value in values.items():
            self._writer.add_scalar(name, value, event.step)

    def show(self, pictures: Iterable[tuple[str, np.ndarray]], step: int) -> None:
        """Add named (H, W, 3) uint8 pictures."""
        for name, pixels in pictures:
            self._writer.add_image(f"LR, SR, HR/{name}", pixels, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()

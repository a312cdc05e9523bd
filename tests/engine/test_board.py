import sys

import numpy as np
import pytest

from srcli.engine.board import Board
from srcli.engine.events import Saved, Step, Validated
from srcli.errors import UserError


def test_curves_and_pictures_are_read_back(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = Board(tmp_path / "board")
    assert not (tmp_path / "board").exists()
    board.add(Step(3, 0.25, 1e-3, 2.0, 1.5, 0.1, loss_name="mse"))
    board.add(Validated(4, 31.5, 0.9, True, 2.0))
    board.add(Saved(4, tmp_path))
    board.show([("a b.png", np.full((7, 9, 3), 200, np.uint8))], 4)
    board.close()
    read = accumulator.EventAccumulator(str(tmp_path / "board")).Reload()
    points = {name: [(e.step, e.value) for e in read.Scalars(name)] for name in read.Tags()["scalars"]}
    assert points.pop("validation/ssim") == [(4, pytest.approx(0.9))]
    assert points.pop("train/rate") == [(3, pytest.approx(1e-3))]
    assert points == {
        "loss/mse": [(3, 0.25)],
        "train/steps_per_s": [(3, 2.0)],
        "validation/psnr": [(4, 31.5)],
    }
    (tag,) = read.Tags()["images"]
    (picture,) = read.Images(tag)
    assert (picture.step, picture.width, picture.height) == (4, 9, 7)


def test_steps_that_a_killed_run_does_anew_are_read_once(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for begun, steps, lead in ((0, (1, 2, 3), 0.0), (0, (1, 2, 3), 1.0), (2, (3, 4), 2.0)):
        board = Board(tmp_path / "board")
        board.step = begun
        for step in steps:
            board.add(Step(step, lead + step / 8, 1e-3, 2.0, 1.5, 0.1))
        board.close()
    read = accumulator.EventAccumulator(str(tmp_path / "board")).Reload()
    assert [(e.step, e.value) for e in read.Scalars("loss/l1")] == [(1, 1.125), (2, 1.25), (3, 2.375), (4, 2.5)]


def test_without_the_package_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'srcli\[tensorboard\]'"):
        Board(tmp_path)

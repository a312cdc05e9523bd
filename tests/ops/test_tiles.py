import numpy as np
import pytest

from srcli.ops.tiles import plan_tiles


@pytest.mark.parametrize(("height", "width", "side"), [(37, 53, 16), (1, 200, 64), (60, 60, 60), (100, 7, 33)])
@pytest.mark.parametrize(("overlap", "phase"), [(0, 1), (5, 1), (60, 6)])
def test_tiles_give_every_px_once_and_start_in_phase(height, width, side, overlap, phase):
    given = np.zeros((height, width), int)
    for rows, columns in plan_tiles(height, width, side, overlap, phase):
        given[rows.start : rows.stop, columns.start : columns.stop] += 1
        for span, size in ((rows, height), (columns, width)):
            assert 0 <= span.first <= span.start < span.stop <= span.last <= size
            assert span.first % phase == 0
            assert span.first == 0 or span.start - span.first >= overlap
            assert span.last == size or span.last - span.stop >= overlap
    assert (given == 1).all()


def test_a_picture_no_larger_than_a_tile_is_one_tile():
    assert len(plan_tiles(37, 53, 54, 60, 6)) == 1

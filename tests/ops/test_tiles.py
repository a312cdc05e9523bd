import numpy as np
import pytest

from srcli.ops.tiles import fewest_reads, plan_tiles, split


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


def test_a_split_tile_gives_what_it_gave_and_reads_as_much_around():
    for tile in plan_tiles(100, 130, 60, 12, 6):
        parts = split(tile, 100, 130, 24, 12, 6)
        given = np.zeros((100, 130), int)
        for rows, columns in parts:
            given[rows.start : rows.stop, columns.start : columns.stop] += 1
            assert rows.first % 6 == columns.first % 6 == 0
            assert rows.first == 0 or rows.start - rows.first >= 12
            assert columns.last == 130 or columns.last - columns.stop >= 12
        expected = np.zeros((100, 130), int)
        expected[tile.rows.start : tile.rows.stop, tile.columns.start : tile.columns.stop] = 1
        np.testing.assert_array_equal(given, expected)


def test_halves_of_a_long_tile_read_less_than_it():
    tile = plan_tiles(400, 226, (31, 226), 16)[6]
    reads = [(t.rows.last - t.rows.first) * (t.columns.last - t.columns.first) for t in (tile, *split(tile, 400, 226, 113, 16))]
    assert reads == [63 * 226, 63 * 129, 63 * 129]


@pytest.mark.parametrize(("height", "width"), [(500, 500), (1000, 90), (77, 2000)])
def test_the_fewest_reads_stay_within_the_area_and_beat_squares(height, width):
    area, overlap, phase = 300 * 300, 72, 6

    def reads(side):
        tiles = [(r.last - r.first) * (c.last - c.first) for r, c in plan_tiles(height, width, side, overlap, phase)]
        return max(tiles), sum(tiles)

    most, total = reads(fewest_reads(height, width, area, overlap, phase))
    assert most <= area
    assert total <= reads(300 - 2 * overlap)[1]


def test_what_each_row_takes_besides_is_left():
    area, beside, overlap = 300 * 300, 400, 12
    rows, columns = fewest_reads(2000, 3000, area, overlap, beside=beside)
    tiles = plan_tiles(2000, 3000, (rows, columns), overlap)
    assert max((r.last - r.first) * (c.last - c.first) for r, c in tiles) <= area - rows * beside
    assert rows < fewest_reads(2000, 3000, area, overlap)[0]


def test_what_fits_is_one_tile_and_what_never_fits_is_one_phase():
    assert fewest_reads(256, 300, 256 * 300, 72, 6) == (256, 300)
    assert fewest_reads(256, 300, 10, 72, 6) == (6, 6)

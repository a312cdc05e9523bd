from contextlib import closing

import numpy as np
import pytest
import torch
from PIL import Image

from srcli.engine.data import Files, Making, Patches, Stream
from srcli.engine.evaluate import shrink
from srcli.engine.folders import list_pictures
from srcli.errors import TrainingFailed, UsageError
from tests.conftest import photograph

CPU = torch.device("cpu")


def _levels(x: torch.Tensor) -> np.ndarray:
    return (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_lr_patch_is_the_crop_of_the_whole_pictures_lr(scale):
    picture = photograph(97, 83)
    patches = Patches(scale, 8, CPU)
    patches.add(picture)
    crops = _lr_crops(picture, scale)
    drawn = _levels(patches.draw(seed=0, step=0, batch=64).lr)
    found = sum(np.ascontiguousarray(patch).tobytes() in crops for patch in drawn)
    # a value halfway between two levels may fall to either side in float32
    assert found >= 62


def test_patches_reach_the_pictures_edges():
    picture = np.full((32, 32, 3), 100, np.uint8)
    picture[0], picture[:, -1] = 255, 0
    patches = Patches(4, 8, CPU)
    patches.add(picture)
    assert (_levels(patches.draw(0, 0, 1).lr)[0].astype(int) != 100).any()
    assert patches.draw(0, 0, 1).hr.shape == (1, 3, 32, 32)


def test_patches_lie_at_any_px_of_hr():
    columns = np.broadcast_to(np.arange(120, dtype=np.uint8)[:, None], (60, 120, 3))
    patches = Patches(4, 8, CPU)
    patches.add(columns)
    first = _levels(patches.draw(0, 0, 64).hr).min(axis=(1, 2, 3))
    assert set(first % 4) == {0, 1, 2, 3}
    assert first.max() <= 120 - 32


def test_patches_of_reduced_pictures_show_more_of_them():
    slope = np.broadcast_to(np.arange(240, dtype=np.uint8)[:, None], (240, 240, 3))
    whole, reduced = Patches(2, 16, CPU), Patches(2, 16, CPU, Making(shrink=0.5))
    for patches in (whole, reduced):
        patches.add(slope)
    shown = [np.ptp(_levels(patches.draw(0, 0, 64).hr), axis=(1, 2, 3)) for patches in (whole, reduced)]
    assert set(shown[0]) == {31}
    assert (31, 59) <= (min(shown[1]), max(shown[1])) <= (32, 62)
    lr, hr, _ = reduced.draw(0, 1, 64)
    assert (torch.nn.functional.avg_pool2d(hr, 2) - lr).abs().max() < 0.01


def test_the_least_reduction_has_steps_too():
    patches = Patches(2, 8, CPU, Making(shrink=0.8))
    patches.add(np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None] * 4, (60, 60, 3)))
    assert len({int(shown) for shown in np.ptp(_levels(patches.draw(0, 0, 64).hr), axis=(1, 2, 3))}) > 4


def test_reduced_pictures_keep_their_levels():
    for level in range(256):
        patches = Patches(2, 8, CPU, Making(shrink=0.5))
        patches.add(np.full((48, 48, 3), level, np.uint8))
        assert (_levels(patches.draw(0, 0, 4).hr) == level).all()


def test_hr_and_lr_of_a_pair_show_the_same_place():
    patches = Patches(4, 12, CPU)
    patches.add(photograph(160, 160))
    lr, hr, _ = patches.draw(0, 0, 32)
    error = (torch.nn.functional.avg_pool2d(hr, 4) - lr).abs().mean(dim=(1, 2, 3))
    assert error.max() < 0.05


def test_draws_depend_on_seed_and_step_alone():
    patches = Patches(2, 8, CPU)
    patches.add(photograph(64, 64))
    first, again = patches.draw(1, 5, 4), patches.draw(1, 5, 4)
    assert torch.equal(first.lr, again.lr)
    assert torch.equal(first.hr, again.hr)
    assert not torch.equal(first.lr, patches.draw(1, 6, 4).lr)
    assert not torch.equal(first.lr, patches.draw(2, 5, 4).lr)


@pytest.mark.parametrize(("factor", "drawings"), [(1.0, 0.0), (0.6, 0.0), (1.0, 0.5)])
def test_the_parts_of_a_draw_are_the_whole_draw(factor, drawings):
    patches = Patches(2, 8, CPU, Making(shrink=factor, drawings=drawings))
    patches.add(photograph(64, 64))
    patches.add(photograph(50, 40, 1))
    whole = patches.draw(1, 5, 6)
    parts = [patches.draw(1, 5, 2, part=i, parts=3) for i in range(3)]
    assert torch.equal(torch.cat([p.lr for p in parts]), whole.lr)
    assert torch.equal(torch.cat([p.hr for p in parts]), whole.hr)


def test_drawings_lie_over_their_share_of_the_pairs_and_leave_the_others_as_they_are():
    plain, drawn = Patches(4, 12, CPU), Patches(4, 12, CPU, Making(drawings=0.25))
    for patches in (plain, drawn):
        patches.add(photograph(160, 160))
    without, batch = plain.draw(0, 0, 128), drawn.draw(0, 0, 128)
    untouched = (batch.hr == without.hr).flatten(1).all(1)
    assert 80 <= int(untouched.sum()) <= 112
    assert torch.equal(batch.lr[untouched], without.lr[untouched])
    assert (batch.lr * 255 - (batch.lr * 255).round()).abs().max() < 1e-3


def test_the_lr_of_a_drawing_is_drawn_or_made_of_its_hr():
    patches = Patches(4, 12, CPU, Making(drawings=1.0))
    patches.add(np.full((160, 160, 3), 90, np.uint8))
    lr, hr, _ = patches.draw(0, 0, 100)
    means = torch.nn.functional.avg_pool2d(hr, 4)
    apart = (means - lr).abs().flatten(1).amax(1)
    assert 20 <= int((apart < 1.5 / 255).sum()) <= 60  # anti-aliased, or hardly anything was drawn
    aliased = apart > 0.25
    colors = [len(np.unique(picture.reshape(-1, 3), axis=0)) for picture in _levels(lr[aliased])]
    assert len(colors) >= 30
    assert np.median(colors) <= 8  # inks and grounds, and nothing between them


def test_photo_degrades_drawings_as_it_does_pictures():
    made = {}
    for degradation in ("bicubic", "photo"):
        patches = Patches(2, 24, CPU, Making(degradation=degradation, drawings=1.0))
        patches.add(photograph(160, 160))
        made[degradation] = patches.draw(0, 0, 24)
    assert torch.equal(made["photo"].hr, made["bicubic"].hr)
    apart = [(torch.nn.functional.avg_pool2d(made["photo"].hr, 2) - pair.lr).abs().flatten(1).mean(1) for pair in made.values()]
    assert 0.001 < apart[1].median() < 0.06
    assert apart[1].min() > apart[0].min()  # none is left as it was drawn


def test_nothing_is_drawn_over_hr_whose_lr_is_given():
    patches = Patches(2, 8, CPU, Making(drawings=1.0))
    patches.add(np.full((64, 64, 3), 90, np.uint8), np.full((32, 32, 3), 90, np.uint8))
    assert (_levels(patches.draw(0, 0, 16).hr) == 90).all()


def test_larger_pictures_are_drawn_more_often():
    patches = Patches(2, 4, CPU)
    patches.add(np.zeros((16, 16, 3), np.uint8))
    patches.add(np.full((48, 48, 3), 255, np.uint8))
    share = patches.draw(0, 0, 400).hr.mean().item()
    assert share == pytest.approx(0.9, abs=0.05)


def test_a_patch_that_fits_no_picture_is_refused_with_the_largest_that_fits():
    patches = Patches(4, 48, CPU)
    assert not patches.add(photograph(100, 90))
    with pytest.raises(TrainingFailed, match="--patch 22"):
        patches.check(48)


def test_pictures_of_less_than_one_px_of_lr_are_said_to_be_small(tmp_path):
    Image.fromarray(photograph(3, 5)).save(tmp_path / "dot.png")
    patches = Patches(4, 48, CPU)
    patches.read([Files(tmp_path / "dot.png")])
    with pytest.raises(TrainingFailed, match="all pictures are smaller than 4 px a side, one px of LR"):
        patches.check(48)


def test_a_larger_patch_is_drawn_from_the_pictures_that_hold_it():
    patches = Patches(2, 4, CPU)
    patches.add(np.zeros((40, 16, 3), np.uint8))
    patches.add(np.full((30, 26, 3), 255, np.uint8))
    drawn = patches.draw(0, 0, 16, patch=12)
    assert drawn.lr.shape == (16, 3, 12, 12)
    assert drawn.hr.min() == 1


def test_a_given_lr_is_cut_where_the_hr_is_and_turned_with_it():
    picture = photograph(97, 83)
    made, given = Patches(4, 8, CPU), Patches(4, 8, CPU)
    made.add(picture, taught=picture[:96, :80])  # so that it is cut on the grid of LR too
    given.add(picture, shrink(picture[:96, :80], 4))
    ours, theirs = given.draw(0, 0, 16), made.draw(0, 0, 16)
    assert torch.equal(ours.hr, theirs.hr)
    # a value halfway between two levels may fall to either side in float32
    torch.testing.assert_close(ours.lr, theirs.lr, atol=1.01 / 255, rtol=0)


def test_a_teachers_sr_is_cut_where_the_hr_is_and_turned_with_it():
    patches = Patches(3, 8, CPU)
    hr = photograph(60, 90)
    assert patches.add(hr, taught=255 - hr[:60, :87])
    batch = patches.draw(0, 0, 8)
    np.testing.assert_array_equal(_levels(batch.taught), 255 - _levels(batch.hr))


@pytest.fixture
def stream(tmp_path):
    folder = tmp_path / "large"
    folder.mkdir()
    for i, (height, width) in enumerate([(150, 210), (60, 50), (301, 98)]):
        Image.fromarray(photograph(height, width, i)).save(folder / f"{i}.png")
    made = []

    def make(**more):
        made.append(Stream([Files(p) for p in list_pictures(folder)], 2, 8, CPU, mebibytes=1, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_streamed_lr_patch_is_the_crop_of_the_whole_pictures_lr(stream):
    sizes = enumerate([(150, 210), (60, 50), (301, 98)])
    crops = set[bytes]().union(*(_lr_crops(photograph(height, width, i), 2) for i, (height, width) in sizes))
    drawn = _levels(stream().draw(seed=0, step=0, batch=64).lr)
    # a value halfway between two levels may fall to either side in float32
    assert sum(np.ascontiguousarray(patch).tobytes() in crops for patch in drawn) >= 60


@pytest.fixture
def trios(tmp_path):
    """Make three pictures with an LR and an SR that tell where they are cut."""
    files = [Files(*(tmp_path / f"{n}{kind}.png" for kind in ("", "_lr", "_sr"))) for n in range(3)]
    for n, picture in enumerate(files):
        hr = photograph(161 + n, 90, seed=n)
        Image.fromarray(hr).save(picture.hr)
        Image.fromarray(hr[: len(hr) // 2 * 2 : 2, ::2]).save(picture.lr)
        Image.fromarray(255 - hr[: len(hr) // 2 * 2]).save(picture.taught)
    return files


def _source(files: list[Files], *, streamed: bool) -> Patches | Stream:
    if streamed:
        return Stream(files, 2, 8, CPU, mebibytes=1)
    patches = Patches(2, 8, CPU)
    patches.read(files)
    return patches


@pytest.mark.parametrize("streamed", [False, True])
def test_given_lr_and_sr_are_cut_where_the_hr_is(trios, streamed):
    with closing(_source(trios, streamed=streamed)) as source:
        assert len(source) == 3
        seen = set()
        for step in range(3):
            lr, hr, taught = map(_levels, source.draw(0, step, 8))
            np.testing.assert_array_equal(taught, 255 - hr)
            for small, large in zip(lr, hr, strict=True):
                # every second px, of the first or of the second: a flip changes which
                assert any(np.array_equal(small, large[y::2, x::2]) for y in (0, 1) for x in (0, 1))
                seen.add(small.tobytes())
        assert len(seen) > 12


def test_a_stream_counts_what_a_teachers_sr_takes(trios):
    with closing(Stream(trios, 2, 8, CPU, mebibytes=1)) as stream:
        assert stream._cost(8, 8) == 3 * (12 * 12 * 4 + 8 * 8 + 16 * 16)


@pytest.mark.parametrize("streamed", [False, True])
def test_of_a_picture_the_file_that_is_broken_is_named(trios, streamed):
    trios[1].taught.write_bytes(b"x")
    with closing(_source(trios, streamed=streamed)) as source:
        assert source.unreadable == ["1_sr.png"]


def test_a_stream_reduces_as_far_as_it_is_asked(tmp_path):
    path = tmp_path / "slope.png"
    Image.fromarray(np.ascontiguousarray(np.broadcast_to(np.arange(240, dtype=np.uint8)[:, None], (240, 240, 3)))).save(path)
    with closing(Stream([Files(path)], 2, 8, CPU, Making(shrink=0.2), mebibytes=4)) as stream:
        shown = np.ptp(_levels(stream.draw(0, 0, 64).hr), axis=(1, 2, 3))
    assert shown.min() < 20 and shown.max() > 70  # 15 px of HR, or 5 times as many


def test_a_stream_resumed_anywhere_draws_the_same(stream):
    whole, resumed = stream(), stream()
    batches = [whole.draw(0, step, 64) for step in range(60)]
    chapters = {whole.plan(0, chapter, 8)[0] for chapter in range(3)}
    assert len(chapters) == 3
    for step in (59, 3, 30):
        assert torch.equal(resumed.draw(0, step, 64).hr, batches[step].hr)
    parts = [resumed.draw(0, 7, 32, part=i, parts=2).hr for i in range(2)]
    assert torch.equal(torch.cat(parts), batches[7].hr)


def test_a_stream_keeps_to_its_memory_and_to_areas(stream):
    source = stream()
    plans = [source.plan(0, chapter, 8) for chapter in range(100)]
    assert all(sum(3 * 4 * (c.height + 4) * (c.width + 4) for c in plan) <= 2**19 for plan in plans)
    areas = np.zeros(3)
    for crop in (c for plan in plans for c in plan):
        areas[crop.picture] += crop.height * crop.width
    expected = np.asarray([75 * 105, 30 * 25, 150 * 49])
    assert areas / areas.sum() == pytest.approx(expected / expected.sum(), abs=0.03)


def test_a_cache_too_small_is_refused_with_the_size_it_needs(stream):
    source = stream()
    source.check(8)
    with pytest.raises(UsageError, match="--cache-mib must be at least 2 for patches of 24 px"):
        source.check(24)


def test_a_picture_that_breaks_while_streaming_is_told(stream, tmp_path):
    source = stream()
    whole = (tmp_path / "large" / "1.png").read_bytes()
    (tmp_path / "large" / "1.png").write_bytes(whole[: len(whole) // 2])
    source.draw(0, 0, 4)
    assert source.news()[0] == f"skipped: '{tmp_path / 'large' / '1.png'}' is truncated"
    assert all("1.png" in line for line in source.news())


@pytest.mark.parametrize("kind", ["hr", "lr", "taught"])
def test_a_picture_that_shrinks_while_streaming_is_told(trios, kind):
    with closing(_source(trios, streamed=True)) as source:
        shrunk = getattr(trios[1], kind)
        Image.fromarray(photograph(20, 20, 0)).save(shrunk)
        source.draw(0, 0, 4)
        assert set(source.news()) == {f"skipped: '{shrunk}' is smaller than when the run began"}


def _lr_crops(picture: np.ndarray, scale: int) -> set[bytes]:
    """List the crops of 8 px of the LR of a picture shifted by any number of HR px, in all turns."""
    height, width = (n // scale * scale for n in picture.shape[:2])
    around = np.pad(picture[:height, :width], ((2 * scale, 2 * scale), (2 * scale, 2 * scale), (0, 0)), mode="symmetric")
    crops = set()
    for y in range(scale):
        for x in range(scale):
            shifted = around[
                y : y + (height + 4 * scale - y) // scale * scale, x : x + (width + 4 * scale - x) // scale * scale
            ]
            for turned in _turns(shrink(shifted, scale)[2:-2, 2:-2]):
                windows = np.lib.stride_tricks.sliding_window_view(turned, (8, 8), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
                crops.update(window.tobytes() for row in windows for window in row)
    return crops


def _turns(picture: np.ndarray) -> list[np.ndarray]:
    turned = []
    for flipped in (picture, picture[::-1], picture[:, ::-1], picture[::-1, ::-1]):
        turned += [flipped, flipped.transpose(1, 0, 2)]
    return turned

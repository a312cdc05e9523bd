import numpy as np
import pytest
import torch
from PIL import Image

from srcli import checkpoint, zoo
from srcli.engine.tiling import half_of, made_picture, measure_tiling, network_with_weights, read_levels
from srcli.models import create
from srcli.models.base import SRModel, Tiling
from srcli.ops.tiles import plan_tiles
from tests.conftest import photograph


@pytest.fixture
def unshipped(tmp_path, monkeypatch):
    """An empty weights folder."""
    monkeypatch.setattr(zoo, "weights_folder", lambda: tmp_path)
    zoo._verify.cache_clear()
    return tmp_path


class Greedy(SRModel):
    """Adds the mean of what it sees, and claims to need no more than the pixel itself."""

    arch = "bicubic"
    tiling = Tiling("local", 0)

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x, window=None):
        return x / 2 + x.mean((2, 3), keepdim=True) / 2


@pytest.mark.parametrize("name", ["bicubic", "fsrcnn", "imdn"])
def test_tiles_of_local_and_pooling_networks_do_not_deviate(name):
    (found,) = measure_tiling([network_with_weights(name, 2)])
    assert (found.model, found.scale) == (name, 2)
    assert found.largest <= 1  # a tie between two levels may fall to either side
    assert found.share <= 0.0002
    assert found.tiles >= 4
    assert found.tile + found.overlap < min(found.picture)


def test_a_network_that_claims_too_small_an_overlap_is_found_out():
    pixels = photograph()
    pixels[:, 26:] = 255
    (found,) = measure_tiling([(Greedy(), "none")], pixels)
    assert found.largest > 20
    assert found.share > 0.9


def test_the_share_is_that_of_all_values():
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[0, 0, 0] = 255  # the first of four tiles alone has a mean of red, 255 / 400 / 2, that rounds up
    (found,) = measure_tiling([(Greedy(), "none")], picture)
    assert (found.tile, found.tiles) == (20, 4)
    assert (found.largest, found.share) == (0, 0.0)
    picture[:4, :4, 0] = 255  # a mean of 255 * 16 / 400 / 2 = 5.1 in that tile, of 1.3 in the whole
    (found,) = measure_tiling([(Greedy(), "none")], picture)
    assert (found.largest, found.share) == (4, pytest.approx(1 / 3))


@pytest.mark.parametrize(("height", "width", "phase"), [(37, 53, 1), (208, 218, 6), (2, 9, 1), (61, 61, 6), (13, 40, 6)])
def test_half_of_a_picture_cuts_it_into_2x2_or_more(height, width, phase):
    side = half_of(height, width, phase)
    assert side % phase == 0
    plan = plan_tiles(height, width, side, 0, phase)
    assert len({tile.rows for tile in plan}) >= 2
    assert len({tile.columns for tile in plan}) >= 2


def test_without_shipped_weights_the_network_starts_as_interpolation_where_it_can(unshipped):
    for name, start in (("fast", "fresh"), ("fsrcnn", "random")):  # of which no such start is known
        model, weights = network_with_weights(name, 3)
        again, _ = network_with_weights(name, 3)
        assert (weights, model.scale, model.training) == (start, 3, False)
        torch.testing.assert_close(model.state_dict(), again.state_dict())
    assert network_with_weights("bicubic")[1] == "none"


def test_shipped_weights_and_files_are_taken(unshipped):
    model = create("fsrcnn", 2)
    path = unshipped / "fsrcnn_x2.safetensors"
    checkpoint.save(path, model, checkpoint.card_of(model))
    (unshipped / "SHA256SUMS").write_text(f"{zoo.hash_of(path)}  {path.name}\n")
    for reference in ("fsrcnn", "FSRCNN", str(path)):
        found, weights = network_with_weights(reference, 2)
        assert weights == "trained"
        torch.testing.assert_close(found.state_dict(), model.state_dict())


def test_weights_that_are_named_are_those_that_are_measured(tmp_path):
    model = create("rfdn", 4)
    checkpoint.save(tmp_path / "best.safetensors", model, checkpoint.card_of(model))
    for reference, expected in (("rfdn-photo", zoo.open_model("rfdn-photo", 4)[0]), (str(tmp_path), model)):
        found, weights = network_with_weights(reference, 4)
        assert weights == "trained"
        torch.testing.assert_close(found.state_dict(), expected.state_dict())
    assert network_with_weights("fsrcnn_x2")[1] == "random"
    assert network_with_weights("rfdn_x2")[1] == "trained"


def test_the_made_picture_is_the_same_each_time():
    assert np.array_equal(made_picture(37, 53), made_picture(37, 53))
    assert (made_picture(37, 53).shape, made_picture(37, 53).dtype) == ((37, 53, 3), np.uint8)


def test_a_picture_of_16_bit_is_read_in_8(tmp_path):
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    Image.fromarray(levels).save(tmp_path / "deep.png")
    assert np.array_equal(read_levels(tmp_path / "deep.png")[..., 0], levels // 257)

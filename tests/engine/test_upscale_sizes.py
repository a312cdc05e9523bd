import numpy as np
import pytest
import torch

from srcli import checkpoint
from srcli.engine.resizer import Resizer, open_networks, passes, resampled
from srcli.engine.upscale import Upscaler
from srcli.errors import UsageError
from srcli.media.animation import Animation, Frame
from srcli.media.picture import Picture
from srcli.models import create
from srcli.ops.pixels import to_array, to_tensor
from srcli.ops.resize import resize, resize_strips
from tests.conftest import photograph


@pytest.fixture(scope="module")
def resizer():
    return Resizer({4: Upscaler(create("bicubic", 4), precision="fp32")})


@pytest.mark.parametrize(
    ("factor", "scales", "chain"),
    [
        (4, {4}, (4,)),
        (3, {4}, (4,)),
        (3, {2, 3, 4}, (3,)),
        (2.5, {2, 3, 4}, (3,)),
        (8, {4}, (4, 4)),
        (8, {2, 4}, (4, 2)),
        (16, {2}, (2, 2, 2, 2)),
        (1, {4}, ()),
        (0.5, {4}, ()),
    ],
)
def test_the_fewest_and_smallest_networks_reach_a_factor(factor, scales, chain):
    assert passes(factor, scales) == chain


def test_the_folder_of_a_run_stands_for_its_one_network_at_every_factor(tmp_path):
    model = create("fsrcnn", 4)
    checkpoint.save(tmp_path / "best.safetensors", model, checkpoint.card_of(model))
    for reference in (str(tmp_path), str(tmp_path / "best.safetensors")):
        for scale, several in ((None, True), (2, False), (2.5, False), (8, False)):
            assert [m.scale for m in open_networks(reference, scale, several=several)] == [4]


def test_a_factor_out_of_reach_is_refused():
    with pytest.raises(UsageError, match="x17 cannot be reached with x2"):
        passes(17, [2])


@pytest.mark.parametrize(("height", "width"), [(37, 53), (90, 31), (300, 200), (11, 7)])
def test_strips_equal_the_resampling_of_the_whole(height, width):
    x = to_tensor(photograph(150, 99))
    strips = list(resize_strips(lambda a, b: x[..., a:b, :], (150, 99), height, width))
    torch.testing.assert_close(torch.cat([rows for _, rows in strips], -2), resize(x, height, width))
    assert [top for top, _ in strips] == list(range(0, height, 128))


def test_a_network_of_x4_gives_x3_by_resampling(resizer):
    picture = Picture(photograph())
    out, _ = resizer(picture, (111, 159))
    large = to_tensor(resizer.upscalers[4].pixels(picture.pixels))
    np.testing.assert_array_equal(out.pixels, to_array(resize(large, 111, 159)))


def test_a_network_is_repeated_for_more_and_progress_ends_at_one(resizer):
    told: list[float] = []
    out, _ = resizer(Picture(photograph(9, 7)), (72, 56), told.append)
    assert out.pixels.shape == (72, 56, 3)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)


def test_the_own_scale_is_not_resampled(resizer, monkeypatch):
    monkeypatch.setattr("srcli.engine.resizer.resize_strips", None)
    out, precision = resizer(Picture(photograph()), (148, 212))
    assert (out.pixels.shape, precision) == ((148, 212, 3), "fp32")


def test_a_smaller_result_needs_no_network(resizer):
    out, precision = resizer(Picture(photograph()), (10, 14))
    assert (out.pixels.shape, precision) == ((10, 14, 3), None)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_resampling_keeps_depth_and_constant_alpha(dtype):
    one = 1 if dtype == "float32" else np.iinfo(dtype).max
    alpha = np.full((37, 53), 0.3 * one).astype(dtype)
    out = resampled(Picture((photograph() / 255 * one).astype(dtype), alpha), 20, 31)
    assert (out.pixels.dtype, out.alpha.dtype) == (dtype, dtype)
    np.testing.assert_allclose(out.alpha, alpha[0, 0], rtol=1e-6)


def test_resampled_colour_comes_from_what_is_visible():
    pixels, alpha = np.full((30, 30, 3), 200, np.uint8), np.full((30, 30), 255, np.uint8)
    pixels[:, 15:], alpha[:, 15:] = 0, 0
    out = resampled(Picture(pixels, alpha), 20, 20)
    assert out.pixels[:, :10].min() == 200


def test_a_frame_equal_to_the_one_before_takes_its_result(resizer, monkeypatch):
    one, two = (Frame(photograph(9, 11, seed), None, 10.0 * seed) for seed in (1, 2))
    honest, calls = Upscaler.pixels, []

    def counted(self, pixels, *more):
        calls.append(pixels)
        return honest(self, pixels, *more)

    monkeypatch.setattr(Upscaler, "pixels", counted)
    again = one._replace(pixels=one.pixels.copy(), duration=30.0)
    out, _ = resizer.animation(Animation(Picture(one.pixels), [one, again, two, one], 0), (36, 44))
    assert len(calls) == 3
    assert [frame.duration for frame in out.frames] == [10.0, 30.0, 20.0, 10.0]
    np.testing.assert_array_equal(out.frames[2].pixels, honest(resizer.upscalers[4], two.pixels))


def texture(height: int = 24, width: int = 36) -> np.ndarray:
    """Make a texture that goes on at its other side, and has nothing there that its inside has not."""
    y, x = np.mgrid[:height, :width] * 2 * np.pi
    waves = [128 + 60 * np.sin(3 * x / width + c) + 50 * np.cos(2 * y / height + 2 * c) for c in range(3)]
    return np.stack(waves, -1).astype(np.uint8)


@pytest.mark.parametrize("size", [(96, 144), (72, 108), (60, 91), (12, 18)])
def test_a_wrapped_texture_is_the_middle_of_an_endless_one(resizer, size):
    seamless = Resizer(resizer.upscalers, edge="wrap")
    out, _ = seamless(Picture(texture()), size)
    endless, _ = resizer(Picture(np.tile(texture(), (3, 3, 1))), (3 * size[0], 3 * size[1]))
    middle = endless.pixels[size[0] : 2 * size[0], size[1] : 2 * size[1]]
    np.testing.assert_allclose(out.pixels.astype(int), middle, atol=1)  # rounding of phases


@pytest.mark.parametrize("size", [(48, 72), (36, 54)])
def test_a_wrapped_texture_has_no_seam(size):
    torch.manual_seed(0)
    rfdn = create("rfdn", 2)
    rfdn.start_as_upsampler()
    out, _ = Resizer({2: Upscaler(rfdn, precision="fp32")}, edge="wrap")(Picture(texture()), size)
    for axis in (0, 1):
        tiled = np.concatenate([out.pixels, out.pixels], axis).astype(int)
        steps = np.abs(np.diff(tiled, axis=axis)).max(axis=(1 - axis, 2))
        seam = size[axis] - 1
        assert steps[seam] <= np.delete(steps, seam).max()


def test_wrapped_alpha_goes_on_too(resizer):
    alpha = texture()[..., 0]
    out, _ = Resizer(resizer.upscalers, edge="wrap")(Picture(texture(), alpha), (96, 144))
    plain, _ = Resizer(resizer.upscalers, edge="wrap")(Picture(alpha[..., None]), (96, 144))
    np.testing.assert_array_equal(out.alpha, plain.pixels[..., 0])

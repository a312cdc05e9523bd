import numpy as np
import pytest
import tifffile
from PIL import Image

from srcli.engine import pipeline
from srcli.engine.pipeline import upscale_files
from srcli.engine.upscale import Upscaler
from srcli.media.jobs import plan_jobs
from srcli.models import create
from tests.conftest import photograph


@pytest.fixture(scope="module")
def rfdn():
    model = create("rfdn", 2, channels=12, blocks=2)
    model.start_as_upsampler()
    return model


@pytest.fixture
def streamed(monkeypatch):
    monkeypatch.setattr(pipeline, "STREAM_FROM", 1)
    used = []
    honest = pipeline._stream

    def stream(*args):
        used.append(args[1].source)
        return honest(*args)

    monkeypatch.setattr(pipeline, "_stream", stream)
    return used


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", ["tiff", "png"])
def test_a_streamed_picture_equals_one_taken_whole(tmp_path, rfdn, streamed, channels, dtype, suffix):
    pixels = photograph(90, 110)[..., :channels].astype(dtype)
    if dtype == np.uint16:
        pixels *= 257
    tifffile.imwrite(
        tmp_path / "in.tiff", pixels.squeeze(), photometric="rgb" if channels == 3 else "minisblack", rowsperstrip=8
    )
    upscaler = Upscaler(rfdn, precision="fp32", tile=36)
    [done] = upscale_files(upscaler, plan_jobs([str(tmp_path / "in.tiff")], tmp_path / f"out.{suffix}", scale=2))
    assert (done.error, len(streamed)) == (None, 1)
    assert (done.width, done.height) == (220, 180)
    expected = upscaler.pixels(pixels).squeeze()
    written = tifffile.imread(tmp_path / "out.tiff") if suffix == "tiff" else _png(tmp_path / "out.png", expected.shape)
    np.testing.assert_array_equal(written, expected)


def test_alpha_is_streamed_with_colour_bled_under_it(tmp_path, rfdn, streamed):
    pixels = np.concatenate([photograph(80, 70), np.zeros((80, 70, 1), np.uint8)], -1)
    pixels[20:60, 10:50, 3] = 200
    tifffile.imwrite(tmp_path / "in.tiff", pixels, photometric="rgb", extrasamples=["unassalpha"], rowsperstrip=16)
    upscaler = Upscaler(rfdn, precision="fp32", tile=36)
    [done] = upscale_files(upscaler, plan_jobs([str(tmp_path / "in.tiff")], tmp_path / "out.tiff", scale=2))
    assert (done.error, len(streamed)) == (None, 1)
    written = tifffile.imread(tmp_path / "out.tiff").astype(int)
    colors = upscaler.pixels(pixels[..., :3], alpha=pixels[..., 3]).astype(int)
    np.testing.assert_array_equal(written[..., 3:], upscaler.pixels(pixels[..., 3:]))
    assert np.abs(written[..., :3] - colors).max() <= 2  # colour is rounded once more before the network


def test_small_pictures_of_one_shape_share_a_pass_and_differ_in_nothing(tmp_path, rfdn, monkeypatch):
    for i in range(5):
        Image.fromarray(photograph(40, 48 if i < 4 else 44, seed=i)).save(tmp_path / f"{i}.png")
    upscaler = Upscaler(rfdn, precision="fp32")
    shared = []
    honest = Upscaler.several

    def several(self, pictures, *args, **more):
        shared.append(len(pictures))
        return honest(self, pictures, *args, **more)

    monkeypatch.setattr(Upscaler, "several", several)
    done = list(upscale_files(upscaler, plan_jobs([str(tmp_path)], tmp_path / "out", scale=2)))
    assert [d.error for d in done] == [None] * 5
    assert shared == [4, 1]
    for i in range(5):
        alone = upscaler.pixels(np.array(Image.open(tmp_path / f"{i}.png"))).astype(int)
        together = np.asarray(Image.open(done[i].output)).astype(int)
        assert np.abs(alone - together).max() <= 1  # kernels may sum in another order
        assert (alone != together).mean() < 0.001


def test_a_broken_file_between_small_ones_fails_alone(tmp_path, rfdn):
    for i in range(3):
        Image.fromarray(photograph(40, 48, seed=i)).save(tmp_path / f"{i}.png")
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    done = list(upscale_files(Upscaler(rfdn), plan_jobs([str(tmp_path)], tmp_path / "out", scale=2)))
    assert [d.status for d in done] == ["done", "failed", "done"]


def test_the_times_of_the_stages_are_told(tmp_path, rfdn):
    Image.fromarray(photograph(60, 60)).save(tmp_path / "in.png")
    [done] = upscale_files(Upscaler(rfdn), plan_jobs([str(tmp_path / "in.png")], None, scale=2))
    assert done.seconds > 0
    assert done.decode >= 0
    assert done.encode >= 0


def _png(path, shape):
    import imageio.v3 as iio

    deep = path.read_bytes()[24] == 16
    if not deep:
        return np.asarray(Image.open(path))
    return iio.imread(path, plugin="pyav", extension=".png", index=0, format="rgb48le" if len(shape) == 3 else "gray16le")

import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from srcli.engine import memory, pipeline
from srcli.engine.pipeline import upscale_files
from srcli.engine.runner import Runner
from srcli.engine.upscale import Upscaler
from srcli.media.picture import Picture
from srcli.media.planning import plan_jobs
from srcli.models import create
from tests.conftest import photograph

PEAK = """
import sys
from pathlib import Path
from srcli.cli import app

try:
    app(["upscale", *sys.argv[1:], "--quiet"])
except SystemExit as end:
    if end.code:
        raise
# not getrusage: its record begins with what the parent held
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
"""


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

    def stream(*args, **more):
        used.append(args[1].source)
        return honest(*args, **more)

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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colors", [1, 3])
def test_alpha_is_streamed_with_colour_bled_under_it(tmp_path, rfdn, streamed, colors, dtype):
    pixels = np.concatenate([photograph(80, 70)[..., :colors], np.zeros((80, 70, 1), np.uint8)], -1).astype(dtype)
    pixels[20:60, 10:50, -1] = 200
    pixels *= np.iinfo(dtype).max // 255
    photometric = "rgb" if colors == 3 else "minisblack"
    tifffile.imwrite(
        tmp_path / "in.tiff",
        pixels,
        photometric=photometric,
        planarconfig="contig",
        extrasamples=["unassalpha"],
        rowsperstrip=16,
    )
    upscaler = Upscaler(rfdn, precision="fp32", tile=36)
    [done] = upscale_files(upscaler, plan_jobs([str(tmp_path / "in.tiff")], tmp_path / "out.tiff", scale=2))
    assert (done.error, len(streamed)) == (None, 1)
    written = tifffile.imread(tmp_path / "out.tiff").astype(int)
    whole = upscaler(Picture(pixels[..., :-1], pixels[..., -1]))
    assert np.abs(written - np.dstack([whole.pixels, whole.alpha])).max() <= 1  # kernels may sum in another order


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_picture_read_whole_is_written_in_bands_too(tmp_path, rfdn, streamed, dtype):
    pixels = photograph(90, 110)
    if dtype == np.uint8:
        Image.fromarray(pixels).save(tmp_path / "in", "PNG")
    else:
        pixels = pixels.astype(np.float32) / 255
        tifffile.imwrite(tmp_path / "in", pixels, photometric="rgb")
    upscaler = Upscaler(rfdn, precision="fp32", tile=36)
    [done] = upscale_files(upscaler, plan_jobs([str(tmp_path / "in")], tmp_path / "out.tiff", scale=2))
    assert (done.error, len(streamed)) == (None, 1)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tiff"), upscaler.pixels(pixels))


def test_alpha_that_needs_no_pass_is_not_streamed(tmp_path, rfdn, streamed):
    Image.fromarray(photograph(40, 50)).convert("RGBA").save(tmp_path / "in.png")
    [done] = upscale_files(Upscaler(rfdn), plan_jobs([str(tmp_path / "in.png")], tmp_path / "out.png", scale=2))
    assert (done.error, streamed) == (None, [])
    assert Image.open(tmp_path / "out.png").getextrema()[3] == (255, 255)


@pytest.mark.parametrize("channels", [3, 4])
def test_what_is_left_of_a_streamed_picture_goes_on_in_smaller_tiles(rfdn, monkeypatch, channels):
    pixels = np.concatenate([photograph(130, 150), photograph(130, 150, seed=1)], -1)[..., :channels]
    upscaler = Upscaler(rfdn, precision="fp32", tile=72)
    expected = np.concatenate(list(upscaler.bands(lambda a, b: pixels[a:b], pixels.shape, pixels.dtype, "fp32")))
    honest, given = Runner._tile, []

    def failing(self, x, tile, *args):
        if len(given) == 1 and tile.rows.stop - tile.rows.start > 36:
            raise torch.OutOfMemoryError("out of memory")
        given.append(tile)
        return honest(self, x, tile, *args)

    monkeypatch.setattr(Runner, "_tile", failing)
    bands = list(upscaler.bands(lambda a, b: pixels[a:b], pixels.shape, pixels.dtype, "fp32"))
    assert np.abs(np.concatenate(bands).astype(int) - expected).max() <= 1
    assert len(given) == len(set(given)) > 6


def test_tiles_leave_room_for_the_bands_of_a_streamed_picture(rfdn, monkeypatch):
    limit, promised, per_px = 48 * 2**20, 4 * 2**20, 500
    monkeypatch.setattr(memory, "held_bytes", lambda: 0)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**40)
    upscaler = Upscaler(rfdn, precision="fp32", memory=limit)
    upscaler.runner._bytes_per_px["fp32"] = per_px
    reads, asked, bands = [], [], []

    def tile(self, x, tile, *args):
        reads.append(x.shape[-2] * x.shape[-1])
        return torch.zeros(1, 3, 2 * (tile.rows.stop - tile.rows.start), 2 * (tile.columns.stop - tile.columns.start))

    def rows(start, stop):
        asked.append(np.zeros((stop - start, 4000, 3), np.uint8).nbytes)
        return np.zeros((stop - start, 4000, 3), np.uint8)

    monkeypatch.setattr(Runner, "_tile", tile)
    for band in upscaler.bands(rows, (2000, 4000, 3), np.dtype(np.uint8), "fp32", promised=promised):
        bands.append(band.nbytes)
    assert sum(bands) == 2 * 2000 * 2 * 4000 * 3
    assert promised + 2 * max(bands) + max(asked) + per_px * max(reads) <= limit


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's record of the peak is Linux'")
@pytest.mark.parametrize(("flags", "most"), [([], 1400), (["--max-memory", "900M"], 900)])
def test_the_memory_of_a_streamed_picture_is_bounded_whatever_its_height(tmp_path, flags, most):
    """8,192 px wide, as the gigapixel of benchmarks/gigapixel.py; the results have 105 and 210 megapixels."""
    peaks = []
    for height in (800, 1600):
        row = np.arange(8192 * 3, dtype=np.uint8).reshape(1, 8192, 3)
        pixels = np.broadcast_to(row, (height, 8192, 3))
        tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="rgb", tile=(256, 256))
        command = [sys.executable, "-c", PEAK, tmp_path / "in.tif", "-o", tmp_path / "out.tif", "--exists", "overwrite", *flags]
        run = subprocess.run([*command, "-m", "standard", "-s", "4"], capture_output=True, text=True, check=True)
        peaks.append(int(run.stdout.split()[-1]) / 1024)
        with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
            assert (tiff.is_bigtiff, tiff.pages.first.shape) == (True, (4 * height, 32768, 3))
    assert max(peaks) < most
    assert peaks[1] - peaks[0] < 100


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


def test_small_pictures_that_share_no_pass_have_a_precision_each(tmp_path, rfdn, monkeypatch):
    for i in range(4):
        Image.fromarray(photograph(40, 48, seed=i)).save(tmp_path / f"{i}.png")
    seen = []
    monkeypatch.setattr(Upscaler, "choose", lambda self, *pictures: seen.append(1) or ("bf16" if len(seen) % 2 else "fp32"))
    done = list(upscale_files(Upscaler(rfdn), plan_jobs([str(tmp_path)], tmp_path / "out", scale=1.5)))
    assert [d.precision for d in done] == ["bf16", "fp32", "bf16", "fp32"]


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

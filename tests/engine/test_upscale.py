from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from srcli.engine.device import DTYPES
from srcli.engine.evaluate import shrink
from srcli.engine.pipeline import upscale_files
from srcli.engine.resizer import Resizer, resampled
from srcli.engine.runner import Runner, in_color
from srcli.engine.upscale import Agreement, Upscaler
from srcli.errors import DeviceUnavailable, DiskFull
from srcli.media.picture import Picture
from srcli.media.planning import plan_jobs
from srcli.media.write import write_image
from srcli.models import ARCHS, create
from srcli.ops.color import rgb_to_ycbcr
from srcli.ops.pixels import to_tensor
from srcli.ops.resize import resize
from srcli.zoo import open_file, open_model
from tests.conftest import photograph
from tests.engine.test_edges import words


@pytest.fixture(scope="module")
def rfdn():
    torch.manual_seed(0)
    model = create("rfdn", 2)
    model.start_as_upsampler()
    return model


@pytest.fixture(scope="module")
def bicubic():
    return create("bicubic", 4)


@pytest.mark.parametrize(("arch", "file"), [("rfdn", "RFDN_AIM.pth"), ("mfdn", "MFDN_ntire2022.pth")])
def test_tiled_equals_whole_on_a_real_picture(data, arch, file):
    model = open_file(data / "checkpoints" / file, 4)[0]
    assert model.arch == arch
    with Image.open(data / "val" / "kodak24" / "1.png") as image:
        pixels = np.array(image)[:60, :260]  # wider than a tile with its overlaps
    whole = Upscaler(model, precision="fp32", tile=0).pixels(pixels).astype(int)
    tiled = Upscaler(model, precision="fp32", tile=64).pixels(pixels).astype(int)
    assert np.abs(whole - tiled).max() <= 1
    assert (whole != tiled).mean() <= 0.0002


def test_tiles_of_a_local_network_equal_the_whole(bicubic):
    x = photograph().astype(np.float32) / 255
    np.testing.assert_allclose(Upscaler(bicubic, tile=16).pixels(x), Upscaler(bicubic, tile=0).pixels(x), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 5), (1, 23), (40, 3), (14, 15), (37, 53)])
@pytest.mark.parametrize("tile", [0, 32])
def test_any_size_comes_out_scale_times_as_large(rfdn, height, width, tile):
    assert Upscaler(rfdn, precision="fp32", tile=tile).pixels(photograph(height, width)).shape == (2 * height, 2 * width, 3)


def test_a_small_picture_is_extended_by_its_edge(rfdn):
    gray = np.full((5, 5, 3), 90, np.uint8)
    inner = Upscaler(rfdn, precision="fp32").pixels(gray)[:6, :6]
    larger = Upscaler(rfdn, precision="fp32").pixels(np.full((15, 15, 3), 90, np.uint8))[:6, :6]
    np.testing.assert_array_equal(inner, larger)


def test_gray_stays_gray_and_16_bit_stays_16_bit(rfdn):
    pixels = photograph()[..., :1].astype(np.uint16) * 257
    out = Upscaler(rfdn, precision="fp32").pixels(pixels)
    assert (out.shape, out.dtype) == ((74, 106, 1), np.dtype(np.uint16))
    assert len(np.unique(out)) > 256


def test_gray_in_three_channels_comes_out_as_in_one():
    torch.manual_seed(0)
    upscaler = Upscaler(create("fast", 2), precision="fp32", tile=24)  # untrained: its three channels differ
    color = photograph()
    gray = color[..., :1].repeat(3, 2)
    expected = upscaler.pixels(gray[..., :1]).repeat(3, 2)
    beside = upscaler.several([gray, color])
    bands = upscaler.bands(lambda first, last: gray[first:last], gray.shape, gray.dtype, "fp32")
    np.testing.assert_array_equal(beside[0], expected)
    np.testing.assert_array_equal(beside[1], upscaler.pixels(color))
    np.testing.assert_array_equal(np.concatenate(list(bands)), expected)


@pytest.mark.parametrize("tile", [0, 16])
def test_a_flat_edge_keeps_its_colour_and_a_photograph_what_the_network_gives(tile):
    upscaler = Upscaler(open_model("standard", 2)[0], precision="fp32", tile=tile)
    flat, photo = np.full((37, 53, 3), (200, 30, 60), np.uint8), photograph()
    flat[12:, 20:] = photo[12:, 20:]
    out = upscaler.pixels(flat)
    for edge in (out[:12], out[:, :12]):
        assert (edge == out[0, 0]).all()
    assert np.abs(out[0, 0].astype(int) - flat[0, 0]).max() <= 1
    with torch.inference_mode():
        given = in_color(upscaler.model, to_tensor(photo))
    out = to_tensor(upscaler.pixels(photo.astype(np.float32) / 255))
    torch.testing.assert_close(out, given.clamp(0, 1), atol=1e-5, rtol=0)


def test_the_edge_of_a_flat_colour_that_a_network_changes_is_as_its_middle():
    model = open_model("mfdn", 2)[0]
    blue = np.zeros((48, 48, 3), np.uint8)
    blue[..., 2] = 255
    out = Upscaler(model, precision="fp32").pixels(blue).astype(int)
    assert np.abs(out - out[48, 48]).max() <= 1
    assert np.abs(out[48, 48] - blue[0, 0]).max() > 10


def test_many_flat_colours_take_neither_more_memory_than_a_tile_nor_memory_for_good(monkeypatch):
    monkeypatch.setattr("srcli.engine.runner._KEPT", 100)
    at_work = Runner(create("fast", 2), device=torch.device("cpu"), precision="fp32")
    give, passes = at_work._give, []
    monkeypatch.setattr(at_work, "_give", lambda x, *more: passes.append(len(x)) or give(x, *more))
    colors = torch.rand(90, 3, generator=torch.Generator().manual_seed(0))
    first, again, other = (at_work._plain(some) for some in (colors, colors[:30], 1 - colors))
    assert passes == 2 * [16, 16, 16, 16, 16, 10]
    torch.testing.assert_close(again, first[:30], atol=0, rtol=0)
    with torch.inference_mode():
        squares = (1 - colors)[..., None, None].expand(-1, -1, 32, 32)
        torch.testing.assert_close(other, at_work.model(squares)[..., 32, 32], atol=1e-5, rtol=0)
    held = at_work._known.values()
    assert len(held) <= 100
    assert max(kept.untyped_storage().nbytes() for kept in held) <= 16 * 3 * 4


def test_a_gray_frame_after_a_coloured_one_has_no_tint_of_it():
    torch.manual_seed(0)
    gray = photograph(64, 96)[..., :1].repeat(3, 2)
    logo = gray.copy()
    logo[4:12, 4:12] = (255, 0, 0)
    model = create("fast", 2)
    upscaler = Upscaler(model, precision="fp32", tile=32)
    upscaler.remembers = True
    upscaler.several([gray, logo])
    np.testing.assert_array_equal(upscaler.several([gray])[0], Upscaler(model, precision="fp32", tile=32).several([gray])[0])


def test_constant_alpha_stays_constant_and_other_alpha_is_upscaled(bicubic):
    upscaler = Upscaler(bicubic)
    constant = Picture(photograph(), np.full((37, 53), 77, np.uint8))
    assert (upscaler(constant).alpha == 77).all()
    ramp = np.tile(np.arange(53, dtype=np.uint8) * 4, (37, 1))
    alpha = upscaler(Picture(photograph(), ramp)).alpha
    np.testing.assert_array_equal(alpha, upscaler.pixels(ramp[..., None])[..., 0])


def test_colour_under_transparency_does_not_darken_the_edge(bicubic):
    pixels, alpha = np.full((30, 30, 3), 200, np.uint8), np.full((30, 30), 255, np.uint8)
    pixels[:, 15:], alpha[:, 15:] = 0, 0
    out = Upscaler(bicubic)(Picture(pixels, alpha))
    assert out.pixels[:, :60].min() == 200


@pytest.mark.parametrize("backdrop", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("way", ["network", "ensemble", "bands", "size"])
def test_a_drawing_and_its_shadow_are_what_they_are_over_any_backdrop(bicubic, way, backdrop):
    light, alpha = np.full((40, 40, 3), 0.2, np.float32), np.full((40, 40), 0.3, np.float32)
    light[8:30, 10:26], alpha[8:30, 10:26] = 0.8, 0.8  # light, and a dark shadow around; nothing overshoots
    light[19, 10:26] = 0.5  # a line over all of it
    picture = Picture((255 * light + 0.5).astype(np.uint8), (255 * alpha + 0.5).astype(np.uint8))

    def shown(picture):
        color, cover = picture.pixels / 255, picture.alpha[..., None] / 255
        return color * cover + (1 - cover) * backdrop

    if way == "bands":
        joined = np.dstack([picture.pixels, picture.alpha])
        [out] = Upscaler(bicubic).bands(lambda first, last: joined[first:last], (40, 40, 4), joined.dtype, "fp32")
        out = Picture(out[..., :3], out[..., 3])
    elif way == "size":
        out = resampled(picture, 160, 160)
    else:
        out = Upscaler(bicubic, ensemble=way == "ensemble")(picture)
    near = to_tensor(shown(picture).astype(np.float32))
    expected = resize(near, 160, 160)
    low, high = (sign * F.interpolate(F.max_pool2d(sign * near, 3, 1, 1), scale_factor=4) for sign in (-1, 1))
    given = to_tensor(shown(out).astype(np.float32))  # overshoot is another matter
    error = (given.clamp(low, high) - expected.clamp(low, high)).abs()
    assert error.max() < 0.05  # 0.075 of straight colours
    assert error.mean() < 0.001  # 0.0034


@pytest.mark.parametrize("way", ["network", "ensemble", "bands", "size"])
def test_a_channel_of_its_own_leaves_colour_as_it_is_without_it(bicubic, way):
    picture = Picture(photograph(40, 40), np.kron(np.eye(4, dtype=np.uint8), np.full((10, 10), 255, np.uint8)))
    plain = replace(picture, alpha=None)
    upscaler = Upscaler(bicubic, ensemble=way == "ensemble", separate=True)
    if way == "bands":
        joined = np.dstack([picture.pixels, picture.alpha])
        [out] = upscaler.bands(lambda first, last: joined[first:last], (40, 40, 4), joined.dtype, "fp32")
        out, expected = Picture(out[..., :3], out[..., 3]), upscaler(plain)
    elif way == "size":
        (out, _), (expected, _) = (Resizer({4: upscaler})(p, (100, 100)) for p in (picture, plain))
    else:
        out, expected = upscaler(picture), upscaler(plain)
    np.testing.assert_array_equal(out.pixels, expected.pixels)
    assert np.ptp(out.alpha) == 255
    assert not out.notes


@pytest.mark.parametrize("way", ["network", "bands"])
def test_empty_canvas_stays_empty_and_colours_stay_those_of_the_picture(bicubic, way):
    pixels, alpha = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8)
    pixels[10:30, 12:28], alpha[10:30, 12:28] = (40, 200, 60), 255
    pixels[18:22, 12:28] = (30, 120, 40)
    if way == "bands":
        joined = np.dstack([pixels, alpha])
        [out] = Upscaler(bicubic).bands(lambda first, last: joined[first:last], (40, 40, 4), joined.dtype, "fp32")
        out = Picture(out[..., :3], out[..., 3])
    else:
        out = Upscaler(bicubic)(Picture(pixels, alpha))
    seen = np.argwhere(out.alpha)
    assert (seen.min(0) >= (36, 44)).all()
    assert (seen.max(0) < (124, 116)).all()
    assert (out.alpha[44:116, 52:108] == 255).all()
    beside = out.pixels[(out.alpha > 0) & (out.alpha < 128)]
    assert (beside.min(0) >= (30, 120, 40)).all()
    assert (beside.max(0) <= (40, 200, 60)).all()


def test_colour_that_is_made_up_is_said(bicubic):
    pixels, alpha = photograph(40, 40), np.full((40, 40), 255, np.uint8)
    alpha[:20] = 0
    [note] = Upscaler(bicubic)(Picture(pixels, alpha)).notes
    assert note == "colour under fully transparent px is made up from what is around; --separate-alpha keeps it"
    pixels[:20] = 7
    assert not Upscaler(bicubic)(Picture(pixels, alpha)).notes


def test_bf16_is_taken_only_where_a_probe_proves_it(rfdn, monkeypatch):
    monkeypatch.setattr("srcli.engine.runner.fast_precision", lambda device: "bf16")
    assert Upscaler(rfdn).choose(np.full((40, 40, 3), 128, np.uint8)) == "bf16"
    coarse = create("rfdn", 2)
    coarse.load_state_dict(rfdn.state_dict())
    with torch.no_grad():
        coarse.fuse.bias += 300.0  # bf16 has 8 bits: near 300 its steps are 2
    assert Upscaler(coarse).choose(photograph()) == "fp32"
    exact = Upscaler(coarse, precision="fp32").pixels(photograph())
    np.testing.assert_array_equal(Upscaler(coarse).pixels(photograph()), exact)


def test_fp16_on_the_cpu_is_refused_with_what_to_use(rfdn):
    with pytest.raises(DeviceUnavailable, match="bf16 or fp32"):
        Upscaler(rfdn, precision="fp16")


def test_interpolation_says_that_it_is_in_float32():
    upscaler = Upscaler(create("bicubic", 2), precision="bf16")
    assert upscaler.precision == upscaler.choose(photograph()) == "fp32"


def test_a_tile_that_is_not_finite_is_redone_in_float32(rfdn, monkeypatch):
    upscaler = Upscaler(rfdn, precision="bf16", tile=32)
    exact = Upscaler(rfdn, precision="fp32", tile=32).pixels(photograph())
    honest = Runner._tile

    def overflowing(self, x, tile, size, precision):
        out = honest(self, x, tile, size, precision)
        return out * float("inf") if precision == "bf16" else out

    monkeypatch.setattr(Runner, "_tile", overflowing)
    np.testing.assert_array_equal(upscaler.pixels(photograph()), exact)


def test_running_out_of_memory_halves_the_tile(bicubic, monkeypatch):
    whole = Upscaler(bicubic).pixels(photograph(150, 170))
    honest, sides = Runner._tile, []

    def limited(self, x, tile, size, precision):
        if x.shape[-2] > 90:
            raise torch.OutOfMemoryError("out of memory")
        sides.append(x.shape[-2])
        return honest(self, x, tile, size, precision)

    monkeypatch.setattr(Runner, "_tile", limited)
    np.testing.assert_array_equal(Upscaler(bicubic).pixels(photograph(150, 170)), whole)
    assert max(sides) <= 90


def test_the_ensemble_averages_eight_views(bicubic, rfdn):
    pixels = photograph()
    np.testing.assert_allclose(
        Upscaler(bicubic, ensemble=True).pixels(pixels).astype(int), Upscaler(bicubic).pixels(pixels), atol=1
    )
    turned = Upscaler(rfdn, precision="fp32", ensemble=True).pixels(np.ascontiguousarray(pixels[::-1]))[::-1]
    np.testing.assert_allclose(Upscaler(rfdn, precision="fp32", ensemble=True).pixels(pixels).astype(int), turned, atol=1)


def test_progress_ends_at_one(bicubic):
    told: list[float] = []
    Upscaler(bicubic, tile=16)(Picture(photograph()), told.append)
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) == 12


def test_a_luma_network_keeps_colour_by_bicubic():
    class Twice(torch.nn.Module):
        channels, scale = 1, 2

        def forward(self, x, window=None):
            return create("bicubic", 2)(x)

    x = to_tensor(photograph())
    torch.testing.assert_close(in_color(Twice(), x), create("bicubic", 2)(x), atol=1e-5, rtol=0)


def test_a_broken_file_does_not_stop_the_rest(bicubic, folder, tmp_path):
    (folder / "a broken one.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    jobs = plan_jobs([folder], tmp_path / "out", scale=4)
    records = list(upscale_files(Upscaler(bicubic), jobs))
    assert [r.status for r in records] == ["failed", "done", "done", "done"]
    assert "a broken one.png" in records[0].error
    for record in records[1:]:
        with Image.open(record.output) as image:
            assert image.size == (record.width, record.height)


def test_fail_fast_ends_after_the_first_failure(bicubic, folder, tmp_path):
    (folder / "a.png").write_bytes(b"x")
    records = list(upscale_files(Upscaler(bicubic), plan_jobs([folder], tmp_path / "out", scale=4), fail_fast=True))
    assert [r.status for r in records] == ["failed"]


@pytest.mark.parametrize(
    ("without_room", "stops", "status"),
    [
        ({0, 2}, True, ["failed", "done", "failed"]),  # larger than the others, it may be
        ({0, 1}, True, ["failed", "failed"]),
        ({0, 1}, False, ["failed", "failed", "done"]),
    ],
)
def test_a_full_disk_ends_the_work_where_it_has_no_room_for_two_in_a_row(
    bicubic, folder, tmp_path, monkeypatch, without_room, stops, status
):
    jobs = plan_jobs([folder], tmp_path / "out", scale=4)
    full = {jobs[number].target for number in without_room}

    def write(picture: Picture, path: Path, **options: object) -> tuple[str, ...]:
        if path in full:
            raise DiskFull("no room")
        return write_image(picture, path, **options)

    monkeypatch.setattr("srcli.engine.pipeline.write_image", write)
    assert [done.status for done in upscale_files(Upscaler(bicubic), jobs, until_full=stops)] == status


def test_the_lr_of_a_picture_upscales_to_its_size(bicubic):
    hr = photograph(40, 56)
    assert Upscaler(bicubic).pixels(shrink(hr, 4)).shape == hr.shape


def test_the_model_given_stays_as_it_is():
    model = create("rdsrn", 2, recursions=1).train()
    before = list(model.state_dict())
    Upscaler(model, precision="fp32").pixels(photograph(16, 16))
    assert list(model.state_dict()) == before
    assert model.training


@pytest.mark.parametrize("arch", [name for name in ARCHS if name != "drn-plus"])
def test_every_network_takes_pictures_and_their_alpha(arch):
    ramp = np.tile(np.arange(19, dtype=np.uint8), (17, 1))
    out = Upscaler(create(arch, 2))(Picture(photograph(17, 19), ramp))
    assert out.pixels.shape == (34, 38, 3)
    assert out.alpha.shape == (34, 38)


def test_what_is_left_goes_on_in_smaller_tiles_when_memory_runs_out_midway(bicubic, monkeypatch):
    pixels = photograph(200, 200)
    expected = Upscaler(bicubic, tile=100).pixels(pixels)
    honest, given = Runner._tile, []

    def failing(self, x, tile, size, precision):
        if tile.rows.start >= 100 and x.shape[-1] > 100:
            raise torch.OutOfMemoryError("out of memory")
        given.append((tile.rows.start, tile.columns.start))
        return honest(self, x, tile, size, precision)

    monkeypatch.setattr(Runner, "_tile", failing)
    np.testing.assert_array_equal(Upscaler(bicubic, tile=100).pixels(pixels), expected)
    assert given[:2] == [(0, 0), (0, 100)]  # done before, and not again
    assert len(given) == len(set(given)) == 10


def test_a_network_with_statistics_measures_the_whole_again_in_smaller_tiles(monkeypatch):
    model = create("imdn", 2, blocks=2)
    pixels = photograph(90, 90)
    expected = Upscaler(model, precision="fp32", tile=45).pixels(pixels)
    honest = Runner._tile

    def failing(self, x, tile, size, precision):
        if tile.rows.stop - tile.rows.start > 45:
            raise torch.OutOfMemoryError("out of memory")
        return honest(self, x, tile, size, precision)

    monkeypatch.setattr(Runner, "_tile", failing)
    result = Upscaler(model, precision="fp32", tile=0).pixels(pixels)
    assert np.abs(result.astype(int) - expected).max() <= 1


def test_memory_that_ran_out_is_remembered_for_the_next_picture_of_that_size(bicubic, monkeypatch):
    upscaler, honest, failed = Upscaler(bicubic, tile=0), Runner._tile, []

    def limited(self, x, tile, size, precision):
        if max(x.shape[-2:]) > 90:
            failed.append(x.shape)
            raise torch.OutOfMemoryError("out of memory")
        return honest(self, x, tile, size, precision)

    monkeypatch.setattr(Runner, "_tile", limited)
    monkeypatch.setattr("srcli.engine.runner._STAYS_SHRUNK", 3)
    first = upscaler.pixels(photograph(150, 170))
    assert len(failed) == 1
    for _ in range(3):
        np.testing.assert_array_equal(upscaler.pixels(photograph(150, 170)), first)
    assert len(failed) == 1
    upscaler.pixels(photograph(150, 170))
    assert len(failed) == 2  # what took the memory might have gone


def test_statistics_that_are_not_finite_are_measured_again_in_float32(monkeypatch):
    model = create("imdn", 2, blocks=2)
    exact = Upscaler(model, precision="fp32", tile=45).pixels(photograph(90, 90))
    monkeypatch.setitem(DTYPES, "bf16", torch.float16)  # the format that overflows
    upscaler = Upscaler(model, precision="bf16", tile=45)
    hook = next(m for m in upscaler.model.modules() if isinstance(m, torch.nn.Conv2d)).register_forward_hook(
        lambda module, inputs, out: out * 1e4 * 1e4 if out.dtype == torch.float16 else out
    )
    np.testing.assert_array_equal(upscaler.pixels(photograph(90, 90)), exact)
    hook.remove()
    assert upscaler.runner.taken().redone > 0


@pytest.mark.parametrize("arch", ["vdsr", "srcnn"])
def test_colour_is_computed_in_float32_whatever_the_network_computes_in(arch):
    model = create(arch, 2)
    model.start_as_upsampler()
    whole, fast = (Runner(model, device=torch.device("cpu"), precision=p) for p in ("fp32", "bf16"))
    x = torch.rand(1, 3, 24, 30, generator=torch.Generator().manual_seed(0))
    exact, near = whole.whole(x, "fp32"), fast.whole(x, "bf16")
    colour = rgb_to_ycbcr(exact)[:, 1:] - rgb_to_ycbcr(near)[:, 1:]
    assert colour.abs().max() < 1e-4  # a level is 4e-3
    assert near.dtype == torch.float32


def test_a_photograph_proves_photographs_and_nothing_drawn(rfdn, monkeypatch):
    monkeypatch.setattr("srcli.engine.runner.fast_precision", lambda device: "bf16")
    upscaler, probes = Upscaler(rfdn), []
    honest = Upscaler.probe

    def probe(self, pixels):
        probes.append(pixels.shape)
        return honest(self, pixels)

    monkeypatch.setattr(Upscaler, "probe", probe)
    flat, photo = np.full((40, 40, 3), 128, np.uint8), photograph(100, 120)
    upscaler.choose(flat)  # whatever agrees there says nothing
    assert [upscaler.choose(photo) for _ in range(3)] == ["bf16"] * 3
    assert (len(probes), probes[1]) == (2, (96, 96, 3))
    assert upscaler.agreement.ample
    upscaler.choose(photo, flat)
    assert len(probes) == 3


def test_text_after_a_photograph_is_as_exact_as_alone(rfdn, monkeypatch):
    monkeypatch.setattr("srcli.engine.runner.fast_precision", lambda device: "bf16")
    upscaler, text = Upscaler(rfdn), words()
    monkeypatch.setattr(Upscaler, "probe", lambda self, pixels: Agreement(99.0 if pixels.shape[0] == 70 else 40.0, 1.0))
    assert upscaler.choose(photograph(70, 80)) == "bf16"
    assert upscaler.choose(text) == "fp32"
    assert upscaler.choose(photograph(70, 80), photograph(70, 80)) == "bf16"


def test_the_ensemble_keeps_16_bits_and_floats(bicubic):
    for pixels in (photograph().astype(np.uint16) * 257, photograph().astype(np.float32) / 255):
        out = Upscaler(bicubic, ensemble=True).pixels(pixels)
        plain = Upscaler(bicubic).pixels(pixels)
        assert out.dtype == pixels.dtype
        np.testing.assert_allclose(out.astype(float), plain.astype(float), atol=2 if pixels.dtype == np.uint16 else 1e-5)


@pytest.mark.slow
def test_a_compiled_network_gives_the_same(rfdn):
    pixels = photograph(60, 70)
    compiled = Upscaler(rfdn, precision="fp32", compile=True, tile=36)
    assert compiled.runner.not_compiled is None
    plain = Upscaler(rfdn, precision="fp32", tile=36).pixels(pixels)
    assert np.abs(compiled.pixels(pixels).astype(int) - plain).max() <= 1


def test_without_a_compiler_it_goes_on_and_says_why(rfdn, monkeypatch):
    monkeypatch.setattr("srcli.engine.compiler._lacks", lambda device: "no compiler here")
    upscaler = Upscaler(rfdn, precision="fp32", compile=True)
    assert upscaler.runner.not_compiled == "no compiler here"
    np.testing.assert_array_equal(upscaler.pixels(photograph()), Upscaler(rfdn, precision="fp32").pixels(photograph()))


def test_tiles_that_read_the_same_are_taken_over_and_differ_in_nothing(bicubic):
    first = photograph(200, 230)
    second = first.copy()
    second[150:170, 180:200] = 255 - second[150:170, 180:200]
    fresh, remembering = (Resizer({4: Upscaler(bicubic, tile=48)}) for _ in range(2))
    with remembering.remembering():
        for frame in (first, second, second):
            expected, _ = fresh(Picture(frame), (800, 920))
            result, _ = remembering(Picture(frame), (800, 920))
            np.testing.assert_array_equal(result.pixels, expected.pixels)
    assert fresh.spared == 0
    assert 25 < (spared := remembering.spared) < 50  # all 25 of the third frame, and those far from the change
    for _ in range(2):
        remembering(Picture(second), (800, 920))
    assert remembering.spared == spared  # what follows is no video


def test_other_sizes_and_statistics_are_computed_anew():
    imdn = Upscaler(create("imdn", 2, channels=16, blocks=2), precision="fp32", tile=24)
    imdn.remembers = True
    pixels = photograph(48, 60)
    first = imdn.pixels(pixels)
    np.testing.assert_array_equal(imdn.pixels(pixels), first)
    assert imdn.pixels(pixels[:40]).shape == (80, 120, 3)
    assert imdn.runner.spared == 0

"""srcli from Python: every kind of picture comes back as the kind it was."""

import io
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps

import srcli
from srcli.checkpoint import card_of
from srcli.engine import memory
from srcli.engine.runner import Runner
from srcli.errors import DeviceUnavailable, UsageError, WeightsNotFound
from srcli.models import create
from tests.conftest import HEIGHT, WIDTH, photograph


@pytest.fixture(scope="module")
def up() -> srcli.Upscaler:
    return srcli.load("bicubic", scale=2, device="cpu")


def test_importing_srcli_does_not_import_torch():
    code = "import sys, srcli; dir(srcli); print([m for m in ('torch', 'numpy', 'PIL', 'huggingface_hub') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_public_names_are_these():
    assert srcli.__all__ == ["Model", "Upscaler", "__version__", "load"]
    assert set(srcli.__all__) <= set(dir(srcli))
    with pytest.raises(AttributeError, match="no attribute 'unknown'"):
        srcli.unknown  # noqa: B018


def test_a_shipped_network_is_what_the_program_runs():
    from srcli.engine.upscale import Upscaler
    from srcli.media.picture import Picture
    from srcli.zoo import open_model

    picture = photograph()
    expected = Upscaler(open_model("mfdn", 4)[0], precision="fp32")(Picture(picture)).pixels
    np.testing.assert_array_equal(srcli.load("mfdn", 4, device="cpu", precision="fp32")(picture), expected)


@pytest.mark.parametrize(
    ("mode", "out"),
    [("L", "L"), ("LA", "LA"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("1", "L"), ("P", "RGB"), ("I;16", "I;16"), ("F", "F")],
)
def test_a_pil_image_comes_back_in_its_mode(up, mode, out):
    image = Image.fromarray(photograph())
    match mode:
        case "I;16":
            image = Image.fromarray(photograph()[..., 0].astype(np.uint16) * 257)
        case "F":
            image = Image.fromarray(photograph()[..., 0].astype(np.float32) / 255)
        case _:
            image = image.convert(mode)
    result = up(image)
    assert (result.mode, result.size) == (out, (2 * WIDTH, 2 * HEIGHT))


def test_transparency_of_any_kind_becomes_alpha(up):
    palette = Image.fromarray(photograph()).convert("P")
    palette.info["transparency"] = 0
    assert up(palette).mode == "RGBA"
    gray = Image.fromarray(photograph()[..., 0])
    gray.info["transparency"] = int(gray.getpixel((0, 0)))
    assert up(gray).mode == "LA"
    assert "transparency" not in up(gray).info


def test_transparency_without_a_mode_of_its_own_is_refused_and_not_lost(up):
    deep = Image.fromarray(photograph()[..., 0].astype(np.uint16) * 257)
    deep.info["transparency"] = 0
    with pytest.raises(ValueError, match=r"16-bit gray with a transparent level"):
        up(deep)


def test_a_pil_image_keeps_its_profile_and_is_not_changed(up):
    image = Image.fromarray(photograph())
    image.info["icc_profile"] = b"profile"
    before = image.tobytes()
    assert up(image).info == {"icc_profile": b"profile"}
    assert image.tobytes() == before


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float16", "float32", "float64"])
def test_an_array_comes_back_in_its_shape_and_dtype(up, channels, dtype):
    rgba = np.concatenate([photograph(), photograph(seed=1)[..., :1]], 2)
    array = rgba[..., 0] if channels is None else rgba[..., :channels]
    largest = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    array = (array * (largest / 255)).astype(dtype)
    array.flags.writeable = False
    result = up(array)
    assert (result.shape, result.dtype) == ((2 * HEIGHT, 2 * WIDTH, *array.shape[2:]), np.dtype(dtype))


def test_every_kind_gives_the_same_picture(up):
    picture = photograph()
    expected = up(picture)
    np.testing.assert_array_equal(np.asarray(up(Image.fromarray(picture))), expected)
    turned = up(picture[::-1, ::-1])[::-1, ::-1].astype(int)  # negative strides
    assert (turned != expected).mean() < 0.001  # a tie may round the other way
    assert np.abs(turned - expected).max() <= 1
    floats = up(picture / 255)
    np.testing.assert_allclose(floats, expected / 255, atol=0.5 / 255 + 1e-6)  # half a level of rounding
    tensor = up(torch.from_numpy(picture / 255).permute(2, 0, 1))
    np.testing.assert_array_equal(tensor.permute(1, 2, 0).numpy(), floats)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tensors_come_back_in_their_shape_and_dtype(up, dtype, channels):
    x = torch.rand(2, channels, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    batch, single = up(x), up(x[1])
    assert (batch.shape, batch.dtype) == ((2, channels, 2 * HEIGHT, 2 * WIDTH), dtype)
    assert not batch.requires_grad
    torch.testing.assert_close(batch[1], single, rtol=0, atol=0)


@pytest.mark.gpu
def test_a_tensor_returns_to_its_device(up):
    assert up(torch.rand(3, HEIGHT, WIDTH, device="cuda")).device.type == "cuda"


@pytest.mark.parametrize(
    ("image", "error", "text"),
    [
        ([[0, 1]], TypeError, "a PIL image, a numpy array or a torch tensor, not list"),
        ("photo.jpg", TypeError, "not str; open the file first: PIL.Image.open"),
        (np.zeros((4, 4), np.int64), TypeError, "not int64"),
        (np.zeros((4, 4), bool), TypeError, "not bool"),
        (np.zeros((4, 4, 5), np.uint8), ValueError, r"not \(4, 4, 5\)"),
        (np.zeros((0, 4), np.uint8), ValueError, "not empty"),
        (np.full((4, 4), 255.0), ValueError, "from 255 to 255"),
        (np.full((4, 4), np.nan), ValueError, "hold nan"),
        (np.zeros((3, 7, 9), np.uint8), ValueError, r"not \(3, 7, 9\); move the channels: numpy.moveaxis\(a, 0, -1\)"),
        (torch.zeros(1, 7, 9, 3), ValueError, r"not \(1, 7, 9, 3\); move the channels: x.movedim\(-1, -3\)"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), TypeError, "not torch.uint8"),
        (torch.zeros(4, 4), ValueError, r"not \(4, 4\)"),
        (torch.zeros(0, 3, 4, 4), ValueError, "not empty"),
        (torch.full((3, 4, 4), -1.0), ValueError, "from -1 to -1"),
        (Image.new("CMYK", (4, 4)), ValueError, "mode 'CMYK'"),
    ],
)
def test_what_is_no_picture_is_refused(up, image, error, text):
    with pytest.raises(error, match=text):
        up(image)


@pytest.mark.parametrize(("dtype", "mode"), [(">u2", "I;16B"), ("<u2", "I;16")])
def test_16_bits_come_back_in_either_byte_order(up, dtype, mode):
    levels = photograph()[..., 0].astype(np.uint16) * 257
    result = up(Image.fromarray(levels.astype(dtype)))
    assert result.mode == mode
    np.testing.assert_array_equal(np.asarray(result).astype(np.uint16), up(levels))


@pytest.mark.parametrize(("mode", "advice"), [("I", "as an array"), ("La", "'LA'"), ("RGBa", "'RGBA'"), ("HSV", "'RGB'")])
def test_a_mode_that_is_not_taken_names_what_loses_nothing(up, mode, advice):
    with pytest.raises(ValueError, match=f"mode '{mode}' are not supported; .*{advice}"):
        up(Image.new(mode, (4, 4)))


def test_threads_that_share_a_pooling_network_take_turns():
    torch.manual_seed(0)
    model = create("imdn", 2, channels=16)
    shared = srcli.Upscaler(model, card_of(model), device=torch.device("cpu"), precision="fp32", tile=32)
    pictures = [photograph(64, 64, seed) for seed in range(4)]
    expected = [shared(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        for got, alone in zip(pool.map(shared, pictures), expected, strict=True):
            np.testing.assert_array_equal(got, alone)


@pytest.mark.parametrize("arch", ["rdsrn", "standard"])
def test_an_upscaler_goes_to_other_processes(arch):
    model = create(arch, 2)
    up = srcli.Upscaler(model, card_of(model), device=torch.device("cpu"), precision="fp32")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(up))(photograph(20, 20)), up(photograph(20, 20)))


def test_loading_leaves_the_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    srcli.load("mfdn", 4)
    assert torch.equal(torch.rand(1), expected)


def test_what_the_program_holds_takes_nothing_from_the_network(monkeypatch):
    up, tiles = srcli.load("bicubic", scale=2, device="cpu"), []
    run = Runner.run

    def counted(self, *arguments, **options):
        for done in run(self, *arguments, **options):
            tiles.append(1)
            yield done

    monkeypatch.setattr(Runner, "run", counted)
    held = memory.held_bytes
    monkeypatch.setattr(memory, "held_bytes", lambda: held() + 3 * 2**30)  # of pictures that came after loading
    up(np.zeros((300, 300, 3), np.uint8))
    assert len(tiles) == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"precision": "float16"}, "the precision is auto, fp32, bf16, fp16, not 'float16'"),
        ({"tile": "64"}, "not '64'"),
        ({"tile": 2.5}, "not 2.5"),
        ({"tile": -5}, "not -5"),
        ({"tile": 1}, "at least 16 px"),
        ({"tile": True}, "not True"),
        ({"scale": 0}, "a whole number from 1 to 16, not 0"),
        ({"scale": 2.5}, "a whole number from 1 to 16, not 2.5"),
        ({"scale": "x"}, "not 'x'"),
    ],
)
def test_options_that_are_none_are_refused_when_loading(options, text):
    with pytest.raises(UsageError, match=text):
        srcli.load("mfdn", device="cpu", **options)


def test_what_cannot_be_loaded_says_why(tmp_path):
    with pytest.raises(WeightsNotFound, match="did you mean 'rfdn'"):
        srcli.load("rdfn")
    with pytest.raises(WeightsNotFound, match="no weights file"):
        srcli.load(tmp_path / "none.safetensors")
    with pytest.raises(UsageError, match="no x7"):
        srcli.load("bicubic", scale=7)
    with pytest.raises(DeviceUnavailable, match="no device is called"):
        srcli.load("bicubic", device="quantum")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_photograph_comes_out_upright(orientation):
    upscaler = srcli.load("bicubic", 2, device="cpu")
    photo = Image.fromarray(photograph(20, 30))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = orientation, "Camera"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.ExifImageWidth: 30, ExifTags.Base.ExifImageHeight: 20}
    file = io.BytesIO()
    photo.save(file, "PNG", exif=exif)
    with Image.open(file) as image:
        image.info["xmp"] = b'exif:PixelXDimension="30"'
        result = upscaler(image)
        expected = upscaler(np.asarray(ImageOps.exif_transpose(image)))
    np.testing.assert_array_equal(np.asarray(result), expected)
    kept = Image.Exif()
    kept.load(result.info["exif"])
    assert (kept[ExifTags.Base.Orientation], kept[ExifTags.Base.Make]) == (1, "Camera")
    assert tuple(kept.get_ifd(ExifTags.IFD.Exif).values()) == result.size
    assert result.info["xmp"] == b'exif:PixelXDimension="%d"' % result.width


def test_a_tensor_of_another_order_is_refused_as_it_is():
    with pytest.raises(ValueError, match=r"C 1 to 4, not \(64, 48, 3\)"):
        srcli.load("bicubic", 2)(torch.rand(64, 48, 3))


def test_what_torch_makes_by_default_changes_nothing():
    expected = srcli.load("standard", 2, device="cpu", precision="fp32")(photograph())
    torch.set_default_dtype(torch.float64)
    try:
        found = srcli.load("standard", 2, device="cpu", precision="fp32")(photograph())
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found, expected)

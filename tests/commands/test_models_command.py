"""Shipped weights are listed and checked; the authors' files become ours."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from srcli import checkpoint, zoo
from srcli.models import create
from tests.conftest import photograph
from tests.program import srcli

SCORES = [
    {"dataset": "Set5", "pictures": 5, "psnr": 37.8, "ssim": 0.9597, "protocol": "Y"},
    {"dataset": "kodak24", "pictures": 24, "psnr": 33.1, "ssim": 0.9, "protocol": "Y"},
]


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A weights folder of fsrcnn x2 with scores and fsrcnn-photo x4 without."""
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.manual_seed(0)
    for name, scale, scores in (("fsrcnn_x2", 2, SCORES), ("fsrcnn_x4-photo", 4, [])):
        model = create("fsrcnn", scale)
        card = replace(checkpoint.card_of(model), licence="MIT", scores=scores)
        checkpoint.save(folder / f"{name}.safetensors", model, card)
    sums = [f"{zoo.hash_of(p)}  {p.name}\n" for p in sorted(folder.glob("*.safetensors"))]
    (folder / "SHA256SUMS").write_text("".join(sums))
    monkeypatch.setattr(zoo, "weights_folder", lambda: folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nothing cached"))
    zoo._verify.cache_clear()
    return folder


@pytest.fixture
def authors(tmp_path) -> Path:
    """A file as CARN-M's authors save it: one for all scales, under their names."""
    from tests.test_foreign import imitation

    torch.save({"params": imitation("carn_m.pth")}, tmp_path / "carn_m.pth")
    return tmp_path / "carn_m.pth"


def test_the_list_has_every_shipped_file_and_its_scores(shipped):
    rows = [line.split() for line in srcli("models", "list").stdout.splitlines()]
    assert rows[1] == [
        "fsrcnn",
        "shipped",
        "x2",
        "FSRCNN",
        "(56,",
        "12,",
        "4)",
        "0.05",
        "37.80/0.9597",
        "-",
        "33.10/0.9000",
        "MIT",
    ]
    assert rows[2] == ["fsrcnn-photo", "shipped", "x4", "FSRCNN", "(56,", "12,", "4)", "0.05", "-", "-", "-", "MIT"]


def test_the_list_as_json_has_scores_licence_and_path(shipped):
    first, second = srcli("models", "list", "--json").records
    assert first == {
        "name": "fsrcnn",
        "place": "shipped",
        "scale": 2,
        "label": "FSRCNN (56, 12, 4)",
        "bytes": (shipped / "fsrcnn_x2.safetensors").stat().st_size,
        "scores": SCORES,
        "licence": "MIT",
        "path": str(shipped / "fsrcnn_x2.safetensors"),
    }
    assert (second["name"], second["scores"]) == ("fsrcnn-photo", [])


def test_nothing_shipped_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "weights_folder", lambda: tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nothing cached"))
    listed = srcli("models", "list")
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert "no weights ship" in listed.stderr
    assert srcli("models", "verify").exit_code == 1


def test_info_prints_the_card(shipped):
    lines = srcli("models", "info", "fsrcnn", "-s", 2).stdout.splitlines()
    assert lines == [
        "licence:     MIT",
        "network:     FSRCNN (56, 12, 4) (fsrcnn)",
        "scale:       x2",
        "parameters:  12,809",
        f"tiles:       local, overlap {create('fsrcnn', 2).tiling.overlap} px",
        f"file:        {shipped / 'fsrcnn_x2.safetensors'}",
        f"sha256:      {zoo.hash_of(shipped / 'fsrcnn_x2.safetensors')}",
        "Set5:        37.800 dB, 0.9597  (Y)",
        "kodak24:     33.100 dB, 0.9000  (Y)",
    ]
    (record,) = srcli("models", "info", shipped / "fsrcnn_x2.safetensors", "--json").records
    assert (record["arch"], record["scale"], record["parameters"], record["scores"]) == ("fsrcnn", 2, 12_809, SCORES)


def test_info_says_what_there_is_and_no_more(tmp_path):
    assert srcli("models", "info", "bicubic", "-s", 2).stdout.startswith("network:     Bicubic (MATLAB) (bicubic)\n")
    model = create("fsrcnn", 2)
    card = checkpoint.card_of(model, training={"steps": 3, "minutes": None, "stage": [], "finish": 0.0})
    checkpoint.save(tmp_path / "w.safetensors", model, card)
    assert "\ntraining:    steps=3, finish=0.0\n" in srcli("models", "info", tmp_path / "w.safetensors").stdout


def test_info_says_in_words_what_weights_were_averaged_with(tmp_path):
    model = create("fsrcnn", 2)
    training = {"steps": 3, "averaged_with": [{"steps_done": 3619, "minutes_done": 105.0, "share": 0.25}]}
    checkpoint.save(tmp_path / "w.safetensors", model, checkpoint.card_of(model, training=training))
    printed = srcli("models", "info", tmp_path / "w.safetensors").stdout
    assert (
        "\ntraining:    steps=3\na mean:      a share of 0.25 is of an earlier run, 3,619 steps in 105.0 minutes\n" in printed
    )


def test_whole_files_pass_verification(shipped):
    result = srcli("models", "verify")
    assert (result.exit_code, result.stdout) == (0, "fsrcnn_x2.safetensors: ok\nfsrcnn_x4-photo.safetensors: ok\n")


def test_damaged_missing_and_unlisted_files_fail_verification(shipped):
    content = bytearray((shipped / "fsrcnn_x2.safetensors").read_bytes())
    content[-1] ^= 1
    (shipped / "fsrcnn_x2.safetensors").write_bytes(content)
    (shipped / "fsrcnn_x4-photo.safetensors").rename(shipped / "fsrcnn_x3.safetensors")
    result = srcli("models", "verify", "--json")
    assert result.exit_code == 1
    assert [(r["file"], r["ok"]) for r in result.records] == [
        ("fsrcnn_x2.safetensors", False),
        ("fsrcnn_x3.safetensors", False),
        ("fsrcnn_x4-photo.safetensors", False),
    ]
    reasons = result.stderr.splitlines()
    assert [text in line for text, line in zip(("is damaged", "is not listed", "is missing"), reasons, strict=True)] == [
        True
    ] * 3


def test_the_authors_file_becomes_ours(authors, tmp_path):
    out = tmp_path / "ours.safetensors"
    result = srcli("models", "convert", authors, "-m", "carn-m", "-s", 3, "-o", out)
    assert (result.exit_code, result.stdout) == (0, f"{out}  carn-m x3\n"), result.stderr
    card = checkpoint.read_card(out)
    assert (card.arch, card.scale, card.source, card.licence) == ("carn-m", 3, "carn_m.pth", "the authors'")
    theirs, _ = zoo.open_model(str(authors), 3)
    torch.testing.assert_close(zoo.open_model(str(out))[0].state_dict(), theirs.state_dict())


@pytest.mark.parametrize("named", [(), ("-m", "rfdn")])
def test_bare_tensors_and_our_own_files_convert_unchanged(tmp_path, named):
    torch.manual_seed(0)
    model, out = create("rfdn", 2), tmp_path / "out.safetensors"
    torch.save(model.state_dict(), tmp_path / "bare.pth")
    checkpoint.save(tmp_path / "own.safetensors", model, checkpoint.card_of(model, licence="mit", training={"steps": 3}))
    run = dict.fromkeys(checkpoint.RUN) | {"config": {"arch": "rfdn", "scale": 2}, "step": 3, "elapsed": 6.0}
    torch.save(run | {"averaged": model.state_dict()}, tmp_path / "last.pt")
    checkpoint.save(tmp_path / "best.safetensors", model, checkpoint.card_of(model, training={"steps": 3}))
    files = {"bare.pth": "the authors'", "own.safetensors": "mit", "last.pt": "", "best.safetensors": ""}
    for name, licence in files.items():
        result = srcli("models", "convert", tmp_path / name, *named, "-o", out, "--overwrite")
        assert result.exit_code == 0, result.stderr
        converted, card = checkpoint.load(out)
        torch.testing.assert_close(converted.state_dict(), model.state_dict(), rtol=0, atol=0)
        assert (card.source, card.licence) == (name, licence)


def test_an_existing_file_is_replaced_only_when_asked(authors, tmp_path):
    out = tmp_path / "ours.safetensors"
    out.write_bytes(b"precious")
    refused = srcli("models", "convert", authors, "-m", "carn-m", "-s", 2, "-o", out)
    assert refused.exit_code == 1
    assert "--overwrite" in refused.stderr
    assert out.read_bytes() == b"precious"
    assert srcli("models", "convert", authors, "-m", "carn-m", "-s", 2, "-o", out, "--overwrite").exit_code == 0
    assert checkpoint.read_card(out).scale == 2


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["{file}", "-m", "carn", "-s", "2", "-o", "out.safetensors"], 1, "is of 'carn-m', not of 'carn'"),
        (["{file}", "-m", "crn", "-o", "out.safetensors"], 2, "did you mean 'carn'"),
        (["{file}", "-m", "carn-m", "-o", "out.pth"], 2, "a .safetensors file, not 'out.pth'"),
        (["{file}", "-m", "carn-m", "-s", "2", "-o", "no folder/out.safetensors"], 1, "no folder 'no folder'"),
        (["none.pth", "-m", "carn-m", "-o", "out.safetensors"], 1, "no weights file 'none.pth'"),
    ],
)
def test_what_cannot_be_converted_is_said_in_one_line(authors, tmp_path, monkeypatch, arguments, code, text):
    monkeypatch.chdir(tmp_path)
    result = srcli("models", "convert", *(a.replace("{file}", str(authors)) for a in arguments))
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (code, "", 1), result.output
    assert text in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["carn_m.pth"]


def test_an_exported_file_is_not_converted(tmp_path, monkeypatch):
    exported = create("bicubic", 2)  # no more has one in an ONNX file
    monkeypatch.setattr(zoo, "open_file", lambda *_, **__: (exported, None))
    (tmp_path / "rfdn.onnx").touch()
    result = srcli("models", "convert", tmp_path / "rfdn.onnx", "-o", tmp_path / "out.safetensors")
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [tmp_path / "rfdn.onnx"])
    assert "is exported, and holds no tensors to convert" in result.stderr


def test_a_file_of_several_scales_is_told_at_the_one_asked_for(authors):
    told = [srcli("models", "info", authors, *flags).stdout for flags in ([], ["-s", 4], ["-s", 2])]
    assert ["x4" in text for text in told] == [True, True, False]


def test_a_converted_release_upscales(data, tmp_path):
    out = tmp_path / "rfdn authors.safetensors"
    assert srcli("models", "convert", data / "checkpoints" / "RFDN_AIM.pth", "-m", "rfdn", "-o", out).exit_code == 0
    Image.fromarray(photograph()).save(tmp_path / "small.png")
    for weights, name in ((out, "ours.png"), (data / "checkpoints" / "RFDN_AIM.pth", "theirs.png")):
        result = srcli("upscale", tmp_path / "small.png", "-m", weights, "-o", tmp_path / name)
        assert result.exit_code == 0, result.stderr
    assert (tmp_path / "ours.png").read_bytes() == (tmp_path / "theirs.png").read_bytes()
    with Image.open(tmp_path / "ours.png") as image:
        assert image.size == (212, 148)

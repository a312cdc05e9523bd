import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from srcli import checkpoint, zoo
from srcli.errors import BadCheckpoint, UsageError, WeightsNotFound
from srcli.models import create
from tests.program import srcli


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A weights folder of rfdn x2, rfdn x4 and rfdn-photo x4, untrained."""
    torch.manual_seed(0)
    for scale, kind in ((2, ""), (4, ""), (4, "-photo")):
        model = create("rfdn", scale)
        checkpoint.save(tmp_path / f"rfdn_x{scale}{kind}.safetensors", model, checkpoint.card_of(model))
    sums = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in sorted(tmp_path.glob("*.safetensors"))]
    (tmp_path / "SHA256SUMS").write_text("".join(sums))
    monkeypatch.setattr(zoo, "weights_folder", lambda: tmp_path)
    zoo._verify.cache_clear()
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "scale", "file"),
    [
        ("rfdn", None, "rfdn_x4"),
        ("rfdn", 2, "rfdn_x2"),
        ("RFDN", 4, "rfdn_x4"),
        ("e-rfdn", None, "rfdn_x4"),
        ("rfdn_x2", None, "rfdn_x2"),
        ("rfdn-photo", None, "rfdn_x4-photo"),
        ("rfdn_x4-photo", 4, "rfdn_x4-photo"),
    ],
)
def test_names_lead_to_files(shipped, reference, scale, file):
    assert zoo.find_weights(reference, scale) == shipped / f"{file}.safetensors"


def test_a_file_that_two_references_lead_to_is_opened_once(shipped):
    said = []
    models = zoo.open_models(["rfdn", "rfdn", "E-RFDN_x4", "rfdn-photo", str(shipped / "rfdn_x4.safetensors")], say=said.append)
    assert list(models) == ["rfdn", "rfdn-photo"]
    assert said == [
        "'E-RFDN_x4' is the same file as 'rfdn', and counts once",
        f"'{shipped / 'rfdn_x4.safetensors'}' is the same file as 'rfdn', and counts once",
    ]


@pytest.mark.parametrize(
    ("reference", "scale", "text"),
    [
        ("rfdn", 3, "at x3; there are x2, x4"),
        ("rdfn", None, "did you mean 'rfdn'"),
        ("rfdn-x4", None, "did you mean 'rfdn'"),  # not rfdn-c48, of which no weights ship
        ("nosuch", None, "called 'nosuch'; there are bicubic, rfdn, rfdn-photo; others are a file, .* or hf:owner/repo$"),
        ("rfdn_x2", 4, "'rfdn_x2' is of x2, not x4: 'rfdn' names the weights of every scale"),
        ("mfdn", None, "srcli train --arch mfdn --scale 4"),
        ("none.safetensors", None, "no weights file 'none.safetensors'"),
        ("none.xml", None, "no weights file 'none.xml'"),
        ("owner/net-v1.0", None, "no weights file 'owner/net-v1.0'; if the Hub has it: hf:owner/net-v1.0$"),
        ("runs/best.safetensors", None, "no weights file 'runs/best.safetensors'$"),
        ("./net", None, "no weights file './net'$"),
    ],
)
def test_a_name_that_leads_nowhere_says_what_there_is(shipped, reference, scale, text):
    with pytest.raises(WeightsNotFound, match=text):
        zoo.find_weights(reference, scale)


def test_what_ships_is_listed_by_name_and_scale(shipped):
    assert [file[:2] for file in zoo.shipped()] == [("rfdn", 2), ("rfdn", 4), ("rfdn-photo", 4)]


def test_a_damaged_shipped_file_is_refused(shipped):
    path = shipped / "rfdn_x4.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadCheckpoint, match="hash"):
        zoo.find_weights("rfdn")


def test_a_shipped_file_without_a_sum_is_refused(shipped):
    shutil.copy(shipped / "rfdn_x4.safetensors", shipped / "mfdn_x4.safetensors")
    with pytest.raises(BadCheckpoint, match="not listed"):
        zoo.find_weights("mfdn")


def test_a_path_is_taken_as_it_is(shipped, tmp_path):
    copy = tmp_path / "my weights.safetensors"
    shutil.copy(shipped / "rfdn_x2.safetensors", copy)
    model, card = zoo.open_model(str(copy))
    assert (model.scale, card.arch) == (2, "rfdn")
    with pytest.raises(UsageError, match="x2, not x4"):
        zoo.open_model(str(copy), 4)


@pytest.mark.parametrize(
    "config",
    [
        {"arch": "RFDN_x4", "scale": 4, "name": "z"},
        {"arch": {"type": "RFDN"}, "scale": 4},
        {"arch": "rfdn", "scale": 4, "in_channels": 3},
        {"arch": "carn", "scale": 4, "groups": 3},
    ],
)
def test_a_config_of_another_program_is_passed_over(tmp_path, config):
    torch.manual_seed(0)
    save_file(create("rfdn", 2).state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert zoo.open_model(str(tmp_path / "w.safetensors"))[0].scale == 2


def test_tensors_that_are_not_of_the_network_beside_them_are_refused(tmp_path):
    save_file(create("rfdn", 2).state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "config.json").write_text('{"arch": "rfdn", "scale": 4}')
    with pytest.raises(BadCheckpoint, match=r"does not fit 'rfdn' x4: .*; the config\.json beside it names the network"):
        zoo.open_model(str(tmp_path / "w.safetensors"))


def test_a_reference_longer_than_a_files_name_is_no_file(shipped):
    with pytest.raises(WeightsNotFound, match="no weights file or shipped model is called 'rrr"):
        zoo.open_model("r" * 300)


def test_bicubic_needs_no_file():
    assert zoo.open_model("bicubic")[0].scale == 4
    assert zoo.open_model("bicubic", 3)[0].scale == 3


def test_bicubic_is_bicubic_however_it_is_written():
    for reference in ("bicubic_x2", "Bicubic"):
        assert srcli("models", "info", reference).stdout.startswith("network:     Bicubic")
    with pytest.raises(WeightsNotFound, match="'bicubic' is computed, and has no weights"):
        zoo.find_weights("Bicubic")


def test_a_repository_of_short_names_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("SRCLI_HUB", "foo")
    with pytest.raises(UsageError, match=r"SRCLI_HUB takes owner/repo\[@revision\], not 'foo'"):
        zoo.find_weights("pan")


def test_the_authors_file_is_recognised(data):
    model, card = zoo.open_model(str(data / "checkpoints" / "RFDN_AIM.pth"))
    assert (model.arch, model.scale, card.source) == ("rfdn", 4, "RFDN_AIM.pth")


def test_every_shipped_file_is_whole_and_carries_its_scores():
    files = zoo.shipped()
    assert {(f.name, f.scale) for f in files} >= {("rfdn", 4), ("mfdn", 4)}
    for file in files:
        zoo.find_weights(file.name, file.scale)
        card = checkpoint.read_card(file.path)
        assert card.licence == "MIT"
        assert {s["dataset"] for s in card.scores} >= {"Set5", "Set14"}
        assert card.training["steps_done"] > 0


def test_a_folder_without_weights_and_what_is_exported_for_others_are_told_as_what_they_are(tmp_path):
    with pytest.raises(WeightsNotFound, match=r"holds no model\.safetensors and no best\.safetensors; name the file"):
        zoo.find_weights(".")
    (tmp_path / "a.PT2").touch()
    with pytest.raises(BadCheckpoint, match=r"exported for other programs; srcli runs \.onnx"):
        zoo.open_model(str(tmp_path / "a.PT2"))
    (tmp_path / "a.pth").touch()
    with pytest.raises(BadCheckpoint, match=r"a\.pth' is empty"):
        zoo.open_model(str(tmp_path / "a.pth"))


@pytest.mark.parametrize("name", ["model.safetensors", "best.safetensors"])
def test_a_folder_of_weights_stands_for_them(tmp_path, name):
    (tmp_path / name).touch()
    assert zoo.find_weights(str(tmp_path)) == tmp_path / name


def test_weights_that_learnt_drawings_or_real_photographs_know_more_than_photographs(shipped):
    assert zoo.knows_photographs_alone("rfdn", {2})
    for name, training in (("rfdn_x2", {"drawings": 0.1}), ("rfdn_x4-photo", {"degradation": "photo"})):
        model, card = checkpoint.load(shipped / f"{name}.safetensors")
        checkpoint.save(shipped / f"{name}.safetensors", model, replace(card, training=training))
    assert [zoo.knows_photographs_alone("rfdn", scales) for scales in ({2}, {4}, {2, 4}, {3})] == [False, True, True, False]
    assert not zoo.knows_photographs_alone("rfdn-photo", {2, 4})
    checkpoint.save(shipped / "rfdn_x4.safetensors", model, replace(card, training={"drawings": 0.1}))
    assert not zoo.knows_photographs_alone("rfdn", {2, 4})
    assert not zoo.knows_photographs_alone("bicubic", {2, 4})
    assert not zoo.knows_photographs_alone(str(shipped / "rfdn_x2.safetensors"), {2})


@pytest.fixture
def named(monkeypatch):
    def ship(*files: str) -> None:
        paths = [Path(f"{file}.safetensors") for file in files]
        monkeypatch.setattr(zoo, "shipped", lambda: [zoo.Shipped(*zoo._named(path.name), path) for path in paths])

    return ship


def test_weights_for_speed_stand_in_for_those_of_their_kind(named):
    named("rfdn_x2", "rfdn_x4", "rfdn_x2-photo", "mfdn_x4", "standard_x2")
    assert zoo.quicker("rfdn") == zoo.quicker("mfdn_x4") == "standard"
    for reference in ("standard", "rfdn-photo", "bicubic", "hf:me/nets", "fsrcnn"):
        assert zoo.quicker(reference) is None, reference
    named("rfdn_x2", "rfdn_x2-photo", "standard_x2-photo")
    assert zoo.quicker("rfdn-photo") == "standard-photo"
    assert zoo.quicker("rfdn") is None
    assert zoo.quicker("standard-photo") is None
    named("rfdn_x2", "standard_x2", "rfdn_x2-video")
    assert zoo.quicker("rfdn-video") is None
    named("rfdn_x2", "standard_x2", "rfdn_x2-video", "standard_x2-video")
    assert zoo.quicker("rfdn-video") == "standard-video"


def test_weights_of_a_kind_stand_in_for_those_of_clean_pictures(named):
    named("rfdn_x4", "rfdn_x2-photo", "mfdn_x4", "standard_x2", "standard_x2-photo", "standard_x2-video")
    assert zoo.suited("rfdn", zoo.PHOTO) == zoo.suited("mfdn_x4", zoo.PHOTO) == "rfdn-photo"
    assert zoo.suited("standard", zoo.PHOTO) == "standard-photo"
    assert zoo.suited("rfdn", zoo.VIDEO) == zoo.suited("standard", zoo.VIDEO) == "standard-video"
    for reference in ("rfdn-photo", "standard_x2-photo", "standard-video", "bicubic", "hf:me/nets"):
        assert zoo.suited(reference, zoo.PHOTO) is None, reference
        assert zoo.suited(reference, zoo.VIDEO) is None, reference
    named("rfdn_x4", "standard_x2")
    assert zoo.suited("rfdn", zoo.PHOTO) is None


def test_a_file_has_no_stand_in(shipped):
    path = str(shipped / "rfdn_x4.safetensors")
    assert zoo.quicker(path) is None
    assert zoo.suited(path, zoo.PHOTO) is None


def test_auto_stands_for_the_default_and_behind_a_name_for_that(tmp_path, monkeypatch):
    for name, plain in {"auto": "rfdn", "rfdn-auto": "rfdn", "Standard-Auto": "Standard", "mfdn_x2-auto": "mfdn_x2"}.items():
        assert zoo.automatic(name) == plain
    for name in ("rfdn", "rfdn-photo", "automatic", "hf:me/nets-auto", "./auto"):
        assert zoo.automatic(name) is None
    assert [zoo.automatic_name(name) for name in ("rfdn", "RFDN", "mfdn")] == ["auto", "auto", "mfdn-auto"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "auto").write_bytes(b"weights")
    assert (zoo.automatic("auto"), zoo.automatic("./auto")) == ("rfdn", None)


@pytest.mark.parametrize("name", ["rfdn", "RFDN", "rfdn_x4", "rfdn-photo", "bicubic", "standard-auto"])
def test_what_ships_goes_before_what_is_called_so_here(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    (tmp_path / name / zoo.TRAINED).write_bytes(b"weights of a run")
    assert zoo.on_disk(name) is None
    assert zoo.on_disk(f"./{name}") == Path(name, zoo.TRAINED)
    (tmp_path / "fdiwn").mkdir()  # of which no weights ship
    (tmp_path / "fdiwn" / zoo.TRAINED).touch()
    assert zoo.on_disk("fdiwn") == Path("fdiwn", zoo.TRAINED)


def test_a_run_that_is_called_as_what_ships_is_pointed_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rfdn").mkdir()
    (tmp_path / "rfdn" / zoo.TRAINED).touch()
    told: list[str] = []
    assert zoo.find_weights("rfdn", say=told.append) == zoo.weights_folder() / "rfdn_x4.safetensors"
    assert told == ["'rfdn' is what ships with srcli; what is called so here is './rfdn'"]


@pytest.mark.parametrize("reference", ["rfdn-photo", "rfdn_x4-photo", "rfdn_x2-photo", "RFDN-Photo"])
def test_a_shipped_file_and_its_name_are_called_alike(reference):
    assert zoo.name_of(reference) == "rfdn-photo"

"""The networks are models of huggingface_hub: saved, loaded and pushed by its own mixin."""

import json

import pytest
import torch
from huggingface_hub import ModelCard

import srcli
from srcli import checkpoint, zoo
from srcli.errors import UnknownArchitecture, UsageError, WeightsNotFound
from tests.hubserver import TOKEN, serving


def test_weights_that_were_trained_on_have_not_the_scores_of_what_they_were(tmp_path):
    model = srcli.Model.of("standard", 2)
    model.save_pretrained(tmp_path / "same")
    assert checkpoint.read_card(tmp_path / "same" / zoo.SAVED) == model.card
    assert model.card.scores
    with torch.no_grad():
        next(model.parameters()).mul_(1.01)
    model.save_pretrained(tmp_path / "other")
    model.to(torch.bfloat16).save_pretrained(tmp_path / "half")
    card = checkpoint.read_card(tmp_path / "other" / zoo.SAVED)
    assert (card.scores, card.training) == ([], {})
    assert (card.arch, card.scale, card.licence) == (model.card.arch, 2, model.card.licence)


def test_a_network_takes_all_of_its_weights_or_none(tmp_path):
    with pytest.raises(UsageError, match="strict=False"):
        srcli.Model.from_pretrained(tmp_path, strict=False)


@pytest.mark.parametrize("place", ["/missing/path", "./net", "runs/net/best"])
def test_a_folder_that_is_not_there_is_told_in_a_line(place):
    with pytest.raises(WeightsNotFound, match=f"no folder '{place}'; Model.of takes weights files"):
        srcli.Model.from_pretrained(place)


def test_a_side_that_is_too_short_is_told_in_a_line():
    with pytest.raises(UsageError, match="'rfdn' takes sides of 15 px at the least, not 8x20; pad them"):
        srcli.Model("rfdn", 2)(torch.rand(1, 3, 8, 20))


def test_a_round_trip_keeps_weights_card_and_arguments(tmp_path):
    torch.manual_seed(0)
    model, x = srcli.Model("rfdn", 3, channels=24).eval(), torch.rand(1, 3, 17, 23)
    model.save_pretrained(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text()) == {"arch": "rfdn", "scale": 3, "channels": 24}
    again = srcli.Model.from_pretrained(tmp_path / "saved")
    assert again.card == model.card
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=0)
    assert again(x).requires_grad


def test_what_it_saves_is_a_weights_file_of_srcli(tmp_path):
    srcli.Model.of("mfdn").save_pretrained(tmp_path)
    card = checkpoint.read_card(tmp_path / "model.safetensors")
    assert (card.arch, card.licence) == ("mfdn", "MIT")
    assert card.scores == zoo.open_model("mfdn")[1].scores
    assert ModelCard.load(tmp_path / "README.md").data.license == "mit"
    assert srcli.load(tmp_path, device="cpu").card == card


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_what_is_pushed_is_loaded_by_both(tmp_path, monkeypatch):
    with serving(tmp_path, monkeypatch) as server:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        for module in ("srcli.pretrained", "huggingface_hub.hub_mixin"):
            monkeypatch.setattr(f"{module}.hf_hub_download", _at(server.url))
        monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", _api_at(server.url))
        model = srcli.Model("fsrcnn", 2)
        model.push_to_hub("me/net")
        assert set(server.repos["me/net"]) == {"README.md", "config.json", "model.safetensors"}
        state = srcli.Model.from_pretrained("me/net").state_dict()
        torch.testing.assert_close(state, model.state_dict(), rtol=0, atol=0)
        torch.testing.assert_close(zoo.open_model("hf:me/net")[0].state_dict(), model.network.state_dict(), rtol=0, atol=0)


def test_a_name_that_is_none_says_so():
    with pytest.raises(UnknownArchitecture, match="did you mean 'rfdn'"):
        srcli.Model("rdfn", 4)


def _at(url):
    from huggingface_hub import hf_hub_download

    return lambda *arguments, **options: hf_hub_download(*arguments, **options, endpoint=url)


def _api_at(url):
    from huggingface_hub import HfApi

    return lambda **options: HfApi(endpoint=url, **options)

"""srcli models and the Hub: fetch, list and describe offline, publish with a page."""

import re
import shutil

import pytest
import torch

from srcli import checkpoint, hub, zoo
from srcli.modelcard import licence_on
from srcli.models import create
from tests.hubserver import COMMIT, TOKEN
from tests.program import srcli

# huggingface_hub 2.4 hands httpx what httpx wants under another name
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def trained(tmp_path, weights):
    """Weights with scores, a recipe and a licence, in a folder with a space in its name."""
    folder = tmp_path / "my runs"
    folder.mkdir()
    (folder / "fsrcnn_x2.safetensors").write_bytes(weights["fsrcnn_x2.safetensors"])
    model = create("fsrcnn", 4)
    scores = [{"dataset": "Set5", "pictures": 5, "psnr": 30.5, "ssim": 0.86, "protocol": "Y, shave 4"}]
    training = {"data": "photos", "steps": 40, "lr": 0.001, "adam_lr": None, "steps_done": 40, "minutes_done": 1.5}
    card = checkpoint.card_of(model, licence="MIT", scores=scores, training=training)
    checkpoint.save(folder / "fsrcnn_x4.safetensors", model, card)
    return folder


def test_pull_downloads_and_says_where_and_under_which_licence(server, weights, tmp_path):
    server.repos["me/nets"] = weights
    result = srcli("models", "pull", "hf:me/nets", "-s", 2)
    path = zoo.find_weights("hf:me/nets", 2, offline=True)
    assert (result.exit_code, result.stdout) == (0, f"{path}\n"), result.stderr
    assert path.is_relative_to(tmp_path / "cache")
    assert result.stderr.splitlines() == [
        f"FSRCNN (56, 12, 4) x2, 0.05 MiB, sha256 {zoo.hash_of(path)}",
        "licence: BSD-3-Clause",
    ]
    again = srcli("models", "pull", "hf:me/nets", "-s", 2, "--offline")
    assert (again.stdout, again.stderr) == (result.stdout, result.stderr)
    assert len(server.downloads()) == 1


def test_pull_refuses_what_is_no_network(server):
    server.repos["me/other"] = {"thing.pth": b"not a checkpoint"}
    result = srcli("models", "pull", "hf:me/other")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert "is not a readable weights file" in result.stderr


def test_the_list_has_what_was_downloaded_and_works_offline(server, weights, tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    server.repos["me/nets"] = weights
    server.repos["me/other"] = {"other.pth": (tmp_path / "other.pth").read_bytes()}
    zoo.find_weights("hf:me/nets")
    zoo.find_weights(f"hf:me/nets/fsrcnn_x2.safetensors@{COMMIT}")
    zoo.find_weights("hf:me/other")
    server.stop()
    records = srcli("models", "list", "--json").records
    found = [(r["name"], r["scale"], r["licence"]) for r in records if r["place"] == "cached"]
    assert found == [
        ("hf:me/nets/fsrcnn_x2.safetensors", 2, "BSD-3-Clause"),
        ("hf:me/nets/fsrcnn_x4.safetensors", 4, "BSD-3-Clause"),
    ]
    assert {r["name"] for r in records if r["place"] == "shipped"} >= {"rfdn", "mfdn"}
    assert re.search(r"^hf:me/nets/fsrcnn_x4.safetensors +cached +x4 +FSRCNN", srcli("models", "list").stdout, re.MULTILINE)


def test_info_works_offline(server, weights):
    server.repos["me/nets"] = weights
    zoo.find_weights("hf:me/nets")
    server.stop()
    result = srcli("models", "info", "hf:me/nets", "--offline")
    assert result.exit_code == 0, result.stderr
    lines = dict(line.split(": ", 1) for line in result.stdout.splitlines())
    assert lines["licence"].strip() == "BSD-3-Clause"
    assert lines["sha256"].strip() == zoo.hash_of(zoo.find_weights("hf:me/nets", offline=True))


def test_push_sends_the_weights_and_their_page(server, trained, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    result = srcli("models", "push", "me/nets", trained / "fsrcnn_x4.safetensors")
    assert (result.exit_code, result.stdout) == (0, f"{server.url}/me/nets/commit/{COMMIT}\n"), result.stderr
    assert server.repos["me/nets"]["fsrcnn_x4.safetensors"] == (trained / "fsrcnn_x4.safetensors").read_bytes()
    assert server.private == set()
    assert "PUT /upload/" in " ".join(server.asked)
    model, card = zoo.open_model("hf:me/nets")
    assert (model.scale, card.licence, card.scores[0]["psnr"]) == (4, "MIT", 30.5)


def test_the_page_has_licence_scores_recipe_and_use(server, trained, monkeypatch):
    from huggingface_hub import ModelCard

    page = srcli("models", "push", "me/nets", trained / "fsrcnn_x4.safetensors", "--dry-run").stdout
    assert (server.repos, [line for line in server.asked if not line.startswith("GET")]) == ({}, [])
    data = ModelCard(page).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("mit", "srcli", "image-to-image")
    assert [(r.dataset_name, r.metric_type, r.metric_value) for r in data.eval_results] == [
        ("Set5 x4", "psnr", 30.5),
        ("Set5 x4", "ssim", 0.86),
    ]
    assert "\n```sh\npip install -c constraints.txt .\nsrcli upscale photo.jpg -m hf:me/nets\n" in page
    assert "| `fsrcnn_x4.safetensors` | FSRCNN (56, 12, 4) | x4 | 12,809 | 0.05 | 30.50 / 0.8600 | MIT |" in page
    assert "srcli train --arch fsrcnn --scale 4 --out run --data photos --steps 40 --lr 0.001\n" in page
    assert zoo.hash_of(trained / "fsrcnn_x4.safetensors") in page
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    srcli("models", "push", "me/nets", trained / "fsrcnn_x4.safetensors")
    assert server.repos["me/nets"]["README.md"].decode() == page


def test_a_second_push_keeps_what_is_there_on_the_page(server, trained, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert srcli("models", "push", "me/nets", trained / "fsrcnn_x4.safetensors", "--private").exit_code == 0
    assert server.private == {"me/nets"}
    result = srcli("models", "push", "me/nets", trained / "fsrcnn_x2.safetensors")
    assert (result.exit_code, result.stderr) == (0, "use them with: -m hf:me/nets/fsrcnn_x2.safetensors\n")
    assert set(server.repos["me/nets"]) == {"fsrcnn_x2.safetensors", "fsrcnn_x4.safetensors", "README.md"}
    page = server.repos["me/nets"]["README.md"].decode()
    assert "| `fsrcnn_x2.safetensors` |" in page
    assert "| `fsrcnn_x4.safetensors` |" in page
    assert "license: other\nlicense_name: MIT; BSD-3-Clause\n" in page


def test_a_page_of_the_users_own_stays(server, trained, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.repos["me/nets"] = {"README.md": b"# mine\n"}
    result = srcli("models", "push", "me/nets", trained / "fsrcnn_x4.safetensors")
    assert result.exit_code == 0
    assert "stays; replace it with --overwrite" in result.stderr
    assert server.repos["me/nets"]["README.md"] == b"# mine\n"
    srcli("models", "push", "me/nets", trained / "fsrcnn_x4.safetensors", "--overwrite")
    assert server.repos["me/nets"]["README.md"].startswith(b"---\nlibrary_name: srcli\n")


def test_a_hub_that_does_not_answer_is_no_empty_repository(server, trained, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.repos["me/nets"] = {"README.md": b"# mine\n"}
    monkeypatch.setattr(hub, "_ask", lambda source: f"{server.url} cannot be reached")
    result = srcli("models", "push", "me/nets", trained / "fsrcnn_x4.safetensors")
    assert result.exit_code == 1
    assert f"'hf:me/nets' does not tell what it holds: {server.url} cannot be reached" in result.stderr
    assert server.repos["me/nets"] == {"README.md": b"# mine\n"}
    result = srcli("models", "push", "me/nets", trained / "fsrcnn_x4.safetensors", "--dry-run")
    assert "| `fsrcnn_x4.safetensors` |" in result.stdout


def test_a_licence_that_is_given_is_that_of_what_is_sent(server, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    card = checkpoint.card_of(create("fsrcnn", 3))  # which states none, as those of a training
    checkpoint.save(trained / "mine.safetensors", create("fsrcnn", 3), card)
    for file, flags in (("fsrcnn_x2", ()), ("mine", ("--licence", "cc-by-4.0")), ("fsrcnn_x4", ())):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)  # all commits of the test's server have one name
        result = srcli("models", "push", "me/nets", trained / f"{file}.safetensors", *flags)
        assert result.exit_code == 0, result.stderr
    page = server.repos["me/nets"]["README.md"].decode()
    assert [licence_on(page, f"{n}.safetensors") for n in ("fsrcnn_x2", "mine", "fsrcnn_x4", "another")] == [
        "BSD-3-Clause",
        "cc-by-4.0",
        "MIT",
        "",
    ]


def test_what_is_there_without_a_licence_is_no_dead_end(server, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    card = checkpoint.card_of(create("fsrcnn", 3), licence="the authors'")
    checkpoint.save(trained / "old.safetensors", create("fsrcnn", 3), card)
    server.licence = ""
    server.repos["me/nets"] = {"old.safetensors": (trained / "old.safetensors").read_bytes()}
    result = srcli("models", "push", "me/nets", trained / "fsrcnn_x4.safetensors")
    assert result.exit_code == 0, result.stderr
    page = server.repos["me/nets"]["README.md"].decode()
    assert licence_on(page, "old.safetensors") == "not stated"
    assert "license: other\nlicense_name: not stated; MIT\n" in page


def test_the_licence_of_the_repository_is_that_of_a_file_that_states_none(server, trained, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    checkpoint.save(trained / "mine.safetensors", create("fsrcnn", 3), checkpoint.card_of(create("fsrcnn", 3)))
    assert srcli("models", "push", "me/nets", trained / "mine.safetensors", "--licence", "mit").exit_code == 0
    assert "licence: mit" in srcli("models", "pull", "hf:me/nets").stderr
    assert "licence:     mit" in srcli("models", "info", "hf:me/nets", "--offline").stdout


def test_push_without_a_token_says_how_to_log_in(server, trained):
    result = srcli("models", "push", "me/nets", trained / "fsrcnn_x4.safetensors")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1), result.output
    assert f"{server.url} does not let you write to 'me/nets': log in with: hf auth login, or set HF_TOKEN" in result.stderr
    assert server.repos == {}


def test_push_without_a_network_says_so(server, trained, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.stop()
    result = srcli("models", "push", "me/nets", trained / "fsrcnn_x4.safetensors")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1), result.output
    assert "'hf:me/nets'" in result.stderr


@pytest.mark.parametrize(
    ("repo", "file", "code", "text"),
    [
        ("nets", "fsrcnn_x4.safetensors", 2, "the repository is OWNER/REPO, not 'nets'"),
        ("me/nets@v2", "fsrcnn_x4.safetensors", 2, "the repository is OWNER/REPO"),
        ("me/nets/x", "fsrcnn_x4.safetensors", 2, "the repository is OWNER/REPO"),
        ("me/nets", "none.safetensors", 1, "no weights file"),
        ("me/nets", "bare.safetensors", 1, "carries no srcli card"),
        ("me/nets", "theirs.pth", 1, "make one with srcli models convert"),
        ("me/nets", "silent.safetensors", 2, "does not say its licence"),
    ],
)
def test_what_cannot_be_published_is_said_in_one_line(server, trained, repo, file, code, text):
    from safetensors.torch import save_file

    model = create("fsrcnn", 2)
    save_file(model.state_dict(), trained / "bare.safetensors")
    checkpoint.save(trained / "silent.safetensors", model, checkpoint.card_of(model))
    (trained / "theirs.pth").touch()
    result = srcli("models", "push", repo, trained / file)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (code, "", 1), result.output
    assert text in result.stderr
    assert server.repos == {}

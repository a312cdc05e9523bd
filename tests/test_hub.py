"""The Hub, spoken to with its own client: what is downloaded, refused, understood and sent."""

import os
import re
import subprocess
import sys

import pytest
import torch
from PIL import Image

from srcli import checkpoint, hub, zoo
from srcli.engine.resizer import open_networks
from srcli.errors import BadCheckpoint, UsageError, WeightsNotFound
from srcli.models import create
from tests.conftest import photograph
from tests.hubserver import COMMIT, TOKEN
from tests.program import srcli


def _opened(reference: str, scale: int | None = None, **options: object) -> tuple[str, int, list[str]]:
    said: list[str] = []
    model, _ = zoo.open_model(reference, scale, say=said.append, **options)
    return model.arch, model.scale, said


# references


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("hf:me/nets", ("me/nets", None, None)),
        ("hf:me/nets@v1", ("me/nets", None, "v1")),
        ("hf:me/nets/a/b_x4.pth", ("me/nets", "a/b_x4.pth", None)),
        ("hf:me/nets/a.pth@refs/pr/1", ("me/nets", "a.pth", "refs/pr/1")),
    ],
)
def test_references_are_read(reference, parts):
    source, file = hub.parse(reference)
    assert (source.repo, file, source.revision) == parts


@pytest.mark.parametrize("reference", ["hf:", "hf:nets", "hf:/nets", "hf:me/", "hf:me/nets@"])
def test_what_is_no_reference_is_refused(reference):
    with pytest.raises(UsageError, match=r"hf:owner/repo\[/file\]\[@revision\]"):
        hub.parse(reference)


@pytest.mark.parametrize(
    ("names", "scale", "choice"),
    [
        (["README.md", "model.safetensors"], None, "model.safetensors"),
        (["net.pth"], 2, "net.pth"),
        (["net.pth", "net.safetensors"], None, "net.safetensors"),
        (["net_x2.pth", "net_x4.pth"], None, "net_x4.pth"),
        (["net_x2.pth", "net_x4.pth"], 2, "net_x2.pth"),
        (["2x-Net.pth", "4x-Net.pth"], 2, "2x-Net.pth"),
        (["x2/net.pth", "x4/net.pth", "x44/net.pth"], 4, "x4/net.pth"),
    ],
)
def test_the_file_is_chosen_by_scale(names, scale, choice):
    assert hub.pick_scale(hub.Source("me/nets"), scale, 4)(names) == choice


@pytest.mark.parametrize(
    ("names", "scale", "text"),
    [
        (["a_x4.pth", "b_x4.pth"], None, "a_x4.pth, b_x4.pth; name one: hf:me/nets/FILE"),
        (["a_x2.pth", "b_x3.pth"], None, "a_x2.pth, b_x3.pth; choose with -s, or name one"),
        (["a_x2.pth", "b_x3.pth"], 4, "a_x2.pth, b_x3.pth; name one: hf:me/nets/FILE"),
        (["README.md"], None, "holds no .safetensors"),
    ],
)
def test_a_choice_that_is_not_clear_lists_the_files(names, scale, text):
    with pytest.raises(WeightsNotFound, match=text):
        hub.pick_scale(hub.Source("me/nets"), scale, 4)(names)


# downloads


def test_weights_are_downloaded_once_and_their_licence_is_said_once(server, weights):
    server.repos["me/nets"] = weights
    assert _opened("hf:me/nets") == ("fsrcnn", 4, ["fsrcnn_x4.safetensors of hf:me/nets: licence mit"])
    assert _opened("hf:me/nets") == ("fsrcnn", 4, [])
    assert _opened("hf:me/nets", 2)[1] == 2
    assert len(server.downloads()) == 2


def test_a_licence_that_only_the_card_states_is_said(server, weights):
    server.repos["me/nets"] = weights
    server.licence = ""
    assert _opened("hf:me/nets")[2] == ["fsrcnn_x4.safetensors of hf:me/nets: licence BSD-3-Clause"]


@pytest.mark.parametrize("reference", ["hf:me/nets/fsrcnn_x2.safetensors", f"hf:me/nets/fsrcnn_x2.safetensors@{COMMIT}"])
def test_one_file_of_one_revision_is_taken(server, weights, reference):
    server.repos["me/nets"] = weights
    assert _opened(reference)[:2] == ("fsrcnn", 2)


def test_what_is_cached_works_without_the_hub(server, weights):
    server.repos["me/nets"] = weights
    _opened("hf:me/nets")
    for stop in (lambda: setattr(server, "down", True), server.stop):
        stop()
        arch, scale, (said,) = _opened("hf:me/nets")
        assert (arch, scale) == ("fsrcnn", 4)
        assert said.startswith(f"fsrcnn_x4.safetensors of hf:me/nets is taken from the cache: {server.url} cannot be reached (")
    asked = len(server.asked)
    assert _opened("hf:me/nets", offline=True) == ("fsrcnn", 4, [])
    assert len(server.asked) == asked
    with pytest.raises(WeightsNotFound, match=r"--offline is given; .*, srcli models pull hf:me/others@v1 puts it into '"):
        _opened("hf:me/others@v1", offline=True)
    with pytest.raises(WeightsNotFound, match=r"'hf:me/others' is not in the cache, and --offline is given"):
        _opened("hf:me/others", offline=True)
    with pytest.raises(WeightsNotFound, match=rf"'hf:me/others' is not in the cache, and {server.url} cannot be reached"):
        _opened("hf:me/others")
    with pytest.raises(WeightsNotFound, match=r"'fsrcnn_x2\.safetensors' of 'hf:me/nets' is not in the cache, and .* reached"):
        _opened("hf:me/nets", 2)


@pytest.mark.parametrize("reference", ["hf:me/nets", "fsrcnn"])
def test_without_the_hub_no_other_network_is_taken_than_with_it(server, weights, monkeypatch, reference):
    monkeypatch.setenv("SRCLI_HUB", "me/nets")
    server.repos["me/nets"] = weights
    assert _opened(reference, 2)[1] == 2
    server.down = True
    for offline in (True, False):
        assert _opened(reference, 2, offline=offline)[1] == 2
        for scale in (None, 4):
            with pytest.raises(WeightsNotFound, match=r"'fsrcnn_x4\.safetensors' of 'hf:me/nets' is not in the cache, and "):
                _opened(reference, scale, offline=offline)
    with pytest.raises(WeightsNotFound, match=r"of 'hf:me/nets' is not in the cache, and --offline is given"):
        _opened("hf:me/nets/fsrcnn_x4.safetensors", offline=True)
    pull = r"srcli models pull hf:me/nets/fsrcnn_x4\.safetensors puts it into '.*cache'$"
    with pytest.raises(WeightsNotFound, match=f"with the Hub in reach, {pull}"):
        _opened("hf:me/nets/fsrcnn_x4.safetensors", offline=True)
    with pytest.raises(WeightsNotFound, match=r"has no file 'a\.pth'; .*\(as far as the cache knows: --offline is given\)"):
        _opened("hf:me/nets/a.pth", offline=True)


def test_the_only_network_of_a_repository_is_the_same_without_the_hub(server, weights):
    server.repos["me/two"] = {"fsrcnn_x2.safetensors": weights["fsrcnn_x2.safetensors"]}
    assert _opened("hf:me/two")[1] == 2
    assert _opened("hf:me/two", offline=True) == ("fsrcnn", 2, [])


def test_a_choice_of_what_another_program_downloaded_is_said(server, weights):
    import huggingface_hub

    server.repos["me/nets"] = weights
    huggingface_hub.HfApi(endpoint=server.url).hf_hub_download("me/nets", "fsrcnn_x2.safetensors")
    said = "fsrcnn_x2.safetensors is chosen of what is in the cache; what else hf:me/nets holds is not known"
    assert _opened("hf:me/nets", offline=True) == ("fsrcnn", 2, [said])
    assert _opened("hf:me/nets/fsrcnn_x2.safetensors", offline=True) == ("fsrcnn", 2, [])


def test_a_client_told_to_keep_off_the_hub_uses_the_cache_without_a_word(server, weights, monkeypatch):
    server.repos["me/nets"] = weights
    _opened("hf:me/nets")
    asked = len(server.asked)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert _opened("hf:me/nets") == ("fsrcnn", 4, [])
    assert len(server.asked) == asked
    with pytest.raises(WeightsNotFound, match=r"'hf:me/others' is not in the cache, and HF_HUB_OFFLINE is set"):
        _opened("hf:me/others")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b"{}"),
        (407, b"{}"),
        (408, b"{}"),
        (200, b"<html>log in here</html>"),
        (200, b"{}"),
        (200, b"[]"),
        (200, b'{"siblings": [{"name": "a"}]}'),
    ],
)
def test_what_is_cached_is_used_where_the_hub_or_a_portal_before_it_has_no_answer(server, weights, monkeypatch, status, body):
    server.repos["me/nets"] = weights
    _opened("hf:me/nets")
    answer = lambda handler: handler._answer(status, {}, body)  # noqa: E731
    monkeypatch.setattr(server.RequestHandlerClass, "do_GET", answer)
    arch, scale, (said,) = _opened("hf:me/nets")
    assert (arch, scale) == ("fsrcnn", 4)
    assert f"is taken from the cache: {server.url} cannot be reached (" in said
    with pytest.raises(WeightsNotFound, match=r"'hf:me/others' is not in the cache, and .* cannot be reached \("):
        _opened("hf:me/others")


def test_a_refusal_of_what_is_cached_tells_of_the_cache(server, weights, monkeypatch):
    server.repos["me/nets"] = weights
    _opened("hf:me/nets")
    monkeypatch.setattr(server.RequestHandlerClass, "do_GET", lambda handler: handler._answer(403, {}, b"{}"))
    with pytest.raises(WeightsNotFound, match=r"refused 'hf:me/nets' \(.*403.*\); --offline takes what is in the cache"):
        _opened("hf:me/nets")
    assert _opened("hf:me/nets", offline=True) == ("fsrcnn", 4, [])


@pytest.mark.parametrize(
    ("address", "proxy", "code", "text"),
    [
        ("http://hub.invalid", "socks5://127.0.0.1:9", 1, "is not in the cache, and http://hub.invalid cannot be reached ("),
        ("http://hub.invalid", "socks://127.0.0.1:9", 1, "is not in the cache, and http://hub.invalid cannot be reached ("),
        ("http://[", "", 2, "HF_ENDPOINT is not the address of a Hub (Invalid IPv6 URL)"),
        ("http://127.0.0.1:99999", "", 2, "HF_ENDPOINT is not the address of a Hub (Port out of range 0-65535)"),
        ("http://me:secret@127.0.0.1:9", "", 1, "and http://127.0.0.1:9 cannot be reached ("),
    ],
)
def test_proxies_and_addresses_that_do_not_work_are_said_in_a_line(tmp_path, address, proxy, code, text):
    home = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": address, "ALL_PROXY": proxy}
    command = [sys.executable, "-m", "srcli", "models", "info", "hf:me/nets"]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **home})
    assert (run.returncode, run.stdout, len(run.stderr.splitlines())) == (code, "", 1), run.stderr
    assert text in run.stderr
    assert "secret" not in run.stderr


def test_a_broken_connection_is_resumed(server, weights, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1024)  # what is whole of them is kept
    server.repos["me/nets"] = weights
    server.breaks = 1
    assert _opened("hf:me/nets")[:2] == ("fsrcnn", 4)
    first, second = server.downloads()
    assert "bytes=" not in first
    assert int(re.search(r"bytes=(\d+)-", second)[1]) > 0


def test_bytes_of_another_hash_are_refused_and_deleted(server, weights, tmp_path):
    server.repos["me/nets"] = weights
    server.lies = True
    with pytest.raises(BadCheckpoint, match="is damaged: its hash"):
        _opened("hf:me/nets")
    server.lies = False
    assert _opened("hf:me/nets")[:2] == ("fsrcnn", 4)


def test_a_cached_file_that_was_damaged_later_is_refused(server, weights):
    server.repos["me/nets"] = weights
    path = zoo.find_weights("hf:me/nets").resolve()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(BadCheckpoint, match="damaged"):
        _opened("hf:me/nets", offline=True)
    assert path.exists()  # which could not be had again
    with pytest.raises(BadCheckpoint, match="it is deleted, try again"):
        _opened("hf:me/nets")
    assert _opened("hf:me/nets")[:2] == ("fsrcnn", 4)


# refusals


def test_a_repository_that_is_not_there_says_so(server):
    with pytest.raises(WeightsNotFound, match=rf"no repository 'me/none' at {server.url}; if it is private: log in"):
        _opened("hf:me/none")


def test_a_private_repository_needs_a_token(server, weights, monkeypatch):
    server.repos["me/mine"] = weights
    server.private = {"me/mine"}
    with pytest.raises(WeightsNotFound, match="set HF_TOKEN"):
        _opened("hf:me/mine")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(WeightsNotFound, match="your token may not read it"):
        _opened("hf:me/mine")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert _opened("hf:me/mine")[:2] == ("fsrcnn", 4)


def test_a_gated_repository_names_the_page_of_its_terms(server, weights):
    server.repos["me/gated"] = weights
    server.gated = {"me/gated"}
    with pytest.raises(WeightsNotFound, match=f"accept its terms at {server.url}/me/gated"):
        _opened("hf:me/gated")


@pytest.mark.parametrize(
    ("reference", "error", "text"),
    [
        ("hf:me/nets@v9", WeightsNotFound, "'me/nets' has no revision 'v9'"),
        ("hf:me/nets/none.pth", WeightsNotFound, "no file 'none.pth'; it has fsrcnn_x2.safetensors, fsrcnn_x4.safetensors"),
        ("hf:me/ne--ts", UsageError, "cannot be a repository"),
    ],
)
def test_what_the_repository_does_not_have_is_said_in_a_line(server, weights, reference, error, text):
    server.repos["me/nets"] = weights
    with pytest.raises(error, match=text) as caught:
        _opened(reference)
    assert "\n" not in str(caught.value)


# layouts


def test_a_config_beside_the_weights_describes_them(server, tmp_path):
    """The layout of PyTorchModelHubMixin, by its own hand."""
    from huggingface_hub import PyTorchModelHubMixin

    class Net(torch.nn.Module, PyTorchModelHubMixin):
        def __init__(self, arch: str, scale: int, channels: int) -> None:
            super().__init__()
            for name, module in create(arch, scale, channels=channels).named_children():
                self.add_module(name, module)

    Net("rfdn", 3, channels=24).save_pretrained(tmp_path / "saved")
    server.repos["me/mixin"] = {p.name: p.read_bytes() for p in (tmp_path / "saved").iterdir()}
    _, card = zoo.open_model("hf:me/mixin")
    assert (card.arch, card.scale, card.config) == ("rfdn", 3, {"channels": 24})
    assert zoo.open_model("hf:me/mixin", offline=True)[0].scale == 3


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_bare_tensors_of_our_networks_are_recognised(server, tmp_path, suffix):
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network, path = create("rfdn", 2).eval(), tmp_path / f"bare{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(network.state_dict(), path)
    server.repos["me/bare"] = {path.name: path.read_bytes()}
    model, card = zoo.open_model("hf:me/bare")
    assert (card.arch, card.scale, card.source) == ("rfdn", 2, path.name)
    x = torch.rand(1, 3, 37, 53)
    torch.testing.assert_close(model(x), network(x))


@pytest.mark.parametrize("arch", ["rfdn", "carn-m"])
def test_the_authors_names_are_recognised_in_safetensors_too(server, tmp_path, arch):
    from safetensors.torch import save_file

    from tests.test_foreign import imitation

    file = {"rfdn": "RFDN_AIM.pth", "carn-m": "carn_m.pth"}[arch]
    save_file(imitation(file), tmp_path / "theirs.safetensors")
    torch.save(imitation(file), tmp_path / "theirs.pth")
    server.repos["me/theirs"] = {"theirs.safetensors": (tmp_path / "theirs.safetensors").read_bytes()}
    ours, _ = zoo.open_model("hf:me/theirs", 4)
    assert ours.arch == arch
    torch.testing.assert_close(ours.state_dict(), zoo.open_model(str(tmp_path / "theirs.pth"), 4)[0].state_dict())


@pytest.mark.parametrize(
    ("arch", "file", "scale"), [("pan", "pan.pth", 3), ("vdsr", "vdsr_x2.pth", 2), ("vdsr", "vdsr.pth", 4)]
)
def test_cached_tensors_of_several_scales_are_listed_at_that_of_their_name(server, tmp_path, arch, file, scale):
    torch.save(create(arch, 2).state_dict(), tmp_path / file)
    server.repos["me/bare"] = {file: (tmp_path / file).read_bytes()}
    zoo.find_weights("hf:me/bare")
    assert [(reference, card.scale) for reference, _, card in zoo.cached()] == [(f"hf:me/bare/{file}", scale)]


def test_a_file_in_the_cache_that_cannot_be_run_is_not_listed(server, weights, tmp_path):
    odd = create("rfdn", 2)
    checkpoint.save(tmp_path / "odd_x2.safetensors", odd, checkpoint.Card("rfdn", 2, {"channels": -4}))
    server.repos["me/nets"] = {**weights, "odd_x2.safetensors": (tmp_path / "odd_x2.safetensors").read_bytes()}
    zoo.find_weights("hf:me/nets/odd_x2.safetensors")
    zoo.find_weights("hf:me/nets")
    assert [reference for reference, _, _ in zoo.cached()] == ["hf:me/nets/fsrcnn_x4.safetensors"]


def test_the_licence_of_a_repository_is_known_offline(server, tmp_path):
    torch.save(create("fsrcnn", 2).state_dict(), tmp_path / "x2.pth")
    server.repos["me/bare"] = {"x2.pth": (tmp_path / "x2.pth").read_bytes(), "README.md": b"---\nlicense: cc-by-4.0\n---\nHi\n"}
    server.licence = "cc-by-4.0"
    assert _opened("hf:me/bare", 2)[2] == ["x2.pth of hf:me/bare: licence cc-by-4.0"]
    server.stop()
    assert zoo.open_model("hf:me/bare", 2, offline=True)[1].licence == "cc-by-4.0"


# short names


def test_a_short_name_that_does_not_ship_is_looked_up(server, weights, monkeypatch):
    with pytest.raises(WeightsNotFound, match="SRCLI_HUB names no repository"):
        _opened("fsrcnn")
    server.repos["me/nets"] = weights
    monkeypatch.setenv("SRCLI_HUB", "me/nets")
    assert _opened("fsrcnn")[:2] == ("fsrcnn", 4)
    assert _opened("fsrcnn", 2)[:2] == ("fsrcnn", 2)
    with pytest.raises(
        WeightsNotFound, match="no weights for 'fsrcnn' at x3 ship with srcli or are in 'hf:me/nets'; it has x2, x4"
    ):
        _opened("fsrcnn", 3)
    asked = len(server.asked)
    assert _opened("rfdn")[:2] == ("rfdn", 4)
    assert len(server.asked) == asked


def test_of_a_short_name_the_scale_that_is_needed_is_downloaded_and_no_other(server, weights, monkeypatch):
    server.repos["me/nets"] = weights
    monkeypatch.setenv("SRCLI_HUB", "me/nets")
    assert [m.scale for m in open_networks("fsrcnn", 2)] == [2]
    assert len(server.downloads()) == 1
    assert [m.scale for m in open_networks("fsrcnn", 2.5)] == [4]


def test_weights_that_cannot_be_had_are_not_replaced_by_those_of_another_scale(server, weights, monkeypatch):
    server.repos["me/nets"] = weights
    monkeypatch.setenv("SRCLI_HUB", "me/nets")
    for reference in ("fsrcnn", "hf:me/nets"):
        for scale in (2, 4):
            assert [m.scale for m in open_networks(reference, scale)] == [scale]
    for reference in ("fsrcnn", "hf:me/nets"):
        zoo.find_weights("hf:me/nets", 2).resolve().write_bytes(b"damaged")
        with pytest.raises(BadCheckpoint, match="its hash is not the one the Hub states"):
            open_networks(reference, 2)


def test_a_hub_that_is_down_leaves_what_ships(server, monkeypatch):
    monkeypatch.setenv("SRCLI_HUB", "me/nets")
    server.stop()
    said = []
    assert zoo.scales_of("rfdn-photo", say=said.append) == [2, 4]
    assert [line.split("; ")[-1] for line in said] == ["of 'rfdn-photo' only what ships is used"]
    with pytest.raises(WeightsNotFound, match="cannot be reached"):
        zoo.scales_of("fsrcnn")
    assert [m.scale for m in open_networks("bicubic", 3)] == [3]
    with pytest.raises(WeightsNotFound, match=r"no weights file 'missing\.safetensors'"):
        open_networks("missing.safetensors", 3)


# the program


def test_the_program_takes_a_mirror_from_the_environment(server, weights, tmp_path):
    server.repos["me/nets"] = weights
    Image.fromarray(photograph(9, 7)).save(tmp_path / "p.png")
    flags = ["upscale", str(tmp_path / "p.png"), "-m", "hf:me/nets", "--device", "cpu"]
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(tmp_path / "cache")}
    run = subprocess.run([sys.executable, "-m", "srcli", *flags], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert "fsrcnn_x4.safetensors of hf:me/nets: licence mit\n" in run.stderr
    server.stop()
    again = srcli(*flags, "--offline", "--exists", "overwrite")
    assert (again.exit_code, "licence" in again.stderr) == (0, False)


def test_importing_the_zoo_does_not_import_the_client():
    code = "import sys, srcli.zoo, srcli.hub; print([m for m in ('torch', 'huggingface_hub') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

"""The doctor tells what is there, what is left out and what is broken, and never fails for want of a network."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from srcli import zoo
from srcli.engine import doctor
from tests.program import srcli


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    """Point the Hub to a port that nothing listens on."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


def test_a_whole_installation_is_told_in_json_and_ends_well():
    result = srcli("doctor", "--json")
    assert result.exit_code == 0, result.output
    found = {r["name"]: r for r in map(json.loads, result.stdout.splitlines())}
    assert {"torch", "devices", "precision", "pictures", "video", "cache", "hub", "weights", "tile"} <= set(found)
    assert found["hub"]["state"] == "missing"
    assert "srcli[plot]" in found  # extras are those the installed package declares
    assert {r["state"] for r in found.values()} <= {"ok", "missing"}
    assert all(r["advice"] for r in found.values() if r["state"] != "ok")


def test_a_cache_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    assert doctor._cache().found == f"{tmp_path / 'home' / 'hub'}, not there yet"
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    found = doctor._cache()
    assert (found.state, found.found) == ("missing", f"{tmp_path / 'home' / 'hub'}, not there, and {tmp_path} not writable")
    assert "set HF_HOME" in found.advice


def test_damaged_weights_are_told_and_end_in_1(tmp_path, monkeypatch):
    for path in zoo.weights_folder().glob("[!.]*"):
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "mfdn_x4.safetensors").write_bytes(b"cut off")
    monkeypatch.setattr(zoo, "weights_folder", lambda: tmp_path)
    result = srcli("doctor")
    assert result.exit_code == 1
    assert [line for line in result.stdout.splitlines() if line[19] != " " or line[20] == " "] == []  # columns
    assert "mfdn_x4.safetensors" in result.stderr
    assert "reinstall srcli" in result.stderr


@contextmanager
def answering(monkeypatch, words: bytes) -> Iterator[None]:
    """Put a server in the Hub's place that answers once, with these words."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(words)
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        yield


def test_a_hub_that_answers_is_in_reach_whatever_it_says(monkeypatch):
    with answering(monkeypatch, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"):
        assert doctor._hub().state == "ok"


def test_a_hub_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        finding = doctor._hub()
    assert finding.state == "missing"
    assert "cannot be reached" in finding.found


def test_what_is_no_web_server_is_told_without_a_traceback(monkeypatch, capfd):
    with answering(monkeypatch, b"SSH-2.0-OpenSSH_9.6\r\n"):
        assert doctor._hub().found.endswith("cannot be reached (no HTTP: SSH-2.0-OpenSSH_9.6)")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:port")
    assert doctor._hub().found.endswith("cannot be reached (nonnumeric port: 'port')")
    assert capfd.readouterr().err == ""


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    finding = doctor._writable("this folder", tmp_path / "gone")
    assert finding.state == "missing"
    assert "-o" in finding.advice


def test_a_gpu_that_torch_was_not_built_for_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GTX 1080")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90"])
    finding = doctor._devices()
    assert (finding.state, finding.found) == ("missing", "this torch has no kernels for cuda:0 GTX 1080")


def test_a_missing_extra_names_its_install(monkeypatch):
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["torch>=2", "nosuchpackage>=1; extra == 'wings'"])
    (finding,) = doctor._extras()
    assert (finding.name, finding.state, finding.advice) == ("srcli[wings]", "missing", "pip install 'srcli[wings]'")

"""A local server that speaks the Hub's file API to the Hub's own client: repositories of a commit each, failing on purpose."""

import base64
import gc
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import torch

from srcli import checkpoint, hub
from srcli.models import create

COMMIT = "5" * 40
TOKEN = "hf_letmein"


class Hub(ThreadingHTTPServer):
    """Serve `repos`: a repository's name -> its files. `asked` are the requests, as `METHOD path [range]`.

    What is sent to it becomes a file by one commit, large files by way of `uploads`, as git LFS has it. Only TOKEN may.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.licence = "mit"
        self.asked: list[str] = []
        self.uploads: dict[str, bytes] = {}  # by SHA-256
        self.breaks = 0  # downloads that end half way
        self.lies = False  # bytes differ from the hash stated
        self.down = False
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        if self.thread.is_alive():
            self.shutdown()
            self.thread.join()
            self.server_close()

    def downloads(self) -> list[str]:
        return [line for line in self.asked if line.startswith("GET") and "/resolve/" in line]


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        api = re.match(r"/api/models/([^/]+/[^/?]+)(?:/revision/([^?]+))?", self.path)
        file = re.match(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        match = api or file
        assert match
        repo, revision = match[1], match[2] or "main"
        if self.server.down:
            return self._answer(503, {})
        if repo in self.server.gated:
            return self._answer(403, {"X-Error-Code": "GatedRepo"})
        if repo not in self.server.repos or (
            repo in self.server.private and self.headers.get("Authorization") != f"Bearer {TOKEN}"
        ):
            return self._answer(401, {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", COMMIT):
            return self._answer(404, {"X-Error-Code": "RevisionNotFound"})
        files = self.server.repos[repo]
        if api:
            content = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files], "private": False}
            content |= {"tags": [f"license:{self.server.licence}"] if self.server.licence else []}
            return self._answer(200, {"Content-Type": "application/json"}, json.dumps(content).encode())
        assert file
        if file[3] not in files:
            return self._answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        self._file(files[file[3]])

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def do_POST(self) -> None:
        self.server.asked.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.down:
            return self._answer(503, {})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {}, b'{"error": "Invalid username or password."}')
        url = self.server.url
        if self.path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            repo = f"{wanted['organization']}/{wanted['name']}"
            if repo in self.server.repos:
                return self._json({"error": "You already created this model repo", "url": f"{url}/{repo}"}, 409)
            self.server.repos[repo] = {}
            if wanted.get("visibility") == "private" or wanted.get("private"):
                self.server.private.add(repo)
            return self._json({"url": f"{url}/{repo}"})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", self.path):
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in names}
            return self._json({"files": [{"path": n, "uploadMode": m, "shouldIgnore": False} for n, m in modes.items()]})
        if self.path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            actions = [{**o, "actions": {"upload": {"href": f"{url}/upload/{o['oid']}"}}} for o in objects]
            return self._json({"transfer": "basic", "objects": actions})
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path)
        assert match
        files = self.server.repos[match[1]]
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.server.uploads[value["oid"]]
        return self._json({"commitUrl": f"{url}/{match[1]}/commit/{COMMIT}", "commitOid": COMMIT})

    def do_PUT(self) -> None:
        self.server.asked.append(f"PUT {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        oid = self.path.removeprefix("/upload/")
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.uploads[oid] = body
        self._answer(200, {})

    def _json(self, content: object, status: int = 200) -> None:
        self._answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def _file(self, content: bytes) -> None:
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        if self.server.lies:
            content = bytes([content[0] ^ 1]) + content[1:]
        start = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        if self.command == "GET" and self.server.breaks:
            self.server.breaks -= 1
            self._answer(206 if start else 200, {**headers, "Content-Length": str(len(body))}, body[: len(body) // 2])
            self.close_connection = True
            return
        self._answer(206 if start else 200, headers, body)

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Start a Hub that the client speaks to, with an empty cache in `folder` and no token."""
    served = Hub()
    monkeypatch.setattr(hub, "_client", lambda: huggingface_hub.HfApi(endpoint=served.url))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # the plain protocol, which mirrors speak
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(folder / "no token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("SRCLI_HUB", raising=False)
    try:
        yield served
    finally:
        served.stop()
        huggingface_hub.close_session()
        if served.asked:
            gc.collect()  # a socket left open would warn in some other test


def untrained(folder: Path) -> dict[str, bytes]:
    """Make untrained fsrcnn x2 and x4 as srcli saves them: file name -> bytes."""
    torch.manual_seed(0)
    for scale in (2, 4):
        model = create("fsrcnn", scale)
        checkpoint.save(folder / f"fsrcnn_x{scale}.safetensors", model, checkpoint.card_of(model, licence="BSD-3-Clause"))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

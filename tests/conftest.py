"""Data that several tests need: the data folder where there is one, and small pictures made here."""

import gc
import os
import signal
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from tests.hubserver import Hub

HEIGHT, WIDTH = 37, 53  # odd, and not square


def pytest_configure() -> None:
    """Give each of xdist's processes, before it loads torch, and the programs its tests start, a share of the cores."""
    if processes := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(processes))))


def pytest_collection_finish() -> None:
    """Leave what is imported out of every later garbage collection: torch's objects alone take a fifth of a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder that SRCLI_DATA names; skip where there is none."""
    folder = Path(os.environ.get("SRCLI_DATA", "/nowhere"))
    if not folder.is_dir():
        pytest.skip("SRCLI_DATA names no data folder")
    return folder


def photograph(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """Make (height, width, 3) uint8 that looks like a picture to a network: slopes, edges and a little noise."""
    return _photograph(height, width, seed).copy()


def png_chunk(name: bytes, data: bytes = b"") -> bytes:
    """Put a chunk of a PNG between its length and its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@lru_cache(maxsize=64)
def _photograph(height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = [128 + 60 * np.sin(x / (3 + c) + seed) * np.cos(y / (5 - c)) for c in range(3)]
    picture = np.stack(waves, -1) + 40 * ((x // 11 + y // 7) % 2)[..., None] + rng.normal(0, 3, (height, width, 3))
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder, with a space in its name, of three pictures of different sizes."""
    folder = tmp_path / "my pictures"
    folder.mkdir()
    for i, (height, width) in enumerate([(37, 53), (64, 48), (21, 90)]):
        Image.fromarray(photograph(height, width, i)).save(folder / f"p{i}.png")
    return folder


@contextmanager
def small_files(largest: int = 4096) -> Iterator[None]:
    """Let no file grow beyond `largest` bytes, which encoders see as they see a full disk; pytest's own log would too."""
    resource = pytest.importorskip("resource")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Make a folder of three HR pictures to train on."""
    folder = tmp_path / "hr"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(photograph(90, 76, i)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Hub]":
    """Start a local Hub, with an empty cache and no token."""
    from tests.hubserver import serving

    with serving(tmp_path, monkeypatch) as served:
        yield served


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Make untrained fsrcnn x2 and x4: file name -> bytes."""
    from tests.hubserver import untrained

    return untrained(tmp_path_factory.mktemp("weights"))

"""What this installation has and whether it works, found out one thing at a time; nothing here raises for what is missing."""

import os
import platform
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPException
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import av
import numpy as np
import torch
from PIL import features

from srcli import __version__, zoo
from srcli.engine.device import fast_precision, has_kernels, pick_device
from srcli.engine.tiling import made_picture
from srcli.engine.upscale import PROBE, Upscaler
from srcli.errors import UserError, counted, first_line

State = Literal["ok", "missing", "broken"]  # missing: something is left out that srcli does without
PATIENCE = 3.0  # seconds that the Hub has to answer, name look-up included
_TOOLS = {"test", "dev"}  # extras of those who work on srcli
_ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` says what to do where it is missing or broken."""

    name: str
    state: State
    found: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Look at everything in turn; the last, a tile through the default network, takes longest."""
    yield Finding("srcli", "ok", f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    yield Finding("torch", "ok", f"{torch.__version__}, {counted(torch.get_num_threads(), 'thread')}")
    yield _devices()
    yield Finding("precision", "ok", f"--precision auto tries {fast_precision(pick_device('auto'))} on {pick_device('auto')}")
    yield _compiler()
    yield _picture_formats()
    yield _video_encoders()
    yield from _extras()
    yield _cache()
    yield from (
        _writable(name, folder) for name, folder in (("this folder", Path.cwd()), ("temporary", Path(tempfile.gettempdir())))
    )
    yield _hub()
    yield _weights()
    yield _tile()


def _devices() -> Finding:
    names = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    if lost := [name for i, name in enumerate(names) if not has_kernels(torch.device("cuda", i))]:
        advice = "without them --device auto is the CPU; pytorch.org has torch for other GPUs"
        return Finding("devices", "missing", f"this torch has no kernels for {', '.join(lost)}", advice)
    if torch.backends.mps.is_available():
        names.append("mps")
    if names:
        return Finding("devices", "ok", ", ".join([*names, "cpu"]))
    if torch.version.cuda and Path("/proc/driver/nvidia").exists():
        advice = f"the driver is older than CUDA {torch.version.cuda}: update it, or take another torch from pytorch.org"
        return Finding("devices", "missing", "cpu only, although there is an NVIDIA driver", advice)
    return Finding("devices", "ok", "cpu")


def _compiler() -> Finding:
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++", "cl"]
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path is None:
        return Finding("compiler", "missing", "no C++ compiler", "torch.compile wants one; srcli does without")
    return Finding("compiler", "ok", path)


def _picture_formats() -> Finding:
    wanted = {"JPEG": "jpg", "PNG": "zlib", "TIFF": "libtiff", "WebP": "webp", "AVIF": "avif"}
    there = [name for name, codec in wanted.items() if features.check(codec)]
    lacking = [name for name in wanted if name not in there]
    advice = f"without {', '.join(lacking)}; pip install --force-reinstall pillow" if lacking else ""
    state: State = "broken" if {"JPEG", "PNG"} & set(lacking) else "missing" if lacking else "ok"
    return Finding("pictures", state, f"Pillow {metadata.version('pillow')}: {', '.join(there)}", advice)


def _video_encoders() -> Finding:
    there = [name for name, encoder in _ENCODERS.items() if encoder in av.codecs_available]
    state: State = "ok" if there else "missing"
    advice = "" if there else "videos cannot be written; pip install --force-reinstall av"
    return Finding("video", state, f"PyAV {av.__version__}: {', '.join(there) or 'no encoder'}", advice)


def _extras() -> Iterator[Finding]:
    """Look for the packages of every extra that the installed srcli declares."""
    wanted: dict[str, list[str]] = {}
    try:
        lines = metadata.requires("srcli") or []
    except metadata.PackageNotFoundError:
        yield Finding("extras", "missing", "srcli runs from its sources", "pip install -e .")
        return
    for line in lines:
        match = re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", line)
        if match and match[2] not in _TOOLS:
            wanted.setdefault(match[2], []).append(match[1])
    for extra, packages in sorted(wanted.items()):
        versions = {name: _version(name) for name in packages}
        lacking = [name for name, version in versions.items() if version is None]
        advice = f"pip install 'srcli[{extra}]'" if lacking else ""
        found = ", ".join(f"{name} {version or 'is not installed'}" for name, version in versions.items())
        yield Finding(f"srcli[{extra}]", "missing" if lacking else "ok", found, advice)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cache() -> Finding:
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ValueError as error:  # an HF_ENDPOINT that is no address
        return Finding("cache", "missing", f"huggingface_hub does not start ({first_line(error)})", "put HF_ENDPOINT right")

    folder = Path(HF_HUB_CACHE)
    advice = "downloads fail; set HF_HOME to a folder of yours"
    if not folder.is_dir():
        above = next(place for place in folder.absolute().parents if place.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            return Finding("cache", "missing", f"{folder}, not there, and {above} not writable", advice)
        return Finding("cache", "ok", f"{folder}, not there yet")
    size = sum(entry.lstat().st_size for entry in folder.rglob("*") if entry.is_file() and not entry.is_symlink())
    found = f"{folder}, {size / 2**20:,.1f} MiB of all programs that use the Hub"
    if not os.access(folder, os.W_OK):
        return Finding("cache", "missing", f"{found}, not writable", advice)
    return Finding("cache", "ok", found)


def _writable(name: str, folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding(
            name, "missing", f"{folder} cannot be written ({reason})", "give outputs elsewhere with -o, or set TMPDIR"
        )
    return Finding(name, "ok", f"{folder} can be written, {shutil.disk_usage(folder).free / 2**30:,.1f} GiB free")


def _hub() -> Finding:
    """Ask the Hub for its front page; in a thread, because a name look-up knows no limit of time."""
    try:
        from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE
    except ValueError as error:  # an HF_ENDPOINT that is no address
        return Finding("hub", "missing", f"HF_ENDPOINT is no address ({first_line(error)})", "put HF_ENDPOINT right")

    if HF_HUB_OFFLINE:
        return Finding("hub", "missing", "HF_HUB_OFFLINE is set", "unset it to download weights")
    answers: list[str | None] = []

    def ask() -> None:
        try:
            with urlopen(Request(ENDPOINT, method="HEAD"), timeout=PATIENCE):
                answers.append(None)
        except HTTPError:
            answers.append(None)  # it answers
        except (URLError, OSError, ValueError, HTTPException) as error:
            reason = first_line(getattr(error, "reason", error))
            answers.append(f"no HTTP: {reason}" if isinstance(error, BadStatusLine) else reason)

    started = time.perf_counter()
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    reason = answers[0] if answers else f"no answer in {PATIENCE:g} s"
    if reason is None:
        return Finding("hub", "ok", f"{ENDPOINT} answers in {time.perf_counter() - started:.1f} s")
    advice = "hf: weights come from the cache alone; set HTTPS_PROXY, or HF_ENDPOINT to a mirror"
    return Finding("hub", "missing", f"{ENDPOINT} cannot be reached ({reason})", advice)


def _weights() -> Finding:
    found = list(zoo.verify())
    problems = [problem for _, problem in found if problem]
    if not found or problems:
        return Finding("weights", "broken", "; ".join(problems) or f"none in '{zoo.weights_folder()}'", "reinstall srcli")
    return Finding("weights", "ok", f"{counted(len(found), 'file')} in {zoo.weights_folder()}, whole")


def _tile(seconds: Callable[[], float] = time.perf_counter) -> Finding:
    """Upscale a made tile twice with the default weights and time the second."""
    device = pick_device("auto")
    try:
        upscaler = Upscaler(zoo.open_model(zoo.DEFAULT)[0], device=device)
        picture = made_picture(PROBE, PROBE)
        upscaler.pixels(picture)
        started = seconds()
        out = upscaler.pixels(picture)
        taken = seconds() - started
    except (UserError, RuntimeError) as error:
        return Finding(
            "tile", "broken", first_line(error), f"try srcli upscale --device cpu; torch does not compute on {device}"
        )
    if np.ptp(out) == 0:
        return Finding("tile", "broken", f"{device} computes one colour only", "try srcli upscale --device cpu")
    precision = upscaler.choose(picture)
    return Finding(
        "tile", "ok", f"{PROBE}x{PROBE} by {zoo.DEFAULT} x{upscaler.scale} in {1000 * taken:.0f} ms on {device} in {precision}"
    )

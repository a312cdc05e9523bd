"""A gigapixel from end to end: python benchmarks/gigapixel.py FOLDER [--model standard] [--width 8192] [--height 8192]

Lays the photographs of FOLDER side by side in a tiled TIFF, has `srcli upscale` make it four times as large as a tiled
BigTIFF, and prints the time and the peak memory of that process. The result is then compared with crops of the input
upscaled alone, and opened with tifffile and Pillow. Needs 3 GiB of disk for each gigapixel, in --scratch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

SCALE, CELL, CROP, AROUND = 4, 512, 96, 128  # px; AROUND a crop is more than any of these networks sees


def main() -> None:
    """Make the picture, upscale it, print what it took and how near its crops are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="standard")
    parser.add_argument("--width", type=int, default=8192)
    parser.add_argument("--height", type=int, default=8192)
    parser.add_argument("--max-memory", default=None)
    parser.add_argument("--scratch", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        source, target = Path(scratch) / "in.tif", Path(scratch) / "out.tif"
        _child("make", str(given.folder), str(source), given.height, given.width)
        command = [
            sys.executable,
            "-m",
            "srcli",
            "upscale",
            str(source),
            "-o",
            str(target),
            "-m",
            given.model,
            "-s",
            str(SCALE),
        ]
        command += ["--max-memory", given.max_memory] if given.max_memory else []
        started = time.perf_counter()
        # this process holds next to nothing, for a child's record begins with what its parent held
        with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout
            told = run.stdout.read()
            _, status, usage = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
        if run.returncode:
            raise SystemExit(run.returncode)
        took = time.perf_counter() - started
        done = json.loads(told)
        print(f"{date.today()}, {given.model}, {given.width}x{given.height} to {done['width']}x{done['height']}")
        print(
            f"peak {usage.ru_maxrss / 1024:.0f} MiB, {took:.0f} s (decode {done['decode']:.0f}, network {done['seconds']:.0f}, "
            f"encode {done['encode']:.0f}), {target.stat().st_size / 2**20:.0f} MiB written, computed in {done['precision']}"
        )
        print(_child("compare", str(source), str(target), given.model, done["precision"]), end="")


def _child(*task: object) -> str:
    return subprocess.run(
        [sys.executable, __file__],
        env=os.environ | {"SRCLI_BENCHMARK": json.dumps(task)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def _make(folder: str, target: str, height: int, width: int) -> None:
    import numpy as np
    from PIL import Image, ImageOps

    from srcli.media.picture import Picture
    from srcli.media.strips import StripWriter

    paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    cells = [np.asarray(ImageOps.fit(Image.open(path).convert("RGB"), (CELL, CELL))) for path in paths]
    across = -(-width // CELL)
    with StripWriter(Path(target), height, width, Picture(cells[0])) as writer:
        for top in range(0, height, CELL):
            first = top // CELL * across
            band = np.concatenate([cells[(first + i + top // CELL) % len(cells)] for i in range(across)], 1)
            writer.write(band[: height - top, :width])


def _compare(source: str, target: str, model: str, precision: str) -> None:
    import numpy as np
    import tifffile
    from PIL import Image

    from srcli.engine.upscale import Upscaler
    from srcli.zoo import open_model

    Image.MAX_IMAGE_PIXELS = None
    with Image.open(target) as shown:
        size = shown.size
    upscaler = Upscaler(open_model(model, SCALE)[0], precision=precision)  # type: ignore[arg-type]
    with tifffile.TiffFile(source) as small, tifffile.TiffFile(target) as large:
        height, width = small.pages.first.shape[:2]
        assert (large.is_bigtiff, large.pages.first.shape, size) == (
            True,
            (height * SCALE, width * SCALE, 3),
            (width * SCALE, height * SCALE),
        )
        errors = []
        for top in np.linspace(0, height - CROP, 5).astype(int):
            for left in np.linspace(0, width - CROP, 5).astype(int):
                first, begin = max(top - AROUND, 0), max(left - AROUND, 0)
                around = _region(small.pages.first, first, top + CROP + AROUND, begin, left + CROP + AROUND)
                down, right = (top - first) * SCALE, (left - begin) * SCALE
                alone = upscaler.pixels(around)[down : down + CROP * SCALE, right : right + CROP * SCALE]
                part = _region(large.pages.first, top * SCALE, (top + CROP) * SCALE, left * SCALE, (left + CROP) * SCALE)
                errors.append(np.abs(part.astype(int) - alone))
    error = np.stack(errors)
    print(
        f"{len(errors)} crops of {CROP * SCALE} px upscaled alone: at most {error.max()} levels off, "
        f"{(error > 0).mean():.4%} of the values differ"
    )


def _region(page, top: int, bottom: int, left: int, right: int):  # type: ignore[no-untyped-def]
    """Decode with tifffile the tiles that hold a region of a page, and cut it out."""
    import numpy as np

    height, width = page.shape[:2]
    bottom, right, side = min(bottom, height), min(right, width), page.tilelength
    across = -(-width // page.tilewidth)
    rows = []
    for row in range(top // side, -(-bottom // side)):
        tiles = []
        for column in range(left // page.tilewidth, -(-right // page.tilewidth)):
            index = row * across + column
            page.parent.filehandle.seek(page.dataoffsets[index])
            data = page.parent.filehandle.read(page.databytecounts[index])
            tile, _, shape = page.decode(data, index)
            tiles.append(tile[0, : shape[1], : shape[2]])
        rows.append(np.concatenate(tiles, 1))
    y, x = top // side * side, left // page.tilewidth * page.tilewidth
    return np.concatenate(rows)[top - y : bottom - y, left - x : right - x]


if __name__ == "__main__":
    if "SRCLI_BENCHMARK" in os.environ:
        name, *rest = json.loads(os.environ.pop("SRCLI_BENCHMARK"))
        {"make": _make, "compare": _compare}[name](*rest)
    else:
        main()

"""Feed damaged files to everything that reads them: python benchmarks/fuzz.py [COUNT] [OPTIONS]

Small files of every kind, made here and (up to 20 kB) taken from SRCLI_DATA/nasty, are mutated: bits, bytes and numbers
changed, cut, spliced, repeated; half of the PNG files get their checksums mended, to come further. A picture is probed, read,
read as an animation and in strips, and what was read is written again; a weights file gives its card. A worker process has
2 s of processor time a file and 1 GiB of address space more than it began with.

A crash is anything but a result or a UserError, the death of the worker included; a hang is more time; "memory" is a file
that was refused, but for lack of memory only. File number INDEX of seed N is the same in every run of one version with the
same kinds, but for weights files, whose library orders the header at random; --only shows what becomes of one, with its
traceback, and --keep stores what failed. Exits 1 if anything crashed or hung.
"""

import argparse
import functools
import io
import os
import random
import re
import resource
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
import torch
from PIL import Image, ImageCms, PngImagePlugin

from srcli.checkpoint import card_of, read_card, save
from srcli.errors import UserError
from srcli.media.animation import frame_count, read_animation, write_animation
from srcli.media.picture import Picture
from srcli.media.probe import probe
from srcli.media.read import read_image
from srcli.media.strips import open_strips
from srcli.media.write import write_image
from srcli.models import create

SECONDS = 2.0  # of the processor, a file
BYTES = 2**30  # of address space, above what the worker begins with
LARGEST = 20_000  # bytes of a file to start from
HEIGHT, WIDTH = 17, 29
BAD = ("crash", "hang", "memory")


class Start(NamedTuple):
    """A sound file to damage."""

    kind: str
    data: bytes


def main(starts: list[Start], count: int, seed: int, keep: Path | None) -> int:
    """Run all files and print what became of them, by kind."""
    table: dict[str, Counter[str]] = {}
    began = time.monotonic()
    for done, (index, status) in enumerate(_outcomes(starts, seed, count), 1):
        start, data = _file(starts, seed, index)
        table.setdefault(start.kind, Counter())[status] += 1
        if status in BAD:
            print(f"{index}: {start.kind}: {status}", flush=True)
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{index}_{status}.{start.kind}").write_bytes(data)
        if done % 10_000 == 0:
            print(f"{done:,} files in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    columns = ("result", "refused", *BAD)
    print(f"seed {seed}, {len(starts)} files to start from")
    print(f"{'':<14}{'files':>10}" + "".join(f"{name:>10}" for name in columns))
    table["all"] = sum(table.values(), Counter())
    for kind, counts in table.items():
        print(f"{kind:<14}{counts.total():>10,}" + "".join(f"{counts[name]:>10,}" for name in columns))
    return int(any(table["all"][name] for name in ("crash", "hang")))


def show(starts: list[Start], index: int, seed: int) -> None:
    """Tell what becomes of one file, with the traceback of a crash."""
    start, data = _file(starts, seed, index)
    with tempfile.TemporaryDirectory() as folder:
        print(start.kind, len(data), "bytes")
        _limit()
        began = time.process_time()
        print(_tried(start.kind, data, Path(folder), tell=True), f"{time.process_time() - began:.2f} s")


# Running


def _outcomes(starts: list[Start], seed: int, count: int) -> Iterator[tuple[int, str]]:
    """Yield what became of each file; a worker that dies or hangs is replaced."""
    context = get_context("fork")
    index = 0
    while index < count:
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(theirs, starts, seed, index, count), daemon=True)
        worker.start()
        theirs.close()
        while index < count:
            spent = _processor_seconds(worker.pid or 0)
            try:
                while not ours.poll(SECONDS):
                    if _processor_seconds(worker.pid or 0) - spent > SECONDS:
                        worker.kill()
                        status = "hang"
                        break
                else:
                    status = ours.recv()
            except EOFError:
                status = "crash"
            yield index, status
            index += 1
            if status in ("hang", "crash"):  # a new worker also after an exception: who knows what is left behind
                break
        worker.kill()
        worker.join()
        ours.close()


def _processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _work(connection: Connection, starts: list[Start], seed: int, first: int, count: int) -> None:
    _limit()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what libraries say of damage
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for index in range(first, count):
            start, data = _file(starts, seed, index)
            connection.send(_tried(start.kind, data, Path(folder)))


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _tried(kind: str, data: bytes, folder: Path, *, tell: bool = False) -> str:
    path = folder / f"a.{kind}"
    path.write_bytes(data)
    try:
        outcomes = [_outcome(run, path, tell) for run in TRIED["safetensors" if kind == "safetensors" else "picture"]]
    except Exception:  # noqa: BLE001 that is the question
        if tell:
            traceback.print_exc()
        return "crash"
    return "memory" if "memory" in outcomes else outcomes[0]


def _outcome(run: Callable[[Path], object], path: Path, tell: bool) -> str:
    try:
        run(path)
    except UserError as error:
        if tell:
            print(f"{run.__name__}: {error}")
            traceback.print_exc()
        if "\n" in str(error):
            raise AssertionError("more than one line") from error
        return "memory" if "memory" in str(error) else "refused"
    return "result"


def _still(path: Path) -> None:
    facts = probe(path)
    picture = read_image(path)
    unused = facts.format in ("dds", "tga") and picture.alpha is None  # 0 or 255 all over
    channels = (picture.pixels.shape[2], picture.alpha is not None or (unused and facts.alpha))
    if (*picture.pixels.shape[:2], *channels) != (facts.height, facts.width, facts.channels, facts.alpha):
        raise AssertionError(f"the header says {facts}, the pixels are {picture.pixels.shape}")
    if picture.pixels.size < 2**17:
        # AVIF takes its encoder a hundred times as long as all the rest; the others cannot be written
        format = "png" if picture.format in ("avif", "gif", "dds", "heic") else picture.format
        out = path.with_name(f"out.{format}")
        write_image(picture, out, format=format)
        read_image(out)


def _film(path: Path) -> None:
    if frame_count(path) > 1:
        film = read_animation(path)
        if sum(frame.pixels.size for frame in film.frames) < 2**17:
            write_animation(film, path.with_name("film"), format="gif")


def _strips(path: Path) -> None:
    reader = open_strips(path)
    if reader is not None:
        with reader:
            for top in range(0, min(reader.height, 4096), 512):
                reader.rows(top, min(top + 512, reader.height))


TRIED: dict[str, list[Callable[[Path], object]]] = {"picture": [_still, _film, _strips], "safetensors": [read_card]}


# Damage


def _file(starts: list[Start], seed: int, index: int) -> tuple[Start, bytes]:
    dice = random.Random(f"{seed} {index}")
    start = dice.choice(starts)
    data = bytearray(start.data)
    others = [other.data for other in starts if other.kind == start.kind]
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        dice.choice(MUTATIONS)(data, dice, others)
    return start, _checksums_mended(bytes(data)) if dice.random() < 0.5 else bytes(data)


Mutation = Callable[[bytearray, random.Random, list[bytes]], None]
NUMBERS = (0, 1, 2, 3, 7, 8, 9, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)


def _place(data: bytearray, dice: random.Random) -> int:
    """Choose a place, every second time within what is mostly a header."""
    return dice.randrange(max(min(len(data), dice.choice((64, 512, len(data), len(data), len(data)))), 1))


def _bits(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    for _ in range(dice.choice((1, 2, 4, 16)) if data else 0):
        data[_place(data, dice)] ^= 1 << dice.randrange(8)


def _byte(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    if data:
        data[_place(data, dice)] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))


def _number(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    code = dice.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(code)
    at = _place(data, dice)
    data[at : at + size] = struct.pack(code, dice.choice(NUMBERS) % 2 ** (8 * size))


def _text(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    """Change a number that is written in digits, as in PPM and JSON."""
    if digits := list(re.finditer(rb"\d+", data[:2000])):
        match = dice.choice(digits)
        data[match.start() : match.end()] = dice.choice((b"0", b"-1", b"99999999999999999999", b"1e9", b"", b"65536", b"nan"))


def _cut(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    del data[_place(data, dice) :]


def _drop(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    at = _place(data, dice)
    del data[at : at + dice.choice((1, 2, 4, 12, 100))]


def _repeat(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    at = _place(data, dice)
    data[at:at] = data[at : at + dice.choice((1, 4, 12, 100, 1000))] * dice.choice((1, 2, 50))


def _insert(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    at = _place(data, dice)
    data[at:at] = dice.randbytes(dice.choice((1, 4, 12, 100)))


def _splice(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    other = dice.choice(others)
    start = dice.randrange(len(other) + 1)
    at = _place(data, dice)
    data[at : at + dice.choice((0, 12, 100, 10**6))] = other[start : start + dice.choice((4, 12, 100, 10**6))]


MUTATIONS: list[Mutation] = [_bits, _bits, _byte, _number, _number, _text, _cut, _drop, _repeat, _insert, _splice]


def _checksums_mended(data: bytes) -> bytes:
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    mended, at = bytearray(data), 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if at + 12 + size > len(data):
            break
        struct.pack_into(">I", mended, at + 8 + size, zlib.crc32(data[at + 4 : at + 8 + size]))
        at += 12 + size
    return bytes(mended)


# Sound files


@functools.cache
def _noise(channels: int, dtype: str = "uint8") -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = np.stack([8 * x, 12 * y, 4 * (x + y), 255 - 6 * x], axis=2)[..., :channels]
    if dtype == "float32":
        return (smooth / 255).astype(np.float32)
    return (smooth * (257 if dtype == "uint16" else 1)).astype(dtype)


def _starts() -> Iterator[Start]:
    rgb, gray, rgba = (Image.fromarray(a) for a in (_noise(3), _noise(1)[..., 0], _noise(4)))
    metadata = _metadata()
    palette = rgb.quantize(16)
    frames = [Image.fromarray(np.roll(_noise(4), 5 * i, axis=1)) for i in range(3)]
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a picture", zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    icc, exif = metadata["icc_profile"], metadata["exif"]
    film = {"save_all": True, "append_images": frames[1:], "duration": [40, 50, 60], "loop": 2}
    for image in (rgb, gray, rgba, palette, rgb.convert("1"), gray.convert("LA")):
        yield _saved(image, "png")
    yield _saved(rgb, "png", icc_profile=icc, exif=exif, pnginfo=text, dpi=(300, 300))
    yield _saved(palette, "png", transparency=bytes(range(0, 160, 10)))
    yield _saved(frames[0], "png", **film)
    for image in (rgb, gray, rgb.convert("CMYK"), rgb.convert("YCbCr")):
        yield _saved(image, "jpeg")
    yield _saved(rgb, "jpeg", progressive=True, subsampling=2, restart_marker_blocks=1)
    yield _saved(rgb, "jpeg", icc_profile=icc, exif=exif, xmp=b"<x:xmpmeta/>", comment=b"text", dpi=(300, 300))
    yield _saved(rgb.convert("CMYK"), "jpeg", icc_profile=icc)
    yield _saved(rgb, "webp")
    yield _saved(rgba, "webp", lossless=True, icc_profile=icc, exif=exif, xmp=b"<x:xmpmeta/>")
    yield _saved(frames[0], "webp", **film)
    yield _saved(rgb, "avif")
    yield _saved(rgba, "avif", icc_profile=icc, exif=exif)
    yield _saved(gray, "avif", subsampling="4:0:0")
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield _saved(rgb, "tiff", compression=compression)
    lab = Image.frombytes("LAB", rgb.size, rgb.tobytes())
    for image in (palette, gray, rgb.convert("1"), rgba, rgb.convert("CMYK"), lab):
        yield _saved(image, "tiff")
    yield _saved(rgb.convert("1"), "tiff", compression="group4")
    yield _saved(rgb, "tiff", exif=exif, icc_profile=icc, dpi=(300, 300))
    yield _saved(frames[0].convert("RGB"), "tiff", save_all=True, append_images=[f.convert("RGB") for f in frames[1:]])
    for image in (rgb, gray, palette, rgb.convert("1")):
        yield _saved(image, "bmp")
    for image in (rgb, gray, rgb.convert("1")):
        yield _saved(image, "ppm")
    yield Start("ppm", b"P3\n# comment\n2 2\n255\n" + b"1 2 3  4 5 6  7 8 9  10 11 12\n")
    yield Start("ppm", b"P2 2 2 1023\n0 1 512 1023\n")
    yield Start("ppm", b"Pf\n2 2\n-1.0\n" + struct.pack("<4f", 0, 0.5, 0.25, 1))
    yield _saved(palette, "gif", transparency=3)
    yield _saved(frames[0].convert("RGB").quantize(16), "gif", save_all=True, append_images=[palette, palette.rotate(180)])
    for image in (rgb, gray, rgba, palette, gray.convert("LA")):
        yield _saved(image, "tga")
        yield _saved(image, "tga", rle=True)
    yield _saved(rgb, "tga", id_section=b"text")
    for image in (rgb, gray, rgba, gray.convert("LA")):
        yield _saved(image, "dds")
    for kind in ("DXT1", "DXT3", "DXT5", "BC2", "BC3", "BC5"):
        yield _saved(rgb if kind == "BC5" else rgba, "dds", pixel_format=kind)
    yield from _deep()
    yield from _heic()
    yield from _weights()


def _metadata() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    exif.get_ifd(0x8769)[0x829A] = 0.01
    exif.get_ifd(0x8825)[1] = "N"
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    icc[24:36] = bytes(12)  # when it was made, which would differ from run to run
    return {"exif": exif.tobytes(), "icc_profile": bytes(icc)}


def _saved(image: Image.Image, kind: str, **options: object) -> Start:
    buffer = io.BytesIO()
    image.save(buffer, kind.upper(), **options)  # type: ignore[arg-type]
    return Start(kind, buffer.getvalue())


def _deep() -> Iterator[Start]:
    """Yield what has more than 8 bits, and TIFF in its layouts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        for format, channels, alpha in (
            ("png", 1, False),
            ("png", 3, False),
            ("png", 3, True),
            ("png", 1, True),
            ("ppm", 3, False),
        ):
            plain = Picture(_noise(channels, "uint16"), _noise(1, "uint16")[..., 0] if alpha else None)
            write_image(plain, path, format=format)
            yield Start(format, path.read_bytes())
        write_image(Picture(_noise(3, "uint16"), exif=_metadata()["exif"].removeprefix(b"Exif\0\0")), path, format="tiff")
        yield Start("tiff", path.read_bytes())
        packed = {"compression": "zlib", "predictor": True}
        for options in ({}, {"tile": (16, 16)}, packed, {"tile": (16, 16), **packed}, {"bigtiff": True}, {"byteorder": ">"}):
            for dtype in ("uint8", "uint16", "float32"):
                if dtype == "float32" and "predictor" in options:
                    continue
                tifffile.imwrite(path, _noise(3, dtype), photometric="rgb", **options)
                yield Start("tiff", path.read_bytes())
        tifffile.imwrite(path, np.moveaxis(_noise(3, "uint16"), -1, 0), photometric="rgb", planarconfig="separate")
        yield Start("tiff", path.read_bytes())


def _heic() -> Iterator[Start]:
    """Yield HEIC of 8 and 10 bits, where the extra srcli[heic] is there."""
    try:
        import pillow_heif
    except ImportError:
        return
    for channels, mode in ((3, "RGB"), (1, "L"), (4, "RGBA")):
        for dtype, suffix in (("uint8", ""), ("uint16", ";16")):
            stored = pillow_heif.from_bytes(mode + suffix, (WIDTH, HEIGHT), _noise(channels, dtype).tobytes())
            buffer = io.BytesIO()
            stored.save(buffer, format="HEIF", exif=_metadata()["exif"], xmp=b"<x:xmpmeta/>")
            yield Start("heic", buffer.getvalue())


def _weights() -> Iterator[Start]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        model = create("bicubic", 2)
        save(path, model, card_of(model, licence="MIT", training={"steps": 10}, scores=[{"psnr": 30.0}]))
        yield Start("safetensors", path.read_bytes())
        torch.manual_seed(0)
        fsrcnn = create("fsrcnn", 2)
        save(path, fsrcnn, card_of(fsrcnn))
        data = path.read_bytes()
        yield Start("safetensors", data[:LARGEST])
        yield Start("safetensors", data[: 8 + struct.unpack("<Q", data[:8])[0]])


def _nasty() -> Iterator[Start]:
    folder = Path(os.environ.get("SRCLI_DATA", "/nowhere")) / "nasty"
    kinds = {".jpg": "jpeg", ".tif": "tiff"}
    for path in sorted(folder.glob("*")):
        if path.stat().st_size <= LARGEST:
            yield Start(kinds.get(path.suffix, path.suffix[1:]), path.read_bytes())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", type=int, metavar="INDEX")
    parser.add_argument("--kind", action="append", help="start from files of this kind alone; may be repeated")
    given = parser.parse_args()
    starts = [start for start in (*_starts(), *_nasty()) if not given.kind or start.kind in given.kind]
    if given.only is not None:
        show(starts, given.only, given.seed)
    else:
        sys.exit(main(starts, given.count, given.seed, given.keep))

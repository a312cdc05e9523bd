"""What srcli upscale does with its flags, beyond what test_cli.py holds for every command."""

import errno
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from srcli.commands.forecast import Forecast, Swift
from srcli.engine import pipeline
from srcli.engine.resizer import Resizer, open_networks
from srcli.engine.upscale import Upscaler
from srcli.errors import BadCheckpoint
from tests.clips import make_clip
from tests.conftest import photograph, small_files
from tests.engine.test_edges import words
from tests.program import PROGRAM, srcli, upscale


def size(path: Path) -> tuple[int, int]:
    """Return width and height."""
    with Image.open(path) as image:
        return image.size


def names(folder: Path | str) -> list[str]:
    """List a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


# What flags hand on


def test_the_level_of_png_and_the_self_ensemble_reach_the_work(folder, tmp_path):
    def upscaled(name: str, *flags: object) -> Path:
        flags = (
            folder / "p0.png",
            "-o",
            tmp_path / name,
            "-s",
            2,
            "-m",
            "rfdn",
            "--device",
            "cpu",
            "--precision",
            "fp32",
            *flags,
        )
        run = srcli("upscale", *flags)
        assert run.exit_code == 0, run.output
        return tmp_path / name

    fast, small = upscaled("fast.png", "--png-level", 0), upscaled("small.png", "--png-level", 9)
    assert fast.stat().st_size > 1.2 * small.stat().st_size
    with Image.open(fast) as a, Image.open(small) as b, Image.open(upscaled("mean.png", "--ensemble")) as mean:
        assert np.array_equal(a, b)
        assert 0 < np.abs(np.array(a, int) - np.array(mean, int)).mean() < 3


# Sizes; p0.png is 53 x 37


def test_a_fractional_factor_is_named_and_said_once(folder, tmp_path):
    result = upscale(folder, "-s", 2.5)
    assert result.exit_code == 0, result.output
    assert size(tmp_path / "my pictures_x2.5" / "p0.png") == (133, 93)
    assert [line for line in result.stderr.splitlines() if "resampled" in line] == ["x2.5: x3 by the network, then resampled"]


def test_the_shipped_scale_gives_the_others(folder, tmp_path):
    run = srcli("upscale", folder / "p2.png", "-s", "3.5", "-m", "rfdn", "--tile", "32")
    assert run.exit_code == 0, run.output
    assert "x3.5: x4 by the network, then resampled" in run.stderr
    assert size(folder / "p2_x3.5.png") == (315, 74)


@pytest.mark.parametrize(
    ("flags", "name", "wanted"),
    [
        (["--width", 106], "w106", (106, 74)),
        (["--height", 100], "h100", (143, 100)),
        (["--width", 100, "--height", 100], "100x100", (100, 70)),
        (["--width", 100, "--height", 100, "--fit", "cover"], "100x100", (143, 100)),
        (["--long-side", 99], "long99", (99, 69)),
        (["--min-side", 50], "min50", (72, 50)),
        (["--min-side", 20], "min20", (53, 37)),
        (["--width", 20], "w20", (20, 14)),
    ],
)
def test_sizes_in_px_keep_the_proportions(folder, flags, name, wanted):
    result = upscale(folder / "p0.png", *flags)
    assert result.exit_code == 0, result.output
    assert size(folder / f"p0_{name}.png") == wanted


def test_a_picture_that_has_the_size_is_kept_and_said(folder):
    result = upscale(folder / "p0.png", "--min-side", 20)
    assert "53 x 37 px is its size already, kept" in result.stderr
    with Image.open(folder / "p0.png") as source, Image.open(folder / "p0_min20.png") as target:
        np.testing.assert_array_equal(source, target)


@pytest.mark.parametrize(
    ("flags", "code", "text"),
    [
        (["-s", 2, "--width", 100], 2, "--scale and --width or --height exclude each other"),
        (["--long-side", 9, "--min-side", 9], 2, "--long-side and --min-side exclude each other"),
        (["--width", 100, "--fit", "cover"], 2, "give both"),
        (["--fit", "crop"], 2, "--fit is one of contain, cover, not 'crop'"),
        (["--width", 8000], 1, "more than 16 times its size"),
        (["-s", 17], 2, "less than or equal to 16"),
    ],
)
def test_sizes_that_contradict_are_refused(folder, flags, code, text):
    result = upscale(folder / "p0.png", *flags)
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert len(list(folder.iterdir())) == 3


def test_a_picture_too_large_for_its_format_fails_alone(folder, tmp_path):
    Image.new("L", (9000, 1)).save(folder / "long.webp")
    line = f"the result of '{folder / 'long.webp'}' would be 18000 x 2 px, but WEBP ends at 16,383; choose --format png"
    for flags in (("--dry-run",), ()):
        result = upscale(folder, "-o", tmp_path / "out", "-s", 2, *flags)
        assert result.exit_code == 1
        assert f"error: {line}" in result.stderr
    assert names(tmp_path / "out") == ["p0.png", "p1.png", "p2.png"]


# Names


def test_a_list_names_inputs_and_a_file_of_that_name_wins(folder, monkeypatch):
    monkeypatch.chdir(folder)
    Path("list.txt").write_text("# holiday\n\np0.png\n  p1.png\n")
    result = upscale("@list.txt", "-o", "out", "-s", 2)
    assert result.exit_code == 0, result.output
    assert names("out") == ["p0.png", "p1.png"]
    Path("p2.png").rename("@list.txt")
    assert upscale("@list.txt", "-o", "out", "-s", 2).exit_code == 0
    assert size(Path("out/@list.png")) == (180, 42)


@pytest.mark.parametrize(
    ("content", "text"), [(b"# none\n", "names no picture"), (b"\xff\xfe", "not UTF-8"), (None, "No such")]
)
def test_a_list_without_pictures_is_refused(folder, monkeypatch, content, text):
    monkeypatch.chdir(folder)
    if content:
        Path("list.txt").write_bytes(content)
    result = upscale("@list.txt")
    assert result.exit_code == 1
    assert text in result.stderr
    assert "'list.txt'" in result.stderr


def test_a_pattern_names_the_results(folder, tmp_path):
    result = upscale(folder, "-o", tmp_path / "out", "--name", "{stem}_{model}_x{scale}_{width}x{height}{ext}", "-s", 2.5)
    assert result.exit_code == 0, result.output
    wanted = ["p0_bicubic_x2.5_133x93.png", "p1_bicubic_x2.5_120x160.png", "p2_bicubic_x2.5_225x53.png"]
    assert names(tmp_path / "out") == wanted


@pytest.mark.parametrize(
    ("flags", "called"), [([], "auto"), (["-m", "standard-auto"], "standard-auto"), (["-m", "rfdn"], "rfdn")]
)
def test_a_name_is_not_of_weights_that_a_picture_may_not_go_through(folder, flags, called):
    Image.fromarray(photograph()).save(folder / "q.jpg", quality=40)  # rfdn-photo's
    result = srcli("upscale", folder / "q.jpg", "--name", "{stem}_{model}", "-s", 2, "--dry-run", *flags)
    assert f"/q_{called}.jpg" in result.stdout


def test_a_pattern_without_ext_gets_it(folder):
    assert upscale(folder / "p0.png", "--name", "{stem} x{scale}", "-s", 2.5, "--format", "webp").exit_code == 0
    assert size(folder / "p0 x2.5.webp") == (133, 93)


@pytest.mark.parametrize(
    ("flags", "code", "text"),
    [
        (["--name", "{steam}{ext}"], 2, "not {steam}"),
        (["--name", "{stem"], 2, "is no pattern"),
        (["--name", "../{stem}"], 2, "no name of a file"),
        (["--name", "{stem.__class__}"], 2, "not {stem.__class__}"),
        (["--name", "same{ext}"], 2, "both would be"),
        (["--name", "{stem}", "--suffix", "_x"], 2, "choose one"),
        (["--name", "{stem}" + "n" * 250], 2, "name of 256 bytes, 255 is the most"),
    ],
)
def test_patterns_that_name_nothing_are_refused(folder, flags, code, text):
    result = upscale(folder / "p0.png", folder / "p1.png", *flags)
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert len(list(folder.iterdir())) == 3


def test_the_longest_name_is_written(folder):
    assert upscale(folder / "p0.png", "--name", "n" * 251, "-s", 2).exit_code == 0
    assert size(folder / f"{'n' * 251}.png") == (106, 74)


def test_inputs_that_are_links_or_read_only_are_read_and_stay(folder):
    (folder / "p0.png").chmod(0o444)
    (folder / "link.png").symlink_to("p0.png")
    assert upscale(folder / "link.png", "-s", 2).exit_code == 0
    assert size(folder / "link_x2.png") == (106, 74)
    assert (folder / "link.png").is_symlink()
    assert size(folder / "p0.png") == (53, 37)


# Pipes


def test_stdin_goes_to_stdout(folder):
    result = upscale("-", "-o", "-", "-s", 2, input=(folder / "p0.png").read_bytes())
    assert result.exit_code == 0, result.output
    with Image.open(io.BytesIO(result.stdout_bytes)) as image:
        assert (image.format, image.size) == ("PNG", (106, 74))


def test_the_format_on_stdout_is_as_asked(folder):
    result = upscale(folder / "p0.png", "-o", "-", "-s", 2, "--format", "jpg")
    with Image.open(io.BytesIO(result.stdout_bytes)) as image:
        assert image.format == "JPEG"


def test_stdin_goes_to_a_file(folder, tmp_path):
    assert upscale("-", "-o", tmp_path / "a.webp", "-s", 2, input=(folder / "p0.png").read_bytes()).exit_code == 0
    assert size(tmp_path / "a.webp") == (106, 74)


@pytest.mark.parametrize(
    ("arguments", "content", "code", "text"),
    [
        (["-"], b"x", 2, "has no name"),
        (["-", "-o", "-"], b"", 1, "stdin is empty"),
        (["-", "-o", "-"], b"no picture", 1, "error: 'stdin' is no picture that srcli knows"),
        (["{folder}", "-o", "-"], b"", 2, "takes one picture, there are 3"),
        (["{folder}/p0.png", "-o", "-", "--json"], b"", 2, "--json and -o - both write to stdout"),
        (["{folder}/p0.png", "-o", "-", "--dry-run"], b"", 2, "--dry-run and -o - both write to stdout"),
    ],
)
def test_what_cannot_be_piped_is_said(folder, arguments, content, code, text):
    result = upscale(*(a.replace("{folder}", str(folder)) for a in arguments), input=content)
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert result.stdout_bytes == b""


def test_json_names_stdin_and_the_network(folder, tmp_path):
    result = upscale("-", "-o", tmp_path / "a.png", "-s", 2, "--json", input=(folder / "p0.png").read_bytes())
    record = json.loads(result.stdout)
    assert (record["input"], record["model"]) == ("stdin", "bicubic")


@pytest.mark.parametrize("name", ["-dash.png", "-s2.png"])
def test_a_file_whose_name_looks_like_an_option_is_pointed_out(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    Path("p0.png").rename(name)
    result = upscale(name)
    assert (result.exit_code, result.stderr) == (2, f"error: '{name}' is taken for options; for the file: ./{name}\n")
    assert upscale(f"./{name}", "-s", 2).exit_code == 0


def srcli_in_a_shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run a line of sh, in which "$srcli" upscales with the bicubic network."""
    command = f'srcli() {{ {shlex.quote(sys.executable)} -m srcli upscale -m bicubic -s 2 "$@"; }}; {line}'
    run = ["sh", "-c", command]
    return subprocess.run(run, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="sh")
def test_a_closed_stdout_ends_nothing(folder):
    result = srcli_in_a_shell("srcli . -o out >&-", folder)
    assert (result.returncode, names(folder / "out")) == (0, ["p0.png", "p1.png", "p2.png"]), result.stderr


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_work_goes_on_where_nobody_reads_what_is_told_of_it(folder, tmp_path, monkeypatch, flags):
    make_clip(folder / "clip.mkv", frames=2, codec="ffv1")
    read, write = os.pipe()
    os.close(read)
    with monkeypatch.context() as patched, pytest.raises(SystemExit) as end:
        patched.setattr("sys.stdout", os.fdopen(write, "w", closefd=False))
        PROGRAM.main(["upscale", str(folder), "-o", str(tmp_path / "out"), "-m", "bicubic", "-s", "2", *flags])
    assert end.value.code == 0
    assert names(tmp_path / "out") == ["clip.mkv", "p0.png", "p1.png", "p2.png"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full")
@pytest.mark.parametrize(("line", "unbuffered"), [("srcli . -o out > /dev/full", ""), ("srcli p0.png -o - > /dev/full", "1")])
def test_a_stdout_that_takes_no_more_is_said_in_one_line(folder, line, unbuffered):
    result = srcli_in_a_shell(line, folder, PYTHONUNBUFFERED=unbuffered)
    assert (result.returncode, result.stderr.splitlines()) == (1, ["error: cannot write to stdout: No space left on device"])


@pytest.mark.skipif(sys.platform == "win32", reason="sh")
@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("srcli - -o a.png <&-", 1, "error: stdin is closed\n"),
        ("srcli p0.png -o - >&-", 2, "error: '-o -' writes a picture to stdout, which is closed: name a file\n"),
    ],
)
def test_closed_pipes_are_said_in_one_line(folder, line, code, text):
    result = srcli_in_a_shell(line, folder)
    assert (result.returncode, result.stderr) == (code, text)


def test_a_picture_from_stdin_that_cannot_be_stored_is_said_in_one_line(folder):
    with small_files():
        result = upscale("-", "-o", "-", "-s", 2, input=(folder / "p0.png").read_bytes() * 2)
    assert (result.exit_code, result.stderr[-17:]) == (1, ": File too large\n")


# Animations


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_an_animation_stays_one(tmp_path, format):
    frames = [Image.new("RGB", (13, 9), color) for color in ("red", "lime", "blue")]
    path = tmp_path / f"a.{format.lower()}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[50, 80, 20], loop=0, lossless=True)
    result = upscale(path, "-s", 2)
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / f"a_x2.{format.lower()}") as image:
        assert (image.format, image.size, image.n_frames, image.info["loop"]) == (format, (26, 18), 3, 0)


# Colour


def test_icc_is_kept_or_converted(data, tmp_path):
    for icc, there in (("keep", True), ("convert-srgb", False)):
        target = tmp_path / f"{icc}.png"
        result = upscale(data / "nasty" / "png_displayp3_icc.png", "-s", 2, "--icc", icc, "-o", target)
        assert result.exit_code == 0, result.output
        with Image.open(target) as image:
            assert ("icc_profile" in image.info) == there


def test_wrap_continues_at_the_other_side(tmp_path):
    ramp = np.tile(np.arange(0, 240, 12, dtype=np.uint8), (20, 1))
    Image.fromarray(ramp).save(tmp_path / "a.png")
    assert upscale(tmp_path / "a.png", "-s", 2, "-o", tmp_path / "plain.png").exit_code == 0
    assert upscale(tmp_path / "a.png", "-s", 2, "--wrap", "-o", tmp_path / "wrap.png").exit_code == 0
    with Image.open(tmp_path / "plain.png") as plain, Image.open(tmp_path / "wrap.png") as wrap:
        assert plain.getpixel((0, 10)) < 4
        assert wrap.getpixel((0, 10)) > 20
        assert plain.getpixel((20, 10)) == wrap.getpixel((20, 10))


# Dry runs


def test_a_dry_run_sums_up_what_the_work_takes(folder, tmp_path):
    result = upscale(folder, "-o", tmp_path / "out", "-s", 2, "--dry-run")
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert lines[0] == f"3 to upscale, {4 * (37 * 53 + 64 * 48 + 21 * 90):,} px in all"
    assert re.fullmatch(r"(about 0:00:0\d|less than a second) in the network, by one timed tile", lines[1])
    assert lines[2].startswith("about 0.1 MiB needed, ")
    assert lines[2].endswith(f"free in '{tmp_path}' (a cautious estimate)")
    assert lines[3].startswith("at least ")
    assert lines[3].endswith("MiB free (a cautious estimate)")
    assert not (tmp_path / "out").exists()


def test_a_time_of_no_second_is_told_in_words():
    told = Forecast(None, (), {}, timed=True).told
    assert told(0.96, []) == "less than a second in the network, by one timed tile"
    assert told(61.2, []) == "about 0:01:01 in the network, by one timed tile"


def test_a_dry_run_says_what_cannot_be_read(folder, tmp_path):
    (folder / "p1.png").write_text("no picture")
    result = upscale(folder, "-o", tmp_path / "out", "-s", 2, "--dry-run")
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 2)
    assert f"2 to upscale, {4 * (37 * 53 + 21 * 90):,} px in all" in result.stderr
    assert result.stderr.startswith(f"error: '{folder / 'p1.png'}' is no picture that srcli knows")
    records = upscale(folder, "-s", 2, "--dry-run", "--json").records
    assert [record["status"] for record in records] == ["planned", "failed", "planned"]


@pytest.fixture
def long(monkeypatch):
    """Take all work for long."""
    monkeypatch.setattr("srcli.engine.forecast._WORTH", 1)
    monkeypatch.setattr("srcli.commands.forecast.LONG", 0)
    monkeypatch.setattr("srcli.engine.forecast._TIMED", 24)


def time_of(*arguments: object) -> str:
    """Run srcli upscale and return what it says of its time, once."""
    result = srcli("upscale", *arguments, "--exists", "overwrite")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if "in the network" in line]
    assert len(lines) <= 1
    return "".join(lines)


def test_long_work_begins_with_its_time(folder, tmp_path, monkeypatch, long):
    monkeypatch.setattr("srcli.engine.runner.compile_network", lambda *network, **more: None)
    job = folder / "p0.png", "-o", tmp_path / "out.png", "-s", 2, "-m", "bicubic"
    assert re.fullmatch(r"(about 0:00:0\d|less than a second) in the network, by one timed tile", time_of(*job))
    for silent in (["-q"], ["--compile", "on"]):
        assert time_of(*job, *silent) == ""


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--quality", 50], "--quality changes nothing: no result is JPEG, WebP or AVIF\n"),
        (["--quality", 50, "--format", "webp"], ""),
        (["--png-level", 9], ""),
        (["--png-level", 9, "--format", "webp"], "--png-level changes nothing: no result is PNG\n"),
    ],
)
@pytest.mark.parametrize("silent", [False, True])
def test_a_flag_of_a_format_that_no_result_has_is_said(folder, tmp_path, flags, said, silent):
    result = upscale(folder, "-o", tmp_path / "out", "--dry-run", *flags, *["-q"] * silent)
    assert result.exit_code == 0
    assert [line for line in result.stderr.splitlines() if "changes nothing" in line] == said.splitlines() * (not silent)


def test_flags_are_said_to_change_nothing_of_what_is_made_alone(folder, tmp_path):
    for said in ("--quality changes nothing", "0 upscaled, 3 skipped"):
        result = upscale(folder, "-o", tmp_path / "out", "-s", 2, "--quality", 50, "--exists", "skip")
        assert result.stderr.startswith(said)


def test_a_folder_without_pictures_is_said_among_others_also_where_little_is(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    result = upscale(folder, tmp_path / "empty", "-o", tmp_path / "out", "-q")
    assert (result.exit_code, result.output) == (0, f"no pictures in '{tmp_path / 'empty'}'\n")


def test_work_that_is_short_does_not(folder, tmp_path, monkeypatch):
    job = folder / "p0.png", "-o", tmp_path / "out.png", "-s", 2, "-m", "bicubic"
    assert time_of(*job) == ""  # too short to be timed
    monkeypatch.setattr("srcli.engine.forecast._WORTH", 1)
    assert time_of(*job) == ""


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["-s", 2], "-m standard-auto"),
        (["--width", 90, "--height", 90, "-m", "rfdn"], "-m standard"),
        (["-s", 3, "--dry-run"], "-m standard-auto"),
        (["-m", "mfdn_x2"], "-m standard -s 2"),
        (["-m", "standard", "-s", 2], ""),
        (["-m", "bicubic", "-s", 2], ""),
    ],
)
def test_the_time_of_the_weights_for_speed_is_said_where_it_is_much_less(folder, tmp_path, monkeypatch, long, flags, named):
    monkeypatch.setattr("srcli.commands.forecast.MUCH", 1e9)
    time = time_of(folder / "p0.png", "-o", tmp_path / "out.png", *flags)
    assert re.search(rf" \(0:00:0\d with {named}\)", time) if named else "with" not in time


def test_the_time_of_the_weights_for_speed_is_not_said_where_it_is_not_much_less(folder, tmp_path, monkeypatch, long):
    monkeypatch.setattr("srcli.commands.forecast.MUCH", 0)
    assert "with" not in time_of(folder / "p0.png", "-o", tmp_path / "out.png", "-s", 2)


@pytest.mark.parametrize(("least", "named"), [(40, "-m chosen"), (90, "-m plain")])
def test_weights_for_speed_are_named_for_all_files_where_choosing_for_each_is_not_much_quicker(monkeypatch, least, named):
    monkeypatch.setattr("srcli.engine.forecast.expected_seconds", lambda seconds, jobs: seconds)
    swift = [Swift("-m chosen", lambda: least), Swift("-m plain", lambda: 40)]
    told = Forecast(100, swift, {}, timed=True).told(100, [])
    assert told == f"about 0:01:40 in the network (0:00:40 with {named}), by one timed tile"


def test_weights_for_speed_that_are_damaged_stop_nothing(folder, tmp_path, monkeypatch, long):
    opened = open_networks

    def damaged(reference: str, *arguments: object, **more: object) -> object:
        if reference == "standard":
            raise BadCheckpoint("damaged")
        return opened(reference, *arguments, **more)

    monkeypatch.setattr("srcli.engine.resizer.open_networks", damaged)
    assert "in the network, by" in time_of(folder / "p0.png", "-o", tmp_path / "out.png", "-s", 2)


def test_a_dry_run_fails_where_the_memory_cannot_hold_the_work(folder, monkeypatch):
    monkeypatch.setattr("srcli.engine.forecast.free_bytes", lambda device: 2**16)
    result = upscale(folder, "-s", 4, "--dry-run", "-q")
    assert result.exit_code == 1
    assert "0.1 MiB of memory are free, but the work takes about" in result.stderr


def test_a_dry_run_fails_where_the_disk_cannot_hold_the_results(folder, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("srcli.media.footprint.shutil.disk_usage", lambda folder: usage(2**20, 2**20, 1000))
    result = upscale(folder, "-s", 4, "--dry-run")
    assert result.exit_code == 1
    assert "has 0.0 MiB free, but the results take about 0.3 MiB" in result.stderr


def test_a_disk_that_may_be_too_small_is_told_before_anything_is_computed(folder, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("srcli.media.footprint.shutil.disk_usage", lambda folder: usage(2**20, 2**20, 200_000))
    result = upscale(folder, "-s", 4, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    told = f"'{tmp_path}' has 0.2 MiB free, and the results may take 0.3 MiB (a cautious estimate)"
    assert result.stderr.splitlines()[0] == told


def test_weights_for_compressed_pictures_are_named_where_some_were_compressed_a_lot(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(photograph(24, 32)).save(folder / "clean.png")
    for quality in (60, 85, 92, 97):
        Image.fromarray(photograph(24, 32)).save(folder / f"q{quality}.jpg", quality=quality)

    def told(*arguments: object) -> list[str]:
        result = srcli("upscale", *arguments, "-o", tmp_path / "out")
        assert result.exit_code == 0, result.output
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        return [line for line in result.stderr.splitlines() if "JPEG" in line]

    takes_away = "takes blocks and ringing away"
    for flags in ([], ["--dry-run"], ["--json"]):
        assert told(folder, "-m", "rfdn", *flags) == [f"2 of 5 are JPEG of quality 60 to 85 or so: -m auto {takes_away}"]
    assert told(folder / "q60.jpg", "-m", "standard") == [f"JPEG of quality 60 or so: -m standard-auto {takes_away}"]
    start, taken = "3 of 5 are JPEG of quality 60 to 92 or so: ", "which removes blur, noise, blocks and ringing"
    assert told(folder) == [f"{start}taken through rfdn-photo, {taken} (-m rfdn turns that off)"]
    assert told(folder, "-m", "auto") == [f"{start}taken through rfdn-photo, {taken}"]
    way = "(x4 by the network, then resampled)"
    assert told(folder, "-m", "auto", "-s", 3) == [f"{start}taken through rfdn-photo {way}, {taken}"]  # rfdn has weights at x3
    assert told(folder, "-m", "auto", "-s", 3.5) == [
        f"{start}taken through rfdn-photo, {taken}"
    ]  # as the clean ones, of which a line tells
    assert told(folder / "q97.jpg") == told(folder / "q92.jpg", "-m", "rfdn") == []
    for flags in (["-m", "rfdn-photo"], ["-m", "bicubic"], ["-q"], ["--long-side", 20]):
        assert told(folder / "q60.jpg", *flags) == []


def test_lossy_webp_that_was_compressed_a_lot_goes_through_the_weights_for_it(tmp_path):
    (tmp_path / "in").mkdir()
    picture = Image.fromarray(photograph(48, 64))
    for name, how in (("low", {"quality": 50}), ("high", {"quality": 92}), ("whole", {"lossless": True})):
        picture.save(tmp_path / "in" / f"{name}.webp", **how)
    report = tmp_path / "r.json"
    result = srcli("upscale", tmp_path / "in", "-s", "2", "-o", tmp_path / "out", "--report", report)
    assert result.exit_code == 0, result.output
    assert "1 of 3 is lossy WebP of quantizer 44 or so: taken through rfdn-photo" in result.stderr
    models = {Path(file["input"]["path"]).stem: file["model"] for file in json.loads(report.read_text())["files"]}
    assert models == {"low": "rfdn-photo", "high": "rfdn", "whole": "rfdn"}
    picture.save(tmp_path / "in" / "a.jpg", quality=60)
    told = srcli("upscale", tmp_path / "in", "-o", tmp_path / "other", "--dry-run").stderr
    assert told.startswith("1 of 4 is JPEG of quality 60 or so, 1 lossy WebP of quantizer 44 or so: taken through rfdn-photo")


@pytest.mark.parametrize("stream_from", [1, 10**9])
def test_what_was_a_jpeg_and_is_saved_otherwise_goes_through_the_weights_for_it(tmp_path, monkeypatch, stream_from):
    monkeypatch.setattr(pipeline, "STREAM_FROM", stream_from)
    (tmp_path / "in").mkdir()
    clean = Image.fromarray(photograph(130, 140))  # more px than share a pass
    clean.save(tmp_path / "was.jpg", quality=60)
    with Image.open(tmp_path / "was.jpg") as was:
        for name in ("a.png", "b.tiff"):
            was.save(tmp_path / "in" / name)
        was.save(tmp_path / "in" / "c.jpg", quality=98)
        was.quantize(16).save(tmp_path / "in" / "d.png")
    clean.save(tmp_path / "in" / "e.png")
    for flags, name in (([], "rfdn-photo"), (["-m", "rfdn"], "rfdn")):
        result = srcli("upscale", tmp_path / "in", "-s", "2", "-o", tmp_path / "out", "--json", "--exists", "overwrite", *flags)
        assert result.exit_code == 0, result.output
        models = {Path(record["input"]).name: record["model"] for record in result.records}
        assert models == {"a.png": name, "b.tiff": name, "c.jpg": name, "d.png": "rfdn", "e.png": "rfdn"}
        said = [line for line in result.stderr.splitlines() if "its pixels tell of a JPEG of quality 60 or so" in line]
        assert len(said) == (0 if flags else 3)
        assert all(line.endswith("taken through rfdn-photo (-m rfdn turns that off)") for line in said)


def test_a_format_of_videos_is_refused_where_there_is_none(folder):
    result = upscale(folder / "p0.png", "-s", 2, "--format", "mp4")
    assert (result.exit_code, "--format mp4 is of videos, and there is none" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("chosen", "plain"), [(None, "rfdn"), ("auto", "rfdn"), ("standard-auto", "standard"), ("STANDARD_x2-auto", "standard")]
)
def test_auto_takes_every_picture_through_the_weights_that_suit_it(tmp_path, chosen, plain):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "c.png"):
        Image.fromarray(photograph(24, 32)).save(tmp_path / "in" / name)
    Image.fromarray(photograph(24, 32)).save(tmp_path / "in" / "b.jpg", quality=60)  # in between, and of one size with them

    def run(weights: str | None) -> dict[str, bytes]:
        out = tmp_path / f"by {weights}"
        flags = [] if weights is None else ["-m", weights]
        arguments = ["upscale", str(tmp_path / "in"), "-s", "2", "-o", str(out), "--format", "png", *flags]
        result = srcli(*arguments)
        assert result.exit_code == 0, result.output
        return {path.stem: path.read_bytes() for path in out.iterdir()}

    automatic, clean, photo = run(chosen), run(plain), run("rfdn-photo")
    assert automatic == {"a": clean["a"], "b": photo["b"], "c": clean["c"]}
    assert clean["b"] != photo["b"]


@pytest.mark.parametrize("name", ["auto", "rfdn", "rfdn-photo"])
def test_a_file_called_as_what_ships_is_not_taken_for_it_unless_as_a_path(folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"no weights")
    arguments = ["upscale", str(folder / "p0.png"), "-s", "2", "-o", "out.png"]
    assert srcli(*arguments, "-m", f"./{name}").exit_code == 1
    assert srcli(*arguments).exit_code == 0
    assert srcli(*arguments, "-m", name, "--exists", "overwrite").exit_code == 0


def test_a_report_names_all_the_weights_of_auto(folder, tmp_path):
    report = tmp_path / "report.json"
    result = srcli("upscale", folder / "p0.png", "-s", "2", "-m", "auto", "--report", report)
    assert result.exit_code == 0, result.output
    document = json.loads(report.read_text())
    assert document["options"]["model"] == "auto"
    assert {"rfdn", "rfdn-photo"} <= {model["name"] for model in document["models"]}
    assert [file["model"] for file in document["files"]] == ["rfdn"]


@pytest.mark.parametrize(
    ("named", "code", "said"),
    [
        ("rdfn-auto", 1, "did you mean 'rfdn'?"),
        ("rfdn-photo-auto", 2, "'rfdn-photo-auto': no others ship that suit compressed files better; -m rfdn-photo"),
        ("bicubic-auto", 2, "-m bicubic says the same"),
    ],
)
def test_auto_of_what_leaves_no_choice_is_refused(folder, named, code, said):
    result = srcli("upscale", folder, "-m", named)
    assert (result.exit_code, said in result.stderr) == (code, True)


def test_auto_asks_nothing_of_the_hub_offline(folder, monkeypatch):
    asked = []
    monkeypatch.setenv("SRCLI_HUB", "me/nets")
    monkeypatch.setattr("srcli.hub.names_known", lambda source, offline: asked.append(offline) or [])
    assert srcli("upscale", folder, "-s", "2", "-m", "auto", "--offline").exit_code == 0
    assert set(asked) == {True}


# Reports


def read_report(path: Path) -> dict:
    """Read a report, and its files by their names."""
    document = json.loads(path.read_text())
    return {**document, "files": {Path(f["input"]["path"]).name: f for f in document["files"]}}


def test_a_report_says_what_was_done_and_with_what(folder, tmp_path):
    whole = (folder / "p1.png").read_bytes()
    (folder / "p1.png").write_bytes(whole[: len(whole) // 2])
    report = tmp_path / "report.json"
    assert upscale(folder, "-s", 2, "--tile", 32, "--report", report, "--exists", "skip").exit_code == 1
    document = read_report(report)
    assert (document["status"], document["options"]["scale"], document["models"][0]["arch"]) == ("finished", 2.0, "bicubic")
    first, broken = document["files"]["p0.png"], document["files"]["p1.png"]
    assert first["input"]["sha256"] == hashlib.sha256((folder / "p0.png").read_bytes()).hexdigest()
    assert (first["output"]["height"], first["output"]["width"], first["output"]["depth"]) == (74, 106, 8)
    assert (first["passes"][0]["scale"], first["passes"][0]["tiles"]) == (2, 4)
    assert (first["likeness"]["psnr"] > 25, len(first["likeness"]["drift"])) == (True, 3)
    assert broken["status"] == "failed"
    assert "truncated" in broken["error"]
    assert broken["input"]["sha256"] == hashlib.sha256(whole[: len(whole) // 2]).hexdigest()
    (folder / "p1.png").write_bytes(whole)
    assert upscale(folder, "-s", 2, "--report", report, "--exists", "skip").exit_code == 0
    again = read_report(report)
    assert [f["status"] for f in again["files"].values()] == ["skipped", "done", "skipped"]
    assert (again["files"]["p0.png"], again["models"]) == (first | {"status": "skipped"}, document["models"])
    assert names(tmp_path) == ["my pictures", "my pictures_x2", "report.json"]


def test_a_report_may_lie_in_the_folder_that_the_run_makes(folder, tmp_path):
    assert upscale(folder, "-s", 2, "-o", tmp_path / "out", "--report", tmp_path / "out" / "told" / "r.json").exit_code == 0
    assert names(tmp_path / "out") == ["p0.png", "p1.png", "p2.png", "told"]
    assert len(read_report(tmp_path / "out" / "told" / "r.json")["files"]) == 3
    assert upscale(folder, "-s", 2, "-o", tmp_path / "out", "--report", tmp_path / "no" / "r.json").exit_code == 1
    assert names(tmp_path) == ["my pictures", "out"]


def test_a_result_that_hardly_resembles_its_input_is_pointed_out(folder, tmp_path, monkeypatch):
    honest = Upscaler.several
    monkeypatch.setattr(Upscaler, "several", lambda *given, **more: [255 - pixels for pixels in honest(*given, **more)])
    result = upscale(folder / "p0.png", "-s", 2, "--report", tmp_path / "r.json")
    assert "dB from the input: look at it" in result.stderr
    assert "dB from the input" not in upscale(folder / "p1.png", "-s", 2).stderr


def test_a_picture_that_nothing_comes_near_to_is_not_pointed_out(tmp_path):
    Image.fromarray(words()).save(tmp_path / "text.png")
    result = upscale(tmp_path / "text.png", "-s", 2, "--report", tmp_path / "r.json")
    (record,) = read_report(tmp_path / "r.json")["files"].values()
    assert record["likeness"]["psnr"] < 20
    assert "dB from the input" not in result.stderr


def test_records_name_the_stage_that_the_others_wait_for(folder):
    first, second = (upscale(folder, "-s", 2, "--json", "--exists", "skip") for _ in range(2))
    for record in map(json.loads, first.stdout.splitlines()):
        times = {"decode": record["decode"], "network": record["seconds"], "encode": record["encode"]}
        assert times[record["bottleneck"]] == max(times.values()) > 0
    assert {record["bottleneck"] for record in second.records} == {None}


def test_a_dry_run_writes_no_report(folder, tmp_path):
    report = tmp_path / "r.json"
    assert upscale(folder / "p0.png", "-s", 2, "--report", report).exit_code == 0
    before = report.read_bytes()
    assert upscale(folder, "-s", 2, "--dry-run", "--report", report).exit_code == 0
    assert report.read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_names_that_are_not_utf_8_are_told_with_escapes(folder, tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (folder / "p0.png").rename(folder / name)
    result = upscale(folder, "-s", 2, "-o", tmp_path / "out", "--report", tmp_path / "r.json")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == f"{tmp_path}/out/caf\\udce9.png  106x74"
    assert names(tmp_path / "out") == [name, "p1.png", "p2.png"]
    assert names(tmp_path) == ["my pictures", "out", "r.json"]
    assert list(read_report(tmp_path / "r.json")["files"]) == [name, "p1.png", "p2.png"]


def test_a_report_of_nothing_done_says_why(folder, tmp_path):
    report = tmp_path / "r.json"
    assert upscale(folder, "-s", 2, "-o", folder, "--report", report).exit_code == 2
    assert (read_report(report)["status"], read_report(report)["files"]) == ("stopped", {})
    assert "would be itself" in read_report(report)["error"]


# Stops and failures


@pytest.fixture
def stopped_at_the_second(monkeypatch):
    """Press Ctrl-C while the second picture is in the network."""
    honest, calls = Resizer.several, []

    def several(self, *arguments, **more):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return honest(self, *arguments, **more)

    monkeypatch.setattr(Resizer, "several", several)


def test_a_stop_keeps_what_is_done_and_says_how_to_go_on(folder, tmp_path, stopped_at_the_second):
    out, report = tmp_path / "out", tmp_path / "r.json"
    result = upscale(folder, "-s", 2, "-o", out, "--report", report)
    assert result.exit_code == 130
    assert (
        result.stderr.splitlines()[-1]
        == "interrupted: 1 of 3 done; what is done stays; the same command with --exists skip goes on from there"
    )
    assert names(out) == ["p0.png"]
    assert (read_report(report)["status"], list(read_report(report)["files"])) == ("interrupted", ["p0.png"])
    before = (out / "p0.png").stat().st_mtime_ns
    result = upscale(folder, "-s", 2, "-o", out, "--exists", "skip")
    assert result.exit_code == 0, result.output
    assert names(out) == ["p0.png", "p1.png", "p2.png"]
    assert (out / "p0.png").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("flags", "how"),
    [
        (["--exists", "skip"], "the same command goes"),
        (["--exists", "skip", "--no-resume"], "the same command without --no-resume goes"),
        (["--no-resume"], "the same command with --exists skip and without --no-resume goes"),
    ],
)
def test_a_stop_says_which_flags_would_begin_anew(folder, tmp_path, stopped_at_the_second, flags, how):
    result = upscale(folder, "-s", 2, "-o", tmp_path / "out", *flags)
    assert result.stderr.splitlines()[-1] == f"interrupted: 1 of 3 done; what is done stays; {how} on from there"


def test_a_stop_counts_no_result_of_before(folder, tmp_path, stopped_at_the_second):
    (tmp_path / "out").mkdir()
    for path in folder.iterdir():
        shutil.copy(path, tmp_path / "out")
        os.utime(tmp_path / "out" / path.name, (0, 0))
    result = upscale(folder, "-s", 2, "-o", tmp_path / "out", "--exists", "overwrite")
    assert result.stderr.splitlines()[-1].startswith("interrupted: 1 of 3 done; ")


def test_a_dry_run_that_is_stopped_has_done_nothing(folder, monkeypatch):
    monkeypatch.setattr(Forecast, "weigh", Mock(side_effect=KeyboardInterrupt))
    result = upscale(folder, "--dry-run")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


# Folders that fill


def test_a_watched_folder_gives_each_picture_once_and_survives_broken_ones(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("srcli.engine.watch.REST", 0.01)
    (folder / "p1.png").write_bytes(b"no picture")
    honest = Resizer.several

    def several(self, *arguments, **more):
        if not (folder / "late.png").exists():
            shutil.copy(folder / "p2.png", folder / "late.png")  # comes while others are at work
        return honest(self, *arguments, **more)

    monkeypatch.setattr(Resizer, "several", several)
    result = upscale(folder, "-s", 2, "-o", folder / "out", "--watch-idle", 0.1)
    assert result.exit_code == 1
    assert names(folder / "out") == ["late.png", "p0.png", "p2.png"]
    assert "3 upscaled, 1 failed" in result.stderr
    assert len([line for line in result.stderr.splitlines() if "p1.png" in line]) == 1
    again = upscale(folder, "-s", 2, "-o", folder / "out", "--watch-idle", 0.1)
    assert "0 upscaled, 3 skipped, 1 failed" in again.stderr


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["{folder}/p0.png"], "p0.png' is not a folder"),
        (["{folder}", "{folder}"], "--watch takes one folder"),
        (["{folder}", "-o", "{folder}", "--suffix", "_big"], "is the folder that is watched"),
        (["{folder}", "--dry-run"], "choose one"),
        (["{folder}", "--show"], "choose one"),
        (["{folder}", "-o", "-"], "-o - takes one picture"),
    ],
)
def test_what_cannot_be_watched_is_refused(folder, flags, text):
    result = upscale(*(flag.replace("{folder}", str(folder)) for flag in flags), "--watch-idle", 0)
    assert result.exit_code == 2
    assert text in result.stderr


def test_a_folder_to_watch_that_is_missing_is_no_wrong_use(tmp_path):
    result = upscale(tmp_path / "none", "--watch-idle", 0)
    assert (result.exit_code, result.stderr) == (1, f"error: no folder '{tmp_path / 'none'}'\n")


@pytest.fixture
def out(tmp_path, monkeypatch):
    """A folder into which another process writes p1.png once the results are planned."""
    honest, folder = pipeline._through, tmp_path / "out"

    def through(*arguments):
        (folder / "p1.png").write_text("another's")
        return honest(*arguments)

    folder.mkdir()
    monkeypatch.setattr(pipeline, "_through", through)
    return folder


@pytest.mark.parametrize(("exists", "stream_from"), [("error", 1), ("error", 10**9), ("skip", 10**9), ("rename", 1)])
def test_what_appears_after_planning_stays_and_is_said(folder, out, monkeypatch, exists, stream_from):
    monkeypatch.setattr(pipeline, "STREAM_FROM", stream_from)
    result = upscale(folder, "-s", 2, "-o", out, "--exists", exists)
    assert result.exit_code == 1
    assert "2 upscaled, 1 failed" in result.stderr
    assert f"cannot write '{out / 'p1.png'}': a file of that name appeared meanwhile and stays" in result.stderr
    assert (names(out), (out / "p1.png").read_text()) == (["p0.png", "p1.png", "p2.png"], "another's")


def test_what_appears_after_planning_makes_rename_take_the_next_name(folder, out):
    result = upscale(folder, "-s", 2, "-o", out, "--exists", "rename")
    assert result.exit_code == 0, result.output
    assert f"{out / 'p1_2.png'}  96x128" in result.stdout.splitlines()
    assert (names(out), (out / "p1.png").read_text()) == (["p0.png", "p1.png", "p1_2.png", "p2.png"], "another's")


def test_a_full_disk_is_not_tried_for_every_picture(folder, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("srcli.files.os.fsync", full)
    result = upscale(folder, "-o", out, "-s", 2)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[:4] == [
        "error: no room on the disk: no other picture was tried; with --exists skip the same command goes on",
        *(f"error: {folder / name}: cannot write '{out / name}': No space left on device" for name in ("p0.png", "p1.png")),
        "0 upscaled, 2 failed, 1 not tried",
    ]
    assert not [*out.iterdir()]


def test_what_another_run_has_done_meanwhile_is_skipped(folder, tmp_path, monkeypatch):
    out, honest = tmp_path / "out", pipeline._through

    def through(*arguments):
        if not (out / "p1.png").exists():  # a copy over it would leave half a file for a moment
            shutil.copy(tmp_path / "whole" / "p1.png", out / "p1.png")
        return honest(*arguments)

    assert upscale(folder, "-s", 2, "-o", tmp_path / "whole").exit_code == 0
    out.mkdir()
    monkeypatch.setattr(pipeline, "_through", through)
    result = upscale(folder, "-s", 2, "-o", out, "--exists", "skip")
    assert result.exit_code == 0, result.output
    assert "2 upscaled, 1 skipped" in result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == [f"{out}/p0.png", f"{out}/p2.png"]


def test_what_appears_after_planning_is_replaced_where_that_was_asked_for(folder, out):
    assert upscale(folder / "p1.png", "-s", 2, "-o", out, "--exists", "overwrite").exit_code == 0
    assert size(out / "p1.png") == (96, 128)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="FIFOs")
def test_a_fifo_fails_alone_and_is_not_waited_for(folder, tmp_path):
    def waited(*_):
        raise TimeoutError

    os.mkfifo(folder / "pipe.png")
    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(60)
    try:
        result = upscale(folder, "-s", 2, "-o", tmp_path / "out", "--report", tmp_path / "r.json")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert f"error: '{folder / 'pipe.png'}' is not a regular file" in result.stderr
    assert "3 upscaled, 1 failed" in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "tiff", "avif"])
def test_a_disk_that_takes_no_more_is_said_in_one_line_and_leaves_nothing(folder, tmp_path, format):
    out = tmp_path / "out"
    with small_files():
        result = upscale(folder, "-s", 4, "-o", out, "--format", format)
    assert result.exit_code == 1, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 3
    assert all(line.endswith(": File too large") for line in errors)
    assert names(out) == []


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_a_disk_that_takes_no_more_of_an_animation_is_said_too(tmp_path, format):
    frames = [Image.fromarray(photograph(seed=seed)) for seed in range(3)]
    path = tmp_path / f"a.{format.lower()}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50)
    with small_files():
        result = upscale(path, "-s", 4)
    assert result.exit_code == 1
    assert "File too large" in result.stderr
    assert names(tmp_path) == [path.name]


def test_an_output_that_is_replaced_stays_where_the_new_one_cannot_be_written(folder, tmp_path):
    target = tmp_path / "p0_x2.png"
    assert upscale(folder / "p0.png", "-s", 2, "-o", target).exit_code == 0
    before = target.read_bytes()
    with small_files():
        result = upscale(folder / "p0.png", "-s", 4, "-o", target, "--exists", "overwrite")
    assert result.exit_code == 1
    assert target.read_bytes() == before


@pytest.fixture
def at_the_first(monkeypatch):
    """Do something while the first picture is in the network, and no other has been read."""
    actions = []
    monkeypatch.setattr("srcli.engine.pipeline.AHEAD", 0)
    honest = Resizer.several

    def several(self, *arguments, **more):
        while actions:
            actions.pop()()
        return honest(self, *arguments, **more)

    monkeypatch.setattr(Resizer, "several", several)
    monkeypatch.setattr("srcli.engine.pipeline._SMALL", 0)
    return actions


def test_an_input_that_vanishes_fails_alone(folder, tmp_path, at_the_first):
    at_the_first.append(lambda: (folder / "p2.png").unlink())
    result = upscale(folder, "-s", 2, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert f"error: cannot read '{folder / 'p2.png'}': No such file or directory" in result.stderr
    assert names(tmp_path / "out") == ["p0.png", "p1.png"]


def test_an_input_that_changes_is_taken_as_it_is_when_its_turn_comes(folder, tmp_path, at_the_first):
    def change():
        shutil.copy(folder / "p1.png", folder / "p2.png")

    at_the_first.append(change)
    report = tmp_path / "r.json"
    assert upscale(folder, "-s", 2, "-o", tmp_path / "out", "--report", report).exit_code == 0
    assert size(tmp_path / "out" / "p2.png") == size(tmp_path / "out" / "p1.png")
    record = read_report(report)["files"]["p2.png"]
    assert record["input"]["sha256"] == hashlib.sha256((folder / "p1.png").read_bytes()).hexdigest()


def test_an_output_folder_that_vanishes_or_is_closed_is_made_again_or_said(folder, tmp_path, at_the_first):
    out = tmp_path / "out"

    def replace_by_a_file():
        if out.exists():
            shutil.rmtree(out)
        out.write_text("no folder")

    at_the_first.append(replace_by_a_file)
    result = upscale(folder, "-s", 2, "-o", out)
    assert result.exit_code == 1
    assert result.stderr.count(f"error: {folder}") + result.stderr.count("cannot make the folder") >= 3
    assert out.read_text() == "no folder"


def test_links_are_not_followed_to_what_they_point_at_when_replaced(folder, tmp_path):
    (tmp_path / "precious.png").write_bytes((folder / "p1.png").read_bytes())
    before = (tmp_path / "precious.png").read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "p0.png").symlink_to(tmp_path / "precious.png")
    assert upscale(folder / "p0.png", "-s", 2, "-o", tmp_path / "out").exit_code == 1
    assert upscale(folder / "p0.png", "-s", 2, "-o", tmp_path / "out", "--exists", "overwrite").exit_code == 0
    assert (tmp_path / "precious.png").read_bytes() == before
    assert not (tmp_path / "out" / "p0.png").is_symlink()


def test_an_output_folder_within_the_input_and_the_input_itself(folder, tmp_path):
    for _ in range(2):
        assert upscale(folder, "-r", "-s", 2, "-o", folder / "out", "--exists", "overwrite").exit_code == 0
    assert names(folder / "out") == ["p0.png", "p1.png", "p2.png"]
    assert size(folder / "out" / "p0.png") == (106, 74)
    beside = upscale(folder, "-s", 2, "-o", folder, "--suffix", "_twice")
    assert beside.exit_code == 0, beside.output
    assert names(folder) == ["out", "p0.png", "p0_twice.png", "p1.png", "p1_twice.png", "p2.png", "p2_twice.png"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused_before_the_work(folder, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    result = upscale(folder, "-s", 2, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "is read-only" in result.stderr


def test_a_folder_that_may_not_be_read_is_not_watched(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder)
    result = upscale(folder, "--watch", "-s", 2)
    assert (result.exit_code, result.stderr) == (1, f"error: cannot read the folder '{folder}': Permission denied\n")


def test_sigterm_ends_as_ctrl_c_does(folder, tmp_path, at_the_first):
    at_the_first.append(lambda: os.kill(os.getpid(), signal.SIGTERM))
    result = upscale(folder, "-s", 2, "-o", tmp_path / "out")
    assert result.exit_code == 130
    assert "--exists skip goes on from there" in result.stderr


def test_one_file_that_is_no_picture_is_refused_before_torch_is_loaded(folder):
    (folder / "p0.png").write_bytes(b"no picture")
    code = "import sys\nfrom srcli.cli import app\ntry: app(sys.argv[1:])\nfinally: print('torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code, "upscale", folder / "p0.png"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (1, "False\n")
    assert run.stderr.startswith("error: '")


def test_a_second_signal_does_not_cut_off_what_is_being_written(folder, tmp_path, monkeypatch):
    honest, pid, before = pipeline.write_image, os.getpid(), signal.getsignal(signal.SIGINT)
    stop = threading.Event()

    def write_image(*arguments, **more):
        assert stop.wait(60)
        time.sleep(0.2)  # the main thread is at the end of its queues
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        time.sleep(0.2)
        return honest(*arguments, **more)

    def several(self, *arguments, **more):
        calls.append(1)
        if len(calls) == 2:
            stop.set()
            os.kill(pid, signal.SIGINT)
            for _ in range(1000):  # whichever thread the signal reaches
                time.sleep(0.01)
        return upscaled(self, *arguments, **more)

    upscaled, calls = Resizer.several, []
    monkeypatch.setattr(pipeline, "write_image", write_image)
    monkeypatch.setattr(Resizer, "several", several)
    result = upscale(folder, "-s", 2, "-o", tmp_path / "out")
    assert (result.exit_code, names(tmp_path / "out")) == (130, ["p0.png"])
    assert result.stderr.splitlines()[-1].startswith("interrupted: 1 of 3 done; what is done stays")
    assert signal.getsignal(signal.SIGINT) is before


def test_text_that_went_wrong_is_pointed_out_with_what_to_take(tmp_path):
    Image.fromarray(words()).save(tmp_path / "text.png")
    Image.fromarray(photograph(40, 48)).save(tmp_path / "photo.png")

    def told(model: str) -> list[str]:
        command = ["upscale", tmp_path / "text.png", tmp_path / "photo.png", "-m", model, "-o", tmp_path / model]
        result = srcli(*command)
        assert result.exit_code == 0, result.stderr
        return [line for line in result.stderr.splitlines() if line.endswith("-m rfdn")]

    (line,) = told("drn")
    assert "text.png: made small again, a part is only" in line
    assert told("rfdn") == told("rfdn-photo") == told("mfdn") == told("bicubic") == []


@pytest.mark.parametrize("name", ["trial.png/", "trial.mp4/", "trial.pngg/", "-/"])
def test_a_slash_behind_the_output_makes_it_a_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photograph()).save("a.png")
    assert upscale("a.png", "-s", 2, "-o", name).exit_code == 0
    assert names(tmp_path / name) == ["a.png"]


def test_two_networks_are_one_too_many(tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "a.png")
    result = upscale(tmp_path / "a.png", "-m", "rfdn")
    assert (result.exit_code, names(tmp_path)) == (2, ["a.png"])
    assert "srcli compare" in result.stderr


@pytest.mark.parametrize(("name", "suffix"), [("jpeg", ".jpg"), ("JPG", ".jpg"), (".tif", ".tif"), ("ppm", ".ppm")])
def test_formats_have_their_other_names_too(tmp_path, name, suffix):
    Image.fromarray(photograph()).save(tmp_path / "a.png")
    assert upscale(tmp_path / "a.png", "--format", name, "-o", tmp_path / "out").exit_code == 0
    assert names(tmp_path / "out") == [f"a{suffix}"]


@pytest.mark.parametrize(("factor", "pixels"), [(1, (60, 50)), (2.5, (150, 125)), (8, (480, 400)), (16, (960, 800))])
def test_bicubic_goes_by_any_factor_too(tmp_path, factor, pixels):
    Image.fromarray(photograph(50, 60)).save(tmp_path / "a.png")
    result = upscale(tmp_path / "a.png", "-s", factor, "-o", tmp_path / "b.png")
    assert (result.exit_code, size(tmp_path / "b.png")) == (0, pixels), result.stderr


def test_tiles_that_read_much_more_than_they_give_are_told(tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "a.png")
    said = "--tile 32: each reads up to 176x176 px, 30 times what it gives; larger ones take less time\n"
    assert srcli("upscale", tmp_path / "a.png", "-m", "rfdn", "-t", 32, "-o", tmp_path / "b.png").stderr.startswith(said)
    assert "--tile" not in srcli("upscale", tmp_path / "a.png", "-m", "rfdn", "-t", 144, "-o", tmp_path / "c.png").stderr


def test_a_memory_that_the_program_alone_exceeds_is_said(tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "a.png")
    assert "--max-memory is less than the" in upscale(tmp_path / "a.png", "--max-memory", "20M").stderr
    assert "--max-memory" not in upscale(tmp_path / "a.png", "--max-memory", "20G", "-o", tmp_path / "b.png").stderr


def test_a_file_that_cannot_be_read_for_its_hash_does_not_end_a_run_with_a_report(folder, tmp_path, monkeypatch):
    def hash_of(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("srcli.zoo.hash_of", hash_of)
    report = tmp_path / "told.json"
    result = upscale(folder, "-s", 2, "-o", tmp_path / "out", "--report", report)
    assert (result.exit_code, len(names(tmp_path / "out"))) == (0, len(names(folder))), result.stderr
    assert {file["input"]["sha256"] for file in json.loads(report.read_text())["files"]} == {None}


def test_textures_keep_their_colour_under_alpha(tmp_path):
    pixels = np.dstack([photograph(30, 40), np.zeros((30, 40), np.uint8)])
    pixels[5:9, 5:9, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    options = [str(tmp_path / "a.png"), "-m", "bicubic", "-s", "2"]
    plain = srcli("upscale", *options, "-o", tmp_path / "plain.png")
    assert "colour under fully transparent px is made up from what is around; --separate-alpha keeps it" in plain.stderr
    kept = srcli("upscale", *options, "-o", tmp_path / "kept.png", "--separate-alpha")
    assert (kept.exit_code, "made up" in kept.stderr) == (0, False)
    small = np.asarray(Image.open(tmp_path / "kept.png").convert("RGB").resize((40, 30), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - pixels[..., :3]).mean() < 8


def test_more_threads_than_any_processor_has_are_a_slip_of_the_hand(tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "a.png")
    result = upscale(tmp_path / "a.png", "--threads", 1025)
    assert (result.exit_code, "less than or equal to 1024" in result.stderr) == (2, True)

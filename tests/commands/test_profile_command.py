"""srcli profile prints the papers' tables, and everything it prints can be had as JSON, CSV, Markdown and a plot."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from srcli import checkpoint, zoo
from srcli.engine.published import ABLATIONS, ROWS
from srcli.errors import DiskFull
from srcli.models import ARCHS, create
from tests.conftest import photograph, small_files
from tests.program import Result, srcli

KEYS = ["model", "scale", "input", "parameters", "macs", "flops", "ntire_flops", "activations", "convolutions"]


def _cells(result: Result) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in result.stdout.splitlines()]


def _table(result: Result) -> list[list[str]]:
    """Return the cells of Markdown tables."""
    return [[c.strip() for c in line.strip("|").split("|")] for line in result.stdout.splitlines() if line.startswith("|")]


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A weights folder whose fsrcnn x4 scores 30.5 dB on Set5."""
    folder = tmp_path / "weights"
    folder.mkdir()
    model = create("fsrcnn", 4)
    path = folder / "fsrcnn_x4.safetensors"
    scores = [{"dataset": "Set5", "psnr": 30.5, "ssim": 0.86}]
    checkpoint.save(path, model, replace(checkpoint.card_of(model), scores=scores))
    (folder / "SHA256SUMS").write_text(f"{zoo.hash_of(path)}  {path.name}\n")
    monkeypatch.setattr(zoo, "weights_folder", lambda: folder)
    zoo._verify.cache_clear()
    return folder


def test_networks_of_other_arguments_are_counted():
    (record,) = srcli("profile", "rfdn", "--set", "channels=32", "--set", "blocks=2", "-s", 2, "--json").records
    assert (record["config"], record["scale"]) == ({"channels": 32, "blocks": 2}, 2)
    assert record["parameters"] == sum(p.numel() for p in create("rfdn", 2, channels=32, blocks=2).parameters())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["rfdn", "--set", "chanels=3"], "'rfdn' has an unknown key 'chanels'; did you mean 'channels'?"),
        (["rfdn", "--set", "channels=-1"], "no 'rfdn' can be built with channels=-1: "),
        (["imdn", "--set", "channels=4"], "no 'imdn' runs with channels=4 on 1x2 px (its min_side is 1): "),
        (["rfdn", "--set", "channels"], "--set takes KEY=VALUE such as channels=48, not 'channels'"),
        (["--set", "channels=3"], "--set needs MODEL"),
        (["rfdn", "--set", "channels=3", "--tiling"], "--set needs MODEL, a network's name, and goes without --tiling"),
        (["rfdn.safetensors", "--set", "channels=3"], "rfdn.safetensors"),
    ],
)
def test_arguments_that_no_network_takes_are_refused(arguments, text):
    result = srcli("profile", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr


def test_a_named_network_is_counted_and_no_more():
    lines = _cells(srcli("profile", "imdn-baseline"))
    assert lines[1] == ["IMDN (NTIRE 2022 baseline)", "x4", "256x256", "893,936", "58.43", "116.86", "58.53", "154.14", "43"]
    assert lines[2:] == [["GFLOP = 2 GMAC; NTIRE G counts as the challenge's script"]]
    (record,) = srcli("profile", "imdn-baseline", "--json").records
    assert [key for key in KEYS if key not in record] == []
    assert "published" not in record


@pytest.mark.parametrize("flag", [["--csv", "all.csv"], ["--plot", "plot.png"]])
def test_a_file_that_cannot_be_written_is_said_after_the_figures(tmp_path, monkeypatch, flag):
    monkeypatch.chdir(tmp_path)
    whole = srcli("profile", "fsrcnn")
    with small_files(64):
        result = srcli("profile", "fsrcnn", *flag)
    assert (result.exit_code, result.stdout) == (1, whole.stdout)
    assert result.stderr.splitlines()[-1] == f"error: cannot write '{flag[1]}': File too large"
    assert list(tmp_path.iterdir()) == []


def test_published_figures_stand_beside_ours_with_the_deviation():
    cells = _cells(srcli("profile", "srcnn", "rdsrn", "--published", "--output", "720x1280"))
    assert ["SRCNN (9-5-5)", "x4", "57.3", "57", "+0.5 %", "52.70", "52.7", "0.0 %", "1"] in cells
    assert ["RDSRN (3 recursions)", "x4", "684.1", "684", "0.0 %", "135.73", "136.0", "-0.2 %"] in cells
    assert ["1. 57 K is 9-5-5; the 8 K of IMDN's table are 9-1-5"] in cells


def test_what_is_counted_otherwise_shows_both_figures():
    cells = _cells(srcli("profile", "fsrcnn", "-s", 4, "--published"))
    assert ["FSRCNN (56, 12, 4)", "x4", "12.8", "12", "+6.7 %", "0.72", "4.6", "-84.4 %", "1"] in cells
    assert [c[1:] for c in cells if c and c[0] == "counted as published"] == [["4.64", "+0.8 %"]]


@pytest.mark.slow
def test_all_that_are_counted_otherwise_show_both_figures():
    cells = _cells(srcli("profile", "fdiwn", "fsrcnn", "-s", 4, "--published"))
    assert ["FDIWN", "x4", "663.8", "664", "0.0 %", "71.21", "28.4", "+150.7 %", "1"] in cells
    assert ["FSRCNN (56, 12, 4)", "x4", "12.8", "12", "+6.7 %", "0.72", "4.6", "-84.4 %", "2"] in cells
    assert [c[1:] for c in cells if c and c[0] == "counted as published"] == [["28.36", "-0.1 %"], ["4.64", "+0.8 %"]]
    assert ["1. multi-adds leave out every weight-normalised convolution; the true ones are 71.2 G"] in cells


def test_the_challenge_row_is_printed_at_its_input_only():
    cells = _cells(srcli("profile", "mfdn", "srcnn", "--published"))
    at = cells.index(["MFDN (NTIRE 2022)", "0.312", "37.67", "430.23", "130", "-", "-"])
    assert cells[at + 1 : at + 3] == [
        ["published", "0.312", "37.67", "430.23", "130", "1461.6", "208.0"],
        ["deviation", "-0.1 %", "0.0 %", "0.0 %", "0.0 %", "-", "-"],
    ]
    assert "NTIRE 2022 efficient" not in srcli("profile", "imdn-baseline", "--published", "--input", "128x128").stdout
    assert "NTIRE 2022 efficient" not in srcli("profile", "imdn-baseline", "--published", "-s", 2).stdout


def test_without_a_model_every_network_and_ablation_stands_beside_the_papers(monkeypatch):
    quick = {name: ARCHS[name] for name in ("bicubic", "carn", "rdsrn")}  # tests/engine/test_profile.py counts them all
    monkeypatch.setattr("srcli.models.ARCHS", quick)
    monkeypatch.setattr("srcli.engine.published.ABLATIONS", ABLATIONS[2:4])
    cells = _table(srcli("profile", "--published", "--markdown"))
    first = [row[0] for row in cells]
    assert [name for name in (arch.label for arch in quick.values()) if first.count(name) < 2] == []
    assert ["rdsrn, recursions 9", "x4", "708.7", "710", "-0.2 %", "309.85", "223.0", "+38.9 %"] in [row[:-1] for row in cells]
    assert {f"rdsrn, {k} {v}" for row in ABLATIONS[2:4] for k, v in row.config.items()} <= set(first)
    assert {row.label for row in ROWS if row.scale == 4} <= set(first)


def test_without_a_model_the_papers_figures_are_there_unless_unwanted(monkeypatch):
    monkeypatch.setattr("srcli.models.ARCHS", {"srcnn": ARCHS["srcnn"]})
    assert "Beside the papers" in srcli("profile", "-s", 3).stdout
    assert "Beside the papers" not in srcli("profile", "-s", 3, "--no-published").stdout


def test_the_scale_of_all_networks_is_told_where_none_is_named(monkeypatch):
    monkeypatch.setattr("srcli.models.ARCHS", {"srcnn": ARCHS["srcnn"]})
    said = "the scale is x4 unless -s says otherwise"
    assert said in srcli("profile", "--no-published").stdout
    assert said not in srcli("profile", "--no-published", "-s", 4).stdout


def test_a_plot_is_drawn_though_the_table_cannot_be_written(tmp_path, monkeypatch):
    def fail(path, *_):
        raise DiskFull(f"cannot write '{path}': no space")

    monkeypatch.setattr("srcli.commands.profile.write_csv", fail)
    table, plot = tmp_path / "all.csv", tmp_path / "plot.png"
    result = srcli("profile", "rfdn", "srcnn", "--csv", table, "--plot", plot)
    assert (result.exit_code, result.stderr) == (1, f"written: {plot}\nerror: cannot write '{table}': no space\n")
    assert plot.is_file()


def test_json_and_csv_have_the_same_figures(tmp_path):
    arguments = ("profile", "rfdn", "srcnn", "--published")
    rfdn, srcnn = srcli(*arguments, "--json").records
    assert (rfdn["published"]["challenge"]["memory"], srcnn["published"]["challenge"]) == (788.0, None)
    assert srcnn["published"]["multi_adds_deviation"] == pytest.approx(0, abs=1e-4)
    srcli(*arguments, "--csv", tmp_path / "all.csv")
    first, second = csv.DictReader((tmp_path / "all.csv").read_text().splitlines())
    assert {key: first[key] for key in KEYS} == {key: str(rfdn[key]) for key in KEYS}
    assert first["published.challenge.memory"] == "788.0"
    assert (second["published.published_multi_adds"], second["published.challenge.memory"]) == ("52.7", "")


def test_a_plot_has_the_shipped_weights_and_the_papers_networks(shipped, tmp_path):
    pytest.importorskip("matplotlib")
    srcli("profile", "fsrcnn", "vdsr", "--plot", tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    assert text.count("<!-- FSRCNN (56, 12, 4) -->") == 2
    assert [f"<!-- {name} -->" in text for name in ("VDSR", "EDSR", "CARN", "srcli")] == [True, True, False, True]


def test_milliseconds_are_drawn_of_what_is_timed_only(shipped, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ("--input", "16x16", "--plot", tmp_path / "plot.svg", "--plot-axis", "milliseconds", "--device", "cpu")
    result = srcli("profile", "fsrcnn", *arguments)
    text = (tmp_path / "plot.svg").read_text()
    assert text.count("<!-- FSRCNN (56, 12, 4) -->") == 2
    assert [f"<!-- {name} -->" in text for name in ("EDSR", "VDSR")] == [False, False]
    assert "median of repeated passes on cpu in fp32" in result.stdout


def test_changed_networks_are_not_drawn_at_the_scores_of_plain_ones(shipped, tmp_path):
    pytest.importorskip("matplotlib")
    thin = create("fsrcnn", 4, width=32)
    checkpoint.save(tmp_path / "thin.safetensors", thin, checkpoint.card_of(thin))
    result = srcli("profile", tmp_path / "thin.safetensors", "--plot", tmp_path / "plot.svg")
    assert result.exit_code == 0, result.output
    assert "not drawn, as there is no score of it: fsrcnn, width 32" in result.stderr
    text = (tmp_path / "plot.svg").read_text()
    assert text.count("<!-- FSRCNN (56, 12, 4) -->") == 0


def test_tiling_asks_the_hub_as_the_counts_do(monkeypatch):
    asked = []

    def open_network(reference, scale, *, offline, say):
        asked.append(offline)
        return create("bicubic", 2)

    monkeypatch.setattr("srcli.engine.tiling.open_network", open_network)
    srcli("profile", "hf:me/nets", "--tiling", "--offline", "--device", "cpu")
    assert asked == [True]


def test_a_table_that_cannot_be_written_is_said_in_one_line(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("srcli.files.os.fsync", full)
    result = srcli("profile", "fsrcnn", "--input", "16x16", "--csv", tmp_path / "a.csv")
    assert result.exit_code == 1
    assert f"cannot write '{tmp_path / 'a.csv'}': No space left on device" in result.stderr


def test_tiling_is_measured_on_the_picture_given(tmp_path):
    Image.fromarray(photograph(41, 60)).save(tmp_path / "my picture.png")
    arguments = (
        "profile",
        "bicubic",
        "fsrcnn",
        "-s",
        2,
        "--tiling",
        "--picture",
        tmp_path / "my picture.png",
        "--device",
        "cpu",
    )
    bicubic, fsrcnn = srcli(*arguments, "--json").records
    assert (bicubic["kind"], bicubic["weights"], bicubic["picture"]) == ("local", "none", [41, 60])
    assert (fsrcnn["overlap"], fsrcnn["phase"], fsrcnn["tile"], fsrcnn["tiles"]) == (8, 1, 21, 6)
    assert fsrcnn["largest"] <= 1  # a tie between two levels may fall to either side
    assert srcli(*arguments).stdout.splitlines()[-1] == "random: no weights ship, and no start as interpolation is known"
    assert fsrcnn["share"] <= 0.0002
    row = ["Bicubic (MATLAB)", "x2", "none", "local", "2", "1", "41x60", "21", "6", "0", "0.0000 %"]
    assert _cells(srcli(*arguments))[1] == row


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--tiling", "--published"], 2, "--tiling goes with"),
        (["--tiling", "--precision", "bf16"], 2, "measures in fp32"),
        (["--precision", "bf16"], 2, "--precision needs --time"),
        (["--csv", "."], 2, "'.' is a folder"),
        (["--csv", "/dev/nowhere"], 2, "is a device or a pipe, and would be replaced"),
        (["--picture", "p.png"], 2, "--picture needs --tiling"),
        (["--dark"], 2, "need --plot"),
        (["--plot-axis", "macs"], 2, "need --plot"),
        (["--tiling", "--dataset", "U100"], 2, "need --plot"),
        (["--json", "--markdown"], 2, "not both"),
        (["--plot", "plot.gif"], 2, "not 'plot.gif'"),
        (["--plot", "no folder/plot.png"], 1, "no folder 'no folder'"),
        (["--csv", "no folder/all.csv"], 1, "no folder 'no folder'"),
        (["--plot", "plot.png", "--plot-axis", "weight"], 2, "--plot-axis is one of"),
        (["--plot", "plot.png", "--dataset", "Set6"], 2, "--dataset is one of Set5, Set14, B100, U100, M109"),
    ],
)
def test_flags_that_do_not_fit_are_refused_before_the_work(tmp_path, monkeypatch, arguments, code, text):
    monkeypatch.chdir(tmp_path)
    result = srcli("profile", "rfdn", *arguments)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (code, "", 1)
    assert text in result.stderr
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "table")
    assert "is a device or a pipe" in srcli("profile", "fsrcnn", "--csv", tmp_path / "table").stderr
    assert (tmp_path / "table").is_fifo()

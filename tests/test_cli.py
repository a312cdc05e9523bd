"""The program as a user meets it: exit codes, one clear line, nothing lost."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import photograph
from tests.program import srcli


def _pictures(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# upscale


def test_a_folder_is_upscaled_under_its_names(folder, tmp_path):
    result = srcli("upscale", folder, "-o", tmp_path / "out put", "-m", "bicubic", "--json")
    assert result.exit_code == 0, result.output
    records = result.records
    assert [Path(r["output"]).name for r in records] == ["p0.png", "p1.png", "p2.png"]
    assert [set(r) >= {"input", "output", "status", "width", "height", "seconds", "error"} for r in records] == [True] * 3
    for record in records:
        with Image.open(record["input"]) as source, Image.open(record["output"]) as target:
            assert target.size == (4 * source.width, 4 * source.height) == (record["width"], record["height"])


def test_without_output_the_result_lies_beside_the_input(folder):
    assert srcli("upscale", folder / "p0.png", "-m", "bicubic", "-s", 2).exit_code == 0
    with Image.open(folder / "p0_x2.png") as image:
        assert image.size == (106, 74)
    assert srcli("upscale", folder, "-m", "bicubic").exit_code == 0
    assert len(list((folder.parent / "my pictures_x4").iterdir())) == 3


def test_a_picture_suffix_makes_the_output_a_file(folder, tmp_path):
    assert srcli("upscale", "-i", folder / "p0.png", "-o", tmp_path / "new" / "large.webp", "-n", "bicubic").exit_code == 0
    with Image.open(tmp_path / "new" / "large.webp") as image:
        assert (image.format, image.size) == ("WEBP", (212, 148))


def test_a_broken_file_is_listed_last_and_the_rest_is_done(folder, tmp_path):
    (folder / "a broken one.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = srcli("upscale", folder, "-o", tmp_path / "out", "-m", "bicubic")
    assert result.exit_code == 1
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert "a broken one.png" in [line for line in result.stderr.splitlines() if "error" in line][-1]
    assert "3 upscaled, 1 failed" in result.stderr


def test_outputs_that_exist_are_listed_and_nothing_is_written(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "p1.png").write_bytes(b"precious")
    result = srcli("upscale", folder, "-o", out, "-m", "bicubic")
    assert result.exit_code == 1
    assert "p1.png" in result.stderr
    assert _pictures(out) == {"p1.png": b"precious"}


@pytest.mark.parametrize(("exists", "names"), [("skip", 3), ("overwrite", 3), ("rename", 6)])
def test_existing_outputs_are_treated_as_asked(folder, tmp_path, exists, names):
    out = tmp_path / "out"
    srcli("upscale", folder, "-o", out, "-m", "bicubic")
    before = _pictures(out)
    result = srcli("upscale", folder, "-o", out, "-m", "bicubic", "--exists", exists, "--format", "png", "--json")
    assert result.exit_code == 0
    assert len(_pictures(out)) == names
    assert {k: v for k, v in _pictures(out).items() if k in before} == before
    assert {r["status"] for r in result.records} == {"skipped" if exists == "skip" else "done"}


def test_a_dry_run_says_what_would_be_and_writes_nothing(folder, tmp_path):
    result = srcli("upscale", folder, "-o", tmp_path / "out", "-m", "bicubic", "--dry-run", "--json")
    assert result.exit_code == 0
    assert [(r["status"], r["width"]) for r in result.records] == [("planned", 212), ("planned", 192), ("planned", 360)]
    assert not (tmp_path / "out").exists()


def test_stdout_holds_results_and_nothing_else(folder, tmp_path):
    result = srcli("upscale", folder, "-o", tmp_path / "out", "-m", "bicubic")
    assert [line.split("  ")[1] for line in result.stdout.splitlines()] == ["212x148", "192x256", "360x84"]
    quiet = srcli("upscale", folder, "-o", tmp_path / "quiet", "-m", "bicubic", "--quiet")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    planned = srcli("upscale", folder, "-o", tmp_path / "planned", "-m", "bicubic", "--quiet", "--dry-run")
    assert (planned.stdout, planned.stderr) == ("", "")


def test_a_result_too_large_for_its_format_is_refused_in_planning(tmp_path):
    Image.new("RGB", (17000, 1)).save(tmp_path / "wide.png")
    result = srcli("upscale", tmp_path / "wide.png", "-m", "bicubic", "--format", "jpg")
    assert result.exit_code == 1
    assert "65,500" in result.stderr
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["upscale"], 2, "nothing to upscale"),
        (["upscale", "", "-m", "bicubic"], 2, "an argument is empty: is a shell variable unset?"),
        (["upscale", "{folder}/p0.png", "-o", "", "-m", "bicubic"], 2, "an argument is empty, behind -o:"),
        (["upscale", "{folder}/p0.png", "--output=", "-m", "bicubic"], 2, "an argument is empty, behind --output:"),
        (["eval", "", "-m", "bicubic", "-s", "2"], 2, "an argument is empty"),
        (["train", "--arch", "rfdn", "--scale", "4", "--data", "", "--out", "run"], 2, "an argument is empty, behind --data:"),
        (["upscale", "no such file.png", "-m", "bicubic"], 1, "no such file.png"),
        (["upscale", "{folder}", "-m", "rdfn"], 1, "did you mean 'rfdn'"),
        (["upscale", "{folder}", "--tile", "huge"], 2, "--tile is auto, 0 or at least 16"),
        (["upscale", "{folder}", "--precision", "fp8"], 2, "not 'fp8'"),
        (["upscale", "{folder}", "--exists", "perhaps"], 2, "not 'perhaps'"),
        (["upscale", "{folder}", "--format", "heic"], 2, "not 'heic'"),
        (["upscale", "{folder}", "--device", "cuda:99"], 1, "'cuda:99' is not on this machine"),
        (["upscale", "{folder}", "--device", "quantum"], 1, "'quantum'"),
        (["eval", "{folder}", "-m", "bicubic", "-s", "5"], 2, "no x5"),
        (["upscale", "{folder}", "--scael", "2"], 2, "--scael"),
        (["upscale", "{folder}/p0.png", "{folder}/p1.png", "-m", "bicubic", "-o", "one.png"], 2, "one.png"),
        (["eval", "{folder}"], 2, "-m"),
        (["eval", "nowhere", "-m", "bicubic"], 1, "no folder 'nowhere'"),
        (["eval", "{folder}", "-m", "bicubic", "--json", "e.json"], 2, "--json > 'e.json' keeps it"),
        (["eval", "{folder}", "-m", "bicubic", "--channel", "cb"], 2, "--channel is one of"),
        (["eval", "{folder}", "--sr", "{folder}"], 2, "needs the scale"),
        (["profile", "rdfn"], 1, "did you mean 'rfdn'"),
        (["profile", "rfdn", "--input", "large"], 2, "HEIGHTxWIDTH"),
        (["profile", "rfdn", "--input", "8x8"], 2, "too small"),
        (["plot", "{folder}"], 1, "log.jsonl"),
        (["plot", "{folder}", "--by", "weeks"], 2, "not 'weeks'"),
        (["train", "--arch", "rfdn", "--scale", "4", "--out", "run"], 2, "--data is missing"),
        (["train", "--arch", "rfdn", "--scale", "4", "--data", "{folder}", "--steps", "1"], 2, "--out is missing"),
        (
            ["train", "--arch", "rfdn", "--scale", "4", "--data", "{folder}", "--out", "run", "--finish-patch", "64"],
            2,
            "--finish-patch needs --finish",
        ),
        (
            ["train", "--arch", "rfdn", "--scale", "4", "--data", "{folder}", "--out", "run", "--teacher-weight", "0.5"],
            2,
            "--teacher-weight needs --teacher or --teacher-dir",
        ),
        (["train", "--scale", "2", "--patch", "5", "--data", "{folder}", "--samples", "grid.doc"], 2, "grid.doc"),
        (
            ["train", "--arch", "rdfn", "--scale", "4", "--data", "{folder}", "--out", "run", "--steps", "1"],
            2,
            "did you mean 'rfdn'",
        ),
        (["train", "--arch", "rfdn", "--scale", "4", "--data", "nowhere", "--out", "run", "--steps", "1"], 1, "nowhere"),
        (["train", "--arch", "rfdn", "--scale", "4", "--data", "{folder}", "--val", "none", "--out", "run"], 1, "'none'"),
        (["train", "--config", "none.toml", "--out", "run"], 1, "'none.toml'"),
        (["eval", "{folder}/p0.png", "-m", "bicubic"], 2, "of its folder alone this one is scored with --picture p0"),
        (["train", "--arch", "rfdn", "--scale", "4", "--data", "{folder}", "--out", "run"], 2, "--steps or --minutes"),
        (["train", "--arch", "rfdn", "--scale", "4", "--data", "{folder}", "--out", "run", "--steps", "1"], 1, "--patch 12"),
        (
            ["train", "--arch", "rfdn", "--scale", "4", "--data", "{folder}", "--out", "run", "--optimizer", "sgd"],
            2,
            "not 'sgd'",
        ),
        (
            ["train", "--arch", "vdsr", "--scale", "4", "--data", "{folder}", "--out", "run", "--recipe", "paper"],
            2,
            "no paper's recipe",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(folder, tmp_path, monkeypatch, arguments, code, text):
    monkeypatch.chdir(tmp_path)
    before = _pictures(tmp_path)
    result = srcli(*(a.replace("{folder}", str(folder)) for a in arguments))
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert _pictures(tmp_path) == before


def test_a_suffix_may_be_empty(folder, tmp_path):
    assert srcli("upscale", folder / "p0.png", "-o", tmp_path / "out", "--suffix", "", "-m", "bicubic").exit_code == 0
    assert srcli("upscale", folder / "p1.png", "-o", tmp_path / "out", "--suffix=", "-m", "bicubic").exit_code == 0
    assert sorted(_pictures(tmp_path / "out")) == ["p0.png", "p1.png"]


def test_a_file_that_may_not_be_written_is_said(folder, tmp_path):
    locked = tmp_path / "locked"
    locked.write_text("a file, not a folder")
    result = srcli("upscale", folder, "-o", locked / "out", "-m", "bicubic")
    assert result.exit_code == 1
    assert "locked" in result.stderr
    assert "Traceback" not in result.output


# eval and profile


def test_eval_prints_bicubic_first_and_the_protocol_with_every_number(folder):
    result = srcli("eval", folder, "-m", "bicubic", "-s", 2, "--json")
    assert result.exit_code == 0, result.output
    (record,) = result.records
    scores = {
        "psnr",
        "psnr_interval",
        "ssim",
        "ssim_interval",
        "versus",
        "rgb_psnr",
        "rgb_ssim",
        "precision",
        "device",
        "ensemble",
    }
    assert set(record) == scores | {"model", "dataset", "scale", "pictures", "protocol", "seconds"}
    assert (record["model"], record["dataset"], record["scale"], record["pictures"]) == ("bicubic", "my pictures", 2, 3)
    table = srcli("eval", folder, "-m", "bicubic", "-s", 2)
    assert "Y (BT.601), shave 2" in table.stdout
    assert f"{record['psnr']:.2f}" in table.stdout


def test_eval_scores_ready_pictures_and_writes_a_csv(folder, tmp_path):
    assert srcli("eval", folder, "-m", "bicubic", "-s", 2, "--save", tmp_path / "sr").exit_code == 0
    ready = tmp_path / "sr" / "bicubic" / folder.name
    result = srcli("eval", folder, "--sr", ready, "-s", 2, "--csv", tmp_path / "all.csv", "--json")
    bicubic, ours = result.records
    assert (bicubic["model"], ours["model"]) == ("bicubic", folder.name)
    assert ours["psnr"] == bicubic["psnr"]
    lines = (tmp_path / "all.csv").read_text().splitlines()
    assert lines[0] == "model,dataset,picture,scale,psnr,ssim,seconds,precision,device,ensemble,protocol"
    assert len(lines) == 1 + 2 * 3


def test_profile_prints_the_challenges_row_of_rfdn():
    (record,) = srcli("profile", "e-rfdn", "--json").records
    assert (record["model"], record["scale"], record["input"]) == ("rfdn", 4, "256x256")
    assert record["parameters"] == 433_448
    assert record["flops"] == 2 * record["macs"]
    assert f"{record['ntire_flops'] / 1e9:.2f}" == "27.10"
    assert f"{record['activations'] / 1e6:.2f}" == "112.03"
    assert record["convolutions"] == 64


@pytest.mark.slow
def test_profile_without_a_model_knows_every_network():
    from srcli.models import ARCHS

    assert {r["model"] for r in srcli("profile", "--json").records} == set(ARCHS)


def test_profile_without_a_model_knows_every_network_there_is(monkeypatch):
    from srcli.models import ARCHS

    srcli("profile", "bicubic")  # modules that this would be the first to import would keep the short table
    quick = {name: ARCHS[name] for name in ("bicubic", "srcnn", "carn")}
    monkeypatch.setattr("srcli.models.ARCHS", quick)
    assert {r["model"] for r in srcli("profile", "--json").records} == set(quick)


def test_running_out_of_memory_ends_in_a_line_wherever_it_happens(folder, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr("srcli.engine.evaluate.score", fail)
    result = srcli("eval", folder, "-m", "bicubic", "-s", 2)
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert "error: there is not enough memory" in result.stderr
    monkeypatch.setattr("srcli.engine.evaluate.score", lambda *_, **__: 1 / 0)  # a bug keeps its traceback
    with pytest.raises(ZeroDivisionError):
        srcli("eval", folder, "-m", "bicubic", "-s", 2)


# train


def _train_flags(folder, out, *more, arch="fast"):
    return ["train", "--arch", arch, "--scale", 2, "--data", folder, "--out", out, "--patch", 16, "--batch", 2, *more]


@pytest.mark.parametrize(("more", "lines"), [([], 2), (["-q"], 0)])
def test_a_run_without_a_terminal_tells_of_its_checkpoints(folder, tmp_path, monkeypatch, more, lines):
    monkeypatch.setattr("srcli.engine.loop.SAVE_EVERY", 0.0)
    monkeypatch.setattr("srcli.engine.loop.FIRST_SAVE", 0.0)
    monkeypatch.setattr("srcli.engine.loop.TELL_EVERY", 0.0)
    said = srcli(*_train_flags(folder, tmp_path / "run", "--steps", 3, *more)).stderr
    told = re.findall(r"^step \d: (\d+)% done, loss 0\.\d+, [\d.]+ steps/s, saved$", said, re.MULTILINE)
    assert told == ["33", "67"][:lines]


def test_a_trained_model_upscales(folder, tmp_path):
    result = srcli(*_train_flags(folder, tmp_path / "run", "--steps", 3, "--val", folder))
    assert result.exit_code == 0, result.output
    best = tmp_path / "run" / "best.safetensors"
    assert srcli("upscale", folder / "p0.png", "-m", best, "-o", tmp_path / "large.png").exit_code == 0
    with Image.open(tmp_path / "large.png") as image:
        assert image.size == (106, 74)
    (row,) = srcli("profile", best, "--json").records
    assert (row["model"], row["scale"]) == ("fast", 2)


def test_the_state_of_a_run_tells_its_scale_and_recipe(folder, tmp_path, monkeypatch):
    from srcli import checkpoint

    run, out = tmp_path / "run", tmp_path / "out.safetensors"
    assert srcli(*_train_flags(folder, run, "--steps", 1, "--set", "maps=2", arch="fsrcnn")).exit_code == 0
    reads, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **more: reads.append(a) or load(*a, **more))
    result = srcli("models", "convert", run / "last.pt", "-o", out)
    assert (result.exit_code, len(reads)) == (0, 1), result.stderr
    assert checkpoint.checksum(checkpoint.load(out)[0]) == checkpoint.checksum(checkpoint.load(run / "best.safetensors")[0])
    card, best = checkpoint.read_card(out), checkpoint.read_card(run / "best.safetensors")
    assert card == replace(best, source="last.pt")
    refused = srcli("models", "info", run / "last.pt", "-s", 3)
    assert (refused.exit_code, "upscales x2, not x3" in refused.stderr) == (2, True)


def test_a_config_file_gives_what_flags_do_not(folder, tmp_path):
    (tmp_path / "run.toml").write_text('optimizer = "adam"\nsteps = 50\nvalidate-every = 1\n')
    result = srcli(*_train_flags(folder, tmp_path / "run", "--steps", 1, "--config", tmp_path / "run.toml"))
    assert result.exit_code == 0, result.output
    from srcli import checkpoint

    card = checkpoint.read_card(tmp_path / "run" / "best.safetensors")
    assert (card.training["optimizer"], card.training["steps"], card.training["validate_every"]) == ("adam", 1, 1)
    (tmp_path / "run.toml").write_text("optimiser = 'adam'\n")
    wrong = srcli(*_train_flags(folder, tmp_path / "other", "--steps", 1, "--config", tmp_path / "run.toml"))
    assert wrong.exit_code == 2
    assert "did you mean 'optimizer'" in wrong.stderr


def test_a_networks_arguments_can_be_set(folder, tmp_path):
    flags = _train_flags(folder, tmp_path / "run", "--steps", 1, "--set", "channels=16", "--set", "blocks=2", arch="rfdn")
    result = srcli(*flags)
    assert result.exit_code == 0, result.output
    from srcli import checkpoint

    card = checkpoint.read_card(tmp_path / "run" / "best.safetensors")
    assert (card.config, "network" in card.training) == ({"channels": 16, "blocks": 2}, False)
    wrong = srcli(*_train_flags(folder, tmp_path / "other", "--steps", 1, "--set", "depth=3", arch="rfdn"))
    assert (wrong.exit_code, "'rfdn' has an unknown key 'depth'" in wrong.stderr) == (2, True)


def test_the_papers_recipe_sets_the_papers_values(folder, tmp_path):
    result = srcli(*_train_flags(folder, tmp_path / "run", "--steps", 1, "--recipe", "paper", arch="rfdn"))
    assert result.exit_code == 0, result.output
    from srcli import checkpoint

    training = checkpoint.read_card(tmp_path / "run" / "best.safetensors").training
    assert (training["optimizer"], training["lr"], training["schedule"]) == ("adam", 5e-4, "step")
    assert (training["ema"], training["init"], training["batch"]) == (0.0, "random", 2)
    assert "the rate is never halved: schedule step does so at 200,000 steps first, and the run has 1\n" in result.stderr


def test_a_run_that_is_resumed_with_its_recipe_keeps_its_length(folder, tmp_path):
    def told(step, *more):
        flags = ["--recipe", "paper", "--resume", "--json", "--stop-after", step, *more]
        started, *events = srcli(*_train_flags(folder, tmp_path / "run", *flags, arch="rfdn")).records
        notes = [note for note in started["notes"] if "--" in note]
        return notes, *(e["fraction"] for e in events if e["event"] == "step")

    assert told(1) == ([], 1e-6)
    (tmp_path / "run").rename(tmp_path / "before")
    assert told(1, "--steps", 4) == ([], 0.25)
    assert told(2) == ([], 0.5)
    notes, fraction = told(3, "--minutes", 30)
    assert (notes, fraction < 0.1) == (["--steps was 4", "--minutes was not given"], True)
    notes, fraction = told(4)
    assert (notes, 1e-5 < fraction < 0.1) == ([], True)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--optimizer", "adam", "--adam-lr", 1e-9], "--adam-lr is of muon; the rate of adam is --lr"),
        (["--beta", 3], "--beta needs --loss smooth-l1"),
        (["--validate-every", 3], "--validate-every needs --val"),
        (["--frequency", 3, "--finish", 0.2], "--frequency needs --loss frequency"),
        (["--halve-every", 1], "--halve-every needs --schedule step"),
        (["--schedule", "step", "--halve-every", 1, "--milestones", 2], "--halve-every is replaced by --milestones"),
        (["--schedule", "step", "--milestones", "5,3"], "--milestones are rising steps, each once, not 5,3"),
        (["--loss", "frequency", "--frequency", 0], "--frequency 0 leaves nothing of the frequency loss but l1"),
    ],
)
def test_a_flag_that_changes_nothing_is_refused(folder, tmp_path, flags, told):
    for resume in ([], ["--resume"]):  # where there is nothing to resume
        result = srcli(*_train_flags(folder, tmp_path / "run", "--steps", 1, *flags, *resume))
        assert (result.exit_code, told in result.stderr, (tmp_path / "run").exists()) == (2, True, False)


def test_what_a_run_still_lacks_is_told_where_there_is_nothing_to_resume(tmp_path):
    result = srcli("train", "--out", tmp_path / "run", "--resume", "--beta", 1)
    said = f"error: --arch is missing, and '{tmp_path / 'run'}' holds no run that has it\n"
    assert (result.exit_code, result.stderr, (tmp_path / "run").exists()) == (2, said, False)


def test_a_recipes_and_a_files_settings_may_change_nothing(folder, tmp_path):
    (tmp_path / "run.toml").write_text(
        "adam-lr = 1e-3\nfrequency = 0.1\nvalidate-steps = 10\nteacher-weight = 0.2\nfinish-patch = 50\n"
    )
    flags = ["--steps", 2, "--recipe", "paper", "--config", tmp_path / "run.toml", "--schedule", "cosine"]
    result = srcli(*_train_flags(folder, tmp_path / "run", *flags, "--stop-after", 1, arch="rfdn"))
    assert result.exit_code == 0, result.output
    flags += ["--resume", "--adam-lr", 1e-3]  # as before it was refused
    result = srcli(*_train_flags(folder, tmp_path / "run", *flags, arch="rfdn"))
    assert result.exit_code == 0, result.output


def test_samples_are_drawn_without_a_run(folder, tmp_path):
    flags = ["--scale", 2, "--patch", 10, "--degradation", "photo", "--samples", tmp_path / "grid.png"]
    result = srcli("train", "--data", folder, *flags)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'grid.png'}\n"), result.output
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (4 * (2 * 20 + 8), 6 * (20 + 8))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("patch = 0", "--patch must be above 0"),
        ("patch = -3", "--patch must be above 0"),
        ("batch = -1", "--batch must be above 0"),
        ("seed = -1", "--seed must not be below 0"),
        ("seed = 18446744073709551616", "--seed is below 2**64"),
        ("finish = 1.5", "--finish is a part of the run"),
        ("[[stage]]\nshare = 2.0", "leave nothing for the first"),
        ("[[stage]]\nshare = -0.5\npatch = -8", "a [[stage]] has a share, patch and batch above 0"),
    ],
)
def test_samples_of_numbers_that_no_run_takes_are_refused(folder, tmp_path, config, told):
    (tmp_path / "run.toml").write_text(config)
    flags = ["--scale", 2, "--config", tmp_path / "run.toml", "--samples", tmp_path / "grid.png"]
    result = srcli("train", "--data", folder, *flags)
    assert (result.exit_code, (tmp_path / "grid.png").exists()) == (2, False)
    assert told in " ".join(result.stderr.split())


@pytest.mark.parametrize("command", ["csv", "table", "page", "figure", "plot", "curves", "samples", "compare"])
def test_only_what_srcli_wrote_for_the_same_use_is_replaced(folder, tmp_path, command):
    if command in ("plot", "curves"):
        pytest.importorskip("matplotlib")
    if command == "curves":
        assert srcli(*_train_flags(folder, tmp_path / "run", "--steps", 1)).exit_code == 0
    scored = ("eval", folder, "-m", "bicubic", "-s", 2, "--picture", "p0")
    name, *flags = {
        "csv": ("c.csv", *scored, "--csv"),
        "table": ("t.csv", "profile", "fsrcnn", "--input", "16x16", "--csv"),
        "page": ("r.html", *scored, "--report"),
        "figure": ("f.png", *scored, "--figure"),
        "plot": ("p.svg", "profile", "fsrcnn", "vdsr", "--plot"),
        "curves": ("c.png", "plot", tmp_path / "run", "-o"),
        "samples": ("s.png", "train", "--data", folder, "--scale", 2, "--patch", 10, "--samples"),
        "compare": ("c.html", "compare", folder / "p0.png", "-m", "bicubic", "-s", 2, "-o"),
    }[command]
    file = tmp_path / name
    file.write_bytes(b"a photograph, or weights")
    refused = srcli(*flags, file)
    assert (refused.exit_code, "would be lost; name another file" in refused.stderr) == (1, True)
    assert file.read_bytes() == b"a photograph, or weights"
    file.write_bytes(b"")
    for _ in range(2):
        again = srcli(*flags, file)
        assert again.exit_code == 0, again.stderr


def test_a_second_folder_to_validate_on_is_refused(folder, tmp_path):
    result = srcli(*_train_flags(folder, tmp_path / "run", "--steps", 1, "--val", folder, "--val", folder))
    assert (result.exit_code, "--val is one folder, not 2" in result.stderr) == (2, True)


@pytest.mark.parametrize("name", ["p1.png", "grid.png"])
def test_samples_do_not_come_among_what_is_trained_on(folder, name):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    refused = srcli("train", "--data", folder, "--scale", 2, "--patch", 10, "--samples", folder / name)
    assert (refused.exit_code, "would be trained on; name another file" in refused.stderr) == (2, True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_run_that_was_to_stop_before_its_end_is_not_called_done(folder, tmp_path):
    result = srcli(*_train_flags(folder, tmp_path / "run", "--steps", 4, "--stop-after", 2))
    assert "step 2 saved; continue with --resume" in result.stderr
    assert "done: weights" in srcli("train", "--out", tmp_path / "run", "--resume").stderr
    assert "--data is missing" in srcli("train", "--scale", 2, "--resume", "--samples", tmp_path / "grid.png").stderr


def test_a_run_whose_reader_goes_is_saved(folder, tmp_path):
    flags = [str(a) for a in _train_flags(folder, tmp_path / "run", "--steps", 100000, "--json")]
    with subprocess.Popen([sys.executable, "-m", "srcli", *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout and run.stderr
        assert json.loads(run.stdout.readline())["event"] == "started"
        run.stdout.close()
        assert run.wait(60) == 130
        assert b"Traceback" not in run.stderr.read()
    assert (tmp_path / "run" / "last.pt").is_file()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_sigterm_saves_a_checkpoint_to_resume_from(folder, tmp_path):
    out = tmp_path / "run"
    flags = [str(a) for a in _train_flags(folder, out, "--steps", 100000)]
    with subprocess.Popen([sys.executable, "-m", "srcli", *flags], stderr=subprocess.PIPE, text=True) as run:
        for _ in range(600):
            if (out / "log.jsonl").exists() and '"step"' in (out / "log.jsonl").read_text():
                break
            time.sleep(0.1)
        run.send_signal(signal.SIGTERM)
        _, stderr = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "continue with --resume" in stderr
    assert (out / "last.pt").is_file()
    assert (out / "best.safetensors").is_file()


# plot


def test_runs_are_plotted_from_their_logs(folder, tmp_path):
    assert srcli(*_train_flags(folder, tmp_path / "run", "--steps", 2, "--val", folder)).exit_code == 0
    result = srcli("plot", tmp_path / "run", tmp_path / "run", "-o", tmp_path / "curves.png")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path}/curves.png\n"
    with Image.open(tmp_path / "curves.png") as drawn:
        assert drawn.size == (1440, 1120)


# the rest


def test_version_and_help():
    from srcli import __version__

    assert srcli("--version").stdout == f"srcli {__version__}\n"
    for command in ("upscale", "train", "eval", "profile", "plot"):
        result = srcli(command, "--help")
        assert result.exit_code == 0
        assert "Example" in result.stdout


def test_a_bug_keeps_its_traceback(folder, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("srcli.zoo.open_model", broken)
    with pytest.raises(ZeroDivisionError):
        srcli("upscale", folder)


def test_the_module_runs_as_a_program(tmp_path):
    Image.fromarray(np.asarray(photograph(9, 7))).save(tmp_path / "ä ö 名.png")
    command = [sys.executable, "-m", "srcli", "upscale", str(tmp_path / "ä ö 名.png"), "-m", "bicubic", "-s", "3"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.endswith("21x27\n")
    with Image.open(tmp_path / "ä ö 名_x3.png") as image:
        assert image.size == (21, 27)

"""The comparison of designs in benchmarks/: what it reads, that it goes on where it was stopped, and what it says."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.designs import Run, main, read_designs, read_results, sweep, table, train_config
from srcli.errors import UsageError


def test_a_design_has_arguments_of_the_network_and_settings_of_the_run():
    (design,) = read_designs(["standard:lr=6e-3:channels=48:activation=relu"])
    assert (design.arch, design.network) == ("standard", {"channels": 48, "activation": "relu"})
    assert design.settings == {"lr": 0.006}
    assert design.name == "standard:activation=relu:channels=48:lr=0.006"
    config = train_config(design, Run(design.name, 3.0, 7, 2, "hr"), Path("hr"))
    assert (config.arch, config.network, config.lr, config.minutes, config.seed) == (
        "standard",
        {"channels": 48, "activation": "relu"},
        0.006,
        3.0,
        7,
    )


def test_designs_are_read_from_json_and_files(tmp_path):
    path = tmp_path / "de signs.json"
    path.write_text('[{"arch": "fast", "blocks": 5}, {"arch": "e-rfdn", "stage": [{"share": 0.2}]}]')
    designs = read_designs([str(path), '{"arch": "fast", "blocks": 5}'])
    assert [d.name for d in designs] == ["fast:blocks=5", 'rfdn:stage=[{"share": 0.2}]', "fast:blocks=5"]


def test_a_sweep_tries_each_design_with_each_value():
    names = [d.name for d in sweep(read_designs(["rfdn", "fast:blocks=5"]), "lr=3e-3,6e-3")]
    assert names == ["rfdn:lr=0.003", "rfdn:lr=0.006", "fast:blocks=5:lr=0.003", "fast:blocks=5:lr=0.006"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("fats", "did you mean 'fast'"),
        ("fast:chanels=3", "have no 'chanels'; did you mean 'channels'"),
        ("rfdn:gate=full", "'rfdn' and its training have no 'gate'"),
        ("fast:minutes=3", "the comparison's to say"),
        ("fast:blocks", "KEY=VALUE"),
        ("{fast}", "not JSON"),
        ('{"blocks": 3}', 'no "arch"'),
        ("no/such.json", "cannot read"),
    ],
)
def test_what_is_no_design_is_refused(text, error):
    with pytest.raises(UsageError, match=error):
        read_designs([text])


def _record(design, seed, **pictures):
    mean = sum(pictures.values()) / len(pictures)
    counts = {"parameters": 1_234, "macs": 5e9, "steps": 100 + seed}
    return {"design": design, "seed": seed, "psnr": mean, "pictures": pictures, **counts}


def test_the_table_pairs_designs_by_picture_over_the_seeds_that_both_have():
    records = [
        _record("a", 0, x=30.0, y=20.0),
        _record("a", 1, x=30.0, y=20.0),
        _record("b", 0, x=30.1, y=20.3),
        _record("b", 1, x=30.3, y=20.5),
        _record("b", 2, x=40.0, y=40.0),  # without a partner
    ]
    assert table(records, ["a", "b", "c"])[2:] == [
        "| a | 1,234 | 5.00 | 100 | 2 | 25.000 | 25.000..25.000 | - | - |",
        "| b | 1,234 | 5.00 | 101 | 3 | 30.200 | 25.200..40.000 | +0.300 | +0.200..+0.400 |",
        "| c | - | - | - | 0 | - | - | - | - |",
    ]


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"a": 1}\n{"a": ')
    assert read_results(path) == [{"a": 1}]
    assert path.read_text() == '{"a": 1}\n'


def test_a_comparison_goes_on_where_it_was_stopped(pictures, tmp_path, monkeypatch, capsys):
    def compare(*more):
        flags = ["--data", pictures, "--val", pictures, "--out", tmp_path / "out", "--minutes", "0.005", "--scale", "2"]
        monkeypatch.setattr("sys.argv", ["designs.py", *map(str, flags), *more, "fast:patch=16:batch=1:precision=fp32"])
        main()
        return capsys.readouterr()

    compare()
    (first,) = read_results(tmp_path / "out" / "results.jsonl")
    (weights,) = (tmp_path / "out").glob("*/best.safetensors")
    before = weights.stat().st_mtime_ns
    second = compare("--seeds", "0,1")
    records = read_results(tmp_path / "out" / "results.jsonl")
    assert weights.stat().st_mtime_ns == before
    assert (records[0], [r["seed"] for r in records]) == (first, [0, 1])
    assert first["settings"] == {"patch": 16, "batch": 1, "precision": "fp32"}
    assert "1/2 fast:batch=1:patch=16:precision=fp32, 0.005 minutes, seed 0: done" in second.err
    assert re.search(r"\| fast:.* \| 30,300 \| 1.97 \| .* \| 2 \| ", second.out)


def test_a_design_that_fails_leaves_the_others_to_go_on(pictures, tmp_path, monkeypatch, capsys):
    flags = ["--data", pictures, "--val", pictures, "--out", tmp_path / "out", "--minutes", "0.005", "--scale", "2"]
    designs = ["fast:patch=16:lr=1e30:adam-lr=1e30:clip=0:warmup=0:batch=1", "fast:patch=16:batch=1"]
    monkeypatch.setattr("sys.argv", ["designs.py", *map(str, flags), *designs])
    main()
    told = capsys.readouterr()
    assert "failed: the loss is not finite" in told.err
    assert [r["design"] for r in read_results(tmp_path / "out" / "results.jsonl")] == ["fast:batch=1:patch=16"]


def test_equal_steps_are_what_fits_into_the_minutes(pictures, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    flags = ["--data", pictures, "--val", pictures, "--out", out, "--minutes", "0.005", "--scale", "2", "--equal", "steps"]
    known, other = "fast:batch=1:patch=16:precision=fp32", "fast:batch=1:patch=20:precision=fp32"
    out.mkdir()
    (out / "step_seconds.json").write_text(json.dumps({known: 0.1}))
    monkeypatch.setattr("sys.argv", ["designs.py", *map(str, flags), known, other])
    main()
    capsys.readouterr()
    seconds = json.loads((out / "step_seconds.json").read_text())
    assert seconds[known] == 0.1
    assert 0 < seconds[other] < 10
    assert [r["steps"] for r in read_results(out / "results.jsonl")] == [3, max(1, round(0.3 / seconds[other]))]

import json
import re
import warnings

import numpy as np
import pytest

from srcli.engine.curves import plot_curves, read_curves, smooth
from srcli.errors import BadFolder, UsageError
from tests.program import srcli


def _write(run, records):
    run.mkdir(exist_ok=True)
    (run / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records) + '{"event": "st')
    return run


def _step(step, loss):
    return {"event": "step", "step": step, "loss": loss, "elapsed": 36.0 * step}


def test_steps_done_anew_after_a_resume_count_once(tmp_path):
    validated = {"event": "validated", "step": 3, "psnr": 30.0, "elapsed": 108.0}
    again = {"event": "started", "step": 2}
    records = [_step(1, 0.5), _step(2, 0.4), _step(3, 9.0), validated, _step(4, 9.0), again, _step(3, 0.3), _step(4, 0.2)]
    curves = read_curves(_write(tmp_path / "run", records))
    assert curves.label == "run"
    assert curves.losses == [("", ([1, 2, 3, 4], pytest.approx([0.01, 0.02, 0.03, 0.04]), [0.5, 0.4, 0.3, 0.2]))]
    assert curves.psnr.values == []


def test_damaged_lines_are_passed_over(tmp_path):
    run = _write(tmp_path / "run", [_step(1, 0.5)])
    with (run / "log.jsonl").open("ab") as log:
        log.write(b'\n[1, 2]\n{"event": "step"}\n{"event": "step", "step": 2, "loss": "x", "elapsed": 1}\n\x81\xff\n')
    assert [stage.steps for _, stage in read_curves(run).losses] == [[1]]
    with pytest.raises(BadFolder, match="has not logged a step"):
        read_curves(_write(tmp_path / "nan", [_step(1, float("nan"))]))


def test_smoothing_keeps_a_line_a_line():
    line = np.linspace(1, 3, 501)
    assert smooth(line.tolist(), 5)[5:-5] == pytest.approx(line[5:-5])  # fewer neighbours on one side at the ends
    assert smooth([2.0] * 80, 1) == pytest.approx(2.0)


def test_losses_of_two_kinds_have_a_panel_each_and_are_smoothed_within_a_stage(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    losses = [("l1", 0, 0.04), ("l1", 1, 0.02), ("mse", 2, 0.001)]
    records = [
        {**_step(100 * stage + n, loss), "stage": stage, "loss_name": name} for name, stage, loss in losses for n in range(100)
    ]
    run = read_curves(_write(tmp_path / "run", records))
    assert [(name, stage.steps[0], stage.steps[-1]) for name, stage in run.losses] == [
        ("l1", 0, 99),
        ("l1", 100, 199),
        ("mse", 200, 299),
    ]
    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda figure, file, **_: drawn.append(figure))
    plot_curves([run], tmp_path / "c.svg")
    first, second = drawn[0].axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("l1 loss", "mse loss")
    bold = [[line.get_ydata() for line in axes.lines[1::2]] for axes in (first, second)]
    assert [[set(np.round(y, 9)) for y in lines] for lines in bold] == [[{0.04}, {0.02}], [{0.001}]]


def test_a_folder_without_steps_is_refused(tmp_path):
    with pytest.raises(BadFolder, match="not a training run"):
        read_curves(tmp_path)
    with pytest.raises(BadFolder, match="has not logged a step"):
        read_curves(_write(tmp_path / "run", []))


def test_a_plot_is_written_for_any_number_of_runs(tmp_path):
    pytest.importorskip("matplotlib")
    run = read_curves(_write(tmp_path / "run", [_step(1, 0.5)]))
    plot_curves([run] * 9, tmp_path / "curves.svg", by="hours")
    assert "</svg>" in (tmp_path / "curves.svg").read_text()
    with pytest.raises(UsageError, match=r"\.png or \.svg"):
        plot_curves([run], tmp_path / "curves.doc")


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["x$\\frac$y", "a$b$c"], ["x$\\frac$y", "a$b$c"]),
        (["_old", "new"], ["_old", "new"]),
        (["a/rfdn", "b/rfdn"], ["a/rfdn", "b/rfdn"]),
        (["r\udce9"], [r"r\udce9"]),
        (["日本"], ["日本"]),
    ],
)
def test_the_legend_names_every_run_as_it_is_called(tmp_path, monkeypatch, names, shown):
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")  # letters stay letters
    for name in names:
        try:
            (tmp_path / name).mkdir(parents=True)
        except OSError:
            pytest.skip("this file system takes no such name")
        _write(tmp_path / name, [_step(1, 0.5), {"event": "validated", "step": 1, "psnr": 30.0, "elapsed": 36.0}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plotted = srcli("plot", *(tmp_path / name for name in names), "-o", tmp_path / "c.svg")
    assert plotted.exit_code == 0, plotted.output
    written = re.findall(r"<text[^>]*>(.*?) \(30\.00 dB\)</text>", (tmp_path / "c.svg").read_text(encoding="utf-8"))
    assert written == shown

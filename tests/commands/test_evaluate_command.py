"""srcli eval as a user meets it: intervals, comparisons, the papers' rows, the report and the figure."""

import csv
import math
import shutil
from pathlib import Path

import pytest
from PIL import Image

from srcli.errors import DiskFull
from tests.conftest import photograph
from tests.program import srcli


@pytest.fixture
def sets(folder, tmp_path) -> Path:
    """Lay two data sets out as the usual benchmark archives do, and a tool's results, perfect and spoilt."""
    for name in ("Set5", "Set14"):
        (tmp_path / name).mkdir()
        shutil.copytree(folder, tmp_path / name / "HR")
    shutil.copytree(folder, tmp_path / "perfect" / "Set5")
    shutil.copytree(folder, tmp_path / "perfect" / "Set14")
    return tmp_path


def test_records_have_intervals_and_how_each_stands_against_those_before(sets):
    bicubic, tool = srcli("eval", sets / "Set5" / "HR", "--sr", sets / "perfect" / "Set5", "-s", 2, "--json").records
    low, high = bicubic["psnr_interval"]
    assert low < bicubic["psnr"] < high
    assert bicubic["ssim_interval"][0] < bicubic["ssim"] < bicubic["ssim_interval"][1]
    assert bicubic["versus"] == []
    (contest,) = tool["versus"]
    assert (contest["other"], contest["wins"], contest["losses"]) == ("bicubic", 3, 0)
    assert contest["ssim"] == pytest.approx(tool["ssim"] - bicubic["ssim"])
    assert (tool["psnr"], tool["psnr_interval"]) == (None, [None, None])  # equal pictures: infinite


def test_data_sets_whose_folders_are_called_hr_keep_their_names(sets):
    records = srcli("eval", sets / "Set5" / "HR", sets / "Set14" / "HR", "-m", "bicubic", "-s", 2, "--json").records
    assert [r["dataset"] for r in records] == ["Set5", "Set14"]


def test_protocols_that_differ_are_told_of_their_data_sets(sets):
    told = srcli("eval", sets / "Set5", sets / "Set14", "-m", "bicubic", "-s", 2).stdout.splitlines()
    assert [line.partition(":")[0] for line in told if line.startswith("protocol")] == ["protocol"]
    Image.fromarray(photograph(40, 40)[..., 0]).save(sets / "Set14" / "HR" / "gray.png")
    told = srcli("eval", sets / "Set5", sets / "Set14", "-m", "bicubic", "-s", 2).stdout.splitlines()
    assert [line.partition(":")[0] for line in told if line.startswith("protocol")] == ["protocol of Set5", "protocol of Set14"]


def test_the_folder_of_a_benchmark_stands_for_its_hr_pictures(sets, folder):
    shutil.copytree(folder, sets / "Set5" / "LR_bicubic" / "X2")
    (record,) = srcli("eval", sets / "Set5", "-m", "bicubic", "-s", 2, "--json").records
    assert (record["dataset"], record["pictures"]) == ("Set5", 3)


def test_one_file_under_two_names_is_scored_once(folder):
    result = srcli("eval", folder, "-m", "standard", "-m", "standard_x4", "--json")
    assert [record["model"] for record in result.records] == ["bicubic", "standard"]
    assert result.stderr == "'standard_x4' is the same file as 'standard', and counts once\n"


def test_the_table_says_who_beats_whom(sets):
    folder = sets / "Set5" / "HR"
    result = srcli("eval", folder, "-m", "bicubic", "-s", 2, "--sr", sets / "perfect")
    assert result.exit_code == 0, result.output
    assert "Set5: perfect > bicubic on 3 of 3, +inf dB, no interval" in result.stdout


def test_models_of_one_name_are_told_apart_and_saved_apart(folder, tmp_path, monkeypatch):
    from srcli import checkpoint
    from srcli.models import create
    from tests.conftest import HEIGHT

    runs = [tmp_path / name / "best.safetensors" for name in ("one", "two")]
    for path in runs:
        path.parent.mkdir()
        checkpoint.save(path, create("fsrcnn", 2), checkpoint.Card(arch="fsrcnn", scale=2))
    result = srcli("eval", folder, "-m", runs[0], "-m", runs[1], "--save", tmp_path / "sr", "--picture", "p0")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "sr").iterdir()) == ["bicubic", "one_best", "two_best"]
    assert [line.split()[0] for line in result.stdout.splitlines()[1:4]] == ["bicubic", str(runs[0]), str(runs[1])]
    monkeypatch.setattr("srcli.console.on_terminal", lambda: True)
    shown = srcli("eval", folder, "-m", runs[0], "-m", runs[1], "--picture", "p0").stdout
    assert [line.split()[0] for line in shown.splitlines()[1:4]] == ["bicubic", "one/best", "two/best"]
    with Image.open(tmp_path / "sr" / "two_best" / "my pictures" / "p0.png") as saved:
        assert saved.height == HEIGHT // 2 * 2


def test_the_papers_rows_stand_beside_ours(sets):
    result = srcli("eval", sets / "Set5" / "HR", "-m", "bicubic", "-s", 2, "--against", "published")
    assert result.exit_code == 0, result.output
    assert "'Set5' has 3 pictures here, 5 in the papers: their means are not of the same" in result.stderr
    assert "> bicubic" in result.stdout
    assert "38.00 / 0.9605" in result.stdout  # IMDN x2
    assert "Hui et al., ACM MM 2019" in result.stdout
    records = srcli("eval", sets / "Set5" / "HR", "-m", "bicubic", "-s", 2, "--against", "published", "--json").records
    assert {"model": "IMDN", "dataset": "Set5", "scale": 2, "psnr": 38.0, "ssim": 0.9605} in [
        {key: r[key] for key in ("model", "dataset", "scale", "psnr", "ssim")} for r in records
    ]


def test_both_channels_stand_beside_each_other_in_table_records_csv_and_report(sets):
    hr, files = sets / "Set5" / "HR", ("--csv", sets / "scores.csv", "--report", sets / "report.html")
    (alone,) = srcli("eval", hr, "-m", "bicubic", "-s", 2, "--channel", "rgb", "--json").records
    (both,) = srcli("eval", hr, "-m", "bicubic", "-s", 2, "--channel", "both", "--json", *files).records
    assert (both["rgb_psnr"], both["rgb_ssim"]) == (alone["psnr"], alone["ssim"])
    head, first, *_ = (sets / "scores.csv").read_text().splitlines()
    assert head == "model,dataset,picture,scale,psnr,ssim,rgb_psnr,rgb_ssim,seconds,precision,device,ensemble,protocol"
    assert len(next(csv.reader([first]))) == 13
    assert f"{alone['psnr']:.2f}" in (sets / "report.html").read_text(encoding="utf-8")
    table = srcli("eval", hr, "-m", "bicubic", "-s", 2, "--channel", "both").stdout
    assert "RGB PSNR" in table and f"{alone['psnr']:.2f}" in table


def test_no_ssim_of_a_picture_that_is_too_small_is_a_dash_everywhere(tmp_path):
    (tmp_path / "hr").mkdir()
    Image.fromarray(photograph(12, 14)).save(tmp_path / "hr" / "a\nb.png")
    files = ("--picture", "a\nb", "--figure", tmp_path / "f.png", "--report", tmp_path / "r.html")
    result = srcli("eval", tmp_path / "hr", "-m", "bicubic", "-s", 2, "--channel", "both", *files)
    assert result.exit_code == 0, result.output
    row = result.stdout.splitlines()[1].split()
    assert (row[6], row[7], row[9]) == ("-", "-", "-")
    assert "nan" not in result.stdout and ">nan<" not in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_records_say_what_computed_and_tables_which_folder_a_picture_is_in(sets):
    hr = sets / "Set5" / "HR"
    (hr / "more").mkdir()
    (hr / "p1.png").rename(hr / "more" / "p2.png")
    (record,) = srcli("eval", hr, "-m", "bicubic", "-s", 2, "--device", "cpu", "--json", "--csv", sets / "scores.csv").records
    assert (record["precision"], record["device"], record["ensemble"]) == ("fp32", "cpu", False)
    lines = (sets / "scores.csv").read_text().splitlines()[1:]
    rows = list(csv.reader(lines))
    assert [row[2] for row in rows] == ["more/p2.png", "p0.png", "p2.png"]
    assert all(row[-4:] == ["fp32", "cpu", "False", record["protocol"]] for row in rows)
    (one,) = srcli("eval", hr, "-m", "bicubic", "-s", 2, "--json", "--picture", "more/p2.png").records
    assert one["pictures"] == 1


def test_auto_tells_what_it_computed_in(folder, tmp_path, monkeypatch):
    from srcli import checkpoint
    from srcli.models import create

    def chosen(self, pixels):
        return "bf16" if self.model.learnt and len(pixels) > 20 else "fp32"

    monkeypatch.setattr("srcli.engine.upscale.Upscaler.choose", chosen)
    checkpoint.save(tmp_path / "a.safetensors", create("fsrcnn", 2), checkpoint.Card(arch="fsrcnn", scale=2))
    flags = ("eval", folder, "-m", tmp_path / "a.safetensors", "--precision", "auto", "--device", "cpu")
    assert srcli(*flags).stdout.splitlines()[-1].endswith("; auto (bf16 and fp32), cpu")
    records = srcli(*flags, "--json", "--csv", tmp_path / "s.csv").records
    assert [r["precision"] for r in records] == ["fp32", "bf16 and fp32"]
    with (tmp_path / "s.csv").open() as file:
        assert [row["precision"] for row in csv.DictReader(file)] == ["fp32"] * 4 + ["bf16", "fp32"]


def test_what_would_replace_or_join_the_pictures_is_refused_before_anything_is_scored(sets):
    hr = sets / "Set5" / "HR"
    picture = hr / "p1.png"
    before = picture.read_bytes()
    for flags, text in (
        (("--csv", picture), "not a picture"),
        (("--figure", picture, "--picture", "p1"), "would be replaced"),
        (("--save", hr), "would count them the next time"),
    ):
        result = srcli("eval", hr, "-m", "bicubic", "-s", 2, *flags)
        assert (result.exit_code, result.stdout) == (2, "")
        assert text in result.stderr
    assert picture.read_bytes() == before
    assert len(list(hr.iterdir())) == 3


@pytest.mark.parametrize("ready", ["Set5/HR", "Set5"])
def test_the_hr_is_not_scored_as_its_own_sr(sets, ready):
    result = srcli("eval", sets / "Set5", "--sr", sets / ready, "-s", 2)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is the HR itself; it takes a tool's SR of that" in " ".join(result.stderr.split())


def test_a_missing_partner_is_told_before_anything_is_scored(sets, monkeypatch):
    (sets / "perfect" / "Set5" / "p2.png").unlink()
    monkeypatch.setattr("srcli.engine.evaluate.compare", lambda *_: pytest.fail("scored"))
    result = srcli("eval", sets / "Set5" / "HR", "-m", "bicubic", "--sr", sets / "perfect", "-s", 2)
    assert result.exit_code == 1
    assert "no partner of 'p2.png'" in result.stderr


@pytest.mark.parametrize(("broken", "kept"), [("Set5/HR/p1.png", 40), ("perfect/Set5/p1.png", 400), ("Set5/HR/p1.png", 0)])
def test_a_picture_that_cannot_be_read_is_left_out_for_all_and_told(sets, broken, kept):
    (sets / broken).write_bytes((sets / broken).read_bytes()[:kept])  # with its header, or without
    csv_file, report = sets / "s.csv", sets / "r.html"
    flags = ("eval", sets / "Set5", "-m", "bicubic", "--sr", sets / "perfect", "-s", 2, "--csv", csv_file, "--report", report)
    result = srcli(*flags)
    assert (result.exit_code, "Set5: perfect > bicubic on 2 of 2" in result.stdout) == (1, True)
    named, summary = result.stderr.splitlines()[-2:]
    assert str(sets / broken) in named
    assert summary == "error: 1 of 3 pictures could not be scored; all means are over the others"
    assert [row["picture"] for row in csv.DictReader(csv_file.read_text().splitlines())] == ["p0.png", "p2.png"] * 2
    assert "p1.png" not in report.read_text(encoding="utf-8")


def test_where_no_picture_can_be_read_the_reason_is_told(folder):
    (folder / "p0.png").write_bytes(b"")
    result = srcli("eval", folder, "-m", "bicubic", "-s", 2, "--picture", "p0")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)


def test_lr_of_another_size_is_told_before_anything_is_scored(folder, tmp_path, monkeypatch):
    for path in folder.iterdir():
        with Image.open(path) as hr:
            hr.resize((-(-hr.width // 4), -(-hr.height // 4))).save(tmp_path / path.name)
    monkeypatch.setattr("srcli.engine.evaluate.compare", lambda *_: pytest.fail("scored"))
    result = srcli("eval", folder, "-m", "bicubic", "-s", 4, "--lr-dir", tmp_path)
    assert result.exit_code == 1
    assert "the LR of 'p0.png' is 14x10, not 13x9: HR is cropped to a multiple of x4, here 52x36; crop LR" in result.stderr


def test_lr_of_another_scale_is_told_as_that(folder):
    result = srcli("eval", folder, "-m", "bicubic", "-s", 4, "--lr-dir", folder)
    assert result.exit_code == 1
    assert "not 13x9: 1/4 of its HR of 53x37: the LR is of another scale (-s), or of other pictures" in result.stderr


def test_a_file_in_place_of_a_folder_is_refused_with_picture_where_it_is_one(folder):
    assert srcli("eval", folder / "p1.png", "-m", "bicubic").stderr.endswith("is scored with --picture p1\n")
    (folder / "notes.txt").write_text("none")
    assert srcli("eval", folder / "notes.txt", "-m", "bicubic").stderr.endswith("notes.txt' is not a folder\n")


def test_one_picture_is_scored_alone_whatever_the_case_of_its_name(folder):
    (record,) = srcli("eval", folder, "-m", "bicubic", "-s", 2, "--picture", "P1.PNG", "--json").records
    assert record["pictures"] == 1
    assert record["psnr_interval"] == [None, None]


def test_report_and_figure_are_written_and_named(folder, tmp_path):
    report, figure = tmp_path / "my report.html", tmp_path / "figure.png"
    flags = ("-m", "bicubic", "-s", 2, "--picture", "p1", "--report", report, "--figure", figure, "--box", "4,8,20,16")
    result = srcli("eval", folder, *flags)
    assert result.exit_code == 0, result.output
    written = [line for line in result.stderr.splitlines() if line.startswith("written: ")]
    assert written == [f"written: {file}" for file in (report, figure)]
    assert "4,8,20,16" in result.stderr
    assert "p1.png" in report.read_text(encoding="utf-8")
    with Image.open(figure) as drawn:
        assert drawn.format == "PNG"


def test_a_file_that_cannot_be_written_keeps_no_other_from_it(folder, tmp_path, monkeypatch):
    def fail(path, *_):
        raise DiskFull(f"cannot write '{path}': no space")

    table, report, figure = tmp_path / "scores.csv", tmp_path / "report.html", tmp_path / "figure.png"
    monkeypatch.setattr("srcli.commands.evaluate.write_csv", fail)
    flags = ("-m", "bicubic", "-s", 2, "--picture", "p1", "--csv", table, "--report", report, "--figure", figure)
    result = srcli("eval", folder, *flags)
    assert result.exit_code == 1
    written = [line for line in result.stderr.splitlines() if line.startswith("written: ")]
    assert written == [f"written: {file}" for file in (report, figure)]
    assert result.stderr.splitlines()[-1] == f"error: cannot write '{table}': no space"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["figure.png", "report.html"]
    monkeypatch.setattr("srcli.commands.evaluate.write_text", fail)
    both = srcli("eval", folder, *flags).stderr.splitlines()
    assert [line for line in both if "error" in line] == [f"error: cannot write '{file}': no space" for file in (report, table)]


def test_x3_with_given_lr_scores_as_with_lr_that_is_made(tmp_path):
    from srcli.engine.evaluate import shrink

    for name in ("hr", "LR_bicubic/X3"):
        (tmp_path / "set" / name).mkdir(parents=True)
    hr = photograph(63, 90)
    Image.fromarray(hr).save(tmp_path / "set" / "hr" / "a.png")
    Image.fromarray(shrink(hr, 3)).save(tmp_path / "set" / "LR_bicubic" / "X3" / "ax3.png")
    flags = ("eval", tmp_path / "set" / "hr", "-m", "bicubic", "-s", 3, "--json")
    (made,), (given,) = (srcli(*flags, *more).records for more in ((), ("--lr-dir", tmp_path / "set")))
    assert (made["psnr"], made["ssim"]) == (given["psnr"], given["ssim"])
    assert math.isfinite(made["psnr"])
    assert "LR given" in given["protocol"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--figure", "f.png"], "--figure needs --picture"),
        (["--box", "1,2,3,4"], "--box needs --figure"),
        (["--picture", "p00"], "did you mean 'p0'"),
        (["--picture", "p1", "--figure", "f.jpg"], "not 'f.jpg'"),
        (["--picture", "p1", "--figure", "f.png", "--box", "1,2,3"], "X,Y,WIDTH,HEIGHT"),
        (["--picture", "p1", "--figure", "f.png", "--box", "40,0,20,20"], "reaches out of the 48x64"),
        (["--report", "nowhere/r.html"], "no folder 'nowhere'"),
        (["--csv", "./r.html", "--report", "r.html"], "write a file each: give them different names"),
        (["--report", "r.pdf"], "not 'r.pdf'"),
        (["--csv", "."], "is a folder"),
        (["--against", "everyone"], "not 'everyone'"),
        (["--against", "published"], "no paper's table has 'my pictures'"),
        (["--against", "published", "--picture", "p1"], "goes without --picture"),
        (["--lr-dir", ".", "--lr-dir", "."], "1 HR folders"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_scored(folder, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = srcli("eval", folder, "-m", "bicubic", "-s", 2, *arguments)
    assert result.exit_code in (1, 2)
    assert text in result.stderr
    assert result.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_the_same_data_set_twice_is_refused(folder):
    result = srcli("eval", folder, folder / ".." / folder.name, "-m", "bicubic")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "given twice" in result.stderr


def test_a_report_that_cannot_be_written_is_said_after_the_scores(folder, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    result = srcli("eval", folder, "-m", "bicubic", "-s", 2, "--report", tmp_path / "r.html")
    assert result.exit_code == 1
    assert "r.html': No space left on device" in result.stderr
    assert "bicubic" in result.stdout
    assert not list(tmp_path.glob("*.html"))


def test_names_that_are_not_utf8_are_spelt_out_in_every_file(tmp_path):
    try:
        (tmp_path / "d\udce9").mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    Image.fromarray(photograph()).save(tmp_path / "d\udce9" / "caf\udce9.png")
    files = [tmp_path / name for name in ("s.csv", "r.html", "f.png")]
    flags = ("--csv", files[0], "--report", files[1], "--figure", files[2], "--picture", "caf\udce9")
    result = srcli("eval", tmp_path / "d\udce9", "-m", "bicubic", "-s", 2, *flags)
    assert result.exit_code == 0, result.output
    assert [r"caf\udce9" in path.read_text(encoding="utf-8") for path in files[:2]] == [True, True]
    assert files[2].stat().st_size > 0

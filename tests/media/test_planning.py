import os
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from srcli.errors import BadFolder, BadPicture, OutputExists, UsageError
from srcli.media.jobs import Box, Naming
from srcli.media.planning import plan_jobs, refuse_unreadable
from tests.clips import make_clip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(name: str, *, width: int = 5, format: str | None = None) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, 3)).save(name, format)
    return name


def targets(*sources: str, output: str | None = None, scale: float = 4, **options) -> list[str]:
    jobs = plan_jobs(sources, Path(output) if output else None, scale=scale, **options)
    return [str(job.target) for job in jobs]


def test_a_file_goes_beside_itself():
    job = plan_jobs([picture("a b.JPG")], None, scale=4)[0]
    assert (str(job.target), job.format, job.size) == ("a b_x4.JPG", "jpeg", (12, 20))


NAMED = {  # the files there; what is named of them, and how; the results
    "a fractional scale names itself": ("a.png", "a.png", {"scale": 2.5}, "a_x2.5.png"),
    "a folder goes beside itself with names unchanged": ("in/a.png in/b.jpg", "in", {}, "in_x4/a.png in_x4/b.jpg"),
    "a suffix replaces the scale": ("a.png in/a.png", "a.png in/a.png", {"suffix": "_big"}, "a_big.png in/a_big.png"),
    "a suffix applies in output folders too": ("in/a.png", "in", {"output": "out", "suffix": "_big"}, "out/a_big.png"),
    "files keep their names in a folder": ("x/a.png y/b.webp", "x/a.png y/b.webp", {"output": "out"}, "out/a.png out/b.webp"),
    "one folder writes its contents into the output": ("in/a.png in/sub/b.png", "in", {"output": "out"}, "out/a.png"),
    "recursion mirrors the tree": (
        "in/a.png in/sub/b.png",
        "in",
        {"output": "out", "recursive": True},
        "out/a.png out/sub/b.png",
    ),
    "several folders keep their names": ("in/a.png on/a.png", "in on", {"output": "out"}, "out/in/a.png out/on/a.png"),
    "a pattern gives its pictures": ("in/a.png in/b.png in/notes.txt", "in/*", {"output": "out"}, "out/a.png out/b.png"),
    "a name with brackets wins over the pattern": ("a.png [a].png", "[a].png", {}, "[a]_x4.png"),
    "another format keeps a suffix of its own": ("a.jpeg", "a.jpeg", {"format": "jpg"}, "a_x4.jpeg"),
    "another format replaces the suffix": ("a.png", "a.png", {"format": "avif"}, "a_x4.avif"),
    "hidden and other files of a folder are passed over": (
        "in/a.png in/.b.png in/.c/d.png in/notes.txt",
        "in",
        {"output": "out", "recursive": True},
        "out/a.png",
    ),
    "an output folder inside the input is not read": (
        "in/a.png in/out/a.png",
        "in",
        {"output": "in/out", "recursive": True, "exists": "overwrite"},
        "in/out/a.png",
    ),
    "rename finds a free name": ("a.png a_x4.png a_x4_2.png", "a.png", {"exists": "rename"}, "a_x4_3.png"),
    "rename gives colliding results names of their own": (
        "a.png a.jpg A.png a_x4_2.gif",
        "a.png a.jpg A.png",
        {"format": "webp", "exists": "rename"},
        "a_x4.webp a_x4_2.webp A_x4_3.webp",
    ),
}


@pytest.mark.parametrize("case", NAMED)
def test_where_results_go(case):
    there, named, options, expected = NAMED[case]
    for name in there.split():
        Path(name).write_text("no") if name.endswith(".txt") else picture(name)
    assert targets(*named.split(), **options) == expected.split()


def test_the_current_folder_goes_beside_itself(folder, monkeypatch):
    picture("in/a.png")
    monkeypatch.chdir("in")
    assert targets(".") == [str(folder / "in_x4" / "a.png")]


def test_a_suffix_and_the_name_of_a_file_exclude_each_other():
    with pytest.raises(UsageError) as caught:
        targets(picture("a.png"), output="b.png", suffix="_big")
    assert str(caught.value) == "--suffix names the results, and so does -o: choose one"


def test_a_suffix_with_a_folder_is_refused():
    for output in ("out", None):
        with pytest.raises(UsageError, match="--suffix is a part of names, not '/x'"):
            targets(picture("a.png"), output=output, suffix="/x")


def test_an_output_with_a_picture_suffix_is_a_file():
    job = plan_jobs([picture("a.png")], Path("out/b.webp"), scale=4)[0]
    assert (job.target, job.format) == (Path("out/b.webp"), "webp")


@pytest.mark.parametrize("name", ["a\\b", "a:b", "ab:c"])
def test_names_that_lead_elsewhere_on_windows_are_refused_there(monkeypatch, name):
    picture("a.png")
    if os.name != "nt":
        assert targets("a.png", name=Naming(name, "rfdn")) == [f"{name}.png"]
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UsageError, match="which is no name of a file"):
        targets("a.png", name=Naming(name, "rfdn"))
    with pytest.raises(UsageError, match="--suffix is a part of names"):
        targets("a.png", suffix=name)


@pytest.mark.parametrize(
    ("mode", "name", "target"),
    [
        ("1", "a.pbm", "a_x4.pgm"),
        ("L", "a.pgm", "a_x4.pgm"),
        ("L", "a.png", "a_x4.pgm"),
        ("RGB", "a.pgm", "a_x4.ppm"),
        ("RGB", "a.png", "a_x4.ppm"),
        ("L", "a.pnm", "a_x4.pnm"),
    ],
)
def test_gray_is_pgm_and_colour_ppm(mode, name, target):
    Image.new(mode, (5, 3)).save(name, "PNG" if name.endswith("png") else "PPM")
    assert targets(name, format="ppm") == [target]


@pytest.mark.parametrize("output", ["out.{}", "f_%d.{}"])
@pytest.mark.parametrize(
    ("mode", "suffix", "reason"),
    [
        ("RGB", "pgm", "colour: name it .ppm"),
        ("RGB", "pbm", "colour: name it .ppm"),
        ("L", "pbm", "gray of 8 or 16 bits: name it .pgm"),
    ],
)
def test_another_kind_of_ppm_than_the_result_is_refused(mode, output, suffix, reason):
    Image.new(mode, (5, 3)).save("a.png")
    with pytest.raises(UsageError) as caught:
        targets("a.png", output=output.format(suffix))
    assert str(caught.value) == f"'{output.format(suffix)}' would hold {reason}"


def test_frames_are_no_pgm():
    with pytest.raises(UsageError, match=r"'f_%d\.pgm' would hold colour: name it \.ppm"):
        targets(str(make_clip(Path("clip.mkv"), frames=2)), output="f_%d.pgm")


@pytest.mark.parametrize("name", ["my%20dog.png", "100%5dogs.png"])
def test_a_blank_in_an_address_is_no_number(name):
    assert targets(picture("a.png"), output=name) == [name]
    picture(name, width=20)
    assert targets(name) == [f"{Path(name).stem}_x4.png"]


def test_a_folder_stays_a_folder_whatever_its_name():
    Path("out.png").mkdir()
    assert targets(picture("a.png"), output="out.png") == ["out.png/a.png"]


def test_other_pictures_than_those_of_one_pattern_are_numbered_from_one():
    picture("f_7.png"), picture("g_7.png"), picture("a.png")
    assert targets("f_%d.png", output="out/%02d.png") == ["out/07.png"]
    assert targets("f_%d.png", "g_%d.png", output="out/%02d.png") == ["out/01.png", "out/02.png"]
    assert targets("f_7.png", "a.png", output="out/%02d.png") == ["out/01.png", "out/02.png"]


def test_two_pictures_of_one_number_are_refused_and_two_results_found():
    picture("f_1.png"), picture("f_01.png"), picture("f_2.png")
    with pytest.raises(BadPicture, match=r"^'f_01\.png' and 'f_1\.png' have one number in 'f_%d\.png': which is the frame\?$"):
        plan_jobs(["f_%d.png"], Path("out.mp4"), scale=2)
    assert targets("f_%02d.png", output="out/%d.png") == ["out/1.png"]
    with pytest.raises(OutputExists):
        plan_jobs([str(make_clip(Path("clip.mkv"), frames=2))], Path("f_%d.png"), scale=2)


def test_the_frames_of_an_animation_are_numbered():
    frames = [Image.new("RGB", (5, 3), (90 * i, 0, 0)) for i in range(3)]
    for name in ("a.gif", "a.tif"):
        frames[0].save(name, save_all=True, append_images=frames[1:])
    (job,) = plan_jobs(["a.gif"], Path("f_%d.png"), scale=2)
    assert (str(job.target), job.format, job.video) == ("f_%d.png", "png", True)
    assert targets("a.gif", picture("b.png"), output="f_%d.png") == ["f_1.png", "f_2.png"]
    assert targets("a.tif", output="f_%d.png") == ["f_1.png"]  # of whose pages the first is read


@pytest.mark.parametrize(("scale", "named"), [(2, "64x48_2.mkv"), (Box(long_side=96), "96x72_3.mkv")])
def test_a_video_is_named_by_the_size_it_gets(scale, named):
    clip = make_clip(Path("clip.mkv"), frames=1, height=24, width=32)
    assert targets(str(clip), scale=scale, name=Naming("{width}x{height}_{scale}{ext}", "rfdn")) == [named]


def test_numbered_pictures_do_not_become_one():
    picture("f_1.png"), picture("f_2.png")
    with pytest.raises(UsageError) as caught:
        targets("f_%d.png", output="new.gif")
    others = "give a folder, a pattern such as 'new_%05d.png', or a video such as 'new.mp4'"
    assert str(caught.value) == f"'new.gif' is one file, but there are 2 numbered pictures; {others}"


def test_the_format_is_told_by_content():
    assert targets(picture("a.jpg", format="PNG")) == ["a_x4.png"]


def test_a_format_that_cannot_be_written_becomes_png_and_is_said():
    job = plan_jobs([picture("a.gif")], None, scale=4)[0]
    assert (str(job.target), job.notes) == ("a_x4.png", ("GIF cannot be written: stored as PNG",))


def test_a_broken_file_stays_a_job():
    Path("a.png").write_bytes(b"")
    job = plan_jobs(["a.png"], None, scale=4)[0]
    assert (job.probe, job.size, job.format) == (None, None, "png")


def test_photos_that_cannot_be_read_are_not_passed_over():
    Path("in").mkdir()
    for name in ("a.heic", "b.HIF"):
        Path("in", name).write_bytes(b"\0\0\0\x18ftypheic")
    assert targets("in") == ["in_x4/a.heic", "in_x4/b.HIF"]


@pytest.mark.parametrize("source", ["in", "in/*"])
def test_formats_that_are_not_known_are_left_out_with_a_line(source):
    picture("in/a.png"), Path("in/b.PSD").touch(), Path("in/c.cr2").touch(), Path("in/d.txt").touch()
    said = []
    assert targets(source, output="out", say=said.append) == ["out/a.png"]
    assert said == ["left out, as srcli cannot read it: 'in/b.PSD', 'in/c.cr2'"]
    with pytest.raises(UsageError, match=r"cannot write 'out.psd': the formats are png,"):
        targets("in/a.png", output="out.psd")


def test_a_photo_that_cannot_be_read_does_not_claim_the_name_of_what_it_was_converted_to():
    picture("in/a.png"), picture("in/b.jpg")
    for name in ("a.HEIC", "b.jp2"):
        Path("in", name).write_bytes(b"\0\0\0\x18ftypheic")
    jobs = plan_jobs(["in"], Path("out"), scale=4, format="jpg")
    assert [job.target.name for job in jobs if job.probe] == ["a.jpg", "b.jpg"]


def test_links_that_form_a_loop_are_followed_once():
    picture("in/a.png")
    Path("in/loop").symlink_to("..", target_is_directory=True)
    assert targets("in", output="out", recursive=True) == ["out/a.png"]


def test_a_file_named_twice_is_one_job():
    assert targets(picture("a.png"), str(Path("a.png").absolute())) == ["a_x4.png"]


REFUSED = {
    "no input": ([], {}, UsageError, "no input given"),
    "missing": (["no.png"], {}, BadPicture, "there is no 'no.png'"),
    "a name without quotes": (
        ["my", "nice", "photo.png"],
        {},
        BadPicture,
        "there is no 'my'; put quotes around a name with spaces: \"my nice photo.png\"",
    ),
    "an output without -o": (
        ["a.png", "big.png"],
        {},
        BadPicture,
        "there is no 'big.png'; if it is to be written: -o 'big.png'",
    ),
    "an address": (
        ["https://example.com/a.jpg"],
        {},
        BadPicture,
        "'https://example.com/a.jpg' is an address, and srcli reads files: download it first",
    ),
    "no match": (["no*.png"], {}, BadPicture, "no picture matches 'no*.png'"),
    "dead link": (["dead.png"], {}, BadPicture, "'dead.png' is a link to nothing"),
    "empty folder": (["empty"], {}, BadFolder, "no pictures in 'empty'"),
    "only sub-folders": (["deep"], {}, BadFolder, "no pictures in 'deep'; -r takes those of its sub-folders"),
    "unknown format": (["a.png"], {"format": "gif"}, UsageError, None),
    "one file for a folder": (
        ["in"],
        {"output": "b.png"},
        UsageError,
        "'b.png' is one file, but 'in' is a folder; give a folder as output",
    ),
    "one file for two": (["a.png", "a.jpg"], {"output": "b.png"}, UsageError, None),
    "file against format": (
        ["a.png"],
        {"output": "b.png", "format": "webp"},
        UsageError,
        "'b.png' is png, but the format asked for is webp",
    ),
    "numbers against format": (
        ["a.png", "a.jpg"],
        {"output": "f_%d.png", "format": "jpg"},
        UsageError,
        "'f_%d.png' is png, but the format asked for is jpeg",
    ),
    "an output that cannot be written": (["a.png"], {"output": "b.heic"}, UsageError, None),
    "a file as folder": (["a.png"], {"output": "notes"}, BadFolder, "cannot write to 'notes': 'notes' is not a folder"),
    "collision": (
        ["a.png", "a.jpg"],
        {"format": "webp"},
        UsageError,
        "'a.png' and 'a.jpg' collide: both would be 'a_x4.webp'; choose --exists rename or a --name",
    ),
    "case": (
        ["a.png", "A.png"],
        {},
        UsageError,
        "'a.png' and 'A.png' collide: their outputs 'a_x4.png' and 'A_x4.png' differ only by case; "
        "choose --exists rename or a --name",
    ),
    "itself": (
        ["in"],
        {"output": "in", "exists": "overwrite"},
        UsageError,
        "the output of 'in/a.png' would be itself; choose another folder with -o or a --suffix",
    ),
    "another input": (
        ["a.png", "a_x4.png"],
        {"exists": "overwrite"},
        UsageError,
        "the output of 'a.png' would be the input 'a_x4.png'; choose another folder with -o or a --suffix",
    ),
    "too large": (
        ["long.jpg"],
        {},
        BadPicture,
        "the result of 'long.jpg' would be 80000 x 12 px, but JPEG ends at 65,500; choose --format png",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_planning(case):
    sources, options, error, line = REFUSED[case]
    for name in ("a.png", "A.png", "a.jpg", "a_x4.png", "in/a.png", "deep/er/a.png"):
        picture(name)
    picture("long.jpg", width=20000)
    Path("empty").mkdir()
    Path("notes").write_text("no")
    Path("my nice photo.png").write_bytes(Path("a.png").read_bytes())
    Path("dead.png").symlink_to("nowhere")
    before = sorted(Path().rglob("*"))
    with pytest.raises(error) as caught:
        targets(*sources, **options)
    assert "\n" not in str(caught.value)
    assert line in (None, str(caught.value))
    assert sorted(Path().rglob("*")) == before


def test_what_collides_only_by_its_format_fails_alone_or_is_numbered():
    for name in ("a.avi", "a.3gp", "b.avi"):
        Path("in").mkdir(exist_ok=True)
        Path("in", name).touch()
    refused, *_ = plan_jobs(["in"], Path("out"), scale=4)
    assert "'in/a.3gp' and 'in/a.avi' collide: both would be 'out/a.mkv'; " in refused.refused
    assert targets("in", output="out", exists="rename") == ["out/a.mkv", "out/a_2.mkv", "out/b.mkv"]
    Path("out").mkdir()
    Path("out/a.mkv").touch()
    assert [job.skip for job in plan_jobs(["in"], Path("out"), scale=4, exists="skip")] == [False, True, False]


def test_existing_outputs_are_listed_and_nothing_is_planned():
    names = [picture(f"{n}.png") for n in "abcde"]
    for n in "abcde":
        picture(f"out/{n}.png")
    line = "already there: 'out/a.png', 'out/b.png', 'out/c.png' and 2 more; choose --exists skip, overwrite or rename"
    with pytest.raises(OutputExists) as caught:
        targets(*names, output="out")
    assert str(caught.value) == line


def test_skip_keeps_whole_results_and_redoes_broken_ones():
    picture("in/a.png"), picture("in/b.png"), picture("in/c.png")
    Path("out").mkdir()
    Image.new("RGB", (20, 12)).save("out/a.png")
    Path("out/b.png").write_bytes(Path("out/a.png").read_bytes()[:10])
    jobs = plan_jobs(["in"], Path("out"), scale=4, exists="skip")
    assert [job.skip for job in jobs] == [True, False, False]


def test_skip_keeps_what_the_user_made_and_says_so():
    for name in "abc":
        picture(f"in/{name}.png")
    picture("out/a.png", width=7)
    Path("out/b.png").write_text("my notes")
    Path("out/c.png").touch()
    said = []
    jobs = plan_jobs(["in"], Path("out"), scale=4, exists="skip", say=said.append)
    assert [job.skip for job in jobs] == [True, True, False]
    assert jobs[0].notes == ("kept, though it is 7 x 3 px; --exists overwrite does it again",)
    line = "kept, though of another size or no picture: 'out/a.png', 'out/b.png'; --exists overwrite does it again"
    assert said == [line]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("part", [0.03, 0.5])
def test_skip_redoes_what_breaks_off(format, part):
    target = picture("a.png", width=20, format=format)
    whole = Path(target).read_bytes()
    Path(target).write_bytes(whole[: max(int(len(whole) * part), 16)])
    [job] = plan_jobs([picture("in/a.png")], Path(), scale=4, exists="skip")
    assert not job.skip


@pytest.mark.parametrize("size", [1, Box(long_side=5)])
def test_what_has_its_size_already_is_said(size):
    [job] = plan_jobs([picture("a.png", width=5)], None, scale=size)
    assert job.notes == ("5 x 3 px is its size already, kept",)


def test_folders_without_pictures_among_others_are_left_out_with_a_line():
    picture("in/a.png"), picture("in/cats/deep/b.png"), Path("in/empty").mkdir()
    said = []
    assert targets(*sorted(map(str, Path("in").iterdir())), output="out", say=said.append) == ["out/a.png"]
    assert said == ["no pictures in 'in/cats'; -r takes those of its sub-folders", "no pictures in 'in/empty'"]
    with pytest.raises(BadFolder, match="no pictures in any of the 2 folders"):
        targets("in/cats", "in/empty")


def test_sub_folders_with_pictures_are_left_out_with_a_line():
    for name in ("in/a.png", "in/cats/b.png", "in/out/a.png", "in/.hidden/c.png"):
        picture(name)
    Path("in/empty").mkdir()
    said = []
    assert targets("in", output="in/out", exists="overwrite", say=said.append) == ["in/out/a.png"]
    assert said == ["left out: sub-folders of 'in' with pictures ('in/cats'); -r takes them"]
    targets("in", output="in/out", exists="overwrite", recursive=True, say=said.append)
    assert len(said) == 1


def test_results_of_before_are_no_inputs_where_the_command_goes_on_and_that_is_said():
    for name in ("a.png", "b.png", "a_x4.png", "b_x4.png"):
        picture(name, width=5 if "_" not in name else 20)
    said = []
    assert targets("*.png", exists="skip", say=said.append) == ["a_x4.png", "b_x4.png"]
    assert targets("*.png", exists="rename") == ["a_x4_2.png", "b_x4_2.png"]
    assert targets(".", output=".", suffix="_x4", exists="skip") == ["a_x4.png", "b_x4.png"]
    assert targets("a.png", picture("a.webp"), output=".", format="webp", exists="skip") == ["a.webp"]
    assert said[0] == "no inputs, as they are results of others: 'a_x4.png', 'b_x4.png'"


def test_results_of_another_scale_are_told_by_name_and_size():
    for name, width in (("a.png", 5), ("a_x2.png", 10), ("a_x1.5.webp", 8), ("b.png", 5), ("b_x2.png", 5), ("c_x2.png", 10)):
        Image.new("RGB", (width, -(-3 * width // 5))).save(name)
    said = []
    assert targets(".", output="out", say=said.append) == ["out/a.png", "out/b.png", "out/b_x2.png", "out/c_x2.png"]
    assert targets("a_x2.png") == ["a_x2_x4.png"]
    assert said == ["no inputs, as they are results of others: 'a_x1.5.webp', 'a_x2.png'"]


def test_videos_that_are_results_of_others_are_no_inputs():
    sizes = {"a.mp4": (17, 22), "a_x2.mkv": (34, 44), "a_x1.5.mp4": (26, 34), "b.mp4": (17, 22), "b_x2.mp4": (17, 22)}
    for name, (height, width) in sizes.items():
        make_clip(Path(name), frames=1, height=height, width=width, codec="ffv1" if height % 2 else "libx264")
    Path("b_x3.mp4").write_bytes(b"\0\0\0\x18ftypmp42")  # one that is broken is told of when its turn comes
    said = []
    assert targets(".", output="out", say=said.append) == ["out/a.mp4", "out/b.mp4", "out/b_x2.mp4", "out/b_x3.mp4"]
    assert said == ["no inputs, as they are results of others: 'a_x1.5.mp4', 'a_x2.mkv'"]
    assert targets("a_x2.mkv") == ["a_x2_x4.mkv"]


def test_a_picture_of_which_nothing_can_come_is_refused_alone():
    picture("a.png"), picture("a.jpg"), picture("A.png"), picture("b.png"), picture("long.png", width=20000)
    jobs = plan_jobs(["a.png", "a.jpg", "A.png", "long.png", "./a.png", "b.png"], None, scale=4, format="webp")
    assert [(str(job.source), job.refused) for job in jobs] == [
        (
            "a.jpg",
            "'a.png' and 'a.jpg' collide: both would be 'a_x4.webp'; choose --exists rename or a --name",
        ),
        (
            "A.png",
            "'a.png' and 'A.png' collide: their outputs 'a_x4.webp' and 'A_x4.webp' differ only by case; "
            "choose --exists rename or a --name",
        ),
        (
            "long.png",
            "the result of 'long.png' would be 80000 x 12 px, but WEBP ends at 16,383; choose --format png",
        ),
        ("a.png", ""),
        ("b.png", ""),
    ]


def test_skip_never_redoes_an_input():
    picture("in/a.png")
    with pytest.raises(UsageError):
        targets("in", output="in", exists="skip")


def test_a_folder_in_the_place_of_an_output_is_never_replaced():
    Path("a_x4.png").mkdir()
    with pytest.raises(OutputExists):
        targets(picture("a.png"), exists="overwrite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_refused():
    Path("out").mkdir(mode=0o500)
    with pytest.raises(BadFolder):
        targets(picture("a.png"), output="out")


def test_one_file_that_cannot_be_read_is_refused_at_once():
    Path("a.png").write_bytes(b"no picture")
    with pytest.raises(BadPicture, match="is no picture"):
        refuse_unreadable(["a.png"])


@pytest.mark.parametrize("sources", [["a.png"], ["a.png", "b.png"], ["."], ["*.png"], ["@list.txt"], ["clip.mp4"]])
def test_what_may_be_read_is_left_to_planning(sources):
    picture("a.png")
    for name in ("b.png", "clip.mp4", "list.txt"):
        Path(name).write_bytes(b"no picture")
    refuse_unreadable(sources)


def test_a_path_that_cannot_be_reached_is_said_in_one_line():
    long = "n" * 300 + ".png"
    for call in (
        lambda: plan_jobs([long], None, scale=4),
        lambda: plan_jobs([picture("a.png")], Path(long), scale=4),
        lambda: refuse_unreadable([long]),
    ):
        with pytest.raises(BadFolder, match=r"cannot reach 'n+.*File name too long"):
            call()


def test_an_input_that_is_a_link_is_not_replaced():
    picture("a.png"), picture("b.png")
    Path("a_b.png").symlink_to("b.png")
    with pytest.raises(UsageError, match=r"the output of 'a\.png' would be the input 'a_b\.png'"):
        targets("a.png", "a_b.png", suffix="_b", exists="overwrite")


def test_a_link_to_itself_fails_alone():
    picture("in/a.png")
    Path("in/self.png").symlink_to("self.png")
    jobs = plan_jobs(["in"], Path("out"), scale=4)
    assert [(job.source.name, job.probe is None) for job in jobs] == [("a.png", False), ("self.png", True)]


def test_a_name_without_a_suffix_keeps_what_was_put_behind_it():
    for name in ("photo", "dot.", "clip"):
        Path(name).write_bytes(Path(picture("a.png")).read_bytes())
    assert targets("photo", scale=2.5) == ["photo_x2.5.png"]
    assert targets("photo", suffix="_v1.5") == ["photo_v1.5.png"]
    assert targets("photo", output="out") == ["out/photo.png"]
    assert targets("dot.") == ["dot._x4.png"]
    Path("clip").write_bytes(b"\0\0\0\x18ftypisom")
    assert targets("clip", scale=2.5) == ["clip_x2.5.mkv"]


def test_a_picture_whose_name_begins_as_a_comment_is_no_comment():
    picture("#1.png"), picture("b.png")
    Path("list.txt").write_text("#1.png\n# holiday\nb.png\n")
    assert targets("@list.txt") == ["#1_x4.png", "b_x4.png"]


def test_a_free_name_that_is_too_long_is_refused():
    name = picture("n" * 251 + ".png")
    picture(f"out/{name}")
    with pytest.raises(UsageError, match="a name of 257 bytes, 255 is the most"):
        targets(name, output="out", exists="rename")
    picture("a.png")
    jobs = plan_jobs([name, "a.png"], Path("out"), scale=4, exists="rename")
    assert [(job.source.name, bool(job.refused)) for job in jobs] == [(name, True), ("a.png", False)]


@pytest.mark.parametrize("exists", ["error", "overwrite"])
def test_an_input_is_not_replaced_by_another_name_of_itself(tmp_path, monkeypatch, exists):
    (tmp_path / "Photos").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "Photos" / "a.png")
    (tmp_path / "photos").symlink_to(tmp_path / "Photos")  # as on a disk that ignores case, which no call resolves
    monkeypatch.setattr(os.path, "realpath", lambda path, **more: str(Path(path).absolute()))
    with pytest.raises(UsageError, match=r"the output of .* would be itself"):
        plan_jobs([str(tmp_path / "Photos")], tmp_path / "photos", scale=2, exists=exists)


def test_a_number_of_more_digits_than_a_name_has_is_refused(tmp_path):
    with pytest.raises(BadPicture, match="no name has the 99999999999 digits"):
        plan_jobs([str(tmp_path / "a_%099999999999d.png")], tmp_path / "out.mkv", scale=2)


@pytest.mark.parametrize(("name", "meant"), [("a.jgp", ".jpg"), ("a.pgn", ".png"), ("a.mp5", ".mp4"), ("a.tifff", ".tiff")])
def test_a_misspelt_suffix_makes_no_folder(tmp_path, name, meant):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match=f"did you mean {re.escape(meant)}"):
        plan_jobs([tmp_path / "a.png"], tmp_path / name, scale=2)
    (tmp_path / name).mkdir()
    assert plan_jobs([tmp_path / "a.png"], tmp_path / name, scale=2)[0].target == tmp_path / name / "a.png"
    for folder in ("out", "photos.2026", "v1.5", "my.zip"):
        assert plan_jobs([tmp_path / "a.png"], tmp_path / folder, scale=2)[0].target == tmp_path / folder / "a.png"


@pytest.mark.parametrize("name", ["a.pdf", "a.SVG", "a.ico"])
def test_the_name_of_a_file_that_cannot_be_written_makes_no_folder(tmp_path, name):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match=rf"cannot write '.*{re.escape(name)}': the formats are png, jpeg"):
        plan_jobs([tmp_path / "a.png"], tmp_path / name, scale=2)
    (tmp_path / name).mkdir()
    assert plan_jobs([tmp_path / "a.png"], tmp_path / name, scale=2)[0].target == tmp_path / name / "a.png"


def test_a_picture_that_is_named_is_no_result_of_another_and_is_not_replaced():
    picture("a.png")
    Image.new("RGB", (10, 6)).save("a_x2.png")
    assert targets("a.png", "a_x2.png", output="out") == ["out/a.png", "out/a_x2.png"]
    with pytest.raises(UsageError, match=r"would be the input 'a_x2\.png'"):
        plan_jobs(["a.png", "a_x2.png"], None, scale=2, exists="overwrite")


def test_an_input_that_is_refused_is_not_replaced_by_anothers_result():
    picture("a.bmp"), picture("a.png"), picture("d.bmp")
    with pytest.raises(UsageError, match=r"the output of 'a\.bmp' would be the input 'a\.png'"):
        plan_jobs(["a.bmp", "a.png", "d.bmp"], Path(), scale=2, format="png", exists="overwrite")

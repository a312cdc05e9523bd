import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.engine.folders import counterpart, hr_folder, list_pictures, partner, partners, read_pictures
from srcli.errors import BadFolder
from srcli.media.formats import HEIC, SUFFIXES
from tests.conftest import photograph


@pytest.mark.parametrize(
    "place",
    [
        "DIV2K_train_LR_bicubic/X4/0001x4.png",
        "DIV2K_train_LR_bicubic/X4_sub/0001.png",
        "Set5/LRbicx4/0001.png",
        "Set5/LR_bicubic/X4/0001x4.png",
        "lr/0001.png",
        "results-Set5/0001_x4_SR.png",
        "results/0001_out.jpg",
    ],
)
def test_the_lr_or_sr_is_found_in_the_layouts_of_the_field(tmp_path, place):
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_bytes(b"")
    assert partner(Path("hr/0001.png"), tmp_path / Path(place).parts[0], 4) == tmp_path / place


def test_a_partner_lies_in_the_same_sub_folder_first_and_keeps_its_suffix(tmp_path):
    hr, lr = tmp_path / "hr", tmp_path / "lr"
    for name in ("one/a.png", "two/a.png", "two/b.jpg", "two/b.png", "c.png"):
        (hr / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(24, 24)).save(hr / name)
    made = {path: counterpart(path, hr, lr) for path in list_pictures(hr)}
    assert len(set(made.values())) == 5
    for target in made.values():
        target.write_bytes(b"")
    assert all(partner(path, lr, 4, hr) == target for path, target in made.items())
    (lr / "X4" / "one").mkdir(parents=True)
    (lr / "one" / "a.png").rename(lr / "X4" / "one" / "ax4.png")
    assert partner(hr / "one" / "a.png", lr, 4, hr) == lr / "X4" / "one" / "ax4.png"


def test_pictures_are_read_as_upscale_reads_them(tmp_path):
    gray = photograph(20, 30)[..., 0]
    Image.fromarray(gray).save(tmp_path / "gray.png")
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(gray.astype(np.float32) / 255).save(tmp_path / "float.tiff")
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.rot90(gray)).save(tmp_path / "turned.png", exif=exif)
    read = {path.name: pixels for path, pixels in read_pictures(list_pictures(tmp_path))}
    for pixels in read.values():
        np.testing.assert_array_equal(pixels, np.repeat(gray[..., None], 3, 2))
    assert len(read) == 4


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (["HR", "LR_bicubic"], "HR"),
        (["GTmod12", "LRbicx2", "original"], "GTmod12"),
        (["DIV2K_train_HR", "DIV2K_train_LR_bicubic"], "DIV2K_train_HR"),
        (["DIV2K_train_HR", "DIV2K_train_LR_bicubic", "DIV2K_valid_HR", "DIV2K_valid_LR_bicubic"], "DIV2K_valid_HR"),
        (["DIV2K_train_HR", "DIV2K_train_HR_sub", "DIV2K_train_LR_bicubic"], "DIV2K_train_HR"),
        (["DIV2K_train_HR_sub", "DIV2K_train_LR_bicubic"], "DIV2K_train_HR_sub"),
        (["a_HR", "b_HR"], "."),
        (["DIV2K_train_HR", "Flickr2K_HR"], "."),
        (["cats", "dogs"], "."),
    ],
)
def test_the_hr_of_a_download_is_found(tmp_path, made, found):
    for name in made:
        (tmp_path / name).mkdir()
    assert hr_folder(tmp_path) == tmp_path / found
    (tmp_path / "._x.png").touch()
    assert hr_folder(tmp_path, training=True).name == (tmp_path / found).name.replace("valid", "train")
    Image.fromarray(photograph(8, 8)).save(tmp_path / "here.png")
    assert hr_folder(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("made", "hr"),
    [
        (["a_HR", "b_HR", "a_LR"], ["a_HR", "b_HR"]),
        (["DIV2K/DIV2K_train_HR", "DIV2K/DIV2K_train_LR_bicubic/X2", "Set5/GTmod12"], ["DIV2K/DIV2K_train_HR", "Set5/GTmod12"]),
        (["sets/Set5/HR", "sets/Set5/LRbicx4"], ["sets/Set5/HR"]),
    ],
)
def test_lr_is_not_taken_for_hr_where_several_downloads_lie(tmp_path, made, hr):
    for name in made:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "p.png").touch()
    assert hr_folder(tmp_path) == tmp_path
    named = ", ".join(str(tmp_path / name) for name in hr)
    with pytest.raises(BadFolder, match=re.escape(f"'{tmp_path}' holds LR beside HR; name the HR alone: {named}")):
        list_pictures(tmp_path)


@pytest.mark.parametrize("made", [["Set5/HR", "Set14/HR"], ["X4/LR_bicubic", "more"], ["portraits_hr", "allrounders"]])
def test_folders_of_one_kind_are_pooled(tmp_path, made):
    for name in made:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "p.png").touch()
    assert len(list_pictures(tmp_path)) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everywhere")
def test_a_folder_that_may_not_be_read_is_passed_over(folder):
    (folder / "lost+found").mkdir(mode=0)
    assert len(list_pictures(folder)) == 3


def test_links_are_followed_once_and_hidden_files_are_none(folder, tmp_path):
    joined = tmp_path / "joined"
    (joined / "a").mkdir(parents=True)
    Image.fromarray(photograph(8, 8)).save(joined / "a" / "p.png")
    (joined / "b").symlink_to(folder)
    (joined / "a" / "around").symlink_to(joined)
    (joined / "a" / "._p.png").write_bytes(b"of macOS")
    (joined / ".hidden").symlink_to(folder)
    listed = [path.relative_to(joined).as_posix() for path in list_pictures(joined)]
    assert listed == ["a/p.png", *(f"b/{path.name}" for path in sorted(folder.iterdir()))]


def test_whatever_upscale_reads_as_a_picture_is_listed(tmp_path):
    for suffix in (*SUFFIXES, *HEIC):
        (tmp_path / f"a{suffix.upper()}").touch()
    listed = {path.suffix.lower() for path in list_pictures(tmp_path)}
    assert listed == {*SUFFIXES, *HEIC} - {".gif"}  # which is read as an animation


def test_pictures_are_decoded_a_bounded_number_ahead(tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr("srcli.engine.folders.read_rgb", lambda path: decoded.append(path) or np.zeros((1, 1, 3), np.uint8))
    reading = read_pictures([Path(f"{n}.png") for n in range(40)], threads=2)
    next(reading)
    reading.close()
    assert len(decoded) <= 5


def test_an_unreadable_picture_is_told_with_its_reason(folder):
    (folder / "broken.png").write_bytes(b"no picture")
    read = dict(read_pictures(list_pictures(folder)))
    assert isinstance(read[folder / "broken.png"], str)
    assert sum(isinstance(pixels, np.ndarray) for pixels in read.values()) == 3


def test_a_link_to_what_is_gone_is_an_unreadable_picture(folder, tmp_path):
    (folder / "gone.png").symlink_to(tmp_path / "annex")
    told = {path.name: pixels for path, pixels in read_pictures(list_pictures(folder)) if isinstance(pixels, str)}
    assert list(told) == ["gone.png"]
    assert "No such file" in told["gone.png"]


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(BadFolder, match="no pictures"):
        list_pictures(tmp_path)


@pytest.mark.parametrize("name", ["p.jpeg", "p.PNG", "p.tiff", "p.avif", "px2.TIF", "p_out.JPG"])
def test_a_partner_is_found_whatever_its_suffix(tmp_path, name):
    (tmp_path / name).touch()
    assert partner(Path("hr/p.png"), tmp_path, 2) == tmp_path / name


def test_a_partner_with_the_networks_name_behind_it_is_taken_where_no_other_begins_so(tmp_path):
    for name in ("a_HAT_SRx4.png", "ab_HAT_SRx4.png", "a_log.txt", "b_one.png", "b_two.png"):
        (tmp_path / name).touch()
    assert partner(Path("hr/a.png"), tmp_path, 4) == tmp_path / "a_HAT_SRx4.png"
    with pytest.raises(BadFolder, match=r"no partner of 'b.png'"):
        partner(Path("hr/b.png"), tmp_path, 4)


@pytest.mark.parametrize("name", ["a_mask.png", "a_HAT_mask.png", "a_Depth.png", "a_hr.png"])
def test_a_mask_is_no_partner(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(BadFolder, match=r"no partner of 'a.png'"):
        partner(Path("hr/a.png"), tmp_path, 4)
    (tmp_path / "a_HAT.png").touch()
    assert partner(Path("hr/a.png"), tmp_path, 4) == tmp_path / "a_HAT.png"


def test_a_partner_of_another_hr_picture_is_not_taken(tmp_path):
    hr, sr = tmp_path / "hr", tmp_path / "sr"
    for file in (hr / "a.png", hr / "a_b.png", sr / "a_b_HAT.png"):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert partner(hr / "a_b.png", sr, 4) == sr / "a_b_HAT.png"
    with pytest.raises(BadFolder, match=r"no partner of 'a.png'"):
        partner(hr / "a.png", sr, 4)


@pytest.mark.parametrize("name", ["a_x2.png", "a_x2_SR.png", "a_HAT_SRx2.png"])
def test_a_partner_of_another_scale_is_not_taken(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(BadFolder, match=r"no partner of 'a.png'"):
        partner(Path("hr/a.png"), tmp_path, 4)


def test_a_name_that_only_begins_like_anothers_is_no_hindrance(tmp_path):
    hr, sr = tmp_path / "hr", tmp_path / "sr"
    for file in (hr / "a.png", hr / "a_H.png", hr / "a_HAT.json", sr / "a_HAT.png", sr / "a_H_HAT.png"):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert partner(hr / "a.png", sr, 4) == sr / "a_HAT.png"


def test_lr_is_told_beside_hr_alone(tmp_path):
    for file in ("2020/originals/a.png", "2021/lr/b.png"):  # lr may be of Lightroom
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    assert len(list_pictures(tmp_path)) == 2
    for file in ("A_HR/a.png", "B_HR/a.png", "A_LRx4/a.png"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    with pytest.raises(BadFolder, match=r"holds LR beside HR; name the HR alone: .*A_HR, .*B_HR"):
        list_pictures(tmp_path)


def test_a_folder_is_listed_once_for_all_of_its_pictures_and_anew_when_it_has_changed(tmp_path, monkeypatch):
    hr, sr = tmp_path / "hr", tmp_path / "sr"
    for name in "abcdef":
        for file in (hr / f"{name}.png", sr / f"{name}_HAT.png"):
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"")
    pictures, listed, iterdir = sorted(hr.iterdir()), [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda folder: listed.append(folder) or iterdir(folder))
    assert [file.name for file in partners(pictures, sr, 4)] == [f"{name}_HAT.png" for name in "abcdef"]
    assert listed.count(hr) == listed.count(sr) == 1
    (sr / "g_HAT.png").write_bytes(b"")
    os.utime(sr, ns=(0, 0))  # no clock is too coarse to tell
    assert partner(hr / "g.png", sr, 4).name == "g_HAT.png"

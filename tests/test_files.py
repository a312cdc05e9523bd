import os
import subprocess
import sys
from pathlib import Path

import pytest

from srcli.errors import BadFolder
from srcli.files import atomic, files_in, sweep

LEFT = """
import os, signal, sys
from pathlib import Path
from srcli.files import atomic
with atomic(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_what_a_killed_process_left_is_swept_and_what_is_being_written_stays(tmp_path):
    subprocess.run([sys.executable, "-c", LEFT, tmp_path / "a.png"], check=False)
    [left] = tmp_path.iterdir()
    (tmp_path / ".0123456789ab.tmp.bak").mkdir()
    (tmp_path / ".notes.tmp.png").touch()
    with atomic(tmp_path / "b.png") as temporary:
        temporary.write_text("whole")
        assert sweep([tmp_path, tmp_path / "nowhere"]) == 1
        assert temporary.exists()
    assert not left.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".0123456789ab.tmp.bak", ".notes.tmp.png", "b.png"]
    assert (tmp_path / "b.png").read_text() == "whole"


@pytest.mark.parametrize("links", [True, False])
def test_what_is_fresh_replaces_nothing(tmp_path, monkeypatch, links):
    def link(*_):
        raise OSError(95, "Operation not supported")

    if not links:
        monkeypatch.setattr(os, "link", link)
    path = tmp_path / "a.txt"
    with atomic(path, fresh=True) as temporary:
        temporary.write_text("first")
    with pytest.raises(FileExistsError, match="appeared meanwhile"), atomic(path, fresh=True) as temporary:
        temporary.write_text("second")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "first"


def test_what_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail(temporary: Path) -> None:
        temporary.write_text("after")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), atomic(path) as temporary:
        fail(temporary)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "before"


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
@pytest.mark.parametrize("private", [False, True])
def test_a_mount_that_refuses_modes_gets_its_files(tmp_path, monkeypatch, private):
    path, chmod, asked = tmp_path / "a.txt", Path.chmod, []

    def refused(path: Path, mode: int) -> None:
        asked.append(oct(mode & 0o777))
        raise PermissionError(1, "Operation not permitted")

    with atomic(path) as temporary:
        temporary.write_text("whole")
        usual = oct(temporary.stat().st_mode & 0o777)
        if private:  # as some writers make their files
            chmod(temporary, 0o600)
        monkeypatch.setattr(Path, "chmod", refused)
    assert path.read_text() == "whole"
    assert asked == ([usual] if private else [])


def test_a_folder_that_is_a_link_to_itself_is_named(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert list(files_in(tmp_path / "in", besides=tmp_path / "loop")) == []
    with pytest.raises(BadFolder, match="loop"):
        list(files_in(tmp_path / "loop"))


def test_a_folder_that_may_be_listed_but_not_entered_is_no_traceback(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "a.png").touch()
    stat = Path.stat

    def refused(self, **options):
        if self.name == "a.png":
            raise PermissionError(13, "Permission denied")
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", refused)
    assert [path.name for path in files_in(tmp_path)] == ["a.png"]

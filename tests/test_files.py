import os
import subprocess
import sys
from pathlib import Path

import pytest

from srcli.files import atomic, sweep

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

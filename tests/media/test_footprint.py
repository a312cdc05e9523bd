import json
import subprocess
import sys

import numpy as np
import pytest

from srcli.media.footprint import disks, footprint
from srcli.media.picture import Picture
from srcli.media.planning import plan_jobs
from srcli.media.write import write_image

PEAK = """
import json, resource, sys
from pathlib import Path
import numpy as np
from srcli.media.picture import Picture
from srcli.media.read import read_image
from srcli.media.write import write_image

source, target = map(Path, sys.argv[1:])
write_image(Picture(read_image(source).pixels[:8, :8].copy()), target)  # the libraries' own memory
Path("/proc/self/clear_refs").write_text("5")
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
picture = read_image(source)
write_image(Picture(np.repeat(np.repeat(picture.pixels, 2, 0), 2, 1)), target)
print(json.dumps(peak() - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff"])
def test_a_picture_takes_no_more_than_estimated(tmp_path, format, channels):
    """2x by repetition, which needs half of the result once more: hence 1.5 times."""
    y, x = np.mgrid[:600, :1000]
    picture = Picture(np.stack([x * 3 + y, y * 2 + x, x - y], axis=2).astype(np.uint8)[..., :channels])
    write_image(picture, tmp_path / "a", format=format)
    (job,) = plan_jobs([tmp_path / "a"], tmp_path / "out", scale=2, format=format)
    code = [sys.executable, "-c", PEAK, job.source, tmp_path / job.target.name]
    run = subprocess.run(code, capture_output=True, text=True, check=True)
    assert 0 < json.loads(run.stdout) < footprint(job) * 1.5 + 2**20


def test_what_has_no_header_takes_nothing(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    (job,) = plan_jobs([tmp_path / "a.png"], None, scale=2)
    assert footprint(job) == 0


def test_what_is_replaced_makes_room(tmp_path):
    for name in ("a.png", "b.png"):
        write_image(Picture(np.zeros((24, 32, 3), np.uint8)), tmp_path / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(bytes(100_000))
    (disk,) = disks(plan_jobs([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out", scale=2, exists="overwrite"))
    assert disk.needed == int(48 * 64 * 3 * 0.8)

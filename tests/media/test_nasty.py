"""Odd and hostile files: read or refused in one line, the refusal within 2 s and 1 GiB and without torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from srcli.media.probe import probe
from srcli.media.read import read_image

NASTY = Path(os.environ.get("SRCLI_DATA", "/nowhere")) / "nasty"
UNKNOWN = "is no picture that srcli knows; it reads PNG, JPEG, WebP, TIFF, AVIF, BMP, PPM, GIF, DDS, or .tga, and videos"
REFUSED = {
    "bomb.gif": "is damaged: a frame is larger than the picture",
    "bomb_60000x60000_1bit.png": "has 60000 x 60000 = 3,600,000,000 pixels, the limit is 1,000,000,000",
    "bomb_65536.png": "has 65536 x 65536 = 4,294,967,296 pixels, the limit is 1,000,000,000",
    "broken.png": r"is damaged: broken PNG file (chunk b'\xf4\xa8\x81\xe1')",
    "broken_stream.png": "is truncated",
    "empty_0byte.png": "is empty",
    "fuzz_heapbof.png": UNKNOWN,
    "jxl_8bit.jxl": "is JPEG XL, which srcli cannot read; convert it to PNG or JPEG first",
    "svg.svg": "is SVG, which srcli cannot read; convert it to PNG or JPEG first",
    "text_named.png": UNKNOWN,
    "tiny_truncated.png": "is truncated",
    "truncated.jpg": "is truncated",
    "truncated_anim.webp": "is damaged: could not create decoder object",
    "truncated_half.jpg": "is truncated",
}
SOUND = sorted({path.name for path in NASTY.glob("*")} - set(REFUSED))
PROBES = """
import json, resource, sys, time
from pathlib import Path
from srcli.errors import BadPicture
from srcli.media.probe import probe

pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, 2 * (pages * resource.getpagesize() + 2**30,))
for path in sorted(Path(sys.argv[1]).glob("*")):
    started = time.process_time()
    try:
        probe(path)
        line = None
    except BadPicture as error:
        line = str(error)
    print(json.dumps([path.name, line, time.process_time() - started]))
assert "torch" not in sys.modules
"""

pytestmark = pytest.mark.skipif(not NASTY.is_dir(), reason="SRCLI_DATA names no folder with nasty/")


def test_all_are_accepted_or_refused_from_the_header():
    """The seconds are the processor's, so that a busy machine does not matter; they are thousandths."""
    run = subprocess.run([sys.executable, "-c", PROBES, NASTY], capture_output=True, text=True, check=True)
    outcomes = [json.loads(line) for line in run.stdout.splitlines()]
    refused = {name: line.removeprefix(f"'{NASTY / name}' ") for name, line, _ in outcomes if line}
    assert refused == REFUSED
    assert max(seconds for _, _, seconds in outcomes) < 2


@pytest.mark.parametrize("name", SOUND)
def test_what_the_header_promises_is_read(name):
    facts, picture = probe(NASTY / name), read_image(NASTY / name)
    assert picture.pixels.shape == (facts.height, facts.width, facts.channels)
    assert (picture.alpha is not None, picture.pixels.itemsize * 8) == (facts.alpha, facts.depth)

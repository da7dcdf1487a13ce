"""Kills at any moment, and photos of any size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from prep_doubles import CUT_OFF, FACELESS, FRONTAL, add_crowd

PREPARE_AND_KILL = """
import os, pathlib, random, signal, sys, time
sys.path.insert(0, sys.argv[2])
import cv2
from prep_doubles import PARSED
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.parts import PORTRAIT
from ssgan_core.preparation.prepare import prepare
from ssgan_core.preparation.quality import Filters

folder = pathlib.Path(sys.argv[1])
cv2.setNumThreads(1)  # its threads do not survive the forks

def go_on(out):
    return prepare(folder / "photos", folder / out, PARSED, size=32, every_face=True, filters=Filters(0), workers=1)

def content(out):
    files = {path.relative_to(folder / out): path for path in sorted((folder / out).rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name.name != "report.json"}

straight = go_on("straight")
moments = random.Random(1)
kills = 0
while True:
    child = os.fork()
    if child == 0:
        go_on("broken")
        os._exit(0)
    time.sleep(moments.uniform(0.02, 0.2))
    os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] == 0:
        break
    kills += 1
    if (folder / "broken" / "parts.json").exists():
        with DatasetWriter(folder / "broken", PORTRAIT, 32):
            pass
        if (folder / "broken" / "meta.jsonl").stat().st_size:
            data = PortraitDataset.open(folder / "broken")
            for index in range(len(data)):
                data.image(index), data.mask(index)
    if kills == 16:
        break
last = go_on("broken")
assert content("broken") == content("straight"), (content("broken").keys() ^ content("straight").keys())
assert last.written + last.already == straight.written
assert [row.skip for row in last.skipped] == [row.skip for row in straight.skipped]
print("survived", kills)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_data_set(tmp_path):
    for number in range(20):  # long enough for some kills on a fast machine
        codes = [FRONTAL + number, CUT_OFF if number % 4 == 0 else FRONTAL, FRONTAL - number]
        add_crowd(tmp_path, f"{number:02}.png", codes)
    add_crowd(tmp_path, "none.png", [FACELESS])
    command = [sys.executable, "-c", PREPARE_AND_KILL, str(tmp_path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("survived"), done.stderr
    assert int(done.stdout.split()[1]) >= 3


MEASURE = """
import pathlib, resource, sys
from ssgan_core.preparation.photos import MAX_PHOTO_PIXELS, WORKING_PIXELS
from ssgan_core.pictures import read_reduced
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixels, size = read_reduced(pathlib.Path(sys.argv[1]), WORKING_PIXELS, MAX_PHOTO_PIXELS)
print(size, pixels.shape, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
@pytest.mark.parametrize(("suffix", "width", "megabytes"), [("jpg", 12_500, 250), ("png", 5_000, 320)])
def test_large_photos_take_bounded_memory(tmp_path, suffix, width, megabytes):
    """A JPEG of 100 megapixels; a PNG with transparency of 40, of which Pillow's conversions would keep 640 MB."""
    path = tmp_path / f"large.{suffix}"
    large = Image.new("RGB" if suffix == "jpg" else "RGBA", (width, 8_000), (90, 120, 150))
    large.save(path, **({"compress_level": 1} if suffix == "png" else {}))
    del large
    command = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said, kilobytes = done.stdout.rsplit(maxsplit=1)
    assert said == f"({width}, 8000) (4000, {width // 2}, 3)"
    assert int(kilobytes) / 1024 < megabytes

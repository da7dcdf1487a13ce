"""Training and synthesis run on a machine without facexlib, OpenCV, SciPy and imageio-ffmpeg."""

import subprocess
import sys

BLOCKED = ("facexlib", "cv2", "scipy", "numba", "imageio", "imageio_ffmpeg", "hatchling")
CODE = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError("blocked: " + name, name=name)

sys.meta_path.insert(0, Blocker())
import ssgan_core.training.loop, ssgan_core.training.estimate, ssgan_core.editing.transfer, ssgan_core.video
import ssgan_core.demo, ssgan_core.editing.interpolation, ssgan_core.sheets
import ssgan_core.evaluation.evaluate
from ssgan_core.errors import SsganError
from ssgan_core.synthesis import load_generator
try:
    ssgan_core.video.find_ffmpeg()
except SsganError as error:
    assert "PNG frames" in error.hint
else:
    raise AssertionError("the blocker does not block")
sys.argv = ["ssgan", "generate", *sys.argv[1:]]
from ssgan_cli.app import main
main()
"""


def test_without_the_optional_tools(tiny_model, tmp_path):
    arguments = [str(tiny_model), "--seeds", "0", "--out", str(tmp_path)]
    result = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "seed0000.png").exists()

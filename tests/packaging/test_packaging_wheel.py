"""The wheel holds everything: built, installed into a fresh environment, and used outside the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from ssgan_core import __version__
from ssgan_core.resources import default_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed (make test installs it)")
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, ROOT, "-m", "hatchling", "build", "-t", "wheel", "-d", out)
    (path,) = out.glob("*.whl")
    return path


def test_wheel_holds_recipes_kernels_licence_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for folder in ("configs", "cuda"):
        for file in (ROOT / folder).iterdir():
            assert f"ssgan_core/_shipped/{folder}/{file.name}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "ssgan_core/py.typed" in names
    assert "ssgan_core/parsing/weights/parser.safetensors" in names
    assert {"ssgan_core/models/default.safetensors", "ssgan_core/models/README.md"} <= set(names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ssgan_core", "ssgan_cli"}


def test_installed_wheel_works_outside_the_checkout(wheel, tmp_path):
    environment = tmp_path / "env"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    here = sysconfig.get_path("purelib")
    there = run(python, tmp_path, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    pip = [
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        python,
        "install",
        "-q",
        "--no-deps",
        "--no-index",
    ]
    run(sys.executable, tmp_path, *pip, wheel)
    # The other packages come from this environment: added to the path as a plain folder, so that its own
    # .pth files, and with them an editable install of the checkout, are not processed.
    (Path(there) / "others.pth").write_text(here + "\n")
    where = "import ssgan_core, ssgan_cli; print(ssgan_core.__file__, ssgan_cli.__file__)"
    assert all(path.startswith(there) for path in run(python, tmp_path, "-c", where).split())
    recipes = "from ssgan_core.resources import shipped; print(*shipped('configs').glob('*.yaml'), sep='\\n')"
    found = {Path(line).name for line in run(python, tmp_path, "-c", recipes).splitlines()}
    assert found == {path.name for path in (ROOT / "configs").glob("*.yaml")}
    model = "from ssgan_core.resources import default_model; print(default_model())"
    shipped = run(python, tmp_path, "-c", model).strip()
    assert shipped.startswith(there)
    assert Path(shipped).read_bytes() == default_model().read_bytes()
    assert run(environment / "bin" / "ssgan", tmp_path, "--version") == f"ssgan {__version__}\n"


def run(program, folder, *arguments):
    command = [str(word) for word in (program, *arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout

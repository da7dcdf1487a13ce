"""What runs on a GPU neither mixes devices nor waits for values, by tensors that have a device and no values."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ssgan_core.errors import SsganError
from ssgan_core.rendering import kernels


def test_nothing_on_a_gpu_waits_for_it_or_meets_tensors_of_the_cpu(tmp_path: Path):
    try:
        environment = kernels._environment_with_tools("cpu")
    except SsganError as error:
        pytest.skip(str(error))
    command = [sys.executable, str(Path(__file__).with_name("on_pretended_gpu.py")), str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("nothing waits\n")

"""Running the command line: in this process for speed, as a real process where that is what is tested."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ssgan_cli.app import app
from ssgan_core import cameras
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.parts import PORTRAIT

SIZE = 16
RECIPE = """
seed: 1
model: {resolution: 16, render_resolution: 8, part_resolution: 8, latent: 16, part_width: 8,
  features: 4, depth_width: 8, frequencies: 4, highest_frequency: 4.0, upsampler_width: 16,
  base_layers: 1, shape_layers: 1, texture_layers: 1, uniform_boundaries: 8, importance_boundaries: 4}
discriminator: {width: 8, most_width: 16}
training: {kimg: 0.032, batch: 4, tick_kimg: 0.016, snapshot_kimg: 0.016, shell_kimg: 0.02, blur_kimg: 0.02,
  ema_kimg: 0.01, precision: fp32}
"""


@pytest.fixture
def ssgan() -> Callable[..., Result]:
    """Run a command in this process: ssgan("generate", path, ...) -> Result(exit_code, stdout, stderr)."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def spawn() -> Callable[..., subprocess.Popen]:
    """Start a command as a user would."""

    def start(*arguments: object) -> subprocess.Popen:
        command = [sys.executable, "-m", "ssgan_cli", *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    return start


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of eight block heads of 16 pixels."""
    folder = tmp_path_factory.mktemp("data") / "heads [tiny] ü"
    rng = np.random.default_rng(0)
    with DatasetWriter(folder, PORTRAIT, SIZE) as writer:
        for i in range(8):
            mask = np.zeros((SIZE, SIZE), np.uint8)
            mask[1:5, 4:12], mask[5:12, 4:12], mask[12:, 2:14] = 7, 1, 9
            image = rng.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
            writer.add(f"00000/{i:04d}", image, mask, cameras.label(0.1 * i - 0.4, 0.0), {})
        writer.finish()
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of eight steps for the tiny data set."""
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return path

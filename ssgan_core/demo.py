"""The demo: what a model can do, in one folder of pictures and a video, within a minute of two CPU cores."""

from __future__ import annotations

from dataclasses import dataclass
from math import radians
from pathlib import Path

import torch

from ssgan_core import cameras
from ssgan_core.editing.interpolation import interpolate_to_folder
from ssgan_core.editing.transfer import transfer_to_folder
from ssgan_core.errors import SsganError
from ssgan_core.progress import Progress, silent
from ssgan_core.sheets import MOST_ON_SHEET, save_sheet
from ssgan_core.synthesis import save_portraits
from ssgan_core.video import film, find_ffmpeg

PSI = 0.7
# Seeds chosen by eye in the shipped model, so that hair and skin differ clearly: look again when it is replaced.
RECEIVER, DONOR, FILMED = 4, 8, 5
EXCHANGED = ("hair",)
MOVED = ("hair", "skin")
STEPS = 7
FRAMES, FPS = 60, 30
YAW, PITCH = 28, 11  # degrees
VIDEO_SIZE = 256  # side of each of its pictures, whatever the model's


@dataclass(frozen=True)
class SavedDemo:
    """What `make_demo` wrote.

    Attributes:
        model: the model file that was used.
        contact: portraits of 16 seeds, each as image, mask and depth.
        sheet: the same portraits from five sides.
        transfer: a part taken from another portrait: before, donor, after, difference.
        interpolation: parts on their way to another portrait's.
        orbit: a portrait in motion: an .mp4, or a folder of PNG frames where there is no encoder.
        no_video: why `orbit` is a folder; "" if it is not.
        portraits: the portrait files.
    """

    model: Path
    contact: Path
    sheet: Path
    transfer: Path
    interpolation: Path
    orbit: Path
    no_video: str
    portraits: list[Path]


def make_demo(
    model: Path, out: Path, *, device: torch.device, backend: str = "auto", progress: Progress = silent
) -> SavedDemo:
    """Make portraits, a part transfer, a part interpolation and an orbit; files of the same names are replaced.

    Args:
        model: run folder or model file.
        out: folder.

    Raises:
        SsganError: the model is damaged or missing, or the place cannot be written to.
    """
    steps = _Steps(progress, 2 * MOST_ON_SHEET + 1 + STEPS + FRAMES)
    drawn = save_portraits(
        model,
        range(MOST_ON_SHEET),
        cameras.label(0.0, 0.0),
        out / "portraits",
        psi=PSI,
        device=device,
        backend=backend,
        progress=steps.stage("portraits"),
    )
    portraits: list[Path] = [row["portrait"] for row in drawn.portraits]
    sheet = out / "sheet.png"
    save_sheet(
        portraits,
        sheet,
        model=drawn.model,
        device=device,
        backend=backend,
        progress=steps.stage("portraits from five sides"),
    )
    first, second = portraits[RECEIVER], portraits[DONOR]
    edited = transfer_to_folder(
        first,
        second,
        EXCHANGED,
        out / "transfer",
        shape=True,
        texture=True,
        model=drawn.model,
        device=device,
        backend=backend,
    )
    steps.stage("part transfer")(1, 1)
    moved = interpolate_to_folder(
        first,
        second,
        MOVED,
        out / "interpolation",
        steps=STEPS,
        model=drawn.model,
        device=device,
        backend=backend,
        progress=steps.stage("part interpolation"),
    )
    orbit, no_video = _video_target(out)
    film(
        portraits[FILMED],
        cameras.orbit(FRAMES, radians(YAW), radians(PITCH)),
        orbit,
        fps=FPS,
        size=VIDEO_SIZE,
        model=drawn.model,
        device=device,
        backend=backend,
        progress=steps.stage("orbit"),
    )
    return SavedDemo(
        drawn.model, drawn.contact, sheet, edited.files["sheet"], moved.sheet, orbit, no_video, portraits
    )


def _video_target(out: Path) -> tuple[Path, str]:
    """Where the orbit goes, and why it is no video if it is none."""
    try:
        find_ffmpeg()
    except SsganError as error:
        return out / "orbit", error.message
    return out / "orbit.mp4", ""


class _Steps:
    """Stages that count on, for one progress callback."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total = progress, total
        self._before = self._done = 0

    def stage(self, name: str) -> Progress:
        """The callback of the next stage."""
        self._before = self._done

        def update(done: int, total: int, note: str = "") -> None:
            self._done = self._before + done
            self._progress(self._done, self._total, name)

        return update

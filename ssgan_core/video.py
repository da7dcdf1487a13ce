"""Video: a portrait on a camera path, or parts of it on the way to another's, as MP4 or as PNG frames.

Every frame shows image, part mask and depth side by side.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from PIL import Image

from ssgan_core.editing.interpolation import interpolated_views
from ssgan_core.editing.pair import open_pair
from ssgan_core.errors import SsganError
from ssgan_core.files import atomic_path
from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Generator
from ssgan_core.parts import PartSchema
from ssgan_core.pictures import save_png, tile
from ssgan_core.progress import Progress, silent
from ssgan_core.synthesis import View, look_around, open_portrait, view_strip

# x264's output depends on its number of threads, so it is fixed; +bitexact and no metadata keep versions and
# dates out of the file. Two runs then write the same bytes.
_ENCODING = (
    "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "17", "-preset", "medium", "-threads", "2",
    "-movflags", "+faststart", "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-an",
)  # fmt: skip


@dataclass(frozen=True)
class SavedVideo:
    """What `film` or `film_interpolation` wrote: the model file that was used, the video, and its size in pixels."""

    model: Path
    video: Path
    width: int
    height: int


def film(
    portrait: Path,
    labels: np.ndarray,
    out: Path,
    *,
    fps: int,
    size: int | None,
    model: Path | None,
    device: torch.device,
    backend: str = "auto",
    progress: Progress = silent,
) -> SavedVideo:
    """Film a portrait file on a camera path.

    Args:
        labels: [N, 25] a camera a frame.
        out: an .mp4 file, or a folder for PNG frames.
        fps: frames a second.
        size: side of each of the three pictures, even; None means the model's resolution.
        model: model file or run folder; None looks where the portrait says it was.

    Raises:
        SsganError: a file is damaged or missing, the size or the kind of video is impossible, or there is no encoder.
    """
    check_target(out)
    shown, generator, model_file = open_portrait(portrait, model, device, backend)
    side = _side(generator, size)
    write_video(
        render_frames(generator, shown.codes.to(device), labels, side), len(labels), out, fps, progress
    )
    return SavedVideo(model_file, out, 3 * side, side)


def film_interpolation(
    first: Path,
    second: Path,
    parts: Sequence[str] | None,
    out: Path,
    *,
    frames: int,
    fps: int,
    size: int | None,
    shape: bool = True,
    texture: bool = True,
    model: Path | None,
    device: torch.device,
    backend: str = "auto",
    progress: Progress = silent,
) -> SavedVideo:
    """Film named parts of a portrait on their way to another portrait's, and back, so that the video can repeat.

    Frame i of N shows `interpolate` at (1 - cos(2 pi i / N)) / 2, by the first portrait's camera.

    Args:
        parts, shape, texture, model: as in `editing.interpolation.interpolate_to_folder`.
        out, fps, size: as in `film`.

    Raises:
        SsganError: as `film`, or the portraits are of different models, or a part does not exist.
    """
    check_target(out)
    pair = open_pair(first, second, model, device, backend)
    side = _side(pair.generator, size)
    schema = pair.generator.schema
    indices = None if parts is None else schema.foreground_indices(parts)
    amounts = [float(amount) for amount in (1 - np.cos(2 * np.pi * np.arange(frames) / frames)) / 2]
    steps = interpolated_views(pair, amounts, indices, shape=shape, texture=texture)
    write_video((_frame(view, schema, side) for _, view in steps), frames, out, fps, progress)
    return SavedVideo(pair.model, out, 3 * side, side)


def render_frames(generator: Generator, codes: Codes, labels: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Frames [size, 3 size, 3], uint8, of one portrait (a batch of one) seen from cameras [N, 25].

    Image, coloured mask and depth stand side by side; they are resized if `size` is not the model's.
    """
    for view in look_around(generator, codes, labels):
        yield _frame(view, generator.schema, size)


def write_video(
    pictures: Iterable[np.ndarray], count: int, path: Path, fps: int, progress: Progress = silent
) -> None:
    """Write frames [H, W, 3], uint8, to an .mp4 (H.264, yuv420p, crf 17) or numbered PNG files in a folder.

    The file appears under its name when it is whole. Two runs on the same frames write the same bytes.

    Args:
        pictures: `count` frames of one size, even in both directions.
        path: a name without suffix is a folder.
        fps: frames a second (mp4 only).

    Raises:
        SsganError: no encoder is installed, or the place cannot be written to.
    """
    if path.suffix.lower() == ".mp4":
        with atomic_path(path) as temporary:
            _encode(pictures, count, temporary, fps, progress)
        return
    for index, picture in enumerate(pictures):
        save_png(path / f"frame{index:04d}.png", picture)
        progress(index + 1, count)


def find_ffmpeg() -> str:
    """Path of the ffmpeg program that imageio-ffmpeg ships or finds.

    Raises:
        SsganError: there is none.
    """
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        hint = "pip install imageio-ffmpeg, or name a folder to get PNG frames"
        raise SsganError("no ffmpeg was found to encode the video with", hint) from error


def check_target(path: Path) -> None:
    """Notice before the work that a video of this name cannot be written.

    Raises:
        SsganError: it is neither an .mp4 file nor a folder, or there is no encoder.
    """
    if path.suffix.lower() not in (".mp4", ""):
        raise SsganError(f"cannot write a '{path.suffix}' video", "name an .mp4 file or a folder")
    if path.suffix and path.is_dir():
        raise SsganError(f"{path} is a folder")
    if path.suffix:
        find_ffmpeg()


def _side(generator: Generator, size: int | None) -> int:
    """The side of the pictures. H.264 with 4:2:0 colour stores pairs of rows and columns."""
    side = generator.config.resolution if size is None else size
    if side % 2 or not 16 <= side <= 2048:
        raise SsganError(f"a video's size must be even and between 16 and 2048, got {side}")
    return side


def _encode(pictures: Iterable[np.ndarray], count: int, path: Path, fps: int, progress: Progress) -> None:
    """Pipe raw frames through ffmpeg. Its exit status is checked: a full disk must not leave half a video."""
    frames_left = iter(pictures)
    first = next(frames_left)
    size = f"{first.shape[1]}x{first.shape[0]}"
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(fps), "-i", "-")
    command = [find_ffmpeg(), "-y", "-v", "error", *source, *_ENCODING, str(path)]
    with TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints
        )
        assert process.stdin is not None
        try:
            for index, picture in enumerate(itertools.chain([first], frames_left)):
                process.stdin.write(np.ascontiguousarray(picture).data)
                progress(index + 1, count)
            process.stdin.close()
            process.wait()
        except BrokenPipeError:  # it died; its status and complaints say why
            process.wait()
        finally:
            process.kill()  # only if something else went wrong here: it has ended otherwise
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()
        if process.returncode:
            complaints.seek(0)
            lines = complaints.read().decode(errors="replace").strip().splitlines() or ["it gave no reason"]
            raise SsganError(f"ffmpeg could not encode the video: {lines[-1]}", "is the disk full?")


def _frame(view: View, schema: PartSchema, size: int) -> np.ndarray:
    methods = (Image.Resampling.LANCZOS, Image.Resampling.NEAREST, Image.Resampling.BILINEAR)
    pictures = zip(view_strip(view, schema), methods, strict=True)
    return tile([_resized(picture, size, method) for picture, method in pictures], columns=3)


def _resized(picture: np.ndarray, size: int, method: Image.Resampling) -> np.ndarray:
    return (
        picture
        if picture.shape[0] == size
        else np.asarray(Image.fromarray(picture).resize((size, size), method))
    )

"""Video: panels, encoding to the same bytes, frames as PNG, and refusals."""

import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from ssgan_core import cameras
from ssgan_core.errors import SsganError
from ssgan_core.synthesis import codes_from_seed, load_generator, save_portraits
from ssgan_core.video import film, film_interpolation, find_ffmpeg, render_frames, write_video

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def frames(tiny_model):
    generator, _ = load_generator(tiny_model, CPU)
    return list(render_frames(generator, codes_from_seed(generator, 0), cameras.orbit(6), 32))


def test_frames_show_image_mask_and_depth(frames):
    assert len(frames) == 6
    for frame in frames:
        assert frame.shape == (32, 96, 3)
        assert frame.dtype == np.uint8
        assert (frame[:, 64:, 0] == frame[:, 64:, 1]).all()
        assert frame[:, 64:].max() > 40
    assert not np.array_equal(frames[0], frames[3])


def test_another_size_keeps_the_masks_colours(tiny_model):
    generator, _ = load_generator(tiny_model, CPU)
    frame = next(render_frames(generator, codes_from_seed(generator, 0), cameras.orbit(1), 48))
    assert frame.shape == (48, 144, 3)
    colours = {tuple(colour) for colour in generator.schema.colours.tolist()}
    assert {tuple(pixel) for pixel in frame[:, 48:96].reshape(-1, 3).tolist()} <= colours


def test_two_runs_write_the_same_bytes(frames, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(iter(frames), len(frames), tmp_path / name, 30)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content == (tmp_path / "b.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays while it loads
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_video_decodes_to_its_frames(frames, tmp_path):
    path = tmp_path / "vidéo [1].mp4"
    seen = []
    write_video(iter(frames), len(frames), path, 25, lambda done, total, note="": seen.append((done, total)))
    assert seen == [(i, 6) for i in range(1, 7)]
    command = [find_ffmpeg(), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    decoded = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
    decoded = decoded.reshape(6, 32, 96, 3)
    assert np.abs(decoded.astype(int) - np.stack(frames)).mean() < 12


def test_a_folder_gets_png_frames(frames, tmp_path):
    write_video(iter(frames), len(frames), tmp_path / "frames", 30)
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == [f"frame{i:04d}.png" for i in range(6)]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "frames" / names[2])), frames[2])


def test_failing_encoder_leaves_nothing(frames, tmp_path):
    odd = [frame[:31] for frame in frames]  # 4:2:0 cannot hold an odd height
    with pytest.raises(SsganError, match="ffmpeg could not encode"):
        write_video(iter(odd), len(odd), tmp_path / "odd.mp4", 30)
    assert not list(tmp_path.iterdir())


def test_interrupted_encoding_leaves_nothing(frames, tmp_path):
    def interrupted():
        yield from frames[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(interrupted(), 6, tmp_path / "half.mp4", 30)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def portrait(tiny_model, tmp_path_factory):
    out = tmp_path_factory.mktemp("portraits")
    saved = save_portraits(tiny_model, [0], cameras.label(0.0, 0.0), out, psi=1.0, device=CPU)
    return saved.portraits[0]["portrait"]


def test_film_of_a_portrait_file(portrait, tiny_model, tmp_path):
    out = tmp_path / "a.mp4"
    made = film(portrait, cameras.orbit(3), out, fps=30, size=None, model=None, device=CPU)
    assert made.model.samefile(tiny_model)
    assert (made.video, made.width, made.height) == (out, 96, 32)
    assert out.read_bytes()[4:8] == b"ftyp"


def test_film_of_an_interpolation_goes_there_and_back(tiny_model, tmp_path):
    label = cameras.label(0.0, 0.0)
    saved = save_portraits(tiny_model, [0, 1], label, tmp_path / "p", psi=1.0, device=CPU)
    first, second = (row["portrait"] for row in saved.portraits)
    out = tmp_path / "frames"
    options = {"fps": 30, "size": None, "model": None, "device": CPU}
    made = film_interpolation(first, second, ["hair", "skin"], out, frames=6, **options)
    assert (made.width, made.height) == (96, 32)
    shown = [np.asarray(Image.open(out / f"frame{i:04d}.png"), int) for i in range(6)]
    for there, back in ((1, 5), (2, 4)):
        assert np.abs(shown[there] - shown[back])[:, :32].max() <= 1
    distances = [np.abs(shown[i] - shown[0])[:, :32].mean() for i in range(4)]
    assert distances == sorted(distances)
    assert distances[3] > distances[1] > 0
    with pytest.raises(SsganError, match="no part"):
        film_interpolation(first, second, ["hare"], out, frames=6, **options)


@pytest.mark.parametrize("size", [0, 15, 33, 4098])
def test_impossible_sizes_are_refused(portrait, tmp_path, size):
    with pytest.raises(SsganError, match="even"):
        film(portrait, cameras.orbit(1), tmp_path / "a.mp4", fps=30, size=size, model=None, device=CPU)


@pytest.mark.parametrize(("name", "word"), [("a.avi", "avi"), ("folder.mp4", "is a folder")])
def test_impossible_targets_are_refused(portrait, tmp_path, name, word):
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(SsganError, match=word):
        film(portrait, cameras.orbit(1), tmp_path / name, fps=30, size=None, model=None, device=CPU)

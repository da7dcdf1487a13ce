import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssgan_core.cameras import label
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.heads import synth
from ssgan_core.heads.latent import latent_parameters
from ssgan_core.heads.render import SyntheticView
from ssgan_core.heads.sampler import ACCESSORIES, sample_identity
from ssgan_core.heads.synth import synthesise


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def die(seed: int, size: int, job: tuple[int, int]) -> tuple[np.ndarray, SyntheticView]:
    """Stands in for the renderer: every job but the first kills its process."""
    if job != (0, 0):
        os._exit(9)
    empty = np.zeros((size, size), np.uint8)
    return label(0, 0), SyntheticView(np.zeros((size, size, 3), np.uint8), empty, empty.astype(np.float32))


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path):
    synthesise(tmp_path / "one", count=4, size=16, seed=5, views=2, workers=1)
    synthesise(tmp_path / "two", count=4, size=16, seed=5, views=2, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_device_writes_the_same_data_set_but_for_rounding(tmp_path: Path):
    """`cpu:0` is the CPU to torch, and not the kernels' `cpu`."""
    options = {"count": 3, "size": 32, "seed": 2, "views": 2}
    synthesise(tmp_path / "kernels", **options)
    for workers in (1, 2):
        report = synthesise(tmp_path / str(workers), **options, workers=workers, device="cpu:0")
        assert (report.written, report.kept) == (6, 0)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    data, other = (PortraitDataset.open(tmp_path / name) for name in ("kernels", "2"))
    assert list(data.names) == list(other.names)
    assert (data.labels == other.labels).all()
    for i in range(len(data)):
        assert data.meta(i) == other.meta(i)
        assert (data.mask(i) == other.mask(i)).mean() >= 0.998
        assert (np.abs(data.image(i).astype(int) - other.image(i)) <= 2).mean() >= 0.995


def test_a_device_goes_on_in_the_middle_of_an_identity(tmp_path: Path):
    synthesise(tmp_path, count=1, size=16, views=2, device="cpu:0")
    report = synthesise(tmp_path, count=2, size=16, views=3, device="cpu:0")
    assert (report.written, report.kept) == (4, 2)


def test_workers_import_no_torch():
    """Each would take half a gigabyte and seconds to start."""
    code = "import sys, ssgan_core.heads.synth; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_second_run_redoes_nothing_and_a_larger_count_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made: list[tuple[int, int]] = []
    render = synth._render

    def counted(seed: int, size: int, job: tuple[int, int]) -> tuple[np.ndarray, SyntheticView]:
        made.append(job)
        return render(seed, size, job)

    monkeypatch.setattr(synth, "_render", counted)
    reports = [synthesise(tmp_path / "grown", count=count, size=16) for count in (2, 2, 3)]
    assert [(report.written, report.kept) for report in reports] == [(2, 0), (0, 2), (1, 2)]
    assert made == [(0, 0), (1, 0), (2, 0)]
    assert [report.beyond for report in reports] == [0, 0, 0]
    fewer = synthesise(tmp_path / "grown", count=1, size=16)
    assert (fewer.written, fewer.kept, fewer.beyond) == (0, 1, 2)
    synthesise(tmp_path / "whole", count=3, size=16)
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")


def test_the_data_set_holds_truth(tmp_path: Path):
    seen: list[tuple[int, int]] = []
    report = synthesise(
        tmp_path,
        count=2,
        size=16,
        seed=1,
        views=2,
        progress=lambda done, total, note="": seen.append((done, total)),
    )
    data = PortraitDataset.open(tmp_path)
    assert list(data.names) == [
        "00000/head00000000_0",
        "00000/head00000000_1",
        "00000/head00000001_0",
        "00000/head00000001_1",
    ]
    assert data.has_depth
    meta = data.meta(3)
    assert (meta["identity"], meta["view"], meta["seed"]) == (1, 1, 1)
    assert meta["parameters"] == pytest.approx(latent_parameters(sample_identity(1, 1)).tolist(), abs=1e-4)
    assert data.labels[3] == pytest.approx(label(meta["yaw"], meta["pitch"]), abs=1e-5)
    assert not np.allclose(data.labels[2], data.labels[3])
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    with Image.open(report.contact_sheet) as sheet:
        assert sheet.size == (4 * 16, 2 * 16)


def test_another_seed_is_refused_even_after_a_kill(tmp_path: Path):
    synthesise(tmp_path, count=1, size=16, seed=1)
    (tmp_path / "dataset.json").unlink()
    with pytest.raises(SsganError, match="seed 1"):
        synthesise(tmp_path, count=2, size=16, seed=2)


def test_a_dead_worker_is_reported_and_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(synth, "_render", die)
    with pytest.raises(SsganError, match="worker process died"):
        synthesise(tmp_path, count=3, size=16, workers=2)
    monkeypatch.undo()
    assert synthesise(tmp_path, count=2, size=16).kept == 1


@pytest.mark.parametrize("accessory", ACCESSORIES)
def test_wearers_are_the_same_people_as_in_the_whole_population(tmp_path: Path, accessory: str):
    synthesise(tmp_path / "some", count=2, size=32, wearing=accessory)
    some = PortraitDataset.open(tmp_path / "some")
    people = [some.meta(i)["identity"] for i in range(len(some))]
    rest = set(range(people[-1])) - set(people)
    assert all(getattr(sample_identity(0, index), accessory) for index in people)
    assert not any(getattr(sample_identity(0, index), accessory) for index in rest)
    whole = synthesise(tmp_path / "some", count=people[-1] + 1, size=32)
    assert (whole.kept, whole.written) == (2, people[-1] - 1)


def test_nobody_wears_what_there_is_not(tmp_path: Path):
    with pytest.raises(SsganError, match="wearing must be one of glasses, hat, earrings, got 'cloak'"):
        synthesise(tmp_path / "none", count=1, size=16, wearing="cloak")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("option", [{"count": 0}, {"size": 8}, {"views": 0}, {"workers": 0}, {"seed": -1}])
def test_impossible_options_are_named(tmp_path: Path, option: dict[str, int]):
    with pytest.raises(SsganError, match=next(iter(option))):
        synthesise(tmp_path, **({"count": 1, "size": 16} | option))  # pyright: ignore[reportArgumentType]


def test_a_contact_sheet_with_a_short_last_row(tmp_path: Path):
    with Image.open(synthesise(tmp_path, count=9, size=16).contact_sheet) as sheet:
        assert sheet.size == (8 * 16, 4 * 16)

"""A stored data set as a source: which entries are shown, how often, and the same from any position and storage."""

import copy
import json
import os
from collections import Counter

import numpy as np
import pytest
import torch
from recipes import shuffled

from ssgan_core import cameras
from ssgan_core.config import DataOptions, config_from_json
from ssgan_core.dataset.options import write_options
from ssgan_core.dataset.packing import pack
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.parts import Part, PartSchema
from ssgan_core.training.data import Examples, StoredPortraits, stream
from ssgan_core.training.facts import gather_facts
from ssgan_core.training.opening import data_defaults, open_source
from ssgan_core.training.order import ShuffledOrder

SIZE = 16
DEGREES = (1, 1, -1, 2, -2, 12, -12, 23)  # bins of 5, 2 and 1 entries
BALANCED = (1, 1, 1, 1, 1, 2, 3, 4)  # up to 4 times
SIDED = PartSchema(
    (
        Part("background", ("background",), (0, 0, 0)),
        Part("skin", ("skin",), (9, 9, 9), 0.0, 0.1),
        Part("left", ("l_eye",), (1, 0, 0), 0.0, 0.1, mirror="right"),
        Part("right", ("r_eye",), (0, 1, 0), 0.0, 0.1, mirror="left"),
    )
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Entry i is grey 10 i, its left eye left of its right eye."""
    folder = tmp_path_factory.mktemp("data") / "ds"
    with DatasetWriter(folder, SIDED, SIZE) as writer:
        for i, degrees in enumerate(DEGREES):
            mask = np.ones((SIZE, SIZE), np.uint8)
            mask[4:6, 2:5], mask[4:6, 9:12], mask[:2] = 2, 3, 0
            image = np.full((SIZE, SIZE, 3), 10 * i, np.uint8)
            meta = {"blur": i, "duplicate_of": "00000/3" if i == 4 else None, "parameters": [float(i)]}
            depth = np.where(mask > 0, 2.5, 0).astype(np.float32)
            writer.add(f"00000/{i}", image, mask, cameras.label(np.deg2rad(degrees), 0.1), meta, depth)
    return folder


@pytest.fixture(scope="module")
def dataset(folder):
    return PortraitDataset.open(folder)


def recipe(**data):
    return config_from_json({"seed": 5, "training": {"batch": 4, "warmup_kimg": 1.0}, "data": data}, "test")


def shown(source, config, start, stop):
    """(entry, mirrored) of positions."""
    return [
        (int(index), bool(mirrored))
        for batch in source.batches(config, start, stop)
        for index, mirrored in zip(batch.indices, batch.mirrored, strict=True)
    ]


def test_an_epoch_shows_rare_views_more_often(dataset):
    source = StoredPortraits(dataset, DataOptions(balance_yaw=4))
    assert len(source) == 8
    both_ways, twice = (shown(source, recipe(mirror=mirror), 0, 28) for mirror in (True, False))
    assert Counter(both_ways) == {(i, way): BALANCED[i] for i in range(8) for way in (False, True)}
    assert Counter(twice) == {(i, False): 2 * BALANCED[i] for i in range(8)}
    assert Counter(entry for entry, _ in twice[:14]) == dict(enumerate(BALANCED))
    assert Counter(shown(source, recipe(), 28, 56)) == Counter(both_ways)
    assert shown(source, recipe(), 28, 56) != both_ways


def test_balanced_streams_are_the_same_from_any_position(dataset):
    straight = shown(StoredPortraits(dataset, DataOptions(balance_yaw=4)), recipe(), 0, 160)
    for start in (4, 28, 60, 112):
        source = StoredPortraits(dataset, DataOptions(balance_yaw=4))
        assert shown(source, recipe(), start, 160) == straight[start:]


def test_without_options_the_order_is_what_it_was(dataset):
    order = np.random.default_rng([5, 0]).permutation(16)
    expected = [(int(number % 8), bool(number >= 8)) for number in order]
    assert shown(StoredPortraits(dataset), recipe(), 0, 16) == expected


def test_cameras_and_statistics_are_drawn_as_examples_are_shown(dataset):
    plain, balanced = StoredPortraits(dataset), StoredPortraits(dataset, DataOptions(balance_yaw=4))
    np.testing.assert_array_equal(plain.labels, dataset.labels)
    yaw = np.rad2deg(cameras.angles(balanced.labels)[0])
    assert Counter(np.round(yaw).astype(int).tolist()) == {1: 2, -1: 1, 2: 1, -2: 1, 12: 2, -12: 3, 23: 4}
    count, sample = balanced.sample()
    greys = Counter(int(image[0, 0, 0]) // 10 for image, _, _ in sample)
    assert count == 14
    assert tuple(greys[i] for i in range(8)) == BALANCED
    facts = gather_facts(balanced, 8, mirror=True)
    assert len(facts.labels) == 14
    assert facts.image_spread > 0.05  # copies of an entry are not neighbours


def test_fingerprints_tell_what_is_shown(dataset):
    prints = {
        json.dumps(StoredPortraits(dataset, options).fingerprint())
        for options in (
            None, DataOptions(balance_yaw=2), DataOptions(balance_yaw=4), DataOptions(skip_duplicates=True),
            DataOptions(where={"blur": {"max": 3}}),
        )
    }  # fmt: skip
    assert len(prints) == 5
    same = StoredPortraits(dataset, DataOptions(mirror=False, where={"blur": {"min": 0}}))
    assert same.fingerprint() == StoredPortraits(dataset).fingerprint()


def test_chosen_entries_bring_their_own_parameters_and_cameras(dataset):
    source = StoredPortraits(dataset, DataOptions(skip_duplicates=True, where={"blur": {"min": 2}}))
    blurs = [2, 3, 5, 6, 7]
    assert len(source) == 5
    for batch in source.batches(recipe(), 0, 20):
        for i, index in enumerate(batch.indices.tolist()):
            assert batch.images[i, 0, 0, 0] == 10 * blurs[index]
            assert batch.parameters[i] == blurs[index]
            label = batch.labels[i].numpy()
            label = cameras.mirror_label(label) if batch.mirrored[i] else label
            np.testing.assert_allclose(label, dataset.labels[blurs[index]], atol=1e-6)


def test_mirroring_exchanges_left_and_right_parts(dataset):
    for batch in StoredPortraits(dataset).batches(recipe(), 0, 16):
        for mask, depth, mirrored in zip(batch.masks, batch.depths, batch.mirrored, strict=True):
            eyes = [torch.nonzero(mask == part)[:, 1].float().mean().item() for part in (2, 3)]
            assert eyes == ([5.0, 12.0] if mirrored else [3.0, 10.0])  # left stays left in the picture
            assert ((depth[0] > 0) == (mask > 0)).all()


# ------------------------------------------------------------------------------------------------- zips


class Watched(Examples):
    """Fails where a zip is read through what another process has opened: that goes wrong at random only."""

    def __getitem__(self, position):
        example = super().__getitem__(position)
        assert self.portraits.dataset._storage._opened[0] == os.getpid()
        return example


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_loader_workers_read_zips_like_folders(folder, tmp_path):
    pack(folder, tmp_path / "ds.zip")
    options = DataOptions(balance_yaw=4, skip_duplicates=True)
    plain = StoredPortraits(PortraitDataset.open(folder), options)
    packed = StoredPortraits(PortraitDataset.open(tmp_path / "ds.zip"), options)
    packed._cache = None  # every picture is read from the zip, which this process has open
    packed.read(0)
    assert packed.fingerprint() == plain.fingerprint()
    one = stream(shuffled(plain, 1, True), 4, 0, 200, workers=0)
    two = stream(Watched(packed, ShuffledOrder(packed.shown, 1, True)), 4, 0, 200, workers=2)
    for a, b in zip(one, two, strict=True):
        for name in ("images", "masks", "depths", "labels", "indices", "mirrored"):
            assert torch.equal(getattr(a, name), getattr(b, name)), name


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_what_is_wrong_with_a_zip_is_said_by_name_from_a_worker(folder, tmp_path):
    pack(folder, tmp_path / "ds.zip")
    content = (tmp_path / "ds.zip").read_bytes()
    place = content.index(b"images/00000/5.png") + 60
    (tmp_path / "ds.zip").write_bytes(content[:place] + b"xyz" + content[place + 3 :])
    source = StoredPortraits(PortraitDataset.open(tmp_path / "ds.zip"))
    with pytest.raises(Exception, match=r"ds\.zip/images/00000/5\.png"):
        list(stream(shuffled(source, 1, True), 4, 0, 16, workers=1))


# --------------------------------------------------------------------------------------------- opening


def test_sources_are_opened_with_options(folder, tmp_path):
    assert data_defaults(str(folder)) == {}
    pack(folder, tmp_path / "ds.zip")
    source = open_source(str(tmp_path / "ds.zip"), 8, DataOptions(where={"blur": {"max": 2}}))
    assert (len(source), source.resolution) == (3, 8)
    assert len(open_source(str(folder), 16)) == 8
    with pytest.raises(SsganError, match="there is no data set at"):
        data_defaults(str(tmp_path / "missing"))


def test_streams_have_no_entries_to_choose_from(monkeypatch):
    assert data_defaults("synth:heads=3") == {}
    for options in (DataOptions(where={"seed": 1}), DataOptions(balance_yaw=2), DataOptions(balance_parts=2)):
        with pytest.raises(SsganError, match="need a stored data set"):
            open_source("synth:heads=3", 16, options)
    opened = lambda spec, size, ranks: (spec.heads, size)  # noqa: E731
    monkeypatch.setattr("ssgan_core.training.streaming.source.StreamedPortraits", opened)
    assert open_source("synth:heads=3", 16, DataOptions(skip_duplicates=True)) == (3, 16)


def test_options_of_a_data_set_reach_its_training(folder, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from ssgan_cli.app import app

    def run(*arguments):
        settings = ["--config", "smoke_cpu", "--set", "model.resolution=16", "--set", "model.render_resolution=8",
                    "--device", "cpu", "--dry-run"]  # fmt: skip
        return CliRunner().invoke(app, ["train", str(folder), *settings, *arguments])

    assert "8 portraits" in run().stdout
    write_options(folder, skip_duplicates=True, where={"blur": {"max": 5}})
    try:
        assert "5 portraits" in run().stdout
        assert "7 portraits" in run("--set", "data.where={}").stdout
        wrong = run("--set", "data.where.blurr.max=3")
    finally:
        (folder / "options.json").unlink()
    assert wrong.exit_code == 1
    assert "blurr" in wrong.stderr
    assert "did you mean 'blur'?" in wrong.stderr


def by_head(dataset, **training):
    """A source whose entries 2 i and 2 i + 1 show one person, and a recipe that shows persons in succession."""
    rows = [{**dataset.meta(i), "seed": 0, "identity": i // 2} for i in range(len(dataset))]
    dataset = copy.copy(dataset)
    dataset.meta = rows.__getitem__
    settings = {"batch": 4, "warmup_kimg": 0.03, "warmup_views": 2, **training}
    return StoredPortraits(dataset), config_from_json({"seed": 5, "training": settings}, "test")


def test_warm_up_shows_views_of_a_head_in_succession(dataset):
    source, config = by_head(dataset)
    straight = shown(source, config, 0, 48)
    pairs = [tuple(sorted(straight[i : i + 2])) for i in range(0, 16, 2)]
    assert set(pairs) == {((i, way), (i + 1, way)) for i in range(0, 8, 2) for way in (False, True)}
    assert len({straight[i] < straight[i + 1] for i in range(0, 32, 2)}) == 2  # in either order
    shuffled_again = shown(StoredPortraits(dataset), recipe(), 32, 48)  # 30 images are 8 batches of 4
    assert straight[32:] == shuffled_again
    for start in (4, 28, 32, 36):
        assert shown(source, config, start, 48) == straight[start:]


def test_the_game_shows_views_in_succession_while_it_reconstructs(dataset):
    source, config = by_head(dataset)
    _, game = by_head(dataset, warmup_kimg=0.0, truth_kimg=0.03)
    assert shown(source, game, 0, 48) == shown(source, config, 0, 48)


def test_a_head_with_few_views_repeats_them(dataset):
    source, config = by_head(dataset, warmup_views=4)
    first = shown(source, config, 0, 4)
    assert first[:2] == first[2:]
    assert len(set(first)) == 2

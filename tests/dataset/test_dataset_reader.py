"""The reader: folder and zip give the same, and nothing impossible comes in."""

import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ssgan_core import cameras
from ssgan_core.dataset.packing import pack
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import encode_png, save_png

SIZE, COUNT = 16, 6
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)
MASKS = RNG.integers(0, 13, (COUNT, SIZE, SIZE), dtype=np.uint8)
DEPTHS = RNG.uniform(2.3, 3.0, (COUNT, SIZE, SIZE)).astype(np.float32)
LABELS = cameras.label(np.linspace(-0.5, 0.5, COUNT), 0.1)
NAMES = tuple(f"00000/img{i:08}" for i in range(COUNT))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "ds"
    with DatasetWriter(folder, PORTRAIT, SIZE) as writer:
        for i in reversed(range(COUNT)):
            writer.add(NAMES[i], IMAGES[i], MASKS[i], LABELS[i], {"identity": i}, DEPTHS[i])
    return folder


@pytest.fixture
def folder(original, tmp_path):
    """A copy to damage."""
    return shutil.copytree(original, tmp_path / "ds [1] ä")


@pytest.fixture(params=["folder", "zip"])
def stored(request, original, tmp_path):
    if request.param == "folder":
        return original
    pack(original, tmp_path / "ds.zip")
    return tmp_path / "ds.zip"


def test_what_is_written_is_read(stored):
    dataset = PortraitDataset.open(stored)
    assert len(dataset) == COUNT
    assert dataset.names == NAMES
    assert dataset.schema == PORTRAIT
    assert dataset.resolution == SIZE
    assert dataset.has_depth
    assert dataset.labels.dtype == np.float32
    np.testing.assert_array_equal(dataset.labels, LABELS)
    for i in range(COUNT):
        np.testing.assert_array_equal(dataset.image(i), IMAGES[i])
        np.testing.assert_array_equal(dataset.mask(i), MASKS[i])
        np.testing.assert_allclose(dataset.depth(i), DEPTHS[i], atol=2e-5)
        assert dataset.meta(i) == {"identity": i}


def test_smaller_resolutions(stored):
    dataset = PortraitDataset.open(stored, resolution=4)
    boxes = IMAGES[2].reshape(4, 4, 4, 4, 3).astype(float)
    assert np.abs(dataset.image(2) - boxes.mean(axis=(1, 3))).max() <= 0.5
    assert dataset.image(2).dtype == dataset.mask(2).dtype == np.uint8
    np.testing.assert_allclose(dataset.depth(2), DEPTHS[2][2::4, 2::4], atol=2e-5)
    for row in range(4):
        for column in range(4):
            box = MASKS[2][4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            votes = np.bincount(box.ravel(), minlength=13)
            found = dataset.mask(2)[row, column]
            assert votes[found] == votes.max()
            if votes[box[2, 2]] == votes.max():
                assert found == box[2, 2]


@pytest.mark.parametrize("resolution", [0, -4, 3, 32])
def test_impossible_resolutions(original, resolution):
    with pytest.raises(SsganError, match=f"16 x 16 pixels, which {resolution} does not divide"):
        PortraitDataset.open(original, resolution)


def test_depth_may_be_missing(folder):
    (folder / "depth" / f"{NAMES[3]}.png").unlink()
    dataset = PortraitDataset.open(folder)
    assert not dataset.has_depth
    assert dataset.depth(3) is None
    assert dataset.depth(2) is not None
    (folder / "meta.jsonl").unlink()
    assert PortraitDataset.open(folder).meta(0) == {}


class Items(Dataset):
    """What a training loop would wrap around a data set."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return 40 * len(self.dataset)

    def __getitem__(self, index):
        i = index % len(self.dataset)
        return i, self.dataset.image(i), self.dataset.mask(i)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_that_fork_after_reading(stored):
    dataset = PortraitDataset.open(stored)
    dataset.image(0)  # the zip is open before the workers are born
    loader = DataLoader(Items(dataset), batch_size=8, num_workers=2, multiprocessing_context="fork")
    seen = 0
    for indices, images, masks in loader:
        np.testing.assert_array_equal(images.numpy(), IMAGES[indices.numpy()])
        np.testing.assert_array_equal(masks.numpy(), MASKS[indices.numpy()])
        seen += len(indices)
    assert seen == 40 * COUNT


def test_pickling_reopens(stored):
    dataset = PortraitDataset.open(stored, 8)
    dataset.image(0)
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy.image(1), dataset.image(1))
    np.testing.assert_array_equal(copy.labels, dataset.labels)


# ----------------------------------------------------------------------------------- damaged folders


def edit(path, change):
    value = json.loads(path.read_text())
    path.write_text(json.dumps(change(value)))


def test_missing_data_sets(tmp_path, folder):
    with pytest.raises(SsganError, match="there is no data set at") as caught:
        PortraitDataset.open(tmp_path / "missing")
    assert "ssgan preprocess" in caught.value.hint
    (folder / "dataset.json").unlink()
    with pytest.raises(SsganError, match=r"no finished data set: it has no dataset\.json") as caught:
        PortraitDataset.open(folder)
    assert "goes on" in caught.value.hint


def test_an_eg3d_data_set_has_no_masks(tmp_path):
    save_png(tmp_path / "00000" / "img00000000.png", IMAGES[0])
    rows = [["00000/img00000000.png", LABELS[0].tolist()]]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": rows}))
    with pytest.raises(SsganError, match="no part masks") as caught:
        PortraitDataset.open(tmp_path)
    assert "EG3D" in caught.value.hint


def test_lists_and_files_must_match(folder):
    (folder / "masks" / f"{NAMES[1]}.png").unlink()
    (folder / "masks" / f"{NAMES[4]}.png").unlink()
    with pytest.raises(
        SsganError, match=r"lacks 2 mask files of dataset\.json, such as masks/00000/img00000001"
    ):
        PortraitDataset.open(folder)
    (folder / "images" / f"{NAMES[0]}.png").unlink()
    with pytest.raises(SsganError, match="lacks 1 picture files"):
        PortraitDataset.open(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: [], "holds no labels"),
        (lambda table: {}, "holds no labels"),
        (lambda table: {"labels": None}, "holds no labels"),
        (lambda table: {"labels": []}, "holds no labels"),
        (lambda table: {"labels": [3]}, "not a pair"),
        (lambda table: {"labels": [["a.png"]]}, "not a pair"),
        (lambda table: {"labels": [[3, [0]]]}, "not a pair"),
        (lambda table: {"labels": [["a.jpg", LABELS[0].tolist()]]}, "'a.jpg' is not a PNG"),
        (lambda table: {"labels": table["labels"] * 2}, "twice"),
        (lambda table: {"labels": [["../../secret.png", LABELS[0].tolist()]]}, "not allowed"),
        (lambda table: {"labels": [["/etc/secret.png", LABELS[0].tolist()]]}, "not allowed"),
        (lambda table: {"labels": [[f"{NAMES[0]}.png", [0.0] * 25]]}, "img00000000.png: .*no rigid"),
        (lambda table: {"labels": [[f"{NAMES[0]}.png", None]]}, "img00000000.png: .*25 numbers"),
    ],
)
def test_impossible_labels(folder, change, message):
    edit(folder / "dataset.json", change)
    with pytest.raises(SsganError, match=message):
        PortraitDataset.open(folder)


def test_json_that_is_none(folder):
    (folder / "dataset.json").write_text("{")
    with pytest.raises(SsganError, match=r"dataset\.json is not valid JSON"):
        PortraitDataset.open(folder)
    (folder / "parts.json").write_text("[1]")
    with pytest.raises(SsganError, match="part schema"):
        PortraitDataset.open(folder)


def test_ids_that_the_schema_lacks(folder):
    save_png(folder / "masks" / f"{NAMES[2]}.png", MASKS[2] + 6)
    dataset = PortraitDataset.open(folder)
    with pytest.raises(SsganError, match=r"img00000002\.png has the id 18, but parts\.json ends at 12"):
        dataset.mask(2)
    edit(folder / "parts.json", lambda rows: rows[:7])
    with pytest.raises(SsganError, match=r"parts\.json ends at 6"):
        PortraitDataset.open(folder).mask(0)


def test_pictures_of_another_size(folder):
    save_png(folder / "images" / f"{NAMES[2]}.png", IMAGES[2][:8, :8])
    save_png(folder / "masks" / f"{NAMES[3]}.png", MASKS[3][:8])
    dataset = PortraitDataset.open(folder)
    with pytest.raises(SsganError, match=r"img00000002\.png has 8 x 8 pixels, but the data set has 16 x 16"):
        dataset.image(2)
    with pytest.raises(SsganError, match=r"img00000003\.png has 16 x 8 pixels"):
        dataset.mask(3)
    save_png(folder / "images" / f"{NAMES[0]}.png", IMAGES[0][:8])
    with pytest.raises(SsganError, match="not square: 16 x 8"):
        PortraitDataset.open(folder)


@pytest.mark.parametrize(
    "damage", [lambda content: b"", lambda content: content[:60], lambda content: b"x" * 99]
)
def test_broken_pictures_are_named(folder, damage):
    dataset = PortraitDataset.open(folder)
    for kind, read in (("images", dataset.image), ("masks", dataset.mask), ("depth", dataset.depth)):
        path = folder / kind / f"{NAMES[1]}.png"
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(SsganError, match=rf"{kind}/00000/img00000001\.png"):
            read(1)
        path.unlink()
        with pytest.raises(SsganError, match=rf"{kind}/00000/img00000001\.png: No such file"):
            read(1)


def test_colours_are_no_mask(folder):
    save_png(folder / "masks" / f"{NAMES[0]}.png", IMAGES[0])
    with pytest.raises(SsganError, match="no label map"):
        PortraitDataset.open(folder).mask(0)


# --------------------------------------------------------------------------------------- hostile zips


@pytest.fixture
def members(original):
    files = [path for path in sorted(original.rglob("*")) if path.is_file()]
    return {path.relative_to(original).as_posix(): path.read_bytes() for path in files}


def zipped(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return path


@pytest.mark.parametrize("name", ["../evil.png", "images/../../evil.png", "/etc/evil", "a\\..\\b", "C:/evil"])
def test_members_that_lead_out_of_a_zip(tmp_path, members, name):
    path = zipped(tmp_path / "x.zip", {**members, name: b"x"})
    with pytest.raises(SsganError, match="would lead out of it"):
        PortraitDataset.open(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.zip"]


def test_compressed_zips_are_read(tmp_path, members):
    path = zipped(tmp_path / "x.zip", members, zipfile.ZIP_DEFLATED)
    np.testing.assert_array_equal(PortraitDataset.open(path).image(1), IMAGES[1])
    path = zipped(tmp_path / "y.zip", members, zipfile.ZIP_LZMA)
    with pytest.raises(SsganError, match="compressed in an unusual way"):
        PortraitDataset.open(path)


def test_bombs_in_zips(tmp_path, members):
    bomb = b" " * (20 << 20)
    path = zipped(tmp_path / "x.zip", {**members, "dataset.json": bomb}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(SsganError, match="would unpack to 20971520 bytes, as bombs do"):
        PortraitDataset.open(path)


def test_oversize_members(tmp_path, members, monkeypatch):
    monkeypatch.setattr("ssgan_core.dataset.reader._PICTURE_LIMIT", 500)
    dataset = PortraitDataset.open(zipped(tmp_path / "x.zip", {**members, f"images/{NAMES[0]}.png": _tiny()}))
    with pytest.raises(SsganError, match=r"img00000001\.png is larger than 500 bytes"):
        dataset.image(1)


def test_oversize_files(folder, monkeypatch):
    dataset = PortraitDataset.open(folder)
    monkeypatch.setattr("ssgan_core.dataset.reader._PICTURE_LIMIT", 500)
    with pytest.raises(SsganError, match=r"img00000001\.png is larger than 500 bytes"):
        dataset.image(1)


def _tiny():
    return encode_png(np.zeros((SIZE, SIZE, 3), np.uint8))


def test_decompression_bombs_among_pictures(folder):
    path = folder / "images" / f"{NAMES[1]}.png"
    Image.new("1", (5000, 5000)).save(path)
    with pytest.raises(SsganError, match=r"img00000001\.png has 5000 x 5000 pixels"):
        PortraitDataset.open(folder).image(1)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_name_twice(tmp_path, members):
    path = zipped(tmp_path / "x.zip", members)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("dataset.json", b"{}")
    with pytest.raises(SsganError, match=r"'dataset\.json' twice"):
        PortraitDataset.open(path)


def test_encrypted_zips(tmp_path, members):
    path = zipped(tmp_path / "x.zip", members)
    content = bytearray(path.read_bytes())
    first = content.index(b"PK\x01\x02")
    content[first + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(SsganError, match="encrypted"):
        PortraitDataset.open(path)


def test_broken_zips(tmp_path, members):
    path = zipped(tmp_path / "x.zip", members)
    content = path.read_bytes()
    for broken in (b"", b"PK", content[: len(content) // 2], content[:-30], b"x" * 1000):
        path.write_bytes(broken)
        with pytest.raises(SsganError, match="as a zip"):
            PortraitDataset.open(path)


def test_flipped_bits_in_zips_never_give_wrong_data(tmp_path, members):
    path = zipped(tmp_path / "x.zip", members)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for place in [*rng.integers(0, len(content), 150), *rng.integers(len(content) - 1500, len(content), 100)]:
        broken = bytearray(content)
        broken[place] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(broken)
        try:
            dataset = PortraitDataset.open(path)
            for i in range(len(dataset)):
                np.testing.assert_array_equal(dataset.image(i), IMAGES[i])
                np.testing.assert_array_equal(dataset.mask(i), MASKS[i])
                dataset.depth(i)
        except SsganError:
            refused += 1
    assert refused > 150

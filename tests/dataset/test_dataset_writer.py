"""The writer: complete entries only, whatever stops it, and the same data set after going on."""

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from ssgan_core import cameras
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT, PartSchema

SIZE = 8


def entry(seed, depth=True):
    """What `add` takes after the name."""
    rng = np.random.default_rng(seed)
    z_cam = rng.uniform(2.3, 3, (SIZE, SIZE)).astype(np.float32) if depth else None
    return (
        rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
        rng.integers(0, 13, (SIZE, SIZE), dtype=np.uint8),
        cameras.label(0.1 * seed, 0.05),
        {"identity": seed, "source": f"photo {seed}.jpg"},
        z_cam,
    )


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_layout_on_disk(tmp_path):
    with DatasetWriter(tmp_path / "ds", PORTRAIT, SIZE) as writer:
        writer.add("00000/b", *entry(1))
        writer.add("00000/a", *entry(2, depth=False))
        assert writer.has("00000/a")
        assert not writer.has("00000/c")
        assert len(writer) == 2
    assert sorted(content(tmp_path / "ds")) == [
        "dataset.json", "depth/00000/b.png", "images/00000/a.png", "images/00000/b.png", "images/dataset.json",
        "masks/00000/a.png", "masks/00000/b.png", "meta.jsonl", "parts.json",
    ]  # fmt: skip
    labels = json.loads((tmp_path / "ds" / "dataset.json").read_text())["labels"]
    assert [row[0] for row in labels] == ["00000/a.png", "00000/b.png"]
    np.testing.assert_array_equal(np.float32(labels[1][1]), cameras.label(0.1, 0.05))
    assert PartSchema.from_json(json.loads((tmp_path / "ds" / "parts.json").read_text())) == PORTRAIT
    lines = [json.loads(line) for line in (tmp_path / "ds" / "meta.jsonl").read_text().splitlines()]
    assert [(line["name"], line["meta"]["identity"], line["depth"]) for line in lines] == [
        ("00000/b", 1, True),
        ("00000/a", 2, False),
    ]


def test_going_on_gives_the_same_data_set(tmp_path):
    with DatasetWriter(tmp_path / "straight", PORTRAIT, SIZE) as writer:
        for seed in range(4):
            writer.add(f"00000/{seed}", *entry(seed))
    with pytest.raises(KeyboardInterrupt):
        _write_two_and_stop(tmp_path / "resumed")
    assert not (tmp_path / "resumed" / "dataset.json").exists()
    with DatasetWriter(tmp_path / "resumed", PORTRAIT, SIZE) as writer:
        assert [writer.has(f"00000/{seed}") for seed in range(4)] == [True, True, False, False]
        for seed in (2, 3):
            writer.add(f"00000/{seed}", *entry(seed))
    assert content(tmp_path / "resumed") == content(tmp_path / "straight")


def _write_two_and_stop(folder):
    with DatasetWriter(folder, PORTRAIT, SIZE) as writer:
        writer.add("00000/0", *entry(0))
        writer.add("00000/1", *entry(1))
        raise KeyboardInterrupt


def test_two_writers_of_one_folder_would_mix_their_entries(tmp_path, monkeypatch):
    monkeypatch.setattr("ssgan_core.files._PATIENCE", 0.1)
    with DatasetWriter(tmp_path, PORTRAIT, SIZE) as writer:
        (tmp_path / ".ssgan-tmp-being-written").touch()
        with pytest.raises(SsganError, match="another process is writing"):
            DatasetWriter(tmp_path, PORTRAIT, SIZE)
        assert (tmp_path / ".ssgan-tmp-being-written").exists()
        writer.add("a", *entry(0))
    with pytest.raises(SsganError, match="was begun with 8 x 8"):
        DatasetWriter(tmp_path, PORTRAIT, 2 * SIZE)
    with DatasetWriter(tmp_path, PORTRAIT, SIZE) as writer:
        assert len(writer) == 1


def test_a_torn_line_and_stray_files_of_a_kill_are_dropped(tmp_path):
    with DatasetWriter(tmp_path, PORTRAIT, SIZE) as writer:
        writer.add("00000/a", *entry(1))
    whole = content(tmp_path)
    with (tmp_path / "meta.jsonl").open("ab") as journal:
        journal.write(whole["meta.jsonl"].replace(b"00000/a", b"00000/b")[:-20])
    (tmp_path / "images" / "00000" / ".ssgan-tmp-x.png").write_bytes(b"half")
    (tmp_path / ".ssgan-tmp-y.json").write_bytes(b"half")
    with DatasetWriter(tmp_path, PORTRAIT, SIZE) as writer:
        assert not writer.has("00000/b")
        assert content(tmp_path) == whole
        writer.add("00000/b", *entry(2))
    assert PortraitDataset.open(tmp_path).names == ("00000/a", "00000/b")


def test_a_damaged_journal_is_reported(tmp_path):
    with DatasetWriter(tmp_path, PORTRAIT, SIZE) as writer:
        writer.add("a", *entry(1))
    line = (tmp_path / "meta.jsonl").read_text()
    for damage, message in [
        (line.replace("{", "", 1), "line 1 is not valid JSON"),
        ("[]\n" + line, "line 1 is not an entry"),
        (line + '{"name": "../x"}\n', r"line 2: the entry name '\.\./x' is not allowed"),
        (line + '{"meta": {}}\n', "line 2: an entry has the impossible name"),
        (line + '{"name": "b"}\n', "b: a camera label has 25 numbers"),
    ]:
        (tmp_path / "meta.jsonl").write_text(damage)
        with pytest.raises(SsganError, match=message):
            DatasetWriter(tmp_path, PORTRAIT, SIZE)


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with pytest.raises(SsganError, match=r"not empty and no data set: it holds 'thesis\.tex'"):
        DatasetWriter(tmp_path / "thesis", PORTRAIT, SIZE)
    assert list(content(tmp_path)) == ["thesis/thesis.tex"]
    (tmp_path / "file").touch()
    with pytest.raises(SsganError, match="cannot write"):
        DatasetWriter(tmp_path / "file", PORTRAIT, SIZE)


def test_another_schema_or_resolution_is_refused(tmp_path):
    with DatasetWriter(tmp_path, PORTRAIT, SIZE) as writer:
        writer.add("a", *entry(1))
    before = content(tmp_path)
    with pytest.raises(SsganError, match="8 x 8 pixels, not 16"):
        DatasetWriter(tmp_path, PORTRAIT, 16)
    with pytest.raises(SsganError, match="another part schema"):
        DatasetWriter(tmp_path, PartSchema(PORTRAIT.parts[:5]), SIZE)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "../a",
        "a/../b",
        "a//b",
        "a/",
        ".",
        "a\\b",
        "C:/a",
        "a\0",
        "a\n",
        "a\udcff",
        "a*",
        "x" * 500,
        " /a",
    ],
)
def test_names_that_lead_elsewhere(tmp_path, name):
    with DatasetWriter(tmp_path / "ds", PORTRAIT, SIZE) as writer:
        with pytest.raises(SsganError, match="name"):
            writer.add(name, *entry(1))
        writer.add("ä [1]/b c", *entry(1))
    assert [path.name for path in tmp_path.iterdir()] == ["ds"]
    assert PortraitDataset.open(tmp_path / "ds").names == ("ä [1]/b c",)


def test_impossible_entries_leave_nothing(tmp_path):
    image, mask, label, meta, depth = entry(1)
    with DatasetWriter(tmp_path, PORTRAIT, SIZE) as writer:
        with pytest.raises(SsganError, match="a: the mask has the id 13, but the schema ends at 12"):
            writer.add("a", image, mask + 1, label, meta)
        with pytest.raises(SsganError, match=r"a: .*no rigid"):
            writer.add("a", image, mask, np.zeros(25), meta)
        for wrong in (
            (image[:4], mask, label, meta, depth),
            (image.astype(float), mask, label, meta, depth),
            (image, mask.astype(np.int64), label, meta, depth),
            (image, mask, label, meta, depth[:4]),
        ):
            with pytest.raises(ValueError, match=r"^a: expected"):
                writer.add("a", *wrong)
        assert sorted(content(tmp_path)) == ["meta.jsonl", "parts.json"]
        writer.add("a", image, mask, label, meta, depth)
        with pytest.raises(ValueError, match="already"):
            writer.add("a", image, mask, label, meta, depth)


def test_source_names_that_are_no_unicode(tmp_path):
    image, mask, label, _, _ = entry(1)
    source = os.fsdecode(b"photo-\xff.jpg")
    with DatasetWriter(tmp_path, PORTRAIT, SIZE) as writer:
        writer.add("a", image, mask, label, {"source": source})
    assert PortraitDataset.open(tmp_path).meta(0) == {"source": source}


def test_columns_can_be_set_later(tmp_path):
    with DatasetWriter(tmp_path, PORTRAIT, SIZE) as writer:
        writer.add("b", *entry(1))
        writer.add("a", *entry(2))
        assert dict(writer.metas())["a"] == {"identity": 2, "source": "photo 2.jpg"}
        writer.annotate({"a": {"duplicate_of": "b", "identity": 7}, "b": {"duplicate_of": None}})
        assert dict(writer.metas())["a"] == {"identity": 7, "source": "photo 2.jpg", "duplicate_of": "b"}
        journal = (tmp_path / "meta.jsonl").stat()
        writer.annotate({"a": {"duplicate_of": "b"}})
        assert (tmp_path / "meta.jsonl").stat().st_ino == journal.st_ino  # nothing new: left alone
        writer.add("c", *entry(3))  # into the new journal
    data = PortraitDataset.open(tmp_path)
    assert [data.meta(i).get("duplicate_of", "unknown") for i in range(3)] == ["b", None, "unknown"]
    with DatasetWriter(tmp_path, PORTRAIT, SIZE) as writer:
        assert [name for name, _ in writer.metas()] == ["b", "a", "c"]
        np.testing.assert_array_equal(data.labels[1], entry(1)[2])


WRITE_AND_KILL = """
import os, pathlib, random, signal, sys, time
import numpy as np
from ssgan_core import cameras
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.parts import PORTRAIT

folder = pathlib.Path(sys.argv[1])
image, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)

def write_forever():
    with DatasetWriter(folder, PORTRAIT, 8) as writer:
        number = len(writer)
        while True:
            label = cameras.label(0, 0)
            writer.add(f"{number:05}", image + number % 256, mask + number % 13, label, {"n": number})
            number += 1

def size():
    return (folder / "meta.jsonl").stat().st_size if (folder / "meta.jsonl").exists() else 0

moments = random.Random(0)
for _ in range(12):
    begun, child = size(), os.fork()
    if child == 0:
        write_forever()
    while size() == begun:
        time.sleep(0.001)
    time.sleep(moments.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with DatasetWriter(folder, PORTRAIT, 8):
        pass
    dataset = PortraitDataset.open(folder)
    assert dataset.names == tuple(f"{i:05}" for i in range(len(dataset))), dataset.names
    for i in range(len(dataset)):
        assert (dataset.image(i) == i % 256).all() and (dataset.mask(i) == i % 13).all()
        assert dataset.meta(i) == {"n": i}
    assert not list(folder.rglob(".ssgan-tmp-*"))
print("kills survived")
"""


def test_a_kill_at_any_moment_loses_at_most_one_entry(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WRITE_AND_KILL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "kills survived\n", done.stderr


FILL_JOURNAL = """
import pathlib, sys
import numpy as np
from ssgan_core import cameras
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT

writer = DatasetWriter(pathlib.Path(sys.argv[1]), PORTRAIT, 8)
image, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
for number in range(100):
    try:
        writer.add(f"{number:05}", image, mask, cameras.label(0, 0), {"long": "x" * 500})
    except SsganError as error:
        print(number, error.message)
        break
writer.close()
"""


def test_a_full_disk_never_tears_the_journal(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FILL_JOURNAL, str(tmp_path)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000)),
        check=True,
    )
    number, message = done.stdout.split(" ", 1)
    assert int(number) > 2
    assert message.startswith("cannot write")
    assert (tmp_path / "meta.jsonl").read_bytes().endswith(b"\n")
    with DatasetWriter(tmp_path, PORTRAIT, SIZE) as writer:
        assert len(writer) == int(number)
        assert not writer.has(f"{int(number):05}")


def test_the_images_folder_alone_is_a_data_set_as_eg3d_reads_it(tmp_path):
    with DatasetWriter(tmp_path / "d", PORTRAIT, 8) as writer:
        picture, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
        writer.add("00000/a", picture, mask, cameras.label(0.1, 0.0), {}, np.full((8, 8), 2.5, np.float32))
    images = tmp_path / "d" / "images"
    # What EG3D's loader does: all pictures below the folder, and their labels from dataset.json in it.
    found = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    labels = dict(json.loads((images / "dataset.json").read_text())["labels"])
    assert found == ["00000/a.png"] == sorted(labels)
    assert len(labels["00000/a.png"]) == 25

"""Duplicates: what a hash survives, who is told apart, and that the quick search misses nothing."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ssgan_core import cameras
from ssgan_core.errors import SsganError
from ssgan_core.heads.render import render_portrait
from ssgan_core.heads.sampler import sample_identity
from ssgan_core.preparation import duplicates
from ssgan_core.preparation.duplicates import (
    RADIUS,
    Duplicate,
    Fingerprint,
    columns,
    find_duplicates,
    mark,
    mirrored_hash,
    photo_digest,
    picture_hash,
)

PHOTO = Path(__file__).parent / "pictures" / "collins.jpg"


def through_jpeg(picture, quality):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def resized(picture, side):
    return np.array(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def mirror(picture):
    return np.ascontiguousarray(picture[:, ::-1])


VARIANTS = {
    "png": lambda picture: picture.copy(),
    "jpeg": lambda picture: through_jpeg(picture, 30),
    "half": lambda picture: resized(picture, len(picture) // 2),
    "larger": lambda picture: resized(picture, 3 * len(picture) // 2),
    "both": lambda picture: through_jpeg(resized(picture, len(picture) // 2), 50),
    "darker": lambda picture: (picture * 0.7).astype(np.uint8),
}


@pytest.fixture(scope="module")
def portraits():
    """A photo's middle, and five heads from one and the same camera.

    Of 128 pixels, as the photo: of 64, halved and as JPEG of quality 50, five heads of 40 leave the radius.
    """
    photo = np.array(Image.open(PHOTO).convert("RGB"))
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    heads = [render_portrait(sample_identity(0, i), cameras.label(0.1, 0.0), 128).image for i in range(5)]
    return [resized(photo[top : top + side, left : left + side], 128), *heads]


def differing(one, other):
    return int((one != other).sum())


# ------------------------------------------------------------------------------------------------ hashes


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_picture_stays_within_the_radius(portraits, variant):
    for picture in portraits:
        other = VARIANTS[variant](picture)
        assert differing(picture_hash(picture), picture_hash(other)) <= RADIUS
        assert differing(mirrored_hash(picture_hash(picture)), picture_hash(mirror(other))) <= RADIUS


def test_different_people_are_far_apart(portraits):
    hashes = [picture_hash(picture) for picture in portraits]
    for place, one in enumerate(hashes):
        for other in hashes[:place]:
            assert differing(one, other) > 2 * RADIUS
            assert differing(mirrored_hash(one), other) > 2 * RADIUS
        assert differing(one, mirrored_hash(one)) == 128


@given(st.integers(0, 2**32), st.integers(33, 90))
@settings(max_examples=30, deadline=None)
def test_the_mirrored_hash_is_the_hash_of_the_mirror_image(seed, side):
    picture = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    expected, found = mirrored_hash(picture_hash(picture)), picture_hash(mirror(picture))
    assert differing(expected, found) == 0
    assert (mirrored_hash(expected) == picture_hash(picture)).all()


def test_pictures_without_contrast_have_the_empty_hash():
    for level in (0, 130, 255):
        assert not picture_hash(np.full((40, 40, 3), level, np.uint8)).any()


# ------------------------------------------------------------------------------------------------ search


def plainly(prints):
    """The definition, without any index."""
    kept, found = [], {}
    for one in sorted(prints, key=lambda entry: entry.name):
        matches = []
        for other in kept:
            straight = differing(one.picture, other.picture)
            turned = differing(mirrored_hash(one.picture), other.picture)
            if straight <= RADIUS and one.file == other.file:
                matches.append((0, straight, other.name, "same file"))
            elif straight <= RADIUS:
                matches.append((1, straight, other.name, "same picture"))
            if turned <= RADIUS:
                matches.append((2, turned, other.name, "mirrored"))
        if matches:
            _, _, name, relation = min(matches)
            found[one.name] = Duplicate(name, relation)
        else:
            kept.append(one)
    return found


@given(data=st.data(), block=st.sampled_from([1, 2, 5, 512]))
@settings(max_examples=60, deadline=None)
def test_the_search_finds_what_the_definition_says(data, block):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    pool = [rng.random(256) < 0.5 for _ in range(data.draw(st.integers(1, 3)))]
    for _ in range(data.draw(st.integers(0, 22))):  # wander off from what is there
        picture = pool[data.draw(st.integers(0, len(pool) - 1))].copy()
        wrong = data.draw(st.sampled_from([0, 1, 11, RADIUS - 1, RADIUS, RADIUS + 1, 40]))
        picture[rng.choice(256, wrong, replace=False)] ^= True
        pool.append(mirrored_hash(picture) if data.draw(st.booleans()) else picture)
    prints = [
        Fingerprint(f"{name:03d}", data.draw(st.sampled_from("abc")), picture)
        for name, picture in zip(rng.permutation(len(pool)), pool, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_BLOCK", block)
        patch.setattr(duplicates, "_PAIRS", 3)
        found = find_duplicates(prints)
    assert found == plainly(prints)
    assert find_duplicates(reversed(prints)) == found
    assert not {duplicate.of for duplicate in found.values()} & found.keys()  # who is kept is no duplicate


@pytest.mark.parametrize(("wrong", "is_one"), [(RADIUS, True), (RADIUS + 1, False)])
def test_the_radius_is_exact_however_the_bits_lie(wrong, is_one, monkeypatch):
    """Also where every band but one is wrong twice, which is what an index of bands finds last."""
    monkeypatch.setattr(duplicates, "_BLOCK", 1)
    first = np.random.default_rng(0).random(256) < 0.5
    for spared in range(12):
        bands = duplicates._BITS_OF_BANDS[spared:] + duplicates._BITS_OF_BANDS[:spared]
        bits = np.concatenate([band[-2:] for band in bands])[:wrong]
        other = first.copy()
        other[bits] ^= True
        for picture, relation in ((other, "same picture"), (mirrored_hash(other), "mirrored")):
            found = find_duplicates([Fingerprint("a", "1", first), Fingerprint("b", "2", picture)])
            assert found == ({"b": Duplicate("a", relation)} if is_one else {})


def test_two_faces_of_one_file_are_two_portraits():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 256)) < 0.5
    prints = [Fingerprint("a", "file", one), Fingerprint("b", "file", other), Fingerprint("c", "file", other)]
    assert find_duplicates(prints) == {"c": Duplicate("b", "same file")}


def test_chains_do_not_become_one_group():
    first = np.random.default_rng(0).random(256) < 0.5
    steps = np.arange(256) < 20 * np.arange(4)[:, None]
    prints = [Fingerprint(name, name, first ^ step) for name, step in zip("abcd", steps, strict=True)]
    assert find_duplicates(prints) == {
        "b": Duplicate("a", "same picture"),
        "d": Duplicate("c", "same picture"),
    }


def test_many_entries_take_no_quadratic_time():
    count, planted = 20_000, 300
    rng = np.random.default_rng(0)
    hashes = rng.random((count, 256)) < 0.5
    copies = hashes[:planted].copy()
    copies[:, 100:112] ^= True
    prints = [Fingerprint(f"{i:06d}", str(i), picture) for i, picture in enumerate([*hashes, *copies])]
    started = time.process_time()
    found = find_duplicates(prints)
    assert time.process_time() - started < 30  # 1 s; all 200 million pairs would take minutes
    assert found == {f"{count + i:06d}": Duplicate(f"{i:06d}", "same picture") for i in range(planted)}


def test_nothing_and_names_given_twice():
    assert find_duplicates([]) == {}
    entry = Fingerprint("a", "1", np.zeros(256, bool))
    with pytest.raises(ValueError, match="different names"):
        find_duplicates([entry, entry])


# ----------------------------------------------------------------------------------------------- columns


def test_columns_and_marks_of_files(tmp_path, portraits):
    photo, head = portraits[0], portraits[1]
    pictures = {
        "b original.png": photo, "a head.png": head, "c copy.png": photo, "d small.jpg": resized(photo, 64),
        "e mirrored.png": mirror(photo),
    }  # fmt: skip
    rows = []
    for name, picture in pictures.items():
        path = tmp_path / name
        Image.fromarray(picture).save(path)
        rows.append((name, {"source": name, **columns(photo_digest(path), picture)}))
    assert all(len(meta["sha256"]) == len(meta["phash"]) == 64 for _, meta in rows)
    assert mark([*rows, ("z synthetic", {"identity": 3})]) == {
        "a head.png": {"duplicate_of": None, "relation": None},
        "b original.png": {"duplicate_of": None, "relation": None},
        "c copy.png": {"duplicate_of": "b original.png", "relation": "same file"},
        "d small.jpg": {"duplicate_of": "b original.png", "relation": "same picture"},
        "e mirrored.png": {"duplicate_of": "b original.png", "relation": "mirrored"},
    }


@pytest.mark.parametrize("damage", [{"phash": "x" * 64}, {"phash": "ab"}, {"sha256": 7}, {"phash": None}])
def test_malformed_columns_are_named(damage):
    row = {"sha256": "0" * 64, "phash": "1" * 64, **damage}
    with pytest.raises(SsganError, match=f"entry broken: its {next(iter(damage))} is not 64 hexadecimal"):
        mark([("fine", {"sha256": "0" * 64, "phash": "1" * 64}), ("broken", row)])


def test_photos_that_are_gone(tmp_path):
    with pytest.raises(SsganError, match=r"cannot read .*gone"):
        photo_digest(tmp_path / "gone.jpg")

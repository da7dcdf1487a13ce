"""What a model is compared with: sets that share no person, pairs, digests; camera estimates; Inception weights."""

import pickle
import sys
import types

import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.evaluation import inception
from ssgan_core.evaluation.camera_accuracy import LEAST_SIDE, face_estimator
from ssgan_core.evaluation.selection import select, similar_views, turned_views
from ssgan_core.evaluation.sources import RealPortraits, batch_size
from ssgan_core.parts import PORTRAIT

PEOPLE, VIEWS = 24, 2


def write(folder, metas, yaws, size=16, brightness=0):
    """A data set of plain pictures."""
    with DatasetWriter(folder, PORTRAIT, size) as writer:
        for index, (meta, yaw) in enumerate(zip(metas, yaws, strict=True)):
            image = np.full((size, size, 3), index + brightness, np.uint8)
            writer.add(f"{index:04d}", image, np.ones((size, size), np.uint8), cameras.label(yaw, 0.0), meta)
        writer.finish()
    return PortraitDataset.open(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two views of each of 24 persons, 0.3 radians apart; the last four persons are seen from the side."""
    metas = [{"seed": 0, "identity": i // VIEWS, "view": i % VIEWS} for i in range(PEOPLE * VIEWS)]
    yaws = [(0.01 * (i // 2) - 0.1) + (0.15 if i % 2 else -0.15) + (i >= 40) for i in range(PEOPLE * VIEWS)]
    return write(tmp_path_factory.mktemp("data") / "two views", metas, yaws)


def owners(data, indices):
    return {data.person(int(index)) for index in indices}


def test_sets_share_no_person_and_stay_in_range(data):
    chosen = select(data, 100, 0.4, 0.2, seed=0)
    assert (chosen.in_range, chosen.people) == (40, 20)
    assert len(chosen) == len(chosen.reference) == len(chosen.held) == 20
    assert not owners(data, chosen.reference) & owners(data, chosen.held)
    assert (np.abs(cameras.angles(data.labels[chosen.reference])[0]) <= 0.4).all()
    assert len(set(chosen.reference) | set(chosen.held)) == 40
    assert len(chosen.repeated) == VIEWS
    assert len(owners(data, chosen.held[chosen.repeated])) == 1


def test_selection_follows_its_seed_and_count(data):
    first, again, other = (select(data, 10, 0.4, 0.2, seed) for seed in (0, 0, 1))
    assert len(first) == 10
    assert np.array_equal(first.reference, again.reference)
    assert np.array_equal(first.held, again.held)
    assert not np.array_equal(first.reference, other.reference)


def test_too_few_portraits_are_refused(data):
    with pytest.raises(SsganError, match="too few portraits") as caught:
        select(data, 100, 0.05, 0.2, seed=0)
    assert "8" in caught.value.hint


def test_entries_without_identity_are_persons_of_their_own(tmp_path):
    data = write(tmp_path / "photos", [{}] * 20, [0.0] * 20)
    chosen = select(data, 100, 0.4, 0.2, seed=0)
    assert chosen.people == 20
    assert len(chosen) == 10
    assert len(chosen.repeated) == 1


def test_similar_views_are_of_other_persons(data):
    indices = np.arange(40)
    pairs = similar_views(data, indices, 12)
    assert len(pairs) == 12
    yaw, _ = cameras.angles(data.labels)
    for first, second in pairs:
        assert data.person(first) != data.person(second)
        assert abs(yaw[first] - yaw[second]) < 0.011
    assert similar_views(data, np.array([0, 1]), 12) == []


def test_turned_views_are_of_one_person(data):
    pairs = turned_views(data, np.arange(40), 0.3, 15)
    assert len(pairs) == 15
    assert all(data.person(first) == data.person(second) for first, second in pairs)
    assert turned_views(data, np.arange(40), 0.7, 15) == []


def test_the_digest_tells_pixels_apart(tmp_path):
    digests = []
    for number, brightness in enumerate((0, 0, 1)):
        real = RealPortraits(write(tmp_path / str(number), [{}] * 3, [0.0] * 3, brightness=brightness))
        view = real.views([0, 2])[1]
        assert view.image.max() == 2 + brightness
        assert (view.depth == 0).all()
        digests.append(real.digest())
        real.views([2])
        assert real.digest() == digests[-1]
    assert digests[0] == digests[1] != digests[2]


def test_batches_shrink_with_the_picture():
    assert [batch_size(size) for size in (64, 256, 512, 4096)] == [32, 32, 8, 1]


# --------------------------------------------------------------------------------- camera estimates


def test_the_estimator_enlarges_pictures_and_says_where_no_face_is(monkeypatch):
    from ssgan_core.preparation import faces, pose
    from ssgan_core.preparation.mesh import canonical_mesh

    class Finder:
        def __init__(self, weights_dir=None):
            pass

        def __call__(self, photo):
            if photo.max() == 0:
                raise SsganError("no face was found")
            sides.append(len(photo))
            points = pose.project(canonical_mesh().points, cameras.label(0.2, -0.1)) * len(photo)
            return faces.Face(np.zeros(4), np.column_stack([points, points[:, 0] * 0]), 1.0, 0)

    sides: list[int] = []
    monkeypatch.setattr(faces, "FaceFinder", Finder)
    estimate = face_estimator()
    for size in (64, 512):
        assert estimate(np.full((size, size, 3), 9, np.uint8)) == pytest.approx([0.2, -0.1], abs=0.01)
    assert sides == [LEAST_SIDE, 512]
    assert estimate(np.zeros((64, 64, 3), np.uint8)) is None


def test_without_opencv_there_is_no_estimator(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SsganError, match="cannot be estimated: cv2"):
        face_estimator()


# ---------------------------------------------------------------------------------------- Inception


class Canary:
    """Leaves a mark if anyone unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def pictures(count, brightness=0):
    return inception.Pictures(count, lambda index: np.full((8, 8, 3), index + brightness, np.uint8))


def test_weights_are_read_without_executing_anything(tmp_path):
    good, bad, plain = tmp_path / "good.pth", tmp_path / "bad.pth", tmp_path / "plain.pkl"
    torch.save({"a": torch.ones(2)}, good)
    assert inception.read_weights(good)["a"].tolist() == [1, 1]
    torch.save({"a": Canary(str(tmp_path / "mark"))}, bad)
    plain.write_bytes(pickle.dumps(Canary(str(tmp_path / "mark"))))
    for path in (bad, plain):
        with pytest.raises(SsganError, match="no Inception weights"):
            inception.read_weights(path)
    assert not (tmp_path / "mark").exists()
    for content in (b"", b"PK\x03\x04junk", good.read_bytes()[:50]):
        plain.write_bytes(content)
        with pytest.raises(SsganError, match="no Inception weights"):
            inception.read_weights(plain)
    torch.save([torch.ones(2)], good)
    with pytest.raises(SsganError, match="no plain dictionary"):
        inception.read_weights(good)
    with pytest.raises(SsganError, match="there are no Inception weights"):
        inception.read_weights(tmp_path / "none.pth")


def test_weights_are_found_in_torch_home(tmp_path, monkeypatch):
    monkeypatch.delenv("TORCH_HOME", raising=False)
    assert inception.find_weights(None) is None
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert inception.find_weights(None) is None
    kept = tmp_path / "hub" / "checkpoints" / inception.WEIGHTS_NAME
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"weights")
    assert inception.find_weights(None) == kept
    assert inception.find_weights(tmp_path / "mine.pth") == tmp_path / "mine.pth"


def test_torch_fidelity_is_asked_with_a_clean_copy(tmp_path, monkeypatch):
    calls = []

    def calculate_metrics(**options):
        path = options["feature_extractor_weights_path"]
        assert torch.load(path, weights_only=True)["a"].tolist() == [1, 1]
        calls.append(options)
        return {
            "frechet_inception_distance": 3.0,
            "kernel_inception_distance_mean": 0.002,
            "precision": 0.5,
            "recall": 0.25,
        }

    monkeypatch.setitem(
        sys.modules, "torch_fidelity", types.SimpleNamespace(calculate_metrics=calculate_metrics)
    )
    weights = tmp_path / "mine.pth"
    torch.save({"a": torch.ones(2)}, weights)
    found = inception.inception_metrics(
        weights, pictures(12), pictures(12, 100), pictures(12, 200), torch.device("cpu")
    )
    assert (
        found["model"] == found["floor"] == {"fid": 3.0, "kid_x1000": 2.0, "precision": 0.5, "recall": 0.25}
    )
    assert len(found["weights_sha256"]) == 64
    assert [call["input1"][1].max() for call in calls] == [1, 201]
    assert all(
        call["input2"][1].max() == 101 for call in calls
    )  # the reference comes second: precision is of 1
    assert calls[0]["kid_subset_size"] == 12
    assert calls[0]["feature_extractor_weights_path"] != str(weights)
    assert not calls[0]["cuda"]


def test_without_torch_fidelity_the_error_says_how(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(SsganError, match="needs torch-fidelity") as caught:
        inception.require_torch_fidelity()
    assert "ssgan[inception]" in caught.value.hint

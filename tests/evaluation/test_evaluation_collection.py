"""Portraits larger than the common side are also looked at there, as portraits of that side are."""

import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.evaluation.collection import Collection
from ssgan_core.evaluation.sets import Sets, compare_appearance
from ssgan_core.parsing.parser import FaceParser
from ssgan_core.parts import PORTRAIT
from ssgan_core.synthesis import View


def portraits(seed, side=128):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, side // 16, side // 16, 3)).astype(np.uint8)
    images = coarse.repeat(16, axis=1).repeat(16, axis=2)
    return [
        View(image, np.ones((side, side), np.uint8), np.zeros((side, side), np.float32)) for image in images
    ]


def halved(views):
    return [View(view.image[::2, ::2], view.mask[::2, ::2], view.depth[::2, ::2]) for view in views]


@pytest.fixture(scope="module")
def collected():
    parser, labels = FaceParser.load(), np.repeat(cameras.label(0.0, 0.0)[None], 6, 0)

    def collect(views, sides, seed, blurred=0.0):
        collection = Collection(parser, PORTRAIT, 6, seed, sides, blurred=blurred)
        collection.add(views, labels)
        return collection

    def sets(change, sides):
        return Sets(
            collect(change(portraits(0)), sides, 0),
            collect(change(portraits(1)), sides, 1, blurred=2.0),
            collect(change(portraits(2)), sides, 2),
        )

    return sets(lambda views: views, (64, 128)), sets(halved, (64,))


def test_the_common_side_shows_what_smaller_portraits_show(collected):
    large, small = collected
    # Every second pixel of blocks of 16 is what their average is, too.
    alone = np.zeros(1, int)
    there, alike = (compare_appearance(sets, 64, alone, 0) for sets in (large, small))
    assert there["side"] == 64
    for figure in ("fpd", "coverage", "sliced_wasserstein"):
        assert there[figure] == pytest.approx(alike[figure], rel=1e-4, abs=1e-6)
    own = compare_appearance(large, 128, alone, 0)
    assert own["fpd"]["blurred"] != pytest.approx(there["fpd"]["blurred"], rel=0.05)
    assert torch.equal(large.samples.features, torch.from_numpy(large.samples.looks(128).features))

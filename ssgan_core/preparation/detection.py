"""Finds the faces of a photo at all scales: BlazeFace looks for traces of them, then closely at each.

The photo is searched level by level, coarse to fine. A level is scanned in blocks; wherever the network scores, a
tile of its own input size is looked at, and the faces in it are looked at once more at the scale that the network
knows best, where that differs much. The last look decides: it gives box, keypoints and score, and what it does not
see is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ssgan_core.preparation.blazeface import (
    INPUT,
    SMALLEST,
    STEP,
    BlazeFace,
    FaceBox,
    Runs,
    overlap,
    overlap_of_smaller,
)
from ssgan_core.preparation.pyramid import Level, blocks, level_sides, levels, resized, window

SMALLEST_FACE = 40.0
"""Pixels of the photo from which faces are looked for by default."""

_TRACE = 0.5  # score of a scan from which a place is looked at
_SHARED = 48  # pixels that neighbouring blocks share: a face of 16 to 36 pixels is whole in one of them
_GLIMPSE = 64  # pixels of a level around a trace that are looked at: faces of 16 to 36 pixels fill them well
_SEEN = 12  # pixels from a trace within which others belong to the same look
_MOST_LOOKS = 400  # of a level: bounds the time for textures that look like faces everywhere
_GOOD_SHARE = (0.2, 0.6)  # of a tile's side, that a face fills: then a second look adds nothing
_BEST_SHARE = 0.35
_SAME = 0.3  # overlap from which boxes are one face
_WITHIN = 0.7  # share of a box inside a better one from which it is a part of that face
_SURE = 0.75  # score of a face whose inside is not searched again


class FaceDetector:
    """BlazeFace over the levels of a photo."""

    def __init__(self, weights_dir: Path | None = None, network: Runs | None = None) -> None:
        """Args: weights_dir: as in `weights.read`; network: instead of the real one, in tests."""
        self._net = BlazeFace(weights_dir, network)

    def search(self, photo: np.ndarray, smallest: float = SMALLEST_FACE) -> Iterator[list[FaceBox]]:
        """New faces of photo [H, W, 3], uint8 RGB, level by level, each list with the largest face first.

        Finer levels only find smaller faces: for the largest face, stop at the first level that has one.

        Args:
            photo: the photo.
            smallest: pixels of the longer side of the smallest boxes to look for; the time grows with its inverse
                square.
        """
        height, width = photo.shape[:2]
        sides = level_sides(width, height, smallest / SMALLEST * INPUT)
        known: list[FaceBox] = []
        for level in levels(photo, sides, INPUT):
            glimpses = self._glimpses(photo, level, known)
            found = [face for seen, side in glimpses if (face := self._confirmed(photo, seen, side))]
            fresh = [face for face in distinct(known + found) if not any(face is old for old in known)]
            known += fresh
            yield sorted(fresh, key=lambda face: -face.area)

    def search_all(self, photo: np.ndarray, smallest: float = SMALLEST_FACE) -> list[FaceBox]:
        """All faces of photo [H, W, 3], uint8 RGB, of at least `smallest` pixels, the largest first.

        Every box comes from a look at a scale that suits the face, so that of several levels' boxes for one face the
        best-scored one is kept.
        """
        found = [face for level in self.search(photo, smallest) for face in level]
        return sorted(distinct(found), key=lambda face: -face.area)

    def _glimpses(
        self, photo: np.ndarray, level: Level, known: list[FaceBox]
    ) -> Iterator[tuple[FaceBox, float]]:
        """Faces at traces of a level, in the photo's pixels, each with the side of the square that was looked at."""
        height, width = photo.shape[:2]
        if max(level.pixels.shape[:2]) <= INPUT:
            centres, side = np.array([[width / 2, height / 2]]), round(INPUT / level.scale)
        else:
            centres, side = self._traces(level, known) / level.scale, round(_GLIMPSE / level.scale)
        for centre in centres:
            for face in self._look(photo, centre, side):
                yield face, side

    def _look(self, photo: np.ndarray, centre: np.ndarray, side: int) -> list[FaceBox]:
        """Faces of a square of the photo, in the photo's pixels."""
        x, y = np.round(centre - side / 2).astype(int).tolist()
        tile = resized(window(photo, x, y, side, side), INPUT / side)
        return [face.moved(side / INPUT, np.array([x, y], float)) for face in self._net.faces(tile)]

    def _traces(self, level: Level, known: list[FaceBox]) -> np.ndarray:
        """Places x, y [N, 2] of a level to look at, the most promising first; not inside of known faces."""
        places, scores = [np.zeros((0, 2))], [np.zeros(0)]
        for block, x, y in blocks(level.pixels, INPUT, _SHARED, STEP):
            centres, found = self._net.scores(block)
            chosen = found >= _TRACE
            places.append(centres[chosen] + [x, y])
            scores.append(found[chosen])
        left = np.concatenate(places)[np.argsort(-np.concatenate(scores), kind="stable")]
        for face in known:
            if face.score >= _SURE:
                away = np.abs(left - face.centre * level.scale).max(axis=1)
                left = left[away > face.side * level.scale / 2]
        picked = []
        while len(left) and len(picked) < _MOST_LOOKS:
            picked.append(left[0])
            left = left[np.abs(left - left[0]).max(axis=1) > _SEEN]
        return np.array(picked).reshape(-1, 2)

    def _confirmed(self, photo: np.ndarray, face: FaceBox, side: float) -> FaceBox | None:
        """A face that was seen in a square of some side, as seen in the one that suits it, or None."""
        if face.score >= _SURE and _GOOD_SHARE[0] <= face.side / side <= _GOOD_SHARE[1]:
            return face
        seen = self._look(photo, face.centre, max(round(face.side / _BEST_SHARE), 1))
        if not seen:
            return None
        shared = overlap(face.box, np.stack([one.box for one in seen]))
        return seen[int(shared.argmax())] if shared.max() >= _SAME else None


def distinct(faces: list[FaceBox]) -> list[FaceBox]:
    """Without those that overlap a better-scored one much or lie within it."""
    kept: list[FaceBox] = []
    for face in sorted(faces, key=lambda face: -face.score):
        boxes = np.array([other.box for other in kept]).reshape(-1, 4)
        if not ((overlap(face.box, boxes) >= _SAME) | (overlap_of_smaller(face.box, boxes) >= _WITHIN)).any():
            kept.append(face)
    return kept

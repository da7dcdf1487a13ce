"""What becomes of one photo: an entry for each face that is wanted, a reason for each that is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import encode_mask, encode_png, read_draft, read_reduced
from ssgan_core.preparation import pose, quality
from ssgan_core.preparation.alignment import cut_labels, cut_photo, without_made_up
from ssgan_core.preparation.duplicates import columns, photo_digest
from ssgan_core.preparation.faces import Face, FindsFace, check, face_pixels
from ssgan_core.preparation.masks import MaskSource
from ssgan_core.preparation.mesh import five_points
from ssgan_core.preparation.parsers import ParsesFace
from ssgan_core.preparation.photos import MAX_PHOTO_PIXELS, WORKING_PIXELS, Photo
from ssgan_core.preparation.quality import Filtered, Filters

if TYPE_CHECKING:
    from ssgan_core.preparation.facexlib_nets import HeadPose

_LONGEST_SIDE = 16_000  # OpenCV's warps count pixels in 16 bits
_SMALLEST_KNOWN = 0.01  # share of the crop that the mask must mark as something
# Share of the crop that may lie outside the photo; of 1,000 real portraits one needs 0.27.
_MOST_PADDING = 0.28
_NAME = "the photo"  # in reasons
_DRAFT_PIXELS = 1 << 21
_FACE_OF_CROP = 0.78  # of the crop's side, more than a face is high: .61 to .76 in 160 real portraits
_PARSED = 256  # pixels a side that a parser is given at least


@dataclass(frozen=True)
class Recipe:
    """How photos become entries; one for all photos of a run.

    Attributes:
        size: side of the pictures, pixels.
        every_face: all faces of a photo instead of the largest.
        filters: what is asked of a face.
        masks: the masks that exist; None where the parts are parsed.
    """

    size: int
    every_face: bool
    filters: Filters
    masks: MaskSource | None


@dataclass(frozen=True)
class Entry:
    """What a data set stores of a face.

    Attributes:
        name: in the data set.
        image, mask: content of the two PNG files.
        label: [25].
        meta: the columns of meta.jsonl.
    """

    name: str
    image: bytes
    mask: bytes
    label: np.ndarray
    meta: dict[str, Any]


@dataclass(frozen=True)
class Skip:
    """Why there is no entry.

    Attributes:
        reason: details in brackets or after a colon at its end.
        face: number of the face; None where it concerns the whole photo, or its only wanted face.
        filtered: the face is fine, but the user's filters turn it away.
        box: x0, y0, x1, y1 of the face in the photo's pixels, where one was found.
    """

    reason: str
    face: int | None = None
    filtered: bool = False
    box: list[float] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one photo.

    Attributes:
        entries, skipped: of its faces.
        lasting: whether another attempt would end alike as long as the photo's file stays as it is.
    """

    entries: tuple[Entry, ...] = ()
    skipped: tuple[Skip, ...] = ()
    lasting: bool = True


@dataclass(frozen=True)
class Networks:
    """What one process prepares photos with; see `backends.Backends`."""

    find: FindsFace
    parse: ParsesFace | None = None
    estimate_pose: Callable[[np.ndarray], HeadPose] | None = None


def prepare_photo(photo: Photo, recipe: Recipe, networks: Networks) -> Outcome:
    """Read one photo, find its faces, solve, cut and parse them. What fails becomes a reason."""
    try:
        return _prepared(photo, recipe, networks)
    except MemoryError:
        return Outcome(skipped=(Skip("there is not enough memory for it"),), lasting=False)


def _prepared(photo: Photo, recipe: Recipe, networks: Networks) -> Outcome:
    find = networks.find
    faces: list[Face] | None = None
    try:
        if not recipe.every_face and (draft := _seen_in_draft(photo, find, recipe.size)):
            picture, shown, faces = draft
        else:
            picture, shown = read_reduced(photo.path, WORKING_PIXELS, MAX_PHOTO_PIXELS, _NAME)
    except SsganError as error:
        return Outcome(skipped=(Skip(error.message),), lasting=False)  # it may be a matter of permissions
    try:
        ids = recipe.masks.read(photo.path, photo.relative, *shown) if recipe.masks else None
    except SsganError as error:
        return Outcome(skipped=(Skip(error.message),), lasting=False)  # the mask may be mended
    try:
        if faces is None:
            picture = _bounded(picture)
            faces = find.every(picture) if recipe.every_face else [find(picture)]
    except SsganError as error:
        return Outcome(skipped=(Skip(error.message),))
    except cv2.error as error:
        return Outcome(skipped=(Skip(f"OpenCV failed ({error.err})"),))
    source = _Source(photo, picture, shown[0] / picture.shape[1], ids)
    entries, skipped = [], []
    for index, face in enumerate(faces):
        number = index if recipe.every_face else None
        box = _rounded(face.box * source.scale, 1)
        try:
            entries.append(_entry(source, face, number, recipe, networks))
        except SsganError as error:
            skipped.append(Skip(error.message, number, isinstance(error, Filtered), box))
        except cv2.error as error:
            skipped.append(Skip(f"OpenCV failed ({error.err})", number, box=box))
    return Outcome(tuple(entries), tuple(skipped), lasting=recipe.masks is None or not skipped)


def _seen_in_draft(
    photo: Photo, find: FindsFace, size: int
) -> tuple[np.ndarray, tuple[int, int], list[Face]] | None:
    """A large JPEG decoded quickly to fewer pixels, its displayed size, and its largest face with all its detail.

    That it has if the crop has at least as many pixels there as in the data set and for the measures. Otherwise
    None: small faces are looked for in all pixels.
    """
    draft = read_draft(photo.path, _DRAFT_PIXELS, MAX_PHOTO_PIXELS, _NAME)
    if draft is None or max(draft[0].shape[:2]) > _LONGEST_SIDE:
        return None
    try:
        face = find(draft[0])
    except (SsganError, cv2.error):
        return None
    if face_pixels(face.points) < _FACE_OF_CROP * max(size, quality.FINEST):
        return None
    return *draft, [face]


@dataclass(frozen=True)
class _Source:
    """A photo as it is worked on: pixels, how many of its own one of them spans, and ids, if given."""

    photo: Photo
    picture: np.ndarray
    scale: float
    ids: np.ndarray | None

    @cached_property
    def digest(self) -> str:
        """Of the photo's file, which is read once for all of its faces."""
        return photo_digest(self.photo.path)


def _entry(source: _Source, face: Face, number: int | None, recipe: Recipe, networks: Networks) -> Entry:
    """Raises SsganError with the reason to skip a face; the cheap reasons first."""
    picture, scale, size = source.picture, source.scale, recipe.size
    height, width = picture.shape[:2]
    if number is not None:
        check(face, width, height)  # the finder has checked the face that it chose itself
    view = pose.solve(face.points, face.correction)
    pose.check(view)
    yaw, pitch = (float(angle) for angle in np.rad2deg([view.yaw, view.pitch]))
    pixels = scale * face_pixels(face.points)
    recipe.filters.check_view(pixels, yaw)
    padding = view.crop.padding(width, height)
    if padding > _MOST_PADDING:
        raise SsganError(f"the photo's edge cuts the portrait off ({100 * padding:.0f} % would be made up)")
    look = quality.look(picture, view.crop, face.points)
    recipe.filters.check_look(look)
    image = cut_photo(picture, view.crop, size)
    if networks.estimate_pose:
        from ssgan_core.preparation.facexlib_nets import hopenet  # imports torch

        hopenet.check(networks.estimate_pose(image), view.yaw, view.pitch)
    if source.ids is not None:
        mask = cut_labels(source.ids, view.crop, size, width)
    else:
        assert networks.parse is not None
        mask = without_made_up(_parsed(networks.parse, picture, view, image), view.crop, width, height)
    if (mask > 0).mean() < _SMALLEST_KNOWN:
        raise SsganError("its mask is empty where the face is")
    covered = quality.occlusion(mask, view.crop.to_crop(face.points))
    recipe.filters.check_occlusion(covered)
    meta = {
        "source": source.photo.source,
        **({} if number is None else {"face": number}),
        "face_box": _rounded(face.box * scale, 1),
        "face_score": round(face.score, 3),
        "other_faces": face.others,
        "crop": {
            "centre": _rounded(np.array(view.crop.centre) * scale, 2),
            "side": round(view.crop.side * scale, 2),
            "angle_degrees": round(float(np.rad2deg(view.crop.angle)), 3),
        },
        "five_points": [_rounded(point, 4) for point in view.crop.to_crop(five_points(face.points)[:, :2])],
        "yaw_degrees": round(yaw, 3),
        "pitch_degrees": round(pitch, 3),
        "raw_radius": round(view.raw_radius, 4),
        "error": round(view.error, 5),
        "face_pixels": round(pixels, 1),
        "padding": round(padding, 4),
        "blur": round(look.blur, 6),
        "sharpness": round(look.sharpness, 1),
        "exposure": round(look.exposure, 4),
        "occlusion": round(covered, 4),
        **columns(source.digest, image),
    }
    name = source.photo.entry if number is None else source.photo.face_entry(number)
    return Entry(name, encode_png(image), encode_mask(mask, PORTRAIT), view.label, meta)


def _parsed(parse: ParsesFace, picture: np.ndarray, view: pose.View, image: np.ndarray) -> np.ndarray:
    """Part ids [R, R] of a crop `image` [R, R, 3]; small crops are parsed at a multiple of their size."""
    size = len(image)
    factor = -(-_PARSED // size)
    if factor == 1:
        return parse(image)
    ids = parse(cut_photo(picture, view.crop, size * factor))
    return np.ascontiguousarray(ids[factor // 2 :: factor, factor // 2 :: factor])


def _bounded(picture: np.ndarray) -> np.ndarray:
    longest = max(picture.shape[:2])
    if longest <= _LONGEST_SIDE:
        return picture
    factor = _LONGEST_SIDE / longest
    size = (max(round(picture.shape[1] * factor), 1), max(round(picture.shape[0] * factor), 1))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _rounded(values: np.ndarray, digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]

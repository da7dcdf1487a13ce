"""Clothes and accessories: they show, fit every body, and hide nothing that must be seen."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from ssgan_core import cameras
from ssgan_core.heads import raster
from ssgan_core.heads.bust import Bust, build_bust
from ssgan_core.heads.sampler import EARRINGS, GLASSES, HATS, NECKLINES, Identity, sample_identity, traits
from ssgan_core.heads.scene import Material, Surface
from ssgan_core.heads.template import EYE_PIECES, template
from ssgan_core.heads.wardrobe import dress

SIZE = 128
PEOPLE = range(3)
ITEMS = [
    *[("neckline", name) for name in NECKLINES],
    *[("glasses", name) for name in GLASSES[1:]],
    *[("hat", name) for name in HATS[1:]],
    *[("earrings", name) for name in EARRINGS[1:]],
]
CHOICES = {"neckline": NECKLINES, "glasses": GLASSES, "hat": HATS, "earrings": EARRINGS}
MATERIAL = {
    "neckline": Material.CLOTH,
    "glasses": Material.FRAME,
    "hat": Material.HAT,
    "earrings": Material.METAL,
}


@cache
def person(number: int) -> tuple[Identity, Bust]:
    identity = dataclasses.replace(sample_identity(5, number), glasses=0, hat=0, earrings=0)
    return identity, build_bust(identity)


def wearing(number: int, kind: str, name: str) -> tuple[Bust, list[Surface]]:
    identity, bust = person(number)
    return bust, dress(dataclasses.replace(identity, **{kind: CHOICES[kind].index(name)}), bust)


def surface(surfaces: list[Surface], material: Material) -> Surface:
    return next(s for s in surfaces if s.material == material)


def seen(bust: Bust, surfaces: list[Surface], yaw: float, pitch: float) -> tuple[np.ndarray, int]:
    """Numbers of triangles shown [SIZE, SIZE]: the body's first, then all surfaces' one after another."""
    pose, matrix = cameras.split_label(cameras.label(yaw, pitch))
    projection = raster.pinhole(pose, matrix, SIZE)
    nearness, shown = raster.empty_buffers(SIZE)
    body = np.ascontiguousarray(template().triangles)
    raster.rasterise(projection.project(np, bust.points), body, 0, True, nearness, shown)
    first = len(body)
    for s in surfaces:
        screen = projection.project(np, s.points)
        raster.rasterise(screen, s.triangles, first, not s.two_sided, nearness, shown)
        first += len(s.triangles)
    return shown, len(body)


@pytest.mark.parametrize(("kind", "name"), ITEMS)
def test_item_is_well_formed_and_shows(kind: str, name: str) -> None:
    for number in PEOPLE:
        bust, surfaces = wearing(number, kind, name)
        for s in surfaces:
            assert s.points.dtype == s.normals.dtype == s.chart.dtype == np.float32
            assert s.triangles.dtype == np.int32
            assert s.points.shape == s.normals.shape == s.chart.shape
            assert np.isfinite(s.points).all()
            assert np.isfinite(s.chart).all()
            assert np.abs(np.linalg.norm(s.normals, axis=1) - 1).max() < 1e-3
            assert s.triangles.min() >= 0
            assert s.triangles.max() < len(s.points)
            assert len(s.triangles) <= (12_000 if s.material == Material.CLOTH else 6_500)
        assert (surface(surfaces, Material.CLOTH).chart[:, 2] <= 1).all()
        assert (Material.LENS in {s.material for s in surfaces}) == (name == "sunglasses")
        item = surface(surfaces, MATERIAL[kind])
        shown, body = seen(bust, [item], 0.0, 0.0)
        assert (shown >= body).sum() >= (4 if kind == "earrings" else 80)


@pytest.mark.parametrize("name", [name for name in NECKLINES if name != "wide"])
def test_skin_does_not_show_through_clothes(name: str) -> None:
    mesh = template()
    middle = mesh.rest[mesh.triangles].mean(axis=1)
    covered = (np.abs(middle[:, 0]) > 1.0) | (middle[:, 1] < 4.6)
    for number in PEOPLE:
        bust, surfaces = wearing(number, "neckline", name)
        cloth = [surface(surfaces, Material.CLOTH)]
        for yaw, pitch in ((0.0, 0.0), (0.6, 0.35), (-0.6, 0.35), (0.6, -0.3)):
            shown, body = seen(bust, cloth, yaw, pitch)
            bare = shown[(shown >= 0) & (shown < body)]
            assert not covered[bare].any()


@pytest.mark.parametrize("name", NECKLINES)
def test_clothes_fill_the_frames_lower_edge(name: str) -> None:
    for number in PEOPLE:
        bust, surfaces = wearing(number, "neckline", name)
        for yaw in (0.0, 0.5):
            shown, body = seen(bust, [surface(surfaces, Material.CLOTH)], yaw, 0.1)
            assert (shown[-1] >= 0).mean() > 0.75
            assert (shown[-1] >= body).mean() > 0.15


def test_turtleneck_covers_more_neck_than_a_crew_neck() -> None:
    for number in PEOPLE:
        covered = []
        for name in ("turtleneck", "crew", "wide"):
            bust, surfaces = wearing(number, "neckline", name)
            shown, body = seen(bust, surfaces, 0.0, 0.0)
            covered.append(int((shown >= body).sum()))
        assert covered[0] > 1.15 * covered[1] > 1.15 * covered[2]


@pytest.mark.parametrize("name", GLASSES[1:])
def test_glasses_stand_before_eyes_and_skin(name: str) -> None:
    mesh = template()
    face = (mesh.masks["face"] > 0.5) & (np.abs(mesh.rest[:, 1] - 7.25) < 0.35) & (mesh.rest[:, 2] > 1.1)
    for number in PEOPLE:
        bust, surfaces = wearing(number, "glasses", name)
        frame = surface(surfaces, Material.FRAME).points[::3]
        for centre in bust.eye_centres:
            assert np.linalg.norm(frame - centre, axis=1).min() > 1.2 * bust.eye_radius
        # Rims and lenses lie in front of all skin that is right behind them.
        front = [frame[frame[:, 2] > bust.eye_centres[:, 2].max() + bust.eye_radius]]
        front += [s.points[::3] for s in surfaces if s.material == Material.LENS]
        skin = bust.points[face]
        for points in front:
            near = np.linalg.norm(points[:, None, :2] - skin[None, :, :2], axis=-1) < 0.003
            gap = points[:, None, 2] - skin[None, :, 2]
            assert gap[near].min() > -0.001
        # They sit on the nose: not far from it.
        nose = skin[(np.abs(skin[:, 0] - bust.eye_centres[:, 0].mean()) < 0.02)]
        assert np.linalg.norm(frame[:, None] - nose[None], axis=-1).min() < 0.02


def test_clear_glasses_leave_eyes_visible_and_sunglasses_hide_them() -> None:
    mesh = template()
    eyes = np.zeros(len(mesh.triangles), bool)
    for piece in EYE_PIECES:
        eyes[mesh.pieces[piece]] = True

    def visible(name: str) -> int:
        bust, surfaces = wearing(0, "glasses", name)
        surfaces = [surface for surface in surfaces if surface.material is not Material.CLEAR]
        shown, body = seen(bust, surfaces, 0.0, 0.0)
        return int(eyes[shown[(shown >= 0) & (shown < body)]].sum())

    bare = visible("none")
    assert visible("round") > 0.8 * bare
    assert visible("sunglasses") == 0


@pytest.mark.parametrize("name", HATS[1:])
def test_hats_clear_the_head_and_leave_eyes_free(name: str) -> None:
    mesh = template()
    eyes = np.zeros(len(mesh.triangles), bool)
    for piece in EYE_PIECES:
        eyes[mesh.pieces[piece]] = True
    for number in PEOPLE:
        bust, surfaces = wearing(number, "hat", name)
        hat = surface(surfaces, Material.HAT)
        distance, _ = bust.hull.distance(hat.points)
        assert distance.min() > 0.003
        assert np.quantile(distance, 0.1) > 0.008
        bare, body = seen(bust, [], 0.0, 0.2)
        shown, _ = seen(bust, [hat], 0.0, 0.2)
        was, still = (eyes[picture[(picture >= 0) & (picture < body)]].sum() for picture in (bare, shown))
        assert still == was
        # No scalp shows above the hat's edge.
        crown = mesh.rest[mesh.triangles].mean(axis=1)[:, 1] > 8.1
        assert not crown[shown[(shown >= 0) & (shown < body)]].any()


@pytest.mark.parametrize("name", EARRINGS[1:])
def test_earrings_hang_from_both_lobes(name: str) -> None:
    mesh = template()
    for number in PEOPLE:
        bust, surfaces = wearing(number, "earrings", name)
        metal = surface(surfaces, Material.METAL).points
        for side in (1, -1):
            ear = bust.points[(mesh.masks["ears"] > 0.5) & (side * mesh.rest[:, 0] > 0)]
            lobe = ear[ear[:, 1] < np.quantile(ear[:, 1], 0.12)]
            mine = metal[side * (metal[:, 0] - bust.eye_centres[:, 0].mean()) > 0]
            apart = np.linalg.norm(mine[:, None] - lobe[None], axis=-1).min()
            assert apart < 0.008
            assert mine[:, 1].min() < np.quantile(ear[:, 1], 0.3)


def test_the_same_identity_dresses_alike_twice_and_others_differ() -> None:
    identity, bust = person(1)
    identity = dataclasses.replace(identity, glasses=2, hat=3, earrings=2)
    first, second = dress(identity, bust), dress(identity, bust)
    assert [s.material for s in first] == [s.material for s in second]
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.points, b.points)
        assert np.array_equal(a.chart, b.chart)
    other = dress(dataclasses.replace(identity, index=identity.index + 1), bust)
    assert not np.array_equal(first[0].points, other[0].points)


def cut(number: int, kind: str, name: str, chance: int = 0, **cuts: float) -> tuple[Bust, list[Surface]]:
    """As `wearing`, cut by these shares and others of a half; `chance` rolls anew what numbers leave open."""
    identity, bust = person(number)
    shares = {spec.name: 0.5 for spec in traits() if "share" in spec.metadata} | cuts
    worn = {kind: CHOICES[kind].index(name), "index": identity.index + chance}
    return bust, dress(dataclasses.replace(identity, **shares, **worn), bust)


@pytest.mark.parametrize("name", NECKLINES)
def test_how_much_neck_shows_follows_from_the_numbers_of_the_cut(name: str) -> None:
    """A generator that is not told where cloth ends can only draw a blur there."""

    def bare(chance: int = 0, **cuts: float) -> int:
        shown, body = seen(*cut(0, "neckline", name, chance, **cuts), 0.0, 0.1)
        return int(((shown >= 0) & (shown < body)).sum())

    assert bare(collar_height=0.1) > bare() + 25 > bare(collar_height=0.9) + 50
    if name in ("crew", "v-neck", "shirt"):
        assert bare(neck_opening=0.1) < bare() - 10 < bare(neck_opening=0.9) - 20
    assert np.ptp([bare(chance) for chance in range(4)]) <= (40 if name == "hood" else 0)


@pytest.mark.parametrize(
    ("kind", "name", "number"),
    [
        *[("hat", name, "hat_height") for name in HATS[1:]],
        ("hat", "cap", "hat_curl"),
        ("hat", "brimmed", "hat_brim"),
        *[("glasses", name, "glasses_size") for name in GLASSES[1:]],
        ("glasses", "square", "glasses_thickness"),
        ("glasses", "sunglasses", "lens_shape"),
    ],
)
def test_outlines_of_hats_and_glasses_follow_from_the_numbers_of_their_cut(
    kind: str, name: str, number: str
) -> None:
    def covered(share: float, chance: int = 0) -> np.ndarray:
        bust, surfaces = cut(0, kind, name, chance, **{number: share})
        shown, body = seen(bust, [s for s in surfaces if s.material == MATERIAL[kind]], 0.3, 0.1)
        return shown >= body

    by_number = int((covered(0.1) != covered(0.9)).sum())
    by_chance = max(int((covered(0.1, chance) != covered(0.1)).sum()) for chance in (1, 2))
    assert by_number >= 8
    assert by_number > 2 * by_chance


def test_hoods_have_strings_unless_drawn_tight_and_shirts_are_buttoned_up_to_a_share() -> None:
    def triangles(name: str, share: float) -> int:
        return len(surface(cut(0, "neckline", name, neck_opening=share)[1], Material.CLOTH).triangles)

    assert triangles("hood", 0.2) == triangles("hood", 0.29) < triangles("hood", 0.31)

    def apart(share: float) -> float:
        """How far the ends of a collar stand apart, by what the widest gap in its front edge is."""
        cloth = surface(cut(0, "neckline", "shirt", neck_opening=share)[1], Material.CLOTH)
        collar = cloth.points[cloth.chart[:, 2] == 1.0]
        front = np.sort(collar[collar[:, 2] > np.quantile(collar[:, 2], 0.8), 0])
        return float(np.diff(front).max())

    assert apart(0.29) < 0.5 * apart(0.31)

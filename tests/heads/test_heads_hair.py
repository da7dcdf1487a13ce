"""Hair of synthetic portraits: where it grows, that it lies on the head, and what it must not cover."""

import dataclasses
from functools import cache

import numpy as np
import pytest

from ssgan_core.heads.bust import Bust, build_bust
from ssgan_core.heads.facial_hair import brow_line, lash_rows
from ssgan_core.heads.hair import beard_cover, grow_hair, scalp_cover
from ssgan_core.heads.hairstyles import HAT_BRIM, world_point
from ssgan_core.heads.sampler import BEARDS, HAIR_STYLES, Identity, sample_identity
from ssgan_core.heads.scene import Material, Strands
from ssgan_core.heads.strand_growth import distance_grid, heights
from ssgan_core.heads.template import template

COVERING = ("fringe", "bob", "long", "long-wavy", "curly", "afro")  # over the ears


def person(style: str = "short", index: int = 3, **changes: float) -> Identity:
    settings = {"hair_style": HAIR_STYLES.index(style), "hat": 0, "beard": 0, "blink": 0.0} | changes
    return dataclasses.replace(sample_identity(5, index), **settings)  # pyright: ignore[reportArgumentType]


@cache
def grown(identity: Identity) -> tuple[Bust, list[Strands]]:
    bust = build_bust(identity)
    return bust, grow_hair(identity, bust)


def of(identity: Identity, material: Material) -> list[Strands]:
    return [strands for strands in grown(identity)[1] if strands.material == material]


def test_the_same_identity_grows_the_same_hair() -> None:
    one = person("curly")
    first, second = grow_hair(one, build_bust(one)), grow_hair(one, build_bust(one))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.points, b.points)
        assert np.array_equal(a.tone, b.tone)
    other = grow_hair(dataclasses.replace(one, index=4), build_bust(one))
    assert not np.array_equal(first[0].points, other[0].points)


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_strands_are_well_formed_and_lie_on_the_body(style: str) -> None:
    one = person(style, age=0.9, female=0.1) if style == "bald" else person(style)
    bust, strands = grown(one)
    assert of(one, Material.HAIR)
    for each in strands:
        n, m = each.points.shape[:2]
        assert each.points.dtype == np.float32
        assert np.isfinite(each.points).all()
        assert each.widths.shape == (n, m)
        assert each.widths.min() > 0.0001
        assert each.widths.max() < 0.0025
        assert each.tone.shape == (n,)
        assert np.abs(each.tone).max() <= 1
        assert each.buried.shape == (n, m)
        assert each.buried.min() >= 0
        assert each.buried.max() <= 1
        assert np.allclose(np.linalg.norm(each.outward, axis=-1), 1, atol=1e-3)
        assert np.abs(each.points).max() < 0.95
    hair = np.concatenate([each.points[:, 3:].reshape(-1, 3) for each in of(one, Material.HAIR)])
    inside = heights(distance_grid(bust, ears=style in COVERING), hair) < -0.002
    assert inside.mean() < 0.004
    count = sum(len(each.points) for each in of(one, Material.HAIR))
    assert (2000 if style == "bald" else 4000) <= count <= 9000


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_eyes_and_mouth_stay_free(style: str) -> None:
    for index in (3, 8):
        one = person(style, index)
        bust, _ = grown(one)
        mouth = world_point(bust, 0.0, 6.62, 1.5)
        for each in of(one, Material.HAIR):
            # Seen from the camera 2.7 before the origin.
            depth = 2.7 - each.points[..., 2]
            seen = each.points[..., :2] * (2.7 / depth)[..., None]
            for place, size in [(bust.eye_centres[0], 0.032), (bust.eye_centres[1], 0.032), (mouth, 0.04)]:
                goal = place[:2] * 2.7 / (2.7 - place[2])
                far = np.abs((seen - goal) / np.array([size, 0.6 * size])).max(axis=-1)
                before = each.points[..., 2] > 0.0
                assert not ((far < 1) & before).any()


def test_the_crown_is_covered_and_the_face_is_bare() -> None:
    one = person("short", hairline=0.0)
    cover = scalp_cover(one, grown(one)[0])
    rest = template().rest
    assert cover.shape == (len(rest),)
    assert cover.dtype == np.float32
    assert cover[(rest[:, 1] > 8.3) & (rest[:, 2] < 0.8)].min() > 0.9
    assert cover[(rest[:, 1] < 7.6) & (rest[:, 2] > 0.95)].max() == 0
    assert cover[template().masks["ears"] > 0.5].max() == 0
    receding = dataclasses.replace(one, female=0.02, age=0.8)
    assert scalp_cover(receding, build_bust(receding)).sum() < cover.sum()


def test_hair_is_flat_under_a_hat() -> None:
    for style in ("short", "side-part", "long-wavy", "curly"):
        one = person(style, hat=1)
        bust, _ = grown(one)
        grid = distance_grid(bust, ears=style in COVERING)
        points = of(one, Material.HAIR)[0].points.reshape(-1, 3)
        under = points[points[:, 1] > world_point(bust, 0, HAT_BRIM, 0)[1]]
        assert len(under) > 1000
        assert heights(grid, under).max() < 0.020


def test_styles_differ_in_length() -> None:
    def lowest(style: str) -> float:
        return float(np.quantile(of(person(style), Material.HAIR)[0].points[..., 1], 0.02))

    assert lowest("long") < lowest("bob") < lowest("short")


def test_brows_follow_the_brow_ridge() -> None:
    one = person()
    bust, _ = grown(one)
    (brows,) = of(one, Material.BROW)
    roots = brows.points[:, 0]
    assert 250 <= len(roots) <= 1000
    left = roots[:, 0] > 0
    assert 0.4 < left.mean() < 0.6
    eyes = bust.eye_centres
    for side, eye in ((left, eyes[0]), (~left, eyes[1])):
        above = (roots[side, 1] - eye[1]) / bust.scale
        assert above.min() > 0.06
        assert above.max() < 0.45
        assert abs(roots[side, 0].mean() - eye[0]) < 0.03
    assert (roots[:, 2] > eyes[:, 2].mean() - 0.01).all()
    raised = dataclasses.replace(one, brow_raise=0.9)
    (higher,) = of(raised, Material.BROW)
    assert higher.points[:, 0, 1].mean() > roots[:, 1].mean() + 0.003


def test_brows_have_the_shape_that_is_asked_for() -> None:
    thin, thick = person(brow_thickness=0.6), person(brow_thickness=1.4)
    assert len(of(thin, Material.BROW)[0].points) < len(of(thick, Material.BROW)[0].points)
    flat, arched = brow_line(person(brow_arch=0.3))[1], brow_line(person(brow_arch=1.7))[1]
    assert np.ptp(arched) > np.ptp(flat)


def test_lashes_root_at_the_lids() -> None:
    one = person(lashes=0.5)
    bust, _ = grown(one)
    (lashes,) = of(one, Material.LASH)
    distance = np.linalg.norm(lashes.points[:, 0, None] - bust.eye_centres[None], axis=-1).min(axis=1)
    assert (distance > 0.85 * bust.eye_radius).all()
    assert (distance < 1.45 * bust.eye_radius).all()
    rest = template().rest
    for piece, sign in (("upper_lashes", 1), ("lower_lashes", -1)):
        margin, tips = lash_rows(piece)
        assert margin.shape == tips.shape
        assert (rest[tips, 2] > rest[margin, 2]).all()
        middle = margin.shape[1] // 2
        assert (sign * (rest[tips, 1] - rest[margin, 1])[:, middle] > 0).all()
    longer = of(person(lashes=1.0), Material.LASH)[0].points

    def reach(points: np.ndarray) -> float:
        return float(np.linalg.norm(points[:, -1] - points[:, 0], axis=-1).mean())

    assert reach(longer) > 1.2 * reach(lashes.points)


def test_beards_grow_where_they_should() -> None:
    rest = template().rest
    lips = template().masks["lips"] > 0.8
    for name in BEARDS[1:]:
        one = person(beard=BEARDS.index(name), beard_length=0.0 if name == "stubble" else 0.015, female=0.05)
        bust, _ = grown(one)
        (beard,) = of(one, Material.BEARD)
        assert 1000 <= len(beard.points) <= 6500
        cover = beard_cover(one, bust)
        assert cover[lips].max() == 0
        assert cover[rest[:, 1] > 7.4].max() == 0
        assert cover.max() > 0.3
        low = beard.points[:, 0, 1] < world_point(bust, 0, 6.5, 0)[1]
        assert low.mean() < 0.05 if name == "moustache" else low.mean() > 0.3
    assert beard_cover(person(female=0.95), build_bust(person(female=0.95))).max() == 0

import dataclasses
import hashlib

import numpy as np
import pytest

from ssgan_core.heads import template as template_module
from ssgan_core.heads.bust import build_bust, target_shares, vertex_normals
from ssgan_core.heads.sampler import Identity, sample_identity, traits
from ssgan_core.heads.template import EYE_PIECES, catmull_clark, template


def plain(**changes: float) -> Identity:
    """The mean head with a neutral face."""
    zeros = {spec.name: 0.0 for spec in traits() if "targets" in spec.metadata}
    still = dict.fromkeys(("jaw_open", "smile", "frown", "pucker", "squint", "blink", "brow_raise"), 0.0)
    middle = {"african": 0.3, "asian": 0.3, "female": 0.5, "age": 0.3, "weight": 0.5}
    turned = {"body_yaw": 0.0, "body_pitch": 0.0, "gaze_yaw": 0.0, "gaze_pitch": 0.0, "smirk": 0.0}
    return dataclasses.replace(sample_identity(0, 0), **(zeros | still | middle | turned | changes))


def mirror_of_vertices() -> np.ndarray:
    rest = template().rest.astype(np.float64)
    order = {tuple(key): i for i, key in enumerate(np.round(rest, 3).tolist())}
    return np.array([order.get(tuple(key), -1) for key in np.round(rest * [-1, 1, 1] + 0.0, 3).tolist()])


def grid_of_quads(n: int) -> tuple[np.ndarray, np.ndarray]:
    ys, xs = np.mgrid[0 : n + 1, 0 : n + 1]
    vertices = np.stack([xs, ys, 0 * xs], axis=-1).reshape(-1, 3).astype(np.float32)
    at = (ys[:-1, :-1] * (n + 1) + xs[:-1, :-1]).ravel()
    return vertices, np.stack([at, at + 1, at + n + 2, at + n + 1], axis=-1)


def subdivided(vertices: np.ndarray, quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    stencil, fine = catmull_clark(len(vertices), quads)
    return template_module._multiply(*stencil, vertices), fine


def test_the_pack_is_the_one_that_its_readme_names():
    digest = hashlib.sha256(template_module.PACK.read_bytes()).hexdigest()
    assert digest in (template_module.PACK.parent / "README.md").read_text()
    assert template_module.PACK.stat().st_size < 8 << 20


def test_a_flat_grid_stays_flat_and_keeps_its_outline():
    vertices, quads = grid_of_quads(3)
    fine, faces = subdivided(vertices, quads)
    assert len(faces) == 4 * len(quads)
    assert np.allclose(fine[:, 2], 0)
    assert fine[:, :2].min() == pytest.approx(0, abs=0.2)  # corners are rounded, edges stay
    assert fine[:, 0].max() == pytest.approx(3, abs=0.2)
    corners = fine[faces]
    sides = corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]
    area = np.cross(*sides)[:, 2]
    assert (area > 0).all()


def test_a_cube_becomes_the_known_vertices():
    """Catmull and Clark's rule by hand: a corner of the unit cube moves to 2/9 + ... of the way inwards."""
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    fine, _ = subdivided(cube, quads)
    # n = 3: (F + 2 R + (n - 3) P) / n with F the mean of face points and R of edge midpoints
    faces = np.array([[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]).mean(axis=0)
    midpoints = np.array([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]).mean(axis=0)
    assert fine[0] == pytest.approx((faces + 2 * midpoints) / 3, abs=1e-6)


def test_subdivision_commutes_with_affine_maps():
    mesh = template()
    matrix = np.array([[1.2, 0.1, 0.0], [0.0, 0.9, 0.3], [-0.2, 0.0, 1.1]], np.float32)
    assert mesh.subdivide(mesh.vertices @ matrix + 2) == pytest.approx(mesh.rest @ matrix + 2, abs=2e-5)


def test_every_target_that_identities_use_is_in_the_pack():
    known = template().targets
    for spec in traits():
        for name in spec.metadata.get("targets", ()):
            for side in "lr":
                assert name.replace("*", side) in known, spec.name
    # and nothing that an expression asks for is silently dropped
    lively = plain(jaw_open=0.5, smile=0.8, frown=0.5, pucker=0.5, squint=0.5, blink=0.5, brow_raise=-0.5)
    for name in target_shares(lively):
        assert name in known, name


def test_features_lie_where_the_crop_has_them():
    busts = [build_bust(sample_identity(3, index)) for index in range(12)]
    for bust in busts:
        assert bust.eye_centres[:, 0] == pytest.approx([0.083, -0.083], abs=0.02)
        assert bust.eye_centres[:, 1] == pytest.approx(0.066, abs=0.02)
        assert bust.eye_centres[:, 2].mean() == pytest.approx(0.085, abs=1e-6)
        assert 0.2 < bust.scale < 0.34
    mean = np.mean([bust.eye_centres for bust in busts], axis=0)
    assert mean[:, :2] == pytest.approx(np.array([[0.083, 0.066], [-0.083, 0.066]]), abs=0.008)


def test_eyeballs_are_round_and_behind_the_lids():
    bust = build_bust(sample_identity(0, 4))
    for name, centre in zip(EYE_PIECES, bust.eye_centres, strict=True):
        ball = bust.points[template().piece_vertices[name]]
        distance = np.linalg.norm(ball - centre, axis=1)
        assert distance == pytest.approx(bust.eye_radius, rel=1e-3)


def test_a_symmetric_identity_has_a_symmetric_head():
    mirror = mirror_of_vertices()
    assert (mirror >= 0).mean() > 0.99
    points = build_bust(plain()).points
    paired = mirror >= 0
    assert points[paired] == pytest.approx(points[mirror[paired]] * [-1, 1, 1], abs=1e-3)


def test_turned_shoulders_leave_the_face_alone():
    straight, turned = build_bust(plain()), build_bust(plain(body_yaw=0.4, body_pitch=0.1))
    rest = template().rest
    face = (rest[:, 1] > 6.15) & (rest[:, 2] > 1.0)
    shoulders = rest[:, 1] < 5.2
    assert turned.points[face] == pytest.approx(straight.points[face], abs=1e-5)
    moved = np.linalg.norm(turned.points[shoulders] - straight.points[shoulders], axis=1)
    assert np.median(moved) > 0.05


def test_the_hull_touches_the_scalp_and_contains_no_inner_point():
    bust = build_bust(plain())
    rest = template().rest
    scalp = (rest[:, 1] > 7.9) & (rest[:, 1] < 8.4) & (rest[:, 2] < 0.9)
    distance, outward = bust.hull.distance(bust.points[scalp])
    assert np.abs(distance).max() < 0.012
    assert np.linalg.norm(outward, axis=-1) == pytest.approx(1, abs=1e-5)
    outside, _ = bust.hull.distance(bust.points[scalp] + 0.05 * bust.normals[scalp])
    assert outside.min() > 0.02


def test_normals_of_a_tetrahedron_point_outwards():
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    triangles = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
    normals = vertex_normals(points, triangles)
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1, abs=1e-6)
    assert ((points - points.mean(axis=0)) * normals).sum(axis=1).min() > 0
    assert normals[0] == pytest.approx(-np.ones(3) / np.sqrt(3), abs=1e-6)

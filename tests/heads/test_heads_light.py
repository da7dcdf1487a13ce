import dataclasses

import numpy as np
import pytest

from ssgan_core.heads import backdrop, lighting, shading, textures
from ssgan_core.heads.sampler import BACKGROUNDS, sample_identity

UP = np.array([0.0, 1.0, 0.0], np.float32)


def square(height: float, half: float, n: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """A horizontal square of n x n vertices."""
    xs, zs = np.meshgrid(np.linspace(-half, half, n), np.linspace(-half, half, n))
    points = np.stack([xs, np.full_like(xs, height), zs], axis=-1).reshape(-1, 3).astype(np.float32)
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    return points, np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)]).astype(np.int32)


def gathered(height: float | None) -> np.ndarray:
    """Light at the middle of a floor under an even sky, with or without a ceiling at a height."""
    floor, triangles = square(0.0, 0.3)
    points, faces = floor, triangles
    if height is not None:
        ceiling, more = square(height, 0.3)
        points, faces = np.concatenate([floor, ceiling]), np.concatenate([triangles, more + len(floor)])
    sky = np.ones((lighting.DIRECTIONS, 3), np.float32)
    normals = np.broadcast_to(UP, floor.shape).copy()
    light = lighting.Surroundings(sky, points, faces.astype(np.int32)).received(floor, normals)
    return light.reshape(9, 9, 3)[4, 4]


def test_directions_are_unit_and_balanced():
    around = lighting.directions()
    assert np.linalg.norm(around, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.abs(around.mean(axis=0)).max() < 0.02
    # their second moment is that of the whole sphere: a third of the identity
    assert around.T @ around / len(around) == pytest.approx(np.eye(3) / 3, abs=0.03)


def test_an_open_floor_gets_the_sky_and_a_low_ceiling_hides_it():
    assert gathered(None) == pytest.approx(np.ones(3), abs=0.01)
    low, high = gathered(0.08), gathered(0.35)
    assert low.max() < 0.15
    assert low.max() < high.min() < 0.9


def test_a_roof_throws_a_shadow_where_geometry_says():
    roof, triangles = square(0.2, 0.05)
    lamp = np.array([0.6, 0.8, 0.0], np.float32)
    shadow = lighting.shadow_map(lamp, roof, triangles)
    # the ray from a floor point towards the lamp passes y = 0.2 at x + 0.15
    for x, dark in ((-0.15, True), (-0.11, True), (-0.19, True), (0.0, False), (-0.3, False)):
        row = shadow.rows @ np.array([x, 0.0, 0.0, 1.0], np.float32)
        column, line = int(row[0]), int(row[1])
        blocked = shadow.nearness[line, column] > row[2] + 0.01
        assert blocked == dark, x


def test_the_metered_face_is_about_equally_bright_under_any_lamp():
    levels = []
    front = np.array([0.0, 0.1, 0.995])
    for index in range(40):
        one = dataclasses.replace(sample_identity(0, index), exposure=0.0)
        lights = lighting.build_lights(one)
        weights = (lighting.directions() @ front).clip(0, 1)
        received = lights.lamp_colour.mean() * max(lights.lamp @ front, 0) + (
            lights.sky.mean(axis=1) @ weights / weights.sum()
        )
        levels.append(received * lights.exposure)
    assert 0.75 < min(levels) < max(levels) < 1.25


def test_noise_repeats_at_its_edges_and_has_its_statistics():
    noise = textures.noise()
    assert noise.shape == (textures.CHANNELS, textures.SIZE, textures.SIZE)
    for channel in (textures.CLOUDS, textures.MOTTLE, textures.GRAIN):
        inner = np.abs(np.diff(noise[channel], axis=1)).mean()
        seam = np.abs(noise[channel][:, 0] - noise[channel][:, -1]).mean()
        assert seam < 1.5 * inner
        assert noise[channel].mean() == pytest.approx(0.5, abs=0.02)
    assert noise[textures.MOLES].max() > 0.2 > noise[textures.MOLES].mean() * 20
    assert abs(noise[textures.PORE_X].mean()) < 1e-4


def test_lookup_gives_texels_at_whole_places_and_repeats():
    texture = np.arange(2 * 4 * 4, dtype=np.float32).reshape(2, 4, 4)
    u = np.array([0.0, 0.25, 0.5, 1.25, -0.75], np.float32)
    v = np.array([0.0, 0.5, 0.75, 1.5, 0.5], np.float32)
    first, second = shading.lookup(np, texture, u, v, 0, 1)
    assert first.tolist() == [0.0, 9.0, 14.0, 9.0, 9.0]
    assert (second - first).tolist() == [16.0] * 5
    (between,) = shading.lookup(np, texture, np.array([0.125], np.float32), np.array([0.0], np.float32), 0)
    assert between[0] == pytest.approx(0.5)


def test_the_tone_curve_rises_from_black_to_white():
    table = np.array(shading.curve_table(), np.float32)
    light = np.concatenate([[0.0], np.geomspace(1e-4, 50, 300)]).astype(np.float32)
    shown = shading.tone_curve(np, table, light)
    assert shown[0] == 0
    assert (np.diff(shown) >= 0).all()
    assert shown[-1] == pytest.approx(1.0, abs=0.02)
    # steps of the table stay below one of 255 where pictures have their tones
    dense = np.linspace(0.002, 2.0, 20_000, dtype=np.float32)
    assert np.diff(shading.tone_curve(np, table, dense)).max() < 2 / 255


def test_backdrops_differ_repeat_and_are_out_of_focus():
    pictures = []
    for kind in range(len(BACKGROUNDS)):
        one = dataclasses.replace(sample_identity(1, 3), background=kind)
        picture = backdrop.build_backdrop(one)
        assert picture.shape == (backdrop.SIZE, backdrop.SIZE, 3)
        assert np.array_equal(picture, backdrop.build_backdrop(one))
        assert picture.min() > 0
        assert np.abs(np.diff(picture, axis=0)).max() < 0.2
        pictures.append(picture)
    for first in range(len(pictures)):
        for second in range(first):
            assert np.abs(pictures[first] - pictures[second]).mean() > 0.005

"""All hair of one identity: on the scalp, brows, beard and lashes."""

from __future__ import annotations

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.facial_hair import beard_density, grow_beard, grow_brows, grow_lashes
from ssgan_core.heads.hairstyles import (
    HAT_BRIM,
    LOCKS,
    STRANDS,
    STYLES,
    Rooted,
    Style,
    azimuth,
    cornrowed,
    flatten,
    hatted,
    ramp,
    scalp_depth,
)
from ssgan_core.heads.plaits import grow_bound
from ssgan_core.heads.sampler import BEARDS, HAIR_STYLES, Identity
from ssgan_core.heads.scene import Material, Strands
from ssgan_core.heads.strand_growth import (
    Roots,
    curl,
    distance_grid,
    gather_locks,
    grow,
    keep_off,
    nearest_of,
    ruffle,
    scatter,
    shell,
)
from ssgan_core.heads.template import template


def grow_hair(identity: Identity, bust: Bust) -> list[Strands]:
    """Hair, brows, beard (of those who have one) and lashes."""

    def stream(number: int) -> np.random.Generator:
        return np.random.default_rng([identity.seed, identity.index, number])

    found = (
        *_scalp(identity, bust, stream(101)),
        grow_brows(identity, bust, stream(102)),
        grow_beard(identity, bust, stream(103)),
        grow_lashes(identity, bust, stream(104)),
    )
    return [strands for strands in found if strands is not None]


def scalp_cover(identity: Identity, bust: Bust) -> np.ndarray:
    """How densely hair roots cover the skin, at fine template vertices [N] float32, 0..1."""
    style = HAIR_STYLES[identity.hair_style]
    density = _scalp_density(identity, bust)
    most = 0.5 if cornrowed(identity) else {"bald": 0.5, "buzz": 0.9}.get(style, 1.0)
    return (most * density).astype(np.float32)


def beard_cover(identity: Identity, bust: Bust) -> np.ndarray:
    """How densely stubble covers the skin, at fine template vertices [N] float32, 0..1."""
    if BEARDS[identity.beard] == "none":
        # Shaved men keep a shade of their beard.
        most = 0.16 * max(1 - 2.5 * identity.female, 0.0)
        return (most * beard_density(identity, ("moustache", "chin", "cheeks"))).astype(np.float32)
    most = {"stubble": 0.5}.get(BEARDS[identity.beard], 0.85)
    return (most * beard_density(identity)).astype(np.float32)


def _scalp_density(identity: Identity, bust: Bust) -> np.ndarray:
    """Density [N] of roots, 0..1, feathered at the hairline."""
    depth = scalp_depth(identity, bust)
    density = ramp(-0.02, 0.10, depth)
    if HAIR_STYLES[identity.hair_style] == "bald":
        mesh = template()
        fringe = ramp(7.95, 7.70, mesh.rest[:, 1]) * ramp(0.62, 0.45, mesh.rest[:, 2])
        present = ramp(0.35, 0.6, identity.age) * (identity.female < 0.5)
        density = density * fringe * present
    return density


def _scalp(identity: Identity, bust: Bust, rng: np.random.Generator) -> list[Strands]:
    name = HAIR_STYLES[identity.hair_style]
    density = _scalp_density(identity, bust)
    if density.max() < 0.05:
        return []
    grid = distance_grid(bust, ears=name in ("fringe", "bob", "long", "long-wavy", "curly", "afro"))
    if cornrowed(identity):
        return grow_bound(identity, bust, grid, rng)
    # The back of the head is hardly ever seen.
    around = azimuth(template().rest)
    roots = scatter(bust, density * (1 - 0.55 * ramp(1.9, 2.6, around)), STRANDS[name], rng)
    count = len(roots.points)
    part = 0.0 if name == "braids" else identity.hair_part / bust.scale
    side = np.where(roots.rest[:, 0] > part + 0.02 * rng.standard_normal(count), 1.0, -1.0).astype(np.float32)
    rooted, leader = _locks(identity, bust, roots, side, LOCKS[name], rng)
    style = STYLES[name](rooted)
    if hatted(identity):
        flatten(style, rooted)
    strands = grow(grid, roots, style.combing, style.points)
    _shape(identity, style, rooted, strands, leader, rng)
    brim = rooted.world(0, HAT_BRIM, 0)[1] if hatted(identity) else 9.0
    keep_off(grid, strands, 0.0025, 0.016, np.float32(brim), bust.hull.centre)
    hair = _finish(bust, style, rooted, strands, leader)
    hair = _without(hair, _in_face(strands, np.broadcast_to(style.combing.window, count) > 0))
    return [hair, *grow_bound(identity, bust, grid, rng)]


def _locks(
    identity: Identity, bust: Bust, roots: Roots, side: np.ndarray, locks: int, rng: np.random.Generator
) -> tuple[Rooted, np.ndarray]:
    """Divide roots into locks; also returns the strand [n] that leads each one's lock."""
    count = len(roots.points)
    # Locks do not reach across the parting.
    place = roots.points + side[:, None] * np.array([0.5, 0, 0], np.float32)
    guides = rng.choice(count, locks, replace=False)
    lock = nearest_of(place, place[guides])
    wisp = nearest_of(place[guides], place[guides[: locks // 6]])[lock]
    shared = rng.standard_normal((locks, 4)).astype(np.float32)
    broad = rng.standard_normal((locks // 6, 4)).astype(np.float32)
    rooted = Rooted(
        identity=identity,
        bust=bust,
        roots=roots,
        around=azimuth(roots.rest),
        side=side,
        lock=shared[lock].clip(-2.2, 2.2),
        wisp=broad[wisp].clip(-2.2, 2.2),
        own=rng.standard_normal((count, 4)).astype(np.float32).clip(-2.5, 2.5),
        depth=roots.at(scalp_depth(identity, bust)),
    )
    return rooted, guides[lock]


def _shape(
    identity: Identity,
    style: Style,
    rooted: Rooted,
    strands: np.ndarray,
    leader: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Gather strands into locks, curl and ruffle them; in place."""
    count = len(strands)
    stray = rng.random(count) < 0.035 * (1 - style.tidy) * identity.hair_frizz
    clump = style.clump * (1 + 0.25 * rooted.own[:, 1]).clip(0.3, 1.25) * np.where(stray, 0.2, 1.0)
    if style.clump > 0:
        gather_locks(strands, leader, clump.clip(0, 0.95).astype(np.float32), style.clump_power)
    length = np.broadcast_to(style.combing.length, count)
    if style.radius > 0:
        phase = (2.0 * rooted.lock[:, 0] + 0.7 * rooted.wisp[:, 0]) * 3.0 + 0.30 * rooted.own[:, 2]
        radius = (
            style.radius
            * identity.hair_curl
            * (1 + 0.2 * rooted.lock[:, 2] + 0.15 * rooted.own[:, 3]).clip(0.3, 1.8)
        )
        waves = np.broadcast_to(style.waves, count)
        curl(
            strands,
            radius.astype(np.float32),
            waves.astype(np.float32),
            phase.astype(np.float32),
            style.flat,
            style.curl_begin,
        )
    noise = rng.standard_normal((count, 5, 3)).astype(np.float32)
    size = (0.0016 + 0.012 * length) * identity.hair_frizz * (1 - 0.7 * style.tidy)
    size = size * np.where(stray, 3.0, 1.0)
    ruffle(strands, noise, size.astype(np.float32))


def _in_face(strands: np.ndarray, combed_away: np.ndarray) -> np.ndarray:
    """Which strands [n, m, 3] have fallen before eyes, nose or mouth, or before a forehead that should be free."""
    x, y, z = np.moveaxis(strands, -1, 0)
    top = np.where(combed_away, 0.25, 0.11)[:, None]
    free = 0.13 * np.sqrt((1 - (y / 0.28) ** 2).clip(0))
    return ((np.abs(x) < free) & (y > -0.2) & (y < top) & (z > 0.02)).any(axis=1)


def _without(strands: Strands, unwanted: np.ndarray) -> Strands:
    keep = ~unwanted
    arrays = (strands.points, strands.widths, strands.tone, strands.outward, strands.buried)
    return Strands(strands.material, *(array[keep] for array in arrays))


def _finish(bust: Bust, style: Style, rooted: Rooted, strands: np.ndarray, leader: np.ndarray) -> Strands:
    """What shading wants to know of grown strands [n, m, 3]."""
    points = strands.shape[1]
    outward, buried = shell(strands, bust.hull.centre, 0.035)
    # Locks are round: their flanks face aside.
    across = strands - strands[leader]
    outward = outward + 55.0 * across.clip(-0.012, 0.012)
    outward /= np.sqrt((outward * outward).sum(axis=-1, keepdims=True)) + 1e-6
    along = np.linspace(0, 1, points, dtype=np.float32)
    width = style.width * (1 - (1 - style.tip) * along**2.5) * (1 + 0.15 * rooted.own[:, 1:2])
    # Hair at the hairline is fine, and lies open.
    edge = ramp(0.16, 0.0, rooted.depth)[:, None]
    width = width * (1 - 0.5 * edge)
    buried = buried * (1 - 0.8 * edge)
    tone = 0.35 * rooted.lock[:, 1] + 0.25 * rooted.wisp[:, 1] + 0.35 * rooted.own[:, 1]
    return Strands(
        Material.HAIR,
        strands,
        width.astype(np.float32),
        tone.clip(-1, 1).astype(np.float32),
        outward.astype(np.float32),
        buried,
    )

"""Scenes on their way from a process that builds them to the one that owns the GPU. NumPy only."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import dataclass

import numpy as np

from ssgan_core.heads.backdrop import build_backdrop
from ssgan_core.heads.compose import Scene, build_scene
from ssgan_core.heads.sampler import Identity

_FINE = slice(3, 6)  # charts: textures are addressed by them
_COARSE = [0, 1, 2, *range(6, 15)]


@dataclass(frozen=True)
class Parcel:
    """A portrait without a camera, about half as large as its scene.

    Half precision is enough for light, directions and covers; whatever decides what is seen where stays as it is.

    Attributes:
        identity: who.
        scene: with empty attributes, tangents and shadow map.
        surface_chart: [V, 3] float32.
        coarse: the other columns of the attributes [V + P, 12] float16.
        tangents: of strands [P, 3] float16.
        shadow: the shadow map's nearness [size, size] float16.
        backdrop: linear colours [s, s, 3] float32.
    """

    identity: Identity
    scene: Scene
    surface_chart: np.ndarray
    coarse: np.ndarray
    tangents: np.ndarray
    shadow: np.ndarray
    backdrop: np.ndarray


def pack(identity: Identity) -> Parcel:
    """Build an identity's scene and pack it."""
    scene = build_scene(identity)
    nothing = np.zeros((0, 3), np.float32)
    return Parcel(
        identity=identity,
        scene=dataclasses.replace(
            scene,
            attributes=nothing,
            strand_tangents=nothing,
            shadow=dataclasses.replace(scene.shadow, nearness=nothing),
        ),
        surface_chart=scene.attributes[: len(scene.points), _FINE].copy(),
        coarse=scene.attributes[:, _COARSE].astype(np.float16),
        tangents=scene.strand_tangents.astype(np.float16),
        shadow=scene.shadow.nearness.astype(np.float16),
        backdrop=build_backdrop(identity),
    )


@dataclass(frozen=True)
class Stored:
    """A parcel whose arrays lie in shared memory: what is left to send.

    Attributes:
        rest: the pickled parcel without its arrays.
        spans: where in the memory each array lies, (first byte, end).
    """

    rest: bytes
    spans: list[tuple[int, int]]


def store(parcel: Parcel, memory: memoryview) -> Stored | Parcel:
    """Copy a parcel's arrays into memory of bytes; one that does not fit is given back as it is."""
    buffers: list[pickle.PickleBuffer] = []
    rest = pickle.dumps(parcel, protocol=5, buffer_callback=buffers.append)
    spans, end = [], 0
    for buffer in buffers:
        first = -(-end // 64) * 64
        end = first + buffer.raw().nbytes
        if end > len(memory):
            return parcel
        memory[first:end] = buffer.raw()
        spans.append((first, end))
    return Stored(rest, spans)


def load(stored: Stored, memory: memoryview) -> Parcel:
    """The parcel, its arrays still in the memory: they change when that is used again."""
    return pickle.loads(stored.rest, buffers=[memory[first:end] for first, end in stored.spans])

"""Scenes on their way from a process that builds them to the one that owns the GPU. NumPy only."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import dataclass

import numpy as np

from ssgan_core.heads.backdrop import build_backdrop
from ssgan_core.heads.compose import ATTRIBUTES, Scene, build_scene
from ssgan_core.heads.sampler import Identity

_LIGHT = [0, 1, 2, 6, 7, 8]  # columns of the attributes: normals, ambient light
_PLACE = [3, 4, 5, *range(9, ATTRIBUTES)]  # charts, extra


@dataclass(frozen=True)
class Parcel:
    """A portrait without a camera, about half as large as its scene.

    Half precision is enough for light and normals; whatever decides what is seen where stays as it is.

    Attributes:
        identity: who.
        scene: with empty attributes and shadow map.
        surface: chart and extra of surfaces [V, 3 + EXTRA] float32.
        strands: extra of strands [P, EXTRA] float16; their chart is the scene's tangents.
        light: normal and ambient light [V + P, 6] float16.
        shadow: the shadow map's nearness [size, size] float16.
        backdrop: linear colours [s, s, 3] float32.
    """

    identity: Identity
    scene: Scene
    surface: np.ndarray
    strands: np.ndarray
    light: np.ndarray
    shadow: np.ndarray
    backdrop: np.ndarray


def pack(identity: Identity) -> Parcel:
    """Build an identity's scene and pack it."""
    scene = build_scene(identity)
    nothing, count = np.zeros((0, 3), np.float32), len(scene.points)
    return Parcel(
        identity=identity,
        scene=dataclasses.replace(
            scene,
            attributes=nothing,
            shadow=dataclasses.replace(scene.shadow, nearness=nothing),
        ),
        surface=scene.attributes[:count, _PLACE],
        strands=scene.attributes[count:, 9:].astype(np.float16),
        light=scene.attributes[:, _LIGHT].astype(np.float16),
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

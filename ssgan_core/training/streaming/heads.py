"""The portraits of `ssgan synth`, for the stream."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ssgan_core.heads.latent import latent_parameters
from ssgan_core.heads.render import SyntheticView, render_portrait
from ssgan_core.heads.sampler import sample_identity
from ssgan_core.heads.synth import view_label


class HeadRenderer:
    """A Renderer; the views of an identity follow one another, because they share its geometry."""

    def parameters(self, seed: int, identity: int) -> np.ndarray:
        return latent_parameters(sample_identity(seed, identity))

    def label(self, seed: int, identity: int, view: int) -> np.ndarray:
        return view_label(seed, identity, view)

    def views(self, seed: int, identity: int, count: int, size: int) -> Iterator[SyntheticView]:
        who = sample_identity(seed, identity)
        for view in range(count):
            yield render_portrait(who, view_label(seed, identity, view), size)

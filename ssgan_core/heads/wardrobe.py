"""Clothes and accessories of one identity."""

from __future__ import annotations

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.clothes import clothes
from ssgan_core.heads.hats import hats
from ssgan_core.heads.jewellery import jewellery
from ssgan_core.heads.sampler import Identity
from ssgan_core.heads.scene import Surface
from ssgan_core.heads.spectacles import spectacles


def dress(identity: Identity, bust: Bust) -> list[Surface]:
    """What an identity wears: cloth always; hat, frame, lenses and metal as chosen."""
    return [
        clothes(identity, bust),
        *hats(identity, bust),
        *spectacles(identity, bust),
        *jewellery(identity, bust),
    ]

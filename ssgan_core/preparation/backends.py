"""What a run uses to find faces and to tell their parts apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ssgan_core.errors import SsganError
from ssgan_core.preparation import weights

if TYPE_CHECKING:
    from ssgan_core.preparation.faces import FindsFace
    from ssgan_core.preparation.parsers import ParsesFace


@dataclass(frozen=True)
class Backends:
    """The networks of a run. Picklable: every worker makes its own instances.

    Attributes:
        make_finder: makes what finds faces.
        make_parser: makes what tells parts apart; None where masks are given.
        networks: name to digest of all that takes part: a data set is never continued with others.
    """

    make_finder: Callable[[], FindsFace]
    make_parser: Callable[[], ParsesFace] | None
    networks: Mapping[str, str]


def default_backends(weights_dir: Path | None = None, parse: bool = True) -> Backends:
    """BlazeFace, FaceMesh and, unless masks are given, the parser that ships with the package.

    Args:
        weights_dir: as in `weights.read`.
        parse: whether a parser is needed.

    Raises:
        SsganError: OpenCV, a network or the parser's weights are missing or damaged.
    """
    try:
        from ssgan_core.preparation.faces import FaceFinder
        from ssgan_core.preparation.parsers import OwnParser, own_parser_digest
    except ImportError as error:
        raise SsganError(
            f"OpenCV cannot be imported: {error}", "pip install opencv-python-headless"
        ) from error
    weights.verify(weights_dir)
    networks = {name: file.sha256 for name, file in weights.FILES.items() if name != weights.SELFIE}
    if parse:
        networks["parser"] = own_parser_digest()
    return Backends(partial(FaceFinder, weights_dir), OwnParser if parse else None, networks)

"""What a run uses to find faces, to tell their parts apart and to check their cameras."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ssgan_core.errors import SsganError
from ssgan_core.preparation import weights
from ssgan_core.preparation.weight_files import FACE_DETECTION, FACE_MESH

if TYPE_CHECKING:
    from ssgan_core.preparation.faces import FindsFace
    from ssgan_core.preparation.facexlib_nets import Hopenet
    from ssgan_core.preparation.parsers import ParsesFace

DEFAULT_DETECTOR, OWN_PARSER = "blazeface", "own"


@dataclass(frozen=True)
class Backends:
    """The networks of a run. Picklable: every worker makes its own instances.

    Attributes:
        make_finder: makes what finds faces.
        make_parser: makes what tells parts apart; None where masks are given.
        networks: name to digest of all that takes part: a data set is never continued with others.
        make_pose_estimator: makes what gives a second opinion on cameras; None for none.
    """

    make_finder: Callable[[], FindsFace]
    make_parser: Callable[[], ParsesFace] | None
    networks: Mapping[str, str]
    make_pose_estimator: Callable[[], Hopenet] | None = None


def choose_backends(
    weights_dir: Path | None = None,
    *,
    detector: str = DEFAULT_DETECTOR,
    parser: str | None = OWN_PARSER,
    check_pose: bool = False,
) -> Backends:
    """The networks of these names; without any, those that need no facexlib.

    Args:
        weights_dir: as in `weights.read`.
        detector: a name of `facexlib_nets.DETECTORS`.
        parser: a name of `facexlib_nets.PARSERS`; None where masks are given.
        check_pose: whether Hopenet is asked for a second opinion on every camera.

    Raises:
        SsganError: OpenCV, facexlib or weights are missing or damaged, or a name is unknown.
    """
    try:
        from ssgan_core.preparation.faces import FaceFinder
        from ssgan_core.preparation.parsers import OwnParser, own_parser_digest
    except ImportError as error:
        raise SsganError(
            f"OpenCV cannot be imported: {error}", "pip install opencv-python-headless"
        ) from error
    files, extra = [FACE_MESH], needed_files(detector, parser, check_pose)
    make_finder: Callable[[], FindsFace] = partial(FaceFinder, weights_dir)
    if detector == DEFAULT_DETECTOR:
        files.append(FACE_DETECTION)
    else:
        make_finder = partial(_finder, detector, weights_dir)
    networks = weights.digests([*files, *extra], weights_dir)
    make_parser: Callable[[], ParsesFace] | None = None
    if parser == OWN_PARSER:
        make_parser = OwnParser
        networks["parser"] = own_parser_digest()
    elif parser is not None:
        make_parser = partial(_parser, parser, weights_dir)
    estimator = partial(_pose_estimator, weights_dir) if check_pose else None
    return Backends(make_finder, make_parser, networks, estimator)


def needed_files(
    detector: str = DEFAULT_DETECTOR, parser: str | None = OWN_PARSER, check_pose: bool = False
) -> list[str]:
    """Weights files that these choices need beside the default ones; none for the defaults.

    Raises:
        SsganError: a name is unknown.
    """
    if detector == DEFAULT_DETECTOR and parser in (None, OWN_PARSER) and not check_pose:
        return []
    from ssgan_core.preparation import facexlib_nets

    for kind, name, names in (
        ("face detector", detector, facexlib_nets.DETECTORS),
        ("parser", parser or OWN_PARSER, facexlib_nets.PARSERS),
    ):
        if name not in names:
            raise SsganError(f"there is no {kind} '{name}'", "there are " + ", ".join(names))
    return facexlib_nets.needed_files(detector, parser or OWN_PARSER, check_pose)


def _finder(detector: str, weights_dir: Path | None) -> FindsFace:
    from ssgan_core.preparation.faces import FaceFinder
    from ssgan_core.preparation.facexlib_nets import make_detector

    return FaceFinder(weights_dir, make_detector(detector, weights_dir))


def _parser(name: str, weights_dir: Path | None) -> ParsesFace:
    from ssgan_core.preparation.facexlib_nets import make_parser

    return make_parser(name, weights_dir)


def _pose_estimator(weights_dir: Path | None) -> Hopenet:
    from ssgan_core.preparation.facexlib_nets import Hopenet

    return Hopenet(weights_dir)

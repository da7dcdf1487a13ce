"""The high-quality networks of preprocessing, by the names that the user gives; facexlib runs them.

Importing this imports torch and OpenCV, but not facexlib: that waits until a network is made.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ssgan_core.errors import SsganError
from ssgan_core.preparation.detection import FaceDetector
from ssgan_core.preparation.facexlib_nets import parsers, retinaface
from ssgan_core.preparation.facexlib_nets.hopenet import HeadPose, Hopenet
from ssgan_core.preparation.facexlib_nets.parsers import FacexlibParser
from ssgan_core.preparation.facexlib_nets.retinaface import RetinaFaceDetector
from ssgan_core.preparation.weight_files import HOPENET

__all__ = [
    "DETECTORS",
    "PARSERS",
    "FacexlibParser",
    "HeadPose",
    "Hopenet",
    "RetinaFaceDetector",
    "make_detector",
    "make_parser",
    "needed_files",
]

_VARIANTS = {"retinaface": "resnet50", "retinaface-mobilenet": "mobilenet"}
DETECTORS = ("blazeface", *_VARIANTS)
"""What `make_detector` knows; the first is the default, which needs no facexlib."""
PARSERS = ("own", *parsers.FILES)
"""Parsers by name; the first is the one that ships with ssgan, which `make_parser` leaves to parsing.FaceParser."""


def make_detector(
    name: str, weights_dir: Path | None = None, device: torch.device | str = "cpu"
) -> FaceDetector | RetinaFaceDetector:
    """The face detector of a name in DETECTORS. BlazeFace always runs on the CPU.

    Raises:
        SsganError: the name is unknown, or facexlib or the weights are missing or not as expected.
    """
    if name not in DETECTORS:
        raise SsganError(f"there is no face detector '{name}'", "there are " + ", ".join(DETECTORS))
    if name in _VARIANTS:
        return RetinaFaceDetector(_VARIANTS[name], weights_dir, device)
    return FaceDetector(weights_dir)


def make_parser(
    name: str, weights_dir: Path | None = None, device: torch.device | str = "cpu"
) -> FacexlibParser:
    """The parser of a name in PARSERS, but for "own".

    Raises:
        SsganError: as `make_detector`.
    """
    return FacexlibParser(name, weights_dir, device)


def needed_files(
    detector: str = DETECTORS[0], parser: str = PARSERS[0], check_pose: bool = False
) -> list[str]:
    """Weights files that these choices need beside the default ones.

    `weights.ensure(names=...)` fetches them, `weights.digests` says what a data set was made with.
    """
    files = [retinaface.VARIANTS[_VARIANTS[detector]]] if detector in _VARIANTS else []
    files += [parsers.FILES[parser]] if parser in parsers.FILES else []
    return files + ([HOPENET] if check_pose else [])

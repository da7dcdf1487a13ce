"""The network files that preprocessing knows: what each is for, where it comes from, what it must be."""

from __future__ import annotations

from dataclasses import dataclass

WHEEL = "mediapipe==0.10.21"
DEFAULT, HIGH_QUALITY = "default", "high-quality"
"""Groups of files: what preprocessing needs by default, and what its high-quality options need."""
_RELEASES = "https://github.com/xinntao/facexlib/releases/download/"
_MOST_BYTES = 300_000_000  # of a file whose size is not published; the largest one has about 110 MB


@dataclass(frozen=True)
class WeightFile:
    """What one network's file must be. Either `member` or `url` says where it comes from.

    Attributes:
        name: its file name.
        sha256: hex digest.
        purpose: one line for the user.
        licence: of the network, in a few words; docs/preprocessing.md says more.
        instead: what happens without it: the end of a sentence that begins with `without it`.
        size: bytes; None where it is not published.
        member: its path inside the wheel.
        url: its address.
    """

    name: str
    sha256: str
    purpose: str
    licence: str
    instead: str = ""
    size: int | None = None
    member: str = ""
    url: str = ""

    @property
    def group(self) -> str:
        """DEFAULT or HIGH_QUALITY."""
        return HIGH_QUALITY if self.url else DEFAULT

    @property
    def most_bytes(self) -> int:
        """A file with more bytes is not looked at any further."""
        return _MOST_BYTES if self.size is None else self.size


FACE_DETECTION = "face_detection_short_range.tflite"
FACE_MESH = "face_landmark.tflite"
SELFIE = "selfie_segmentation.tflite"
RETINAFACE_RESNET50 = "detection_Resnet50_Final.pth"
RETINAFACE_MOBILENET = "detection_mobilenet0.25_Final.pth"
BISENET = "parsing_bisenet.pth"
PARSENET = "parsing_parsenet.pth"
HOPENET = "headpose_hopenet.pth"

DEFAULT_FILES = (
    WeightFile(
        FACE_DETECTION,
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        "BlazeFace: finds faces",
        "Apache-2.0",
        size=229_714,
        member="mediapipe/modules/face_detection/" + FACE_DETECTION,
    ),
    WeightFile(
        FACE_MESH,
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        "FaceMesh: 468 points of a face",
        "Apache-2.0",
        size=1_242_398,
        member="mediapipe/modules/face_landmark/" + FACE_MESH,
    ),
    WeightFile(
        SELFIE,
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        "selfie segmentation: person or background",
        "Apache-2.0",
        size=249_505,
        member="mediapipe/modules/selfie_segmentation/" + SELFIE,
    ),
)
"""Three small networks of Google's MediaPipe; they ship inside the PyPI wheel mediapipe 0.10.21."""

_BLAZEFACE_INSTEAD = "BlazeFace finds the faces"
_OWN_PARSER_INSTEAD = "the parser that ships with ssgan tells the parts apart"
HIGH_QUALITY_FILES = (
    WeightFile(
        RETINAFACE_RESNET50,
        "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
        "RetinaFace, ResNet-50: finds faces",
        "MIT",
        _BLAZEFACE_INSTEAD,
        url=_RELEASES + "v0.1.0/" + RETINAFACE_RESNET50,
    ),
    WeightFile(
        RETINAFACE_MOBILENET,
        "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
        "RetinaFace, MobileNet 0.25: finds faces, quickly",
        "MIT",
        _BLAZEFACE_INSTEAD,
        url=_RELEASES + "v0.1.0/" + RETINAFACE_MOBILENET,
    ),
    WeightFile(
        BISENET,
        "468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
        "BiSeNet: 19 parts of a portrait",
        "MIT; non-commercial data",
        _OWN_PARSER_INSTEAD,
        url=_RELEASES + "v0.2.0/" + BISENET,
    ),
    WeightFile(
        PARSENET,
        "3d558d8d0e42c20224f13cf5a29c79eba2d59913419f945545d8cf7b72920de2",
        "ParseNet: 19 parts of a portrait, finest",
        "CC BY-NC-SA 4.0",
        _OWN_PARSER_INSTEAD,
        url=_RELEASES + "v0.2.2/" + PARSENET,
    ),
    WeightFile(
        HOPENET,
        "e4c76d5872fe22a930ea6b584cbd99c0c7e3a128327b5da43db37117fcf50933",
        "Hopenet: a second opinion on the head's pose",
        "Apache-2.0",
        "cameras are not cross-checked",
        url=_RELEASES + "v0.2.0/" + HOPENET,
    ),
)
"""Networks that facexlib runs, from its GitHub releases. Their digests come from third-party listings, so the
user may accept another one (weights.fetch)."""

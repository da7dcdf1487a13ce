"""FID, KID, precision and recall in Inception's features, for those who bring the weights.

Nothing is downloaded. torch-fidelity (optional dependency `inception`) computes the figures as everyone else's are
computed; it would open a weights file as a pickle, so the file is read here first by PyTorch's restricted reader, and
torch-fidelity is handed a clean copy.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ssgan_core.errors import SsganError
from ssgan_core.files import sha256

WEIGHTS_NAME = "weights-inception-2015-12-05-6726825d.pth"
HOW_TO = (
    f"FID, KID, precision and recall need --inception PATH: torch-fidelity's {WEIGHTS_NAME} "
    "(see docs/evaluation.md)"
)
_LARGEST = 1 << 29
_SUBSET = 1000  # of KID, as everywhere
_NEIGHBOURS = 3  # of precision and recall (Kynkaanniemi et al. 2019)
_BATCH = 32


class Pictures(Dataset):
    """Pictures uint8 [3, H, W] by number, made when they are asked for.

    Args:
        make: gives picture `i` as uint8 [H, W, 3].
    """

    def __init__(self, count: int, make: Callable[[int], Any]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self._make(index).transpose(2, 0, 1).copy())


def find_weights(named: Path | None) -> Path | None:
    """The weights file: the named one, else $TORCH_HOME/hub/checkpoints' one if it is there, else None."""
    if named is not None:
        return named
    home = os.environ.get("TORCH_HOME")
    kept = Path(home) / "hub" / "checkpoints" / WEIGHTS_NAME if home else None
    return kept if kept is not None and kept.is_file() else None


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file, read with weights_only=True: nothing in it is executed.

    Raises:
        SsganError: it is missing, absurdly large, or anything but a dictionary of tensors.
    """
    refused = SsganError(
        f"{path} holds no Inception weights: it is no plain dictionary of tensors",
        f"torch-fidelity's {WEIGHTS_NAME} is one",
    )
    if not path.is_file():
        raise SsganError(f"there are no Inception weights at {path}", f"give torch-fidelity's {WEIGHTS_NAME}")
    if path.stat().st_size > _LARGEST:
        raise SsganError(f"{path} is too large for Inception weights")
    try:
        with warnings.catch_warnings():  # of pickles that are refused a moment later
            warnings.simplefilter("ignore")
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        ValueError,
        TypeError,
        KeyError,
        EOFError,
        OSError,
    ) as error:
        raise refused from error
    if not isinstance(tensors, dict) or not tensors:
        raise refused
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in tensors.items()):
        raise refused
    return tensors


def require_torch_fidelity() -> Any:
    """The module torch_fidelity.

    Raises:
        SsganError: it is not installed, or cannot be imported.
    """
    try:
        return import_module("torch_fidelity")
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch raises the latter
        raise SsganError(
            f"FID needs torch-fidelity, which cannot be imported: {error}", "pip install 'ssgan[inception]'"
        ) from error


def inception_metrics(
    weights: Path, samples: Pictures, reference: Pictures, held: Pictures, device: torch.device
) -> dict[str, Any]:
    """FID, KID, precision and recall of samples against a reference, and of held-out real pictures as the floor.

    Args:
        weights: InceptionV3 in torch-fidelity's layout.

    Returns:
        `model` and `floor`: fid, kid_x1000, precision, recall each; and the weights' sha256.

    Raises:
        SsganError: torch-fidelity or the weights are missing, or the weights are not Inception's.
    """
    fidelity = require_torch_fidelity()
    tensors = read_weights(weights)
    with tempfile.TemporaryDirectory(prefix="ssgan-inception-") as folder:
        clean = Path(folder) / WEIGHTS_NAME
        torch.save(tensors, clean)
        del tensors
        try:
            rows = {
                side: _figures(fidelity, clean, pictures, reference, device)
                for side, pictures in (("model", samples), ("floor", held))
            }
        except RuntimeError as error:
            if "state_dict" in str(error):
                raise SsganError(
                    f"{weights} does not fit torch-fidelity's InceptionV3", f"give its {WEIGHTS_NAME}"
                ) from error
            raise
    return {**rows, "weights_sha256": sha256(weights)}


def _figures(
    fidelity: Any, weights: Path, pictures: Pictures, reference: Pictures, device: torch.device
) -> dict[str, float]:
    found = fidelity.calculate_metrics(
        input1=pictures,
        input2=reference,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights),
        fid=True,
        kid=True,
        kid_subset_size=min(_SUBSET, len(pictures)),
        prc=True,
        prc_neighborhood=_NEIGHBOURS,
        batch_size=_BATCH,
        cuda=device.type == "cuda",
        save_cpu_ram=True,  # no loader processes: pictures come from this one's model
        cache=False,
        verbose=False,
    )
    return {
        "fid": float(found["frechet_inception_distance"]),
        "kid_x1000": 1000 * float(found["kernel_inception_distance_mean"]),
        "precision": float(found["precision"]),
        "recall": float(found["recall"]),
    }

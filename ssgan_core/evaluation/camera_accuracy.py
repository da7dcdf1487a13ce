"""Whether a model's portraits face where its cameras say: angles asked for, against angles that a face shows.

The estimator has errors of its own. What it finds on portraits with known cameras is measured the same way: its bias
there is subtracted, and its scatter, slope and detection rate stand beside the model's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ssgan_core.errors import SsganError

LEAST_SIDE = 256  # pixels to which small pictures are enlarged: the detector misses small faces

Estimator = Callable[[np.ndarray], "np.ndarray | None"]
"""Yaw and pitch [2] in radians of a picture uint8 [H, W, 3]; None where no face is found."""


def face_estimator(weights_dir: Path | None = None) -> Estimator:
    """The estimator that `ssgan preprocess` uses.

    Raises:
        SsganError: OpenCV or one of the small networks is missing.
    """
    try:
        import cv2

        from ssgan_core.preparation import pose
        from ssgan_core.preparation.faces import FaceFinder
    except ImportError as error:
        raise SsganError(f"cameras cannot be estimated: {error.name} is not installed") from error
    finder = FaceFinder(weights_dir)

    def estimate(image: np.ndarray) -> np.ndarray | None:
        if len(image) < LEAST_SIDE:
            image = cv2.resize(image, (LEAST_SIDE, LEAST_SIDE), interpolation=cv2.INTER_CUBIC)
        try:
            face = finder(image)
            view = pose.solve(face.points, face.correction)
            pose.check(view)
        except SsganError:
            return None
        return np.array([view.yaw, view.pitch])

    return estimate


def angle_bias(asked: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Median of found minus asked [2], over the rows of found [N, 2] that are not NaN; zeros if there are none."""
    error = (found - asked)[np.isfinite(found).all(axis=1)]
    return np.median(error, axis=0) if len(error) else np.zeros(2)


def camera_accuracy(asked: np.ndarray, found: np.ndarray, bias: np.ndarray) -> dict[str, float | None]:
    """Facts about angles, in radians.

    Args:
        asked: yaw and pitch [N, 2], one row at least.
        found: estimates [N, 2]; NaN where no face was found.
        bias: of the estimator [2], subtracted from the estimates.

    Returns:
        detected: share with a face. Of these: yaw_error and pitch_error (median absolute), yaw_error_p95,
        yaw_slope and pitch_slope (least squares of found on asked: 1 is right, 0 is a picture that does not turn).
        None where faces are too few, or all angles alike.
    """
    seen = np.isfinite(found).all(axis=1)
    facts: dict[str, float | None] = {"detected": float(np.mean(seen))}
    error = np.abs(found - asked - bias)[seen]
    for axis, name in enumerate(("yaw", "pitch")):
        facts[f"{name}_error"] = float(np.median(error[:, axis])) if len(error) else None
        facts[f"{name}_error_p95"] = float(np.percentile(error[:, axis], 95)) if len(error) else None
        facts[f"{name}_slope"] = slope(asked[seen, axis], found[seen, axis])
    return facts


def slope(asked: np.ndarray, found: np.ndarray) -> float | None:
    """Slope of the least-squares line of found on asked [N]; None for fewer than three, or all asked alike."""
    if len(asked) < 3 or np.ptp(asked) < 1e-6:
        return None
    centred = asked - asked.mean()
    return float((centred * found).sum() / (centred**2).sum())

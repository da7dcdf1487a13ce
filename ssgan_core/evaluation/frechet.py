"""Frechet distance between two sets of feature vectors, each taken for a Gaussian.

With means m and covariances C: |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2) (Dowson and Landau 1982; as a measure
of generators, Heusel et al. 2017). With symmetric roots R = C^(1/2), tr (C1 C2)^(1/2) is the sum of the singular
values of R1 R2, which needs no root of a matrix that rounding has made unsymmetric or indefinite.
"""

from __future__ import annotations

import numpy as np


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Distance of features [N, D] and [M, D], at least two rows each; float64, never negative.

    Covariances of fewer rows than D are singular, which does no harm here, but the distance of two samples of one
    distribution grows as rows become fewer: figures of different N do not compare.
    """
    means, roots, traces = [], [], []
    for features in (first, second):
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(f"features are [N, D] with N of two at least, got {list(features.shape)}")
        covariance = np.atleast_2d(np.cov(features, rowvar=False))
        means.append(features.mean(axis=0))
        roots.append(symmetric_root(covariance))
        traces.append(float(np.trace(covariance)))
    between = float(((means[0] - means[1]) ** 2).sum())
    shared = float(np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum())
    return max(between + sum(traces) - 2 * shared, 0.0)


def symmetric_root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root [D, D] of a symmetric matrix whose eigenvalues are not negative but for rounding."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T

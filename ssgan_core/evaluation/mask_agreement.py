"""Whether the parts that a model's masks promise are those that its pictures show to the parser."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssgan_core.parsing.agreement import Agreement


def mask_agreement(model: Agreement, data: Agreement, names: tuple[str, ...]) -> dict[str, Any]:
    """Intersection over union of every part, of the model's masks and of the data's, each against the parser.

    Args:
        model, data: collected with the masks as truth and the parser's as prediction.
        names: of the parts, by id.

    Returns:
        `parts`: by name, `model` and `data` (mean IoU over the pictures whose mask shows the part; None where none
        does), `model_shown` and `data_shown` (how many do). `model` and `data`: means over the parts that the data
        shows; parts that the model never shows count as 0, so that leaving out the difficult ones does not pay.
    """
    columns = {"model": model.mean_iou(), "data": data.mean_iou()}
    shown = {"model": model.shown(), "data": data.shown()}
    parts = {
        name: {
            **{side: _number(column[index]) for side, column in columns.items()},
            **{f"{side}_shown": int(count[index]) for side, count in shown.items()},
        }
        for index, name in enumerate(names)
    }
    wanted = shown["data"] > 0
    means = {side: float(np.nan_to_num(column[wanted]).mean()) for side, column in columns.items()}
    return {**means, "parts_compared": int(wanted.sum()), "parts": parts}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

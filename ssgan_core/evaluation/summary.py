"""The figures as rows of text: what the command prints and the page shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

NONE = "-"


@dataclass(frozen=True)
class Row:
    """One figure: its name, the model's value, the data's own (floor or counterpart), rulers, and how to read it."""

    name: str
    model: str
    data: str
    rulers: str = ""
    reading: str = ""


COLUMNS = ("figure", "model", "data", "rulers", "reading")
PART_COLUMNS = (
    "part", "mask IoU", "data", "edits counted", "strength", "locality", "if all changed", "mask leakage",
)  # fmt: skip


def summary_rows(evaluation: Mapping[str, Any]) -> list[Row]:
    """The main figures, one row each; those that were skipped are left out (see `skipped_lines`)."""
    return [
        *_appearance_rows(evaluation["appearance"]),
        *_small_appearance_rows(evaluation.get("appearance_small")),
        *_inception_rows(evaluation["inception"]),
        *_mask_rows(evaluation["masks"]),
        *_edit_rows(evaluation["edits"]),
        *_turn_rows(evaluation["reprojection"]),
        *_relief_rows(evaluation["relief"]),
        *_camera_rows(evaluation["cameras"]),
        *_variety_rows(evaluation["variety"], evaluation["neighbours"]),
    ]


def part_rows(evaluation: Mapping[str, Any]) -> list[list[str]]:
    """Rows of `PART_COLUMNS`, a part each, the background first."""
    masks = evaluation["masks"].get("parts", {})
    edits = evaluation["edits"].get("parts", {})
    rows = []
    for name in dict.fromkeys([*masks, *edits]):
        mask, edit = masks.get(name, {}), edits.get(name)
        row = [name, number(mask.get("model")), number(mask.get("data"))]
        if edit is None:
            rows.append([*row, *[""] * 5])
            continue
        counted = f"{edit['qualifying']} of {edit['tried']}"
        local = [number(edit[key]) for key in ("strength", "locality", "locality_of_everything")]
        rows.append([*row, counted, *local, percent(edit["mask_leakage"])])
    return rows


def skipped_lines(evaluation: Mapping[str, Any]) -> list[str]:
    """What was not measured, and why."""
    lines = [
        f"not measured: {name}: {evaluation[name]['skipped']}"
        for name in ("inception", "masks", "edits", "cameras")
        if "skipped" in evaluation[name]
    ]
    if not evaluation["model"]["has_depth"]:
        lines.append(
            "not measured: reprojection and relief of the model: it has no depth (model.lifting is none)"
        )
    if evaluation["reprojection"]["data"] is None:
        lines.append("not measured: reprojection of the data: it needs depth, and several views of a person")
    if evaluation["relief"]["data"] is None:
        lines.append("not measured: relief of the data: it has no depth")
    return lines


def number(value: float | None, digits: int = 3) -> str:
    """A value in at most so many significant digits, without exponents."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{min(decimals, 5)}f}"


def percent(value: float | None) -> str:
    """A share."""
    return NONE if value is None else f"{value:.1%}"


def degrees(value: float | None) -> str:
    """An angle of radians."""
    return NONE if value is None else f"{np.degrees(value):.1f}°"


def _appearance_rows(facts: Mapping[str, Any]) -> list[Row]:
    readings = {
        "fpd": ("FPD", "lower; Frechet distance in the parser's features, no FID", number),
        "coverage": ("coverage", "higher; share of real portraits with a sample near", percent),
        "sliced_wasserstein": ("sliced Wasserstein x 1000", "lower; texture, blur, colour", number),
    }
    return [
        Row(
            name,
            show(facts[key]["model"]),
            show(facts[key]["floor"]),
            f"blurred {show(facts[key]['blurred'])}, one person {show(facts[key]['one_person'])}",
            reading,
        )
        for key, (name, reading, show) in readings.items()
    ]


def _small_appearance_rows(facts: Mapping[str, Any] | None) -> list[Row]:
    """None for models whose own pictures are as small."""
    if facts is None:
        return []
    side = facts["side"]
    reading = f"lower; of pictures averaged down to {side} x {side}, where models of that size compare"
    (row, *_) = _appearance_rows(facts)
    return [replace(row, name=f"{row.name} at {side} pixels", reading=reading)]


def _inception_rows(facts: Mapping[str, Any]) -> list[Row]:
    if "skipped" in facts:
        return []
    names = {
        "fid": ("FID", "lower"),
        "kid_x1000": ("KID x 1000", "lower"),
        "precision": ("precision", "higher; share of samples among the real"),
        "recall": ("recall", "higher; share of the real among samples"),
    }
    return [
        Row(name, number(facts["model"][key]), number(facts["floor"][key]), "", reading)
        for key, (name, reading) in names.items()
    ]


def _mask_rows(facts: Mapping[str, Any]) -> list[Row]:
    if "skipped" in facts:
        return []
    reading = f"higher; masks against the parser, mean of the data's {facts['parts_compared']} parts"
    return [Row("mask IoU", number(facts["model"]), number(facts["data"]), "", reading)]


def _edit_rows(facts: Mapping[str, Any]) -> list[Row]:
    if "skipped" in facts:
        return []
    parts = facts["parts"]
    counted = [row for row in parts.values() if row["qualifying"]]
    everything = [row["locality_of_everything"] for row in counted]
    leaks = [row["mask_leakage"] for row in counted if row["mask_leakage"] is not None]
    qualifying, tried = (sum(row[key] for row in parts.values()) for key in ("qualifying", "tried"))
    return [
        Row(
            "edits that count",
            f"{qualifying} of {tried}",
            NONE,
            f"in {facts['parts_qualifying']} of {len(parts)} parts",
            "higher; enough area, and a quarter of the change between real heads",
        ),
        Row(
            "edit locality",
            number(facts["locality"]),
            NONE,
            f"everything changed {number(_mean(everything))}",
            "1 is best; share of the change inside the part, of edits that count",
        ),
        Row(
            "mask leakage",
            percent(_mean(leaks)),
            NONE,
            "",
            "0 is best; share of the masks' change outside the part",
        ),
    ]


def _turn_rows(facts: Mapping[str, Any]) -> list[Row]:
    model, data = facts["model"], facts["data"] or {}
    rows: list[tuple[str, str, Callable[[float | None], str], str]] = [
        ("reprojection inliers", "inliers", percent, "higher; same colour from 0.3 rad aside"),
        ("co-visible", "covisible", percent, "of the pixels carried over"),
        ("depth contradicted", "contradicted", percent, "lower; depths of two views disagree"),
        ("depth difference", "depth_error", number, "lower; where co-visible, world units"),
    ]
    return [
        Row(name, show(model[key]), show(data.get(key)), "", reading) for name, key, show, reading in rows
    ]


def _relief_rows(facts: Mapping[str, Any]) -> list[Row]:
    model, data = facts["model"] or {}, facts["data"] or {}
    return [
        Row(
            "relief of skin and nose",
            number(model.get("median")),
            number(data.get("median")),
            "flat sheet 0",
            "like the data; world units",
        ),
        Row(
            "spread of relief",
            number(model.get("spread")),
            number(data.get("spread")),
            "one shape 0",
            "like the data; standard deviation between portraits",
        ),
    ]


def _camera_rows(facts: Mapping[str, Any]) -> list[Row]:
    if "skipped" in facts:
        return []
    model, data = facts["model"], facts["data"]
    bias = f"bias {degrees(facts['bias']['yaw'])}, {degrees(facts['bias']['pitch'])} subtracted"
    return [
        Row("faces detected", percent(model["detected"]), percent(data["detected"]), "", "higher"),
        Row("yaw error", degrees(model["yaw_error"]), degrees(data["yaw_error"]), bias, "lower; median"),
        Row("pitch error", degrees(model["pitch_error"]), degrees(data["pitch_error"]), "", "lower; median"),
        Row(
            "slope of yaw",
            number(model["yaw_slope"]),
            number(data["yaw_slope"]),
            "picture that does not turn 0",
            "like the data; estimated on requested",
        ),
    ]


def _variety_rows(variety: Mapping[str, Any], neighbours: Mapping[str, Any]) -> list[Row]:
    rows = [
        Row(
            f"variety of {kind}",
            number(variety[kind]["model"]),
            number(variety[kind]["data"]),
            "collapse under half, one head 0",
            "like the data; mean distance of two portraits from one side",
        )
        for kind in ("images", "masks")
    ]
    nearby = [
        Row(
            f"nearest portrait, {space}",
            number(neighbours[space]["model"]),
            number(neighbours[space]["data"]),
            "copies 0",
            "not far below the data's",
        )
        for space in ("pixels", "features")
    ]
    return rows + nearby


def _mean(values: list[Any]) -> float | None:
    return float(np.mean(values)) if values else None

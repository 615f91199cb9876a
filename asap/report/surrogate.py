"""The page on the scores: what they are worth, and every cell's, from the records under runs/scores/ alone. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..records.parameters import runs_root
from . import palette, results, verdicts
from .display import DASH, download, each, rows_frame, spread

FILES = ("scores.csv", "yang2020.csv", "short.csv", "others.csv", "validity.csv", "validity.json")


def about(root: Path | None = None) -> dict[str, Any]:
    """validity.json: what the scores were made from, and the `figures` of what they are worth. Empty where it is missing or damaged."""
    try:
        found = json.loads(((root or runs_root()) / "scores" / "validity.json").read_bytes())
        return dict(found) if found["figures"]["cross-validation"]["all"] else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def scores(root: Path | None = None) -> pd.DataFrame:
    """scores.csv, a row a cell: cell, kind, score, percentile, extrapolates, parameters, note. No rows where it is missing or damaged."""
    names = ["cell", "kind", "score", "percentile", "extrapolates", "parameters", "note"]
    try:
        return pd.read_csv((root or runs_root()) / "scores" / "scores.csv")[names]
    except (OSError, ValueError, KeyError):
        return pd.DataFrame(columns=names)


def figures() -> dict[str, dict[str, dict[str, Any]]]:
    """The figures of validity.json by part and group; a part that is not recorded is empty."""
    parts = about().get("figures", {})
    return {name: dict(parts.get(name, {})) for name in dict.fromkeys([*parts, *PARTS])}


PARTS = (
    "cross-validation", "fully trained cells", "extrapolation", "skip connections of labelled cells", "beyond the skip connections seen",
    "calibration on labels", "calibration on full training", "short evaluation", "accuracy so far",
)  # fmt: skip


def by_fold(parts: Mapping[str, Any]) -> pd.DataFrame:
    """The agreement of the score with the labels in cross-validation: of all cells, and the range over the folds."""
    every = dict(parts["cross-validation"])
    whole, folds = every.pop("all", {}), pd.DataFrame(every)
    words = {"spearman": "Spearman", "kendall": "Kendall", "r2": "R²", "rmse": "RMSE, points"}
    known = [(name, whole[key], folds.loc[key]) for key, name in words.items() if key in whole]
    rows = [[name, f"{of_all:.3f}", f"{by.min():.3f} to {by.max():.3f}"] for name, of_all, by in known]
    return rows_frame(["agreement with the labels", "all cells", "by fold"], rows)


def choices(parts: Mapping[str, Any]) -> pd.DataFrame:
    """The options that the model was chosen from, by cross-validation on the labels alone."""
    rows = [
        [part.removeprefix("choice of "), name, f"{row['spearman']:.4f}", f"{row['rmse']:.4f}", "chosen" if row["chosen"] else ""]
        for part, options in parts.items()
        if part.startswith("choice of ")
        for name, row in options.items()
    ]
    return rows_frame(["choice", "option", "Spearman", "RMSE, points", "which"], rows)


def interval(row: Mapping[str, float]) -> str:
    """`0.60 [0.50, 0.69]`: a rank correlation and its 95 % bootstrap interval."""
    return f"{row['spearman']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def predictors(part: Mapping[str, Any]) -> pd.DataFrame:
    """How each predictor orders fully trained cells, by the accuracy after the last and the best epoch, with intervals."""
    names = [name.removesuffix(", final") for name in part if name.endswith(", final")]
    rows = [[name, *(interval(part[f"{name}, {which}"]) for which in ("final", "best"))] for name in names]
    return rows_frame(["predictor", "accuracy after the last epoch", "accuracy after the best epoch"], rows)


def draw_calibration(parts: Mapping[str, Any]) -> Figure:
    """Ten bins of the score against the labels, and against full training."""
    figure, axes = palette.axes(2, 3.6)
    panels = (("calibration on labels", "o", "score in cross-validation, %", "label of NAS-Bench-301, %"),
              ("calibration on full training", "s", "score, %", "test accuracy, fully trained by others, %"))  # fmt: skip
    for ax, colour, (part, marker, below, left) in zip(axes, (palette.BLUE, palette.ORANGE), panels, strict=True):
        x, y, deviation = (np.array([row[key] for row in parts[part].values()]) for key in ("predicted", "observed", "sd"))
        ax.errorbar(x, y, deviation, color=colour, marker=marker, ls="none", capsize=3, lw=1)
        ax.set(xlabel=below, ylabel=left)
        if part == "calibration on labels":
            ax.axline((x[0], x[0]), slope=1, color="0.5", lw=1, zorder=0)
    return figure


def skips(parts: Mapping[str, Any]) -> pd.DataFrame:
    """How many labelled cells have so many skip connections, and how far the score is off where both cells together have so many."""
    headers = ["skip connections", "in the normal cell", "in the reduction cell", "in both", "score less label, points"]
    return rows_frame(headers, [
        [n, *(str(row[name]) for name in ("normal cell", "reduction cell", "both")), f"{row['bias']:+.2f}" if "bias" in row else DASH]
        for n, row in parts["skip connections of labelled cells"].items()
    ])  # fmt: skip


def beyond(parts: Mapping[str, Any]) -> pd.DataFrame:
    """Models fitted to the cells with few skip connections, judged on the labelled cells with more."""
    headers = ["skip connections", "fitted cells", "judged cells", "Spearman", "score less label, points", "RMSE, points"]
    return rows_frame(headers, [
        [name, f"{row['fitted']:,}", str(row["cells"]), f"{row['spearman']:.2f}", f"{row['bias']:+.2f}", f"{row['rmse']:.2f}"]
        for name, row in parts["beyond the skip connections seen"].items()
    ])  # fmt: skip


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells with their scores; a star marks an extrapolated one. frame: rows of `scores`."""
    rows = []
    for row in each(frame):
        star, note = "*" if str(row.extrapolates) == "True" else "", "" if pd.isna(row.note) else str(row.note)
        known = [f"{row.score:.2f}{star}", f"{row.percentile:.1f}", f"{row.parameters / 1e6:.2f}"]
        rows.append([str(row.cell), *([DASH] * 3 if pd.isna(row.score) else known), note])
    return rows_frame(["cell", "score", "percentile", "parameters, M", "note"], rows)


def by_method(root: Path | None = None) -> pd.DataFrame:
    """The scores of the recorded searches of each arm at the cpu scale: n, score, percentiles, and how many extrapolate."""
    searches = verdicts.labelled(results.searches(root).query("scale == 'cpu'"))
    frame = searches[searches["label"] != ""].merge(scores(root).dropna(subset="score"), left_on="run", right_on="cell")
    return rows_frame(["arm", "n", "score", "percentiles", "extrapolated"], [
        [str(label), str(len(rows)), spread(rows["score"]), ", ".join(f"{p:.0f}" for p in sorted(rows["percentile"])),
         f"{(rows['extrapolates'].astype(str) == 'True').sum()} of {len(rows)}"]
        for label, rows in frame.groupby("label")
    ])  # fmt: skip


def source() -> str:
    """What the records were made from, and links to them."""
    found = about()
    data = "; ".join(f"`{Path(name).name}` (sha256 `{digest[:12]}`)" for name, digest in found["data"].items())
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    links = download(*(runs_root() / "scores" / name for name in FILES))
    return f"Made {found['made'][:10]} by code `{found['git_commit'][:12]}` with {versions}, from {data}.{links}"

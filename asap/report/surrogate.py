"""The page on the scores: what they are worth, and every cell's, from the records under runs/scores/ alone. Needs no torch."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..records.parameters import runs_root
from ..records.run import RecordError
from ..records.study import names
from . import design, palette, results, verdicts
from .display import DASH, commit, download, formatted, rows_frame, spread

FILES = ("scores.csv", "yang2020.csv", "short.csv", "others.csv", "validity.csv", "validity.json")


def about(root: Path | None = None) -> dict[str, Any]:
    """validity.json: what the scores were made from, and the `figures` of what they are worth. Empty where it is missing or damaged."""
    try:
        found = json.loads(((root or runs_root()) / "scores" / "validity.json").read_bytes())
        return dict(found) if found["figures"]["cross-validation"]["all"] else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def scores(root: Path | None = None) -> pd.DataFrame:
    """`design.scores`, without rows where they are damaged."""
    try:
        return design.scores(root)
    except RecordError:
        return design.NO_SCORES


def searched(root: Path | None = None) -> pd.DataFrame:
    """The `scores` of recorded searches at the cpu scale or a larger one, with their `arm` in the first study that plans them."""
    searches = results.searches(root).query("scale in ['cpu', 'paper']")
    arm = results.first_arm(searches, *verdicts.STUDIES, *names()).replace("", DASH)
    return scores(root).merge(searches.assign(arm=arm)[["run", "arm", "scale", "variant"]], left_on="cell", right_on="run")


def figures(root: Path | None = None) -> Mapping[str, dict[str, dict[str, Any]]]:
    """The figures of validity.json by part and group; a part that is not recorded is empty."""
    return defaultdict(dict, about(root).get("figures", {}))


def by_fold(parts: Mapping[str, Any]) -> pd.DataFrame:
    """The agreement of the score with the labels in cross-validation: of all cells, and the range over the folds."""
    every = dict(parts["cross-validation"])
    whole, folds = every.pop("all", {}), pd.DataFrame(every)
    words = {"spearman": "Spearman", "kendall": "Kendall", "r2": "R²", "rmse": "RMSE, points"}
    columns = {"agreement with the labels": "{name}", "all cells": "{all:.3f}", "by fold": "{least:.3f} to {most:.3f}"}
    known = [key for key in words if key in whole]
    return formatted(
        columns, *({"name": words[k], "all": whole[k], "least": folds.loc[k].min(), "most": folds.loc[k].max()} for k in known)
    )


def choices(parts: Mapping[str, Any]) -> pd.DataFrame:
    """The options that the model was chosen from, by cross-validation on the labels alone."""
    columns = {"choice": "{part}", "option": "{name}", "Spearman": "{spearman:.4f}", "RMSE, points": "{rmse:.4f}", "which": "{which}"}
    choice = "choice of "
    options = [(part.removeprefix(choice), name, row) for part, of in parts.items() if part.startswith(choice) for name, row in of.items()]
    which = {True: "chosen", False: ""}
    return formatted(columns, *({**row, "part": part, "name": name, "which": which[bool(row["chosen"])]} for part, name, row in options))


def interval(row: Mapping[str, float]) -> str:
    """`0.60 [0.50, 0.69]`: a rank correlation and its 95 % bootstrap interval; a dash where one of the two orders is none."""
    known = row["spearman"] == row["spearman"]
    return f"{row['spearman']:.2f} [{row['low']:.2f}, {row['high']:.2f}]".replace("-0.00", "0.00") if known else DASH


def predictors(part: Mapping[str, Any]) -> pd.DataFrame:
    """How each predictor orders fully trained cells, by the accuracy after the last and the best epoch, with intervals."""
    found = [name.removesuffix(", final") for name in part if name.endswith(", final")]
    rows = [[name, *(interval(part[f"{name}, {which}"]) for which in ("final", "best"))] for name in found]
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
    columns = {
        "skip connections": "{n}", "in the normal cell": "{normal cell}", "in the reduction cell": "{reduction cell}", "in both": "{both}",
        "score less label, points": "{bias:+.2f}",
    }  # fmt: skip
    return formatted(columns, *({"n": n, **row} for n, row in parts["skip connections of labelled cells"].items()))


def beyond(parts: Mapping[str, Any]) -> pd.DataFrame:
    """Models fitted to the cells with few skip connections, judged on the labelled cells with more."""
    columns = {
        "skip connections": "{name}", "fitted cells": "{fitted:,}", "judged cells": "{cells}", "Spearman": "{spearman:.2f}",
        "score less label, points": "{bias:+.2f}", "RMSE, points": "{rmse:.2f}",
    }  # fmt: skip
    return formatted(columns, *({"name": name, **row} for name, row in parts["beyond the skip connections seen"].items()))


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells with their arm, where they have one, and their scores; a star marks an extrapolated one. frame: rows of `scores`."""
    columns = {
        "cell": "{cell}", "arm": "{arm}", "score": "{score:.2f}{star}", "percentile": "{percentile:.1f}", "parameters, M": "{millions:.2f}",
        "note": "{note}",
    }  # fmt: skip
    frame = frame.assign(star=frame["extrapolates"].astype(str).map({"True": "*"}).fillna(""), millions=frame["parameters"] / 1e6)
    return formatted(columns, *({str(name): value for name, value in row.dropna().items()} for _, row in frame.iterrows()))


def summary(rows: pd.DataFrame) -> tuple[str, str]:
    """The percentiles, and how many scores are extrapolated: `82, 88` and `1 of 2`. rows: of `scores`."""
    extrapolated = (rows["extrapolates"].astype(str) == "True").sum()
    return ", ".join(f"{p:.0f}" for p in sorted(rows["percentile"])), f"{extrapolated} of {len(rows)}"


def by_method(root: Path | None = None) -> pd.DataFrame:
    """The scores of the recorded searches of each arm at the cpu scale, on each copy of the images apart: n, score, percentiles, and how
    many extrapolate."""
    frame = searched(root).query("arm != @DASH and scale == 'cpu'").dropna(subset="score")
    return rows_frame(["arm", "images", "n", "score", "percentiles", "extrapolated"], [
        [*map(str, names), str(len(rows)), spread(rows["score"]), *summary(rows)] for names, rows in frame.groupby(["arm", "variant"])
    ])  # fmt: skip


def source() -> str:
    """What the records were made from, and links to them."""
    found = about()
    data = "; ".join(f"`{Path(name).name}` (sha256 `{digest[:12]}`)" for name, digest in found["data"].items())
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    links = download(*(runs_root() / "scores" / name for name in FILES))
    return f"Made {found['made'][:10]} by code {commit(found['git_commit'])} with {versions}, from {data}.{links}"

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
from ..score.surrogate import NAME
from . import palette
from .display import download, missing, say
from .display import figure as show
from .tables import markdown


def _records() -> tuple[dict[str, Any], pd.DataFrame] | None:
    """validity.json and scores.csv; None, said on the page, where one is missing or damaged."""
    folder = runs_root() / "scores"
    try:
        about, scores = json.loads((folder / "validity.json").read_bytes()), pd.read_csv(folder / "scores.csv")
        if about["figures"]["cross-validation"]["all"] and scores["percentile"].notna().any():
            return about, scores
    except (OSError, ValueError, KeyError, TypeError):
        pass
    missing("whole `runs/scores/scores.csv` and `runs/scores/validity.json`", "asap score --record")
    return None


def figures() -> dict[str, Any]:
    """The figures of validity.json, by part and group; empty, said on the page, where it is missing or damaged."""
    found = _records()
    return dict(found[0]["figures"]) if found else {}


def validity() -> None:
    """The cross-validation, the choice of the model, and the order of the fully trained cells."""
    if found := _records():
        about, figures = found[0], found[0]["figures"]
        folds = pd.DataFrame({name: row for name, row in figures["cross-validation"].items() if name != "all"})
        rows = [
            [name, f"{figures['cross-validation']['all'][key]:.3f}", f"{folds.loc[key].min():.3f} to {folds.loc[key].max():.3f}"]
            for key, name in {"spearman": "Spearman", "kendall": "Kendall", "r2": "R²", "rmse": "RMSE, points"}.items()
        ]
        say(
            f"**Against the labels, in cross-validation.** {about['labelled_cells']:,} labelled cells make {folds.shape[1]} folds. Each is "
            f"predicted by a model fitted to the others. The labels have a standard deviation of {about['labels']['sd']:.2f} points."
        )
        say(markdown(["agreement with the labels", "all cells", "by fold"], rows))
        rows = [
            [part.removeprefix("choice of "), f"**{name}**" if row["chosen"] else name, f"{row['spearman']:.4f}", f"{row['rmse']:.4f}"]
            for part, options in figures.items()
            if part.startswith("choice of ")
            for name, row in options.items()
        ]
        table = markdown(["choice", "option (bold: chosen)", "Spearman", "RMSE, points"], rows)
        say(f":::{{dropdown}} How the model was chosen: by cross-validation on the labels alone, in other folds\n{table}\n:::")
        trained = figures["fully trained cells"]
        names = [name.removesuffix(", final") for name in trained if name.endswith(", final")]
        rows = [[name, *(_interval(trained[f"{name}, {which}"]) for which in ("final", "best"))] for name in names]
        say(
            f"**Against full training.** {{cite:t}}`yang2020nas` trained {figures['extrapolation']['fully trained cells']['cells']} random "
            "cells in full. The surrogate never saw them. The table has Spearman's correlation with their test accuracy and its 95 % "
            "bootstrap interval. The size of a network is the obvious rival, so it is judged too."
        )
        say(markdown(["predictor", "accuracy after the last epoch", "accuracy after the best epoch"], rows))
        say(
            "The score tells bad cells from others. Whether it orders good ones is told by the rows of the better half and of the best "
            "30 %. Published cells lie there, so a difference between two high percentiles is weak evidence."
        )
        say(
            f"Pearson's correlation of the score with the accuracy after the last epoch is {trained['score, final']['pearson']:.2f}. "
            f"Spearman's correlation of the score with the number of parameters is {_interval(trained['score and parameters'])}."
        )


def _interval(row: Mapping[str, float]) -> str:
    return f"{row['spearman']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def calibration() -> None:
    """The figure: ten bins of the score against the labels, and against full training."""
    if found := _records():
        show(
            draw_calibration(found[0]["figures"]),
            "**Calibration.** Equally full bins of the score, by their means. Bars are one standard deviation of the cells in the bin. "
            "Left: the labels; each cell is predicted by a model that had not seen it, and the line is where both are equal. Right: the "
            "accuracy of the fully trained cells after the last epoch; it is on another scale, because the training is.",
        )


def draw_calibration(figures: Mapping[str, Any]) -> Figure:
    """Two panels from the parts `calibration on labels` and `calibration on full training` of validity.json's figures."""
    figure, axes = palette.axes(2, 3.6)
    panels = (("calibration on labels", "o", "score in cross-validation, %", "label of NAS-Bench-301, %"),
              ("calibration on full training", "s", "score, %", "test accuracy, fully trained by others, %"))  # fmt: skip
    for ax, colour, (part, marker, below, left) in zip(axes, (palette.BLUE, palette.ORANGE), panels, strict=True):
        x, y, spread = (np.array([row[key] for row in figures[part].values()]) for key in ("predicted", "observed", "sd"))
        ax.errorbar(x, y, spread, color=colour, marker=marker, ls="none", capsize=3, lw=1)
        ax.set(xlabel=below, ylabel=left)
        if part == "calibration on labels":
            ax.axline((x[0], x[0]), slope=1, color="0.5", lw=1, zorder=0)
    return figure


def limits() -> None:
    """Where the labelled cells lie, and what extrapolation costs."""
    if found := _records():
        figures, share = found[0]["figures"], found[0]["usual"]["share"]
        say(
            f"A score is marked as extrapolated where the cell has more of one operation than {share:g} % of the labelled cells, in either "
            "cell or in both together. It is also marked where it is higher than every label. "
            + " ".join(f"Of the {p['cells']:,} {name}, {p['extrapolating']} are marked." for name, p in figures["extrapolation"].items())
        )
        rows = [
            [n, *(str(row[name]) for name in ("normal cell", "reduction cell", "both")), f"{row['bias']:+.2f}" if "bias" in row else "–"]
            for n, row in figures["skip connections of labelled cells"].items()
        ]
        say("**Where the labelled cells lie.** How many have so many skip connections; the last column is of those with so many in both.")
        say(markdown(["skip connections", "in the normal cell", "in the reduction cell", "in both", "score less label, points"], rows))
        rows = [
            [name, f"{row['fitted']:,}", str(row["cells"]), f"{row['spearman']:.2f}", f"{row['bias']:+.2f}", f"{row['rmse']:.2f}"]
            for name, row in figures["beyond the skip connections seen"].items()
        ]
        say("**What extrapolation costs.** Models fitted to the cells with few skip connections, judged on the labelled cells with more.")
        say(markdown(["skip connections", "fitted cells", "judged cells", "Spearman", "score less label, points", "RMSE, points"], rows))


def scores() -> None:
    """Every published and searched cell's score, the random cells' distribution, and what the records were made from."""
    if found := _records():
        about, frame = found
        arm = about["random_cells"]
        say(
            f"The {arm['cells']} random cells of the [design](design.md) score {arm['mean']:.2f} ± {arm['sd']:.2f} (standard deviation). "
            f"Percentiles are among {about['reference']['cells']:,} other random cells. The highest label is "
            f"{about['labels']['highest']:.2f}. A star marks a score that is extrapolated; the note says why."
        )
        for kind, title in (("published", "Published cells"), ("searched", "Cells of recorded searches")):
            rows = [_row(row) for row in frame[frame["kind"] == kind].to_dict("records")]
            say(f"**{title}**\n\n" + markdown(["cell", "score", "percentile", "parameters, M", "note"], rows))
        data = "; ".join(f"`{Path(name).name}` (sha256 `{digest[:12]}`)" for name, digest in about["data"].items())
        versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        links = download(*(runs_root() / "scores" / name for name in ("scores.csv", "yang2020.csv", "validity.csv", "validity.json")))
        say(f"The {NAME}: made {about['made'][:10]} by code `{about['git_commit'][:12]}` with {versions}, from {data}.{links}")


def _row(row: Mapping[Any, Any]) -> list[str]:
    """A row of the table of cells."""
    note = "" if pd.isna(row["note"]) else str(row["note"])
    if pd.isna(row["score"]):
        return [row["cell"], "–", "–", "–", note]
    star = "*" if str(row["extrapolates"]) == "True" else ""
    return [row["cell"], f"{row['score']:.2f}{star}", f"{row['percentile']:.1f}", f"{row['parameters'] / 1e6:.2f}", note]

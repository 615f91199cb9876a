"""What a short evaluation can tell about a cell: its error at the cpu scale on cells that others trained in full. Needs no torch.

The study `validity` evaluates 16 of the 214 cells of Yang et al. (2020), spread evenly over the ranks of their last accuracy: those of rank
⌊(i + ½)·214/16⌋, the worst first. `asap score --record` compares.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ..errors import one_line
from ..paper.space import Genotype
from ..records.study import load
from .features import parameters
from .surrogate import ACCURACIES, TRAINED_SOURCE, SurrogateError, reference_file

STUDY, LEAST = "validity", 6
CURVES = "reference/yang2020/curves_hundredths.npz"
EPOCHS = (1, 5, 10, 25, 50, 100, 200, 300, 400, 500, 600)


def evaluated(root: Path, cells: Sequence[Genotype], accuracies: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    """A row a finished evaluation of the study: index, error at the cpu scale, score, parameters (at 36 channels), final and best accuracy.

    cells, accuracies, scores: the 214 cells, what full training gave, and their scores. Raises `SurrogateError` where an evaluation trained
    another cell than the one that its arm, `yang2020-INDEX`, names.
    """
    rows = []
    row_of = {int(index): row for row, index in enumerate(accuracies["index"])}
    study = load(STUDY)
    for label in study.labels:
        for run in study.runs(root, "evaluation", label):
            row = row_of[int(label.rpartition("-")[2])]
            if run.genotype() != cells[row]:
                raise SurrogateError(f"{run.name} trained another cell than {label}")
            full = {which: accuracies[which].iloc[row] for which in ACCURACIES}
            known = {"index": accuracies["index"].iloc[row], "error": run.outcome["test_error"], "score": scores[row]}
            rows.append({**known, "parameters": parameters(cells[row]), **full})
    return pd.DataFrame(rows, columns=["index", "error", "score", "parameters", *ACCURACIES])


def curves(data: Path, accuracies: pd.DataFrame) -> dict[str, dict[str, float]]:
    """How the accuracy so far in the 600 epochs of full training orders the cells as its last epoch does, by epoch.

    Raises `SurrogateError`, one line, where the curves are missing or damaged.
    """
    content = reference_file(data, CURVES, TRAINED_SOURCE)
    try:
        every = np.load(io.BytesIO(content), allow_pickle=False)["random214"]
        final = accuracies["final"].to_numpy()
        return {str(e): {"spearman": float(stats.spearmanr(every[:, e - 1], final).statistic), "cells": len(final)} for e in EPOCHS}
    except (KeyError, ValueError, OSError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise SurrogateError(f"{data / CURVES} is damaged: {one_line(error)}") from None


def detectable(count: int) -> float:
    """The least rank correlation of the population that so many cells show with a power of 80 % (Fisher's z, two-sided at 5 %)."""
    return float(np.tanh((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * 1.03 / np.sqrt(count - 3)))


def judges(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """How error (scale cpu) and score order the evaluated cells, each at equal size, and which does better; {} of fewer than `LEAST`."""
    from .validity import partial_spearman, spearman, with_interval

    if len(frame) < LEAST:
        return {}

    found: dict[str, dict[str, float]] = {}
    size = frame["parameters"].to_numpy(float)
    for name, values in (
        ("error at the cpu scale, negated", -frame["error"]),
        ("score", frame["score"]),
        ("parameters", frame["parameters"]),
    ):
        for which in ACCURACIES:
            full, own = frame[which].to_numpy(float), values.to_numpy(float)
            found[f"{name}, {which}"] = {**with_interval(spearman, own, full), "cells": len(frame)}
            if name != "parameters":
                found[f"{name}, at equal parameters, {which}"] = with_interval(partial_spearman, own, full, size)
    for which in ACCURACIES:
        of = (frame[name].to_numpy(float) for name in ("error", "score", which))
        found[f"error less score, {which}"] = with_interval(lambda e, s, full: spearman(-e, full) - spearman(s, full), *of)
    found["could be shown"] = {"spearman": detectable(len(frame)), "cells": len(frame)}
    return found

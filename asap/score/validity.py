"""What the scores of surrogate.py are worth, and the records under runs/scores/. Needs no torch.

scores.csv     every published, searched and random cell: kind, score, percentile, extrapolates, parameters, note
yang2020.csv   the same of the 214 random cells that Yang et al. (2020) trained in full, by their index; not their accuracy
short.csv      those of them that the study `validity` evaluated: error at the cpu scale, score, and the accuracy of their full training
others.csv     courses of searches at full scale by others (others.py)
validity.csv   part, group, measure, value: every figure of validity.json as a table
validity.json  the figures, and what they were computed from and with
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..paper.space import Genotype
from ..records.parameters import git_commit
from ..records.recorder import write_atomically
from ..records.run import digest_of
from . import others, short
from .features import feature_names, features, parameters, skip_counts
from .surrogate import (
    ACCURACIES,
    ARM,
    LABELS,
    NAME,
    REFERENCE,
    RIDGE,
    TRAINED,
    TREES,
    TREES_ALWAYS,
    USUAL,
    Surrogate,
    boosted_trees,
    known_cells,
    read_labels,
    read_trained,
    ridge_regression,
)

FOLDS, BINS, RESAMPLES = 10, 10, 2000
#: What was chosen from, by the rank correlation in cross-validation on the labels alone.
CHOICES: dict[str, list[dict[str, Any]]] = {
    "ridge": [{"alpha": alpha} for alpha in (10.0, 30.0, 100.0, 300.0, 1000.0)],
    "trees": [{"n_estimators": n, "max_depth": depth} for depth in (1, 2, 3) for n in (1000, 2000)],
}
MODELS: dict[str, Callable[..., Any]] = {"ridge": ridge_regression, "trees": boosted_trees}
CHOSEN: dict[str, dict[str, Any]] = {"ridge": RIDGE, "trees": TREES}
Figures = dict[str, dict[str, dict[str, float]]]


def agreement(predicted: np.ndarray, observed: np.ndarray) -> dict[str, float]:
    """How two series (n,) in per cent agree: Spearman, Kendall, R², root mean square error in points, n."""
    error = predicted - observed
    return {
        "spearman": float(stats.spearmanr(predicted, observed).statistic),
        "kendall": float(stats.kendalltau(predicted, observed).statistic),
        "r2": float(1 - (error**2).sum() / ((observed - observed.mean()) ** 2).sum()),
        "rmse": float(np.sqrt((error**2).mean())),
        "cells": len(observed),
    }


def folds(count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The indices to fit on and to test on, for each of ten folds of `count` cells in a random order."""
    parts = np.array_split(np.random.default_rng(seed).permutation(count), FOLDS)
    for i, test in enumerate(parts):
        yield np.concatenate([*parts[:i], *parts[i + 1 :]]), test


def choices(x: np.ndarray, labels: np.ndarray) -> Figures:
    """The cross-validation of each of `CHOICES`, and of the chosen model on parts of the features."""
    found: Figures = {"ridge": {}, "trees": {}, "features": {}}
    for member, options in CHOICES.items():
        for option in options:
            name = ", ".join(f"{key} {value:g}" for key, value in option.items())
            predicted = _predicted(MODELS[member](**option), x, labels)
            found[member][name] = {**agreement(predicted, labels), "chosen": float(option == CHOSEN[member])}
    names = pd.Series(feature_names())
    edge, graph = (names.str.contains(pattern).to_numpy() for pattern in ("→", "depth|edges from|nodes that|paths from"))
    parts = {"operations on edges": edge, "and numbers of operations": ~graph, "and depth and width": edge | ~edge}
    for name, part in parts.items():
        members = [_predicted(MODELS[m](**CHOSEN[m]), x[:, part], labels) for m in MODELS]
        found["features"][name] = {**agreement(np.mean(members, axis=0), labels), "chosen": float(part.all())}
    return found


def _predicted(model: Any, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,): the label of each cell as the model predicts it, fitted to the other folds."""
    from sklearn.model_selection import cross_val_predict

    return np.asarray(cross_val_predict(model, x, labels, cv=list(folds(len(labels), seed=0))))


def cross_validation(cells: Sequence[Genotype], labels: np.ndarray) -> tuple[np.ndarray, dict[str, dict[str, float]]]:
    """The labels predicted out of their fold (n,), and the agreement with the labels by fold and of all. The folds are others than
    those that chose the model."""
    predicted, found = np.empty(len(labels)), {}
    for i, (fit, test) in enumerate(folds(len(labels), seed=1)):
        predicted[test] = Surrogate([cells[j] for j in fit], labels[fit]).scores([cells[j] for j in test])
        found[f"fold {i + 1}"] = agreement(predicted[test], labels[test])
    return predicted, {**found, "all": agreement(predicted, labels)}


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rank correlation of a and b, each (…, n), along the last axis; nan where one does not vary."""
    x, y = (ranks - ranks.mean(axis=-1, keepdims=True) for ranks in (stats.rankdata(values, axis=-1) for values in (a, b)))
    with np.errstate(invalid="ignore"):
        return np.asarray((x * y).sum(axis=-1) / np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1)))


def partial_spearman(a: np.ndarray, b: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The rank correlation of a and b at equal `given`, each (…, n); nan where `given` orders one of them (to rounding)."""
    ab, ag, bg = (spearman(p, q) for p, q in ((a, b), (a, given), (b, given)))
    scale = np.sqrt((1 - ag**2) * (1 - bg**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(scale > 1e-7, (ab - ag * bg) / scale, np.nan)


def with_interval(statistic: Callable[..., np.ndarray], *series: np.ndarray) -> dict[str, float]:
    """A statistic of series (n,), and the 2.5th and 97.5th percentile of it over bootstrap samples of the cells."""
    rng, n = np.random.default_rng(0), len(series[0])
    rows = rng.integers(n, size=(RESAMPLES, n))
    low, high = np.nanpercentile(statistic(*(values[rows] for values in series)), [2.5, 97.5])
    return {"spearman": float(statistic(*series)), "low": float(low), "high": float(high)}


TOP = {"score, among the better half by score": 0.5, "score, among the best 30 % by score": 0.3}


def against_full_training(scores: np.ndarray, sizes: np.ndarray, accuracies: pd.DataFrame) -> dict[str, dict[str, float]]:
    """How the scores and the numbers of parameters, each (n,), order fully trained cells."""
    found: dict[str, dict[str, float]] = {}
    for which in ACCURACIES:
        accuracy = accuracies[which].to_numpy()
        for name, values in (("score", scores), ("parameters", sizes)):
            others = {"pearson": stats.pearsonr, "kendall": stats.kendalltau}
            also = {word: float(test(values, accuracy).statistic) for word, test in others.items()}
            found[f"{name}, {which}"] = with_interval(spearman, values, accuracy) | also
        found[f"score less parameters, {which}"] = with_interval(lambda s, p, a: spearman(s, a) - spearman(p, a), scores, sizes, accuracy)
        found[f"score at equal parameters, {which}"] = with_interval(partial_spearman, scores, accuracy, sizes)
        for name, share in TOP.items():  # an order over the whole range may be that of bad cells and good ones alone
            top = scores >= np.quantile(scores, 1 - share)
            found[f"{name}, {which}"] = with_interval(spearman, scores[top], accuracy[top])
    found["score and parameters"] = with_interval(spearman, scores, sizes)
    return found


def bins(predicted: np.ndarray, observed: np.ndarray) -> dict[str, dict[str, float]]:
    """Ten equally full bins of the prediction: n, mean prediction, mean and standard deviation of what was observed."""
    found: dict[str, dict[str, float]] = {}
    for i, rows in enumerate(np.array_split(np.argsort(predicted, kind="stable"), BINS)):
        mean, there = float(predicted[rows].mean()), observed[rows]
        spread = float(there.std(ddof=1)) if len(there) > 1 else 0.0
        found[f"bin {i + 1}"] = {"cells": len(rows), "predicted": mean, "observed": float(there.mean()), "sd": spread}
    return found


def skips(cells: Sequence[Genotype], residuals: np.ndarray) -> dict[str, dict[str, float]]:
    """By number of skip connections: how many cells have it in the normal, the reduction cell and in both together, and of the last
    the mean residual (n,) in points."""
    counts = skip_counts(cells)
    found: dict[str, dict[str, float]] = {}
    for n in range(int(counts["both"].max()) + 1):
        here = residuals[counts["both"] == n]
        found[str(n)] = {name: int((values == n).sum()) for name, values in counts.items()}
        if len(here):
            found[str(n)]["bias"] = float(here.mean())
    return found


def beyond(cells: Sequence[Genotype], labels: np.ndarray) -> dict[str, dict[str, float]]:
    """What extrapolation costs: fitted to the cells with at most so many skip connections, judged on those with more. Prediction less
    label is the bias, in points. A limit that leaves fewer than 20 cells on either side is left out."""
    count, found = skip_counts(cells)["both"], {}
    for limit in (2, 3, 4):
        few, many = (np.flatnonzero(mask).tolist() for mask in (count <= limit, count > limit))
        if min(len(few), len(many)) >= 20:
            predicted = Surrogate([cells[i] for i in few], labels[few]).scores([cells[i] for i in many])
            bias = float((predicted - labels[many]).mean())
            found[f"fitted to at most {limit}"] = {**agreement(predicted, labels[many]), "bias": bias, "fitted": len(few)}
    return found


def record(root: Path, data: Path) -> list[Path]:
    """Write scores.csv, yang2020.csv, validity.csv and validity.json under runs/scores/; returns their paths.

    Raises `UserError`, one line, where data are missing or damaged; then nothing is written.
    """
    cells, labels = read_labels(data)
    trained, accuracies = read_trained(data)
    surrogate = Surrogate(cells, labels)
    kinds = known_cells(root)
    parts = [surrogate.rows(named).assign(kind=kind) for kind, named in kinds.items()]
    columns = ["cell", "kind", "score", "percentile", "extrapolates", "parameters", "note"]
    scores = pd.concat(parts, ignore_index=True)[columns]
    yang = surrogate.rows({str(i): cell for i, cell in zip(accuracies["index"], trained, strict=True)}).rename(columns={"cell": "index"})
    arm = surrogate.scores([kinds["random"][f"random-{seed}"] for seed in ARM])
    reference, rank = surrogate.reference, stats.percentileofscore(surrogate.reference, arm, kind="mean")
    about: dict[str, Any] = {
        "what": f"{NAME}: the label that it predicts, a validation accuracy in per cent",
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "versions": {"python": platform.python_version(), **{n: version(n) for n in ("numpy", "pandas", "scipy", "scikit-learn")}},
        "data": {name: digest_of((data / name).read_bytes()) for name in (*LABELS, TRAINED)},
        "code": {
            name: digest_of(Path(__file__).with_name(name).read_bytes()) for name in ("features.py", "surrogate.py", Path(__file__).name)
        },
        "model": {"ridge": RIDGE, "trees": {**TREES, **TREES_ALWAYS}, "features": len(feature_names())},
        "labelled_cells": len(cells),
        "labels": {"mean": labels.mean(), "sd": labels.std(ddof=1), "lowest": labels.min(), "highest": labels.max()},
        "reference": {"cells": REFERENCE, "mean": reference.mean(), "sd": reference.std(ddof=1), "highest": reference[-1]},
        "random_cells": {"cells": len(arm), "mean": arm.mean(), "sd": arm.std(ddof=1), "percentile": rank.mean()},
        "usual": {"share": USUAL, "limits": {f"{o}, {kind}": limit for (kind, o), limit in surrogate.limits.items()}},
    }
    figures = _recorded_figures(root, about) or validity(surrogate, cells, labels, trained, accuracies)
    evaluated = short.evaluated(root, trained, accuracies, yang["score"].to_numpy(float))
    figures |= {"accuracy so far": short.curves(data, accuracies), "short evaluation": short.judges(evaluated)}
    about["figures"] = figures
    rows = [(part, group, name, value) for part, groups in figures.items() for group, f in groups.items() for name, value in f.items()]
    table = pd.DataFrame(rows, columns=["part", "group", "measure", "value"])
    written = {
        "scores.csv": scores.to_csv(index=False),
        "yang2020.csv": yang.to_csv(index=False),
        "short.csv": evaluated.to_csv(index=False),
        "others.csv": others.courses(data).to_csv(index=False, float_format="%.5g"),
        "validity.csv": table.to_csv(index=False, float_format="%.6g"),
        "validity.json": json.dumps(_rounded(about), indent=1, ensure_ascii=False) + "\n",
    }
    paths = [root / "scores" / name for name in written]
    for path, text in zip(paths, written.values(), strict=True):
        write_atomically(path, text.encode())
    return paths


def _recorded_figures(root: Path, about: Mapping[str, Any]) -> Figures | None:
    """The figures of the last record, which take minutes, where it is of the same data, code and versions."""
    try:
        last = json.loads((root / "scores" / "validity.json").read_bytes())
        same = all(last[key] == about[key] for key in ("data", "code", "versions"))
        return dict(last["figures"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def validity(
    surrogate: Surrogate, cells: Sequence[Genotype], labels: np.ndarray, trained: Sequence[Genotype], accuracies: pd.DataFrame
) -> Figures:
    """Every figure of validity.csv: by part, group and measure."""
    x = np.array([features(cell) for cell in cells])
    predicted, by_fold = cross_validation(cells, labels)
    scores, sizes = surrogate.scores(trained), np.array([parameters(cell) for cell in trained])
    far = {
        "labelled cells": [surrogate.extrapolation(cell, 0.0) for cell in cells],
        "fully trained cells": [surrogate.extrapolation(cell, score) for cell, score in zip(trained, scores, strict=True)],
    }
    return {
        **{f"choice of {name}": groups for name, groups in choices(x, labels).items()},
        "cross-validation": by_fold,
        "fully trained cells": against_full_training(scores, sizes, accuracies),
        "calibration on labels": bins(predicted, labels),
        "calibration on full training": bins(scores, accuracies["final"].to_numpy()),
        "skip connections of labelled cells": skips(cells, predicted - labels),
        "beyond the skip connections seen": beyond(cells, labels),
        "extrapolation": {name: {"cells": len(why), "extrapolating": sum(map(bool, why))} for name, why in far.items()},
    }


def _rounded(value: Any) -> Any:
    """Numbers to six significant digits, in dictionaries too."""
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value

"""Courses of searches at full scale by others, beside which ours are drawn: what runs/scores/others.csv holds. Needs no torch.

A row a group of searches and epoch: source, method, searches (how many), epoch, time (epoch over the last one), accuracy (validation, of
the supernet, %: the median), low and high (the lowest and the highest), changed_edges (of the 16 edges of the chosen cell, how many are not
those of the epoch before, in the mean; nan where cells are not told) and changed (the share of searches whose chosen cell changed).
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import one_line
from ..paper.space import Genotype
from .surrogate import SurrogateError, reference_file

SUPERNETS = {"darts": ("DARTS", 5), "drnas": ("DrNAS", 3), "gdas": ("GDAS", 5)}
NASLIB, NASLIB_SOURCE = "reference/naslib_edge_popup", "automl/NASLib, branch edge_popup, moz/"
ROBUST, ROBUST_SOURCE = "reference/robustdarts/robustdarts_search_runs.json.xz", "automl/RobustDARTS, experiments/search_logs"
#: The groups of RobustDARTS: its search spaces and data sets, over every weight decay and drop-path rate that its authors tried.
SPACES = {("s1", "cifar10"): "DARTS in space S1, CIFAR-10", ("s3", "svhn"): "DARTS in space S3, SVHN"}


def changed_edges(cells: list[Genotype]) -> np.ndarray:
    """(epochs − 1,): of the edges of both cells, how many the chosen cell has that that of the epoch before had not."""
    return np.array([len(now.placed - before.placed) for before, now in pairwise(cells)], dtype=float)


def _supernets(data: Path) -> Iterator[tuple[str, str, list[np.ndarray], list[np.ndarray]]]:
    for name, (method, runs) in SUPERNETS.items():
        curves = []
        for seed in range(1, runs + 1):
            frame = pd.read_csv(io.BytesIO(reference_file(data, f"{NASLIB}/nasbench301_cifar10_{name}_{seed}", NASLIB_SOURCE)))
            # two of the files are of two starts that wrote at once: an epoch's later line counts
            curves.append(frame.groupby("epoch")["val_top1"].last().to_numpy(float))
        yield "NASLib", method, curves, []


def _robust(data: Path) -> Iterator[tuple[str, str, list[np.ndarray], list[np.ndarray]]]:
    runs = json.loads(lzma.decompress(reference_file(data, ROBUST, ROBUST_SOURCE)))
    for (space, dataset), method in SPACES.items():
        whole = [r for r in runs if (r["space"], r["dataset"], len(r["genotype"])) == (space, dataset, 50) and len(r["valid_acc"]) == 50]
        cells = [changed_edges([Genotype.from_darts(text) for text in run["genotype"]]) for run in whole]
        yield "RobustDARTS", method, [np.array(run["valid_acc"], float) for run in whole], cells


def courses(data: Path) -> pd.DataFrame:
    """The table, from the files under the data root. Raises `SurrogateError`, one line, where one is missing or damaged."""
    try:
        parts = []
        for source, method, curves, changes in (*_supernets(data), *_robust(data)):
            accuracy, count = np.array(curves), len(curves[0])
            moved = np.array(changes) if changes else np.full((len(curves), count - 1), np.nan)
            moved = np.hstack([np.full((len(curves), 1), np.nan), moved])
            epochs = np.arange(1, count + 1)
            parts.append(pd.DataFrame({
                "source": source, "method": method, "searches": len(curves), "epoch": epochs, "time": epochs / count,
                "accuracy": np.median(accuracy, 0), "low": accuracy.min(0), "high": accuracy.max(0),
                "changed_edges": moved.mean(0), "changed": np.where(np.isnan(moved[0]), np.nan, (moved > 0).mean(0)),
            }))  # fmt: skip
        return pd.concat(parts, ignore_index=True)
    except SurrogateError:
        raise
    except (AttributeError, KeyError, ValueError, TypeError, IndexError, EOFError, lzma.LZMAError) as error:
        raise SurrogateError(f"reference/ under {data} is damaged: {one_line(error)}") from None

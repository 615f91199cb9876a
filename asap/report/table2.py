"""Table 2: the paper's errors on six further data sets, the margins of its wins, and what is recorded here. Needs no torch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..records.parameters import runs_root
from . import results, tables
from .display import DASH, code, rows_frame
from .inference import images_noise, rank_correlation
from .table1 import arm_name, by_cell, error_of, errors, probability, random_error, recorded, unprinted

SETS = tables.paper()["table2"]["datasets"]


def printed_rows() -> pd.DataFrame:
    """Table 2 as printed: test error, %."""
    rows = [
        [row["architecture"], *(f"{error:g}" for error in row["errors"]), f"{row['cost']:g}"] for row in tables.paper()["table2"]["rows"]
    ]
    best = ["known state of the art", *(f"{entry['best']:g}" for entry in SETS.values()), DASH]
    return rows_frame(["architecture", *(entry["name"] for entry in SETS.values()), "GPU-days"], [best, *rows])


def margin_rows() -> pd.DataFrame:
    """ASAP against the best other cell on each data set, in standard errors of a difference of two errors on so many test images."""
    lines = []
    for name, entry in SETS.items():
        printed = tables.table2()[name]
        asap, best = printed["ASAP"], printed.drop("ASAP").min()
        noise = images_noise([asap], entry["test_images"])
        ratio = abs(best - asap) / noise
        lines.append([entry["name"], f"{asap:g}", f"{best:g}", f"{best - asap:+.2f}", f"{entry['test_images']:,}",
                      f"{noise / np.sqrt(2):.2f}", "within one" if ratio <= 1 else f"{ratio:.1f}"])  # fmt: skip
    headers = ["data set", "ASAP, %", "best other, %", "margin", "test images", "standard error", "margin / standard error of a difference"]
    return rows_frame(headers, lines)


def here() -> list[tuple[str, str, pd.DataFrame]]:
    """The data sets of the table that are recorded here, each as (its key, its name, its evaluations of one copy)."""
    return [(name, entry["name"], frame) for name, entry in SETS.items() for frame in recorded(name).values()]


def rows(dataset: str, evaluations: pd.DataFrame) -> pd.DataFrame:
    """The paper's errors on a data set beside ours."""
    ours, printed, i = errors(evaluations), tables.paper()["table2"]["rows"], list(SETS).index(dataset)
    lines = [[row["architecture"], f"{row['errors'][i]:g}", error_of(ours, row["cell"])] for row in printed]
    lines += [[arm_name(cell), DASH, error_of(ours, cell)] for cell in unprinted(ours, (row["cell"] for row in printed))]
    return rows_frame(["cell", "paper", "ours"], [*lines, ["random cells", DASH, random_error(ours)]])


def printed_errors(dataset: str) -> dict[str, float]:
    """The paper's errors on a data set by cell in lower case."""
    return {row["cell"].lower(): tables.table2()[dataset][row["architecture"]] for row in tables.paper()["table2"]["rows"]}


def foretold(evaluations: pd.DataFrame, name: str) -> str:
    """What tells a cell's error on a data set beforehand: its error on CIFAR-10, and its size. Nothing of under four cells."""
    joined = [by_cell(evaluations).join(by_cell(f)["error"].rename("before"), how="inner").assign(copy=c) for c, f in recorded().items()]
    known = max(joined, key=len, default=pd.DataFrame())
    if len(known) < 4:
        return ""
    by_error = rank_correlation(known["before"], known["error"])
    by_size = rank_correlation(known["parameters"], known["error"])
    return (
        f"**What tells the order of {len(known)} cells on {name}:** their errors on CIFAR-10 ({code(known['copy'].iloc[0].split()[0])}), "
        f"Spearman's ρ = {by_error[0]:.2f} (probability by chance {probability(by_error[1])}); their parameters, ρ = {by_size[0]:.2f} "
        f"({probability(by_size[1])})."
    )


def imagenet_rows() -> pd.DataFrame:
    """The ImageNet network of 14 cells with DARTS' width and with the paper's. Raises `RecordError` where the sizes are missing."""
    known, lines = results.sizes(runs_root(), "imagenet"), []
    for row in tables.paper()["table2"]["rows"]:
        plain, paper = known[(row["cell"], 48)], known[(row["cell"], 50)]
        numbers = [plain["parameters"], plain["multiply_adds"], paper["parameters"], paper["with_auxiliary"], paper["multiply_adds"]]
        lines.append([row["architecture"], *(f"{n / 1e6:.{digits}f}" for n, digits in zip(numbers, (2, 0, 2, 2, 0), strict=True))])
    return rows_frame(["cell", "C = 48: M", "M multiply-adds", "C = 50, SE: M", "with auxiliary head", "M multiply-adds"], lines)

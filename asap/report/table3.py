"""Table 3: test error and parameters of the pruning methods' cells under one recipe. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from . import design, results, tables
from .claims_cells import values
from .display import DASH, difference_rows, rows_frame, spread
from .inference import Difference
from .methods_study import THEOREM

#: The study's arms behind a row of Table 3; the paper does not say which p its rows have.
TABLE3 = {
    "DARTS(2st)": ("DARTS, second order", "DARTS", "DARTS, without none"),
    "Magnitude prune": ("Magnitude, p = 1", "Magnitude, p = 3"),
    "Accum-Grad prune": ("Accumulated gradient, p = 1", "Accumulated gradient, p = 3"),
    "ASAP-Small": ("ASAP",),
    "": ("Random search", "Random cells", "ENAS", THEOREM, "ASAP, annealing without pruning", "ASAP, pruning without annealing"),
}


def rows(arms: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Table 3 with the arms that it lacks. M: of the network trained, and of the paper's of 20 cells and 36 channels."""
    lines = []
    printed = {row["architecture"]: row for row in tables.paper()["table3"]["rows"]}
    for name, labels in TABLE3.items():
        for i, label in enumerate(labels):
            paper = printed.get(name) if i == 0 else None
            shown = [f"{paper['error']:.2f}", f"{paper['parameters']:.1f}"] if paper else [DASH, DASH]
            ours = [DASH, "0", DASH, DASH]
            if label in arms:
                runs, found = arms[label], values(arms[label], "error")
                ours = [spread(found), str(len(found)), spread(runs["parameters"] / 1e6, 3), spread(runs["parameters_36"])]
            lines.append([name if i == 0 else "", *shown, label, *ours])
    return rows_frame(["paper's row", "error, %", "M", "ours", "error, %", "n", "M, at its scale", "M, at 36 channels"], lines)


def against_asap(arms: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The errors of each other arm minus those of ASAP's cells, by unpaired runs, less those of the design, which has its own test.

    Of those arms that have a test; of all where none has; no rows without ASAP's.
    """
    errors = {label: values(runs[results.first_arm(runs, *design.STUDIES) == ""], "error") for label, runs in arms.items()}
    asap = errors.pop("ASAP", ())
    tests = {label: Difference(theirs, asap) for label, theirs in errors.items() if theirs and asap}
    return difference_rows({label: test for label, test in tests.items() if test.testable} or tests, "method")

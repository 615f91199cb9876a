"""Table 1: the paper's rows, exact sizes, and the errors of cells trained by one recipe. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

import pandas as pd

from ..records.parameters import EvaluationParameters, runs_root
from ..records.study import load
from . import design, results, tables
from .display import DASH, code, counted, difference_rows, each, plus_minus, rows_frame
from .inference import PERMUTATIONS, Difference, rank_correlation

SCALE = "cpu"


def recorded(dataset: str = "cifar10") -> dict[str, pd.DataFrame]:
    """The finished evaluations of named cells on a data set by the scale's recipe, by copy of the images, that of the most first."""
    frame = results.evaluations()
    frame = frame[(frame["dataset"] == dataset) & (frame["scale"] == SCALE) & frame["by_recipe"] & (frame["kind"] != "own")]
    copies = sorted(frame["copy"].value_counts().items(), key=lambda pair: (-pair[1], "-jpeg" in str(pair[0])))
    return {str(copy): frame[frame["copy"] == copy] for copy, _ in copies}


def few(evaluations: pd.DataFrame, copies: Mapping[str, pd.DataFrame]) -> str:
    """What a copy of the images has that is not the first of the `recorded` and has fewer than four cells, in a sentence; else nothing."""
    errors = evaluations.groupby("cell")["error"].mean()
    if len(errors) >= 4 or evaluations is next(iter(copies.values()), evaluations):
        return ""
    said, images = "; ".join(f"{code(str(cell))} {error:.2f} %" for cell, error in errors.items()), code(evaluations["variant"].iloc[0])
    return f"Too few for a table or a figure here are the cells evaluated on the images {images}: {said}."


def errors(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Test errors in per cent, (cell, seed)."""
    return evaluations.pivot_table(index="cell", columns="seed", values="error")


def by_cell(evaluations: pd.DataFrame) -> pd.DataFrame:
    """One row a cell: its error in per cent, the mean of its seeds; millions of parameters of the network trained; and its kind."""
    groups = evaluations.groupby("cell")
    return pd.DataFrame({"error": groups["error"].mean(), "parameters": groups["parameters"].first() / 1e6, "kind": groups["kind"].first()})


def arm_name(cell: str) -> str:
    """How the tables call a cell: a published one as the study `transfer` does."""
    arms = {p.parameters.cell.lower(): p.label for p in load("transfer").planned if isinstance(p.parameters, EvaluationParameters)}
    return cell if cell.startswith("random-") else arms.get(cell, cell)


def error_of(ours: pd.DataFrame, cell: str | None) -> str:
    """A cell's errors over seeds with their number; a dash where there are none."""
    return counted(ours.T[cell.lower()]) if cell and cell.lower() in ours.index else DASH


def random_error(ours: pd.DataFrame) -> str:
    """The random cells' errors: over cells, each the mean of its seeds."""
    return counted(ours[ours.index.str.startswith("random-")].mean(axis=1))


def unprinted(ours: pd.DataFrame, printed: Iterable[str | None]) -> list[str]:
    """The published cells of which we have errors and a table of the paper has no row. printed: the cells of its rows."""
    rows = {cell.lower() for cell in printed if cell}
    return [cell for cell in ours.index if cell not in rows and "/" not in cell and not cell.startswith("random-")]


def rows(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Table 1 with a row for each published cell that it lacks, for the width that 6.0 M need, and for random cells.

    Raises `RecordError` where runs/sizes/cifar10.csv is missing or damaged.
    """
    known, ours, printed = results.sizes(runs_root()), errors(evaluations), tables.paper()["table1"]["rows"]
    spelt = {cell.lower(): cell for cell, _ in known}

    def sized(cell: str | None, channels: int = 36, millions: float | None = None) -> list[str]:
        """Computed parameters, whether that is the printed number, and multiply-adds; dashes of a cell that was never published."""
        if not cell:
            return [DASH] * 3
        size, work = (known[cell, channels][name] / 1e6 for name in ("parameters", "multiply_adds"))
        return [f"{size:.3f} ({channels})", tables.size_verdict(size, millions) if millions else DASH, f"{work:.0f}"]

    lines = []
    for row in printed:
        cell, channels = row["cell"], row.get("channels", 36)
        as_printed = [plus_minus(row["error"], row["deviation"]), f"{row['parameters']:.1f}", f"{row['cost']:g}"]
        error = error_of(ours, cell) if channels == 36 else DASH
        lines.append([row["architecture"], *as_printed, *sized(cell, channels, row["parameters"]), error])
    for cell in unprinted(ours, (row["cell"] for row in printed)):
        lines.append([arm_name(cell), DASH, DASH, DASH, *sized(spelt[cell]), error_of(ours, cell)])
    computed, _, work = sized("ASAP", 56)
    lines.append(["ASAP, the width that 6.0 M needs", DASH, "6.0", DASH, computed, "", work, DASH])
    lines.append(["random cells", DASH, DASH, "0", DASH, DASH, DASH, random_error(ours)])
    headers = ["architecture", "paper: error, %", "paper: M", "paper: GPU-days", "computed: M (C)", "size: verdict", "M multiply-adds",
               f"ours at {SCALE}: error, % (n)"]  # fmt: skip
    return rows_frame(headers, lines)


def probability(p: float) -> str:
    """A permutation test's p value in words: what its permutations cannot tell is a bound."""
    return f"at most {p:.1g}" if p <= 2 / (PERMUTATIONS + 1) else f"{p:.2g}"


def ranking(ours: pd.DataFrame, printed: Mapping[str, float]) -> str:
    """Whether our order of the published cells is the paper's, in a sentence. printed: the paper's errors by cell."""
    both = pd.DataFrame({"paper": pd.Series(printed), "own": ours.mean(axis=1)}).reindex(list(printed)).dropna()
    if len(both) < 4:
        return f"A rank correlation with the paper's order needs four cells; {len(both)} are recorded."
    rho, chance = rank_correlation(both["paper"], both["own"])
    apart = [a - b for a, b in combinations(both.to_numpy(), 2) if a[0] != b[0]]
    agree = sum(paper * own > 0 for paper, own in apart)
    return (
        f"**Order of {len(both)} published cells, the paper's errors against ours:** Spearman's ρ = {rho:.2f} (a random order is as far "
        f"from 0 with probability {probability(chance)}); {agree} of the {len(apart)} pairs whose printed errors "
        "differ are in the same order."
    )


def printed_errors() -> dict[str, float]:
    """The paper's errors of published cells in networks of 36 channels, by cell in lower case."""
    return {r["cell"].lower(): r["error"] for r in tables.paper()["table1"]["rows"] if r["cell"] and r.get("channels", 36) == 36}


def against_asap(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Each published or random cell's error minus the published ASAP cell's, by unpaired runs; no rows where that is not recorded."""
    by_cell = {str(cell): tuple(row.dropna()) for cell, row in errors(evaluations).iterrows()}
    asap = by_cell.pop("asap", ())
    found = {arm_name(cell): Difference(theirs, asap) for cell, theirs in by_cell.items() if asap and "/" not in cell}
    return difference_rows(found, "cell")


def arm(runs: pd.DataFrame) -> pd.Series:
    """The arm of each run in the study `methods`, in the design, or in `certified`."""
    return results.first_arm(runs, "methods", *design.STUDIES, "certified")


def own_rows(evaluations: pd.DataFrame) -> pd.DataFrame:
    """The cells of this project's own plain ASAP searches."""
    own = results.once(evaluations.assign(label=arm(evaluations))).query("label == 'ASAP' and kind == 'searched'")
    return rows_frame(["search", "test error, % (± binomial)", "parameters, M", "seed"], [
        [code(row.cell), plus_minus(row.error, row.standard_error), f"{row.parameters / 1e6:.3f}", str(row.seed)] for row in each(own)
    ])  # fmt: skip


def planned(name: str) -> str:
    """How many of a study's runs are recorded, in a sentence."""
    study = load(name)
    of, left = len(study.planned), len(study.left(runs_root()))
    return f"Recorded runs of the study `{name}`: {of - left} of {of}. `asap study {name} --commands` prints the commands of what is left."

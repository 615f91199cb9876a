"""The paper's tables as data frames: its own rows, the sizes we computed, the errors we recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..paper.space import Genotype, cell_by_name
from ..records.parameters import UNCOMMITTED, EvaluationParameters, SearchParameters, make
from ..records.run import RecordError, Run, find_runs

SAME, DIFFERS = "as printed", "differs"


@cache
def paper() -> dict[str, Any]:
    """The paper's numbers, with their places in it (paper.json)."""
    return json.loads(files("asap.paper").joinpath("tables.json").read_text(encoding="utf-8"))


Sizes = dict[tuple[str, int], dict[str, float]]


def sizes(root: Path, network: str = "cifar10") -> Sizes:
    """The sizes of cells that `asap cells --record` left under runs/sizes/, by cell and channels: parameters, multiply_adds
    and (imagenet) with_auxiliary. network: cifar10 or imagenet.

    Raises `RecordError` where they are missing or damaged.
    """
    path = root / "sizes" / f"{network}.csv"
    try:
        rows = pd.read_csv(path).to_dict("records")
        return {(str(row["cell"]), int(row["channels"])): {str(k): float(v) for k, v in row.items() if k != "cell"} for row in rows}
    except (OSError, ValueError, KeyError):
        raise RecordError(f"runs/sizes/{network}.csv is missing or damaged; `asap cells --record` makes it") from None


def size_verdict(computed: float, printed: float) -> str:
    """Whether a computed number of parameters (millions) is the printed one: to less than one unit of its last digit,
    since some rows are rounded and some cut off."""
    return SAME if abs(computed - printed) < 0.1 else DIFFERS


#: What names a run. All other parameters come from its scale, unless they were changed.
NAMING: dict[str, tuple[type[SearchParameters | EvaluationParameters], tuple[str, ...]]] = {
    "search": (SearchParameters, ("method", "dataset", "scale", "seed", "study")),
    "evaluation": (EvaluationParameters, ("run", "cell", "dataset", "scale", "seed", "study")),
}


def by_recipe(root: Path, kind: str, *varied: str, **parameters: Any) -> list[Run]:
    """The finished runs of a kind with these parameters whose others are their scale's own, those in `varied` aside.

    Runs of the studies in `UNCOMMITTED` are left out: the book stands on what is committed.
    """
    made, naming = NAMING[kind]
    runs, _ = find_runs(root, kind, **parameters)
    return [
        run
        for run in runs
        if run.info["study"] not in UNCOMMITTED
        and make(made, {name: run.parameters[name] for name in (*naming, *varied) if name in run.parameters}).matches(run.parameters)
    ]


def cell_name(run: Run) -> str:
    """The cell that an evaluation trained: a published cell's name in lower case, random-SEED, or study/run of its search."""
    return str(run.parameters["cell"].lower() or run.parameters["run"])


def is_random(cell: str) -> bool:
    """Whether a cell of this name was drawn, not searched or published."""
    return cell.startswith("random-")


def is_published(cell: str) -> bool:
    """Whether a cell of this name is a published one, neither drawn nor of a search here."""
    return "/" not in cell and not is_random(cell)


def recorded_cells(root: Path) -> dict[str, Genotype]:
    """The cells of committed records that were not published: a search's by its study/run, and the random ones that were trained."""
    runs = [run for run in find_runs(root)[0] if run.info["study"] not in UNCOMMITTED]
    searched = {run.name: run.genotype() for run in runs if run.info["kind"] == "search"}
    trained = {cell_name(run) for run in runs if run.info["kind"] == "evaluation"}
    return searched | {name: cell_by_name(name) for name in sorted(trained) if is_random(name)}


def errors(runs: Sequence[Run]) -> pd.DataFrame:
    """Test errors in per cent, (cell, seed); a cell's own search, a random cell, a published one alike."""
    rows = [(cell_name(run), run.parameters["seed"], run.outcome["test_error"]) for run in runs]
    frame = pd.DataFrame(rows, columns=["cell", "seed", "error"])
    return frame.pivot_table(index="cell", columns="seed", values="error")


def by_cell(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a cell: its error in per cent, the mean of its seeds, and millions of parameters of the network trained."""
    parameters = {cell_name(run): run.outcome["parameters"] / 1e6 for run in runs}
    return pd.DataFrame({"error": errors(runs).mean(axis=1), "parameters": pd.Series(parameters, dtype=float)})


def by_seed(errors: pd.Series[float]) -> dict[int, float]:
    """A series with seeds as its index as a dictionary, without those that are missing."""
    return {int(str(seed)): float(value) for seed, value in errors.dropna().items()}


def errors_by_seed(runs: Sequence[Run]) -> dict[int, float]:
    """The test error in per cent of each seed, the mean where several cells share one."""
    series = pd.Series([run.outcome["test_error"] for run in runs], [run.parameters["seed"] for run in runs], dtype=float)
    return by_seed(series.groupby(level=0).mean())


def with_cut(runs: Iterable[Run]) -> list[Run]:
    """The searches that hold their cut; the first ones do not."""
    return [run for run in runs if "cut" in run.outcome]


def cut(run: Run, stage: str) -> float:
    """Validation accuracy in per cent of what a search ended in, with its weights and BatchNorm averaged anew (`search.loop`).

    stage: `operations`, one on each edge, or `genotype`, the derived cell. KeyError of a search that does not hold it.
    """
    return 100 * float(run.outcome["cut"][stage]["recalibrated"])


def falls(epochs: pd.DataFrame) -> pd.DataFrame:
    """For each epoch from the second: the fall of the validation accuracy since the one before, in points, and whether it pruned."""
    left = epochs["operations_normal"] + epochs["operations_reduce"]
    return pd.DataFrame({"fall": -100 * epochs["validation_accuracy"].diff(), "pruned": left.diff() < 0}).iloc[1:]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean ± standard deviation of some runs; the value alone of one, a dash of none."""
    if not len(values):
        return "–"
    return plus_minus(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None, digits)


def plus_minus(mean: float, deviation: float | None, digits: int = 2) -> str:
    """`2.76 ± 0.06`, `2.76`, or a dash where there is no number."""
    if mean is None or np.isnan(mean):
        return "–"
    spread = "" if deviation is None or np.isnan(deviation) else f"\u00a0±\u00a0{deviation:.{digits}f}"  # does not break
    return f"{mean:.{digits}f}{spread}"


def markdown(headers: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (headers, ["---"] * len(headers), *rows)]
    return "\n".join(lines)

"""The numbers that the paper prints, the sizes of cells that were computed, and the cells that were recorded."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from ..paper.space import Genotype, cell_by_name
from ..records.run import RecordError
from . import results

SAME, NEAR, DIFFERS = "as printed", "within 0.1 M", "differs"


@cache
def paper() -> dict[str, Any]:
    """The paper's numbers, with their places in it (tables.json)."""
    return json.loads(files("asap.paper").joinpath("tables.json").read_text(encoding="utf-8"))


def size_of(root: Path, channels: int, network: str = "cifar10") -> dict[str, float]:
    """`results.sizes` of the published cell in millions. Raises `RecordError` where they are missing or damaged."""
    known = results.sizes(root, network).get(("ASAP", channels))
    if known is None:
        raise RecordError(f"runs/sizes/{network}.csv lacks the published cell; `asap cells --record` makes it")
    return {name: value / 1e6 for name, value in known.items()}


def table2() -> pd.DataFrame:
    """The errors that Table 2 prints, in per cent: (architecture, data set)."""
    printed = paper()["table2"]
    return pd.DataFrame({row["architecture"]: row["errors"] for row in printed["rows"]}, index=list(printed["datasets"])).T


def size_verdict(computed: float, printed: float) -> str:
    """Whether a computed number of parameters (millions) is the printed one, rounded or cut off to a digit; if not, whether near it."""
    if printed in (round(computed, 1), int(10 * computed) / 10):
        return SAME
    return NEAR if abs(computed - printed) < 0.1 else DIFFERS


def recorded_cells(root: Path) -> dict[str, Genotype]:
    """The cells of committed records that were not published: a search's by its study/run, and the random ones that were trained."""
    evaluations = results.evaluations(root)
    searched = {name: results.record(name, root).genotype() for name in results.searches(root)["run"]}
    return searched | {name: cell_by_name(name) for name in sorted(set(evaluations.loc[evaluations["kind"] == "random", "cell"]))}

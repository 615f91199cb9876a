"""The paper's tables as data frames: its own rows, the sizes we computed, the errors we recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .records import RecordError, Run

SAME, DIFFERS = "as printed", "differs"


@cache
def paper() -> dict[str, Any]:
    """The paper's numbers, with their places in it (paper.json)."""
    return json.loads(files("asap").joinpath("paper.json").read_text(encoding="utf-8"))


def sizes(root: Path) -> pd.DataFrame:
    """The sizes of the published cells that `asap cells --record` left under runs/sizes/, by cell and channels.

    Raises `RecordError` where they are missing or damaged.
    """
    path = root / "sizes" / "cifar10.csv"
    try:
        frame = pd.read_csv(path)
        return frame.set_index(["cell", "channels"])[["parameters", "multiply_adds"]]
    except (OSError, ValueError, KeyError):
        raise RecordError("runs/sizes/cifar10.csv is missing or damaged; `asap cells --record` makes it") from None


def parameters_at(root: Path) -> pd.Series:
    """Parameters by (cell, channels), empty where the table of sizes is missing."""
    try:
        return sizes(root)["parameters"]
    except RecordError:
        return pd.Series(dtype=float)


def size_verdict(computed: float, printed: float) -> str:
    """Whether a computed number of parameters (millions) is the printed one: to less than one unit of its last digit,
    since some rows are rounded and some cut off."""
    return SAME if abs(computed - printed) < 0.1 else DIFFERS


def table1(root: Path, evaluations: list[Run]) -> pd.DataFrame:
    """Table 1: the paper's rows beside ours.

    Sizes are exact, computed at the row's channels (36 where it names none). Errors are the mean over the seeds of
    the evaluations given, at their scale, with the deviation between seeds where there are several; n counts them.
    """
    known = sizes(root)
    errors = errors_by_cell(evaluations)
    rows = []
    for row in paper()["table1"]["rows"]:
        cell, channels = row["cell"], row.get("channels", 36)
        computed = float(known["parameters"][(cell, channels)]) / 1e6 if cell else np.nan
        recorded = errors.get(str(cell).lower(), []) if channels == 36 else []
        rows.append(
            {
                "architecture": row["architecture"],
                "error": row["error"],
                "deviation": row["deviation"],
                "parameters": row["parameters"],
                "cost": row["cost"],
                "channels": channels if cell else None,
                "computed": computed,
                "size": size_verdict(computed, row["parameters"]) if cell else "–",
                "our_error": np.mean(recorded) if recorded else np.nan,
                "our_deviation": np.std(recorded, ddof=1) if len(recorded) > 1 else np.nan,
                "n": len(recorded),
            }
        )
    return pd.DataFrame(rows)


def errors_by_cell(evaluations: list[Run]) -> dict[str, list[float]]:
    """Test errors in per cent by cell: a published cell's name in lower case, or study/run of the search it came from."""
    errors: dict[str, list[float]] = {}
    for run in evaluations:
        name = run.parameters["cell"].lower() or run.parameters["run"]
        errors.setdefault(name, []).append(run.outcome["test_error"])
    return errors


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean ± standard deviation of some runs; the value alone of one, a dash of none."""
    if not len(values):
        return "–"
    return plus_minus(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None, digits)


def interval(differences: Sequence[float], digits: int = 2) -> str:
    """The 95 % t interval of a mean of paired differences; a dash of fewer than two."""
    n = len(differences)
    if n < 2:
        return "–"
    from scipy.stats import t

    half = float(t.ppf(0.975, n - 1)) * float(np.std(differences, ddof=1)) / n**0.5
    mean = float(np.mean(differences))
    return f"[{mean - half:+.{digits}f}, {mean + half:+.{digits}f}]"


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

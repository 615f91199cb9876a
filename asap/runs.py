"""What a search and an evaluation share: how a run is named, and how it fails."""

from __future__ import annotations

import dataclasses

from .config import EvaluationParameters, SearchParameters, make


class RunFailed(RuntimeError):
    """A run that began and could not end; the message is one line."""


def run_name(p: SearchParameters | EvaluationParameters) -> str:
    """The folder of a run: what it is, and every parameter in which it differs from its scale and method.

    For example asap-cifar10-cpu-seed0-initial_temperature_1.6.
    """
    if isinstance(p, SearchParameters):
        head = p.method
        plain = make(SearchParameters, {"method": p.method, "scale": p.scale})
    else:
        head = p.cell.lower() or "cell-of-" + p.run.replace("/", "-")
        plain = make(EvaluationParameters, {"cell": "any", "scale": p.scale})
    named = {"method", "cell", "run", "dataset", "scale", "seed", "study"}
    other = {key: value for key, value in p.identity().items() if key not in named and value != getattr(plain, key)}
    return "-".join([head, p.dataset, p.scale, f"seed{p.seed}", *(f"{key}_{value}" for key, value in other.items())])


def with_source(p: EvaluationParameters, run: str) -> EvaluationParameters:
    """The same parameters with the search named study/run, wherever its folder lies."""
    return dataclasses.replace(p, run=run)

"""A record's row in the frames of `results`, whose docstring says what the columns are."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pandas as pd

from ..paper.space import ASAP_OPERATIONS, DARTS_OPERATIONS, edges, published_cells
from ..records.data import set_fingerprint
from ..records.parameters import DATASETS, make
from ..records.run import Run
from ..records.study import KINDS

#: What names a run. All other parameters come from its scale, unless they were changed.
NAMING = ("method", "run", "cell", "dataset", "test_share", "scale", "seed", "study")
CUTS = {"one_operation": "operations", "derived": "genotype"}
#: What is derived of an epoch.
COURSE = ("left", "density", "fall", "pruned", "steps_seconds", "time", "entropy")


#: The columns beside the parameters and arms, in their order, with their types, which a frame without rows has too.
OF_ALL = {
    "changed": str, "by_recipe": bool, "variant": str, "fingerprint": str, "copy": str, "parameters_36": float, "epochs_run": float,
    "seconds": float, "device": str, "processor": str, "threads": float, "clock": str, "clocked": bool, "commit": str, "torch": str,
    "started": str, "ended": str,
}  # fmt: skip
OF_KIND = {
    "search": {
        "decided": bool, "undecided": float, "edges": float, "operations": float, "operations_left": float, "parameters_left": float,
        "accuracy": float, "one_operation": float, "derived": float, "one_operation_as_is": float, "derived_as_is": float,
        "cut_images": str, "step_minutes": float, "full_epoch_minutes": float, "full_epochs": float, "grace_epochs": float,
        "pruning_epochs": float, "first_pruning": float, "largest_fall": float, "entropy_normal": float, "entropy_reduce": float,
    },
    "evaluation": {
        "cell": str, "kind": str, "rule": str, "error": float, "standard_error": float, "test_images": float, "test_loss": float,
        "parameters": float, "multiply_adds": float,
    },
}  # fmt: skip


def frame(kind: str, rows: list[dict[str, Any]], studies: list[str]) -> pd.DataFrame:
    """Rows of one kind as a frame. Without a row it has every column all the same, so that what selects from it works."""
    given = {name: str if isinstance(value, str) else float for name, value in _parameters(kind).items()}
    types: dict[str, Any] = {"run": str, **given, **{f"arm_{study}": str for study in studies}, **OF_ALL, **OF_KIND[kind]}
    return pd.DataFrame(rows, columns=list(types)) if rows else pd.DataFrame(columns=list(types)).astype(types)


def _parameters(kind: str) -> dict[str, Any]:
    """The parameters that make a run, with their defaults; without an evaluation's `run` and `edge_rule`, which `cell` and `rule` tell."""
    hidden = () if kind == "search" else ("run", "edge_rule")
    return {f.name: f.default for f in fields(KINDS[kind]) if not f.metadata.get("machine") and f.name not in hidden}


def described(run: Run) -> dict[str, Any]:
    """The columns that a search and an evaluation share."""
    kind, info, machine, data = run.info["kind"], run.info, run.info["machine"], run.info["data"]
    recorded = {**_parameters(kind), **run.parameters}
    plain = {name: recorded[name] for name in NAMING if name in recorded}
    side = {"image_size": data["shape"][-1]} if recorded["dataset"] not in DATASETS else {}
    if side:  # a folder of the user's own, which need not be here
        plain |= {"folder": recorded["dataset"], **side}
    changed: list[str] = make(KINDS[kind], plain).differences({**run.parameters, **side})
    clock = machine.get("clock", "wall")
    return {
        "run": run.name,
        **{name: recorded[name] for name in _parameters(kind)},
        "changed": ",".join(changed),
        "by_recipe": not changed,
        "variant": run.variant,
        "fingerprint": data["fingerprint"],
        "copy": f"{run.variant} {set_fingerprint(data)}",
        "epochs_run": run.outcome.get("epochs"),
        "seconds": run.outcome.get("seconds"),
        **{name: machine.get(name) for name in ("device", "processor", "threads", "torch")},
        "clock": clock,
        "clocked": clock != "wall" and recorded.get("prune_rule", "threshold") == "threshold",
        "commit": machine["git_commit"],
        "started": info["started"],
        "ended": info["ended"],
    }


def course(run: Run) -> pd.DataFrame:
    """The epochs of a search, with what is derived from them."""
    frame, p = run.epochs(), run.parameters
    left = frame["operations_normal"] + frame["operations_reduce"]
    candidates = DARTS_OPERATIONS if p.get("candidates") == "darts" else ASAP_OPERATIONS
    start = 2 * len(edges(p["nodes"])) * len(candidates)
    return frame.assign(
        run=run.name,
        left=left,
        density=left / start,
        fall=-100 * frame["validation_accuracy"].diff(),
        pruned=left < left.shift(fill_value=start),
        steps_seconds=frame["seconds_weights"] + frame["seconds_alpha"],
        time=frame["epoch"] / frame["epoch"].iloc[-1],
        entropy=(frame["entropy_normal"] + frame["entropy_reduce"]) / 2,
    )[["run", *frame.columns, *COURSE]]


def search(run: Run, course: pd.DataFrame) -> dict[str, Any]:
    """The columns of a search alone."""
    outcome, start = run.outcome, round(course["left"].iloc[0] / course["density"].iloc[0])
    cut, anew = outcome.get("cut", {"operations": {}, "genotype": {}}), outcome.get("cut_images") == "augmented"
    learns = (course["alpha_steps"] > 0) & (run.parameters["method"] != "random")  # whose steps only score cells
    full = course[learns & (course["left"] == start)]
    minutes, full_minutes = course["steps_seconds"].sum() / 60, full["steps_seconds"].median() / 60
    pruned = course[course["pruned"]]
    return {
        "decided": outcome["decided"],
        "undecided": sum(outcome["undecided_edges"].values()),
        "edges": 2 * len(edges(run.parameters["nodes"])),
        "operations": start,
        "operations_left": sum(outcome["operations_left"].values()),
        "parameters_left": outcome["parameters_left"],
        "accuracy": 100 * outcome["validation_accuracy"],
        **{name: 100 * (cut[stage]["recalibrated"] if anew else float("nan")) for name, stage in CUTS.items()},
        **{f"{name}_as_is": 100 * cut[stage].get("accuracy", float("nan")) for name, stage in CUTS.items()},
        "cut_images": outcome.get("cut_images", "as they are") if "cut" in outcome else "",
        "step_minutes": minutes,
        "full_epoch_minutes": full_minutes,
        "full_epochs": minutes / full_minutes,
        "grace_epochs": int((course["alpha_steps"] == 0).sum()),
        "pruning_epochs": len(pruned),
        "first_pruning": pruned["epoch"].min(),
        "largest_fall": pruned["fall"].max(),
        **{name: course[name].iloc[-1] for name in ("entropy_normal", "entropy_reduce")},
    }


def evaluation(run: Run) -> dict[str, Any]:
    """The columns of an evaluation alone."""
    outcome, cell = run.outcome, str(run.parameters["cell"].lower() or run.parameters["run"])
    kind = "searched" if "/" in cell else "published" if cell.lower() in map(str.lower, published_cells()) else "own"
    return {
        "cell": cell,
        "kind": "random" if cell.startswith("random-") else kind,
        "rule": run.parameters.get("edge_rule", ""),
        "error": outcome["test_error"],
        "standard_error": (outcome["test_error"] * (100 - outcome["test_error"]) / outcome["test_images"]) ** 0.5,
        **{name: outcome.get(name) for name in ("test_images", "test_loss", "parameters", "multiply_adds")},
    }

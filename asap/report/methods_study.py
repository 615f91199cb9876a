"""The runs of the study `methods`, as Figures 6 and 7, Table 3 and other pages show them. Needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ..records.parameters import runs_root
from ..records.run import Run
from ..records.study import load
from . import results, verdicts
from . import rows as rows_of

STUDY, TRAINED_ON = "methods", "ends"
THEOREM = "ASAP, Theorem 2's schedule"
#: The arms that the paper's Figures 6 and 7 show; the study's others are drawn beside them.
PRINTED = ("ENAS", "DARTS", "ASAP", "ASAP, paper scale", *verdicts.ACCUMULATED)


def labels() -> list[str]:
    """The arms of both studies."""
    return [label for study in (STUDY, TRAINED_ON) for label in load(study).labels]


def found(kind: str) -> dict[str, pd.DataFrame]:
    """The finished runs, searches or evaluations, of the arms of both studies, by arm, in order; those of the design count as theirs."""
    return verdicts.arms(None, *([label] for label in labels()), kind=kind)


def elsewhere(arms: Mapping[str, pd.DataFrame], root: Path | None = None, kind: str = "search") -> dict[str, pd.DataFrame]:
    """The runs of these studies on another copy of the images than those `found`, which are shown apart."""
    frame = results.searches(root) if kind == "search" else results.evaluations(root)
    frame = verdicts.labelled(frame[frame["scale"] == "cpu"])
    frame = frame[frame["label"].isin(labels()) & ~frame["copy"].isin({runs["copy"].iloc[0] for runs in arms.values()})]
    frame = verdicts.one_copy(frame, "label").sort_values("seed")
    return {label: runs for label in labels() if len(runs := frame[frame["label"] == label])}


def copies(kind: str = "search") -> list[dict[str, pd.DataFrame]]:
    """The runs `found`, and those `elsewhere`, where there are any."""
    return list(filter(None, [arms := found(kind), elsewhere(arms, kind=kind)]))


def left_out(kind: str) -> str:
    """Of which arms of the study how many runs of a kind are finished, as a list in Markdown; nothing where all are."""
    study = load(STUDY)
    planned, left = (Counter(p.label for p in runs if p.kind == kind) for runs in (study.planned, study.left(runs_root())))
    short: dict[str, list[str]] = {}
    for label, n in left.items():
        short.setdefault(f"{planned[label] - n} of {planned[label]}", []).append(label)
    lines = "\n".join(f"- {count}: {'; '.join(labels)}" for count, labels in sorted(short.items()))
    said = f"In these arms of the study `{STUDY}` not every {kind} has been run:\n\n{lines}\n\n`asap study {STUDY}` shows what is left."
    return f"{said} Runs of the same arms in the studies `design`, `certified` and `{TRAINED_ON}` are shown too." if short else ""


def frames(found: Mapping[str, Sequence[Run]]) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Searches that no committed study holds, by label, as `draw` takes them: a row a search, and their epochs."""
    courses = {run.name: rows_of.course(run) for runs in found.values() for run in runs}
    arms = {label: pd.DataFrame([{"run": r.name, **rows_of.search(r, courses[r.name])} for r in runs]) for label, runs in found.items()}
    return arms, pd.concat(courses.values(), ignore_index=True)


def panels(arms: dict[str, pd.DataFrame]) -> list[dict[str, pd.DataFrame]]:
    """The arms that the paper's figures show, and the others; a panel without a run is left out."""
    both = {k: arms[k] for k in PRINTED if k in arms}, {k: v for k, v in arms.items() if k not in PRINTED}
    return [panel for panel in both if panel]

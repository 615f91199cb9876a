"""The audit page: every contradiction of the paper with its words, arithmetic, decision, and what the other choice changes. Needs no torch."""

from __future__ import annotations

import pandas as pd

from ..records.parameters import runs_root
from ..records.run import Run
from ..records.study import Study, load
from . import tables
from .claims_cells import TEST_IMAGES
from .contradictions import CONTRADICTIONS, Contradiction
from .inference import pair
from .pages import against, problems, records, say

STUDY, DECIDED = "sensitivity", "As decided"


def contradictions() -> None:
    """One card for each."""
    problems()
    for one in CONTRADICTIONS:
        say(_card(one))


def _card(one: Contradiction) -> str:
    words = "; ".join(f"{place}: “{quote}”" if quote else place for place, quote in one.quotes)
    lines = [f":::{{card}} {one.name}", words, ""]
    if one.arithmetic:
        lines += [f"**Arithmetic.** {one.arithmetic()}", ""]
    other = f" The other choice: {', '.join(f'`{name}`' for name in one.parameter.split(', '))}." if one.parameter else ""
    lines += [f"**Decision.** {one.decision[0].upper()}{one.decision[1:]}.{other}", ""]
    effects = [f"{arm}: {measured(arm)}." for arm in one.arms] or [
        f"{one.effect[0].upper()}{one.effect[1:]}." if one.effect else "Not measured."
    ]
    return "\n".join([*lines, "**Effect.** " + " ".join(effects), ":::"])


def _by_seed(study: Study, kind: str, label: str) -> dict[int, Run]:
    return {run.parameters["seed"]: run for run in study.runs(runs_root(), kind, label)}


def _errors(study: Study, label: str) -> dict[int, float]:
    """The test error by seed of an arm's cells."""
    return tables.errors_by_seed(study.runs(runs_root(), "evaluation", label))


def measured(arm: str) -> str:
    """What an arm of the study changes against what is decided, in one sentence; or that it is not recorded."""
    study = load(STUDY)
    parts = []
    searched, base = _by_seed(study, "search", arm), _by_seed(study, "search", DECIDED)
    shared = sorted(set(searched) & set(base))
    if shared:
        ours, theirs = (pd.DataFrame([_course(runs[seed]) for seed in shared]).mean() for runs in (searched, base))
        parts.append(
            f"undecided edges {ours['undecided']:.0f} instead of {theirs['undecided']:.0f}, "
            f"validation accuracy {ours['accuracy']:.1f} instead of {theirs['accuracy']:.1f} %, "
            f"first pruning in epoch {ours['first']:.0f} instead of {theirs['first']:.0f} (n = {len(shared)})"
        )
    if common := _common_edges(study, arm):
        parts.append(common)
    test = pair(_errors(study, arm), _errors(study, DECIDED), TEST_IMAGES)
    if test.n:
        parts.append(f"error of the cell {test.text()}")
    return "; ".join(parts) or f"not recorded yet (`asap study {STUDY} --commands`)"


def _course(run: Run) -> dict[str, float]:
    """undecided: edges at the end; accuracy: of validation, in per cent; first: the first epoch that pruned."""
    epochs = run.epochs()
    pruned = epochs.loc[tables.falls(epochs)["pruned"].reindex(epochs.index, fill_value=False), "epoch"]
    return {
        "undecided": sum(run.outcome["undecided_edges"].values()),
        "accuracy": 100 * run.outcome["validation_accuracy"],
        "first": int(pruned.iloc[0]) if len(pruned) else len(epochs) + 1,
    }


def _common_edges(study: Study, arm: str) -> str:
    """How many of a cell's edges another edge rule keeps, over the searches whose record tells."""
    rules = {p.parameters.identity()["edge_rule"] for p in study.planned if p.label == arm and p.kind == "evaluation"}
    rule = next(iter(rules)) if len(rules) == 1 else ""
    if not rule:
        return ""
    kept, of, other = 0, 0, 0
    for run in _by_seed(study, "search", DECIDED).values():
        own, ruled = run.genotype(), run.genotype(rule)
        for kind in ("normal", "reduce"):
            kept += len(set(own.cell(kind)) & set(ruled.cell(kind)))
            of, other = of + len(own.cell(kind)), other + len(ruled.cell(kind))
    return f"keeps {kept} of the {of} edges of the decided cells, and has {other}" if of else ""


def sensitivity() -> None:
    """The study as a whole: what is recorded, every run, and every arm's error against what is decided."""
    study = load(STUDY)
    left = study.seconds(runs_root())
    say(
        f"{len(study.planned) - len(left)} of the {len(study.planned)} runs of the study `{STUDY}` are recorded; "
        f"`asap study {STUDY} --commands` prints what makes the others."
    )
    searched, evaluated = ({label: _by_seed(study, kind, label) for label in study.labels} for kind in ("search", "evaluation"))
    errors = {label: tables.errors_by_seed(list(runs.values())) for label, runs in evaluated.items()}
    rows = [
        [label, str(seed), *_row(searched[label].get(seed), errors[label].get(seed))]
        for label in study.labels
        for seed in sorted({*searched[label], *errors[label]})
    ]
    if rows:
        say(
            "**Every arm, seed by seed.** The runs of a seed share their initial weights and the order of their images; with the first difference, a "
            "rounding even, their courses part. What the seeds of one choice differ by is therefore what another choice must exceed."
        )
        headers = ["choice", "seed", "undecided edges", "validation accuracy, %", "first pruning, epoch", "error of the cell, %"]
        say(tables.markdown(headers, rows))
    tests = {label: pair(values, errors[DECIDED], TEST_IMAGES) for label, values in errors.items() if label != DECIDED}
    against("**The other choice's cell against the decided one's, paired by seed**: difference of their errors", tests, "choice")
    records((label, run) for label in study.labels for group in (searched, evaluated) for run in group[label].values())


def _row(search: Run | None, error: float | None) -> list[str]:
    """A row of the table of arms; an edge rule's arm has no search of its own."""
    course = _course(search) if search else {}
    shown = [f"{course[name]:.{digits}f}" if course else "–" for name, digits in (("undecided", 0), ("accuracy", 1), ("first", 0))]
    return [*shown, "–" if error is None else f"{error:.2f}"]

"""The audit page: every contradiction of the paper with its words, arithmetic, decision, and what the other choice changes. Needs no torch."""

from __future__ import annotations

import numpy as np

from . import tables
from .cell_judges import TEST_IMAGES
from .config import runs_root
from .contradictions import CONTRADICTIONS, Contradiction
from .inference import pair
from .pages import against, problems, records, say
from .records import Run
from .studies import Study, load

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
        ours, theirs = ([_course(runs[seed]) for seed in shared] for runs in (searched, base))
        undecided, accuracy, epochs = (tuple(float(np.mean([c[i] for c in courses])) for courses in (ours, theirs)) for i in range(3))
        parts.append(
            f"undecided edges {undecided[0]:.0f} instead of {undecided[1]:.0f}, validation accuracy {accuracy[0]:.1f} instead of {accuracy[1]:.1f} %, "
            f"first pruning in epoch {epochs[0]:.0f} instead of {epochs[1]:.0f} (n = {len(shared)})"
        )
    if common := _common_edges(study, arm):
        parts.append(common)
    test = pair(_errors(study, arm), _errors(study, DECIDED), TEST_IMAGES)
    if test.n:
        parts.append(f"error of the cell {test.text()}")
    return "; ".join(parts) or f"not recorded yet (`asap study {STUDY} --commands`)"


def _course(run: Run) -> tuple[int, float, int]:
    """Undecided edges at the end, validation accuracy in per cent, the first epoch that pruned."""
    epochs = run.epochs()
    pruned = epochs.loc[tables.falls(epochs)["pruned"].reindex(epochs.index, fill_value=False), "epoch"]
    first = int(pruned.iloc[0]) if len(pruned) else len(epochs) + 1
    return sum(run.outcome["undecided_edges"].values()), 100 * run.outcome["validation_accuracy"], first


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
    """The study as a whole: what is recorded, and every arm's error against what is decided."""
    study = load(STUDY)
    left = study.seconds(runs_root())
    say(
        f"{len(study.planned) - len(left)} of the {len(study.planned)} runs of the study `{STUDY}` are recorded; "
        f"`asap study {STUDY} --commands` prints what makes the others."
    )
    errors = {label: _errors(study, label) for label in study.labels}
    tests = {label: pair(values, errors[DECIDED], TEST_IMAGES) for label, values in errors.items() if label != DECIDED}
    against("**The other choice's cell against the decided one's, paired by seed**: difference of their errors", tests, "choice")
    records((label, run) for label in study.labels for kind in ("search", "evaluation") for run in _by_seed(study, kind, label).values())

"""The audit page: every contradiction of the paper with its words, arithmetic, decision, and what the other choice changes."""

from __future__ import annotations

import pandas as pd

from ..records.study import load
from . import contradictions, results
from .display import difference_rows, each, rows_frame, sentence
from .inference import Difference, number, pair
from .verdicts import one_copy

STUDY, DECIDED = "sensitivity", "As decided"
TEST_IMAGES = 10_000  # of CIFAR-10


def card(one: contradictions.Contradiction) -> str:
    """A contradiction as a card in Markdown."""
    words = "; ".join(f"{place}: “{quote}”" if quote else place for place, quote in one.quotes)
    lines = [f":::{{card}} {one.name}", words, ""]
    if one.arithmetic:
        lines += [f"**Arithmetic.** {one.arithmetic.format(**contradictions.values())}", ""]
    other = f" The other choice: {', '.join(f'`{name}`' for name in one.parameter.split(', '))}." if one.parameter else ""
    lines += [f"**Decision.** {sentence(one.decision)}{other}", ""]
    effects = [f"{arm}: {measured(arm)}." for arm in one.arms] or [sentence(one.effect or "not measured")]
    return "\n".join([*lines, "**Effect.** " + " ".join(effects), ":::"])


def by_seed(label: str) -> pd.DataFrame:
    """What an arm shows, a row a copy of the images and a seed: undecided edges, validation accuracy (%) and first pruning of its search,
    and the error (%) of its cell.

    A search that never pruned has the epoch after its last as its first pruning; an edge rule's arm has no search of its own.
    """
    found = results.arm(results.searches(), STUDY, label).set_index(["copy", "seed"])
    first = found["first_pruning"].fillna(found["epochs_run"] + 1)
    errors = results.arm(results.evaluations(), STUDY, label).groupby(["copy", "seed"])["error"].mean()
    return pd.DataFrame({"undecided": found["undecided"], "accuracy": found["accuracy"], "first": first, "error": errors})


def both(label: str, columns: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What an arm and the decided choice show by seed, on the copy of the images with most seeds of both (lossless before pilot)."""
    own, base = by_seed(label)[columns].dropna(), by_seed(DECIDED)[columns].dropna()
    shared = own.index.intersection(base.index)
    copies = shared.get_level_values("copy")
    best = max(sorted(set(copies)), key=lambda copy: (sum(copies == copy), "-jpeg" not in copy), default="")
    shared = shared[copies == best]
    return own.loc[shared], base.loc[shared]


def against(label: str) -> Difference:
    """The errors of an arm's cells minus those of the decided choice's, paired by seed."""
    own, base = both(label, ["error"])
    return pair(own["error"], base["error"], TEST_IMAGES)


def measured(arm: str) -> str:
    """What an arm of the study changes against what is decided, in one sentence; or that it is not recorded."""
    parts = []
    searched, base = both(arm, ["undecided", "accuracy", "first"])
    if len(searched):
        ours, theirs = searched.mean(), base.mean()
        parts.append(
            f"undecided edges {ours['undecided']:.0f} instead of {theirs['undecided']:.0f}, "
            f"validation accuracy {ours['accuracy']:.1f} instead of {theirs['accuracy']:.1f} %, "
            f"first pruning in epoch {ours['first']:.0f} instead of {theirs['first']:.0f} (n = {len(searched)})"
        )
    if common := _common_edges(arm):
        parts.append(common)
    test = against(arm)
    if test.n:
        parts.append(f"error of the cell {test.text()}")
    return "; ".join(parts) or f"not recorded yet (`asap study {STUDY} --commands`)"


def _common_edges(arm: str) -> str:
    """How many of a cell's edges another edge rule keeps, over the decided choice's searches on the copy of the images that has most."""
    rules = {p.parameters.identity()["edge_rule"] for p in load(STUDY).planned if p.label == arm and p.kind == "evaluation"}
    rule = next(iter(rules)) if len(rules) == 1 else ""
    kept, of, other = 0, 0, 0
    for name in (searches := one_copy(results.arm(results.searches(), STUDY, DECIDED), "method")["run"] if rule else ()):
        own, ruled = results.record(name).genotype().placed, results.record(name).genotype(rule).placed
        kept, of, other = kept + len(own & ruled), of + len(own), other + len(ruled)
    return f"over {len(searches)} searches it keeps {kept} of the {of} edges that the rule used here keeps, {other} in all" if of else ""


def rows() -> pd.DataFrame:
    """Every arm, seed by seed."""
    headers = ["choice", "images", "seed", "undecided edges", "validation accuracy, %", "first pruning, epoch", "error of the cell, %"]
    digits = {"undecided": 0, "accuracy": 1, "first": 0, "error": 2}
    return rows_frame(headers, [
        [label, str(row["copy"]).split()[0], str(row["seed"]), *(number(row[name], n) for name, n in digits.items())]
        for label in load(STUDY).labels for row in by_seed(label).sort_index().reset_index().to_dict("records")
    ])  # fmt: skip


def against_decided() -> pd.DataFrame:
    """`against` of every other choice."""
    return difference_rows({label: against(label) for label in load(STUDY).labels if label != DECIDED}, "choice", "pairs")


def runs() -> dict[str, str]:
    """The label of each recorded run of the study, by the run's name."""
    frames = [results.arm(frame, STUDY) for frame in (results.searches(), results.evaluations())]
    return {row.run: row.arm_sensitivity for frame in frames for row in each(frame)}

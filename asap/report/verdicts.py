"""A verdict on a claim of the paper, how records lead to one, and which records are compared. Knows records, never torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..records.run import MissingRecord
from . import results
from .inference import LEVEL, Difference, number, p_value

HOLDS, FAILS = "holds", "does not hold"
DIRECTION = "holds in direction"  # a statement of the theory that is false as printed, where a weaker one holds
SEEN, UNSEEN = "seen in one run", "not seen in one run"
INCONCLUSIVE, OPEN = "inconclusive", "cannot be told"  # the runs disagree; there is no record, or too few to tell
EQUAL = "no such difference"  # whatever difference there is, it is smaller than the paper's
PRINTED = "as printed"  # printed numbers, read again
SHOWN = "no verdict"  # a number of ours that is not comparable with the paper's
#: How many claims have a verdict, in words, of one claim and of several.
SUMMARY = {
    HOLDS: ("holds", "hold"),
    DIRECTION: ("holds in direction", "hold in direction"),
    FAILS: ("does not hold", "do not hold"),
    SEEN: ("was seen in one run", "were seen in one run"),
    UNSEEN: ("was not seen in one run", "were not seen in one run"),
    EQUAL: ("shows no such difference", "show no such difference"),
    INCONCLUSIVE: ("is inconclusive", "are inconclusive"),
    OPEN: ("cannot be told yet", "cannot be told yet"),
    SHOWN: ("has a number without a verdict", "have a number without a verdict"),
    PRINTED: ("is checked against the paper's own numbers alone", "are checked against the paper's own numbers alone"),
}

Values = Sequence[float] | pd.Series
#: The arms that prune by accumulated gradients, and ASAP where it prunes at an epoch's end as they do.
ACCUMULATED = ("Accumulated gradient, p = 1", "Accumulated gradient, p = 3")
LIKE_FOR_LIKE, AT_EPOCH_END = "Pruning once an epoch", "ASAP, pruning at an epoch's end"  # its arm, and what it is among methods
#: The studies whose arms are compared; an arm has one name in all of them.
STUDIES = ("methods", "design", "design2", "certified", "sensitivity", "ends")


@dataclass(frozen=True)
class Tested:
    """Differences that the claim says are all positive, one for each comparator.

    claimed: the paper's own difference; 0 where it prints none. complete: whether every comparator that the claim needs has a test.
    """

    parts: Mapping[str, Difference]
    claimed: float = 0.0
    complete: bool = True
    unit: str = "points"

    @property
    def testable(self) -> list[Difference]:
        return [part for part in self.parts.values() if part.testable]

    @property
    def positive(self) -> bool:
        """Whether every comparator that the claim needs has a test, and every difference is positive, one without a test too."""
        return self.complete and all(part.mean > 0 for part in self.parts.values())

    def p(self) -> float:
        """The p value of the claim, or of its opposite; nan where neither has a test.

        The claim needs every difference: its p is the largest. Its opposite needs one: the smallest of those below 0, by Bonferroni.
        """
        found = self.testable
        if found and self.positive:
            return max(part.p() for part in found)
        return min((min(1.0, len(found) * part.p()) for part in found if part.mean <= 0), default=float("nan"))

    def verdict(self, p: float, family: int) -> str:
        """The verdict, by the p value after Holm's correction over a family of so many claims."""
        if p < LEVEL:
            return HOLDS if self.positive else FAILS
        intervals = [part.interval(LEVEL / max(1, family)) for part in self.parts.values()]
        smaller = all(interval is not None and max(map(abs, interval)) < self.claimed for interval in intervals)
        return EQUAL if self.complete and smaller else OPEN

    def text(self, p: float, family: int) -> str:
        """Every difference, or their range where there are many; the adjusted p; and what could have been shown."""
        parts = self.parts
        if len(parts) <= 4:
            said = "; ".join(f"{name}: {part.text()}".replace("points", self.unit) for name, part in parts.items())
        else:
            means = [part.mean for part in parts.values()]
            said = f"{min(means):+.2f} to {max(means):+.2f} {self.unit}, {sum(m > 0 for m in means)} of {len(means)} positive"
            said += "" if self.testable else " (one run, no test)"
        if np.isnan(p):
            return said
        needed = max(part.detectable(family) for part in self.testable)
        bound = f"; no difference larger than {self.claimed:g} {self.unit}" if self.verdict(p, family) == EQUAL else ""
        alone = "each alone " * (len(parts) > 1)
        return f"{said}; adjusted p {p_value(p)}{bound}; {alone}could have shown {number(needed, 1)} {self.unit} (power 80 %)"


@dataclass(frozen=True)
class Verdict:
    """ours: our number or finding in words. scale: at which scale, on which copy of the images, from how many runs. beside: what other
    records have, which do not count.

    test: of a claim that is tested. Such claims are corrected together, so `claims.judged` decides; `verdict` says what is said until then.
    """

    ours: str
    scale: str
    verdict: str
    test: Tested | None = None
    beside: str = ""

    @property
    def told(self) -> str:
        """What is found, and what is `beside` it."""
        return "; ".join(filter(None, (self.ours, self.beside)))


def missing(what: str) -> Verdict:
    return Verdict(f"no record: {what}", "–", OPEN)


def verdict_from_count(good: int, of: int, runs: int = 0) -> str:
    """All of several runs: holds; none: does not hold; some: inconclusive; of one run, whether it was seen.

    runs: of the smallest arm, where the runs are of several.
    """
    if 0 < good < of:
        return INCONCLUSIVE
    if (runs or of) == 1:
        return SEEN if good else UNSEEN
    return HOLDS if good else FAILS


def worst_of(*verdicts: str) -> str:
    """The verdict on a claim of several parts: the worst of theirs."""
    return min(verdicts, key=(FAILS, UNSEEN, INCONCLUSIVE, OPEN, SEEN, HOLDS).index)


def verdict_from_order(first: Values, others: Mapping[str, Values]) -> str:
    """Whether every run of the first arm lies above every run of each other arm, for a claim that it does above all of them.

    An arm whose every run lies above the first's is a counterexample, and the claim does not hold; of one run of either, it was not seen.
    Where runs overlap it is inconclusive.
    """
    if contrary := [values for values in others.values() if max(first) < min(values)]:
        return FAILS if min(len(first), max(map(len, contrary))) > 1 else UNSEEN
    if not all(min(first) > max(values) for values in others.values()):
        return INCONCLUSIVE
    return SEEN if min(len(first), *map(len, others.values())) == 1 else HOLDS


def listed(values: Mapping[str, Values], digits: int, unit: str = "") -> str:
    """`ASAP: 34; DARTS: 59`, the mean of each arm."""
    return "; ".join(f"{label}: {np.mean(v):.{digits}f}{unit}" for label, v in values.items())


def one_copy(
    frame: pd.DataFrame, column: str, groups: Sequence[Sequence[str]] = (), needs: Sequence[str] = (), clocked: bool = False
) -> pd.DataFrame:
    """The rows of one copy of the images alone: records on different copies are never pooled.

    It is a copy that has the first arm and another to compare it with, where one does; of those the one on which most arms have two runs or
    more, then the one with runs of most arms, then the lossless one before the pilot. column: that names the arms; groups: the arms that
    are compared, alternatives together. needs, clocked: a run counts in this where it records these columns, and is clocked.
    """
    known = frame.dropna(subset=list(needs))
    known = known[known["clocked"]] if clocked else known

    def rank(copy: str) -> tuple[bool, int, int, bool, int]:
        rows = known[known["copy"] == copy]
        counts = rows[column].value_counts()
        runs = [counts.reindex(list(group), fill_value=0).max() for group in groups or [[name] for name in counts.index]]
        several, some = (sum(n >= least for n in runs) for least in (2, 1))
        return bool(groups and runs[0] and some > 1), several, some, "-jpeg" not in copy, len(rows)

    return frame[frame["copy"] == max(sorted(set(frame["copy"])), key=rank, default="")]


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with each row's arm in `label`: of the studies `STUDIES`, or `Random cells`."""
    label = results.first_arm(frame, *STUDIES)
    if "kind" in frame:
        label = label.mask((frame["kind"] == "random") & frame["by_recipe"] & (frame["dataset"] == "cifar10"), "Random cells")
    return results.once(frame.assign(label=label))


def arms(
    root: Path | None,
    *groups: Sequence[str],
    kind: str = "search",
    without: Sequence[str] = (),
    needs: Sequence[str] = (),
    clocked: bool = False,
) -> dict[str, pd.DataFrame]:
    """The finished runs of these arms at the cpu scale, those that are recorded, on one copy of the images; by arm, in order.

    groups: the arms that are compared, alternatives together. kind: search or evaluation. without: studies whose runs do not count.
    needs: columns that decide which copy (`one_copy`). clocked: only runs that are.
    """
    frame = labelled(results.searches(root) if kind == "search" else results.evaluations(root))
    for study in without:
        frame = frame[frame[f"arm_{study}"] == ""]
    labels = [label for group in groups for label in group]
    frame = one_copy(frame[frame["label"].isin(labels) & (frame["scale"] == "cpu")], "label", groups, needs, clocked)
    frame = frame[frame["clocked"]] if clocked else frame
    return {label: rows for label in labels if len(rows := frame[frame["label"] == label].sort_values("seed"))}


def compared(
    root: Path, *groups: Sequence[str], least: int = 2, kind: str = "search", clocked: bool = False, **given: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """The `arms` of at least so many groups, the first among them. Raises `MissingRecord` where they are not recorded."""
    found = arms(root, *groups, kind=kind, clocked=clocked, **given)
    there = [any(label in found for label in group) for group in groups]
    if not there[0] or sum(there) < least:
        raise MissingRecord(f"{'timed ' * clocked}{kind} runs by {'; '.join(group[0] for group in groups)}")
    return found


def scale_of(*frames: pd.DataFrame) -> str:
    """`cpu, n = 3`; of two arms `cpu, n = 2 (ASAP), 5 (Random cells)`, of more `cpu, n = 1 to 3`. The pilot is named so.

    n counts runs, of random cells the cells.
    """

    def count(frame: pd.DataFrame) -> int:
        return frame["cell"].nunique() if "label" in frame and set(frame["label"]) == {"Random cells"} else len(frame)

    first = frames[0].iloc[0]
    pilot = ", pilot" if "-jpeg" in first["variant"] else ""
    counts = sorted({count(frame) for frame in frames})
    named = {frame["label"].iloc[0]: count(frame) for frame in frames if "label" in frame}
    if len(counts) > 1 and len(named) == 2:
        told = ", ".join(f"{n} ({label})" for label, n in sorted(named.items()))
    else:
        told = f"{counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")
    return f"{first['scale']}{pilot}, n = {told}"

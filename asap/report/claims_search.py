"""How the claims on the course of a search are judged from the records; paper/claims.yaml says which judge is whose. Never knows torch.

A judge raises `RecordError` where there is no record to judge by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path

import numpy as np
import pandas as pd

from ..records.run import MissingRecord
from ..records.study import load
from . import results, tables, verdicts
from .verdicts import ACCUMULATED, MAGNITUDE, Verdict, compared, listed, one_copy, scale_of, verdict_from_count, verdict_from_order

FIGURE6 = (("ASAP",), ("ENAS",), ("DARTS",), ACCUMULATED)  # the methods of Figure 6; it does not say with which p


def asap_searches(root: Path) -> dict[str, pd.DataFrame]:
    """The finished plain ASAP searches on CIFAR-10 by scale, the largest first: what the front page and Figures 2 to 5 stand on."""
    frame = results.searches(root)
    plain = frame[frame["by_recipe"] & (frame["method"] == "asap") & (frame["dataset"] == "cifar10")]
    found = {scale: one_copy(plain[plain["scale"] == scale], "method", [["asap"]]).sort_values("seed") for scale in ("paper", "cpu")}
    return {scale: rows for scale, rows in found.items() if len(rows)}


def other_readings(root: Path) -> pd.DataFrame:
    """The ASAP searches by the paper's other readings: the study `sensitivity` but as decided."""
    labels = [label for label in load("sensitivity").labels if label != "As decided"]
    return results.arm(results.searches(root), "sensitivity", *labels)


#: What was found, whether each search is as the claim says, and the searches that count.
Found = tuple[str, Iterable[bool], pd.DataFrame]


def of_searches(judge: Callable[[Path, pd.DataFrame], Found]) -> Callable[[Path], Verdict]:
    """A judge of plain ASAP searches: the verdict is that of the largest scale; what is found at the other is said beside it."""

    @wraps(judge)
    def judged(root: Path) -> Verdict:
        found = []
        for runs in asap_searches(root).values():
            said, good, counted = judge(root, runs)
            found.append((scale_of(counted), said, verdict_from_count(sum(good), len(counted))))
        if not found:
            raise MissingRecord("a finished ASAP search on CIFAR-10")
        (scale, ours, verdict), *rest = found
        return Verdict("; ".join([ours, *(f"at {other}: {said} ({told})" for other, said, told in rest)]), scale, verdict)

    return judged


def spelt_range(values: pd.Series) -> str:
    """`19`, `19 and 21`, `7 to 21`: one value, two, or the range of more; nothing of none."""
    known = sorted({f"{value:.0f}" for value in values}, key=int)
    return f"{known[0]} to {known[-1]}" if len(known) > 2 else " and ".join(known)


@of_searches
def ends_in_one_network(root: Path, runs: pd.DataFrame) -> Found:
    readings = other_readings(root)
    readings = readings[(readings["scale"] == runs["scale"].iloc[0]) & (readings["copy"] == runs["copy"].iloc[0])]
    every = pd.concat([runs, readings])
    ended = every["undecided"] == 0
    plain, other = (spelt_range(rows["undecided"]) for rows in (runs, readings))
    said = f"{ended.sum()} of {len(every)} searches ended in one network; {plain} of {runs['edges'].iloc[0]} edges stayed undecided"
    return said + (f", {other} in searches by other readings of the paper" if other else ""), ended, every


@of_searches
def grace(root: Path, runs: pd.DataFrame) -> Found:
    counts = runs["grace_epochs"]
    return f"{', '.join(map(str, sorted(set(counts))))} epochs", counts == tables.paper()["search"]["grace_epochs"], runs


def final_temperature(root: Path) -> Verdict:
    printed = tables.paper()["search"]
    final = printed["initial_temperature"] * printed["temperature_decay"] ** printed["epochs"]
    return Verdict(f"T = {final:.3f}", "exact", verdicts.HOLDS if round(final, 1) == 0.1 else verdicts.FAILS)


@of_searches
def shorter_epochs(root: Path, runs: pd.DataFrame) -> Found:
    timed = runs[runs["clocked"]] if runs["clocked"].any() else runs
    seconds = [results.epochs(root, run)["steps_seconds"] for run in timed["run"]]
    left = [float(s.iloc[-1] / s.max()) for s in seconds]
    return f"the last epoch takes {np.mean(left):.0%} of the longest", [share < 0.67 for share in left], timed


@of_searches
def smooth(root: Path, runs: pd.DataFrame) -> Found:
    epoch = [float(-results.epochs(root, run)["density"].diff().min()) for run in runs["run"]]
    cut = (runs["operations_left"] - runs["edges"]) / runs["operations"]
    said = f"at most {max(epoch):.0%} of the connections go in one epoch, and at most {max(cut):.0%} in the cut at the end"
    return f"{said}, to one operation an edge", cut.clip(lower=np.array(epoch)) < 0.2, runs


@of_searches
def entropy_falls(root: Path, runs: pd.DataFrame) -> Found:
    ends = runs[["entropy_normal", "entropy_reduce"]]
    text = ", ".join(f"{a:.3f} / {b:.3f}" for a, b in ends.to_numpy())
    return f"normalised entropy at the end, normal / reduction: {text}", ends.max(axis=1) < 5e-4, runs


def hours(root: Path) -> Verdict:
    runs = asap_searches(root).get("paper")
    if runs is None:
        raise MissingRecord("a search at paper scale")
    on_its_card = runs[runs["device"].str.contains("1080 Ti")]
    shown = runs if on_its_card.empty else on_its_card
    took = shown["seconds"] / 3600
    device = shown["device"].iloc[0] if shown["device"].iloc[0] != "cpu" else f"{shown['threads'].iloc[0]} thread of a CPU"
    good = int((took < tables.paper()["search"]["hours"] + 0.05).sum())
    told = verdicts.SHOWN if on_its_card.empty else verdict_from_count(good, len(took))
    return Verdict(f"{took.mean():.2f} h on {device}", scale_of(shown), told)


def _lost(runs: pd.DataFrame) -> pd.Series:
    """The points of validation accuracy that the cut to one operation an edge loses; none where every edge was decided before."""
    return (runs["accuracy"] - runs["one_operation"]).mask(runs["decided"], 0.0)


def _with_cut(*frames: pd.DataFrame) -> pd.DataFrame:
    """The searches that record their cut. Raises `MissingRecord` where none does."""
    runs = one_copy(pd.concat(frames).dropna(subset="one_operation"), "scale", [["cpu"]])
    if runs.empty:
        raise MissingRecord("a search with its cut")
    return runs


def relaxation_bias(root: Path) -> Verdict:
    runs = _with_cut(*compared(root, verdicts.DARTS, least=1).values())
    lost, cell = _lost(runs), (runs["accuracy"] - runs["derived"]).mean()
    ours = f"with one operation an edge {lost.mean():.0f} points below the mixture, with the same weights; the derived cell {cell:.0f}"
    return Verdict(ours, scale_of(runs), verdict_from_count(int((lost > 5).sum()), len(runs)))


def no_bias(root: Path) -> Verdict:
    readings = other_readings(root)
    runs = _with_cut(asap_searches(root).get("cpu", readings.iloc[:0]), readings[readings["scale"] == "cpu"])
    lost, more = _lost(runs), (runs["one_operation"] - runs["derived"]).mean()
    ours = f"{int((~runs['decided'].astype(bool)).sum())} of {len(runs)} ASAP searches end undecided; one operation an edge costs "
    ours += f"{lost.min():.1f} to {lost.max():.1f} points, the derived cell {more:.1f} more on average"
    others = [rows[rows["copy"] == runs["copy"].iloc[0]] for rows in verdicts.arms(root, MAGNITUDE, ACCUMULATED).values()]
    eq13 = pd.concat([runs.iloc[:0], *others]).dropna(subset="one_operation")
    if len(eq13):
        ours += f"; searches by Eq. 13, {int(eq13['decided'].sum())} of {len(eq13)} decided before: "
        ours += f"{_lost(eq13).mean():.1f}, and {(eq13['one_operation'] - eq13['derived']).mean():.1f} more"
    return Verdict(ours, scale_of(runs), verdict_from_count(int((lost < 1).sum()), len(runs)))


def ordered(root: Path, said: str, column: str, groups: Sequence[Sequence[str]], lower: bool = False, clocked: bool = False) -> Verdict:
    """Whether every search of the first group's arm has a larger value (or a `lower` one) than every search of the others.

    said: what is found, with places for the means of the arms: {0} of the first, or {listed} of all, named.
    """
    found = compared(root, *groups, clocked=clocked)
    values = {label: rows[column] for label, rows in found.items()}
    first, *others = ((label, -column if lower else column) for label, column in values.items())
    ours = said.format(*map(np.mean, values.values()), listed=listed(values, 0))
    return Verdict(ours, scale_of(*found.values()), verdict_from_order(first[1], dict(others)))


def _roughness(epochs: pd.DataFrame) -> float:
    """The standard deviation of the change of the validation accuracy from epoch to epoch, in the second half of a search, in points."""
    return float(epochs["fall"].iloc[len(epochs) // 2 :].std())


def enas_low_and_noisy(root: Path) -> Verdict:
    found = compared(root, ["ENAS"], ["ASAP"], ["DARTS"], least=3)
    ends = {label: rows["accuracy"] for label, rows in found.items()}
    noise = {label: [_roughness(results.epochs(root, run)) for run in rows["run"]] for label, rows in found.items()}
    low = verdict_from_order(-ends["ENAS"], {label: -ends[label] for label in ("ASAP", "DARTS")})
    noisy = verdict_from_order(noise["ENAS"], {"DARTS": noise["DARTS"]})  # ASAP's prunings disturb its accuracy: another claim
    ours = f"at the end, {listed(ends, 1, ' %')} ({low}); from epoch to epoch it changes by {listed(noise, 1)} points ({noisy})"
    return Verdict(ours, scale_of(*found.values()), verdicts.worst_of(low, noisy))


def smaller_perturbations(root: Path) -> Verdict:
    found = compared(root, ["ASAP"], ACCUMULATED, [verdicts.LIKE_FOR_LIKE])
    largest = {label: values for label, rows in found.items() if len(values := rows["largest_fall"].dropna())}
    theirs = {label: -values for label, values in largest.items() if label in ACCUMULATED}
    ours = [-values for label, values in largest.items() if label not in ACCUMULATED]
    if not ours or not theirs:
        raise MissingRecord("searches by ASAP and by accumulated gradients that prune")
    named = {{verdicts.LIKE_FOR_LIKE: "ASAP, pruning once an epoch"}.get(label, label): [max(values)] for label, values in largest.items()}
    said = "largest fall in an epoch that prunes, in points: " + listed(named, 1)
    return Verdict(
        said, scale_of(*(found[label] for label in largest)), verdicts.worst_of(*(verdict_from_order(values, theirs) for values in ours))
    )


def highest_at_the_end(root: Path) -> Verdict:
    found = compared(root, *FIGURE6)
    said, told = [], []
    for column, stage in (("accuracy", "mixture"), ("one_operation", "one operation an edge"), ("derived", "derived cell")):
        ends = {label: values for label, rows in found.items() if len(values := rows[column].dropna())}
        said.append(f"{stage}: {listed(ends, 1)}" + ("" if "ASAP" in ends else " (ASAP not recorded)"))
        told.append(verdict_from_order(ends.pop("ASAP"), ends) if "ASAP" in ends else verdicts.INCONCLUSIVE)
    return Verdict("; ".join(said) + "; in %", scale_of(*found.values()), verdicts.worst_of(*told))


def entropy_stays(root: Path) -> Verdict:
    found = compared(root, ["DARTS"], ["ENAS"])
    ends = {label: rows[["entropy_normal", "entropy_reduce"]].min(axis=1) for label, rows in found.items()}
    every = pd.concat(ends.values())
    ours = "at the end, the lower of both cells (high: above one half): " + listed({label: [min(v)] for label, v in ends.items()}, 3)
    verdict = verdict_from_count(int((every > 0.5).sum()), len(every), min(map(len, ends.values())))
    return Verdict(ours, scale_of(*found.values()), verdict)


def arbitrary_choice(root: Path) -> Verdict:
    runs = compared(root, ["DARTS"], least=1)["DARTS"]
    ratios = [_leader_over_second(results.record(run, root).architecture()) for run in runs["run"]]
    ours = f"on the median edge the largest Φ is {np.mean(ratios):.2f} times the second (comparable: below 1.5)"
    return Verdict(ours, scale_of(runs), verdict_from_count(sum(r < 1.5 for r in ratios), len(ratios)))


def _leader_over_second(frame: pd.DataFrame) -> float:
    """The largest Φ of an edge over the second, but none, at the end; the median of the edges. frame: of architecture.parquet."""
    last = frame[(frame["epoch"] == frame["epoch"].max()) & (frame["operation"] != "none")]
    phi = last.sort_values("phi").groupby(["cell", "edge"], observed=True)["phi"]
    return float(phi.apply(lambda phi: phi.iloc[-1] / phi.iloc[-2]).median())

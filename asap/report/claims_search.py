"""How the claims on the course of a search are judged from the records; paper/claims.yaml says which judge is whose. Never knows torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import numpy as np
import pandas as pd

from ..records.run import Run
from ..records.study import load
from . import results
from .tables import paper
from .verdicts import (
    ACCUMULATED,
    DARTS,
    FAILS,
    HOLDS,
    INCONCLUSIVE,
    LIKE_FOR_LIKE,
    MAGNITUDE,
    SEEN,
    SHOWN,
    UNSEEN,
    Verdict,
    arms,
    listed,
    missing,
    one_copy,
    scale_of,
    verdict_from_count,
    verdict_from_order,
)

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


Judge = Callable[[Path], Verdict]


def of_searches(judge: Callable[[Path, pd.DataFrame], tuple[str, str] | tuple[str, str, pd.DataFrame]]) -> Judge:
    """A judge of plain ASAP searches: the verdict is that of the largest scale; what is found at the other is said beside it.

    judge: gives what was found, the verdict, and the searches that count where they are not those that it was given.
    """

    @wraps(judge)
    def judged(root: Path) -> Verdict:
        found = []
        for rows in asap_searches(root).values():
            said, told, *counted = judge(root, rows)
            found.append((scale_of(counted[0] if counted else rows), said, told))
        if not found:
            return missing("a finished ASAP search on CIFAR-10")
        (scale, ours, verdict), *rest = found
        return Verdict("; ".join([ours, *(f"at {other}: {said} ({told})" for other, said, told in rest)]), scale, verdict)

    return judged


@of_searches
def ends_in_one_network(root: Path, runs: pd.DataFrame) -> tuple[str, str, pd.DataFrame]:
    readings = other_readings(root)
    readings = readings[(readings["scale"] == runs["scale"].iloc[0]) & (readings["copy"] == runs["copy"].iloc[0])]
    every = pd.concat([runs, readings])
    ended = int((every["undecided"] == 0).sum())
    ours, theirs = (", ".join(f"{n:.0f}" for n in rows["undecided"]) for rows in (runs, readings))
    said = f"{ended} of {len(every)} searches ended in one network; of {runs['edges'].iloc[0]} edges {ours} stayed undecided"
    return said + (f", by the paper's other readings {theirs}" if theirs else ""), verdict_from_count(ended, len(every)), every


@of_searches
def grace(root: Path, runs: pd.DataFrame) -> tuple[str, str]:
    counts = [int(n) for n in runs["grace_epochs"]]
    good = sum(n == paper()["search"]["grace_epochs"] for n in counts)
    return f"{', '.join(map(str, sorted(set(counts))))} epochs", verdict_from_count(good, len(counts))


def final_temperature(root: Path) -> Verdict:
    printed = paper()["search"]
    final = printed["initial_temperature"] * printed["temperature_decay"] ** printed["epochs"]
    return Verdict(f"T = {final:.3f}", "exact", HOLDS if round(final, 1) == 0.1 else FAILS)


@of_searches
def shorter_epochs(root: Path, runs: pd.DataFrame) -> tuple[str, str, pd.DataFrame]:
    timed = runs[runs["clocked"]] if runs["clocked"].any() else runs
    seconds = [results.epochs(root, run)["steps_seconds"] for run in timed["run"]]
    left = [float(s.iloc[-1] / s.max()) for s in seconds]
    said = f"the last epoch takes {np.mean(left):.0%} of the longest"
    return said, verdict_from_count(sum(share < 0.67 for share in left), len(left)), timed


@of_searches
def smooth(root: Path, runs: pd.DataFrame) -> tuple[str, str]:
    epoch = [float(-results.epochs(root, run)["density"].diff().min()) for run in runs["run"]]
    cut = [float(share) for share in (runs["operations_left"] - runs["edges"]) / runs["operations"]]
    good = sum(max(both) < 0.2 for both in zip(epoch, cut, strict=True))
    said = f"at most {max(epoch):.0%} of the connections go in one epoch, and at most {max(cut):.0%} in the cut at the end"
    return f"{said}, to one operation an edge", verdict_from_count(good, len(runs))


@of_searches
def entropy_falls(root: Path, runs: pd.DataFrame) -> tuple[str, str]:
    ends = list(zip(runs["entropy_normal"], runs["entropy_reduce"], strict=True))
    text = ", ".join(f"{a:.3f} / {b:.3f}" for a, b in ends)
    good = sum(max(pair) < 5e-4 for pair in ends)
    return f"normalised entropy at the end, normal / reduction: {text}", verdict_from_count(good, len(ends))


def hours(root: Path) -> Verdict:
    runs = asap_searches(root).get("paper")
    if runs is None:
        return missing("a search at paper scale")
    printed = paper()["search"]
    on_its_card = runs[runs["device"].str.contains("1080 Ti")]
    shown = runs if on_its_card.empty else on_its_card
    took = [float(seconds) / 3600 for seconds in shown["seconds"]]
    device = shown["device"].iloc[0] if shown["device"].iloc[0] != "cpu" else f"{shown['threads'].iloc[0]} thread of a CPU"
    told = SHOWN if on_its_card.empty else verdict_from_count(sum(t < printed["hours"] + 0.05 for t in took), len(took))
    return Verdict(f"{np.mean(took):.2f} h on {device}", scale_of(shown), told)


def _lost(runs: pd.DataFrame) -> pd.Series:
    """The points of validation accuracy that the cut to one operation an edge loses; none where every edge was decided before."""
    return (runs["accuracy"] - runs["one_operation"]).mask(runs["decided"], 0.0)


def _with_cut(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["one_operation"].notna()]


def relaxation_bias(root: Path) -> Verdict:
    found = arms(root, DARTS)
    runs = _with_cut(pd.concat(found.values())) if found else pd.DataFrame()
    if runs.empty:
        return missing("a DARTS search with its cut")
    lost, cell = _lost(runs), (runs["accuracy"] - runs["derived"]).mean()
    ours = f"with one operation an edge {lost.mean():.0f} points below the mixture, with the same weights; the derived cell {cell:.0f}"
    return Verdict(ours, scale_of(runs), verdict_from_count(int((lost > 5).sum()), len(runs)))


def no_bias(root: Path) -> Verdict:
    readings = other_readings(root)
    plain = asap_searches(root).get("cpu", readings.iloc[:0])
    pool = pd.concat([_with_cut(plain), _with_cut(readings[readings["scale"] == "cpu"])])
    runs = one_copy(pool, "method", [["asap"]])
    if runs.empty:
        return missing("an ASAP search with its cut")
    lost, more = _lost(runs), (runs["one_operation"] - runs["derived"]).mean()
    ours = f"{int((~runs['decided'].astype(bool)).sum())} of {len(runs)} ASAP searches end undecided; one operation an edge costs "
    ours += f"{lost.min():.1f} to {lost.max():.1f} points, the derived cell {more:.1f} more on average"
    others = [_with_cut(rows[rows["copy"] == runs["copy"].iloc[0]]) for rows in arms(root, MAGNITUDE, ACCUMULATED).values()]
    eq13 = pd.concat([runs.iloc[:0], *others])
    if len(eq13):
        ours += f"; searches by Eq. 13, {int(eq13['decided'].sum())} of {len(eq13)} decided before: "
        ours += f"{_lost(eq13).mean():.1f}, and {(eq13['one_operation'] - eq13['derived']).mean():.1f} more"
    return Verdict(ours, scale_of(runs), verdict_from_count(int((lost < 1).sum()), len(runs)))


def roughness(epochs: pd.DataFrame) -> float:
    """The standard deviation of the change of the validation accuracy from epoch to epoch, in the second half of a search, in points."""
    return float(epochs["fall"].iloc[len(epochs) // 2 :].std())


def enas_low_and_noisy(root: Path) -> Verdict:
    found = arms(root, ["ENAS"], ["ASAP"], ["DARTS"])
    if len(found) < 3:
        return missing("searches by ENAS, DARTS and ASAP")
    ends = {label: list(rows["accuracy"]) for label, rows in found.items()}
    noise = {label: [roughness(results.epochs(root, run)) for run in rows["run"]] for label, rows in found.items()}
    low = verdict_from_order([-v for v in ends["ENAS"]], {k: [-v for v in values] for k, values in ends.items() if k != "ENAS"})
    noisy = verdict_from_order(noise["ENAS"], {"DARTS": noise["DARTS"]})  # ASAP's prunings disturb its accuracy: another claim
    ours = f"at the end, {listed(ends, 1, ' %')} ({low}); from epoch to epoch it changes by {listed(noise, 1)} points ({noisy})"
    return Verdict(ours, scale_of(*found.values()), all_of(low, noisy))


def all_of(*verdicts: str) -> str:
    """The verdict on a claim of several parts: the worst of theirs."""
    order = (FAILS, UNSEEN, INCONCLUSIVE, SEEN, HOLDS)
    return min(verdicts, key=order.index)


def smaller_perturbations(root: Path) -> Verdict:
    found = arms(root, ["ASAP"], ACCUMULATED, [LIKE_FOR_LIKE])
    largest = {label: list(rows["largest_fall"].dropna()) for label, rows in found.items()}
    largest = {label: values for label, values in largest.items() if values}
    theirs = {label: [-v for v in values] for label, values in largest.items() if label in ACCUMULATED}
    ours = [values for label, values in largest.items() if label not in ACCUMULATED]
    if not ours or not theirs:
        return missing("searches by ASAP and by accumulated gradients")
    named = {f"ASAP, {LIKE_FOR_LIKE[0].lower()}{LIKE_FOR_LIKE[1:]}" if k == LIKE_FOR_LIKE else k: [max(v)] for k, v in largest.items()}
    told = all_of(*(verdict_from_order([-v for v in values], theirs) for values in ours))
    said = "largest fall in an epoch that prunes, in points: " + listed(named, 1)
    return Verdict(said, scale_of(*(found[label] for label in largest)), told)


def frequent(root: Path) -> Verdict:
    found = arms(root, ["ASAP"], ACCUMULATED)
    counts = {label: [float(n) for n in rows["pruning_epochs"]] for label, rows in found.items()}
    if "ASAP" not in counts or len(counts) < 2:
        return missing("searches by ASAP and by accumulated gradients")
    told = verdict_from_order(counts["ASAP"], {k: v for k, v in counts.items() if k != "ASAP"})
    return Verdict("epochs that prune: " + listed(counts, 0), scale_of(*found.values()), told)


def highest_at_the_end(root: Path) -> Verdict:
    found = arms(root, *FIGURE6)
    if "ASAP" not in found or len(found) < 2:
        return missing("searches by ASAP and by the other methods of Figure 6")
    said, told = [], []
    for column, stage in (("accuracy", "mixture"), ("one_operation", "one operation an edge"), ("derived", "derived cell")):
        ends = {label: list(values) for label, rows in found.items() if len(values := rows[column].dropna())}
        if "ASAP" in ends:
            told.append(verdict_from_order(ends["ASAP"], {k: v for k, v in ends.items() if k != "ASAP"}))
        said.append(f"{stage}: {listed(ends, 1)}" + ("" if "ASAP" in ends else " (ASAP not recorded)"))
    verdict = all_of(*told) if len(told) == 3 else all_of(INCONCLUSIVE, *told)
    return Verdict("; ".join(said) + "; in %", scale_of(*found.values()), verdict)


def entropy_stays(root: Path) -> Verdict:
    found = arms(root, ["DARTS"], ["ENAS"])
    if len(found) < 2:
        return missing("searches by DARTS and ENAS")
    ends = {label: list(rows[["entropy_normal", "entropy_reduce"]].min(axis=1)) for label, rows in found.items()}
    every = [value for values in ends.values() for value in values]
    ours = "at the end, the lower of both cells (high: above one half): " + listed({label: [min(v)] for label, v in ends.items()}, 3)
    runs = min(map(len, ends.values()))
    return Verdict(ours, scale_of(*found.values()), verdict_from_count(sum(v > 0.5 for v in every), len(every), runs))


def arbitrary_choice(root: Path) -> Verdict:
    runs = arms(root, ["DARTS"]).get("DARTS")
    if runs is None:
        return missing("a DARTS search")
    ratios = [_leader_over_second(results.record(run, root)) for run in runs["run"]]
    ours = f"on the median edge the largest Φ is {np.mean(ratios):.2f} times the second (comparable: below 1.5)"
    return Verdict(ours, scale_of(runs), verdict_from_count(sum(r < 1.5 for r in ratios), len(ratios)))


def _leader_over_second(run: Run) -> float:
    """The largest Φ of an edge over the second, but none, at the end; the median of the edges."""
    frame = run.architecture()
    last = frame[(frame["epoch"] == frame["epoch"].max()) & (frame["operation"] != "none")]
    top = last.sort_values("phi").groupby(["cell", "edge"], observed=True)["phi"].apply(lambda phi: phi.iloc[-1] / phi.iloc[-2])
    return float(top.median())


def _timed(root: Path, *groups: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """The searches of these arms whose clock other processes do not disturb."""
    found = {label: rows[rows["clocked"]] for label, rows in arms(root, *groups).items()}
    return {label: rows for label, rows in found.items() if len(rows)}


def faster_for_pruning(root: Path) -> Verdict:
    without = "ASAP, annealing without pruning"
    found = _timed(root, ("ASAP",), (without,))
    if len(found) < 2:
        return missing("timed searches by ASAP with and without pruning")
    took = {label: list(rows["full_epochs"]) for label, rows in found.items()}
    ours = f"with pruning a search takes as long as {np.mean(took['ASAP']):.0f} of its epochs before any pruning, "
    ours += f"without {np.mean(took[without]):.0f}"
    told = verdict_from_order([-v for v in took["ASAP"]], {without: [-v for v in took[without]]})
    return Verdict(ours, scale_of(*found.values()), told)


def cheapest(root: Path) -> Verdict:
    found = _timed(root, ("ASAP",), DARTS, ("ENAS",))
    if "ASAP" not in found or len(found) < 2:
        return missing("timed searches by ASAP and others")
    minutes = {label: list(rows["step_minutes"]) for label, rows in found.items()}
    told = verdict_from_order([-v for v in minutes["ASAP"]], {k: [-x for x in v] for k, v in minutes.items() if k != "ASAP"})
    return Verdict("minutes of CPU time: " + listed(minutes, 0), scale_of(*found.values()), told)

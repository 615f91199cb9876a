"""The verdict on each statement of the theory, from the simulations recorded under runs/theory/. Knows no torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ..records.run import RecordError, Run
from ..theory.bounds import expected_stop
from .verdicts import DIRECTION, FAILS, HOLDS, INCONCLUSIVE, Verdict, missing


def results(root: Path, name: str) -> pd.DataFrame:
    """A recorded table of the theory. Raises `RecordError` where it is missing or damaged."""
    return Run.open(root / "theory" / name).results()


def statement(root: Path, key: str) -> Verdict:
    """The verdict on one statement, by its key; its `scale` says what it is checked by. It cannot be told without a whole record."""
    try:
        return STATEMENTS[key][1](root)
    except RecordError:
        return missing("a table of the theory; asap theory --record all makes it")


def _told(holds: bool | np.bool_, otherwise: str = FAILS) -> str:
    return HOLDS if holds else otherwise


def _tail(root: Path, lemma: str) -> Verdict:
    value = float(results(root, "statements").set_index("statement")["value"][lemma])
    return Verdict(f"at most {value:.2g} of the bound", "exact binomial tails", _told(value <= 1))


def _theorem3(root: Path) -> Verdict:
    row = _exact(root, "escape")
    found = f"fails with probability {row['probability']:.2g} where {row['allowed']:.2g} is allowed"
    return Verdict(found, f"dynamic program, t ≤ {row['horizon']:,}", _told(row["probability"] <= row["allowed"]))


def _exact(root: Path, quantity: str) -> pd.Series:
    """The exact probability under Theorem 2's own schedule."""
    return results(root, "exact").query("quantity == @quantity and schedule == 'theorem2' and shrink == 1").iloc[0]


def _claim1(root: Path) -> Verdict:
    frame = results(root, "statements").set_index("statement")
    there, back = (float(frame["value"][f"Claim 1: {way}"]) for way in ("pruned ⇒ (10)", "(10) ⇒ pruned"))
    found = f"counterexamples: {there:,.0f} to pruned ⇒ (10), {back:,.0f} to (10) ⇒ pruned"
    return Verdict(found, f"{int(frame['cases'].iloc[-1]):,} random α", _told(there + back == 0, FAILS if there else DIRECTION))


def _theorem2(root: Path) -> Verdict:
    literal = results(root, "reference").query("schedule == 'literal'").iloc[0]
    behind = results(root, "breaks").query("case == 'the best starts behind'").iloc[0]
    found = (
        f"as printed it fails: {literal['failures']:,} of {literal['repetitions']:,} runs with ν ≡ 1 prune the best, and "
        f"{behind['failures']} of {behind['repetitions']} where the best starts behind; Theorem 2′, with both conditions, "
    )
    mended = _mended(root).verdict
    told = _told(literal["failures"] + behind["failures"] == 0, DIRECTION if mended == HOLDS else FAILS)
    return Verdict(found + mended, "simulation", told)


def _mended(root: Path) -> Verdict:
    rows, pair = results(root, "reference").query("schedule == 'theorem2'"), _exact(root, "pair phi")
    found = f"{rows['failures'].sum():,} of {rows['repetitions'].sum():,} runs prune the best; "
    found += f"{pair['probability']:.2g} exactly for a tie of N = 2"
    safe = (rows["high"] <= rows["delta"] / 2).all() and pair["probability"] <= pair["allowed"] / 2
    return Verdict(found, "simulation and dynamic program", _told(safe))


def _ends(root: Path) -> Verdict:
    rows, breaks = results(root, "reference").query("schedule == 'theorem2'"), results(root, "breaks").set_index("case")
    ties, coupled = breaks.loc["ties"], breaks.loc["coupled"]
    found = (
        f"one operation was left in {rows['finished'].sum():,} of {rows['repetitions'].sum():,} runs with a leader, within "
        f"{rows['horizon'].max():,} steps; within {coupled['horizon']:,} steps "
        f"in {ties['finished']:.0f} of {ties['repetitions']} with a tie, and in {coupled['finished']:.0f} of "
        f"{coupled['repetitions']} whose gradients are coupled through the softmax"
    )
    led = (rows["finished"] == rows["repetitions"]).all()
    others = all(case["finished"] == case["repetitions"] for case in (ties, coupled))
    return Verdict(found, "simulation", _told(led and others, DIRECTION if led else FAILS))


def _time(root: Path) -> Verdict:
    frame = results(root, "reference").query("schedule == 'theorem2' and nu_power == 0")
    bounds = [expected_stop(*setting) for setting in zip(frame["gap"], frame["operations"], frame["delta"], strict=True)]
    ratio = bounds / frame["stop_median"]
    found = f"proved for the mean; for scale, it is {ratio.min():.1f} to {ratio.max():.1f} times the median of {len(frame)} settings"
    return Verdict(found, "simulation", _told((ratio >= 1).all()))


def _certified(root: Path) -> Verdict:
    cases = results(root, "certified").query("part == 'validity'")
    closest = cases.iloc[(used := cases["high"] / cases["delta"]).argmax()]
    found = (
        f"in {(used > 1).sum()} of {len(cases)} cases made to break it the one-sided 95 % bound of the rate is above what is allowed; "
        f"closest to it: rate {closest['failures'] / closest['repetitions']:.2g}, bound {closest['high']:.2g}, allowed {closest['delta']:g}"
    )
    return Verdict(found, "simulation", _told((used <= 1).all()))


def _slow(root: Path) -> Verdict:
    at = results(root, "schedules").query("gap > 0").set_index(["name", "gap"])[["ended", "last_epoch"]]
    theorem, used = at.loc["Theorem 2"], at.loc["exponential, T₀ = 1.3"]
    behind = (theorem["ended"] < used["ended"]) | ((theorem["ended"] == used["ended"]) & (theorem["last_epoch"] > used["last_epoch"]))
    by_gap = []
    for gap in behind.index:
        ends, epochs = ([float(frame[column][gap]) for frame in (used, theorem)] for column in ("ended", "last_epoch"))
        sooner = f" (in epoch {epochs[0]:.0f} against {epochs[1]:.0f})" if ends[0] == ends[1] else ""
        by_gap.append(f"{ends[0]:.1%} against {ends[1]:.1%} at a gap of {gap:g} steps{sooner}")
    found = f"simulated searches that end within 50 epochs, by the exponential schedule against Theorem 2's: {'; '.join(by_gap)}"
    return Verdict(found, "simulation", _told(behind.all(), INCONCLUSIVE if behind.any() else FAILS))


STATEMENTS: dict[str, tuple[str, Callable[[Path], Verdict]]] = {
    "theorem2": ("Theorem 2: the best operation is kept with probability 1 − δ", _theorem2),
    "ends": ("Theorem 2: one operation is left in the end", _ends),
    "slow": ("That schedule is slower than the exponential one", _slow),
    "lemma1": ("Lemma 1 (Hoeffding)", partial(_tail, lemma="Lemma 1")),
    "corollary4": ("Corollary 4", partial(_tail, lemma="Corollary 4")),
    "theorem3": ("Theorem 3", _theorem3),
    "claim1": ("Claim 1: pruned is equivalent to condition (10)", _claim1),
    "theorem2-mended": ("Theorem 2′: the best is pruned with probability at most δ/2", _mended),
    "theorem2-time": ("Theorem 2′: the bound on the expected time", _time),
    "theorem-c": ("Theorem C: an operation, fixed beforehand, that no rival leads is pruned with probability at most δ", _certified),
}

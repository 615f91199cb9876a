"""The verdict on each statement of the theory, from the simulations recorded under runs/theory/. Every page reads it here. Knows no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ..records.run import RecordError, Run
from ..theory.bounds import expected_stop
from .verdicts import DIRECTION, FAILS, HOLDS, OPEN, Verdict, missing

NO_RECORD = "no record"
COLUMNS = ["statement", "checked by", "found", "verdict"]


def results(root: Path, name: str) -> pd.DataFrame:
    """A recorded table of the theory. Raises `RecordError` where it is missing or damaged."""
    return Run.open(root / "theory" / name).results()


def verdicts(root: Path) -> pd.DataFrame:
    """One row a statement, indexed by a key: statement, checked by, found, verdict (one of the four of verdicts.py).

    A statement whose record is missing or damaged cannot be told, and says which record that is.
    """
    rows = {}
    for key, (text, judge) in STATEMENTS.items():
        try:
            rows[key] = (text, *judge(root))
        except RecordError:
            rows[key] = (text, NO_RECORD, "`asap theory --record all` makes it", OPEN)
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)


def statement(root: Path, key: str) -> Verdict:
    """The verdict on one statement, by its key, for the page of claims."""
    row = {str(name): str(value) for name, value in verdicts(root).loc[key].items()}
    return missing("a table of the theory") if row["checked by"] == NO_RECORD else Verdict(row["found"], row["checked by"], row["verdict"])


Judged = tuple[str, str, str]  # checked by, found, verdict


def _tail(lemma: str) -> Callable[[Path], Judged]:
    def judge(root: Path) -> Judged:
        value = float(results(root, "statements").set_index("statement")["value"][lemma])
        return "exact binomial tails", f"at most {value:.2g} of the bound", HOLDS if value <= 1 else FAILS

    return judge


def _theorem3(root: Path) -> Judged:
    frame = results(root, "exact")
    row = frame[(frame["quantity"] == "escape") & (frame["schedule"] == "theorem2") & (frame["shrink"] == 1.0)].iloc[0]
    found = f"fails with probability {row['probability']:.2g} where {row['allowed']:.2g} is allowed"
    return f"dynamic program, t ≤ {row['horizon']:,}", found, HOLDS if row["probability"] <= row["allowed"] else FAILS


def _claim1(root: Path) -> Judged:
    frame = results(root, "statements").set_index("statement")
    there, back = (float(frame["value"][f"Claim 1: {way}"]) for way in ("pruned ⇒ (10)", "(10) ⇒ pruned"))
    found = f"counterexamples: {there:,.0f} to pruned ⇒ (10), {back:,.0f} to (10) ⇒ pruned"
    verdict = HOLDS if there + back == 0 else DIRECTION if there == 0 else FAILS
    return f"{int(frame['cases'].iloc[-1]):,} random α", found, verdict


def _theorem2(root: Path) -> Judged:
    reference, breaks = results(root, "reference"), results(root, "breaks")
    literal = reference[reference["schedule"] == "literal"].iloc[0]
    behind = breaks[breaks["case"] == "the best starts behind"].iloc[0]
    found = (
        f"as printed it fails: {literal['failures']:,} of {literal['repetitions']:,} runs with ν ≡ 1 prune the best, and {behind['failures']} of "
        f"{behind['repetitions']} where the best starts behind; Theorem 2′, with both conditions, holds"
    )
    fails = literal["failures"] > 0 or behind["failures"] > 0
    return "simulation", found, HOLDS if not fails else DIRECTION if _mended(root)[2] == HOLDS else FAILS


def _mended(root: Path) -> Judged:
    reference, exact = results(root, "reference"), results(root, "exact")
    rows = reference[reference["schedule"] == "theorem2"]
    pair = exact[(exact["quantity"] == "pair phi") & (exact["schedule"] == "theorem2") & (exact["shrink"] == 1.0)].iloc[0]
    found = f"{rows['failures'].sum():,} of {rows['repetitions'].sum():,} runs prune the best; {pair['probability']:.2g} exactly for a tie of N = 2"
    safe = (rows["high"] <= rows["delta"]).all() and pair["probability"] <= pair["allowed"] / 2
    return "simulation and dynamic program", found, HOLDS if safe else FAILS


def _ends(root: Path) -> Judged:
    reference, breaks = results(root, "reference"), results(root, "breaks")
    rows = reference[reference["schedule"] == "theorem2"]
    ties, coupled = (breaks[breaks["case"] == case].iloc[0] for case in ("ties", "coupled"))
    found = (
        f"with a lead {rows['finished'].sum():,} of {rows['repetitions'].sum():,} runs ended, of ties {ties['finished']:.0f} of {ties['repetitions']}, "
        f"of gradients coupled through the softmax {coupled['finished']:.0f} of {coupled['repetitions']}, within {coupled['horizon']:,} steps"
    )
    led = (rows["finished"] == rows["repetitions"]).all()
    others = ties["finished"] == ties["repetitions"] and coupled["finished"] == coupled["repetitions"]
    return "simulation", found, HOLDS if led and others else DIRECTION if led else FAILS


def expected_times(root: Path) -> pd.DataFrame:
    """Theorem 2′'s bound on the expected time beside the measured medians: operations, delta, gap, bound, median. Of ν = 1/N."""
    frame = results(root, "reference")
    frame = frame[(frame["schedule"] == "theorem2") & (frame["nu_power"] == 0)]
    bounds = [expected_stop(*setting) for setting in zip(frame["gap"], frame["operations"], frame["delta"], strict=True)]
    return frame[["operations", "delta", "gap"]].assign(bound=bounds, median=frame["stop_median"])


def _time(root: Path) -> Judged:
    frame = expected_times(root)
    ratio = frame["bound"] / frame["median"]
    found = f"the bound is {ratio.min():.1f} to {ratio.max():.1f} times the median of {len(frame)} settings"
    return "simulation", found, HOLDS if (ratio >= 1).all() else FAILS


def _certified(root: Path) -> Judged:
    frame = results(root, "certified")
    cases = frame[frame["part"] == "validity"]
    worst = cases.iloc[int((cases["high"] / cases["delta"]).argmax())]
    found = (
        f"in {len(cases)} cases made to break it, at most {worst['failures'] / worst['repetitions']:.2g} (one-sided 95 % bound {worst['high']:.2g}) "
        f"where {worst['delta']:g} is allowed"
    )
    return "simulation", found, HOLDS if (cases["high"] <= cases["delta"]).all() else FAILS


def _slow(root: Path) -> Judged:
    frame = results(root, "schedules")
    at = frame[frame["gap"] == 0.05].set_index("name")["ended"]
    theorem, used = float(at["Theorem 2"]), float(at["exponential, T₀ = 1.3"])
    found = f"at a gap of 0.05 steps, {used:.0%} of searches end within 50 epochs, {theorem:.0%} by Theorem 2's schedule"
    return "simulation", found, HOLDS if theorem < used else FAILS


STATEMENTS: dict[str, tuple[str, Callable[[Path], Judged]]] = {
    "theorem2": ("Theorem 2: the best operation is kept with probability 1 − δ", _theorem2),
    "ends": ("Theorem 2: one operation is left in the end", _ends),
    "slow": ("That schedule is slower than the exponential one", _slow),
    "lemma1": ("Lemma 1 (Hoeffding)", _tail("Lemma 1")),
    "corollary4": ("Corollary 4", _tail("Corollary 4")),
    "theorem3": ("Theorem 3", _theorem3),
    "claim1": ("Claim 1: pruned is equivalent to condition (10)", _claim1),
    "theorem2-mended": ("Theorem 2′: the best is pruned with probability at most δ/2", _mended),
    "theorem2-time": ("Theorem 2′: the bound on the expected time", _time),
    "theorem-c": ("Theorem C: no false certificate with probability 1 − δ", _certified),
}

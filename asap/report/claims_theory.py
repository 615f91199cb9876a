"""How the claims on the theory are judged from the records under runs/theory/. Never knows torch."""

from __future__ import annotations

from pathlib import Path

from ..records.run import RecordError, Run
from .verdicts import DIRECTION, FAILS, HOLDS, Verdict, missing


def statement(root: Path, key: str) -> Verdict:
    """The verdict on a statement of the theory: theorem2, claim1, theorem3 or slow."""
    return {"theorem2": pac, "claim1": claim1, "theorem3": theorem3, "slow": slow}[key](root)


def pac(root: Path) -> Verdict:
    try:
        frame = Run.open(root / "theory" / "reference").results()
    except RecordError:
        return missing("the simulations of Theorem 2")
    literal, mended = frame[frame["schedule"] == "literal"], frame[frame["schedule"] == "theorem2"]
    as_printed, safe = int(literal["failures"].sum()), bool((mended["high"] <= mended["delta"]).all())
    ours = (
        f"as printed, {as_printed:,} of {literal['repetitions'].sum():,} runs prune the best; "
        f"with the missing condition, {mended['failures'].sum():,} of {mended['repetitions'].sum():,}"
    )
    return Verdict(ours, "simulated", FAILS if not safe else DIRECTION if as_printed else HOLDS)


def claim1(root: Path) -> Verdict:
    try:
        frame = Run.open(root / "theory" / "statements").results().set_index("statement")["value"]
    except RecordError:
        return missing("the statements of the theory")
    there, back = (float(frame[f"Claim 1: {way}"]) for way in ("pruned ⇒ (10)", "(10) ⇒ pruned"))
    ours = f"counterexamples: {there:,.0f} to pruned ⇒ (10), {back:,.0f} to (10) ⇒ pruned"
    return Verdict(ours, "exact", HOLDS if there + back == 0 else DIRECTION if there == 0 else FAILS)


def theorem3(root: Path) -> Verdict:
    try:
        frame = Run.open(root / "theory" / "exact").results()
    except RecordError:
        return missing("the exact probabilities of the theory")
    row = frame[(frame["quantity"] == "escape") & (frame["schedule"] == "theorem2") & (frame["shrink"] == 1.0)].iloc[0]
    ours = f"fails with probability {row['probability']:.2g} where {row['allowed']:.2g} is allowed"
    return Verdict(ours, "exact", HOLDS if row["probability"] <= row["allowed"] else FAILS)


def slow(root: Path) -> Verdict:
    try:
        frame = Run.open(root / "theory" / "schedules").results()
    except RecordError:
        return missing("the simulations of the schedules")
    at = frame[frame["gap"] == 0.05].set_index("name")["ended"]
    theorem, used = float(at["Theorem 2"]), float(at["exponential, T₀ = 1.3"])
    ours = f"at a gap of 0.05 steps, {used:.0%} of searches end within 50 epochs, {theorem:.0%} by Theorem 2's schedule"
    return Verdict(ours, "simulated", HOLDS if theorem < used else FAILS)

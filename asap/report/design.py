"""The comparison of the arms with ASAP as book/design.md fixed it before its runs: two outcomes, two looks, Dunnett's test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ..records.parameters import runs_root
from ..records.run import RecordError
from . import results
from .inference import detected_shift

STUDY, BASE, RANDOM = "design", "ASAP", "Random cells"
DATA = "cifar10"  # the lossless copy
FIXED = pd.Timestamp("2026-11-26T13:59:13+00:00")  # the commit of book/design.md, 75960a4: every run it judges began later
#: How many searches an arm has at a look, and how many random cells there are.
LOOKS: dict[int, dict[str, int]] = {
    1: {BASE: 8, "DARTS": 6, "Magnitude, p = 3": 4, "Accumulated gradient, p = 1": 4, "ENAS": 4, "Random search": 4, RANDOM: 200},
    2: {BASE: 16, "DARTS": 12, "Magnitude, p = 3": 8, "Accumulated gradient, p = 1": 8, "ENAS": 8, "Random search": 8, RANDOM: 200},
}
LEVELS = {1: 0.0061, 2: 0.0477}  # |z| > 2.74, then 1.98: together 5 %
RANDOM_CELLS = [f"random-{seed}" for seed in range(1000, 1200)]
BETTER, WORSE, UNDECIDED = "ASAP is better", "ASAP is worse", "not decided"
COLUMNS = ["outcome", "adjusted", "arm", "n", "difference", "low", "high", "p", "look", "verdict", "detectable"]


SCORED = {"cell": str, "kind": str, "score": float, "percentile": float, "parameters": float}
NO_SCORES = pd.DataFrame(columns=[*SCORED, "extrapolates", "note"]).astype(SCORED)


def scores(root: Path | None = None) -> pd.DataFrame:
    """runs/scores/scores.csv, a row a cell: `SCORED`, extrapolates, note; no row where it is missing. Raises `RecordError`, damaged."""
    path = Path(root or runs_root()) / "scores" / "scores.csv"
    try:
        return pd.read_csv(path).astype(SCORED) if path.is_file() else NO_SCORES
    except (OSError, ValueError, KeyError) as error:
        raise RecordError(f"runs/scores/scores.csv is damaged ({error!r}); `asap score --record` makes it anew") from None


def recorded(root: Path | None = None) -> pd.DataFrame:
    """`comparison` of what is recorded under a root."""
    return comparison(results.searches(root), results.evaluations(root), scores(root))


def comparison(searches: pd.DataFrame, evaluations: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Each arm against ASAP, a row for each outcome, raw and adjusted: the columns `COLUMNS`.

    outcome       score (the surrogate's, higher is better) or error (test error, %, lower is better)
    adjusted      whether for the logarithm of the parameters at 36 channels, by the pooled slope within the arms
    n             cells of the arm
    difference    the arm's mean minus ASAP's; low, high: its simultaneous interval at the look's level
    p             Dunnett's, corrected for the number of arms
    look          1 or 2; 0 before the first is complete, and then nothing is computed
    verdict       `BETTER`, `WORSE`, `UNDECIDED`, or that the look is not complete
    detectable    the smallest difference that the look shows with probability 80 %

    searches, evaluations: the frames of `results`; scores: as `scores` reads it. Of an arm the first seeds of the look count.
    """
    plain = searches[searches["arm_design"].isin(list(LOOKS[1])) & (searches["variant"] == DATA)]
    plain = plain[pd.to_datetime(plain["started"], utc=True) >= FIXED].sort_values("seed")
    counts = {arm: int((plain["arm_design"] == arm).sum()) for arm in LOOKS[1] if arm != RANDOM}
    reached = [look for look, arms in LOOKS.items() if all(counts[arm] >= n for arm, n in arms.items() if arm != RANDOM)]
    look = max(reached, default=0)
    of = LOOKS[max(look, 1)]
    ended = {arm: plain[plain["arm_design"] == arm].head(of[arm])["run"].tolist() for arm in counts}
    cells = pd.DataFrame(
        [(arm, cell) for arm, group in [*ended.items(), (RANDOM, RANDOM_CELLS)] for cell in group], columns=["arm", "cell"]
    )
    tested = evaluations[evaluations["by_recipe"] & (evaluations["variant"] == DATA) & (evaluations["scale"] == "cpu")]
    sizes = {**_by_cell(evaluations, "parameters_36"), **dict(zip(searches["run"], searches["parameters_36"], strict=True))}
    millions = sizes | {cell: n / 1e6 for cell, n in _by_cell(scores, "parameters").items()}
    cells["size"] = np.log(cells["cell"].map(millions).astype(float))
    total = sum(n for arm, n in LOOKS[1].items() if arm != RANDOM)
    waiting = f"look 1 is not complete: {sum(min(counts[arm], LOOKS[1][arm]) for arm in counts)} of {total} searches"
    rows = []
    for outcome, values, better in (("score", _by_cell(scores, "score"), 1), ("error", _by_cell(tested, "error"), -1)):
        known = cells.assign(value=cells["cell"].map(values).astype(float)).dropna(subset="value")
        have = known.groupby("arm").size()
        short = [arm for arm, n in of.items() if have.get(arm, 0) < n and (arm != RANDOM or outcome == "score")]
        shown = waiting if not look else f"look {look} is not complete: no {outcome} of every cell of {', '.join(short)}" if short else ""
        sized = known.dropna(subset="size")
        for adjusted, frame in ((False, known), (True, sized.assign(value=size_adjusted(sized)))):
            rows += [{"outcome": outcome, "adjusted": adjusted, **row} for row in _compared(frame, better, look, shown, of)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _by_cell(frame: pd.DataFrame, column: str) -> dict[str, float]:
    """The mean of each cell; a published or random cell has one name in lower case."""
    names = frame["cell"].map(lambda cell: cell if "/" in cell else cell.lower())
    means = frame[column].astype(float).groupby(names).mean().dropna()
    return {str(cell): float(value) for cell, value in means.items()}


def size_adjusted(frame: pd.DataFrame) -> pd.Series:
    """The values of cells as if all had their mean size: less the pooled slope within the arms times the size. frame: arm, value, size."""
    size = frame["size"] - frame.groupby("arm")["size"].transform("mean")
    value = frame["value"] - frame.groupby("arm")["value"].transform("mean")
    slope = float((size * value).sum() / (size**2).sum()) if (size**2).sum() > 0 else 0.0
    return frame["value"] - slope * (frame["size"] - frame["size"].mean())


def _compared(known: pd.DataFrame, better: int, look: int, waiting: str, of: Mapping[str, int]) -> list[dict[str, object]]:
    """A row an arm. better: 1 where higher is better, −1 where lower is. waiting: why nothing is computed yet, or nothing."""
    groups = {arm: known.loc[known["arm"] == arm, "value"].to_numpy() for arm in of}
    others = [arm for arm in of if arm != BASE and len(groups[arm]) >= 2]
    told = not waiting and bool(others) and len(groups[BASE]) >= 2
    said = waiting or "no cells are evaluated"
    rows: dict[str, dict[str, object]] = {
        arm: {"arm": arm, "n": len(groups[arm]), "look": look * told, "verdict": said} for arm in of if arm != BASE
    }
    if not told:
        return list(rows.values())
    found = stats.dunnett(*(groups[arm] for arm in others), control=groups[BASE], rng=np.random.default_rng(0))
    bounds = found.confidence_interval(1 - LEVELS[look])
    pooled = [groups[arm] for arm in (BASE, *others)]
    df = sum(map(len, pooled)) - len(pooled)
    deviation = float(np.sqrt(sum(((group - group.mean()) ** 2).sum() for group in pooled) / df))
    for arm, p, low, high in zip(others, found.pvalue, bounds.low, bounds.high, strict=True):
        difference = float(groups[arm].mean() - groups[BASE].mean())
        error = deviation * float(np.sqrt(1 / len(groups[arm]) + 1 / len(groups[BASE])))
        verdict = UNDECIDED if p >= LEVELS[look] else WORSE if better * difference > 0 else BETTER
        least = detected_shift(float(high - low) / 2 / error, df) * error
        rows[arm] |= {"difference": difference, "low": low, "high": high, "p": p, "verdict": verdict, "detectable": least}
    return list(rows.values())

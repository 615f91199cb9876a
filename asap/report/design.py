"""The comparison of the arms with ASAP as book/design.md fixed it before its runs: two outcomes, two looks, Dunnett's test."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ..records.parameters import runs_root
from ..records.run import RecordError
from ..records.run import failures as failed
from . import results
from .display import each, rows_frame
from .inference import Difference, detected_shift, simultaneous

STUDIES, BASE, RANDOM = ("design", "design2"), "ASAP", "Random cells"  # a look a study
LOSSLESS = "cifar10 316fa211c99623b2"  # the `copy` of the images that it is on
FIXED = pd.Timestamp("2026-11-26T13:59:13+00:00")  # the commit of book/design.md, 75960a4: every run it judges began later
#: How many searches an arm has at a look, and how many random cells there are.
LOOKS: dict[int, dict[str, int]] = {
    1: {BASE: 8, "DARTS": 6, "Magnitude, p = 3": 4, "Accumulated gradient, p = 1": 4, "ENAS": 4, "Random search": 4, RANDOM: 200},
    2: {BASE: 16, "DARTS": 12, "Magnitude, p = 3": 8, "Accumulated gradient, p = 1": 8, "ENAS": 8, "Random search": 8, RANDOM: 200},
}
LEVELS = {1: 0.0061, 2: 0.0477}  # |z| > 2.74, then 1.98: together 5 %
RANDOM_CELLS = [f"random-{seed}" for seed in range(1000, 1200)]
BETTER, WORSE, UNDECIDED = "ASAP is better", "ASAP is worse", "not decided"
COLUMNS = [
    "outcome", "adjusted", "arm", "n", "extrapolated", "sd", "difference", "low", "high", "p", "welch", "look", "verdict", "detectable",
]  # fmt: skip


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
    """`comparison` of what is recorded under a root (a copy, free to change)."""
    return _recorded(results.read(root), root).copy()


@lru_cache(maxsize=4)
def _recorded(found: results.Results, root: Path | None) -> pd.DataFrame:
    return comparison(found.searches, found.evaluations, scores(root))


def held(root: Path) -> tuple[str, ...]:
    """The studies of the design while no look is complete: until then no test takes their runs, for that would be a look of its own."""
    return () if (recorded(root)["look"] > 0).any() else STUDIES


def failures(root: Path | None = None) -> pd.DataFrame:
    """The searches of the design that failed: run, its status now, and the reasons; without rows where none did."""
    searches = results.searches(root)
    ended = searches.loc[results.first_arm(searches, *STUDIES) != "", "run"]
    lines = [[run, "finished", why] for run in ended for why in failed(results.record(run, root).info)]
    for row in each(results.unfinished(root).query("run.str.startswith('design/')")):
        lines += [[row.run, row.status, why] for why in row.failures]
    return rows_frame(["search", "now", "failed with"], lines)


def comparison(searches: pd.DataFrame, evaluations: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Each arm against ASAP, a row for each outcome, raw and adjusted, and one of ASAP's own: the columns `COLUMNS`.

    outcome       score (the surrogate's, higher is better) or error (test error, %, lower is better)
    adjusted      whether for the logarithm of the parameters at 36 channels, by the pooled slope within the arms
    n             cells of the arm; extrapolated: of how many the score is
    sd            the standard deviation of what they have; adjusted, at equal size
    difference    the arm's mean minus ASAP's; low, high: its simultaneous interval at the look's level
    p             Dunnett's, corrected for the number of arms; adjusted, with the slope as estimated (`simultaneous`)
    welch         p of Welch's test of this arm alone, which pools no deviation: beside the design, never decides
    look          1 or 2; 0 where nothing is computed yet
    verdict       `BETTER`, `WORSE`, `UNDECIDED`, or what is waited for
    detectable    the smallest difference that the look shows with probability 80 %

    Before a look has all its searches, nothing is computed. An outcome is compared once every arm has it: a look is one test of all arms;
    adjusted, once the sizes are there too. The random cells have scores alone. Of an arm the look's first seeds count. What look 1 decides
    stays decided; what it does not, look 2 decides once it is computed. searches, evaluations: frames of `results`; scores: `scores`.
    """
    first, second = (_at_look(look, searches, evaluations, scores) for look in LOOKS)
    later = (second["look"] > 0) & ~first["verdict"].isin([BETTER, WORSE])
    return pd.concat([first[~later], second[later]]).sort_index()


def _at_look(look: int, searches: pd.DataFrame, evaluations: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """`comparison` at one look."""
    labels = results.first_arm(searches, *STUDIES)
    plain = searches.assign(arm=labels)[labels.isin(list(LOOKS[1])) & (searches["copy"] == LOSSLESS)]
    plain = plain[pd.to_datetime(plain["started"], utc=True) >= FIXED].sort_values("seed")
    of = LOOKS[look]
    ended = {arm: plain[plain["arm"] == arm].head(n)["run"].tolist() for arm, n in of.items() if arm != RANDOM}
    done, total = sum(map(len, ended.values())), sum(of.values()) - of[RANDOM]
    cells = pd.DataFrame(
        [(arm, cell) for arm, group in [*ended.items(), (RANDOM, RANDOM_CELLS)] for cell in group], columns=["arm", "cell"]
    )
    tested = evaluations[evaluations["by_recipe"] & (evaluations["copy"] == LOSSLESS) & (evaluations["scale"] == "cpu")]
    sizes = {**_by_cell(evaluations, "parameters_36"), **dict(zip(searches["run"], searches["parameters_36"], strict=True))}
    millions = sizes | {cell: n / 1e6 for cell, n in _by_cell(scores, "parameters").items()}
    cells["far"] = cells["cell"].isin(scores.loc[scores["extrapolates"].astype(str) == "True", "cell"])
    cells["size"] = np.log(cells["cell"].map(millions).astype(float))
    rows = []
    for outcome, values, better in (("score", _by_cell(scores, "score"), 1), ("error", _by_cell(tested, "error"), -1)):
        known = cells.assign(value=cells["cell"].map(values).astype(float)).dropna(subset="value")
        arms = [arm for arm in of if outcome == "score" or arm != RANDOM]
        for adjusted, frame in ((False, known), (True, known.dropna(subset="size"))):
            have = frame.groupby("arm").size()
            short = [arm for arm in arms if have.get(arm, 0) < of[arm]]
            waiting = (
                f"look {look} by {outcome} waits for that{' and the size' * adjusted} of every cell of {', '.join(short)}" if short else ""
            )
            if done < total:
                waiting = f"look {look} is not complete: {done} of {total} searches"
            rows += [{"outcome": outcome, "adjusted": adjusted, **row} for row in _compared(frame, arms, adjusted, better, look, waiting)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _by_cell(frame: pd.DataFrame, column: str) -> dict[str, float]:
    """The mean of each cell; a published or random cell has one name in lower case."""
    names = frame["cell"].map(lambda cell: cell if "/" in cell else cell.lower())
    return dict(frame[column].astype(float).groupby(names).mean().dropna())


def _within(frame: pd.DataFrame, column: str) -> pd.Series:
    """A column of cells less the mean of their arm."""
    return frame[column] - frame.groupby("arm")[column].transform("mean")


def size_adjusted(frame: pd.DataFrame) -> pd.Series:
    """The values of cells as if all had their mean size: less the pooled slope within the arms times the size. frame: arm, value, size."""
    size = _within(frame, "size")
    slope = float((size * _within(frame, "value")).sum() / (size**2).sum()) if (size**2).sum() > 0 else 0.0
    return frame["value"] - slope * (frame["size"] - frame["size"].mean())


def _compared(frame: pd.DataFrame, arms: list[str], adjusted: bool, better: int, look: int, waiting: str) -> list[dict[str, object]]:
    """A row an arm. better: 1 where higher is better, −1 where lower is. waiting: why they are not compared yet."""
    frame, others = frame[frame["arm"].isin(arms)], [arm for arm in arms if arm != BASE]
    far = {arm: frame.loc[frame["arm"] == arm, "far"] for arm in arms}
    rows: dict[str, dict[str, object]] = {
        arm: {"arm": arm, "n": len(of), "extrapolated": of.sum(), "look": 0, "verdict": waiting} for arm, of in far.items()
    }
    if waiting:
        return list(rows.values())
    frame = frame.assign(value=size_adjusted(frame)) if adjusted else frame
    groups = {arm: frame.loc[frame["arm"] == arm, "value"].to_numpy() for arm in arms}
    df = len(frame) - len(others) - 1 - adjusted
    variance = float((_within(frame, "value") ** 2).sum()) / df
    if variance < 1e-12:
        return [{**row, "verdict": "no deviation, no test"} for row in rows.values()]
    covariance = np.diag([1 / len(groups[arm]) for arm in others]) + 1 / len(groups[BASE])
    if adjusted:
        sizes = frame.groupby("arm")["size"].mean()
        apart = (sizes[others] - sizes[BASE]).to_numpy()
        covariance += np.outer(apart, apart) / (_within(frame, "size") ** 2).sum()
    errors = np.sqrt(variance * np.diag(covariance))
    means = np.array([groups[arm].mean() for arm in others]) - groups[BASE].mean()
    if adjusted:
        p, critical = simultaneous(means, variance * covariance, df, LEVELS[look])
        low, high = means - critical * errors, means + critical * errors
    else:
        found = stats.dunnett(*(groups[arm] for arm in others), control=groups[BASE], rng=np.random.default_rng(0))
        bounds = found.confidence_interval(1 - LEVELS[look])
        p, low, high = found.pvalue, bounds.low, bounds.high
    rows[BASE] |= {"look": look, "sd": groups[BASE].std(ddof=1)}
    for i, arm in enumerate(others):
        verdict = UNDECIDED if p[i] >= LEVELS[look] else WORSE if better * means[i] > 0 else BETTER
        alone = Difference(tuple(groups[arm]), tuple(groups[BASE])).p()
        rows[arm] |= {"sd": groups[arm].std(ddof=1), "difference": means[i], "low": low[i], "high": high[i], "p": p[i], "welch": alone}
        least = detected_shift(float(high[i] - low[i]) / 2 / errors[i], df) * errors[i]
        rows[arm] |= {"look": look, "verdict": verdict, "detectable": least}
    return list(rows.values())

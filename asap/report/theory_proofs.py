"""The page of propositions and proofs: the rules with the same guarantee, and Theorem C where it could break."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from . import palette
from .display import DASH, each, rows_frame
from .theory import NAMES

TIGHTER = {schedule: name for schedule, name in NAMES.items() if schedule != "certified"}
CASES = {"full noise": "full noise (±1)", "small noise": "small noise (uniform, 0.02 L)"}


def draw_tighter(frame: pd.DataFrame) -> Figure:
    """Median stopping times of the rules against the gap, of the settings that all ended. frame: the table `tighter`."""
    figure, axes = palette.axes(2, 3.4)
    ended = frame[frame["finished"] == frame["repetitions"]].sort_values("gap")
    for ax, (case, title) in zip(axes, CASES.items(), strict=True):
        for schedule, name in TIGHTER.items():
            one = ended[(ended["case"] == case) & (ended["schedule"] == schedule)]
            ax.loglog(one["gap"], one["stop_median"], "o-", ms=4, label=name)
        ax.set(title=title, xlabel="gap Δ/L", ylabel="median stop, α steps")
    palette.legend_below(axes[-1])
    return figure


def tighter_rows(frame: pd.DataFrame, exact: pd.DataFrame) -> pd.DataFrame:
    """How much sooner each rule stops than Theorem 2, and how safe it is. frame, exact: the tables `tighter` and `exact`."""
    steps = frame.pivot_table(index=["case", "gap"], columns="schedule", values="stop_median")
    sooner = steps.rdiv(steps["theorem2"], axis=0).groupby("case")
    least, most = sooner.min(), sooner.max()
    ties = frame[frame["case"] == "worst case"].set_index("schedule")
    leaves = exact.query("quantity == 'escape' and shrink == 1 and schedule != 'pairwise'").set_index("schedule")["probability"]
    lines = []
    for s, name in TIGHTER.items():
        speeds = ["1" if s == "theorem2" else f"{float(least[s][case]):.1f}–{float(most[s][case]):.1f} ×" for case in CASES]
        tie = f"{ties['failures'][s]} of {ties['repetitions'][s]} (≤ {ties['high'][s]:.2g})"
        lines.append([name, *speeds, tie, f"{leaves[s]:.2g}" if s in leaves else DASH])
    headers = ["rule", "Theorem 2's steps over its own, full noise", "the same, small noise", "best of a tie pruned, N = 2 (allowed 0.1)",
               "P(α leaves its band), N = 7 (allowed 0.0143)"]  # fmt: skip
    return rows_frame(headers, lines)


def validity_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """How often Theorem C prunes an operation that no rival was expected to beat. frame: the table `certified`."""
    headers = ["case", "N", "allowed, δ", "false prunings", "rate", "one-sided 95 % bound", "steps, at most"]
    return rows_frame(headers, [
        [r.case, f"{r.operations:.0f}", f"{r.delta:g}", f"{r.failures:.0f} of {r.repetitions:,.0f}", f"{r.failures / r.repetitions:.2g}",
         f"{r.high:.2g}", f"{r.horizon:,.0f}"]
        for r in each(frame[frame["part"] == "validity"])
    ])  # fmt: skip


def dependence_rows(certified: pd.DataFrame, theorem2: pd.DataFrame) -> pd.DataFrame:
    """How often both rules prune the best where it does not always lead. certified, theorem2: the tables `dependence` and `breaks`."""
    both = certified.merge(theorem2, on=["case", "hold", "switch", "gap"], suffixes=("", "_theorem2"))
    cases = {"signs held": "each draw held for {} steps", "the best changes": "another is best after step {}"}
    rules = ("", "_theorem2")
    return rows_frame(["case", "Theorem C", "Theorem 2"], [
        [cases[r.case].format(r.switch or r.hold), *(f"{r[f'failures{rule}']} of {r[f'repetitions{rule}']:,}" for rule in rules)]
        for _, r in both.iterrows()
    ])  # fmt: skip

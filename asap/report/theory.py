"""The page on Theorem 2: its figures and tables from the simulations recorded under runs/theory/."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import norm

from ..records.parameters import runs_root
from ..records.run import RecordError, Run
from ..theory.bounds import expected_stop
from ..theory.simulate import Setting
from . import palette
from .display import DASH, Markdown, code_of, each, files, missing, rows_frame
from .theory_verdicts import STATEMENTS, statement

NAMES = {
    "theorem2": "Theorem 2", "stitched": "stitched", "mixture": "normal mixture", "pairwise": "pairwise, one-sided",
    "bernstein": "empirical Bernstein", "certified": "Theorem C",
}  # fmt: skip
COMPARED = ("certified", "pairwise", "bernstein", "theorem2")
#: The figure of broken assumptions: a case, the column that it varies, and what that is called.
BROKEN = (
    ("signs held", "hold", "steps for which a draw is repeated"),
    ("the best changes", "switch", "step at which another becomes best"),
    ("L underestimated", "shrink", "assumed L over true L"),
)


def recorded(*names: str) -> list[Run]:
    """These tables of the theory as their runs; none of them, and a note on the page, where one is missing or damaged."""
    try:
        return [Run.open(runs_root() / "theory" / name) for name in names]
    except RecordError:
        missing(" and ".join(f"`theory/{name}`" for name in names), "\n".join(f"asap theory --record {name}" for name in names))
        return []


def source(*runs: Run) -> str:
    """The records behind a figure, each in a sentence, and their data."""
    return " ".join(f"Record `{run.name}`, code {code_of(run)}.{files(run)}" for run in runs)


def verdict_rows() -> pd.DataFrame:
    """Every statement, what was checked, and the verdict, computed from the records."""
    judged = [(text, statement(runs_root(), key)) for key, (text, _) in STATEMENTS.items()]
    rows = [[*map(Markdown, (text, v.scale, v.ours, f"**{v.verdict}**"))] for text, v in judged]
    return rows_frame(["statement", "checked by", "found", "verdict"], rows)


def limit(row: Any) -> float:
    """The least average number of steps of any rule for a recorded setting (a row of its table); nan for a tie."""
    return np.nan if (found := Setting(row.operations, row.delta, row.gap, noise=row.noise, spread=row.spread).limit()) is None else found


def theorem_c(frame: pd.DataFrame) -> pd.DataFrame:
    """Theorem C's stopping times with the `limit` of any rule. frame: the table `certified`."""
    return (steps := frame[frame["part"] == "steps"]).assign(limit=[limit(row) for row in each(steps)])


def reference_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Stopping times of Theorem 2's schedule against N, δ and the gap. frame: the table `reference`."""
    headers = ["N", "δ", "gap Δ/L", "ν", "runs", "best pruned (95 % bound)", "limit of any rule", "steps: 5 %", "median", "95 %",
               "bound of Theorem 2′"]  # fmt: skip
    return rows_frame(headers, [
        [str(r.operations), f"{r.delta:g}", f"{r.gap:g}", Markdown(f"$t^{{{r.nu_power:g}}}/N$") if r.nu_power else "1/N",
         f"{r.repetitions:,}", f"{r.failures} (≤ {r.high:.1g})", f"{limit(r):,.3g}",
         *(f"{steps:,.0f}" for steps in (r.stop_5, r.stop_median, r.stop_95)),
         DASH if r.nu_power else f"{expected_stop(r.gap, r.operations, r.delta):,.0f}"]
        for r in each(frame[frame["schedule"] == "theorem2"])
    ])  # fmt: skip


def rule_rows(certified: pd.DataFrame, tighter: pd.DataFrame) -> pd.DataFrame:
    """Median steps of rules with the same guarantee beside the limit. certified, tighter: the tables of these names."""
    lines = []
    for r in each(theorem_c(certified)):
        same = tighter[(tighter["case"] == r.case) & (tighter["gap"] == r.gap)].set_index("schedule")["stop_median"]
        steps = {"certified": r.stop_median, **same}
        lines.append([f"{r.gap:g}", r.case, f"{r.limit:,.3g}", *(f"{steps[s]:,.0f} ({steps[s] / r.limit:,.1f} ×)" for s in COMPARED)])
    return rows_frame(["gap Δ/L", "noise", "limit of any rule", *(NAMES[s] for s in COMPARED)], lines)


def median_intervals(frame: pd.DataFrame) -> str:
    """Each median of Theorem C with its 95 % Monte-Carlo interval and its number of runs. frame: the table `certified`.

    A median of n draws has the deviation √(π/2n)·σ; σ is that of the normal law of the recorded 5 % and 95 % quantiles.
    """
    width = norm.ppf(0.975) / (2 * norm.ppf(0.95)) * np.sqrt(np.pi / 2)
    return ", ".join(
        f"{r.stop_median:,.0f} ± {width * (r.stop_95 - r.stop_5) / np.sqrt(r.finished):,.1f} ({r.finished:,.0f} runs)"
        for r in each(frame[frame["part"] == "steps"])
    )


def draw_looseness(by_time: pd.DataFrame, control: pd.DataFrame) -> Figure:
    """Theorem 3's event by time, and the negative control. by_time: the table `escape`; control: `exact`, of Theorem 2's schedule."""
    figure, (above, below) = palette.axes(2, 3.2)
    above.loglog(by_time["t"], by_time["union_bound"], "--", color=palette.INK, label="what the proof adds up, Σ 6δ/(π²Nt²)")
    above.loglog(by_time["t"], by_time["exact"].where(by_time["exact"] > 0), lw=2, label="exact probability")
    above.axhline(0.1 / 7, color=palette.VERMILLION, lw=1, label="allowed, δ/N")
    above.set(xlabel="t, α steps", ylabel="P(some α has left its band by t)")
    for quantity, label in (("pair phi", "rule Φ < θ"), ("pair claim", "condition (10)")):
        part = control[control["quantity"] == quantity].sort_values("shrink")
        below.semilogy(part["shrink"], part["probability"], "o-", ms=4, label=f"two opposite operations, {label}")
    below.axhline(0.1, color=palette.VERMILLION, lw=1, label="allowed, δ")
    below.set(xlabel="c, the factor on β", ylabel="P(best pruned), exact")
    for axes in (above, below):
        palette.legend_below(axes)
    return figure


def draw_breaks(frame: pd.DataFrame) -> Figure:
    """How often the best is pruned where an assumption fails. frame: the table `breaks`."""
    figure, axes = palette.axes(3, 2.4)
    for ax, (case, column, label) in zip(axes, BROKEN, strict=True):
        part = frame[frame["case"] == case].sort_values(column)
        rate = part["failures"] / part["repetitions"]
        ax.errorbar(part[column], rate, yerr=[rate - part["low"], part["high"] - rate], fmt="o-", ms=4, capsize=2)
        ax.axhline(0.1, color=palette.VERMILLION, lw=1)
        ax.set(xlabel=label, ylabel="P(best pruned)", ylim=(-0.05, 1.05))
    axes[0].set_xscale("log")
    axes[0].text(1, 0.11, "δ", color=palette.VERMILLION)
    return figure


def break_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The cases that the figure does not show. frame: the table `breaks`."""
    return rows_frame(["case", "gap", "best pruned", "ended", "median stop"], [
        [r.case, f"{r.gap:g}", f"{r.failures} of {r.repetitions}", f"{r.finished} of {r.repetitions}",
         DASH if np.isnan(r.stop_median) else f"{r.stop_median:,.0f}"]
        for r in each(frame[~frame["case"].isin([case for case, *_ in BROKEN])])
    ])  # fmt: skip


def draw_schedules(frame: pd.DataFrame) -> Figure:
    """The search's schedules at the paper's budget, against the gap. frame: the table `schedules`."""
    figure, axes = palette.axes(3, 2.6)
    labels = {"best_pruned": "P(best pruned)", "ended": "fraction ended in one operation", "last_epoch": "epoch of the last pruning"}
    for ax, (column, label) in zip(axes, labels.items(), strict=True):
        for marker, (name, part) in zip("osv^D*X", frame.groupby("name", sort=False), strict=False):
            ax.plot(part["gap"], part[column], marker=marker, ms=5, label=str(name))
        ax.set_xscale("symlog", linthresh=0.01)
        ax.set_xticks([0, 0.01, 0.1], ["0", "0.01", "0.1"])
        ax.set(xlabel="gap, in steps of α", ylabel=label)
    palette.legend_below(axes[-1])
    return figure

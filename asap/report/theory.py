"""The chapter on Theorem 2: its figures, tables and verdicts from the simulations recorded under runs/theory/."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..records.parameters import runs_root
from ..records.run import RecordError, Run
from ..records.study import load
from ..theory.bounds import expected_stop
from ..theory.simulate import Setting
from . import tables
from .display import figure as show
from .display import files, missing, say
from .figure6 import THEOREM
from .palette import style
from .theory_verdicts import verdicts

NAMES = {
    "theorem2": "Theorem 2",
    "stitched": "stitched",
    "mixture": "normal mixture",
    "pairwise": "pairwise, one-sided",
    "bernstein": "empirical Bernstein",
    "certified": "Theorem C",
}
COMPARED = ("certified", "pairwise", "bernstein", "theorem2")


def table(name: str) -> tuple[Any, Run] | None:
    """The data frame and the run of a recorded table of the chapter, or None and a note on the page."""
    try:
        run = Run.open(runs_root() / "theory" / name)
    except RecordError:
        missing(f"the recorded table `theory/{name}`", f"asap theory --record {name}")
        return None
    return run.results(), run


def source(run: Run) -> str:
    """One line: the record behind a figure, and its data."""
    return f"Record `{run.name}`, code `{run.info['machine']['git_commit'][:12]}`.{files(run)}"


def verdict_table() -> None:
    """Every statement, what was checked, and the verdict, computed from the records."""
    frame = verdicts(runs_root())
    say(tables.markdown(list(frame.columns), [[*row[:3], f"**{row[3]}**"] for row in frame.to_numpy().tolist()]))


def answer() -> None:
    """The finding in a few sentences, each from its record."""
    kept = verdicts(runs_root()).astype(str).loc["theorem2"].to_dict()
    say(f"**Does Theorem 2 hold?** Verdict: *{kept['verdict']}*; {kept['found']}.")
    searches = load("methods").runs(runs_root(), "search", THEOREM)
    for run in searches:
        epochs = run.epochs()
        left = epochs["operations_normal"] + epochs["operations_reduce"]
        say(
            f"**Does its rule prune a real search?** In {int(epochs['alpha_steps'].sum()):,} α steps of run `{run.name}`, a search by the theorem's own schedule, "
            f"it prunes {left.iloc[0] - left.iloc[-1]} of {left.iloc[0]} operations."
        )
    if not searches:
        missing(
            "a search by Theorem 2's schedule",
            "asap search --method asap --schedule theorem2 --dataset cifar10 --scale cpu --seed 0 --study methods",
        )
    found = table("certified")
    if found:
        factor = [float(r.stop_median) / float(_limit(r) or np.nan) for r in _steps(found[0])]
        say(
            f"**Is there a rule with the same guarantee that fires?** Theorem C stops after {min(factor):.1f} to {max(factor):.1f} times the steps that any rule "
            "needs on average, and {doc}`/book/justified` says what it certifies in recorded searches."
        )


def _steps(frame: pd.DataFrame) -> list[Any]:
    """Theorem C's rows of stopping times."""
    return list(frame[frame["part"] == "steps"].itertuples())


def _limit(row: Any) -> float | None:
    """The least average number of steps of any rule for a recorded setting; None for a tie."""
    noise = {"noise": row.noise, "spread": row.spread}
    return Setting(int(row.operations), float(row.delta), float(row.gap), **noise).limit()


def reference_table() -> None:
    """Stopping times against N, δ and the gap."""
    found = table("reference")
    if not found:
        return
    frame, run = found
    rows = [
        [f"{r.operations}", f"{r.delta:g}", f"{r.gap:g}", "1/N" if r.nu_power == 0 else f"$t^{{{r.nu_power:g}}}/N$", f"{r.repetitions:,}", f"{r.failures} (≤ {r.high:.1g})",
         f"{_limit(r):,.3g}", f"{r.stop_5:,.0f}", f"{r.stop_median:,.0f}", f"{r.stop_95:,.0f}", f"{expected_stop(r.gap, r.operations, r.delta):,.0f}" if r.nu_power == 0 else "–"]
        for r in frame[frame["schedule"] == "theorem2"].itertuples()
    ]  # fmt: skip
    say(
        tables.markdown(
            [
                "N",
                "δ",
                "gap Δ/L",
                "ν",
                "runs",
                "best pruned (95 % bound)",
                "limit of any rule",
                "steps: 5 %",
                "median",
                "95 %",
                "bound of Theorem 2′",
            ],
            rows,
        )
    )
    speed = table("speed")
    fast = (
        f" The simulator does {speed[0]['operation_steps'][0] / speed[0]['cpu_seconds'][0]:.1e} operation-steps a second on one core."
        if speed
        else ""
    )
    say(
        f"α steps until one operation is left, ±1 gradients, independent. The limit is kl(δ, 1 − δ)/KL_inf ({{doc}}`/book/theory-proofs`): no rule that prunes the best with probability at most δ needs fewer on average. Any row is one command: `asap theory --operations N --delta δ --gap Δ`.{fast} {source(run)}"
    )


def looseness() -> None:
    """Theorem 3's event by time, and the negative control."""
    by_time, exact = table("escape"), table("exact")
    if not by_time or not exact:
        return
    style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    frame = by_time[0]
    left.loglog(frame["t"], frame["union_bound"], "--", color="0.3", label="what the proof adds up, Σ 6δ/(π²Nt²)")
    left.loglog(frame["t"], frame["exact"].where(frame["exact"] > 0), lw=2, label="exact probability")
    left.axhline(0.1 / 7, color="C3", lw=1, label="allowed, δ/N")
    left.set_xlabel("t, α steps")
    left.set_ylabel("P(some α has left its band by t)")
    left.legend(fontsize=9, frameon=False)
    control = exact[0][exact[0]["schedule"] == "theorem2"]
    for quantity, label in (("pair phi", "rule Φ < θ"), ("pair claim", "condition (10)")):
        part = control[control["quantity"] == quantity].sort_values("shrink")
        right.semilogy(part["shrink"], part["probability"], "o-", ms=4, label=f"two opposite operations, {label}")
    right.axhline(0.1, color="C3", lw=1, label="allowed, δ")
    right.set_xlabel("c, the factor on β")
    right.set_ylabel("P(best pruned), exact")
    right.legend(fontsize=9, frameon=False)
    last = frame.iloc[-1]
    kept = control[(control["quantity"] == "escape") & (control["probability"] <= control["allowed"])]
    narrow = float(kept["shrink"].min())
    broken = control[(control["quantity"] == "pair claim") & (control["probability"] > control["allowed"])]["shrink"]
    text = (
        f"by condition (10) the guarantee breaks from c = {broken.max():g} down, and no larger factor tried breaks it"
        if len(broken)
        else "no factor tried breaks it"
    )
    show(
        figure,
        f"**Looseness and the negative control.** Left: N = 7, δ = 0.1, mean-zero ±1 gradients: the exact probability is {last['exact']:.3g}, "
        f"{0.1 / 7 / last['exact']:,.0f} times below what is allowed. A band c = {narrow:g} as wide still keeps it, the narrowest tried, which is a factor of {narrow**-2:.1f} in steps. Right: β multiplied by c < 1, N = 2, δ = 0.1; {text}. "
        f"{source(by_time[1])} {source(exact[1])}",
    )


def breaks() -> None:
    """Where an assumption fails."""
    found = table("breaks")
    if not found:
        return
    frame, run = found
    style()
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.6), sharey=True, layout="constrained")
    cases = (("signs held", "hold", "steps for which a draw is repeated"), ("the best changes", "switch", "step at which another becomes the best"),
             ("L underestimated", "shrink", "assumed L over true L"))  # fmt: skip
    for ax, (case, column, label) in zip(axes, cases, strict=True):
        part = frame[frame["case"] == case].sort_values(column)
        rate = part["failures"] / part["repetitions"]
        ax.errorbar(part[column], rate, yerr=[rate - part["low"], part["high"] - rate], fmt="o-", ms=4, capsize=2)
        ax.axhline(0.1, color="C3", lw=1)
        ax.set_xlabel(label)
    axes[0].set_xscale("log")
    axes[0].set_ylabel("P(best pruned)")
    axes[0].text(1, 0.11, "δ", color="C3")
    show(
        figure,
        "**Where the guarantee breaks.** N = 7, δ = 0.1 (red). Left and middle: gap 0.5; right: gap 0.1. Bars: 95 % Clopper–Pearson "
        f"intervals. The best is the operation that is best in the end. {source(run)}",
    )
    others = frame[~frame["case"].isin([case for case, _, _ in cases])]
    rows = [
        [r.case, f"{r.gap:g}", f"{r.failures} of {r.repetitions}", f"{r.finished} of {r.repetitions}",
         "–" if np.isnan(r.stop_median) else f"{r.stop_median:,.0f}"]
        for r in others.itertuples()
    ]  # fmt: skip
    say(tables.markdown(["case", "gap", "best pruned", "ended", "median stop"], rows))


def schedules() -> None:
    """The search's schedules at the paper's budget."""
    found = table("schedules")
    if not found:
        return
    frame, run = found
    style()
    figure, axes = plt.subplots(1, 3, figsize=(9, 4.2), layout="constrained")
    for i, (name, part) in enumerate(frame.groupby("name", sort=False)):
        look = {"marker": "osv^D*X"[i], "ms": 5, "label": str(name)}
        for ax, column in zip(axes, ("best_pruned", "ended", "last_epoch"), strict=True):
            ax.plot(part["gap"], part[column], **look)
    for ax, label in zip(axes, ("P(best pruned)", "fraction ended in one operation", "epoch of the last pruning"), strict=True):
        ax.set_xscale("symlog", linthresh=0.01)
        ax.set_xticks([0, 0.01, 0.1], ["0", "0.01", "0.1"])
        ax.set_xlabel("gap, in steps of α")
        ax.set_ylabel(label)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=10)
    show(
        figure,
        "**Schedules at the paper's budget.** 50 epochs of 260 α steps of ±10⁻³, N = 7, θ = 0.4/7 (but Theorem 2's own), grace while T ≥ 1, "
        f"2,000 runs a point. Linear, cosine and logarithmic cooling share both ends with the exponential one. {source(run)}",
    )


def rules() -> None:
    """Median steps of five rules with the same guarantee beside the limit, for five gaps."""
    found, others = table("certified"), table("tighter")
    if not found or not others:
        return
    rows = []
    for r in _steps(found[0]):
        same = others[0][(others[0]["case"] == r.case) & (others[0]["gap"] == r.gap)].set_index("schedule")
        steps = {"certified": r.stop_median, **same["stop_median"].to_dict()}
        limit = float(_limit(r) or np.nan)
        rows.append([f"{r.gap:g}", r.case, f"{limit:,.3g}", *(f"{steps[s]:,.0f} ({steps[s] / limit:,.1f} ×)" for s in COMPARED)])
    say(tables.markdown(["gap Δ/L", "noise", "limit of any rule", *(NAMES[s] for s in COMPARED)], rows))
    say(
        f"Median α steps until one operation is left, N = 7, δ = 0.1, and how many times the limit that is. {source(found[1])} {source(others[1])}"
    )


def figure_of_stops(frame: pd.DataFrame) -> Figure:
    """Median stopping times of simulated settings against the gap, a line a schedule: for the notebook."""
    style()
    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for schedule, part in frame.groupby("schedule", sort=False):
        axes.loglog(part["gap"], part["stop_median"], "o-", label=NAMES.get(str(schedule), str(schedule)))
    axes.set_xlabel("gap Δ/L")
    axes.set_ylabel("median stop, α steps")
    axes.legend(frameon=False)
    plt.close(figure)
    return figure

"""The page on Theorem 2: how loose it is, where it breaks, and the search's own schedules beside it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from . import tables
from .display import figure as show
from .display import say
from .palette import style
from .theory import source, table


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
    cases = (("signs held", "hold", "steps for which\na draw is repeated"), ("the best changes", "switch", "step at which\nanother becomes best"),
             ("L underestimated", "shrink", "assumed L\nover true L"))  # fmt: skip
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

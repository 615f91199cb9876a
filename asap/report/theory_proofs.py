"""The page of propositions and proofs: the tables that check them."""

from __future__ import annotations

import matplotlib.pyplot as plt

from . import tables
from .display import figure as show
from .display import say
from .palette import style
from .theory import NAMES, source, table

TIGHTER = {schedule: name for schedule, name in NAMES.items() if schedule != "certified"}


def tighter() -> None:
    """Schedules with the same guarantee."""
    found = table("tighter")
    if not found:
        return
    frame, run = found
    style()
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    speedups = []
    for ax, case in zip(axes, ("full noise", "small noise"), strict=True):
        part = frame[frame["case"] == case]
        for schedule, name in TIGHTER.items():
            one = part[part["schedule"] == schedule].sort_values("gap")
            ended = one[one["finished"] == one["repetitions"]]
            ax.loglog(ended["gap"], ended["stop_median"], "o-", ms=4, label=name)
        ax.set_title(case + (" (±1)" if case == "full noise" else " (uniform, 0.02 L)"), fontsize=10)
        ax.set_xlabel("gap Δ/L")
        wide = part.pivot(index="gap", columns="schedule", values="stop_median")
        for schedule in list(TIGHTER)[1:]:
            ratio = (wide["theorem2"] / wide[schedule]).dropna()
            speedups.append((case, schedule, float(ratio.min()), float(ratio.max())))
    axes[0].set_ylabel("median stop, α steps")
    axes[0].legend(fontsize=9, frameon=False)
    show(figure, f"**Tighter rules, the same guarantee.** N = 7, δ = 0.1, median over the runs that ended. {source(run)}")
    worst = frame[frame["case"] == "worst case"].set_index("schedule")
    exact = table("exact")
    if not exact:
        return
    escape = exact[0][(exact[0]["quantity"] == "escape") & (exact[0]["shrink"] == 1.0)].set_index("schedule")["probability"]
    of = {(case, schedule): f"{low:.1f}–{high:.1f} ×" for case, schedule, low, high in speedups}
    rows = [
        [name, of.get(("full noise", s), "1"), of.get(("small noise", s), "1"),
         f"{worst.loc[s, 'failures']} of {worst.loc[s, 'repetitions']} (≤ {worst.loc[s, 'high']:.2g})",
         f"{escape[s]:.2g}" if s in escape and s != "pairwise" else "–"]
        for s, name in TIGHTER.items()
    ]  # fmt: skip
    headers = [
        "rule",
        "Theorem 2's steps over its own, full noise",
        "the same, small noise",
        "best of a tie pruned, N = 2 (allowed 0.1)",
        "P(α leaves its band), N = 7 (allowed 0.0143)",
    ]
    say(tables.markdown(headers, rows))


def validity() -> None:
    """Theorem C where it could break: how often it prunes an operation that no rival was expected to beat."""
    found = table("certified")
    if not found:
        return
    frame, run = found
    rows = [
        [r.case, f"{r.operations:.0f}", f"{r.delta:g}", f"{r.failures:.0f} of {r.repetitions:,.0f}", f"{r.failures / r.repetitions:.2g}", f"{r.high:.2g}",
         f"{r.horizon:,.0f}"]
        for r in frame[frame["part"] == "validity"].itertuples()
    ]  # fmt: skip
    say(tables.markdown(["case", "N", "allowed, δ", "false prunings", "rate", "one-sided 95 % bound", "steps, at most"], rows))
    say(f"The bound is Clopper and Pearson's. {source(run)}")

"""The chapter on Theorem 2: its figures, tables and verdicts from the simulations recorded under runs/theory/."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..records.parameters import runs_root
from ..records.run import RecordError, Run
from ..theory.bounds import predicted_stop
from . import tables
from .figures import style
from .pages import files, missing, provenance, say, show, the_search
from .verdicts import DIRECTION, FAILS, HOLDS, OPEN

NAMES = {
    "theorem2": "Theorem 2",
    "stitched": "stitched",
    "mixture": "normal mixture",
    "pairwise": "pairwise, one-sided",
    "bernstein": "empirical Bernstein",
}
STEPS_AN_EPOCH, MINUTES_AN_EPOCH = 260, 5.8  # the paper's: 25,000 images in batches of 96 (4.1)


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


def verdicts() -> None:
    """Every statement, what was checked, and the verdict, computed from the records."""
    found = {name: table(name) for name in ("statements", "exact", "reference", "breaks")}
    if any(value is None for value in found.values()):
        return
    statements, exact, reference, breaks = (value[0] for value in found.values() if value is not None)
    value = statements.set_index("statement")["value"]
    cases = int(statements["cases"].iloc[-1])
    plain = exact[(exact["schedule"] == "theorem2") & (exact["shrink"] == 1.0)].set_index("quantity")
    honest = reference[reference["schedule"] == "theorem2"]
    literal = reference[reference["schedule"] == "literal"].iloc[0]
    ties = breaks[breaks["case"] == "ties"].iloc[0]
    coupled = breaks[breaks["case"] == "coupled"].iloc[0]
    escape = plain.loc["escape"]
    rows = [
        ["Lemma 1 (Hoeffding)", "exact binomial tails", f"at most {value['Lemma 1']:.2f} of the bound", HOLDS if value["Lemma 1"] <= 1 else FAILS],
        ["Corollary 4", "exact binomial tails, t ≤ 20,000", f"at most {value['Corollary 4']:.3f} of the bound",
         HOLDS if value["Corollary 4"] <= 1 else FAILS],
        ["Theorem 3", f"dynamic program, t ≤ {escape['horizon']:,}", f"fails with {escape['probability']:.3g}, allowed {escape['allowed']:.3g}",
         HOLDS if escape["probability"] <= escape["allowed"] else FAILS],
        ["Claim 1, pruned ⇒ (10)", f"{cases:,} random α", f"{value['Claim 1: pruned ⇒ (10)']:.0f} counterexamples",
         HOLDS if value["Claim 1: pruned ⇒ (10)"] == 0 else FAILS],
        ["Claim 1, (10) ⇒ pruned", f"{cases:,} random α", f"{value['Claim 1: (10) ⇒ pruned']:,.0f} counterexamples",
         HOLDS if value["Claim 1: (10) ⇒ pruned"] == 0 else FAILS],
        ["Theorem 2 as printed (ν ≡ 1 is allowed)", "simulation", f"{literal['failures']:.0f} of {literal['repetitions']:.0f} runs prune the best at t = 1",
         HOLDS if literal["failures"] == 0 else FAILS],
        ["Theorem 2 with $N\\nu_t < e^t$: P(best pruned) ≤ δ", "simulation and dynamic program",
         f"{honest['failures'].sum():.0f} of {honest['repetitions'].sum():,.0f} runs; exactly {plain.loc['pair phi', 'probability']:.2g} for two opposite operations",
         HOLDS if (honest["high"] <= honest["delta"]).all() else FAILS],
        ["Theorem 2: ends in finite time, for a unique best", "simulation", f"{honest['finished'].sum():,.0f} of {honest['repetitions'].sum():,.0f} runs ended",
         HOLDS if (honest["finished"] == honest["repetitions"]).all() else DIRECTION],
        ["… and for ties", "simulation", f"{ties['finished']:.0f} of {ties['repetitions']:.0f} runs ended within {ties['horizon']:,.0f} steps",
         HOLDS if ties["finished"] == ties["repetitions"] else FAILS],
        ["… and for gradients coupled through the softmax", "simulation",
         f"{coupled['finished']:.0f} of {coupled['repetitions']:.0f} runs ended within {coupled['horizon']:,.0f} steps",
         HOLDS if coupled["finished"] == coupled["repetitions"] else FAILS if coupled["finished"] == 0 else OPEN],
    ]  # fmt: skip
    say(tables.markdown(["statement", "checked by", "found", "verdict"], [[*row[:3], f"**{row[3]}**"] for row in rows]))


def reference_table() -> None:
    """Stopping times against N, δ and the gap."""
    found = table("reference")
    if not found:
        return
    frame, run = found
    rows = [
        [f"{r.operations}", f"{r.delta:g}", f"{r.gap:g}", "1/N" if r.nu_power == 0 else f"$t^{{{r.nu_power:g}}}/N$", f"{r.repetitions:,}", f"{r.failures} (≤ {r.high:.1g})",
         f"{r.stop_5:,.0f}", f"{r.stop_median:,.0f}", f"{r.stop_95:,.0f}"]
        for r in frame[frame["schedule"] == "theorem2"].itertuples()
    ]  # fmt: skip
    say(tables.markdown(["N", "δ", "gap Δ/L", "ν", "runs", "best pruned (95 % bound)", "stop: 5 %", "median", "95 %"], rows))
    speed = table("speed")
    fast = (
        f" The simulator does {speed[0]['operation_steps'][0] / speed[0]['cpu_seconds'][0]:.1e} operation-steps a second on one core."
        if speed
        else ""
    )
    say(
        f"Stopping times in α steps, ±1 gradients, independent. Any row is one command: `asap theory --operations N --delta δ --gap Δ`.{fast} {source(run)}"
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
    broken = control[(control["quantity"] == "pair claim") & (control["probability"] > control["allowed"])]["shrink"]
    text = (
        f"by condition (10) the guarantee breaks at c = {broken.max():g} among the factors tried"
        if len(broken)
        else "no factor tried breaks it"
    )
    show(
        figure,
        f"**Looseness and the negative control.** Left: N = 7, δ = 0.1, mean-zero ±1 gradients: the exact probability is {last['exact']:.3g}, "
        f"{0.1 / 7 / last['exact']:,.0f} times below what is allowed. Right: β multiplied by c < 1, N = 2, δ = 0.1; {text}. "
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
    cases = (("signs held", "hold", "steps a sign is held"), ("the best changes", "switch", "step at which the best changes"),
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
        for schedule, name in NAMES.items():
            one = part[part["schedule"] == schedule].sort_values("gap")
            ended = one[one["finished"] == one["repetitions"]]
            ax.loglog(ended["gap"], ended["stop_median"], "o-", ms=4, label=name)
        ax.set_title(case + (" (±1)" if case == "full noise" else " (uniform, 0.02 L)"), fontsize=10)
        ax.set_xlabel("gap Δ/L")
        wide = part.pivot(index="gap", columns="schedule", values="stop_median")
        for schedule in list(NAMES)[1:]:
            ratio = (wide["theorem2"] / wide[schedule]).dropna()
            speedups.append((case, schedule, float(ratio.min()), float(ratio.max())))
    axes[0].set_ylabel("median stop, α steps")
    axes[0].legend(fontsize=9, frameon=False)
    show(figure, f"**Tighter schedules, the same guarantee.** N = 7, δ = 0.1, median over the runs that ended. {source(run)}")
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
        for s, name in NAMES.items()
    ]  # fmt: skip
    headers = [
        "schedule",
        "sooner, full noise",
        "sooner, small noise",
        "best of a tie pruned, N = 2 (allowed 0.1)",
        "escape, N = 7 (allowed 0.0143)",
    ]
    say(tables.markdown(headers, rows))


def gradients_of(run: Run) -> Any:
    """For each mixed operation of a recorded search, a data frame of its α gradients before the first pruning of its cell.

    Columns: cell, edge, bound (L, the largest magnitude seen), gap (between the two best mean descents), standard_error
    (of that gap), deviation, autocorrelation; all but bound and autocorrelation in units of L.
    """
    frame, epochs = run.architecture(), run.epochs()
    steps = int(epochs["alpha_steps"].max())
    learning = set(epochs.loc[epochs["alpha_steps"] > 0, "epoch"])
    rows = []
    for cell, kind in frame.groupby("cell", observed=True):
        whole = kind.groupby("epoch")["alive"].all()
        before = kind[kind["epoch"].isin(set(whole[whole].index) & learning)]
        for edge, part in before.groupby("edge"):
            bound = float(part["gradient_largest"].max())
            by_operation = part.groupby("operation", observed=True)
            descent = (-by_operation["gradient_mean"].mean()).sort_values(ascending=False)
            deviation = float(np.sqrt((by_operation["gradient_deviation"].apply(lambda d: (d**2).mean())).mean()))
            count = steps * part["epoch"].nunique()
            rows.append(
                {
                    "cell": cell,
                    "edge": edge,
                    "bound": bound,
                    "gap": float(descent.iloc[0] - descent.iloc[1]) / bound,
                    "standard_error": deviation * np.sqrt(2 / count) / bound,
                    "deviation": deviation / bound,
                    "autocorrelation": float(part["gradient_autocorrelation"].mean()),
                    "steps": count,
                }
            )
    return pd.DataFrame(rows)


def real_search() -> None:
    """What the α gradients of the recorded search predict for each schedule."""
    run = the_search()
    if not run:
        return
    frame = gradients_of(run)
    stops = {s: np.array([predicted_stop(s, g, 7, 0.1, d) for g, d in zip(frame["gap"], frame["deviation"], strict=True)]) for s in NAMES}
    style()
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    share = np.arange(1, len(frame) + 1) / len(frame)
    for s, name in NAMES.items():
        axes.semilogx(np.sort(stops[s]) / STEPS_AN_EPOCH, share, drawstyle="steps-post", label=name)
    axes.axvline(50, color="0.3", ls="--", lw=1)
    axes.annotate("50 epochs", (50, 1.0), xytext=(4, 2), textcoords="offset points", fontsize=9, color="0.3")
    axes.set_xlabel("predicted epochs until decided (260 α steps each)")
    axes.set_ylabel("share of the mixed operations")
    axes.legend(fontsize=9, frameon=False)
    show(
        figure,
        "**From a real search.** For each of the mixed operations of the recorded search: the step at which each schedule would let the "
        f"difference between the means of its two best operations decide, from the {int(frame['steps'].iloc[0])} α steps before the first pruning. {provenance(run)}",
    )
    quartiles = frame[["bound", "gap", "standard_error", "deviation", "autocorrelation"]].quantile([0.25, 0.5, 0.75])
    labels = {"bound": "L, the largest α gradient in size", "gap": "gap / L", "standard_error": "standard error of the gap / L",
              "deviation": "deviation / L", "autocorrelation": "autocorrelation at lag 1"}  # fmt: skip
    say(
        tables.markdown(
            ["over the mixed operations", "quartile", "median", "quartile"],
            [[text, *(f"{v:.3g}" for v in quartiles[key])] for key, text in labels.items()],
        )
    )
    headers = ["cell", "edge", "L", "gap / L", "± ", "deviation / L", "autocorrelation", *(f"steps: {name}" for name in NAMES.values())]
    each = [
        [r.cell, str(r.edge), f"{r.bound:.3g}", f"{r.gap:.3g}", f"{r.standard_error:.2g}", f"{r.deviation:.3g}", f"{r.autocorrelation:.2f}",
         *(f"{stops[s][i]:.2g}" for s in NAMES)]
        for i, r in enumerate(frame.itertuples())
    ]  # fmt: skip
    say(f":::{{dropdown}} Each of the {len(frame)} mixed operations\n{tables.markdown(headers, each)}\n:::")
    median = {s: float(np.median(values)) for s, values in stops.items()}
    rows = [
        [NAMES[s], f"{v:,.0f}", f"{v / STEPS_AN_EPOCH:,.0f}", f"{v / STEPS_AN_EPOCH * MINUTES_AN_EPOCH / 60 / 24:,.1f}"]
        for s, v in median.items()
    ]
    say(tables.markdown(["schedule", "median α steps", "epochs", "GPU-days at the paper's 5.8 minutes an epoch"], rows))
    say(
        "The gap is between the largest and the second largest of seven noisy means, so it is overestimated where it is not well above its "
        "standard error, and the times are then underestimated."
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

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

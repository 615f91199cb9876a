"""The recorded simulations behind the chapter on Theorem 2: each table is a run under runs/theory/, each row a setting
that `asap theory` reproduces from its seed."""

from __future__ import annotations

import dataclasses
import itertools
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import log_softmax
from scipy.stats import binom

from ..paper.equations import beta
from ..records.parameters import git_commit
from ..records.recorder import Recorder
from ..records.study import grid
from .bounds import TheoryError
from .certified import CASES, false_certificates
from .exact import crossing, exact_escape, exact_pair
from .practical import Practical, simulate_practical
from .simulate import Setting, simulate

TIGHTER = ("theorem2", "stitched", "mixture", "pairwise", "bernstein")

Rows = list[dict[str, Any]]
Task = Callable[[], Rows]  # computes some rows of a table; one that is recorded is not computed again


def labelled(labels: dict[str, Any], function: Callable[..., dict[str, Any]], *given: Any, **named: Any) -> Rows:
    """One row: its labels, and what a function finds."""
    return [{**labels, **function(*given, **named)}]


def simulated(setting: Setting, **labels: Any) -> Rows:
    """One row: the setting and what came of it."""
    found = simulate(setting).to_dict()
    (low, high), stops = found["interval"], dict(zip(("stop_5", "stop_median", "stop_95"), found["stop_quantiles"].values(), strict=True))
    row = {"failures": found["failures"], "low": low, "high": high, "finished": found["finished"], **stops}
    return [{**labels, **dataclasses.asdict(setting), **row}]


def simulations(*given: dict[str, Any], **labels: Any) -> Iterator[Task]:
    """A simulation for each setting, in order; a list of values is a grid. labels: columns of their rows."""
    for values in given:
        yield from (partial(simulated, Setting(**one), **labels) for one in grid(values))


def reference() -> Iterator[Task]:
    """Stopping times against gap, N, δ and ν_t = t^p/N; and the theorem as printed."""
    yield from simulations(
        {"gap": [1.0, 0.5], "repetitions": 20_000},
        {"gap": 0.25, "repetitions": 10_000},
        {"gap": 0.1},
        {"delta": 0.01, "gap": [1.0, 0.5, 0.25]},
        {"operations": 2, "gap": [1.0, 0.5, 0.25]},
        {"operations": 14, "gap": [0.5, 0.25]},
        {"nu_power": [-2.0, 1.0, 2.0]},
        {"schedule": "literal", "repetitions": 1000, "horizon": 10},
    )


def _exact_row(quantity: str, schedule: str, shrink: float) -> Rows:
    """`escape` is Theorem 3's event for one of 7 operations; `pair` the best of two opposite ones pruned, by either rule."""
    horizon, operations, allowed = 200_000, 2, 0.1
    if quantity == "escape":
        operations, allowed = 7, 0.1 / 7
        probability = exact_escape(schedule, operations, 0.1, horizon, shrink)
    else:
        probability = exact_pair(schedule, 0.1, horizon, shrink, rule=quantity.split()[1])
    labels = {"quantity": quantity, "schedule": schedule, "shrink": shrink, "operations": operations, "horizon": horizon}
    return [{**labels, "allowed": allowed, "probability": probability}]


def exact() -> Iterator[Task]:
    """Exact probabilities: Theorem 3's event, and the negative control with two opposite operations."""
    for schedule in TIGHTER[:-1]:
        for quantity in ("escape", "pair phi"):
            yield partial(_exact_row, quantity, schedule, 1.0)
    for shrink in (0.9, 0.8, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.3):
        for quantity in ("escape", "pair phi", "pair claim"):
            yield partial(_exact_row, quantity, "theorem2", shrink)


def _escape_rows() -> Rows:
    t = np.arange(1, 200_001, dtype=np.float64)
    below, above = crossing(t * beta(t, 7, 0.1))
    allowed = np.cumsum(6 * 0.1 / (np.pi**2 * 7 * t**2))
    shown = np.unique(np.geomspace(1, len(t), 60).astype(int)) - 1
    return [{"t": int(t[i]), "exact": below[i] + above[i], "union_bound": allowed[i]} for i in shown]


def escape() -> Iterator[Task]:
    """Theorem 3's event: the exact probability that it has failed by t, beside the union bound's Σ 6δ/(π²Nt²)."""
    yield _escape_rows


def breaks() -> Iterator[Task]:
    """Where an assumption fails: held signs, a best that changes, ties, common noise, coupling, Adam, L underestimated."""
    yield from simulations({"hold": [1, 2, 5, 10, 20, 50]}, case="signs held")
    yield from simulations({"switch": [50, 100, 200, 400, 600]}, case="the best changes")
    shrunk = {"shrink": [0.7, 0.5, 0.4, 0.3, 0.2], "gap": 0.1, "repetitions": 1000, "horizon": 40_000}
    yield from simulations(shrunk, case="L underestimated")
    for noise in ("uniform", "antithetic", "common"):
        yield from simulations({"noise": noise}, case=f"noise: {noise}")
    yield from simulations({"gap": 0.0, "repetitions": 200, "horizon": 50_000}, case="ties")
    unequal = {"operations": 2, "gap": 0.05, "shift": 0.075, "noise": "unequal", "spread": 0.5}  # means .1 and .05, deviations .5 and .05
    yield from simulations({**unequal, "optimizer": "adam", "repetitions": 500}, case="unequal noise, Adam")
    yield from simulations({**unequal, "repetitions": 100}, case="unequal noise, no Adam")
    yield from simulations({"operations": 2, "gap": 2.0, "switch": 100, "repetitions": 100}, case="the best starts behind")
    yield from simulations({"gap": 1.0, "coupled": True, "repetitions": 100, "horizon": 50_000}, case="coupled")


def dependence() -> Iterator[Task]:
    """Theorem C where the operation of the largest mean does not always lead in conditional means."""
    rule = {"schedule": "certified", "repetitions": 1000}
    yield from simulations({**rule, "hold": [5, 10]}, case="signs held")
    yield from simulations({**rule, "switch": [50, 100]}, case="the best changes")


def schedules() -> Iterator[Task]:
    """The search's schedules at its own budget, 50 epochs of 260 steps."""
    variants = [
        ("exponential, T₀ = 1.3", Practical()),
        ("exponential, T₀ = 1.6", Practical(initial_temperature=1.6)),
        ("exponential, N shrinking", Practical(shrinking=True)),
        ("linear", Practical(schedule="linear")),
        ("cosine", Practical(schedule="cosine")),
        ("logarithmic", Practical(schedule="logarithmic")),
        ("Theorem 2", Practical(schedule="theorem2")),
    ]
    for (name, setting), gap in itertools.product(variants, (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)):
        setting = dataclasses.replace(setting, gap=gap)
        yield partial(labelled, {"name": name, **dataclasses.asdict(setting)}, simulate_practical, setting)


def tighter() -> Iterator[Task]:
    """Schedules with the same guarantee: stopping times for full and for small noise, and the worst case, a tie."""
    each = {"schedule": list(TIGHTER)}
    full = {"gap": [1.0, 0.5, 0.25], **each, "repetitions": 1000}
    yield from simulations(full, {"gap": 0.1, **each, "repetitions": 300}, case="full noise")
    small = {"gap": [0.25, 0.1, 0.05], **each, "noise": "uniform", "spread": 0.02, "repetitions": 100, "horizon": 150_000}
    yield from simulations(small, case="small noise")
    worst = {"operations": 2, **each, "gap": 0.0, "noise": "antithetic", "repetitions": 5000, "horizon": 20_000}
    yield from simulations(worst, case="worst case")


def certified() -> Iterator[Task]:
    """Theorem C: the steps until one operation is left, and how often it prunes one that no rival was expected to beat."""
    rule = {"schedule": "certified"}
    for gap, repetitions in ((1.0, 2000), (0.5, 1000), (0.25, 800), (0.1, 100)):
        yield from simulations({**rule, "gap": gap, "repetitions": repetitions}, part="steps", case="full noise")
    small = {**rule, "gap": 0.1, "noise": "uniform", "spread": 0.02, "repetitions": 100}
    yield from simulations(small, part="steps", case="small noise")
    for case, operations, delta in itertools.product(CASES, (2, 7), (0.1, 0.01)):
        if operations == 2 or case in ("tie", "adaptive means"):
            given = {"case": case, "operations": operations, "delta": delta, "repetitions": 2000}
            given |= {"horizon": 2000 if operations == 2 else 1000, "seed": 11}
            yield partial(labelled, {"part": "validity", **given}, false_certificates, **given)


def _lemma_rows() -> Rows:
    """Lemma 1 and Corollary 4: exact binomial tails of ±1 gradients over their bounds."""
    t, level = np.arange(1, 301)[:, None], np.linspace(0.02, 0.98, 25)
    tails = binom.sf(np.ceil((1 + level) / 2 * t - 1e-12) - 1, t, 0.5)  # P(S_t/t ≥ level)
    steps, n = np.arange(1, 20_001, dtype=np.float64), np.array([[2], [7], [14]])
    outside = 2 * binom.sf(np.floor((steps + steps * beta(steps, n, 0.1)) / 2), steps, 0.5)
    ratios = {"Lemma 1": tails / np.exp(-level * level * t / 2), "Corollary 4": outside / (6 * 0.1 / (np.pi**2 * n * steps**2))}
    measure = "largest exact tail over its bound"
    return [{"statement": name, "measure": measure, "value": float(r.max()), "cases": r.size} for name, r in ratios.items()]


def _claim_rows() -> Rows:
    """Claim 1 in both directions on random α, many of them with all but the leader at one place."""
    rng = np.random.default_rng(11)
    found, cases = np.zeros(3, dtype=int), 400_000
    for n in (2, 3, 7, 14):
        t = rng.integers(1, 200, (cases // 4, 1)).astype(float)
        b = beta(t, n, 0.1)
        alpha = -rng.exponential(1.0, (len(t), n)) * t * b * rng.choice([0.5, 2.0, 4.0], (len(t), 1))
        together = rng.random(len(t)) < 0.5
        alpha[together, 1:] = -(2 * t * b * rng.uniform(0.98, 1.04, (len(t), 1)))[together]
        alpha[:, 0] = 0.0
        pruned, gap = log_softmax(alpha / (2 * b), axis=1) < -np.log(n) - t, -alpha
        condition = gap > 2 * t * b
        wrong = (pruned & ~condition, condition & ~pruned, (gap > 2 * t * b + 2 * b * np.log(n)) & ~pruned)
        found += [int(each.any(1).sum()) for each in wrong]
    claims = ("pruned ⇒ (10)", "(10) ⇒ pruned", "gap > 2tβ + T log N ⇒ pruned")
    return [
        {"statement": f"Claim 1: {claim}", "measure": "counterexamples", "value": int(count), "cases": cases}
        for claim, count in zip(claims, found, strict=True)
    ]


def statements() -> Iterator[Task]:
    """The lemmas, against exact tails and random configurations."""
    yield _lemma_rows
    yield _claim_rows


TABLES: dict[str, Callable[[], Iterator[Task]]] = {
    table.__name__: table for table in (reference, exact, escape, breaks, dependence, schedules, tighter, certified, statements)
}


def compute(row: str) -> Rows:
    """The rows of one task of a table, `TABLE/TASK` with the number in the record's column `task`, computed anew.

    Raises `TheoryError` where there is no such task.
    """
    name, _, number = row.partition("/")
    tasks = list(TABLES[name]()) if name in TABLES else []
    if not number.isdecimal() or int(number) >= len(tasks):
        raise TheoryError(f"no task {row!r}; tables: {', '.join(TABLES)}, and tasks are numbered from 0")
    return tasks[int(number)]()


def record(name: str, root: Path, progress: Callable[[str], None] | None = None) -> Path:
    """Run one of TABLES and leave it under root/theory/name; return the folder.

    What is recorded already is not computed again, so an interrupted table goes on where it was.
    Raises `TheoryError` for an unknown name.
    """
    if name not in TABLES:
        raise TheoryError(f"unknown table {name!r}; known: {', '.join(TABLES)}")
    machine = {"git_commit": git_commit(), "python": platform.python_version(), "numpy": np.__version__, "cores": os.cpu_count()}
    with closing(Recorder(root / "theory" / name, "theory", {"table": name}, data=None, machine=machine)) as recorder:
        if not recorder.finished:
            before = recorder.folder / "results.csv"
            rows: Rows = pd.read_csv(before).to_dict("records") if before.is_file() else []  # type: ignore[assignment]
            begin = int(rows[-1]["task"]) + 1 if rows else 0
            tasks = list(TABLES[name]())
            for i, task in enumerate(tasks[begin:], start=begin):
                if progress:
                    progress(f"{name}: {i + 1} of {len(tasks)}")
                rows += [{"task": i, **row} for row in task()]
                recorder.write("results.csv", pd.DataFrame(rows))
            recorder.finish({"rows": len(rows)})
        return recorder.folder

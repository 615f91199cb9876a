"""The recorded simulations behind the chapter on Theorem 2: each table is a run under runs/theory/, each row a setting
that `asap theory` reproduces from its seed."""

from __future__ import annotations

import dataclasses
import itertools
import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from scipy.stats import binom

from ..paper.equations import beta
from ..records.parameters import git_commit
from ..records.recorder import Recorder
from .bounds import TheoryError, crossing, exact_escape, exact_pair
from .simulate import Practical, Setting, simulate, simulate_practical

TIGHTER = ("theorem2", "stitched", "mixture", "pairwise", "bernstein")


Rows = list[dict[str, Any]]
Task = Callable[[], Rows]  # computes some rows of a table; one that is recorded is not computed again


def simulated(setting: Setting, **labels: Any) -> Rows:
    """One row: the setting and what came of it."""
    found = simulate(setting)
    low, high = found.interval()
    quantiles = found.to_dict()["stop_quantiles"]
    row = {
        **labels,
        **dataclasses.asdict(setting),
        "failures": found.failures,
        "low": low,
        "high": high,
        "finished": found.finished,
        **{f"stop_{name}": quantiles[q] for name, q in (("5", "0.05"), ("median", "0.5"), ("95", "0.95"))},
    }
    return [row]


def reference() -> Iterator[Task]:
    """Stopping times against gap, N and δ."""
    for operations, delta, gap, repetitions in (
        (7, 0.1, 1.0, 20_000),
        (7, 0.1, 0.5, 20_000),
        (7, 0.1, 0.25, 10_000),
        (7, 0.1, 0.1, 2_000),
        (7, 0.01, 1.0, 2_000),
        (7, 0.01, 0.5, 2_000),
        (7, 0.01, 0.25, 2_000),
        (2, 0.1, 1.0, 2_000),
        (2, 0.1, 0.5, 2_000),
        (2, 0.1, 0.25, 2_000),
        (14, 0.1, 0.5, 2_000),
        (14, 0.1, 0.25, 2_000),
    ):
        yield partial(simulated, Setting(operations, delta, gap, repetitions=repetitions))
    for power in (-2.0, 1.0, 2.0):  # ν_t = t^p/N
        yield partial(simulated, Setting(nu_power=power, repetitions=2_000))
    yield partial(simulated, Setting(schedule="literal", repetitions=1000, horizon=10))


def _exact_row(quantity: str, schedule: str, shrink: float) -> Rows:
    """`escape` is Theorem 3's event for one of 7 operations; `pair` the best of two opposite ones pruned, by either rule."""
    horizon, operations = 200_000, 7 if quantity == "escape" else 2
    if quantity == "escape":
        probability, allowed = exact_escape(schedule, operations, 0.1, horizon, shrink), 0.1 / operations
    else:
        probability, allowed = exact_pair(schedule, 0.1, horizon, shrink, rule=quantity.split()[1])[0], 0.1
    return [
        {
            "quantity": quantity,
            "schedule": schedule,
            "shrink": shrink,
            "operations": operations,
            "horizon": horizon,
            "allowed": allowed,
            "probability": probability,
        }
    ]


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
    band = t * beta(t, 7, 0.1)
    below, above = crossing(band, band)
    allowed = np.cumsum(6 * 0.1 / (np.pi**2 * 7 * t**2))
    shown = np.unique(np.geomspace(1, len(t), 60).astype(int)) - 1
    return [{"t": int(t[i]), "exact": below[i] + above[i], "union_bound": allowed[i]} for i in shown]


def escape() -> Iterator[Task]:
    """Theorem 3's event: the exact probability that it has failed by t, beside the union bound's Σ 6δ/(π²Nt²)."""
    yield _escape_rows


def breaks() -> Iterator[Task]:
    """Where an assumption fails: held signs, a best that changes, ties, common noise, coupling, Adam, L underestimated."""
    base = Setting(gap=0.5, repetitions=2000)
    for hold in (1, 2, 5, 10, 20, 50):
        yield partial(simulated, dataclasses.replace(base, hold=hold), case="signs held")
    for switch in (50, 100, 200, 400, 600):
        yield partial(simulated, dataclasses.replace(base, switch=switch), case="the best changes")
    for shrink in (0.7, 0.5, 0.4, 0.3, 0.2):
        setting = Setting(shrink=shrink, gap=0.1, repetitions=1000, horizon=40_000)
        yield partial(simulated, setting, case="L underestimated")
    for noise in ("uniform", "antithetic", "common"):
        yield partial(simulated, dataclasses.replace(base, noise=noise), case=f"noise: {noise}")
    yield partial(simulated, Setting(gap=0.0, repetitions=200, horizon=50_000), case="ties")
    yield partial(simulated, dataclasses.replace(base, optimizer="adam"), case="Adam")
    yield partial(simulated, Setting(gap=1.0, coupled=True, repetitions=100, horizon=50_000), case="coupled")


def _practical_row(name: str, setting: Practical) -> Rows:
    return [{"name": name, **dataclasses.asdict(setting), **simulate_practical(setting)}]


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
        yield partial(_practical_row, name, dataclasses.replace(setting, gap=gap))


def tighter() -> Iterator[Task]:
    """Schedules with the same guarantee: stopping times for full and for small noise, and the worst case, a tie."""
    for gap, schedule in itertools.product((1.0, 0.5, 0.25, 0.1), TIGHTER):
        setting = Setting(schedule=schedule, gap=gap, repetitions=1000 if gap > 0.1 else 300)
        yield partial(simulated, setting, case="full noise")
    for gap, schedule in itertools.product((0.25, 0.1, 0.05), TIGHTER):
        setting = Setting(schedule=schedule, gap=gap, noise="uniform", spread=0.02, repetitions=100, horizon=150_000)
        yield partial(simulated, setting, case="small noise")
    for schedule in TIGHTER:
        setting = Setting(2, schedule=schedule, gap=0.0, noise="antithetic", repetitions=5000, horizon=20_000)
        yield partial(simulated, setting, case="worst case")


def _lemma_rows() -> Rows:
    """Lemma 1 and Corollary 4 against exact binomial tails of ±1 gradients."""
    worst = 0.0
    for t in range(1, 301):
        for level in np.linspace(0.02, 0.98, 25):
            tail = binom.sf(np.ceil((1 + level) / 2 * t - 1e-12) - 1, t, 0.5)  # P(S_t/t ≥ level)
            worst = max(worst, float(tail / np.exp(-level * level * t / 2)))
    rows = [{"statement": "Lemma 1", "measure": "largest exact tail over its bound", "value": worst, "cases": 300 * 25}]
    worst, steps = 0.0, np.arange(1, 20_001, dtype=np.float64)
    for n in (2, 7, 14):
        tails = 2 * binom.sf(np.floor((steps + steps * beta(steps, n, 0.1)) / 2), steps, 0.5)
        worst = max(worst, float((tails / (6 * 0.1 / (np.pi**2 * n * steps**2))).max()))
    return [*rows, {"statement": "Corollary 4", "measure": "largest exact tail over its bound", "value": worst, "cases": 3 * len(steps)}]


def _claim_rows() -> Rows:
    """Claim 1 in both directions on random α, many of them with all but the leader at one place."""
    rng = np.random.default_rng(11)
    forward = converse = sufficient = 0
    cases = 400_000
    for n in (2, 3, 7, 14):
        t = rng.integers(1, 200, (cases // 4, 1)).astype(float)
        b = beta(t, n, 0.1)
        alpha = -rng.exponential(1.0, (len(t), n)) * t * b * rng.choice([0.5, 2.0, 4.0], (len(t), 1))
        together = rng.random(len(t)) < 0.5
        alpha[together, 1:] = -(2 * t * b * rng.uniform(0.98, 1.04, (len(t), 1)))[together]
        alpha[:, 0] = 0.0
        log_phi = alpha / (2 * b) - logsumexp(alpha / (2 * b), axis=1, keepdims=True)
        pruned, gap = log_phi < -np.log(n) - t, -alpha
        condition = gap > 2 * t * b
        forward += int((pruned & ~condition).any(1).sum())
        converse += int((condition & ~pruned).any(1).sum())
        sufficient += int(((gap > 2 * t * b + 2 * b * np.log(n)) & ~pruned).any(1).sum())
    found = {"pruned ⇒ (10)": forward, "(10) ⇒ pruned": converse, "gap > 2tβ + T log N ⇒ pruned": sufficient}
    return [{"statement": f"Claim 1: {k}", "measure": "counterexamples", "value": v, "cases": cases} for k, v in found.items()]


def _speed_rows() -> Rows:
    """How fast the simulator is on one core, for the default setting at a gap of 0.25."""
    setting = Setting(gap=0.25)
    began = time.process_time()
    stops = simulate(setting).stops
    seconds = time.process_time() - began
    return [{"operation_steps": int(stops.sum()) * setting.operations, "cpu_seconds": round(seconds, 3)}]


def speed() -> Iterator[Task]:
    """The simulator's speed."""
    yield _speed_rows


def statements() -> Iterator[Task]:
    """The lemmas, against exact tails and random configurations."""
    yield _lemma_rows
    yield _claim_rows


TABLES: dict[str, Callable[[], Iterator[Task]]] = {
    "reference": reference,
    "exact": exact,
    "escape": escape,
    "breaks": breaks,
    "schedules": schedules,
    "tighter": tighter,
    "statements": statements,
    "speed": speed,
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
    recorder = Recorder(root / "theory" / name, "theory", {"table": name}, data=None, machine=machine)
    try:
        if not recorder.finished:
            before = recorder.folder / "results.csv"
            rows: Rows = pd.read_csv(before).to_dict("records") if before.is_file() else []  # type: ignore[assignment]
            begin = int(rows[-1]["task"]) + 1 if rows else 0
            tasks = list(TABLES[name]())
            for i, task in enumerate(tasks[begin:], start=begin):
                if progress:
                    progress(f"{name}: {i + 1} of {len(tasks)}")
                rows += [{"task": i, **row} for row in task()]
                recorder.results(pd.DataFrame(rows))
            recorder.finish({"rows": len(rows)})
    finally:
        recorder.close()
    return recorder.folder

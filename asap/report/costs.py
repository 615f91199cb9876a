"""The page "What it costs", from the records under runs/benchmarks/ and the times that runs took. Needs no torch."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ..records.study import load
from . import palette, results, tables
from .benchmarks import EVALUATION_STEPS, SEARCH_ITERATIONS, cpu, gpus
from .display import DASH, each, rows_frame, spread
from .methods_study import copies

#: Watts that a run keeps busy: assumptions, from the makers' thermal design powers, not measurements.
WATTS = {"CPU core": 10, "GTX 1080 Ti": 250, "H100": 700, "H200": 700}
#: What this project set out to reach on a CPU.
TARGETS = {"search": 3.5, "evaluation": 2.0, "input": 20.0}


def ratio_rows(record: dict[str, Any]) -> pd.DataFrame:
    """How much faster than plain modules the steps are, against the targets. record: of a CPU."""
    lines: list[tuple[str, list[str], str, float, str]] = []  # what, plain and ours, kind, ratio, memory
    searches = [("search", "search, w and α step", "", shape, shape["ratio"]) for shape in record["search"].values()]
    evaluation = ("evaluation", "evaluation", ", the paper's cell", record["evaluation"], record["evaluation_step_ratio"])
    for kind, name, cell, shape, ratio in [*searches, evaluation]:
        steps = [shape[f"{whose} {kind}"] for whose in ("plain", "our")]
        size = f"{name}: C = {shape['channels']}, {shape['layers']} cells, batch {shape['batch']}{cell}"
        times = [f"{step['seconds']:.{2 if kind == 'search' else 3}f} s" for step in steps]
        lines.append((size, times, kind, ratio, " / ".join(f"{step['memory_mb']:,.0f}" for step in steps)))
    speeds = [f"{record['input'][f'{whose} input']['images_per_second']:,.0f} images/s" for whose in ("plain", "our")]
    what = f"input: crop, flip, normalise, cutout, batch {record['input']['batch']}"
    lines.append((what, speeds, "input", record["input_ratio"], DASH))
    return rows_frame(["step, one thread", "plain modules", "ours", "ratio", "target", "", "peak memory, MiB"], [
        [what, *both, f"{ratio:.{0 if kind == 'input' else 2}f}", f"{TARGETS[kind]:g}",
         "reached" if ratio >= TARGETS[kind] else "missed", memory]
        for what, both, kind, ratio, memory in lines
    ])  # fmt: skip


def draw_step(record: dict[str, Any]) -> Figure:
    """Seconds of a search step by operation kind, and against the operations left on an edge with the line from the floor."""
    added = pd.Series(record["by_operation"])
    added = (added - added["none"]).drop("none")
    left = pd.Series(record["operations_left"]).rename(index=int).drop(0, errors="ignore").sort_index()
    figure, (bars, line) = palette.axes(2, 3.0)
    bars.barh([name.replace("_", " ") for name in added.index], added, color=[palette.colour(name) for name in added.index])
    bars.invert_yaxis()
    bars.set_xlabel("seconds that it adds on all edges")
    line.plot(left.index, left, "o-", color=palette.BLUE, label="measured")
    line.plot([0, left.index[-1]], [record["floor"], left.iloc[-1]], "--", color=palette.FAINT, lw=1, label="line from the floor")
    line.set_ylim(0)
    line.set(xlabel="operations left on an edge", ylabel="seconds a step")
    line.legend()
    return figure


def bound_rows(record: dict[str, Any]) -> pd.DataFrame:
    """A step's arithmetic and traffic over the machine's rates, beside its time; no rows where they are not recorded."""
    steps = {"search": next(iter(record["search"].values()))["our search"], "evaluation": record["evaluation"]["our evaluation"]}
    headers = ["step", "GFLOP", "GFLOP/s", "floor, s", "GB moved", "GB/s", "floor, s", "measured, s", "over the higher floor"]
    return rows_frame(headers, [
        [name, f"{b['flops'] / 1e9:.1f}", f"{b['flops_per_second'] / 1e9:.0f}", f"{b['seconds_computing']:.3f}", f"{b['bytes'] / 1e9:.1f}",
         f"{b['bytes_per_second'] / 1e9:.0f}", f"{b['seconds_moving']:.3f}", f"{steps[name]['seconds']:.3f}",
         f"{steps[name]['seconds'] / max(b['seconds_computing'], b['seconds_moving']):.1f}"]
        for name, b in record.get("bounds", {}).items()
    ])  # fmt: skip


def method_rows(timed: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The CPU time of each method's search. timed: some of `timed`."""
    lines, last = [], results.epochs().groupby("run")["steps_seconds"].last() / 60
    for label, runs in timed.items():
        lines.append([label, str(len(runs)), spread(runs["step_minutes"], 1), spread(runs["full_epoch_minutes"]), spread(last[runs["run"]]),
                      spread(runs["full_epochs"], 0), spread(runs["operations_left"], 0)])  # fmt: skip
    headers = ["search", "n", "minutes", "full epoch, minutes", "last epoch, minutes", "minutes / full epoch",
               "operations left of 196 (224 with none)"]  # fmt: skip
    return rows_frame(headers, lines)


def timed() -> list[dict[str, pd.DataFrame]]:
    """The searches whose clock other processes do not disturb, by arm, of each copy of the images."""
    every = ({label: timed for label, runs in arms.items() if len(timed := runs[runs["clocked"]])} for arms in copies())
    return list(filter(None, every))


def hour_rows() -> pd.DataFrame:
    """Hours and energy of each scale: recorded where a run was, else computed from a measured step."""
    lines: list[tuple[str, str, str, float]] = []  # what, on what, from what, hours
    record, search, nothing = cpu(), "ASAP search, scale paper", "from the step, nothing pruned"
    for frame, text in ((results.searches().query("method == 'asap'"), "ASAP search"), (results.evaluations(), "evaluation")):
        plain = frame.query("scale in ('cpu', 'paper') and dataset == 'cifar10' and by_recipe")
        for (scale, device), runs in plain.groupby(["scale", "device"]):
            on, source = "one CPU core" if device == "cpu" else str(device), f"recorded, median of {len(runs)}"
            lines.append((f"{text}, scale {scale}", on, source, runs["seconds"].median() / 3600))
    if record and "paper" in record["search"]:
        step = record["search"]["paper"]["our search"]["seconds"]
        lines.append((search, "one CPU core", nothing, step * SEARCH_ITERATIONS / 3600))
    for gpu in gpus():
        evaluation = ("evaluation, scale paper", "from the step", EVALUATION_STEPS, gpu["evaluation"])
        for what, source, steps, variants in ((search, nothing, SEARCH_ITERATIONS, gpu["search"]["variants"]), evaluation):
            hours = {name: v["seconds"] * steps / 3600 for name, v in variants.items() if "plain" not in name}
            lines += [(f"{what}, {name}", gpu["machine"]["device"], source, took) for name, took in hours.items()]
    paper = tables.paper()["search"]
    lines.append(("ASAP search, as printed", paper["hardware"], "the paper", paper["hours"]))

    def energy(on: str, hours: float) -> str:
        return next((f"{hours * watts / 1000:.3g}" for name, watts in WATTS.items() if name in on), DASH)

    return rows_frame(["what", "on", "from", "hours", "kWh of the processor, assumed"], [
        [what, on, source, f"{hours:.2f}" if hours < 100 else f"{hours:,.0f}", energy(on, hours)] for what, on, source, hours in lines
    ])  # fmt: skip


def precision() -> tuple[pd.DataFrame, list[float], list[float], list[str]]:
    """What bf16 does to a search's outcome, by the study `precision` on the seeds that every arm has: a row a precision; the shares of a
    derived cell's edges that have the same operation in both precisions under one seed, and under two seeds of float32; and the runs."""
    frame = results.arm(results.searches(), "precision")
    frame = frame[frame.groupby("seed")["arm_precision"].transform("nunique") == len(load("precision").labels)]
    columns = ["accuracy", "operations_left", "epochs_run"]
    lines = [
        [str(label), str(len(runs)), *(spread(runs[name], 1) for name in columns)]
        for label, runs in frame.groupby("arm_precision", sort=False)
    ]
    rows = rows_frame(["precision", "n", "validation accuracy, %", "operations left", "epochs"], lines)
    cells = {(row.arm_precision, row.seed): results.record(row.run).genotype() for row in each(frame)}
    edges = {key: cell.placed for key, cell in cells.items()}
    seeds = frame["seed"].unique()

    def shares(other: str, same_seed: bool) -> list[float]:
        pairs = [(edges["float32", s], edges[other, t]) for s in seeds for t in seeds if (s == t) == same_seed]
        return [len(a & b) / len(a) for a, b in pairs]

    return rows, shares("bf16", True), shares("float32", False), list(frame["run"])

"""The page "What it costs", from the records under runs/benchmarks/ and the times that runs took. Needs no torch."""

from __future__ import annotations

import json
from statistics import median
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ..paper.space import CELL_KINDS
from ..records.parameters import runs_root
from ..records.study import load
from . import palette, results, tables
from .display import DASH, commit, damaged_json, download, escape, rows_frame, spread
from .figure6 import found

#: Watts that a run keeps busy: assumptions, from the makers' thermal design powers, not measurements.
CPU_CORE_WATTS, GTX_1080_TI_WATTS, H100_WATTS = 10, 250, 700
#: What this project set out to reach on a CPU.
TARGETS = {"search": 3.5, "evaluation": 2.0, "input": 20.0}
#: Iterations (a w step and an α step) of the paper's search: 50 epochs of 260, and steps of its evaluation: 1,500 epochs of 390.
SEARCH_ITERATIONS, EVALUATION_STEPS = 50 * 260, 1500 * 390
NAMES = {"search": "search, w and α step", "evaluation": "evaluation"}


def benchmarks() -> list[dict[str, Any]]:
    """The recorded benchmarks that can be read, by name, each with a link to its file as `data`; a damaged one is named on the page."""
    records = []
    for path in sorted((runs_root() / "benchmarks").glob("*.json")):
        try:
            records.append({**json.loads(path.read_text(encoding="utf-8")), "data": download(path)})
        except ValueError:
            damaged_json(path)
    return records


def cpu() -> dict[str, Any] | None:
    """The benchmark of a CPU, or None."""
    return next((r for r in benchmarks() if r["machine"]["device"] == "cpu" and "search_step_ratio" in r), None)


def gpus() -> list[dict[str, Any]]:
    """The benchmarks of GPUs."""
    return [r for r in benchmarks() if r["machine"]["device"] != "cpu" and "variants" in r["search"]]


def where(record: dict[str, Any]) -> str:
    """What a benchmark ran on, in a line of Markdown."""
    machine = record["machine"]
    device = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    return f"{escape(device)}, torch {escape(machine['torch'])}, code {commit(machine['git_commit'])}, {escape(record['date'])}.{record['data']}"


def ratio_rows(record: dict[str, Any]) -> pd.DataFrame:
    """How much faster than plain modules the steps are, against the targets. record: of a CPU."""
    lines = []
    steps = [("search", shape, shape["ratio"]) for shape in record["search"].values()]
    for kind, shape, ratio in [*steps, ("evaluation", record["evaluation"], record["evaluation_step_ratio"])]:
        plain, ours, digits = shape[f"plain {kind}"], shape[f"our {kind}"], 2 if kind == "search" else 3
        size = f"C = {shape['channels']}, {shape['layers']} cells, batch {shape['batch']}"
        lines.append([f"{NAMES[kind]}: {size}{', the paper' + chr(39) + 's cell' if kind == 'evaluation' else ''}", f"{plain['seconds']:.{digits}f} s",
                      f"{ours['seconds']:.{digits}f} s", f"{ratio:.2f}", *_against(ratio, kind), f"{plain['memory_mb']:,.0f} / {ours['memory_mb']:,.0f}"])  # fmt: skip
    plain, ours = (record["input"][f"{name} input"]["images_per_second"] for name in ("plain", "our"))
    lines.append([f"input: crop, flip, normalise, cutout, batch {record['input']['batch']}", f"{plain:,.0f} images/s", f"{ours:,.0f} images/s",
                  f"{record['input_ratio']:.0f}", *_against(record["input_ratio"], "input"), DASH])  # fmt: skip
    return rows_frame(["step, one thread", "plain modules", "ours", "ratio", "target", "", "peak memory, MiB"], lines)


def _against(ratio: float, kind: str) -> tuple[str, str]:
    return f"{TARGETS[kind]:g}", "reached" if ratio >= TARGETS[kind] else "missed"


def draw_step(record: dict[str, Any]) -> Figure:
    """Seconds of a search step by operation kind, and against the operations left on an edge with the line from the floor."""
    by_operation, left, floor = record["by_operation"], record["operations_left"], record["floor"]
    figure, (bars, line) = palette.axes(2, 3.0)
    kinds = [name for name in by_operation if name != "none"]
    bars.barh(
        [n.replace("_", " ") for n in kinds],
        [by_operation[n] - by_operation["none"] for n in kinds],
        color=[palette.colour(n) for n in kinds],
    )
    bars.invert_yaxis()
    bars.set_xlabel("seconds that it adds on all edges")
    counts = sorted(int(n) for n in left if int(n) > 0)
    line.plot(counts, [left[str(n)] for n in counts], "o-", color=palette.BLUE, label="measured")
    line.plot([0, max(counts)], [floor, left[str(max(counts))]], "--", color=palette.FAINT, lw=1, label="line from the floor")
    line.set_ylim(0)
    line.set_xlabel("operations left on an edge")
    line.set_ylabel("seconds a step")
    line.legend()
    return figure


def bound_rows(record: dict[str, Any]) -> pd.DataFrame:
    """A step's arithmetic and traffic over the machine's rates, beside its time; no rows where they are not recorded."""
    steps = {"search": next(iter(record["search"].values()))["our search"], "evaluation": record["evaluation"]["our evaluation"]}
    lines = []
    for name, bound in record.get("bounds", {}).items():
        computing, moving, seconds = bound["seconds_computing"], bound["seconds_moving"], steps[name]["seconds"]
        lines.append([name, f"{bound['flops'] / 1e9:.1f}", f"{bound['flops_per_second'] / 1e9:.0f}", f"{computing:.3f}", f"{bound['bytes'] / 1e9:.1f}",
                      f"{bound['bytes_per_second'] / 1e9:.0f}", f"{moving:.3f}", f"{seconds:.3f}", f"{seconds / max(computing, moving):.1f}"])  # fmt: skip
    return rows_frame(
        ["step", "GFLOP", "GFLOP/s", "floor, s", "GB moved", "GB/s", "floor, s", "measured, s", "over the higher floor"], lines
    )


def method_rows() -> pd.DataFrame:
    """The CPU time of each method's search, of those timed by a clock that other processes do not disturb."""
    lines = []
    for label, runs in timed().items():
        last = results.epochs().groupby("run")["steps_seconds"].last() / 60
        lines.append([label, str(len(runs)), spread(runs["step_minutes"], 1), spread(runs["full_epoch_minutes"]), spread(last[runs["run"]]),
                      spread(runs["full_epochs"], 0), spread(runs["operations_left"], 0)])  # fmt: skip
    headers = ["search", "n", "minutes", "full epoch", "last epoch", "minutes / full epoch", "operations left of 196 (224 with none)"]
    return rows_frame(headers, lines)


def timed() -> dict[str, pd.DataFrame]:
    """The searches of the study `methods` whose clock other processes do not disturb, by arm."""
    every = {label: runs[runs["clocked"]] for label, runs in found("search").items()}
    return {label: runs for label, runs in every.items() if len(runs)}


def hour_rows() -> pd.DataFrame:
    """Hours and energy of each scale: recorded where a run was, else computed from a measured step."""
    lines, record = [], cpu()
    for frame, text in ((results.searches().query("method == 'asap'"), "ASAP search"), (results.evaluations(), "evaluation")):
        seconds = frame.loc[
            (frame["scale"] == "cpu") & (frame["dataset"] == "cifar10") & frame["by_recipe"] & (frame["device"] == "cpu"), "seconds"
        ]
        if len(seconds):
            lines.append(
                _hours(f"{text}, scale cpu", "one CPU core", f"recorded, median of {len(seconds)}", median(seconds) / 3600, CPU_CORE_WATTS)
            )
    steps = (
        [("one CPU core", "", record["search"]["paper"]["our search"]["seconds"], CPU_CORE_WATTS)]
        if record and "paper" in record["search"]
        else []
    )
    for gpu in gpus():
        steps += [
            (gpu["machine"]["device"], f", {name}", v["seconds"], H100_WATTS)
            for name, v in gpu["search"]["variants"].items()
            if "plain" not in name
        ]
    for device, name, step, watts in steps:
        lines.append(
            _hours(f"ASAP search, scale paper{name}", device, "from the step, nothing pruned", step * SEARCH_ITERATIONS / 3600, watts)
        )
    for gpu in gpus():
        for name, variant in gpu["evaluation"].items():
            total = variant["seconds"] * EVALUATION_STEPS / 3600
            lines.append(_hours(f"evaluation, scale paper, {name}", gpu["machine"]["device"], "from the step", total, H100_WATTS))
    paper = tables.paper()["search"]
    lines.append(_hours("ASAP search, as printed", paper["hardware"], "the paper", paper["hours"], GTX_1080_TI_WATTS))
    return rows_frame(["what", "on", "from", "hours", "kWh, at most"], lines)


def _hours(what: str, device: str, source: str, value: float, watts: float) -> list[str]:
    return [what, device, source, f"{value:.2f}" if value < 100 else f"{value:,.0f}", f"{value * watts / 1000:.3g}"]


def variant_rows(gpu: dict[str, Any]) -> pd.DataFrame:
    """The paper's search step on a GPU, a row a variant."""
    return rows_frame(["variant", "ms an iteration", "kernels", "peak memory, MiB"], [
        [name, f"{1000 * v['seconds']:.2f}", f"{v['kernels']:,}" if v.get("kernels") else DASH, f"{v['memory_mb']:,.0f}" if v.get("memory_mb") else DASH]
        for name, v in gpu["search"]["variants"].items()
    ])  # fmt: skip


def gradient_rows(gpu: dict[str, Any]) -> pd.DataFrame:
    """The relative errors of the first step's gradients against float64 on a CPU, before and after the mending; no rows where unmeasured."""
    lines = []
    for when, cases in ((w, gpu.get("gradients", {}).get(w, {})) for w in ("before", "after")):
        for name, case in cases.items():
            both = case.get("w_and_alpha_gradient", [None, None])
            w, alpha = (case.get(key, [other])[0] for key, other in zip(("w_gradient", "alpha_gradient"), both, strict=True))
            lines.append([when, name, f"{w:.2g}", f"{alpha:.2g}"])
    return rows_frame(["mending", "computed as", "gradient of w", "gradient of α"], lines)


def precision() -> tuple[pd.DataFrame, str, list[str]]:
    """What bf16 does to a search's outcome (study `precision`): a row a precision, a sentence on the cells, and the runs; no rows without them."""
    frame = results.searches()
    runs = {label: results.arm(frame, "precision", label).set_index("seed") for label in load("precision").labels}
    seeds = sorted(set.intersection(*(set(r.index) for r in runs.values())))
    headers = ["precision", "validation accuracy, %", "operations left", "epochs"]
    if not seeds:
        return rows_frame(headers, []), "", []
    runs = {label: r.loc[seeds] for label, r in runs.items()}
    lines = [[label, *(spread(r[name], 1) for name in ("accuracy", "operations_left", "epochs_run"))] for label, r in runs.items()]
    genotypes = {(label, seed): results.record(r.loc[seed, "run"]).genotype() for label, r in runs.items() for seed in seeds}

    def same(a: tuple[str, int], b: tuple[str, int]) -> float:
        """The share of a's edges that b has, with the same operation."""
        mine, theirs = ({(kind, edge) for kind in CELL_KINDS for edge in genotypes[which].cell(kind)} for which in (a, b))
        return len(mine & theirs) / len(mine)

    between = [same(("float32", seed), ("bf16", seed)) for seed in seeds]
    apart = [same(("float32", a), ("float32", b)) for a in seeds for b in seeds if a != b]
    said = f"Under the same seed, {median(between):.0%} of the derived cell's edges have the same operation in both precisions (median)."
    if apart:
        said += f" Between two seeds of float32 it is {median(apart):.0%}."
    return rows_frame(headers, lines), said, [run for r in runs.values() for run in r["run"]]

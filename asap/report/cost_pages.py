"""The page "What it costs", from the records under runs/benchmarks/ and the times that runs took. Needs no torch."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from ..paper.space import CELL_KINDS
from ..records.parameters import runs_root
from ..records.run import Run
from ..records.study import load
from . import figures, tables
from .claims_search import clocked, cpu_minutes, full_epoch, in_full_epochs
from .pages import download, missing, problems, records, say, show

#: Watts that a run keeps busy: assumptions, from the makers' thermal design powers, not measurements.
CPU_CORE_WATTS, GTX_1080_TI_WATTS, H100_WATTS = 10, 250, 700
#: What this project set out to reach on a CPU.
TARGETS = {"search": 3.5, "evaluation": 2.0, "input": 20.0}
#: Iterations (a w step and an α step) of the paper's search: 50 epochs of 260, and steps of its evaluation: 1,500 epochs of 390.
SEARCH_ITERATIONS, EVALUATION_STEPS = 50 * 260, 1500 * 390


def benchmarks() -> list[tuple[Path, dict[str, Any]]]:
    """The recorded benchmarks that can be read, by name."""
    found = []
    for path in sorted((runs_root() / "benchmarks").glob("*.json")):
        try:
            found.append((path, json.loads(path.read_text(encoding="utf-8"))))
        except ValueError:
            say(f":::{{warning}}\nLeft out, damaged: `runs/benchmarks/{path.name}`\n:::")
    return found


def _cpu() -> dict[str, Any] | None:
    found = [
        {**record, "data": download(path)}
        for path, record in benchmarks()
        if record["machine"]["device"] == "cpu" and "search_step_ratio" in record
    ]
    if not found:
        missing("a benchmark of a CPU", "make bench")
    return found[0] if found else None


def _where(record: dict[str, Any]) -> str:
    machine = record["machine"]
    device = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    return f"{device}, torch {machine['torch']}, code `{machine['git_commit'][:12]}`, {record['date']}.{record['data']}"


def _verdict(value: float, target: float) -> str:
    return "reached" if value >= target else "missed"


def ratios() -> None:
    """How much faster than plain modules the steps are, against the targets."""
    problems()
    record = _cpu()
    if not record:
        return
    rows = []
    for shape in record["search"].values():
        plain, ours = shape["plain search"], shape["our search"]
        rows.append(
            [f"search, w and α step: C = {shape['channels']}, {shape['layers']} cells, batch {shape['batch']}", f"{plain['seconds']:.2f} s",
             f"{ours['seconds']:.2f} s", f"{shape['ratio']:.2f}", f"{TARGETS['search']:g}", _verdict(shape["ratio"], TARGETS["search"]),
             f"{plain['memory_mb']:,.0f} / {ours['memory_mb']:,.0f}"]
        )  # fmt: skip
    shape = record["evaluation"]
    plain, ours, ratio = shape["plain evaluation"], shape["our evaluation"], record["evaluation_step_ratio"]
    rows.append(
        [f"evaluation: C = {shape['channels']}, {shape['layers']} cells, batch {shape['batch']}, the paper's cell", f"{plain['seconds']:.3f} s",
         f"{ours['seconds']:.3f} s", f"{ratio:.2f}", f"{TARGETS['evaluation']:g}", _verdict(ratio, TARGETS["evaluation"]),
         f"{plain['memory_mb']:,.0f} / {ours['memory_mb']:,.0f}"]
    )  # fmt: skip
    speed = {name: record["input"][f"{name} input"]["images_per_second"] for name in ("plain", "our")}
    rows.append(
        [f"input: crop, flip, normalise, cutout, batch {record['input']['batch']}", f"{speed['plain']:,.0f} images/s", f"{speed['our']:,.0f} images/s",
         f"{record['input_ratio']:.0f}", f"{TARGETS['input']:g}", _verdict(record["input_ratio"], TARGETS["input"]), "–"]
    )  # fmt: skip
    say(tables.markdown(["step, one thread", "plain modules", "ours", "ratio", "target", "", "peak memory, MiB"], rows))
    say(
        f"**Side by side.** Medians of {record['rounds']} rounds, one step of each in turn, each in its own process. Plain: DARTS' own first-order step "
        "(eight operations, a module each, NCHW, every gradient in both halves), the same modules as a derived network, and torchvision's transforms an "
        f"image at a time. Input takes {record['input_share_of_step']:.2%} of a search step. {_where(record)}"
    )


def breakdown() -> None:
    """The step by operation kind and by operations left, and how far from what the machine could do."""
    record = _cpu()
    if not record:
        return
    show(
        figures.step_time(record["by_operation"], record["operations_left"], record["floor"]),
        "**Where the step goes.** Left: seconds that a kind of operation on all 14 edges of every cell adds to a network whose cells compute nothing; "
        "what edges share (ReLU, phases, pools) counts once, so the bars add up to more than the full step. Right: the step against the operations left "
        "on an edge, and the straight line from a network of parameter-free operations to the full one: a pruned operation costs nothing. "
        f"Largest deviation from the line {record['largest_deviation_from_line']:.0%}. {_where(record)}",
    )
    if "bounds" not in record:
        return
    steps = {
        "search": next(iter(record["search"].values()))["our search"]["seconds"],
        "evaluation": record["evaluation"]["our evaluation"]["seconds"],
    }
    rows = []
    for name, bound in record["bounds"].items():
        rows.append(
            [name, f"{bound['flops'] / 1e9:.1f}", f"{bound['flops_per_second'] / 1e9:.0f}", f"{bound['seconds_computing']:.3f}", f"{bound['bytes'] / 1e9:.1f}",
             f"{bound['bytes_per_second'] / 1e9:.0f}", f"{bound['seconds_moving']:.3f}", f"{steps[name]:.3f}",
             f"{steps[name] / max(bound['seconds_computing'], bound['seconds_moving']):.1f}"]
        )  # fmt: skip
    headers = ["step", "GFLOP", "GFLOP/s", "floor, s", "GB moved", "GB/s", "floor, s", "measured, s", "over the higher floor"]
    say(tables.markdown(headers, rows))
    say(
        "**The floor.** GFLOP of the convolutions and matrix products of a step over the rate of a large matrix product; bytes that its operations read and "
        "write, each counted where it happens, over the rate of a large copy. A step whose operations stay separate cannot go below the higher one, "
        "unless a tensor is still in the cache when it is read again: a ratio below one is the cache's doing. Fusing operations would move the floor itself."
    )


def methods() -> None:
    """The CPU time of each method's search, from the study `methods`."""
    study, root = load("methods"), runs_root()
    rows, shown = [], []
    for label in study.labels:
        runs = [run for run in study.runs(root, "search", label) if clocked(run)]
        if runs:
            shown += [(label, run) for run in runs]
            epochs = [run.epochs() for run in runs]
            minutes, full, ratio = ([measure(e) for e in epochs] for measure in (cpu_minutes, full_epoch, in_full_epochs))
            rows.append(
                [label, str(len(runs)), tables.spread(minutes, 1), tables.spread(full), tables.spread([cpu_minutes(e.tail(1)) for e in epochs]),
                 tables.spread(ratio, 0), tables.spread([float(sum(run.outcome["operations_left"].values())) for run in runs], 0)]
            )  # fmt: skip
    if not rows:
        missing("timed searches of the study `methods`", "asap study methods --commands")
        return
    headers = ["search", "n", "minutes", "full epoch", "last epoch", "minutes / full epoch", "operations left of 196 (224 with none)"]
    say(tables.markdown(headers, rows))
    say(
        "**Searches at the `cpu` scale.** Minutes of CPU time of the w and α steps of 50 epochs (or until every edge is decided), mean ± deviation between "
        "seeds; of a full epoch, in which α learns and nothing is pruned yet; of the last. Before they prune, the searches by ASAP, first-order DARTS and "
        "Eq. 13 do the same work: their full epochs differ by the machine's speed on the day. Searches of different days compare by the ratio, of 50 where every "
        "epoch is full. ENAS and random search train one sampled cell a step, which costs a fraction."
    )
    records(shown)


def hours() -> None:
    """Hours and energy of each scale: recorded where a run was, else computed from a measured step."""
    rows = []
    root = runs_root()
    for kind, text in (("search", "ASAP search"), ("evaluation", "evaluation")):
        runs = tables.by_recipe(root, kind, scale="cpu", dataset="cifar10")
        seconds = [r.outcome["seconds"] for r in runs if kind == "evaluation" or r.parameters["method"] == "asap"]
        if seconds:
            rows.append(
                _hours(f"{text}, scale cpu", "one CPU core", f"recorded, median of {len(seconds)}", median(seconds) / 3600, CPU_CORE_WATTS)
            )
    record = _cpu()
    if record and "paper" in record["search"]:
        step = record["search"]["paper"]["our search"]["seconds"]
        rows.append(
            _hours(
                "ASAP search, scale paper", "one CPU core", "from the step, nothing pruned", step * SEARCH_ITERATIONS / 3600, CPU_CORE_WATTS
            )
        )
    for _, gpu in benchmarks():
        if gpu["machine"]["device"] == "cpu" or "variants" not in gpu["search"]:
            continue
        for name, variant in gpu["search"]["variants"].items():
            if "plain" not in name:
                days = variant["seconds"] * SEARCH_ITERATIONS / 3600
                rows.append(
                    _hours(f"ASAP search, scale paper, {name}", gpu["machine"]["device"], "from the step, nothing pruned", days, H100_WATTS)
                )
        for name, variant in gpu["evaluation"].items():
            total = variant["seconds"] * EVALUATION_STEPS / 3600
            rows.append(_hours(f"evaluation, scale paper, {name}", gpu["machine"]["device"], "from the step", total, H100_WATTS))
    paper = tables.paper()["search"]
    rows.append(_hours("ASAP search, as printed", paper["hardware"], "the paper", paper["hours"], GTX_1080_TI_WATTS))
    say(tables.markdown(["what", "on", "from", "hours", "kWh, at most"], rows))
    say(
        f"**Hours and energy.** Energy is an assumption times the hours: {CPU_CORE_WATTS} W for a busy core of a server, {GTX_1080_TI_WATTS} W for a GTX 1080 Ti and "
        f"{H100_WATTS} W for an H100 (their makers' thermal design power), without the rest of the machine. Recorded hours include other work that the "
        "machine did at the same time."
    )
    if not any(gpu["machine"]["device"] != "cpu" for _, gpu in benchmarks()):
        say(
            ":::{note}\nNo GPU has been measured yet. `make gpu-study` checks one against the CPU, measures it and searches at paper scale on it.\n:::"
        )


def _hours(what: str, device: str, source: str, value: float, watts: float) -> list[str]:
    return [what, device, source, f"{value:.2f}" if value < 100 else f"{value:,.0f}", f"{value * watts / 1000:.3g}"]


def gpu() -> None:
    """What the GPU's study found, a table for each record."""
    for path, record in benchmarks():
        if record["machine"]["device"] == "cpu" or "variants" not in record["search"]:
            continue
        rows = [
            [name, f"{1000 * v['seconds']:.2f}", f"{v.get('kernels') or 0:,}", f"{v.get('memory_mb', 0):,.0f}"]
            for name, v in record["search"]["variants"].items()
        ]
        say(f"**{record['machine']['device']}**: the paper's search step.{download(path)}")
        say(tables.markdown(["variant", "ms an iteration", "kernels", "peak memory, MiB"], rows))
        apart = record["correctness"]
        rows = [
            [pair, *(f"{apart[pair][key]:.2g}" for key in ("first_loss", "loss", "alpha"))]
            for pair in apart
            if isinstance(apart[pair], dict)
        ]
        say(tables.markdown(["between", "first loss", "loss, five iterations", "α"], rows))


def precision() -> None:
    """What bf16 does to a search's outcome, from the study `precision`."""
    study = load("precision")
    found = {label: {run.parameters["seed"]: run for run in study.runs(runs_root(), "search", label)} for label in study.labels}
    seeds = sorted(set.intersection(*(set(runs) for runs in found.values())))
    if not seeds:
        missing("the study `precision`", "asap study precision --commands | sh")
        return

    def same(a: Run, b: Run) -> float:
        """The share of a's edges that b has, with the same operation."""
        mine, theirs = ({(kind, edge) for kind in CELL_KINDS for edge in run.genotype().cell(kind)} for run in (a, b))
        return len(mine & theirs) / len(mine)

    rows = [
        [
            label,
            tables.spread([100 * runs[seed].outcome["validation_accuracy"] for seed in seeds], 1),
            tables.spread([float(sum(runs[seed].outcome["operations_left"].values())) for seed in seeds], 1),
            tables.spread([float(runs[seed].outcome["epochs"]) for seed in seeds], 1),
        ]
        for label, runs in found.items()
    ]
    say(tables.markdown(["precision", "validation accuracy, %", "operations left", "epochs"], rows))
    reference, other = (found[label] for label in ("float32", "bf16"))
    between = [same(reference[seed], other[seed]) for seed in seeds]
    apart = [same(reference[a], reference[b]) for a in seeds for b in seeds if a != b]
    lines = f"{median(between):.0%} of the derived cell's edges, with their operations, are those of float32 under the same seed (median)"
    if apart:
        lines += f"; between two seeds of float32 it is {median(apart):.0%}"
    say(
        f"**bf16 against float32**, {len(seeds)} seeds each, {study.title.split(', ', 1)[1]}: mean ± deviation. {lines}. "
        "Rounding alone sends a search elsewhere, as another order of the images does; it is a parameter that the reference runs leave off."
    )
    records((label, runs[seed]) for label, runs in found.items() for seed in seeds)

"""What runs/benchmarks/ holds: the speed of the steps on a CPU and on GPUs. Needs no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from ..records.parameters import runs_root
from .display import DASH, commit, download, escape, rows_frame, say

#: What this project set out to reach on a GPU, by the operations left on an edge: kernels and GB of an iteration at paper scale in float32.
GPU_AIM = {"7 left": (6400, 99), "4 left": (5600, 69), "1 left": (3400, 29)}
#: Iterations (a w step and an α step) of the paper's search: 50 epochs of 260, and steps of its evaluation: 1,500 epochs of 390.
SEARCH_ITERATIONS, EVALUATION_STEPS = 50 * 260, 1500 * 390


def benchmarks() -> list[dict[str, Any]]:
    """The recorded benchmarks that can be read, by name, each with a link to its file as `data`."""
    return [record for _, record in _read() if record]


def problems() -> None:
    """Name the benchmarks that are left out because they are damaged, where there are any."""
    for path in (path for path, record in _read() if not record):
        say(f":::{{warning}}\nLeft out, damaged: {escape(f'runs/benchmarks/{path.name}')}\n:::")


def _read() -> list[tuple[Path, dict[str, Any] | None]]:
    found: list[tuple[Path, dict[str, Any] | None]] = []
    for path in sorted((runs_root() / "benchmarks").glob("*.json")):
        try:
            record = dict(json.loads(path.read_text(encoding="utf-8")))
            found.append((path, {**record, "data": download(path)} if record["machine"]["device"] else None))
        except (ValueError, TypeError, KeyError):
            found.append((path, None))
    return found


def cpu() -> dict[str, Any] | None:
    """The benchmark of a CPU, or None."""
    return next((r for r in benchmarks() if r["machine"]["device"] == "cpu" and "search_step_ratio" in r), None)


def gpus() -> list[dict[str, Any]]:
    """The benchmarks of GPUs that have timed a search's step and an evaluation's."""
    return [r for r in benchmarks() if r["machine"]["device"] != "cpu" and r.get("search", {}).get("variants") and r.get("evaluation")]


def where(record: dict[str, Any]) -> str:
    """What a benchmark ran on, in a line of Markdown."""
    machine = record["machine"]
    device = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    code = commit(machine["git_commit"])
    return f"{escape(device)}, torch {escape(machine['torch'])}, code {code}, {escape(record['date'])}.{record['data']}"


def counts() -> dict[str, Any] | None:
    """What a search step launches and moves on a GPU as counted without one, or None where that is not recorded."""
    return next((r for r in benchmarks() if "counts" in r), None)


def count_rows(record: dict[str, Any], gpu: dict[str, Any] | None) -> pd.DataFrame:
    """The counts of an iteration against the aim, how long a copy of as much takes on the GPU, and what it measured of the same design."""
    measured: dict[str, float] = {}
    if gpu:
        variants, one_by_one = gpu["search"]["variants"], "float32, graphs, one edge after another"
        batched = "float32, graphs" if one_by_one in variants else "float32, graphs, batched edges and Triton"
        steps = {"7 left": batched, "7 left, one edge after another": one_by_one if one_by_one in variants else "float32, graphs"}
        measured = {name: variants[variant]["seconds"] for name, variant in steps.items() if variant in variants}
    speed = gpu.get("ceilings", {}).get("copy_tb_s") if gpu else None
    headers = ["operations left on an edge", "kernels", "at most, the aim", "GB", "at most, GB", "ms, as a copy of as much", "ms, measured"]
    return rows_frame(headers, [
        [name.replace(" left", ""), f"{count['kernels']:,}", f"{GPU_AIM[name][0]:,}" if name in GPU_AIM else DASH, f"{count['gb']:.1f}",
         str(GPU_AIM[name][1]) if name in GPU_AIM else DASH, f"{count['gb'] / speed:.0f}" if speed else DASH,
         f"{1000 * measured[name]:.0f}" if name in measured else DASH]
        for name, count in record["counts"].items()
    ])  # fmt: skip


def variant_rows(gpu: dict[str, Any]) -> pd.DataFrame:
    """The paper's search step on a GPU, a row a variant."""
    return rows_frame(["variant", "ms an iteration", "kernels", "peak memory, MiB"], [
        [name, f"{1000 * v['seconds']:.2f}", *(f"{v[key]:,.0f}" if v.get(key) else DASH for key in ("kernels", "memory_mb"))]
        for name, v in gpu["search"]["variants"].items()
    ])  # fmt: skip


def gradient_rows(gpu: dict[str, Any]) -> pd.DataFrame:
    """The relative errors of the first step's gradients against float64 on a CPU, before and after the mending, where measured."""
    lines = []
    for when, name, case in ((w, *item) for w in ("before", "after") for item in gpu.get("gradients", {}).get(w, {}).items()):
        errors = case.get("w_and_alpha_gradient") or [case[key][0] for key in ("w_gradient", "alpha_gradient")]
        lines.append([when, name, *(f"{error:.2g}" for error in errors)])
    return rows_frame(["mending", "computed as", "gradient of w", "gradient of α"], lines)


def gpu_hours(gpu: dict[str, Any]) -> tuple[float, float]:
    """Hours of a search (nothing pruned) and of an evaluation at the paper's scale on a GPU, by its fastest step in float32 but the
    batched prototype's."""
    step, evaluation = (
        min(v["seconds"] for name, v in group.items() if name.startswith("float32") and "batched" not in name)
        for group in (gpu["search"]["variants"], gpu["evaluation"])
    )
    return step * SEARCH_ITERATIONS / 3600, evaluation * EVALUATION_STEPS / 3600

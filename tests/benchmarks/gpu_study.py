"""Everything a GPU is needed for, in one command: `make gpu-study`, or

    python tests/benchmarks/gpu_study.py --minutes 13 --data-root data

on a machine with torch, torchvision, pandas and pyarrow, without a network. In order: checks that the GPU computes what a
CPU does in float64, measures the steps, then searches at paper scale, or with --study NAME runs what is left of a study, as
far as the minutes go. A step is a process with a limit of its own, and each result is written at once; a variant that fails
leaves a line, and what comes after it a fresh process. The same command again skips what is recorded, and goes on.
Records: runs/benchmarks/<device>-<commit>.json and runs/<study>/, and what is new of both in runs/gpu-study.tar.gz.
`--cpu --quick` tries all of it on a CPU in small.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent)]

import torch
from gpu_steps import STEPS

from asap.errors import UserError
from asap.records.parameters import data_root, git_commit, runs_root
from asap.records.recorder import write_atomically
from asap.train import device as machine

FAILED = 3  # a step's exit status: a variant failed, and the process may be of no more use


class Record:
    """A benchmark's file, written after each result."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = json.loads(path.read_text()) if path.is_file() else {}

    def get(self, *keys: str) -> Any:
        found = self.content
        for key in keys:
            found = found.get(key, {})
        return found

    def put(self, value: Any, *keys: str) -> None:
        inner = self.content
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = value
        write_atomically(self.path, (json.dumps(self.content, indent=1, ensure_ascii=False) + "\n").encode())

    def attempt(self, call: Callable[[], Any], *keys: str) -> None:
        """Put what a call returns, unless it is there or has failed before; where it fails, its line, and the process ends."""
        name = ", ".join(keys)
        if self.get(*keys) or name in self.get("failed"):
            return
        print(name, file=sys.stderr)
        try:
            self.put(call(), *keys)
        except Exception as error:
            self.put(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", "failed", name)
            sys.exit(FAILED)


def limited(command: list[str], seconds: float) -> int | None:
    """The exit status of a process, or None where it was stopped after so many seconds."""
    process = subprocess.Popen(command)
    try:
        return process.wait(max(1.0, seconds))
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return None


def work(arguments: argparse.Namespace, end: float) -> None:
    """A search at paper scale, or what is left of a study, until the minutes are over."""
    minutes = (end - time.monotonic()) / 60
    if minutes < 0.2:
        return
    scale = ["--scale", "tiny", "--dataset", "digits"] if arguments.quick else ["--scale", "paper", "--dataset", "cifar10"]
    command = ["search", "--method", "asap", "--seed", "0", "--study", "main", *scale]
    if arguments.study:
        command = ["study", arguments.study, "--jobs", str(arguments.jobs)]
    limited([sys.executable, "-m", "asap.cli", *command, "--minutes", f"{minutes - 0.1:.2f}"], 60 * minutes)


def archive(root: Path, since: float) -> Path:
    """One archive, gpu-study.tar.gz, of what was written under the runs' root since then (`time.time`): records and checkpoints."""
    path, left_out = root / "gpu-study.tar.gz", (".lock", "weights.pt", "gpu-study.tar.gz")
    new = [f for f in sorted(root.rglob("*")) if f.is_file() and f.stat().st_mtime >= since and f.name not in left_out]
    with tarfile.open(path, "w:gz") as tar:
        for file in new:
            tar.add(file, Path("runs") / file.relative_to(root))
    return path


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=13.0, help="for all of it")
    parser.add_argument("--study", default="", help="run what is left of this study, and not the search at paper scale")
    parser.add_argument("--jobs", type=int, default=2, help="runs of the study at a time")
    parser.add_argument("--data-root", default="")
    parser.add_argument("--runs-root", default="")
    parser.add_argument("--cpu", action="store_true", help="on a CPU, with --quick")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, to try the script itself")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    end, since = time.monotonic() + 60 * arguments.minutes, time.time()
    os.environ |= {"ASAP_RUNS": str(runs_root(arguments.runs_root)), "ASAP_DATA": str(data_root(arguments.data_root))}
    if arguments.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        device = machine.choose_device("auto")
        if device.type == "cpu" and not (arguments.cpu and arguments.quick):
            raise UserError("there is no CUDA device here; `make bench` measures a CPU, and --cpu --quick tries this on one")
        machine.set_up(device)
        name = f"{torch.cuda.get_device_name(device)} {(git_commit() or '')[:7]}" if device.type == "cuda" else "cpu quick"
        path = runs_root() / "benchmarks" / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json")
        record = Record(path)
        if arguments.step:
            STEPS[arguments.step][0](record, device, arguments.quick)
            return 0
        if not record.get("machine"):
            record.put(machine.describe(device), "machine")
            record.put(time.strftime("%Y-%m-%d"), "date")
            for key in ("gradients", "correctness", "search", "evaluation"):
                record.put({"variants": {}} if key == "search" else {}, key)
        own = [sys.executable, __file__, *(argv if argv is not None else sys.argv[1:])]
        for step, (_, seconds) in STEPS.items():
            until, status = min(end, time.monotonic() + seconds), FAILED
            while status == FAILED and time.monotonic() < until:
                status = limited([*own, "--step", step], until - time.monotonic())
            if status is None:
                Record(path).put(f"over its limit of {seconds} s", "failed", step)
        work(arguments, end)
        print(path, archive(runs_root(), since), sep="\n")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

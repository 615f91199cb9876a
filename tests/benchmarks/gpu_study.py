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
import traceback
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
UNENDED = "did not end"  # what stands of a variant while it runs, and stays where its process crashed or reached its limit


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
        self._write()

    def take_back(self, *names: str) -> None:
        """Forget that these failed."""
        failed = self.content.pop("failed", {})
        if left := {name: said for name, said in failed.items() if name not in names}:
            self.content["failed"] = left
        if failed:
            self._write()

    def _write(self) -> None:
        write_atomically(self.path, (json.dumps(self.content, indent=1, ensure_ascii=False) + "\n").encode())

    def attempt(self, call: Callable[[], Any], *keys: str) -> None:
        """Put what a call returns, unless it is there or has failed before; where it fails, its line, and the process ends."""
        name = ", ".join(keys)
        if self.get(*keys) or name in self.get("failed"):
            return
        print(name, file=sys.stderr)
        self.put(UNENDED, "failed", name)
        try:
            found = call()
        except Exception as error:
            traceback.print_exc()
            self.put(f"{type(error).__name__}: {' '.join(str(error).split())[-300:]}", "failed", name)
            sys.exit(FAILED)
        self.put(found, *keys)
        self.take_back(name)


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
    """A search at paper scale, or what is left of a study, until the minutes are over; it needs some to begin and to stop."""
    minutes = (end - time.monotonic()) / 60
    if minutes < 0.7:
        return
    scale = ["--scale", "tiny", "--dataset", "digits"] if arguments.quick else ["--scale", "paper", "--dataset", "cifar10"]
    command = ["search", "--method", "asap", "--seed", "0", "--study", "main", *scale]
    if arguments.study:
        command = ["study", arguments.study, "--jobs", str(arguments.jobs)]
    limited([sys.executable, "-m", "asap.cli", *command, "--minutes", f"{minutes - 0.6:.2f}"], 60 * minutes)


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
        commit = git_commit().partition("+")
        name = f"{torch.cuda.get_device_name(device)} {commit[0][:7]} {commit[2]}" if device.type == "cuda" else "cpu quick"
        path = runs_root() / "benchmarks" / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json")
        record = Record(path)
        if arguments.step:
            try:
                STEPS[arguments.step][0](record, device, arguments.quick)
            except SystemExit as stop:
                os._exit(int(stop.code or 0))  # at once: after an error CUDA may crash where objects are freed
            return 0
        if not record.get("machine"):
            record.put(machine.describe(device), "machine")
            record.put(time.strftime("%Y-%m-%d"), "date")
            for key in ("gradients", "correctness", "search", "evaluation"):
                record.put({"variants": {}} if key == "search" else {}, key)
        own = [sys.executable, __file__, *(argv if argv is not None else sys.argv[1:])]
        for step, (_, seconds) in STEPS.items():
            until, status, before = min(end, time.monotonic() + seconds), FAILED, None
            while status not in (0, None) and time.monotonic() < until and before != Record(path).content:
                before = Record(path).content  # a process that ends without a new line would end so again
                status = limited([*own, "--step", step], until - time.monotonic())
            record = Record(path)
            if status == 0:
                record.take_back(step)
            elif status is None and until == end:  # the minutes are over: what they cut short is tried again
                record.take_back(*(name for name in record.get("failed") if name not in (before or {}).get("failed", {})))
            elif before is not None:
                record.put(f"over its limit of {seconds} s" if status is None else f"ended with status {status}", "failed", step)
        work(arguments, end)
        print(path, archive(runs_root(), since), sep="\n")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

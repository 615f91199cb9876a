"""Run the torture: `python -m torture`, with `tests` on the path. Exit status: 1 where there is a fault, else 0."""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

BEGAN = time.monotonic()
os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}  # before torch is imported: a child of several threads would hang

import importlib.readers
import plistlib

import numpy as np
import sklearn.datasets
import torchvision.datasets
import yaml
from PIL import Image

import asap.report.cells
import asap.score.surrogate
import asap.search.loop
import asap.theory.tables
import asap.train.evaluate

from . import damage, inputs, kills

WARM = (importlib.readers, plistlib, sklearn.datasets, torchvision.datasets, yaml, asap)  # what a child without rights could not import

Part = tuple[str, int, Callable[[int, random.Random, Path], Iterator[tuple[str, str]]]]  # name, how many, the cases


def make_images(folder: Path) -> Path:
    """An image folder of two classes of 40 grey images, 8×8."""
    pixels = np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8)
    for i, image in enumerate(pixels):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image // 2 + 100 * (i % 2)).save(path)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of every case; default 0")
    for name, number in (("kills", 100), ("inputs", 200), ("damaged", 50)):
        parser.add_argument(f"--{name}", type=int, default=number, help=f"how many; default {number}")
    parser.add_argument("--verbose", action="store_true", help="a line for every case")
    given = parser.parse_args()
    Image.init()
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="torture") as folder:
        scratch = Path(folder).resolve()
        scratch.chmod(0o755)  # for who has no rights
        images = make_images(scratch / "images")
        halves = (given.kills - given.kills // 2, given.kills // 2)
        lanes: list[list[Part]] = [  # two processes
            [("kills", half, partial(kills.torture, half=i, images=images))] for i, half in enumerate(halves)
        ]
        lanes[0].append(("bad inputs", given.inputs, inputs.torture))
        lanes[1].append(("damaged files", given.damaged, partial(damage.torture, images=images)))
        sys.stdout.flush()
        for i, lane in enumerate(lanes):
            if os.fork() == 0:
                os._exit(_run(lane, scratch / str(i), given.seed, given.verbose))
        ended = [os.wait() for _ in lanes]
        results = [json.loads(line) for path in sorted(scratch.glob("*.jsonl")) for line in path.read_text().splitlines()]
    faults = sum(fault for _, _, fault in results) + sum(status != 0 for _, status in ended)
    for name, number in (("kills", given.kills), ("bad inputs", given.inputs), ("damaged files", given.damaged)):
        done, wrong = (sum(row[i] for row in results if row[0] == name) for i in (1, 2))
        faults += done < number
        print(f"{name:14} {done:4} of {number:4}   faults {wrong}")
    spent = sum(os.times()[:4])
    print(f"seed {given.seed}: {faults or 'no'} faults in {time.monotonic() - BEGAN:.0f} s, {spent:.0f} s of them on a processor")
    return 1 if faults else 0


def _run(lane: list[Part], place: Path, seed: int, verbose: bool) -> int:
    """A process's parts, one after the other; what came of each goes, a line each, to a file beside `place`. Returns an exit status."""
    try:
        for name, number, cases in lane:
            (here := place / name.replace(" ", "-")).mkdir(parents=True)
            done = wrong = 0
            for case, fault in cases(number, random.Random(f"{seed} {name} {place.name}"), here):
                done, wrong = done + 1, wrong + bool(fault)
                if fault or verbose:
                    print(f"{'FAULT' if fault else 'as it should be'}: {name}: {case!r:.100}: {fault:.500}", flush=True)
            with place.with_suffix(".jsonl").open("a") as file:
                print(json.dumps([name, done, wrong]), file=file)
        return 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1


if __name__ == "__main__":
    sys.exit(main())

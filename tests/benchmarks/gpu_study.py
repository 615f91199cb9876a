"""Everything a GPU is needed for, in one command: `make gpu-study`, or

    python tests/benchmarks/gpu_study.py --minutes 8 --data-root data

on a machine with torch, torchvision, pandas and pyarrow, without a network. In order: checks that the GPU computes what
the CPU does, measures the steps, then searches at paper scale as far as the minutes go. The same command again skips
what is recorded and goes on with the search. Records: runs/benchmarks/<device>.json and runs/<study>/.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import statistics
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent)]

import bench
import torch

from asap.errors import UserError
from asap.paper.space import CELL_KINDS, published_cell
from asap.records.parameters import EvaluationParameters, SearchParameters, data_root, make, runs_root
from asap.records.recorder import Follower, write_atomically
from asap.search.loop import _Search, search
from asap.train import device as machine
from asap.train.batches import ImageData, Split
from asap.train.evaluate import _Evaluation
from asap.train.session import OutOfTime

VARIANTS = {
    "float32": {},
    "float32, graphs": {"graphs": True},
    "bf16": {"precision": "bf16"},
    "bf16, graphs": {"precision": "bf16", "graphs": True},
    "bf16, compile": {"precision": "bf16", "compile": True},
}


def noise(images: int, size: int = 32) -> ImageData:
    """Random images in the shape of CIFAR-10."""
    stream = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, size, size, 3), dtype=torch.uint8, generator=stream)
    split = Split(pixels, torch.randint(10, (images,), generator=stream))
    return ImageData("noise", "noise", split, split.take(torch.arange(min(images, 512))), 10, "")


def running_search(device: torch.device, images: int, **given: object) -> _Search:
    """A search at paper scale on random images that records nothing."""
    p = make(SearchParameters, {"scale": "paper", "dataset": "cifar10", "alpha_init": 0.5, **given})
    return _Search(p, noise(images), device, Follower(Path("/nonexistent"), False))


def steps(run: _Search, count: int) -> list[float]:
    """Take whole iterations (w, α, prune); the losses of w."""
    run.method.begin_epoch(10)  # after the grace epochs
    batches = run.train.epoch(machine.random_stream(0, 1))
    held_out = run.validation.epoch(machine.random_stream(0, 2))
    losses = []
    for _ in range(count):
        batch = next(batches)
        losses.append(float(run.weight_step(*batch)[0]))
        run.alpha_step(*batch, *next(held_out))
        run.prune(run.method.to_prune(epoch_ends=False))
    return losses


def correctness(device: torch.device, shape: dict[str, int]) -> dict[str, float | bool]:
    """How far the device is from the CPU, and the graphs from the device: largest differences over five iterations."""
    given = {**shape, "batch": 16}
    images = 2 * 16 * 8
    runs = {"cpu": running_search(torch.device("cpu"), images, **given), "device": running_search(device, images, **given)}
    runs["graphs"] = running_search(device, images, **given, graphs=True)
    runs["again"] = running_search(device, images, **given)
    losses = {name: steps(run, 5) for name, run in runs.items()}
    alpha = {name: torch.cat([run.method.alpha[k].detach().cpu().float().flatten() for k in CELL_KINDS]) for name, run in runs.items()}
    alive = {name: [run.network.alive[k].tolist() for k in CELL_KINDS] for name, run in runs.items()}

    def apart(a: str, b: str) -> dict[str, float]:
        return {
            "first_loss": abs(losses[a][0] - losses[b][0]),
            "loss": max(abs(x - y) for x, y in zip(losses[a], losses[b], strict=True)),
            "alpha": float((alpha[a] - alpha[b]).abs().max()),
        }

    found = {pair: apart(*pair.split(" / ")) for pair in ("cpu / device", "device / graphs", "device / again")}
    return {**found, "same_operations_left": alive["cpu"] == alive["device"] == alive["graphs"]}


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def kernels(device: torch.device, call) -> int | None:
    """How many kernels a call launches."""
    if device.type != "cuda":
        return None
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        call()
        wait(device)
    return sum(event.count for event in profiler.key_averages())


def timed(device: torch.device, call, count: int, warm_up: int = 4) -> float:
    """Median seconds of a call."""
    for _ in range(warm_up):
        call()
    seconds = []
    for _ in range(count):
        wait(device)
        began = time.perf_counter()
        call()
        wait(device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def search_steps(device: torch.device, shape: dict[str, int], count: int, variants: dict[str, dict]) -> dict[str, dict]:
    """Seconds, kernels and peak memory of an iteration (w and α) at full size, of each variant and of DARTS' own modules."""
    found = {}
    for name, given in variants.items():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        run = running_search(device, 4 * shape["batch"], **shape, **given)
        run.method.begin_epoch(10)
        generator = machine.random_stream(0, 1)
        batch = run.train.make(torch.arange(shape["batch"]), generator)
        held_out = run.validation.make(torch.arange(shape["batch"]), generator)

        def iteration(run=run, batch=batch, held_out=held_out) -> None:
            run.weight_step(*batch)
            run.alpha_step(*batch, *held_out)

        found[name] = {
            "seconds": timed(device, iteration, count),
            "kernels": kernels(device, iteration),
            "memory_mb": machine.peak_memory(device),
        }
        print(f"search, {name}: {found[name]['seconds']:.4f} s an iteration", file=sys.stderr)
        del run
    plain = bench.plain_search_step(shape["channels"], shape["layers"], shape["batch"], device)
    found["plain DARTS modules"] = {"seconds": timed(device, plain, count), "kernels": kernels(device, plain)}
    return found


def operations_left(device: torch.device, shape: dict[str, int], count: int, given: dict) -> dict[str, float]:
    """Seconds of an iteration with so many operations left on each edge."""
    found = {}
    for left in (7, 5, 3, 1):
        run = running_search(device, 4 * shape["batch"], **shape, **given)
        kept = bench.left_on_each_edge(left)
        masks = {k: run.network.alive[k].copy() for k in CELL_KINDS}
        for kind, edges in kept.items():
            for e, operations in enumerate(edges):
                masks[kind][e, operations] = False
        if left < 7:
            run.prune(masks)
        run.method.begin_epoch(10)
        generator = machine.random_stream(0, 1)
        batches = [b.make(torch.arange(shape["batch"]), generator) for b in (run.train, run.validation)]

        def iteration(run=run, batches=batches) -> None:
            run.weight_step(*batches[0])
            run.alpha_step(*batches[0], *batches[1])

        found[str(left)] = timed(device, iteration, count)
    return found


def evaluation_steps(device: torch.device, given: dict, count: int, variants: dict[str, dict]) -> dict[str, dict]:
    """Seconds and peak memory of a step of the paper's evaluation, of each variant."""
    found = {}
    for name, changed in variants.items():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        p = make(EvaluationParameters, {"scale": "paper", "dataset": "cifar10", "cell": "ASAP", **given, **changed})
        run = _Evaluation(p, published_cell("ASAP"), noise(2 * p.batch), device, Follower(Path("/nonexistent"), False))
        batch = run.train.make(torch.arange(p.batch), machine.random_stream(0, 1))
        found[name] = {
            "seconds": timed(device, lambda run=run, batch=batch: run.step(*batch), count),
            "memory_mb": machine.peak_memory(device),
        }
        made = timed(device, lambda run=run, p=p: run.train.make(torch.arange(p.batch), machine.random_stream(0, 1)), count)
        found[name]["input_images_per_second"] = p.batch / made
        print(f"evaluation, {name}: {found[name]['seconds']:.4f} s a step", file=sys.stderr)
    return found


def benchmark(device: torch.device, quick: bool) -> dict:
    """Every measurement, as the record keeps them."""
    shape = {"channels": 2, "layers": 3, "batch": 4} if quick else {"channels": 16, "layers": 8, "batch": 96}
    small = {"channels": 2, "layers": 3} if quick else {"channels": 8, "layers": 5}
    variants = {"float32": {}, "bf16": VARIANTS["bf16"]} if quick else VARIANTS
    count = 2 if quick else 20
    best = VARIANTS["float32, graphs"]
    return {
        "machine": machine.describe(device),
        "date": time.strftime("%Y-%m-%d"),
        "correctness": correctness(device, small),
        "search": {**shape, "variants": search_steps(device, shape, count, variants)},
        "operations_left": operations_left(device, shape, count, best),
        "evaluation": evaluation_steps(device, {"channels": 4, "layers": 3, "batch": 4} if quick else {}, count, variants),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="for the search, after the measurements")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data-root", default="")
    parser.add_argument("--runs-root", default="")
    parser.add_argument("--study", default="main")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, to try the script itself; no search at paper scale")
    arguments = parser.parse_args(argv)
    try:
        device = machine.choose_device(arguments.device)
        if device.type == "cpu" and not arguments.quick:
            raise UserError("there is no CUDA device here; `make bench` measures a CPU")
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu-quick"
        path = runs_root(arguments.runs_root) / "benchmarks" / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json")
        if path.is_file():
            print(f"{path} is there already", file=sys.stderr)
        else:
            write_atomically(path, (json.dumps(benchmark(device, arguments.quick), indent=1) + "\n").encode())
        print(path)
        if not arguments.quick:
            p = make(SearchParameters, {"scale": "paper", "dataset": "cifar10", "study": arguments.study, "graphs": True})
            root = str(data_root(arguments.data_root))
            p = dataclasses.replace(p, minutes=arguments.minutes, data_root=root, runs_root=arguments.runs_root, device=str(device))
            print(search(p))
    except OutOfTime as stop:
        print(stop, file=sys.stderr)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

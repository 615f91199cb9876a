"""Measures the steps side by side and records the ratios: `make bench`, or `python tests/benchmarks/bench.py --help`.

Each variant runs in a process of its own, as it would run alone (its allocator's settings included); one step of each
is taken in turn, and medians are compared, so that what else the machine does touches all variants alike. The record is
runs/benchmarks/<machine>.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import re
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

sys.path.insert(0, str(Path(__file__).parent.parent))
import plain

from asap.networks.derived import DerivedNetwork, Size
from asap.networks.supernet import Supernet
from asap.paper.space import ASAP_OPERATIONS, CELL_KINDS, DARTS_OPERATIONS, published_cell
from asap.records.parameters import runs_root
from asap.records.recorder import write_atomically
from asap.search.alpha import frozen
from asap.train import batches as data
from asap.train import device as machine

SHAPES = {"small": (8, 5, 32), "paper": (16, 8, 96)}  # channels, cells, batch


def images_and_labels(batch, device):
    torch.manual_seed(0)
    return torch.randn(batch, 3, 32, 32, device=device), torch.randint(10, (batch,), device=device)


def plain_search_step(channels, layers, batch, device="cpu"):
    """DARTS' own first-order step: eight operations, a module each, NCHW; the α step computes every gradient."""
    x, y = images_and_labels(batch, device)
    network = plain.Network(DARTS_OPERATIONS, channels, layers).to(device)
    alpha = {k: torch.zeros(14, len(DARTS_OPERATIONS), device=device, requires_grad=True) for k in CELL_KINDS}
    sgd = torch.optim.SGD(network.parameters(), 0.025, 0.9, weight_decay=3e-4)
    adam = torch.optim.Adam(alpha.values(), 3e-4, (0.5, 0.999), weight_decay=1e-3)

    def half(optimizer):
        optimizer.zero_grad()
        phi = {k: torch.softmax(a, -1) for k, a in alpha.items()}
        F.cross_entropy(network(x, phi), y).backward()
        if optimizer is sgd:
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5)
        optimizer.step()

    def step():
        half(adam)
        half(sgd)

    return step


def our_search_step(channels, layers, batch, device="cpu", active=None):
    """The supernet's w and α step over the paper's seven operations. active: which of them to compute on each edge."""
    x, y = images_and_labels(batch, device)
    x = x.contiguous(memory_format=torch.channels_last)
    network = Supernet(ASAP_OPERATIONS, channels, layers).to(device).to(memory_format=torch.channels_last)
    alpha = {k: torch.zeros(14, len(ASAP_OPERATIONS), device=device, requires_grad=True) for k in CELL_KINDS}
    sgd = torch.optim.SGD(network.parameters(), 0.025, 0.9, weight_decay=3e-4)
    adam = torch.optim.Adam(alpha.values(), 1e-3, (0.5, 0.999), weight_decay=1e-3)

    def step():
        with frozen(network):
            phi = {k: torch.softmax(a, -1) for k, a in alpha.items()}
            loss = F.cross_entropy(network(x, phi, active), y)
            gradients = [torch.zeros_like(a) for a in alpha.values()]
            if loss.requires_grad:  # it does not where no operation is computed
                gradients = torch.autograd.grad(loss, list(alpha.values()), allow_unused=True, materialize_grads=True)
        for a, gradient in zip(alpha.values(), gradients, strict=True):
            a.grad = gradient
        adam.step()
        sgd.zero_grad()
        phi = {k: torch.softmax(a.detach(), -1) for k, a in alpha.items()}
        F.cross_entropy(network(x, phi, active), y).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5)
        sgd.step()

    return step


def left_on_each_edge(count):
    """`count` of the seven operations on each edge, a different choice from edge to edge, so that kinds are mixed evenly."""
    order = np.random.default_rng(0).permutation(7)
    return {k: [sorted(int(order[(3 * e + i) % 7]) for i in range(count)) for e in range(14)] for k in CELL_KINDS}


def evaluation_step(variant, channels, layers, batch, device="cpu"):
    """A step of the paper's cell as a derived network: `plain` modules in NCHW, or ours."""
    x, y = images_and_labels(batch, device)
    cell = published_cell("ASAP")
    if variant == "plain":
        network = plain.DerivedNetwork(cell, channels, layers).to(device)
        logits = network
    else:
        x = x.contiguous(memory_format=torch.channels_last)
        network = DerivedNetwork(Size(cell, channels, layers)).to(device).to(memory_format=torch.channels_last)

        def logits(x):
            return network(x)[0]

    sgd = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=3e-4, nesterov=True, fused=variant == "ours")

    def step():
        sgd.zero_grad()
        F.cross_entropy(logits(x), y).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5)
        sgd.step()

    return step


BURST = 10  # batches of input a step, so that both variants run warm


def input_step(variant, batch):
    """A burst of batches of augmented images: torchvision's transforms an image at a time, or ours."""
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 255, (2000, 32, 32, 3), dtype=np.uint8)
    if variant == "plain":
        from torchvision import transforms

        transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)),
            ]
        )

        def one():
            order = rng.permutation(2000)[:batch]
            images = torch.stack([transform(raw[i]) for i in order])
            for image in images:  # DARTS' cutout
                y, x = rng.integers(32, size=2)
                image[:, max(0, y - 8) : y + 8, max(0, x - 8) : x + 8] = 0.0
            return images

        return lambda: [one() for _ in range(BURST)]
    split = data.Split(torch.from_numpy(raw), torch.zeros(2000, dtype=torch.int64))
    mean, deviation = torch.tensor([0.49, 0.48, 0.45]), torch.tensor([0.25, 0.24, 0.26])
    batches = data.Batches(split, batch, mean, deviation, torch.device("cpu"), 4, cutout=16)
    generator = torch.Generator().manual_seed(0)
    return lambda: [next(batches.epoch(generator)) for _ in range(BURST)]


VARIANTS = {
    "plain search": plain_search_step,
    "our search": our_search_step,
    **{f"our search, {n} left": (lambda c, ls, b, device, n=n: our_search_step(c, ls, b, device, left_on_each_edge(n))) for n in range(7)},
    "plain evaluation": lambda *shape: evaluation_step("plain", *shape),
    "our evaluation": lambda *shape: evaluation_step("ours", *shape),
    "plain input": lambda batch, device: input_step("plain", batch),
    "our input": lambda batch, device: input_step("ours", batch),
}


def worker(name, shape, device, connection):
    """Build one variant, then take a step for each message and send back its seconds; None ends it, with the peak memory."""
    torch.set_num_threads(1)
    if name.startswith("our") and device == "cpu":
        machine.keep_freed_memory()
    step = VARIANTS[name](*shape, device)
    for _ in range(2):
        step()
    connection.send("ready")
    while connection.recv():
        if device != "cpu":
            torch.cuda.synchronize()
        began = time.perf_counter()
        step()
        if device != "cpu":
            torch.cuda.synchronize()
        connection.send(time.perf_counter() - began)
    connection.send(machine.peak_memory(torch.device(device)))


def side_by_side(names, shape, rounds, device="cpu"):
    """Median seconds of a step and peak memory in MiB of each variant, one step of each in turn."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for name in names:
        here, there = context.Pipe()
        processes.append(context.Process(target=worker, args=(name, shape, device, there), daemon=True))
        processes[-1].start()
        there.close()  # so that a worker that dies ends the measurement with EOFError
        pipes.append(here)
        here.recv()
    seconds = {name: [] for name in names}
    for _ in range(rounds):
        for name, pipe in zip(names, pipes, strict=True):
            pipe.send(True)
            seconds[name].append(pipe.recv())
    found = {}
    for name, pipe, process in zip(names, pipes, processes, strict=True):
        pipe.send(None)
        found[name] = {"seconds": statistics.median(seconds[name]), "memory_mb": pipe.recv()}
        process.join()
    return found


def by_operation(shape, rounds, device="cpu"):
    """Seconds of a step with all edges down to one kind of operation, and with none: the floor."""
    kinds = {name: {k: [[o]] * 14 for k in CELL_KINDS} for o, name in enumerate(ASAP_OPERATIONS)}
    steps = {name: our_search_step(*shape, device, active) for name, active in kinds.items()}
    steps["none"] = our_search_step(*shape, device, {k: [[]] * 14 for k in CELL_KINDS})
    times = {name: [] for name in steps}
    for i in range(rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if i:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write, views and shapes aside."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        ins, outs = tree_leaves((args, kwargs)), [x for x in tree_leaves(out) if isinstance(x, torch.Tensor)]
        storages = {x.untyped_storage().data_ptr() for x in ins if isinstance(x, torch.Tensor)}
        if not outs or any(x.untyped_storage().data_ptr() not in storages for x in outs) or function._schema.is_mutable:
            self.bytes += sum(x.numel() * x.element_size() for x in tensors)
        return out


def gradient_flops(gradient, x, weight, *options, out_shape=None):
    """Of a convolution's gradients: each that is wanted takes as many as the convolution. torch counts those of a depthwise
    weight as of a dense one, C times too many."""
    return sum(options[-1][:2]) * conv_flop_count(x, weight, gradient)


def bounds(step, device="cpu"):
    """What a step computes and moves, what the device can, and the seconds below which it cannot go unless operations are fused.

    flops: multiplications and additions of convolutions and matrix products. bytes: read and written by each operation.
    """
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: gradient_flops}) as flops:
        step()
    with Traffic() as traffic:
        step()

    def best(call):
        call()
        times = []
        for _ in range(7):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        return min(times)

    a, b = torch.randn(1024, 1024, device=device), torch.randn(64 << 18, device=device)
    other = torch.empty_like(b)
    rate, bandwidth = 2 * 1024**3 / best(lambda: a @ a), 2 * b.numel() * 4 / best(lambda: other.copy_(b))
    computing, moving = flops.get_total_flops() / rate, traffic.bytes / bandwidth
    return {
        "flops": flops.get_total_flops(), "bytes": traffic.bytes, "flops_per_second": rate, "bytes_per_second": bandwidth,
        "seconds_computing": computing, "seconds_moving": moving,
    }  # fmt: skip


def run(rounds, sizes, device="cpu"):
    """All measurements, as the record keeps them."""
    torch.set_num_threads(1)
    if device == "cpu":
        machine.keep_freed_memory()
    result = {"machine": machine.describe(torch.device(device)), "date": time.strftime("%Y-%m-%d"), "rounds": rounds, "search": {}}
    for size in sizes:
        channels, layers, batch = SHAPES[size]
        found = side_by_side(["plain search", "our search"], SHAPES[size], max(3, rounds if size == "small" else rounds // 2), device)
        ratio = found["plain search"]["seconds"] / found["our search"]["seconds"]
        result["search"][size] = {"channels": channels, "layers": layers, "batch": batch, "ratio": ratio, **found}
        print(f"search step, {channels} channels, {layers} cells, batch {batch}: {ratio:.2f} × the plain one", file=sys.stderr)
    shape = SHAPES["small"]
    left = side_by_side([f"our search, {n} left" for n in range(7)] + ["our search"], shape, rounds, device)
    result["operations_left"] = {str(n): left[f"our search, {n} left"]["seconds"] for n in range(7)} | {"7": left["our search"]["seconds"]}
    kinds = result["by_operation"] = by_operation(shape, rounds, device)
    # the floor is a network that has no convolutions left in its cells
    floor = result["floor"] = statistics.mean(kinds[name] for name in ("max_pool_3x3", "avg_pool_3x3", "skip_connect"))
    full = result["operations_left"]["7"]
    line = {n: floor + (full - floor) * n / 7 for n in range(8)}
    result["largest_deviation_from_line"] = max(abs(result["operations_left"][str(n)] / line[n] - 1) for n in range(1, 7))
    print(f"step time against operations left: within {result['largest_deviation_from_line']:.0%} of the line", file=sys.stderr)
    result["bounds"] = {"search": bounds(our_search_step(*shape, device), device)}
    found = side_by_side(["plain evaluation", "our evaluation"], (16, 8, 64), rounds, device)
    result["evaluation"] = {"channels": 16, "layers": 8, "batch": 64, **found}
    result["bounds"]["evaluation"] = bounds(evaluation_step("ours", 16, 8, 64, device), device)
    result["evaluation_step_ratio"] = found["plain evaluation"]["seconds"] / found["our evaluation"]["seconds"]
    print(f"evaluation step: {result['evaluation_step_ratio']:.2f} × the plain one", file=sys.stderr)
    found = side_by_side(["plain input", "our input"], (96,), 2 * rounds, "cpu")
    result["input"] = {"batch": 96, **{name: {"images_per_second": BURST * 96 / v["seconds"]} for name, v in found.items()}}
    result["input_ratio"] = found["plain input"]["seconds"] / found["our input"]["seconds"]
    print(f"input: {result['input_ratio']:.0f} × the plain one", file=sys.stderr)
    result["search_step_ratio"] = result["search"][sizes[0]]["ratio"]
    two_batches = 2 * found["our input"]["seconds"] / BURST * shape[2] / 96
    result["input_share_of_step"] = two_batches / result["search"][sizes[0]]["our search"]["seconds"]
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs-root", default="")
    arguments = parser.parse_args()
    result = run(arguments.rounds, arguments.sizes, arguments.device)
    name = result["machine"]["device"] if arguments.device != "cpu" else f"{result['machine']['processor']}-{platform.machine()}"
    path = runs_root(arguments.runs_root) / "benchmarks" / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json")
    write_atomically(path, (json.dumps(result, indent=1) + "\n").encode())
    print(path)


if __name__ == "__main__":
    main()

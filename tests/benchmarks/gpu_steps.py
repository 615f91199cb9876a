"""The steps of gpu_study.py: what a GPU computes against a CPU in float64, and how fast."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import bench
import torch

import asap.search.loop
from asap.networks.cuda import BatchedSupernet, PlainFunctions, fastest_functions, supernet_on
from asap.paper.space import CELL_KINDS, published_cell
from asap.records.parameters import EvaluationParameters, SearchParameters, make
from asap.records.recorder import Follower
from asap.search.loop import _Search
from asap.train import device as machine
from asap.train.batches import ImageData, Split
from asap.train.evaluate import _Evaluation
from asap.train.images import View
from asap.train.measure import measure


class Record(Protocol):
    """What a step asks of a benchmark's file."""

    def get(self, *keys: str) -> Any: ...

    def put(self, value: Any, *keys: str) -> None: ...

    def attempt(self, call: Callable[[], Any], *keys: str) -> None: ...


#: The forms of the supernet: all edges at once with Triton's kernels or with torch's functions, or one edge after another.
FORMS: dict[str, Callable] = {
    "batched": lambda device, batched, *shape: BatchedSupernet(*shape).to(device),
    "torch": lambda device, batched, *shape: _with_torch(BatchedSupernet(*shape).to(device)),
    "edges": lambda device, batched, *shape: supernet_on(device, False, *shape),
}
#: What is checked and measured: the form, and what differs from a search's parameters.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "float32, graphs": ("batched", {}),
    "float32": ("batched", {"graphs": False}),
    "float32, graphs, one edge after another": ("edges", {}),
    "float32, graphs, without Triton": ("torch", {}),
    "bf16, graphs": ("batched", {"precision": "bf16"}),
}
ITERATIONS = 5  # two as they are, one captured, two replayed
SMALL = {"channels": 2, "layers": 3, "batch": 4, "nodes": 2, "size": 8}  # of --quick
EVALUATIONS: dict[str, dict[str, Any]] = {"float32, graphs": {}, "bf16, graphs": {"precision": "bf16"}, "float32": {"graphs": False}}


def _with_torch(network: BatchedSupernet) -> BatchedSupernet:
    network.functions = PlainFunctions
    return network


def noise(images: int, size: int = 32) -> ImageData:
    """Random images in the shape of CIFAR-10."""
    stream = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, size, size, 3), dtype=torch.uint8, generator=stream)
    split = Split(pixels, torch.randint(10, (images,), generator=stream))
    return ImageData("noise", "noise", split, split.take(torch.arange(min(images, 512))), "", "", tuple("0123456789"), View(size, size))


def running_search(device: torch.device, images: int, form: str = "edges", size: int = 32, **given: Any) -> _Search:
    """A search at paper scale on random images that records nothing, after its grace epochs."""
    p = make(SearchParameters, {"scale": "paper", "dataset": "cifar10", "alpha_init": 0.5, **given})
    before, asap.search.loop.supernet_on = asap.search.loop.supernet_on, FORMS[form]
    try:
        run = _Search(p, noise(images, size), device, Follower(Path("/nonexistent"), False))
    finally:
        asap.search.loop.supernet_on = before
    run.clear()
    run.method.begin_epoch(10)
    return run


def batches_of(run: _Search, count: int) -> list[tuple[torch.Tensor, ...]]:
    """So many batches of the training half and of the validation half: images, labels, images, labels."""
    pairs = zip(run.train.epoch(machine.random_stream(0, 1)), run.validation.epoch(machine.random_stream(0, 2)), strict=True)
    return [(*train, *held) for train, held in pairs][:count]


def iteration(run: _Search, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """A w step and an α step as the loop takes them; the loss of w."""
    loss = run.weight_step(*batch[:2])[0].clone()
    run.alpha_step(*batch)
    if not run.masking:
        run.prune(run.method.to_prune(epoch_ends=False))
    return loss


def first_gradients(run: _Search, double: bool = False) -> dict[str, torch.Tensor]:
    """The loss and the gradients of w and α of a search's first iteration, on the CPU in float64. double: computed so, too."""
    batch = batches_of(run, 1)[0]
    if double:
        run.network.double()
        batch = tuple(x.double() if x.is_floating_point() else x for x in batch)
        for alpha in run.method.alpha.values():
            alpha.data = alpha.data.double()
    run.network.train()
    phi = {k: run.method.phi(k).detach() for k in CELL_KINDS}
    with machine.autocast(run.device, run.p.precision):
        logits = run.network(batch[0], phi)
    loss = torch.nn.functional.cross_entropy(logits.double() if double else logits.float(), batch[1])
    weights = torch.autograd.grad(loss, list(run.network.parameters()))
    alphas = torch.autograd.grad(run_loss(run, batch), list(run.method.alpha.values()))
    found = {"loss": [loss.detach()], "w_gradient": weights, "alpha_gradient": alphas}
    return {name: torch.cat([part.flatten() for part in parts]).double().cpu() for name, parts in found.items()}


def run_loss(run: _Search, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    with machine.autocast(run.device, run.p.precision):
        logits = run.network(batch[2], {k: run.method.phi(k) for k in CELL_KINDS})
    return torch.nn.functional.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), batch[3])


def course(run: _Search, form: str, graphs: bool = True) -> tuple[list[float], torch.Tensor, list[Any]]:
    """So many iterations: the losses of w, α at the end, and which operations are alive then."""
    run.network.train()
    losses = [float(iteration(run, batch)) for batch in batches_of(run, ITERATIONS)]
    as_named(run, form, graphs)
    run.delete_masked()
    alpha = torch.cat([run.method.alpha[k].detach().cpu().float().flatten() for k in CELL_KINDS])
    return losses, alpha, [run.network.alive[k].tolist() for k in CELL_KINDS]


def correctness(record: Record, device: torch.device, quick: bool) -> None:
    """Relative errors of a first iteration against float64, and how far five iterations on the device are from the CPU's."""
    small = SMALL if quick else {"channels": 8, "layers": 5, "batch": 16}
    cpu, images = torch.device("cpu"), 16 * small["batch"]
    exact = first_gradients(running_search(cpu, images, **small), double=True)

    def errors(where: torch.device, form: str, **given: Any) -> dict[str, list[float]]:
        run = running_search(where, images, form, **small, **given)
        found = first_gradients(run)
        as_named(run, form, graphs=False)
        return {name: [float((value - exact[name]).norm() / exact[name].norm())] for name, value in found.items()}

    def gradients(precision: str) -> None:
        for name, (form, given) in VARIANTS.items():
            if given.get("precision", "float32") == precision and name != "float32, graphs":  # a first iteration is no replay
                place = "gradients", "after", name.replace(", graphs", "")
                record.attempt(lambda form=form, given=given: errors(device, form, **given), *place)

    record.attempt(lambda: errors(cpu, "edges"), "gradients", "after", "cpu float32")
    gradients("float32")

    def search(where: torch.device, form: str, **given: Any) -> tuple:
        fresh(where)
        return course(running_search(where, images, form, **small, **given), form, given.get("graphs", True))

    def pair(one: tuple, other: tuple) -> dict[str, Any]:
        (losses, alpha, alive), (others, other_alpha, other_alive) = one, other
        between = [abs(a - b) for a, b in zip(losses, others, strict=True)]
        largest = float((alpha - other_alpha).abs().max())
        return {"first_loss": between[0], "loss": max(between), "alpha": largest, "same_operations_left": alive == other_alive}

    eager = {"graphs": False}
    record.attempt(lambda: pair(search(cpu, "edges"), search(device, "batched", **eager)), "correctness", "cpu / device")
    record.attempt(lambda: pair(search(device, "batched", **eager), search(device, "batched")), "correctness", "device / graphs")
    record.attempt(lambda: pair(search(device, "batched"), search(device, "batched")), "correctness", "device / again")
    gradients("bf16")  # last: its kernels are others, and take a minute to compile


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def kernels(device: torch.device, call: Callable[[], Any]) -> int | None:
    """How many kernels a call launches, copies and fills among them; not the host's calls that launch them, which a profile has too.

    None where there is no profile to count in.
    """
    if device.type != "cuda":
        return None
    from torch.profiler import ProfilerActivity, profile

    try:
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            call()
            wait(device)
        events = profiler.key_averages()
    except RuntimeError as error:
        print(f"  no profile: {error}", file=sys.stderr)
        return None
    return sum(event.count for event in events if event.device_type == torch.autograd.DeviceType.CUDA) or None


def timed(device: torch.device, call: Callable[[], Any], count: int) -> float:
    """Median seconds of a call, once warm: a step is captured by its third call."""
    warm_up = 4 if device.type == "cuda" else 1
    seconds = []
    for i in range(warm_up + count):
        wait(device)
        began = time.perf_counter()
        call()
        wait(device)
        if i >= warm_up:
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def measured(device: torch.device, call: Callable[[], Any], count: int) -> dict[str, Any]:
    found = {"seconds": timed(device, call, count), "kernels": kernels(device, call), "memory_mb": machine.peak_memory(device)}
    print(f"  {1000 * found['seconds']:.2f} ms", file=sys.stderr)
    return found


def fresh(device: torch.device) -> None:
    """Forget what an earlier variant took, so that the peak of memory is of the next alone; a search and its graphs are a cycle."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def as_named(run: Any, form: str, graphs: bool = True) -> None:
    """Raise RuntimeError where something else ran than a variant is named after: a fallback is told on standard error alone."""
    if run.device.type == "cuda":
        steps = [run.step] if form == "evaluation" else [run.weight_step, run.alpha_step]
        if form == "batched" and fastest_functions(torch.device("cuda", torch.cuda.current_device())) is PlainFunctions:
            raise RuntimeError("Triton did not run")
        if graphs and any(step.replay is None for step in steps):
            raise RuntimeError("a step was not captured")


def search(record: Record, device: torch.device, quick: bool) -> None:
    """Seconds, kernels and peak memory of an iteration at full size, of a pass over 2,000 images, and of pruned networks."""
    shape = SMALL if quick else {"channels": 16, "layers": 8, "batch": 96}
    count = 1 if quick else 10
    for name, value in shape.items():
        record.put(value, "search", name)

    def times(form: str, given: dict[str, Any], left: int = 7) -> dict[str, Any]:
        fresh(device)
        run = running_search(device, 4 * shape["batch"], form, **shape, **given)
        kept, masks = bench.left_on_each_edge(left), {k: run.network.alive[k].copy() for k in CELL_KINDS}
        for kind, edges in kept.items():
            for row, operations in zip(masks[kind], edges, strict=False):
                row[operations] = False
        run.prune(masks if left < 7 else None)
        run.network.train()
        batch = batches_of(run, 1)[0]
        found = measured(device, lambda: iteration(run, batch), count)
        as_named(run, form, given.get("graphs", True))
        return found

    def validation() -> dict[str, float]:
        run = running_search(device, 40 if quick else 4000, "batched", **shape)
        mixture = run.method.mixture().detached()
        seconds = timed(device, lambda: measure(run.network, lambda x: run.logits(x, mixture), run.validation), 2)
        return {"images": len(run.validation.labels), "seconds": seconds}

    for name, (form, given) in VARIANTS.items():
        record.attempt(lambda form=form, given=given: times(form, given), "search", "variants", name)
    for left in (5, 4, 3, 2, 1):
        record.attempt(lambda left=left: times("batched", {}, left)["seconds"], "operations_left", str(left))
    record.put(record.get("search", "variants", "float32, graphs", "seconds"), "operations_left", "7")
    record.attempt(validation, "validation")


def evaluation(record: Record, device: torch.device, quick: bool) -> None:
    """Seconds and peak memory of a step of the paper's evaluation and of the cpu scale's, and the images that the input makes."""
    count = 1 if quick else 10
    small = {"channels": 4, "layers": 3, "batch": 4} if quick else {}

    def times(scale: str, given: dict[str, Any]) -> dict[str, Any]:
        fresh(device)
        p = make(EvaluationParameters, {"scale": scale, "dataset": "cifar10", "cell": "ASAP", **small, **given})
        run = _Evaluation(p, published_cell("ASAP"), noise(2 * p.batch), device, Follower(Path("/nonexistent"), False))
        run.clear()
        run.begin_epoch()
        stream = machine.random_stream(0, 1)
        batch = next(run.train.epoch(stream))
        found = measured(device, lambda: run.step(*batch), count)
        as_named(run, "evaluation", given.get("graphs", True))
        return found | {"input_images_per_second": 2 * p.batch / timed(device, lambda: list(run.train.epoch(stream)), count)}

    for key, scale in (("evaluation", "paper"), ("evaluation_cpu_scale", "cpu")):
        for name, given in EVALUATIONS.items():
            record.attempt(lambda scale=scale, given=given: times(scale, given), key, name)


#: Each step, and the most seconds that it may take.
STEPS = {"correctness": (correctness, 260), "search": (search, 160), "evaluation": (evaluation, 90)}

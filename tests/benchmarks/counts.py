"""Counts what a step of the search launches and moves on a GPU, without one: `python tests/benchmarks/counts.py` records it.

The search's own step runs on the `meta` device, whose tensors have no memory. A call of torch that is no view counts as one kernel,
one on a list of tensors as one for each 48 of them (as many as a fused optimizer takes), a Triton kernel as one; each moves what it
reads and writes once. Where torch launches more kernels in a call, or a kernel reads again what the cache no longer holds, a GPU
does more than is counted.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent)]

import bench
import torch
from gpu_steps import batches_of, iteration, running_search
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from asap.networks import triton, triton_depthwise
from asap.networks.cuda import BatchedSupernet
from asap.paper.space import CELL_KINDS
from asap.records.parameters import runs_root
from asap.records.recorder import write_atomically
from asap.train import device as machine

LISTED = 48  # tensors that one kernel of a fused optimizer takes
META = torch.device("meta")


def size(tensors: Any) -> int:
    """Bytes of tensors, each once; of an expanded one, what is there."""
    found = {(x.untyped_storage()._cdata, x.storage_offset(), x.shape): x for x in tree_leaves(tensors) if isinstance(x, torch.Tensor)}
    return sum(
        x.element_size() * torch.Size(n for n, stride in zip(x.shape, x.stride(), strict=True) if stride).numel() for x in found.values()
    )


class Counts(TorchDispatchMode):
    """Kernels and bytes, by the name of what launches them."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def add(self, name: str, moved: int, launches: int = 1) -> None:
        self.kernels[name] += launches
        self.bytes[name] += moved

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, inputs = function._schema.name.removeprefix("aten::"), (args, kwargs or {})
        lists = [arg for arg in args if isinstance(arg, list | tuple) and arg and isinstance(arg[0], torch.Tensor)]
        if name.startswith("_fused_"):  # there is none on meta: it reads and writes its tensors
            self.add(name, 2 * size(lists), -(-len(lists[0]) // LISTED))
            return None
        out = function(*args, **(kwargs or {}))
        known = {x.untyped_storage()._cdata for x in tree_leaves(inputs) if isinstance(x, torch.Tensor)}
        made = [x for x in tree_leaves(out) if isinstance(x, torch.Tensor) and x.untyped_storage()._cdata not in known]
        if (made or function._schema.is_mutable) and not name.startswith(("empty", "new_empty")):
            written = made or [x for x, a in zip(args, function._schema.arguments, strict=False) if a.alias_info and a.alias_info.is_write]
            on_device = any(x.device == META for x in tree_leaves((inputs, out)) if isinstance(x, torch.Tensor))
            if on_device:
                self.add(name, size(inputs) + size(written), -(-len(lists[0]) // LISTED) if name.startswith("_foreach") else 1)
        return out


#: The kernels, and the places of the arguments that they write.
KERNELS = {
    "_sums": (6,), "_finish_moments": (1, 2, 3, 4), "_mix": (7,), "_mix_backward": (9,), "_forward": (4,), "_backward": (5, 6),
    "_weight_gradient": (4,),
}  # fmt: skip


class Launch:
    """Stands for a Triton kernel: counts, and does nothing."""

    def __init__(self, counts: Counts, name: str) -> None:
        self.counts, self.name = counts, name

    def __getitem__(self, grid: Any) -> Launch:
        return self

    def __call__(self, *arguments: Any, **named: Any) -> None:
        written = [arguments[i] for i in KERNELS[self.name]]
        read = [x for i, x in enumerate(arguments) if i not in KERNELS[self.name]]
        self.counts.add(f"triton {self.name}", size(read) + size(written))


def counted(left: int = 7, form: str = "batched", **shape: int) -> Counts:
    """A w step and an α step at the paper's scale with so many operations left on an edge."""
    counts, given = Counts(), {"channels": 16, "layers": 8, "batch": 96, **shape}
    with ExitStack() as stack:
        for name in KERNELS:
            stack.enter_context(patch.object(triton if hasattr(triton, name) else triton_depthwise, name, Launch(counts, name)))
        stack.enter_context(patch("torch.utils._foreach_utils._get_foreach_kernels_supported_devices", lambda: ["cuda", "meta"]))
        stack.enter_context(patch("torch.optim.optimizer._get_fused_kernels_supported_devices", lambda: ["meta"]))
        run = running_search(META, 2 * given["batch"], form, **given)
        if isinstance(run.network, BatchedSupernet):
            run.network.functions = triton_depthwise
        for group in run.optimizer.param_groups:
            group["fused"] = True
        run.masking = True  # as with graphs
        kept = bench.left_on_each_edge(left)
        masks = {k: run.network.alive[k].copy() for k in CELL_KINDS}
        for kind, edges in kept.items():
            for row, operations in zip(masks[kind], edges, strict=False):
                row[operations] = False
        if left < 7:
            run.drop(masks)
        run.network.train()
        batch = batches_of(run, 1)[0]
        with counts:
            iteration(run, batch)  # lays the weights out
            counts.kernels.clear()
            counts.bytes.clear()
            iteration(run, batch)
    return counts


def rows() -> dict[str, dict[str, float]]:
    """Kernels and GB of an iteration of the batched supernet with 7, 4 and 1 operations left on an edge, and of one edge after another."""
    found = {f"{left} left": counted(left) for left in (7, 4, 1)} | {"7 left, one edge after another": counted(form="edges")}
    return {name: {"kernels": sum(c.kernels.values()), "gb": round(sum(c.bytes.values()) / 1e9, 1)} for name, c in found.items()}


def main() -> None:
    about = machine.describe(torch.device("cpu")) | {"device": "meta"}
    record = {"machine": about, "date": time.strftime("%Y-%m-%d"), "channels": 16, "layers": 8, "batch": 96, "counts": rows()}
    path = runs_root() / "benchmarks" / "meta.json"
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())
    print(path)


if __name__ == "__main__":
    main()

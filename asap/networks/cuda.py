"""The supernet as a GPU computes it: all edges that leave a source node at once, kind by kind. The same function as `Supernet`.

A GPU waits for launches, not for sums. So the tensors of the edges that leave a source are groups of channels, (B, G·C, H, W), contiguous,
and what leaves a source is at most three `Chain`s, of a few functions each, whatever the number of edges. Weights, BatchNorm's statistics
and the optimizer are those of `Supernet`: a checkpoint of either network is one of the other.
`PlainFunctions` is what the chains are made of, in torch; triton.py has the same functions fused.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import one_line
from ..paper.space import edges
from .operations import DilConv, FactorizedReduce, SepConv, Source
from .supernet import Supernet


class Statistics:
    """The running statistics of G BatchNorms of C channels, laid side by side: `mean` and `variance`, (G·C,). `one`: any of them."""

    def __init__(self, norms: list[nn.BatchNorm2d]) -> None:
        self.one = norms[0]
        self.mean, self.variance = (torch.cat([getattr(norm, name) for norm in norms]) for name in ("running_mean", "running_var"))
        for norm, mean, variance in zip(norms, self.mean.view(len(norms), -1), self.variance.view(len(norms), -1), strict=True):
            norm.running_mean, norm.running_var = mean, variance

    def normalise(self, x: Tensor) -> Tensor:
        """BatchNorm of x (B, G·C, H, W) by torch."""
        return F.batch_norm(x, self.mean, self.variance, None, None, self.one.training, self.one.momentum or 0.0, self.one.eps)


class Entries:
    """Which group goes to which target with which Φ: an entry (group, target, column of Φ) for each term of the sums, by target."""

    def __init__(self, found: list[tuple[int, int, int]], groups: int, targets: int, device: torch.device) -> None:
        self.found, self.groups, self.targets = sorted(found, key=lambda e: (e[1], e[0])), groups, targets
        group, target, _ = torch.tensor(self.found).T
        starts = [F.pad(numbers.bincount(minlength=n).cumsum(0), (1, 0)) for numbers, n in ((target, targets), (group, groups))]
        index = {"groups": group, "targets": target, "order": group.argsort(stable=True), "by_target": starts[0], "by_group": starts[1]}
        #: each entry's group and target; their order by group; where each target's and each group's begin
        self.index = {name: value.contiguous().to(device, torch.int32) for name, value in index.items()}


class Part(NamedTuple):
    """Depthwise convolutions of ReLU(x), or with `norm` of ReLU(BatchNorm(x)), beside one another."""

    x: Tensor  # (B, C, H, W), which all read; with `norm` (B, G·C, H, W), a group for each
    norm: Statistics | None
    weights: list[Tensor]  # (C, 1, k, k), those of side 3 before those of 5
    stride: int
    dilation: int


class PlainFunctions:
    """The functions of a chain in torch. Tensors are (B, G·C, H, W): G groups of C channels."""

    @staticmethod
    def depthwise(parts: list[Part]) -> Tensor:
        """The convolutions of all parts beside one another, (B, G·C, H, W)."""
        outputs = []
        for x, norm, weights, stride, dilation in parts:
            c = len(weights[0])
            groups = F.relu(x if norm is None else norm.normalise(x)).split(c, 1)
            for i, weight in enumerate(weights):
                read, padding = groups[0 if norm is None else i], dilation * (weight.shape[3] // 2)
                outputs.append(F.conv2d(read, weight, None, stride, padding, dilation, c))
        return torch.cat(outputs, 1)

    @staticmethod
    def mix(total: Tensor | None, y: Tensor, norm: Statistics | None, entries: Entries, phi: Tensor) -> Tensor:
        """total (T, B, C, H, W; None: 0) + for each target the sum of its entries' Φ·BatchNorm(y's group), (T, B, C, H, W).

        y: (B, G·C, H, W). phi: (n,), an entry's. Without `norm` there is no BatchNorm.
        """
        y = (y if norm is None else norm.normalise(y)).unflatten(1, (entries.groups, -1))
        places = (entries.index["targets"].long(), entries.index["groups"].long())
        matrix = phi.new_zeros(entries.targets, entries.groups).index_put(places, phi).to(y.dtype)
        mixed = torch.einsum("tg,bgchw->tbchw", matrix, y)
        return mixed if total is None else total + mixed


def pointwise(x: Tensor, weight: Tensor) -> Tensor:
    """1×1 convolutions within groups: x (B, G·C, H, W), weight (G, D, C, 1, 1) → (B, G·D, H, W)."""
    b, _, h, w = x.shape
    return torch.matmul(weight.flatten(2), x.view(b, len(weight), -1, h * w)).view(b, -1, h, w)


def factorized(x: Tensor, weights: list[Tensor]) -> Tensor:
    """G of `FactorizedReduce` but for ReLU and BatchNorm: x (B, C, H, W) of even sides, weights 2·(G, D, C, 1, 1) → (B, G·2D, H/2, W/2)."""
    b, c, h, w = x.shape
    corners = x.view(b, c, h // 2, 2, w // 2, 2).diagonal(0, 3, 5).permute(4, 0, 1, 2, 3).reshape(2, b, 1, c, -1)  # x[:, :, i::2, i::2]
    halves = [torch.matmul(weight.flatten(2), corner) for weight, corner in zip(weights, corners, strict=True)]  # (B, G, D, H·W)
    return torch.cat(halves, 2).view(b, -1, h // 2, w // 2)


class Chain:
    """The operations of a family that leave a source node."""

    def __init__(self, operations: list[Any], found: list[tuple[int, int, int]], targets: int, stride: int, device: torch.device) -> None:
        """operations: by kind, in the order of `FAMILIES`; none stands for the source itself. found: the `Entries` of these groups."""
        self.operations, self.stride = operations, stride
        self.entries = Entries(found, max(1, len(operations)), targets, device)
        self.norm = Statistics([op.norm for op in operations]) if operations else None
        self.twice: list[Any] = [op for op in operations if isinstance(op, SepConv)]
        self.once: list[Any] = [op for op in operations if isinstance(op, DilConv)]
        self.middle = Statistics([op.middle for op in self.twice]) if self.twice else None

    def groups(self, x: Tensor, functions: Any) -> Tensor:
        """What the operations make of the source x (B, C, H, W) before their last BatchNorm: (B, G·C, H, W)."""
        if not self.operations:
            return x
        if isinstance(self.operations[0], FactorizedReduce):
            return factorized(F.relu(x), [torch.stack([op.convs[i].weight for op in self.operations]) for i in (0, 1)])
        if not (self.twice or self.once):
            return torch.cat([op.body(x).contiguous() for op in self.operations], 1)
        parts, last = [], [*(op.pointwise[1] for op in self.twice), *(op.pointwise for op in self.once)]
        if self.twice:
            y = functions.depthwise([Part(x, None, [op.depthwise[0] for op in self.twice], self.stride, 1)])
            y = pointwise(y, torch.stack([op.pointwise[0].weight for op in self.twice]))
            parts.append(Part(y, self.middle, [op.depthwise[1] for op in self.twice], 1, 1))
        if self.once:  # they join the others in their second round
            parts.append(Part(x, None, [op.depthwise for op in self.once], self.stride, 2))
        return pointwise(functions.depthwise(parts), torch.stack([conv.weight for conv in last]))


#: The kinds of operations that are computed together.
FAMILIES = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"), ("skip_connect",), ("max_pool_3x3", "avg_pool_3x3")


class Plan:
    """The chains that leave each source of a cell, from the operations alive; how many weights each reads, and at which places of Φ."""

    def __init__(self, cell: Any, alive: Any, device: torch.device) -> None:
        self.chains: list[list[Chain]] = [[] for _ in range(1 + cell.nodes)]
        for (j, chains), family in product(enumerate(self.chains), FAMILIES):
            made, found, first = list[nn.Module](), [], max(2, j + 1)  # first: of the nodes that are still open
            kinds = [cell.operations.index(kind) for kind in family if kind in cell.operations]
            for o, (e, (source, target)) in product(kinds, enumerate(edges(cell.nodes))):
                if source == j and alive[e, o]:
                    own = {**cell.pools[j], **cell.edges[e]}.get(cell.operations[o])
                    made += [own] if own is not None and own not in made else []
                    found.append((0 if own is None else made.index(own), target - first, e * len(cell.operations) + o))
            if found:
                chains.append(Chain(made, found, 2 + cell.nodes - first, cell.stride(j), device))
        entries = [chain.entries.found for chains in self.chains for chain in chains]
        self.counts = [len(found) for found in entries]
        self.columns = torch.tensor([column for found in entries for _, _, column in found], dtype=torch.int64, device=device)


@cache
@torch.enable_grad()  # the first call may come from a measurement
def fastest_functions(device: torch.device) -> Any:
    """Triton's functions on a CUDA device where they run, forwards and backwards, which wants a C compiler; else the plain ones."""
    if device.type == "cuda":
        try:
            from . import triton_depthwise as functions

            image, weight, phi = (torch.ones(shape, device=device, requires_grad=True) for shape in ((2, 1, 4, 4), (1, 1, 3, 3), (1,)))
            y = functions.depthwise([Part(image, norm := Statistics([nn.BatchNorm2d(1, affine=False, device=device)]), [weight], 1, 1)])
            functions.mix(None, y, norm, Entries([(0, 0, 0)], 1, 1, device), phi).sum().backward()
            return functions
        except Exception as error:
            print(f"Triton does not run here, and torch takes its place: {one_line(str(error)[-200:])}", file=sys.stderr)
    return PlainFunctions


class BatchedSupernet(Supernet):
    """`Supernet`, computed by chains."""

    functions: Any = None  # what the chains are made of; None: the fastest on the device
    planned: Any = None  # `alive` as it was when the plans were made; None: statistics have moved since

    def _apply(self, *arguments: Any, **named: Any) -> BatchedSupernet:
        self.planned = None
        return super()._apply(*arguments, **named)

    def forward(self, x: Tensor, phi: Mapping[str, Tensor], active: Mapping[str, list[list[int]]] | None = None) -> Tensor:
        """As `Supernet.forward`; an operation that is not active is computed and has the weight 0."""
        if self.planned is not self.alive:
            self.plans, self.planned = [Plan(cell, self.alive[str(cell.kind)], x.device) for cell in self.cells], self.alive
        functions = self.functions or fastest_functions(x.device)
        if active is not None:
            masks = {kind: [[o in row for o in range(len(self.operations))] for row in rows] for kind, rows in active.items()}
            phi = {kind: weights * torch.tensor(masks[kind], device=x.device) for kind, weights in phi.items()}
        s0 = s1 = Source(self.stem(x.contiguous()))
        for cell, plan in zip(self.cells, self.plans, strict=True):
            s0, s1 = s1, Source(self._cell(cell, plan, s0, s1, phi[str(cell.kind)], functions))
        return self.head(s1.x.mean((2, 3)))

    def _cell(self, cell: Any, plan: Plan, s0: Source, s1: Source, phi: Tensor, functions: Any) -> Tensor:
        sources = [_preprocessed(module, s) for module, s in zip(cell.preprocess, (s0, s1), strict=True)]
        weights = iter(phi.flatten().index_select(0, plan.columns).split(plan.counts))
        total = None  # of the nodes that are still open
        for j, chains in enumerate(plan.chains):
            for chain in chains:
                total = functions.mix(total, chain.groups(sources[j], functions), chain.norm, chain.entries, next(weights))
            if j >= 1:
                if total is None:  # so far there is only `none`
                    total = torch.stack((cell.nodes + 1 - j) * [sources[1][:, :, :: cell.stride(1), :: cell.stride(1)] * 0])
                node, total = total.split([1, len(total) - 1])
                sources.append(node.squeeze(0))
        return torch.cat(sources[2:], 1)


def _preprocessed(module: Any, s: Source) -> Tensor:
    if hasattr(module, "convs"):  # a FactorizedReduce
        return module.norm(factorized(s.read("rectified"), [conv.weight[None] for conv in module.convs]))
    return module(s)


def supernet_on(device: torch.device, batched: bool, *shape: Any) -> Supernet:
    """A supernet (arguments of `Supernet`) as a device computes it fastest. batched: whether all operations alive are, at each step."""
    if device.type == "cuda" and batched:
        return BatchedSupernet(*shape).to(device)
    return Supernet(*shape).to(device).to(memory_format=torch.channels_last)

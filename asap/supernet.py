"""The annealable search network (3.1, 4.1): cells of mixed operations (Eq. 2) over shared architecture weights.

The network is told the mixture weights Φ at each call and knows nothing of temperatures or of α. A pruned operation
is deleted: it is neither computed nor optimised. What the edges of a node have in common (ReLU, phases, pools with
their BatchNorm) is computed once per source node; Φ is applied as the weight of an operation's last BatchNorm.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .operations import (
    DilConv,
    FactorizedReduce,
    Operation,
    Pool,
    ReLUConvBN,
    contiguous_gradient,
    dilated_input,
    make_operation,
    unphase,
    weighted_sum,
)
from .space import CELL_KINDS, NODES, edges

POOLS = ("max_pool_3x3", "avg_pool_3x3")


def scaled_norm(x: Tensor, norm: nn.BatchNorm2d, scale: Tensor) -> Tensor:
    """scale · BatchNorm(x), `scale` a scalar tensor, in one pass.

    The weight is made contiguous: torch 2.14.1 returns wrong input gradients for an expanded one in channels_last.
    """
    weight = scale.to(norm.running_mean.dtype).expand(x.shape[1]).contiguous()  # type: ignore[union-attr]
    return F.batch_norm(x, norm.running_mean, norm.running_var, weight, None, norm.training, norm.momentum or 0.0, norm.eps)


class Source:
    """A node as its outgoing edges read it at one stride; each form is computed at most once, and only if read."""

    def __init__(self, x: Tensor, stride: int, pools: nn.ModuleDict) -> None:
        self.x, self.stride, self.pools = x, stride, pools
        self.forms: dict[str, Tensor] = {}

    def read(self, name: str) -> Tensor:
        if name not in self.forms:
            if name == "rectified":
                form = F.relu(self.x)
            elif name == "dilated":
                form = dilated_input(self.read("rectified"), self.stride)
            else:
                form = self.pools[name](self.x)
            self.forms[name] = form
        return self.forms[name]


class SearchCell(nn.Module):
    """One cell of mixed operations. Its inputs are the outputs of the two cells before it."""

    def __init__(
        self, kind: str, operations: tuple[str, ...], nodes: int, before_last: int, last: int, channels: int, reduced: bool
    ) -> None:
        super().__init__()
        self.kind, self.operations, self.nodes = kind, operations, nodes
        self.preprocess = nn.ModuleList(
            [
                FactorizedReduce(before_last, channels, affine=False) if reduced else ReLUConvBN(before_last, channels, affine=False),
                ReLUConvBN(last, channels, affine=False),
            ]
        )
        self.edges = nn.ModuleList()  # per edge: operations that have parameters of their own, by name
        self.pools = nn.ModuleList(nn.ModuleDict() for _ in range(1 + nodes))  # per source node
        for source, _ in edges(nodes):
            edge = nn.ModuleDict()
            for name in operations:
                operation = make_operation(name, channels, self.stride(source), affine=False, pool_norm=True)
                if isinstance(operation, Pool):
                    if name not in self.pools[source]:
                        self.pools[source][name] = operation
                elif any(True for _ in operation.parameters()):
                    edge[name] = operation
            self.edges.append(edge)

    def stride(self, source: int) -> int:
        return 2 if self.kind == "reduce" and source < 2 else 1

    def forward(self, s0: Tensor, s1: Tensor, phi: Tensor, active: list[list[int]]) -> Tensor:
        """s0, s1: (B, ·, H, W) → (B, nodes·C, H, W), or half the sides in a reduction cell.

        phi: (E, O), the mixture weights. active: for each edge the indices of the operations to compute.
        """
        inputs = [self.preprocess[0](s0), self.preprocess[1](s1)]
        sources = [Source(x, self.stride(j), self.pools[j]) for j, x in enumerate(inputs)]  # type: ignore[arg-type]
        outputs: list[Tensor] = []
        of_target: dict[int, list[tuple[int, int]]] = {}
        for e, (source, target) in enumerate(edges(self.nodes)):
            of_target.setdefault(target, []).append((e, source))
        for target in range(2, 2 + self.nodes):
            x = self._node([(e, sources[source]) for e, source in of_target[target]], phi, active)
            outputs.append(x)
            if target < 1 + self.nodes:
                sources.append(Source(x, 1, self.pools[target]))  # type: ignore[arg-type]
        return torch.cat(outputs, 1)

    def _node(self, entering: list[tuple[int, Source]], phi: Tensor, active: list[list[int]]) -> Tensor:
        shared: list[Tensor] = []  # terms that several edges share, with the places of their weights
        places: list[tuple[int, int]] = []
        total: Tensor | None = None  # the sum of all others at stride 1 or 2
        phased: Tensor | None = None  # the sum of those that are in phases
        for e, source in entering:
            edge: nn.ModuleDict = self.edges[e]  # type: ignore[assignment]
            for o in active[e]:
                name = self.operations[o]
                if name in edge:
                    operation: Operation = edge[name]  # type: ignore[assignment]
                    dilated = isinstance(operation, DilConv)
                    x = operation.body(source.read("dilated" if dilated else "rectified"))
                    assert operation.norm is not None
                    x = scaled_norm(x, operation.norm, phi[e, o])
                    if dilated and source.stride == 1:
                        phased = x if phased is None else phased.add_(x)
                    else:
                        total = x if total is None else total.add_(x)
                elif name in POOLS:
                    shared.append(source.read(name))
                    places.append((e, o))
                elif name == "skip_connect":
                    shared.append(source.x)
                    places.append((e, o))
        if phased is not None:
            phased = unphase(phased)
            total = phased if total is None else total.add_(phased)
        if shared:
            weights = torch.stack([phi[e, o] for e, o in places]).to(shared[0].dtype)
            mixed = weighted_sum(weights, shared)
            total = mixed if total is None else total.add_(mixed)
        if total is None:  # every entering operation is `none`
            source = entering[0][1]
            return source.x[:, :, :: source.stride, :: source.stride] * 0.0
        return contiguous_gradient(total)


class Supernet(nn.Module):
    """DARTS' search network: a stem, `layers` cells with reductions at one and two thirds, a linear head.

    channels: of the first cells (16 in the paper); doubled at each reduction. classes, image_channels: of the data set.
    `alive[kind]` is a boolean array (E, O); `prune` takes operations out of it and deletes their weights.
    """

    def __init__(
        self, operations: tuple[str, ...], channels: int, layers: int, nodes: int = NODES, classes: int = 10, image_channels: int = 3
    ) -> None:
        super().__init__()
        self.operations, self.nodes = operations, nodes
        self.alive = {kind: np.ones((len(edges(nodes)), len(operations)), dtype=bool) for kind in CELL_KINDS}
        stem = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(image_channels, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem))
        self.cells = nn.ModuleList()
        before_last, last, reduced = stem, stem, False
        for i in range(layers):
            kind = "reduce" if i in (layers // 3, 2 * layers // 3) else "normal"
            channels *= 2 if kind == "reduce" else 1
            self.cells.append(SearchCell(kind, operations, nodes, before_last, last, channels, reduced))
            before_last, last, reduced = last, nodes * channels, kind == "reduce"
        self.head = nn.Linear(last, classes)

    def forward(self, x: Tensor, phi: Mapping[str, Tensor], active: Mapping[str, list[list[int]]] | None = None) -> Tensor:
        """The logits (B, classes) of images x (B, image_channels, H, W).

        phi: for each cell kind the mixture weights (E, O); only those of the operations computed are read.
        active: for each cell kind and edge the operations to compute; by default those alive.
        """
        if active is None:
            active = self.active()
        s0 = s1 = self.stem(x)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1, phi[cell.kind], active[cell.kind])  # type: ignore[index]
        return self.head(s1.mean((2, 3)))

    def active(self) -> dict[str, list[list[int]]]:
        """For each cell kind and edge, the indices of the operations alive."""
        return {kind: [np.flatnonzero(row).tolist() for row in mask] for kind, mask in self.alive.items()}

    def prune(self, pruned: Mapping[str, np.ndarray]) -> list[nn.Parameter]:
        """Delete operations: `pruned[kind]` is a boolean array (E, O). Returns the parameters that went.

        Raises ValueError, and deletes nothing, where an edge would be left without an operation.
        """
        left = {kind: self.alive[kind] & ~np.asarray(pruned[kind], dtype=bool) for kind in CELL_KINDS}
        if not all(mask.any(axis=1).all() for mask in left.values()):
            raise ValueError("a pruning would leave an edge without an operation")
        gone: list[nn.Parameter] = []
        for cell in self.cells:
            kind = str(cell.kind)
            for e, o in np.argwhere(self.alive[kind] & ~left[kind]):
                edge: nn.ModuleDict = cell.edges[int(e)]  # type: ignore[assignment,index]
                name = self.operations[int(o)]
                if name in edge:
                    gone += list(edge.pop(name).parameters())
        self.alive = left
        return gone

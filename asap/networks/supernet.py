"""The annealable search network (3.1, 4.1): cells of mixed operations (Eq. 2) over shared architecture weights.

The network is told the mixture weights Φ at each call and knows nothing of temperatures or of α. A pruned operation
is deleted: it is neither computed nor optimised. What the edges of a node have in common (ReLU, phases, pools with
their BatchNorm) is computed once per source node; Φ is applied as the weight of an operation's last BatchNorm.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ..paper.space import CELL_KINDS, NODES, edges
from .kernels import ContiguousGradient, WeightedSum, batch_norm, unphase
from .operations import Cell, DilConv, Operation, Pool, Source, make_operation, project, readers, source_side


class SearchCell(Cell):
    """One cell of mixed operations. Its inputs are the outputs of the two cells before it."""

    def __init__(
        self, kind: str, operations: tuple[str, ...], nodes: int, before_last: int, last: int, channels: int, reduced: bool, side: int
    ) -> None:
        super().__init__(kind, before_last, last, channels, reduced, affine=False)
        self.operations, self.nodes = operations, nodes
        self.edges = nn.ModuleList()  # per edge: operations that have parameters of their own, by name
        self.pools = nn.ModuleList(nn.ModuleDict() for _ in range(1 + nodes))  # per source node
        for source, _ in edges(nodes):
            edge = nn.ModuleDict()
            for name in operations:
                odd = source_side(kind, source, side) % 2 == 1
                operation = make_operation(name, channels, self.stride(source), affine=False, odd=odd)
                if isinstance(operation, Pool):
                    pools: nn.ModuleDict = self.pools[source]  # type: ignore[assignment]
                    if name not in pools:
                        pools[name] = operation
                elif any(True for _ in operation.parameters()):
                    edge[name] = operation
            self.edges.append(edge)

    def forward(self, s0: Source, s1: Source, phi: Tensor, active: list[list[int]]) -> Tensor:
        """s0, s1: of (B, ·, H, W) → (B, nodes·C, H, W), or half the sides in a reduction cell.

        phi: (E, O), the mixture weights. active: for each edge the indices of the operations to compute.
        """
        sources = self.sources(s0, s1)
        pooled: dict[tuple[int, str], Tensor] = {}
        weights = phi.flatten().unbind()
        for target in range(2, 2 + self.nodes):
            entering = [e for e, (_, t) in enumerate(edges(self.nodes)) if t == target]
            sources.append(Source(self._node(entering, sources, pooled, weights, active)))
        return torch.cat([source.x for source in sources[2:]], 1)

    def _node(
        self,
        entering: list[int],
        sources: list[Source],
        pooled: dict[tuple[int, str], Tensor],
        weights: tuple[Tensor, ...],
        active: list[list[int]],
    ) -> Tensor:
        """The sum of the mixed operations on the edges `entering`, one from each source in order.

        weights: Φ as E·O scalar tensors.
        """
        shared: list[Tensor] = []  # terms that several edges share, and their weights
        shares: list[Tensor] = []
        total: Tensor | None = None  # the sum of all others
        phased: Tensor | None = None  # the sum of those that are in phases
        for j, (e, source) in enumerate(zip(entering, sources, strict=True)):
            edge: nn.ModuleDict = self.edges[e]  # type: ignore[assignment]
            for o in active[e]:
                name, weight = self.operations[o], weights[e * len(self.operations) + o]
                if name in edge:
                    operation: Operation = edge[name]  # type: ignore[assignment]
                    norm, x = operation.norm, operation.body(source.read(operation.form))
                    assert norm is not None and norm.running_mean is not None
                    x = batch_norm(x, norm, weight.to(norm.running_mean.dtype).expand(x.shape[1]).contiguous(), None)  # Φ · BatchNorm(x)
                    if isinstance(operation, DilConv) and operation.in_phases:
                        phased = x if phased is None else phased.add_(x)
                    else:
                        total = x if total is None else total.add_(x)
                elif name != "none":
                    if name != "skip_connect" and (j, name) not in pooled:
                        pooled[j, name] = self.pools[j][name](source)  # type: ignore[index]
                    shared.append(source.x if name == "skip_connect" else pooled[j, name])
                    shares.append(weight)
        if phased is not None:
            phased = unphase(phased)
            total = phased if total is None else total.add_(phased)
        if shared:
            mixed = WeightedSum.apply(torch.stack(shares).to(shared[0].dtype), *shared)
            total = mixed if total is None else mixed.add_(total)
        if total is None:  # every entering operation is `none`
            x = sources[0].x
            return x[:, :, :: sources[0].stride, :: sources[0].stride] * 0.0
        return ContiguousGradient.apply(total)


class Supernet(nn.Module):
    """DARTS' search network: a stem, `layers` cells with reductions at one and two thirds, a linear head.

    channels: of the first cells (16 in the paper); doubled at each reduction. classes, image_channels, image_size: of the data set;
    images of another side than image_size work where it halves as evenly.
    `alive[kind]` is a boolean array (E, O); `prune` takes operations out of it and deletes their weights.
    """

    def __init__(
        self,
        operations: tuple[str, ...],
        channels: int,
        layers: int,
        nodes: int = NODES,
        classes: int = 10,
        image_channels: int = 3,
        image_size: int = 32,
    ) -> None:
        super().__init__()
        self.operations, self.nodes = operations, nodes
        self.alive = {kind: np.ones((len(edges(nodes)), len(operations)), dtype=bool) for kind in CELL_KINDS}
        stem = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(image_channels, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem))
        self.cells = nn.ModuleList()
        before_last, last, reduced, side = stem, stem, False, image_size
        for i in range(layers):
            kind = "reduce" if i in (layers // 3, 2 * layers // 3) else "normal"
            channels *= 2 if kind == "reduce" else 1
            self.cells.append(SearchCell(kind, operations, nodes, before_last, last, channels, reduced, side))
            before_last, last, reduced = last, nodes * channels, kind == "reduce"
            side = source_side(kind, 2, side)
        self.head = nn.Linear(last, classes)

    def forward(self, x: Tensor, phi: Mapping[str, Tensor], active: Mapping[str, list[list[int]]] | None = None) -> Tensor:
        """The logits (B, classes) of images x (B, image_channels, H, W).

        phi: for each cell kind the mixture weights (E, O); only those of the operations computed are read.
        active: for each cell kind and edge the operations to compute; by default those alive.
        """
        if active is None:
            active = {kind: [np.flatnonzero(row).tolist() for row in mask] for kind, mask in self.alive.items()}
        s0 = s1 = Source(self.stem(x))
        project(s1, readers(self.cells, -1))
        for i, cell in enumerate(self.cells):
            s0, s1 = s1, Source(cell(s0, s1, phi[cell.kind], active[cell.kind]))  # type: ignore[index]
            project(s1, readers(self.cells, i))
        return self.head(s1.x.mean((2, 3)))

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

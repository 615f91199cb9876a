"""A cell as numbers for the surrogate of surrogate.py: is it in NAS-Bench-301's space, what are its features, how large is it.

No feature depends on how the intermediate nodes are numbered, so that one network has one score. Needs no torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache

import numpy as np

from ..errors import UserError
from ..paper.space import ASAP_OPERATIONS, CELL_KINDS, Edge, Genotype, edges

OPERATIONS = ASAP_OPERATIONS  # NAS-Bench-301 has the same seven, and numbers them in the same order
INPUTS, NODES = (0, 1), (2, 3, 4, 5)
EDGES = edges(len(NODES))
CELL_WORDS = {"normal": "normal cell", "reduce": "reduction cell"}


class SurrogateError(UserError):
    """A cell that the surrogate cannot judge, or a file of published evaluations that is missing or damaged."""


def check(genotype: Genotype, name: str) -> None:
    """Refuse a cell outside NAS-Bench-301's space: seven operations, four nodes of two edges from different nodes, all concatenated.

    Raises `SurrogateError`, one line that begins with the name.
    """
    for kind in CELL_KINDS:
        cell, where = genotype.cell(kind), f"{name} cannot be scored: its {CELL_WORDS[kind]}"
        foreign = sorted({edge.operation for edge in cell} - set(OPERATIONS))
        if foreign:
            raise SurrogateError(f"{where} has {foreign[0]}, which is none of NAS-Bench-301's operations ({', '.join(OPERATIONS)})")
        if (last := max(edge.target for edge in cell)) != NODES[-1]:
            raise SurrogateError(f"{where} has {last - 1} intermediate nodes, and NAS-Bench-301's cells have {len(NODES)}")
        for node in NODES:
            sources = sorted(edge.source for edge in cell if edge.target == node)
            if len(sources) != 2 or sources[0] == sources[1]:
                raise SurrogateError(f"{where} has edges from nodes {sources} to node {node}, and NAS-Bench-301's two from different nodes")
        if sorted(genotype.concat(kind)) != list(NODES):
            raise SurrogateError(f"{where} concatenates nodes {list(genotype.concat(kind))}, and NAS-Bench-301's cells all four")


@cache
def labellings(cell: frozenset[Edge]) -> tuple[tuple[Edge, ...], ...]:
    """Every numbering of the intermediate nodes that makes the same network, each with its edges in order; 1 to 24, sorted."""
    found = set()
    for order in itertools.permutations(NODES):
        new = dict(zip((*INPUTS, *NODES), (*INPUTS, *order), strict=True))
        moved = [Edge(e.operation, new[e.source], new[e.target]) for e in cell]
        if all(e.source < e.target for e in moved):
            found.add(tuple(sorted(moved, key=lambda e: (e.target, e.source))))
    return tuple(sorted(found, key=str))


def identity(genotype: Genotype) -> tuple[tuple[Edge, ...], ...]:
    """The same for two genotypes of the same network."""
    return tuple(labellings(frozenset(genotype.cell(kind)))[0] for kind in CELL_KINDS)


def feature_names() -> list[str]:
    """What the entries of `features` are, in order."""
    names = [f"{operation} on {source}→{target}" for source, target in EDGES for operation in OPERATIONS]
    names += [f"number of {operation}" for operation in OPERATIONS]
    names += [f"{operation} from {place}" for place in ("input 0", "input 1", "a node") for operation in OPERATIONS]
    names += ["depth", "mean depth", "depth in convolutions", "mean depth in convolutions"]
    names += ["edges from inputs", "edges from input 0", "nodes that no node reads", "paths from input 0", "paths from input 1"]
    return [f"{kind}: {name}" for kind in CELL_KINDS for name in names]


@cache
def _cell_features(cell: frozenset[Edge]) -> np.ndarray:
    """Of one cell, the features of `feature_names` for its kind. Every one is the same however its nodes are numbered."""
    one_hot = np.zeros((len(EDGES), len(OPERATIONS)))
    numberings = labellings(cell)
    for edge in itertools.chain.from_iterable(numberings):
        one_hot[EDGES.index((edge.source, edge.target)), OPERATIONS.index(edge.operation)] += 1 / len(numberings)
    by_place = np.zeros((3, len(OPERATIONS)))
    depth, convolutions, paths = {0: 0, 1: 0}, {0: 0, 1: 0}, {0: np.array([1, 0]), 1: np.array([0, 1])}
    for node in NODES:
        entering = [edge for edge in cell if edge.target == node]
        for edge in entering:
            by_place[min(edge.source, 2), OPERATIONS.index(edge.operation)] += 1
        depth[node] = 1 + max(depth[e.source] for e in entering)
        convolutions[node] = max(convolutions[e.source] + ("conv" in e.operation) for e in entering)
        paths[node] = sum((paths[e.source] for e in entering), np.zeros(2, int))
    deep, convolved = ([values[node] for node in NODES] for values in (depth, convolutions))
    unread = len(NODES) - len({edge.source for edge in cell} - set(INPUTS))
    graph = [max(deep), np.mean(deep), max(convolved), np.mean(convolved), by_place[:2].sum(), by_place[0].sum(), unread]
    return np.concatenate([one_hot.ravel(), by_place.sum(0), by_place.ravel(), graph, sum(paths[node] for node in NODES)])


def features(genotype: Genotype) -> np.ndarray:
    """(270,): of the normal, then of the reduction cell, which operation is on which edge (averaged over the numberings of its
    nodes), how often each occurs, in all and by where its edge comes from, and how deep and wide the graph is."""
    return np.concatenate([_cell_features(frozenset(genotype.cell(kind))) for kind in CELL_KINDS])


def parameters(genotype: Genotype, channels: int = 36, layers: int = 20) -> int:
    """Parameters of the CIFAR-10 network of these cells, without its auxiliary head: network.Size's, by arithmetic alone."""
    before_last = last = 3 * channels
    total = 27 * last + 2 * last
    for i in range(layers):
        kind = "reduce" if i in (layers // 3, 2 * layers // 3) else "normal"
        channels *= 2 if kind == "reduce" else 1
        total += (before_last + last) * channels + 4 * channels  # both inputs' 1×1 convolutions, and their BatchNorms
        for edge in genotype.cell(kind):
            name = edge.operation
            if "conv" in name:
                total += (2 if name.startswith("sep") else 1) * (channels * int(name[-1]) ** 2 + channels**2 + 2 * channels)
            elif name == "skip_connect" and kind == "reduce" and edge.source < 2:
                total += channels**2 + 2 * channels
        before_last, last = last, len(genotype.concat(kind)) * channels
    return total + 10 * last + 10


def skip_counts(cells: Sequence[Genotype]) -> dict[str, np.ndarray]:
    """The skip connections of each cell (n,), in the normal cell, in the reduction cell, and in both."""
    counts = {CELL_WORDS[k]: np.array([sum(e.operation == "skip_connect" for e in c.cell(k)) for c in cells]) for k in CELL_KINDS}
    return {**counts, "both": np.sum(list(counts.values()), axis=0)}

"""The search space: a cell as a graph of nodes, edges and candidate operations, and the genotype that a search ends in.

A cell (paper 3.1) has two input nodes, 0 and 1 (the outputs of the two cells before it), and intermediate nodes
2, 3, …, each the sum of one operation's output for every edge that enters it (Eq. 1). The cell's output is the
concatenation of its intermediate nodes.

This module knows no torch, so that the book can draw cells where torch is absent.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..errors import UserError, read_json

CELL_KINDS = ("normal", "reduce")
NODES = 4  # intermediate nodes of a searched cell
MOST_NODES = 32  # of any cell

#: The paper's seven candidate operations (3.1), in DARTS' order.
ASAP_OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
#: DARTS' eight: the same with `none`, the zero operation.
DARTS_OPERATIONS = ("none", *ASAP_OPERATIONS)
#: Every operation that a published cell of Tables 1 and 2 needs.
ALL_OPERATIONS = (*DARTS_OPERATIONS, "sep_conv_7x7", "conv_7x1_1x7", "sep_conv_3x3_once")

#: How 14 one-operation edges become a genotype (the paper gives no rule; see the audit page).
EDGE_RULES = ("phi_before_last_pruning", "alpha", "all_edges")


class GenotypeError(UserError):
    """A genotype that does not describe a cell of the search space."""


def edges(nodes: int = NODES) -> tuple[tuple[int, int], ...]:
    """The edges (source, target) of a fully connected cell, ordered by target, then by source: 14 for four nodes."""
    return tuple((source, target) for target in range(2, 2 + nodes) for source in range(target))


@dataclass(frozen=True)
class Edge:
    """One operation on one edge of a derived cell."""

    operation: str
    source: int
    target: int


@dataclass(frozen=True)
class Genotype:
    """A normal and a reduction cell, each a list of edges and of the nodes that its output concatenates.

    Raises `GenotypeError`, which names the edge at fault, where an operation is unknown, an edge does not run forwards,
    an intermediate node has no input, or a concatenated node does not exist.
    """

    normal: tuple[Edge, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Edge, ...]
    reduce_concat: tuple[int, ...]

    def __post_init__(self) -> None:
        for kind in CELL_KINDS:
            cell, concat = self.cell(kind), self.concat(kind)
            if not cell or not concat:
                raise GenotypeError(f"the {kind} cell of a genotype needs edges and nodes to concatenate")
            for edge in cell:
                where = f"edge {edge.source} → {edge.target} of the {kind} cell"
                if edge.operation not in ALL_OPERATIONS:
                    raise GenotypeError(f"unknown operation {edge.operation!r} on {where}; known: {', '.join(ALL_OPERATIONS)}")
                if not 0 <= edge.source < edge.target or edge.target < 2:
                    raise GenotypeError(f"{where} does not run from an earlier to an intermediate node")
                if edge.target >= 2 + MOST_NODES:
                    raise GenotypeError(f"{where} makes more than {MOST_NODES} intermediate nodes")
            last = max(edge.target for edge in cell)
            missing = sorted(set(range(2, last + 1)) - {edge.target for edge in cell})
            if missing:
                raise GenotypeError(f"node {missing[0]} of the {kind} cell has no input")
            if any(not 2 <= node <= last for node in concat) or len(set(concat)) != len(concat):
                raise GenotypeError(f"the {kind} cell concatenates nodes {list(concat)}, but has nodes 2 to {last}")

    def cell(self, kind: str) -> tuple[Edge, ...]:
        """The edges of the cell of this kind, `normal` or `reduce`."""
        return self.normal if kind == "normal" else self.reduce

    @property
    def placed(self) -> frozenset[tuple[str, Edge]]:
        """The edges of both cells, each with its cell's kind."""
        return frozenset((kind, edge) for kind in CELL_KINDS for edge in self.cell(kind))

    def concat(self, kind: str) -> tuple[int, ...]:
        """The nodes that make the output of the cell of this kind."""
        return self.normal_concat if kind == "normal" else self.reduce_concat

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it: edges as [operation, source, target]."""
        return {f.name: [list(astuple(e)) if isinstance(e, Edge) else e for e in getattr(self, f.name)] for f in fields(self)}

    @property
    def idle(self) -> bool:
        """Whether one of its cells has an input or a node that nothing reads."""
        return any(
            set(range(1 + max(e.target for e in self.cell(kind)))) - {e.source for e in self.cell(kind)} - set(self.concat(kind))
            for kind in CELL_KINDS
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Genotype:
        """The inverse of `to_dict`; other keys (a source, a note) are left alone. Raises `GenotypeError`."""
        found: dict[str, Any] = {}
        for kind in CELL_KINDS:
            for name in (kind, f"{kind}_concat"):
                if not isinstance(data, Mapping) or not isinstance(data.get(name), list | tuple):
                    raise GenotypeError(f"not a genotype: it has no list {name!r}")
            for edge in data[kind]:
                if not isinstance(edge, list | tuple) or [type(part) for part in edge] != [str, int, int]:
                    raise GenotypeError(f"not a genotype: an edge of the {kind} cell is {edge!r:.60}, not [operation, source, target]")
            if not all(type(node) is int for node in data[f"{kind}_concat"]):
                raise GenotypeError(f"not a genotype: the nodes of {kind}_concat must be whole numbers")
            found[kind] = tuple(Edge(*edge) for edge in data[kind])
            found[f"{kind}_concat"] = tuple(data[f"{kind}_concat"])
        return cls(**found)

    @classmethod
    def from_darts(cls, text: str) -> Genotype:
        """DARTS' text, `Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=range(2, 6), …)`, with two edges for each node in turn.

        It is parsed, never evaluated. Raises `GenotypeError`.
        """
        try:
            call = ast.parse(text.strip(), mode="eval").body
            if not isinstance(call, ast.Call) or call.args:
                raise ValueError("Genotype(normal=…, normal_concat=…, reduce=…, reduce_concat=…) is wanted")
            data: dict[str, Any] = {str(word.arg): _literal(word.value) for word in call.keywords}
            for kind in CELL_KINDS:
                pairs = data[kind]
                if len(pairs) % 2:
                    raise ValueError(f"the {kind} cell has {len(pairs)} edges, not two for each node")
                data[kind] = [(operation, source, 2 + i // 2) for i, (operation, source) in enumerate(pairs)]
        except KeyError as error:
            raise GenotypeError(f"not a genotype in DARTS' text: it has no {error}") from None
        except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
            raise GenotypeError(f"not a genotype in DARTS' text: {error or type(error).__name__}") from None
        return cls.from_dict(data)


def _literal(node: ast.expr) -> Any:
    """A literal, or `range` of two literals as a list."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range" and not node.keywords:
        return list(range(*(ast.literal_eval(bound) for bound in node.args))[: MOST_NODES + 1])
    return ast.literal_eval(node)


def published_cells() -> dict[str, dict[str, Any]]:
    """The published cells of Tables 1 and 2 by name: `genotype`, `source`, `confidence` and, where there is one, `note`."""
    cells = json.loads(files("asap.paper").joinpath("cells.json").read_text(encoding="utf-8"))
    return {name: {**cell, "genotype": Genotype.from_dict(cell)} for name, cell in cells.items()}


def published_cell(name: str) -> Genotype:
    """A published cell by its name, in any case. Raises `GenotypeError` with the known names."""
    cells = published_cells()
    for known, cell in cells.items():
        if known.lower() == name.lower():
            genotype: Genotype = cell["genotype"]
            return genotype
    raise GenotypeError(f"unknown cell {name!r}; known: {', '.join(cells)}, random-SEED, and the path of a file")


def cell_by_name(name: str) -> Genotype:
    """A cell by what `--cell` takes. Raises `GenotypeError`.

    The name of a published one; `random-SEED`, which `random_genotype` draws with that seed; DARTS' text; or the path
    (with a slash, or ending in .json) of a JSON file as `Genotype.to_dict` has it, or of a folder that holds genotype.json.
    """
    kind, _, seed = name.partition("-")
    if kind.lower() == "random" and seed.isdecimal():
        return random_genotype(np.random.default_rng(int(seed)))
    if _is_text(name):
        return Genotype.from_darts(name)
    if not _is_path(name):
        return published_cell(name)
    path = Path(name) / "genotype.json" if Path(name).is_dir() else Path(name)
    try:
        return Genotype.from_dict(read_json(path))
    except FileNotFoundError:
        raise GenotypeError(f"there is no file {path}") from None
    except ValueError as error:  # a GenotypeError too
        raise GenotypeError(f"{path}: {error}") from None


def cell_label(name: str) -> str:
    """A name, fit for a folder's, of what `cell_by_name` takes: that of the file or the folder, or a digest of DARTS' text."""
    if _is_text(name):
        return f"genotype-{hashlib.sha256(''.join(name.split()).encode()).hexdigest()[:8]}"
    if not _is_path(name):
        return name
    path = PurePath(name.replace("\\", "/"))
    return re.sub(r"[^\w.+-]", "_", path.parent.name if path.name == "genotype.json" else path.name.removesuffix(".json")) + ".json"


def _is_text(name: str) -> bool:
    return name.lstrip().startswith("Genotype(")


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name or name.endswith(".json")


def derive(
    choice: Mapping[str, Sequence[str]],
    score: Mapping[str, np.ndarray],
    nodes: int = NODES,
    inputs: int | None = 2,
) -> Genotype:
    """The genotype of a search: one operation an edge, and per node the `inputs` edges with the best scores.

    choice: for each cell kind, the operation chosen on each edge, in the order of `edges(nodes)`.
    score: for each cell kind, an array (edges,) by which a node's edges are ranked; equal scores keep the earlier edge.
    inputs: how many edges a node keeps, 2 in DARTS and in the paper's Figures 4 and 5; None keeps all.
    """
    found: dict[str, Any] = {}
    for kind in CELL_KINDS:
        kept: list[Edge] = []
        for node in range(2, 2 + nodes):
            entering = [(i, s, t) for i, (s, t) in enumerate(edges(nodes)) if t == node]
            ranked = sorted(entering, key=lambda item: (-float(score[kind][item[0]]), item[0]))[:inputs]
            kept += [Edge(choice[kind][i], s, t) for i, s, t in sorted(ranked)]
        found[kind] = tuple(kept)
        found[f"{kind}_concat"] = tuple(range(2, 2 + nodes))
    return Genotype(**found)


def genotype_by_rule(
    rule: str,
    operations: Sequence[str],
    phi: Mapping[str, np.ndarray],
    alpha: Mapping[str, np.ndarray],
    before: Mapping[str, np.ndarray] | None = None,
    nodes: int = NODES,
) -> Genotype:
    """The genotype of a mixture: on each edge the operation of the largest Φ but `none`, the edges by one of `EDGE_RULES`.

    phi, alpha: for each cell kind, (E, O). before: for each cell kind, (E,), Φ of the surviving operation just before the
    edge was last pruned, nan where it is not decided; an edge without it is ranked by its largest Φ.
    """
    choice, score = {}, {}
    for kind in CELL_KINDS:
        weights = phi[kind].copy()
        if "none" in operations:
            weights[:, list(operations).index("none")] = -1.0
        best, largest = weights.argmax(1), weights.max(1)
        choice[kind] = [operations[o] for o in best]
        if rule == "alpha":
            score[kind] = alpha[kind][np.arange(len(best)), best]
        else:
            score[kind] = largest if before is None else np.where(np.isnan(before[kind]), largest, before[kind])
    return derive(choice, score, nodes, inputs=None if rule == "all_edges" else 2)


def random_genotype(rng: np.random.Generator, nodes: int = NODES) -> Genotype:
    """A cell drawn uniformly: per node two different inputs, and on each one of the paper's operations."""
    count = len(edges(nodes))
    choice = {kind: [ASAP_OPERATIONS[i] for i in rng.integers(len(ASAP_OPERATIONS), size=count)] for kind in CELL_KINDS}
    return derive(choice, {kind: rng.random(count) for kind in CELL_KINDS}, nodes)

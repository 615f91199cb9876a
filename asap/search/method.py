"""The protocol between the search loop and a method: with what weights are the operations mixed now (`mixture`), how is α updated
from this batch (`update`), which operations go (`to_prune`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ..networks.supernet import Supernet
from ..paper.space import ASAP_OPERATIONS, CELL_KINDS, Genotype, edges
from ..records.parameters import SearchParameters
from ..train.checkpoint import load_optimizer

Batch = tuple[Tensor, Tensor]  # images (B, C, H, W), labels (B,)
Masks = dict[str, np.ndarray]  # for each cell kind, booleans (E, O)


@dataclass(frozen=True)
class Mixture:
    """For each cell kind the weights (E, O), and the operations to compute on each edge (None: all that are alive)."""

    phi: Mapping[str, Tensor]
    active: Mapping[str, list[list[int]]] | None = None

    def detached(self) -> Mixture:
        return Mixture({kind: phi.detach() for kind, phi in self.phi.items()}, self.active)


def one_cell(genotype: Genotype, operations: tuple[str, ...], nodes: int, device: torch.device) -> Mixture:
    """The mixture that is one cell: its operations alone, each with the weight 1."""
    graph = edges(nodes)
    phi, active = {}, {}
    for kind in CELL_KINDS:
        phi[kind] = torch.ones(len(graph), len(operations), device=device)
        active[kind] = [[operations.index(e.operation) for e in genotype.cell(kind) if (e.source, e.target) == edge] for edge in graph]
    return Mixture(phi, active)


@dataclass(frozen=True)
class Step:
    """What the loop gives a method for one update of α.

    logits: the network's logits (B, classes) for images under a mixture, with the precision that the run asks for.
    loss: the mean cross-entropy of those on a batch.
    """

    network: Supernet
    optimizer: torch.optim.SGD  # of w: its rate and momentum
    logits: Callable[[Tensor, Mixture], Tensor]
    loss: Callable[[Batch, Mixture], Tensor]
    train: Batch  # the batch that w has just been updated with
    validation: Batch


class Method(Protocol):
    """A search method. Its candidates are `operations`; E edges, O operations."""

    operations: tuple[str, ...]
    graphable: bool  # whether `update` is the same sequence of device operations each time, without a look at a value
    prunes: bool  # whether it means to end with one operation an edge
    steady: bool  # whether between two prunings of an epoch `mixture` has the same operations and constants

    def __init__(self, parameters: SearchParameters, device: torch.device) -> None: ...

    def begin_epoch(self, epoch: int) -> None:
        """Told before each epoch, from 1."""

    def learns(self) -> bool:
        """Whether α is updated in this epoch."""

    def mixture(self) -> Mixture:
        """With what weights the operations are mixed now; a method that samples cells gives a fresh one at each call."""

    def update(self, step: Step) -> None:
        """Update α from one batch."""

    def to_prune(self, epoch_ends: bool) -> Masks | None:
        """Which operations go now, asked after every update and at the end of each epoch; None for none."""

    def pruned(self, masks: Masks) -> None:
        """Told when they are gone; never, where `prunes` is false."""

    def status(self) -> dict[str, float]:
        """What epochs.csv keeps of the method: `temperature` and `threshold`."""

    def snapshot(self) -> dict[str, dict[str, np.ndarray]]:
        """For each cell kind, what architecture.parquet keeps: arrays (E, O) by column, `alpha` and `phi` among them."""

    def genotype(self, rule: str) -> Genotype:
        """The cell that the search has come to. rule: how its edges are chosen, one of `space.EDGE_RULES`; a method that
        samples cells has nothing to choose."""

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a resumed search needs, of this epoch too."""

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave, after `begin_epoch` where that was within an epoch."""


@runtime_checkable
class Masking(Protocol):
    """A method that can prune by masks alone, so that within an epoch nobody waits for the device to say what goes.

    An operation whose Φ is 0 adds exactly 0, and its weights' gradients are exactly 0: it may be deleted later.
    """

    alive: dict[str, Tensor]  # for each cell kind, booleans (E, O)

    def mask(self) -> None:
        """Prune in `alive` what is to go after an update, without a look at a value."""


class Resumable:
    """A method whose state is its `tensors` and that of an optimizer: a resumed search fills the former in place."""

    optimizer: torch.optim.Optimizer

    def names(self) -> dict[Tensor, str]:
        """How the names of the optimizer's state begin, for each parameter."""
        return {}

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self.tensors().items():
                value.copy_(tensors.get(name, value))  # what an epoch resets is absent from older checkpoints of epochs' ends
        if names := self.names():
            load_optimizer(self.optimizer, names, tensors)


class Sampler(Resumable):
    """What methods have in common that draw cells, one for each step of w, and prune nothing."""

    graphable = steady = prunes = False

    def __init__(self, parameters: SearchParameters, device: torch.device) -> None:
        self.parameters, self.device = parameters, device
        self.operations: tuple[str, ...] = ASAP_OPERATIONS
        self.epoch = 0

    def one(self, cell: Genotype) -> Mixture:
        return one_cell(cell, self.operations, self.parameters.nodes, self.device)

    def to_prune(self, epoch_ends: bool) -> Masks | None:
        return None

    def pruned(self, masks: Masks) -> None:
        raise AssertionError("a method that samples cells prunes nothing")

    def status(self) -> dict[str, float]:
        return {"temperature": float("nan"), "threshold": float("nan")}

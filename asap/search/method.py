"""What the search loop asks of a method: with what weights are the operations mixed now (`mixture`), how is α updated
from this batch (`update`), which operations go (`to_prune`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


class Method(ABC):
    """A search method. Its candidates are `operations`; E edges, O operations. As it stands here, a method prunes nothing."""

    operations: tuple[str, ...] = ASAP_OPERATIONS
    graphable = False  # whether `update` is the same sequence of device operations each time, without a look at a value
    prunes = False  # whether it means to end with one operation an edge
    steady = False  # whether between two prunings of an epoch `mixture` has the same operations and constants
    optimizer: torch.optim.Optimizer  # of α, or of the controller's weights

    def __init__(self, parameters: SearchParameters, device: torch.device) -> None:
        self.parameters, self.device, self.epoch = parameters, device, 0
        self.alive: dict[str, Tensor] = {}  # for each cell kind, booleans (E, O), of a method that can `mask`

    def begin_epoch(self, epoch: int) -> None:
        """Told before each epoch, from 1."""
        self.epoch = epoch

    def learns(self) -> bool:
        """Whether α is updated in this epoch."""
        return True

    @abstractmethod
    def mixture(self) -> Mixture:
        """With what weights the operations are mixed now; a method that samples cells gives a fresh one at each call."""

    @abstractmethod
    def update(self, step: Step) -> None:
        """Update α from one batch."""

    def to_prune(self, epoch_ends: bool) -> Masks | None:
        """Which operations go now, asked after every update and at the end of each epoch; None for none."""
        return None

    def mask(self) -> None:
        """Prune in `alive` what is to go after an update, without a look at a value, so that within an epoch nobody waits for the
        device. An operation whose Φ is 0 adds exactly 0, and its weights' gradients are exactly 0: it may be deleted later."""
        return

    def pruned(self, masks: Masks) -> None:
        """Told when they are gone."""
        return

    def status(self) -> dict[str, float]:
        """What epochs.csv keeps of the method: `temperature` and `threshold`."""
        return {"temperature": float("nan"), "threshold": float("nan")}

    @abstractmethod
    def snapshot(self) -> dict[str, dict[str, np.ndarray]]:
        """For each cell kind, what architecture.parquet keeps: arrays (E, O) by column, `alpha` and `phi` among them."""

    @abstractmethod
    def genotype(self, rule: str) -> Genotype:
        """The cell that the search has come to. rule: how its edges are chosen, one of `space.EDGE_RULES`; a method that
        samples cells has nothing to choose."""

    def names(self) -> dict[Tensor, str]:
        """How the names of the optimizer's state begin, for each parameter."""
        return {}

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Everything that a resumed search needs, of this epoch too."""

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave, in place; after `begin_epoch` where that was within an epoch."""
        with torch.no_grad():
            for name, value in self.tensors().items():
                value.copy_(tensors.get(name, value))  # what an epoch resets is absent from older checkpoints of epochs' ends
        if names := self.names():
            load_optimizer(self.optimizer, names, tensors)

    def one(self, cell: Genotype) -> Mixture:
        """The mixture that is one cell: its operations alone, each with the weight 1."""
        graph, names = edges(self.parameters.nodes), self.operations
        phi = {kind: torch.ones(len(graph), len(names), device=self.device) for kind in CELL_KINDS}
        chosen = {
            kind: [[names.index(e.operation) for e in cell.cell(kind) if (e.source, e.target) == edge] for edge in graph]
            for kind in CELL_KINDS
        }
        return Mixture(phi, chosen)

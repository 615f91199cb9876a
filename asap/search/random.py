"""Random search with weight sharing (Li and Talwalkar 2019), on the budget of the other methods.

w learns on cells drawn uniformly from the whole space, one a step. In the last fifth of the epochs each step also
scores one of 100 cells drawn beforehand on a batch of the validation half, in turn; the lowest mean loss wins.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..paper.space import ASAP_OPERATIONS, CELL_KINDS, Genotype, edges, random_genotype
from ..records.parameters import SearchParameters
from .method import Masks, Mixture, Step, one_cell


class Random:
    """Uniform over the space, which no step changes: its entropy is 1 throughout."""

    graphable = steady = False
    candidates = 100  # cells among which the search chooses
    share = 0.2  # of the epochs, the last, in which they are scored

    def __init__(self, parameters: SearchParameters, device: torch.device) -> None:
        self.parameters, self.device = parameters, device
        self.operations: tuple[str, ...] = ASAP_OPERATIONS
        rng = np.random.default_rng([parameters.seed, 0, 8])
        self.pool = [random_genotype(rng, self.operations, parameters.nodes) for _ in range(self.candidates)]
        self.loss = torch.zeros(self.candidates, dtype=torch.float64)  # summed over the batches scored
        self.count = torch.zeros(self.candidates, dtype=torch.int64)
        self.epoch = 0

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.rng = np.random.default_rng([self.parameters.seed, epoch, 8])

    def learns(self) -> bool:
        return self.epoch > (1 - self.share) * self.parameters.epochs

    def mixture(self) -> Mixture:
        return self._mixture(random_genotype(self.rng, self.operations, self.parameters.nodes))

    def _mixture(self, cell: Genotype) -> Mixture:
        return one_cell(cell, self.operations, self.parameters.nodes, self.device)

    def update(self, step: Step) -> None:
        """Score the next candidate; nothing learns."""
        turn = int(self.count.sum()) % self.candidates
        with torch.no_grad():
            self.loss[turn] += float(step.loss(step.validation, self._mixture(self.pool[turn])))
        self.count[turn] += 1

    def to_prune(self, epoch_ends: bool) -> Masks | None:
        return None

    def pruned(self, masks: Masks) -> None:
        raise AssertionError("random search prunes nothing")

    def status(self) -> dict[str, float]:
        return {"temperature": float("nan"), "threshold": float("nan")}

    def snapshot(self) -> dict[str, dict[str, np.ndarray]]:
        shape = (len(edges(self.parameters.nodes)), len(self.operations))
        uniform = np.full(shape, 1 / len(self.operations), dtype=np.float32)
        return {kind: {"alpha": np.full(shape, np.nan, dtype=np.float32), "phi": uniform} for kind in CELL_KINDS}

    def genotype(self, rule: str) -> Genotype:
        """The candidate of the lowest mean loss so far; the first where none has been scored."""
        mean = torch.where(self.count > 0, self.loss / self.count, torch.inf)
        return self.pool[int(mean.argmin())]

    def tensors(self) -> dict[str, Tensor]:
        return {"loss": self.loss, "count": self.count}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self.loss.copy_(tensors["loss"])
        self.count.copy_(tensors["count"])

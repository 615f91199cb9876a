"""Random search with weight sharing (Li and Talwalkar 2019), on the budget of the other methods.

w learns on cells drawn uniformly from the whole space, one a step. In the last fifth of the epochs each step also
scores one of 100 cells drawn beforehand on a batch of the validation half, in turn; the lowest mean loss wins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..paper.space import CELL_KINDS, Genotype, edges, random_genotype
from ..records.parameters import SearchParameters
from ..train.session import CELLS
from .method import Method, Mixture, Step


class Random(Method):
    """Uniform over the space, which no step changes: its entropy is 1 throughout."""

    candidates = 100  # cells among which the search chooses
    share = 0.2  # of the epochs, the last, in which they are scored

    def __init__(self, parameters: SearchParameters, device: torch.device) -> None:
        super().__init__(parameters, device)
        rng = np.random.default_rng([parameters.seed, 0, CELLS])
        self.pool = [random_genotype(rng, parameters.nodes) for _ in range(self.candidates)]
        self.loss = torch.zeros(self.candidates, dtype=torch.float64)  # summed over the batches scored
        self.count = torch.zeros(self.candidates, dtype=torch.int64)
        self.begin_epoch(0)

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        self.rng = np.random.default_rng([self.parameters.seed, epoch, CELLS])

    def learns(self) -> bool:
        return self.epoch > (1 - self.share) * self.parameters.epochs

    def mixture(self) -> Mixture:
        return self.one(random_genotype(self.rng, self.parameters.nodes))

    def update(self, step: Step) -> None:
        """Score the next candidate; nothing learns."""
        turn = int(self.count.sum()) % self.candidates
        with torch.no_grad():
            self.loss[turn] += float(step.loss(step.validation, self.one(self.pool[turn])))
        self.count[turn] += 1

    def snapshot(self) -> dict[str, dict[str, np.ndarray]]:
        shape = (len(edges(self.parameters.nodes)), len(self.operations))
        uniform = np.full(shape, 1 / len(self.operations), dtype=np.float32)
        return {kind: {"alpha": np.full(shape, np.nan, dtype=np.float32), "phi": uniform} for kind in CELL_KINDS}

    def genotype(self, rule: str) -> Genotype:
        """The candidate of the lowest mean loss so far; the first where none has been scored."""
        mean = torch.where(self.count > 0, self.loss / self.count, torch.inf)
        return self.pool[int(mean.argmin())]

    def tensors(self) -> dict[str, Tensor]:
        state = json.dumps(self.rng.bit_generator.state).encode()
        return {"loss": self.loss, "count": self.count, "rng": torch.frombuffer(bytearray(state), dtype=torch.uint8)}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self.rng.bit_generator.state = json.loads(tensors["rng"].numpy().tobytes())
        super().load_tensors(tensors)

"""ASAP (Algorithm 1): Φ(α; T) at a falling temperature, one gradient step a batch, and Φ < θ goes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..paper.equations import theorem2_temperature
from ..paper.space import CELL_KINDS
from ..records.parameters import SearchParameters
from .alpha import Differentiable
from .method import Step


class Anneal(Differentiable):
    """Grace while T ≥ τ: w alone learns. Then α learns, and an operation whose Φ falls below θ = `threshold`/N is pruned.

    With the schedule `theorem2`, T_t and θ_t = e^{−t}/N change from α step to α step.
    """

    prunes = True

    def __init__(self, parameters: SearchParameters, device: torch.device) -> None:
        super().__init__(parameters, device)
        self.steps = 0  # α steps taken
        self.by_step = parameters.schedule == "theorem2"
        self.graphable = self.steady = not self.by_step

    def cool(self) -> None:
        if not self.by_step:
            return super().cool()
        rate = self.parameters.alpha_learning_rate * self.parameters.alpha_rate_factor
        self.set_temperature(theorem2_temperature(max(self.steps, 1), len(self.operations), rate))

    def learns(self) -> bool:
        return self.temperature < self.parameters.grace_temperature

    def update(self, step: Step) -> None:
        if self.by_step:  # which no graph replays
            self.steps += 1
            self.cool()
        super().update(step)

    def below(self, kind: str) -> Tensor:
        """Which operations are below the threshold, (E, O)."""
        p, alive = self.parameters, self.alive[kind]
        if self.by_step:  # in logarithms: e^{−t} is soon no number
            scores = (self.alpha[kind].detach() / self.temperature).masked_fill(~alive, -torch.inf)
            return (torch.log_softmax(scores, -1) < -self.steps - math.log(len(self.operations))) & alive
        operations = alive.sum(1, keepdim=True) if p.threshold_operations == "left" else len(self.operations)
        return (self.phi(kind).detach() < p.threshold / operations) & alive

    def going(self) -> dict[str, Tensor] | None:
        return self.spare({kind: self.below(kind) for kind in CELL_KINDS})

    def status(self) -> dict[str, float]:
        """threshold: θ; where it differs from edge to edge, the mean over the edges."""
        p, count = self.parameters, len(self.operations)
        if self.by_step:
            now = math.exp(-self.steps) / count
        elif p.threshold_operations == "left":
            left = torch.cat([alive.sum(1) for alive in self.alive.values()]).double()
            now = float((p.threshold / left).mean())
        else:
            now = p.threshold / count
        return super().status() | {"threshold": now}

    def tensors(self) -> dict[str, Tensor]:
        return super().tensors() | {"steps": torch.tensor(self.steps)}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        super().load_tensors(tensors)
        self.steps = int(tensors["steps"])
        if self.by_step:
            self.cool()

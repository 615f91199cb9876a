"""ASAP (Algorithm 1): Φ(α; T) at a falling temperature, one gradient step a batch, and Φ < θ goes."""

from __future__ import annotations

import torch

from ..annealing import threshold
from ..space import CELL_KINDS
from .base import Differentiable, Masks


class Anneal(Differentiable):
    """Grace while T ≥ τ: w alone learns. Then α learns, and an operation whose Φ falls below θ = 0.4/N is pruned."""

    def learns(self) -> bool:
        return self.temperature < self.parameters.grace_temperature

    def to_prune(self, epoch_ends: bool) -> Masks | None:
        p = self.parameters
        if not self.learns() or (p.prune_every == "epoch" and not epoch_ends):
            return None
        below = {}
        for kind in CELL_KINDS:
            phi, alive = self.phi(kind).detach(), self.alive[kind]
            operations = alive.sum(1, keepdim=True) if p.threshold_operations == "left" else len(self.operations)
            below[kind] = (phi < p.threshold / operations) & alive
        if not torch.stack(list(below.values())).any():  # the one look at the device that a step needs
            return None
        return {kind: mask.cpu().numpy() for kind, mask in below.items()}

    def status(self) -> dict[str, float]:
        return super().status() | {"threshold": threshold(self.parameters.threshold, len(self.operations))}

"""The paper's two pruning baselines (4.4): DARTS that prunes by the polynomial schedule of Eq. 13, at the end of epochs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..paper.equations import pruned_share
from ..paper.space import CELL_KINDS
from ..records.parameters import SearchParameters
from .alpha import Differentiable
from .method import Masks


class Magnitude(Differentiable):
    """On every edge the operations of the smallest α go, as many as Eq. 13 asks for."""

    prunes = True

    def importance(self, kind: str) -> Tensor:
        """What the operations of an edge are ranked by, (E, O); the smallest goes first."""
        return self.alpha[kind].detach()

    def to_prune(self, epoch_ends: bool) -> Masks | None:
        if not epoch_ends:
            return None
        p, count = self.parameters, len(self.operations)
        share = pruned_share(self.epoch, p.prune_start, p.prune_end, p.prune_power, (count - 1) / count)
        left = count - int(count * share + (0.5 if p.prune_rounding == "nearest" else 1e-9))
        masks: Masks = {}
        for kind in CELL_KINDS:
            alive = self.alive[kind].cpu().numpy()
            rank = np.where(alive, self.importance(kind).cpu().numpy(), -np.inf)
            if left == 1 and "none" in self.operations:  # which is no operation of a cell
                rank[:, self.operations.index("none")] = -np.inf
            order = np.argsort(np.argsort(-rank, axis=1, kind="stable"), axis=1, kind="stable")
            masks[kind] = alive & (order >= left)
        return masks if any(mask.any() for mask in masks.values()) else None


class AccumulatedGradient(Magnitude):
    """The operations with the smallest sum of |∂L/∂α| since the search began go first."""

    def __init__(self, parameters: SearchParameters, device: torch.device) -> None:
        super().__init__(parameters, device)
        self.accumulated = {kind: torch.zeros_like(alpha) for kind, alpha in self.alpha.items()}

    def importance(self, kind: str) -> Tensor:
        return self.accumulated[kind]

    def apply(self, gradients: Mapping[str, Tensor]) -> None:
        for kind, gradient in gradients.items():
            self.accumulated[kind] += gradient.abs()
        super().apply(gradients)

    def tensors(self) -> dict[str, Tensor]:
        return super().tensors() | {f"accumulated.{kind}": value for kind, value in self.accumulated.items()}

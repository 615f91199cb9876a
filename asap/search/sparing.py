"""What no pruning takes: a derived cell needs an operation on each edge, and `none` is none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def spared(lost: Tensor, alive: Tensor, alpha: Tensor, operations: Sequence[str]) -> Tensor:
    """The operations `lost`, but that no edge is left with `none` alone: there the other of the largest α, and so Φ, stays. All (E, O)."""
    if "none" not in operations:
        return lost
    real = alive.clone()
    real[:, operations.index("none")] = False
    best = alpha.detach().masked_fill(~real, -torch.inf).argmax(1, keepdim=True)
    stays = torch.zeros_like(lost).scatter_(1, best, True) & ~(real & ~lost).any(1, keepdim=True)
    return lost & ~stays

"""What a search records of the gradients of α, epoch by epoch."""

from __future__ import annotations

import torch
from torch import Tensor


class GradientStatistics:
    """Mean, deviation, largest magnitude and lag-1 autocorrelation of the α gradients of an epoch, for each operation.

    Theorem 2 speaks of exactly these: the bound L, the gap between the means, and independence through time.
    """

    def __init__(self, shape: tuple[int, int], device: torch.device) -> None:
        self.count = torch.zeros((), dtype=torch.float64, device=device)
        self.total, self.squares, self.lagged, self.largest, self.last = (
            torch.zeros(shape, dtype=torch.float64, device=device) for _ in range(5)
        )
        #: what a checkpoint keeps
        self.sums = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def reset(self) -> None:
        for value in self.sums.values():
            value.zero_()

    def add(self, gradient: Tensor) -> None:
        g = gradient.detach().double()
        self.count += 1
        self.total += g
        self.squares += g * g
        self.lagged += g * self.last
        torch.maximum(self.largest, g.abs(), out=self.largest)
        self.last.copy_(g)

    def summary(self) -> dict[str, Tensor]:
        mean = self.total / self.count
        variance = (self.squares / self.count - mean * mean).clamp_min(0)
        lagged = self.lagged / (self.count - 1).clamp_min(1) - mean * mean
        largest = self.largest + 0 * mean
        return {"mean": mean, "deviation": variance.sqrt(), "largest": largest, "autocorrelation": lagged / variance}

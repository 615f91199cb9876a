"""Theorem C in a search: every pair of an edge's operations bets on the raw gradients of α, and certified losers go.

The evidence of a step for operation j over i is r_j − r_i = T(g_j/Φ_j − g_i/Φ_i), g = −∂L/∂α: the softmax's own factor Φ/T is taken
out, and what is left is the difference between the rewards −∂L/∂Φ. It is scaled to X = clip((r_j − r_i)/(κσ̂), ±1), σ̂ the root mean
square of that pair's earlier differences. Φ, T and σ̂ are fixed by the past, so Adam may move α as it likes. An operation is certified
where its rivals' average wealth reaches N/δ: for all operations of an edge at once, δ bounds the probability of any certificate for one
whose rivals' evidence has no positive sum of conditional means.

With `prune_rule` certified the certificate prunes; with watched the method's own rule does, and the certificate is recorded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..paper.equations import CLIP, DELTA, FRACTIONS
from ..records.parameters import SearchParameters
from .alpha import Differentiable, but_one
from .asap import Anneal

STATE = ("wealth", "squares", "count", "certified", "squares_before", "count_before")


class Certificate:
    """The bets on the edges of one cell kind: E edges, N operations, K fractions, in float64 on the device, updated in place."""

    def __init__(self, shape: tuple[int, int], device: torch.device) -> None:
        edges, n = shape
        self.fractions = torch.from_numpy(FRACTIONS).to(device)
        self.level = math.log(n / DELTA)
        self.share = math.log((n - 1) * len(FRACTIONS))
        diagonal = torch.eye(n, dtype=torch.bool)[:, :, None]
        # log ∏(1 + λX) of the rival (the first N) against the operation (the second): (E, N, N, K)
        self.wealth = torch.zeros(edges, n, n, len(FRACTIONS), dtype=torch.float64).masked_fill(diagonal, -torch.inf).to(device)
        self.squares = torch.zeros(edges, n, n, dtype=torch.float64, device=device)  # Σ(r_j − r_i)²
        self.count = torch.zeros((), dtype=torch.float64, device=device)  # α steps seen
        self.certified = torch.full(shape, torch.inf, dtype=torch.float64, device=device)  # the α step of the certificate
        self.squares_before, self.count_before = self.squares.clone(), self.count.clone()

    def begin_epoch(self) -> None:
        """Start the epoch's second moments."""
        self.squares_before.copy_(self.squares)
        self.count_before.copy_(self.count)

    def observe(self, gradient: Tensor, phi: Tensor, temperature: float | Tensor, alive: Tensor) -> None:
        """One step's raw gradient of α, taken at these Φ and T; all (E, N)."""
        there = alive & (phi > 1e-30)  # smaller, the quotient is no number; the past decides
        reward = torch.where(there, -temperature * gradient.double() / phi.double(), 0.0)
        difference = torch.where(there[:, :, None] & there[:, None, :], reward[:, :, None] - reward[:, None, :], 0.0)
        scale = CLIP * (self.squares / self.count.clamp_min(1)).sqrt()
        x = torch.where(scale > 0, difference / scale, 0.0).clamp(-1, 1)
        self.wealth += torch.log1p(self.fractions * x[..., None])
        self.squares += difference * difference
        self.count += 1
        new = (self.against() >= self.level) & self.certified.isinf() & alive
        self.certified.copy_(torch.where(new, self.count, self.certified))

    def against(self) -> Tensor:
        """The logarithm of the average of the rivals' wealth against each operation, (E, N)."""
        return self.wealth.logsumexp((1, 3)) - self.share

    def losers(self, alive: Tensor) -> Tensor:
        """Which operations go, (E, N): those certified, but never the last of an edge; then the one with the least against it stays."""
        return but_one(alive & self.certified.isfinite(), alive, -self.against())

    def columns(self) -> dict[str, Tensor]:
        """What architecture.parquet keeps, each (E, N): `log_wealth` against the operation, `certified_step` (inf: none), and in
        `second_moment_K` the epoch's mean of (r_i − r_K)², for K after the operation i itself."""
        n = self.squares.shape[1]
        upper = torch.ones(n, n, dtype=torch.bool, device=self.squares.device).triu(1)
        moments = (self.squares - self.squares_before) / (self.count - self.count_before)
        moments = moments.masked_fill(~upper | (moments == 0), torch.nan)
        kept = {"log_wealth": self.against(), "certified_step": self.certified}
        return kept | {f"second_moment_{k}": moments[:, :, k] for k in range(1, n)}


class Betting(Differentiable):
    """A method whose α gradients are bet on: DARTS as it stands here, ASAP where `Anneal` follows in the order of inheritance."""

    def __init__(self, parameters: SearchParameters, device: torch.device) -> None:
        super().__init__(parameters, device)
        self.prunes = self.prunes or parameters.prune_rule == "certified"
        self.certificates = {kind: Certificate((alpha.shape[0], alpha.shape[1]), device) for kind, alpha in self.alpha.items()}

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        for certificate in self.certificates.values():
            certificate.begin_epoch()

    def apply(self, gradients: Mapping[str, Tensor]) -> None:
        for kind, gradient in gradients.items():
            self.certificates[kind].observe(gradient, self.phi(kind).detach(), self.heat, self.alive[kind])
        super().apply(gradients)

    def going(self) -> dict[str, Tensor] | None:
        if self.parameters.prune_rule != "certified":
            return super().going()
        return self.spare({kind: self.certificates[kind].losers(alive) for kind, alive in self.alive.items()})

    def snapshot(self) -> dict[str, dict[str, np.ndarray]]:
        more = {kind: {name: v.cpu().float().numpy() for name, v in c.columns().items()} for kind, c in self.certificates.items()}
        return {kind: columns | more[kind] for kind, columns in super().snapshot().items()}

    def tensors(self) -> dict[str, Tensor]:
        kept = {f"certificate.{kind}.{name}": getattr(c, name) for kind, c in self.certificates.items() for name in STATE}
        return super().tensors() | kept


class BettingAnneal(Betting, Anneal):
    """ASAP, its α gradients bet on."""


BETTING: dict[str, type[Betting]] = {"asap": BettingAnneal, "darts": Betting}

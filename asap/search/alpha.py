"""α that a gradient moves: mixed by Eq. 3, learned by Adam; what ASAP, DARTS and the pruning baselines have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from ..paper.equations import temperature
from ..paper.space import ASAP_OPERATIONS, CELL_KINDS, DARTS_OPERATIONS, Genotype, edges, genotype_by_rule
from ..records.parameters import SearchParameters
from ..train.checkpoint import optimizer_tensors
from ..train.device import random_stream
from ..train.graphs import changed, changing
from ..train.session import ALPHA
from .gradients import GradientStatistics
from .method import Batch, Masks, Method, Mixture, Step


@contextmanager
def frozen(network: torch.nn.Module) -> Iterator[None]:
    """No gradient reaches the network's weights, and none is computed for them."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def but_one(lost: Tensor, among: Tensor, score: Tensor) -> Tensor:
    """`lost`, less one operation on each edge that would lose all those `among`: the one of them with the largest score. All (E, O)."""
    best = torch.zeros_like(lost).scatter_(1, score.masked_fill(~among, -torch.inf).argmax(1, keepdim=True), True)
    return lost & ~(best & ~(among & ~lost).any(1, keepdim=True))


class Differentiable(Method):
    """α on every edge, learned by Adam from the first-order gradient of the validation loss; mixed by Φ(α; T), Eq. 3."""

    graphable = steady = True

    def __init__(self, parameters: SearchParameters, device: torch.device) -> None:
        super().__init__(parameters, device)
        p = parameters
        self.operations = DARTS_OPERATIONS if p.candidates == "darts" else ASAP_OPERATIONS
        shape = (len(edges(p.nodes)), len(self.operations))
        stream = random_stream(p.seed, 0, ALPHA)
        self.alpha = {kind: (p.alpha_init * torch.randn(shape, generator=stream)).to(device).requires_grad_() for kind in CELL_KINDS}
        self.alive = {kind: torch.ones(shape, dtype=torch.bool, device=device) for kind in CELL_KINDS}
        self.optimizer = torch.optim.Adam(
            list(self.alpha.values()),
            lr=p.alpha_learning_rate * p.alpha_rate_factor,
            betas=(0.5, 0.999),  # 6.2.1
            weight_decay=p.alpha_weight_decay,
            capturable=device.type == "cuda",  # its step count on the device, for CUDA graphs
        )
        # Φ of the surviving operation when its edge was last pruned; nan before
        self.score = {kind: torch.full(shape[:1], float("nan"), device=device) for kind in CELL_KINDS}
        self.gradients = {kind: GradientStatistics(shape, device) for kind in CELL_KINDS}
        self.heat = changing(p.initial_temperature, device)  # the temperature as Φ reads it
        self.temperature = p.initial_temperature

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        self.cool()
        for statistics in self.gradients.values():
            statistics.reset()

    def cool(self) -> None:
        """Set the temperature of the epoch."""
        p = self.parameters
        self.set_temperature(temperature(p.schedule, self.epoch, p.epochs, p.initial_temperature, p.temperature_decay))

    def set_temperature(self, value: float) -> None:
        self.temperature, self.heat = value, changed(self.heat, value)

    def phi(self, kind: str) -> Tensor:
        """Φ(α; T) of Eq. 3 over the operations alive, (E, O); 0 for the others."""
        return torch.softmax((self.alpha[kind] / self.heat).masked_fill(~self.alive[kind], -torch.inf), -1)

    def mixture(self) -> Mixture:
        return Mixture({kind: self.phi(kind) for kind in CELL_KINDS})

    def update(self, step: Step) -> None:
        """One Adam step along the gradient of the validation loss, w held fixed (first order)."""
        self.apply(dict(zip(self.alpha, self.alpha_gradients(step, step.validation), strict=True)))

    def alpha_gradients(self, step: Step, batch: Batch) -> tuple[Tensor, ...]:
        """∂L/∂α on a batch, (E, O) for each cell kind."""
        with frozen(step.network):
            return torch.autograd.grad(step.loss(batch, self.mixture()), list(self.alpha.values()))

    def apply(self, gradients: Mapping[str, Tensor]) -> None:
        """Take the Adam step for these gradients, (E, O) for each cell kind."""
        for kind, gradient in gradients.items():
            self.gradients[kind].add(gradient)
            self.alpha[kind].grad = gradient
        self.optimizer.step()

    def going(self) -> dict[str, Tensor] | None:
        """Which operations are to go, (E, O), as the device knows it; None where the method prunes at no step."""
        return None

    def spare(self, lost: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The operations `lost`, (E, O), less one on each edge where `none` alone would be left, which makes no cell: that of the largest
        α, and so Φ, stays."""
        if "none" not in self.operations:
            return dict(lost)
        kept = {}
        for kind, gone in lost.items():
            real = self.alive[kind].clone()
            real[:, self.operations.index("none")] = False
            kept[kind] = but_one(gone, real, self.alpha[kind].detach())
        return kept

    def to_prune(self, epoch_ends: bool) -> Masks | None:
        going = self.going() if self.learns() and (epoch_ends or self.parameters.prune_every == "step") else None
        if going is None or not torch.stack(list(going.values())).any():  # the one look at the device that a step needs
            return None
        return {kind: mask.cpu().numpy() for kind, mask in going.items()}

    def mask(self) -> None:
        going = self.going() if self.parameters.prune_every == "step" else None
        if going is not None:
            self.pruned(going)

    def pruned(self, masks: Mapping[str, np.ndarray | Tensor]) -> None:
        for kind, mask in masks.items():
            gone = torch.as_tensor(mask, device=self.alive[kind].device)
            edges_hit = gone.any(1)
            survivor = self.phi(kind).detach().masked_fill(gone, 0).amax(1)
            self.score[kind].copy_(torch.where(edges_hit, survivor, self.score[kind]))
            self.alive[kind] &= ~gone
            # an operation's optimizer state goes with it, and its α rests at 0
            with torch.no_grad():
                self.alpha[kind].masked_fill_(gone, 0.0)
            for value in self.optimizer.state.get(self.alpha[kind], {}).values():
                if isinstance(value, Tensor) and value.shape == gone.shape:
                    value.masked_fill_(gone, 0.0)

    def status(self) -> dict[str, float]:
        return super().status() | {"temperature": self.temperature}

    def snapshot(self) -> dict[str, dict[str, np.ndarray]]:
        kept = {}
        for kind in CELL_KINDS:
            dead = ~self.alive[kind]
            alpha = self.alpha[kind].detach().masked_fill(dead, float("nan"))
            columns = {"alpha": alpha, "phi": self.phi(kind).detach()}
            columns |= {f"gradient_{name}": value.masked_fill(dead, float("nan")) for name, value in self.gradients[kind].summary().items()}
            kept[kind] = {name: value.cpu().float().numpy() for name, value in columns.items()}
        return kept

    def genotype(self, rule: str) -> Genotype:
        """One operation an edge, the one of the largest Φ but `none`; the edges by the rule."""
        phi = {kind: self.phi(kind).detach().cpu().numpy() for kind in CELL_KINDS}
        alpha = {kind: self.alpha[kind].detach().cpu().numpy() for kind in CELL_KINDS}
        before = {
            kind: np.where((self.alive[kind].sum(1) == 1).cpu().numpy(), self.score[kind].cpu().numpy(), np.nan) for kind in CELL_KINDS
        }
        return genotype_by_rule(rule, self.operations, phi, alpha, before, self.parameters.nodes)

    def names(self) -> dict[Tensor, str]:
        return {alpha: f"adam.{kind}." for kind, alpha in self.alpha.items()}

    def tensors(self) -> dict[str, Tensor]:
        kept = optimizer_tensors(self.optimizer, self.names())
        for kind in CELL_KINDS:
            kept |= {f"{name}.{kind}": getattr(self, name)[kind] for name in ("alpha", "alive", "score")}
            kept |= {f"gradients.{kind}.{name}": value for name, value in self.gradients[kind].sums.items()}
        return kept

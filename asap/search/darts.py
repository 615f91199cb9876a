"""DARTS' second order. The first is `alpha.Differentiable` as it stands: Φ at T = 1, nothing pruned until the argmax at the end."""

from __future__ import annotations

import torch
from torch import Tensor

from .alpha import Differentiable
from .method import Step


class SecondOrder(Differentiable):
    """Second order: α follows the validation loss after a virtual step of w.

    The virtual step has w's rate, momentum and weight decay, and is taken on the training batch of this iteration; the
    mixed second derivative is a finite difference over w ± R·v with R = 0.01/‖v‖ (Liu et al., 2.2 and 2.3).
    """

    graphable = False
    reach = 0.01  # R·‖v‖

    def update(self, step: Step) -> None:
        group = step.optimizer.param_groups[0]
        rate, weights = group["lr"], list(step.network.parameters())
        before = [w.detach().clone() for w in weights]
        gradients = torch.autograd.grad(
            step.loss(step.train, self.mixture().detached()), weights, allow_unused=True, materialize_grads=True
        )
        with torch.no_grad():
            for w, gradient in zip(weights, gradients, strict=True):
                buffer = step.optimizer.state.get(w, {}).get("momentum_buffer")
                descent: Tensor = gradient + group["weight_decay"] * w
                if buffer is not None:
                    descent += group["momentum"] * buffer
                w.sub_(rate * descent)
        loss = step.loss(step.validation, self.mixture())
        alphas = list(self.alpha.values())
        found = torch.autograd.grad(loss, [*alphas, *weights], allow_unused=True, materialize_grads=True)
        direct, vector = found[: len(alphas)], found[len(alphas) :]
        reach = self.reach / float(torch.nn.utils.get_total_norm(vector))
        sides = []
        for sign in (reach, -reach):
            with torch.no_grad():
                for w, old, v in zip(weights, before, vector, strict=True):
                    w.copy_(old + sign * v)
            sides.append(self.alpha_gradients(step, step.train))
        with torch.no_grad():
            for w, old in zip(weights, before, strict=True):
                w.copy_(old)
        implicit = [(plus - minus) / (2 * reach) for plus, minus in zip(*sides, strict=True)]
        combined = [d - rate * i for d, i in zip(direct, implicit, strict=True)]
        self.apply(dict(zip(self.alpha, combined, strict=True)))

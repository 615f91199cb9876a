"""AutoAugment's CIFAR-10 policy on a batch: torchvision's operations, applied to all images of a sub-policy at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode
from torchvision.transforms.autoaugment import _apply_op

_POLICY = AutoAugment(AutoAugmentPolicy.CIFAR10)


def autoaugment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Augment images (B, C, H, W), uint8. Each draws one of 25 sub-policies, and each of its two steps is applied with
    the step's probability and a random sign."""
    count, side = len(images), images.shape[-1]
    choice = torch.randint(len(_POLICY.policies), (count,), generator=generator)
    applied = torch.rand(count, 2, generator=generator)
    negative = torch.rand(count, 2, generator=generator) < 0.5
    space = _POLICY._augmentation_space(10, (side, side))
    images = images.clone()
    for k in range(2):
        for policy in range(len(_POLICY.policies)):
            name, probability, level = _POLICY.policies[policy][k]
            magnitudes, signed = space[name]
            magnitude = float(magnitudes[level]) if level is not None else 0.0
            for sign in (False, True):
                if sign and not signed:
                    continue
                here = (choice == policy) & (applied[:, k] <= probability)
                if signed:
                    here &= negative[:, k] == sign
                where = here.nonzero()[:, 0].to(images.device)
                if len(where):
                    value = -magnitude if sign else magnitude
                    images[where] = _apply_op(images[where], name, value, InterpolationMode.NEAREST, None)
    return images

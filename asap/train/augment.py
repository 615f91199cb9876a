"""Augmentation of whole batches: AutoAugment's CIFAR-10 policy by torchvision's operations, and standard colour jitter.

Random numbers are drawn apart from their use, (B, …), so that processes can share a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode
from torchvision.transforms.autoaugment import _apply_op

_POLICY = AutoAugment(AutoAugmentPolicy.CIFAR10)


def policies(count: int, generator: torch.Generator) -> Tensor:
    """For each image one of 25 sub-policies, and for each of its two steps a uniform number and a sign, (B, 5)."""
    choice = torch.randint(len(_POLICY.policies), (count,), generator=generator)
    applied = torch.rand(count, 2, generator=generator)
    negative = torch.rand(count, 2, generator=generator) < 0.5
    return torch.cat([choice[:, None], applied, negative], 1)


def autoaugment(images: Tensor, drawn: Tensor) -> Tensor:
    """Augment images (B, C, H, W), uint8, as `policies` has drawn: a step is applied with its probability and sign."""
    side = images.shape[-1]
    choice, applied, negative = drawn[:, 0], drawn[:, 1:3], drawn[:, 3:] > 0
    space = _POLICY._augmentation_space(10, (side, side))
    images = images.clone()
    for k in range(2):
        for policy in range(len(_POLICY.policies)):
            name, probability, level = _POLICY.policies[policy][k]
            magnitudes, signed = space[name]
            magnitude = float(magnitudes[level]) if level is not None else 0.0
            here = (choice == policy) & (applied[:, k] <= probability)
            signs = ((magnitude, here & ~negative[:, k]), (-magnitude, here & negative[:, k])) if signed else ((magnitude, here),)
            for value, chosen in signs:
                where = chosen.nonzero()[:, 0].to(images.device)
                if len(where):
                    before = images[where]
                    after = equalize(before) if name == "Equalize" else _apply_op(before, name, value, InterpolationMode.NEAREST, None)
                    images[where] = after
    return images


def equalize(images: Tensor) -> Tensor:
    """torchvision's `equalize` of images (B, C, H, W), uint8, to the bit. torchvision's waits for the device at each image."""
    flat = images.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.int64, device=images.device).scatter_add_(2, flat, torch.ones_like(flat))
    step = (counts.sum(2, keepdim=True) - counts.gather(2, flat.amax(2, keepdim=True))) // 255
    table = ((counts.cumsum(2) + step // 2) // step.clamp_min(1)).roll(1, 2)
    table[..., 0] = 0
    spread = table.clamp_(0, 255).gather(2, flat).to(torch.uint8).view_as(images)
    return torch.where(step[..., None] == 0, images, spread)


JITTER = 0.4  # of brightness, contrast and saturation: what DARTS' code uses for ImageNet
GREY = (0.2989, 0.587, 0.114)


def color_factors(count: int, generator: torch.Generator) -> Tensor:
    """Factors of brightness, contrast and saturation, uniform in 1 ± 0.4, (B, 3)."""
    return 1 + JITTER * (2 * torch.rand(count, 3, generator=generator) - 1)


def color(images: Tensor, factors: Tensor) -> Tensor:
    """Standard colour augmentation (6.2.2) of images (B, C, H, W), uint8: brightness, then contrast, then saturation.

    Each blends the image with black, with its mean grey, with its grey. A grey image (C = 1) has no saturation.
    """
    x = images.float()
    brightness, contrast, saturation = factors.to(x.device).float().T[..., None, None, None]
    weights = torch.tensor(GREY, device=x.device)[:, None, None]

    def grey(x: Tensor) -> Tensor:
        return x if x.shape[1] == 1 else (x * weights).sum(1, keepdim=True)

    x = (x * brightness).clamp(0, 255)
    mean = grey(x).mean((2, 3), keepdim=True)
    x = (mean + contrast * (x - mean)).clamp(0, 255)
    x = (grey(x) + saturation * (x - grey(x))).clamp(0, 255)
    return x.round().to(torch.uint8)

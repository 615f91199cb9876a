"""Measuring a network on images: its loss and accuracy, and BatchNorm's statistics anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from . import distributed
from .batches import Batches
from .imagenet import FolderBatches


@torch.no_grad()
def measure(network: torch.nn.Module, logits: Callable[[Tensor], Tensor], batches: Batches | FolderBatches) -> tuple[float, float, Tensor]:
    """Mean loss and accuracy on all images of `batches`, not augmented, with BatchNorm's running statistics; and which images were
    classified rightly, (images,) uint8 on the CPU, in the order of the set."""
    network.eval()
    loss = torch.zeros((), dtype=torch.float64, device=batches.device)
    right = torch.zeros(len(batches.labels), dtype=torch.uint8, device=batches.device)
    parts = []
    for images, labels in batches.in_order():
        predicted = logits(images)
        loss += F.cross_entropy(predicted, labels, reduction="sum")
        parts.append(predicted.argmax(1) == labels)
    right[batches.share] = torch.cat(parts).byte()
    network.train()
    right = distributed.total(right).cpu()
    return float(distributed.total(loss)) / len(right), int(right.sum()) / len(right), right


@torch.no_grad()
def recalibrate(network: torch.nn.Module, logits: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Set BatchNorm's running statistics to their averages over batches, which want the augmentation that the network was trained with:
    a crop's black border is in its statistics."""
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.train()
    for i, (images, _) in enumerate(batches, start=1):
        for norm in norms:
            norm.momentum = 1 / i
        logits(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum

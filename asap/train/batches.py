"""Images as tensors in memory, and batches made from them by tensor operations. Which sets there are: datasets.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from . import augment


class DataError(UserError):
    """A data set that is missing, damaged or of the wrong shape."""


@dataclass(frozen=True)
class Split:
    images: Tensor  # (N, H, W, C) uint8
    labels: Tensor  # (N,) int64

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> Split:
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class ImageData:
    """A data set: `variant` says which copy it is (cifar10, cifar10-jpeg75); mean and deviation are of the training images."""

    name: str
    variant: str
    train: Split
    test: Split
    classes: int
    fingerprint: str

    @property
    def channels(self) -> int:
        return int(self.train.images.shape[3])

    @property
    def size(self) -> int:
        return int(self.train.images.shape[1])

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel of the training images, (C,), in [0, 1]."""
        return self._statistics

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        pixels = self.train.images.flatten(0, 2)
        mean, square = torch.zeros(self.channels, dtype=torch.float64), torch.zeros(self.channels, dtype=torch.float64)
        for part in pixels.split(1 << 22):
            part = part.double() / 255
            mean += part.sum(0)
            square += (part * part).sum(0)
        mean, square = mean / len(pixels), square / len(pixels)
        return mean.float(), (square - mean * mean).clamp_min(1e-12).sqrt().float()

    def training(self, images: int, order: torch.Generator, batch: int, device: torch.device, **options: Any) -> Batches:
        """Batches of `images` training images drawn by `order` (0: of all), cropped by an eighth of the side. options: of `Batches`."""
        train = self.train.take(torch.randperm(len(self.train), generator=order)[:images]) if images else self.train
        return Batches(train, batch, *self.statistics(), device, pad=self.size // 8, **options)

    def testing(self, batch: int, device: torch.device, share: slice = slice(None)) -> Batches:
        """Batches of the test images, not augmented."""
        return Batches(self.test, min(batch, len(self.test)), *self.statistics(), device, share=share)

    def describe(self) -> dict[str, Any]:
        """What a record keeps."""
        return describe(self)


def describe(images: Any) -> dict[str, Any]:
    """What a record keeps of a data set."""
    return {
        "name": images.name,
        "variant": images.variant,
        "fingerprint": images.fingerprint,
        "train_images": len(images.train),
        "test_images": len(images.test),
        "classes": images.classes,
        "shape": [images.channels, images.size, images.size],
    }


class Batches:
    """Batches of a split on a device: crop and flip as one gather of rows, normalised and cut out in place.

    Images are padded once, with black, and kept mirrored too where they may be flipped: a crop is then one gather of whole
    rows. `pad` 0 means no crop and no flip. Each call of `epoch` takes a generator, so
    that a batch depends on nothing but the seed behind it. share: which images of every batch to make, for processes
    that train together; random numbers are drawn for all of them, so together they make the batches that one would.
    """

    def __init__(
        self,
        split: Split,
        batch: int,
        mean: Tensor,
        deviation: Tensor,
        device: torch.device,
        pad: int = 0,
        flip: bool = True,
        cutout: int = 0,
        autoaugment: bool = False,
        color: bool = False,
        share: slice = slice(None),
    ) -> None:
        if len(split) < batch:
            raise DataError(f"{len(split)} images do not fill one batch of {batch}")
        self.size, self.batch, self.pad = split.images.shape[1], batch, pad
        self.flip, self.cutout, self.autoaugment, self.color = flip and pad > 0, cutout, autoaugment, color
        self.share = share
        images = split.images
        if pad:
            images = torch.nn.functional.pad(images, (0, 0, pad, pad, pad, pad))
        self.images, self.labels = images.contiguous().to(device), split.labels.to(device)
        if pad:
            # row k: the `size` pixels from pixel k on, of all padded images and then of their mirrored copies
            both = torch.cat([self.images, self.images.flip(2)]) if self.flip else self.images
            pixel = both.shape[3]
            shape = (both.numel() // pixel - self.size + 1, self.size * pixel)
            self.windows = both.as_strided(shape, (pixel, 1))
            self.images = both[: len(split)]
        # a row of an image at a time, since the CPU's loops are fast only along a long last dimension
        self.mean, self.deviation = ((255 * x).repeat(self.size).to(device) for x in (mean, deviation))
        self.device = device

    def __len__(self) -> int:
        """Whole batches in an epoch."""
        return len(self.labels) // self.batch

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole batches of one epoch in random order: images (B, C, H, W) float32 channels_last, labels (B,)."""
        order = torch.randperm(len(self.labels), generator=generator)
        for i in range(len(self)):
            yield self.make(order[i * self.batch : (i + 1) * self.batch], generator)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, in order and not augmented; the last batch may be smaller."""
        for indices in torch.arange(len(self.labels))[self.share].split(self.batch):
            yield self._plain(indices)

    def _plain(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.device)
        inner = slice(self.pad, self.pad + self.size)
        return self._normalise(self.images[indices][:, inner, inner]), self.labels[indices]

    def make(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One augmented batch of the images at `indices` (B,); of a share of them, the share."""
        count, share = len(indices), self.share
        # random numbers are drawn on the CPU and for the whole batch, so that every device and process sees the same augmentation
        mine = indices[share].to(self.device)
        if self.pad:
            side = self.size + 2 * self.pad
            rows = torch.randint(2 * self.pad + 1, (count,), generator=generator)[share]
            columns = torch.randint(2 * self.pad + 1, (count,), generator=generator)[share]
            image = indices[share]
            if self.flip:  # from the mirrored copy, where the window is as far from the other border
                flipped = torch.rand(count, generator=generator)[share] < 0.5
                image = torch.where(flipped, image + len(self.labels), image)
                columns = torch.where(flipped, 2 * self.pad - columns, columns)
            start = ((image * side + rows) * side + columns)[:, None] + side * torch.arange(self.size)  # (B, H), in pixels
            pixels = self.windows.index_select(0, start.view(-1).to(self.device)).view(len(mine), self.size, self.size, -1)
        else:
            pixels = self.images[mine]
        if self.autoaugment:
            pixels = augment.autoaugment(pixels.permute(0, 3, 1, 2), augment.policies(count, generator)[share]).permute(0, 2, 3, 1)
        if self.color:
            pixels = augment.color(pixels.permute(0, 3, 1, 2), augment.color_factors(count, generator)[share]).permute(0, 2, 3, 1)
        images = self._normalise(pixels)
        if self.cutout:
            corners = torch.stack([torch.randint(self.size, (count,), generator=generator) for _ in range(2)], 1)
            self._cut_out(images, corners[share] - self.cutout // 2)
        return images, self.labels[mine]

    def _normalise(self, pixels: Tensor) -> Tensor:
        rows = pixels.reshape(len(pixels), self.size, -1).to(torch.float32).sub_(self.mean).div_(self.deviation)
        return rows.view(len(pixels), self.size, self.size, -1).permute(0, 3, 1, 2)  # NHWC memory: channels_last

    def _cut_out(self, images: Tensor, corners: Tensor) -> None:
        """Zero a square of each image, clipped at the border (DeVries and Taylor). corners (B, 2): its first row and column."""
        side = torch.arange(self.size)
        inside = []
        for places, first in zip((side, side.repeat_interleave(images.shape[1])), corners.T[..., None], strict=True):
            inside.append(((places >= first) & (places < first + self.cutout)).to(torch.float32))
        keep = (1 - inside[0][:, :, None] * inside[1][:, None, :]).to(self.device)  # (B, H, W·C)
        images.permute(0, 2, 3, 1).view(keep.shape).mul_(keep)

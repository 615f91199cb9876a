"""Images as tensors in memory, and batches made from them by tensor operations. Which sets there are: datasets.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from . import augment
from .images import DataError, View


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
    """A data set: `variant` says which copy it is (cifar10, cifar10-jpeg75), `fingerprint` which images and labels it has, `order`
    in which order they lie; mean and deviation are of the training images."""

    name: str
    variant: str
    train: Split
    test: Split
    classes: int
    fingerprint: str
    order: str = ""
    class_names: tuple[str, ...] = ()
    view: View | None = None  # how an image file becomes such an image

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
        **({"order": images.order} if images.order else {}),
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
        drawn: Iterable[dict[str, Any]] = (self._draw(order[i * self.batch : (i + 1) * self.batch], generator) for i in range(len(self)))
        if self.device.type == "cuda":
            drawn = _uploaded(list(drawn), self.device)
        for numbers in drawn:
            yield self._build(numbers)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, in order and not augmented; the last batch may be smaller, and on a GPU they are of 1,000 images and more."""
        batch = self.batch if self.device.type == "cpu" else max(self.batch, 1000)
        for indices in torch.arange(len(self.labels))[self.share].split(batch):
            yield self._plain(indices)

    def _plain(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.device)
        inner = slice(self.pad, self.pad + self.size)
        return self._normalise(self.images[indices][:, inner, inner]), self.labels[indices]

    def make(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One augmented batch of the images at `indices` (B,); of a share of them, the share."""
        return self._build(self._draw(indices, generator))

    def _draw(self, indices: Tensor, generator: torch.Generator) -> dict[str, Any]:
        """Which pixels a batch has. Random numbers are drawn on the CPU and for the whole batch, so that every device and
        process sees the same augmentation."""
        count, share = len(indices), self.share
        drawn: dict[str, Any] = {"images": indices[share]}
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
            drawn["start"] = start.view(-1)
        if self.autoaugment:
            drawn["policies"] = augment.policies(count, generator)[share]
        if self.color:
            drawn["factors"] = augment.color_factors(count, generator)[share]
        if self.cutout:
            corners = torch.stack([torch.randint(self.size, (count,), generator=generator) for _ in range(2)], 1)
            drawn["corners"] = corners[share] - self.cutout // 2
        return drawn

    def _build(self, drawn: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """The batch of these pixels."""
        mine = drawn["images"].to(self.device)
        if self.pad:
            pixels = self.windows.index_select(0, drawn["start"].to(self.device)).view(len(mine), self.size, self.size, -1)
        else:
            pixels = self.images[mine]
        if self.autoaugment:
            pixels = augment.autoaugment(pixels.permute(0, 3, 1, 2), drawn["policies"]).permute(0, 2, 3, 1)
        if self.color:
            pixels = augment.color(pixels.permute(0, 3, 1, 2), drawn["factors"]).permute(0, 2, 3, 1)
        images = self._normalise(pixels)
        if self.cutout:
            self._cut_out(images, drawn["corners"])
        return images, self.labels[mine]

    def _normalise(self, pixels: Tensor) -> Tensor:
        rows = pixels.reshape(len(pixels), self.size, -1).to(torch.float32).sub_(self.mean).div_(self.deviation)
        return rows.view(len(pixels), self.size, self.size, -1).permute(0, 3, 1, 2)  # NHWC memory: channels_last

    def _cut_out(self, images: Tensor, corners: Tensor) -> None:
        """Zero a square of each image, clipped at the border (DeVries and Taylor). corners (B, 2): its first row and column."""
        side = torch.arange(self.size, device=corners.device)
        inside = []
        for places, first in zip((side, side.repeat_interleave(images.shape[1])), corners.T[..., None], strict=True):
            inside.append(((places >= first) & (places < first + self.cutout)).to(torch.float32))
        keep = (1 - inside[0][:, :, None] * inside[1][:, None, :]).to(self.device)  # (B, H, W·C)
        images.permute(0, 2, 3, 1).view(keep.shape).mul_(keep)


def _uploaded(drawn: list[dict[str, Any]], device: torch.device) -> list[dict[str, Any]]:
    """The numbers of an epoch's batches on a device, copied at once: a copy for each batch would have the host wait in each step."""
    moved: dict[str, Any] = {}
    for name in drawn[0]:
        if name in ("images", "start", "corners"):
            moved[name] = torch.stack([numbers[name] for numbers in drawn]).to(device)
    return [numbers | {name: values[i] for name, values in moved.items()} for i, numbers in enumerate(drawn)]

"""Data sets, and batches made from images in memory by tensor operations. Which sets there are: datasets.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from . import augment
from .images import View


@dataclass(frozen=True)
class Split:
    images: Tensor  # (N, H, W, C) uint8
    labels: Tensor  # (N,) int64

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> Split:
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class DataSet:
    """A data set: `variant` says which copy it is (cifar10, cifar10-jpeg75), `fingerprint` which images and labels it has, `order`
    in which order they lie, `view` how an image file becomes such an image."""

    name: str
    variant: str
    train: Any
    test: Any
    fingerprint: str
    order: str
    class_names: tuple[str, ...]
    view: View

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def channels(self) -> int:
        return self.view.channels

    @property
    def size(self) -> int:
        return self.view.size

    def chosen(self, images: int, order: torch.Generator) -> Any:
        """`images` training images drawn by `order`; 0: all of them."""
        return self.train.take(torch.randperm(len(self.train), generator=order)[:images]) if images else self.train

    def describe(self) -> dict[str, Any]:
        """What a record keeps."""
        return {
            "name": self.name,
            "variant": self.variant,
            "fingerprint": self.fingerprint,
            **({"order": self.order} if self.order else {}),
            "train_images": len(self.train),
            "test_images": len(self.test),
            "classes": self.classes,
            "shape": [self.channels, self.size, self.size],
        }


class ImageData(DataSet):
    """A data set in memory: `train` and `test` are a `Split` each."""

    @cached_property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel of the training images, (C,), in [0, 1]."""
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
        return Batches(self.chosen(images, order), batch, *self.statistics, device, pad=self.size // 8, **options)

    def testing(self, batch: int, device: torch.device, share: slice = slice(None)) -> Batches:
        """Batches of the test images, not augmented."""
        return Batches(self.test, min(batch, len(self.test)), *self.statistics, device, share=share)


class Batches:
    """Batches of a split on a device: crop and flip as one gather of pixels, normalised and cut out in place.

    Images are padded once, with black; `pad` 0 means no crop and no flip. Each call of `epoch` takes a generator, so that a batch
    depends on nothing but the seed behind it. share: which images of every batch to make, for processes that train together; random
    numbers are drawn for all of them, so together they make the batches that one would.
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
        self.size, self.batch, self.pad, self.device, self.share = split.images.shape[1], batch, pad, device, share
        self.flip, self.cutout, self.autoaugment, self.color = flip, cutout, autoaugment, color
        padded = torch.nn.functional.pad(split.images, (0, 0, pad, pad, pad, pad))
        self.images, self.labels = padded.contiguous().to(device), split.labels.to(device)
        self.mean, self.deviation = (255 * mean).to(device), (255 * deviation).to(device)
        self.side, self.launched = torch.cuda.Stream(device) if device.type == "cuda" else None, deque[torch.cuda.Event]()

    def __len__(self) -> int:
        """Whole batches in an epoch."""
        return len(self.labels) // self.batch

    def epoch(self, generator: torch.Generator, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole batches of one epoch in random order, from the `first` on: images (B, C, H, W) float32 channels_last, labels (B,)."""
        order = torch.randperm(len(self.labels), generator=generator)
        drawn: Iterable[dict[str, Any]] = (self._draw(order[i * self.batch : (i + 1) * self.batch], generator) for i in range(len(self)))
        if self.device.type == "cuda":
            drawn = _uploaded(list(drawn), self.device)
        for numbers in islice(drawn, first, None):  # the random numbers of those before are drawn, their images are not made
            yield self._build(numbers) if self.side is None else self._beside(numbers, self.side)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, in order and not augmented; the last batch may be smaller, and on a GPU they are of 1,000 images and more."""
        batch = self.batch if self.device.type == "cpu" else max(self.batch, 1000)
        inner = slice(self.pad, self.pad + self.size)
        for indices in torch.arange(len(self.labels), device=self.device)[self.share].split(batch):
            yield self._normalise(self.images[indices, inner, inner]), self.labels[indices]

    def _draw(self, indices: Tensor, generator: torch.Generator) -> dict[str, Any]:
        """Which pixels a batch has. Random numbers are drawn on the CPU and for the whole batch, so that every device and
        process sees the same augmentation."""
        count, share, side = len(indices), self.share, torch.arange(self.size)
        drawn: dict[str, Any] = {"images": indices[share]}
        if self.pad:
            rows, columns = (torch.randint(2 * self.pad + 1, (count,), generator=generator)[share, None] for _ in range(2))
            flipped = self.flip and torch.rand(count, generator=generator)[share, None] < 0.5
            drawn["rows"] = rows + side  # (B, H)
            drawn["columns"] = columns + torch.where(torch.as_tensor(flipped), side.flip(0), side)  # (B, W)
        if self.autoaugment:
            drawn["policies"] = augment.policies(count, generator)[share]
        if self.color:
            drawn["factors"] = augment.color_factors(count, generator)[share]
        if self.cutout:
            corners = torch.stack([torch.randint(self.size, (count,), generator=generator) for _ in range(2)], 1)
            drawn["corners"] = corners[share] - self.cutout // 2
        return drawn

    def _beside(self, drawn: dict[str, Any], side: torch.cuda.Stream) -> tuple[Tensor, Tensor]:
        """`_build` on a stream of its own, beside the step before: where the host waits for it, it does not wait for that step.

        The host is at most three steps ahead, so that few batches wait in memory.
        """
        here = torch.cuda.current_stream(self.device)
        self.launched.append(here.record_event())
        if len(self.launched) > 3:
            self.launched.popleft().synchronize()
        with torch.cuda.stream(side):
            made = self._build(drawn)
        here.wait_stream(side)
        for tensor in made:
            tensor.record_stream(here)
        return made

    def _build(self, drawn: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """The batch of these pixels."""
        mine = drawn["images"].to(self.device)
        pixels = (
            self.images[mine] if not self.pad else self.images[mine[:, None, None], drawn["rows"][..., None], drawn["columns"][:, None]]
        )
        if self.autoaugment:
            pixels = augment.autoaugment(pixels.permute(0, 3, 1, 2), drawn["policies"]).permute(0, 2, 3, 1)
        if self.color:
            pixels = augment.color(pixels.permute(0, 3, 1, 2), drawn["factors"]).permute(0, 2, 3, 1)
        images = self._normalise(pixels)
        if self.cutout:
            self._cut_out(images, drawn["corners"].to(self.device))
        return images, self.labels[mine]

    def _normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (B, H, W, C) → float32 (B, C, H, W), channels_last."""
        return pixels.float().sub_(self.mean).div_(self.deviation).permute(0, 3, 1, 2)

    def _cut_out(self, images: Tensor, corners: Tensor) -> None:
        """Zero a square of each image, clipped at the border (DeVries and Taylor). corners (B, 2): its first row and column."""
        side = torch.arange(self.size, device=corners.device)
        rows, columns = ((side >= first) & (side < first + self.cutout) for first in corners.T[..., None])
        images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def _uploaded(drawn: list[dict[str, Any]], device: torch.device) -> list[dict[str, Any]]:
    """The numbers of an epoch's batches on a device, copied at once: a copy for each batch would have the host wait in each step."""
    moved: dict[str, Any] = {}
    for name in drawn[0]:
        if name in ("images", "rows", "columns", "corners"):
            moved[name] = torch.stack([numbers[name] for numbers in drawn]).to(device)
    return [numbers | {name: values[i] for name, values in moved.items()} for i, numbers in enumerate(drawn)]

"""The data sets as tensors in memory, and batches made from them by tensor operations.

A data set is decoded once and kept under DATA_ROOT/cache/; later runs map that file. Its fingerprint is a hash of every
pixel and label, checked at each load and kept in each record. To add a data set, write a reader and enter it in READERS
(and its name in config.DATASETS).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import UserError


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
        pixels = self.train.images.flatten(0, 2)
        mean, square = torch.zeros(self.channels, dtype=torch.float64), torch.zeros(self.channels, dtype=torch.float64)
        for part in pixels.split(1 << 22):
            part = part.double() / 255
            mean += part.sum(0)
            square += (part * part).sum(0)
        mean, square = mean / len(pixels), square / len(pixels)
        return mean.float(), (square - mean * mean).clamp_min(1e-12).sqrt().float()

    def describe(self) -> dict[str, Any]:
        """What a record keeps."""
        return {
            "name": self.name,
            "variant": self.variant,
            "fingerprint": self.fingerprint,
            "train_images": len(self.train),
            "test_images": len(self.test),
            "classes": self.classes,
            "shape": [self.channels, self.size, self.size],
        }


Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # train images, labels, test images, labels


def _read_digits(root: Path, download: bool) -> tuple[str, Parts]:
    """scikit-learn's 1,797 handwritten digits, 8×8; every fifth is a test image."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    test = np.arange(len(labels)) % 5 == 4
    return "digits", (images[~test], labels[~test], images[test], labels[test])


def _read_cifar10(root: Path, download: bool) -> tuple[str, Parts]:
    """CIFAR-10 from torchvision's folder, else from an image folder cifar10/{train,test}/<class>/."""
    from torchvision.datasets import CIFAR10

    if download or (root / "cifar-10-batches-py").is_dir():
        try:
            halves = [CIFAR10(str(root), train=train, download=download) for train in (True, False)]
        except (RuntimeError, OSError) as error:
            raise DataError(f"CIFAR-10 under {root} is damaged or could not be fetched: {_one_line(error)}") from None
        return "cifar10", tuple(a for h in halves for a in (h.data, np.array(h.targets, dtype=np.int64)))  # type: ignore[return-value]
    folder = root / "cifar10"
    if not folder.is_dir():
        raise DataError(
            f"CIFAR-10 is not under {root}: expected cifar-10-batches-py/ (--download true fetches it) "
            "or an image folder cifar10/{train,test}/<class>/; --data-root or ASAP_DATA names another place"
        )
    return _read_image_folder(folder, "cifar10", 32)


def _read_fashion_mnist(root: Path, download: bool) -> tuple[str, Parts]:
    """Fashion-MNIST from torchvision's folder, 28×28, padded with zeros to 32×32."""
    from torchvision.datasets import FashionMNIST

    if not download and not (root / "FashionMNIST" / "raw").is_dir():
        raise DataError(f"Fashion-MNIST is not under {root}: expected FashionMNIST/raw/ (--download true fetches it)")
    try:
        halves = [FashionMNIST(str(root), train=train, download=download) for train in (True, False)]
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(f"Fashion-MNIST under {root} is damaged or could not be fetched: {_one_line(error)}") from None
    parts: list[np.ndarray] = []
    for half in halves:
        parts += [np.pad(half.data.numpy(), ((0, 0), (2, 2), (2, 2)))[..., None], half.targets.numpy().astype(np.int64)]
    return "fashion_mnist", tuple(parts)  # type: ignore[return-value]


def _read_image_folder(folder: Path, name: str, size: int) -> tuple[str, Parts]:
    """{train,test}/<class>/* of size×size images; JPEG files make the variant `name-jpegQUALITY`."""
    from PIL import Image
    from torchvision.datasets import ImageFolder

    print(f"reading {folder}, once", file=sys.stderr)
    variant, parts = name, []
    classes: list[str] | None = None
    for half in ("train", "test"):
        try:
            listing = ImageFolder(str(folder / half))
        except (FileNotFoundError, OSError) as error:
            raise DataError(f"{folder / half}: {_one_line(error)}") from None
        if classes is not None and listing.classes != classes:
            raise DataError(f"{folder}: train and test have different classes")
        classes = listing.classes
        images = np.empty((len(listing), size, size, 3), dtype=np.uint8)
        for i, (path, _) in enumerate(listing.samples):
            try:
                with Image.open(path) as image:
                    if image.size != (size, size):
                        raise DataError(f"{path}: {image.size[0]}×{image.size[1]} pixels, expected {size}×{size}")
                    if i == 0 and image.format == "JPEG":
                        variant = f"{name}-jpeg{_jpeg_quality(image.quantization[0])}"  # type: ignore[attr-defined]
                    images[i] = np.asarray(image.convert("RGB"))
            except (OSError, SyntaxError) as error:
                raise DataError(f"{path}: damaged image: {_one_line(error)}") from None
        parts += [images, np.array(listing.targets, dtype=np.int64)]
    return variant, tuple(parts)  # type: ignore[return-value]


def _jpeg_quality(table: list[int]) -> int:
    """The quality 1–100 whose luminance table (libjpeg's, from its first entry 16) starts as this file's does."""
    for quality in range(100, 0, -1):
        scale = 200 - 2 * quality if quality >= 50 else 5000 // quality
        if max(1, (16 * scale + 50) // 100) == table[0] and max(1, (99 * scale + 50) // 100) == table[-1]:
            return quality
    return 0


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


READERS: dict[str, Callable[[Path, bool], tuple[str, Parts]]] = {
    "digits": _read_digits,
    "cifar10": _read_cifar10,
    "fashion_mnist": _read_fashion_mnist,
}


def load(name: str, root: Path, download: bool = False) -> ImageData:
    """The data set of this name, decoded at the first call and cached under root/cache/.

    Raises `DataError`, one line, where it is missing, damaged, or its cache does not match its fingerprint.
    """
    cache = root / "cache" / f"{name}.safetensors"
    if name == "digits":
        variant, parts = READERS[name](root, download)
        tensors = dict(zip(("train_images", "train_labels", "test_images", "test_labels"), map(torch.from_numpy, parts), strict=True))
        return _assemble(name, variant, tensors, _fingerprint(tensors))
    from .checkpoint import CheckpointError, read_tensors, write_tensors

    if cache.is_file():
        try:
            tensors, meta = read_tensors(cache)
            if _fingerprint(tensors) == meta["fingerprint"]:
                return _assemble(name, meta["variant"], tensors, meta["fingerprint"])
        except (CheckpointError, KeyError):
            pass
        raise DataError(f"{cache} is damaged; delete it and it is made anew")
    variant, parts = READERS[name](root, download)
    tensors = {
        key: torch.from_numpy(np.ascontiguousarray(part))
        for key, part in zip(("train_images", "train_labels", "test_images", "test_labels"), parts, strict=True)
    }
    data = _assemble(name, variant, tensors, _fingerprint(tensors))
    try:
        write_tensors(cache, tensors, {"variant": variant, "fingerprint": data.fingerprint})
    except OSError as error:
        print(f"note: {name} is not cached: {_one_line(error)}", file=sys.stderr)
    return data


def _fingerprint(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(f"{key}{tuple(tensors[key].shape)}".encode())
        digest.update(tensors[key].numpy().data)
    return digest.hexdigest()[:16]


def _assemble(name: str, variant: str, tensors: dict[str, Tensor], fingerprint: str) -> ImageData:
    train = Split(tensors["train_images"], tensors["train_labels"])
    test = Split(tensors["test_images"], tensors["test_labels"])
    return ImageData(name, variant, train, test, int(train.labels.max()) + 1, fingerprint)


class Batches:
    """Batches of a split on a device: crop and flip as one gather, normalised and cut out in place.

    Images are padded once, with black. `pad` 0 means no crop and no flip. Each call of `epoch` takes a generator, so
    that a batch depends on nothing but the seed behind it.
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
    ) -> None:
        if len(split) < batch:
            raise DataError(f"{len(split)} images do not fill one batch of {batch}")
        self.size, self.batch, self.pad = split.images.shape[1], batch, pad
        self.flip, self.cutout, self.autoaugment = flip and pad > 0, cutout, autoaugment
        images = split.images
        if pad:
            images = torch.nn.functional.pad(images, (0, 0, pad, pad, pad, pad))
        self.images, self.labels = images.contiguous().to(device), split.labels.to(device)
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
        for indices in torch.arange(len(self.labels)).split(self.batch):
            yield self._plain(indices)

    def _plain(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.device)
        inner = slice(self.pad, self.pad + self.size)
        return self._normalise(self.images[indices][:, inner, inner]), self.labels[indices]

    def make(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One augmented batch of the images at `indices` (B,)."""
        count, side = len(indices), torch.arange(self.size)
        padded, channels = self.size + 2 * self.pad, self.images.shape[3]
        if self.pad:
            # random numbers are drawn on the CPU, so that every device sees the same augmentation
            rows = torch.randint(2 * self.pad + 1, (count, 1), generator=generator) + side
            columns = torch.randint(2 * self.pad + 1, (count, 1), generator=generator) + side
            if self.flip:
                flipped = torch.rand(count, generator=generator) < 0.5
                columns = torch.where(flipped[:, None], columns.flip(1), columns)
            rows = (indices[:, None] * padded + rows) * padded  # where each row begins among all pixels
            pixel = (rows[:, :, None] + columns[:, None, :]).to(self.device)  # (B, H, W)
            pixels = self.images.view(-1, channels).index_select(0, pixel.view(-1)).view(count, self.size, self.size, channels)
            indices = indices.to(self.device)
        else:
            indices = indices.to(self.device)
            pixels = self.images[indices]
        if self.autoaugment:
            from .augment import autoaugment

            pixels = autoaugment(pixels.permute(0, 3, 1, 2), generator).permute(0, 2, 3, 1)
        images = self._normalise(pixels)
        if self.cutout:
            self._cut_out(images, generator)
        return images, self.labels[indices]

    def _normalise(self, pixels: Tensor) -> Tensor:
        rows = pixels.reshape(len(pixels), self.size, -1).to(torch.float32).sub_(self.mean).div_(self.deviation)
        return rows.view(len(pixels), self.size, self.size, -1).permute(0, 3, 1, 2)  # NHWC memory: channels_last

    def _cut_out(self, images: Tensor, generator: torch.Generator) -> None:
        """Zero a square around a uniformly drawn pixel of each image, clipped at the border (DeVries and Taylor)."""
        side = torch.arange(self.size)
        inside = []
        for places in (side, side.repeat_interleave(images.shape[1])):
            first = torch.randint(self.size, (len(images), 1), generator=generator) - self.cutout // 2
            inside.append(((places >= first) & (places < first + self.cutout)).to(torch.float32))
        keep = (1 - inside[0][:, :, None] * inside[1][:, None, :]).to(self.device)  # (B, H, W·C)
        images.permute(0, 2, 3, 1).view(keep.shape).mul_(keep)

"""ImageNet: an image folder too large for memory, read, cropped and augmented by worker processes (4.3, 6.2.2).

Training: a random crop of 8 % to 100 % of the area to 224×224, flipped at random, AutoAugment's ImageNet policy or colour
jitter. Test: scaled to 256, the central 224×224.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from .augment import JITTER
from .batches import describe
from .images import DataError, Files, View, opened

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 224
VIEW = View(256, SIDE, 3, "squash")  # of a test image


@dataclass(frozen=True)
class FolderData:
    """`train` and `test` list the files; an image is decoded when it is asked for."""

    folder: Path
    train: Files
    test: Files
    fingerprint: str
    class_names: tuple[str, ...]
    name: str = "imagenet"
    variant: str = "imagenet"
    channels: int = 3
    size: int = SIDE
    order: str = ""  # the files', which their names fix
    view: View = VIEW

    @classmethod
    def open(cls, folder: Path) -> FolderData:
        """The data set under `folder`/{train,val}/<class>/. Raises `DataError`, one line, where it is not whole."""
        if not folder.is_dir():
            raise DataError(f"ImageNet is not under {folder.parent}: expected imagenet/train/<class>/ and imagenet/val/<class>/")
        train, test = (Files.under(folder / half, folder) for half in ("train", "val"))
        if train.classes != test.classes:
            raise DataError(f"{folder}: train and val have different classes")
        digest = hashlib.sha256()
        for path in (*train.paths, *test.paths):
            digest.update(f"{os.path.relpath(path, folder)} {os.stat(path).st_size}\n".encode(errors="surrogateescape"))
        return cls(folder, train, test, digest.hexdigest()[:16], train.classes)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """The customary mean and standard deviation of each channel, (3,), in [0, 1]."""
        return torch.tensor(MEAN), torch.tensor(DEVIATION)

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def training(self, images: int, order: torch.Generator, batch: int, device: torch.device, **options: Any) -> FolderBatches:
        """Batches of `images` training images drawn by `order` (0: of all), augmented."""
        chosen = torch.randperm(len(self.train), generator=order)[:images].tolist() if images else range(len(self.train))
        return FolderBatches(self.train, chosen, batch, device, **options)

    def testing(self, batch: int, device: torch.device, share: slice = slice(None)) -> FolderBatches:
        """Batches of the test images, not augmented."""
        return FolderBatches(self.test, range(len(self.test)), min(batch, len(self.test)), device, share=share)

    def describe(self) -> dict[str, Any]:
        """What a record keeps."""
        return describe(self)


class _Images(Dataset[tuple[Tensor, int]]):
    """Some of the images of `files`, transformed, with their labels."""

    def __init__(self, files: Files, chosen: Sequence[int], transform: Any) -> None:
        self.paths, self.labels = [files.paths[i] for i in chosen], [files.labels[i] for i in chosen]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        with opened(self.paths[i]) as image:
            return self.transform(image.convert("RGB")), self.labels[i]


class FolderBatches:
    """Batches as `data.Batches` makes them, read by as many workers as there are cores."""

    def __init__(
        self,
        files: Files,
        chosen: Sequence[int],
        batch: int,
        device: torch.device,
        flip: bool = True,
        cutout: int = 0,
        autoaugment: bool = False,
        color: bool = False,
        share: slice = slice(None),
    ) -> None:
        if len(chosen) < batch:
            raise DataError(f"{len(chosen)} images do not fill one batch of {batch}")
        if cutout:
            raise DataError("ImageNet is trained without cutout: cutout must be 0")
        normalise = [transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)]
        augmented: list[Any] = [transforms.RandomResizedCrop(SIDE, (0.08, 1.0))]
        augmented += [transforms.RandomHorizontalFlip()] if flip else []
        augmented += [transforms.AutoAugment(transforms.AutoAugmentPolicy.IMAGENET)] if autoaugment else []
        augmented += [transforms.ColorJitter(JITTER, JITTER, JITTER)] if color else []
        plain = [transforms.Resize((256, 256)), transforms.CenterCrop(SIDE)]
        self.augmented, self.plain = (_Images(files, chosen, transforms.Compose([*steps, *normalise])) for steps in (augmented, plain))
        self.count, self.batch, self.device, self.share = len(chosen), batch, device, share
        self.workers = max((os.cpu_count() or 1) - 1, 1)

    @property
    def labels(self) -> range:
        """As many as there are images."""
        return range(self.count)

    def __len__(self) -> int:
        """Whole batches in an epoch."""
        return self.count // self.batch

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole batches of one epoch in random order: images (B, 3, 224, 224) float32 channels_last, labels (B,)."""
        order = torch.randperm(self.count, generator=generator)
        batches = [order[i * self.batch : (i + 1) * self.batch][self.share].tolist() for i in range(len(self))]
        yield from self._load(self.augmented, batches, generator)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, in order and not augmented; the last batch may be smaller."""
        batches = [part.tolist() for part in torch.arange(self.count)[self.share].split(self.batch)]
        yield from self._load(self.plain, batches, torch.Generator())

    def _load(self, images: Any, batches: list[list[int]], generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        cuda = self.device.type == "cuda"
        loader = DataLoader(images, batch_sampler=batches, num_workers=self.workers, generator=generator, pin_memory=cuda)
        for x, y in loader:
            yield x.to(self.device, non_blocking=cuda).contiguous(memory_format=torch.channels_last), y.to(self.device, non_blocking=cuda)

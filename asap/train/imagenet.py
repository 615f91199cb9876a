"""ImageNet: an image folder too large for memory, read, cropped and augmented by worker processes (4.3, 6.2.2).

Training: a random crop of 8 % to 100 % of the area to 224×224, flipped at random, AutoAugment's ImageNet policy or colour
jitter. Test: scaled to 256, the central 224×224.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from .augment import JITTER
from .batches import DataSet
from .folders import two_halves
from .images import DataError, Files, View, opened

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 224


class FolderData(DataSet):
    """`train` and `test` are `Files`; an image is decoded when it is asked for. The names of the files fix their order."""

    @classmethod
    def open(cls, folder: Path) -> FolderData:
        """The data set under `folder`/{train,val}/<class>/. Raises `DataError`, one line, where it is not whole."""
        if not folder.is_dir():
            raise DataError(f"ImageNet is not under {folder.parent}: expected imagenet/train/<class>/ and imagenet/val/<class>/")
        train, test = two_halves(folder, test="val")
        digest = hashlib.sha256()
        for path in (*train.paths, *test.paths):
            digest.update(f"{os.path.relpath(path, folder)} {os.stat(path).st_size}\n".encode(errors="surrogateescape"))
        view = View(256, SIDE, 3, "squash")  # of a test image
        return cls("imagenet", "imagenet", train, test, digest.hexdigest()[:16], "", train.classes, view)

    @property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """The customary mean and standard deviation of each channel, (3,), in [0, 1]."""
        return torch.tensor(MEAN), torch.tensor(DEVIATION)

    def training(self, images: int, order: torch.Generator, batch: int, device: torch.device, **options: Any) -> FolderBatches:
        """Batches of `images` training images drawn by `order` (0: of all), augmented."""
        return FolderBatches(self.chosen(images, order), batch, device, **options)

    def testing(self, batch: int, device: torch.device, share: slice = slice(None)) -> FolderBatches:
        """Batches of the test images, not augmented."""
        return FolderBatches(self.test, min(batch, len(self.test)), device, share=share)


class _Images(Dataset[tuple[Tensor, int]]):
    """The images of `files`, transformed, with their labels. Its random numbers are those of `seed` and its place, whoever reads it."""

    def __init__(self, files: Files, transform: Any) -> None:
        self.files, self.transform, self.seed = files, transform, 0

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        torch.manual_seed(self.seed + i)  # in a worker's process
        with opened(self.files.paths[i]) as image:
            return self.transform(image.convert("RGB")), self.files.labels[i]


class FolderBatches:
    """Batches as `batches.Batches` makes them, read by a worker for each core of this process' share but one."""

    def __init__(
        self,
        files: Files,
        batch: int,
        device: torch.device,
        flip: bool = True,
        cutout: int = 0,
        autoaugment: bool = False,
        color: bool = False,
        share: slice = slice(None),
    ) -> None:
        if cutout:
            raise DataError("ImageNet is trained without cutout: cutout must be 0")
        normalise = [transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)]
        augmented: list[Any] = [transforms.RandomResizedCrop(SIDE, (0.08, 1.0))]
        augmented += [transforms.RandomHorizontalFlip()] if flip else []
        augmented += [transforms.AutoAugment(transforms.AutoAugmentPolicy.IMAGENET)] if autoaugment else []
        augmented += [transforms.ColorJitter(JITTER, JITTER, JITTER)] if color else []
        plain = [transforms.Resize((256, 256)), transforms.CenterCrop(SIDE)]
        self.augmented, self.plain = (_Images(files, transforms.Compose([*steps, *normalise])) for steps in (augmented, plain))
        self.labels, self.batch, self.device, self.share = files.labels, batch, device, share

    def __len__(self) -> int:
        """Whole batches in an epoch."""
        return len(self.labels) // self.batch

    def epoch(self, generator: torch.Generator, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """As `Batches.epoch`, of images (B, 3, 224, 224)."""
        order = torch.randperm(len(self.labels), generator=generator)[: len(self) * self.batch]
        return self._load(self.augmented, [part[self.share] for part in order.split(self.batch)[first:]], generator)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, in order and not augmented; the last batch may be smaller."""
        return self._load(self.plain, torch.arange(len(self.labels))[self.share].split(self.batch), torch.Generator())

    def _load(self, images: Any, batches: Any, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        cuda, workers = self.device.type == "cuda", max(here // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) - 1, 1)  # of each process
        chosen = [part.tolist() for part in batches]
        images.seed = int(torch.randint(2**62, (1,), generator=generator))
        loader = DataLoader(images, batch_sampler=chosen, num_workers=workers, generator=generator, pin_memory=cuda)
        try:
            for x, y in loader:
                x = x.to(self.device, non_blocking=cuda).contiguous(memory_format=torch.channels_last)
                yield x, y.to(self.device, non_blocking=cuda)
        except DataError as error:  # which a worker's traceback precedes
            raise DataError(str(error).rpartition("DataError: ")[2].removesuffix("\\n")) from None

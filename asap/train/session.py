"""What a search and an evaluation share: opening its folder, measuring a network, failing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..records.parameters import EvaluationParameters, ParameterError, SearchParameters, data_root, run_name, runs_root
from ..records.recorder import Follower, Recorder
from . import device as machine
from . import distributed
from .batches import Batches, ImageData
from .datasets import load
from .imagenet import FolderBatches, FolderData

# the purposes of a run's random streams
INIT, SPLIT, TRAIN_ORDER, VALIDATION_ORDER, GLOBAL, RECALIBRATION = range(6)


class OutOfTime(Exception):
    """The minutes given are over; the checkpoint is whole, and the same command goes on from it."""


class Deadline:
    """The minutes given to a run, counted from now; 0 is no limit."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes if minutes else float("inf")

    def check(self, epoch_seconds: float) -> None:
        """Raise `OutOfTime` where another epoch like the last would not fit."""
        if time.monotonic() + epoch_seconds > self.end:
            raise OutOfTime("the minutes given are over; the same command goes on from the checkpoint")


class RunFailed(RuntimeError):
    """A run that began and could not end; the message is one line."""


def prepare(p: SearchParameters | EvaluationParameters) -> tuple[torch.device, ImageData | FolderData]:
    """The device and the data set of a run. Raises `UserError` where either is not to be had."""
    device = distributed.local_device(machine.choose_device(p.device))
    if device.type == "cpu":
        machine.keep_freed_memory()
    if p.threads:
        torch.set_num_threads(p.threads)
    images = load(p.dataset, data_root(p.data_root), p.download)
    used = p.images or len(images.train)
    if used > len(images.train):
        raise ParameterError(f"images is {p.images}, but {p.dataset} has {len(images.train)} training images")
    if used // (2 if isinstance(p, SearchParameters) else 1) < p.batch:
        raise ParameterError(f"{used} training images do not fill a batch of {p.batch}")
    return device, images


@contextmanager
def recording(
    p: SearchParameters | EvaluationParameters, kind: str, device: torch.device, images: ImageData | FolderData, **described: Any
) -> Iterator[Recorder | Follower]:
    """The record of a run, locked; a failure inside is said in it."""
    folder: Path = runs_root(p.runs_root) / p.study / run_name(p)
    recorder: Recorder | Follower
    if distributed.rank() == 0:
        on = machine.describe(device) | ({"processes": distributed.world()} if distributed.world() > 1 else {})
        recorder = Recorder(folder, kind, p.identity(), p.matches, data=images.describe(), machine=on, **described)
        distributed.from_first(recorder.finished)
    else:
        recorder = Follower(folder, distributed.from_first(None))
    try:
        if recorder.finished and distributed.rank() == 0:
            print(f"{folder} is finished already; nothing was done", file=sys.stderr)
        yield recorder
    except torch.OutOfMemoryError as error:
        recorder.fail("out of memory")
        raise RunFailed(f"out of memory: {' '.join(str(error).split())[:160]}") from None
    except OSError as error:
        raise RunFailed(f"could not write under {folder}: {error.strerror or error}; the last checkpoint is kept") from None
    except RunFailed as error:
        recorder.fail(str(error))
        raise
    finally:
        recorder.close()


def check_finite(row: dict[str, Any]) -> None:
    """Raise `RunFailed` where an epoch's training loss is not a number: the last checkpoint is from before it."""
    if not np.isfinite(row["train_loss"]):
        raise RunFailed(f"the training loss of epoch {row['epoch']} is not finite; the last checkpoint is kept")


@torch.no_grad()
def measure(network: torch.nn.Module, logits: Callable[[Tensor], Tensor], batches: Batches | FolderBatches) -> tuple[float, float]:
    """Mean loss and accuracy on all images of `batches`, not augmented, with BatchNorm's running statistics."""
    network.eval()
    loss = torch.zeros((), dtype=torch.float64, device=batches.device)
    correct = torch.zeros((), dtype=torch.int64, device=batches.device)
    for images, labels in batches.in_order():
        predicted = logits(images)
        loss += F.cross_entropy(predicted, labels, reduction="sum")
        correct += (predicted.argmax(1) == labels).sum()
    network.train()
    return float(distributed.total(loss)) / len(batches.labels), int(distributed.total(correct)) / len(batches.labels)


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

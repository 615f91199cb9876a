"""The folder of a search or an evaluation while it runs: opened, locked, and failing in one line that its record says too."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError, one_line
from ..records.parameters import EvaluationParameters, ParameterError, SearchParameters, data_root, run_name, runs_root
from ..records.recorder import Follower, Recorder
from ..records.run import CHECKPOINT, RecordError, read_info
from . import device as machine
from . import distributed
from .batches import ImageData
from .datasets import load
from .ends import Interrupted, RunFailed
from .imagenet import FolderData
from .images import DataError

Parameters = SearchParameters | EvaluationParameters


def prepare(p: Parameters, weights: float) -> tuple[torch.device, ImageData | FolderData]:
    """The device and the data set of a run. weights: of the network, at least.

    Raises `UserError` where the device or the data set is not to be had, or holds no such network; `RunFailed` where memory runs out.
    """
    device = distributed.local_device(machine.choose_device(p.device))
    machine.check_room(weights, device)
    machine.set_up(device)
    if p.threads:
        torch.set_num_threads(p.threads)
    try:
        images = load(p.dataset, data_root(p.data_root), p.download, p.folder, p.image_size, p.test_share)
    except (MemoryError, RuntimeError) as error:
        raise RunFailed(f"{p.dataset} could not be read: {why(error)}") from error
    used = p.images or len(images.train)
    if used > len(images.train):
        raise ParameterError(f"images is {p.images}, but {p.dataset} has {len(images.train)} training images")
    trained, whose = (used // 2, ", half of all,") if isinstance(p, SearchParameters) else (used, "")
    if trained < p.batch:
        raise ParameterError(f"{trained} training images{whose} do not fill a batch of {p.batch}")
    if isinstance(p, EvaluationParameters) and p.auxiliary_weight and p.stem == "imagenet" and images.size <= 32:
        raise ParameterError("the auxiliary head needs images beyond 32×32 after the stem imagenet; give stem cifar, or auxiliary_weight 0")
    if isinstance(p, EvaluationParameters) and p.auxiliary_weight and p.batch // distributed.world() < 2:
        raise ParameterError("the auxiliary head needs a batch of at least 2 images a process; give batch, or auxiliary_weight 0")
    if isinstance(p, EvaluationParameters) and p.cutout >= (1 if isinstance(images, FolderData) else images.size):
        raise ParameterError(f"cutout {p.cutout} must be smaller than the images, {images.size}×{images.size}, and 0 for ImageNet's")
    return device, images


@contextmanager
def recording(p: Parameters, kind: str, device: torch.device, images: ImageData | FolderData, **described: Any) -> Iterator[Recorder]:
    """The record of a run, locked. A failure inside is said in it and raised as `RunFailed`, in one line.

    Raises `RecordError` where the folder is another run's, or this run's begun with another number of threads.
    """
    folder: Path = runs_root(p.runs_root) / p.study / run_name(p)
    if distributed.rank() == 0:
        on = machine.describe(device) | ({"processes": distributed.world()} if distributed.world() > 1 else {})
        same_threads(folder, on)
        recorder: Recorder = Recorder(folder, kind, p.identity(), p.matches, data=images.describe(), machine=on, **described)
        with suppress(OSError):  # what a kill left; but a finished run may lie where nothing can be written
            for left in [*folder.glob(".*.part"), *([recorder.checkpoint] if recorder.finished else [])]:
                left.unlink(missing_ok=True)
        distributed.from_first(recorder.finished)
    else:
        recorder = Follower(folder, distributed.from_first(None))
    try:
        if recorder.finished and distributed.rank() == 0:
            print(f"{folder} is finished already; nothing was done", file=sys.stderr)
        yield recorder
    except UserError as error:
        if isinstance(error, DataError):  # of an image that was read only now
            with suppress(OSError):
                recorder.fail(str(error))
        raise
    except KeyboardInterrupt as error:
        goes_on = "goes on from the checkpoint" if recorder.checkpoint.is_file() else "begins anew"
        raise Interrupted(getattr(error, "status", 128 + signal.SIGINT), f"interrupted; the same command {goes_on}") from None
    except (RuntimeError, MemoryError, ArithmeticError, ValueError, OSError) as error:
        reason = why(error)
        with suppress(OSError):  # a full disk has no room for this either
            recorder.fail(reason)
        kept = "; the last checkpoint is kept" if recorder.checkpoint.is_file() else ""
        raise RunFailed(f"{reason}{kept}") from error
    finally:
        recorder.close()


def why(error: Exception) -> str:
    """The reason of a failure in one line."""
    text = one_line(error)
    if isinstance(error, RunFailed):
        return text
    if isinstance(error, OSError):
        return f"the disk or a file failed: {error.strerror or text}{f' ({error.filename})' if error.filename else ''}"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or re.search("(out of|allocate|enough) memory", text):
        return f"out of memory: {text}" if text else "out of memory"
    if isinstance(error.__context__, MemoryError):  # which torch.save covers by its own
        return "out of memory"
    return f"{type(error).__name__}: {text}"


def same_threads(folder: Path, here: dict[str, Any]) -> None:
    """Raise `RecordError` where an unfinished run on a CPU was begun with other threads or processes: it would end otherwise."""
    if not (folder / CHECKPOINT).is_file() or not (folder / "run.json").is_file():
        return
    info = read_info(folder)
    there = info.get("machine", {})
    if info["status"] == "finished" or there.get("device") != "cpu" or here["device"] != "cpu":
        return
    for name, give in (("threads", "--threads "), ("processes", "torchrun --nproc-per-node ")):
        begun, now = there.get(name, 1), here.get(name, 1)
        if begun != now:
            raise RecordError(f"{folder} was begun with {give}{begun}, and would end otherwise with {now}: give that, or delete the folder")

"""What a search and an evaluation share: the loop over epochs and steps, its checkpoints, and its end."""

from __future__ import annotations

import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from ..errors import one_line
from ..records.recorder import Recorder
from . import device as machine
from . import distributed
from .batches import Batches
from .checkpoint import CheckpointError, load_optimizer, optimizer_tensors, read_tensors, write_tensors
from .ends import OutOfTime, RunFailed, Signals
from .imagenet import FolderBatches
from .recording import Parameters, prepare, recording

try:
    from tqdm.auto import tqdm
except ImportError:  # tests/benchmarks/gpu_study.py asks for no more than torch, torchvision, pandas and pyarrow
    tqdm = None

# The purposes of a run's random streams; with the seed and the epoch, the numbers that they give. Records fix which number each has.
INIT, SPLIT, TRAIN_ORDER, VALIDATION_ORDER, GLOBAL, RECALIBRATION, _, ALPHA, CELLS, LOOKS = range(10)

CHECKPOINT_SECONDS = 600.0  # between two checkpoints within an epoch


class Session(ABC):
    """A run as a loop over epochs of steps. What it is at a step's end is in its checkpoint, so a run that stops and goes on, at an
    epoch's end or within it, ends with the record of one that never stopped, to the bit; times aside.

    A search and an evaluation set `network`, `optimizer`, `train`, and call `resume` when they are made.
    """

    title: str  # of the progress bar
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    train: Batches | FolderBatches

    def __init__(self, p: Parameters, device: torch.device, recorder: Recorder) -> None:
        self.p, self.device, self.recorder = p, device, recorder
        self.epoch = 0  # whole epochs done
        self.steps_done = 0  # steps done in the epoch after those
        self.alpha_steps = 0  # of which updated α
        self.rows: list[dict[str, Any]] = []
        self.signals = Signals()
        self.saved, self.end = time.monotonic(), math.inf
        self.bar: Any = None

    # what a search and an evaluation do in their own ways

    @abstractmethod
    def begin_epoch(self) -> None:
        """Set all that is of the epoch: random streams, rate, temperature."""

    @abstractmethod
    def run_epoch(self) -> dict[str, Any]:
        """The steps that are left of an epoch, and its row of epochs.csv without the columns that every run has."""

    @abstractmethod
    def done(self) -> bool:
        """Whether no epoch is left to run."""

    @abstractmethod
    def finish(self) -> None:
        """Write what the run has come to, and close its record."""

    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        """What the progress bar shows of an epoch beside its loss."""
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """What the checkpoint holds beside the network and the optimizer, as group/name."""
        return {}

    def restore(self, groups: dict[str, dict[str, Tensor]]) -> None:
        """Put back what `tensors` gave, by group, before the network and the optimizer."""
        return

    # the loop

    def run(self, progress: bool, signals: Signals) -> None:
        """Run what is left of the run. Raises `OutOfTime`, `RunFailed` or `Interrupted` where it does not end."""
        p, steps, self.signals = self.p, len(self.train), signals
        self.end = time.monotonic() + 60 * p.minutes if p.minutes else math.inf
        if tqdm is not None and progress:
            done = self.epoch * steps + self.steps_done
            self.bar = tqdm(total=p.epochs * steps, initial=done, desc=self.title, unit="step")
        try:
            while not self.done():
                if self.steps_done == 0:  # else it goes on from a checkpoint within the epoch
                    self.clear()
                    self.begin_epoch()
                self.began = time.perf_counter() - self.seconds
                row = {"epoch": self.epoch + 1, **self.run_epoch()}
                row |= {"seconds": round(time.perf_counter() - self.began, 4), "peak_memory_mb": round(machine.peak_memory(self.device), 1)}
                check_finite(row)
                self.rows.append(row)
                self.epoch, self.steps_done, self.alpha_steps = self.epoch + 1, 0, 0
                self.save()
                if self.bar is not None:
                    self.bar.set_postfix(loss=f"{row['train_loss']:.3f}", **self.shown(row))
                # several processes stop together, at the end of an epoch after which the next would not fit
                more = row["seconds"] if distributed.world() > 1 else 0.0
                if not self.done() and distributed.from_first(time.monotonic() + more > self.end):
                    self.out_of_time()
        finally:
            if self.bar is not None:
                self.bar.close()
        self.finish()

    def clear(self) -> None:
        """Zero what an epoch adds up."""
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.correct = torch.zeros((), dtype=torch.int64, device=self.device)
        self.seconds = 0.0
        self.clocks = {name: machine.Stopwatch(self.device) for name in ("weights", "alpha", "measure")}

    def steps(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """The training batches that an epoch has left. After each, what is asked for between two steps: a checkpoint, or the end.

        generator: that of the whole epoch."""
        alone = distributed.world() == 1
        self.signals.waiting = alone
        try:
            for batch in self.train.epoch(generator, self.steps_done):
                yield batch
                self.steps_done += 1
                if self.bar is not None:
                    self.bar.update()
                now = time.monotonic()
                if alone and (self.signals.asked or now > self.end or now - self.saved > CHECKPOINT_SECONDS):
                    self.save()
                    if self.signals.asked:
                        self.signals.stop()
                    if now > self.end:
                        self.out_of_time()
        finally:
            self.signals.waiting = False

    def close(self, outcome: dict[str, Any]) -> None:
        """Close the record: from now on the run is a result."""
        self.recorder.write("epochs.csv", self.rows)
        seconds = round(sum(row["seconds"] for row in self.rows), 1)
        self.recorder.finish({**outcome, "epochs": self.epoch, "seconds": seconds})
        warn(self.title, outcome)

    def out_of_time(self) -> NoReturn:
        raise OutOfTime("the minutes given are over; the same command goes on from the checkpoint")

    # the checkpoint

    def names(self) -> dict[Tensor, str]:
        return {parameter: f"sgd/{name}/" for name, parameter in self.network.named_parameters()}

    def save(self) -> None:
        """Write the checkpoint, and at an epoch's end the record so far."""
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        tensors |= optimizer_tensors(self.optimizer, self.names()) | self.tensors()
        state = {"identity": self.p.identity(), "epoch": self.epoch, "rows": self.rows, "step": self.steps_done}
        if self.steps_done:
            check_finite({"epoch": self.epoch + 1, "train_loss": float(self.loss_sum)})
            tensors |= {"epoch/loss_sum": self.loss_sum, "epoch/correct": self.correct, "epoch/random": torch.get_rng_state()}
            if self.device.type == "cuda":
                tensors["epoch/random_cuda"] = torch.cuda.get_rng_state(self.device)
            state |= {"alpha_steps": self.alpha_steps, "seconds": time.perf_counter() - self.began}
            state["clocks"] = {name: clock.total() for name, clock in self.clocks.items()}
        if distributed.rank() == 0:
            write_tensors(self.recorder.checkpoint, tensors, state)
        self.saved = time.monotonic()
        if not self.steps_done:
            self.recorder.write("epochs.csv", self.rows)

    def resume(self) -> None:
        """Go back to the last whole checkpoint, where there is one."""
        path = self.recorder.checkpoint
        if not path.is_file():
            return
        tensors, state = read_tensors(path)
        if not self.p.matches(state.get("identity", {})):
            raise CheckpointError(f"{path} belongs to a run of other parameters")
        groups: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            group, rest = name.split("/", 1)
            groups.setdefault(group, {})[rest] = value
        try:
            self.epoch, self.rows, self.steps_done = state["epoch"], state["rows"], state.get("step", 0)
            if [type(self.epoch), type(self.steps_done), *map(type, self.rows)] != [int, int, *[dict] * self.epoch]:
                raise ValueError("its epoch, step and rows do not agree")
            if self.steps_done:
                self.clear()
                self.begin_epoch()
                within = groups["epoch"]
                self.loss_sum.copy_(within["loss_sum"])
                self.correct.copy_(within["correct"])
                self.alpha_steps, self.seconds = state["alpha_steps"], state["seconds"]
                for name, seconds in state["clocks"].items():
                    self.clocks[name].seconds = seconds
            self.restore(groups)
            self.network.load_state_dict(groups["network"])
            load_optimizer(self.optimizer, self.names(), tensors)
            if self.steps_done:
                torch.set_rng_state(within["random"])
                if self.device.type == "cuda" and "random_cuda" in within:
                    torch.cuda.set_rng_state(within["random_cuda"].cpu(), self.device)
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError) as error:
            raise CheckpointError(f"{path} does not fit this run: {one_line(error)}") from None


def conduct(
    session: Callable[[Any, torch.device, Recorder], Session], p: Parameters, kind: str, progress: bool, weights: float, **described: Any
) -> Path:
    """Make a run, or go on with an unfinished one, and return its folder. session: makes it from its images, device and recorder.

    weights: of the network, at least. described: what the record says of the run beside its parameters.
    Raises as `prepare`, `recording` and `Session.run` do.
    """
    threads = torch.get_num_threads()
    try:
        with Signals() as signals:
            device, images = prepare(p, weights)
            with distributed.group(device, p.batch), recording(p, kind, device, images, **described) as recorder:
                if not recorder.finished:
                    session(images, device, recorder).run(progress and distributed.rank() == 0, signals)
                return recorder.folder
    finally:
        torch.set_num_threads(threads)  # the next run in this process may ask for none


def warn(name: str, outcome: Mapping[str, Any]) -> None:
    """Say on standard error what a run's outcome warns of: that it does not mean what a result should."""
    if "warning" in outcome and distributed.rank() == 0:
        print(f"asap: warning: {name}: {outcome['warning']}", file=sys.stderr)


def check_finite(row: dict[str, Any]) -> None:
    """Raise `RunFailed` where a loss or an entropy of an epoch's row is no finite number: the last checkpoint is from before it."""
    for name, value in row.items():
        if ("loss" in name or "entropy" in name) and not math.isfinite(value):
            raise RunFailed(f"the {name} of epoch {row['epoch']} is not finite".replace("_", " "))

"""Trains a derived network from scratch on a whole training set and tests it (4.2, 6.2.2)."""

from __future__ import annotations

import dataclasses
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks.derived import DerivedNetwork, Size
from ..paper.space import Genotype, cell_by_name
from ..records.parameters import EvaluationParameters, ParameterError, runs_root
from ..records.recorder import Recorder
from ..records.run import Run, pack, run_folder
from . import device as machine
from . import distributed
from .batches import ImageData
from .graphs import changed, changing, graphed, set_rate
from .imagenet import FolderData
from .measure import measure
from .predict import keep
from .rates import cosine, one_cycle, power_cosine
from .session import GLOBAL, INIT, SPLIT, TRAIN_ORDER, Session, check_finite, conduct, warn


def evaluate(parameters: EvaluationParameters, progress: bool = True) -> Path:
    """As `asap.evaluate`, which says what it raises, by its parameters. The cell is that of a search (`run`), or
    `space.cell_by_name(cell)`."""
    p = parameters
    if p.run:
        searched = Run.open(run_folder(p.run, runs_root(p.runs_root)))
        if searched.info["kind"] != "search":
            raise ParameterError(f"{p.run} is no search, but a run of kind {searched.info['kind']}")
        warn(p.run, searched.outcome)
        if (there := searched.parameters["dataset"]) != p.dataset and distributed.rank() == 0:
            print(f"note: the cell was searched on {there}, and is evaluated on {p.dataset}", file=sys.stderr)
        genotype, p = searched.genotype(p.edge_rule), dataclasses.replace(p, run=searched.name)
    else:
        genotype = cell_by_name(p.cell)
    weights = Size(genotype, p.channels, p.layers).parameters
    return conduct(partial(_Evaluation, p, genotype), p, "evaluation", progress, weights, genotype=genotype.to_dict())


class _Evaluation(Session):
    """The state of one running evaluation."""

    p: EvaluationParameters

    def __init__(
        self,
        p: EvaluationParameters,
        genotype: Genotype,
        images: ImageData | FolderData,
        device: torch.device,
        recorder: Recorder,
    ) -> None:
        super().__init__(p, device, recorder)
        self.title = p.cell or p.run
        order = machine.random_stream(p.seed, 0, SPLIT)
        share = slice(distributed.rank(), None, distributed.world())  # of each batch, and of the test images: this process'
        augmentation = {"flip": p.flip, "cutout": p.cutout, "autoaugment": p.autoaugment, "color": p.color, "share": share}
        self.train = images.training(p.images, order, p.batch, device, **augmentation)
        self.test = images.testing(4 * p.batch, device, share)
        machine.seed_everything(p.seed, 0, INIT)
        self.size = Size(genotype, p.channels, p.layers, images.classes, images.channels, images.size, p.stem, p.squeeze_excitation)
        self.images = images
        self.network = DerivedNetwork(dataclasses.replace(self.size, auxiliary=p.auxiliary_weight > 0))
        if p.sync_batch_norm:
            distributed.share_batch_norm(self.network)
        self.network.to(device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            changing(p.learning_rate, device),
            p.momentum,
            weight_decay=p.weight_decay,
            nesterov=p.nesterov,
            fused=True,
        )
        parallel = distributed.parallel(self.network, device, genotype.idle)
        self.forward = torch.compile(parallel) if p.compile else parallel
        self.drop = 0.0  # drop-path probability of the epoch, and as the step reads it
        self.dropping = changing(0.0, device) if p.drop_path else 0.0
        self.step = graphed(self._step, device, p.graphs and not p.compile and distributed.world() == 1)
        self.resume()

    def rate(self, step: int) -> float:
        """The learning rate of a step; only the one-cycle schedule changes within an epoch."""
        p, steps = self.p, len(self.train)
        if p.rate_schedule == "one_cycle":
            return one_cycle(step + 1, p.epochs * steps + 1, p.learning_rate)
        epoch = step // steps
        if p.rate_schedule == "cosine":
            return cosine(epoch, p.epochs, p.learning_rate)
        return power_cosine(epoch, p.epochs, p.cycles, p.learning_rate, p.amplitude_decay)

    def begin_epoch(self) -> None:
        p, rank = self.p, distributed.rank()
        machine.seed_everything(p.seed, self.epoch + 1, GLOBAL, *([rank] if rank else []))
        self.drop = p.drop_path * self.epoch / p.epochs
        self.dropping = changed(self.dropping, self.drop)

    def run_epoch(self) -> dict[str, Any]:
        p, epoch = self.p, self.epoch + 1
        clock = self.clocks["weights"]
        self.network.train()
        for batch in self.steps(machine.random_stream(p.seed, epoch, TRAIN_ORDER)):
            clock.start()
            set_rate(self.optimizer, self.rate(self.epoch * len(self.train) + self.steps_done))
            loss, hits = self.step(*batch)
            self.loss_sum += loss
            self.correct += hits
            clock.stop()
        return {
            "learning_rate": self.rate(epoch * len(self.train) - 1),
            "drop_path": self.drop,
            "train_loss": float(distributed.total(self.loss_sum)) / distributed.world() / len(self.train),
            "train_accuracy": int(distributed.total(self.correct)) / (len(self.train) * p.batch),
            "images": len(self.train) * p.batch,
            "seconds_weights": round(clock.total(), 4),
        }

    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"accuracy": f"{row['train_accuracy']:.3f}"}

    def done(self) -> bool:
        return self.epoch >= self.p.epochs

    def _step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One SGD step. Returns the loss (of the main head) and the number classified rightly."""
        p = self.p
        self.optimizer.zero_grad(set_to_none=True)
        with machine.autocast(self.device, p.precision):
            logits, extra = self.forward(images, self.dropping)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=p.label_smoothing)
        total = loss
        if extra is not None:
            total = loss + p.auxiliary_weight * F.cross_entropy(extra.float(), labels, label_smoothing=p.label_smoothing)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), p.gradient_clip)
        self.optimizer.step()
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    def logits(self, images: Tensor) -> Tensor:
        with machine.autocast(self.device, self.p.precision):
            return (self.forward if distributed.world() == 1 else self.network)(images, 0.0)[0].float()

    def finish(self) -> None:
        """Test the network after its last epoch; no epoch is selected by its test error."""
        distributed.same_buffers(self.network)
        loss, accuracy, right = measure(self.network, self.logits, self.test)
        images = len(right)
        result = {
            "test_error": round(100 * (1 - accuracy), 4),  # per cent
            "test_error_standard_error": round(100 * math.sqrt(accuracy * (1 - accuracy) / images), 4),  # binomial
            "test_loss": loss,
            "test_images": images,
            "parameters": self.size.parameters,
            "multiply_adds": self.size.multiply_adds,
        }
        check_finite({"epoch": self.epoch, "test_loss": loss})
        labels = torch.as_tensor(self.test.labels).cpu()
        wrong, of = (torch.bincount(some, minlength=self.images.classes).tolist() for some in (labels[right == 0], labels))
        by_class = dict(zip(self.images.class_names, map(list, zip(wrong, of, strict=True)), strict=True))
        self.recorder.write("test.json", {**result, "wrong_of_class": by_class, "wrong": pack(1 - right.numpy())})
        if self.p.keep_weights and distributed.rank() == 0:
            keep(self.recorder.folder, self.network, self.size, self.images)
        self.close(result)

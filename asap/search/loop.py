"""The search loop (Algorithm 1): w step, α step, prune, measure, record. Knows no method by name; train/session.py has the rest."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks.cuda import supernet_on
from ..networks.supernet import Supernet
from ..paper.equations import normalised_entropy
from ..paper.space import CELL_KINDS, Genotype, edges
from ..records.parameters import ParameterError, SearchParameters
from ..records.recorder import Recorder
from ..train import device as machine
from ..train import distributed, graphs
from ..train.batches import Batches, ImageData
from ..train.graphs import graphed
from ..train.measure import measure, recalibrate
from ..train.rates import cosine
from ..train.session import GLOBAL, INIT, RECALIBRATION, SPLIT, TRAIN_ORDER, VALIDATION_ORDER, Session, conduct
from .method import Batch, Masks, Mixture, Step
from .methods import make_method


def search(parameters: SearchParameters, progress: bool = True) -> Path:
    """As `asap.search`, by its parameters; raises what that does, and `Interrupted` after a signal."""
    if distributed.world() > 1:
        raise ParameterError("a search runs in one process, not under torchrun")
    p = parameters
    weights = 42 * p.layers * len(edges(p.nodes)) * p.channels**2  # at least 6·C² an edge, in cells of C, 2C and 4C channels, a third each
    return conduct(partial(_Search, p), p, "search", progress, weights)


class _Search(Session):
    """The state of one running search."""

    p: SearchParameters
    train: Batches
    network: Supernet
    optimizer: torch.optim.SGD

    def __init__(self, p: SearchParameters, images: ImageData, device: torch.device, recorder: Recorder) -> None:
        super().__init__(p, device, recorder)
        self.title = p.method
        # the training images are halved by one random order: the first half is for w, the second for α
        order = torch.randperm(len(images.train), generator=machine.random_stream(p.seed, 0, SPLIT))[: p.images or None]
        half = len(order) // 2
        mean, deviation = images.statistics
        crop = images.size // 8  # 4 at 32×32
        self.train = Batches(images.train.take(order[:half]), p.batch, mean, deviation, device, crop, p.flip)
        self.validation = Batches(images.train.take(order[half : 2 * half]), p.batch, mean, deviation, device, crop, p.flip)
        machine.seed_everything(p.seed, 0, INIT)
        self.method = make_method(p, device)
        shape = (self.method.operations, p.channels, p.layers, p.nodes, images.classes, images.channels, images.size)
        batched = self.method.steady and not p.compile and images.size % 4 == 0  # its reductions are of even sides
        self.network = supernet_on(device, batched, *shape)
        self.rate, steady = p.learning_rate, self.method.steady
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            graphs.changing(self.rate, device) if steady else self.rate,
            p.momentum,
            weight_decay=p.weight_decay,
            # fused alone reads a rate on the device; it wants a gradient of every weight, which a sampled cell does not give
            fused=device.type == "cuda" and steady,
        )
        self.forward = torch.compile(self.network) if p.compile else self.network
        wanted = p.graphs and not p.compile
        self.weight_step = graphed(self._weight_step, device, wanted and steady)
        self.alpha_step = graphed(self._alpha_step, device, wanted and self.method.graphable)
        self.masking = isinstance(self.alpha_step, graphs.Graphed)
        self.history: list[dict[str, dict[str, np.ndarray]]] = []
        self.resume()

    # the loop

    def begin_epoch(self) -> None:
        p, epoch = self.p, self.epoch + 1
        machine.seed_everything(p.seed, epoch, GLOBAL)
        self.method.begin_epoch(epoch)
        self.rate = cosine(epoch - 1, p.epochs, p.learning_rate, p.learning_rate_min)
        graphs.set_rate(self.optimizer, self.rate)

    def run_epoch(self) -> dict[str, Any]:
        p, epoch = self.p, self.epoch + 1
        clocks = self.clocks
        validation = self.validation.epoch(machine.random_stream(p.seed, epoch, VALIDATION_ORDER), self.alpha_steps)
        self.network.train()
        for batch in self.steps(machine.random_stream(p.seed, epoch, TRAIN_ORDER)):
            clocks["weights"].start()
            loss, hits = self.weight_step(*batch)
            self.loss_sum += loss
            self.correct += hits
            clocks["weights"].stop()
            if self.method.learns():
                clocks["alpha"].start()
                self.alpha_step(*batch, *next(validation))
                if not self.masking:
                    self.prune(self.method.to_prune(epoch_ends=False))
                clocks["alpha"].stop()
                self.alpha_steps += 1
        self.delete_masked()
        self.prune(self.method.to_prune(epoch_ends=True))
        images = len(self.train) * p.batch
        clocks["measure"].start()
        validation_loss, validation_accuracy, _ = measure(self.network, lambda x: self.logits(x, self.method.mixture()), self.validation)
        clocks["measure"].stop()
        snapshot = self.method.snapshot()
        self.history.append({k: snapshot[k] | {"alive": self.network.alive[k].copy()} for k in CELL_KINDS})
        return {
            **self.method.status(),
            "learning_rate": self.rate,
            "train_loss": float(self.loss_sum) / len(self.train),
            "train_accuracy": int(self.correct) / images,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
            **{f"operations_{kind}": int(self.network.alive[kind].sum()) for kind in CELL_KINDS},
            **{f"entropy_{k}": float(normalised_entropy(snapshot[k]["phi"], len(self.method.operations)).mean()) for k in CELL_KINDS},
            "alpha_steps": self.alpha_steps,
            "images": images,
            **{f"seconds_{name}": round(clock.total(), 4) for name, clock in clocks.items()},
        }

    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        left = row["operations_normal"] + row["operations_reduce"]
        return {"accuracy": f"{row['validation_accuracy']:.3f}", "T": f"{row['temperature']:.2f}", "operations": left}

    def logits(self, images: Tensor, mixture: Mixture) -> Tensor:
        with machine.autocast(self.device, self.p.precision):
            return self.forward(images, mixture.phi, mixture.active).float()

    def loss(self, batch: Batch, mixture: Mixture) -> Tensor:
        return F.cross_entropy(self.logits(batch[0], mixture), batch[1])

    def _weight_step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One SGD step of w on a training batch, Φ held fixed. Returns the loss and the number classified rightly."""
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.logits(images, self.method.mixture().detached())
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.p.gradient_clip)
        self.optimizer.step()
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    def _alpha_step(self, images: Tensor, labels: Tensor, held_out: Tensor, held_labels: Tensor) -> tuple[Tensor, ...]:
        """One update of α: the training batch that w has just seen, and one of the validation half."""
        self.method.update(Step(self.network, self.optimizer, self.logits, self.loss, (images, labels), (held_out, held_labels)))
        if self.masking:
            self.method.mask()
        return ()

    def prune(self, masks: Masks | None) -> None:
        """Take operations out of the search; None for none."""
        if masks is not None:
            self.drop(masks)
            self.method.pruned(masks)

    def delete_masked(self) -> None:
        """Delete what the method has only masked since the last epoch."""
        self.drop({kind: self.network.alive[kind] & ~alive.cpu().numpy() for kind, alive in self.method.alive.items()})

    def drop(self, masks: Masks) -> None:
        """Delete operations from the network, and their weights and momentum from the optimizer; what was captured is captured anew."""
        if not any(mask.any() for mask in masks.values()):
            return
        gone = set(self.network.prune(masks))  # tensors hash by identity
        for parameter in gone:
            self.optimizer.state.pop(parameter, None)
        for group in self.optimizer.param_groups:
            group["params"] = [parameter for parameter in group["params"] if parameter not in gone]
        for step in (self.weight_step, self.alpha_step):
            if isinstance(step, graphs.Graphed):
                step.reset()

    def done(self) -> bool:
        single = 2 * len(edges(self.p.nodes))
        decided = sum(row["operations_normal"] + row["operations_reduce"] == single for row in self.rows)
        return self.epoch >= self.p.epochs or decided > self.p.epochs_after

    # what lasts

    def frame(self) -> pd.DataFrame:
        """architecture.parquet: one row for each epoch, cell kind, edge and operation."""
        places = {"epoch": range(1, 1 + len(self.history)), "cell": CELL_KINDS, "edge": range(len(edges(self.p.nodes)))}
        frame = pd.MultiIndex.from_product([*places.values(), self.method.operations], names=[*places, "operation"]).to_frame(index=False)
        for i, name in enumerate(("source", "target")):
            frame.insert(3 + i, name, np.array(edges(self.p.nodes))[frame["edge"], i])
        first = ("alpha", "phi", "alive")
        for name in (*first, *sorted(set(self.history[0][CELL_KINDS[0]]) - set(first))):
            frame[name] = np.concatenate([kinds[kind][name].ravel() for kinds in self.history for kind in CELL_KINDS])
        small = dict.fromkeys(("edge", "source", "target"), np.int16)
        return frame.astype({"epoch": np.int32, "cell": "category", "operation": "category", **small})

    def tensors(self) -> dict[str, Tensor]:
        tensors = {f"method/{name}": value for name, value in self.method.tensors().items()}
        tensors |= {f"alive/{kind}": torch.from_numpy(mask) for kind, mask in self.network.alive.items()}
        for column in self.history[0][CELL_KINDS[0]] if self.history else ():
            for kind in CELL_KINDS:
                tensors[f"history/{kind}/{column}"] = torch.from_numpy(np.stack([h[kind][column] for h in self.history]))
        return tensors

    def restore(self, groups: dict[str, dict[str, Tensor]]) -> None:
        self.drop({kind: ~groups["alive"][kind].numpy() for kind in CELL_KINDS})
        if not self.steps_done:  # where no epoch is left, the last one's temperature ranks the edges; else the next begins anew
            self.method.begin_epoch(self.epoch)
        self.method.load_tensors(groups["method"])
        columns: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in CELL_KINDS}
        for name, value in groups.get("history", {}).items():
            kind, column = name.split("/")
            columns[kind][column] = value.numpy()
        self.history = [{k: {c: v[i] for c, v in columns[k].items()} for k in CELL_KINDS} for i in range(self.epoch)]

    def cut(self, genotype: Genotype) -> dict[str, dict[str, float]]:
        """The validation accuracy of what the search ends in, with the weights of the supernet: the relaxation bias (3.1, 4.5).

        `operations`: one operation on each edge. `genotype`: that, with the edges that the derived cell keeps. Each with
        BatchNorm's running statistics as the search left them, and (`recalibrated`) averaged anew over the training half, augmented.
        """
        cells = {"operations": self.method.genotype("all_edges"), "genotype": genotype}
        accuracy: dict[str, dict[str, float]] = {name: {} for name in cells}
        for statistics in ("accuracy", "recalibrated"):
            for name, cell in cells.items():
                logits = partial(self.logits, mixture=self.method.one(cell))
                if statistics == "recalibrated":
                    recalibrate(self.network, logits, self.train.epoch(machine.random_stream(self.p.seed, 0, RECALIBRATION)))
                accuracy[name][statistics] = measure(self.network, logits, self.validation)[1]
        return accuracy

    def finish(self) -> None:
        last = self.rows[-1]
        genotype = self.method.genotype(self.p.edge_rule)
        undecided = {kind: int((mask.sum(1) > 1).sum()) for kind, mask in self.network.alive.items()}
        outcome: dict[str, Any] = {
            "decided": not any(undecided.values()),  # every mixed operation is down to one: the stopping rule of 3.1
            "undecided_edges": undecided,
            "operations_left": {kind: last[f"operations_{kind}"] for kind in CELL_KINDS},
            "validation_accuracy": last["validation_accuracy"],
            "cut": self.cut(genotype),
            "cut_images": "augmented",  # that BatchNorm was averaged over; without this key, as they are
            "parameters_left": sum(parameter.numel() for parameter in self.network.parameters()),
        }
        steps, edges_left = sum(row["alpha_steps"] for row in self.rows), sum(undecided.values())
        if steps == 0:
            outcome["warning"] = "nothing was learnt from the validation half: the cell is that of the first weights"
        elif self.method.prunes and edges_left:
            outcome["warning"] = f"{edges_left} of {2 * len(edges(self.p.nodes))} edges were still undecided when the epochs ended"
        self.recorder.write("architecture.parquet", self.frame())
        self.recorder.write("genotype.json", genotype.to_dict())
        self.close(outcome | {"alpha_steps": steps})

"""ENAS (Pham et al. 2018): a recurrent controller samples cells and learns from their reward by REINFORCE.

w learns on one sampled cell a step, the controller on another. Settings are those of ENAS' published micro search; the
space is this project's: a node takes two different inputs and has an operation on each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..paper.space import CELL_KINDS, Edge, Genotype, edges
from ..records.parameters import SearchParameters
from ..train.checkpoint import optimizer_tensors
from ..train.device import random_stream
from ..train.session import ALPHA, CELLS, LOOKS
from .method import Method, Mixture, Step


@dataclass(frozen=True)
class Sample:
    """n cells drawn from a controller. D decisions a cell: for each kind and node two inputs, then their operations."""

    choices: Tensor  # (n, D), whole numbers
    log_probability: Tensor  # (n,)
    entropy: Tensor  # (n,), of all decisions on the way, in nats
    probabilities: list[Tensor]  # D of (n, options): what each choice was drawn from


class Controller(nn.Module):
    """An LSTM whose states are the nodes: inputs are chosen by attention over them, operations by a linear layer.

    The logits are bounded: 1.1·tanh for inputs, 0.44·tanh for operations. So no operation's probability can leave
    [.065, .287] with seven of them.
    """

    hidden = 64
    bound = 1.1
    operation_bound = 1.1 / 2.5

    def __init__(self, nodes: int, operations: int) -> None:
        super().__init__()
        self.nodes, self.decisions = nodes, 4 * nodes * len(CELL_KINDS)
        self.start = nn.Parameter(torch.empty(self.hidden))
        self.cell = nn.LSTMCell(self.hidden, self.hidden)
        self.embedding = nn.Embedding(operations, self.hidden)
        self.head = nn.Linear(self.hidden, operations, bias=False)
        self.key, self.query = (nn.Linear(self.hidden, self.hidden, bias=False) for _ in range(2))
        self.attention = nn.Linear(self.hidden, 1, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def forward(self, count: int, stream: torch.Generator | None = None, choices: Tensor | None = None) -> Sample:
        """Draw `count` cells, or give the probabilities of `choices` (count, D)."""
        taken: list[Tensor] = []
        probabilities: list[Tensor] = []
        zero = self.start.new_zeros(count)
        log_probability, entropy = zero, zero

        def decide(logits: Tensor) -> Tensor:
            nonlocal log_probability, entropy
            logs = F.log_softmax(logits, -1)
            p = logs.exp()
            choice = torch.multinomial(p.detach(), 1, generator=stream)[:, 0] if choices is None else choices[:, len(taken)]
            taken.append(choice)
            probabilities.append(p)
            log_probability = log_probability + logs.gather(1, choice[:, None])[:, 0]
            entropy = entropy + torch.special.entr(p.detach()).sum(-1)
            return choice

        start = self.start.expand(count, -1)
        h = c = self.start.new_zeros(count, self.hidden)
        for _ in CELL_KINDS:
            states: list[Tensor] = []
            for _ in range(2):  # the cell's inputs
                h, c = self.cell(start, (h, c))
                states.append(h)
            for _ in range(self.nodes):
                known = torch.stack(states, 1)  # (n, nodes so far, hidden)
                keys, x, first = self.key(known), start, None
                for _ in range(2):
                    h, c = self.cell(x, (h, c))
                    logits = self.bound * torch.tanh(self.attention(torch.tanh(keys + self.query(h)[:, None]))[..., 0])
                    if first is not None:
                        logits = logits.scatter(1, first[:, None], -torch.inf)
                    choice = decide(logits)
                    first = choice if first is None else first
                    x = known[torch.arange(count), choice]
                for _ in range(2):
                    h, c = self.cell(x, (h, c))
                    choice = decide(self.operation_bound * torch.tanh(self.head(h)))
                    x = self.embedding(choice)
                h, c = self.cell(x, (h, c))
                states.append(h)
        return Sample(torch.stack(taken, 1), log_probability, entropy, probabilities)


class Enas(Method):
    """The controller's reward is the accuracy of a sampled cell on a validation batch, against a moving baseline."""

    baseline_decay = 0.99
    entropy_weight = 1e-4  # of the sample's entropy, added to the reward
    looks = 256  # cells drawn to tell the sampling distribution of each edge

    def __init__(self, parameters: SearchParameters, device: torch.device) -> None:
        super().__init__(parameters, device)
        self.controller = Controller(parameters.nodes, len(self.operations))  # small and one by one: it stays on the CPU
        with torch.no_grad():
            stream = random_stream(parameters.seed, 0, ALPHA)
            for weight in self.controller.parameters():
                weight.uniform_(-0.1, 0.1, generator=stream)
        rate = parameters.alpha_learning_rate * parameters.alpha_rate_factor
        self.optimizer = torch.optim.Adam(
            self.controller.parameters(), rate, betas=(0.0, 0.999), eps=1e-3, weight_decay=parameters.alpha_weight_decay
        )
        self.baseline = torch.full((), float("nan"), dtype=torch.float64)
        self.begin_epoch(0)

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        self.stream = random_stream(self.parameters.seed, epoch, CELLS)
        # the best of the cells that this epoch's steps have drawn: accuracy and −loss on its one batch
        self.best = torch.full((2,), -torch.inf, dtype=torch.float64)
        self.best_choices = torch.zeros(self.controller.decisions, dtype=torch.int64)

    @torch.no_grad()
    def mixture(self) -> Mixture:
        return self.one(self._cell(self.controller(1, self.stream).choices[0]))

    def _cell(self, choices: Tensor) -> Genotype:
        """The cell of one row of choices (D,)."""
        nodes = self.parameters.nodes
        fields: dict[str, tuple[Edge, ...]] = {}
        for kind, part in zip(CELL_KINDS, choices.reshape(len(CELL_KINDS), nodes, 4).tolist(), strict=True):
            cell: list[Edge] = []
            for target, (s0, s1, o0, o1) in enumerate(part, start=2):
                cell += [Edge(self.operations[o], s, target) for s, o in sorted(((s0, o0), (s1, o1)))]
            fields[kind] = tuple(cell)
        concat = tuple(range(2, 2 + nodes))
        return Genotype(fields["normal"], concat, fields["reduce"], concat)

    def update(self, step: Step) -> None:
        """One REINFORCE step: Adam along −(reward − baseline)·∇ log π(cell)."""
        sample: Sample = self.controller(1, self.stream)
        images, labels = step.validation
        with torch.no_grad():
            logits = step.logits(images, self.one(self._cell(sample.choices[0])))
            loss = F.cross_entropy(logits, labels)
            scores = torch.stack([(logits.argmax(1) == labels).double().mean(), -loss.double()]).cpu()
        if tuple(scores.tolist()) > tuple(self.best.tolist()):
            self.best, self.best_choices = scores, sample.choices[0]
        self.optimizer.zero_grad()
        self.reinforce(sample, scores[:1] + self.entropy_weight * sample.entropy).backward()
        self.optimizer.step()

    def reinforce(self, sample: Sample, reward: Tensor) -> Tensor:
        """The loss whose gradient is the REINFORCE estimate, for rewards (n,); moves the baseline."""
        mean = reward.double().mean()
        self.baseline = mean if self.baseline.isnan() else self.baseline + (1 - self.baseline_decay) * (mean - self.baseline)
        return -(sample.log_probability * (reward - self.baseline)).mean()

    @torch.no_grad()
    def snapshot(self) -> dict[str, dict[str, np.ndarray]]:
        """phi: the probability of each operation given that the edge is taken, averaged over sampled cells."""
        nodes, count = self.parameters.nodes, len(self.operations)
        graph = edges(nodes)
        sample: Sample = self.controller(self.looks, random_stream(self.parameters.seed, self.epoch, LOOKS))
        kept = {}
        for k, kind in enumerate(CELL_KINDS):
            mass, times = np.zeros((len(graph), count)), np.zeros((len(graph), 1))
            for node in range(nodes):
                for which in range(2):
                    place = 4 * (k * nodes + node)
                    sources = sample.choices[:, place + which].numpy()
                    taken = np.array([graph.index((s, node + 2)) for s in sources])
                    np.add.at(mass, taken, sample.probabilities[place + 2 + which].double().numpy())
                    np.add.at(times, taken, 1)
            phi = np.where(times > 0, mass / np.maximum(times, 1), 1 / count).astype(np.float32)
            kept[kind] = {"alpha": np.full_like(phi, np.nan), "phi": phi}
        return kept

    def genotype(self, rule: str) -> Genotype:
        """Of the cells sampled in the last epoch, the one most accurate on its batch (the lower loss where two are)."""
        return self._cell(self.best_choices if self.best[0] > -torch.inf else self.controller(1, self.stream).choices[0])

    def names(self) -> dict[Tensor, str]:
        return {weight: f"adam.{name}." for name, weight in self.controller.named_parameters()}

    def tensors(self) -> dict[str, Tensor]:
        kept = {"baseline": self.baseline, "best": self.best, "best_choices": self.best_choices, "stream": self.stream.get_state()}
        kept |= {f"controller.{name}": value for name, value in self.controller.state_dict().items()}
        return kept | optimizer_tensors(self.optimizer, self.names())

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        super().load_tensors(tensors)
        self.stream.set_state(tensors["stream"])

"""Replaying steps as graphs, with a stand-in for CUDA that records a step and reruns it on the kept inputs."""

import pandas as pd
import pytest
import torch

import asap.search.loop
from asap.records.run import TIME_COLUMNS, Run
from asap.train import graphs
from asap.train.graphs import Graphed, graphed


class Recorded:
    """Captures by keeping the step; a replay runs it on the static inputs and fills the static outputs."""

    def __init__(self):
        self.log = []

    def warm(self, step, inputs):
        self.log.append("warm")
        return step(*inputs)

    def capture(self, step, inputs):
        self.log.append("capture")
        outputs = []

        def replay():
            self.log.append("replay")
            made = step(*inputs)
            if not outputs:
                outputs.extend(made)
            for kept, new in zip(outputs, made, strict=True):
                kept.copy_(new)

        return replay, outputs


def test_every_call_is_one_real_step():
    total = torch.zeros(2)

    def step(x):
        total.add_(x)
        return (x * 2,)

    backend = Recorded()
    run = Graphed(step, backend)
    for i in range(1, 6):
        (doubled,) = run(torch.full((2,), float(i)))
        assert doubled.tolist() == [2.0 * i, 2.0 * i]
    assert total.tolist() == [15.0, 15.0]
    assert backend.log == ["warm", "warm", "capture", "replay", "replay", "replay"]
    run.reset()
    run(torch.ones(2))
    assert backend.log[-1] == "warm" and total.tolist() == [16.0, 16.0]


class Refusing(Recorded):
    """Cannot capture."""

    def capture(self, step, inputs):
        self.log.append("capture")
        raise RuntimeError("operation not permitted\nwhen stream is capturing")


def test_a_step_that_cannot_be_captured_runs_without_a_graph(capsys):
    total = torch.zeros(2)
    backend = Refusing()
    run = Graphed(lambda x: (total.add_(x),), backend, warm_up=1)
    for _ in range(4):
        run(torch.ones(2))
    run.reset()
    for _ in range(3):
        run(torch.ones(2))
    assert total.tolist() == [7.0, 7.0] and backend.log == ["warm", "capture", "warm"]
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "runs without a graph: operation not permitted when" in line


def test_a_number_that_changes_keeps_its_tensor():
    assert graphs.changing(0.5, torch.device("cpu")) == 0.5 and graphs.changed(0.5, 0.25) == 0.25
    number = torch.tensor(0.5)
    assert graphs.changed(number, 0.25) is number and float(number) == 0.25


def test_a_rate_that_is_a_tensor_takes_the_same_steps():
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 4), torch.randn(5, 3, 4)
    ends = []
    for rate in (0.1, torch.tensor(0.1)):
        weight = torch.nn.Parameter(start.clone())
        optimizer = torch.optim.SGD([weight], rate, 0.9, weight_decay=3e-4, nesterov=True, fused=True)
        for i, gradient in enumerate(gradients):
            graphs.set_rate(optimizer, 0.1 / (i + 1))
            weight.grad = gradient.clone()
            optimizer.step()
        ends.append(weight.detach())
    assert torch.equal(*ends)


def test_a_cpu_runs_the_step_itself():
    def step(x):
        return (x,)

    assert graphed(step, torch.device("cpu"), True) is step


def test_a_search_with_replayed_steps_leaves_the_same_record(monkeypatch, quick_search):
    """Pruning and new epochs reset the graphs; nothing else may depend on how a step is run."""
    plain = Run.open(quick_search(root="plain"))
    backends = []

    def always(step, device, wanted):
        backends.append(Recorded())
        return Graphed(step, backends[-1], warm_up=1)

    monkeypatch.setattr(asap.search.loop, "graphed", always)
    replayed = Run.open(quick_search(root="replayed"))
    drop = list(TIME_COLUMNS)
    pd.testing.assert_frame_equal(plain.epochs().drop(columns=drop), replayed.epochs().drop(columns=drop), check_exact=True)
    pd.testing.assert_frame_equal(plain.architecture(), replayed.architecture(), check_exact=True)
    logs = [backend.log for backend in backends]
    assert all("replay" in log for log in logs) and sum(log.count("capture") for log in logs) >= 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graphs_agree_with_eager_steps(quick_search):
    eager, graphs = (Run.open(quick_search(root=str(g), device="cuda", graphs=g)) for g in (False, True))
    difference = (eager.epochs()["train_loss"] - graphs.epochs()["train_loss"]).abs().max()
    assert difference < 1e-3

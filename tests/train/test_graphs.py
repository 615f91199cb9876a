"""Replaying steps as graphs, with a stand-in for CUDA that records a step and reruns it on the kept inputs."""

import pandas as pd
import pytest
import torch

import asap.search.loop
from asap.records.run import TIME_COLUMNS, Run
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

    monkeypatch.setattr(asap.search, "graphed", always)
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

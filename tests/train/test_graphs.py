"""Replaying steps as graphs, with a stand-in for CUDA that records a step and reruns it on the kept inputs."""

import pandas as pd
import pytest
import torch
from same import TIME_COLUMNS

import asap.search.alpha
import asap.search.loop
import asap.train.evaluate
from asap.networks.cuda import BatchedSupernet
from asap.networks.supernet import Supernet
from asap.records.run import Run
from asap.search.methods import METHODS
from asap.train import device as machine
from asap.train import graphs
from asap.train.batches import Batches, Split, _uploaded
from asap.train.ends import OutOfTime
from asap.train.graphs import CudaBackend, Graphed, graphed


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
    assert total.tolist() == [7.0, 7.0] and backend.log == ["warm", "capture", "warm", "capture"]
    line = capsys.readouterr().err
    assert line.count("\n") == 2 and "runs without a graph: operation not permitted when" in line


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


#: A search of 3 epochs of 2 steps at a gentle rate, which does not amplify rounding, that prunes in two of them.
GENTLE = {
    "images": 64,
    "epochs": 3,
    "nodes": 2,
    "learning_rate": 1e-3,
    "learning_rate_min": 1e-4,
    "alpha_learning_rate": 0.005,
    "alpha_init": 0.2,
    "initial_temperature": 1.01,
    "temperature_decay": 0.2,
}


def numbers_as_tensors(monkeypatch):
    """Rate, temperature and drop-path as a GPU has them."""
    for module in (graphs, asap.search.alpha, asap.train.evaluate):
        monkeypatch.setattr(module, "changing", lambda value, device: torch.tensor(value))


def recorded(backends):
    def always(step, device, wanted):
        backends.append(Recorded())
        return Graphed(step, backends[-1], warm_up=1)

    return always


def close(ours, theirs, tolerance):
    """Whether two searches left the same record up to rounding: the same operations, and numbers within a tolerance."""
    drop = [*TIME_COLUMNS]
    pd.testing.assert_frame_equal(ours.epochs().drop(columns=drop), theirs.epochs().drop(columns=drop), rtol=tolerance, atol=tolerance)
    frames = [run.architecture() for run in (ours, theirs)]
    assert frames[0]["alive"].equals(frames[1]["alive"])
    assert float((frames[0]["alpha"] - frames[1]["alpha"]).abs().max()) < tolerance


def test_a_search_with_replayed_steps_leaves_the_same_record(monkeypatch, quick_search):
    """Rate and temperature are read anew at each replay; prunings are masks within an epoch, and deletions at its end."""
    plain, backends = Run.open(quick_search(root="plain", **GENTLE)), []
    numbers_as_tensors(monkeypatch)
    monkeypatch.setattr(asap.search.loop, "graphed", recorded(backends))
    looks = []
    monkeypatch.setattr(asap.search.alpha.Differentiable, "to_prune", lambda self, epoch_ends: looks.append(epoch_ends))
    replayed = Run.open(quick_search(root="replayed", **GENTLE))
    close(plain, replayed, 1e-4)
    assert 35 > plain.epochs()["operations_normal"].iloc[0] > plain.epochs()["operations_normal"].iloc[-1]
    assert all(looks)  # nobody asks the device within an epoch
    epochs = len(plain.epochs())
    assert all("replay" in backend.log and backend.log.count("capture") <= epochs for backend in backends)


def test_a_replayed_search_of_one_epoch_s_length_captures_once(monkeypatch, quick_search):
    backends = []
    monkeypatch.setattr(asap.search.loop, "graphed", recorded(backends))
    quick_search(method="darts", **GENTLE)
    assert [backend.log.count("capture") for backend in backends] == [1, 1]


@pytest.mark.parametrize("first", ["plain", "batched"])
def test_a_search_goes_on_on_another_kind_of_machine(monkeypatch, quick_search, first):
    """Begun on a CPU, ended on a GPU, and the other way around: in the middle of an epoch, from the same checkpoint."""
    whole = Run.open(quick_search(root="whole", **GENTLE))
    kinds = {"plain": Supernet, "batched": BatchedSupernet}
    made = {name: (lambda device, batched, *shape, kind=kind: kind(*shape)) for name, kind in kinds.items()}
    monkeypatch.setattr(asap.search.loop, "supernet_on", made.pop(first))
    with pytest.raises(OutOfTime):
        quick_search(root="moved", minutes=1e-9, **GENTLE)
    monkeypatch.setattr(asap.search.loop, "supernet_on", made.popitem()[1])
    close(whole, Run.open(quick_search(root="moved", **GENTLE)), 1e-3)


def test_an_evaluation_with_replayed_steps_leaves_the_same_record(monkeypatch, quick_evaluation):
    """By the one-cycle rate, which changes at each step, and with drop-path, which changes at each epoch."""
    given = {"drop_path": 0.3, "rate_schedule": "one_cycle", "auxiliary_weight": 0.0}
    backends, found = [], []
    numbers_as_tensors(monkeypatch)
    for root in ("plain", "replayed"):
        found.append(Run.open(quick_evaluation(root=root, **given)).epochs().drop(columns=["seconds_weights", "seconds", "peak_memory_mb"]))
        monkeypatch.setattr(asap.train.evaluate, "graphed", recorded(backends))
    pd.testing.assert_frame_equal(*found, check_exact=True)
    assert [backend.log.count("capture") for backend in backends] == [1]


def test_a_run_s_device_is_the_current_one_and_float32_is_float32(monkeypatch):
    """Triton launches on the current device; `cuda` without a number is that already."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch.backends.cuda.matmul.allow_tf32 = True
    for name in ("cuda", "cuda:1"):
        machine.set_up(torch.device(name))
    assert chosen == [torch.device("cuda:1")]
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_a_gpu_validates_in_large_batches_and_gets_an_epoch_s_numbers_at_once():
    split = Split(torch.randint(256, (2500, 8, 8, 3), dtype=torch.uint8), torch.arange(2500) % 10)
    mean = torch.full((3,), 0.5)
    made = {name: Batches(split, 96, mean, mean, torch.device(name), pad=1, cutout=2) for name in ("cpu", "meta")}
    assert [len(labels) for _, labels in made["meta"].in_order()] == [1000, 1000, 500]
    assert [len(labels) for _, labels in made["cpu"].in_order()] == [96] * 26 + [4]
    stream = torch.Generator().manual_seed(0)
    drawn = [made["cpu"]._draw(torch.arange(96), stream) for _ in range(3)]
    for numbers, moved in zip(drawn, _uploaded(drawn, torch.device("cpu")), strict=True):
        assert all(torch.equal(*pair) for pair in zip(made["cpu"]._build(numbers), made["cpu"]._build(moved), strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_after_a_capture_that_fails_another_works():
    backend, x = CudaBackend(torch.device("cuda")), torch.zeros(4, device="cuda")
    with pytest.raises(RuntimeError):
        backend.capture(lambda x: (x + float(x.sum()),), (x,))  # which reads a value back
    backend.warm(lambda x: (x + torch.rand_like(x),), (x,))
    replay, (y,) = backend.capture(lambda x: (x + 1,), (x,))
    replay()
    assert y.tolist() == [1.0] * 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graphs_agree_with_eager_steps(quick_search):
    eager, replayed = (Run.open(quick_search(root=str(g), device="cuda", graphs=g, **GENTLE)) for g in (False, True))
    difference = (eager.epochs()["train_loss"] - replayed.epochs()["train_loss"]).abs().max()
    assert difference < 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", METHODS)
def test_each_method_searches_on_a_card(quick_search, method):
    """ENAS and random search give some weights no gradient, which a fused optimizer does not take."""
    assert Run.open(quick_search(device="cuda", method=method)).outcome["epochs"] > 0

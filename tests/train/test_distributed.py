"""Processes that train together under torchrun, on gloo: the steps are those of one process at the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import forked
import pandas as pd
import pytest
import torch

from asap.cli import main
from asap.errors import UserError
from asap.records.parameters import runs_root
from asap.records.run import Run, find_runs
from asap.train import distributed

GIVEN = {"scale": "tiny", "cell": "ASAP", "images": 192, "batch": 32, "epochs": 1, "layers": 3, "cutout": 2, "learning-rate": 0.005}
QUICK = ["evaluate", *(f"--{name}={value}" for name, value in GIVEN.items())]
SHARED = [*QUICK, "--sync-batch-norm", "true"]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """By torchrun itself, with a BatchNorm that both processes share."""
    root = tmp_path_factory.mktemp("together")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "asap.cli", *SHARED]
    environment = {**os.environ, "ASAP_RUNS": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    (folder,) = done.stdout.split()  # the first process alone speaks
    return Run.open(Path(folder))


def test_two_processes_take_the_steps_of_one(together):
    """To 1e-5 in the loss of an epoch; further on, rounding at the kinks of ReLU and max pooling grows."""
    assert main(SHARED) == 0
    alone = Run.open(runs_root() / together.name)
    assert together.info["machine"]["processes"] == 2 and "processes" not in alone.info["machine"]
    a, b = together.epochs(), alone.epochs()
    assert (a["train_loss"] - b["train_loss"]).abs().max() < 1e-5
    assert together.test()["test_loss"] == pytest.approx(alone.test()["test_loss"], abs=1e-3)
    assert together.test()["test_images"] == alone.test()["test_images"] == 359
    pd.testing.assert_series_equal(a["images"], b["images"])


def test_a_finished_run_of_two_is_left_as_it_is(together, tmp_path):
    said = forked.together([*SHARED, "--runs-root", str(together.folder.parents[1])], tmp_path)
    assert "".join(said).count("is finished already") == 1 and together.info == Run.open(together.folder).info


def test_batch_norm_of_its_own(together, tmp_path):
    said = forked.together([*QUICK, "--runs-root", str(tmp_path)], tmp_path)
    own = Run.open(Path(said[0].split()[-1]))
    assert own.parameters | {"sync_batch_norm": True} == together.parameters and own.test()["test_loss"] != together.test()["test_loss"]


def test_a_cell_with_a_node_that_nothing_reads(tmp_path):
    """Its weights get no gradient, which the processes must know when they average."""
    chain = {"normal": [["sep_conv_3x3", 1, 2]], "normal_concat": [2], "reduce": [["max_pool_3x3", 1, 2]], "reduce_concat": [2]}
    (tmp_path / "chain.json").write_text(json.dumps(chain))
    forked.together([*QUICK, f"--cell={tmp_path / 'chain.json'}", "--batch=64", f"--runs-root={tmp_path}"], tmp_path)
    assert [run.info["machine"]["processes"] for run in find_runs(tmp_path)[0]] == [2]


def test_an_uneven_batch_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="a batch of 33 cannot be shared evenly by 2 processes"), distributed.group(torch.device("cpu"), 33):
        pass


def test_a_search_refuses_torchrun(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["search", "--scale", "tiny"]) == 2
    assert "one process" in capsys.readouterr().err


def test_shared_batch_norm_is_batch_norm(monkeypatch):
    """With one process' statistics standing for all, in float64: outputs, gradients and running statistics."""
    monkeypatch.setattr(distributed.dist_functional, "all_reduce", lambda x: x)
    torch.manual_seed(0)
    plain = torch.nn.BatchNorm2d(5).double()
    torch.nn.init.normal_(plain.weight)
    shared = distributed.SharedBatchNorm.of(plain).double()
    grads = []
    x = torch.randn(6, 5, 3, 3, dtype=torch.float64)
    for norm in (plain, shared):
        leaf = x.clone().requires_grad_()
        (norm(leaf) ** 3).sum().backward()
        grads.append((leaf.grad, norm.weight.grad, norm.running_mean, norm.running_var))
    for a, b in zip(*grads, strict=True):
        assert torch.allclose(a, b, atol=1e-9)
    assert torch.allclose(plain.eval()(x), shared.eval()(x))


def test_shared_batch_norm_under_autocast(monkeypatch):
    """The statistics stay float32, and what comes out is bf16, as of BatchNorm itself."""
    monkeypatch.setattr(distributed.dist_functional, "all_reduce", lambda x: x)
    plain = torch.nn.BatchNorm2d(5)
    shared = distributed.SharedBatchNorm.of(plain)
    x = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        expected, found = plain(x), shared(x)
    assert found.dtype == expected.dtype == torch.bfloat16 and torch.equal(found, expected)
    assert torch.allclose(plain.running_var, shared.running_var, atol=1e-6) and shared.running_mean.dtype == torch.float32


def test_more_processes_than_gpus_is_one_line(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert distributed.local_device(torch.device("cuda")) == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(UserError, match="which has 1 GPUs; give --nproc-per-node 1"):
        distributed.local_device(torch.device("cuda"))
    assert distributed.local_device(torch.device("cpu")) == torch.device("cpu")

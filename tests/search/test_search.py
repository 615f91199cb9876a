"""The search as a whole: its record, its rules, and going on after a kill."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK_SEARCH

from asap.paper.space import CELL_KINDS
from asap.records.parameters import ParameterError, SearchParameters, make
from asap.records.run import TIME_COLUMNS, RecordError, Run
from asap.search.asap import Anneal
from asap.search.loop import _Search, search
from asap.train.checkpoint import CheckpointError, read_tensors, write_tensors
from asap.train.ends import OutOfTime, RunFailed


def timeless(run):
    return run.epochs().drop(columns=list(TIME_COLUMNS))


def same(a, b):
    """Whether two runs left the same record, times apart."""
    pd.testing.assert_frame_equal(timeless(a), timeless(b), check_exact=True)
    pd.testing.assert_frame_equal(a.architecture(), b.architecture(), check_exact=True)
    assert a.genotype() == b.genotype()
    assert {k: v for k, v in a.outcome.items() if k != "seconds"} == {k: v for k, v in b.outcome.items() if k != "seconds"}


def test_the_record_of_a_search(quick_search):
    run = Run.open(quick_search())
    epochs, frame = run.epochs(), run.architecture()
    assert list(epochs["epoch"]) == list(range(1, len(epochs) + 1))
    logged = {"temperature", "threshold", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "images"}
    logged |= {"operations_normal", "operations_reduce", "entropy_normal", "entropy_reduce", *TIME_COLUMNS}
    assert set(epochs) >= logged
    assert set(frame) >= {"epoch", "cell", "edge", "source", "target", "operation", "alpha", "phi", "alive"}
    assert len(frame) == len(epochs) * 2 * 14 * 7
    mixed = frame.groupby(["epoch", "cell", "edge"], observed=True)["phi"].sum()
    assert np.allclose(mixed, 1, atol=1e-5)
    assert (frame.loc[~frame["alive"], "phi"] == 0).all()
    alive = frame.groupby("epoch")["alive"].sum()
    assert (alive.to_numpy() == (epochs["operations_normal"] + epochs["operations_reduce"]).to_numpy()).all()
    # an operation that has gone does not come back, and what is alive is above the threshold
    assert frame.groupby(["cell", "edge", "operation"], observed=True)["alive"].apply(lambda s: s.is_monotonic_decreasing).all()
    learning = frame["epoch"].isin(epochs.loc[epochs["alpha_steps"] > 0, "epoch"])
    assert (frame.loc[learning & frame["alive"], "phi"] >= 0.4 / 7 - 1e-6).all()
    assert sum(f.stat().st_size for f in run.folder.iterdir()) < 300_000
    assert {f.name for f in run.folder.iterdir()} == {".lock", "run.json", "epochs.csv", "architecture.parquet", "genotype.json"}
    assert run.info["data"]["fingerprint"] and run.info["machine"]["git_commit"]


def test_grace_leaves_alpha_alone(quick_search):
    run = Run.open(quick_search(initial_temperature=3.0, epochs=3))
    epochs, frame = run.epochs(), run.architecture()
    grace = epochs.loc[epochs["temperature"] >= 1, "epoch"]
    assert len(grace) == 2 and (frame.loc[frame["epoch"].isin(grace), "alpha"] == 0).all()
    assert list(epochs["alpha_steps"]) == [0, 0, 4] and np.allclose(epochs["entropy_normal"][:2], 1)


def test_the_search_ends_when_every_edge_is_decided(quick_search):
    run = Run.open(quick_search(alpha_rate_factor=600, epochs=9))
    assert run.outcome["decided"] and run.outcome["epochs"] < 9
    assert run.outcome["operations_left"] == {"normal": 14, "reduce": 14}
    last = run.epochs().iloc[-1]
    assert last["entropy_normal"] == 0 and last["entropy_reduce"] == 0


def test_same_seed_same_record_other_seed_other_record(quick_search):
    a, b, c = (Run.open(quick_search(root=root, seed=seed)) for root, seed in (("a", 0), ("b", 0), ("c", 1)))
    same(a, b)
    assert not timeless(a).equals(timeless(c))


def test_a_killed_search_ends_with_the_record_of_an_unkilled_one(tmp_path, quick_search):
    whole = Run.open(quick_search(root="whole"))
    words = [f"--{key.replace('_', '-')}={value}" for key, value in QUICK_SEARCH.items()]
    command = [sys.executable, "-m", "asap.cli", "search", *words, "--runs-root", str(tmp_path / "killed")]
    folder = tmp_path / "killed" / "scratch" / whole.folder.name
    for rows in (1, 3):  # killed twice, at whatever moment after so many epochs
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            if (folder / "epochs.csv").is_file() and len(pd.read_csv(folder / "epochs.csv")) >= rows:
                break
            time.sleep(0.02)
        assert process.poll() is None, "the search ended before it could be killed"
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert json.loads((folder / "run.json").read_text())["status"] == "running"
        with pytest.raises(RecordError, match="did not finish"):
            Run.open(folder)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(folder)
    killed = Run.open(folder)
    assert len(killed.info["opened"]) == 3
    same(whole, killed)


def test_a_finished_search_is_left_alone(quick_search, capsys):
    folder = quick_search(epochs=2)
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    assert quick_search(epochs=2) == folder
    assert "finished already" in capsys.readouterr().err
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before


def interrupted(monkeypatch, quick_search, epochs_before=2, **given):
    """A search that stops after some epochs, as if killed; returns its folder."""
    original = _Search.run_epoch

    def run_epoch(self):
        if self.epoch >= epochs_before:
            raise KeyboardInterrupt
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(_Search, "run_epoch", run_epoch)
        with pytest.raises(KeyboardInterrupt):
            quick_search(**given)


def test_a_foreign_or_damaged_checkpoint_is_refused_and_kept(tmp_path, monkeypatch, quick_search):
    interrupted(monkeypatch, quick_search, root="a")
    interrupted(monkeypatch, quick_search, root="b", seed=1)
    first, second = (next((tmp_path / root).glob("*/*/checkpoint.pt")) for root in "ab")
    whole = first.read_bytes()
    first.write_bytes(second.read_bytes())
    with pytest.raises(CheckpointError, match="other parameters"):
        quick_search(root="a")
    assert first.read_bytes() == second.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        quick_search(root="a")
    tensors, state = read_tensors(second)
    tensors.pop("network/head.weight")
    write_tensors(second, tensors, state)
    with pytest.raises(CheckpointError, match="does not fit"):
        quick_search(root="b", seed=1)
    first.write_bytes(whole)
    assert Run.open(quick_search(root="a")).outcome["epochs"] == 5


def test_a_full_disk_fails_in_one_line_and_keeps_the_last_checkpoint(tmp_path, monkeypatch, quick_search):
    interrupted(monkeypatch, quick_search)
    checkpoint = next(tmp_path.glob("runs/*/*/checkpoint.pt"))
    before = checkpoint.read_bytes()
    original = os.fsync
    calls = []

    def full(handle):
        calls.append(handle)
        if len(calls) > 1:  # run.json is still written when the run is opened
            raise OSError(errno.ENOSPC, "No space left on device")
        original(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunFailed, match="No space left on device") as caught:
            quick_search()
    assert "\n" not in str(caught.value)
    assert checkpoint.read_bytes() == before and not list(checkpoint.parent.glob("*.part")) and not list(checkpoint.parent.glob(".*.part"))
    same(Run.open(quick_search()), Run.open(quick_search(root="whole")))


def test_other_parameters_do_not_go_on_with_a_run(tmp_path, monkeypatch, quick_search):
    interrupted(monkeypatch, quick_search)
    path = next(tmp_path.glob("runs/*/*/run.json"))
    info = json.loads(path.read_text())
    info["parameters"]["channels"] = 5
    path.write_text(json.dumps(info))
    with pytest.raises(RecordError, match="channels is 5 there, 4 here"):
        quick_search()


def test_a_record_older_than_a_parameter_counts_as_at_its_default(tmp_path, monkeypatch, quick_search):
    interrupted(monkeypatch, quick_search)
    path = next(tmp_path.glob("runs/*/*/run.json"))
    info = json.loads(path.read_text())
    for name in ("compile", "edge_rule"):
        info["parameters"].pop(name)
    path.write_text(json.dumps(info))
    assert Run.open(quick_search()).outcome["epochs"] == 5
    info["parameters"]["momentum"] = 0.5
    assert not make(SearchParameters, QUICK_SEARCH).matches(info["parameters"])


def test_a_loss_that_is_not_finite_fails_the_run(quick_search):
    with pytest.raises(RunFailed, match="not finite"):
        quick_search(learning_rate=1e30, learning_rate_min=1e30, gradient_clip=1e30)


def test_too_many_images_and_too_few():
    for given, message in (({"images": 10_000}, "has 1438"), ({"images": 20, "batch": 16}, "do not fill")):
        with pytest.raises(ParameterError, match=message):
            search(make(SearchParameters, given), progress=False)


# the method itself


def annealer(**given):
    return Anneal(make(SearchParameters, given), torch.device("cpu"))


def test_phi_is_eq_3_and_its_gradient_has_the_factor_one_over_t():
    method = annealer()
    method.temperature = 0.37
    with torch.no_grad():
        for alpha in method.alpha.values():
            alpha.copy_(torch.randn(alpha.shape))
    alpha = method.alpha["normal"].detach().double()
    plain = torch.exp(alpha / 0.37) / torch.exp(alpha / 0.37).sum(1, keepdim=True)
    phi = method.phi("normal")
    assert torch.allclose(phi.double(), plain, atol=1e-6)
    outputs = torch.randn(14, 7)  # what each operation brings, projected on the loss' gradient
    (gradient,) = torch.autograd.grad((phi * outputs).sum(), method.alpha["normal"])
    mean = (plain * outputs).sum(1, keepdim=True)
    assert torch.allclose(gradient.double(), plain * (outputs - mean) / 0.37, atol=1e-5)


@pytest.mark.parametrize(("threshold_operations", "gone"), [("fixed", 2.80), ("left", 1.39)])
def test_of_two_equal_operations_one_goes_at_the_stated_gap(threshold_operations, gone):
    """PROTOCOL: with two left, the gap over T at which the weaker goes is ln(N/0.4 − 1) at N = 7, or at N = 2."""
    method = annealer(threshold_operations=threshold_operations)
    method.begin_epoch(10)
    only_two = np.ones((14, 7), dtype=bool)
    only_two[:, :2] = False
    method.pruned(dict.fromkeys(CELL_KINDS, only_two))
    for gap, expected in ((gone - 0.02, None), (gone + 0.02, 14)):
        with torch.no_grad():
            method.alpha["normal"][:, 0] = gap * method.temperature
        masks = method.to_prune(epoch_ends=False)
        assert (masks if masks is None else int(masks["normal"].sum())) == expected


def test_a_pruned_operation_takes_its_optimizer_state_with_it():
    method = annealer()
    method.begin_epoch(10)
    method.apply({kind: torch.randn(14, 7) for kind in CELL_KINDS})
    gone = np.zeros((14, 7), dtype=bool)
    gone[3, 2] = True
    method.pruned(dict.fromkeys(CELL_KINDS, gone))
    for _ in range(3):
        method.apply({kind: torch.randn(14, 7) * torch.from_numpy(~gone) for kind in CELL_KINDS})
    assert method.alpha["normal"][3, 2] == 0 and method.optimizer.state[method.alpha["normal"]]["exp_avg_sq"][3, 2] == 0
    assert method.phi("normal")[3, 2] == 0 and np.isnan(method.snapshot()["normal"]["alpha"][3, 2])


@pytest.mark.parametrize("rule", ["phi_before_last_pruning", "alpha", "all_edges"])
def test_edge_rules(rule):
    """Two undecided edges of node 3 against one that was decided early with a high Φ."""
    method = annealer(edge_rule=rule)
    method.begin_epoch(10)
    decided = np.zeros((14, 7), dtype=bool)
    decided[4, 1:] = True  # edge 2 → 3 keeps operation 0
    with torch.no_grad():
        method.alpha["normal"][4, 0] = 2.5 * method.temperature
        method.alpha["normal"][2, 3] = 3.0 * method.temperature
        method.alpha["normal"][3, 3] = 0.1 * method.temperature
    method.pruned({"normal": decided, "reduce": decided})
    genotype = method.genotype(rule)
    node3 = [(e.operation, e.source) for e in genotype.normal if e.target == 3]
    if rule == "all_edges":
        assert len(genotype.normal) == 14
    else:
        assert node3 == [("sep_conv_3x3", 0), ("max_pool_3x3", 2)]


@pytest.mark.parametrize("given", [{}, {"method": "darts"}], ids=["asap", "darts"])
def test_a_record_tells_the_cell_by_another_rule(quick_search, quick_evaluation, given):
    """The same search under each rule ends in the cell that the record of the first tells, and an evaluation takes it."""
    first = Run.open(quick_search(alpha_rate_factor=200, **given))
    for rule in ("alpha", "all_edges"):
        told = first.genotype(rule)
        assert told == Run.open(quick_search(alpha_rate_factor=200, edge_rule=rule, **given)).genotype()
    evaluated = Run.open(quick_evaluation(cell="", run=first.name, edge_rule="all_edges", epochs=1))
    assert evaluated.info["genotype"] == told.to_dict() != first.genotype().to_dict()
    assert first.genotype("") == first.genotype("phi_before_last_pruning")


def test_a_rule_that_a_record_does_not_tell_is_refused(quick_search):
    sampled = Run.open(quick_search(method="random", epochs=1))
    by_alpha = Run.open(quick_search(edge_rule="alpha", epochs=1))
    for run, rule in ((sampled, "alpha"), (by_alpha, "phi_before_last_pruning")):
        with pytest.raises(RecordError, match="does not tell the cell by the edge rule"):
            run.genotype(rule)


def test_gradient_statistics_are_those_of_numpy():
    method = annealer()
    method.begin_epoch(10)
    series = torch.randn(40, 14, 7)
    for gradient in series:
        method.gradients["normal"].add(gradient)
    summary = {k: v.numpy() for k, v in method.gradients["normal"].summary().items()}
    values = series.double().numpy()
    assert np.allclose(summary["mean"], values.mean(0)) and np.allclose(summary["deviation"], values.std(0))
    assert np.allclose(summary["largest"], np.abs(values).max(0))
    lagged = (values[1:] * values[:-1]).mean(0) - values.mean(0) ** 2
    assert np.allclose(summary["autocorrelation"], lagged / values.var(0))


def test_bf16_runs_on_a_cpu_too(quick_search, quick_evaluation):
    for folder in (quick_search(precision="bf16", epochs=2), quick_evaluation(precision="bf16", epochs=1)):
        run = Run.open(folder)
        assert np.isfinite(run.epochs()["train_loss"]).all() and run.parameters["precision"] == "bf16"


def test_minutes_stop_a_run_at_an_epoch_s_end_and_it_goes_on(tmp_path, quick_search, quick_evaluation):
    for run, whole in ((quick_search, {"epochs": 3}), (quick_evaluation, {"epochs": 3})):
        with pytest.raises(OutOfTime):
            run(root="cut", **whole, minutes=1e-4)
        folder = next((tmp_path / "cut").glob(f"*/{'asap' if run is quick_search else 'cell'}-*"))
        assert Run.open(folder, finished=False).info["status"] == "running"
        assert len(pd.read_csv(folder / "epochs.csv")) == 1
        resumed, straight = Run.open(run(root="cut", **whole)), Run.open(run(root="straight", **whole))
        a, b = (r.epochs().drop(columns=list(TIME_COLUMNS), errors="ignore") for r in (resumed, straight))
        pd.testing.assert_frame_equal(a, b, check_exact=True)

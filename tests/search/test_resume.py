"""A run that stops and goes on ends as one that never stopped; one that fails says why in a line."""

import errno
import json
import os
import signal
import time

import forked
import pandas as pd
import pytest
import torch
from conftest import SMALL_SEARCH
from same import interrupted, same

from asap.cli import main
from asap.records.parameters import SearchParameters, make
from asap.records.run import RecordError, Run
from asap.search import loop
from asap.search.loop import _Search
from asap.train.checkpoint import CheckpointError, read_tensors, write_tensors
from asap.train.ends import Interrupted, OutOfTime, RunFailed, Signals


def test_a_killed_search_ends_with_the_record_of_an_unkilled_one(tmp_path, recorded, capsys):
    given = {"epochs": 4, "images": 64}
    whole = recorded(**given)
    words = [f"--{key.replace('_', '-')}={value}" for key, value in {**SMALL_SEARCH, **given}.items()]
    command = ["search", *words, "--runs-root", str(tmp_path / "killed")]
    folder = tmp_path / "killed" / "scratch" / whole.folder.name
    for rows in (1, 2):  # killed twice, at whatever moment after so many epochs
        process = forked.start(command)
        until = time.monotonic() + 60
        while time.monotonic() < until and process.is_alive():
            if (folder / "epochs.csv").is_file() and len(pd.read_csv(folder / "epochs.csv")) >= rows:
                break
            time.sleep(0.02)
        assert process.is_alive(), "the search ended before it could be killed"
        process.kill()
        process.join()
        assert json.loads((folder / "run.json").read_text())["status"] == "running"
        with pytest.raises(RecordError, match="did not finish"):
            Run.open(folder)
    assert main(command) == 0 and capsys.readouterr().out.splitlines()[-1] == str(folder)
    killed = Run.open(folder)
    assert len(killed.info["opened"]) == 3
    same(whole, killed)


def test_a_finished_search_is_left_alone(recorded, capsys):
    folder = recorded().folder
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    assert recorded().folder == folder
    assert "finished already" in capsys.readouterr().err
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before
    (folder / "genotype.json").unlink()
    with pytest.raises(RecordError, match=r"genotype\.json is missing or differs .*; delete the folder, and the run is made anew"):
        recorded()
    (folder / "genotype.json").write_bytes(before["genotype.json"])


def test_a_foreign_or_damaged_checkpoint_is_refused_and_kept(tmp_path, monkeypatch, small_search):
    interrupted(monkeypatch, small_search, root="a")
    interrupted(monkeypatch, small_search, root="b", seed=1)
    first, second = (next((tmp_path / root).glob("*/*/checkpoint.pt")) for root in "ab")
    whole = first.read_bytes()
    first.write_bytes(second.read_bytes())
    with pytest.raises(CheckpointError, match="other parameters"):
        small_search(root="a")
    assert first.read_bytes() == second.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is not a whole checkpoint .*: delete it"):
        small_search(root="a")
    tensors, state = read_tensors(second)
    for changed in ({"epoch": "1"}, {"rows": [7]}, {"step": None}):
        write_tensors(second, {name: tensor.clone() for name, tensor in tensors.items()}, {**state, **changed})
        with pytest.raises(CheckpointError, match="does not fit"):
            small_search(root="b", seed=1)
    tensors.pop("network/head.weight")
    write_tensors(second, tensors, state)
    with pytest.raises(CheckpointError, match="does not fit"):
        small_search(root="b", seed=1)
    second.with_name("run.json").unlink()  # it may be of other images
    with pytest.raises(RecordError, match=r"has a checkpoint without run\.json"):
        small_search(root="b", seed=1)


def test_a_full_disk_fails_in_one_line_and_keeps_the_last_checkpoint(tmp_path, monkeypatch, small_search, recorded):
    interrupted(monkeypatch, small_search)
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
        with pytest.raises(RunFailed, match="No space left on device; the last checkpoint is kept") as caught:
            small_search()
    assert "\n" not in str(caught.value) and len(calls) == 3  # the third was to say so in the record
    assert checkpoint.read_bytes() == before and not list(checkpoint.parent.glob(".*.part"))
    same(Run.open(small_search()), recorded())


def test_a_search_that_fails_after_its_last_epoch_goes_on_to_the_same_cell(monkeypatch, small_search, recorded):
    given = {"threshold": 0.0, "alpha_rate_factor": 40.0, "epochs": 6}  # undecided edges, which Φ at the last temperature ranks
    ended = []

    def full(search):
        ended.append(search.epoch)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_Search, "finish", full)
        with pytest.raises(RunFailed, match="No space left on device; the last checkpoint is kept"):
            small_search(**given)
    assert ended == [6]
    same(Run.open(small_search(**given)), recorded(**given))


def test_other_parameters_do_not_go_on_with_a_run(tmp_path, monkeypatch, small_search):
    interrupted(monkeypatch, small_search, steps=1)
    path = next(tmp_path.glob("runs/*/*/run.json"))
    info = json.loads(path.read_text())
    info["parameters"]["channels"] = 5
    path.write_text(json.dumps(info))
    with pytest.raises(RecordError, match="channels is 5 there, 4 here"):
        small_search()


def test_a_run_goes_on_with_the_threads_it_was_begun_with(tmp_path, monkeypatch, small_search):
    interrupted(monkeypatch, small_search, steps=1)
    path = next(tmp_path.glob("runs/*/*/run.json"))
    before = path.read_bytes()
    with pytest.raises(RecordError, match="begun with --threads 1, and would end otherwise with 2: give that, or delete"):
        small_search(threads=2)
    assert path.read_bytes() == before
    path.with_name("checkpoint.pt").unlink()  # nothing done yet: it may begin as it likes
    interrupted(monkeypatch, small_search, steps=1, threads=2)
    assert json.loads(path.read_text())["machine"]["threads"] == 2
    assert torch.get_num_threads() == 1  # as before: a run without a number of its own does not inherit this one's


def test_a_record_older_than_a_parameter_counts_as_at_its_default(tmp_path, monkeypatch, small_search, recorded):
    interrupted(monkeypatch, small_search)
    path = next(tmp_path.glob("runs/*/*/run.json"))
    info = json.loads(path.read_text())
    for name in ("compile", "edge_rule"):
        info["parameters"].pop(name)
    path.write_text(json.dumps(info))
    same(Run.open(small_search()), recorded())
    info["parameters"]["momentum"] = 0.5
    assert not make(SearchParameters, SMALL_SEARCH).matches(info["parameters"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learning_rate": 1e30, "learning_rate_min": 1e30, "gradient_clip": 1e30}, "the train loss of epoch 1 is not finite"),
        ({"method": "enas", "alpha_rate_factor": 1e35}, "RuntimeError: probability tensor contains"),
    ],
)
def test_what_is_no_number_fails_the_run(tmp_path, small_search, given, message):
    with pytest.raises(RunFailed, match=message) as caught:
        small_search(**given)
    assert "checkpoint" not in str(caught.value) and "\n" not in str(caught.value)  # there is none yet
    info = json.loads(next(tmp_path.glob("runs/*/*/run.json")).read_text())
    assert info["status"] == "failed" and info["reason"] == str(caught.value)


def covered(first, second):
    """The second error as it is raised while the first is handled."""
    second.__context__ = first
    return second


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "^out of memory$"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117]\nDefaultCPUAllocator: can't allocate memory"), "^out of memory: .enforce"),
        (covered(MemoryError(), RuntimeError("[enforce fail] unexpected pos")), "^out of memory$"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "^RuntimeError: CUDA error: an illegal"),
        (OverflowError("math range error"), "^OverflowError: math range error$"),
    ],
)
def test_a_failure_inside_is_one_line_that_the_record_says_too(tmp_path, monkeypatch, small_search, error, message):
    def fails(self, *batch):
        raise error

    monkeypatch.setattr(_Search, "_weight_step", fails)
    with pytest.raises(RunFailed, match=message):
        small_search()
    assert json.loads(next(tmp_path.glob("runs/*/*/run.json")).read_text())["status"] == "failed"


def test_a_validation_loss_that_is_no_number_fails_the_run(monkeypatch, small_search):
    monkeypatch.setattr(loop, "measure", lambda *_: (float("nan"), 0.1, None))
    with pytest.raises(RunFailed, match="the validation loss of epoch 1 is not finite"):
        small_search()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(tmp_path, monkeypatch, capsys, recorded, number, status):
    words = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL_SEARCH.items()]
    original = _Search.prune

    def prune(self, masks):
        if (self.epoch, self.steps_done) == (1, 1):
            os.kill(os.getpid(), number)
        original(self, masks)

    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)  # a shell's background job ignores some
    with monkeypatch.context() as patch:
        patch.setattr(_Search, "prune", prune)
        assert main(["search", *words]) == status
    assert signal.getsignal(number) == usual
    signal.signal(number, before)
    assert capsys.readouterr().err.splitlines()[-1] == "asap: interrupted; the same command goes on from the checkpoint"
    checkpoint = next(tmp_path.glob("runs/*/*/checkpoint.pt"))
    _, state = read_tensors(checkpoint)
    assert (state["epoch"], state["step"]) == (1, 2)
    assert main(["search", *words]) == 0
    same(Run.open(checkpoint.parent), recorded())


def test_a_signal_between_steps_and_a_second_one_end_the_run_at_once():
    with Signals() as signals:
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        signals.waiting = True
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_a_kill_left_is_swept(recorded):
    run = recorded()
    left = [run.folder / "checkpoint.pt", run.folder / ".checkpoint.pt.x1.part"]
    for path in left:
        path.write_bytes(b"half")
    assert recorded() == run and not any(path.exists() for path in left)


def test_minutes_stop_a_run_within_an_epoch_and_it_goes_on(tmp_path, small_search, quick_evaluation, recorded):
    with pytest.raises(OutOfTime):
        small_search(minutes=1e-6)
    folder = next(tmp_path.glob("runs/*/asap-*"))
    assert Run.open(folder, finished=False).info["status"] == "running" and read_tensors(folder / "checkpoint.pt")[1]["step"] == 1
    same(Run.open(small_search()), recorded())
    with pytest.raises(OutOfTime):
        quick_evaluation(minutes=1e-6)

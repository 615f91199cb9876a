"""The benchmarks' parts run; what they find is not judged here."""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import bench


@pytest.mark.parametrize("name", ["plain search", "our search", "our search, 0 left", "our search, 3 left"])
def test_search_steps(name):
    bench.VARIANTS[name](4, 3, 2, "cpu")()


@pytest.mark.parametrize("variant", ["plain", "ours"])
def test_evaluation_and_input_steps(variant):
    bench.evaluation_step(variant, 4, 3, 2)()
    assert len(bench.input_step(variant, 4)()) == bench.BURST


def test_side_by_side_takes_turns_in_processes_of_their_own():
    found = bench.side_by_side(["our input"], (4,), 2)
    assert found["our input"]["seconds"] > 0 and found["our input"]["memory_mb"] > 0


def test_left_on_each_edge():
    assert all(len(edge) == 3 for kind in bench.left_on_each_edge(3).values() for edge in kind)


def test_the_steps_of_the_gpu_study_run_on_a_cpu_in_small(tmp_path, monkeypatch):
    """Its checks hold, and its record has what the page shows."""
    import gpu_steps
    import gpu_study

    monkeypatch.setattr(gpu_steps, "VARIANTS", {name: gpu_steps.VARIANTS[name] for name in ("float32, graphs", "float32")})
    monkeypatch.setattr(gpu_steps, "EVALUATIONS", {"float32": {}})
    monkeypatch.setattr(gpu_steps, "ITERATIONS", 2)
    record = gpu_study.Record(tmp_path / "cpu.json")
    for step, _ in gpu_steps.STEPS.values():
        step(record, torch.device("cpu"), True)
    found = json.loads((tmp_path / "cpu.json").read_text())
    assert "failed" not in found and set(found["search"]["variants"]) == set(gpu_steps.VARIANTS)
    assert max(error for row in found["gradients"]["after"].values() for errors in row.values() for error in errors) < 1e-4
    pairs = found["correctness"]
    assert pairs["device / again"]["loss"] == 0 and pairs["cpu / device"]["first_loss"] < 1e-5
    assert all(pair["same_operations_left"] for pair in pairs.values())
    assert set(found["operations_left"]) == {"7", "5", "4", "3", "2", "1"} and found["evaluation"]["float32"]["seconds"] > 0


def test_a_variant_that_fails_leaves_a_line_and_is_not_tried_again(tmp_path):
    import gpu_study

    record = gpu_study.Record(tmp_path / "cpu.json")
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            record.attempt(lambda: 1 / 0, "search", "variants", "bad")
            sys.exit(0)
        record = gpu_study.Record(tmp_path / "cpu.json")
        assert record.get("failed") == {"search, variants, bad": "ZeroDivisionError: division by zero"}
    assert stop.value.code == 0
    record.attempt(lambda: 1, "search", "good")
    record.attempt(lambda: 2, "search", "good")
    assert gpu_study.Record(tmp_path / "cpu.json").get("search", "good") == 1


def test_a_variant_has_not_ended_until_it_has(tmp_path, monkeypatch):
    import gpu_study

    record, calls = gpu_study.Record(tmp_path / "cpu.json"), []
    monkeypatch.setattr(record, "put", lambda *given: (calls.append(given), gpu_study.Record.put(record, *given)))
    record.attempt(lambda: 5, "search", "good")  # a crash within the call leaves what is put before it
    assert calls == [(gpu_study.UNENDED, "failed", "search, good"), (5, "search", "good")] and "failed" not in record.content
    record.put(gpu_study.UNENDED, "failed", "search, bad")
    record.attempt(lambda: 1 / 0, "search", "bad")
    record.put("over its limit of 9 s", "failed", "search")
    record.take_back("search, bad", "search")
    assert json.loads((tmp_path / "cpu.json").read_text()) == {"search": {"good": 5}}


def test_steps_that_crash_go_on_in_a_new_process_while_they_leave_a_line(tmp_path, monkeypatch):
    import gpu_study

    path, ends = tmp_path / "benchmarks" / "cpu-quick.json", []

    def limited(command, seconds):
        step = command[-1] if "--step" in command else "work"
        ends.append(step)
        if ends.count(step) < 3 and step == "search":
            gpu_study.Record(path).put(gpu_study.UNENDED, "failed", f"search, {len(ends)}")
        return -6 if step in ("correctness", "search") else 0

    for name in ("ASAP_RUNS", "ASAP_DATA", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")  # which it sets, and the test puts back
    monkeypatch.setattr(gpu_study, "limited", limited)
    monkeypatch.setattr(gpu_study.machine, "choose_device", lambda name: torch.device("cpu"))
    assert gpu_study.main(["--cpu", "--quick", "--runs-root", str(tmp_path), "--data-root", str(tmp_path)]) == 0
    assert ends == ["correctness", "search", "search", "search", "evaluation", "work"]
    unended = {"search, 2": gpu_study.UNENDED, "search, 3": gpu_study.UNENDED}
    assert gpu_study.Record(path).get("failed") == {"correctness": "ended with status -6", **unended, "search": "ended with status -6"}
    before = path.read_bytes()
    monkeypatch.setattr(gpu_study, "limited", lambda *given: gpu_study.Record(path).put(gpu_study.UNENDED, "failed", "search, 9"))
    for minutes in ("0.5", "0"):  # which cut short what is begun, or leave no time to begin: it is tried again
        given = ["--cpu", "--quick", "--minutes", minutes, "--runs-root", str(tmp_path), "--data-root", str(tmp_path)]
        assert gpu_study.main(given) == 0 and path.read_bytes() == before


def test_the_gpu_study_stops_a_step_that_takes_too_long_and_refuses_a_cpu(capsys):
    import gpu_study

    assert gpu_study.limited([sys.executable, "-c", "import time; time.sleep(60)"], 1) is None
    assert gpu_study.limited([sys.executable, "-c", "raise SystemExit(3)"], 30) == gpu_study.FAILED
    if not torch.cuda.is_available():
        assert gpu_study.main([]) == 2 and "no CUDA device" in capsys.readouterr().err


def test_the_gpu_study_s_work_is_the_search_at_paper_scale_or_what_is_left_of_a_study(monkeypatch):
    import gpu_study

    commands = []
    monkeypatch.setattr(gpu_study, "limited", lambda command, seconds: commands.append((command[3:], seconds)))
    given = argparse.Namespace(study="", jobs=3, quick=False)
    gpu_study.work(given, time.monotonic() + 60)
    (command, seconds) = commands.pop()
    assert command[:7] == ["search", "--method", "asap", "--seed", "0", "--study", "main"] and 59 < seconds <= 60
    assert {"paper", "cifar10"} < set(command) and command[-2] == "--minutes" and 0.35 < float(command[-1]) <= 0.4
    given.study = "precision"
    gpu_study.work(given, time.monotonic() + 60)
    assert commands.pop()[0][:4] == ["study", "precision", "--jobs", "3"]
    gpu_study.work(given, time.monotonic())
    assert not commands


def test_the_new_records_come_back_as_one_archive(tmp_path):
    import gpu_study

    for name in ("main/old/run.json", "main/new/run.json", "main/new/checkpoint.pt", "main/new/.lock", "benchmarks/card.json"):
        (tmp_path / "there" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "there" / name).write_text(name)
    os.utime(tmp_path / "there" / "main" / "old" / "run.json", (0, 0))
    for _ in range(2):
        path = gpu_study.archive(tmp_path / "there", 1.0)
    with tarfile.open(path) as tar:
        tar.extractall(tmp_path / "here", filter="data")
    assert {str(f.relative_to(tmp_path / "here")) for f in (tmp_path / "here").rglob("*") if f.is_file()} == {
        "runs/main/new/run.json", "runs/main/new/checkpoint.pt", "runs/benchmarks/card.json"
    }  # fmt: skip


def test_the_gpu_study_needs_no_more_than_it_says():
    """On a machine with torch, torchvision, pandas and pyarrow: nothing else may be imported."""
    code = """
import sys
for name in ("scipy", "sklearn", "matplotlib", "seaborn", "yaml", "tqdm", "IPython", "safetensors"):
    sys.modules[name] = None
sys.path.insert(0, "tests/benchmarks")
import gpu_study, gpu_steps, asap.cli, asap.train.evaluate
run = gpu_steps.running_search(__import__("torch").device("cpu"), 64, **{**gpu_steps.SMALL, "batch": 8})
gpu_steps.iteration(run, gpu_steps.batches_of(run, 1)[0])
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True)


def test_bounds_count_what_a_product_computes_and_moves():
    a = torch.randn(64, 32)
    found = bench.bounds(lambda: a.t().contiguous().view(-1)[: 32 * 64].view(32, 64) @ a)
    assert found["flops"] == 2 * 32 * 64 * 32
    assert found["bytes"] == 4 * (2 * a.numel() + 2 * a.numel() + 32 * 32)  # the copy, the product
    assert found["seconds_computing"] > 0 and found["seconds_moving"] > 0


@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (1, 2), (16, 1), (16, 2)])
def test_the_gradients_of_a_convolution_count_as_often_as_it_does(groups, stride):
    x, weight = torch.randn(2, 16, 8, 8, requires_grad=True), torch.randn(16, 16 // groups, 3, 3, requires_grad=True)
    once = 2 * (2 * 16 * (8 // stride) ** 2) * (16 // groups) * 9

    def step(x):
        torch.nn.functional.conv2d(x, weight, None, stride, 1, 1, groups).sum().backward()

    assert bench.bounds(lambda: step(x))["flops"] == 3 * once
    assert bench.bounds(lambda: step(x.detach()))["flops"] == 2 * once

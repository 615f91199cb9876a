"""The benchmarks' parts run; what they find is not judged here."""

import json
import subprocess
import sys
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


def test_the_gpu_study_runs_on_a_cpu_in_small(tmp_path, capsys):
    """Its checks hold, and its record has what the page shows; without a GPU the study itself refuses in one line."""
    import gpu_study

    assert gpu_study.main(["--quick", "--device", "cpu", "--runs-root", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "benchmarks" / "cpu-quick.json").read_text())
    apart = record["correctness"]
    assert apart["device / again"]["loss"] == 0 and apart["cpu / device"]["alpha"] == 0 and apart["same_operations_left"]
    assert set(record["search"]["variants"]) == {"float32", "bf16", "plain DARTS modules"}
    assert set(record["operations_left"]) == {"7", "5", "3", "1"} and record["evaluation"]["float32"]["seconds"] > 0
    if not torch.cuda.is_available():
        assert gpu_study.main([]) == 2 and "no CUDA device" in capsys.readouterr().err


def test_the_gpu_study_needs_no_more_than_it_says():
    """On a machine with torch, torchvision, pandas and pyarrow: nothing else may be imported."""
    code = """
import sys
for name in ("scipy", "sklearn", "matplotlib", "seaborn", "yaml", "tqdm", "IPython", "safetensors"):
    sys.modules[name] = None
sys.path.insert(0, "tests/benchmarks")
import gpu_study, asap.cli, asap.train.evaluate
from asap.records.parameters import SearchParameters, make
gpu_study.steps(gpu_study.running_search(__import__("torch").device("cpu"), 64, channels=2, layers=3, batch=8), 2)
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

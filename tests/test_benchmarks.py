"""The benchmarks' parts run; what they find is not judged here."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
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

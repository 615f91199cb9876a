"""What a search step launches and moves on a GPU, counted on the meta device, against the record that the page on costs shows."""

import json
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="Triton comes with torch for CUDA")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import counts

from asap.report.benchmarks import GPU_AIM

RECORD = json.loads((Path(__file__).parents[2] / "runs" / "benchmarks" / "meta.json").read_text())["counts"]


@pytest.mark.parametrize("left", [7, 4, 1])
def test_a_step_launches_and_moves_what_is_recorded(left):
    """Both at most the aim."""
    found = counts.counted(left)
    kernels, gigabytes = found.kernels.total(), found.bytes.total() / 1e9
    recorded, (most, aim) = RECORD[f"{left} left"], GPU_AIM[f"{left} left"]
    assert kernels == pytest.approx(recorded["kernels"], rel=0.01) and gigabytes == pytest.approx(recorded["gb"], rel=0.01)
    assert kernels <= most and gigabytes <= aim


def test_each_call_counts_once_and_a_view_not():
    found = counts.Counts()
    with found:
        x = torch.empty(4, 8, device="meta")
        x.view(8, 4).t()
        y = x + torch.ones(8, device="meta").expand(4, 8)  # reads the eight
        y.add_(1)
    assert found.kernels == {"add": 1, "ones": 1, "add_": 1}
    assert found.bytes == {"add": 4 * (32 + 8 + 32), "ones": 4 * 8, "add_": 4 * (32 + 32)}

"""Every test runs on one thread, writes only under its own folder, and draws without a screen."""

import glob
import os

os.environ.setdefault("MPLBACKEND", "Agg")
if not glob.glob("/dev/nvidia[0-9]*"):
    os.environ.setdefault("TRITON_INTERPRET", "1")  # Triton's kernels run on the CPU; to be set before Triton is imported

import pytest
import torch

from asap.records.parameters import EvaluationParameters, SearchParameters, make
from asap.records.run import Run
from asap.search.loop import search
from asap.train.evaluate import evaluate

#: A search of seconds: everything of `tiny`, with fewer images and a hotter pace.
QUICK_SEARCH = {"scale": "tiny", "images": 128, "epochs": 5, "batch": 16, "temperature_decay": 0.6}
#: One of two seconds, where neither the number of edges nor that of epochs matters.
SMALL_SEARCH = {**QUICK_SEARCH, "nodes": 2, "epochs": 3, "images": 96}
QUICK_EVALUATION = {"scale": "tiny", "images": 256, "epochs": 2, "layers": 3}


@pytest.fixture(autouse=True)
def one_thread(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("ASAP_DATA", str(tmp_path / "data"))


@pytest.fixture
def quick_search(tmp_path):
    def run(root="runs", **given):
        return search(make(SearchParameters, {**QUICK_SEARCH, "runs_root": str(tmp_path / root), **given}), progress=False)

    return run


@pytest.fixture
def small_search(quick_search):
    def run(**given):
        return quick_search(**{**SMALL_SEARCH, **given})

    return run


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """A finished small search of these parameters, only to be read: each is run once."""
    root = tmp_path_factory.mktemp("recorded")

    def run(**given):
        return Run.open(search(make(SearchParameters, {**SMALL_SEARCH, "runs_root": str(root), **given}), progress=False))

    return run


@pytest.fixture
def quick_evaluation(tmp_path):
    def run(root="runs", **given):
        source = {} if "run" in given else {"cell": "ASAP"}
        return evaluate(
            make(EvaluationParameters, {**QUICK_EVALUATION, **source, "runs_root": str(tmp_path / root), **given}), progress=False
        )

    return run

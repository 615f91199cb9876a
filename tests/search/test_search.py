"""The search as a whole: its record, its rules, and what it warns of."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import SMALL_SEARCH
from same import TIME_COLUMNS, same, timeless

import asap
from asap import cli
from asap.paper.space import CELL_KINDS, EDGE_RULES
from asap.records.parameters import ParameterError, SearchParameters, make
from asap.records.run import RecordError, Run
from asap.search.loop import _Search, search


def test_the_record_of_a_search(recorded):
    run = recorded(nodes=4)
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


def test_grace_leaves_alpha_alone(recorded):
    run = recorded(initial_temperature=3.0)
    epochs, frame = run.epochs(), run.architecture()
    grace = epochs.loc[epochs["temperature"] >= 1, "epoch"]
    assert len(grace) == 2 and (frame.loc[frame["epoch"].isin(grace), "alpha"] == 0).all()
    assert list(epochs["alpha_steps"]) == [0, 0, 3] and np.allclose(epochs["entropy_normal"][:2], 1)


def test_the_search_ends_when_every_edge_is_decided(recorded):
    run = recorded(alpha_rate_factor=600, epochs=9)
    assert run.outcome["decided"] and run.outcome["epochs"] < 9 and "warning" not in run.outcome
    assert run.outcome["operations_left"] == {"normal": 5, "reduce": 5}
    last = run.epochs().iloc[-1]
    assert last["entropy_normal"] == 0 and last["entropy_reduce"] == 0


def test_same_seed_same_record_other_seed_other_record(small_search, recorded):
    a, b, c = recorded(), Run.open(small_search()), recorded(seed=1)
    same(a, b)
    assert not timeless(a).equals(timeless(c))


def test_the_numbers_of_many_edges_and_epochs_are_kept():
    """16 nodes have 152 edges, more than eight bits count."""
    kinds = {kind: {name: np.ones((152, 2)) for name in ("alpha", "phi", "alive")} for kind in CELL_KINDS}
    frame = _Search.frame(SimpleNamespace(p=SimpleNamespace(nodes=16), method=SimpleNamespace(operations=("a", "b")), history=[kinds] * 2))
    assert sorted(set(frame["edge"])) == list(range(152)) and frame["target"].max() == 17 and frame["epoch"].tolist()[-1] == 2
    assert np.iinfo(frame["epoch"].dtype).max >= 100_000


@pytest.mark.parametrize("method", ["enas", "random"])
def test_candidates_that_a_method_does_not_read_are_refused(method):
    with pytest.raises(ParameterError, match="candidates must be paper"):
        make(SearchParameters, {"method": method, "candidates": "darts"})


def test_too_many_images_and_too_few():
    for given, message in (({"images": 10_000}, "has 1438"), ({"images": 20, "batch": 16}, "do not fill")):
        with pytest.raises(ParameterError, match=message):
            search(make(SearchParameters, given), progress=False)


def test_a_search_that_learnt_nothing_says_so(recorded, quick_evaluation, capsys):
    nothing = recorded(epochs=1, initial_temperature=3.0)
    undecided = recorded()
    err = capsys.readouterr().err
    assert nothing.outcome["alpha_steps"] == 0 and nothing.outcome["warning"].startswith("nothing was learnt")
    count = sum(undecided.outcome["undecided_edges"].values())
    assert undecided.outcome["warning"] == f"{count} of 10 edges were still undecided when the epochs ended"
    assert f"asap: warning: asap: {nothing.outcome['warning']}" in err
    assert cli.main(["runs", "--runs-root", str(nothing.folder.parents[1])]) == 0
    assert f"  warning: {nothing.outcome['warning']}\n" in capsys.readouterr().out
    quick_evaluation(run=str(nothing.folder), epochs=1)
    assert nothing.outcome["warning"] in capsys.readouterr().err
    assert "warning" not in recorded(method="darts").outcome  # which decides nothing, and means to


@pytest.mark.parametrize("given", [{}, {"method": "darts"}], ids=["asap", "darts"])
def test_a_record_tells_the_cell_by_another_rule(monkeypatch, small_search, quick_evaluation, given):
    """The cell that each rule gives where a search ends is the one that its record tells, and an evaluation takes it."""
    ends, finish = {}, _Search.finish

    def noting(self):
        ends.update({rule: self.method.genotype(rule) for rule in EDGE_RULES})
        finish(self)

    monkeypatch.setattr(_Search, "finish", noting)
    run = Run.open(small_search(alpha_rate_factor=200, nodes=3, **given))
    assert ends == {rule: run.genotype(rule) for rule in EDGE_RULES} and run.genotype() == ends["phi_before_last_pruning"]
    evaluated = Run.open(quick_evaluation(cell="", run=str(run.folder), edge_rule="all_edges", epochs=1))
    assert evaluated.info["genotype"] == ends["all_edges"].to_dict() != run.genotype().to_dict()


def test_a_rule_that_a_record_does_not_tell_is_refused(recorded):
    sampled, by_alpha = recorded(method="random", epochs=1), recorded(edge_rule="alpha", epochs=1)
    for run, rule in ((sampled, "alpha"), (by_alpha, "phi_before_last_pruning")):
        with pytest.raises(RecordError, match="does not tell the cell by the edge rule"):
            run.genotype(rule)


def test_bf16_runs_on_a_cpu_too(recorded, quick_evaluation):
    for run in (recorded(precision="bf16", epochs=2), Run.open(quick_evaluation(precision="bf16", epochs=1))):
        assert np.isfinite(run.epochs()["train_loss"]).all() and run.parameters["precision"] == "bf16"


def test_the_library_in_five_lines(tmp_path, recorded):
    code = """
import sys, asap
assert "torch" not in sys.modules and "pandas" in sys.modules
import asap.search.loop
assert callable(asap.search)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    run = asap.search(**SMALL_SEARCH, runs_root=tmp_path, progress=False)
    same(asap.Run.open(run), recorded())
    test = asap.evaluate(run=run, images=128, epochs=1, layers=3, runs_root=tmp_path, progress=False)
    assert asap.Run.open(test).info["genotype"] == recorded().genotype().to_dict()
    with pytest.raises(asap.UserError, match="unknown parameter 'epoch'"):
        asap.search(epoch=1)
    assert issubclass(asap.RunFailed, RuntimeError)

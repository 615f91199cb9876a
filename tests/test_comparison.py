"""How claims on searches and cells are judged from the records, and which records count."""

import dataclasses
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
from posed import MACHINE, pose

from asap.paper.space import cell_by_name
from asap.records.parameters import checkout
from asap.records.recorder import Recorder
from asap.records.run import Run
from asap.records.study import load, plan
from asap.report import claims, tables, verdicts
from asap.report import claims_search as search_judges
from asap.search.loop import search


def test_falls_are_told_apart_by_whether_the_epoch_pruned():
    epochs = pd.DataFrame({"validation_accuracy": [0.5, 0.6, 0.55, 0.57], "operations_normal": [98, 98, 84, 84], "operations_reduce": 98})
    found = tables.falls(epochs)
    assert found["fall"].round(6).tolist() == [-10.0, 5.0, -2.0] and found["pruned"].tolist() == [False, True, False]


def test_a_full_epoch_is_one_in_which_alpha_learns_and_nothing_is_pruned_yet():
    columns = {"operations_normal": [98, 98, 98, 98, 70], "operations_reduce": 98, "alpha_steps": [0, 78, 78, 78, 78]}
    epochs = pd.DataFrame(columns | {"seconds_weights": [40.0, 30.0, 90.0, 34.0, 20.0], "seconds_alpha": [0.0, 30.0, 90.0, 30.0, 20.0]})
    assert search_judges.full_epoch(epochs) == pytest.approx(64 / 60)


def front_page(root, statement):
    return next(v for rows in claims.judged(root).values() for c, v in rows if c.statement.startswith(statement))


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([], verdicts.OPEN),
        ([2.0], verdicts.OPEN),
        ([2.0, 2.1, 1.9], verdicts.HOLDS),
        ([-2.0, -2.1, -1.9], verdicts.FAILS),
        ([2.0, -2.1, 0.3], verdicts.OPEN),
    ],
)
def test_a_claim_on_errors_is_decided_by_its_paired_test(tmp_path, differences, verdict):
    """ASAP's cells at 18 %, DARTS' so many points above, seed by seed."""
    study = load("methods")
    plans = {(p.label, p.parameters.seed): p for p in study.planned if p.kind == "evaluation"}
    for seed, difference in enumerate(differences):
        pose(tmp_path, plans["ASAP", seed], 18.0)
        pose(tmp_path, plans["DARTS", seed], 18.0 + difference)
    found = front_page(tmp_path, "ASAP improves DARTS' accuracy")
    assert found.verdict == verdict
    assert ("no record" in found.ours) == (not differences) and ("one pair" in found.ours) == (len(differences) == 1)
    assert ("could have shown" in found.ours) == bool(differences)


def test_claims_tested_together_are_corrected_together(tmp_path):
    """p = 0.03 alone holds; with a second test beside it, Holm makes 0.057 of it."""
    study = load("methods")
    plans = {(p.label, p.parameters.seed): p for p in study.planned if p.kind == "evaluation"}
    for seed, darts in enumerate((1.0, 1.3, 0.7)):
        pose(tmp_path, plans["ASAP", seed], 18.0)
        pose(tmp_path, plans["DARTS", seed], 18.0 + darts)
    assert front_page(tmp_path, "ASAP improves DARTS' accuracy").verdict == verdicts.HOLDS
    for seed, pruning in enumerate((0.5, -0.5, 0.1)):
        pose(tmp_path, plans["Magnitude, p = 1", seed], 18.0 + pruning)
    corrected = front_page(tmp_path, "ASAP improves DARTS' accuracy")
    assert corrected.verdict == verdicts.OPEN and "adjusted p = 0.057" in corrected.ours
    (tmp_path / plans["Magnitude, p = 1", 0].name / "run.json").unlink()
    (tmp_path / plans["Magnitude, p = 1", 1].name / "run.json").unlink()
    assert front_page(tmp_path, "ASAP improves DARTS' accuracy").verdict == verdicts.HOLDS  # one pair is no test


def test_the_published_cell_is_judged_against_the_mean_of_others(tmp_path):
    for planned in load("transfer").planned:
        p = planned.parameters
        if p.dataset == "cifar10":
            pose(tmp_path, planned, {"ASAP": 17.0, "PNAS": 19.0}.get(p.cell, 18.0) + 0.1 * p.seed)
    published = front_page(tmp_path, "The published cell outperforms other published cells")
    assert published.verdict == verdicts.HOLDS and "+1.11 points" in published.ours and "9 of 9 are worse" in published.ours
    assert "5 of 5 are worse" in front_page(tmp_path, "The cell is better than other cells").ours
    assert "no record" in front_page(tmp_path, "The cell transfers well").ours
    for planned in load("transfer").planned:
        p = planned.parameters
        if p.dataset == "fashion_mnist" and not p.cell.startswith("random"):
            pose(tmp_path, planned, {"ASAP": 5.0, "PNAS": 3.0}.get(p.cell, 4.0) + 0.1 * p.seed)
    transfers = front_page(tmp_path, "The cell transfers well")
    assert transfers.verdict == verdicts.FAILS and "-1.11 points" in transfers.ours and "0 of 9 are worse" in transfers.ours


def test_claims_of_the_figures_follow_the_study_s_runs(monkeypatch, tmp_path):
    """DARTS' drop, ENAS' accuracy and both entropies, from runs of seconds that pose as the study's."""
    common = {"scale": "tiny", "dataset": "digits", "study": "quick", "seed": 0, "images": 128, "epochs": 3, "batch": 16}
    arms = {"ASAP": {"method": "asap"}, "DARTS": {"method": "darts"}, "ENAS": {"method": "enas"}}
    study = plan("methods", {"title": "quick", "runs": [{"kind": "search", "common": common, "arms": arms}]})
    monkeypatch.setattr(verdicts.studies, "load", lambda name: study)
    root = tmp_path / "runs"
    judges = (search_judges.relaxation_bias, search_judges.enas_low, search_judges.entropy_stays, search_judges.smaller_perturbations)
    assert all(judge(root).verdict == verdicts.OPEN and "no record" in judge(root).ours for judge in judges)
    for planned in study.planned:
        search(planned.parameters, progress=False)
    drop, low, entropy, perturbations = (judge(root) for judge in judges)
    run = study.runs(root, "search", "DARTS")[0]
    points = 100 * (run.outcome["validation_accuracy"] - run.outcome["cut"]["genotype"]["recalibrated"])
    assert f"{points:.0f} points" in drop.ours and drop.verdict == (verdicts.HOLDS if points > 5 else verdicts.FAILS)
    assert low.verdict != verdicts.OPEN and entropy.verdict == verdicts.HOLDS and perturbations.verdict == verdicts.OPEN


def pose_search(root, planned, outcome):
    """The record of a finished search of the study, with this outcome."""
    data = {"variant": "posed", "fingerprint": "0"}
    recorder = Recorder(root / planned.name, "search", planned.parameters.identity(), data=data, machine=MACHINE)
    recorder.finish(outcome)
    recorder.close()


def test_whether_a_search_converges_is_asked_of_every_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "architecture", lambda run: pd.DataFrame({"edge": range(14)}))
    undecided = {"As decided": 19, "T₀ = 1.6": 18, "θ = 0.4 / operations left": 0}
    for label, edges in undecided.items():
        for planned in load("sensitivity").planned:
            if planned.kind == "search" and planned.label == label and planned.parameters.seed == 0:
                pose_search(tmp_path, planned, {"undecided_edges": {"normal": edges, "reduce": 0}})
        verdict = search_judges.of_searches(search_judges.ends_in_one_network, search_judges.every_reading)(tmp_path)
        assert verdict.verdict == (verdicts.DIRECTION if edges == 0 else verdicts.FAILS)
    assert verdict.ours == "1 of 3 searches end so; undecided edges of 28: 19; with what else the paper's words allow: 18, 0"
    assert verdict.scale == "cpu, n = 3"


def test_the_bias_of_pruning_counts_asap_s_other_readings_and_says_whose_searches_end_undecided(tmp_path):
    # validation accuracy, then with one operation an edge, then of the derived cell
    ends = {("sensitivity", "T₀ = 1.6"): (False, 60, 50, 20), ("methods", "Magnitude, p = 3"): (True, 13, 34, 33.5)}
    for (study, label), (decided, accuracy, operations, genotype) in ends.items():
        planned = next(p for p in load(study).planned if p.kind == "search" and p.label == label and p.parameters.seed == 0)
        found = {"operations": {"recalibrated": operations / 100}, "genotype": {"recalibrated": genotype / 100}}
        pose_search(tmp_path, planned, {"decided": decided, "validation_accuracy": accuracy / 100, "cut": found})
    bias = search_judges.no_bias(tmp_path)
    assert bias.verdict == verdicts.DIRECTION and bias.scale == "cpu, n = 2"
    assert bias.ours == (
        "searches undecided at the end: 1 of 1 by ASAP, 0 of 1 by Eq. 13; those lose 10.0 points down to one operation an edge; "
        "down to the 8 edges of the derived cell all lose 15.2 more on average"
    )


def test_a_mean_over_arms_or_cells_is_of_the_same_ones_at_every_seed(tmp_path):
    """A study's second seed has begun: its first records enter when the arms and cells of the first seed all have theirs."""
    methods = {(p.label, p.parameters.seed): p for p in load("methods").planned if p.kind == "evaluation"}
    for label, seed, error in (("ASAP", 0, 18.0), ("ASAP", 1, 18.0), ("DARTS", 0, 19.0), ("DARTS, second order", 0, 21.0)):
        pose(tmp_path, methods[label, seed], error)
    for planned in load("transfer").planned:
        p = planned.parameters
        if p.dataset == "cifar10" and (p.cell, p.seed) in [("ASAP", 0), ("ASAP", 1), ("PNAS", 0), ("PNAS", 1), ("XNAS", 0)]:
            pose(tmp_path, planned, {"ASAP": 17.0, "PNAS": 19.0, "XNAS": 18.0}[p.cell] + 5 * p.seed)
    darts, published = "ASAP improves DARTS' accuracy", "The published cell outperforms other published cells"
    pose(tmp_path, methods["DARTS", 1], 28.0)
    for statement, difference in ((darts, "+2.00 points"), (published, "+1.50 points")):
        found = front_page(tmp_path, statement)
        assert difference in found.ours and "one pair" in found.ours
    pose(tmp_path, methods["DARTS, second order", 1], 30.0)
    assert "+6.50 points" in front_page(tmp_path, darts).ours


def test_only_runs_by_their_scale_s_recipe_and_of_committed_studies_count(tmp_path):
    planned = next(p for p in load("transfer").planned if p.parameters.dataset == "cifar10")
    for name, changed in (
        ("plain", {}),
        ("replayed", {"graphs": True}),
        ("wide", {"channels": 20}),
        ("short", {"epochs": 1}),
        ("tried", {"study": "scratch"}),
    ):
        parameters = dataclasses.replace(planned.parameters, **changed)
        pose(tmp_path, SimpleNamespace(name=f"{parameters.study}/{name}", parameters=parameters), 17.0)
    for varied, names in (((), ["plain", "replayed"]), (("channels",), ["plain", "replayed", "wide"])):
        found = tables.by_recipe(tmp_path, "evaluation", *varied, dataset="cifar10")
        assert sorted(run.folder.name for run in found) == names


def test_the_sizes_are_of_searched_cells_and_of_random_ones_that_were_trained(tmp_path):
    for planned in load("transfer").planned:
        p = planned.parameters
        if p.cell in ("random-1", "PNAS") and p.seed == 0 and p.dataset == "cifar10":
            pose(tmp_path, planned, 17.0)
    assert tables.recorded_cells(tmp_path) == {"random-1": cell_by_name("random-1")}
    shutil.copytree(checkout() / "runs" / "main", tmp_path / "main")
    assert {"random-1", "main/asap-cifar10-cpu-seed0"} <= set(tables.recorded_cells(tmp_path))

"""Figures 1, 6 and 7 and Table 3: what they draw from which records."""

import dataclasses
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from posed import MACHINE, pose

from asap.paper.space import cell_by_name
from asap.records.parameters import checkout
from asap.records.recorder import Recorder
from asap.records.run import Run
from asap.records.study import load, plan
from asap.report import claims, comparison_pages, figure1_pages, figures, pages, tables, transfer_pages, verdicts
from asap.report import claims_search as search_judges
from asap.search.enas import Controller
from asap.search.loop import search
from asap.train.evaluate import evaluate


def test_the_pages_arms_are_those_of_the_study():
    labels = set(load(comparison_pages.STUDY).labels)
    assert set(comparison_pages.PRINTED) <= labels
    in_table = [label for arms in comparison_pages.TABLE3.values() for label in arms]
    assert sorted(in_table) == sorted(labels)
    assert [row["architecture"] for row in tables.paper()["table3"]["rows"]] == [name for name in comparison_pages.TABLE3 if name]


def test_enas_floor_is_the_least_entropy_of_its_bounded_logits():
    high, low = (math.exp(sign * Controller.operation_bound) for sign in (1, -1))
    floors = []
    for k in range(8):
        p = np.array([high] * k + [low] * (7 - k))
        p /= p.sum()
        floors.append(-(p * np.log(p)).sum() / math.log(7))
    assert min(floors) == pytest.approx(figures.ENAS_FLOOR, abs=5e-4)


def test_falls_are_told_apart_by_whether_the_epoch_pruned():
    epochs = pd.DataFrame({"validation_accuracy": [0.5, 0.6, 0.55, 0.57], "operations_normal": [98, 98, 84, 84], "operations_reduce": 98})
    found = tables.falls(epochs)
    assert found["fall"].round(6).tolist() == [-10.0, 5.0, -2.0] and found["pruned"].tolist() == [False, True, False]


def test_a_full_epoch_is_one_in_which_alpha_learns_and_nothing_is_pruned_yet():
    columns = {"operations_normal": [98, 98, 98, 98, 70], "operations_reduce": 98, "alpha_steps": [0, 78, 78, 78, 78]}
    epochs = pd.DataFrame(columns | {"seconds_weights": [40.0, 30.0, 90.0, 34.0, 20.0], "seconds_alpha": [0.0, 30.0, 90.0, 30.0, 20.0]})
    assert search_judges.full_epoch(epochs) == pytest.approx(64 / 60)


def test_spread():
    assert tables.spread([]) == "–" and tables.spread([3.0]) == "3.00" and tables.spread([3.0, 5.0]) == "4.00\u00a0±\u00a01.41"


def test_the_pages_show_the_study_s_runs_and_say_which_are_missing(monkeypatch, tmp_path):
    quick = {"images": 128, "epochs": 3, "batch": 16, "prune_start": 0, "prune_end": 3}
    content = {
        "title": "quick",
        "runs": [
            {"kind": "search", "common": {"scale": "tiny", "dataset": "digits", "study": "quick", "seed": [0, 1], **quick},
             "arms": {"ASAP": {"method": "asap"}, "ENAS": {"method": "enas"}, "Magnitude, p = 3": {"method": "magnitude"}}},
            {"kind": "evaluation", "of": "searches",
             "common": {"scale": "tiny", "dataset": "digits", "images": 256, "epochs": 1, "layers": 3}},
        ],
    }  # fmt: skip
    study = plan("methods", content)
    for planned in study.planned:
        if planned.label == "ENAS" or planned.parameters.seed == 0:
            {"search": search, "evaluation": evaluate}[planned.kind](planned.parameters, progress=False)
    monkeypatch.setattr(comparison_pages, "load", lambda name: study)
    texts, shown = [], []
    monkeypatch.setattr(comparison_pages, "say", texts.append)
    monkeypatch.setattr(comparison_pages, "show", lambda figure, caption: shown.append(figure))
    for page in (comparison_pages.figure6, comparison_pages.figure7, comparison_pages.table3):
        texts.clear()
        page()
        text = "\n".join(texts)
        assert "ASAP (1 of 2); Magnitude, p = 3 (1 of 2)" in text and "ENAS (" not in text.split(":::")[1]
    assert "| ENAS | " in text and "2.76 | 3.4" in text  # a difference paired with ASAP's one seed; the paper's row
    assert len(shown) == 2
    colours = figures._colours(study.labels)
    accuracy = shown[0].axes[0]
    for label, seeds in (("ENAS", [0, 1]), ("ASAP", [0])):
        means = [line for line in accuracy.lines if line.get_label() == f"{label} ({len(seeds)})"]
        assert len(means) == 1 and means[0].get_color() == colours[label]
        runs = study.runs(tmp_path / "runs", "search", label)
        expected = np.mean([100 * run.epochs()["validation_accuracy"].iloc[-1] for run in runs])
        assert means[0].get_ydata()[-1] == pytest.approx(expected)
    magnitude = [line for line in shown[1].axes[2].lines if line.get_label() == "Magnitude, p = 3 (1)"]
    assert magnitude[0].get_ydata()[-1] == 0.0


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


def test_figure_1_has_a_point_a_method_and_one_for_all_random_cells(tmp_path, monkeypatch):
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    for planned in load("methods").planned:
        seed = planned.parameters.seed
        if planned.kind == "evaluation" and planned.label in ("ASAP", "Random cells"):
            pose(tmp_path, planned, 18.0 + seed)
        elif planned.kind == "search" and planned.label == "ASAP":
            data = {"variant": "posed", "fingerprint": "0"}
            recorder = Recorder(tmp_path / planned.name, "search", planned.parameters.identity(), data=data, machine=MACHINE)
            recorder.finish({"seconds": 86400.0 * (1 + seed)})
            recorder.close()
    runs = tables.by_recipe(tmp_path, "evaluation", dataset="cifar10", scale="cpu")
    points = figure1_pages._points(runs, tables.paper()["table1"]["rows"])
    assert [(p["name"], p["cost"], p["errors"]) for p in points] == [
        ("random cells", figure1_pages.RANDOM_COST, [18.0, 18.0, 19.0, 19.0, 20.0, 20.0]),
        ("ours: ASAP", 2.0, [18.0, 19.0, 20.0]),
    ]


def test_an_edge_keeps_its_leader_if_the_largest_phi_after_an_epoch_is_the_largest_at_the_end():
    phi = {1: [[0.1, 0.9], [0.6, 0.4]], 2: [[0.7, 0.3], [0.6, 0.4]], 3: [[0.2, 0.8], [0.3, 0.7]]}
    rows = [
        ("normal", edge, epoch, "ab"[o], p) for epoch, edges in phi.items() for edge, row in enumerate(edges) for o, p in enumerate(row)
    ]
    frame = pd.DataFrame(rows, columns=["cell", "edge", "epoch", "operation", "phi"])
    run = SimpleNamespace(architecture=lambda: frame)
    assert comparison_pages._leaders_kept(run, 1) == (1, 2)
    assert comparison_pages._leaders_kept(run, 2) == (0, 2)


def test_the_page_says_which_cuts_were_measured_without_augmentation_and_what_that_costs(monkeypatch):
    said = []
    monkeypatch.setattr(comparison_pages, "say", said.append)
    cut = {"operations": {"recalibrated": 0.55}, "genotype": {"recalibrated": 0.3}}
    first, older = (SimpleNamespace(outcome={"validation_accuracy": 0.6} | more) for more in ({}, {"cut": cut}))
    later = SimpleNamespace(outcome={"validation_accuracy": 0.6, "cut": cut, "cut_images": "augmented"})
    comparison_pages._cuts_without_augmentation([first, later], [later])
    assert not said
    comparison_pages._cuts_without_augmentation([first, older, later], [older, later])
    assert said[0].startswith("In 1 of the 2 searches") and "(5.0 points by Theorem 2" in said[0]


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


def test_error_against_size_is_of_the_cells_and_not_of_the_runs(tmp_path, monkeypatch):
    """Errors of −2 points a doubling exactly, but the ASAP cell's, which is half a point better."""
    said, drawn = [], []
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    monkeypatch.setattr(figure1_pages, "say", said.append)
    monkeypatch.setattr(figure1_pages, "show", lambda figure, caption: drawn.append(caption))
    figure1_pages.error_by_size()
    assert "needs four cells; 0 are recorded" in said.pop() and not drawn
    millions = {"ASAP": 1, "PNAS": 1, "XNAS": 2, "random-0": 0.5, "random-1": 4}
    for planned in load("transfer").planned:
        p = planned.parameters
        if p.dataset == "cifar10" and p.cell in millions and (p.seed == 0 or p.cell == "PNAS"):
            error = 20 - 2 * math.log2(millions[p.cell]) - 0.5 * (p.cell == "ASAP") + {0: -0.3, 1: 0.1, 2: 0.2}[p.seed] * (p.cell == "PNAS")
            pose(tmp_path, planned, error, parameters=int(1e6 * millions[p.cell]))
    figure1_pages.error_by_size()
    text = "\n".join(said)
    assert "5 cells" in drawn[0] and "parameters and error is -0.97" in text
    slope, at_one = np.polyfit(np.log2([1, 1, 2, 0.5, 4]), [19.5, 20, 18, 22, 16], 1)
    assert f"go with {slope:+.2f} points" in text and "| random | 2 | 2.250" in text
    assert f"| ASAP, published | 1 | 1.000 | 19.50 | {19.5 - at_one:+.2f} |" in text


def test_a_cell_that_the_paper_s_table_lacks_has_a_row_of_its_own(tmp_path, monkeypatch):
    said = []
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    monkeypatch.setattr(transfer_pages, "say", said.append)
    shutil.copytree(checkout() / "runs" / "sizes", tmp_path / "sizes")
    for planned in load("transfer").planned:
        p = planned.parameters
        if (p.cell, p.seed) in (("XNAS", 0), ("SNAS_moderate", 0)):
            pose(tmp_path, planned, 17.0)
    transfer_pages.table1()
    rows = [line for text in said for line in text.splitlines() if "| 17.00 (1) |" in line]
    assert [row.split(" | ")[:2] for row in rows] == [["| SNAS", "2.85\u00a0±\u00a00.02"], ["| XNAS", "–"]]


def test_the_order_on_a_data_set_is_set_beside_that_on_cifar10_and_beside_the_sizes(tmp_path, monkeypatch):
    """Five cells, twice as large each: on CIFAR-10 they err less by their size, on Fashion-MNIST more but for one pair."""
    said = []
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    monkeypatch.setattr(transfer_pages, "say", said.append)
    cells = ["ASAP", "PNAS", "XNAS", "random-0", "random-1"]
    for planned in load("transfer").planned:
        p = planned.parameters
        if p.cell in cells and p.seed == 0:
            i = cells.index(p.cell)
            pose(tmp_path, planned, 20.0 - i if p.dataset == "cifar10" else [4.0, 5.0, 6.0, 8.0, 7.0][i], parameters=1_000_000 * 2**i)
    transfer_pages._foretold(tables.by_recipe(tmp_path, "evaluation", dataset="fashion_mnist"), "Fashion-MNIST", "cpu")
    assert len(said) == 1 and "order of 5 cells on Fashion-MNIST" in said[0]
    assert "CIFAR-10, Spearman's ρ = -0.90" in said[0] and "parameters, ρ = 0.90" in said[0]


def test_a_page_says_that_images_are_a_copy_where_the_records_do():
    runs = [SimpleNamespace(info={"data": {"variant": variant}}) for variant in ("cifar10-jpeg75", "cifar10", "fashion_mnist")]
    assert "Trained on `cifar10-jpeg75`, a JPEG copy" in pages.copy_note(runs)
    assert pages.copy_note(runs[1:]) == pages.copy_note([]) == ""


def test_the_sizes_are_of_searched_cells_and_of_random_ones_that_were_trained(tmp_path):
    for planned in load("transfer").planned:
        p = planned.parameters
        if p.cell in ("random-1", "PNAS") and p.seed == 0 and p.dataset == "cifar10":
            pose(tmp_path, planned, 17.0)
    assert tables.recorded_cells(tmp_path) == {"random-1": cell_by_name("random-1")}
    shutil.copytree(checkout() / "runs" / "main", tmp_path / "main")
    assert {"random-1", "main/asap-cifar10-cpu-seed0"} <= set(tables.recorded_cells(tmp_path))

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
from asap.records.study import load, plan
from asap.report import claims_search as search_judges
from asap.report import comparison_pages, figure1_pages, figures, pages, tables, transfer_pages
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

"""The audit page: every contradiction's parameter and arms exist, and its effect follows the records."""

import dataclasses
from types import SimpleNamespace

import pytest
from posed import pose, pose_search

from asap.networks.derived import Size
from asap.paper.space import published_cell
from asap.records.parameters import EvaluationParameters, SearchParameters
from asap.records.study import load
from asap.report import audit, results
from asap.report.contradictions import contradictions, one_by_one_saving


def test_parameters_and_arms_exist():
    names = {f.name for kind in (SearchParameters, EvaluationParameters) for f in dataclasses.fields(kind)}
    named = [name for one in contradictions() for name in one.parameter.split(", ") if name]
    assert set(named) <= names
    arms = [arm for one in contradictions() for arm in one.arms]
    assert sorted([*arms, audit.DECIDED]) == sorted(load(audit.STUDY).labels)


def test_a_one_by_one_output_makes_the_small_network_2_29_million():
    assert (Size(published_cell("ASAP"), 36).parameters - one_by_one_saving()) / 1e6 == pytest.approx(2.29, abs=0.005)


def test_an_effect_is_said_when_it_is_recorded(monkeypatch, tmp_path):
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    assert audit.measured("T₀ = 1.6").startswith("not recorded yet") and not len(audit.rows())
    for planned in load(audit.STUDY).planned:
        if planned.kind == "evaluation" and planned.label in (audit.DECIDED, "T₀ = 1.6") and planned.parameters.seed < 2:
            pose(tmp_path, planned, 18.0 + (planned.label == "T₀ = 1.6") * (0.4 + 0.2 * planned.parameters.seed))
    assert audit.measured("T₀ = 1.6") == "error of the cell +0.50 points, 95 % interval [-0.77, +1.77]"
    cards = [audit.card(one) for one in contradictions()]
    assert "error of the cell +0.50 points" in cards[0] and sum("not recorded yet" in text for text in cards) == 4
    assert audit.against_decided().iloc[0, :3].tolist() == ["T₀ = 1.6", "2", "+0.50"]
    assert ["T₀ = 1.6", "posed", "1", "–", "–", "–", "18.60"] in audit.rows().to_numpy().tolist()


def test_an_effect_is_of_one_copy_of_the_images(monkeypatch, tmp_path):
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    for planned in load(audit.STUDY).planned:
        if planned.kind == "evaluation" and planned.label in (audit.DECIDED, "T₀ = 1.6"):
            seed = planned.parameters.seed
            error = 18.0 + (planned.label == "T₀ = 1.6") * (1.0 + seed / 10)
            pose(tmp_path, planned, error, variant="cifar10" if seed else "cifar10-jpeg75")
    assert audit.against("T₀ = 1.6").others == pytest.approx((1.1, 1.2))


def test_a_search_s_effect_is_read_from_its_course(monkeypatch, tmp_path):
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    searches = {(p.label, p.parameters.seed): p for p in load(audit.STUDY).planned if p.kind == "search"}
    open_edges = {"undecided_edges": {"normal": 3, "reduce": 4}, "decided": False}
    pose_search(tmp_path, searches["T₀ = 1.6", 0], {"operations_normal": [98, 98, 84]}, validation_accuracy=0.5, **open_edges)
    pose_search(tmp_path, searches[audit.DECIDED, 0])
    assert audit.by_seed("T₀ = 1.6").droplevel("copy").loc[0].dropna().to_dict() == {"undecided": 7, "accuracy": 50.0, "first": 3}
    said = "undecided edges 7 instead of 0, validation accuracy 50.0 instead of 60.0 %, first pruning in epoch 3 instead of 3 (n = 1)"
    assert audit.measured("T₀ = 1.6") == said


def test_edges_kept_are_those_of_one_copy_of_the_images(monkeypatch, tmp_path):
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    for planned in load(audit.STUDY).planned:
        if planned.kind == "search" and planned.label == audit.DECIDED:
            pose_search(tmp_path, planned, variant="cifar10" if planned.parameters.seed else "cifar10-jpeg75")
    cell = SimpleNamespace(genotype=lambda rule="": SimpleNamespace(placed={1, 2, 3} if rule else {1, 2}))
    monkeypatch.setattr(results, "record", lambda name: cell)
    assert audit.measured("Edges by α") == "over 2 searches it keeps 4 of the 4 edges that the rule used here keeps, 6 in all"

"""The audit page: every contradiction's parameter and arms exist, and its effect follows the records."""

import dataclasses

import pytest
from posed import pose

from asap.networks.derived import Size
from asap.paper.space import published_cell
from asap.records.parameters import EvaluationParameters, SearchParameters
from asap.records.study import load
from asap.report import audit_pages
from asap.report.contradictions import CONTRADICTIONS, one_by_one_saving


def test_parameters_and_arms_exist():
    names = {f.name for kind in (SearchParameters, EvaluationParameters) for f in dataclasses.fields(kind)}
    named = [name for one in CONTRADICTIONS for name in one.parameter.split(", ") if name]
    assert set(named) <= names
    arms = [arm for one in CONTRADICTIONS for arm in one.arms]
    assert sorted([*arms, audit_pages.DECIDED]) == sorted(load(audit_pages.STUDY).labels)


def test_a_one_by_one_output_makes_the_small_network_2_29_million():
    assert (Size(published_cell("ASAP"), 36).parameters - one_by_one_saving()) / 1e6 == pytest.approx(2.29, abs=0.005)


def test_an_effect_is_said_when_it_is_recorded(monkeypatch, tmp_path):
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    assert audit_pages.measured("T₀ = 1.6").startswith("not recorded yet")
    for planned in load(audit_pages.STUDY).planned:
        if planned.kind == "evaluation" and planned.label in (audit_pages.DECIDED, "T₀ = 1.6") and planned.parameters.seed < 2:
            pose(tmp_path, planned, 18.0 + (planned.label == "T₀ = 1.6") * (0.4 + 0.2 * planned.parameters.seed))
    assert audit_pages.measured("T₀ = 1.6") == "error of the cell +0.50 points, 95 % interval [-0.77, +1.77]"
    shown = []
    monkeypatch.setattr("asap.report.pages.display", lambda thing: shown.append(thing.data))
    audit_pages.contradictions()
    audit_pages.sensitivity()
    assert "error of the cell +0.50 points" in shown[0] and sum("not recorded yet" in text for text in shown) == 4
    assert any("| T₀ = 1.6 | 2 | +0.50 |" in text for text in shown)
    assert any("| T₀ = 1.6 | 1 | – | – | – | 18.60 |" in text for text in shown)


def test_a_search_s_effect_is_read_from_its_course(monkeypatch, quick_search):
    from asap.records.run import Run

    run = Run.open(quick_search(alpha_rate_factor=200, epochs=5))
    course = audit_pages._course(run)
    epochs = run.epochs()
    left = epochs["operations_normal"] + epochs["operations_reduce"]
    first = next(int(e) for e, fewer in zip(epochs["epoch"], left.diff() < 0, strict=True) if fewer)
    assert course["first"] == first
    assert course["undecided"] == sum(run.outcome["undecided_edges"].values())
    assert course["accuracy"] == 100 * run.outcome["validation_accuracy"]
    assert audit_pages._row(run, None) == [f"{course['undecided']:.0f}", f"{course['accuracy']:.1f}", str(first), "–"]

"""The three frames: what they hold of a record, what they leave out, and the files made of them."""

import dataclasses
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from posed import cut, pose, pose_search

from asap.cli import main
from asap.records.recorder import Recorder
from asap.records.study import load, studies_root
from asap.report import results, rows
from asap.report.display import provenance
from asap.report.front import recorded

OWN = """
title: my shapes
runs:
  - kind: search
    common: {dataset: images/shapes, scale: cpu, study: mine, seed: 0}
    arms: {Mine: {method: asap}}
  - kind: evaluation
    of: searches
    common: {dataset: images/shapes, scale: cpu, channels: 4, test_share: 0.2}
"""
ROOT = Path(__file__).parents[2] / "runs"


def planned(study, kind, label, seed=0):
    return next(p for p in load(study).planned if (p.kind, p.label, p.parameters.seed) == (kind, label, seed))


def test_what_is_derived_of_a_search_is_what_its_record_says(tmp_path):
    epochs = {
        "validation_accuracy": [0.5, 0.6, 0.55, 0.57],
        "operations_normal": [98, 98, 84, 70],
        "alpha_steps": [0, 78, 78, 78],
        "seconds_weights": [20.0, 60.0, 40.0, 20.0],
        "seconds_alpha": [0.0, 60.0, 40.0, 20.0],
    }
    left = {"decided": False, "undecided_edges": {"normal": 3, "reduce": 4}, "operations_left": {"normal": 20, "reduce": 21}}
    pose_search(tmp_path, planned("methods", "search", "ASAP"), epochs, **left, cut=cut(40, 30))
    pose_search(tmp_path, planned("methods", "search", "DARTS"), epochs, **left, cut=cut(40, 30), cut_images="as they are")
    row, older = (results.searches(tmp_path).iloc[i] for i in (0, 1))
    assert older["cut_images"] == "as they are" and np.isnan(older["derived"]) and older["derived_as_is"] == 10.0  # measured otherwise
    assert (row["run"], row["arm_methods"], row["arm_sensitivity"], row["arm_transfer"]) == (
        "main/asap-cifar10-cpu-seed0", "ASAP", "As decided", ""
    )  # fmt: skip
    assert (row["undecided"], row["edges"], row["operations"], row["operations_left"]) == (7, 28, 196, 41)
    assert (row["accuracy"], row["one_operation"], row["derived"], row["cut_images"]) == (60.0, 40.0, 30.0, "augmented")
    assert row["step_minutes"] == pytest.approx(260 / 60) and row["full_epoch_minutes"] == 2.0
    assert row["full_epochs"] == pytest.approx(260 / 120)
    assert (row["grace_epochs"], row["pruning_epochs"], row["first_pruning"], round(row["largest_fall"], 6)) == (1, 2, 3, 5.0)
    course = results.epochs(tmp_path, row["run"])
    assert course["fall"].round(6).tolist()[1:] == [-10.0, 5.0, -2.0] and course["pruned"].tolist() == [False, False, True, True]
    assert course["density"].iloc[-1] == 168 / 196 and course["time"].tolist() == [0.25, 0.5, 0.75, 1.0]


def test_an_evaluation_s_row_says_which_cell_it_trained_and_how_sure_its_error_is(tmp_path):
    pose(tmp_path, planned("transfer", "evaluation", "PNAS"), 20.0, multiply_adds=7)
    pose(tmp_path, planned("methods", "evaluation", "DARTS"), 18.0)
    pose(tmp_path, planned("sensitivity", "evaluation", "All 14 edges"), 19.0)
    frame = results.evaluations(tmp_path).set_index("error")
    assert frame["kind"].to_dict() == {20.0: "published", 18.0: "searched", 19.0: "searched"}
    assert frame["cell"].to_dict() == {20.0: "pnas", 18.0: "methods/darts-cifar10-cpu-seed0", 19.0: "main/asap-cifar10-cpu-seed0"}
    assert frame["rule"].to_dict() == {20.0: "", 18.0: "", 19.0: "all_edges"}
    assert frame.loc[20.0, "standard_error"] == pytest.approx(0.4) and frame.loc[20.0, "multiply_adds"] == 7
    assert frame["by_recipe"].to_dict() == {20.0: True, 18.0: True, 19.0: False} and frame.loc[19.0, "changed"] == "edge_rule"


def test_only_finished_runs_of_committed_studies_are_results(tmp_path):
    plan = planned("transfer", "evaluation", "ASAP")
    for name, changed in (("plain", {}), ("replayed", {"graphs": True}), ("wide", {"channels": 20}), ("tried", {"study": "scratch"})):
        parameters = dataclasses.replace(plan.parameters, **changed)
        pose(tmp_path, SimpleNamespace(name=f"{parameters.study}/{name}", parameters=parameters), 17.0)
    frame = results.evaluations(tmp_path)
    assert dict(zip(frame["run"], frame["changed"], strict=True)) == {"cells/plain": "", "cells/replayed": "", "cells/wide": "channels"}
    search = planned("methods", "search", "DARTS")
    data, machine = {"variant": "posed", "fingerprint": "0"}, {"device": "cpu"}
    Recorder(tmp_path / search.name, "search", search.parameters.identity(), data=data, machine=machine).close()
    assert results.searches(tmp_path).empty and results.problems(tmp_path) == []
    assert results.unfinished(tmp_path)[["run", "status", "epochs_run"]].to_numpy().tolist() == [[search.name, "running", 0]]


def test_runs_on_a_folder_of_the_user_s_own_have_its_name_and_need_it_no_more(tmp_path, monkeypatch):
    """In a study that plans them by the folder's path; they are no results on the paper's sets."""
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path / "runs"))
    shutil.copytree(studies_root(), tmp_path / "studies")
    shutil.copy(path, tmp_path / "studies")
    monkeypatch.setattr("asap.records.study.studies_root", lambda: tmp_path / "studies")
    search, evaluation = load("mine").planned
    assert search.name == "mine/asap-shapes-cpu-seed0" and "--dataset images/shapes" in " ".join(search.command())
    pose_search(tmp_path / "runs", search, variant="shapes")
    pose(tmp_path / "runs", evaluation, 1.0, variant="shapes")
    assert results.problems() == []
    for frame in (results.searches(), results.evaluations()):
        row = frame.iloc[0]
        assert (row["dataset"], row["variant"], row["copy"], row["arm_mine"]) == ("shapes", "name:shapes", "name:shapes 0", "Mine")
    assert results.searches()["by_recipe"].all() and results.evaluations()["changed"].tolist() == ["channels"]
    assert "data name:shapes (fingerprint 0)" in provenance(search.name)
    assert all(frame.empty for frame in recorded())


@pytest.mark.parametrize(("side", "scale", "given"), [(224, "cpu", ""), (64, "paper", ""), (300, "cpu", ", image_size: 32")])
def test_an_evaluation_on_a_folder_that_is_gone_is_found(tmp_path, monkeypatch, side, scale, given):
    """Stem and cutout were chosen from its images."""
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / "images" / "shapes" / name).mkdir(parents=True)
        Image.new("L", (side, side)).save(tmp_path / "images" / "shapes" / name / "0.png")
    common = f"{{dataset: images/shapes, scale: {scale}, study: mine, seed: 0{given}}}"
    (tmp_path / "studies").mkdir()
    monkeypatch.setattr("asap.records.study.studies_root", lambda: tmp_path / "studies")
    written = f"title: mine\nruns: [{{kind: evaluation, common: {common}, arms: {{A: {{cell: ASAP}}}}}}]\n"
    (tmp_path / "studies" / "mine.yaml").write_text(written)
    (there,) = load("mine").planned
    name = there.name
    pose(tmp_path, there, 1.0)
    shutil.rmtree(tmp_path / "images")
    (gone,) = load("mine").planned
    assert gone.name == name and gone.finished(tmp_path) is not None
    assert list(results.evaluations(tmp_path)["arm_mine"]) == ["A"]
    assert not given or "image_size_32" in name


def test_a_study_that_makes_no_sense_is_named_and_the_others_are_shown(tmp_path, monkeypatch, capsys):
    shutil.copytree(studies_root(), tmp_path / "studies")
    (tmp_path / "studies" / "bad.yaml").write_text(OWN.replace("images/shapes", "nowhere"))
    monkeypatch.setattr("asap.records.study.studies_root", lambda: tmp_path / "studies")
    (line,) = results.problems(tmp_path)
    assert line.startswith("study bad: dataset must be one of") and not results.searches(tmp_path).columns.duplicated().any()
    assert main(["study"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "bad.yaml" in said.err and len(said.out.splitlines()) == len(list(studies_root().glob("*.yaml")))


def test_what_is_pruned_in_the_first_epoch_counts():
    frame = pd.DataFrame({"epoch": [1, 2], "operations_normal": [90, 80], "operations_reduce": [98, 98], "validation_accuracy": [0.5, 0.6]})
    frame = frame.assign(seconds_weights=1.0, seconds_alpha=1.0, entropy_normal=0.9, entropy_reduce=0.9, alpha_steps=78)
    run = SimpleNamespace(name="study/run", epochs=lambda: frame, parameters={"nodes": 4, "candidates": "paper", "method": "asap"})
    course = rows.course(run)
    assert course["pruned"].tolist() == [True, True] and course["density"].tolist() == [188 / 196, 178 / 196]


def test_a_damaged_record_is_named_and_left_out_at_once(tmp_path):
    for label in ("ASAP", "DARTS"):
        pose_search(tmp_path, planned("methods", "search", label))
    assert len(results.searches(tmp_path)) == 2
    with open(tmp_path / "methods" / "darts-cifar10-cpu-seed0" / "epochs.csv", "a") as file:
        file.write("damage")
    assert results.searches(tmp_path)["method"].tolist() == ["asap"]
    assert len(results.problems(tmp_path)) == 1 and "darts-cifar10-cpu-seed0/epochs.csv" in results.problems(tmp_path)[0]
    link = tmp_path / "methods" / "linked" / "run.json"
    link.parent.mkdir()
    for target in ("no-such", "run.json"):
        link.symlink_to(target)
        assert len(results.problems(tmp_path)) == 2 and "linked" in results.problems(tmp_path)[1]
        link.unlink()


def test_a_root_without_records_has_empty_frames_that_select(tmp_path):
    searches, evaluations = results.searches(tmp_path), results.evaluations(tmp_path)
    assert searches[searches["by_recipe"] & (searches["scale"] == "cpu")].empty
    assert evaluations[evaluations["by_recipe"] & (evaluations["cell"] == "asap")].empty
    assert results.arm(searches, "methods", "ASAP").empty and math.isnan(searches["accuracy"].mean())


def test_the_arms_of_a_study_come_in_its_order(tmp_path):
    for label, seed in (("Random search", 0), ("ASAP", 1), ("ASAP", 0)):
        pose_search(tmp_path, planned("methods", "search", label, seed))
    frame = results.arm(results.searches(tmp_path), "methods")
    assert list(zip(frame["arm_methods"], frame["seed"], strict=True)) == [("ASAP", 0), ("ASAP", 1), ("Random search", 0)]


def test_the_flat_files_are_those_of_the_records():
    """Made anew by `python -m asap.report.results`, and by `make book`."""
    assert not results.problems(ROOT)
    for name, content in results.flat(ROOT).items():
        assert (ROOT / "results" / name).read_text(encoding="utf-8") == content, f"runs/results/{name} is stale"

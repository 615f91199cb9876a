"""Studies: grids of parameters in yaml, found as finished or left, with their commands."""

import json
import shlex

import pytest

from asap.cli import main
from asap.records.parameters import EvaluationParameters, SearchParameters
from asap.records.study import StudyError, load, names


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


TINY = """
title: a tiny one
runs:
  - kind: search
    common: {dataset: digits, scale: tiny, study: mine, images: 128, epochs: 2, batch: 16}
    arms:
      ASAP: {method: asap, seed: [0, 1]}
      DARTS: {method: darts, seed: 0}
  - kind: evaluation
    of: searches
    common: {dataset: digits, scale: tiny, images: 256, epochs: 1, layers: 3}
  - kind: evaluation
    common: {dataset: digits, scale: tiny, study: cells, images: 256, epochs: 1, layers: 3}
    arms:
      random: [{cell: [random-0, random-1], seed: 0}, {cell: random-2, seed: 1}]
"""


def test_a_list_is_a_grid_and_searches_are_followed_by_the_evaluations_of_their_cells(tmp_path):
    study = load(write(tmp_path, TINY))
    assert [p.kind for p in study.planned] == ["search"] * 3 + ["evaluation"] * 6
    assert study.labels == ["ASAP", "DARTS", "random"]
    followed = [p for p in study.planned if p.needs]
    assert [p.needs for p in followed] == [p.name for p in study.planned[:3]]
    assert [(p.parameters.seed, p.parameters.study) for p in followed] == [(0, "mine"), (1, "mine"), (0, "mine")]
    assert [(p.parameters.cell, p.parameters.seed) for p in study.planned[6:]] == [("random-0", 0), ("random-1", 0), ("random-2", 1)]


def test_the_commands_left_run_the_study_and_then_it_is_finished(tmp_path, capsys):
    path = write(tmp_path, TINY)
    study = load(path)
    root = tmp_path / "runs"
    assert all(seconds is None for seconds in study.seconds(root).values())
    assert main(["study", path, "--commands"]) == 0
    commands = capsys.readouterr().out.splitlines()
    assert len(commands) == 9
    for command in commands[:4]:  # three searches and the first of their evaluations
        assert main(shlex.split(command)[1:]) == 0
    assert len(study.runs(root, "search")) == 3 and len(study.runs(root, "search", "DARTS")) == 1
    assert len(study.runs(root, "evaluation", "ASAP", seed=0)) == 1 and not study.runs(root, "evaluation", "ASAP", seed=1)
    left = study.seconds(root)
    assert len(left) == 5 and all(seconds > 0 for seconds in left.values())
    capsys.readouterr()
    assert main(["study", path]) == 0
    out = capsys.readouterr().out
    assert out.count("finished  ") == 4 and out.count("missing  ") == 5 and "4 of 9 runs finished" in out


def test_a_damaged_record_is_no_run_of_the_study(tmp_path, quick_search):
    study = load(write(tmp_path, TINY))
    planned = study.planned[0]
    folder = tmp_path / "runs" / planned.name
    assert main(shlex.split(planned.command())[1:]) == 0
    assert [run.name for run in study.runs(tmp_path / "runs", "search", "ASAP")] == [planned.name]
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**info, "outcome": {}}))
    assert study.runs(tmp_path / "runs", "search", "ASAP") == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("method: darts,", "methode: darts,", "did you mean method"),
        ("kind: search", "kind: serach", "kind must be search or evaluation"),
        ("of: searches", "of: search", "of: searches"),
        ("seed: 0}", "}", "states seed"),
        ("title: a tiny one", "name: a tiny one", "a study has a title"),
        ("DARTS: {method: darts, seed: 0}", "DARTS: {method: asap, seed: 1}", "planned twice"),
        ("runs:", "runs: [", "mine.yaml"),
    ],
)
def test_a_bad_study_gets_one_clear_line(tmp_path, old, new, message):
    with pytest.raises(StudyError) as caught:
        load(write(tmp_path, TINY.replace(old, new, 1)))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_study_names_the_known(capsys):
    assert main(["study", "nothing"]) == 2
    assert "known: " in capsys.readouterr().err


@pytest.mark.parametrize("name", names())
def test_the_studies_of_the_book_make_sense(name):
    study = load(name)
    kinds = {type(p.parameters) for p in study.planned}
    assert kinds <= {SearchParameters, EvaluationParameters} and study.planned

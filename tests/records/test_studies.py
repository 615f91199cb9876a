"""Studies: grids of parameters in yaml, found as finished or left, with their commands."""

import json
import os
import shlex

import pytest

from asap.cli import main
from asap.errors import UserError
from asap.records.parameters import EvaluationParameters, SearchParameters, from_notebook, make
from asap.records.recorder import Recorder
from asap.records.study import StudyError, grid, load, names
from asap.theory.simulate import make_setting


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


def pose(root, planned, **outcome):
    """A finished record of a planned run that nothing trained."""
    recorder = Recorder(root / planned.name, planned.kind, planned.parameters.identity(), data={"variant": "posed"})
    recorder.finish({"seconds": 1.5, **outcome})
    recorder.close()
    return recorder.folder


def test_the_commands_left_are_the_runs_of_the_study_and_what_has_finished_is_not_among_them(tmp_path, capsys):
    path = write(tmp_path, TINY)
    study = load(path)
    root = tmp_path / "runs"
    assert all(seconds is None for seconds in study.seconds(root).values())
    assert main(["study", path, "--commands"]) == 0
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert [words[:2] for words in commands] == [["asap", "search"]] * 3 + [["asap", "evaluate"]] * 6
    kinds = {"search": SearchParameters, "evaluate": EvaluationParameters}
    made = [make(kinds[w[1]], {k[2:].replace("-", "_"): v for k, v in zip(w[2::2], w[3::2], strict=True)}) for w in commands]
    assert made == [study.planned[i].parameters for i in (0, 2, 1, 3, 5, 6, 4, 7, 8)]  # of each arm one in turn
    for planned in study.planned[:4]:  # three searches and the first of their evaluations
        pose(root, planned)
    assert len(study.runs(root, "search")) == 3 and len(study.runs(root, "search", "DARTS")) == 1
    assert [run.parameters["seed"] for run in study.runs(root, "evaluation", "ASAP")] == [0] and not study.runs(root, "evaluation", "DARTS")
    assert list(study.seconds(root).values()) == [1.5] * 5
    assert main(["study", path]) == 0
    out = capsys.readouterr().out
    assert out.count("finished  ") == 4 and out.count("missing  ") == 5 and "4 of 9 runs finished" in out


def test_a_damaged_record_is_no_run_of_the_study(tmp_path, capsys):
    study = load(write(tmp_path, TINY))
    planned = study.planned[0]
    folder = pose(tmp_path / "runs", planned)
    assert [run.name for run in study.runs(tmp_path / "runs", "search", "ASAP")] == [planned.name]
    for content in (json.dumps({**json.loads((folder / "run.json").read_text()), "outcome": {}}), '{"status": "running"}', "[" * 100_000):
        (folder / "run.json").write_text(content)
        assert study.runs(tmp_path / "runs", "search", "ASAP") == []
        assert main(["study", str(tmp_path / "mine.yaml")]) == 0
        assert "damaged  " in capsys.readouterr().out.splitlines()[0]


def test_a_study_that_bursts_is_one_line(tmp_path):
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    many = TINY.replace("seed: [0, 1]", f"seed: {list(range(300))}, batch: {list(range(1, 101))}")
    for content, message in (
        (b"title: \xff\xfe", "codec can't decode"),
        (b"title: " + b"[" * 100_000, "nested too deeply"),
        (bomb.encode(), "no aliases"),
        (many.encode(), "a grid of 30,000 runs; a study has at most 10,000"),
        (b"- 1", "not a study"),
        (b"", "not a study"),
        (b"title: x\nruns: [{kind: [search], arms: {}}]", "not a study"),
        (b"title: x\nruns: [{kind: search}]", "it lacks 'arms'"),
        (b"title: x\nruns: [{kind: evaluation, of: searches, common: {scale: tiny}}]", "stands before any search"),
        (b"x" * 1_000_001, "more than 1,000,000 bytes"),
    ):
        (tmp_path / "mine.yaml").write_bytes(content)
        with pytest.raises(StudyError, match=message) as caught:
            load(str(tmp_path / "mine.yaml"))
        assert str(caught.value).isprintable() and len(str(caught.value)) < 400
    os.mkfifo(tmp_path / "fifo.yaml")
    with pytest.raises(StudyError, match="no regular file"):
        load(str(tmp_path / "fifo.yaml"))


def test_a_notebook_s_list_is_a_grid():
    """As book/experiments/theory.ipynb makes its simulations."""
    names = {"operations": 3, "gap": [1.0, 0.5], "schedule": ["theorem2", "mixture"], "overrides": {"repetitions": 5}, "_": 1}
    settings = [make_setting(given) for given in grid(from_notebook(names))]
    assert [(s.gap, s.schedule) for s in settings] == [(1.0, "theorem2"), (1.0, "mixture"), (0.5, "theorem2"), (0.5, "mixture")]
    for bad in ({"gapp": [1]}, {"gap": ["wide"]}, {"schedule": ["slow"]}):
        with pytest.raises(UserError) as caught:
            [make_setting(given) for given in grid(from_notebook({**names, **bad}))]
        assert "\n" not in str(caught.value)


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

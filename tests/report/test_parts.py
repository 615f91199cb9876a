"""Cells as drawings, and the three parts of the book that a reader can touch: they hold what is recorded, nothing from a network."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from plain_whatif import prune
from posed import pose

from asap.paper.space import DARTS_OPERATIONS, edges, published_cell, published_cells
from asap.records.run import Run
from asap.records.study import load
from asap.report import cells, explorer, figure7, methods_study, replay, table1


def embedded(html):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html)[1])


def test_no_arc_runs_through_a_node_that_it_does_not_touch():
    for source, target in edges():
        for place in range(8):
            arc = cells.Arc("none", source, target, place=place, of=8)
            height = cells.apex(arc)[1]
            for node in set(range(6)) - {source, target}:
                t = np.linspace(0, 1, 400)
                x, y = cells.STEP * (source + t * (target - source)), 4 * t * (1 - t) * height
                assert np.hypot(x - cells.STEP * node, y).min() > cells.RADIUS + 2


@pytest.mark.parametrize("name", published_cells())
def test_every_published_cell_is_drawn_with_its_operations(name):
    genotype = published_cell(name)
    for kind in cells.NAMES:
        drawn = cells.derived(genotype, kind, "a <title>", undecided=[(0, 2)])
        assert drawn.count("<path ") == len(genotype.cell(kind)) == drawn.count('class="label"') and "&lt;title&gt;" in drawn
        assert drawn.count("stroke-dasharray") == sum((e.source, e.target) == (0, 2) for e in genotype.cell(kind))


def test_the_replay_holds_every_arrow_and_epoch(quick_search, monkeypatch):
    run = Run.open(quick_search(alpha_rate_factor=200))
    epochs, architecture = run.epochs(), run.architecture()
    monkeypatch.setattr(replay, "choices", lambda: {"a <name>": "live/run"})
    monkeypatch.setattr(replay.results, "record", lambda name: run)
    monkeypatch.setattr(replay.results, "epochs", lambda run: replay.results.rows.course(Run.open(folder)))
    folder = run.folder
    html = replay.replay()
    (data,) = embedded(html).values()
    assert (
        len(data["captions"]) == len(epochs) == len(data["entropy"]) and html.count("<path d=") == 2 * 14 * 8 and html.count("<svg ") == 3
    )
    assert "http" not in html and "src=" not in html and "<name>" not in html
    for weights, kind in zip(data["phi"], ("normal", "reduce"), strict=True):
        frame = architecture[architecture["cell"] == kind]
        place = [int(row.edge) * 8 + DARTS_OPERATIONS.index(row.operation) for row in frame[frame["epoch"] == 1].itertuples()]
        expected = np.where(frame["alive"], frame["phi"], 0).reshape(len(epochs), -1)
        assert np.allclose(np.array(weights)[:, place], expected, atol=6e-3)
        assert (expected[-1] > 0).sum() == epochs[f"operations_{kind}"].iloc[-1]
    # without a script the last epoch is drawn
    gone = sum(w == 0 for kind in ("normal", "reduce") for w in replay.weights(architecture, kind)[-1])
    assert html.count('stroke-opacity="0"') == gone > 2 * 14
    last = architecture[(architecture["epoch"] == architecture["epoch"].max()) & architecture["alive"]]
    counts = {kind: last[last["cell"] == kind]["edge"].value_counts() for kind in cells.NAMES}
    assert cells.undecided(run) == {kind: [edges()[i] for i in sorted(n[n > 1].index)] for kind, n in counts.items()}


def test_what_if_prunes_by_the_paper_s_rule():
    alpha = np.zeros((50, 2, 7))
    alpha[:, 0, 0] = np.linspace(0, 2, 50)  # one edge learns, the other does not
    course, undecided, first = prune(alpha, 1.3, 0.95, 0.4, False)
    assert course[:5] == [14] * 5 and course[-1] == 8 and undecided == 1  # grace while T ≥ 1: five epochs
    phi = [np.exp(a / t) / (np.exp(a / t) + 6) for a, t in zip(alpha[:, 0, 0], 1.3 * 0.95 ** np.arange(1, 51), strict=True)]
    assert first == 1 + next(i for i, p in enumerate(phi) if (1 - p) / 6 < 0.4 / 7)
    assert prune(alpha, 1.3, 0.95, 0.0, False) == ([14] * 50, 2, 0)
    assert prune(alpha, 1.3, 0.95, 1.0, True)[1] == 1  # equal operations are never below 1 / N
    assert prune(np.ones((3, 2, 7)), 0.5, 0.9, 1.0, False)[1] == 2


def test_the_explorer_holds_each_cell_with_its_record_and_its_score(monkeypatch, tmp_path):
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    for planned in load("transfer").planned:
        p = planned.parameters
        if p.dataset == "cifar10" and p.seed == 0 and p.cell in ("ASAP", "random-1", "NASNet_A"):
            pose(tmp_path, planned, 17.0, parameters={"ASAP": 200_000}.get(p.cell, 300_000))
    (evaluations,) = table1.recorded().values()
    html = explorer.explorer(evaluations)
    (trained,) = embedded(html)["views"]
    assert [point[0] for point in trained["points"]] == ["asap", "nasnet_a", "random-1"] and html.count("<circle ") == 3
    assert embedded(html)["cells"]["asap"][0] == published_cell("ASAP").to_dict()["normal"]
    assert trained["points"][0][-1].startswith("asap (ASAP, published): 17.00 % error, 0.200 M parameters, record cells/cell-asap")
    assert explorer.explorer(evaluations.iloc[:0]) == ""
    searched = next(p for p in load("methods").planned if p.kind == "evaluation" and p.label == "ASAP")
    pose(tmp_path, searched, 17.0)  # its search has no record
    assert searched.needs in embedded(explorer.explorer(*table1.recorded().values()))["cells"]
    (tmp_path / "scores").mkdir()
    rows = [
        "cell,kind,score,percentile,parameters",
        "ASAP,published,93.9,9,2538046",
        "NASNet_A,published,,,",
        "random-7,random,93.0,5,3000000",
        "a/b,searched,9,9,9",
    ]
    (tmp_path / "scores" / "scores.csv").write_text("\n".join(rows))
    _, scores = embedded(explorer.explorer(evaluations))["views"]
    assert [point[-1] for point in scores["points"]] == [
        "asap (ASAP, published): 93.90 score (surrogate), 2.538 M parameters",
        "random-7 (random): 93.00 score (surrogate), 3.000 M parameters",
    ]
    (tmp_path / "scores" / "scores.csv").write_text("damaged")
    assert len(embedded(explorer.explorer(evaluations))["views"]) == 1


@pytest.mark.parametrize(("entropy", "undecided", "why"), [(0.0, 28, True), (0.2, 28, False), (0.0, 0, False)])
def test_what_theorem_2_s_schedule_ends_in_is_said_from_the_record(entropy, undecided, why):
    runs = pd.DataFrame({"entropy_normal": [0.0], "entropy_reduce": [entropy], "undecided": [undecided], "edges": [28]})
    said = figure7.theorem_sentence({methods_study.THEOREM: runs})
    assert f"ends at {'most ' * (entropy > 0)}{entropy:.3f} in both cells" in said
    assert f"with {undecided} of 28" in said and ("too small" in said) == why
    assert figure7.theorem_sentence({}) == ""

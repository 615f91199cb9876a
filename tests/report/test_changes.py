"""The changes of the chosen cell, counted by a plain version, and the page's table of fabricated courses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asap.paper.space import CELL_KINDS, DARTS_OPERATIONS, edges
from asap.report import changes, results


def architecture(rng, epochs, operations=DARTS_OPERATIONS, nodes=4):
    """A random walk of Φ, pruned at random down to one operation on some edges; the last operation of an edge has Φ = 1."""
    graph = edges(nodes)
    rows = [(epoch, kind, e, o) for epoch in range(1, epochs + 1) for kind in CELL_KINDS for e in range(len(graph)) for o in operations]
    frame = pd.DataFrame(rows, columns=["epoch", "cell", "edge", "operation"])
    shape = (epochs, len(CELL_KINDS), len(graph), len(operations))
    alive = np.logical_and.accumulate(rng.random(shape) < 0.7, axis=0)
    alive[..., -1] = True
    phi = np.exp(rng.normal(size=shape).cumsum(0)) * alive
    return frame.assign(phi=(phi / phi.sum(-1, keepdims=True)).reshape(-1), alive=alive.reshape(-1))


def plain_changes(frame, nodes=4):
    graph, found, before, score = edges(nodes), [], None, {}
    for _, epoch in frame.groupby("epoch"):
        cell = set()
        for kind in CELL_KINDS:
            best = []
            for e in range(len(graph)):
                of_edge = epoch[(epoch["cell"] == kind) & (epoch["edge"] == e)]
                row = of_edge.loc[of_edge.loc[of_edge["operation"] != "none", "phi"].idxmax()]
                if of_edge["alive"].sum() > 1:
                    score[kind, e] = dict(zip(of_edge["operation"], of_edge["phi"], strict=True))
                best.append((score[kind, e][row["operation"]], e, row["operation"]))
            for node in range(2, 2 + nodes):
                entering = [b for b in best if graph[b[1]][1] == node]
                cell |= {(kind, e, operation) for _, e, operation in sorted(entering, reverse=True)[:2]}
        if before is not None:
            found.append(len(cell - before))
        before = cell
    return found


def test_changed_edges_are_those_of_a_plain_count():
    frame = architecture(np.random.default_rng(0), 5)
    assert (frame.groupby(["epoch", "cell", "edge"])["alive"].sum() == 1).any()
    found = changes.changed_edges(changes.chosen_cells(frame))
    assert list(found) == plain_changes(frame) and found.sum() > 0
    still = pd.concat([frame[frame["epoch"] == 1].assign(epoch=epoch) for epoch in (1, 2, 3)], ignore_index=True)
    assert list(changes.changed_edges(changes.chosen_cells(still))) == [0, 0]


def test_the_last_chosen_cell_of_a_recorded_search_is_the_one_that_it_derived():
    run = results.record("methods/darts2-cifar10-cpu-seed0", Path(__file__).parents[2] / "runs")
    assert changes.chosen_cells(run.architecture())[-1] == run.genotype()


def test_the_table_tells_the_halves_of_a_search_apart():
    ours = pd.DataFrame(
        {"label": "DARTS", "run": "a", "epoch": [2, 3, 4, 5], "time": [0.4, 0.5, 0.8, 1.0], "changed_edges": [4.0, 2, 0, 1]}
    )
    theirs = pd.DataFrame({
        "source": "S", "method": "M", "searches": 3, "epoch": [1, 2], "time": [0.5, 1.0], "accuracy": 1.0, "low": 1.0, "high": 1.0,
        "changed_edges": [np.nan, 0.5], "changed": [np.nan, 0.25],
    })  # fmt: skip
    rows = changes.rows(ours, theirs).to_numpy().tolist()
    assert rows[0] == ["DARTS", "here", "1", "100 %", "50 %", "3.00", "0.50"]
    assert rows[1] == ["M", "S", "3", "–", "25 %", "–", "0.50"]
    assert changes.draw(ours, theirs).axes[0].get_ylim()[0] == 0


@pytest.mark.parametrize("content", [None, b"\xff\x00"])
def test_others_courses_may_be_missing_or_damaged(tmp_path, content):
    if content:
        (tmp_path / "scores").mkdir()
        (tmp_path / "scores" / "others.csv").write_bytes(content)
    assert results.score_table("others", tmp_path).empty and changes.courses(tmp_path).empty

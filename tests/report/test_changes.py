"""The changes of the chosen cell, counted by a plain version, and the page's table of fabricated courses."""

import numpy as np
import pandas as pd
import pytest

from asap.paper.space import CELL_KINDS, DARTS_OPERATIONS, edges
from asap.report import changes


def architecture(rng, epochs, operations=DARTS_OPERATIONS, nodes=4):
    graph = edges(nodes)
    rows = [(epoch, kind, e, o) for epoch in range(1, epochs + 1) for kind in CELL_KINDS for e in range(len(graph)) for o in operations]
    frame = pd.DataFrame(rows, columns=["epoch", "cell", "edge", "operation"])
    alpha = rng.normal(size=(1 if epochs == 0 else epochs, len(rows) // epochs)).cumsum(0).reshape(-1)
    return frame.assign(alpha=alpha, phi=np.exp(alpha))


def plain_changes(frame, nodes=4):
    graph, found, before = edges(nodes), [], None
    for _, epoch in frame.groupby("epoch"):
        cell = set()
        for kind in CELL_KINDS:
            best = []
            for e in range(len(graph)):
                of_edge = epoch[(epoch["cell"] == kind) & (epoch["edge"] == e) & (epoch["operation"] != "none")]
                row = of_edge.loc[of_edge["phi"].idxmax()]
                best.append((row["alpha"], e, row["operation"]))
            for node in range(2, 2 + nodes):
                entering = [b for b in best if graph[b[1]][1] == node]
                cell |= {(kind, e, operation) for _, e, operation in sorted(entering, reverse=True)[:2]}
        if before is not None:
            found.append(len(cell - before))
        before = cell
    return found


def test_changed_edges_are_those_of_a_plain_count():
    frame = architecture(np.random.default_rng(0), 4)
    found = changes.changed_edges(frame)
    assert list(found) == plain_changes(frame) and found.sum() > 0
    still = pd.concat([frame[frame["epoch"] == 1].assign(epoch=epoch) for epoch in (1, 2, 3)], ignore_index=True)
    assert list(changes.changed_edges(still)) == [0, 0]


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
    assert changes.others(tmp_path).empty and changes.courses(tmp_path).empty

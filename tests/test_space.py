import json

import numpy as np
import pytest

from asap.paper.space import (
    ASAP_OPERATIONS,
    CELL_KINDS,
    Edge,
    Genotype,
    GenotypeError,
    cell_by_name,
    derive,
    edges,
    published_cell,
    published_cells,
    random_genotype,
)


def test_four_nodes_have_fourteen_edges_ordered_by_target():
    assert len(edges(4)) == 14
    assert edges(2) == ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


def test_published_cells_survive_json():
    cells = published_cells()
    assert len(cells) == 21
    for cell in cells.values():
        genotype = cell["genotype"]
        assert Genotype.from_dict(json.loads(json.dumps(genotype.to_dict()))) == genotype
        assert cell["source"] and cell["confidence"]


def test_published_cell_by_name():
    assert published_cell("asap") == published_cell("ASAP")
    with pytest.raises(GenotypeError, match="known: ASAP"):
        published_cell("resnet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normal": []}, "needs edges"),
        ({"normal": [["conv_9x9", 0, 2]]}, "unknown operation"),
        ({"normal": [["skip_connect", 2, 2]]}, "does not run"),
        ({"normal": [["skip_connect", 0, 2], ["skip_connect", 0, 4]]}, "node 3 .* no input"),
        ({"normal_concat": [2, 9]}, "concatenates"),
        ({"normal": [["skip_connect", 0]]}, "not a genotype"),
        ({"normal": "abc"}, "not a genotype"),
    ],
)
def test_a_genotype_of_the_wrong_shape_is_one_line(change, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        Genotype.from_dict(published_cell("ASAP").to_dict() | change)
    assert "\n" not in str(caught.value)


def test_derive_keeps_the_best_two_inputs_of_each_node_in_edge_order():
    count = len(edges())
    choice = {kind: ["skip_connect"] * count for kind in CELL_KINDS}
    score = {kind: np.arange(count, dtype=float) for kind in CELL_KINDS}
    genotype = derive(choice, score)
    assert genotype.normal[:2] == (Edge("skip_connect", 0, 2), Edge("skip_connect", 1, 2))
    assert [(e.source, e.target) for e in genotype.normal[-2:]] == [(3, 5), (4, 5)]
    assert len(derive(choice, score, inputs=None).normal) == 14
    tied = derive(choice, {kind: np.zeros(count) for kind in CELL_KINDS})
    assert [(e.source, e.target) for e in tied.normal[-2:]] == [(0, 5), (1, 5)]


def test_random_cells_have_names():
    assert cell_by_name("random-7") == cell_by_name("RANDOM-7") == random_genotype(np.random.default_rng(7))
    assert cell_by_name("random-8") != cell_by_name("random-7") and cell_by_name("xnas") == published_cell("XNAS")
    with pytest.raises(GenotypeError, match="and random-SEED"):
        cell_by_name("random-x")


def test_random_genotypes_are_valid_and_differ():
    drawn = [random_genotype(np.random.default_rng(seed)) for seed in range(20)]
    assert len({str(g) for g in drawn}) == 20
    assert {e.operation for g in drawn for e in g.normal} == set(ASAP_OPERATIONS)
    assert all(len(g.cell(kind)) == 8 for g in drawn for kind in CELL_KINDS)

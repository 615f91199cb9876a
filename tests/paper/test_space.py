import json
import os

import numpy as np
import pytest

from asap.paper.space import (
    ASAP_OPERATIONS,
    CELL_KINDS,
    Edge,
    Genotype,
    GenotypeError,
    cell_by_name,
    cell_label,
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
        ({"normal": [["conv_9x9", 0, 2]]}, "unknown operation 'conv_9x9' on edge 0 → 2 of the normal cell"),
        ({"normal": [["skip_connect", 2, 2]]}, "edge 2 → 2 of the normal cell does not run"),
        ({"normal": [["skip_connect", 0, 10**9]]}, "more than 32 intermediate nodes"),
        ({"normal": [["skip_connect", 0, 2], ["skip_connect", 0, 4]]}, "node 3 .* no input"),
        ({"normal_concat": [2, 9]}, "concatenates"),
        ({"normal": [["skip_connect", 0]]}, "not a genotype"),
        ({"normal": [["skip_connect", 0, 2.5]]}, "not a genotype: an edge of the normal cell is .'skip_connect', 0, 2.5."),
        ({"normal": "abc"}, "not a genotype: it has no list 'normal'"),
        ({"reduce_concat": None}, "not a genotype: it has no list 'reduce_concat'"),
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
    with pytest.raises(GenotypeError, match="random-SEED, and the path"):
        cell_by_name("random-x")


def test_random_genotypes_are_valid_and_differ():
    chain = {kind: (Edge("sep_conv_3x3", 1, 2),) for kind in CELL_KINDS}
    assert Genotype(**chain, normal_concat=(2,), reduce_concat=(2,)).idle
    assert not any(published_cell(name).idle for name in published_cells())
    drawn = [random_genotype(np.random.default_rng(seed)) for seed in range(20)]
    assert len({str(g) for g in drawn}) == 20
    assert {e.operation for g in drawn for e in g.normal} == set(ASAP_OPERATIONS)
    assert all(len(g.cell(kind)) == 8 for g in drawn for kind in CELL_KINDS)


def in_darts_text(genotype):
    def pairs(cell):
        return [(edge.operation, edge.source) for edge in cell]

    concat = f"range({genotype.normal_concat[0]}, {genotype.normal_concat[-1] + 1})"
    return (
        f"Genotype(normal={pairs(genotype.normal)}, normal_concat={concat}, reduce={pairs(genotype.reduce)}, "
        f"reduce_concat={list(genotype.reduce_concat)})"
    )


def test_a_cell_of_one_s_own_is_a_file_a_folder_or_darts_text(tmp_path):
    mine = published_cell("DARTS_V2")
    (tmp_path / "genotype.json").write_text(json.dumps(mine.to_dict()))
    text = in_darts_text(mine)
    for name in (str(tmp_path / "genotype.json"), f"{tmp_path}/", text, f"  {text}\n"):
        assert cell_by_name(name) == mine
    paths = (str(tmp_path), "cells/my cell.json", "C:\\cells\\mine.json")
    assert [cell_label(name) for name in paths] == [f"{tmp_path.name}.json", "my_cell.json", "mine.json"]
    assert [cell_label(name) for name in ("random-3", "XNAS")] == ["random-3", "XNAS"]
    assert cell_label(text) == cell_label(text + " ") and cell_label(text).startswith("genotype-")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Genotype(", "not a genotype in DARTS' text"),
        ("Genotype(__import__('os').getcwd())", "is wanted"),
        ("Genotype(normal=__import__('os').getcwd(), normal_concat=[2], reduce=[], reduce_concat=[2])", "malformed node"),
        ("Genotype(normal=[('skip_connect', 0)], normal_concat=range(2, 3), reduce=[], reduce_concat=[2])", "has 1 edges, not two"),
        ("Genotype(normal=[('x', 0), ('x', 1)], normal_concat=range(2, 3), reduce=[], reduce_concat=[2])", "needs|'x' on edge 0 → 2"),
        ("Genotype(normal=[])", "has no 'reduce'|has no list"),
        ("Genotype(" * 500, "not a genotype in DARTS' text"),
        ("Genotype(normal=[], normal_concat=range(10**9), reduce=[], reduce_concat=[])", "malformed|not a genotype"),
        ("Genotype(normal=[], normal_concat=range(1000000000), reduce=[], reduce_concat=[])", "needs edges"),
        (f"Genotype(normal={'[' * 90}{']' * 90}, normal_concat=[2], reduce=[], reduce_concat=[2])", "not"),
    ],
)
def test_darts_text_is_parsed_never_evaluated(text, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        cell_by_name(text)
    assert str(caught.value).isprintable()


def test_a_file_that_is_no_cell_is_one_line(tmp_path):
    for name, content in (("deep", b"[" * 100_000), ("binary", b"\xff\xfe"), ("empty", b""), ("list", b"[]")):
        path = tmp_path / f"{name}.json"
        path.write_bytes(content)
        with pytest.raises(GenotypeError, match=f"{name}.json: ") as caught:
            cell_by_name(str(path))
        assert str(caught.value).isprintable()
    os.mkfifo(tmp_path / "fifo.json")
    with pytest.raises(GenotypeError, match="no regular file"):
        cell_by_name(str(tmp_path / "fifo.json"))

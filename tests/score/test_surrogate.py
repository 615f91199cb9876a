"""The surrogate trained on NAS-Bench-301's labels, on fabricated files in the published formats: no reference data are needed."""

import argparse
import json
import lzma
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from asap.errors import UserError
from asap.paper.space import Edge, Genotype, cell_by_name, published_cell, random_genotype
from asap.records.recorder import Recorder
from asap.records.study import plan
from asap.report import short as short_page
from asap.report import surrogate as surrogate_page
from asap.score import others, short, surrogate
from asap.score import validity as surrogate_validity
from asap.score.features import OPERATIONS, SurrogateError, check, feature_names, features, identity, parameters
from asap.score.surrogate import LABELS, TRAINED, Surrogate, add_arguments, command, parse_key, read_labels, read_trained

ROOT = Path(__file__).parents[2]
#: The worth of each operation in the fabricated labels.
WORTH = dict(zip(OPERATIONS, (-0.3, -0.4, 0.05, 0.3, 0.25, 0.1, 0.0), strict=True))


def label_of(genotype):
    return 93 + sum(WORTH[edge.operation] for edge in (*genotype.normal, *genotype.reduce)) / 2


def key_of(genotype, brackets="[[]]"):
    cells = [[(edge.source, OPERATIONS.index(edge.operation)) for edge in genotype.cell(kind)] for kind in ("normal", "reduce")]
    return str(cells) if brackets == "[[]]" else str(tuple(map(tuple, cells)))


def printed(genotype):
    """As Yang et al. print a cell."""
    parts = []
    for kind in ("normal", "reduce"):
        nodes = [[(e.operation, e.source) for e in genotype.cell(kind) if e.target == node] for node in range(2, 6)]
        parts.append(f"{kind}={nodes}, {kind}_concat=range(2, 6)")
    return f"Genotype({', '.join(parts)})"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Labels of 150 cells in the two files' formats, one cell in both, and 30 fully trained cells; smaller trees."""
    monkeypatch.setattr(surrogate, "TREES", {"n_estimators": 60, "max_depth": 2})
    monkeypatch.setattr(surrogate, "REFERENCE", 50)
    root = tmp_path / "data"
    cells = [random_genotype(np.random.default_rng(seed)) for seed in range(5000, 5150)]
    first = {key_of(cell): {"val_accuracy": label_of(cell)} for cell in cells[:75]}
    second = {key_of(cell): {"val_accuracy": label_of(cell)} for cell in cells[75:]}
    second[key_of(cells[0])] = {"val_accuracy": label_of(cells[0]) + 0.2}
    for name, content in zip(LABELS, ({"nasbench301": {"cifar10": first}}, {"cifar10": second}), strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(content))
    trained = [random_genotype(np.random.default_rng(seed)) for seed in range(7000, 7030)]
    rows = [(i, printed(cell), label_of(cell) + 4.1, label_of(cell) + 4) for i, cell in enumerate(trained)]
    (root / TRAINED).parent.mkdir(parents=True)
    pd.DataFrame(rows, columns=["index", "genotype", "best_test_acc", "final_test_acc"]).to_csv(root / TRAINED, index=False)
    write_courses(root, trained)
    return root


def write_courses(root, cells):
    """The files of short.py and others.py: curves of 30 trained cells, 13 supernets (one of two starts that wrote at once), 4 searches."""
    rng = np.random.default_rng(0)
    np.savez(
        root / short.CURVES, random214=np.linspace(5000, 9700, 600, dtype=np.uint16) + rng.integers(0, 99, (len(cells), 600), np.uint16)
    )
    (root / others.NASLIB).mkdir(parents=True)
    for name, (_, runs) in others.SUPERNETS.items():
        for seed in range(1, runs + 1):
            lines = [f"{epoch},{50 + epoch / 4 + seed}" for epoch in range(100)]
            if (name, seed) == ("darts", 4):
                lines = ["0,7.0", *lines]
            (root / others.NASLIB / f"nasbench301_cifar10_{name}_{seed}").write_text("epoch,val_top1\n" + "\n".join(lines) + "\n")
    texts = [str(text) for text in map(as_darts, cells[:2])]
    course = {"valid_acc": [60 + epoch / 5 for epoch in range(50)], "genotype": [texts[0]] * 20 + [texts[1]] * 30}
    whole = [{"space": space, "dataset": dataset, **course} for space, dataset in others.SPACES]
    broken = [{**run, "genotype": run["genotype"][:18]} for run in whole]
    (root / others.ROBUST).parent.mkdir(parents=True)
    (root / others.ROBUST).write_bytes(lzma.compress(json.dumps(whole + broken).encode()))


def as_darts(genotype):
    """As DARTS prints a cell."""
    parts = [f"{kind}={[(e.operation, e.source) for e in genotype.cell(kind)]}, {kind}_concat=range(2, 6)" for kind in ("normal", "reduce")]
    return f"Genotype({', '.join(parts)})"


def run(*words, data, runs):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return command(vars(parser.parse_args([*words, "--data-root", str(data), "--runs-root", str(runs)])))


def made(normal, reduce=None):
    """A genotype from (operation, source) of eight edges, two a node."""
    cells = [tuple(Edge(o, s, 2 + i // 2) for i, (o, s) in enumerate(cell)) for cell in (normal, reduce or normal)]
    return Genotype(cells[0], (2, 3, 4, 5), cells[1], (2, 3, 4, 5))


CHAIN = [("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("skip_connect", 0), ("sep_conv_5x5", 2),
         ("max_pool_3x3", 1), ("skip_connect", 3), ("skip_connect", 0), ("dil_conv_5x5", 4)]  # fmt: skip


def test_features_of_a_hand_made_cell():
    named = dict(zip(feature_names(), features(made(CHAIN)), strict=True))
    normal = {name.removeprefix("normal: "): value for name, value in named.items() if name.startswith("normal")}
    assert len(feature_names()) == len(set(feature_names())) == 270
    expected = {f"{operation} on {source}→{2 + i // 2}": 1 for i, (operation, source) in enumerate(CHAIN)}
    assert {name: value for name, value in normal.items() if "→" in name and value} == expected  # a chain has one numbering
    counts = Counter(operation for operation, _ in CHAIN)
    assert {operation: normal[f"number of {operation}"] for operation in OPERATIONS} == {o: counts[o] for o in OPERATIONS}
    assert normal["skip_connect from input 0"] == 2 and normal["skip_connect from a node"] == 1 and normal["max_pool_3x3 from input 1"] == 1
    assert (normal["depth"], normal["mean depth"]) == (4, 2.5)
    assert (normal["depth in convolutions"], normal["mean depth in convolutions"]) == (3, 2.0)  # 1, 2, 2, 3
    assert (normal["edges from inputs"], normal["edges from input 0"], normal["nodes that no node reads"]) == (5, 3, 1)
    assert (normal["paths from input 0"], normal["paths from input 1"]) == (1 + 2 + 2 + 3, 1 + 1 + 2 + 2)


def test_one_network_has_one_score_however_its_nodes_are_numbered():
    a = made([("sep_conv_3x3", 0), ("skip_connect", 1), ("max_pool_3x3", 0), ("dil_conv_3x3", 1),
              ("skip_connect", 2), ("sep_conv_5x5", 0), ("skip_connect", 3), ("avg_pool_3x3", 1)])  # fmt: skip
    b = made([("dil_conv_3x3", 1), ("max_pool_3x3", 0), ("sep_conv_3x3", 0), ("skip_connect", 1),
              ("skip_connect", 2), ("avg_pool_3x3", 1), ("sep_conv_5x5", 0), ("skip_connect", 3)])  # fmt: skip
    assert a != b and identity(a) == identity(b) and (features(a) == features(b)).all()
    other = made([("sep_conv_3x3", 1), ("skip_connect", 0), *[(e.operation, e.source) for e in a.normal[2:]]])
    assert identity(other) != identity(a) and (features(other) != features(a)).any()


def test_parameters_are_those_of_the_network():
    sizes = pd.read_csv(ROOT / "runs" / "sizes" / "cifar10.csv")
    names = ["ASAP", "DARTS_V2", "SNAS", "P_DARTS", "NASNet_A", "random-0", "random-3"]
    known = sizes[sizes["cell"].isin(names) & ~sizes["cell"].eq("NASNet_A")]
    assert len(known) == 24
    for name, channels, count in known[["cell", "channels", "parameters"]].itertuples(index=False):
        assert parameters(cell_by_name(name), channels) == count


def test_keys_are_parsed_in_both_formats():
    cell = random_genotype(np.random.default_rng(3))
    assert parse_key(key_of(cell)) == parse_key(key_of(cell, "(())")) == cell
    for bad in (
        "",
        "[[]]",
        "nonsense(",
        key_of(cell).replace("(0, ", "(9, "),
        key_of(cell)[:-1],
        "[" * 10000,
        str([[(0, 7), (1, 0)] * 4] * 2),
    ):
        with pytest.raises(SurrogateError) as error:
            parse_key(bad)
        assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_a_fit_recovers_the_order_and_is_the_same_each_time(data):
    cells, labels = read_labels(data)
    assert len(cells) == 150 and labels.max() < 100  # the network in both files is there once,
    again = [i for i, cell in enumerate(cells) if cell == random_genotype(np.random.default_rng(5000))]
    assert labels[again[0]] == pytest.approx(label_of(cells[again[0]]) + 0.1)  # with the mean of its labels
    one, other = Surrogate(cells, labels), Surrogate(cells, labels)
    new = [random_genotype(np.random.default_rng(seed)) for seed in range(9000, 9100)]
    assert (one.scores(new) == other.scores(new)).all()
    assert pd.Series(one.scores(new)).corr(pd.Series([label_of(cell) for cell in new]), "spearman") > 0.9


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("AmoebaNet_A", "5 intermediate nodes, and NAS-Bench-301's cells have 4"),
        ("SNAS_aggressive", "its reduction cell has none, which is none of NAS-Bench-301's operations"),
        ("PR_DARTS_DL2", "sep_conv_3x3_once, which is none of NAS-Bench-301's operations"),
    ],
)
def test_a_cell_outside_the_space_is_refused_with_its_reason(name, message):
    with pytest.raises(SurrogateError, match=f"^{name} cannot be scored: .*{message}") as error:
        check(published_cell(name), name)
    assert "\n" not in str(error.value)


def test_a_node_needs_two_edges_from_different_nodes_and_all_nodes_are_concatenated():
    plain = made(CHAIN)
    three = Genotype((*plain.normal, Edge("skip_connect", 1, 5)), (2, 3, 4, 5), plain.reduce, (2, 3, 4, 5))
    with pytest.raises(SurrogateError, match=r"edges from nodes \[0, 1, 4\] to node 5"):
        check(three, "mine")
    twice = Genotype((*plain.normal[:7], Edge("skip_connect", 0, 5)), (2, 3, 4, 5), plain.reduce, (2, 3, 4, 5))
    with pytest.raises(SurrogateError, match=r"edges from nodes \[0, 0\] to node 5"):
        check(twice, "mine")
    with pytest.raises(SurrogateError, match=r"concatenates nodes \[2, 3\]"):
        check(Genotype(plain.normal, (2, 3), plain.reduce, (2, 3, 4, 5)), "mine")


def test_the_command_scores_names_files_and_runs(data, tmp_path, capsys):
    runs = tmp_path / "runs"
    recorder = Recorder(runs / "study" / "one", "search", {})
    recorder.write("genotype.json", published_cell("DARTS_V2").to_dict())
    recorder.finish({})
    recorder.close()
    (tmp_path / "cell.json").write_text(json.dumps(published_cell("DARTS_V2").to_dict()))
    names = ["DARTS_V2", "study/one", str(tmp_path / "cell.json"), "random-7"]
    assert run(*names, "--json", data=data, runs=runs) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == names
    assert found["DARTS_V2"] == found["study/one"] == found[names[2]] != found["random-7"]
    assert set(found["random-7"]) == {"score", "percentile", "extrapolates", "parameters", "note"}
    assert 0 <= found["random-7"]["percentile"] <= 100
    assert run("ASAP", data=data, runs=runs) == 0
    assert "5 skip_connect in the normal cell" in capsys.readouterr().out  # more than almost every labelled cell


def test_without_names_every_known_cell_has_a_row_and_refused_ones_their_reason(data, tmp_path, capsys):
    assert run("--json", data=data, runs=tmp_path / "none") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["PNAS"]["score"] is None and "sep_conv_7x7" in found["PNAS"]["note"]
    assert sum(name.startswith("random-") for name in found) == 200 and found["random-1199"]["score"] > 80


@pytest.mark.parametrize("name", ["nobody", "study/gone", "empty", "bad.json", "text.json", "list.json"])
def test_a_bad_name_is_one_line(data, tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text('{"normal": [["sep_conv_3x3", 0, 2]]}')
    (tmp_path / "text.json").write_bytes(b"\xff\xfe not json")
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(UserError) as error:
        run(name if name == "nobody" else str(tmp_path / name), data=data, runs=tmp_path)
    assert "\n" not in str(error.value) and name.split("/")[-1] in str(error.value)


def test_missing_or_damaged_data_are_named_in_one_line_with_their_source(data, tmp_path):
    path = data / LABELS[1]
    whole = path.read_text()
    for bad in (whole[:-9], "{}", "[]", '{"cifar10": {"[[]]": {"val_accuracy": 90}}}', whole.replace("93.", "993.")):
        path.write_text(bad)
        with pytest.raises(SurrogateError, match="is damaged") as error:
            read_labels(data)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(SurrogateError, match=r"is missing .*it is published at github.com/automl/NASLib") as error:
        run("ASAP", data=data, runs=tmp_path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    (data / TRAINED).write_text("index,genotype\n0,Genotype(normal=1)\n")
    with pytest.raises(SurrogateError, match="is damaged") as error:
        read_trained(data)
    assert str(data / TRAINED) in str(error.value) and "\n" not in str(error.value)


def test_the_records_and_the_page_drawn_from_them(data, tmp_path, monkeypatch, capsys):
    small = {"ridge": [{"alpha": 300.0}], "trees": [{"n_estimators": 60, "max_depth": 2}]}
    monkeypatch.setattr(surrogate_validity, "CHOICES", small)
    monkeypatch.setattr(surrogate_validity, "CHOSEN", {name: options[0] for name, options in small.items()})
    monkeypatch.setattr(surrogate_validity, "RESAMPLES", 20)
    monkeypatch.setattr(surrogate_validity, "FOLDS", 3)
    runs = tmp_path / "runs"
    assert run("--record", data=data, runs=runs) == 0
    written = sorted(path.name for path in (runs / "scores").iterdir())
    assert written == ["others.csv", "scores.csv", "short.csv", "validity.csv", "validity.json", "yang2020.csv"]
    assert len(capsys.readouterr().out.split()) == 6
    figures = json.loads((runs / "scores" / "validity.json").read_text())["figures"]
    assert figures["cross-validation"]["all"]["spearman"] > 0.8 and figures["fully trained cells"]["score, final"]["spearman"] > 0.8
    trained = figures["fully trained cells"]["score, best"]
    assert trained["low"] < trained["spearman"] <= trained["high"] <= 1
    assert sum(row["cells"] for row in figures["calibration on labels"].values()) == 150
    scores = pd.read_csv(runs / "scores" / "scores.csv")
    assert set(scores["kind"]) == {"published", "random"} and not scores["cell"].duplicated().any()

    monkeypatch.setattr(surrogate_validity, "validity", None)  # the same data, code and versions: the figures are kept
    assert run("--record", data=data, runs=runs) == 0
    assert json.loads((runs / "scores" / "validity.json").read_text())["figures"] == figures

    monkeypatch.setenv("ASAP_RUNS", str(runs))
    parts = surrogate_page.figures()
    assert surrogate_page.by_fold(parts).iloc[0, 1] == f"{figures['cross-validation']['all']['spearman']:.3f}"
    assert (
        set(surrogate_page.choices(parts)["which"]) == {"chosen", ""} and len(surrogate_page.predictors(parts["fully trained cells"])) > 3
    )
    assert len(surrogate_page.draw_calibration(parts).axes) == 2 and len(surrogate_page.skips(parts)) > 3
    assert "SNAS_moderate" in set(surrogate_page.cells(surrogate_page.scores())["cell"]) and surrogate_page.by_method().empty
    assert "validity.json" not in surrogate_page.source()  # a root outside the book has no links
    (runs / "scores" / "validity.json").write_text("{}")
    empty = surrogate_page.figures()
    assert surrogate_page.about() == {}
    for draw in (surrogate_page.by_fold, surrogate_page.choices, surrogate_page.skips, surrogate_page.beyond):
        assert draw(empty).empty


def test_others_courses_by_group_and_epoch(data):
    frame = others.courses(data)
    darts = frame[frame["method"] == "DARTS"]
    assert list(darts["epoch"]) == list(range(1, 101)) and darts["searches"].eq(5).all() and darts["changed"].isna().all()
    assert darts.iloc[0][["accuracy", "low", "high"]].tolist() == [53, 51, 55]  # of two lines of an epoch the later one
    for method in others.SPACES.values():
        robust = frame[frame["method"] == method]
        assert len(robust) == 50 and robust["searches"].eq(1).all()  # one that was cut short does not count
        moved = robust[robust["changed"] > 0]
        assert list(moved["epoch"]) == [21] and 0 < moved["changed_edges"].iloc[0] <= 16
    (data / others.ROBUST).write_bytes(b"no archive")
    with pytest.raises(SurrogateError, match="is damaged"):
        others.courses(data)
    (data / others.ROBUST).unlink()
    with pytest.raises(SurrogateError, match="is missing") as error:
        others.courses(data)
    assert "damaged" not in str(error.value)


def test_the_short_evaluation_is_judged_on_cells_trained_in_full(data, tmp_path, monkeypatch):
    monkeypatch.setattr(surrogate_validity, "RESAMPLES", 20)
    cells, accuracies = read_trained(data)
    order = np.argsort(accuracies["final"].to_numpy(), kind="stable")
    picked = [int(order[int((i + 0.5) * len(order) / 8)]) for i in range(8)]
    final = accuracies["final"].to_numpy()
    assert sorted(set(picked)) == sorted(picked) and list(final[picked]) == sorted(final[picked])
    arms = {f"yang2020-{row}": {"cell": as_darts(cells[row])} for row in picked}
    common = {"dataset": "cifar10", "scale": "cpu", "seed": 0, "study": "validity"}
    study = plan("validity", {"title": "", "runs": [{"kind": "evaluation", "common": common, "arms": arms}]})
    monkeypatch.setattr(short, "load", lambda name: study)
    scores = np.random.default_rng(0).random(len(cells))
    assert (
        short.evaluated(tmp_path, cells, accuracies, scores).empty
        and short.judges(short.evaluated(tmp_path, cells, accuracies, scores)) == {}
    )
    for place, (planned, row) in enumerate(zip(study.planned, picked, strict=True)):
        genotype = cells[row].to_dict()
        recorder = Recorder(tmp_path / planned.name, "evaluation", planned.parameters.identity(), data={}, machine={}, genotype=genotype)
        recorder.finish({"test_error": 20.0 - place})
        recorder.close()
    frame = short.evaluated(tmp_path, cells, accuracies, scores)
    found = short.judges(frame)
    assert list(frame["index"]) == picked and found["error at the cpu scale, negated, final"]["spearman"] > 0.99
    assert found["could be shown"]["spearman"] == pytest.approx(0.86, abs=0.03)
    with pytest.raises(SurrogateError, match="trained another cell"):
        short.evaluated(tmp_path, cells[1:] + cells[:1], accuracies, scores)
    assert short.curves(data, accuracies)["600"]["cells"] == len(cells)
    whole = (data / short.CURVES).read_bytes()
    for half in (whole[: len(whole) // 2], b""):
        (data / short.CURVES).write_bytes(half)
        with pytest.raises(SurrogateError, match="is damaged"):
            short.curves(data, accuracies)


def test_records_that_name_cells_are_refused(data, tmp_path):
    with pytest.raises(UserError, match="name no cells"):
        run("ASAP", "--record", data=data, runs=tmp_path)


def test_the_model_of_the_committed_records_is_the_best_of_what_it_was_chosen_from():
    about = json.loads((ROOT / "runs" / "scores" / "validity.json").read_text())
    for part in ("choice of ridge", "choice of trees", "choice of features"):
        best = max(about["figures"][part].values(), key=lambda row: row["spearman"])
        assert best["chosen"] and sum(row["chosen"] for row in about["figures"][part].values()) == 1
    assert {"alpha": about["model"]["ridge"]["alpha"]} == surrogate.RIDGE


@pytest.mark.parametrize(("own", "score", "judge"), [("final", "noise", "error"), ("noise", "final", "score")])
def test_the_better_judge_is_the_error_only_where_it_is_shown_to_be(own, score, judge):
    rng = np.random.default_rng(1)
    known = {"final": np.linspace(90, 95, 16), "noise": rng.normal(size=16)}
    frame = pd.DataFrame({"error": -known[own], "score": known[score], "parameters": rng.random(16), "final": known["final"]})
    figures = {"short evaluation": short.judges(frame.assign(best=frame["final"]))}
    said = short_page.said(figures)
    assert short_page.better(figures) == judge and ("the error, the better judge" in said) == (judge == "error")
    assert ("is shown to order cells" in said) == (own == "final")
    assert short_page.better({"short evaluation": {}}) == "score" and short_page.said({"short evaluation": {}}) == ""


def test_correlations_of_all_resamples_are_those_of_each_by_scipy():
    """The plain version: one resample at a time, the partial correlation from residuals of ranks."""

    def partial(a, b, given):
        ranks = [stats.rankdata(values) for values in (a, b, given)]
        left = [values - np.polynomial.Polynomial.fit(ranks[2], values, 1)(ranks[2]) for values in ranks[:2]]
        return stats.pearsonr(*left).statistic

    rng = np.random.default_rng(0)
    a, b, given = rng.integers(9, size=(3, 20, 12)).astype(float)  # with ties
    plain = [stats.spearmanr(*rows).statistic for rows in zip(a, b, strict=True)]
    assert np.allclose(surrogate_validity.spearman(a, b), plain, rtol=0, atol=1e-12)
    plain = [partial(*rows) for rows in zip(a, b, given, strict=True)]
    assert np.allclose(surrogate_validity.partial_spearman(a, b, given), plain, rtol=0, atol=1e-12)
    rising = np.arange(12.0)
    assert np.isnan(surrogate_validity.spearman(rising, np.ones(12)))
    assert np.isnan(surrogate_validity.partial_spearman(a[0], rising, 3 * rising))
    found = surrogate_validity.with_interval(surrogate_validity.spearman, rising, rising)
    assert found == {"spearman": pytest.approx(1), "low": pytest.approx(1), "high": pytest.approx(1)}

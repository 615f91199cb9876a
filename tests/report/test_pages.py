"""The pages of figures and tables: which records they show, and what they make of them."""

import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from posed import cut, pose, pose_search

from asap.paper.space import cell_by_name
from asap.records.parameters import checkout, make
from asap.records.study import load
from asap.report import (
    benchmarks,
    costs,
    discussion,
    display,
    figure1,
    figure6,
    figure7,
    front,
    methods_study,
    palette,
    table1,
    table2,
    table3,
    tables,
    verdicts,
)
from asap.search.enas import Controller


@pytest.fixture(autouse=True)
def root(monkeypatch, tmp_path):
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    return tmp_path


def plans(study, kind):
    return {(p.label, p.parameters.seed): p for p in load(study).planned if p.kind == kind}


def test_the_pages_arms_are_those_of_the_study():
    labels = set(load(methods_study.STUDY).labels)
    assert set(methods_study.PRINTED) - {"ASAP, paper scale"} <= labels
    in_table = [label for arms in table3.TABLE3.values() for label in arms]
    assert sorted(in_table) == sorted(labels) and labels <= set(palette.METHODS)
    assert [row["architecture"] for row in tables.paper()["table3"]["rows"]] == [name for name in table3.TABLE3 if name]
    looks = [(look.colour, look.dashes, look.marker) for look in palette.METHODS.values()]
    assert len(set(looks)) == len(looks)


def test_enas_floor_is_the_least_entropy_of_its_bounded_logits():
    high, low = (math.exp(sign * Controller.operation_bound) for sign in (1, -1))
    floors = []
    for k in range(8):
        p = np.array([high] * k + [low] * (7 - k))
        p /= p.sum()
        floors.append(-(p * np.log(p)).sum() / math.log(7))
    assert min(floors) == pytest.approx(figure7.ENAS_FLOOR, abs=5e-4)


def test_spread():
    assert display.spread([]) == "–" and display.spread([3.0, float("nan")]) == "3.00"
    assert display.spread([3.0, 5.0]) == "4.00\u00a0±\u00a01.41" and display.counted([3.0]) == "3.00 (1)"


def test_figures_6_and_7_show_the_study_s_runs_and_say_which_are_missing(root):
    searches = plans("methods", "search")
    course = {"validation_accuracy": [0.2, 0.5, 0.4], "operations_normal": [98, 98, 84]}
    for label, seed, final in (("ENAS", 0, 0.3), ("ENAS", 1, 0.4), ("ASAP", 0, 0.6), ("Magnitude, p = 3", 0, 0.1)):
        epochs = {**course, "validation_accuracy": [0.2, 0.5, final], "entropy_normal": [1.0, 0.5, 0.25]}
        more = {"cut": cut(34, 24)} if label != "ASAP" else {}
        pose_search(root, searches[label, seed], epochs, validation_accuracy=final, **more)
    arms = methods_study.found("search")
    assert "- 1 of 3: ASAP; Magnitude, p = 3\n- 2 of 3: ENAS\n" in methods_study.left_out("search")
    assert list(arms) == ["ASAP", "Magnitude, p = 3", "ENAS"]
    enas, asap = (figure6.rows(arms).set_index("method").loc[label].str.replace("\u00a0", " ").tolist() for label in ("ENAS", "ASAP"))
    assert enas == ["2", "35.0 ± 7.1", "20.0", "-30.0", "34.0 ± 0.0", "24.0 ± 0.0", "11.0 ± 7.1"]
    assert asap == ["1", "60.0", "-10.0", "-30.0", "–", "–", "–"]
    accuracy, entropy = figure6.draw(arms), figure7.draw(arms)
    assert len(accuracy.axes) == 2 and len(entropy.axes) == 4  # the paper's methods and the others, by cell kind
    for label, n, end in (("ENAS", 2, 35.0), ("ASAP", 1, 60.0)):
        (mean,) = [line for line in accuracy.axes[0].lines if line.get_label() == f"{label} ({n})"]
        assert mean.get_color() == palette.look(label).colour and mean.get_ydata()[-1] == pytest.approx(end)
    (magnitude,) = [line for line in entropy.axes[2].lines if line.get_label() == "Magnitude, p = 3 (1)"]
    first = figure7.rows(figure7.searches()[0]).iloc[0].tolist()
    assert magnitude.get_ydata()[-1] == 0.25 and first == ["ASAP", "0", "0.250", "0.900", "yes"]


@pytest.mark.parametrize(("variant", "shown"), [("posed", [["ASAP", "ASAP, paper scale"]]), ("other", [["ASAP"], ["ASAP, paper scale"]])])
def test_figure_7_shows_a_search_at_the_paper_s_scale_with_those_on_its_images(root, variant, shown):
    planned = plans("methods", "search")["ASAP", 0]
    given = {"method": "asap", "dataset": "cifar10", "scale": "paper", "seed": 0, "study": "main"}
    pose_search(root, planned)
    pose_search(root, SimpleNamespace(name="main/paper", parameters=make(type(planned.parameters), given)), variant=variant)
    assert [list(arms) for arms in figure7.searches()] == shown


def test_the_page_says_how_many_cuts_are_left_out(root):
    searches = plans("methods", "search")
    pose_search(root, searches[methods_study.THEOREM, 1], validation_accuracy=0.6, cut=cut(55, 30))
    assert figure6.older_cuts(methods_study.found("search")) == ""
    pose_search(root, searches[methods_study.THEOREM, 0], validation_accuracy=0.6, cut=cut(55, 30), cut_images="as they are")
    assert figure6.older_cuts(methods_study.found("search")).startswith("In 1 of the 2 searches")
    assert figure6.rows(methods_study.found("search")).iloc[0, -2].startswith("30.0")  # of the other search alone


def test_an_edge_keeps_its_leader_if_the_largest_phi_after_an_epoch_is_the_largest_at_the_end():
    phi = {1: [[0.1, 0.9], [0.6, 0.4]], 2: [[0.7, 0.3], [0.6, 0.4]], 3: [[0.2, 0.8], [0.3, 0.7]]}
    rows = [
        ("normal", edge, epoch, "ab"[o], p) for epoch, found in phi.items() for edge, row in enumerate(found) for o, p in enumerate(row)
    ]
    frame = pd.DataFrame(rows, columns=["cell", "edge", "epoch", "operation", "phi"])
    assert figure7.leaders_kept(frame, 1) == (1, 2) and figure7.leaders_kept(frame, 2) == (0, 2)


def test_figure_1_has_a_point_a_method_and_one_for_all_random_cells(root):
    searches = plans("methods", "search")
    for planned in load("methods").planned:
        if planned.kind == "evaluation" and planned.label in ("ASAP", "Random cells"):
            pose(root, planned, 18.0 + planned.parameters.seed)
    for seed in range(3):
        pose_search(root, searches["ASAP", seed], seconds=86400.0 * (1 + seed))
    (evaluations,) = table1.recorded().values()
    assert [(p.name, p.cost, p.errors) for p in figure1.points(evaluations).itertuples()] == [
        ("random cells", figure1.RANDOM_COST, [18.0, 18.0, 19.0, 19.0, 20.0, 20.0]),
        ("ours: ASAP", 2.0, [18.0, 19.0, 20.0]),
    ]
    figure, tips = figure1.draw(evaluations)
    assert tips["o0"].startswith("random cells: no search, ") and len(tips) == 2 + len(figure1.printed()) and len(figure.axes) == 4
    # Table 3 and Table 1 show the same random cells
    random = table3.rows(methods_study.found("evaluation")).set_index("ours").loc["Random cells"]
    assert random.iloc[3] == "19.00\u00a0±\u00a00.89" and random["n"] == "6"


def pose_sizes(root, millions):
    for planned in load("transfer").planned:
        p = planned.parameters
        if p.dataset == "cifar10" and p.cell in millions and (p.seed == 0 or p.cell == "PNAS"):
            error = 20 - 2 * math.log2(millions[p.cell]) - 0.5 * (p.cell == "ASAP") + {0: -0.3, 1: 0.1, 2: 0.2}[p.seed] * (p.cell == "PNAS")
            pose(root, planned, error, parameters=int(1e6 * millions[p.cell]))


def test_error_against_size_is_of_the_cells_and_not_of_the_runs(root):
    """Errors of −2 points a doubling exactly, but the ASAP cell's, which is half a point better."""
    pose_sizes(root, {"ASAP": 1, "PNAS": 1, "XNAS": 2, "random-0": 0.5, "random-1": 4})
    (evaluations,) = table1.recorded().values()
    frame = figure1.cells(evaluations)
    assert len(frame) == 5
    slope, at_one = np.polyfit(np.log2([1, 1, 2, 0.5, 4]), [19.5, 20, 18, 22, 16], 1)
    text = figure1.size_sentence(frame)
    assert "parameters and error is -0.97" in text and f"go with {slope:+.2f} points" in text
    rows = figure1.size_rows(frame).set_index("cells")
    assert rows.loc["ASAP, published"].tolist() == ["1", "1.000", "19.50", f"{19.5 - at_one:+.2f}"] and rows.loc["random", "n"] == "2"


def test_records_of_different_copies_of_the_images_never_join(root):
    asap, pnas = (next(p for p in load("transfer").planned if p.parameters.cell == cell) for cell in ("ASAP", "PNAS"))
    pose(root, asap, 17.0, variant="cifar10-jpeg75")
    pose(root, pnas, 16.0, variant="cifar10")
    recorded = table1.recorded()
    assert [list(frame["cell"]) for frame in recorded.values()] == [["pnas"], ["asap"]]  # the lossless first
    for planned in [p for p in load("transfer").planned if p.parameters.dataset == "cifar10" and p.parameters.seed == 1][:4]:
        pose(root, planned, 18.0, variant="cifar10-jpeg75")
    recorded = table1.recorded()
    few = [table1.few(frame, recorded) for frame in recorded.values()]
    assert few == ["", "Too few for a table or a figure here are the cells evaluated on the images `cifar10`: `pnas` 16.00 %."]
    assert "a JPEG copy" in display.copy_note(recorded["cifar10-jpeg75 0"]["variant"]) and display.copy_note(["cifar10"]) == ""


def test_a_cell_that_the_paper_s_table_lacks_has_a_row_of_its_own(root):
    shutil.copytree(checkout() / "runs" / "sizes", root / "sizes")
    for planned in load("transfer").planned:
        if (planned.parameters.cell, planned.parameters.seed, planned.parameters.dataset) in (
            ("XNAS", 0, "cifar10"),
            ("SNAS_moderate", 0, "cifar10"),
        ):
            pose(root, planned, 17.0)
    (evaluations,) = table1.recorded().values()
    rows = table1.rows(evaluations)
    assert rows[rows.iloc[:, -1] == "17.00 (1)"].iloc[:, :2].to_numpy().tolist() == [["SNAS", "2.85\u00a0±\u00a00.02"], ["XNAS", "–"]]


def test_the_order_on_a_data_set_is_set_beside_that_on_cifar10_and_beside_the_sizes(root):
    """Five cells, each twice as large: on CIFAR-10 they err less by their size, on Fashion-MNIST more but for one pair."""
    cells = ["ASAP", "PNAS", "XNAS", "random-0", "random-1"]
    for planned in load("transfer").planned:
        p = planned.parameters
        if p.cell in cells and p.seed == 0:
            i = cells.index(p.cell)
            pose(root, planned, 20.0 - i if p.dataset == "cifar10" else [4.0, 5.0, 6.0, 8.0, 7.0][i], parameters=1_000_000 * 2**i)
    ((key, name, evaluations),) = table2.here()
    said = table2.foretold(evaluations, name)
    assert key == "fashion_mnist" and "order of 5 cells on Fashion-MNIST" in said
    assert "CIFAR-10 (`posed`), Spearman's ρ = -0.90" in said and "parameters, ρ = 0.90" in said


def test_a_probability_below_what_the_permutations_tell_is_a_bound():
    assert table1.probability(0.0002) == "at most 0.0002" and table1.probability(0.0123) == "0.012"


def test_a_gpu_s_record_is_shown_and_a_damaged_one_named(root, monkeypatch):
    said = []
    monkeypatch.setattr(display, "display", lambda thing: said.append(thing.data))
    (root / "benchmarks").mkdir()
    committed = sorted((checkout() / "runs" / "benchmarks").glob("*.json"))
    for path in committed:
        shutil.copy(path, root / "benchmarks")
    committed_gpus = benchmarks.gpus()
    gpu = {
        "machine": {"device": "<b>", "torch": "2", "git_commit": "unknown"}, "date": "today",
        "search": {"variants": {"float32, graphs": {"seconds": 0.36}, "bf16": {"seconds": 0.1, "kernels": 1234, "memory_mb": 1000.0}}},
        "evaluation": {"float32, graphs": {"seconds": 0.036}},
        "gradients": {"before": {"float32": {"w_gradient": [0.5, 1], "alpha_gradient": [0.6, 1]}},
                      "after": {"copy": {"w_and_alpha_gradient": [1e-7, 1e-6]}}},
    }  # fmt: skip
    (root / "benchmarks" / "gpu.json").write_text(json.dumps(gpu))
    (found,) = [r for r in benchmarks.gpus() if r["machine"]["device"] == "<b>"]
    assert benchmarks.gradient_rows(found).to_numpy().tolist() == [["before", "float32", "0.5", "0.6"], ["after", "copy", "1e-07", "1e-06"]]
    assert benchmarks.variant_rows(found).to_numpy().tolist() == [
        ["float32, graphs", "360.00", "–", "–"],
        ["bf16", "100.00", "1,234", "1,000"],
    ]
    assert benchmarks.gpu_hours(found) == (pytest.approx(1.3), pytest.approx(5.85))
    assert "ASAP search, scale paper, float32, graphs" in set(costs.hour_rows()["what"]) and "&#60;b&#62;" in benchmarks.where(found)
    for part in ({"search": {"variants": {}}}, {"evaluation": {}}):  # of a measuring that was cut short
        (root / "benchmarks" / "gpu.json").write_text(json.dumps(gpu | part))
        assert len(benchmarks.gpus()) == len(committed_gpus)
    for damaged in ("{", "[]", "{}", "null"):
        (root / "benchmarks" / "gpu.json").write_text(damaged)
        said.clear()
        benchmarks.problems()
        assert benchmarks.cpu() and len(said) == 1 and "Left out, damaged: runs/benchmarks/gpu.json" in said[0]


def test_other_studies_figures_have_sources():
    rows = discussion.other_rows()
    assert rows["source"].str.fullmatch(r"\{cite:p\}`\w+`").all() and len(rows) >= 10


def test_the_sizes_are_of_searched_cells_and_of_random_ones_that_were_trained(root):
    for planned in load("transfer").planned:
        p = planned.parameters
        if p.cell in ("random-1", "PNAS") and p.seed == 0 and p.dataset == "cifar10":
            pose(root, planned, 17.0)
    assert tables.recorded_cells(root) == {"random-1": cell_by_name("random-1")}
    shutil.copytree(checkout() / "runs" / "main", root / "main")
    assert {"random-1", "main/asap-cifar10-cpu-seed0"} <= set(tables.recorded_cells(root))


def test_the_front_figure_and_the_study_s_pages_are_of_one_copy_of_the_images(root):
    searches = plans("methods", "search")
    pose_search(root, searches["ASAP", 0], variant="cifar10-jpeg75", cut=cut(50, 30))
    pose_search(root, searches["ASAP", 1], variant="cifar10-jpeg75", cut=cut(50, 30))
    pose_search(root, searches["DARTS", 0], variant="cifar10")
    assert list(front.ends()["run"]) == [searches["ASAP", seed].name for seed in (0, 1)] and list(methods_study.found("search")) == ["ASAP"]
    for seed in (100, 101):
        pose_search(root, plans("design", "search")["ASAP", seed], variant="cifar10", cut=cut(50, 30))
    found = methods_study.found("search")  # of the copy that more arms are on, where as many have two runs
    assert list(found) == ["ASAP", "DARTS"] and len(found["ASAP"]) == 2
    assert set(front.ends()["variant"]) == {"cifar10"} and len(front.ends()) == 3
    pose_search(root, plans("sensitivity", "search")[verdicts.LIKE_FOR_LIKE, 0], variant="cifar10-jpeg75")
    assert figure6.at_epoch_end(found) == {} and list(figure6.at_epoch_end(methods_study.elsewhere(found))) == [verdicts.AT_EPOCH_END]


def test_table_3_shows_each_copy_and_tests_no_run_of_the_design(root):
    methods, design = plans("methods", "evaluation"), plans("design", "evaluation")
    for seed in range(2):
        for label, error in (("ASAP", 18.0), ("ENAS", 19.0)):
            pose(root, methods[label, seed], error + seed / 10, variant="cifar10-jpeg75")
        for label, error in (("ASAP", 15.0), ("DARTS", 17.0)):
            pose(root, design[label, {"ASAP": 100, "DARTS": 200}[label] + seed], error + seed / 10, variant="cifar10")
    pilot, lossless = sorted(methods_study.copies("evaluation"), key=lambda arms: "DARTS" in arms)
    assert set(pilot) == {"ENAS", "ASAP"} and set(lossless) == {"DARTS", "ASAP"}
    assert table3.against_asap(pilot)["method"].tolist() == ["ENAS"] and not len(table3.against_asap(lossless))

"""Verdicts on cells, sizes and printed numbers from fabricated records: true, false and undecidable."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from judging import PILOT, errors, judge, plans
from posed import pose, pose_search
from test_design import frames

from asap.records.parameters import EvaluationParameters, checkout, make
from asap.records.study import load
from asap.report import claims, design, surrogate, tables, verdicts
from asap.report.inference import Difference
from asap.report.verdicts import EQUAL, FAILS, HOLDS, INCONCLUSIVE, OPEN, PRINTED, SEEN, UNSEEN

ASAP = (18.0, 18.1, 17.9)


def test_counts_and_orders():
    assert [verdicts.verdict_from_count(*n) for n in ((3, 3), (0, 3), (1, 3), (1, 1), (0, 1), (4, 4, 1))] == [
        HOLDS, FAILS, INCONCLUSIVE, SEEN, UNSEEN, SEEN
    ]  # fmt: skip
    two = {"a": [1.0, 2.0], "b": [3.0, 2.0]}
    assert verdicts.verdict_from_order([4.0, 5.0], two) == HOLDS and verdicts.verdict_from_order([4.0], two) == SEEN
    assert verdicts.verdict_from_order([2.5, 5.0], two) == INCONCLUSIVE
    assert verdicts.verdict_from_order([1.0, 1.5], two) == FAILS  # b lies above it: a counterexample, whatever a is
    assert verdicts.verdict_from_order([1.0], two) == verdicts.verdict_from_order([1.0, 1.5], {"b": [2.0]}) == UNSEEN  # one run of either


@pytest.mark.parametrize(
    ("magnitude", "accumulated", "verdict"),
    [
        ((20.0, 20.2, 19.8), (21.0, 21.2, 20.9), HOLDS),
        ((24.0, 24.1, 23.9), (17.0, 17.1, 16.9), FAILS),  # their mean is 2.5 points worse than ASAP's, but one is better
        ((20.0, 20.2, 19.8), (18.3, 17.5, 18.2), OPEN),
        ((20.0, 20.2, 19.8), (20.0,), OPEN),  # one run is no test, and the claim is of both
        ((18.02, 18.1, 17.95), (18.0, 18.05, 17.9), EQUAL),
        ((19.0, 19.0, 19.0), (19.0, 19.0, 19.0), HOLDS),
        ((), (), OPEN),
    ],
)
def test_a_claim_about_several_arms_is_tested_against_each(tmp_path, magnitude, accumulated, verdict):
    errors(tmp_path, ASAP=ASAP, magnitude=magnitude, accumulated=accumulated)
    found = judge(tmp_path, "Both pruning methods")
    assert found.verdict == verdict
    assert ("no such" in found.verdict) == ("no difference larger than 0.77 points" in found.ours)


@pytest.mark.parametrize(
    ("arms", "name", "verdict"),
    [
        ({"DARTS": (20.0, 20.1, 19.9)}, "improves DARTS", HOLDS),
        ({"DARTS": (20.0, 20.1, 19.9), "darts2": (16.0, 16.1, 15.9)}, "improves DARTS", FAILS),
        ({"DARTS": (20.0, 16.1, 18.9)}, "improves DARTS", OPEN),
        ({"random": (20.0, 20.1, 19.9)}, "those of other searches", HOLDS),
        ({"random": (17.0, 17.1, 16.9)}, "those of other searches", FAILS),
        ({"random": (17.0,)}, "those of other searches", OPEN),
        ({"annealed": (20.0, 20.1, 19.9), "pruned": (20.0, 20.1, 19.9)}, "An annealable search space", HOLDS),
        ({"DARTS": (20.0, 20.1, 19.9), "darts2": (16.0,)}, "improves DARTS", OPEN),  # what has no test may not contradict either
        ({"DARTS": (18.0, 18.1, 17.9), "darts2": (24.0,)}, "improves DARTS", OPEN),
        ({"annealed": (20.0, 20.1, 19.9)}, "An annealable search space", OPEN),  # it needs both
        ({"annealed": (20.0, 20.1, 19.9), "pruned": (16.0, 16.1, 15.9)}, "An annealable search space", FAILS),
        ({"magnitude": (20.0, 20.1, 19.9), "accumulated": (19.0, 19.1, 18.9)}, "accumulated_beats_magnitude", HOLDS),
        ({"magnitude": (19.0, 19.1, 18.9), "accumulated": (20.0, 20.1, 19.9)}, "accumulated_beats_magnitude", FAILS),
        ({"magnitude": (19.0,), "accumulated": (20.0,)}, "accumulated_beats_magnitude", OPEN),
    ],
)
def test_claims_on_the_cells_of_searches(tmp_path, arms, name, verdict):
    errors(tmp_path, ASAP=ASAP, **arms)
    assert judge(tmp_path, name).verdict == verdict


def test_one_run_has_no_test_and_says_what_its_images_leave(tmp_path):
    errors(tmp_path, ASAP=(18.0,), DARTS=(20.0,))
    found = judge(tmp_path, "improves DARTS")
    assert found.verdict == OPEN and "one run, no test, ± 0.55 by the test images alone" in found.ours and "could have" not in found.ours


def test_where_the_wrong_images_are_known_they_leave_less(tmp_path):
    """18 and 20 % wrong, 1,700 images by both: 100 and 300 by one alone, a standard error of .20 points, not .55."""
    flags = {"ASAP": np.arange(10_000) < 1800, "DARTS": (np.arange(10_000) >= 100) & (np.arange(10_000) < 2100)}
    for label, wrong in flags.items():
        pose(tmp_path, plans("methods")["evaluation", label, 0], 100 * wrong.mean(), wrong)
    found = judge(tmp_path, "improves DARTS")
    assert "+2.00 points (one run, no test, ± 0.20 by the test images alone)" in found.ours


def test_a_missing_evaluation_costs_no_other_run(tmp_path):
    errors(tmp_path, ASAP=ASAP, DARTS=(20.0, 20.1, 19.9), darts2=(20.0, None, 19.9))
    found = judge(tmp_path, "improves DARTS")
    assert found.verdict == HOLDS and found.scale == "cpu, n = 2 to 3"


def test_tested_claims_are_corrected_together(tmp_path):
    """p = 0.03 alone holds; with a second test beside it, Holm makes 0.06 of it."""
    errors(tmp_path, ASAP=(18.0, 18.6, 17.4), DARTS=(19.5, 20.1, 18.9))
    alone = judge(tmp_path, "improves DARTS", together=True)
    assert alone.verdict == HOLDS and "adjusted p = 0.038" in alone.ours
    errors(tmp_path, random=(18.0, 18.5, 17.6))
    beside = judge(tmp_path, "improves DARTS", together=True)
    assert beside.verdict == OPEN and "adjusted p = 0.075" in beside.ours
    power = [float(v.ours.split("could have shown ")[1].split()[0]) for v in (alone, beside)]
    assert power[0] < power[1]


def test_copies_of_the_images_are_never_pooled():
    """The copy on which most arms have two runs counts alone; of equal ones that with runs of most arms, then the lossless one."""

    def chosen(lossless, pilot):
        runs = [(arm, copy) for copy, arms in (("cifar10 1", lossless), (f"{PILOT} 2", pilot)) for arm in arms]
        return set(verdicts.one_copy(pd.DataFrame(runs, columns=["arm", "copy"]), "arm", [["ASAP"], ["DARTS"], ["ENAS"]])["copy"])

    assert chosen(["ASAP"] * 8 + ["DARTS"], ["ASAP"] * 2 + ["DARTS"] * 2) == {f"{PILOT} 2"}
    assert chosen(["ASAP"] * 8 + ["DARTS"] * 6, ["ASAP"] * 2 + ["DARTS", "ENAS"]) == {"cifar10 1"}
    assert chosen(["ASAP"] * 2, ["ASAP"] * 2 + ["DARTS"]) == {f"{PILOT} 2"} and chosen(["ASAP"], ["ASAP"]) == {"cifar10 1"}


def test_the_design_s_runs_decide_nothing_before_its_first_look(tmp_path):
    errors(tmp_path, variant=PILOT, ASAP=(18.0, 18.1), DARTS=(16.0, 16.1))
    for first, arm, of in ((100, "ASAP", 18.0), (200, "DARTS", 20.0)):
        for i in range(3):
            pose(tmp_path, plans("design")["evaluation", arm, first + i], of + 0.1 * i, variant="cifar10")
    found = judge(tmp_path, "improves DARTS")
    assert found.scale == "cpu, pilot, n = 2" and "-2.00 points" in found.ours


def test_the_design_s_runs_hide_no_pair_of_one_p(tmp_path):
    """It has the prunings under another p each."""
    errors(tmp_path, variant=PILOT, **{"Magnitude, p = 3": (18.0, 18.1), "Accumulated gradient, p = 3": (16.0, 16.1)})
    for first, arm in ((300, "Magnitude, p = 3"), (400, "Accumulated gradient, p = 1"), (100, "ASAP")):
        for seed in range(first, first + 4):
            pose(tmp_path, plans("design")["evaluation", arm, seed], 17.0 + 0.001 * seed, variant="cifar10")
    found = judge(tmp_path, "accumulated_beats_magnitude")
    assert found.scale == "cpu, pilot, n = 2" and "p = 3: +2.00 points" in found.ours


SHORT = {"short evaluation": {"error less score, final": {"low": 0.1}}}
CELLS = {"ASAP": 91.0, "Magnitude, p = 3": 90.0, "Accumulated gradient, p = 1": 90.0}


@pytest.mark.parametrize(
    ("scores", "errors", "of_errors", "verdict"),
    [
        (CELLS, CELLS, {}, HOLDS),
        ({**CELLS, "ASAP": 89.0}, CELLS, {}, INCONCLUSIVE),  # by the errors they are better
        ({**CELLS, "ASAP": 89.0}, {}, {}, FAILS),
        ({}, {**CELLS, "ASAP": 89.0}, {}, OPEN),  # the scores decide, and tell nothing
        ({}, CELLS, SHORT, HOLDS),  # where the error is shown to be the better judge, it decides
        ({}, {**CELLS, "ASAP": 89.0}, SHORT, FAILS),
        ({}, {}, SHORT, EQUAL),  # whatever difference of errors there is, it is smaller than the paper's
        ({**CELLS, "Magnitude, p = 3": 91.0}, CELLS, {}, OPEN),  # the claim is of both
        ({"ASAP": 90.02}, {}, {}, OPEN),
    ],
)
def test_the_design_decides_by_the_better_judge(tmp_path, monkeypatch, scores, errors, of_errors, verdict):
    searches, _, scored = frames(design.LOOKS[1], scores)
    _, evaluated, _ = frames(design.LOOKS[1], errors, seed=1)
    monkeypatch.setattr(design, "recorded", lambda root: design.comparison(searches, evaluated, scored))
    monkeypatch.setattr(surrogate, "figures", lambda root: {"short evaluation": {}, **of_errors})
    found = judge(tmp_path, "Both pruning methods")
    assert (
        found.verdict == verdict and found.scale == "cpu, study design, n = 8 (ASAP), 4 (Magnitude, p = 3), 4 (Accumulated gradient, p = 1)"
    )
    assert found.ours.count("at equal size") == 4 and found.ours.count("the surrogate's score") >= 2 and "labels: 0" in found.ours


def test_a_better_size_alone_is_said(tmp_path, monkeypatch):
    """ASAP's cells are larger, and score higher by that alone: the claim holds of the cells as they are, not at equal size."""
    searches, _, scored = frames(design.LOOKS[1], {})
    asap = scored.index < 8
    scored = scored.assign(
        parameters=scored["parameters"] * np.where(asap, 2.0, 1), score=scored["score"] + np.where(asap, 0.5 * np.log(2), 0)
    )
    recorded = design.comparison(searches, frames(design.LOOKS[1], {}, evaluated=False)[1], scored.assign(extrapolates=asap))
    monkeypatch.setattr(design, "recorded", lambda root: recorded)
    found = judge(tmp_path, "ASAP finds are better than other cells")
    assert found.verdict == HOLDS and found.scale.endswith("n = 8 (ASAP), 200 (Random cells)") and "labels: 8" in found.ours
    assert "p < 0.0001, ASAP is better; at equal size" in found.ours and found.ours.split("at equal size")[1].split(";")[0].endswith(
        "not decided"
    )


def transfer(root, dataset, of):
    for planned in load("transfer").planned:
        p = planned.parameters
        if p.dataset == dataset and (error := of(p.cell, p.seed)) is not None:
            pose(root, planned, error)


@pytest.mark.parametrize(("dataset", "name"), [("cifar10", "The published cell outperforms"), ("fashion_mnist", "The cell transfers well")])
def test_the_published_cell_is_judged_against_each_other(tmp_path, dataset, name):
    def one_better(cell, seed):
        return {"ASAP": 17.0, "PNAS": 15.0}.get(cell, 19.0) + 0.1 * seed if not cell.startswith("random") else None

    assert "no record" in judge(tmp_path, name).ours
    transfer(tmp_path, dataset, lambda cell, seed: one_better(cell, seed) if seed == 0 else None)
    assert judge(tmp_path, name).verdict == OPEN and "8 of 9 positive (one run, no test)" in judge(tmp_path, name).ours
    shutil.rmtree(tmp_path / "cells")
    transfer(tmp_path, dataset, one_better)
    assert judge(tmp_path, name).verdict == FAILS  # eight of nine are worse, one is better
    shutil.rmtree(tmp_path / "cells")
    transfer(
        tmp_path, dataset, lambda cell, seed: None if cell.startswith("random") else max(17.0, one_better(cell, seed)) + (cell == "PNAS")
    )
    assert judge(tmp_path, name).verdict == HOLDS


@pytest.mark.parametrize(("asap", "verdict"), [(16.0, HOLDS), (20.0, FAILS), (18.0, OPEN)])
def test_random_cells_are_one_arm_with_a_value_a_cell(tmp_path, asap, verdict):
    random = {f"random-{i}": 17.6 + 0.2 * i for i in range(5)}
    transfer(
        tmp_path, "cifar10", lambda cell, seed: random.get(cell, asap if cell == "ASAP" else None) and random.get(cell, asap) + 0.1 * seed
    )
    published = judge(tmp_path, "The published cell is better than other cells")
    assert published.verdict == verdict and published.scale == "cpu, n = 5 (Random cells), 3 (the published ASAP cell)"
    errors(tmp_path, ASAP=(asap, asap + 0.1, asap - 0.1))
    own = judge(tmp_path, "ASAP finds are better than other cells")
    assert own.verdict == verdict and f"Random cells: {18.1 - asap:+.2f} points" in own.ours


@pytest.mark.parametrize(
    ("sizes", "verdict"),
    [({"M": (4.0, 4.1), "A": (4.2, 4.3)}, HOLDS), ({"M": (1.0, 1.1), "A": (4.2, 4.3)}, FAILS), ({"M": (4.0,), "A": (4.1,)}, OPEN)],
)
def test_larger_cells(tmp_path, sizes, verdict):
    rows = []
    for label, millions in (("ASAP", (2.5, 2.6)), ("Magnitude, p = 3", sizes["M"]), ("Accumulated gradient, p = 3", sizes["A"])):
        for seed, million in enumerate(millions):
            planned = plans("methods")["search", label, seed]
            pose_search(tmp_path, planned)
            rows.append({"cell": planned.name, "channels": 36, "parameters": 1e6 * million, "multiply_adds": 1})
    (tmp_path / "sizes").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "sizes" / "cifar10.csv", index=False)
    assert judge(tmp_path, "cells are larger").verdict == verdict


@pytest.mark.parametrize(
    ("by_width", "error", "wider"),
    [
        ({50: (1.7, 1.9)}, HOLDS, OPEN),
        ({50: (2.2, 2.3)}, FAILS, OPEN),
        ({50: (1.7, 2.3)}, INCONCLUSIVE, OPEN),
        ({50: (1.7,)}, SEEN, OPEN),
        ({36: (1.2, 1.3)}, OPEN, OPEN),  # at 36 channels it tells nothing of 50
        ({36: (2.5, 2.51, 2.52), 44: (2.0, 2.01, 2.02), 50: (1.5, 1.51, 1.52)}, HOLDS, HOLDS),
        ({36: (1.0, 1.01, 1.02), 44: (2.0, 2.01, 2.02), 50: (1.5, 1.51, 1.52)}, HOLDS, FAILS),
    ],
)
def test_the_paper_s_error_is_judged_at_its_width(tmp_path, by_width, error, wider):
    for channels, values in by_width.items():
        for seed, value in enumerate(values):
            given = {"cell": "ASAP", "dataset": "cifar10", "scale": "paper", "seed": seed, "study": "cells", "channels": channels}
            name = f"cells/asap-{channels}-{seed}"
            pose(tmp_path, SimpleNamespace(name=name, parameters=make(EvaluationParameters, given)), value)
    assert (judge(tmp_path, "error").verdict, judge(tmp_path, "wider").verdict) == (error, wider)


def test_sizes_follow_what_is_computed(tmp_path):
    assert judge(tmp_path, "size", channels=36).verdict == judge(tmp_path, "under 600 M").verdict == OPEN
    shutil.copytree(checkout() / "runs" / "sizes", tmp_path / "sizes")
    assert [judge(tmp_path, "size", channels=c).verdict for c in (36, 44, 50)] == [HOLDS, HOLDS, FAILS]
    assert (judge(tmp_path, "network has 5.7 M").verdict, judge(tmp_path, "under 600 M").verdict) == (OPEN, HOLDS)
    frame = pd.read_csv(tmp_path / "sizes" / "imagenet.csv")
    frame.assign(with_auxiliary=5.71e6, multiply_adds=610e6).to_csv(tmp_path / "sizes" / "imagenet.csv", index=False)
    assert (judge(tmp_path, "network has 5.7 M").verdict, judge(tmp_path, "under 600 M").verdict) == (HOLDS, FAILS)
    frame.assign(without_attention=5.8e6).to_csv(tmp_path / "sizes" / "imagenet.csv", index=False)
    assert judge(tmp_path, "network has 5.7 M").verdict == FAILS  # no reduction of SE makes a network so small


@pytest.mark.parametrize("name", ["transfer", "best_known", "imagenet_second"])
def test_printed_numbers_that_are_only_read_again_are_as_printed(tmp_path, monkeypatch, name):
    assert judge(tmp_path, name).verdict == PRINTED
    table = tables.paper()["table2"]
    rows = [{**row, "errors": [90.0 if row["architecture"] == "ASAP" else e for e in row["errors"]]} for row in table["rows"]]
    changed = {**tables.paper(), "table2": {**table, "rows": rows}}
    monkeypatch.setattr(tables, "paper", lambda: changed)
    assert judge(tmp_path, name).verdict == FAILS


def test_every_claim_has_a_judge_a_kind_of_evidence_and_a_page():
    pages = {path.relative_to(checkout() / "book").with_suffix("").as_posix() for path in (checkout() / "book").rglob("*.*")}
    for claim in claims.claims():
        assert claim.evidence in claims.EVIDENCE and claim.page in pages and claim.test
        assert any(hasattr(module, claim.judge) for module in claims.JUDGES)


def test_every_verdict_is_counted_on_the_front_page():
    found = {verdict.verdict for _, verdict in claims.judged(checkout() / "runs")}
    assert found <= set(verdicts.SUMMARY)


def test_the_p_value_of_a_claim_is_the_largest_and_of_its_opposite_the_smallest():
    high, low = Difference((3.0, 3.1, 2.9), (1.0, 1.2, 0.8)), Difference((1.4, 1.9, 1.5), (1.0, 1.2, 0.8))
    below = Difference((0.1, 0.2, 0.3), (1.0, 1.2, 0.8))
    assert verdicts.Tested({"a": high, "b": low}).p() == low.p() > high.p()
    assert verdicts.Tested({"a": high, "b": below}).p() == 2 * below.p()

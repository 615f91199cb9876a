"""The comparison that book/design.md fixed, on fabricated frames."""

import json

import numpy as np
import pandas as pd
import pytest
from posed import pose_search
from scipy import stats

from asap.records.parameters import checkout
from asap.records.run import own_digest
from asap.records.study import load
from asap.report import design
from asap.report.design import BETTER, COLUMNS, LOOKS, RANDOM, UNDECIDED, WORSE
from asap.report.inference import simultaneous

FIRST = {"ASAP": 100, "DARTS": 200, "Magnitude, p = 3": 300, "Accumulated gradient, p = 1": 400, "ENAS": 500, "Random search": 600}


def frames(counts, means, evaluated=True, seed=0, **changed):
    """Searches, evaluations and scores with arms of these means (scores; an error is 20 less) and a deviation of 0.1. The parameters of
    all cells are drawn alike, and a cell of e times the size scores 0.5 more."""
    rng = np.random.default_rng(seed)
    runs = [(arm, first + i) for arm, first in FIRST.items() for i in range(counts.get(arm, 0))]
    cells = [(arm, f"design/{arm}-{number}", number) for arm, number in runs] + [(RANDOM, name, 0) for name in design.RANDOM_CELLS]
    size = rng.normal(0, 0.05, len(cells))
    score = np.array([means.get(arm, 90.0) for arm, _, _ in cells]) + rng.normal(0, 0.1, len(cells)) + 0.5 * size
    millions = 2.5 * np.exp(size)
    n = len(runs)
    columns = {"copy": design.LOSSLESS, "started": "2026-11-27T00:00:00+00:00"} | changed
    searches = pd.DataFrame(
        {"arm_design": [arm for arm, _ in runs], "seed": [s for _, s in runs], "run": [name for _, name, _ in cells[:n]]}
    ).assign(parameters_36=millions[:n], arm_design2="", **columns)
    evaluations = pd.DataFrame({"cell": [name for _, name, _ in cells], "error": 110 - score, "parameters_36": millions})
    evaluations = evaluations.assign(by_recipe=True, copy=design.LOSSLESS, scale="cpu")[: n if evaluated else 0]
    scores = pd.DataFrame({"cell": [name for _, name, _ in cells], "score": score, "parameters": 1e6 * millions, "extrapolates": False})
    return searches, evaluations, scores


def of(frame, arm, outcome="score", adjusted=False):
    rows = frame[(frame["arm"] == arm) & (frame["outcome"] == outcome) & (frame["adjusted"] == adjusted)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_the_arms_and_numbers_are_those_of_the_page_and_of_the_study():
    planned = [p for p in load("design").planned if p.kind == "search"]
    for look in LOOKS:
        counted = {label: sum(p.label == label for p in planned) for label in FIRST}
        assert counted == {arm: n for arm, n in LOOKS[look].items() if arm != RANDOM}
        seeds = {label: sorted(p.parameters.seed for p in planned if p.label == label) for label in FIRST}
        assert seeds == {label: list(range(first, first + counted[label])) for label, first in FIRST.items()}
        planned = planned + [p for p in load("design2").planned if p.kind == "search"]
    page = (checkout() / "book" / "design.md").read_text(encoding="utf-8")
    assert "0.0061" in page and "0.0477" in page and "`random-1000` to `random-1199`" in page and len(design.RANDOM_CELLS) == 200
    for look, level in design.LEVELS.items():
        assert 2 * stats.norm.sf({1: 2.74, 2: 1.98}[look]) == pytest.approx(level, abs=1e-4)


def test_before_the_first_look_nothing_is_computed():
    frame = design.comparison(*frames({**LOOKS[1], "ENAS": 3}, {}))
    assert list(frame.columns) == COLUMNS and len(frame) == 2 * 7 + 2 * 6 and frame["difference"].isna().all() and set(frame["look"]) == {0}
    assert set(frame["verdict"]) == {"look 1 is not complete: 29 of 30 searches"}


@pytest.mark.parametrize("changed", [{"copy": "cifar10-jpeg75 0"}, {"copy": "cifar10 0"}, {"started": "2026-11-26T13:00:00+00:00"}])
def test_a_run_on_other_images_or_older_than_the_page_never_joins(changed):
    assert set(design.comparison(*frames(LOOKS[1], {}, **changed))["verdict"]) == {"look 1 is not complete: 0 of 30 searches"}


def test_the_first_look_decides_by_dunnett_s_test():
    searches, evaluations, scores = frames(LOOKS[1], {"ASAP": 91.0, "DARTS": 92.0, "ENAS": 91.02})
    frame = design.comparison(searches, evaluations, scores)
    assert [of(frame, arm)["verdict"] for arm in ("DARTS", "ENAS", RANDOM)] == [WORSE, UNDECIDED, BETTER]
    assert of(frame, "DARTS", "error")["verdict"] == WORSE and of(frame, "DARTS", "error")["difference"] < 0  # a lower error is better
    groups = {arm: scores.set_index("cell")["score"][searches.loc[searches["arm_design"] == arm, "run"]] for arm in FIRST}
    groups[RANDOM] = scores.set_index("cell")["score"][design.RANDOM_CELLS]
    others = [arm for arm in LOOKS[1] if arm != "ASAP"]
    found = stats.dunnett(*(groups[arm] for arm in others), control=groups["ASAP"], rng=np.random.default_rng(0))
    for i, arm in enumerate(others):
        row = of(frame, arm)
        assert row["p"] == pytest.approx(found.pvalue[i], abs=1e-4) and row["look"] == 1 and row["n"] == LOOKS[1][arm]
        assert row["difference"] == pytest.approx(groups[arm].mean() - groups["ASAP"].mean())
        assert (row["low"] > 0 or row["high"] < 0) == (row["p"] < 0.0061)


def test_what_is_undecided_says_what_could_have_been_shown():
    """Of many fabricated first looks with a true difference of that size, four in five find it."""
    size = of(design.comparison(*frames(LOOKS[1], {})), "DARTS", adjusted=True)["detectable"]
    rng, critical, hits = np.random.default_rng(1), None, 0
    df = sum(LOOKS[1].values()) - 7
    error = 0.1 * np.sqrt(1 / 6 + 1 / 8)
    critical = stats.t.ppf(1 - 0.0061 / 2 / 4, df)  # between no correction and Bonferroni's of six
    hits = np.mean(np.abs(rng.normal(size, error, 4000)) / error > critical)
    assert 0.7 < hits < 0.9


def test_size_is_adjusted_for_by_the_slope_within_the_arms():
    frame = pd.DataFrame({"arm": ["a"] * 3 + ["b"] * 3, "size": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})
    frame["value"] = 2 * frame["size"] + (frame["arm"] == "b") * 1.0
    adjusted = design.size_adjusted(frame)
    assert adjusted.groupby(frame["arm"]).mean().diff().iloc[-1] == pytest.approx(1.0)
    raw, equal = (of(design.comparison(*frames(LOOKS[1], {"DARTS": 90.2})), "DARTS", adjusted=a) for a in (False, True))
    assert equal["high"] - equal["low"] < raw["high"] - raw["low"]  # what sizes explained is gone


def test_errors_count_once_every_cell_of_the_look_is_evaluated():
    searches, evaluations, scores = frames(LOOKS[1], {"DARTS": 92.0})
    frame = design.comparison(searches, evaluations.iloc[1:], scores)
    assert of(frame, "DARTS", "error")["verdict"] == "look 1 by error waits for that of every cell of ASAP"
    assert of(frame, "DARTS")["verdict"] == WORSE
    frame = design.comparison(searches, evaluations.iloc[:-1], scores)  # an arm that lacks one keeps all waiting: a look is one test
    for arm in ("DARTS", "Random search"):
        assert of(frame, arm, "error")["verdict"] == "look 1 by error waits for that of every cell of Random search"
        assert of(frame, arm, "error")["look"] == 0 and np.isnan(of(frame, arm, "error")["difference"])
    frame = design.comparison(searches, evaluations, scores)
    assert of(frame, "DARTS", "error")["verdict"] == WORSE and of(frame, "DARTS", "error")["look"] == 1
    assert RANDOM not in set(frame.loc[frame["outcome"] == "error", "arm"])  # which are scored alone


def test_the_second_look_takes_twice_the_searches_and_its_own_level():
    counts = {**LOOKS[2], "ENAS": 7}
    between = design.comparison(*frames(counts, {"DARTS": 90.15}))
    assert of(between, "DARTS")["n"] == 6 and of(between, "DARTS")["look"] == 1  # the first searches alone, until all are there
    frame = design.comparison(*frames(LOOKS[2], {"DARTS": 90.15}))
    row = of(frame, "DARTS")
    assert row["n"] == 12 and row["look"] == 2 and (row["verdict"] == WORSE) == (row["p"] < 0.0477)
    assert row["detectable"] < of(between, "DARTS")["detectable"]


def test_what_the_first_look_decides_stays_decided():
    """Also while the second look's searches are there and their scores and errors are not, and where the second look would not say so."""
    searches, evaluations, scores = frames(LOOKS[2], {"DARTS": 92.0, "ENAS": 90.05})
    first = searches.groupby("arm_design")["run"].head(8).tolist()
    early = [name for arm in FIRST for name in searches.loc[searches["arm_design"] == arm, "run"].head(LOOKS[1][arm])] + design.RANDOM_CELLS
    known, tested = scores[scores["cell"].isin(early)], evaluations[evaluations["cell"].isin(early)]
    frame = design.comparison(searches, tested, known)
    assert len(first) == 8 * 6 and set(frame["look"]) <= {0, 1}
    for outcome in ("score", "error"):
        assert (of(frame, "DARTS", outcome)["verdict"], of(frame, "DARTS", outcome)["n"]) == (WORSE, 6)
    late = (scores["cell"].str.contains("DARTS")) & ~scores["cell"].isin(early)
    frame = design.comparison(searches, evaluations, scores.assign(score=scores["score"].mask(late, 88.0)))
    assert (of(frame, "DARTS")["verdict"], of(frame, "DARTS")["look"], of(frame, "DARTS")["n"]) == (WORSE, 1, 6)
    assert (of(frame, "ENAS")["look"], of(frame, "ENAS")["n"]) == (2, 8)  # what it left open is decided at the second


@pytest.mark.parametrize("sized", [0, 1, 29, 30])
def test_an_adjusted_comparison_waits_for_the_sizes(sized):
    """Of evaluated cells of which none, one, all but one or all have a size."""
    searches, evaluations, scores = frames(LOOKS[1], {"DARTS": 92.0})
    without = {"parameters_36": np.nan}
    frame = design.comparison(
        searches.assign(parameters_36=searches["parameters_36"].where(np.arange(len(searches)) < sized)), evaluations.assign(**without),
        scores.iloc[:0],
    )  # fmt: skip
    assert [of(frame, "DARTS", "error", adjusted)["verdict"] == WORSE for adjusted in (False, True)] == [True, sized == 30]
    waits = of(frame, "ENAS", "error", adjusted=True)
    assert (waits["look"] == 0) == waits["verdict"].startswith("look 1 by error waits for that and the size of every cell") == (sized < 30)


def test_without_scores_it_says_so(tmp_path):
    frame = design.recorded(tmp_path)
    assert set(frame["verdict"]) == {"look 1 is not complete: 0 of 30 searches"} and design.scores(tmp_path).empty
    searches, evaluations, scores = frames(LOOKS[1], {})
    frame = design.comparison(searches, evaluations, scores.iloc[:0])
    assert of(frame, "DARTS")["verdict"].startswith("look 1 by score waits for that of every cell of ASAP, DARTS")


def test_values_without_deviation_have_no_test():
    searches, evaluations, scores = frames(LOOKS[1], {})
    frame = design.comparison(searches, evaluations, scores.assign(score=90.0))
    assert set(frame[frame["outcome"] == "score"]["verdict"]) == {"no deviation, no test"}


def test_dunnett_s_test_from_a_covariance_is_scipy_s_where_nothing_is_adjusted():
    rng = np.random.default_rng(3)
    base, *others = (rng.normal(size=n) for n in (8, 6, 4, 30))
    found = stats.dunnett(*others, control=base, rng=np.random.default_rng(0))
    bounds = found.confidence_interval(0.95)
    differences = np.array([np.mean(other) - np.mean(base) for other in others])
    df = sum(map(len, (base, *others))) - 4
    variance = sum(((group - group.mean()) ** 2).sum() for group in (base, *others)) / df
    covariance = variance * (np.diag([1 / len(other) for other in others]) + 1 / len(base))
    p, critical = simultaneous(differences, covariance, df, 0.05)
    assert p == pytest.approx(found.pvalue, abs=2e-4)
    assert differences + critical * np.sqrt(np.diag(covariance)) == pytest.approx(bounds.high, abs=0.01)


def test_an_adjusted_comparison_knows_that_its_slope_is_estimated():
    """The covariance is that of the least-squares fit of arms and size: plain linear algebra gives the same standard errors."""
    searches, evaluations, scores = frames(LOOKS[1], {})
    rows = design.comparison(searches, evaluations.assign(parameters_36=lambda f: f["parameters_36"] * np.where(f.index < 8, 1.3, 1)),
                             scores.assign(parameters=lambda f: f["parameters"] * np.where(f.index < 8, 1.3, 1)))  # fmt: skip
    score = scores["score"].to_numpy()
    arm = pd.get_dummies([*searches["arm_design"], *[RANDOM] * 200])[list(LOOKS[1])].to_numpy(float)  # (cells, arms)
    size = np.log(scores["parameters"] * np.where(scores.index < 8, 1.3, 1)).to_numpy()
    x = np.column_stack([arm[:, 1:], np.ones(len(arm)), size])
    fit, residual, *_ = np.linalg.lstsq(x, score, rcond=None)
    errors = np.sqrt(np.diag(np.linalg.inv(x.T @ x)) * residual[0] / (len(x) - x.shape[1]))
    for i, label in enumerate(list(LOOKS[1])[1:]):
        row = of(rows, label, adjusted=True)
        assert row["difference"] == pytest.approx(fit[i])
        assert (row["high"] - row["low"]) / errors[i] == pytest.approx(
            2 * 3.25, abs=0.25
        )  # between Dunnett's of one and Bonferroni's of six


def test_failures_are_listed_until_and_after_the_search_has_ended(tmp_path):
    parameters = {label: next(p for p in load("design").planned if p.label == label) for label in ("ENAS", "ASAP")}
    for label, repeated in (("ENAS", False), ("ASAP", True)):
        planned = parameters[label]
        pose_search(tmp_path, planned)
        path = tmp_path / planned.name / "run.json"
        info = {**json.loads(path.read_text()), **({"failures": ["no room"]} if repeated else {"status": "failed", "reason": "no room"})}
        info["digest"] = own_digest(info)
        path.write_text(json.dumps(info))
    found = design.failures(tmp_path)
    assert found.to_numpy().tolist() == [[parameters["ASAP"].name, "finished", "no room"], [parameters["ENAS"].name, "failed", "no room"]]

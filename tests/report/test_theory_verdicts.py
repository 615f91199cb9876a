"""Verdicts on the theory from fabricated tables: true, false and undecidable."""

import pandas as pd
import pytest

from asap.records.run import MissingRecord
from asap.report import theory_verdicts
from asap.report.theory_verdicts import STATEMENTS, statement
from asap.report.verdicts import DIRECTION, FAILS, HOLDS, INCONCLUSIVE, OPEN


def tables(**changed):
    """Tables by which every statement holds, but for what is changed: `name__key__column` of a row."""
    common = {"operations": 7, "gap": 0.1, "delta": 0.1, "nu_power": 0.0, "horizon": 10**6, "repetitions": 100}
    found = {
        "statements": pd.DataFrame({
            "statement": ["Lemma 1", "Corollary 4", "Claim 1: pruned ⇒ (10)", "Claim 1: (10) ⇒ pruned"],
            "value": [0.9, 0.9, 0.0, 0.0], "cases": 1000,
        }),
        "exact": pd.DataFrame({
            "quantity": ["escape", "pair phi"], "schedule": "theorem2", "shrink": 1, "horizon": 500, "probability": 0.001, "allowed": 0.01,
        }),
        "reference": pd.DataFrame({
            "schedule": ["literal", "theorem2"], "failures": 0, "finished": 100, "high": 0.01, "stop_median": 10.0, **common,
        }),
        "breaks": pd.DataFrame({"case": ["the best starts behind", "ties", "coupled"], "failures": 0, "finished": 100, **common}),
        "certified": pd.DataFrame({"case": ["a", "b"], "part": "validity", "failures": 1, "high": 0.05, **common}),
        "schedules": pd.DataFrame({
            "name": ["Theorem 2"] * 2 + ["exponential, T₀ = 1.3"] * 2, "gap": [0.05, 0.2] * 2, "ended": [0.0, 1.0, 0.9, 1.0],
            "last_epoch": [50.0, 30.0, 44.0, 26.0],
        }),
    }  # fmt: skip
    for place, value in changed.items():
        name, key, column = place.split("__")
        frame = found[name]
        frame[column] = frame[column].astype(float).mask(frame.iloc[:, 0] == key.replace("_", " "), value)
    return found


CASES = [
    *((key, {}, HOLDS) for key in STATEMENTS),
    ("lemma1", {"statements__Lemma_1__value": 1.1}, FAILS),
    ("corollary4", {"statements__Corollary_4__value": 1.1}, FAILS),
    ("claim1", {"statements__Claim_1:_(10)_⇒_pruned__value": 3}, DIRECTION),
    ("claim1", {"statements__Claim_1:_pruned_⇒_(10)__value": 3}, FAILS),
    ("theorem3", {"exact__escape__probability": 0.02}, FAILS),
    ("theorem2", {"reference__literal__failures": 100}, DIRECTION),  # as printed it is false, mended it holds
    ("theorem2", {"breaks__the_best_starts_behind__failures": 1}, DIRECTION),
    ("theorem2", {"reference__literal__failures": 100, "reference__theorem2__high": 0.06}, FAILS),
    ("theorem2-mended", {"reference__theorem2__high": 0.06}, FAILS),
    ("theorem2-mended", {"exact__pair_phi__probability": 0.006}, FAILS),
    ("ends", {"breaks__ties__finished": 0}, DIRECTION),
    ("ends", {"reference__theorem2__finished": 99}, FAILS),
    ("theorem2-time", {"reference__theorem2__stop_median": 1e9}, FAILS),
    ("theorem-c", {"certified__b__high": 0.11}, FAILS),
]


@pytest.mark.parametrize(("key", "changed", "verdict"), CASES)
def test_a_statement_is_judged_by_its_tables(monkeypatch, tmp_path, key, changed, verdict):
    found = tables(**changed)
    monkeypatch.setattr(theory_verdicts, "results", lambda root, name: found[name])
    assert statement(tmp_path, key).verdict == verdict


@pytest.mark.parametrize(
    ("ended", "epoch", "verdict"),
    [((0.0, 1.0), 20.0, INCONCLUSIVE), ((0.0, 0.9), 20.0, HOLDS), ((0.95, 1.0), 20.0, FAILS)],
)
def test_the_theorem_s_schedule_is_slower_at_every_gap_or_not(monkeypatch, tmp_path, ended, epoch, verdict):
    found = tables()["schedules"]
    found.loc[:1, "ended"], found.loc[1, "last_epoch"] = ended, epoch
    monkeypatch.setattr(theory_verdicts, "results", lambda root, name: found)
    assert statement(tmp_path, "slow").verdict == verdict


@pytest.mark.parametrize("key", STATEMENTS)
def test_without_a_table_nothing_is_told(monkeypatch, tmp_path, key):
    def missing(root, name):
        raise MissingRecord(name)

    monkeypatch.setattr(theory_verdicts, "results", missing)
    assert statement(tmp_path, key).verdict == OPEN

"""Verdicts on the course of searches from fabricated records: true, false and undecidable."""

from types import SimpleNamespace

import pandas as pd
import pytest
from judging import PILOT, judge, plans, run_searches
from posed import cut, pose_search

from asap.records.parameters import make
from asap.report import claims_search, tables, verdicts
from asap.report.verdicts import FAILS, HOLDS, INCONCLUSIVE, OPEN, SEEN, SHOWN, UNSEEN


def course(**columns):
    return [{"epochs": {name: list(values) for name, values in columns.items()}}] * 2


def pruning(accuracy):
    """Two searches that prune in their second epoch, to this validation accuracy."""
    return course(validation_accuracy=(0.6, accuracy), operations_normal=(98, 90))


ZERO, TWICE = course(entropy_normal=(0.9, 0.0), entropy_reduce=(0.9, 0.0)), course(operations_normal=(98, 90, 80))
FASTER = course(seconds_weights=(60, 60, 0), operations_normal=(98, 98, 50))


def timed(*seconds):
    return course(seconds_weights=seconds)


ONCE = verdicts.LIKE_FOR_LIKE
LEFT = {"undecided_edges": {"normal": 10, "reduce": 9}, "decided": False}
SEARCHES = [
    ("converges to a single", {"ASAP": [{}, {}]}, HOLDS),
    ("converges to a single", {"ASAP": [LEFT, LEFT]}, FAILS),
    ("converges to a single", {"ASAP": [LEFT], "T₀ = 1.6": [{}]}, INCONCLUSIVE),  # one of its readings ends so
    ("converges to a single", {"ASAP": [{}]}, SEEN),
    ("five grace", {"ASAP": [{"epochs": {"alpha_steps": [0] * 5 + [78]}}] * 2}, HOLDS),
    ("five grace", {"ASAP": [{"epochs": {"alpha_steps": [0] * 4 + [78]}}] * 2}, FAILS),
    ("removed smoothly", {"ASAP": [{"epochs": {"operations_normal": [98, 90, 80, 60]}}] * 2}, HOLDS),
    ("removed smoothly", {"ASAP": [{"epochs": {"operations_normal": [98, 90, 80, 30]}}] * 2}, FAILS),
    ("removed smoothly", {"ASAP": [{"operations_left": {"normal": 98, "reduce": 98}}] * 2}, FAILS),  # its cut at the end is the cliff
    ("shortens the epochs", {"ASAP": [{"epochs": {"seconds_weights": [90.0, 0.0]}}] * 2}, HOLDS),
    ("shortens the epochs", {"ASAP": [{}, {}]}, FAILS),
    ("entropy decreases", {"ASAP": [{"epochs": {"entropy_normal": [0.9, 0.0], "entropy_reduce": [0.9, 0.0]}}] * 2}, HOLDS),
    ("entropy decreases", {"ASAP": [{}, {}]}, FAILS),
    ("entropy of DARTS and ENAS", {"DARTS": [{}, {}], "ENAS": [{}, {}]}, HOLDS),
    ("entropy of DARTS and ENAS", {"DARTS": [{}], "ENAS": [{}, {}]}, SEEN),
    ("entropy of DARTS and ENAS", {k: [{"epochs": {"entropy_normal": [0.9, 0.1]}}] * 2 for k in ("DARTS", "ENAS")}, FAILS),
    ("entropy of DARTS and ENAS", {"DARTS": [{"epochs": {"entropy_normal": [0.9, 0.1]}}] * 2, "ENAS": [{}, {}]}, INCONCLUSIVE),
    ("arbitrary_choice", {"DARTS": [{"phi": [[0.5, 0.45]]}] * 2}, HOLDS),
    ("arbitrary_choice", {"DARTS": [{"phi": [[0.9, 0.1]]}] * 2}, FAILS),
    ("hard cut comes", {"DARTS": [{**LEFT, "cut": cut(30, 20)}] * 2}, HOLDS),
    ("hard cut comes", {"DARTS": [{**LEFT, "cut": cut(59, 20)}] * 2}, FAILS),  # at the stage of every method, not the derived cell
    ("hard cut comes", {"DARTS": [{}, {}]}, OPEN),  # without a cut
    ("no relaxation bias", {"ASAP": [{**LEFT, "cut": cut(59.5, 20)}] * 2}, HOLDS),
    ("no relaxation bias", {"ASAP": [{"cut": cut(30, 20)}] * 2}, HOLDS),  # decided: there is no cut to one operation an edge
    ("no relaxation bias", {"ASAP": [{**LEFT, "cut": cut(30, 20)}] * 2, "magnitude": [{"cut": cut(60, 60)}] * 3}, FAILS),  # ASAP alone
    ("no relaxation bias", {"ASAP": [{**LEFT, "cut": cut(30, 20)}, {"cut": cut(60, 20)}]}, INCONCLUSIVE),
    ("smaller_perturbations", {"ASAP": pruning(0.58), "accumulated": pruning(0.1), ONCE: pruning(0.55)}, HOLDS),
    ("smaller_perturbations", {"ASAP": pruning(0.58), "accumulated": pruning(0.1), ONCE: pruning(0.05)}, FAILS),  # like for like
    ("smaller_perturbations", {"ASAP": pruning(0.58), "accumulated": pruning(0.1)}, OPEN),  # which is not known
    ("smaller_perturbations", {"ASAP": pruning(0.1), "accumulated": pruning(0.5)}, FAILS),
    ("smaller_perturbations", {"ASAP": pruning(0.1) + pruning(0.58)[:1], "accumulated": pruning(0.5)}, INCONCLUSIVE),
    ("more frequent", {"ASAP": TWICE, "accumulated": course(operations_normal=(98, 98, 80))}, HOLDS),
    ("more frequent", {"ASAP": [{}, {}], "accumulated": course(operations_normal=(98, 98, 80))}, FAILS),
    ("Gradual pruning", {"ASAP": FASTER, "annealed": timed(60, 60, 60)}, HOLDS),
    ("Gradual pruning", {"ASAP": timed(60, 60, 60, 60), "annealed": timed(60, 60, 60)}, FAILS),
    ("five grace", {"ASAP": [{"epochs": {"alpha_steps": [0] * n + [78]}} for n in (4, 5)]}, INCONCLUSIVE),
    ("removed smoothly", {"ASAP": [{"epochs": {"operations_normal": [98, 90, 80, n]}} for n in (60, 30)]}, INCONCLUSIVE),
    ("shortens the epochs", {"ASAP": [{"epochs": {"seconds_weights": [90.0, 0.0]}}, {}]}, INCONCLUSIVE),
    ("ASAP's entropy decreases", {"ASAP": [{"epochs": {"entropy_normal": [0.9, 0.0], "entropy_reduce": [0.9, 0.0]}}, {}]}, INCONCLUSIVE),
    ("by accumulated gradients decreases", {"accumulated": ZERO}, HOLDS),
    ("by accumulated gradients decreases", {"accumulated": [{}, {}]}, FAILS),
    ("by accumulated gradients decreases", {"accumulated": [*ZERO[:1], {}]}, INCONCLUSIVE),
    ("by accumulated gradients decreases", {"ASAP": ZERO}, OPEN),
    ("arbitrary_choice", {"DARTS": [{"phi": [[0.5, 0.45]]}, {"phi": [[0.9, 0.1]]}]}, INCONCLUSIVE),
    ("more frequent", {"ASAP": [*TWICE[:1], {}], "accumulated": course(operations_normal=(98, 98, 80))}, INCONCLUSIVE),
    ("Gradual pruning", {"ASAP": FASTER[:1] + timed(60, 60, 60, 60)[:1], "annealed": timed(60, 60, 60)}, INCONCLUSIVE),
    ("lowest search cost", {"ASAP": [{}, {}], "DARTS": timed(90, 91), "ENAS": timed(70, 71)}, HOLDS),
    ("lowest search cost", {"ASAP": [{}, {}], "DARTS": timed(90, 91), "ENAS": timed(1, 1)}, FAILS),
    ("lowest search cost", {"ASAP": [{}, {}], "DARTS": timed(90, 91)}, OPEN),  # ENAS' is not known
    ("lowest search cost", {"ASAP": [{}, {}], "ENAS": timed(1, 1)}, FAILS),
    ("lowest search cost", {"ASAP": [{"machine": {"clock": "wall"}}] * 2, "DARTS": [{}] * 2}, OPEN),  # no clock of its own
]  # fmt: skip


@pytest.mark.parametrize(("name", "arms", "verdict"), SEARCHES)
def test_claims_on_the_course_of_searches(tmp_path, name, arms, verdict):
    run_searches(tmp_path, arms)
    assert judge(tmp_path, name).verdict == verdict


def test_the_searches_of_a_pilot_do_not_join_the_others(tmp_path):
    run_searches(tmp_path, {"ASAP": [{**LEFT, "variant": PILOT}] * 2})
    assert (found := judge(tmp_path, "converges to a single")).verdict == FAILS and found.scale == "cpu, pilot, n = 2"
    for seed in (100, 101):
        pose_search(tmp_path, plans("design")["search", "ASAP", seed], variant="cifar10")
    assert (found := judge(tmp_path, "converges to a single")).verdict == HOLDS and found.scale == "cpu, n = 2"


def test_a_verdict_stands_on_images_on_which_what_it_needs_is_recorded(tmp_path):
    """Whatever else a pilot has more of."""
    measured = {label: ends(*stages)[:1] for label, stages in {"ASAP": (70, 60, 50), "DARTS": (72, 20, 10), "ENAS": (30, 30, 30)}.items()}
    for label, runs in measured.items():
        pilot = [{**run, "variant": PILOT} for run in (ends(90, None, None) if label == "ASAP" else ends(60, 5, 5))]
        run_searches(tmp_path, {label: pilot})
        pose_search(
            tmp_path, plans("design")["search", label, {"ASAP": 100, "DARTS": 200, "ENAS": 500}[label]], variant="cifar10", **runs[0]
        )
    assert (found := judge(tmp_path, "highest_at_the_end")).verdict == UNSEEN and found.scale == "cpu, n = 1"
    assert judge(tmp_path, "lowest search cost").scale == "cpu, pilot, n = 2"  # which every arm's runs tell there


def test_a_search_with_and_without_its_certificates_counts_once(tmp_path):
    """They are one search to the bit; the one without them is timed."""
    watched = plans("certified")["search", "ASAP, by its threshold", 0]
    pose_search(tmp_path, watched, **LEFT)
    assert (found := judge(tmp_path, "converges to a single")).scale == "cpu, n = 1"
    assert set(verdicts.arms(tmp_path, ["ASAP"])["ASAP"]["run"]) == {watched.name}
    run_searches(tmp_path, {"ASAP": [LEFT, LEFT]})
    assert (found := judge(tmp_path, "converges to a single")).scale == "cpu, n = 2" and found.verdict == FAILS
    (plain,) = verdicts.arms(tmp_path, ["ASAP"]).values()
    assert sorted(plain["seed"]) == [0, 1] and plain["clocked"].all() and watched.name not in set(plain["run"])


def ends(accuracy, one_operation, derived, noise=0.0):
    course = [0.3, 0.4, 0.5, 0.5 + noise, 0.5, 0.5 + noise]
    cuts = {"cut": cut(one_operation, derived)} if one_operation else {}
    return [{"validation_accuracy": accuracy / 100 + d, "epochs": {"validation_accuracy": course}, **cuts} for d in (0, 0.001)]


@pytest.mark.parametrize(
    ("asap", "darts", "verdict"),
    [
        (ends(70, 60, 50), ends(65, 20, 10), HOLDS),
        (ends(70, 60, 9), ends(65, 20, 10), FAILS),  # at all three stages
        (ends(70, None, None), ends(65, 20, 10), OPEN),  # two of them not recorded
        (ends(60, None, None), ends(65, 20, 10), FAILS),  # and one counterexample is enough
        (ends(70, 60, 50)[:1], ends(65, 20, 10), SEEN),
    ],
)
def test_the_highest_accuracy_is_asked_at_every_stage_of_asap_itself(tmp_path, asap, darts, verdict):
    run_searches(tmp_path, {"ASAP": asap, "DARTS": darts, verdicts.LIKE_FOR_LIKE: ends(90, 90, 90)})
    of_two = judge(tmp_path, "highest_at_the_end").verdict  # a superlative waits for every other, its counterexample does not
    assert of_two == (OPEN if verdict in (HOLDS, SEEN) else verdict)
    run_searches(tmp_path, {"ENAS": ends(30, 5, 5), "Accumulated gradient, p = 1": ends(10, 5, 5)})
    assert judge(tmp_path, "highest_at_the_end").verdict == verdict


@pytest.mark.parametrize(
    ("enas", "noise", "verdict"), [(30, 0.05, HOLDS), (80, 0.05, FAILS), (30, 0.0001, FAILS), (65, 0.05, INCONCLUSIVE)]
)
def test_enas_is_low_and_noisy(tmp_path, enas, noise, verdict):
    run_searches(tmp_path, {"ASAP": ends(64.95, 1, 1, 0.2), "DARTS": ends(70, 1, 1, 0.01), "ENAS": ends(enas, 1, 1, noise)})
    assert judge(tmp_path, "enas_low_and_noisy").verdict == verdict


@pytest.mark.parametrize(
    ("device", "hours", "verdict"),
    [
        ("NVIDIA GeForce GTX 1080 Ti", 4.7, HOLDS),
        ("NVIDIA GeForce GTX 1080 Ti", 9.0, FAILS),
        ("NVIDIA H100 80GB HBM3", 1.0, SHOWN),
        ("cpu", 20.0, SHOWN),
    ],
)
def test_search_hours_are_judged_on_the_paper_s_card_alone(tmp_path, device, hours, verdict):
    for seed in range(2):
        planned = plans("methods")["search", "ASAP", seed]
        parameters = make(
            type(planned.parameters), {"method": "asap", "dataset": "cifar10", "scale": "paper", "seed": seed, "study": "main"}
        )
        run = SimpleNamespace(name=f"main/paper-{seed}", parameters=parameters)
        pose_search(tmp_path, run, machine={"device": device}, seconds=3600 * hours, **LEFT)
    found = judge(tmp_path, "hours")
    assert found.verdict == verdict and f"{hours:.2f} h on" in found.ours
    run_searches(tmp_path, {"ASAP": [{}, {}]})
    converges = judge(tmp_path, "converges to a single")  # the largest scale decides; the other is said
    assert converges.verdict == FAILS and converges.scale == "paper, n = 2" and "at cpu, n = 2: 2 of 2 searches ended" in converges.ours


def test_the_temperature_at_the_end_is_computed(tmp_path, monkeypatch):
    assert judge(tmp_path, "final_temperature").verdict == HOLDS
    printed = {**tables.paper()["search"], "initial_temperature": 3.0}
    monkeypatch.setattr(tables, "paper", lambda: {"search": printed})
    assert judge(tmp_path, "final_temperature").verdict == FAILS


def test_a_range_of_one_number_is_that_number():
    spelt = [claims_search.spelt_range(pd.Series(values), 1) for values in ([10.0, 10.04], [2.5, 5.1], [2.5, 3.0, 5.1], [])]
    assert spelt == ["10.0", "2.5 and 5.1", "2.5 to 5.1", ""] and claims_search.spelt_range(pd.Series([19, 7, 21])) == "7 to 21"

"""Theorem C: the rule against its plain twin, its validity where it could break, and the limit of any rule."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import plain_theory
import pytest
import torch

from asap import cli
from asap.paper.equations import FRACTIONS
from asap.records.parameters import ParameterError, SearchParameters, make
from asap.records.run import Run
from asap.report.theory import median_intervals
from asap.search.certified import Certificate
from asap.search.methods import make_method
from asap.theory.bounds import expected_stop
from asap.theory.certified import CASES, Wealth, false_certificates, information, limit, predicted_steps
from asap.theory.simulate import Setting, simulate


def test_the_rule_is_its_plain_twin():
    rng = np.random.default_rng(2)
    means = np.array([0.5, -0.1, -0.5])
    gradients = rng.uniform(-0.5, 0.5, (4, 60, 3)) + means
    wealth, alive, gone = Wealth(4, 3), np.ones((4, 3), dtype=bool), np.zeros((4, 3))
    for t in range(60):
        g = gradients[:, t]
        wealth.bet((g[:, :, None] - g[:, None, :]) / 2, alive)
        hit = wealth.losers(alive, 0.1)
        alive &= ~hit
        gone[hit] = t + 1
    expected = [[step or 0 for step in plain_theory.run_rule(g, 0.1)] for g in gradients.tolist()]
    assert gone.tolist() == expected and (gone > 0).any()


def test_the_last_operation_stays():
    wealth, alive = Wealth(1, 2), np.ones((1, 2), dtype=bool)
    wealth.log[:, 0, 1], wealth.log[:, 1, 0] = 9.0, 8.0
    assert wealth.losers(alive, 0.1).tolist() == [[False, True]]
    certificate = Certificate((1, 3), torch.device("cpu"))
    certificate.certified[:] = 1.0
    certificate.wealth[0, 1, 2] = 4.0
    certificate.wealth[0, 2, 0] = 3.0
    assert certificate.losers(torch.ones(1, 3, dtype=torch.bool)).tolist() == [[True, False, True]]


def test_the_search_s_certificate_is_its_plain_twin():
    rng = np.random.default_rng(4)
    steps, n = 70, 4
    alive = np.ones((steps, n), dtype=bool)
    alive[40:, 2] = False
    phi = rng.dirichlet(np.full(n, 5.0), steps) * alive
    temperature = np.linspace(1, 0.3, steps)
    rewards = rng.standard_t(4, (steps, n)) + np.array([1.5, 0.0, -0.5, -2.0])
    gradients = -np.where(alive, phi / temperature[:, None] * (rewards - (phi * rewards).sum(1, keepdims=True)), 0.0)
    certificate = Certificate((1, n), torch.device("cpu"))
    for t in range(steps):
        step = [torch.from_numpy(array[t][None]) for array in (gradients, phi)]
        certificate.observe(*step, float(temperature[t]), torch.from_numpy(alive[t][None]))
    wealth, when = plain_theory.certificates(gradients.tolist(), phi.tolist(), temperature.tolist(), alive.tolist(), 0.1)
    assert certificate.against()[0].exp().tolist() == pytest.approx(wealth, rel=1e-9)
    assert certificate.certified[0].tolist() == [step or math.inf for step in when] and any(when)
    # the softmax's factor is out: the second moments are those of the rewards themselves
    moment = certificate.columns()["second_moment_1"][0, 0]
    assert float(moment) == pytest.approx(float(((rewards[:, 0] - rewards[:, 1]) ** 2).mean()), rel=1e-9)


def test_the_bets_read_nothing_back():
    """A meta tensor has no value, so any look at one would raise: a step needs no synchronisation with the host."""
    meta = torch.device("meta")
    certificate, alive = Certificate((2, 3), meta), torch.ones(2, 3, dtype=torch.bool, device=meta)
    certificate.begin_epoch()
    certificate.observe(torch.ones(2, 3, device=meta), torch.ones(2, 3, device=meta), 0.5, alive)
    assert certificate.losers(alive).shape == (2, 3)


@pytest.mark.parametrize("delta", [0.1, 0.01])
def test_recorded_validity(delta):
    """Every recorded case keeps δ, by the one-sided interval."""
    frame = Run.open(Path(__file__).parents[2] / "runs" / "theory" / "certified").results()
    cases = frame[(frame["part"] == "validity") & (frame["delta"] == delta)]
    assert set(cases["case"]) == set(CASES) and (cases["high"] <= delta).all()


def test_validity_has_power():
    """The rule with 1/δ tried eight times too small fails: the simulation would see a rule that is not valid."""
    found = false_certificates("adaptive means", 2, 0.8, 300, 400)
    assert found["failures"] / 300 > 0.1


def test_medians():
    for gap, median, noise, spread in ((1.0, 38, "rademacher", 1.0), (0.1, 147, "uniform", 0.02)):
        found = simulate(Setting(gap=gap, noise=noise, spread=spread, schedule="certified", repetitions=100))
        assert found.failures == 0 and found.finished == 100
        assert np.median(found.stops) == pytest.approx(median, rel=0.1)


def test_the_interval_of_a_median_is_that_of_its_repetitions():
    """Medians of 100 of 1,000 simulated stops lie within the interval that their quantiles give about 95 times in 100."""
    stops = simulate(Setting(gap=1.0, schedule="certified", repetitions=1000)).stops
    drawn = np.median(np.random.default_rng(0).choice(stops, (2000, 100)), axis=1)
    low, middle, high = np.quantile(stops, (0.05, 0.5, 0.95))
    frame = pd.DataFrame({"part": ["steps"], "stop_5": low, "stop_median": middle, "stop_95": high, "finished": 100})
    half = float(median_intervals(frame).split()[2])
    assert 0.9 < (abs(drawn - middle) <= half).mean() < 0.99


@pytest.mark.parametrize(("gap", "expected"), [(1.0, 7.6), (0.5, 28.7), (0.25, 113)])
def test_the_limit_of_any_rule(gap, expected):
    assert Setting(gap=gap).limit() == pytest.approx(expected, rel=0.01)
    x, weights = Setting(gap=gap).evidence()
    assert weights.sum() == pytest.approx(1) and float(x @ weights) == pytest.approx(gap / 2)
    grid = np.linspace(0, 1, 2001)[:-1]
    assert information(x, weights) == pytest.approx(max(float((np.log1p(f * x) * weights).sum()) for f in grid), rel=1e-5)
    assert predicted_steps(x, weights, 7, 0.1) > limit(x, weights, 0.1)


def test_the_limit_of_small_noise_and_of_ties():
    assert Setting(gap=0.1, noise="uniform", spread=0.02).limit() == pytest.approx(36, rel=0.01)
    assert Setting(gap=0.0).limit() is None and predicted_steps(np.array([-1.0, 1.0]), np.array([0.5, 0.5]), 7, 0.1) == math.inf
    assert Setting(gap=0.5, delta=0.6).limit() == 0  # a rule may then guess


@pytest.mark.parametrize("noise", ["uniform", "antithetic", "common", "unequal"])
def test_the_law_of_the_evidence_is_that_of_the_simulator(noise):
    from asap.theory.simulate import _draw

    setting = Setting(2, gap=0.4, noise=noise, spread=0.5)
    drawn = _draw(np.random.default_rng(0), setting, np.array([0.2, -0.2]), (20_000, 2))
    x, weights = setting.evidence()
    sample = (drawn[:, 0] - drawn[:, 1]) / 2
    assert sample.mean() == pytest.approx(float(x @ weights), abs=0.01)
    assert (sample**2).mean() == pytest.approx(float(x**2 @ weights), abs=0.01)


@pytest.mark.parametrize(("gap", "expected"), [(0.5, 2249), (0.25, 9850), (0.1, 68_405)])
def test_the_mended_theorem_s_expected_time(gap, expected):
    assert expected_stop(gap, 7, 0.1) == pytest.approx(expected, rel=1e-3)
    assert expected_stop(0.0, 7, 0.1) == math.inf


def test_fractions_are_the_twin_s():
    assert FRACTIONS.tolist() == pytest.approx(plain_theory.FRACTIONS)


def test_cli(capsys):
    assert cli.main(["theory", "--schedule", "certified", "--gap", "1", "--repetitions", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["failures"] == 0 and found["finished"] == 20 and found["limit"] == pytest.approx(7.64, abs=0.01)


def steps(method, count, seed=0):
    """Feed a method random gradients in which the second operation of every edge is the best (DARTS' first is none)."""
    stream = torch.Generator().manual_seed(seed)
    for _ in range(count):
        gradients = {}
        for kind, alpha in method.alpha.items():
            reward = torch.randn(alpha.shape, generator=stream) + torch.tensor([0.0, 3.0] + [0.0] * (alpha.shape[1] - 2))
            phi = method.phi(kind).detach()
            gradients[kind] = -phi / method.temperature * (reward - (phi * reward).sum(1, keepdim=True))
        method.apply(gradients)
        masks = method.to_prune(epoch_ends=False)
        if masks is not None:
            method.pruned(masks)


@pytest.mark.parametrize("name", ["asap", "darts"])
def test_a_method_that_is_bet_on(name):
    """Watching changes nothing; a certified search prunes exactly what was certified, and a resumed one goes on alike."""
    cpu, made = torch.device("cpu"), {}
    for rule in ("threshold", "watched", "certified"):
        made[rule] = method = make_method(make(SearchParameters, {"method": name, "scale": "paper", "prune_rule": rule}), cpu)
        method.begin_epoch(10)
        steps(method, 90)
    plain, watched, certified = (m.snapshot()["normal"] for m in made.values())
    for column, value in plain.items():
        assert np.array_equal(value, watched[column], equal_nan=True), column
    assert np.isfinite(certified["certified_step"]).any()
    assert (np.isfinite(certified["certified_step"]) == ~made["certified"].alive["normal"].numpy()).all()
    assert set(certified) - set(plain) == {"log_wealth", "certified_step"} | {f"second_moment_{k}" for k in range(1, plain["phi"].shape[1])}
    resumed = make_method(made["certified"].parameters, cpu)
    resumed.load_tensors({name: value.clone() for name, value in made["certified"].tensors().items()})
    for method in (resumed, made["certified"]):
        method.begin_epoch(11)
        steps(method, 20, seed=1)
    ours, theirs = made["certified"].snapshot()["reduce"], resumed.snapshot()["reduce"]
    assert all(np.array_equal(ours[column], theirs[column], equal_nan=True) for column in ours)


def test_a_search_carries_its_certificate(quick_search):
    run = Run.open(quick_search(method="darts", prune_rule="certified", images=64, epochs=2))
    frame = run.architecture()
    assert run.info["name"].endswith("prune_rule_certified")
    assert frame["second_moment_1"].notna().any() and np.isfinite(frame["log_wealth"]).all()
    for bad in ({"prune_rule": "sure"}, {"prune_rule": "certified", "method": "enas"}, {"prune_rule": "watched", "schedule": "theorem2"}):
        with pytest.raises(ParameterError):
            make(SearchParameters, bad)

"""Theorem 2's simulator and dynamic program against brute force, enumeration and the reference figures."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import sympy
from scipy.stats import binomtest

from asap import cli
from asap.paper.equations import beta, rho
from asap.records.run import Run
from asap.theory.bounds import TheoryError, bernstein_bound, predicted_stop, radius
from asap.theory.exact import crossing, exact_escape, exact_pair
from asap.theory.practical import Practical, simulate_practical
from asap.theory.simulate import Setting, simulate
from asap.theory.tables import TABLES, record


def brute_force(n, delta, gap, seed, log_nu=None, shrink=1.0, horizon=5000):
    """Algorithm 1 as printed, one repetition in plain Python: (best pruned, stopping time or None)."""
    rng = np.random.default_rng(seed)
    alpha, left = [0.0] * n, set(range(n))
    for t in range(1, horizon + 1):
        for i in range(n):
            mean = gap / 2 if i == 0 else -gap / 2
            alpha[i] += 1 if rng.random() < (1 + mean) / 2 else -1
        nu = math.log(1 / n) if log_nu is None else log_nu
        width = shrink * math.sqrt(2 / t * math.log(math.pi**2 * n * t**2 / (3 * delta)))
        temperature = 2 * t / (t + math.log(1 / n) - nu) * width
        top = max(alpha[i] / temperature for i in left)
        total = top + math.log(sum(math.exp(alpha[i] / temperature - top) for i in left))
        left -= {i for i in list(left) if alpha[i] / temperature - total < nu - t}
        if 0 not in left:
            return True, t
        if len(left) == 1:
            return False, t
    return False, None


def test_simulation_agrees_with_brute_force():
    stops = [brute_force(4, 0.1, 1.0, seed)[1] for seed in range(300)]
    simulated = simulate(Setting(4, 0.1, 1.0, repetitions=4000)).stops
    standard_error = np.std(stops) / math.sqrt(len(stops))
    assert abs(np.mean(stops) - simulated.mean()) < 4 * standard_error


def test_failures_agree_with_brute_force_under_the_negative_control():
    failures = sum(brute_force(3, 0.1, 0.1, seed, shrink=0.25, horizon=1500)[0] for seed in range(400))
    simulated = simulate(Setting(3, 0.1, 0.1, shrink=0.25, repetitions=4000, horizon=1500))
    low, high = simulated.interval(0.999)
    assert binomtest(failures, 400).proportion_ci(0.999).low < high and binomtest(failures, 400).proportion_ci(0.999).high > low
    assert simulated.failures > 100


@pytest.mark.parametrize(
    ("operations", "delta", "gap", "median"), [(7, 0.1, 1.0, 150), (7, 0.1, 0.5, 708), (7, 0.01, 0.5, 796), (2, 0.1, 0.5, 520)]
)
def test_reference_medians_within_two_per_cent(operations, delta, gap, median):
    found = simulate(Setting(operations, delta, gap, repetitions=4000))
    assert found.failures == 0 and found.finished == 4000
    assert np.median(found.stops) == pytest.approx(median, rel=0.02)


def test_a_setting_fixes_its_outcome():
    a, b, c = (simulate(Setting(repetitions=50, gap=1.0, seed=seed)) for seed in (1, 1, 2))
    assert a.stops.tolist() == b.stops.tolist() != c.stops.tolist()


def test_the_literal_theorem_prunes_everything_at_once():
    """ν ≡ 1 and N ≥ 3: ρ_1 < 0, so T_1 < 0. The missing condition is Nν_t < e^t."""
    assert float(rho(1, 7, 0.0)) < 0
    found = simulate(Setting(schedule="literal", repetitions=20))
    assert found.failures == 20 and set(found.stops) == {1}
    assert brute_force(7, 0.1, 0.5, 0, log_nu=0.0) == (True, 1)


def test_nu_hardly_matters_within_its_condition():
    medians = [np.median(simulate(Setting(nu_power=p, repetitions=1000)).stops) for p in (-2.0, 0.0, 2.0)]
    assert max(medians) / min(medians) < 1.03
    assert all(2.73 * math.log(t) < t for t in range(1, 100)) and 2.731 * math.log(3) > 3  # Nν_t < e^t
    with pytest.raises(TheoryError, match="nu_power"):
        Setting(nu_power=2.731)
    # the exact rule at one configuration, by hand: ν_t = t/N
    t, n, width = 5, 3, 0.7
    temperature = 2 * width * float(rho(t, n, math.log(t / n)))
    assert temperature == pytest.approx(2 * width * t / (t - math.log(t)))


def test_crossing_is_enumeration():
    band = np.array([5, 1.5, 2.2, 1.9, 2.5, 2.5])
    below, above = np.zeros(6), np.zeros(6)
    for path in itertools.product((1, -1), repeat=6):
        for t, position in enumerate(np.cumsum(path)):
            if abs(position) > band[t]:
                (below if position < 0 else above)[t:] += 0.5**6
                break
    found = crossing(band)
    assert np.allclose(found[0], below, atol=1e-15) and np.allclose(found[1], above, atol=1e-15)


def test_exact_figures():
    assert exact_escape("theorem2", 7, 0.1, 200_000) == pytest.approx(1.15e-6, rel=5e-3)
    for rule, horizon in (("claim", 200_000), ("phi", 20_000)):  # the negative control must break the guarantee
        assert exact_pair("theorem2", 0.1, horizon, shrink=0.5, rule=rule) > 0.1
    assert exact_pair("theorem2", 0.1, 20_000) < 1e-4


def test_exact_pair_agrees_with_simulation():
    horizon = 2000
    expected = exact_pair("theorem2", 0.1, horizon, shrink=0.4)
    found = simulate(Setting(2, gap=0.0, noise="antithetic", shrink=0.4, repetitions=20_000, horizon=horizon))
    low, high = found.interval(0.999)
    assert low < expected < high


@pytest.mark.parametrize("schedule", ["theorem2", "stitched", "mixture", "pairwise"])
def test_every_schedule_keeps_the_guarantee_exactly(schedule):
    """The best of a tie of two opposite operations: the worst case for N = 2, where Hoeffding's bound is attained most nearly."""
    assert exact_pair(schedule, 0.1, 20_000) < 0.1
    if schedule != "pairwise":
        assert exact_escape(schedule, 7, 0.1, 20_000) < 0.1 / 7


def test_tighter_schedules_stop_sooner():
    stops = {
        s: np.median(simulate(Setting(schedule=s, gap=0.25, repetitions=300)).stops)
        for s in ("theorem2", "stitched", "mixture", "pairwise")
    }
    assert stops["pairwise"] < stops["mixture"] < stops["stitched"] < stops["theorem2"] / 1.5
    small = {
        s: np.median(simulate(Setting(schedule=s, gap=0.25, noise="uniform", spread=0.02, repetitions=50)).stops)
        for s in ("theorem2", "bernstein")
    }
    assert small["bernstein"] < small["theorem2"] / 5


def test_bernstein_holds_for_full_noise():
    rng = np.random.default_rng(3)
    g = rng.choice([-1.0, 1.0], (2000, 3000))
    total = np.cumsum(g, 1)
    previous = np.concatenate([np.zeros((2000, 1)), total[:, :-1] / np.arange(1, 3000)], 1)
    bound = bernstein_bound(np.cumsum((g - previous) ** 2, 1), 0.1)
    assert (total >= bound).any(1).mean() < 0.1


def test_underflow_is_avoided():
    """θ_t is 0 in float64 after t = 743; the log-space rule still prunes."""
    assert math.exp(-746) == 0
    found = simulate(Setting(2, gap=0.25, repetitions=50))
    assert found.finished == 50 and found.stops.max() > 746


def test_eq_4_lacks_one_over_t_symbolically():
    a = sympy.symbols("a0:3")
    r = sympy.symbols("r0:3")
    temperature = sympy.Symbol("T", positive=True)
    weights = [sympy.exp(x / temperature) for x in a]
    phi = [w / sum(weights) for w in weights]
    mixed = sum(p * o for p, o in zip(phi, r, strict=True))
    for k in range(3):
        printed = phi[k] * (r[k] - mixed)
        assert sympy.simplify(sympy.diff(mixed, a[k]) - printed / temperature) == 0


def test_practical_reference():
    """Probability .354, .086, .007, 0 of pruning the best at gaps 0, .01, .02, .05 (within Monte-Carlo error)."""
    for gap, expected in ((0.0, 0.354), (0.02, 0.007), (0.05, 0.0)):
        found = simulate_practical(Practical(gap=gap, repetitions=600))
        assert abs(found["best_pruned"] - expected) < 4 * math.sqrt(max(expected, 0.004) / 600)


def test_predicted_stop_solves_for_the_gap():
    t = predicted_stop("theorem2", 0.1, 7, 0.1)
    assert 2 * float(beta(t, 7, 0.1)) == pytest.approx(0.1, rel=1e-6)
    assert predicted_stop("mixture", 0.1, 7, 0.1) < t and predicted_stop("theorem2", 0.0, 7, 0.1) == math.inf
    assert np.all(np.diff(radius("stitched", np.arange(1.0, 100), 7, 0.1)) < 0)


def test_cli(capsys):
    words = ["theory", "--operations", "7", "--delta", "0.1", "--gap", "1.0", "--repetitions", "200", "--seed", "11", "--json"]
    assert cli.main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"failures", "repetitions", "interval", "stop_quantiles", "finished", "limit"}
    assert set(found["stop_quantiles"]) == {"0.05", "0.5", "0.95"} and found["finished"] == 200
    assert cli.main(["theory", "--exact", "--horizon", "1000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["escape"] < 1e-5
    for bad in (["--gapp", "1"], ["--gap", "3"], ["--noise", "pink"], ["--record", "nothing"]):
        assert cli.main(["theory", *bad]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_any_recorded_row_is_computed_anew_from_its_seed(capsys):
    root = Path(__file__).parents[2] / "runs"
    for row in ("reference/7", "breaks/4", "exact/0"):
        assert cli.main(["theory", "--row", row]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        table, task = row.split("/")
        frame = Run.open(root / "theory" / table).results()
        recorded = frame[frame["task"] == int(task)].iloc[0]
        for key, value in found.items():
            if key in recorded and not (isinstance(value, float) and math.isnan(value)):
                assert recorded[key] == pytest.approx(value, rel=1e-9) if isinstance(value, float) else recorded[key] == value, key
    for bad in ("schedules/999", "nothing/0", "schedules"):
        assert cli.main(["theory", "--row", bad]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_an_interrupted_table_goes_on_where_it_was(tmp_path, monkeypatch):
    calls = []

    def task(i):
        calls.append(i)
        if i == 2 and len(calls) == 3:
            raise KeyboardInterrupt
        return [{"value": i}]

    monkeypatch.setitem(TABLES, "toy", lambda: iter([lambda i=i: task(i) for i in range(4)]))
    with pytest.raises(KeyboardInterrupt):
        record("toy", tmp_path)
    run = Run.open(record("toy", tmp_path))
    assert calls == [0, 1, 2, 2, 3] and list(run.results()["value"]) == [0, 1, 2, 3]
    record("toy", tmp_path)
    assert len(calls) == 5


def test_settings_that_mean_nothing_are_refused():
    """A radius of the literal schedule, a temperature of rules that have none, a spread of steps that are ±1."""
    for given in (
        {"schedule": "bernstein", "coupled": True},  # divided by a radius of 0, and reported no failure
        {"schedule": "bernstein", "optimizer": "adam"},  # steps beyond [-1, 1]
        {"schedule": "certified", "coupled": True},
        {"schedule": "certified", "shrink": 0.5},
        {"schedule": "certified", "operations": 200},  # 61 GB of wealth
        {"spread": 0.5},  # rademacher
        {"gap": 1.0, "shift": 0.6},
        {"noise": "unequal", "spread": 0.9},
    ):
        with pytest.raises(TheoryError):
            Setting(**given)
    for call in (
        lambda: exact_escape("literal", 7, 0.1, 10),
        lambda: exact_pair("literal", 0.1, 10),
        lambda: exact_escape("certified", 7, 0.1, 9),
    ):
        with pytest.raises(TheoryError):
            call()


def test_the_literal_schedule_prints_no_certificate(capsys):
    assert cli.main(["theory", "--exact", "--schedule", "literal", "--horizon", "100"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_adam_ranks_by_mean_over_deviation():
    """Means .1 and .05, deviations .5 and .05: the best by its mean goes. Steps of ±1 would hide it, since their squares are all 1."""
    unequal = {"operations": 2, "gap": 0.05, "shift": 0.075, "noise": "unequal", "spread": 0.5, "repetitions": 50}
    assert simulate(Setting(optimizer="adam", **unequal)).failures == 50
    assert simulate(Setting(horizon=2000, **unequal)).failures == 0


def test_a_best_that_starts_behind_goes():
    """N = 2, behind for 100 steps, ahead for good from step 200 on: pruned at step 23 with certainty, hence the lead at every t."""
    found = simulate(Setting(2, gap=2.0, switch=100, repetitions=5))
    assert found.failures == 5 and set(found.stops) == {23}

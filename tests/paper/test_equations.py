import itertools
import math

import numpy as np
import pytest

from asap.paper.equations import EPOCH_SCHEDULES, normalised_entropy, temperature


def test_the_stated_facts_hold_for_1_3_and_not_for_1_6():
    """4.1: T ≈ 0.1 at epoch 50 and five grace epochs (T ≥ 1), epochs counted from 1."""
    facts = {}
    for initial in (1.3, 1.6):
        course = [temperature("exponential", e, 50, initial, 0.95) for e in range(1, 51)]
        facts[initial] = (round(course[-1], 3), sum(t >= 1 for t in course))
    assert facts == {1.3: (0.100, 5), 1.6: (0.123, 9)}


@pytest.mark.parametrize("schedule", EPOCH_SCHEDULES)
def test_schedules_fall_and_share_both_ends(schedule):
    course = [temperature(schedule, e, 50, 1.3, 0.95) for e in range(0, 51)]
    assert course[0] == pytest.approx(1.3)
    if schedule == "constant":
        assert set(course) == {1.3}
    else:
        assert course[-1] == pytest.approx(1.3 * 0.95**50)
        assert all(a > b for a, b in itertools.pairwise(course))


def test_unknown_schedule():
    with pytest.raises(ValueError, match="known: exponential"):
        temperature("stairs", 1, 50, 1.3, 0.95)


def test_entropy():
    uniform, single = np.full(7, 1 / 7), np.eye(7)[2]
    assert normalised_entropy(np.stack([uniform, single]), 7).tolist() == [pytest.approx(1), 0.0]
    assert normalised_entropy(np.array([0.5, 0.5, 0, 0, 0, 0, 0]), 7) == pytest.approx(math.log(2) / math.log(7))

import pytest

from asap.train.rates import cosine, one_cycle, power_cosine


def test_power_cosine_halves_its_amplitude_each_cycle():
    starts = [power_cosine(300 * c, 1500, 5, 0.025, 0.5) for c in range(5)]
    assert starts == pytest.approx([0.025 / 2**c for c in range(5)])
    assert power_cosine(299.999, 1500, 5, 0.025, 0.5) == pytest.approx(0, abs=1e-6)
    # between the ends it lies below a plain cosine
    assert power_cosine(150, 1500, 5, 0.025, 0.5) < cosine(150, 300, 0.025)


def test_cosine_and_one_cycle():
    assert cosine(0, 50, 0.025, 0.001) == pytest.approx(0.025)
    assert cosine(50, 50, 0.025, 0.001) == pytest.approx(0.001)
    assert one_cycle(20, 100, 0.1) == pytest.approx(0.1)
    assert one_cycle(0, 100, 0.1) == 0 == one_cycle(100, 100, 0.1)

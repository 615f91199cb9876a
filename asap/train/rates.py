"""The learning rates of w: functions of the step, counted from 0. A unit of time may as well be an epoch."""

from __future__ import annotations

import math


def power_cosine(step: float, steps: int, cycles: int, maximum: float, decay: float) -> float:
    """The learning rate of cyclic power cosine annealing (4.2; sharpDARTS, with p = 2 and down to 0), at a step in [0, steps).

    Each of the `cycles` equal cycles falls from its amplitude to 0; the amplitude is multiplied by `decay` from one cycle to the
    next. Within a cycle at progress u in [0, 1): amplitude·(2^(1 + ½(1 + cos πu)) − 2)/2.
    """
    length = steps / cycles
    cycle = min(int(step / length), cycles - 1)
    u = step / length - cycle
    return maximum * decay**cycle * (2 ** (1 + 0.5 * (1 + math.cos(math.pi * u))) - 2) / 2


def cosine(step: float, steps: int, maximum: float, minimum: float = 0.0) -> float:
    """The learning rate of one cosine from `maximum` at step 0 to `minimum` at `steps` (DARTS)."""
    return minimum + (maximum - minimum) * 0.5 * (1 + math.cos(math.pi * step / steps))


def one_cycle(step: float, steps: int, maximum: float) -> float:
    """A linear rise to `maximum` over the first fifth of the steps and a linear fall to 0: for short trainings."""
    progress = step / steps
    return maximum * (progress / 0.2 if progress < 0.2 else (1 - progress) / (1 - 0.2))

"""Where the paper contradicts itself or leaves a gap (paper/contradictions.yaml), with the numbers of its arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import log

import yaml

from ..paper.equations import beta, pruned_share, temperature
from ..paper.space import edges

CELLS, WIDTH, OUTPUTS = 20, 36, 4  # the evaluation network of 4.2, and the nodes that a cell concatenates


@dataclass(frozen=True)
class Contradiction:
    """quotes: (place, the paper's words, or nothing where it is a figure). arithmetic: with places for `values`. parameter: that holds the
    other choice. arms: of the study `sensitivity`, that measure it. effect: where no run is needed."""

    name: str
    quotes: tuple[tuple[str, str], ...]
    decision: str
    arithmetic: str = ""
    parameter: str = ""
    arms: tuple[str, ...] = ()
    effect: str = ""


@cache
def contradictions() -> tuple[Contradiction, ...]:
    """Every contradiction."""
    content = yaml.safe_load(files("asap.paper").joinpath("contradictions.yaml").read_text(encoding="utf-8"))
    return tuple(Contradiction(**one) for one in content)


@cache
def values() -> dict[str, float]:
    """The numbers of all arithmetic, by the names that the texts give them."""
    low, high = ([temperature("exponential", epoch, 50, initial, 0.95) for epoch in range(1, 51)] for initial in (1.3, 1.6))
    fixed, left = (log((1 - threshold) / threshold) for threshold in (0.4 / 7, 0.4 / 2))
    three, one = (next(e for e in range(20, 51) if 7 * pruned_share(e, 20, 50, power, 6 / 7) >= 5.5) for power in (3, 1))
    return {
        "low": low[-1], "five": sum(t >= 1 for t in low), "high": high[-1], "nine": sum(t >= 1 for t in high), "factor": 1 / low[-1],
        "steps": next(t for t in range(1, 1000) if 1.3 * 0.95**t < 0.1), "fixed": fixed, "left": left, "edges": len(edges()),
        "saved": one_by_one_saving() / 1e6, "three": three, "one": one, "margin": float(beta(260, 7, 0.1)),
    }  # fmt: skip


def one_by_one_saving() -> int:
    """The parameters that the evaluation network of `WIDTH` channels would save by a 1×1 convolution to its width as a cell's output."""
    widths = [WIDTH * 2 ** ((cell >= CELLS // 3) + (cell >= 2 * CELLS // 3)) for cell in range(CELLS)]
    saved = 10 * (OUTPUTS - 1) * widths[-1]  # the classifier's
    for cell, c in enumerate(widths):
        saved += sum((OUTPUTS - 1) * widths[before] * c for before in (cell - 2, cell - 1) if before >= 0)  # what reads a cell's output
        saved -= OUTPUTS * c * c + 2 * c  # the convolution itself and its BatchNorm
    return saved

"""Where the paper contradicts itself or leaves a gap (paper/contradictions.yaml), with the numbers of its arithmetic. The audit page shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from math import log

import yaml

from ..paper.equations import beta, pruned_share, temperature

CELLS, WIDTH, OUTPUTS = 20, 36, 4  # the evaluation network of 4.2, and the nodes that a cell concatenates


@dataclass(frozen=True)
class Contradiction:
    """quotes: (place, the paper's words, or nothing where it is a figure). text: the arithmetic, with places for what the function `values`
    computes. parameter: that holds the other choice. arms: of the study `sensitivity`, that measure it. effect: where no run is needed."""

    name: str
    quotes: tuple[tuple[str, str], ...]
    decision: str
    text: str = ""
    values: str = ""
    parameter: str = ""
    arms: tuple[str, ...] = ()
    effect: str = ""

    @property
    def arithmetic(self) -> Callable[[], str] | None:
        """What computes the arithmetic, or None where there is none."""
        return (lambda: self.text.format(**VALUES[self.values]()) if self.values else self.text) if self.text else None


def temperatures() -> dict[str, float]:
    def run(initial: float) -> tuple[float, int]:
        course = [temperature("exponential", epoch, 50, initial, 0.95) for epoch in range(1, 51)]
        return course[-1], sum(t >= 1 for t in course)

    (low, five), (high, nine) = run(1.3), run(1.6)
    return {"low": low, "five": five, "high": high, "nine": nine}


def iterations() -> dict[str, float]:
    return {"steps": next(t for t in range(1, 1000) if 1.3 * 0.95**t < 0.1)}


def gaps() -> dict[str, float]:
    return {name: log((1 - threshold) / threshold) for name, threshold in (("fixed", 0.4 / 7), ("left", 0.4 / 2))}


def edges() -> dict[str, float]:
    return {"edges": sum(2 + i for i in range(4))}


def one_by_one_saving() -> int:
    """How many parameters the evaluation network of `WIDTH` channels would have less if a cell's output were a 1×1 convolution to its width."""
    widths, c = [], WIDTH
    for cell in range(CELLS):
        c *= 2 if cell in (CELLS // 3, 2 * CELLS // 3) else 1
        widths.append(c)
    saved, before = 10 * (OUTPUTS - 1) * widths[-1], [3 * WIDTH, 3 * WIDTH]  # the classifier; the stem has 3 C outputs
    for i, c in enumerate(widths):
        for width, from_stem in zip(before, (i < 2, i < 1), strict=True):
            saved += 0 if from_stem else (OUTPUTS - 1) * width * c
        saved -= OUTPUTS * c * c + 2 * c  # the convolution itself and its BatchNorm
        before = [before[1], c]
    return saved


def one_by_one_output() -> dict[str, float]:
    return {"saved": one_by_one_saving() / 1e6}


def last_factor() -> dict[str, float]:
    return {"factor": 1 / temperature("exponential", 50, 50, 1.3, 0.95)}


def decided_epochs() -> dict[str, float]:
    def decided(power: float) -> int:
        return next(e for e in range(20, 51) if 7 * pruned_share(e, 20, 50, power, 6 / 7) >= 5.5)

    return {"three": decided(3), "one": decided(1)}


def margin() -> dict[str, float]:
    return {"margin": float(beta(260, 7, 0.1))}


FUNCTIONS = (temperatures, iterations, gaps, edges, one_by_one_output, last_factor, decided_epochs, margin)
VALUES: dict[str, Callable[[], dict[str, float]]] = {function.__name__: function for function in FUNCTIONS}


def _read() -> tuple[Contradiction, ...]:
    content = yaml.safe_load(files("asap.paper").joinpath("contradictions.yaml").read_text(encoding="utf-8"))
    return tuple(
        Contradiction(
            quotes=tuple((place, words) for place, words in one.pop("quotes")),
            arms=tuple(one.pop("arms", ())),
            text=one.pop("arithmetic", ""),
            **one,
        )
        for one in content
    )


CONTRADICTIONS = _read()

"""A verdict on a claim of the paper, and what the judges share. Knows records, never torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..records import study as studies
from ..records.run import Run
from .inference import Paired

HOLDS, DIRECTION, FAILS, OPEN = "holds", "holds in direction", "does not hold", "cannot be told"

#: The arms of the study `methods` whose space is differentiable, and those that prune by Eq. 13.
DIFFERENTIABLE = ("ASAP", "DARTS", "Accumulated gradient, p = 1", "Accumulated gradient, p = 3")
PRUNING = ("Magnitude, p = 1", "Magnitude, p = 3", "Accumulated gradient, p = 1", "Accumulated gradient, p = 3")


@dataclass(frozen=True)
class Verdict:
    """ours: our number or finding in words. scale: at which scale, and from how many runs. verdict: one of the four.

    test: paired differences that the claim says are positive. Their p values are corrected together, so `claims.judged` decides, and
    `verdict` says what is said until then.
    """

    ours: str
    scale: str
    verdict: str
    test: Paired | None = None


def missing(what: str) -> Verdict:
    return Verdict(f"no record: {what}", "–", OPEN)


def counted(good: int, of: int) -> str:
    return HOLDS if good == of else FAILS if good == 0 else DIRECTION


def listed(values: Mapping[str, Sequence[float]], digits: int, unit: str = "") -> str:
    """`ASAP: 34; DARTS: 59`, the mean of each arm."""
    return "; ".join(f"{label}: {np.mean(v):.{digits}f}{unit}" for label, v in values.items())


def arm(root: Path, label: str, kind: str = "search") -> list[Run]:
    """The finished runs of an arm of the study `methods`, at the cpu scale."""
    return studies.load("methods").runs(root, kind, label)


#: ASAP that prunes at an epoch's end, as Eq. 13's methods do: an arm of the study `sensitivity`.
LIKE_FOR_LIKE = "Pruning once an epoch"


def like_for_like(root: Path) -> list[Run]:
    """The finished ASAP searches whose accuracy after a pruning is measured at the moment that the other pruning methods' is."""
    return studies.load("sensitivity").runs(root, "search", LIKE_FOR_LIKE)


def other_readings(root: Path, scale: str) -> list[Run]:
    """The finished ASAP searches by the paper's other readings, at this scale: all of the study `sensitivity` but those as decided."""
    return studies.load("sensitivity").runs(root, "search", study="sensitivity", scale=scale)

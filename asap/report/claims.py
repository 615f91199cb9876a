"""The paper's claims (paper/claims.yaml): what it says, where, with what number, and the verdict of the records on each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from . import claims_cells, claims_search, theory_verdicts
from .inference import holm
from .verdicts import Tested, Verdict

JUDGES = (claims_search, claims_cells, theory_verdicts)
EVIDENCE = ("training", "computed", "printed")


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, its place and number, and the test that judges it from records.

    page: of the book, without its suffix. test: in words, on which records. judge: the name of the function that judges it, in one of
    `JUDGES`; given: its arguments. evidence: one of `EVIDENCE`: tested by training, computed, or printed numbers read again.
    """

    statement: str
    place: str
    paper: str
    page: str
    test: str
    judge: str
    evidence: str = EVIDENCE[0]
    given: dict[str, Any] = field(default_factory=dict)

    def verdict(self, root: Path) -> Verdict:
        """The verdict of the records under a root; of a tested claim, before the correction over all of them."""
        return self._function()(root, **self.given)

    def _function(self) -> Callable[..., Verdict]:
        return next(getattr(module, self.judge) for module in JUDGES if hasattr(module, self.judge))


@cache
def claims() -> dict[str, tuple[Claim, ...]]:
    """Every claim, by theme."""
    content = yaml.safe_load(files("asap.paper").joinpath("claims.yaml").read_text(encoding="utf-8"))
    return {theme: tuple(Claim(**claim) for claim in found) for theme, found in content.items()}


def judged(root: Path) -> dict[str, list[tuple[Claim, Verdict]]]:
    """Every claim with its verdict from the records under a root. Tested claims are one family of Holm's correction."""
    every = iter(corrected([claim.verdict(root) for group in claims().values() for claim in group]))
    return {theme: [(claim, next(every)) for claim in group] for theme, group in claims().items()}


def corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, those that are tested decided by their p values after Holm's correction over them."""
    p = [verdict.test.p() if verdict.test else float("nan") for verdict in verdicts]
    family = sum(value == value for value in p)
    return [_decided(verdict, verdict.test, q, family) if verdict.test else verdict for verdict, q in zip(verdicts, holm(p), strict=True)]


def _decided(verdict: Verdict, test: Tested, p: float, family: int) -> Verdict:
    """A tested claim, given its adjusted p value in a family of so many."""
    return replace(verdict, ours=f"{verdict.ours}: {test.text(p, family)}", verdict=test.verdict(p, family))

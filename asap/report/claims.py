"""The paper's claims (paper/claims.yaml): what it says, where, with what number, and the verdict of the records on each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ..records.run import RecordError
from . import claims_cells, claims_search, theory_verdicts
from .inference import holm
from .verdicts import Verdict, missing

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
        try:
            return self.function(root, **self.given)
        except RecordError as error:
            return missing(str(error).replace(str(root), "runs"))

    @property
    def function(self) -> Callable[..., Verdict]:
        """The judge; it raises `RecordError` where there is nothing to judge by."""
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
    return [
        replace(v, ours=f"{v.ours}: {v.test.text(q, family)}", verdict=v.test.verdict(q, family)) if v.test else v
        for v, q in zip(verdicts, holm(p), strict=True)
    ]

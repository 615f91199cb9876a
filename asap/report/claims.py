"""The paper's claims (paper/claims.yaml): what it says, where, with what number, and the verdict of the records on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ..records.parameters import runs_root
from ..records.run import RecordError
from . import claims_cells, claims_search, theory_verdicts
from .display import Markdown, rows_frame
from .inference import holm
from .verdicts import SUMMARY, Verdict, missing

JUDGES = (claims_search, claims_cells, theory_verdicts)
#: The kinds of evidence, and what they are called.
EVIDENCE = {"training": "Tested on runs made here", "computed": "Computed", "printed": "As printed: the paper's own numbers, read again"}


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, its place and number, and the test that judges it from records.

    page: of the book, without its suffix. test: its kind and what is compared. judge: the name of the function that judges it, in one of
    `JUDGES`; given: its arguments. evidence: one of `EVIDENCE`.
    """

    theme: str
    statement: str
    place: str
    paper: str
    page: str
    test: str
    judge: str
    evidence: str = "training"
    given: dict[str, Any] = field(default_factory=dict)

    def verdict(self, root: Path) -> Verdict:
        """The verdict of the records under a root; of a tested claim, before the correction over all of them."""
        try:
            return next(getattr(module, self.judge) for module in JUDGES if hasattr(module, self.judge))(root, **self.given)
        except RecordError as error:
            return missing(str(error).replace(str(root), "runs"))


@cache
def claims() -> tuple[Claim, ...]:
    """Every claim."""
    content = yaml.safe_load(files("asap.paper").joinpath("claims.yaml").read_text(encoding="utf-8"))
    return tuple(Claim(theme, **claim) for theme, found in content.items() for claim in found)


Judged = Sequence[tuple[Claim, Verdict]]


def judged(root: Path | None = None) -> Judged:
    """Every claim with its verdict from the records under a root. Tested claims are one family of Holm's correction."""
    place = root or runs_root()
    return list(zip(claims(), corrected([claim.verdict(place) for claim in claims()]), strict=True))


def corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, those that are tested decided by their p values after Holm's correction over them."""
    p = [verdict.test.p() if verdict.test else float("nan") for verdict in verdicts]
    family = sum(value == value for value in p)
    return [
        replace(v, ours=f"{v.ours}: {v.test.text(q, family)}", verdict=v.test.verdict(q, family)) if v.test else v
        for v, q in zip(verdicts, holm(p), strict=True)
    ]


def on_page(page: str) -> str:
    """The verdicts on the claims that a page of the book is about, a line each, in Markdown."""
    lines = [f"- **{v.verdict}** ({v.scale}): {c.statement}" for c, v in judged() if c.page == page]
    return "\n".join(["What the paper claims here, and the [verdicts](/book/claims.md) of the records:\n", *lines])


def count(found: Judged) -> str:
    """`**18** hold; **4** were seen in one run; …`"""
    verdicts = Counter(verdict.verdict for _, verdict in found)
    return "; ".join(f"**{n}** {words[n > 1]}" for name, words in SUMMARY.items() if (n := verdicts[name]))


def rows(found: Judged) -> pd.DataFrame:
    """Claims with the paper's number, ours, the verdict, and what it stands on."""
    return rows_frame(["claim", "verdict", "paper (place)", "ours", "scale"], [
        [Markdown(f"[{c.statement}]({c.page}.md)"), Markdown(f"**{v.verdict}**"), f"{c.paper} ({c.place})", v.told,
         v.scale.replace("n = ", "n\u00a0=\u00a0")]
        for c, v in found
    ])  # fmt: skip


def test_rows(found: Judged) -> pd.DataFrame:
    """How each verdict is reached."""
    return rows_frame(["claim", "test"], [[c.statement, c.test] for c, _ in found])

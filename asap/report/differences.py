"""Differences of errors as tables show them. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from .display import DASH, rows_frame
from .inference import Difference, bracket, holm, number


def difference_rows(tests: Mapping[str, Difference], what: str, n: str = "n") -> pd.DataFrame:
    """Differences in points, one row a test, their p values corrected together. n: what is counted."""
    adjusted = holm([test.p() for test in tests.values()])
    return rows_frame([what, n, "difference", "95 % interval", "p (Holm)", "could be shown"], [
        [name, str(test.n), f"{test.mean:+.2f}", bracket(test.interval()), number(p), number(test.detectable(), 1)]
        for (name, test), p in zip(tests.items(), adjusted, strict=True) if test.n
    ])  # fmt: skip


def how_to_read(rows: pd.DataFrame) -> str:
    """What the columns of `difference_rows` mean, in Markdown."""
    if (rows["95 % interval"] == DASH).all():
        return "One run has no test."
    test = "Student's t test of the pairs" if "pairs" in rows else "Welch's t test of unpaired runs, and n is that of the smaller arm"
    return (
        f"The interval and the p value are those of {test}; the p values have Holm's correction over the rows. *Could be shown* is the "
        "smallest difference that so many show with a probability of 80 %. One run has no test."
    )

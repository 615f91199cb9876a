"""The page on the short evaluation: whether the error at the cpu scale orders cells that others trained in full. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from . import palette
from .display import rows_frame
from .surrogate import interval


def within(figures: Mapping[str, Any]) -> pd.DataFrame:
    """How the accuracy so far in full training orders the cells as its last epoch does: a column an epoch. figures: the surrogate's."""
    curve = figures["accuracy so far"]
    return rows_frame(["epoch of 600", *curve], [["Spearman", *(f"{row['spearman']:.2f}" for row in curve.values())]] if curve else [])


def better(figures: Mapping[str, Any]) -> str:
    """The judge of cells that verdicts stand on: `error` where it is shown to order fully trained cells better than the score does (95 %
    bootstrap interval); else `score`, the first outcome of the design. figures: the surrogate's."""
    return "error" if figures["short evaluation"].get("error less score, final", {}).get("low", 0) > 0 else "score"


def said(figures: Mapping[str, Any]) -> str:
    """What an error at the cpu scale can tell about a cell, and which judge is the better; nothing before there are enough cells."""
    part = figures["short evaluation"]
    if not part:
        return ""
    error = "error at the cpu scale, negated"
    raw, equal, apart = (part[f"{name}, final"] for name in (error, f"{error}, at equal parameters", "error less score"))
    shown, by_size = ("is shown" if found["low"] > 0 else "is not shown" for found in (raw, equal))
    which = "error, the better judge, where all have one" if better(figures) == "error" else "score: the error is not shown to be better"
    return (
        f"An error at the scale `cpu` {shown} to order cells as full training does (ρ = {interval(raw)}). At equal size it {by_size} to "
        f"(ρ = {interval(equal)}). Its ρ minus the score's is {interval(apart)}. Verdicts by the [design](design.md) stand on the {which}."
    )


def draw(frame: pd.DataFrame) -> Figure:
    """Our error at the cpu scale against the accuracy of full training, a point a cell. frame: runs/scores/short.csv."""
    figure, (ax,) = palette.axes(1, 3.6)
    ax.plot(frame["final"], frame["error"], "o", color=palette.BLUE)
    ax.set(xlabel="test accuracy, fully trained by others, %", ylabel="test error at the cpu scale, %")
    return figure

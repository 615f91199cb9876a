"""The page on the short evaluation: whether the error at the cpu scale orders cells that others trained in full. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from . import palette
from .display import rows_frame


def within(figures: Mapping[str, Any]) -> pd.DataFrame:
    """How the accuracy so far in full training orders the cells as its last epoch does: a column an epoch. figures: the surrogate's."""
    curve = figures["accuracy so far"]
    return rows_frame(["epoch of 600", *curve], [["Spearman", *(f"{row['spearman']:.2f}" for row in curve.values())]] if curve else [])


def draw(frame: pd.DataFrame) -> Figure:
    """Our error at the cpu scale against the accuracy of full training, a point a cell. frame: runs/scores/short.csv."""
    figure, (ax,) = palette.axes(1, 3.6)
    ax.plot(frame["final"], frame["error"], "o", color=palette.BLUE)
    ax.set(xlabel="test accuracy, fully trained by others, %", ylabel="test error at the cpu scale, %")
    return figure

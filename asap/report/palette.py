"""The look of the book's figures: one palette for methods and one for operations, safe for colour-blind readers, and a style that
suits a light and a dark page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from ..paper.space import ASAP_OPERATIONS

#: Placeholders that `display` turns into the page's own colours of text and background.
INK, PAPER = "#010203", "#fefdfc"
FAINT = "#8a8a8a"
BLUE, ORANGE, GREEN, VERMILLION = sns.color_palette("colorblind").as_hex()[:4]
PURPLE, BROWN, PINK, GREY = "#b35fa5", "#a87145", "#ec8fd0", "#8a8a8a"

#: One colour an operation, the same on every page.
OPERATIONS = dict(zip((*ASAP_OPERATIONS, "none"), (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, BROWN, PINK, GREY), strict=True))


@dataclass(frozen=True)
class Look:
    """How a method is drawn: a colour a family, dashes and a marker within it."""

    colour: str
    dashes: str = "-"
    marker: str = "o"


METHODS = {
    "ASAP": Look(BLUE),
    "ASAP, paper scale": Look(BLUE, "--", "P"),
    "ASAP, Theorem 2's schedule": Look(BLUE, "--", "s"),
    "ASAP, annealing without pruning": Look(BLUE, "-.", "^"),
    "ASAP, pruning without annealing": Look(BLUE, ":", "v"),
    "DARTS": Look(ORANGE),
    "DARTS, second order": Look(ORANGE, "--", "s"),
    "DARTS, without none": Look(ORANGE, ":", "^"),
    "Accumulated gradient, p = 1": Look(GREEN),
    "Accumulated gradient, p = 3": Look(GREEN, "--", "s"),
    "Accumulated gradient, p = 3, trained on": Look(GREEN, ":", "^"),
    "Magnitude, p = 1": Look(PURPLE),
    "Magnitude, p = 3": Look(PURPLE, "--", "s"),
    "ENAS": Look(VERMILLION, "-", "D"),
    "Random search": Look(GREY, "-", "X"),
    "Random cells": Look(GREY, ":", "."),
}


def look(label: str) -> Look:
    """The look of a method or arm; grey where the palette does not know it."""
    return METHODS.get(label, METHODS.get(label.split(",")[0], Look(GREY)))


def colour(operation: object) -> str:
    """The colour of an operation; grey of those outside ASAP's space."""
    return OPERATIONS.get(str(operation), GREY)


def key(colours: Mapping[str, str]) -> str:
    """HTML that names what each colour stands for."""
    named = (f'<span><i style="background:{colour}"></i>{name}</span>' for name, colour in colours.items())
    return f'<div class="asap-key">{"".join(named)}</div>'


def operations_key(operations: Iterable[object]) -> str:
    """HTML that names the colour of each operation."""
    return key({str(o).replace("_", " "): colour(o) for o in operations})


STYLE: dict[Any, Any] = {
    "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none", "font.size": 11, "axes.titlesize": 11.5,
    "legend.frameon": False, "legend.fontsize": 10.5, "lines.linewidth": 1.6, "text.color": INK, "axes.edgecolor": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.facecolor": "none", "figure.facecolor": "none",
    "axes.prop_cycle": plt.cycler(color=list(OPERATIONS.values())),
}  # fmt: skip


def axes(rows: int = 1, height: float = 3.4, heights: list[float] | None = None) -> tuple[Figure, list[plt.Axes]]:
    """A figure and its axes, one below the other, of `height` inches each (or `heights`), as wide as a phone can show legibly."""
    plt.rcParams.update(STYLE)
    each = heights or [height] * rows
    figure, drawn = plt.subplots(len(each), figsize=(5.4, sum(each)), height_ratios=each, squeeze=False, layout="constrained")
    plt.close(figure)  # else a notebook shows it a second time
    return figure, list(drawn.flat)


def legend_below(axes: Axes) -> None:
    """The legend of an axes below it and its labels, in as many columns as a phone can show; the figure grows by it."""
    handles, labels = axes.get_legend_handles_labels()
    down = 0.48 if axes.get_xlabel() else 0.28  # inches
    place = axes.transAxes + ScaledTranslation(0, -down, axes.figure.dpi_scale_trans)
    columns = max(1, 60 // (8 + max(map(len, labels))))
    if isinstance(axes.figure, Figure):
        axes.figure.set_figheight(axes.figure.get_figheight() + 0.22 * -(-len(labels) // columns))
    axes.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=place, ncols=columns, columnspacing=1.4)

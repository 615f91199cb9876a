"""Figures 4 and 5: the learned normal and reduction cell beside the paper's. Needs no torch."""

from __future__ import annotations

import pandas as pd

from ..paper.space import published_cell
from . import cells, palette, results
from .display import each, rows_frame
from .figure2 import searches

FIGURES = {"normal": 4, "reduce": 5}


def shown() -> pd.DataFrame:
    """The first two of the recorded searches."""
    return searches().head(2)


def draw(kind: str) -> str:
    """HTML of the paper's cell and of the cells of the searches shown, each with its undecided edges dashed."""
    drawn = [cells.derived(published_cell("ASAP"), kind, f"The paper's {cells.NAMES[kind]}")]
    for row in each(shown()):
        run = results.record(row.run)
        drawn.append(cells.derived(run.genotype(), kind, f"Ours, scale {row.scale}, seed {row.seed}", cells.undecided(run)[kind]))
    return f'<div class="asap-cells labelled">{"".join(drawn)}</div>'


def undecided() -> str:
    """How many edges the searches shown left undecided: `19 of 28 edges undecided (seed 0), 21 of 28 (seed 1)`."""
    return ", ".join(f"{row.undecided} of {row.edges} edges undecided (seed {row.seed})" for row in each(shown()))


def rows(kind: str) -> pd.DataFrame:
    """How often each operation stands in the paper's cell and in those of the searches shown."""
    found = {f"ours, seed {row.seed}": results.record(row.run).genotype() for row in each(shown())}
    named = {"paper's cell": published_cell("ASAP"), **found}
    counts = {name: [sum(e.operation == o for e in g.cell(kind)) for o in palette.OPERATIONS] for name, g in named.items()}
    lines = [[o.replace("_", " "), *(str(c[i]) for c in counts.values())] for i, o in enumerate(palette.OPERATIONS)]
    return rows_frame(["operation", *counts], [line for line in lines if set(line[1:]) != {"0"}])

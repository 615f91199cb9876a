"""The method page's table of scales. Needs no torch."""

from __future__ import annotations

import pandas as pd

from ..records.parameters import make
from ..records.presets import SCALE_NAMES
from ..records.study import KINDS
from .display import Markdown, rows_frame


def scale_rows(kind: str) -> pd.DataFrame:
    """What each scale changes of a search or an evaluation, from records/parameters.py. An `images` of 0 means all."""
    source = {} if kind == "search" else {"cell": "ASAP"}
    made: dict[str, dict[str, object]] = {scale: make(KINDS[kind], {"scale": scale, **source}).identity() for scale in SCALE_NAMES}
    skipped = {"scale", "study", "seed", "run", "cell"}
    names = [name for name in made["paper"] if name not in skipped and len({str(m[name]) for m in made.values()}) > 1]
    values = [[made[scale][name] for scale in SCALE_NAMES] for name in names]
    shown = [[f"{value:.4g}" if isinstance(value, float) else str(value) for value in row] for row in values]
    lines = [[Markdown(f"`{name}`"), *row] for name, row in zip(names, shown, strict=True)]
    return rows_frame(["", *(f"`{scale}`" for scale in SCALE_NAMES)], lines)

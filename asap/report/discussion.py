"""The discussion page's tables: other studies' figures, and what more hours would buy. Needs no torch."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd
import yaml

from . import front
from .display import DASH, Markdown, plus_minus, rows_frame


def other_rows() -> pd.DataFrame:
    """Other studies' errors on CIFAR-10, each with its source."""
    studies = yaml.safe_load(files("asap.paper").joinpath("other_studies.yaml").read_text(encoding="utf-8"))
    return rows_frame(["cells", "trained by", "test error, %", "random cells there, %", "n", "source"], [
        [o["what"], o["under"], plus_minus(o.get("error"), o.get("deviation")), plus_minus(o.get("random"), o.get("random_deviation")),
         str(o.get("n", DASH)), Markdown(f"{{cite:p}}`{o['reference']}`")]
        for o in studies
    ])  # fmt: skip


def hours() -> dict[str, float]:
    """Median hours of a plain ASAP search and of an evaluation on CIFAR-10, at the cpu scale on one core; nan where none is recorded."""
    searches, evaluations = (f.query("dataset == 'cifar10' and device == 'cpu' and by_recipe") for f in front.recorded())
    return {"search": searches.query("method == 'asap'")["seconds"].median() / 3600, "evaluation": evaluations["seconds"].median() / 3600}

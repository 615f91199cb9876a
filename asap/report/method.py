"""The method page's table of scales, and the front page's. Needs no torch."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..records.parameters import make
from ..records.presets import SCALE_NAMES
from ..records.study import KINDS
from .display import Markdown, rows_frame
from .front import recorded


def made(kind: str, scale: str, **more: str) -> dict[str, Any]:
    """The parameters of a search, or of an evaluation of the published cell, at a scale."""
    return make(KINDS[kind], {"scale": scale, **({} if kind == "search" else {"cell": "ASAP"}), **more}).identity()


def scale_rows(kind: str) -> pd.DataFrame:
    """What each scale changes of a search or an evaluation, from records/parameters.py. An `images` of 0 means all."""
    values = {scale: made(kind, scale) for scale in SCALE_NAMES}
    texts = pd.DataFrame({s: {k: f"{v:.4g}" if isinstance(v, float) else str(v) for k, v in of.items()} for s, of in values.items()})
    texts = texts.drop(["scale", "study", "seed", "run", "cell"], errors="ignore")
    lines = [[Markdown(f"`{name}`"), *row] for name, row in zip(texts.index, texts.to_numpy(), strict=True) if len(set(row)) > 1]
    return rows_frame(["", *(f"`{scale}`" for scale in SCALE_NAMES)], lines)


def experiment_rows() -> pd.DataFrame:
    """Six rows: the paper's experiments beside those recorded here."""
    searches, evaluations = recorded()
    data = "; ".join(f"{kind}: {_data(frame)}" for kind, frame in (("searches", searches), ("evaluations", evaluations)))
    devices = sorted({*searches["processor"], *evaluations["processor"]} - {""})
    paper, here = ([made(kind, scale, dataset="cifar10") for kind in ("search", "evaluation")] for scale in ("paper", "cpu"))

    def both(name: str) -> list[str]:
        return [f"{search[name]:,} (search), {evaluation[name]:,} (evaluation)" for search, evaluation in (paper, here)]

    half = f"{here[0]['images'] // 2:,}"
    used = "50,000" + ", of Fashion-MNIST 60,000" * ("fashion_mnist" in set(evaluations["dataset"]))
    return rows_frame(["", "the paper", "here"], [
        ["cells", *both("layers")],
        ["channels", *both("channels")],
        ["training images", *(f"{n} + {n} (search), {whole} (evaluation)" for n, whole in (("25,000", "50,000"), (half, used)))],
        ["epochs", *both("epochs")],
        ["data", "CIFAR-10 (search and evaluation), and six further sets (evaluation)", data],
        ["device", "a GTX 1080 Ti GPU", f"one CPU core ({', '.join(devices)})"],
    ])  # fmt: skip


def _data(runs: pd.DataFrame) -> str:
    """The data sets of some runs, by the copy of their images, each with how many: `22 on a JPEG copy of CIFAR-10, 1 on CIFAR-10`."""
    names = {"cifar10": "CIFAR-10", "cifar10-jpeg75": "a JPEG copy of CIFAR-10", "fashion_mnist": "Fashion-MNIST"}
    return ", ".join(f"{n} on {names.get(str(variant), variant)}" for variant, n in runs["variant"].value_counts().items()) or "none"

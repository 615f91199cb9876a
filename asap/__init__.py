"""A reproduction of "ASAP: Architecture Search, Anneal and Prune" (Noy et al., 2019).

    import asap
    run = asap.search(dataset="cifar10", scale="cpu", seed=0)        # a folder; the same line goes on with it, or leaves it
    print(asap.Run.open(run).genotype())
    test = asap.evaluate(run=run, dataset="cifar10", scale="cpu")    # its cell, trained from scratch
    print(asap.Run.open(test).test()["test_error"])

Parameters, records and messages are those of the command line. Importing this needs no torch; a search and an evaluation do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import search
from .errors import UserError
from .paper.space import Genotype, published_cell, published_cells
from .records.parameters import EvaluationParameters, SearchParameters, make
from .records.run import Run, find_runs
from .train.ends import OutOfTime, RunFailed

__all__ = [
    "EvaluationParameters",
    "Genotype",
    "OutOfTime",
    "Run",
    "RunFailed",
    "SearchParameters",
    "UserError",
    "evaluate",
    "find_runs",
    "load",
    "make",
    "published_cell",
    "published_cells",
    "search",
]


def evaluate(*, progress: bool = True, **parameters: Any) -> Path:
    """Train and test a cell, or go on with an unfinished evaluation, and return its folder under runs/.

    parameters: by name and as in `EvaluationParameters`, which the command line takes too: either `run`, the folder that
    `asap.search` gave, or `cell`, a published cell's name or random-SEED; dataset, scale, seed, study, epochs, …; what is not
    given comes from the scale. progress: whether to show a bar. A finished evaluation is left as it is.

    Raises `UserError`, one line and before any work, where the input is bad; `RunFailed` where the loss stopped being finite,
    or memory or disk ran out; `OutOfTime` where `minutes` were given and are over.
    """
    from .train.evaluate import evaluate as run

    return run(make(EvaluationParameters, parameters), progress)


def load(run: str | Path, runs_root: str = "") -> Any:
    """The trained network of an evaluation, in eval mode, with its normalisation and `class_names`: a `train.predict.Classifier`.

    run: its folder, or study/run under the runs root. Raises `UserError`, one line, where there is none.
    """
    from .train.predict import load as read

    return read(run, runs_root)

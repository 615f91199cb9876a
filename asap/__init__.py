"""A reproduction of "ASAP: Architecture Search, Anneal and Prune" (Noy et al., 2019).

    from asap import SearchParameters, make
    from asap.search.loop import search
    folder = search(make(SearchParameters, {"dataset": "cifar10", "scale": "cpu", "seed": 0}))

`asap.search` and `asap.train` need torch; what is named here, and all that the book is built with, does not.
"""

from .errors import UserError
from .paper.space import Genotype, published_cell, published_cells
from .records.parameters import EvaluationParameters, SearchParameters, make
from .records.run import Run, find_runs

__all__ = [
    "EvaluationParameters",
    "Genotype",
    "Run",
    "SearchParameters",
    "UserError",
    "find_runs",
    "make",
    "published_cell",
    "published_cells",
]

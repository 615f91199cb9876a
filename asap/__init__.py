"""A reproduction of "ASAP: Architecture Search, Anneal and Prune" (Noy et al., 2019).

    from asap import SearchParameters, make
    from asap.search import search
    folder = search(make(SearchParameters, {"dataset": "cifar10", "scale": "cpu", "seed": 0}))

`asap.search` and `asap.evaluate` need torch; what is named here, and all that the book is built with, does not.
"""

from .config import EvaluationParameters, SearchParameters, make
from .errors import UserError
from .records import Run, find_runs
from .space import Genotype, published_cell, published_cells

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

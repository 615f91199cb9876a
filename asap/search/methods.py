"""How a search decides. A method answers three questions of the loop in search/loop.py:

with what weights are the operations mixed now (`mixture`); how is α updated from this batch (`update`); which
operations go (`to_prune`). One file a method; entering it in METHODS and its defaults in presets.METHOD_DEFAULTS
is all that the rest of the package needs.
"""

from __future__ import annotations

from ..records.parameters import SearchParameters
from .asap import Anneal
from .certified import BETTING
from .darts import Darts, SecondOrder
from .enas import Enas
from .method import Method
from .pruning import AccumulatedGradient, Magnitude
from .random import Random

METHODS: dict[str, type[Method]] = {
    "asap": Anneal,
    "darts": Darts,
    "darts2": SecondOrder,
    "magnitude": Magnitude,
    "accumulated": AccumulatedGradient,
    "enas": Enas,
    "random": Random,
}


def make_method(parameters: SearchParameters, device: object) -> Method:
    """The method that a search's parameters name, on a device."""
    kinds = METHODS if parameters.prune_rule == "threshold" else BETTING
    return kinds[parameters.method](parameters, device)  # type: ignore[arg-type]

"""The methods by name. A new one is a file, its entry in METHODS, and its defaults in presets.METHOD_DEFAULTS."""

from __future__ import annotations

import torch

from ..records.parameters import SearchParameters
from .alpha import Differentiable
from .asap import Anneal
from .certified import BETTING
from .darts import SecondOrder
from .enas import Enas
from .method import Method
from .pruning import AccumulatedGradient, Magnitude
from .random import Random

METHODS: dict[str, type[Method]] = {
    "asap": Anneal,
    "darts": Differentiable,  # first order: α follows the validation loss with w held fixed
    "darts2": SecondOrder,
    "magnitude": Magnitude,
    "accumulated": AccumulatedGradient,
    "enas": Enas,
    "random": Random,
}


def make_method(parameters: SearchParameters, device: torch.device) -> Method:
    """The method that a search's parameters name, on a device."""
    kinds = METHODS if parameters.prune_rule == "threshold" else BETTING
    return kinds[parameters.method](parameters, device)

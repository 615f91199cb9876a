"""The search: the loop, the methods in it, and, called, a search itself: `asap.search(dataset="cifar10", scale="cpu", seed=0)`."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *, progress: bool = True, **parameters: Any) -> Path:
        """Run a search, or go on with an unfinished one, and return its folder under runs/.

        parameters: by name and as in `SearchParameters`, which the command line takes too: dataset, scale, seed, study,
        method, epochs, …; what is not given comes from the scale. progress: whether to show a bar.
        A finished search is left as it is. `asap.Run.open(folder)` reads what it left; `asap.evaluate(run=folder)` trains its cell.

        Raises `asap.UserError`, one line and before any work, for a name that is no parameter, a value out of range, a data set
        that is not there, a folder of another run, or a damaged checkpoint; `asap.RunFailed` where the loss stopped being finite, or memory
        or disk ran out; `asap.OutOfTime` where `minutes` were given and are over.
        """
        from ..records.parameters import SearchParameters, make
        from .loop import search

        return search(make(SearchParameters, parameters), progress)


sys.modules[__name__].__class__ = _Callable

"""From a notebook's parameters cell to validated parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from .config import Common, make

P = TypeVar("P", bound=Common)


def collect(kind: type[P], names: Mapping[str, Any]) -> P:
    """The parameters of a search or an evaluation from a notebook's `globals()`.

    Every plain value there is a parameter, those that papermill injected included; None means: as the scale says.
    Raises `ParameterError`, one line, for a name that is no parameter or a value that does not fit.
    """
    given = {
        name: value
        for name, value in names.items()
        if not name.startswith("_") and isinstance(value, bool | int | float | str | list | tuple | dict) and name not in ("In", "Out")
    }
    return make(kind, given)

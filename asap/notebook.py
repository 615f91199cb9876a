"""From a notebook's parameters cell to validated parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from .config import Common, ParameterError, make
from .simulation import Setting, make_setting

P = TypeVar("P", bound=Common)


def given(names: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters among a notebook's `globals()`: every plain value, those that papermill injected included.

    None means: not given.
    """
    plain = bool | int | float | str | list | tuple | dict
    return {k: v for k, v in names.items() if not k.startswith("_") and isinstance(v, plain) and k not in ("In", "Out")}


def collect(kind: type[P], names: Mapping[str, Any]) -> P:
    """The parameters of a search or an evaluation from a notebook's `globals()`; None is as the scale says.

    Raises `ParameterError`, one line, for a name that is no parameter or a value that does not fit.
    """
    return make(kind, given(names))


def settings(names: Mapping[str, Any]) -> list[Setting]:
    """The settings of a simulation from a notebook's `globals()`: one for each of `schedules` and `gaps`, the rest shared.

    Raises `UserError`, one line, for a name that is no parameter or a value that does not fit.
    """
    rest = given(names)
    lists = {key: rest.pop(key, default) for key, default in (("schedules", ["theorem2"]), ("gaps", [0.5]))}
    for key, value in lists.items():
        if not isinstance(value, list | tuple) or not value:
            raise ParameterError(f"parameter {key} must be a list, not {value!r}")
    return [make_setting({**rest, "schedule": schedule, "gap": gap}) for schedule in lists["schedules"] for gap in lists["gaps"]]

"""From a notebook's parameters cell to validated parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from .records.parameters import Common, ParameterError, make
from .records.study import Study, plan
from .theory.simulate import Setting, make_setting

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


def comparison(names: Mapping[str, Any], evaluate: bool = False) -> Study:
    """The study of a notebook's `globals()`: a search for each of `methods` and `seeds` at a `scale` on a `dataset`, with
    the parameters `common`, and (`evaluate`) the evaluations of the cells.

    Raises `UserError`, one line, for a name that is no parameter or a value that does not fit.
    """
    rest = given(names)
    known = ("scale", "dataset", "study", "seeds", "methods", "common")
    for name in rest:
        if name not in known:
            raise ParameterError(f"unknown parameter {name!r}; valid: {', '.join(known)}")
    values = {"scale": rest["scale"], "dataset": rest["dataset"]}
    arms = {method: {"method": method, "seed": rest["seeds"], "study": rest["study"]} for method in rest["methods"]}
    groups: list[dict[str, Any]] = [{"kind": "search", "common": {**values, **rest["common"]}, "arms": arms}]
    if evaluate:
        groups.append({"kind": "evaluation", "of": "searches", "common": values})
    return plan("comparison", {"title": "methods compared", "runs": groups})


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

"""What a dataclass of parameters carries on each field's own line, its help, range, choices and length, and what is made of it: typed
values, checks in one line, the options of a command."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import numbers
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import field
from typing import Any

from ..errors import UserError
from .presets import OTHER_NAMES


class ParameterError(UserError):
    """A parameter that is unknown, ill-typed or out of range."""


def parameter(
    default: Any, help: str, within: str = "", choices: tuple[str, ...] = (), *, longest: int = 255, machine: bool = False
) -> Any:
    """A field of a dataclass of parameters, for `typed`, `check` and `add_arguments`.

    within: the interval that a number must lie in, for example `[0, 1)` or `(0, ∞)`. longest: a text's length in bytes.
    machine: of the machine, not of the experiment, so no part of a run's identity.
    """
    metadata = {"help": help, "within": within, "choices": choices, "longest": longest, "machine": machine}
    return field(default=default, metadata=metadata)


def typed(kind: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values given for the fields of a dataclass, by name and of its types (from strings too).

    Raises `ParameterError`, one line, for an unknown name (with the valid ones) or an ill-typed value.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in given:
        if name not in fields:
            ours = [known for known, others in OTHER_NAMES.items() if name in others.split() and known in fields]
            close = ours or difflib.get_close_matches(str(name), fields, 1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise ParameterError(f"unknown parameter {shown(name)}{hint}; valid: {', '.join(fields)}")
    return {name: _convert(name, str(fields[name].type), value) for name, value in given.items()}


def shown(value: Any) -> str:
    """A value as a message shows it: cut where it is long."""
    text = repr(value) if isinstance(value, str | numbers.Number | os.PathLike | None) else f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "…'"


def _convert(name: str, type_name: str, value: Any) -> Any:
    wanted = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}[type_name]
    error = ParameterError(f"parameter {name} must be {wanted}, not {shown(value)}")
    if type_name == "str" and isinstance(value, str | os.PathLike) and "\0" not in str(value):
        return os.fspath(value)
    if type_name == "bool" and isinstance(value, bool | str) and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    if type_name in ("int", "float") and isinstance(value, str | numbers.Real) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            if type_name == "int" and isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
                return int(value)  # a float would round a large one
            number = float(value)
            if math.isfinite(number) and (type_name == "float" or number.is_integer()):
                return number if type_name == "float" else int(value if isinstance(value, numbers.Integral) else number)
    raise error


def _inside(value: float, within: str) -> bool:
    low, high = (float(bound.replace("∞", "inf")) for bound in within[1:-1].split(","))
    return (low <= value if within[0] == "[" else low < value) and (value <= high if within[-1] == "]" else value < high)


def check(values: Any, error: type[UserError] = ParameterError) -> None:
    """Compare the fields of a dataclass with their ranges, choices and lengths. Raises `error`, one line."""
    for f in dataclasses.fields(values):
        value, m = getattr(values, f.name), f.metadata
        if m["choices"] and value not in m["choices"]:
            raise error(f"{f.name} must be one of {', '.join(c or 'empty' for c in m['choices'])}, not {shown(value)}")
        if m["within"] and not _inside(value, m["within"]):
            raise error(f"{f.name} must lie in {m['within']}, not {shown(value)}")
        length = len(value.encode(errors="surrogatepass")) if isinstance(value, str) else 0
        if length > m["longest"]:
            raise error(f"{f.name} must have at most {m['longest']} bytes, not {length}")


def add_arguments(parser: argparse.ArgumentParser, kind: type[Any], scales: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """An option for each field of a dataclass of parameters, its help with limits and default. `typed` and `check` judge its value.

    scales: what each scale sets in place of the default.
    """

    def text(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value) or "empty"

    for f in dataclasses.fields(kind):
        within, choices, about = (f.metadata[key] for key in ("within", "choices", "help"))
        limits = f"in {within}" if within else f"one of {', '.join(map(text, choices))}" if choices else ""
        others = [f"{scale}: {text(given[f.name])}" for scale, given in (scales or {}).items() if f.name in given]
        default = "" if f.default == "" else f"default {', '.join([text(f.default), *others])}"
        parser.add_argument(
            f"--{f.name.replace('_', '-')}",
            metavar=str(f.type).upper(),
            default=argparse.SUPPRESS,
            help="; ".join(filter(None, (about, limits, default))).replace("%", "%%"),
        )

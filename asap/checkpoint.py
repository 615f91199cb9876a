"""Tensors and a JSON state in one safetensors file, written whole or not at all, and read without executing code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .errors import UserError
from .records import write_atomically


class CheckpointError(UserError):
    """A checkpoint that is damaged, or of another configuration."""


def write_tensors(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and a JSON-able state to `path` in one step. Raises OSError; what lay there is then untouched."""
    whole = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    write_atomically(path, save(whole, {"state": json.dumps(state)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_tensors` wrote. Raises `CheckpointError` where the file is no such thing."""
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint: {' '.join(str(error).split())}") from None


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: dict[Tensor, str]) -> dict[str, Tensor]:
    """The state of an optimizer by the names of its parameters: `name/key` → tensor."""
    flat = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if value is not None:
                flat[f"{names[parameter]}/{key}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return flat


def load_optimizer(optimizer: torch.optim.Optimizer, names: dict[Tensor, str], flat: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took."""
    parameters = {name: parameter for parameter, name in names.items()}
    for path, value in flat.items():
        name, key = path.rsplit("/", 1)
        parameter = parameters[name]
        moved = value.clone() if key == "step" else value.to(parameter.device).clone(memory_format=torch.preserve_format)
        if moved.dim() == 4:
            moved = moved.contiguous(memory_format=torch.channels_last) if _is_channels_last(parameter) else moved.contiguous()
        optimizer.state[parameter][key] = moved


def _is_channels_last(x: Tensor) -> bool:
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()

"""Tensors and a JSON state in one file, written whole or not at all, and read without executing code (`weights_only`)."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, one_line
from ..records.recorder import write_atomically


class CheckpointError(UserError):
    """A checkpoint that is damaged, or of another configuration."""


def digest(tensors: dict[str, Tensor], state: str) -> str:
    """SHA-256 of the state and of every tensor's name, type, shape and bytes."""
    whole = hashlib.sha256(state.encode())
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


def write_tensors(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and a JSON-able state to `path` in one step. Raises OSError; what lay there is then untouched."""
    kept, text, buffer = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}, json.dumps(state), io.BytesIO()
    torch.save({"tensors": kept, "state": text, "digest": digest(kept, text)}, buffer)
    write_atomically(path, buffer.getvalue())


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_tensors` wrote, mapped into memory. Raises `CheckpointError` where the file is no such thing, or not as it was
    written. A file from before there was a digest has none to compare."""
    try:
        content = torch.load(path, weights_only=True, mmap=True)
        if content.keys() | {"digest"} != {"tensors", "state", "digest"}:
            raise ValueError("it holds other things")
        tensors, text = content["tensors"], content["state"]
        if "digest" in content and content["digest"] != digest(tensors, text):
            raise ValueError("its digest does not match")
        state = json.loads(text)
    except Exception as error:  # a damaged file fails in whatever way it likes
        raise CheckpointError(f"{path} is not a whole checkpoint ({one_line(error)}): delete it, and the run begins anew") from None
    return tensors, state


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str]) -> dict[str, Tensor]:
    """The state of an optimizer. names: for each of its parameters how the names of its state begin."""
    states = ((prefix, optimizer.state.get(parameter, {})) for parameter, prefix in names.items())
    return {prefix + key: value for prefix, state in states for key, value in state.items() if isinstance(value, Tensor)}


def load_optimizer(optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str], saved: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took, in the layout of the parameters here: a fused optimizer wants the same strides."""
    parameters = {prefix: parameter for parameter, prefix in names.items()}
    for name, value in saved.items():
        key = re.split("[./]", name)[-1]
        parameter = parameters.get(name.removesuffix(key))
        if parameter is not None and value.shape == parameter.shape:
            optimizer.state[parameter][key] = torch.empty_like(parameter, requires_grad=False).copy_(value)
        elif parameter is not None:  # a count of steps, on the device for CUDA graphs alone
            optimizer.state[parameter][key] = value.clone().to(parameter.device if optimizer.defaults.get("capturable") else "cpu")

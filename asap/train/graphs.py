"""A training step as one CUDA graph: launched once instead of thousands of times, captured anew when the network changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

Step = Callable[..., tuple[Tensor, ...]]


class Backend(Protocol):
    """What `Graphed` asks of a device."""

    def warm(self, step: Step, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Run the step as it is, where its allocations do not disturb a later capture."""

    def capture(self, step: Step, inputs: tuple[Tensor, ...]) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        """Record the step on these inputs without running it: a function that runs it, and the tensors it then fills."""


class CudaBackend:
    """torch.cuda's streams and graphs."""

    def warm(self, step: Step, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            outputs = step(*inputs)
        torch.cuda.current_stream().wait_stream(side)
        return outputs

    def capture(self, step: Step, inputs: tuple[Tensor, ...]) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = step(*inputs)
        return graph.replay, outputs


class Graphed:
    """A step that is replayed as a graph.

    After `reset` (a pruning, a new epoch's rate or temperature) the next `warm_up` calls run it as it is, and the call
    after them captures it; every call is a real step, whichever way it runs. The step must take and return tensors
    alone, of the same shapes each time, and must not read a value back to the host.
    """

    def __init__(self, step: Step, backend: Backend | None = None, warm_up: int = 2) -> None:
        self.step, self.backend, self.warm_up = step, backend or CudaBackend(), warm_up
        self.reset()

    def reset(self) -> None:
        """Forget the graph: what it was captured from has changed."""
        self.calls = 0
        self.replay: Callable[[], None] | None = None
        self.inputs: tuple[Tensor, ...] = ()
        self.outputs: tuple[Tensor, ...] = ()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run one step. What it returns is overwritten by the next call."""
        self.calls += 1
        if self.calls <= self.warm_up:
            return self.backend.warm(self.step, inputs)
        if self.replay is None:
            self.inputs = tuple(x.clone(memory_format=torch.preserve_format) for x in inputs)
            self.replay, self.outputs = self.backend.capture(self.step, self.inputs)
        else:
            for kept, x in zip(self.inputs, inputs, strict=True):
                kept.copy_(x, non_blocking=True)
        self.replay()
        return self.outputs


def graphed(step: Step, device: torch.device, wanted: bool) -> Any:
    """The step as a graph where that is wanted and the device is CUDA, else the step itself."""
    return Graphed(step) if wanted and device.type == "cuda" else step


def reset(*steps: Any) -> None:
    """Reset those of the steps that are graphs."""
    for step in steps:
        if isinstance(step, Graphed):
            step.reset()

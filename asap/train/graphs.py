"""A training step as one CUDA graph: launched once instead of thousands of times, captured anew when the network changes.

What changes between steps (rate, temperature, drop-path) is a tensor that a graph reads anew at each replay: `changing`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..errors import one_line

Step = Callable[..., tuple[Tensor, ...]]


@cache
def _pool(device: torch.device) -> tuple[Any, ...]:
    """The memory that the graphs of a device share, which are never replayed at once; and a small graph that stays.

    torch gives a pool up when its last graph goes, and then fails at the next capture into it.
    """
    graph, pool, number = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle(), torch.zeros((), device=device)
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        number.add_(1)
    return pool, graph, number


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of all graphs of a device: torch gives the memory of one stream to no other, so two would need it twice."""
    return torch.cuda.Stream(device)


class CudaBackend:
    """torch.cuda's graphs on one device: what `Graphed` asks of one."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
        self.stream = _stream(self.device)

    def warm(self, step: Step, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Run the step as it is, where its allocations do not disturb a later capture."""
        with torch.cuda.device(self.device):
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                outputs = step(*inputs)
            torch.cuda.current_stream().wait_stream(self.stream)
        return outputs

    def capture(self, step: Step, inputs: tuple[Tensor, ...]) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        """Record the step on these inputs without running it: a function that runs it, and the tensors it then fills.

        Raises RuntimeError where the step cannot be recorded; the device then works on.
        """
        generator, before = torch.cuda.default_generators[self.device.index], torch.cuda.current_stream(self.device)
        collecting = gc.isenabled()
        gc.disable()  # a graph of an earlier run that is freed meanwhile would break this one
        try:
            with torch.cuda.device(self.device):
                graph = torch.cuda.CUDAGraph()  # other threads go on meanwhile: that which pins a folder's images calls CUDA too
                with torch.cuda.graph(graph, pool=_pool(self.device)[0], stream=self.stream, capture_error_mode="thread_local"):
                    outputs = step(*inputs)
        except RuntimeError:  # torch leaves its stream, the pool and the random generator as if it still recorded
            torch.cuda.set_stream(before)
            with suppress(RuntimeError, AttributeError):  # torch before 2.8 has another name for it
                torch._C._cuda_endAllocateToPool(self.device.index, _pool(self.device)[0])
            generator.graphsafe_set_state(generator.clone_state())
            raise
        finally:
            if collecting:
                gc.enable()
        return graph.replay, outputs


class Graphed:
    """A step that is replayed as a graph.

    The first `warm_up` calls run it as it is, and the call after them captures it; after `reset` (operations are deleted) one call
    runs as it is, which finds memory for what has changed. Every call is a real step, whichever way it runs. The step must take
    and return tensors alone, of the same shapes each time, and must not read a value back to the host. One that cannot be captured
    is run as it is until the next `reset`.
    """

    def __init__(self, step: Step, backend: Any, warm_up: int = 2) -> None:
        self.step, self.backend, self.warm_up = step, backend, warm_up
        self.calls = 0
        self.reset()

    def reset(self) -> None:
        """Forget the graph: what it was captured from has changed."""
        self.failed = False
        self.calls = min(self.calls, self.warm_up - 1)
        self.replay: Callable[[], None] | None = None
        self.inputs: tuple[Tensor, ...] = ()
        self.outputs: tuple[Tensor, ...] = ()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run one step. What it returns is overwritten by the next call."""
        self.calls += 1
        if self.calls <= self.warm_up:
            return self.backend.warm(self.step, inputs)
        if self.replay is None and not self.failed:
            self.inputs = tuple(x.clone(memory_format=torch.preserve_format) for x in inputs)
            try:
                self.replay, self.outputs = self.backend.capture(self.step, self.inputs)
            except RuntimeError as error:
                self.failed, self.inputs = True, ()
                print(f"a step could not be captured and runs without a graph: {one_line(error)}", file=sys.stderr)
        elif self.replay is not None:
            for kept, x in zip(self.inputs, inputs, strict=True):
                kept.copy_(x, non_blocking=True)
        if self.replay is None:
            return self.step(*inputs)
        self.replay()
        return self.outputs


def graphed(step: Step, device: torch.device, wanted: bool) -> Any:
    """The step as a graph where that is wanted and the device is CUDA, else the step itself."""
    return Graphed(step, CudaBackend(device)) if wanted and device.type == "cuda" else step


def changing(value: float, device: torch.device) -> Any:
    """A number that changes between steps: on CUDA a tensor () there, elsewhere the number. `changed` sets it."""
    return torch.tensor(value, device=device) if device.type == "cuda" else value


def changed(before: Any, value: float) -> Any:
    """`before` (of `changing`) at a new value: the same tensor, filled, or the number."""
    return before.fill_(value) if isinstance(before, Tensor) else value


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = changed(group["lr"], rate)

"""The machine that a run uses: device, random streams, clocks, and the description of both that a record keeps."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..records.parameters import ParameterError, git_commit


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is a device. Raises `ParameterError` for an unknown or absent one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("another kind of device")
    except RuntimeError:
        raise ParameterError(f"device must be auto, cpu or cuda[:N], not {name!r}") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ParameterError(f"device {name} is not there; this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def set_up(device: torch.device) -> None:
    """What every run on a device wants: on CUDA float32 that is float32, on a CPU an allocator that keeps its memory.

    torch lets CUDA's convolutions round to TF32 (10 bits), which makes gradients of a first step wrong by 3 to 8 %.
    Triton launches its kernels, and torch records its events, on the current device.
    """
    if device.type == "cuda":
        if device.index is not None:
            torch.cuda.set_device(device)
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    else:
        keep_freed_memory()


def check_room(weights: float, device: torch.device) -> None:
    """Raise `ParameterError` where the memory does not hold so many weights (float32) with their gradients and their momentum."""
    room = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else (memory_gib() or math.inf) * 2**30
    if 12 * weights > room:
        needed = f"a network of {weights:.2g} weights needs {12 * weights / 1e9:,.0f} GB with their gradients and momentum"
        raise ParameterError(f"{needed}, and there are {room / 1e9:,.0f}: give fewer channels, layers or nodes")


def random_stream(seed: int, *place: int) -> torch.Generator:
    """A CPU generator for one purpose: the same seed and place give the same numbers, whatever was drawn before.

    A place is (epoch, purpose) for instance, so a resumed run draws what an unkilled one would have drawn.
    """
    words = np.random.SeedSequence([seed, *place]).generate_state(2, np.uint32).astype(np.uint64)
    return torch.Generator().manual_seed(int(words @ np.array([1, 1 << 31], np.uint64)))


def seed_everything(seed: int, *place: int) -> None:
    """Seed torch's global streams (initial weights, drop-path) for one place."""
    torch.manual_seed(random_stream(seed, *place).initial_seed())


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """bf16 autocast, or nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def keep_freed_memory() -> None:
    """Let glibc keep the memory that tensors free, instead of faulting every page anew at the next step.

    Measured: a tenth of an evaluation step on a CPU. Elsewhere than on glibc it does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for option, value in ((-3, 1 << 30), (-1, (1 << 31) - 1), (-2, 256 << 20)):  # mmap threshold, trim threshold, top pad
        mallopt(option, value)


def clock_of(device: torch.device) -> str:
    """How steps are timed: `events` on CUDA; `process` (CPU time, which no other process disturbs) on one CPU thread;
    `wall` on several."""
    return "events" if device.type == "cuda" else "process" if torch.get_num_threads() == 1 else "wall"


class Stopwatch:
    """Adds up the seconds between `start` and `stop` by the clock of the device; on CUDA without waiting for it."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.now = time.process_time if clock_of(device) == "process" else time.perf_counter
        self.seconds = 0.0
        self.events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def start(self) -> None:
        if self.cuda:
            self.events.append((torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)))
            self.events[-1][0].record()
        else:
            self.began = self.now()

    def stop(self) -> None:
        if self.cuda:
            self.events[-1][1].record()
        else:
            self.seconds += self.now() - self.began

    def total(self) -> float:
        """Seconds so far; on CUDA this waits for the device."""
        if self.cuda and self.events:
            torch.cuda.synchronize()
            self.seconds += sum(a.elapsed_time(b) for a, b in self.events) / 1000
            self.events = []
        return self.seconds


def peak_memory(device: torch.device) -> float:
    """The peak so far, in MiB: of the device where it is CUDA, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if platform.system() == "Darwin" else 2**10)


def describe(device: torch.device) -> dict[str, Any]:
    """Code, versions and hardware, for a record."""
    import torchvision

    return {
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": _processor(),
        "tf32": device.type == "cuda" and (torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "clock": clock_of(device),
        "memory_gib": memory_gib(),
    }


def memory_gib() -> float | None:
    """The machine's memory; None where it does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

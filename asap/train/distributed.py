"""Several processes that train one network: `torchrun --nproc-per-node 2 -m asap.cli evaluate …`.

Each process makes its share of every batch and DistributedDataParallel averages the gradients, so together they take
the steps of one process at the whole batch. BatchNorm's statistics are each process' own, as on the paper's two GPUs,
unless `sync_batch_norm` is set. The first process alone writes. Without torchrun everything here is for one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as dist_functional
from torch import Tensor, nn

from ..errors import UserError


def world() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def local_device(device: torch.device) -> torch.device:
    """This process' own GPU where there are several. Raises `UserError` where there are fewer than processes."""
    if device.type == "cuda" and device.index is None and world() > 1:
        place, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if place >= there:
            raise UserError(f"{place + 1} processes or more on this machine, which has {there} GPUs; give --nproc-per-node {there}")
        return torch.device("cuda", place)
    return device


@contextmanager
def group(device: torch.device, batch: int) -> Iterator[None]:
    """Join the other processes, and leave them at the end. Raises `UserError` where the batch cannot be shared evenly."""
    if world() == 1:
        yield
        return
    if batch % world():
        raise UserError(f"a batch of {batch} cannot be shared evenly by {world()} processes")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def parallel(network: nn.Module, device: torch.device, idle: bool = False) -> nn.Module:
    """The network as all processes train it: from the first one's weights, with gradients averaged. idle: whether it may have weights
    without a gradient."""
    if world() == 1:
        return network
    return nn.parallel.DistributedDataParallel(network, [device] if device.type == "cuda" else None, find_unused_parameters=idle)


def same_buffers(network: nn.Module) -> None:
    """Give every process the first one's buffers: BatchNorm's running statistics, which each updates by its own share of a batch."""
    for buffer in network.buffers() if world() > 1 else ():
        dist.broadcast(buffer, 0)


def share_batch_norm(network: nn.Module) -> None:
    """Replace every BatchNorm by one over the images of all processes; with one process, nothing."""
    if world() == 1:
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, SharedBatchNorm.of(child))


def total(value: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    if world() > 1:
        dist.all_reduce(value)
    return value


def from_first(value: Any) -> Any:
    """What the first process has."""
    if world() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


class SharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm over the images of all processes; torch's SyncBatchNorm does not run on a CPU."""

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> SharedBatchNorm:
        """This BatchNorm with its weights and statistics, shared."""
        shared = cls(norm.num_features, norm.eps, norm.momentum, norm.affine)
        shared.load_state_dict(norm.state_dict())
        return shared

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        wide = x.to(self.running_mean.dtype)  # under autocast x is bf16
        mean = dist_functional.all_reduce(wide.mean((0, 2, 3))) / world()
        centred = wide - mean[:, None, None]
        variance = dist_functional.all_reduce((centred * centred).mean((0, 2, 3))) / world()
        with torch.no_grad():
            count = x.numel() // x.shape[1] * world()
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        y = centred * (variance + self.eps).rsqrt()[:, None, None]
        return (y * self.weight[:, None, None] + self.bias[:, None, None] if self.affine else y).to(x.dtype)

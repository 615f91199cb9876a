"""The functions of cuda.py's chains as Triton kernels. Tensors are (B, G·C, H, W), contiguous; sums of nodes are (T, B, C, H, W).

BatchNorm and ReLU happen where a depthwise convolution reads (triton_depthwise.py), and BatchNorm, Φ and the sum over operations where a
node is written (here): of a chain, only what its convolutions put out is ever in memory. A program does a tile of BC channels × PB pixels;
sums over a batch are taken over IMAGES images by a program, and the rest by torch. With TRITON_INTERPRET=1 it runs on a CPU.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language import constexpr

from .cuda import Entries, Statistics

IN = {torch.float64: tl.float64, torch.float32: tl.float32, torch.bfloat16: tl.float32}  # what a kernel computes in, ACC
TILE, IMAGES = 512, 8
Read = tuple[Any, ...]  # tensors that a kernel reads, or None


def tiles(pixels: int) -> dict[str, int]:
    """The sizes of a tile."""
    pb = min(TILE, triton.next_power_of_2(pixels))
    return {"PB": pb, "BC": max(1, min(16, TILE // pb))}


def sizes(y: Tensor, groups: int) -> dict[str, Any]:
    """What the kernels of this file are told of y (B, G·C, H, W), and of their tiles."""
    b, channels, h, w = y.shape
    return {"B": b, "C": channels // groups, "G": groups, "HW": h * w, "ACC": IN[y.dtype], **tiles(h * w)}


def blank(x: Tensor, *shape: int) -> Tensor:
    """A tensor for sums of x."""
    return x.new_empty(shape, dtype=torch.promote_types(x.dtype, torch.float32))


@triton.jit
def place(C, PB: constexpr, BC: constexpr):
    """The channels (BC, 1) and the pixels (1, PB) of a program, and the number of its tile of pixels."""
    rows = tl.cdiv(C, BC)
    tile = tl.program_id(0) // rows
    return (tl.program_id(0) % rows) * BC + tl.arange(0, BC)[:, None], tile * PB + tl.arange(0, PB)[None, :], tile


@triton.jit
def normal(x, at, mean, inverse, channel, ok, ACC: constexpr):
    """x at `at`; where there is a mean, normalised: (x − mean)·inverse of its channel."""
    v = tl.load(x + at, mask=ok, other=0.0).to(ACC)
    if mean is not None:
        v = (v - tl.load(mean + channel)) * tl.load(inverse + channel)
    return v


@triton.jit(do_not_specialize=["B", "C", "G", "ENTRIES"])
def _sums(
    g, y, mean, inverse, groups, targets, partial, B, C, G, ENTRIES,
    HW: constexpr, IMAGES: constexpr, BC: constexpr, PB: constexpr, ACC: constexpr,
):  # fmt: skip
    """partial (chunks, 2, entries, C): Σ of g of an entry's target, and Σ of it with the normalised y of its group, over IMAGES images."""
    c, n, chunk = tl.program_id(0) * BC + tl.arange(0, BC)[:, None], tl.program_id(1), tl.program_id(2).to(tl.int64)
    safe, t = tl.minimum(c, C - 1), tl.load(targets + n)
    channel = tl.load(groups + n) * C + safe
    one, two = tl.zeros([BC, PB], ACC), tl.zeros([BC, PB], ACC)
    for b in range(chunk * IMAGES, min((chunk + 1) * IMAGES, B)):
        for p0 in range(0, HW, PB):
            p = p0 + tl.arange(0, PB)[None, :]
            ok = (c < C) & (p < HW)
            d = tl.load(g + ((t * B + b) * C + safe) * HW + p, mask=ok, other=0.0).to(ACC)
            one += d
            two += d * normal(y, (b * G * C + channel) * HW + p, mean, inverse, channel, ok, ACC)
    at = partial + (chunk * 2 * ENTRIES + n) * C + c
    tl.store(at, tl.sum(one, 1, keep_dims=True), mask=c < C)
    tl.store(at + ENTRIES * C, tl.sum(two, 1, keep_dims=True), mask=c < C)


def sums(g: Tensor, y: Tensor, mean: Tensor | None, inverse: Tensor | None, index: dict[str, Tensor], given: dict[str, Any]) -> Tensor:
    """What `_sums` finds. index: of `Entries`. given: the `sizes`."""
    n = len(index["groups"])
    partial = blank(y, triton.cdiv(given["B"], IMAGES), 2, n, given["C"])
    grid = (triton.cdiv(given["C"], given["BC"]), n, len(partial))
    _sums[grid](g, y, mean, inverse, index["groups"], index["targets"], partial, ENTRIES=n, IMAGES=IMAGES, **given)
    return partial


@triton.jit(do_not_specialize=["C", "N", "chunks"])
def _finish_moments(
    partial, mean, inverse, running_mean, running_variance, chunks, C, N, momentum, EPS: constexpr, BLOCK: constexpr, ACC: constexpr
):
    """Mean and 1/√(variance + ε) from partial (chunks, 2, C), Σx and Σx² of each channel; and the running statistics are moved."""
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok, one, two = c < C, tl.zeros([BLOCK], ACC), tl.zeros([BLOCK], ACC)
    for i in range(chunks):
        one += tl.load(partial + (i * 2) * C + c, mask=ok, other=0.0)
        two += tl.load(partial + (i * 2 + 1) * C + c, mask=ok, other=0.0)
    m = one / N
    v = tl.maximum(two / N - m * m, 0.0)
    tl.store(mean + c, m, mask=ok)
    tl.store(inverse + c, 1.0 / tl.sqrt(v + EPS), mask=ok)
    old_m, old_v = tl.load(running_mean + c, mask=ok), tl.load(running_variance + c, mask=ok)
    tl.store(running_mean + c, old_m + momentum * (m - old_m), mask=ok)
    tl.store(running_variance + c, old_v + momentum * (v * (N / (N - 1.0)) - old_v), mask=ok)


@cache
def single(device: torch.device) -> dict[str, Tensor]:
    """The index of one entry, the only group to the only target, and its Φ of 1: for kernels where there is no sum."""
    return Entries([(0, 0, 0)], 1, 1, device).index | {"phi": torch.ones(1, device=device)}


def moments(x: Tensor, norm: Statistics | None) -> tuple[Tensor | None, Tensor | None, float]:
    """Mean and 1/√(variance + ε) of each channel, (G·C,), None without BatchNorm; and of how many pixels they are a function. In training
    they are of this batch, and the running statistics are moved."""
    if norm is None:
        return None, None, math.inf
    if not norm.one.training:
        return norm.mean, (norm.variance + norm.one.eps).rsqrt(), math.inf
    channels, pixels, momentum, eps = x.shape[1], x.numel() // x.shape[1], norm.one.momentum, norm.one.eps
    partial, (mean, inverse) = sums(x, x, None, None, single(x.device), sizes(x, 1)), blank(x, 2, channels)
    _finish_moments[(triton.cdiv(channels, 128),)](
        partial, mean, inverse, norm.mean, norm.variance, len(partial), channels, pixels, momentum, eps, 128, IN[x.dtype]
    )
    return mean, inverse, float(pixels)


@triton.jit(do_not_specialize=["B", "C", "G"])
def _mix(y, mean, inverse, total, phi, groups, starts, out, B, C, G, HW: constexpr, BC: constexpr, PB: constexpr, ACC: constexpr):
    """out (T, B, C, H, W): total, if there is one, and ΣΦ·y over the entries of each target."""
    c, p, _ = place(C, PB, BC)
    t, b = tl.program_id(1), tl.program_id(2).to(tl.int64)
    ok, safe = (c < C) & (p < HW), tl.minimum(c, C - 1)
    at, mixed = ((t * B + b) * C + c) * HW + p, tl.zeros([BC, PB], ACC)
    if total is not None:
        mixed += tl.load(total + at, mask=ok, other=0.0).to(ACC)
    for n in range(tl.load(starts + t), tl.load(starts + t + 1)):
        channel = tl.load(groups + n) * C + safe
        mixed += tl.load(phi + n).to(ACC) * normal(y, (b * G * C + channel) * HW + p, mean, inverse, channel, ok, ACC)
    tl.store(out + at, mixed, mask=ok)


@triton.jit(do_not_specialize=["B", "C", "G", "ENTRIES", "N"])
def _mix_backward(
    g, y, mean, inverse, phi, sums, order, targets, starts, gy, B, C, G, ENTRIES, N,
    HW: constexpr, BC: constexpr, PB: constexpr, ACC: constexpr,
):  # fmt: skip
    """The gradient of y, d = ΣΦ·g over the entries of its group; where y is normalised (to z), inverse·(d − mean(d) − z·mean(d·z))."""
    c, p, _ = place(C, PB, BC)
    k, b = tl.program_id(1), tl.program_id(2).to(tl.int64)
    ok, safe = (c < C) & (p < HW), tl.minimum(c, C - 1)
    d, one, two = tl.zeros([BC, PB], ACC), tl.zeros([BC, 1], ACC), tl.zeros([BC, 1], ACC)
    for j in range(tl.load(starts + k), tl.load(starts + k + 1)):
        n = tl.load(order + j)
        f = tl.load(phi + n).to(ACC)
        d += f * tl.load(g + ((tl.load(targets + n) * B + b) * C + safe) * HW + p, mask=ok, other=0.0).to(ACC)
        if mean is not None:
            one += f * tl.load(sums + n * C + safe)
            two += f * tl.load(sums + (ENTRIES + n) * C + safe)
    channel = k * C + safe
    at = (b * G * C + channel) * HW + p
    if mean is not None:
        d = tl.load(inverse + channel) * (d - one / N - normal(y, at, mean, inverse, channel, ok, ACC) * (two / N))
    tl.store(gy + at, d, mask=ok)


def unmix(g: Tensor, read: Read, total: Tensor | None, index: dict[str, Tensor], gy: Tensor, given: dict[str, Any], n: float) -> Tensor:
    """gy, filled with what `_mix_backward` finds. read: y, mean, inverse, Φ. total: what `sums` finds, of all images. n: of `moments`."""
    grid = (triton.cdiv(given["C"], given["BC"]) * triton.cdiv(given["HW"], given["PB"]), given["G"], given["B"])
    places = (index["order"], index["targets"], index["by_group"])
    _mix_backward[grid](g, *read, total, *places, gy, ENTRIES=len(index["order"]), N=n, **given)
    return gy


class Mix(torch.autograd.Function):
    """`PlainFunctions.mix`."""

    @staticmethod
    def forward(ctx: Any, total: Tensor | None, y: Tensor, norm: Statistics | None, entries: Entries, phi: Tensor) -> Tensor:
        y, phi, index, given = y.contiguous(), phi.contiguous(), entries.index, sizes(y, entries.groups)
        b, c, (mean, inverse, n) = given["B"], given["C"], moments(y, norm)
        out, before = y.new_empty(entries.targets, b, c, *y.shape[2:]), None if total is None else total.contiguous()
        grid = (triton.cdiv(c, given["BC"]) * triton.cdiv(given["HW"], given["PB"]), entries.targets, b)
        _mix[grid](y, mean, inverse, before, phi, index["groups"], index["by_target"], out, **given)
        ctx.save_for_backward(y, mean, inverse, phi)
        ctx.index, ctx.given, ctx.n = index, given, n
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        g, (y, mean, inverse, phi), total, gy = g.contiguous(), ctx.saved_tensors, None, None
        if mean is not None or ctx.needs_input_grad[4]:
            total = sums(g, y, mean, inverse, ctx.index, ctx.given).sum(0)
        gphi = total[1].sum(-1).to(phi.dtype) if total is not None and ctx.needs_input_grad[4] else None
        if ctx.needs_input_grad[1]:
            gy = unmix(g, ctx.saved_tensors, total, ctx.index, torch.empty_like(y), ctx.given, ctx.n)
        return (g if ctx.needs_input_grad[0] else None), gy, None, None, gphi

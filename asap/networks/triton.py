"""The functions of cuda.py's chains as Triton kernels. Tensors are (B, G·C, H, W), contiguous; sums of nodes are (T, B, C·H·W).

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

from .cuda import Entries, Statistics

IN = {torch.float64: tl.float64, torch.float32: tl.float32, torch.bfloat16: tl.float32}  # what a kernel computes in
TILE, IMAGES = 512, 8


def tiles(pixels: int) -> dict[str, int]:
    """The sizes of a tile."""
    pb = min(TILE, triton.next_power_of_2(pixels))
    return {"PB": pb, "BC": max(1, min(16, TILE // pb))}


def blank(x: Tensor, *shape: int) -> Tensor:
    """A tensor for sums of x."""
    return torch.empty(shape, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)


@triton.jit
def place(C, PB: tl.constexpr, BC: tl.constexpr):
    """The channels (BC, 1) and the pixels (1, PB) of a program, and the number of its tile of pixels."""
    rows = tl.cdiv(C, BC)
    tile = tl.program_id(0) // rows
    return (tl.program_id(0) % rows) * BC + tl.arange(0, BC)[:, None], tile * PB + tl.arange(0, PB)[None, :], tile


@triton.jit
def normal(x, at, mean, inverse, channel, ok, NORM: tl.constexpr, ACC: tl.constexpr):
    """x at `at`, with NORM normalised: (x − mean)·inverse of its channel."""
    v = tl.load(x + at, mask=ok, other=0.0).to(ACC)
    if NORM:
        v = (v - tl.load(mean + channel)) * tl.load(inverse + channel)
    return v


@triton.jit(do_not_specialize=["B", "C", "G", "ENTRIES"])
def _sums(
    g, y, mean, inverse, groups, targets, partial, B, C, G, ENTRIES, HW: tl.constexpr,
    NORM: tl.constexpr, IMAGES: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """partial (chunks, 2, entries, C): Σ of g of an entry's target, and Σ of it with the normalised y of its group, over IMAGES images."""
    c, n, chunk = tl.program_id(0) * BC + tl.arange(0, BC)[:, None], tl.program_id(1), tl.program_id(2).to(tl.int64)
    safe = tl.minimum(c, C - 1)
    channel, t = tl.load(groups + n) * C + safe, tl.load(targets + n)
    one, two = tl.zeros([BC, PB], ACC), tl.zeros([BC, PB], ACC)
    for b in range(chunk * IMAGES, min((chunk + 1) * IMAGES, B)):
        for p0 in range(0, HW, PB):
            p = p0 + tl.arange(0, PB)[None, :]
            ok = (c < C) & (p < HW)
            d = tl.load(g + ((t * B + b) * C + safe) * HW + p, mask=ok, other=0.0).to(ACC)
            one += d
            two += d * normal(y, (b * G * C + channel) * HW + p, mean, inverse, channel, ok, NORM, ACC)
    row = tl.program_id(0) * BC + tl.arange(0, BC)
    at = partial + (chunk * 2 * ENTRIES + n) * C + row
    tl.store(at, tl.sum(one, 1), mask=row < C)
    tl.store(at + ENTRIES * C, tl.sum(two, 1), mask=row < C)


@triton.jit(do_not_specialize=["CH", "N", "chunks"])
def _finish_moments(
    partial, mean, inverse, running_mean, running_variance, chunks, CH, N, momentum,
    EPS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Mean and 1/√(variance + ε) from partial (chunks, 2, CH), Σx and Σx² of each channel; and the running statistics are moved."""
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = c < CH
    one, two = tl.zeros([BLOCK], ACC), tl.zeros([BLOCK], ACC)
    for i in range(chunks):
        one += tl.load(partial + (i * 2) * CH + c, mask=ok, other=0.0)
        two += tl.load(partial + (i * 2 + 1) * CH + c, mask=ok, other=0.0)
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


def sizes(y: Tensor, groups: int, norm: bool) -> dict[str, Any]:
    """What the kernels of this file are told of y (B, G·C, H, W), and of their tiles."""
    b, channels, h, w = y.shape
    return {"B": b, "C": channels // groups, "G": groups, "HW": h * w, "NORM": norm, "ACC": IN[y.dtype], **tiles(h * w)}


def sums(g: Tensor, y: Tensor, mean: Tensor, inverse: Tensor, index: dict[str, Tensor], given: dict[str, Any]) -> Tensor:
    """(chunks, 2, entries, C): for each entry Σ of g of its target, and Σ of it with the normalised y of its group."""
    n = len(index["groups"])
    partial = blank(y, triton.cdiv(given["B"], IMAGES), 2, n, given["C"])
    grid = (triton.cdiv(given["C"], given["BC"]), n, len(partial))
    _sums[grid](g, y, mean, inverse, index["groups"], index["targets"], partial, ENTRIES=n, IMAGES=IMAGES, **given)
    return partial


def moments(x: Tensor, norm: Statistics, training: bool) -> tuple[Tensor, Tensor]:
    """Mean and 1/√(variance + ε) of each channel, (G·C,); in training of this batch, and the running statistics are moved."""
    if not training:
        return norm.mean, (norm.variance + norm.one.eps).rsqrt()
    b, ch, h, w = x.shape
    mean, inverse = blank(x, 2, ch)
    partial = sums(x, x, x, x, single(x.device), sizes(x, 1, False))
    _finish_moments[(triton.cdiv(ch, 128),)](
        partial, mean, inverse, norm.mean, norm.variance, len(partial), ch, b * h * w, norm.one.momentum, norm.one.eps, 128, IN[x.dtype]
    )
    return mean, inverse


# Σ Φ·BatchNorm(y's group) over entries (group, target)


@triton.jit(do_not_specialize=["B", "C", "G"])
def _mix(
    y, mean, inverse, total, phi, groups, starts, out, B, C, G, HW: tl.constexpr,
    ADD: tl.constexpr, NORM: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """out (T, B, C·HW): ΣΦ·y over the entries of each target, with ADD on top of total."""
    c, p, _ = place(C, PB, BC)
    t, b = tl.program_id(1), tl.program_id(2).to(tl.int64)
    ok, safe = (c < C) & (p < HW), tl.minimum(c, C - 1)
    at = ((t * B + b) * C + c) * HW + p
    sum_ = tl.zeros([BC, PB], ACC)
    if ADD:
        sum_ += tl.load(total + at, mask=ok, other=0.0).to(ACC)
    for n in range(tl.load(starts + t), tl.load(starts + t + 1)):
        channel = tl.load(groups + n) * C + safe
        v = normal(y, (b * G * C + channel) * HW + p, mean, inverse, channel, ok, NORM, ACC)
        sum_ += tl.load(phi + n).to(ACC) * v
    tl.store(out + at, sum_, mask=ok)


@triton.jit(do_not_specialize=["B", "C", "G", "ENTRIES", "N"])
def _mix_backward(
    g, y, mean, inverse, phi, sums, order, targets, starts, gy, B, C, G, ENTRIES, N, HW: tl.constexpr,
    NORM: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """The gradient of y, with NORM inverse·(d − mean(d) − z·mean(d·z)), z the normalised y and d = ΣΦ·g over the entries of its group."""
    c, p, _ = place(C, PB, BC)
    k, b = tl.program_id(1), tl.program_id(2).to(tl.int64)
    ok, safe = (c < C) & (p < HW), tl.minimum(c, C - 1)
    d, one, two = tl.zeros([BC, PB], ACC), tl.zeros([BC, 1], ACC), tl.zeros([BC, 1], ACC)
    for j in range(tl.load(starts + k), tl.load(starts + k + 1)):
        n = tl.load(order + j)
        f = tl.load(phi + n).to(ACC)
        d += f * tl.load(g + ((tl.load(targets + n) * B + b) * C + safe) * HW + p, mask=ok, other=0.0).to(ACC)
        if NORM:
            one += f * tl.load(sums + n * C + safe)
            two += f * tl.load(sums + (ENTRIES + n) * C + safe)
    channel = k * C + safe
    at = (b * G * C + channel) * HW + p
    if NORM:
        z = normal(y, at, mean, inverse, channel, ok, NORM, ACC)
        d = tl.load(inverse + channel) * (d - one / N - z * (two / N))
    tl.store(gy + at, d, mask=ok)


def unmix(
    g: Tensor, y: Tensor, mean: Tensor, inverse: Tensor, phi: Tensor, total: Tensor, index: dict[str, Tensor], gy: Tensor,
    given: dict[str, Any], training: bool,
) -> Tensor:  # fmt: skip
    """`_mix_backward` into gy. total: of `sums`. What BatchNorm divides them by are the pixels that its statistics are of; else they
    do not count."""
    pixels = float(given["B"] * given["HW"]) if training else math.inf
    grid = (triton.cdiv(given["C"], given["BC"]) * triton.cdiv(given["HW"], given["PB"]), given["G"], given["B"])
    _mix_backward[grid](
        g, y, mean, inverse, phi, total, index["order"], index["targets"], index["by_group"], gy, ENTRIES=len(phi), N=pixels, **given
    )
    return gy


def norm_backward(gz: Tensor, x: Tensor, mean: Tensor, inverse: Tensor, total: Tensor, training: bool) -> Tensor:
    """Make of the gradient of the normalised x that of x, in place. total: (2, G·C), the sums of gz, and of gz with the normalised x."""
    index = single(x.device)
    return unmix(gz, x, mean, inverse, index["phi"], total, index, gz, sizes(x, 1, True), training)


class Mix(torch.autograd.Function):
    """`PlainFunctions.mix`."""

    @staticmethod
    def forward(
        ctx: Any, total: Tensor | None, y: Tensor, phi: Tensor, norm: Statistics | None, entries: Entries, training: bool
    ) -> Tensor:
        y, phi, index, given = y.contiguous(), phi.contiguous(), entries.index, sizes(y, entries.groups, norm is not None)
        b, c, hw = given["B"], given["C"], given["HW"]
        mean, inverse = (y, y) if norm is None else moments(y, norm, training)
        out = y.new_empty(entries.targets, b, c * hw)
        before = out if total is None else total.contiguous()
        grid = (triton.cdiv(c, given["BC"]) * triton.cdiv(hw, given["PB"]), entries.targets, b)
        _mix[grid](y, mean, inverse, before, phi, index["groups"], index["by_target"], out, ADD=total is not None, **given)
        ctx.save_for_backward(y, mean, inverse, phi)
        ctx.index, ctx.given, ctx.training = index, given, training
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (y, mean, inverse, phi), g, total, gy, gphi = ctx.saved_tensors, g.contiguous(), ctx.saved_tensors[3], None, None
        if ctx.given["NORM"] or ctx.needs_input_grad[2]:
            total = sums(g, y, mean, inverse, ctx.index, ctx.given).sum(0)
        if ctx.needs_input_grad[2]:
            gphi = total[1].sum(-1).to(phi.dtype)
        if ctx.needs_input_grad[1]:
            gy = unmix(g, y, mean, inverse, phi, total, ctx.index, torch.empty_like(y), ctx.given, ctx.training)
        return (g if ctx.needs_input_grad[0] else None), gy, gphi, None, None, None

"""The sum that writes a node as Triton kernels: Σ Φ·BatchNorm(y's group) over entries (group, target, column of Φ). As triton.py."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .cuda import Entries, Statistics
from .triton import IMAGES, IN, _Depthwise, _place, _tile, _wide, moments


@triton.jit(do_not_specialize=["C", "G", "T"])
def _mix(
    y, mean, inverse, total, phi, groups, columns, starts, out, C, G, T, HW: tl.constexpr,
    NORM: tl.constexpr, ADD: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    c, p, _ = _place(C, PB, BC)
    t, b = tl.program_id(1), tl.program_id(2)
    ok, safe = (c < C) & (p < HW), tl.minimum(c, C - 1)
    at = ((b * T + t) * C + c) * HW + p
    sum_ = tl.zeros([BC, PB], ACC)
    if ADD:
        sum_ += tl.load(total + at, mask=ok, other=0.0).to(ACC)
    for n in range(tl.load(starts + t), tl.load(starts + t + 1)):
        channel = tl.load(groups + n) * C + safe
        v = tl.load(y + (b * G * C + channel) * HW + p, mask=ok, other=0.0).to(ACC)
        if NORM:
            v = (v - tl.load(mean + channel)) * tl.load(inverse + channel)
        sum_ += tl.load(phi + tl.load(columns + n)).to(ACC) * v
    tl.store(out + at, sum_, mask=ok)


@triton.jit(do_not_specialize=["B", "C", "G", "T", "ENTRIES"])
def _mix_sums(
    g, y, mean, inverse, groups, targets, partial, B, C, G, T, ENTRIES, HW: tl.constexpr,
    NORM: tl.constexpr, IMAGES: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """partial (chunks, 2, entries, C): Σ of the target's gradient, and Σ of it with the normalised y."""
    c, n, chunk = tl.program_id(0) * BC + tl.arange(0, BC)[:, None], tl.program_id(1), tl.program_id(2)
    safe = tl.minimum(c, C - 1)
    channel, t = tl.load(groups + n) * C + safe, tl.load(targets + n)
    one, two = tl.zeros([BC, PB], ACC), tl.zeros([BC, PB], ACC)
    for b in range(chunk * IMAGES, min((chunk + 1) * IMAGES, B)):
        for p0 in range(0, HW, PB):
            p = p0 + tl.arange(0, PB)[None, :]
            ok = (c < C) & (p < HW)
            v = tl.load(y + (b * G * C + channel) * HW + p, mask=ok, other=0.0).to(ACC)
            if NORM:
                v = (v - tl.load(mean + channel)) * tl.load(inverse + channel)
            d = tl.load(g + ((b * T + t) * C + safe) * HW + p, mask=ok, other=0.0).to(ACC)
            one += d
            two += d * v
    row = tl.program_id(0) * BC + tl.arange(0, BC)
    at = partial + (chunk * 2 * ENTRIES + n) * C + row
    tl.store(at, tl.sum(one, 1), mask=row < C)
    tl.store(at + ENTRIES * C, tl.sum(two, 1), mask=row < C)


@triton.jit(do_not_specialize=["C", "G", "T", "ENTRIES", "N"])
def _mix_backward(
    g, y, mean, inverse, phi, sums, order, targets, columns, starts, gy, C, G, T, ENTRIES, N, HW: tl.constexpr,
    NORM: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    c, p, _ = _place(C, PB, BC)
    k, b = tl.program_id(1), tl.program_id(2)
    ok, safe = (c < C) & (p < HW), tl.minimum(c, C - 1)
    d, one, two = tl.zeros([BC, PB], ACC), tl.zeros([BC, 1], ACC), tl.zeros([BC, 1], ACC)
    for j in range(tl.load(starts + k), tl.load(starts + k + 1)):
        n = tl.load(order + j)
        f = tl.load(phi + tl.load(columns + n)).to(ACC)
        d += f * tl.load(g + ((b * T + tl.load(targets + n)) * C + safe) * HW + p, mask=ok, other=0.0).to(ACC)
        if NORM:
            one += f * tl.load(sums + n * C + safe)
            two += f * tl.load(sums + (ENTRIES + n) * C + safe)
    channel = k * C + safe
    at = (b * G * C + channel) * HW + p
    if NORM:
        i = tl.load(inverse + channel)
        z = (tl.load(y + at, mask=ok, other=0.0).to(ACC) - tl.load(mean + channel)) * i
        d = i * (d - one / N - z * (two / N))
    tl.store(gy + at, d, mask=ok)


def _index(entries: Entries) -> dict[str, Tensor]:
    """The entries, which are sorted by target; where each target's begin; their order by group, and where each group's begin."""
    if entries.index is None:
        groups, targets, columns = torch.tensor(entries.found).T.contiguous()
        order = groups.argsort(stable=True)
        found = {
            "groups": groups, "targets": targets, "columns": columns, "order": order,
            "by_target": torch.searchsorted(targets, torch.arange(entries.targets + 1)),
            "by_group": torch.searchsorted(groups[order].contiguous(), torch.arange(entries.groups + 1)),
        }  # fmt: skip
        entries.index = {name: value.to(entries.device, torch.int32) for name, value in found.items()}
    return entries.index


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, total: Tensor | None, y: Tensor, phi: Tensor, norm: Statistics | None, entries: Entries, training: bool
    ) -> Tensor:
        y, phi = y.contiguous(), phi.contiguous()
        b, ch, h, w = y.shape
        c, tile, ix = ch // entries.groups, _tile(h * w), _index(entries)
        mean, inverse = (y, y) if norm is None else moments(y, norm, training)
        out = torch.empty(b, entries.targets, c * h * w, dtype=y.dtype, device=y.device)
        ctx.sizes, ctx.flags = (c, entries.groups, entries.targets), {"HW": h * w, "NORM": norm is not None, "ACC": IN[y.dtype]}
        grid = (triton.cdiv(c, tile["BC"]) * triton.cdiv(h * w, tile["PB"]), entries.targets, b)
        base = y if total is None else total.contiguous()
        _mix[grid](
            y, mean, inverse, base, phi, ix["groups"], ix["columns"], ix["by_target"], out, *ctx.sizes,
            ADD=total is not None, **ctx.flags, **tile,
        )  # fmt: skip
        ctx.save_for_backward(y, mean, inverse, phi)
        ctx.entries, ctx.training = entries, training
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        y, mean, inverse, phi = ctx.saved_tensors
        g, entries, norm, ix = g.contiguous(), ctx.entries, ctx.flags["NORM"], _index(ctx.entries)
        (c, groups, _), hw, b, n = ctx.sizes, ctx.flags["HW"], len(y), len(entries.found)
        tile, chunks = _tile(hw), triton.cdiv(b, IMAGES)
        gy = gphi = None
        sums = phi
        if norm or ctx.needs_input_grad[2]:
            partial = torch.empty(chunks, 2, n, c, dtype=_wide(y), device=y.device)
            grid = (triton.cdiv(c, tile["BC"]), n, chunks)
            _mix_sums[grid](g, y, mean, inverse, ix["groups"], ix["targets"], partial, b, *ctx.sizes, n, **ctx.flags, IMAGES=IMAGES, **tile)
            sums = partial.sum(0)
            if ctx.needs_input_grad[2]:
                gphi = torch.zeros(phi.numel(), dtype=sums.dtype, device=y.device)
                gphi = gphi.index_add(0, entries.columns, sums[1].sum(-1)).view(phi.shape).to(phi.dtype)
            if not ctx.training:
                sums = torch.zeros_like(sums)
        if ctx.needs_input_grad[1]:
            gy = torch.empty_like(y)
            grid = (triton.cdiv(c, tile["BC"]) * triton.cdiv(hw, tile["PB"]), groups, b)
            _mix_backward[grid](
                g, y, mean, inverse, phi, sums, ix["order"], ix["targets"], ix["columns"], ix["by_group"], gy, *ctx.sizes, n, b * hw,
                **ctx.flags, **tile,
            )  # fmt: skip
        return (g if ctx.needs_input_grad[0] else None), gy, gphi, None, None, None


class TritonFunctions:
    """As `PlainFunctions`, whose docstrings say what they return."""

    @staticmethod
    def depthwise(x: Tensor, norm: Statistics | None, weights: list[Tensor], stride: int, dilation: int, training: bool) -> Tensor:
        return _Depthwise.apply(x, norm, training, stride, dilation, *weights)

    @staticmethod
    def mix(total: Tensor | None, y: Tensor, norm: Statistics | None, entries: Entries, phi: Tensor, training: bool) -> Tensor:
        return _Mix.apply(total, y, phi, norm, entries, training)

"""Depthwise convolutions of ReLU(x), or with NORM of ReLU((x − mean)·inverse), as Triton kernels (triton.py). n3 groups have kernels of
side 3, and the n5 after them of side 5; without NORM all groups read one source."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .cuda import Entries, Statistics
from .triton import IMAGES, IN, Mix, blank, moments, norm_backward, normal, place, tiles


@triton.jit
def _taps(x, weight, m, i, row, column, ok, H: tl.constexpr, W: tl.constexpr, SIDE: tl.constexpr, DIL: tl.constexpr, STRIDE: tl.constexpr, NORM: tl.constexpr, ACC: tl.constexpr):  # fmt: skip # noqa: E501
    total = tl.zeros(ok.shape, ACC)
    for t in tl.static_range(SIDE * SIDE):
        r = row * STRIDE + (t // SIDE - SIDE // 2) * DIL
        q = column * STRIDE + (t % SIDE - SIDE // 2) * DIL
        inside = ok & (r >= 0) & (r < H) & (q >= 0) & (q < W)
        u = tl.load(x + r * W + q, mask=inside, other=0.0).to(ACC)
        if NORM:
            u = (u - m) * i
        total += tl.where(inside, tl.maximum(u, 0.0), 0.0) * tl.load(weight + t).to(ACC)
    return total


@triton.jit(do_not_specialize=["C", "n3", "n5"])
def _forward(
    x, mean, inverse, w3, w5, y, C, n3, n5, H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr,
    DIL: tl.constexpr, STRIDE: tl.constexpr, NORM: tl.constexpr, ACC: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr,
):  # fmt: skip
    c, p, _ = place(C, PB, BC)
    g, b, groups = tl.program_id(1), tl.program_id(2).to(tl.int64), n3 + n5
    ok, safe = (c < C) & (p < HO * WO), tl.minimum(c, C - 1)
    m, i = tl.zeros([BC, 1], ACC), tl.zeros([BC, 1], ACC)
    if NORM:
        m, i = tl.load(mean + g * C + safe), tl.load(inverse + g * C + safe)
        base = x + ((b * groups + g) * C + safe) * H * W
    else:
        base = x + (b * C + safe) * H * W
    out = y + ((b * groups + g) * C + c) * HO * WO + p
    if g < n3:
        tl.store(out, _taps(base, w3 + (g * C + safe) * 9, m, i, p // WO, p % WO, ok, H, W, 3, DIL, STRIDE, NORM, ACC), mask=ok)
    else:
        tl.store(out, _taps(base, w5 + ((g - n3) * C + safe) * 25, m, i, p // WO, p % WO, ok, H, W, 5, DIL, STRIDE, NORM, ACC), mask=ok)


@triton.jit
def _taps_back(gy, weight, row, column, ok, HO: tl.constexpr, WO: tl.constexpr, SIDE: tl.constexpr, DIL: tl.constexpr, STRIDE: tl.constexpr, ACC: tl.constexpr):  # fmt: skip # noqa: E501
    total = tl.zeros(ok.shape, ACC)
    for t in tl.static_range(SIDE * SIDE):
        r = row - (t // SIDE - SIDE // 2) * DIL
        q = column - (t % SIDE - SIDE // 2) * DIL
        inside = ok & (r >= 0) & (r < HO * STRIDE) & (q >= 0) & (q < WO * STRIDE)
        if STRIDE == 2:
            inside = inside & (r % 2 == 0) & (q % 2 == 0)
            r, q = r // 2, q // 2
        total += tl.load(gy + r * WO + q, mask=inside, other=0.0).to(ACC) * tl.load(weight + t).to(ACC)
    return total


@triton.jit(do_not_specialize=["C", "n3", "n5"])
def _backward(
    gy, x, mean, inverse, w3, w5, gx, partial, C, n3, n5, H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr,
    DIL: tl.constexpr, STRIDE: tl.constexpr, NORM: tl.constexpr, ACC: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr,
):  # fmt: skip
    """The gradient of what ReLU reads; with NORM also its sum and its sum with the normalised x: partial (B·tiles, 2, G·C)."""
    c, p, tile = place(C, PB, BC)
    b, groups = tl.program_id(2).to(tl.int64), n3 + n5
    ok, safe = (c < C) & (p < H * W), tl.minimum(c, C - 1)
    first, last = tl.program_id(1), tl.program_id(1) + 1
    if not NORM:
        first, last = 0, groups
    total = tl.zeros([BC, PB], ACC)
    for g in range(first, last):
        here = gy + ((b * groups + g) * C + safe) * HO * WO
        if g < n3:
            total += _taps_back(here, w3 + (g * C + safe) * 9, p // W, p % W, ok, HO, WO, 3, DIL, STRIDE, ACC)
        else:
            total += _taps_back(here, w5 + ((g - n3) * C + safe) * 25, p // W, p % W, ok, HO, WO, 5, DIL, STRIDE, ACC)
    at = (b * tl.num_programs(1) + tl.program_id(1)) * C
    z = normal(x, (at + safe) * H * W + p, mean, inverse, first * C + safe, ok, NORM, ACC)
    total = tl.where(ok & (z > 0), total, 0.0)
    tl.store(gx + (at + safe) * H * W + p, total, mask=ok)
    if NORM:
        row = (tl.program_id(0) % tl.cdiv(C, BC)) * BC + tl.arange(0, BC)
        out = partial + (b * tl.cdiv(H * W, PB) + tile) * 2 * groups * C + first * C + row
        tl.store(out, tl.sum(total, 1), mask=row < C)
        tl.store(out + groups * C, tl.sum(total * z, 1), mask=row < C)


@triton.jit(do_not_specialize=["B", "C", "groups", "first", "count"])
def _weight_gradient(
    gy, x, mean, inverse, partial, B, C, groups, first, count, SIDE: tl.constexpr, TAPS: tl.constexpr, H: tl.constexpr, W: tl.constexpr,
    HO: tl.constexpr, WO: tl.constexpr, DIL: tl.constexpr, STRIDE: tl.constexpr, NORM: tl.constexpr, ACC: tl.constexpr,
    IMAGES: tl.constexpr, PB: tl.constexpr,
):  # fmt: skip
    """partial (chunks, count·C, SIDE²): the gradients of the kernels of the groups from `first` on, over IMAGES images."""
    own, c, chunk = tl.program_id(0) // C, tl.program_id(0) % C, tl.program_id(1).to(tl.int64)
    g, t = first + own, tl.arange(0, TAPS)[:, None]
    total = tl.zeros([TAPS, PB], ACC)
    for b in range(chunk * IMAGES, min((chunk + 1) * IMAGES, B)):
        source = (b * groups + g) * C + c
        base = (source if NORM else b * C + c) * H * W
        for p0 in range(0, HO * WO, PB):
            p = p0 + tl.arange(0, PB)[None, :]
            d = tl.load(gy + source * HO * WO + p, mask=p < HO * WO, other=0.0).to(ACC)
            r = (p // WO) * STRIDE + (t // SIDE - SIDE // 2) * DIL
            q = (p % WO) * STRIDE + (t % SIDE - SIDE // 2) * DIL
            inside = (t < SIDE * SIDE) & (p < HO * WO) & (r >= 0) & (r < H) & (q >= 0) & (q < W)
            u = normal(x, base + r * W + q, mean, inverse, g * C + c, inside, NORM, ACC)
            total += tl.where(inside, tl.maximum(u, 0.0), 0.0) * d
    taps = tl.arange(0, TAPS)
    at = partial + (chunk * count * C + tl.program_id(0)) * SIDE * SIDE + taps
    tl.store(at, tl.sum(total, 1), mask=taps < SIDE * SIDE)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: Statistics | None, training: bool, stride: int, dilation: int, *weights: Tensor) -> Tensor:
        x = x.contiguous()
        mean, inverse = (x, x) if norm is None else moments(x, norm, training)
        b, _, h, w = x.shape
        c, ho, wo = weights[0].shape[1], -(-h // stride), -(-w // stride)
        ctx.sides = {weight.shape[4]: weight for weight in weights}
        w3, w5 = (ctx.sides.get(side, weights[0]) for side in (3, 5))
        n3, n5 = (len(ctx.sides[side]) if side in ctx.sides else 0 for side in (3, 5))
        y = torch.empty(b, (n3 + n5) * c, ho, wo, dtype=x.dtype, device=x.device)
        ctx.shape = {"H": h, "W": w, "HO": ho, "WO": wo, "DIL": dilation, "STRIDE": stride, "NORM": norm is not None, "ACC": IN[x.dtype]}
        ctx.training, ctx.counts, tile = training, (n3, n5), tiles(ho * wo)
        ctx.save_for_backward(x, mean, inverse, w3, w5)
        grid = (triton.cdiv(c, tile["BC"]) * triton.cdiv(ho * wo, tile["PB"]), n3 + n5, b)
        _forward[grid](x, mean, inverse, w3, w5, y, c, n3, n5, **ctx.shape, **tile)
        return y

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, inverse, w3, w5 = ctx.saved_tensors
        gy, (b, ch, h, w), c, (n3, n5), norm = gy.contiguous(), x.shape, w3.shape[1], ctx.counts, ctx.shape["NORM"]
        gx = None
        if ctx.needs_input_grad[0]:
            gx, tile = torch.empty_like(x), tiles(h * w)
            count = triton.cdiv(h * w, tile["PB"])
            partial = blank(x, b * count, 2, ch) if norm else gx
            grid = (triton.cdiv(c, tile["BC"]) * count, n3 + n5 if norm else 1, b)
            _backward[grid](gy, x, mean, inverse, w3, w5, gx, partial, c, n3, n5, **ctx.shape, **tile)
            if norm:
                norm_backward(gx, x, mean, inverse, partial.sum(0), ctx.training)
        gradients: list[Tensor | None] = [None] * len(ctx.sides)
        if any(ctx.needs_input_grad[5:]):
            chunks, pb = triton.cdiv(b, IMAGES), min(128, triton.next_power_of_2(gy.shape[2] * gy.shape[3]))
            for k, (side, weight) in enumerate(ctx.sides.items()):
                count, taps, first = len(weight), triton.next_power_of_2(side * side), n3 if side == 5 else 0
                partial = blank(x, chunks, *weight.shape)
                _weight_gradient[(count * c, chunks)](
                    gy, x, mean, inverse, partial, b, c, n3 + n5, first, count, side, taps, **ctx.shape, IMAGES=IMAGES, PB=pb
                )
                gradients[k] = partial.sum(0).to(weight.dtype)
        return gx, None, None, None, None, *gradients


class TritonFunctions:
    """As `PlainFunctions`, whose docstrings say what they return."""

    @staticmethod
    def depthwise(x: Tensor, norm: Statistics | None, weights: list[Tensor], stride: int, dilation: int, training: bool) -> Tensor:
        return _Depthwise.apply(x, norm, training, stride, dilation, *weights)

    @staticmethod
    def mix(total: Tensor, y: Tensor, norm: Statistics | None, entries: Entries, phi: Tensor, training: bool) -> Tensor:
        return Mix.apply(total, y, phi, norm, entries, training)

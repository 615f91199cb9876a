"""The functions of cuda.py's chains as Triton kernels. Tensors are (B, G·C, H, W), contiguous.

BatchNorm and ReLU happen where a depthwise convolution reads, and BatchNorm, Φ and the sum over operations where a node is
written: of a chain, only what its convolutions put out is ever in memory. A program does a tile of BC channels × PB pixels;
sums over a batch are taken over IMAGES images by a program, and the rest by torch. With TRITON_INTERPRET=1 it runs on a CPU.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .cuda import Statistics

IN = {torch.float64: tl.float64, torch.float32: tl.float32, torch.bfloat16: tl.float32}  # what a kernel computes in
TILE, IMAGES = 512, 8


def _tile(pixels: int) -> dict[str, int]:
    pb = min(TILE, triton.next_power_of_2(pixels))
    return {"PB": pb, "BC": max(1, min(16, TILE // pb))}


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


@triton.jit
def _place(C, PB: tl.constexpr, BC: tl.constexpr):
    """The channels (BC, 1) and the pixels (1, PB) of a program, and the number of its tile of pixels."""
    rows = tl.cdiv(C, BC)
    tile = tl.program_id(0) // rows
    return (tl.program_id(0) % rows) * BC + tl.arange(0, BC)[:, None], tile * PB + tl.arange(0, PB)[None, :], tile


# BatchNorm's statistics


@triton.jit(do_not_specialize=["B", "CH"])
def _moments(x, partial, B, CH, HW: tl.constexpr, IMAGES: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr, ACC: tl.constexpr):
    """partial (chunks, 2, CH): Σx and Σx² of each channel over IMAGES images."""
    c, chunk = tl.program_id(0) * BC + tl.arange(0, BC)[:, None], tl.program_id(1)
    one, two = tl.zeros([BC, PB], ACC), tl.zeros([BC, PB], ACC)
    for b in range(chunk * IMAGES, min((chunk + 1) * IMAGES, B)):
        for p0 in range(0, HW, PB):
            p = p0 + tl.arange(0, PB)[None, :]
            v = tl.load(x + (b * CH + c) * HW + p, mask=(c < CH) & (p < HW), other=0.0).to(ACC)
            one += v
            two += v * v
    row = tl.program_id(0) * BC + tl.arange(0, BC)
    tl.store(partial + (chunk * 2) * CH + row, tl.sum(one, 1), mask=row < CH)
    tl.store(partial + (chunk * 2 + 1) * CH + row, tl.sum(two, 1), mask=row < CH)


@triton.jit(do_not_specialize=["CH", "N", "chunks"])
def _finish_moments(
    partial, mean, inverse, running_mean, running_variance, chunks, CH, N, momentum,
    EPS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
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


def moments(x: Tensor, norm: Statistics, training: bool) -> tuple[Tensor, Tensor]:
    """Mean and 1/√(variance + ε) of each channel, (G·C,); in training of this batch, and the running statistics are moved."""
    if not training:
        return norm.mean, (norm.variance + norm.eps).rsqrt()
    b, ch, h, w = x.shape
    chunks, tile = triton.cdiv(b, IMAGES), _tile(h * w)
    partial = torch.empty(chunks, 2, ch, dtype=_wide(x), device=x.device)
    mean, inverse = torch.empty(2, ch, dtype=_wide(x), device=x.device)
    _moments[(triton.cdiv(ch, tile["BC"]), chunks)](x, partial, b, ch, h * w, IMAGES, **tile, ACC=IN[x.dtype])
    _finish_moments[(triton.cdiv(ch, 128),)](
        partial, mean, inverse, norm.mean, norm.variance, chunks, ch, b * h * w, norm.momentum, norm.eps, 128, IN[x.dtype]
    )
    return mean, inverse


# depthwise convolutions of ReLU(x), or with NORM of ReLU((x − mean)·inverse); without NORM all groups read one source


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
    DIL: tl.constexpr, STRIDE: tl.constexpr, NORM: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    c, p, _ = _place(C, PB, BC)
    g, b, groups = tl.program_id(1), tl.program_id(2), n3 + n5
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
    DIL: tl.constexpr, STRIDE: tl.constexpr, NORM: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """The gradient of what ReLU reads; with NORM also its sum and its sum with the normalised x: partial (B·tiles, 2, G·C)."""
    c, p, tile = _place(C, PB, BC)
    b, groups = tl.program_id(2), n3 + n5
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
    z = tl.load(x + (at + safe) * H * W + p, mask=ok, other=0.0).to(ACC)
    if NORM:
        z = (z - tl.load(mean + first * C + safe)) * tl.load(inverse + first * C + safe)
    total = tl.where(ok & (z > 0), total, 0.0)
    tl.store(gx + (at + safe) * H * W + p, total, mask=ok)
    if NORM:
        row = (tl.program_id(0) % tl.cdiv(C, BC)) * BC + tl.arange(0, BC)
        out = partial + (b * tl.cdiv(H * W, PB) + tile) * 2 * groups * C + first * C + row
        tl.store(out, tl.sum(total, 1), mask=row < C)
        tl.store(out + groups * C, tl.sum(total * z, 1), mask=row < C)


@triton.jit(do_not_specialize=["CH", "N"])
def _norm_backward(gz, x, mean, inverse, sums, CH, N, HW: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr, ACC: tl.constexpr):
    """In place: inverse·(gz − mean(gz) − z·mean(gz·z)), z the normalised x."""
    c, p, _ = _place(CH, PB, BC)
    ok, safe = (c < CH) & (p < HW), tl.minimum(c, CH - 1)
    at = (tl.program_id(1) * CH + safe) * HW + p
    i = tl.load(inverse + safe)
    z = (tl.load(x + at, mask=ok, other=0.0).to(ACC) - tl.load(mean + safe)) * i
    g = tl.load(gz + at, mask=ok, other=0.0).to(ACC)
    tl.store(gz + at, i * (g - tl.load(sums + safe) / N - z * (tl.load(sums + CH + safe) / N)), mask=ok)


@triton.jit(do_not_specialize=["B", "C", "groups", "first", "count"])
def _weight_gradient(
    gy, x, mean, inverse, partial, B, C, groups, first, count, SIDE: tl.constexpr, TAPS: tl.constexpr, H: tl.constexpr, W: tl.constexpr,
    HO: tl.constexpr, WO: tl.constexpr, DIL: tl.constexpr, STRIDE: tl.constexpr, NORM: tl.constexpr, IMAGES: tl.constexpr,
    PB: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """partial (chunks, count·C, TAPS): the gradients of the kernels of the groups from `first` on, over IMAGES images."""
    own, c, chunk = tl.program_id(0) // C, tl.program_id(0) % C, tl.program_id(1)
    g, t = first + own, tl.arange(0, TAPS)[:, None]
    m, i = tl.zeros([1, 1], ACC), tl.zeros([1, 1], ACC)
    if NORM:
        m += tl.load(mean + g * C + c)
        i += tl.load(inverse + g * C + c)
    total = tl.zeros([TAPS, PB], ACC)
    for b in range(chunk * IMAGES, min((chunk + 1) * IMAGES, B)):
        source = (b * groups + g) * C + c
        base = x + (source if NORM else b * C + c) * H * W
        for p0 in range(0, HO * WO, PB):
            p = p0 + tl.arange(0, PB)[None, :]
            d = tl.load(gy + source * HO * WO + p, mask=p < HO * WO, other=0.0).to(ACC)
            r = (p // WO) * STRIDE + (t // SIDE - SIDE // 2) * DIL
            q = (p % WO) * STRIDE + (t % SIDE - SIDE // 2) * DIL
            inside = (t < SIDE * SIDE) & (p < HO * WO) & (r >= 0) & (r < H) & (q >= 0) & (q < W)
            u = tl.load(base + r * W + q, mask=inside, other=0.0).to(ACC)
            if NORM:
                u = (u - m) * i
            total += tl.where(inside, tl.maximum(u, 0.0), 0.0) * d
    tl.store(partial + (chunk * count * C + tl.program_id(0)) * TAPS + tl.arange(0, TAPS), tl.sum(total, 1))


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
        ctx.training, ctx.counts, tile = training, (n3, n5), _tile(ho * wo)
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
            gx, tile = torch.empty_like(x), _tile(h * w)
            tiles = triton.cdiv(h * w, tile["PB"])
            partial = torch.empty(b * tiles, 2, ch, dtype=_wide(x), device=x.device) if norm else x
            grid = (triton.cdiv(c, tile["BC"]) * tiles, n3 + n5 if norm else 1, b)
            _backward[grid](gy, x, mean, inverse, w3, w5, gx, partial, c, n3, n5, **ctx.shape, **tile)
            if norm:
                sums = partial.sum(0) if ctx.training else torch.zeros(2, ch, dtype=_wide(x), device=x.device)
                _norm_backward[(triton.cdiv(ch, tile["BC"]) * tiles, b)](
                    gx, x, mean, inverse, sums, ch, b * h * w, h * w, **tile, ACC=IN[x.dtype]
                )
        gradients: list[Tensor | None] = [None] * len(ctx.sides)
        if any(ctx.needs_input_grad[5:]):
            chunks, pb = triton.cdiv(b, IMAGES), min(128, triton.next_power_of_2(gy.shape[2] * gy.shape[3]))
            for k, (side, weight) in enumerate(ctx.sides.items()):
                count, taps = len(weight), triton.next_power_of_2(side * side)
                partial = torch.empty(chunks, count * c, taps, dtype=_wide(x), device=x.device)
                first = n3 if side == 5 else 0
                _weight_gradient[(count * c, chunks)](
                    gy, x, mean, inverse, partial, b, c, n3 + n5, first, count, side, taps, **ctx.shape, IMAGES=IMAGES, PB=pb
                )
                gradients[k] = partial.sum(0)[:, : side * side].reshape(weight.shape).to(weight.dtype)
        return gx, None, None, None, None, *gradients

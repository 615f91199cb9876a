"""The depthwise convolutions of cuda.py's `Part`s as Triton kernels (triton.py): of ReLU(x), with NORM of ReLU((x − mean)·inverse).

Of the groups of a part, the first n3 have kernels of side 3, w3, and the n5 after them of side 5, w5. Without NORM all read one source.
What the convolutions put out, y, are some of the ALL groups of a tensor.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .cuda import Entries, Part, Statistics
from .triton import IMAGES, IN, Mix, blank, moments, norm_backward, normal, place, tiles


@triton.jit
def _taps(
    x, weight, m, i, row, column, ok, H: tl.constexpr, W: tl.constexpr, SIDE: tl.constexpr, DIL: tl.constexpr, STRIDE: tl.constexpr,
    NORM: tl.constexpr, BACK: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """A convolution at (row, column) of what it puts out, from x (H, W); with BACK its gradient there, from that of what it put out."""
    total = tl.zeros(ok.shape, ACC)
    for t in tl.static_range(SIDE * SIDE):
        down, right = (t // SIDE - SIDE // 2) * DIL, (t % SIDE - SIDE // 2) * DIL
        if BACK:
            r, q = row - down, column - right
            inside = ok & (r >= 0) & (r < H * STRIDE) & (q >= 0) & (q < W * STRIDE) & (r % STRIDE == 0) & (q % STRIDE == 0)
            u = tl.load(x + (r // STRIDE) * W + q // STRIDE, mask=inside, other=0.0).to(ACC)
        else:
            r, q = row * STRIDE + down, column * STRIDE + right
            inside = ok & (r >= 0) & (r < H) & (q >= 0) & (q < W)
            u = tl.load(x + r * W + q, mask=inside, other=0.0).to(ACC)
            if NORM:
                u = tl.where(inside, (u - m) * i, 0.0)
            u = tl.maximum(u, 0.0)
        total += u * tl.load(weight + t).to(ACC)
    return total


@triton.jit
def _convolve(
    x, w3, w5, g, n3, c, C, m, i, row, column, ok, H: tl.constexpr, W: tl.constexpr, DIL: tl.constexpr, STRIDE: tl.constexpr,
    NORM: tl.constexpr, BACK: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """`_taps` with the kernels of group g."""
    if g < n3:
        total = _taps(x, w3 + (g * C + c) * 9, m, i, row, column, ok, H, W, 3, DIL, STRIDE, NORM, BACK, ACC)
    else:
        total = _taps(x, w5 + ((g - n3) * C + c) * 25, m, i, row, column, ok, H, W, 5, DIL, STRIDE, NORM, BACK, ACC)
    return total


@triton.jit(do_not_specialize=["C", "ALL", "n3", "n5"])
def _forward(
    x, mean, inverse, w3, w5, y, C, ALL, n3, n5, H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr,
    DIL: tl.constexpr, STRIDE: tl.constexpr, NORM: tl.constexpr, ACC: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr,
):  # fmt: skip
    c, p, _ = place(C, PB, BC)
    g, b = tl.program_id(1), tl.program_id(2).to(tl.int64)
    ok, safe = (c < C) & (p < HO * WO), tl.minimum(c, C - 1)
    m, i, source = tl.zeros([BC, 1], ACC), tl.zeros([BC, 1], ACC), b
    if NORM:
        m, i, source = tl.load(mean + g * C + safe), tl.load(inverse + g * C + safe), b * (n3 + n5) + g
    total = _convolve(
        x + (source * C + safe) * H * W, w3, w5, g, n3, safe, C, m, i, p // WO, p % WO, ok, H, W, DIL, STRIDE, NORM, False, ACC
    )
    tl.store(y + ((b * ALL + g) * C + c) * HO * WO + p, total, mask=ok)


@triton.jit(do_not_specialize=["C", "ALL", "n3", "n5"])
def _backward(
    gy, x, mean, inverse, w3, w5, gx, partial, C, ALL, n3, n5, H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr,
    DIL: tl.constexpr, STRIDE: tl.constexpr, NORM: tl.constexpr, ACC: tl.constexpr, BC: tl.constexpr, PB: tl.constexpr,
):  # fmt: skip
    """The gradient of what ReLU reads; with NORM also its sum and its sum with the normalised x: partial (B·tiles, 2, G·C)."""
    c, p, tile = place(C, PB, BC)
    b, groups, first, last = tl.program_id(2).to(tl.int64), n3 + n5, tl.program_id(1), tl.program_id(1) + 1
    ok, safe = (c < C) & (p < H * W), tl.minimum(c, C - 1)
    if not NORM:
        first, last = 0, groups
    total = tl.zeros([BC, PB], ACC)
    for g in range(first, last):
        here = gy + ((b * ALL + g) * C + safe) * HO * WO
        total += _convolve(here, w3, w5, g, n3, safe, C, 0.0, 0.0, p // W, p % W, ok, HO, WO, DIL, STRIDE, NORM, True, ACC)
    at = (b * tl.num_programs(1) + tl.program_id(1)) * C
    z = normal(x, (at + safe) * H * W + p, mean, inverse, first * C + safe, ok, NORM, ACC)
    total = tl.where(ok & (z > 0), total, 0.0)
    tl.store(gx + (at + safe) * H * W + p, total, mask=ok)
    if NORM:
        row = (tl.program_id(0) % tl.cdiv(C, BC)) * BC + tl.arange(0, BC)
        out = partial + (b * tl.cdiv(H * W, PB) + tile) * 2 * groups * C + first * C + row
        tl.store(out, tl.sum(total, 1), mask=row < C)
        tl.store(out + groups * C, tl.sum(total * z, 1), mask=row < C)


@triton.jit
def _tap_sums(
    gy, x, mean, inverse, out, channel, first, last, y_step, x_step, SIDE: tl.constexpr, TAPS: tl.constexpr, H: tl.constexpr,
    W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr, DIL: tl.constexpr, STRIDE: tl.constexpr, NORM: tl.constexpr, ACC: tl.constexpr,
    PB: tl.constexpr,
):  # fmt: skip
    """out (SIDE²): the gradient of one channel's kernel, over the images from first to last, which lie a step apart."""
    t = tl.arange(0, TAPS)
    down, right = ((t // SIDE - SIDE // 2) * DIL)[:, None], ((t % SIDE - SIDE // 2) * DIL)[:, None]
    total = tl.zeros([TAPS, PB], ACC)
    for b in range(first, last):
        for p0 in range(0, HO * WO, PB):
            p = p0 + tl.arange(0, PB)[None, :]
            d = tl.load(gy + b * y_step + p, mask=p < HO * WO, other=0.0).to(ACC)
            r, q = (p // WO) * STRIDE + down, (p % WO) * STRIDE + right
            inside = (t[:, None] < SIDE * SIDE) & (p < HO * WO) & (r >= 0) & (r < H) & (q >= 0) & (q < W)
            u = normal(x, b * x_step + r * W + q, mean, inverse, channel, inside, NORM, ACC)
            total += tl.where(inside, tl.maximum(u, 0.0), 0.0) * d
    tl.store(out + t, tl.sum(total, 1), mask=t < SIDE * SIDE)


@triton.jit(do_not_specialize=["B", "C", "ALL", "n3", "n5"])
def _weight_gradient(
    gy, x, mean, inverse, g3, g5, B, C, ALL, n3, n5, H: tl.constexpr, W: tl.constexpr, HO: tl.constexpr, WO: tl.constexpr,
    DIL: tl.constexpr, STRIDE: tl.constexpr, NORM: tl.constexpr, ACC: tl.constexpr, IMAGES: tl.constexpr, PB: tl.constexpr,
):  # fmt: skip
    """g3 (chunks, n3·C, 9) and g5 (chunks, n5·C, 25): the gradients of the kernels, over IMAGES images."""
    channel, chunk = tl.program_id(0), tl.program_id(1).to(tl.int64)
    first, last = chunk * IMAGES, min((chunk + 1) * IMAGES, B)
    gy += channel * HO * WO
    x += (channel if NORM else channel % C) * H * W
    x_step = (n3 + n5 if NORM else 1) * C * H * W
    if channel < n3 * C:
        at = g3 + (chunk * n3 * C + channel) * 9
        _tap_sums(gy, x, mean, inverse, at, channel, first, last, ALL * C * HO * WO, x_step, 3, 16, H, W, HO, WO, DIL, STRIDE, NORM, ACC, PB)
    else:
        at = g5 + (chunk * n5 * C + channel - n3 * C) * 25
        _tap_sums(gy, x, mean, inverse, at, channel, first, last, ALL * C * HO * WO, x_step, 5, 32, H, W, HO, WO, DIL, STRIDE, NORM, ACC, PB)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: list[Part], training: bool, *tensors: Tensor) -> Tensor:
        """tensors: of each part its x and its weights."""
        saved, ctx.given, ctx.training = [], [], training
        for part in parts:
            x, weights, (h, w) = part.x.contiguous(), part.weights, part.x.shape[2:]
            mean, inverse = (x, x) if part.norm is None else moments(x, part.norm, training)
            any_weight = next(iter(weights.values()))
            saved += [x, mean, inverse, *(weights.get(side, any_weight) for side in (3, 5))]
            ctx.given.append({
                "C": any_weight.shape[1], "n3": len(weights.get(3, ())), "n5": len(weights.get(5, ())),
                "H": h, "W": w, "HO": -(-h // part.stride), "WO": -(-w // part.stride),
                "DIL": part.dilation, "STRIDE": part.stride, "NORM": part.norm is not None, "ACC": IN[x.dtype],
            })  # fmt: skip
        ctx.counts = [given["n3"] + given["n5"] for given in ctx.given]
        c, ho, wo = (ctx.given[0][name] for name in ("C", "HO", "WO"))
        ctx.save_for_backward(*saved)
        y, tile = x.new_empty(len(x), sum(ctx.counts) * c, ho, wo), tiles(ho * wo)
        for i, (out, n, given) in enumerate(zip(y.split([n * c for n in ctx.counts], 1), ctx.counts, ctx.given, strict=True)):
            given["ALL"] = sum(ctx.counts)
            grid = (triton.cdiv(c, tile["BC"]) * triton.cdiv(ho * wo, tile["PB"]), n, len(x))
            _forward[grid](*saved[5 * i : 5 * i + 5], out, **given, **tile)
        return y

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        needed, gradients, c = iter(ctx.needs_input_grad[2:]), list[Tensor | None](), ctx.given[0]["C"]
        pieces = gy.contiguous().split([n * c for n in ctx.counts], 1)
        for i, (piece, n, given) in enumerate(zip(pieces, ctx.counts, ctx.given, strict=True)):
            x, mean, inverse, w3, w5 = ctx.saved_tensors[5 * i : 5 * i + 5]
            (b, channels, h, w), norm, gx = x.shape, given["NORM"], None
            if next(needed):
                gx, tile = torch.empty_like(x), tiles(h * w)
                count = triton.cdiv(h * w, tile["PB"])
                partial = blank(x, b * count, 2, channels) if norm else gx
                grid = (triton.cdiv(c, tile["BC"]) * count, n if norm else 1, b)
                _backward[grid](piece, x, mean, inverse, w3, w5, gx, partial, **given, **tile)
                if norm:
                    norm_backward(gx, x, mean, inverse, partial.sum(0), ctx.training)
            gradients.append(gx)
            used = [(weight, count) for weight, count in ((w3, given["n3"]), (w5, given["n5"])) if count]
            if any([next(needed) for _ in used]):
                chunks, pb = triton.cdiv(b, IMAGES), min(128, triton.next_power_of_2(piece.shape[2] * piece.shape[3]))
                g3, g5 = (blank(x, chunks, given[f"n{side}"], c, 1, side, side) for side in (3, 5))
                _weight_gradient[(n * c, chunks)](piece, x, mean, inverse, g3, g5, B=b, IMAGES=IMAGES, PB=pb, **given)
                gradients += [part.sum(0).to(w3.dtype) for part in (g3, g5) if part.numel()]
            else:
                gradients += [None] * len(used)
        return None, None, *gradients


class TritonFunctions:
    """As `PlainFunctions`, whose docstrings say what they return."""

    @staticmethod
    def depthwise(parts: list[Part], training: bool) -> Tensor:
        return _Depthwise.apply(parts, training, *(tensor for part in parts for tensor in (part.x, *part.weights.values())))

    @staticmethod
    def mix(total: Tensor | None, y: Tensor, norm: Statistics | None, entries: Entries, phi: Tensor, training: bool) -> Tensor:
        return Mix.apply(total, y, phi, norm, entries, training)

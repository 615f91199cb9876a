"""The depthwise convolutions of cuda.py's `Part`s as Triton kernels (triton.py): of ReLU(x), or with a mean of ReLU((x − mean)·inverse).

Of the groups of a part, the first n3 have kernels of side 3, and the n5 after them of side 5; without a mean all read one source. What they
put out are some of the ALL groups of a tensor. Images are square: x has the side H, what is put out ⌈H/STRIDE⌉.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language import constexpr

from .cuda import Part
from .triton import IMAGES, IN, Mix, Read, blank, moments, normal, place, single, sizes, tiles, unmix


@triton.jit
def _taps(
    x, weight, mean, inverse, channel, row, column, ok,
    H: constexpr, SIDE: constexpr, DIL: constexpr, STEP: constexpr, BACK: constexpr, ACC: constexpr,
):  # fmt: skip
    """A convolution of x (H, H) at (row, column); or with BACK the gradient of what it reads there, from x, that of what it puts out."""
    total = tl.zeros(ok.shape, ACC)
    for t in tl.static_range(SIDE * SIDE):
        down, right = (t // SIDE - SIDE // 2) * DIL, (t % SIDE - SIDE // 2) * DIL
        if BACK:
            r, q = row - down, column - right
            inside = ok & (r % STEP == 0) & (q % STEP == 0)
            r, q = r // STEP, q // STEP
        else:
            r, q, inside = row * STEP + down, column * STEP + right, ok
        inside = inside & (r >= 0) & (r < H) & (q >= 0) & (q < H)
        u = normal(x, r * H + q, mean, inverse, channel, inside, ACC)
        if not BACK:
            u = tl.where(inside, tl.maximum(u, 0.0), 0.0)
        total += u * tl.load(weight + t).to(ACC)
    return total


@triton.jit
def _convolve(
    x, weights, mean, inverse, g, n3, c, C, row, column, ok, H: constexpr, DIL: constexpr, STEP: constexpr, BACK: constexpr, ACC: constexpr
):
    """`_taps` with the kernels of group g."""
    if g < n3:
        total = _taps(x, weights + (g * C + c) * 9, mean, inverse, g * C + c, row, column, ok, H, 3, DIL, STEP, BACK, ACC)
    else:
        own = weights + n3 * C * 9 + ((g - n3) * C + c) * 25
        total = _taps(x, own, mean, inverse, g * C + c, row, column, ok, H, 5, DIL, STEP, BACK, ACC)
    return total


@triton.jit(do_not_specialize=["C", "ALL", "n3", "n5"])
def _forward(
    x, mean, inverse, weights, y, C, ALL, n3, n5,
    H: constexpr, DIL: constexpr, STEP: constexpr, ACC: constexpr, BC: constexpr, PB: constexpr,
):  # fmt: skip
    c, p, _ = place(C, PB, BC)
    g, b, HO = tl.program_id(1), tl.program_id(2).to(tl.int64), tl.cdiv(H, STEP)
    ok, safe, source = (c < C) & (p < HO * HO), tl.minimum(c, C - 1), b if mean is None else b * (n3 + n5) + g
    x += (source * C + safe) * H * H
    total = _convolve(x, weights, mean, inverse, g, n3, safe, C, p // HO, p % HO, ok, H, DIL, STEP, False, ACC)
    tl.store(y + ((b * ALL + g) * C + c) * HO * HO + p, total, mask=ok)


@triton.jit(do_not_specialize=["C", "ALL", "n3", "n5"])
def _backward(
    x, mean, inverse, weights, gy, gx, partial, C, ALL, n3, n5,
    H: constexpr, DIL: constexpr, STEP: constexpr, ACC: constexpr, BC: constexpr, PB: constexpr,
):  # fmt: skip
    """The gradient of what ReLU reads; with a mean also its sum, and that with the normalised x: partial (B·tiles, 2, G·C)."""
    c, p, tile = place(C, PB, BC)
    own, b, groups, HO = tl.program_id(1), tl.program_id(2).to(tl.int64), n3 + n5, tl.cdiv(H, STEP)
    ok, safe, total = (c < C) & (p < H * H), tl.minimum(c, C - 1), tl.zeros([BC, PB], ACC)
    for g in range(own, groups if mean is None else own + 1):
        here = gy + ((b * ALL + g) * C + safe) * HO * HO
        total += _convolve(here, weights, None, None, g, n3, safe, C, p // H, p % H, ok, HO, DIL, STEP, True, ACC)
    at = ((b * tl.num_programs(1) + own) * C + safe) * H * H + p
    z = normal(x, at, mean, inverse, own * C + safe, ok, ACC)
    total = tl.where(ok & (z > 0), total, 0.0)
    tl.store(gx + at, total, mask=ok)
    if mean is not None:
        out = partial + ((b * tl.cdiv(H * H, PB) + tile) * 2 * groups + own) * C + c
        tl.store(out, tl.sum(total, 1, keep_dims=True), mask=c < C)
        tl.store(out + groups * C, tl.sum(total * z, 1, keep_dims=True), mask=c < C)


@triton.jit(do_not_specialize=["B", "C", "ALL", "n3", "n5"])
def _weight_gradient(
    gy, x, mean, inverse, out, B, C, ALL, n3, n5,
    SIDE: constexpr, TAPS: constexpr, H: constexpr, DIL: constexpr, STEP: constexpr, ACC: constexpr, IMAGES: constexpr, PB: constexpr,
):  # fmt: skip
    """The gradients of the weights of one side, over IMAGES images: into out, columns of (chunks, weights)."""
    own, chunk, t, HO = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.arange(0, TAPS), tl.cdiv(H, STEP)
    down, right = ((t // SIDE - SIDE // 2) * DIL)[:, None], ((t % SIDE - SIDE // 2) * DIL)[:, None]
    n = 1 if mean is None else n3 + n5
    total, channel = tl.zeros([TAPS, PB], ACC), own % (n * C)
    for b in range(chunk * IMAGES, min((chunk + 1) * IMAGES, B)):
        for p0 in range(0, HO * HO, PB):
            p = p0 + tl.arange(0, PB)[None, :]
            d = tl.load(gy + (b * ALL * C + own) * HO * HO + p, mask=p < HO * HO, other=0.0).to(ACC)
            r, q = (p // HO) * STEP + down, (p % HO) * STEP + right
            inside = (t[:, None] < SIDE * SIDE) & (p < HO * HO) & (r >= 0) & (r < H) & (q >= 0) & (q < H)
            u = normal(x, ((b * n * C + channel) * H + r) * H + q, mean, inverse, channel, inside, ACC)
            total += tl.where(inside, tl.maximum(u, 0.0), 0.0) * d
    tl.store(out + chunk * (9 * n3 + 25 * n5) * C + own * SIDE * SIDE + t, tl.sum(total, 1), mask=t < SIDE * SIDE)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: list[Part], *tensors: Tensor) -> Tensor:
        """tensors: of each part its x, and its weights in a row."""
        b, _, h, _ = parts[0].x.shape
        c, side, count = len(parts[0].weights[0]), triton.cdiv(h, parts[0].stride), sum(len(part.weights) for part in parts)
        tile, saved = tiles(side * side), list[Tensor | None]()
        ctx.channels, ctx.given = [len(part.weights) * c for part in parts], []
        y = parts[0].x.new_empty(b, count * c, side, side)
        for part, weights, out in zip(parts, tensors[1::2], y.split(ctx.channels, 1), strict=True):
            x, n, n3 = part.x.contiguous(), len(part.weights), sum(weight.shape[3] == 3 for weight in part.weights)
            given = {"C": c, "ALL": count, "n3": n3, "n5": n - n3}
            given |= {"H": x.shape[2], "DIL": part.dilation, "STEP": part.stride, "ACC": IN[x.dtype]}
            mean, inverse, pixels = moments(x, part.norm)
            grid = (triton.cdiv(c, tile["BC"]) * triton.cdiv(side * side, tile["PB"]), n, b)
            _forward[grid](x, mean, inverse, weights, out, **given, **tile)
            ctx.given.append((given, pixels))
            saved += [x, mean, inverse, weights]
        ctx.save_for_backward(*saved)
        return y

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        gradients = list[Tensor | None]()
        for i, own in enumerate(gy.contiguous().split(ctx.channels, 1)):
            read, needed = ctx.saved_tensors[4 * i : 4 * i + 4], ctx.needs_input_grad[1 + 2 * i : 3 + 2 * i]
            gradients.append(_source_gradient(read, own, *ctx.given[i]) if needed[0] else None)
            gradients.append(_weight_gradients(read, own, ctx.given[i][0]) if needed[1] else None)
        return None, *gradients


def _source_gradient(read: Read, gy: Tensor, given: dict[str, Any], pixels: float) -> Tensor:
    """The gradient of x. read: x, mean, inverse, weights. gy: that of what the part put out."""
    x, mean, inverse, _ = read
    (b, channels, h, _), tile, index = x.shape, tiles(x.shape[2] ** 2), single(x.device)
    gx, count = torch.empty_like(x), triton.cdiv(h * h, tile["PB"])
    partial = None if mean is None else blank(x, b * count, 2, channels)
    _backward[triton.cdiv(given["C"], tile["BC"]) * count, channels // given["C"], b](*read, gy, gx, partial, **given, **tile)
    return gx if partial is None else unmix(gx, (x, mean, inverse, index["phi"]), partial.sum(0), index, gx, sizes(x, 1), pixels)


def _weight_gradients(read: Read, gy: Tensor, given: dict[str, Any]) -> Tensor:
    """The gradient of the weights. read and gy: as in `_source_gradient`."""
    x, mean, inverse, weights = read
    out, pb = blank(x, triton.cdiv(len(x), IMAGES), len(weights)), min(128, triton.next_power_of_2(gy.shape[2] ** 2))
    n = given["n3"] * given["C"]
    for side, taps, channels, places in ((3, 16, slice(n), slice(9 * n)), (5, 32, slice(n, None), slice(9 * n, None))):
        if (own := gy[:, channels]).shape[1]:
            normed = (x, None, None) if mean is None else (x[:, channels], mean[channels], inverse[channels])
            args = {"B": len(x), "SIDE": side, "TAPS": taps, "IMAGES": IMAGES, "PB": pb}
            _weight_gradient[own.shape[1], len(out)](own, *normed, out[:, places], **args, **given)
    return out.sum(0).to(weights.dtype)


def depthwise(parts: list[Part]) -> Tensor:
    """As in `PlainFunctions`."""
    tensors = [(part.x, torch.cat([weight.flatten() for weight in part.weights])) for part in parts]
    return _Depthwise.apply(parts, *(tensor for pair in tensors for tensor in pair))


mix = Mix.apply

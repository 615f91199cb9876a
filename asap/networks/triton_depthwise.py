"""The depthwise convolutions of cuda.py's `Part`s as Triton kernels (triton.py): of ReLU(x), or with a mean of ReLU((x − mean)·inverse).

Of the groups of a part, the first n3 have kernels of side 3, w3, and the n5 after them of side 5, w5; without a mean all read one source.
What they put out are some of the ALL groups of a tensor. Images are square: x has the side H, what is put out ⌈H/STRIDE⌉.
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
    x, w3, w5, mean, inverse, g, n3, c, C, row, column, ok, H: constexpr, DIL: constexpr, STEP: constexpr, BACK: constexpr, ACC: constexpr
):
    """`_taps` with the kernels of group g."""
    if g < n3:
        total = _taps(x, w3 + (g * C + c) * 9, mean, inverse, g * C + c, row, column, ok, H, 3, DIL, STEP, BACK, ACC)
    else:
        total = _taps(x, w5 + ((g - n3) * C + c) * 25, mean, inverse, g * C + c, row, column, ok, H, 5, DIL, STEP, BACK, ACC)
    return total


@triton.jit(do_not_specialize=["C", "ALL", "n3", "n5"])
def _forward(
    x, mean, inverse, w3, w5, y, C, ALL, n3, n5, H: constexpr, DIL: constexpr, STEP: constexpr, ACC: constexpr, BC: constexpr, PB: constexpr
):
    c, p, _ = place(C, PB, BC)
    g, b, HO = tl.program_id(1), tl.program_id(2).to(tl.int64), tl.cdiv(H, STEP)
    ok, safe, source = (c < C) & (p < HO * HO), tl.minimum(c, C - 1), b if mean is None else b * (n3 + n5) + g
    x += (source * C + safe) * H * H
    total = _convolve(x, w3, w5, mean, inverse, g, n3, safe, C, p // HO, p % HO, ok, H, DIL, STEP, False, ACC)
    tl.store(y + ((b * ALL + g) * C + c) * HO * HO + p, total, mask=ok)


@triton.jit(do_not_specialize=["C", "ALL", "n3", "n5"])
def _backward(
    x, mean, inverse, w3, w5, gy, gx, partial, C, ALL, n3, n5,
    H: constexpr, DIL: constexpr, STEP: constexpr, ACC: constexpr, BC: constexpr, PB: constexpr,
):  # fmt: skip
    """The gradient of what ReLU reads; with a mean also its sum, and that with the normalised x: partial (B·tiles, 2, G·C)."""
    c, p, tile = place(C, PB, BC)
    own, b, groups, HO = tl.program_id(1), tl.program_id(2).to(tl.int64), n3 + n5, tl.cdiv(H, STEP)
    ok, safe, total = (c < C) & (p < H * H), tl.minimum(c, C - 1), tl.zeros([BC, PB], ACC)
    for g in range(own, groups if mean is None else own + 1):
        here = gy + ((b * ALL + g) * C + safe) * HO * HO
        total += _convolve(here, w3, w5, None, None, g, n3, safe, C, p // H, p % H, ok, HO, DIL, STEP, True, ACC)
    at = ((b * tl.num_programs(1) + own) * C + safe) * H * H + p
    z = normal(x, at, mean, inverse, own * C + safe, ok, ACC)
    total = tl.where(ok & (z > 0), total, 0.0)
    tl.store(gx + at, total, mask=ok)
    if mean is not None:
        row = (tl.program_id(0) % tl.cdiv(C, BC)) * BC + tl.arange(0, BC)
        out = partial + ((b * tl.cdiv(H * H, PB) + tile) * 2 * groups + own) * C + row
        tl.store(out, tl.sum(total, 1), mask=row < C)
        tl.store(out + groups * C, tl.sum(total * z, 1), mask=row < C)


@triton.jit(do_not_specialize=["B", "C", "ALL", "n"])
def _weight_gradient(
    gy, x, mean, inverse, out, B, C, ALL, n,
    SIDE: constexpr, TAPS: constexpr, H: constexpr, DIL: constexpr, STEP: constexpr, ACC: constexpr, IMAGES: constexpr, PB: constexpr,
):  # fmt: skip
    """out (chunks, groups·C, SIDE²): the gradients of the kernels of one side, over IMAGES images. x has n groups; without a mean, one."""
    own, chunk, t, HO = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.arange(0, TAPS), tl.cdiv(H, STEP)
    down, right = ((t // SIDE - SIDE // 2) * DIL)[:, None], ((t % SIDE - SIDE // 2) * DIL)[:, None]
    total, channel = tl.zeros([TAPS, PB], ACC), own % (n * C)
    for b in range(chunk * IMAGES, min((chunk + 1) * IMAGES, B)):
        for p0 in range(0, HO * HO, PB):
            p = p0 + tl.arange(0, PB)[None, :]
            d = tl.load(gy + (b * ALL * C + own) * HO * HO + p, mask=p < HO * HO, other=0.0).to(ACC)
            r, q = (p // HO) * STEP + down, (p % HO) * STEP + right
            inside = (t[:, None] < SIDE * SIDE) & (p < HO * HO) & (r >= 0) & (r < H) & (q >= 0) & (q < H)
            u = normal(x, ((b * n * C + channel) * H + r) * H + q, mean, inverse, channel, inside, ACC)
            total += tl.where(inside, tl.maximum(u, 0.0), 0.0) * d
    tl.store(out + (chunk * tl.num_programs(0) + own) * SIDE * SIDE + t, tl.sum(total, 1), mask=t < SIDE * SIDE)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: list[Part], *tensors: Tensor) -> Tensor:
        """tensors: of each part its x and its weights."""
        ctx.parts, saved = [], list[Tensor | None]()
        counts = [sum(len(weight) for weight in part.weights.values()) for part in parts]
        c, side = next(iter(parts[0].weights.values())).shape[1], triton.cdiv(parts[0].x.shape[2], parts[0].stride)
        y, tile = parts[0].x.new_empty(len(parts[0].x), sum(counts) * c, side, side), tiles(side * side)
        for (source, norm, weights, stride, dilation), n, out in zip(parts, counts, y.split([n * c for n in counts], 1), strict=True):
            x, w3, w5 = source.contiguous(), weights.get(3), weights.get(5)
            shape = {"C": c, "ALL": sum(counts), "H": x.shape[2], "DIL": dilation, "STEP": stride, "ACC": IN[x.dtype]}
            groups = {"n3": 0 if w3 is None else len(w3), "n5": 0 if w5 is None else len(w5)}
            *statistics, pixels = moments(x, norm)
            read = (x, *statistics, w3, w5)
            _forward[triton.cdiv(c, tile["BC"]) * triton.cdiv(side * side, tile["PB"]), n, len(x)](*read, out, **shape, **groups, **tile)
            ctx.parts.append((n * c, shape, groups, pixels))
            saved += read
        ctx.save_for_backward(*saved)
        return y

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        gradients, pieces = list[Tensor | None](), gy.contiguous().split([part[0] for part in ctx.parts], 1)
        for i, (piece, (_, shape, groups, pixels)) in enumerate(zip(pieces, ctx.parts, strict=True)):
            read, first = ctx.saved_tensors[5 * i : 5 * i + 5], 0
            wanted = ctx.needs_input_grad[1 + len(gradients)]
            gradients.append(_source_gradient(read, piece, shape | groups, pixels) if wanted else None)
            for weight in (weight for weight in read[3:] if weight is not None):
                own, wanted = piece[:, first : first + len(weight) * shape["C"]], ctx.needs_input_grad[1 + len(gradients)]
                gradients.append(_weights_gradient(read, own, first, weight, shape) if wanted else None)
                first += own.shape[1]
        return None, *gradients


def _source_gradient(read: Read, gy: Tensor, given: dict[str, Any], pixels: float) -> Tensor:
    """The gradient of x. read: x, mean, inverse, w3, w5. gy: that of what the part put out."""
    x, mean, inverse, *_ = read
    (b, channels, h, _), tile, index = x.shape, tiles(x.shape[2] ** 2), single(x.device)
    gx, count = torch.empty_like(x), triton.cdiv(h * h, tile["PB"])
    partial = None if mean is None else blank(x, b * count, 2, channels)
    _backward[triton.cdiv(given["C"], tile["BC"]) * count, channels // given["C"], b](*read, gy, gx, partial, **given, **tile)
    if partial is None:
        return gx
    return unmix(gx, (x, mean, inverse, index["phi"]), partial.sum(0), index, gx, sizes(x, 1), pixels)


def _weights_gradient(read: Read, gy: Tensor, first: int, weight: Tensor, given: dict[str, Any]) -> Tensor:
    """The gradient of the weights of one side, whose channels begin at `first`. gy: that of what they put out."""
    x, mean, inverse, *_ = read
    n, side = x.shape[1] // given["C"], weight.shape[3]
    if mean is not None:
        x, mean, inverse = x[:, first : first + gy.shape[1]], mean[first:], inverse[first:]
    out, pb = blank(x, triton.cdiv(len(x), IMAGES), *weight.shape), min(128, triton.next_power_of_2(gy.shape[2] ** 2))
    own = {"B": len(x), "n": n, "SIDE": side, "TAPS": triton.next_power_of_2(side * side), "IMAGES": IMAGES, "PB": pb}
    _weight_gradient[gy.shape[1], len(out)](gy, x, mean, inverse, out, **own, **given)
    return out.sum(0).to(weight.dtype)


def depthwise(parts: list[Part]) -> Tensor:
    """As in `PlainFunctions`."""
    return _Depthwise.apply(parts, *(tensor for part in parts for tensor in (part.x, *part.weights.values())))


mix = Mix.apply

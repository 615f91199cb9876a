"""The candidate operations (ReLU-Conv-BN, PROTOCOL's "the search"), and the exact rewritings that make them fast.

Every tensor is (B, C, H, W), and fast where its memory is channels_last. An operation does not read a tensor but a
`Source`, which computes the forms of it that operations read (rectified, in phases) once for all of them:

    op(source) = op.finish(op.norm(op.body(source.read(op.form))))

The rewritings are the same function up to rounding; tests/plain.py has the plain versions:

- A dilated depthwise convolution (dilation 2) is an undilated one on the four phases of the image, x[:, :, i::2, j::2].
  The phases are stacked along the batch, (4B, C, H/2, W/2); a 1×1 convolution and a BatchNorm do not mind.
- On a CPU, the weight gradient of a depthwise convolution wider than 3 is computed in slices of 3 columns, and its
  input gradient at stride 1 as a convolution with the flipped kernel: those reach the fast kernels. An average pool is
  a depthwise convolution with ones, divided by the pixels that each window covers. Convolutions that read one tensor
  share its gradient. BatchNorm over few channels reads k neighbouring pixels as k·C channels, which fill the vector
  unit, and puts their k statistics together.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution whose gradients take the CPU's fast paths; (B, C, H, W) ∗ (C, 1, k, k)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        s, p, channels, k = ctx.stride, ctx.padding, x.shape[1], weight.shape[3]

        def backward(inputs: Tensor, kernel: Tensor, padding: list[int], mask: list[bool]) -> tuple[Tensor, Tensor]:
            grads = torch.ops.aten.convolution_backward(
                grad, inputs, kernel, None, [s, s], padding, [1, 1], False, [0, 0], channels, [*mask, False]
            )
            return grads[0], grads[1]

        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            if s == 1:
                grad_x = F.conv2d(grad, weight.flip(2, 3), None, 1, k - 1 - p, 1, channels)
            else:
                grad_x, _ = backward(x, weight, [p, p], [True, False])
        if ctx.needs_input_grad[1]:
            if k <= 3 or k > x.shape[3]:  # (a slice might not touch so small an image)
                _, grad_weight = backward(x, weight, [p, p], [False, True])
            else:
                slices = []
                for left in range(0, k, 3):
                    columns = min(3, k - left)
                    right = (grad.shape[3] - 1) * s + left + columns - x.shape[3] - p  # where the last window ends, past x
                    inputs = F.pad(x, (p - left, right))
                    kernel = weight[..., left : left + columns].contiguous()
                    slices.append(backward(inputs, kernel, [p, 0], [False, True])[1])
                grad_weight = torch.cat(slices, 3)
        return grad_x, grad_weight, None, None


def _rewritten(x: Tensor) -> bool:
    """Whether the CPU's rewritings apply: their gradients do not know autocast."""
    return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def depthwise(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """The depthwise convolution of x (B, C, H, W) with weight (C, 1, k, k)."""
    if _rewritten(x):
        return _Depthwise.apply(x, weight, stride, padding)
    return F.conv2d(x, weight, None, stride, padding, 1, x.shape[1])


def average_pool(x: Tensor, stride: int) -> Tensor:
    """3×3 average pooling that does not count the padding."""
    if not _rewritten(x):
        return F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    ones = torch.ones(x.shape[1], 1, 3, 3, dtype=x.dtype)
    counted = F.conv2d(torch.ones(1, 1, *x.shape[2:], dtype=x.dtype), ones[:1], None, stride, 1)
    return depthwise(x, ones, stride, 1) / counted


class _FoldedBatchNorm(torch.autograd.Function):
    """BatchNorm in training, k pixels at a time: (B, C, H, W) is read as (B, k·C, H·W/k, 1). The gradient is torch's."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, momentum: float, eps: float, k: int
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        count = x.numel() // x.shape[1]
        b, c, h, w = x.shape
        wide = x.permute(0, 2, 3, 1).view(b, h * w // k, 1, k * c).permute(0, 3, 1, 2)
        means, variances = (part.view(k, c) for part in torch.ops.aten.batch_norm_update_stats(wide, None, None, momentum))
        m = means.mean(0)
        v = (variances + (means - m).square()).mean(0)
        mean.lerp_(m, momentum)
        variance.lerp_(v * (count / (count - 1)), momentum)
        inverse = (v + eps).rsqrt()
        scale = inverse if weight is None else inverse * weight
        shift = -m * scale if bias is None else bias - m * scale
        ctx.save_for_backward(x, weight, m, inverse)
        y = torch.empty_like(x)  # no view, so that a ReLU may work in place
        flat, out = (v.permute(0, 2, 3, 1).view(-1, k * c) for v in (x, y))
        torch.addcmul(shift.repeat(k), flat, scale.repeat(k), out=out)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, m, inverse = ctx.saved_tensors
        grads = torch.ops.aten.native_batch_norm_backward(
            grad.contiguous(memory_format=torch.channels_last), x, weight, m, m, m, inverse, True, 0.0, list(ctx.needs_input_grad[:3])
        )
        return *(g if needed else None for g, needed in zip(grads, ctx.needs_input_grad[:3], strict=True)), None, None, None, None, None


def batch_norm(x: Tensor, norm: nn.BatchNorm2d, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """BatchNorm of x (B, C, H, W) with the statistics of `norm`, and this weight and bias (C,).

    A weight must be contiguous: torch 2.14.1 returns wrong input gradients for an expanded one in channels_last.
    """
    pixels, channels = x.shape[2] * x.shape[3], x.shape[1]
    if norm.training and channels <= 32 and x.numel() >= 1 << 18 and _rewritten(x):
        k = 128 // channels
        while pixels % k:
            k -= 1
        return _FoldedBatchNorm.apply(x, weight, bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps, k)
    return F.batch_norm(x, norm.running_mean, norm.running_var, weight, bias, norm.training, norm.momentum or 0.0, norm.eps)


class BatchNorm(nn.BatchNorm2d):
    """torch's, by `batch_norm`."""

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self, self.weight, self.bias)


@cache
def _phase_order(batch: int, height: int, width: int, inverse: bool, device: torch.device) -> Tensor:
    """The pixels of a batch in the order of their phases, or of their places."""
    order = torch.arange(batch * height * width).view(batch, height // 2, 2, width // 2, 2).permute(2, 4, 0, 1, 3).reshape(-1)
    return (order.argsort() if inverse else order).to(device)


class _Reorder(torch.autograd.Function):
    """The pixels of a channels_last tensor in another order: a gather of whole pixels, and so is its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor, shape: tuple[int, ...]) -> Tensor:
        ctx.inverse, ctx.shape = inverse, tuple(x.shape)
        return _gather(x, order, shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _gather(grad, ctx.inverse, ctx.shape), None, None, None


def _gather(x: Tensor, order: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Pixels of x in this order, as a channels_last tensor of this shape (B, C, H, W)."""
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)  # no view, so that sums may be taken in place
    torch.index_select(x.permute(0, 2, 3, 1).reshape(-1, shape[1]), 0, order, out=y.permute(0, 2, 3, 1).view(-1, shape[1]))
    return y


def phases(x: Tensor) -> Tensor:
    """The four phases of an image of even sides, (B, C, H, W) → (4B, C, H/2, W/2), channels_last."""
    b, c, h, w = x.shape
    orders = (_phase_order(b, h, w, inverse, x.device) for inverse in (False, True))
    return _Reorder.apply(x, *orders, (4 * b, c, h // 2, w // 2))


def unphase(x: Tensor) -> Tensor:
    """The inverse of `phases`."""
    b, c, h, w = x.shape
    orders = (_phase_order(b // 4, 2 * h, 2 * w, inverse, x.device) for inverse in (True, False))
    return _Reorder.apply(x, *orders, (b // 4, c, 2 * h, 2 * w))


class Source:
    """A tensor as operations of one stride read it. Each form is computed at most once, and only if it is read."""

    def __init__(self, x: Tensor, stride: int = 1) -> None:
        self.x, self.stride = x, stride
        self.forms: dict[str, Tensor] = {}
        self.projected: dict[nn.Module, Tensor] = {}  # what `project` has computed for its readers

    def read(self, form: str) -> Tensor:
        """`plain` is x; `rectified` is ReLU(x); `dilated` is what a convolution of dilation 2 reads: all phases of the
        rectified x, or at stride 2 the even one alone."""
        if form == "plain":
            return self.x
        if form not in self.forms:
            if form == "rectified":
                x = F.relu(self.x)
            elif self.stride == 1:
                x = phases(self.read("rectified"))
            else:
                x = self.read("rectified")[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)
            self.forms[form] = x
        return self.forms[form]


class Operation(nn.Module):
    """A candidate operation on C channels; `norm` is its last BatchNorm, or None."""

    form = "rectified"
    norm: nn.BatchNorm2d | None

    def __init__(self) -> None:
        super().__init__()
        self.norm = None

    def body(self, x: Tensor) -> Tensor:
        return x

    def finish(self, x: Tensor) -> Tensor:
        return x

    def forward(self, source: Source) -> Tensor:
        x = self.body(source.read(self.form))
        return self.finish(x if self.norm is None else self.norm(x))


class Pool(Operation):
    """3×3 pooling; an average does not count the padding. Followed by a BatchNorm in the search network only."""

    form = "plain"

    def __init__(self, kind: str, channels: int, stride: int, norm: bool) -> None:
        super().__init__()
        self.kind, self.stride = kind, stride
        self.norm = BatchNorm(channels, affine=False) if norm else None

    def body(self, x: Tensor) -> Tensor:
        if self.kind == "max_pool_3x3":
            return F.max_pool2d(x, 3, self.stride, 1)
        return average_pool(x, self.stride)


class Identity(Operation):
    """skip_connect at stride 1."""

    form = "plain"


class Zero(Operation):
    """none: zeros of the output's shape."""

    form = "plain"

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def body(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride] * 0.0


class _Corners(torch.autograd.Function):
    """Every second pixel of x (B, C, H, W), and every second one shifted by a pixel, whose gradients are written once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, ...]:
        ctx.shape = x.shape
        return tuple(x[:, :, i::2, i::2].contiguous(memory_format=torch.channels_last) for i in (0, 1))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        whole = torch.empty(ctx.shape, dtype=grads[0].dtype, device=grads[0].device, memory_format=torch.channels_last).zero_()
        for i, grad in enumerate(grads):
            whole[:, :, i::2, i::2] = grad
        return whole


class FactorizedReduce(Operation):
    """skip_connect at stride 2: two 1×1 convolutions of half the channels, the second on the image shifted by one pixel."""

    def __init__(self, channels_in: int, channels_out: int, affine: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels_in, width, 1, bias=False) for width in (channels_out - channels_out // 2, channels_out // 2)
        )
        self.norm = BatchNorm(channels_out, affine=affine)

    def body(self, x: Tensor) -> Tensor:
        return torch.cat([conv(part) for conv, part in zip(self.convs, _Corners.apply(x), strict=True)], 1)


class ReLUConvBN(Operation):
    """ReLU, a 1×1 convolution, BatchNorm: how a cell preprocesses its inputs."""

    def __init__(self, channels_in: int, channels_out: int, affine: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.norm = BatchNorm(channels_out, affine=affine)

    def body(self, x: Tensor) -> Tensor:
        return self.conv(x)

    def forward(self, source: Source) -> Tensor:
        assert self.norm is not None
        known = source.projected.pop(self, None)
        return self.norm(self.conv(source.read(self.form)) if known is None else known)


class _Projections(torch.autograd.Function):
    """1×1 convolutions of one tensor, whose gradients are those of one convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(x, *weights)
        return tuple(F.conv2d(x, weight) for weight in weights)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        needs = [ctx.needs_input_grad[0], any(ctx.needs_input_grad[1:]), False]
        grad, weight = torch.cat(grads, 1), torch.cat(weights)
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(grad, x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, needs)
        split = grad_weight.split([len(w) for w in weights]) if needs[1] else [None] * len(weights)
        return grad_x, *split


def readers(cells: nn.ModuleList, i: int) -> list[nn.Module]:
    """The preprocessing that reads the output of cell i: of the cell after it, and of the one after that. i = −1: the stem's,
    which stands for the two cells before the first."""
    found = [cells[i + after].preprocess[2 - after] for after in (1, 2) if i + after < len(cells)]  # type: ignore[index]
    return [*([cells[0].preprocess[0]] if i < 0 else []), *found]  # type: ignore[index,list-item]


def project(source: Source, readers: list[nn.Module]) -> None:
    """Compute the 1×1 convolutions of all those `readers` that are a `ReLUConvBN` of this source at once."""
    mine = [reader for reader in readers if isinstance(reader, ReLUConvBN)]
    if len(mine) > 1 and _rewritten(source.x):
        outputs = _Projections.apply(source.read("rectified"), *(reader.conv.weight for reader in mine))
        source.projected = dict(zip(mine, outputs, strict=True))


class SepConv(Operation):
    """A depthwise separable convolution of side k, applied twice (`twice`), the first time with the stride."""

    def __init__(self, channels: int, k: int, stride: int, affine: bool, twice: bool = True) -> None:
        super().__init__()
        self.stride, self.padding = stride, k // 2
        rounds = 2 if twice else 1
        self.depthwise = nn.ParameterList(_depthwise_weight(channels, k) for _ in range(rounds))
        self.pointwise = nn.ModuleList(nn.Conv2d(channels, channels, 1, bias=False) for _ in range(rounds))
        self.middle = BatchNorm(channels, affine=affine) if twice else None
        self.norm = BatchNorm(channels, affine=affine)

    def body(self, x: Tensor) -> Tensor:
        x = self.pointwise[0](depthwise(x, self.depthwise[0], self.stride, self.padding))
        if self.middle is not None:
            x = F.relu(self.middle(x), inplace=True)
            x = self.pointwise[1](depthwise(x, self.depthwise[1], 1, self.padding))
        return x


class DilConv(Operation):
    """A depthwise separable convolution of side k and dilation 2, once.

    On an input of even sides its output is in phases at stride 1 (`finish` undoes them), and of the image's even phase
    alone at stride 2. An input of odd sides (`odd`: ImageNet's last cells, 7×7) has no such phases and takes the plain way.
    """

    def __init__(self, channels: int, k: int, stride: int, affine: bool, odd: bool = False) -> None:
        super().__init__()
        self.stride, self.padding, self.odd = stride, k // 2, odd
        self.form = "rectified" if odd else "dilated"
        self.in_phases = stride == 1 and not odd
        self.depthwise = _depthwise_weight(channels, k)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = BatchNorm(channels, affine=affine)

    def body(self, x: Tensor) -> Tensor:
        if self.odd:
            return self.pointwise(F.conv2d(x, self.depthwise, None, self.stride, 2 * self.padding, 2, x.shape[1]))
        return self.pointwise(depthwise(x, self.depthwise, 1, self.padding))

    def finish(self, x: Tensor) -> Tensor:
        return unphase(x) if self.in_phases else x


class Conv7x1_1x7(Operation):
    """AmoebaNet's full 1×7 and 7×1 convolutions."""

    def __init__(self, channels: int, stride: int, affine: bool) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False),
            nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False),
        )
        self.norm = BatchNorm(channels, affine=affine)

    def body(self, x: Tensor) -> Tensor:
        return self.convs(x)


def _depthwise_weight(channels: int, k: int) -> nn.Parameter:
    weight = nn.Parameter(torch.empty(channels, 1, k, k))
    nn.init.kaiming_uniform_(weight, a=5**0.5)  # as nn.Conv2d does
    return weight


class SqueezeExcitation(nn.Module):
    """Channels weighted by what the whole image says of them (Hu et al. 2018): pool, C → C/16, ReLU, → C, sigmoid."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(channels, channels // reduction), nn.Linear(channels // reduction, channels)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return x * weights[:, :, None, None]


def make_operation(name: str, channels: int, stride: int, affine: bool, pool_norm: bool, odd: bool = False) -> Operation:
    """The operation of this name (`space.ALL_OPERATIONS`) on `channels` channels at stride 1 or 2.

    affine: whether its BatchNorms learn a scale and a shift (evaluation) or not (search).
    pool_norm: whether pools are followed by a BatchNorm (search only).
    odd: whether the sides of its input are odd.
    Raises KeyError for an unknown name.
    """
    if name in ("max_pool_3x3", "avg_pool_3x3"):
        return Pool(name, channels, stride, pool_norm)
    if name == "skip_connect":
        return Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    if name == "none":
        return Zero(stride)
    if name == "conv_7x1_1x7":
        return Conv7x1_1x7(channels, stride, affine)
    sides = {"sep_conv_3x3": 3, "sep_conv_5x5": 5, "sep_conv_7x7": 7, "sep_conv_3x3_once": 3}
    if name in sides:
        return SepConv(channels, sides[name], stride, affine, twice=not name.endswith("_once"))
    return DilConv(channels, {"dil_conv_3x3": 3, "dil_conv_5x5": 5}[name], stride, affine, odd)


def drop_path(x: Tensor, probability: float) -> Tensor:
    """Zero the path of each sample with this probability, and scale the others up (ScheduledDropPath, per sample)."""
    keep = 1.0 - probability
    mask = torch.empty(x.shape[0], 1, 1, 1, device=x.device, dtype=x.dtype).bernoulli_(keep)
    return x * (mask / keep)


class _ContiguousGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad.contiguous(memory_format=torch.channels_last)


def contiguous_gradient(x: Tensor) -> Tensor:
    """x itself; its gradient arrives in one piece, so that each of the operations behind it need not copy it."""
    return _ContiguousGradient.apply(x)


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, *terms: Tensor) -> Tensor:
        ctx.save_for_backward(weights, *terms)
        total = terms[0] * weights[0]
        for weight, term in zip(weights[1:], terms[1:], strict=True):
            total.addcmul_(term, weight)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weights, *terms = ctx.saved_tensors
        grad_weights = None
        if ctx.needs_input_grad[0]:
            flat = grad.permute(0, 2, 3, 1).reshape(-1)
            grad_weights = torch.stack([torch.dot(flat, term.permute(0, 2, 3, 1).reshape(-1)) for term in terms])
        grads = [grad * w if need else None for w, need in zip(weights, ctx.needs_input_grad[1:], strict=True)]
        return grad_weights, *grads


def weighted_sum(weights: Tensor, terms: list[Tensor]) -> Tensor:
    """Σ_k weights[k]·terms[k]: weights (K,), K terms (B, C, H, W)."""
    return _WeightedSum.apply(weights, *terms)

"""The exact rewritings that make the operations fast, and their gradients. Tensors are (B, C, H, W), fast where they are channels_last.

The rewritings are the same function up to rounding; tests/plain.py has the plain versions:

- A dilated depthwise convolution (dilation 2) is an undilated one on the four phases of the image, x[:, :, i::2, j::2].
  The phases are stacked along the batch, (4B, C, H/2, W/2); a 1×1 convolution and a BatchNorm do not mind.
- On a CPU, the weight gradient of a depthwise convolution wider than 3, or higher than the image, is computed in slices of 3
  columns of the padded image (5×5 on 4×4 pixels: 7 to 10 times as fast), and its input gradient at stride 1 as a convolution with
  the flipped kernel: those reach the fast kernels. An average pool is a depthwise convolution with ones, divided by the pixels that
  each window covers. Convolutions that read one tensor share its gradient. BatchNorm over few channels reads k neighbouring pixels
  as k·C channels, which fill the vector unit, and puts their k statistics together.
"""

from __future__ import annotations

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
            height, width = x.shape[2:]
            if k <= min(3, height) or width <= k // 2:  # (a slice might miss so narrow an image)
                _, grad_weight = backward(x, weight, [p, p], [False, True])
            else:
                slices = []
                bottom = (grad.shape[2] - 1) * s + k - height - p  # where the last window ends, past x
                for left in range(0, k, 3):
                    columns = min(3, k - left)
                    right = (grad.shape[3] - 1) * s + left + columns - width - p
                    inputs = F.pad(x, (p - left, right, p, bottom))
                    kernel = weight[..., left : left + columns].contiguous()
                    slices.append(backward(inputs, kernel, [0, 0], [False, True])[1])
                grad_weight = torch.cat(slices, 3)
        return grad_x, grad_weight, None, None


def rewritten(x: Tensor) -> bool:
    """Whether the CPU's rewritings apply: their gradients do not know autocast."""
    return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def depthwise(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """The depthwise convolution of x (B, C, H, W) with weight (C, 1, k, k)."""
    if rewritten(x):
        return _Depthwise.apply(x, weight, stride, padding)
    return F.conv2d(x, weight, None, stride, padding, 1, x.shape[1])


def average_pool(x: Tensor, stride: int) -> Tensor:
    """3×3 average pooling that does not count the padding.

    On CUDA of a contiguous copy: there torch (2.11 was measured; its issue 188344) returns wrong input gradients for a padded pool in
    channels_last.
    """
    if x.device.type != "cpu":
        y = F.avg_pool2d(x.contiguous(), 3, stride, 1, count_include_pad=False)
        return y if x.is_contiguous() else y.contiguous(memory_format=torch.channels_last)
    if not rewritten(x):
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
    if norm.training and channels <= 32 and x.numel() >= 1 << 18 and rewritten(x):
        k = 128 // channels
        while pixels % k:
            k -= 1
        return _FoldedBatchNorm.apply(x, weight, bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps, k)
    return F.batch_norm(x, norm.running_mean, norm.running_var, weight, bias, norm.training, norm.momentum or 0.0, norm.eps)


class BatchNorm(nn.BatchNorm2d):
    """torch's, by `batch_norm`."""

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self, self.weight, self.bias)


def phases(x: Tensor) -> Tensor:
    """The four phases of an image of even sides, (B, C, H, W) → (4B, C, H/2, W/2), channels_last."""
    b, c, h, w = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(b, h // 2, 2, w // 2, 2, c)
    return pixels.permute(2, 4, 0, 1, 3, 5).reshape(4 * b, h // 2, w // 2, c).permute(0, 3, 1, 2)


def unphase(x: Tensor) -> Tensor:
    """The inverse of `phases`."""
    b, c, h, w = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(2, 2, b // 4, h, w, c)
    return pixels.permute(2, 3, 0, 4, 1, 5).reshape(b // 4, 2 * h, 2 * w, c).permute(0, 3, 1, 2)


class Corners(torch.autograd.Function):
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


class Projections(torch.autograd.Function):
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


class ContiguousGradient(torch.autograd.Function):
    """x itself; its gradient arrives in one piece, so that each of the operations behind it need not copy it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad.contiguous(memory_format=torch.channels_last)


class WeightedSum(torch.autograd.Function):
    """Σ_k weights[k]·terms[k]: weights (K,), K terms (B, C, H, W)."""

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

"""The candidate operations (ReLU-Conv-BN; the audit page, “the search, as it is run”).

Every tensor is (B, C, H, W), and fast where its memory is channels_last. An operation does not read a tensor but a
`Source`, which computes the forms of it that operations read (rectified, in phases) once for all of them:

    op(source) = op.finish(op.norm(op.body(source.read(op.form))))

kernels.py has the functions beneath, rewritten for speed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .kernels import BatchNorm, Corners, Projections, average_pool, depthwise, phases, rewritten, unphase


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


class FactorizedReduce(Operation):
    """skip_connect at stride 2: two 1×1 convolutions of half the channels, the second on the image shifted by one pixel.

    An image of odd sides is first padded with a row and a column of zeros, so that the two have one size.
    """

    def __init__(self, channels_in: int, channels_out: int, affine: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels_in, width, 1, bias=False) for width in (channels_out - channels_out // 2, channels_out // 2)
        )
        self.norm = BatchNorm(channels_out, affine=affine)

    def body(self, x: Tensor) -> Tensor:
        if x.shape[2] % 2 or x.shape[3] % 2:
            x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        return torch.cat([conv(part) for conv, part in zip(self.convs, Corners.apply(x), strict=True)], 1)


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


def readers(cells: nn.ModuleList, i: int) -> list[nn.Module]:
    """The preprocessing that reads the output of cell i: of the cell after it, and of the one after that. i = −1: the stem's,
    which stands for the two cells before the first."""
    found = [cells[i + after].preprocess[2 - after] for after in (1, 2) if i + after < len(cells)]  # type: ignore[index]
    return [*([cells[0].preprocess[0]] if i < 0 else []), *found]  # type: ignore[index,list-item]


def project(source: Source, readers: list[nn.Module]) -> None:
    """Compute the 1×1 convolutions of all those `readers` that are a `ReLUConvBN` of this source at once."""
    mine = [reader for reader in readers if isinstance(reader, ReLUConvBN)]
    if len(mine) > 1 and rewritten(source.x):
        outputs = Projections.apply(source.read("rectified"), *(reader.conv.weight for reader in mine))
        source.projected = dict(zip(mine, outputs, strict=True))


class Cell(nn.Module):
    """What the cells of both networks have: their kind, and how their two inputs are brought to `channels` channels."""

    def __init__(self, kind: str, before_last: int, last: int, channels: int, reduced: bool, affine: bool) -> None:
        """before_last, last: channels of the inputs. reduced: whether the first has twice the second's side."""
        super().__init__()
        self.kind = kind
        first = FactorizedReduce if reduced else ReLUConvBN
        self.preprocess = nn.ModuleList([first(before_last, channels, affine), ReLUConvBN(last, channels, affine)])

    def stride(self, source: int) -> int:
        return 2 if self.kind == "reduce" and source < 2 else 1

    def sources(self, s0: Source, s1: Source) -> list[Source]:
        """The cell's first two nodes, from the outputs of the two cells before it."""
        return [Source(part(s), self.stride(i)) for i, (part, s) in enumerate(zip(self.preprocess, (s0, s1), strict=True))]


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


def source_side(kind: str, source: int, side: int) -> int:
    """The side of the node `source` of a cell of this kind, `side` being that of the cell's inputs: a reduction halves it, rounded up."""
    return -(-side // 2) if kind == "reduce" and source >= 2 else side


def make_operation(name: str, channels: int, stride: int, affine: bool, odd: bool = False) -> Operation:
    """The operation of this name (`space.ALL_OPERATIONS`) on `channels` channels at stride 1 or 2.

    affine: whether its BatchNorms learn a scale and a shift, as in an evaluation; in a search they do not, and one follows a pool, too.
    odd: whether the sides of its input are odd.
    Raises KeyError for an unknown name.
    """
    if name in ("max_pool_3x3", "avg_pool_3x3"):
        return Pool(name, channels, stride, norm=not affine)
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


def drop_path(x: Tensor, probability: float | Tensor) -> Tensor:
    """Zero the path of each sample with this probability, and scale the others up (ScheduledDropPath, per sample).

    A probability that is a tensor () may change between the replays of a graph.
    """
    keep = 1.0 - probability
    mask = torch.empty(x.shape[0], 1, 1, 1, device=x.device, dtype=x.dtype)
    if isinstance(keep, Tensor):
        return x * (mask.bernoulli_(keep.expand(mask.shape)) / keep.to(x.dtype))
    return x * (mask.bernoulli_(keep) / keep)

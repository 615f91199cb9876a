"""The derived network of a genotype (4.2, 4.3; DARTS' evaluation networks), and its exact size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import SqueezeExcitation

from ..paper.space import Genotype
from .kernels import ContiguousGradient
from .operations import Cell, Identity, Source, drop_path, make_operation, project, readers, source_side


@dataclass(frozen=True)
class Size:
    """What makes a derived network: `layers` cells of a genotype, in classes and images, and how large it is without its auxiliary head.

    channels: of the first cells, doubled at each reduction. image_size: side of the (square) images, at least 8
    with the stem `cifar` (3×3, 3C channels) and 64 with `imagenet` (`imagenet_stem`).
    squeeze_excitation: whether each cell ends in one (the paper's ImageNet network).
    """

    genotype: Genotype
    channels: int = 36
    layers: int = 20
    classes: int = 10
    image_channels: int = 3
    image_size: int = 32
    stem: str = "cifar"
    squeeze_excitation: bool = False
    auxiliary: bool = False

    @cached_property
    def _network(self) -> DerivedNetwork:
        with torch.device("meta"):
            return DerivedNetwork(self).eval()

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self._network.parameters())

    @property
    def multiply_adds(self) -> int:
        """Of the convolutions and the linear layers, for one image."""
        image = torch.empty(1, self.image_channels, self.image_size, self.image_size, device="meta")
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            self._network(image)
        return counter.get_total_flops() // 2


class DerivedCell(Cell):
    """One cell of a genotype; BatchNorms are affine and pools have none."""

    def __init__(self, size: Size, kind: str, before_last: int, last: int, channels: int, reduced: bool, side: int) -> None:
        """side: of the second input; `Cell` has the others."""
        super().__init__(kind, before_last, last, channels, reduced, affine=True)
        self.edges, self.concat = size.genotype.cell(kind), size.genotype.concat(kind)
        self.operations = nn.ModuleList(
            make_operation(e.operation, channels, self.stride(e.source), affine=True, odd=source_side(kind, e.source, side) % 2 == 1)
            for e in self.edges
        )
        width = len(self.concat) * channels
        self.attention = SqueezeExcitation(width, max(1, width // 16)) if size.squeeze_excitation else None

    def forward(self, s0: Source, s1: Source, drop_probability: float | Tensor) -> Tensor:
        """s0, s1: of (B, ·, H, W) → (B, concatenated nodes·C, H, W), or half the sides in a reduction cell."""
        dropping = self.training and (isinstance(drop_probability, Tensor) or drop_probability > 0)
        sources = self.sources(s0, s1)
        for target in range(2, 1 + max(edge.target for edge in self.edges)):
            total: Tensor | None = None
            for edge, operation in zip(self.edges, self.operations, strict=True):
                if edge.target == target:
                    x = operation(sources[edge.source])
                    if dropping and not isinstance(operation, Identity):
                        x = drop_path(x, drop_probability)
                    total = x if total is None else total + x
            assert total is not None
            sources.append(Source(ContiguousGradient.apply(total)))
        output = torch.cat([sources[node].x for node in self.concat], 1)
        return output if self.attention is None else self.attention(output)


class AuxiliaryHead(nn.Module):
    """DARTS' auxiliary classifier: average pool to 2×2, 1×1 → 128, 2×2 → 768, linear.

    On 8×8 features the pool is DARTS' own, 5×5 with stride 3; on others its window is the same share of the side.
    """

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        window = max(1, min(-(-5 * side // 8), side - 1))
        self.features = nn.Sequential(
            nn.AvgPool2d(window, side - window, count_include_pad=False),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
        )
        self.head = nn.Linear(768, classes)

    def forward(self, rectified: Tensor) -> Tensor:
        """The logits from a cell's output after its ReLU, (B, C, H, W)."""
        return self.head(self.features(rectified).flatten(1))


def imagenet_stem(image_channels: int, channels: int) -> nn.ModuleList:
    """DARTS' two stems for ImageNet: to a quarter of the side, then to an eighth (224 → 56 → 28)."""

    def conv(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after)]

    first = nn.Sequential(*conv(image_channels, channels // 2), nn.ReLU(), *conv(channels // 2, channels))
    return nn.ModuleList([first, nn.Sequential(nn.ReLU(), *conv(channels, channels))])


class DerivedNetwork(nn.Module):
    """A stem, cells with reductions at one and two thirds, a linear head, and an auxiliary head if asked for."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        channels, layers, stem = size.channels, size.layers, size.stem
        before_last = last = 3 * channels if stem == "cifar" else channels
        reduced = stem == "imagenet"
        side = -(-size.image_size // 8) if reduced else size.image_size  # its two stems divide the side by 8, rounded up
        if stem == "cifar":
            conv = nn.Conv2d(size.image_channels, last, 3, padding=1, bias=False)
            self.stems = nn.ModuleList([nn.Sequential(conv, nn.BatchNorm2d(last))])
        else:
            self.stems = imagenet_stem(size.image_channels, channels)
        self.cells = nn.ModuleList()
        self.auxiliary: AuxiliaryHead | None = None
        self.auxiliary_after = 2 * layers // 3
        for i in range(layers):
            kind = "reduce" if i in (layers // 3, 2 * layers // 3) else "normal"
            channels *= 2 if kind == "reduce" else 1
            self.cells.append(DerivedCell(size, kind, before_last, last, channels, reduced, side))
            before_last, last, reduced = last, len(size.genotype.concat(kind)) * channels, kind == "reduce"
            side = source_side(kind, 2, side)
            if size.auxiliary and i == self.auxiliary_after:
                self.auxiliary = AuxiliaryHead(last, side, size.classes)
        self.head = nn.Linear(last, size.classes)

    def forward(self, x: Tensor, drop_probability: float | Tensor = 0.0) -> tuple[Tensor, Tensor | None]:
        """The logits (B, classes) of images (B, image_channels, H, W), and in training those of the auxiliary head.

        drop_probability: of a path, in training; a tensor () where it changes between the replays of a graph.
        """
        s0 = s1 = Source(self.stems[0](x))
        if len(self.stems) > 1:
            s1 = Source(self.stems[1](s0.x))
        project(s1, readers(self.cells, -1))
        extra = None
        for i, cell in enumerate(self.cells):
            s0, s1 = s1, Source(cell(s0, s1, drop_probability))
            project(s1, readers(self.cells, i))
            if i == self.auxiliary_after and self.auxiliary is not None and self.training:
                extra = self.auxiliary(s1.read("rectified"))
        return self.head(s1.x.mean((2, 3))), extra

"""Plain versions of what asap/ does cleverly, written from the papers' descriptions: one module an operation, nothing
shared, nothing fused. Slow and obviously right; the tests compare with them in float64, the benchmarks in float32.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Zero(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class FactorizedReduce(nn.Module):
    def __init__(self, c_in, c_out, affine):
        super().__init__()
        self.conv_1 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(c_out, affine=affine)

    def forward(self, x):
        x = F.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], 1))


def relu_conv_bn(c_in, c_out, affine):
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out, affine=affine))


def separable(c, k, stride, padding, dilation, affine):
    return [
        nn.ReLU(),
        nn.Conv2d(c, c, k, stride, padding, dilation, groups=c, bias=False),
        nn.Conv2d(c, c, 1, bias=False),
        nn.BatchNorm2d(c, affine=affine),
    ]


def operation(name, c, stride, affine, pool_norm):
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(c, c, affine)
    if name in ("max_pool_3x3", "avg_pool_3x3"):
        pool = nn.MaxPool2d(3, stride, 1) if name[0] == "m" else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        return nn.Sequential(pool, nn.BatchNorm2d(c, affine=False)) if pool_norm else pool
    if name == "conv_7x1_1x7":
        return nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(c, c, (1, 7), stride=(1, stride), padding=(0, 3), bias=False),
            nn.Conv2d(c, c, (7, 1), stride=(stride, 1), padding=(3, 0), bias=False),
            nn.BatchNorm2d(c, affine=affine),
        )
    k = int(name.split("x")[0][-1])
    if name.startswith("dil_conv"):
        return nn.Sequential(*separable(c, k, stride, k - 1, 2, affine))
    first = separable(c, k, stride, k // 2, 1, affine)
    return nn.Sequential(*first) if name.endswith("_once") else nn.Sequential(*first, *separable(c, k, 1, k // 2, 1, affine))


class MixedOperation(nn.Module):
    """Eq. 2: every candidate operation is computed, weighted and summed."""

    def __init__(self, names, c, stride):
        super().__init__()
        self.ops = nn.ModuleList(operation(name, c, stride, affine=False, pool_norm=True) for name in names)

    def forward(self, x, weights):
        return sum(w * op(x) for w, op in zip(weights, self.ops, strict=True))


class Cell(nn.Module):
    def __init__(self, names, nodes, c_before_last, c_last, c, reduction, reduced):
        super().__init__()
        self.nodes = nodes
        self.preprocess0 = FactorizedReduce(c_before_last, c, False) if reduced else relu_conv_bn(c_before_last, c, False)
        self.preprocess1 = relu_conv_bn(c_last, c, False)
        self.mixed = nn.ModuleList(MixedOperation(names, c, 2 if reduction and j < 2 else 1) for i in range(nodes) for j in range(2 + i))

    def forward(self, s0, s1, weights):
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        e = 0
        for _ in range(self.nodes):
            total = 0
            for state in list(states):
                total = total + self.mixed[e](state, weights[e])
                e += 1
            states.append(total)
        return torch.cat(states[2:], 1)


class Network(nn.Module):
    """The search network of DARTS. A pruned operation is one of weight 0."""

    def __init__(self, names, c, layers, nodes=4, classes=10, image_channels=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(image_channels, 3 * c, 3, padding=1, bias=False), nn.BatchNorm2d(3 * c))
        self.cells = nn.ModuleList()
        c_pp, c_p, reduced = 3 * c, 3 * c, False
        for i in range(layers):
            reduction = i in (layers // 3, 2 * layers // 3)
            c *= 2 if reduction else 1
            self.cells.append(Cell(names, nodes, c_pp, c_p, c, reduction, reduced))
            self.cells[-1].kind = "reduce" if reduction else "normal"
            c_pp, c_p, reduced = c_p, nodes * c, reduction
        self.head = nn.Linear(c_p, classes)

    def forward(self, x, phi):
        s0 = s1 = self.stem(x)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1, phi[cell.kind])
        return self.head(F.adaptive_avg_pool2d(s1, 1).flatten(1))


class DerivedCell(nn.Module):
    def __init__(self, genotype, kind, c_before_last, c_last, c, reduced):
        super().__init__()
        self.edges, self.concat = genotype.cell(kind), genotype.concat(kind)
        self.preprocess0 = FactorizedReduce(c_before_last, c, True) if reduced else relu_conv_bn(c_before_last, c, True)
        self.preprocess1 = relu_conv_bn(c_last, c, True)
        self.ops = nn.ModuleList(operation(e.operation, c, 2 if kind == "reduce" and e.source < 2 else 1, True, False) for e in self.edges)

    def forward(self, s0, s1):
        states = {0: self.preprocess0(s0), 1: self.preprocess1(s1)}
        for target in range(2, 1 + max(e.target for e in self.edges)):
            states[target] = sum(op(states[e.source]) for e, op in zip(self.edges, self.ops, strict=True) if e.target == target)
        return torch.cat([states[i] for i in self.concat], 1)


class DerivedNetwork(nn.Module):
    """The evaluation network of DARTS for 32×32 images, without auxiliary head and drop-path."""

    def __init__(self, genotype, c, layers, classes=10, image_channels=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(image_channels, 3 * c, 3, padding=1, bias=False), nn.BatchNorm2d(3 * c))
        self.cells = nn.ModuleList()
        c_pp, c_p, reduced = 3 * c, 3 * c, False
        for i in range(layers):
            kind = "reduce" if i in (layers // 3, 2 * layers // 3) else "normal"
            c *= 2 if kind == "reduce" else 1
            self.cells.append(DerivedCell(genotype, kind, c_pp, c_p, c, reduced))
            c_pp, c_p, reduced = c_p, len(genotype.concat(kind)) * c, kind == "reduce"
        self.head = nn.Linear(c_p, classes)

    def forward(self, x):
        s0 = s1 = self.stem(x)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1)
        return self.head(F.adaptive_avg_pool2d(s1, 1).flatten(1))


def copy_weights(plain, supernet):
    """Give a plain search network the weights of a supernet that nothing has been pruned from."""

    def copy(target, *tensors):
        own = list(target.parameters())
        assert len(own) == len(tensors)
        with torch.no_grad():
            for p, t in zip(own, tensors, strict=True):
                p.copy_(t)

    copy(plain.stem, *supernet.stem.parameters())
    copy(plain.head, *supernet.head.parameters())
    for ours, cell in zip(supernet.cells, plain.cells, strict=True):
        copy(cell.preprocess0, *ours.preprocess[0].parameters())
        copy(cell.preprocess1, *ours.preprocess[1].parameters())
        for edge, mixed in zip(ours.edges, cell.mixed, strict=True):
            for name, op in zip(supernet.operations, mixed.ops, strict=True):
                if name in edge:
                    copy(op, *in_plain_order(edge[name]))


def in_plain_order(op):
    """The parameters of one of asap's operations in the order in which the plain one of the same name has them."""
    if type(op).__name__ == "SepConv":
        norms = ([op.middle] if op.middle is not None else []) + [op.norm]
        rounds = zip(op.depthwise, op.pointwise, norms, strict=True)
        return [t for dw, pw, norm in rounds for t in (dw, pw.weight, *norm.parameters())]
    if type(op).__name__ == "DilConv":
        return [op.depthwise, op.pointwise.weight, *op.norm.parameters()]
    return list(op.parameters())

"""The Triton kernels in Triton's interpreter on a CPU, against the plain functions."""

import pytest
import torch
import torch.nn.functional as F

from asap.networks.cuda import BatchedSupernet, Entries, Part, PlainFunctions, Statistics
from asap.paper.space import CELL_KINDS

triton = pytest.importorskip("triton", reason="Triton comes with torch for CUDA")
if not triton.knobs.runtime.interpret:
    pytest.skip("the interpreter is for machines without a GPU (conftest.py)", allow_module_level=True)


@pytest.fixture
def kernels(monkeypatch):
    """The functions, with sums over a batch in parts of two images."""
    from asap.networks import triton, triton_depthwise

    for module in (triton, triton_depthwise):
        monkeypatch.setattr(module, "IMAGES", 2)
    return triton_depthwise


def norms(groups, channels, dtype):
    return Statistics([torch.nn.BatchNorm2d(channels, affine=False).to(dtype) for _ in range(groups)])


def apart(call, kernels, leaves, statistics=None):
    """The largest difference, of outputs, gradients and running statistics, relative to the largest value of each."""
    found = []
    for functions in (PlainFunctions, kernels):
        norm = statistics() if statistics else None
        y = call(functions, norm)
        direction = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
        found.append([y.detach(), *torch.autograd.grad(y, leaves, direction), *([norm.mean, norm.variance] if norm else [])])
    return max(float((a - b).abs().max() / b.abs().max().clamp_min(1e-30)) for a, b in zip(found[1], found[0], strict=True))


@pytest.mark.parametrize(
    ("stride", "dilation", "normed", "counts", "side", "dtype"),
    [
        (1, 1, False, (2, 1), 4, torch.float32),
        (2, 1, False, (1, 0), 5, torch.float64),
        (1, 2, False, (0, 1), 4, torch.float64),
        (2, 2, False, (1, 1), 4, torch.float64),
        (1, 1, True, (1, 1), 5, torch.float64),
    ],
)
def test_depthwise(kernels, stride, dilation, normed, counts, side, dtype):
    """limit: in float64 that of the running statistics, whose momentum is a float32 in a kernel."""
    torch.manual_seed(0)
    channels, limit = 2, 1e-7 if dtype == torch.float64 else 1e-5
    x = torch.randn(3, sum(counts) * channels if normed else channels, side, side, dtype=dtype, requires_grad=True)
    weights = [
        torch.randn(channels, 1, k, k, dtype=dtype, requires_grad=True) for n, k in zip(counts, (3, 5), strict=True) for _ in range(n)
    ]

    def call(functions, norm):
        return functions.depthwise([Part(x, norm, weights, stride, dilation)])

    assert apart(call, kernels, [x, *weights], (lambda: norms(sum(counts), channels, dtype)) if normed else None) < limit


def test_depthwise_convolutions_of_two_sources_beside_one_another(kernels):
    torch.manual_seed(0)
    sources = [torch.randn(2, channels, side, side, dtype=torch.float64, requires_grad=True) for channels, side in ((4, 2), (2, 4))]
    weights = [torch.randn(2, 1, k, k, dtype=torch.float64, requires_grad=True) for k in (3, 5, 3, 3, 5)]

    def call(functions, norm):
        return functions.depthwise([Part(sources[0], norm, weights[:2], 1, 1), Part(sources[1], None, weights[2:], 2, 2)])

    assert apart(call, kernels, [*sources, *weights], lambda: norms(2, 2, torch.float64)) < 1e-7


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    ("found", "groups", "normed", "dtype"),
    [
        ([(0, 1, 3), (1, 0, 5), (2, 1, 7)], 3, True, torch.float32),
        ([(0, 0, 3), (0, 1, 5), (1, 1, 7), (1, 2, 8), (0, 2, 9)], 2, True, torch.float64),
        ([(0, 0, 3), (0, 2, 4)], 1, False, torch.float64),
    ],
)
def test_mix(kernels, found, groups, normed, dtype, first):
    torch.manual_seed(0)
    entries = Entries(found, groups, 3, torch.device("cpu"))
    y = torch.randn(4, groups * 2, 3, 3, dtype=dtype, requires_grad=True)
    phi = torch.rand(len(found), dtype=dtype, requires_grad=True)
    total = torch.randn(3, 4, 2, 3, 3, dtype=dtype, requires_grad=True)

    def call(functions, norm):
        return functions.mix(None if first else total, y, norm, entries, phi)

    assert apart(call, kernels, [y, phi] if first else [y, phi, total], (lambda: norms(groups, 2, dtype)) if normed else None) < (
        1e-7 if dtype == torch.float64 else 1e-5
    )


def test_a_network_in_training_and_in_evaluation(kernels):
    torch.manual_seed(0)
    operations = ("sep_conv_3x3", "dil_conv_3x3", "avg_pool_3x3", "skip_connect")
    networks = [BatchedSupernet(operations, 2, layers=1, nodes=1).double() for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    networks[0].functions, networks[1].functions = PlainFunctions, kernels
    images, labels = torch.randn(2, 3, 4, 4).double(), torch.tensor([1, 2])
    alpha = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    found = []
    for network in networks:
        logits = network(images, {k: alpha.softmax(-1) for k in CELL_KINDS})
        gradients = torch.autograd.grad(F.cross_entropy(logits, labels), [*network.parameters(), alpha])
        found.append([logits.detach(), *gradients])
    assert max(float((a - b).abs().max()) for a, b in zip(*found, strict=True)) < 1e-10
    with torch.no_grad():
        logits = [network.eval()(images, {k: alpha.softmax(-1) for k in CELL_KINDS}) for network in networks]
    assert float((logits[0] - logits[1]).abs().max()) < 1e-6

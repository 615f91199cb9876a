"""Each operation against its plain version, in float64."""

import plain
import pytest
import torch
import torch.nn.functional as F

from asap.networks import kernels
from asap.networks.kernels import WeightedSum, depthwise, phases, unphase
from asap.networks.operations import FactorizedReduce, ReLUConvBN, Source, drop_path, make_operation, project
from asap.paper.space import ALL_OPERATIONS


def gradients(y, inputs, seed=1):
    weight = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.autograd.grad(y, inputs, weight, allow_unused=True)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", ALL_OPERATIONS)
@pytest.mark.parametrize("affine", [True, False])
def test_operation(name, stride, affine):
    torch.manual_seed(0)
    ours = make_operation(name, 4, stride, affine).double()
    theirs = plain.operation(name, 4, stride, affine, pool_norm=not affine).double()
    with torch.no_grad():
        for target, value in zip(theirs.parameters(), plain.in_plain_order(ours), strict=True):
            target.copy_(value)
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    y, z = ours(Source(x, stride)), theirs(x)
    assert y.shape == z.shape and (y - z).abs().max() < 1e-12
    pairs = zip(gradients(y, [x, *plain.in_plain_order(ours)]), gradients(z, [x, *theirs.parameters()]), strict=True)
    assert max(float((a - b).abs().max()) for a, b in pairs if a is not None) < 1e-11


def test_factorized_reduce_changes_channels():
    torch.manual_seed(0)
    ours, theirs = FactorizedReduce(6, 4, True).double(), plain.FactorizedReduce(6, 4, True).double()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    assert (ours(Source(x)) - theirs(x)).abs().max() < 1e-12


@pytest.mark.parametrize("side", [1, 2, 3, 4, 8, 9])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("k", [3, 5, 7])
def test_depthwise_gradients(k, stride, side):
    torch.manual_seed(0)
    x = torch.randn(2, 3, side, side, dtype=torch.float64, requires_grad=True)
    w = torch.randn(3, 1, k, k, dtype=torch.float64, requires_grad=True)
    y, z = depthwise(x, w, stride, k // 2), F.conv2d(x, w, None, stride, k // 2, 1, 3)
    assert torch.equal(y, z)
    assert max(float((a - b).abs().max()) for a, b in zip(gradients(y, [x, w]), gradients(z, [x, w]), strict=True)) < 1e-12


def test_phases_are_undone():
    x = torch.randn(2, 3, 4, 6)
    assert phases(x).shape == (8, 3, 2, 3)
    assert torch.equal(phases(x)[:2], x[:, :, ::2, ::2])
    assert torch.equal(unphase(phases(x)), x)


def test_weighted_sum_gradients():
    torch.manual_seed(0)
    terms = [torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    weights = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(WeightedSum.apply, (weights, *terms))


@pytest.mark.parametrize("stride", [1, 2])
def test_off_a_cpu_no_padded_average_pool_sees_channels_last(monkeypatch, stride):
    """torch's gradient of it is wrong on CUDA."""
    seen, real = [], F.avg_pool2d
    monkeypatch.setattr(F, "avg_pool2d", lambda x, *a, **k: seen.append(x.is_contiguous()) or real(x, *a, **k))
    x = torch.empty(2, 4, 8, 8, device="meta").contiguous(memory_format=torch.channels_last)
    y = kernels.average_pool(x, stride)
    assert seen == [True] and y.is_contiguous(memory_format=torch.channels_last) and y.shape == (2, 4, 8 // stride, 8 // stride)


def test_a_drop_path_probability_may_be_a_tensor():
    torch.manual_seed(0)
    y = drop_path(torch.ones(4000, 2, 3, 3), torch.tensor(0.2))
    assert set(y.flatten(1).unique(dim=1).flatten().tolist()) == {0.0, 1.25}
    assert float(y.mean()) == pytest.approx(1, abs=0.02)


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    y = drop_path(torch.ones(4000, 2, 3, 3), 0.2)
    assert set(y.flatten(1).unique(dim=1).flatten().tolist()) == {0.0, 1.25}
    assert float(y.mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("channels", "side"), [(8, 32), (12, 24), (32, 24)])
@pytest.mark.parametrize("affine", ["none", "weight", "both"])
def test_folded_batch_norm_is_batch_norm(channels, side, affine):
    """Outputs, gradients and running statistics against torch's, in float64."""
    torch.manual_seed(0)
    norms = [torch.nn.BatchNorm2d(channels, affine=False).double() for _ in range(2)]
    x = (3 * torch.randn(40, channels, side, side, dtype=torch.float64) + 2).contiguous(memory_format=torch.channels_last)
    assert x.numel() >= 1 << 18
    given = [torch.randn(channels, dtype=torch.float64) for _ in range({"none": 0, "weight": 1, "both": 2}[affine])]
    grad, found = torch.randn_like(x), []
    for norm, function in zip(norms, (kernels.batch_norm, plain_batch_norm), strict=True):
        leaves = [leaf.clone().requires_grad_() for leaf in (x, *given)]
        y = function(leaves[0], norm, *leaves[1:], *[None] * (3 - len(leaves)))
        found.append([y, *torch.autograd.grad(y, leaves, grad), norm.running_mean, norm.running_var])
    assert "Folded" in type(found[0][0].grad_fn).__name__ and found[0][0].is_contiguous(memory_format=torch.channels_last)
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-10)
    F.relu(kernels.batch_norm(leaves[0], norms[0], None, None), inplace=True).sum().backward()


def plain_batch_norm(x, norm, weight, bias):
    return F.batch_norm(x, norm.running_mean, norm.running_var, weight, bias, True, norm.momentum, norm.eps)


def test_batch_norm_in_evaluation_and_of_many_channels_is_torch_s():
    x = torch.randn(40, 8, 32, 32).contiguous(memory_format=torch.channels_last)
    norm = kernels.BatchNorm(8).eval()
    assert torch.equal(norm(x), torch.nn.BatchNorm2d(8).eval()(x))
    wide = torch.randn(40, 48, 16, 16).contiguous(memory_format=torch.channels_last)
    assert torch.equal(kernels.BatchNorm(48)(wide), torch.nn.BatchNorm2d(48)(wide))


@pytest.mark.parametrize("frozen", [False, True])
def test_projections_share_one_gradient(frozen):
    torch.manual_seed(0)
    modules = [ReLUConvBN(12, width, affine=False).double().requires_grad_(not frozen) for width in (4, 8, 8)]
    other = FactorizedReduce(12, 8, affine=False).double()
    x = torch.randn(5, 12, 8, 8, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    found = []
    for together in (True, False):
        leaf = x.clone().requires_grad_()
        source = Source(leaf)
        if together:
            project(source, [*modules, other])
            assert len(source.projected) == 3
        total = sum((module(source) ** 3).sum() for module in (*modules, other))
        weights = [] if frozen else [module.conv.weight for module in modules]
        found.append(torch.autograd.grad(total, [leaf, *weights]))
        assert not source.projected
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10)

"""Each operation against its plain version, in float64."""

import plain
import pytest
import torch
import torch.nn.functional as F

from asap.operations import FactorizedReduce, Source, depthwise, drop_path, make_operation, phases, unphase, weighted_sum
from asap.space import ALL_OPERATIONS


def gradients(y, inputs, seed=1):
    weight = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.autograd.grad(y, inputs, weight, allow_unused=True)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", ALL_OPERATIONS)
@pytest.mark.parametrize("affine", [True, False])
def test_operation(name, stride, affine):
    torch.manual_seed(0)
    ours = make_operation(name, 4, stride, affine, pool_norm=not affine).double()
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


@pytest.mark.parametrize("side", [4, 8, 9])
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
    assert torch.autograd.gradcheck(lambda w, *t: weighted_sum(w, list(t)), (weights, *terms))


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    y = drop_path(torch.ones(4000, 2, 3, 3), 0.2)
    assert set(y.flatten(1).unique(dim=1).flatten().tolist()) == {0.0, 1.25}
    assert float(y.mean()) == pytest.approx(1, abs=0.02)

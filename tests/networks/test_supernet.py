"""The supernet against a plain mixed-operation network, in float64."""

import numpy as np
import plain
import pytest
import torch
import torch.nn.functional as F

from asap.networks.supernet import Supernet
from asap.paper.space import ASAP_OPERATIONS, CELL_KINDS, DARTS_OPERATIONS, edges
from asap.search.alpha import frozen


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def pair(operations, channels=4, layers=3, nodes=4):
    torch.manual_seed(0)
    ours = Supernet(operations, channels, layers, nodes).to(memory_format=torch.channels_last)
    theirs = plain.Network(operations, channels, layers, nodes)
    plain.copy_weights(theirs, ours)
    alpha = {kind: torch.randn(len(edges(nodes)), len(operations), requires_grad=True) for kind in CELL_KINDS}
    images, labels = torch.randn(5, 3, 16, 16), torch.randint(10, (5,))
    return ours, theirs, alpha, images.contiguous(memory_format=torch.channels_last), labels


def phi(alpha, alive):
    return {k: torch.softmax((a / 0.7).masked_fill(~torch.from_numpy(alive[k]), -torch.inf), -1) for k, a in alpha.items()}


def gradients_by_operation(ours, theirs):
    """Pairs of gradients of the same weights."""
    for a, b in zip(ours.cells, theirs.cells, strict=True):
        for edge, mixed in zip(a.edges, b.mixed, strict=True):
            for name, op in zip(ours.operations, mixed.ops, strict=True):
                if name in edge:
                    yield from ((x.grad, y.grad) for x, y in zip(plain.in_plain_order(edge[name]), op.parameters(), strict=True))
    yield ours.stem[0].weight.grad, theirs.stem[0].weight.grad
    yield ours.head.weight.grad, theirs.head.weight.grad


def compare(ours, theirs, alpha, images, labels):
    """One w step's and one α step's gradients of both networks. Returns the largest difference."""
    differences = []
    logits = []
    for network in (ours, theirs):
        network.zero_grad()
        out = network(images, {k: v.detach() for k, v in phi(alpha, ours.alive).items()})
        F.cross_entropy(out, labels).backward()
        logits.append(out.detach())
    differences.append((logits[0] - logits[1]).abs().max())
    differences += [(a - b).abs().max() for a, b in gradients_by_operation(ours, theirs)]
    alphas = []
    for network in (ours, theirs):
        with frozen(network):
            loss = F.cross_entropy(network(images, phi(alpha, ours.alive)), labels)
            alphas.append(torch.autograd.grad(loss, list(alpha.values())))
    differences += [(a - b).abs().max() for a, b in zip(*alphas, strict=True)]
    return max(float(d) for d in differences)


@pytest.mark.parametrize("operations", [ASAP_OPERATIONS, DARTS_OPERATIONS])
def test_agrees_with_the_plain_network_before_and_after_pruning(operations):
    ours, theirs, alpha, images, labels = pair(operations)
    assert compare(ours, theirs, alpha, images, labels) < 1e-10
    rng = np.random.default_rng(1)
    for share in (0.5, 0.9):
        pruned = {kind: rng.random(mask.shape) < share for kind, mask in ours.alive.items()}
        for kind, mask in pruned.items():
            keep = np.where(ours.alive[kind], rng.random(mask.shape), -1).argmax(1)
            mask[np.arange(len(keep)), keep] = False
        ours.prune(pruned)
        assert compare(ours, theirs, alpha, images, labels) < 1e-10


def test_agrees_in_evaluation_mode():
    ours, theirs, alpha, images, _labels = pair(ASAP_OPERATIONS)
    mixture = {k: v.detach() for k, v in phi(alpha, ours.alive).items()}
    for network in (ours, theirs):
        for _ in range(3):
            network(images, mixture)
        network.eval()
    with torch.no_grad():
        assert (ours(images, mixture) - theirs(images, mixture)).abs().max() < 1e-10


def test_a_subset_of_operations_can_be_computed_without_pruning():
    ours, theirs, alpha, images, _ = pair(ASAP_OPERATIONS)
    one_hot = {k: F.one_hot(a.argmax(1), a.shape[1]).double() for k, a in alpha.items()}
    active = {k: [[int(row.argmax())] for row in v] for k, v in one_hot.items()}
    assert (ours(images, one_hot, active) - theirs(images, one_hot)).abs().max() < 1e-10


def test_pruning_deletes_weights_and_guards_the_last_operation():
    ours, *_ = pair(ASAP_OPERATIONS)
    before = sum(p.numel() for p in ours.parameters())
    masks = {k: np.zeros_like(v) for k, v in ours.alive.items()}
    masks["normal"][:, 3:] = True
    gone = ours.prune(masks)
    assert gone and sum(p.numel() for p in ours.parameters()) == before - sum(p.numel() for p in gone)
    everything = {k: np.ones_like(v) for k, v in ours.alive.items()}
    with pytest.raises(ValueError, match="without an operation"):
        ours.prune(everything)

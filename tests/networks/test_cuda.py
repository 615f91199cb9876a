"""The batched supernet for a GPU against the plain one, in float64 on a CPU: the same weights, the same numbers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from asap.networks.cuda import BatchedSupernet, PlainFunctions, fastest_functions, supernet_on
from asap.networks.supernet import Supernet
from asap.paper.space import ASAP_OPERATIONS, CELL_KINDS, DARTS_OPERATIONS, edges
from asap.search.alpha import frozen


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def pair(operations, channels=4, layers=3, nodes=4, side=16):
    torch.manual_seed(0)
    plain, batched = (kind(operations, channels, layers, nodes) for kind in (Supernet, BatchedSupernet))
    batched.load_state_dict(plain.state_dict())
    alpha = {kind: torch.randn(len(edges(nodes)), len(operations), requires_grad=True) for kind in CELL_KINDS}
    return plain, batched, alpha, torch.randn(5, 3, side, side), torch.randint(10, (5,))


def phi(alpha, alive):
    return {k: torch.softmax((a / 0.7).masked_fill(~torch.from_numpy(alive[k]), -torch.inf), -1) for k, a in alpha.items()}


def some(alive, share, rng):
    """A pruning that leaves an operation on each edge."""
    pruned = {kind: rng.random(mask.shape) < share for kind, mask in alive.items()}
    for kind, mask in pruned.items():
        keep = np.where(alive[kind], rng.random(mask.shape), -1).argmax(1)
        mask[np.arange(len(keep)), keep] = False
    return pruned


def differences(networks, alpha, alive, images, labels):
    """Largest differences of the logits, of the gradients of α and w, and of the running statistics, of a w and an α step."""
    logits, alphas, weights = [], [], []
    for network in networks:
        network.zero_grad()
        out = network(images, {k: v.detach() for k, v in phi(alpha, alive).items()})
        F.cross_entropy(out, labels).backward()
        logits.append(out.detach())
        weights.append({name: p.grad for name, p in network.named_parameters()})
        with frozen(network):
            alphas.append(torch.autograd.grad(F.cross_entropy(network(images, phi(alpha, alive)), labels), list(alpha.values())))
    assert set(weights[0]) == set(weights[1])
    buffers = zip(networks[0].buffers(), networks[1].buffers(), strict=True)
    return {
        "logits": float((logits[0] - logits[1]).abs().max()),
        "alpha": max(float((a - b).abs().max()) for a, b in zip(*alphas, strict=True)),
        "weights": max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]),
        "statistics": max(float((a - b).abs().max()) for a, b in buffers),
    }


@pytest.mark.parametrize(("operations", "side"), [(ASAP_OPERATIONS, 16), (DARTS_OPERATIONS, 16), (ASAP_OPERATIONS, 8)])
def test_agrees_with_the_plain_supernet_before_and_after_prunings(operations, side):
    plain, batched, alpha, images, labels = pair(operations, side=side)
    rng = np.random.default_rng(1)
    for share in (None, 0.4, 0.9):
        if share is not None:
            pruned = some(plain.alive, share, rng)
            assert len(plain.prune(pruned)) == len(batched.prune(pruned))
        found = differences((plain, batched), alpha, plain.alive, images, labels)
        assert found["logits"] < 1e-12 and max(found.values()) < 1e-10, (share, found)
    for network in (plain, batched):
        network.eval()
    with torch.no_grad():
        assert (plain(images, phi(alpha, plain.alive)) - batched(images, phi(alpha, plain.alive))).abs().max() < 1e-12


def test_a_weight_of_zero_is_a_deletion():
    """Logits, gradients of α and of what stays: a pruning may take effect at once by a mask, and be carried out later."""
    for kind in (Supernet, BatchedSupernet):
        torch.manual_seed(0)
        masked, deleted = kind(ASAP_OPERATIONS, 4, 3), kind(ASAP_OPERATIONS, 4, 3)
        deleted.load_state_dict(masked.state_dict())
        alpha = {k: torch.randn(14, 7, requires_grad=True) for k in CELL_KINDS}
        images, labels = torch.randn(5, 3, 16, 16), torch.randint(10, (5,))
        pruned = some(masked.alive, 0.5, np.random.default_rng(0))
        deleted.prune(pruned)
        found = []
        for network in (masked, deleted):
            loss = F.cross_entropy(network(images, phi(alpha, deleted.alive)), labels)
            loss.backward()
            norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
            found.append((loss.detach(), norm, *(a.grad.clone() for a in alpha.values()), dict(network.named_parameters())))
            for a in alpha.values():
                a.grad = None
        for ours, theirs in zip(found[0][:-1], found[1][:-1], strict=True):
            assert (ours - theirs).abs().max() < 1e-10
        kept = found[1][-1]
        assert max(float((found[0][-1][name].grad - p.grad).abs().max()) for name, p in kept.items()) < 1e-10
        gone = [p.grad for name, p in found[0][-1].items() if name not in kept]
        assert gone and all(not g.any() for g in gone)


def test_a_cell_of_edges_that_only_have_none_is_zero():
    plain, batched, alpha, images, _ = pair(DARTS_OPERATIONS)
    only = {kind: np.ones_like(mask) for kind, mask in plain.alive.items()}
    for mask in only.values():
        mask[:, DARTS_OPERATIONS.index("none")] = False
    for network in (plain, batched):
        network.prune(only)
    found = [network(images, phi(alpha, plain.alive)) for network in (plain, batched)]
    assert torch.allclose(*found, atol=1e-12)


def test_operations_that_are_not_active_count_as_nothing():
    plain, batched, alpha, images, _ = pair(ASAP_OPERATIONS)
    mixture = {k: torch.ones_like(v) for k, v in alpha.items()}
    active = {k: [[int(row.argmax())] if e % 3 else [] for e, row in enumerate(v)] for k, v in alpha.items()}
    assert (plain(images, mixture, active) - batched(images, mixture, active)).abs().max() < 1e-12


def test_steps_on_either_network_are_steps_of_one_search():
    """A checkpoint of one is a checkpoint of the other: weights, momentum, statistics."""
    plain, batched, alpha, images, labels = pair(ASAP_OPERATIONS, side=8)
    mixture = {k: v.detach() for k, v in phi(alpha, plain.alive).items()}
    optimizers = [torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=3e-4) for network in (plain, batched)]

    def step(network, optimizer):
        optimizer.zero_grad()
        F.cross_entropy(network(images, mixture), labels).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()

    for i in range(4):
        if i == 2:  # the networks change places, as a search does that goes on on another machine
            states = [network.state_dict() for network in (plain, batched)]
            for state in states:
                assert set(state) == set(states[0])
            copies = [{name: value.clone() for name, value in state.items()} for state in states]
            sgd = [optimizer.state_dict() for optimizer in optimizers]
            plain.load_state_dict(copies[1])
            batched.load_state_dict(copies[0])
            optimizers[0].load_state_dict(sgd[1])
            optimizers[1].load_state_dict(sgd[0])
        for network, optimizer in zip((plain, batched), optimizers, strict=True):
            step(network, optimizer)
    ours, theirs = plain.state_dict(), batched.state_dict()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-10


def test_a_cpu_gets_the_plain_supernet_in_channels_last():
    network = supernet_on(torch.device("cpu"), True, ASAP_OPERATIONS, 4, 3)
    assert type(network) is Supernet and network.stem[0].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there Triton runs")
def test_where_triton_does_not_run_torch_takes_its_place(capsys):
    assert fastest_functions(torch.device("cuda:7")) is fastest_functions(torch.device("cuda:7")) is PlainFunctions
    assert capsys.readouterr().err.count("\n") == 1


def test_gradients_are_views_of_one_gradient():
    """No copy is made of them: a GPU would launch one for each weight."""
    _, batched, alpha, images, labels = pair(ASAP_OPERATIONS)
    F.cross_entropy(batched(images, phi(alpha, batched.alive)), labels).backward()
    leaving = [batched.cells[0].edges[e]["sep_conv_3x3"] for e in (0, 2, 5, 9)]  # source 0
    storages = {operation.pointwise[0].weight.grad.untyped_storage().data_ptr() for operation in leaving}
    assert len(storages) == 1
    assert all(p.grad.stride() == p.stride() for p in batched.parameters())  # a fused optimizer wants them so

"""The methods that the paper compares with: their α gradients, what they prune and when, and that each resumes."""

import numpy as np
import pandas as pd
import plain
import pytest
import torch
import torch.nn.functional as F

from asap.annealing import pruned_share
from asap.config import METHOD_DEFAULTS, SearchParameters, make
from asap.methods import METHODS, make_method
from asap.methods.base import Step
from asap.records import TIME_COLUMNS, Run
from asap.search import _Search
from asap.space import CELL_KINDS
from asap.supernet import Supernet


def method_of(name, **given):
    return make_method(make(SearchParameters, {"method": name, **given}), torch.device("cpu"))


def test_every_method_is_registered_with_its_defaults():
    assert set(METHODS) == set(METHOD_DEFAULTS)
    assert method_of("darts").operations[0] == "none" and len(method_of("magnitude").operations) == 7
    assert len(method_of("darts", candidates="paper").operations) == 7


@pytest.mark.parametrize("name", ["darts", "darts2"])
def test_alpha_gradient_is_plain_autograd_s(monkeypatch, name):
    """In float64, on a small network with momentum in its optimizer; the second order's finite difference against the
    exact Hessian-vector product of the plain network. Both are made smooth, since a difference sees kinks."""
    monkeypatch.setattr(F, "relu", lambda x, inplace=False: F.softplus(x))
    monkeypatch.setattr(F, "max_pool2d", lambda x, k, s, padding=1, *_, **__: F.avg_pool2d(x, k, s, padding))
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        method = method_of(name, nodes=2, alpha_init=0.3)
        for kind in CELL_KINDS:
            method.alpha[kind].data = torch.randn(method.alpha[kind].shape)
        ours = Supernet(method.operations, 4, 3, nodes=2).to(memory_format=torch.channels_last)
        theirs = plain.Network(method.operations, 4, 3, nodes=2)
        sgd = torch.optim.SGD(ours.parameters(), 0.05, 0.9, weight_decay=3e-4)
        images = [torch.randn(6, 3, 16, 16).contiguous(memory_format=torch.channels_last) for _ in range(2)]
        train, validation = ((x, torch.randint(10, (6,))) for x in images)

        def loss(batch, mixture):
            return F.cross_entropy(ours(batch[0], mixture.phi, mixture.active), batch[1])

        for _ in range(2):  # fill the momentum
            sgd.zero_grad()
            loss(train, method.mixture().detached()).backward()
            sgd.step()
        plain.copy_weights(theirs, ours)
        plain_weights = dict(theirs.named_parameters())
        momentum = {n: torch.zeros_like(w) for n, w in plain_weights.items()}
        shadow = plain.Network(method.operations, 4, 3, nodes=2)  # carries the momentum buffers over to the plain names
        swapped = [w.data.clone() for w in ours.parameters()]
        with torch.no_grad():
            for w in ours.parameters():
                w.copy_(sgd.state[w]["momentum_buffer"])
        plain.copy_weights(shadow, ours)
        momentum = {n: w.detach().clone() for n, w in shadow.named_parameters()}
        with torch.no_grad():
            for w, old in zip(ours.parameters(), swapped, strict=True):
                w.copy_(old)

        method.reach = 1e-4
        taken = {}
        method.apply = taken.update
        before = [w.detach().clone() for w in ours.parameters()]
        method.update(Step(ours, sgd, loss, train, validation))
        assert all(torch.equal(a, b) for a, b in zip(before, ours.parameters(), strict=True))

        alpha = {k: a.detach().clone().requires_grad_() for k, a in method.alpha.items()}
        phi = {k: torch.softmax(a, -1) for k, a in alpha.items()}

        def plain_loss(weights, batch, phi):
            return F.cross_entropy(torch.func.functional_call(theirs, weights, (batch[0], phi)), batch[1])

        if name == "darts":
            exact = torch.autograd.grad(plain_loss(plain_weights, validation, phi), list(alpha.values()))
        else:
            inner = torch.autograd.grad(
                plain_loss(plain_weights, train, phi), list(plain_weights.values()), create_graph=True, allow_unused=True,
                materialize_grads=True,
            )  # fmt: skip
            virtual = {n: w - 0.05 * (0.9 * momentum[n] + g + 3e-4 * w) for (n, w), g in zip(plain_weights.items(), inner, strict=True)}
            exact = torch.autograd.grad(plain_loss(virtual, validation, phi), list(alpha.values()))
        for kind, expected in zip(alpha, exact, strict=True):
            scale = expected.abs().max()
            assert (taken[kind] - expected).abs().max() < (1e-10 if name == "darts" else 1e-6 * scale)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("power", [1, 3])
def test_eq_13_and_its_end_points(power):
    final = 6 / 7
    assert [pruned_share(t, 20, 50, power, final) for t in (0, 20)] == [0.0, 0.0]
    assert pruned_share(50, 20, 50, power, final) == pytest.approx(final) == pruned_share(60, 20, 50, power, final)
    plain_value = final + (0 - final) * (1 - (35 - 20) / 30) ** power
    assert pruned_share(35, 20, 50, power, final) == pytest.approx(plain_value)


@pytest.mark.parametrize("name", ["magnitude", "accumulated"])
def test_pruning_baselines_prune_the_least_important_of_each_edge(name):
    method = method_of(name, prune_start=2, prune_end=8, prune_power=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for kind in CELL_KINDS:
            method.alpha[kind].copy_(torch.randn(14, 7))
    if name == "accumulated":
        for _ in range(3):
            method.apply({kind: torch.randn(14, 7) for kind in CELL_KINDS})
    seen = []
    for epoch in range(1, 9):
        method.begin_epoch(epoch)
        assert method.to_prune(epoch_ends=False) is None
        masks = method.to_prune(epoch_ends=True)
        if masks is not None:
            rank = method.importance("normal").masked_fill(~method.alive["normal"], torch.inf)
            assert all(masks["normal"][e, int(rank[e].argmin())] for e in range(14))
            method.pruned(masks)
        left = method.alive["normal"].sum(1)
        assert (left == left[0]).all()
        seen.append(int(left[0]))
    assert seen == [7, 7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("name", ["darts", "darts2", "magnitude", "accumulated"])
def test_each_method_searches_and_resumes_bit_for_bit(monkeypatch, quick_search, name):
    given = {"method": name, "epochs": 3, "images": 96, "prune_start": 0, "prune_end": 3, "nodes": 3}
    whole = Run.open(quick_search(root="whole", **given))
    original = _Search.run_epoch

    def run_epoch(self, bar):
        if self.epoch >= 1:
            raise KeyboardInterrupt
        return original(self, bar)

    with monkeypatch.context() as patch:
        patch.setattr(_Search, "run_epoch", run_epoch)
        with pytest.raises(KeyboardInterrupt):
            quick_search(root="cut", **given)
    resumed = Run.open(quick_search(root="cut", **given))
    pd.testing.assert_frame_equal(
        whole.epochs().drop(columns=list(TIME_COLUMNS)), resumed.epochs().drop(columns=list(TIME_COLUMNS)), check_exact=True
    )
    pd.testing.assert_frame_equal(whole.architecture(), resumed.architecture(), check_exact=True)
    last = whole.epochs().iloc[-1]
    if name.startswith("darts"):  # never prunes: its entropy stays up, its cell has no none
        assert min(last["entropy_normal"], last["entropy_reduce"]) > 0.5
        assert all(e.operation != "none" for kind in CELL_KINDS for e in whole.genotype().cell(kind))
    else:
        assert last["entropy_normal"] == last["entropy_reduce"] == 0 and whole.outcome["decided"]
    assert np.isfinite(last["validation_loss"])

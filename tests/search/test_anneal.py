"""ASAP's method by itself: Eq. 3, θ, pruning, the edges kept."""

import numpy as np
import pytest
import torch

from asap.paper.space import CELL_KINDS
from asap.records.parameters import SearchParameters, make
from asap.search.asap import Anneal


def annealer(**given):
    return Anneal(make(SearchParameters, given), torch.device("cpu"))


def test_phi_is_eq_3_and_its_gradient_has_the_factor_one_over_t():
    method = annealer()
    method.set_temperature(0.37)
    with torch.no_grad():
        for alpha in method.alpha.values():
            alpha.copy_(torch.randn(alpha.shape))
    alpha = method.alpha["normal"].detach().double()
    plain = torch.exp(alpha / 0.37) / torch.exp(alpha / 0.37).sum(1, keepdim=True)
    phi = method.phi("normal")
    assert torch.allclose(phi.double(), plain, atol=1e-6)
    outputs = torch.randn(14, 7)  # what each operation brings, projected on the loss' gradient
    (gradient,) = torch.autograd.grad((phi * outputs).sum(), method.alpha["normal"])
    mean = (plain * outputs).sum(1, keepdim=True)
    assert torch.allclose(gradient.double(), plain * (outputs - mean) / 0.37, atol=1e-5)


@pytest.mark.parametrize(("threshold_operations", "gone"), [("fixed", 2.80), ("left", 1.39)])
def test_of_two_equal_operations_one_goes_at_the_stated_gap(threshold_operations, gone):
    """PROTOCOL: with two left, the gap over T at which the weaker goes is ln(N/0.4 − 1) at N = 7, or at N = 2."""
    method = annealer(threshold_operations=threshold_operations)
    method.begin_epoch(10)
    only_two = np.ones((14, 7), dtype=bool)
    only_two[:, :2] = False
    method.pruned(dict.fromkeys(CELL_KINDS, only_two))
    for gap, expected in ((gone - 0.02, None), (gone + 0.02, 14)):
        with torch.no_grad():
            method.alpha["normal"][:, 0] = gap * method.temperature
        masks = method.to_prune(epoch_ends=False)
        assert (masks if masks is None else int(masks["normal"].sum())) == expected


def test_a_pruned_operation_takes_its_optimizer_state_with_it():
    method = annealer()
    method.begin_epoch(10)
    method.apply({kind: torch.randn(14, 7) for kind in CELL_KINDS})
    gone = np.zeros((14, 7), dtype=bool)
    gone[3, 2] = True
    method.pruned(dict.fromkeys(CELL_KINDS, gone))
    for _ in range(3):
        method.apply({kind: torch.randn(14, 7) * torch.from_numpy(~gone) for kind in CELL_KINDS})
    assert method.alpha["normal"][3, 2] == 0 and method.optimizer.state[method.alpha["normal"]]["exp_avg_sq"][3, 2] == 0
    assert method.phi("normal")[3, 2] == 0 and np.isnan(method.snapshot()["normal"]["alpha"][3, 2])


@pytest.mark.parametrize("rule", ["phi_before_last_pruning", "alpha", "all_edges"])
def test_edge_rules(rule):
    """Two undecided edges of node 3 against one that was decided early with a high Φ."""
    method = annealer(edge_rule=rule)
    method.begin_epoch(10)
    decided = np.zeros((14, 7), dtype=bool)
    decided[4, 1:] = True  # edge 2 → 3 keeps operation 0
    with torch.no_grad():
        method.alpha["normal"][4, 0] = 2.5 * method.temperature
        method.alpha["normal"][2, 3] = 3.0 * method.temperature
        method.alpha["normal"][3, 3] = 0.1 * method.temperature
    method.pruned({"normal": decided, "reduce": decided})
    genotype = method.genotype(rule)
    node3 = [(e.operation, e.source) for e in genotype.normal if e.target == 3]
    if rule == "all_edges":
        assert len(genotype.normal) == 14
    else:
        assert node3 == [("sep_conv_3x3", 0), ("max_pool_3x3", 2)]


def test_the_recorded_threshold_is_the_one_compared_with():
    method = annealer(threshold_operations="left")
    gone = np.zeros((14, 7), dtype=bool)
    gone[:7, :5] = True  # half of the edges keep two
    method.pruned(dict.fromkeys(CELL_KINDS, gone))
    assert method.status()["threshold"] == pytest.approx((0.4 / 2 + 0.4 / 7) / 2)
    assert annealer().status()["threshold"] == pytest.approx(0.4 / 7)


def test_gradient_statistics_are_those_of_numpy():
    method = annealer()
    method.begin_epoch(10)
    series = torch.randn(40, 14, 7)
    for gradient in series:
        method.gradients["normal"].add(gradient)
    summary = {k: v.numpy() for k, v in method.gradients["normal"].summary().items()}
    values = series.double().numpy()
    assert np.allclose(summary["mean"], values.mean(0)) and np.allclose(summary["deviation"], values.std(0))
    assert np.allclose(summary["largest"], np.abs(values).max(0))
    lagged = (values[1:] * values[:-1]).mean(0) - values.mean(0) ** 2
    assert np.allclose(summary["autocorrelation"], lagged / values.var(0))

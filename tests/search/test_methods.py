"""The methods that the paper compares with: their α gradients, what they prune and when, and that each resumes."""

import itertools

import numpy as np
import plain
import pytest
import torch
import torch.nn.functional as F
from same import interrupted, same

from asap.networks.supernet import Supernet
from asap.paper.equations import beta, pruned_share
from asap.paper.space import ASAP_OPERATIONS, CELL_KINDS, edges, random_genotype
from asap.records.parameters import SearchParameters, make
from asap.records.presets import METHOD_DEFAULTS
from asap.records.run import Run
from asap.search.enas import Controller
from asap.search.method import Step
from asap.search.methods import METHODS, make_method
from asap.train.device import random_stream
from asap.train.measure import recalibrate


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

        def logits(images, mixture):
            return ours(images, mixture.phi, mixture.active)

        def loss(batch, mixture):
            return F.cross_entropy(logits(batch[0], mixture), batch[1])

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
        method.update(Step(ours, sgd, logits, loss, train, validation))
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


@pytest.mark.parametrize(("rounding", "power", "decided"), [("down", 3, 50), ("down", 1, 50), ("nearest", 3, 37), ("nearest", 1, 48)])
def test_the_epoch_at_which_eq_13_leaves_one_operation(rounding, power, decided):
    method = method_of("magnitude", prune_start=20, prune_end=50, prune_power=power, prune_rounding=rounding)
    for epoch in range(1, 51):
        method.begin_epoch(epoch)
        masks = method.to_prune(epoch_ends=True)
        if masks is not None:
            method.pruned(masks)
        assert (int(method.alive["normal"].sum(1).max()) == 1) == (epoch >= decided), epoch


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


@pytest.mark.parametrize("name", METHODS)
def test_each_method_searches_and_resumes_within_an_epoch_bit_for_bit(monkeypatch, small_search, recorded, name):
    given = {"method": name, "prune_start": 0, "prune_end": 3}
    whole = recorded(**given)
    interrupted(monkeypatch, small_search, steps=8, **given)  # in the third epoch, which is the last and in which random search learns
    same(whole, Run.open(small_search(**given)))
    if name == "asap":
        return
    last = whole.epochs().iloc[-1]
    if name not in ("magnitude", "accumulated"):  # never prunes: its entropy stays up, its cell has no none
        assert min(last["entropy_normal"], last["entropy_reduce"]) > 0.5
        assert not whole.outcome["decided"]
        assert all(e.operation != "none" for kind in CELL_KINDS for e in whole.genotype().cell(kind))
    else:
        assert last["entropy_normal"] == last["entropy_reduce"] == 0 and whole.outcome["decided"]
    assert np.isfinite(last["validation_loss"])
    accuracies = [value for stage in whole.outcome["cut"].values() for value in stage.values()]
    assert len(accuracies) == 4 and all(0 <= value <= 1 for value in accuracies)
    assert whole.outcome["cut_images"] == "augmented"


def test_a_search_trains_on_after_its_last_pruning_where_that_is_asked(recorded):
    """Eq. 13 decides every edge in epoch 2; then w is trained in two more epochs, and the third is not run."""
    run = recorded(method="magnitude", prune_start=0, prune_end=2, epochs=5, epochs_after=2)
    frame = run.epochs()
    left = frame["operations_normal"] + frame["operations_reduce"]
    assert list(left == left.min()) == [False, True, True, True] and run.outcome["decided"]
    assert frame["train_loss"].iloc[3] < frame["train_loss"].iloc[1]


@pytest.fixture
def controller():
    torch.manual_seed(0)
    found = Controller(nodes=1, operations=2).double()
    with torch.no_grad():
        for weight in found.parameters():
            weight.normal_()
    return found


def every_cell():
    """All choices of a controller of one node and two operations: inputs in either order, operations freely."""
    kind = [(*sources, *operations) for sources in ((0, 1), (1, 0)) for operations in itertools.product(range(2), repeat=2)]
    return torch.tensor([a + b for a in kind for b in kind])


def test_enas_probabilities_sum_to_one_over_the_space_and_samples_follow_them(controller):
    choices = every_cell()
    probability = controller(len(choices), choices=choices).log_probability.exp()
    assert probability.sum().item() == pytest.approx(1, abs=1e-12)
    drawn = controller(4000, torch.Generator().manual_seed(1)).choices
    counts = (drawn[:, None] == choices[None]).all(-1).sum(0)
    assert counts.sum() == 4000
    error = (counts / 4000 - probability).abs() / (probability * (1 - probability) / 4000).sqrt()
    assert error.max() < 4.5


def test_enas_policy_gradient_is_the_score_function_s_by_enumeration(controller):
    """Σ_cell π(cell)·(its REINFORCE gradient) is the exact gradient of the expected reward, whatever the baseline."""
    method = method_of("enas", nodes=1)
    choices, weights = every_cell(), list(controller.parameters())
    reward = torch.rand(len(choices), dtype=torch.float64)
    probability = controller(len(choices), choices=choices).log_probability.exp()
    exact = torch.autograd.grad((probability * reward).sum(), weights, retain_graph=True)
    total = [torch.zeros_like(w) for w in weights]
    for i, p in enumerate(probability.detach()):
        method.baseline = torch.tensor(0.37, dtype=torch.float64)
        method.baseline_decay = 1.0
        loss = method.reinforce(controller(1, choices=choices[i : i + 1]), reward[i : i + 1])
        for sum_, gradient in zip(total, torch.autograd.grad(loss, weights), strict=True):
            sum_ -= p * gradient
    for a, b in zip(total, exact, strict=True):
        assert (a - b).abs().max() < 1e-12
    assert max(float(b.abs().max()) for b in exact) > 1e-3


def test_enas_baseline_starts_at_the_first_reward_and_follows_slowly(controller):
    method, sample = method_of("enas", nodes=1), controller(1, choices=every_cell()[:1])
    for reward, baseline in ((0.5, 0.5), (1.0, 0.505)):
        method.reinforce(sample, torch.tensor([reward], dtype=torch.float64))
        assert float(method.baseline) == pytest.approx(baseline)


def test_enas_learns_which_operation_pays():
    """The reward is whether node 2's first operation is 3: its probability must rise towards its bound."""
    method = method_of("enas", nodes=1)
    place = 2  # the operation on the first input
    before = float(method.controller(500, random_stream(0, 1)).probabilities[place][:, 3].detach().mean())
    for _ in range(400):
        sample = method.controller(1, method.stream)
        method.optimizer.zero_grad()
        method.reinforce(sample, (sample.choices[:, place] == 3).double()).backward()
        method.optimizer.step()
    after = float(method.controller(500, random_stream(0, 1)).probabilities[place][:, 3].detach().mean())
    assert before == pytest.approx(1 / 7, abs=0.02) and 0.2 < after < 0.287


def test_a_sampled_cell_is_its_operations_with_weight_one():
    """The supernet under one cell against its plain network with the mixture that is 1 there and 0 elsewhere."""
    cell = random_genotype(np.random.default_rng(3))
    mixture = method_of("asap").one(cell)
    assert sum(len(ops) for ops in mixture.active["normal"]) == 8
    torch.manual_seed(0)
    ours = Supernet(ASAP_OPERATIONS, 4, 3).double()
    theirs = plain.Network(ASAP_OPERATIONS, 4, 3).double()
    plain.copy_weights(theirs, ours)
    one_hot = {k: torch.zeros(14, 7, dtype=torch.float64) for k in CELL_KINDS}
    for kind in CELL_KINDS:
        for edge in cell.cell(kind):
            one_hot[kind][edges().index((edge.source, edge.target)), ASAP_OPERATIONS.index(edge.operation)] = 1
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    phi = {k: v.double() for k, v in mixture.phi.items()}
    assert (ours(x, phi, mixture.active) - theirs(x, one_hot)).abs().max() < 1e-10


def test_random_search_takes_the_lowest_mean_loss_and_scores_in_turn():
    method = method_of("random", epochs=10)
    method.begin_epoch(8)
    assert not method.learns()
    method.begin_epoch(9)
    assert method.learns()
    losses = iter(np.random.default_rng(0).permutation(250) / 250)
    step = Step(None, None, None, lambda batch, mixture: next(losses), None, None)
    for _ in range(250):
        method.update(step)
    assert method.count.tolist() == [3] * 50 + [2] * 50
    expected = [np.mean((np.random.default_rng(0).permutation(250) / 250)[i::100]) for i in range(100)]
    assert method.genotype("all_edges") == method.pool[int(np.argmin(expected))]


def test_theorem_2_s_schedule_prunes_as_its_rule_says():
    """An operation goes once it trails the leader by more than about 2tβ_t steps of α's rate; without underflow."""
    method = method_of("asap", schedule="theorem2", alpha_rate_factor=2.0)
    method.begin_epoch(1)
    assert method.learns() and not method.steady
    rate = 2e-3
    for steps in (5, 50, 3000):
        method.steps = steps
        method.cool()
        gap = 2 * steps * float(beta(steps, 7, 0.1)) * rate
        for factor, gone in ((0.9, False), (1.2, True)):
            with torch.no_grad():
                method.alpha["normal"].zero_()
                method.alpha["normal"][0, 1:] = -factor * (gap + method.temperature * np.log(7))
            assert bool(method.below("normal")[0, 1:].all()) is gone and not method.below("normal")[0, 0]


def test_the_cut_recalibrates_batch_norm_over_the_training_half():
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3, affine=False))
    images = torch.randn(40, 3, 4, 4) * 5 + 2
    recalibrate(network, network, [(images[:20], None), (images[20:], None)])
    assert torch.allclose(network[0].running_mean, images.mean((0, 2, 3)), atol=1e-5)
    halves = torch.stack([half.transpose(0, 1).reshape(3, -1).var(1) for half in (images[:20], images[20:])])
    assert torch.allclose(network[0].running_var, halves.mean(0), rtol=1e-5) and network[0].momentum == 0.1


@pytest.mark.parametrize(("method", "more"), [("darts", {"prune_rule": "certified"}), ("asap", {"candidates": "darts"}),
                                              ("magnitude", {"candidates": "darts", "prune_end": 21})])  # fmt: skip
def test_no_edge_is_left_with_none_alone(method, more):
    """Where `none` wins, the cell needs another operation all the same: that of the largest Φ stays."""
    made = make_method(make(SearchParameters, {"method": method, "scale": "cpu", "dataset": "cifar10", **more}), torch.device("cpu"))
    none = made.operations.index("none")
    with torch.no_grad():
        for alpha in made.alpha.values():
            alpha.zero_()[:, none] = 9.0
            alpha[:, none + 2] = 1.0
    if method == "darts":
        for certificate in made.certificates.values():
            certificate.certified[:] = 1.0
            certificate.certified[:, none] = torch.inf
    made.begin_epoch(40)
    masks = made.to_prune(epoch_ends=True)
    for kind, mask in masks.items():
        left = made.alive[kind].numpy() & ~mask
        assert left[:, none + 2].all() and left.sum() == (14 if method == "magnitude" else 28)
        assert left[:, none].all() == (method != "magnitude")

import dataclasses
import json
from pathlib import Path

import plain
import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import SqueezeExcitation

from asap.networks import derived
from asap.networks.derived import AuxiliaryHead, DerivedNetwork, Size
from asap.networks.operations import DilConv, Source
from asap.paper.space import published_cell, published_cells
from asap.report.results import sizes

REFERENCE = json.loads((Path(__file__).parents[1] / "reference_sizes.json").read_text())
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", published_cells())
def test_size_is_the_reference_to_the_digit(name):
    size, expected = Size(published_cell(name), 36), REFERENCE[name]["cifar10_L20_C36"]
    assert (size.parameters, size.multiply_adds) == (expected["params"], expected["conv_fc_macs"])


@pytest.mark.parametrize("channels", [44, 50])
def test_the_larger_asap_networks(channels):
    size, expected = Size(published_cell("ASAP"), channels), REFERENCE["ASAP"][f"cifar10_L20_C{channels}"]
    assert (size.parameters, size.multiply_adds) == (expected["params"], expected["conv_fc_macs"])


@pytest.mark.parametrize("name", published_cells())
def test_imagenet_size_is_the_reference_to_the_digit(name):
    size, expected = Size(published_cell(name), 48, 14, 1000, 3, 224, "imagenet"), REFERENCE[name]["imagenet_L14_C48"]
    assert (size.parameters, size.multiply_adds) == (expected["params"], expected["conv_fc_macs"])


def test_the_paper_s_imagenet_network():
    """50 channels, SE: under 600 M multiply-adds; 4.6 M parameters, 5.9 M with the auxiliary head (the paper says 5.7 M)."""
    size = Size(published_cell("ASAP"), 50, 14, 1000, 3, 224, "imagenet", squeeze_excitation=True)
    assert size.multiply_adds < 600e6 and 4.5e6 < size.parameters < 4.7e6
    assert 5.8e6 < dataclasses.replace(size, auxiliary=True).parameters < 6.0e6


def test_another_reduction_of_se_gives_the_printed_size_of_the_imagenet_network(monkeypatch):
    monkeypatch.setattr(derived, "SqueezeExcitation", lambda width, squeezed: SqueezeExcitation(width, width // 24))
    size = Size(published_cell("ASAP"), 50, 14, 1000, 3, 224, "imagenet", squeeze_excitation=True, auxiliary=True)
    assert round(size.parameters / 1e6, 1) == 5.7


def test_the_recorded_sizes_are_the_reference():
    recorded = sizes(ROOT / "runs")
    for name in published_cells():
        for channels in (36, 44, 50):
            expected = REFERENCE[name][f"cifar10_L20_C{channels}"]
            found = recorded[(name, channels)]
            assert (found["parameters"], found["multiply_adds"]) == (expected["params"], expected["conv_fc_macs"])
        expected = REFERENCE[name]["imagenet_L14_C48"]
        assert sizes(ROOT / "runs", "imagenet")[(name, 48)]["parameters"] == expected["params"]


@pytest.mark.parametrize("name", ["ASAP", "AmoebaNet_A", "SNAS_aggressive", "PR_DARTS_DL2"])
def test_agrees_with_the_plain_network(name):
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        genotype = published_cell(name)
        ours = DerivedNetwork(Size(genotype, 4, 3, image_size=16)).to(memory_format=torch.channels_last)
        theirs = plain.DerivedNetwork(genotype, 4, 3)
        pairs = list(zip(ours.stems.parameters(), theirs.stem.parameters(), strict=True))
        pairs += zip(ours.head.parameters(), theirs.head.parameters(), strict=True)
        for a, b in zip(ours.cells, theirs.cells, strict=True):
            pairs += zip(a.preprocess[0].parameters(), b.preprocess0.parameters(), strict=True)
            pairs += zip(a.preprocess[1].parameters(), b.preprocess1.parameters(), strict=True)
            for x, y in zip(a.operations, b.ops, strict=True):
                pairs += zip(plain.in_plain_order(x), y.parameters(), strict=True)
        with torch.no_grad():
            for mine, other in pairs:
                other.copy_(mine)
        images, labels = torch.randn(4, 3, 16, 16), torch.randint(10, (4,))
        logits = ours(images)[0], theirs(images)
        assert (logits[0] - logits[1]).abs().max() < 1e-10
        for out in logits:
            F.cross_entropy(out, labels).backward()
        assert max(float((mine.grad - other.grad).abs().max()) for mine, other in pairs if mine.grad is not None) < 1e-10
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_dilated_convolution_of_an_image_of_odd_sides_is_the_plain_one(stride):
    torch.manual_seed(0)
    operation = DilConv(6, 5, stride, affine=False, odd=True).double()
    x = torch.randn(3, 6, 7, 7, dtype=torch.float64)
    plain_output = F.conv2d(F.conv2d(F.relu(x), operation.depthwise, None, stride, 4, 2, 6), operation.pointwise.weight)
    assert torch.allclose(operation(Source(x, stride)), F.batch_norm(plain_output, None, None, training=True), atol=1e-10)


def test_squeeze_excitation_weighs_channels_by_their_means():
    torch.manual_seed(0)
    module, x = SqueezeExcitation(32, 2), torch.randn(3, 32, 5, 5)
    (w1, b1), (w2, b2) = ((layer.weight[..., 0, 0], layer.bias) for layer in (module.fc1, module.fc2))
    gate = torch.sigmoid((x.mean((2, 3)) @ w1.T + b1).clamp_min(0) @ w2.T + b2)
    assert w1.shape == (2, 32) and torch.allclose(module(x), x * gate[..., None, None], atol=1e-6)


@pytest.mark.parametrize("name", published_cells())
def test_imagenet_network_trains_a_step(name):
    torch.manual_seed(0)
    network = DerivedNetwork(Size(published_cell(name), 4, 6, image_size=64, stem="imagenet", auxiliary=True))
    logits, extra = network(torch.randn(2, 3, 64, 64), 0.2)
    (F.cross_entropy(logits, torch.tensor([1, 2])) + 0.4 * F.cross_entropy(extra, torch.tensor([1, 2]))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for n, p in network.named_parameters())


def test_auxiliary_head_is_darts_on_8x8_and_works_on_other_sides():
    for side in (2, 4, 8, 16):
        head = AuxiliaryHead(12, side, 10).eval()
        assert head(torch.rand(2, 12, side, side)).shape == (2, 10)
    assert (AuxiliaryHead(12, 8, 10).features[0].kernel_size, AuxiliaryHead(12, 8, 10).features[0].stride) == (5, 3)


def test_auxiliary_head_and_drop_path_act_in_training_only():
    torch.manual_seed(0)
    network = DerivedNetwork(Size(published_cell("ASAP"), 4, 3, image_size=16, auxiliary=True))
    images = torch.rand(4, 3, 16, 16)
    logits, extra = network(images, 0.5)
    assert logits.shape == extra.shape == (4, 10)
    network.eval()
    logits, extra = network(images, 0.5)
    assert extra is None and torch.equal(logits, network(images, 0.0)[0])

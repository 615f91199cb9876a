import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from asap.records.data import FORMER_FINGERPRINTS
from asap.train import augment, datasets
from asap.train.batches import Batches, Split
from asap.train.images import DataError


def folder(root, count=4, size=32, extension="jpg", **options):
    rng = np.random.default_rng(0)
    for half in ("train", "test"):
        for name in ("ant", "bee"):
            place = root / "cifar10" / half / name
            place.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 255, (size, size, 3), dtype=np.uint8)).save(place / f"{i}.{extension}", **options)


def test_digits_are_embedded_and_always_the_same(tmp_path):
    images = datasets.load("digits", tmp_path)
    described = images.describe()
    assert (described["train_images"], described["test_images"], described["classes"]) == (1438, 359, 10)
    assert described["shape"] == [1, 8, 8]
    assert images.order == "934c07a9e814808a" and FORMER_FINGERPRINTS[images.order] == images.fingerprint


@pytest.mark.parametrize(
    ("extension", "options", "variant"), [("jpg", {"quality": 75}, "cifar10-jpeg75-subset"), ("png", {}, "cifar10-subset")]
)
def test_an_image_folder_is_read_once_and_cached(tmp_path, extension, options, variant):
    folder(tmp_path, extension=extension, **options)
    (tmp_path / "cache").mkdir()
    (left := tmp_path / "cache" / ".cifar10.pt.abc.part").write_bytes(b"of a kill")
    images = datasets.load("cifar10", tmp_path)
    assert not left.exists()
    assert images.variant == variant and len(images.train) == 8 and images.classes == 2
    shutil.rmtree(tmp_path / "cifar10")  # the cache alone is the set
    for download in (False, True):
        again = datasets.load("cifar10", tmp_path, download)
        assert again.fingerprint == images.fingerprint and torch.equal(again.train.images, images.train.images)


def test_a_damaged_cache_is_named(tmp_path):
    folder(tmp_path)
    datasets.load("cifar10", tmp_path)
    cache = tmp_path / "cache" / "cifar10.pt"
    content = bytearray(cache.read_bytes())
    content[len(content) // 3] ^= 255
    cache.write_bytes(content)
    with pytest.raises(DataError, match="delete it"):
        datasets.load("cifar10", tmp_path)


def test_missing_damaged_and_wrong_images_are_one_line(tmp_path):
    with pytest.raises(DataError, match="--download"):
        datasets.load("cifar10", tmp_path)
    with pytest.raises(DataError, match="FashionMNIST"):
        datasets.load("fashion_mnist", tmp_path)
    folder(tmp_path)
    victim = tmp_path / "cifar10" / "test" / "bee" / "2.jpg"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:200])
    with pytest.raises(DataError, match=r"bee/2\.jpg: damaged"):
        datasets.load("cifar10", tmp_path)
    Image.new("RGB", (30, 32)).save(victim)
    with pytest.raises(DataError, match="30×32 pixels, expected 32×32"):
        datasets.load("cifar10", tmp_path)
    assert not (tmp_path / "cache").exists()


def batches(pad=4, **options):
    torch.manual_seed(0)
    split = Split(torch.randint(0, 256, (20, 32, 32, 3), dtype=torch.uint8), torch.arange(20) % 10)
    mean, deviation = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.1])
    return split, mean, deviation, Batches(split, 5, mean, deviation, torch.device("cpu"), pad, **options)


def test_crop_and_flip_are_windows_of_the_padded_image():
    """Against a plain search: each augmented image is one of the 81 windows of its padded image, or its mirror."""
    split, mean, deviation, made = batches()
    images, labels = next(made.epoch(torch.Generator().manual_seed(1)))
    indices = torch.randperm(20, generator=torch.Generator().manual_seed(1))[:5]
    assert images.shape == (5, 3, 32, 32) and images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(labels, split.labels[indices])
    for image, i in zip(images, indices, strict=True):
        padded = torch.nn.functional.pad(split.images[i].permute(2, 0, 1), (4, 4, 4, 4)).float() / 255
        windows = [padded[:, r : r + 32, c : c + 32] for r in range(9) for c in range(9)]
        windows += [w.flip(2) for w in windows]
        plain = [(w - mean[:, None, None]) / deviation[:, None, None] for w in windows]
        assert min(float((image - w).abs().max()) for w in plain) < 1e-5


def test_an_epoch_sees_each_image_at_most_once_and_depends_on_its_seed_alone():
    _, _, _, made = batches()
    first = [labels.tolist() for _, labels in made.epoch(torch.Generator().manual_seed(5))]
    again = [labels.tolist() for _, labels in made.epoch(torch.Generator().manual_seed(5))]
    other = [labels.tolist() for _, labels in made.epoch(torch.Generator().manual_seed(6))]
    assert first == again != other
    assert sorted(label for batch in first for label in batch) == sorted(torch.arange(20).remainder(10).tolist())


@pytest.mark.parametrize("first", [1, 3, 4])
def test_the_rest_of_an_epoch_is_that_of_the_whole_one(first):
    """To the bit, and the images before it are not made."""
    _, _, _, made = batches(cutout=8, autoaugment=True, color=True)
    whole = list(made.epoch(torch.Generator().manual_seed(5)))[first:]
    built, build = [], made._build
    made._build = lambda numbers: built.append(1) or build(numbers)
    rest = list(made.epoch(torch.Generator().manual_seed(5), first))
    assert len(rest) == len(whole) == len(built) == 4 - first
    assert all(torch.equal(a, b) for one, other in zip(rest, whole, strict=True) for a, b in zip(one, other, strict=True))


def test_in_order_is_plain_normalisation():
    split, mean, deviation, made = batches()
    images = torch.cat([x for x, _ in made.in_order()])
    plain = (split.images.float() / 255 - mean) / deviation
    assert torch.allclose(images, plain.permute(0, 3, 1, 2), atol=1e-5)


def test_cutout_zeroes_one_clipped_square():
    _, _, _, made = batches(pad=0, cutout=16)
    images, _ = next(made.epoch(torch.Generator().manual_seed(2)))
    for image in images:
        rows, columns = (image == 0).all(0).nonzero().T
        height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
        assert 8 <= height <= 16 and 8 <= width <= 16 and len(rows) == height * width


def test_autoaugment_changes_images_by_its_generator_alone():
    images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    first = augment.autoaugment(images, augment.policies(64, torch.Generator().manual_seed(1)))
    assert first.dtype == torch.uint8 and first.shape == images.shape
    assert torch.equal(first, augment.autoaugment(images, augment.policies(64, torch.Generator().manual_seed(1))))
    changed = (first != images).flatten(1).any(1).float().mean()
    assert 0.6 < float(changed) < 1


def test_equalize_is_torchvision_s():
    from torchvision.transforms.functional import equalize

    for levels in (256, 40, 3, 1):
        images = torch.randint(0, levels, (8, 3, 32, 32), dtype=torch.uint8)
        assert torch.equal(augment.equalize(images), equalize(images))


def test_statistics(tmp_path):
    images = datasets.load("digits", tmp_path)
    mean, deviation = images.statistics
    pixels = images.train.images.double() / 255
    assert float(mean) == pytest.approx(float(pixels.mean()), abs=1e-6)
    assert float(deviation) == pytest.approx(float(pixels.std(unbiased=False)), abs=1e-6)

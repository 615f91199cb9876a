"""Every data set from small archives and folders in its real layout, and what is said where one is missing or damaged."""

import json
import os
import pickle

import numpy as np
import pytest
import scipy.io
import torch
import torch.nn.functional as F
import torchvision.datasets as tv
from PIL import Image

from asap.cli import main
from asap.networks.derived import DerivedNetwork, Size
from asap.paper.space import published_cells
from asap.records.parameters import DATASETS, EvaluationParameters, SearchParameters, make
from asap.train import augment, datasets
from asap.train.batches import Batches, Split
from asap.train.evaluate import evaluate
from asap.train.images import DataError

RNG = np.random.default_rng(0)


def image(path, side=32):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(path)


def cifar100(root):
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for half, count in (("train", 200), ("test", 100)):
        content = {"data": RNG.integers(0, 255, (count, 3072), dtype=np.uint8), "fine_labels": [i % 100 for i in range(count)]}
        (folder / half).write_bytes(pickle.dumps(content))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [str(i) for i in range(100)]}))


def svhn(root):
    (root / "svhn").mkdir(parents=True)
    for half, count in (("train", 20), ("extra", 30), ("test", 10)):
        labels = (np.arange(count) % 10 + 1)[:, None]  # SVHN's 10 is the digit 0
        scipy.io.savemat(root / "svhn" / f"{half}_32x32.mat", {"X": RNG.integers(0, 255, (32, 32, 3, count), dtype=np.uint8), "y": labels})


def cinic10(root):
    for half, count in (("train", 3), ("valid", 2), ("test", 4)):
        for name in ("airplane", "truck"):
            for i in range(count):
                image(root / "cinic10" / half / name / f"cifar10-{half}-{i}.png")


def freiburg(root):
    (root / "freiburg" / "splits").mkdir(parents=True)
    for fold in range(5):
        for half, numbers in (("train", range(4)), ("test", range(4, 6))):
            lines = [f"{name}/{name}{n:04d}.png {label}" for label, name in enumerate(("BEANS", "CAKE")) for n in numbers]
            (root / "freiburg" / "splits" / f"{half}{fold}.txt").write_text("\n".join(lines) + "\n")
    for name in ("BEANS", "CAKE"):
        for n in range(6):
            image(root / "freiburg" / "images" / name / f"{name}{n:04d}.png", 256)


def imagenet(root):
    for half, count in (("train", 4), ("val", 3)):
        for name in ("n01440764", "n01443537"):
            for i in range(count):
                image(root / "imagenet" / half / name / f"{i}.JPEG", 260 + 10 * i)


MAKERS = {"cifar100": cifar100, "svhn": svhn, "cinic10": cinic10, "freiburg": freiburg, "imagenet": imagenet}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The folder of small data sets; torchvision would find that their archives are not the published ones."""
    for kind in (tv.CIFAR100, tv.SVHN):
        monkeypatch.setattr(kind, "_check_integrity", lambda self: True)
    monkeypatch.setattr(tv.cifar, "check_integrity", lambda path, md5: True)
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("name", "train", "test", "classes", "shape"),
    [
        ("cifar100", 200, 100, 100, [3, 32, 32]),
        ("svhn", 50, 10, 10, [3, 32, 32]),
        ("cinic10", 10, 8, 2, [3, 32, 32]),
        ("freiburg", 8, 4, 2, [3, 64, 64]),
        ("freiburg-3", 8, 4, 2, [3, 64, 64]),
        ("imagenet", 8, 6, 2, [3, 224, 224]),
    ],
)
def test_a_data_set_is_read_from_its_real_layout(data, name, train, test, classes, shape):
    MAKERS[name.split("-")[0]](data)
    found = datasets.load(name, data)
    described = found.describe()
    assert (described["train_images"], described["test_images"], described["classes"], described["shape"]) == (train, test, classes, shape)
    again = datasets.load(name, data)
    assert again.fingerprint == found.fingerprint
    batches = found.training(0, torch.Generator(), 4, torch.device("cpu"), color=True, flip=name != "svhn")
    images, labels = next(iter(batches.epoch(torch.Generator().manual_seed(0))))
    assert images.shape == (4, *shape) and images.dtype == torch.float32 and labels.max() < classes
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert sum(len(y) for _, y in found.testing(4, torch.device("cpu")).in_order()) == test


def test_what_was_fetched_is_read_once(data, monkeypatch, capsys):
    read = datasets._read_archive

    def fetch(name, root, download):
        cifar100(root)
        return read(name, root, False)

    monkeypatch.setattr(datasets, "_read_archive", fetch)
    first = datasets.load("cifar100", data, download=True)
    assert "reading cifar100" in capsys.readouterr().err
    again = datasets.load("cifar100", data)
    assert capsys.readouterr().err == "" and again.fingerprint == first.fingerprint


def test_svhn_keeps_its_images_and_calls_the_digit_0_0(data):
    svhn(data)
    found = datasets.load("svhn", data)
    raw = scipy.io.loadmat(data / "svhn" / "extra_32x32.mat")
    assert np.array_equal(found.train.images[20 + 7].numpy(), raw["X"][..., 7]) and found.train.labels[9] == 0


def test_freiburg_is_scaled_and_its_splits_are_those_published(data):
    freiburg(data)
    found = datasets.load("freiburg", data)
    with Image.open(data / "freiburg" / "images" / "CAKE" / "CAKE0002.png") as whole:
        expected = np.asarray(whole.resize((64, 64), Image.Resampling.BILINEAR))
    assert np.array_equal(found.train.images[4 + 2].numpy(), expected) and found.train.labels.tolist() == [0] * 4 + [1] * 4


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_imagenet_s_batches_depend_on_their_generator_alone(data, monkeypatch):
    imagenet(data)
    batches = datasets.load("imagenet", data).training(6, torch.Generator().manual_seed(1), 3, torch.device("cpu"), autoaugment=True)
    assert len(batches) == 2
    first, again, other = ([x for x, _ in batches.epoch(torch.Generator().manual_seed(seed))] for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True)) and not torch.equal(first[0], other[0])
    (rest,) = (x for x, _ in batches.epoch(torch.Generator().manual_seed(1), 1))  # from the second batch on, the first is not read
    assert torch.equal(rest, first[1])
    with monkeypatch.context() as patch:  # nor on how many processes read the images
        patch.setattr(os, "sched_getaffinity", lambda process: range(3), raising=False)
        alike = [x for x, _ in batches.epoch(torch.Generator().manual_seed(1))]
    assert all(torch.equal(a, b) for a, b in zip(first, alike, strict=True))


def test_a_run_that_meets_a_damaged_image_has_failed(data, tmp_path):
    imagenet(data)
    (data / "imagenet" / "train" / "n01440764" / "0.JPEG").write_bytes(b"no image")
    given = {"dataset": "imagenet", "cell": "ASAP", "scale": "tiny", "channels": 2, "layers": 3, "epochs": 1, "batch": 8, "images": 0}
    p = make(EvaluationParameters, {**given, "data_root": str(data), "runs_root": str(tmp_path / "runs")})
    with pytest.raises(DataError, match="damaged image"):
        evaluate(p, progress=False)
    assert json.loads(next(tmp_path.glob("runs/*/*/run.json")).read_text())["status"] == "failed"


def test_a_damaged_image_of_imagenet_is_one_line(data):
    imagenet(data)
    (data / "imagenet" / "val" / "n01440764" / "0.JPEG").write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        next(datasets.load("imagenet", data).testing(2, torch.device("cpu")).in_order())
    assert (
        str(caught.value)
        == f"{data}/imagenet/val/n01440764/0.JPEG: damaged image: cannot identify image file '{data}/imagenet/val/n01440764/0.JPEG'"
    )


@pytest.mark.parametrize("name", [name for name in DATASETS if name not in ("digits", "freiburg-1", "freiburg-2", "freiburg-4")])
def test_a_missing_data_set_is_one_line_that_says_what_is_expected(tmp_path, capsys, name):
    assert main(["evaluate", "--cell", "ASAP", "--scale", "cpu", "--dataset", name, "--data-root", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "is not under" in err and ("expected" in err or "is missing" in err)
    assert not (tmp_path / "runs").exists()


def test_damaged_layouts_are_one_line(data):
    svhn(data)
    (data / "svhn" / "extra_32x32.mat").unlink()
    with pytest.raises(DataError, match=r"expected svhn/extra_32x32\.mat"):
        datasets.load("svhn", data)
    freiburg(data)
    (data / "freiburg" / "images" / "CAKE" / "CAKE0005.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"CAKE0005\.png: damaged"):
        datasets.load("freiburg", data)
    for label in ("", " -1", " 1e9", " 99999999999999999999999", f" {9:05000}"):
        (data / "freiburg" / "splits" / "test2.txt").write_text(f"BEANS/BEANS0004.png 0\n\nBEANS/BEANS0005.png{label}\n")
        with pytest.raises(DataError, match=r"test2\.txt, line 3: "):
            datasets.load("freiburg-2", data)
    cinic10(data)
    (data / "cinic10" / "valid" / "truck").rename(data / "cinic10" / "valid" / "tram")
    with pytest.raises(DataError, match="valid has other classes than train"):
        datasets.load("cinic10", data)


def test_recipes_of_the_paper():
    def recipe(name, scale="paper", **given):
        return make(EvaluationParameters, {"cell": "ASAP", "scale": scale, "dataset": name, **given})

    assert (recipe("cifar10").epochs, recipe("cifar10").autoaugment, recipe("cifar10").color) == (1500, True, False)
    for name in ("cifar100", "svhn", "fashion_mnist", "freiburg", "freiburg-4"):
        assert (recipe(name).epochs, recipe(name).autoaugment, recipe(name).color) == (600, False, True)
    assert recipe("cinic10").epochs == 400 and not recipe("svhn").flip
    image_net = recipe("imagenet")
    assert (image_net.channels, image_net.layers, image_net.epochs, image_net.batch) == (50, 14, 250, 256)
    assert image_net.squeeze_excitation and image_net.stem == "imagenet" and image_net.cutout == 0 and image_net.weight_decay == 1e-4
    assert recipe("cifar100", epochs=3).epochs == 3
    assert recipe("imagenet", "cpu").stem == "imagenet" and recipe("cifar100", "cpu").epochs == 5 and not recipe("svhn", "tiny").flip
    assert [make(SearchParameters, {"scale": "paper", "dataset": name}).flip for name in ("svhn", "cifar10")] == [False, True]


def test_color_is_torchvision_s_blends():
    from torchvision.transforms.v2 import functional as tvf

    images = torch.from_numpy(RNG.integers(0, 255, (6, 3, 16, 16), dtype=np.uint8))
    factors = augment.color_factors(6, torch.Generator().manual_seed(0))
    assert factors.min() >= 0.6 and factors.max() <= 1.4
    ours = augment.color(images, factors)
    for x, y, (b, c, s) in zip(images, ours, factors.tolist(), strict=True):
        plain = tvf.adjust_saturation(tvf.adjust_contrast(tvf.adjust_brightness(x.float() / 255, b), c), s)
        assert (y.float() - 255 * plain).abs().max() < 0.51
    grey = images[:, :1]
    assert augment.color(grey, torch.tensor([[1.0, 1.0, 0.6]] * 6)).equal(grey)


@pytest.mark.parametrize("options", [{}, {"pad": 0}, {"cutout": 8, "autoaugment": True, "color": True}])
def test_shares_together_are_the_whole_batch(options):
    split = Split(torch.from_numpy(RNG.integers(0, 255, (24, 16, 16, 3), dtype=np.uint8)), torch.arange(24) % 10)

    def batches(share):
        mean, deviation = torch.full((3,), 0.5), torch.full((3,), 0.2)
        made = Batches(split, 8, mean, deviation, torch.device("cpu"), **{"pad": 2, **options}, share=share)
        return list(made.epoch(torch.Generator().manual_seed(3)))

    for whole, first, second in zip(*(batches(s) for s in (slice(None), slice(0, None, 2), slice(1, None, 2))), strict=True):
        for part, mine in ((slice(0, None, 2), first), (slice(1, None, 2), second)):
            assert all(torch.equal(a[part], b) for a, b in zip(whole, mine, strict=True))


@pytest.mark.parametrize(("channels", "side", "classes", "stem"), [(1, 8, 10, "cifar"), (3, 32, 100, "cifar"), (1, 32, 10, "cifar"),
                                                                  (3, 64, 25, "cifar"), (3, 224, 1000, "imagenet")])  # fmt: skip
def test_every_published_cell_trains_a_step_on_every_data_set_s_shape(channels, side, classes, stem):
    torch.manual_seed(0)
    images = torch.randn(2, channels, side, side).contiguous(memory_format=torch.channels_last)
    for name, cell in published_cells().items():
        shape = {"channels": 2, "layers": 3, "classes": classes, "image_channels": channels, "image_size": side}
        network = DerivedNetwork(Size(cell["genotype"], **shape, auxiliary=True, stem=stem))
        logits, extra = network(images, 0.2)
        assert logits.shape == extra.shape == (2, classes), name
        (F.cross_entropy(logits, torch.zeros(2, dtype=torch.long)) + F.cross_entropy(extra, torch.ones(2, dtype=torch.long))).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters()), name


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_a_network_of_two_channels_is_built(stem):
    assert Size(published_cells()["ASAP"]["genotype"], 2, 3, image_size=64, stem=stem, squeeze_excitation=True).parameters > 0


def test_freiburg_and_imagenet_are_trained_and_tested_end_to_end(data, tmp_path, capsys):
    freiburg(data)
    imagenet(data)
    quick = ["--scale", "tiny", "--cell", "DARTS_V2", "--batch", "4", "--channels", "2", "--epochs", "1", "--data-root", str(data)]
    for name, extra in (("freiburg", []), ("imagenet", ["--squeeze-excitation", "true", "--channels", "4"])):
        assert main(["evaluate", *quick, "--dataset", name, *extra]) == 0
        assert f"cell-darts_v2-{name}-tiny-seed0" in capsys.readouterr().out

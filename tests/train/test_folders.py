"""Image folders: one fingerprint in any order, a cache that knows its files, odd images, and folders of the user's own."""

import contextlib
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.datasets as tv
from PIL import Image

from asap.errors import UserError
from asap.networks.derived import DerivedNetwork, Size
from asap.networks.supernet import Supernet
from asap.paper.space import DARTS_OPERATIONS, edges, published_cells
from asap.records.data import same_data, set_fingerprint, shorter_side
from asap.records.parameters import EvaluationParameters, SearchParameters, make, run_name
from asap.records.run import Run
from asap.train import datasets
from asap.train.images import DataError, Files, View, opened


def draw(path, shape=(32, 32, 3), seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def own(root, shapes=((17, 17),), count=6, halves=("train", "test"), classes=("ant", "bee", "cat")):
    for half in halves:
        for k, name in enumerate(classes):
            for i in range(count):
                draw(root / half / name / f"{i}.png", shapes[i % len(shapes)], seed=[k, i, len(half)])
    return root


def test_a_folder_and_torchvision_s_copy_are_one_set_in_two_orders(tmp_path, monkeypatch):
    monkeypatch.setattr(tv.CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setattr(tv.cifar, "check_integrity", lambda path, md5: True)
    place = tmp_path / "a" / "cifar-100-python"
    place.mkdir(parents=True)
    (place / "meta").write_bytes(pickle.dumps({"fine_label_names": ["ant", "bee"]}))
    for half in ("train", "test"):
        rows, labels = [], [1, 0, 0, 1]
        for i, label in enumerate(labels):
            pixels = draw(tmp_path / "b" / "cifar100" / half / ("ant", "bee")[label] / f"{9 - i}.webp", seed=[i, len(half)], lossless=True)
            rows.append(pixels.transpose(2, 0, 1).reshape(-1))
        (place / half).write_bytes(pickle.dumps({"data": np.stack(rows), "fine_labels": labels}))
    archive, folder = (datasets.load("cifar100", tmp_path / copy) for copy in "ab")
    assert archive.fingerprint == folder.fingerprint and archive.order != folder.order
    assert archive.variant == folder.variant == "cifar100-subset" and archive.class_names == folder.class_names == ("ant", "bee")
    assert not same_data(archive.describe(), folder.describe())  # the same seed would draw other images
    changed = {"train_images": folder.train.images, "train_labels": folder.train.labels.flip(0)}
    changed |= {"test_images": folder.test.images, "test_labels": folder.test.labels}
    assert datasets.fingerprint(changed) != folder.fingerprint


def test_a_record_from_before_the_order_counts_as_the_same_set(tmp_path):
    now = datasets.load("digits", tmp_path).describe()
    before = {key: value for key, value in now.items() if key != "order"} | {"fingerprint": "934c07a9e814808a"}
    assert same_data(before, now) and set_fingerprint(before) == set_fingerprint(now)
    assert not same_data({**before, "fingerprint": "6efd8f550fa0e06a"}, now)


def test_the_cache_is_made_anew_when_its_files_change_and_hidden_folders_are_no_classes(tmp_path, capsys):
    for half in ("train", "test"):
        for name in ("ant", "bee"):
            draw(tmp_path / "cifar10" / half / name / "0.png")
    first = datasets.load("cifar10", tmp_path)
    capsys.readouterr()
    draw(tmp_path / "cifar10" / "train" / ".ipynb_checkpoints" / "0.png")
    draw(tmp_path / "cifar10" / "train" / "bee" / "._1.png")
    assert datasets.load("cifar10", tmp_path).classes == 2 and capsys.readouterr().err == ""
    draw(tmp_path / "cifar10" / "train" / "bee" / "1.png", seed=1)
    again = datasets.load("cifar10", tmp_path)
    assert len(again.train) == 3 and again.fingerprint != first.fingerprint and "made anew" in capsys.readouterr().err


def test_the_cache_knows_what_each_file_is(tmp_path, capsys):
    """Of files of one name, size and age: their half, their class, and what the class is called."""
    root = tmp_path / "shapes"
    for half in ("train", "test"):
        for k, name in enumerate(("ant", "bee")):
            for i in range(3):
                draw(root / half / name / "a" / "b" / f"{half}{k}{i}.png", seed=10 * k + i)
    load = lambda: datasets.load("shapes", tmp_path, folder=str(root))  # noqa: E731
    load()
    (root / "train/bee/a/b/train02.png").hardlink_to(root / "train/ant/a/b/train02.png")
    (root / "train/ant/a/b/train02.png").unlink()
    assert load().train.labels.tolist() == [0, 0, 1, 1, 1, 1]
    for half in ("train", "test"):
        (root / half / "bee").rename(root / half / "cow")
    assert load().class_names == ("ant", "cow") and capsys.readouterr().err.count("made anew") == 2


def test_files_that_are_not_read_and_test_images_that_are_trained_on_are_said(tmp_path, capsys):
    root = own(tmp_path / "shapes")
    shutil.copy(root / "train/ant/0.png", root / "test/bee/copy.png")
    for name in ("train/ant/moving.gif", "val/ant/0.png", "train/.hidden/0.png"):
        draw(root / name)
    datasets.load("shapes", tmp_path, folder=str(root))
    said = capsys.readouterr().err
    assert "that are not read: 2, for example train/ant/moving.gif" in said and "1 of 19 test images under" in said
    datasets.load("shapes", tmp_path, folder=str(root))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("fit", ["exact", "crop"])
def test_a_photograph_is_read_as_the_camera_was_held(tmp_path, fit):
    """With and without a change of size, and so in training and in prediction."""
    pixels = draw(tmp_path / "plain.png", (16, 16))
    turned = Image.fromarray(np.rot90(pixels)).getexif()
    turned[0x0112] = 6  # to be turned by 90° to the right
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "turned.png", exif=turned)
    assert np.array_equal(View(16, 16, 1, fit).read(tmp_path / "turned.png")[0][..., 0], pixels)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage!", b"Exif\0\0MM\0*"])
def test_a_photograph_whose_description_is_damaged_is_read_as_it_lies(tmp_path, exif):
    pixels = np.full((16, 16), 90, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    assert np.array_equal(View(16, 16, 1).read(tmp_path / "a.jpg")[0][..., 0], pixels)


def test_a_jpeg_of_a_flipped_byte_is_a_line_or_an_image(tmp_path):
    draw(tmp_path / "a.jpg", (16, 16))
    whole = (tmp_path / "a.jpg").read_bytes()
    for place in range(0, len(whole), 7):
        (tmp_path / "b.jpg").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with contextlib.suppress(DataError):
            View(16, 16).read(tmp_path / "b.jpg")


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 3), ("LA", 1)])
def test_what_is_transparent_is_white(tmp_path, mode, channels):
    """An icon may have its shape in its transparency alone."""
    icon = Image.new(mode, (8, 8), 0)
    icon.putpixel((2, 1), (0,) * channels + (255,))
    icon.save(tmp_path / "icon.png")
    found = View(8, 8, channels).read(tmp_path / "icon.png")[0]
    assert (found[1, 2] == 0).all() and (found == 255).sum() == 63 * channels


def test_loops_of_links_count_no_image_twice(tmp_path):
    root = own(tmp_path / "shapes")
    (root / "train" / "ant" / "loop").symlink_to(root / "train")
    (root / "train" / "bee" / "sideways").symlink_to(root / "train" / "ant")
    (root / "train" / "dog").symlink_to(root)
    (root / "train" / "cat" / "again.png").symlink_to(root / "train" / "cat" / "0.png")
    outside = draw(tmp_path / "elsewhere" / "x.png")
    (root / "train" / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    files = Files.under(root / "train", root)
    assert files.classes == ("ant", "bee", "cat") and [files.labels.count(k) for k in range(3)] == [6, 6, 7]
    assert np.array_equal(View(32, 32).read(files.paths[-1])[0], outside)
    (root / "train" / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    with pytest.raises(DataError, match=r"gone\.png is no file"):
        Files.under(root / "train", root)


def test_images_of_other_kinds_are_converted_or_refused_in_a_line(tmp_path, monkeypatch):
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    found, _ = View(8, 8, 1).read(tmp_path / "deep.png")
    assert np.array_equal(found[..., 0], np.round(ramp / 257).astype(np.uint8))
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    red = View(8, 8).read(tmp_path / "red.jpg")[0]
    assert red[..., 0].min() > 240 and red[..., 1:].max() < 15
    Image.fromarray(np.full((8, 8), 0.5, dtype=np.float32)).save(tmp_path / "f.tiff")
    Image.fromarray(np.full((8, 8), 200, dtype=np.int32)).save(tmp_path / "i.tiff")
    (tmp_path / "none.png").write_bytes(b"nothing")
    for name, said in (("f.tiff", "fractions"), ("i.tiff", "32 bits"), ("none.png", "damaged")):
        with pytest.raises(DataError, match=said):
            View(8, 8).read(tmp_path / name)
    for limit in (10, 50):  # an error, and what Pillow only warns of
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match="too large an image") as caught, opened(tmp_path / "deep.png"):
            pass
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("shape", "channels"), [((17, 17), 1), ((9, 9, 3), 3)])
def test_an_own_folder_is_searched_and_evaluated_under_its_name(tmp_path, shape, channels):
    root = own(tmp_path / "my shapes", [shape])
    given = {"dataset": str(root), "scale": "tiny", "batch": 4, "epochs": 1, "channels": 2, "layers": 3}
    from asap.search.loop import search
    from asap.train.evaluate import evaluate

    found = Run.open(search(make(SearchParameters, {**given, "nodes": 2}), progress=False))
    assert found.info["data"]["name"] == found.parameters["dataset"] == "my_shapes" and str(tmp_path) not in str(found.info)
    assert found.info["data"]["shape"] == [channels, *shape[:2]] and found.folder.name.startswith("asap-my_shapes-tiny-seed0")
    tested = Run.open(evaluate(make(EvaluationParameters, {**given, "run": str(found.folder)}), progress=False))
    assert tested.info["data"]["fingerprint"] == found.info["data"]["fingerprint"] and tested.parameters["stem"] == "cifar"


def test_an_own_folder_says_what_it_needs(tmp_path, monkeypatch):
    root = own(tmp_path / "shapes", [(20, 30), (12, 12)], halves=("train",))
    monkeypatch.setenv("ASAP_DATA", str(tmp_path))
    p = make(EvaluationParameters, {"cell": "ASAP", "dataset": "shapes", "image_size": 12, "test_share": 0.3})
    assert p.folder == str(root) and run_name(p).endswith("image_size_12-test_share_0.3")

    def load(**given):
        return datasets.load("shapes", tmp_path, folder=str(root), **given)

    with pytest.raises(DataError, match="--test-share"):
        load()
    with pytest.raises(DataError, match="--image-size"):
        load(test_share=0.3)
    found = load(test_share=0.3, image_size=12)
    assert (len(found.train), len(found.test), found.size, found.channels) == (12, 6, 12, 1)
    assert load(test_share=0.3, image_size=12).fingerprint == found.fingerprint
    with pytest.raises(DataError, match="too few"):
        load(test_share=0.99, image_size=12)
    with pytest.raises(DataError, match="image_size and test_share are for"):
        datasets.load("digits", tmp_path, image_size=16)
    with pytest.raises(DataError, match="one class"):
        datasets.load("one", tmp_path, folder=str(own(tmp_path / "one", classes=("ant",))))
    with pytest.raises(DataError, match=r"train may be the training half, or a class as 'bus'"):
        datasets.load("cars", tmp_path, folder=str(own(tmp_path / "cars", halves=("",), classes=("bus", "train"))), test_share=0.3)
    with pytest.raises(DataError, match="is not UTF-8; rename it"):
        datasets.load("menu", tmp_path, folder=str(own(tmp_path / "menu", classes=("bar", os.fsdecode(b"caf\xe9")))))
    with pytest.raises(UserError, match="give the folder's path"):
        make(EvaluationParameters, {"cell": "ASAP", "dataset": "../x", "folder": str(root)})
    with pytest.raises(UserError, match="rename the folder"):
        make(EvaluationParameters, {"cell": "ASAP", "dataset": str(own(tmp_path / "else" / "cifar10"))})
    with pytest.raises(UserError, match="or an image folder, not 'nowhere'"):
        make(SearchParameters, {"dataset": "nowhere"})
    large = own(tmp_path / "large", [(130, 128, 3)], count=1)
    assert make(EvaluationParameters, {"cell": "ASAP", "scale": "paper", "dataset": str(large)}).stem == "imagenet"
    assert make(EvaluationParameters, {"cell": "ASAP", "dataset": str(large), "image_size": 64}).stem == "cifar"
    next(large.iterdir()).joinpath("About.txt").write_text("no image")  # neither a note nor a deeper folder hides the images
    assert shorter_side(large) >= 64
    deep = tmp_path / "deep" / "class" / "part"
    deep.mkdir(parents=True)
    Image.new("RGB", (70, 90)).save(deep / "0.png")
    assert shorter_side(tmp_path / "deep") == 70


@pytest.mark.parametrize("side", [8, 9, 11, 20, 27])
def test_networks_train_a_step_on_images_of_any_side(side):
    torch.manual_seed(0)
    images = torch.randn(2, 1, side, side).contiguous(memory_format=torch.channels_last)
    supernet = Supernet(DARTS_OPERATIONS, 2, 3, 2, 3, 1, side)
    phi = {kind: torch.full((len(edges(2)), len(DARTS_OPERATIONS)), 0.1, requires_grad=True) for kind in ("normal", "reduce")}
    cells = published_cells()
    networks = [
        DerivedNetwork(Size(cells[name]["genotype"], 2, 3, 3, 1, side, auxiliary=True)) for name in ("ASAP", "DARTS_V2", "AmoebaNet_A")
    ]
    logits = [supernet(images, phi), *(part for network in networks for part in network(images))]
    sum(F.cross_entropy(x, torch.zeros(2, dtype=torch.long)) for x in logits).backward()
    assert all(x.shape == (2, 3) for x in logits) and all(p.grad.isfinite().all() for p in phi.values())

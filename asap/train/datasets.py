"""The data sets: how each is laid out under DATA_ROOT, read once into tensors and kept under DATA_ROOT/cache/.

| name | layout under DATA_ROOT | training and test images |
|---|---|---|
| `digits` | embedded (scikit-learn) | 1,438 + 359 of 8×8, grey |
| `cifar10` | torchvision's `cifar-10-batches-py/` | 50,000 + 10,000 of 32×32 |
| `cifar100` | torchvision's `cifar-100-python/` | 50,000 + 10,000 of 32×32, 100 classes |
| `svhn` | torchvision's `svhn/{train,extra,test}_32x32.mat`; extra is trained on too | 604,388 + 26,032 of 32×32 |
| `fashion_mnist` | torchvision's `FashionMNIST/raw/` | 60,000 + 10,000 of 28×28, padded to 32×32, grey |
| `cinic10` | `cinic10/{train,valid,test}/<class>/`; valid is trained on too | 180,000 + 90,000 of 32×32 |
| `freiburg`, `freiburg-1` … `-4` | `freiburg/images/<CLASS>/`, `freiburg/splits/{train,test}{0…4}.txt` | 5,000, scaled to 64×64 |
| `imagenet` | `imagenet/{train,val}/<class>/`, read while training (imagenet.py) | 1,281,167 + 50,000, 1,000 classes |
| a folder of your own | `{train,test}/<class>/`, or `<class>/` and a `test_share` | any, of sides from 8 up, grey or colour |

torchvision's four are fetched with `--download true`. CINIC-10 is at datashare.ed.ac.uk/handle/10283/3192, Freiburg Groceries
at github.com/PhilJd/freiburg_groceries_dataset, ImageNet at image-net.org; unpack them to the layout above. Where that is
missing, each is read from an image folder `NAME/{train,test}/<class>/*`, labels in order of the classes' names.

A set's *fingerprint* is a hash of its images and labels in whatever order they come (ImageNet's: of every file's name and size).
Its *variant* says which copy it is: `cifar100-subset` has fewer images than the set, `cifar10-jpeg75` is of JPEG files.
The *order* of the images, which a seed's split depends on, has a hash of its own: in an image folder that of classes, then of
file names; in torchvision's archives their own. So a folder of CIFAR-10 and torchvision's are one set by their fingerprint, but
the same seed draws other images, and a run that began on one is not resumed on the other.

To add a set, enter it in `SETS`, and its name in parameters.DATASETS.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from torch import Tensor

from ..errors import one_line
from .batches import ImageData, Split
from .checkpoint import CheckpointError, read_tensors, write_tensors
from .folders import Decoded, Source, freiburg_split, own_source, placed, read_files, two_halves, variant
from .imagenet import FolderData
from .images import DataError, View, centred, listing

_COLOURS = View(32, 32)


@dataclass(frozen=True)
class NamedSet:
    """A data set of the paper: its name in prose, the form of its images, how many it has (0: not known), and where it lies."""

    title: str
    images: tuple[int, int] = (0, 0)
    view: View = _COLOURS
    parts: tuple[str, ...] = ("train",)  # of an image folder, trained on together; the first must be there
    layout: str = ""  # as it is published, where torchvision has no reader
    reader: str = ""  # its class in torchvision, the place under the root, the files that must be there, and the two halves
    place: str = ""
    needs: tuple[str, ...] = ()
    halves: tuple[tuple[dict[str, Any], ...], ...] = (({"train": True},), ({"train": False},))


_SVHN = tuple({"split": half} for half in ("train", "extra", "test"))
_MATS = tuple(f"svhn/{half['split']}_32x32.mat" for half in _SVHN)
_GROCERIES = NamedSet("Freiburg Groceries", view=View(64, 64, fit="squash"), layout="freiburg/images/<CLASS>/ and freiburg/splits/")
SETS = {
    "cifar10": NamedSet("CIFAR-10", (50_000, 10_000), reader="CIFAR10", needs=("cifar-10-batches-py",)),
    "cifar100": NamedSet("CIFAR-100", (50_000, 10_000), reader="CIFAR100", needs=("cifar-100-python",)),
    "svhn": NamedSet(
        "SVHN", (604_388, 26_032), parts=("train", "extra"), reader="SVHN", place="svhn", needs=_MATS, halves=(_SVHN[:2], _SVHN[2:])
    ),
    "fashion_mnist": NamedSet("Fashion-MNIST", (60_000, 10_000), View(28, 32, 1), reader="FashionMNIST", needs=("FashionMNIST/raw",)),
    "cinic10": NamedSet("CINIC-10", (180_000, 90_000), parts=("train", "valid"), layout="cinic10/{train,valid,test}/<class>/"),
    "freiburg": _GROCERIES,
    **{f"freiburg-{fold}": _GROCERIES for fold in range(1, 5)},
}
KEYS = ("train_images", "train_labels", "test_images", "test_labels")


def _digits() -> Decoded:
    """scikit-learn's 1,797 handwritten digits, 8×8; every fifth is a test image."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    test = np.arange(len(labels)) % 5 == 4
    return Decoded("digits", (images[~test], labels[~test], images[test], labels[test]), [str(i) for i in range(10)], View(8, 8, 1))


def _named_source(name: str, root: Path, download: bool) -> Source | None:
    """Where a named set lies under the root; None where it does not. Raises `DataError` where it is not whole."""
    known, folder = SETS[name], root / name
    if known.reader and (download or all((root / place).exists() for place in known.needs)):
        files = sorted(path for place in known.needs for path in (root / place, *(root / place).rglob("*")) if path.is_file())
        return Source([(path, "") for path in files], partial(_read_archive, name, root, download))
    if known is _GROCERIES and (root / "freiburg" / "splits").is_dir():
        fold = int(name.partition("-")[2] or 0)
        halves, name = freiburg_split(root / "freiburg", fold), f"freiburg-{fold}"
    elif (folder / known.parts[0]).is_dir():
        halves = two_halves(folder, [part for i, part in enumerate(known.parts) if i == 0 or (folder / part).is_dir()])
    else:
        return None
    return Source(placed(halves), partial(read_files, name, halves, known.view, known.images))


def _missing(name: str, root: Path) -> DataError:
    known = SETS[name]
    missing = next((f"{place} (--download true fetches it)" for place in known.needs if not (root / place).exists()), known.layout)
    other = f"or an image folder {name}/{{train,test}}/<class>/; --data-root or ASAP_DATA names another place"
    return DataError(f"{known.title} is not under {root}: expected {missing}, {other}")


def _read_archive(name: str, root: Path, download: bool) -> Decoded:
    """A set by torchvision, which checks it against the published digests."""
    import torchvision.datasets

    known, arrays = SETS[name], []
    reader = partial(getattr(torchvision.datasets, known.reader), str(root / known.place), download=download)
    try:
        halves = [[reader(**part) for part in half] for half in known.halves]
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(f"{known.title} under {root} is damaged or could not be fetched: {one_line(error)}") from None
    for half in halves:
        images = np.concatenate([np.asarray(part.data) for part in half])  # (N, 32, 32, 3); SVHN (N, 3, 32, 32), Fashion-MNIST (N, 28, 28)
        images = images[..., None] if images.ndim == 3 else images.transpose(0, 2, 3, 1) if images.shape[1] == 3 else images
        labels = [np.asarray(part.targets if hasattr(part, "targets") else part.labels, dtype=np.int64) for part in half]
        arrays += [centred(images, known.view.size), np.concatenate(labels)]
    classes = getattr(halves[0][0], "classes", [str(i) for i in range(10)])
    return Decoded(variant(name, arrays, known.images, 0), arrays, classes, known.view)


def _order(tensors: dict[str, Tensor]) -> str:
    """A hash of all pixels and labels as they lie."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(f"{key}{tuple(tensors[key].shape)}".encode())
        digest.update(tensors[key].numpy().data)
    return digest.hexdigest()[:16]


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """A hash of the images with their labels, half by half, the same in whatever order they come. tensors: by `KEYS`."""
    digest = hashlib.sha256()
    for half in ("train", "test"):
        images, labels = (tensors[f"{half}_{part}"].contiguous().numpy() for part in ("images", "labels"))
        digest.update(f"{half}{images.shape}".encode())
        rows = zip(images.reshape(len(images), -1), labels.astype("<i8"), strict=True)
        digest.update(b"".join(sorted(hashlib.sha256(image.tobytes() + label.tobytes()).digest() for image, label in rows)))
    return digest.hexdigest()[:16]


def _assemble(name: str, tensors: dict[str, Tensor], meta: dict[str, Any]) -> ImageData:
    train, test = (Split(tensors[f"{half}_images"], tensors[f"{half}_labels"]) for half in ("train", "test"))
    return ImageData(name, meta["variant"], train, test, meta["set"], meta["fingerprint"], tuple(meta["classes"]), View(*meta["view"]))


def _decode(decoded: Decoded, listed: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and what is kept beside them; `fingerprint` there is that of the order."""
    tensors = {key: torch.from_numpy(np.ascontiguousarray(part)) for key, part in zip(KEYS, decoded.arrays, strict=True)}
    return tensors, {
        "variant": decoded.variant,
        "fingerprint": _order(tensors),
        "set": fingerprint(tensors),
        "listing": listed,
        "classes": list(decoded.classes[: int(max(tensors["train_labels"].max(), tensors["test_labels"].max())) + 1]),
        "view": list(astuple(decoded.view)),
    }


def load(
    name: str, root: Path, download: bool = False, folder: str = "", image_size: int = 0, test_share: float = 0.0
) -> ImageData | FolderData:
    """The data set of this name, decoded at the first call and cached under root/cache/ until its files change.

    folder: an image folder of the user's own, called `name`; image_size, test_share: see `parameters.Common`.
    Where the files are gone and the cache is there, that is the set. ImageNet is not decoded: its images are read while training.
    Raises `DataError`, one line, where the set is missing, damaged, or its cache does not match its hash.
    """
    if not folder and (image_size or test_share):
        raise DataError(f"image_size and test_share are for an image folder of your own, not for {name}")
    if name == "digits":
        return _assemble(name, *_decode(_digits(), ""))
    if name == "imagenet":
        return FolderData.open(root / "imagenet")
    cache = root / "cache" / f"{name}.pt"
    if folder:
        chosen = f"{os.path.realpath(folder)} {image_size} {test_share}"
        cache = cache.with_stem(f"{name}-{hashlib.sha256(chosen.encode(errors='surrogateescape')).hexdigest()[:8]}")
    source = own_source(name, Path(folder), image_size, test_share) if folder else _named_source(name, root, download)
    listed = listing(source.files) if source and source.files else ""
    if cache.is_file():
        tensors, meta = _cached(cache)
        if listed in ("", meta["listing"]):
            return _assemble(name, tensors, meta)
        print(f"note: {cache} was made from other files; it is made anew", file=sys.stderr)
    if source is None:
        raise _missing(name, root)
    print(f"reading {folder or f'{name} under {root}'}, once", file=sys.stderr)
    with _fetching(root) if download and not folder else nullcontext():
        decoded = source.read()
    if download and not folder and (whole := _named_source(name, root, False)):
        listed = listing(whole.files)  # of what was fetched
    tensors, meta = _decode(decoded, listed)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(cache.parent / ".lock"):
            for left in cache.parent.glob(f".{cache.name}.*.part"):  # by a kill: nobody else writes now
                left.unlink()
            write_tensors(cache, tensors, meta)
    except OSError as error:
        print(f"note: {name} is not cached: {one_line(error)}", file=sys.stderr)
    return _assemble(name, tensors, meta)


def _fetching(root: Path) -> AbstractContextManager[Any]:
    """One process at a time fetches a set; the next finds it there."""
    try:
        return filelock.FileLock(root / ".lock").acquire()
    except OSError as error:
        raise DataError(f"{root}: {one_line(error)}") from None


def _cached(cache: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A cache's content. Raises `DataError` where it is damaged, or of an older version."""
    with suppress(CheckpointError):
        tensors, meta = read_tensors(cache)
        if {"set", "listing", "classes", "view"} <= set(meta):
            return tensors, meta
    raise DataError(f"{cache} is damaged; delete it and it is made anew")

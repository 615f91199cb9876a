"""The data sets: how each is laid out under DATA_ROOT, read once into tensors and kept under DATA_ROOT/cache/.

| name | layout under DATA_ROOT | training and test images |
|---|---|---|
| `digits` | embedded (scikit-learn) | 1,438 + 359 of 8×8, grey |
| `cifar10` | torchvision's `cifar-10-batches-py/`, or `cifar10/{train,test}/<class>/` | 50,000 + 10,000 of 32×32 |
| `cifar100` | torchvision's `cifar-100-python/` | 50,000 + 10,000 of 32×32, 100 classes |
| `svhn` | torchvision's `svhn/{train,extra,test}_32x32.mat`; extra is trained on too | 604,388 + 26,032 of 32×32 |
| `fashion_mnist` | torchvision's `FashionMNIST/raw/` | 60,000 + 10,000 of 28×28, padded to 32×32, grey |
| `cinic10` | `cinic10/{train,valid,test}/<class>/`; valid is trained on too | 180,000 + 90,000 of 32×32 |
| `freiburg`, `freiburg-1` … `-4` | `freiburg/images/<CLASS>/`, `freiburg/splits/{train,test}{0…4}.txt` | 5,000, scaled to 64×64 |
| `imagenet` | `imagenet/{train,val}/<class>/`, read while training (imagenet.py) | 1,281,167 + 50,000, 1,000 classes |

torchvision's four are fetched with `--download true`. CINIC-10 is at datashare.ed.ac.uk/handle/10283/3192, Freiburg Groceries
at github.com/PhilJd/freiburg_groceries_dataset, ImageNet at image-net.org; unpack them to the layout above. A data set's
fingerprint is a hash of every pixel and label (ImageNet's: of every file's name and size), checked at each load and kept in
each record. To add one, write a reader and enter it in READERS, and its name in parameters.DATASETS.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .batches import DataError, ImageData, Split
from .checkpoint import CheckpointError, read_tensors, write_tensors
from .imagenet import FolderData

Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # train images, labels, test images, labels


def _read_digits(root: Path, download: bool) -> tuple[str, Parts]:
    """scikit-learn's 1,797 handwritten digits, 8×8; every fifth is a test image."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    test = np.arange(len(labels)) % 5 == 4
    return "digits", (images[~test], labels[~test], images[test], labels[test])


def _read_cifar10(root: Path, download: bool) -> tuple[str, Parts]:
    """CIFAR-10 from torchvision's folder, else from an image folder cifar10/{train,test}/<class>/."""
    from torchvision.datasets import CIFAR10

    if download or (root / "cifar-10-batches-py").is_dir():
        try:
            halves = [CIFAR10(str(root), train=train, download=download) for train in (True, False)]
        except (RuntimeError, OSError) as error:
            raise DataError(f"CIFAR-10 under {root} is damaged or could not be fetched: {_one_line(error)}") from None
        return "cifar10", tuple(a for h in halves for a in (h.data, np.array(h.targets, dtype=np.int64)))  # type: ignore[return-value]
    folder = root / "cifar10"
    if not folder.is_dir():
        raise DataError(
            f"CIFAR-10 is not under {root}: expected cifar-10-batches-py/ (--download true fetches it) "
            "or an image folder cifar10/{train,test}/<class>/; --data-root or ASAP_DATA names another place"
        )
    return _read_image_folder(folder, "cifar10", 32)


def _read_fashion_mnist(root: Path, download: bool) -> tuple[str, Parts]:
    """Fashion-MNIST from torchvision's folder, 28×28, padded with zeros to 32×32."""
    from torchvision.datasets import FashionMNIST

    if not download and not (root / "FashionMNIST" / "raw").is_dir():
        raise DataError(f"Fashion-MNIST is not under {root}: expected FashionMNIST/raw/ (--download true fetches it)")
    try:
        halves = [FashionMNIST(str(root), train=train, download=download) for train in (True, False)]
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(f"Fashion-MNIST under {root} is damaged or could not be fetched: {_one_line(error)}") from None
    parts: list[np.ndarray] = []
    for half in halves:
        parts += [np.pad(half.data.numpy(), ((0, 0), (2, 2), (2, 2)))[..., None], half.targets.numpy().astype(np.int64)]
    return "fashion_mnist", tuple(parts)  # type: ignore[return-value]


def _read_cifar100(root: Path, download: bool) -> tuple[str, Parts]:
    """CIFAR-100 from torchvision's folder, its 100 fine classes."""
    from torchvision.datasets import CIFAR100

    if not download and not (root / "cifar-100-python").is_dir():
        raise DataError(f"CIFAR-100 is not under {root}: expected cifar-100-python/ (--download true fetches it)")
    try:
        halves = [CIFAR100(str(root), train=train, download=download) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise DataError(f"CIFAR-100 under {root} is damaged or could not be fetched: {_one_line(error)}") from None
    return "cifar100", tuple(a for h in halves for a in (h.data, np.array(h.targets, dtype=np.int64)))  # type: ignore[return-value]


def _read_svhn(root: Path, download: bool) -> tuple[str, Parts]:
    """SVHN from torchvision's files; train and extra together are the training images."""
    from torchvision.datasets import SVHN

    missing = [half for half in ("train", "extra", "test") if not (root / "svhn" / f"{half}_32x32.mat").is_file()]
    if missing and not download:
        raise DataError(f"SVHN is not under {root}: svhn/{missing[0]}_32x32.mat is missing (--download true fetches it)")
    try:
        halves = {half: SVHN(str(root / "svhn"), split=half, download=download) for half in ("train", "extra", "test")}
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(f"SVHN under {root} is damaged or could not be fetched: {_one_line(error)}") from None
    images = {half: found.data.transpose(0, 2, 3, 1) for half, found in halves.items()}
    labels = {half: found.labels.astype(np.int64) for half, found in halves.items()}
    both = [np.concatenate([part["train"], part["extra"]]) for part in (images, labels)]
    return "svhn", (both[0], both[1], images["test"], labels["test"])


def _read_cinic10(root: Path, download: bool) -> tuple[str, Parts]:
    """CINIC-10 from its image folder; train and valid together are the training images."""
    return _read_image_folder(_folder(root, "cinic10", "train/, valid/ and test/"), "cinic10", 32, (("train", "valid"), ("test",)))


def _read_freiburg(root: Path, download: bool, fold: int) -> tuple[str, Parts]:
    """Freiburg Groceries: a published split, lines `CLASS/FILE LABEL`; images scaled to 64×64 (6.2.2)."""
    folder = _folder(root, "freiburg", "images/<CLASS>/ and splits/")
    parts: list[np.ndarray] = []
    for half in ("train", "test"):
        listing = folder / "splits" / f"{half}{fold}.txt"
        try:
            lines = [line.rsplit(maxsplit=1) for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
            names, labels = [name for name, _ in lines], np.array([int(label) for _, label in lines], dtype=np.int64)
        except (OSError, ValueError) as error:
            raise DataError(f"{listing}: {_one_line(error)}") from None
        parts += [_read_images([folder / "images" / name for name in names], 64, scale=True)[0], labels]
    return f"freiburg-{fold}", tuple(parts)  # type: ignore[return-value]


def _folder(root: Path, name: str, layout: str) -> Path:
    if not (root / name).is_dir():
        raise DataError(f"{name} is not under {root}: expected {name}/ with {layout}; where to get it: asap/train/datasets.py")
    return root / name


def _read_image_folder(
    folder: Path, name: str, size: int, halves: tuple[tuple[str, ...], ...] = (("train",), ("test",))
) -> tuple[str, Parts]:
    """<half>/<class>/* of size×size images; JPEG files make the variant `name-jpegQUALITY`."""
    from torchvision.datasets import ImageFolder

    print(f"reading {folder}, once", file=sys.stderr)
    variant = name
    arrays: list[np.ndarray] = []
    classes: list[str] | None = None
    for half in halves:
        paths: list[Path] = []
        labels: list[int] = []
        for part in half:
            try:
                listing = ImageFolder(str(folder / part))
            except (FileNotFoundError, OSError) as error:
                raise DataError(f"{folder / part}: {_one_line(error)}") from None
            if classes is not None and listing.classes != classes:
                raise DataError(f"{folder}: {part} has other classes than {halves[0][0]}")
            classes = listing.classes
            paths += [Path(path) for path, _ in listing.samples]
            labels += listing.targets
        images, quality = _read_images(paths, size)
        variant = f"{name}-jpeg{quality}" if quality else variant
        arrays += [images, np.array(labels, dtype=np.int64)]
    return variant, tuple(arrays)  # type: ignore[return-value]


def _read_images(paths: list[Path], size: int, scale: bool = False) -> tuple[np.ndarray, int]:
    """The images (N, size, size, 3), and the quality of the first where it is a JPEG, else 0. scale: scale them to the size."""
    from PIL import Image

    images, quality = np.empty((len(paths), size, size, 3), dtype=np.uint8), 0
    for i, path in enumerate(paths):
        try:
            with Image.open(path) as image:
                if i == 0 and image.format == "JPEG":
                    quality = _jpeg_quality(image.quantization[0])  # type: ignore[attr-defined]
                if not scale and image.size != (size, size):
                    raise DataError(f"{path}: {image.size[0]}×{image.size[1]} pixels, expected {size}×{size}")
                whole = image.convert("RGB")
            images[i] = np.asarray(whole.resize((size, size), Image.Resampling.BILINEAR) if scale else whole)
        except (OSError, SyntaxError) as error:
            raise DataError(f"{path}: damaged image: {_one_line(error)}") from None
    return images, quality


def _jpeg_quality(table: list[int]) -> int:
    """The quality 1–100 whose luminance table (libjpeg's, from its first entry 16) starts as this file's does."""
    for quality in range(100, 0, -1):
        scale = 200 - 2 * quality if quality >= 50 else 5000 // quality
        if max(1, (16 * scale + 50) // 100) == table[0] and max(1, (99 * scale + 50) // 100) == table[-1]:
            return quality
    return 0


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


READERS: dict[str, Callable[[Path, bool], tuple[str, Parts]]] = {
    "digits": _read_digits,
    "cifar10": _read_cifar10,
    "cifar100": _read_cifar100,
    "svhn": _read_svhn,
    "fashion_mnist": _read_fashion_mnist,
    "cinic10": _read_cinic10,
    "freiburg": partial(_read_freiburg, fold=0),
    **{f"freiburg-{fold}": partial(_read_freiburg, fold=fold) for fold in range(1, 5)},
}


def _fingerprint(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(f"{key}{tuple(tensors[key].shape)}".encode())
        digest.update(tensors[key].numpy().data)
    return digest.hexdigest()[:16]


def _assemble(name: str, variant: str, tensors: dict[str, Tensor], fingerprint: str) -> ImageData:
    train = Split(tensors["train_images"], tensors["train_labels"])
    test = Split(tensors["test_images"], tensors["test_labels"])
    return ImageData(name, variant, train, test, int(train.labels.max()) + 1, fingerprint)


def load(name: str, root: Path, download: bool = False) -> ImageData | FolderData:
    """The data set of this name, decoded at the first call and cached under root/cache/.

    Raises `DataError`, one line, where it is missing, damaged, or its cache does not match its fingerprint.
    ImageNet is not decoded: its images are read while training.
    """
    if name == "imagenet":
        return FolderData.open(_folder(root, "imagenet", "train/<class>/ and val/<class>/"))
    cache = root / "cache" / f"{name}.pt"
    if name == "digits":
        variant, parts = READERS[name](root, download)
        tensors = dict(zip(("train_images", "train_labels", "test_images", "test_labels"), map(torch.from_numpy, parts), strict=True))
        return _assemble(name, variant, tensors, _fingerprint(tensors))
    if cache.is_file():
        try:
            tensors, meta = read_tensors(cache)
            if _fingerprint(tensors) == meta["fingerprint"]:
                return _assemble(name, meta["variant"], tensors, meta["fingerprint"])
        except (CheckpointError, KeyError):
            pass
        raise DataError(f"{cache} is damaged; delete it and it is made anew")
    variant, parts = READERS[name](root, download)
    tensors = {
        key: torch.from_numpy(np.ascontiguousarray(part))
        for key, part in zip(("train_images", "train_labels", "test_images", "test_labels"), parts, strict=True)
    }
    data = _assemble(name, variant, tensors, _fingerprint(tensors))
    try:
        write_tensors(cache, tensors, {"variant": variant, "fingerprint": data.fingerprint})
    except OSError as error:
        print(f"note: {name} is not cached: {_one_line(error)}", file=sys.stderr)
    return data

"""Image folders as data sets: their two halves, Freiburg Groceries' published splits, and folders of the user's own."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import one_line
from .device import memory_gib
from .images import IMG_EXTENSIONS, DataError, Files, View, opened

LABELS = [str(label) for label in range(25)]  # of Freiburg Groceries


@dataclass(frozen=True)
class Decoded:
    """variant, arrays by `KEYS`, the classes' names, and how an image file becomes such an array."""

    variant: str
    arrays: Sequence[np.ndarray]
    classes: Sequence[str]
    view: View


@dataclass(frozen=True)
class Source:
    """What a set is made from: its files, each with what it is there, and what decodes them."""

    files: Sequence[tuple[str | Path, str]]
    read: Callable[[], Decoded]


def two_halves(folder: Path, parts: Sequence[str] = ("train",), test: str = "test") -> list[Files]:
    """The files of <folder>/<part>/<class>/ that are trained on, all parts together, and those tested on.

    Raises `DataError` where one of them has other classes.
    """
    found = [Files.under(folder / part, folder) for part in (*parts, test)]
    for part, files in zip((*parts, test), found, strict=True):
        if files.classes != found[0].classes:
            raise DataError(f"{folder}: {part} has other classes than {parts[0]}")
    train = Files(found[0].classes, [p for files in found[:-1] for p in files.paths], [k for files in found[:-1] for k in files.labels])
    return [train, found[-1]]


def placed(halves: list[Files]) -> list[tuple[str | Path, str]]:
    """The files with their half and class."""
    of = zip(("train", "test"), halves, strict=True)
    return [(path, f"{half} {files.classes[k]}") for half, files in of for path, k in zip(files.paths, files.labels, strict=True)]


def read_files(name: str, halves: list[Files], view: View, whole: tuple[int, int] = (0, 0)) -> Decoded:
    """A set by its image files. whole: the images that the set has; a copy with fewer is its subset."""
    arrays: list[np.ndarray] = []
    qualities: set[int] = set()
    for files in halves:
        images = np.empty((len(files), view.size, view.size, view.channels), dtype=np.uint8)
        for i, path in enumerate(files.paths):
            images[i], quality = view.read(path)
            qualities.add(quality)
        arrays += [images, np.array(files.labels, dtype=np.int64)]
    return Decoded(variant(name, arrays, whole, min(qualities - {0}, default=0)), arrays, halves[0].classes, view)


def variant(name: str, arrays: Sequence[np.ndarray], whole: tuple[int, int], quality: int) -> str:
    """Which copy of a set these arrays are. Raises `DataError` where they have more images than the set."""
    variant = f"{name}-jpeg{quality}" if quality else name
    counts = (len(arrays[1]), len(arrays[3]))
    if not any(whole) or counts == whole:
        return variant
    held = f"{counts[0]:,} + {counts[1]:,} images, the set {whole[0]:,} + {whole[1]:,}"
    if any(count > all_ for count, all_ in zip(counts, whole, strict=True)):
        raise DataError(f"this copy of {name} has {held}: it is another set; give its folder to --dataset")
    print(f"note: this copy has {held}; recorded as {variant}-subset", file=sys.stderr)
    return f"{variant}-subset"


def freiburg_split(folder: Path, fold: int) -> list[Files]:
    """A published split of Freiburg Groceries: lines `CLASS/FILE LABEL`. Raises `DataError` with the line that is not so."""
    names: dict[int, str] = {}
    halves: list[tuple[list[str], list[int]]] = []
    for half in ("train", "test"):
        place = folder / "splits" / f"{half}{fold}.txt"
        try:
            lines = place.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise DataError(f"{place}: {one_line(error)}") from None
        paths, labels = [], []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            name, _, label = line.strip().rpartition(" ")
            if not name or label not in LABELS:
                raise DataError(f"{place}, line {number}: expected CLASS/FILE and a label from 0 to 24, not {line.strip()[:80]!r}")
            names.setdefault(int(label), Path(name).parent.name)
            paths.append(str(folder / "images" / name.strip()))
            labels.append(int(label))
        if not paths:
            raise DataError(f"{place} names no images")
        halves.append((paths, labels))
    classes = tuple(names.get(label, str(label)) for label in range(max(names) + 1))
    return [Files(classes, *half) for half in halves]


def own_source(name: str, folder: Path, image_size: int, test_share: float) -> Source:
    """An image folder of the user's own. test_share: of each class, where there is no test half."""
    train, whole = folder / "train" if (folder / "train").is_dir() else folder, (folder / "test").is_dir()
    others = [place for place in sorted(folder.glob("[!.]*/")) if place.name not in ("train", "val", "valid", "validation")]
    beside = [place.name for place in others if any(path.suffix.lower() in IMG_EXTENSIONS for path in place.rglob("*"))]
    if train != folder and beside and not whole:
        raise DataError(f"{folder}: train may be the training half, or a class as {beside[0]!r}; give {train} itself, or rename the class")
    if whole:
        if test_share:
            raise DataError(f"{folder} has a test half already; test_share is for a folder without one")
        halves = two_halves(folder)
    elif not test_share:
        raise DataError(f"{folder} has no test/<class>/; --test-share 0.2 would test on a fifth of the images of each class")
    else:
        halves = _shared(Files.under(train, folder), train, test_share)
    if len(halves[0].classes) < 2:
        raise DataError(f"{train} has one class, {halves[0].classes[0]!r}; at least two are needed")

    def read() -> Decoded:
        paths = [path for half in halves for path in half.paths]
        taken = set(paths)
        files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file() and str(path) not in taken]
        others = [path for path in files if not any(part.startswith(".") for part in path.parts)]
        if others:
            print(f"note: files under {folder} that are not read: {len(others)}, for example {others[0]}", file=sys.stderr)
        decoded = read_files(name, halves, _common_view(folder, paths, image_size))
        train_images, _, test_images, _ = decoded.arrays
        trained = {hashlib.sha256(image.tobytes()).digest() for image in train_images}
        if same := sum(hashlib.sha256(image.tobytes()).digest() in trained for image in test_images):
            print(f"note: as read, {same} of {len(test_images)} test images under {folder} are trained on too", file=sys.stderr)
        return replace(decoded, variant=name)

    return Source(placed(halves), read)


def _shared(files: Files, folder: Path, share: float) -> list[Files]:
    """Files cut into a training and a test half, class by class, by a hash of their names: no seed changes it."""
    test: set[int] = set()
    for label, name in enumerate(files.classes):
        mine = [i for i, own in enumerate(files.labels) if own == label]
        mine.sort(key=lambda i: hashlib.sha256(os.fsencode(os.path.relpath(files.paths[i], folder))).digest())
        count = max(1, round(share * len(mine)))
        if count >= len(mine):
            raise DataError(f"{folder / name}: {len(mine)} images are too few to test on {share:g} of them and train on others")
        test.update(mine[:count])
    return [files.take(i for i in range(len(files)) if (i in test) == half) for half in (False, True)]


def _common_view(folder: Path, paths: list[str], image_size: int) -> View:
    """The form of all these images. Raises `DataError` where they have no common one, or do not fit into memory."""
    sizes, grey = set(), True
    for path in paths:
        with opened(path) as image:
            sizes.add(image.size)
            grey = grey and (image.mode in ("1", "L", "LA", "I") or image.mode.startswith("I;16"))
    width, height = min(sizes)
    if not image_size and (len(sizes) > 1 or width != height):
        shown = ", ".join(f"{w}×{h}" for w, h in sorted(sizes)[:3]) + (", …" if len(sizes) > 3 else "")
        raise DataError(f"{folder}: the images are not squares of one size ({shown}); --image-size scales and crops them to one")
    side, channels = image_size or width, 1 if grey else 3
    if side < 8:
        raise DataError(f"{folder}: images of {side}×{side} pixels; the side must be at least 8")
    needed, memory = len(paths) * side**2 * channels / 2**30, memory_gib()
    if memory is not None and needed > memory:
        raise DataError(f"{folder}: {needed:.0f} GiB of pixels, but {memory:.0f} GiB of memory; give a smaller --image-size")
    return View(side, side, channels, "crop" if image_size else "exact")

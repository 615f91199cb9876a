"""Image files: which of them a folder of classes holds, and how one becomes an array."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image, ImageOps
from torchvision.datasets.folder import IMG_EXTENSIONS

from ..errors import UserError, one_line

READING = "2"  # changed whenever `View.read` makes other arrays of the same files: what is cached is then made anew


class DataError(UserError):
    """A data set that is missing, damaged or of the wrong shape."""


@dataclass(frozen=True)
class Files:
    """The image files of classes: `labels[i]` is the place in `classes` of the class of `paths[i]`."""

    classes: tuple[str, ...]
    paths: list[str]  # (text, since 60,000 `Path`s take a second)
    labels: list[int]

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, indices: Iterable[int]) -> Files:
        places = [int(i) for i in indices]
        return Files(self.classes, [self.paths[i] for i in places], [self.labels[i] for i in places])

    @classmethod
    def under(cls, folder: Path, home: Path) -> Files:
        """The images of <folder>/<class>/, in order of the classes' names, then of the files' folders and names.

        Hidden files and folders do not count. A link to a folder that holds or lies in `home` is not followed, and no file counts
        twice in a class. Raises `DataError` where the folder or a class has no images.
        """
        try:
            with os.scandir(folder) as entries:
                names = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith(".") and not _leads_back(e.path, home))
            found = [_images(os.path.join(folder, name), home) for name in names]
        except OSError as error:
            raise DataError(f"{folder}: {one_line(error)}") from None
        if unnamed := [name for name in names if name.encode(errors="replace").decode() != name]:
            raise DataError(f"{folder}: the name of the class folder {unnamed[0]!r} is not UTF-8; rename it")
        empty = [name for name, paths in zip(names, found, strict=True) if not paths]
        if empty or not names:
            raise DataError(f"{folder / empty[0] if empty else folder}: no images (of {', '.join(IMG_EXTENSIONS)})")
        return cls(tuple(names), [p for paths in found for p in paths], [label for label, paths in enumerate(found) for _ in paths])


def _leads_back(path: str, home: Path) -> bool:
    """Whether a path is a link to a folder that holds, is, or lies in `home`."""
    if not os.path.islink(path):
        return False
    real, whole = os.path.realpath(path), os.path.realpath(home)
    return os.path.commonpath([real, whole]) in (real, whole)


def _images(folder: str, home: Path) -> list[str]:
    """The image files below a folder, each real file once."""

    def stop(error: OSError) -> NoReturn:
        raise error

    once: dict[str, str] = {}  # by the real file
    seen = set()
    for here, folders, names in os.walk(folder, onerror=stop, followlinks=True):
        real = os.path.realpath(here)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _leads_back(os.path.join(here, name), home))
        if real in seen:
            folders.clear()
        for name in names:
            path = os.path.join(here, name)
            if not name.startswith(".") and name.lower().endswith(IMG_EXTENSIONS):
                if not os.path.isfile(path):
                    raise DataError(f"{path} is no file, or a link to none")
                place = os.path.realpath(path) if os.path.islink(path) else os.path.join(real, name)
                once[place] = min(path, once.get(place, path), key=os.path.split)
        seen.add(real)
    return sorted(once.values(), key=os.path.split)


def listing(files: Iterable[tuple[str | Path, str]]) -> str:
    """A digest of the files' names, sizes and times of change, of what each is there, and of how they are read.

    files: paths, each with its half and class. Raises `DataError` where one is missing.
    """
    digest = hashlib.sha256(READING.encode())
    for path, what in files:
        try:
            found = os.stat(path)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from None
        name = "/".join(str(path).replace(os.sep, "/").rsplit("/", 3)[-3:])  # half/class/file
        digest.update(f"{what} {name} {found.st_size} {found.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class View:
    """How an image becomes an array (size, size, channels) of uint8.

    It is scaled to side × side: `exact`, it must have that size; `squash`, whatever its sides; `crop`, its central square.
    Then it is padded with black, or cropped, to size × size. channels: 1, grey, or 3, colours.
    """

    side: int
    size: int
    channels: int = 3
    fit: str = "exact"

    def read(self, path: str | Path) -> tuple[np.ndarray, int]:
        """The image's array, and its quality where it is a JPEG, else 0. Raises `DataError`, one line."""
        with opened(path) as image:
            tables = getattr(image, "quantization", None)
            quality = _jpeg_quality(next(iter(tables.values()))) if tables else 0
            whole = opaque(eight_bits(image, path)).convert("L" if self.channels == 1 else "RGB")
        if self.fit != "squash":  # as the camera was held; the sets that are squashed are read by others as they lie
            with suppress(Exception):  # a description of the image that cannot be read turns nothing
                ImageOps.exif_transpose(whole, in_place=True)
        square = (self.side, self.side)
        if self.fit == "crop":
            whole = ImageOps.fit(whole, square, Image.Resampling.BILINEAR)
        elif self.fit == "squash":
            whole = whole.resize(square, Image.Resampling.BILINEAR)
        elif whole.size != square:
            raise DataError(f"{path}: {whole.size[0]}×{whole.size[1]} pixels, expected {self.side}×{self.side}")
        pixels = np.asarray(whole).reshape(self.side, self.side, self.channels)
        return centred(pixels, self.size), quality


def centred(images: np.ndarray, size: int) -> np.ndarray:
    """Images (…, H, W, C) of equal sides padded with zeros, or cropped, to size × size around their centre."""
    missing = size - images.shape[-2]
    if missing < 0:
        first = -missing // 2
        return images[..., first : first + size, first : first + size, :]
    around = (missing // 2, missing - missing // 2)
    return np.pad(images, [(0, 0)] * (images.ndim - 3) + [around, around, (0, 0)]) if missing else images


@contextmanager
def opened(path: str | Path) -> Iterator[Image.Image]:
    """An image file, open. Whatever is wrong with it, here or while it is read, raises `DataError`, one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                yield image
    except (DataError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: too large an image: {one_line(error)}") from None
    except Exception as error:  # of whatever kind: a damaged image can raise any
        if isinstance(error, OSError) and error.strerror:  # of the file, not of what it holds
            raise DataError(f"{path}: {error.strerror}") from None
        raise DataError(f"{path}: damaged image: {one_line(error)}") from None


def eight_bits(image: Image.Image, path: str | Path) -> Image.Image:
    """The image with 8 bits a channel: of 16 bits, the upper ones, rounded. Raises `DataError` for 32 bits and fractions."""
    if image.mode != "I" and not image.mode.startswith("I;16"):
        if image.mode == "F":
            raise DataError(f"{path}: an image of fractions has no agreed scale; save it with 8 or 16 bits")
        return image
    pixels = np.asarray(image).astype(np.int64)
    if (image.mode == "I" and image.format not in ("PNG", "PPM")) or pixels.min() < 0 or pixels.max() > 65535:
        raise DataError(f"{path}: an image of 32 bits has no agreed scale; save it with 8 or 16 bits")
    return Image.fromarray(((pixels + 128) // 257).astype(np.uint8))


def opaque(image: Image.Image) -> Image.Image:
    """The image on white, where parts of it are transparent."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _jpeg_quality(table: list[int]) -> int:
    """The quality 1–100 whose luminance table (libjpeg's, from its first entry 16) starts as this file's does."""
    for quality in range(100, 0, -1):
        scale = 200 - 2 * quality if quality >= 50 else 5000 // quality
        if max(1, (16 * scale + 50) // 100) == table[0] and max(1, (99 * scale + 50) // 100) == table[-1]:
            return quality
    return 0

"""Which records are of one data set, and which image folders of the user's own a run can be on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import UserError

#: Fingerprints that records carry from when it was a hash of the images in their order, and those of the same sets now.
FORMER_FINGERPRINTS = {
    "6efd8f550fa0e06a": "316fa211c99623b2",  # cifar10, the lossless image folder
    "87860fa54caab6e7": "5ff1461f8bd1e4cd",  # fashion_mnist
    "934c07a9e814808a": "56eaaf3d33d1cef7",  # digits
}


def set_fingerprint(data: Mapping[str, Any]) -> str:
    """The fingerprint of the images and labels behind a record's `data`, in whatever order they came."""
    return FORMER_FINGERPRINTS.get(data["fingerprint"], data["fingerprint"])


def same_data(recorded: Any, now: Any) -> bool:
    """Whether a run recorded on one data set can go on with another: the same images, in the same order.

    recorded, now: `data` of two records. An older record has the hash of the order as its fingerprint.
    """
    if isinstance(recorded, Mapping) and isinstance(now, Mapping) and "order" in now and "order" not in recorded:
        now = {**{key: value for key, value in now.items() if key != "order"}, "fingerprint": now["order"]}
    return bool(recorded == now)


def folder_name(place: Path) -> str:
    """What a data set in this folder is recorded as."""
    return re.sub(r"[^\w.-]+", "_", place.name).strip("._-")


def own_folder(dataset: str, root: Path, named: tuple[str, ...]) -> tuple[str, str]:
    """The name and the place of an image folder of the user's own: `dataset` is a path, or a folder under the data root.

    Where there is none, `dataset` and "". Raises `UserError` where it is called as one of the `named` sets.
    """
    found = [place for place in (Path(dataset), root / dataset) if dataset and place.is_dir()]
    if not found:
        return dataset, ""
    place = found[0].resolve()
    name = folder_name(place)
    if not name or name.lower() in named:
        raise UserError(f"{place}: {name or 'the root'} is no name for a data set of your own; rename the folder, or give --data-root")
    return name, str(place)


def shorter_side(folder: Path) -> int:
    """Of the first image of a folder, in pixels; 0 where there is none to be read."""
    from PIL import Image

    for path in sorted((folder / "train" if (folder / "train").is_dir() else folder).glob("[!.]*/**/[!.]*.*")):
        with suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError), Image.open(path) as image:
            return min(image.size)
    return 0

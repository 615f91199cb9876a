"""The trained network of an evaluation: kept beside its record, loaded, asked about images, exported.

network = asap.load("scratch/cell-asap-digits-tiny-seed0")
network.classify(["three.png"])        # [{"3": 0.97, "8": 0.02, …}]
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError, one_line
from ..networks.derived import DerivedNetwork, Size
from ..paper.space import Genotype
from ..records.parameters import runs_root
from ..records.recorder import write_atomically
from ..records.run import RecordError, Run, run_folder
from .batches import ImageData
from .checkpoint import CheckpointError, read_tensors, write_tensors
from .imagenet import FolderData
from .images import View

WEIGHTS = "weights.pt"


class Classifier(nn.Module):
    """A trained network in eval mode, with its normalisation (`mean`, `deviation`, (1, C, 1, 1)), `class_names` and `view`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: DerivedNetwork, mean: Tensor, deviation: Tensor, class_names: Sequence[str], view: View) -> None:
        super().__init__()
        self.network, self.class_names, self.view = network, tuple(class_names), view
        self.register_buffer("mean", mean.view(1, -1, 1, 1))
        self.register_buffer("deviation", deviation.view(1, -1, 1, 1))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """The logits (B, classes) of images (B, C, size, size), float32 from 0 to 1."""
        logits: Tensor = self.network((images - self.mean) / self.deviation)[0]
        return logits

    def read(self, paths: Sequence[str | Path]) -> Tensor:
        """Image files as `forward` wants them, (B, C, size, size). Raises `DataError`, one line, for a file that is no image."""
        arrays = [torch.from_numpy(self.view.read(path)[0].copy()) for path in paths]
        return torch.stack(arrays).permute(0, 3, 1, 2).float() / 255

    @torch.no_grad()
    def classify(self, paths: str | Path | Sequence[str | Path]) -> list[dict[str, float]]:
        """For each image file, or for one, the probability of every class, the most probable first."""
        found = []
        for path in [paths] if isinstance(paths, str | Path) else paths:
            probabilities = self(self.read([path]).to(self.mean.device)).softmax(1)[0].tolist()
            found.append(dict(sorted(zip(self.class_names, probabilities, strict=True), key=lambda pair: -pair[1])))
        return found


def keep(folder: Path, network: nn.Module, size: Size, images: ImageData | FolderData) -> None:
    """Write the trained network beside its record, without its auxiliary head; `load` reads it. Raises OSError."""
    shape = {f.name: getattr(size, f.name) for f in dataclasses.fields(size) if f.name not in ("genotype", "auxiliary")}
    mean, deviation = images.statistics
    view, names = dataclasses.asdict(images.view), list(images.class_names)
    state = {"network": shape, "genotype": size.genotype.to_dict(), "classes": names, "view": view}
    tensors = {f"network/{name}": value for name, value in network.state_dict().items() if not name.startswith("auxiliary.")}
    write_tensors(folder / WEIGHTS, {**tensors, "mean": mean, "deviation": deviation}, state)


def load(run: str | Path, root: str = "") -> Classifier:
    """The trained network of a finished evaluation on the CPU: its folder, or study/run under the runs root.

    Raises `UserError`, one line, where there is none, or its weights were not kept or are damaged. Executes no code.
    """
    folder = run_folder(run, runs_root(root))
    if Run.open(folder).info["kind"] != "evaluation":
        raise RecordError(f"{folder} is no evaluation; a search's cell is trained by asap evaluate --run")
    path = folder / WEIGHTS
    if not path.is_file():
        raise RecordError(f"{path} is missing: weights stay where they were trained; to train anew, delete the run's folder")
    try:
        tensors, state = read_tensors(path)
    except CheckpointError:
        raise CheckpointError(f"{path} is damaged: delete the run's folder, and evaluate again") from None
    try:
        network = DerivedNetwork(Size(Genotype.from_dict(state["genotype"]), **state["network"]))
        network.load_state_dict({name.removeprefix("network/"): t for name, t in tensors.items() if name.startswith("network/")})
        view = View(**state["view"])
        view = dataclasses.replace(view, fit="crop") if view.fit == "exact" else view
        return Classifier(network, tensors["mean"], tensors["deviation"], state["classes"], view)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({one_line(error)}): delete the run's folder, and evaluate again") from None


def export(run: str | Path, path: str | Path, root: str = "") -> Path:
    """Write a trained network for other programs: by torch.export to PATH.pt2, or to PATH.onnx (needs onnx and onnxscript).

    It takes a batch of any size of images as `Classifier.forward` does, and gives the logits. Raises `UserError` as `load`.
    """
    path = Path(path)
    if path.suffix not in (".pt2", ".onnx"):
        raise UserError(f"{path}: the name of an exported network ends in .pt2 or .onnx")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"{path} is a folder" if path.is_dir() else f"cannot write under {path.parent}")
    network = load(run, root)
    view = network.view
    example, shapes = torch.zeros(2, view.channels, view.size, view.size), ({0: torch.export.Dim("batch")},)
    with torch.no_grad():
        program = torch.export.export(network, (example,), dynamic_shapes=shapes)
        if path.suffix == ".pt2":
            torch.export.save(program, content := io.BytesIO())
            try:
                write_atomically(path, content.getvalue())
            except OSError as error:
                raise UserError(f"cannot write {path}: {error.strerror or error}") from None
            return path
        try:
            import onnx  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise UserError(f"{error.name} is not installed; pip install onnx onnxscript") from None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own
            torch.onnx.export(
                program,
                (example,),
                str(path),
                dynamo=True,
                verbose=False,
                external_data=False,
                input_names=["images"],
                output_names=["logits"],
            )
    return path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `asap predict`."""
    parser.add_argument("--run", required=True, help="a finished evaluation: its folder, or study/run under the runs root")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="image files")
    parser.add_argument("--json", action="store_true", help="one JSON object: file → class → probability")
    parser.add_argument("--export", metavar="FILE", default="", help="write the network, of images from 0 to 1, to FILE.pt2 or FILE.onnx")
    parser.add_argument("--runs-root", default="", help="default: $ASAP_RUNS, else runs/")


def command(given: dict[str, Any]) -> int:
    """`asap predict`: print for each image its three most probable classes; returns the exit status."""
    if not given["images"] and not given["export"]:
        raise UserError("give image files to classify, or --export FILE")
    found = dict(zip(given["images"], load(given["run"], given["runs_root"]).classify(given["images"]), strict=True))
    if given["json"] and found:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        for name, classes in found.items():
            print(f"{name}: " + ", ".join(f"{label} {probability:.3f}" for label, probability in list(classes.items())[:3]))
    if given["export"]:
        print(export(given["run"], given["export"], given["runs_root"]), file=sys.stderr if given["json"] else sys.stdout)
    return 0

"""What a run leaves under runs/<study>/<run>/, read back as data frames; records/recorder.py writes it.

    run.json               kind, parameters, data set and its fingerprint, code, versions, hardware, times, status, outcome
    epochs.csv             one row an epoch
    architecture.parquet   a search: one row for each epoch, cell kind, edge and operation
    genotype.json          a search that finished: its cell
    test.json              an evaluation that finished: its test error, how many it got wrong of each class, and which images
    results.csv            a study of the theory: one row a simulation
    weights.pt             an evaluation that finished: its network; never committed
    checkpoint.pt          while it runs; deleted when it finishes, never committed

A run's status is `running`, `finished` or `failed`; only a finished one is a result. run.json of a finished run holds
a digest of itself and of the other files, so a damaged record is named and left out. Needs no torch.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import UserError, read_content, read_json
from ..paper.space import CELL_KINDS, EDGE_RULES, Genotype, genotype_by_rule
from .fields import shown
from .parameters import DATASETS

CHECKPOINT = "checkpoint.pt"


class RecordError(UserError):
    """A record that is missing, damaged, in use, or of other parameters."""


class MissingRecord(RecordError):
    """A folder that holds no record."""


def to_json(data: Any) -> bytes:
    """JSON with a line a key, and each innermost list on one line."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    return (re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda found: "[" + " ".join(found[1].split()) + "]", text) + "\n").encode()


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def own_digest(info: Mapping[str, Any]) -> str:
    return digest_of(to_json({key: value for key, value in info.items() if key != "digest"}))


#: What run.json holds at the least, and of which type.
_FORM: dict[str, Any] = {"kind": str, "study": str, "name": str, "status": str, "parameters": dict}
_OPTIONAL: dict[str, Any] = {"outcome": dict, "files": dict, "opened": list, "commits": list, "failures": list, "machine": dict}


def failures(info: Mapping[str, Any]) -> list[str]:
    """Why a run failed, each time, by its run.json."""
    return [*info.get("failures", []), *([info.get("reason", "unknown")] if info["status"] == "failed" else [])]


def read_info(folder: Path) -> dict[str, Any]:
    """run.json of a run's folder, checked. Raises `RecordError` where it is missing, damaged or tampered with."""
    path = folder / "run.json"
    try:
        info = read_json(path)
        if not isinstance(info, dict):
            raise ValueError("it is no record")
        for key, kind in (_FORM | {key: kind for key, kind in _OPTIONAL.items() if key in info}).items():
            if not isinstance(info.get(key), kind):
                raise ValueError(f"its {key} is {shown(info.get(key))}")
        if info["status"] not in ("running", "finished", "failed"):
            raise ValueError(f"its status is {shown(info['status'])}")
        if info["status"] == "finished" and info.get("digest") != own_digest(info):
            raise ValueError("its digest does not match")
        return info
    except FileNotFoundError:
        raise MissingRecord(f"{folder} holds no run (no run.json)") from None
    except ValueError as error:
        raise RecordError(f"{path} is damaged: {error}") from None


@dataclass(frozen=True)
class Run:
    """The reading side of one run. What it reads raises `RecordError` where a file is missing or damaged."""

    folder: Path
    info: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path, finished: bool = True) -> Run:
        """The run in this folder, its files checked against their digests.

        Raises `RecordError` where it is missing or damaged, or (`finished`) has not finished.
        """
        folder = Path(folder)
        info = read_info(folder)
        if finished and info["status"] != "finished":
            raise RecordError(f"{folder} did not finish: its status is {info['status']}")
        run = cls(folder, info)
        for name, digest in info.get("files", {}).items():
            try:
                same = Path(name).name == name and digest_of(run._content(name)) == digest
            except RecordError:
                same = False
            if not same:
                raise RecordError(f"{folder / name} is missing or differs from what the run wrote")
        return run

    def _content(self, name: str) -> bytes:
        try:
            return read_content(self.folder / name, 10**8)
        except OSError as error:
            raise RecordError(f"{self.folder / name} cannot be read: {error.strerror or error}") from None

    def _read(self, name: str, reader: Callable[[Any], Any]) -> Any:
        content = io.BytesIO(self._content(name))
        try:
            return reader(content)
        except (ValueError, TypeError, RecursionError) as error:
            raise RecordError(f"{self.folder / name} is damaged: {error}") from None

    @property
    def name(self) -> str:
        """study/run"""
        return f"{self.info['study']}/{self.info['name']}"

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.info["parameters"])

    @property
    def variant(self) -> str:
        """Which copy of its images the run saw; `name:FOLDER` where they are a folder of the user's own."""
        own = self.parameters["dataset"] not in DATASETS
        return ("name:" if own else "") + str(self.info["data"]["variant"])

    @property
    def outcome(self) -> dict[str, Any]:
        return dict(self.info.get("outcome", {}))

    def told(self) -> str:
        """What it came to, with what it warns of; of one that has not finished, how far it is, or why it failed."""
        known = {key: self.outcome[key] for key in ("test_error", "validation_accuracy", "epochs", "seconds") if key in self.outcome}
        said = [f"{key}={value:.6g}" for key, value in known.items()]
        if self.info["status"] != "finished" and (self.folder / "epochs.csv").is_file():
            said.append(f"{len(self.epochs())} of {self.parameters.get('epochs')} epochs")
        said += [f" warning: {self.outcome['warning']}"] if "warning" in self.outcome else []
        return " ".join(said + failures(self.info)[-1:] * (self.info["status"] == "failed"))

    def epochs(self) -> pd.DataFrame:
        """epochs.csv: one row an epoch."""
        return self._read("epochs.csv", pd.read_csv)

    def architecture(self) -> pd.DataFrame:
        """architecture.parquet: epoch, cell, edge, source, target, operation, alpha, phi, alive, and the α gradients' statistics."""
        return self._read("architecture.parquet", pd.read_parquet)

    def genotype(self, rule: str = "") -> Genotype:
        """The cell that the search ended in, or that the evaluation trained; by another of `space.EDGE_RULES` than its own, the
        cell that it would have given.

        Raises `RecordError` where the record does not tell that cell: the method sampled cells, or the rule needs Φ between epochs.
        """
        if self.info["kind"] == "evaluation":
            return Genotype.from_dict(self.info.get("genotype", {}))
        own = self.parameters.get("edge_rule", EDGE_RULES[0])
        if rule in ("", own):
            return Genotype.from_dict(self._read("genotype.json", json.load))
        if self.parameters["method"] in ("enas", "random") or rule not in ("alpha", "all_edges"):
            raise RecordError(f"{self.folder} does not tell the cell by the edge rule {rule!r}, only by its own, {own!r}")
        frame = self.architecture()
        last = frame[frame["epoch"] == frame["epoch"].max()]
        operations = last["operation"].drop_duplicates().tolist()
        phi, alpha = (
            {kind: last.loc[last["cell"] == kind, column].to_numpy().reshape(-1, len(operations)) for kind in CELL_KINDS}
            for column in ("phi", "alpha")
        )
        return genotype_by_rule(rule, operations, phi, alpha, nodes=self.parameters["nodes"])

    def results(self) -> pd.DataFrame:
        """results.csv of a study of the theory."""
        return self._read("results.csv", pd.read_csv)

    def test(self) -> dict[str, Any]:
        """test.json of an evaluation."""
        return dict(self._read("test.json", json.load))

    def wrong(self) -> np.ndarray | None:
        """Which test images an evaluation got wrong, (images,) bool, in the order of the set; None of an older record, without them.

        Raises `RecordError` where they are not as many as its test error says.
        """
        test = self.test() if (self.folder / "test.json").exists() else {}
        if "wrong" not in test:
            return None
        try:
            wrong = unpack(test["wrong"], test["test_images"])
            if abs(100 * wrong.mean() - test["test_error"]) > 1e-3:
                raise ValueError("the wrong images do not make its error")
        except (ValueError, TypeError) as error:
            raise RecordError(f"{self.folder / 'test.json'} is damaged: {error}") from None
        return wrong


def pack(flags: np.ndarray) -> str:
    """A text of booleans (n,): a bit each, in base64."""
    return base64.b64encode(np.packbits(flags).tobytes()).decode()


def unpack(text: str, count: int) -> np.ndarray:
    """The booleans (count,) of `pack`. Raises ValueError where the text is none."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text, validate=True), np.uint8), count=count).astype(bool)


def run_folder(name: str | Path, root: Path) -> Path:
    """Where a run is that a user names, by its folder or as study/run under a root."""
    return Path(name) if (Path(name) / "run.json").is_file() else root / name


def run_folders(root: Path) -> Iterator[Path]:
    """Every folder runs/<study>/<run>/ that holds a run.json or cannot be read, in order; none where there is no root.

    Raises `RecordError` where the root cannot be read.
    """
    try:
        studies = sorted(root.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise RecordError(f"cannot read {root}: {error.strerror}") from None
    for study in studies:
        if study.is_dir() and not os.access(study, os.R_OK | os.X_OK):
            yield study  # which is named as damaged
        for folder in sorted(study.glob("*/")):
            if os.path.lexists(folder / "run.json") or not os.access(folder, os.X_OK):
                yield folder


def under_runs(text: str, root: Path) -> str:
    """A message that begins with a path under a root, with `runs` in its place."""
    return re.sub(f"^{re.escape(str(root))}(?=/)", "runs", text)


def find_runs(root: Path) -> tuple[list[Run], list[str]]:
    """The finished runs under a root, and one line for each record left out.

    Unfinished runs are left out without a line: they are no results yet.
    """
    runs, problems = [], []
    for folder in run_folders(root):
        try:
            run = Run.open(folder, finished=False)
        except RecordError as error:
            problems.append(under_runs(str(error), root))
            continue
        if run.info["status"] == "finished":
            runs.append(run)
    return runs, problems

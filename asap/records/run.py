"""What a run leaves under runs/<study>/<run>/, written atomically and read back as data frames.

    run.json               kind, parameters, data set and its fingerprint, code, versions, hardware, times, status, outcome
    epochs.csv             one row an epoch
    architecture.parquet   a search: one row for each epoch, cell kind, edge and operation
    genotype.json          a search that finished: its cell
    test.json              an evaluation that finished: its test error
    results.csv            a study of the theory: one row a simulation
    checkpoint.pt while it runs; deleted when it finishes, never committed

A run's status is `running`, `finished` or `failed`; only a finished one is a result. run.json of a finished run holds
a digest of itself and of the other files, so a damaged record is named and left out. Knows neither torch nor methods.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import pandas as pd

from ..errors import UserError, read_content, read_json
from ..paper.space import CELL_KINDS, EDGE_RULES, Genotype, genotype_by_rule
from .fields import shown

CHECKPOINT = "checkpoint.pt"
TIME_COLUMNS = ("seconds_weights", "seconds_alpha", "seconds_measure", "seconds", "peak_memory_mb")


class RecordError(UserError):
    """A record that is missing, damaged, in use, or of other parameters."""


class MissingRecord(RecordError):
    """A folder that holds no record."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: to a temporary name beside it, then renamed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def parquet(frame: pd.DataFrame) -> bytes:
    """A frame as parquet; numbers with a fraction by their bytes' places, which compresses them by a third."""
    buffer = io.BytesIO()
    split = {str(name): "BYTE_STREAM_SPLIT" for name in frame.columns if frame[name].dtype.kind == "f"}
    others = [str(name) for name in frame.columns if name not in split]
    frame.to_parquet(
        buffer, index=False, engine="pyarrow", compression="zstd", compression_level=19, use_dictionary=others, column_encoding=split
    )
    return buffer.getvalue()


def _json(data: Any) -> bytes:
    """JSON with a line a key, and each innermost list on one line."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    return (re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda found: "[" + " ".join(found[1].split()) + "]", text) + "\n").encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _own_digest(info: Mapping[str, Any]) -> str:
    return _digest(_json({key: value for key, value in info.items() if key != "digest"}))


class Recorder:
    """The writing side of one run's folder. Holds a lock on it, so that no second process writes there."""

    def __init__(
        self,
        folder: Path,
        kind: str,
        identity: Mapping[str, Any],
        matches: Callable[[Mapping[str, Any]], bool] | None = None,
        **described: Any,
    ) -> None:
        """Open a new run, or go on with an unfinished one of the same identity; a finished one needs no right to write.

        matches: whether recorded parameters are those of this run; by default, whether they are equal.
        Raises `RecordError` where the folder holds a run of other parameters, data or genotype, is in use or cannot be written.
        """
        self.folder = folder
        self._lock = filelock.FileLock(folder / ".lock", timeout=0)  # which follows no link
        self.info = self._recorded(kind, identity, matches or dict(identity).__eq__, described)
        if self.finished:
            with contextlib.suppress(OSError):
                self.checkpoint.unlink(missing_ok=True)  # of a run that was killed just before it had
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self.info = self._recorded(kind, identity, matches or dict(identity).__eq__, described)  # another may have ended it meanwhile
            if not self.finished:
                for left in folder.glob(".*.part"):  # of a write that was killed
                    left.unlink(missing_ok=True)
                opened = [*self.info.get("opened", []), _now()]
                self.info |= {**described, "opened": opened, "started": opened[0], "status": "running"}
                self._write("run.json", _json(self.info))
        except BaseException as error:
            self.close()
            if isinstance(error, filelock.Timeout):
                raise RecordError(f"{folder} is in use by another process") from None
            if isinstance(error, OSError):
                raise RecordError(f"cannot write under {folder}: {error.strerror or error}") from None
            raise

    def _recorded(
        self, kind: str, identity: Mapping[str, Any], matches: Callable[[Mapping[str, Any]], bool], described: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What run.json holds, or what a new one begins with."""
        folder = self.folder
        try:
            info = read_info(folder)
        except MissingRecord:
            return {"format": 1, "kind": kind, "study": folder.parent.name, "name": folder.name, "parameters": dict(identity)}
        for key, value in (("kind", kind), ("data", described.get("data")), ("genotype", described.get("genotype"))):
            there, here = info.get(key), json.loads(json.dumps(value))
            if there != here:
                raise RecordError(f"{folder} holds a run of other {key}: {_difference(there, here)}")
        if not matches(info["parameters"]):
            raise RecordError(f"{folder} holds a run of other parameters: {_difference(info['parameters'], identity)}")
        return info

    @property
    def finished(self) -> bool:
        return self.info.get("status") == "finished"

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def _write(self, name: str, content: bytes) -> None:
        write_atomically(self.folder / name, content)

    def epochs(self, rows: list[dict[str, Any]]) -> None:
        """Write epochs.csv."""
        self._write("epochs.csv", pd.DataFrame(rows).to_csv(index=False).encode())

    def architecture(self, frame: pd.DataFrame) -> None:
        """Write architecture.parquet."""
        self._write("architecture.parquet", parquet(frame))

    def genotype(self, genotype: Genotype) -> None:
        """Write genotype.json."""
        self._write("genotype.json", _json(genotype.to_dict()))

    def test(self, result: Mapping[str, Any]) -> None:
        """Write test.json."""
        self._write("test.json", _json(dict(result)))

    def results(self, frame: pd.DataFrame) -> None:
        """Write results.csv, the table that a study of the theory leaves."""
        self._write("results.csv", frame.to_csv(index=False).encode())

    def finish(self, outcome: Mapping[str, Any]) -> None:
        """Close the record: from now on the run counts as a result."""
        files = {
            f.name: _digest(f.read_bytes())
            for f in sorted(self.folder.iterdir())
            if f.suffix in (".csv", ".parquet", ".json") and f.name != "run.json"
        }
        self.info |= {"ended": _now(), "status": "finished", "outcome": dict(outcome), "files": files}
        self.info["digest"] = _own_digest(self.info)
        self._write("run.json", _json(self.info))
        self.checkpoint.unlink(missing_ok=True)

    def fail(self, reason: str) -> None:
        """Say in the record that the run failed. It may be started again, and then goes on from its checkpoint."""
        self.info |= {"ended": _now(), "status": "failed", "reason": reason}
        with contextlib.suppress(OSError):  # a full disk may be the reason
            self._write("run.json", _json(self.info))

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()


@dataclass
class Follower:
    """What the other processes of a run hold in place of its `Recorder`: they write nothing."""

    folder: Path
    finished: bool

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def epochs(self, rows: list[dict[str, Any]]) -> None: ...

    def test(self, result: Mapping[str, Any]) -> None: ...

    def finish(self, outcome: Mapping[str, Any]) -> None: ...

    def fail(self, reason: str) -> None: ...

    def close(self) -> None: ...


def _difference(there: Any, here: Any, name: str = "") -> str:
    """Where two JSON values differ, in words; of lists, the first place."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        keys = [key for key in sorted({*there, *here}) if there.get(key) != here.get(key)]
        return ", ".join(_difference(there.get(key), here.get(key), key) for key in keys)
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here) and there != here:
        place = next(i for i, (a, b) in enumerate(zip(there, here, strict=True)) if a != b)
        return f"{name}[{place}] is {there[place]!r:.80} there, {here[place]!r:.80} here"
    return f"{name or 'it'} is {there!r:.80} there, {here!r:.80} here"


#: What run.json holds at the least, and of which type.
_FORM: dict[str, Any] = {"kind": str, "study": str, "name": str, "status": str, "parameters": dict}
_OPTIONAL: dict[str, Any] = {"outcome": dict, "files": dict, "opened": list, "machine": dict}


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
        if info["status"] == "finished" and info.get("digest") != _own_digest(info):
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
    def open(cls, folder: Path, finished: bool = True) -> Run:
        """The run in this folder, its files checked against their digests.

        Raises `RecordError` where it is missing or damaged, or (`finished`) has not finished.
        """
        info = read_info(folder)
        if finished and info["status"] != "finished":
            raise RecordError(f"{folder} did not finish: its status is {info['status']}")
        run = cls(folder, info)
        for name, digest in info.get("files", {}).items():
            try:
                same = Path(name).name == name and _digest(run._content(name)) == digest
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
        try:
            return reader(io.BytesIO(self._content(name)))
        except RecordError:
            raise
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
    def outcome(self) -> dict[str, Any]:
        return dict(self.info.get("outcome", {}))

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
        operations = last["operation"].iloc[: last.groupby(["cell", "edge"], observed=True).size().iloc[0]].tolist()
        by_kind = {kind: last[last["cell"] == kind] for kind in CELL_KINDS}
        phi, alpha = (
            {kind: part[column].to_numpy().reshape(-1, len(operations)) for kind, part in by_kind.items()} for column in ("phi", "alpha")
        )
        return genotype_by_rule(rule, operations, phi, alpha, nodes=self.parameters["nodes"])

    def results(self) -> pd.DataFrame:
        """results.csv of a study of the theory."""
        return self._read("results.csv", pd.read_csv)

    def test(self) -> dict[str, Any]:
        """test.json of an evaluation."""
        return dict(self._read("test.json", json.load))


def run_folders(root: Path) -> Iterator[Path]:
    """Every folder runs/<study>/<run>/ that holds a run.json, in order; none where there is no root.

    Raises `RecordError` where the root cannot be read.
    """
    try:
        studies = sorted(root.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise RecordError(f"cannot read {root}: {error.strerror}") from None
    for study in studies:
        yield from (path.parent for path in sorted(study.glob("*/run.json")))


def find_runs(root: Path, kind: str = "", **parameters: Any) -> tuple[list[Run], list[str]]:
    """The finished runs under a root, of one kind and with these parameters, and one line for each record left out.

    Unfinished runs are left out without a line: they are no results yet.
    """
    runs, problems = [], []
    for folder in run_folders(root):
        try:
            run = Run.open(folder, finished=False)
        except RecordError as error:
            problems.append(str(error).replace(str(root), "runs"))
            continue
        if run.info["status"] != "finished" or (kind and run.info["kind"] != kind):
            continue
        if all(run.info["parameters"].get(key) == value for key, value in parameters.items()):
            runs.append(run)
    return runs, problems

"""The writing side of a run's folder (records/run.py says what lies there): locked, each file whole or not at all."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import pandas as pd

from .data import same_data
from .run import CHECKPOINT, MissingRecord, RecordError, Run, digest_of, failures, own_digest, read_info, to_json


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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Recorder:
    """The record of a run that is being made. Holds a lock on its folder, so that no second process writes there."""

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

        def recorded() -> dict[str, Any]:
            named = {"format": 1, "kind": kind, "study": folder.parent.name, "name": folder.name}
            try:
                info = read_info(folder)
            except MissingRecord:
                if self.checkpoint.is_file():
                    raise RecordError(f"{folder} has a checkpoint without run.json: delete it, and the run begins anew") from None
                return {**named, "parameters": dict(identity)}
            for key, value in (("kind", kind), ("data", described.get("data")), ("genotype", described.get("genotype"))):
                there, here = info.get(key), json.loads(json.dumps(value))
                if not same_data(there, here):
                    raise RecordError(f"{folder} holds a run of other {key}: {difference(there, here)}")
            if not (matches or dict(identity).__eq__)(info["parameters"]):
                known = {name: value for name, value in info["parameters"].items() if name in identity}
                raise RecordError(f"{folder} holds a run of other parameters: {difference({**identity, **known}, dict(identity))}")
            if info["status"] == "finished":
                try:
                    return Run.open(folder).info
                except RecordError as error:
                    raise RecordError(f"{error}; delete the folder, and the run is made anew") from None
            history = {"failures": failures(info)}
            if self.checkpoint.is_file():  # without it the run begins anew, and what was trained before is no part of it
                history |= {key: info.get(key, []) for key in ("opened", "commits")}
            return {**named, "parameters": info["parameters"], **{key: of for key, of in history.items() if of}}  # all else is said anew

        self.info = recorded()
        if self.finished:
            return
        try:
            self._lock.acquire()  # makes the folder
            self.info = recorded()  # another process may have ended it meanwhile
            if not self.finished:
                opened = [*self.info.get("opened", []), _now()]
                commits = [*self.info.get("commits", []), described.get("machine", {}).get("git_commit", "unknown")]
                commits = ["unknown"] * (len(opened) - len(commits)) + commits  # of a run begun before they were kept
                self.info |= {**described, "opened": opened, "commits": commits, "started": opened[0], "status": "running"}
                self.write("run.json", self.info)
        except filelock.Timeout:
            raise RecordError(f"{folder} is in use by another process") from None
        except OSError as error:
            self.close()
            raise RecordError(f"cannot write under {folder}: {error.strerror or error}") from None
        except BaseException:
            self.close()
            raise

    @property
    def finished(self) -> bool:
        return self.info.get("status") == "finished"

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def write(self, name: str, what: Any) -> None:
        """Write a file of the run: JSON, or a frame or its rows as CSV or parquet, by the ending of its name."""
        if name.endswith(".json"):
            content = to_json(what)
        else:
            frame = pd.DataFrame(what)
            content = parquet(frame) if name.endswith(".parquet") else frame.to_csv(index=False).encode()
        write_atomically(self.folder / name, content)

    def finish(self, outcome: Mapping[str, Any]) -> None:
        """Close the record: from now on the run counts as a result."""
        written = [f for f in sorted(self.folder.iterdir()) if f.suffix in (".csv", ".parquet", ".json") and f.name != "run.json"]
        files = {f.name: digest_of(f.read_bytes()) for f in written}
        self.info |= {"ended": _now(), "status": "finished", "outcome": dict(outcome), "files": files}
        self.info["digest"] = own_digest(self.info)
        self.write("run.json", self.info)
        self.checkpoint.unlink(missing_ok=True)

    def fail(self, reason: str) -> None:
        """Say in the record that the run failed. It may be started again, and then goes on from its checkpoint."""
        self.info |= {"ended": _now(), "status": "failed", "reason": reason}
        self.write("run.json", self.info)

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()


class Follower(Recorder):
    """What the other processes of a run hold in place of its `Recorder`: it writes nothing."""

    def __init__(self, folder: Path, finished: bool) -> None:
        self.folder, self.info = folder, {"status": "finished" if finished else "running"}

    def write(self, name: str, what: Any) -> None: ...

    def finish(self, outcome: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


def difference(there: Any, here: Any, name: str = "it") -> str:
    """Where two JSON values differ, in words; of lists, the first place."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [key for key in sorted({*there, *here}) if there.get(key) != here.get(key)]
        return ", ".join(difference(there.get(key), here.get(key), key) for key in keys) or "it has others"
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here) and there != here:
        place = next(i for i, (a, b) in enumerate(zip(there, here, strict=True)) if a != b)
        name, there, here = f"{name}[{place}]", there[place], here[place]
    return f"{name} is {there!r:.80} there, {here!r:.80} here"

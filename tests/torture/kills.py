"""Runs that are killed, at a random moment or around a write, and given again: their records must be those of unkilled runs."""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from same import timeless

from asap.records.run import Run, find_runs
from asap.train import session
from asap.train.checkpoint import read_tensors

from .process import Answer, ask

TINY = ["--images", "64", "--batch", "16", "--threads", "1"]
SEARCH = ["search", *TINY, *["--epochs", "3", "--nodes", "1", "--temperature-decay", "0.6"]]
EVALUATION = ["evaluate", *TINY, *["--epochs", "2", "--layers", "3", "--channels", "4"]]


@dataclass
class Victim:
    """A run to be killed. every_step: whether it writes its checkpoint after every step, as a long one does every ten minutes."""

    name: str
    words: list[str]
    every_step: bool = False
    seconds: float = 0.0  # of the unkilled run
    moments: tuple[str, ...] = ()  # at which it can be killed, around its writes

    def ask(self, place: Path, kill_at: int = 0, kill_after: float = 0.0, told: Path | None = None) -> Answer:
        """Run it with its records under place/runs and its caches under place/data. kill_at: which of the moments; told: where all go."""
        roots = ["--runs-root", str(place / "runs"), "--data-root", str(place / "data")]
        return ask([*self.words, *roots], partial(_arm, self.every_step, kill_at, told), kill_after)


def victims(images: Path) -> list[Victim]:
    """The runs: of several methods, a search and its cell's evaluation, and one on an image folder, whose cache is written too."""
    own = ["--dataset", str(images), "--test-share", "0.25", "--images", "48"]
    return [
        Victim("a search by ASAP", SEARCH),
        Victim("one with a checkpoint a step", SEARCH, every_step=True),
        Victim("a search by ENAS", [*SEARCH, "--method", "enas"], every_step=True),
        Victim("a search with accumulated gradients", [*SEARCH, "--method", "accumulated", "--prune-start", "1", "--prune-end", "3"]),
        Victim("a search by DARTS, second order", [*SEARCH, "--method", "darts2", "--epochs", "2"]),
        Victim("a search on an image folder", [*SEARCH, *own]),
        Victim("an evaluation", [*EVALUATION, "--cell", "ASAP"]),
        Victim("one of a random cell with a checkpoint a step", [*EVALUATION, "--cell", "random-7"], every_step=True),
    ]


def _arm(every_step: bool, kill_at: int, told: Path | None) -> Callable[[], None]:
    """In the child: count the moments around every write, die at one of them; afterwards tell what they were."""
    if every_step:
        session.CHECKPOINT_SECONDS = -1
    said: list[str] = []

    def moment(what: str, path: Any) -> None:
        name = Path(path).name
        name = name.lstrip(".").rsplit(".", 2)[0] if name.endswith(".part") else name
        said.append(f"{what} {name if not name.endswith('.pt') or name in ('checkpoint.pt', 'weights.pt') else 'the cache'}")
        if len(said) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(module: Any, name: str, before: str, after: str) -> None:
        original = getattr(module, name)

        def call(*given: Any, **named: Any) -> Any:
            path = given[0] if given else ""
            if name == "fsync":
                path = os.readlink(f"/proc/self/fd/{path}") if os.path.exists("/proc/self/fd") else "a file"
            if before:
                moment(before, path)
            result = original(*given, **named)
            if after:
                moment(after, result[1] if name == "mkstemp" else given[1] if name == "replace" else path)
            return result

        setattr(module, name, call)

    class Halved(io.BufferedWriter):
        def write(self, content: Any) -> int:
            half = super().write(memoryview(content)[: len(content) // 2])
            self.flush()
            moment("in the midst of writing", os.readlink(f"/proc/self/fd/{self.fileno()}"))
            return half + super().write(memoryview(content)[half:])

    around(tempfile, "mkstemp", "", "with an empty file for")
    if os.path.exists("/proc/self/fd"):
        os.fdopen = lambda handle, mode: Halved(io.FileIO(handle, mode))
    around(os, "fsync", "", "with all written of")
    around(os, "replace", "before renaming", "after renaming")
    around(os, "unlink", "before deleting", "after deleting")
    return lambda: (told.write_text(json.dumps(said)), None)[1] if told else None


def folder_of(place: Path) -> Path:
    """The only run's folder under a place."""
    (found,) = place.glob("runs/*/*/")
    return found


def difference(whole: Run, killed: Run) -> str:
    """What differs between the records of two runs, times aside; "" where nothing does."""
    infos = [dict(run.info) for run in (whole, killed)]
    for info in infos:
        info["outcome"] = {key: value for key, value in info["outcome"].items() if key != "seconds"}
        info["files"] = {name: digest for name, digest in info["files"].items() if name != "epochs.csv"}  # which has times in it
        info["machine"] = {key: value for key, value in info["machine"].items() if key != "git_commit"}  # someone may commit meanwhile
        for key in ("started", "ended", "opened", "commits", "digest", "reason"):
            info.pop(key, None)
    for key in infos[0].keys() | infos[1].keys():
        if infos[0].get(key) != infos[1].get(key):
            return f"{key} of run.json is {infos[1].get(key)!r:.200}, not {infos[0].get(key)!r:.200}"
    if not timeless(whole).equals(timeless(killed)):
        return "epochs.csv differs"
    names = [{path.name for path in run.folder.iterdir()} - {".lock"} for run in (whole, killed)]
    if names[0] != names[1]:
        return f"the folder holds {sorted(names[1])}, not {sorted(names[0])}"
    if "weights.pt" in names[0]:
        (a, told), (b, tells) = (read_tensors(run.folder / "weights.pt") for run in (whole, killed))
        if told != tells or a.keys() != b.keys() or not all(a[name].equal(b[name]) for name in a):
            return "weights.pt differs"
    return ""


def half_done(place: Path, whole: Run) -> str:
    """What is wrong with the records after a kill: one that is damaged, or that counts as a result and is none."""
    runs, problems = find_runs(place / "runs")
    if problems:
        return problems[0]
    for run in runs:
        kept = {path: path.read_bytes() for path in run.folder.iterdir() if path.name.endswith((".part", "checkpoint.pt"))}
        for path in kept:
            path.unlink()
        found = difference(whole, run)
        for path, content in kept.items():
            path.write_bytes(content)
        if found:
            return f"it counts as finished, but {found}"
    return ""


def torture(number: int, rng: random.Random, scratch: Path, images: Path, half: int) -> Iterator[tuple[str, str]]:
    """So many kills, each as what was done and what was wrong ("": nothing); of a run that ended wrongly, its last one says so.

    half: of the victims, 0 or 1.
    """
    runs, wholes = victims(images)[half::2][: -(-number // 3)], {}
    for victim in runs:
        place, told = scratch / "whole" / victim.name, scratch / "moments.json"
        answer = victim.ask(place, told=told)
        if answer.status:
            yield f"{victim.name}, unkilled", f"it failed: {answer.lines[-1:]}"
            return
        victim.seconds, victim.moments = answer.seconds, tuple(json.loads(told.read_text()))
        wholes[victim.name] = Run.open(folder_of(place))
    # every kind of moment once before any comes twice
    at = [(victim, i + 1) for victim in runs for i in range(len(victim.moments))]
    rng.shuffle(at)
    seen: dict[str, int] = {}
    turns = []
    for victim, i in at:
        label = victim.moments[i - 1]
        seen[label] = seen.get(label, 0) + 1
        turns.append((seen[label], len(turns), victim, i))
    done = 0
    for count, (_, _, victim, i) in zip(itertools.count(), itertools.cycle(sorted(turns, key=lambda turn: turn[:2]))):
        if done >= number:
            return
        place = scratch / f"killed{count}"
        kills: list[dict[str, Any]] = [{"kill_at": i}, *({"kill_after": rng.uniform(0.02, 1) * victim.seconds} for _ in range(2))]
        if count % 3 == 2:  # the other way round: around a write of what goes on
            kills = [kills[1], {"kill_at": rng.randint(1, max(2, len(victim.moments) // 2))}]
        told: list[tuple[str, str]] = []
        for kill in kills:
            answer = victim.ask(place, **kill)
            if answer.status == -signal.SIGKILL:
                when = f"after {kill['kill_after']:.2f} s" if "kill_after" in kill else f"at write moment {kill['kill_at']}"
                told.append((f"{victim.name}, killed {when}", half_done(place, wholes[victim.name])))
            elif answer.status:
                told.append((f"{victim.name}, given again after a kill", f"exit status {answer.status}: {answer.lines[-1:]}"))
        answer = victim.ask(place)
        wrong = f"exit status {answer.status}: {answer.lines[-1:]}"
        if answer.status == 0:
            wrong = difference(wholes[victim.name], Run.open(folder_of(place)))
        if left := [path for path in place.rglob("*") if path.name.endswith(".part")]:
            wrong = wrong or f"{left[0]} is left"
        if wrong:
            last = told.pop() if told else (victim.name, "")
            told.append((last[0], last[1] or wrong))
        yield from told
        done += len(told)
        shutil.rmtree(place)

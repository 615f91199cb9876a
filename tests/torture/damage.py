"""Files that are damaged, or are another thing than they should be: named or refused, never believed, never executed."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asap.paper.space import published_cell
from asap.records.run import Run, find_runs, own_digest, to_json
from asap.report import display, results
from asap.train.checkpoint import read_tensors, write_tensors

from .kills import EVALUATION, SEARCH, difference
from .process import Answer, ask

HOSTILE = "<script>x</script> `b` **y** \x1b[31m\x07\u202e"
DEEP = b"[" * 100_000


@dataclass(frozen=True)
class Target:
    """A file of a kind, and what shows whether it is believed.

    judge: given the place and the file's path in it, what is wrong; "" where the file was refused, or the answer is that of the whole one.
    """

    name: str
    path: str
    judge: Callable[[Path, Path], str]
    digest: bool = True  # whether it is under one; where not, a changed value can pass for the user's own


def flipped(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(8 * len(content))
    return content[: place // 8] + bytes([content[place // 8] ^ 1 << place % 8]) + content[place // 8 + 1 :]


def zeroed(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content))
    return content[:start] + bytes(len(content[start : start + 512])) + content[start + 512 :]


def mistyped(value: Any, rng: random.Random) -> Any:
    """A JSON value in which one part, at whatever depth, is of another type."""
    if isinstance(value, dict | list) and value and rng.random() < 0.8:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(keys)
        copy: Any = value.copy()
        copy[key] = mistyped(value[key], rng)
        return copy
    return rng.choice([other for other in ("text", 7, -1.5, None, True, [], {}, [[1]], 10**400) if type(other) is not type(value)])


def retyped(path: Path, rng: random.Random) -> None:
    """One part of a file has another type; its digest, where it has one, is right."""
    if path.suffix == ".pt":
        tensors, state = read_tensors(path)
        if rng.random() < 0.3:
            tensors = dict(rng.sample(sorted(tensors.items()), len(tensors) // 2))
        write_tensors(path, {name: tensor.clone() for name, tensor in tensors.items()}, mistyped(state, rng))
    elif path.suffix == ".json":
        info = mistyped(json.loads(path.read_text()), rng)
        if isinstance(info, dict) and "digest" in info:
            info["digest"] = own_digest(info)
        path.write_bytes(to_json(info))
    else:
        path.write_text(json.dumps(mistyped({"epoch": [1]}, rng)))


def executable(path: Path, canary: Path) -> None:
    """A pickle that would make the canary, where a checkpoint keeps its own, or bare."""
    pickle = b"cos\nsystem\n(S'touch " + os.fsencode(canary) + b"'\ntR."
    if path.suffix != ".pt":
        path.write_bytes(pickle)
        return
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(buffer, "w") as copy:
        for name in whole.namelist():
            copy.writestr(name, pickle if name.endswith("data.pkl") else whole.read(name))
    path.write_bytes(buffer.getvalue())


def otherwise(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


#: What is done to a file; those of `CHANGED` may leave one that says another thing in the right form.
DAMAGES: dict[str, Callable[[Path, random.Random], Any]] = {
    "one bit flipped": lambda path, rng: path.write_bytes(flipped(path.read_bytes(), rng)),
    "512 bytes zeroed": lambda path, rng: path.write_bytes(zeroed(path.read_bytes(), rng)),
    "another type": retyped,
    "cut": lambda path, rng: path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)]),
    "empty": lambda path, rng: path.write_bytes(b""),
    "deep": lambda path, rng: path.write_bytes(DEEP),
    "a pickle": lambda path, rng: executable(path, path.parents[3] / "canary"),
    "control characters": lambda path, rng: path.write_text(json.dumps({HOSTILE: HOSTILE}, ensure_ascii=False)),
    "a FIFO": lambda path, rng: otherwise(path, os.mkfifo),
    "a link to zeros": lambda path, rng: otherwise(path, lambda place: place.symlink_to("/dev/zero")),
    "a link to itself": lambda path, rng: otherwise(path, lambda place: place.symlink_to(place.name)),
    "a link to nothing": lambda path, rng: otherwise(path, lambda place: place.symlink_to("no-such")),
    "a folder": lambda path, rng: otherwise(path, Path.mkdir),
}
CHANGED = ("one bit flipped", "512 bytes zeroed", "another type", "control characters")


class Torture:
    """The whole files, and the commands that read them."""

    def __init__(self, scratch: Path, images: Path) -> None:
        self.scratch, self.whole = scratch, scratch / "whole"
        own = ["--dataset", str(images), "--test-share", "0.25", "--images", "48"]
        self.search, self.evaluation, self.own = SEARCH, [*EVALUATION, "--cell", "ASAP"], [*SEARCH, *own]
        self.picture = str(next(images.glob("*/*.png")))
        (self.whole / "cells" / "a" / "b").mkdir(parents=True)
        (self.whole / "cells" / "a" / "b" / "cell.json").write_bytes(to_json(published_cell("ASAP").to_dict()))
        answers = [self.ask(self.whole, words) for words in (self.search, self.evaluation, self.own)]
        self.failed = next((f"the whole runs failed: {answer.lines[-1:]}" for answer in answers if answer.status), "")
        if self.failed:
            return
        searched, evaluated, owned = (Path(answer.out.split()[-1]).relative_to(self.whole) for answer in answers)
        self.runs = {str(path): Run.open(self.whole / path) for path in (searched, evaluated, owned)}
        cache = next(self.whole.glob("data/cache/*.pt")).relative_to(self.whole)
        # a run that has an epoch behind it and a step of the next, as if killed
        self.halted = scratch / "halted"
        self.ask(self.halted, [*self.search, "--minutes", "1e-6"])
        unfinished = searched.as_posix()
        self.predict = ["predict", "--run", evaluated.relative_to("runs").as_posix(), self.picture, "--json"]
        cell = "cells/a/b/cell.json"
        self.targets = [
            *(Target(f"{name} of a search", f"{searched}/{name}", self.listed) for name in
              ("run.json", "epochs.csv", "architecture.parquet", "genotype.json")),
            *(Target(f"{name} of an evaluation", f"{evaluated}/{name}", self.listed) for name in ("run.json", "test.json")),
            *(Target(f"{name} of an unfinished search", f"halted/{unfinished}/{name}", self.resumed) for name in
              ("run.json", "checkpoint.pt")),
            Target("trained weights", f"{evaluated}/weights.pt", self.same(self.predict)),
            Target("the cache of a data set", str(cache), self.cached),
            Target("a cell's file", cell, self.same(["cells", "--cell", cell, "--json"]), digest=False),
        ]  # fmt: skip

    def ask(self, place: Path, words: list[str]) -> Answer:
        words = [str(place / word) if word.startswith("cells/") else word for word in words]
        roots = [] if words[0] == "cells" else ["--runs-root", str(place / "runs")]
        roots += ["--data-root", str(place / "data")] if words[0] in ("search", "evaluate") else []
        return ask([*words, *roots])

    def listed(self, place: Path, path: Path) -> str:
        """A record: named as damaged by `asap runs`, and left out; or it says what the whole one says."""
        answer = self.ask(place, ["runs"])
        lines = answer.out.splitlines()
        if answer.status or answer.err or len(lines) != len(self.runs) or not all(line.isprintable() for line in lines):
            return f"asap runs: exit status {answer.status}, {lines!r:.300} {answer.lines[-1:]}"
        runs, problems = find_runs(place / "runs")
        damaged = [line for line in lines if line.startswith("damaged ")]
        if len(damaged) != len(problems) or not all(str(path.parent) in line for line in damaged):
            return f"not named: {problems!r:.300} {lines!r:.300}"
        if damaged and not any(path.parent.name in line for line in results.problems(place / "runs")):
            return f"the pages do not name it: {results.problems(place / 'runs')!r:.300}"
        for run in runs:
            if found := difference(self.runs[str(run.folder.relative_to(place))], run):
                return f"believed, but {found}"
        plot = ["plot", str(path.parent), "--output", str(place / "cell.svg")]
        return self.ask(place, plot).refused() if damaged and path.name == "genotype.json" else ""

    def resumed(self, place: Path, path: Path) -> str:
        """A file of an unfinished run: refused, and left as it lies; or the run ends as one that never stopped."""
        before = path.read_bytes() if path.is_file() else b""
        answer = self.ask(place, self.search)
        if answer.status == 0:
            return difference(self.runs[str(path.parent.relative_to(place))], Run.open(path.parent))
        if answer.status == 1 and path.suffix == ".pt":
            return answer.refused(1)  # its digest is right, or it is a folder and cannot be replaced: the run fails
        after = path.read_bytes() if path.is_file() else b""
        return answer.refused() or ("" if after == before else "it was refused and changed")

    def cached(self, place: Path, path: Path) -> str:
        """A cache: refused; or a run on it ends as one on the whole cache."""
        (own,) = [name for name in self.runs if "digits" not in name]
        shutil.rmtree(place / own)
        answer = self.ask(place, self.own)
        return difference(self.runs[own], Run.open(place / own)) if answer.status == 0 else answer.refused()

    def same(self, words: list[str]) -> Callable[[Path, Path], str]:
        """A judge: refused, or the same answer as from the whole file."""
        whole = self.ask(self.whole, words).out

        def judge(place: Path, path: Path) -> str:
            answer = self.ask(place, words)
            return "" if answer.status == 0 and answer.out == whole else answer.refused()

        return judge

    def markup(self, rng: random.Random) -> str:
        """A record with a right digest whose every text is hostile: nothing of it reaches a terminal or a page raw."""
        place = self.scratch / "markup"
        run = rng.choice(list(self.runs.values()))
        folder = place / "runs" / "scratch" / "a `b` <i>\x1b[31m"
        shutil.copytree(run.folder, folder)

        def hostile(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: hostile(part) for key, part in value.items()}
            return HOSTILE if isinstance(value, str) and rng.random() < 0.7 else value

        info = {**run.info, **{key: hostile(run.info[key]) for key in ("machine", "data", "parameters", "outcome")}, "name": folder.name}
        info["machine"] |= {"processor": HOSTILE, "device": "cpu"}
        info["digest"] = own_digest(info)
        (folder / "run.json").write_bytes(to_json(info))
        answer, told = self.ask(place, ["runs"]), Run.open(folder)
        page = display.provenance(told) + display.files(told) + "".join(map(display.escape, find_runs(place / "runs")[1]))
        shutil.rmtree(place)
        if answer.status or not all(line.isprintable() for line in answer.out.splitlines()):
            return f"asap runs: exit status {answer.status}, {answer.out!r:.300}"
        return f"raw on the page: {page!r:.300}" if any(part in page for part in ("<script", "`b`", "**y**", "<i>", "\x1b")) else ""


def torture(number: int, rng: random.Random, scratch: Path, images: Path) -> Iterator[tuple[str, str]]:
    """So many damaged files, each as what it was and what was wrong ("": nothing)."""
    all_ = Torture(scratch, images)
    if all_.failed:
        yield "before any damage", all_.failed
        return
    cases = [(t, name) for t in all_.targets for name in DAMAGES if t.digest or name not in CHANGED] + [(None, "markup")] * 3
    rng.shuffle(cases)
    seen: dict[str, int] = {}
    turns = []
    for target, name in cases:  # each file, and each damage, comes about as often
        count = max(seen.get(name, 0), seen.get(target.name if target else name, 0))
        turns.append((count, len(turns), target, name))
        seen[name] = seen[target.name if target else name] = count + 1
    for _, i, target, name in sorted(turns, key=lambda turn: turn[:2])[:number]:
        if target is None:
            yield name, all_.markup(rng)
            continue
        place = scratch / f"damaged{i}"
        shutil.copytree(all_.halted if target.path.startswith("halted/") else all_.whole, place)
        path = place / target.path.removeprefix("halted/")
        DAMAGES[name](path, rng)
        wrong = target.judge(place, path)
        canary = list(place.rglob("canary"))
        yield f"{target.name}: {name}", "it was executed" if canary else wrong
        shutil.rmtree(place)

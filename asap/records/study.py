"""Studies: which runs answer a question. A study is a file runs/studies/NAME.yaml; pages find their runs through it.

    title: one line
    runs:
      - kind: search                # or evaluation
        common: {dataset: cifar10, scale: cpu, seed: [0, 1, 2], study: methods}
        arms:
          ASAP: {method: asap}
          no pruning: {method: asap, threshold: 0}
      - kind: evaluation
        of: searches                # the cell of every search above, under its seed and beside it
        common: {dataset: cifar10, scale: cpu}
      - kind: evaluation
        common: {dataset: [cifar10, fashion_mnist], scale: cpu, study: cells}
        arms:
          random cells: [{cell: [random-0, random-1], seed: 0}, {cell: [random-2, random-3], seed: 1}]

Every value is a parameter of records/parameters.py, and a list is a grid. `dataset: shapes/mine` is an image folder of the user's own,
which need not be there to find its runs. Knows records, never torch.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from ..errors import UserError, one_line, read_content
from .data import folder_name, own_folder
from .fields import ParameterError, shown
from .parameters import DATASETS, EvaluationParameters, SearchParameters, checkout, data_root, make, run_name
from .run import MissingRecord, RecordError, Run, find_runs

MOST_RUNS = 10_000
KINDS = {"search": SearchParameters, "evaluation": EvaluationParameters}


class StudyError(UserError):
    """A study that is missing or does not make sense."""


@dataclass(frozen=True)
class Planned:
    """One run of a study. label: its arm."""

    label: str
    given: dict[str, Any]
    parameters: SearchParameters | EvaluationParameters

    @property
    def kind(self) -> str:
        return "search" if isinstance(self.parameters, SearchParameters) else "evaluation"

    @property
    def name(self) -> str:
        """study/run, where its record is or will be"""
        return f"{self.parameters.study}/{run_name(self.parameters)}"

    @property
    def needs(self) -> str:
        """The search, study/run, that must have finished before; or nothing."""
        return self.parameters.run if isinstance(self.parameters, EvaluationParameters) else ""

    def command(self, root: str = "") -> list[str]:
        """The words behind `asap` that run it. root: where it is recorded, if that is not the default."""
        options = [word for key, value in self.given.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        return ["search" if self.kind == "search" else "evaluate", *options, *(["--runs-root", root] if root else [])]

    def record(self, root: Path) -> Run | None:
        """Its record, finished or not; None where there is none. Raises `RecordError` where it is damaged or another's."""
        try:
            run = Run.open(root / self.name, finished=False)
        except MissingRecord:
            return None
        if not self.is_of(run):
            raise RecordError(f"{root / self.name} holds a run of other parameters than the study's")
        return run

    def is_of(self, run: Run) -> bool:
        """Whether a record is of this run. The images of a folder that is gone decided the stem and the cutout, where not given."""
        gone = self.parameters.folder and not Path(self.parameters.folder).is_dir()
        chosen = {"stem", "cutout"} - set(self.given) if gone else set()
        return run.info["kind"] == self.kind and set(self.parameters.differences(run.parameters)) <= chosen

    def finished(self, root: Path) -> Run | None:
        """Its record where it has finished; None where it has not, or is damaged."""
        try:
            run = self.record(root)
        except RecordError:
            return None
        return run if run is not None and run.info["status"] == "finished" else None


@dataclass(frozen=True)
class Study:
    name: str
    title: str
    planned: tuple[Planned, ...]

    @property
    def labels(self) -> list[str]:
        """The arms, in order."""
        return list(dict.fromkeys(p.label for p in self.planned))

    def runs(self, root: Path, kind: str, label: str | None = None) -> list[Run]:
        """The finished runs of a kind, of one arm or of all; a damaged record is left out."""
        planned = [p for p in self.planned if p.kind == kind and label in (None, p.label)]
        return [run for p in planned if (run := p.finished(root)) is not None]

    def left(self, root: Path) -> list[Planned]:
        """The runs that have not finished: searches first, and one of each arm in turn, so that what is recorded stays balanced."""
        places: dict[tuple[str, str], Iterator[int]] = defaultdict(itertools.count)
        turns = [(p.kind != "search", next(places[p.kind, p.label])) for p in self.planned]
        return [p for _, p in sorted(zip(turns, self.planned, strict=True), key=lambda pair: pair[0]) if p.finished(root) is None]

    def seconds(self, root: Path) -> dict[str, float | None]:
        """How long each run that is `left` will take, by name: what the finished runs most like it took, in the median."""
        times: dict[tuple[str, ...], list[float]] = {}
        for run in find_runs(root)[0]:
            if isinstance(run.outcome.get("seconds"), int | float):
                for like in _likenesses(run.info["kind"], run.parameters):
                    times.setdefault(like, []).append(run.outcome["seconds"])
        alike = {p.name: [times[like] for like in _likenesses(p.kind, p.parameters.identity()) if like in times] for p in self.left(root)}
        return {name: median(found[0]) if found else None for name, found in alike.items()}


def duration(left: Mapping[str, float | None]) -> str:
    """How long all the runs of `Study.seconds` will take, in words."""
    known = [seconds for seconds in left.values() if seconds is not None]
    unknown = f", {len(left) - len(known)} of unknown time" if len(left) > len(known) else ""
    return f"about {sum(known) / 3600:.1f} h one at a time{unknown}"


def _likenesses(kind: str, p: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """From the closest: what makes two runs take about the same time."""
    scale = (kind, str(p.get("scale")), str(p.get("precision")))
    search = (*scale, str(p.get("dataset")), str(p.get("method")))
    return [(*search, str(p.get("cell"))), search, scale]


def studies_root() -> Path:
    """The folder of the study files."""
    return checkout() / "runs" / "studies"


def names() -> list[str]:
    """The studies there are."""
    return sorted(path.stem for path in studies_root().glob("*.yaml"))


def load(name: str) -> Study:
    """The study of this name, or in this file. Raises `StudyError`, one line, where it is missing or makes no sense."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else studies_root() / f"{name}.yaml"
    try:
        content = yaml.load(read_content(path, 10**6).decode("utf-8"), _Loader)
    except FileNotFoundError:
        raise StudyError(f"there is no study {name!r}; known: {', '.join(names()) or 'none'}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else one_line(error)
        raise StudyError(f"{path}: {reason}") from None
    try:
        return plan(path.stem, content)
    except UserError as error:
        raise StudyError(f"{path}: {error}") from None


def plan(name: str, content: Mapping[str, Any]) -> Study:
    """The study of this name and content (as the YAML has it). Raises `UserError`, one line, where it makes no sense."""
    try:
        planned = tuple(itertools.islice(_planned(content), MOST_RUNS + 1))
        if set(content) != {"title", "runs"}:
            raise StudyError("a study has a title and runs, nothing else")
    except (KeyError, TypeError, AttributeError) as error:
        lacks = f"it lacks {error}" if isinstance(error, KeyError) else f"{error!r:.200}"
        raise StudyError(f"not a study: {lacks}") from None
    if len(planned) > MOST_RUNS:
        raise StudyError(f"more than {MOST_RUNS:,} runs")
    twice = [run for run, count in Counter(p.name for p in planned).items() if count > 1]
    if twice:
        raise StudyError(f"{twice[0]} is planned twice")
    return Study(name, str(content["title"]), planned)


class _Loader(yaml.SafeLoader):
    """Without aliases: a few lines of them can stand for more values than memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("a study has no aliases (*name)")
        return super().compose_node(parent, index)


def _planned(content: Mapping[str, Any]) -> Iterator[Planned]:
    searches: list[Planned] = []
    for group in content["runs"]:
        if extra := set(group) - {"kind", "common", "arms", "of"}:
            raise StudyError(f"unknown key {sorted(extra)[0]!r} of a group of runs; known: kind, common, arms, of")
        if group["kind"] not in KINDS:
            raise StudyError(f"kind must be search or evaluation, not {shown(group['kind'])}")
        common = group.get("common", {})
        if "of" in group:
            if group["of"] != "searches" or group["kind"] != "evaluation" or "arms" in group:
                raise StudyError("`of: searches` makes evaluations of the searches above, and takes no arms")
            if not searches:
                raise StudyError("`of: searches` stands before any search")
            for s in searches:
                beside = {"run": s.name, "seed": s.parameters.seed, "study": s.parameters.study}
                yield from (_one("evaluation", s.label, given) for given in grid({**beside, **common}))
            continue
        for label, arm in group["arms"].items():
            for part in arm if isinstance(arm, list) else [arm or {}]:
                for given in grid({**common, **part}):
                    planned = _one(group["kind"], label, given)
                    if planned.kind == "search":
                        searches.append(planned)
                    yield planned


def _one(kind: str, label: str, given: dict[str, Any]) -> Planned:
    if missing := {"scale", "dataset", "seed", "study"} - set(given):
        raise ParameterError(f"a study states {sorted(missing)[0]} of every run")
    dataset = str(given["dataset"])
    absent = "/" in dataset and not own_folder(dataset, data_root(str(given.get("data_root", ""))), DATASETS)[1]
    where = {"dataset": folder_name(Path(dataset)), "folder": dataset} if absent else {}
    return Planned(str(label), given, make(KINDS[kind], {**given, **where}))


def grid(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every combination of the values that are lists. Raises `StudyError` where they are over `MOST_RUNS`."""
    options = [value if isinstance(value, list) else [value] for value in given.values()]
    count = math.prod(map(len, options))
    if count > MOST_RUNS:
        raise StudyError(f"a grid of {count:,} runs; a study has at most {MOST_RUNS:,}")
    for values in itertools.product(*options):
        yield dict(zip(given, values, strict=True))

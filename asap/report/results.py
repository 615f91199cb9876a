"""Every recorded result as three tidy data frames, read once a build: `searches()`, `evaluations()`, `epochs()`.

They hold the finished runs of committed studies under a runs root (default: `runs_root()`). A damaged record is left out and named by
`problems()`; a run that has not ended is in `unfinished()` only. `python -m asap.report.results` writes the first two as
runs/results/searches.csv and evaluations.csv.

Columns of `searches()` and `evaluations()`, one row a run, ordered by run:

    run              study/name, the record's folder under runs/
    study, seed, scale, method, …   every parameter of the run under its own name, at its default where the record is older than it;
                     but for `run`, `cell` and `edge_rule` of an evaluation: see below
    arm_NAME         the run's arm in the study runs/studies/NAME.yaml, "" where that study does not plan it
    changed          the parameters that are not those of its method, scale and data set, joined by commas
    by_recipe        whether `changed` is empty
    variant, fingerprint   which copy of the images it saw, and their digest; `name:FOLDER` for a folder of the user's own
    copy             both in one text: only runs of one copy are ever compared
    parameters_36    millions of parameters of the derived cell at 36 channels and 20 cells (runs/sizes/cifar10.csv); nan if not computed
    epochs_run, seconds    epochs done; wall-clock seconds of the whole run
    device, processor, threads, clock, commit, torch, started, ended   hardware and software; clock: of the steps' seconds, `process`
                     (CPU time), `events` (GPU time) or `wall`
    clocked          whether the steps were timed by a clock that other processes do not disturb, and computed no certificates

of `searches()` alone:

    decided, undecided, edges    whether every edge has one operation left; how many have more, of how many in both cells
    operations, operations_left  in both cells, at the start and at the end
    parameters_left  of the supernet at the end
    accuracy         validation accuracy of the mixture at the end, %
    one_operation, derived       the same with one operation an edge, and of the derived cell, with the supernet's weights and BatchNorm's
                     statistics averaged anew over images augmented as in the search, %; nan of the first searches, which did not
                     record their cut, and of the next, which averaged over images as they are
    one_operation_as_is, derived_as_is   the same with the statistics as they were
    cut_images       the images that these statistics are averaged over: `augmented`, `as they are`, or "" without a cut
    step_minutes     minutes of the w and α steps by `clock`
    full_epoch_minutes   the median of an epoch in which α learns and nothing is pruned yet: a unit of the search's own process, in which
                     searches compare that were made on machines, or on days, of different speed
    full_epochs      step_minutes / full_epoch_minutes
    grace_epochs     epochs without an α step
    pruning_epochs, first_pruning    how many epochs pruned, and which was the first (nan: none)
    largest_fall     the largest fall of the validation accuracy in an epoch that pruned, points; nan: no such epoch
    entropy_normal, entropy_reduce   normalised, at the end

of `evaluations()` alone:

    cell             a published cell in lower case, random-SEED, or study/run of the search that derived it
    kind             published, random, searched, or own (of a file or a text)
    rule             the edge rule by which the cell was derived, "" for the search's own
    error            test error, %; standard_error: its binomial one, points; test_images, test_loss
    parameters, multiply_adds    of the network trained

Columns of `epochs()`, one row an epoch of a search: `run`, those of the record's epochs.csv, and

    left             operations left in both cells
    density          left over those of the start
    fall             of the validation accuracy since the epoch before, points (nan in the first)
    pruned           whether operations went in this epoch
    steps_seconds    of the w and α steps by the run's clock
    time             epoch over the last epoch
    entropy          the mean of both cells' normalised entropies
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from glob import escape, glob
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import UserError
from ..records import study as studies
from ..records.parameters import UNCOMMITTED, runs_root
from ..records.recorder import write_atomically
from ..records.run import RecordError, Run, failures, run_folders, under_runs
from . import rows

UNFINISHED = ("run", "kind", "method", "dataset", "scale", "seed", "status", "started", "epochs_run", "epochs", "failures")


def searches(root: Path | None = None) -> pd.DataFrame:
    """One row a finished search (a copy, free to change)."""
    return read(root).searches.copy()


def evaluations(root: Path | None = None) -> pd.DataFrame:
    """One row a finished evaluation (a copy, free to change)."""
    return read(root).evaluations.copy()


def epochs(root: Path | None = None, run: str = "") -> pd.DataFrame:
    """One row an epoch of every finished search, or of one (a copy, free to change)."""
    frame = read(root).epochs
    return (frame[frame["run"] == run].reset_index(drop=True) if run else frame).copy()


def problems(root: Path | None = None) -> list[str]:
    """One line for each record that was left out because it is damaged or not readable."""
    return list(read(root).problems)


def unfinished(root: Path | None = None) -> pd.DataFrame:
    """The runs of committed studies that have not ended: status is running or failed, epochs_run of at most epochs are recorded,
    failures: why it failed, each time."""
    return read(root).unfinished.copy()


def record(run: str, root: Path | None = None) -> Run:
    """The record of a row of `searches()` or `evaluations()`, for its files. run: its `run`. Raises KeyError of another."""
    return read(root).runs[run]


def score_table(name: str, root: Path | None = None) -> pd.DataFrame:
    """runs/scores/NAME.csv (others, short); without rows where `asap score --record` has not made it, or it is damaged."""
    try:
        return pd.read_csv((root or runs_root()) / "scores" / f"{name}.csv")
    except (OSError, ValueError):
        return pd.DataFrame(columns=["source", "method", "changed", "changed_edges"])  # which the pages select by


def wrong(root: Path, *groups: Iterable[str]) -> list[np.ndarray] | None:
    """Which test images each evaluation of each group got wrong, (runs, images) bool; None where a record lacks it, or the runs saw the
    images in different orders. groups: names of runs."""
    known = read(root).runs
    runs = [[known[run] for run in group] for group in groups]
    found = [[run.wrong() for run in group] for group in runs]
    orders = {run.info["data"].get("order") for group in runs for run in group}
    if len(orders) > 1 or any(flags is None for group in found for flags in group):
        return None
    return [np.array(group) for group in found]


def sizes(root: Path, network: str = "cifar10") -> dict[tuple[str, int], dict[str, float]]:
    """The sizes of cells that `asap cells --record` left under runs/sizes/, by cell and channels: parameters, multiply_adds
    and (imagenet) with_auxiliary, without_attention. network: cifar10 or imagenet.

    Raises `RecordError` where they are missing or damaged.
    """
    path = root / "sizes" / f"{network}.csv"
    try:
        found = pd.read_csv(path).to_dict("records")
        return {(str(row["cell"]), int(row["channels"])): {str(k): float(v) for k, v in row.items() if k != "cell"} for row in found}
    except (OSError, ValueError, KeyError):
        raise RecordError(f"runs/sizes/{network}.csv is missing or damaged; `asap cells --record` makes it") from None


def first_arm(frame: pd.DataFrame, *names: str) -> pd.Series:
    """The arm of each row in the first of these studies that plans it; "" where none does. ASAP with its certificates recorded is ASAP."""
    label = pd.Series("", index=frame.index, dtype=str)
    for study in names:
        label = label.where(label != "", frame[f"arm_{study}"])
    return label.replace("ASAP, by its threshold", "ASAP")


def once(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with their arm in `label`, less those of an ASAP search that another row is to the bit, without its certificates."""
    ordered = frame.sort_values("arm_certified", kind="stable")
    twice = ordered["label"].eq("ASAP") & ordered.duplicated(["label", "scale", "copy", "seed"])
    return frame[~frame.index.isin(ordered.index[twice])]


def arm(frame: pd.DataFrame, study: str, *labels: str) -> pd.DataFrame:
    """The rows of these arms of a study, or of all its arms, by arm in that order and by seed."""
    column, order = f"arm_{study}", list(labels or studies.load(study).labels)
    chosen = frame[frame[column].isin(order)]
    return chosen.assign(_place=chosen[column].map(order.index)).sort_values(["_place", "seed"], kind="stable").drop(columns="_place")


@dataclass(frozen=True, eq=False)
class Results:
    searches: pd.DataFrame
    evaluations: pd.DataFrame
    epochs: pd.DataFrame
    unfinished: pd.DataFrame
    problems: tuple[str, ...]
    runs: Mapping[str, Run]


def read(root: Path | None) -> Results:
    """The frames of a root, read anew when a file of a record, of a study, of the sizes or of the scores has changed."""
    place = Path(root or runs_root())
    found = [path for each in ("*/*/*", "sizes/*", "scores/*") for path in glob(f"{escape(str(place))}/{each}")]
    found += map(str, studies.studies_root().glob("*.yaml"))
    watched = [path for path in sorted(found) if path.endswith((".json", ".csv", ".parquet", ".yaml"))]
    stats = [(path, os.stat(path, follow_symlinks=os.path.exists(path))) for path in watched]
    return _frames(place, tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats))


@lru_cache(maxsize=4)
def _frames(root: Path, files: tuple[tuple[str, int, int], ...]) -> Results:
    names = studies.names()
    plans: dict[str, list[tuple[str, studies.Planned]]] = {}
    millions: dict[str, float] = {}
    lines: list[str] = []
    for study in names:
        try:
            for planned in studies.load(study).planned:
                plans.setdefault(planned.name, []).append((study, planned))
        except studies.StudyError as error:
            lines.append(f"study {study}: {str(error).partition(': ')[2]}")
    try:
        millions = {c if "/" in c else c.lower(): size["parameters"] / 1e6 for (c, width), size in sizes(root).items() if width == 36}
    except (RecordError, KeyError) as error:
        lines += [str(error)] if (root / "sizes" / "cifar10.csv").exists() else []
    found: dict[str, list[dict[str, Any]]] = {"search": [], "evaluation": [], "unfinished": []}
    runs: dict[str, Run] = {}
    courses: list[pd.DataFrame] = []
    for folder in run_folders(root):
        try:
            run = Run.open(folder, finished=False)
            kind = run.info["kind"]
            if run.info["study"] in UNCOMMITTED or kind not in rows.KINDS:
                continue
            if run.info["status"] != "finished":
                done = len(run.epochs()) if (folder / "epochs.csv").is_file() else 0
                here = {"run": run.name, "epochs_run": done, "failures": failures(run.info)}
                found["unfinished"].append({**run.parameters, **run.info, **here})
                continue
            arms = {study: p.label for study, p in plans.get(run.name, []) if p.is_of(run)}
            row = rows.described(run) | {f"arm_{study}": arms.get(study, "") for study in names}
            course = rows.course(run) if kind == "search" else pd.DataFrame()
            row |= rows.search(run, course) if kind == "search" else rows.evaluation(run)
            own = "" if row.get("rule") else row.get("cell", run.name)  # sizes are of the cells by the search's own rule
            row["parameters_36"] = millions.get(own, float("nan"))
        except (OSError, KeyError, ValueError, TypeError, UserError) as error:
            said = str(error) if isinstance(error, UserError) else f"{folder} is not readable ({error!r})"
            lines.append(under_runs(said, root))
            continue
        runs[run.name] = run
        found[kind].append(row)
        courses += [course] if kind == "search" else []
    search, evaluation = (rows.frame(kind, found[kind], names) for kind in rows.KINDS)
    columns = ["run", "epoch", *rows.COURSE]
    course = pd.concat(courses, ignore_index=True) if courses else pd.DataFrame(columns=columns, dtype=float).astype({"pruned": bool})
    return Results(search, evaluation, course, pd.DataFrame(found["unfinished"], columns=list(UNFINISHED)), tuple(lines), runs)


def flat(root: Path | None = None) -> dict[str, str]:
    """The content of runs/results/searches.csv and evaluations.csv, by name."""
    frames = {"searches.csv": searches(root), "evaluations.csv": evaluations(root)}
    return {name: frame.to_csv(index=False, float_format="%.10g") for name, frame in frames.items()}


if __name__ == "__main__":
    for name, content in flat().items():
        path = runs_root() / "results" / name
        write_atomically(path, content.encode())
        print(path)

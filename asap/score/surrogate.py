"""`asap score`: a judge of cells that trains none, a surrogate trained on NAS-Bench-301's labels.

NAS-Bench-301 labelled cells of this space with the validation accuracy, in per cent, that its own surrogate predicts for them.
A small model learns those labels from a cell's graph: the average of a ridge regression and of boosted trees. Its prediction is
the *score* of a cell. A score is no accuracy that anybody measured. validity.py has what the scores are worth.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..errors import UserError, one_line
from ..paper.space import CELL_KINDS, Edge, Genotype, cell_by_name, published_cells
from ..records.parameters import UNCOMMITTED, data_root, runs_root
from ..records.run import Run, find_runs, run_folder
from .features import CELL_WORDS, NODES, OPERATIONS, SurrogateError, check, features, identity, parameters

NAME = "surrogate trained on NAS-Bench-301's labels"
LABELS = tuple(f"reference/nb301/zc_nasbench301_{name}.json" for name in ("20220514_500", "20220518_725"))  # under the data root
LABELS_SOURCE = "github.com/automl/NASLib, commits 22280f7, 6639fd1 and 4e3528e"
TRAINED = "reference/yang2020/darts_random_214.csv"
TRAINED_SOURCE = "github.com/antoyang/NAS-Benchmark, commit c2758da, Plots/data"
ACCURACIES = {"final": "final_test_acc", "best": "best_test_acc"}
RIDGE = {"alpha": 300.0}
TREES = {"n_estimators": 2000, "max_depth": 2}  # with RIDGE the best of validity.CHOICES
TREES_ALWAYS = {"learning_rate": 0.05, "subsample": 0.5, "max_features": 0.2, "min_samples_leaf": 5, "random_state": 0}
REFERENCE = 1000  # a percentile is among the cells random-0 … random-999
ARM = range(1000, 1200)  # the random cells of the design, random-1000 … random-1199
USUAL = 99.5  # a cell extrapolates if it has more of an operation than this share of the labelled cells, in per cent


def parse_key(key: str) -> Genotype:
    """A cell from NAS-Bench-301's key: eight (input, operation) of the normal, then of the reduction cell, two a node in order.

    Raises `SurrogateError`, one line, where it is not such a key.
    """
    try:
        cells = {}
        for kind, cell in zip(CELL_KINDS, ast.literal_eval(key), strict=True):
            if len(cell) != 2 * len(NODES) or any(operation not in range(len(OPERATIONS)) for _, operation in cell):
                raise ValueError("eight edges with operations 0 to 6 are needed")
            cells[kind] = tuple(Edge(OPERATIONS[operation], source, NODES[i // 2]) for i, (source, operation) in enumerate(cell))
        genotype = Genotype(**cells, normal_concat=NODES, reduce_concat=NODES)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        raise SurrogateError(f"not a cell in NAS-Bench-301's format: {one_line(key)[:100]!r}") from None
    check(genotype, key)
    return genotype


def reference_file(root: Path, name: str, source: str) -> bytes:
    """A file of published evaluations. Raises `SurrogateError`, one line, where it cannot be read, with where it is published."""
    try:
        return (root / name).read_bytes()
    except OSError as error:
        raise SurrogateError(f"{root / name} is missing ({error.strerror}); it is published at {source}") from None


def read_labels(root: Path) -> tuple[list[Genotype], np.ndarray]:
    """The labelled cells under a data root and their labels (n,), in per cent; a network that is labelled twice has their mean.

    Raises `SurrogateError`, one line, where a file is missing or damaged.
    """
    cells: dict[Any, Genotype] = {}
    labels: dict[Any, list[float]] = {}
    for name in LABELS:
        content = reference_file(root, name, LABELS_SOURCE)
        try:
            data = json.loads(content)
            for key, row in data.get("nasbench301", data)["cifar10"].items():
                genotype, label = parse_key(key), float(row["val_accuracy"])
                if not 0 <= label <= 100:
                    raise ValueError(f"val_accuracy {label} is no percentage")
                cells.setdefault(identity(genotype), genotype)
                labels.setdefault(identity(genotype), []).append(label)
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise SurrogateError(f"{root / name} is damaged: {str(error) or type(error).__name__}") from None
    if len(cells) < 20:
        raise SurrogateError(f"{root / 'reference' / 'nb301'} has {len(cells)} labelled cells; at least 20 are needed")
    return list(cells.values()), np.array([np.mean(values) for values in labels.values()])


def read_trained(root: Path) -> tuple[list[Genotype], pd.DataFrame]:
    """The 214 fully trained cells, and by cell: index, final and best test accuracy in per cent.

    Raises `SurrogateError`, one line, where the file is missing or damaged.
    """
    content = reference_file(root, TRAINED, TRAINED_SOURCE)
    try:
        frame = pd.read_csv(io.BytesIO(content))
        cells = [_parse_trained(text) for text in frame["genotype"]]
        accuracies = pd.DataFrame({"index": frame["index"].astype(int), **{k: frame[c].astype(float) for k, c in ACCURACIES.items()}})
        if not np.isfinite(accuracies.to_numpy()).all() or len(cells) < 10:
            raise ValueError("10 cells or more with their accuracies are needed")
    except (KeyError, TypeError, ValueError) as error:
        raise SurrogateError(f"{root / TRAINED} is damaged: {one_line(error) or type(error).__name__}") from None
    return cells, accuracies


def _parse_trained(text: str) -> Genotype:
    """A cell as Yang et al. print it: DARTS' text, but with a list for each node, normal=[[(operation, input), (operation, input)], …]."""
    genotype = Genotype.from_darts(text.replace("[[", "[").replace("]]", "]").replace("], [", ", "))
    check(genotype, "a cell")
    return genotype


def ridge_regression(alpha: float) -> Any:
    """An unfitted ridge regression on standardized features."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), Ridge(alpha=alpha))


def boosted_trees(**chosen: Any) -> Any:
    """Unfitted boosted trees with a fixed seed."""
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(**TREES_ALWAYS, **chosen)


class Surrogate:
    """The model, fitted to labelled cells; the same cells give the same scores each time.

    cells: n genotypes that `check` accepts. labels: (n,), in per cent.
    """

    def __init__(self, cells: Sequence[Genotype], labels: np.ndarray) -> None:
        x = np.array([features(cell) for cell in cells])
        self.members = [model.fit(x, labels) for model in (ridge_regression(**RIDGE), boosted_trees(**TREES))]
        counts = [self._counts(cell) for cell in cells]
        #: By (kind of cell, or both; operation): how many of it is usual.
        self.limits = {key: math.floor(np.percentile([count[key] for count in counts], USUAL)) for key in counts[0]}
        self.best_label = float(labels.max())

    @staticmethod
    def _counts(genotype: Genotype) -> dict[tuple[str, str], int]:
        by_kind = {(k, o): sum(edge.operation == o for edge in genotype.cell(k)) for k in CELL_KINDS for o in OPERATIONS}
        return by_kind | {("both", o): sum(by_kind[kind, o] for kind in CELL_KINDS) for o in OPERATIONS}

    def scores(self, cells: Sequence[Genotype]) -> np.ndarray:
        """(n,): the labels predicted, in per cent; the same for two genotypes of the same network."""
        x = np.array([features(cell) for cell in cells])
        return np.asarray(np.mean([member.predict(x) for member in self.members], axis=0))

    @cached_property
    def reference(self) -> np.ndarray:
        """The sorted scores of the random cells that percentiles are among, (1000,)."""
        return np.sort(self.scores([cell_by_name(f"random-{seed}") for seed in range(REFERENCE)]))

    def extrapolation(self, genotype: Genotype, score: float) -> list[str]:
        """Why a score is extrapolated: more of an operation than in almost every labelled cell, or a score above every label."""
        counts = self._counts(genotype)
        words = {**{kind: f"the {word}" for kind, word in CELL_WORDS.items()}, "both": "both cells together"}
        reasons = [f"{counts[key]} {key[1]} in {words[key[0]]}" for key, limit in self.limits.items() if counts[key] > limit]
        return reasons + (["a score above every label"] if score > self.best_label else [])

    def rows(self, cells: Mapping[str, Genotype]) -> pd.DataFrame:
        """A row a cell: cell, score, percentile, extrapolates, parameters (at 36 channels), note. A cell that `check` refuses has
        no score, and the reason as its note."""
        columns = ["cell", "score", "percentile", "extrapolates", "parameters", "note"]
        rows: list[list[Any]] = []
        for name, genotype in cells.items():
            try:
                check(genotype, name)
            except SurrogateError as error:
                rows.append([name, None, None, None, None, str(error)])
                continue
            score = float(self.scores([genotype])[0])
            why = self.extrapolation(genotype, score)
            rank = float(stats.percentileofscore(self.reference, score, kind="mean"))
            rows.append([name, round(score, 4), round(rank, 2), bool(why), parameters(genotype), "; ".join(why)])
        return pd.DataFrame(rows, columns=columns, dtype=object)


def known_cells(root: Path) -> dict[str, dict[str, Genotype]]:
    """By kind (published, searched, random) and name: the published cells, those of the searches recorded under a root, and the
    random ones of the design and of recorded evaluations. A damaged record is named on standard error and left out."""
    runs, problems = find_runs(root)
    print("".join(f"left out, damaged: {line}\n" for line in problems), end="", file=sys.stderr)
    runs = [run for run in runs if run.info["study"] not in UNCOMMITTED]
    trained = [str(run.parameters.get("cell", "")).lower() for run in runs if run.info["kind"] == "evaluation"]
    seeds = {int(cell.removeprefix("random-")) for cell in trained if cell.removeprefix("random-").isdecimal()}
    return {
        "published": {name: cell["genotype"] for name, cell in published_cells().items()},
        "searched": {run.name: run.genotype() for run in runs if run.info["kind"] == "search"},
        "random": {f"random-{seed}": cell_by_name(f"random-{seed}") for seed in sorted(seeds | set(ARM))},
    }


def cell_of(name: str, root: Path) -> Genotype:
    """The cell that a user names: what `cell_by_name` takes, or a run, by its folder or as study/run under a root.

    Raises `UserError`, one line, where there is none, or it cannot be scored.
    """
    folder = run_folder(name, root)
    genotype = Run.open(folder).genotype() if (folder / "run.json").is_file() else cell_by_name(name)
    check(genotype, name)
    return genotype


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `asap score`."""
    about = "a run (a folder, or study/run), or what `asap evaluate --cell` takes; by default every cell that is known"
    parser.add_argument("cells", nargs="*", metavar="CELL|RUN", help=about)
    parser.add_argument("--json", action="store_true", help="one JSON object: name → score, percentile, extrapolates, parameters, note")
    parser.add_argument("--record", action="store_true", help="write every cell's score, and what scores are worth, under runs/scores/")
    parser.add_argument("--data-root", default="", help="where reference/ lies; default $ASAP_DATA, else data/")
    parser.add_argument("--runs-root", default="", help="where runs are recorded; default $ASAP_RUNS, else runs/")


def command(given: Mapping[str, Any]) -> int:
    """Run `asap score`; returns the exit status. Raises `UserError`, one line, for a bad cell or missing data."""
    root, data = runs_root(given["runs_root"]), data_root(given["data_root"])
    if given["record"]:
        from .validity import record

        if given["cells"]:
            raise UserError("--record writes the scores of every known cell; name no cells")
        print("\n".join(map(str, record(root, data))))
        return 0
    named = {name: cell_of(name, root) for name in given["cells"]}
    surrogate = Surrogate(*read_labels(data))
    frame = surrogate.rows(named or {name: cell for cells in known_cells(root).values() for name, cell in cells.items()})
    if given["json"]:
        rows = {row.pop("cell"): row for row in frame.to_dict("records")}
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return 0
    print(f"score by the {NAME}, a validation accuracy in per cent; percentile among {REFERENCE:,} random cells")
    for row in frame.to_dict("records"):
        figures = "      –       –" if row["score"] is None else f"{row['score']:7.3f} {row['percentile']:7.1f}"
        note = f"  extrapolates: {row['note']}" if row["extrapolates"] else f"  {row['note']}"
        print(f"{row['cell']:40} {figures}{note}".rstrip())
    return 0

"""The parameters of a search and of an evaluation; records/presets.py has what methods, scales and data sets set of them.

A parameter has one name, here, on the command line (`--initial-temperature`) and in the notebooks
(`initial_temperature`). A value comes, the later winning, from: the defaults below (the paper's), the method, the
scale, the data set (its recipe at paper scale, its needs at each), the caller. Each has default, reason and range on its own line.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ..paper.equations import EPOCH_SCHEDULES
from ..paper.space import EDGE_RULES, cell_label
from .data import folder_name, own_folder, shorter_side
from .fields import ParameterError, check, parameter, shown, typed
from .presets import DATASET_NEEDS, DATASET_RECIPES, FORMER_TINY, FREIBURG, METHOD_DEFAULTS, OTHER_RECIPE, SCALE_NAMES, SCALES

DATASETS = ("digits", "cifar10", "cifar100", "svhn", "fashion_mnist", "cinic10", *FREIBURG, "imagenet")
#: Studies that are no part of the repository: of runs that were given no study.
UNCOMMITTED = ("scratch",)
#: A longer name of a run is cut and closed by a hash. File systems allow 255 bytes; a sweep adds `.ipynb`.
LONGEST_NAME = 240
AROUND = Path(__file__).resolve().parents[2]  # the folder around the package


@dataclass(frozen=True)
class Common:
    dataset: str = parameter(
        "cifar10", f"{', '.join(DATASETS)}, under the data root; or the path of an image folder, recorded as its name", longest=4096
    )
    scale: str = parameter("tiny", "which values stand for those not given", choices=SCALE_NAMES)
    seed: int = parameter(0, "of every random stream", "[0, 1e18]")
    study: str = parameter("scratch", "the folder under runs/", longest=100)
    images: int = parameter(0, "training images used, drawn once by the seed; 0: all", "[0, 10000000]")
    folder: str = parameter("", "the image folder behind `dataset`, found from it", longest=4096, machine=True)
    image_size: int = parameter(0, "side to which an image folder's images are scaled and cropped; 0: they have one size", "[0, 4096]")
    test_share: float = parameter(0.0, "of each class of an image folder without a test half, what is tested on", "[0, 1)")
    flip: bool = parameter(True, "mirror training images at random")
    momentum: float = parameter(0.9, "of SGD (DARTS)", "[0, 1)")
    weight_decay: float = parameter(3e-4, "of the weights (DARTS)", "[0, ∞)")
    gradient_clip: float = parameter(5.0, "the largest norm of the weights' gradient (DARTS)", "(0, ∞)")
    precision: str = parameter("float32", "bf16: autocast, changes the numbers", choices=("float32", "bf16"))
    compile: bool = parameter(False, "torch.compile; changes the numbers by rounding")
    graphs: bool = parameter(True, "replay the steps as CUDA graphs; without effect on a CPU", machine=True)
    device: str = parameter("auto", "auto (CUDA where there is a device), cpu, cuda, cuda:1, …", machine=True)
    threads: int = parameter(0, "CPU threads; 0: as torch chooses", "[0, 1024]", machine=True)
    data_root: str = parameter("", "where data sets lie; default: $ASAP_DATA, else data/", longest=4096, machine=True)
    runs_root: str = parameter("", "where runs are recorded; default: $ASAP_RUNS, else runs/", longest=4096, machine=True)
    download: bool = parameter(False, "let torchvision fetch a data set that is missing", machine=True)
    minutes: float = parameter(
        0.0, "stop after these, with a checkpoint; several processes at an epoch's end; 0: no limit", "[0, ∞)", machine=True
    )

    #: What old records hold of the machine's, or of what no longer is a parameter.
    former: ClassVar[tuple[str, ...]] = ("graphs",)

    def identity(self) -> dict[str, Any]:
        """The parameters that make the experiment, without those of the machine."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if not f.metadata["machine"]}

    def differences(self, recorded: Mapping[str, Any]) -> list[str]:
        """The names in which a record's parameters are not these. One that it is too old to know counts as at its default."""
        own, missing = self.identity(), object()
        known = {f.name: f.default for f in dataclasses.fields(self) if f.name in own}
        known |= {name: value for name, value in recorded.items() if name not in self.former}
        return sorted(name for name in known if known[name] != own.get(name, missing))

    def matches(self, recorded: Mapping[str, Any]) -> bool:
        """Whether a record is of these parameters."""
        return not self.differences(recorded)

    def __post_init__(self) -> None:
        check(self)
        named = self.dataset in DATASETS
        if not named and not self.folder:
            close = difflib.get_close_matches(self.dataset.lower(), DATASETS, 1, 0.8)
            why = f"did you mean {close[0]}?" if close else "there is no such folder"
            raise ParameterError(f"dataset must be one of {', '.join(DATASETS)}, or an image folder, not {shown(self.dataset)} ({why})")
        own = not named and self.dataset == folder_name(Path(self.folder))
        self._agree("folder is found from dataset: give the folder's path to --dataset", own or not self.folder)
        self._agree(f"image_size must be 0 or at least 8, not {self.image_size}", not 0 < self.image_size < 8)
        self._agree(f"study must be a plain folder name, not {shown(self.study)}", self.study.replace("-", "").replace("_", "").isalnum())

    def _agree(self, message: str, holds: bool) -> None:
        if not holds:
            raise ParameterError(message)


@dataclass(frozen=True)
class SearchParameters(Common):
    """A search (3.1, 4.1). The defaults are the paper's own."""

    method: str = parameter("asap", "one file a method in asap/search/", choices=tuple(METHOD_DEFAULTS))
    nodes: int = parameter(4, "intermediate nodes of a cell (3.1)", "[1, 16]")
    channels: int = parameter(16, "of the first cell (4.1)", "[1, 4096]")
    layers: int = parameter(8, "cells; reductions at one and two thirds (4.1)", "[3, 200]")
    batch: int = parameter(96, "images a step (4.1)", "[1, 65536]")
    epochs: int = parameter(50, "at most; the search ends when every mixed operation is decided (4.1)", "[1, 100000]")
    learning_rate: float = parameter(0.025, "of w: cosine to learning_rate_min, per epoch (DARTS)", "(0, ∞)")
    learning_rate_min: float = parameter(0.001, "of w, at the last epoch (DARTS)", "[0, ∞)")
    alpha_learning_rate: float = parameter(1e-3, "6.2.1; 'exact settings from DARTS' would be 3e-4", "(0, ∞)")
    alpha_rate_factor: float = parameter(1.0, "what a scale with fewer α steps an epoch multiplies α's rate by", "(0, ∞)")
    alpha_weight_decay: float = parameter(1e-3, "of α (DARTS)", "[0, ∞)")
    alpha_init: float = parameter(0.0, "standard deviation of the initial α (Algorithm 1: 0)", "[0, ∞)")
    schedule: str = parameter(
        "exponential", "of the temperature: Eq. 9; theorem2: T and θ of Theorem 2, by α steps", choices=(*EPOCH_SCHEDULES, "theorem2")
    )
    initial_temperature: float = parameter(1.3, "T0 (4.1; 6.2.1 says 1.6)", "(0, ∞)")
    temperature_decay: float = parameter(0.95, "β, per epoch (4.1)", "(0, 1]")
    grace_temperature: float = parameter(1.0, "τ: α is not touched while T ≥ τ", "[0, ∞)")
    threshold: float = parameter(0.4, "θ = threshold/N (4.1)", "[0, 1)")
    threshold_operations: str = parameter(
        "fixed", "N of θ: the number of candidates, or of those that an edge has left", choices=("fixed", "left")
    )
    prune_every: str = parameter("step", "after every α step (Algorithm 1), or at an epoch's end", choices=("step", "epoch"))
    prune_rule: str = parameter(
        "threshold",
        "Φ < θ; certified: Theorem C's losers, but the last beside none; watched: Φ < θ, with the certificates recorded",
        choices=("threshold", "certified", "watched"),
    )
    candidates: str = parameter("paper", "the paper's seven operations (3.1), or DARTS' eight, with none", choices=("paper", "darts"))
    prune_start: int = parameter(20, "t0 of Eq. 13, an epoch: of magnitude and accumulated (4.4)", "[0, 100000]")
    prune_end: int = parameter(50, "E_f, the epoch at which an edge has one operation left; the paper says 50 to 70", "[1, 100000]")
    prune_power: float = parameter(3.0, "p of Eq. 13, 1 or 3 in the paper", "(0, 100]")
    prune_rounding: str = parameter(
        "down", "of Eq. 13's number of operations; down: one is left at E_f and no earlier", choices=("down", "nearest")
    )
    epochs_after: int = parameter(0, "epochs of training w after every edge is decided; the paper ends there (3.1)", "[0, 100000]")
    edge_rule: str = parameter("phi_before_last_pruning", "how 14 edges become 8; see the audit page", choices=EDGE_RULES)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._agree("imagenet can be evaluated on, not searched on", self.dataset != "imagenet")
        self._agree(f"schedule theorem2 is the method asap's, not {self.method}'s", self.schedule != "theorem2" or self.method == "asap")
        self._agree(
            f"prune_rule {self.prune_rule} is of the methods asap and darts, and not with the schedule theorem2",
            self.prune_rule == "threshold" or (self.method in ("asap", "darts") and self.schedule != "theorem2"),
        )
        drawn = self.method in ("enas", "random")
        self._agree(f"{self.method} draws cells of the paper's: candidates must be paper", not drawn or self.candidates == "paper")
        self._agree("learning_rate_min must not be above learning_rate", self.learning_rate_min <= self.learning_rate)
        self._agree("prune_end must be later than prune_start", self.prune_start < self.prune_end)


@dataclass(frozen=True)
class EvaluationParameters(Common):
    """The training and test of a derived network (4.2, 6.2.2). The defaults are the paper's for CIFAR-10."""

    run: str = parameter("", "the folder of a finished search whose cell is evaluated, or study/run under the runs root", longest=4096)
    cell: str = parameter(
        "", "instead: a published cell's name, random-SEED, a JSON file, a folder with genotype.json, or DARTS' text", longest=4096
    )
    edge_rule: str = parameter("", "which of the search's 14 edges: as it chose, or by another rule", choices=("", *EDGE_RULES))
    channels: int = parameter(36, "ASAP-Small; 44 and 50 are Medium and Large (4.2)", "[2, 4096]")
    layers: int = parameter(20, "18 normal cells and reductions at one and two thirds (4.2)", "[3, 200]")
    batch: int = parameter(128, "images a step (4.2)", "[1, 65536]")
    epochs: int = parameter(1500, "of training (4.2)", "[1, 100000]")
    learning_rate: float = parameter(0.025, "at the start, of rate_schedule", "(0, ∞)")
    rate_schedule: str = parameter(
        "power_cosine", "of the learning rate (6.2.2); cosine: DARTS'", choices=("power_cosine", "cosine", "one_cycle")
    )
    cycles: int = parameter(5, "of power_cosine (6.2.2)", "[1, 1000]")
    amplitude_decay: float = parameter(0.5, "of power_cosine, per cycle (6.2.2)", "(0, 1]")
    nesterov: bool = parameter(True, "Nesterov's momentum (6.2.2)")
    auxiliary_weight: float = parameter(0.4, "of the auxiliary head's loss; 0: no head", "[0, ∞)")
    drop_path: float = parameter(0.2, "probability at the last epoch, rising linearly", "[0, 1)")
    cutout: int = parameter(16, "side of the square; 0: none", "[0, 1024]")
    label_smoothing: float = parameter(0.1, "of the cross entropy", "[0, 1)")
    autoaugment: bool = parameter(True, "its CIFAR-10 policy; on ImageNet, its ImageNet policy")
    color: bool = parameter(False, "standard colour augmentation: brightness, contrast and saturation by 1 ± 0.4")
    stem: str = parameter("cifar", "imagenet: two stems that divide the side by 8", choices=("cifar", "imagenet"))
    squeeze_excitation: bool = parameter(False, "at the end of each cell")
    sync_batch_norm: bool = parameter(False, "several processes share BatchNorm's statistics, as if they were one")
    keep_weights: bool = parameter(True, "keep the trained network beside the record, for `asap predict`", machine=True)

    former: ClassVar[tuple[str, ...]] = ("graphs", "nodes")  # a cell has its own number of nodes

    def identity(self) -> dict[str, Any]:
        """As for every run; a cell of a file or a text by its label, since the record holds the genotype itself."""
        return {**super().identity(), "cell": cell_label(self.cell)}

    def differences(self, recorded: Mapping[str, Any]) -> list[str]:
        """As for every run; a cell has one name, however it is spelt in capitals."""
        same = str(recorded.get("cell")).lower() == cell_label(self.cell).lower()
        return [name for name in super().differences(recorded) if not (name == "cell" and same)]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._agree("give either run (a search's folder) or cell (a published cell's name)", bool(self.run) != bool(self.cell))
        self._agree("edge_rule chooses among the edges of a search; give run", bool(self.run) or not self.edge_rule)
        self._agree("dataset imagenet needs the stem imagenet", self.dataset != "imagenet" or self.stem == "imagenet")


P = TypeVar("P", bound=Common)


def make(kind: type[P], given: Mapping[str, Any]) -> P:
    """The validated parameters of a search or an evaluation from those given by name (values may be strings).

    Raises `ParameterError`, one line, for an unknown name (with the valid ones), an ill-typed value or a bad range.
    """
    searching = kind is SearchParameters
    other, which = (EvaluationParameters, "an evaluation") if searching else (SearchParameters, "a search")
    valid, others = ([f.name for f in dataclasses.fields(each)] for each in (kind, other))
    for name in given:
        if name in others and name not in valid:
            raise ParameterError(f"{name} is a parameter of {which}; valid: {', '.join(valid)}")
    values = typed(kind, given)
    scale = values.get("scale", "tiny")
    method = METHOD_DEFAULTS.get(values.get("method", "asap"), {}) if searching else {}
    dataset, folder = values.get("dataset", ""), values.get("folder", "")
    if dataset and dataset not in DATASETS and not folder:
        dataset, folder = own_folder(dataset, data_root(values.get("data_root", "")), DATASETS)
        values |= {"dataset": dataset, "folder": folder}
    needs = {name: value for name, value in DATASET_NEEDS.get(dataset, {}).items() if name in valid}
    if scale == "paper" and not searching:
        needs = DATASET_RECIPES.get(dataset, {}) | needs
    if folder:
        needs = {"images": 0} if searching else _needs_of_own(scale, values.get("image_size") or shorter_side(Path(folder)))
    return kind(**{**method, **SCALES["search" if searching else "evaluation"].get(scale, {}), **needs, **values})


def _needs_of_own(scale: str, side: int) -> dict[str, Any]:
    """What an evaluation on images of the user's own, of this side, changes of its scale: the paper's recipe for other sets (6.2.2),
    with a cutout of half the side, and the stem that suits the side."""
    recipe = {**OTHER_RECIPE, "cutout": side // 2} if scale == "paper" else {}
    return {**recipe, "images": 0, "stem": "imagenet" if side >= 128 else "cifar"}


def from_notebook(names: Mapping[str, Any]) -> dict[str, Any]:
    """The values given by a notebook's `globals()`: plain ones, those that papermill injected included, then `overrides`.

    None means: not given. Raises `ParameterError` where `overrides` is no dictionary.
    """
    plain = bool | int | float | str | list | tuple | dict
    given = {k: v for k, v in names.items() if not k.startswith("_") and isinstance(v, plain) and k not in ("In", "Out")}
    overrides = given.pop("overrides", {})
    if not isinstance(overrides, dict):
        raise ParameterError(f"overrides must be a dictionary of parameters, not {shown(overrides)}")
    return {name: value for name, value in {**given, **overrides}.items() if value is not None}


def run_name(p: SearchParameters | EvaluationParameters) -> str:
    """The folder of a run: what it is, and every parameter in which it differs from its scale and method.

    For example asap-cifar10-cpu-seed0-initial_temperature_1.6; one of over `LONGEST_NAME` bytes is cut, and ends in a hash of it all.
    """
    own, where = p.identity(), {"scale": p.scale, "dataset": p.dataset, "folder": p.folder, "image_size": p.image_size}
    if isinstance(p, SearchParameters):
        head, plain = p.method, make(SearchParameters, {"method": p.method, **where}).identity()
        if p.scale == "tiny" and FORMER_TINY.items() <= own.items():
            plain |= FORMER_TINY
    else:
        head = f"cell-{own['cell'].lower()}" if p.cell else "cell-of-" + p.run.replace("/", "-")
        plain = make(EvaluationParameters, {"cell": "any", **where}).identity()
    plain["image_size"] = 0
    named = {"method", "cell", "run", "dataset", "scale", "seed", "study"}
    other = {key: value for key, value in own.items() if key not in named and value != plain[key]}
    name = "-".join([head, p.dataset, p.scale, f"seed{p.seed}", *(f"{key}_{value}" for key, value in other.items())])
    whole = name.encode(errors="surrogatepass")
    if len(whole) <= LONGEST_NAME:
        return name
    return whole[: LONGEST_NAME - 17].decode(errors="ignore") + "-" + hashlib.sha256(whole).hexdigest()[:16]


def checkout() -> Path:
    """The folder that holds book/ and runs/: that of the checkout which this package is run from, else the current one."""
    return AROUND if (AROUND / "pyproject.toml").is_file() else Path.cwd()


def git_commit() -> str:
    """The checkout's commit, with `+changes` where package files differ from it; `unknown` outside a checkout."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(AROUND), *words], capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    if not all((AROUND / name).exists() for name in ("pyproject.toml", ".git")):  # else git would answer for a repository around it
        return "unknown"
    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", "asap") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def runs_root(given: str = "") -> Path:
    """Where runs are recorded: the parameter, else $ASAP_RUNS, else runs/ of the checkout, or of the current folder outside one."""
    return Path(given or os.environ.get("ASAP_RUNS") or checkout() / "runs")


def data_root(given: str = "") -> Path:
    """Where data sets lie: the parameter, else $ASAP_DATA, else data/ of the checkout, or of the current folder outside one."""
    return Path(given or os.environ.get("ASAP_DATA") or checkout() / "data")

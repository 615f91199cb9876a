"""The parameters of a search and of an evaluation; records/presets.py has what methods, scales and data sets set of them.

A parameter has one name, here, on the command line (`--initial-temperature`) and in the notebooks
(`initial_temperature`). A value comes, the later winning, from: the defaults below (the paper's), the method, the
scale, the data set's recipe (at paper scale), the caller.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UserError
from ..paper.equations import SCHEDULES
from ..paper.space import EDGE_RULES
from .presets import DATASET_NEEDS, DATASET_RECIPES, FREIBURG, METHOD_DEFAULTS, SCALE_NAMES, SCALES

DATASETS = ("digits", "cifar10", "cifar100", "svhn", "fashion_mnist", "cinic10", *FREIBURG, "imagenet")


class ParameterError(UserError):
    """A parameter that is unknown, ill-typed or out of range."""


def _machine(default: Any, **metadata: Any) -> Any:
    """A parameter of the machine, not of the experiment: it is no part of a run's identity."""
    return field(default=default, metadata={"machine": True, **metadata})


#: Studies that are no part of the repository: of runs that were given no study, and of the tiny reproduction.
UNCOMMITTED = ("scratch", "live")


@dataclass(frozen=True)
class Common:
    dataset: str = "cifar10"
    scale: str = "tiny"
    seed: int = 0
    study: str = "scratch"  # the folder under runs/
    images: int = 0  # training images used, drawn once by the seed; 0 means all
    nodes: int = 4  # intermediate nodes of a cell
    momentum: float = 0.9
    weight_decay: float = 3e-4
    gradient_clip: float = 5.0  # the norm
    precision: str = "float32"  # or bf16: autocast, changes the numbers
    compile: bool = False  # torch.compile, changes the numbers by rounding
    graphs: bool = False  # replay the steps as CUDA graphs; without effect on a CPU
    device: str = _machine("auto")  # auto, cpu, cuda, cuda:1, …
    threads: int = _machine(0)  # CPU threads; 0 leaves torch's choice
    data_root: str = _machine("")  # default: $ASAP_DATA, else data/
    runs_root: str = _machine("")  # default: $ASAP_RUNS, else runs/ of the checkout
    download: bool = _machine(False)  # let torchvision fetch a data set that is missing
    minutes: float = _machine(0.0)  # stop at the end of an epoch after which the next would not fit; 0: no limit

    def identity(self) -> dict[str, Any]:
        """The parameters that make the experiment, without those of the machine."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if not f.metadata.get("machine")}

    def matches(self, recorded: Mapping[str, Any]) -> bool:
        """Whether a record is of these parameters. One that it is too old to know counts as at its default."""
        known = {f.name: f.default for f in dataclasses.fields(self) if f.name in self.identity()}
        return {**known, **recorded} == self.identity()

    def _check(self, conditions: Mapping[str, bool]) -> None:
        for message, good in conditions.items():
            if not good:
                raise ParameterError(message)

    def __post_init__(self) -> None:
        self._check(
            {
                f"dataset must be one of {', '.join(DATASETS)}, not {self.dataset!r}": self.dataset in DATASETS,
                f"scale must be one of {', '.join(SCALE_NAMES)}, not {self.scale!r}": self.scale in SCALE_NAMES,
                f"study must be a plain folder name, not {self.study!r}": self.study.replace("-", "").replace("_", "").isalnum(),
                f"precision must be float32 or bf16, not {self.precision!r}": self.precision in ("float32", "bf16"),
                "seed, images, threads and minutes must not be negative": min(self.seed, self.images, self.threads, self.minutes) >= 0,
                "nodes must be at least 1": self.nodes >= 1,
                "momentum must lie in [0, 1)": 0 <= self.momentum < 1,
                "weight_decay must not be negative": self.weight_decay >= 0,
                "gradient_clip must be positive": self.gradient_clip > 0,
            }
        )


@dataclass(frozen=True)
class SearchParameters(Common):
    """A search (3.1, 4.1). The defaults are the paper's own."""

    method: str = "asap"
    channels: int = 16  # of the first cell
    layers: int = 8  # cells; reductions at one and two thirds
    batch: int = 96  # 4.1
    epochs: int = 50  # at most; the search ends when every mixed operation is decided
    learning_rate: float = 0.025  # of w: cosine to learning_rate_min, per epoch (DARTS)
    learning_rate_min: float = 0.001
    alpha_learning_rate: float = 1e-3  # 6.2.1; "exact settings from DARTS" would be 3e-4
    alpha_rate_factor: float = 1.0  # what a scale with fewer α steps an epoch multiplies the rate by
    alpha_weight_decay: float = 1e-3  # DARTS
    alpha_init: float = 0.0  # standard deviation of the initial α (Algorithm 1: 0)
    schedule: str = "exponential"  # Eq. 9; or theorem2: T and θ of Theorem 2, by α steps
    initial_temperature: float = 1.3  # T0, 4.1; 6.2.1 says 1.6
    temperature_decay: float = 0.95  # β, per epoch
    grace_temperature: float = 1.0  # τ: α is not touched while T ≥ τ
    threshold: float = 0.4  # θ = threshold/N
    threshold_operations: str = "fixed"  # N of θ: `fixed` is the number of candidates, `left` those an edge has left
    prune_every: str = "step"  # `step`: after every α step (Algorithm 1); `epoch`: at its end
    candidates: str = "paper"  # the paper's seven operations, or `darts`: eight, with none
    prune_start: int = 20  # t0 of Eq. 13, an epoch: magnitude and accumulated-gradient pruning (4.4)
    prune_end: int = 50  # E_f, the epoch at which one operation an edge is left; the paper says 50 to 70
    prune_power: float = 3.0  # p, 1 or 3
    prune_rounding: str = "down"  # of Eq. 13's number of operations: one is left at E_f and no earlier; or `nearest`
    edge_rule: str = "phi_before_last_pruning"  # how 14 edges become 8; see the audit page

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(
            {
                "imagenet can be evaluated on, not searched on": self.dataset != "imagenet",
                f"method must be one of {', '.join(METHOD_DEFAULTS)}, not {self.method!r}": self.method in METHOD_DEFAULTS,
                "channels, batch and epochs must be at least 1": min(self.channels, self.batch, self.epochs) >= 1,
                "layers must be at least 3": self.layers >= 3,
                "learning rates must be positive": min(self.learning_rate, self.alpha_learning_rate, self.alpha_rate_factor) > 0,
                "learning_rate_min must lie in [0, learning_rate]": 0 <= self.learning_rate_min <= self.learning_rate,
                "alpha_weight_decay and alpha_init must not be negative": min(self.alpha_weight_decay, self.alpha_init) >= 0,
                f"schedule must be one of {', '.join(SCHEDULES)} or theorem2, not {self.schedule!r}": self.schedule
                in (*SCHEDULES, "theorem2"),
                f"schedule theorem2 is the method asap's, not {self.method}'s": self.schedule != "theorem2" or self.method == "asap",
                "initial_temperature must be positive": self.initial_temperature > 0,
                "temperature_decay must lie in (0, 1]": 0 < self.temperature_decay <= 1,
                "threshold must lie in [0, 1)": 0 <= self.threshold < 1,
                "threshold_operations must be fixed or left": self.threshold_operations in ("fixed", "left"),
                "prune_every must be step or epoch": self.prune_every in ("step", "epoch"),
                "candidates must be paper or darts": self.candidates in ("paper", "darts"),
                "prune_start must not be negative, and prune_end later": 0 <= self.prune_start < self.prune_end,
                "prune_power must be positive": self.prune_power > 0,
                "prune_rounding must be down or nearest": self.prune_rounding in ("down", "nearest"),
                f"edge_rule must be one of {', '.join(EDGE_RULES)}, not {self.edge_rule!r}": self.edge_rule in EDGE_RULES,
            }
        )


@dataclass(frozen=True)
class EvaluationParameters(Common):
    """The training and test of a derived network (4.2, 6.2.2). The defaults are the paper's for CIFAR-10."""

    run: str = ""  # the folder of a finished search whose cell is evaluated, or …
    cell: str = ""  # … the name of a published cell, or random-SEED
    edge_rule: str = ""  # of the search's 14 edges: as it chose them itself, or by another of its edge rules
    channels: int = 36  # ASAP-Small; 44 and 50 are Medium and Large
    layers: int = 20  # 18 normal cells and reductions at one and two thirds
    batch: int = 128
    epochs: int = 1500
    learning_rate: float = 0.025
    rate_schedule: str = "power_cosine"  # or cosine (DARTS), one_cycle
    cycles: int = 5
    amplitude_decay: float = 0.5  # per cycle
    nesterov: bool = True
    auxiliary_weight: float = 0.4  # 0: no auxiliary head
    drop_path: float = 0.2  # probability at the last epoch, rising linearly
    cutout: int = 16  # side of the square; 0: none
    label_smoothing: float = 0.1
    autoaugment: bool = True  # its CIFAR-10 policy; on ImageNet, its ImageNet policy
    color: bool = False  # standard colour augmentation: brightness, contrast and saturation by 1 ± 0.4
    flip: bool = True  # mirror images at random
    stem: str = "cifar"  # or imagenet: two stems that divide the side by 8
    squeeze_excitation: bool = False  # at the end of each cell
    sync_batch_norm: bool = False  # several processes share BatchNorm's statistics, as if they were one

    def __post_init__(self) -> None:
        super().__post_init__()
        schedules = ("power_cosine", "cosine", "one_cycle")
        self._check(
            {
                "give either run (a search's folder) or cell (a published cell's name)": bool(self.run) != bool(self.cell),
                f"edge_rule must be one of {', '.join(EDGE_RULES)}, or empty, not {self.edge_rule!r}": self.edge_rule in ("", *EDGE_RULES),
                "edge_rule chooses among the edges of a search; give run": bool(self.run) or not self.edge_rule,
                "channels, batch, epochs and cycles must be at least 1": min(self.channels, self.batch, self.epochs, self.cycles) >= 1,
                "layers must be at least 3": self.layers >= 3,
                "learning_rate must be positive": self.learning_rate > 0,
                f"rate_schedule must be one of {', '.join(schedules)}, not {self.rate_schedule!r}": self.rate_schedule in schedules,
                "amplitude_decay must lie in (0, 1]": 0 < self.amplitude_decay <= 1,
                f"stem must be cifar or imagenet, not {self.stem!r}": self.stem in ("cifar", "imagenet"),
                "dataset imagenet needs the stem imagenet": self.dataset != "imagenet" or self.stem == "imagenet",
                "auxiliary_weight and cutout must not be negative": min(self.auxiliary_weight, self.cutout) >= 0,
                "drop_path and label_smoothing must lie in [0, 1)": 0 <= self.drop_path < 1 and 0 <= self.label_smoothing < 1,
            }
        )


P = TypeVar("P", bound=Common)


def make(kind: type[P], given: Mapping[str, Any]) -> P:
    """The validated parameters of a search or an evaluation from those given by name (values may be strings).

    Raises `ParameterError`, one line, for an unknown name (with the valid ones), an ill-typed value or a bad range.
    """
    values = typed(kind, given)
    scale = values.get("scale", "tiny")
    if scale not in SCALE_NAMES:
        raise ParameterError(f"scale must be one of {', '.join(SCALE_NAMES)}, not {scale!r}")
    searching = kind is SearchParameters
    method = METHOD_DEFAULTS.get(values.get("method", "asap"), {}) if searching else {}
    dataset = values.get("dataset", "")
    needs = {} if searching else {**(DATASET_RECIPES.get(dataset, {}) if scale == "paper" else {}), **DATASET_NEEDS.get(dataset, {})}
    return kind(**{**method, **SCALES["search" if searching else "evaluation"][scale], **needs, **values})


def run_name(p: SearchParameters | EvaluationParameters) -> str:
    """The folder of a run: what it is, and every parameter in which it differs from its scale and method.

    For example asap-cifar10-cpu-seed0-initial_temperature_1.6.
    """
    if isinstance(p, SearchParameters):
        head = p.method
        plain = make(SearchParameters, {"method": p.method, "scale": p.scale}).identity()
    else:
        head = f"cell-{p.cell.lower()}" if p.cell else "cell-of-" + p.run.replace("/", "-")
        plain = make(EvaluationParameters, {"cell": "any", "scale": p.scale, "dataset": p.dataset}).identity()
    named = {"method", "cell", "run", "dataset", "scale", "seed", "study"}
    other = {key: value for key, value in p.identity().items() if key not in named and value != plain[key]}
    return "-".join([head, p.dataset, p.scale, f"seed{p.seed}", *(f"{key}_{value}" for key, value in other.items())])


def typed(kind: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values given for the fields of a dataclass, by name and of its types (from strings too).

    Raises `ParameterError`, one line, for an unknown name (with the valid ones) or an ill-typed value.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in given:
        if name not in fields:
            close = difflib.get_close_matches(name, fields, 1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise ParameterError(f"unknown parameter {name!r}{hint}; valid: {', '.join(fields)}")
    return {name: _convert(name, str(fields[name].type), value) for name, value in given.items()}


def _convert(name: str, type_name: str, value: Any) -> Any:
    wanted = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}[type_name]
    error = ParameterError(f"parameter {name} must be {wanted}, not {value!r}")
    if type_name == "bool":
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if isinstance(value, bool):
            return value
        raise error
    if isinstance(value, bool) or not isinstance(value, int | float | str | os.PathLike):
        raise error
    if type_name == "str":
        if not isinstance(value, str | os.PathLike):
            raise error
        return str(value)
    try:
        number = float(value)  # type: ignore[arg-type]
        if type_name == "int" and number != int(number):
            raise error
    except (ValueError, OverflowError, TypeError):
        raise error from None
    if number != number or number in (float("inf"), float("-inf")):
        raise error
    return int(value) if type_name == "int" else number  # type: ignore[arg-type]


def checkout() -> Path:
    """The folder that holds book/ and runs/: that of the checkout that this package is installed from (`pip install -e .`)."""
    return Path(__file__).resolve().parents[2]


def runs_root(given: str = "") -> Path:
    """Where runs are recorded: the parameter, else $ASAP_RUNS, else runs/ of the checkout."""
    return Path(given or os.environ.get("ASAP_RUNS") or checkout() / "runs")


def data_root(given: str = "") -> Path:
    """Where data sets lie: the parameter, else $ASAP_DATA, else data/ of the checkout."""
    return Path(given or os.environ.get("ASAP_DATA") or checkout() / "data")

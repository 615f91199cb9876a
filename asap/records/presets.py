"""The values that methods, the three scales and data sets set: data, which `parameters.make` puts together."""

from __future__ import annotations

from typing import Any

SCALE_NAMES = ("tiny", "cpu", "paper")
FREIBURG = ("freiburg", *(f"freiburg-{fold}" for fold in range(1, 5)))  # its five published splits

#: What a method changes of the defaults.
_DARTS = {"schedule": "constant", "initial_temperature": 1.0, "alpha_learning_rate": 3e-4, "alpha_init": 1e-3}
METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "asap": {},
    "darts": {**_DARTS, "candidates": "darts"},  # first order
    "darts2": {**_DARTS, "candidates": "darts"},  # second order
    "magnitude": _DARTS,
    "accumulated": _DARTS,
    # the controller's rate in the published code; its α is the controller's weights
    "enas": {"alpha_learning_rate": 3.5e-3, "alpha_weight_decay": 0.0},
    "random": {},
}

#: A parameter's name here, and what users of other code call it.
OTHER_NAMES = {
    "learning_rate": "lr base_lr max_lr",
    "learning_rate_min": "lr_min min_lr",
    "alpha_learning_rate": "arch_learning_rate arch_lr",
    "alpha_weight_decay": "arch_weight_decay",
    "weight_decay": "wd",
    "gradient_clip": "grad_clip clip",
    "rate_schedule": "scheduler lr_scheduler",
    "batch": "batch_size bs",
    "images": "train_portion subset",
    "channels": "init_channels width",
    "layers": "num_cells cells depth",
    "nodes": "steps",
    "cell": "arch model",
    "drop_path": "drop_path_prob dropout",
    "auxiliary_weight": "auxiliary",
    "initial_temperature": "tau_max t0",
    "threshold": "theta",
    "device": "gpu gpus cuda",
    "threads": "workers num_workers cpus",
    "precision": "amp fp16 bf16",
    "data_root": "data data_dir data_path",
    "runs_root": "save save_dir output_dir log_dir",
    "study": "exp experiment tag",
    "minutes": "timeout time_limit",
}

# fmt: off
SCALES: dict[str, dict[str, dict[str, Any]]] = {
    "search": {
        # A quarter of a minute, on scikit-learn's digits: every step of a search, to its own end. An epoch has five α steps, so α
        # is fast and the temperature falls fast.
        "tiny": {
            "dataset": "digits", "channels": 4, "layers": 3, "nodes": 4, "images": 320, "batch": 32, "epochs": 12, "threads": 1,
            "alpha_rate_factor": 90.0, "temperature_decay": 0.75, "prune_start": 4, "prune_end": 11,
        },
        # A real search on CIFAR-10 in about an hour on one core. 2,500 + 2,500 images make 78 α steps an epoch
        # where the paper has 260; α's rate is raised in that proportion, so that α moves as far in an epoch.
        "cpu": {"channels": 8, "layers": 5, "images": 5000, "batch": 32, "alpha_rate_factor": 260 / 78, "threads": 1},
        "paper": {},
    },
    "evaluation": {
        # Seconds, on the digits.
        "tiny": {
            "dataset": "digits", "channels": 8, "layers": 4, "batch": 64, "epochs": 6, "learning_rate": 0.05, "threads": 1,
            "rate_schedule": "one_cycle", "cutout": 2, "drop_path": 0.0, "autoaugment": False,
        },
        # A short recipe that ranks cells: a one-cycle rate, and no regularisation that a short training cannot use.
        "cpu": {
            "channels": 16, "layers": 8, "batch": 64, "epochs": 5, "learning_rate": 0.1, "rate_schedule": "one_cycle", "threads": 1,
            "drop_path": 0.0, "cutout": 0, "label_smoothing": 0.0, "auxiliary_weight": 0.0, "autoaugment": False,
        },
        "paper": {},
    },
}

#: What a tiny search was when those of the study `precision` were recorded. A run of these values is named as they were.
FORMER_TINY: dict[str, Any] = {
    "images": 640, "epochs": 14, "alpha_rate_factor": 40.0, "temperature_decay": 0.8, "prune_start": 5, "prune_end": 13,
}  # fmt: skip
#: What the paper's recipe changes on a data set (6.2.2), at paper scale.
OTHER_RECIPE = {"epochs": 600, "autoaugment": False, "color": True}
DATASET_RECIPES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("cifar100", "svhn", "fashion_mnist", *FREIBURG), OTHER_RECIPE),
    "cinic10": {**OTHER_RECIPE, "epochs": 400},
    "imagenet": {
        "channels": 50, "layers": 14, "batch": 256, "epochs": 250, "learning_rate": 0.2, "rate_schedule": "cosine", "weight_decay": 1e-4,
        "drop_path": 0.0, "squeeze_excitation": True,
    },
}
# fmt: on
#: What a data set needs at every scale.
DATASET_NEEDS: dict[str, dict[str, Any]] = {
    "svhn": {"flip": False},  # a mirrored digit is none; the paper does not say. `digits` are mirrored, as those recorded were
    "imagenet": {"stem": "imagenet", "cutout": 0},
}

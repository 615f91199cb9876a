"""Records of planned runs that nothing trained, for tests of what is made of records."""

import pandas as pd

from asap.paper.space import published_cell
from asap.records.recorder import Recorder
from asap.records.run import pack
from asap.report.design import LOSSLESS

MACHINE = {"device": "cpu", "processor": "none", "git_commit": "0" * 40, "torch": "none", "threads": 1, "clock": "process"}


def images(outcome):
    """Which images a record is of: those of no set, or of the variant that the outcome names; `cifar10` are the lossless ones."""
    variant = outcome.pop("variant", "posed")
    return {"variant": variant, "fingerprint": LOSSLESS.split()[1] if variant == "cifar10" else "0", "shape": [3, 32, 32]}


def pose(root, planned, error, wrong=None, **outcome):
    """A finished record of a planned evaluation with this test error in per cent. wrong: which images (images,) make it."""
    data = images(outcome)
    described = {"data": data, "machine": MACHINE, "genotype": published_cell("ASAP").to_dict()}
    recorder = Recorder(root / planned.name, "evaluation", planned.parameters.identity(), **described)
    if wrong is not None:
        recorder.write("test.json", {"test_error": error, "test_images": len(wrong), "wrong": pack(wrong)})
    recorder.finish({"test_error": error, "test_images": 10_000, "parameters": 1_000_000, "seconds": 1.0, **outcome})
    recorder.close()


def pose_search(root, planned, epochs=None, **outcome):
    """A finished record of a planned search that nothing trained: of two epochs that prune nothing, or of these columns of epochs.csv.
    phi: of the last epoch, a row an edge."""
    size = len(next(iter(epochs.values()))) if epochs else 2
    course = {
        "epoch": range(1, size + 1), "validation_accuracy": 0.6, "operations_normal": 98, "operations_reduce": 98, "alpha_steps": 78,
        "entropy_normal": 0.9, "entropy_reduce": 0.9, "seconds_weights": 60.0, "seconds_alpha": 60.0, **(epochs or {}),
    }  # fmt: skip
    data = images(outcome)
    machine = {**MACHINE, **outcome.pop("machine", {})}
    recorder = Recorder(root / planned.name, "search", planned.parameters.identity(), data=data, machine=machine)
    recorder.write("epochs.csv", pd.DataFrame(course).to_dict("records"))
    phi = outcome.pop("phi", [[0.5, 0.45]])
    rows = [("normal", edge, size, str(o), value) for edge, row in enumerate(phi) for o, value in enumerate(row)]
    recorder.write("architecture.parquet", pd.DataFrame(rows, columns=["cell", "edge", "epoch", "operation", "phi"]))
    undecided, left = {"normal": 0, "reduce": 0}, {"normal": 14, "reduce": 14}
    plain = {"epochs": size, "decided": True, "undecided_edges": undecided, "operations_left": left, "parameters_left": 1, "seconds": 60.0}
    if "cut" in outcome:
        outcome.setdefault("cut_images", "augmented")
    recorder.finish({**plain, "validation_accuracy": 0.6, **outcome})
    recorder.close()


def cut(one_operation, derived):
    """What a search's outcome says of its cut, from accuracies in per cent."""
    return {
        "operations": {"accuracy": 0.1, "recalibrated": one_operation / 100},
        "genotype": {"accuracy": 0.1, "recalibrated": derived / 100},
    }

"""The pages that compare the methods (4.4, 4.5): Figures 6 and 7 and Table 3, from the runs of the study `methods`. Needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

import pandas as pd

from ..records.parameters import runs_root
from ..records.run import RecordError, Run
from ..records.study import Study, load
from . import figures, tables
from .inference import pair
from .pages import against, copy_note, missing, problems, records, say, show
from .verdicts import like_for_like

STUDY = "methods"
THEOREM = "ASAP, Theorem 2's schedule"
#: The arms that the paper's Figures 6 and 7 show; the study's others are drawn beside them.
PRINTED = ("ENAS", "DARTS", "ASAP", "Accumulated gradient, p = 1", "Accumulated gradient, p = 3")
#: The study's arms behind a row of Table 3; the paper does not say which p its rows have.
TABLE3 = {
    "DARTS(2st)": ("DARTS, second order", "DARTS", "DARTS, without none"),
    "Magnitude prune": ("Magnitude, p = 1", "Magnitude, p = 3"),
    "Accum-Grad prune": ("Accumulated gradient, p = 1", "Accumulated gradient, p = 3"),
    "ASAP-Small": ("ASAP",),
    "": (
        "Random search",
        "Random cells",
        "ENAS",
        THEOREM,
        "ASAP, annealing without pruning",
        "ASAP, pruning without annealing",
    ),
}


def _found(kind: str) -> tuple[Study, dict[str, list[Run]]]:
    """The study, and the finished runs of each arm that has one."""
    problems()
    study = load(STUDY)
    found = {label: study.runs(runs_root(), kind, label) for label in study.labels}
    return study, {label: runs for label, runs in found.items() if runs}


def _left(study: Study, found: dict[str, list[Run]], kind: str) -> None:
    """Say which of the study's runs of a kind are not recorded."""
    planned = Counter(p.label for p in study.planned if p.kind == kind)
    counts = {label: (len(found.get(label, [])), of) for label, of in planned.items()}
    lines = [f"{label} ({n} of {of})" for label, (n, of) in counts.items() if n < of]
    if lines:
        say(
            f":::{{note}}\nNot all runs of the study are recorded. {kind.capitalize()} runs finished of those planned: {'; '.join(lines)}. "
            f"`asap study {STUDY} --commands` prints what makes the others.\n:::"
        )


def panels(found: dict[str, list[Run]]) -> list[dict[str, list[Run]]]:
    """The arms that the paper's figures show, and the others; a panel without a run is left out."""
    both = {k: found[k] for k in PRINTED if k in found}, {k: v for k, v in found.items() if k not in PRINTED}
    return [panel for panel in both if panel]


def figure6() -> None:
    """Figure 6: validation accuracy along the search, with the drop of the hard cut."""
    study, found = _found("search")
    _left(study, found, "search")
    if not found:
        return
    show(
        figures.accuracy_along_search(panels(found), study.labels),
        "**Figure 6, recorded.** Accuracy on the validation half after each epoch, time scaled to [0, 1]; a thin line a seed, a thick one their "
        "mean; a dot marks an epoch in which operations were pruned. At the right end, where a search ends in a cut: the derived cell with the "
        "weights of the supernet, its BatchNorm statistics averaged anew (□). Above: the methods of the paper's figure; below, where they are recorded: the others of "
        f"the study. Scale {study.planned[0].parameters.scale}.{copy_note(chain.from_iterable(found.values()))}",
    )
    headers = ["method", "n", "mixture, at the end, %", "largest fall in an epoch that prunes", "in one that does not",
               "one operation an edge, %", "derived cell, %", "drop at the cut"]  # fmt: skip
    rows = {label: found[label] for label in study.labels if label in found}
    if alike := like_for_like(runs_root()):
        rows["ASAP, pruning at an epoch's end"] = alike
    say(tables.markdown(headers, [_accuracy_row(label, runs) for label, runs in rows.items()]))
    say(
        "The falls are of the validation accuracy from one epoch to the next, in points, the largest of all seeds. A dash: not recorded (the first "
        "searches do not hold their cut), or there is no such epoch. Eq. 13 prunes at the end of an epoch, before the accuracy is measured, and its last pruning ends the search; ASAP "
        "prunes after any step, and trains on until the epoch's end, so that its row is the milder one; an arm of the study `sensitivity` has it prune when they do. "
        "A drop below 0: the search ended just after a pruning, which BatchNorm's running statistics had not followed. For ENAS and random search the mixture is the mean over cells sampled afresh "
        "for each batch, and the derived cell is the one that they chose."
    )
    _cuts_without_augmentation([run for runs in rows.values() for run in runs], found.get(THEOREM, []))
    records((label, run) for label, runs in rows.items() for run in runs)


def _cuts_without_augmentation(runs: Sequence[Run], one_operation: Sequence[Run]) -> None:
    """Say in how many searches BatchNorm was averaged over images as they are, and what that costs where the cut takes nothing away.

    one_operation: searches whose mixture is all but one operation an edge at the end.
    """
    with_cut = tables.with_cut(runs)
    plain = [run for run in with_cut if "cut_images" not in run.outcome]
    if plain:
        cost = [100 * run.outcome["validation_accuracy"] - tables.cut(run, "operations") for run in one_operation if run in plain]
        told = (
            f" ({tables.spread(cost, 1)} points by Theorem 2's schedule, whose mixture is one operation an edge before the cut)"
            if cost
            else ""
        )
        say(
            f"In {len(plain)} of the {len(with_cut)} searches that hold their cut BatchNorm was averaged over the training half as it is; later ones average it augmented as in the "
            f"search. Without a crop's black border in its statistics the supernet is less accurate{told}, so what those {len(plain)} have after the cut is too low."
        )


def _accuracy_row(label: str, runs: Sequence[Run]) -> list[str]:
    every = pd.concat([tables.falls(run.epochs()) for run in runs])
    largest = every.groupby("pruned")["fall"].max()
    end = [100 * run.outcome["validation_accuracy"] for run in runs]
    with_cut = tables.with_cut(runs)
    one, cell = ([tables.cut(run, stage) for run in with_cut] for stage in ("operations", "genotype"))
    drop = [100 * run.outcome["validation_accuracy"] - tables.cut(run, "genotype") for run in with_cut]
    fall = [f"{largest[p]:.1f}" if p in largest else "–" for p in (True, False)]
    return [label, str(len(runs)), tables.spread(end, 1), *fall, tables.spread(one, 1), tables.spread(cell, 1), tables.spread(drop, 1)]


def figure7() -> None:
    """Figure 7: the normalised entropy of normal and reduction cells along the search."""
    study, found = _found("search")
    _left(study, found, "search")
    if not found:
        return
    show(
        figures.entropy_along_search(panels(found), study.labels),
        "**Figure 7, recorded.** Entropy of the mixture weights over ln |O|, averaged over the mixed operations of a cell (the paper's text; its "
        "caption says total), time scaled to [0, 1]; a thin line a seed, a thick one their mean. Above: the methods of the paper's figure; below, where they are recorded: "
        "the others of the study. For ENAS it is the entropy of each edge's operation under the controller, which its bounded logits keep "
        f"above {figures.ENAS_FLOOR:.3f}. Scale {study.planned[0].parameters.scale}.{copy_note(chain.from_iterable(found.values()))}",
    )
    rows = []
    for label in study.labels:
        for run in found.get(label, []):
            last = run.epochs().iloc[-1]
            rows.append(
                [label, str(run.parameters["seed"]), f"{last['entropy_normal']:.3f}", f"{last['entropy_reduce']:.3f}",
                 "yes" if run.outcome["decided"] else f"no: {sum(run.outcome['undecided_edges'].values())} edges undecided"]
            )  # fmt: skip
    say(tables.markdown(["method", "seed", "normal cell, at the end", "reduction cell", "one operation an edge"], rows))
    records((label, run) for label, runs in found.items() for run in runs)


def theorem_schedule() -> None:
    """What Theorem 2's schedule does to a search, beside ASAP's own (3.2)."""
    study, found = load(STUDY), {}
    for label in ("ASAP", THEOREM):
        found[label] = study.runs(runs_root(), "search", label)
    if not found[THEOREM]:
        missing(
            "a search by Theorem 2's schedule",
            "asap search --method asap --schedule theorem2 --dataset cifar10 --scale cpu --seed 0 --study methods",
        )
        return
    rows = []
    for label, runs in found.items():
        for run in runs:
            epochs = run.epochs()
            learning = epochs[epochs["alpha_steps"] > 0]
            left = epochs["operations_normal"] + epochs["operations_reduce"]
            entropy = (learning["entropy_normal"] + learning["entropy_reduce"]) / 2
            kept, of = _leaders_kept(run, int(learning["epoch"].iloc[0]))
            rows.append(
                [label, str(run.parameters["seed"]), f"{learning['temperature'].iloc[0]:.2g} to {learning['temperature'].iloc[-1]:.2g}",
                 f"{entropy.iloc[0]:.3f} to {entropy.iloc[-1]:.3f}", f"{left.iloc[0] - left.iloc[-1]} of {left.iloc[0]}", f"{kept} of {of}",
                 f"{100 * run.outcome['validation_accuracy']:.1f}"]
            )  # fmt: skip
    headers = ["search", "seed", "T", "normalised entropy", "operations pruned", "edges that keep their leader", "validation accuracy, %"]
    say(tables.markdown(headers, rows))
    say(
        "T and entropy (the mean of both cells) from the first epoch in which α learns to the last. An edge keeps its leader if the operation of the largest Φ "
        f"after that first epoch has it at the end. Scale {study.planned[0].parameters.scale}."
    )
    records((label, run) for label, runs in found.items() for run in runs)


def _leaders_kept(run: Run, first: int) -> tuple[int, int]:
    """On how many mixed operations, of how many, the operation of the largest Φ after an epoch has it at the end."""
    frame = run.architecture()
    ends = frame[frame["epoch"].isin((first, frame["epoch"].max()))].sort_values("phi")
    leader = ends.groupby(["cell", "edge", "epoch"], observed=True)["operation"].last().unstack()
    return int((leader[leader.columns[0]] == leader[leader.columns[-1]]).sum()), len(leader)


def table3() -> None:
    """Table 3: test error and parameters of the pruning methods' cells under one recipe."""
    study, found = _found("evaluation")
    _left(study, found, "evaluation")
    try:
        known = tables.sizes(runs_root())
    except RecordError:
        known = {}
    rows = []
    printed = {row["architecture"]: row for row in tables.paper()["table3"]["rows"]}
    for name, labels in TABLE3.items():
        for i, label in enumerate(labels):
            runs = found.get(label, [])
            paper = printed.get(name) if i == 0 else None
            errors = [run.outcome["test_error"] for run in runs]
            own = [run.outcome["parameters"] / 1e6 for run in runs]
            full = [known[(cell, 36)]["parameters"] / 1e6 for cell in map(tables.cell_name, runs) if (cell, 36) in known]
            rows.append(
                [name if i == 0 else "", f"{paper['error']:.2f}" if paper else "–", f"{paper['parameters']:.1f}" if paper else "–", label,
                 tables.spread(errors), str(len(runs)), tables.spread(own, 3), tables.spread(full)]
            )  # fmt: skip
    headers = ["paper's row", "error, %", "M", "ours", "error, %", "n", "M, at its scale", "M, at 36 channels"]
    say(tables.markdown(headers, rows))
    scale = study.planned[0].parameters.scale
    say(
        f"**Table 3.** Left as printed; right the cells that our searches ended in, every cell trained by the recipe of scale {scale}, mean ± deviation "
        "between seeds. M is millions of parameters: in the network of that scale, and in the paper's of 20 cells and 36 channels. The paper's rows "
        f"mix recipes: ASAP's has 1,500 epochs and AutoAugment.{copy_note(chain.from_iterable(found.values()))}"
    )
    if found:
        _differences(found)
        records((label, run) for labels in TABLE3.values() for label in labels for run in found.get(label, []))


def _differences(found: dict[str, list[Run]]) -> None:
    """ASAP against each other arm, paired by seed."""
    errors = {label: tables.errors_by_seed(runs) for label, runs in found.items()}
    images = next(iter(found.values()))[0].outcome["test_images"]
    tests = {label: pair(values, errors.get("ASAP", {}), images) for label, values in errors.items() if label != "ASAP"}
    against("**Against ASAP, paired by seed**: the other's error minus that of ASAP's cell", tests, "method")

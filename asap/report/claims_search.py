"""How the claims on the course of a search are judged from the records; claims.py says which judge is whose. Never knows torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from ..records.run import Run
from .tables import by_recipe, cut, falls, paper, with_cut
from .verdicts import DIFFERENTIABLE, FAILS, HOLDS, PRUNING, Verdict, arm, counted, like_for_like, listed, missing, other_readings


def searches(root: Path) -> list[Run]:
    """The finished searches that the front page and Figures 2 to 5 stand on: plain ASAP on CIFAR-10, at the largest
    scale recorded, by seed."""
    for scale in ("paper", "cpu"):
        runs = by_recipe(root, "search", method="asap", dataset="cifar10", scale=scale, study="main")
        if runs:
            return sorted(runs, key=lambda run: run.parameters["seed"])
    return []


def every_reading(root: Path) -> list[Run]:
    """These searches, and those of the same scale by the paper's other readings."""
    runs = searches(root)
    return runs + other_readings(root, runs[0].parameters["scale"]) if runs else []


def of_searches(judge: Callable[[list[Run]], tuple[str, str]], which: Callable[[Path], list[Run]] = searches) -> Callable[[Path], Verdict]:
    def judged(root: Path) -> Verdict:
        runs = which(root)
        if not runs:
            return missing("a finished ASAP search on CIFAR-10")
        ours, verdict = judge(runs)
        return Verdict(ours, f"{runs[0].parameters['scale']}, n = {len(runs)}", verdict)

    return judged


def ends_in_one_network(runs: list[Run]) -> tuple[str, str]:
    undecided = [(run.parameters["study"], sum(run.outcome["undecided_edges"].values())) for run in runs]
    ours, theirs = ([str(edges) for study, edges in undecided if (study == "main") == mine] for mine in (True, False))
    ended = sum(edges == 0 for _, edges in undecided)
    total = 2 * int(runs[0].architecture()["edge"].nunique())
    said = f"; with what else the paper's words allow: {', '.join(theirs)}" if theirs else ""
    return f"{ended} of {len(runs)} searches end so; undecided edges of {total}: {', '.join(ours)}{said}", counted(ended, len(runs))


def grace(runs: list[Run]) -> tuple[str, str]:
    grace = [int((run.epochs()["alpha_steps"] == 0).sum()) for run in runs]
    return f"{', '.join(map(str, sorted(set(grace))))} epochs", counted(
        sum(g == paper()["search"]["grace_epochs"] for g in grace), len(grace)
    )


def final_temperature(runs: list[Run]) -> tuple[str, str]:
    final = [float(p["initial_temperature"] * p["temperature_decay"] ** p["epochs"]) for p in (run.parameters for run in runs)]
    return f"T = {final[0]:.3f}", counted(sum(round(t, 1) == 0.1 for t in final), len(final))


def shorter_epochs(runs: list[Run]) -> tuple[str, str]:
    prunings = []
    undisturbed = [run for run in runs if clocked(run)]
    for run in undisturbed or runs:
        seconds = run.epochs()["seconds_weights"] + run.epochs()["seconds_alpha"]
        prunings.append(float(seconds.iloc[-1] / seconds.max()))
    return f"the last epoch takes {np.mean(prunings):.0%} of the longest, in {len(prunings)} timed", counted(
        sum(s < 0.67 for s in prunings), len(prunings)
    )


def smooth(runs: list[Run]) -> tuple[str, str]:
    largest = []
    for run in runs:
        epochs = run.epochs()
        left = epochs["operations_normal"] + epochs["operations_reduce"]
        largest.append(float(-left.diff().min() / left.iloc[0]))
    return f"at most {max(largest):.0%} of the connections go in one epoch", counted(sum(s < 0.2 for s in largest), len(largest))


def entropy_falls(runs: list[Run]) -> tuple[str, str]:
    ends = []
    for run in runs:
        last = run.epochs().iloc[-1]
        ends.append((float(last["entropy_normal"]), float(last["entropy_reduce"])))
    text = ", ".join(f"{a:.3f} / {b:.3f}" for a, b in ends)
    return f"normalised entropy at the end, normal / reduction: {text}", counted(sum(max(e) == 0 for e in ends), len(ends))


def hours(root: Path) -> Verdict:
    runs = [run for run in searches(root) if run.parameters["scale"] == "paper" and run.info["machine"]["device"] != "cpu"]
    if not runs:
        return missing("a search at paper scale on a GPU")
    hours = float(np.mean([run.outcome["seconds"] for run in runs])) / 3600
    return Verdict(f"{hours:.2f} h on {runs[0].info['machine']['device']}", f"paper, n = {len(runs)}", HOLDS if hours <= 4.8 else FAILS)


def relaxation_bias(root: Path) -> Verdict:
    runs = with_cut(arm(root, "DARTS") + arm(root, "DARTS, second order"))
    drops = [100 * run.outcome["validation_accuracy"] - cut(run, "genotype") for run in runs]
    if not drops:
        return missing("a DARTS search")
    ours = f"the derived cell is {np.mean(drops):.0f} points below the mixture, with the same weights"
    return Verdict(ours, f"cpu, n = {len(drops)}", counted(sum(drop > 5 for drop in drops), len(drops)))


def enas_low(root: Path) -> Verdict:
    enas = [100 * run.outcome["validation_accuracy"] for run in arm(root, "ENAS")]
    others = {label: [100 * run.outcome["validation_accuracy"] for run in arm(root, label)] for label in ("ASAP", "DARTS")}
    if not enas or not all(others.values()):
        return missing("searches by ENAS, DARTS and ASAP")
    lowest = min(min(values) for values in others.values())
    ours = "at the end, " + listed({"ENAS": enas, **others}, 1, " %")
    n = min(len(enas), *map(len, others.values()))
    return Verdict(ours, f"cpu, n = {n}", counted(sum(value < lowest for value in enas), len(enas)))


def smaller_perturbations(root: Path) -> Verdict:
    runs = {label: arm(root, label) for label in DIFFERENTIABLE} | {"ASAP, pruning at an epoch's end": like_for_like(root)}
    found: dict[str, list[float]] = {}
    for label, group in runs.items():
        frames = [falls(run.epochs()) for run in group]
        pruned = [float(frame.loc[frame["pruned"], "fall"].max()) for frame in frames if frame["pruned"].any()]
        if pruned:
            found[label] = pruned
    theirs = {label: v for label, v in found.items() if label.startswith("Accumulated")}
    asap = [max(values) for label, values in found.items() if label.startswith("ASAP")]
    if not asap or not theirs:
        return missing("searches by ASAP and by accumulated gradients")
    ours = "largest fall in an epoch that prunes, in points: " + listed({label: [max(v)] for label, v in found.items()}, 1)
    smaller = sum(max(asap) < max(values) for values in theirs.values())
    return Verdict(ours, f"cpu, n = {min(len(v) for v in found.values())}", counted(smaller, len(theirs)))


def frequent(root: Path) -> Verdict:
    prunings = {}
    for label in DIFFERENTIABLE:
        counts = [int(falls(run.epochs())["pruned"].sum()) for run in arm(root, label)]
        if any(counts):
            prunings[label] = counts
    theirs = {label: v for label, v in prunings.items() if label != "ASAP"}
    if "ASAP" not in prunings or not theirs:
        return missing("searches by ASAP and by accumulated gradients")
    ours = "epochs that prune: " + listed(prunings, 0)
    more = sum(float(np.mean(prunings["ASAP"])) >= float(np.mean(v)) for v in theirs.values())
    return Verdict(ours, f"cpu, n = {min(map(len, prunings.values()))}", counted(more, len(theirs)))


def highest_at_the_end(root: Path) -> Verdict:
    ends = {}
    for label in ("ENAS", *DIFFERENTIABLE):
        runs = arm(root, label) + (like_for_like(root) if label == "ASAP" else [])
        values = [cut(run, "operations") for run in with_cut(runs)]
        if values:
            ends[label] = values
    if "ASAP" not in ends or len(ends) < 3:
        return missing("searches by ASAP and by the other methods of Figure 6, with their cut")
    asap = float(np.mean(ends["ASAP"]))
    lower = [float(np.mean(values)) < asap for label, values in ends.items() if label != "ASAP"]
    ours = "with one operation an edge, " + listed(ends, 1, " %")
    return Verdict(ours, f"cpu, n = {min(map(len, ends.values()))}", counted(sum(lower), len(lower)))


def no_bias(root: Path) -> Verdict:
    groups = {
        "ASAP": with_cut(arm(root, "ASAP") + other_readings(root, "cpu")),
        "Eq. 13": with_cut([run for label in PRUNING for run in arm(root, label)]),
    }
    runs = [run for group in groups.values() for run in group]
    if not runs:
        return missing("a search by ASAP or by a pruning method with its cut")
    # a search that ends decided makes no cut to one operation an edge
    one = [0.0 if run.outcome["decided"] else 100 * run.outcome["validation_accuracy"] - cut(run, "operations") for run in runs]
    cell = [cut(run, "operations") - cut(run, "genotype") for run in runs]
    undecided = [drop for drop in one if drop]
    ends = [f"{sum(not run.outcome['decided'] for run in group)} of {len(group)} by {label}" for label, group in groups.items() if group]
    lost = f"; those lose {np.mean(undecided):.1f} points down to one operation an edge" if undecided else ""
    ours = f"searches undecided at the end: {', '.join(ends)}{lost}; "
    ours += f"down to the 8 edges of the derived cell all lose {np.mean(cell):.1f} more on average"
    good = sum(drop < 1 for drop in one) + sum(drop < 1 for drop in cell)
    return Verdict(ours, f"cpu, n = {len(runs)}", counted(good, 2 * len(runs)))


def entropy_stays(root: Path) -> Verdict:
    ends = {}
    for label in ("DARTS", "ENAS"):
        last = [run.epochs().iloc[-1] for run in arm(root, label)]
        if not last:
            return missing("searches by DARTS and ENAS")
        ends[label] = [min(float(row["entropy_normal"]), float(row["entropy_reduce"])) for row in last]
    high = sum(min(values) > 0.5 for values in ends.values())
    ours = "at the end, the lower of both cells (high: above one half): " + listed({label: [min(v)] for label, v in ends.items()}, 3)
    return Verdict(ours, f"cpu, n = {min(map(len, ends.values()))}", counted(high, len(ends)))


def quite_arbitrary(root: Path) -> Verdict:
    ratios = []
    for run in arm(root, "DARTS"):
        frame = run.architecture()
        last = frame[(frame["epoch"] == frame["epoch"].max()) & (frame["operation"] != "none")]
        top = last.sort_values("phi").groupby(["cell", "edge"], observed=True)["phi"].apply(lambda phi: phi.iloc[-1] / phi.iloc[-2])
        ratios.append(float(top.median()))
    if not ratios:
        return missing("a DARTS search")
    ours = f"on the median edge the largest Φ is {np.mean(ratios):.2f} times the second (comparable: below 1.5)"
    return Verdict(ours, f"cpu, n = {len(ratios)}", counted(sum(r < 1.5 for r in ratios), len(ratios)))


def clocked(run: Run) -> bool:
    """Whether a search's steps were timed by a clock that other processes do not disturb."""
    return bool(run.info["machine"].get("clock", "wall") != "wall")


def cpu_minutes(epochs: pd.DataFrame) -> float:
    """The minutes of the w and α steps of these epochs, by the search's own clock."""
    return float((epochs["seconds_weights"] + epochs["seconds_alpha"]).sum()) / 60


def full_epoch(epochs: pd.DataFrame) -> float:
    """The minutes that the w and α steps of an epoch take while α learns and nothing is pruned yet, the median: a unit of the search's
    own process, in which searches compare that were made on machines, or on days, of different speed."""
    left = epochs["operations_normal"] + epochs["operations_reduce"]
    full = epochs[(epochs["alpha_steps"] > 0) & (left == left.iloc[0])]
    return float((full["seconds_weights"] + full["seconds_alpha"]).median()) / 60


def in_full_epochs(epochs: pd.DataFrame) -> float:
    """How many full epochs the w and α steps of a search take as long as."""
    return cpu_minutes(epochs) / full_epoch(epochs)


def _timed(root: Path, label: str) -> list[pd.DataFrame]:
    """The epochs of the searches of an arm whose clock other processes do not disturb."""
    return [run.epochs() for run in arm(root, label) if clocked(run)]


def faster_for_pruning(root: Path) -> Verdict:
    labels = ("ASAP", "ASAP, annealing without pruning")
    asap, without = ([in_full_epochs(epochs) for epochs in _timed(root, label)] for label in labels)
    if not asap or not without:
        return missing("timed searches by ASAP with and without pruning")
    ours = f"with pruning a search takes as long as {np.mean(asap):.0f} of its epochs before any pruning, without {np.mean(without):.0f}"
    return Verdict(ours, f"cpu, n = {min(len(asap), len(without))}", counted(sum(m < min(without) for m in asap), len(asap)))


def cheapest(root: Path) -> Verdict:
    timed = {label: _timed(root, label) for label in ("ASAP", "DARTS", "DARTS, second order", "ENAS")}
    minutes = {label: [cpu_minutes(epochs) for epochs in every] for label, every in timed.items() if every}
    if "ASAP" not in minutes or len(minutes) < 2:
        return missing("timed searches by ASAP and others")
    asap = float(np.mean(minutes["ASAP"]))
    others = [float(np.mean(values)) for label, values in minutes.items() if label != "ASAP"]
    ours = "minutes of CPU time: " + listed(minutes, 0)
    return Verdict(ours, f"cpu, n = {min(map(len, minutes.values()))}", counted(sum(m > asap for m in others), len(others)))

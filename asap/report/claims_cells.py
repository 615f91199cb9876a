"""How the claims on cells, sizes and the theory are judged from the records; claims.py says which judge is whose. Never knows torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ..records.run import RecordError, Run
from .inference import Paired, pair
from .tables import SAME, by_recipe, by_seed, errors, errors_by_seed, is_published, is_random, paper, size_verdict, sizes
from .verdicts import DIRECTION, FAILS, HOLDS, OPEN, PRUNING, Verdict, arm, counted, missing

TEST_IMAGES = 10_000  # of CIFAR-10, and of Fashion-MNIST


def _tested(test: Paired, what: str, scale: str, more: str = "") -> Verdict:
    """A claim that paired differences are positive; `claims.judged` decides it."""
    if not test.n:
        return missing(what)
    return Verdict(f"{what}: {test.text()}{more}", f"{scale}, n = {test.n}", OPEN, test)


def _mean(arms: Iterable[dict[int, float]]) -> dict[int, float]:
    """The mean by seed of the arms that are recorded, at the seeds that all of them have: of the same arms at every seed."""
    return by_seed(pd.DataFrame([found for found in arms if found]).dropna(axis=1).mean(axis=0))


def _errors(root: Path, *labels: str) -> dict[int, float]:
    """The test error by seed of the cells of an arm of the study `methods`, or the mean of several arms."""
    return _mean(errors_by_seed(arm(root, label, "evaluation")) for label in labels)


def beats_pruning(root: Path) -> Verdict:
    test = pair(_errors(root, *PRUNING), _errors(root, "ASAP"), TEST_IMAGES)
    return _tested(test, "error of the pruning methods' cells minus that of ASAP's", "cpu")


def beats_darts(root: Path) -> Verdict:
    test = pair(_errors(root, "DARTS", "DARTS, second order"), _errors(root, "ASAP"), TEST_IMAGES)
    return _tested(test, "error of DARTS' cells minus that of ASAP's", "cpu")


def beats_ablations(root: Path) -> Verdict:
    labels = ("ASAP, annealing without pruning", "ASAP, pruning without annealing")
    test = pair(_errors(root, *labels), _errors(root, "ASAP"), TEST_IMAGES)
    return _tested(test, "error of the cells of searches without annealing or without pruning minus that of ASAP's", "cpu")


def accumulated_beats_magnitude(root: Path) -> Verdict:
    differences = []
    for p in ("p = 1", "p = 3"):
        magnitude, accumulated = (_errors(root, f"{name}, {p}") for name in ("Magnitude", "Accumulated gradient"))
        differences.append({seed: magnitude[seed] - accumulated[seed] for seed in magnitude.keys() & accumulated.keys()})
    mean = _mean(differences)
    test = pair(mean, dict.fromkeys(mean, 0.0))
    return _tested(test, "error of magnitude pruning's cells minus that of accumulated gradients', of one p", "cpu")


def _against_the_published_cell(root: Path, dataset: str, cells: Callable[[str], bool], what: str) -> Verdict:
    table = errors(by_recipe(root, "evaluation", dataset=dataset, scale="cpu"))
    others = [cell for cell in table.index if cell != "asap" and cells(str(cell))]
    if "asap" not in table.index or not others:
        return missing(f"evaluations of {what} and of the published ASAP cell")
    shared = table.loc[["asap", *others]].dropna(axis=1)  # the same cells at every seed
    asap, theirs = shared.T["asap"], shared.loc[others]
    test = pair(by_seed(theirs.mean(axis=0)), by_seed(asap), TEST_IMAGES)
    worse = int((theirs.mean(axis=1) > asap.mean()).sum())
    return _tested(test, f"error of {what} minus that of the published ASAP cell", "cpu", f"; {worse} of {len(others)} are worse")


def beats_random(root: Path) -> Verdict:
    return _against_the_published_cell(root, "cifar10", is_random, "random cells")


def beats_published(root: Path) -> Verdict:
    return _against_the_published_cell(root, "cifar10", is_published, "other published cells")


def transfers(root: Path) -> Verdict:
    return _against_the_published_cell(root, "fashion_mnist", is_published, "other published cells on Fashion-MNIST")


def larger_cells(root: Path) -> Verdict:
    try:
        known = sizes(root)
    except RecordError as error:
        return missing(str(error))

    def millions(labels: Iterable[str]) -> list[float]:
        names = [run.name for label in labels for run in arm(root, label)]
        return [known[(name, 36)]["parameters"] / 1e6 for name in names if (name, 36) in known]

    asap, others = millions(["ASAP"]), millions(PRUNING)
    if not asap or not others:
        return missing("searches by ASAP and by the pruning methods, with the sizes of their cells")
    ours = f"at 36 channels {np.mean(others):.2f} M on average, ASAP's searches {np.mean(asap):.2f} M"
    return Verdict(ours, f"cpu, n = {len(asap)} and {len(others)}", counted(sum(m > float(np.mean(asap)) for m in others), len(others)))


def error(root: Path) -> Verdict:
    runs = by_recipe(root, "evaluation", dataset="cifar10", scale="paper")
    errors = [run.outcome["test_error"] for run in runs if run.parameters["cell"].lower() == "asap"]
    if not errors:
        return missing("an evaluation at paper scale")
    return Verdict(f"{np.mean(errors):.2f} %", f"paper, n = {len(errors)}", HOLDS if np.mean(errors) <= 1.99 else FAILS)


def wider(root: Path) -> Verdict:
    runs = by_recipe(root, "evaluation", "channels", dataset="cifar10", scale="paper")
    asap = {
        c: [r.outcome["test_error"] for r in runs if r.parameters["cell"].lower() == "asap" and r.parameters["channels"] == c]
        for c in (36, 44, 50)
    }
    if not all(asap.values()):
        return missing("evaluations at paper scale with 36, 44 and 50 channels")
    means = [float(np.mean(values)) for values in asap.values()]
    falling = sum(a > b for a, b in pairwise(means))
    return Verdict(", ".join(f"{m:.2f} %" for m in means), f"paper, n = {min(map(len, asap.values()))}", counted(falling, 2))


def size(channels: int, printed: float) -> Callable[[Path], Verdict]:
    def judge(root: Path) -> Verdict:
        try:
            millions = sizes(root)[("ASAP", channels)]["parameters"] / 1e6
        except (RecordError, KeyError) as error:
            return missing(str(error))
        return Verdict(f"{millions:.3f} M at {channels} channels", "exact", HOLDS if size_verdict(millions, printed) == SAME else FAILS)

    return judge


def imagenet(root: Path) -> Verdict:
    try:
        size = sizes(root, "imagenet")[("ASAP", 50)]
    except (RecordError, KeyError) as error:
        return missing(str(error))
    plain, larger, work = (size[key] / 1e6 for key in ("parameters", "with_auxiliary", "multiply_adds"))
    printed = SAME in (size_verdict(plain, 5.7), size_verdict(larger, 5.7))
    ours = f"{plain:.2f} M, with the auxiliary head {larger:.2f} M; {work:.0f} M multiply-adds"
    return Verdict(ours, "exact", FAILS if work >= 600 else HOLDS if printed else DIRECTION)


def transfer(root: Path) -> Verdict:
    table = paper()["table2"]
    leads, clear, sets = 0, 0, [name for name in table["datasets"] if name != "imagenet"]
    for i, name in enumerate(table["datasets"]):
        if name in sets:
            asap = next(row["errors"][i] for row in table["rows"] if row["architecture"] == "ASAP")
            best = min(row["errors"][i] for row in table["rows"] if row["architecture"] != "ASAP")
            error = np.sqrt(2 * asap * (100 - asap) / table["datasets"][name]["test_images"])
            leads, clear = leads + (asap < best), clear + (best - asap > 2 * error)
    ours = f"in the paper's numbers it leads on {leads} of {len(sets)}, on {clear} by more than two standard errors of a difference"
    return Verdict(ours, "the paper's numbers", HOLDS if clear == leads else OPEN)


def best_known(root: Path) -> Verdict:
    table = paper()["table2"]
    names = list(table["datasets"])
    below = {
        name: sum(row["errors"][names.index(name)] < table["datasets"][name]["best"] for row in table["rows"])
        for name in ("cinic10", "freiburg")
    }
    asap = next(row["errors"] for row in table["rows"] if row["architecture"] == "ASAP")
    good = sum(asap[names.index(name)] < table["datasets"][name]["best"] for name in below)
    ours = "; ".join(
        f"on {table['datasets'][name]['name']} so are {n - 1} of the {len(table['rows']) - 1} other cells" for name, n in below.items()
    )
    return Verdict(ours, "the paper's numbers", counted(good, 2))


def imagenet_second(root: Path) -> Verdict:
    table = paper()["table2"]
    i = list(table["datasets"]).index("imagenet")
    order = sorted((row["errors"][i], row["architecture"]) for row in table["rows"])
    (_, first), (asap, second), (third, _) = order[:3]
    error = 100 * float(np.sqrt(2 * asap / 100 * (1 - asap / 100) / table["datasets"]["imagenet"]["test_images"]))
    ours = f"{first} first, {second} second, the third {third - asap:.1f} points behind ({(third - asap) / error:.0f} standard errors)"
    return Verdict(ours, "the paper's numbers", HOLDS if second == "ASAP" and third - asap > 2 * error else OPEN)


def pac(root: Path) -> Verdict:
    try:
        frame = Run.open(root / "theory" / "reference").results()
    except RecordError:
        return missing("the simulations of Theorem 2")
    literal, mended = frame[frame["schedule"] == "literal"], frame[frame["schedule"] == "theorem2"]
    as_printed, safe = int(literal["failures"].sum()), bool((mended["high"] <= mended["delta"]).all())
    ours = (
        f"as printed, {as_printed:,} of {literal['repetitions'].sum():,} runs prune the best; "
        f"with the missing condition, {mended['failures'].sum():,} of {mended['repetitions'].sum():,}"
    )
    return Verdict(ours, "simulated", FAILS if not safe else DIRECTION if as_printed else HOLDS)


def claim1(root: Path) -> Verdict:
    try:
        frame = Run.open(root / "theory" / "statements").results().set_index("statement")["value"]
    except RecordError:
        return missing("the statements of the theory")
    there, back = (float(frame[f"Claim 1: {way}"]) for way in ("pruned ⇒ (10)", "(10) ⇒ pruned"))
    ours = f"counterexamples: {there:,.0f} to pruned ⇒ (10), {back:,.0f} to (10) ⇒ pruned"
    return Verdict(ours, "exact", HOLDS if there + back == 0 else DIRECTION if there == 0 else FAILS)


def theorem3(root: Path) -> Verdict:
    try:
        frame = Run.open(root / "theory" / "exact").results()
    except RecordError:
        return missing("the exact probabilities of the theory")
    row = frame[(frame["quantity"] == "escape") & (frame["schedule"] == "theorem2") & (frame["shrink"] == 1.0)].iloc[0]
    ours = f"fails with probability {row['probability']:.2g} where {row['allowed']:.2g} is allowed"
    return Verdict(ours, "exact", HOLDS if row["probability"] <= row["allowed"] else FAILS)


def slow(root: Path) -> Verdict:
    try:
        frame = Run.open(root / "theory" / "schedules").results()
    except RecordError:
        return missing("the simulations of the schedules")
    at = frame[frame["gap"] == 0.05].set_index("name")["ended"]
    theorem, used = float(at["Theorem 2"]), float(at["exponential, T₀ = 1.3"])
    ours = f"at a gap of 0.05 steps, {used:.0%} of searches end within 50 epochs, {theorem:.0%} by Theorem 2's schedule"
    return Verdict(ours, "simulated", HOLDS if theorem < used else FAILS)

"""How the claims on cells and sizes are judged from the records; paper/claims.yaml says which judge is whose. Never knows torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ..records.run import RecordError
from . import design, results
from .inference import Difference, images_noise
from .tables import SAME, paper, size_verdict, sizes
from .verdicts import (
    ACCUMULATED,
    DARTS,
    FAILS,
    HOLDS,
    MAGNITUDE,
    OPEN,
    PRINTED,
    Tested,
    Verdict,
    arms,
    missing,
    one_copy,
    scale_of,
    verdict_from_count,
)


def _values(rows: pd.DataFrame, column: str) -> list[float]:
    """A value a run; of random cells a value a cell, the mean of its seeds."""
    if "label" in rows and set(rows["label"]) == {"Random cells"}:
        return list(rows.groupby("cell")[column].mean().dropna())
    return list(rows[column].dropna().astype(float))


def _tested(
    what: str,
    base: pd.DataFrame | None,
    groups: Sequence[Mapping[str, pd.DataFrame]],
    column: str = "error",
    claimed: float = 0.0,
    unit: str = "points",
) -> Verdict:
    """A claim that every other arm's values are larger than the base's; `claims.judged` decides it.

    groups: of each comparator the arms that are recorded; a comparator is tested if one of its arms is, and each arm that is counts.
    """
    others = {label: rows for group in groups for label, rows in group.items()}
    if base is None or not len(base) or not others:
        return missing(what)
    own, images = tuple(_values(base, column)), int(base["test_images"].iloc[0]) if column == "error" else 0
    if not own:
        return missing(what)

    def against(rows: pd.DataFrame) -> Difference:
        values = tuple(_values(rows, column))
        return Difference(values, own, images_noise([float(np.mean(values)), float(np.mean(own))], images))

    parts = {label: against(rows) for label, rows in others.items() if _values(rows, column)}
    complete = all(any(label in parts and parts[label].testable for label in group) for group in groups)
    return Verdict(what, scale_of(base, *others.values()), OPEN, Tested(parts, claimed, complete, unit))


def _by_design(root: Path, labels: Sequence[str], what: str) -> Verdict | None:
    """What the study `design` decides of a claim that ASAP's cells are better than each of these arms'; None before its first look.

    The verdict is that of the scores, which every cell has; errors are said beside them.
    """
    frame = design.recorded(root)
    frame = frame[frame["arm"].isin(labels) & (frame["look"] > 0) & frame["difference"].notna() & ~frame["adjusted"].astype(bool)]
    score = frame[frame["outcome"] == "score"].set_index("arm")
    if not set(labels) <= set(score.index):
        return None
    said = [
        f"{row.arm}: {row.outcome} {row.difference:+.2f}, simultaneous interval [{row.low:+.2f}, {row.high:+.2f}], p = {row.p:.2g}, "
        f"{row.verdict}; could have shown {row.detectable:.2f}"
        for row in frame.itertuples()
    ]
    told = set(score["verdict"])
    verdict = FAILS if design.WORSE in told else HOLDS if told == {design.BETTER} else OPEN
    return Verdict(f"{what}, look {score['look'].iloc[0]}: {'; '.join(said)}", f"cpu, study design, n = {score['n'].min()}", verdict)


def _cells(root: Path, *groups: Sequence[str]) -> tuple[pd.DataFrame | None, list[dict[str, pd.DataFrame]]]:
    """The evaluations of ASAP's own cells, and of each group of arms."""
    found = arms(root, ["ASAP"], *groups, kind="evaluation")
    return found.get("ASAP"), [{label: found[label] for label in group if label in found} for group in groups]


def beats_pruning(root: Path) -> Verdict:
    what = "error of the pruning methods' cells minus that of ASAP's"
    decided = _by_design(root, ["Magnitude, p = 3", "Accumulated gradient, p = 1"], "pruning methods' cells against ASAP's")
    return decided or _tested(what, *_cells(root, MAGNITUDE, ACCUMULATED), claimed=0.77)


def beats_darts(root: Path) -> Verdict:
    decided = _by_design(root, ["DARTS"], "DARTS' cells against ASAP's")
    return decided or _tested("error of DARTS' cells minus that of ASAP's", *_cells(root, DARTS), claimed=0.77)


def beats_random_search(root: Path) -> Verdict:
    decided = _by_design(root, ["Random search"], "cells of random search against ASAP's")
    return decided or _tested("error of random search's cells minus that of ASAP's", *_cells(root, ["Random search"]))


def beats_random_by_search(root: Path) -> Verdict:
    decided = _by_design(root, [design.RANDOM], "random cells against ASAP's")
    if decided:
        return decided
    base, groups = _cells(root, [design.RANDOM])
    verdict = _tested("error of random cells minus that of our ASAP searches' cells", base, groups)
    if base is None or not verdict.test:
        return verdict
    both = pd.concat([base, *groups[0].values()])
    cells = both.groupby(["label", "cell"], as_index=False)[["error", "parameters_36"]].mean().dropna()
    cells = cells.assign(arm=cells["label"], value=cells["error"], size=np.log(cells["parameters_36"]))
    means = cells.assign(value=design.size_adjusted(cells)).groupby("arm")["value"].mean()
    equal = f" (at equal size {means[design.RANDOM] - means['ASAP']:+.2f})" if len(means) == 2 else ""
    return replace(verdict, ours=verdict.ours + equal)


def beats_ablations(root: Path) -> Verdict:
    what = "error of the cells of searches without the one or the other minus that of ASAP's"
    return _tested(what, *_cells(root, ["ASAP, annealing without pruning"], ["ASAP, pruning without annealing"]))


def accumulated_beats_magnitude(root: Path) -> Verdict:
    what = "error of magnitude pruning's cells minus that of accumulated gradients', of one p"
    found = arms(root, *([name] for name in (*MAGNITUDE, *ACCUMULATED)), kind="evaluation")
    pairs = [(m, a) for m, a in zip(MAGNITUDE, ACCUMULATED, strict=True) if m in found and a in found]
    verdicts = {m[m.index("p") :]: _tested(what, found[a], [{m: found[m]}]) for m, a in pairs}
    parts = {p: part for p, verdict in verdicts.items() if verdict.test for part in verdict.test.parts.values()}
    if not parts:
        return missing(what)
    shown = [found[label] for both in pairs for label in both]
    return Verdict(what, scale_of(*shown), OPEN, Tested(parts, 0.14, any(part.testable for part in parts.values())))


def _against_the_published_cell(root: Path, dataset: str, kind: str, what: str, claimed: float = 0.0) -> Verdict:
    """Each other published cell, or the random cells as one arm, against the published ASAP cell."""
    frame = results.evaluations(root)
    frame = frame[frame["by_recipe"] & (frame["dataset"] == dataset) & (frame["scale"] == "cpu") & frame["kind"].isin([kind, "published"])]
    frame = frame.assign(label=frame["cell"].mask(frame["kind"] == "random", "Random cells"))
    names = sorted(set(frame.loc[frame["kind"] == kind, "label"]) - {"asap"})
    frame = one_copy(frame, "label", [["asap"], *([name] for name in names)])
    groups = [{name: rows} for name in names if len(rows := frame[frame["label"] == name])]
    return _tested(what, frame[frame["label"] == "asap"], groups, claimed=claimed)


def beats_random(root: Path) -> Verdict:
    return _against_the_published_cell(root, "cifar10", "random", "error of random cells minus that of the published ASAP cell")


def beats_published(root: Path) -> Verdict:
    what = "error of each other published cell minus that of the published ASAP cell"
    return _against_the_published_cell(root, "cifar10", "published", what, claimed=0.38)


def transfers(root: Path) -> Verdict:
    what = "error of each other published cell on Fashion-MNIST minus that of the published ASAP cell"
    return _against_the_published_cell(root, "fashion_mnist", "published", what)


def larger_cells(root: Path) -> Verdict:
    found = arms(root, ["ASAP"], MAGNITUDE, ACCUMULATED)
    groups = [{label: found[label] for label in group if label in found} for group in (MAGNITUDE, ACCUMULATED)]
    what = "parameters at 36 channels of the pruning methods' cells minus those of ASAP's"
    return _tested(what, found.get("ASAP"), groups, "parameters_36", claimed=1.8, unit="M")


def _published_at_paper_scale(root: Path, channels: int) -> pd.DataFrame:
    """The evaluations of the published ASAP cell on CIFAR-10 at scale paper with so many channels."""
    frame = results.evaluations(root)
    frame = frame[frame["changed"].isin(["", "channels"]) & (frame["scale"] == "paper") & (frame["dataset"] == "cifar10")]
    return one_copy(frame[(frame["cell"] == "asap") & (frame["channels"] == channels)], "cell", [["asap"]])


def error(root: Path) -> Verdict:
    runs, printed = _published_at_paper_scale(root, 50), 1.68
    if runs.empty:
        return missing("an evaluation at paper scale with 50 channels")
    noise = images_noise([printed], int(runs["test_images"].iloc[0]))
    good = sum(value <= printed + 2 * noise for value in runs["error"])
    ours = f"{runs['error'].mean():.2f} %, where two standard errors of a difference of two such errors are {2 * noise:.2f}"
    return Verdict(ours, scale_of(runs), verdict_from_count(good, len(runs)))


def wider(root: Path) -> Verdict:
    found = {f"{c} channels": _published_at_paper_scale(root, c) for c in (36, 44, 50)}
    if any(rows.empty for rows in found.values()):
        return missing("evaluations at paper scale with 36, 44 and 50 channels")
    parts: dict[str, Difference] = {}
    for (narrow, more), (wide, less) in pairwise(found.items()):
        tested = _tested("", less, [{f"{narrow} minus {wide}": more}]).test
        parts |= tested.parts if tested else {}
    complete = all(part.testable for part in parts.values())
    return Verdict("differences of the errors", scale_of(*found.values()), OPEN, Tested(parts, 0.0, complete))


def size(root: Path, channels: int, printed: float) -> Verdict:
    try:
        millions = sizes(root)[("ASAP", channels)]["parameters"] / 1e6
    except (RecordError, KeyError) as error:
        return missing(str(error))
    return Verdict(f"{millions:.3f} M at {channels} channels", "exact", HOLDS if size_verdict(millions, printed) == SAME else FAILS)


def imagenet_size(root: Path) -> Verdict:
    try:
        found = sizes(root, "imagenet")[("ASAP", 50)]
    except (RecordError, KeyError) as error:
        return missing(str(error))
    plain, larger = found["parameters"] / 1e6, found["with_auxiliary"] / 1e6
    printed = SAME in (size_verdict(plain, 5.7), size_verdict(larger, 5.7))
    return Verdict(f"{plain:.2f} M, with the auxiliary head {larger:.2f} M", "exact", HOLDS if printed else FAILS)


def imagenet_work(root: Path) -> Verdict:
    try:
        work = sizes(root, "imagenet")[("ASAP", 50)]["multiply_adds"] / 1e6
    except (RecordError, KeyError) as error:
        return missing(str(error))
    return Verdict(f"{work:.0f} M multiply-adds", "exact", HOLDS if work < 600 else FAILS)


def transfer(root: Path) -> Verdict:
    table = paper()["table2"]
    leads, clear, sets = 0, 0, [name for name in table["datasets"] if name != "imagenet"]
    for i, name in enumerate(table["datasets"]):
        if name in sets:
            asap = next(row["errors"][i] for row in table["rows"] if row["architecture"] == "ASAP")
            best = min(row["errors"][i] for row in table["rows"] if row["architecture"] != "ASAP")
            leads, clear = leads + (asap < best), clear + (best - asap > 2 * images_noise([asap], table["datasets"][name]["test_images"]))
    ours = f"it leads on {leads} of {len(sets)}, on {clear} by more than two standard errors of a difference"
    return Verdict(ours, "the paper's numbers", PRINTED if leads == 4 else FAILS)


def best_known(root: Path) -> Verdict:
    table = paper()["table2"]
    names = list(table["datasets"])
    sets = {name: table["datasets"][name] for name in ("cinic10", "freiburg")}
    below = {name: sum(row["errors"][names.index(name)] < entry["best"] for row in table["rows"]) for name, entry in sets.items()}
    asap = next(row["errors"] for row in table["rows"] if row["architecture"] == "ASAP")
    good = all(asap[names.index(name)] < entry["best"] for name, entry in sets.items())
    ours = "; ".join(f"on {sets[name]['name']} so are {n - 1} of the {len(table['rows']) - 1} other cells" for name, n in below.items())
    return Verdict(ours, "the paper's numbers", PRINTED if good else FAILS)


def imagenet_second(root: Path) -> Verdict:
    table = paper()["table2"]
    i = list(table["datasets"]).index("imagenet")
    order = sorted((row["errors"][i], row["architecture"]) for row in table["rows"])
    (_, first), (asap, second), (third, _) = order[:3]
    noise = images_noise([asap], table["datasets"]["imagenet"]["test_images"])
    ours = f"{first} first, {second} second, the third {third - asap:.1f} points behind ({(third - asap) / noise:.0f} standard errors)"
    return Verdict(ours, "the paper's numbers", PRINTED if (first, second) == ("AmoebaNet-A", "ASAP") else FAILS)

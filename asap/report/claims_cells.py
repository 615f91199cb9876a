"""How the claims on cells and sizes are judged from the records; paper/claims.yaml says which judge is whose. Never knows torch.

A judge raises `RecordError` where there is no record to judge by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ..records.run import MissingRecord
from ..records.study import load
from . import design, results, short, surrogate, tables, verdicts
from .display import each
from .inference import Difference, images_noise, p_value, same_images_noise
from .verdicts import EQUAL, FAILS, HOLDS, INCONCLUSIVE, OPEN, PRINTED, Tested, Verdict, compared, one_copy, scale_of, verdict_from_count


def values(rows: pd.DataFrame, column: str) -> tuple[float, ...]:
    """A value a run; of random cells a value a cell, the mean of its seeds."""
    found = rows.groupby("cell")[column].mean() if set(rows["label"]) == {design.RANDOM} else rows[column]
    return tuple(found.dropna())


def _tested(
    root: Path, what: str, pairs: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], groups: Sequence[Sequence[str]], column: str = "error",
    claimed: float = 0.0, unit: str = "points",
) -> Verdict:  # fmt: skip
    """A claim that the first of each pair has larger values than the second; `claims.judged` decides it.

    pairs: the runs of both, by name; a pair without values does not count. groups: the names of pairs, alternatives together: the claim is
    tested if one of each group is, and each pair that is counts.
    """
    parts: dict[str, Difference] = {}
    for name, (rows, base) in pairs.items():
        if (theirs := values(rows, column)) and (own := values(base, column)):
            noise = 0.0  # what the test images alone leave of a difference of mean errors, in points
            if column == "error" and (wrong := results.wrong(root, base["run"], rows["run"])) is not None:
                noise = same_images_noise(*wrong)
            elif column == "error":  # as of other images for each: records do not say which of them were wrong
                noise = images_noise([float(np.mean(theirs)), float(np.mean(own))], int(base["test_images"].iloc[0]))
            parts[name] = Difference(theirs, own, noise)
    if not parts:
        raise MissingRecord(what)
    complete = all(any(name in parts and parts[name].testable for name in group) for group in groups)
    scale = scale_of(*(rows for pair in pairs.values() for rows in pair))
    return Verdict(what, scale, OPEN, Tested(parts, claimed, complete, unit))


def _by_design(root: Path, labels: Sequence[str], claimed: float) -> Verdict | None:
    """What the study `design` decides of a claim that ASAP's cells are better than each of these arms'; None before its first look.

    The verdict is the better judge's (`short.better`) on the cells as they are. The other judge is said beside it, and both at equal size;
    where the two judges decide opposite ways, the claim is inconclusive. claimed: the paper's own difference of errors; where the errors
    judge and every interval lies within it, there is no such difference.
    """
    frame = design.recorded(root)
    frame = frame[frame["arm"].isin([design.BASE, *labels]) & (frame["look"] > 0)]
    as_they_are = frame[~frame["adjusted"].astype(bool)]
    raw = {outcome: rows.set_index("arm") for outcome, rows in as_they_are.groupby("outcome") if set(labels) <= set(rows["arm"])}
    if not labels or "score" not in raw:
        return None
    judge = better if (better := short.better(surrogate.figures(root))) in raw else "score"
    found, names = raw[judge], {"score": "the surrogate's score", "error": "error"}
    told = set(found["verdict"][list(labels)])
    verdict = FAILS if design.WORSE in told else HOLDS if told == {design.BETTER} else OPEN
    if verdict == OPEN and judge == "error" and found.loc[list(labels), ["low", "high"]].abs().to_numpy().max() < claimed:
        verdict = EQUAL
    if any({design.WORSE, design.BETTER} <= set(by_judge) for _, by_judge in as_they_are.groupby("arm")["verdict"]):
        verdict = INCONCLUSIVE
    said = []
    for arm in labels:
        by_judge = [
            f"{'at equal size' if row.adjusted else names[str(row.outcome)]} {row.difference:+.2f} [{row.low:+.2f}, {row.high:+.2f}], "
            f"p {p_value(row.p)}, {row.verdict}"
            for row in each(frame[frame["arm"] == arm])
        ]
        least = found["detectable"][arm]
        said.append(f"{arm}: {'; '.join(by_judge)}; {names[judge]} could have shown {least:.2f} (power 80 %)")
    looks = sorted(set(found["look"][list(labels)]))
    counts = found["n"].to_dict() | {design.BASE: design.LOOKS[looks[-1]][design.BASE]}
    n = ", ".join(f"{counts[arm]} ({arm})" for arm in (design.BASE, *labels))
    ours = f"other cells minus ASAP's, look {' and '.join(map(str, looks))}, simultaneous intervals. {'. '.join(said)}. "
    ours += f"Extrapolated, of these scores by a surrogate trained on NAS-Bench-301's labels: {raw['score']['extrapolated'].sum()}"
    return Verdict(ours, f"cpu, study design, n = {n}", verdict)


def larger_than_asaps(
    root: Path, what: str, groups: Sequence[Sequence[str]], column: str = "error", designed: Sequence[str] = (), claimed: float = 0.0,
    unit: str = "points",
) -> Verdict:  # fmt: skip
    """Whether the values of other arms are larger than those of ASAP's own cells, by Welch's tests.

    what: the difference in words. groups: the comparators' arms, alternatives together. column: error, or one of a search's. designed: the
    arms by which the study `design` decides the claim once its first look is complete; until then no run of its counts. claimed, unit: the
    paper's difference.
    """
    if decided := _by_design(root, designed, claimed):
        return decided
    kind = "evaluation" if column == "error" else "search"
    found = compared(root, ["ASAP"], *groups, kind=kind, without=design.held(root))
    asap = found.pop("ASAP")
    return _tested(root, what, {label: (rows, asap) for label, rows in found.items()}, groups, column, claimed, unit)


def random_cells(root: Path, what: str) -> Verdict:
    """`larger_than_asaps` of random cells, and what their difference is at equal size."""
    verdict = larger_than_asaps(root, what, [[design.RANDOM]], designed=[design.RANDOM])
    if not verdict.test:
        return verdict
    both = pd.concat(compared(root, ["ASAP"], [design.RANDOM], kind="evaluation", without=design.held(root)).values())
    cells = both.groupby(["label", "cell"], as_index=False)[["error", "parameters_36"]].mean().dropna()
    cells = cells.assign(arm=cells["label"], value=cells["error"], size=np.log(cells["parameters_36"]))
    means = cells.assign(value=design.size_adjusted(cells)).groupby("arm")["value"].mean()
    if len(means) < 2:
        return verdict
    equal = f"at equal size, which is not tested, the difference is {means[design.RANDOM] - means['ASAP']:+.2f}"
    return replace(verdict, ours=f"{verdict.ours} (below 0, ASAP's cells are worse; {equal})")


def accumulated_beats_magnitude(root: Path, what: str, pairs: Mapping[str, Sequence[str]], claimed: float) -> Verdict:
    """Each arm of magnitude pruning minus that of accumulated gradients of the same p. pairs: both by p, of which the design has none."""
    both_arms = ([label] for both in zip(*pairs.values(), strict=True) for label in both)
    found = verdicts.arms(root, *both_arms, kind="evaluation", without=design.STUDIES)
    both = {p: (found[m], found[a]) for p, (m, a) in pairs.items() if m in found and a in found}
    return _tested(root, what, both, [list(both)], claimed=claimed)


def larger_than_the_published_cell_s(root: Path, what: str, dataset: str, kind: str, claimed: float = 0.0) -> Verdict:
    """Each other published cell of the study `transfer`, or the random cells as one arm, against the published ASAP cell."""
    frame = results.evaluations(root)
    frame = frame[frame["by_recipe"] & (frame["dataset"] == dataset) & (frame["scale"] == "cpu") & frame["kind"].isin([kind, "published"])]
    frame = frame.assign(label=frame["cell"].mask(frame["kind"] == "random", design.RANDOM))
    cells = {p.parameters.identity()["cell"].lower() for p in load("transfer").planned}
    names = sorted(cell for cell in cells if cell != "asap" and not cell.startswith("random-")) if kind == "published" else [design.RANDOM]
    frame = one_copy(frame, "label", [["asap"], *([name] for name in names)])
    arms = {str(label): rows for label, rows in frame.groupby("label")}
    published = arms.pop("asap", frame.head(0)).assign(label="the published ASAP cell")
    pairs = {name: (arms[name], published) for name in names if name in arms and len(published)}
    return _tested(root, what, pairs, [[name] for name in names], claimed=claimed)


def _at_paper_scale(root: Path, what: str, *widths: int) -> list[pd.DataFrame]:
    """The evaluations of the published ASAP cell on CIFAR-10 with so many channels. Raises `MissingRecord`, what, where one has none."""
    frame = results.evaluations(root)
    frame = frame[frame["changed"].isin(["", "channels"]) & (frame["scale"] == "paper") & (frame["dataset"] == "cifar10")]
    frame = frame[frame["cell"] == "asap"].assign(label="asap")
    found = [one_copy(frame[frame["channels"] == c], "label", [["asap"]]) for c in widths]
    if any(rows.empty for rows in found):
        raise MissingRecord(what)
    return found


def error(root: Path, printed: float) -> Verdict:
    (runs,) = _at_paper_scale(root, "an evaluation at paper scale with 50 channels", 50)
    noise = images_noise([printed], int(runs["test_images"].iloc[0]))
    ours = f"{runs['error'].mean():.2f} %, where two standard errors of a difference of two such errors are {2 * noise:.2f}"
    return Verdict(ours, scale_of(runs), verdict_from_count(int((runs["error"] <= printed + 2 * noise).sum()), len(runs)))


def wider(root: Path) -> Verdict:
    widths = (36, 44, 50)
    found = _at_paper_scale(root, "evaluations at paper scale with 36, 44 and 50 channels", *widths)
    steps = pairwise(zip(widths, found, strict=True))
    pairs = {f"{narrow} channels minus {wide} channels": (more, less) for (narrow, more), (wide, less) in steps}
    return _tested(root, "differences of the errors", pairs, [[name] for name in pairs])


def size(root: Path, said: str, channels: int, network: str = "cifar10", printed: float = np.nan, work: float = 0.0) -> Verdict:
    """Whether the published cell's network has so many parameters as printed, with or without an auxiliary head, or less `work`. A size
    above that without SE cannot be told: the paper gives no reduction of SE. said: with places for its sizes; all in millions.
    """
    found = tables.size_of(root, channels, network)
    same = [tables.size_verdict(found[name], printed) for name in ("parameters", "with_auxiliary") if name in found]
    holds = found["multiply_adds"] < work if work else tables.SAME in same
    return Verdict(said.format(**found), "exact", HOLDS if holds else OPEN if printed > found.get("without_attention", np.inf) else FAILS)


def transfer(root: Path) -> Verdict:
    errors, sets = tables.table2().drop(columns="imagenet"), tables.paper()["table2"]["datasets"]
    noise = pd.Series({name: images_noise([errors[name]["ASAP"]], sets[name]["test_images"]) for name in errors})
    lead = errors.drop("ASAP").min() - errors.T["ASAP"]
    leads, clear = (lead > 0).sum(), (lead > 2 * noise).sum()
    ours = f"it leads on {leads} of {len(lead)}, on {clear} by more than two standard errors of a difference"
    return Verdict(ours, "the paper's numbers", PRINTED if leads == 4 else FAILS)


def best_known(root: Path) -> Verdict:
    sets = {name: entry for name, entry in tables.paper()["table2"]["datasets"].items() if name in ("cinic10", "freiburg")}
    below = tables.table2()[list(sets)] < [entry["best"] for entry in sets.values()]
    ours = "; ".join(
        f"on {sets[name]['name']} so are {below.drop('ASAP')[name].sum()} of the {len(below) - 1} other cells" for name in sets
    )
    return Verdict(ours, "the paper's numbers", PRINTED if below.loc["ASAP"].all() else FAILS)


def imagenet_second(root: Path) -> Verdict:
    order = tables.table2()["imagenet"].sort_values()
    (first, second), behind = order.index[:2], order.iloc[2] - order.iloc[1]
    noise = images_noise([order.iloc[1]], tables.paper()["table2"]["datasets"]["imagenet"]["test_images"])
    ours = f"{first} first, {second} second, the third {behind:.1f} points behind ({behind / noise:.0f} standard errors)"
    return Verdict(ours, "the paper's numbers", PRINTED if (first, second) == ("AmoebaNet-A", "ASAP") else FAILS)

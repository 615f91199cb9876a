"""How the claims on the course of a search are judged from the records; paper/claims.yaml says which judge is whose. Never knows torch.

A judge raises `RecordError` where there is no record to judge by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..records.run import MissingRecord
from . import results, tables, verdicts
from .methods_study import elsewhere
from .verdicts import ACCUMULATED, Verdict, compared, listed, one_copy, scale_of, verdict_from_count, verdict_from_order

FIGURE6 = (("ASAP",), ("ENAS",), ("DARTS",), ACCUMULATED)  # the methods of Figure 6; it does not say with which p


def plain_searches(root: Path) -> pd.DataFrame:
    """The finished plain ASAP searches on CIFAR-10, by seed, on every copy of the images.

    One whose certificates are recorded, and prune nothing, is plain: it is the same search to the bit, and counts once.
    """
    frame = results.searches(root).query("method == 'asap' and dataset == 'cifar10'").sort_values(["seed", "prune_rule"])
    plain = frame["by_recipe"] | ((frame["prune_rule"] == "watched") & (frame["changed"] == "prune_rule"))
    return frame[plain].drop_duplicates(["scale", "copy", "seed"])


def asap_searches(root: Path) -> dict[str, pd.DataFrame]:
    """The `plain_searches` by scale, the largest first, of one copy of the images: what Figures 2 to 5 and the verdicts stand on."""
    plain = plain_searches(root)
    found = {scale: one_copy(plain[plain["scale"] == scale], "method") for scale in ("paper", "cpu")}
    return {scale: rows for scale, rows in found.items() if len(rows)}


def measured(root: Path, runs: pd.DataFrame) -> pd.DataFrame:
    """Searches with what is measured of them beside the columns of `results.searches`:

    entropies, entropy_high, entropy_low   of both cells at the end, in words, and the higher and the lower
    last_over_longest   seconds of the last epoch's steps over those of the longest epoch
    largest_epoch, final_cut, largest_step   the share of the connections that goes in one epoch, in the cut to one operation an edge at
                        the end, and the larger of both
    lost                points of validation accuracy that this cut loses; none where every edge was decided before; nan without a record
    lost_to_the_cell    the same down to the derived cell
    roughness           standard deviation of the change of the validation accuracy from epoch to epoch in the second half, points
    """
    epochs = results.epochs(root)
    courses = [epochs[epochs["run"] == run] for run in runs["run"]]
    entropy = runs[["entropy_normal", "entropy_reduce"]]
    runs = runs.assign(
        entropies=[f"{normal:.3f} / {reduce:.3f}" for normal, reduce in entropy.to_numpy()],
        entropy_high=entropy.max(axis=1),
        entropy_low=entropy.min(axis=1),
        last_over_longest=[course["steps_seconds"].iloc[-1] / course["steps_seconds"].max() for course in courses],
        largest_epoch=[-course["density"].diff().min() for course in courses],
        final_cut=(runs["operations_left"] - runs["edges"]) / runs["operations"],
        lost=(runs["accuracy"] - runs["one_operation"]).mask(runs["decided"].astype(bool) & runs["one_operation"].notna(), 0.0),
        lost_to_the_cell=runs["accuracy"] - runs["derived"],
        roughness=[course["fall"].iloc[len(course) // 2 :].std() for course in courses],
    )
    return runs.assign(largest_step=runs[["largest_epoch", "final_cut"]].max(axis=1))


def spelt_range(values: pd.Series, digits: int = 0) -> str:
    """`19`, `19 and 21`, `7 to 21`: one value, two, or the range of more; nothing of none."""
    known = [f"{value:.{digits}f}" for value in sorted({round(value, digits) for value in values.dropna()})]
    return f"{known[0]} to {known[-1]}" if len(known) > 2 else " and ".join(known)


def each_search(
    root: Path, said: str, column: str, above: float = -np.inf, below: float = np.inf, groups: Sequence[Sequence[str]] = (),
    readings: bool = False, clocked: bool = False, settled: bool = False,
) -> Verdict:  # fmt: skip
    """Whether a column of every search, of the frames or `measured`, lies between two limits (exclusive).

    groups: the arms whose searches count; without any they are the plain ASAP searches, whose largest scale decides; what is found at the
    other is said beside it. readings: whether ASAP searches by the paper's other readings count too. clocked: whether those that are
    `clocked` count alone, where there are any. settled: whether the settings alone decide, so that one run is as good as many. said: what
    is found, with places for `mean`, `most` and `least` (by column), `range`, `tenths` and `lowest` (of the column), `entropies`, the
    range of `other` readings, and how many are `good` of `n`.
    """
    by_scale = [compared(root, *groups, least=len(groups))] if groups else [{"ASAP": rows} for rows in asap_searches(root).values()]
    plain, found = plain_searches(root), []
    for arms in by_scale:
        every = measured(root, pd.concat(arms.values()))
        if clocked and every["clocked"].any():
            every = every[every["clocked"]]
        more = [] if groups else [plain, *([results.searches(root).query("arm_sensitivity not in ['', 'As decided']")] if readings else [])]
        beside = measured(root, pd.concat([every.iloc[:0], *more]).query("scale == @every.scale.iloc[0]"))
        here = beside["copy"] == every["copy"].iloc[0]
        other, apart = beside[here & ~beside["run"].isin(plain["run"])], beside[~here].dropna(subset=column)
        apart = apart[apart["clocked"]] if clocked else apart
        runs = pd.concat([every, other]).dropna(subset=column)
        if runs.empty:
            continue
        good, numbers = runs[column].between(above, below, inclusive="neither").sum(), runs.select_dtypes("number")
        lowest = listed({label: [rows[column].min()] for label, rows in runs.groupby("label")} if groups else {}, 3)
        told = said.format(
            mean=numbers.mean(), most=numbers.max(), least=numbers.min(), lowest=lowest, range=spelt_range(every[column]), good=good,
            n=len(runs), tenths=spelt_range(runs[column], 1), entropies=", ".join(every["entropies"]),
            other=f", {spelt_range(other[column])} in searches by other readings of the paper" if len(other) else "",
        )  # fmt: skip
        so = apart[column].between(above, below, inclusive="neither").sum()
        other_copy = f"on another copy of the images, not counted: {so} of {len(apart)} as claimed" * bool(len(apart))
        counted = [rows for group in groups if len(rows := runs[runs["label"].isin(group)])] or [runs]
        least = 2 if settled else min(map(len, counted))
        found.append(Verdict(told, scale_of(*counted), verdict_from_count(good, len(runs), least), beside=other_copy))
    if not found:
        raise MissingRecord(f"a search that records this ({column})" if by_scale else "a finished ASAP search on CIFAR-10")
    first, *rest = found
    return replace(
        first, ours="; ".join([first.ours, *(f"at {v.scale}: {v.ours} ({v.verdict})" for v in rest)]),
        beside="; ".join(v.beside for v in found if v.beside),
    )  # fmt: skip


def final_temperature(root: Path) -> Verdict:
    printed = tables.paper()["search"]
    final = printed["initial_temperature"] * printed["temperature_decay"] ** printed["epochs"]
    return Verdict(f"T = {final:.3f}", "exact", verdicts.HOLDS if round(final, 1) == 0.1 else verdicts.FAILS)


def hours(root: Path) -> Verdict:
    runs = asap_searches(root).get("paper")
    if runs is None:
        raise MissingRecord("a search at paper scale")
    on_its_card = runs[runs["device"].str.contains("1080 Ti")]
    shown = runs if on_its_card.empty else on_its_card
    took = shown["seconds"] / 3600
    device = shown["device"].iloc[0] if shown["device"].iloc[0] != "cpu" else f"a CPU, threads: {shown['threads'].iloc[0]}"
    good = int((took < tables.paper()["search"]["hours"] + 0.05).sum())
    told = verdicts.SHOWN if on_its_card.empty else verdict_from_count(good, len(took))
    return Verdict(f"{took.mean():.2f} h on {device}", scale_of(shown), told)


def _order(found: Mapping[str, pd.DataFrame], first: str, column: str, lower: bool = False) -> str:
    """Whether every search of the first arm has a larger value (or a `lower` one) than every search of the others. Where an arm does not
    record it, it cannot be told."""
    values = {label: known * (1 - 2 * lower) for label, rows in found.items() if len(known := rows[column].dropna())}
    return verdict_from_order(values.pop(first), values) if len(values) == len(found) > 1 else verdicts.OPEN


def _of_all(told: str, found: Mapping[str, pd.DataFrame], groups: Sequence[Sequence[str]]) -> str:
    """The verdict on a superlative: one counterexample refutes it, and it cannot be told to hold until every group has a run."""
    whole = all(any(label in found for label in group) for group in groups)
    return told if whole or told not in (verdicts.HOLDS, verdicts.SEEN) else verdicts.OPEN


def ordered(root: Path, said: str, column: str, groups: Sequence[Sequence[str]], lower: bool = False, clocked: bool = False) -> Verdict:
    """Whether every search of the first group's arm has a larger value (or a `lower` one) than every search of the others.

    said: what is found, with places for the means of the arms: {0} of the first, or {listed} of all, named.
    """
    found = compared(root, *groups, clocked=clocked)
    values = {label: rows[column] for label, rows in found.items()}
    ours = said.format(*map(np.mean, values.values()), listed=listed(values, 0))
    return Verdict(ours, scale_of(*found.values()), _of_all(_order(found, next(iter(found)), column, lower), found, groups))


def enas_low_and_noisy(root: Path) -> Verdict:
    found = {label: measured(root, rows) for label, rows in compared(root, ["ENAS"], ["ASAP"], ["DARTS"], least=3).items()}
    kept = {label: found[label] for label in ("ENAS", "DARTS")}  # ASAP's prunings are another claim
    low, noisy = _order(found, "ENAS", "accuracy", lower=True), _order(kept, "ENAS", "roughness")
    ends, noise = {label: rows["accuracy"] for label, rows in found.items()}, {label: rows["roughness"] for label, rows in kept.items()}
    ours = f"at the end, {listed(ends, 1, ' %')} ({low}); "
    ours += f"in the second half the change from epoch to epoch deviates by {listed(noise, 1)} points ({noisy})"
    apart = {label: measured(root, rows)["roughness"].dropna() for label, rows in elsewhere(found, root).items() if label in kept}
    said = listed({label: values for label, values in apart.items() if len(values)}, 1)
    beside = f"on another copy of the images, not counted: {said}" * bool(said)
    return Verdict(ours, scale_of(*found.values()), verdicts.worst_of(low, noisy), beside=beside)


def smaller_perturbations(root: Path) -> Verdict:
    groups = (["ASAP"], ACCUMULATED, [verdicts.LIKE_FOR_LIKE])
    found = compared(root, *groups, needs=["largest_fall"])
    found = {label: known for label, rows in found.items() if len(known := rows.dropna(subset="largest_fall"))}
    theirs = {label: rows for label, rows in found.items() if label in ACCUMULATED}
    own = [label for label in found if label not in ACCUMULATED]
    if not own or not theirs:
        raise MissingRecord("searches by ASAP and by accumulated gradients that prune")
    name = {verdicts.LIKE_FOR_LIKE: verdicts.AT_EPOCH_END}
    said = listed({name.get(label, label): [rows["largest_fall"].max()] for label, rows in found.items()}, 1)
    told = verdicts.worst_of(*(_order({label: found[label], **theirs}, label, "largest_fall", lower=True) for label in own))
    return Verdict(f"largest fall in an epoch that prunes, in points: {said}", scale_of(*found.values()), _of_all(told, found, groups))


def highest_at_the_end(root: Path) -> Verdict:
    stages = {"accuracy": "mixture", "one_operation": "one operation an edge", "derived": "derived cell"}
    found, said = compared(root, *FIGURE6, needs=list(stages)), []
    told = {column: _of_all(_order(found, "ASAP", column), found, FIGURE6) for column in stages}
    for column, stage in stages.items():
        ends = {label: values for label, rows in found.items() if len(values := rows[column].dropna())}
        missing = "" if "ASAP" in ends else "; ASAP not recorded on this copy of the images"
        said.append(f"{stage}: {listed(ends, 1, ' %')} ({told[column]}{missing})")
    return Verdict("; ".join(said), scale_of(*found.values()), verdicts.worst_of(*told.values()))


def arbitrary_choice(root: Path) -> Verdict:
    runs = compared(root, ["DARTS"], least=1)["DARTS"]
    ratios = [_leader_over_second(results.record(run, root).architecture()) for run in runs["run"]]
    ours = f"on the median edge the largest Φ is {np.mean(ratios):.2f} times the second (comparable: below 1.5)"
    return Verdict(ours, scale_of(runs), verdict_from_count(sum(r < 1.5 for r in ratios), len(ratios)))


def _leader_over_second(frame: pd.DataFrame) -> float:
    """The largest Φ of an edge over the second, but none, at the end; the median of the edges. frame: of architecture.parquet."""
    last = frame[(frame["epoch"] == frame["epoch"].max()) & (frame["operation"] != "none")]
    phi = last.sort_values("phi").groupby(["cell", "edge"], observed=True)["phi"]
    return float(phi.apply(lambda phi: phi.iloc[-1] / phi.iloc[-2]).median())

"""The pages that compare cells under one recipe: Tables 1 and 2. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd

from ..records.parameters import EvaluationParameters, runs_root
from ..records.run import RecordError, Run
from ..records.study import load
from . import tables
from .inference import pair, rank_correlation
from .pages import against, copy_note, download, missing, problems, records, say
from .verdicts import arm

STUDY = "transfer"


def _name(cell: str) -> str:
    """How the tables call a cell: a published one as the study does."""
    arms = {p.parameters.cell.lower(): p.label for p in load(STUDY).planned if isinstance(p.parameters, EvaluationParameters)}
    return cell if tables.is_random(cell) else arms.get(cell, cell)


def _unprinted(ours: pd.DataFrame, printed: Iterable[str | None]) -> list[str]:
    """The published cells of which we have errors and a table of the paper has no row. printed: the cells of its rows."""
    rows = {cell.lower() for cell in printed if cell}
    return [cell for cell in map(str, ours.index) if cell not in rows and tables.is_published(cell)]


def table1(scale: str = "cpu") -> None:
    """Table 1: the paper's rows, exact sizes, and the errors recorded at one scale."""
    problems()
    root = runs_root()
    runs = tables.by_recipe(root, "evaluation", dataset="cifar10", scale=scale)
    try:
        known = tables.sizes(root)
    except RecordError as error:
        say(f":::{{warning}}\n{error}\n:::")
        return
    ours = tables.errors(runs)
    rows = []
    for row in tables.paper()["table1"]["rows"]:
        cell, channels = row["cell"], row.get("channels", 36)
        size = known[(cell, channels)] if cell else None
        rows.append(
            [
                row["architecture"],
                tables.plus_minus(row["error"], row["deviation"]),
                f"{row['parameters']:.1f}",
                f"{row['cost']:g}",
                f"{size['parameters'] / 1e6:.3f} ({channels})" if size is not None else "–",
                tables.size_verdict(size["parameters"] / 1e6, row["parameters"]) if size is not None else "–",
                f"{size['multiply_adds'] / 1e6:.0f}" if size is not None else "–",
                _of_cell(ours, cell.lower()) if cell and channels == 36 else "–",
            ]
        )
    spelt = {cell.lower(): cell for cell, _ in known}
    for cell in _unprinted(ours, (row["cell"] for row in tables.paper()["table1"]["rows"])):
        size = known[(spelt[cell], 36)]
        computed = f"{size['parameters'] / 1e6:.3f} (36)"
        rows.append([_name(cell), "–", "–", "–", computed, "–", f"{size['multiply_adds'] / 1e6:.0f}", _of_cell(ours, cell)])
    large = known[("ASAP", 56)]
    rows.append(
        [
            "ASAP, the width that 6.0 M needs",
            "–",
            "6.0",
            "–",
            f"{large['parameters'] / 1e6:.3f} (56)",
            "",
            f"{large['multiply_adds'] / 1e6:.0f}",
            "–",
        ]
    )
    rows.append(["random cells", "–", "–", "0", "–", "–", "–", _random(ours)])
    headers = ["architecture", "paper: error, %", "paper: M", "paper: GPU-days", "computed: M (C)", "size: verdict", "M multiply-adds",
               f"ours at {scale}: error, % (n)"]  # fmt: skip
    say(tables.markdown(headers, rows))
    say(
        "**Table 1.** Paper: as printed. Computed: parameters of the published cell in the evaluation network of 20 cells at C channels, without the "
        "auxiliary head, and whether that is the printed number (the other papers print the sizes of networks of their own; a dash where the cell was "
        "never published: AmoebaNet-B, DSO-NAS, PARSEC, and the first-order cell of DARTS; published cells that the paper's table lacks follow its rows). Ours: test error of recorded evaluations, mean ± deviation "
        f"between seeds, n seeds; of random cells, mean ± deviation between cells, n cells.{copy_note(runs)}{download(root / 'sizes' / 'cifar10.csv')}"
    )
    asap = known[("ASAP", 50)]["parameters"] / 1e6
    say(
        f"**ASAP-Large has {asap:.2f} M parameters, not 6.0 M.** The published cell gives the printed sizes at 36 and 44 channels, and {asap:.3f} M at the "
        f"50 channels that the paper names. {large['parameters'] / 1e6:.2f} M would need 56 channels."
    )
    if not runs:
        missing(f"an evaluation at {scale} scale", f"asap evaluate --cell ASAP --dataset cifar10 --scale {scale} --study cells")
        return
    _ranking(ours, {r["cell"].lower(): r["error"] for r in tables.paper()["table1"]["rows"] if r["cell"] and r.get("channels", 36) == 36})
    _against_asap(ours, runs[0].outcome["test_images"])
    _own(runs)
    records(("", run) for run in runs)


def _spread(seeds: Iterable[float]) -> str:
    values = list(seeds)
    return tables.spread(values) + (f" ({len(values)})" if len(values) else "")


def _of_cell(ours: pd.DataFrame, cell: str) -> str:
    """A cell's errors, over seeds; a dash where there are none."""
    return _spread(ours.T[cell].dropna()) if cell in ours.index else "–"


def _random(ours: pd.DataFrame) -> str:
    """The random cells' errors: over cells, each the mean of its seeds."""
    return _spread(ours[[tables.is_random(cell) for cell in ours.index]].mean(axis=1))


def _ranking(ours: pd.DataFrame, printed: dict[str, float]) -> None:
    """Whether our order of the published cells is the paper's."""
    mean = ours.mean(axis=1)
    both = [cell for cell in printed if cell in mean.index]
    if len(both) < 4:
        say(f"A rank correlation with the paper's order needs four cells; {len(both)} are recorded.")
        return
    paper, own = [printed[cell] for cell in both], mean[both].to_numpy()
    rho, chance = rank_correlation(paper, own)
    apart = [(i, j) for i, j in combinations(range(len(both)), 2) if paper[i] != paper[j]]
    agree = sum((paper[i] - paper[j]) * (own[i] - own[j]) > 0 for i, j in apart)
    say(
        f"**Order of {len(both)} published cells, the paper's errors against ours:** Spearman's ρ = {rho:.2f} (a correlation this far from 0 has "
        f"probability {chance:.2f} by chance); {agree} of the {len(apart)} pairs whose printed errors differ are in the same order."
    )


def _against_asap(ours: pd.DataFrame, images: int) -> None:
    """Each cell against the published ASAP cell, paired by seed."""
    if "asap" not in ours.index:
        return
    by_seed = {str(cell): tables.by_seed(row) for cell, row in ours.iterrows()}
    others = [cell for cell in by_seed if cell != "asap" and "/" not in cell]
    tests = {_name(cell): pair(by_seed[cell], by_seed["asap"], images) for cell in others}
    against("**Against the published ASAP cell, paired by seed**: a cell's error minus ASAP's", tests, "cell")


def _own(runs: list[Run]) -> None:
    """The cells of this project's own ASAP searches."""
    plain = {run.name for run in arm(runs_root(), "ASAP")}
    rows = []
    for run in runs:
        name = run.parameters["run"]
        if name in plain:
            result = run.outcome
            error = tables.plus_minus(result["test_error"], result["test_error_standard_error"])
            rows.append([f"`{name}`", error, f"{result['parameters'] / 1e6:.3f}", str(run.parameters["seed"])])
    if rows:
        say("**Cells that our own ASAP searches ended in**, under the same recipe:")
        say(tables.markdown(["search", "test error, % (± binomial)", "parameters, M", "seed"], rows))


def table2(scale: str = "cpu") -> None:
    """Table 2: the paper's errors on six further data sets, the margins of its wins, and what is recorded here."""
    problems()
    table = tables.paper()["table2"]
    sets = table["datasets"]
    headers = ["architecture", *(entry["name"] for entry in sets.values()), "GPU-days"]
    rows = [[row["architecture"], *(f"{error:g}" for error in row["errors"]), f"{row['cost']:g}"] for row in table["rows"]]
    rows.insert(0, ["known state of the art", *(f"{entry['best']:g}" for entry in sets.values()), "–"])
    say(tables.markdown(headers, rows))
    say("**Table 2, as printed**: test error, %.")
    margins = []
    for i, entry in enumerate(sets.values()):
        found = sorted((row["errors"][i], row["architecture"]) for row in table["rows"])
        asap = next(row["errors"][i] for row in table["rows"] if row["architecture"] == "ASAP")
        best = min(error for error, name in found if name != "ASAP")
        p = asap / 100
        deviation = 100 * np.sqrt(p * (1 - p) / entry["test_images"])
        margins.append(
            [entry["name"], f"{asap:g}", f"{best:g}", f"{best - asap:+.2f}", f"{entry['test_images']:,}", f"{deviation:.2f}",
             "within one" if abs(best - asap) <= np.sqrt(2) * deviation else f"{abs(best - asap) / (np.sqrt(2) * deviation):.1f}"]
        )  # fmt: skip
    say(
        "**What the margins are worth.** The binomial standard error is that of an error rate on so many test images; a difference of two has √2 times "
        "as much, and training anew adds the deviation between seeds, which the paper does not report here."
    )
    say(
        tables.markdown(
            ["data set", "ASAP, %", "best other, %", "margin", "test images", "standard error", "margin in errors of a difference"], margins
        )
    )
    root = runs_root()
    absent = []
    for i, (name, entry) in enumerate(sets.items()):
        runs = tables.by_recipe(root, "evaluation", dataset=name, scale=scale)
        if not runs:
            absent.append(entry["name"])
            continue
        ours = tables.errors(runs)
        say(
            f"**{entry['name']}, recorded at scale {scale}**: test error, %, mean ± deviation between seeds (n seeds); of random cells, between cells (n cells).{copy_note(runs)}"
        )
        lines = []
        for row in table["rows"]:
            lines.append([row["architecture"], f"{row['errors'][i]:g}", _of_cell(ours, row["cell"].lower())])
        unprinted = _unprinted(ours, (row["cell"] for row in table["rows"]))
        lines += [[_name(cell), "–", _of_cell(ours, cell)] for cell in unprinted]
        lines.append(["random cells", "–", _random(ours)])
        say(tables.markdown(["cell", "paper", "ours"], lines))
        _ranking(ours, {row["cell"].lower(): row["errors"][i] for row in table["rows"]})
        _against_asap(ours, runs[0].outcome["test_images"])
        _foretold(runs, entry["name"], scale)
        records(("", run) for run in runs)
    if absent:
        say(
            f":::{{note}}\nNo record at scale {scale}: {', '.join(absent)}. With the data at hand, `asap evaluate --cell NAME --dataset SET --scale paper` "
            "trains a cell by the paper's recipe for that set.\n:::"
        )
    _imagenet_sizes()


def _foretold(runs: list[Run], name: str, scale: str) -> None:
    """What tells a cell's error on a data set beforehand: its error on CIFAR-10, and its size."""
    before = tables.by_cell(tables.by_recipe(runs_root(), "evaluation", dataset="cifar10", scale=scale))
    known = tables.by_cell(runs).join(before["error"].rename("error_before"), how="inner")
    if len(known) < 4:
        return
    by_error = rank_correlation(known["error_before"], known["error"])
    by_size = rank_correlation(known["parameters"], known["error"])
    say(
        f"**What tells the order of {len(known)} cells on {name}:** their errors on CIFAR-10, Spearman's ρ = {by_error[0]:.2f} "
        f"(by chance with probability {by_error[1]:.2g}); their parameters, ρ = {by_size[0]:.2f} ({by_size[1]:.2g})."
    )


def _imagenet_sizes() -> None:
    """The ImageNet network's size: DARTS' and the paper's."""
    try:
        known = tables.sizes(runs_root(), "imagenet")
    except RecordError as error:
        say(f":::{{warning}}\n{error}\n:::")
        return
    rows = []
    for row in tables.paper()["table2"]["rows"]:
        plain, paper = known[(row["cell"], 48)], known[(row["cell"], 50)]
        rows.append([row["architecture"], f"{plain['parameters'] / 1e6:.2f}", f"{plain['multiply_adds'] / 1e6:.0f}", f"{paper['parameters'] / 1e6:.2f}",
                     f"{paper['with_auxiliary'] / 1e6:.2f}", f"{paper['multiply_adds'] / 1e6:.0f}"])  # fmt: skip
    headers = ["cell", "C = 48: M", "M multiply-adds", "C = 50, SE: M", "with auxiliary head", "M multiply-adds"]
    say(
        "**The ImageNet network of 14 cells**: millions of parameters and of multiply-adds, with DARTS' width and with the paper's 50 channels and SE."
    )
    say(tables.markdown(headers, rows))
    asap = known[("ASAP", 50)]
    say(
        f"The paper prints 5.7 M and under 600 M multiply-adds for ASAP. The cell gives {asap['parameters'] / 1e6:.2f} M parameters, "
        f"{asap['with_auxiliary'] / 1e6:.2f} M with the auxiliary head, and {asap['multiply_adds'] / 1e6:.0f} M multiply-adds."
        f"{download(runs_root() / 'sizes' / 'imagenet.csv')}"
    )


def planned() -> None:
    """What of the study is recorded."""
    study = load(STUDY)
    left = study.seconds(runs_root())
    done = len(study.planned) - len(left)
    say(
        f"Recorded: {done} of the {len(study.planned)} runs of the study `{study.name}`; `asap study {study.name} --commands` prints what makes the others."
    )

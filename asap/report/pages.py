"""What the pages of the book show: each function finds its runs, draws, and says on the page which record it drew from,
or that the record is missing. Needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure

from ..paper.space import published_cell
from ..records.parameters import EvaluationParameters, SearchParameters, checkout, make, runs_root
from ..records.presets import SCALE_NAMES
from ..records.run import Run, find_runs
from . import animation, figures, tables
from .claims import judged
from .claims_search import clocked, searches
from .inference import Paired, bracket, holm, number
from .verdicts import DIRECTION, FAILS, HOLDS, OPEN


def say(text: str) -> None:
    """Show Markdown."""
    display(Markdown(text))


def missing(what: str, command: str) -> None:
    """Say that a page's record is missing, and what makes it."""
    say(f":::{{warning}}\nThis needs {what}, and there is no such record under `runs/`. It is made by\n\n```\n{command}\n```\n:::")


def problems() -> None:
    """Name the records that were left out because they are damaged."""
    _, lines = find_runs(runs_root())
    if lines:
        say(":::{warning}\nLeft out, damaged: " + "; ".join(f"`{line}`" for line in lines) + "\n:::")


def download(*paths: Path) -> str:
    """Links to files of the checkout, or nothing where they lie outside the book."""
    try:
        inside = [path.resolve().relative_to(checkout()).as_posix() for path in paths]
    except ValueError:
        return ""
    return " Data: " + ", ".join(f"{{download}}`{path.name} </{place}>`" for path, place in zip(paths, inside, strict=True)) + "."


def files(run: Run) -> str:
    """Links to the files of a record."""
    return download(*(run.folder / name for name in ("run.json", *run.info["files"])))


def provenance(run: Run) -> str:
    """One line: the run, what it ran on, and its files to download."""
    machine, data = run.info["machine"], run.info["data"]
    device = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    return (
        f"Run `{run.name}`: scale {run.parameters['scale']}, seed {run.parameters['seed']}, data `{data['variant']}` "
        f"(fingerprint `{data['fingerprint']}`), code `{machine['git_commit'][:12]}`, torch {machine['torch']}, {device}, "
        f"{machine['threads']} thread{'s' if machine['threads'] != 1 else ''}, {run.outcome['seconds'] / 60:.0f} minutes.{files(run)}"
    )


def records(runs: Iterable[tuple[str, Run]]) -> None:
    """The records behind a page, each with what it is, folded away."""
    lines = [f"- {f'{label}: ' if label else ''}{provenance(run)}" for label, run in runs]
    if lines:
        say(":::{dropdown} The records\n" + "\n".join(lines) + "\n:::")


def show(figure: Figure, caption: str) -> None:
    """Show a figure with its caption below it."""
    display(figure)
    plt.close(figure)
    say(caption)


def copy_note(runs: Iterable[Run]) -> str:
    """A sentence to append, where the records name a JPEG copy of the images."""
    copies = sorted({variant for run in runs if "-jpeg" in (variant := run.info["data"]["variant"])})
    if not copies:
        return ""
    named = " and ".join(f"`{variant}`" for variant in copies)
    return f" Trained on {named}, a JPEG copy, so an error here is not exactly comparable with the paper's; see [what is reproduced](/book/audit.md)."


def the_search(timed: bool = False) -> Run | None:
    """The search that Figures 2 to 5 show: the first seed of the largest scale recorded.

    timed: prefer one whose steps were timed by a clock that other processes on the machine do not disturb.
    """
    problems()
    runs = searches(runs_root())
    if timed:
        runs.sort(key=lambda run: not clocked(run))
    if runs:
        return runs[0]
    missing("a finished ASAP search on CIFAR-10", "asap search --method asap --dataset cifar10 --scale cpu --seed 0 --study main")
    return None


def figure2() -> None:
    """Figure 2: annealing and pruning of a recorded search."""
    run = the_search()
    if run:
        epochs, architecture = run.epochs(), run.architecture()
        for kind, name in figures.CELL_NAMES.items():
            show(
                figures.annealing_and_pruning(epochs, architecture, kind),
                f"**Figure 2, {name}, recorded.** Top left: the temperature (Eq. 9). Below it: Φ of the seven operations on the "
                "edge where pruning was most gradual, × where one is pruned, dashed the threshold θ. Right: the cell at four "
                f"epochs, one arrow for each operation left, the darker the larger its Φ. {provenance(run)}",
            )


def pruning() -> None:
    """The same search as an animation."""
    run = the_search()
    if run:
        display(HTML(animation.pruning(run.epochs(), run.architecture())))
        say(
            "**The search, epoch by epoch.** An arrow for each operation that is left, the darker and wider the larger its Φ; play, or drag the slider. "
            + provenance(run)
        )


def figure3() -> None:
    """Figure 3: relative epoch duration and the fraction of connections left."""
    run = the_search(timed=True)
    if run:
        epochs = run.epochs()
        seconds = epochs["seconds_weights"] + epochs["seconds_alpha"]
        clocks = {"process": "CPU time", "events": "GPU time", "wall": "wall-clock time, other processes on the machine included"}
        clock = clocks[run.info["machine"].get("clock", "wall")]
        left = epochs["operations_normal"] + epochs["operations_reduce"]
        show(
            figures.duration_and_density(epochs),
            f"**Figure 3, recorded.** The w and α steps' seconds ({clock}) of each epoch over those of the longest epoch, and the fraction of "
            f"connections left. {provenance(run)}",
        )
        learning = seconds[epochs["alpha_steps"] > 0]
        say(
            tables.markdown(
                ["", "paper", "ours"],
                [
                    ["grace epochs", "5", str(int((epochs["alpha_steps"] == 0).sum()))],
                    ["epochs", "at most 50", str(len(epochs))],
                    ["first epoch with α, s", "–", f"{learning.iloc[0]:.1f}"],
                    ["last epoch, s", "–", f"{learning.iloc[-1]:.1f}"],
                    ["last over longest", "falls “significantly”", f"{seconds.iloc[-1] / seconds.max():.2f}"],
                    [
                        "connections left",
                        "one an edge",
                        f"{left.iloc[-1]} of {left.max()}",
                    ],
                ],
            )
        )


def cell_figure(kind: str) -> None:
    """Figures 4 (normal) and 5 (reduction): the learned cell beside the paper's."""
    number = 4 if kind == "normal" else 5
    run = the_search()
    name = figures.CELL_NAMES[kind]
    named = [("The paper's " + name, published_cell("ASAP"))]
    if run:
        named.insert(0, (f"Ours: the {name} that run {run.name} ended in", run.genotype()))
    show(
        figures.cells(kind, named),
        f"**Figure {number}.** Each arrow is an operation; dotted lines lead to the concatenation. The paper's cell is read off its "
        "Figures 4 and 5 by two third parties who agree; the authors released none. " + (provenance(run) if run else ""),
    )
    if run:
        ours, theirs = (
            {o: sum(e.operation == o for e in g.cell(kind)) for o in figures.COLOURS} for g in (run.genotype(), published_cell("ASAP"))
        )
        shown = [o for o in figures.COLOURS if ours[o] or theirs[o]]
        say(tables.markdown(["operation", "paper's cell", "ours"], [[f"`{o}`", str(theirs[o]), str(ours[o])] for o in shown]))


def claims() -> None:
    """The front page: how many claims hold, then every claim, the paper's number, ours, the verdict, and how each is reached."""
    problems()
    found = judged(runs_root())
    verdicts = Counter(verdict.verdict for rows in found.values() for _, verdict in rows)
    counts = "; ".join(f"**{verdicts[name]}** {text}" for name, text in SUMMARY.items())
    say(f"Of {verdicts.total()} claims, as the records stand: {counts}.")
    for theme, rows in found.items():
        say(f"**{theme}**")
        lines = [
            [f"[{c.statement}]({c.page})", f"**{v.verdict}**", f"{c.paper} ({c.place})", v.ours, v.scale.replace("n = ", "n\u00a0=\u00a0")]
            for c, v in rows
        ]
        say(tables.markdown(["claim", "verdict", "paper (place)", "ours", "scale"], lines))
    how = [[c.statement, c.test] for rows in found.values() for c, _ in rows]
    say(f":::{{dropdown}} How each verdict is reached\n{tables.markdown(['claim', 'test, and the records it reads'], how)}\n:::")


#: A verdict as the front page counts it.
SUMMARY = {HOLDS: "hold", DIRECTION: "hold in direction", FAILS: "do not hold", OPEN: "cannot be told yet"}


def against(title: str, tests: Mapping[str, Paired], what: str) -> None:
    """A table of paired differences, one row a test, corrected together."""
    rows = [
        [name, str(test.n), f"{test.mean:+.2f}", bracket(test.interval()), number(p), number(test.detectable(), 1)]
        for (name, test), p in zip(tests.items(), holm([test.p() for test in tests.values()]), strict=True)
        if test.n
    ]
    if rows:
        say(f"{title}, in points; {POWER_NOTE}")
        say(tables.markdown([what, "pairs", "difference", "95 % interval", "p (Holm)", "could be shown"], rows))


POWER_NOTE = (
    "the 95 % interval (t), the p value of the paired t test with Holm's correction over the rows, and the smallest difference that so many pairs show "
    "four times in five; for one pair, which has no test, what the test images alone would hide."
)


def scales() -> None:
    """What each scale changes, from records/parameters.py."""
    for kind, title in ((SearchParameters, "A search"), (EvaluationParameters, "An evaluation")):
        source = {} if kind is SearchParameters else {"cell": "ASAP"}
        made = {scale: make(kind, {"scale": scale, **source}).identity() for scale in SCALE_NAMES}
        skipped = {"scale", "study", "seed", "run", "cell"}
        names = [name for name in made["paper"] if name not in skipped and len({str(m[name]) for m in made.values()}) > 1]
        rows = [[f"`{name}`", *(_value(made[scale][name]) for scale in SCALE_NAMES)] for name in names]
        say(f"**{title}** (an `images` of 0 means all)\n\n" + tables.markdown(["", *(f"`{scale}`" for scale in SCALE_NAMES)], rows))


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

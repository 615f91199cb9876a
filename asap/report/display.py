"""The few doors through which a page shows something: Markdown, a table, a figure with its caption and alternative text, the note of a
missing record, the records behind a page, downloads. Fields of records are escaped here. Needs no torch."""

from __future__ import annotations

import html
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML, display
from IPython.display import Markdown as Shown
from matplotlib.figure import Figure

from ..records.parameters import checkout
from ..records.run import Run
from . import palette, results
from .inference import Difference, bracket, holm, number, p_value

DASH = "–"
#: The address of the repository, where commits are to be links.
REPOSITORY = os.environ.get("ASAP_REPOSITORY", "")


class Markdown(str):
    """A cell of a table that is Markdown of this package; every other cell is shown as it is spelt."""


def escape(field: object) -> str:
    """A field of a record as text that neither Markdown nor HTML reads as markup."""
    return "".join(c if c.isalnum() or c in " _./,:;()+=%-–±·" else f"&#{ord(c)};" for c in str(field))


def code(name: str) -> str:
    """A name from a record as code, or escaped where it could end the code."""
    return Markdown(f"`{name}`") if escape(name) == name else name


def sentence(text: str) -> str:
    """A finding as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:]}."


def each(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows of a frame, a column an attribute."""
    return frame.itertuples()


def say(text: str) -> None:
    """Show Markdown; nothing of an empty text."""
    if text:
        display(Shown(text))


def table(*frames: pd.DataFrame, folded: str = "") -> None:
    """Show frames as tables, without the columns that are all dashes; nothing of a frame without rows.

    A cell is escaped unless it is `Markdown`; the headers are the package's own. folded: the title under which a table is folded away.
    """
    for frame in frames:
        cells = [[str(name) for name in frame.columns], *frame.to_numpy().tolist()]
        kept = [i for i in range(frame.shape[1]) if i == 0 or any(row[i] not in (DASH, "") for row in cells[1:])]
        lines = [[cells[0][i] for i in kept], ["---"] * len(kept)]
        lines += [[row[i] if isinstance(row[i], Markdown) else escape(row[i]) for i in kept] for row in cells[1:]]
        if len(frame):
            drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
            say(f":::{{dropdown}} {folded}\n{drawn}\n:::" if folded else drawn)


def rows_frame(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> pd.DataFrame:
    """A frame of text, also of no rows and with headers that repeat."""
    return pd.DataFrame([list(row) for row in rows], columns=pd.Index(headers), dtype=object)


def formatted(columns: Mapping[str, str], *found: Mapping[str, Any]) -> pd.DataFrame:
    """A frame with a row for each mapping. columns: the format of each; a dash where a mapping lacks what it names."""

    def cell(spec: str, one: Mapping[str, Any]) -> str:
        try:
            return spec.format_map(one)
        except KeyError:
            return DASH

    return rows_frame(list(columns), [[cell(spec, one) for spec in columns.values()] for one in found])


def svg(figure: Figure, tips: Mapping[str, str] | None = None) -> str:
    """A figure as SVG text for a page: transparent, in the page's own colours, as wide as its place. tips: by the `gid` of an artist, what
    is told when it is pointed at."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue()[buffer.getvalue().index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"font-family: [^;]*; ", "", text)
    text = re.sub(r' (?:id="[a-zA-Z0-9.]+_\d+"|width="[\d.]+pt"|height="[\d.]+pt"|version="1.1")', "", text)
    for name, tip in (tips or {}).items():
        text = text.replace(f'<g id="{name}">', f"<g><title>{html.escape(tip)}</title>", 1)
    return text.replace(palette.INK, "currentColor").replace(palette.PAPER, "var(--pst-color-background, #fff)")


def figure(drawn: Figure | str, caption: str, alt: str = "", tips: Mapping[str, str] | None = None) -> None:
    """Show a figure (matplotlib's, or HTML) with its caption in Markdown below it. alt: what a reader who does not see it is told; the
    caption's bold beginning where nothing is given."""
    inner = drawn if isinstance(drawn, str) else svg(drawn, tips)
    alt = alt or caption.strip("*").split("**")[0]
    display(HTML(f'<div class="asap-figure" role="img" aria-label="{html.escape(alt)}">{inner}</div>'))
    say(f":::{{div}} asap-caption\n{caption}\n:::")


def missing(what: str, command: str) -> None:
    """Say that a page's record is missing, and what makes it."""
    say(f":::{{warning}}\nThis needs {what}, and there is no such record under `runs/`. It is made by\n\n```\n{command}\n```\n:::")


def note(text: str) -> None:
    """Show a note; nothing of an empty text."""
    if text:
        say(f":::{{note}}\n{text}\n:::")


def problems() -> None:
    """Name the records that were left out because they are damaged."""
    if lines := results.problems():
        say(":::{warning}\nLeft out, damaged: " + "; ".join(map(escape, lines)) + "\n:::")


def download(*paths: Path) -> str:
    """Links to files of the checkout; nothing where they lie outside the book, or their names could be read as markup."""
    try:
        inside = [path.resolve().relative_to(checkout()).as_posix() for path in paths]
    except ValueError:
        return ""
    links = [f"{{download}}`{Path(place).name} </{place}>`" for place in inside if escape(place) == place]
    return f" Data: {', '.join(links)}." if links else ""


def files(run: Run) -> str:
    """Links to the files of a record."""
    return download(*(run.folder / name for name in ("run.json", *run.info["files"])))


def commit(name: str) -> str:
    """A commit's short name, as a link where the repository's address is set (ASAP_REPOSITORY)."""
    name, plus, _ = name.partition("+")
    short, changed = escape(name[:12]), " with uncommitted changes" if plus else ""
    return (f"[{short}]({REPOSITORY.rstrip('/')}/commit/{name})" if REPOSITORY and re.fullmatch("[0-9a-f]{40}", name) else short) + changed


def code_of(run: Run) -> str:
    """The commits whose code made a run, in the order of its openings; of older runs, only the last opening's is known."""
    opened, commits = run.info.get("opened", []), run.info.get("commits") or [str(run.info["machine"]["git_commit"])]
    known = " and ".join(commit(name) for name in dict.fromkeys(commits))
    return known + (f" (the last of {len(opened)} openings)" if len(opened) > len(commits) else "")


def provenance(run: Run | str) -> str:
    """One line: the run (a record, or its name in the frames), what it ran on, and its files to download."""
    run = results.record(run) if isinstance(run, str) else run
    machine, data, p = run.info["machine"], run.info["data"], run.parameters
    device = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    images, threads = f"{escape(run.variant)} (fingerprint {escape(data['fingerprint'])})", escape(machine["threads"])
    return (
        f"Run {escape(run.name)}: scale {escape(p['scale'])}, seed {escape(p['seed'])}, data {images}, "
        f"code {code_of(run)}, torch {escape(machine['torch'])}, {escape(device)}, "
        f"{threads} thread{'s' if threads != '1' else ''}, "
        f"{run.outcome['seconds'] / 60:.0f} min.{files(run)}"
    )


def records(runs: Iterable[str] | Mapping[str, str]) -> None:
    """The records behind a page, each with what it is, folded away. runs: their names in the frames, or label by name."""
    named = runs if isinstance(runs, Mapping) else dict.fromkeys(runs, "")
    lines = [f"- {f'{label}: ' if label else ''}{provenance(run)}" for run, label in named.items()]
    if lines:
        say(":::{dropdown} The records\n" + "\n".join(lines) + "\n:::")


def copy_note(variants: Iterable[str]) -> str:
    """A sentence to append, where records name a JPEG copy of the images."""
    copies = " and ".join(escape(variant) for variant in sorted({v for v in variants if "-jpeg" in v}))
    said = f" The records are of {copies}, a JPEG copy of the images, so the numbers are not exactly the paper's quantities"
    return f"{said} ([why](/book/audit.md))." if copies else ""


def plus_minus(mean: float | None, deviation: float | None, digits: int = 2) -> str:
    """`2.76 ± 0.06`, `2.76`, or a dash where there is no number."""
    if pd.isna(mean):
        return DASH
    return f"{mean:.{digits}f}" + ("" if pd.isna(deviation) else f"\u00a0±\u00a0{deviation:.{digits}f}")  # does not break


def spread(values: Iterable[float], digits: int = 2) -> str:
    """Mean ± standard deviation of some runs; the value alone of one, a dash of none. Missing values do not count."""
    known = pd.Series(list(values), dtype=float).dropna()
    return plus_minus(known.mean(), known.std(), digits)


def counted(values: Iterable[float], digits: int = 2) -> str:
    """`spread` and how many they are in brackets."""
    known = pd.Series(list(values), dtype=float).dropna()
    return spread(known, digits) + f" ({len(known)})" * bool(len(known))


def difference_rows(tests: Mapping[str, Difference], what: str, n: str = "n") -> pd.DataFrame:
    """Differences in points, one row a test, their p values corrected together. n: what is counted."""
    adjusted, family = holm([test.p() for test in tests.values()]), sum(test.testable for test in tests.values())
    return rows_frame([what, n, "difference", "95 % interval", "p (Holm)", "could be shown"], [
        [name, str(test.n), f"{test.mean:+.2f}", bracket(test.interval()), p_value(p).removeprefix("= "),
         number(test.detectable(max(1, family)), 1)]
        for (name, test), p in zip(tests.items(), adjusted, strict=True) if test.n
    ])  # fmt: skip


def how_to_read(rows: pd.DataFrame) -> str:
    """What the columns of `difference_rows` mean, in Markdown."""
    if (rows["95 % interval"] == DASH).all():
        return "One run has no test."
    test = "Student's t test of the pairs" if "pairs" in rows else "Welch's t test of unpaired runs, and n is that of the smaller arm"
    return (
        f"The interval and the p value are those of {test}; the p values have Holm's correction over the rows. *Could be shown* is the "
        "smallest difference that so many show with a probability of 80 % after that correction. One run has no test."
    )

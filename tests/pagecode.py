"""Runs the code cells of a page of the book as its build does, and keeps what they show."""

import re
from pathlib import Path

BOOK = Path(__file__).parent.parent / "book"
PAGES = sorted(path.relative_to(BOOK).with_suffix("").as_posix() for path in BOOK.glob("**/*.md") if "{code-cell}" in path.read_text())


def code(page: str) -> str:
    """The code of a page's cells, one after the other."""
    return "\n".join(
        re.findall(
            r"```\{code-cell\} ipython3\n(?:---\n.*?\n---\n|(?::[^\n]*\n)*)\n?(.*?)\n```", (BOOK / f"{page}.md").read_text(), re.DOTALL
        )
    )


def shown(page: str) -> list[str]:
    """What a page shows, in order: Markdown and HTML."""
    from asap.report import display

    texts: list[str] = []
    kept, display.display = display.display, lambda thing: texts.append(thing.data)
    try:
        exec(compile(code(page), f"book/{page}.md", "exec"), {"__name__": "page"})
    finally:
        display.display = kept
    return texts

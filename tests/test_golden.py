"""Every verdict, and every table of the book, as computed from the committed records: they change only together with records,
or with a stated change of a test. `ASAP_GOLDEN=write python -m pytest tests/test_golden.py` writes them anew.
"""

import json
import os
from pathlib import Path

import pytest

from asap.report import (
    audit_pages,
    claims,
    comparison_pages,
    cost_pages,
    figure1_pages,
    justified,
    pages,
    tables,
    theory,
    theory_proofs,
    transfer_pages,
)

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
PAGES = {
    "front": pages.claims,
    "figure1": figure1_pages.figure1,
    "figure1-size": figure1_pages.error_by_size,
    "figure3": pages.figure3,
    "figure4": lambda: pages.cell_figure("normal"),
    "figure5": lambda: pages.cell_figure("reduce"),
    "figure6": comparison_pages.figure6,
    "figure7": comparison_pages.figure7,
    "table1": transfer_pages.table1,
    "table2": transfer_pages.table2,
    "table3": comparison_pages.table3,
    "theory": theory.verdict_table,
    "theory-reference": theory.reference_table,
    "theory-breaks": theory.breaks,
    "theory-rules": theory.rules,
    "theory-tighter": theory_proofs.tighter,
    "theory-validity": theory_proofs.validity,
    "theory-search": justified.real_search,
    "theory-justified": justified.estimates,
    "theory-schedule": comparison_pages.theorem_schedule,
    "costs": lambda: (cost_pages.ratios(), cost_pages.breakdown(), cost_pages.methods(), cost_pages.precision(), cost_pages.hours()),
    "audit": audit_pages.sensitivity,
    "method": pages.scales,
}


def compare(name, found):
    """Against tests/golden/NAME.json, with a line a row."""
    path = GOLDEN / f"{name}.json"
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in found)
    text = f"[\n{lines}\n]\n"
    if os.environ.get("ASAP_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_the_verdicts_are_the_recorded_ones():
    rows = [
        [theme, claim.statement, verdict.ours, verdict.scale, verdict.verdict]
        for theme, pairs in claims.judged(ROOT / "runs").items()
        for claim, verdict in pairs
    ]
    compare("verdicts", rows)


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_are_the_recorded_ones(page, monkeypatch):
    found = []
    markdown = tables.markdown
    monkeypatch.setenv("ASAP_RUNS", str(ROOT / "runs"))
    monkeypatch.setattr(pages, "display", lambda thing: None)
    monkeypatch.setattr(tables, "markdown", lambda headers, rows: found.extend([headers, *rows]) or markdown(headers, rows))
    PAGES[page]()
    compare(f"table-{page}", found)

"""Every verdict, and every table of the book, as computed from the committed records: they change only together with records,
or with a stated change of a test. `ASAP_GOLDEN=write python -m pytest tests/report/test_golden.py` writes them anew.
"""

import json
import os
from pathlib import Path

import pytest

from asap.report import (
    audit,
    benchmarks,
    certificates,
    changes,
    claims,
    costs,
    figure1,
    figure3,
    figure4,
    figure6,
    figure7,
    justified,
    method,
    methods_study,
    results,
    short,
    surrogate,
    table1,
    table2,
    table3,
    theory,
    theory_proofs,
)
from asap.report.figure2 import the_search

ROOT = Path(__file__).parent.parent.parent
GOLDEN = ROOT / "tests" / "golden"


def cifar10():
    return next(iter(table1.recorded().values()))  # of the copy of most evaluations


def front_page():
    found = claims.judged()
    return [*(claims.rows([pair for pair in found if pair[0].evidence == kind]) for kind in claims.EVIDENCE), claims.test_rows(found)]


def second_table():
    ((_, _, evaluations),) = table2.here()
    against = table1.against_asap(evaluations)
    return [table2.printed_rows(), table2.margin_rows(), table2.rows("fashion_mnist", evaluations), against, table2.imagenet_rows()]


def cost_tables():
    cpu = benchmarks.cpu()
    gpus = [table for gpu in benchmarks.gpus() for table in (benchmarks.gradient_rows(gpu), benchmarks.variant_rows(gpu))]
    counted = benchmarks.count_rows(benchmarks.counts(), benchmarks.gpus()[0])
    return [
        costs.ratio_rows(cpu),
        costs.bound_rows(cpu),
        *map(costs.method_rows, costs.timed()),
        costs.precision()[0],
        costs.hour_rows(),
        *gpus,
        counted,
    ]


def first_table():
    return [table1.rows(cifar10()), table1.against_asap(cifar10()), table1.own_rows(cifar10())]


def theory_rows(rows, *names):
    return lambda: [rows(*(run.results() for run in theory.recorded(*names)))]


def certified_edges():
    frame = certificates.edges(the_search())
    return [justified.rule_rows(frame), justified.measure_rows(frame), justified.edge_rows(frame)]


PAGES = {
    "front": front_page,
    "figure1": lambda: [figure1.rows(cifar10())],
    "figure1-size": lambda: [figure1.size_rows(figure1.cells(cifar10()))],
    "figure3": lambda: [figure3.rows(the_search(timed=True))],
    "figure4": lambda: [figure4.rows("normal")],
    "figure5": lambda: [figure4.rows("reduce")],
    "figure6": lambda: [figure6.rows({**shown, **figure6.at_epoch_end(shown)}) for shown in methods_study.copies()],
    "figure7": lambda: [figure7.rows(arms) for arms in figure7.searches()],
    "changes": lambda: [changes.rows(changes.courses(), results.score_table("others"))],
    "short": lambda: [surrogate.predictors(surrogate.figures()["short evaluation"]), short.within(surrogate.figures())],
    "surrogate": lambda: [surrogate.predictors(surrogate.figures()["fully trained cells"]), surrogate.by_method()],
    "table1": first_table,
    "table2": second_table,
    "table3": lambda: [rows(arms) for arms in methods_study.copies("evaluation") for rows in (table3.rows, table3.against_asap)],
    "theory-schedule": lambda: [figure7.schedule_rows()],
    "theory": lambda: [theory.verdict_rows()],
    "theory-reference": theory_rows(theory.reference_rows, "reference"),
    "theory-breaks": theory_rows(theory.break_rows, "breaks"),
    "theory-rules": theory_rows(theory.rule_rows, "certified", "tighter"),
    "theory-tighter": theory_rows(theory_proofs.tighter_rows, "tighter", "exact"),
    "theory-validity": theory_rows(theory_proofs.validity_rows, "certified"),
    "theory-search": certified_edges,
    "theory-justified": lambda: [justified.estimate_rows()],
    "costs": cost_tables,
    "audit": lambda: [audit.rows(), audit.against_decided()],
    "method": lambda: [method.scale_rows(kind) for kind in method.KINDS],
}


@pytest.fixture(autouse=True)
def committed(monkeypatch):
    monkeypatch.setenv("ASAP_RUNS", str(ROOT / "runs"))


def compare(name, found):
    """Against tests/golden/NAME.json, with a line a row."""
    path = GOLDEN / f"{name}.json"
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in found)
    text = f"[\n{lines}\n]\n"
    if os.environ.get("ASAP_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_the_verdicts_are_the_recorded_ones():
    rows = [[c.theme, c.statement, v.told, v.scale, v.verdict] for c, v in claims.judged(ROOT / "runs")]
    compare("verdicts", rows)


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_are_the_recorded_ones(page):
    frames = PAGES[page]()
    compare(f"table-{page}", [line for frame in frames for line in ([str(c) for c in frame.columns], *frame.to_numpy().tolist())])

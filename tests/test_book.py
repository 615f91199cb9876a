"""The book's sources: configured with keys that exist, buildable without torch, honest where a record is missing."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "book").glob("*/*.ipynb"))


def test_config_has_no_misspelt_key():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    known = {
        "title": None, "author": None, "copyright": None, "only_build_toc_files": None, "exclude_patterns": None, "bibtex_bibfiles": None,
        "execute": {"execute_notebooks", "timeout", "allow_errors", "exclude_patterns"},
        "parse": {"myst_enable_extensions"},
        "html": {"use_issues_button", "use_repository_button", "use_edit_page_button"},
        "sphinx": {"config"},
    }  # fmt: skip
    assert set(config) <= set(known)
    for key, inner in known.items():
        assert inner is None or set(config[key]) <= inner, key
    assert config["execute"]["execute_notebooks"] == "force" and config["execute"]["allow_errors"] is False
    assert config["sphinx"]["config"]["nb_execution_raise_on_error"] is True


def test_every_page_of_the_contents_exists_and_every_page_is_in_it():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = {toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])}
    there = {str(p.relative_to(ROOT).with_suffix("")) for pattern in ("*.md", "*/*.ipynb") for p in (ROOT / "book").glob(pattern)}
    assert listed == there


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_have_no_magics_and_no_stored_outputs(path):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert not any(line.lstrip().startswith(("%", "!")) for line in cell["source"])


@pytest.mark.parametrize("path", sorted((ROOT / "book" / "experiments").glob("*.ipynb")), ids=lambda p: p.stem)
def test_an_experiment_s_parameters_cell_is_short_and_names_parameters(path):
    """What most runs set, and `overrides` for the rest."""
    import dataclasses

    from asap.records.parameters import EvaluationParameters, SearchParameters
    from asap.theory.simulate import Setting

    kind = {"evaluate": EvaluationParameters, "theory": Setting}.get(path.stem, SearchParameters)
    cells = [c for c in json.loads(path.read_text())["cells"] if "parameters" in c["metadata"].get("tags", [])]
    assert len(cells) == 1
    *names, last = [line.split(" = ")[0] for line in cells[0]["source"]]
    assert last == "overrides" and len(names) <= 7 and set(names) <= {f.name for f in dataclasses.fields(kind)}


THEORY = ["answer()", "verdict_table()", "reference_table()", "looseness()", "breaks()", "schedules()", "rules()"]
PROOFS = ["tighter()", "validity()"]
JUSTIFIED = ["real_search()", "estimates()", "searches()"]
PAGES = ["figure2()", "pruning()", "figure3()", "cell_figure('normal')", "cell_figure('reduce')", "claims()", "scales()"]
TRANSFER = ["table1()", "table2()", "planned()"]
FIGURE1 = ["figure1()", "error_by_size()"]
COSTS = ["ratios()", "breakdown()", "methods()", "hours()", "gpu()", "precision()"]
AUDIT = ["contradictions()", "sensitivity()"]
COMPARISON = ["figure6()", "figure7()", "theorem_schedule()", "table3()"]
WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoTorch())
from asap.report import audit_pages, comparison_pages, cost_pages, figure1_pages, justified, pages, theory, theory_proofs, transfer_pages
for module, calls in (
    (pages, {pages!r}), (theory, {theory!r}), (theory_proofs, {proofs!r}), (justified, {justified!r}), (comparison_pages, {comparison!r}),
    (transfer_pages, {transfer!r}), (figure1_pages, {figure1!r}), (cost_pages, {costs!r}), (audit_pages, {audit!r}),
):
    for call in calls:
        eval("module." + call)
"""


@pytest.mark.parametrize("records", ["committed", "none"])
def test_pages_need_no_torch(tmp_path, records):
    root = ROOT / "runs" if records == "committed" else tmp_path
    environment = {**os.environ, "ASAP_RUNS": str(root), "MPLBACKEND": "Agg"}
    code = WITHOUT_TORCH.format(
        pages=PAGES, theory=THEORY, proofs=PROOFS, justified=JUSTIFIED, comparison=COMPARISON, transfer=TRANSFER, figure1=FIGURE1,
        costs=COSTS, audit=AUDIT,
    )  # fmt: skip
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True, capture_output=True, text=True)


def shown(monkeypatch, call, root, module="pages"):
    from asap.report import pages

    texts = []
    monkeypatch.setenv("ASAP_RUNS", str(root))
    monkeypatch.setattr(pages, "display", lambda thing: texts.append(getattr(thing, "data", "a figure")))
    eval("module." + call, {"module": importlib.import_module(f"asap.report.{module}")})
    return "\n".join(texts)


def test_a_page_whose_record_is_missing_says_so_and_how_to_make_it(monkeypatch, tmp_path):
    for call in ("figure2()", "figure3()"):
        assert "asap search --method asap --dataset cifar10" in shown(monkeypatch, call, tmp_path)
    assert "runs/sizes/cifar10.csv is missing" in shown(monkeypatch, "table1()", tmp_path, "transfer_pages")
    text = shown(monkeypatch, "cell_figure('normal')", tmp_path)
    assert "asap search" in text and "a figure" in text  # the paper's cell is still there
    assert shown(monkeypatch, "claims()", tmp_path).count("no record") >= 25


def test_verdicts_come_from_the_records(monkeypatch, tmp_path, quick_search):
    """Two searches posing as the front page's: the verdict changes with the record, and a damaged one is named."""
    import shutil

    from asap.records.parameters import SearchParameters, make
    from asap.records.run import own_digest
    from asap.report.claims import CLAIMS
    from asap.report.verdicts import DIRECTION, FAILS, HOLDS

    claim = CLAIMS["The search"][0]
    for name, given in (("ends", {"alpha_rate_factor": 600, "epochs": 9}), ("hangs", {"epochs": 2})):
        folder = quick_search(study="main", **given)
        info = json.loads((folder / "run.json").read_text())
        posed = {"method": "asap", "dataset": "cifar10", "scale": "cpu", "study": "main"}
        info["parameters"] = make(SearchParameters, posed).identity()
        info["digest"] = own_digest(info)
        (folder / "run.json").write_text(json.dumps(info))
        shutil.move(folder, tmp_path / name)
    verdicts = {}
    for present in (("ends",), ("hangs",), ("ends", "hangs")):
        root = tmp_path / "-".join(present)
        for name in present:
            shutil.copytree(tmp_path / name, root / "records" / "main" / name)
        verdicts[present] = claim.judge(root / "records").verdict
    assert list(verdicts.values()) == [HOLDS, FAILS, DIRECTION]
    root = tmp_path / "ends-hangs" / "records"
    assert "a figure" in shown(monkeypatch, "figure2()", root)
    (root / "main" / "hangs" / "epochs.csv").write_text("tampered")
    text = shown(monkeypatch, "claims()", root)
    assert "Left out, damaged" in text and "runs/main/hangs/epochs.csv" in text and claim.judge(root).verdict == HOLDS

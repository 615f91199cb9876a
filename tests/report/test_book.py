"""The book's sources: configured with keys that exist, buildable without torch, honest where a record is missing or damaged."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pagecode
import pytest
import yaml
from posed import MACHINE, pose, pose_search

from asap.records.recorder import Recorder
from asap.records.study import load
from asap.report import claims, display, front, method, results

ROOT = Path(__file__).parent.parent.parent
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
    assert config["sphinx"]["config"]["nb_ipywidgets_js"] == {}  # no page asks a network for the scripts of a progress bar


def test_every_page_of_the_contents_exists_and_every_page_is_in_it():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = {toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])}
    there = {str(p.relative_to(ROOT).with_suffix("")) for suffix in ("md", "ipynb") for p in (ROOT / "book").glob(f"**/*.{suffix}")}
    assert listed == there


def test_every_reference_that_a_page_cites_exists():
    keys = set(re.findall(r"^@\w+\{([^,]+),", (ROOT / "book" / "references.bib").read_text(), re.MULTILINE))
    sources = [*(ROOT / "book").glob("**/*.md"), *(ROOT / "asap" / "report").glob("*.py")]
    cited = {key for path in sources for key in re.findall(r"\{cite:[pt]\}`([\w, ]+)`", path.read_text())}
    assert {key.strip() for several in cited for key in several.split(",")} <= keys


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_have_no_magics_and_no_stored_outputs(path):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert not any(line.lstrip().startswith(("%", "!")) for line in cell["source"])


WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoTorch())
import pagecode
for page in pagecode.PAGES:
    print(page, flush=True)
    assert pagecode.shown(page)
"""


def test_pages_need_no_torch_and_no_record(tmp_path):
    """Every page runs where nothing is recorded; the book's build runs them on the committed records."""
    environment = {
        **os.environ,
        "ASAP_RUNS": str(tmp_path),
        "MPLBACKEND": "Agg",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT_TORCH], env=environment, check=True, capture_output=True, text=True)


def test_a_page_whose_record_is_missing_says_so_and_how_to_make_it(monkeypatch, tmp_path):
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    for page in ("results/figure2", "results/figure3", "results/figure4"):
        assert "asap search --method asap --dataset cifar10" in "\n".join(pagecode.shown(page))
    assert "The paper&#x27;s normal cell</text>" in "\n".join(pagecode.shown("results/figure4"))  # it is still there
    assert "runs/sizes/cifar10.csv is missing" in "\n".join(pagecode.shown("results/table1"))
    assert "\n".join(pagecode.shown("claims")).count("no record") >= 25


HOSTILE = "<script>alert(1)</script> `x` | **y** {doc}`z` [l](m) $t$\n:::"


def test_no_field_of_a_record_is_read_as_markup(monkeypatch, tmp_path):
    """A record by a stranger: its processor, variant, commit and folder are shown as they are spelt, on every page that names them."""
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    machine = {**MACHINE, "processor": HOSTILE, "torch": HOSTILE, "git_commit": HOSTILE}
    planned = next(p for p in load("transfer").planned if p.parameters.cell == "ASAP")
    recorder = Recorder(
        tmp_path / "cells" / "a `b` <i>",
        "evaluation",
        planned.parameters.identity(),
        data={"variant": HOSTILE, "fingerprint": HOSTILE},
        machine=machine,
    )
    recorder.finish({"test_error": 17.0, "test_images": 10_000, "parameters": 1_000_000, "seconds": 1.0})
    recorder.close()
    (name,) = results.evaluations()["run"]
    texts = [display.provenance(name), display.files(results.record(name)), display.copy_note([HOSTILE + "-jpeg"])]
    monkeypatch.setattr(display, "display", lambda thing: texts.append(thing.data))
    display.table(method.experiment_rows(), display.rows_frame(["a"], [[HOSTILE]]))
    display.records([name])
    (tmp_path / "cells" / "a `b` <i>" / "run.json").write_text("{")
    display.problems()
    for text in texts:
        assert "<script" not in text and "`b`" not in text and "<i>" not in text and "**y**" not in text and "{doc}" not in text
    assert "&#60;script&#62;" in "".join(texts) and "Left out, damaged" in texts[-1]
    assert display.Markdown("`ok`") in "".join(texts) or display.code("a/b-c") == "`a/b-c`"
    assert display.code("a`b") == "a`b" and not isinstance(display.code("a`b"), display.Markdown)


def test_tables_hide_columns_that_are_all_dashes(monkeypatch):
    texts = []
    monkeypatch.setattr(display, "display", lambda thing: texts.append(thing.data))
    display.table(display.rows_frame(["a", "b", "b"], [["1", "–", "x"], ["2", "", "–"]]), display.rows_frame(["a"], []))
    assert texts == ["| a | b |\n| --- | --- |\n| 1 | x |\n| 2 | – |"]


def test_a_commit_is_a_link_where_the_repository_is_set(monkeypatch):
    assert display.commit("a" * 40) == "a" * 12
    monkeypatch.setattr(display, "REPOSITORY", "https://example.org/asap/")
    assert display.commit("a" * 40 + "+changes") == f"[{'a' * 12}](https://example.org/asap/commit/{'a' * 40}) with uncommitted changes"
    hostile = "a" * 40 + ") <script>"
    assert display.commit(hostile) == "a" * 12
    assert display.commit(HOSTILE) == display.escape(HOSTILE[:12])


def test_a_figure_is_transparent_svg_in_the_page_s_colours():
    from asap.report import palette

    figure, (axes,) = palette.axes()
    axes.scatter([1], [1], gid="point0")
    axes.set_ylabel("label")
    text = display.svg(figure, {"point0": "<b>"})
    assert text.startswith("<svg") and "currentColor" in text and palette.INK not in text and "<title>&lt;b&gt;</title>" in text
    assert not re.search(r'width="[\d.]+pt"|id="(figure|axes|text)_|fill: #ffffff', text)


def test_the_front_page_s_claims_exist_and_the_paper_s_search_is_counted_only_when_it_has_ended(monkeypatch, tmp_path):
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    found = claims.judged()
    assert len(front.key_rows(found)) == len(front.KEY) == 6
    assert front.paper_search() == "A search at the paper's own scale has no finished record yet; it may end otherwise than small ones."
    from asap.records.parameters import SearchParameters, make

    given = make(SearchParameters, {"method": "asap", "dataset": "cifar10", "scale": "paper", "seed": 0, "study": "main"})
    recorder = Recorder(tmp_path / front.PAPER_RUN, "search", given.identity(), data={"variant": "v", "fingerprint": "f"}, machine=MACHINE)
    recorder.write("epochs.csv", [{"epoch": 1}, {"epoch": 2}])
    recorder.close()
    said = "One search at the paper's own scale has not ended: 2 of 50 epochs are recorded; nothing of it is counted."
    assert front.paper_search().startswith(said)
    assert not len(results.searches()) and "cannot be told" in front.key_rows(claims.judged()).iloc[0, 1]


def test_the_front_page_s_numbers_are_those_of_the_records(monkeypatch, tmp_path):
    monkeypatch.setenv("ASAP_RUNS", str(tmp_path))
    searches = {(p.label, p.parameters.seed): p for p in load("methods").planned if p.kind == "search"}
    ends = {"operations": {"accuracy": 0.1, "recalibrated": 0.5}, "genotype": {"accuracy": 0.1, "recalibrated": 0.3}}
    open_edges = {"decided": False, "undecided_edges": {"normal": 2, "reduce": 3}}
    pose_search(tmp_path, searches["ASAP", 0], validation_accuracy=0.6, cut=ends, **open_edges)
    pose_search(tmp_path, searches["DARTS", 0], validation_accuracy=0.7)
    pose(tmp_path, next(p for p in load("transfer").planned if p.parameters.cell == "PNAS"), 17.0)
    assert [len(frame) for frame in front.recorded()] == [2, 1]
    single, cut = (front.verdict(claims.judged(), key) for key in front.KEY[:2])
    assert single.ours == "0 of 1 searches ended in one network; 5 of 28 edges stayed undecided"
    assert cut.ours == (
        "the cut to one operation an edge costs 10.0 points of validation accuracy, with the supernet's weights; "
        "both cuts together, down to the derived cell, cost 30.0 points on average"
    )
    assert dict(front.ends()["group"].value_counts()) == {"ASAP": 1, "DARTS": 1}

"""The sweep: a search before the evaluation of its cell, a failing run beside it, and what has finished left out."""

import json
import os
import subprocess
import sys
from pathlib import Path

from asap.records.parameters import EvaluationParameters, SearchParameters, from_notebook, make, runs_root
from asap.records.recorder import Recorder
from asap.records.study import load

ROOT = Path(__file__).parents[2]
STUDY = """
title: two searches, of which one has finished, the evaluations of their cells, and one run that cannot succeed
runs:
  - kind: search
    common: {dataset: digits, scale: tiny, study: trial}
    arms: {ASAP: {method: asap, seed: [0, 1]}}
  - kind: evaluation
    of: searches
    common: {dataset: digits, scale: tiny}
  - kind: evaluation
    common: {dataset: cifar100, scale: tiny, study: trial, seed: 0}
    arms: {fails: {cell: ASAP}}
"""
#: Notes the notebook and the parameters that it is given. What notebooks do with them is tried with papermill itself (test_papermill.py).
PAPERMILL = """#!/bin/bash
echo "$4 ${@: -1}" >> log
[[ $5 != *cifar100* ]]
"""


def test_a_sweep_runs_what_is_left_and_only_that(tmp_path):
    for name in ("Snakefile", "book", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "trial.yaml").write_text(STUDY)
    (tmp_path / "papermill").write_text(PAPERMILL)
    (tmp_path / "papermill").chmod(0o755)
    study = load(str(tmp_path / "trial.yaml"))
    done, *left = study.planned
    recorder = Recorder(runs_root() / done.name, done.kind, done.parameters.identity(), data={"variant": "posed"})
    recorder.finish({"seconds": 1.5})
    recorder.close()
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONWARNINGS": ""}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--config", "studies=trial.yaml"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode != 0 and "4 runs left of the studies trial.yaml: about 0.0 h one at a time" in ended.stderr, ended.stderr
    noted = [line.split(" ", 1) for line in (tmp_path / "log").read_text().splitlines()]
    kinds = {"book/experiments/search.ipynb": SearchParameters, "book/experiments/evaluate.ipynb": EvaluationParameters}
    given = [make(kinds[notebook], from_notebook(json.loads(text))) for notebook, text in noted]
    assert len(given) == 4 and all(planned.parameters in given for planned in left)
    assert given.index(left[0].parameters) < given.index(left[2].parameters)  # the search that was left, and the evaluation of its cell
    assert len(list((tmp_path / "_build" / "sweeps" / "trial").glob("*.done"))) == 3

"""The sweep: dry-run, a search before the evaluation of its cell, a failing run beside it, and nothing done twice."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUDY = """
title: a search, the evaluation of its cell, and one run that cannot succeed (its data set is missing)
runs:
  - kind: search
    common: {dataset: digits, scale: tiny, study: trial, images: 64, epochs: 1, batch: 16}
    arms: {ASAP: {method: asap, seed: 0}}
  - kind: evaluation
    of: searches
    common: {dataset: digits, scale: tiny, images: 64, epochs: 1, layers: 3}
  - kind: evaluation
    common: {dataset: cifar100, scale: tiny, study: trial, images: 64, epochs: 1, layers: 3, seed: 0}
    arms: {fails: {cell: ASAP}}
"""


def sweep(tmp_path, *words):
    """Run snakemake in a folder of its own, on the repository's Snakefile."""
    for name in ("Snakefile", "book", "profiles"):
        if not (tmp_path / name).exists():
            (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "trial.yaml").write_text(STUDY)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONWARNINGS": ""}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--config", "studies=trial.yaml", *words]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)


def test_a_sweep_runs_what_is_left_and_only_that(tmp_path):
    dry = sweep(tmp_path, "--dry-run")
    assert dry.returncode == 0 and "3 runs left" in dry.stderr and not (tmp_path / "runs").exists()
    first = sweep(tmp_path)
    assert first.returncode != 0  # one run's data set is missing
    assert len(list((tmp_path / "runs").glob("trial/*/test.json"))) == len(list((tmp_path / "runs").glob("trial/*/genotype.json"))) == 1
    notebooks = {path.stem: path.read_text() for path in (tmp_path / "_build" / "sweeps").glob("*/*.ipynb")}
    failed = [name for name, text in notebooks.items() if "cifar100 is not" in text or '"ename"' in text]
    assert len(notebooks) == 3 and [name.split("-tiny")[0] for name in failed] == ["cell-asap-cifar100"]
    again = sweep(tmp_path, "--dry-run")
    assert "1 runs left" in again.stderr

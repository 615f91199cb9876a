"""The notebooks through papermill itself, from another folder: any parameter by name, and a misspelt one ends them in one line."""

import os
import subprocess
import sys

from asap.records.parameters import checkout
from asap.records.run import Run

TINY = ("-p", "images", "64", "-p", "batch", "16", "-p", "epochs", "1", "-p", "channels", "2", "-p", "study", "trial")


def papermill(folder, *words):
    environment = {**os.environ, "ASAP_RUNS": str(folder / "runs"), "OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    command = [sys.executable, "-m", "papermill", str(checkout() / "book" / "experiments" / "search.ipynb"), "out.ipynb", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_a_notebook_takes_any_parameter_by_name(tmp_path):
    done = papermill(tmp_path, *TINY)
    assert done.returncode == 0, done.stderr[-2000:]
    (folder,) = (tmp_path / "runs" / "trial").iterdir()
    assert Run.open(folder).parameters["epochs"] == 1 and len(Run.open(folder).epochs()) == 1


def test_a_misspelt_parameter_ends_a_notebook_at_once(tmp_path):
    done = papermill(tmp_path, *TINY, "-p", "epoch", "1")
    assert done.returncode != 0 and not (tmp_path / "runs").exists()
    assert "unknown parameter 'epoch' (did you mean epochs?)" in done.stderr

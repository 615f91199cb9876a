"""The notebooks through papermill itself, from another folder: any parameter by name, and a misspelt one ends them in one line."""

import os
import subprocess
import sys

from PIL import Image

from asap.records.parameters import checkout
from asap.records.run import Run

TINY = ("-p", "images", "64", "-p", "batch", "16", "-p", "epochs", "1", "-p", "channels", "2", "-p", "study", "trial")


def papermill(folder, *words, notebook="search"):
    environment = {**os.environ, "ASAP_RUNS": str(folder / "runs"), "OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    command = [sys.executable, "-m", "papermill", str(checkout() / "book" / "experiments" / f"{notebook}.ipynb"), "out.ipynb", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_a_notebook_takes_any_parameter_by_name(tmp_path):
    done = papermill(tmp_path, *TINY)
    assert done.returncode == 0, done.stderr[-2000:]
    (folder,) = (tmp_path / "runs" / "trial").iterdir()
    assert Run.open(folder).parameters["epochs"] == 1 and len(Run.open(folder).epochs()) == 1


def test_images_of_one_s_own_are_searched_with_one_s_own_parameters(tmp_path):
    """A folder with a test half and a hidden file; epochs are of both, the method is the search's."""
    for half in ("train", "test"):
        for name in ("ant", "bee"):
            (tmp_path / "mine" / half / name).mkdir(parents=True)
            for i in range(8):
                Image.new("L", (9 + i, 9), 20 * i).save(tmp_path / "mine" / half / name / f"{i}.png")
            (tmp_path / "mine" / half / name / ".DS_Store").write_bytes(b"no image")
    sizes = ("-p", "batch", "4", "-p", "layers", "3", "-p", "channels", "2", "-p", "epochs", "1", "-p", "image_size", "8")
    done = papermill(tmp_path, "-p", "dataset", "mine", "-p", "study", "own", "-p", "method", "random", *sizes, notebook="own_images")
    assert done.returncode == 0, done.stderr[-2000:]
    runs = {run.info["kind"]: run for run in map(Run.open, (tmp_path / "runs" / "own").iterdir())}
    found, tested = runs["search"], runs["evaluation"]
    assert (found.parameters["method"], found.parameters["epochs"], tested.parameters["epochs"]) == ("random", 1, 1)
    assert tested.parameters["test_share"] == 0 and found.parameters["nodes"] == 4


def test_a_misspelt_parameter_ends_a_notebook_at_once(tmp_path):
    done = papermill(tmp_path, *TINY, "-p", "epoch", "1")
    assert done.returncode != 0 and not (tmp_path / "runs").exists()
    assert "unknown parameter 'epoch' (did you mean epochs?)" in done.stderr

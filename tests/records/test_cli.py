import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asap import cli
from asap.paper.space import cell_label, published_cell, published_cells
from asap.records.parameters import EvaluationParameters, ParameterError, SearchParameters, from_notebook, make, run_name
from asap.theory import simulate
from asap.train import recording


def fails(capsys, *words):
    """The one line that a command ends with, and its exit status."""
    status = cli.main(list(words))
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("asap: ")
    return status, err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search", "--initial-temprature", "1.6"], "did you mean initial_temperature?); valid: dataset, "),
        (["search", "--seed", "abc"], "seed must be a whole number"),
        (["search", "--seed", "1.5"], "seed must be a whole number"),
        (["search", "--learning-rate", "nan"], "learning_rate must be a number"),
        (["search", "--compile", "perhaps"], "compile must be true or false"),
        (["search", "--scale", "huge"], "scale must be one of tiny, cpu, paper"),
        (["search", "--method", "grid"], "method must be one of asap"),
        (["search", "--study", "../x"], "study must be a plain folder name"),
        (["search", "--device", "tpu"], "device must be"),
        (["search", "--device", "cuda:99"], "is not there"),
        (["search", "--scale", "cpu"], "CIFAR-10 is not under"),
        (["search", "--threshold", "1.5"], "threshold must lie in [0, 1), not 1.5"),
        (["search", "--grace-temperature", "-1"], "grace_temperature must lie in [0, ∞), not -1"),
        (["search", "--threads", "100000"], "threads must lie in [0, 1024]"),
        (["search", "--epochs", "1e12"], "epochs must lie in [1, 100000]"),
        (["search", "--layers", "2"], "layers must lie in [3, 200]"),
        (["search", "--layers", "200", "--nodes", "16", "--channels", "4096"], "weights needs "),
        (["evaluate", "--cell", "ASAP", "--layers", "200", "--channels", "4096"], "give fewer channels, layers or nodes"),
        (["theory", "--exact", "--gap", "1"], "it does not read gap"),
        (["evaluate", "--cell", "ASAP", "--stem", "imagenet", "--auxiliary-weight", "0.4"], "needs images beyond 32×32"),
        (["theory", "--exact", "--horizon", "1e7"], "exact probabilities go up to a horizon of 1,000,000"),
        (["search", "--study", "s" * 101], "study must have at most 100 bytes"),
        (["search", "--lr", "0.1"], "did you mean learning_rate?"),
        (["search", "--batch-size", "32"], "did you mean batch?"),
        (["search", "--init-channels", "16"], "did you mean channels?"),
        (["evaluate", "--gpu", "0"], "did you mean device?"),
        (["evaluate", "--arch", "ASAP"], "did you mean cell?"),
        (["evaluate", "--cell", "ASAP", "--nodes", "2"], "nodes is a parameter of a search"),
        (["search", "--folder", "."], "give the folder's path to --dataset"),
        (["search", "--cell", "ASAP"], "cell is a parameter of an evaluation"),
        (["evaluate", "--cell", "x" * 5000], "cell must have at most 4096 bytes"),
        (["evaluate", "--cell", "no/such.json"], "there is no file no/such.json"),
        (["search", "--study", "s", "--runs-root", "/dev/null/x"], "cannot write under /dev/null/x/s/"),
        (["theory", "--record", "reference", "--runs-root", "/proc/x"], "cannot write under /proc/x/theory/reference"),
        (["cells", "--record", "--runs-root", "/dev/null"], "/dev/null"),
        (["runs", "--runs-root", "/dev/null"], "cannot read /dev/null"),
        (["study", "/dev/zero.yaml"], "there is no study"),
        (["plot", "ASAP", "--output", "cell.txt"], "must end in .svg"),
        (["evaluate"], "either run"),
        (["evaluate", "--cell", "resnet"], "unknown cell"),
        (["evaluate", "--run", "nowhere"], "holds no run"),
        (["cells", "--channels", "0"], "channels must lie in [1, 4096]"),
        (["dance"], "invalid choice"),
        (["search", "extra"], "unexpected argument"),
        ([], "required"),
    ],
)
def test_bad_input_is_one_line_and_status_2(capsys, words, message):
    status, line = fails(capsys, *words)
    assert status == 2 and message in line


def test_search_and_evaluate_print_the_folder_last(capsys, tmp_path):
    words = ["--scale", "tiny", "--images", "64", "--batch", "16", "--epochs", "1"]
    assert cli.main(["search", *words]) == 0
    folder = capsys.readouterr().out.splitlines()[-1]
    assert cli.main(["evaluate", "--run", folder, "--layers", "3", *words]) == 0
    assert cli.main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(str(tmp_path)) and sum("finished" in line for line in lines) == 2


def test_a_failed_run_is_status_1(capsys):
    words = ["--learning-rate", "1e30", "--learning-rate-min", "1e30", "--gradient-clip", "1e30"]
    assert cli.main(["search", "--images", "64", "--epochs", "2", *words]) == 1
    assert "not finite" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "digits could not be read: out of memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "digits could not be read: out of memory: [enforce fail]",
        ),
    ],
)
def test_memory_that_runs_out_while_data_are_read_is_a_line_and_status_1(capsys, tmp_path, monkeypatch, error, message):
    def fails_to(*_):
        raise error

    monkeypatch.setattr(recording, "load", fails_to)
    status, line = fails(capsys, "search")
    assert status == 1 and message in line and not any(tmp_path.iterdir())


def test_memory_that_runs_out_anywhere_else_is_a_line_and_status_1(capsys, monkeypatch):
    def fails_to(*_):
        raise MemoryError("Unable to allocate 53.4 MiB")

    monkeypatch.setattr(simulate, "simulate", fails_to)
    assert fails(capsys, "theory") == (1, "asap: out of memory: Unable to allocate 53.4 MiB\n")


def test_cells(capsys, monkeypatch):
    few = {name: cell for name, cell in published_cells().items() if name in ("ASAP", "SNAS_aggressive")}
    monkeypatch.setattr("asap.paper.space.published_cells", lambda: few)
    assert cli.main(["cells", "--channels", "36", "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)
    assert cells["ASAP"]["parameters"] == 2538046 and set(cells["ASAP"]) == {"parameters", "multiply_adds", "source"}
    assert set(cells) == set(few)


def test_a_run_s_name_says_what_differs_from_its_scale():
    assert run_name(make(SearchParameters, {"scale": "cpu"})) == "asap-cifar10-cpu-seed0"
    named = run_name(make(SearchParameters, {"scale": "cpu", "seed": 2, "initial_temperature": 1.6, "threads": 2}))
    assert named == "asap-cifar10-cpu-seed2-initial_temperature_1.6"
    assert run_name(make(EvaluationParameters, {"cell": "DARTS_V2", "scale": "cpu"})) == "cell-darts_v2-cifar10-cpu-seed0"


def test_values_come_from_defaults_then_scale_then_caller():
    assert make(SearchParameters, {"scale": "paper"}).channels == 16
    assert make(SearchParameters, {"scale": "cpu"}).channels == 8
    assert make(SearchParameters, {"scale": "cpu", "channels": "12"}).channels == 12


def test_a_notebook_s_names_are_its_parameters():
    names = {"scale": "cpu", "seed": 3, "channels": None, "_private": 1, "In": ["x"], "make": make, "overrides": {"epochs": "1e1"}}
    assert make(SearchParameters, from_notebook(names)) == make(SearchParameters, {"scale": "cpu", "seed": 3, "epochs": 10})
    for wrong, message in (
        ({"initial_temp": 1.6}, "unknown parameter 'initial_temp'"),
        ({"overrides": {"initial_temp": 1.6}}, "unknown parameter 'initial_temp'"),
        ({"overrides": [1]}, "overrides must be a dictionary"),
        ({"seed": "3x"}, "seed must be a whole number, not '3x'"),
        ({"seed": [1, 2]}, "seed must be a whole number, not a list"),
    ):
        with pytest.raises(ParameterError, match=message) as caught:
            make(SearchParameters, from_notebook({**names, **wrong}))
        assert caught.value._render_traceback_() == [f"ParameterError: {caught.value}"]
    for strange in ("\0", "\ud800", "\x1b[31m"):
        with pytest.raises(ParameterError) as caught:
            make(SearchParameters, from_notebook({"study": strange, strange: 1}))
        assert str(caught.value).isprintable()


def run_python(*words, **environment):
    """The standard output of an interpreter of its own."""
    return subprocess.run(
        [sys.executable, *words], env={**os.environ, **environment}, capture_output=True, text=True, encoding="utf-8", check=True
    ).stdout


def test_every_module_is_imported_where_what_windows_lacks_is_missing():
    code = """
import importlib, os, pkgutil, signal, sys
import filelock, IPython, matplotlib, pandas, pyarrow, sklearn, torch, torchvision
sys.modules |= dict.fromkeys(("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"))
del signal.SIGHUP, os.sysconf
import asap
for module in pkgutil.walk_packages(asap.__path__, "asap."):
    importlib.import_module(module.name)
print(sum(name.startswith("asap.") for name in sys.modules))
"""
    modules = [path for path in Path(cli.__file__).parent.glob("*/*.py") if path.name != "__init__.py"]
    assert int(run_python("-c", code)) >= len(modules)


def test_help_is_printed_where_the_terminal_has_no_greek():
    assert "--delta FLOAT" in run_python("-m", "asap.cli", "theory", "--help", PYTHONIOENCODING="cp1252")


@pytest.mark.parametrize(
    ("given", "seed"),
    [("1e3", 1000), ("3.0", 3), ("1e12", 10**12), (1e3, 1000), (3.0, 3), (np.int64(7), 7), ("12345678901234567", 12345678901234567)],
)
def test_a_whole_number_may_be_written_as_one_with_a_point_or_an_exponent(given, seed):
    found = make(SearchParameters, {"seed": given}).seed
    assert found == seed and type(found) is int


@pytest.mark.parametrize("given", ["1.5", 1.5, "nan", "inf", "1e400", "9" * 5000, "", "+-3", True, None, [1], {}])
def test_what_is_no_whole_number_is_one_short_line(given):
    with pytest.raises(ParameterError, match="seed must be a whole number") as caught:
        make(SearchParameters, {"seed": given})
    assert len(str(caught.value)) < 200 and str(caught.value).isprintable()


@pytest.mark.parametrize("command", ["search", "evaluate"])
def test_help_has_a_line_with_default_and_limits_for_each_parameter(capsys, command):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    kind = {"search": SearchParameters, "evaluate": EvaluationParameters}[command]
    for f in dataclasses.fields(kind):
        assert f"--{f.name.replace('_', '-')} {f.type.upper()} {f.metadata['help']}" in text
        assert f.metadata["within"] in text
    assert "default 0.025" in text and "one of auto" not in text and "one of float32, bf16; default float32" in text


def test_a_long_name_is_cut_and_closed_by_a_hash():
    rates = dict.fromkeys(("learning_rate", "alpha_learning_rate", "alpha_rate_factor", "alpha_weight_decay", "weight_decay"), 0.125)
    many = {**rates, "momentum": 0.8, "gradient_clip": 4.5, "threshold": 0.3, "initial_temperature": 1.75, "temperature_decay": 0.875}
    names = {run_name(make(SearchParameters, {**many, "grace_temperature": 0.5 + i / 1000})) for i in range(20)}
    assert len(names) == 20 and all(len(name) == 240 and name.startswith("asap-digits-tiny-seed0-momentum_0.8-") for name in names)
    assert 240 >= len(run_name(make(EvaluationParameters, {"run": "ä" * 500})).encode()) > 230


def test_graphs_are_the_machine_s_business():
    p = make(SearchParameters, {"graphs": True})
    assert run_name(p) == "asap-digits-tiny-seed0" and "graphs" not in p.identity()
    assert p.matches({**p.identity(), "graphs": False}) and not p.matches({**p.identity(), "unknown": 1})
    old = make(EvaluationParameters, {"cell": "ASAP"})
    assert old.matches({**old.identity(), "graphs": False, "nodes": 4})


def test_a_cell_has_one_label_however_it_is_spelt():
    one, other = (cell_label(f"runs/a/x-initial_temperature_{value}") for value in (1.6, 1.3))
    assert one == "x-initial_temperature_1.6.json" != other
    upper, lower = (make(EvaluationParameters, {"cell": cell}) for cell in ("ASAP", "asap"))
    assert run_name(upper) == run_name(lower) and lower.matches(upper.identity()) and upper.matches(lower.identity())
    assert not lower.matches(make(EvaluationParameters, {"cell": "DARTS_V2"}).identity())


def test_the_commands_of_a_study_record_where_it_was_asked_for(capsys, tmp_path):
    assert cli.main(["study", "ends", "--commands", "--runs-root", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines and all(line.endswith(f" --runs-root {tmp_path}") for line in lines)


def test_a_study_lists_or_runs_what_is_left(capsys):
    assert cli.main(["study", "ends", "--commands", "--jobs", "1"]) == 2 and "no --commands" in capsys.readouterr().err


def test_a_cell_of_one_s_own_has_a_size_and_a_picture(capsys, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "genotype.json").write_text(json.dumps(published_cell("ASAP").to_dict()))
    assert cli.main(["cells", "--cell", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mine.json"]["parameters"] == 2538046
    for cell in (str(folder), "random-3"):
        assert cli.main(["plot", cell, "--output", str(tmp_path / "cell.svg")]) == 0
        drawn = (tmp_path / "cell.svg").read_text()
        assert drawn.count("<svg") == 3 and all(f">{text}</text>" in drawn for text in (cell_label(cell), "normal cell", "reduction cell"))


def test_an_evaluation_knows_which_genotype_it_trained(capsys, tmp_path):
    path = tmp_path / "mine.json"
    cell = published_cell("ASAP").to_dict()
    words = ["evaluate", "--cell", str(path), "--images", "64", "--batch", "16", "--epochs", "1", "--layers", "3", "--channels", "4"]
    path.write_text(json.dumps(cell))
    assert cli.main(words) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert folder.name.startswith("cell-mine.json-digits-tiny-seed0-")
    info = json.loads((folder / "run.json").read_text())
    assert info["parameters"]["cell"] == "mine.json" and info["genotype"] == cell and str(tmp_path) not in json.dumps(info["parameters"])
    assert cli.main(words) == 0 and "finished already" in capsys.readouterr().err
    cell["reduce"][3][0] = "skip_connect" if cell["reduce"][3][0] != "skip_connect" else "max_pool_3x3"
    path.write_text(json.dumps(cell))
    status, line = fails(capsys, *words)
    assert status == 2 and "holds a run of other genotype: reduce[3] is" in line
    path.write_text(json.dumps({**cell, "normal": [["sep_conv_9x9", 0, 2]]}))
    assert "mine.json: unknown operation 'sep_conv_9x9' on edge 0 → 2 of the normal cell" in fails(capsys, *words)[1]


def test_outside_a_checkout_runs_go_where_the_user_stands(tmp_path):
    """As installed from a wheel: the package alone, in a folder that a repository surrounds."""
    package = Path(cli.__file__).parent
    shutil.copytree(package, tmp_path / "site" / "asap", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "init", "-q", tmp_path / "site"], check=True)
    here = tmp_path / "here"
    here.mkdir()
    code = "from asap.records.parameters import git_commit, runs_root; print(git_commit(), runs_root())"
    environment = {key: value for key, value in os.environ.items() if key not in ("ASAP_RUNS", "ASAP_DATA")}
    environment["PYTHONPATH"] = str(tmp_path / "site")
    out = subprocess.run([sys.executable, "-c", code], cwd=here, env=environment, capture_output=True, text=True, check=True).stdout
    assert out.split() == ["unknown", str(here / "runs")]

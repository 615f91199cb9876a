import json

import pytest

from asap import cli
from asap.notebook import collect
from asap.records.parameters import EvaluationParameters, ParameterError, SearchParameters, make, run_name


def fails(capsys, *words):
    """The one line that a command ends with, and its exit status."""
    status = cli.main(list(words))
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("asap: ")
    return status, err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search", "--initial-temprature", "1.6"], "did you mean initial_temperature?); valid: dataset, scale"),
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
        (["search", "--threshold", "1.5"], "threshold must lie"),
        (["evaluate"], "either run"),
        (["evaluate", "--cell", "resnet"], "unknown cell"),
        (["evaluate", "--run", "nowhere"], "holds no run"),
        (["cells", "--channels", "0"], "at least 1"),
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


def test_cells(capsys):
    assert cli.main(["cells", "--channels", "36", "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)
    assert cells["ASAP"]["parameters"] == 2538046 and set(cells["ASAP"]) == {"parameters", "multiply_adds", "source"}


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
    names = {"scale": "cpu", "seed": 3, "channels": None, "_private": 1, "In": ["x"], "collect": collect}
    assert collect(SearchParameters, names) == make(SearchParameters, {"scale": "cpu", "seed": 3})
    with pytest.raises(ParameterError, match="unknown parameter 'initial_temp'"):
        collect(SearchParameters, {**names, "initial_temp": 1.6})
    with pytest.raises(ParameterError, match="seed must be a whole number, not '3x'") as caught:
        collect(SearchParameters, {**names, "seed": "3x"})
    assert caught.value._render_traceback_() == [f"ParameterError: {caught.value}"]
    with pytest.raises(ParameterError, match="seed must be a whole number"):
        collect(SearchParameters, {**names, "seed": [1, 2]})

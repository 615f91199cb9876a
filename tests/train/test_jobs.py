"""`asap study NAME --jobs N`: what is left of a study, several runs at a time."""

import os
import signal
import sys
import threading
import time

import pytest

from asap.cli import main
from asap.records.study import Planned, load
from asap.train import jobs
from asap.train.ends import Interrupted

SEARCHES = """
title: two searches
runs:
  - kind: search
    common: {dataset: digits, scale: tiny, study: trial, images: 64, epochs: 1, batch: 16, nodes: 2}
    arms: {ASAP: {method: asap, seed: [0, 1]}}
"""
EVALUATED = f"""{SEARCHES}
  - kind: evaluation
    of: searches
    common: {{dataset: digits, scale: tiny, images: 64, epochs: 1, layers: 3}}
"""
#: A run that stands for asap's: it notes its begin and its end, and what it does in between is the test's.
STAND_IN = """
import os, pathlib, signal, sys, time
words, root = sys.argv[1:], pathlib.Path(sys.argv[sys.argv.index("--runs-root") + 1])
run = words[0] + "-" + words[words.index("--seed") + 1]
def note(text):
    with open(root / "log", "a") as file:
        file.write(f"{text} {run}\\n")
def stop(*_):
    note("kept")
    os._exit(143)
signal.signal(signal.SIGTERM, stop)
note("begin")
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Runs of STAND_IN and a body: `stand_in(body)` gives what to call with the number of jobs (and minutes), and its log."""
    path = tmp_path / "study.yaml"
    path.write_text(EVALUATED)
    log = tmp_path / "log"

    def made(body):
        def finished(planned, root):
            kind = "search" if planned.kind == "search" else "evaluate"
            return True if log.is_file() and f"end {kind}-{planned.parameters.seed}\n" in log.read_text() else None

        monkeypatch.setattr(jobs, "ASAP", [sys.executable, "-c", STAND_IN + body + "\nnote('end')"])
        monkeypatch.setattr(Planned, "finished", finished)
        return lambda count, minutes=0.0: jobs.run_left(load(str(path)), tmp_path, count, minutes), lambda: log.read_text().split("\n")[:-1]

    return made


def test_runs_take_the_cards_in_turn(stand_in, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 6,-1,7")
    run, log = stand_in("note('card ' + os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(0.5)")
    assert run(2) == 0
    used = [line.split()[1] for line in log() if line.startswith("card")]
    assert set(used[:2]) == {"4", "6"} and len(used) >= 2
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", "")
    assert jobs.cards() == []


def test_two_searches_run_side_by_side_and_are_recorded(tmp_path, capsys):
    path = tmp_path / "two.yaml"
    path.write_text(SEARCHES)
    assert main(["study", str(path), "--jobs", "2", "--minutes", "5"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1].split(" in ")[0] for line in lines] == ["begun", "begun", "finished", "finished"]
    assert main(["study", str(path), "--jobs", "2"]) == 0 and capsys.readouterr().err == ""
    assert len(list((tmp_path / "runs" / "trial").glob("*/genotype.json"))) == 2


def test_an_evaluation_waits_for_its_search_and_no_more_run_than_are_asked_for(stand_in):
    run, log = stand_in("time.sleep(0.6 if run == 'search-0' else 0.1)")
    assert run(2) == 0
    noted = log()
    assert set(noted[:2]) == {"begin search-0", "begin search-1"}
    assert noted[2:] == ["end search-1", "begin evaluate-1", "end evaluate-1", "end search-0", "begin evaluate-0", "end evaluate-0"]
    assert run(1) == 0 and log() == noted  # nothing is left


def test_a_run_that_fails_leaves_a_line_and_the_others_go_on(stand_in, capsys):
    run, log = stand_in("if run == 'search-0':\n    sys.exit('asap: the disk is full')")
    assert run(1) == 1
    assert [line for line in log() if line.startswith("end")] == ["end search-1", "end evaluate-1"]
    said = [line.split(": ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert [text for text in said if text.startswith("failed")] == ["failed: the disk is full"]
    assert sum("not begun, since trial/asap-digits-tiny-seed0" in text for text in said) == 1


def test_a_run_that_crashes_has_failed(stand_in, capsys):
    run, _ = stand_in("os.kill(os.getpid(), signal.SIGKILL)")
    assert run(2) == 2 and capsys.readouterr().err.count("failed: ended by signal 9") == 2


def test_when_the_minutes_are_over_the_runs_stop_with_what_they_have(stand_in, capsys):
    run, log = stand_in("time.sleep(30)")
    began = time.monotonic()
    assert run(2, 1 / 60) == 0 and time.monotonic() - began < 5
    assert sorted(log()) == ["begin search-0", "begin search-1", "kept search-0", "kept search-1"]
    assert capsys.readouterr().err.count(": stopped") == 2


def test_a_signal_is_passed_on(stand_in, tmp_path):
    run, log = stand_in("time.sleep(30)")

    def once_begun():
        while not (tmp_path / "log").is_file() or len(log()) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=once_begun).start()
    with pytest.raises(Interrupted) as stop:
        run(2)
    assert stop.value.status == 143 and sorted(log())[2:] == ["kept search-0", "kept search-1"]


def test_a_run_that_does_not_stop_is_killed(stand_in, monkeypatch, capsys):
    monkeypatch.setattr(jobs, "GRACE", 0.3)
    run, _ = stand_in("signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(30)")
    monkeypatch.setattr(jobs, "LAST", 0.3)
    assert run(1, 1 / 60) == 0
    assert capsys.readouterr().err.splitlines()[-1].endswith(": stopped")


@pytest.mark.parametrize(
    "words",
    [["--jobs", "2"], ["x", "--minutes", "3"], ["x", "--jobs", "-1"], ["x", "--jobs", "2", "--minutes", "nan"], ["x", "--jobs", "two"]],
)
def test_bad_numbers_are_one_line(capsys, words):
    assert main(["study", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1

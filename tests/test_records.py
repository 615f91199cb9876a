import json
import os

import pandas as pd
import pytest

from asap.records.run import Recorder, RecordError, Run, find_runs, write_atomically

DATA = {"name": "digits", "variant": "digits"}


def record(root, name="one", finish=True, **parameters):
    recorder = Recorder(root / "study" / name, "evaluation", {"cell": "ASAP", "run": "", **parameters}, data=DATA, machine={})
    recorder.epochs([{"epoch": 1, "train_loss": 0.5}])
    recorder.test({"test_error": 5.0})
    if finish:
        recorder.finish({"test_error": 5.0})
    recorder.close()
    return recorder.folder


def test_a_record_is_read_back(tmp_path):
    run = Run.open(record(tmp_path, seed=3))
    assert run.name == "study/one" and run.parameters["seed"] == 3 and run.outcome == run.test() == {"test_error": 5.0}
    pd.testing.assert_frame_equal(run.epochs(), pd.DataFrame([{"epoch": 1, "train_loss": 0.5}]))


def test_find_runs_selects_and_leaves_out_what_did_not_finish(tmp_path):
    record(tmp_path, "a", seed=1)
    record(tmp_path, "b", seed=2)
    record(tmp_path, "c", finish=False, seed=1)
    runs, problems = find_runs(tmp_path, "evaluation", seed=1)
    assert [run.name for run in runs] == ["study/a"] and not problems
    assert find_runs(tmp_path, "search") == ([], [])
    assert [run.parameters["seed"] for run in find_runs(tmp_path)[0]] == [1, 2]


@pytest.mark.parametrize("damage", ["truncate run.json", "change run.json", "change epochs.csv", "delete test.json"])
def test_a_damaged_record_is_named_and_left_out(tmp_path, damage):
    record(tmp_path, "whole")
    folder = record(tmp_path, "hurt")
    action, name = damage.split()
    path = folder / name
    if action == "delete":
        path.unlink()
    elif action == "truncate":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.write_text(path.read_text().replace("5", "4", 1))
    runs, problems = find_runs(tmp_path)
    assert [run.name for run in runs] == ["study/whole"]
    assert len(problems) == 1 and "hurt" in problems[0] and "\n" not in problems[0]


def test_a_record_is_locked_while_it_is_written(tmp_path):
    first = Recorder(tmp_path / "study" / "one", "search", {}, data=DATA)
    with pytest.raises(RecordError, match="in use"):
        Recorder(tmp_path / "study" / "one", "search", {}, data=DATA)
    first.close()


def test_other_data_do_not_go_on_with_a_run(tmp_path):
    record(tmp_path, finish=False)
    with pytest.raises(RecordError, match=r"other data: variant is 'digits' there, 'other' here"):
        Recorder(tmp_path / "study" / "one", "evaluation", {"cell": "ASAP", "run": ""}, data={**DATA, "variant": "other"})


def test_a_write_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"first")

    def full(handle):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"second")
    assert path.read_bytes() == b"first" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_run_json_keeps_innermost_lists_on_a_line(tmp_path):
    folder = record(tmp_path, shape=[1, 2, 3])
    text = (folder / "run.json").read_text()
    assert '"shape": [1, 2, 3]' in text and json.loads(text)["parameters"]["shape"] == [1, 2, 3]

import json
import os
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import pytest

from asap.cli import main
from asap.errors import UserError
from asap.paper.space import published_cell
from asap.records.recorder import Recorder, write_atomically
from asap.records.run import RecordError, Run, find_runs, pack

DATA = {"name": "digits", "variant": "digits"}


def record(root, name="one", finish=True, **parameters):
    recorder = Recorder(root / "study" / name, "evaluation", {"cell": "ASAP", "run": "", **parameters}, data=DATA, machine={})
    recorder.write("epochs.csv", [{"epoch": 1, "train_loss": 0.5}])
    recorder.write("test.json", {"test_error": 5.0})
    if finish:
        recorder.finish({"test_error": 5.0})
    recorder.close()
    return recorder.folder


def test_a_record_is_read_back(tmp_path):
    run = Run.open(record(tmp_path, seed=3))
    assert run.name == "study/one" and run.parameters["seed"] == 3 and run.outcome == run.test() == {"test_error": 5.0}
    pd.testing.assert_frame_equal(run.epochs(), pd.DataFrame([{"epoch": 1, "train_loss": 0.5}]))


@pytest.mark.parametrize(("kept", "times"), [(True, 2), (False, 1)])
def test_a_run_that_begins_anew_is_not_dated_back_to_what_was_lost(tmp_path, kept, times):
    folder = record(tmp_path, finish=False)
    if kept:
        (folder / "checkpoint.pt").touch()
    info = Run.open(record(tmp_path)).info
    assert len(info["opened"]) == len(info["commits"]) == times and info["started"] == info["opened"][0]


def test_the_images_that_were_wrong_are_read_back_or_refused(tmp_path):
    flags = np.random.default_rng(0).random(21) < 0.3
    folder = record(tmp_path)
    run = Run.open(folder, finished=False)
    assert run.wrong() is None  # an older record, without them
    for text, count, fine in ((pack(flags), 21, True), (pack(flags), 20, False), ("no base64", 21, False), (7, 21, False)):
        test = {"test_error": 100 * flags.mean(), "test_images": count, "wrong": text}
        write_atomically(folder / "test.json", json.dumps(test).encode())
        run = Run(folder, {**run.info, "files": {}})
        if fine:
            assert run.wrong().tolist() == flags.tolist()
        else:
            with pytest.raises(RecordError, match=r"test\.json is damaged"):
                run.wrong()


def test_what_an_unfinished_record_says_beside_its_parameters_is_said_anew(tmp_path):
    """It has no digest yet: a damaged name does not reach the finished record. That it failed before does, with the reason."""
    folder = record(tmp_path, finish=False)
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**info, "name": "other", "kimd": 1, "status": "failed", "reason": "no room"}))
    record(tmp_path)
    finished = Run.open(folder).info
    assert finished.keys() == info.keys() | {"ended", "outcome", "files", "digest", "failures"} and finished["name"] == "one"
    assert finished["failures"] == ["no room"]


def test_find_runs_leaves_out_what_did_not_finish(tmp_path):
    record(tmp_path, "a", seed=1)
    record(tmp_path, "b", seed=2)
    record(tmp_path, "c", finish=False, seed=1)
    runs, problems = find_runs(tmp_path)
    assert [run.name for run in runs] == ["study/a", "study/b"] and not problems
    assert [run.parameters["seed"] for run in runs] == [1, 2]


@pytest.mark.parametrize("damage", ["truncate run.json", "change run.json", "change epochs.csv", "delete test.json"])
def test_a_damaged_record_is_named_and_left_out(tmp_path, monkeypatch, damage):
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
    assert len(problems) == 1 and problems[0].startswith("runs/study/hurt") and "\n" not in problems[0]
    monkeypatch.chdir(tmp_path)
    assert find_runs(Path())[1] == [problems[0].removeprefix("runs/")]


def test_what_is_recorded_is_listed_with_how_far_it_is(tmp_path, capsys):
    record(tmp_path, "done")
    record(tmp_path, "half", finish=False, epochs=7)
    failed = Recorder(tmp_path / "study" / "lost", "search", {}, data=DATA)
    failed.fail("the loss is not finite")
    failed.close()
    (record(tmp_path, "hurt", finish=False) / "epochs.csv").write_bytes(b"")
    assert main(["runs", "--runs-root", str(tmp_path)]) == 0
    done, half, hurt, lost = capsys.readouterr().out.splitlines()
    assert done.endswith("test_error=5") and half.endswith("1 of 7 epochs") and lost.endswith("the loss is not finite")
    assert hurt.startswith("damaged") and "epochs.csv" in hurt


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


@pytest.mark.parametrize(
    "content",
    [
        '{"status": "running"}',
        '{"status": "finished", "kind": "search", "study": "a", "name": "b", "parameters": {}}',
        '{"status": "running", "kind": 1, "study": "a", "name": "b", "parameters": {}}',
        '{"status": "running", "kind": "search", "study": "a", "name": "b", "parameters": []}',
        '{"status": "running", "kind": "search", "study": "a", "name": "b", "parameters": {}, "files": {"../../x": 1}}',
        '{"status": ["running"], "kind": "search", "study": "a", "name": "b", "parameters": {}}',
        "[]",
        "",
        "[" * 100_000,
        b"\xff\xfe\x00",
        "fifo",
    ],
)
def test_one_bad_record_stops_nothing(tmp_path, capsys, content):
    record(tmp_path, "whole")
    hurt = tmp_path / "study" / "hurt"
    hurt.mkdir()
    if content == "fifo":
        os.mkfifo(hurt / "run.json")
    else:
        (hurt / "run.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    runs, problems = find_runs(tmp_path)
    assert [run.name for run in runs] == ["study/whole"] and len(problems) == 1 and "hurt" in problems[0] and problems[0].isprintable()
    assert main(["runs", "--runs-root", str(tmp_path)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 and out[0].startswith("damaged ") and out[1].startswith("finished ")


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", "fifo"])
def test_a_damaged_file_of_a_run_is_named(tmp_path, content):
    recorder = Recorder(tmp_path / "study" / "one", "search", {"edge_rule": "alpha"})
    for name in ("genotype.json", "epochs.csv", "architecture.parquet", "test.json"):
        if content == "fifo":
            os.mkfifo(recorder.folder / name)
        else:
            (recorder.folder / name).write_text(content)
    recorder.close()
    run = Run.open(recorder.folder, finished=False)
    for read in (run.genotype, run.architecture):
        with pytest.raises(UserError) as caught:
            read()
        assert str(caught.value).isprintable()


def test_control_characters_of_a_record_never_reach_a_terminal(tmp_path, capsys):
    record(tmp_path, "\x1b[31mred\u202e")
    folder = record(tmp_path, "hurt", finish=False)
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**info, "status": "\x1b]0;title\x07"}))
    assert main(["runs", "--runs-root", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.splitlines()) and "\\x1b[31mred" in out and len(out.splitlines()) == 2


def test_a_finished_run_needs_no_right_to_write(tmp_path, monkeypatch):
    folder = record(tmp_path)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    monkeypatch.setattr("asap.records.recorder.write_atomically", refuse)
    assert Recorder(folder, "evaluation", {"cell": "ASAP", "run": ""}, data=DATA).finished
    with pytest.raises(RecordError, match=r"cannot write under .*: Permission denied"):
        Recorder(tmp_path / "study" / "other", "evaluation", {}, data=DATA)


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    folder, precious = tmp_path / "study" / "one", tmp_path / "precious"
    folder.mkdir(parents=True)
    precious.write_text("all of it")
    (folder / ".lock").symlink_to(precious)
    with pytest.raises(RecordError, match="cannot write under"):
        Recorder(folder, "search", {}, data=DATA)
    assert precious.read_text() == "all of it"


def test_another_genotype_does_not_go_on_with_a_run(tmp_path):
    cell = published_cell("ASAP").to_dict()
    other = {**cell, "normal": [["skip_connect", *cell["normal"][0][1:]], *cell["normal"][1:]]}
    Recorder(tmp_path / "study" / "one", "evaluation", {}, data=DATA, genotype=cell).close()
    Recorder(tmp_path / "study" / "one", "evaluation", {}, data=DATA, genotype=cell).close()
    with pytest.raises(RecordError, match=r"holds a run of other genotype: normal\[0\] is .* there, \['skip_connect'"):
        Recorder(tmp_path / "study" / "one", "evaluation", {}, data=DATA, genotype=other)

import json

import pandas as pd
import pytest
from same import TIME_COLUMNS, interrupted

from asap.networks.derived import Size
from asap.paper.space import published_cell
from asap.records.parameters import EvaluationParameters, ParameterError, make
from asap.records.run import RecordError, Run
from asap.train.evaluate import _Evaluation


def test_the_record_of_an_evaluation(quick_evaluation):
    run = Run.open(quick_evaluation())
    result = run.test()
    assert 0 <= result["test_error"] <= 100 and result["test_images"] == 359
    assert result["parameters"] == Size(published_cell("ASAP"), 8, 3, 10, 1, 8).parameters
    assert run.info["genotype"] == published_cell("ASAP").to_dict()
    assert len(run.epochs()) == 2
    wrong = run.wrong()
    assert wrong.shape == (359,) and 100 * wrong.mean() == pytest.approx(result["test_error"], abs=1e-4)


def test_a_searched_cell_is_evaluated_under_its_search_s_name(small_search, quick_evaluation):
    folder = small_search(epochs=1)
    run = Run.open(quick_evaluation(run=str(folder)))
    assert run.parameters["run"] == f"scratch/{folder.name}"
    assert run.info["genotype"] == Run.open(folder).genotype().to_dict()
    assert quick_evaluation(run=f"scratch/{folder.name}") == run.folder  # the same run, by its short name
    with pytest.raises(ParameterError, match="no search"):
        quick_evaluation(run=str(run.folder))


def test_a_search_that_did_not_finish_has_no_cell(tmp_path, small_search, quick_evaluation):
    folder = small_search(epochs=1)
    info = json.loads((folder / "run.json").read_text()) | {"status": "running"}
    (folder / "run.json").write_text(json.dumps(info))
    with pytest.raises(RecordError, match="did not finish"):
        quick_evaluation(run=str(folder))
    with pytest.raises(RecordError, match="holds no run"):
        quick_evaluation(run=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("given", [{}, {"cell": "ASAP", "run": "x"}])
def test_either_a_run_or_a_cell(given):
    with pytest.raises(ParameterError, match="either run"):
        make(EvaluationParameters, given)


PAPER_LIKE = {"rate_schedule": "power_cosine", "cycles": 2, "drop_path": 0.3, "cutout": 4, "label_smoothing": 0.1, "epochs": 3}


def test_a_batch_of_one_is_refused_where_it_cannot_be_trained(quick_evaluation):
    with pytest.raises(ParameterError, match="cutout 8 must be smaller than the images, 8×8"):
        quick_evaluation(cutout=8)
    with pytest.raises(ParameterError, match="a batch of at least 2 images"):
        quick_evaluation(batch=1)
    quick_evaluation(batch=1, auxiliary_weight=0, images=2, epochs=1)


@pytest.mark.parametrize("given", [{}, {**PAPER_LIKE, "autoaugment": True}])
def test_an_interrupted_evaluation_goes_on_bit_for_bit(monkeypatch, quick_evaluation, given):
    whole = Run.open(quick_evaluation(root="whole", **given))
    interrupted(monkeypatch, quick_evaluation, steps=6, root="cut", **given)  # within the second epoch, whose drop-path is drawn
    resumed = Run.open(quick_evaluation(root="cut", **given))
    times = [c for c in TIME_COLUMNS if c in whole.epochs()]
    pd.testing.assert_frame_equal(whole.epochs().drop(columns=times), resumed.epochs().drop(columns=times), check_exact=True)
    assert whole.test() == resumed.test()


def test_the_rate_of_each_schedule():
    for schedule, first, second in (("cosine", 0.025, 0.0125), ("power_cosine", 0.025, 0.0125)):
        p = make(EvaluationParameters, {"cell": "ASAP", "scale": "paper", "rate_schedule": schedule, "epochs": 10, "cycles": 2})

        class Fake:
            train = range(7)

        fake = Fake()
        fake.p = p
        rates = [_Evaluation.rate(fake, step) for step in range(70)]
        assert rates[0] == rates[6] == first  # constant within an epoch
        assert rates[35] == pytest.approx(second)

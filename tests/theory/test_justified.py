"""The page on justified prunings, from a search that nothing trained: its rewards are drawn, its record is a search's."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from posed import MACHINE

from asap.records.recorder import Recorder
from asap.records.run import Run
from asap.records.study import load
from asap.report import justified, theory
from asap.report.certificates import certificates, covariance, edges, replay
from asap.search.methods import make_method


def pose_bets(root, planned, epochs=12, steps=30):
    """A finished record of a planned search whose rewards are normal, the first operation's .5 ahead and the last's .5 behind."""
    method, stream, history, course = make_method(planned.parameters, torch.device("cpu")), torch.Generator().manual_seed(3), [], []
    lead = torch.zeros(len(method.operations))
    lead[0], lead[-1] = 0.5, -0.5
    for epoch in range(1, epochs + 1):
        method.begin_epoch(epoch + 8)
        for _ in range(steps):
            gradients = {}
            for kind, alpha in method.alpha.items():
                phi, reward = method.phi(kind).detach(), torch.randn(alpha.shape, generator=stream) + lead
                gradients[kind] = -phi / method.temperature * (reward - (phi * reward).sum(1, keepdim=True))
            method.apply(gradients)
            masks = method.to_prune(epoch_ends=False)
            if masks is not None:
                method.pruned(masks)
        for kind, columns in method.snapshot().items():
            edge, operation = np.indices(columns["phi"].shape).reshape(2, -1)
            alive = method.alive[kind].numpy().ravel()
            named = {"epoch": epoch, "cell": kind, "edge": edge, "operation": np.array(method.operations)[operation], "alive": alive}
            history.append(pd.DataFrame(named | {name: value.ravel() for name, value in columns.items()}))
        course.append({"epoch": epoch, "temperature": method.temperature, "alpha_steps": steps})
    data = {"variant": "posed", "fingerprint": "0"}
    recorder = Recorder(root / planned.name, "search", planned.parameters.identity(), data=data, machine=MACHINE)
    recorder.write("epochs.csv", course)
    recorder.write("architecture.parquet", pd.concat(history, ignore_index=True).astype({"cell": "category", "operation": "category"}))
    recorder.finish({"seconds": 60.0})
    recorder.close()
    return Run.open(root / planned.name)


def test_a_search_s_certificates_make_the_page(tmp_path, monkeypatch):
    planned = {p.label: p for p in load("certified").planned if p.kind == "search" and p.parameters.seed == 0}
    watched, certified = (pose_bets(tmp_path, planned[f"ASAP, by {rule}"]) for rule in ("its threshold", "certificate"))
    table = certificates(certified)
    assert np.isfinite(table["pruned"]).any() and (table["certified"] <= table["pruned"]).all()
    assert np.array_equal(np.isfinite(table["pruned"]), np.isfinite(table["certified"]))
    assert set(table.loc[np.isfinite(table["certified"]), "operation"]) == set(table["operation"]) - {table["operation"].iloc[0]}
    assert 0.95 < covariance(watched) < 1.05  # the rewards are independent
    # what the statistics of epochs estimate is what the bets find, or nearly so
    found, estimated = certificates(watched), replay(watched)
    differ = np.isfinite(found["certified"].to_numpy()) != np.isfinite(estimated["certified"].to_numpy())
    assert np.isfinite(found["certified"]).sum() > 40 and differ.mean() < 0.1
    limits = edges(watched)
    assert (limits["limit"] <= limits["certified"]).all() and (limits["certified"] < limits["theorem2"]).all()
    posed = [("ASAP, by its threshold", watched), ("ASAP, by certificate", certified)]
    monkeypatch.setattr(justified, "searches", lambda study, *arms: posed)
    rows = justified.certificate_rows()
    assert rows["search"].tolist() == [arm for arm, _ in posed] and rows["seed"].tolist() == ["0", "0"]
    assert [rows[name].tolist() for name in justified.COUNTS[3:4]] == [
        [str(int(np.isfinite(certificates(run)["certified"]).sum())) for _, run in posed]
    ]
    pruned = justified.watched()
    assert set(pruned["run"]) <= {watched.name} and np.isfinite(pruned["pruned"]).all()


def test_cells_are_compared_by_score_on_the_same_seeds_alone(monkeypatch):
    arms = [
        (justified.THRESHOLD, 0, 93.0),
        (justified.CERTIFICATE, 0, 94.0),
        (justified.THRESHOLD, 1, 93.5),
        (justified.CERTIFICATE, 2, 90.0),
    ]
    frame = pd.DataFrame([{"run": f"{arm}{seed}", "arm_certified": arm, "seed": seed, "score": score} for arm, seed, score in arms])
    monkeypatch.setattr(justified.results, "searches", lambda: frame.drop(columns="score"))
    monkeypatch.setattr(justified.surrogate, "scores", lambda: frame.rename(columns={"run": "cell"})[["cell", "score"]])
    assert "(n = 1): +1.00 points (one run, no test)" in justified.score_difference()
    frame.loc[3, "seed"] = 1
    assert "(n = 2): -1.25 points, 95 % interval" in (said := justified.score_difference()) and "with a probability of 80 %" in said
    frame.loc[[1, 3], "arm_certified"] = ""  # no pair is left
    assert justified.score_difference() == ""


def test_certified_losers_that_are_in_front_at_the_end_are_said(monkeypatch):
    rows = [(1, 0, 0, "sep_conv_3x3", 0.9, np.inf), (2, 0, 0, "sep_conv_3x3", 0.2, np.inf), (2, 0, 0, "skip_connect", 0.8, 5.0)]
    rows += [(2, 1, 1, "sep_conv_3x3", 0.7, 9.0), (2, 1, 1, "skip_connect", 0.3, np.inf)]
    frame = pd.DataFrame(rows, columns=["epoch", "edge", "source", "operation", "phi", "certified_step"])
    run = SimpleNamespace(
        architecture=lambda: frame.assign(cell="normal", target=2, alive=True),
        genotype=lambda: SimpleNamespace(cell=lambda kind: [SimpleNamespace(source=0, target=2)]),
    )
    monkeypatch.setattr(justified, "searches", lambda study, *arms: [("ASAP", run)])
    assert justified.reversed_certificates().startswith("On 2 of 2 edges") and "1 of these are" in justified.reversed_certificates()
    frame["certified_step"] = np.inf
    assert justified.reversed_certificates() == ""


def test_the_limit_is_0_where_a_guess_would_do_and_none_for_a_tie():
    def limit(delta, gap):
        return theory.limit(SimpleNamespace(operations=2, delta=delta, gap=gap, noise="rademacher", spread=1.0))

    assert limit(0.6, 0.5) == 0 < limit(0.1, 0.5) and np.isnan(limit(0.1, 0.0))

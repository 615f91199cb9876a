"""The animation of a search: an arrow an operation, Φ by epoch, nothing from a network."""

import json
import re

import numpy as np

from asap.records.run import Run
from asap.report import animation


def test_the_element_holds_every_arrow_and_epoch(quick_search):
    run = Run.open(quick_search(alpha_rate_factor=200))
    epochs, architecture = run.epochs(), run.architecture()
    html = animation.pruning(epochs, architecture)
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', html)[1])
    assert len(data["captions"]) == len(epochs) and html.count("<path ") == 2 * 14 * 7 and html.count("<svg ") == 2
    assert "http" not in html and "src=" not in html
    for weights, kind in zip(data["phi"], ("normal", "reduce"), strict=True):
        frame = architecture[architecture["cell"] == kind]
        expected = np.where(frame["alive"], frame["phi"], 0).reshape(len(epochs), -1)
        assert np.allclose(weights, expected, atol=6e-4)
        assert (np.array(weights)[-1] > 0).sum() == epochs[f"operations_{kind}"].iloc[-1]
    # without a script the last epoch is drawn
    gone = sum(float(w) == 0 for weights in data["phi"] for w in weights[-1])
    assert html.count('stroke-opacity="0"') == gone > 0

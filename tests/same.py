"""Two runs compared, and a run that is cut short."""

import itertools

import pandas as pd
import pytest

from asap.train import session
from asap.train.session import Session

TIME_COLUMNS = ("seconds_weights", "seconds_alpha", "seconds_measure", "seconds", "peak_memory_mb")


def timeless(run):
    return run.epochs().drop(columns=list(TIME_COLUMNS), errors="ignore")


def same(a, b):
    """Whether two runs left the same record, times apart."""
    pd.testing.assert_frame_equal(timeless(a), timeless(b), check_exact=True)
    pd.testing.assert_frame_equal(a.architecture(), b.architecture(), check_exact=True)
    assert a.genotype() == b.genotype()
    assert {k: v for k, v in a.outcome.items() if k != "seconds"} == {k: v for k, v in b.outcome.items() if k != "seconds"}


def interrupted(monkeypatch, run, steps=7, **given):
    """A search or an evaluation that writes its checkpoint after every step and stops after so many, as if killed."""
    taken = itertools.count(1)
    original = Session.steps

    def limited(self, batches):
        for batch in original(self, batches):
            if next(taken) > steps:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(session, "CHECKPOINT_SECONDS", -1)
        patch.setattr(Session, "steps", limited)
        with pytest.raises(KeyboardInterrupt):
            run(**given)

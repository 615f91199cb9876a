"""Records of planned evaluations that nothing trained, for tests of what is made of records."""

from asap.records.recorder import Recorder

MACHINE = {"device": "cpu", "processor": "none", "git_commit": "0" * 40, "torch": "none", "threads": 1, "clock": "process"}


def pose(root, planned, error, **outcome):
    """A finished record of a planned evaluation with this test error in per cent."""
    data = {"variant": "posed", "fingerprint": "0"}
    recorder = Recorder(root / planned.name, "evaluation", planned.parameters.identity(), data=data, machine=MACHINE)
    recorder.finish({"test_error": error, "test_images": 10_000, "parameters": 1_000_000, "seconds": 1.0, **outcome})
    recorder.close()

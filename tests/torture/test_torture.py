"""A sample of `make torture`, so that it runs."""

import os
import subprocess
import sys
from pathlib import Path


def test_a_sample_of_the_torture_finds_no_fault():
    tests = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    words = [sys.executable, "-m", "torture", "--seed", "1", "--kills", "1", "--inputs", "6", "--damaged", "2"]
    found = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert found.returncode == 0 and found.stdout.rstrip().splitlines()[-1].startswith("seed 1: no faults in "), found.stdout + found.stderr

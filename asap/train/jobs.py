"""What is left of a study, several runs at a time, each a process of its own: `asap study NAME --jobs N`. Needs no torch."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from ..errors import printable
from ..records.study import Planned, Study
from .ends import Signals

ASAP = [sys.executable, "-m", "asap.cli"]
GRACE, LAST = 60.0, 5.0  # seconds that a run told to stop has to end its step and write its checkpoint; and when told again


def cards() -> list[str]:
    """The GPUs that runs take in turn, as CUDA_VISIBLE_DEVICES names them; none where there is none."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = [name.strip() for name in given.split(",")]
        return list(itertools.takewhile(lambda name: name and not name.startswith("-"), names))  # as CUDA reads it
    try:
        asked = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return []


class _Job:
    """A run under way, on this card."""

    def __init__(self, planned: Planned, root: Path, seconds: float, card: str) -> None:
        self.planned, self.began, self.told, self.card = planned, time.monotonic(), False, card
        self.said = tempfile.TemporaryFile()  # noqa: SIM115  (not a pipe, which would fill)
        command = [*ASAP, *planned.command(str(root))]
        if seconds < math.inf:  # it ends by itself, too, where nobody is left to tell it
            command += ["--minutes", f"{max(seconds, 1.0) / 60:.4f}"]
        # in a session of its own, so that a terminal's Ctrl-C reaches it once: from here
        seen = os.environ | ({"CUDA_VISIBLE_DEVICES": card} if card else {})
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.said, start_new_session=True, env=seen)

    def stop(self) -> None:
        """Tell it to write its checkpoint and end."""
        self.told = True
        self.process.terminate()

    def end(self, root: Path, seconds: float | None = None) -> str:
        """What became of it: finished, stopped (it goes on from its checkpoint) or failed, with its last line. seconds: to wait for it."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").replace("\r", "\n").split("\n")
        self.said.close()
        if status == 0:
            return f"finished in {(time.monotonic() - self.began) / 60:.1f} min" if self.planned.finished(root) else "stopped"
        if status > 128 or (status < 0 and self.told):  # by a signal
            return "stopped"
        last = next((line.removeprefix("asap: ") for line in reversed(lines) if line.strip()), "it said nothing")
        return f"failed: {last}" if status > 0 else f"failed: ended by signal {-status}"


def run_left(study: Study, root: Path, jobs: int, minutes: float) -> int:
    """Run what is left of a study, `jobs` runs at a time, searches first. Returns how many failed; a line each on standard error.

    A run that fails does not stop the others. An evaluation waits for the search of its cell, and is not begun where that does not
    finish. minutes: for all of it; 0: no limit. When they are over, and on Ctrl-C, SIGTERM and SIGHUP, the runs under way write their
    checkpoints and stop; the second signal ends them at once. Raises `Interrupted` after a signal.
    """
    end = time.monotonic() + 60 * minutes if minutes else math.inf
    waiting, running = {planned.name: planned for planned in study.left(root)}, dict[str, _Job]()
    lost: set[str] = set()  # what did not finish
    known, failed, kill = cards(), 0, math.inf

    def say(name: str, text: str) -> None:
        with suppress(OSError):  # the terminal may be gone
            print(printable(f"{name}: {text}"), file=sys.stderr, flush=True)

    with Signals() as signals:
        signals.waiting = True
        try:
            while (running or waiting) and time.monotonic() < kill:
                if kill == math.inf and (signals.asked or time.monotonic() > end):
                    kill, waiting = time.monotonic() + GRACE, {}
                    for job in running.values():
                        job.stop()
                for name in [name for name, job in running.items() if job.process.poll() is not None]:
                    became = running.pop(name).end(root)
                    failed += became.startswith("failed")
                    if not became.startswith("finished"):
                        lost.add(name)
                    say(name, became)
                for name in [name for name, planned in waiting.items() if planned.needs in lost]:
                    lost.add(name)
                    say(name, f"not begun, since {waiting.pop(name).needs} has not finished")
                ready = [name for name, planned in waiting.items() if planned.needs not in waiting and planned.needs not in running]
                for name in ready[: jobs - len(running)]:
                    planned, taken = waiting.pop(name), [job.card for job in running.values()]
                    card = "" if "device" in planned.given else min(known, key=taken.count, default="")
                    running[name] = _Job(planned, root, end - time.monotonic(), card)
                    say(name, "begun")
                time.sleep(0.1)
        finally:
            for job in running.values():
                job.stop()
            for name, job in running.items():
                say(name, job.end(root, LAST))
        if signals.asked:
            signals.stop()
    return failed

"""One command in a forked child of a process that has torch in memory already, what it answers, and what lies on the disk."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asap import cli

LIMIT = 120.0  # seconds after which a command hangs, which is a fault
NOBODY = 65534


@dataclass(frozen=True)
class Answer:
    """How a command ended. status: its exit status, or minus the signal that ended it."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def lines(self) -> list[str]:
        """Standard error without the progress bar's lines, and without the notes that reading a data set leaves."""
        return [line for line in self.err.splitlines() if line and "step" not in line.split()[-1] and not line.startswith("reading ")]

    def refused(self, status: int = 2) -> str:
        """What is wrong with it as a refusal: nothing on standard output, one printable line, no traceback; "" where nothing is."""
        if self.status != status:
            return f"exit status {self.status}, not {status}: {self.lines[-1:]}"
        if self.out or len(self.lines) != 1 or not self.lines[0].startswith("asap: ") or "Traceback" in self.err:
            return f"more than a line: {self.out[:200]!r} {self.lines!r:.400}"
        return "" if self.lines[0].isprintable() else f"control characters: {self.lines[0]!r:.300}"


def ask(words: list[str], before: Callable[[], Callable[[], None]] | None = None, kill_after: float = 0.0) -> Answer:
    """Run `asap WORDS` in a child. before: called in the child first; what it returns is called after the command has ended.

    kill_after: seconds after which the child gets SIGKILL; 0: never.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdout.flush()
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os._exit(_run(words, before))
        end = began + (kill_after or LIMIT)
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() >= end:
                os.kill(child, signal.SIGKILL)
                ended = os.waitpid(child, 0)
                break
            time.sleep(0.001)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="backslashreplace"))
        return Answer(os.waitstatus_to_exitcode(ended[1]), *texts, time.monotonic() - began)


def _run(words: list[str], before: Callable[[], Callable[[], None]] | None) -> int:
    status = 99
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        after = before() if before else None
        status = cli.main(words)
        if after:
            after()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return status


def as_nobody() -> Callable[[], None]:
    """Give up root's rights, to whom nothing is forbidden."""
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return lambda: None


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Everything under a folder: its kind and rights, size and time of change, by path."""
    found = {}
    for here, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(here, name)
            stat = os.lstat(path)
            found[path] = (stat.st_mode, stat.st_size, stat.st_mtime_ns)
    return found

"""How a run ends before its time: out of minutes, by a failure, or by Ctrl-C, SIGTERM (a batch system's) and SIGHUP (a terminal's)."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Any, NoReturn


class OutOfTime(Exception):
    """The minutes given are over; the checkpoint is whole, and the same command goes on from it."""


class RunFailed(RuntimeError):
    """A run that began and could not end; the message is one line."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP: `status` is the exit status that says which. The message is one line."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status


class Signals:
    """SIGINT, SIGTERM and SIGHUP while a run lasts: `waiting`, they are kept in `asked` for the end of the step; else, and the second
    time, they raise `Interrupted` at once. One that is ignored (nohup) stays so; other threads than the main one leave all as they are."""

    def __init__(self) -> None:
        self.waiting, self.asked = False, 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        with suppress(ValueError):  # not the main thread
            for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
                if number not in self.before and signal.getsignal(number) is not signal.SIG_IGN:
                    self.before[number] = signal.signal(number, self.handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def handle(self, number: int, frame: object) -> None:
        again, self.asked = self.asked, number
        if again or not self.waiting:
            self.stop()

    def stop(self) -> NoReturn:
        """Raise `Interrupted` for the signal that came."""
        raise Interrupted(128 + self.asked)

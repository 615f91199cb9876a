"""The errors that a user can mend, each one line, what a terminal can show, and the reading of a file that may hold anything."""

import io
import json
import sys
from pathlib import Path
from typing import Any


class UserError(ValueError):
    """Bad input: a parameter, a data set, a record or a checkpoint. The message is one line of printable characters."""

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(message))

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the one line, not the way that led to it."""
        return [f"{type(self).__name__}: {self}"]


def printable(text: object) -> str:
    """A text for a terminal: control characters, line breaks and what cannot be encoded stand as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in str(text))


def one_line(text: object) -> str:
    """A text, or what an error says, on one line of at most 200 characters."""
    return " ".join(str(text).split())[:200]


def print_all_characters() -> None:
    """From here on, what standard output's encoding lacks (∞ and δ, in a file on Windows) is printed as an escape, and is no error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def read_content(path: Path, most: int) -> bytes:
    """The content of a regular file of at most so many bytes. Raises OSError where it is none, or cannot be read."""
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    if not path.is_file():
        raise OSError("it is no regular file")
    if path.stat().st_size > most:
        raise OSError(f"it has more than {most:,} bytes")
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """What a JSON file of at most 10 MB holds. Raises FileNotFoundError; ValueError, one line, where it is no such file."""
    try:
        return json.loads(read_content(path, 10**7))
    except FileNotFoundError:
        raise
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None

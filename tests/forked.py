"""Runs in processes of their own, forked from one that has imported torch once for all of them."""

import contextlib
import multiprocessing
import os
import socket
from pathlib import Path

from asap.cli import main

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["asap.cli", "asap.search.loop", "asap.train.evaluate"])


def start(words, said=os.devnull, environment=None):
    """`asap` with these words, running; what it says goes to a file."""
    process = _CONTEXT.Process(target=_run, args=(words, str(said), environment or {}))
    process.start()
    return process


def _run(words, said, environment):
    os.environ |= environment
    with open(said, "w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        status = main(words)
    raise SystemExit(status)


def together(words, folder: Path, count=2):
    """`asap` with these words in processes that train together, as torchrun would start them; the text that each said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(count)}
    files = [folder / f"said-{rank}" for rank in range(count)]
    started = [start(words, file, {**where, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank, file in enumerate(files)]
    for process in started:
        process.join(300)
        assert process.exitcode == 0, "".join(file.read_text() for file in files)
    return [file.read_text() for file in files]

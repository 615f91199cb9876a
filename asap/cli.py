"""The command line: `asap search|evaluate|predict|score|theory|cells|plot|runs|study`, with the parameters by name.

Progress goes to standard error; the last line on standard output is the run's folder. Exit status: 2 and one line on standard error for
bad input, 1 for a run that failed, 130, 143 or 129 when interrupted by Ctrl-C, SIGTERM or SIGHUP.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import sys
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

from .errors import UserError, print_all_characters, printable
from .records.fields import add_arguments
from .records.parameters import EvaluationParameters, SearchParameters, make, runs_root
from .records.presets import SCALES

#: Commands that make a run: its parameters, its kind, what it does, and where.
KINDS: dict[str, tuple[type[SearchParameters | EvaluationParameters], str, str, str]] = {
    "search": (SearchParameters, "search", "search for a cell", ".search.loop"),
    "evaluate": (EvaluationParameters, "evaluation", "train and test a cell", ".train.evaluate"),
}
#: Commands that a room has of its own: where `add_arguments` and `command` stand, and what it does.
ROOMS = {
    "score": (".score.surrogate", "score cells by the surrogate trained on NAS-Bench-301's labels"),
    "predict": (".train.predict", "classify images by the network that an evaluation trained, or export it"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    print_all_characters()
    try:
        return _command(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(f"asap: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:  # of a run, with a message and the status of its signal
        print(f"asap: {str(error) or 'interrupted'}", file=sys.stderr)
        return int(getattr(error, "status", 130))
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except MemoryError as error:
        print(f"asap: {printable(f'out of memory: {error}'.removesuffix(': '))}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"asap: {printable(f'{error.filename}: {error.strerror}' if error.filename else error)}", file=sys.stderr)
        return 2


def _command(argv: list[str]) -> int:
    parser = _Parser(prog="asap", description=__doc__.splitlines()[0], allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    named = argv[0] if argv else ""  # the options of the other commands need not be made

    def add(name: str, text: str, description: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=description or text, allow_abbrev=False)

    for name, (kind, scales, text, _) in KINDS.items():
        sub = add(name, text, f"{text}; a value that is not given comes from the scale, else from its default, the paper's")
        if name == named:
            sub.usage = f"asap {name} [--PARAMETER VALUE ...]"
            add_arguments(sub, kind, SCALES[scales])
    theory = add("theory", "Theorem 2: simulate Algorithm 1 on one mixed operation")
    if named == "theory":
        _theory_options(theory)
    cells = add("cells", "the published cells, or one cell, and their sizes")
    cells.add_argument("--cell", default="", help="only this one: what `asap evaluate --cell` takes")
    cells.add_argument("--channels", type=int, default=36, help="of the first cell of the network of 4.2; default 36")
    cells.add_argument("--json", action="store_true", help="one JSON object: name → parameters, multiply_adds, source")
    cells.add_argument("--record", action="store_true", help="write the sizes of all cells, the recorded ones too, under runs/sizes/")
    for name, (room, text) in ROOMS.items():
        sub = add(name, text)
        if name == named:
            import_module(room, __package__).add_arguments(sub)
    plot = add("plot", "draw a cell")
    plot.add_argument("cell", help="a run (a folder, or study/run), or what `asap evaluate --cell` takes")
    plot.add_argument("--output", required=True, help="the file to write, .svg")
    runs = add("runs", "what is recorded, finished or not, and where")
    study = add("study", "what a study plans, what is done, how long the rest takes; with --jobs, run the rest")
    study.add_argument("name", nargs="?", default="", help="a study of runs/studies/, or a file; by default every study, in a line each")
    study.add_argument("--commands", action="store_true", help="only the commands of what is left: searches first, one of each arm in turn")
    study.add_argument("--jobs", type=int, default=0, help="run what is left of the study, so many runs at a time, in that order")
    study.add_argument("--minutes", type=float, default=0.0, help="stop the runs of --jobs after these, with checkpoints; 0: no limit")
    for sub in (theory, cells, plot, runs, study):
        sub.add_argument("--runs-root", default="", help="where runs are recorded; default: $ASAP_RUNS, else runs/")
    arguments, rest = parser.parse_known_args(argv)
    given = vars(arguments)
    command = given.pop("command")
    if rest:
        name = rest[0].lstrip("-").split("=")[0].replace("-", "_")
        if command == "theory" and rest[0].startswith("--"):
            from .theory.simulate import make_setting

            make_setting({name: ""})
        if command in KINDS and rest[0].startswith("--"):
            make(KINDS[command][0], {name: ""})  # names the valid ones
        raise UserError(f"unexpected argument {rest[0]!r}")
    if command in ROOMS:
        return int(import_module(ROOMS[command][0], __package__).command(given))
    if command in KINDS:
        return _run(command, given)
    return {"theory": _theory, "cells": _cells, "plot": _plot, "runs": _runs, "study": _study}[command](given)


def _theory_options(theory: argparse.ArgumentParser) -> None:
    from .theory.simulate import Setting
    from .theory.tables import TABLES

    add_arguments(theory, Setting)
    theory.add_argument("--json", action="store_true", help="one JSON object instead of text")
    theory.add_argument("--exact", action="store_true", help="exact probabilities by dynamic programming up to the horizon")
    theory.add_argument("--record", metavar="TABLE", default="", help=f"record a table of the chapter: {', '.join(TABLES)}, or all")
    theory.add_argument("--row", metavar="TABLE/TASK", default="", help="compute one task of a recorded table, for example schedules/3")


def _run(command: str, given: dict[str, Any]) -> int:
    kind, _, _, room = KINDS[command]
    parameters = make(kind, given)  # bad input costs no import of torch
    from .train.distributed import rank
    from .train.ends import OutOfTime, RunFailed

    try:
        folder = getattr(import_module(room, __package__), command)(parameters)
    except OutOfTime as stop:
        print(f"asap: {stop}", file=sys.stderr)
        return 0
    except RunFailed as error:
        print(f"asap: {error}", file=sys.stderr)
        return 1
    if rank() == 0:
        print(folder)
    return 0


def _theory(given: dict[str, Any]) -> int:
    from .theory.exact import exact_escape, exact_pair
    from .theory.simulate import make_setting, simulate
    from .theory.tables import TABLES, compute, record

    name, row, as_json, exact, root = (given.pop(key) for key in ("record", "row", "json", "exact", "runs_root"))
    if row:
        print(json.dumps(compute(row), ensure_ascii=False))
        return 0
    if name:
        for table in TABLES if name == "all" else [name]:
            print(record(table, runs_root(root), lambda text: print(text, file=sys.stderr)))
        return 0
    if exact and (unread := sorted(set(given) - {"schedule", "operations", "delta", "horizon", "shrink"})):
        raise UserError(f"--exact takes ν as 1/N and any law within its bound; it does not read {unread[0]}")
    setting = make_setting(given)
    if exact:
        found: dict[str, Any] = {
            "escape": exact_escape(setting.schedule, setting.operations, setting.delta, setting.horizon, setting.shrink),
            "escape_allowed": setting.delta / setting.operations,
            "pair_best_pruned": exact_pair(setting.schedule, setting.delta, setting.horizon, setting.shrink),
            "pair_allowed": setting.delta,
            "horizon": setting.horizon,
        }
    else:
        found = simulate(setting, lambda left: print(f"\r{left} still running ", end="", file=sys.stderr)).to_dict()
        found["limit"] = setting.limit()  # null for a tie, which no rule decides
        print(file=sys.stderr)
    print(json.dumps(found) if as_json else "\n".join(f"{key}: {value}" for key, value in found.items()))
    return 0


def _cells(given: dict[str, Any]) -> int:
    import pandas as pd

    from .networks.derived import Size
    from .paper.space import Genotype, cell_by_name, cell_label, published_cells
    from .records.recorder import write_atomically
    from .report.tables import recorded_cells

    if not 1 <= given["channels"] <= 4096:
        raise UserError(f"channels must lie in [1, 4096], not {given['channels']}")

    def size(genotype: Genotype, channels: int) -> dict[str, int]:
        computed = Size(genotype, channels)
        return {"parameters": computed.parameters, "multiply_adds": computed.multiply_adds}

    published = {name: cell["genotype"] for name, cell in published_cells().items()}
    if given["record"]:
        root = runs_root(given["runs_root"])
        (root / "sizes").mkdir(parents=True, exist_ok=True)
        if not os.access(root / "sizes", os.W_OK):
            raise UserError(f"cannot write under {root / 'sizes'}")
        cells = published | recorded_cells(root)
        small = [{"cell": name, "channels": c, **size(cells[name], c)} for name, c in product(cells, (36, 44, 50, 56))]
        large = []
        for name, (channels, attention) in product(published, ((48, False), (50, True))):
            found = Size(published[name], channels, 14, 1000, 3, 224, "imagenet", attention)
            auxiliary, without = dataclasses.replace(found, auxiliary=True), dataclasses.replace(found, squeeze_excitation=False)
            large.append({
                "cell": name, "channels": channels, "squeeze_excitation": attention, "parameters": found.parameters,
                "with_auxiliary": auxiliary.parameters, "without_attention": without.parameters, "multiply_adds": found.multiply_adds,
            })  # fmt: skip
        for name, table in (("cifar10", small), ("imagenet", large)):
            path = root / "sizes" / f"{name}.csv"
            write_atomically(path, pd.DataFrame(table).to_csv(index=False).encode())
            print(path)
        return 0
    chosen = published_cells()
    if given["cell"]:
        chosen = {cell_label(given["cell"]): {"genotype": cell_by_name(given["cell"]), "source": given["cell"]}}
    rows = {name: {**size(cell["genotype"], given["channels"]), "source": cell["source"]} for name, cell in chosen.items()}
    if given["json"]:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        print(f"{'cell':18} {'parameters':>12} {'multiply-adds':>15}")
        for name, row in rows.items():
            print(f"{printable(name):18} {row['parameters']:12,} {row['multiply_adds']:15,}")
    return 0


def _plot(given: dict[str, Any]) -> int:
    from .paper.space import cell_by_name, cell_label
    from .records.run import Run, run_folder
    from .report import cells

    name, output = given["cell"], Path(given["output"])
    if output.suffix != ".svg":
        raise UserError(f"--output must end in .svg, not {given['output']!r}")
    folder = run_folder(name, runs_root(given["runs_root"]))
    recorded = (folder / "run.json").is_file()
    genotype, title = (Run.open(folder).genotype(), folder.name) if recorded else (cell_by_name(name), cell_label(name))
    output.write_text(cells.standalone(title, genotype), encoding="utf-8")
    print(output)
    return 0


def _runs(given: dict[str, Any]) -> int:
    from .records.run import RecordError, Run, run_folders

    root = runs_root(given["runs_root"])
    if not root.exists():
        print(f"there is no folder {root}", file=sys.stderr)
    for folder in run_folders(root):
        try:
            run = Run.open(folder, finished=False)
            print(printable(f"{run.info['status']:10} {run.info['kind']:10} {folder}  {run.told()}"))
        except RecordError as error:
            print(f"damaged    {error}")
    return 0


def _study(given: dict[str, Any]) -> int:
    from .records.run import RecordError
    from .records.study import duration, load, names

    root, jobs, minutes = runs_root(given["runs_root"]), given["jobs"], given["minutes"]
    if not (0 <= jobs <= 1024 and 0 <= minutes < float("inf")):
        raise UserError(f"jobs must lie in [0, 1024] and minutes in [0, ∞), not {jobs} and {minutes:g}")
    if (jobs and (given["commands"] or not given["name"])) or (minutes and not jobs):
        raise UserError("--jobs wants the name of a study and no --commands, and --minutes wants --jobs")
    if jobs:
        from .train.jobs import run_left

        return 1 if run_left(load(given["name"]), root, jobs, minutes) else 0
    status = 0
    for name in [given["name"]] if given["name"] else names():
        try:
            study = load(name)
        except UserError as error:
            print(f"asap: {error}", file=sys.stderr)
            status = 2
            continue
        if given["commands"]:
            print("".join(shlex.join(["asap", *p.command(given["runs_root"])]) + "\n" for p in study.left(root)), end="")
            continue
        left = study.seconds(root)
        if given["name"]:
            for planned in study.planned:
                try:
                    state, told = (run.info["status"], run.told()) if (run := planned.record(root)) else ("missing", "")
                except RecordError as error:
                    state, told = "damaged", str(error)
                about = "" if (seconds := left.get(planned.name)) is None else f"  about {seconds / 60:.0f} min"
                print(printable(f"{state:9} {planned.kind:10} {planned.label:32} {planned.name}  {told}{about}"))
        rest = f"; the rest {duration(left)}" if left else ""
        print(f"{printable(study.name)}: {len(study.planned) - len(left)} of {len(study.planned)} runs finished{rest}")
    return status


if __name__ == "__main__":
    sys.exit(main())

"""The command line: `asap search|evaluate|theory|cells|runs|study`, with the parameters of records/parameters.py by name.

Progress goes to standard error; the last line on standard output is the run's folder. Exit status: 2 and one line on
standard error for bad input, 1 for a run that failed, 130, 143 or 129 when interrupted by
Ctrl-C, SIGTERM or SIGHUP.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Any, NoReturn

from .errors import UserError
from .records.parameters import EvaluationParameters, SearchParameters, make, runs_root


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        return _command(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(f"asap: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"asap: {str(stop) or 'interrupted'}", file=sys.stderr)
        return getattr(stop, "status", 130)
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _command(argv: list[str]) -> int:
    parser = _Parser(prog="asap", description=__doc__.splitlines()[0], allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    kinds: dict[str, tuple[type[SearchParameters] | type[EvaluationParameters], str]] = {
        "search": (SearchParameters, "search for a cell"),
        "evaluate": (EvaluationParameters, "train and test a cell"),
    }
    for name, (kind, text) in kinds.items():
        sub = commands.add_parser(name, help=text, allow_abbrev=False, description=f"{text}; values not given come from the scale")
        for field in dataclasses.fields(kind):
            sub.add_argument(f"--{field.name.replace('_', '-')}", metavar=str(field.type), default=argparse.SUPPRESS)
    theory = commands.add_parser("theory", help="Theorem 2: simulate Algorithm 1 on one mixed operation", allow_abbrev=False)
    if argv[:1] == ["theory"]:
        _theory_options(theory)
    cells = commands.add_parser("cells", help="the published cells and their sizes", allow_abbrev=False)
    cells.add_argument("--channels", type=int, default=36)
    cells.add_argument("--json", action="store_true", help="one JSON object: name → parameters, multiply_adds, source")
    cells.add_argument("--record", action="store_true", help="write the sizes of all cells, the recorded ones too, under runs/sizes/")
    cells.add_argument("--runs-root", default="")
    runs = commands.add_parser("runs", help="what is recorded, finished or not, and where", allow_abbrev=False)
    runs.add_argument("--runs-root", default="")
    study = commands.add_parser("study", help="what a study plans, what is done, how long the rest takes", allow_abbrev=False)
    study.add_argument("name", nargs="?", default="", help="a study of runs/studies/, or a file; by default every study, in a line each")
    study.add_argument("--commands", action="store_true", help="only the commands of the runs that are left, searches first")
    study.add_argument("--runs-root", default="")
    arguments, rest = parser.parse_known_args(argv)
    given = vars(arguments)
    command = given.pop("command")
    if rest:
        name = rest[0].lstrip("-").split("=")[0].replace("-", "_")
        if command == "theory" and rest[0].startswith("--"):
            from .theory.simulate import make_setting

            make_setting({name: ""})
        if command in kinds and rest[0].startswith("--"):
            make(kinds[command][0], {name: ""})  # names the valid ones
        raise UserError(f"unexpected argument {rest[0]!r}")
    call = {"search": _search, "evaluate": _evaluate, "theory": _theory, "cells": _cells, "runs": _runs, "study": _study}
    return call[command](given)


def _theory_options(theory: argparse.ArgumentParser) -> None:
    from .theory.simulate import Setting
    from .theory.tables import TABLES

    for field in dataclasses.fields(Setting):
        theory.add_argument(f"--{field.name}", metavar=str(field.type), default=argparse.SUPPRESS)
    theory.add_argument("--json", action="store_true", help="one JSON object instead of text")
    theory.add_argument("--exact", action="store_true", help="exact probabilities by dynamic programming up to the horizon")
    theory.add_argument("--record", metavar="TABLE", default="", help=f"record a table of the chapter: {', '.join(TABLES)}, or all")
    theory.add_argument(
        "--row", metavar="TABLE/TASK", default="", help="compute one task of a recorded table anew, for example schedules/3"
    )
    theory.add_argument("--runs-root", default="")


def _search(given: dict[str, Any]) -> int:
    parameters = make(SearchParameters, given)
    from .search.loop import search

    return _run(search, parameters)


def _evaluate(given: dict[str, Any]) -> int:
    parameters = make(EvaluationParameters, given)
    from .train.evaluate import evaluate

    return _run(evaluate, parameters)


def _run(call: Any, parameters: Any) -> int:
    from .train.distributed import rank
    from .train.ends import OutOfTime, RunFailed

    try:
        folder = call(parameters)
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
    from .theory.bounds import exact_escape, exact_pair
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
    setting = make_setting(given)
    if exact:
        found: dict[str, Any] = {
            "escape": exact_escape(setting.schedule, setting.operations, setting.delta, setting.horizon, setting.shrink),
            "escape_allowed": setting.delta / setting.operations,
            "pair_best_pruned": exact_pair(setting.schedule, setting.delta, setting.horizon, setting.shrink)[0],
            "pair_allowed": setting.delta,
            "horizon": setting.horizon,
        }
    else:
        found = simulate(setting, lambda left: print(f"\r{left} still running ", end="", file=sys.stderr)).to_dict()
        print(file=sys.stderr)
    print(json.dumps(found) if as_json else "\n".join(f"{key}: {value}" for key, value in found.items()))
    return 0


def _cells(given: dict[str, Any]) -> int:
    from .networks.derived import Size
    from .paper.space import Genotype, published_cells
    from .records.run import write_atomically
    from .report.tables import recorded_cells

    if given["channels"] < 1:
        raise UserError("channels must be at least 1")

    def size(genotype: Genotype, channels: int) -> dict[str, int]:
        computed = Size(genotype, channels)
        return {"parameters": computed.parameters, "multiply_adds": computed.multiply_adds}

    published = {name: cell["genotype"] for name, cell in published_cells().items()}
    if given["record"]:
        root = runs_root(given["runs_root"])
        lines = ["cell,channels,parameters,multiply_adds"]
        lines += [
            ",".join(map(str, (name, channels, *size(genotype, channels).values())))
            for name, genotype in (published | recorded_cells(root)).items()
            for channels in (36, 44, 50, 56)
        ]
        image_net = ["cell,channels,squeeze_excitation,parameters,with_auxiliary,multiply_adds"]
        for name, genotype in published.items():
            for channels, attention in ((48, False), (50, True)):
                found = Size(genotype, channels, 14, 1000, 3, 224, "imagenet", attention)
                larger = dataclasses.replace(found, auxiliary=True).parameters
                image_net.append(",".join(map(str, (name, channels, attention, found.parameters, larger, found.multiply_adds))))
        for name, table in (("cifar10", lines), ("imagenet", image_net)):
            path = root / "sizes" / f"{name}.csv"
            write_atomically(path, ("\n".join(table) + "\n").encode())
            print(path)
        return 0
    rows: dict[str, dict[str, Any]] = {
        name: {**size(published[name], given["channels"]), "source": cell["source"]} for name, cell in published_cells().items()
    }
    if given["json"]:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        print(f"{'cell':18} {'parameters':>12} {'multiply-adds':>15}")
        for name, row in rows.items():
            print(f"{name:18} {row['parameters']:12,} {row['multiply_adds']:15,}")
    return 0


def _runs(given: dict[str, Any]) -> int:
    from .records.run import RecordError, Run, run_folders

    root = runs_root(given["runs_root"])
    for folder in run_folders(root):
        try:
            info = Run.open(folder, finished=False).info
        except RecordError as error:
            print(f"damaged    {error}")
            continue
        outcome = info.get("outcome", {})
        figures = {k: outcome[k] for k in ("test_error", "validation_accuracy", "epochs", "seconds") if k in outcome}
        print(f"{info['status']:10} {info['kind']:10} {folder}  {' '.join(f'{k}={v}' for k, v in figures.items())}")
    return 0


def _study(given: dict[str, Any]) -> int:
    from .records.run import RecordError
    from .records.study import load, names

    root = runs_root(given["runs_root"])
    for name in [given["name"]] if given["name"] else names():
        study = load(name)
        left = study.seconds(root)
        todo = sorted((p for p in study.planned if p.name in left), key=lambda p: p.kind != "search")
        if given["commands"]:
            print("".join(p.command() + "\n" for p in todo), end="")
            continue
        if given["name"]:
            for planned in study.planned:
                try:
                    run = planned.record(root)
                    state = run.info["status"] if run else "missing"
                except RecordError as error:
                    state = f"damaged ({error})"
                seconds = left.get(planned.name)
                about = "" if seconds is None else f"  about {seconds / 60:.0f} min"
                print(f"{state:9} {planned.kind:10} {planned.label:32} {planned.name}{about}")
        known = [seconds for seconds in left.values() if seconds is not None]
        unknown = f", {len(left) - len(known)} of unknown time" if len(left) > len(known) else ""
        done = len(study.planned) - len(left)
        print(
            f"{study.name}: {done} of {len(study.planned)} runs finished; the rest about {sum(known) / 3600:.1f} h one at a time{unknown}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

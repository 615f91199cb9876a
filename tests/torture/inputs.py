"""Bad inputs: parameters, studies, names, cells, roots and image folders. Each is to be refused in one line, with nothing written."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from asap.paper.space import published_cell
from asap.records.parameters import EvaluationParameters, SearchParameters
from asap.records.presets import OTHER_NAMES
from asap.theory.simulate import Setting

from .process import as_nobody, ask, tree

Case = tuple[str, list[str], Any]  # what it is, the command's words, what the child does first
KINDS: dict[str, type[Any]] = {"search": SearchParameters, "evaluate": EvaluationParameters, "theory": Setting}
BASE = {"search": [], "evaluate": ["--cell", "ASAP"], "theory": []}
NUMBERS = ["", "abc", "nan", "inf", "-inf", "1e400", "1,5", "0x10", "9" * 5000, "--", "[1]", "None", "1.5.2", "1e", "\x1b[31m", "½"]
TEXTS = ["no-such", "", "UPPER", "a" * 5000, "\x1b]0;x\x07", "\ud800", "a b", "\u202e", "'; rm -rf /", "../..", "-"]
PAIRS = [
    "search --prune-start 20 --prune-end 20", "search --learning-rate 0.01 --learning-rate-min 0.1", "search --images 1e7",
    "search --images 16 --batch 32", "search --schedule theorem2 --method darts", "search --test-share 0.5", "search --image-size 32",
    "search --image-size 7", "search --dataset imagenet", "evaluate --cell ASAP --run a/b", "evaluate --cell ASAP --edge-rule alpha",
    "evaluate", "evaluate --cell ASAP --batch 1", "evaluate --cell ASAP --dataset imagenet --stem cifar", "search --seed", "search 7",
    "evaluate --cell ASAP --images 1439", "search --prune-rule certified --method enas", "theory --gap 2 --shift 1", "dance", "",
    "theory --repetitions 1e7 --operations 1000", "theory --schedule certified --shrink 0.5", "theory --exact --horizon 2e6",
    "theory --exact --schedule literal", "theory --record nothing", "theory --row reference/99", "theory --row x", "cells --channels 0",
    "cells --channels 1e3", "predict --run a/b", "predict --run a/b x.png", "score a/b", "score",
    "plot ASAP --output x.png",
    "plot no-such --output x.svg", "plot ASAP --output no/such/folder.svg", "study no-such", "runs extra", "cells --cell",
    "search --help=x",
    "search --layers 200 --nodes 16 --channels 4096", "evaluate --cell ASAP --layers 200 --channels 4096", "theory --record a --row b",
]  # fmt: skip
STUDY = """title: a tiny one
runs:
  - kind: search
    common: {dataset: digits, scale: tiny, study: mine}
    arms:
      ASAP: {method: asap, seed: [0, 1]}
  - kind: evaluation
    of: searches
    common: {dataset: digits, scale: tiny}
"""
#: What is put in place of what in the study above.
STUDIES = [
    ("kind: search", "kind: serach"), ("kind: search", "kind: [search]"), ("kind: search", "kind: null"), ("title:", "titel:"),
    ("runs:", "runs: 7 #"), ("runs:", "more: 1\nruns:"), ("seed: [0, 1]", "seed: 1.5"), ("seed: [0, 1]", "seed: true"),
    ("runs:", "runs: ["), ("seed: [0, 1]", "seed: [[0]]"), ("seed: [0, 1]", "seed: {a: 1}"), ("seed: [0, 1]", "seed: .nan"),
    ("seed: [0, 1]", "seed: 2020-01-01"),
    ("seed: [0, 1]", "seed: [1, 1]"), ("seed: [0, 1]", "sede: 1"), (", seed: [0, 1]", ""), ("study: mine", "study: ../mine"),
    ("study: mine", "study: [mine"), ("scale: tiny", "scale: huge"), ("of: searches", "of: others"), ("of: searches", "off: searches"),
    ("arms:", "arms: [1]\n    more:"), ("arms:", "arms: 7 #"), ("{method: asap", "{? [1] : 2"), ("{method: asap", "{1: 2"),
    ("title: a tiny one", "title: !!python/object/apply:os.system ['touch CANARY']"), ("title: a tiny one", "title: *a"),
    ("title: a tiny one", "title: a\n---\ntitle: b"), ("method: asap", "method: !!python/name:os.system"), ("mine", "\x1b[31m"),
    ("seed: [0, 1]", f"seed: {list(range(300))}, batch: {list(range(1, 101))}"), ("seed: [0, 1]", "seed: 1e30"), ("asap", "\ttab"),
]  # fmt: skip
BYTES = [
    b"",
    b"\xff\xfe\x00",
    b"title: \xc3\x28",
    b"[" * 100_000,
    b"{" * 50_000,
    b"- " * 100_000,
    b"x" * 1_000_001,
    b"7",
    b"- 1",
    b"\0",
    b"a: b: c",
]


def outside(within: str) -> list[str]:
    """Numbers outside an interval, on and beyond its ends."""
    low, high = within[1:-1].split(", ")
    found = [low] if within[0] == "(" else []
    found += [str(float(low) - step) for step in (1, 1e-3, 1e30)]
    if high != "∞":
        found += ([high] if within[-1] == ")" else []) + [str(float(high) * 1.001 + 1), str(float(high) * 1e6 + 1), "1e300"]
    return found


def parameters(rng: random.Random, place: Path) -> Iterator[Case]:
    """One parameter with a value that it cannot have, or a name that is none; the pairs that do not go together."""
    cases = [(f"asap {line}", line.split(), None) for line in PAIRS]
    for command, kind in KINDS.items():
        for f in dataclasses.fields(kind):
            option, m = f"--{f.name.replace('_', '-')}", f.metadata
            bad = [*NUMBERS, *outside(m["within"])] if m["within"] else ["perhaps", "2", "", "\ud800"] if f.type == "bool" else []
            bad += [v for v in TEXTS if v not in m["choices"]] if m["choices"] or f.name in ("study", "device", "cell", "run") else []
            bad = [v for v in bad if not (f.name == "run" and v in ("", "../..")) and not (f.name == "study" and v in ("UPPER", "no-such"))]
            more = [] if f.name == "run" else BASE[command] if f.name != "cell" else []
            cases += [(f"{command} {option} {value[:30]!r}", [command, *more, f"{option}={value}"], None) for value in bad]
            cut = rng.randrange(len(f.name))
            wrong = (f.name[:cut] + rng.choice(string.ascii_lowercase) + f.name[cut:]).replace("_", "-")
            cases.append((f"{command} --{wrong}", [command, *BASE[command], f"--{wrong}", "1"], None))
        names = {name for others in OTHER_NAMES.values() for name in others.split()} - {f.name for f in dataclasses.fields(kind)}
        cases += [(f"{command} --{name}", [command, f"--{name}=1"], None) for name in sorted(names)]
    return _shuffled(rng, cases)


def studies(rng: random.Random, place: Path) -> Iterator[Case]:
    """Files that are no study, or one that makes no sense."""
    contents = [STUDY.replace(old, new, 1).encode() for old, new in STUDIES] + BYTES
    contents += [b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (i + 1, i + 1, i, i) for i in range(97, 120))]
    cases: list[Case] = []
    for i, content in enumerate(contents):
        path = place / f"study{i}.yaml"
        path.write_bytes(content.replace(b"CANARY", os.fsencode(place / "canary")))
        cases.append((f"study {content[:60]!r}", ["study", str(path)], None))
    os.mkfifo(place / "fifo.yaml")
    (place / "folder.yaml").mkdir()
    (place / "loop.yaml").symlink_to("loop.yaml")
    (place / "zero.yaml").symlink_to("/dev/zero")
    cases += [(f"study {name}", ["study", str(place / f"{name}.yaml")], None) for name in ("fifo", "folder", "loop", "zero", "x" * 300)]
    return _shuffled(rng, cases)


def cells(rng: random.Random, place: Path) -> Iterator[Case]:
    """Names, texts and files that are no cell."""
    whole = published_cell("ASAP").to_dict()
    first = whole["normal"][0]
    canary = place / "canary"
    texts = [
        "no-such", "random-", "random--1", "random-1.5", "random-x", f"random-{'9' * 4000}x", "x" * 300, "x" * 300 + ".json", "/" * 4000,
        "no/such.json", "/dev/zero", "/dev/null", "/proc/self/mem", "Genotype(", "Genotype()", "Genotype(normal=1)", "Genotype(" * 400,
        f"Genotype(normal=__import__('os').system('touch {canary}'))", "Genotype(normal=[('sep_conv_3x3', 0)], normal_concat=range(9**9))",
        f"Genotype(*[open({str(canary)!r}, 'w')])", "Genotype(normal=[], normal_concat=[], reduce=[], reduce_concat=[])", "a\x1b[31m",
        "ä/ö",         "random-" + "9" * 5000, "Genotype(normal=" + "(" * 1000, "Genotype(normal=" + "9" * 5000 + ")",
        "Genotype(normal='\\ud800')",
    ]  # fmt: skip
    files: list[Any] = [
        {}, [], 7, None, "x", {"normal": []}, {**whole, "normal": []}, {**whole, "reduce": None}, {**whole, "normal": [["none"]]},
        {**whole, "normal": [["sep_conv_9x9", 0, 2]]}, {**whole, "normal": [["skip_connect", 3, 2]]}, {**whole, "normal": [[1, 0, 2]]},
        {**whole, "normal": [["skip_connect", 0, 40]]}, {**whole, "normal": [["skip_connect", 0.0, 2]]}, {**whole, "normal_concat": [9]},
        {**whole, "normal": [["skip_connect", -1, 2]]}, {**whole, "normal": [["skip_connect", True, 2]]}, {**whole, "normal_concat": ["2"]},
        {**whole, "normal_concat": [2, 2]}, {**whole, "normal": [[*first, 1]]}, {**whole, "normal": [["skip_connect", 0, 10**400]]},
    ]  # fmt: skip
    raw = [json.dumps(file).encode() for file in files] + [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"NaN", b" " * 10_000_001]
    for i, content in enumerate(raw):
        path = place / f"cell{i}.json"
        path.write_bytes(content)
        texts.append(str(path))
    os.mkfifo(place / "fifo.json")
    texts.append(str(place / "fifo.json"))
    given: list[Callable[[str], list[str]]] = [
        lambda text: ["evaluate", f"--cell={text}"],
        lambda text: ["cells", f"--cell={text}"],
        lambda text: ["plot", text, "--output", str(place / "cell.svg")],
    ]
    return _shuffled(rng, [(f"cell {text[:60]!r}", rng.choice(given)(text), None) for text in texts])


def roots(rng: random.Random, place: Path) -> Iterator[Case]:
    """Roots that can be neither written nor read."""
    (place / "file").write_text("a file")
    (place / "loop").symlink_to("loop")
    (place / "dangling").symlink_to("no-such")
    (place / "locked").mkdir(mode=0o555)
    (place / "shut").mkdir(mode=0o000)
    tiny = ["--images", "64", "--batch", "16", "--epochs", "1"]
    writes = [["search", *tiny], ["evaluate", "--cell", "ASAP", *tiny], ["theory", "--record", "reference"], ["cells", "--record"]]
    reads = [["runs"], ["study", "methods"], ["predict", "--run", "a/b", "x.png"], ["evaluate", "--run", "a/b"]]
    there = ["/dev/null", "/dev/full", str(place / "file"), str(place / "loop"), str(place / "r") + "r" * 300, "/" + "r/" * 3000]
    cases: list[Case] = [(f"root {root[-20:]}", [*words, "--runs-root", root], None) for root in there for words in writes + reads]
    absent = ["/proc/x", "/sys/x", str(place / "dangling")]
    cases += [(f"root {root}", [*words, "--runs-root", root], None) for root in absent for words in writes]
    cases += [("root locked", [*words, "--runs-root", str(place / "locked")], as_nobody) for words in writes]
    cases += [("root shut", [*words, "--runs-root", str(place / "shut")], as_nobody) for words in writes + reads]
    for root in (*there, *absent):
        cases.append((f"data root {root[-20:]}", ["search", "--dataset", "cifar10", "--data-root", root], None))
    return _shuffled(rng, cases)


def folders(rng: random.Random, place: Path) -> Iterator[Case]:
    """Image folders and archives that are not what they should be."""

    def folder(name: str, files: dict[str, Any], words: str = "") -> Case:
        for path, content in files.items():
            (place / name / path).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                (place / name / path).write_bytes(content)
            elif content is not None:
                content.save(place / name / path)
        root = ["--data-root", str(place / name)] if words else ["--dataset", str(place / name), "--test-share", "0.25"]
        return f"images: {name}", ["search", *words.split(), *root, "--runs-root", str(place / "runs")], None

    def image(side: int = 8, mode: str = "L", value: float = 7) -> Image.Image:
        return Image.new(mode, (side, side), value)

    good = {f"{label}/{i}.png": image() for label in "ab" for i in range(40)}
    png = (place / "whole.png", image())[0]
    image().save(png)
    whole = png.read_bytes()
    bomb = whole[:16] + (60_000).to_bytes(4, "big") * 2 + whole[24:]
    pickle = b"cos\nsystem\n(S'touch " + os.fsencode(place / "canary") + b"'\ntR."
    labels = {"minus": b"-1", "25": b"25", "long": b"1" * 5000, "x": b"x", "no label": b"", "bytes": b"\xff", "square": "²".encode()}
    lines = {f"freiburg/splits/{half}0.txt": b"BEANS/x.png 0\n" for half in ("train", "test")}
    cases = [
        folder("nothing", {"a/.hidden": b""}), folder("one class", {"a/1.png": image(), "a/2.png": image()}),
        folder("a class of none", {**good, "c/readme.txt": b"x"}), folder("no image", {**good, "a/9.png": b"no image"}),
        folder("half an image", {**good, "a/9.png": whole[: len(whole) // 2]}), folder("a bomb", {**good, "a/9.png": bomb}),
        folder("sizes", {**good, "a/9.png": image(9)}), folder("too small", {f"{c}/{i}.png": image(4) for c in "ab" for i in range(4)}),
        folder("fractions", {**good, "a/9.tiff": image(mode="F", value=0.5)}),
        folder("huge number", {**good, "a/9.tiff": image(mode="I", value=10**6)}),
        folder("other classes", {f"{place}/1.png": image() for place in ("train/a", "train/b", "test/a", "test/c")}),
        folder("digits", good), folder("few", {"a/1.png": image(), "b/1.png": image()}), folder("empty image", {**good, "b/1.png": b""}),
        folder("cut archive", {"cifar-10-batches-py/data_batch_1": b"x"}, "--dataset cifar10"),
        folder("pickle", {"cifar-10-batches-py/data_batch_1": pickle}, "--dataset cifar10"),
        folder("half of svhn", {"svhn/train_32x32.mat": b"x"}, "--dataset svhn"),
        folder("no mnist", {"FashionMNIST/raw/x": b"x"}, "--dataset fashion_mnist"),
        *(folder(name, {**lines, "freiburg/splits/test0.txt": b"BEANS/x.png " + label}, "--dataset freiburg")
          for name, label in labels.items()),
        folder("missing image", lines, "--dataset freiburg"), folder("no split", {"freiburg/splits/x": b""}, "--dataset freiburg"),
        folder("damaged cache", {**good, "cache/cifar10.pt": b"PK\x03\x04"}, "--dataset cifar10"),
        ("images: a file", ["search", "--dataset", str(png)], None),
        ("images: nowhere", ["search", "--dataset", str(place / "no-such")], None),
        ("images: /dev/null", ["search", "--dataset", "/dev/null"], None),
        ("images: a folder alone", ["search", "--folder", str(place)], None),
    ]  # fmt: skip
    for name, target in (("to nothing", "no-such"), ("to zeros", "/dev/zero"), ("to itself", "x.png")):
        cases.append(folder(name, good))
        (place / name / "a" / "x.png").symlink_to(target)
    cases.append(folder("fifo", good))
    os.mkfifo(place / "fifo" / "a" / "x.png")
    return _shuffled(rng, cases)


def _shuffled(rng: random.Random, cases: list[Case]) -> Iterator[Case]:
    rng.shuffle(cases)
    return iter(cases)


#: The kinds of input, and their shares of the whole.
SHARES = {parameters: 0.42, studies: 0.14, cells: 0.16, roots: 0.14, folders: 0.14}


def torture(number: int, rng: random.Random, scratch: Path) -> Iterator[tuple[str, str]]:
    """So many bad inputs, each as what it was and what was wrong ("": nothing)."""
    counts = [max(1, round(share * number)) for share in SHARES.values()]
    counts[0] += number - sum(counts)
    os.environ |= {"ASAP_RUNS": str(scratch / "runs"), "ASAP_DATA": str(scratch / "data")}
    os.chmod(scratch, 0o755)
    for (make, _), count in zip(SHARES.items(), counts, strict=True):
        place = scratch / make.__name__
        place.mkdir()
        cases = [case for case, _ in zip(make(rng, place), range(count), strict=False)]
        before = tree(scratch)
        for name, words, first in cases:
            answer = ask(words, first)
            wrong = answer.refused()
            after = tree(scratch)
            changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
            wrong, before = wrong or (f"it wrote {changed[:3]}" if changed else ""), after
            yield name, wrong
        if len(cases) < count:
            yield make.__name__, f"there are only {len(cases)} such cases"

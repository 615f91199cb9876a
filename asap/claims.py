"""What the paper claims, what our records say of it, and the verdict. Every verdict is computed from the records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import studies
from .records import RecordError, Run, find_runs
from .tables import SAME, errors, evaluations, falls, interval, paper, size_verdict, sizes

HOLDS, DIRECTION, FAILS, OPEN = "holds", "holds in direction", "does not hold", "cannot be told"


@dataclass(frozen=True)
class Verdict:
    """ours: our number or finding in words. scale: at which scale, and from how many runs. verdict: one of the four."""

    ours: str
    scale: str
    verdict: str


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, its place and number, and the test that judges it from records."""

    statement: str
    place: str
    paper: str
    page: str
    judge: Callable[[Path], Verdict]


def searches(root: Path) -> list[Run]:
    """The finished searches that the front page and Figures 2 to 5 stand on: plain ASAP on CIFAR-10, at the largest
    scale recorded, by seed."""
    for scale in ("paper", "cpu"):
        runs, _ = find_runs(root, "search", method="asap", dataset="cifar10", scale=scale)
        plain = [run for run in runs if run.info["study"] == "main"]
        if plain:
            return sorted(plain, key=lambda run: run.parameters["seed"])
    return []


def _missing(what: str) -> Verdict:
    return Verdict(f"no record: {what}", "–", OPEN)


def _of_searches(judge: Callable[[list[Run]], tuple[str, str]]) -> Callable[[Path], Verdict]:
    def judged(root: Path) -> Verdict:
        runs = searches(root)
        if not runs:
            return _missing("a finished ASAP search on CIFAR-10")
        ours, verdict = judge(runs)
        return Verdict(ours, f"{runs[0].parameters['scale']}, n = {len(runs)}", verdict)

    return judged


def _counted(good: int, of: int) -> str:
    return HOLDS if good == of else FAILS if good == 0 else DIRECTION


def _ends_in_one_network(runs: list[Run]) -> tuple[str, str]:
    undecided = [sum(run.outcome["undecided_edges"].values()) for run in runs]
    ended = sum(u == 0 for u in undecided)
    edges = 2 * int(runs[0].architecture()["edge"].nunique())
    return f"{ended} of {len(runs)} searches end so; undecided edges of {edges}: {', '.join(map(str, undecided))}", _counted(
        ended, len(runs)
    )


def _grace(runs: list[Run]) -> tuple[str, str]:
    grace = [int((run.epochs()["alpha_steps"] == 0).sum()) for run in runs]
    return f"{', '.join(map(str, sorted(set(grace))))} epochs", _counted(
        sum(g == paper()["search"]["grace_epochs"] for g in grace), len(grace)
    )


def _final_temperature(runs: list[Run]) -> tuple[str, str]:
    final = [float(p["initial_temperature"] * p["temperature_decay"] ** p["epochs"]) for p in (run.parameters for run in runs)]
    return f"T = {final[0]:.3f}", _counted(sum(round(t, 1) == 0.1 for t in final), len(final))


def _shorter_epochs(runs: list[Run]) -> tuple[str, str]:
    shares = []
    undisturbed = [run for run in runs if run.info["machine"].get("clock", "wall") != "wall"]
    for run in undisturbed or runs:
        seconds = run.epochs()["seconds_weights"] + run.epochs()["seconds_alpha"]
        shares.append(float(seconds.iloc[-1] / seconds.max()))
    return f"the last epoch takes {np.mean(shares):.0%} of the longest, in {len(shares)} timed", _counted(
        sum(s < 0.67 for s in shares), len(shares)
    )


def _smooth(runs: list[Run]) -> tuple[str, str]:
    largest = []
    for run in runs:
        epochs = run.epochs()
        left = epochs["operations_normal"] + epochs["operations_reduce"]
        largest.append(float(-left.diff().min() / left.iloc[0]))
    return f"at most {max(largest):.0%} of the connections go in one epoch", _counted(sum(s < 0.2 for s in largest), len(largest))


def _entropy_falls(runs: list[Run]) -> tuple[str, str]:
    ends = []
    for run in runs:
        last = run.epochs().iloc[-1]
        ends.append((float(last["entropy_normal"]), float(last["entropy_reduce"])))
    text = ", ".join(f"{a:.3f} / {b:.3f}" for a, b in ends)
    return f"normalised entropy at the end, normal / reduction: {text}", _counted(sum(max(e) == 0 for e in ends), len(ends))


def _size(channels: int, printed: float) -> Callable[[Path], Verdict]:
    def judge(root: Path) -> Verdict:
        try:
            millions = sizes(root)[("ASAP", channels)]["parameters"] / 1e6
        except (RecordError, KeyError) as error:
            return _missing(str(error))
        return Verdict(f"{millions:.3f} M at {channels} channels", "exact", HOLDS if size_verdict(millions, printed) == SAME else FAILS)

    return judge


def _error(root: Path) -> Verdict:
    runs, _ = find_runs(root, "evaluation", dataset="cifar10", scale="paper")
    errors = [run.outcome["test_error"] for run in runs if run.parameters["cell"].lower() == "asap"]
    if not errors:
        return _missing("an evaluation at paper scale")
    return Verdict(f"{np.mean(errors):.2f} %", f"paper, n = {len(errors)}", HOLDS if np.mean(errors) <= 1.99 else FAILS)


def _hours(root: Path) -> Verdict:
    runs = [run for run in searches(root) if run.parameters["scale"] == "paper" and run.info["machine"]["device"] != "cpu"]
    if not runs:
        return _missing("a search at paper scale on a GPU")
    hours = float(np.mean([run.outcome["seconds"] for run in runs])) / 3600
    return Verdict(f"{hours:.2f} h on {runs[0].info['machine']['device']}", f"paper, n = {len(runs)}", HOLDS if hours <= 4.8 else FAILS)


def _pac(root: Path) -> Verdict:
    try:
        frame = Run.open(root / "theory" / "reference").results()
    except RecordError:
        return _missing("the simulations of Theorem 2")
    literal, mended = frame[frame["schedule"] == "literal"], frame[frame["schedule"] == "theorem2"]
    as_printed, safe = int(literal["failures"].sum()), bool((mended["high"] <= mended["delta"]).all())
    ours = (
        f"as printed, {as_printed:,} of {literal['repetitions'].sum():,} runs prune the best; "
        f"with the missing condition, {mended['failures'].sum():,} of {mended['repetitions'].sum():,}"
    )
    return Verdict(ours, "simulated", FAILS if not safe else DIRECTION if as_printed else HOLDS)


def _slow(root: Path) -> Verdict:
    try:
        frame = Run.open(root / "theory" / "schedules").results()
    except RecordError:
        return _missing("the simulations of the schedules")
    at = frame[frame["gap"] == 0.05].set_index("name")["ended"]
    theorem, used = float(at["Theorem 2"]), float(at["exponential, T₀ = 1.3"])
    ours = f"at a gap of 0.05 steps, {used:.0%} of searches end within 50 epochs, {theorem:.0%} by Theorem 2's schedule"
    return Verdict(ours, "simulated", HOLDS if theorem < used else FAILS)


def _arm(root: Path, label: str, kind: str = "search") -> list[Run]:
    """The finished runs of an arm of the study `methods`, at the cpu scale."""
    return studies.load("methods").runs(root, kind, label)


#: The arms of Figures 6 and 7 whose space is differentiable.
DIFFERENTIABLE = ("ASAP", "DARTS", "Accumulated gradient, p = 1", "Accumulated gradient, p = 3")
PRUNING = ("Magnitude, p = 1", "Magnitude, p = 3", "Accumulated gradient, p = 1", "Accumulated gradient, p = 3")


def _relaxation_bias(root: Path) -> Verdict:
    runs = [run for run in _arm(root, "DARTS") if "cut" in run.outcome]
    if not runs:
        return _missing("a DARTS search")
    drops = [100 * (run.outcome["validation_accuracy"] - run.outcome["cut"]["genotype"]["recalibrated"]) for run in runs]
    ours = f"the derived cell is {np.mean(drops):.0f} points below the mixture, with the same weights"
    return Verdict(ours, f"cpu, n = {len(runs)}", _counted(sum(drop > 5 for drop in drops), len(drops)))


def _enas_low(root: Path) -> Verdict:
    enas = [100 * run.outcome["validation_accuracy"] for run in _arm(root, "ENAS")]
    others = {label: [100 * run.outcome["validation_accuracy"] for run in _arm(root, label)] for label in ("ASAP", "DARTS")}
    if not enas or not all(others.values()):
        return _missing("searches by ENAS, DARTS and ASAP")
    lowest = min(min(values) for values in others.values())
    ours = f"ENAS ends at {np.mean(enas):.1f} %, " + ", ".join(f"{label} at {np.mean(v):.1f} %" for label, v in others.items())
    n = min(len(enas), *map(len, others.values()))
    return Verdict(ours, f"cpu, n = {n}", _counted(sum(value < lowest for value in enas), len(enas)))


def _smaller_perturbations(root: Path) -> Verdict:
    found = {}
    for label in DIFFERENTIABLE:
        frames = [falls(run.epochs()) for run in _arm(root, label)]
        pruned = [frame.loc[frame["pruned"], "fall"].max() for frame in frames if frame["pruned"].any()]
        if pruned:
            found[label] = pruned
    theirs = {label: v for label, v in found.items() if label.startswith("Accumulated")}
    if "ASAP" not in found or not theirs:
        return _missing("searches by ASAP and by accumulated gradients")
    ours = f"largest fall in an epoch that prunes: {max(found['ASAP']):.1f} points, " + ", ".join(
        f"{label} {max(values):.1f}" for label, values in theirs.items()
    )
    smaller = sum(max(found["ASAP"]) < max(values) for values in theirs.values())
    return Verdict(ours, f"cpu, n = {min(len(v) for v in found.values())}", _counted(smaller, len(theirs)))


def _entropy_stays(root: Path) -> Verdict:
    ends = {}
    for label in ("DARTS", "ENAS"):
        last = [run.epochs().iloc[-1] for run in _arm(root, label)]
        if not last:
            return _missing("searches by DARTS and ENAS")
        ends[label] = [min(float(row["entropy_normal"]), float(row["entropy_reduce"])) for row in last]
    high = sum(min(values) > 0.5 for values in ends.values())
    ours = "at the end, the lower of both cells (high: above one half): " + ", ".join(
        f"{label} {min(values):.3f}" for label, values in ends.items()
    )
    return Verdict(ours, f"cpu, n = {min(map(len, ends.values()))}", _counted(high, len(ends)))


def _paired(differences: list[float], what: str, scale: str) -> Verdict:
    """The verdict on `the other minus ASAP is positive` from paired differences in points."""
    n = len(differences)
    if not n:
        return _missing(what)
    mean = float(np.mean(differences))
    ours = f"{what}: {mean:+.2f} points" + (f", 95 % interval {interval(differences)}" if n > 1 else "; one seed, no interval")
    if n == 1:
        return Verdict(ours, f"{scale}, n = 1", OPEN)
    half = mean - float(interval(differences).strip("[]").split(", ")[0])
    verdict = HOLDS if mean > half else FAILS if mean < -half else OPEN
    return Verdict(ours, f"{scale}, n = {n}", verdict)


def _beats_pruning(root: Path) -> Verdict:
    asap = {run.parameters["seed"]: run.outcome["test_error"] for run in _arm(root, "ASAP", "evaluation")}
    by_seed: dict[int, list[float]] = {}
    for label in PRUNING:
        for run in _arm(root, label, "evaluation"):
            by_seed.setdefault(run.parameters["seed"], []).append(run.outcome["test_error"])
    pairs = [float(np.mean(values)) - asap[seed] for seed, values in sorted(by_seed.items()) if seed in asap]
    return _paired(pairs, "error of the pruning methods' cells minus that of ASAP's", "cpu")


def _beats_random(root: Path) -> Verdict:
    table = errors(evaluations(root, "cifar10", "cpu"))
    random = table[[str(cell).startswith("random-") for cell in table.index]].mean()
    if "asap" not in table.index:
        return _missing("evaluations of the published ASAP cell and of random cells")
    pairs = [float(pair) for pair in (random - table.loc["asap"]).dropna().to_numpy()]
    return _paired(pairs, "error of random cells minus that of the published ASAP cell", "cpu")


def _transfer(root: Path) -> Verdict:
    table = paper()["table2"]
    leads, clear, sets = 0, 0, [name for name in table["datasets"] if name != "imagenet"]
    for i, name in enumerate(table["datasets"]):
        if name in sets:
            asap = next(row["errors"][i] for row in table["rows"] if row["architecture"] == "ASAP")
            best = min(row["errors"][i] for row in table["rows"] if row["architecture"] != "ASAP")
            error = np.sqrt(2 * asap * (100 - asap) / table["datasets"][name]["test_images"])
            leads, clear = leads + (asap < best), clear + (best - asap > 2 * error)
    ours = f"in the paper's numbers it leads on {leads} of {len(sets)}, on {clear} by more than two standard errors of a difference"
    return Verdict(ours, "the paper's numbers", HOLDS if clear == leads else OPEN)


def _imagenet(root: Path) -> Verdict:
    try:
        size = sizes(root, "imagenet")[("ASAP", 50)]
    except (RecordError, KeyError) as error:
        return _missing(str(error))
    plain, larger, work = (size[key] / 1e6 for key in ("parameters", "with_auxiliary", "multiply_adds"))
    printed = SAME in (size_verdict(plain, 5.7), size_verdict(larger, 5.7))
    ours = f"{plain:.2f} M, with the auxiliary head {larger:.2f} M; {work:.0f} M multiply-adds"
    return Verdict(ours, "exact", FAILS if work >= 600 else HOLDS if printed else DIRECTION)


CLAIMS = (
    Claim(
        "The search converges to a single network without a hard cut.",
        "abstract, 3.1",
        "one operation a mixed operation",
        "results/figure2",
        _of_searches(_ends_in_one_network),
    ),
    Claim("T₀ = 1.3 and β = 0.95 give five grace epochs.", "4.1, Figure 3", "5 epochs", "results/figure3", _of_searches(_grace)),
    Claim("The temperature ends near 0.1.", "4.1", "T ≈ 0.1", "results/figure2", _of_searches(_final_temperature)),
    Claim("Connections are removed smoothly.", "4.1, Figure 3", "no cliff", "results/figure3", _of_searches(_smooth)),
    Claim("Pruning shortens the epochs.", "4.1, Figure 3", "a falling curve", "results/figure3", _of_searches(_shorter_epochs)),
    Claim("ASAP's entropy decreases to zero.", "4.5, Figure 7", "0 at the end", "results/figure2", _of_searches(_entropy_falls)),
    Claim("The entropy of DARTS and ENAS stays high.", "4.5, Figure 7", "in a figure", "results/figure7", _entropy_stays),
    Claim(
        "DARTS' accuracy drops when its hard cut comes: the relaxation bias.",
        "3.1, 4.5, Figure 6",
        "“significantly”",
        "results/figure6",
        _relaxation_bias,
    ),
    Claim("ENAS' accuracy along the search is lower.", "4.5, Figure 6", "in a figure", "results/figure6", _enas_low),
    Claim(
        "ASAP's prunings disturb the accuracy less than accumulated-gradient pruning's.",
        "4.5, Figure 6",
        "in a figure",
        "results/figure6",
        _smaller_perturbations,
    ),
    Claim(
        "Both pruning methods' cells are less accurate than ASAP's.",
        "4.4, Table 3",
        "2.9 and 2.76 % against 1.99 %",
        "results/table3",
        _beats_pruning,
    ),
    Claim(
        "With the right schedule Algorithm 1 keeps the best operation with probability 1 − δ.",
        "3.2, Theorem 2",
        "at most δ",
        "theory",
        _pac,
    ),
    Claim("That schedule is rather slow; the exponential one is faster.", "3.2", "in words", "theory", _slow),
    Claim("ASAP-Small has 2.5 M parameters.", "Table 1", "2.5 M", "results/table1", _size(36, 2.5)),
    Claim("ASAP-Medium has 3.7 M parameters.", "Table 1", "3.7 M", "results/table1", _size(44, 3.7)),
    Claim("ASAP-Large has 6.0 M parameters.", "Table 1", "6.0 M", "results/table1", _size(50, 6.0)),
    Claim("The ImageNet network has 5.7 M parameters, under 600 M multiply-adds.", "4.3, 6.2.2", "5.7 M", "results/table2", _imagenet),
    Claim("The cell transfers better than others to four of five data sets.", "4.3, Table 2", "4 of 5", "results/table2", _transfer),
    Claim(
        "The cell is better than other cells (here: than random ones).",
        "4.2, Table 1",
        "1.99 % against 2.37 % and more",
        "results/table1",
        _beats_random,
    ),
    Claim("A search takes 4.8 GPU-hours.", "4.1", "4.8 h on a GTX 1080 Ti", "results/table1", _hours),
    Claim("The cell reaches 1.68 % error on CIFAR-10.", "abstract, Table 1", "1.99 % to 1.68 %", "results/table1", _error),
)

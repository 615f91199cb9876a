"""What the paper claims, what our records say of it, and the verdict. Every verdict is computed from the records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .records import RecordError, Run, find_runs
from .tables import SAME, paper, size_verdict, sizes

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
    Claim("A search takes 4.8 GPU-hours.", "4.1", "4.8 h on a GTX 1080 Ti", "results/table1", _hours),
    Claim("The cell reaches 1.68 % error on CIFAR-10.", "abstract, Table 1", "1.99 % to 1.68 %", "results/table1", _error),
)

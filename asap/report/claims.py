"""The paper's claims: what it says, where, with what number, and which test of the records judges it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from . import claims_cells as on_cell
from . import claims_search as on_search
from .inference import LEVEL, POWER, holm, number
from .verdicts import FAILS, HOLDS, OPEN, Verdict


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, its place and number, and the test that judges it from records.

    test: in words, on which records. page: of the book, without its suffix.
    """

    statement: str
    place: str
    paper: str
    page: str
    test: str
    judge: Callable[[Path], Verdict]


SEARCHES = "study main, ASAP searches: "
METHODS = "study methods: "
PAIRED = "paired by seed, t test, Holm's correction over the claims so tested"

CLAIMS: dict[str, tuple[Claim, ...]] = {
    "The search": (
        Claim("The search converges to a single network without a hard cut.", "abstract, 3.1", "one operation a mixed operation",
              "results/figure2", SEARCHES + "no edge is undecided at the end; also by the paper's other readings (study sensitivity)", on_search.of_searches(on_search.ends_in_one_network, on_search.every_reading)),
        Claim("T₀ = 1.3 and β = 0.95 give five grace epochs.", "4.1, Figure 3", "5 epochs", "results/figure3",
              SEARCHES + "epochs without an α step", on_search.of_searches(on_search.grace)),
        Claim("The temperature ends near 0.1.", "4.1", "T ≈ 0.1", "results/figure2", "T₀·β⁵⁰", on_search.of_searches(on_search.final_temperature)),
        Claim("Connections are removed smoothly.", "4.1, Figure 3", "no cliff", "results/figure3",
              SEARCHES + "no epoch prunes a fifth of the connections", on_search.of_searches(on_search.smooth)),
        Claim("Pruning shortens the epochs.", "4.1, Figure 3", "a falling curve", "results/figure3",
              SEARCHES + "the last epoch takes less than two thirds of the longest", on_search.of_searches(on_search.shorter_epochs)),
        Claim("Gradual pruning decreases the search time.", "1, 5", "in words", "results/costs",
              METHODS + "every ASAP search takes less CPU time than any without pruning, in its own epochs before any pruning", on_search.faster_for_pruning),
        Claim("A search takes 4.8 GPU-hours.", "4.1", "4.8 h on a GTX 1080 Ti", "results/costs", "searches at scale paper on a GPU", on_search.hours),
        Claim("ASAP has the lowest search cost.", "4.2, Table 1", "0.2 against 0.3 GPU-days and more", "results/costs",
              METHODS + "CPU time of its steps against DARTS' and ENAS', at one scale", on_search.cheapest),
        Claim("ASAP's entropy decreases to zero.", "4.5, Figure 7", "0 at the end", "results/figure7",
              SEARCHES + "entropy of both cells in the last epoch", on_search.of_searches(on_search.entropy_falls)),
    ),
    "Against other searches": (
        Claim("The entropy of DARTS and ENAS stays high.", "4.5, Figure 7", "in a figure", "results/figure7",
              METHODS + "above one half in the last epoch", on_search.entropy_stays),
        Claim("DARTS' choice at the end is quite arbitrary: its top architecture weights are of comparable value.", "4.5", "in words",
              "results/figure7", METHODS + "ratio of the two largest Φ of an edge but none", on_search.quite_arbitrary),
        Claim("DARTS' accuracy drops when its hard cut comes: the relaxation bias.", "3.1, 4.5, Figure 6", "“significantly”", "results/figure6",
              METHODS + "both orders: derived cell with the supernet's weights, more than 5 points below the mixture", on_search.relaxation_bias),
        Claim("Pruning during the search has no relaxation bias.", "4.5", "in words", "results/figure6",
              METHODS + "searches by ASAP (by the other readings too, study sensitivity) and by Eq. 13: less than a point lost to one operation an edge, and to the derived cell", on_search.no_bias),
        Claim("ENAS' accuracy along the search is lower.", "4.5, Figure 6", "in a figure", "results/figure6",
              METHODS + "at the end, below every ASAP and DARTS search", on_search.enas_low),
        Claim("ASAP's prunings disturb the accuracy less than accumulated-gradient pruning's.", "4.5, Figure 6", "in a figure", "results/figure6",
              METHODS + "largest fall in an epoch that prunes; ASAP also where it prunes at an epoch's end, as they do (study sensitivity)", on_search.smaller_perturbations),
        Claim("ASAP's prunings are more frequent.", "4.5, Figure 6", "in a figure", "results/figure6", METHODS + "epochs that prune", on_search.frequent),
        Claim("ASAP has the highest accuracy at the end of the search.", "4.5, Figure 6", "in a figure", "results/figure6",
              METHODS + "mean validation accuracy with one operation an edge, the supernet's weights, BatchNorm averaged anew, against each method of the figure; ASAP also where it prunes at an epoch's end (study sensitivity)", on_search.highest_at_the_end),
    ),
    "The cells, under one recipe": (
        Claim("Both pruning methods' cells are less accurate than ASAP's.", "4.4, Table 3", "2.9 and 2.76 % against 1.99 %", "results/table3",
              METHODS + PAIRED, on_cell.beats_pruning),
        Claim("The pruning methods' cells are larger than ASAP's.", "4.4, Table 3", "4.4 and 4.3 M against 2.5 M", "results/table3",
              METHODS + "parameters at 36 channels against the mean of ASAP's", on_cell.larger_cells),
        Claim("Accumulated gradients give better cells than magnitude pruning.", "4.5, Table 3", "2.76 % against 2.9 %", "results/table3",
              METHODS + PAIRED, on_cell.accumulated_beats_magnitude),
        Claim("ASAP improves DARTS' accuracy.", "2, Table 3", "1.99 % against 2.76 %", "results/table3", METHODS + PAIRED, on_cell.beats_darts),
        Claim("An annealable search space with gradual pruning gives higher accuracy.", "1", "in words", "results/table3",
              METHODS + "against searches without the one or the other, " + PAIRED, on_cell.beats_ablations),
        Claim("The published cell outperforms other published cells.", "4.2, Table 1", "1.99 % against 2.37 % and more", "results/table1",
              "study transfer: the mean of the others, " + PAIRED, on_cell.beats_published),
        Claim("The cell is better than other cells of its space (here: than random ones).", "4.2", "in words", "results/table1",
              "study transfer: the mean of random cells, " + PAIRED, on_cell.beats_random),
        Claim("The cell reaches 1.68 % error on CIFAR-10.", "abstract, Table 1", "1.99 % to 1.68 %", "results/table1",
              "evaluations of the published cell at scale paper", on_cell.error),
        Claim("Wider networks of the cell have a smaller error.", "4.2, Table 1", "1.99, 1.75, 1.68 %", "results/table1",
              "evaluations at scale paper with 36, 44 and 50 channels", on_cell.wider),
    ),
    "Transfer": (
        Claim("The cell transfers better than others to four of five data sets.", "4.3, Table 2", "4 of 5", "results/table2",
              "the paper's margins against the standard errors of its test sets", on_cell.transfer),
        Claim("The cell transfers well compared to other top cells (here: to Fashion-MNIST).", "5, Table 2", "3.73 % against 3.68 to 3.8 %", "results/table2",
              "study transfer: the mean of the other published cells, " + PAIRED, on_cell.transfers),
        Claim("On CINIC-10 and Freiburg it is better than the known state of the art.", "4.3, Table 2", "6.83 and 10.7 %", "results/table2",
              "the paper's numbers, and how many other cells are too", on_cell.best_known),
        Claim("On ImageNet it is second only to AmoebaNet-A.", "4.3, Table 2", "24.4 % after 24.3 %", "results/table2",
              "the paper's order, and its margins in standard errors", on_cell.imagenet_second),
    ),
    "Sizes": (
        Claim("ASAP-Small has 2.5 M parameters.", "Table 1", "2.5 M", "results/table1", "computed from the published cell", on_cell.size(36, 2.5)),
        Claim("ASAP-Medium has 3.7 M parameters.", "Table 1", "3.7 M", "results/table1", "computed from the published cell", on_cell.size(44, 3.7)),
        Claim("ASAP-Large has 6.0 M parameters.", "Table 1", "6.0 M", "results/table1", "computed from the published cell", on_cell.size(50, 6.0)),
        Claim("The ImageNet network has 5.7 M parameters, under 600 M multiply-adds.", "4.3, 6.2.2", "5.7 M", "results/table2",
              "computed from the published cell, with and without the auxiliary head", on_cell.imagenet),
    ),
    "Theory": (
        Claim("With the right schedule Algorithm 1 keeps the best operation with probability 1 − δ.", "3.2, Theorem 2", "at most δ", "theory",
              "record theory/reference: simulations", on_cell.pac),
        Claim("Algorithm 1's pruning rule is that of successive elimination.", "3.3, Claim 1", "equivalent", "theory",
              "record theory/statements: both implications on random α", on_cell.claim1),
        Claim("α/t stays within its margin of its mean.", "3.3, Theorem 3", "but with δ/N", "theory",
              "record theory/exact: dynamic program", on_cell.theorem3),
        Claim("That schedule is rather slow; the exponential one is faster.", "3.2", "in words", "theory",
              "record theory/schedules: simulations", on_cell.slow),
    ),
}  # fmt: skip


def judged(root: Path) -> dict[str, list[tuple[Claim, Verdict]]]:
    """Every claim with its verdict from the records under a root. Claims tested by paired differences are one family of Holm's correction."""
    found = {theme: [(claim, claim.judge(root)) for claim in claims] for theme, claims in CLAIMS.items()}
    tests = [verdict.test for pairs in found.values() for _, verdict in pairs if verdict.test]
    adjusted = iter(holm([test.p() for test in tests]))
    return {theme: [(claim, _decided(v, next(adjusted)) if v.test else v) for claim, v in pairs] for theme, pairs in found.items()}


def _decided(verdict: Verdict, p: float) -> Verdict:
    """A tested claim, given its adjusted p value."""
    test = verdict.test
    assert test is not None
    shown = number(test.detectable(), 1)
    power = "" if shown == "–" else f"; {test.n} pair{'s' if test.n > 1 else ''} could have shown {shown} points (power {POWER:.0%})"
    decided = HOLDS if test.mean > 0 else FAILS
    ours = verdict.ours + (f", adjusted p = {p:.2g}" if test.n > 1 else "") + power
    return replace(verdict, ours=ours, verdict=decided if p < LEVEL else OPEN)

"""Where the paper contradicts itself or leaves a gap: its words, the arithmetic, what is decided here. The audit page shows them.

The effect of a decision is measured by an arm of the study `sensitivity`, where one is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log

from ..paper.equations import beta, pruned_share, temperature

CELLS, WIDTH, OUTPUTS = 20, 36, 4  # the evaluation network of 4.2, and the nodes that a cell concatenates


@dataclass(frozen=True)
class Contradiction:
    """quotes: (place, the paper's words, or nothing where it is a figure). arithmetic: computed when the page is built. parameter: that holds the other choice.
    arms: of the study `sensitivity`, that measure it. effect: where no run is needed to tell it."""

    name: str
    quotes: tuple[tuple[str, str], ...]
    decision: str
    arithmetic: Callable[[], str] | None = None
    parameter: str = ""
    arms: tuple[str, ...] = ()
    effect: str = ""


def _temperatures() -> str:
    def run(initial: float) -> tuple[float, int]:
        course = [temperature("exponential", epoch, 50, initial, 0.95) for epoch in range(1, 51)]
        return course[-1], sum(t >= 1 for t in course)

    (low, five), (high, nine) = run(1.3), run(1.6)
    return (
        f"With T₀ = 1.3, T = {low:.3f} at epoch 50 and T ≥ τ in {five} epochs, counted from 1: both stated facts hold. "
        f"With 1.6 they would be {high:.3f} and {nine}."
    )


def _iterations() -> str:
    steps = next(t for t in range(1, 1000) if 1.3 * 0.95**t < 0.1)
    return f"Counted in iterations T would fall below 0.1 after {steps} of an epoch's 260."


def _threshold() -> str:
    fixed, left = 0.4 / 7, 0.4 / 2
    return (
        f"Of two operations left one goes at a gap in α of {log((1 - fixed) / fixed):.2f} T where N stays 7, and of "
        f"{log((1 - left) / left):.2f} T where N is the two left."
    )


def _edges() -> str:
    return f"A cell of 4 nodes has {sum(2 + i for i in range(4))} edges, two of each node's make 8; once an edge is decided its Φ is 1, as every other's."


def one_by_one_saving() -> int:
    """How many parameters the evaluation network of `WIDTH` channels would have less if a cell's output were a 1×1 convolution to its width."""
    widths, c = [], WIDTH
    for cell in range(CELLS):
        c *= 2 if cell in (CELLS // 3, 2 * CELLS // 3) else 1
        widths.append(c)
    saved, before = 10 * (OUTPUTS - 1) * widths[-1], [3 * WIDTH, 3 * WIDTH]  # the classifier; the stem has 3 C outputs
    for i, c in enumerate(widths):
        for width, from_stem in zip(before, (i < 2, i < 1), strict=True):
            saved += 0 if from_stem else (OUTPUTS - 1) * width * c
        saved -= OUTPUTS * c * c + 2 * c  # the convolution itself and its BatchNorm
        before = [before[1], c]
    return saved


def _eq13() -> str:
    def decided(power: float) -> int:
        return next(e for e in range(20, 51) if 7 * pruned_share(e, 20, 50, power, 6 / 7) >= 5.5)

    return (
        "Δt, s_f and the p behind Table 3 are not given; of 7 operations one is left at a sparsity of 6/7. Rounded to the nearest, as the public code "
        f"of the formula does, one would be left from epoch {decided(3)} (p = 3) or {decided(1)} (p = 1)."
    )


def _margin() -> str:
    return f"At α step 260 (one epoch) Theorem 2 with ηL = 1 keeps α's mean within {beta(260, 7, 0.1):.2f} a step."


CONTRADICTIONS = (
    Contradiction(
        "T₀: 1.3 or 1.6",
        (("4.1", "an initial temperature of T₀ = 1.3 and an epoch decay factor of β = 0.95, thus T ≈ 0.1 at the end"), ("6.2.1", "(T₀, β, τ) = (1.6, 0.95, 1). It was selected for obtaining a final temperature of 0.1 and 5 epochs of grace-cycles")),
        "1.3", _temperatures, "initial_temperature", ("T₀ = 1.6",),
    ),
    Contradiction(
        "τ: a number of cycles or a temperature",
        (("3.1", "We denote the number of these cycles by τ"), ("Algorithm 1", "Grace-temperature τ")),
        "a temperature: α rests while T ≥ τ = 1", lambda: "As a number of cycles, τ = 1 would be one, where 4.1 has five.", "grace_temperature",
        effect="none: the temperature gives the five epochs that 4.1 states",
    ),
    Contradiction(
        "Iterations or epochs",
        (("Algorithm 1, in every iteration", "Update Tₜ"), ("4.1", "an epoch decay factor of β = 0.95")),
        "T changes once an epoch; what to prune is asked after every α step", _iterations, "prune_every", ("Pruning once an epoch",),
    ),
    Contradiction(
        "θ = 0.4/N: which N",
        (("4.1", "Considering we have N possible operations to choose from in a mixed operation, we set our pruning threshold to θₜ ≡ 0.4/N"), ("3.1", "a pruning threshold θ, which is updated along the iterations"), ("3.2", "a fixed value Θ ≡ θ₀")),
        "fixed, N = 7", _threshold, "threshold_operations", ("θ = 0.4 / operations left",),
    ),
    Contradiction(
        "The rate of α",
        (("6.2.1", "a fixed learning rate of 10⁻³"), ("6.2.1", "we use the exact training settings from [12]"), ),
        "10⁻³; the weight decay is DARTS', 10⁻³", lambda: "[12] is DARTS, whose rate is 3·10⁻⁴: with Adam α moves at most 0.3 as far.", "alpha_learning_rate", ("α rate 3·10⁻⁴",),
    ),
    Contradiction(
        "From 14 edges to 8",
        (("3.1", "stops when we reach a single operation per mixed operation"), ("Figures 4 and 5", "")),
        "an edge is ranked by the Φ that its surviving operation had just before the edge's last pruning; a node keeps two", _edges, "edge_rule",
        ("Edges by α", "All 14 edges"),
    ),
    Contradiction(
        "Edges undecided at epoch 50",
        (("4.1", "until each mixed operation is fully pruned, or until we reach 50 epochs"),),
        "the operation of the largest Φ is taken, and their number reported ({doc}`/book/results/figure2`)",
        effect="{doc}`/book/results/figure4` and {doc}`/book/results/figure7` say how many",
    ),
    Contradiction(
        "Widths and sizes", (("4.2", "36, 44 and 50 initial network channels"), ("Table 1", "2.5 … 3.7 … 6.0")),
        "both on the page of Table 1", None, "channels", effect="{doc}`/book/results/table1` computes them: the third pair does not fit",
    ),
    Contradiction(
        "The cell's output",
        (("4.1", "a concatenation of the outputs of all the nodes within the cell"), ("6.2.1", "a 1x1 convolutional layer applied on all of the cells' four intermediate nodes' outputs concatenated, such that the number of channels is preserved")),
        "concatenation", lambda: f"At 36 channels the convolution would save {one_by_one_saving() / 1e6:.2f} M of the 2.54 M parameters; Table 1 prints 2.5.",
    ),
    Contradiction(
        "“1-sparsity”", (("Figure 3", "model 1-sparsity"), ("4.1", "the network sparsity (1 minus the relative part of the pruned connections)")),
        "the fraction of connections left is drawn", lambda: "The text defines a sparsity that is 1 where nothing is pruned, which is a density.",
    ),
    Contradiction(
        "Entropy: average or total", (("4.5", "averaged across all the mixed operations within the cell, normalized by ln(|O|)"), ("Figure 7", "The total normalized entropy")),
        "the average", lambda: "Over 14 mixed operations the total is 14 times the average.", effect="the scale of one axis",
    ),
    Contradiction(
        "Eq. 4", (("Eq. 4", "∇L_val = Φ(α; T) [∇_ō L_val · (o_k − ō)]"),),
        "the true gradient", lambda: f"The derivative of Φ(α; T) has a factor 1/T: 1 where α begins to learn, {1 / temperature('exponential', 50, 50, 1.3, 0.95):.0f} at epoch 50.",
        effect="little under Adam, which divides by the gradient's size; the weight decay weighs against it",
    ),
    Contradiction(
        "Eq. 13", (("4.4", "t₀ is the iteration we start the pruning at"), ("4.4", "t₀ = 20 and E_f in the range from 50 to 70")),
        "epochs; s_f = 6/7 on each edge, Δt one epoch at whose end it prunes, E_f = 50, both p; a number of operations is rounded down, so that one "
        "is left at E_f, which is the end of the search",
        _eq13, "prune_start, prune_end, prune_power, prune_rounding", effect="both p on {doc}`/book/results/table3`",
    ),
    Contradiction(
        "Theorem 2's schedule in a search", (("Eq. 7", "T(t) = ηLρ_t √(8/t · log(π²Nt²/3δ))"),),
        "T_t and α in units of α's rate, δ = 0.1, ν = 1/N, counted in α steps", _margin, "schedule",
        effect="the arm of the study `methods` on {doc}`/book/results/table3`",
    ),
    Contradiction(
        "Table 1, “PC-DARTS DL2 [25]”", (("Table 1", "PC-DARTS DL2 [25]"), ("References", "[25] K. A. Laube and A. Zell. Prune and replace nas")),
        "PR-DARTS DL2 {cite:p}`laube2019prune`", effect="the name of a row",
    ),
    Contradiction(
        "Table 1, DARTS", (("Table 1", "DARTS(2nd) 2.76 ± 0.06 3.4"), ("Table 1, twice", "DARTS(1nd) 2.94")),
        "one row printed once; the cell is DARTS' second revision", lambda: "DARTS' current figures are 2.76 ± 0.09 and 3.3 M: revisions are mixed.", effect="none",
    ),
    Contradiction(
        "ImageNet: 5.7 M parameters", (("6.2.2", "The normal cells start with 50 channels … We also added SE layer at the end of each cell. In total, the network contains 5.7 million parameters"),),
        "both sizes on the page of Table 2", effect="{doc}`/book/results/table2` computes them: the printed one lies between, without and with the auxiliary head",
    ),
    Contradiction(
        "ImageNet: the stem", (("6.2.2", "reduce the input image resolution from 224 to 56 (3 reductions)"),),
        "DARTS' stems, three reductions", lambda: f"224 halved three times is {224 // 8}; 56 takes two.", "stem",
    ),
    Contradiction(
        "Mirrored digits", (("6.2.1", "Randomly flipping the training images horizontally"), ("6.2.2", "similar to the one used for CIFAR-10")),
        "SVHN is not mirrored: a mirrored digit is another sign", None, "flip",
    ),
    Contradiction(
        "Colour", (("6.2.2", "standard color augmentations instead of autoaugment regimes"),),
        "brightness, contrast and saturation by 1 ± 0.4, as DARTS' code for ImageNet", None, "color",
    ),
    Contradiction(
        "CINIC-10's training images", (("6.2.2", "It has 270,000 images of 10 classes"),),
        "train and valid, 180,000", lambda: "It comes in three parts of 90,000; which are trained on is not said.",
    ),
    Contradiction(
        "BatchNorm on several GPUs", (("6.2.2", "We train the network on 2 GPUs"),), "each GPU's own statistics, as DataParallel has it", None, "sync_batch_norm",
    ),
    Contradiction(
        "The recipe and the cell", (("4.2", "We trained the network for 1500 epochs … AutoAugment"), ("Table 1", "")),
        "one recipe for every cell, and random cells beside them",
        lambda: "The other rows are from other papers, of 600 epochs and mostly without AutoAugment.",
        effect="random cells of this space under a near-ASAP recipe reach 2.13 ± 0.22 % error with 50 channels {cite:p}`yang2020nas`: most of the distance can be the recipe",
    ),
)  # fmt: skip

"""Theorem C in plain Python: products of floats, one pair and one step at a time. What the fast forms are compared with."""

import math

FRACTIONS = [0.002 * (0.98 / 0.002) ** (k / 23) for k in range(24)]


def average_wealth(evidence, i, n):
    """(N − 1)⁻¹ Σ_{j≠i} Σ_k p_k ∏_s (1 + λ_k X^{ji}_s). evidence: for each step a function X(j, i)."""
    total = 0.0
    for j in range(n):
        if j != i:
            total += sum(math.prod(1 + fraction * x(j, i) for x in evidence) for fraction in FRACTIONS) / len(FRACTIONS)
    return total / (n - 1)


def run_rule(gradients, delta):
    """The rule on one repetition: gradients (steps, N) in [−1, 1]. Returns for each operation the step at which it goes, or None."""
    n = len(gradients[0])
    gone = [None] * n
    evidence = []
    for step, g in enumerate(gradients, start=1):
        alive = [gone[i] is None for i in range(n)]
        evidence.append(lambda j, i, g=g, alive=alive: (g[j] - g[i]) / 2 if alive[i] and alive[j] else 0.0)
        against = [average_wealth(evidence, i, n) for i in range(n)]
        lost = [i for i in range(n) if alive[i] and against[i] >= 1 / delta]
        if len(lost) == sum(alive):
            lost.remove(min(lost, key=lambda i: against[i]))
        for i in lost:
            gone[i] = step
        if sum(g is None for g in gone) == 1:
            break
    return gone


def certificates(gradients, phis, temperatures, alives, delta):
    """The search's evidence on one edge. Returns the average wealth against each operation at the end, and the step of its certificate.

    gradients, phis, alives: (steps, N); temperatures: (steps,). κ = 6.
    """
    n = len(gradients[0])
    squares = [[0.0] * n for _ in range(n)]
    evidence, when = [], [None] * n
    for step, (g, phi, temperature, alive) in enumerate(zip(gradients, phis, temperatures, alives, strict=True), start=1):
        table = [[0.0] * n for _ in range(n)]
        for j in range(n):
            for i in range(n):
                if i != j and alive[i] and alive[j]:
                    difference = temperature * (-g[j] / phi[j] + g[i] / phi[i])
                    scale = 6 * math.sqrt(squares[j][i] / (step - 1)) if step > 1 else 0.0
                    table[j][i] = max(-1.0, min(1.0, difference / scale)) if scale else 0.0
                    squares[j][i] += difference**2
        evidence.append(lambda j, i, table=table: table[j][i])
        for i in range(n):
            if alive[i] and when[i] is None and average_wealth(evidence, i, n) >= n / delta:
                when[i] = step
    return [average_wealth(evidence, i, n) for i in range(n)], when

"""The what-if of Figure 2's page as book/_static/parts.js computes it, in numpy."""

import numpy as np


def prune(alpha: np.ndarray, initial: float, decay: float, share: float, left: bool) -> tuple[list[int], int, int]:
    """What constants would have pruned on recorded α: the operations left after each epoch, the edges undecided at the end, and the first
    epoch that prunes (0: none).

    alpha: (epochs, edges, operations); an operation that the search pruned keeps its last α. T = initial · decay^epoch. Where T < 1, the
    operations of an edge with Φ < share / N go, but never the last; N is the number of operations, or (left) of those left on the edge.
    """
    alive = np.ones(alpha.shape[1:], bool)
    course, first = [], 0
    for epoch, now in enumerate(alpha, 1):
        temperature = initial * decay**epoch
        for edge in range(len(alive)) if temperature < 1 else ():
            while True:
                powers = np.exp(np.where(alive[edge], (now[edge] - now[edge][alive[edge]].max()) / temperature, -np.inf))
                phi = powers / powers.sum()
                gone = alive[edge] & (phi < share / (alive[edge].sum() if left else alpha.shape[2]))
                gone[phi.argmax()] = False
                if not gone.any():
                    break
                alive[edge] &= ~gone
        course.append(int(alive.sum()))
        if not first and course[-1] < alive.size:
            first = epoch
    return course, int((alive.sum(axis=1) > 1).sum()), first

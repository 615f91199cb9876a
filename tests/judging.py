"""What the tests of verdicts share: planned runs by arm, records of them, and the verdict on a claim."""

import functools

from posed import pose, pose_search

from asap.records.study import load
from asap.report import claims

PILOT = "cifar10-jpeg75"
NAMES = {
    "darts2": "DARTS, second order",
    "magnitude": "Magnitude, p = 3",
    "accumulated": "Accumulated gradient, p = 3",
    "random": "Random search",
    "annealed": "ASAP, annealing without pruning",
    "pruned": "ASAP, pruning without annealing",
}


@functools.cache
def plans(study):
    """The study's runs on CIFAR-10 by kind, arm and seed."""
    return {(p.kind, p.label, p.parameters.seed): p for p in load(study).planned if p.parameters.dataset == "cifar10"}


def judge(root, claim, together=False, **given):
    """The verdict on the first claim with this judge or these words in its statement: alone, or after the correction with all others."""
    every = [c for c in claims.claims() if given.items() <= c.given.items()]
    found = next(c for c in every if claim == c.judge or claim in c.statement)
    if together:
        return next(v for c, v in claims.judged(root) if c == found)
    return claims.corrected([found.verdict(root)])[0]


def errors(root, study="methods", variant="posed", **of):
    """Evaluations of the arms' cells with these test errors, by seed; None is a run that is missing."""
    for label, values in of.items():
        for seed, error in enumerate(values):
            if error is not None:
                pose(root, plans(study)["evaluation", NAMES.get(label, label), seed], error, variant=variant)


def run_searches(root, arms):
    """Searches of the arms, by seed, with what their records hold."""
    for label, runs in arms.items():
        name = NAMES.get(label, label)
        study = "methods" if ("search", name, 0) in plans("methods") else "sensitivity"
        for seed, given in enumerate(runs):
            pose_search(root, plans(study)["search", name, seed], **dict(given))

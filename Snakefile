# Sweeps on a cluster: every run of the studies under runs/studies/ that has not finished, a search before the evaluations of its
# cell. On one machine `asap study NAME --jobs N` does as well.
#
#   snakemake --executor slurm --jobs 8         on a cluster, a job a run; without --executor, on all cores (profiles/default)
#   snakemake --config studies=methods          one study, or several: studies=methods,transfer
#   snakemake --dry-run                         what is left, run by run
#
# A run goes through its papermill notebook, which stays under _build/sweeps/, with the error where it failed; the others
# go on. Records are never an output of a rule, so nothing here can delete one: a finished run is left out, an unfinished
# one goes on from its checkpoint.
import json
import sys

from asap.records.parameters import runs_root
from asap.records.study import duration, load, names

STUDIES = str(config.get("studies", ",".join(names()))).split(",")
DONE = "_build/sweeps/{study}/{run}.done"

LEFT, SECONDS = {}, {}
for study in (load(name) for name in STUDIES):
    SECONDS |= study.seconds(runs_root())
    LEFT |= {planned.name: planned for planned in study.left(runs_root())}
print(f"{len(LEFT)} runs left of the studies {', '.join(STUDIES)}: {duration(SECONDS)}", file=sys.stderr)


def done(name):
    return DONE.format(study=name.split("/")[0], run=name.split("/")[1])


def planned(wildcards):
    return LEFT[f"{wildcards.study}/{wildcards.run}"]


def needed(wildcards):
    """The search that an evaluation needs, where it has not finished."""
    search = planned(wildcards).needs
    return [done(search)] if search in LEFT else []


rule all:
    input:
        [done(name) for name in LEFT],


rule run:
    input:
        needed,
    output:
        touch(DONE),
    log:
        "_build/sweeps/{study}/{run}.ipynb",
    params:
        notebook=lambda w: "search" if planned(w).kind == "search" else "evaluate",
        given=lambda w: json.dumps({**({} if planned(w).kind == "search" else {"cell": ""}), **planned(w).given}),
    resources:
        runtime=lambda w: int((SECONDS[f"{w.study}/{w.run}"] or 86400) / 60 * 3) + 10,
        mem_mb=6000,
    threads: 1
    shell:
        "papermill --log-level WARNING --no-progress-bar book/experiments/{params.notebook}.ipynb {log:q} -y {params.given:q}"


rule pages:
    input:
        rules.all.input,
    shell:
        "make book"

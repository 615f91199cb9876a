#!/usr/bin/env bash
# Tries the Snakefile on a real Slurm of one node: start.sh, then the sweep trial.yaml as Slurm jobs; as root, with Debian's
# slurm-wlm and munge, and snakemake and snakemake-executor-plugin-slurm on the PATH.
#
#   tests/slurm/trial.sh FOLDER
set -euo pipefail
here=$(dirname "$(realpath "$0")")
folder=$(realpath -m "${1:?a folder}")
mkdir -p "$folder"
cd "$here/../.."
"$here/start.sh" "$folder/slurm"
trap '"$here/start.sh" "$folder/slurm" stop' EXIT
export ASAP_RUNS=$folder/runs ASAP_DATA=$folder/data
sweep=(snakemake --config "studies=$here/trial.yaml" --executor slurm --jobs 2 --slurm-no-account --slurm-status-command squeue)

echo "== what is left"
"${sweep[@]}" --dry-run 2>&1 | grep "runs left"
echo "== interrupted after the first records"
set -m  # else a process in the background is deaf to an interrupt
"${sweep[@]}" > "$folder/first.log" 2>&1 &
sweeping=$!
set +m
until compgen -G "$folder/runs/trial/*/genotype.json" > /dev/null; do
  kill -0 $sweeping || { cat "$folder/first.log"; exit 1; }
  sleep 1
done
kill -INT $sweeping
wait $sweeping || true
asap study "$here/trial.yaml" | tail -n 1
echo "== again, to the end: one run fails, the others go on"
if "${sweep[@]}" > "$folder/second.log" 2>&1; then echo "the failing run was not noticed"; exit 1; fi
finished=$(asap study "$here/trial.yaml" | tail -n 1)
echo "$finished"
[[ $finished == *"5 of 6 runs finished"* ]]
grep --quiet "cifar100" _build/sweeps/trial/cell-asap-cifar100-tiny-seed0*.ipynb
echo "== the jobs"
grep --only-matching 'JobId=[0-9]* .*JobState=[A-Z]*' "$folder/slurm/jobs.txt" | sed 's/ UserId.*JobState/ JobState/'

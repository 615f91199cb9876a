#!/usr/bin/env bash
# A Slurm of one node on this machine, to try the sweeps on: Debian's slurm-wlm and munge, as root, without systemd.
#
#   tests/slurm/start.sh FOLDER        starts it; its state and logs lie in FOLDER, its configuration is /etc/slurm/slurm.conf
#   tests/slurm/start.sh FOLDER stop   ends it
set -euo pipefail
folder=$(realpath -m "${1:?a folder}")
stop() {
  for name in slurmd slurmctld munged; do
    if [ -f "$folder/$name.pid" ]; then kill "$(cat "$folder/$name.pid")" 2>/dev/null || true; fi
  done
}
if [ "${2:-}" = stop ]; then stop; exit; fi

if [ -e /etc/slurm/slurm.conf ] && ! grep --quiet ClusterName=trial /etc/slurm/slurm.conf; then
  echo "/etc/slurm/slurm.conf is a real cluster's; not touched" >&2
  exit 1
fi
mkdir -p "$folder/state" "$folder/spool" /run/munge /etc/slurm
[ -s /etc/munge/munge.key ] || { dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 status=none; }
chown munge: /etc/munge /etc/munge/munge.key /run/munge
chmod 400 /etc/munge/munge.key
name=$(hostname -s)
cat > /etc/slurm/slurm.conf <<CONF
ClusterName=trial
SlurmctldHost=$name(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
ReturnToService=2
MinJobAge=300
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/jobs.txt
NodeName=$name NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(($(free -m | awk '/^Mem/ {print $2}') * 9 / 10)) State=UNKNOWN
PartitionName=main Nodes=$name Default=YES MaxTime=INFINITE State=UP
CONF
runuser -u munge -- munged --pid-file=/run/munge/munged.pid --force
cp /run/munge/munged.pid "$folder/munged.pid"
slurmctld
slurmd
for _ in $(seq 30); do
  if [ "$(sinfo --noheader --format=%T 2>/dev/null | head -n 1)" = idle ]; then sinfo; exit; fi
  sleep 1
done
tail "$folder"/slurm*.log >&2
exit 1

#!/usr/bin/env bash
# A Slurm of one node, for tests: cluster.sh DIR CONTROL_PORT NODE_PORT [LINE_OF_SLURM_CONF…]
#
# Everything that it writes is in DIR, an absolute path. It prints "ready" when jobs can be submitted with
# SLURM_CONF=DIR/slurm.conf. When its standard input is closed, as also by the death of a test, it ends its daemons and
# every job, and then itself.
set -eu
directory=$1
control_port=$2
node_port=$3
shift 3
host=$(hostname -s)
user=$(id -un)

mkdir -p "$directory"/{state,spool}
# munged refuses a key that others may read.
(umask 077 && dd if=/dev/urandom of="$directory/munge.key" bs=1024 count=1 status=none)
cat >"$directory/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
# A job that was put back waits until its old credentials are worthless: two minutes, unless this says less.
AuthInfo=socket=$directory/munge.socket,cred_expire=${CREDENTIALS:-5}
SlurmctldPort=$control_port
SlurmdPort=$node_port
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd.pid
SlurmctldLogFile=$directory/slurmctld.log
SlurmdLogFile=$directory/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=15
InactiveLimit=0
OverTimeLimit=0
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$host NodeAddr=127.0.0.1 CPUs=16 RealMemory=4000 State=UNKNOWN
$(printf '%s\n' "$@")
CONF
export SLURM_CONF=$directory/slurm.conf

daemons=()
end() {
    trap '' EXIT TERM INT
    # The jobs first: whatever they started is theirs.
    timeout 5 scancel --full --signal=KILL --user="$user" 2>/dev/null || true
    timeout 5 scancel --user="$user" 2>/dev/null || true
    for _ in $(seq 50); do
        [ -n "$(timeout 5 squeue --noheader 2>/dev/null)" ] || break
        sleep 0.1
    done
    kill "${daemons[@]}" 2>/dev/null || true
    wait
}
trap end EXIT
trap 'exit 1' TERM INT

munged --foreground --force --socket="$directory/munge.socket" --key-file="$directory/munge.key" \
    --log-file="$directory/munged.log" --pid-file="$directory/munged.pid" --seed-file="$directory/munged.seed" 2>"$directory/munged.err" &
daemons+=($!)
for _ in $(seq 100); do [ ! -S "$directory/munge.socket" ] || break; sleep 0.05; done
slurmctld -D -f "$SLURM_CONF" >"$directory/slurmctld.out" 2>&1 &
daemons+=($!)
slurmd -D -f "$SLURM_CONF" -N "$host" >"$directory/slurmd.out" 2>&1 &
daemons+=($!)
for _ in $(seq 300); do
    ! timeout 5 sinfo --noheader --format=%T 2>/dev/null | grep -q idle || break
    kill -0 "${daemons[@]}" || exit 1
    sleep 0.1
done
echo ready
# Until there is nobody any more.
read -r _ || true

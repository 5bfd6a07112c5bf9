#!/usr/bin/env bash
# A Slurm of one node, for tests: cluster.sh CONTROL_PORT NODE_PORT [LINE_OF_SLURM_CONF…]
#
# It prints "ready DIR" when jobs can be submitted with SLURM_CONF=DIR/slurm.conf; it writes only to
# DIR. When its standard input is closed, also by the death of a test, it ends every job and its
# daemons, and removes DIR.
set -eu
control_port=$1
node_port=$2
shift 2
host=$(hostname -s)
user=$(id -un)

directory=$(mktemp -d)
mkdir "$directory"/{state,spool}
# munged refuses a key that others may read.
(umask 077 && dd if=/dev/urandom of="$directory/munge.key" bs=1024 count=1 status=none)
cat >"$directory/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
# A requeued job waits until its old credentials expire, two minutes by default: this is the minimum.
AuthInfo=socket=$directory/munge.socket,cred_expire=5
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
SlurmdTimeout=60
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$host NodeAddr=127.0.0.1 CPUs=32 RealMemory=4000 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1
PartitionName=graceful Nodes=ALL PriorityTier=1 GraceTime=300
PartitionName=high Nodes=ALL PriorityTier=10
$(printf '%s\n' "$@")
CONF
export SLURM_CONF=$directory/slurm.conf

daemons=()
# shellcheck disable=SC2317 # it is called by the trap
end() {
    trap '' EXIT TERM INT
    # Jobs end before the daemons: a job that cannot report its end would try for ever.
    for _ in $(seq 60); do
        [ -n "$(timeout 5 squeue --noheader 2>/dev/null)" ] || break
        timeout 5 scancel --user="$user" 2>/dev/null || true
        timeout 5 scancel --full --signal=KILL --user="$user" 2>/dev/null || true
        sleep 0.3
    done
    kill "${daemons[@]}" 2>/dev/null || true
    # The remaining processes have their logs here.
    for process in /proc/[0-9]*; do
        if find "$process/fd" -lname "$directory/*" 2>/dev/null | grep -q .; then
            kill -s KILL "${process#/proc/}" 2>/dev/null || true
        fi
    done
    wait
    rm -rf "$directory"
}
trap end EXIT
trap 'exit 1' TERM INT

munged --foreground --force --socket="$directory/munge.socket" --key-file="$directory/munge.key" \
    --log-file="$directory/munged.log" --pid-file="$directory/munged.pid" --seed-file="$directory/munged.seed" \
    2>"$directory/munged.err" &
daemons+=($!)
for _ in $(seq 100); do [ ! -S "$directory/munge.socket" ] || break; sleep 0.05; done
slurmctld -D -f "$SLURM_CONF" >"$directory/slurmctld.out" 2>&1 &
daemons+=($!)
slurmd -D -f "$SLURM_CONF" -N "$host" >"$directory/slurmd.out" 2>&1 &
daemons+=($!)
ready=no
for _ in $(seq 300); do
    if timeout 5 sinfo --noheader --format=%T 2>/dev/null | grep -q idle; then
        ready=yes
        break
    fi
    kill -0 "${daemons[@]}" || break
    sleep 0.1
done
if [ "$ready" = no ]; then
    cat "$directory"/*.err "$directory"/*.log >&2
    exit 1
fi
echo "ready $directory"
# Wait until no process holds the other end any more.
read -r _ || true

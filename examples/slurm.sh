#!/usr/bin/env bash
# A Slurm job that continues by itself until it is done, over any number of time limits:
# sbatch examples/slurm.sh
# Explained in docs/batch.md.

#SBATCH --job-name=train
#SBATCH --ntasks=1
#SBATCH --time=01:00:00
# Two minutes before the end the script gets SIGUSR1. Give it more than twice the time of a save, and one step.
#SBATCH --signal=B:USR1@120
# The job may be requeued, by itself and by Slurm; the log continues.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=train-%j.out

set -u

: "${SLURM_JOB_ID:?it is to be started by sbatch}"
program=${PROGRAM:-target/release/examples/train}
directory=${DIRECTORY:-train.ckpt}
epochs=${EPOCHS:-20}
most_restarts=${MOST_RESTARTS:-100}
requeue=75 # checkpointed::stop::EXIT_REQUEUE
halted=76  # checkpointed::stop::EXIT_HALTED

# Each task of a job array is a run of its own: it has its own directory, and is requeued alone. The
# number SLURM_JOB_ID of the last task is that of the whole array.
job=$SLURM_JOB_ID
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    directory=${directory%.ckpt}-$SLURM_ARRAY_TASK_ID.ckpt
    job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
fi

# srun passes SIGUSR1 on to the program. On SIGTERM or SIGINT it kills the program instead, so these
# two become SIGUSR1.
srun_pid=
stopping=no
# shellcheck disable=SC2317 # it is called by the traps
stop() {
    stopping=yes
    interrupted=yes
    [ -z "$srun_pid" ] || kill -s USR1 "$srun_pid" 2>/dev/null
}
trap stop USR1 TERM INT

# The exit code of srun is the highest of its tasks': 75 would hide a task that failed with 1. So each
# failure is written to a file, and each other code to a second one. The task's shell gets the signals
# too: the traps keep it alive, and do not change the signals of the program.
failures=$directory.failed
codes=$directory.codes
rm -f "$failures" "$codes"
# shellcheck disable=SC2016 # it is for the task's shell
task='
    trap : USR1 TERM INT
    failures=$1
    codes=$2
    shift 2
    "$@"
    code=$?
    case $code in
        0 | 75 | 76) echo "$code" >>"$codes" ;;
        *) echo "$code" >>"$failures" ;;
    esac
    exit "$code"
'

# srun runs in the background, because bash runs its traps only between commands and during `wait`.
status=$requeue
if [ "$stopping" = no ]; then
    srun bash -c "$task" task "$failures" "$codes" "$program" --dir "$directory" --epochs "$epochs" &
    srun_pid=$!
    # A signal may have come just before srun started.
    [ "$stopping" = no ] || kill -s USR1 "$srun_pid" 2>/dev/null
    # A signal ends the wait, not the program, so wait again. 127 means that its code is known already.
    interrupted=yes
    while [ "$interrupted" = yes ]; do
        interrupted=no
        wait "$srun_pid"
        result=$?
        case $result in
            127) ;;
            # Bash 5.2 loses the code of a program that ends while a trap runs. That of srun is the
            # highest of its tasks'.
            -1)
                while kill -0 "$srun_pid" 2>/dev/null; do sleep 1; done
                [ ! -s "$codes" ] || status=$(sort -n "$codes" | tail -n 1)
                ;;
            *) status=$result ;;
        esac
    done
fi

if [ -s "$failures" ]; then
    read -r status <"$failures"
fi
rm -f "$failures" "$codes"
# The signal came before the program listened to signals. Its earlier saves remain.
if [ "$stopping" = yes ] && [ "$status" -eq $((128 + $(kill -l USR1))) ]; then
    status=$requeue
fi
if [ "$status" -ne "$requeue" ]; then
    echo "slurm.sh: the program ended with code $status"
    exit "$status"
fi
if [ "${SLURM_RESTART_COUNT:-0}" -ge "$most_restarts" ]; then
    echo "slurm.sh: stopped for good after $most_restarts restarts; the last state is in $directory"
    # The code is not 75, because Slurm may be configured to requeue a job that ends with it.
    exit "$halted"
fi
# A job that Slurm ends already was cancelled, or Slurm requeues it itself, for example after
# preemption; except if its time was over.
case $(squeue --noheader --jobs="$job" --format='%T %r' 2>/dev/null) in
    'COMPLETING TimeLimit') ;;
    COMPLETING*)
        echo "slurm.sh: the program has saved; Slurm ends the job, and what becomes of it is left to Slurm"
        exit "$requeue"
        ;;
esac
echo "slurm.sh: the program was stopped and has saved; the job goes back into the queue"
# It ends this script too, so it comes last. If Slurm refuses it, the job fails with the code of a requeue.
scontrol requeue "$job"
exit "$requeue"

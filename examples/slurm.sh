#!/usr/bin/env bash
# A Slurm job that goes on by itself until it is done, however often its time runs out: sbatch examples/slurm.sh
# Explained in docs/batch.md.

#SBATCH --job-name=train
#SBATCH --ntasks=1
#SBATCH --time=01:00:00
# Two minutes before the end the script gets SIGUSR1. Give it more than twice the time of a save, and one step.
#SBATCH --signal=B:USR1@120
# It may be put back into the queue, by itself and by Slurm when a node fails; the log goes on where it was.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=train-%j.out

set -u

directory=${CHECKPOINT_DIR:-train.ckpt}
epochs=${EPOCHS:-20}
most_restarts=${MOST_RESTARTS:-100}
requeue=75 # checkpointed::EXIT_REQUEUE

# Hands a signal on to srun, and srun to the program. Before there is any, the traps only keep the script alive.
# shellcheck disable=SC2317 # it is called by the traps
forward() {
    forwarded=yes
    kill -s "$1" "$(jobs -p)" 2>/dev/null
}
trap 'forward USR1' USR1
trap 'forward TERM' TERM
trap 'forward INT' INT

# In the background, because bash runs its traps only between commands, and while it waits.
srun target/release/examples/train --dir "$directory" --epochs "$epochs" &
program=$!

# A signal ends the waiting, not the program: then wait again. 127 means that its end was told before.
status=127
forwarded=yes
while [ "$forwarded" = yes ]; do
    forwarded=no
    wait "$program"
    result=$?
    [ "$result" -eq 127 ] || status=$result
done

if [ "$status" -ne "$requeue" ]; then
    echo "slurm.sh: the program ended with code $status"
    exit "$status"
fi
if [ "${SLURM_RESTART_COUNT:-0}" -ge "$most_restarts" ]; then
    echo "slurm.sh: stopped for good after $most_restarts restarts; the last state is in $directory"
    exit "$requeue"
fi
echo "slurm.sh: the program was stopped and has saved; the job goes back into the queue"
# Ends this script too, so it comes last. Where Slurm refuses it, the job fails with a code that says what to do.
scontrol requeue "$SLURM_JOB_ID"
exit "$requeue"

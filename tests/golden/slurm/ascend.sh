#!/bin/bash
#SBATCH --job-name=kdgat-20261121-080000-456abcd
#SBATCH --account=PAS3209
#SBATCH --partition=nextgen
#SBATCH --time=04:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=2
#SBATCH --mem=16384M
#SBATCH --gpus-per-node=2
#SBATCH --array=0-2%2
#SBATCH --output=task-%a.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=USR1@180
# The frame of every job. kdgat puts its own lines at the names between two @; the options of Slurm
# stand above and are kdgat's alone (`kdgat submit --help`). What a site needs goes between them:
# modules and lines of one cluster alone belong into its slurm/clusters/<name>.toml.
set -euo pipefail

# A batch shell is no login shell: the command `module` may not be there yet.
load_modules() {
    set +u
    if ! type module >/dev/null 2>&1; then
        local setup
        for setup in /etc/profile.d/lmod.sh /etc/profile.d/modules.sh; do
            if [ -r "$setup" ]; then . "$setup"; break; fi
        done
    fi
    local each
    for each in "$@"; do module load "$each"; done
    set -u
}

load_modules python/3.12

python=/users/me/kdgat/.venv/bin/python
export KDGAT_ROOT=/fs/scratch/me/kdgat/snapshots/0a1b/code
export KDGAT_HOME=/fs/scratch/me/kdgat
export PYTHONPATH="$KDGAT_ROOT${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONUNBUFFERED=1
export KDGAT_JOB=20261121-080000-456abcd
export KDGAT_MAX_RESTARTS=3
export OMP_NUM_THREADS=2

runs=(20261121-074455-123f9a2 20261121-074455-123f9a3 20261121-074455-123f9a4)
works=(train train train)
task=${SLURM_ARRAY_TASK_ID:-${KDGAT_TASK:-0}}
step() { # step OPTION... -- ARGUMENT...: kdgat's part on the nodes, where there are nodes
    local options=()
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        # Each task may end by itself: one that is killed could not say that it saved.
        srun --kill-on-bad-exit=0 --cpus-per-task=2 ${options[@]+"${options[@]}"} \
            "$python" -m kdgat.cli.main "$@"
    else
        "$python" -m kdgat.cli.main "$@"
    fi
}
# Where the tasks meet. The node's address, not its name: names need not resolve between nodes.
if [ -n "${SLURM_JOB_ID:-}" ]; then
    first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
    about=$(scontrol show node -o "$first" || true)
    MASTER_ADDR=$(sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p' <<<"$about")
    export MASTER_ADDR=${MASTER_ADDR:-$first}
    export MASTER_PORT=$((10000 + SLURM_JOB_ID % 20000))
fi
run=${runs[$task]}
echo "kdgat: ${works[$task]} $run on $(uname -n), $(date -u +%Y-%m-%dT%H:%M:%SZ)"
status=0
# Once for all tasks: what several processes would otherwise make at the same time.
step --nodes=1 --ntasks=1 -- work "$run" --prepare || status=$?
[ "$status" -ne 0 ] || step --wait=60 -- work "$run" || status=$?
if [ "$status" -eq 75 ] && [ -n "${SLURM_JOB_ID:-}" ]; then
    # An array's last task shares the array's id, by which all of its tasks would be requeued.
    job=$SLURM_JOB_ID
    if [ -n "${SLURM_ARRAY_JOB_ID:-}" ]; then job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID; fi
    echo "kdgat: $run is saved and goes on in another turn"
    if scontrol requeue "$job"; then exit 0; fi
    echo "kdgat: job $job can't be requeued; the same kdgat submit goes on with it" >&2
fi
exit "$status"

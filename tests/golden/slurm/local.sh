#!/bin/bash

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



python=/users/me/kdgat/.venv/bin/python
export KDGAT_ROOT=/fs/scratch/me/kdgat/snapshots/0a1b/code
export KDGAT_HOME=/fs/scratch/me/kdgat
export PYTHONPATH="$KDGAT_ROOT${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONUNBUFFERED=1
export KDGAT_JOB=20261121-080000-456abcd
export KDGAT_MAX_RESTARTS=0
export OMP_NUM_THREADS=4

runs=(20261121-074455-123f9a2 20261121-074455-123f9a3 20261121-074455-123f9a4)
works=(train train train)
task=${SLURM_ARRAY_TASK_ID:-${KDGAT_TASK:-0}}
step() { # step OPTION... -- ARGUMENT...: kdgat's part; the options are for a scheduler
    while [ "$1" != -- ]; do shift; done
    shift
    "$python" -m kdgat.cli.main "$@"
}
run=${runs[$task]}
echo "kdgat: ${works[$task]} $run on $(uname -n), $(date -u +%Y-%m-%dT%H:%M:%SZ)"
status=0
step --wait=60 -- work "$run" || status=$?
exit "$status"

"""Every check, in the order in which it is made: what stops all work comes first."""

from __future__ import annotations

from kdgat.ops.checkup.agent_side import look_at_context, look_at_hook_errors, look_at_registration
from kdgat.ops.checkup.content import (
    look_at_agent_files,
    look_at_clusters,
    look_at_modes,
    look_at_papers,
    look_at_questions,
    look_at_sources,
)
from kdgat.ops.checkup.copies import look_at_copies
from kdgat.ops.checkup.finding import Check
from kdgat.ops.checkup.gpu_stack import look_at_cluster_gpus, look_at_pyg, look_at_torch
from kdgat.ops.checkup.interpreter import look_at_conda, look_at_python, look_at_uv
from kdgat.ops.checkup.lock import look_at_lock
from kdgat.ops.checkup.records import (
    look_at_history,
    look_at_indexes,
    look_at_memory,
    look_at_mlflow,
    look_at_runs,
)
from kdgat.ops.checkup.scheduler import look_at_slurm
from kdgat.ops.checkup.storage import look_at_disk, look_at_scratch

CHECKS: tuple[Check, ...] = (
    Check("python", look_at_python, "python --version"),
    Check("uv", look_at_uv, "uv --version"),
    Check("conda", look_at_conda, "conda info --envs"),
    Check("lock", look_at_lock, "uv sync --locked --dry-run"),
    Check("torch", look_at_torch, 'python -c "import torch; print(torch.cuda.is_available())"'),
    Check("pyg", look_at_pyg, 'python -c "import torch_geometric"'),
    Check("slurm", look_at_slurm, "scontrol ping", limit_s=3.0),
    Check("disk", look_at_disk, "df -h"),
    Check("scratch", look_at_scratch, "find HOME -atime +45"),
    Check("modes", look_at_modes, "kdgat mode list"),
    Check("questions", look_at_questions, "kdgat questions list"),
    Check("clusters", look_at_clusters, "kdgat clusters list"),
    Check("cluster GPUs", look_at_cluster_gpus, "kdgat clusters list"),
    Check("sources", look_at_sources, "kdgat docs sync"),
    Check("agent files", look_at_agent_files, "kdgat agent check"),
    Check("papers", look_at_papers, "kdgat paper check"),
    Check("context", look_at_context, "kdgat agent check"),
    Check("second contexts", look_at_copies, "ls ~/.claude ~/CLAUDE.md"),
    Check("registration", look_at_registration, "cat .mcp.json"),
    Check("hook errors", look_at_hook_errors, "kdgat agent check"),
    Check("runs", look_at_runs, "kdgat runs repair --dry-run"),
    Check("history", look_at_history, "kdgat history compact --dry-run"),
    Check("docs index", look_at_indexes, "kdgat docs sync"),
    Check("memory", look_at_memory, "kdgat memory calibrate"),
    Check("mlflow", look_at_mlflow, "kdgat runs sync"),
)

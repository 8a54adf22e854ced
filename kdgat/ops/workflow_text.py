"""The text of a pipeline as a Snakemake workflow: values in, files out, nothing is written here.

Rules are the same for every pipeline; which steps there are, and what each is called with, stands
in the workflow's `config.yaml`. A file's first line has the digest of the rest, by which an edited
file is told from one of ours.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from kdgat.stages.table import STAGES

GRAPHS, EVALUATION, PAGE = "graphs", "evaluation", "page"
"""Stages of a workflow that train nothing."""
OWN_FOLDERS = (".snakemake", "done", "logs", "benchmarks")
"""What Snakemake and the rules write beside the files."""
_MARK = "written by `kdgat pipeline --snakemake`, which writes over no file that was changed"
_HEADER = re.compile(rf"(?:# |\.\. ){re.escape(_MARK)}: ([0-9a-f]{{16}})\n\n?")
_TITLES = {
    "autoencoder": "VGAEs, which learn from benign windows alone",
    "classifier": "GATs, which learn from labels",
    "fusion": "policies that weigh an autoencoder and a classifier",
    EVALUATION: "figures of trained runs on the official test folders",
}
_SNAKEFILE = '''\
# The order of the steps, and what each is called with, stand in config.yaml.
# Whether a run is done, kdgat decides by its ledger: a rule of what is done costs seconds.
import json
import os
from pathlib import Path

workdir: workflow.basedir

configfile: os.path.join(workflow.basedir, "config.yaml")

report: "report/workflow.rst"

# The workspace as it lay from here when this was written; home may be elsewhere, as on scratch.
os.environ["KDGAT_ROOT"] = os.path.normpath(os.path.join(workflow.basedir, config["root"]))
os.environ["KDGAT_HOME"] = config["home"]


def marker(step):
    """The file that says that a step is done: what kdgat printed of it, as JSON."""
    return f"done/{step}.json"


def needs(stage):
    """Of a stage's step, the markers of the steps that it rests on."""
    return lambda wildcards: [
        marker(need) for need in config["steps"][f"{stage}/{wildcards.step}"]["needs"]
    ]


def words(stage):
    """Of a stage's step, what kdgat is called with; `<step>` stands for that step's run."""

    def of(wildcards, input):
        step = config["steps"][f"{stage}/{wildcards.step}"]
        given = list(step["words"])
        for need in step["needs"]:
            run_id = json.loads(Path(marker(need)).read_text())["run_id"]
            given = [word.replace(f"<{need}>", run_id) for word in given]
        return given

    return of


wildcard_constraints:
    step="[^/]+",


rule all:
    input:
        [marker(step) for step in config["steps"]],
        "done/report.html",


'''
_RULE = """\
# {title}.
rule {stage}:
    input:
        graphs=marker("graphs"),
        runs=needs("{stage}"),
    output:
        {output},
    benchmark:
        "benchmarks/{stage}/{{step}}.tsv"
    log:
        "logs/{stage}/{{step}}.log",
    params:
        words=words("{stage}"),
    threads: config["threads"]
    shell:
        "{{config[kdgat]}} {command} {{params.words:q}} --json > {{output}}.partial 2> {{log}}"
        " && mv {{output}}.partial {{output}}"
"""
_GRAPHS_RULE = """\
# Windows as graphs, made once before the trainings that share them.
rule graphs:
    output:
        marker("graphs"),
    benchmark:
        "benchmarks/graphs.tsv"
    log:
        "logs/graphs.log",
    params:
        words=config["graphs"],
    threads: config["threads"]
    shell:
        "{config[kdgat]} data prepare {params.words:q} --json > {output}.partial 2> {log}"
        " && mv {output}.partial {output}"
"""
_PAGE_RULE = """\
# The page with leaderboard, curves and scenarios.
rule page:
    input:
        [marker(step) for step in config["steps"] if step.startswith("evaluation/")],
    output:
        report("done/report.html", caption="../report/page.rst", category="Page"),
    benchmark:
        "benchmarks/page.tsv"
    log:
        "logs/page.log",
    threads: 1
    shell:
        "{config[kdgat]} report --dataset {config[dataset]:q} --out {output}.partial > {log} 2>&1"
        " && mv {output}.partial {output}"
"""
_CAPTIONS = {
    "report/workflow.rst": """\
Models of the dataset *{{ snakemake.config["dataset"] }}*, trained and judged by kdgat. Under
*Evaluation* are the figures of each judged run as JSON; under *Page* is what ``kdgat report`` makes
of them. A run's own folder in the ledger has its config, code and seeds.
""",
    "report/evaluation.rst": """\
What ``kdgat evaluate --json`` printed of {{ snakemake.wildcards.step }}: figures of every test
scenario under both protocols, which are never compared with each other.
""",
    "report/page.rst": "What ``kdgat report`` makes of all runs of the dataset.\n",
}


@dataclass(frozen=True)
class Place:
    """What a step asks of a scheduler; None leaves it to the scheduler."""

    runtime_min: int
    memory_mb: int
    cores: int
    partition: str | None = None
    account: str | None = None
    gres: str | None = None


def files_of(
    config: Mapping[str, Any], cluster: str | None, place: Place, gpu: Place
) -> dict[str, str]:
    """Every file of a workflow, by its path in the workflow's folder, the Snakefile last.

    Args:
        config: `root`, `home`, `kdgat`, `dataset`, `threads`, `graphs` and `steps`, each step
            with `needs` and `words`.
        cluster: the cluster's name, for the profile's comment.
        place: of steps that need no GPU.
        gpu: of those that train on one.
    """
    stages = tuple(dict.fromkeys(step.partition("/")[0] for step in config["steps"]))
    rules = {f"rules/{GRAPHS}.smk": _GRAPHS_RULE}
    rules |= {f"rules/{stage}.smk": _rule(stage) for stage in stages}
    rules[f"rules/{PAGE}.smk"] = _PAGE_RULE
    texts = {
        "config.yaml": yaml.safe_dump(dict(config), sort_keys=False, width=96),
        "profiles/slurm/config.yaml": _profile(stages, cluster, place, gpu),
        **_CAPTIONS,
        **rules,
        "Snakefile": _SNAKEFILE + "".join(f'include: "{path}"\n' for path in rules),
    }
    return {path: signed(path, text) for path, text in texts.items()}


def signed(path: str, text: str) -> str:
    """The text below a line that says whose it is, with the text's digest."""
    start, end = (".. ", "\n\n") if path.endswith(".rst") else ("# ", "\n")
    return f"{start}{_MARK}: {_digest(text)}{end}{text}"


def is_ours(text: str) -> bool:
    """Whether a file is as it was written here."""
    match = _HEADER.match(text)
    return match is not None and match[1] == _digest(text[match.end() :])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _rule(stage: str) -> str:
    output = f'"done/{stage}/{{step}}.json"'
    if stage == EVALUATION:
        output = f'report({output}, caption="../report/evaluation.rst", category="Evaluation")'
    title = _TITLES.get(stage, f"{stage.replace('_', ' ')}, a model without a graph")
    return _RULE.format(
        stage=stage,
        title=title[0].upper() + title[1:],
        output=output,
        command="evaluate" if stage == EVALUATION else "train",
    )


def _profile(stages: Iterable[str], cluster: str | None, place: Place, gpu: Place) -> str:
    """How Snakemake's own Slurm executor submits the rules."""
    trained = [each for each in stages if each in STAGES and STAGES[each].how == "gradient"]
    values = {
        "executor": "slurm",
        "jobs": 12,
        "latency-wait": 60,
        "rerun-incomplete": True,
        "default-resources": _resources(place),
    }
    if gpu != place:
        values["set-resources"] = {stage: _resources(gpu) for stage in trained}
        values["set-threads"] = dict.fromkeys(trained, gpu.cores)
    whose = f"as `slurm/clusters/{cluster}.toml` says" if cluster else "no cluster was named"
    return f"# For Snakemake's Slurm executor; {whose}.\n" + yaml.safe_dump(values, sort_keys=False)


def _resources(place: Place) -> dict[str, Any]:
    asked = {
        "slurm_account": place.account,
        "slurm_partition": place.partition,
        "runtime": place.runtime_min,
        "mem_mb": place.memory_mb,
        "gres": place.gres,
    }
    return {name: value for name, value in asked.items() if value is not None}

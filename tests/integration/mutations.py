"""Kinds of change to a checkout, and what the agent is told after each: the new, not the old."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tests.integration.changes import (
    Change,
    append,
    edit,
    everywhere,
    everywhere_and_move,
    move,
    remove,
    write,
)

Where = Literal["AGENTS.md", "CLAUDE.md", ".mcp.json", ".claude/settings.json", "SessionStart"]


@dataclass(frozen=True)
class Mutation:
    """One kind of change."""

    name: str
    change: Change
    """Makes it, in the root of a copy of the checkout."""
    new: str = ""
    """What is told from then on; empty where something only goes away."""
    old: str = ""
    """What was told and is told no more; empty where something only comes."""
    where: Where = "AGENTS.md"
    """Which of the agent's files tells it; `SessionStart` is what its hook prints."""


_COMMAND = '''
@app.command("weigh-it")
def weigh() -> None:
    """Weigh something."""
'''
_MAIN = 'if __name__ == "__main__":'
_MODE = (
    "---\ndescription: Write it up.\ntools: [paper]\nsections: []\nbudget_tokens: 900\n"
    "questions: hidden\n---\nWrite.\n"
)
_LSTM = '''class LstmConfig(Config):
    """Recurrent network."""

    kind: Literal["lstm"] = "lstm"
    units: int = 77


ModelConfig = Annotated['''
_CLUSTER = 'title = "a cluster beside the lake"\npartition_cpu = "cpu"\n\n[partitions.cpu]\n'
_RANKS = '"""Who stands where."""\n'


def _config() -> Iterator[Mutation]:
    training, model = "kdgat/configs/training.py", "kdgat/configs/model.py"
    yield Mutation(
        "rename a config field",
        everywhere("patience_epochs", "patience_turns"),
        "patience_turns=6",
        "patience_epochs",
    )
    yield Mutation(
        "change a default",
        edit(
            training, ("max_epochs: int = Field(default=6,", "max_epochs: int = Field(default=13,")
        ),
        "max_epochs=13",
        "max_epochs=6",
    )
    yield Mutation(
        "add a config field",
        edit(
            training,
            (
                '    """Most epochs to train."""\n',
                '    """Most epochs to train."""\n    warmup_steps: int = 17\n',
            ),
        ),
        "warmup_steps=17",
    )
    yield Mutation(
        "delete a config field",
        edit(
            training,
            ("    gradient_clip_norm: float = Field(default=1.0, gt=0.0, le=1e6)\n", ""),
            ('    """Largest norm of the gradient in one step."""\n', ""),
        ),
        old="gradient_clip_norm",
    )
    yield Mutation(
        "change a teacher's preset",
        edit(model, ("latent: int = Field(default=32", "latent: int = Field(default=48")),
        "latent=48/20/12",
        "latent=32/20/12",
    )
    yield Mutation(
        "change a student's preset",
        edit(
            model,
            (
                "GatConfig(hidden=10, heads=4, layers=2, readout=48)",
                "GatConfig(hidden=14, heads=4, layers=2, readout=48)",
            ),
        ),
        "hidden=32/20/14",
        "hidden=32/20/10",
    )
    yield Mutation(
        "add a model",
        edit(
            model,
            ("ModelConfig = Annotated[", _LSTM),
            ("    | MlpConfig\n", "    | MlpConfig\n    | LstmConfig\n"),
            ('"profile", "id_frequency"]', '"profile", "id_frequency", "lstm"]'),
            (
                '        case "mlp", _:',
                '        case "lstm", _:\n            return LstmConfig()\n        case "mlp", _:',
            ),
        ),
        "model=lstm: units",
    )
    yield Mutation(
        "rename a model",
        edit(
            model,
            ('Literal["mlp"] = "mlp"', 'Literal["net"] = "net"'),
            ('case "mlp", _:', 'case "net", _:'),
            ('"gradient_boosting", "mlp", "profile"', '"gradient_boosting", "net", "profile"'),
        ),
        "model=net:",
        "model=mlp:",
    )
    yield Mutation(
        "take another model by default",
        edit(
            "kdgat/configs/run.py",
            ('= model_preset("gat", "large")', '= model_preset("vgae", "large")'),
        ),
        "dataset=simulated model=vgae",
        "dataset=simulated model=gat",
    )


def _tables() -> Iterator[Mutation]:
    stages, datasets = "kdgat/stages/table.py", "kdgat/configs/dataset.py"
    yield Mutation(
        "add a stage",
        edit(
            stages,
            (
                '        Stage("classifier",',
                '        Stage("fuser", "fusion", version=1, benign_only=False),\n'
                '        Stage("classifier",',
            ),
        ),
        "fuser (fusion)",
    )
    yield Mutation(
        "rename a stage",
        edit(stages, ('Stage("autoencoder"', 'Stage("encoder"')),
        "stages: encoder (",
        "stages: autoencoder (",
    )
    yield Mutation(
        "train a stage on other windows",
        edit(stages, ("version=2, benign_only=True", "version=2, benign_only=False")),
        "autoencoder (vgae)",
        "autoencoder (vgae; benign)",
    )
    yield Mutation(
        "add a dataset",
        edit(
            datasets,
            (
                '        DatasetConfig(name="set_04"',
                '        DatasetConfig(name="road", provenance="imported"),\n'
                '        DatasetConfig(name="set_04"',
            ),
        ),
        "road (imported)",
    )
    yield Mutation(
        "delete a dataset",
        edit(datasets, ('        DatasetConfig(name="set_04", citation=_CTAT),\n', "")),
        old="set_04",
    )
    yield Mutation(
        "add a cluster",
        write("slurm/clusters/lakeside.toml", _CLUSTER),
        "lakeside (a cluster beside the lake)",
    )
    yield Mutation("delete a cluster", remove("slurm/clusters/cardinal.toml"), old="cardinal")
    yield Mutation(
        "give a cluster another title",
        edit("slurm/clusters/local.toml", ("this machine, in the foreground", "this very machine")),
        "local (this very machine)",
        "in the foreground",
    )


def _code() -> Iterator[Mutation]:
    yield Mutation(
        "edit a package's docstring",
        edit("kdgat/models/__init__.py", ('"""Graph models:', '"""Networks on graphs:')),
        "Networks on graphs",
        "Graph models",
    )
    yield Mutation(
        "edit a module's docstring",
        edit("kdgat/progress.py", ('"""How long work says', '"""How any work says')),
        "How any work says",
        "How long work says",
    )
    yield Mutation("delete a module", remove("thesis/figures.py"), old="- `figures` Every figure")
    yield Mutation(
        "rename a module",
        everywhere_and_move("kdgat/progress.py", "pace"),
        "- `pace` How long work says",
        "- `progress` How long work says",
    )
    yield Mutation("add a module", write("kdgat/ranks.py", _RANKS), "`ranks` Who stands where")
    yield Mutation(
        "add a package",
        write("kdgat/baselines/__init__.py", '"""Models without a graph."""\n'),
        "`baselines` Models without a graph",
    )
    yield Mutation("delete a package", remove("kdgat/training"), old="`training/`")
    yield Mutation(
        "import against the layers",
        edit("kdgat/models/table.py", ("from torch import nn\n", "import kdgat.training.fit\n")),
        "these import each other: models -> training -> models",
        "`kdgat/`: a line imports only from lines below",
    )
    yield Mutation(
        "save half an edit",
        write("kdgat/models/__init__.py", '"""Graph mod'),
        "(does not parse)",
        "Graph models",
    )
    yield Mutation(
        "add a second package",
        write("analysis/__init__.py", '"""Figures of the thesis."""\n'),
        "## `analysis/`: Figures of the thesis",
    )
    yield Mutation(
        "write what a run leaves elsewhere",
        edit("kdgat/workspace.py", ('self.home / "snapshots"', 'self.home / "frozen"')),
        "jobs frozen knowledge",
        "jobs snapshots knowledge",
    )


def _surface() -> Iterator[Mutation]:
    main = "kdgat/cli/main.py"
    yield Mutation("add a command", edit(main, (_MAIN, f"{_COMMAND}\n\n{_MAIN}")), " weigh-it")
    yield Mutation(
        "rename a command",
        edit(main, ('app.command("evaluate")', 'app.command("judge")')),
        " judge ",
        " evaluate ",
    )
    yield Mutation(
        "delete a command",
        edit(main, ('app.command("replay")(training.replay)\n', "")),
        old=" replay ",
    )
    yield Mutation(
        "rename a group",
        edit(main, ('runs.app, name="runs"', 'runs.app, name="trials"')),
        "- trials: list",
        "- runs: list",
    )
    yield Mutation(
        "hide a command",
        edit(main, ('app.command("experiments")(', 'app.command("experiments", hidden=True)(')),
        old="experiments",
    )
    table = "kdgat/mcp/table.py"
    yield Mutation(
        "rename a tool",
        edit(table, ('        "memory_plan",\n', '        "foresee",\n')),
        " foresee ",
        " memory_plan ",
    )
    yield Mutation(
        "serve a tool no more in every mode",
        edit(
            table,
            (
                '        f"{_HERE}.cancel:cancel",\n',
                '        f"{_HERE}.cancel:cancel",\n        every_mode=False,\n',
            ),
        ),
        old="submit_job cancel",
    )
    yield Mutation(
        "add a mode",
        write("modes/writing.md", _MODE),
        "mode writing: also paper; open questions hidden",
    )
    yield Mutation("delete a mode", remove("modes/research.md"), old="mode research")
    yield Mutation(
        "give a mode another tool",
        edit("modes/mlops.md", ("tools: [log_question]", "tools: [log_question, suggest]")),
        "also log_question suggest;",
        "also log_question;",
    )
    yield Mutation(
        "show a mode the open questions",
        edit("modes/mlops.md", ("questions: hidden", "questions: shown")),
        "also log_question; open questions shown",
        "also log_question; open questions hidden",
    )


def _content() -> Iterator[Mutation]:
    yield Mutation("add a page", write("knowledge/guide/tea.md", "# Tea\n"), " tea ")
    yield Mutation("delete a page", remove("knowledge/guide/osc.md"), old=" osc ")
    yield Mutation(
        "rename a page",
        move("knowledge/guide/slurm.md", "knowledge/guide/cluster-jobs.md"),
        " cluster-jobs ",
        " slurm ",
    )
    yield Mutation(
        "write a decision down",
        write("knowledge/decisions/9999-tabs.md", "# Tabs\n"),
        "the last is 9999-tabs",
    )
    yield Mutation(
        "add a rule",
        write("agent/rules/zz-tea.md", "# Tea\n\nNever propose coffee.\n"),
        "Never propose coffee.",
    )
    yield Mutation("add a skill", write("agent/skills/make-tea/SKILL.md", "# Tea\n"), "make-tea")
    yield Mutation(
        "edit between the marks",
        edit("AGENTS.md", ("## Known by name", "## Known by nickname")),
        "## Known by name",
        "## Known by nickname",
    )
    yield Mutation(
        "take a section from the template",
        edit("agent/AGENTS.md", ("<!-- kdgat:section tables rank=4 -->", "")),
        old="## Known by name",
    )
    yield Mutation(
        "shrink the budget",
        edit("agent/AGENTS.md", ("budget_tokens=1850", "budget_tokens=1000")),
        "Section 'places' is left out",
        "## Where things are",
    )
    yield Mutation("delete CLAUDE.md", remove("CLAUDE.md"), "@AGENTS.md", where="CLAUDE.md")
    yield Mutation(
        "start the server otherwise",
        append("agent/mcp.toml", '\n[server]\ncommand = "kdgat"\nargs = ["mcp"]\n'),
        '"command": "kdgat"',
        '"command": "uv"',
        where=".mcp.json",
    )


MUTATIONS: tuple[Mutation, ...] = (
    *_config(),
    *_tables(),
    *_code(),
    *_surface(),
    *_content(),
)

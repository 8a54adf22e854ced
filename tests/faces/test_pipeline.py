"""`kdgat pipeline` and `kdgat tune`, as they are typed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from kdgat.data.captures import load_manifest
from kdgat.ledger.folder import RunFolder
from kdgat.ops.config import compose_config
from kdgat.ops.experiment import new_record
from kdgat.stages.table import graphs_key, stage_of
from kdgat.workspace import Workspace
from tests.faces.conftest import TINY, WINDOWS, Command, Tiny

Process = Callable[..., subprocess.CompletedProcess[str]]
SEARCH = (*TINY, "size=small", "training.max_epochs=1", "model.hidden=2,3")
LOADED = (
    "import sys; sys.argv[0] = 'kdgat'\nfrom kdgat.cli.main import main\n"
    "try:\n main()\nfinally:\n assert 'torch' not in sys.modules"
)


class TestPipeline:
    def test_its_plan_is_a_table_or_json(self, prepared: Tiny, kdgat: Command) -> None:
        said = kdgat("pipeline", *WINDOWS, "--dry-run")
        assert said.code == 0
        assert "12 of 12 steps to do" in said.out
        assert "simulated-fusion-small-kd" in said.out
        plan = kdgat("pipeline", *WINDOWS, "--dry-run", "--json").json
        assert [each["state"] for each in plan["steps"]].count("waits") == 8
        assert not prepared.runs()

    @pytest.mark.usefixtures("prepared")
    def test_a_plan_of_seeds_and_baselines_is_longer(self, kdgat: Command) -> None:
        words = ("--seeds", "42, 1", "--baselines", "--dry-run", "--json")
        plan = kdgat("pipeline", *WINDOWS, *words).json
        assert len(plan["steps"]) == 2 * 26
        assert {each["seed"] for each in plan["steps"]} == {42, 1}

    @pytest.mark.usefixtures("prepared")
    def test_a_plan_does_not_wait_for_torch(self, process: Process) -> None:
        done = process("-c", LOADED, "pipeline", *WINDOWS, "--dry-run", "--baselines")
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.usefixtures("prepared")
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("dataset=hcrl_sa",), ("data ingest hcrl_sa",)),
            (("model=gat",), ("goes through by itself", "kdgat train")),
            (("model.hidden=4",), ("one kind of model",)),
            (("--seeds", "1,two"), ("'two'", "--seeds 42,1,2")),
            (("--seeds", ""), ("whole number",)),
        ],
    )
    def test_a_mistake_is_two_lines(
        self, kdgat: Command, words: tuple[str, ...], told: tuple[str, ...]
    ) -> None:
        kdgat("pipeline", *words).mistake(*told)

    def test_a_step_that_fails_is_told_with_what_to_do_and_exits_with_1(
        self, prepared: Tiny, kdgat: Command
    ) -> None:
        first, second, third, fourth = (
            held(prepared, *model)
            for model in (("vgae", "large"), ("gat", "large"), ("vgae", "small"), ("gat", "small"))
        )
        with first.working({}), second.working({}), third.working({}), fourth.working({}):
            said = kdgat("pipeline", *WINDOWS)
        assert said.code == 1
        assert f"run '{first.path.name}' of this very experiment is running" in said.err
        assert "wait for it" in said.err
        assert said.out.count("left out") == 8
        assert "the same command goes on" in said.out


class TestTune:
    def test_its_plan_names_the_study_and_trains_nothing(
        self, prepared: Tiny, kdgat: Command
    ) -> None:
        said = kdgat("tune", *SEARCH, "--trials", "2", "--dry-run")
        assert said.code == 0
        assert "2 trials, 0 done, 2 to do" in said.out
        plan = kdgat("tune", *SEARCH, "--dry-run", "--json").json
        assert plan["name"].startswith("simulated-gat-small-")
        assert plan["space"] == {"model.hidden": "2, 3"}
        assert plan["trials"] == 20
        assert not prepared.runs()

    def test_it_trains_and_goes_on(self, prepared: Tiny, kdgat: Command) -> None:
        words = ("tune", *SEARCH, "--sampler", "grid", "--name", "width")
        one = kdgat(*words, "--trials", "1", "--json").json
        assert one["left"] == 0
        said = kdgat(*words)
        assert said.code == 0
        assert said.out.count(" done ") == 2
        assert one["best"]["run_id"] in said.out
        assert "next: kdgat evaluate" in said.out
        assert len(prepared.runs()) == 2

    @pytest.mark.usefixtures("prepared")
    def test_without_any_good_trial_it_exits_with_1(self, kdgat: Command) -> None:
        words = ("training.precision=fp16", "resources.accelerator=cpu", "--trials", "1")
        said = kdgat("tune", *SEARCH, *words)
        assert said.code == 1
        assert "trial 0 failed" in said.out
        assert "needs a GPU" in said.out

    @pytest.mark.usefixtures("prepared")
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (TINY, ("leaves anything to search",)),
            (("seed=1,2",), ("luckiest",)),
            ((*SEARCH, "--metric", "f1"), ("validation",)),
        ],
    )
    def test_a_mistake_is_two_lines(
        self, kdgat: Command, words: tuple[str, ...], told: tuple[str, ...]
    ) -> None:
        kdgat("tune", *words).mistake(*told)


def held(tiny: Tiny, kind: str, size: str) -> RunFolder:
    """The folder of a run of a pipeline's, for somebody to work on."""
    ws = Workspace(tiny.root, tiny.home)
    config = compose_config(ws, (*WINDOWS, f"model={kind}", f"size={size}"))
    manifest = load_manifest(ws.dataset("simulated"))
    graphs = graphs_key(manifest, config.data)
    record = new_record(config, stage_of(config.model), manifest.content_hash, graphs)
    return RunFolder.create(ws.runs, record, config.model_dump(mode="json"))

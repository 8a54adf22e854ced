"""A pipeline as a Snakemake workflow: what is written, and over what nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kdgat.errors import ConfigError, WorkspaceError
from kdgat.ops.config import compose_config
from kdgat.ops.pipeline_steps import resolved, steps_of
from kdgat.ops.workflow import write_workflow
from kdgat.ops.workflow_text import is_ours, signed
from kdgat.workspace import Workspace


def config(folder: Path) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text())


def files(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}


def test_it_has_the_pipelines_steps_and_a_file_of_rules_for_each_stage(
    ws: Workspace, tmp_path: Path
) -> None:
    done = write_workflow(ws, tmp_path / "flow", seeds=(1, 2), baselines=True)
    steps = steps_of(ws, (), (1, 2), baselines=True)
    written = files(tmp_path / "flow")
    assert done.steps == len(steps) == len(config(tmp_path / "flow")["steps"])
    stages = {name.partition("/")[0] for name in config(tmp_path / "flow")["steps"]}
    assert {f"rules/{stage}.smk" for stage in stages | {"graphs", "page"}} == {
        name for name in written if name.startswith("rules/")
    }
    assert {each.path: each.text for each in done.files} == written
    assert all(is_ours(text) for text in written.values())
    for stage in stages:
        assert f'include: "rules/{stage}.smk"' in written["Snakefile"]
        assert "benchmark:" in written[f"rules/{stage}.smk"]


def test_a_students_words_name_its_teacher_and_its_scorers(ws: Workspace, tmp_path: Path) -> None:
    write_workflow(ws, tmp_path / "flow", overrides=("training.max_epochs=3", "seed=7"))
    steps = config(tmp_path / "flow")["steps"]
    student = steps["fusion/simulated-fusion-small-kd-7"]
    vgae, gat, teacher = (
        "autoencoder/simulated-vgae-small-kd-7", "classifier/simulated-gat-small-kd-7",
        "fusion/simulated-fusion-large-7",
    )  # fmt: skip
    assert student["needs"] == [vgae, gat, teacher]
    assert student["words"] == [
        "training.max_epochs=3", "model=fusion", "size=small", "seed=7",
        f"model.scorers=[<{vgae}>,<{gat}>]", f"distillation.teacher=<{teacher}>",
    ]  # fmt: skip
    judged = steps["evaluation/simulated-fusion-large-7"]
    assert judged["words"][:2] == [f"<{teacher}>", "evaluation.threshold=auto"]


def test_each_steps_words_are_the_very_config_that_the_pipeline_trains(
    ws: Workspace, tmp_path: Path
) -> None:
    given = ("training.max_epochs=3", "data.features=[bytes,rate]", "evaluation.alpha=0.01")
    steps = steps_of(ws, given, (1, 2), baselines=True)
    write_workflow(ws, tmp_path / "flow", overrides=given, seeds=(1, 2), baselines=True)
    named = list(config(tmp_path / "flow")["steps"].items())
    ids = {name: f"20261122-000000-{number:07x}" for number, (name, _) in enumerate(named)}
    done = dict(zip((step.key for step in steps), ids.values(), strict=True))
    for step, (name, told) in zip(steps, named, strict=True):
        assert [ids[need] for need in told["needs"]] == [done[need] for need in step.needs]
        words = told["words"]
        for need in told["needs"]:
            words = [word.replace(f"<{need}>", ids[need]) for word in words]
        if step.subject is not None:
            assert words == [done[step.subject], *step.judging]
        else:
            assert compose_config(ws, words).digest() == resolved(step, done).digest(), name


def test_the_workspace_is_named_as_seen_from_the_folder(ws: Workspace, tmp_path: Path) -> None:
    write_workflow(ws, ws.root / "flows" / "one")
    assert (config(ws.root / "flows" / "one")["root"], ws.home.name) == ("../..", ".kdgat")
    elsewhere = Workspace(ws.root, tmp_path / "scratch")
    write_workflow(elsewhere, tmp_path / "flow")
    assert config(tmp_path / "flow")["home"] == str(tmp_path / "scratch")


def test_the_slurm_profile_asks_what_a_submitted_job_would(ws: Workspace, tmp_path: Path) -> None:
    write_workflow(ws, tmp_path / "flow", cluster="here")
    profile = yaml.safe_load((tmp_path / "flow/profiles/slurm/config.yaml").read_text())
    assert profile["executor"] == "slurm"
    usual, trained = profile["default-resources"], profile["set-resources"]["classifier"]
    assert (usual["slurm_account"], usual["slurm_partition"]) == ("PAS3209", "cpu")
    assert (usual["runtime"], "gres" in usual) == (30, False)
    assert (trained["slurm_partition"], trained["gres"]) == ("gpu", "gpu:v100:1")
    assert "evaluation" not in profile["set-resources"]


@pytest.mark.parametrize("cluster", ["nowhere", "local"])
def test_a_cluster_without_a_scheduler_has_no_profile(
    ws: Workspace, tmp_path: Path, cluster: str
) -> None:
    (ws.clusters / "local.toml").write_text('scheduler = "none"\n[partitions.local]\n')
    with pytest.raises(ConfigError, match=f"'{cluster}'"):
        write_workflow(ws, tmp_path / "flow", cluster=cluster)
    assert not (tmp_path / "flow").exists()


def test_a_dry_run_says_all_and_writes_nothing(ws: Workspace, tmp_path: Path) -> None:
    done = write_workflow(ws, tmp_path / "flow", dry_run=True)
    assert not done.written
    assert "rule all:" in {each.path: each.text for each in done.files}["Snakefile"]
    assert not (tmp_path / "flow").exists()


def test_it_is_written_again_over_its_own_files_beside_what_rules_made(
    ws: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "flow"
    write_workflow(ws, folder, baselines=True)
    marker = folder / "done" / "graphs.json"
    marker.parent.mkdir()
    marker.write_text("{}")
    done = write_workflow(ws, folder)
    assert "rules/profile.smk" in done.removed
    assert not (folder / "rules" / "profile.smk").exists()
    assert marker.read_text() == "{}"


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(
    ws: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "flow"
    write_workflow(ws, folder)
    edited = folder / "rules" / "fusion.smk"
    for other, text in (
        (edited, edited.read_text() + "\n# mine\n"), (folder / "notes.txt", "mine"),
        (folder / "rules" / "mine.smk", "rule mine:\n"),
    ):  # fmt: skip
        before = other.read_text() if other.exists() else None
        other.write_text(text)
        kept = files(folder)
        with pytest.raises(WorkspaceError, match=str(other.relative_to(folder))):
            write_workflow(ws, folder, baselines=True)
        assert files(folder) == kept
        other.unlink() if before is None else other.write_text(before)
    write_workflow(ws, folder)


def test_somebody_elses_results_are_no_folder_of_ours(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "flow" / "logs").mkdir(parents=True)
    (tmp_path / "flow" / "logs" / "mine.log").write_text("mine")
    with pytest.raises(WorkspaceError, match="'logs'"):
        write_workflow(ws, tmp_path / "flow")
    with pytest.raises(WorkspaceError, match="is a file"):
        write_workflow(ws, tmp_path / "flow" / "logs" / "mine.log")


@pytest.mark.parametrize("path", ["Snakefile", "report/page.rst", "config.yaml"])
def test_a_text_that_was_changed_is_ours_no_more(path: str) -> None:
    text = signed(path, "some\ntext\n")
    assert is_ours(text)
    assert not is_ours(text + "more\n")
    assert not is_ours(text.replace("some", "any"))
    assert not is_ours("some\ntext\n")

"""A paper's figures against a history with known answers."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from kdgat.errors import KdgatError, KnowledgeError
from kdgat.ledger.folder import RunFolder
from kdgat.ops.papers import CheckedPaper, paper_check, paper_fill, paper_findings
from kdgat.workspace import Workspace
from tests.unit.knowledge.paper_sample import DRIFTS, new_paper, new_workspace, plant
from tests.unit.runs.judged import SCENARIOS, judge, judged, trained


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Only read."""
    return new_workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture
def own(tmp_path: Path) -> Workspace:
    """To be written to."""
    return new_workspace(tmp_path / "workspace")


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    return new_paper(tmp_path / "paper")


def filled(ws: Workspace, paper: Path) -> Path:
    paper_fill(ws, paper=str(paper))
    return paper


def drifts(ws: Workspace, paper: Path) -> set[tuple[str, int, str]]:
    found = paper_check(ws, paper=str(paper))
    assert found.faults == ()
    return {(each.file, each.line, each.value) for each in found.drifts}


def one_value(folder: Path, value: str, more: str = "") -> Path:
    """A paper with the one value `x`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = f'[values.x]\n{value}\n[[output]]\nfile = "values.tex"\n{more}'
    (folder / "paper.toml").write_text(text)
    return folder


def fault(ws: Workspace, paper: Path) -> KdgatError:
    with pytest.raises(KnowledgeError) as caught:
        paper_fill(ws, paper=str(paper))
    assert not (paper / "values.tex").exists()
    assert "\n" not in caught.value.problem
    assert "paper.toml" in caught.value.problem
    return caught.value


class TestCheck:
    def test_a_paper_whose_figures_hold_has_no_drift(self, ws: Workspace, paper: Path) -> None:
        found = paper_check(ws, paper=str(filled(ws, paper)))
        assert found.drifts == ()
        assert found.places > 30

    def test_ten_planted_drifts_are_found_and_nothing_else(
        self, ws: Workspace, paper: Path
    ) -> None:
        filled(ws, paper)
        planted = {plant(paper, case) for case in DRIFTS}
        found = paper_check(ws, paper=str(paper))
        assert {(each.file, each.line, each.value) for each in found.drifts} == planted
        assert len(found.drifts) == len(planted) == 10

    @pytest.mark.parametrize("case", DRIFTS)
    def test_each_drift_is_told_with_both_numbers(
        self, ws: Workspace, paper: Path, case: str
    ) -> None:
        file, line, value = plant(filled(ws, paper), case)
        (drift,) = paper_check(ws, paper=str(paper)).drifts
        assert (drift.file, drift.line, drift.value) == (file, line, value)
        assert drift.printed.removesuffix(" %") in DRIFTS[case][2]
        assert drift.history == paper_fill(ws, paper=str(paper), dry_run=True).values[value]
        assert isinstance(drift.exact, int | float)

    def test_a_new_run_makes_text_and_generated_files_stale(
        self, own: Workspace, paper: Path
    ) -> None:
        filled(own, paper)
        judged(own, 0.75, model="vgae")
        found = paper_check(own, paper=str(paper)).drifts
        assert {each.value for each in found} == {"vgae_f1", "vgae_known", "trainings"}
        stale = [each for each in found if each.where == "generated"]
        assert {each.reason.split(":")[0] for each in stale} == {"stale"}
        assert {each.file for each in stale if each.value == "vgae_f1"} == {
            "generated/values.tex", "generated/results.csv", "generated/results.md",
            "generated/rows.tex",
        }  # fmt: skip

    def test_a_text_is_never_written(self, own: Workspace, paper: Path) -> None:
        before = {path: path.read_bytes() for path in paper.rglob("*") if path.is_file()}
        paper_check(own, paper=str(paper))
        filled(own, paper)
        judged(own, 0.75, model="vgae")
        filled(own, paper)
        paper_findings(own, paper=str(paper))
        assert {path: path.read_bytes() for path in before} == before

    def test_a_generated_file_that_is_missing_or_broken_is_one_drift(
        self, ws: Workspace, paper: Path
    ) -> None:
        filled(ws, paper)
        (paper / "generated/results.md").unlink()
        broken = paper / "generated/values.json"
        broken.write_text(broken.read_text().replace("}", "", 1))
        tex = paper / "generated/values.tex"
        tex.write_text(tex.read_text() + "\\newcommand{\\valOther}{1}\n")
        found = paper_check(ws, paper=str(paper)).drifts
        assert [each.file for each in found] == [
            "generated/values.tex", "generated/values.json", "generated/results.md"
        ]  # fmt: skip
        assert "\\valOther" in found[0].value

    def test_what_a_mark_can_not_mean_is_told(self, ws: Workspace, paper: Path) -> None:
        filled(ws, paper)
        (paper / "main.tex").write_text(
            "0.913 % kdgat: gat_f2\n% kdgat: gat_f1\nno number % kdgat: gat_f1\n"
            "0.9 & 1 % kdgat row: gat\n0.913 % kdgat: gat f1\n"
        )
        found = paper_check(ws, paper=str(paper)).drifts
        assert [each.line for each in found] == [1, 2, 3, 4, 5]
        assert "did you mean 'gat_f1'?" in found[0].reason
        assert "stands alone" in found[1].reason
        assert "0 numbers" in found[2].reason
        assert "kdgat columns" in found[3].reason
        assert "'gat f1' is no name" in found[4].reason

    def test_a_pattern_that_fits_nothing_is_told(self, ws: Workspace, paper: Path) -> None:
        filled(ws, paper)
        (paper / "abstract.tex").write_text("Nothing.\n")
        (drift,) = paper_check(ws, paper=str(paper)).drifts
        assert (drift.value, drift.where) == ("gat_percent", "pattern")

    def test_without_a_check_section_every_text_is_read(
        self, ws: Workspace, tmp_path: Path
    ) -> None:
        paper = one_value(tmp_path, "sql = 'select 2'")
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep/a.md").write_text("3<!-- kdgat: x -->")
        (tmp_path / ".git").mkdir()
        (tmp_path / ".git/b.md").write_text("4<!-- kdgat: x -->")
        assert ("deep/a.md", 1, "x") in drifts(ws, paper)
        assert len(drifts(ws, paper)) == 2

    def test_faults_hide_no_drift(self, ws: Workspace, paper: Path) -> None:
        plant(filled(ws, paper), "the last digit")
        text = (paper / "paper.toml").read_text()
        text = text.replace("where model = 'vgae'", "where model = 'nothing'")
        (paper / "paper.toml").write_text(text)
        found = paper_check(ws, paper=str(paper))
        assert [(each.file, each.line) for each in found.drifts] == [("main.tex", 7)]
        (said,) = found.faults
        assert "'where'" in said
        assert "NULL" in said


class TestFill:
    def test_macros_hold_the_values_and_tell_their_provenance(
        self, ws: Workspace, paper: Path
    ) -> None:
        text = (filled(ws, paper) / "generated/values.tex").read_text()
        assert "\\newcommand{\\valGatFOne}{0.913}" in text
        assert "\\newcommand{\\valGatParameters}{49,202}" in text
        assert "\\newcommand{\\valWhere}{set\\_01}" in text
        comment = next(line for line in text.split("\n") if line.startswith("% gat_f1 ="))
        assert re.search(
            r"^% gat_f1 = 0\.91304; real data d{12}; runs (\S+ ){2}\S+; evaluations (\S+ ){2}\S+; "
            r"configs 0123456789abcdef; query [0-9a-f]{12}; filled \d{4}-\d\d-\d\d$",
            comment,
        ), comment

    def test_json_and_csv_can_be_read_by_others(self, ws: Workspace, paper: Path) -> None:
        filled(ws, paper)
        values = json.loads((paper / "generated/values.json").read_text())["values"]
        assert values["gat_f1"]["text"] == "0.913"
        assert values["gat_f1"]["value"] == pytest.approx(0.91304)
        assert len(values["gat_f1"]["runs"]) == 3
        with (paper / "generated/results.csv").open(newline="") as file:
            rows = list(csv.reader(file))
        assert [row[:3] for row in rows] == [
            ["model", "F1", "known"], ["GAT", "0.913 ± 0.025", "0.9180"],
            ["VGAE", "0.700", "0.813"],
        ]  # fmt: skip

    def test_rows_are_those_of_the_paper(self, ws: Workspace, paper: Path) -> None:
        filled(ws, paper)
        assert (
            "\\textbf{GAT} & 0.913 & 49,202 \\\\\nVGAE & 0.700 & -- \\\\\n"
            in (paper / "generated/rows.tex").read_text()
        )
        text = (paper / "generated/results.md").read_text()
        assert text.endswith("| GAT \\| large | 0.913 |\n| VGAE | 0.700 |\n")

    def test_filled_again_nothing_changes(self, ws: Workspace, paper: Path) -> None:
        filled(ws, paper)
        before = {path: path.stat().st_mtime_ns for path in (paper / "generated").iterdir()}
        done = paper_fill(ws, paper=str(paper))
        assert not any(each.changed for each in done.files)
        assert {path: path.stat().st_mtime_ns for path in before} == before

    def test_a_dry_run_shows_the_difference_and_writes_nothing(
        self, ws: Workspace, paper: Path
    ) -> None:
        done = paper_fill(ws, paper=str(paper / "paper.toml"), dry_run=True)
        assert not (paper / "generated").exists()
        assert "+\\newcommand{\\valGatFOne}{0.913}" in done.files[0].diff
        assert [each.written for each in done.files] == [False] * 5

    def test_a_file_of_somebody_else_is_left_alone(self, ws: Workspace, tmp_path: Path) -> None:
        paper = one_value(tmp_path, "sql = 'select 2'")
        (paper / "values.tex").write_text("my own words\n")
        with pytest.raises(KnowledgeError, match="not written by kdgat"):
            paper_fill(ws, paper=str(paper))
        assert (paper / "values.tex").read_text() == "my own words\n"

    def test_nothing_is_written_when_one_value_fails(self, ws: Workspace, paper: Path) -> None:
        text = (paper / "paper.toml").read_text().replace('"vgae"', '"vga"', 1)
        (paper / "paper.toml").write_text(text)
        with pytest.raises(KnowledgeError, match="value 'vgae_f1'"):
            paper_fill(ws, paper=str(paper))
        assert not (paper / "generated").exists()


FAULTS = {
    "no row": ("sql = \"select 1 where false\"", "no row"),
    "several rows": ("sql = 'select run_id as value from runs'", "several rows"),
    "NULL": ("sql = 'select null'", "NULL"),
    "no figure": ("sql = \"select 'nan'::double\"", "nan"),
    "several columns": ("sql = 'select 1 as a, 2 as b'", "a, b"),
    "wrong SQL": ("sql = 'selct 1'", "'x'"),
    "forbidden SQL": ("sql = \"select * from read_csv('/etc/passwd')\"", "refused"),
    "an unknown run": ("dataset='set_01'\nmetric='f1'\nruns=['2020']", "2020"),
    "an unknown run in SQL": ("sql = \"select 1 as value, 'gone' as run_id\"", "no run 'gone'"),
    "an unknown dataset": ("dataset='set_99'\nmodel='gat'\nmetric='f1'", "set_99"),
    "an unknown scenario": ("dataset='set_01'\nmodel='gat'\nmetric='f1'\nscenario='x'", "'x'"),
    "a model nobody judged": ("dataset='set_01'\nmodel='dqn'\nmetric='f1'", "no row"),
    "no interval": ("dataset='set_01'\nmodel='vgae'\nmetric='f1'\nstatistic='low'", "interval"),
    "simulated": ("dataset='made'\nmodel='gat'\nmetric='f1'", "simulated"),
    "a share as a count": ("sql = 'select 0.5'\nformat = 'd'", "whole"),
}  # fmt: skip


class TestFaults:
    @pytest.mark.parametrize("case", FAULTS)
    def test_a_value_without_one_answer_is_named(
        self, ws: Workspace, tmp_path: Path, case: str
    ) -> None:
        value, word = FAULTS[case]
        error = fault(ws, one_value(tmp_path, value))
        assert "value 'x'" in error.problem
        assert word in error.problem + error.hint
        assert error.hint

    @pytest.mark.parametrize(
        ("value", "more", "words"),
        [
            ("sql = 'select 1'\nmodle = 'gat'", "", ("values.x.modle", "did you mean 'model'?")),
            ("sql = 'select 1'\nmodel = 'gat'", "", ("sql stands alone",)),
            ("metric = 'f1'", "", ("needs dataset and metric",)),
            ("dataset = 'a'\nmodel = 'gat'\nmetric = 'aurocc'", "", ("did you mean 'auroc'?",)),
            ("sql = 'select 1'\nformat = '.3q'", "", (".3q",)),
            ("sql = 'select 1'\nrounding = 'random'", "", ("rounding", "random")),
            ("sql = 'select 1'", "values = ['y']", ("names 'y'",)),
            ("sql = 'select 1'", "kind = 'html'", ("html",)),
            ("sql = 'select 1'", "[[output]]\nfile='../x.tex'", ("../x.tex",)),
            ("sql = 'select 1'", "[[output]]\nfile='paper.toml'\nkind='tex'", ("paper.toml",)),
            ("sql = 'select 1'", "nonsense", ("not valid TOML",)),
            ("sql = 'select 1'\ndecimals = true", "", ("decimals",)),
        ],
    )  # fmt: skip
    def test_a_mistake_in_the_file_is_told(
        self, ws: Workspace, tmp_path: Path, value: str, more: str, words: tuple[str, ...]
    ) -> None:
        error = fault(ws, one_value(tmp_path, value, more))
        assert all(word in f"{error.problem} {error.hint}" for word in words), error.problem

    @pytest.mark.parametrize(
        ("check", "words"),
        [
            ("files = ['*.rst']", ("'*.rst' fits no file",)),
            ("files = ['../*.tex']", ("leads out",)),
            ("patterns = [{value='x', regex='('}]", ("no regular expression",)),
            ("patterns = [{value='x', regex='a'}]", ("group",)),
            ("files = ['binary.md']", ("binary.md", "can't be read as text")),
        ],
    )
    def test_a_mistake_in_what_is_checked_is_told(
        self, ws: Workspace, tmp_path: Path, check: str, words: tuple[str, ...]
    ) -> None:
        paper = one_value(tmp_path, "sql = 'select 1'", f"[[check]]\n{check}")
        (paper / "binary.md").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(KnowledgeError) as caught:
            paper_check(ws, paper=str(paper))
        assert all(word in caught.value.problem for word in words), caught.value.problem

    def test_a_folder_without_a_paper_is_told(self, ws: Workspace, tmp_path: Path) -> None:
        with pytest.raises(KnowledgeError, match="is missing"):
            paper_check(ws, paper=str(tmp_path))

    def test_a_link_out_of_the_repository_is_not_written_through(
        self, ws: Workspace, tmp_path: Path
    ) -> None:
        paper = one_value(tmp_path / "paper", "sql = 'select 1'")
        (paper / "values.tex").symlink_to(tmp_path / "elsewhere.tex")
        with pytest.raises(KnowledgeError, match=r"values\.tex"):
            paper_fill(ws, paper=str(paper))
        assert not (tmp_path / "elsewhere.tex").exists()


class TestChoice:
    def test_teacher_and_student_must_be_told_apart(self, own: Workspace, tmp_path: Path) -> None:
        judged(own, 0.8, size="small", model="vgae")
        paper = one_value(tmp_path / "p", "dataset='set_01'\nmodel='vgae'\nmetric='f1'")
        assert "say size: large or small" in fault(own, paper).hint

    def test_a_pinned_run_keeps_its_figure_when_a_better_one_comes(
        self, own: Workspace, tmp_path: Path
    ) -> None:
        pinned = judged(own, 0.5, model="gat", config={"model.hidden": 8})
        judged(own, 0.99, model="gat", config={"model.hidden": 64})
        value = f"dataset='set_01'\nmetric='f1'\nruns=['{pinned.run_id}']"
        done = paper_fill(own, paper=str(one_value(tmp_path / "p", value)))
        assert done.values == {"x": "0.500"}

    def test_a_pinned_run_that_was_not_judged_is_told(self, own: Workspace, tmp_path: Path) -> None:
        run = trained(own, seed=9)
        value = f"dataset='set_01'\nmetric='f1'\nruns=['{run.run_id}']"
        error = fault(own, one_value(tmp_path / "p", value))
        assert "value 'x'" in error.problem

    def test_other_test_windows_are_no_second_seed(self, own: Workspace, tmp_path: Path) -> None:
        judged(own, 0.8, model="vgae", windows={"windows": 7})
        paper = one_value(tmp_path / "p", "dataset='set_01'\nmodel='vgae'\nmetric='f1'")
        assert "several rows" in fault(own, paper).problem


class TestFindings:
    def test_a_better_run_of_the_model_is_proposed_with_its_interval(
        self, own: Workspace, paper: Path
    ) -> None:
        filled(own, paper)
        for seed in range(3):
            judged(own, 0.95 + seed / 1000, seed=seed, config={"model.hidden": 64})
        found = paper_findings(own, paper=str(paper))
        mean = next(each for each in found.items if each.value == "gat_f1")
        assert (mean.printed, mean.figure, mean.seeds, mean.clear) == ("0.913", "0.951", 3, True)
        assert mean.place == "generated/values.tex:12"
        assert mean.low == "0.949"
        assert mean.tried == 2
        assert "real data" in mean.arena
        assert {each.value for each in found.items} == {"gat_f1", "gat_known", "gat_percent"}
        assert set(found.skipped) == {"gat_half", "gat_parameters", "trainings", "where"}

    def test_what_was_filled_in_beats_nothing(self, ws: Workspace, paper: Path) -> None:
        assert paper_findings(ws, paper=str(filled(ws, paper))).items == ()

    def test_what_is_not_comparable_is_not_proposed(self, own: Workspace, paper: Path) -> None:
        filled(own, paper)
        judged(own, 0.999, config={"model.hidden": 64}, provenance="simulated")
        judged(own, 0.999, config={"model.hidden": 65}, dataset_hash="e" * 64)
        judged(own, 0.999, config={"model.hidden": 66}, windows={"windows": 9})
        judged(own, 0.999, config={"model.hidden": 67}, dataset="set_02")
        judged(own, 0.999, model="dqn")
        judge(own, trained(own, size="small"), dict.fromkeys(SCENARIOS, 0.999))
        judged(own, 0.9132, config={"model.hidden": 68})
        answer = paper_findings(own, paper=str(paper))
        # With several arenas of one model the paper has to say which it means.
        assert {each.value for each in answer.items} <= {"gat_known"}
        assert answer.skipped["gat_f1"] == "history has no answer for it"

    def test_other_models_are_proposed_when_asked_for(self, own: Workspace, paper: Path) -> None:
        filled(own, paper)
        judged(own, 0.95, model="dqn")
        assert paper_findings(own, paper=str(paper)).items == ()
        found = paper_findings(own, paper=str(paper), any_model=True).items
        best = [each for each in found if each.value == "gat_f1"]
        assert [(each.model, each.clear) for each in best] == [("set_01-dqn-large", None)]

    def test_a_simulated_run_never_beats_a_real_figure(self, own: Workspace, paper: Path) -> None:
        filled(own, paper)
        judged(own, 0.999, config={"model.hidden": 64}, provenance="simulated")
        found = paper_findings(own, paper=str(paper), any_model=True).items
        assert {each.figure for each in found if each.value != "made_f1"} <= {"0.913", "0.918"}
        assert all("(real data" in each.arena for each in found)


def test_a_broken_run_folder_is_a_warning(own: Workspace, paper: Path) -> None:
    run = trained(own, seed=8)
    folder = next(own.runs.glob(f"*/*/{run.run_id}"))
    (RunFolder(folder).path / "run.json").write_text("{")
    found: CheckedPaper = paper_check(own, paper=str(filled(own, paper)))
    assert found.drifts == ()
    assert any("not whole" in warning for warning in found.warnings)

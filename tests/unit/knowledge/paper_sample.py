"""A small papers repository whose every figure holds, and ten places to make one drift."""

from __future__ import annotations

from pathlib import Path

from kdgat.workspace import Workspace
from tests.unit.runs.judged import SCENARIOS, judged

PAPER = r"""
[defaults]
dataset = "set_01"
size = "large"
decimals = 3

[values.gat_f1]
model = "gat"
metric = "f1"

[values.gat_half]
model = "gat"
metric = "f1"
statistic = "half_width"

[values.gat_known]
model = "gat"
metric = "f1"
scenario = "test_01"
decimals = 4

[values.gat_percent]
model = "gat"
metric = "f1"
unit = "percent"
decimals = 1

[values.vgae_f1]
model = "vgae"
metric = "f1"

[values.vgae_known]
model = "vgae"
metric = "f1"
scenario = "test_01"
rounding = "half_up"

[values.gat_parameters]
model = "gat"
metric = "parameters"
format = ",d"

[values.trainings]
sql = "select count(*) from runs where subject is null and provenance = 'real'"
format = "d"

[values.made_f1]
dataset = "made"
model = "gat"
metric = "f1"
provenance = "simulated"

[values.where]
sql = "select any_value(dataset) as value, list(run_id) as runs from runs where model = 'vgae'"

[[output]]
file = "generated/values.tex"

[[output]]
file = "generated/values.json"
values = ["gat_f1", "gat_half", "where"]

[[output]]
file = "generated/results.csv"
columns = ["model", "F1", "known"]
rows = [["GAT", "@gat_f1 ± @gat_half", "@gat_known"], ["VGAE", "@vgae_f1", "@vgae_known"]]

[[output]]
file = "generated/results.md"
columns = ["model", "F1"]
rows = [["GAT | large", "@gat_f1"], ["VGAE", "@vgae_f1"]]

[[output]]
file = "generated/rows.tex"
rows = [["\\textbf{GAT}", "@gat_f1", "@gat_parameters"], ["VGAE", "@vgae_f1", "--"]]

[[check]]
files = ["*.tex", "sections/**/*.tex", "README.md"]

[[check]]
files = ["abstract.tex"]
patterns = [{ value = "gat_percent", regex = '''reaches\s+an F1 of ([\d.]+)''' }]
"""

MAIN = r"""\documentclass{article}
\input{generated/values.tex}
% The predecessor had 0.5767 in 2024. % kdgat is what fills this in
% F1 of 0.111 % kdgat: gat_f1
\begin{document}
In 2026 we train \valTrainings{} models; the graph attention network \cite{velickovic2018,brody22}
reaches an F1 of 0.913 % kdgat: gat_f1
on the 2 scenarios of Section~\ref{sec:3}, which is 91.3\,\% % kdgat: gat_f1
or about $.91$ % kdgat: gat_f1
in all, and $0.9180 \pm 0.01$ % kdgat: gat_known, _
on known vehicles. It has 49{,}202 % kdgat: gat_parameters
parameters, on \texttt{set\_01} % kdgat: where
alone. Simulated traffic gives 0.990 % kdgat: made_f1
and says nothing.
\input{sections/results}
\begin{verbatim}
an example: 0.5 % kdgat: gat_f1
\end{verbatim}
\end{document}
"""

RESULTS = r"""
\begin{tabular}{lrr}
GAT & 0.913 $\pm$ 0.025 \\[2pt] % kdgat: gat_f1, gat_half
VGAE & 0.700 \\ % kdgat: vgae_f1
\end{tabular}
\begin{table}
\begin{tabular}{lcc}
Model (2 of 2) & F1 & known \\ % kdgat columns: _, f1, known
GAT v2 & \textbf{0.913} & 0.9180 \\ % kdgat row: gat
\midrule
VGAE & 0.700 & 0.813 \\ % kdgat row: vgae
\end{tabular}
\end{table}
"""

ABSTRACT = "In 3 words: it reaches\nan F1 of 91.3 percent.\n"

README = """# Results of 2026

An F1 of 0.913<!-- kdgat: gat_f1 --> with 49,202<!-- kdgat: gat_parameters --> parameters, 3 times.

| model | F1 | known |
|---|---|---| <!-- kdgat columns: _, f1, known -->
| GAT v2 | 91.3 % | 0.918 | <!-- kdgat row: gat -->
| VGAE | 0.70 | 0.813 | <!-- kdgat row: vgae -->

```
0.5 <!-- kdgat: gat_f1 -->
```
"""

DRIFTS = {
    "the last digit": ("main.tex", "F1 of 0.913 %", "F1 of 0.914 %", "gat_f1"),
    "percent": ("main.tex", "91.3\\,\\%", "93.1\\,\\%", "gat_f1"),
    "a figure of an older run": ("main.tex", "0.9180 \\pm", "0.9170 \\pm", "gat_known"),
    "thousands": ("main.tex", "49{,}202", "49{,}220", "gat_parameters"),
    "the second of two numbers": ("sections/results.tex", "0.025 \\\\[", "0.052 \\\\[", "gat_half"),
    "cut off, not rounded": ("sections/results.tex", "0.700 & 0.813", "0.700 & 0.812",
                             "vgae_known"),
    "a pattern": ("abstract.tex", "of 91.3", "of 92", "gat_percent"),
    "a table in Markdown": ("README.md", "| VGAE | 0.70 |", "| VGAE | 0.07 |", "vgae_f1"),
    "a macro edited by hand": ("generated/values.tex", "MadeFOne}{0.990}", "MadeFOne}{0.999}",
                               "made_f1"),
    "a cell edited by hand": ("generated/results.csv", "VGAE,0.700", "VGAE,0.710", "vgae_f1"),
}  # fmt: skip
"""File, what holds, what does not, and the value; each is the only one on its line."""


def new_workspace(root: Path) -> Workspace:
    """A workspace with two real models, the GAT in three seeds, and a simulated one."""
    ws = Workspace(root=root, home=root / ".kdgat")
    for seed, off in enumerate((-0.01, 0.0, 0.01)):
        scores = dict(zip(SCENARIOS, (0.91804 + off, 0.90804 + off), strict=True))
        judged(ws, scores, seed=seed, parameters=49_202)
    judged(ws, dict(zip(SCENARIOS, (0.8125, 0.5875), strict=True)), model="vgae")
    judged(ws, 0.99, provenance="simulated", dataset="made")
    return ws


def new_paper(folder: Path) -> Path:
    """The papers repository, not filled yet."""
    files = {
        "paper.toml": PAPER, "main.tex": MAIN, "sections/results.tex": RESULTS,
        "abstract.tex": ABSTRACT, "README.md": README,
    }  # fmt: skip
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def plant(folder: Path, case: str) -> tuple[str, int, str]:
    """Make one place drift; its file, line and value."""
    name, holds, drifted, value = DRIFTS[case]
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert text.count(holds) == 1, (case, text)
    path.write_text(text.replace(holds, drifted), encoding="utf-8")
    return name, text[: text.index(holds)].count("\n") + 1, value

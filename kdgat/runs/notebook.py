"""Notebooks that are run with parameters and kept with what they show, and their HTML page.

papermill runs them in a kernel of their own. The page has no script and loads nothing, like the
report's, so what a notebook shows by JavaScript is not on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdgat.errors import NotebookError
from kdgat.ledger.files import atomic_path

TEMPLATE = Path(__file__).parent / "templates" / "report.ipynb"
"""The notebook of `kdgat report --notebook`."""
_MOST_WORDS = 40


def parameters_of(notebook: Path) -> tuple[str, ...]:
    """What a notebook can be told: the names in its cell with the tag `parameters`.

    Raises:
        NotebookError: there is no such file, or it is no notebook.
    """
    import papermill

    if not notebook.is_file():
        raise NotebookError(f"there is no notebook '{notebook}'", hint="name an .ipynb file")
    try:
        return tuple(papermill.inspect_notebook(notebook))
    except Exception as error:
        # Whatever a file that is no notebook makes of nbformat's reader.
        raise NotebookError(
            f"'{notebook}' can't be read as a notebook: {_words(error)}",
            hint="open it in Jupyter and save it again",
        ) from error


def run_notebook(template: Path, out: Path, parameters: Mapping[str, Any], cwd: Path) -> None:
    """Run a notebook from its first cell to its last, and keep it with its outputs.

    Args:
        template: the notebook; it is not changed.
        out: where it is kept, whole or not at all. One that failed goes to `broken_path(out)`.
        parameters: values for its parameters.
        cwd: the folder its cells work in.

    Raises:
        NotebookError: a cell failed, the kernel died or did not start.
        StorageError: the file can't be written.
    """
    import papermill

    broken = broken_path(out)
    with atomic_path(out) as aside:
        try:
            papermill.execute_notebook(
                template,
                aside,
                parameters=dict(parameters),
                kernel_name="python3",
                progress_bar=False,
                cwd=cwd,
                # The kernel warns of TCP without encryption: it is this machine's loopback, which
                # others can't listen to, and messages are signed with a key of this run.
                extra_arguments=["--log-level=40"],
            )
        except (OSError, KeyboardInterrupt):
            raise
        except Exception as error:
            kept = aside.is_file()
            if kept:
                aside.replace(broken)
            where = f"read '{broken}', which ends where it failed" if kept else "try it in Jupyter"
            raise NotebookError(_told(template, error), hint=where) from error
        _name_by_its_files(aside, template.name, out.name)
    broken.unlink(missing_ok=True)


def broken_path(out: Path) -> Path:
    """Where a notebook that failed is kept."""
    return out.with_name(f"{out.stem}.broken.ipynb")


def notebook_page(notebook: Path, about: Mapping[str, str]) -> str:
    """A notebook with its outputs as one HTML file that runs and loads nothing.

    Args:
        notebook: one that was run.
        about: `title`, `generated_at` and `version`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    body, _ = HTMLExporter(template_name="basic", exclude_input_prompt=True,
                           exclude_output_prompt=True).from_filename(str(notebook))  # fmt: skip
    environment = Environment(
        loader=PackageLoader("kdgat.runs", "templates"), autoescape=True, undefined=StrictUndefined
    )
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    template = environment.get_template("notebook.html.j2")
    return template.render(body=Markup(body), colours=Markup(light), **about)


def _name_by_its_files(notebook: Path, template: str, out: str) -> None:
    """Where papermill wrote down whole paths of this machine, leave the files' names."""
    value = json.loads(notebook.read_text(encoding="utf-8"))
    value["metadata"]["papermill"] |= {"input_path": template, "output_path": out}
    notebook.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _told(template: Path, error: Exception) -> str:
    """Which cell failed and why, in one sentence."""
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        first = next(iter(error.source.strip().splitlines()), "")
        what = " ".join(f"{error.ename}: {error.evalue}".split()[:_MOST_WORDS])
        return f"cell [{error.exec_count}] of '{template.name}' failed ({first}): {what}"
    return f"'{template.name}' could not be run: {_words(error)}"


def _words(error: Exception) -> str:
    """The beginning of what an error says, on one line."""
    return " ".join(str(error).split()[:_MOST_WORDS]) or type(error).__name__

"""`paper.toml`: which figures a paper prints, what each is in the history, and where it is printed.

It lies in the paper's own repository, and every path in it is relative to its folder.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from kdgat.configs.model import Size
from kdgat.configs.names import Protocol
from kdgat.configs.schema import Config
from kdgat.errors import KdgatError, KnowledgeError, did_you_mean
from kdgat.knowledge.papers_numbers import UNITS, Rounding, Style, Unit
from kdgat.runs.figures import COSTS, METRICS

PAPER_FILE = "paper.toml"
MAX_BYTES = 10_000_000
"""Bytes of a file that is read; no text of a paper is longer."""
_HINT = "mend it in the file; knowledge/guide/papers.md shows a whole one"

ValueName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Statistic = Literal["mean", "low", "high", "half_width", "seeds"]
Kind = Literal["tex", "csv", "md", "json"]
_SUFFIXES: dict[str, Kind] = {".tex": "tex", ".csv": "csv", ".md": "md", ".json": "json"}
_STYLE = ("decimals", "format", "rounding", "unit", "provenance")
"""Fields that say how a value is printed; the others say which it is."""
PLACEHOLDER = re.compile(r"@([A-Za-z][A-Za-z0-9_]*)")
"""What stands for a value in a cell of a table; TeX has its braces to itself."""
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


class PaperValue(Config):
    """One value: a question in SQL, or the figure of a model as the leaderboard has it."""

    sql: str | None = None
    """One SELECT of the history's views that gives one row."""
    dataset: str | None = None
    """Name of the dataset."""
    model: str | None = None
    """Kind of the model, such as gat."""
    size: Size | None = None
    """Size of the model."""
    distilled: bool | None = None
    """Whether a teacher took part."""
    metric: str | None = None
    """A figure such as f1, or a cost such as parameters."""
    scenario: str | None = None
    """One test scenario, or the beginning of its name; None for the mean over all of them."""
    protocol: Protocol = "zero_shot"
    """What the model may know of a test capture."""
    attack_type: str = "all"
    """Captures with this attack alone."""
    dataset_hash: str | None = None
    """Beginning of the identity of the captures, where there were several."""
    runs: tuple[str, ...] = ()
    """Only these training runs; empty for the best recipe of the model."""
    statistic: Statistic = "mean"
    """What of the estimate over seeds is printed."""
    provenance: Literal["real", "simulated", "imported"] = "real"
    """What its runs must be of, so that no simulated figure slips into a paper."""
    decimals: int | None = Field(default=None, ge=0, le=15, strict=True)
    """Digits after the point."""
    format: str | None = None
    """Python's format specification, such as ',d' or '.2e', instead of decimals."""
    rounding: Rounding = "half_even"
    """How a digit is dropped."""
    unit: Unit = "one"
    """What the figure is counted in: a share of .913 is 91.3 percent."""
    macro: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]+$")] | None = None
    """The TeX macro's name without its backslash; None makes one of the value's name."""

    @field_validator("metric")
    @classmethod
    def _metric_is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in METRICS and value not in COSTS:
            raise ValueError(f"no such figure, {did_you_mean(value, (*METRICS, *COSTS))}")
        return value

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        said = self.model_fields_set - {*_STYLE, "macro"}
        if self.sql is not None and said > {"sql"}:
            raise ValueError(f"sql stands alone, without {', '.join(sorted(said - {'sql'}))}")
        if self.sql is None and (self.dataset is None or self.metric is None):
            raise ValueError("it needs dataset and metric (and a model or runs), or else sql")
        if self.sql is None and self.model is None and not self.runs:
            raise ValueError("it needs a model, or runs")
        if self.decimals is not None and self.format is not None:
            raise ValueError("decimals and format exclude each other")
        if self.metric in COSTS and self.statistic != "mean":
            raise ValueError(f"{self.metric} is a cost, which has no {self.statistic}")
        self.style.show(0)
        return self

    @property
    def style(self) -> Style:
        """How it is printed."""
        return Style(self.format, self.decimals, self.rounding, UNITS[self.unit])

    @property
    def key(self) -> str:
        """Stands for the question, however its answer is printed."""
        asked = self.model_dump(mode="json", exclude={*_STYLE, "macro"}) | {"p": self.provenance}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]


class Output(Config):
    """A file that `paper fill` writes: a list of values, or a table of a given shape."""

    file: str
    """Where, relative to paper.toml."""
    kind: Kind | None = None
    """TeX, CSV, Markdown or JSON; None takes it from the file's name."""
    values: tuple[str, ...] = ()
    """Which; empty for all of them, in the order of paper.toml."""
    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]*$")] = "val"
    """Beginning of every TeX macro, which keeps them apart from others."""
    columns: tuple[str, ...] = ()
    """Heads of a table's columns; TeX rows have none."""
    rows: tuple[tuple[str, ...], ...] = ()
    """A table's cells; `@name` in one stands for that value."""

    @model_validator(mode="after")
    def _kind_is_known(self) -> Self:
        if self.kind is None and Path(self.file).suffix.lower() not in _SUFFIXES:
            raise ValueError("kind is tex, csv, md or json, where the file's name does not say it")
        if self.rows and self.values:
            raise ValueError("values and rows exclude each other")
        if self.rows and self.shape == "json":
            raise ValueError("JSON has no rows")
        if self.rows and self.shape != "tex" and not self.columns:
            raise ValueError("rows need columns")
        widths = {len(row) for row in self.rows} | ({len(self.columns)} if self.columns else set())
        if self.rows and len(widths) > 1:
            raise ValueError("every row needs as many cells as there are columns")
        return self

    @property
    def shape(self) -> Kind:
        """The kind of file."""
        return self.kind or _SUFFIXES[Path(self.file).suffix.lower()]


class Pattern(Config):
    """A regular expression whose first group is a printed value."""

    value: str
    """Name of the value."""
    regex: str
    """The expression."""

    @field_validator("regex")
    @classmethod
    def _has_a_group(cls, value: str) -> str:
        try:
            groups = re.compile(value, re.MULTILINE).groups
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        if groups < 1:
            raise ValueError("the number must stand in a group: ( )")
        return value


class Check(Config):
    """Files whose printed values are compared with the history."""

    files: tuple[str, ...] = ("**/*.tex", "**/*.md")
    """Patterns of file names."""
    patterns: tuple[Pattern, ...] = ()
    """What ties a number to a value beside the marks in the text."""


class PaperConfig(Config):
    """The whole file."""

    values: dict[ValueName, PaperValue] = Field(min_length=1)
    """Every value by name."""
    output: tuple[Output, ...] = ()
    """What is written."""
    check: tuple[Check, ...] = (Check(),)
    """What is compared."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for where, name in self._named():
            if name not in self.values:
                raise ValueError(f"{where} names '{name}', {did_you_mean(name, self.values)}")
        for output in self.output:
            macros: dict[str, str] = {}
            for name in output.values or self.values if output.shape == "tex" else ():
                other = macros.setdefault(self.macro(output, name), name)
                if other != name:
                    raise ValueError(f"'{other}' and '{name}' have one TeX macro: give one `macro`")
        files = [output.file for output in self.output]
        if len(set(files)) < len(files):
            raise ValueError("two outputs are one file")
        return self

    def macro(self, output: Output, name: str) -> str:
        r"""The macro of a value, without its backslash: `gat_f1` is `valGatFOne`."""
        given = self.values[name].macro
        if given:
            return given
        words = (word[:1].upper() + word[1:] for word in name.split("_"))
        camel = "".join(words)
        return output.prefix + re.sub(r"\d", lambda digit: _DIGITS[int(digit[0])], camel)

    def _named(self) -> Iterator[tuple[str, str]]:
        for output in self.output:
            yield from ((f"output '{output.file}'", name) for name in output.values)
            for cell in (cell for row in output.rows for cell in row):
                yield from ((f"output '{output.file}'", name) for name in placeholders(cell))
        for check in self.check:
            yield from (("a pattern of check", pattern.value) for pattern in check.patterns)


@dataclass(frozen=True)
class Paper:
    """A paper's file, read."""

    file: Path
    shown: str
    """The file as a person reads it."""
    config: PaperConfig

    @property
    def folder(self) -> Path:
        """Where every path of it starts."""
        return self.file.parent

    def inside(self, relative: str) -> Path:
        """A file of the paper's repository.

        Raises:
            KnowledgeError: it is elsewhere, or is a folder.
        """
        path = self.folder / relative
        home = self.folder.resolve()
        if not path.resolve().is_relative_to(home) or path.is_dir() or path == self.file:
            raise KnowledgeError(
                f"'{self.shown}': output '{relative}' is no file below '{home}'",
                hint="name a file of the paper's own repository, apart from paper.toml",
            )
        return path

    def checked(self) -> Iterator[tuple[Path, tuple[Pattern, ...]]]:
        """Every file to compare, once, with its patterns; not the generated ones.

        Raises:
            KnowledgeError: a pattern of file names fits none, or leads elsewhere.
        """
        generated = {self.inside(output.file).resolve() for output in self.config.output}
        found: dict[Path, list[Pattern]] = {}
        home = self.folder.resolve()
        for check in self.config.check:
            for glob in check.files:
                paths = self._matching(glob)
                if not paths and "check" in self.config.model_fields_set:
                    raise KnowledgeError(
                        f"'{self.shown}': check.files = '{glob}' fits no file", hint=_HINT
                    )
                for path in paths:
                    if path.resolve() not in generated and path.resolve().is_relative_to(home):
                        found.setdefault(path, []).extend(check.patterns)
        for path in sorted(found):
            # Two globs that fit one file give its patterns twice.
            yield path, tuple(dict.fromkeys(found[path]))

    def _matching(self, glob: str) -> list[Path]:
        if Path(glob).is_absolute() or ".." in Path(glob).parts:
            raise KnowledgeError(
                f"'{self.shown}': check.files = '{glob}' leads out of the paper's folder",
                hint="name files below paper.toml, such as 'sections/*.tex'",
            )
        try:
            paths = list(self.folder.glob(glob))
        except ValueError as error:
            raise KnowledgeError(
                f"'{self.shown}': check.files = '{glob}': {error}", hint=_HINT
            ) from error
        hidden = re.compile(r"(^|/)\.[^/]")
        return [
            path
            for path in paths
            if path.is_file() and not hidden.search(path.relative_to(self.folder).as_posix())
        ]


def placeholders(cell: str) -> list[str]:
    """The values that a cell of a table names."""
    return PLACEHOLDER.findall(cell)


def load_paper(path: Path, shown: str) -> Paper:
    """A paper's file.

    Raises:
        KnowledgeError: it is missing, no TOML, or a key of it is wrong.
    """
    try:
        values = tomllib.loads(read_whole(path, shown))
    except tomllib.TOMLDecodeError as error:
        raise KnowledgeError(
            f"'{shown}' is not valid TOML: {error}", hint="mend that line"
        ) from error
    try:
        return Paper(path, shown, PaperConfig.model_validate(_with_defaults(values)))
    except ValidationError as error:
        raise _first_fault(error, shown) from error
    except KdgatError as error:
        raise KnowledgeError(f"'{shown}': {error.problem}", hint=error.hint) from error


def read_whole(path: Path, shown: str) -> str:
    """A file's text.

    Raises:
        KnowledgeError: it is missing, no text, or longer than any paper.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise KnowledgeError(
                f"'{shown}' has more than {MAX_BYTES:,} bytes", hint="leave it out of check.files"
            )
        # Line ends as they are: lines are counted, and generated files compared.
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError as error:
        raise KnowledgeError(
            f"'{shown}' is missing",
            hint="name the folder of a paper with a paper.toml; "
            "knowledge/guide/papers.md shows a whole one",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise KnowledgeError(
            f"'{shown}' can't be read as text: {error}", hint="leave it out, or mend it"
        ) from error


def _with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """The file's values, with `[defaults]` under each of them that says nothing else."""
    given = dict(values)
    defaults = given.pop("defaults", {})
    tables = given.get("values")
    if not isinstance(defaults, dict) or not isinstance(tables, dict):
        return given
    unknown = sorted(set(defaults) - set(PaperValue.model_fields))
    if unknown:
        raise KnowledgeError(
            f"there is no key defaults.{unknown[0]}",
            hint=did_you_mean(unknown[0], PaperValue.model_fields),
        )
    given["values"] = {
        name: _over(defaults, table) if isinstance(table, dict) else table
        for name, table in tables.items()
    }
    return given


def _over(defaults: Mapping[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    fitting = {
        key: value
        for key, value in defaults.items()
        if ("sql" not in table or key in _STYLE)
        and not (key == "decimals" and "format" in table)
        and not (key == "format" and "decimals" in table)
    }
    return {**fitting, **table}


def _first_fault(error: ValidationError, shown: str) -> KnowledgeError:
    """The first fault of a file as one sentence."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    given = fault["input"]
    value = f" = {given!r}" if isinstance(given, str | int | float | bool) else ""
    said = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        models = {"values": PaperValue, "output": Output, "check": Check}
        fields = models.get(str(fault["loc"][0]), PaperConfig) if len(fault["loc"]) > 1 else None
        known = PaperConfig.model_fields if fields is None else fields.model_fields
        hint = did_you_mean(key.rpartition(".")[2], known)
        return KnowledgeError(f"'{shown}': there is no key {key}", hint=hint)
    more = f" ({error.error_count() - 1} more after it)" if error.error_count() > 1 else ""
    return KnowledgeError(
        f"'{shown}': {key}{value}: {said}" if key else f"'{shown}': {said}", hint=_HINT + more
    )

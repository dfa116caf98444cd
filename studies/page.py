"""A study's report: CSV, Markdown, and one HTML page that opens without a network."""

import base64
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

import matplotlib
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from studies.run import write_atomically

CSV, SUMMARY, PAGE = "results.csv", "summary.md", "index.html"
FOUND, SURE, RUN = "What was found, and what to do", "How sure it is", "What was run"
RAN = ("command", "study", "data", "data_digest", "network", "weights_digest")
RAN += ("torchresample", "torch", "torchvision", "python", "device", "cpu", "threads", "commit")
"""Columns of a results frame that say what was run, with what, and where."""
MINUS = "\u2212"
# "87.3 (84-90)", "+1.5 points", "< 0.001" and "12,345" begin with a number; 224x224, 2.15.0 and
# 2026-11-21 do not.
LEADING = re.compile(
    rf"[<>≤≥~≈ ]*([+{MINUS}-]?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?)"
    r"(?![\w.]|-\d\d-)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Section:
    """A heading, and under it what was found there, a table, and plots.

    Args:
        sentences: plain text, as is everything else here; both kinds of report escape it.
        table: its index is shown too, unless that only counts the rows.
        figures: made without pyplot, which would keep them.
        note: how the table is to be read.
    """

    heading: str
    sentences: Sequence[str] = ()
    table: pd.DataFrame | None = None
    figures: Sequence[Figure] = ()
    note: str = ""


def to_text(value: object) -> str:
    """A cell as people read it: four digits of a float, nothing where there is no value."""
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return ""
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{value:.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
    return " ".join(str(value).split())


def sort_key(value: object) -> float | None:
    """The number to sort a cell by: its value, or what its text begins with; None where neither."""
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    found = LEADING.match(to_text(value))
    return float(found[1].replace(",", "").replace(MINUS, "-")) if found else None


@dataclass(frozen=True)
class _Column:
    """A table's column: its name, and each cell's text and number to sort by."""

    name: str
    texts: list[str]
    keys: list[str] | None
    """As JavaScript reads numbers; None where a cell has a text that does not begin with one."""

    @classmethod
    def of(cls, name: object, values: Sequence[object]) -> "_Column":
        name = " ".join(map(to_text, name)) if isinstance(name, tuple) else to_text(name)
        texts, keys = [to_text(value) for value in values], []
        for value, text in zip(values, texts, strict=True):
            key = sort_key(value)
            if text and key is None:
                return cls(name, texts, None)
            keys.append(repr(key).replace("inf", "Infinity") if text else "")
        return cls(name, texts, keys if any(texts) else None)


def _columns(frame: pd.DataFrame) -> list[_Column]:
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    return [_Column.of(name, frame.iloc[:, i].tolist()) for i, name in enumerate(frame.columns)]


# Markdown.


def escape_markdown(text: str) -> str:
    """Plain text as Markdown that shows it, with neither markup nor HTML of its own."""
    text = re.sub(r"([\\`*\[\]<>|~$])|(?<!\w)_|_(?!\w)", r"\\\g<0>", " ".join(text.split()))
    text = re.sub(r"&(?=\w+;|#)", r"\&", text)
    return re.sub(r"^(\d*)([#+.)-])(?=\s)", r"\1\\\2", text)  # a heading or a list


def markdown_table(frame: pd.DataFrame) -> str:
    """A table as GitHub's Markdown, its columns aligned, with numbers on the right."""
    parts = []
    for column in _columns(frame):
        texts = [escape_markdown(text) for text in (column.name, *column.texts)]
        width = max(3, *map(len, texts))
        right = column.keys is not None
        rule = "-" * (width - 1) + ":" if right else "-" * width
        texts = [text.rjust(width) if right else text.ljust(width) for text in texts]
        parts.append([texts[0], rule, *texts[1:]])
    return "\n".join(f"| {' | '.join(row)} |" for row in zip(*parts, strict=True))


def replace_block(text: str, name: str, content: str) -> str:
    """Replace what stands between ``<!-- table: NAME -->`` and ``<!-- end: NAME -->``.

    Raises:
        ValueError: a marker that is missing, doubled, or in the wrong order.
    """
    begin, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
    for marker in (begin, end):
        if text.count(marker) != 1:
            raise ValueError(f"text: expected {marker!r} once, found {text.count(marker)}")
    head, _, rest = text.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise ValueError(f"text: expected {begin!r} before {end!r}")
    return f"{head}{begin}\n\n{content.strip()}\n\n{end}{tail}"


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences)


def _markdown_section(section: Section, pictures: Sequence[str] = ()) -> str:
    parts = [f"## {escape_markdown(section.heading)}", _listed(section.sentences)]
    if section.table is not None:
        parts.append(markdown_table(section.table))
    parts.append(escape_markdown(section.note))
    parts += [f"![{escape_markdown(section.heading)}]({name})" for name in pictures]
    return "\n\n".join(part for part in parts if part)


# Pictures.


def _draw(figure: Figure, kind: str) -> bytes:
    """The figure as "png" or "svg", the same bytes for the same figure."""
    stream = io.BytesIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "torchresample"}):
        # A folder's name may have letters that the font lacks; tables and sentences have them.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        options = {"metadata": {"Date": None}} if kind == "svg" else {"dpi": 150}
        figure.savefig(stream, format=kind, **options)
    return stream.getvalue()


def _embed(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _anchors(headings: Sequence[str]) -> list[str]:
    """A name for each heading that can stand in an address and be a file's, no two the same."""
    names = []
    for heading in headings:
        stem = "-".join(re.findall(r"[a-z0-9]+", heading.lower()))[:60] or "section"
        name, count = stem, 1
        while name in names:
            count += 1
            name = f"{stem}-{count}"
        names.append(name)
    return names


# The report.


def describe_run(frame: pd.DataFrame) -> dict[str, str]:
    """List what the cells were measured with; a resumed run may hold several versions."""
    found = {}
    for column in RAN:
        values = frame[column].dropna().unique() if column in frame else ()
        if len(values):
            found[column] = ", ".join(map(to_text, values))
    return found


def _html(title: str, sections: Sequence[Section], frame: pd.DataFrame, **sentences: object) -> str:
    """The page as text; ``sentences`` are ``intro`` and ``sure``."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    anchors = _anchors([FOUND, SURE, RUN, *(section.heading for section in sections)])
    parts = [
        {
            "anchor": anchor,
            "section": section,
            "columns": [] if section.table is None else _columns(section.table),
            "plots": [_embed(_draw(figure, "svg")) for figure in section.figures],
        }
        for section, anchor in zip(sections, anchors[3:], strict=True)
    ]
    return environment.get_template("page.html.j2").render(
        title=title,
        parts=parts,
        ran=describe_run(frame),
        rows=len(frame),
        headings={"found": FOUND, "sure": SURE, "run": RUN},
        anchors=dict(zip(("found", "sure", "run"), anchors, strict=False)),
        files={"csv": CSV, "summary": SUMMARY},
        **sentences,
    )


def _markdown(
    title: str,
    sections: Sequence[Section],
    frame: pd.DataFrame,
    intro: Sequence[str],
    sure: Sequence[str],
    pictures: Sequence[Sequence[str]],
) -> str:
    """The summary as text; ``pictures`` are the names of each section's PNG files."""
    ran = [f"{name}: {value}" for name, value in describe_run(frame).items()]
    parts = [f"# {escape_markdown(title)}"]
    parts += [_markdown_section(Section(FOUND, intro))] if intro else []
    parts += [_markdown_section(*part) for part in zip(sections, pictures, strict=True)]
    parts += [_markdown_section(Section(SURE, sure))] if sure else []
    parts.append(_markdown_section(Section(RUN, ran)))
    return "\n\n".join(parts) + "\n"


def write_report(
    folder: Path,
    title: str,
    sections: Sequence[Section],
    frame: pd.DataFrame,
    intro: Sequence[str],
    sure: Sequence[str] = (),
) -> Path:
    """Write ``results.csv``, ``summary.md``, the plots as PNG files, and ``index.html``.

    All of it is made before anything is written, and each file is written whole or not at all.
    The same input gives the same bytes.

    Args:
        sections: in the order they are shown.
        frame: a row per cell and seed; the columns of `RAN` that it has say what was run.
        intro: what was found and what to do, the most important first.
        sure: how the findings were judged, for example `statistics.HOW_SURE`.

    Returns:
        The path of ``index.html``.
    """
    figures = [(section.heading, figure) for section in sections for figure in section.figures]
    names = [f"{name}.png" for name in _anchors([heading for heading, _ in figures])]
    contents = {
        name: _draw(figure, "png") for name, (_, figure) in zip(names, figures, strict=True)
    }
    rest = iter(names)
    pictures = [[next(rest) for _ in section.figures] for section in sections]
    texts = {
        CSV: frame.to_csv(index=False),
        SUMMARY: _markdown(title, sections, frame, intro, sure, pictures),
        PAGE: _html(title, sections, frame, intro=intro, sure=sure),
    }
    # A file's name that is no UTF-8 reaches us with lone surrogates, which have no bytes.
    contents |= {name: text.encode(errors="backslashreplace") for name, text in texts.items()}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return folder / PAGE

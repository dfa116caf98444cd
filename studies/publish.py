"""The end of every study: its report is written, its findings are printed, its failures told."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from studies.page import CSV, SUMMARY, Section, write_report
from studies.run import Cell, CellsFailedError, Run


def publish(
    study: Run,
    title: str,
    cells: Sequence[Cell],
    frame: pd.DataFrame,
    sections: Sequence[Section],
    intro: Sequence[str] = (),
    sure: Sequence[str] = (),
) -> Path:
    """Write the report of a study and print what it found.

    Args:
        study: whose folder takes the report.
        title: the page's heading.
        cells: those measured, some of which may have failed.
        frame: the table, which is written as CSV.
        sections: what was found in detail.
        intro: what was found and what to do, in sentences, the most important first.
        sure: how the findings were judged.

    Returns:
        The run folder.

    Raises:
        CellsFailedError: cells failed; the report has the others.
    """
    errors = [cell["error"] for cell in cells if cell.get("error")]
    failed = (
        f"{len(errors)} of {len(cells)} cells failed, the first with {errors[0]}; the others are "
        "kept, and the same command tries these again"
        if errors
        else ""
    )
    study.folder.mkdir(parents=True, exist_ok=True)
    page = write_report(
        study.folder, title, sections, frame, [*([failed] if failed else ()), *intro], sure
    )
    print(f"\n{(study.folder / SUMMARY).read_text(encoding='utf-8')}")
    print(f"CSV: {study.folder / CSV}\npage: {page}")
    if failed:
        raise CellsFailedError(failed)
    return study.folder

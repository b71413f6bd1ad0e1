"""Corrected texts: a table of corrections, applied to rows as they are read, so that a speaker needs no new run.

In: a TSV file with the columns config, id, field, text, who; a text with a tab or a line break stands in double
quotes.  Out: config -> row id -> field -> (text, who), which `load_dataset` and `release` take as `corrections`. A
corrected row's meta says who corrected which field.
"""

import csv
import os
from collections.abc import Callable, Iterable
from typing import Any

from M3IT import nearest
from m3it.rows.instance import M3ITError, text

COLUMNS = ("config", "id", "field", "text", "who")
CORRECTED = ("instruction", "inputs", "outputs")

Corrections = dict[str, dict[str, dict[str, tuple[str, str]]]]


def read_corrections(path: str | os.PathLike) -> Corrections:
    """config -> row id -> field -> (text, who); M3ITError names the line that is not as expected."""
    found: Corrections = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter="\t", strict=True)
            head = next(lines, [])
            if tuple(head) != COLUMNS:
                raise M3ITError(f"{path}:1: expected the columns {', '.join(COLUMNS)}, found {', '.join(head)}.")
            for cells in lines:
                _add(found, cells, f"{path}:{lines.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise M3ITError(f"{path}: expected a TSV file of corrections in UTF-8: {error}") from error
    return found


def _add(found: Corrections, cells: list[str], place: str) -> None:
    if len(cells) != len(COLUMNS):
        raise M3ITError(f"{place}: expected {len(COLUMNS)} columns, found {len(cells)}.")
    config, row_id, field, corrected, who = (text(cell) for cell in cells)
    if field not in CORRECTED:
        near = nearest(field, CORRECTED, 0.6)
        hint = f" Did you mean {near!r}?" if near else ""
        raise M3ITError(f"{place}: expected a field of {', '.join(CORRECTED)}, found {field!r}.{hint}")
    if not (config and row_id and corrected and who):
        raise M3ITError(f"{place}: expected a text in every column: config and id of the row, and who corrected it.")
    fields = found.setdefault(config, {}).setdefault(row_id, {})
    if field in fields:
        raise M3ITError(f"{place}: {field} of row {row_id!r} of {config} is corrected twice. Keep one of the lines.")
    fields[field] = (corrected, who)


def check_configs(corrections: Corrections, known: Callable[[], list[str]]) -> None:
    """M3ITError for a config that there is not, with the nearest; `known` is asked only if there are corrections."""
    names = known() if corrections else []
    for config in corrections:
        if config not in names:
            near = nearest(config, names, 0.6)
            hint = f" Did you mean {near!r}?" if near else ""
            raise M3ITError(f"corrections of {config!r}: there is no such config.{hint} Fix the column config.")


def unused(corrections: Corrections, config: str, row_ids: Iterable[str]) -> list[str]:
    """The row ids that are to be corrected in a config and that are not among its rows."""
    left: dict[str, Any] = dict(corrections.get(config, {}))
    for row_id in row_ids:
        left.pop(row_id, None)
    return list(left)

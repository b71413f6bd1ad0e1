"""Rows to leave out, by name: what `m3it leaks` and `m3it duplicates` write, and what every reader of rows honours.

A list is JSON Lines, an object for each row: config, split, id, reason. A line may also be an id and no more, which
means every row of this id, of any config and split.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from M3IT import M3ITError, dropped_rows
from m3it.work.folder import write_text

LISTED = "on the drop list"
FIELDS = ("config", "split", "id")

DropList = Mapping[str, Mapping[str, str]]  # "config/split", or "" for any -> row id -> reason


def read_drop_list(given: Iterable[str] | str | os.PathLike | DropList) -> DropList:
    """The rows to leave out: of ids, or of a file; M3ITError names the line that is not as expected."""
    if isinstance(given, Mapping):
        return given
    if not isinstance(given, (str, os.PathLike)):
        ids = dict.fromkeys(given, LISTED)
        return {"": ids} if ids else {}
    found: dict[str, dict[str, str]] = {}
    try:
        lines = Path(given).read_bytes().decode("utf-8-sig").split("\n")  # an id may hold another line separator
    except (OSError, UnicodeDecodeError) as error:
        raise M3ITError(f"{given}: expected a list of rows to leave out, in UTF-8: {error}") from error
    for number, line in enumerate(lines, 1):
        if text := line.strip(" \t\r"):
            place, row_id, reason = _parse(text, f"{given}:{number}")
            found.setdefault(place, {})[row_id] = reason
    return found


def _parse(text: str, where: str) -> tuple[str, str, str]:
    """(place, id, reason) of a line."""
    if not text.startswith("{"):
        return "", text, LISTED
    try:
        row = json.loads(text)
    except ValueError as error:
        raise M3ITError(f"{where}: expected a JSON object or a row id, {error}. Fix the line.") from error
    if missing := [name for name in FIELDS if not isinstance(row.get(name), str)]:
        raise M3ITError(f"{where}: expected a text in {missing[0]}, found {row.get(missing[0])!r}. Fix the line.")
    return f"{row['config']}/{row['split']}", row["id"], str(row.get("reason") or LISTED)


def strangers(drop_list: DropList, config: str, splits: Iterable[str], row_ids: Iterable[str]) -> list[str]:
    """The ids that the list names in these splits of a config, and that are not among its rows: those that an id alone
    names may be of any other config."""
    listed = {row_id for split in splits for row_id in drop_list.get(f"{config}/{split}", {})}
    return sorted(listed - set(row_ids))


def write_drop_list(path: Path | str, rows: Iterable[dict[str, str]]) -> None:
    """Write a list of rows: config, split, id, reason."""
    write_text(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))


__all__ = ["DropList", "dropped_rows", "read_drop_list", "strangers", "write_drop_list"]

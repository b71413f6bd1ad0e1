"""Rows that stand in a set more than once, within a split or across splits and sets.

In: prints.  Out: groups of rows of three kinds: the same row (pictures, question and answer), a conflict (pictures and
question the same, the answers not), the same text with other pictures. The first two rest on equal pixels.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from m3it.curating.known import Known
from m3it.reading.drop_list import write_drop_list
from m3it.work.folder import write_json

KINDS = {
    "row": "the same row twice",
    "conflict": "one picture and question, other answers",
    "text": "the same text, other pictures",
}
UNREAD = "(not shown: the row is no longer there, or another one has its id)"
SHOWN = 5  # conflicts that are printed with their answers

Group = list[int]  # numbers of rows


def duplicates(known: Known, groups: dict[str, list[Group]], out: Path | str) -> dict[str, Any]:
    """Write the groups that `find_groups` found into a folder: duplicates.json and drop.jsonl (of rows that stand there
    twice all but the first); returns what duplicates.json holds."""
    drops = list(_drops(known, groups["row"]))
    listed = _told_apart(known, groups["row"], drops)
    report: dict[str, Any] = {
        "counts": {kind: _counts(known, found) for kind, found in groups.items()},
        "rows_dropped": len(listed),
        "rows_not_listed": len(drops) - len(listed),
        "groups": {kind: [[known.row(row) for row in group] for group in found] for kind, found in groups.items()},
    }
    write_json(Path(out) / "duplicates.json", report)
    write_drop_list(Path(out) / "drop.jsonl", listed)
    return report


def find_groups(known: Known) -> dict[str, list[Group]]:
    """Kind -> groups of two rows or more, in the order of their first. A translation is no copy: its texts are its
    own."""
    pictures = _pictures_of_rows(known)
    by_row, by_question, by_text = (defaultdict[Any, Group](list) for _ in range(3))
    for row, (question, answer) in enumerate(zip(known.question.tolist(), known.answer.tolist(), strict=True)):
        by_row[pictures[row], question, answer].append(row)
        if question >= 0 and pictures[row]:
            by_question[pictures[row], question].append(row)
        by_text[question, answer].append(row)
    answers = known.answer
    return {
        "row": [group for group in by_row.values() if len(group) > 1],
        "conflict": [group for group in by_question.values() if len(set(answers[group].tolist())) > 1],
        "text": [group for group in by_text.values() if len({pictures[row] for row in group}) > 1],
    }


def _pictures_of_rows(known: Known) -> list[tuple[int, ...]]:
    """The codes of pixels of each row's pictures, in order."""
    ends = np.searchsorted(known.row_of, np.arange(len(known) + 1))
    codes = known.codes["pixels"].tolist()
    return [tuple(codes[start:stop]) for start, stop in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]


def _counts(known: Known, groups: list[Group]) -> dict[str, Any]:
    """How many groups and rows there are, and the groups by where their rows stand."""
    places = Counter(" + ".join(sorted(set(known.place[group].tolist()))) for group in groups)
    return {"groups": len(groups), "rows": sum(map(len, groups)), "places": dict(places.most_common())}


def _drops(known: Known, groups: list[Group]) -> Iterator[dict[str, str]]:
    for first, *others in groups:
        for row in others:
            yield {**known.row(row), "reason": f"the same row as one of {known.place[first]}"}


def _told_apart(known: Known, groups: list[Group], drops: list[dict[str, str]]) -> list[dict[str, str]]:
    """The drops without those whose name a row that stays has, too, as in a copy of the repository, or where an id
    stands twice: the list would drop both."""
    dropped = {row for _, *others in groups for row in others}
    names = {(drop["config"], drop["split"], drop["id"]) for drop in drops}
    columns = (known.table[name].to_pylist() for name in ("config", "split", "row_id"))
    kept = {name for row, name in enumerate(zip(*columns, strict=True)) if name in names and row not in dropped}
    return [drop for drop in drops if (drop["config"], drop["split"], drop["id"]) not in kept]


def duplicates_text(report: dict[str, Any]) -> str:
    """The counts as lines, a kind after the other."""
    lines = []
    for kind, counts in report["counts"].items():
        lines.append(f"{KINDS[kind]}: {counts['groups']:,} groups of {counts['rows']:,} rows")
        lines += [f"    {number:>7,}  {_shorter(place)}" for place, number in list(counts["places"].items())[:10]]
    if unlisted := report["rows_not_listed"]:
        lines.append(f"{unlisted:,} of the same rows are not on the drop list: a row that stays has the same name")
    return "\n".join(lines)


def _shorter(places: str) -> str:
    names = places.split(" + ")
    return " + ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def conflicts_text(known: Known, groups: list[Group]) -> str:
    """The first conflicts with their question and their answers, read from where the rows are, if they can be."""
    rows = known.fetch(number for group in groups[:SHOWN] for number in group)
    lines = []
    for group in groups[:SHOWN]:
        asked = next((repr(rows[number]["inputs"]) for number in group if number in rows), UNREAD)
        lines.append(f"  {asked:.100}")
        for number in group:
            row, answer = known.row(number), repr(rows[number]["outputs"]) if number in rows else UNREAD
            lines.append(f"    {row['config']}/{row['split']} {row['id']}: {answer:.80}")
    return "\n".join(lines)

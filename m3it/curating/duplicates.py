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
SHOWN = 5  # conflicts that are printed with their answers

Group = list[int]  # numbers of rows


def duplicates(known: Known, out: Path | str) -> dict[str, Any]:
    """Find the groups, and write duplicates.json and drop.jsonl (of rows that stand there twice all but the first) into
    a folder; returns what duplicates.json holds."""
    groups = find_groups(known)
    report: dict[str, Any] = {
        "counts": {kind: _counts(known, found) for kind, found in groups.items()},
        "groups": {kind: [[known.row(row) for row in group] for group in found] for kind, found in groups.items()},
    }
    write_json(Path(out) / "duplicates.json", report)
    write_drop_list(Path(out) / "drop.jsonl", _drops(known, groups["row"]))
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


def duplicates_text(report: dict[str, Any]) -> str:
    """The counts as lines, a kind after the other."""
    lines = []
    for kind, counts in report["counts"].items():
        lines.append(f"{KINDS[kind]}: {counts['groups']:,} groups of {counts['rows']:,} rows")
        lines += [f"    {number:>7,}  {_shorter(place)}" for place, number in list(counts["places"].items())[:10]]
    return "\n".join(lines)


def _shorter(places: str) -> str:
    names = places.split(" + ")
    return " + ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def conflicts_text(known: Known, groups: list[list[dict[str, str]]]) -> str:
    """The first conflicts with their question and their answers, read from where the rows are."""
    numbers = {tuple(known.row(number).values()): number for number in range(len(known))} if groups else {}
    wanted = [[numbers[tuple(row.values())] for row in group] for group in groups[:SHOWN]]
    rows = known.fetch(number for group in wanted for number in group)
    lines = []
    for group in wanted:
        lines.append(f"  {rows[group[0]]['inputs']!r:.100}")
        for number in group:
            row = known.row(number)
            lines.append(f"    {row['config']}/{row['split']} {row['id']}: {rows[number]['outputs']!r:.80}")
    return "\n".join(lines)

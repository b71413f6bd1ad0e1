"""Predictions as `m3it predict` wrote them, read back, and compared with the rows that they are of."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from M3IT import id_of
from m3it.catalogue import lookup
from m3it.reading.references import reference_fields
from m3it.rows.instance import M3ITError
from m3it.work.reasoning import REASONING_TAGS, without_reasoning

Row = dict[str, Any]  # a line of predictions.jsonl
Place = tuple[str, str]  # config, split
Key = tuple[str, str, str]  # config, split, row id
FIELDS = ("references", "choices", "group", "language")
NO_ANSWER = "the model's thoughts end without an answer: a larger --max-tokens may let it come"


class Kind(NamedTuple):
    """What a value of a file should be, in words, and whether it is."""

    words: str
    holds: Callable[[Any], bool]


def _each(kind: type, holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether a value is a list or a dict of values that hold."""

    def all_hold(value: Any) -> bool:
        parts: Any = value.values() if isinstance(value, dict) else value
        return isinstance(value, kind) and all(map(holds, parts))

    return all_hold


TEXT, OBJECT = Kind("a text", lambda value: isinstance(value, str)), Kind("an object", lambda v: isinstance(v, dict))
TEXTS, COUNTS = Kind("a list of texts", _each(list, TEXT.holds)), Kind("counts", _each(dict, lambda n: type(n) is int))
COUNTS_BY_NAME = Kind("counts by name", _each(dict, COUNTS.holds))
# What is read of a run.json, where it has it.
PARTS_OF_RUN = {
    **{"model": TEXT, "options": OBJECT, "num_rows": COUNTS, "fields": COUNTS_BY_NAME},
    **{"options.model": TEXT, "options.repo": TEXT, "options.reasoning_tags": TEXTS},
}
# What is read of a line: what each has (a failed row needs no prediction), and what some have.
PARTS_OF_LINE = {"id": TEXT, "config": TEXT, "split": TEXT, "references": TEXTS, "prediction": TEXT}
FURTHER_PARTS = {"prompt": TEXT, "error": TEXT, "choices": TEXTS, "group": TEXT, "language": TEXT}


class ScoreError(M3ITError):
    """Predictions that cannot be scored, or not against each other."""


class Run(NamedTuple):
    """The predictions of one model: rows by config and split; `num_rows`, what run.json says of them."""

    model: str
    rows: dict[Place, list[Row]]
    num_rows: dict[Place, int]


def read_runs(paths: Sequence[Path | str], reasoning_tags: Sequence[str] | None = None) -> list[Run]:
    """The runs in folders or files of predictions: those of one model are one, unless they hold the same configs."""
    runs: dict[str, Run] = {}
    for path in map(Path, paths):
        run = read_run(path, reasoning_tags)
        if run.model in runs and set(run.rows) & set(runs[run.model].rows):
            run = run._replace(model=f"{run.model} ({path})")
        if run.model in runs and set(run.rows) & set(runs[run.model].rows):
            raise ScoreError(f"{path}: named twice. Name each folder of predictions once.")
        known = runs.get(run.model, Run(run.model, {}, {}))
        runs[run.model] = Run(run.model, known.rows | run.rows, known.num_rows | run.num_rows)
    return list(runs.values())


def read_object(file: Path) -> dict[str, Any]:
    """What a JSON file as run.json holds; ScoreError where that is no object, or has parts of other kinds."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ScoreError(f"{file}: expected JSON, {error}. Make it again.") from error
    if not isinstance(found, dict):
        raise ScoreError(f"{file}: expected a JSON object, found {json.dumps(found)[:60]}. Make it again.")
    for name, kind in PARTS_OF_RUN.items():
        part: Any = found
        for key in name.split("."):
            part = (part or {}).get(key)
        if part is not None:
            _expect(part, kind, name, str(file), "Make it again.")
    return found


def _expect(value: Any, kind: Kind, name: str, where: str, advice: str) -> None:
    """ScoreError, with its place, for a value of another kind."""
    if not kind.holds(value):
        found = json.dumps(value, ensure_ascii=False)[:60]
        raise ScoreError(f"{where}: expected {name} to be {kind.words}, found {found}. {advice}")


def answer_in(text: str, reasoning_tags: Sequence[str] = REASONING_TAGS) -> str | None:
    """The prediction without the model's thoughts; None where they do not end, or nothing comes after them."""
    answer = without_reasoning(text, reasoning_tags)
    return None if answer is None or (text.strip() and not answer.strip()) else answer


def answered(row: Row, reasoning_tags: Sequence[str] = REASONING_TAGS) -> Row:
    """The line as it is scored: the answer alone as its prediction, or an error where the thoughts bring none."""
    if "prediction" not in row or row.get("error") not in (None, "", NO_ANSWER):
        return row
    answer = answer_in(row["prediction"], reasoning_tags)
    return {**row, "error": NO_ANSWER} if answer is None else {**row, "error": "", "prediction": answer}


def read_run(path: Path | str, reasoning_tags: Sequence[str] | None = None) -> Run:
    """The run in a folder, or of a file, of predictions; ScoreError where a line is not what `m3it predict` writes.

    Predictions are without the model's thoughts; `reasoning_tags`: their marks, by default those that `predict` was
    given, else reasoning.REASONING_TAGS."""
    path = Path(path)
    file = path / "predictions.jsonl" if path.is_dir() else path
    if not file.exists():
        raise ScoreError(f"{file}: there is no such file. Name a folder that m3it predict wrote.")
    if file.is_char_device():  # such as /dev/zero, which never ends
        raise ScoreError(f"{file}: expected a file, found a device. Name a folder that m3it predict wrote.")
    rows: dict[Place, dict[str, Row]] = defaultdict(dict)
    with open(file, "rb") as lines:
        for number, line in enumerate(lines, 1):
            row = parse_line(line, f"{file}: line {number}")
            place = row["config"], row["split"]
            if row["id"] in rows[place]:
                raise ScoreError(
                    f"{file}: line {number}: row {row['id']!r} of {'/'.join(place)} stands there already. "
                    "Predict again into an empty folder."
                )
            rows[place][row["id"]] = row
    if not rows:
        raise ScoreError(f"{file}: is empty. Run m3it predict again; its last lines say why no row was predicted.")
    told = file.parent / "run.json"
    run = read_object(told) if told.exists() else {}
    num_rows = {
        (name.rpartition("/")[0], name.rpartition("/")[2]): n for name, n in (run.get("num_rows") or {}).items()
    }
    for place in rows if num_rows else ():
        if place not in num_rows:
            raise ScoreError(
                f"{file}: holds rows of {'/'.join(place)}, but run.json beside it is of a run on "
                f"{', '.join(map('/'.join, num_rows))}. Keep the predictions of each run in a folder of their own."
            )
    options = run.get("options") or {}
    tags = options.get("reasoning_tags") or REASONING_TAGS if reasoning_tags is None else reasoning_tags
    model = run.get("model") or options.get("model") or file.parent.name or str(file)
    _check_fields(file, rows, run.get("fields") or {})
    found = {place: [answered(row, tags) for row in by_id.values()] for place, by_id in rows.items()}
    return Run(model, found, num_rows)


def count_fields(rows: Iterable[Row]) -> dict[str, int]:
    """How many lines have which of the fields that their references are read by."""
    return dict(Counter(name for row in rows for name in FIELDS if name in row))


def _check_fields(file: Path, rows: dict[Place, dict[str, Row]], written: dict[str, dict[str, int]]) -> None:
    """ScoreError where lines have lost a field with which they would be scored in another way. `written`: how many
    lines `predict` wrote it into; lines that are missing as a whole are counted elsewhere."""
    for place, by_id in rows.items():
        there, before = count_fields(by_id.values()), written.get("/".join(place), {})
        num_gone = before.get("references", 0) - len(by_id)
        lost = [name for name in before if there.get(name, 0) < before[name] - max(0, num_gone)]
        lettered = [row["id"] for row in by_id.values() if not before and _needs_choices(row)]
        if lost or lettered:
            what = f"{lost[0]}, which m3it predict wrote" if lost else f"choices, the options of row {lettered[0]!r}"
            raise ScoreError(
                f"{file}: lines of {'/'.join(place)} are missing {what}: they would be scored in another way. "
                "Predict again, or score the file as it was written."
            )


def _needs_choices(row: Row) -> bool:
    """Whether the reference is a letter, and nothing says of which options."""
    dataset = lookup(row["config"]).dataset
    lettered = dataset is not None and dataset.metric == "accuracy" and "choices" not in row and row["references"]
    return bool(lettered and re.match(r"\([A-Z]\)", str(row["references"][0])))


def parse_line(line: bytes, where: str) -> Row:
    """One line of predictions.jsonl; ScoreError, with its place, for another value."""
    again = "Run m3it predict again: it goes on there."
    return check_line(parse_object(line, where, again), where, again)


def parse_object(line: bytes, where: str, again: str) -> Row:
    """A JSON object; ScoreError, with its place and what to do, for another value, and for half a character, which no
    file can hold."""
    try:
        row = json.loads(line.decode())
        if b"\\u" in line:
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ScoreError(f"{where}: expected text, found half a character (a lone surrogate). {again}") from error
    except (ValueError, RecursionError) as error:
        raise ScoreError(f"{where}: expected a JSON object, {error}. {again}") from error
    if not isinstance(row, dict):
        raise ScoreError(f"{where}: expected a JSON object, found {json.dumps(row)[:60]}. {again}")
    return row


def check_line(row: Row, where: str, again: str) -> Row:
    """The line, where its parts are what a line of predictions.jsonl has; else ScoreError."""
    for name, kind in (PARTS_OF_LINE | FURTHER_PARTS).items():
        may_miss = name in FURTHER_PARTS or (name == "prediction" and row.get("error"))
        if row.get(name) is not None or not may_miss:
            _expect(row.get(name), kind, name, where, again)
    return row


def check_references(run: Run, repo: str) -> Run:
    """The run with the number of rows that the repository holds; ScoreError where its rows are not those predicted."""
    from m3it.reading.load import load_builder

    num_rows = dict(run.num_rows)
    for (config, split), rows in run.rows.items():
        builder = load_builder(repo, config, meta=True)
        if split not in builder.shards(config):
            raise ScoreError(f"{repo} holds no {config}/{split}. Pass as --repo what the predictions were made from.")
        now = {id_of(row): reference_fields(config, row)["references"] for row in builder.rows(split)}
        unknown = [row["id"] for row in rows if row["id"] not in now]
        changed = [row["id"] for row in rows if row["id"] in now and row["references"] != now[row["id"]]]
        for ids, what in ((unknown, "are not in it"), (changed, "have other references there")):
            if ids:
                raise ScoreError(
                    f"{repo}, {config}/{split}: {len(ids)} of {len(rows)} predicted rows {what}, the first is "
                    f"{ids[0]!r}. Predict again, or pass as --repo what the predictions were made from."
                )
        num_rows[config, split] = num_rows.get((config, split), len(now))
    return run._replace(num_rows=num_rows)


def pool_captions(runs: Iterable[Run]) -> list[Run]:
    """The runs, the captions of one image with all references of that image that any of the runs holds: a model has
    one score, whether alone or next to another one that predicted fewer rows."""
    runs = list(runs)
    own = {
        (place, row["id"]): row for run in runs for place, rows in run.rows.items() for row in rows if row.get("group")
    }
    pools: dict[tuple[Place, str], list[str]] = defaultdict(list)
    for (place, _), row in own.items():
        pools[place, row["group"]] += row["references"]
    return [
        run._replace(
            rows={
                place: [{**row, "pooled": pools[place, row["group"]]} if row.get("group") else row for row in rows]
                for place, rows in run.rows.items()
            }
        )
        for run in runs
    ]


def usable(rows: Iterable[Row]) -> list[Row]:
    """The rows that can be scored, captions of one image with all references of that image: those that
    `pool_captions` found, else those of the rows given."""
    rows = list(rows)
    of_group: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        of_group[row.get("group", "")] += row["references"]
    kept = [row for row in rows if not row.get("error") and any(reference.strip() for reference in row["references"])]
    return [
        {**row, "references": row.get("pooled") or of_group[row["group"]]} if row.get("group") else row for row in kept
    ]

"""Logs of other people's harnesses, which ran the files of tasks.py, read back as predictions.

In: what `lmms_eval --log_samples` and `inspect eval --log-format json` leave.  Out: a folder as `m3it predict` leaves
it, so that score, judge and report go on from there. Nothing is guessed: a line that is not whole, and a row that is
missing or of another config, end in a ScoreError.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3it.evaluating.row_scores import own_metrics
from m3it.evaluating.runs import Row, ScoreError, check_line, count_fields, parse_object, read_object
from m3it.work.folder import write_json, write_text
from m3it.work.runner import versions

AGAIN = "Run the harness again."


class Log(NamedTuple):
    """One task of one run: the lines of its rows, the model, how many rows the split has, and where they are from."""

    file: Path
    lines: list[Row]
    model: str
    num_rows: int
    repo: str = ""

    @property
    def place(self) -> str:
        return f"{self.lines[0]['config']}/{self.lines[0]['split']}"


def import_logs(harness: str, paths: Sequence[Path | str], out: Path | str) -> Path:
    """Write the predictions that logs hold, and run.json, into `out`, and return it; ScoreError where the logs are not
    those of one model, each task once, or where `out` holds other predictions."""
    folder = Path(out)
    logs = [log for path in paths for log in READERS[harness](Path(path))]
    by_place = {log.place: log for log in logs}
    if not logs:
        told = "--log_samples --output_path" if harness == "lmms-eval" else "--log-format json --log-dir"
        raise ScoreError(
            f"{paths[0]}: holds no log of a task of m3it. Run {harness} with {told}, and name that folder."
        )
    if other := [log for log in logs if log.model != logs[0].model]:
        raise ScoreError(
            f"{other[0].file}: is of {other[0].model}, {logs[0].file} of {logs[0].model}. Name the logs of one model; "
            "m3it score A B compares two folders that were made so."
        )
    if twice := [log for log in logs if by_place[log.place] is not log]:
        place = twice[0].place
        raise ScoreError(f"{by_place[place].file}: {place} is in {twice[0].file}, too. Name the logs of one run.")
    options: dict[str, Any] = {"model": logs[0].model, "logs": [str(log.file) for log in logs]}
    options |= {"repo": logs[0].repo} if {log.repo for log in logs} == {logs[0].repo} and logs[0].repo else {}
    run = {"command": f"score --from {harness}", "options": options, "versions": versions()}
    run["num_rows"] = {place: log.num_rows for place, log in by_place.items()}
    run["num_failed"] = {place: sum("error" in line for line in log.lines) for place, log in by_place.items()}
    run["fields"] = {place: count_fields(log.lines) for place, log in by_place.items()}
    if (folder / "predictions.jsonl").exists():
        before = read_object(folder / "run.json") if (folder / "run.json").exists() else {}
        if before.get("options") != options:
            raise ScoreError(f"{folder}: holds the predictions of another run. Pass another folder as --out.")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "run.json", run)
    lines = (json.dumps(line, ensure_ascii=False) + "\n" for log in logs for line in log.lines)
    write_text(folder / "predictions.jsonl", "".join(lines))
    return folder


def _part(found: Any, kind: type, where: Path, *keys: str) -> Any:
    """What stands under the keys, one below the other; ScoreError where that is of another kind."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, kind):
        raise ScoreError(f"{where}: expected {'.'.join(keys)}, found {json.dumps(found)[:60]}. {AGAIN}")
    return found


def _line(row: Any, config: str, split: str, where: str) -> Row:
    """The line of a row, whole and of this config and split; else ScoreError."""
    if not isinstance(row, dict):
        raise ScoreError(
            f"{where}: holds no row of m3it. Run the files of m3it tasks as they are, and score in the run."
        )
    line = {"id": row.get("id"), "config": row.get("config"), "split": split, **row}
    check_line(line, where, AGAIN)
    if (line["config"], line["split"]) != (config, split):
        raise ScoreError(
            f"{where}: row {line['id']!r} is of {line['config']}/{line['split']}, expected {config}/{split}. {AGAIN}"
        )
    return line


def _whole(lines: list[Row], num_asked: int, file: Path) -> list[Row]:
    """The lines, where they are all rows that were asked, each once; else ScoreError."""
    seen: set[str] = set()
    for line in lines:
        if line["id"] in seen:
            raise ScoreError(f"{file}: row {line['id']!r} stands there twice. {AGAIN}")
        seen.add(line["id"])
    if len(lines) != num_asked or not lines:
        raise ScoreError(f"{file}: holds {len(lines):,} of the {num_asked:,} rows that were asked. {AGAIN}")
    return lines


def _lmms_eval(path: Path) -> Iterator[Log]:
    """The logs in a file, or in a folder, of lmms-eval: <date>_samples_<task>.jsonl, and <date>_results.json beside."""
    for file in [path] if path.is_file() else sorted(path.rglob("*_samples_m3it_*.jsonl")):
        date, _, task = file.stem.partition("_samples_")
        beside = file.with_name(f"{date}_results.json")
        if not beside.exists():
            raise ScoreError(f"{file}: expected {beside.name} beside it, which says what was asked. {AGAIN}")
        run, config = read_object(beside), task.removeprefix("m3it_")
        split = _part(run, str, beside, "configs", task, "test_split")
        num_rows = _part(run, int, beside, "n-samples", task, "original")
        num_asked = _part(run, int, beside, "n-samples", task, "effective")
        started = {"offset": 0} | _part(run, dict, beside, "config")  # older ones have no offset
        offset = _part({"config": started}, int, beside, "config", "offset")
        with open(file, "rb") as texts:
            places = ((text, f"{file}: line {number}") for number, text in enumerate(texts, 1))
            samples = [(parse_object(text, where, AGAIN), where) for text, where in places]
        lines = [_line(sample.get(own_metrics(config)[0]), config, split, where) for sample, where in samples]
        model = run.get("model_name") or _part(run, str, beside, "config", "model")
        repo = _part(run, str, beside, "configs", task, "dataset_path")
        yield Log(file, _whole(lines, min(num_asked, num_rows - offset), file), model, num_rows, repo)


def _inspect(path: Path) -> Iterator[Log]:
    """The logs in a file, or in a folder, of inspect_ai, as JSON."""
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    if packed := [file for file in files if file.suffix == ".eval"]:
        raise ScoreError(f"{packed[0]}: is packed. Run: inspect log convert {path} --to json --output-dir DIR")
    for file in (file for file in files if file.suffix == ".json"):
        run = parse_object(file.read_bytes(), str(file), AGAIN)
        about = run.get("eval")  # other JSON files may lie in the folder
        if path.is_dir() and not (isinstance(about, dict) and str(about.get("task")).startswith("m3it_")):
            continue
        config = _part(run, str, file, "eval", "task").removeprefix("m3it_")
        split = _part(run, str, file, "eval", "task_args", "split")
        num_rows = _part(run, int, file, "eval", "dataset", "samples")
        lines = []
        for sample in _part(run, list, file, "samples"):
            where = f"{file}: sample {sample.get('id')!r}" if isinstance(sample, dict) else str(file)
            lines.append(_line(_answer_of(sample), config, split, where))
        yield Log(file, _whole(lines, num_rows, file), _part(run, str, file, "eval", "model"), num_rows)


def _answer_of(sample: Any) -> Any:
    """The row of a sample of inspect_ai with its answer, or with the error that it ended in."""
    if isinstance(sample, dict) and sample.get("error"):
        message = sample["error"].get("message") if isinstance(sample["error"], dict) else sample["error"]
        row = sample.get("metadata")
        return {**row, "error": str(message)} if isinstance(row, dict) else None
    for key in ("scores", "m3it", "metadata"):
        sample = sample.get(key) if isinstance(sample, dict) else None
    return sample


READERS = {"lmms-eval": _lmms_eval, "inspect": _inspect}

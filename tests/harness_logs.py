"""What lmms-eval 0.7.3 does with our task files, without it: its calls of utils.py, and the logs that it leaves."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from datasets import load_dataset


class Loader(yaml.SafeLoader):
    """Reads !function as the name of the function."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def read_task(tasks: Path, config: str) -> dict[str, Any]:
    """The task of a config, over its template."""
    task = yaml.load((tasks / f"m3it_{config}.yaml").read_text("utf-8"), Loader)
    return {**yaml.load((tasks / task.pop("include")).read_text("utf-8"), Loader), **task}


def functions_of(tasks: Path) -> Any:
    """The module utils.py."""
    spec = importlib.util.spec_from_file_location("utils", tasks / "utils.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_task(
    tasks: Path, config: str, answer: Callable[[int, list[str]], str], logs: Path, limit: int | None = None
) -> dict[str, float]:
    """Ask the rows of a task; `answer` gets a row's number and its references. Returns the scores by metric."""
    task, utils = read_task(tasks, config), functions_of(tasks)
    call = {key: getattr(utils, name.removeprefix("utils.")) for key, name in task.items() if "utils." in str(name)[:6]}
    rows = load_dataset(task["dataset_path"], task["dataset_name"], split=task["test_split"])
    samples = []
    for number, row in enumerate(rows.remove_columns("images").select(range(limit or len(rows)))):
        said = answer(number, call["doc_to_target"](row))
        measured = call["process_results"](row, [said.strip()])
        told = {"doc_id": number, "target": str(call["doc_to_target"](row)), "input": call["doc_to_text"](row)}
        samples.append({**told, "filtered_resps": said, **measured})
    scores = {
        entry["metric"]: getattr(utils, entry["aggregation"].removeprefix("utils."))(
            [sample[entry["metric"]] for sample in samples]
        )
        for entry in task["metric_list"]
    }
    write_log(logs, config, samples, task, len(rows))
    return scores


def write_log(logs: Path, config: str, samples: list[dict], task: dict[str, Any], num_rows: int) -> None:
    """<date>_samples_<task>.jsonl, and <date>_results.json beside it, which has all tasks of the run."""
    logs.mkdir(parents=True, exist_ok=True)
    name, file = f"m3it_{config}", logs / "20261128_120000_results.json"
    lines = "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)
    (logs / f"20261128_120000_samples_{name}.jsonl").write_text(lines, "utf-8")
    run = json.loads(file.read_text("utf-8")) if file.exists() else {"configs": {}, "n-samples": {}}
    run["configs"][name] = {"test_split": task["test_split"], "dataset_path": task["dataset_path"]}
    run["n-samples"][name] = {"original": num_rows, "effective": len(samples)}
    file.write_text(json.dumps({**run, "model_name": "small", "config": {"model": "llava_hf", "offset": 0}}), "utf-8")

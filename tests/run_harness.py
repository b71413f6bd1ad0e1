"""Other people's harnesses on our task files: `nox -s harnesses` runs this with each of them.

`python tests/run_harness.py lmms-eval|inspect`: releases some sets of the sample, writes their tasks, lets the real
harness ask a server that knows half of the answers (lmms-eval also a small LLaVA), and compares its numbers with what
`m3it score` says of its logs.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from chat_server import ChatServer, words_of

from m3it.evaluating.logs import import_logs
from m3it.evaluating.predict import read_questions
from m3it.evaluating.score import score
from m3it.evaluating.tasks import write_tasks
from m3it.publishing.release import release

ROOT = Path(__file__).parents[1]
CONFIGS = ["viquae", "docvqa", "okvqa", "nlvr", "multi30k"]  # F1, ANLS, VQA accuracy, accuracy, BLEU
TOLD = {"OPENAI_API_KEY": "none", "FAKE_API_KEY": "none", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


def answers_to(repo: str) -> dict[str, str]:
    """Prompt -> the last reference, of every second row with a mistake in it."""
    table: dict[str, str] = {}
    for config in CONFIGS:
        for number, question in enumerate(read_questions(repo, config)):
            said = question.tail["references"][-1]
            table[question.head["prompt"]] = f"not {said} indeed" if number % 2 else said
    return table


def run(*command: str) -> None:
    """Run a command; CalledProcessError where it fails."""
    subprocess.run([str(part) for part in command], check=True, env={**os.environ, **TOLD})


def run_lmms_eval(tasks: Path, logs: Path, *model: str) -> dict[str, dict[str, float]]:
    """The numbers of lmms-eval, by task and metric."""
    asked = ["--include_path", tasks, "--tasks", ",".join(f"m3it_{config}" for config in CONFIGS)]
    run(sys.executable, "-m", "lmms_eval", *model, *asked, "--log_samples", "--output_path", logs, "--batch_size", "1")
    (file,) = logs.rglob("*_results.json")
    found = json.loads(file.read_text("utf-8"))["results"]
    return {task: {name.removesuffix(",none"): value for name, value in found[task].items()} for task in found}


def run_inspect(tasks: Path, logs: Path, url: str) -> dict[str, dict[str, float]]:
    """The numbers of inspect_ai, by task and metric."""
    asked = [f"{tasks}/m3it_tasks.py@m3it_{config}" for config in CONFIGS]
    model = ["--model", "openai-api/fake/half-right", "--model-base-url", url]
    run("inspect", "eval", *asked, *model, "--log-format", "json", "--log-dir", logs, "--display", "none")
    found = [json.loads(file.read_text("utf-8")) for file in logs.glob("*.json")]
    return {
        log["eval"]["task"]: {name: told["value"] for name, told in log["results"]["scores"][0]["metrics"].items()}
        for log in found
    }


def compare(harness: str, numbers: dict[str, dict[str, float]], logs: Path, out: Path, repo: str) -> None:
    """Compare with `m3it score`; ends with a traceback where a number differs."""
    scores = score([import_logs(harness, [logs], out)], out, repo=repo)
    lines = scores["models"][0]["datasets"]
    assert len(lines) == len(CONFIGS)
    for line in lines:
        for metric, told in line["scores"].items():
            other = numbers[f"m3it_{line['config']}"][metric]
            assert abs(told["score"] - other) < 1e-6, (line["config"], metric, told, other)
        print(f"{harness}: {line['config']}, {line['num_rows']} rows, the same {', '.join(line['scores'])}")


def main(harness: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repo = str(folder / "release")
        release(str(ROOT), repo, CONFIGS)
        write_tasks(harness, folder / "tasks", repo=repo)
        table = answers_to(repo)
        with ChatServer(lambda request: table[words_of(request["messages"][-1]).strip()]) as server:
            if harness == "inspect":
                numbers = run_inspect(folder / "tasks", folder / "logs", server.url)
            else:
                model = ["--model", "openai", "--model_args", f"model=half-right,base_url={server.url}"]
                numbers = run_lmms_eval(folder / "tasks", folder / "logs", *model)
        assert len(server.asked) == sum(1 for config in CONFIGS for _ in read_questions(repo, config))
        compare(harness, numbers, folder / "logs", folder / "out", repo)
        if harness == "lmms-eval":
            from small_models import small

            for part in small("llava"):
                part.save_pretrained(folder / "llava")
            model = ["--model", "llava_hf", "--device", "cpu", "--gen_kwargs", "max_new_tokens=12"]
            model += ["--model_args", f"pretrained={folder}/llava,device_map=cpu"]
            numbers = run_lmms_eval(folder / "tasks", folder / "small", *model)
            compare(harness, numbers, folder / "small", folder / "small-out", repo)


if __name__ == "__main__":
    main(sys.argv[1])

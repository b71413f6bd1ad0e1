"""Task files for other people's harnesses: the same prompts, references and metrics as `m3it predict` and `m3it score`.

In: the catalogue, or a release.  Out: for lmms-eval a YAML file for each config and each group, one template and one
utils.py; for inspect_ai one Python file with a task for each dataset. Same input, same bytes.
"""

import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from M3IT import CATALOGUE, Repository, find_shards, twin_of
from m3it.catalogue import catalogue_order, lookup
from m3it.evaluating.predict import published_splits
from m3it.evaluating.row_scores import own_metrics
from m3it.evaluating.score import groups_of
from m3it.rows.instance import M3ITError
from m3it.work.folder import absolute, write_text

OFFICIAL = "MMInstruction/M3IT"
HARNESSES = ("lmms-eval", "inspect")
COLUMNS = {"images", "row_id", "dataset", "language", "meta"}  # columns of a release that a task reads


class HarnessTask(NamedTuple):
    """A config to ask a model, the config of the release that has its rows with pictures, and the split."""

    config: str
    pictures: str
    split: str

    @property
    def name(self) -> str:
        return f"m3it_{self.config}"

    @property
    def function(self) -> str:
        """The name as Python allows it."""
        return re.sub(r"\W", "_", self.name)

    @property
    def groups(self) -> list[str]:
        """The groups of `m3it score`, as names of tasks: m3it, m3it_held_out, m3it_vqa, m3it_language_zh."""
        plain = (group.lower().replace("-", "_").replace(" ", "_") for group in groups_of(self.config))
        return ["m3it" if group == "all" else f"m3it_{group}" for group in plain]


def published_tasks(configs: Iterable[str] | None = None) -> list[HarnessTask]:
    """A task for each of the catalogue's 40 datasets, or for the configs named; M3ITError for one that there is not."""
    names = list(configs or CATALOGUE)
    if unknown := [name for name in names if lookup(name).dataset is None]:
        raise M3ITError(f"{unknown[0]}: is no config of M3IT. For one of your own, name its release as --repo.")
    return [HarnessTask(name, f"{name}-images", published_splits(name)[0]) for name in names]


def held_tasks(repo: str, configs: Iterable[str] | None = None, columns: Collection[str] = ()) -> list[HarnessTask]:
    """A task for each config that a repository holds a test or validation split of, or for those named; M3ITError where
    there is none such, or where its files lack one of the columns."""
    repository = Repository(repo)
    found = find_shards(repository)
    twins = {name: twin_of(repository, found, name) for name in found}
    own = {name for name in found if name not in {twin for of, twin in twins.items() if twin != of}}
    names = list(configs or sorted(own, key=catalogue_order))
    if unknown := [name for name in names if name not in own]:
        raise M3ITError(f"{repo}: holds no {unknown[0]}. It holds {', '.join(sorted(own)) or 'no rows'}.")
    tasks = []
    for name in names:
        splits = [split for split in published_splits(name) if split in found[twins[name]]]
        if not splits and configs:
            raise M3ITError(f"{repo}: has no {' or '.join(published_splits(name))} split of {name} to ask a model.")
        if splits:
            _check_columns(repository, found[twins[name]][splits[0]][0][0], columns)
            tasks.append(HarnessTask(name, twins[name], splits[0]))
    if not tasks:
        raise M3ITError(f"{repo}: holds no test or validation split to ask a model.")
    return tasks


def _check_columns(repository: Repository, path: str, columns: Collection[str]) -> None:
    """M3ITError where a file lacks one of the columns."""
    lacks = set(columns) - set(repository.columns(path) if path.endswith(".parquet") else ())
    if lacks:
        raise M3ITError(
            f"{repository.path}/{path}: has no column {min(lacks)}: these tasks read releases with pictures. Make one: "
            f"m3it release {repository.path} --out DIR"
        )


def write_tasks(
    harness: str, out: Path | str, *, repo: str | None = None, configs: Iterable[str] | None = None
) -> list[HarnessTask]:
    """Write the task files for one of HARNESSES into `out`; returns what they ask. `repo`: the release that the tasks
    load, a folder or a Hub id."""
    columns = COLUMNS if harness == "lmms-eval" else ()
    tasks = published_tasks(configs) if repo is None else held_tasks(repo, configs, columns)
    place = OFFICIAL if repo is None else absolute(repo) if Path(repo).is_dir() else repo
    files = lmms_eval_files(tasks, place) if harness == "lmms-eval" else {"m3it_tasks.py": inspect_file(tasks, place)}
    found = {path.name for pattern in ("m3it_*.yaml", "group_*.yaml") for path in Path(out).glob(pattern)}
    if left := sorted(found - files.keys()):
        raise M3ITError(
            f"{out}: {left[0]} is of another call, and a harness would run it, too. Delete it, or pass another --out."
        )
    for name, text in files.items():
        write_text(Path(out) / name, text)
    return tasks


def how_to_run(harness: str, out: Path | str, tasks: list[HarnessTask]) -> str:
    """What was written, and the commands to go on with."""
    groups = dict.fromkeys(group for task in tasks for group in task.groups)
    told = f"{len(tasks)} tasks, from {tasks[0].name} to {tasks[-1].name}"
    if harness == "inspect":
        run = f"inspect eval {out}/m3it_tasks.py@{tasks[0].name} --model MODEL --log-format json --log-dir logs"
    else:
        told += f", and {len(groups)} groups: {', '.join(groups)}"
        run = f"lmms_eval --include_path {out} --tasks {tasks[0].name} --model MODEL --log_samples --output_path logs"
    return f"{told}\n{run}\nm3it score --from {harness} logs --out eval/MODEL"


# ---- lmms-eval

TEMPLATE = """\
# What all tasks beside this file have in common: the rows of a release, our prompt, our references.
dataset_path: {repo}
output_type: generate_until
doc_to_visual: !function utils.pictures_of
doc_to_text: !function utils.prompt_of
doc_to_target: !function utils.references_of
process_results: !function utils.process_results
generation_kwargs: {{max_new_tokens: 256, temperature: 0, do_sample: false, until: []}}
"""

TASK = """\
include: _template
task: {name}
dataset_name: {pictures}
test_split: {split}
metric_list:
"""
METRIC = "- {{metric: {metric}, aggregation: !function utils.{metric}, higher_is_better: true}}\n"

GROUP = """\
group: {group}
task:
{members}aggregate_metric_list:
"""
GROUP_METRIC = "- {{metric: {metric}, aggregation: mean, weight_by_size: false}}\n"

UTILS = '''\
"""What the tasks of this folder share; all of it is m3it's own. The numbers are those of `m3it score`, in points."""

from functools import partial

from m3it.evaluating.harness import as_line, own_metrics, pictures_of, prompt_of, references_of, total

{totals}

def process_results(row, results):
    line = as_line(row, results[0])  # it stays in the log, for `m3it score --from lmms-eval`
    return dict.fromkeys(own_metrics(line["config"]), line)
'''


def lmms_eval_files(tasks: list[HarnessTask], repo: str) -> dict[str, str]:
    """The files for lmms-eval, by name. The score of a group is the mean over its configs, as m3it score's macro."""
    metrics = {task.name: own_metrics(task.config) for task in tasks}
    used = dict.fromkeys(metric for names in metrics.values() for metric in names)
    totals = "".join(f'{metric} = partial(total, "{metric}")\n' for metric in sorted(used))
    files = {"_template": TEMPLATE.format(repo=quoted(repo)), "utils.py": UTILS.format(totals=totals)}
    for task in tasks:
        lines = "".join(METRIC.format(metric=metric) for metric in metrics[task.name])
        name, pictures = quoted(task.name), quoted(task.pictures)
        files[f"{task.name}.yaml"] = TASK.format(name=name, pictures=pictures, split=task.split) + lines
    for group in dict.fromkeys(group for task in tasks for group in task.groups):
        inside = [task.name for task in tasks if group in task.groups]
        lines = "".join(
            GROUP_METRIC.format(metric=metric) for metric in dict.fromkeys(m for name in inside for m in metrics[name])
        )
        members = "".join(f"- {quoted(name)}\n" for name in inside)
        files[f"group_{group}.yaml"] = GROUP.format(group=group, members=members) + lines
    return files


def quoted(text: str) -> str:
    """A text as YAML reads it back, whatever is in it: a number, a #, a colon."""
    return json.dumps(text, ensure_ascii=False)


# ---- inspect_ai

INSPECT = '''\
"""M3IT for inspect_ai, a task for each config; prompts, references and metrics are m3it's own.

inspect list tasks m3it_tasks.py -F group=video
inspect eval m3it_tasks.py@m3it_viquae --model openai/gpt-4o --log-format json
m3it score --from inspect logs --out eval/gpt-4o
"""

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, GenerateConfig
from inspect_ai.scorer import SampleScore, Score, metric, scorer
from m3it.evaluating.harness import own_metrics, row_score, total, with_answer
from m3it.evaluating.predict import read_questions
from m3it.work.chat import picture_uri

REPO = {repo!r}


def rows_of(config, split):
    """The rows as samples: their pictures in order, then the text, as m3it predict sends them."""
    for question in read_questions(REPO, config, split):
        row_id, text, told = question.head["id"], question.head["prompt"], {{**question.head, **question.tail}}
        pictures = [ContentImage(image=picture_uri(image, row_id)) for image in question.images]
        asked = [ChatMessageUser(content=[*pictures, ContentText(text=text)])]
        yield Sample(asked, question.tail["references"], id=row_id, metadata=told)


def points(name):
    """One of m3it's metrics, over all rows."""

    @metric(name=name)
    def of_rows():
        def compute(scores: list[SampleScore]) -> float:
            return total(name, [one.score.metadata for one in scores])

        return compute

    return of_rows()


def ask(config, split):
    @scorer(metrics=[points(name) for name in own_metrics(config)])
    def m3it():
        async def score(state, target):
            line = with_answer(state.metadata, state.output.completion.strip())
            return Score(value=row_score(line), answer=line["prediction"], metadata=line)

        return score

    greedy = GenerateConfig(temperature=0, max_tokens=256)
    return Task(MemoryDataset(list(rows_of(config, split)), name=config), scorer=m3it(), config=greedy)
'''
INSPECT_TASK = """

@task(name={name!r}, group={group!r}, held_out={held_out})
def {function}(split={split!r}):
    return ask({config!r}, split)
"""


def inspect_file(tasks: list[HarnessTask], repo: str) -> str:
    """The file for inspect_ai; M3ITError where two tasks would be one function."""
    configs = {task.function: task.config for task in tasks}
    if hidden := [task for task in tasks if configs[task.function] != task.config]:
        told = f"{hidden[0].config} and {configs[hidden[0].function]} are both {hidden[0].function} in Python"
        raise M3ITError(f"{repo}: {told}. Name one of them as --config, or rename its folder.")
    text = INSPECT.format(repo=repo)
    for task in tasks:
        *_, group = task.groups
        text += INSPECT_TASK.format(
            name=task.name,
            group=group.removeprefix("m3it_"),
            held_out="m3it_held_out" in task.groups,
            function=task.function,
            split=task.split,
            config=task.config,
        )
    return text

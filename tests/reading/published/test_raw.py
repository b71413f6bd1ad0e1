"""The published repositories load again: raw rows, the converted branch, M3IT-80, and what is known to be broken there.

Expected rows are written by hand from the raw rows of tests/legacy_maker.py; tests/legacy_script.py, a script of the
old kind, must agree with them under a `datasets` that still runs scripts. `nox -s matrix` runs this file under each
version of `datasets` that we promise.
"""

import base64
import itertools
import json
import os
import random
import shutil
import subprocess
import sys

import datasets
import fsspec
import legacy_maker
import pytest
from conftest import ROOT, picture
from legacy_maker import FRAMES, OLDER, ROWS, TRANSLATED, instructions_of, p, served, spoil, write_lines
from legacy_script import _TASKS, _URLS
from packaging.version import Version

import M3IT as module
from M3IT import M3ITError, Repository, ShardError
from m3it.reading.layouts import KINDS, layout, survey
from m3it.reading.load import count_drops, load_builder, load_dataset
from m3it.reading.published import joined as legacy80
from m3it.reading.published import mappings as legacy_mappings
from m3it.reading.published import raw as legacy
from m3it.reading.published.fields import as_images, parse_quickly
from m3it.reading.published.files import strangers
from m3it.reading.published.mappings import draw, lettered
from m3it.reading.published.table import TABLE

VERSION = Version(datasets.__version__)
SIX = (
    "coco",
    "viquae",
    "imagenet",
    "vist",
    "mmchat",
    "snli-ve-rephrased",
)  # five rows a line, v2, options, five pictures, ...
SIX_80 = ("imagenet-zh", "okvqa-zh", "okvqa-he", "vist-zh", "winoground-he", "msrvtt-qa-zh")


def listed(*options):
    """The options as lines with letters."""
    return "".join(f"({letter}) {option}\n" for letter, option in zip("ABCDEFGHIJK", options, strict=False))


FISH = ("tench, Tinca tinca", "goldfish", "great white shark")
BIRDS = ("stingray", "cock", "hen", "ostrich", "brambling", "house finch")
DOING = ("Hitting something", "Holding something", "Lifting something", "Moving something up", "Moving something down")
FOLD = ("Folding something", "Bending something", "Closing something", "Digging something", *DOING)
LEFT = ("Moving something left, then right", "Bending something", "Closing something", "Digging something")
OPTIONS = "\nOptions:\n(A) True\n(B) False"
ONE, TWO = [p(0)], [p(1)]
# config -> (inputs, pictures, outputs) of its raw rows A and B, every choice by hash being the first; verified first
EXPECTED = {
    "coco": [
        ("", ONE, ["A dog runs.", "A brown dog.", "Dog on grass.", "The dog plays.", "One dog."]),
        ("", TWO, ["A cat.", "A black cat.", "Cat asleep.", "The cat rests.", "One cat."]),
    ],
    "coco-cn": [("", ONE, "一只狗在跑"), ("", TWO, "两只猫")],
    "msrvtt": [("", FRAMES, "a man cooks"), ("", FRAMES[::-1], "a car drives")],
    "coco-goi": [
        ("Options:\n(A) cat\n(B) dog\n(C) bird", ONE, "(B) dog."),
        ("Options:\n(A) cup\n(B) bowl\n(C) fork", TWO, "(C) fork."),
    ],
    "imagenet": [
        (listed("hammerhead", *FISH, *BIRDS), ONE, "(A) hammerhead"),
        (listed(*FISH, "hammerhead", *BIRDS), TWO, "(A) tench, Tinca tinca"),
    ],
    "winoground": [
        (
            "(A) an old person kisses a young one (B) a young person kisses an old one",
            ONE,
            "an old person kisses a young one",
        ),
        ("(A) x on y (B) y on x", TWO, "y on x"),
    ],
    "vqa-v2": [("Is it red?", ONE, "Yes, it is red."), ("How many?", TWO, "The answer is 2")],
    "docvqa": [("What is the date?", ONE, "5 May"), ("Who signed?", TWO, "Ann")],
    "st-vqa": [("What does the sign say?", ONE, "The answer is stop."), ("Which bus?", TWO, "The answer is 12.")],
    "text-vqa": [("What brand?", ONE, "The brand is Acme."), ("What time?", TWO, "It is ten.")],
    "gqa": [("Is it wet?", ONE, "Is it wet. Yes."), ("What is it?", TWO, "A cup.")],
    "okvqa": [("What sport is this?", ONE, "It is used in a race."), ("Which breed?", TWO, "The answer is pug.")],
    "viquae": [("Which book?", ONE, "The book is Emma."), ("Which year?", TWO, "In 1815.")],
    "activitynet-qa": [("is he tall", FRAMES, "yes"), ("where", FRAMES, "gym")],
    "vist": [
        ("", FRAMES[:5], "We went out. It rained. We ran. We laughed. Home again."),
        ("", FRAMES[3:8], "A cake. A party. A song. A dance. The end."),
    ],
    "mmchat": [("Person1: 你好\nPerson2: 在吗\nPerson1:", ONE, "在"), ("Person1: 好看\nPerson2:", TWO, "谢谢")],
    **{
        name: [("Is it so?", ONE, "Yes, it is."), ("And this?", ONE, "No, never.")]
        for name in ROWS
        if name.endswith("-rephrased")
    },
    # verified in part: fields or outputs
    "image-paragraph-captioning": [("", ONE, "A man sits. He reads."), ("", TWO, "Two cows. Both eat.")],
    "coco-text": [
        ("Options:\n(A) legible\n(B) illegible", ONE, "(A) legible"),
        ("Options:\n(A) legible\n(B) illegible", TWO, "(B) illegible"),
    ],
    "imagenet-open-ended": [("", ONE, "hammerhead"), ("", TWO, "tench, Tinca tinca")],
    "coco-itm": [
        ("Options:\n(A) a dog\n(B) a cat\n(C) a cow\n(D) a pig\n(E) a hen", ONE, "(C)"),
        ("Options:\n(A) one\n(B) two\n(C) three\n(D) four\n(E) five", TWO, "(A)"),
    ],
    "snli-ve": [("A man sleeps.", ONE, "maybe Rationale: He may be awake."), ("A dog runs.", TWO, "yes")],
    "mocheg": [
        ("Context: c. Claim: the tower fell." + OPTIONS, [p(0), p(2)], "(B) False"),
        ("Context: d. Claim: it rained." + OPTIONS, TWO, "(A) True"),
    ],
    "vsr": [
        ("The cat is on the bed." + OPTIONS, ONE, "(A) True"),
        ("The cup is under the car." + OPTIONS, TWO, "(B) False"),
    ],
    "ss": [
        (listed(*FOLD, "Moving something away", "Moving something closer"), FRAMES, "(A) Folding something"),
        (
            listed(*LEFT, "Folding something", *DOING, "Moving something away"),
            FRAMES[:4],
            "(A) Moving something left, then right",
        ),
    ],
    "shapes": [("is a red shape left of a circle", ONE, "yes"), ("is a square green", TWO, "no")],
    "a-okvqa": [("What is awaited?", ONE, "He waits for a cab."), ("Where?", TWO, "At a desk.")],
    "fm-iqa": [("这是什么?", ONE, "这是一只狗。"), ("几个人?", TWO, "有两个人。")],
    # inferred
    "textcap": [("", ONE, "A sign that says stop."), ("", TWO, "A jar of jam.")],
    "flickr8k-cn": [("", ONE, "男孩在跳"), ("", TWO, "海边")],
    "iqa": [("Options: (A) bad (B) good", ONE, "(B) good"), ("Options: (A) bad (B) good", TWO, "(A) bad")],
    "refcoco": [("the left one", ONE, "a zebra"), ("the box", TWO, "a bench")],
    "chinese-food": [("麻婆豆腐\n家常豆腐", ONE, "麻婆豆腐"), ("鱼\n肉", TWO, "鱼")],
    "ocr-vqa": [("Who wrote this?", ONE, "A. Lee"), ("Which year?", TWO, "1999")],
    "ivqa": [("What is cut?", FRAMES, "It is paper."), ("Who?", FRAMES, "A cook.")],
    "msrvtt-qa": [("who sings", FRAMES, "A man sings."), ("what", FRAMES, "A car.")],
    "msvd-qa": [("who runs", FRAMES, "A dog runs."), ("what", FRAMES, "Milk.")],
    "clevr": [("How many cubes?", ONE, "3"), ("Any spheres?", TWO, "no")],
    "nlvr": [("Both show dogs.", [p(0), p(1)], "true"), ("One is open.", [p(2), p(3)], "false")],
    "science-qa": [("Which is a solid?", ONE, "(A) ice"), ("Which word?", [], "(B) far")],
    "vcr": [
        ("Why does the red person smile?", ONE, "Because of the joke."),
        ("Where is the blue one?", TWO, "At home."),
    ],
    "visual-mrc": [("What is it about?", ONE, "It is about bees."), ("Who wrote?", TWO, "Ann wrote it.")],
    "visual-dialog": [("Q: is it sunny? A: yes. Q: people?", ONE, "two"), ("Q: any dogs?", TWO, "no")],
    "multi30k": [("A man in a hat.", ONE, "Ein Mann mit Hut."), ("Two dogs.", TWO, "Zwei Hunde.")],
}
LONG = {"train": "train", "val": "validation", "test": "test"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """All of M3IT in miniature; no test writes to it."""
    return legacy_maker.m3it(tmp_path_factory.mktemp("legacy") / "repo")


@pytest.fixture(scope="module")
def repository_80(tmp_path_factory):
    return legacy_maker.m3it_80(tmp_path_factory.mktemp("legacy") / "repo80")


@pytest.fixture
def pinned(monkeypatch):
    """Every choice by hash is the first option, every order the given one."""
    for stage in (legacy, legacy_mappings):
        monkeypatch.setattr(stage, "choose", lambda options, *names: options[0])
    monkeypatch.setattr(legacy_mappings, "shuffled", lambda options, *names: list(options))


def rows_of(folder, config, split="train", **options):
    """The rows as the builder reads them, piece by piece."""
    builder = load_builder(folder, config, **options)
    return [row for piece in builder.pieces(split) for _, row in builder.read(piece)]


def flat(expected):
    """(inputs, pictures, outputs) of each row, where one raw row stands for several."""
    return [
        (inputs, images, text)
        for inputs, images, outputs in expected
        for text in ([outputs] if isinstance(outputs, str) else outputs)
    ]


def said(rows):
    return [(row["inputs"], row["image_base64_str"], row["outputs"]) for row in rows]


# ---- the table


def test_the_table_has_the_54_configs_and_the_files_that_the_script_names(repository):
    assert list(TABLE) and set(TABLE) == set(ROWS) == set(EXPECTED) and len(TABLE) == 54
    for config in TABLE:
        builder = load_builder(repository, config)
        named = {LONG[key]: [path[2:]] for key, path in _URLS[config].items() if key in LONG}
        assert {split: builder.shards(config)[split] for split in builder.shards(config)} == named, config


def test_each_line_of_the_table_says_what_is_known():
    verified = [name for name, raw in TABLE.items() if raw.status == "verified"]
    assert len(verified) == 27 and all(raw.evidence for raw in TABLE.values())
    assert set(verified) == set(list(EXPECTED)[:27])


@pytest.mark.parametrize("config", TABLE)
def test_raw_rows_become_the_rows_that_the_script_served(repository, pinned, config):
    first, second = EXPECTED[config]
    of_split = {"train": [first, second, first], "validation": [first, second], "test": [first]}
    builder = load_builder(repository, config)
    for split in builder.shards(config):
        rows = rows_of(repository, config, split)
        assert said(rows) == flat(of_split[split])
        own = (
            {"Rephrased words."}
            if config.endswith("-rephrased")
            else {"Own words, first."}
            if "task_type" in ROWS[config][0]
            else set()
        )
        words = own or {text.replace("[HYPO]", row["inputs"]) for row in rows for text in instructions_of(config)}
        assert {row["instruction"] for row in rows} <= words


@pytest.mark.skipif(Version("4") <= VERSION, reason="runs a loading script, which `datasets` 4 refuses")
def test_the_old_script_serves_the_same_rows(repository, repository_80, pinned, monkeypatch, tmp_path):
    monkeypatch.setattr(random, "choice", lambda options: options[0])
    monkeypatch.setattr(random, "sample", lambda options, count: options[:count])
    monkeypatch.setattr(random, "randint", lambda low, high: low)
    monkeypatch.setattr(random, "shuffle", lambda options: None)
    monkeypatch.setattr(legacy80.Legacy80, "choose_instruction", lambda self, own, row_id: self.instructions[0])
    script = ROOT / "tests/legacy_script.py"
    compared = 0
    for source, name in ((repository, "M3IT"), (repository_80, "M3IT-80")):
        folder = shutil.copytree(source, tmp_path / name)
        shutil.copy(script, folder / f"{name}.py")
        configs = TABLE if name == "M3IT" else [config for config in _URLS if config not in TABLE]
        for config in configs:
            old = datasets.load_dataset(str(folder), config, trust_remote_code=True, streaming=True)
            new = load_builder(folder, config)
            assert set(old) == set(new.shards(config))
            for split in old:
                rows = rows_of(folder, config, split)
                assert said(rows) == said(old[split]), (config, split)
                compared += len(rows)
    assert compared > 300


def test_choices_are_drawn_by_hash_and_stay(repository):
    once, again = rows_of(repository, "imagenet"), rows_of(repository, "imagenet")
    assert once == again
    names = [f"class {number}" for number in range(1000)]
    drawn = [draw("class 7", names, 10, "imagenet", f"row {number}") for number in range(400)]
    assert all(len(set(options)) == 10 and "class 7" in options for options in drawn)
    assert len({options.index("class 7") for options in drawn}) == 10  # no place gives the answer away
    counts = [sum(options.index("class 7") == place for options in drawn) for place in range(10)]
    assert min(counts) > 15 and max(counts) < 70  # 40 each, four standard deviations of 6 to either side
    assert len({name for options in drawn for name in options}) > 900
    instructions = {row["instruction"] for row in rows_of(repository, "coco")}
    assert len(instructions) > 4  # 15 captions of 10 instructions


def test_a_row_keeps_its_id_and_what_the_source_knew(repository):
    metas = [json.loads(row["meta"]) for row in rows_of(repository, "coco", meta=True)]
    size = len(json.dumps(ROWS["coco"][0], ensure_ascii=False).encode()) + 1
    path = "data/captioning/coco/train.jsonl"
    assert [meta["id"] for meta in metas[:6]] == [*(f"{path}:0#{k}" for k in range(5)), f"{path}:{size}#0"]
    assert metas[0]["img_id"] == 9
    assert [json.loads(row["meta"])["id"] for row in rows_of(repository, "text-vqa", meta=True)] == ["t-1", "2", "t-1"]
    (meta, *_) = [json.loads(row["meta"]) for row in rows_of(repository, "okvqa", meta=True)]
    assert meta == {
        "id": "data/vqa/okvqa/train_v2.jsonl:0",
        **{k: v for k, v in ROWS["okvqa"][0].items() if k != "image_str"},
    }


@pytest.mark.parametrize(
    "config, said_by_model, served",
    [
        ("vqa-v2", "The question is NOT ANSWERABLE.", "The answer is 2"),  # aa84269 looks at lower-cased text
        ("vqa-v2", "From the image descriptions, two.", "The answer is 2"),
        ("vqa-v2", "I'm Sorry.", "The answer is 2"),
        ("vqa-v2", "There are two.", "There are two."),
        ("okvqa", "I am sorry.", "The answer is pug."),  # 3155a25 does not
        ("okvqa", "Sorrel is shown.", "Sorrel is shown."),
        ("okvqa", "It is not answerable.", "It is not answerable."),
    ],
)
def test_a_refused_paraphrase_gives_way_to_the_short_answer(tmp_path, config, said_by_model, served):
    legacy_maker.m3it(tmp_path, (config,))
    (path,) = load_builder(tmp_path, config).shards(config)["validation"]
    write_lines(tmp_path / path, [{**ROWS[config][1], "paraphrased_answer": said_by_model}])
    assert [row["outputs"] for row in rows_of(tmp_path, config, "validation")] == [served]


def test_files_of_older_revisions_are_read_as_their_script_did(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("okvqa", "a-okvqa", "viquae", "fm-iqa"))
    for path in tmp_path.glob("data/vqa/*/*_v2.jsonl"):
        path.unlink()
    for path in tmp_path.glob("data/vqa/fm-iqa/para_*.jsonl"):
        path.unlink()
    old = {config: rows_of(tmp_path, config)[0]["outputs"] for config in ("okvqa", "a-okvqa", "viquae", "fm-iqa")}
    assert old == {
        "okvqa": "old",
        "a-okvqa": "It is old. So the answer is old.",
        "viquae": "The answer is old.\n",
        "fm-iqa": "旧。",
    }
    assert list(load_builder(tmp_path, "okvqa").shards("okvqa")) == ["train"]
    assert len(rows_of(tmp_path, "okvqa")) == len(OLDER["vqa/okvqa/train.jsonl"])


def test_a_folder_that_once_lay_in_another_group_is_found(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("iqa",))
    (tmp_path / "data/reasoning").mkdir()
    (tmp_path / "data/classification/iqa").rename(tmp_path / "data/reasoning/iqa")
    assert said(rows_of(tmp_path, "iqa", "test")) == flat(EXPECTED["iqa"][:1])


@pytest.mark.parametrize(
    "name, config",
    [("science_qa", "science-qa"), ("visual_dialog", "visual-dialog"), ("iqa-rephrased ", "iqa-rephrased")],
)
def test_old_names_of_configs_are_known(repository, name, config):
    assert load_builder(repository, name).config.name == config


def test_a_wrong_name_is_answered_with_the_nearest(repository):
    with pytest.raises(ValueError, match="Unknown config 'viqae'. Did you mean 'viquae'?"):
        load_builder(repository, "viqae")


def test_layouts_are_told_apart_by_their_files(repository, repository_80, tmp_path):
    branch = legacy_maker.converted(tmp_path / "branch")
    lone = write(tmp_path / "lone/data/vqa/okvqa/train_v2.jsonl", ROWS["okvqa"])
    ours = write(
        tmp_path / "ours/data/vqa/gqa/train.jsonl",
        [{"instruction": "", "inputs": "", "image_base64_str": [], "outputs": "x"}],
    )
    kinds = {folder: layout(Repository(folder)).__name__ for folder in (repository, repository_80, branch, lone, ours)}
    assert list(kinds.values()) == ["Legacy", "Legacy80", "Converted", "Legacy", "M3IT"] and set(kinds.values()) == set(
        KINDS
    )


def write(path, rows):
    """Write raw rows; returns the repository's folder."""
    write_lines(path, rows)
    return path.parents[3]


@pytest.mark.parametrize(
    "line",
    [
        '{"img_str": "AAAA", "question": "q"}',
        '{"question": "\\"img_str\\": \\"x", "img_str": "AAAA"}',
        '{"meta": {"img_str": "AAAA"}, "img_str": ""}',
        '{"meta": {"img_str": "AAAA"}}',
        '{"img_str": "AA\\/A", "a": 1}',
        '{"img_str": "\u4e2d", "a": 1}',
        '{"img_str":"AAAA"}',
        '{"img_str": ["AAAA"]}',
        '{"img_str": "AAAA", "img_str": "BBBB"}',
        '{"img_str": ""}',
        '["img_str", {"img_str": "AAAA"}]',
    ],
)
def test_the_quick_way_through_a_line_finds_what_json_finds(line):
    found = parse_quickly(line.encode(), "img_str")
    assert (json.loads(found) if isinstance(found, bytes) else found) == json.loads(line)


@pytest.mark.parametrize("line", ['{"img_str": "AAAA', '{"img_str": "AAAA"', '{"img_str": "AAAA"} {}', "", "nothing"])
def test_the_quick_way_leaves_what_is_not_json_as_it_is(line):
    assert parse_quickly(line.encode(), "img_str") == line.encode()


# ---- under `datasets`


PRELUDE = f"import sys, json; sys.path.insert(0, {str(ROOT)!r})\n"
LOAD = """
from m3it import load_dataset
out = {{}}
for repo, config in {asked!r}:
    loaded = load_dataset(repo, config)
    streamed = load_dataset(repo, config, streaming=True)
    out[config] = {{split: [[dict(row) for row in rows[split]] for rows in (loaded, streamed)] for split in loaded}}
    assert set(loaded) == set(streamed)
print(json.dumps(out))
"""


def run(hub, home, code, **environ):
    """What a program prints as its last line, as JSON; and its warnings."""
    env = {**hub.environ(home), **environ}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code], env=env, capture_output=True, text=True, cwd=home.parent
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().split("\n")[-1]), done.stderr


@pytest.fixture(scope="module")
def on_hub(hub, repository, repository_80, tmp_path_factory):
    """Both repositories on the Hub; M3IT with its converted branch."""
    branch = legacy_maker.converted(tmp_path_factory.mktemp("branch"))
    commits = {"M3IT": hub.add("Legacy/M3IT", repository), "M3IT-80": hub.add("Legacy/M3IT-80", repository_80)}
    hub.add("Legacy/M3IT", branch, ref="refs/convert/parquet")
    return commits


def loads_and_streams(hub, home, folders, asked):
    """Load and stream configs from the Hub; they must equal what the builder reads from the folders."""
    found, _ = run(hub, home, LOAD.format(asked=asked))
    for repo, config in asked:
        for split, (loaded, streamed) in found[config].items():
            local = [{name: row[name] for name in loaded[0]} for row in rows_of(folders[repo], config, split)]
            assert list(loaded[0]) == ["instruction", "inputs", "image_base64_str", "outputs"]
            assert loaded == streamed == local and len(local) >= 1, (config, split)
        assert set(found[config]) == set(load_builder(folders[repo], config).shards(config))


def test_matrix_six_configs_of_each_repository_load_and_stream(hub, on_hub, repository, repository_80, tmp_path):
    folders = {"Legacy/M3IT": repository, "Legacy/M3IT-80": repository_80}
    asked = [("Legacy/M3IT", name) for name in SIX] + [("Legacy/M3IT-80", name) for name in SIX_80]
    loads_and_streams(hub, tmp_path / "home", folders, asked)


@pytest.mark.slow
def test_matrix_all_configs_load_and_stream(hub, repository, repository_80, tmp_path):
    hub.add("Legacy/all", repository)  # without a converted branch: every one from its raw rows
    hub.add("Legacy/all-80", repository_80)
    folders = {"Legacy/all": repository, "Legacy/all-80": repository_80}
    asked = [("Legacy/all" if name in TABLE else "Legacy/all-80", name) for name in _URLS]
    assert len(asked) == 54 + 14
    loads_and_streams(hub, tmp_path / "home", folders, asked)


FOOD = "44bff02, 9d74cb2: test.jsonl was val.jsonl; fields not seen"
DECIDE = """
import m3it
from m3it.reading.load import load_builder
out = {}
for config, revision in (
    ("viquae", None), ("chinese-food", None), ("nlvr", None), ("clevr", None), ("snli-ve-rephrased", None),
    ("nlvr", "refs/convert/parquet"), ("chinese-food", "COMMIT"), ("chinese-food", "refs/convert/parquet"),
):
    revision = revision and revision.replace("COMMIT", sys.argv[1])
    builder = load_builder("Legacy/M3IT", config, revision=revision)
    pieces = builder.pieces(list(builder.shards(config))[-1])
    rows = [row["inputs"] for piece in pieces for _, row in builder.read(piece)]
    out[f"{config} {'COMMIT' if revision == sys.argv[1] else revision}"] = [type(builder).__name__, rows]
    assert builder.repository.commit
try:
    load_builder("Legacy/M3IT", "viquae", revision="refs/convert/parquet").shards("viquae")
except ValueError as error:
    out["lacking"] = str(error)
print(json.dumps(out))
"""


def test_the_table_decides_between_raw_and_converted_rows_and_says_so_once(hub, on_hub, tmp_path):
    code = DECIDE.replace("sys.argv[1]", repr(on_hub["M3IT"]))
    found, warnings = run(hub, tmp_path / "home", code)
    converted = [row["inputs"] for row in (served("chinese-food", n) for n in range(2))]
    assert found["viquae None"] == ["Legacy", ["Which book?"]]  # verified: raw
    assert found["snli-ve-rephrased None"] == ["Legacy", ["Is it so?"]]  # verified: raw, though the branch has it
    assert found["chinese-food None"] == ["Converted", converted]  # inferred, and complete in the branch
    assert found["nlvr None"] == ["Legacy", ["Both show dogs."]]  # inferred, cut off in the branch
    assert found["clevr None"] == ["Legacy", ["How many cubes?", "Any spheres?"]]  # inferred, not in the branch
    assert found["chinese-food COMMIT"] == ["Legacy", ["麻婆豆腐\n家常豆腐"]]  # a pinned revision is read as it is
    assert found["chinese-food refs/convert/parquet"] == ["Converted", converted]
    assert found["nlvr refs/convert/parquet"][0] == "Converted"
    assert found["lacking"].startswith("Unknown config 'viquae'. Legacy/M3IT holds")
    lines = [line for line in warnings.splitlines() if line.startswith("Legacy/M3IT ")]
    assert lines == [
        "Legacy/M3IT viquae: raw rows, mapping verified (1499181)",
        f"Legacy/M3IT chinese-food: rows of refs/convert/parquet; the mapping of raw rows is inferred ({FOOD})",
        "Legacy/M3IT nlvr: raw rows, mapping inferred (5d0fcb4; fields not seen; whether test was served not sure)"
        ". Look at its rows first: m3it check Legacy/M3IT --config nlvr",
        "Legacy/M3IT clevr: raw rows, mapping inferred (40fd0dc; fields not seen)"
        ". Look at its rows first: m3it check Legacy/M3IT --config clevr",
        "Legacy/M3IT snli-ve-rephrased: raw rows, mapping verified (f78770f)",
        f"Legacy/M3IT chinese-food: raw rows, mapping inferred ({FOOD})"
        ". Look at its rows first: m3it check Legacy/M3IT --config chinese-food",
    ]
    assert "nlvr/train: refs/convert/parquet has its beginning only (nlvr/partial-train)" in warnings


def test_check_reads_a_named_revision_as_loading_does_and_lists_the_branch_once(hub, on_hub, tmp_path):
    code = """
from M3IT import Repository
from m3it.reading.layouts import survey
main = {reading.config: reading.says for reading in survey(Repository("Legacy/M3IT"))}
pinned = [reading.says for reading in survey(Repository("Legacy/M3IT@COMMIT"), "chinese-food")]
print(json.dumps([main, pinned]))
"""
    before = len(hub.requests)
    (main, pinned), _ = run(hub, tmp_path / "home", code.replace("COMMIT", on_hub["M3IT"]))
    assert len(main) == 54 and main["chinese-food"].startswith("rows of refs/convert/parquet")
    assert pinned == [f"raw rows, mapping inferred ({FOOD})"]
    commits = [r for r in hub.requests[before:] if "/revision/refs/convert/parquet" in r.path]
    listings = [r for r in hub.requests[before:] if "/tree/" in r.path]
    assert len(commits) == 1 and len(listings) <= 4, [r.path for r in hub.requests[before:]]


def test_plain_datasets_reads_the_converted_branch(hub, on_hub, tmp_path):
    """The line of docs/it-broke.md for those who do without us."""
    code = """
import datasets
loaded = datasets.load_dataset("Legacy/M3IT", data_dir="chinese-food", revision="refs/convert/parquet")
print(json.dumps({split: [dict(row) for row in rows] for split, rows in loaded.items()}))
"""
    found, _ = run(hub, tmp_path / "home", code)
    assert found == {"test": [served("chinese-food", number) for number in range(2)]}


def test_what_was_loaded_once_loads_offline(hub, on_hub, tmp_path):
    code = """
from m3it import load_dataset
names = ("viquae", "chinese-food")
print(json.dumps([load_dataset("Legacy/M3IT", name)["test"]["inputs"][:] for name in names]))
"""
    home = tmp_path / "home"
    online, _ = run(hub, home, code)
    before = len(hub.requests)
    offline, _ = run(hub, home, code, HF_HUB_OFFLINE="1")
    assert (
        online == offline == [["Which book?"], ["converted input 0", "converted input 1"]]
        and len(hub.requests) == before
    )


def test_pictures_are_downloaded_once_for_all_languages(hub, on_hub, tmp_path):
    code = """
from m3it import load_dataset
rows = [load_dataset("Legacy/M3IT-80", name)["train"]["inputs"][:] for name in ("vist-zh", "vist-he")]
rows += [[row["inputs"] for row in load_dataset("Legacy/M3IT-80", "vist-zh", split="train", streaming=True)]]
print(json.dumps(rows))
"""
    before = len(hub.requests)
    rows, _ = run(hub, tmp_path / "home", code)
    assert [len(texts) for texts in rows] == [3, 3, 3] and rows[0] == rows[2] != rows[1]
    gets = [
        r for r in hub.requests[before:] if r.method == "GET" and r.path.split("?")[0].endswith("vist/train_500.jsonl")
    ]
    assert len(gets) == 1


def test_programs_of_users_run_with_one_line_changed(repository, tmp_path):
    program = """
from m3it import load_dataset  # was: from datasets import load_dataset
import base64, io
import pandas as pd
from PIL import Image
dataset = load_dataset({repo!r}, "viquae")
train_set = dataset["train"]
texts = []
for train_instance in train_set:
    texts.append(train_instance["instruction"] + train_instance["inputs"])
try:
    load_dataset({repo!r}, "okvqa")["test"]
except KeyError as error:
    missing = str(error)
first = []
for row in dataset["train"]:
    image = Image.open(io.BytesIO(base64.b64decode(row["image_base64_str"][0])))
    first.append(image.convert("RGB").size)
frame = pd.DataFrame(dataset["train"])
stream = load_dataset({repo!r}, "coco", split="train", streaming=True, trust_remote_code=True)
streamed = [row["outputs"] for row in stream]
print(json.dumps([len(texts), missing, first, list(frame.columns), len(frame), len(streamed)]))
"""
    code = PRELUDE + program.format(repo=str(repository))
    env = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    columns = ["instruction", "inputs", "image_base64_str", "outputs"]
    assert json.loads(done.stdout.strip().split("\n")[-1]) == [3, "'test'", [[8, 6]] * 3, columns, 3, 15]


def test_several_configs_join_into_one_dataset_of_torch(repository):
    torch_data = pytest.importorskip("torch.utils.data")
    joined = torch_data.ConcatDataset(
        [load_dataset(repository, name, split="train") for name in ("viquae", "okvqa", "vist")]
    )
    assert len(joined) == 9 and joined[3]["inputs"] == "What sport is this?" and len(joined[6]["image_base64_str"]) == 5


def test_images_come_decoded_and_in_order(repository):
    row = next(iter(load_dataset(repository, "vist", split="test", streaming=True, images=True)))
    assert [image.size for image in row["images"]] == [(8, 6)] * 5
    expected = [base64.b64decode(frame) for frame in FRAMES[:5]]
    assert [image["bytes"] for image in rows_of(repository, "vist", "test", images=True)[0]["images"]] == expected


# ---- pieces, workers, resume


@pytest.fixture
def many(tmp_path, monkeypatch):
    """coco with 40 raw rows of five captions in many pieces; some captions and some pictures are broken."""
    rows = []
    for number in range(40):
        targets = [f"{number}-{k}" if (number + k) % 7 else "" for k in range(5)]
        rows.append({"image": p(number) if number % 11 else "broken!!", "meta": {"img_id": number, "targets": targets}})
    legacy_maker.m3it(tmp_path, ("coco",))
    write_lines(tmp_path / "data/captioning/coco/train.jsonl", rows)
    monkeypatch.setattr(module, "PIECE_BYTES", 1 << 9)
    monkeypatch.setattr(module, "MiB", 1 << 9)
    expected = [f"{number}-{k}" for number in range(40) for k in range(5) if number % 11 and (number + k) % 7]
    return tmp_path, expected


def test_drops_are_counted_row_by_row(many):
    folder, expected = many
    dataset = load_dataset(folder, "coco", split="train", on_error="drop")
    assert dataset["outputs"][:] == expected
    drops = count_drops(load_builder(folder, "coco", on_error="drop"))
    num_lines = sum(not number % 11 for number in range(40))
    assert drops == {"image is not base64": num_lines, "no outputs": 200 - 5 * num_lines - len(expected)}
    with pytest.raises(ShardError, match="coco/train.jsonl:1: expected base64, picture 1 of 1 begins with .broken!!."):
        rows_of(folder, "coco")


@pytest.mark.parametrize("done", range(0, 60, 3))
def test_resume_in_the_middle_of_one_lines_rows_is_exact(many, done):
    folder, expected = many
    stream = load_dataset(folder, "coco", split="train", streaming=True, on_error="drop")
    if not hasattr(stream, "state_dict"):
        pytest.skip("this version of `datasets` has no state")
    rows = iter(stream)
    seen = [next(rows)["outputs"] for _ in range(done)]
    resumed = load_dataset(folder, "coco", split="train", streaming=True, on_error="drop")
    resumed.load_state_dict(stream.state_dict())
    assert seen + [row["outputs"] for row in resumed] == expected


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_rows_of_one_file(many, world):
    from datasets.distributed import split_dataset_by_node

    folder, expected = many
    stream = load_dataset(folder, "coco", split="train", streaming=True, on_error="drop")
    parts = [[row["outputs"] for row in split_dataset_by_node(stream, rank, world)] for rank in range(world)]
    assert sorted(itertools.chain(*parts)) == sorted(expected) and all(len(part) > 20 for part in parts)


def test_two_processes_prepare_what_one_does(many, long_80):
    folder, expected = many
    assert load_dataset(folder, "coco", split="train", on_error="drop", num_proc=2)["outputs"][:] == expected
    joined = load_dataset(long_80[0].parents[1], "okvqa-zh", split="train", num_proc=2)
    assert joined["outputs"][:] == [f"a{n}" for n in range(60)]


def test_the_cache_tells_a_changed_companion_file(tmp_path):
    legacy_maker.m3it(tmp_path, ("viquae",))
    load_dataset(tmp_path, "viquae", split="test")
    (tmp_path / "data/vqa/viquae/instructions.json").write_text('["New words."]')
    assert load_dataset(tmp_path, "viquae", split="test")["instruction"][:] == ["New words."]


# ---- M3IT-80


@pytest.mark.parametrize("task", TRANSLATED)
def test_texts_and_pictures_are_joined_row_by_row(repository_80, task):
    _, first, second = TRANSLATED[task]
    for key in _TASKS[task]:
        rows = rows_of(repository_80, f"{task}-zh", LONG[key])
        numbers = {"train": [1, 2, 1], "val": [1, 2], "test": [1]}[key]
        images = [[image] if isinstance(image, str) else image for image in (first, second)]
        texts = [(f"{task} zh question {n}", images[n - 1], f"{task} zh answer {n}") for n in numbers]
        assert said(rows) == texts
        assert {row["instruction"] for row in rows} <= {f"{task} zh {number}" for number in range(10)}


def test_a_translation_gets_the_instruction_that_the_other_languages_get(repository_80):
    numbers = [
        [row["instruction"].split()[-1] for row in rows_of(repository_80, f"msrvtt-{code}")] for code in ("zh", "he")
    ]
    ids = [
        [json.loads(row["meta"])["id"] for row in rows_of(repository_80, f"msrvtt-{code}", meta=True)]
        for code in ("zh", "he")
    ]
    assert numbers[0] == numbers[1] and ids[0] == ids[1] and ids[0][0] == "data/msrvtt/train_500.jsonl:0"


@pytest.fixture
def long_80(tmp_path, monkeypatch):
    """okvqa-zh with 60 train rows in many pieces, on disk and in a filesystem without an index."""
    legacy_maker.m3it_80(tmp_path / "repo", ("okvqa",))
    folder = tmp_path / "repo/data/okvqa"
    write_lines(
        folder / "train_500.jsonl",
        [{"image_str": base64.b64encode(picture(n) * (1 + n % 5)).decode()} for n in range(60)],
    )
    write_lines(folder / "okvqa_train_zh.jsonl", [{"input": f"q{n}", "output": f"a{n}"} for n in range(60)])
    monkeypatch.setattr(module, "PIECE_BYTES", 1 << 10)
    monkeypatch.setattr(module, "MiB", 1 << 10)
    monkeypatch.setattr(legacy80, "STEP_BYTES", 1 << 9)

    def remote():
        memory = fsspec.filesystem("memory")
        for path in (tmp_path / "repo").rglob("*.jsonl"):
            memory.pipe_file(f"/{tmp_path.name}/{path.relative_to(tmp_path / 'repo')}", path.read_bytes())
        return f"memory://{tmp_path.name}"

    return folder, remote


@pytest.mark.parametrize("order", ["forwards", "backwards", "every other"])
def test_pieces_of_rows_give_every_row_once_in_any_order(long_80, order):
    folder, remote = long_80
    for place in (folder.parents[1], remote()):
        builder = load_builder(place, "okvqa-zh")
        pieces = builder.pieces("train")
        ordered = {"forwards": pieces, "backwards": pieces[::-1], "every other": pieces[::2] + pieces[1::2]}[order]
        found = {piece: [row for _, row in builder.read(piece)] for piece in ordered}
        rows = [row for piece in pieces for row in found[piece]]
        assert len(pieces) > 8 and [row["outputs"] for row in rows] == [f"a{n}" for n in range(60)]
        assert [base64.b64decode(row["image_base64_str"][0]) for row in rows] == [
            picture(n) * (1 + n % 5) for n in range(60)
        ]


def test_resume_in_the_middle_of_a_piece_of_joined_rows_is_exact(long_80):
    folder, remote = long_80
    rows = [json.loads(line) for line in (folder / "train_500.jsonl").read_text().splitlines()]
    for number in range(0, 60, 7):
        rows[number]["image_str"] = "broken!!"
    write_lines(folder / "train_500.jsonl", rows)
    expected = [f"a{number}" for number in range(60) if number % 7]
    for place, done in itertools.product((folder.parents[1], remote()), (0, 1, 13, 50)):
        stream = load_dataset(place, "okvqa-zh", split="train", streaming=True, on_error="drop")
        if not hasattr(stream, "state_dict"):
            pytest.skip("this version of `datasets` has no state")
        seen = [row["outputs"] for row in itertools.islice(stream, done)]
        resumed = load_dataset(place, "okvqa-zh", split="train", streaming=True, on_error="drop")
        resumed.load_state_dict(stream.state_dict())
        assert seen + [row["outputs"] for row in resumed] == expected


@pytest.mark.parametrize("file, lost", [("okvqa_train_zh.jsonl", 59), ("train_500.jsonl", 30)])
def test_files_that_are_not_equally_long_are_an_error(long_80, file, lost):
    folder, remote = long_80
    lines = (folder / file).read_text().splitlines(True)
    (folder / file).write_text("".join(lines[:lost]))
    with pytest.raises(ShardError, match="they are joined row by row. Get both at one revision"):
        load_builder(folder.parents[1], "okvqa-zh").pieces("train")  # on disk before the first row
    builder = load_builder(remote(), "okvqa-zh", on_error="drop")
    with pytest.raises(
        ShardError, match=r"okvqa_train_zh.jsonl has (59|60) rows, data/okvqa/train_500.jsonl has (more|30)"
    ):
        [row for piece in builder.pieces("train") for row in builder.read(piece)]  # streamed at the end


def test_pictures_are_not_held_in_memory(long_80, monkeypatch):
    """Every read of a streamed file of pictures is at most a step, a row's tail and the byte before it."""
    _, remote = long_80
    builder = load_builder(remote(), "okvqa-zh")
    sizes, read = [], builder.repository.read
    monkeypatch.setattr(module, "TAIL_BYTES", 256)
    monkeypatch.setattr(
        builder.repository, "read", lambda path, start, stop: sizes.append(stop - start) or read(path, start, stop)
    )
    pieces = builder.pieces("train")
    rows = [row for piece in pieces for row in builder.read(piece)]
    size = builder.repository.size("data/okvqa/train_500.jsonl")
    assert len(rows) == 60 and max(sizes[2:]) < size / 8


@pytest.mark.parametrize(
    "lines",
    [
        [{"okvqa": ["eins", "zwei"], "vist": ["drei"]}],
        [{"vist": "drei"}, {"okvqa": "eins"}, {"okvqa": "zwei"}],
        [
            {"task": "vist", "instruction": "drei"},
            {"task": "okvqa", "instruction": "eins"},
            {"task": "okvqa", "instruction": "zwei"},
        ],
        [{"dataset": "okvqa", "instructions": ["eins", "zwei"]}],
    ],
)
def test_translated_instructions_are_found_by_the_name_of_the_dataset(long_80, lines):
    folder, _ = long_80
    write_lines(folder.parent / "instructions/zh.jsonl", lines)
    assert {row["instruction"] for row in rows_of(folder.parents[1], "okvqa-zh")} == {"eins", "zwei"}


def test_instructions_of_an_unknown_form_are_an_error_and_can_be_done_without(long_80):
    folder, _ = long_80
    write_lines(folder.parent / "instructions/zh.jsonl", ["eins", "zwei"])
    with pytest.raises(M3ITError, match='instructions/zh.jsonl: expected lines that name okvqa, found "eins"'):
        rows_of(folder.parents[1], "okvqa-zh")
    assert {row["instruction"] for row in rows_of(folder.parents[1], "okvqa-zh", fields={"instruction": ""})} == {""}
    (folder.parent / "instructions/zh.jsonl").unlink()
    with pytest.raises(M3ITError, match="instructions/zh.jsonl: expected lines that name okvqa, found no such file"):
        rows_of(folder.parents[1], "okvqa-zh")


# ---- what is known to be broken


@pytest.mark.parametrize(
    "defect, config, file, words",
    [
        ("no outputs", "okvqa", "vqa/okvqa/train_v2.jsonl", "expected a text in paraphrased_answer, found nothing"),
        ("no outputs", "chinese-food", "classification/chinesefoodnet-10/train.jsonl", "expected an answer in one of"),
        ("image is not base64", "gqa", "vqa/gqa/train.jsonl", "expected base64, picture 1 of 1 begins with 'iVBORw0"),
        ("picture lost", "nlvr", "reasoning/nlvr/train.jsonl", "expected 2 pictures, found 1"),
        ("not JSON", "gqa", "vqa/gqa/train.jsonl", "Unterminated string|Expecting"),
    ],
)  # fmt: skip
def test_a_broken_row_says_where_and_why_or_is_dropped(tmp_path, defect, config, file, words):
    legacy_maker.m3it(tmp_path, (config,))
    path = tmp_path / "data" / file
    write_lines(path, [ROWS[config][0]] * 3)
    if config == "chinese-food":  # has no train split
        path.rename(path.with_name("test.jsonl"))
        path, split = path.with_name("test.jsonl"), "test"
    else:
        split = "train"
    spoil(path, {"picture lost": "one picture lost", "not JSON": "a line cut off"}.get(defect, defect))
    with pytest.raises(ShardError, match=f"{path.relative_to(tmp_path)}:2: .*({words})"):
        rows_of(tmp_path, config, split)
    assert len(load_dataset(tmp_path, config, split=split, on_error="drop")) == 2
    assert count_drops(load_builder(tmp_path, config, on_error="drop")) == {defect: 1}


def test_an_empty_file_is_an_error_of_its_split_or_a_counted_drop(tmp_path):
    legacy_maker.m3it(tmp_path, ("a-okvqa",))
    for name in ("train.jsonl", "train_v2.jsonl"):
        spoil(tmp_path / "data/vqa/a-okvqa" / name, "empty file")
    with pytest.raises(ShardError, match="a-okvqa/train_v2.jsonl:1: the file is empty at this revision"):
        rows_of(tmp_path, "a-okvqa")
    stream = load_dataset(tmp_path, "a-okvqa", split="validation", streaming=True)
    assert len(list(stream)) == 2
    both = load_dataset(tmp_path, "a-okvqa", on_error="drop")
    assert {split: len(rows) for split, rows in both.items()} == {"validation": 2}
    assert count_drops(load_builder(tmp_path, "a-okvqa", on_error="drop")) == {"empty file": 1}


def test_a_split_whose_rows_are_all_dropped_is_left_out_and_said(tmp_path, caplog):
    """As where the answers of a test split are withheld; `datasets` cannot give a split without rows."""
    legacy_maker.m3it(tmp_path, ("text-vqa",))
    write_lines(tmp_path / "data/vqa/text-vqa/test.jsonl", [{"img_str": p(0), "input": "q", "output": ""}] * 3)
    for _ in range(2):  # prepared, and from the cache
        left = load_dataset(tmp_path, "text-vqa", on_error="drop")
        assert {split: len(rows) for split, rows in left.items()} == {"train": 3, "validation": 2}
    assert "text-vqa: no rows in test, left out" in caplog.messages
    with pytest.raises(
        ShardError, match="text-vqa/test: expected rows, found none; 3 were dropped, they are listed in"
    ):
        load_dataset(tmp_path, "text-vqa", split="test", on_error="drop")
    assert list(load_dataset(tmp_path, "text-vqa", split="test", on_error="drop", streaming=True)) == []


@pytest.mark.parametrize(
    "config, file, text, words",
    [
        ("gqa", "vqa/gqa/instruction.json", "", "expected a JSON list of texts, found"),
        ("gqa", "vqa/gqa/instruction.json", '["cut", "off', "expected a JSON list of texts, Unterminated string"),
        ("gqa", "vqa/gqa/instruction.json", '{"a": "b"}', "expected a JSON list of texts, found"),
        ("ss", "classification/ss/labels.json", "{", "expected a JSON object of labels, Expecting"),
        ("ss", "classification/ss/labels.json", "[]", "expected a JSON object of labels, found"),
        ("imagenet", "classification/imagenet/mapping.txt", None, "expected mapping.txt in"),
    ],
)
def test_a_small_file_that_no_row_can_do_without_is_no_drop_of_every_row(tmp_path, config, file, text, words):
    legacy_maker.m3it(tmp_path, (config,))
    path = tmp_path / "data" / file
    path.unlink() if text is None else path.write_text(text)
    for on_error in ("raise", "drop"):
        with pytest.raises(M3ITError, match=words) as caught:
            rows_of(tmp_path, config, on_error=on_error)
        assert path.name in str(caught.value)


def test_classes_are_told_by_the_number_of_their_line(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("imagenet-open-ended",))
    path = tmp_path / "data/classification/imagenet/mapping.txt"
    path.write_text("n1 tench, Tinca\n\nn2\tnext line: \x85 goldfish\r\nn3  hammerhead\n", newline="")
    found = [text for _, _, text in said(rows_of(tmp_path, "imagenet-open-ended"))]
    assert found == ["hammerhead", "tench, Tinca", "hammerhead"]  # labels 3, 0, 3
    write_lines(path.with_name("val.jsonl"), [{"img_str": p(0), "label": 1}])
    with pytest.raises(ShardError, match="a line in mapping.txt that names a class, found 1"):
        rows_of(tmp_path, "imagenet-open-ended", "validation")


def test_labels_may_be_a_list(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("ss",))
    path = tmp_path / "data/classification/ss/labels.json"
    path.write_text(json.dumps(list(json.loads(path.read_text()))))
    assert said(rows_of(tmp_path, "ss", "test")) == flat(EXPECTED["ss"][:1])


@pytest.mark.parametrize("picture", ["", None, [], [""]])
def test_a_row_of_science_qa_needs_no_picture(tmp_path, picture):
    legacy_maker.m3it(tmp_path, ("science-qa",))
    path = tmp_path / "data/reasoning/science_qa/science_qa_test.jsonl"
    write_lines(path, [{"img_str": picture, "input": "q", "output": "o"}])
    assert said(rows_of(tmp_path, "science-qa", "test")) == [("q", [], "o")]


@pytest.mark.parametrize(
    "config, file, row",
    [
        ("docvqa", "vqa/docvqa/val.jsonl", {"image_str": p(0), "question": "", "answer": "a"}),
        ("docvqa", "vqa/docvqa/val.jsonl", {"image_str": p(0), "question": None, "answer": "a"}),
        ("clevr-rephrased", "reasoning/clevr/val_2023-10-07.jsonl", legacy_maker.rephrased("", "a")),
    ],
)
def test_empty_inputs_are_served_as_the_script_did(tmp_path, config, file, row):
    legacy_maker.m3it(tmp_path, (config,))
    write_lines(tmp_path / "data" / file, [row])
    assert said(rows_of(tmp_path, config, "validation")) == [("", ONE, "a")]


def test_an_empty_file_gives_way_to_the_older_one(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("a-okvqa",))
    spoil(tmp_path / "data/vqa/a-okvqa/train_v2.jsonl", "empty file")
    assert rows_of(tmp_path, "a-okvqa")[0]["outputs"] == "It is old. So the answer is old."


@pytest.mark.parametrize("file", ["gqa/train.jsonl", "gqa/instruction.json"])
def test_a_pointer_of_git_lfs_says_how_to_get_the_data(tmp_path, file):
    legacy_maker.m3it(tmp_path, ("gqa",))
    spoil(tmp_path / "data/vqa" / file, "Git LFS pointer")
    found = "expected 624,951,234 bytes of data, found a Git LFS pointer in their place"
    expected = f"data/vqa/{file}: {found}. Run in that clone: git lfs pull --include 'data/vqa/{file}'"
    for options in ({}, {"on_error": "drop"}):  # a file that is not there is no row to drop
        with pytest.raises(ShardError, match=expected):
            rows_of(tmp_path, "gqa", **options)


def test_a_clone_made_of_links_is_read(repository, tmp_path):
    """As the Hub's cache lays a snapshot out."""
    for path in repository.rglob("data/vqa/gqa/*"):
        link = tmp_path / "snapshot" / path.relative_to(repository)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    assert len(rows_of(tmp_path / "snapshot", "gqa")) == 3


def test_options_beyond_24_are_left_out_and_the_answer_never_is(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("coco-goi",))
    listed = "\n".join(["Which?", *(f"thing {number}" for number in range(40))])
    write_lines(
        tmp_path / "data/classification/coco-goi/val.jsonl",
        [{"image_str": p(0), "input": listed, "outputs": "thing 33"}],
    )
    ((inputs, _, outputs),) = said(rows_of(tmp_path, "coco-goi", "validation"))
    assert inputs.count("\n") == 25 and inputs.endswith("(X) thing 23\n(Y) thing 33") and outputs == "(Y) thing 33."
    with pytest.raises(ShardError, match="expected at most 26 options, found 27"):
        lettered([str(number) for number in range(27)], "3")


@pytest.mark.parametrize("value", [p(0), [p(0)], f"data:image/png;base64,{p(0)}", [p(0)[:40] + "\n" + p(0)[40:]]])
def test_pictures_come_as_a_text_or_a_list_with_or_without_a_head(value):
    assert as_images(value) == [p(0)]


@pytest.mark.parametrize(
    "value", [[3], {"bytes": ""}, ["AAAA", None], "AAA", "A===", "AA=A", "https://example.org/1.jpg", "中文中文"]
)
def test_what_is_no_picture_is_refused(value):
    with pytest.raises(ShardError, match="expected base64"):
        as_images(value)


def test_the_check_of_base64_agrees_with_decoding():
    rng = random.Random(0)
    for _ in range(3000):
        text = "".join(rng.choice("AB+/z09==-_ \u00e9") for _ in range(rng.randint(1, 9))).replace(" ", "")
        try:
            strict = bool(base64.b64decode(text, validate=True)) and bool(text)
        except ValueError:
            strict = False
        try:
            ours = bool(as_images(text))
        except ShardError:
            ours = False
        assert ours == (strict and len(text) % 4 == 0), text  # Python lets a superfluous "=" pass


@pytest.mark.parametrize(
    "row, words",
    [
        ({"img_str": p(0), "label": 11}, "expected the number of a line in mapping.txt that names a class, found 11"),
        ({"img_str": p(0), "label": "3"}, 'the number of a line in mapping.txt that names a class, found "3"'),
        ({"img_str": "", "label": 3}, "expected a picture, found nothing"),
        ({"label": 3}, "expected a field 'img_str', as the table says; nor by the usual names, expected an answer"),
    ],
)
def test_a_row_of_imagenet_needs_a_class_and_a_picture(tmp_path, row, words):
    legacy_maker.m3it(tmp_path, ("imagenet",))
    write_lines(tmp_path / "data/classification/imagenet/val.jsonl", [row])
    with pytest.raises(ShardError, match=words):
        rows_of(tmp_path, "imagenet", "validation")


# ---- rows that the table does not know


def stranger(tmp_path, row, instructions=("Say it.",)):
    write(tmp_path / "data/vqa/new_set/train.jsonl", [row])
    if instructions:
        (tmp_path / "data/vqa/new_set/instructions.json").write_text(
            "\n".join(json.dumps(text) for text in instructions)
        )
    return tmp_path


@pytest.mark.parametrize(
    "row, expected",
    [
        ({"question": "q", "answer": "a", "img_str": p(0)}, ("q", ONE, "a")),
        ({"caption": "c", "image_base64": p(0)}, ("", ONE, "c")),
        ({"context": "x", "response": "r", "images": [p(0), p(1)]}, ("x", [p(0), p(1)], "r")),
        ({"question": "q", "answer": "a", "paraphrased_answer": "It is a.", "image": p(0)}, ("q", ONE, "It is a.")),
        ({"question": "q", "original_answer": "a", "paraphrased_answer": "Sorry, no.", "image": p(0)}, ("q", ONE, "a")),
        ({"sentence": "s", "outputs": "true", "left_img": p(0), "right_img": p(1)}, ("s", [p(0), p(1)], "true")),
        ({"sentences": ["a", "b"], "images": [p(0)]}, ("", ONE, "a b")),
        ({"answer": "a", "meta": {"instruction": "i", "inputs": "x", "image_base64_str": [p(0)]}}, ("x", ONE, "a")),
        ({"instruction": "i", "inputs": "x", "outputs": "o", "image_base64_str": [p(0)]}, ("x", ONE, "o")),
        ({"question": "q", "answer": ["a", "b"], "image": p(0)}, ("q", ONE, "a")),
    ],
)
def test_a_folder_that_the_table_does_not_know_is_read_by_the_usual_names(tmp_path, row, expected):
    folder = stranger(tmp_path, row)
    rows = rows_of(folder, "new-set")
    assert said(rows) == [expected]
    assert rows[0]["instruction"] == (
        "i" if "i" in (row.get("instruction"), row.get("meta", {}).get("instruction")) else "Say it."
    )


@pytest.mark.parametrize(
    "row, words",
    [
        (
            {"question": "q", "context": "c", "answer": "a", "img_str": p(0)},
            "question and context could both be the inputs",
        ),
        (
            {"question": "q", "answer": "a", "caption": "c", "img_str": p(0)},
            "answer and caption could both be the outputs",
        ),
        (
            {"question": "q", "answer": "a", "img_str": p(0), "image": p(1)},
            "img_str and image could both be the images",
        ),
        (
            {"question": "q", "text": "a", "img_str": p(0)},
            "expected an answer in one of .* found the fields question, text, img_str",
        ),
        (
            {"question": "q", "answer": "a", "picture": p(0)},
            "expected a picture in one of .* found the fields question, answer, picture",
        ),
        ({"question": "q", "answer": True, "img_str": p(0)}, "expected a text in answer, found true"),
        ({"question": "q", "answer": 3, "img_str": p(0)}, "expected a text in answer, found 3"),
        (["q"], "expected a JSON object, found list"),
    ],
)
def test_what_fits_neither_table_nor_rule_raises_and_names_the_fields(tmp_path, row, words):
    with pytest.raises(ShardError, match=words):
        rows_of(stranger(tmp_path, row), "new-set")


def test_fields_settle_what_the_rule_does_not(tmp_path):
    folder = stranger(
        tmp_path, {"question": "q", "context": "c", "text": {"gold": "a"}, "picture": p(0), "how": "Do it."}
    )
    fields = {"inputs": "context", "outputs": "text.gold", "images": "picture"}
    assert said(rows_of(folder, "new-set", fields=fields)) == [("c", ONE, "a")]
    assert rows_of(folder, "new-set", fields={**fields, "instruction": "how"})[0]["instruction"] == "Do it."
    loaded = load_dataset(folder, "new-set", split="train", fields=fields)
    assert loaded["inputs"][:] == ["c"]
    other = load_dataset(folder, "new-set", split="train", fields={**fields, "inputs": "question"})
    assert other["inputs"][:] == ["q"]  # and has a cache entry of its own
    with pytest.raises(ValueError, match="expected inputs, outputs, images or instruction, found answer"):
        load_builder(folder, "new-set", fields={"answer": "text"})
    with pytest.raises(ShardError, match="expected a field 'nope'; found the fields question, context, text"):
        rows_of(folder, "new-set", fields={**fields, "outputs": "nope"})


def test_fields_for_the_picture_alone_leave_the_table_its_texts(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("imagenet",))
    path = tmp_path / "data/classification/imagenet/val.jsonl"
    write_lines(path, [{"photo": {"jpeg": p(0)}, "label": 3}])
    fields = {"images": "photo.jpeg", "instruction": ""}
    (row,) = rows_of(tmp_path, "imagenet", "validation", fields=fields, meta=True)
    assert said([row]) == flat(EXPECTED["imagenet"][:1]) and row["instruction"] == ""
    meta = {"id": "data/classification/imagenet/val.jsonl:0", "label": 3}
    assert json.loads(row["meta"]) == meta  # and the picture is not in it
    (row,) = rows_of(tmp_path, "imagenet", "validation", fields={"images": ""})
    assert row["image_base64_str"] == []  # "": the set has none


def test_a_row_tells_all_that_it_knows_and_keeps_one_id(tmp_path):
    row = {"id": 7, "question": "q", "answer": "a", "copyright": "c", "left_image": p(0), "right_image": p(1)}
    (found,) = rows_of(stranger(tmp_path, row), "new-set", meta=True)
    known = {"question": "q", "answer": "a", "copyright": "c", "source_id": 7}
    assert json.loads(found["meta"]) == {"id": "data/vqa/new_set/train.jsonl:0", **known}


def test_corrections_find_a_row_by_the_id_of_its_source(tmp_path):
    legacy_maker.m3it(tmp_path, ("text-vqa",))
    path = tmp_path / "mended.tsv"
    path.write_text("config\tid\tfield\ttext\twho\ntext-vqa\tt-1\toutputs\tAcme, mended.\tme\n")
    rows = load_dataset(tmp_path, "text-vqa", split="test", corrections=path)
    assert rows["outputs"][:] == ["Acme, mended."]


def test_files_of_an_unknown_folder_are_read_by_the_words_in_their_names(tmp_path):
    folder = tmp_path / "data/vqa/new_set"
    row = {"question": "q", "answer": "a", "img_str": p(0)}
    stranger(tmp_path, row)
    (folder / "train.jsonl").rename(folder / "all rows.jsonl")
    assert load_builder(tmp_path, "new-set").shards("new-set") == {"train": ["data/vqa/new_set/all rows.jsonl"]}
    shards = [f"data/vqa/new_set/devices_train-0000{k}-of-00002.jsonl" for k in range(2)]
    for path in (*shards, "data/vqa/new_set/dev.jsonl"):
        write_lines(tmp_path / path, [row])
    found = {"train": shards, "validation": ["data/vqa/new_set/dev.jsonl"]}
    assert load_builder(tmp_path, "new-set").shards("new-set") == found
    write_lines(folder / "train_v2.jsonl", [row])
    with pytest.raises(ShardError, match="train_v2.jsonl could both be the train split; expected one"):
        load_builder(tmp_path, "new-set")
    legacy_maker.m3it(tmp_path, ("gqa",))
    problems = {reading.config: reading.error for reading in survey(Repository(tmp_path))}
    assert problems["gqa"] == "" and "could both be the train split" in problems["new-set"]  # one does not hide others


def test_a_folder_without_instructions_says_so(tmp_path):
    folder = stranger(tmp_path, {"question": "q", "answer": "a", "img_str": p(0)}, instructions=())
    fields = {"inputs": "question"}
    with pytest.raises(
        M3ITError, match="expected instructions.json or instruction.json in data/vqa/new_set, found none"
    ):
        rows_of(folder, "new-set", fields=fields)
    assert rows_of(folder, "new-set", fields={**fields, "instruction": ""})[0]["instruction"] == ""


def test_a_verified_mapping_that_does_not_fit_is_said_once(tmp_path, caplog):
    legacy_maker.m3it(tmp_path, ("docvqa",))
    write_lines(
        tmp_path / "data/vqa/docvqa/val.jsonl",
        [{"inputs": f"q{n}", "outputs": "a", "image_base64_str": [p(0)]} for n in range(4)],
    )
    legacy.say.cache_clear()
    assert said(rows_of(tmp_path, "docvqa", "validation"))[1] == ("q1", ONE, "a")
    lines = [record.message for record in caplog.records if "usual names" in record.message]
    assert lines == [
        "docvqa: expected a field 'question', as the table says; rows without it are read by the usual names of fields"
    ]


# ---- m3it check


def test_check_lists_how_each_config_is_read(repository, repository_80, tmp_path):
    readings = {reading.config: reading for reading in survey(Repository(repository))}
    assert set(readings) == set(TABLE) and not any(reading.error for reading in readings.values())
    viquae = readings["viquae"]
    assert viquae.says == "raw rows, mapping verified (1499181)" and viquae.files[0] == "data/vqa/viquae/train_v2.jsonl"
    assert (
        viquae.mapping == 'inputs "{question}", outputs "{paraphrased_answer}"'
        and viquae.row["outputs"] == "The book is Emma."
    )
    assert readings["clevr"].says == "raw rows, mapping inferred (40fd0dc; fields not seen)"
    assert readings["clevr"].fields == ["image_str", "question", "answer"]
    assert readings["imagenet"].mapping == "Ten lettered classes; the right one is line `label` of mapping.txt."
    assert {reading.config for reading in survey(Repository(repository_80))} == set(_URLS) - set(TABLE)
    converted = survey(Repository(legacy_maker.converted(tmp_path)), "a-okvqa")
    assert [reading.row["inputs"] for reading in converted] == ["converted input 0"]


def test_check_of_the_command_line_shows_readings_and_fails_on_what_cannot_be_read(tmp_path):
    from typer.testing import CliRunner

    from m3it.cli import app

    folder = str(stranger(tmp_path, {"question": "q", "context": "c", "answer": "a", "img_str": p(0)}))
    failed = CliRunner().invoke(app, ["check", folder])
    assert failed.exit_code == 1 and "question and context could both be the inputs" in failed.output
    settled = CliRunner().invoke(app, ["check", folder, "--fields", "inputs=context", "--json"])
    assert settled.exit_code == 0
    (reading,) = json.loads(settled.output)["readings"]
    assert (reading["config"], reading["row"]["inputs"], reading["row"]["outputs"]) == ("new-set", "c", "a")
    shown = CliRunner().invoke(app, ["check", folder, "--fields", "inputs=context"])
    assert "outputs      'a'" in shown.output and "1 rows of 1 configs read, 0 findings" in shown.output
    for wrong in (["--config", "new-est"], ["--fields", "input=context"]):  # usage is no finding
        refused = CliRunner().invoke(app, ["check", folder, *wrong])
        assert isinstance(refused.exception, ValueError) and "findings" not in refused.output


# ---- big files


STREAM = """
import re, time
from m3it import load_dataset
started, rows = time.perf_counter(), 0
stream = load_dataset({repo!r}, "docvqa", split="train", streaming=True)
pieces = getattr(stream, "num_shards", None) or stream.n_shards
for row in stream:
    rows += 1
    assert row["outputs"] == "a"
seconds = time.perf_counter() - started
peak = int(re.search("VmHWM:\\s*([0-9]+)", open("/proc/self/status").read())[1]) // 1024  # ru_maxrss would be pytest's
print(json.dumps([rows, pieces, peak, round(rows / seconds)]))
"""
WORKERS = """
import torch.utils.data
from m3it import load_dataset
stream = load_dataset({repo!r}, "docvqa", split="train", streaming=True)
class Tagged(torch.utils.data.IterableDataset):
    def __iter__(self):
        worker = torch.utils.data.get_worker_info().id
        for row in stream:
            yield worker, int(row["inputs"])
seen = list(torch.utils.data.DataLoader(Tagged(), batch_size=None, num_workers=2))
numbers = sorted(number for _, number in seen)
print(json.dumps([len(numbers), len(set(numbers)), [sum(w == k for w, _ in seen) for k in (0, 1)]]))
"""


@pytest.mark.slow
def test_a_raw_file_of_5_gb_streams_in_flat_memory_and_spreads_over_workers(tmp_path):
    peaks, env = [], {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    image = base64.b64encode(random.Random(0).randbytes(82_000)).decode()
    for num_rows in (4_500, 45_500):
        folder = legacy_maker.m3it(tmp_path / str(num_rows), ("docvqa",))
        with open(folder / "data/vqa/docvqa/train.jsonl", "w") as file:
            for number in range(num_rows):
                file.write(json.dumps({"image_str": image, "question": str(number), "answer": "a"}) + "\n")
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + STREAM.format(repo=str(folder))], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        rows, pieces, peak, rate = json.loads(done.stdout.strip().split("\n")[-1])
        print(f"{num_rows} rows in {pieces} pieces: {peak} MiB at most, {rate} rows/s")
        assert rows == num_rows and pieces >= 31
        peaks.append(peak)
    assert peaks[1] < peaks[0] * 1.1 and peaks[1] < 700
    pytest.importorskip("torch")
    code = PRELUDE + WORKERS.format(repo=str(folder))
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    count, distinct, parts = json.loads(done.stdout.strip().split("\n")[-1])
    assert count == distinct == 45_500 and min(parts) > 15_000


def test_files_at_the_root_of_a_repository_are_no_configs():
    """On the Hub the listing holds the script and the card, too."""

    class Listed:
        files = {"M3IT.py": {}, "README.md": {}, "data/README.md": {}, "data/vqa/new-set/train.jsonl": {}}

    assert list(strangers(Listed())) == ["new-set"]

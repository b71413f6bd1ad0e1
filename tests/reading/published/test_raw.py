"""m3it/reading/published/raw.py: raw rows in, instances out, and what is known to be broken there."""

import base64
import itertools
import json
import os
import random
import shutil
import subprocess
import sys

import legacy_maker
import pytest
from conftest import ROOT
from legacy_maker import FRAMES, ROWS, p, spoil, write_lines
from programs import PRELUDE
from published_rows import ONE, rows_of, said, stranger

from M3IT import M3ITError, ShardError
from m3it.reading.load import count_drops, load_builder, load_dataset
from m3it.reading.published import raw


def test_a_wrong_name_is_answered_with_the_nearest(published):
    with pytest.raises(ValueError, match="Unknown config 'viqae'. Did you mean 'viquae'?"):
        load_builder(published, "viqae")


def test_a_row_keeps_its_id_and_what_the_source_knew(published):
    metas = [json.loads(row["meta"]) for row in rows_of(published, "coco", meta=True)]
    size = len(json.dumps(ROWS["coco"][0], ensure_ascii=False).encode()) + 1
    path = "data/captioning/coco/train.jsonl"
    assert [meta["id"] for meta in metas[:6]] == [*(f"{path}:0#{k}" for k in range(5)), f"{path}:{size}#0"]
    assert metas[0]["img_id"] == 9
    assert [json.loads(row["meta"])["id"] for row in rows_of(published, "text-vqa", meta=True)] == ["t-1", "2", "t-1"]
    (meta, *_) = [json.loads(row["meta"]) for row in rows_of(published, "okvqa", meta=True)]
    assert meta == {
        "id": "data/vqa/okvqa/train_v2.jsonl:0",
        **{k: v for k, v in ROWS["okvqa"][0].items() if k != "image_str"},
    }


def test_images_come_decoded_and_in_order(published):
    row = next(iter(load_dataset(published, "vist", split="test", streaming=True, images=True)))
    assert [image.size for image in row["images"]] == [(8, 6)] * 5
    expected = [base64.b64decode(frame) for frame in FRAMES[:5]]
    assert [image["bytes"] for image in rows_of(published, "vist", "test", images=True)[0]["images"]] == expected


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
    raw.say.cache_clear()
    assert said(rows_of(tmp_path, "docvqa", "validation"))[1] == ("q1", ONE, "a")
    lines = [record.message for record in caplog.records if "usual names" in record.message]
    assert lines == [
        "docvqa: expected a field 'question', as the table says; rows without it are read by the usual names of fields"
    ]


# ---- pieces, workers, resume


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


# ---- the code that rows are kept for


@pytest.fixture
def code_of(tmp_path, monkeypatch):
    """A copy of m3it/reading, and what `code` says of it as it stands."""
    folder = shutil.copytree(ROOT / "m3it/reading", tmp_path / "reading", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(raw, "__file__", str(folder / "published/raw.py"))
    return folder, raw.code.__wrapped__


@pytest.mark.parametrize(
    "file", ["raw.py", "joined.py", "table.py", "mappings.py", "fields.py", "files.py", "../layouts.py"]
)
def test_rows_are_kept_for_the_code_that_made_them(code_of, file):
    folder, code = code_of
    before = code()
    path = folder / "published" / file
    text = path.read_text("utf-8")
    path.write_text(text + "# changed\n", "utf-8")
    assert code() != before
    path.write_text(text, "utf-8")
    assert code() == before == raw.code()


def test_a_file_that_comes_or_gets_another_name_is_other_code(code_of):
    folder, code = code_of
    seen = [code()]
    (folder / "published/more.py").write_text("")
    seen.append(code())
    (folder / "published/more.py").rename(folder / "published/less.py")
    seen.append(code())
    assert len(set(seen)) == 3


def test_there_is_no_hash_of_no_code(tmp_path):
    with pytest.raises(AssertionError, match="a hash of nothing"):
        raw.digest_of(tmp_path.glob("*.py"))


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


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085"])
def test_a_line_of_instructions_ends_with_a_line_break_alone(tmp_path, mark):
    legacy_maker.m3it(tmp_path, ("viquae",))
    lines = [json.dumps(f"Look{mark}and answer.", ensure_ascii=False)] * 2
    (tmp_path / "data/vqa/viquae/instructions.json").write_text("\r\n".join(lines), "utf-8")
    rows = rows_of(tmp_path, "viquae")
    assert {row["instruction"] for row in rows} == {f"Look{mark}and answer."}

"""m3it/making/convert.py: source files to shards, the same bytes however they are made."""

import json
import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import FIXTURES, ROOT, instance_of

from m3it.catalogue import instructions
from m3it.making.convert import Conversion, convert, source_root
from m3it.rows.instance import M3ITError, ShardError, SourceError, choose
from m3it.rows.jsonl import read_shard
from m3it.work.runner import map_shards

# A converter of one's own: 40 rows of train, four of them left out, 5 of test; it can be told to be killed.
MY_SET = """
import os, signal
from dataclasses import dataclass
from pathlib import Path
from m3it.rows.instance import Drop, Instance, SourceError
from m3it.sources.kit.media import Picture

@dataclass
class Question:
    number: int
    def text(self):
        return f"What is {self.number}?"

class Fatal(Picture):
    def read(self):
        if len(list(Path(os.environ.get("KILL_IN", "/nowhere")).glob("train-*"))) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read()

def convert(root, split):
    if split == "validation":
        raise SourceError("there is no validation")
    for i in range(40 if split == "train" else 5):
        if i % 10 == 3:
            yield Drop(f"{split}-{i}", "ends in three")
        else:
            images = [(Fatal if i == 25 else Picture)(root / "images" / f"{i % 4}.png")]
            yield Instance(f"{split}-{i}", Question(i).text(), images, str(i), "Answer the question.", {"number": i})
"""


@pytest.fixture
def mine(tmp_path):
    """Source files and a converter of one's own; what is the same of all calls."""
    from conftest import picture

    (tmp_path / "root/images").mkdir(parents=True)
    for i in range(4):
        (tmp_path / f"root/images/{i}.png").write_bytes(picture(i))
    (tmp_path / "my_set.py").write_text(MY_SET, "utf-8")
    return {
        "dataset": "my-set",
        "root": tmp_path / "root",
        "converter": f"{tmp_path / 'my_set.py'}:convert",
        "shard_bytes": 4000,
    }


def pack(root, kind):
    """Put the pictures of a root into an archive."""
    images = root / "images"
    if kind == "zip":
        with zipfile.ZipFile(root / "any name.zip", "w") as archive:
            for path in images.iterdir():
                archive.write(path, f"images/{path.name}")
    else:
        with tarfile.open(root / f"any name.{kind}", "w:gz" if kind.endswith("gz") else "w") as archive:
            archive.add(images, "./images")
    shutil.rmtree(images)


def bytes_of(out):
    """Every file that a run leaves for others, by its path."""
    kept = [path for path in sorted(out.rglob("*")) if path.is_file() and ".work" not in path.parts]
    return {str(path.relative_to(out)): path.read_bytes() for path in kept}


def drops_of(folder):
    return [json.loads(line) for line in (folder / "drops.jsonl").read_text("utf-8").splitlines()]


def run_apart(out, mine, workers=1, **more):
    """Convert in a process of its own, which may be killed; the finished process."""
    arguments = {key: str(value) if isinstance(value, Path) else value for key, value in mine.items()}
    program = f"from m3it.making.convert import convert; convert(out={str(out)!r}, workers={workers}, **{arguments!r})"
    env = {**os.environ, "PYTHONPATH": str(ROOT), **more.pop("env", {})}
    return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, **more)


# ---- one run


def test_rows_are_the_converters_with_pictures_read_and_drops_listed(tmp_path, mine):
    run = convert(out=tmp_path / "out", **mine)
    folder = tmp_path / "out/data/vqa/my-set"
    names = [name for name in run["files"] if name.startswith("train")]
    assert len(names) > 3 and list(run["files"]) == [*sorted(names), "test.jsonl"]
    rows = [instance_of(row) for name in names for row in read_shard(folder / name)]
    assert [row.id for row in rows] == [f"train-{i}" for i in range(40) if i % 10 != 3]
    for row in rows:
        assert (row.inputs, row.outputs) == (f"What is {row.meta['number']}?", str(row.meta["number"]))
        assert row.images == [(mine["root"] / f"images/{row.meta['number'] % 4}.png").read_bytes()]
    assert [(drop["id"], drop["reason"]) for drop in drops_of(folder)] == [
        (f"{split}-{i}", "ends in three")
        for split, i in (("train", 3), ("train", 13), ("train", 23), ("train", 33), ("test", 3))
    ]
    assert sum(made["drops"].get("ends in three", 0) for made in run["files"].values()) == 5
    assert json.loads((folder / "run.json").read_text("utf-8")) == run
    assert str(tmp_path / "root") not in (folder / "run.json").read_text("utf-8")


def test_instructions_are_drawn_by_dataset_and_row(tmp_path):
    run = convert("okvqa", FIXTURES / "okvqa", tmp_path, on_error="drop")
    rows = [instance_of(row) for name in run["files"] for row in read_shard(tmp_path / "data/kvqa/okvqa" / name)]
    assert len(rows) == 12
    assert [row.instruction for row in rows] == [choose(instructions("okvqa"), "okvqa", row.id) for row in rows]


def test_what_a_converter_does_not_have_is_said(tmp_path, mine):
    with pytest.raises(SourceError, match="there is no validation"):
        convert(out=tmp_path / "out", splits=["validation"], **mine)
    with pytest.raises(M3ITError, match="okvqa: there is no split 'test', only train, validation"):
        convert("okvqa", FIXTURES / "okvqa", tmp_path, ["test"])
    with pytest.raises(M3ITError, match="there is no split 'dev', only train, validation, test"):
        convert(out=tmp_path / "out", splits=["dev"], **mine)
    (tmp_path / "my_set.py").write_text("def convert(root, split):\n    yield from ()\n", "utf-8")
    with pytest.raises(M3ITError, match="my-set: nothing to convert, it yields no rows"):
        convert(out=tmp_path / "out", **mine)
    assert bytes_of(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("converter", "words"),
    [
        ("missing.py:convert", "expected a Python file and a function, my_set.py:convert; .*missing.py is not there"),
        ("my_set.py:other", "has no function 'other'"),
        ("my_set.py:PATH", "has no function 'PATH'"),
        ("images", "expected a Python file"),
    ],
)
def test_a_converter_that_is_not_there_is_one_sentence(tmp_path, mine, converter, words):
    with pytest.raises(M3ITError, match=words):
        convert(out=tmp_path / "out", **{**mine, "converter": str(tmp_path / converter)})


def test_a_row_of_ones_own_without_instruction_is_one_sentence(tmp_path, mine):
    source = (tmp_path / "my_set.py").read_text("utf-8").replace('"Answer the question."', '""')
    (tmp_path / "my_set.py").write_text(source, "utf-8")
    with pytest.raises(M3ITError, match="my-set: there are no instructions to draw from; its converter gives"):
        convert(out=tmp_path / "out", **mine)


@pytest.mark.parametrize("name", ["../mine", "a/b", "", ".hidden", "a b"])
def test_a_name_that_is_no_folders_is_refused(tmp_path, mine, name):
    with pytest.raises(M3ITError, match="expected the name of a folder"):
        convert(out=tmp_path / "out", **{**mine, "dataset": name})


def test_source_files_that_are_not_there_are_asked_for():
    with pytest.raises(M3ITError, match="expected a folder with the source files; there is none. Pass it with --root"):
        convert("okvqa", "no/such/folder")
    with pytest.raises(M3ITError, match="okvqa: pass --root, .* downloaded from https://okvqa.allenai.org"):
        source_root("okvqa", None, Path("."))


@pytest.mark.parametrize(
    ("dataset", "address"),
    [
        ("coco", "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"),
        ("coco-itm", "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"),
        ("fm-iqa", "http://research.baidu.com/Public/uploads/5ac9e10bdd572.gz"),
        ("msrvtt", "https://github.com/ArrowLuo/CLIP4Clip"),
    ],
)
def test_missing_annotations_are_said_to_come_from_where_they_do(tmp_path, dataset, address):
    with pytest.raises(
        SourceError,
        match=rf"It is downloaded from {address}; `m3it download .* lists the rest\. To convert another .* --split\.",
    ):
        convert(dataset, tmp_path, tmp_path / "out")


def test_either_list_of_the_classes_of_imagenet_is_enough(tmp_path):
    with pytest.raises(SourceError, match="LOC_synset_mapping.txt or ILSVRC2012_devkit_t12/data/meta.mat is not there"):
        convert("imagenet", tmp_path, tmp_path / "out", ["train"])


# ---- rows that cannot be read


def test_on_error_raise_names_row_and_file(tmp_path):
    with pytest.raises(
        SourceError, match=r"okvqa/train: row '3000015': missing image \(.*000000.*\.jpg\).*--on-error drop"
    ):
        convert("okvqa", FIXTURES / "okvqa", tmp_path)
    assert bytes_of(tmp_path) == {}


def test_on_error_drop_counts_and_lists_and_goes_on_after_a_raise(tmp_path):
    with pytest.raises(SourceError):
        convert("okvqa", FIXTURES / "okvqa", tmp_path / "out", shard_bytes=8000)
    begun = bytes_of(tmp_path / "out")
    assert begun  # the first shards, for the broken rows stand last
    run = convert("okvqa", FIXTURES / "okvqa", tmp_path / "out", on_error="drop", shard_bytes=8000)
    assert {path: bytes_of(tmp_path / "out")[path] for path in begun} == begun
    drops = [(drop["id"], drop["reason"]) for drop in drops_of(tmp_path / "out/data/kvqa/okvqa")]
    assert drops == [
        ("3000015", "missing image"),
        ("3000025", "unreadable image"),
        ("2971486", "no answers"),
        ("3575865", "missing image"),
    ]
    counted = [(reason, number) for made in run["files"].values() for reason, number in made["drops"].items()]
    assert sum(number for _, number in counted) == 4 and run["options"]["on_error"] == "drop"


def test_half_a_character_in_a_source_is_named_or_dropped(tmp_path, mine):
    source = (
        (tmp_path / "my_set.py")
        .read_text("utf-8")
        .replace('return f"What', "return (chr(0xd83d) if self.number == 7 else '') + f\"What")
    )
    (tmp_path / "my_set.py").write_text(source, "utf-8")
    with pytest.raises(SourceError, match="my-set/train: row 'train-7': expected text, found half a character"):
        convert(out=tmp_path / "out", **mine)
    convert(out=tmp_path / "out", on_error="drop", **mine)
    assert {"id": "train-7", "reason": "broken text"}.items() <= drops_of(tmp_path / "out/data/vqa/my-set")[1].items()


def test_annotations_that_name_a_file_outside_of_the_root_get_no_row_of_it(tmp_path):
    root = tmp_path / "root"
    shutil.copytree(FIXTURES / "visual-mrc", root)
    lines = (root / "data/train.jsonl").read_text("utf-8").splitlines(keepends=True)
    record = json.loads(lines[0])
    shutil.move(root / record["image_filename"], tmp_path / "photo.png")
    lines[0] = json.dumps({**record, "image_filename": "../photo.png"}) + "\n"
    (root / "data/train.jsonl").write_text("".join(lines), "utf-8")
    with pytest.raises(SourceError, match=r"visual-mrc/train: row .*: file outside of the source \(.*photo.png\)"):
        convert("visual-mrc", root, tmp_path / "out", ["train"])
    run = convert("visual-mrc", root, tmp_path / "out", ["train"], on_error="drop")
    assert run["files"]["train.jsonl"]["drops"]["file outside of the source"] == len(record["qa_data"])


@pytest.mark.parametrize(
    ("dataset", "pictures", "first"),
    [
        ("vist", "images", r"images/train/\d+\.jpg"),
        ("ocr-vqa", "images", r"images/\w+\.\w+"),
        ("mocheg", "train/images", "train/images"),
        ("vcr", "vcr1images", r"vcr1images/.*\.json"),
        ("okvqa", "train2014", r"train2014/COCO_train2014_\d+\.jpg"),  # looked for when its rows are written
    ],
)
def test_a_split_of_which_no_row_is_left_is_an_error_that_says_where_it_looked_first(
    tmp_path, dataset, pictures, first
):
    root = tmp_path / "root"
    shutil.copytree(FIXTURES / dataset, root)
    for archive in (root / f"{pictures}.zip", root / f"{pictures}.tar", root / f"{pictures}.tar.gz"):
        archive.unlink(missing_ok=True)
    if (root / pictures).exists():
        shutil.rmtree(root / pictures)
    with pytest.raises(
        SourceError, match=rf"{dataset}/train: no row is left of \d+ \(.*Looked first for {root}/{first}"
    ):
        convert(dataset, root, tmp_path / "out", ["train"], on_error="drop")
    assert not [path for path in bytes_of(tmp_path / "out") if "train" in path]
    shutil.copytree(FIXTURES / dataset, root, dirs_exist_ok=True)
    assert convert(dataset, root, tmp_path / "out", ["train"], on_error="drop")["files"]["train.jsonl"]["num_rows"]


def test_a_file_of_the_name_that_lies_elsewhere_is_told(tmp_path):
    root = tmp_path / "root"
    shutil.copytree(FIXTURES / "vist", root)
    shutil.move(root / "images/train", root / "photos")
    with pytest.raises(SourceError, match=rf"A file of that name lies in {root}/photos\."):
        convert("vist", root, tmp_path / "out", ["train"])


def test_source_files_without_a_row_are_an_error(tmp_path):
    shutil.copytree(FIXTURES / "a-okvqa", tmp_path / "root")
    (tmp_path / "root/aokvqa_v1p0_train.json").write_text("[]")
    with pytest.raises(SourceError, match="a-okvqa/train: its source files hold no row"):
        convert("a-okvqa", tmp_path / "root", tmp_path / "out", ["train"])


def test_pictures_known_by_their_names_are_missed_by_name(tmp_path):
    shutil.copytree(FIXTURES / "mmchat", tmp_path / "root")
    for path in [path for path in (tmp_path / "root").rglob("*") if path.suffix in (".jpg", ".png", ".zip", ".gif")]:
        path.unlink()
    with pytest.raises(SourceError, match=r"mmchat/train: no row is left .*Looked first for .*/[0-9a-f]{64}\.\w+"):
        convert("mmchat", tmp_path / "root", tmp_path / "out", ["train"], on_error="drop")


def test_a_split_of_ones_own_of_which_no_row_is_left_is_not_passed_over(tmp_path, mine):
    source = (tmp_path / "my_set.py").read_text("utf-8").replace("i % 10 == 3", "i % 10 == 3 or split == 'test'")
    (tmp_path / "my_set.py").write_text(source, "utf-8")
    with pytest.raises(SourceError, match=r"my-set/test: no row is left of 5 \(5 ends in three\)"):
        convert(out=tmp_path / "out", **mine)


def test_a_hypothesis_without_a_label_is_dropped(tmp_path):
    shutil.copytree(FIXTURES / "snli-ve", tmp_path / "root")
    (file,) = (tmp_path / "root").rglob("esnlive_dev.csv")
    lines = file.read_text("utf-8").splitlines(keepends=True)
    changed = re.sub(r"\b(entailment|neutral|contradiction)\b", "-", lines[1], count=1)
    assert changed != lines[1]
    file.write_text("".join([lines[0], changed, *lines[2:]]), "utf-8")
    run = convert("snli-ve", tmp_path / "root", tmp_path / "out", ["validation"], on_error="drop")
    assert run["files"]["validation.jsonl"]["drops"]["no label"] == 1


# ---- the same bytes


@pytest.fixture
def whole(tmp_path, mine):
    """What a run of one worker makes that nobody disturbs."""
    convert(out=tmp_path / "whole", **mine)
    return bytes_of(tmp_path / "whole")


@pytest.mark.parametrize(("rows", "num_bytes"), [(0, 0), (30, 64_000_000), (1 << 15, -1)])
@pytest.mark.parametrize("workers", [1, 2])
def test_rows_that_planning_has_not_kept_are_made_again(tmp_path, mine, whole, rows, num_bytes, workers, monkeypatch):
    monkeypatch.setattr("m3it.making.convert.KEPT_ROWS", rows)
    monkeypatch.setattr("m3it.making.convert.KEPT_BYTES", num_bytes)
    convert(out=tmp_path / "out", workers=workers, **mine)
    assert bytes_of(tmp_path / "out") == whole


def count_calls(tmp_path):
    """Let the converter of one's own write down each call; where."""
    log, file = tmp_path / "calls", tmp_path / "my_set.py"
    source, opening = file.read_text("utf-8"), "def convert(root, split):\n"
    assert opening in source
    written = f"    open({str(log)!r}, 'a').write(split + ' ')\n"
    file.write_text(source.replace(opening, opening + written), "utf-8")
    return log


@pytest.mark.parametrize("workers", [1, 2])
def test_annotations_are_read_once_by_all_workers(tmp_path, mine, workers):
    log = count_calls(tmp_path)
    convert(out=tmp_path / "out", workers=workers, **mine)
    assert log.read_text() == "train validation test "


def test_each_worker_reads_annotations_once_where_planning_has_not_kept_the_rows(tmp_path, mine, monkeypatch):
    monkeypatch.setattr("m3it.making.convert.KEPT_ROWS", 0)
    log = count_calls(tmp_path)
    convert(out=tmp_path / "out", workers=2, splits=["train"], **mine)
    calls = log.read_text().split()
    assert 2 <= len(calls) <= 3  # for the plan, and in each worker that found work


@pytest.mark.parametrize("kept_rows", [0, 1 << 15])
@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_threads_that_share_a_conversion_make_the_same_bytes(tmp_path, mine, whole, kind, kept_rows, monkeypatch):
    monkeypatch.setattr("m3it.making.convert.KEPT_ROWS", kept_rows)
    if kind != "folder":
        pack(mine["root"], kind)
    conversion = Conversion(**mine, limit=None, num_frames=8, on_error="raise")
    pieces, folder = conversion.plan(["train", "test"]), tmp_path / "out/data/vqa/my-set"
    with ThreadPoolExecutor(4) as threads:
        map_shards(conversion.write, pieces, folder, {}, threads)
    made = bytes_of(tmp_path / "out")
    assert made == {path: whole[path] for path in made} and len(made) == len(pieces) > 4


def test_a_converter_that_fails_in_a_thread_is_begun_again_there(tmp_path, mine, whole):
    source = (tmp_path / "my_set.py").read_text("utf-8")
    broken = source.replace(
        "        if i % 10 == 3:",
        "        if i == 8 and (root / 'broken').exists(): raise KeyError(i)\n        if i % 10 == 3:",
    )
    (tmp_path / "my_set.py").write_text(broken, "utf-8")
    conversion = Conversion(**mine, limit=None, num_frames=8, on_error="raise")
    assert len(list(conversion.rows("train", 0, 4))) == 4
    (mine["root"] / "broken").touch()
    with pytest.raises(KeyError):
        list(conversion.rows("train", 4, 12))
    (mine["root"] / "broken").unlink()
    assert [row.id for row in conversion.rows("train", 12, 14)] == ["train-12", "train-13"]


def test_a_conversion_that_travels_begins_anew(tmp_path, mine):
    conversion = Conversion(**mine, limit=6, num_frames=8, on_error="raise")
    conversion.plan(["train"])
    sent = pickle.loads(pickle.dumps(conversion.write)).__self__
    assert [row.id for row in sent.rows("train", 4, 7)] == ["train-4", "train-5", "train-6"]
    assert (sent.dataset, sent.limit, sent.root, sent.on_error) == ("my-set", 6, mine["root"], "raise")


def test_two_workers_make_the_same_bytes(tmp_path, mine, whole):
    convert(out=tmp_path / "out", workers=2, **mine)
    assert bytes_of(tmp_path / "out") == whole


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(tmp_path, mine, whole, workers):
    folder = tmp_path / "out/data/vqa/my-set"
    done = run_apart(tmp_path / "out", mine, workers, env={"KILL_IN": str(folder)})
    if workers == 1:
        assert done.returncode == -signal.SIGKILL
    else:
        assert done.returncode == 1 and "a worker was killed" in done.stderr.splitlines()[-1]
    recorded = [folder / path.name.removesuffix(".json") for path in (folder / ".work").glob("*.jsonl.json")]
    finished = {path: path.stat().st_mtime_ns for path in recorded}
    assert 2 <= len(finished) < len(whole) - 2 and not (folder / "run.json").exists()
    assert run_apart(tmp_path / "out", mine, workers).returncode == 0
    assert bytes_of(tmp_path / "out") == whole
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_workers_of_a_killed_run_end_and_cannot_meddle_with_the_next(tmp_path, mine, whole):
    source = (tmp_path / "my_set.py").read_text("utf-8")
    slow = source.replace(
        "        return super().read()",
        "        time.sleep(float(os.environ.get('SLEEP', 0)))\n        return super().read()",
    )
    assert slow != source
    (tmp_path / "my_set.py").write_text(slow.replace("import os, signal", "import os, signal, time"), "utf-8")
    arguments = {key: str(value) if isinstance(value, Path) else value for key, value in mine.items()}
    program = (
        f"from m3it.making.convert import convert; convert(out={str(tmp_path / 'out')!r}, workers=2, **{arguments!r})"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SLEEP": "600"}
    run = subprocess.Popen([sys.executable, "-c", program], env=env)
    unfinished = wait_for(lambda: list((tmp_path / "out").rglob(".train-*.tmp")))
    workers = {int(path.suffixes[-2][1:].split("-")[0]) for path in unfinished}
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    convert(out=tmp_path / "out", **mine)
    assert bytes_of(tmp_path / "out") == whole  # nothing unfinished lies there, either
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def wait_for(done):
    """What `done` returns, as soon as it is true."""
    while not (found := done()):
        time.sleep(0.05)
    return found


def test_a_disk_that_is_full_is_one_sentence_and_nothing_half_written(tmp_path, mine, whole):
    fits = max(len(content) for path, content in whole.items() if "train" in path) - 100

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (fits, fits))

    done = run_apart(tmp_path / "out", mine, preexec_fn=small_files)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "cannot be made, File too large" in last and "call again to go on" in last
    left = bytes_of(tmp_path / "out")
    assert all(whole[path] == content for path, content in left.items())
    convert(out=tmp_path / "out", **mine)
    assert bytes_of(tmp_path / "out") == whole


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, mine):
    (tmp_path / "out").touch()
    with pytest.raises(M3ITError, match="cannot be made, .*[Nn]ot a directory"):
        convert(out=tmp_path / "out", **mine)


def test_one_split_after_the_other_makes_what_one_run_makes(tmp_path, mine, whole):
    convert(out=tmp_path / "out", splits=["test"], **mine)
    convert(out=tmp_path / "out", splits=["train"], **mine)
    assert bytes_of(tmp_path / "out") == whole


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_gives_the_bytes_of_its_folder(tmp_path, mine, whole, kind):
    pack(mine["root"], kind)
    convert(out=tmp_path / "out", workers=2, **mine)
    assert bytes_of(tmp_path / "out") == whole


def test_a_root_may_be_given_in_any_spelling(tmp_path, mine, whole, monkeypatch):
    monkeypatch.chdir(tmp_path)
    convert(out="out", **{**mine, "root": "root"})
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jsonl") if path.name != "drops.jsonl"
    }
    convert(out=tmp_path / "out", **{**mine, "root": tmp_path / "root"})
    assert bytes_of(tmp_path / "out") == whole
    assert {path: path.stat().st_mtime_ns for path in before} == before


# ---- a used folder


def test_limit_takes_the_first_rows_and_other_options_are_refused(tmp_path, mine):
    run = convert(out=tmp_path / "out", limit=5, **mine)
    made = run["files"]["train.jsonl"]
    assert (made["num_rows"], made["drops"], run["options"]["limit"]) == (5, {"ends in three": 1}, 5)
    before = bytes_of(tmp_path / "out")
    with pytest.raises(M3ITError, match="limit=5, not 4"):
        convert(out=tmp_path / "out", limit=4, **mine)
    with pytest.raises(ShardError, match="holds train.jsonl already; train-00000-of-.* the same split again"):
        convert(out=tmp_path / "out", **mine)
    with pytest.raises(M3ITError, match="num_frames=8, not 4"):
        convert(out=tmp_path / "out", limit=5, num_frames=4, **mine)
    assert bytes_of(tmp_path / "out") == before


@pytest.mark.parametrize("broken", [None, b"<html>"])
def test_limit_counts_rows_where_drops_come_first(tmp_path, mine, broken):
    for name in ("0.png", "1.png"):
        if broken is None:
            (mine["root"] / "images" / name).unlink()
        else:
            (mine["root"] / "images" / name).write_bytes(broken)
    run = convert(out=tmp_path / "out", limit=1, splits=["train"], on_error="drop", **mine)
    reason = "unreadable image" if broken else "missing image"
    assert (run["files"]["train.jsonl"]["num_rows"], run["files"]["train.jsonl"]["drops"]) == (1, {reason: 2})


def test_a_source_with_more_rows_is_not_mixed_with_what_was_made_of_fewer(tmp_path, mine):
    convert(out=tmp_path / "out", splits=["test"], **mine)
    source = (tmp_path / "my_set.py").read_text("utf-8")
    # of another length: Python takes a file of the same length and second for the one that it has compiled
    (tmp_path / "my_set.py").write_text(source.replace("else 5", "else 5 + 1"), "utf-8")
    with pytest.raises(M3ITError, match="test.jsonl: was made with stop=5, not 6"):
        convert(out=tmp_path / "out", splits=["test"], **mine)


# A converter of one's own that says the lines of a file, each beside a picture.
LINES = """
from m3it.rows.instance import Instance
from m3it.sources.kit.texts import read_lines
from m3it.sources.kit.media import Picture

def convert(root, split):
    for number, line in enumerate(read_lines(root / f"{split}.txt")):
        yield Instance(f"{number}", line, [Picture(root / "images" / f"{number % 4}.png")], "yes", "Is it so?")
"""


@pytest.fixture
def lines(tmp_path, mine):
    """The same with train alone, of 40 lines in four or more shards."""
    (mine["root"] / "train.txt").write_text("".join(f"old {i:02}\n" for i in range(40)))
    (tmp_path / "my_set.py").write_text(LINES, "utf-8")
    return {**mine, "splits": ["train"], "shard_bytes": 8000}


def rewrite_lines(root, tmp_path):
    (root / "train.txt").write_text("".join(f"new {i:02}\n" for i in range(40)))


def rewrite_the_last_line(root, tmp_path):
    text = (root / "train.txt").read_text()
    (root / "train.txt").write_text(text.replace("old 39", "new 39"))


def rewrite_a_picture(root, tmp_path):
    stat = (root / "images/1.png").stat()
    os.utime(root / "images/1.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))  # as any other of the same size


def rewrite_the_archive_of_pictures(root, tmp_path):
    os.utime(root / "any name.zip", ns=(0, 0))


def rewrite_the_converter(root, tmp_path):
    (tmp_path / "my_set.py").write_text(LINES + "\n# what it reads now may be other bytes\n", "utf-8")


@pytest.mark.parametrize(
    "rewrite", [rewrite_lines, rewrite_the_last_line, rewrite_a_picture, rewrite_the_archive_of_pictures,
                rewrite_the_converter],
)  # fmt: skip
def test_a_source_that_has_changed_since_is_refused(tmp_path, lines, rewrite):
    if "archive" in rewrite.__name__:
        pack(lines["root"], "zip")
    convert(out=tmp_path / "out", **lines)
    before = bytes_of(tmp_path / "out")
    convert(out=tmp_path / "out", **lines)
    rewrite(lines["root"], tmp_path)
    with pytest.raises(M3ITError, match=r"was made with source=\w+, not \w+. Its source has changed since. Delete"):
        convert(out=tmp_path / "out", **lines)
    assert bytes_of(tmp_path / "out") == before


def test_a_run_that_was_killed_does_not_go_on_with_other_lines(tmp_path, lines):
    source = (tmp_path / "my_set.py").read_text("utf-8")
    fatal = MY_SET[MY_SET.index("class Fatal") : MY_SET.index("def convert")]
    killed = source.replace("def convert", f"import os, signal\nfrom pathlib import Path\n{fatal}\ndef convert")
    (tmp_path / "my_set.py").write_text(killed.replace("[Picture(", "[(Fatal if number == 30 else Picture)("), "utf-8")
    folder = tmp_path / "out/data/vqa/my-set"
    assert run_apart(tmp_path / "out", lines, env={"KILL_IN": str(folder)}).returncode == -signal.SIGKILL
    before = bytes_of(tmp_path / "out")
    assert len(before) >= 2
    rewrite_lines(lines["root"], tmp_path)
    with pytest.raises(M3ITError, match="Its source has changed since"):
        convert(out=tmp_path / "out", **lines)
    assert before == {path: bytes_of(tmp_path / "out")[path] for path in before}


def test_a_source_that_is_the_same_in_another_place_goes_on(tmp_path, lines):
    convert(out=tmp_path / "out", **lines)
    before = bytes_of(tmp_path / "out")
    shutil.copytree(lines["root"], tmp_path / "moved")  # with the times of its files
    convert(out=tmp_path / "out", **{**lines, "root": tmp_path / "moved"})
    assert bytes_of(tmp_path / "out") == before


@pytest.mark.parametrize("kept_rows", [0, 1 << 15])
def test_a_source_that_changes_while_it_is_read_is_said(tmp_path, lines, kept_rows, monkeypatch):
    monkeypatch.setattr("m3it.making.convert.KEPT_ROWS", kept_rows)
    conversion = Conversion("my-set", lines["root"], None, 8, 8000, lines["converter"], "raise")
    pieces = conversion.plan(["train"])
    (rewrite_lines if kept_rows == 0 else rewrite_a_picture)(lines["root"], tmp_path)
    with pytest.raises(SourceError, match=r"my-set/train: rows 1 to \d+ are not .* changed while it was read"):
        map_shards(conversion.write, pieces, tmp_path / "out", {})
    assert bytes_of(tmp_path / "out") == {}


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_a_cluster_makes_the_same_bytes(tmp_path, mine, whole, threads):
    distributed = pytest.importorskip("distributed", reason="Dask is an extra: pip install -e '.[cluster]'")
    options = {"processes": True, "n_workers": 2, "threads_per_worker": threads, "dashboard_address": None}
    with distributed.LocalCluster(**options, local_directory=str(tmp_path / "dask")) as cluster:
        convert(out=tmp_path / "out", cluster=cluster.scheduler_address, **mine)
    assert bytes_of(tmp_path / "out") == whole

"""m3it.load_dataset, the script and plain `datasets` against a real Hub: every row of this repository, faults,
pinning, offline.

`nox -s matrix` runs this file under each `datasets` we promise.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import datasets
import legacy_maker
import pytest
from conftest import ROOT, make_row, write_rows
from legacy_maker import p, served, write_lines
from legacy_script import _URLS
from packaging.version import Version
from programs import PRELUDE, fails, run
from published_rows import rows_of

import m3it
from M3IT import ShardError
from m3it.reading.load import load_builder, load_dataset
from m3it.reading.published.table import TABLE

CONFIGS = ("viquae", "nlvr", "vist", "coco-cn", "msrvtt-qa", "okvqa-zh")
FIELDS = ("instruction", "inputs", "image_base64_str", "outputs")
SCRIPTS = Version(datasets.__version__) < Version("4")


def lines_of(config):
    """Split -> rows of a config of this repository, read with nothing but json."""
    (folder,) = [d for d in ROOT.glob("data/*/*") if d.name == config] or [
        d for d in ROOT.glob("data/*/*/*") if f"{d.parent.name}-{d.name}" == config
    ]
    return {
        p.stem: [json.loads(line) for line in p.read_text("utf-8").splitlines()]
        for p in sorted(folder.glob("[tv]*.jsonl"))
    }


@pytest.fixture(scope="module")
def this_repository(hub, tmp_path_factory):
    """This repository on the Hub: the script, the card, the sample."""
    folder = tmp_path_factory.mktemp("repository") / "anything"
    folder.mkdir()
    for name in ("M3IT.py", "README.md", "dataset_infos.json"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "data", folder / "data")
    hub.add("Org/M3IT", folder)
    (folder / "M3IT.py").unlink()
    hub.add("Org/plain", folder)
    return "Org/M3IT"


LOAD = """
from {module} import load_dataset
out = {{}}
for split in {splits!r}:
    extra = {extra}
    loaded = load_dataset({repo!r}, {config!r}, split=split, **extra)
    streamed = load_dataset({repo!r}, {config!r}, split=split, streaming=True, **extra)
    out[split] = [[dict(row) for row in loaded], [dict(row) for row in streamed]]
print(json.dumps(out))
"""


def compare(out, config, fields=FIELDS):
    for split, rows in lines_of(config).items():
        expected = [{name: row[name] for name in fields} for row in rows]
        assert out[split] == [expected, expected], (config, split)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_imported_builder_gives_every_row_of_the_hub(hub, this_repository, tmp_path, config):
    code = LOAD.format(module="m3it", splits=list(lines_of(config)), repo=this_repository, config=config, extra="{}")
    compare(run(hub, tmp_path / "home", code), config)


@pytest.mark.skipif(not SCRIPTS, reason="datasets >= 4 runs no scripts")
@pytest.mark.parametrize("config", CONFIGS)
def test_the_script_gives_every_row_of_the_hub(hub, this_repository, tmp_path, config):
    extra = "{'trust_remote_code': True}"
    code = LOAD.format(
        module="datasets", splits=list(lines_of(config)), repo=this_repository, config=config, extra=extra
    )
    compare(run(hub, tmp_path / "home", code), config)


@pytest.mark.parametrize("config", CONFIGS)
def test_plain_datasets_gives_every_row_of_a_repository_without_script(hub, this_repository, tmp_path, config):
    code = LOAD.format(
        module="datasets", splits=list(lines_of(config)), repo="Org/plain", config=config, extra="{'revision': 'main'}"
    )
    compare(run(hub, tmp_path / "home", code), config, (*FIELDS, "meta"))


def test_plain_datasets_loads_a_clone_by_its_folder(hub, this_repository, tmp_path):
    clone = tmp_path / "M3IT"
    shutil.copytree(ROOT / "data", clone / "data")
    for name in ("M3IT.py", "README.md", "dataset_infos.json"):
        shutil.copy(ROOT / name, clone)
    (tmp_path / "elsewhere").mkdir()
    code = "from datasets import load_dataset; d = load_dataset('../M3IT/.', 'viquae')"
    code += "; print(json.dumps({s: d[s].num_rows for s in d}))"
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        env=hub.environ(tmp_path / "home"),
        capture_output=True,
        text=True,
        cwd=tmp_path / "elsewhere",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.strip().split("\n")[-1]) == {
        split: len(rows) for split, rows in lines_of("viquae").items()
    }


def test_every_config_of_the_sample_streams_from_the_hub(hub, this_repository, tmp_path):
    code = f"""
from m3it import load_dataset
from m3it.reading.load import load_builder
names = load_builder({this_repository!r}, "viquae").found()
out = {{}}
for name in names:
    splits = load_dataset({this_repository!r}, name, streaming=True)
    out[name] = {{split: sum(1 for _ in rows) for split, rows in splits.items()}}
print(json.dumps(out))
"""
    counted = run(hub, tmp_path / "home", code)
    infos = json.loads((ROOT / "dataset_infos.json").read_text("utf-8"))
    assert counted == {name: {s: v["num_examples"] for s, v in info["splits"].items()} for name, info in infos.items()}


# ---- a bigger repository: requests, faults, pinning


@pytest.fixture
def folder(tmp_path):
    """About 3 MB in one file: three pieces."""
    rows = [make_row(i, image_base64_str=["QUJD" * 5000]) for i in range(150)]
    write_rows(tmp_path / "folder/data/kvqa/viquae/train.jsonl", rows)
    return tmp_path / "folder"


STREAM = """
import logging; logging.disable(logging.WARNING)
import M3IT; M3IT.RETRY_SECONDS = (0.1,) * 6
from m3it import load_dataset
rows = load_dataset({repo!r}, "viquae", split="train", streaming=True{extra})
print(json.dumps([row["inputs"] for row in rows]))
"""


@pytest.mark.parametrize("kind", [429, 500, 503, "cut", "short", "whole"])
def test_a_server_that_fails_and_recovers_loses_no_row(hub, folder, tmp_path, kind):
    repo = f"Org/faults-{kind}"
    hub.add(repo, folder)
    hub.fault(f"{repo}/resolve/.*train.jsonl", kind=kind, times=2)
    assert run(hub, tmp_path / "home", STREAM.format(repo=repo, extra="")) == [f"What is {i}?" for i in range(150)]
    assert not [fault for fault in hub.faults if repo in str(fault)]


def test_a_server_that_stalls_loses_no_row(hub, folder, tmp_path):
    hub.add("Org/stalls", folder)
    hub.fault("Org/stalls/resolve/.*train.jsonl", kind="stall", times=1)
    out = run(hub, tmp_path / "home", STREAM.format(repo="Org/stalls", extra=""), HF_HUB_DOWNLOAD_TIMEOUT="2")
    assert out == [f"What is {i}?" for i in range(150)]


def test_a_server_that_never_recovers_ends_in_one_clear_sentence(hub, folder, tmp_path):
    hub.add("Org/dead", folder)
    hub.fault("Org/dead/resolve/.*train.jsonl", kind="short", times=1000)
    message = fails(hub, tmp_path / "home", STREAM.format(repo="Org/dead", extra=""))
    assert message.startswith(
        "M3IT.ShardError: Org/dead/data/kvqa/viquae/train.jsonl: cannot be read, OSError: asked for"
    )


def test_a_listing_that_is_refused_once_is_asked_again(hub, folder, tmp_path):
    hub.add("Org/listing", folder)
    hub.fault("Org/listing/(tree|revision)", kind=429, times=2, retry_after_seconds=1)
    assert len(run(hub, tmp_path / "home", STREAM.format(repo="Org/listing", extra=""))) == 150


def test_workers_ask_the_api_nothing_and_read_only_their_ranges(hub, folder, tmp_path):
    pytest.importorskip("torch", reason="torch is an extra")
    hub.add("Org/requests", folder)
    code = """
if __name__ == "__main__":
    import torch.utils.data as data
    from m3it import load_dataset
    dataset = load_dataset("Org/requests", "viquae", split="train", streaming=True)
    loader = data.DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    print(json.dumps(sorted(row["inputs"] for row in loader)))
"""
    script = tmp_path / "train.py"
    script.write_text(PRELUDE + code)
    start = len(hub.requests)
    done = subprocess.run([sys.executable, script], env=hub.environ(tmp_path / "home"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.strip().split("\n")[-1]) == sorted(f"What is {i}?" for i in range(150))
    asked = [request for request in hub.requests[start:] if "Org/requests" in request.path]
    ranged = [request for request in asked if request.range]
    size = (folder / "data/kvqa/viquae/train.jsonl").stat().st_size
    assert len(asked) - len(ranged) <= 4, asked  # the commit, one listing and its pages: asked once, by the parent
    assert sum(request.num_bytes for request in ranged) < 1.5 * size


def test_two_revisions_share_no_cache_and_a_moved_branch_is_seen(hub, folder, tmp_path):
    first = hub.add("Org/moves", folder)
    write_rows(folder / "data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(7)])
    code = "from m3it import load_dataset\nprint(json.dumps(load_dataset('Org/moves', 'viquae'{})['train'].num_rows))"
    assert run(hub, tmp_path / "home", code.format("")) == 150
    second = hub.add("Org/moves", folder)
    assert run(hub, tmp_path / "home", code.format("")) == 7
    assert run(hub, tmp_path / "home", code.format(f", revision={first!r}")) == 150
    assert run(hub, tmp_path / "home", code.format(f", revision={second!r}")) == 7


def test_what_was_loaded_once_loads_offline_under_the_same_name(hub, folder, tmp_path):
    hub.add("Org/offline", folder)
    code = "from m3it import load_dataset\nprint(json.dumps(load_dataset('Org/offline', 'viquae')['train'].num_rows))"
    assert run(hub, tmp_path / "home", code) == 150
    start = len(hub.requests)
    assert run(hub, tmp_path / "home", code, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1") == 150
    assert len(hub.requests) == start


@pytest.mark.parametrize("kind", [429, 503])
def test_the_second_start_has_the_patience_of_the_first(hub, folder, tmp_path, kind):
    repo = f"Org/again-{kind}"
    hub.add(repo, folder)
    for _ in range(2):
        hub.fault(f"{repo}/revision/", kind=kind, times=1)
        assert len(run(hub, tmp_path / "home", STREAM.format(repo=repo, extra=""))) == 150
    assert not [fault for fault in hub.faults if repo in str(fault)]


def test_an_expired_address_is_asked_for_anew_once(hub, folder, tmp_path):
    hub.add("Org/signed", folder)
    hub.fault("Org/signed/resolve/.*train.jsonl", kind=403, times=1)
    assert len(run(hub, tmp_path / "home", STREAM.format(repo="Org/signed", extra=""))) == 150
    hub.fault("Org/signed/resolve/.*train.jsonl", kind=403, times=1000)
    before = len(hub.requests)
    message = fails(hub, tmp_path / "home", STREAM.format(repo="Org/signed", extra=""))
    assert message.startswith("M3IT.ShardError: Org/signed/data/kvqa/viquae/train.jsonl: cannot be read, ")
    assert "403" in message and len([r for r in hub.requests[before:] if r.range]) <= 4


def test_what_was_never_loaded_says_so_offline(hub, folder, tmp_path):
    hub.add("Org/never", folder)
    message = fails(
        hub, tmp_path / "home", "from m3it import load_dataset; load_dataset('Org/never', 'viquae')", HF_HUB_OFFLINE="1"
    )
    assert "Org/never@main: cannot be read" in message and "offline" in message.lower()


def test_a_repository_that_does_not_exist_is_one_sentence_at_once(hub, tmp_path):
    start = len(hub.requests)
    message = fails(hub, tmp_path / "home", "from m3it import load_dataset; load_dataset('Org/no-such', 'viquae')")
    assert message.startswith("M3IT.ShardError: Org/no-such@main: cannot be read, RepositoryNotFoundError")
    assert len(hub.requests) - start <= 2


def test_the_token_travels_to_every_request(hub, folder, tmp_path):
    hub.add("Org/token", folder)
    start = len(hub.requests)
    assert len(run(hub, tmp_path / "home", STREAM.format(repo="Org/token", extra=", token='hf_secret'"))) == 150
    asked = [request for request in hub.requests[start:] if "Org/token" in request.path]
    assert asked and {request.authorization for request in asked} == {"Bearer hf_secret"}


@pytest.mark.skipif(not SCRIPTS, reason="datasets >= 4 runs no scripts")
def test_two_repositories_with_the_same_script_share_no_cache(hub, folder, tmp_path):
    for number, name in ((3, "Org/one"), (5, "Two/one")):
        write_rows(folder / "data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(number)])
        shutil.copy(ROOT / "M3IT.py", folder / "one.py")
        hub.add(name, folder)
    code = "from datasets import load_dataset\n"
    code += "loaded = [load_dataset(n, 'viquae', trust_remote_code=True) for n in ('Org/one', 'Two/one')]\n"
    code += "print(json.dumps([d['train'].num_rows for d in loaded]))"
    assert run(hub, tmp_path / "home", code) == [3, 5]


# ---- what was prepared before


BEFORE = "e9dbbd7"  # the last commit with all modules side by side
PREPARE = """
import json, sys
from m3it.load import load_dataset
rows = {{name: load_dataset(name, "viquae", split="test", cache_dir={cache!r}) for name in {names!r}}}
print(json.dumps({{name: rows[name]["outputs"][:] for name in rows}}))
"""


@pytest.fixture(scope="session")
def code_before(tmp_path_factory):
    """M3IT as it was before its modules got folders."""
    folder = tmp_path_factory.mktemp("before")
    try:
        archive = subprocess.run(
            ["git", "archive", BEFORE, "M3IT.py", "m3it"], cwd=ROOT, check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"no git history here with the commit {BEFORE}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder)
    return folder


def test_what_was_prepared_before_is_read_or_made_anew_and_never_mixed(code_before, repository, tmp_path):
    raw = legacy_maker.m3it(tmp_path / "raw", ("viquae",))
    cache, names = tmp_path / "cache", [str(repository), str(raw)]
    env = {**os.environ, "PYTHONPATH": str(code_before), "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    code = PREPARE.format(cache=str(cache), names=names)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    before = json.loads(done.stdout.strip().split("\n")[-1])
    assert before == {str(repository): ["answer 20", "answer 21", "answer 22"], str(raw): ["The book is Emma."]}

    kept = load_builder(repository, "viquae", cache_dir=cache)
    assert kept.info.splits["test"].num_examples == 3  # prepared then, and read now
    anew = load_builder(raw, "viquae", cache_dir=cache)
    assert not Path(anew.cache_dir).exists()  # rows that other code mapped are mapped again
    for name in names:
        assert load_dataset(name, "viquae", split="test", cache_dir=cache)["outputs"][:] == before[name]

    write_rows(repository / "data/kvqa/viquae/test.jsonl", [make_row(20, outputs="new"), make_row(21), make_row(22)])
    path = raw / "data/vqa/viquae/test_v2.jsonl"
    write_lines(path, [{**json.loads(path.read_text("utf-8")), "paraphrased_answer": "new"}])
    now = [load_dataset(name, "viquae", split="test", cache_dir=cache)["outputs"][:] for name in names]
    assert now == [["new", "answer 21", "answer 22"], ["new"]]


# ---- the published repositories


SIX = (
    "coco",
    "viquae",
    "imagenet",
    "vist",
    "mmchat",
    "snli-ve-rephrased",
)  # five rows a line, v2, options, five pictures, ...
SIX_80 = ("imagenet-zh", "okvqa-zh", "okvqa-he", "vist-zh", "winoground-he", "msrvtt-qa-zh")
BOTH_WAYS = """
from m3it import load_dataset
out = {{}}
for repo, config in {asked!r}:
    loaded = load_dataset(repo, config)
    streamed = load_dataset(repo, config, streaming=True)
    out[config] = {{split: [[dict(row) for row in rows[split]] for rows in (loaded, streamed)] for split in loaded}}
    assert set(loaded) == set(streamed)
print(json.dumps(out))
"""


def loads_and_streams(hub, home, folders, asked):
    """Load and stream configs from the Hub; they must equal what the builder reads from the folders."""
    found = run(hub, home, BOTH_WAYS.format(asked=asked))
    for repo, config in asked:
        for split, (loaded, streamed) in found[config].items():
            local = [{name: row[name] for name in loaded[0]} for row in rows_of(folders[repo], config, split)]
            assert list(loaded[0]) == ["instruction", "inputs", "image_base64_str", "outputs"]
            assert loaded == streamed == local and len(local) >= 1, (config, split)
        assert set(found[config]) == set(load_builder(folders[repo], config).shards(config))


def test_matrix_six_configs_of_each_repository_load_and_stream(hub, on_hub, published, published_80, tmp_path):
    folders = {"Legacy/M3IT": published, "Legacy/M3IT-80": published_80}
    asked = [("Legacy/M3IT", name) for name in SIX] + [("Legacy/M3IT-80", name) for name in SIX_80]
    loads_and_streams(hub, tmp_path / "home", folders, asked)


@pytest.mark.slow
def test_matrix_all_configs_load_and_stream(hub, published, published_80, tmp_path):
    hub.add("Legacy/all", published)  # without a converted branch: every one from its raw rows
    hub.add("Legacy/all-80", published_80)
    folders = {"Legacy/all": published, "Legacy/all-80": published_80}
    asked = [("Legacy/all" if name in TABLE else "Legacy/all-80", name) for name in _URLS]
    assert len(asked) == 54 + 14
    loads_and_streams(hub, tmp_path / "home", folders, asked)


def test_plain_datasets_reads_the_converted_branch(hub, on_hub, tmp_path):
    """The line of docs/it-broke.md for those who do without us."""
    code = """
import datasets
loaded = datasets.load_dataset("Legacy/M3IT", data_dir="chinese-food", revision="refs/convert/parquet")
print(json.dumps({split: [dict(row) for row in rows] for split, rows in loaded.items()}))
"""
    found = run(hub, tmp_path / "home", code)
    assert found == {"test": [served("chinese-food", number) for number in range(2)]}


def test_raw_and_converted_rows_that_were_loaded_once_load_offline(hub, on_hub, tmp_path):
    code = """
from m3it import load_dataset
names = ("viquae", "chinese-food")
print(json.dumps([load_dataset("Legacy/M3IT", name)["test"]["inputs"][:] for name in names]))
"""
    home = tmp_path / "home"
    online = run(hub, home, code)
    before = len(hub.requests)
    offline = run(hub, home, code, HF_HUB_OFFLINE="1")
    assert (
        online == offline == [["Which book?"], ["converted input 0", "converted input 1"]]
        and len(hub.requests) == before
    )


def test_programs_of_users_run_with_one_line_changed(published, tmp_path):
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
    code = PRELUDE + program.format(repo=str(published))
    env = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    columns = ["instruction", "inputs", "image_base64_str", "outputs"]
    assert json.loads(done.stdout.strip().split("\n")[-1]) == [3, "'test'", [[8, 6]] * 3, columns, 3, 15]


def test_several_configs_join_into_one_dataset_of_torch(published):
    torch_data = pytest.importorskip("torch.utils.data")
    joined = torch_data.ConcatDataset(
        [load_dataset(published, name, split="train") for name in ("viquae", "okvqa", "vist")]
    )
    assert len(joined) == 9 and joined[3]["inputs"] == "What sport is this?" and len(joined[6]["image_base64_str"]) == 5


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
    ("config", "license"),
    [
        ("viquae", "annotations: CC-BY-4.0; pictures: Wikimedia Commons terms per image"),
        ("okvqa-zh", "annotations: CC-BY-4.0; pictures: Flickr terms per image"),
        ("coco-mine", ""),
    ],
)
def test_a_dataset_says_what_it_is_and_whose(tmp_path, config, license):
    write_rows(tmp_path / f"data/vqa/{config}/train.jsonl", [make_row(1)])
    info = load_dataset(tmp_path, config, split="train", cache_dir=tmp_path / "cache").info
    assert info.license == license and "li2023m3it" in info.citation and "40 vision-language" in info.description


def test_arguments_of_datasets_are_passed_on_or_said_to_have_no_use(tmp_path):
    write_rows(tmp_path / "data/vqa/gqa/train.jsonl", [make_row(1)])
    plain = {"verification_mode": "no_checks", "save_infos": False, "trust_remote_code": True, "use_auth_token": None}
    loaded = load_dataset(tmp_path, "gqa", split="train", keep_in_memory=True, cache_dir=tmp_path / "cache", **plain)
    assert loaded.num_rows == 1 and not loaded.cache_files
    for argument in ("data_files", "data_dir", "features"):
        assert load_dataset(tmp_path, "gqa", cache_dir=tmp_path / "cache", **{argument: None})["train"].num_rows == 1
        with pytest.raises(TypeError, match=rf"load_dataset\({argument}=...\) has no use here: .*\."):
            load_dataset(tmp_path, "gqa", **{argument: "x"})
    with pytest.raises(TypeError, match="unexpected keyword argument 'imges'"):
        load_dataset(tmp_path, "gqa", imges=True)


def test_several_configs_and_no_name_is_an_error_with_the_list(tmp_path):
    for config in ("coco", "gqa"):
        write_rows(tmp_path / f"data/vqa/{config}/test.jsonl", [make_row(1)])
    with pytest.raises(
        ValueError, match=r"Config name is missing\. .* holds coco, gqa\. Pick one, e\.g\. load_dataset\("
    ):
        load_dataset(tmp_path)
    assert m3it.get_dataset_config_names(tmp_path) == ["coco", "gqa"]
    assert m3it.get_dataset_split_names(tmp_path, "gqa") == ["test"]
    assert m3it.load_dataset_builder(tmp_path, "gqa").config.name == "gqa"

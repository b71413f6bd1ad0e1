"""m3it/publishing/formats/llava.py: conversations, and pictures as files."""

import errno
import json

import pytest
from conftest import make_row, picture, write_rows

from m3it.publishing.release import release
from m3it.rows.instance import M3ITError
from publishing.releases import sums_of


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    """(folder, run.json) of a release in two shards."""
    out = tmp_path_factory.mktemp("llava") / "out"
    return out, release(str(source), out, ["viquae", "nlvr", "science-qa"], format="llava", shard_bytes=30_000)


def test_an_array_and_lines_hold_the_same_conversations(source, made, folder):
    out, run = folder
    for split in ("viquae/train", "nlvr/validation", "science-qa/test"):
        assert run["splits"][split] == made[1]["splits"][split]
    lines = [json.loads(line) for line in (out / "nlvr/validation.jsonl").read_text("utf-8").splitlines()]
    assert lines == json.loads((out / "nlvr/validation.json").read_text("utf-8")) and len(lines) == 5
    assert [turn["from"] for turn in lines[0]["conversations"]] == ["human", "gpt"]
    assert lines[0]["conversations"][0]["value"] == "<image>\n<image>\nAnswer the question.\nWhat is 600?"
    assert [(out / "nlvr" / name).read_bytes() for name in lines[0]["image"]] == [picture(600), picture(601)]
    one, none, _ = json.loads((out / "science-qa/test.json").read_text("utf-8"))
    assert isinstance(one["image"], str) and "image" not in none and "<image>" not in none["conversations"][0]["value"]


def test_internvl_finds_each_file_with_its_rows(folder):
    out, _ = folder
    sets = json.loads((out / "internvl.json").read_text("utf-8"))
    shards = [name for name in sets if name.startswith("viquae-train-")]
    assert len(shards) == 2 and sum(sets[name]["length"] for name in shards) == 230
    for known in sets.values():
        lines = (out / known["annotation"]).read_text("utf-8").splitlines()
        names = [json.loads(line).get("image", []) for line in lines]
        assert len(lines) == known["length"]
        assert all(
            (out / known["root"] / name).is_file() for each in names for name in ([each] if each == str(each) else each)
        )


def test_a_release_that_was_cut_short_goes_on_and_has_the_same_bytes(source, folder, tmp_path, monkeypatch):
    from m3it.publishing.formats import llava

    kept, calls = llava.keep_pictures, []

    def cut(row, place):
        kept(row, place)
        calls.append(row)
        if len(calls) == 150:
            raise KeyboardInterrupt

    monkeypatch.setattr(llava, "keep_pictures", cut)
    asked = {"configs": ["viquae", "nlvr", "science-qa"], "format": "llava", "shard_bytes": 30_000}
    with pytest.raises(KeyboardInterrupt):
        release(str(source), tmp_path / "out", **asked)
    release(str(source), tmp_path / "out", **asked)
    assert sums_of(tmp_path / "out") == sums_of(folder[0])


def test_rows_that_share_a_picture_share_its_file(tmp_path):
    rows = [make_row(i, image_base64_str=make_row(0)["image_base64_str"]) for i in range(5)]
    write_rows(tmp_path / "in/data/vqa/set/train.jsonl", rows)
    release(str(tmp_path / "in"), tmp_path / "out", format="llava")
    assert len(list((tmp_path / "out/set/images").rglob("*.png"))) == 1


def test_a_picture_that_was_lost_is_missed_and_made_anew(tmp_path):
    write_rows(tmp_path / "in/data/vqa/set/train.jsonl", [make_row(i, 2) for i in range(3)])
    run = release(str(tmp_path / "in"), tmp_path / "out", format="llava")
    before = sums_of(tmp_path / "out")
    lost = sorted((tmp_path / "out/set/images").rglob("*.png"))[0]
    lost.unlink()
    with pytest.raises(M3ITError, match=r"train.jsonl: images/../.*png is missing. Delete set/train.jsonl to make"):
        release(str(tmp_path / "in"), tmp_path / "out", format="llava")
    (tmp_path / "out/set/train.jsonl").unlink()
    assert release(str(tmp_path / "in"), tmp_path / "out", format="llava") == run
    assert sums_of(tmp_path / "out") == before


def test_a_disk_that_is_full_leaves_nothing_half_written(tmp_path, monkeypatch):
    def fail(path, data):
        with open(path, "wb") as file:
            file.write(data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    write_rows(tmp_path / "in/data/vqa/set/train.jsonl", [make_row(1)])
    monkeypatch.setattr(type(tmp_path), "write_bytes", fail)
    with pytest.raises(M3ITError, match="train.jsonl: cannot be made, No space left on device. Nothing half-written"):
        release(str(tmp_path / "in"), tmp_path / "out", format="llava")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_what_needs_files_of_its_own_asks_for_a_folder(source):
    with pytest.raises(M3ITError, match="memory://out: format llava makes a file of each picture.*Pass a folder"):
        release(str(source), "memory://out", format="llava")

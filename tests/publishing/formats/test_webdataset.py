"""m3it/publishing/formats/webdataset.py: rows as files of a tar."""

import json
import tarfile

from conftest import picture

from m3it.publishing.release import release
from publishing.releases import sums_of


def test_a_row_is_its_pictures_in_order_and_its_texts(source, made, tmp_path):
    run = release(str(source), tmp_path / "out", ["nlvr"], format="webdataset")
    assert run["splits"]["nlvr/validation"] == made[1]["splits"]["nlvr/validation"]
    with tarfile.open(tmp_path / "out/nlvr/validation.tar") as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}
        assert {(member.mtime, member.uid, member.mode) for member in archive} == {(0, 0, 0o644)}
    assert {name.partition(".")[2] for name in files} == {"0.jpg", "1.jpg", "json"} and len(files) == 15
    first, second, texts = list(files.values())[:3]
    assert [first, second] == [picture(600), picture(601)]
    said = json.loads(texts)
    assert said["question"] == "Answer the question.\nWhat is 600?" and said["references"] == ["answer 600"]
    assert (said["row_id"], said["dataset"]) == ("row-600", "nlvr")


def test_shards_have_no_key_in_common_and_are_counted(source, tmp_path):
    asked = {"configs": ["viquae"], "format": "webdataset", "shard_bytes": 30_000}
    release(str(source), tmp_path / "out", **asked)
    folder = tmp_path / "out/viquae"
    sizes = json.loads((folder / "sizes.json").read_text("utf-8"))
    keys = {}
    for name in sizes:
        with tarfile.open(folder / name) as archive:
            keys[name] = {member.name.partition(".")[0] for member in archive}
    assert {name: len(found) for name, found in keys.items()} == sizes
    assert len(set.union(*keys.values())) == sum(sizes.values()) == 233
    index = json.loads((folder / "train-index.json").read_text("utf-8"))
    assert {shard["url"]: shard["nsamples"] for shard in index["shardlist"]}.items() <= sizes.items()
    release(str(source), "memory://tars", **asked)
    release(str(source), tmp_path / "again", **asked, workers=2)
    assert sums_of(tmp_path / "again") == sums_of(tmp_path / "out")

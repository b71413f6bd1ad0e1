"""m3it/publishing/destination.py: no release overwrites its source or somebody's card."""

import hashlib

import fsspec
import huggingface_hub
import pytest
from conftest import make_row, write_rows

from m3it.publishing.destination import place_of
from m3it.publishing.release import release
from m3it.rows.instance import M3ITError
from publishing.releases import sums_of

OWN = {
    "itself": ("repo", "repo"),
    "with a dot": ("repo", "repo/."),
    "a link to it": ("repo", "link"),
    "through a link": ("link", "repo"),
    "a URL of it": ("repo", "file://{}/repo"),
    "by a URL": ("file://{}/repo/", "repo"),
    "through a cache": ("simplecache::file://{}/repo", "link"),
    "a link to its data": ("repo", "shared"),
    "in its data": ("repo", "repo/data/made"),
    "a bucket": ("memory://{}/repo", "memory://{}/repo/"),
}


@pytest.mark.parametrize("format", ["parquet", "messages", "jsonl"])
@pytest.mark.parametrize("names", OWN.values(), ids=OWN)
def test_a_release_onto_its_own_source_is_refused_by_whatever_name(tmp_path, names, format):
    write_rows(tmp_path / "repo/data/kvqa/viquae/train.jsonl", [make_row(0)])
    (tmp_path / "repo/README.md").write_text("Mine.", "utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "repo")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/data").symlink_to(tmp_path / "repo/data")
    fsspec.filesystem("memory").put(str(tmp_path / "repo"), f"{tmp_path}/repo", recursive=True)
    source, out = (name.format(tmp_path) if "://" in name else str(tmp_path / name.format(tmp_path)) for name in names)
    before = sums_of(tmp_path)
    with pytest.raises(M3ITError, match="expected another folder than the one that is read"):
        release(source, out, format=format)
    assert sums_of(tmp_path) == before


def test_a_hub_repository_is_one_place_at_all_of_its_revisions(tmp_path):
    hub = huggingface_hub.HfFileSystem()
    place = place_of(hub, "datasets/user/name@0123abc")
    assert place == place_of(hub, "datasets/user/name") == place_of(hub, "datasets/user/name@refs/pr/1/")
    assert place != place_of(hub, "datasets/user/name/release")
    assert place_of(hub, "datasets/user/name@main/data")[1] == "datasets/user/name/data"


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
@pytest.mark.parametrize("name", ["README.md", "LICENSES.md", "dataset_infos.json"])
def test_a_card_that_no_release_made_is_not_overwritten(source, tmp_path, format, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("Mine.", "utf-8")
    with pytest.raises(M3ITError, match=f"{name}: is there already, and no release made it"):
        release(str(source), tmp_path / "out", ["nlvr"], format=format)
    assert sums_of(tmp_path / "out") == {name: hashlib.sha256(b"Mine.").hexdigest()}

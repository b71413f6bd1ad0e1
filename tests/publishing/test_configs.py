"""m3it/publishing/configs.py: which configs are released, where, and which names are refused."""

import pyarrow.parquet as pq
import pytest
from conftest import make_row, write_rows

from m3it.publishing.release import release
from m3it.rows.instance import M3ITError


def test_a_translation_stands_beside_its_dataset_with_its_language(made):
    row = pq.read_table(made[0] / "data/kvqa/okvqa/zh-images/train.parquet").to_pylist()[0]
    assert (row["dataset"], row["language"], row["inputs"]) == ("okvqa", "zh", "什么 800")
    assert (made[0] / "data/kvqa/okvqa/zh/train.parquet").exists()


def test_a_config_named_twice_is_released_once(source, tmp_path):
    run = release(str(source), tmp_path / "out", ["nlvr", "nlvr"])
    assert list(run["splits"]) == ["nlvr/validation"]
    assert run["options"]["configs"] == ["nlvr"]


@pytest.mark.parametrize(
    ("name", "words"), [("a:b", "the Hub takes no :"), ("text", "a release has a config of this name")]
)
def test_a_config_name_that_a_release_cannot_have_is_refused(tmp_path, name, words):
    write_rows(tmp_path / f"repo/data/kvqa/{name}/train.jsonl", [make_row(0)])
    with pytest.raises(M3ITError, match=words):
        release(str(tmp_path / "repo"), tmp_path / "out")


def test_two_configs_of_which_one_is_named_as_the_others_pictures_are_refused(made, tmp_path):
    for name in ("viquae", "viquae-images"):
        write_rows(tmp_path / f"repo/data/kvqa/{name}/train.jsonl", [make_row(0)])
    for images in ("both", "native"):
        with pytest.raises(M3ITError, match="viquae-images: in a release this is viquae with its pictures"):
            release(str(tmp_path / "repo"), tmp_path / "out", images=images)
    with pytest.raises(M3ITError, match="viquae-images: in a release"):
        release(str(made[0]), tmp_path / "out", ["viquae", "viquae-images"])

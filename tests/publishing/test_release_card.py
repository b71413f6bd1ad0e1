"""m3it/publishing/release_card.py: README.md, dataset_infos.json and LICENSES.md of a release."""

import json
import shutil

import pytest
from conftest import ROOT

from M3IT import CATALOGUE
from m3it.publishing.hub_rules import limit_of
from m3it.publishing.release import release
from m3it.publishing.repository_card import card
from m3it.reading.load import load_dataset
from m3it.rows.instance import M3ITError
from publishing.releases import NUM_TRAIN, PUBLISHED, README_SNIPPET, head_of, train_rows


def test_yaml_lists_every_file_and_column_and_counts_rows(made):
    head = head_of(made[0])
    configs = {config["config_name"]: config for config in head["configs"]}
    names = [name + end for name in ("okvqa-zh", "science-qa", "viquae", "nlvr") for end in ("", "-images")]
    assert list(configs) == [*names, "text"]
    assert [name for name, config in configs.items() if config.get("default")] == ["okvqa-zh-images"]
    listed = [path for config in configs.values() for files in config["data_files"] for path in files["path"]]
    found = [str(path.relative_to(made[0])) for path in (made[0] / "data").rglob("*.parquet")]
    assert sorted(listed) == sorted(found)
    infos = {info["config_name"]: info for info in head["dataset_info"]}
    assert infos["viquae"]["features"] == [
        {"name": "instruction", "dtype": "string"},
        {"name": "inputs", "dtype": "string"},
        {"name": "image_base64_str", "list": "string"},
        {"name": "outputs", "dtype": "string"},
    ]
    assert {"name": "images", "list": "image"} in infos["nlvr-images"]["features"]
    sizes = {split["name"]: split["num_examples"] for split in infos["viquae-images"]["splits"]}
    assert sizes == {"train": NUM_TRAIN, "test": 3}
    assert (head["language"], head["license"], head["size_categories"]) == (["en", "zh"], "other", ["n<1K"])
    stated = json.loads((made[0] / "dataset_infos.json").read_text("utf-8"))
    assert stated["text"]["splits"]["train"]["num_examples"] == NUM_TRAIN + 4


@pytest.mark.parametrize(
    ("options", "listed"), [({}, 15), ({"images": "native"}, 10), ({"format": "messages"}, 0), ({"format": "jsonl"}, 0)]
)
def test_a_card_says_how_often_the_hub_counts_a_row(source, tmp_path, options, listed):
    release(str(source), tmp_path / "out", ["nlvr"], **options)  # 5 rows
    readme = (tmp_path / "out/README.md").read_text("utf-8")
    assert "5 rows of 1 vision-language datasets" in readme
    assert (f"The Hub adds up all configs, and says {listed} rows." in readme) == bool(listed)
    assert ("The Hub adds up" in readme) == bool(listed)


def test_the_forty_datasets_with_their_pictures_and_texts_are_within_the_first_100_configs():
    assert 2 * len(CATALOGUE) + 1 <= limit_of("configs-fit-croissant")


OWN_HEAD = """# Ada's
pretty_name: "Own: rows"
license: mit  # checked by Ada
tags: [a,   'b']
viewer: false
configs:
- config_name: old
size_categories: [n<1K]
"""


@pytest.mark.parametrize("options", [{}, {"format": "jsonl"}, {"format": "messages"}, {"images": "native"}])
def test_a_release_keeps_what_its_owner_says_in_the_head(source, tmp_path, options):
    shutil.copytree(source, tmp_path / "repo")
    (tmp_path / "repo/README.md").write_text(f"---\n{OWN_HEAD}---\nMine.\n", "utf-8")
    release(str(tmp_path / "repo"), tmp_path / "out", ["nlvr"], **options)
    kept, _, _ = OWN_HEAD.partition("viewer:")
    assert (tmp_path / "out/README.md").read_text("utf-8").startswith(f"---\n{kept}configs:\n- config_name: nlvr\n")
    head = head_of(tmp_path / "out")
    assert (head["license"], head["language"], head["size_categories"]) == ("mit", ["en"], ["n<1K"])
    assert not {"viewer", "license_name"} & set(head) and head["dataset_info"] and head["task_categories"]
    if "format" not in options:  # a release of a release says the same
        release(str(tmp_path / "out"), tmp_path / "again", ["nlvr"], **options)
        assert head_of(tmp_path / "again")["license"] == "mit"


def test_a_license_survives_the_card_of_a_repository_and_its_release(source, tmp_path):
    shutil.copytree(source, tmp_path / "repo")
    (tmp_path / "repo/README.md").write_text(f"---\n{OWN_HEAD}---\nMine.\n", "utf-8")
    card(tmp_path / "repo")
    release(str(tmp_path / "repo"), tmp_path / "out", format="jsonl")
    assert head_of(tmp_path / "repo")["license"] == head_of(tmp_path / "out")["license"] == "mit"


def test_a_head_that_is_no_yaml_ends_the_release_with_its_place(source, tmp_path):
    shutil.copytree(source, tmp_path / "repo")
    (tmp_path / "repo/README.md").write_text("---\nlicense: [\n---\n", "utf-8")
    with pytest.raises(M3ITError, match=r"repo/README.md: expected YAML in its head.*Fix what stands"):
        release(str(tmp_path / "repo"), tmp_path / "out", ["nlvr"])


def test_readme_has_the_snippet_of_the_projects_readme(made):
    snippet = README_SNIPPET.search((ROOT / "README.md").read_text("utf-8"))[1]
    assert snippet in (made[0] / "README.md").read_text("utf-8")


def test_licenses_have_a_line_for_each_dataset_of_the_release(made):
    text = (made[0] / "LICENSES.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("- `")]
    assert [line.split("`")[1] for line in lines] == ["okvqa", "science-qa", "viquae", "nlvr"]
    assert CATALOGUE["science-qa"].license in lines[1] and CATALOGUE["nlvr"].image_license in lines[3]
    assert "annotations [CC-BY-4.0](https://spdx.org/licenses/CC-BY-4.0), pictures not licensed" in lines[3]


def test_the_rows_of_a_release_are_counted_by_their_licenses(made):
    text = (made[0] / "LICENSES.md").read_text("utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert rows[0] == ["| CC-BY-4.0", "Wikimedia Commons terms per image", f"{NUM_TRAIN + 3}", " |"]
    assert sum(int(row[2]) for row in rows) == sum(proof["rows_out"] for proof in made[1]["splits"].values())


def test_native_release_keeps_the_names_and_says_which_loader_makes_base64(source, tmp_path):
    out = tmp_path / "native"
    release(str(source), out, ["viquae"], images="native")
    assert [config["config_name"] for config in head_of(out)["configs"]] == ["viquae", "text"]
    readme = (out / "README.md").read_text("utf-8")
    assert "from m3it import load_dataset\n" in readme and "from datasets import load_dataset\n" not in readme
    rows = load_dataset(str(out), "viquae", split="train", streaming=True)
    assert [dict(row) for row in rows] == [{n: row[n] for n in PUBLISHED} for row in train_rows(source)]


def test_base64_release_has_no_image_configs(source, tmp_path):
    release(str(source), tmp_path / "out", images="base64")
    names = [config["config_name"] for config in head_of(tmp_path / "out")["configs"]]
    assert names == ["okvqa-zh", "science-qa", "viquae", "nlvr", "text"]
    assert "viquae-images" not in (tmp_path / "out/README.md").read_text("utf-8")

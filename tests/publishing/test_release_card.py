"""m3it/publishing/release_card.py: README.md, dataset_infos.json and LICENSES.md of a release."""

import json

from conftest import ROOT

from M3IT import CATALOGUE
from m3it.publishing.release import release
from m3it.reading.load import load_dataset
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


def test_readme_has_the_snippet_of_the_projects_readme(made):
    snippet = README_SNIPPET.search((ROOT / "README.md").read_text("utf-8"))[1]
    assert snippet in (made[0] / "README.md").read_text("utf-8")


def test_licenses_have_a_line_for_each_dataset_of_the_release(made):
    text = (made[0] / "LICENSES.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == ["okvqa", "science-qa", "viquae", "nlvr"]
    assert CATALOGUE["science-qa"].license in lines[1] and CATALOGUE["nlvr"].image_license in lines[3]


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

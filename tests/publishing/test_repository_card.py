"""m3it/publishing/repository_card.py: what is measured, and README rendered of it."""

import json

import datasets
import pytest
import yaml
from conftest import make_row, write_rows

from m3it.publishing.repository_card import card
from m3it.reading.load import load_dataset
from m3it.rows.instance import FIELDS, M3ITError

BLOCKS = ("<!-- m3it: tasks -->\n<!-- /m3it -->", "<!-- m3it: languages -->\nold\n<!-- /m3it -->")
README = "# Mine\n\n{}\n\nwords of mine\n\n{}\nend\n".format(*BLOCKS)


@pytest.fixture
def folder(tmp_path):
    """Three configs, one with several shards, one in another language, one with a name that YAML takes for a number."""
    folder = tmp_path / "my data"
    for i in range(3):
        write_rows(folder / f"data/kvqa/viquae/train-0000{i}-of-00003.jsonl", [make_row(10 * i + k) for k in range(4)])
    write_rows(folder / "data/kvqa/viquae/test.jsonl", [make_row(i, 0) for i in range(50, 52)])
    write_rows(folder / "data/kvqa/okvqa/ja/validation.jsonl", [make_row(7, 2, inputs="7は何ですか？ \U0001f600")])
    write_rows(folder / "data/vqa/2017/train.jsonl", [make_row(9)])
    (folder / "README.md").write_text(README, "utf-8")
    return folder


def head_of(folder):
    return yaml.safe_load((folder / "README.md").read_text("utf-8").split("---\n")[1])


def test_rows_and_bytes_are_measured(folder):
    card(folder)
    infos = json.loads((folder / "dataset_infos.json").read_text("utf-8"))
    assert list(infos) == ["okvqa-ja", "viquae", "2017"]  # the catalogue's order, others last
    splits = infos["viquae"]["splits"]
    assert {name: split["num_examples"] for name, split in splits.items()} == {"train": 12, "test": 2}
    sizes = [path.stat().st_size for path in (folder / "data/kvqa/viquae").glob("train-*")]
    assert splits["train"]["num_bytes"] == sum(sizes)
    assert infos["viquae"]["dataset_size"] == sum(sizes) + splits["test"]["num_bytes"]


def test_a_second_run_changes_nothing(folder):
    assert len(card(folder)) == 2
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()}
    assert card(folder) == []
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()} == before


def test_check_shows_the_difference_and_writes_nothing(folder):
    card(folder)
    write_rows(folder / "data/vqa/2017/train.jsonl", [make_row(9), make_row(10)])
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    (diff,) = card(folder, check=True)
    assert "dataset_infos.json" in diff and '-    "num_examples": 1,' in diff and '+    "num_examples": 2,' in diff
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert card(folder) == [diff] and card(folder, check=True) == []


def test_words_outside_the_blocks_stay(folder):
    card(folder)
    body = (folder / "README.md").read_text("utf-8").split("---\n", 2)[2]
    outside = [part.split("<!-- /m3it -->")[-1] for part in body.split("<!-- m3it: ")]
    assert outside == ["# Mine\n\n", "\n\nwords of mine\n\n", "\nend\n"]
    assert "| kvqa | `viquae` | en | 1,190 | 1,250 | 1,236 | 14 | yes |  |" in body
    assert "old" not in body and "Afrikaans `af`" in body


def test_the_head_is_yaml_with_exact_paths_a_config_a_line(folder):
    card(folder)
    head = head_of(folder)
    assert [config["config_name"] for config in head["configs"]] == ["okvqa-ja", "viquae", "2017"]
    assert head["configs"][1]["data_files"] == [
        {"split": "train", "path": [f"data/kvqa/viquae/train-0000{i}-of-00003.jsonl" for i in range(3)]},
        {"split": "test", "path": "data/kvqa/viquae/test.jsonl"},
    ]
    (info,) = head["dataset_info"]  # a row without pictures says nothing of what its list would hold
    assert info["config_name"] == "viquae" and [feature["name"] for feature in info["features"]] == list(FIELDS)
    assert info["features"][2] == {"name": "image_base64_str", "list": "string"}
    lines = (folder / "README.md").read_text("utf-8").split("---\n")[1].splitlines()
    assert sum(line.startswith("- {config_name: viquae, ") for line in lines) == 2  # of configs, of dataset_info
    assert head["language"] == ["en", "ja", "zh"] and head["size_categories"] == ["n<1K"]


def test_a_head_of_the_users_own_keeps_every_key_but_the_measured_ones(folder):
    mine = 'license: mit  # checked by Ada\ntags: [a,   "b"]\n'
    own = "# what my tool reads\nmy_key:\n- x: '1'\n"
    text = f"---\n{mine}size_categories: [1M<n<10M]\nconfigs:\n- config_name: old\n\n{own}---\n# Mine\n"
    (folder / "README.md").write_text(text, "utf-8")
    card(folder)
    made = (folder / "README.md").read_text("utf-8")
    assert made.startswith(f"---\n{mine}size_categories:\n- n<1K\nconfigs:\n- {{config_name: okvqa-ja, ")
    assert f"\n\n{own}dataset_info:\n- {{config_name: viquae, " in made and made.endswith("---\n# Mine\n")
    assert list(head_of(folder)) == ["license", "tags", "size_categories", "configs", "my_key", "dataset_info"]
    assert card(folder, check=True) == []


@pytest.mark.parametrize("head", ["- a\n", "license: [\n"])
def test_a_head_that_is_not_understood_is_an_error_and_nothing_is_written(folder, head):
    text = f"---\n{head}---\n# Mine\n"
    (folder / "README.md").write_text(text, "utf-8")
    with pytest.raises(M3ITError, match="README.md: expected .*Fix what stands between its two lines ---"):
        card(folder)
    assert (folder / "README.md").read_text("utf-8") == text and not (folder / "dataset_infos.json").exists()


def test_plain_datasets_reads_every_config_of_the_head(folder, tmp_path):
    card(folder)
    for config in head_of(folder)["configs"]:
        name = config["config_name"]
        plain = datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path / "plain"))
        ours = load_dataset(folder, name, meta=True)
        assert set(plain) == set(ours) == {files["split"] for files in config["data_files"]}
        for split in plain:
            columns = list(FIELDS[:4])
            assert plain[split].select_columns(columns).to_list() == ours[split].select_columns(columns).to_list()
    assert set(datasets.get_dataset_config_names(str(folder))) == {"okvqa-ja", "viquae", "2017"}


@pytest.mark.parametrize("name", ["no", "Null", "1e3", "a b", "c#d", "x: y", "'q'", "-dash", "\u4e2d\u6587", "plain"])
def test_any_name_of_a_folder_is_read_back_from_the_head(tmp_path, name):
    write_rows(tmp_path / f"data/vqa/{name}/train.jsonl", [make_row(1)])
    card(tmp_path)
    (config,) = head_of(tmp_path)["configs"]
    assert config["config_name"] == name
    assert config["data_files"] == [{"split": "train", "path": f"data/vqa/{name}/train.jsonl"}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- m3it: tsaks -->\n<!-- /m3it -->\n", "unknown block 'tsaks'; known are tasks, totals"),
        ("<!-- m3it: bench-load -->\n<!-- /m3it -->\n", "unknown block 'bench-load'"),
        ("<!-- m3it: tasks -->\nmy words\n<!-- m3it: totals -->\n<!-- /m3it -->\n", "block 'tasks' has no end"),
    ],
)
def test_a_block_that_is_not_understood_is_an_error_and_nothing_is_written(folder, text, words):
    (folder / "README.md").write_text(text, "utf-8")
    with pytest.raises(M3ITError, match=words):
        card(folder)
    assert (folder / "README.md").read_text("utf-8") == text
    assert not (folder / "dataset_infos.json").exists()


def test_a_measured_table_is_put_into_its_block(folder):
    (folder / "bench/results").mkdir(parents=True)
    (folder / "bench/results/load.md").write_text("| a | b |\n", "utf-8")
    (folder / "README.md").write_text("<!-- m3it: bench_load -->\nold\n<!-- /m3it -->\n", "utf-8")
    card(folder)
    body = (folder / "README.md").read_text("utf-8").split("---\n", 2)[2]
    assert body == "<!-- m3it: bench_load -->\n| a | b |\n<!-- /m3it -->\n"


def test_pages_below_docs_are_rendered_too(folder):
    (folder / "docs").mkdir()
    (folder / "docs/licenses.md").write_text("# Terms\n\n<!-- m3it: licenses -->\n<!-- /m3it -->\n", "utf-8")
    (folder / "docs/other.md").write_text("mine\n", "utf-8")
    card(folder)
    assert "| `viquae` | CC-BY-4.0 |" in (folder / "docs/licenses.md").read_text("utf-8")
    assert (folder / "docs/other.md").read_text("utf-8") == "mine\n" and card(folder, check=True) == []


def test_what_is_no_folder_is_an_error_and_no_hub_is_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(M3ITError, match="Org/M3IT: expected a repository's folder"):
        card("Org/M3IT")


def test_rows_are_counted_past_a_bar(folder):
    seen = []
    card(folder, progress=lambda rows, path: seen.append((path, list(rows))) or iter(seen[-1][1]))
    assert {path: len(rows) for path, rows in seen} == {
        "data/kvqa/okvqa/ja/validation.jsonl": 1,
        **{f"data/kvqa/viquae/train-0000{i}-of-00003.jsonl": 4 for i in range(3)},
        "data/kvqa/viquae/test.jsonl": 2,
        "data/vqa/2017/train.jsonl": 1,
    }


def test_a_folder_without_shards_is_an_error(tmp_path):
    with pytest.raises(M3ITError, match="expected shards in data/<task>/<dataset>/, found none"):
        card(tmp_path)
    assert list(tmp_path.iterdir()) == []

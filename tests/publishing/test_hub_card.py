"""m3it/publishing/hub_card.py: a card, or a list of files, spoilt in one way breaks that rule alone."""

import datetime
import os
import posixpath
import shutil

import fsspec
import pytest
from conftest import make_row, write_rows

from M3IT import Repository
from m3it.publishing.hub_card import check_hub, is_taken, matching
from m3it.publishing.hub_rules import RULES
from m3it.publishing.release import release
from m3it.publishing.repository_card import card
from publishing.defects import (
    TRAIN,
    assert_breaks_that_rule_alone,
    config_of,
    each,
    edit_head,
    findings_of,
    info_of,
    named,
    sparse,
)
from publishing.releases import head_of


def test_a_repository_of_json_lines_with_its_card_is_told_that_its_pictures_are_not_shown(repository):
    card(repository)
    (finding,) = findings_of(repository)
    assert (finding.rule, finding.level) == ("config-with-pictures", "warning")
    assert finding.message == "expected a config with a column of pictures, found none"


def many_configs(number):
    """What adds small configs until there are `number`, all of one file of JSON Lines."""

    @named(f"many_configs_{number}")
    def spoil(folder):
        write_rows(folder / "data/vqa/gqa/train.jsonl", [make_row(0)])
        names = [f"gqa-{i}" for i in range(number - 5)]
        files = "data_files: [{split: train, path: data/vqa/gqa/train.jsonl}]"
        text = (folder / "README.md").read_text("utf-8")
        configs = "".join(f"- {{config_name: {name}, {files}}}\n" for name in names)
        infos = "".join(f"- {{config_name: {name}, features: [{{name: image, dtype: string}}]}}\n" for name in names)
        text = text.replace("\ndataset_info:\n", f"\n{configs}dataset_info:\n{infos}")
        (folder / "README.md").write_text(text, "utf-8")

    return spoil


def a_script_named_as_the_repository(folder):
    (folder / f"{folder.name}.py").write_text("", "utf-8")


def six_gigabytes_without_a_config_of_texts(folder):
    sparse(folder / "data/vqa/gqa/train.jsonl", 6_000_000_000)

    def change(head):
        head["configs"] = [c for c in head["configs"] if c["config_name"] != "text"]
        head["configs"].append(
            {"config_name": "gqa", "data_files": [{"split": "train", "path": "data/vqa/gqa/train.jsonl"}]}
        )
        head["dataset_info"] = [info for info in head["dataset_info"] if info["config_name"] != "text"]
        head["dataset_info"].append({"config_name": "gqa", "features": info_of(head, "viquae")["features"]})

    edit_head(folder, change)
    shutil.rmtree(folder / "data/text")


def a_file_that_no_config_lists(folder):
    edit_head(folder, lambda head: head["configs"].remove(config_of(head)))


def a_listed_file_that_is_not_there(folder):
    edit_head(folder, lambda head: config_of(head)["data_files"][0]["path"].append("data/gone.parquet"))


def a_pattern_of_names(folder):
    edit_head(folder, lambda head: config_of(head)["data_files"][0].update(path="data/kvqa/viquae-images/t*.parquet"))


def no_data_files(folder):
    edit_head(folder, lambda head: config_of(head).pop("data_files"))
    shutil.rmtree(folder / "data/kvqa/viquae-images")


def a_split_listed_twice(folder):
    edit_head(folder, lambda head: config_of(head)["data_files"].append({"split": "train", "path": TRAIN}))
    edit_head(folder, lambda head: info_of(head).pop("splits"))


def configs_of_one_name(folder):
    def change(head):
        head["configs"].append({**config_of(head), "default": False})

    edit_head(folder, change)


def two_configs_that_open_first(folder):
    edit_head(folder, lambda head: config_of(head, "text").update(default=True))


def no_config_with_pictures(folder):
    for name in ("viquae", "nlvr"):
        shutil.rmtree(next(folder.glob(f"data/*/{name}-images")))

    def change(head):
        for key in ("configs", "dataset_info"):
            head[key] = [known for known in head[key] if not known["config_name"].endswith("-images")]

    edit_head(folder, change)


def columns_of_ten_megabytes(folder):
    def change(head):
        features = [{"name": f"column {i:0>200}", "dtype": "string"} for i in range(45_000)]
        info_of(head, "text")["features"] = features

    edit_head(folder, change)


def a_file_of(num_bytes):
    """A large file of JSON Lines, with its config."""

    @named(f"a_file_of_{num_bytes}")
    def spoil(folder):
        sparse(folder / "data/vqa/gqa/train.jsonl", num_bytes)

        def change(head):
            files = [{"split": "train", "path": "data/vqa/gqa/train.jsonl"}]
            head["configs"].append({"config_name": "gqa", "data_files": files})
            head["dataset_info"].append({"config_name": "gqa", "features": info_of(head, "viquae")["features"]})

        edit_head(folder, change)

    return spoil


def a_split_with_a_hyphen(folder):
    def change(head):
        config_of(head)["data_files"][0]["split"] = "train-2"

    edit_head(folder, change)


def a_config_with_a_slash(folder):
    def change(head):
        config_of(head)["config_name"] = info_of(head)["config_name"] = "a/b"
        config_of(head, "viquae")["data_files"][0]["path"].append(TRAIN)
        info_of(head, "viquae")["splits"][0]["num_examples"] *= 2
        info_of(head, "viquae")["features"] = None

    edit_head(folder, change)


def a_config_without_a_name(folder):
    edit_head(folder, lambda head: config_of(head).pop("config_name"))


def too_many_files_in_a_folder(folder):
    (folder / "data/many").mkdir()
    for number in range(10_001):
        (folder / f"data/many/{number}.txt").touch()


def a_file_that_is_too_large(folder):
    sparse(folder / "data/huge.bin", 201_000_000_000)


def configs_that_are_no_mappings(folder):
    edit_head(folder, lambda head: head["configs"].append("viquae"))


def no_features(folder):
    edit_head(folder, lambda head: info_of(head).pop("features"))


def no_readme(folder):
    (folder / "README.md").unlink()


def a_head_that_is_no_yaml(folder):
    (folder / "README.md").write_text("---\nconfigs: [\n---\n", "utf-8")
    shutil.rmtree(folder / "data")


def a_head_of(num_bytes):
    """What fills the head up to a size."""

    @named(f"a_head_of_{num_bytes}")
    def spoil(folder):
        text = (folder / "README.md").read_text("utf-8")
        _, head, body = text.split("---\n", 2)
        head += f"# {'x' * (num_bytes - len(head.encode()) - 3)}\n"
        (folder / "README.md").write_text(f"---\n{head}---\n{body}", "utf-8")

    return spoil


def a_viewer_switched_off(folder):
    edit_head(folder, lambda head: head.update(viewer=False))


def a_tag_that_switches_the_viewer_off(folder):
    edit_head(folder, lambda head: head.update(tags=["a", "not-for-all-audiences"]))


def tags_and_a_viewer_that_is_on(folder):
    edit_head(folder, lambda head: head.update(tags=["audiences"], viewer=True))


def splits_of_a_config(number):
    """What gives a config so many splits, all of one file."""

    @named(f"splits_{number}")
    def spoil(folder):
        def change(head):
            config_of(head)["data_files"] = [{"split": f"s{i}", "path": TRAIN} for i in range(number)]

        edit_head(folder, change)

    return spoil


def a_path_with_an_at(folder):
    (folder / "data/kvqa/a@b").mkdir()
    (folder / TRAIN).rename(folder / "data/kvqa/a@b/rows.parquet")
    edit_head(folder, lambda head: config_of(head)["data_files"][0].update(path=["data/kvqa/a@b/rows.parquet"]))


def a_path_with_other_signs(folder):
    (folder / "data/kvqa/a+b=c, d").mkdir()
    (folder / TRAIN).rename(folder / "data/kvqa/a+b=c, d/rows.parquet")
    edit_head(folder, lambda head: config_of(head)["data_files"][0].update(path=["data/kvqa/a+b=c, d/rows.parquet"]))


def no_license(folder):
    edit_head(folder, lambda head: head.pop("license"))


def a_license_link_that_the_hub_does_not_follow(folder):
    edit_head(folder, lambda head: head.update(license_link="LICENSES.md"))


def a_language_that_yaml_takes_for_no(folder):
    edit_head(folder, lambda head: head.update(language=["en", False]))


def a_size_that_is_none_of_the_hubs(folder):
    edit_head(folder, lambda head: head.update(size_categories=["10"]))


def a_config_with_blanks_and_umlauts(folder):
    def change(head):
        config_of(head)["config_name"] = info_of(head)["config_name"] = "zwölf Bilder, 图"

    edit_head(folder, change)


def ten_thousand_files_in_a_folder(folder):
    (folder / "data/many").mkdir()
    for number in range(10_000):
        (folder / f"data/many/{number}.txt").touch()


def one_language_and_size_and_the_license_beside(folder):
    edit_head(folder, lambda head: head.update(language="en", size_categories="n<1K", license_link="LICENSE"))


SPOILT = [
    ("no-script", "error", a_script_named_as_the_repository, r"release\.py"),
    (
        "split-searchable",
        "warning",
        a_file_of(6_000_000_000),
        "expected 5.0 GB.*found 6.0 GB",
    ),  # a config of texts is there
    ("split-searchable", "warning", six_gigabytes_without_a_config_of_texts, "expected 5.0 GB.*found 6.0 GB"),
    ("files-listed", "error", a_file_that_no_config_lists, "no config of README.md lists this file"),
    ("files-listed", "error", a_listed_file_that_is_not_there, r"data/gone\.parquet, found no such file"),
    ("files-listed", "warning", a_pattern_of_names, "also takes files that come later"),
    ("files-listed", "error", no_data_files, "a list of split and path"),
    ("files-listed", "error", a_split_listed_twice, "found train more than once"),
    ("configs-fit-viewer", "error", many_configs(4001), "found 4,001"),
    ("configs-fit-croissant", "warning", many_configs(101), "found 101: without viquae$"),  # the last of the alphabet
    ("splits-fit-viewer", "error", splits_of_a_config(31), "expected at most 30 splits, found 31"),
    ("paths-without-at", "error", a_path_with_an_at, r"found data/kvqa/a@b/rows\.parquet"),
    ("split-names-valid", "error", a_split_with_a_hyphen, "found 'train-2'"),
    ("config-names-valid", "error", a_config_with_a_slash, "found 'a/b'"),
    ("config-names-valid", "error", a_config_without_a_name, "found None"),
    ("config-names-unique", "warning", configs_of_one_name, "found 'viquae-images' more than once"),
    ("files-within-limits", "error", too_many_files_in_a_folder, "found 10,001"),
    ("files-within-limits", "error", a_file_that_is_too_large, "found 201.0 GB"),
    ("features-match-files", "error", no_features, "expected features"),
    ("card-head-readable", "warning", no_readme, r"found none\. Run: m3it card"),  # of a folder, which no one shows yet
    ("card-head-readable", "error", a_head_that_is_no_yaml, "expected YAML"),
    ("card-head-readable", "error", configs_that_are_no_mappings, "found 'viquae'"),
    ("card-head-small", "warning", a_head_of(501_000), "expected a head of 500.0 KB at most, found 501.0 KB"),
    ("viewer-left-on", "error", a_viewer_switched_off, "viewer: false"),
    ("viewer-left-on", "error", a_tag_that_switches_the_viewer_off, "the tag not-for-all-audiences"),
    ("card-metadata-complete", "warning", no_license, "expected a license"),
    ("card-metadata-complete", "warning", a_license_link_that_the_hub_does_not_follow, "LICENSES.md"),
    ("card-metadata-complete", "warning", a_language_that_yaml_takes_for_no, r"found \[False\]"),
    ("card-metadata-complete", "warning", a_size_that_is_none_of_the_hubs, "1M<n<10M"),
    (
        "one-default-config",
        "error",
        two_configs_that_open_first,
        "found it at text, viquae-images|found it at viquae-images, text",
    ),
    ("config-with-pictures", "warning", no_config_with_pictures, "found none"),
    ("shards-small", "warning", a_file_of(501_000_000), "expected files of 500.0 MB at most, found 501.0 MB"),
    ("features-fit-answer", "error", columns_of_ten_megabytes, "expected dataset_info of 10.0 MB at most, found 1"),
]
# What one defect brings with it.
ALSO = {
    "a_config_with_a_slash": {"features-match-files"},
    "six_gigabytes_without_a_config_of_texts": {"shards-small"},
    "a_file_of_6000000000": {"shards-small"},
    "columns_of_ten_megabytes": {"card-head-small", "features-match-files", "first-rows-fit"},
    "many_configs_4001": {"card-head-small"},
    "a_head_that_is_no_yaml": {"card-metadata-complete"},
    "a_config_without_a_name": {"files-listed"},
}
WELCOME = [  # as much as a rule allows: test_hub_rules.py
    ("split-searchable", a_file_of(5_000_000_000)),
    ("configs-fit-viewer", many_configs(4000)),
    ("configs-fit-croissant", many_configs(100)),
    ("splits-fit-viewer", splits_of_a_config(30)),
    ("paths-without-at", a_path_with_other_signs),
    ("card-head-small", a_head_of(500_000)),
    ("viewer-left-on", tags_and_a_viewer_that_is_on),
    ("config-names-valid", a_config_with_blanks_and_umlauts),
    ("files-within-limits", ten_thousand_files_in_a_folder),
    ("card-metadata-complete", one_language_and_size_and_the_license_beside),
    ("shards-small", a_file_of(500_000_000)),
]


@each(SPOILT)
def test_a_card_spoilt_in_one_way_breaks_that_rule_alone(spoilable, rule, level, spoil, words):
    spoil(spoilable)
    assert_breaks_that_rule_alone(spoilable, rule, level, words, ALSO.get(spoil.__name__, ()))


def test_a_hundred_thousand_files_are_too_many(spoilable):
    repository = Repository(spoilable)
    repository.files.update({f"data/{i // 9_000}/{i}.txt": {"size": 1} for i in range(100_001)})
    assert [finding.rule for finding in check_hub(repository)] == ["files-within-limits"]


def test_no_readme_on_the_hub_is_an_error(spoilable):
    no_readme(spoilable)
    repository = Repository(spoilable)
    repository.repo_id = "org/name"
    assert [(f.rule, f.level) for f in check_hub(repository)] == [("card-head-readable", "error")]


def test_of_a_split_of_parquet_whole_files_are_searched_up_to_the_first_beyond_the_limit(source, tmp_path, monkeypatch):
    release(str(source), tmp_path / "out", ["viquae"], shard_bytes=10_000)
    files = config_of(head_of(tmp_path / "out"))["data_files"][0]["path"]
    limits = [3_000_000, 1]  # bytes in memory, of two files with less than a megabyte each
    found = []
    for limit in limits:
        monkeypatch.setitem(RULES, "split-searchable", RULES["split-searchable"]._replace(limit=limit))
        edit_head(tmp_path / "out", lambda head: head.update(dataset_info=head["dataset_info"][:2]))  # no texts
        found.append([f for f in findings_of(tmp_path / "out") if f.rule == "split-searchable" and "viq" in f.where])
    assert len(files) == 2 and found[0] == []
    assert [(f.where, f.message.partition("; ")[2]) for f in found[1]] == [
        (f"{name}/train", "found more than that in the first 1 of 2 files") for name in ("viquae", "viquae-images")
    ]


def a_folder_for_a_split(folder):
    edit_head(folder, lambda head: config_of(head, "text").update(data_files=None, data_dir="data/text"))
    shutil.rmtree(folder / "data/reasoning")
    (folder / "data/text/validation.parquet").unlink()
    gone = ("nlvr", "nlvr-images")
    edit_head(folder, lambda head: head.update(configs=[c for c in head["configs"] if c["config_name"] not in gone]))


def test_a_folder_or_a_pattern_for_data_files_is_a_warning(spoilable):
    a_folder_for_a_split(spoilable)
    assert [(f.rule, f.level, f.message) for f in findings_of(spoilable)] == [
        ("files-listed", "warning", "data/text/** also takes files that come later")
    ]


ALL_PATHS = [f"data/{name}.parquet" for name in ("train", "a/train", "a/b/train", "a/b/test")]


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ("data/a/train.parquet", ["data/a/train.parquet"]),
        ("data/*/train.parquet", ["data/a/train.parquet"]),
        ("data/**/train.parquet", ["data/a/train.parquet", "data/a/b/train.parquet", "data/train.parquet"]),
        ("data/**/**/b/*", ["data/a/b/train.parquet", "data/a/b/test.parquet"]),
        ("**", ALL_PATHS),
        ("data/a/**", ["data/a/train.parquet", "data/a/b/train.parquet", "data/a/b/test.parquet"]),
        ("data/a/**/*.parquet", ["data/a/train.parquet", "data/a/b/train.parquet", "data/a/b/test.parquet"]),
        ("./data/a/b/te?t.parquet", ["data/a/b/test.parquet"]),
        ("data/a/b/t[!r]*", ["data/a/b/test.parquet"]),
        ("data/a/b/t[z-a]*", []),
        ("*.parquet", []),
        ("**/a", []),
    ],
)
def test_a_pattern_takes_the_files_that_datasets_finds_by_it(tmp_path, pattern, taken):
    for path in ALL_PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert matching(Repository(tmp_path), pattern) == sorted(taken)
    if pattern != "data/a/b/t[z-a]*":  # of which glob's translation is no regular expression
        found = fsspec.filesystem("file").glob(f"{tmp_path}/{pattern}")
        assert sorted(os.path.relpath(path, tmp_path) for path in found if os.path.isfile(path)) == sorted(taken)


@pytest.mark.parametrize("part", ["**/", "**/a/", "*/**/", "*a", "**/*a*a", "?*"])
def test_a_pattern_of_any_length_is_matched_at_once(part):
    names, path = ["a" * 200] * 30, part * 5_000 + "x"
    assert not is_taken(names, posixpath.normpath(path).split("/"))


ODD_HEADS = [
    {"configs": "viquae"},
    {"configs": {"config_name": "viquae"}},
    {"configs": [None, 3, {"config_name": 7}, {"config_name": ["a"]}]},
    {"configs": [{"config_name": "a", "data_files": [{"split": ["x"], "path": [3]}]}]},
    {"configs": [{"config_name": "a", "data_files": [[]]}], "dataset_info": [[], "x", None]},
    {"dataset_info": {"features": "x", "splits": "y"}},
    {"dataset_info": [{"config_name": "viquae", "features": [3, None, {"list": {"dtype": "x"}}], "splits": [None]}]},
    {"dataset_info": {datetime.date(2024, 1, 1): 1, "features": [{"name": ["a"], "list": [3, {"x": 1}]}]}},
    {"dataset_info": [{"config_name": "viquae", "features": [{"name": ["a"], "list": [3, {"x": 1}, "y"]}]}]},
    {"dataset_info": [{"config_name": "viquae", "features": [{"name": {"a": 1}}], "splits": [{"name": ["a"]}]}]},
    {"language": {"en": 1}, "size_categories": [["n<1K"]], "task_categories": 7, "license": ["a"], "license_link": []},
]


@pytest.mark.parametrize("change", ODD_HEADS, ids=map(str, range(len(ODD_HEADS))))
def test_a_head_of_any_shape_is_told_and_not_tripped_over(spoilable, change):
    edit_head(spoilable, lambda head: head.update(change))
    findings = findings_of(spoilable)
    assert findings and all(finding.message for finding in findings)


def test_a_script_of_another_name_is_a_warning(spoilable):
    (spoilable / "M3IT.py").write_text("", "utf-8")
    (finding,) = findings_of(spoilable)
    assert (finding.rule, finding.level) == ("no-script", "warning") and "called M3IT" in finding.message

"""A release breaks no rule, and breaks each rule once it is spoilt in that way, that rule alone."""

import json
import os
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import make_row, write_rows

from M3IT import Repository
from m3it.publishing.hub_card import check_hub
from m3it.publishing.hub_rules import RULES
from m3it.publishing.release import release
from m3it.publishing.repository_card import card

TRAIN = "data/kvqa/viquae-images/train.parquet"
TWIN = "data/kvqa/viquae/train.parquet"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    write_rows(root / "repo/data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(12)])
    write_rows(root / "repo/data/reasoning/nlvr/validation.jsonl", [make_row(i, 2) for i in range(3)])
    release(str(root / "repo"), root / "release")
    return root / "release"


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "release")
    return tmp_path / "release"


def findings_of(folder):
    return list(check_hub(Repository(folder)))


def test_a_release_breaks_no_rule(made):
    assert findings_of(made) == []


def test_a_repository_of_json_lines_with_its_card_is_told_that_its_pictures_are_not_shown(repository):
    card(repository)
    (finding,) = findings_of(repository)
    assert (finding.rule, finding.level) == ("config-with-pictures", "warning")
    assert finding.message == "expected a config with a column of pictures, found none"


def edit_head(folder, change):
    """Change the YAML of README.md."""
    text = (folder / "README.md").read_text("utf-8")
    _, head, body = text.split("---\n", 2)
    head = yaml.safe_load(head)
    change(head)
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(head)}---\n{body}", "utf-8")


def config_of(head, name="viquae-images"):
    return next(config for config in head["configs"] if config["config_name"] == name)


def info_of(head, name="viquae-images"):
    return next(info for info in head["dataset_info"] if info["config_name"] == name)


def rewrite(path, change=lambda table: table, **options):
    """Write a Parquet file again, with a page index unless told otherwise."""
    pq.write_table(change(pq.read_table(path)), path, **{"write_page_index": True, **options})


def with_images(table, images):
    number = table.schema.get_field_index("images")
    rows = [images[i % len(images)] for i in range(table.num_rows)]
    return table.set_column(number, table.schema.field("images"), pa.array(rows, table.schema.field("images").type))


def named(name):
    """Give a function that a fixture makes a name of its own."""

    def name_it(function):
        function.__name__ = name
        return function

    return name_it


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


def sparse(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.truncate(size)


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


def a_picture_that_is_only_a_path(folder):
    rewrite(folder / TRAIN, lambda table: with_images(table, [[{"bytes": None, "path": "a.jpg"}]]))


def pictures_that_are_no_structs(folder):
    def change(table):
        number = table.schema.get_field_index("images")
        return table.set_column(number, "images", pa.array([[b"x"]] * table.num_rows, pa.list_(pa.binary())))

    rewrite(folder / TRAIN, change)
    edit_head(folder, lambda head: info_of(head)["features"][2].update({"list": "binary"}))


def ten_first_rows_that_are_too_large(folder):
    images = [[{"bytes": b"x", "path": None}] * 40]  # 40 links a row
    rewrite(folder / TRAIN, lambda table: with_images(table, images))


def a_column_name_that_is_too_long(folder):
    name = "n" * 501
    rewrite(folder / TRAIN, lambda table: table.rename_columns([*table.column_names[:-1], name]))
    edit_head(folder, lambda head: info_of(head)["features"][-1].update({"name": name}))


def a_large_row_group_without_page_index(folder):
    def change(table):
        return with_images(table, [[{"bytes": bytes(900_000), "path": None}] * 30])  # 12 x 30 x 0.9 MB

    rewrite(folder / TRAIN, change, write_page_index=False, use_dictionary=False)


def a_large_row_group_with_page_index(folder):
    a_large_row_group_without_page_index(folder)
    rewrite(folder / TRAIN, use_dictionary=False)


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


def licenses(number):
    """What gives a split of a config so many licenses, in row groups of two; another split has one more."""

    @named(f"licenses_{number}")
    def spoil(folder):
        names = [f"license {i}" for i in range(number)]

        def change(table):
            table = pa.concat_tables([table] * 5).slice(0, len(names))
            at = table.schema.get_field_index("license")
            return table.set_column(at, table.schema.field(at), pa.array(names))

        path = folder / "data/text/train.parquet"
        rewrite(path, change, row_group_size=2)
        edit_head(folder, lambda head: info_of(head, "text").pop("splits"))

    return spoil


def a_row_group_of(num_bytes):
    @named(f"a_row_group_of_{num_bytes}")
    def spoil(folder):
        images = [[{"bytes": bytes(num_bytes // 240), "path": None}] * 20]  # 12 rows
        rewrite(folder / TRAIN, lambda table: with_images(table, images), use_dictionary=False)

    return spoil


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


def rows_of_which_a_page_is_too_large(folder):
    images = [[{"bytes": bytes(900_000), "path": None}] * 4]  # 100 rows of 3.6 MB

    def change(table):
        return with_images(pa.concat_tables([table] * 9).slice(0, 100), images)

    rewrite(folder / TRAIN, change, use_dictionary=False, row_group_size=20)
    edit_head(folder, lambda head: info_of(head)["splits"][0].update(num_examples=100))


def columns_to_filter_by_that_lack(folder):
    rewrite(folder / TRAIN, lambda table: table.drop_columns(["width", "license"]))

    def change(head):
        info = info_of(head)
        info["features"] = [f for f in info["features"] if f["name"] not in ("width", "license")]

    edit_head(folder, change)


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


def a_type_that_the_card_has_otherwise(folder):
    edit_head(folder, lambda head: info_of(head)["features"][8].update(dtype="int64"))


def configs_that_are_no_mappings(folder):
    edit_head(folder, lambda head: head["configs"].append("viquae"))


def columns_in_another_order(folder):
    edit_head(folder, lambda head: info_of(head)["features"].reverse())


def no_features(folder):
    edit_head(folder, lambda head: info_of(head).pop("features"))


def metadata_of_a_newer_version(folder):
    noted = {"info": {"features": {"images": {"feature": {"_type": "Image"}, "_type": "List"}}}}
    rewrite(folder / TRAIN, lambda table: table.replace_schema_metadata({"huggingface": json.dumps(noted)}))


def a_row_that_was_not_uploaded(folder):
    rewrite(folder / TRAIN, lambda table: table.slice(0, 11))


def a_file_cut_off(folder):
    data = (folder / TRAIN).read_bytes()
    (folder / TRAIN).write_bytes(data[: len(data) // 2])
    edit_head(folder, lambda head: info_of(head).pop("splits"))


def no_readme(folder):
    (folder / "README.md").unlink()
    shutil.rmtree(folder / "data")


def a_head_that_is_no_yaml(folder):
    (folder / "README.md").write_text("---\nconfigs: [\n---\n", "utf-8")
    shutil.rmtree(folder / "data")


def a_viewer_switched_off(folder):
    edit_head(folder, lambda head: head.update(viewer=False))


def no_license(folder):
    edit_head(folder, lambda head: head.pop("license"))


def a_license_link_that_the_hub_does_not_follow(folder):
    edit_head(folder, lambda head: head.update(license_link="LICENSES.md"))


def a_language_that_yaml_takes_for_no(folder):
    edit_head(folder, lambda head: head.update(language=["en", False]))


def a_size_that_is_none_of_the_hubs(folder):
    edit_head(folder, lambda head: head.update(size_categories=["10"]))


def pictures_of_more_than_a_megabyte(folder):
    images = [[{"bytes": os.urandom(1_100_000), "path": None}]]
    rewrite(folder / TRAIN, lambda table: with_images(table, images), use_dictionary=False)


def a_row_above_the_limit_of_a_page(folder):
    images = [[{"bytes": bytes(900_000), "path": None}] * 340, []]
    rewrite(folder / TRAIN, lambda table: with_images(table.slice(0, 1), images[:1]), use_dictionary=False)
    edit_head(folder, lambda head: info_of(head)["splits"][0].update(num_examples=1))


SPOILT = [
    ("no-script", "error", a_script_named_as_the_repository, r"release\.py"),
    (
        "split-searchable",
        "warning",
        a_file_of(6_000_000_000),
        "expected 5 GB.*found 6 GB",
    ),  # a config of texts is there
    ("split-searchable", "warning", six_gigabytes_without_a_config_of_texts, "expected 5 GB.*found 6 GB"),
    ("pictures-hold-bytes", "error", a_picture_that_is_only_a_path, r"found the path 'a\.jpg' alone"),
    ("pictures-hold-bytes", "error", pictures_that_are_no_structs, "expected a struct of bytes and path, found binary"),
    ("first-rows-fit", "error", ten_first_rows_that_are_too_large, "expected ten rows in 200 kB"),
    ("first-rows-fit", "error", a_column_name_that_is_too_long, "of 500 letters"),
    (
        "row-groups-indexed",
        "error",
        a_large_row_group_without_page_index,
        "expected a page index or at most 300 MB, found 324 MB",
    ),
    ("files-listed", "error", a_file_that_no_config_lists, "no config of README.md lists this file"),
    ("files-listed", "error", a_listed_file_that_is_not_there, r"data/gone\.parquet, found no such file"),
    ("files-listed", "warning", a_pattern_of_names, "also takes files that come later"),
    ("files-listed", "error", no_data_files, "a list of split and path"),
    ("files-listed", "error", a_split_listed_twice, "found train more than once"),
    ("configs-fit-viewer", "error", many_configs(4001), "found 4,001"),
    ("configs-fit-croissant", "warning", many_configs(101), "found 101"),
    ("filter-columns-present", "warning", columns_to_filter_by_that_lack, "missing are license, width"),
    ("split-names-valid", "error", a_split_with_a_hyphen, "found 'train-2'"),
    ("config-names-valid", "error", a_config_with_a_slash, "found 'a/b'"),
    ("config-names-valid", "error", a_config_without_a_name, "found None"),
    ("config-names-unique", "error", configs_of_one_name, "found 'viquae-images' more than once"),
    ("files-within-limits", "error", too_many_files_in_a_folder, "found 10,001"),
    ("files-within-limits", "error", a_file_that_is_too_large, "found 201 GB"),
    (
        "features-match-files",
        "error",
        a_type_that_the_card_has_otherwise,
        r"num_images \(int32\), num_images \(int64\)",
    ),
    ("features-match-files", "warning", columns_in_another_order, "their order"),
    ("features-match-files", "error", no_features, "expected features"),
    ("metadata-without-lists", "error", metadata_of_a_newer_version, "_type: List"),
    ("row-counts-match", "error", a_row_that_was_not_uploaded, "states 12 rows, the files hold 11"),
    ("parquet-readable", "error", a_file_cut_off, "expected a Parquet file"),
    ("card-head-readable", "error", no_readme, "found none"),
    ("card-head-readable", "error", a_head_that_is_no_yaml, "expected YAML"),
    ("card-head-readable", "error", configs_that_are_no_mappings, "found 'viquae'"),
    ("card-head-readable", "error", a_viewer_switched_off, "viewer: false"),
    ("card-metadata-complete", "warning", no_license, "expected a license"),
    ("card-metadata-complete", "warning", a_license_link_that_the_hub_does_not_follow, "LICENSES.md"),
    ("card-metadata-complete", "warning", a_language_that_yaml_takes_for_no, r"found \[False\]"),
    ("card-metadata-complete", "warning", a_size_that_is_none_of_the_hubs, "1M<n<10M"),
    ("pictures-small", "warning", pictures_of_more_than_a_megabyte, "1.1 MB on average"),
    ("page-of-rows-fits", "error", a_row_above_the_limit_of_a_page, "found rows of 306 MB"),
    ("page-of-rows-fits", "warning", rows_of_which_a_page_is_too_large, "found rows of 3.6 MB"),
    ("filter-values-few", "warning", licenses(30), "expected 30 values at most in license, found 31 or more"),
    (
        "one-default-config",
        "error",
        two_configs_that_open_first,
        "found it at text, viquae-images|found it at viquae-images, text",
    ),
    ("config-with-pictures", "warning", no_config_with_pictures, "found none"),
    ("row-groups-small", "warning", a_row_group_of(120_000_000), "expected about 100 MB, found 120 MB"),
    ("shards-small", "warning", a_file_of(501_000_000), "expected files of 500 MB at most, found 501 MB"),
    ("features-fit-answer", "error", columns_of_ten_megabytes, "expected dataset_info of 10 MB at most, found 1"),
]
# What one defect brings with it.
ALSO = {
    "a_config_with_a_slash": {"features-match-files"},
    "six_gigabytes_without_a_config_of_texts": {"shards-small"},
    "a_file_of_6000000000": {"shards-small"},
    "a_large_row_group_without_page_index": {"first-rows-fit", "page-of-rows-fits", "row-groups-small"},
    "a_row_above_the_limit_of_a_page": {"first-rows-fit"},
    "columns_of_ten_megabytes": {"features-match-files", "first-rows-fit"},
    "no_readme": {"card-metadata-complete"},
    "a_head_that_is_no_yaml": {"card-metadata-complete"},
    "a_config_without_a_name": {"files-listed"},
}


@pytest.mark.parametrize(
    ("rule", "level", "spoil", "words"), SPOILT, ids=[f"{rule}-{spoil.__name__}" for rule, _, spoil, _ in SPOILT]
)
def test_a_repository_spoilt_in_one_way_breaks_that_rule_alone(folder, rule, level, spoil, words):
    spoil(folder)
    findings = findings_of(folder)
    broken = [finding for finding in findings if finding.rule == rule]
    assert {finding.level for finding in broken} == {level} and re.search(words, broken[0].message)
    assert {finding.rule for finding in findings} - {rule} <= ALSO.get(spoil.__name__, set())


def test_every_rule_is_broken_by_some_repository_and_says_why_and_what_to_do():
    assert {rule for rule, *_ in SPOILT} == set(RULES)
    for rule in RULES.values():
        assert rule.level in ("error", "warning") and rule.why and rule.source and rule.fix


def test_a_hundred_thousand_files_are_too_many(folder):
    repository = Repository(folder)
    repository.files.update({f"data/{i // 9_000}/{i}.txt": {"size": 1} for i in range(100_001)})
    assert [finding.rule for finding in check_hub(repository)] == ["files-within-limits"]


def a_column_name_as_long_as_it_may_be(folder):
    name = "n" * 500
    rewrite(folder / TRAIN, lambda table: table.rename_columns([*table.column_names[:-1], name]))
    edit_head(folder, lambda head: info_of(head)["features"][-1].update({"name": name}))


def a_picture_that_is_null(folder):
    rewrite(folder / TRAIN, lambda table: with_images(table, [[{"bytes": None, "path": None}], []]))


def a_folder_for_a_split(folder):
    edit_head(folder, lambda head: config_of(head, "text").update(data_files=None, data_dir="data/text"))
    shutil.rmtree(folder / "data/reasoning")
    (folder / "data/text/validation.parquet").unlink()
    gone = ("nlvr", "nlvr-images")
    edit_head(folder, lambda head: head.update(configs=[c for c in head["configs"] if c["config_name"] not in gone]))


def a_config_with_blanks_and_umlauts(folder):
    def change(head):
        config_of(head)["config_name"] = info_of(head)["config_name"] = "zwölf Bilder, 图"

    edit_head(folder, change)


def ten_thousand_files_in_a_folder(folder):
    (folder / "data/many").mkdir()
    for number in range(10_000):
        (folder / f"data/many/{number}.txt").touch()


def metadata_of_an_older_version(folder):
    noted = {"info": {"features": {"images": {"feature": {"_type": "Image"}, "_type": "Sequence"}}}}
    rewrite(folder / TRAIN, lambda table: table.replace_schema_metadata({"huggingface": json.dumps(noted)}))


def one_language_and_size_and_the_license_beside(folder):
    edit_head(folder, lambda head: head.update(language="en", size_categories="n<1K", license_link="LICENSE"))


def pictures_of_a_megabyte(folder):
    images = [[{"bytes": os.urandom(999_000), "path": None}]]
    rewrite(folder / TRAIN, lambda table: with_images(table, images), use_dictionary=False)


WELCOME = [  # as much as a rule allows
    ("split-searchable", a_file_of(5_000_000_000)),
    ("pictures-hold-bytes", a_picture_that_is_null),
    ("first-rows-fit", a_column_name_as_long_as_it_may_be),
    ("row-groups-indexed", a_large_row_group_with_page_index),
    ("configs-fit-viewer", many_configs(4000)),
    ("configs-fit-croissant", many_configs(100)),
    ("config-names-valid", a_config_with_blanks_and_umlauts),
    ("files-within-limits", ten_thousand_files_in_a_folder),
    ("metadata-without-lists", metadata_of_an_older_version),
    ("card-metadata-complete", one_language_and_size_and_the_license_beside),
    ("pictures-small", pictures_of_a_megabyte),
    ("filter-values-few", licenses(29)),
    ("row-groups-small", a_row_group_of(100_000_000)),
    ("shards-small", a_file_of(500_000_000)),
]


@pytest.mark.parametrize(("rule", "change"), WELCOME, ids=[f"{rule}-{change.__name__}" for rule, change in WELCOME])
def test_what_a_rule_just_allows_breaks_it_not(folder, rule, change):
    change(folder)
    assert rule not in {finding.rule for finding in findings_of(folder)}


def test_a_folder_or_a_pattern_for_data_files_is_a_warning(folder):
    a_folder_for_a_split(folder)
    assert [(f.rule, f.level, f.message) for f in findings_of(folder)] == [
        ("files-listed", "warning", "data/text/** also takes files that come later")
    ]


ODD_HEADS = [
    {"configs": "viquae"},
    {"configs": {"config_name": "viquae"}},
    {"configs": [None, 3, {"config_name": 7}, {"config_name": ["a"]}]},
    {"configs": [{"config_name": "a", "data_files": [{"split": ["x"], "path": [3]}]}]},
    {"configs": [{"config_name": "a", "data_files": [[]]}], "dataset_info": [[], "x", None]},
    {"dataset_info": {"features": "x", "splits": "y"}},
    {"dataset_info": [{"config_name": "viquae", "features": [3, None, {"list": {"dtype": "x"}}], "splits": [None]}]},
    {"language": {"en": 1}, "size_categories": [["n<1K"]], "task_categories": 7, "license": ["a"], "license_link": []},
]


@pytest.mark.parametrize("change", ODD_HEADS, ids=map(str, range(len(ODD_HEADS))))
def test_a_head_of_any_shape_is_told_and_not_tripped_over(folder, change):
    edit_head(folder, lambda head: head.update(change))
    findings = findings_of(folder)
    assert findings and all(finding.message for finding in findings)


def test_a_script_of_another_name_is_a_warning(folder):
    (folder / "M3IT.py").write_text("", "utf-8")
    (finding,) = findings_of(folder)
    assert (finding.rule, finding.level) == ("no-script", "warning") and "called M3IT" in finding.message


def test_a_finding_says_rule_place_reason_and_remedy(folder):
    a_row_that_was_not_uploaded(folder)
    (finding,) = findings_of(folder)
    assert finding._asdict() == {
        "rule": "row-counts-match",
        "where": "README.md, viquae-images/train",
        "message": "it states 12 rows, the files hold 11",
        "why": "`datasets` refuses a split with other numbers of rows than the card states "
        "(datasets/utils/info_utils.py)",
        "fix": "Upload all files of one release, with its own README.md",
        "level": "error",
    }

"""m3it/publishing/hub_parquet.py: a file spoilt in one way breaks that rule alone."""

import json
import os

import pyarrow as pa

from publishing.defects import (
    TRAIN,
    assert_breaks_that_rule_alone,
    each,
    edit_head,
    findings_of,
    info_of,
    named,
    rewrite,
    with_images,
)


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


def a_type_that_the_card_has_otherwise(folder):
    edit_head(folder, lambda head: info_of(head)["features"][8].update(dtype="int64"))


def columns_in_another_order(folder):
    edit_head(folder, lambda head: info_of(head)["features"].reverse())


def metadata_of_a_newer_version(folder):
    noted = {"info": {"features": {"images": {"feature": {"_type": "Image"}, "_type": "List"}}}}
    rewrite(folder / TRAIN, lambda table: table.replace_schema_metadata({"huggingface": json.dumps(noted)}))


def a_row_that_was_not_uploaded(folder):
    rewrite(folder / TRAIN, lambda table: table.slice(0, 11))


def a_file_cut_off(folder):
    data = (folder / TRAIN).read_bytes()
    (folder / TRAIN).write_bytes(data[: len(data) // 2])
    edit_head(folder, lambda head: info_of(head).pop("splits"))


def pictures_of_more_than_a_megabyte(folder):
    images = [[{"bytes": os.urandom(1_100_000), "path": None}]]
    rewrite(folder / TRAIN, lambda table: with_images(table, images), use_dictionary=False)


def a_row_above_the_limit_of_a_page(folder):
    images = [[{"bytes": bytes(900_000), "path": None}] * 340, []]
    rewrite(folder / TRAIN, lambda table: with_images(table.slice(0, 1), images[:1]), use_dictionary=False)
    edit_head(folder, lambda head: info_of(head)["splits"][0].update(num_examples=1))


def a_column_name_as_long_as_it_may_be(folder):
    name = "n" * 500
    rewrite(folder / TRAIN, lambda table: table.rename_columns([*table.column_names[:-1], name]))
    edit_head(folder, lambda head: info_of(head)["features"][-1].update({"name": name}))


def a_picture_that_is_null(folder):
    rewrite(folder / TRAIN, lambda table: with_images(table, [[{"bytes": None, "path": None}], []]))


def metadata_of_an_older_version(folder):
    noted = {"info": {"features": {"images": {"feature": {"_type": "Image"}, "_type": "Sequence"}}}}
    rewrite(folder / TRAIN, lambda table: table.replace_schema_metadata({"huggingface": json.dumps(noted)}))


def pictures_of_a_megabyte(folder):
    images = [[{"bytes": os.urandom(999_000), "path": None}]]
    rewrite(folder / TRAIN, lambda table: with_images(table, images), use_dictionary=False)


SPOILT = [
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
    ("filter-columns-present", "warning", columns_to_filter_by_that_lack, "missing are license, width"),
    (
        "features-match-files",
        "error",
        a_type_that_the_card_has_otherwise,
        r"num_images \(int32\), num_images \(int64\)",
    ),
    ("features-match-files", "warning", columns_in_another_order, "their order"),
    ("metadata-without-lists", "error", metadata_of_a_newer_version, "_type: List"),
    ("row-counts-match", "error", a_row_that_was_not_uploaded, "states 12 rows, the files hold 11"),
    ("parquet-readable", "error", a_file_cut_off, "expected a Parquet file"),
    ("pictures-small", "warning", pictures_of_more_than_a_megabyte, "1.1 MB on average"),
    ("page-of-rows-fits", "error", a_row_above_the_limit_of_a_page, "found rows of 306 MB"),
    ("page-of-rows-fits", "warning", rows_of_which_a_page_is_too_large, "found rows of 3.6 MB"),
    ("filter-values-few", "warning", licenses(30), "expected 30 values at most in license, found 31 or more"),
    ("row-groups-small", "warning", a_row_group_of(120_000_000), "expected about 100 MB, found 120 MB"),
]
# What one defect brings with it.
ALSO = {
    "a_large_row_group_without_page_index": {"first-rows-fit", "page-of-rows-fits", "row-groups-small"},
    "a_row_above_the_limit_of_a_page": {"first-rows-fit"},
}
WELCOME = [  # as much as a rule allows: test_hub_rules.py
    ("pictures-hold-bytes", a_picture_that_is_null),
    ("first-rows-fit", a_column_name_as_long_as_it_may_be),
    ("row-groups-indexed", a_large_row_group_with_page_index),
    ("metadata-without-lists", metadata_of_an_older_version),
    ("pictures-small", pictures_of_a_megabyte),
    ("filter-values-few", licenses(29)),
    ("row-groups-small", a_row_group_of(100_000_000)),
]


@each(SPOILT)
def test_a_file_spoilt_in_one_way_breaks_that_rule_alone(spoilable, rule, level, spoil, words):
    spoil(spoilable)
    assert_breaks_that_rule_alone(spoilable, rule, level, words, ALSO.get(spoil.__name__, ()))


def test_a_finding_says_rule_place_reason_and_remedy(spoilable):
    a_row_that_was_not_uploaded(spoilable)
    (finding,) = findings_of(spoilable)
    assert finding._asdict() == {
        "rule": "row-counts-match",
        "where": "README.md, viquae-images/train",
        "message": "it states 12 rows, the files hold 11",
        "why": "`datasets` refuses a split with other numbers of rows than the card states "
        "(datasets/utils/info_utils.py)",
        "fix": "Upload all files of one release, with its own README.md",
        "level": "error",
    }

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
    with_column,
    with_images,
)


def a_picture_that_is_only_a_path(folder):
    rewrite(folder / TRAIN, lambda table: with_images(table, [[{"bytes": None, "path": "a.jpg"}]]))


def pictures_that_are_no_structs(folder):
    rewrite(folder / TRAIN, lambda table: with_column(table, "images", [[b"x"]], pa.list_(pa.binary())))
    edit_head(folder, lambda head: info_of(head)["features"][2].update({"list": "binary"}))


def columns_of(num_bytes):
    """What gives a config further columns, whose names have so many bytes together."""

    @named(f"columns_of_{num_bytes}")
    def spoil(folder):
        names = [f"{number:0>400}" for number in range(num_bytes // 400)]

        def change(table):
            for name in names:
                table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
            return table

        rewrite(folder / TRAIN, change)
        features = [{"name": name, "dtype": "string"} for name in names]
        edit_head(folder, lambda head: info_of(head)["features"].extend(features))

    return spoil


def first_rows_that_are_cut(folder):
    images = [[{"bytes": b"x", "path": None}] * 300]  # 300 links a row
    rewrite(folder / TRAIN, lambda table: with_images(table, images))


def a_column_name_that_is_too_long(folder):
    name = "n" * 501
    rewrite(folder / TRAIN, lambda table: table.rename_columns([*table.column_names[:-1], name]))
    edit_head(folder, lambda head: info_of(head)["features"][-1].update({"name": name}))


def large_pictures(table):
    return with_images(table, [[{"bytes": bytes(900_000), "path": None}] * 30])  # 12 x 30 x 0.9 MB


def a_large_row_group_without_page_index(folder):
    options = {"write_page_index": False, "use_dictionary": False, "compression": "none"}
    rewrite(folder / TRAIN, large_pictures, **options)


def a_large_row_group_with_page_index(folder):
    rewrite(folder / TRAIN, large_pictures, use_dictionary=False, compression="none")


def a_large_row_group_that_is_small_in_its_file(folder):
    rewrite(folder / TRAIN, large_pictures, write_page_index=False, use_dictionary=False)


def with_values(name, make, rows=12):
    """What gives a column of the pictures' config the values make(0), make(1), ..., in so many rows."""

    @named(f"{name}_{make(0)}_{make(1)}_in_{rows}")
    def spoil(folder):
        def change(table):
            table = pa.concat_tables([table] * rows).slice(0, rows)
            return with_column(table, name, [make(i) for i in range(rows)])

        rewrite(folder / TRAIN, change)
        edit_head(folder, lambda head: info_of(head)["splits"][0].update(num_examples=rows))

    return spoil


def licenses(number, rows):
    """What gives a split so many licenses."""
    return named(f"licenses_{number}_in_{rows}")(with_values("license", lambda i: f"license {i % number + 1000}", rows))


def a_split_of(rows):
    @named(f"a_split_of_{rows}")
    def spoil(folder):
        rewrite(folder / TRAIN, lambda table: table.slice(0, rows))
        edit_head(folder, lambda head: info_of(head)["splits"][0].update(num_examples=rows))

    return spoil


def a_row_group_of(num_bytes):
    @named(f"a_row_group_of_{num_bytes}")
    def spoil(folder):
        images = [[{"bytes": bytes(num_bytes // 240), "path": None}] * 20]  # 12 rows
        rewrite(folder / TRAIN, lambda table: with_images(table, images), use_dictionary=False)

    return spoil


def a_page_of_rows_in_several_row_groups(folder):
    images = [[{"bytes": bytes(900_000), "path": None}] * 4]  # 100 rows of 3.6 MB

    def change(table):
        return with_images(pa.concat_tables([table] * 9).slice(0, 100), images)

    rewrite(folder / TRAIN, change, use_dictionary=False, compression="none", row_group_size=20)
    edit_head(folder, lambda head: info_of(head)["splits"][0].update(num_examples=100))


def columns_to_filter_by_that_lack(folder):
    rewrite(folder / TRAIN, lambda table: table.drop_columns(["width", "license"]))

    def change(head):
        info = info_of(head)
        info["features"] = [f for f in info["features"] if f["name"] not in ("width", "license")]

    edit_head(folder, change)


def a_type_that_the_card_has_otherwise(folder):
    edit_head(folder, lambda head: info_of(head)["features"][9].update(dtype="string"))


def a_number_of_another_width(folder):
    edit_head(folder, lambda head: info_of(head)["features"][9].update(dtype="int64"))


def a_column_too_few(folder):
    edit_head(folder, lambda head: info_of(head)["features"].append({"name": "more", "dtype": "string"}))


def a_column_too_many(folder):
    edit_head(folder, lambda head: info_of(head)["features"].pop())


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
    ("first-rows-fit", "error", columns_of(200_000), "expected columns in 200 kB, found 2"),
    ("first-rows-fit", "error", a_column_name_that_is_too_long, "of 500 letters"),
    (
        "row-groups-indexed",
        "error",
        a_large_row_group_without_page_index,
        "expected a page index or at most 300.0 MB, found 324",
    ),
    ("filter-columns-present", "warning", columns_to_filter_by_that_lack, "missing are license, width"),
    (
        "features-match-files",
        "error",
        a_type_that_the_card_has_otherwise,
        r"num_images \(int32\), num_images \(string\)",
    ),
    ("features-match-files", "error", a_column_too_many, r"features: meta \(string\)"),
    ("features-match-files", "warning", a_column_too_few, r"features: more \(string\)"),
    ("features-match-files", "warning", a_number_of_another_width, r"num_images \(int64\)"),
    ("metadata-without-lists", "error", metadata_of_a_newer_version, "_type: List"),
    ("row-counts-match", "error", a_row_that_was_not_uploaded, "states 12 rows, the files hold 11"),
    ("parquet-readable", "error", a_file_cut_off, "expected a Parquet file"),
    ("pictures-small", "warning", pictures_of_more_than_a_megabyte, "1.1 MB on average"),
    ("page-of-rows-fits", "error", a_large_row_group_with_page_index, "300.0 MB at most in 100 rows, found 324"),
    ("filter-values-few", "warning", licenses(11, 54), "expected 10 values of license.*; found 11 in 54 rows"),
    ("filter-values-few", "warning", licenses(1001, 5005), "1,000 and 20% of the rows; found more than 1,000 in 5,005"),
    ("statistics-computed", "warning", a_split_of(0), "expected rows, found none"),
    ("statistics-computed", "warning", a_split_of(1), r"count images \(one value\), num_images \(one value\)"),
    ("statistics-computed", "warning", with_values("width", lambda i: 7 + i % 2), r"count width \(7 and 8 values"),
    (
        "statistics-computed",
        "warning",
        with_values("row_id", lambda i: "a" * (3 + i % 2) + chr(97 + i)),
        "4 and 5 letters",
    ),
    ("statistics-computed", "warning", with_values("row_id", lambda i: str(2**31 + i)), r"row_id \(a number as text"),
    ("texts-not-years", "warning", with_values("row_id", lambda i: str(1000 + i)), "alone in row_id"),
    ("row-groups-small", "warning", a_row_group_of(120_000_000), "expected about 100.0 MB, found 120.0 MB"),
]
# What one defect brings with it.
ALSO = {
    "a_large_row_group_without_page_index": {"page-of-rows-fits", "row-groups-small"},
    "a_large_row_group_with_page_index": {"row-groups-small"},
}
WELCOME = [  # as much as a rule allows: test_hub_rules.py
    ("pictures-hold-bytes", a_picture_that_is_null),
    ("first-rows-fit", a_column_name_as_long_as_it_may_be),
    ("first-rows-fit", columns_of(170_000)),
    ("first-rows-fit", first_rows_that_are_cut),
    ("row-groups-indexed", a_large_row_group_that_is_small_in_its_file),
    ("page-of-rows-fits", a_large_row_group_that_is_small_in_its_file),
    ("page-of-rows-fits", a_page_of_rows_in_several_row_groups),
    ("features-match-files", columns_in_another_order),
    ("metadata-without-lists", metadata_of_an_older_version),
    ("pictures-small", pictures_of_a_megabyte),
    ("filter-values-few", licenses(10, 40)),
    ("filter-values-few", licenses(11, 55)),
    ("filter-values-few", licenses(1000, 5000)),
    ("statistics-computed", a_split_of(2)),
    ("statistics-computed", with_values("width", lambda i: 7 + i % 3)),
    ("statistics-computed", with_values("width", lambda i: 7 + i % 2 * 2)),
    ("statistics-computed", with_values("row_id", lambda i: "a" * (3 + i % 2))),  # two texts: buttons
    ("statistics-computed", with_values("row_id", lambda i: str(2**31 - 20 + i))),
    ("statistics-computed", with_values("row_id", lambda i: f"q{2**31 + i}")),
    ("texts-not-years", with_values("row_id", lambda i: str(990 + i))),
    ("texts-not-years", with_values("row_id", lambda i: str(9990 + i))),
    ("texts-not-years", with_values("row_id", lambda i: str(99900 + i))),
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

"""How tests of the Hub's rules spoil a release, the YAML of its card or a Parquet file of it, and what they ask then.

A table of defects has a row for each: the rule, its level, what spoils a release, words of the finding.
"""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from M3IT import Repository
from m3it.publishing.hub_card import check_hub

TRAIN = "data/kvqa/viquae-images/train.parquet"


def findings_of(folder):
    return list(check_hub(Repository(folder)))


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


def with_column(table, name, values, kind=None):
    """The table with the values, over and over, in a column, of its own type unless another is given."""
    rows = [values[i % len(values)] for i in range(table.num_rows)]
    field = pa.field(name, kind or table.schema.field(name).type)
    return table.set_column(table.schema.get_field_index(name), field, pa.array(rows, field.type))


def with_images(table, images):
    return with_column(table, "images", images)


def named(name):
    """Give a function that a fixture makes a name of its own."""

    def name_it(function):
        function.__name__ = name
        return function

    return name_it


def sparse(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.truncate(size)


def each(defects):
    """The tests of a table of defects."""
    ids = [f"{rule}-{spoil.__name__}" for rule, _, spoil, _ in defects]
    return pytest.mark.parametrize(("rule", "level", "spoil", "words"), defects, ids=ids)


def assert_breaks_that_rule_alone(folder, rule, level, words, also=()):
    """`also`: the rules that break with it."""
    findings = findings_of(folder)
    broken = [finding for finding in findings if finding.rule == rule]
    assert {finding.level for finding in broken} == {level} and re.search(words, broken[0].message)
    assert {finding.rule for finding in findings} - {rule} <= set(also)

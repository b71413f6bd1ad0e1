"""docs/sql.md: its examples run, each where its package is installed, and count what a release holds."""

import re

import pytest
from conftest import ROOT

PAGE = (ROOT / "docs/sql.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r"^## (\w[\w ]*)\n.*?^```python\n(.*?)^```$", PAGE, re.M | re.S))
PACKAGES = {
    "DuckDB": "duckdb",
    "Polars": "polars",
    "pandas": "pandas",
    "Lance": "lance",
    "Daft": "daft",
    "Ray Data": "ray",
}


def test_every_package_of_the_page_has_an_example_here():
    assert list(EXAMPLES) == list(PACKAGES)


@pytest.mark.parametrize("title", PACKAGES)
def test_an_example_counts_filters_and_decodes(title, clean, tmp_path, monkeypatch):
    pytest.importorskip(PACKAGES[title], reason=f"{title} is in no extra of ours")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m3it-release").symlink_to(clean)
    names: dict = {}
    exec(compile(EXAMPLES[title], f"docs/sql.md, {title}", "exec"), names)
    alone = title == "Lance"  # its example is about one dataset
    assert names["counts"] == ({"viquae": 12} if alone else {"viquae": 12, "nlvr": 3})
    assert len(names["asked"]) == (12 if alone else 3)
    assert names["picture"].size == (8, 6) and names["picture"].convert("RGB").getpixel((0, 0))[2] == 128


def test_a_pattern_over_all_files_has_each_row_three_times(clean):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is an extra")
    found = duckdb.sql(
        f"SELECT count(*) FROM read_parquet('{clean}/data/**/*.parquet', union_by_name = true)"
    ).fetchall()
    assert found == [(3 * 15,)]

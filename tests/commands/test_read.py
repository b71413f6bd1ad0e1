"""m3it/commands/read.py: list, show, check, cache."""

import json
import os
import re
import time
from datetime import datetime, timedelta, timezone

import datasets
import pytest
from conftest import make_row, picture, write_rows

from m3it import CATALOGUE
from m3it.catalogue import why_not_commercial
from m3it.commands.read import as_age
from m3it.rows.images import pixels
from m3it.work.cache import KINDS


def test_list_shows_all_datasets(m3it):
    code, out, err = m3it("list")
    assert (code, err) == (0, "") and len(out.splitlines()) == 41
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(CATALOGUE)


def test_list_as_json_is_one_value(m3it):
    rows = json.loads(m3it("list", "--task", "kvqa", "--json")[1])
    assert [row["name"] for row in rows] == ["okvqa", "a-okvqa", "science-qa", "viquae"]
    assert rows[0]["train"] == 9009 and rows[0]["license"] == "CC-BY-4.0"


def test_list_by_language_and_license(m3it):
    chinese = {row["name"] for row in json.loads(m3it("list", "--language", "zh", "--json")[1])}
    assert chinese == {d.name for d in CATALOGUE.values() if d.language == "zh" or d.translated} and len(chinese) == 12
    code, out, err = m3it("list", "--language", "xx")
    assert (code, out) == (2, "") and "--language xx: expected en or one of af, am, " in err
    free = json.loads(m3it("list", "--license", "commercial", "--json")[1])
    assert [row["name"] for row in free] == [name for name in CATALOGUE if not why_not_commercial(name)]
    code, out, err = m3it("list", "--license", "commercial")
    assert code == 0 and err.startswith("Of coco, coco-goi, ") and "row by row" not in out


def test_show_prints_rows(m3it, repository):
    code, out, err = m3it("show", "viquae", "--repo", repository, "--limit", 2)
    assert (code, err) == (0, "")
    assert out.count("instruction ") == 2 and "What is 0?" in out and "What is 1?" in out and "What is 2?" not in out
    assert "What is 20?" in m3it("show", "viquae", "--repo", repository, "--split", "test")[1]
    assert "\u4ec0\u4e48 0" in m3it("show", "okvqa-zh", "--repo", repository)[1]


def test_show_finds_the_repository_of_this_folder(m3it, repository, monkeypatch):
    monkeypatch.chdir(repository)
    assert "What is 0?" in m3it("show", "viquae")[1]


def test_show_as_json_and_as_a_picture(m3it, repository, tmp_path):
    code, out, err = m3it("show", "viquae", "--repo", repository, "--json", "--images", tmp_path / "rows.png")
    rows = json.loads(out)
    assert code == 0 and [row["inputs"] for row in rows] == ["What is 0?", "What is 1?", "What is 2?"]
    assert json.loads(rows[0]["meta"])["id"] == "row-0" and err == f"3 rows drawn into {tmp_path / 'rows.png'}\n"
    sheet = pixels((tmp_path / "rows.png").read_bytes())
    for number in range(3):
        assert (sheet == pixels(picture(number))[0, 0]).all(axis=2).sum() > 1000


def test_show_finds_rows_by_their_ids_one_or_a_list(m3it, repository, tmp_path):
    def ids(*options):
        code, out, _ = m3it("show", "viquae", "--repo", repository, "--json", *options)
        return [json.loads(row["meta"])["id"] for row in json.loads(out)]

    assert ids("--id", "row-7") == ["row-7"] and ids("--id", "row-21") == ["row-21"]  # of train, and of test
    (tmp_path / "ids.txt").write_text("row-4\nrow-22\n\nrow-1\nrow-5\n", "utf-8")
    assert ids("--id", tmp_path / "ids.txt", "--id", "row-9") == ["row-1", "row-4", "row-5", "row-9", "row-22"]
    code, out, err = m3it("show", "viquae", "--repo", repository, "--split", "test", "--id", "row-7")
    assert (code, out) == (1, "")
    assert err == "viquae: expected rows of these ids in test, found none of 'row-7'.\n"


def test_nothing_in_a_row_or_a_name_steers_the_terminal(m3it, repository, tmp_path):
    steers = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066\x7f\r\u2028\U000e0041 end"
    row = make_row(0, instruction=steers, inputs=steers, outputs=steers, meta=json.dumps({"id": steers}))
    write_rows(repository / "data/vqa/odd\x1b[2J/train.jsonl", [row])
    write_rows(repository / "data/vqa/odd\x1b[2J/test.jsonl", [{**row, "outputs": 3}])
    config = "odd\x1b[2J"
    for command in (
        ("show", config, "--repo", repository, "--split", "train"),
        ("show", config, "--repo", repository, "--split", "train", "--json"),
        ("show", config, "--repo", repository, "--split", "test"),
        ("show", config, "--repo", repository, "--split", steers),
        ("check", repository),
        ("check", repository, "--json"),
        ("stats", "--repo", repository),
        ("release", repository, "--out", tmp_path / "out"),
        ("show", "x", "--limit", steers),
    ):
        code, out, err = m3it(*command)
        assert out + err and not re.search(
            "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\U000e0041]", out + err
        )
        if command[-1] == "--json" and command[0] == "show":
            assert json.loads(out)[0]["outputs"] == steers


def test_show_says_which_splits_there_are(m3it, repository):
    code, _, err = m3it("show", "viquae", "--repo", repository, "--split", "validation")
    assert code == 1 and err == "viquae has no split 'validation'; it has train, test.\n"


def test_check_of_a_good_repository_exits_0(m3it, repository):
    assert m3it("check", repository, "--config", "okvqa-zh") == (0, "4 rows of 1 configs read, 0 findings\n", "")
    code, out, err = m3it("check", repository)
    assert (code, err) == (0, "17 rows of 2 configs read, 1 findings\n")
    assert out.startswith("README.md: warning: expected a README.md, found none. Run: m3it card [card-head-readable]")


def test_check_of_broken_rows_exits_1_with_file_line_and_rule(m3it, repository):
    write_rows(repository / "data/t/d/train.jsonl", [make_row(0), make_row(1, outputs=3)])
    code, out, err = m3it("check", repository)
    line, _ = out.splitlines()  # there is no card either
    assert (
        code == 1
        and line.startswith("data/t/d/train.jsonl:2: expected a string in outputs")
        and line.endswith("[types]")
    )
    assert err == "19 rows of 3 configs read, 2 findings\n"


def test_check_as_json_is_one_value(m3it, repository):
    write_rows(repository / "data/t/d/train.jsonl", [make_row(0), make_row(1, outputs=3)])
    code, out, err = m3it("check", repository, "--json")
    result = json.loads(out)
    assert (code, err) == (1, "")
    finding, _ = result["findings"]
    assert (finding["rule"], finding["where"]) == ("types", "data/t/d/train.jsonl:2")
    assert sorted(result["rows"]) == [
        ["d", "train", 2],
        ["okvqa-zh", "validation", 4],
        ["viquae", "test", 3],
        ["viquae", "train", 10],
    ]


def test_check_of_a_path_that_holds_nothing_is_an_error_also_as_the_second(m3it, repository, tmp_path):
    (tmp_path / "empty").mkdir()
    for paths in ([tmp_path / "empty"], [repository, tmp_path / "empty"], [repository, "--config", "coco"]):
        code, _, err = m3it("check", *paths)
        assert code == 1 and "no shards found" in err, paths


def test_check_of_a_broken_rule_of_the_hub_says_why_and_what_to_do(m3it, repository, tmp_path):
    m3it("release", repository, "--out", tmp_path / "made")
    readme = tmp_path / "made/README.md"
    readme.write_text(readme.read_text("utf-8").replace("license: other\n", ""), "utf-8")
    code, out, _ = m3it("check", tmp_path / "made")
    assert code == 0 and "README.md: warning:" in out and "[card-metadata-complete] Why: " in out
    (tmp_path / "made/data/kvqa/viquae/test.parquet").unlink()
    code, out, _ = m3it("check", tmp_path / "made")
    assert code == 1 and "[files-listed] Why: a file is shown under the config and the split that name it" in out


def test_check_against_compares_two_repositories(m3it, repository, tmp_path):
    m3it("release", repository, "--out", tmp_path / "made")
    code, out, _ = m3it("check", tmp_path / "made", "--against", repository)
    assert (code, out) == (0, "17 rows of 2 configs the same in both, 0 findings\n")
    write_rows(repository / "data/kvqa/viquae/test.jsonl", [make_row(n) for n in range(2)])
    code, out, _ = m3it("check", tmp_path / "made", "--against", repository)
    assert code == 1 and out.startswith("viquae/test: expected the same rows, found")


# ---- cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder that is the cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    return tmp_path


def write(path, num_bytes, days):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(num_bytes))
    then = time.time() - 86_400 * days
    os.utime(path, (then, then))


def left(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_cache_says_how_much_there_is_of_each_kind(m3it, cache):
    write(cache / "m3it-files/a.jsonl", 1_500_000, days=3)
    write(cache / "m3it-files/b.jsonl", 500_000, days=0)
    write(cache / "m3it-replies/ab/c.json", 12, days=1)
    code, out, err = m3it("cache")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert (code, err) == (0, "") and out.splitlines()[0].split() == [
        "kind", "files", "size", "oldest", "newest", "holds",
    ]  # fmt: skip
    assert lines["files"].split()[1:8] == ["2", "2.0", "MB", "3", "days", "now", "copies"]
    assert lines["replies"].split()[1:8] == ["1", "12", "B", "1", "day", "1", "day"]
    assert lines["layouts"].split()[1:6] == ["0", "0", "B", "-", "-"]
    assert lines["in"].split() == ["in", "all", "3", "2.0", "MB", str(cache)]


def test_cache_as_json_is_one_value(m3it, cache):
    write(cache / "m3it-files/a.jsonl", 7, days=0)
    held = {one["kind"]: one for one in json.loads(m3it("cache", "--json")[1])}
    assert set(held) == set(KINDS)
    assert held["files"]["num_files"] == 1 and held["files"]["num_bytes"] == 7
    assert held["files"]["folder"] == str(cache / "m3it-files")
    assert held["files"]["oldest"] == held["files"]["newest"] and held["files"]["oldest"].endswith("+00:00")
    assert held["drops"]["oldest"] is None


def test_cache_clears_the_kinds_that_are_named(m3it, cache):
    for folder in ("m3it-files", "m3it-index", "m3it-replies", "json"):
        write(cache / folder / "a", 5, days=0)
    code, out, _ = m3it("cache", "--clear", "files", "--clear", "indexes")
    lines = out.splitlines()
    assert code == 0 and [line.split()[:4] for line in lines[1:3]] == [
        ["files", "1", "5", "B"], ["indexes", "1", "5", "B"],
    ]  # fmt: skip
    assert lines[0].endswith("removed") and len(lines) == 4
    assert left(cache) == ["json/a", "m3it-replies/a"]
    removed = json.loads(m3it("cache", "--clear", "all", "--json")[1])
    assert len(removed) == len(KINDS) and sum(one["num_files"] for one in removed) == 1
    assert left(cache) == ["json/a"]


def test_cache_clears_nothing_if_a_kind_is_wrong(m3it, cache):
    write(cache / "m3it-files/a", 5, days=0)
    code, out, err = m3it("cache", "--clear", "files", "--clear", "filse")
    assert (code, out) == (2, "") and "--clear filse: expected all, files, " in " ".join(err.split())
    assert left(cache) == ["m3it-files/a"]


def test_ages_are_said_in_their_largest_unit():
    def age(**ago):
        return as_age(datetime.now(timezone.utc) - timedelta(**ago))

    assert as_age(None) == "-"
    assert [age(seconds=59), age(seconds=61), age(minutes=150)] == ["now", "1 minute", "2 hours"]
    assert [age(hours=25), age(days=400)] == ["1 day", "400 days"]

"""m3it/reading/corrections.py: a table of corrected texts, applied to rows as they are read."""

import json

import legacy_maker
import pytest
from conftest import make_row, write_rows

from m3it import load_dataset
from m3it.publishing.release import release
from m3it.reading.corrections import read_corrections, unused
from m3it.rows.instance import M3ITError

HEAD = "config\tid\tfield\ttext\twho\n"


def test_corrections_are_read_with_their_tabs_and_line_breaks(tmp_path):
    (tmp_path / "c.tsv").write_text(
        HEAD + 'okvqa-zh\t7\tinputs\t"one\ntwo"\tLi\nokvqa-zh\t7\toutputs\t猫\tLi\n', "utf-8"
    )
    found = read_corrections(tmp_path / "c.tsv")
    assert found == {"okvqa-zh": {"7": {"inputs": ("one\ntwo", "Li"), "outputs": ("猫", "Li")}}}
    assert unused(found, "okvqa-zh", ["1", "2"]) == ["7"] and not unused(found, "okvqa-zh", ["7"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\tb\n", ":1: expected the columns config, id, field, text, who, found a, b"),
        (HEAD + "c\t1\toutput\tx\tme\n", ":2: expected a field .* found 'output'. Did you mean 'outputs'"),
        (HEAD + "c\t1\toutputs\tx\n", ":2: expected 5 columns, found 4"),
        (HEAD + "c\t1\toutputs\t\tme\n", ":2: expected a text in every column"),
        (HEAD + "c\t1\toutputs\tx\tme\n" * 2, ":3: outputs of row '1' of c is corrected twice"),
    ],
)
def test_a_broken_table_of_corrections_is_refused_with_its_line(tmp_path, text, said):
    (tmp_path / "c.tsv").write_text(text, "utf-8")
    with pytest.raises(M3ITError, match=said):
        read_corrections(tmp_path / "c.tsv")


def test_a_correction_is_applied_at_load_and_at_release_and_meta_says_who(tmp_path, caplog):
    table = tmp_path / "c.tsv"
    table.write_text(HEAD + "okvqa-zh\trow-1\toutputs\t猫\tLi\nokvqa-zh\trow-9\toutputs\t狗\tLi\n", "utf-8")
    write_rows(tmp_path / "repo/data/kvqa/okvqa/zh/validation.jsonl", [make_row(i) for i in range(3)])
    repo = str(tmp_path / "repo")
    plain = load_dataset(repo, "okvqa-zh", split="validation")
    mended = load_dataset(repo, "okvqa-zh", split="validation", meta=True, corrections=table)
    assert plain["outputs"][1] == "answer 1" and list(mended["outputs"]) == ["answer 0", "猫", "answer 2"]
    assert json.loads(mended[1]["meta"]) == {"id": "row-1", "corrected": {"outputs": "Li"}}
    assert json.loads(mended[0]["meta"]) == {"id": "row-0"}
    assert "okvqa-zh: 1 corrections name a row that it does not have: row-9" in caplog.text
    streamed = load_dataset(repo, "okvqa-zh", split="validation", streaming=True, corrections=table)
    assert [row["outputs"] for row in streamed] == ["answer 0", "猫", "answer 2"] and "meta" not in streamed.features
    run = release(repo, tmp_path / "released", corrections=str(table))
    assert run["corrections"] == {"num_rows": 1, "no_such_row": {"okvqa-zh": ["row-9"]}}
    released = load_dataset(str(tmp_path / "released"), "okvqa-zh", split="validation", meta=True)
    assert released["outputs"][1] == "猫" and json.loads(released[1]["meta"])["corrected"] == {"outputs": "Li"}


def test_tables_of_corrections_share_no_cache_entry_whatever_their_name(tmp_path):
    write_rows(tmp_path / "repo/data/kvqa/okvqa/zh/validation.jsonl", [make_row(i) for i in range(2)])
    for word in ("猫", "狗"):
        (tmp_path / "c.tsv").write_text(HEAD + f"okvqa-zh\trow-1\toutputs\t{word}\tLi\n", "utf-8")
        for _ in range(2):  # prepared, then from the cache
            rows = load_dataset(str(tmp_path / "repo"), "okvqa-zh", split="validation", corrections=tmp_path / "c.tsv")
            assert list(rows["outputs"]) == ["answer 0", word]
    (tmp_path / "c.tsv").write_text(HEAD, "utf-8")
    rows = load_dataset(str(tmp_path / "repo"), "okvqa-zh", split="validation", corrections=tmp_path / "c.tsv")
    assert list(rows["outputs"]) == ["answer 0", "answer 1"]


def test_a_correction_of_a_config_that_there_is_not_is_refused_and_a_card_alone_takes_none(tmp_path):
    write_rows(tmp_path / "repo/data/kvqa/own/validation.jsonl", [make_row(0)])
    (tmp_path / "c.tsv").write_text(HEAD + "okvqa_zh\trow-1\toutputs\t猫\tLi\n", "utf-8")
    with pytest.raises(M3ITError, match="corrections of 'okvqa_zh': there is no such config. Did you mean 'okvqa-zh'"):
        load_dataset(str(tmp_path / "repo"), "own", corrections=tmp_path / "c.tsv")
    with pytest.raises(M3ITError, match="rows must be written anew. Pass --format parquet"):
        release(str(tmp_path / "repo"), tmp_path / "out", format="jsonl", corrections=str(tmp_path / "c.tsv"))


def test_corrections_find_a_row_by_the_id_of_its_source(tmp_path):
    legacy_maker.m3it(tmp_path, ("text-vqa",))
    path = tmp_path / "mended.tsv"
    path.write_text("config\tid\tfield\ttext\twho\ntext-vqa\tt-1\toutputs\tAcme, mended.\tme\n")
    rows = load_dataset(tmp_path, "text-vqa", split="test", corrections=path)
    assert rows["outputs"][:] == ["Acme, mended."]


def test_a_row_whose_meta_says_something_else_under_corrected_is_refused(tmp_path):
    meta = json.dumps({"id": "row-1", "corrected": "by hand"})
    write_rows(tmp_path / "repo/data/kvqa/own/train.jsonl", [make_row(0), make_row(1, meta=meta)])
    (tmp_path / "c.tsv").write_text(HEAD + "own\trow-1\toutputs\tcat\tLi\n", "utf-8")
    options = {"split": "train", "streaming": True, "corrections": tmp_path / "c.tsv"}
    with pytest.raises(M3ITError, match='train.jsonl:2: expected who corrected what in corrected .*found "by hand"'):
        list(load_dataset(str(tmp_path / "repo"), "own", **options))
    left = list(load_dataset(str(tmp_path / "repo"), "own", on_error="drop", **options))
    assert [row["outputs"] for row in left] == ["answer 0"]

"""The translations of the sample: each row keeps the options and numbers of its English row, and its instruction."""

import json
import re

import pytest
from conftest import ROOT
from make_data import FIXTURES

from M3IT import CATALOGUE, LANGUAGES
from m3it.catalogue import instructions
from m3it.rows.instance import choose

TRANSLATED = [
    (d.name, code) for d in CATALOGUE.values() if d.translated for code in ("ar", "de", "es", "fr", "ja", "zh")
]
LETTERS = {
    "Arab": "[\u0600-\u06ff]",
    "Jpan": "[\u3040-\u30ff\u4e00-\u9fff]",
    "Hans": "[\u4e00-\u9fff]",
    "Latn": "[A-Za-z]",
}


def read_fixture(dataset, name):
    return [json.loads(line) for line in (FIXTURES / dataset / name).read_text("utf-8").splitlines()]


@pytest.mark.parametrize(("dataset", "language"), TRANSLATED)
def test_a_translated_row_has_the_translation_of_its_instruction_and_the_options_and_numbers_of_its_row(
    dataset, language
):
    english = instructions(dataset)
    translated = (ROOT / "m3it" / "instructions" / f"{dataset}.{language}.txt").read_text("utf-8").splitlines()
    assert len(set(translated)) == len(translated) == len(english)
    row_by_id = {row["id"]: row for row in read_fixture(dataset, "expected.jsonl") if "drop" not in row}
    rows = [row for row in read_fixture(dataset, "translations.jsonl") if row["language"] == language]
    assert len({row["id"] for row in rows}) == len(rows) >= 4
    for row in rows:
        source = row_by_id[row["id"]]
        assert row["instruction"] == translated[english.index(choose(english, dataset, row["id"]))]
        for name in ("inputs", "outputs"):
            assert re.findall(r"\([A-Z]\)|\d+", row[name]) == re.findall(r"\([A-Z]\)|\d+", source[name])
        text = re.sub(r"\([A-Z]\)|\d", "", row["instruction"] + row["inputs"] + row["outputs"])
        own, latin = LETTERS[LANGUAGES[language].script], LETTERS["Latn"]
        assert re.search(own, text) and (own == latin or not re.search(latin, text))
        assert row["outputs"] in row["inputs"].split("\n") or "(A)" not in row["inputs"]

"""m3it/commands/make.py and publish.py: convert, translate, languages, release, card."""

import json

import pytest
from conftest import FIXTURES

import m3it.translating.flores as flores_module
from m3it.translating.engines import EngineSettings
from m3it.translating.flores import LanguageScore


def test_convert_show_and_check_a_fixture(m3it, tmp_path):
    code, out, err = m3it("convert", "okvqa", "--root", FIXTURES / "okvqa", "--out", tmp_path, "--on-error", "drop")
    lines = out.splitlines()
    assert code == 0 and [line.split(":")[0] for line in lines] == ["train.jsonl", "validation.jsonl"]
    assert lines[0].startswith("train.jsonl: 8 rows") and lines[0].endswith(
        "1 dropped: missing image, 1 dropped: unreadable image, 1 dropped: no answers"
    )
    assert m3it("check", tmp_path)[0] == 0
    assert "outputs      paris" in m3it("show", "okvqa", "--repo", tmp_path)[1]


def test_convert_stops_at_an_unreadable_row_with_one_sentence(m3it, tmp_path):
    code, out, err = m3it("convert", "okvqa", "--root", FIXTURES / "okvqa", "--out", tmp_path)
    assert (code, out) == (1, "") and "okvqa/train: row '3000015': missing image" in err and "Traceback" not in err


def test_convert_limits_the_rows_of_each_split(m3it, tmp_path):
    code, out, _ = m3it(
        "convert", "okvqa", "--root", FIXTURES / "okvqa", "--out", tmp_path, "--limit", 2, "--split", "train"
    )
    assert code == 0 and out.startswith("train.jsonl: 2 rows") and out.count("\n") == 1


def test_release_prints_the_proof_and_how_to_publish(m3it, repository, tmp_path):
    code, out, err = m3it("release", repository, "--out", tmp_path / "made", "--config", "viquae")
    first, *_, digest, upload = out.splitlines()
    assert (code, err) == (0, "")
    assert first.startswith("viquae/train: 10 rows in, 10 out, ") and digest.startswith("digest of all: ")
    assert upload.startswith("hf upload") and str(tmp_path / "made") in upload


def test_release_leaves_out_broken_rows_where_asked_and_says_so(m3it, repository, tmp_path):
    with open(repository / "data/kvqa/viquae/test.jsonl", "a", encoding="utf-8") as file:
        file.write("{\n")
    code, _, err = m3it("release", repository, "--out", tmp_path / "one")
    assert code == 1 and "test.jsonl" in err
    code, out, _ = m3it("release", repository, "--out", tmp_path / "two", "--on-error", "drop")
    assert code == 0 and "viquae/test: 4 rows in, 3 out, 1 dropped: not JSON" in out


def test_release_as_json_lines_is_a_card(m3it, repository, tmp_path):
    code, out, _ = m3it("release", repository, "--out", tmp_path / "made", "--format", "jsonl")
    assert code == 0 and out.splitlines()[-1].startswith("digest of all: ")
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == [
        "LICENSES.md", "README.md", "croissant.json", "dataset_infos.json", "run.json",
    ]  # fmt: skip


def test_card_writes_and_card_check_says_what_is_old(m3it, repository):
    (repository / "README.md").write_text("# Mine\n", "utf-8")
    code, out, _ = m3it("card", repository, "--check")
    assert code == 1 and "+- {config_name: viquae, " in out and not (repository / "dataset_infos.json").exists()
    assert m3it("card", repository) == (0, "2 files written\n", "")
    assert m3it("card", repository, "--check") == (0, "0 files out of date\n", "")
    assert m3it("card", repository) == (0, "0 files written\n", "")


def test_card_of_no_repository_is_an_error(m3it, tmp_path):
    assert m3it("card", tmp_path)[0] == 1
    assert m3it("card", tmp_path / "none")[0] == 1


# ---- translate and languages


@pytest.mark.parametrize(
    "arguments",
    [
        ["translate"],
        ["translate", "okvqa"],
        ["translate", "okvqa", "--to", "zh", "--backend", "google"],
        ["translate", "okvqa", "--to", "zh", "--on-error", "ignore"],
        ["languages"],
        ["languages", "flores", "--limit", "0"],
    ],
)
def test_wrong_usage_of_translate_and_languages_exits_2(m3it, arguments):
    code, out, err = m3it(*arguments)
    assert (code, out) == (2, "") and "Usage: m3it" in err


def test_languages_lists_scores_and_those_above_the_threshold(m3it, monkeypatch, tmp_path):
    asked, found = [], [LanguageScore("zh", 25.0, 30.5), LanguageScore("de", 20.0, 21.0)]
    found.append(LanguageScore("fr", None, None, "not in this FLORES"))

    def scripted(flores, job, limit, progress):
        asked.append((flores, job, limit))
        return found, {"spbleu": "tok:flores200"}

    monkeypatch.setattr(flores_module, "select_languages", scripted)
    code, out, err = m3it("languages", tmp_path, "--backend", "nllb", "--model", "m", "--limit", 5, "--beams", 2)
    assert asked == [(tmp_path, EngineSettings("transformers", "m", num_beams=2), 5)]
    assert (
        code == 0
        and err == "spbleu: tok:flores200\n"
        and out.splitlines()
        == [
            "* zh    25.00 spBLEU   30.50 BLEU",
            "  de    20.00 spBLEU   21.00 BLEU",
            "  fr  not in this FLORES",
            "1 above 20 spBLEU: zh",
        ]
    )
    assert m3it("languages", tmp_path, "--threshold", 30)[1].endswith("0 above 30 spBLEU: none\n")
    told = json.loads(m3it("languages", tmp_path, "--threshold", 10, "--json")[1])
    assert told["above"] == ["zh", "de"] and told["scores"][0] == {
        "code": "zh",
        "spbleu": 25.0,
        "bleu": 30.5,
        "note": "",
    }


def test_languages_of_a_folder_without_flores_says_where_to_get_it(m3it, tmp_path):
    pytest.importorskip("sacrebleu", reason="sacrebleu is an extra")
    code, out, err = m3it("languages", tmp_path)
    assert (code, out) == (1, "") and "FLORES-200 comes from https://github.com/facebookresearch/flores" in err

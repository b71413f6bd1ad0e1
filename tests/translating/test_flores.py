"""A model scored on FLORES, in files as they are published."""

import shutil

import pytest
from scripted_translations import pairs, train_sentencepiece

from m3it import LANGUAGES
from m3it.rows.instance import M3ITError
from m3it.translating.flores import bleu, flores_devtest, select_languages


@pytest.fixture
def flores(tmp_path, monkeypatch):
    """A FLORES of the sample's questions, in English, Chinese and German, and a spBLEU that fetches nothing."""
    import sacrebleu.tokenizers.tokenizer_spm as spm

    (tmp_path / "models").mkdir()
    train_sentencepiece(tmp_path / "letters.model", [b for _, b in pairs()], vocab_size=200, model_type="char")
    shutil.copy(tmp_path / "letters.model", tmp_path / "models" / "flores200sacrebleuspm")
    monkeypatch.setattr(spm, "SACREBLEU_DIR", str(tmp_path))  # sacrebleu would fetch FLORES-200's own model
    folder = tmp_path / "flores200_dataset" / "devtest"
    folder.mkdir(parents=True)
    known = [pair for pair in pairs() if len(pair[0]) > 20]
    for name, lines in {"eng_Latn": [a for a, _ in known], "zho_Hans": [b.replace("？", "?") for _, b in known],
                        "deu_Latn": ["Welche Hauptstadt hat das Land?"] * len(known)}.items():  # fmt: skip
        (folder / f"{name}.devtest").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path


def test_languages_are_scored_on_flores_as_it_is_published(settings, flores):
    scores, signatures = select_languages(flores, settings, ["fr", "de", "zh"])
    assert [score.code for score in scores] == ["zh", "de", "fr"], (scores, signatures)
    assert scores[0].spbleu == scores[0].bleu == 100 and scores[1].bleu < 20
    assert scores[2] == ("fr", None, None, "not in this FLORES")
    assert "tok:flores200" in signatures["spbleu"] and "tok:zh" in signatures["bleu zh"]


def test_a_language_that_the_model_does_not_know_has_no_score(settings, flores):
    folder = flores / "flores200_dataset" / "devtest"
    shutil.copy(folder / "deu_Latn.devtest", folder / "qqq_Latn.devtest")
    scores, signatures = select_languages(flores, settings, ["qq=qqq_Latn"])
    assert scores == [("qq", None, None, "unknown to the model")] and signatures == {}


def test_files_that_do_not_belong_together_are_refused(settings, flores):
    (flores / "flores200_dataset" / "devtest" / "deu_Latn.devtest").write_text("Eins\n", "utf-8")
    with pytest.raises(M3ITError, match="deu_Latn has 1 sentences, English "):
        select_languages(flores, settings, ["de"])
    with pytest.raises(
        M3ITError, match="expected devtest/eng_Latn.devtest .* FLORES-200 comes from https://github.com"
    ):
        select_languages(flores / "models", settings)


@pytest.mark.parametrize("file", ["flores101_dataset/devtest/eng.devtest", "devtest/eng_Latn.devtest", "eng.devtest"])
def test_the_folder_of_sentences_is_found_from_wherever_one_points(tmp_path, file):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("One.\n", "utf-8")
    assert flores_devtest(tmp_path) == (tmp_path / file).parent


@pytest.mark.parametrize(("code", "tokens"), [("zh", "zh"), ("ko", "13a"), ("de", "13a"), ("ja", "char")])
def test_bleu_counts_the_tokens_of_the_language(code, tokens):
    name, metric = bleu(LANGUAGES[code])
    assert name == tokens and metric.tokenizer.signature() == tokens

"""Which languages a model translates English into well enough: the paper's rule, BLEU above 20 on FLORES.

In: FLORES' devtest files as they are published (flores200_dataset/devtest/zho_Hans.devtest, a sentence a line).  Out:
spBLEU and BLEU of each language. The paper says FLORES-101 and not which BLEU: https://arxiv.org/abs/2306.04387.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from M3IT import LANGUAGES, Language
from m3it.catalogue import ENGLISH
from m3it.rows.instance import M3ITError
from m3it.translating.engines import EngineSettings, open_engine
from m3it.translating.languages import find_language
from m3it.translating.memory import Memory
from m3it.work.folder import text_of
from m3it.work.runner import Progress, silent

FLORES_101 = {"arb_Arab": "ara", "fuv_Latn": "ful", "lvs_Latn": "lav", "zho_Hans": "zho_simpl"}  # else three letters
WHERE_FLORES_IS = (
    "FLORES-200 comes from https://github.com/facebookresearch/flores (flores200_dataset/devtest/*.devtest), "
    "FLORES-101 has flores101_dataset/devtest/*.devtest; both are CC-BY-SA-4.0 and not shipped here."
)


class LanguageScore(NamedTuple):
    """How well a model translates English into a language; None where FLORES has no file or the model no token."""

    code: str
    spbleu: float | None
    bleu: float | None
    note: str = ""


def select_languages(
    flores: Path | str,
    settings: EngineSettings,
    languages: Iterable[str] = LANGUAGES,
    limit: int | None = None,
    progress: Progress = silent,
) -> tuple[list[LanguageScore], dict[str, str]]:
    """English-to-each scores on FLORES devtest, best first, and the signatures of the metrics. `limit`: so many
    sentences. spBLEU tokens are sacrebleu's flores200 ones, whose model sacrebleu fetches on first use."""
    folder = flores_devtest(Path(flores))
    english = _sentences(folder, ENGLISH, limit) or []
    spbleu_metric = spbleu()
    scores: list[LanguageScore] = []
    signatures: dict[str, str] = {}
    targets = [find_language(code) for code in languages]
    for target in progress(targets, "languages", len(targets)):
        references = _sentences(folder, target, limit)
        if references is None:
            scores.append(LanguageScore(target.code, None, None, "not in this FLORES"))
            continue
        if len(references) != len(english):
            raise M3ITError(
                f"{folder}: {target.nllb} has {len(references)} sentences, English {len(english)}; line for line they "
                f"should agree. Unpack it again. {WHERE_FLORES_IS}"
            )
        try:
            open_engine(settings).require(target)
        except M3ITError:
            scores.append(LanguageScore(target.code, None, None, "unknown to the model"))
            continue
        said = Memory(settings.cache_dir).recall(open_engine(settings), english, ENGLISH, target, 0)
        hypotheses = [said[sentence] or "" for sentence in english]
        tokens, bleu_metric = bleu(target)
        values = [round(m.corpus_score(hypotheses, [references]).score, 2) for m in (spbleu_metric, bleu_metric)]
        scores.append(LanguageScore(target.code, *values))
        signatures["spbleu"] = str(spbleu_metric.get_signature())
        signatures[f"bleu {tokens}"] = str(bleu_metric.get_signature())
    scores.sort(key=lambda score: (score.spbleu is None, -(score.spbleu or 0), score.code))
    return scores, signatures


def bleu(language: Language) -> tuple[str, Any]:
    """The name of sacrebleu's tokens for a language, and BLEU over them."""
    from sacrebleu.metrics import BLEU

    tokens = {"zho_Hans": "zh", "kor_Hang": "13a"}.get(language.nllb, "13a" if language.spaces else "char")
    return tokens, BLEU(tokenize=tokens)


def spbleu() -> Any:
    """BLEU over the pieces of FLORES-200's sentencepiece model."""
    from sacrebleu.metrics import BLEU

    try:
        return BLEU(tokenize="flores200")
    except (OSError, RuntimeError, SystemExit) as error:  # no network, a broken file, sacrebleu's sys.exit
        raise M3ITError(
            f"spBLEU needs FLORES-200's sentencepiece model, which sacrebleu could not fetch ({error}). Put it at "
            "~/.sacrebleu/models/flores200sacrebleuspm ($SACREBLEU, if set, instead of ~/.sacrebleu; https://tinyurl.com/flores200sacrebleuspm)."
        ) from error


def flores_devtest(folder: Path) -> Path:
    """The folder of devtest files in a FLORES folder, wherever in it one points; M3ITError if there is none."""
    for below in ("", "devtest", "flores200_dataset/devtest", "flores101_dataset/devtest"):
        if (folder / below / "eng_Latn.devtest").is_file() or (folder / below / "eng.devtest").is_file():
            return folder / below
    raise M3ITError(f"{folder}: expected devtest/eng_Latn.devtest or devtest/eng.devtest. {WHERE_FLORES_IS}")


def _sentences(folder: Path, language: Language, limit: int | None) -> list[str] | None:
    """The sentences of a language, one a line; None where FLORES does not have it."""
    for name in (language.nllb, FLORES_101.get(language.nllb, language.nllb[:3])):
        if (folder / f"{name}.devtest").is_file():
            lines = text_of(folder / f"{name}.devtest").removesuffix("\n").split("\n")
            return lines[:limit]
    return None

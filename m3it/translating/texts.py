"""Texts on their way through an engine: cut and masked, asked for once, put together again, checked, asked for anew.

In: texts.  Out: a Translation of each.  What an engine has said is kept on disk by model, direction, decoding and text
(memory.py): a second run asks nothing, and a killed one goes on.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from M3IT import Language
from m3it.translating.checks import reason_against_translation
from m3it.translating.engines import DECODINGS, EngineSettings, open_engine
from m3it.translating.lengths import reason_against_length
from m3it.translating.masks import MASK, Masked, TextPart, mask, restore, split_text
from m3it.translating.memory import Memory

WORD_START, WORD_END = re.compile(r"[\w(\[{<“«]"), re.compile(r"[\w)\]}>”».,;:!?]")
SENTENCE_ENDS = ("。", "！", "？", "”", "」", "』")
KEPT_TEXTS = 50_000  # done texts that are looked up without asking the disk


class Translation(NamedTuple):
    """A text in the other language; `reason` says why it cannot stand, `notes` what happened on the way."""

    text: str
    reason: str = ""
    notes: tuple[str, ...] = ()


class Translator:
    """Translates texts from one language to another and checks them; counts what it did."""

    def __init__(
        self, settings: EngineSettings, source: Language, target: Language, known: dict[str, str] | None = None
    ):
        self.engine, self.source, self.target = open_engine(settings), source, target
        self.memory = Memory(settings.cache_dir)
        self.known = {text: Translation(said, "", ("by hand",)) for text, said in (known or {}).items()}
        self.blanks = target.spaces and not source.spaces  # to put between parts that had none
        self.no_blanks = source.spaces and target.script in ("Hans", "Hant", "Jpan")  # after a full stop
        self.done: dict[str, Translation] = {}
        self.counts: Counter[str] = Counter()

    def translate(self, texts: Iterable[str], decoding: int = 0) -> dict[str, Translation]:
        """text -> Translation of each distinct text; what fails a check is decoded otherwise, in every way there is."""
        found = {text: self.known.get(text) or (not decoding and self.done.get(text)) for text in dict.fromkeys(texts)}
        todo = [text for text, done in found.items() if not done]
        notes: dict[str, tuple[str, ...]] = dict.fromkeys(found, ())
        self.counts["texts"] += len(todo)
        for number in range(decoding, len(DECODINGS)):
            failed = []
            for text, (said, way, lost) in self._say(todo, number).items():
                reason = "no translation" if said is None else lost or self._reason(text, said)
                notes[text] = (*notes[text], way, f"{reason} (decoding {number})" if reason else "")
                found[text] = Translation(said or "", reason, tuple(dict.fromkeys(filter(None, notes[text]))))
                self.counts[reason or "passed"] += 1
                failed += [text] if reason else []
            todo = failed
        if len(self.done) > KEPT_TEXTS:
            self.done.clear()
        translations = {text: translation for text, translation in found.items() if translation}
        self.done |= {} if decoding else translations  # what was asked for otherwise was so for one row
        return translations

    def _reason(self, text: str, said: str) -> str:
        return reason_against_translation(text, said, self.target, self.source)

    def _say(self, texts: Sequence[str], decoding: int) -> dict[str, tuple[str | None, str, str]]:
        """text -> (translation, "by pieces" if a protected span got lost first, why one of its parts is not all there:
        in a long text half a sentence does not show), else unchecked."""
        parts_by_text = {text: split_text(text, self._fits) for text in texts}
        masked = {p.text: mask(p.text) for parts in parts_by_text.values() for p in parts if not p.keep}
        said = self._recall((m.text for m in masked.values()), decoding)
        whole = {text: _restored(said[m.text], m) for text, m in masked.items()}
        lost = {text: _pieces(m) for text, m in masked.items() if whole[text] is None and m.spans}
        self.counts["by pieces"] += len(lost)
        piecewise = self._recall((p.text for pieces in lost.values() for p in pieces if not p.keep), decoding)
        piecewise = {text: None if MASK.search(said or "") else said for text, said in piecewise.items()}  # invented
        for text, pieces in lost.items():
            whole[text] = self._join(pieces, piecewise)
        way = {text: "by pieces" if any(p.text in lost for p in parts) else "" for text, parts in parts_by_text.items()}
        cut = {
            text: reason_against_length(text, said, self.source, self.target) for text, said in whole.items() if said
        }
        lost_part = {
            text: next(filter(None, (cut.get(p.text) for p in parts)), "") for text, parts in parts_by_text.items()
        }
        return {text: (self._join(parts, whole), way[text], lost_part[text]) for text, parts in parts_by_text.items()}

    def _fits(self, part: str) -> bool:
        """Whether the engine takes the part whole."""
        return self.engine.num_tokens(mask(part).text) <= self.engine.max_tokens

    def _join(self, parts: list[TextPart], said: dict[str, str | None]) -> str | None:
        """The parts put together, those that are not kept as they were said; None if one was not said."""
        texts, before = [""], TextPart("", True)
        for part in parts:
            text = part.text if part.keep else said[part.text]
            if text is None:
                return None
            bare = self.blanks and not (before.keep and part.keep)
            if bare and WORD_END.match(texts[-1][-1:]) and WORD_START.match(text):
                text = f" {text}"
            if self.no_blanks and not part.text.strip(" ") and texts[-1].endswith(SENTENCE_ENDS):
                text = ""
            texts.append(text)
            before = part
        return "".join(texts)

    def _recall(self, texts: Iterable[str], decoding: int) -> dict[str, str | None]:
        return self.memory.recall(self.engine, list(texts), self.source, self.target, decoding)


def _restored(said: str | None, masked: Masked) -> str | None:
    return None if said is None else restore(said, masked.spans)


def _pieces(masked: Masked) -> list[TextPart]:
    """What stands between the spans of a masked text, to translate, and the spans, to keep."""
    parts: list[TextPart] = []
    at = 0
    for found in MASK.finditer(masked.text):
        parts += [*split_text(masked.text[at : found.start()]), TextPart(masked.spans[int(found[1]) - 1], True)]
        at = found.end()
    return [*parts, *split_text(masked.text[at:])]

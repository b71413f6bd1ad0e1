"""Texts on their way through a translator: masked, asked for once, put together again, checked, asked for otherwise.

In: texts.  Out: a Translation of each.  What a translator has said is kept on disk by model, direction, decoding and
text, in one SQLite file: a second run asks nothing, and a killed one goes on.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from M3IT import Language
from m3it.translating.checks import reason_against
from m3it.translating.engines import DECODINGS, Job, open_translator
from m3it.translating.masks import MASK, Masked, Part, mask, restore, split
from m3it.translating.memory import Memory
from m3it.work import cache

WORD_START, WORD_END = re.compile(r"[\w(\[{<“«]"), re.compile(r"[\w)\]}>”».,;:!?]")
SENTENCE_ENDS = ("。", "！", "？", "”", "」", "』")
KEPT_TEXTS = 50_000  # done texts that are looked up without asking the disk


class Translation(NamedTuple):
    """A text in the other language; `reason` says why it cannot stand, `notes` what happened on the way."""

    text: str
    reason: str = ""
    notes: tuple[str, ...] = ()


class Desk:
    """Translates texts from one language to another and checks them; counts what it did."""

    def __init__(self, job: Job, source: Language, target: Language, known: dict[str, str] | None = None):
        self.translator, self.source, self.target = open_translator(job), source, target
        self.memory = Memory(Path(job.cache_dir or cache.folder("translations")) / "translations.sqlite")
        self.known = {text: Translation(said, "", ("by hand",)) for text, said in (known or {}).items()}
        self.blanks = target.spaces and not source.spaces  # to put between parts that had none
        self.no_blanks = source.spaces and target.script in ("Hans", "Hant", "Jpan")  # behind a full stop
        self.done: dict[str, Translation] = {}
        self.counts: Counter[str] = Counter()

    def translate(self, texts: Iterable[str], decoding: int = 0) -> dict[str, Translation]:
        """text -> Translation of each distinct text; what fails a check is decoded otherwise, as often as can be."""
        found = {text: self.known.get(text) or (not decoding and self.done.get(text)) for text in dict.fromkeys(texts)}
        todo = [text for text, done in found.items() if not done]
        notes: dict[str, tuple[str, ...]] = dict.fromkeys(found, ())
        self.counts["texts"] += len(todo)
        for number in range(decoding, len(DECODINGS)):
            failed = []
            for text, (said, way) in self._say(todo, number).items():
                reason = "no translation" if said is None else reason_against(text, said, self.target)
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

    def _say(self, texts: Sequence[str], decoding: int) -> dict[str, tuple[str | None, str]]:
        """text -> (translation, "by pieces" if a protected span got lost first), unchecked."""
        fits = lambda part: self.translator.num_tokens(mask(part).text) <= self.translator.max_tokens  # noqa: E731
        parts_by_text = {text: split(text, fits) for text in texts}
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
        return {text: (self._join(parts, whole), way[text]) for text, parts in parts_by_text.items()}

    def _join(self, parts: list[Part], said: dict[str, str | None]) -> str | None:
        """The parts put together, those that are not kept as they were said; None if one was not said."""
        texts, before = [""], Part("", True)
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
        return self.memory.recall(self.translator, list(texts), self.source, self.target, decoding)


def _restored(said: str | None, masked: Masked) -> str | None:
    return None if said is None else restore(said, masked.spans)


def _pieces(masked: Masked) -> list[Part]:
    """What stands between the spans of a masked text, to translate, and the spans, to keep."""
    parts: list[Part] = []
    at = 0
    for found in MASK.finditer(masked.text):
        parts += [*split(masked.text[at : found.start()]), Part(masked.spans[int(found[1]) - 1], True)]
        at = found.end()
    return [*parts, *split(masked.text[at:])]

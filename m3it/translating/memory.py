"""Translations that were made before, on disk: the same text is never asked for twice.

In: texts, an engine, a direction, the number of a decoding.  Out: what the engine said of each, from one SQLite file
or, where it is not there yet, from the engine, and then kept.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from M3IT import Language
from m3it.translating.engines import Engine
from m3it.work import cache


class Memory:
    """Translations on disk, one SQLite file for all models; several processes may use it at once."""

    def __init__(self, cache_dir: Path | str | None = None):
        path = Path(cache_dir or cache.folder("translations")) / "translations.sqlite"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.database = sqlite3.connect(path, timeout=120, isolation_level=None)
        with suppress(sqlite3.OperationalError):  # another process has it open: it goes on as it is
            # Not the write-ahead log, in which earlier versions wrote: it needs memory that all share, which no network
            # disk has, and those that turn it on at once are told that the file is locked.
            self.database.execute("PRAGMA journal_mode=DELETE")
        self.database.execute("PRAGMA synchronous=NORMAL")
        self.database.execute(
            "CREATE TABLE IF NOT EXISTS translations (model TEXT, direction TEXT, decoding INTEGER, text TEXT, "
            "translation TEXT, PRIMARY KEY (model, direction, decoding, text)) WITHOUT ROWID"
        )
        self.num_asked = self.num_kept = 0

    def recall(
        self, engine: Engine, texts: Sequence[str], source: Language, target: Language, decoding: int
    ) -> dict[str, str | None]:
        """text -> translation of the distinct texts: from disk, or from the engine, and then kept."""
        distinct = list(dict.fromkeys(texts))
        key = (engine.identity, f"{source.nllb} {target.nllb}", decoding)
        query = "SELECT translation FROM translations WHERE model=? AND direction=? AND decoding=? AND text=?"
        found: dict[str, str | None] = {}
        for text in distinct:
            if row := self.database.execute(query, (*key, text)).fetchone():
                found[text] = row[0]
        missing = [text for text in distinct if text not in found]
        self.num_kept += len(found)
        self.num_asked += len(missing)
        if missing:
            said = dict(zip(missing, engine.translate(missing, source, target, decoding), strict=True))
            rows = [(*key, text, translation) for text, translation in said.items() if translation is not None]
            self.database.execute("BEGIN IMMEDIATE")
            self.database.executemany("INSERT OR REPLACE INTO translations VALUES (?, ?, ?, ?, ?)", rows)
            self.database.execute("COMMIT")
            found |= said
        return found

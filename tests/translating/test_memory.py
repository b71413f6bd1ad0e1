"""What was translated once is kept, by model, direction, decoding and text."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from m3it import LANGUAGES
from m3it.catalogue import ENGLISH
from m3it.translating.memory import Memory


class Upper:
    """An engine that says a text in capitals, nothing to "x", and keeps what it was asked."""

    def __init__(self, identity="upper"):
        self.identity, self.asked = identity, []

    def translate(self, texts, source, target, decoding=0):
        self.asked += texts
        return [None if text == "x" else f"{text.upper()}{decoding or ''}" for text in texts]


def recall(memory, engine, texts, code="de", decoding=0):
    return memory.recall(engine, texts, ENGLISH, LANGUAGES[code], decoding)


def test_a_text_is_asked_for_once_and_counted(tmp_path):
    engine, memory = Upper(), Memory(tmp_path)
    assert recall(memory, engine, ["a", "b", "a"]) == {"a": "A", "b": "B"} and engine.asked == ["a", "b"]
    assert recall(memory, engine, ["b", "c"]) == {"b": "B", "c": "C"} and engine.asked == ["a", "b", "c"]
    assert (memory.num_asked, memory.num_kept) == (3, 1)
    assert recall(Memory(tmp_path), engine, ["c"]) == {"c": "C"} and len(engine.asked) == 3  # from the disk


def test_another_model_direction_or_decoding_is_asked_anew(tmp_path):
    engine, other, memory = Upper(), Upper("other"), Memory(tmp_path)
    assert [recall(memory, engine, ["a"], decoding=number)["a"] for number in (0, 1, 2)] == ["A", "A1", "A2"]
    recall(memory, engine, ["a"], "fr")
    memory.recall(engine, ["a"], LANGUAGES["de"], ENGLISH, 0)
    recall(memory, other, ["a"])
    assert engine.asked == ["a"] * 5 and other.asked == ["a"]


def test_what_the_engine_refused_is_not_kept(tmp_path):
    engine, memory = Upper(), Memory(tmp_path)
    assert recall(memory, engine, ["x", "a"]) == {"x": None, "a": "A"} == recall(memory, engine, ["x", "a"])
    assert engine.asked == ["x", "a", "x"]


def test_several_may_use_one_file_at_once(tmp_path):
    def fill(number):
        memory, engine = Memory(tmp_path), Upper()
        for start in range(0, 200, 10):
            recall(memory, engine, [f"text {i}" for i in range(start, start + 10)])
        return number

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fill, range(4))) == [0, 1, 2, 3]
    engine = Upper()
    assert recall(Memory(tmp_path), engine, [f"text {i}" for i in range(200)])["text 199"] == "TEXT 199"
    assert not engine.asked


def test_it_can_be_read_without_the_memory_that_a_write_ahead_log_shares(tmp_path):
    """On a network disk there is none. A file that has such a log is given back its plain form, what it holds kept."""
    path = tmp_path / "translations.sqlite"
    recall(Memory(tmp_path), Upper(), ["a"])
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    with closing(sqlite3.connect(path)) as before:
        before.execute("PRAGMA journal_mode=WAL")
        before.execute("UPDATE translations SET translation='said before'")
        before.commit()
        memory = Memory(tmp_path)  # beside a process that has it open
        assert recall(memory, Upper(), ["a", "b"]) == {"a": "said before", "b": "B"}
        memory.database.close()
    assert recall(Memory(tmp_path), Upper(), ["a"]) == {"a": "said before"}
    assert path.read_bytes()[18:20] == b"\1\1" and len(list(tmp_path.iterdir())) == 1


def test_it_lies_next_to_the_cache_of_datasets(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    Memory()
    assert (tmp_path / "cache" / "m3it-translations" / "translations.sqlite").exists()

"""m3it/reading/published/table.py: all 54 configs, each held against the rows that were served."""

import random
import shutil

import datasets
import pytest
from conftest import ROOT
from legacy_maker import ROWS, instructions_of
from legacy_script import _URLS
from packaging.version import Version
from published_rows import EXPECTED, LONG, flat, rows_of, said

from m3it.reading.load import load_builder
from m3it.reading.published import joined
from m3it.reading.published.table import TABLE

VERSION = Version(datasets.__version__)


def test_the_table_has_the_54_configs_and_the_files_that_the_script_names(published):
    assert list(TABLE) and set(TABLE) == set(ROWS) == set(EXPECTED) and len(TABLE) == 54
    for config in TABLE:
        builder = load_builder(published, config)
        named = {LONG[key]: [path[2:]] for key, path in _URLS[config].items() if key in LONG}
        assert {split: builder.shards(config)[split] for split in builder.shards(config)} == named, config


def test_each_line_of_the_table_says_what_is_known():
    verified = [name for name, raw in TABLE.items() if raw.status == "verified"]
    assert len(verified) == 27 and all(raw.evidence for raw in TABLE.values())
    assert set(verified) == set(list(EXPECTED)[:27])


@pytest.mark.parametrize("config", TABLE)
def test_raw_rows_become_the_rows_that_the_script_served(published, pinned, config):
    first, second = EXPECTED[config]
    of_split = {"train": [first, second, first], "validation": [first, second], "test": [first]}
    builder = load_builder(published, config)
    for split in builder.shards(config):
        rows = rows_of(published, config, split)
        assert said(rows) == flat(of_split[split])
        own = (
            {"Rephrased words."}
            if config.endswith("-rephrased")
            else {"Own words, first."}
            if "task_type" in ROWS[config][0]
            else set()
        )
        words = own or {text.replace("[HYPO]", row["inputs"]) for row in rows for text in instructions_of(config)}
        assert {row["instruction"] for row in rows} <= words


@pytest.mark.skipif(Version("4") <= VERSION, reason="runs a loading script, which `datasets` 4 refuses")
def test_the_old_script_serves_the_same_rows(published, published_80, pinned, monkeypatch, tmp_path):
    monkeypatch.setattr(random, "choice", lambda options: options[0])
    monkeypatch.setattr(random, "sample", lambda options, count: options[:count])
    monkeypatch.setattr(random, "randint", lambda low, high: low)
    monkeypatch.setattr(random, "shuffle", lambda options: None)
    monkeypatch.setattr(joined.Legacy80, "choose_instruction", lambda self, own, row_id: self.instructions[0])
    script = ROOT / "tests/legacy_script.py"
    compared = 0
    for source, name in ((published, "M3IT"), (published_80, "M3IT-80")):
        folder = shutil.copytree(source, tmp_path / name)
        shutil.copy(script, folder / f"{name}.py")
        configs = TABLE if name == "M3IT" else [config for config in _URLS if config not in TABLE]
        for config in configs:
            old = datasets.load_dataset(str(folder), config, trust_remote_code=True, streaming=True)
            new = load_builder(folder, config)
            assert set(old) == set(new.shards(config))
            for split in old:
                rows = rows_of(folder, config, split)
                assert said(rows) == said(old[split]), (config, split)
                compared += len(rows)
    assert compared > 300


@pytest.mark.parametrize(
    "name, config",
    [("science_qa", "science-qa"), ("visual_dialog", "visual-dialog"), ("iqa-rephrased ", "iqa-rephrased")],
)
def test_old_names_of_configs_are_known(published, name, config):
    assert load_builder(published, name).config.name == config

"""The tables FILES: each names exactly what its converter reads, and no address stands in two ways."""

import importlib
import re

import pytest
from make_data import FIXTURES

from M3IT import CATALOGUE
from m3it.rows.instance import Instance
from m3it.sources.kit.downloads import KNOWN_ON, ByHand, File, covers
from m3it.sources.kit.files import Files, SourcePath

# Of a table, what the fixture has no list of: other databases of quality.
NOT_IN_A_FIXTURE = {"iqa": {"SPAQ.tar", "LIVE_Challenge.tar", "TID2008.tar", "CSIQ.tar"}}


def table(dataset):
    return importlib.import_module(f"m3it.sources.{dataset.replace('-', '_')}").FILES


@pytest.fixture
def reading(monkeypatch):
    """[(path that a converter asks for, the files on disk or in an archive that it stands for)]."""
    asked, locate = [], Files.locate

    def spy(self, path):
        found = locate(self, path)
        if found is None:
            asked.append((path, ()))
        elif isinstance(found, str):
            asked.append((path, (found.removeprefix(f"{self.base}/"),)))
        else:
            asked.append((path, (path, str(found[0].path.relative_to(self.folder)))))
        return found

    monkeypatch.setattr(Files, "locate", spy)
    return asked


@pytest.mark.parametrize("dataset", CATALOGUE)
def test_a_table_covers_all_that_its_converter_reads_and_nothing_else(dataset, reading):
    module = importlib.import_module(f"m3it.sources.{dataset.replace('-', '_')}")
    for split in (split for split in ("train", "validation", "test") if getattr(CATALOGUE[dataset], split)):
        for row in module.convert(SourcePath(FIXTURES / dataset), split):
            for image in row.images if isinstance(row, Instance) else ():
                if not isinstance(image, bytes):
                    image.path.exists()
    read = [names for _, names in reading if names]
    missed = [names for names in read if not any(covers(source, name) for source in table(dataset) for name in names)]
    assert read and not missed, f"read, and not in the table: {missed[:3]}"
    names = {name for path, found in reading for name in (path, *found)}
    unused = {source.path for source in table(dataset) if not any(covers(source, name) for name in names)}
    assert unused == NOT_IN_A_FIXTURE.get(dataset, set())


def test_addresses_are_whole_and_the_same_wherever_they_stand():
    sources = [source for dataset in CATALOGUE for source in table(dataset)]
    files = [source for source in sources if isinstance(source, File)]
    assert all(re.match(r"(https?://[\w.-]+|hf://datasets/[\w-]+/[\w-]+)/[^ ]+$", file.url) for file in files)
    assert all(re.match(r"https?://[\w.-]+", source.page) for source in sources if isinstance(source, ByHand))
    assert all(re.fullmatch(r"([0-9a-f]{64})?", file.sha256) for file in files)
    # One address is one file: a download of several datasets fetches it once.
    assert len({file[:4] for file in files}) == len({file.url for file in files})
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", KNOWN_ON)


@pytest.mark.parametrize("dataset", CATALOGUE)
def test_no_two_entries_of_a_table_have_the_same_path(dataset):
    paths = [source.path for source in table(dataset)]
    assert len(paths) == len(set(paths)) and not any(path.startswith(("/", ".")) for path in paths)

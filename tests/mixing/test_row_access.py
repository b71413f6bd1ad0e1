"""How rows are read: one by one, by row groups, by pieces over a network."""

import itertools
import json
import pickle
import subprocess
import sys
from collections import Counter

import fsspec
import legacy_maker
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, make_row, write_rows
from mixtures import read_ranks, take

from M3IT import RangeFile, Repository, ShardError, open_parquet
from m3it.mixing import row_access
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.reading.load import load_dataset


def test_published_rows_with_several_answers_come_one_by_one(tmp_path):
    folder = legacy_maker.m3it(tmp_path / "m3it", ("coco", "viquae", "mmchat"))
    mixture = Mixture(folder, ["coco", "viquae", "mmchat"], batch_size=2)
    rows = list(itertools.islice(mixture, mixture.num_rows))
    for name in ("coco", "viquae", "mmchat"):
        loaded = load_dataset(folder, name, split="train", meta=True)
        expected = Counter((json.loads(row["meta"])["id"], row["outputs"]) for row in loaded)
        assert Counter((row["id"], row["outputs"]) for row in rows if row["dataset"] == name) == expected


def test_published_translations_are_read_row_by_row(tmp_path):
    folder = legacy_maker.m3it_80(tmp_path / "m3it-80", ("okvqa",))
    mixture = Mixture(folder, ["okvqa-zh"], split="validation", batch_size=2)
    loaded = load_dataset(folder, "okvqa-zh", split="validation", meta=True)
    expected = Counter((json.loads(row["meta"])["id"], row["inputs"]) for row in loaded)
    assert Counter((row["id"], row["inputs"]) for row in itertools.islice(mixture, mixture.num_rows)) == expected


def test_a_part_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"no")
    with pytest.raises(ShardError, match="train.parquet: no Parquet"):
        Mixture(None, parts=[Part(str(tmp_path))]).describe()


@pytest.fixture
def far(monkeypatch, tmp_path):
    """A dataset of 300 rows at a URL, big enough there to be read in pieces."""
    monkeypatch.setattr(row_access, "COPY_BYTES", 1000)
    monkeypatch.setattr(row_access, "LANE_PIECE_BYTES", 3000)
    lines = [make_row(i, inputs="x" * (i % 7 * 40), meta=json.dumps({"id": f"row-{i}"})) for i in range(300)]
    text = "".join(json.dumps(row) + "\n" for row in lines).encode()
    place = f"memory://{tmp_path.name}"
    fsspec.filesystem("memory").pipe(f"{place}/data/vqa/gqa/train.jsonl", text)
    return place


def test_pieces_over_a_network_lose_no_row_and_repeat_none_before_its_piece_is_through(far):
    mixture = Mixture(far, ["gqa"], batch_size=4)
    rows = take(mixture, 4 * mixture.num_rows)
    seen = Counter(rows)
    assert len(seen) == 300  # every row was seen
    assert mixture.num_rows == pytest.approx(300, rel=0.25)  # estimated from the first piece
    assert min(seen.values()) >= 3 and max(seen.values()) <= 6  # about 4 passes, by the true size of a row's piece


def test_pieces_over_a_network_come_in_one_order_on_any_ranks(monkeypatch, far):
    mixture = Mixture(far, ["gqa"], batch_size=4)
    expected = take(mixture, 384)
    for world_size, num_workers in ((2, 3), (8, 1)):
        assert read_ranks(monkeypatch, mixture, world_size, num_workers, 384 // (4 * world_size)) == expected
    mixture.rows_consumed = 250
    assert take(mixture, 134) == expected[250:]


HUB = """
import itertools, json, sys
from m3it.mixing import row_access
from m3it.mixing.mixture import Mixture

row_access.COPY_BYTES, row_access.LANE_PIECE_BYTES = int(sys.argv[2]), 4000
mixture = Mixture(sys.argv[1], ["gqa", "viquae"], batch_size=4)
name = lambda rows: [f"{row['dataset']} {row['id']}" for row in rows]
plain = [row_id for batch in itertools.islice(mixture.loader(collate_fn=name), 30) for row_id in batch]
workers = list(itertools.islice(mixture.loader(num_workers=2, rank=1, world_size=2, collate_fn=name), 15))
orders = {part.name: part.rows.order for part in mixture.mixed_parts}
print(json.dumps([orders, plain, workers, mixture.state_dict()]))
"""


def test_a_mixture_of_a_hub_repository_is_pinned_and_reads_each_range_once(hub, tmp_path):
    for place, count in (("vqa/gqa", 400), ("kvqa/viquae", 20)):
        dataset = place.partition("/")[2]
        lines = [make_row(i, meta=json.dumps({"id": f"{dataset}-{i}"})) for i in range(count)]
        write_rows(tmp_path / f"repo/data/{place}/train.jsonl", lines)
    commit = hub.add("Org/mixture", tmp_path / "repo")
    environ = {**hub.environ(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HUB, "Org/mixture", "20000"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    orders, plain, workers, state = json.loads(done.stdout.splitlines()[-1])
    assert orders == {"gqa": "pieces (rows estimated), shuffled in windows", "viquae": "full shuffle"}
    assert len(set(plain)) == 120
    assert workers == [plain[k * 4 : k * 4 + 4] for k in range(1, 30, 2)]
    assert commit not in json.dumps(state)  # it is part of the digest of the files
    ranged = [request for request in hub.requests if "Org/mixture" in request.path and request.range]
    assert ranged and all(commit in request.path and request.status == 206 for request in ranged)
    whole = [request for request in ranged if "viquae" in request.path]
    assert len(whole) == 1  # copied once, for three readers


def test_the_footers_of_the_files_read_last_are_kept_and_stay_behind(tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        pq.write_table(pa.table({"n": [*range(9)]}), tmp_path / f"{name}.parquet", row_group_size=3)
    repository = Repository.of_files(tmp_path, ["a.parquet", "b.parquet", "c.parquet"])
    first = open_parquet(repository, "a.parquet").metadata
    monkeypatch.setattr(RangeFile, "_fetch_range", lambda *span: pytest.fail("its footer was read again"))
    assert open_parquet(repository, "a.parquet").metadata.equals(first)
    monkeypatch.undo()
    monkeypatch.setattr("M3IT.FOOTER_BYTES", 2 * first.serialized_size)
    for name in ("b", "a", "c"):
        open_parquet(repository, f"{name}.parquet")
    assert list(repository.footers) == ["a.parquet", "c.parquet"]
    assert pickle.loads(pickle.dumps(repository)).footers == {}

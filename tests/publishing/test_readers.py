"""What others read of a release: plain `datasets`, DuckDB, the Hub's viewer by its page index.

`pytest -k matrix` is the part that any `datasets` must pass: `nox -s matrix` runs it under each that we promise.
"""

import base64
import datetime
import io
import json
import subprocess
import sys

import pytest
from conftest import ROOT
from hub import Hub, olah_environment
from PIL import Image

from m3it.publishing.parquet import row_digest, split_digest
from m3it.publishing.release import release
from m3it.reading.load import load_dataset
from publishing.releases import PUBLISHED, README_SNIPPET


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(a Hub, run.json, the source's rows by config and split): a miniature of the published repository, released."""
    import legacy_maker

    try:
        olah_environment()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"olah cannot be installed: {error.stderr}")
    root = tmp_path_factory.mktemp("served")
    legacy_maker.m3it(root / "legacy", ("viquae", "coco", "vist"))
    run = release(str(root / "legacy"), root / "release")
    rows = {}
    for name in ("viquae", "coco", "vist"):
        loaded = load_dataset(str(root / "legacy"), name, meta=True, cache_dir=str(root / "cache"))
        rows |= {(name, split): [dict(row) for row in loaded[split]] for split in loaded}
    (root / "release/.work").rename(root / "work")  # as `hf upload-large-folder --exclude` leaves it out
    with Hub(root / "hub") as hub:
        hub.add("MMInstruction/M3IT", root / "release")
        yield hub, run, rows, root / "release"


def run_program(hub, home, code):
    """What a program prints as its last line, as JSON; its `datasets` is that of this environment."""
    done = subprocess.run([sys.executable, "-c", code], env=hub.environ(home), capture_output=True, text=True, cwd=home)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().split("\n")[-1])


PLAIN = """
import base64, json
from datasets import Image, load_dataset

def plain(row):
    row = dict(row)
    if "images" in row:
        row["images"] = [base64.b64encode(image["bytes"]).decode() for image in row["images"]]
    return row

out = {}
for config in CONFIGS:
    for streaming in (False, True):
        found = load_dataset("MMInstruction/M3IT", config, streaming=streaming)
        for split, rows in found.items():
            if config.endswith("-images"):
                rows = rows.cast_column("images", [Image(decode=False)])
            out.setdefault(config, {}).setdefault(split, []).append([plain(row) for row in rows])
print(json.dumps(out))
"""


def test_matrix_plain_datasets_loads_and_streams_every_row(served, tmp_path):
    hub, run, rows, _ = served
    configs = [name + end for name in ("viquae", "coco", "vist") for end in ("", "-images")]
    out = run_program(hub, tmp_path, f"CONFIGS = {configs!r}" + PLAIN)
    assert {(name, split) for name in out for split in out[name] if not name.endswith("-images")} == set(rows)
    for (name, split), expected in rows.items():
        four = [{column: row[column] for column in PUBLISHED} for row in expected]
        assert out[name][split] == [four, four]
        for found in out[f"{name}-images"][split]:
            pictures = [{**row, "image_base64_str": row["images"]} for row in found]
            assert [{column: row[column] for column in PUBLISHED} for row in pictures] == four
            assert [row["meta"] for row in found] == [row["meta"] for row in expected]
            digests = [row_digest(name, split, row["row_id"], row, row["image_sha256"]) for row in found]
            assert split_digest(digests) == run["splits"][f"{name}/{split}"]["digest"]


def test_a_release_of_a_hub_repository_is_that_of_the_folder_and_lists_it_once(served, tmp_path):
    hub, run, _, folder = served
    hub.add("Org/raw", folder.parent / "legacy")
    code = """
import json, sys
sys.path.insert(0, {root!r})
from m3it.publishing.release import release
run = release("Org/raw", {out!r}, shard_bytes=1, workers=2)
print(json.dumps([run["source"], run["digest"]]))
"""
    before = len(hub.requests)
    (name, commit), digest = (lambda found: (*found[0].items(), found[1]))(
        run_program(hub, tmp_path, code.format(root=str(ROOT), out=str(tmp_path / "out")))
    )
    asked = [request.path for request in hub.requests[before:] if "/tree/" in request.path]
    assert (name, commit) == ("Org/raw", hub.find_commit("Org/raw", "main")) and digest == run["digest"]
    assert len(asked) <= 2 * 3, asked  # for each config one listing of this and one look at the converted branch


def test_matrix_the_snippet_of_the_readme_runs_as_it_stands(served, tmp_path):
    hub, _, rows, _ = served
    snippet = README_SNIPPET.search((ROOT / "README.md").read_text("utf-8"))[1]
    last = "import json; print(json.dumps([dataset['train'].num_rows, inputs, image_0.size]))"
    found = run_program(hub, tmp_path, f"{snippet}\n{last}")
    expected = rows["viquae", "train"]
    with Image.open(io.BytesIO(base64.b64decode(expected[-1]["image_base64_str"][0]))) as image:
        assert found == [len(expected), expected[-1]["inputs"], list(image.size)]


def test_matrix_pictures_open_and_texts_are_found(served, tmp_path):
    hub, _, rows, _ = served
    code = """
import json
from datasets import load_dataset
first = load_dataset("MMInstruction/M3IT")  # what the viewer opens
row = next(iter(load_dataset("MMInstruction/M3IT", "vist-images", split="train", streaming=True)))
texts = load_dataset("MMInstruction/M3IT", "text", split="test")
sizes = [image.size for image in row["images"]]
print(json.dumps([sorted(first), sizes, sorted(set(texts["dataset"])), texts.num_rows]))
"""
    splits, sizes, datasets, num_rows = run_program(hub, tmp_path, code)
    assert splits == ["test", "train", "validation"]
    assert sizes == [[8, 6]] * 5
    assert datasets == ["coco", "viquae", "vist"]
    assert num_rows == sum(len(found) for (_, split), found in rows.items() if split == "test")


def test_duckdb_filters_over_http_and_fetches_only_what_it_needs(large, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    from fsspec.implementations.http import HTTPFileSystem

    class Http(HTTPFileSystem):
        def modified(self, path):  # DuckDB asks
            return datetime.datetime(2026, 1, 1)

        async def _exists(self, path, **options):  # else by a GET of all, whose body is not read
            return bool(await self._info(path))

    release(str(large), tmp_path / "out", images="native")
    path = "data/kvqa/viquae/train.parquet"
    size = (tmp_path / "out" / path).stat().st_size
    with Hub(tmp_path / "hub") as hub:
        hub.add("MMInstruction/M3IT", tmp_path / "out")
        url = f"{hub.endpoint}/datasets/MMInstruction/M3IT/resolve/main/{path}"
        duckdb.register_filesystem(Http(block_size=2**16))
        found = duckdb.sql(f"SELECT row_id, inputs FROM '{url}' WHERE row_id = 'row-300'").fetchall()
        requests = [request for request in hub.requests if request.method == "GET" and path in request.path]
    assert found == [("row-300", "What is 300?")]
    assert all(request.range for request in requests)
    assert 0 < sum(request.num_bytes for request in requests) < size / 10


def thrift(data, at=0):
    """A struct of Thrift's compact protocol as {field: value}, and where it ends. Parquet's footer is such."""

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def read(kind):
        nonlocal at
        if kind in (1, 2):
            return kind == 1
        if kind in (4, 5, 6):
            number = varint()
            return (number >> 1) ^ -(number & 1)
        if kind == 8:
            length = varint()
            at += length
            return data[at - length : at]
        if kind == 9:
            head = data[at]
            at += 1
            length = head >> 4 if head >> 4 < 15 else varint()
            return [read(head & 15) for _ in range(length)]
        if kind == 12:
            value, at = thrift(data, at)
            return value
        at += 1 if kind == 3 else 8
        return None

    fields, number = {}, 0
    while data[at]:
        head = data[at]
        at += 1
        number = number + (head >> 4) if head >> 4 else read(4)
        fields[number] = read(head & 15)
    return fields, at + 1


def page_bytes(data, row, count):
    """Bytes of all pages that hold rows [row, row + count) of the file's first row group, by its page index."""
    length = int.from_bytes(data[-8:-4], "little")
    footer, _ = thrift(data[-8 - length : -8])
    total = 0
    for column in footer[4][0][1]:  # row_groups[0].columns
        start, size = column[4], column[5]  # offset_index_offset, offset_index_length
        pages = thrift(data[start : start + size])[0][
            1
        ]  # page_locations: offset, compressed_page_size, first_row_index
        ends = [page[3] for page in pages[1:]] + [footer[4][0][3]]
        total += sum(page[2] for page, end in zip(pages, ends, strict=True) if page[3] < row + count and end > row)
    return total, footer[4][0][2]


def test_a_page_of_rows_is_a_small_part_of_its_row_group_through_the_page_index(large, tmp_path):
    release(str(large), tmp_path / "out")
    for config, fraction in (("viquae-images", 0.4), ("viquae", 0.4)):
        data = (tmp_path / f"out/data/kvqa/{config}/train.parquet").read_bytes()
        needed, group = page_bytes(data, 50, 10)
        assert 10 * 75_000 < needed < fraction * group < 300_000_000, config  # the viewer's limit for what it reads

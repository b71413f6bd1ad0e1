"""M3IT.py: rows from bytes, pieces, configs, the builder under `datasets`."""

import base64
import functools
import gzip
import http.server
import io
import json
import pickle
import re
import threading
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_row, picture, write_rows
from datasets.distributed import split_dataset_by_node
from hypothesis import given, settings
from hypothesis import strategies as st

import M3IT as module
from M3IT import CATALOGUE, LANGUAGES, Repository, ShardError, config_names, cut, parse, public_url, read_rows
from m3it.reading.load import count_drops, load_builder, load_dataset


def rows_of(folder, config="viquae", split="train", **options):
    return list(load_dataset(folder, config, split=split, streaming=True, **options))


def inputs_of(rows):
    return [row["inputs"] for row in rows]


# ---- tables


def test_there_are_600_configs():
    assert len(config_names()) == len(set(config_names())) == 40 + 7 * 80


def test_catalogue_sums_to_the_published_total():
    assert sum(d.train + d.validation + d.test for d in CATALOGUE.values()) == 2_006_964  # mission/facts.md
    assert len(LANGUAGES) == 80


def test_every_release_the_builder_promises_sees_one_import_per_line():
    source = Path(module.__file__).read_text("utf-8")
    imports = [line for line in source.split("\n") if line.startswith(("import ", "from "))]
    assert imports and not any("," in line for line in imports)
    allowed = {"datasets", "pyarrow", "fsspec", "huggingface_hub"}
    import sys

    assert {line.split()[1].split(".")[0] for line in imports} - allowed <= set(sys.stdlib_module_names)


# ---- rows


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":"), (" , ", " : ")])
@pytest.mark.parametrize("num_images", [0, 1, 2, 8])
def test_a_line_parses_as_json_does_however_it_is_spaced(separators, num_images):
    line = json.dumps(make_row(3, num_images), separators=separators, ensure_ascii=False).encode()
    assert parse(line) == json.loads(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"meta": {"image_base64_str": ["aa"]}, "outputs": "x"}',
        b'{"image_base64_str": ["aa", 3], "outputs": "x"}',
        b'{"image_base64_str": [["aa"]], "outputs": "x"}',
        b'{"image_base64_str": ["a\\"b", "c"], "outputs": "x"}',
        b'{"image_base64_str": ["aa" , "bb" ], "outputs": "x"}',
        b'{"image_base64_str": ["\xc3\xa9"], "outputs": "x"}',
        b'{"image_base64_str": [], "outputs": "x"}',
        b'{"image_base64_str": "aa]", "outputs": "x"}',
        b'{"outputs": "\\"image_base64_str\\": [\\"zz\\"]", "image_base64_str": ["aa"]}',
        b'{"image_base64_str": ["aa"], "image_base64_str": ["bb"]}',
        b'{"image_base64_str": {"k": ["aa"]}}',
        b'["image_base64_str", {"image_base64_str": ["aa"]}]',
    ],
)
def test_unusual_lines_parse_as_json_does(line):
    assert parse(line) == json.loads(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"image_base64_str": ["a" "b"]}',
        b'{"image_base64_str": ["a",]}',
        b'{"image_base64_str": ["a"',
        b"{",
        b"<html>",
    ],
)
def test_what_is_not_json_is_refused(line):
    with pytest.raises(ValueError, match="Expecting|delimiter|value|property|Illegal"):
        parse(line)


json_text = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)
base64_text = st.binary(max_size=30).map(lambda data: base64.b64encode(data).decode())


@given(
    st.lists(st.tuples(json_text, st.lists(base64_text, max_size=3), json_text, st.booleans()), max_size=12),
    st.sampled_from(["\n", "\r\n"]),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_pieces_give_every_row_once_wherever_they_are_cut(tmp_path_factory, texts, end, data):
    rows = [make_row(0, inputs=a, image_base64_str=images, outputs=b) for a, images, b, _ in texts]
    lines = [json.dumps(row, ensure_ascii=ascii_only) + end for row, (*_, ascii_only) in zip(rows, texts, strict=True)]
    folder = tmp_path_factory.mktemp("cuts")
    (folder / "data/t/d").mkdir(parents=True)
    path = folder / "data/t/d/train.jsonl"
    path.write_bytes("".join(lines).encode())
    size = path.stat().st_size
    cuts = sorted(data.draw(st.sets(st.integers(0, size), max_size=6)) | {0, size})
    repository = Repository(folder)
    read = [
        parse(line)
        for start, stop in zip(cuts, cuts[1:], strict=False)
        for _, line in read_rows(repository, ("data/t/d/train.jsonl", start, stop))
    ]
    assert read == rows


def test_a_piece_boundary_on_every_byte_loses_no_row(tmp_path):
    path = write_rows(tmp_path / "data/t/d/train.jsonl", [{"n": i} for i in range(5)], end="\n\n")
    repository, size = Repository(tmp_path), path.stat().st_size
    for boundary in range(size + 1):
        pieces = [("data/t/d/train.jsonl", 0, boundary), ("data/t/d/train.jsonl", boundary, size)]
        assert [parse(line)["n"] for piece in pieces for _, line in read_rows(repository, piece)] == [0, 1, 2, 3, 4], (
            boundary
        )


def test_lines_far_longer_than_a_piece_are_read_once(tmp_path):
    rows = [make_row(i, image_base64_str=["A" * (60_000_000 if i == 1 else 40)]) for i in range(3)]
    path = write_rows(tmp_path / "data/t/d/train.jsonl", rows)
    repository, name = Repository(tmp_path), "data/t/d/train.jsonl"
    read = [parse(line) for piece in cut(repository, [name]) for _, line in read_rows(repository, piece)]
    assert len(cut(repository, [name])) >= 32
    assert read == rows and path.stat().st_size > 60_000_000


def test_a_big_file_is_cut_into_at_least_32_pieces_of_at_most_16_mib():
    class Sized:
        def __init__(self, size):
            self.size = lambda path: size

    for size, least in ((33 << 20, 32), (40 << 30, 2560)):
        pieces = cut(Sized(size), ["train.jsonl"])
        assert len(pieces) >= least and pieces[0][1] == 0 and pieces[-1][2] == size
        assert all(a[2] == b[1] for a, b in zip(pieces, pieces[1:], strict=False))
        assert max(stop - start for _, start, stop in pieces) <= 17 << 20
    assert len(cut(Sized(40 << 30), ["train.jsonl.gz"])) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": None},
        {"instruction": None},
        {"image_base64_str": None},
        {"image_base64_str": base64.b64encode(picture(1)).decode()},
        {"image_base64_str": ["data:image/png;base64," + base64.b64encode(picture(1)).decode()]},
        {"image_base64_str": [base64.encodebytes(picture(1)).decode()]},
        {"inputs": "caf\u00e9 \U0001f600 \u2028 line"},
        {"meta": None},
    ],
    ids=["null inputs", "null instruction", "null images", "one string", "data URI", "wrapped", "emoji", "null meta"],
)
def test_rows_that_can_be_read_are_read(tmp_path, change):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(1, **change)])
    (row,) = rows_of(tmp_path)
    assert row["inputs"] == (change.get("inputs", "What is 1?") or "")
    expected = [] if "image_base64_str" in change and change["image_base64_str"] is None else [picture(1)]
    assert [base64.b64decode(image, validate=True) for image in row["image_base64_str"]] == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outputs": None}, "expected a string in outputs, found null"),
        ({"outputs": ["a"]}, r"expected a string in outputs, found \[\"a\"\]"),
        ({"outputs": 3}, "expected a string in outputs, found 3"),
        ({"image_base64_str": [None]}, "expected a list of base64 strings"),
        ({"image_base64_str": 7}, "expected a list of base64 strings"),
    ],
)
def test_rows_that_cannot_be_read_say_file_line_and_reason(tmp_path, change, words):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0), make_row(1, **change), make_row(2)])
    with pytest.raises(ShardError, match=rf"data/kvqa/viquae/train.jsonl:2: {words}.*on_error='drop'"):
        rows_of(tmp_path)
    assert inputs_of(rows_of(tmp_path, on_error="drop")) == ["What is 0?", "What is 2?"]


def test_half_a_character_and_endless_nesting_say_file_line_and_reason(tmp_path):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0)])
    for line, words in (
        (json.dumps(make_row(1, inputs="\ud83d")), "in inputs, found half a character"),
        ("[" * 200_000, "nested too deep"),
    ):
        path.write_bytes(json.dumps(make_row(0)).encode() + b"\n" + line.encode())
        with pytest.raises(ShardError, match=f"train.jsonl:2: .*{words}"):
            rows_of(tmp_path)
        assert inputs_of(rows_of(tmp_path, on_error="drop")) == ["What is 0?"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-32"])
def test_text_that_is_not_utf_8_is_refused(tmp_path, encoding):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [])
    path.write_bytes(json.dumps(make_row(0, inputs="caf\u00e9"), ensure_ascii=False).encode(encoding))
    with pytest.raises(ShardError, match="train.jsonl:1: expected one JSON object a line, found .*can't decode"):
        rows_of(tmp_path)


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "parquet"])
@pytest.mark.parametrize("streaming", [True, False])
def test_an_empty_file_that_has_no_end_is_named(tmp_path, ending, streaming):
    write_rows(tmp_path / f"data/kvqa/viquae/train.{ending}", [])
    with pytest.raises(Exception, match="generating the dataset|cannot be read to its end") as error:
        list(load_dataset(tmp_path, "viquae", split="train", streaming=streaming))
    told = error.value if streaming else error.value.__cause__
    assert isinstance(told, ShardError) and f"train.{ending}: cannot be read to its end" in str(told)


def test_a_link_that_leads_nowhere_is_no_empty_file(tmp_path):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0)]).rename(tmp_path / "blob")
    (tmp_path / "data/kvqa/viquae/train.jsonl").symlink_to(tmp_path / "blob")
    assert inputs_of(rows_of(tmp_path)) == ["What is 0?"]  # as in the cache of huggingface_hub
    (tmp_path / "blob").unlink()
    with pytest.raises(ShardError, match="train.jsonl: cannot be read, FileNotFoundError"):
        rows_of(tmp_path)


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_a_file_that_was_cut_off_is_named(tmp_path, ending):
    text = "".join(json.dumps(make_row(i)) + "\n" for i in range(500)).encode()
    path = tmp_path / f"data/kvqa/viquae/train.{ending}"
    path.parent.mkdir(parents=True)
    whole = gzip.compress(text) if ending.endswith("gz") else pa.compress(text, "zstd", asbytes=True)
    path.write_bytes(b"PAR1 is not all" if ending == "parquet" else whole[: len(whole) // 2])
    with pytest.raises(ShardError, match=f"train.{ending}: cannot be read to its end"):
        rows_of(tmp_path)


def test_drops_are_counted_by_reason_and_listed_once(tmp_path):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0), make_row(1, outputs=None), make_row(2)])
    path.write_bytes(path.read_bytes() + b"{broken\n" + b'{"a": 1}\n' + json.dumps(make_row(9)).encode())
    builder = load_builder(tmp_path, "viquae", on_error="drop")
    for _ in range(2):
        assert inputs_of(builder.as_streaming_dataset("train")) == ["What is 0?", "What is 2?", "What is 9?"]
    assert count_drops(builder) == {"outputs is no string": 1, "not JSON": 1, "no instruction": 1}
    assert load_dataset(tmp_path, "viquae", on_error="drop", split="train").num_rows == 3


def test_images_are_the_published_bytes(tmp_path):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(5, 2)])
    builder = load_builder(tmp_path, "viquae", images=True)
    ((_, row),) = (keyed for piece in builder.pieces("train") for keyed in builder.read(piece))
    assert [image["bytes"] for image in row["images"]] == [picture(5), picture(6)]
    (row,) = rows_of(tmp_path, images=True)
    assert row["images"][0].size == (8, 6) and "image_base64_str" not in row


def test_base64_that_is_none_is_refused_when_images_are_asked_for(tmp_path):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0, image_base64_str=["not base64!"])])
    with pytest.raises(ShardError, match="train.jsonl:1: expected base64 in image_base64_str"):
        rows_of(tmp_path, images=True)


def test_meta_has_the_sources_id_or_file_and_offset(tmp_path):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0), make_row(1, meta="{}")])
    first = len(path.read_bytes().split(b"\n")[0]) + 1
    ids = [json.loads(row["meta"])["id"] for row in rows_of(tmp_path, meta=True)]
    assert ids == ["row-0", f"data/kvqa/viquae/train.jsonl:{first}"]


@pytest.mark.parametrize(
    ("said", "expected"), [(None, "data/kvqa/viquae/train.jsonl:0"), ("", "data/kvqa/viquae/train.jsonl:0"), (7, "7")]
)
def test_a_row_id_is_a_string_that_says_something(tmp_path, said, expected):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0, meta=json.dumps({"id": said, "a": 1}))])
    (row,) = rows_of(tmp_path, meta=True)
    assert json.loads(row["meta"]) == {"id": expected, "a": 1}


@pytest.mark.parametrize("meta", ["", "[]", "{", "null"])
def test_meta_that_is_no_json_object_is_refused_when_it_is_asked_for(tmp_path, meta):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0, meta=meta)])
    assert len(rows_of(tmp_path)) == 1
    with pytest.raises(ShardError, match="train.jsonl:1: expected a JSON object in meta, found "):
        rows_of(tmp_path, meta=True)


def test_columns_stand_in_the_published_order(repository):
    for streaming in (True, False):
        for options, extra in (({}, []), ({"meta": True}, ["meta"])):
            row = next(iter(load_dataset(repository, "viquae", split="train", streaming=streaming, **options)))
            assert list(row) == ["instruction", "inputs", "image_base64_str", "outputs", *extra]


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_other_kinds_of_files_hold_the_same_rows(tmp_path, ending):
    rows = [make_row(i, 2) for i in range(70)]
    path = tmp_path / f"data/kvqa/viquae/dev.{ending}"
    path.parent.mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=16)
    elif ending == "jsonl.gz":
        path.write_bytes(
            gzip.compress(text[:9000]) + gzip.compress(text[9000:])
        )  # two members, as parallel compressors write
    else:
        path.write_bytes(pa.compress(text, "zstd", asbytes=True))
    read = rows_of(tmp_path, split="validation")
    assert read == [
        {name: row[name] for name in ("instruction", "inputs", "image_base64_str", "outputs")} for row in rows
    ]


def test_parquet_pieces_give_every_row_group_once(tmp_path):
    path = tmp_path / "data/kvqa/viquae/train.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([make_row(i) for i in range(50)]), path, row_group_size=8)
    repository, size, name = Repository(tmp_path), path.stat().st_size, "data/kvqa/viquae/train.parquet"
    for step in (100, 997, size):
        pieces = [(name, start, min(start + step, size)) for start in range(0, size, step)]
        read = [keyed for piece in pieces for keyed in read_rows(repository, piece)]
        assert [number for number, _ in read] == list(range(50))
        assert [row["inputs"] for _, row in read] == [f"What is {i}?" for i in range(50)]


def test_a_byte_order_mark_blank_lines_and_no_last_newline_are_no_rows(tmp_path):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(3)], end="\r\n\r\n \n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + json.dumps(make_row(3)).encode())
    assert inputs_of(rows_of(tmp_path)) == [f"What is {i}?" for i in range(4)]


def test_an_empty_file_has_no_rows(tmp_path):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [])
    assert rows_of(tmp_path) == []


def test_whoever_reads_may_take_what_is_refused(tmp_path):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0), make_row(1, outputs=None), make_row(2)])
    path.write_bytes(path.read_bytes() + b"{broken")
    first, second = (len(line) + 1 for line in path.read_bytes().split(b"\n")[:2])
    builder, told = load_builder(tmp_path, "viquae"), []
    (piece,) = builder.pieces("train")
    refused = lambda path, offset, key, error: told.append((path, offset, key, str(error)))  # noqa: E731
    assert [row["inputs"] for _, row in builder.read(piece, refused=refused)] == ["What is 0?", "What is 2?"]
    name, third = piece[0], path.read_bytes().index(b"{broken")
    assert told[0] == (name, first, f"{name}:{first}", "expected a string in outputs, found null")
    assert told[1][:3] == (name, third, f"{name}:{third}") and "expected one JSON object a line" in told[1][3]
    assert not Path(builder.manifest).exists()  # told once, and to nobody else


def test_a_line_alone_is_read_as_in_its_piece(tmp_path):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0), make_row(1, outputs=None)])
    line, broken = path.read_bytes().splitlines()
    builder = load_builder(tmp_path, "viquae", meta=True, on_error="drop")
    name, _, size = builder.pieces("train")[0]
    assert list(builder.read_line(name, 0, line)) == list(builder.read((name, 0, len(line)))) != []
    assert list(builder.read_line(name, size - len(broken) - 1, broken)) == []
    assert count_drops(builder) == {"outputs is no string": 1}
    ((key, row),) = builder.read_line(name, 0, line, images=True)
    assert key == f"{name}:0" and [image["bytes"] for image in row["images"]] == [picture(0)]


# ---- configs and files


def test_a_repository_of_files_lists_them_alone(tmp_path):
    for name in ("one", "two"):
        write_rows(tmp_path / f"{name}.jsonl", [make_row(0, inputs=name)])
    repository = Repository.of_files(tmp_path, ["two.jsonl"])
    size, stat = (tmp_path / "two.jsonl").stat().st_size, (tmp_path / "two.jsonl").stat()
    assert repository.files == {"two.jsonl": {"size": size, "mtime": stat.st_mtime, "type": "file"}}
    assert [parse(line)["inputs"] for _, line in read_rows(repository, ("two.jsonl", 0, size))] == ["two"]
    with pytest.raises(FileNotFoundError, match="three.jsonl"):
        Repository.of_files(tmp_path, ["three.jsonl"])


def test_a_wrong_on_error_is_refused_before_anything_is_read(repository):
    with pytest.raises(ValueError, match="on_error='what': expected 'raise' or 'drop'"):
        load_dataset(repository, "viquae", split="train", streaming=True, on_error="what")


def test_a_wrong_name_is_answered_with_the_nearest(repository):
    with pytest.raises(
        ValueError, match="Unknown config 'vique'. Did you mean 'viquae'\\? .* holds .*okvqa-zh"
    ) as error:
        load_dataset(repository, "vique")
    assert len(str(error.value)) < 400


def test_a_config_of_the_catalogue_without_files_says_what_is_there(repository):
    with pytest.raises(ValueError, match="Unknown config 'coco'.*holds okvqa-zh, viquae"):
        load_dataset(repository, "coco")


def test_a_config_that_no_table_knows_is_found_by_its_files(tmp_path):
    write_rows(tmp_path / "data/vqa/my-set/train.jsonl", [make_row(0)])
    assert inputs_of(rows_of(tmp_path, "my-set")) == ["What is 0?"]
    assert inputs_of(rows_of(tmp_path, None)) == ["What is 0?"]  # the only one needs no name


def test_numbered_shards_are_read_in_order_and_a_missing_one_is_an_error(tmp_path):
    for i in range(3):
        write_rows(tmp_path / f"data/t/d/train-0000{i}-of-00003.jsonl", [make_row(i)])
    assert inputs_of(rows_of(tmp_path, "d")) == ["What is 0?", "What is 1?", "What is 2?"]
    (tmp_path / "data/t/d/train-00001-of-00003.jsonl").unlink()
    with pytest.raises(ShardError, match="expected 3 shards, found 2; number 1 is missing"):
        rows_of(tmp_path, "d")


def test_a_split_stored_twice_is_an_error(tmp_path):
    for name in ("train.jsonl", "train.parquet"):
        write_rows(tmp_path / f"data/t/d/{name}", [make_row(0)])
    with pytest.raises(ShardError, match=r"data/t/d: train.jsonl, train.parquet: one split, stored more than once"):
        rows_of(tmp_path, "d")


def test_old_names_of_validation_are_validation(tmp_path):
    for i, name in enumerate(("val", "dev", "validation")):
        write_rows(tmp_path / f"data/t/d{i}/{name}.jsonl", [make_row(i)])
        assert inputs_of(rows_of(tmp_path, f"d{i}", "validation")) == [f"What is {i}?"]


def test_a_missing_folder_is_one_sentence():
    with pytest.raises(ShardError, match="no_such_folder: expected a folder, a URL or a Hub repository"):
        load_dataset("no_such_folder", "viquae")


def test_any_fsspec_url_is_a_repository(repository):
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in repository.rglob("*.jsonl"):
        memory.pipe_file(f"/bucket/{path.relative_to(repository)}", path.read_bytes())
    assert inputs_of(rows_of("memory://bucket")) == inputs_of(rows_of(repository))
    assert load_dataset("memory://bucket", "okvqa-zh")["validation"]["inputs"][0] == "什么 0"


class Ranges(http.server.SimpleHTTPRequestHandler):
    """A web server as most are: folders are pages of links, and a range is answered with those bytes."""

    def send_head(self):
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not asked or not path.is_file():
            return super().send_head()
        data = path.read_bytes()[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return io.BytesIO(data)

    def log_message(self, *message):
        pass


@pytest.fixture
def web(repository):
    """host:port of a web server of the repository."""
    handler = functools.partial(Ranges, directory=str(repository))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_web_servers_folder_is_a_repository(repository, web):
    assert inputs_of(rows_of(f"http://{web}")) == inputs_of(rows_of(repository))
    assert load_dataset(f"http://{web}", "okvqa-zh")["validation"]["inputs"][0] == "什么 0"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://user:SECRET@host:8000/m3it", "https://host:8000/m3it"),
        ("https://SECRET@host/m3it", "https://host/m3it"),
        ("https://u:SE@CRET@host/m3it", "https://host/m3it"),
        ("https://host/m3it?X-Amz-Signature=SECRET&sig=SECRET", "https://host/m3it"),
        ("https://host?token=SECRET", "https://host"),
        ("https://host/m3it#access_token=SECRET", "https://host/m3it"),
        ("zip://a.jsonl::https://u:SECRET@host/a.zip?sig=SECRET", "zip://a.jsonl::https://host/a.zip"),
        ("s3://KEY:SECRET@bucket/m3it", "s3://bucket/m3it"),
        ("hf://datasets/user/name@main/data", "hf://datasets/user/name@main/data"),
        ("abfs://container@account.dfs.core.windows.net/m3it", "abfs://container@account.dfs.core.windows.net/m3it"),
        ("https://u:SECRET@host/a?sig=SECRET: cannot be read.", "https://host/a: cannot be read."),
        ("'https://host/a?b' or (https://host/c?d)?", "'https://host/a' or (https://host/c)?"),
        ("user@example.org asks: what is 1?", "user@example.org asks: what is 1?"),
    ],
)
def test_no_password_and_no_signature_of_a_url_is_shown(given, shown):
    assert public_url(given) == shown


def test_no_error_shows_the_password_of_a_repository(web, monkeypatch, caplog):
    monkeypatch.setattr(module, "RETRY_SECONDS", (0,))
    secret = f"http://user:SECRET@{web}"
    repository = Repository(secret)
    assert repository.path == f"http://{web}" and len(repository.files) == 3
    with pytest.raises(ValueError, match="Unknown config 'nowhere'") as unknown:
        load_builder(secret, "nowhere")
    with pytest.raises(ShardError, match="gone.jsonl: cannot be read, FileNotFoundError") as gone:
        repository.read("data/gone.jsonl", 0, 3)
    monkeypatch.setattr(repository.fs, "cat_file", lambda path, **_: exec("raise ConnectionError(path)"))
    with pytest.raises(ShardError, match="ConnectionError: http://127") as cut_off:
        repository.read("data/gone.jsonl", 0, 3)
    said = [caplog.text, *(str(each.value) for each in (unknown, gone, cut_off))]
    assert "trying again" in caplog.text and "SECRET" not in "".join(said)


# ---- the cache


def test_two_folders_and_two_states_of_one_file_share_no_cache(tmp_path):
    for name in ("one", "two"):
        write_rows(tmp_path / name / "data/t/d/train.jsonl", [make_row(0, inputs=name)])
        assert load_dataset(tmp_path / name, "d")["train"]["inputs"][:] == [name]
    write_rows(tmp_path / "one/data/t/d/train.jsonl", [make_row(0, inputs="new")])
    assert load_dataset(tmp_path / "one", "d")["train"]["inputs"][:] == ["new"]
    assert load_dataset(tmp_path / "two", "d")["train"]["inputs"][:] == ["two"]


def test_a_default_said_aloud_shares_the_cache_entry(repository):
    plain = load_builder(repository, "viquae")
    assert load_builder(repository, "viquae", images=False, meta=False, on_error="raise").cache_dir == plain.cache_dir
    assert load_builder(repository, "viquae", images=True).cache_dir != plain.cache_dir


def test_prepared_rows_are_found_wherever_the_class_moves_to(repository):
    builder = load_builder(repository, "viquae")
    moved = type("M3IT", (module.M3IT,), {"__module__": __name__})
    assert moved(repository=Repository(repository), config_name="viquae").cache_dir == builder.cache_dir
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    assert Path(builder.cache_dir).relative_to(cache).parts[0] == "m3_it"
    script = module.M3IT(repository=Repository(repository), config_name="viquae", dataset_name="one")
    assert Path(script.cache_dir).relative_to(cache).parts[0] == "one"  # as `datasets` names it for a script


def test_sizes_of_another_repository_are_not_expected(repository):
    (repository / "dataset_infos.json").write_text(
        json.dumps({"viquae": {"splits": {"train": {"name": "train", "num_examples": 99}}}})
    )
    assert load_dataset(repository, "viquae")["train"].num_rows == 10


# ---- workers, ranks, resume


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A config of 100 rows in about 12 pieces."""
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(100)])
    monkeypatch.setattr(module, "MiB", 1 << 11)
    return tmp_path


@pytest.mark.parametrize("num_workers", [0, 1, 2, 4, 30])
def test_loader_workers_give_every_row_once(many, num_workers):
    data = pytest.importorskip("torch.utils.data", reason="torch is an extra")
    dataset = load_dataset(many, "viquae", split="train", streaming=True)
    rows = [row for batch in data.DataLoader(dataset, batch_size=None, num_workers=num_workers) for row in [batch]]
    assert sorted(inputs_of(rows)) == sorted(f"What is {i}?" for i in range(100))


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_ranks_give_every_row_once(many, num_ranks):
    dataset = load_dataset(many, "viquae", split="train", streaming=True)
    rows = [row for rank in range(num_ranks) for row in split_dataset_by_node(dataset, rank, num_ranks)]
    assert sorted(inputs_of(rows)) == sorted(f"What is {i}?" for i in range(100))


def test_shuffling_loses_no_row(many):
    dataset = load_dataset(many, "viquae", split="train", streaming=True)
    shuffled = inputs_of(dataset.shuffle(seed=3, buffer_size=20))
    assert shuffled != inputs_of(dataset) and sorted(shuffled) == sorted(inputs_of(dataset))


@pytest.mark.parametrize("done", [0, 1, 37, 99, 100])
def test_a_resumed_stream_gives_the_rest_once(many, done):
    dataset = load_dataset(many, "viquae", split="train", streaming=True)
    if not hasattr(dataset, "state_dict"):
        pytest.skip("datasets < 2.21 has no state")
    rows = iter(dataset)
    for _ in range(done):
        next(rows)
    state = dataset.state_dict()
    resumed = load_dataset(many, "viquae", split="train", streaming=True)
    resumed.load_state_dict(state)
    assert inputs_of(resumed) == [f"What is {i}?" for i in range(done, 100)]


def test_a_resumed_stream_counts_dropped_rows_right(tmp_path, monkeypatch):
    write_rows(
        tmp_path / "data/kvqa/viquae/train.jsonl",
        [make_row(i, **({"outputs": None} if i % 3 == 0 else {})) for i in range(60)],
    )
    monkeypatch.setattr(module, "MiB", 1 << 11)
    expected = [f"What is {i}?" for i in range(60) if i % 3]
    dataset = load_dataset(tmp_path, "viquae", split="train", streaming=True, on_error="drop")
    if not hasattr(dataset, "state_dict"):
        pytest.skip("datasets < 2.21 has no state")
    rows = iter(dataset)
    seen = [next(rows)["inputs"] for _ in range(17)]
    resumed = load_dataset(tmp_path, "viquae", split="train", streaming=True, on_error="drop")
    resumed.load_state_dict(dataset.state_dict())
    assert seen + inputs_of(resumed) == expected


def test_preparing_in_two_processes_keeps_the_order(many):
    assert load_dataset(many, "viquae", num_proc=2)["train"]["inputs"][:] == [f"What is {i}?" for i in range(100)]


def test_a_pickled_builder_reads_the_same_rows(many):
    builder = pickle.loads(pickle.dumps(load_builder(many, "viquae")))
    assert inputs_of(row for piece in builder.pieces("train") for _, row in builder.read(piece)) == [
        f"What is {i}?" for i in range(100)
    ]


# ---- faults of servers (through a filesystem that misbehaves; tests/reading/test_load.py does it with a real Hub)


@pytest.mark.parametrize("fault", [ConnectionError("cut"), TimeoutError("stalled"), "short"])
def test_a_fault_that_passes_loses_no_row(repository, monkeypatch, fault):
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in repository.rglob("*.jsonl"):
        memory.pipe_file(f"/faulty/{path.relative_to(repository)}", path.read_bytes())
    monkeypatch.setattr(module, "RETRY_SECONDS", (0, 0, 0))
    builder, calls = load_builder("memory://faulty", "viquae"), []

    def cat_file(path, start=None, end=None, **options):
        calls.append(path)
        data = memory.open(path).read()[start:end]
        if len(calls) <= 2:
            if isinstance(fault, Exception):
                raise fault
            return data[:-1]
        return data

    monkeypatch.setattr(builder.repository.fs, "cat_file", cat_file, raising=False)
    assert inputs_of(builder.as_streaming_dataset("train")) == [f"What is {i}?" for i in range(10)]
    assert len(calls) == 3


def test_a_fault_that_stays_is_one_clear_error(repository, monkeypatch):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/dead/data/t/d/train.jsonl", b"{}\n")
    monkeypatch.setattr(module, "RETRY_SECONDS", (0,))
    builder = load_builder("memory://dead", "d")
    monkeypatch.setattr(builder.repository.fs, "cat_file", lambda *a, **k: b"", raising=False)
    with pytest.raises(
        ShardError, match="dead/data/t/d/train.jsonl: cannot be read, OSError: asked for 3 bytes from 0 on, got 0"
    ):
        list(builder.as_streaming_dataset("train"))

"""Files of a tar, and the rows that they make."""

import io
import itertools
import json
import tarfile

import pytest
from conftest import picture

from M3IT import ShardError
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.mixing.webdataset import Files, as_row, group, split_name


@pytest.mark.parametrize(
    ("name", "key", "ending"),
    [
        ("folder/000001.png", "folder/000001", "png"),
        ("000001.left.seg.png", "000001", "left.seg.png"),
        ("folder.d/000001.json", "folder.d/000001", "json"),
        ("folder/README", None, ""),
        ("folder/.hidden", None, "hidden"),
    ],
)
def test_the_key_of_a_webdataset_goes_to_the_first_dot_of_the_file_name(name, key, ending):
    assert split_name(name) == (key, ending)


def rows_of(*names):
    """The rows of an archive: key, and endings."""
    return [(key, [ending for ending, _ in files]) for key, files in group(map(tarfile.TarInfo, names))]


def test_fields_of_one_row_may_have_names():
    names = ["1.json", "1.left.png", "1.right.png", "2.png", "2.seg.png", "2.json", "3.meta.json", "3.texts.json"]
    assert rows_of(*names) == [
        ("1", ["json", "left.png", "right.png"]),
        ("2", ["png", "seg.png", "json"]),
        ("3", ["meta.json", "texts.json"]),
    ]


@pytest.mark.parametrize("text", ["json", "txt"])
def test_names_with_dots_of_their_own_are_rows_of_their_own(text):
    names = [f"a/22.{i:02}.{ending}" for i in (5, 6) for ending in ("png", text)]
    assert rows_of(*names) == [("a/22.05", ["png", text]), ("a/22.06", ["png", text])]
    assert rows_of(names[0], names[1], names[2]) == [("a/22.05", ["png", text]), ("a/22.06", ["png"])]
    whole = [f"1{dot}.{ending}" for dot in ("", ".5") for ending in ("png", text)]
    assert rows_of(*whole) == [("1", ["png", text]), ("1.5", ["png", text])]
    assert rows_of(*whole[2:]) == [("1.5", ["png", text])]  # as a reader of that row alone sees it


@pytest.mark.parametrize(
    "names", [["a.json", "b.json", "a.png", "b.png"], ["2.1.json", "2.2.json", "2.1.png", "2.2.png"]]
)
def test_files_of_a_row_that_lie_apart_are_refused(names):
    with pytest.raises(ShardError, match="expected its files side by side"):
        rows_of(*names)


def test_joined_archives_may_have_the_same_keys():
    assert [key for key, _ in rows_of("1.json", "1.png", "2.json", "2.png", "1.json", "1.png")] == ["1", "2", "1"]


PNG, ASKED = ("png", b"x"), {"instruction": "", "inputs": "q", "outputs": "a"}


@pytest.mark.parametrize(
    ("files", "words", "reason"),
    [
        (
            [("a.json", b'{"id": 1}'), ("b.json", b'{"id": 2}')],
            "two files give 'id', the second is k.b.json",
            "ambiguous key",
        ),
        ([("json", b"{bad")], "expected JSON in k.json, found none", "not JSON"),
        ([("json", b"1" * 5000)], "expected JSON in k.json, found none", "not JSON"),
        ([("json", b"[" * 100_000)], "expected JSON in k.json, found none", "not JSON"),
        ([("txt", b"\xff")], "expected UTF-8 in k.txt, found none", "broken text"),
        ([PNG, ("json", b'{"images": ["a", "b"]}')], "its JSON names 2 images, the archive has 1", "images lost"),
    ],
)
def test_what_makes_no_row_has_a_reason(files, words, reason):
    with pytest.raises(ShardError, match=words) as caught:
        as_row(Files("k", files))
    assert caught.value.reason == reason


@pytest.mark.parametrize("json_first", [False, True])
def test_the_picture_in_the_archive_is_the_one_that_its_json_names(json_first):
    files = [PNG, ("json", json.dumps({"images": "x.png", **ASKED}).encode())]
    row = as_row(Files("k", files[::-1] if json_first else files))
    assert row == {"__key__": "k", **ASKED, "images": [{"path": None, "bytes": b"x"}]}


def write_tar(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_each_picture_keeps_its_own_text(tmp_path):
    rows = [(f"22.{i:02}", picture(i), {**ASKED, "id": str(i), "inputs": f"What is {i}?"}) for i in range(3)]
    files = (
        [(f"{key}.png", data) for key, data, _ in rows],
        [(f"{key}.json", json.dumps(row).encode()) for key, _, row in rows],
    )
    write_tar(tmp_path / "set/train.tar", itertools.chain(*zip(*files, strict=True)))
    mixture = Mixture(None, parts=[Part(str(tmp_path / "set"))], batch_size=1)
    assert mixture.num_rows == 3
    found = {row["inputs"]: row["images"] for row in itertools.islice(mixture, 3)}
    assert found == {f"What is {i}?": [picture(i)] for i in range(3)}


def test_a_broken_row_of_an_archive_is_dropped(tmp_path):
    good = json.dumps(ASKED).encode()
    write_tar(tmp_path / "set/train.tar", [("1.json", good), ("2.json", b"{bad"), ("3.txt", b"\xff"), ("4.json", good)])
    mixture = Mixture(None, parts=[Part(str(tmp_path / "set"))], batch_size=1, on_error="drop")
    assert sum(mixture.row(i) is None for i in range(4)) == 2
    assert mixture.drops() == {"set": {"not JSON": 1, "broken text": 1}}


def test_a_file_that_is_no_tar_is_named(tmp_path):
    (tmp_path / "train.tar").write_bytes(b"x" * 2000)
    with pytest.raises(ShardError, match="train.tar: no whole tar"):
        Mixture(None, parts=[Part(str(tmp_path))]).describe()

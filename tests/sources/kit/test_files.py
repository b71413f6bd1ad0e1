"""m3it/sources/kit/files.py, archives.py, texts.py: the authors' files, in archives or not, large ones in pieces."""

import csv
import errno
import io
import json
import multiprocessing
import os
import pickle
import resource
import tarfile
import tempfile
import tracemalloc
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from scenes import write_tar, write_zip

from m3it.rows.instance import SourceError
from m3it.sources.kit import archives, texts
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Clip, Picture, Unreadable
from m3it.sources.kit.texts import read_csv, read_values


@pytest.mark.parametrize(("write", "name"), [(write_zip, "a.zip"), (write_tar, "a.tar"), (write_tar, "a.tar.gz")])
def test_either_takes_the_first_name_that_is_there_in_a_folder_or_an_archive(write, name, tmp_path):
    write(tmp_path / "photos" / name, {"two/x.jpg": b"2"})
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "x.jpg").write_bytes(b"3")
    root = SourcePath(tmp_path)
    assert root.either("one/x.jpg", "photos/two/x.jpg", "three/x.jpg").read_bytes() == b"2"
    assert root.either("one/x.jpg", "three/x.jpg").read_bytes() == b"3"


def test_either_gives_the_first_name_where_none_is_there(tmp_path):
    path = SourcePath(tmp_path).either("one/x.jpg", "two/x.jpg")
    assert (path.path, path.exists()) == ("one/x.jpg", False)


VALUES = [{"id": 1, "q": "é]}, \n"}, [], "text", 1234567, -1.5e3, True, None, {"deep": [{"x": [[1]]}]}]


@pytest.mark.parametrize("num_characters", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_values_are_the_same_wherever_the_pieces_of_the_file_end(num_characters, indent, tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "NUM_CHARACTERS", num_characters)
    record = {"info": {"values": 0}, "values": VALUES, "more": [1]}
    (tmp_path / "list.json").write_text("\ufeff" + json.dumps(record, ensure_ascii=False, indent=indent), "utf-8")
    (tmp_path / "object.json").write_text(json.dumps({str(i): v for i, v in enumerate(VALUES)}, indent=indent))
    root = SourcePath(tmp_path)
    assert list(read_values(root / "list.json", r'"values"\s*:\s*\[')) == VALUES
    pairs = list(read_values(root / "object.json", r"\{"))
    assert (pairs[::2], pairs[1::2]) == ([str(i) for i in range(len(VALUES))], VALUES)


@pytest.mark.parametrize("num_characters", [5, 1 << 20])
@pytest.mark.parametrize(
    ("text", "found"),
    [('{"other": []}', "there is none"), ('{"values": [1, 2', "breaks off"), ('{"values": [1, nonsense]}', "no JSON")],
)
def test_a_file_that_breaks_off_is_an_error_after_the_values_before(num_characters, text, found, tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "NUM_CHARACTERS", num_characters)
    (tmp_path / "a.json").write_text(text)
    values = read_values(SourcePath(tmp_path) / "a.json", r'"values"\s*:\s*\[')
    with pytest.raises(SourceError, match=found):
        assert [next(values) for _ in range(9)] == []


def test_a_missing_large_file_is_named(tmp_path):
    with pytest.raises(SourceError, match="a.json is not there"):
        list(read_values(SourcePath(tmp_path) / "a.json", "{"))


def test_a_table_has_fields_as_long_as_articles_and_leaves_the_limit_of_the_process_as_it_was(tmp_path):
    limit = csv.field_size_limit()
    (tmp_path / "a.csv").write_text("id,article\n" + "".join(f"{i},{'x' * (limit + 1)}\n" for i in range(3)))
    lengths = []
    for row in read_csv(SourcePath(tmp_path) / "a.csv"):
        assert csv.field_size_limit() == limit
        lengths.append((row["id"], len(row["article"])))
    assert lengths == [("0", limit + 1), ("1", limit + 1), ("2", limit + 1)]


def test_a_compressed_tar_is_unpacked_once_and_read_in_any_order(tmp_path, monkeypatch):
    contents = {f"a/{i}.bin": bytes([i]) * 50_000 for i in range(20)}
    write_tar(tmp_path / "a.tar.gz", contents)
    opened = []
    gzip_open = archives.gzip.open
    monkeypatch.setattr(archives.gzip, "open", lambda path: opened.append(path) or gzip_open(path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    roots = [SourcePath(tmp_path)]
    with ThreadPoolExecutor(2) as pool:
        names = [*reversed(contents)] * 2
        assert list(pool.map(lambda name: (roots[0] / name).read_bytes(), names)) == [contents[name] for name in names]
    assert opened == [tmp_path / "a.tar.gz"]
    assert os.listdir(tmp_path) == ["a.tar.gz"]  # the copy has no name that could stay behind


def test_a_compressed_tar_that_breaks_off_is_named(tmp_path):
    write_tar(tmp_path / "a.tar.gz", {"a.bin": bytes(range(256)) * 500})
    (tmp_path / "a.tar.gz").write_bytes((tmp_path / "a.tar.gz").read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"a\.tar\.gz: not a readable archive .* Download it again"):
        (SourcePath(tmp_path) / "a.bin").read_bytes()


@pytest.mark.parametrize(("write", "name"), [(write_zip, "a.zip"), (write_tar, "a.tar"), (write_tar, "a.tar.gz")])
def test_an_archive_opened_before_a_fork_is_read_apart_in_each_process(write, name, tmp_path):
    write(tmp_path / name, {f"{i}.bin": bytes([i]) * 50_000 for i in range(40)})
    root = SourcePath(tmp_path)
    assert (root / "0.bin").read_bytes() == bytes(50_000)
    context = multiprocessing.get_context("fork")
    readers = [context.Process(target=_read_all, args=(root,)) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert [reader.exitcode for reader in readers] == [0] * 4
    assert (root / "1.bin").read_bytes() == bytes([1]) * 50_000  # the copy of a compressed one is still there


def test_a_root_that_travels_opens_its_archives_anew(tmp_path):
    write_zip(tmp_path / "a.zip", {"1.bin": b"1"})
    root = SourcePath(tmp_path)
    assert (root / "1.bin").exists()
    sent = pickle.loads(pickle.dumps(root / "1.bin"))
    assert sent.read_bytes() == b"1" and str(sent) == str(root / "1.bin")


@pytest.mark.parametrize(("write", "name"), [(write_zip, "a.zip"), (write_tar, "a.tar"), (write_tar, "a.tar.gz")])
def test_threads_that_share_a_root_do_not_share_a_place_in_an_archive(write, name, tmp_path):
    write(tmp_path / name, {f"{i}.bin": bytes([i]) * 500_000 for i in range(40)})
    root = SourcePath(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(_read_all, root, 500_000) for _ in range(8)]:
            job.result()


def test_tables_read_by_threads_at_once_have_long_fields_too(tmp_path):
    limit = csv.field_size_limit()
    (tmp_path / "a.csv").write_text("id,article\n" + "".join(f"{i},{'x' * (limit + 1)}\n" for i in range(30)))
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(lambda: list(read_csv(SourcePath(tmp_path) / "a.csv"))) for _ in range(8)]
        assert [len(job.result()) for job in jobs] == [30] * 8
    assert csv.field_size_limit() == limit


def _read_all(root, num_bytes=50_000):
    for i in range(40):
        assert (root / f"{i}.bin").read_bytes() == bytes([i]) * num_bytes


def test_a_thousand_archives_are_read_with_few_files_open(tmp_path):
    for i in range(80):
        write_tar(tmp_path / f"train/{i}.tar", {f"{i}.bin": bytes([i])})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + archives.MAX_OPEN + 10, hard))
    try:
        root = SourcePath(tmp_path)
        assert [(root / "train" / f"{i}.bin").read_bytes() for i in range(80)] == [bytes([i]) for i in range(80)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("name", ["../private/photo.png", "a/../../private/photo.png", "{}/private/photo.png", ".."])
def test_what_lies_outside_of_the_root_is_not_read_whatever_names_it(name, tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private/photo.png").write_bytes(b"mine")
    (tmp_path / "root/a").mkdir(parents=True)
    path = SourcePath(tmp_path / "root") / name.format(tmp_path)
    for outside in (path, SourcePath(tmp_path / "root") / "a" / ".." / name.format(tmp_path)):
        assert (outside.exists(), outside.local(), outside.state(), outside.read_if_there()) == (
            False,
            None,
            (0, 0),
            None,
        )
        with pytest.raises(SourceError, match="lies outside of this folder: it is not read"):
            outside.read_bytes()
    with pytest.raises(Unreadable, match="file outside of the source"):
        Picture(path).read()
    with pytest.raises(Unreadable, match="file outside of the source"):
        Clip(path).read()


def test_a_path_that_comes_back_below_the_root_is_read(tmp_path):
    (tmp_path / "b..c").mkdir()
    (tmp_path / "b..c/x.png").write_bytes(b"here")
    assert (SourcePath(tmp_path) / "a/../b..c/x.png").read_bytes() == b"here"


@pytest.mark.parametrize(("write", "name"), [(write_zip, "a.zip"), (write_tar, "a.tar")])
def test_a_member_that_would_be_unpacked_elsewhere_is_none(write, name, tmp_path):
    write(tmp_path / "folder" / name, {"../x.png": b"1", "y.png": b"2"})
    root = SourcePath(tmp_path)
    assert [path.path for path in root.iterdir()] == [f"folder/{name}", "folder/y.png"]
    assert not (root / "x.png").exists()


def test_a_linked_folder_is_entered_and_a_loop_of_links_ends(tmp_path):
    write_tar(tmp_path / "disk/more/a.tar", {"in a tar.jpg": b"2"})
    (tmp_path / "disk/x.jpg").write_bytes(b"1")
    (tmp_path / "root/train").mkdir(parents=True)
    (tmp_path / "root/train/images").symlink_to(tmp_path / "disk")
    (tmp_path / "root/again").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/more/back").symlink_to(tmp_path / "disk")
    (tmp_path / "root/self").symlink_to(tmp_path / "root")
    (tmp_path / "root/gone").symlink_to(tmp_path / "nowhere")
    root = SourcePath(tmp_path / "root")
    assert [path.path for path in root.iterdir()] == [
        "again/more/a.tar",
        "again/more/in a tar.jpg",
        "again/x.jpg",
        "train/images/more/a.tar",
        "train/images/more/in a tar.jpg",
        "train/images/x.jpg",
    ]
    assert (root / "train/images/more/in a tar.jpg").read_bytes() == b"2"


def test_of_two_files_of_one_name_none_wins_unless_they_are_copies(tmp_path):
    for path, content in {"a/1.jpg": b"1", "b/1.jpg": b"1", "a/2.jpg": b"2", "b/2.jpg": b"3", "c/2.png": b"4"}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    root = SourcePath(tmp_path)
    names = root.named((".jpg",))
    assert sorted(names) == ["1.jpg", "2.jpg"] and len(names) == 2 and "2.png" not in names
    assert names.get("1.jpg", root).path == "b/1.jpg"
    assert names.get("3.jpg", root / "3.jpg").path == "3.jpg"
    for _ in range(2):  # and it stays so
        with pytest.raises(SourceError, match=r"b/2\.jpg: .*a/2\.jpg has the same name and other bytes\. Take one"):
            names.get("2.jpg", root)


@pytest.mark.parametrize(("write", "end"), [(write_zip, "zip"), (write_tar, "tar")])
def test_of_two_archives_with_one_path_none_wins_unless_they_are_copies(write, end, tmp_path):
    write(tmp_path / f"a.{end}", {"x/1.jpg": b"1", "x/2.jpg": b"2"})
    write(tmp_path / f"b.{end}", {"x/1.jpg": b"1", "x/2.jpg": b"3"})
    assert (SourcePath(tmp_path) / "x/1.jpg").read_bytes() == b"1"
    with pytest.raises(SourceError, match=rf"b\.{end}: its x/2\.jpg has other bytes than that of .*a\.{end}"):
        (SourcePath(tmp_path) / "x/2.jpg").read_bytes()


def test_a_temporary_folder_without_room_is_no_broken_archive(tmp_path, monkeypatch):
    write_tar(tmp_path / "a.tar.gz", {"a.bin": bytes(range(256)) * 5000})

    def full(source, target, length):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    with pytest.raises(SourceError, match=r"a\.tar\.gz: cannot be unpacked into .*No space left on device.*TMPDIR"):
        (SourcePath(tmp_path) / "a.bin").read_bytes()
    usage = archives.shutil.disk_usage(tmp_path)._replace(free=1_200_000)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(SourceError, match=r"a\.tar\.gz: unpacking it takes about 0\.0 GB, .* has 0\.0 GB free"):
        (SourcePath(tmp_path) / "a.bin").read_bytes()


def test_the_size_of_a_large_compressed_file_is_found_by_what_it_says_and_how_large_it_is(tmp_path):
    with open(tmp_path / "a.tar.gz", "wb") as file:  # 9 GB of pictures, of which the file says 9 GB - 2 x 4 GiB
        file.truncate(9_000_000_000 - 4)
        file.seek(0, 2)
        file.write((9_000_000_000 - (2 << 32)).to_bytes(4, "little"))
    assert archives._unpacked_bytes(tmp_path / "a.tar.gz") == 9_000_000_000


def test_a_link_in_a_tar_is_the_file_that_it_leads_to(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind, target in (
            ("x/1.jpg", tarfile.REGTYPE, ""), ("y/hard.jpg", tarfile.LNKTYPE, "x/1.jpg"),
            ("y/soft.jpg", tarfile.SYMTYPE, "../x/1.jpg"), ("y/both.jpg", tarfile.SYMTYPE, "hard.jpg"),
            ("y/out.jpg", tarfile.SYMTYPE, "../../../etc/passwd"), ("y/loop.jpg", tarfile.SYMTYPE, "loop.jpg"),
        ):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, 3 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"one"))
    root = SourcePath(tmp_path)
    for name in ("x/1.jpg", "y/hard.jpg", "y/soft.jpg", "y/both.jpg"):
        assert ((root / name).read_bytes(), (root / name).state()[0]) == (b"one", 3)
    assert not (root / "y/out.jpg").exists() and not (root / "y/loop.jpg").exists()


def test_an_encrypted_zip_is_one_sentence(tmp_path):
    write_zip(tmp_path / "a.zip", {"x.jpg": b"1"})
    packed = bytearray((tmp_path / "a.zip").read_bytes())
    for start, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag of encryption, in both of its headers
        packed[packed.index(start) + place] |= 1
    (tmp_path / "a.zip").write_bytes(packed)
    with pytest.raises(SourceError, match=r"a\.zip: .*x\.jpg.* is encrypted, password required.*Unpack it by hand"):
        (SourcePath(tmp_path) / "x.jpg").read_bytes()


def test_what_stands_before_the_values_of_a_large_file_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "NUM_CHARACTERS", 1 << 12)
    (tmp_path / "a.json").write_text(json.dumps({"other": ["x" * 100] * 50_000, "values": [1, 2], "name": "val"}))
    tracemalloc.start()
    try:
        assert list(read_values(SourcePath(tmp_path) / "a.json", r'"values"\s*:\s*\[')) == [1, 2]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000  # of 5 MB
    finally:
        tracemalloc.stop()
    assert next(read_values(SourcePath(tmp_path) / "a.json", r'"name"\s*:\s*')) == "val"


@pytest.mark.parametrize(("on_disk", "asked"), [("NFD", "NFC"), ("NFC", "NFD")])
@pytest.mark.parametrize("archive", [False, True])
def test_a_name_with_accents_is_found_in_either_form_of_unicode(on_disk, asked, archive, tmp_path):
    name = unicodedata.normalize(on_disk, "é/ü.jpg")
    if archive:
        write_zip(tmp_path / "a.zip", {name: b"1"})
    else:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"1")
    path = SourcePath(tmp_path) / unicodedata.normalize(asked, "é/ü.jpg")
    assert (path.exists(), path.read_bytes(), path.state()[0]) == (True, b"1", 1)
    assert unicodedata.normalize(asked, "ü.jpg") in SourcePath(tmp_path).named()


def test_a_missing_file_is_named_with_its_folder_and_where_one_of_its_name_lies(tmp_path):
    (tmp_path / "coco/val2014").mkdir(parents=True)
    (tmp_path / "coco/val2014/1.jpg").touch()
    write_zip(tmp_path / "train2014.zip", {"2.jpg": b"2"})
    root = SourcePath(tmp_path)
    for path, place in (("val2014/1.jpg", "coco/val2014"), ("train2014/2.jpg", "train2014.zip, as 2.jpg")):
        with pytest.raises(
            SourceError, match=rf"{path} is not there; .* A file of that name lies in {tmp_path}/{place}\."
        ):
            (root / path).read_bytes()

"""m3it/making/download.py: tables pointed at a server on loopback, down to the rows that converters make."""

import fnmatch
import importlib
import io
import json
import os
import zipfile

import pytest
from conftest import FIXTURES
from file_server import FileServer
from sources.test_sources import read_converted

from m3it.making.download import check, download, plan
from m3it.rows.instance import M3ITError
from m3it.sources.kit.downloads import KNOWN_ON, ByHand, File, in_total
from m3it.sources.kit.files import Files
from m3it.work import transfers

OKVQA = [
    "OpenEnded_mscoco_train2014_questions.json.zip",
    "mscoco_train2014_annotations.json.zip",
    "OpenEnded_mscoco_val2014_questions.json.zip",
    "mscoco_val2014_annotations.json.zip",
    "train2014.zip",
    "val2014.zip",
    "annotations_trainval2014.zip",
]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(transfers, "RETRY_SECONDS", (0.01, 0.01))
    with FileServer({}) as found:
        yield found


@pytest.fixture
def serve(server, monkeypatch):
    """Serve the official files of a dataset in miniature, as its table names them, and point the table there."""

    def run(*datasets):
        for dataset in datasets:
            module, table = importlib.import_module(f"m3it.sources.{dataset.replace('-', '_')}"), []
            for source in module.FILES:
                if isinstance(source, File):
                    server.files[source.path] = official(FIXTURES / dataset, source)
                    source = source._replace(url=f"{server.url}/{source.path}", sha256="")
                table.append(source)
            monkeypatch.setattr(module, "FILES", tuple(table))

    return run


def official(fixture, file):
    """The bytes of an official file: the fixture's own, or what it holds unpacked, packed."""
    if (fixture / file.path).exists():
        return (fixture / file.path).read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(path for path in fixture.rglob("*") if path.is_file()):
            name = path.relative_to(fixture).as_posix()
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in file.instead):
                archive.writestr(name, path.read_bytes())
    return packed.getvalue()


def states(found):
    return {file.source.path: file.state for file in found}


@pytest.mark.parametrize("dataset", ["okvqa", "viquae", "clevr"])
def test_what_is_downloaded_converts_to_what_was_read_by_a_person(dataset, serve, tmp_path):
    serve(dataset)
    assert {file.state for file in download([dataset], tmp_path)} == {"fetched"}
    expected = [json.loads(line) for line in (FIXTURES / dataset / "expected.jsonl").read_text("utf-8").splitlines()]
    assert list(read_converted(dataset, tmp_path)) == expected


def test_a_second_run_asks_nothing(serve, server, tmp_path):
    serve("okvqa")
    first = list(download(["okvqa"], tmp_path))
    assert sorted(states(first)) == sorted(OKVQA) and len(server.requests) == 7
    assert states(download(["okvqa"], tmp_path)) == dict.fromkeys(OKVQA, "there") and len(server.requests) == 7
    assert all(file.num_bytes == file.path.stat().st_size for file in first)
    assert sorted(Files(tmp_path).on_disk) == sorted(OKVQA)  # a converter does not see what we note in .work


def test_what_lies_there_unpacked_is_not_fetched(serve, server, tmp_path):
    serve("okvqa")
    (tmp_path / "train2014").mkdir()
    (tmp_path / "train2014/COCO_train2014_000000000081.jpg").write_bytes(b"a picture")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("mscoco_val2014_annotations.json", "{}")
    found = states(download(["okvqa"], tmp_path))
    there = [name for name in OKVQA if found[name] == "there"]
    assert there == ["mscoco_val2014_annotations.json.zip", "train2014.zip"]
    assert not server.statuses("train2014.zip")


def test_a_file_that_was_cut_since_is_fetched_anew(serve, tmp_path):
    serve("okvqa")
    list(download(["okvqa"], tmp_path))
    whole = (tmp_path / "val2014.zip").read_bytes()
    os.truncate(tmp_path / "val2014.zip", 1000)
    found = states(download(["okvqa"], tmp_path))
    assert found["val2014.zip"] == "fetched" and list(found.values()).count("there") == 6
    assert (tmp_path / "val2014.zip").read_bytes() == whole


def test_what_datasets_share_is_fetched_once(serve, server, tmp_path):
    serve("okvqa", "vqa-v2")
    found = list(download(["okvqa", "vqa-v2"], tmp_path))
    assert server.statuses("train2014.zip") == [200]
    shared = [file for file in found if file.source.path == "train2014.zip"]
    assert [(file.dataset, file.state) for file in shared] == [("okvqa", "fetched"), ("vqa-v2", "linked")]
    assert os.path.samefile(shared[0].path, shared[1].path) and shared[1].path == tmp_path / "vqa-v2/train2014.zip"
    assert {file.state for file in download(["okvqa", "vqa-v2"], tmp_path)} == {"there"}


def test_what_lies_in_the_folder_beside_is_not_fetched_again(serve, server, tmp_path):
    serve("okvqa", "vqa-v2")
    list(download(["okvqa"], tmp_path / "one"))
    assert states(download(["vqa-v2"], tmp_path / "other"))["val2014.zip"] == "linked"
    assert server.statuses("val2014.zip") == [200]


def test_one_file_that_cannot_be_had_does_not_keep_back_the_others(serve, server, tmp_path):
    serve("okvqa")
    server.fault("train2014.zip", 404)
    server.fault("val2014.zip", "cut", times=3)
    found = {file.source.path: file for file in download(["okvqa"], tmp_path)}
    assert (found["train2014.zip"].state, found["train2014.zip"].why) == ("failed", "the server says 404 Not Found")
    assert [file.state for file in found.values()].count("fetched") == 6
    assert states(download(["okvqa"], tmp_path))["train2014.zip"] == "fetched"  # it was there again


def test_a_file_that_cannot_be_written_does_not_keep_back_the_others(serve, tmp_path):
    serve("okvqa")
    (tmp_path / "train2014.zip").mkdir()
    found = {file.source.path: file for file in download(["okvqa"], tmp_path)}
    assert found["train2014.zip"].state == "failed" and "Is a directory" in found["train2014.zip"].why
    assert [file.state for file in found.values()].count("fetched") == 6


def test_two_runs_in_one_folder_do_not_meddle(serve, tmp_path):
    serve("okvqa")
    running = download(["okvqa"], tmp_path)
    next(running)
    with pytest.raises(M3ITError, match="another process is at work in it. Wait until it has ended"):
        list(download(["okvqa"], tmp_path))
    running.close()
    assert "fetched" in states(download(["okvqa"], tmp_path)).values()


def test_progress_counts_what_comes(serve, tmp_path):
    counted = []

    def progress(items, description, total=None):
        for item in items:
            counted.append(description)
            yield item

    serve("okvqa")
    list(download(["okvqa"], tmp_path, progress=progress))
    assert set(counted) == {"download, MB"} and len(counted) >= 6


def test_the_plan_names_what_a_person_must_get_and_where_it_belongs(tmp_path):
    found = {file.source.path: file for file in plan(["nlvr", "imagenet"], tmp_path)}
    photos = found["images/dev/*.png"]
    assert (photos.state, photos.why) == ("by hand", "on request, by a form")
    assert photos.path == tmp_path / "nlvr/images/dev/*.png"
    assert found["nlvr2/data/dev.json"].state == "to fetch"
    assert found["ILSVRC2012_img_val.tar"].as_json() == {
        "dataset": "imagenet",
        "path": str(tmp_path / "imagenet/ILSVRC2012_img_val.tar"),
        "state": "by hand",
        "why": "needs an account, and its terms accepted",
        "num_bytes": None,
        "address": "https://image-net.org",
        "license": "research only",
        "image_license": "research only",
    }


def test_each_address_is_asked_whether_it_is_still_true(server, monkeypatch):
    module = importlib.import_module("m3it.sources.okvqa")
    server.files.update(dict.fromkeys(["true", "moved", "signed", "headless", "other-size", "page", "asked"], b"bytes"))
    server.fault("moved", "moved")
    server.fault("signed", "gone on")
    server.fault("headless", "no head")
    server.fault("refused", 403, times=2)
    server.files["refused"] = b""
    server.fault("asked", 429, Retry_After="0.05")
    names = ["true", "moved", "signed", "headless", "gone", "refused", "asked"]
    table = [File(name, f"{server.url}/{name}") for name in names]
    table += [
        File("other-size", f"{server.url}/other-size", 7, "0" * 64),
        ByHand("by hand", f"{server.url}/page", "a form"),
        File("no server", "http://127.0.0.1:9/x"),
    ]
    monkeypatch.setattr(module, "FILES", tuple(table))
    found = {asked.address.rsplit("/", 1)[1]: asked for asked in check(["okvqa"])}
    assert {name: asked.state for name, asked in found.items()} == {
        **dict.fromkeys(["true", "signed", "headless", "asked", "page"], "true"),
        "moved": "moved",
        "gone": "gone",
        "refused": "refused",
        "other-size": "changed",
        "x": "no answer",
    }
    assert found["moved"].more == f"{server.url}/elsewhere/moved?signed=1" and found["headless"].num_bytes == 5
    assert found["gone"].more == "the server says 404 Not Found" and found["other-size"].more == "5 bytes, expected 7"
    assert {request.method for request in server.requests if request.path == "true"} == {"HEAD"}


def test_sizes_in_words():
    assert in_total([1_500_000, None]) == "2 files, 1.5 MB and 1 of unknown size"
    assert (in_total([None]), in_total([5])) == ("1 file, 1 of unknown size", "1 file, 5 B")
    assert in_total([]) == "0 files"


# ---- the command


def test_the_command_lists_at_the_end_what_is_left_and_its_exit_code_says_so(m3it, serve, server, tmp_path):
    serve("nlvr")
    server.fault("nlvr2/data/dev.json", 404)
    code, out, err = m3it("download", "nlvr", "--root", tmp_path)
    lines = out.splitlines()
    assert (
        code == 1
        and err == "3 of 4 files are left to get, as listed.\n"
        and lines[0].startswith("fetched")
        and "nlvr2/data/train.json" in lines[0]
    )
    assert lines[1].startswith("failed") and lines[1].endswith("(the server says 404 Not Found)")
    assert lines[2].startswith("by hand") and str(tmp_path / "images/train/*.png") in lines[2]
    assert lines[2].endswith("https://github.com/lil-lab/nlvr  (on request, by a form)")
    assert lines[-1].startswith("1 file, ") and lines[-1].endswith(" fetched; 1 failed; 2 by hand")
    serve("okvqa")
    assert m3it("download", "okvqa", "--root", tmp_path / "okvqa")[0] == 0


def test_a_dry_run_lists_all_with_sizes_licenses_and_a_total(m3it, tmp_path):
    code, out, _ = m3it("download", "coco", "--dry-run", "--root", tmp_path)
    assert code == 0 and out.splitlines()[0] == "coco: annotations CC-BY-4.0; pictures Flickr terms per image"
    assert "to fetch      13.5 GB" in out and "http://images.cocodataset.org/zips/train2014.zip" in out
    assert out.splitlines()[-1] == "4 files, 20.4 GB and 1 of unknown size to fetch"
    code, out, _ = m3it("download", "--all", "--dry-run", "--json", "--root", tmp_path)
    found = json.loads(out)
    assert code == 0 and len({file["dataset"] for file in found}) == 40 and not list(tmp_path.iterdir())
    assert {file["state"] for file in found} == {"to fetch", "by hand"}
    video = m3it("download", "--group", "video", "--dry-run", "--root", tmp_path)[1]
    assert [line.split(":")[0] for line in video.splitlines() if ": annotations " in line] == [
        "ss", "ivqa", "msvd-qa", "activitynet-qa", "msrvtt", "msrvtt-qa",
    ]  # fmt: skip


def test_the_command_checks_addresses(m3it, serve, server):
    serve("okvqa")
    code, out, _ = m3it("download", "okvqa", "--check")
    assert code == 0 and out.splitlines()[-1] == f"7 of 7 addresses are true; all were last known to be on {KNOWN_ON}"
    server.fault("train2014.zip", "moved")
    code, out, _ = m3it("download", "okvqa", "--check", "--json")
    assert code == 1 and [asked["state"] for asked in json.loads(out)].count("moved") == 1


def test_wrong_usage_of_the_command(m3it, tmp_path):
    assert m3it("download")[0] == m3it("download", "okvqa", "--all")[0] == 2
    assert m3it("download", "okvqa", "--dry-run", "--check")[0] == 2
    code, _, err = m3it("download", "ok-vqa", "--dry-run")
    assert code == 1 and "Did you mean 'okvqa'?" in err
    code, _, err = m3it("download", "--group", "films", "--dry-run")
    assert code == 1 and err.startswith("--group films: expected captioning, chinese, ")


def test_convert_without_files_says_what_download_fetches_and_what_is_by_hand(m3it, tmp_path):
    code, _, err = m3it("convert", "nlvr")
    assert code == 1 and "`m3it download nlvr --root FOLDER` fetches nlvr2/data/train.json, nlvr2/data/dev.json." in err
    assert "By hand (on request, by a form): images/train/*.png from https://github.com/lil-lab/nlvr." in err
    code, _, err = m3it("convert", "okvqa", "--root", tmp_path, "--out", tmp_path / "out")
    assert code == 1 and f"`m3it download okvqa --root {tmp_path}` fetches what can be fetched" in err
